/* SPDX-License-Identifier: ISC */
/*
 * TCP clients of the listener: accepting them, their timeouts, their limit,
 * and their end.  Timeouts are the same for all, so connections stand in
 * queues in the order of time, and one timer looks at the head of each.  Must
 * never let a client hold what others need: who is idle longest goes first, and
 * who has many connections loses one of its own.
 */
#include "dotproxy/listener/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/log.h"
#include "common/loop.h"

/* Connections accepted from one socket before others have their turn. */
#define TCP_ACCEPTS 64
/* The same for a socket that is closed then: Linux lets one more wait. */
#define TCP_LAST_ACCEPTS (CONF_TCP_BACKLOG + 1)

uint32_t
tcp_idle_ms(const struct listener *l)
{
	uint64_t max = l->conf.client.max_tcp, open, left;
	uint32_t full = l->conf.client.tcp_read_timeout_ms;
	uint64_t ms;

	open = l->counters[LSTAT_tcp_open] - l->tcp->nleaving;
	left = open < max ? max - open : 0;
	if (2 * left >= max)
		return full;
	ms = full * 2 * left / max;
	if (ms >= LISTENER_YIELD_MS)
		return (uint32_t)ms;
	return full < LISTENER_YIELD_MS ? full : LISTENER_YIELD_MS;
}

uint16_t
tcp_keepalive(const struct listener *l)
{
	uint32_t ms = tcp_idle_ms(l);

	/* At the least there is no room for idle ones (RFC 7828 3.3.2). */
	return ms > LISTENER_YIELD_MS ? (uint16_t)(ms / 100) : 0;
}

/* Arms a timer for the head of its queue. */
static void
arm_timer(struct listener *l, const struct tcp_conns *queue,
    struct lazy_timer *timer, uint32_t timeout_ms)
{
	const struct tcp_conn *c = TAILQ_FIRST(queue);

	if (c != NULL)
		lazy_timer_arm(
		    timer, listener_now(l), c->since_ms + timeout_ms);
}

static void
arm_timers(struct listener *l)
{
	struct tcp *t = l->tcp;

	arm_timer(l, &t->all.idle, &t->read_timer, tcp_idle_ms(l));
	arm_timer(l, &t->all.stuck, &t->write_timer,
	    l->conf.client.tcp_write_timeout_ms);
	arm_timer(l, &t->all.leaving, &t->leave_timer, TCP_LEAVE_MS);
}

/* The head of a queue if it has been there for timeout_ms, or NULL. */
static struct tcp_conn *
overdue(struct listener *l, const struct tcp_conns *queue, uint32_t timeout_ms)
{
	struct tcp_conn *c = TAILQ_FIRST(queue);

	if (c != NULL && c->since_ms + timeout_ms > listener_now(l))
		return NULL;
	return c;
}

static void
read_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	struct tcp_conn *c;

	(void)fd;
	(void)what;
	l->tcp->read_timer.due_ms = 0;
	/* Each that goes may leave the others more time. */
	while ((c = overdue(l, &l->tcp->all.idle, tcp_idle_ms(l))) != NULL)
		tcp_close(c, LSTAT_tcp_timeout);
	arm_timers(l);
}

static void
write_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	struct tcp_conn *c;

	(void)fd;
	(void)what;
	l->tcp->write_timer.due_ms = 0;
	while ((c = overdue(l, &l->tcp->all.stuck,
		    l->conf.client.tcp_write_timeout_ms)) != NULL)
		if (!tcp_last_try(c))
			tcp_close(c, LSTAT_tcp_timeout);
	arm_timers(l);
}

static void
leave_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	struct tcp_conn *c;

	(void)fd;
	(void)what;
	l->tcp->leave_timer.due_ms = 0;
	while ((c = overdue(l, &l->tcp->all.leaving, TCP_LEAVE_MS)) != NULL)
		tcp_close(c, c->leaving ? LSTAT_COUNT : LSTAT_tcp_timeout);
	arm_timers(l);
}

/* Does nothing itself: the end of its turn does. */
static void
next_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

void
tcp_init(struct listener *l)
{
	struct rng rng = { .left = 0 };
	struct tcp *t;

	t = l->tcp = calloc(1, sizeof(*t));
	if (t == NULL || tcp_peers_init(&t->peers, &rng) == -1)
		fatalx("out of memory");
	TAILQ_INIT(&t->socks);
	tcp_queues_init(&t->all);
	TAILQ_INIT(&t->dirty);
	TAILQ_INIT(&t->held);
	TAILQ_INIT(&t->more);
	t->next_turn = event_new(l->base, -1, 0, next_turn, NULL);
	if (t->next_turn == NULL)
		fatalx("out of memory");
	lazy_timer_init(&t->read_timer, l->base, read_timeout, l);
	lazy_timer_init(&t->write_timer, l->base, write_timeout, l);
	lazy_timer_init(&t->leave_timer, l->base, leave_timeout, l);
}

static void
sock_close(struct tcp *t, struct tcp_sock *s)
{
	TAILQ_REMOVE(&t->socks, s, entry);
	if (s->ev != NULL)
		event_free(s->ev);
	close(s->fd);
	free(s);
}

static void
close_all(struct tcp_conns *queue)
{
	struct tcp_conn *c;

	while ((c = TAILQ_FIRST(queue)) != NULL)
		tcp_close(c, LSTAT_COUNT);
}

void
tcp_free(struct listener *l)
{
	struct tcp *t = l->tcp;
	struct tcp_sock *s;

	close_all(&t->all.idle);
	close_all(&t->all.busy);
	close_all(&t->all.stuck);
	close_all(&t->all.leaving);
	while ((s = TAILQ_FIRST(&t->socks)) != NULL)
		sock_close(t, s);
	event_free(t->next_turn);
	lazy_timer_free(&t->read_timer);
	lazy_timer_free(&t->write_timer);
	lazy_timer_free(&t->leave_timer);
	tcp_peers_free(&t->peers);
	free(t);
	l->tcp = NULL;
}

/*
 * The connection that can best be spared: one that was refused or would be,
 * else one that is idle, else one that does not take its answers, else one that
 * waits for answers which do not come.
 */
static struct tcp_conn *
least_needed(struct listener *l, const struct tcp_queues *q)
{
	struct tcp_conn *c = TAILQ_FIRST(&q->leaving);

	if (c == NULL)
		c = TAILQ_FIRST(&q->idle);
	if (c == NULL)
		c = overdue(l, &q->stuck, LISTENER_YIELD_MS);
	if (c == NULL)
		c = overdue(l, &q->busy, LISTENER_YIELD_MS);
	return c;
}

/*
 * Makes room for one more connection of a peer, which is counted already, at
 * the cost of its own if it has its share.  Where a reload has lowered a limit
 * that takes several, of which one at most is owed anything.  Returns false if
 * there is none.
 */
static bool
make_room(struct listener *l, const struct tcp_peer *peer)
{
	const struct conf_client *conf = &l->conf.client;
	bool owed = conf->max_tcp == 0, own;
	struct tcp_conn *c;

	for (;;) {
		own = peer->count > conf->max_tcp_per_client;
		if (!own && l->counters[LSTAT_tcp_open] < conf->max_tcp)
			return true;
		c = least_needed(l, own ? &peer->queues : &l->tcp->all);
		if (c == NULL || owed)
			return false;
		owed = c->waiting > 0 || c->out.data != NULL;
		tcp_close(c, LSTAT_tcp_timeout);
	}
}

/* Takes on a client; fd is consumed. */
static void
conn_new(struct listener *l, int fd, const union client_addr *addr)
{
	struct tcp_peer *peer = tcp_peer_take(&l->tcp->peers, addr);
	struct tcp_conn *c = NULL;

	if (l->draining || peer == NULL || !make_room(l, peer) ||
	    (c = calloc(1, sizeof(*c))) == NULL)
		goto fail;
	c->ev_read =
	    event_new(l->base, fd, EV_READ | EV_PERSIST, tcp_readable, c);
	if (c->ev_read == NULL || event_add(c->ev_read, NULL) == -1)
		goto fail;
	c->listener = l;
	c->fd = fd;
	c->peer = *addr;
	c->peer_of = peer;
	c->reading = true;
	LIST_INIT(&c->queries);
	l->counters[LSTAT_tcp_open]++;
	tcp_place(c);
	return;
fail:
	l->counters[LSTAT_tcp_refused]++;
	if (c != NULL && c->ev_read != NULL)
		event_free(c->ev_read);
	free(c);
	if (peer != NULL)
		tcp_peer_drop(peer);
	close(fd);
}

/* Accepts one client.  Returns false if there is none, or no descriptor. */
static bool
accept_one(struct tcp_sock *s)
{
	struct listener *l = s->listener;
	union client_addr peer;
	socklen_t len = sizeof(peer);
	int fd;

	memset(&peer, 0, sizeof(peer));
	fd = accept4(s->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd != -1) {
		l->counters[LSTAT_tcp_accepted]++;
		conn_new(l, fd, &peer);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
	    errno == ENOMEM) {
		listener_pause_accept(l);
		return false;
	}
	/* Else it is about the client, which has gone already. */
	return errno != EAGAIN;
}

static void
accept_some(struct tcp_sock *s, unsigned int most)
{
	while (most > 0 && accept_one(s))
		most--;
}

static void
tcp_acceptable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	accept_some(arg, TCP_ACCEPTS);
}

static struct tcp_sock *
sock_find(struct listener *l, uint32_t id)
{
	struct tcp_sock *s;

	TAILQ_FOREACH (s, &l->tcp->socks, entry)
		if (s->id == id)
			return s;
	return NULL;
}

bool
tcp_has(struct listener *l, uint32_t id)
{
	return sock_find(l, id) != NULL;
}

int
tcp_open(struct listener *l, const struct msg_listen *ml, int fd)
{
	struct tcp_sock *s;

	s = calloc(1, sizeof(*s));
	if (s == NULL) {
		close(fd);
		return -1;
	}
	s->listener = l;
	s->fd = fd;
	s->id = ml->id;
	TAILQ_INSERT_TAIL(&l->tcp->socks, s, entry);
	s->ev = event_new(l->base, fd, EV_READ | EV_PERSIST, tcp_acceptable, s);
	if (s->ev == NULL || event_add(s->ev, NULL) == -1) {
		sock_close(l->tcp, s);
		return -1;
	}
	return 0;
}

void
tcp_retire(struct listener *l,
    bool (*keep)(const struct conf_run *, uint32_t id),
    const struct conf_run *run)
{
	struct tcp_sock *s, *next;

	for (s = TAILQ_FIRST(&l->tcp->socks); s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (keep(run, s->id))
			continue;
		accept_some(s, TCP_LAST_ACCEPTS);
		sock_close(l->tcp, s);
	}
}

/* Who may ask may be others now. */
static void
place_again(const struct tcp_conns *queue)
{
	struct tcp_conn *c, *next;

	for (c = TAILQ_FIRST(queue); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		tcp_place(c);
	}
}

void
tcp_configure(struct listener *l)
{
	place_again(&l->tcp->all.leaving);
	place_again(&l->tcp->all.idle);
	arm_timers(l);
}

void
tcp_drain(struct listener *l)
{
	struct tcp_queues *all = &l->tcp->all;
	struct tcp_conns *queues[] = { &all->idle, &all->busy, &all->stuck,
		&all->leaving };
	struct tcp_conn *c;
	size_t i;

	for (i = 0; i < sizeof(queues) / sizeof(queues[0]); i++)
		TAILQ_FOREACH (c, queues[i], entry)
			tcp_mark_dirty(c);
}

void
tcp_resume(struct listener *l)
{
	struct tcp_conn *c;

	while ((c = TAILQ_FIRST(&l->tcp->held)) != NULL) {
		TAILQ_REMOVE(&l->tcp->held, c, held_entry);
		c->held = false;
		tcp_mark_dirty(c);
	}
}

void
tcp_accept_enable(struct listener *l, bool enable)
{
	struct tcp_sock *s;

	TAILQ_FOREACH (s, &l->tcp->socks, entry) {
		if (enable)
			loop_watch(s->ev, NULL);
		else
			(void)event_del(s->ev);
	}
}

struct inflight_list *
tcp_queries(struct tcp_conn *c)
{
	return &c->queries;
}

void
tcp_hold(struct tcp_conn *c)
{
	c->waiting++;
}

void
tcp_release(struct tcp_conn *c)
{
	c->waiting--;
	tcp_mark_dirty(c);
}

uint32_t *
tcp_transfers(struct tcp_conn *c)
{
	return &c->transfers;
}

void
tcp_break(struct tcp_conn *c)
{
	c->broken = true;
	tcp_mark_dirty(c);
}

void
tcp_close_when_sent(struct tcp_conn *c)
{
	c->closing = true;
	tcp_mark_dirty(c);
}

size_t
tcp_unsent(const struct listener *l)
{
	const struct tcp_queues *all = &l->tcp->all;
	const struct tcp_conns *queues[] = { &all->idle, &all->busy,
		&all->stuck };
	const struct tcp_conn *c;
	size_t i, pos, n = 0;

	for (i = 0; i < sizeof(queues) / sizeof(queues[0]); i++)
		TAILQ_FOREACH (c, queues[i], entry)
			for (pos = c->outcomes.pos; pos < c->outcomes.len;
			     pos++)
				n += c->outcomes.data[pos] != LSTAT_COUNT;
	return n;
}

/* Takes a connection out of the queues it is in. */
static void
leave_queues(struct tcp_conn *c)
{
	struct tcp *t = c->listener->tcp;

	TAILQ_REMOVE(c->queue, c, entry);
	TAILQ_REMOVE(c->peer_queue, c, peer_entry);
	t->nleaving -= c->queue == &t->all.leaving;
}

void
tcp_close(struct tcp_conn *c, enum listener_counter why)
{
	struct listener *l = c->listener;
	struct tcp *t = l->tcp;
	struct inflight_slot *s;

	if (why != LSTAT_COUNT)
		l->counters[why]++;
	l->counters[LSTAT_tcp_open]--;
	while ((s = LIST_FIRST(&c->queries)) != NULL)
		query_abandon(l, s);
	for (; c->outcomes.pos < c->outcomes.len; c->outcomes.pos++)
		if (c->outcomes.data[c->outcomes.pos] != LSTAT_COUNT)
			listener_count_out(l, LSTAT_dropped_send);
	tcp_buf_free(t, &c->in);
	tcp_buf_free(t, &c->out);
	tcp_buf_free(t, &c->outcomes);
	leave_queues(c);
	tcp_peer_drop(c->peer_of);
	if (c->dirty)
		TAILQ_REMOVE(&t->dirty, c, dirty_entry);
	if (c->held)
		TAILQ_REMOVE(&t->held, c, held_entry);
	if (c->more)
		TAILQ_REMOVE(&t->more, c, more_entry);
	event_free(c->ev_read);
	if (c->ev_write != NULL)
		event_free(c->ev_write);
	close(c->fd);
	free(c);
}

void
tcp_mark_dirty(struct tcp_conn *c)
{
	if (c->dirty)
		return;
	TAILQ_INSERT_TAIL(&c->listener->tcp->dirty, c, dirty_entry);
	c->dirty = true;
}

void
tcp_place(struct tcp_conn *c)
{
	struct listener *l = c->listener;
	struct tcp_queues *all = &l->tcp->all, *own = &c->peer_of->queues;
	struct tcp_conns *queue = &all->idle, *peer_queue = &own->idle;
	bool moves = c->active;

	/*
	 * Time starts anew with a whole message, not with its bytes (RFC 7766
	 * 6.2.3), and with bytes the client took, not with more queries.
	 */
	if (c->out.data != NULL) {
		queue = &all->stuck;
		peer_queue = &own->stuck;
		moves = c->progress;
	} else if (c->waiting > 0) {
		queue = &all->busy;
		peer_queue = &own->busy;
	} else if (c->leaving || !acl_admits(&l->acl, &c->peer.sa)) {
		queue = &all->leaving;
		peer_queue = &own->leaving;
	}
	c->active = c->progress = false;
	if (c->queue == queue && !moves)
		return;
	if (c->queue != NULL)
		leave_queues(c);
	TAILQ_INSERT_TAIL(queue, c, entry);
	TAILQ_INSERT_TAIL(peer_queue, c, peer_entry);
	l->tcp->nleaving += queue == &l->tcp->all.leaving;
	c->queue = queue;
	c->peer_queue = peer_queue;
	c->since_ms = listener_now(l);
	arm_timers(l);
}

/* The connection that holds memory for longest without moving on. */
static struct tcp_conn *
worst_holder(struct tcp *t)
{
	struct tcp_conn *c = TAILQ_FIRST(&t->all.stuck);

	if (c != NULL)
		return c;
	TAILQ_FOREACH (c, &t->all.leaving, entry)
		if (c->in.data != NULL)
			return c;
	TAILQ_FOREACH (c, &t->all.idle, entry)
		if (c->in.data != NULL)
			return c;
	TAILQ_FOREACH (c, &t->all.busy, entry)
		if (c->in.data != NULL)
			return c;
	return NULL;
}

void
tcp_turn_end(struct listener *l)
{
	const struct timeval at_once = { 0 };
	struct tcp *t = l->tcp;
	struct tcp_conn *c;

	/* One may become dirty again; by what it has kept, which is finite. */
	while ((c = TAILQ_FIRST(&t->dirty)) != NULL) {
		TAILQ_REMOVE(&t->dirty, c, dirty_entry);
		c->dirty = false;
		tcp_io_turn(c);
	}
	while (t->bytes > TCP_BYTES_MAX && (c = worst_holder(t)) != NULL)
		tcp_close(c, LSTAT_tcp_error);
	t->turn++;
	if (!TAILQ_EMPTY(&t->more))
		(void)event_add(t->next_turn, &at_once);
	while ((c = TAILQ_FIRST(&t->more)) != NULL) {
		TAILQ_REMOVE(&t->more, c, more_entry);
		c->more = false;
		tcp_mark_dirty(c);
	}
}
