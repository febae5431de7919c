/* SPDX-License-Identifier: ISC */
/*
 * The pool in a replay, see world.h: all of it, and what has to be true of its
 * tables between any two turns, counted anew each time.  A test's; it looks and
 * does not touch.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/child.h"
#include "dotproxy/pool/pool.h"
#include "tests/replay/world.h"
#include "tests/support/ended.h"

void
pool_side_start(struct world *w, int parent_fd)
{
	const struct imsg_chan_opts opts = {
		.rules = pool_parent_rules,
		.in_cap = MSG_PARENT_BUF,
		.out_cap = MSG_PARENT_BUF,
		.phase = POOL_PHASE_IDLE,
		.fdpass = true,
		.arg = w->pool = calloc(1, sizeof(*w->pool)),
		.on_down = child_parent_down,
	};

	if (w->pool == NULL)
		abort();
	w->pool_base = event_base_new();
	pool_init(w->pool, w->pool_base);
	if (imsg_open(&w->pool->parent, parent_fd, &opts) == -1 ||
	    imsg_attach(&w->pool->parent, w->pool_base) == -1)
		abort();
}

void
pool_side_stop(struct world *w)
{
	pool_free(w->pool);
	free(w->pool);
	w->pool = NULL;
	event_base_free(w->pool_base);
	w->pool_base = NULL;
}

bool
pool_side_turn(struct world *w)
{
	if (w->pool == NULL || !vevent_ready(w->pool_base))
		return false;
	(void)event_base_loop(w->pool_base, EVLOOP_ONCE);
	pool_turn_end(w->pool);
	return true;
}

static void
same(struct world *w, const char *what, const struct upstream *up, uint64_t is,
    uint64_t should)
{
	if (is != should)
		world_fail(w, "upstream %s: %s is %llu, counted %llu",
		    up != NULL ? up->conf.name : "-", what,
		    (unsigned long long)is, (unsigned long long)should);
}

/* A query in a list is what it should be there. */
static uint64_t
count_list(struct world *w, const struct query_list *list,
    enum query_state state, const struct conn *c)
{
	const struct query *q;
	uint64_t n = 0;

	TAILQ_FOREACH (q, list, place) {
		n++;
		if (q->state != state)
			world_fail(w, "a query in a list of state %d is %d",
			    (int)state, (int)q->state);
		if (c != NULL && q->conn != c)
			world_fail(w, "a query is on another connection");
		if (q->twin != NULL && q->twin->twin != q)
			world_fail(w, "a twin has another twin");
	}
	return n;
}

static uint64_t
count_ids(const struct conn *c, uint64_t *abandoned)
{
	uint64_t n = 0;
	uint32_t i;

	*abandoned = 0;
	for (i = 0; i < c->ids.cap; i++) {
		n += c->ids.slots[i].value != IDMAP_NONE;
		*abandoned += c->ids.slots[i].value == IDMAP_ABANDONED;
	}
	return n;
}

/* Who may be the reason why connections end has as few beside it as it says. */
static void
check_company(struct world *w, const struct conn *c, uint64_t n)
{
	const struct query *q;

	TAILQ_FOREACH (q, &c->sent, place)
		if (n > query_company(q))
			world_fail(w, "a query lost %u connections, with %u",
			    (unsigned)q->lost, (unsigned)n);
	if (c->apart && n > 1)
		world_fail(w, "%u queries beside a transfer", (unsigned)n);
}

/* Returns the queries on it. */
static uint64_t
check_conn(struct world *w, struct upstream *up, const struct conn *c)
{
	uint64_t sent = count_list(w, &c->sent, QUERY_SENT, c), abandoned;
	uint64_t queued = count_list(w, &c->sendq, QUERY_QUEUED, c);
	uint32_t there;

	same(w, "nsent", up, c->nsent, sent);
	same(w, "nqueued", up, c->nqueued, queued);
	same(w, "ids used", up, c->ids.used, count_ids(c, &abandoned));
	same(w, "ids of queries", up, c->ids.used - abandoned, sent);
	/* Who answers late must not leave IDs behind. */
	if (c->state != CONN_ASKED && c->pending_len == 0 && !c->apart &&
	    far_outstanding(w, up->id - 1, c->request, &there))
		same(w, "ids not free, and not asked of it,", up, c->ids.used,
		    there);
	if (c->waiting_since == 0 && c->ids.used > 0 && !c->probe &&
	    !c->stopped)
		world_fail(w, "a connection waits for nothing, with queries");
	if (c->lone && !c->probe)
		check_company(w, c, sent + queued);
	if (c->up != up)
		world_fail(w, "a connection is in another's list");
	if (c->fd == -1 && c->state != CONN_ASKED)
		world_fail(w, "a connection has no socket");
	return sent + queued;
}

/* Returns the queries it has. */
static uint64_t
check_upstream(struct world *w, struct upstream *up, uint64_t *dials)
{
	uint64_t n, held = 0, ready = 0, connecting = 0, apart = 0;
	uint64_t suspect = 0, silent = 0;
	const struct conn *c;

	TAILQ_FOREACH (c, &up->conns, all) {
		held += check_conn(w, up, c);
		*dials += c->ready_ms == 0;
		ready += c->state == CONN_READY && !c->lone;
		connecting += c->ready_ms == 0 && !c->apart;
		apart += c->ready_ms == 0 && c->apart && !c->probe;
		suspect += c->suspect;
		silent += c->silent;
	}
	same(w, "nready", up, up->nready, ready);
	same(w, "nconnecting", up, up->nconnecting, connecting);
	same(w, "napart", up, up->napart, apart);
	same(w, "nsuspect", up, up->nsuspect, suspect);
	same(w, "nsilent", up, up->nsilent, silent);
	n = count_list(w, &up->waiting, QUERY_WAITING, NULL);
	same(w, "nwaiting", up, up->nwaiting, n);
	held += n;
	n = count_list(w, &up->transfers, QUERY_APART, NULL);
	same(w, "ntransfers", up, up->ntransfers, n);
	held += n + count_list(w, &up->alone, QUERY_ALONE, NULL);
	if (up->index == UPSTREAM_NO_INDEX)
		return held;
	/* A query must not wait where nothing will come back to. */
	if (up->nwaiting > 0 && up->nready == 0 && up->nconnecting == 0 &&
	    !event_pending(&up->timer, EV_TIMEOUT, NULL))
		world_fail(
		    w, "upstream %s: queries wait for nothing", up->conf.name);
	if (up->disabled && (w->pool->policy.up >> up->index & 1) != 0)
		world_fail(
		    w, "upstream %s: disabled, and chosen", up->conf.name);
	return held;
}

uint32_t
pool_side_held(const struct world *w)
{
	return w->pool != NULL ? w->pool->queries.used : 0;
}

void
pool_side_check(struct world *w)
{
	struct pool *pool = w->pool;
	const uint64_t *n;
	struct upstream *up;
	uint64_t held = 0, dials = 0;
	uint32_t i;

	if (pool == NULL || w->failed)
		return;
	for (i = 0; i < pool->nupstreams; i++)
		held += check_upstream(w, pool->upstreams[i], &dials);
	TAILQ_FOREACH (up, &pool->gone, gone)
		held += check_upstream(w, up, &dials);
	same(w, "nparked", NULL, pool->nparked,
	    count_list(w, &pool->parked, QUERY_PARKED, NULL));
	held += pool->nparked;
	same(w, "ndials", NULL, pool->ndials, dials);
	same(w, "queries used", NULL, pool->queries.used, held);
	n = pool->counters;
	same(w, "queries of the pool", NULL, n[TSTAT_queries],
	    ended_in_pool(n) + query_held(&pool->queries));
}

void
pool_side_check_idle(struct world *w)
{
	same(w, "queries held", NULL, w->pool->queries.used, 0);
	same(w, "pairs held", NULL, w->pool->queries.npairs, 0);
	same(w, "transfers", NULL, w->pool->nstreams, 0);
}

#define NAME(name, text) #name,
static const char *const counter_names[] = { POOL_COUNTERS(NAME) };
#undef NAME

bool
pool_side_counter(struct world *w, const char *name, uint64_t *value)
{
	unsigned int i;

	if (w->pool == NULL)
		return false;
	w->pool->counters[TSTAT_in_flight] = query_held(&w->pool->queries);
	for (i = 0; i < TSTAT_COUNT; i++)
		if (strcmp(counter_names[i], name) == 0) {
			*value = w->pool->counters[i];
			return true;
		}
	if (strcmp(name, "parked") == 0) {
		*value = w->pool->nparked;
		return true;
	}
	return false;
}

/* What can be asked of an upstream, and how it is answered. */
static bool
upstream_value(struct upstream *up, const char *what, uint64_t *value)
{
	struct info_upstream info;
	const struct {
		const char *name;
		uint64_t value;
	} table[] = {
		{ "backoff", backoff_left(&up->backoff, up->pool->now_ms) },
		{ "usable", upstream_usable(up) },
		{ "doubt", up->doubt },
		{ "ready", up->nready },
		{ "limit", warm_limit(&up->warm) },
		{ "late", hedge_late_us(&up->late) / 1000 },
		{ "retries", up->n.retries },
		{ "opened", up->n.opened },
		{ "hedges", up->n.hedges },
		{ "hedges_won", up->n.hedges_won },
		{ "hedges_lost", up->n.hedges_lost },
		{ "hedges_denied", up->n.hedges_denied },
		{ "rescues", up->n.rescues },
		{ "answers", up->n.answers },
		{ "closed_by_peer", up->n.closed_by_peer },
		{ "warm_dials", up->n.warm_dials },
		{ "resumed", up->n.resumed },
		{ "failures_connect", up->n.failures[PHASE_CONNECT] },
		{ "failures_handshake", up->n.failures[PHASE_HANDSHAKE] },
		{ "failures_verify", up->n.failures[PHASE_VERIFY] },
		{ "failures_read", up->n.failures[PHASE_READ] },
		{ "failures_write", up->n.failures[PHASE_WRITE] },
		{ "failures_timeout", up->n.failures[PHASE_TIMEOUT] },
		{ "failures_protocol", up->n.failures[PHASE_PROTOCOL] },
	};
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i].name, what) == 0) {
			*value = table[i].value;
			return true;
		}
	upstream_fill_info(up, &info);
	if (strcmp(what, "waiting") != 0)
		return false;
	*value = info.waiting;
	return true;
}

bool
pool_side_upstream(
    struct world *w, const char *name, const char *what, uint64_t *value)
{
	struct pool *pool = w->pool;
	uint32_t i;

	if (pool == NULL)
		return false;
	for (i = 0; i < pool->nupstreams; i++)
		if (strcmp(pool->upstreams[i]->conf.name, name) == 0)
			return upstream_value(pool->upstreams[i], what, value);
	return false;
}
