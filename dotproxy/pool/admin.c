/* SPDX-License-Identifier: ISC */
/*
 * What the operator does to upstreams while they run: one is disabled or
 * enabled, connections are replaced.  Runs in the pool, which is told by the
 * parent.  No query may be lost by any of it.
 */
#include "common/log.h"
#include "dotproxy/pool/pool.h"

static struct upstream *
find_by_id(const struct pool *pool, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < pool->nupstreams; i++)
		if (pool->upstreams[i]->id == id)
			return pool->upstreams[i];
	return NULL;
}

static void
disable(struct upstream *up)
{
	if (up->disabled)
		return;
	up->disabled = true;
	upstream_stand_down(up);
}

/* What it failed with before is forgotten: the operator knows better. */
static void
enable(struct upstream *up)
{
	struct pool *pool = up->pool;

	if (!up->disabled)
		return;
	up->disabled = false;
	backoff_clear(&up->backoff);
	up->failed = up->suspect = up->need_answer = false;
	upstream_refresh(up);
	upstream_dial(up, USE_MANY);
	dispatch_parked(pool);
}

/*
 * A new connection first, then the old ones go: so nobody waits for it, and if
 * none can be made those there are stay.  All is verified anew.
 */
static void
flush(struct upstream *up)
{
	struct conn *c;

	session_tickets_clear(&up->tickets);
	TAILQ_FOREACH (c, &up->conns, all) {
		conn_keep_no_ticket(c);
		if (c->state == CONN_ASKED)
			conn_unprepare(c); /* it may have a ticket */
	}
	if (up->disabled || up->nready == 0)
		return;
	/* One that is under way, with dials enough, will do. */
	if (up->flush_request != 0 && up->nconnecting >= UPSTREAM_DIALS_MAX)
		return;
	up->flush_request = up->pool->last_request;
	upstream_dial(up, USE_MANY);
}

void
admin_conn_ready(struct conn *ready)
{
	struct upstream *up = ready->up;
	uint64_t last = up->flush_request;
	struct conn *c, *next;

	if (last == 0 || ready->lone || ready->request <= last)
		return;
	up->flush_request = 0;
	for (c = TAILQ_FIRST(&up->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->state == CONN_READY && c->request <= last && !c->apart)
			conn_drain(c);
	}
}

int
admin_on_change(void *arg, struct imsg *m)
{
	struct pool *pool = arg;
	struct upstream *up;
	uint8_t change;
	uint32_t i;

	pool_turn_begin(pool);
	if (msg_read_u8(m, &change, CHANGE_COUNT) == -1)
		return -1;
	if (change == CHANGE_FLUSH) {
		for (i = 0; i < pool->nupstreams; i++)
			flush(pool->upstreams[i]);
		return 0;
	}
	if (!msg_change_has_upstream(change) || m->id > UINT32_MAX)
		return -1;
	config_disable(pool->run, (uint32_t)m->id, change == CHANGE_DISABLE);
	if (pool->parent.phase == POOL_PHASE_CONF)
		return 0; /* of what is coming in: it is swapped in with it */
	up = find_by_id(pool, m->id);
	if (up != NULL && change == CHANGE_DISABLE)
		disable(up);
	else if (up != NULL)
		enable(up);
	return 0;
}
