/* SPDX-License-Identifier: ISC */
/*
 * The queries that wait for an answer: a table of slots, found by handle,
 * ordered by deadline, grouped by the TCP connection they came over, and those
 * over UDP by a hash, so that one that is repeated can be told.
 * Pure: no event loop, no clock.  A query too long for its slot is in a store,
 * which has a budget.
 */
#ifndef LISTENER_INFLIGHT_H
#define LISTENER_INFLIGHT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/conf.h"
#include "common/dns.h"
#include "common/store.h"

struct prefix;
struct tcp_conn;
struct udp_sock;

/* A longer query is kept in the store; as QUERY_INLINE of pool/query.h. */
#define INFLIGHT_WIRE_INLINE 288
/* Bytes of long queries in all; beyond that the table counts as full. */
#define INFLIGHT_LONG_MAX ((size_t)16 * 1024 * 1024)

/* An IP socket address in 28 bytes instead of sockaddr_storage's 128. */
union client_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* The address a datagram was sent to: where the answer has to come from. */
struct udp_local {
	union {
		struct in_addr v4;
		struct in6_addr v6;
	} addr;
	uint32_t ifindex; /* 0: any will do */
	uint8_t family;   /* AF_UNSPEC: leave it to the kernel */
};

/*
 * Who asked.  Exactly one of conn and sock is not NULL; both are borrowed.
 * Neither is there any more in a slot whose client has gone.
 */
struct client {
	struct tcp_conn *conn;
	struct udp_sock *sock;
	union client_addr peer;
	struct udp_local local; /* UDP only */
};

/*
 * A query in the table.  Its members are read by anybody and written only
 * here, but for arrived_us, stalled_ms, prefix, sent, sent_ms, lined and what
 * is about a transfer.
 */
struct inflight_slot {
	TAILQ_ENTRY(inflight_slot) order; /* by deadline; or the free list */
	TAILQ_ENTRY(inflight_slot) wait;  /* valid if waiting or lined */
	union {
		LIST_ENTRY(inflight_slot) conn; /* valid if client.conn */
		LIST_ENTRY(inflight_slot) same; /* valid if indexed */
	};
	uint64_t deadline_ms;
	uint64_t arrived_us;
	uint64_t sent_ms;    /* to the pool, last; valid if sent */
	uint32_t generation; /* never 0; a new one for each use */
	uint32_t ahead;      /* how many there were when it came */
	uint32_t stalled_ms; /* what shed_asked() said then */
	uint32_t hash;       /* valid if indexed */
	uint16_t wire_len;
	bool used;
	bool tcp;        /* came over it */
	bool gone;       /* its client, but the pool has not done with it */
	bool indexed;    /* can be found by inflight_repeats() */
	bool waiting;    /* in the list of those to be sent to the pool */
	bool lined;      /* not yet sent, in its client's line, see turns.h */
	bool sent;       /* has been, at least once */
	bool transfer;   /* all messages of the answer are wanted */
	bool begun;      /* of these, one has come; then waiting means that the
			  * pool is to be told what the client has taken */
	uint32_t unpaid; /* bytes that came and the pool has no credit for */
	struct dns_query query;
	struct client client;
	struct prefix *prefix; /* of the client, held; owned by its table */
	uint8_t *wire_long;    /* of longs; NULL if it fits in wire */
	uint8_t wire[INFLIGHT_WIRE_INLINE];
};

TAILQ_HEAD(inflight_queue, inflight_slot);
LIST_HEAD(inflight_list, inflight_slot);

/* The table.  Slots stay where they are for its whole life. */
struct inflight {
	struct inflight_slot *slots; /* CONF_INFLIGHT_MAX of them */
	uint32_t touched;            /* slots below this have been used */
	uint32_t count;
	uint32_t count_tcp;         /* of these, over TCP */
	uint32_t count_gone;        /* of these, of clients that have gone */
	uint32_t limit;             /* more than this are not added */
	struct store longs;         /* wire_long of all */
	uint32_t longs_tcp;         /* of its bytes, those that came over TCP */
	struct inflight_queue free; /* used before; the last freed first */
	struct inflight_queue order; /* by deadline, soonest first */
	struct inflight_slot *last;  /* in order: where the last one added is,
				      * or was; NULL: before the first */
	struct inflight_queue wait;  /* the link has no room; oldest first */
	struct inflight_list *same;  /* CONF_INFLIGHT_MAX of them, by hash */
	uint32_t nsame;              /* of these, in use; a power of two */
};

/*
 * Makes an unused struct an empty table.  Memory is only reserved: pages
 * become real as slots are used.  Returns 0 or -1 out of memory.
 */
int inflight_init(struct inflight *, uint32_t limit);

/* Frees the table and all that is in it. */
void inflight_clear(struct inflight *);

/* Changes the limit; queries above a lower one stay. */
void inflight_set_limit(struct inflight *, uint32_t limit);

/*
 * Adds a query; a copy is kept.  list is that of client->conn, and NULL if
 * that is.  Returns NULL if the table is full.
 */
struct inflight_slot *inflight_add(struct inflight *, const struct client *,
    struct inflight_list *list, const struct dns_query *, const uint8_t *wire,
    size_t len, uint64_t deadline_ms);

/*
 * True if this query over UDP is in flight already: from the same address and
 * port, through the same socket to the same address, with the same bytes.  hash
 * is one of its address, port and ID.
 */
bool inflight_repeats(const struct inflight *, uint32_t hash,
    const struct client *, const uint8_t *wire, size_t len);

/* Lets inflight_repeats() find a query over UDP just added. */
void inflight_index(struct inflight *, struct inflight_slot *, uint32_t hash);

/* Gives a slot a deadline that none comes after. */
void inflight_postpone(
    struct inflight *, struct inflight_slot *, uint64_t deadline_ms);

/* The connection of a slot is about to go; the slot stays, for nobody. */
void inflight_leave(struct inflight *, struct inflight_slot *);

/* Takes a slot out of the table, and all its lists. */
void inflight_remove(struct inflight *, struct inflight_slot *);

/* Returns the slot of a handle, NULL if it was never one or is stale. */
struct inflight_slot *inflight_find(struct inflight *, uint64_t handle);

/* The name of a slot for the pool; never 0, never the same again soon. */
uint64_t inflight_handle(const struct inflight *, const struct inflight_slot *);

/* The query as the client sent it; wire_len bytes. */
const uint8_t *inflight_wire(const struct inflight_slot *);

/* Puts a slot at the end of the wait list, or takes it out. */
void inflight_wait(struct inflight *, struct inflight_slot *);
void inflight_unwait(struct inflight *, struct inflight_slot *);

/* How many came over the same transport as this client's queries. */
static inline uint32_t
inflight_same(const struct inflight *t, const struct client *client)
{
	return client->conn != NULL ? t->count_tcp : t->count - t->count_tcp;
}

/* How many bytes of the store are of queries that came over that transport. */
static inline uint32_t
inflight_stored(const struct inflight *t, bool tcp)
{
	return tcp ? t->longs_tcp : (uint32_t)t->longs.bytes - t->longs_tcp;
}

/* The slot with the soonest deadline; NULL if the table is empty. */
static inline struct inflight_slot *
inflight_first(const struct inflight *t)
{
	return TAILQ_FIRST(&t->order);
}

static inline struct inflight_slot *
inflight_next(const struct inflight_slot *s)
{
	return TAILQ_NEXT(s, order);
}

#endif
