/* SPDX-License-Identifier: ISC */
/*
 * The listener process: what its files share.  It speaks plaintext DNS with
 * the clients, hands their queries to the pool over the link, and serves the
 * control socket.  Everything hangs off struct listener.
 */
#ifndef LISTENER_LISTENER_H
#define LISTENER_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/conf.h"
#include "common/dns.h"
#include "common/imsg.h"
#include "common/msg.h"
#include "common/stats.h"
#include "common/util.h"
#include "dotproxy/listener/acl.h"
#include "dotproxy/listener/busiest.h"
#include "dotproxy/listener/inflight.h"
#include "dotproxy/listener/metrics.h"
#include "dotproxy/listener/prefix.h"
#include "dotproxy/listener/rate.h"
#include "dotproxy/listener/shed.h"
#include "dotproxy/listener/statsd.h"
#include "dotproxy/listener/turns.h"

struct conf_run;
struct control;
struct event;
struct event_base;
struct listener;
struct tcp;
struct udp;

/* The pool gives up at the query timeout, and knows why; this is later. */
#define LISTENER_GRACE_MS 100
/*
 * How long clients may go unread because the pool does not take queries.  Then
 * they are read all the same, and wait in the table, for an answer is due even
 * if the pool is stuck.
 */
#define LISTENER_PAUSE_MS 500
/*
 * When there is no room, a TCP client that has held a place for longer than
 * this without moving on yields it to who comes.
 */
#define LISTENER_YIELD_MS 250
/*
 * The pool ends a transfer when the upstream is silent for the read timeout,
 * and knows why; this is later.
 */
#define LISTENER_TRANSFER_GRACE_MS 1000
/* Zone transfers of one TCP client; their windows fit in TCP_OUT_MAX. */
#define LISTENER_TRANSFERS_MAX 8
/* How long nothing is accepted after we ran out of descriptors. */
#define LISTENER_ACCEPT_PAUSE_MS 1000

/* When it ends: for who has connected, and whose query is on its way. */
#define LISTENER_LAST_CALL_MS 50

/* The phases of the channel to the parent. */
#define PHASE_NORMAL 1u
#define PHASE_CONF 2u /* between CONF_BEGIN and CONF_END */
#define PHASE_ANY (PHASE_NORMAL | PHASE_CONF)

/*
 * A timer for the head of a list ordered by time: it is not moved when the
 * head changes, but looks again when it fires.
 */
struct lazy_timer {
	struct event *ev;
	uint64_t due_ms; /* 0: not armed */
};

struct listener {
	struct event_base *base; /* borrowed */
	struct imsg_chan parent;
	struct imsg_chan link; /* to the pool; fd -1 while there is none */
	int link_out;          /* the end to write of the next, or -1 */
	uint64_t link_id;      /* which link, in the parent's count */
	bool link_broken;      /* to be closed at the end of the turn */
	bool paused;           /* no client is read: the link is congested */
	bool draining;         /* takes no TCP clients any more */
	bool pause_over;       /* that has lasted for too long */
	bool ending;           /* takes no TCP clients any more, for good */
	bool finishing;        /* then no client is read any more either */
	uint64_t pause_until_ms;
	bool in_turn;
	uint64_t now_us; /* of this turn; see listener_now() */
	uint64_t now_ms;
	uint64_t started_ms;

	/* What waits for room in the channel to the parent. */
	bool owe_conf_done;
	bool owe_link_down;
	uint64_t owed_generation;
	uint64_t owed_link_id;

	/* The configuration, and the one that is coming in (or NULL). */
	struct msg_client conf;
	struct acl acl;
	char upstreams[CONF_UPSTREAMS_MAX][CONF_NAME_MAX];
	struct conf_run *run; /* owned */

	/* Of transfers the pool is to end, and has not been told to. */
	uint64_t cancels[CONF_TRANSFERS_MAX];
	uint32_t ncancels;

	struct keyhash hash; /* of a client and its ID */
	struct rate rate;
	struct prefixes prefixes;
	struct busiest *busiest; /* owned; NULL: not to be known */
	struct inflight inflight;
	struct shed shed;           /* which of them, under overload */
	struct turns turns;         /* and which of them has to wait here */
	struct lazy_timer turn;     /* nothing is answered while one does */
	struct lazy_timer deadline; /* of the first query in flight */
	struct lazy_timer accept_retry;
	struct lazy_timer pause_end;
	struct lazy_timer last_call; /* from ending to finishing */
	struct udp *udp;             /* owned */
	struct tcp *tcp;             /* owned */
	struct control *control;     /* owned */
	struct statsd *statsd;       /* owned; NULL: no metrics are sent */

	/*
	 * The identity in stats.h holds at all times: a query is counted in
	 * by listener_count_in(), and out, once, by listener_count_out().
	 */
	uint64_t counters[LSTAT_COUNT];
	struct metrics metrics;
	uint8_t scratch[DNS_MSG_MAX]; /* for replies we make */
};

/* --- listener.c: the process as a whole --- */

/* How the channel to the parent has to be opened; its arg is set later. */
const struct imsg_chan_opts *listener_parent_opts(void);

/*
 * Makes a listener of a struct that is zero but for the open channel to the
 * parent.  It has no configuration yet.  Exits if memory is short.
 */
void listener_init(struct listener *, struct event_base *);

/* Closes everything and frees what listener_init() made. */
void listener_free(struct listener *);

/*
 * Sends what has been queued in this loop turn, and cleans up after it.  False
 * if that was the last: the listener was to finish, and has.
 */
bool listener_turn_end(struct listener *);

/* The time, in milliseconds, at which this loop turn began. */
uint64_t listener_now(struct listener *);

/* Stops accepting for a while: there is no descriptor left. */
void listener_pause_accept(struct listener *);

/*
 * Sends what the link has if that is much.  Returns true if clients must not
 * be read now: until then, the link is congested.
 */
bool listener_check_pressure(struct listener *);

/*
 * How many queries there are now, counted one by one: in the table, or
 * answered and not sent.  It is what the counter in_flight has to be.
 */
uint64_t listener_in_flight(const struct listener *);

/* A query has come (queries_udp or queries_tcp), or met its end. */
void listener_count_in(struct listener *, enum listener_counter);
void listener_count_out(struct listener *, enum listener_counter);

/* Makes a timer that calls cb; exits if memory is short. */
void lazy_timer_init(struct lazy_timer *, struct event_base *,
    void (*cb)(int fd, short what, void *arg), void *arg);
void lazy_timer_free(struct lazy_timer *);
/* Sees to it that the timer fires at due_ms, or before. */
void lazy_timer_arm(struct lazy_timer *, uint64_t now_ms, uint64_t due_ms);

/* --- config.c: the configuration run --- */

/* What is sent between CONF_BEGIN and CONF_END; 0, or -1: a violation. */
int config_on_begin(void *, struct imsg *);
int config_on_client(void *, struct imsg *);
int config_on_listen(void *, struct imsg *);
int config_on_allow(void *, struct imsg *);
int config_on_control(void *, struct imsg *);
int config_on_upstream(void *, struct imsg *);
int config_on_statsd(void *, struct imsg *);
int config_on_end(void *, struct imsg *);
void config_run_free(struct conf_run *);

/* --- link.c: the channel to the pool --- */

/* Takes these as the link from here on, in place of any other. */
void link_open(struct listener *, uint64_t id, const struct imsg_ends *);
/* Closes a broken link and has the parent told. */
void link_drop(struct listener *);
/* Hands a query to the pool, or lets it wait for room or for a pool. */
void link_send(struct listener *, struct inflight_slot *);
/* Sends what waits, as far as there is room. */
void link_send_waiting(struct listener *);
/* A batch of answers has come: perhaps fewer are to be with the pool, or more.
 */
void link_judge(struct listener *);
/* The timer of those who wait for their turn; arg is the listener. */
void link_turn_due(int fd, short what, void *arg);
/* Tells the pool that nobody wants what else it has for a transfer. */
void link_cancel(struct listener *, uint64_t handle);

/* --- query.c: from a message to a reply --- */

/* Takes a message from a client.  client is borrowed, and wire. */
void query_receive(
    struct listener *, const struct client *, const uint8_t *wire, size_t len);
/* Takes an answer from the pool, whatever it may be. */
void query_answer(
    struct listener *, uint64_t handle, const uint8_t *wire, size_t len);
/* Takes a message of an answer that has more of them. */
void query_part(
    struct listener *, uint64_t handle, const uint8_t *wire, size_t len);
/* Takes the pool's word that there will be no answer. */
void query_failed(
    struct listener *, uint64_t handle, const struct msg_failed *);
/* Ends a query that was lost with the pool and cannot be sent again. */
void query_lost(struct listener *, struct inflight_slot *);
/* Ends an overtaken query: its place is needed. */
void query_yield(struct listener *, struct inflight_slot *);
/* Ends a query whose turn comes too late for an answer. */
void query_expire(struct listener *, struct inflight_slot *);
/* The client of a query is about to go: nobody waits for its answer. */
void query_abandon(struct listener *, struct inflight_slot *);
/* The timer of the first deadline; arg is the listener. */
void query_deadline(int fd, short what, void *arg);

/* --- query_room.c: places for queries --- */

/*
 * True if there is room for one more query of so many bytes, of a client whose
 * record counts it already; others may have ended for it.
 */
bool query_make_room(struct listener *, const struct client *,
    const struct prefix *, size_t len);

/* --- transfer.c: answers of many messages --- */

/* True if there may be one more, over this connection. */
bool transfer_admits(struct listener *, struct tcp_conn *);
/* A query just taken on is one. */
void transfer_begin(struct listener *, struct inflight_slot *);
/* Passes on a message that is not the last one. */
void transfer_part(
    struct listener *, struct inflight_slot *, const uint8_t *wire, size_t len);
/* The client of these queries has taken most of what it was sent. */
void transfer_pay(struct listener *, const struct inflight_list *);
/* True if one that is due waits for nobody but its client. */
bool transfer_excused(struct listener *, struct inflight_slot *);
/* One is taken out of the table. */
void transfer_end(struct listener *, struct inflight_slot *);
/* The pool is gone, and with it the rest of those that had begun. */
void transfer_drop_all(struct listener *);

/* --- udp.c, udp_send.c: datagrams --- */

void udp_init(struct listener *);
void udp_free(struct listener *);
/* True if there is an open socket of this id, not retired. */
bool udp_has(struct listener *, uint32_t id);
/* Serves a bound socket, which it owns from here on.  Returns 0 or -1. */
int udp_open(struct listener *, const struct msg_listen *, int fd);
/*
 * Retires the sockets for which keep() is false: reads what has come, and
 * closes them when that is answered.
 */
void udp_retire(struct listener *,
    bool (*keep)(const struct conf_run *, uint32_t id),
    const struct conf_run *);
/* Reads again after a pause. */
void udp_resume(struct listener *);
/* A query that came through the socket is in flight, or no longer. */
void udp_hold(struct udp_sock *);
void udp_release(struct udp_sock *);
/* The longest datagram that can be sent to a client. */
size_t udp_payload_max(const struct client *);
/*
 * Queues a reply with this ID; how it is counted if it can be sent is in
 * outcome.
 */
void udp_reply(struct listener *, const struct client *, uint16_t id,
    const uint8_t *wire, size_t len, enum listener_counter outcome);
/* Replies that are queued, and not counted yet. */
size_t udp_unsent(const struct listener *);
/* Sends what is queued; closes retired sockets that are done. */
void udp_turn_end(struct listener *);

/* --- tcp.c, tcp_io.c: connections --- */

void tcp_init(struct listener *);
void tcp_free(struct listener *);
bool tcp_has(struct listener *, uint32_t id);
int tcp_open(struct listener *, const struct msg_listen *, int fd);
/* As udp_retire(): accepts what has come, then closes the socket. */
void tcp_retire(struct listener *,
    bool (*keep)(const struct conf_run *, uint32_t id),
    const struct conf_run *);
/* A new configuration is in force: its timeouts, and who may ask. */
void tcp_configure(struct listener *);
void tcp_resume(struct listener *);
/* Closes those that are idle, and the others when they are answered. */
void tcp_drain(struct listener *);
/* Stops or resumes accepting. */
void tcp_accept_enable(struct listener *, bool enable);
/* What to tell clients of that by edns-tcp-keepalive; 0: to close soon. */
uint16_t tcp_keepalive(const struct listener *);
/* The connection's list of queries, for inflight_add(). */
struct inflight_list *tcp_queries(struct tcp_conn *);
/* A query of the connection is in flight, or no longer. */
void tcp_hold(struct tcp_conn *);
void tcp_release(struct tcp_conn *);
/* The transfers among these. */
uint32_t *tcp_transfers(struct tcp_conn *);
/* Closes at the end of the turn: an answer broke off in the middle. */
void tcp_break(struct tcp_conn *);
/* Queues a reply; outcome is LSTAT_COUNT if more of it follows. */
void tcp_reply(struct listener *, struct tcp_conn *, uint16_t id,
    const uint8_t *wire, size_t len, enum listener_counter outcome);
/*
 * Answers nothing after what is queued, and closes when that is sent and the
 * client has closed, or has had the time to.
 */
void tcp_close_when_sent(struct tcp_conn *);
/* As udp_unsent(). */
size_t tcp_unsent(const struct listener *);
void tcp_turn_end(struct listener *);

/* --- control.c: the control socket --- */

void control_init(struct listener *);
void control_free(struct listener *);
/* Serves a listening socket, which it owns, in place of any other. */
int control_open(struct listener *, int fd);
void control_accept_enable(struct listener *, bool enable);
/* An INFO message from the parent or the pool, for the client that asked. */
void control_relay(struct listener *, enum info_role from, struct imsg *);
/* What INFO_END says: this source has nothing more for the client. */
void control_end(struct listener *, enum info_role from, uint64_t handle,
    bool ok, const char *text);
/* Requests that wait for the pool will not be answered. */
void control_pool_gone(struct listener *);
void control_turn_end(struct listener *);

#endif
