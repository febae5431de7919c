/* SPDX-License-Identifier: ISC */
/*
 * "show pool" as text: a block for each upstream, and under it a table of its
 * connections.  Runs in dotproxyctl.  No line is longer than 80 columns,
 * whatever the daemon says.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "common/util.h"

#include "dotproxyctl/format.h"
#include "dotproxyctl/output.h"

#define GAUGE_MAX 16    /* larger pools are told in numbers only */
#define CIPHER_WIDTH 29 /* ECDHE-ECDSA-AES128-GCM-SHA256 */

static void
put_state(FILE *out, const struct info_upstream *u)
{
	char left[FORMAT_MAX];

	switch (u->state) {
	case STATE_IDLE:
		format_field(out, "state", "idle, not needed yet");
		return;
	case STATE_BACKOFF:
		format_field(out, "state", "back-off, next try in %s: %s",
		    format_left(left, u->backoff_left_ms),
		    msg_cause_name(u->last_cause));
		return;
	default:
		break;
	}
	if (u->last_cause == CAUSE_NONE)
		format_field(out, "state", "%s", msg_state_name(u->state));
	else
		format_field(out, "state", "%s; last failure: %s",
		    msg_state_name(u->state), msg_cause_name(u->last_cause));
}

/* "[##=+....]  ": busy, idle, under way, room. */
static void
gauge(char buf[GAUGE_MAX + 5], const struct info_upstream *u)
{
	uint32_t i, busy, standing, all;

	buf[0] = '\0';
	if (u->pool_size > GAUGE_MAX)
		return;
	standing = u->open < u->pool_size ? u->open : u->pool_size;
	busy = u->idle < standing ? standing - u->idle : 0;
	all = u->connecting < u->pool_size - standing ? standing + u->connecting
						      : u->pool_size;
	*buf++ = '[';
	for (i = 0; i < u->pool_size; i++)
		*buf++ = i < busy       ? '#'
			 : i < standing ? '='
			 : i < all      ? '+'
					: '.';
	memcpy(buf, "]  ", 4);
}

static void
put_connections(FILE *out, const struct info_upstream *u)
{
	char bar[GAUGE_MAX + 5], busy[FORMAT_MAX], idle[FORMAT_MAX];
	char connecting[FORMAT_MAX], size[FORMAT_MAX];

	gauge(bar, u);
	format_field(out, "connections",
	    "%s%s busy, %s idle, %s connecting, pool of %s", bar,
	    format_few(busy, u->open > u->idle ? u->open - u->idle : 0),
	    format_few(idle, u->idle), format_few(connecting, u->connecting),
	    format_few(size, u->pool_size));
}

static void
put_latency(FILE *out, const struct info_upstream *u)
{
	char a[FORMAT_MAX], b[FORMAT_MAX], c[FORMAT_MAX];

	if (u->latency_mean_us == 0 && u->latency_p99_us == 0) {
		format_field(out, "latency", "no answers yet");
		return;
	}
	format_field(out, "latency", "p50 %s, p99 %s, mean %s",
	    format_latency(a, u->latency_p50_us),
	    format_latency(b, u->latency_p99_us),
	    format_latency(c, u->latency_mean_us));
}

static void
put_opened(FILE *out, const struct info_upstream *u)
{
	char n[FORMAT_MAX], resumed[FORMAT_MAX], percent[FORMAT_MAX];
	char closed[FORMAT_MAX], tcp[FORMAT_MAX], tls[FORMAT_MAX];

	if (u->opened == 0) {
		format_field(out, "opened", "none yet");
		return;
	}
	format_field(out, "opened",
	    "%s, %s resumed (%s), %s closed by the upstream while idle",
	    format_count(n, u->opened), format_count(resumed, u->resumed),
	    format_percent(percent, u->resumed, u->opened),
	    format_count(closed, u->closed_by_peer));
	format_field(out, "set-up", "TCP p50 %s, TLS p50 %s",
	    format_latency(tcp, u->connect_p50_us),
	    format_latency(tls, u->handshake_p50_us));
}

/* Whether the next query finds a connection, and what was learnt for that. */
static void
put_warm(FILE *out, const struct info_upstream *u)
{
	char left[FORMAT_MAX], limit[FORMAT_MAX], ahead[FORMAT_MAX];

	if (u->warm_left_ms == 0 && u->idle_limit_ms == 0)
		return;
	format_field(out, "kept warm", "%s, idle limit %s, %s dialled ahead",
	    u->warm_left_ms > 0 ? format_left(left, u->warm_left_ms) : "no",
	    u->idle_limit_ms > 0 ? format_left(limit, u->idle_limit_ms)
				 : "unknown",
	    format_count(ahead, u->warm_dials));
}

static void
put_failures(FILE *out, const struct info_upstream *u)
{
	char text[PHASE_COUNT * 32], n[FORMAT_MAX], *p = text;
	size_t room = sizeof(text);
	unsigned int i;
	int len;

	if (data_failures(u) == 0) {
		format_field(out, "failures", "none");
		return;
	}
	for (i = 0; i < PHASE_COUNT; i++) {
		if (u->failures[i] == 0)
			continue;
		len = snprintf(p, room, "%s%s %s", p == text ? "" : ", ",
		    format_count(n, u->failures[i]), msg_phase_name(i));
		p += len;
		room -= (size_t)len;
	}
	format_field(out, "failures", "%s", text);
}

static void
put_counters(FILE *out, const struct info_upstream *u)
{
	char a[FORMAT_MAX], b[FORMAT_MAX], c[FORMAT_MAX];

	format_field(out, "load", "%s queries in flight, %s waiting",
	    format_count(a, u->inflight), format_count(b, u->waiting));
	format_field(out, "queries",
	    "%s sent, %s answered, %s sent again elsewhere",
	    format_count(a, u->queries), format_count(b, u->answers),
	    format_count(c, u->retries));
	put_latency(out, u);
	put_opened(out, u);
	put_warm(out, u);
	put_failures(out, u);
}

/* True if there has been nothing to count yet. */
static bool
is_unused(const struct info_upstream *u)
{
	return u->queries == 0 && u->opened == 0 && u->waiting == 0 &&
	       data_failures(u) == 0;
}

/* Two kinds of connection have no TLS session to speak of yet. */
static const char *
conn_state(const struct info_conn *c)
{
	static const char *const names[CONN_STATE_COUNT] = { "tcp", "tls",
		"ready", "drain" };

	return c->state < CONN_STATE_COUNT ? names[c->state] : "?";
}

static void
put_conn(FILE *out, const struct info_conn *c)
{
	char age[FORMAT_MAX], idle[FORMAT_MAX], flight[FORMAT_MAX];
	char served[FORMAT_MAX], version[4], cipher[CIPHER_WIDTH + 1];
	const char *v = c->version;
	bool up = c->version[0] != '\0';

	if (strncmp(v, "TLSv", 4) == 0)
		v += 4;
	(void)fprintf(out, "  %-5s %6s %6s %6s %6s", conn_state(c),
	    format_age(age, c->age_ms), format_age(idle, c->idle_ms),
	    format_count(flight, c->inflight), format_count(served, c->served));
	if (up)
		(void)fprintf(out, "  %-7s  %-3s  %s",
		    c->resumed ? "resumed" : "full",
		    format_text(version, sizeof(version), 3, v),
		    format_text(
			cipher, sizeof(cipher), CIPHER_WIDTH, c->cipher));
	(void)putc('\n', out);
}

static void
put_conns(FILE *out, const struct data *d, uint32_t upstream)
{
	bool head = false;
	size_t i;

	for (i = 0; i < d->nconns; i++) {
		if (d->conns[i].upstream != upstream)
			continue;
		if (!head)
			(void)fprintf(out,
			    "\n  %-5s %6s %6s %6s %6s  %-7s  %-3s  %s\n",
			    "STATE", "AGE", "IDLE", "FLIGHT", "SERVED",
			    "SESSION", "TLS", "CIPHER");
		head = true;
		put_conn(out, &d->conns[i]);
	}
}

static void
put_upstream(FILE *out, const struct data *d, const struct info_upstream *u)
{
	char addr[SOCKADDR_TEXT_MAX];

	(void)putc('\n', out);
	format_wrap(out, 0, u->name);
	put_state(out, u);
	format_field(out, "address", "%s", sockaddr_text(&u->addr, addr));
	format_field(out, "server name", "%s",
	    u->server_name[0] != '\0' ? u->server_name : "-");
	put_connections(out, u);
	if (!is_unused(u))
		put_counters(out, u);
	put_conns(out, d, u->index);
}

void
text_pool(FILE *out, const struct data *d)
{
	char n[FORMAT_MAX], max[FORMAT_MAX], parked[FORMAT_MAX];
	size_t i;

	if (!d->have_pool)
		return;
	(void)fprintf(out, "policy %s, %s of %s queries in flight, %s parked\n",
	    conf_policy_name((enum conf_policy)d->pool.policy),
	    format_count(n, d->pool.inflight),
	    format_count(max, d->pool.max_inflight),
	    format_count(parked, d->pool.parked));
	for (i = 0; i < d->nupstreams; i++)
		put_upstream(out, d, &d->upstreams[i]);
}
