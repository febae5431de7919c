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

#define NAME_WIDTH 20 /* of an upstream, in its table */
#define DOWN_MAX 5    /* so many are named; the table has them all */
#define DETAIL_COLUMN 24

static void
put_verdict(FILE *out, const struct data *d)
{
	char reason[DATA_REASON_MAX], name[NAME_WIDTH + 1];
	const struct info_upstream *u;
	enum data_health health;
	size_t i, n = 0;

	health = data_judge(d, reason);
	(void)fprintf(out, "%s: ", data_health_name(health));
	format_wrap(out, strlen(data_health_name(health)) + 2, reason);
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

	if (d->have_process[ROLE_PARENT])
		(void)fprintf(out, "up %s",
		    format_age(age, d->processes[ROLE_PARENT].uptime_ms));
	if (d->have_pool)
		(void)fprintf(out, "%spolicy %s, %s of %s queries in flight",
		    d->have_process[ROLE_PARENT] ? ", " : "",
		    conf_policy_name((enum conf_policy)d->pool.policy),
		    format_count(n, d->pool.inflight),
		    format_count(max, d->pool.max_inflight));
	if (d->have_pool && d->pool.parked > 0)
		(void)fprintf(
		    out, ", %s parked", format_count(n, d->pool.parked));
	if (d->have_pool || d->have_process[ROLE_PARENT])
		(void)fputs("\n\n", out);
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

static void
put_upstream(FILE *out, const struct info_upstream *u)
{
	char name[NAME_WIDTH + 1], state[FORMAT_MAX], open[FORMAT_MAX];
	char size[FORMAT_MAX], conns[2 * FORMAT_MAX], flight[FORMAT_MAX];
	char p50[FORMAT_MAX], p99[FORMAT_MAX], answers[FORMAT_MAX];
	char failures[FORMAT_MAX];

	(void)snprintf(conns, sizeof(conns), "%s/%s", format_few(open, u->open),
	    format_few(size, u->pool_size));
	(void)fprintf(out, "%-*s  %-13s %7s %6s %6s %6s %7s %6s\n", NAME_WIDTH,
	    format_text(name, sizeof(name), NAME_WIDTH, u->name),
	    state_text(state, u), conns, format_count(flight, u->inflight),
	    format_latency(p50, u->latency_p50_us),
	    format_latency(p99, u->latency_p99_us),
	    format_count(answers, u->answers),
	    format_count(failures, data_failures(u)));
}

static void
put_upstreams(FILE *out, const struct data *d)
{
	size_t i;

	if (d->nupstreams == 0)
		return;
	(void)fprintf(out, "%-*s  %-13s %7s %6s %6s %6s %7s %6s\n", NAME_WIDTH,
	    "UPSTREAM", "STATE", "CONNS", "FLIGHT", "P50", "P99", "ANSWERS",
	    "FAILED");
	for (i = 0; i < d->nupstreams; i++)
		put_upstream(out, &d->upstreams[i]);
	(void)putc('\n', out);
}

/* A part of a sum, put at the end of the text if it is not zero. */
struct part {
	uint64_t n;
	const char *name;
};

/* One line: what, how many, and the parts that are not zero. */
static void
put_sum(FILE *out, const char *what, uint64_t sum, const char *note,
    const struct part *parts, size_t nparts)
{
	char n[FORMAT_MAX], text[512], *p = text;
	size_t i, room = sizeof(text);
	int len;

	text[0] = '\0';
	if (note[0] != '\0') {
		len = snprintf(p, room, "%s", note);
		p += len;
		room -= (size_t)len;
	}
	for (i = 0; i < nparts; i++) {
		if (parts[i].n == 0)
			continue;
		len = snprintf(p, room, "%s%s %s", p == text ? "" : ", ",
		    format_count(n, parts[i].n), parts[i].name);
		p += len;
		room -= (size_t)len;
	}
	(void)fprintf(out, "%-9s %12s", what, format_count(n, sum));
	if (text[0] != '\0') {
		(void)fputs("  ", out);
		format_wrap(out, DETAIL_COLUMN, text);
	} else
		(void)putc('\n', out);
}

static void
put_queries(FILE *out, const struct data *d)
{
	const uint64_t *v = d->listener.values;
	const struct part received[] = { { v[LSTAT_queries_udp], "UDP" },
		{ v[LSTAT_queries_tcp], "TCP" },
		{ v[LSTAT_in_flight], "in flight" } };
	const struct part answered[] = { { v[LSTAT_truncated], "truncated" } };
	const struct part failed[] = { { v[LSTAT_failed_timeout],
					   "no answer in time" },
		{ v[LSTAT_failed_network], "network error" },
		{ v[LSTAT_failed_tls], "TLS or certificate error" },
		{ v[LSTAT_failed_busy], "busy" },
		{ v[LSTAT_failed_not_ready], "no pool process" },
		{ v[LSTAT_failed_other], "other" } };
	const struct part refused[] = { { v[LSTAT_refused_acl],
					    "client not allowed" },
		{ v[LSTAT_refused_unsupported], "not supported" } };
	const struct part dropped[] = { { v[LSTAT_dropped_malformed],
					    "malformed" },
		{ v[LSTAT_dropped_send], "answer could not be sent" } };
	char percent[FORMAT_MAX];
	struct data_queries q;

	if (!d->have_listener)
		return;
	data_queries(d, &q);
	put_sum(out, "queries", q.received, "", received, 3);
	put_sum(out, "answered", q.answered,
	    format_percent(percent, q.answered, q.received), answered, 1);
	put_sum(out, "failed", q.failed, "", failed, 6);
	put_sum(out, "refused", q.refused, "", refused, 2);
	put_sum(out, "dropped", q.dropped, "", dropped, 2);
	put_sum(out, "abandoned", q.abandoned, "", NULL, 0);
	(void)putc('\n', out);
}

void
text_summary(FILE *out, const struct data *d)
{
	put_verdict(out, d);
	put_head(out, d);
	put_upstreams(out, d);
	put_queries(out, d);
	text_processes(out, d);
}

void
text_processes(FILE *out, const struct data *d)
{
	char pid[FORMAT_MAX], age[FORMAT_MAX], restarts[FORMAT_MAX];
	const struct info_process *p;
	size_t i;

	(void)fprintf(out, "%-8s %10s  %6s  %8s  %s\n", "PROCESS", "PID",
	    "UPTIME", "RESTARTS", "LAST CAUSE OF DEATH");
	for (i = 0; i < ROLE_COUNT; i++) {
		if (!d->have_process[i])
			continue;
		p = &d->processes[i];
		(void)snprintf(pid, sizeof(pid), "%u", (unsigned)p->pid);
		(void)fprintf(out, "%-8s %10s  %6s  %8s  ",
		    msg_role_name(p->role), p->pid == 0 ? "-" : pid,
		    p->pid == 0 ? "-" : format_age(age, p->uptime_ms),
		    format_count(restarts, p->restarts));
		format_wrap(
		    out, 40, p->last_death[0] != '\0' ? p->last_death : "-");
	}
}
