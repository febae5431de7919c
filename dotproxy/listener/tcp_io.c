/* SPDX-License-Identifier: ISC */
/*
 * The bytes of TCP clients (RFC 7766): cutting what comes into messages, and
 * sending answers, those of one turn together.  Clients may pipeline, send a
 * byte at a time, or half-close; answers go out in any order.  A connection
 * without a message in the middle has no memory for bytes: everybody is
 * received into one buffer.  Must never read a client whose answers pile up.
 */
#include "dotproxy/listener/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

/* Reads of one connection before others have their turn. */
#define TCP_READS 4
#define TCP_BUF_MIN 512

static size_t
buf_len(const struct tcp_buf *b)
{
	return b->len - b->pos;
}

void
tcp_buf_free(struct tcp *t, struct tcp_buf *b)
{
	t->bytes -= b->cap;
	free(b->data);
	memset(b, 0, sizeof(*b));
}

/*
 * Makes room for n bytes at the end.  Returns false if memory is short or
 * all connections together have far too much of it.
 */
static bool
buf_reserve(struct tcp *t, struct tcp_buf *b, size_t n)
{
	size_t cap = b->cap > 0 ? b->cap : TCP_BUF_MIN;
	uint8_t *data;

	if (n <= b->cap - b->len)
		return true;
	if (b->pos > 0) {
		memmove(b->data, b->data + b->pos, buf_len(b));
		b->len -= b->pos;
		b->pos = 0;
	}
	while (cap - b->len < n)
		cap *= 2;
	if (cap == b->cap)
		return true;
	if (cap - b->cap > 2 * TCP_BYTES_MAX - t->bytes)
		return false;
	data = realloc(b->data, cap);
	if (data == NULL)
		return false;
	t->bytes += cap - b->cap;
	b->data = data;
	b->cap = cap;
	return true;
}

static size_t
unsent(const struct tcp_conn *c)
{
	return buf_len(&c->out) - c->sent;
}

/* Whether another query of this client may be taken on. */
static bool
may_take(const struct tcp_conn *c)
{
	return !c->broken && !c->closing && c->waiting < TCP_QUERIES_MAX &&
	       unsent(c) < TCP_UNSENT_MAX;
}

/* One more message is taken.  Its first turn is told from none by taken. */
static void
count_taken(struct tcp_conn *c)
{
	if (c->turn != c->listener->tcp->turn)
		c->taken = 0;
	c->turn = c->listener->tcp->turn;
	c->taken++;
}

/* True if the others' turn has come. */
static bool
is_spent(const struct tcp_conn *c)
{
	const struct listener *l = c->listener;
	uint64_t share;

	if (c->turn != l->tcp->turn || c->taken < TCP_TAKE_MIN || l->finishing)
		return false;
	share = TCP_TURN_MAX / (l->counters[LSTAT_tcp_open] + 1);
	return c->taken >= TCP_TAKE_MAX || c->taken >= share;
}

/* Takes whole messages.  Returns the number of bytes they were. */
static size_t
parse(struct tcp_conn *c, const uint8_t *data, size_t len)
{
	struct client client;
	size_t used = 0, n;

	memset(&client, 0, sizeof(client));
	client.conn = c;
	client.peer = c->peer;
	while (may_take(c) && !is_spent(c) && len - used >= 2) {
		n = wire_load_u16(data + used);
		if (n < DNS_HDR_LEN) {
			c->broken = true; /* no such message: out of step */
			break;
		}
		if (len - used - 2 < n)
			break;
		c->active = true;
		count_taken(c);
		query_receive(c->listener, &client, data + used + 2, n);
		used += 2 + n;
	}
	return used;
}

static void
parse_kept(struct tcp_conn *c)
{
	c->in.pos += parse(c, c->in.data + c->in.pos, buf_len(&c->in));
	if (buf_len(&c->in) == 0)
		tcp_buf_free(c->listener->tcp, &c->in);
}

/* Keeps the rest of what has been received. */
static void
keep(struct tcp_conn *c, const uint8_t *data, size_t len)
{
	if (len == 0 || c->broken || c->closing)
		return;
	if (!buf_reserve(c->listener->tcp, &c->in, len)) {
		c->broken = true;
		return;
	}
	memcpy(c->in.data + c->in.len, data, len);
	c->in.len += len;
}

/* Bytes that are missing from the message that was kept. */
static size_t
missing(const struct tcp_conn *c)
{
	size_t have = buf_len(&c->in);

	if (have < 2)
		return 2 - have;
	return 2u + wire_load_u16(c->in.data + c->in.pos) - have;
}

static ssize_t
receive(struct tcp_conn *c, uint8_t *dst, size_t room)
{
	ssize_t n = recv(c->fd, dst, room, MSG_DONTWAIT);

	if (n == 0)
		c->eof = true;
	else if (n == -1 && errno != EAGAIN && errno != EINTR)
		c->broken = true;
	return n;
}

/*
 * Completes the message that was kept, with memory for what has come rather
 * than for what has been announced.  Returns false if nothing more is there.
 */
static bool
receive_rest(struct tcp_conn *c)
{
	size_t want = missing(c), room;
	ssize_t n;

	room = buf_len(&c->in) < TCP_BUF_MIN ? TCP_BUF_MIN : buf_len(&c->in);
	if (room > want)
		room = want;
	if (!buf_reserve(c->listener->tcp, &c->in, room)) {
		c->broken = true;
		return false;
	}
	n = receive(c, c->in.data + c->in.len, room);
	if (n <= 0)
		return false;
	c->in.len += (size_t)n;
	if ((size_t)n == want)
		parse_kept(c);
	return (size_t)n == room;
}

static bool
receive_more(struct tcp_conn *c)
{
	uint8_t *buf = c->listener->tcp->in;
	size_t used;
	ssize_t n;

	if (c->in.data != NULL)
		return receive_rest(c);
	n = receive(c, buf, TCP_FRAME_MAX);
	if (n <= 0)
		return false;
	used = parse(c, buf, (size_t)n);
	keep(c, buf + used, (size_t)n - used);
	return n == TCP_FRAME_MAX;
}

static void
set_reading(struct tcp_conn *c, bool enable)
{
	if (enable == c->reading)
		return;
	if (!enable)
		(void)event_del(c->ev_read);
	else if (event_add(c->ev_read, NULL) == -1)
		tcp_break(c);
	c->reading = enable;
}

static void
hold(struct tcp_conn *c)
{
	if (c->held)
		return;
	set_reading(c, false);
	TAILQ_INSERT_TAIL(&c->listener->tcp->held, c, held_entry);
	c->held = true;
}

/* Throws away what a client sends that has had its last answer. */
static void
discard(struct tcp_conn *c)
{
	ssize_t n = receive(c, c->listener->tcp->in, TCP_FRAME_MAX);

	if (n <= 0)
		return;
	c->discarded += (uint32_t)n;
	if (c->discarded > TCP_DISCARD_MAX)
		c->broken = true;
}

void
tcp_readable(evutil_socket_t fd, short what, void *arg)
{
	struct tcp_conn *c = arg;
	unsigned int i;

	(void)fd;
	(void)what;
	tcp_mark_dirty(c);
	if (c->leaving) {
		discard(c);
		return;
	}
	if (c->in.data != NULL) /* what was left of the last turn first */
		parse_kept(c);
	for (i = 0; i < TCP_READS && may_take(c) && !is_spent(c); i++) {
		if (listener_check_pressure(c->listener)) {
			hold(c);
			return;
		}
		if (!receive_more(c))
			return;
	}
}

void
tcp_reply(struct listener *l, struct tcp_conn *c, uint16_t id,
    const uint8_t *wire, size_t len, enum listener_counter outcome)
{
	uint8_t *p;

	tcp_mark_dirty(c);
	if (c->broken || len < DNS_HDR_LEN || len > DNS_MSG_MAX ||
	    unsent(c) + len > TCP_OUT_MAX ||
	    !buf_reserve(l->tcp, &c->out, 2 + len) ||
	    !buf_reserve(l->tcp, &c->outcomes, 1)) {
		c->broken = true;
		if (outcome != LSTAT_COUNT)
			listener_count_out(l, LSTAT_dropped_send);
		return;
	}
	p = c->out.data + c->out.len;
	wire_store_u16(p, (uint16_t)len);
	memcpy(p + 2, wire, len);
	dns_set_id(p + 2, id);
	c->out.len += 2 + len;
	c->outcomes.data[c->outcomes.len++] = (uint8_t)outcome;
}

/* Counts the frames that have gone out whole. */
static void
count_sent(struct tcp_conn *c)
{
	enum listener_counter outcome;
	size_t frame;

	while (buf_len(&c->out) > 0) {
		frame = 2u + wire_load_u16(c->out.data + c->out.pos);
		if (c->sent < frame)
			return;
		outcome = c->outcomes.data[c->outcomes.pos++];
		if (outcome != LSTAT_COUNT)
			listener_count_out(c->listener, outcome);
		c->out.pos += frame;
		c->sent -= frame;
	}
}

/* Sends what is there, with one call. */
static void
send_output(struct tcp_conn *c)
{
	struct tcp *t = c->listener->tcp;
	ssize_t n;

	if (unsent(c) == 0)
		return;
	n = send(c->fd, c->out.data + c->out.pos + c->sent, unsent(c),
	    MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR)
			c->broken = true;
		return;
	}
	c->progress = true;
	c->sent += (size_t)n;
	count_sent(c);
	if (unsent(c) == 0) {
		c->active = true;
		tcp_buf_free(t, &c->out);
		tcp_buf_free(t, &c->outcomes);
	}
}

bool
tcp_last_try(struct tcp_conn *c)
{
	if (!c->broken)
		send_output(c);
	if (!c->progress)
		return false;
	tcp_mark_dirty(c);
	tcp_place(c);
	return true;
}

static void
tcp_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tcp_mark_dirty(arg); /* it is sent at the end of the turn */
}

/* Waits for the client to take output, as long as there is some. */
static void
set_writing(struct tcp_conn *c, bool enable)
{
	if (enable == (c->ev_write != NULL))
		return;
	if (!enable) {
		event_free(c->ev_write);
		c->ev_write = NULL;
		return;
	}
	c->ev_write = event_new(
	    c->listener->base, c->fd, EV_WRITE | EV_PERSIST, tcp_writable, c);
	if (c->ev_write == NULL || event_add(c->ev_write, NULL) == -1)
		c->broken = true;
}

/* True if nothing is owed either way. */
static bool
is_at_rest(const struct tcp_conn *c)
{
	return c->waiting == 0 && c->in.data == NULL && unsent(c) == 0;
}

/* What was kept may hold messages for which there was no room in this turn. */
static void
go_on_later(struct tcp_conn *c)
{
	if (c->more || c->in.data == NULL || !is_spent(c) || !may_take(c))
		return;
	TAILQ_INSERT_TAIL(&c->listener->tcp->more, c, more_entry);
	c->more = true;
}

void
tcp_io_turn(struct tcp_conn *c)
{
	if (!c->broken)
		send_output(c);
	if (c->transfers > 0 && unsent(c) < TCP_UNSENT_LOW)
		transfer_pay(c->listener, &c->queries);
	if (c->in.data != NULL && may_take(c))
		parse_kept(c);
	if (c->dirty) /* that made replies: send them first */
		return;
	if (!c->broken)
		set_writing(c, unsent(c) > 0);
	if (c->broken) {
		tcp_close(c, c->leaving ? LSTAT_COUNT : LSTAT_tcp_error);
		return;
	}
	if (c->listener->draining && !c->closing && is_at_rest(c)) {
		tcp_close(c, LSTAT_COUNT);
		return;
	}
	go_on_later(c);
	/* Who has said all may still want to hear the answers. */
	if (c->eof && !c->more && c->waiting == 0 && unsent(c) == 0) {
		tcp_close(c, LSTAT_COUNT);
		return;
	}
	if (c->closing && c->waiting == 0 && unsent(c) == 0 && !c->leaving) {
		tcp_buf_free(c->listener->tcp, &c->in);
		c->leaving = true;
	}
	set_reading(c, !c->eof && !c->held && (c->leaving || may_take(c)));
	tcp_place(c);
}
