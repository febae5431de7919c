/* SPDX-License-Identifier: ISC */
/*
 * Late answers: the query goes out once more, and what is silent gets no new
 * ones, see overdue.h.  Runs in the pool.  It must never send a query twice
 * that may not be, nor more copies than the budgets allow, and costs a query
 * that is answered in time nothing but two comparisons.
 */
#include "dotproxy/pool/overdue.h"

#include "common/loop.h"
#include "dotproxy/pool/pool.h"

/* A query goes out so often at most, beside what lost connections cost. */
#define COPIES_MAX 3u
/* But so often if the upstream it is with has fallen silent. */
#define COPIES_LAST 8u
/* When to look again for a connection to send a copy on. */
#define RETRY_US 20000u

static bool
is_on(const struct pool *pool)
{
	return pool->hedge.percent != 0;
}

static void
arm(struct conn *c, uint64_t us)
{
	struct timeval tv = { .tv_sec = (time_t)(us / 1000000),
		.tv_usec = (suseconds_t)(us % 1000000) };

	loop_watch(&c->ev_late, &tv);
	c->late_armed = true;
}

static uint64_t
until(uint64_t at_us, uint64_t now_us)
{
	return at_us > now_us ? at_us - now_us : 0;
}

void
overdue_configure(struct pool *pool)
{
	uint32_t percent = pool->forward.hedge_percent;

	/* A reload fills no bucket. */
	if (pool->hedge.percent == percent)
		return;
	hedge_budget_init(&pool->hedge, percent, OVERDUE_BURST, OVERDUE_START);
	hedge_budget_init(
	    &pool->rescue, percent, OVERDUE_RESCUE_BURST, OVERDUE_RESCUE_BURST);
}

void
overdue_watch(struct conn *c)
{
	struct pool *pool = c->up->pool;

	if (c->watch == NULL || c->late_armed || c->lone || !is_on(pool))
		return;
	arm(c, until(c->watch->sent_us + hedge_late_us(&c->up->late),
		   pool->now_us));
}

static void
set_doubt(struct upstream *up, bool doubt)
{
	if (up->doubt == doubt)
		return;
	up->doubt = doubt;
	upstream_refresh(up);
}

/* Nothing was heard since a query that is late was sent, or for very long. */
static bool
is_stuck(const struct conn *c)
{
	return c->suspect || c->silent;
}

void
overdue_unlist(struct conn *c)
{
	struct upstream *up = c->up;

	up->nsuspect -= c->suspect;
	up->nsilent -= c->silent;
	c->suspect = c->silent = false;
	if (up->nsilent == 0)
		set_doubt(up, false);
}

void
overdue_heard(struct conn *c)
{
	c->up->answered_ms = c->up->pool->now_ms;
	if (is_stuck(c)) {
		c->stalled_us = c->up->pool->now_us;
		overdue_unlist(c);
		upstream_relist(c);
	}
	set_doubt(c->up, false);
	/* No wake-up for nothing when there is little to do. */
	if (c->late_armed && c->watch == NULL) {
		event_del(&c->ev_late);
		c->late_armed = false;
	}
}

void
overdue_answered(struct conn *c, const struct query *q, uint64_t us)
{
	struct pool *pool = c->up->pool;
	const struct query *twin = q->twin;

	hedge_latency_add(
	    &c->up->late, us, c->suspect || q->sent_us <= c->stalled_us);
	if (q->copy) {
		hedge_latency_won(&c->up->late);
		pool_count(pool, TSTAT_hedges_won);
		if (twin != NULL && twin->conn != NULL)
			twin->conn->up->n.hedges_won++;
	} else if (twin != NULL) {
		hedge_latency_lost(&c->up->late, us);
		pool_count(pool, TSTAT_hedges_lost);
		c->up->n.hedges_lost++;
	}
}

/* The queries of a silent upstream are looked at again, all of them. */
static void
look_again(struct conn *c)
{
	c->watch = TAILQ_FIRST(&c->sent);
	if (c->watch != NULL)
		arm(c, 0);
}

static void
set_suspect(struct conn *c, const struct query *q)
{
	if (c->state != CONN_READY)
		return;
	c->suspect = true;
	c->suspect_us = q->sent_us;
	c->up->nsuspect++;
	upstream_relist(c);
	upstream_keep(c->up);
}

static void
set_silent(struct conn *c)
{
	struct upstream *up = c->up;
	struct conn *o;

	c->silent = true;
	c->watch = TAILQ_FIRST(&c->sent);
	up->nsilent++;
	if (up->doubt || up->answered_ms > c->suspect_us / 1000)
		return;
	set_doubt(up, true);
	TAILQ_FOREACH (o, &up->conns, all)
		if (o->silent && o != c)
			look_again(o);
}

void
overdue_quiet(struct conn *c)
{
	if (c->silent || !is_on(c->up->pool))
		return;
	if (!c->suspect)
		c->suspect_us = c->waiting_since * 1000;
	set_silent(c);
	arm(c, 0);
}

/* Another connection of the same upstream that is not suspect. */
static struct conn *
sibling(const struct conn *c)
{
	struct conn *o = TAILQ_FIRST(&c->up->avail);

	return o == c ? TAILQ_NEXT(o, place) : o;
}

/* The other upstreams that have a connection which is not suspect. */
static uint64_t
others(const struct upstream *up)
{
	const struct pool *pool = up->pool;
	const struct upstream *o;
	uint64_t set = 0;
	uint32_t i;

	for (i = 0; i < pool->nupstreams; i++) {
		o = pool->upstreams[i];
		if (o != up && !o->doubt && !TAILQ_EMPTY(&o->avail))
			set |= (uint64_t)1 << i;
	}
	return set & pool->policy.up;
}

/* A connection of one of a set of these, by policy, which counts it. */
static struct conn *
elsewhere(struct pool *pool, uint64_t set)
{
	uint32_t i =
	    policy_choose_among(&pool->policy, set, rng_u32(&pool->rng));

	return i == POLICY_NONE ? NULL
				: TAILQ_FIRST(&pool->upstreams[i]->avail);
}

/* Where a late query goes once more. */
struct target {
	struct conn *conn; /* or NULL: */
	uint64_t set;      /* any of these upstreams */
	bool rescue;
};

/*
 * It is a rescue from a silent connection to one that has answered since, or to
 * another upstream: from one in doubt, or under whose connections it has been
 * stuck twice, or that is no longer used.  False if there is nothing now.
 */
static bool
find_target(struct conn *c, const struct query *q, struct target *t)
{
	struct upstream *up = c->up;

	t->conn = NULL;
	t->set = others(up);
	t->rescue = t->set != 0 && (up->doubt || (c->silent && q->copies > 0));
	if (t->rescue)
		return true;
	t->conn = sibling(c);
	if (t->conn != NULL) {
		t->rescue = c->silent && t->conn->served > 0 &&
			    t->conn->heard_ms > q->sent_us / 1000;
		return true;
	}
	t->rescue = c->silent && c->state == CONN_DRAINING && t->set != 0;
	if (t->rescue)
		return true;
	return t->set != 0 && !up->doubt &&
	       up->pool->policy.kind != POLICY_FAILOVER;
}

/*
 * An upstream is in doubt and there is nobody to rescue its queries: others
 * that can be used and have no connection are dialled.
 */
static void
wake_others(const struct upstream *up)
{
	const struct policy *p = &up->pool->policy;
	uint64_t set = p->up & ~p->doubt;

	if (up->index != UPSTREAM_NO_INDEX)
		set &= ~((uint64_t)1 << up->index);
	for (; set != 0; set &= set - 1)
		upstream_relieve(up->pool->upstreams[__builtin_ctzll(set)]);
}

/*
 * Whoever leaves an upstream in doubt does not need a copy for it: the next one
 * may turn out to be silent, too, after all of them are gone.
 */
static bool
has_copies(const struct query *q, bool rescue)
{
	return q->copies < (rescue ? COPIES_LAST : COPIES_MAX);
}

static bool
can_pay(struct conn *c, bool rescue)
{
	struct pool *pool = c->up->pool;

	if (hedge_budget_has(rescue ? &pool->rescue : &pool->hedge))
		return true;
	if (!c->silent) {
		pool_count(pool, TSTAT_hedges_denied);
		c->up->n.hedges_denied++;
	}
	return false;
}

static void
pay(struct conn *c, bool rescue)
{
	struct pool *pool = c->up->pool;

	hedge_budget_take(rescue ? &pool->rescue : &pool->hedge);
	pool_count(pool, rescue ? TSTAT_rescues : TSTAT_hedges);
	if (rescue)
		c->up->n.rescues++;
	else
		c->up->n.hedges++;
}

/* What to send once more; of a pair it is the one here.  NULL: no room. */
static struct query *
take_copy(struct conn *c, struct query *q)
{
	struct query *twin = q->twin;

	if (twin == NULL)
		return query_twin(&c->up->pool->queries, q);
	conn_forget(c, q);
	twin->copies = ++q->copies;
	twin->copy = false;
	q->copy = true;
	return q;
}

/*
 * Deals with one late query on a connection: false if it is to be tried again
 * soon, for want of another connection, or because this one is silent.
 */
static bool
hedge(struct conn *c, struct query *q)
{
	struct pool *pool = c->up->pool;
	const struct query *twin = q->twin;
	struct query *copy;
	struct target t;
	bool found;

	if (!q->may_repeat || !has_copies(q, c->up->doubt || c->silent))
		return true;
	/* A copy has time of its own; if it is late as well one of them goes.
	 */
	if (twin != NULL &&
	    !(is_stuck(c) && twin->conn != NULL && is_stuck(twin->conn)))
		return true;
	found = find_target(c, q, &t);
	if (c->up->doubt && !t.rescue)
		wake_others(c->up);
	if (!found)
		return false;
	if (!has_copies(q, t.rescue))
		return !(c->silent && c->up->doubt);
	if (!can_pay(c, t.rescue))
		return !c->silent;
	copy = take_copy(c, q);
	if (copy == NULL)
		return true;
	pay(c, t.rescue);
	conn_submit(t.conn != NULL ? t.conn : elsewhere(pool, t.set), copy);
	return true;
}

/* When to look at a connection again. */
static void
arm_next(struct conn *c, bool stuck)
{
	const struct hedge_latency *l = &c->up->late;
	uint64_t now_us = c->up->pool->now_us, in = UINT64_MAX, us;

	if (c->watch != NULL)
		in = stuck
			 ? RETRY_US
			 : until(c->watch->sent_us + hedge_late_us(l), now_us);
	if (c->suspect && !c->silent) {
		us = until(c->suspect_us + hedge_silent_us(l), now_us);
		in = us < in ? us : in;
	}
	if (in != UINT64_MAX)
		arm(c, in);
}

void
overdue_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	struct pool *pool = c->up->pool;
	uint64_t late_us = hedge_late_us(&c->up->late);
	struct query *q, *next;
	bool stuck = false;

	(void)fd;
	(void)what;
	pool_turn_begin(pool);
	c->late_armed = false;
	/* What has come and is not read is not late. */
	if (!is_on(pool) || c->paused)
		return;
	if (c->suspect && !c->silent &&
	    c->suspect_us + hedge_silent_us(&c->up->late) <= pool->now_us)
		set_silent(c);
	while (c->state != CONN_DEAD && !stuck && (q = c->watch) != NULL &&
	       q->sent_us + late_us <= pool->now_us) {
		next = TAILQ_NEXT(q, place);
		if (!c->suspect && c->heard_ms <= q->sent_us / 1000)
			set_suspect(c, q);
		stuck = !hedge(c, q);
		if (!stuck)
			c->watch = next;
	}
	if (c->state != CONN_DEAD)
		arm_next(c, stuck);
}

/* Queries have waited long for a connection: others have one. */
static void
move_waiting(evutil_socket_t fd, short what, void *arg)
{
	struct upstream *up = arg;
	struct conn *to;
	struct query *q;

	(void)fd;
	(void)what;
	pool_turn_begin(up->pool);
	while ((q = TAILQ_FIRST(&up->waiting)) != NULL &&
	       (to = elsewhere(up->pool, others(up))) != NULL) {
		set_doubt(up, true);
		upstream_forget(up, q);
		conn_submit(to, q);
	}
	if (up->nwaiting > 0)
		overdue_wait(up);
}

void
overdue_init(struct upstream *up)
{
	up->gap8_ms = 8 * OVERDUE_GAP_MAX_MS;
	event_assign(&up->ev_wait, up->pool->base, -1, 0, move_waiting, up);
}

void
overdue_wait(struct upstream *up)
{
	struct timeval tv = pool_timeval(OVERDUE_WAIT_MS);

	if (is_on(up->pool) && up->pool->nupstreams > 1)
		loop_watch(&up->ev_wait, &tv);
}

void
overdue_ready(struct upstream *up)
{
	struct conn *c;

	if (up->nsilent == 0)
		set_doubt(up, false);
	if (up->nsuspect == 0)
		return;
	TAILQ_FOREACH (c, &up->conns, all)
		if (c->suspect && c->watch != NULL)
			arm(c, 0);
}

void
overdue_count_query(struct upstream *up)
{
	uint64_t gap_ms = up->pool->now_ms - up->last_query_ms;

	if (gap_ms > OVERDUE_GAP_MAX_MS)
		gap_ms = OVERDUE_GAP_MAX_MS;
	up->gap8_ms += (uint32_t)gap_ms - up->gap8_ms / 8;
}

uint32_t
overdue_wanted(const struct upstream *up)
{
	uint32_t want = 1;

	if (is_on(up->pool))
		want += up->nsuspect + (up->gap8_ms < 8 * OVERDUE_OFTEN_MS);
	return want < up->conf.pool_size ? want : up->conf.pool_size;
}
