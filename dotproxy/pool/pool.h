/* SPDX-License-Identifier: ISC */
/*
 * The pool process: queries from the listener go to upstreams over TLS, and
 * their answers back.  It does not know who asks, has no file system and no
 * network but the sockets the parent hands it.
 *
 * A turn of the event loop: callbacks run, then pool_turn_end() sends what
 * they have queued, one system call for each connection and channel.  Nothing
 * is freed before the end of the turn.
 */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/conf.h"
#include "common/dns.h"
#include "common/imsg.h"
#include "common/msg.h"
#include "common/stats.h"
#include "common/util.h"
#include "dotproxy/pool/conn.h"
#include "dotproxy/pool/errors.h"
#include "dotproxy/pool/hedge.h"
#include "dotproxy/pool/overdue.h"
#include "dotproxy/pool/policy.h"
#include "dotproxy/pool/query.h"
#include "dotproxy/pool/session.h"
#include "dotproxy/pool/upstream.h"

#define POOL_RECORD_MAX 16384 /* plaintext of one TLS record */
#define POOL_RX_SIZE 65536
/* A record's worth of queries, or one query of any length. */
#define POOL_PLAIN_SIZE (POOL_RECORD_MAX + DNS_MSG_MAX + 2)
/* No more is encrypted for a connection in one go once so much is there. */
#define POOL_TX_SOFT 65536
#define POOL_TX_SIZE (POOL_TX_SOFT + POOL_PLAIN_SIZE + 16384)
/* A jump of CLOCK_BOOTTIME that means the machine was asleep. */
#define POOL_ASLEEP_MS 2000
/*
 * Handshakes under way at a time, beside the first of each upstream: all
 * upstreams together.
 */
#define POOL_DIALS_MAX 16u

struct config_run;

/* An upstream that is being tried for the operator; one at a time. */
struct probe {
	struct conn *conn; /* in up->conns; NULL: there is none */
	uint64_t handle;   /* who asks */
	uint64_t begun_ms; /* the last one, of any upstream */
	uint8_t step;      /* enum info_step it is at */
	uint16_t id;       /* of its query */
	struct info_probe info;
};

struct pool {
	struct event_base *base;
	struct imsg_chan parent;
	struct imsg_chan link; /* fd is -1 while there is none */
	int link_out;          /* the end to write of the next, or -1 */
	uint64_t link_number;  /* the parent's, of PX_LINK */
	bool link_lost;        /* to be closed at the end of the turn */
	bool info_owed;        /* an INFO_END did not fit */
	uint64_t info_handle;
	struct rng rng;
	bool in_turn;
	uint32_t nprepared; /* sessions, in this turn */
	uint64_t now_us;    /* of this turn */
	uint64_t now_ms;
	uint64_t started_ms;
	uint64_t asleep_ms;
	struct session_env tls;
	struct conf_forward forward;
	struct policy policy;
	struct hedge_budget hedge;  /* for late answers */
	struct hedge_budget rescue; /* from the silent */
	uint32_t nupstreams;
	struct upstream *upstreams[CONF_UPSTREAMS_MAX]; /* owned */
	struct upstream_list gone;                      /* owned, draining */
	uint64_t probe_due; /* upstreams to dial when a query comes */
	struct query_table queries;
	uint32_t nstreams; /* zone transfers among these */
	uint32_t max_streams;
	struct query_list parked; /* wait for any upstream */
	uint32_t nparked;
	uint8_t last_cause; /* of the last failure of any upstream */
	uint32_t last_failed;
	struct config_run *run;  /* owned: a configuration not in force yet */
	struct conn_list asked;  /* ASKED, by place */
	struct conn_list dirty;  /* have queries to encrypt, by turn */
	struct conn_list paused; /* not read: the link is full, by pause */
	struct conn_list dead;   /* owned, freed at the end of the turn */
	struct probe probe;
	uint64_t last_request;
	uint32_t ndials;       /* connections not ready yet, of all upstreams */
	uint64_t used_ms;      /* last query given to any upstream; 0: never */
	uint64_t woken_ms;     /* last look at all of them for that reason */
	struct event deadline; /* the first one due */
	uint64_t deadline_ms;  /* when it fires; 0: not armed */
	uint64_t counters[TSTAT_COUNT];
	struct errors errors; /* of upstreams */
	/*
	 * The buffers of all connections, used by io, the one being served:
	 * ciphertext that came, ciphertext to send, plaintext either way.
	 */
	struct conn *io;
	size_t rx_pos;
	size_t rx_len;
	size_t tx_len;
	uint8_t rx[POOL_RX_SIZE];
	uint8_t tx[POOL_TX_SIZE];
	uint8_t plain[POOL_PLAIN_SIZE];
	uint8_t answer[DNS_MSG_MAX]; /* one that is edited */
};

static inline void
pool_count(struct pool *pool, enum pool_counter which)
{
	pool->counters[which]++;
}

/* Every callback begins with it: reads the clock, once a turn. */
static inline void
pool_turn_begin(struct pool *pool)
{
	if (pool->in_turn)
		return;
	pool->in_turn = true;
	pool->nprepared = 0;
	pool->now_us = util_now_us();
	pool->now_ms = pool->now_us / 1000;
}

/* Milliseconds as libevent wants them. */
static inline struct timeval
pool_timeval(uint64_t ms)
{
	struct timeval tv;

	tv.tv_sec = (time_t)(ms / 1000);
	tv.tv_usec = (suseconds_t)(ms % 1000 * 1000);
	return tv;
}

/* --- pool.c: channels and turns --- */

/* The channel to the parent, for child_start(). */
extern const struct imsg_rule pool_parent_rules[IMSG_TYPES_MAX];

enum pool_phase {
	POOL_PHASE_IDLE = 1, /* of the channel to the parent */
	POOL_PHASE_CONF = 2  /* between CONF_BEGIN and CONF_END */
};

/* Sets up all of a zeroed struct but the channels; exits if it cannot. */
void pool_init(struct pool *, struct event_base *);

/* Frees everything, channels too: for tests. */
void pool_free(struct pool *);

/* Sends what was queued and frees what has ended. */
void pool_turn_end(struct pool *);

/* --- config.c: the configuration, piece by piece, swapped in when decided ---
 */

int config_on_begin(void *arg, struct imsg *);
int config_on_pool(void *arg, struct imsg *);
int config_on_ca(void *arg, struct imsg *);
int config_on_upstream(void *arg, struct imsg *);
int config_on_cert(void *arg, struct imsg *);
int config_on_key(void *arg, struct imsg *);
int config_on_end(void *arg, struct imsg *);
int config_on_decide(void *arg, struct imsg *);
/* An upstream, by its id, is disabled or not in what is not in force yet. */
void config_disable(struct config_run *, uint32_t id, bool disabled);
void config_run_free(struct config_run *);

/* --- dispatch.c: queries, from the listener and back --- */

int dispatch_on_query(void *arg, struct imsg *);
int dispatch_on_cancel(void *arg, struct imsg *);
int dispatch_on_transfer(void *arg, struct imsg *);

/* Ends a query, in whatever state, without a word to the listener. */
void dispatch_end(struct pool *, struct query *, enum pool_counter outcome);

/*
 * Finds an upstream for a query in state HELD, not avoid (an index, or
 * POLICY_NONE) if there is another; parks it if there is none.
 */
void dispatch_query(struct pool *, struct query *, uint32_t avoid);

/* Like it, for one which an upstream has failed for a cause. */
void dispatch_again(struct pool *, struct query *, struct upstream *failed,
    enum msg_cause, uint32_t avoid);

/* The same for a whole list, which is empty afterwards. */
void dispatch_list_again(struct pool *, struct query_list *,
    struct upstream *failed, enum msg_cause, uint32_t avoid);

/* For queries that no upstream has failed: their connections were dropped. */
void dispatch_list_anew(struct pool *, struct query_list *);

/* The queries parked get another chance: an upstream has come up. */
void dispatch_parked(struct pool *);

/*
 * Sends a message of the answer to a query, which goes on; false if the
 * listener does not take it.
 */
bool dispatch_part(
    struct pool *, const struct query *, const uint8_t *msg, size_t len);

/* Sends an answer to a query in state HELD, which ends. */
void dispatch_answer(
    struct pool *, struct query *, const uint8_t *msg, size_t len);

/* Ends the queries that came over the link that is lost. */
void dispatch_cancel_all(struct pool *);

/* Arms the deadline timer, if it does not fire soon enough. */
void dispatch_arm_deadline(struct pool *);
void dispatch_on_deadline(evutil_socket_t, short what, void *arg);

/* --- stream.c: transfers, whose messages go back as they come --- */

int stream_on_credit(void *arg, struct imsg *);

/* Passes on a message that is not the last one of its answer. */
void stream_on_part(
    struct conn *, struct query *, const uint8_t *msg, size_t len);

/* Reads no more until the client has taken what there is. */
void stream_stop(struct conn *);

/* --- probe.c: an upstream tried for the operator --- */

int probe_on_request(void *arg, struct imsg *);

/* A step of the probe's connection is done: the time it took is taken. */
void probe_on_step(struct conn *);

/* Its handshake is: what is known of certificate and session is taken. */
void probe_on_ready(struct conn *);

/* Writes its query with its length to out, once; returns the bytes, or 0. */
size_t probe_query(struct conn *, uint8_t *out);

/* Takes a message from the upstream.  Ends the connection. */
void probe_on_message(struct conn *, const uint8_t *msg, size_t len);

/* Its connection has ended, and is dead: tells who asked. */
void probe_on_end(struct conn *, const struct conn_end *);

/*
 * Who asked has gone: ends it without a word.  The next listener counts its
 * requests from the start, and would take the result for one of its own.
 */
void probe_drop(struct pool *);

/* --- stats.c: answers to LT_SHOW --- */

int stats_on_show(void *arg, struct imsg *);

/* Sends the INFO_END that did not fit, if it does now. */
void stats_pay(struct pool *);

#endif
