/* SPDX-License-Identifier: ISC */
/*
 * The clients of the load generator: a socket each, with the queries that wait
 * for their answers there.
 */
#include <sys/epoll.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "tests/bench/load/load.h"

/* When a query was due, how long it took in ns, and what came of it. */
static void
trace_line(
    const struct load *l, const struct slot *s, uint64_t now, const char *what)
{
	if (l->trace != NULL)
		fprintf(l->trace, "%" PRIu64 " %" PRIu64 " %s\n", s->due_ns,
		    now - s->due_ns, what);
}

static void
slot_release(struct load *l, struct client *c, struct slot *s)
{
	l->nbusy--;
	s->busy = false;
	TAILQ_REMOVE(&c->busy, s, entry);
	TAILQ_INSERT_TAIL(&c->free, s, entry);
}

static void
answer_handle(struct load *l, struct client *c, const uint8_t *p, size_t len,
    uint64_t now)
{
	const char *what = "wrong";
	struct slot *s;
	uint32_t seq;
	size_t i;

	if (!answer_sequence(l, p, len, &seq) ||
	    (i = l->index[get16(p) ^ c->id_mask]) >= l->per_client) {
		l->n.wrong++;
		return;
	}
	s = &c->slot[i];
	if (!s->busy || s->seq != seq) {
		if (seq > s->seq)
			l->n.wrong++;
		else if (seq <= s->lost_seq)
			l->n.late++;
		else
			l->n.duplicate++;
		return;
	}
	histogram_add(&l->latency, now - s->due_ns);
	slot_release(l, c, s);
	if ((p[3] & 0x0f) != 0) {
		l->n.errors++;
		what = "error";
	} else if (answer_right(l, p, len)) {
		l->n.answered++;
		what = "answered";
	} else {
		l->n.wrong++;
	}
	trace_line(l, s, now, what);
}

static void
client_watch(struct load *l, struct client *c, int how)
{
	struct epoll_event ev = { .data.ptr = c };

	ev.events = c->writing ? EPOLLIN | EPOLLOUT : EPOLLIN;
	if (epoll_ctl(l->epoll, how, c->fd, &ev) == -1)
		err(1, "epoll_ctl");
}

/* A socket that is connected; a TCP one sends without delay. */
static int
connected_socket(const struct load *l, bool *refused)
{
	int fd, on = 1, type = l->tcp ? SOCK_STREAM : SOCK_DGRAM;

	fd = socket(l->addr.ss_family, type | SOCK_CLOEXEC, 0);
	if (fd == -1)
		err(1, "socket");
	net_receive_buffer(fd);
	if (l->fromlen > 0 &&
	    bind(fd, (const struct sockaddr *)&l->from, l->fromlen) == -1)
		err(1, "bind");
	if (l->tcp)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	*refused =
	    connect(fd, (const struct sockaddr *)&l->addr, l->addrlen) == -1;
	if (*refused && errno != ECONNREFUSED)
		err(1, "connect");
	return fd;
}

void
client_idle(const struct load *l)
{
	bool refused;

	(void)connected_socket(l, &refused);
	if (refused)
		errx(1, "connection refused");
}

static void
client_connect(struct load *l, struct client *c)
{
	bool refused;

	c->inlen = c->outlen = c->nout = 0;
	c->fd = connected_socket(l, &refused);
	if (refused) {
		l->n.refused++;
		(void)usleep(1000);
	}
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) == -1)
		err(1, "fcntl");
	c->writing = false;
	client_watch(l, c, EPOLL_CTL_ADD);
}

/* What was asked on a lost TCP connection is lost too. */
static void
client_reconnect(struct load *l, struct client *c)
{
	struct slot *s;

	l->n.closed++;
	while ((s = TAILQ_FIRST(&c->busy)) != NULL) {
		l->n.lost++;
		s->lost_seq = s->seq;
		slot_release(l, c, s);
	}
	close(c->fd);
	client_connect(l, c);
}

void
client_new(struct load *l, struct client *c)
{
	size_t i;

	c->id_mask = l->same_ids ? 0 : (uint16_t)random();
	c->slot = calloc(l->per_client, sizeof(*c->slot));
	c->out = malloc(l->per_client * (QUERY_MAX + 2));
	if (c->slot == NULL || c->out == NULL)
		err(1, NULL);
	TAILQ_INIT(&c->free);
	TAILQ_INIT(&c->busy);
	for (i = 0; i < l->per_client; i++) {
		c->slot[i].index = (uint16_t)i;
		TAILQ_INSERT_TAIL(&c->free, &c->slot[i], entry);
	}
	for (i = 0; i < BATCH; i++) {
		c->iov[i].iov_base = c->msg[i];
		c->iov[i].iov_len = l->querylen;
	}
	client_connect(l, c);
}

static void
client_flush_udp(struct load *l, struct client *c)
{
	struct mmsghdr m[BATCH];
	size_t i, done;
	int n;

	memset(m, 0, sizeof(m));
	for (i = 0; i < c->nout; i++) {
		m[i].msg_hdr.msg_iov = &c->iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	for (done = 0; done < c->nout;) {
		n = sendmmsg(c->fd, m + done, (unsigned)(c->nout - done), 0);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EAGAIN && errno != ENOBUFS)
			l->n.refused++;
	}
	c->nout = 0;
}

static void
client_flush_tcp(struct load *l, struct client *c)
{
	ssize_t n = 0;

	if (c->outlen > 0)
		n = send(c->fd, c->out, c->outlen, MSG_NOSIGNAL);
	if (n > 0) {
		c->outlen -= (size_t)n;
		memmove(c->out, c->out + n, c->outlen);
	}
	if (c->writing == (c->outlen > 0))
		return;
	c->writing = c->outlen > 0;
	client_watch(l, c, EPOLL_CTL_MOD);
}

void
client_flush(struct load *l, struct client *c)
{
	if (l->tcp)
		client_flush_tcp(l, c);
	else if (c->nout > 0)
		client_flush_udp(l, c);
}

void
client_ask(struct load *l, struct client *c, uint64_t due_ns)
{
	struct slot *s = TAILQ_FIRST(&c->free);

	TAILQ_REMOVE(&c->free, s, entry);
	TAILQ_INSERT_TAIL(&c->busy, s, entry);
	s->busy = true;
	l->nbusy++;
	if (!c->dirty)
		TAILQ_INSERT_TAIL(&l->dirty, c, asked);
	c->dirty = true;
	s->due_ns = due_ns;
	s->seq = (uint32_t)++l->n.sent;
	if (l->tcp) {
		query_write(l, c, s, put16(c->out + c->outlen, l->querylen));
		c->outlen += l->querylen + 2;
		return;
	}
	query_write(l, c, s, c->msg[c->nout]);
	if (++c->nout == BATCH)
		client_flush_udp(l, c);
}

static void
client_read_udp(struct load *l, struct client *c)
{
	static uint8_t buf[BATCH][4096];
	struct iovec iov[BATCH];
	struct mmsghdr m[BATCH];
	uint64_t now;
	int i, n;

	memset(m, 0, sizeof(m));
	for (i = 0; i < BATCH; i++) {
		iov[i].iov_base = buf[i];
		iov[i].iov_len = sizeof(buf[i]);
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(c->fd, m, BATCH, 0, NULL);
	if (n == -1 && errno != EAGAIN)
		l->n.refused++;
	now = clock_ns();
	for (i = 0; i < n; i++)
		answer_handle(l, c, buf[i], m[i].msg_len, now);
}

static void
client_read_tcp(struct load *l, struct client *c)
{
	uint64_t now;
	size_t at = 0, len;
	ssize_t n;

	n = recv(c->fd, c->in + c->inlen, sizeof(c->in) - c->inlen, 0);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0) {
		client_reconnect(l, c);
		return;
	}
	c->inlen += (size_t)n;
	now = clock_ns();
	while (c->inlen - at >= 2 &&
	       (len = get16(c->in + at)) <= c->inlen - at - 2) {
		answer_handle(l, c, c->in + at + 2, len, now);
		at += 2 + len;
	}
	c->inlen -= at;
	memmove(c->in, c->in + at, c->inlen);
}

void
client_read(struct load *l, struct client *c)
{
	(l->tcp ? client_read_tcp : client_read_udp)(l, c);
}

void
client_expire(struct load *l, struct client *c, uint64_t now)
{
	struct slot *s;

	while ((s = TAILQ_FIRST(&c->busy)) != NULL &&
	       now > s->due_ns + l->timeout_ns) {
		l->n.lost++;
		trace_line(l, s, now, "lost");
		s->lost_seq = s->seq;
		slot_release(l, c, s);
	}
}
