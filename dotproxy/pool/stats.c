/* SPDX-License-Identifier: ISC */
/*
 * Answers to LT_SHOW: what the pool knows of itself, for dotproxyctl.  Runs in
 * the pool.  It names upstreams and connections, never a query.
 */
#include "dotproxy/pool/pool.h"

_Static_assert(TSTAT_COUNT <= INFO_COUNTERS_MAX, "too many counters");

static bool
send_counters(struct pool *pool, uint64_t handle)
{
	struct info_counters info = { .source = SOURCE_POOL,
		.uptime_ms = pool->now_ms - pool->started_ms,
		.n = TSTAT_COUNT };
	uint32_t i;

	pool->counters[TSTAT_in_flight] = query_held(&pool->queries);
	for (i = 0; i < TSTAT_COUNT; i++)
		info.values[i] = pool->counters[i];
	return msg_send_info_counters(&pool->link, handle, &info);
}

static bool
send_pool(struct pool *pool, uint64_t handle)
{
	const struct info_pool info = {
		.policy = (uint8_t)pool->forward.policy,
		.nupstreams = pool->nupstreams,
		.inflight = query_held(&pool->queries),
		.parked = pool->nparked,
		.max_inflight = pool->queries.limit,
	};

	return msg_send_info_pool(&pool->link, handle, &info);
}

static bool
send_conns(struct pool *pool, uint64_t handle, const struct upstream *up)
{
	const struct conn *c;
	struct info_conn info;

	TAILQ_FOREACH (c, &up->conns, all) {
		conn_fill_info(c, &info);
		if (!msg_send_info_conn(&pool->link, handle, &info))
			return false;
	}
	return true;
}

static bool
send_upstreams(struct pool *pool, uint64_t handle, bool with_conns)
{
	struct info_upstream info;
	uint32_t i;

	for (i = 0; i < pool->nupstreams; i++) {
		upstream_fill_info(pool->upstreams[i], &info);
		if (!msg_send_info_upstream(&pool->link, handle, &info))
			return false;
		if (with_conns && !send_conns(pool, handle, pool->upstreams[i]))
			return false;
	}
	return true;
}

static bool
send_hists(struct pool *pool, uint64_t handle)
{
	struct upstream *up;
	struct hist all, recent;
	uint32_t i;

	for (i = 0; i < pool->nupstreams; i++) {
		up = pool->upstreams[i];
		hist_live_read(&up->latency, pool->now_ms, false, &all);
		hist_live_read(&up->latency, pool->now_ms, true, &recent);
		if (!msg_send_info_hist(&pool->link, handle, i,
			INFO_HIST_LATENCY, false, &all) ||
		    !msg_send_info_hist(&pool->link, handle, i,
			INFO_HIST_LATENCY, true, &recent) ||
		    !msg_send_info_hist(&pool->link, handle, i,
			INFO_HIST_CONNECT, false, &up->connect) ||
		    !msg_send_info_hist(&pool->link, handle, i,
			INFO_HIST_HANDSHAKE, false, &up->handshake) ||
		    !msg_send_info_hist(&pool->link, handle, i, INFO_HIST_OPEN,
			false, &up->open))
			return false;
	}
	return true;
}

static bool
send_pins(struct pool *pool, uint64_t handle, const struct upstream *up)
{
	struct info_pin info = { .upstream = up->index };
	int i, n = up->chain != NULL ? sk_X509_num(up->chain) : 0;

	for (i = 0; i < n && i < INFO_PINS_MAX; i++) {
		info.depth = (uint8_t)i;
		if (!pins_hash(sk_X509_value(up->chain, i), info.pin))
			continue;
		info.configured = pins_have(&up->conf, info.pin);
		pins_subject(sk_X509_value(up->chain, i), info.subject,
		    sizeof(info.subject));
		if (!msg_send_info_pin(&pool->link, handle, &info))
			return false;
	}
	return true;
}

static bool
send_all_pins(struct pool *pool, uint64_t handle)
{
	uint32_t i;

	for (i = 0; i < pool->nupstreams; i++)
		if (!send_pins(pool, handle, pool->upstreams[i]))
			return false;
	return true;
}

/* Those of an upstream, which may be none. */
static bool
send_errors(struct pool *pool, uint64_t handle, const struct upstream *up)
{
	const struct error_entry *e;
	struct info_error info;

	TAILQ_FOREACH (e, &pool->errors.newest, place) {
		if (e->upstream != up->id)
			continue;
		errors_fill_info(e, pool->now_ms, &info);
		info.upstream = up->index;
		if (!msg_send_info_error(&pool->link, handle, &info))
			return false;
	}
	return true;
}

static bool
send_all_errors(struct pool *pool, uint64_t handle)
{
	uint32_t i;

	for (i = 0; i < pool->nupstreams; i++)
		if (!send_errors(pool, handle, pool->upstreams[i]))
			return false;
	return true;
}

int
stats_on_show(void *arg, struct imsg *m)
{
	struct pool *pool = arg;
	bool ok, fits;
	uint8_t what;

	pool_turn_begin(pool);
	if (msg_read_u8(m, &what, SHOW_COUNT) == -1)
		return -1;
	/* Answers come first; a listener that asks for ever gets less. */
	fits = !imsg_congested(&pool->link);
	switch ((enum msg_show)what) {
	case SHOW_SUMMARY:
	case SHOW_STATS:
		ok = fits && send_counters(pool, m->id) &&
		     send_pool(pool, m->id) &&
		     send_upstreams(pool, m->id, false);
		break;
	case SHOW_LATENCY:
		ok = fits && send_counters(pool, m->id) &&
		     send_pool(pool, m->id) &&
		     send_upstreams(pool, m->id, false) &&
		     send_hists(pool, m->id);
		break;
	case SHOW_POOL:
		ok = fits && send_pool(pool, m->id) &&
		     send_upstreams(pool, m->id, true);
		break;
	case SHOW_ALL:
		ok = fits && send_counters(pool, m->id) &&
		     send_pool(pool, m->id) &&
		     send_upstreams(pool, m->id, true) &&
		     send_hists(pool, m->id);
		break;
	case SHOW_PINS:
		ok = fits && send_pool(pool, m->id) &&
		     send_upstreams(pool, m->id, false) &&
		     send_all_pins(pool, m->id);
		break;
	case SHOW_ERRORS:
		ok = fits && send_pool(pool, m->id) &&
		     send_upstreams(pool, m->id, false) &&
		     send_all_errors(pool, m->id);
		break;
	default: /* the others are not the pool's to answer */
		return -1;
	}
	if (!msg_send_result(&pool->link, MSG_INFO_END, m->id, ok,
		ok ? NULL : "the pool is too busy")) {
		pool->info_owed = true;
		pool->info_handle = m->id;
	}
	return 0;
}

void
stats_pay(struct pool *pool)
{
	pool->info_owed = !msg_send_result(&pool->link, MSG_INFO_END,
	    pool->info_handle, false, "the pool is too busy");
}
