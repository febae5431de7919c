/* SPDX-License-Identifier: ISC */
/*
 * Connections that wait for queries, see standby.h.  Runs in the pool.  It
 * must never cause a packet on a network where nobody has asked for longer
 * than "keep warm" says, nor dial an upstream that fails.
 */
#include "dotproxy/pool/standby.h"

#include "dotproxy/pool/pool.h"
#include "dotproxy/pool/warm.h"

/* One that was closed sooner, and unused, is not replaced. */
#define STANDBY_AGE_MIN_MS 500u
/* How often queries make sure of the upstreams they were not for. */
#define STANDBY_WAKE_MS 1000u
/* Sessions prepared in one turn: many upstreams may fall asleep at once. */
#define STANDBY_PREPARE_MAX 4u

/*
 * True if any query counts, not only those that this upstream got: it may be
 * the policy's choice for the next one.  With failover these are the one in
 * use and the one after it.
 */
static bool
is_choice(const struct upstream *up)
{
	const struct policy *p = &up->pool->policy;
	uint64_t bit = (uint64_t)1 << up->index;

	if (p->kind != POLICY_FAILOVER)
		return true;
	/* At most one that can be used comes before it. */
	return __builtin_popcountll(p->up & (bit - 1)) < 2;
}

/* When a query last came that this upstream has to be ready for. */
static uint64_t
wanted_ms(const struct upstream *up)
{
	return is_choice(up) ? up->pool->used_ms : up->last_query_ms;
}

/* When it goes to sleep; 0 if it is not awake at all. */
static uint64_t
asleep_at(const struct upstream *up)
{
	uint64_t wanted;

	if (up->index == UPSTREAM_NO_INDEX)
		return 0;
	wanted = wanted_ms(up);
	if (wanted == 0 || up->conf.keep_warm_ms == 0)
		return 0;
	return wanted + up->conf.keep_warm_ms;
}

uint64_t
standby_left(const struct upstream *up)
{
	uint64_t at = asleep_at(up), now_ms = up->pool->now_ms;

	return at > now_ms ? at - now_ms : 0;
}

static uint64_t
expires_at(const struct conn *c)
{
	uint64_t ms = warm_expires(&c->up->warm);

	return ms == UINT64_MAX ? UINT64_MAX : c->used_ms + ms;
}

/* When it is closed by us; others have been there for the next query. */
static uint64_t
closes_at(const struct conn *c)
{
	struct upstream *up = c->up;
	uint64_t stale = c->used_ms + up->conf.stale_timeout_ms;
	uint64_t asleep = asleep_at(up);

	/* While queries come so many are kept that a late one need not wait. */
	if (c != TAILQ_FIRST(&up->avail) && !c->expiring && up->nready > 1 &&
	    up->nready <= overdue_wanted(up))
		return up->last_query_ms + up->conf.stale_timeout_ms > stale
			   ? up->last_query_ms + up->conf.stale_timeout_ms
			   : stale;
	if (c != TAILQ_FIRST(&up->avail) && !c->expiring)
		return stale;
	return asleep > stale ? asleep : stale;
}

/* Until then the upstream has time to show whether its limit is still so. */
static uint64_t
survives_at(const struct conn *c)
{
	return c->used_ms + 2 * (uint64_t)warm_limit(&c->up->warm);
}

uint64_t
standby_due(const struct conn *c)
{
	uint64_t due = closes_at(c);
	uint64_t at = c->expiring ? survives_at(c) : expires_at(c);

	return at < due ? at : due;
}

static int
make_session(struct upstream *up, struct session *s, struct session_error *err)
{
	struct pool *pool = up->pool;

	return session_start(&pool->tls, s, up->tls, up->peer_name,
	    conn_tls_read, conn_tls_write, pool, err);
}

void
standby_prepare(struct upstream *up)
{
	struct pool *pool = up->pool;
	struct session_error err;

	if (up->spare.tls != NULL || !TAILQ_EMPTY(&up->conns) || up->suspect ||
	    up->index == UPSTREAM_NO_INDEX ||
	    pool->nprepared >= STANDBY_PREPARE_MAX)
		return;
	pool->nprepared++;
	/* If it fails the next connection fails, too, and says why. */
	(void)make_session(up, &up->spare, &err);
}

void
standby_unprepare(struct upstream *up)
{
	session_close(&up->spare);
}

int
standby_take_session(
    struct upstream *up, struct session *s, struct session_error *err)
{
	const struct session none = { .tls = NULL };

	if (up->spare.tls == NULL)
		return make_session(up, s, err);
	*s = up->spare;
	up->spare = none;
	return 0;
}

/*
 * How many connections there may be: one more than otherwise while one is about
 * to be closed, or a pool of 1 would leave queries waiting at each change.
 */
static uint32_t
room(const struct upstream *up)
{
	const struct conn *c;

	TAILQ_FOREACH (c, &up->conns, all)
		if (c->expiring)
			return up->conf.pool_size + 1;
	return up->conf.pool_size;
}

void
standby_keep(struct upstream *up)
{
	struct pool *pool = up->pool;

	if (standby_left(up) == 0 || up->suspect || up->disabled ||
	    !TAILQ_EMPTY(&up->avail) || up->nconnecting > 0 ||
	    up->nconns >= room(up) || pool->ndials >= POOL_DIALS_MAX ||
	    up->quota_ms > pool->now_ms)
		return;
	up->n.warm_dials++;
	pool_count(pool, TSTAT_warm_dials);
	upstream_dial(up, USE_MANY);
}

void
standby_on_due(struct conn *c)
{
	struct upstream *up = c->up;
	uint64_t now_ms = up->pool->now_ms;

	if (closes_at(c) <= now_ms) {
		if (c == TAILQ_FIRST(&up->avail) && asleep_at(up) != 0)
			pool_count(up->pool, TSTAT_sleeps);
		conn_close(c);
		return;
	}
	if (c->expiring) {
		warm_survived(&up->warm, now_ms - c->used_ms);
		conn_close(c);
		return;
	}
	c->expiring = true;
	upstream_relist(c);
	standby_keep(up);
}

void
standby_wake(struct pool *pool)
{
	uint64_t before = pool->woken_ms;
	uint32_t i;

	pool->used_ms = pool->now_ms;
	if (before != 0 && pool->now_ms - before < STANDBY_WAKE_MS)
		return;
	pool->woken_ms = pool->now_ms;
	for (i = 0; i < pool->nupstreams; i++)
		standby_keep(pool->upstreams[i]);
}

/* The timers of the others were set for a longer limit. */
static void
learn(struct upstream *up, uint64_t idle_ms)
{
	uint64_t before = warm_expires(&up->warm);
	struct conn *c;

	warm_closed(&up->warm, idle_ms);
	if (warm_expires(&up->warm) >= before)
		return;
	TAILQ_FOREACH (c, &up->conns, all)
		conn_retime(c);
}

void
standby_overtaken(const struct conn *c)
{
	if (!c->lone && c->waiting_since > c->heard_ms)
		learn(c->up, c->waiting_since - c->heard_ms);
}

void
standby_closed(struct upstream *up, const struct conn *c)
{
	uint64_t now_ms = up->pool->now_ms;

	if (c->lone)
		return;
	learn(up, now_ms - c->used_ms);
	/* One that is closed as soon as it stands is not worth another. */
	if (c->given > 0 || now_ms - c->ready_ms >= STANDBY_AGE_MIN_MS)
		standby_keep(up);
}
