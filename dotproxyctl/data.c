/* SPDX-License-Identifier: ISC */
/*
 * Collects and judges what the daemon answers; see data.h.  Runs in
 * dotproxyctl, often as root: nothing the daemon sends may make it overrun a
 * buffer, allocate without limit, or divide by zero.
 */
#include "dotproxyctl/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dotproxyctl/format.h"

struct data *
data_new(void)
{
	return calloc(1, sizeof(struct data));
}

void
data_free(struct data *d)
{
	size_t i;

	if (d == NULL)
		return;
	for (i = 0; i < d->nparts; i++)
		data_free(d->parts[i]);
	free(d->clients);
	free(d->errors);
	free(d->pins);
	free(d->conns);
	free(d->text);
	free(d);
}

size_t
data_workers(const struct data *d)
{
	return d->nparts > 0 ? d->nparts : 1;
}

const struct data *
data_worker(const struct data *d, size_t i)
{
	return d->nparts > 0 ? d->parts[i] : d;
}

const char *
data_process_name(
    char buf[DATA_NAME_MAX], const struct data *d, enum info_role role)
{
	if (!d->numbered || role == ROLE_PARENT)
		(void)snprintf(buf, DATA_NAME_MAX, "%s", msg_role_name(role));
	else
		(void)snprintf(buf, DATA_NAME_MAX, "%s %u", msg_role_name(role),
		    d->worker + 1);
	return buf;
}

static int
add_counters(struct data *d, const struct imsg *m)
{
	struct info_counters c;

	if (msg_read_info_counters(m, &c) == -1)
		return -1;
	/* Known by position only: of another version, they mean nothing. */
	if (c.n != (c.source == SOURCE_LISTENER ? LSTAT_COUNT : TSTAT_COUNT))
		return -1;
	if (c.source == SOURCE_LISTENER) {
		d->listener = c;
		d->have_listener = true;
	} else {
		d->pool_counters = c;
		d->have_pool_counters = true;
	}
	return 0;
}

static bool
upstream_known(const struct data *d, uint32_t index)
{
	size_t i;

	for (i = 0; i < d->nupstreams; i++)
		if (d->upstreams[i].index == index)
			return true;
	return false;
}

static int
add_upstream(struct data *d, const struct imsg *m)
{
	struct info_upstream u;

	if (msg_read_info_upstream(m, &u) == -1 ||
	    d->nupstreams == CONF_UPSTREAMS_MAX || upstream_known(d, u.index))
		return -1;
	d->upstreams[d->nupstreams++] = u;
	return 0;
}

static int
add_conn(struct data *d, const struct imsg *m)
{
	struct info_conn c, *conns;

	if (msg_read_info_conn(m, &c) == -1 || !upstream_known(d, c.upstream) ||
	    d->nconns == DATA_CONNS_MAX)
		return -1;
	/* Grows by doubling, whenever the number is a power of two. */
	if ((d->nconns & (d->nconns - 1)) == 0) {
		conns = realloc(d->conns,
		    (d->nconns == 0 ? 1 : d->nconns * 2) * sizeof(*conns));
		if (conns == NULL)
			return -1;
		d->conns = conns;
	}
	d->conns[d->nconns++] = c;
	return 0;
}

int
data_add_pin(struct data *d, const struct info_pin *p)
{
	size_t i;

	for (i = 0; i < d->npins; i++)
		if (d->pins[i].upstream == p->upstream &&
		    memcmp(d->pins[i].pin, p->pin, sizeof(p->pin)) == 0)
			return 0;
	if (d->pins == NULL)
		d->pins = calloc(DATA_PINS_MAX, sizeof(*d->pins));
	if (d->pins == NULL || d->npins == DATA_PINS_MAX)
		return -1;
	d->pins[d->npins++] = *p;
	return 0;
}

/* Takes out the entry of the same upstream, phase and cause, if any. */
static bool
take_error(struct data *d, struct info_error *e)
{
	struct info_error *old = d->errors, *end = d->errors + d->nerrors;

	for (; old < end; old++)
		if (old->upstream == e->upstream && old->phase == e->phase &&
		    old->cause == e->cause)
			break;
	if (old == end)
		return false;
	e->count = format_sum(e->count, old->count);
	if (old->first_ms > e->first_ms)
		e->first_ms = old->first_ms;
	if (old->last_ms < e->last_ms) {
		e->last_ms = old->last_ms;
		memcpy(e->text, old->text, sizeof(e->text));
	}
	memmove(old, old + 1, (size_t)(end - old - 1) * sizeof(*old));
	d->nerrors--;
	return true;
}

int
data_add_error(struct data *d, const struct info_error *part)
{
	struct info_error e = *part;
	size_t i;

	if (d->errors == NULL)
		d->errors = calloc(DATA_ERRORS_MAX, sizeof(*d->errors));
	if (d->errors == NULL ||
	    (!take_error(d, &e) && d->nerrors == DATA_ERRORS_MAX))
		return -1;
	for (i = d->nerrors; i > 0; i--) {
		if (d->errors[i - 1].last_ms <= e.last_ms)
			break;
		d->errors[i] = d->errors[i - 1];
	}
	d->errors[i] = e;
	d->nerrors++;
	return 0;
}

static int
add_error(struct data *d, const struct imsg *m)
{
	struct info_error e;

	if (msg_read_info_error(m, &e) == -1 || !upstream_known(d, e.upstream))
		return -1;
	return data_add_error(d, &e);
}

static int
add_client(struct data *d, const struct imsg *m)
{
	struct info_client c;

	return msg_read_info_client(m, &c) == -1 ? -1 : data_add_client(d, &c);
}

static int
add_pin(struct data *d, const struct imsg *m)
{
	struct info_pin p;

	if (msg_read_info_pin(m, &p) == -1 || !upstream_known(d, p.upstream))
		return -1;
	return data_add_pin(d, &p);
}

static int
add_hist(struct data *d, const struct imsg *m)
{
	struct info_hist h;

	if (msg_read_info_hist(m, &h) == -1)
		return -1;
	if (h.which >= INFO_HIST_OF_UPSTREAM) {
		d->have_client_hists = true;
		if (h.recent)
			d->recent_client_hists[h.which] = h.hist;
		else
			d->client_hists[h.which] = h.hist;
		return 0;
	}
	if (!upstream_known(d, h.upstream))
		return -1;
	if (h.recent)
		d->recent_latency[h.upstream] = h.hist;
	else
		d->hists[h.upstream][h.which] = h.hist;
	return 0;
}

static int
add_process(struct data *d, const struct imsg *m)
{
	struct info_process p;

	if (msg_read_info_process(m, &p) == -1)
		return -1;
	if (p.role != ROLE_PARENT && p.worker != d->worker)
		return 0;
	d->processes[p.role] = p;
	d->have_process[p.role] = true;
	return 0;
}

int
data_add_hearsay(struct data *d, const struct imsg *m)
{
	struct info_process p;

	if (msg_read_info_process(m, &p) == -1)
		return -1;
	return d->have_process[p.role] ? 0 : add_process(d, m);
}

static int
add_draining(struct data *d, const struct imsg *m)
{
	uint8_t draining;

	if (msg_read_u8(m, &draining, 2) == -1)
		return -1;
	d->draining |= draining == 1;
	return 0;
}

static int
add_text(struct data *d, const struct imsg *m)
{
	char *text;

	if (m->len > DATA_TEXT_MAX - d->text_len)
		return -1;
	text = realloc(d->text, d->text_len + m->len + 1);
	if (text == NULL)
		return -1;
	memcpy(text + d->text_len, m->data, m->len);
	d->text = text;
	d->text_len += m->len;
	return 0;
}

int
data_add(struct data *d, const struct imsg *m)
{
	if (d->done)
		return -1;
	switch (m->type) {
	case MSG_INFO_COUNTERS:
		return add_counters(d, m);
	case MSG_INFO_POOL:
		d->have_pool = true;
		return msg_read_info_pool(m, &d->pool);
	case MSG_INFO_UPSTREAM:
		return add_upstream(d, m);
	case MSG_INFO_CONN:
		return add_conn(d, m);
	case MSG_INFO_HIST:
		return add_hist(d, m);
	case MSG_INFO_PIN:
		return add_pin(d, m);
	case MSG_INFO_CLIENT:
		return add_client(d, m);
	case MSG_INFO_ERROR:
		return add_error(d, m);
	case MSG_INFO_PROCESS:
		return add_process(d, m);
	case MSG_INFO_PROBE:
		d->have_probe = true;
		return msg_read_info_probe(m, &d->probe);
	case MSG_INFO_LISTENER:
		return add_draining(d, m);
	case MSG_INFO_TEXT:
		return add_text(d, m);
	case MSG_INFO_END:
		d->done = true;
		data_rank_clients(d);
		return msg_read_result(m, &d->result);
	default:
		return -1;
	}
}

void
data_look(struct data *d)
{
	size_t i;

	for (i = 0; i < d->nparts; i++)
		data_look(d->parts[i]);
	d->looked = true;
	proc_ask_kernel(&d->kernel);
	for (i = 0; i < ROLE_COUNT; i++)
		if (d->have_process[i] && d->processes[i].pid != 0)
			d->have_facts[i] =
			    proc_read(PROC_DIR, d->processes[i].pid,
				&d->facts[i]) == 0;
}

void
data_look_usage(struct data *d)
{
	size_t i;

	for (i = 0; i < d->nparts; i++)
		data_look_usage(d->parts[i]);
	for (i = 0; i < ROLE_COUNT; i++)
		if (d->have_process[i] && d->processes[i].pid != 0)
			d->have_facts[i] =
			    proc_read_parts(PROC_DIR, d->processes[i].pid,
				PROC_USAGE, &d->facts[i]) == 0;
}

const char *
data_health_name(enum data_health health)
{
	static const char *const names[HEALTH_COUNT] = { "ok", "degraded",
		"down" };

	return health < HEALTH_COUNT ? names[health] : "?";
}

bool
data_upstream_down(const struct info_upstream *u)
{
	/* Trying again after a failure is not up before it has worked. */
	return u->state == STATE_BACKOFF ||
	       (u->state == STATE_CONNECTING && u->open == 0 &&
		   u->last_cause != CAUSE_NONE);
}

size_t
data_usable(const struct data *d)
{
	size_t i, n = 0;

	for (i = 0; i < d->nupstreams; i++)
		n += d->upstreams[i].state != STATE_DISABLED &&
		     !data_upstream_down(&d->upstreams[i]);
	return n;
}

static enum data_health
judge_upstreams(const struct data *d, char reason[DATA_REASON_MAX])
{
	char disabled[32] = "";
	size_t i, n = d->nupstreams, down = 0, up = 0, off = 0;

	for (i = 0; i < d->nupstreams; i++) {
		down += data_upstream_down(&d->upstreams[i]);
		up += d->upstreams[i].state == STATE_UP;
		off += d->upstreams[i].state == STATE_DISABLED;
	}
	n -= off;
	if (off > 0)
		(void)snprintf(
		    disabled, sizeof(disabled), ", %zu disabled", off);
	if (down == n) {
		(void)snprintf(reason, DATA_REASON_MAX,
		    "no upstream reachable%s", disabled);
		return HEALTH_DOWN;
	}
	if (down > 0)
		(void)snprintf(reason, DATA_REASON_MAX,
		    "%zu of %zu upstreams down%s", down, n, disabled);
	else if (up < n)
		(void)snprintf(reason, DATA_REASON_MAX,
		    "%zu of %zu upstreams up, the others not needed yet%s", up,
		    n, disabled);
	else
		(void)snprintf(reason, DATA_REASON_MAX, "%zu upstream%s up%s",
		    n, n == 1 ? "" : "s", disabled);
	return down > 0 ? HEALTH_DEGRADED : HEALTH_OK;
}

/* Judges several workers: one that is not well is not all. */
static enum data_health
judge_parts(const struct data *d, char reason[DATA_REASON_MAX])
{
	char why[DATA_REASON_MAX];
	enum data_health health, least = HEALTH_DOWN;
	size_t i, n = 0, first = 0;

	for (i = 0; i < d->nparts; i++) {
		health = data_judge(d->parts[i], why);
		if (health < least)
			least = health;
		if (health != HEALTH_OK && n++ == 0)
			first = i;
	}
	if (n == 0)
		return judge_upstreams(d, reason);
	(void)data_judge(d->parts[first], why);
	i = (size_t)snprintf(reason, DATA_REASON_MAX, "worker %u: %.100s",
	    d->parts[first]->worker + 1, why);
	if (n > 1)
		(void)snprintf(reason + i, DATA_REASON_MAX - i,
		    "; %zu more of %zu are not well", n - 1, d->nparts);
	return least == HEALTH_DOWN ? HEALTH_DOWN : HEALTH_DEGRADED;
}

enum data_health
data_judge(const struct data *d, char reason[DATA_REASON_MAX])
{
	if (d->nparts > 0)
		return judge_parts(d, reason);
	if (d->numbered && !d->have_listener) {
		(void)snprintf(reason, DATA_REASON_MAX,
		    "the listener process does not answer");
		return HEALTH_DOWN;
	}
	if ((d->have_process[ROLE_POOL] && d->processes[ROLE_POOL].pid == 0) ||
	    !d->have_pool) {
		(void)snprintf(reason, DATA_REASON_MAX, "the pool process %s",
		    d->have_process[ROLE_POOL] &&
			    d->processes[ROLE_POOL].pid == 0
			? "is not running"
			: "does not answer");
		return HEALTH_DOWN;
	}
	return judge_upstreams(d, reason);
}

void
data_queries(const struct data *d, struct data_queries *q)
{
	const uint64_t *v = d->listener.values;

	q->received = format_sum(v[LSTAT_queries_udp], v[LSTAT_queries_tcp]);
	q->answered = v[LSTAT_answered];
	q->failed = format_sum(v[LSTAT_failed_timeout],
	    format_sum(v[LSTAT_failed_network],
		format_sum(v[LSTAT_failed_tls],
		    format_sum(v[LSTAT_failed_busy],
			format_sum(v[LSTAT_failed_not_ready],
			    v[LSTAT_failed_other])))));
	q->refused = format_sum(v[LSTAT_refused_acl],
	    format_sum(v[LSTAT_refused_unsupported], v[LSTAT_refused_limited]));
	q->dropped = format_sum(v[LSTAT_dropped_malformed],
	    format_sum(
		v[LSTAT_dropped_send], format_sum(v[LSTAT_dropped_repeated],
					   v[LSTAT_dropped_limited])));
	q->abandoned = v[LSTAT_abandoned];
}

uint64_t
data_failures(const struct info_upstream *u)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < PHASE_COUNT; i++)
		sum = format_sum(sum, u->failures[i]);
	return sum;
}
