/* SPDX-License-Identifier: ISC */
/*
 * The table of queries in flight; see inflight.h.  Runs in the listener.  A
 * handle is generation << 32 | index: a slot's generation changes with each
 * use, so that an answer that comes late, or that a broken pool makes up, can
 * not reach another client's query.  Must never move a slot in use.
 */
#include "dotproxy/listener/inflight.h"

#include <stdlib.h>
#include <string.h>

#include "dotproxy/listener/keyhash.h"

/*
 * How many are looked at for one that is repeated.  By chance there are one or
 * two; who has asked more than that with the same port and ID, each time
 * something else, is told no repetitions.
 */
#define SAME_LOOKED_AT 8

_Static_assert(sizeof(struct inflight_slot) <= 576, "slot too large");

int
inflight_init(struct inflight *t, uint32_t limit)
{
	memset(t, 0, sizeof(*t));
	/* So large that it comes as untouched zero pages. */
	t->slots = calloc(CONF_INFLIGHT_MAX, sizeof(t->slots[0]));
	t->same = calloc(CONF_INFLIGHT_MAX, sizeof(t->same[0]));
	if (t->slots == NULL || t->same == NULL ||
	    store_init(&t->longs, INFLIGHT_LONG_MAX) == -1) {
		free(t->slots);
		free(t->same);
		t->slots = NULL;
		return -1;
	}
	TAILQ_INIT(&t->free);
	TAILQ_INIT(&t->order);
	TAILQ_INIT(&t->wait);
	inflight_set_limit(t, limit);
	return 0;
}

void
inflight_clear(struct inflight *t)
{
	struct inflight_slot *s;

	if (t->slots == NULL)
		return;
	while ((s = TAILQ_FIRST(&t->order)) != NULL)
		inflight_remove(t, s);
	store_clear(&t->longs);
	free(t->slots);
	free(t->same);
	memset(t, 0, sizeof(*t));
}

void
inflight_set_limit(struct inflight *t, uint32_t limit)
{
	struct inflight_slot *s;

	t->limit = limit < CONF_INFLIGHT_MAX ? limit : CONF_INFLIGHT_MAX;
	memset(t->same, 0, t->nsame * sizeof(t->same[0]));
	t->nsame = keyhash_buckets(t->limit);
	TAILQ_FOREACH (s, &t->order, order)
		if (s->indexed)
			inflight_index(t, s, s->hash);
}

/* Takes a free slot, the one that is warmest in the cache. */
static struct inflight_slot *
slot_take(struct inflight *t)
{
	struct inflight_slot *s = TAILQ_FIRST(&t->free);

	if (s != NULL)
		TAILQ_REMOVE(&t->free, s, order);
	else
		s = &t->slots[t->touched++];
	if (++s->generation == 0)
		s->generation = 1;
	return s;
}

/*
 * Puts a slot in its place by deadline: after the one added last, for all
 * queries have the same timeout.  When a reload has shortened it the way is
 * long once, from there back, and what was passed is not looked at again.
 */
static void
order_insert(struct inflight *t, struct inflight_slot *s)
{
	struct inflight_slot *at = t->last, *next;

	while (at != NULL && at->deadline_ms > s->deadline_ms)
		at = TAILQ_PREV(at, inflight_queue, order);
	next = at != NULL ? TAILQ_NEXT(at, order) : TAILQ_FIRST(&t->order);
	for (; next != NULL && next->deadline_ms <= s->deadline_ms;
	     next = TAILQ_NEXT(next, order))
		at = next;
	if (at != NULL)
		TAILQ_INSERT_AFTER(&t->order, at, s, order);
	else
		TAILQ_INSERT_HEAD(&t->order, s, order);
	t->last = s;
}

struct inflight_slot *
inflight_add(struct inflight *t, const struct client *client,
    struct inflight_list *list, const struct dns_query *query,
    const uint8_t *wire, size_t len, uint64_t deadline_ms)
{
	struct inflight_slot *s;
	uint8_t *wire_long = NULL;

	if (t->count >= t->limit || len > DNS_MSG_MAX)
		return NULL;
	if (len > INFLIGHT_WIRE_INLINE) {
		wire_long = store_take(&t->longs, len);
		if (wire_long == NULL)
			return NULL;
	}
	s = slot_take(t);
	s->used = true;
	s->tcp = client->conn != NULL;
	s->gone = false;
	s->indexed = false;
	s->waiting = s->lined = false;
	s->sent = false;
	s->transfer = s->begun = false;
	s->unpaid = 0;
	s->query = *query;
	s->client = *client;
	s->deadline_ms = deadline_ms;
	s->ahead = t->count;
	s->wire_len = (uint16_t)len;
	s->wire_long = wire_long;
	memcpy(wire_long != NULL ? wire_long : s->wire, wire, len);
	order_insert(t, s);
	if (list != NULL)
		LIST_INSERT_HEAD(list, s, conn);
	t->count++;
	t->count_tcp += s->tcp;
	if (s->tcp && wire_long != NULL)
		t->longs_tcp += s->wire_len;
	return s;
}

static struct inflight_list *
same_list(const struct inflight *t, uint32_t hash)
{
	return &t->same[hash & (t->nsame - 1)];
}

void
inflight_index(struct inflight *t, struct inflight_slot *s, uint32_t hash)
{
	s->hash = hash;
	s->indexed = true;
	LIST_INSERT_HEAD(same_list(t, hash), s, same);
}

static bool
same_peer(const union client_addr *a, const union client_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_port == b->in.sin_port &&
		       a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return a->in6.sin6_port == b->in6.sin6_port &&
	       a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
	       IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
}

/* Who asks at another address of ours expects the answer from there. */
static bool
same_local(const struct udp_local *a, const struct udp_local *b)
{
	if (a->family != b->family)
		return false;
	if (a->family == AF_INET)
		return a->addr.v4.s_addr == b->addr.v4.s_addr;
	return a->family == AF_UNSPEC ||
	       IN6_ARE_ADDR_EQUAL(&a->addr.v6, &b->addr.v6);
}

bool
inflight_repeats(const struct inflight *t, uint32_t hash,
    const struct client *client, const uint8_t *wire, size_t len)
{
	const struct inflight_slot *s;
	unsigned int left = SAME_LOOKED_AT;

	LIST_FOREACH (s, same_list(t, hash), same) {
		if (s->hash == hash && s->wire_len == len &&
		    s->client.sock == client->sock &&
		    same_peer(&s->client.peer, &client->peer) &&
		    same_local(&s->client.local, &client->local) &&
		    memcmp(inflight_wire(s), wire, len) == 0)
			return true;
		if (--left == 0)
			break;
	}
	return false;
}

static void
order_leave(struct inflight *t, struct inflight_slot *s)
{
	if (t->last == s)
		t->last = TAILQ_PREV(s, inflight_queue, order);
	TAILQ_REMOVE(&t->order, s, order);
}

void
inflight_postpone(
    struct inflight *t, struct inflight_slot *s, uint64_t deadline_ms)
{
	const struct inflight_slot *tail;

	order_leave(t, s);
	/* After a reload the tail may be later: a little more time is given. */
	tail = TAILQ_LAST(&t->order, inflight_queue);
	s->deadline_ms = tail != NULL && tail->deadline_ms > deadline_ms
			     ? tail->deadline_ms
			     : deadline_ms;
	TAILQ_INSERT_TAIL(&t->order, s, order);
}

void
inflight_leave(struct inflight *t, struct inflight_slot *s)
{
	LIST_REMOVE(s, conn);
	s->client.conn = NULL;
	s->gone = true;
	t->count_gone++;
}

/* Gives back the memory of a long query. */
static void
wire_give(struct inflight *t, struct inflight_slot *s)
{
	if (s->tcp)
		t->longs_tcp -= s->wire_len;
	store_give(&t->longs, s->wire_long, s->wire_len);
	s->wire_long = NULL;
}

void
inflight_remove(struct inflight *t, struct inflight_slot *s)
{
	inflight_unwait(t, s);
	order_leave(t, s);
	if (s->tcp) {
		t->count_tcp--;
		if (s->gone)
			t->count_gone--;
		else
			LIST_REMOVE(s, conn);
	}
	if (s->indexed)
		LIST_REMOVE(s, same);
	if (s->wire_long != NULL)
		wire_give(t, s);
	s->used = false;
	TAILQ_INSERT_HEAD(&t->free, s, order);
	t->count--;
}

struct inflight_slot *
inflight_find(struct inflight *t, uint64_t handle)
{
	uint32_t index = (uint32_t)handle;
	struct inflight_slot *s;

	if (index >= t->touched)
		return NULL;
	s = &t->slots[index];
	if (!s->used || s->generation != (uint32_t)(handle >> 32))
		return NULL;
	return s;
}

uint64_t
inflight_handle(const struct inflight *t, const struct inflight_slot *s)
{
	return (uint64_t)s->generation << 32 | (uint32_t)(s - t->slots);
}

const uint8_t *
inflight_wire(const struct inflight_slot *s)
{
	return s->wire_long != NULL ? s->wire_long : s->wire;
}

void
inflight_wait(struct inflight *t, struct inflight_slot *s)
{
	if (s->waiting)
		return;
	TAILQ_INSERT_TAIL(&t->wait, s, wait);
	s->waiting = true;
}

void
inflight_unwait(struct inflight *t, struct inflight_slot *s)
{
	if (!s->waiting)
		return;
	TAILQ_REMOVE(&t->wait, s, wait);
	s->waiting = false;
}
