/* SPDX-License-Identifier: ISC */
/*
 * The queries held: a table of fixed size, and their deadlines in order.  A
 * query is in it from the moment the listener has sent it until an answer or
 * a failure has gone back.  No libevent, no clock; time is an argument.
 */
#ifndef POOL_QUERY_H
#define POOL_QUERY_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/store.h"

/* The longest name there is, with an OPT record; a longer query is stored. */
#define QUERY_INLINE 288
#define QUERY_LONG_BYTES (32 * 1024 * 1024) /* of those, all together */
#define QUERY_NO_UPSTREAM UINT32_MAX
/* One that lost so many connections is no longer put beside those that have
 * not. */
#define QUERY_LOST_MAX 2u
/* So many of these share a connection; an eighth each time they lose it. */
#define QUERY_COMPANY_MAX 64u

struct conn;
struct upstream;

enum query_state {
	QUERY_FREE,
	QUERY_HELD,    /* in no list: on its way from one to another */
	QUERY_PARKED,  /* in pool->parked: no upstream can be used */
	QUERY_WAITING, /* in upstream->waiting: no connection yet */
	QUERY_ALONE,   /* in upstream->alone: not beside just any other */
	QUERY_APART,   /* in upstream->transfers: the same, for a transfer */
	QUERY_QUEUED,  /* in conn->sendq: not written yet */
	QUERY_SENT     /* in conn->sent: has an ID there */
};

struct query {
	TAILQ_ENTRY(query) place; /* in the list that state names, or free */
	TAILQ_ENTRY(query) due;   /* in table->due */
	uint64_t handle;          /* the listener's name for it */
	uint64_t deadline_ms;
	uint64_t sent_us;
	struct conn *conn;         /* if QUEUED or SENT */
	struct upstream *upstream; /* if WAITING, ALONE or APART */
	struct query *twin;        /* the same, sent elsewhere, or NULL */
	uint8_t *wire;             /* inline_wire, or of longs */
	uint32_t last_upstream;    /* id of the last one that failed it */
	uint16_t len;
	uint16_t id; /* on the connection, if SENT */
	uint8_t state;
	uint8_t cause;   /* enum msg_cause of the last failure */
	uint8_t tries;   /* failures so far */
	uint8_t lost;    /* of these, connections lost under it */
	bool may_repeat; /* no harm if it is sent twice */
	bool odd;        /* must not share a connection, see query_company() */
	bool transfer;   /* AXFR or IXFR */
	bool ixfr;       /* of these, IXFR */
	bool streams;    /* all messages are wanted */
	bool written;    /* some upstream may have seen it */
	uint8_t edited;  /* if SENT, what edit_query() put in */
	bool copy;       /* of a pair, the one sent later */
	uint8_t copies;  /* made of it so far */
	uint8_t inline_wire[QUERY_INLINE];
};

TAILQ_HEAD(query_list, query);

struct query_table {
	struct query *entries; /* owned; never moves */
	uint32_t *by_slot;     /* owned; see query_find() */
	uint32_t cap;          /* entries there are */
	uint32_t limit;        /* entries that may be used, <= cap */
	uint32_t used;
	uint32_t npairs;    /* queries held twice */
	uint32_t touched;   /* entries ever used: the rest is not resident */
	struct store longs; /* messages longer than QUERY_INLINE */
	struct query_list free; /* last in, first out */
	struct query_list due;  /* by deadline */
	struct query *last;     /* in due: where the last one added is, or was;
				 * NULL: before the first */
};

/* Makes room for cap queries, without touching it.  Returns 0 or -1. */
int query_table_init(struct query_table *, uint32_t cap);
void query_table_free(struct query_table *);

/* At most limit queries from now on; those above it stay. */
void query_table_set_limit(struct query_table *, uint32_t limit);

/*
 * Holds a message, state QUERY_HELD, until query_remove().  Returns NULL if the
 * table is full or memory is short.  len >= DNS_HDR_LEN.
 */
struct query *query_add(struct query_table *, uint64_t handle,
    uint64_t deadline_ms, const uint8_t *wire, size_t len);

/*
 * Holds the same query once more, as its twin, HELD.  Whichever is removed
 * first leaves the other single.  NULL if it has a twin already, or the
 * table is nearly full.
 */
struct query *query_twin(struct query_table *, struct query *);

/*
 * The query with this handle, the first sent of two; NULL if there is none.
 * The low half of a handle is the listener's slot, below cap; a handle that is
 * not, or is used twice, is not found, or the last one is: that is up to who
 * made it.
 */
struct query *query_find(const struct query_table *, uint64_t handle);

/* Gives it more time than any other query has. */
void query_postpone(struct query_table *, struct query *, uint64_t deadline_ms);

/* Ends it; it must be in no list of connection or upstream. */
void query_remove(struct query_table *, struct query *);

/* The query with the earliest deadline; NULL if none is held. */
static inline struct query *
query_first_due(const struct query_table *t)
{
	return TAILQ_FIRST(&t->due);
}

/* How many there are: one held twice counts once. */
static inline uint32_t
query_held(const struct query_table *t)
{
	return t->used - t->npairs;
}

/* True if it is not put on a connection beside all others. */
static inline bool
query_is_apart(const struct query *q)
{
	return q->odd || q->transfer || q->lost >= QUERY_LOST_MAX;
}

/*
 * How many queries there may be, itself included, on the connection it is put
 * on, if it is apart.  Connections may have ended because of it, or of one that
 * was beside it: the few that are left together each time find out which.
 */
static inline uint32_t
query_company(const struct query *q)
{
	uint32_t n = QUERY_COMPANY_MAX, lost = q->lost;

	if (q->odd || q->transfer)
		return 1;
	for (; lost > QUERY_LOST_MAX && n > 1; lost--)
		n /= 8;
	return n;
}

static inline uint32_t
query_index(const struct query_table *t, const struct query *q)
{
	return (uint32_t)(q - t->entries);
}

static inline struct query *
query_at(const struct query_table *t, uint32_t index)
{
	return &t->entries[index];
}

#endif
