/* SPDX-License-Identifier: ISC */
/*
 * The bytes of a connection, see conn.h: from the socket through TLS to whole
 * messages, and back.  Runs in the pool.  Everything that comes from an
 * upstream is hostile: each event reads once, into a buffer of fixed size, and
 * one wrong message ends the connection.  The buffers in struct pool belong to
 * pool->io while one connection is served, and are empty in between.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/dns.h"
#include "common/log.h"
#include "common/wire.h"
#include "dotproxy/pool/edit.h"
#include "dotproxy/pool/pool.h"

/* The first answer of a connection is looked through for options, and so on. */
#define KEEPALIVE_EVERY 16

/* The shared buffers are this connection's until io_end(). */
static void
io_begin(struct conn *c)
{
	struct pool *pool = c->up->pool;

	pool->io = c;
	pool->rx_pos = pool->rx_len = pool->tx_len = 0;
}

static void
io_end(struct pool *pool)
{
	pool->io = NULL;
	pool->rx_pos = pool->rx_len = pool->tx_len = 0;
}

/* True if the shared buffers are for this session's connection. */
static bool
is_served(const struct pool *pool, const struct tls *tls)
{
	return pool->io != NULL && pool->io->session.tls == tls;
}

ssize_t
conn_tls_read(struct tls *tls, void *buf, size_t len, void *arg)
{
	struct pool *pool = arg;
	size_t left = pool->rx_len - pool->rx_pos;

	if (!is_served(pool, tls) || left == 0)
		return TLS_WANT_POLLIN;
	if (len > left)
		len = left;
	memcpy(buf, pool->rx + pool->rx_pos, len);
	pool->rx_pos += len;
	return (ssize_t)len;
}

ssize_t
conn_tls_write(struct tls *tls, const void *buf, size_t len, void *arg)
{
	struct pool *pool = arg;

	/*
	 * It cannot fill up but by a peer that makes TLS answer without end:
	 * to wait would be to lose what is left to read.
	 */
	if (!is_served(pool, tls) || len > sizeof(pool->tx) - pool->tx_len)
		return -1;
	memcpy(pool->tx + pool->tx_len, buf, len);
	pool->tx_len += len;
	return (ssize_t)len;
}

/* Ends a connection whose socket has reported err. */
static void
conn_socket_error(struct conn *c, enum info_phase phase, int err)
{
	if (phase == PHASE_WRITE && c->ready_ms != 0 && err != EPIPE)
		conn_fail_errno(c, phase, err);
	else
		conn_on_eof(c, err == EPIPE ? 0 : err);
}

/*
 * Keeps ciphertext until the socket takes more; false if c has ended.  As long
 * as some is kept no query is encrypted: this allocates once when a socket is
 * full, with what a turn has brought, and not for a query.
 */
static bool
conn_keep(struct conn *c, const uint8_t *p, size_t len)
{
	uint8_t *grown;

	if (c->pending_pos > 0) {
		c->pending_len -= c->pending_pos;
		memmove(
		    c->pending, c->pending + c->pending_pos, c->pending_len);
		c->pending_pos = 0;
	}
	if (len > CONN_PENDING_MAX - c->pending_len ||
	    (grown = realloc(c->pending, c->pending_len + len)) == NULL) {
		conn_fail(c, PHASE_WRITE, CAUSE_NETWORK, "does not read");
		return false;
	}
	c->pending = grown;
	memcpy(c->pending + c->pending_len, p, len);
	if (c->pending_len == 0) {
		c->write_ms = c->up->pool->now_ms;
		if (!conn_watch(c, &c->ev_write))
			return false;
	}
	c->pending_len += len;
	upstream_relist(c);
	return true;
}

/* Sends what the write callback has collected; false if c has ended. */
static bool
conn_send(struct conn *c)
{
	struct pool *pool = c->up->pool;
	size_t len = pool->tx_len;
	ssize_t n = 0;

	pool->tx_len = 0;
	if (len == 0)
		return true;
	if (c->pending_len == 0) {
		n = send(c->fd, pool->tx, len, MSG_NOSIGNAL);
		if (n == -1 && errno != EAGAIN && errno != EINTR) {
			conn_socket_error(c, PHASE_WRITE, errno);
			return false;
		}
		if (n == -1)
			n = 0;
	}
	if ((size_t)n == len)
		return true;
	return conn_keep(c, pool->tx + n, len - (size_t)n);
}

bool
conn_send_pending(struct conn *c)
{
	ssize_t n;

	n = send(c->fd, c->pending + c->pending_pos,
	    c->pending_len - c->pending_pos, MSG_NOSIGNAL);
	if (n == -1) {
		if (errno == EAGAIN || errno == EINTR)
			return true;
		conn_socket_error(c, PHASE_WRITE, errno);
		return false;
	}
	c->pending_pos += (size_t)n;
	c->write_ms = c->up->pool->now_ms;
	if (c->pending_pos < c->pending_len)
		return true;
	free(c->pending);
	c->pending = NULL;
	c->pending_pos = c->pending_len = 0;
	upstream_relist(c);
	return true;
}

/*
 * Gives a query its ID and copies it, framed and as this upstream is to see it.
 * Returns the length, or 0 if there is no ID.
 */
static size_t
conn_frame_query(struct conn *c, struct query *q, uint8_t *out)
{
	struct pool *pool = c->up->pool;
	const struct conf_edit *edit = &c->up->conf.edit;
	size_t len = q->len;

	if (!idmap_add(&c->ids, query_index(&pool->queries, q),
		rng_u16(&pool->rng), &q->id))
		return 0;
	memcpy(out + FRAME_HDR_LEN, q->wire, len);
	q->edited = 0;
	if (edit_wanted(edit) && !q->transfer)
		len = edit_query(edit, out + FRAME_HDR_LEN, len, &q->edited);
	wire_store_u16(out, (uint16_t)len);
	dns_set_id(out + FRAME_HDR_LEN, q->id);
	TAILQ_REMOVE(&c->sendq, q, place);
	TAILQ_INSERT_TAIL(&c->sent, q, place);
	c->nqueued--;
	c->nsent++;
	c->given++;
	if (c->watch == NULL)
		c->watch = q;
	q->state = QUERY_SENT;
	q->written = true;
	q->sent_us = pool->now_us;
	if (c->waiting_since == 0)
		conn_on_waiting(c); /* looks at sent_us */
	pool->counters[TSTAT_bytes_sent] += len;
	c->up->n.queries++;
	return FRAME_HDR_LEN + len;
}

/*
 * Collects a record's worth of queries in pool->plain; returns its length.  The
 * last query gets a record of its own: there are servers (NSD 4.6 is one) that
 * wait for the socket after each message, though there are more in the record.
 * As long as another record lies in the socket, they do not wait.
 */
static size_t
conn_collect(struct conn *c)
{
	struct pool *pool = c->up->pool;
	struct query *q;
	size_t len = 0, framed, need, more = FRAME_HDR_LEN;

	if (c->probe)
		return probe_query(c, pool->plain);
	if (edit_wanted(&c->up->conf.edit))
		more += EDIT_GROWTH_MAX;
	while ((q = TAILQ_FIRST(&c->sendq)) != NULL) {
		need = more + q->len;
		if (len > 0 && (len + need > POOL_RECORD_MAX ||
				   TAILQ_NEXT(q, place) == NULL))
			break;
		framed = conn_frame_query(c, q, pool->plain + len);
		if (framed == 0)
			break;
		len += framed;
	}
	return len;
}

/* Encrypts queries, until enough is there; false if c has ended. */
static bool
conn_encrypt(struct conn *c)
{
	struct pool *pool = c->up->pool;
	size_t len, off;
	ssize_t n;

	while (c->pending_len == 0 && pool->tx_len < POOL_TX_SOFT &&
	       (len = conn_collect(c)) > 0) {
		for (off = 0; off < len; off += (size_t)n) {
			n = tls_write(
			    c->session.tls, pool->plain + off, len - off);
			if (n <= 0) {
				conn_fail(c, PHASE_WRITE, CAUSE_TLS,
				    "TLS cannot write");
				return false;
			}
		}
	}
	/* What did not fit goes on when the socket is writable again. */
	if (c->nqueued > 0 && pool->tx_len >= POOL_TX_SOFT)
		return conn_watch(c, &c->ev_write);
	return true;
}

/*
 * Acknowledges what came, if answers are still due and no query is about to
 * take the acknowledgement along.  A server that leaves Nagle's algorithm on
 * sends its next answer only after that, and TCP by itself would let it wait
 * 40 ms.
 */
static void
conn_acknowledge(struct conn *c)
{
	int one = 1;

	if (c->nsent > 0 && c->nqueued == 0)
		(void)setsockopt(
		    c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
}

void
conn_flush(struct conn *c)
{
	if (c->state != CONN_READY && c->state != CONN_DRAINING)
		return;
	io_begin(c);
	if (conn_encrypt(c) && conn_send(c))
		overdue_watch(c);
	io_end(c->up->pool);
}

/* Goes on with the handshake; false if c has ended. */
static bool
conn_handshake(struct conn *c)
{
	struct pool *pool = c->up->pool;
	struct session_error err;
	size_t before;
	int r;

	do {
		before = pool->rx_pos;
		r = session_handshake(
		    &c->session, &c->up->conf, pool->now_ms, &err);
	} while (r != 0 && r != -1 && pool->rx_pos > before &&
		 pool->rx_pos < pool->rx_len);
	if (r == TLS_WANT_POLLIN || r == TLS_WANT_POLLOUT)
		return true;
	if (r != 0) {
		conn_fail(c, err.phase, err.cause, err.text);
		return false;
	}
	conn_on_ready(c);
	/* The first queries leave in one segment with our Finished. */
	return c->state != CONN_DEAD && conn_encrypt(c);
}

int
conn_hello(struct conn *c, struct session_error *err)
{
	struct pool *pool = c->up->pool;
	int r;

	err->phase = PHASE_HANDSHAKE;
	err->cause = CAUSE_TLS;
	(void)snprintf(err->text, sizeof(err->text), "out of memory");
	io_begin(c);
	r = session_handshake(&c->session, &c->up->conf, pool->now_ms, err);
	if (r == TLS_WANT_POLLIN && pool->tx_len > 0) {
		c->pending = malloc(pool->tx_len);
		if (c->pending != NULL) {
			memcpy(c->pending, pool->tx, pool->tx_len);
			c->pending_len = pool->tx_len;
		}
	}
	io_end(pool);
	return c->pending != NULL ? 0 : -1;
}

/*
 * Takes one message from the upstream.  Anything that is not the answer to a
 * query in flight makes the connection distrusted: after a wrong ID or
 * question nothing else on it can be believed.  An ID that was answered
 * already is not told from one that was never used, and is as wrong.
 */
static void
conn_on_message(struct conn *c, const uint8_t *msg, size_t len)
{
	struct upstream *up = c->up;
	struct pool *pool = up->pool;
	struct query *q;
	uint32_t index, idle_ms = 0;
	uint64_t us;
	bool transfer, says_idle;

	pool->counters[TSTAT_bytes_received] += len;
	if (c->probe) {
		probe_on_message(c, msg, len);
		return;
	}
	if (len < DNS_HDR_LEN || !dns_is_response(msg)) {
		conn_fail(c, PHASE_PROTOCOL, CAUSE_PROTOCOL, "not an answer");
		return;
	}
	index = idmap_get(&c->ids, dns_id(msg));
	if (index == IDMAP_NONE) {
		conn_fail(c, PHASE_PROTOCOL, CAUSE_PROTOCOL,
		    "answer that nothing has asked for");
		return;
	}
	if (index == IDMAP_ABANDONED) {
		idmap_remove(&c->ids, dns_id(msg));
		pool_count(pool, TSTAT_late_answers);
		conn_on_answer(c);
		upstream_conn_answered(c);
		return;
	}
	q = query_at(&pool->queries, index);
	if (!dns_answer_matches(q->wire, q->len, msg, len)) {
		conn_fail(c, PHASE_PROTOCOL, CAUSE_PROTOCOL,
		    "answer to another question");
		return;
	}
	if (q->transfer && !transfer_is_last(&c->transfer, msg, len)) {
		stream_on_part(c, q, msg, len);
		return;
	}
	conn_unsend(c, q);
	idmap_remove(&c->ids, q->id);
	q->state = QUERY_HELD;
	q->conn = NULL;
	us = pool->now_us > q->sent_us ? pool->now_us - q->sent_us : 0;
	if (log_get_level() >= LOG_LEVEL_DEBUG)
		log_debug("upstream \"%s\": %zu bytes after %llu us",
		    up->conf.name, len, (unsigned long long)us);
	/* Of a transfer it is the time of the last message alone. */
	if (!q->transfer) {
		hist_live_add(&up->latency, pool->now_ms, us);
		policy_answered(&pool->policy, up->index, us, pool->now_ms);
		overdue_answered(c, q, us);
	}
	up->n.answers++;
	transfer = q->transfer;
	says_idle = c->served % KEEPALIVE_EVERY == 0 &&
		    dns_keepalive(msg, len, &idle_ms);
	dispatch_answer(pool, q, msg, len);
	conn_on_answer(c);
	upstream_conn_answered(c);
	if (says_idle && c->state != CONN_DEAD)
		conn_on_keepalive(c, idle_ms);
	/* Nothing else shares a connection with a transfer. */
	if (transfer)
		conn_close(c);
}

/* Cuts plaintext into messages. */
static void
conn_on_plain(struct conn *c, const uint8_t *p, size_t n)
{
	struct wire_reader r;
	const uint8_t *msg;
	size_t len;
	int got;

	wire_reader_init(&r, p, n);
	while ((got = frame_next(&c->frame, &r, &msg, &len)) == 1) {
		conn_on_message(c, msg, len);
		if (c->state == CONN_DEAD)
			return;
	}
	if (got == -1)
		conn_fail(c, PHASE_READ, CAUSE_NETWORK, "out of memory");
}

/* Decrypts what was received, to the last byte. */
static void
conn_decrypt(struct conn *c)
{
	struct pool *pool = c->up->pool;
	struct session_error err;
	ssize_t n;

	while (c->state == CONN_READY || c->state == CONN_DRAINING) {
		n = tls_read(c->session.tls, pool->plain, POOL_RECORD_MAX);
		if (n > 0) {
			conn_on_plain(c, pool->plain, (size_t)n);
			/* Less than would fit: libssl has kept nothing. */
			if (n < POOL_RECORD_MAX && pool->rx_pos == pool->rx_len)
				return;
		} else if (n == 0) {
			conn_on_eof(c, 0);
		} else if (n == -1) {
			session_read_error(&c->session, &err);
			conn_fail(c, err.phase, err.cause, err.text);
		} else if (pool->rx_pos == pool->rx_len) {
			return;
		} else if (++c->extras > CONN_EXTRAS_MAX + c->served) {
			/* Each costs as much as many answers. */
			conn_fail(c, PHASE_READ, CAUSE_PROTOCOL,
			    "too many tickets or key updates");
		}
		/*
		 * Else it was a ticket or new keys, and records follow; or
		 * nothing yet, as between those keys and ours.
		 */
	}
}

void
conn_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	struct pool *pool = c->up->pool;
	ssize_t n;

	(void)what;
	pool_turn_begin(pool);
	/* A handshake brings nothing for the link. */
	if (c->ready_ms != 0 && imsg_congested(&pool->link)) {
		conn_pause(c);
		return;
	}
	if (c->transfer.unpaid >= MSG_TRANSFER_WINDOW) {
		stream_stop(c);
		return;
	}
	io_begin(c);
	n = recv(fd, pool->rx, sizeof(pool->rx), 0);
	if (n > 0) {
		c->heard = true;
		pool->rx_len = (size_t)n;
		if (c->ready_ms != 0 || conn_handshake(c))
			conn_decrypt(c);
		if (c->state != CONN_DEAD && conn_send(c)) {
			conn_acknowledge(c);
			overdue_watch(c);
		}
	} else if (n == 0)
		conn_on_eof(c, 0);
	else if (errno != EAGAIN && errno != EINTR)
		conn_socket_error(c, PHASE_READ, errno);
	io_end(pool);
}

void
conn_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	pool_turn_begin(c->up->pool);
	if (c->pending_len > 0 && !conn_send_pending(c))
		return;
	if (c->pending_len > 0)
		return;
	event_del(&c->ev_write);
	if (c->state == CONN_CONNECT)
		conn_on_connected(c);
	conn_flush(c);
}

void
conn_goodbye(struct conn *c)
{
	struct pool *pool = c->up->pool;
	bool mine = pool->io == NULL;

	if (c->pending_len > 0 || (!mine && pool->io != c))
		return;
	if (mine)
		io_begin(c);
	session_goodbye(&c->session);
	conn_last_words(c);
	if (mine)
		io_end(pool);
}

void
conn_last_words(struct conn *c)
{
	struct pool *pool = c->up->pool;

	if (pool->io != c)
		return;
	/* It may fail: nobody may be there to hear it. */
	if (c->pending_len == 0 && pool->tx_len > 0)
		(void)send(c->fd, pool->tx, pool->tx_len, MSG_NOSIGNAL);
	pool->tx_len = 0;
}
