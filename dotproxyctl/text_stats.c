/* SPDX-License-Identifier: ISC */
/*
 * "show stats" and "show config" as text.  Runs in dotproxyctl.  No line of
 * the statistics is longer than 80 columns, whatever the daemon says.
 */
#include <string.h>

#include "dotproxyctl/format.h"
#include "dotproxyctl/output.h"

#define NAME_WIDTH 19 /* the longest name: refused_unsupported */

struct counter {
	const char *name;
	const char *text;
};

#define COUNTER(name, text) { #name, text },
static const struct counter listener_counters[] = { LISTENER_COUNTERS(
    COUNTER) };
static const struct counter pool_counters[] = { POOL_COUNTERS(COUNTER) };
#undef COUNTER

/* Those of an upstream that are not failures, in put_upstream()'s order. */
static const struct counter upstream_counters[] = {
	{ "queries", "queries given to a connection" },
	{ "answers", "answers received" },
	{ "retries", "queries that went elsewhere from here" },
	{ "opened", "connections opened and authenticated" },
	{ "resumed", "of these, with a resumed TLS session" },
	{ "closed_by_peer", "connections closed by the upstream while idle" },
};

#define UPSTREAM_COUNTERS \
	(sizeof(upstream_counters) / sizeof(upstream_counters[0]))

static const char *const phase_texts[PHASE_COUNT] = {
	[PHASE_CONNECT] = "failures: TCP connect",
	[PHASE_HANDSHAKE] = "failures: TLS handshake",
	[PHASE_VERIFY] = "failures: certificate not accepted",
	[PHASE_WRITE] = "failures: write",
	[PHASE_READ] = "failures: connection lost with queries on it",
	[PHASE_TIMEOUT] = "failures: no answer within the read timeout",
	[PHASE_PROTOCOL] = "failures: bad frame or wrong answer",
};

/* Columns that the largest of n values takes. */
static size_t
values_width(const uint64_t *values, size_t n, size_t width)
{
	char buf[FORMAT_MAX];
	size_t i, len;

	for (i = 0; i < n; i++) {
		len = strlen(format_exact(buf, values[i]));
		if (len > width)
			width = len;
	}
	return width;
}

static void
put_counter(
    FILE *out, const char *name, size_t width, uint64_t value, const char *text)
{
	char buf[FORMAT_MAX];

	(void)fprintf(out, "  %-*s  %*s  ", NAME_WIDTH, name, (int)width,
	    format_exact(buf, value));
	format_wrap(out, 2 + NAME_WIDTH + 2 + width + 2, text);
}

static void
put_source(FILE *out, const char *title, const struct info_counters *c,
    const struct counter *counters)
{
	char age[FORMAT_MAX];
	size_t i, width = values_width(c->values, c->n, 0);

	(void)fprintf(out, "%s, up %s\n", title, format_age(age, c->uptime_ms));
	for (i = 0; i < c->n; i++)
		put_counter(out, counters[i].name, width, c->values[i],
		    counters[i].text);
}

static void
put_upstream(FILE *out, const struct info_upstream *u)
{
	const uint64_t values[UPSTREAM_COUNTERS] = { u->queries, u->answers,
		u->retries, u->opened, u->resumed, u->closed_by_peer };
	size_t width;
	unsigned int i;

	width = values_width(values, UPSTREAM_COUNTERS, 0);
	width = values_width(u->failures, PHASE_COUNT, width);
	(void)fputs("\nupstream ", out);
	format_wrap(out, 9, u->name);
	for (i = 0; i < UPSTREAM_COUNTERS; i++)
		put_counter(out, upstream_counters[i].name, width, values[i],
		    upstream_counters[i].text);
	for (i = 0; i < PHASE_COUNT; i++)
		put_counter(out, msg_phase_name(i), width, u->failures[i],
		    phase_texts[i]);
}

void
text_stats(FILE *out, const struct data *d)
{
	size_t i;

	if (d->have_listener)
		put_source(out, d->nparts > 0 ? "listeners" : "listener",
		    &d->listener, listener_counters);
	if (d->have_pool_counters) {
		if (d->have_listener)
			(void)putc('\n', out);
		put_source(out, d->nparts > 0 ? "pools" : "pool",
		    &d->pool_counters, pool_counters);
	}
	for (i = 0; i < d->nupstreams; i++)
		put_upstream(out, &d->upstreams[i]);
}

void
text_config(FILE *out, const struct data *d)
{
	format_page(out, d->text, d->text_len);
}
