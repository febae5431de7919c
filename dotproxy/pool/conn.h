/* SPDX-License-Identifier: ISC */
/*
 * One connection to an upstream: asked of the parent, connecting, in the TLS
 * handshake, ready.  Queries put on it leave together at the end of the loop
 * turn; answers are matched by ID and question.  A connection that ends hands
 * its queries back to its upstream.
 */
#ifndef POOL_CONN_H
#define POOL_CONN_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/msg.h"
#include "dotproxy/pool/frame.h"
#include "dotproxy/pool/idmap.h"
#include "dotproxy/pool/query.h"
#include "dotproxy/pool/session.h"
#include "dotproxy/pool/transfer.h"

struct pool;
struct upstream;

/* With so many queries in flight another connection is opened beside it. */
#define CONN_SOFT_MAX 128u
/* Queries one takes before another has its turn, if all are that busy. */
#define CONN_BATCH 64u
/* It takes no more than this, IDs of queries given up included. */
#define CONN_HARD_MAX 16384u
/* One that leaves so many queries unanswered is replaced. */
#define CONN_ABANDONED_MAX 1024u
/* So many if it has had no more than this time for the last: it may come yet.
 */
#define CONN_CANCELLED_MAX 8192u
#define CONN_CANCELLED_MS 250u
/* Tickets, key updates and the like it may bring beyond one an answer. */
#define CONN_EXTRAS_MAX 256u
/* One silent for so long, with queries on it, gets others last. */
#define CONN_QUIET_MS 500u
/* A connection with more ciphertext than this waiting is broken. */
#define CONN_PENDING_MAX ((size_t)512 * 1024)

enum conn_state {
	CONN_ASKED,     /* the parent has not sent the socket yet */
	CONN_CONNECT,   /* TCP */
	CONN_HANDSHAKE, /* TLS */
	CONN_READY,
	CONN_DRAINING, /* takes no more queries; ends with those it has */
	CONN_DEAD      /* to be freed at the end of the turn */
};

/* In which list of its upstream it is. */
enum conn_class {
	CONN_CLASS_NONE,  /* takes no queries now */
	CONN_CLASS_AVAIL, /* takes queries */
	CONN_CLASS_BUSY,  /* takes queries if there is no better one */
	CONN_CLASS_DOUBT  /* suspect: the last resort */
};

struct conn {
	TAILQ_ENTRY(conn) all;   /* upstream->conns, or pool->dead */
	TAILQ_ENTRY(conn) place; /* in the list of upstream for its class */
	TAILQ_ENTRY(conn) turn;  /* pool->dirty, if dirty */
	TAILQ_ENTRY(conn) pause; /* pool->paused, if paused */
	struct upstream *up;
	enum conn_state state;
	enum conn_class class;
	uint64_t request; /* its name in TP_CONNECT */
	int fd;           /* -1 while ASKED and when DEAD */
	struct event ev_read;
	struct event ev_write;
	struct event ev_timer;
	struct event ev_late; /* overdue_on_timer() */
	struct session session;
	struct idmap ids;
	struct query_list sendq; /* QUERY_QUEUED */
	struct query_list sent;  /* QUERY_SENT, oldest first */
	struct query *watch;     /* in sent: the first not yet found late */
	uint64_t suspect_us;     /* if suspect: nothing was heard since */
	uint64_t stalled_us;     /* when it last ceased to be suspect */
	bool suspect;
	bool silent; /* suspect for long */
	bool late_armed;
	uint32_t nqueued;
	uint32_t nsent;
	struct frame_buf frame;
	uint8_t *pending; /* owned: ciphertext the kernel did not take */
	size_t pending_pos;
	size_t pending_len;
	uint64_t asked_ms;      /* when it was asked for */
	uint64_t phase_us;      /* when the present state began */
	uint64_t connect_us;    /* what TCP took */
	uint64_t armed_ms;      /* when ev_timer fires */
	uint64_t ready_ms;      /* when it became ready; 0 if it has not */
	uint64_t used_ms;       /* last query or answer */
	uint64_t heard_ms;      /* last complete answer, or ready_ms */
	uint64_t waiting_since; /* ms, see conn_due(); 0: nothing is awaited */
	uint64_t write_ms;      /* when pending last moved */
	uint64_t paused_ms;     /* if paused, since when */
	uint64_t given;         /* queries written */
	uint64_t served;        /* answers, late ones too */
	uint32_t extras;        /* TLS records that are not for us */
	struct transfer transfer; /* of the query on it, if it is one */
	bool
	    lone; /* takes a few queries at a time, of up->alone; or is apart */
	bool apart; /* takes one query, of up->transfers */
	bool probe; /* is pool->probe.conn; lone and apart, without a query */
	bool heard; /* some byte came from the peer */
	/* The upstream is about to close it: for queries that have no other. */
	bool expiring;
	bool quiet;   /* silent with queries on it: the same */
	bool plain;   /* dialled without TCP Fast Open */
	bool dirty;   /* in pool->dirty */
	bool paused;  /* in pool->paused */
	bool stopped; /* not read: the client does not take its transfer */
	bool saved;   /* its ticket was kept, or is not to be */
};

TAILQ_HEAD(conn_list, conn);

/* How a connection ended, for the upstream to judge. */
struct conn_end {
	bool blame;   /* the upstream is at fault */
	bool counts;  /* in failures[phase] */
	bool by_peer; /* it was idle, and the peer closed it */
	enum info_phase phase;
	enum msg_cause cause;
	int err;          /* errno, if that is what it was; or 0 */
	const char *text; /* for the log */
};

/* --- conn.c: its life --- */

/* A connection in state CONN_ASKED, in no list.  NULL out of memory. */
struct conn *conn_new(struct upstream *, uint64_t request);

/* Frees a connection that is DEAD or still ASKED, and in no list. */
void conn_free(struct conn *);

/*
 * Makes the first message of the handshake, if the buffers are free: there is
 * time while the parent makes the socket.
 */
void conn_prepare(struct conn *);

/* Drops that message, and its session, in state CONN_ASKED. */
void conn_unprepare(struct conn *);

/* Begins on the socket the parent has sent, which is consumed. */
void conn_start(struct conn *, int fd);
/* Watches its socket; false if that failed, and the connection has ended. */
bool conn_watch(struct conn *, struct event *);

/* Queries on it, and IDs not free again. */
static inline uint32_t
conn_load(const struct conn *c)
{
	return c->nqueued + c->ids.used;
}

/* Queries on it. */
static inline uint32_t
conn_inflight(const struct conn *c)
{
	return c->nqueued + c->nsent;
}

/* Puts a query in state HELD on a ready connection. */
void conn_submit(struct conn *, struct query *);

/* Takes a query, which becomes HELD, off; its ID stays reserved if sent. */
void conn_forget(struct conn *, struct query *);

/* Takes a query in state SENT off; its ID is the caller's to see to. */
void conn_unsend(struct conn *, struct query *);

/* Takes all queries off, HELD, oldest first, into list. */
void conn_take_all(struct conn *, struct query_list *list);

/* Takes no more queries; closes when it has none. */
void conn_drain(struct conn *);

/*
 * Closes a connection for a reason of ours, with close_notify.  Queries on it
 * go elsewhere without blame on the upstream.
 */
void conn_close(struct conn *);

/* Ends it: its queries go elsewhere, the upstream judges. */
void conn_end(struct conn *, const struct conn_end *);

/* Its ticket is not to be kept: it was verified by what was in force then. */
static inline void
conn_keep_no_ticket(struct conn *c)
{
	c->saved |= c->state != CONN_ASKED;
}

/*
 * The link to the listener is full: the connection is not read, and has no
 * deadline, until conn_resume().
 */
void conn_pause(struct conn *);
void conn_resume(struct conn *);

/* Arms the timer again after timeouts have changed. */
void conn_retime(struct conn *);

void conn_fill_info(const struct conn *, struct info_conn *);

/* --- for conn_io.c --- */

/* A query is the first to be waited for. */
void conn_on_waiting(struct conn *);
/* TCP stands. */
void conn_on_connected(struct conn *);
/* The handshake has succeeded. */
void conn_on_ready(struct conn *);
/* A complete answer came; its ID is free again. */
void conn_on_answer(struct conn *);
/* The upstream says how long the connection may be idle, in that answer. */
void conn_on_keepalive(struct conn *, uint32_t idle_ms);
/* Ends it because of a failure of the peer or the network. */
void conn_fail(
    struct conn *, enum info_phase, enum msg_cause, const char *text);
/* The same for an error of the network. */
void conn_fail_errno(struct conn *, enum info_phase, int err);
/* The peer has closed it: in order (err is 0), or with that errno. */
void conn_on_eof(struct conn *, int err);

/* --- conn_io.c: bytes --- */

void conn_readable(evutil_socket_t, short what, void *arg);
void conn_writable(evutil_socket_t, short what, void *arg);

/* TLS's way to the shared buffers; arg is the pool. */
ssize_t conn_tls_read(struct tls *, void *buf, size_t len, void *arg);
ssize_t conn_tls_write(struct tls *, const void *buf, size_t len, void *arg);

/* Makes the first message of the handshake; returns 0, or -1 with *err. */
int conn_hello(struct conn *, struct session_error *err);

/* Sends what the socket did not take before; false if c has ended. */
bool conn_send_pending(struct conn *);

/* Encrypts and sends the queries put on it in this turn. */
void conn_flush(struct conn *);

/* Queues or sends close_notify, if that can be done at once. */
void conn_goodbye(struct conn *);

/* Sends what is left in the shared buffer for one that ends: an alert. */
void conn_last_words(struct conn *);

#endif
