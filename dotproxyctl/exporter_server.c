/* SPDX-License-Identifier: ISC */
/*
 * The exporter's half that speaks HTTP; see exporter.h.  It holds the sockets
 * of its clients and a channel to the reader, and nothing else.  One request a
 * connection, and a limit for everything: how many there are, how long a
 * request may take to come, to be answered, and its answer to be taken.  When
 * all places are taken who has had one for longest yields: who asks at once is
 * served at once, whoever else is there.
 *
 * evhttp would do most of that, but its timeouts begin anew with every byte,
 * and it takes any number of connections.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/log.h"
#include "common/loop.h"

#include "dotproxy/sandbox.h"
#include "dotproxyctl/exporter.h"
#include "dotproxyctl/exporter_page.h"
#include "dotproxyctl/http.h"

#define CONNS 64
#define HEAD_MAX 1024
#define REQUEST_MS 5000 /* from the first byte to the last */
#define MAKE_MS 10000   /* for the reader */
#define ANSWER_MS 10000 /* for the client to take all of it */
#define LINGER_MS 1000  /* for the client to close */

/* A document, shared by all who are sent it. */
struct body {
	size_t refs;
	size_t len;
	size_t cap;
	uint8_t data[];
};

enum conn_state {
	CONN_FREE,
	CONN_REQUEST, /* reads it */
	CONN_WAIT,    /* for a document */
	CONN_ANSWER,  /* writes it */
	CONN_LINGER,  /* waits for the client to close: no reset meets it */
};

struct conn {
	struct server *server;
	enum conn_state state;
	uint64_t number; /* who came before has a smaller one */
	int fd;
	bool loopback; /* it came to this machine's own address */
	struct event *ev;
	struct event *timer;
	struct http_request request;
	enum exporter_doc doc;
	size_t in_len;
	char in[HTTP_HEAD_MAX];
	size_t sent; /* of head and body together */
	size_t head_len;
	char head[HEAD_MAX];
	const uint8_t *body;
	size_t body_len;
	struct body *shared; /* whose body it is; NULL if nobody's */
};

struct server {
	struct event_base *base;
	struct imsg_chan reader;
	size_t nlisten;
	struct event *listen[EXPORTER_LISTEN_MAX];
	bool full; /* they are not listened on: all wait for a document */
	size_t nconns;
	uint64_t accepted;
	struct conn conns[CONNS];
	struct {
		bool asked;
		struct body *body; /* what has come of it; NULL: nothing */
	} docs[DOC_COUNT];
};

static void conn_event(evutil_socket_t, short, void *);

static void
body_unref(struct body *b)
{
	if (b != NULL && --b->refs == 0)
		free(b);
}

static void
listen_enable(struct server *s, bool enable)
{
	size_t i;

	s->full = !enable;
	for (i = 0; i < s->nlisten; i++)
		if ((enable ? event_add(s->listen[i], NULL)
			    : event_del(s->listen[i])) == -1)
			fatalx("event");
}

static void
conn_close(struct conn *c)
{
	struct server *s = c->server;

	event_free(c->ev);
	c->ev = NULL;
	(void)event_del(c->timer);
	close(c->fd);
	c->fd = -1;
	body_unref(c->shared);
	c->shared = NULL;
	c->state = CONN_FREE;
	s->nconns--;
	if (s->full)
		listen_enable(s, true);
}

/* Goes into a state that may last so long, waiting for what. */
static void
conn_enter(struct conn *c, enum conn_state state, short what, long ms)
{
	const struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	c->state = state;
	(void)event_del(c->ev);
	if (event_assign(c->ev, c->server->base, c->fd,
		(short)(what | EV_PERSIST), conn_event, c) == -1 ||
	    (what != 0 && event_add(c->ev, NULL) == -1) ||
	    event_add(c->timer, &tv) == -1)
		fatalx("event");
	if (c->server->full && state != CONN_WAIT)
		listen_enable(c->server, true);
}

/* Begins the answer; body stays as it is until the connection is closed. */
static void
conn_answer(struct conn *c, enum http_status status, const char *type,
    const uint8_t *body, size_t len)
{
	int n;

	n = snprintf(c->head, sizeof(c->head),
	    "HTTP/1.1 %d %s\r\n"
	    "Content-Type: %s\r\n"
	    "Content-Length: %zu\r\n"
	    "Connection: close\r\n"
	    "Cache-Control: no-store\r\n"
	    "Content-Security-Policy: default-src 'none'; script-src 'self'; "
	    "style-src 'self'; connect-src 'self'; img-src 'self'; "
	    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
	    "Cross-Origin-Opener-Policy: same-origin\r\n"
	    "Cross-Origin-Resource-Policy: same-origin\r\n"
	    "Referrer-Policy: no-referrer\r\n"
	    "X-Content-Type-Options: nosniff\r\n"
	    "X-Frame-Options: DENY\r\n"
	    "%s\r\n",
	    (int)status, http_reason(status), type, len,
	    status == HTTP_BAD_METHOD ? "Allow: GET, HEAD\r\n" : "");
	c->head_len = (size_t)n;
	c->sent = 0;
	c->body = body;
	c->body_len = c->request.head ? 0 : len;
	conn_enter(c, CONN_ANSWER, EV_WRITE, ANSWER_MS);
}

static void
conn_refuse(struct conn *c, enum http_status status)
{
	const char *reason = http_reason(status);

	conn_answer(c, status, "text/plain; charset=utf-8",
	    (const uint8_t *)reason, strlen(reason));
}

/* Asks the reader for a document, unless somebody has. */
static void
conn_wait(struct conn *c, enum exporter_doc doc)
{
	struct server *s = c->server;

	c->doc = doc;
	conn_enter(c, CONN_WAIT, 0, MAKE_MS);
	if (s->docs[doc].asked)
		return;
	if (!imsg_send_empty(&s->reader, EXPORTER_ASK, doc, -1)) {
		conn_refuse(c, HTTP_UNAVAILABLE);
		return;
	}
	s->docs[doc].asked = true;
}

static void
conn_route(struct conn *c)
{
	const struct http_request *r = &c->request;
	const struct exporter_page *page;

	/* A name that now means us, but did not when its page was loaded. */
	if (c->loopback && r->has_host && !r->host_is_local) {
		conn_refuse(c, HTTP_MISDIRECTED);
		return;
	}
	if (strcmp(r->path, "/metrics") == 0) {
		conn_wait(c, r->openmetrics ? DOC_OPEN_METRICS : DOC_METRICS);
		return;
	}
	if (strcmp(r->path, "/api/state") == 0) {
		conn_wait(c, DOC_STATE);
		return;
	}
	page = exporter_page_find(r->path);
	if (page == NULL)
		conn_refuse(c, HTTP_NOT_FOUND);
	else
		conn_answer(c, HTTP_OK, page->type, page->data, page->len);
}

static void
conn_read(struct conn *c)
{
	enum http_status status;
	ssize_t n;

	n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_close(c);
		return;
	}
	c->in_len += (size_t)n;
	status = http_parse(c->in, c->in_len, &c->request);
	if (status == HTTP_OK)
		conn_route(c);
	else if (status != HTTP_INCOMPLETE)
		conn_refuse(c, status);
}

/* Sends as much as is taken.  True when all of it is. */
static bool
conn_send(struct conn *c)
{
	const void *p;
	size_t left;
	ssize_t n;

	while (c->sent < c->head_len + c->body_len) {
		if (c->sent < c->head_len) {
			p = c->head + c->sent;
			left = c->head_len - c->sent;
		} else {
			p = c->body + (c->sent - c->head_len);
			left = c->body_len - (c->sent - c->head_len);
		}
		n = send(c->fd, p, left,
		    MSG_NOSIGNAL |
			(c->sent < c->head_len && c->body_len > 0 ? MSG_MORE
								  : 0));
		if (n == -1)
			return errno != EAGAIN && errno != EINTR;
		c->sent += (size_t)n;
	}
	return true;
}

static void
conn_write(struct conn *c)
{
	if (!conn_send(c))
		return;
	(void)shutdown(c->fd, SHUT_WR);
	conn_enter(c, CONN_LINGER, EV_READ, LINGER_MS);
}

/* What still comes has been answered already. */
static void
conn_drain(struct conn *c)
{
	ssize_t n = recv(c->fd, c->in, sizeof(c->in), 0);

	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		conn_close(c);
}

static void
conn_event(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	switch (c->state) {
	case CONN_REQUEST:
		conn_read(c);
		break;
	case CONN_ANSWER:
		conn_write(c);
		break;
	case CONN_LINGER:
		conn_drain(c);
		break;
	default:
		break;
	}
}

static void
conn_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	if (c->state == CONN_REQUEST && c->in_len > 0)
		conn_refuse(c, HTTP_TIMEOUT);
	else if (c->state == CONN_WAIT)
		conn_refuse(c, HTTP_UNAVAILABLE);
	else
		conn_close(c);
}

/* True if it came to a loopback address or by way of the file system. */
static bool
is_loopback(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *sin = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)ss;

	if (ss->ss_family == AF_INET)
		return ntohl(sin->sin_addr.s_addr) >> 24 == 127;
	return ss->ss_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr);
}

static void
conn_new(struct server *s, int fd, bool loopback)
{
	struct conn *c = s->conns;

	while (c->state != CONN_FREE)
		c++;
	c->fd = fd;
	c->number = s->accepted++;
	c->loopback = loopback;
	c->in_len = 0;
	memset(&c->request, 0, sizeof(c->request));
	c->ev = event_new(s->base, fd, 0, conn_event, c);
	if (c->ev == NULL)
		fatalx("out of memory");
	s->nconns++;
	conn_enter(c, CONN_REQUEST, EV_READ, REQUEST_MS);
}

/* How well one in this state can be spared; 0: not at all. */
static unsigned int
conn_ease(const struct conn *c)
{
	switch (c->state) {
	case CONN_LINGER:
		return 3; /* it has its answer */
	case CONN_REQUEST:
		return 2;
	case CONN_ANSWER:
		return 1;
	default:
		return 0; /* its document comes, or its time is up */
	}
}

/* Makes room for one more connection.  False if there is none. */
static bool
make_room(struct server *s)
{
	struct conn *c, *spare = NULL;
	unsigned int worth, most = 0;

	if (s->nconns < CONNS)
		return true;
	for (c = s->conns; c < s->conns + CONNS; c++) {
		worth = conn_ease(c);
		if (worth > most || (spare != NULL && worth == most &&
					c->number < spare->number)) {
			most = worth;
			spare = c;
		}
	}
	if (spare == NULL)
		return false;
	conn_close(spare);
	return true;
}

static void
acceptable(evutil_socket_t lfd, short what, void *arg)
{
	struct sockaddr_storage peer;
	struct server *s = arg;
	socklen_t len = sizeof(peer);
	int fd;

	(void)what;
	if (!make_room(s)) {
		listen_enable(s, false);
		return;
	}
	memset(&peer, 0, sizeof(peer));
	fd = accept4(
	    lfd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd != -1)
		conn_new(s, fd, is_loopback(&peer));
}

static int
on_piece(void *arg, struct imsg *m)
{
	struct server *s = arg;
	struct body *b, *grown;
	size_t cap;

	if (m->id >= DOC_COUNT || !s->docs[m->id].asked)
		return -1;
	b = s->docs[m->id].body;
	if (b == NULL || b->cap - b->len < m->len) {
		cap = b == NULL ? EXPORTER_PIECE_MAX : 2 * b->cap;
		if (cap > 2 * EXPORTER_DOC_MAX)
			return -1;
		grown = realloc(b, sizeof(*b) + cap);
		if (grown == NULL)
			fatalx("out of memory");
		if (b == NULL) {
			grown->refs = 1;
			grown->len = 0;
		}
		grown->cap = cap;
		b = s->docs[m->id].body = grown;
	}
	memcpy(b->data + b->len, m->data, m->len);
	b->len += m->len;
	return 0;
}

/* A document is whole: all who wait for it are answered. */
static int
on_end(void *arg, struct imsg *m)
{
	static const char *const types[DOC_COUNT] = {
		"text/plain; version=0.0.4; charset=utf-8",
		"application/openmetrics-text; version=1.0.0; charset=utf-8",
		"application/json",
	};
	struct server *s = arg;
	struct body *b;
	size_t i;

	if (m->id >= DOC_COUNT || s->docs[m->id].body == NULL)
		return -1;
	b = s->docs[m->id].body;
	s->docs[m->id].body = NULL;
	s->docs[m->id].asked = false;
	for (i = 0; i < CONNS; i++) {
		if (s->conns[i].state != CONN_WAIT || s->conns[i].doc != m->id)
			continue;
		b->refs++;
		s->conns[i].shared = b;
		conn_answer(
		    &s->conns[i], HTTP_OK, types[m->id], b->data, b->len);
	}
	body_unref(b);
	return 0;
}

static const struct imsg_rule rules[IMSG_TYPES_MAX] = {
	[EXPORTER_PIECE] = { .handler = on_piece,
	    .min = 1,
	    .max = EXPORTER_PIECE_MAX,
	    .phases = 1 },
	[EXPORTER_END] = { .handler = on_end, .phases = 1 },
};

/* No server without a reader. */
static void
on_down(void *arg, enum imsg_status status, const char *why)
{
	(void)arg;
	(void)status;
	(void)why;
	_exit(0);
}

static void
log_to_reader(enum log_level level, const char *line, void *arg)
{
	struct imsg_chan *reader = arg;

	if (msg_send_log(reader, (uint8_t)level, line))
		(void)imsg_flush(reader);
}

static void
server_init(struct server *s, int reader_fd, const int *fds, size_t nfds)
{
	const struct imsg_chan_opts opts = {
		.rules = rules,
		.in_cap = EXPORTER_BUF,
		.out_cap = EXPORTER_BUF,
		.phase = 1,
		.arg = s,
		.on_down = on_down,
	};
	size_t i;

	if (imsg_open(&s->reader, reader_fd, &opts) == -1)
		fatalx("out of memory");
	log_init_sink(log_to_reader, &s->reader);
	s->base = loop_new();
	if (s->base == NULL || imsg_attach(&s->reader, s->base) == -1)
		fatalx("event loop");
	for (i = 0; i < CONNS; i++) {
		s->conns[i].server = s;
		s->conns[i].timer =
		    evtimer_new(s->base, conn_timeout, &s->conns[i]);
		if (s->conns[i].timer == NULL)
			fatalx("out of memory");
	}
	s->nlisten = nfds;
	for (i = 0; i < nfds; i++) {
		s->listen[i] = event_new(
		    s->base, fds[i], EV_READ | EV_PERSIST, acceptable, s);
		if (s->listen[i] == NULL)
			fatalx("out of memory");
	}
	listen_enable(s, true);
}

void
exporter_server(int reader_fd, const int *fds, size_t nfds,
    const struct sandbox_opts *sandbox)
{
	struct server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		fatalx("out of memory");
	server_init(s, reader_fd, fds, nfds);
	(void)sandbox_enter(SANDBOX_SERVER, sandbox);
	if (!imsg_send_empty(&s->reader, EXPORTER_READY, 0, -1))
		fatalx("exporter: cannot send");
	for (;;) {
		(void)imsg_flush(&s->reader);
		if (event_base_loop(s->base, EVLOOP_ONCE) == -1)
			fatalx("exporter: event loop");
	}
}
