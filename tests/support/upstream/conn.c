/* SPDX-License-Identifier: ISC */
/*
 * The test upstream's connections: the handshake, queries in, answers out, each
 * as the knobs say.  What one read brings is answered in as few TLS records and
 * sends as possible.
 */
#include "tests/support/upstream/upstream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

/* An answer which waits, owned by its connection. */
struct answer {
	TAILQ_ENTRY(answer) entry;
	struct conn *conn;
	struct event *timer;
	bool last;
	size_t sent; /* K_DRIP: of the frame */
	size_t len;
	uint8_t frame[];
};

struct conn {
	TAILQ_ENTRY(conn) entry;
	struct server *srv;
	SSL *ssl;
	struct event *ev_read;
	struct event *ev_write;
	TAILQ_HEAD(, answer) waiting;
	int fd;
	unsigned long received;
	unsigned long answered;
	bool frozen;
	bool closing; /* after what is queued */
	bool reset;   /* close with RST */
	size_t inlen;
	uint8_t in[DNS_MESSAGE_MAX + 2 + RECORD_MAX];
};

static void
answer_free(struct answer *a)
{
	TAILQ_REMOVE(&a->conn->waiting, a, entry);
	event_free(a->timer);
	free(a);
}

static void
conn_free(struct conn *c)
{
	struct linger rst = { 1, 0 };
	struct answer *a;

	while ((a = TAILQ_FIRST(&c->waiting)) != NULL)
		answer_free(a);
	event_free(c->ev_read);
	event_free(c->ev_write);
	if (c->reset)
		(void)setsockopt(
		    c->fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(c->fd);
	SSL_free(c->ssl);
	TAILQ_REMOVE(&c->srv->conns, c, entry);
	c->srv->stats.open--;
	free(c);
}

/* Sends ciphertext; returns -1 if the connection is broken. */
static int
conn_send(struct conn *c)
{
	BIO *wbio = SSL_get_wbio(c->ssl);
	char *p;
	long left;
	ssize_t n;

	while ((left = BIO_get_mem_data(wbio, &p)) > 0) {
		n = send(c->fd, p, (size_t)left, MSG_NOSIGNAL);
		if (n == -1 && errno != EAGAIN)
			return -1;
		if (n == -1) {
			event_add(c->ev_write, NULL);
			return 0;
		}
		if (n == left) {
			(void)BIO_reset(wbio);
			return 0;
		}
		for (; n > 0; n -= left)
			left = BIO_read(
			    wbio, c->srv->in, n < READ_MAX ? (int)n : READ_MAX);
	}
	return 0;
}

/* Queues plaintext; the caller flushes before it turns to another one. */
static int
conn_put(struct conn *c, const uint8_t *p, size_t len)
{
	struct server *s = c->srv;
	bool byte = s->knob[K_BYTE] != 0;
	size_t n;

	for (; len > 0; p += n, len -= n) {
		n = byte ? 1 : RECORD_MAX - s->outlen;
		n = len < n ? len : n;
		memcpy(s->out + s->outlen, p, n);
		s->outlen += n;
		if (s->outlen < RECORD_MAX && !byte && !s->knob[K_SINGLE])
			continue;
		if (SSL_write(c->ssl, s->out, (int)s->outlen) <= 0 ||
		    (byte && conn_send(c) == -1))
			return -1;
		s->outlen = 0;
	}
	return 0;
}

/* The end of a turn: everything queued goes out; the connection may go. */
static void
conn_flush(struct conn *c)
{
	struct server *s = c->srv;
	int len = (int)s->outlen;

	s->outlen = 0;
	if (c->frozen)
		return;
	if (len > 0 && SSL_write(c->ssl, s->out, len) <= 0) {
		conn_free(c);
		return;
	}
	if (c->closing && !c->reset && !s->knob[K_NO_NOTIFY])
		(void)SSL_shutdown(c->ssl);
	if (conn_send(c) == -1 || c->closing)
		conn_free(c);
}

static void
conn_close_later(struct conn *c, bool reset)
{
	c->closing = true;
	c->reset = reset || c->srv->knob[K_RESET];
}

/* Queues one answer, framed already, and counts it. */
static void
answer_send(struct conn *c, const uint8_t *frame, size_t len, bool last)
{
	struct server *s = c->srv;

	if (c->closing || c->frozen)
		return;
	s->stats.answered++;
	c->answered++;
	if (conn_put(c, frame, len) == -1)
		conn_close_later(c, true);
	if (last || (s->knob[K_CLOSE_AFTER] > 0 &&
			c->answered >= (unsigned long)s->knob[K_CLOSE_AFTER]))
		conn_close_later(c, false);
}

/* One byte, and the timer for the next. */
static void
answer_drip(struct answer *a)
{
	struct conn *c = a->conn;
	struct timeval tv = ms_timeval(c->srv->knob[K_DRIP]);

	if (conn_put(c, a->frame + a->sent, 1) == -1)
		conn_close_later(c, true);
	if (++a->sent < a->len) {
		evtimer_add(a->timer, &tv);
	} else {
		c->srv->stats.answered++;
		answer_free(a);
	}
	conn_flush(c);
}

static void
answer_due(evutil_socket_t fd, short what, void *arg)
{
	struct answer *a = arg;
	struct conn *c = a->conn;

	(void)fd;
	(void)what;
	if (c->srv->knob[K_DRIP] > 0) {
		answer_drip(a);
		return;
	}
	answer_send(c, a->frame, a->len, a->last);
	answer_free(a);
	conn_flush(c);
}

static void
answer_wait(struct conn *c, const uint8_t *frame, size_t len, bool last, int ms)
{
	struct answer *a = malloc(sizeof(*a) + len);
	struct timeval tv = ms_timeval(ms);

	if (a == NULL)
		err(1, NULL);
	a->conn = c;
	a->last = last;
	a->len = len;
	a->sent = 0;
	memcpy(a->frame, frame, len);
	TAILQ_INSERT_TAIL(&c->waiting, a, entry);
	a->timer = evtimer_new(c->srv->base, answer_due, a);
	evtimer_add(a->timer, &tv);
}

/* The line a query stands in, if the server can do rate answers a second. */
static int
rate_wait_ms(struct server *s, int rate)
{
	struct timespec ts;
	double now_s;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now_s = (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
	if (s->free_s < now_s)
		s->free_s = now_s;
	s->free_s += 1.0 / rate;
	return (int)((s->free_s - now_s) * 1000);
}

/* Makes our side find a record that cannot be read: it sends an alert. */
static void
send_alert(struct conn *c)
{
	static const uint8_t record[64] = { 23, 3, 3, 0, 59 };
	uint8_t byte;

	BIO_write(SSL_get_rbio(c->ssl), record, sizeof(record));
	(void)SSL_read(c->ssl, &byte, 1);
	conn_close_later(c, false);
}

static void
send_bad_mac(struct conn *c, size_t n)
{
	BIO *wbio = SSL_get_wbio(c->ssl);
	char *p;
	long len;

	(void)SSL_write(c->ssl, c->srv->frame, (int)n);
	len = BIO_get_mem_data(wbio, &p);
	if (len > 0)
		p[len - 1] ^= 1;
	c->srv->stats.answered++;
}

static void
ask_new_keys(struct conn *c)
{
	if (SSL_version(c->ssl) == TLS1_2_VERSION)
		(void)SSL_renegotiate(c->ssl);
	else
		(void)SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED);
	(void)SSL_do_handshake(c->ssl);
}

static void
query_answer(struct conn *c, const uint8_t *msg, size_t len,
    const struct question *q, const int *knob)
{
	struct server *s = c->srv;
	size_t n;
	int ms = knob[K_DELAY];

	if (knob[K_DROP] || (knob[K_DRIP] && !TAILQ_EMPTY(&c->waiting)))
		return;
	if (knob[K_ALERT]) {
		send_alert(c);
		return;
	}
	if (knob[K_REKEY])
		ask_new_keys(c);
	if (knob[K_CLOSE] || knob[K_RST]) {
		conn_close_later(c, knob[K_RST]);
		return;
	}
	if (knob[K_RATE] > 0)
		ms += rate_wait_ms(s, knob[K_RATE]);
	n = answer_frame(s->frame, msg, len, q, knob);
	if (knob[K_RAW]) {
		BIO_write(SSL_get_wbio(c->ssl), "this is no TLS record", 21);
		s->stats.answered++;
	} else if (knob[K_BADMAC]) {
		send_bad_mac(c, n);
	} else if (knob[K_DRIP] > 0) {
		answer_wait(c, s->frame, n, false, knob[K_DRIP]);
	} else if (ms > 0 || knob[K_JITTER] > 0) {
		if (knob[K_JITTER] > 0)
			ms += (int)random() % knob[K_JITTER];
		answer_wait(c, s->frame, n, knob[K_HALF], ms);
	} else {
		answer_send(c, s->frame, n, knob[K_HALF]);
	}
}

static void
query_handle(struct conn *c, const uint8_t *msg, size_t len)
{
	struct server *s = c->srv;
	struct question q;
	int knob[K_MAX];
	size_t at;
	bool readable;

	s->stats.queries++;
	c->received++;
	if (c->received - c->answered > s->stats.max_inflight)
		s->stats.max_inflight = c->received - c->answered;
	if (s->knob[K_FREEZE] > 0 &&
	    c->received > (unsigned long)s->knob[K_FREEZE]) {
		c->frozen = true;
		event_del(c->ev_read);
		return;
	}
	memcpy(knob, s->knob, sizeof(knob));
	readable = question_parse(msg, len, &q);
	for (at = 0; readable && q.name[at] != 0; at += q.name[at] + 1U)
		knob_from_label(knob, q.name + at + 1, q.name[at]);
	query_answer(c, msg, len, readable ? &q : NULL, knob);
}

static void
conn_frames(struct conn *c)
{
	size_t at = 0, len;

	while (c->inlen - at >= 2 && !c->closing && !c->frozen) {
		len = get16(c->in + at);
		if (c->inlen - at - 2 < len)
			break;
		query_handle(c, c->in + at + 2, len);
		at += 2 + len;
	}
	c->inlen -= at;
	memmove(c->in, c->in + at, c->inlen);
}

/* Returns -1 if the handshake failed. */
static int
conn_handshake(struct conn *c)
{
	struct stats *st = &c->srv->stats;
	int r = SSL_accept(c->ssl);

	if (r == 1) {
		st->handshakes++;
		st->resumed += (unsigned long)SSL_session_reused(c->ssl);
		return 0;
	}
	return SSL_get_error(c->ssl, r) == SSL_ERROR_WANT_READ ? 0 : -1;
}

static void
conn_decrypt(struct conn *c)
{
	int n;

	while (!c->closing && !c->frozen) {
		n = SSL_read(
		    c->ssl, c->in + c->inlen, (int)(sizeof(c->in) - c->inlen));
		if (n <= 0) {
			if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ)
				conn_close_later(c, false);
			return;
		}
		c->inlen += (size_t)n;
		conn_frames(c);
	}
}

static void
conn_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	struct server *s = c->srv;
	ssize_t n;

	if (what & EV_TIMEOUT) {
		conn_close_later(c, false);
		conn_flush(c);
		return;
	}
	n = recv(fd, s->in, sizeof(s->in), 0);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0) {
		if (!SSL_is_init_finished(c->ssl))
			s->stats.handshake_failures++;
		conn_free(c);
		return;
	}
	if (s->knob[K_STALL])
		return;
	if (s->knob[K_HELLO_ALERT]) {
		/* Fatal, handshake_failure. */
		BIO_write(SSL_get_wbio(c->ssl), "\x15\3\3\0\2\2\x28", 7);
		(void)conn_send(c);
		conn_free(c);
		return;
	}
	ERR_clear_error();
	BIO_write(SSL_get_rbio(c->ssl), s->in, (int)n);
	if (!SSL_is_init_finished(c->ssl) && conn_handshake(c) == -1) {
		s->stats.handshake_failures++;
		(void)conn_send(c);
		conn_free(c);
		return;
	}
	if (SSL_is_init_finished(c->ssl))
		conn_decrypt(c);
	conn_flush(c);
}

static void
conn_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	if (!c->frozen && conn_send(c) == -1)
		conn_free(c);
}

/* True if the client's SYN carried data. */
static bool
socket_fast_opened(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       (info.tcpi_options & TCPI_OPT_SYN_DATA) != 0;
}

void
conn_new(struct server *s, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct timeval idle = ms_timeval(s->knob[K_IDLE]);
	int on = 1;

	if (c == NULL || (c->ssl = SSL_new(s->tls)) == NULL)
		errx(1, "out of memory");
	c->srv = s;
	c->fd = fd;
	TAILQ_INIT(&c->waiting);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	SSL_set_bio(c->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(c->ssl);
	if (s->knob[K_TLS12])
		SSL_set_max_proto_version(c->ssl, TLS1_2_VERSION);
	c->ev_read =
	    event_new(s->base, fd, EV_READ | EV_PERSIST, conn_readable, c);
	c->ev_write = event_new(s->base, fd, EV_WRITE, conn_writable, c);
	event_add(c->ev_read, s->knob[K_IDLE] > 0 ? &idle : NULL);
	TAILQ_INSERT_TAIL(&s->conns, c, entry);
	s->stats.connections++;
	s->stats.fast_opened += socket_fast_opened(fd);
	s->stats.open++;
}

void
conn_close_all(struct server *s)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&s->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		c->frozen = false;
		conn_close_later(c, false);
		conn_flush(c);
	}
}
