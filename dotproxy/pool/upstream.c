/* SPDX-License-Identifier: ISC */
/*
 * An upstream's connections and the queries that wait for them, see
 * upstream.h.  Runs in the pool.  When to dial is health.c's.  It must choose
 * among connections without a search, and never leave a query in a list that
 * nothing will come back to.
 */
#include "dotproxy/pool/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "dotproxy/pool/pool.h"
#include "dotproxy/pool/standby.h"

/* A lone connection that ended without an answer: the next one not before. */
#define LONE_PAUSE_MS 100u

static void
poke_later(evutil_socket_t fd, short what, void *arg)
{
	struct upstream *up = arg;

	(void)fd;
	(void)what;
	pool_turn_begin(up->pool);
	upstream_poke(up);
}

/* Takes over what a configuration says, but for its place in the list. */
static void
take_settings(struct upstream *up, const struct msg_upstream *m,
    struct session_config *cfg)
{
	char host[SOCKADDR_TEXT_MAX];

	up->conf = m->conf;
	up->tls = cfg;
	/* Without a name the certificate has to be for the address. */
	(void)snprintf(up->peer_name, sizeof(up->peer_name), "%s",
	    m->conf.server_name[0] != '\0'
		? m->conf.server_name
		: sockaddr_host_text(&m->conf.addr, host));
}

struct upstream *
upstream_new(
    struct pool *pool, const struct msg_upstream *m, struct session_config *cfg)
{
	struct upstream *up = calloc(1, sizeof(*up));

	if (up == NULL)
		return NULL;
	up->pool = pool;
	up->id = m->id;
	up->index = UPSTREAM_NO_INDEX;
	TAILQ_INIT(&up->conns);
	TAILQ_INIT(&up->avail);
	TAILQ_INIT(&up->busy);
	TAILQ_INIT(&up->doubtful);
	TAILQ_INIT(&up->waiting);
	TAILQ_INIT(&up->alone);
	overdue_init(up);
	TAILQ_INIT(&up->transfers);
	event_assign(&up->timer, pool->base, -1, 0, poke_later, up);
	backoff_init(
	    &up->backoff, UPSTREAM_BACKOFF_MIN_MS, UPSTREAM_BACKOFF_MAX_MS);
	take_settings(up, m, cfg);
	return up;
}

void
upstream_update(struct upstream *up, const struct msg_upstream *m,
    struct session_config *cfg)
{
	struct conn *c;

	session_config_free(up->tls);
	take_settings(up, m, cfg);
	standby_unprepare(up);
	/* The CA file may say something else now: verify again. */
	session_tickets_clear(&up->tickets);
	TAILQ_FOREACH (c, &up->conns, all) {
		if (c->state == CONN_ASKED)
			conn_unprepare(c);
		conn_keep_no_ticket(c);
		conn_retime(c);
	}
}

void
upstream_free(struct upstream *up)
{
	if (up == NULL)
		return;
	event_del(&up->timer);
	event_del(&up->ev_wait);
	standby_unprepare(up);
	session_tickets_clear(&up->tickets);
	session_config_free(up->tls);
	pins_chain_free(up->chain);
	free(up);
}

/* The class a connection belongs to now. */
static enum conn_class
class_of(const struct conn *c)
{
	uint32_t load = conn_load(c);

	if (c->state != CONN_READY || c->lone || load >= CONN_HARD_MAX)
		return CONN_CLASS_NONE;
	if (c->suspect)
		return CONN_CLASS_DOUBT;
	/* One that is full or at its end takes queries if nothing else does. */
	if (load >= CONN_SOFT_MAX || c->pending_len > 0 || c->expiring ||
	    c->quiet)
		return CONN_CLASS_BUSY;
	return CONN_CLASS_AVAIL;
}

static struct conn_list *
list_of(struct upstream *up, enum conn_class class)
{
	switch (class) {
	case CONN_CLASS_AVAIL:
		return &up->avail;
	case CONN_CLASS_BUSY:
		return &up->busy;
	case CONN_CLASS_DOUBT:
		return &up->doubtful;
	case CONN_CLASS_NONE:
		break;
	}
	return NULL;
}

void
upstream_relist(struct conn *c)
{
	struct upstream *up = c->up;
	struct conn_list *list;
	enum conn_class class = class_of(c);

	if (class == c->class)
		return;
	if ((list = list_of(up, c->class)) != NULL)
		TAILQ_REMOVE(list, c, place);
	c->class = class;
	/* At the tail: the head is the one used last, and stays it. */
	if ((list = list_of(up, class)) != NULL)
		TAILQ_INSERT_TAIL(list, c, place);
}

/*
 * The connection for the next query: the one used last, so that those not
 * needed become idle and go; if all are busy, each in turn gets a batch of what
 * came in this turn of the loop, which leaves as one TLS record; and then those
 * of which nothing was heard for long.
 */
static struct conn *
pick_conn(struct upstream *up)
{
	struct conn *c = TAILQ_FIRST(&up->avail);
	struct conn_list *list;

	if (c != NULL)
		return c;
	list = TAILQ_EMPTY(&up->busy) ? &up->doubtful : &up->busy;
	c = TAILQ_LAST(list, conn_list);
	if (c != NULL && c->nqueued > 0 && c->nqueued < CONN_BATCH)
		return c;
	c = TAILQ_FIRST(list);
	if (c != NULL) {
		TAILQ_REMOVE(list, c, place);
		TAILQ_INSERT_TAIL(list, c, place);
	}
	return c;
}

void
upstream_submit(struct upstream *up, struct query *q)
{
	struct conn *c;

	overdue_count_query(up);
	up->last_query_ms = up->pool->now_ms;
	q->upstream = up;
	if (q->streams) {
		q->state = QUERY_APART;
		TAILQ_INSERT_TAIL(&up->transfers, q, place);
		up->ntransfers++;
		upstream_poke(up);
		return;
	}
	if (query_is_apart(q)) {
		q->state = QUERY_ALONE;
		TAILQ_INSERT_TAIL(&up->alone, q, place);
		upstream_poke(up);
		return;
	}
	c = pick_conn(up);
	if (c != NULL)
		conn_submit(c, q);
	else {
		q->state = QUERY_WAITING;
		TAILQ_INSERT_TAIL(&up->waiting, q, place);
		if (up->nwaiting++ == 0)
			overdue_wait(up);
		pool_count(up->pool, TSTAT_waited);
	}
	if (TAILQ_EMPTY(&up->avail))
		upstream_grow(up);
	else if (up->nready < overdue_wanted(up))
		upstream_keep(up);
	standby_wake(up->pool);
}

void
upstream_forget(struct upstream *up, struct query *q)
{
	if (q->state == QUERY_ALONE)
		TAILQ_REMOVE(&up->alone, q, place);
	else if (q->state == QUERY_APART) {
		TAILQ_REMOVE(&up->transfers, q, place);
		up->ntransfers--;
	} else {
		TAILQ_REMOVE(&up->waiting, q, place);
		up->nwaiting--;
	}
	q->state = QUERY_HELD;
	q->upstream = NULL;
}

/* Takes all queries out that wait here, or all transfers. */
static void
take_waiting(struct upstream *up, struct query_list *list, bool transfers)
{
	struct query *q;

	if (!transfers) {
		TAILQ_CONCAT(list, &up->waiting, place);
		TAILQ_CONCAT(list, &up->alone, place);
		up->nwaiting = 0;
	}
	TAILQ_CONCAT(list, &up->transfers, place);
	up->ntransfers = 0;
	TAILQ_FOREACH (q, list, place) {
		q->state = QUERY_HELD;
		q->upstream = NULL;
	}
}

/* Puts the queries that wait on connections, as far as these take them. */
static void
place_waiting(struct upstream *up)
{
	struct query *q;
	struct conn *c;

	while ((q = TAILQ_FIRST(&up->waiting)) != NULL &&
	       (c = pick_conn(up)) != NULL) {
		upstream_forget(up, q);
		conn_submit(c, q);
	}
}

/* The transfer this connection is for; it may have been given up. */
static void
place_transfer(struct conn *c)
{
	struct upstream *up = c->up;
	struct query *q = TAILQ_FIRST(&up->transfers);

	up->napart--;
	if (q == NULL) {
		conn_close(c);
		return;
	}
	upstream_forget(up, q);
	conn_submit(c, q);
}

void
upstream_conn_ready(struct conn *c)
{
	struct upstream *up = c->up;
	struct pool *pool = up->pool;

	pool->ndials--;
	if (c->probe) {
		probe_on_ready(c);
		return;
	}
	up->nconnecting -= !c->apart;
	up->n.opened++;
	if (session_resumed(&c->session)) {
		up->n.resumed++;
		pool_count(pool, TSTAT_handshakes_resumed);
	} else
		pool_count(pool, TSTAT_handshakes_full);
	if (c->session.chain != NULL) {
		pins_chain_free(up->chain);
		up->chain = c->session.chain;
		c->session.chain = NULL;
	}
	if (!c->lone)
		warm_set_up(&up->warm, pool->now_ms - c->asked_ms);
	if (!c->lone)
		up->nready++;
	log_debug("upstream \"%s\": connected, %s %s%s", up->conf.name,
	    SSL_get_version(c->session.ssl),
	    SSL_get_cipher_name(c->session.ssl),
	    session_resumed(&c->session) ? ", resumed" : "");
	hedge_latency_guess(&up->late, (pool->now_ms - c->asked_ms) * 1000);
	up->failed = false;
	overdue_ready(up);
	if (up->suspect && !up->need_answer)
		upstream_succeed(up, c);
	upstream_relist(c);
	upstream_refresh(up);
	place_waiting(up);
	admin_conn_ready(c);
	if (c->apart)
		place_transfer(c);
	upstream_poke(up);
	dispatch_parked(pool);
}

void
upstream_conn_answered(struct conn *c)
{
	struct upstream *up = c->up;

	if (up->suspect)
		upstream_succeed(up, c);
	if (c->lone)
		upstream_poke(up);
	else if (up->nwaiting > 0)
		place_waiting(up);
}

/*
 * One connection has died of silence.  Its siblings went the same way: those
 * which have heard nothing since are not given queries any more.
 */
static void
distrust_silent(struct upstream *up, uint64_t since_ms)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&up->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->state == CONN_READY && c->heard_ms < since_ms)
			conn_drain(c);
	}
}

/* Unlists a connection that has ended and hands it to the end of the turn. */
static void
bury(struct conn *c)
{
	struct upstream *up = c->up;
	struct pool *pool = up->pool;

	overdue_unlist(c);
	if (c->state == CONN_READY && !c->lone)
		up->nready--;
	if (c->ready_ms == 0) {
		up->nconnecting -= !c->apart;
		pool->ndials--;
	}
	if (c->state == CONN_ASKED)
		TAILQ_REMOVE(&pool->asked, c, place);
	if (c->apart && c->ready_ms == 0 && !c->probe)
		up->napart--;
	if (c == up->lone)
		up->lone = NULL;
	if (!c->lone)
		up->nconns--;
	else if (!c->probe && c->served == 0 &&
		 (c->given > 0 || c->ready_ms == 0))
		up->lone_ms = pool->now_ms + LONE_PAUSE_MS;
	c->state = CONN_DEAD;
	upstream_relist(c);
	TAILQ_REMOVE(&up->conns, c, all);
	TAILQ_INSERT_TAIL(&pool->dead, c, all);
}

void
upstream_conn_ended(struct conn *c, const struct conn_end *end)
{
	struct upstream *up = c->up;
	struct query_list lost = TAILQ_HEAD_INITIALIZER(lost);
	struct query_list waiting = TAILQ_HEAD_INITIALIZER(waiting);

	conn_take_all(c, &lost);
	bury(c);
	if (c->probe) {
		probe_on_end(c, end);
		return;
	}
	if (end->counts) {
		up->n.failures[end->phase]++;
		errors_add(&up->pool->errors, up->id, end->phase, end->cause,
		    end->text, up->pool->now_ms);
	}
	if (end->blame) {
		if (end->phase == PHASE_TIMEOUT)
			distrust_silent(up, c->waiting_since);
		upstream_fail(up, c, end);
	}
	upstream_refresh(up);
	/*
	 * A dial for a transfer that fails costs other queries no try, and one
	 * that the parent has no room for now costs nobody any.
	 */
	if (up->failed || (c->lone && c->ready_ms == 0 && end->counts))
		take_waiting(up, &waiting, !up->failed && c->apart);
	dispatch_list_again(up->pool, &lost, up, end->cause,
	    end->blame ? up->index : POLICY_NONE);
	dispatch_list_again(up->pool, &waiting, up, end->cause, up->index);
	if (end->by_peer)
		standby_closed(up, c);
	upstream_poke(up);
	standby_prepare(up);
}

/* Lets the connections end with the queries they have. */
static void
end_conns(struct upstream *up, const char *why)
{
	const struct conn_end end = { .cause = CAUSE_NETWORK, .text = why };
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&up->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->state == CONN_READY)
			conn_drain(c);
		else if (c->state != CONN_DRAINING)
			conn_end(c, &end);
	}
}

void
upstream_retire(struct upstream *up)
{
	struct query_list waiting = TAILQ_HEAD_INITIALIZER(waiting);

	event_del(&up->timer);
	standby_unprepare(up);
	take_waiting(up, &waiting, false);
	dispatch_list_again(up->pool, &waiting, up, CAUSE_NETWORK, POLICY_NONE);
	end_conns(up, "no longer configured");
}

void
upstream_stand_down(struct upstream *up)
{
	struct query_list waiting = TAILQ_HEAD_INITIALIZER(waiting);

	event_del(&up->timer);
	up->flush_request = 0;
	upstream_refresh(up);
	take_waiting(up, &waiting, false);
	dispatch_list_anew(up->pool, &waiting);
	end_conns(up, "disabled");
}

void
upstream_reset(struct upstream *up, struct query_list *list)
{
	struct conn *c, *next;

	take_waiting(up, list, false);
	backoff_clear(&up->backoff);
	up->failed = up->suspect = up->need_answer = false;
	for (c = TAILQ_FIRST(&up->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->state == CONN_ASKED) {
			conn_unprepare(c); /* it may have a ticket */
			continue;
		}
		conn_take_all(c, list);
		conn_close(c);
	}
	/* Our clock did not see how long ago they were verified. */
	session_tickets_clear(&up->tickets);
	upstream_refresh(up);
}

/* Counts connections by what they do. */
static void
count_conns(const struct upstream *up, struct info_upstream *info)
{
	const struct conn *c;

	TAILQ_FOREACH (c, &up->conns, all) {
		info->inflight += conn_inflight(c);
		if (c->ready_ms == 0)
			info->connecting++;
		else {
			info->open++;
			info->idle += conn_inflight(c) == 0;
		}
	}
}

static enum info_state
state_of(const struct upstream *up)
{
	if (up->disabled)
		return STATE_DISABLED;
	if (up->nready > 0)
		return STATE_UP;
	if (up->failed)
		return STATE_BACKOFF;
	if (up->nconnecting > 0)
		return STATE_CONNECTING;
	return up->n.opened > 0 ? STATE_UP : STATE_IDLE;
}

void
upstream_fill_info(struct upstream *up, struct info_upstream *info)
{
	struct hist latency;

	memset(info, 0, sizeof(*info));
	info->index = up->index;
	memcpy(info->name, up->conf.name, sizeof(info->name));
	memcpy(
	    info->server_name, up->conf.server_name, sizeof(info->server_name));
	info->addr = up->conf.addr;
	info->state = (uint8_t)state_of(up);
	info->last_cause = up->fault.cause;
	info->backoff_left_ms =
	    (uint32_t)backoff_left(&up->backoff, up->pool->now_ms);
	info->pool_size = up->conf.pool_size;
	info->waiting = up->nwaiting;
	count_conns(up, info);
	info->queries = up->n.queries;
	info->answers = up->n.answers;
	info->opened = up->n.opened;
	info->resumed = up->n.resumed;
	info->closed_by_peer = up->n.closed_by_peer;
	info->warm_dials = up->n.warm_dials;
	info->idle_limit_ms = warm_limit(&up->warm);
	info->warm_left_ms = (uint32_t)standby_left(up);
	info->retries = up->n.retries;
	info->hedges = up->n.hedges;
	info->hedges_won = up->n.hedges_won;
	info->hedges_lost = up->n.hedges_lost;
	info->hedges_denied = up->n.hedges_denied;
	info->rescues = up->n.rescues;
	memcpy(info->failures, up->n.failures, sizeof(info->failures));
	hist_live_read(&up->latency, up->pool->now_ms, false, &latency);
	info->latency_mean_us = hist_mean_us(&latency);
	info->latency_p50_us = hist_quantile_us(&latency, 500);
	info->latency_p99_us = hist_quantile_us(&latency, 990);
	info->connect_p50_us = hist_quantile_us(&up->connect, 500);
	info->handshake_p50_us = hist_quantile_us(&up->handshake, 500);
}
