/* SPDX-License-Identifier: ISC */
/*
 * The table of held queries, see query.h.  Runs in the pool.  One longer
 * than QUERY_INLINE is in a store that has a limit of its own: a listener that
 * was taken over must not exhaust memory.
 */
#include "dotproxy/pool/query.h"

#include <stdlib.h>
#include <string.h>

#include "common/dns.h"

/*
 * Deadlines come nearly in order, so a query goes in near the one before.  One
 * that would have to go further than this, after a reload has changed the
 * timeout, is expired late, or lets others be, rather than stop the loop with
 * a search; the next one goes on from there.
 */
#define DUE_STEPS_MAX 512

int
query_table_init(struct query_table *t, uint32_t cap)
{
	memset(t, 0, sizeof(*t));
	/* So large a piece comes as untouched zero pages. */
	t->entries = calloc(cap, sizeof(*t->entries));
	t->by_slot = calloc(cap, sizeof(*t->by_slot));
	if (t->entries == NULL || t->by_slot == NULL ||
	    store_init(&t->longs, QUERY_LONG_BYTES) == -1) {
		free(t->entries);
		free(t->by_slot);
		t->entries = NULL;
		t->by_slot = NULL;
		return -1;
	}
	t->cap = cap;
	TAILQ_INIT(&t->free);
	TAILQ_INIT(&t->due);
	return 0;
}

void
query_table_free(struct query_table *t)
{
	struct query *q;

	while ((q = TAILQ_FIRST(&t->due)) != NULL)
		query_remove(t, q);
	store_clear(&t->longs);
	free(t->entries);
	free(t->by_slot);
	t->entries = NULL;
	t->by_slot = NULL;
}

void
query_table_set_limit(struct query_table *t, uint32_t limit)
{
	t->limit = limit < t->cap ? limit : t->cap;
}

static bool
is_after(const struct query *at, const struct query *q)
{
	return at != NULL && at->deadline_ms > q->deadline_ms;
}

static void
insert_due(struct query_table *t, struct query *q)
{
	struct query *at = t->last, *next;
	int steps = 0;

	while (
	    at != NULL && steps++ < DUE_STEPS_MAX &&
	    (is_after(at, q) || is_after(TAILQ_PREV(at, query_list, due), q)))
		at = TAILQ_PREV(at, query_list, due);
	next = at != NULL ? TAILQ_NEXT(at, due) : TAILQ_FIRST(&t->due);
	for (; next != NULL && steps++ < DUE_STEPS_MAX && !is_after(next, q);
	     next = TAILQ_NEXT(next, due))
		at = next;
	if (at != NULL)
		TAILQ_INSERT_AFTER(&t->due, at, q, due);
	else
		TAILQ_INSERT_HEAD(&t->due, q, due);
	t->last = q;
}

/* An unused entry: the last one freed, else one never used so far. */
static struct query *
take_entry(struct query_table *t)
{
	struct query *q = TAILQ_FIRST(&t->free);

	if (t->used >= t->limit)
		return NULL;
	if (q != NULL) {
		TAILQ_REMOVE(&t->free, q, place);
		return q;
	}
	if (t->touched == t->cap)
		return NULL;
	return &t->entries[t->touched++];
}

/* This is the one that query_find() finds. */
static void
enter_slot(struct query_table *t, const struct query *q)
{
	uint32_t slot = (uint32_t)q->handle;

	if (slot < t->cap)
		t->by_slot[slot] = query_index(t, q);
}

struct query *
query_find(const struct query_table *t, uint64_t handle)
{
	uint32_t slot = (uint32_t)handle;
	struct query *q;

	if (slot >= t->cap)
		return NULL;
	q = query_at(t, t->by_slot[slot]);
	return q->state != QUERY_FREE && q->handle == handle ? q : NULL;
}

struct query *
query_add(struct query_table *t, uint64_t handle, uint64_t deadline_ms,
    const uint8_t *wire, size_t len)
{
	struct query *q;
	uint8_t *copy = NULL;

	if (len > DNS_MSG_MAX)
		return NULL;
	if (len > QUERY_INLINE) {
		copy = store_take(&t->longs, len);
		if (copy == NULL)
			return NULL;
	}
	q = take_entry(t);
	if (q == NULL) {
		store_give(&t->longs, copy, len);
		return NULL;
	}
	memset(q, 0, offsetof(struct query, inline_wire));
	q->wire = copy != NULL ? copy : q->inline_wire;
	memcpy(q->wire, wire, len);
	q->len = (uint16_t)len;
	q->handle = handle;
	q->deadline_ms = deadline_ms;
	q->state = QUERY_HELD;
	q->last_upstream = QUERY_NO_UPSTREAM;
	t->used++;
	enter_slot(t, q);
	insert_due(t, q);
	return q;
}

struct query *
query_twin(struct query_table *t, struct query *q)
{
	struct query *c;
	uint8_t *copy = NULL;

	if (q->twin != NULL || t->used >= t->limit - t->limit / 4)
		return NULL;
	if (q->wire != q->inline_wire &&
	    (copy = store_take(&t->longs, q->len)) == NULL)
		return NULL;
	if ((c = take_entry(t)) == NULL) {
		store_give(&t->longs, copy, q->len);
		return NULL;
	}
	if (q->copies < UINT8_MAX)
		q->copies++;
	memcpy(c, q, offsetof(struct query, inline_wire));
	c->wire = copy != NULL ? copy : c->inline_wire;
	memcpy(c->wire, q->wire, q->len);
	c->state = QUERY_HELD;
	c->conn = NULL;
	c->upstream = NULL;
	c->copy = true;
	c->written = false;
	c->twin = q;
	q->twin = c;
	t->used++;
	t->npairs++;
	TAILQ_INSERT_AFTER(&t->due, q, c, due);
	return c;
}

/* It leaves the list of those due. */
static void
leave_due(struct query_table *t, struct query *q)
{
	if (t->last == q)
		t->last = TAILQ_PREV(q, query_list, due);
	TAILQ_REMOVE(&t->due, q, due);
}

void
query_postpone(struct query_table *t, struct query *q, uint64_t deadline_ms)
{
	leave_due(t, q);
	q->deadline_ms = deadline_ms;
	TAILQ_INSERT_TAIL(&t->due, q, due);
}

void
query_remove(struct query_table *t, struct query *q)
{
	if (q->twin != NULL) {
		enter_slot(t, q->twin);
		q->twin->twin = NULL;
		q->twin->copy = false; /* all that is left of the query */
		t->npairs--;
	}
	leave_due(t, q);
	if (q->wire != q->inline_wire)
		store_give(&t->longs, q->wire, q->len);
	q->wire = NULL;
	q->twin = NULL;
	q->state = QUERY_FREE;
	t->used--;
	TAILQ_INSERT_HEAD(&t->free, q, place);
}
