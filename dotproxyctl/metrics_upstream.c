/* SPDX-License-Identifier: ISC */
/*
 * The metrics of upstreams; see metrics.h and docs/METRICS.md.  Runs in the
 * exporter's reader.
 */
#include "dotproxyctl/metrics.h"

#include <inttypes.h>

#include "common/util.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Writes what a family has of one upstream, whose labels are set. */
typedef void (*put_samples)(
    struct metrics *, const struct data *, const struct info_upstream *);

static void
put_info(struct metrics *m, const struct data *d, const struct info_upstream *u)
{
	char text[SOCKADDR_TEXT_MAX];

	(void)d;
	metrics_labels_add(m, "address", sockaddr_text(&u->addr, text));
	metrics_u64(m, "server_name", u->server_name, 1);
}

static void
put_up(struct metrics *m, const struct data *d, const struct info_upstream *u)
{
	(void)d;
	metrics_u64(m, NULL, NULL, !data_upstream_down(u));
}

static void
put_state(
    struct metrics *m, const struct data *d, const struct info_upstream *u)
{
	unsigned int i;

	(void)d;
	for (i = 0; i < STATE_COUNT; i++)
		metrics_u64(m, "state", msg_state_name(i), u->state == i);
}

static void
put_backoff(
    struct metrics *m, const struct data *d, const struct info_upstream *u)
{
	(void)d;
	metrics_milli(m, NULL, NULL, u->backoff_left_ms);
}

static void
put_connections(
    struct metrics *m, const struct data *d, const struct info_upstream *u)
{
	(void)d;
	metrics_u64(
	    m, "state", "busy", u->open > u->idle ? u->open - u->idle : 0);
	metrics_u64(m, "state", "idle", u->idle);
	metrics_u64(m, "state", "connecting", u->connecting);
}

static void
put_opened(
    struct metrics *m, const struct data *d, const struct info_upstream *u)
{
	(void)d;
	metrics_u64(m, "session", "full",
	    u->opened > u->resumed ? u->opened - u->resumed : 0);
	metrics_u64(m, "session", "resumed", u->resumed);
}

static void
put_hedge_results(
    struct metrics *m, const struct data *d, const struct info_upstream *u)
{
	(void)d;
	metrics_u64(m, "result", "won", u->hedges_won);
	metrics_u64(m, "result", "lost", u->hedges_lost);
}

static void
put_failures(
    struct metrics *m, const struct data *d, const struct info_upstream *u)
{
	unsigned int i;

	(void)d;
	for (i = 0; i < PHASE_COUNT; i++)
		metrics_u64(m, "phase", msg_phase_name(i), u->failures[i]);
}

static void
put_latency(
    struct metrics *m, const struct data *d, const struct info_upstream *u)
{
	metrics_hist(
	    m, NULL, NULL, &d->hists[u->index][INFO_HIST_LATENCY], false);
}

static void
put_connect(
    struct metrics *m, const struct data *d, const struct info_upstream *u)
{
	metrics_hist(
	    m, NULL, NULL, &d->hists[u->index][INFO_HIST_CONNECT], false);
}

static void
put_handshake(
    struct metrics *m, const struct data *d, const struct info_upstream *u)
{
	metrics_hist(
	    m, NULL, NULL, &d->hists[u->index][INFO_HIST_HANDSHAKE], false);
}

static void
put_open(struct metrics *m, const struct data *d, const struct info_upstream *u)
{
	metrics_hist(m, NULL, NULL, &d->hists[u->index][INFO_HIST_OPEN], false);
}

#define NUMBER(member)                                                    \
	static void put_##member(struct metrics *m, const struct data *d, \
	    const struct info_upstream *u)                                \
	{                                                                 \
		(void)d;                                                  \
		metrics_u64(m, NULL, NULL, u->member);                    \
	}
NUMBER(pool_size)
NUMBER(inflight)
NUMBER(waiting)
NUMBER(queries)
NUMBER(answers)
NUMBER(retries)
NUMBER(closed_by_peer)
NUMBER(warm_dials)
NUMBER(hedges)
NUMBER(hedges_denied)
NUMBER(rescues)
#undef NUMBER

#define COUNTER METRIC_COUNTER, NULL
#define GAUGE METRIC_GAUGE, NULL
#define TIMES METRIC_HISTOGRAM, "seconds"

static const struct {
	const char *name;
	enum metric_type type;
	const char *unit;
	const char *help;
	put_samples put;
} families[] = {
	{ "dotproxy_upstream_info", GAUGE,
	    "Always 1; what an upstream is, is in the labels.", put_info },
	{ "dotproxy_upstream_up", GAUGE,
	    "0 from a failure to reach it until it is reached again.", put_up },
	{ "dotproxy_upstream_state", GAUGE, "1 for its state, 0 for others.",
	    put_state },
	{ "dotproxy_upstream_backoff_seconds", METRIC_GAUGE, "seconds",
	    "For how long it is left alone yet.", put_backoff },
	{ "dotproxy_upstream_connections", GAUGE, "Connections to it.",
	    put_connections },
	{ "dotproxy_upstream_connections_max", GAUGE,
	    "Connections there may be to it.", put_pool_size },
	{ "dotproxy_upstream_queries_in_flight", GAUGE,
	    "Queries on connections to it.", put_inflight },
	{ "dotproxy_upstream_queries_waiting", GAUGE,
	    "Queries that wait for a connection to it.", put_waiting },
	{ "dotproxy_upstream_queries", COUNTER,
	    "Queries given to a connection to it.", put_queries },
	{ "dotproxy_upstream_answers", COUNTER, "Answers it gave.",
	    put_answers },
	{ "dotproxy_upstream_retries", COUNTER,
	    "Queries that went elsewhere from here.", put_retries },
	{ "dotproxy_upstream_failures", COUNTER,
	    "Failures of its connections, by what was going on.",
	    put_failures },
	{ "dotproxy_upstream_connections_opened", COUNTER,
	    "Connections authenticated, by kind of TLS session.", put_opened },
	{ "dotproxy_upstream_connections_closed_by_peer", COUNTER,
	    "Connections it closed while they were idle.", put_closed_by_peer },
	{ "dotproxy_upstream_warm_dials", COUNTER,
	    "Connections dialled before a query needed them.", put_warm_dials },
	{ "dotproxy_upstream_hedges", COUNTER,
	    "Queries sent once more, because the answer was late.",
	    put_hedges },
	{ "dotproxy_upstream_rescues", COUNTER,
	    "Queries sent once more, because a connection was silent.",
	    put_rescues },
	{ "dotproxy_upstream_hedge_results", COUNTER,
	    "Hedges and rescues: answered first, or second.",
	    put_hedge_results },
	{ "dotproxy_upstream_hedges_denied", COUNTER,
	    "Late answers for which there was no budget.", put_hedges_denied },
	{ "dotproxy_upstream_latency_seconds", TIMES,
	    "From writing a query to reading its answer.", put_latency },
	{ "dotproxy_upstream_connect_seconds", TIMES, "TCP connect.",
	    put_connect },
	{ "dotproxy_upstream_handshake_seconds", TIMES, "TLS handshake.",
	    put_handshake },
	{ "dotproxy_upstream_open_seconds", TIMES,
	    "TCP connect and TLS handshake, together.", put_open },
};

static void
begin_upstream(
    struct metrics *m, const struct data *d, const struct info_upstream *u)
{
	char number[16];

	metrics_labels_clear(m);
	if (d->numbered) {
		(void)snprintf(
		    number, sizeof(number), "%" PRIu32, d->worker + 1);
		metrics_labels_add(m, "worker", number);
	}
	metrics_labels_add(m, "upstream", u->name);
}

void
metrics_upstreams(struct metrics *m, const struct data *d)
{
	const struct data *w;
	size_t i, k, n;

	for (i = 0; i < COUNT(families); i++) {
		metrics_family(m, families[i].name, families[i].type,
		    families[i].unit, families[i].help);
		for (k = 0; k < data_workers(d); k++) {
			w = data_worker(d, k);
			for (n = 0; n < w->nupstreams; n++) {
				begin_upstream(m, w, &w->upstreams[n]);
				families[i].put(m, w, &w->upstreams[n]);
			}
		}
	}
}
