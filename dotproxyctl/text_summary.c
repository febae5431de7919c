/* SPDX-License-Identifier: ISC */
/*
 * "show summary" and "show processes" as text.  Runs in dotproxyctl.  The
 * verdict stands first; no line is longer than 80 columns, whatever the
 * daemon says.
 */
#include <string.h>

#include "common/util.h"

#include "dotproxyctl/format.h"
#include "dotproxyctl/output.h"

#define NAME_WIDTH 18 /* of an upstream, in its table */
#define DOWN_MAX 5    /* so many are named; the table has them all */

static void
put_verdict(FILE *out, const struct data *d)
{
	char reason[DATA_REASON_MAX], name[NAME_WIDTH + 1];
	const struct info_upstream *u;
	enum data_health health;
	size_t i, n = 0;

	health = data_judge(d, reason);
	format_paint(out, health == HEALTH_OK     ? PAINT_GOOD
			  : health == HEALTH_DOWN ? PAINT_BAD
						  : PAINT_WARN);
	(void)fputs(data_health_name(health), out);
	format_paint(out, PAINT_NONE);
	(void)fputs(": ", out);
	format_wrap(out, strlen(data_health_name(health)) + 2, reason);
	if (d->draining)
		(void)fprintf(out, "  draining: takes no new TCP clients\n");
	for (i = 0; i < d->nupstreams && n < DOWN_MAX; i++) {
		u = &d->upstreams[i];
		if (!data_upstream_down(u))
			continue;
		n++;
		(void)fprintf(out, "  %s: %s\n",
		    format_text(name, sizeof(name), NAME_WIDTH, u->name),
		    msg_cause_name(u->last_cause));
	}
	(void)putc('\n', out);
}

static void
put_head(FILE *out, const struct data *d)
{
	char age[FORMAT_MAX], n[FORMAT_MAX], max[FORMAT_MAX];
	char up[64] = "", pool[256] = "", text[512];

	if (d->have_process[ROLE_PARENT])
		(void)snprintf(up, sizeof(up), "up %s",
		    format_age(age, d->processes[ROLE_PARENT].uptime_ms));
	if (d->have_pool)
		(void)snprintf(pool, sizeof(pool),
		    "policy %s, %s of %s queries in flight",
		    conf_policy_name((enum conf_policy)d->pool.policy),
		    format_count(n, d->pool.inflight),
		    format_count(max, d->pool.max_inflight));
	(void)snprintf(text, sizeof(text), "%s%s%s", up,
	    up[0] != '\0' && pool[0] != '\0' ? ", " : "", pool);
	if (d->have_pool && d->pool.parked > 0)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
		    ", %s parked", format_count(n, d->pool.parked));
	if (text[0] != '\0') {
		format_wrap(out, 0, text);
		(void)putc('\n', out);
	}
}

static const char *
state_text(char buf[FORMAT_MAX], const struct info_upstream *u)
{
	char left[FORMAT_MAX];

	if (u->state == STATE_BACKOFF)
		(void)snprintf(buf, FORMAT_MAX, "back-off %s",
		    format_left(left, u->backoff_left_ms));
	else
		(void)snprintf(buf, FORMAT_MAX, "%s", msg_state_name(u->state));
	return buf;
}

static enum format_paint
paint_of(const struct info_upstream *u)
{
	if (data_upstream_down(u))
		return PAINT_BAD;
	if (u->state == STATE_DISABLED)
		return PAINT_WARN;
	return u->state == STATE_UP ? PAINT_GOOD : PAINT_NONE;
}

static void
put_upstream(FILE *out, const struct info_upstream *u)
{
	char name[NAME_WIDTH + 1], state[FORMAT_MAX], open[FORMAT_MAX];
	char size[FORMAT_MAX], conns[2 * FORMAT_MAX], flight[FORMAT_MAX];
	char p50[FORMAT_MAX], p99[FORMAT_MAX], answers[FORMAT_MAX];
	char failures[FORMAT_MAX];

	(void)snprintf(conns, sizeof(conns), "%s/%s", format_few(open, u->open),
	    format_few(size, u->pool_size));
	(void)fprintf(out, "%-*s  ", NAME_WIDTH,
	    format_text(name, sizeof(name), NAME_WIDTH, u->name));
	format_paint(out, paint_of(u));
	(void)fprintf(out, "%-13s", state_text(state, u));
	format_paint(out, PAINT_NONE);
	(void)fprintf(out, " %7s %6s %6s %6s %7s %8s\n", conns,
	    format_count(flight, u->inflight),
	    format_latency(p50, u->latency_p50_us),
	    format_latency(p99, u->latency_p99_us),
	    format_count(answers, u->answers),
	    format_count(failures, data_failures(u)));
}

void
text_upstreams(FILE *out, const struct data *d)
{
	size_t i;

	if (d->nupstreams == 0)
		return;
	(void)fprintf(out, "%-*s  %-13s %7s %6s %6s %6s %7s %8s\n", NAME_WIDTH,
	    "UPSTREAM", "STATE", "CONNS", "FLIGHT", "P50", "P99", "ANSWERS",
	    "FAILURES");
	for (i = 0; i < d->nupstreams; i++)
		put_upstream(out, &d->upstreams[i]);
}

/* A sum and what it is made of; a name of NULL ends the parts. */
struct sum {
	const char *name;
	uint64_t n;
	const char *note; /* what comes before the parts; may be empty */
	struct {
		uint64_t n;
		const char *name;
	} parts[7];
};

/* One line: what, how many, and the parts that are not zero. */
static void
put_sum(FILE *out, const struct sum *sum, int width)
{
	char n[FORMAT_MAX], text[512];
	size_t i, len;

	(void)snprintf(text, sizeof(text), "%s", sum->note);
	for (i = 0; sum->parts[i].name != NULL; i++) {
		if (sum->parts[i].n == 0)
			continue;
		len = strlen(text);
		(void)snprintf(text + len, sizeof(text) - len, "%s%s %s",
		    len > 0 ? ", " : "", format_exact(n, sum->parts[i].n),
		    sum->parts[i].name);
	}
	(void)fprintf(out, "%-9s  %*s%s", sum->name, width,
	    format_exact(n, sum->n), text[0] != '\0' ? "  " : "");
	format_wrap(out, 9 + 2 + (size_t)width + 2, text);
}

void
text_queries(FILE *out, const struct data *d, bool bad_only)
{
	const uint64_t *v = d->listener.values;
	char percent[FORMAT_MAX], n[FORMAT_MAX];
	struct data_queries q;
	size_t i, first, len, width = 9; /* does not jump before a million */

	if (!d->have_listener)
		return;
	data_queries(d, &q);
	format_percent(percent, q.answered, q.received);
	const struct sum sums[] = {
		{ "queries", q.received, "",
		    { { v[LSTAT_queries_udp], "UDP" },
			{ v[LSTAT_queries_tcp], "TCP" },
			{ v[LSTAT_in_flight], "in flight" } } },
		{ "answered", q.answered, percent,
		    { { v[LSTAT_truncated], "truncated" } } },
		{ "failed", q.failed, "",
		    { { v[LSTAT_failed_timeout], "no answer in time" },
			{ v[LSTAT_failed_network], "network error" },
			{ v[LSTAT_failed_tls], "TLS or certificate error" },
			{ v[LSTAT_failed_busy], "busy" },
			{ v[LSTAT_failed_not_ready], "no pool process" },
			{ v[LSTAT_failed_other], "other" } } },
		{ "refused", q.refused, "",
		    { { v[LSTAT_refused_acl], "client not allowed" },
			{ v[LSTAT_refused_unsupported], "not supported" },
			{ v[LSTAT_refused_limited], "rate limit" } } },
		{ "dropped", q.dropped, "",
		    { { v[LSTAT_dropped_malformed], "malformed" },
			{ v[LSTAT_dropped_send], "answer not sent" },
			{ v[LSTAT_dropped_repeated], "repeated" },
			{ v[LSTAT_dropped_limited], "rate limit" } } },
		{ "abandoned", q.abandoned, "", { { 0, NULL } } },
	};
	first = bad_only ? 2 : 0;
	for (i = first; i < sizeof(sums) / sizeof(sums[0]); i++) {
		len = strlen(format_exact(n, sums[i].n));
		width = len > width ? len : width;
	}
	for (i = first; i < sizeof(sums) / sizeof(sums[0]); i++)
		put_sum(out, &sums[i], (int)width);
}

void
text_summary(FILE *out, const struct data *d)
{
	put_verdict(out, d);
	put_head(out, d);
	text_upstreams(out, d);
	if (d->nupstreams > 0)
		(void)putc('\n', out);
	text_queries(out, d, false);
	if (d->have_listener)
		(void)putc('\n', out);
	text_processes(out, d);
}

static void
put_process(FILE *out, const struct data *d, enum info_role role, int width)
{
	char pid[FORMAT_MAX], age[FORMAT_MAX], restarts[FORMAT_MAX];
	const struct info_process *p = &d->processes[role];
	char name[DATA_NAME_MAX];

	if (!d->have_process[role])
		return;
	(void)snprintf(pid, sizeof(pid), "%u", (unsigned)p->pid);
	(void)fprintf(out, "%-*s %10s  %6s  %8s  ", width,
	    data_process_name(name, d, role), p->pid == 0 ? "-" : pid,
	    p->pid == 0 ? "-" : format_age(age, p->uptime_ms),
	    format_count(restarts, p->restarts));
	format_wrap(out, (size_t)width + 31,
	    p->last_death[0] != '\0' ? p->last_death : "-");
}

void
text_processes(FILE *out, const struct data *d)
{
	size_t i, n = data_workers(d);
	int width = data_worker(d, 0)->numbered ? 11 : 8;

	(void)fprintf(out, "%-*s %10s  %6s  %8s  %s\n", width, "PROCESS", "PID",
	    "UPTIME", "RESTARTS", "LAST CAUSE OF DEATH");
	put_process(out, data_worker(d, 0), ROLE_PARENT, width);
	for (i = 0; i < n; i++) {
		put_process(out, data_worker(d, i), ROLE_LISTENER, width);
		put_process(out, data_worker(d, i), ROLE_POOL, width);
	}
}
