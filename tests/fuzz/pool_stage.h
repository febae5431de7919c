/* SPDX-License-Identifier: ISC */
/*
 * What fuzz_pool.c sets around a pool: a parent that keeps the rules, and a
 * listener and upstreams that need not.  The pool is whole but for TLS, and its
 * sockets, clock and event loop are those of tests/replay.
 */
#ifndef TESTS_FUZZ_POOL_STAGE_H
#define TESTS_FUZZ_POOL_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dotproxy/pool/pool.h"
#include "tests/fuzz/fuzz.h"
#include "tests/replay/world.h"

#define STAGE_ASKED_MAX 512
#define STAGE_PEERS_MAX 256
#define STAGE_DIALS_MAX 64
#define STAGE_UPS 4u       /* ids 1 to 4 */
#define STAGE_HELD_MAX 128 /* queries that an end of a connection remembers */
#define STAGE_SECRET "secret" /* in every name; never in the log */

/* Bytes that have come and are not complete, or are kept. */
struct bytes {
	uint8_t *p; /* owned */
	size_t len;
};

static inline void
bytes_add(struct bytes *b, const void *p, size_t len)
{
	if (len == 0)
		return;
	b->p = realloc(b->p, b->len + len);
	FUZZ_ASSERT(b->p != NULL);
	memcpy(b->p + b->len, p, len);
	b->len += len;
}

static inline void
bytes_drop(struct bytes *b, size_t len)
{
	b->len -= len;
	if (b->len > 0)
		memmove(b->p, b->p + len, b->len);
}

static inline void
bytes_free(struct bytes *b)
{
	free(b->p);
	b->p = NULL;
	b->len = 0;
}

/* Takes all that a socket has. */
static inline bool
bytes_read(struct bytes *b, struct vsock *s)
{
	uint8_t part[4096];
	bool more = false;
	size_t n;

	while ((n = vnet_read(s, part, sizeof(part))) > 0) {
		bytes_add(b, part, n);
		more = true;
	}
	return more;
}

/* A query that the listener has sent. */
struct asked {
	uint64_t handle;
	uint64_t due_ms; /* its end must have been told by then; 0: need not */
	bool open;       /* it has not */
	bool twice;      /* another of the same handle was open */
	bool may_repeat;
	bool streams;
	uint32_t nseen;  /* by any upstream */
	uint64_t unpaid; /* bytes of parts, no credit given for them */
	size_t len;
	uint8_t *wire; /* owned */
};

/* A query that an upstream has not answered. */
struct held {
	struct asked *asked; /* NULL: of the pool itself */
	size_t len;
	uint8_t *wire; /* owned, as it came */
};

/* The far end of a connection. */
struct peer {
	struct vsock *sock; /* NULL: closed */
	uint64_t request;
	uint32_t up; /* id */
	bool hello;
	bool shaken;
	bool deaf; /* does not read */
	bool odd;  /* what the pool makes of its bytes is not known */
	size_t nheld;
	struct held held[STAGE_HELD_MAX];
	struct bytes in;    /* records */
	struct bytes plain; /* frames */
	struct bytes rest;  /* of an answer, not sent yet */
};

/* What upstreams do by themselves: a set. */
enum stage_auto { AUTO_CONNECT = 1, AUTO_SHAKE = 2, AUTO_ANSWER = 4 };

/* A connection that the pool wants. */
struct dial {
	uint64_t request;
	uint32_t up;
};

struct stage {
	struct world w; /* for pool_side.c: pool, pool_base, to_pool */
	/* The listener's end of the link. */
	struct vsock *to_pool;
	struct vsock *from_pool;
	bool deaf; /* does not read */
	bool was_deaf;
	bool hostile; /* has sent what may break the rules */
	bool raw;     /* has sent queries, in this input, that are not known */
	bool unknown; /* a transfer of its cannot be cancelled any more */
	bool lossy;   /* the buffer may have been full: an end may be lost */
	size_t turn_bytes;
	struct bytes in;
	uint64_t nshown;   /* INFO_END that are due, at the most */
	uint64_t nhandles; /* generations of them */
	uint64_t max_timeout_ms;
	uint8_t automatic[STAGE_UPS + 1];
	bool edits; /* queries look otherwise to upstreams */
	size_t nasked;
	struct asked asked[STAGE_ASKED_MAX];
	size_t npeers;
	struct peer *peers[STAGE_PEERS_MAX]; /* owned */
	size_t ndials;
	struct dial dials[STAGE_DIALS_MAX];
};

/* --- pool_stage.c: all of it, turns and time, the parent --- */

/* A pool with a link, without a configuration. */
struct stage *stage_new(void);
/* Ends it; nothing may be left. */
void stage_free(struct stage *);
/* The nth allocation of the pool from now on fails, but none for the parent. */
void stage_lack_memory(struct stage *, unsigned int n);
/* Until nobody has anything to do; looks at everything. */
void stage_settle(struct stage *);
/* Time goes by; all at once, or as timers are due. */
void stage_advance(struct stage *, uint64_t us, bool at_once);
/* Three octets say which configuration; it is in force when decided on. */
void stage_configure(struct stage *, const uint8_t *how);
void stage_decide(struct stage *, bool swap);
/* A new link, as after a listener that was started anew. */
void stage_link(struct stage *);
/* The parent's answer to the nth dial under way. */
void stage_dialled(struct stage *, size_t nth, uint8_t how);
void stage_change(struct stage *, uint8_t change, uint32_t id);

/* --- pool_listener.c --- */

/* Sends queries: a, b and c of the operation. */
void listener_ask(struct stage *, uint8_t what, uint8_t slot, uint8_t how);
/* The nth query from the last; NULL if there is none at all. */
struct asked *listener_nth(struct stage *, size_t nth);
void listener_cancel(struct stage *, struct asked *);
void listener_credit(struct stage *, struct asked *, uint32_t bytes);
/* One message, or bytes as they are. */
void listener_send(struct stage *, uint16_t type, uint64_t id,
    const uint8_t *payload, size_t len);
void listener_raw(struct stage *, const uint8_t *bytes, size_t len);
/* Reads what came; true if there was anything. */
bool listener_turn(struct stage *);
/* Who must have been told has been. */
void listener_check(struct stage *);
/* The link is gone, and what was asked over it. */
void listener_forget(struct stage *);

/* --- pool_peer.c: upstreams --- */

struct peer *peer_new(struct stage *, const struct dial *, int *fd);
/* The nth from the last that is not closed; NULL if there is none. */
struct peer *peer_nth(struct stage *, size_t nth);
void peer_shake(struct peer *, bool resumed);
void peer_record(struct peer *, uint8_t type, const uint8_t *, size_t len);
/* Answers the nth query it has, in one of many ways. */
void peer_answer(struct stage *, struct peer *, size_t nth, uint8_t how);
void peer_raw(struct peer *, const uint8_t *bytes, size_t len);
void peer_close(struct peer *, int err);
bool peer_turn(struct stage *);
void peer_free_all(struct stage *);

#endif
