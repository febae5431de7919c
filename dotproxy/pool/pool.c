/* SPDX-License-Identifier: ISC */
/*
 * The pool's channels and its turns, see pool.h.  Runs in the pool.  A message
 * the rules here do not admit is refused: from the parent that is the end of
 * the process, from the listener the end of the link, never of the pool.
 */
#include "dotproxy/pool/pool.h"

#include "common/child.h"
#include "common/log.h"
#include "common/loop.h"

static int
on_log_level(void *arg, struct imsg *m)
{
	uint8_t level;

	(void)arg;
	if (msg_read_u8(m, &level, LOG_LEVEL_COUNT) == -1)
		return -1;
	log_set_level(level);
	return 0;
}

static int
on_connected(void *arg, struct imsg *m)
{
	struct pool *pool = arg;

	pool_turn_begin(pool);
	return upstream_on_connected(pool, m->id, imsg_take_fd(m));
}

static int
on_ping(void *arg, struct imsg *m)
{
	struct pool *pool = arg;

	(void)m;
	(void)imsg_send_empty(&pool->parent, MSG_XP_PONG, 0, -1);
	return 0;
}

static int
on_connect_failed(void *arg, struct imsg *m)
{
	struct pool *pool = arg;
	uint32_t err;

	pool_turn_begin(pool);
	if (msg_read_u32(m, &err) == -1 || err > INT32_MAX)
		return -1;
	return upstream_on_connect_failed(pool, m->id, (int)err);
}

static const struct imsg_rule link_rules[IMSG_TYPES_MAX] = {
	[MSG_LT_QUERY] = { .handler = dispatch_on_query,
	    .min = MSG_QUERY_MIN,
	    .max = MSG_QUERY_MAX,
	    .phases = 1 },
	[MSG_LT_TRANSFER] = { .handler = dispatch_on_transfer,
	    .min = MSG_QUERY_MIN,
	    .max = MSG_QUERY_MAX,
	    .phases = 1 },
	[MSG_LT_CREDIT] = { .handler = stream_on_credit,
	    .min = 4,
	    .max = 4,
	    .phases = 1 },
	[MSG_LT_CANCEL] = { .handler = dispatch_on_cancel, .phases = 1 },
	[MSG_LT_PROBE] = { .handler = probe_on_request,
	    .min = 4,
	    .max = 4,
	    .phases = 1 },
	[MSG_LT_SHOW] = { .handler = stats_on_show,
	    .min = 1,
	    .max = 1,
	    .phases = 1 },
};

/* The end of the turn deals with it: we may be deep in some callback. */
static void
on_link_down(void *arg, enum imsg_status status, const char *why)
{
	struct pool *pool = arg;

	pool_turn_begin(pool);
	pool->link_lost = true;
	if (status == IMSG_VIOLATION)
		log_warnx("listener broke the protocol: %s", why);
	else if (status == IMSG_FAILED)
		log_warnx("link to the listener: %s", why);
}

/* The turn that this begins resumes reading at its end. */
static void
on_link_drained(void *arg)
{
	pool_turn_begin(arg);
}

static void
drop_link(struct pool *pool)
{
	imsg_close(&pool->link);
	pool->link_lost = pool->info_owed = false;
	probe_drop(pool);
	dispatch_cancel_all(pool);
}

static int
on_link_out(void *arg, struct imsg *m)
{
	struct pool *pool = arg;

	if (pool->link_out != -1)
		return -1;
	pool->link_out = imsg_take_fd(m);
	return 0;
}

static int
on_link(void *arg, struct imsg *m)
{
	struct pool *pool = arg;
	const struct imsg_chan_opts opts = {
		.rules = link_rules,
		.in_cap = MSG_LINK_BUF,
		.out_cap = MSG_LINK_BUF,
		.phase = 1,
		.arg = pool,
		.on_down = on_link_down,
		.on_drained = on_link_drained,
	};

	if (pool->link_out == -1)
		return -1;
	pool_turn_begin(pool);
	drop_link(pool);
	if (imsg_open(&pool->link, imsg_take_fd(m), &opts) == -1)
		fatalx("out of memory for the link to the listener");
	imsg_set_out(&pool->link, pool->link_out);
	pool->link_out = -1;
	if (imsg_attach(&pool->link, pool->base) == -1)
		fatalx("out of memory for the link to the listener");
	pool->link_number = m->id;
	return 0;
}

const struct imsg_rule pool_parent_rules[IMSG_TYPES_MAX] = {
	[MSG_PX_CONF_BEGIN] = { .handler = config_on_begin,
	    .phases = POOL_PHASE_IDLE },
	[MSG_PT_POOL] = { .handler = config_on_pool,
	    .max = 64,
	    .phases = POOL_PHASE_CONF },
	[MSG_PT_CA] = { .handler = config_on_ca,
	    .min = 2,
	    .max = 2 + CONF_PATH_MAX,
	    .phases = POOL_PHASE_CONF,
	    .fd = IMSG_FD_REQUIRED },
	[MSG_PT_UPSTREAM] = { .handler = config_on_upstream,
	    .max = 2048,
	    .phases = POOL_PHASE_CONF },
	[MSG_PT_CERT] = { .handler = config_on_cert,
	    .min = 2,
	    .max = 2 + CONF_PATH_MAX,
	    .phases = POOL_PHASE_CONF,
	    .fd = IMSG_FD_REQUIRED },
	[MSG_PT_KEY] = { .handler = config_on_key,
	    .min = 2,
	    .max = 2 + CONF_PATH_MAX,
	    .phases = POOL_PHASE_CONF,
	    .fd = IMSG_FD_REQUIRED },
	[MSG_PX_CONF_END] = { .handler = config_on_end,
	    .phases = POOL_PHASE_CONF },
	[MSG_PT_DECIDE] = { .handler = config_on_decide,
	    .min = 1,
	    .max = 1,
	    .phases = POOL_PHASE_IDLE | POOL_PHASE_CONF },
	[MSG_PX_LINK_OUT] = { .handler = on_link_out,
	    .phases = POOL_PHASE_IDLE | POOL_PHASE_CONF,
	    .fd = IMSG_FD_REQUIRED },
	[MSG_PX_LINK] = { .handler = on_link,
	    .phases = POOL_PHASE_IDLE | POOL_PHASE_CONF,
	    .fd = IMSG_FD_REQUIRED },
	[MSG_PX_LOG_LEVEL] = { .handler = on_log_level,
	    .min = 1,
	    .max = 1,
	    .phases = POOL_PHASE_IDLE | POOL_PHASE_CONF },
	[MSG_PX_CHANGE] = { .handler = admin_on_change,
	    .min = 1,
	    .max = 1,
	    .phases = POOL_PHASE_IDLE | POOL_PHASE_CONF },
	[MSG_PX_PING] = { .handler = on_ping,
	    .phases = POOL_PHASE_IDLE | POOL_PHASE_CONF },
	[MSG_PT_CONNECTED] = { .handler = on_connected,
	    .phases = POOL_PHASE_IDLE | POOL_PHASE_CONF,
	    .fd = IMSG_FD_REQUIRED },
	[MSG_PT_CONNECT_FAILED] = { .handler = on_connect_failed,
	    .min = 4,
	    .max = 4,
	    .phases = POOL_PHASE_IDLE | POOL_PHASE_CONF },
};

void
pool_init(struct pool *pool, struct event_base *base)
{
	const struct conf_forward forward = CONF_FORWARD_DEFAULT;
	const struct conf_client client = CONF_CLIENT_DEFAULT;

	pool->base = base;
	pool->link.fd = pool->link_out = -1;
	pool->forward = forward;
	policy_init(&pool->policy, forward.policy, 0);
	overdue_configure(pool);
	TAILQ_INIT(&pool->gone);
	TAILQ_INIT(&pool->parked);
	TAILQ_INIT(&pool->asked);
	TAILQ_INIT(&pool->dirty);
	TAILQ_INIT(&pool->paused);
	TAILQ_INIT(&pool->dead);
	errors_init(&pool->errors);
	/* For the largest there can be: a reload never moves it. */
	if (query_table_init(&pool->queries, CONF_INFLIGHT_MAX) == -1)
		fatalx("out of memory for queries");
	query_table_set_limit(&pool->queries, client.max_inflight);
	pool->max_streams = client.max_transfers;
	event_assign(&pool->deadline, base, -1, 0, dispatch_on_deadline, pool);
	(void)rng_u16(&pool->rng);
	session_init(&pool->tls);
	pool->started_ms = util_now_ms();
	pool->asleep_ms = util_asleep_ms();
}

static void
free_dead(struct pool *pool)
{
	struct upstream *up, *next;
	struct conn *c;

	while ((c = TAILQ_FIRST(&pool->dead)) != NULL) {
		TAILQ_REMOVE(&pool->dead, c, all);
		conn_free(c);
	}
	for (up = TAILQ_FIRST(&pool->gone); up != NULL; up = next) {
		next = TAILQ_NEXT(up, gone);
		if (!TAILQ_EMPTY(&up->conns))
			continue;
		TAILQ_REMOVE(&pool->gone, up, gone);
		upstream_free(up);
	}
}

/*
 * The machine was suspended: what the connections' peers know of them is
 * long gone, and to find that out one by one would take minutes.
 */
static void
check_asleep(struct pool *pool)
{
	struct query_list list = TAILQ_HEAD_INITIALIZER(list);
	uint64_t asleep_ms = util_asleep_ms(), last_ms = pool->asleep_ms;
	uint32_t i;

	pool->asleep_ms = asleep_ms;
	if ((int64_t)(asleep_ms - last_ms) < POOL_ASLEEP_MS)
		return;
	log_info("slept for %llu s, connecting anew",
	    (unsigned long long)(asleep_ms - last_ms) / 1000);
	for (i = 0; i < pool->nupstreams; i++)
		upstream_reset(pool->upstreams[i], &list);
	dispatch_list_anew(pool, &list);
	dispatch_parked(pool);
}

void
pool_turn_end(struct pool *pool)
{
	struct conn *c;

	pool_turn_begin(pool);
	check_asleep(pool);
	if (pool->link_lost) {
		drop_link(pool);
		(void)imsg_send_empty(
		    &pool->parent, MSG_XP_LINK_DOWN, pool->link_number, -1);
	}
	while ((c = TAILQ_FIRST(&pool->dirty)) != NULL) {
		TAILQ_REMOVE(&pool->dirty, c, turn);
		c->dirty = false;
		conn_flush(c);
	}
	if (pool->info_owed)
		stats_pay(pool);
	(void)imsg_flush(&pool->link);   /* on_down has the failure */
	(void)imsg_flush(&pool->parent); /* on_down exits */
	while (!imsg_congested(&pool->link) &&
	       (c = TAILQ_FIRST(&pool->paused)) != NULL)
		conn_resume(c);
	dispatch_arm_deadline(pool);
	free_dead(pool);
	pool->in_turn = false;
}

void
pool_free(struct pool *pool)
{
	const struct conn_end end = { .cause = CAUSE_NETWORK };
	struct upstream *up;
	uint32_t i;

	drop_link(pool);
	for (i = 0; i < pool->nupstreams; i++) {
		up = pool->upstreams[i];
		up->index = UPSTREAM_NO_INDEX;
		TAILQ_INSERT_TAIL(&pool->gone, up, gone);
	}
	TAILQ_FOREACH (up, &pool->gone, gone)
		while (!TAILQ_EMPTY(&up->conns))
			conn_end(TAILQ_FIRST(&up->conns), &end);
	free_dead(pool);
	config_run_free(pool->run);
	imsg_close(&pool->parent);
	event_del(&pool->deadline);
	query_table_free(&pool->queries);
	session_cleanup(&pool->tls);
}
