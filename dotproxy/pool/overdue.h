/* SPDX-License-Identifier: ISC */
/*
 * Answers that are late.  A query whose answer takes longer than nearly all of
 * this upstream's is sent once more, as its twin, on another connection; the
 * first answer wins, and the other is discarded when it comes.
 *
 * A connection is suspect when a query on it is late and nothing was heard
 * since that was sent: new queries prefer others.  It is silent after twice
 * the time (and 50 ms at least).  If the upstream has answered nothing on any
 * connection in that time it is in doubt: new queries go to others, if there
 * are any, until it says something or its silent connections end.
 *
 * A copy that leaves a silent connection for one that has answered since, or an
 * upstream in doubt for another, is a rescue, and has a budget of its own.
 */
#ifndef POOL_OVERDUE_H
#define POOL_OVERDUE_H

#include <stdint.h>

#include <event2/event.h>

struct conn;
struct pool;
struct query;
struct upstream;

/* Extra queries that may go out at once; what a new pool has of them. */
#define OVERDUE_BURST 10u
#define OVERDUE_START 10u
/* The same for rescues: what was in flight when an upstream fell silent. */
#define OVERDUE_RESCUE_BURST 8192u
/* Queries come often if the mean gap, each no more than MAX, is less. */
#define OVERDUE_OFTEN_MS 250u
#define OVERDUE_GAP_MAX_MS 1000u
/* So long a query waits for a connection while another upstream has one. */
#define OVERDUE_WAIT_MS 150u

/* Takes pool->forward.hedge_percent. */
void overdue_configure(struct pool *);

/* Sets up an upstream's part. */
void overdue_init(struct upstream *);

/* Queries have left on a connection: arms its timer if it is not. */
void overdue_watch(struct conn *);
void overdue_on_timer(evutil_socket_t, short what, void *arg);

/*
 * Nothing was heard on it for CONN_QUIET_MS, although something is due: it is
 * silent, even if nothing new was sent, and also if it takes no more queries.
 */
void overdue_quiet(struct conn *);

/* A whole answer came on it, for whomever. */
void overdue_heard(struct conn *);

/* It takes no more queries: its silence says nothing any more. */
void overdue_unlist(struct conn *);

/*
 * Learns from an answer that took so long, and counts who has won, before q,
 * which c has answered, ends.
 */
void overdue_answered(struct conn *c, const struct query *q, uint64_t us);

/* A query has begun to wait for a connection. */
void overdue_wait(struct upstream *);

/* An upstream has a new connection: late queries without one may go out. */
void overdue_ready(struct upstream *);

/* An upstream gets a query: before its last_query_ms changes. */
void overdue_count_query(struct upstream *);

/*
 * How many connections are to stand ready: one beside each that is suspect, and
 * while queries come often one more, so that a late one need not wait.  When
 * they come seldom a dial for the late one costs less than what keeping
 * another alive would.
 */
uint32_t overdue_wanted(const struct upstream *);

#endif
