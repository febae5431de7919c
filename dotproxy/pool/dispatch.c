/* SPDX-License-Identifier: ISC */
/*
 * Queries: from the listener to an upstream, from one upstream to another, and
 * their end.  Runs in the pool.  Every query that came in ends in exactly one
 * of an answer, a failure, or its link's end, and is counted once.
 */
#include <string.h>

#include "common/dns.h"
#include "common/log.h"
#include "common/loop.h"
#include "dotproxy/pool/edit.h"
#include "dotproxy/pool/pool.h"

/* If the table is full, a query held for longer than this yields its place. */
#define YIELD_MS 250

static const enum pool_counter cause_counter[CAUSE_COUNT] = {
	[CAUSE_NONE] = TSTAT_failed_other,
	[CAUSE_TIMEOUT] = TSTAT_failed_timeout,
	[CAUSE_NETWORK] = TSTAT_failed_network,
	[CAUSE_TLS] = TSTAT_failed_tls,
	[CAUSE_NAME] = TSTAT_failed_tls,
	[CAUSE_EXPIRED] = TSTAT_failed_tls,
	[CAUSE_UNTRUSTED] = TSTAT_failed_tls,
	[CAUSE_PIN] = TSTAT_failed_tls,
	[CAUSE_CLIENT_CERT] = TSTAT_failed_tls,
	[CAUSE_PROTOCOL] = TSTAT_failed_other,
	[CAUSE_BUSY] = TSTAT_failed_busy,
	[CAUSE_NOT_REPEATABLE] = TSTAT_failed_other,
};

/* Where an upstream stands now; it may have moved, or gone, in a reload. */
static uint32_t
index_of(const struct pool *pool, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < pool->nupstreams; i++)
		if (pool->upstreams[i]->id == id)
			return i;
	return MSG_NO_UPSTREAM;
}

/* Takes a query out of whatever list it is in; it becomes HELD. */
static void
detach(struct pool *pool, struct query *q)
{
	switch ((enum query_state)q->state) {
	case QUERY_PARKED:
		TAILQ_REMOVE(&pool->parked, q, place);
		pool->nparked--;
		q->state = QUERY_HELD;
		break;
	case QUERY_WAITING:
	case QUERY_ALONE:
	case QUERY_APART:
		upstream_forget(q->upstream, q);
		break;
	case QUERY_QUEUED:
	case QUERY_SENT:
		conn_forget(q->conn, q);
		break;
	case QUERY_FREE:
	case QUERY_HELD:
		break;
	}
}

/* Of a query sent twice the other is not wanted any more. */
static void
drop_twin(struct pool *pool, struct query *q)
{
	struct query *twin = q->twin;

	if (twin == NULL)
		return;
	detach(pool, twin);
	query_remove(&pool->queries, twin);
}

/* Tells the listener.  If its buffer is full its own deadline has to do. */
static void
send_failed(struct pool *pool, uint64_t handle, enum msg_cause cause,
    uint32_t upstream_id)
{
	const struct msg_failed failed = { .cause = (uint8_t)cause,
		.upstream = index_of(pool, upstream_id) };

	pool_count(pool, cause_counter[cause]);
	if (msg_send_failed(&pool->link, handle, &failed))
		return;
	(void)imsg_flush(&pool->link);
	if (!msg_send_failed(&pool->link, handle, &failed))
		log_debug("failure not sent: link to listener is full");
}

/* Takes a query in state HELD out of the table. */
static void
end_query(struct pool *pool, struct query *q)
{
	pool->nstreams -= q->streams;
	query_remove(&pool->queries, q);
}

/* Ends a query in state HELD without an answer. */
static void
fail_query(struct pool *pool, struct query *q, enum msg_cause cause)
{
	drop_twin(pool, q);
	send_failed(pool, q->handle, cause, q->last_upstream);
	end_query(pool, q);
}

/* A query has come: upstreams that were left alone are dialled again. */
static void
probe_due(struct pool *pool)
{
	uint64_t set = pool->probe_due;
	uint32_t i;

	pool->probe_due = 0;
	for (; set != 0; set &= set - 1) {
		i = (uint32_t)__builtin_ctzll(set);
		if (i < pool->nupstreams)
			upstream_poke(pool->upstreams[i]);
	}
}

/*
 * Ends the oldest query for a new one if the table is full: of copies, or of
 * what the listener has given up while the link had no room to say so.
 */
static void
make_room(struct pool *pool)
{
	struct query *q = query_first_due(&pool->queries);

	if (q == NULL || pool->queries.used < pool->queries.limit ||
	    q->deadline_ms + YIELD_MS >
		pool->now_ms + pool->forward.query_timeout_ms)
		return;
	detach(pool, q);
	if (q->twin != NULL)
		query_remove(&pool->queries, q); /* the other goes on */
	else
		fail_query(pool, q, CAUSE_BUSY);
}

/* Takes a query on; NULL if it was answered at once. */
static struct query *
take_query(struct pool *pool, struct imsg *m, struct dns_query *dns)
{
	struct query *q;
	const uint8_t *wire;
	uint32_t left_ms;
	size_t len;

	pool_turn_begin(pool);
	msg_read_query(m, &left_ms, &wire, &len);
	pool_count(pool, TSTAT_queries);
	if (dns_query_parse(wire, len, dns) != DNS_FORWARD) {
		send_failed(pool, m->id, CAUSE_PROTOCOL, QUERY_NO_UPSTREAM);
		return NULL;
	}
	if (left_ms > pool->forward.query_timeout_ms)
		left_ms = pool->forward.query_timeout_ms;
	make_room(pool);
	hedge_budget_earn(&pool->hedge);
	hedge_budget_earn(&pool->rescue);
	q = query_add(&pool->queries, m->id, pool->now_ms + left_ms, wire, len);
	if (q == NULL) {
		send_failed(pool, m->id, CAUSE_BUSY, QUERY_NO_UPSTREAM);
		return NULL;
	}
	q->may_repeat = dns_may_repeat(dns);
	q->transfer = dns_is_transfer(dns);
	q->ixfr = dns->qtype == DNS_TYPE_IXFR;
	q->odd = dns->question_len == 0;
	return q;
}

/* Sends a query that was taken on to an upstream. */
static void
begin_query(struct pool *pool, struct query *q)
{
	dispatch_query(pool, q, POLICY_NONE);
	if (pool->probe_due != 0)
		probe_due(pool);
}

int
dispatch_on_query(void *arg, struct imsg *m)
{
	struct pool *pool = arg;
	struct dns_query dns;
	struct query *q = take_query(pool, m, &dns);

	if (q != NULL)
		begin_query(pool, q);
	return 0;
}

int
dispatch_on_transfer(void *arg, struct imsg *m)
{
	struct pool *pool = arg;
	struct dns_query dns;
	struct query *q = take_query(pool, m, &dns);

	if (q == NULL)
		return 0;
	if (!q->transfer) {
		dispatch_end(pool, q, TSTAT_failed_other);
		return -1;
	}
	if (pool->nstreams >= pool->max_streams) {
		fail_query(pool, q, CAUSE_BUSY);
		return 0;
	}
	q->streams = true;
	pool->nstreams++;
	begin_query(pool, q);
	return 0;
}

void
dispatch_end(struct pool *pool, struct query *q, enum pool_counter outcome)
{
	drop_twin(pool, q);
	detach(pool, q);
	pool_count(pool, outcome);
	end_query(pool, q);
}

int
dispatch_on_cancel(void *arg, struct imsg *m)
{
	struct pool *pool = arg;
	struct query *q = query_find(&pool->queries, m->id);

	pool_turn_begin(pool);
	/* If there is none its end has crossed this on the way. */
	if (q != NULL)
		dispatch_end(pool, q, TSTAT_cancelled);
	return 0;
}

void
dispatch_query(struct pool *pool, struct query *q, uint32_t avoid)
{
	uint32_t i, random = 0;

	if (policy_is_random(&pool->policy))
		random = rng_u32(&pool->rng);
	i = policy_choose(&pool->policy, avoid, random);
	if (i != POLICY_NONE) {
		upstream_submit(pool->upstreams[i], q);
		return;
	}
	q->state = QUERY_PARKED;
	TAILQ_INSERT_TAIL(&pool->parked, q, place);
	if (pool->nparked++ > 0)
		return;
	/* The first one: all upstreams are tried as soon as they may be. */
	for (i = 0; i < pool->nupstreams; i++)
		upstream_poke(pool->upstreams[i]);
}

void
dispatch_again(struct pool *pool, struct query *q, struct upstream *failed,
    enum msg_cause cause, uint32_t avoid)
{
	if (q->twin != NULL) {
		/* The other goes on; it may be the query that ends them. */
		if (q->twin->lost < q->lost)
			q->twin->lost = q->lost;
		query_remove(&pool->queries, q);
		return;
	}
	q->cause = (uint8_t)cause;
	q->last_upstream = failed->id;
	if (q->written && !q->may_repeat) {
		fail_query(pool, q, CAUSE_NOT_REPEATABLE);
		return;
	}
	if (q->tries >= pool->forward.retries) {
		fail_query(pool, q, cause);
		return;
	}
	q->tries++;
	failed->n.retries++;
	pool_count(pool, TSTAT_retries);
	dispatch_query(pool, q, avoid);
}

void
dispatch_list_again(struct pool *pool, struct query_list *list,
    struct upstream *failed, enum msg_cause cause, uint32_t avoid)
{
	struct query *q;

	while ((q = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, q, place);
		dispatch_again(pool, q, failed, cause, avoid);
	}
}

void
dispatch_list_anew(struct pool *pool, struct query_list *list)
{
	struct query *q;

	while ((q = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, q, place);
		q->state = QUERY_HELD;
		if (q->twin != NULL)
			query_remove(&pool->queries, q);
		else if (q->written && !q->may_repeat)
			fail_query(pool, q, CAUSE_NOT_REPEATABLE);
		else
			dispatch_query(pool, q, POLICY_NONE);
	}
}

void
dispatch_parked(struct pool *pool)
{
	struct query_list list = TAILQ_HEAD_INITIALIZER(list);

	TAILQ_CONCAT(&list, &pool->parked, place);
	pool->nparked = 0;
	dispatch_list_anew(pool, &list);
}

void
dispatch_answer(
    struct pool *pool, struct query *q, const uint8_t *msg, size_t len)
{
	enum pool_counter outcome = TSTAT_answered;

	if (q->edited != 0) {
		memcpy(pool->answer, msg, len); /* both hold DNS_MSG_MAX */
		len = edit_answer(q->edited, pool->answer, len);
		msg = pool->answer;
	}
	if (!msg_send_answer(&pool->link, q->handle, msg, len)) {
		(void)imsg_flush(&pool->link);
		if (!imsg_is_open(&pool->link))
			outcome = TSTAT_cancelled;
		else if (!msg_send_answer(&pool->link, q->handle, msg, len))
			outcome = TSTAT_failed_busy;
	}
	pool_count(pool, outcome);
	drop_twin(pool, q);
	end_query(pool, q);
}

bool
dispatch_part(
    struct pool *pool, const struct query *q, const uint8_t *msg, size_t len)
{
	if (msg_send_part(&pool->link, q->handle, msg, len))
		return true;
	(void)imsg_flush(&pool->link);
	return msg_send_part(&pool->link, q->handle, msg, len);
}

/* Ends a query whose time is up, with the best reason there is. */
static void
expire(struct pool *pool, struct query *q)
{
	enum msg_cause cause = q->cause;

	if (cause == CAUSE_NONE && q->conn != NULL) {
		q->last_upstream = q->conn->up->id;
	} else if (cause == CAUSE_NONE && q->state == QUERY_PARKED) {
		q->last_upstream = pool->last_failed;
		cause = pool->last_cause;
	}
	detach(pool, q);
	fail_query(pool, q, cause != CAUSE_NONE ? cause : CAUSE_TIMEOUT);
}

void
dispatch_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct pool *pool = arg;
	struct query *q;

	(void)fd;
	(void)what;
	pool_turn_begin(pool);
	pool->deadline_ms = 0;
	while ((q = query_first_due(&pool->queries)) != NULL &&
	       q->deadline_ms <= pool->now_ms)
		expire(pool, q);
}

void
dispatch_arm_deadline(struct pool *pool)
{
	struct query *q = query_first_due(&pool->queries);
	struct timeval tv;

	if (q == NULL ||
	    (pool->deadline_ms != 0 && pool->deadline_ms <= q->deadline_ms))
		return;
	pool->deadline_ms = q->deadline_ms;
	tv = pool_timeval(
	    q->deadline_ms > pool->now_ms ? q->deadline_ms - pool->now_ms : 1);
	loop_watch(&pool->deadline, &tv);
}

void
dispatch_cancel_all(struct pool *pool)
{
	struct query *q;

	while ((q = query_first_due(&pool->queries)) != NULL)
		dispatch_end(pool, q, TSTAT_cancelled);
}
