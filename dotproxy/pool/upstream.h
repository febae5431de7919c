/* SPDX-License-Identifier: ISC */
/*
 * One upstream: its connections, the queries that wait for one, when it may
 * be dialled, and what went wrong with it.
 *
 * It can be used (policy_set_up) while a connection stands, or as long as
 * nothing has failed.  After a failure with no connection left it is out
 * until a dial succeeds: a query never is what finds out whether it is back.
 */
#ifndef POOL_UPSTREAM_H
#define POOL_UPSTREAM_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/backoff.h"
#include "common/conf.h"
#include "common/hist.h"
#include "common/msg.h"
#include "dotproxy/pool/conn.h"
#include "dotproxy/pool/hedge.h"
#include "dotproxy/pool/query.h"
#include "dotproxy/pool/session.h"
#include "dotproxy/pool/trust.h"
#include "dotproxy/pool/warm.h"

struct pool;

#define UPSTREAM_NO_INDEX UINT32_MAX /* gone from the configuration */
#define UPSTREAM_DIALS_MAX 4u        /* at the same time */
#define UPSTREAM_BACKOFF_MIN_MS 100u
#define UPSTREAM_BACKOFF_MAX_MS 30000u
/* Between two dials of one that fails while queries wait for any upstream. */
#define UPSTREAM_PAUSE_MIN_MS 100u
#define UPSTREAM_PAUSE_MAX_MS 500u
/* So long TCP Fast Open is not tried again if it was what failed. */
#define UPSTREAM_PLAIN_MS 3600000u
/* How often the parent is asked again when it has had enough. */
#define UPSTREAM_QUOTA_MS 100u

/* What the log was told last. */
struct upstream_log {
	bool down; /* a warning was written and no "is up" since */
	uint8_t phase;
	uint8_t cause;
	uint64_t warned_ms;
	uint64_t unsaid; /* failures since */
	uint64_t down_since_ms;
};

struct upstream_counters {
	uint64_t queries;
	uint64_t answers;
	uint64_t opened;
	uint64_t resumed;
	uint64_t closed_by_peer;
	uint64_t warm_dials;
	uint64_t retries;
	uint64_t failures[PHASE_COUNT];
	uint64_t hedges; /* for its late answers */
	uint64_t hedges_won;
	uint64_t hedges_lost;
	uint64_t hedges_denied;
	uint64_t rescues;
};

struct upstream {
	TAILQ_ENTRY(upstream) gone; /* pool->gone, if it has no index */
	struct pool *pool;
	uint32_t id;    /* the parent's */
	uint32_t index; /* in pool->upstreams, or UPSTREAM_NO_INDEX */
	struct conf_upstream conf;
	char peer_name[CONF_HOST_MAX]; /* what the certificate must be for */
	struct session_config *tls;    /* owned */
	/* What the last one that was not resumed was verified by; or NULL. */
	STACK_OF(X509) * chain;
	struct session_tickets tickets;
	struct session spare;      /* standby_prepare()'s, of these settings */
	struct conn_list conns;    /* all but the dead */
	struct conn_list avail;    /* most recently used first */
	struct conn_list busy;     /* taken in turn */
	struct conn_list doubtful; /* suspect; taken in turn */
	struct query_list waiting;
	struct query_list alone;     /* query_is_apart(), but transfers */
	struct conn *lone;           /* the one connection for these, or NULL */
	uint32_t lone_max;           /* queries that may be on it now */
	struct query_list transfers; /* each wants one that is closed then */
	uint32_t ntransfers;         /* in transfers */
	uint32_t napart;             /* connections for these, not ready yet */
	uint32_t nwaiting;
	uint32_t nready;      /* READY, without lone */
	uint32_t nconnecting; /* the same of all others, with lone */
	uint32_t nconns;      /* in conns, without lone */
	uint32_t nsuspect;    /* of those READY */
	uint32_t nsilent;     /* of these */
	bool doubt;           /* it has answered nothing for long */
	uint64_t answered_ms; /* when it last did */
	struct event ev_wait; /* overdue_wait() */
	struct hedge_latency late;
	struct event timer; /* upstream_poke() */
	struct backoff backoff;
	bool plain; /* dialled without TCP Fast Open since plain_ms */
	/* Those asked for up to then go when another is ready; 0: none. */
	uint64_t flush_request;
	bool disabled;    /* by the operator: gets no queries, no dials */
	bool failed;      /* out, until a connection is ready */
	bool suspect;     /* failed_ms is newer than any success */
	bool need_answer; /* a handshake alone is no success */
	struct msg_health fault; /* of the last failure */
	struct msg_health told;  /* what the parent knows */
	bool has_told;
	uint64_t failed_ms;
	uint64_t dialled_ms;   /* last dial */
	uint64_t plain_ms;     /* for UPSTREAM_PLAIN_MS */
	uint64_t quota_ms;     /* no dial before: the parent said so */
	uint64_t lone_ms;      /* no dial of a lone one before */
	uint64_t queries_seen; /* of the pool, when it failed last */
	uint64_t last_query_ms;
	uint32_t gap8_ms; /* eight times the mean gap between queries */
	struct warm warm;
	struct upstream_log log;
	struct upstream_counters n;
	struct hist_live latency;
	struct hist connect;
	struct hist handshake;
	struct hist open; /* both */
};

TAILQ_HEAD(upstream_list, upstream);

/* --- upstream.c: its connections and queries --- */

/*
 * Makes an upstream in no list.  cfg is consumed.  NULL out of memory; cfg then
 * is the caller's.
 */
struct upstream *upstream_new(
    struct pool *, const struct msg_upstream *, struct session_config *cfg);

/* Takes new settings for one that keeps its id; cfg is consumed. */
void upstream_update(
    struct upstream *, const struct msg_upstream *, struct session_config *cfg);

/*
 * Takes it out of use: connections end with the queries on them, waiting
 * queries are dispatched anew.  Its index must be UPSTREAM_NO_INDEX already.
 */
void upstream_retire(struct upstream *);

/* Frees one without connections or queries; NULL is ignored. */
void upstream_free(struct upstream *);

/* Takes a query, state HELD: puts it on a connection or lets it wait. */
void upstream_submit(struct upstream *, struct query *);

/* Takes a query that waits here out; it becomes HELD. */
void upstream_forget(struct upstream *, struct query *);

/* Puts a connection into the list where it now belongs. */
void upstream_relist(struct conn *);

/* The handshake of a connection has succeeded. */
void upstream_conn_ready(struct conn *);

/* A connection got an answer, late or not. */
void upstream_conn_answered(struct conn *);

/* A connection has ended; it is dead afterwards. */
void upstream_conn_ended(struct conn *, const struct conn_end *);

/*
 * Drops every connection without blame: the machine was asleep.  Its queries,
 * state HELD, go to the end of list.
 */
void upstream_reset(struct upstream *, struct query_list *list);

/*
 * Gives back what waits here to be dispatched anew, and lets its connections
 * end with the queries they have.  It must be disabled already.
 */
void upstream_stand_down(struct upstream *);

void upstream_fill_info(struct upstream *, struct info_upstream *);

/* --- admin.c: what the operator does to it --- */

/* Serves PX_CHANGE. */
int admin_on_change(void *arg, struct imsg *);

/* A connection is ready: those it is to replace are drained. */
void admin_conn_ready(struct conn *);

/* --- health.c: when to dial, and what to say about it --- */

/* True if queries may be given to it. */
static inline bool
upstream_usable(const struct upstream *up)
{
	return !up->disabled && (up->nready > 0 || !up->failed);
}

/* Tells the policy, and the parent what it does not know. */
void upstream_refresh(struct upstream *);

/* What a connection is for. */
enum upstream_use {
	USE_MANY,    /* any number of queries */
	USE_LONE,    /* up->alone, a few at a time */
	USE_TRANSFER /* one of up->transfers */
};

/* Opens a connection now. */
void upstream_dial(struct upstream *, enum upstream_use);

/*
 * A connection is silent: dials another in case that it is dead, at most every
 * UPSTREAM_PAUSE_MAX_MS, whatever the back-off.
 */
void upstream_relieve(struct upstream *);

/* More connections, if those there are do not suffice. */
void upstream_grow(struct upstream *);

/* As many connections as overdue_wanted() says. */
void upstream_keep(struct upstream *);

/* Does what is due and arms the timer for what is not. */
void upstream_poke(struct upstream *);

/* Something failed that says the upstream is at fault. */
void upstream_fail(
    struct upstream *, const struct conn *, const struct conn_end *);

/*
 * A connection works.  That ends the back-off if it was dialled after the last
 * failure: an upstream may refuse more connections than it has accepted.
 */
void upstream_succeed(struct upstream *, const struct conn *);

/* The answers to TP_CONNECT; -1 if there was no such request. */
int upstream_on_connected(struct pool *, uint64_t request, int fd);
int upstream_on_connect_failed(struct pool *, uint64_t request, int err);

#endif
