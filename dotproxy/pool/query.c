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
 * Deadlines come nearly in order, so a query goes in near the end of the list.
 * One that would have to go further back than this is expired late, with its
 * neighbour, rather than stop the loop with a search.
 */
#define DUE_STEPS_MAX 512

int
query_table_init(struct query_table *t, uint32_t cap)
{
	memset(t, 0, sizeof(*t));
	/* So large a piece comes as untouched zero pages. */
	t->entries = calloc(cap, sizeof(*t->entries));
	if (t->entries == NULL)
		return -1;
	if (store_init(&t->longs, QUERY_LONG_BYTES) == -1) {
		free(t->entries);
		t->entries = NULL;
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
	t->entries = NULL;
}

void
query_table_set_limit(struct query_table *t, uint32_t limit)
{
	t->limit = limit < t->cap ? limit : t->cap;
}

static void
insert_due(struct query_table *t, struct query *q)
{
	struct query *at = TAILQ_LAST(&t->due, query_list);
	int steps = 0;

	while (at != NULL && at->deadline_ms > q->deadline_ms &&
	       steps++ < DUE_STEPS_MAX)
		at = TAILQ_PREV(at, query_list, due);
	if (at != NULL)
		TAILQ_INSERT_AFTER(&t->due, at, q, due);
	else
		TAILQ_INSERT_HEAD(&t->due, q, due);
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
	insert_due(t, q);
	return q;
}

void
query_remove(struct query_table *t, struct query *q)
{
	TAILQ_REMOVE(&t->due, q, due);
	if (q->wire != q->inline_wire)
		store_give(&t->longs, q->wire, q->len);
	q->wire = NULL;
	q->state = QUERY_FREE;
	t->used--;
	TAILQ_INSERT_HEAD(&t->free, q, place);
}
