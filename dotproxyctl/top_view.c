/* SPDX-License-Identifier: ISC */
/*
 * The tables of "top", see top.h.  Runs in dotproxyctl.  Pure: what the
 * numbers grew by is from two answers of the daemon, which may have been
 * started anew in between, or say anything.
 */
#include "dotproxyctl/top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dotproxyctl/format.h"

#define NAME_WIDTH 14

const char *
top_heading(enum top_view view)
{
	static const char *const headings[TOP_VIEWS] = {
		"UPSTREAM       STATE        CONNS FLIGHT    Q/S   "
		" P50    P99 ANSWERS FAILURES",
		"UPSTREAM       STATE         AGE   IDLE FLIGHT  SE"
		"RVED SESSION TLS     CIPHER",
		"PROCESS            PID   CPU%     PSS     RSS  UPT"
		"IME RESTARTS LAST DEATH",
		"UPSTREAM       PHASE      COUNT  FIRST   LAST    /S"
		" WHAT WENT WRONG",
	};

	return headings[view];
}

const char *const *
top_key_names(enum top_view view)
{
	static const char *const names[TOP_VIEWS][TOP_KEYS + 1] = {
		{ "q/s", "in flight", "p99", "failures" },
		{ "age", "idle", "in flight", "served" },
		{ "cpu", "memory", "uptime", "restarts" },
		{ "count", "first", "last", "/s" },
	};

	return names[view];
}

enum msg_show
top_show(enum top_view view)
{
	static const enum msg_show shows[TOP_VIEWS] = { SHOW_SUMMARY, SHOW_POOL,
		SHOW_PROCESSES, SHOW_ERRORS };

	return shows[view];
}

double
top_rate(uint64_t now, uint64_t old, uint64_t elapsed_ms)
{
	if (now < old || elapsed_ms == 0)
		return 0;
	return (double)(now - old) * 1000 / (double)elapsed_ms;
}

static const struct info_upstream *
find_upstream(const struct data *d, uint32_t index)
{
	size_t i;

	for (i = 0; d != NULL && i < d->nupstreams; i++)
		if (d->upstreams[i].index == index)
			return &d->upstreams[i];
	return NULL;
}

static void
fill_upstream(struct top_row *row, const struct info_upstream *u,
    const struct top_sample *s)
{
	const struct info_upstream *old = find_upstream(s->old, u->index);
	char name[NAME_WIDTH + 1], open[FORMAT_MAX], size[FORMAT_MAX];
	char conns[2 * FORMAT_MAX], flight[FORMAT_MAX], rate[FORMAT_MAX];
	char p50[FORMAT_MAX], p99[FORMAT_MAX], answers[FORMAT_MAX];
	char failures[FORMAT_MAX];
	double qps = 0;

	if (old != NULL && strcmp(old->name, u->name) == 0)
		qps = top_rate(u->queries, old->queries, s->elapsed_ms);
	(void)snprintf(conns, sizeof(conns), "%s/%s", format_few(open, u->open),
	    format_few(size, u->pool_size));
	(void)snprintf(row->text, sizeof(row->text),
	    "%-14s %-10s %7s %6s %6s %6s %6s %7s %8s",
	    format_text(name, sizeof(name), NAME_WIDTH, u->name),
	    msg_state_name(u->state), conns, format_count(flight, u->inflight),
	    format_count(rate, (uint64_t)(qps + 0.5)),
	    format_latency(p50, u->latency_p50_us),
	    format_latency(p99, u->latency_p99_us),
	    format_count(answers, u->answers),
	    format_count(failures, data_failures(u)));
	row->keys[0] = qps;
	row->keys[1] = u->inflight;
	row->keys[2] = (double)u->latency_p99_us;
	row->keys[3] = (double)data_failures(u);
	row->bad = data_upstream_down(u);
}

static void
fill_conn(struct top_row *row, const struct info_conn *c, const struct data *d)
{
	const struct info_upstream *u = find_upstream(d, c->upstream);
	char name[NAME_WIDTH + 1], age[FORMAT_MAX], idle[FORMAT_MAX];
	char flight[FORMAT_MAX], served[FORMAT_MAX];
	char version[8], cipher[15];

	(void)snprintf(row->text, sizeof(row->text),
	    "%-14s %-9s %7s %6s %6s %7s %-7s %-7s %s",
	    format_text(
		name, sizeof(name), NAME_WIDTH, u != NULL ? u->name : "?"),
	    msg_conn_state_name(c->state), format_age(age, c->age_ms),
	    format_age(idle, c->idle_ms), format_count(flight, c->inflight),
	    format_count(served, c->served), c->resumed ? "resumed" : "full",
	    format_text(version, sizeof(version), 7, c->version),
	    format_text(cipher, sizeof(cipher), 9, c->cipher));
	row->keys[0] = (double)c->age_ms;
	row->keys[1] = (double)c->idle_ms;
	row->keys[2] = c->inflight;
	row->keys[3] = (double)c->served;
	row->bad = false;
}

/* "-" for what may not be read. */
static const char *
kilobytes(char buf[FORMAT_MAX], bool known, uint64_t kb)
{
	if (!known)
		(void)snprintf(buf, FORMAT_MAX, "-");
	else
		(void)format_count(
		    buf, kb > UINT64_MAX / 1024 ? UINT64_MAX : kb * 1024);
	return buf;
}

/* In per cent of one processor; less than 0: not known. */
static double
cpu_of(const struct top_sample *s, size_t worker, enum info_role role)
{
	const struct data *now = data_worker(s->now, worker), *old;

	if (s->old == NULL || worker >= data_workers(s->old))
		return -1;
	old = data_worker(s->old, worker);
	if (!now->have_facts[role] || !old->have_facts[role] ||
	    now->processes[role].pid != old->processes[role].pid ||
	    (now->facts[role].have & old->facts[role].have & PROC_CPU) == 0)
		return -1;
	return top_rate(now->facts[role].cpu_ms, old->facts[role].cpu_ms,
		   s->elapsed_ms) /
	       10;
}

static void
fill_process(struct top_row *row, const struct top_sample *s, size_t worker,
    enum info_role role)
{
	const struct data *d = data_worker(s->now, worker);
	const struct info_process *p = &d->processes[role];
	const struct proc_facts *f = &d->facts[role];
	char name[DATA_NAME_MAX], cpu[FORMAT_MAX] = "-", pss[FORMAT_MAX];
	char rss[FORMAT_MAX], age[FORMAT_MAX], n[FORMAT_MAX], death[24];
	uint32_t have = d->have_facts[role] ? f->have : 0;
	double percent = cpu_of(s, worker, role);

	if (percent >= 0)
		(void)snprintf(cpu, sizeof(cpu), "%.1f",
		    percent < 99999 ? percent : 99999);
	(void)snprintf(row->text, sizeof(row->text),
	    "%-12s %9u %6s %7s %7s %7s %8s %s",
	    data_process_name(name, d, role), (unsigned)p->pid, cpu,
	    kilobytes(pss, (have & PROC_PSS) != 0, f->pss_kb),
	    kilobytes(rss, (have & PROC_STATUS) != 0, f->rss_kb),
	    p->pid == 0 ? "-" : format_age(age, p->uptime_ms),
	    format_count(n, p->restarts),
	    format_text(death, sizeof(death), 16,
		p->last_death[0] != '\0' ? p->last_death : "-"));
	row->keys[0] = percent;
	row->keys[1] = (have & PROC_STATUS) != 0 ? (double)f->rss_kb : 0;
	row->keys[2] = (double)p->uptime_ms;
	row->keys[3] = (double)p->restarts;
	row->bad = p->pid == 0;
}

static size_t
process_rows(const struct top_sample *s, struct top_row *rows, size_t max)
{
	size_t i, n = 0, role;

	for (i = 0; i < data_workers(s->now); i++)
		for (role = i == 0 ? ROLE_PARENT : ROLE_LISTENER;
		     role < ROLE_COUNT && n < max; role++)
			if (data_worker(s->now, i)->have_process[role])
				fill_process(
				    &rows[n++], s, i, (enum info_role)role);
	return n;
}

static const struct info_error *
find_error(const struct data *d, const struct info_error *e)
{
	size_t i;

	for (i = 0; d != NULL && i < d->nerrors; i++)
		if (d->errors[i].upstream == e->upstream &&
		    d->errors[i].phase == e->phase &&
		    d->errors[i].cause == e->cause)
			return &d->errors[i];
	return NULL;
}

static void
fill_error(
    struct top_row *row, const struct info_error *e, const struct top_sample *s)
{
	const struct info_upstream *u = find_upstream(s->now, e->upstream);
	const struct info_error *old = find_error(s->old, e);
	double rate =
	    top_rate(e->count, old != NULL ? old->count : 0, s->elapsed_ms);
	char name[NAME_WIDTH + 1], count[FORMAT_MAX], first[FORMAT_MAX];
	char last[FORMAT_MAX], per_s[FORMAT_MAX], what[29];

	(void)snprintf(row->text, sizeof(row->text),
	    "%-14s %-9s %6s %6s %6s %5s %s",
	    format_text(
		name, sizeof(name), NAME_WIDTH, u != NULL ? u->name : "?"),
	    msg_phase_name(e->phase), format_count(count, e->count),
	    format_age(first, e->first_ms), format_age(last, e->last_ms),
	    format_count(per_s, (uint64_t)(rate + 0.5)),
	    format_text(what, sizeof(what), sizeof(what) - 1,
		e->text[0] != '\0' ? e->text : msg_cause_name(e->cause)));
	row->keys[0] = (double)e->count;
	row->keys[1] = (double)e->first_ms;
	row->keys[2] = -(double)e->last_ms; /* the newest first */
	row->keys[3] = rate;
	row->bad = rate > 0;
}

/* Insertion: the order of equals stays, and there are few that move. */
static void
sort_rows(struct top_row *rows, size_t n, size_t key)
{
	struct top_row row;
	size_t i, j;

	for (i = 1; i < n; i++) {
		row = rows[i];
		for (j = i; j > 0 && rows[j - 1].keys[key] < row.keys[key]; j--)
			rows[j] = rows[j - 1];
		rows[j] = row;
	}
}

size_t
top_rows(enum top_view view, const struct top_sample *s, size_t by,
    struct top_row *rows, size_t max)
{
	size_t i, n = 0;

	switch (view) {
	case TOP_UPSTREAMS:
		for (i = 0; i < s->now->nupstreams && n < max; i++)
			fill_upstream(&rows[n++], &s->now->upstreams[i], s);
		break;
	case TOP_CONNECTIONS:
		for (i = 0; i < s->now->nconns && n < max; i++)
			fill_conn(&rows[n++], &s->now->conns[i], s->now);
		break;
	case TOP_PROCESSES:
		n = process_rows(s, rows, max);
		break;
	case TOP_ERRORS:
		for (i = 0; i < s->now->nerrors && n < max; i++)
			fill_error(&rows[n++], &s->now->errors[i], s);
		break;
	case TOP_VIEWS:
		break;
	}
	if (by > 0 && by <= TOP_KEYS)
		sort_rows(rows, n, by - 1);
	return n;
}
