/* SPDX-License-Identifier: ISC */
/*
 * The life of a connection, see conn.h: states, queries on it, deadlines, and
 * how it ends.  Runs in the pool.  Bytes are conn_io.c's.  It must never lose a
 * query: every one that leaves here is answered, forgotten by its owner, or
 * handed to the upstream in upstream_conn_ended().
 */
#include "dotproxy/pool/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/loop.h"
#include "dotproxy/pool/pool.h"
#include "dotproxy/pool/standby.h"

static void conn_timeout(evutil_socket_t, short, void *);

struct conn *
conn_new(struct upstream *up, uint64_t request)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->up = up;
	c->request = request;
	c->state = CONN_ASKED;
	c->fd = -1;
	c->asked_ms = up->pool->now_ms;
	TAILQ_INIT(&c->sendq);
	TAILQ_INIT(&c->sent);
	return c;
}

void
conn_free(struct conn *c)
{
	idmap_free(&c->ids);
	frame_reset(&c->frame);
	free(c->pending);
	free(c);
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * When something must happen on this connection, in ms.  What counts is the
 * time since the upstream last gave a complete answer while one was due
 * (waiting_since), which new queries do not move: a dead connection under
 * load must be noticed.
 */
static uint64_t
conn_due(const struct conn *c)
{
	const struct conf_upstream *conf = &c->up->conf;
	const struct query *oldest = TAILQ_FIRST(&c->sent);
	uint64_t phase_ms = c->phase_us / 1000, due = UINT64_MAX;

	if (c->state == CONN_CONNECT)
		return phase_ms + conf->connect_timeout_ms;
	if (c->state == CONN_HANDSHAKE)
		return phase_ms + conf->handshake_timeout_ms;
	/*
	 * It is we who do not read.  The listener sees to it that the client
	 * does not wait for ever, and the parent that the listener goes on.
	 */
	if (c->stopped || c->paused)
		return UINT64_MAX;
	if (c->state == CONN_DRAINING && !c->apart)
		due = phase_ms + conf->read_timeout_ms;
	if (c->pending_len > 0)
		due = earlier(due, c->write_ms + conf->write_timeout_ms);
	if (c->waiting_since != 0)
		due = earlier(due, c->waiting_since + conf->read_timeout_ms);
	if (oldest != NULL)
		due = earlier(
		    due, oldest->sent_us / 1000 + conf->read_timeout_ms);
	if (due == UINT64_MAX)
		due = standby_due(c);
	return due;
}

/*
 * Arms the timer.  It fires at least once a read or write timeout, so that
 * whatever a query put on the connection later makes due is not due before: no
 * query touches the timer, but the first one after a pause.
 */
static void
conn_arm(struct conn *c)
{
	const struct conf_upstream *conf = &c->up->conf;
	uint64_t now_ms = c->up->pool->now_ms, due = conn_due(c);
	uint64_t left = due > now_ms ? due - now_ms : 1;
	uint64_t quiet = c->waiting_since + CONN_QUIET_MS;
	struct timeval tv;

	left = earlier(left, conf->read_timeout_ms);
	left = earlier(left, conf->write_timeout_ms);
	left = earlier(left, warm_expires(&c->up->warm));
	if (c->waiting_since != 0)
		left = earlier(
		    left, quiet > now_ms ? quiet - now_ms : CONN_QUIET_MS);
	c->armed_ms = now_ms + left;
	tv = pool_timeval(left);
	loop_watch(&c->ev_timer, &tv);
}

void
conn_retime(struct conn *c)
{
	if (c->state != CONN_ASKED && c->state != CONN_DEAD)
		conn_arm(c);
}

static void
conn_enter(struct conn *c, enum conn_state state)
{
	if (c->probe && state != CONN_DRAINING)
		probe_on_step(c);
	c->state = state;
	c->phase_us = c->up->pool->now_us;
	conn_arm(c);
}

/* Makes the session and its first message; returns 0, or -1 with *err. */
static int
conn_begin(struct conn *c, struct session_error *err)
{
	struct upstream *up = c->up;

	if (standby_take_session(up, &c->session, err) == -1)
		return -1;
	if (up->conf.resumption && !c->probe)
		session_resume(&c->session, &up->tickets, up->pool->now_ms);
	return conn_hello(c, err);
}

void
conn_prepare(struct conn *c)
{
	struct session_error err;

	/* If it cannot be done now, conn_start() does it, or knows why not. */
	if (c->up->pool->io == NULL && conn_begin(c, &err) == -1)
		conn_unprepare(c);
}

void
conn_unprepare(struct conn *c)
{
	session_close(&c->session);
	free(c->pending);
	c->pending = NULL;
	c->pending_len = 0;
}

void
conn_start(struct conn *c, int fd)
{
	struct pool *pool = c->up->pool;
	struct session_error err;

	c->fd = fd;
	event_assign(&c->ev_read, pool->base, fd, EV_READ | EV_PERSIST,
	    conn_readable, c);
	event_assign(&c->ev_write, pool->base, fd, EV_WRITE | EV_PERSIST,
	    conn_writable, c);
	event_assign(&c->ev_timer, pool->base, -1, 0, conn_timeout, c);
	event_assign(&c->ev_late, pool->base, -1, 0, overdue_on_timer, c);
	conn_enter(c, CONN_CONNECT);
	if (c->pending_len == 0 && conn_begin(c, &err) == -1) {
		conn_fail(c, err.phase, err.cause, err.text);
		return;
	}
	/* Writable for the first time after the ClientHello: connected. */
	if (conn_watch(c, &c->ev_read) && conn_watch(c, &c->ev_write))
		(void)conn_send_pending(c);
}

bool
conn_watch(struct conn *c, struct event *ev)
{
	if (event_add(ev, NULL) == 0)
		return true;
	conn_fail(c, PHASE_CONNECT, CAUSE_NETWORK, "cannot be watched");
	return false;
}

void
conn_on_connected(struct conn *c)
{
	struct pool *pool = c->up->pool;

	c->connect_us = pool->now_us - c->phase_us;
	hist_add(&c->up->connect, c->connect_us);
	conn_enter(c, CONN_HANDSHAKE);
}

void
conn_on_ready(struct conn *c)
{
	struct pool *pool = c->up->pool;

	/*
	 * If the socket turns out writable only now, the two are not told
	 * apart: all of it counts as handshake.
	 */
	hist_add(&c->up->handshake, pool->now_us - c->phase_us);
	hist_add(&c->up->open, c->connect_us + pool->now_us - c->phase_us);
	c->ready_ms = c->used_ms = c->heard_ms = pool->now_ms;
	conn_enter(c, CONN_READY);
	upstream_conn_ready(c);
}

void
conn_submit(struct conn *c, struct query *q)
{
	struct pool *pool = c->up->pool;

	q->state = QUERY_QUEUED;
	q->conn = c;
	if (q->transfer)
		transfer_init(&c->transfer, q->ixfr, q->wire, q->len);
	TAILQ_INSERT_TAIL(&c->sendq, q, place);
	c->nqueued++;
	c->used_ms = pool->now_ms;
	c->expiring = false;
	if (!c->dirty) {
		c->dirty = true;
		TAILQ_INSERT_TAIL(&pool->dirty, c, turn);
	}
	upstream_relist(c);
}

/* A draining connection that has nothing left to wait for is closed. */
static void
conn_close_if_drained(struct conn *c)
{
	if (c->state == CONN_DRAINING && conn_inflight(c) == 0)
		conn_close(c);
}

void
conn_unsend(struct conn *c, struct query *q)
{
	if (c->watch == q)
		c->watch = TAILQ_NEXT(q, place);
	TAILQ_REMOVE(&c->sent, q, place);
	c->nsent--;
}

/*
 * True if an upstream leaves too much unanswered.  What was given up at once,
 * for a copy was answered or the listener wants it no more, is no fault of its;
 * but IDs are not without end.
 */
static bool
conn_is_worn(const struct conn *c, const struct query *q)
{
	uint32_t abandoned = c->ids.used - c->nsent;

	if (q->sent_us / 1000 + CONN_CANCELLED_MS > c->up->pool->now_ms)
		return abandoned > CONN_CANCELLED_MAX;
	return abandoned > CONN_ABANDONED_MAX;
}

void
conn_forget(struct conn *c, struct query *q)
{
	struct pool *pool = c->up->pool;

	if (q->state == QUERY_QUEUED) {
		TAILQ_REMOVE(&c->sendq, q, place);
		c->nqueued--;
	} else {
		/* Of a transfer it may be the client that was slow. */
		if (!q->transfer)
			policy_waited(&pool->policy, c->up->index,
			    pool->now_us - q->sent_us, pool->now_ms);
		conn_unsend(c, q);
		idmap_abandon(&c->ids, q->id);
	}
	q->state = QUERY_HELD;
	q->conn = NULL;
	upstream_relist(c);
	if (c->lone && conn_inflight(c) == 0)
		conn_close(c); /* what was given up may end it yet */
	else if (c->state == CONN_READY && conn_is_worn(c, q))
		conn_drain(c);
	else
		conn_close_if_drained(c);
}

/*
 * Keeps the ticket of a connection for another one, once.  For TLS 1.3 it came
 * after the handshake.
 */
static void
conn_save_ticket(struct conn *c)
{
	struct upstream *up = c->up;

	if (c->saved || c->ready_ms == 0 || up->index == UPSTREAM_NO_INDEX ||
	    !up->conf.resumption)
		return;
	session_save(&c->session, &up->tickets);
	c->saved = true;
}

void
conn_pause(struct conn *c)
{
	event_del(&c->ev_read);
	c->paused = true;
	c->paused_ms = c->up->pool->now_ms;
	TAILQ_INSERT_TAIL(&c->up->pool->paused, c, pause);
}

void
conn_resume(struct conn *c)
{
	struct pool *pool = c->up->pool;
	struct query *q;

	TAILQ_REMOVE(&pool->paused, c, pause);
	c->paused = false;
	if (c->waiting_since != 0)
		c->waiting_since = pool->now_ms;
	/* Answers may lie there: who has asked long ago waits for them, too. */
	if (pool->now_ms - c->paused_ms >= CONN_QUIET_MS)
		TAILQ_FOREACH (q, &c->sent, place)
			q->sent_us = pool->now_us;
	conn_arm(c);
	loop_watch(&c->ev_read, NULL);
}

void
conn_on_waiting(struct conn *c)
{
	uint64_t now_ms = c->up->pool->now_ms;

	c->waiting_since = now_ms;
	if (c->armed_ms > now_ms + CONN_QUIET_MS)
		conn_arm(c);
}

/*
 * The path may be gone, and TCP would find out about its return late: each of
 * its tries is twice as far from the last.  Or the upstream is only slow.
 */
static void
conn_check_quiet(struct conn *c)
{
	uint64_t now_ms = c->up->pool->now_ms;

	if ((c->state != CONN_READY && c->state != CONN_DRAINING) || c->lone ||
	    c->paused || c->waiting_since == 0 ||
	    c->waiting_since + CONN_QUIET_MS > now_ms)
		return;
	overdue_quiet(c);
	if (c->state == CONN_DRAINING)
		return;
	c->quiet = true;
	upstream_relist(c);
	upstream_relieve(c->up);
}

void
conn_on_answer(struct conn *c)
{
	struct upstream *up = c->up;

	c->served++;
	c->used_ms = c->heard_ms = up->pool->now_ms;
	c->waiting_since = c->ids.used > 0 ? c->heard_ms : 0;
	c->quiet = false;
	conn_save_ticket(c);
	overdue_heard(c);
	upstream_relist(c);
	conn_close_if_drained(c);
}

void
conn_on_keepalive(struct conn *c, uint32_t idle_ms)
{
	warm_spoken(&c->up->warm, idle_ms);
	/* Nothing more, please (RFC 7828 3.4). */
	if (idle_ms == 0)
		conn_drain(c);
	else if (c->state == CONN_READY)
		conn_arm(c);
}

void
conn_take_all(struct conn *c, struct query_list *list)
{
	struct query *q;

	TAILQ_FOREACH (q, &c->sent, place) {
		q->state = QUERY_HELD;
		q->conn = NULL;
		if (q->lost < UINT8_MAX)
			q->lost++;
	}
	TAILQ_FOREACH (q, &c->sendq, place) {
		q->state = QUERY_HELD;
		q->conn = NULL;
	}
	TAILQ_CONCAT(list, &c->sent, place);
	TAILQ_CONCAT(list, &c->sendq, place);
	c->nsent = c->nqueued = 0;
	c->watch = NULL;
}

void
conn_drain(struct conn *c)
{
	if (c->state != CONN_READY)
		return;
	if (!c->lone)
		c->up->nready--;
	overdue_unlist(c);
	conn_enter(c, CONN_DRAINING);
	upstream_relist(c);
	upstream_refresh(c->up);
	conn_close_if_drained(c);
}

void
conn_end(struct conn *c, const struct conn_end *end)
{
	struct pool *pool = c->up->pool;

	if (c->state == CONN_DEAD)
		return;
	if (c->fd != -1) {
		conn_last_words(c);
		/* One that was never used has its ticket still. */
		if (!end->counts)
			conn_save_ticket(c);
		event_del(&c->ev_read);
		event_del(&c->ev_write);
		event_del(&c->ev_timer);
		event_del(&c->ev_late);
		close(c->fd);
		c->fd = -1;
	}
	session_close(&c->session);
	if (c->dirty)
		TAILQ_REMOVE(&pool->dirty, c, turn);
	if (c->paused)
		TAILQ_REMOVE(&pool->paused, c, pause);
	c->dirty = c->paused = false;
	upstream_conn_ended(c, end);
}

void
conn_close(struct conn *c)
{
	const struct conn_end end = { .cause = CAUSE_NETWORK,
		.text = "closed by us" };

	if (c->state == CONN_READY || c->state == CONN_DRAINING)
		conn_goodbye(c);
	conn_end(c, &end);
}

static void
fail(struct conn *c, struct conn_end *end)
{
	/*
	 * A query that needs a connection of its own may be the reason, but not
	 * for what TLS 1.3 has the upstream say after the handshake.
	 */
	end->blame =
	    !(c->lone && c->ready_ms != 0) || end->cause == CAUSE_CLIENT_CERT;
	end->counts = true;
	conn_end(c, end);
}

void
conn_fail(struct conn *c, enum info_phase phase, enum msg_cause cause,
    const char *text)
{
	struct conn_end end = { .phase = phase, .cause = cause, .text = text };

	fail(c, &end);
}

void
conn_fail_errno(struct conn *c, enum info_phase phase, int err)
{
	struct conn_end end = { .phase = phase,
		.cause = CAUSE_NETWORK,
		.err = err,
		.text = err == ETIMEDOUT ? "timed out" : strerror(err) };

	fail(c, &end);
}

void
conn_on_eof(struct conn *c, int err)
{
	bool clean = err == 0;
	struct conn_end end = { .phase = PHASE_READ,
		.cause = CAUSE_NETWORK,
		.err = err,
		.text = clean ? "connection closed" : strerror(err) };

	if (c->ready_ms == 0) {
		end.phase = c->heard || clean ? PHASE_HANDSHAKE : PHASE_CONNECT;
		fail(c, &end);
		return;
	}
	/*
	 * Closing an idle connection is everybody's right, and so is closing
	 * one after some answers.  Who takes queries and never answers is at
	 * fault.
	 */
	if (conn_inflight(c) == 0 && (c->served > 0 || c->given == 0)) {
		c->up->n.closed_by_peer++;
		end.by_peer = true;
	} else {
		end.counts = true;
		end.blame = !c->lone && (c->served == 0 || !clean);
		if (clean && !c->probe)
			standby_overtaken(c);
	}
	conn_end(c, &end);
}

/* The oldest queries have waited too long on a connection that lives. */
static void
conn_move_oldest(struct conn *c)
{
	struct upstream *up = c->up;
	struct pool *pool = up->pool;
	struct query *q;

	while (c->state != CONN_DEAD && (q = TAILQ_FIRST(&c->sent)) != NULL &&
	       q->sent_us / 1000 + up->conf.read_timeout_ms <= pool->now_ms) {
		conn_forget(c, q);
		dispatch_again(pool, q, up, CAUSE_TIMEOUT, up->index);
	}
}

/* Does what is due on a connection past its handshake. */
static void
conn_on_due(struct conn *c)
{
	const struct conf_upstream *conf = &c->up->conf;
	uint64_t now_ms = c->up->pool->now_ms;
	/* As conn_due() has it: a transfer takes the time it takes. */
	bool drained = c->state == CONN_DRAINING && !c->apart &&
		       c->phase_us / 1000 + conf->read_timeout_ms <= now_ms;

	if (c->pending_len > 0 &&
	    c->write_ms + conf->write_timeout_ms <= now_ms)
		conn_fail_errno(c, PHASE_WRITE, ETIMEDOUT);
	else if (c->waiting_since != 0 &&
		 c->waiting_since + conf->read_timeout_ms <= now_ms)
		conn_fail(c, PHASE_TIMEOUT, CAUSE_TIMEOUT, "no answer");
	else if (!TAILQ_EMPTY(&c->sent) && !drained)
		conn_move_oldest(c);
	else if (c->state == CONN_READY)
		standby_on_due(c);
	else
		conn_close(c); /* drained long enough */
}

/*
 * There are boxes that drop a SYN with data in it.  The next dial is of the
 * other kind, whichever this was: the path may just be down.
 */
static void
conn_connect_timeout(struct conn *c)
{
	if (!c->probe) {
		c->up->plain = !c->plain;
		c->up->plain_ms = c->up->pool->now_ms;
	}
	conn_fail_errno(c, PHASE_CONNECT, ETIMEDOUT);
}

static void
conn_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	struct pool *pool = c->up->pool;

	(void)fd;
	(void)what;
	pool_turn_begin(pool);
	if (conn_due(c) <= pool->now_ms) {
		if (c->state == CONN_CONNECT)
			conn_connect_timeout(c);
		else if (c->state == CONN_HANDSHAKE)
			conn_fail_errno(c, PHASE_HANDSHAKE, ETIMEDOUT);
		else
			conn_on_due(c);
	}
	if (c->state != CONN_DEAD) {
		conn_check_quiet(c);
		conn_arm(c);
	}
}

void
conn_fill_info(const struct conn *c, struct info_conn *info)
{
	static const uint8_t states[] = {
		[CONN_ASKED] = CONN_STATE_CONNECT,
		[CONN_CONNECT] = CONN_STATE_CONNECT,
		[CONN_HANDSHAKE] = CONN_STATE_HANDSHAKE,
		[CONN_READY] = CONN_STATE_READY,
		[CONN_DRAINING] = CONN_STATE_DRAINING,
		[CONN_DEAD] = CONN_STATE_DRAINING,
	};
	uint64_t now_ms = c->up->pool->now_ms;

	memset(info, 0, sizeof(*info));
	info->upstream = c->up->index;
	info->state = states[c->state];
	info->age_ms = now_ms - c->asked_ms;
	info->inflight = conn_inflight(c);
	info->served = c->served;
	if (c->ready_ms == 0)
		return;
	info->idle_ms = now_ms - c->used_ms;
	info->resumed = session_resumed(&c->session);
	(void)snprintf(info->version, sizeof(info->version), "%s",
	    SSL_get_version(c->session.ssl));
	(void)snprintf(info->cipher, sizeof(info->cipher), "%s",
	    SSL_get_cipher_name(c->session.ssl));
}
