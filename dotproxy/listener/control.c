/* SPDX-License-Identifier: ISC */
/*
 * The control socket: serves dotproxyctl.  Runs in the listener, which has
 * the least to lose: a request is answered from our own counters, and by the
 * pool and the parent, whose INFO messages are passed on.  A client is known
 * to them by a handle made here, never by what it wrote.  Nothing that a
 * client sends reaches the parent but the kind of its request, and what
 * changes something is let through one at a time; how often, the parent says.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/log.h"
#include "common/loop.h"
#include "dotproxy/listener/listener.h"

#define CONTROL_CLIENTS 16
#define CONTROL_IN_CAP 4096
/* To send a request, or to take the last reply. */
#define CONTROL_IDLE_MS 5000
/* For the others to answer; a reload takes its time. */
#define CONTROL_SHOW_MS 2000
#define CONTROL_CHANGE_MS 15000

struct control_client {
	struct listener *listener;
	struct imsg_chan chan;
	uint32_t generation; /* never 0; a new one for each client */
	bool open;
	bool dead;           /* to be closed at the end of the turn */
	bool busy;           /* a request is being answered */
	uint64_t request_id; /* what the client calls it */
	uint32_t waiting;    /* bits of enum info_role: who has to answer */
	bool ok;
	const char *text; /* why not ok; NULL if it is */
	uint64_t deadline_ms;
};

struct control {
	struct event *ev; /* NULL while there is no socket */
	int fd;
	struct control_client clients[CONTROL_CLIENTS];
	size_t nclients;
	struct lazy_timer timer; /* of the first deadline */
	uint64_t change_handle;  /* of the change under way; 0 if none */
	uint64_t change_until_ms;
};

/* What is asked of whom. */
static const struct {
	bool counters; /* ours */
	bool hists;    /* ours */
	bool pool;
	uint16_t parent; /* message type; MSG_NONE: nothing */
} shows[SHOW_COUNT] = {
	[SHOW_SUMMARY] = { true, false, true, MSG_LP_PROCESSES },
	[SHOW_POOL] = { false, false, true, MSG_NONE },
	[SHOW_STATS] = { true, false, true, MSG_NONE },
	[SHOW_PROCESSES] = { false, false, false, MSG_LP_PROCESSES },
	[SHOW_PINS] = { false, false, true, MSG_NONE },
	[SHOW_ERRORS] = { true, false, true, MSG_NONE },
	[SHOW_CLIENTS] = { false, false, false, MSG_NONE },
	[SHOW_LATENCY] = { true, true, true, MSG_NONE },
	[SHOW_CONFIG] = { false, false, false, MSG_LP_CONFIG },
	[SHOW_ALL] = { true, true, true, MSG_LP_PROCESSES },
};

static uint64_t
client_handle(const struct control_client *c)
{
	size_t index = (size_t)(c - c->listener->control->clients);

	return (uint64_t)c->generation << 32 | index;
}

/* Returns the client whose request this is about; NULL if it has gone. */
static struct control_client *
client_find(struct listener *l, uint64_t handle)
{
	uint32_t index = (uint32_t)handle;
	struct control_client *c;

	if (index >= CONTROL_CLIENTS)
		return NULL;
	c = &l->control->clients[index];
	if (!c->open || c->dead || !c->busy ||
	    c->generation != (uint32_t)(handle >> 32))
		return NULL;
	return c;
}

static void
set_deadline(struct control_client *c, uint32_t timeout_ms)
{
	struct listener *l = c->listener;
	uint64_t now_ms = listener_now(l);

	c->deadline_ms = now_ms + timeout_ms;
	lazy_timer_arm(&l->control->timer, now_ms, c->deadline_ms);
}

static void
client_begin(struct control_client *c, uint64_t request_id, uint32_t timeout_ms)
{
	c->busy = true;
	c->request_id = request_id;
	c->waiting = 0;
	c->ok = true;
	c->text = NULL;
	set_deadline(c, timeout_ms);
}

/* Notes the first reason why the reply is not complete. */
static void
client_fail(struct control_client *c, const char *text)
{
	if (c->ok)
		c->text = text;
	c->ok = false;
}

/* Ends the reply if nobody has to answer any more. */
static void
client_end(struct control_client *c, const char *text)
{
	if (c->waiting != 0)
		return;
	c->busy = false;
	set_deadline(c, CONTROL_IDLE_MS);
	if (!msg_send_result(
		&c->chan, MSG_INFO_END, c->request_id, c->ok, text))
		c->dead = true; /* it does not read */
}

static void
send_counters(struct control_client *c)
{
	struct listener *l = c->listener;
	struct info_counters info;

	memset(&info, 0, sizeof(info));
	info.source = SOURCE_LISTENER;
	info.uptime_ms = listener_now(l) - l->started_ms;
	info.n = LSTAT_COUNT;
	memcpy(info.values, l->counters, sizeof(l->counters));
	/* Not the counter: so who adds up finds a query that was miscounted. */
	info.values[LSTAT_in_flight] = listener_in_flight(l);
	if (!msg_send_u8(&c->chan, MSG_INFO_LISTENER, c->request_id,
		l->draining ? 1 : 0) ||
	    !msg_send_info_counters(&c->chan, c->request_id, &info))
		c->dead = true;
}

static void
send_clients(struct control_client *c)
{
	struct listener *l = c->listener;

	if (l->busiest == NULL)
		client_fail(c, "\"statistics\" is not on for clients, see "
			       "dotproxy.conf(5)");
	else if (!busiest_send(l->busiest, &l->prefixes, &c->chan,
		     c->request_id, listener_now(l)))
		c->dead = true;
}

_Static_assert(INFO_CLIENTS_MAX * 128 <= MSG_CONTROL_BUF, "all are sent");
_Static_assert(LSTAT_COUNT <= INFO_COUNTERS_MAX, "too many counters");

static int
on_show(void *arg, struct imsg *m)
{
	struct control_client *c = arg;
	struct listener *l = c->listener;
	uint64_t handle = client_handle(c);
	uint8_t what;

	if (c->busy || msg_read_u8(m, &what, SHOW_COUNT) == -1)
		return -1;
	client_begin(c, m->id, CONTROL_SHOW_MS);
	if (shows[what].counters)
		send_counters(c);
	if (shows[what].hists && !metrics_send(&l->metrics, &c->chan,
				     c->request_id, listener_now(l)))
		c->dead = true;
	if (what == SHOW_CLIENTS)
		send_clients(c);
	if (shows[what].pool) {
		if (msg_send_u8(&l->link, MSG_LT_SHOW, handle, what))
			c->waiting |= 1u << ROLE_POOL;
		else
			client_fail(c, "pool process is not ready");
	}
	if (shows[what].parent != MSG_NONE) {
		if (imsg_send_empty(&l->parent, shows[what].parent, handle, -1))
			c->waiting |= 1u << ROLE_PARENT;
		else
			client_fail(c, "parent process is busy");
	}
	client_end(c, c->text);
	return 0;
}

/* Whether a change may be asked for now; NULL, or why not. */
static const char *
change_begin(struct control_client *c)
{
	struct control *ctl = c->listener->control;
	uint64_t now_ms = listener_now(c->listener);

	if (ctl->change_handle != 0 && now_ms < ctl->change_until_ms)
		return "another change is under way, try again later";
	ctl->change_handle = client_handle(c);
	ctl->change_until_ms = now_ms + CONTROL_CHANGE_MS;
	return NULL;
}

/* Ends the request if it was not passed on to the parent. */
static int
change_sent(struct control_client *c, const char *text, bool sent)
{
	if (text == NULL && !sent) {
		c->listener->control->change_handle = 0;
		text = "parent process is busy";
	}
	if (text == NULL)
		c->waiting |= 1u << ROLE_PARENT;
	else
		client_fail(c, text);
	client_end(c, c->text);
	return 0;
}

static int
on_reload(void *arg, struct imsg *m)
{
	struct control_client *c = arg;
	const char *text;

	if (c->busy)
		return -1;
	client_begin(c, m->id, CONTROL_CHANGE_MS);
	text = change_begin(c);
	return change_sent(c, text,
	    text == NULL && imsg_send_empty(&c->listener->parent, MSG_LP_RELOAD,
				client_handle(c), -1));
}

static int
on_log_level(void *arg, struct imsg *m)
{
	struct control_client *c = arg;
	const char *text;
	uint8_t level;

	if (c->busy || msg_read_u8(m, &level, LOG_LEVEL_COUNT) == -1)
		return -1;
	client_begin(c, m->id, CONTROL_CHANGE_MS);
	text = change_begin(c);
	return change_sent(c, text,
	    text == NULL && msg_send_u8(&c->listener->parent, MSG_LP_LOG_LEVEL,
				client_handle(c), level));
}

/* The index of an upstream; MSG_NO_UPSTREAM if there is none of that name. */
static uint32_t
upstream_index(const struct listener *l, const char *name)
{
	uint32_t i;

	for (i = 0; i < CONF_UPSTREAMS_MAX; i++)
		if (name[0] != '\0' && strcmp(l->upstreams[i], name) == 0)
			return i;
	return MSG_NO_UPSTREAM;
}

/* The pool tries an upstream; nothing changes, so others may ask meanwhile. */
static int
probe_request(struct control_client *c, uint32_t index)
{
	if (index == MSG_NO_UPSTREAM)
		client_fail(c, "no such upstream");
	else if (msg_send_u32(
		     &c->listener->link, MSG_LT_PROBE, client_handle(c), index))
		c->waiting |= 1u << ROLE_POOL;
	else
		client_fail(c, "pool process is not ready");
	client_end(c, c->text);
	return 0;
}

static int
on_change(void *arg, struct imsg *m)
{
	struct control_client *c = arg;
	struct msg_request req;
	const char *text = NULL;
	uint32_t index;

	if (c->busy || msg_read_request(m, &req) == -1)
		return -1;
	client_begin(c, m->id, CONTROL_CHANGE_MS);
	index = upstream_index(c->listener, req.upstream);
	if (req.change == CHANGE_PROBE)
		return probe_request(c, index);
	if (msg_change_has_upstream(req.change) && index == MSG_NO_UPSTREAM)
		text = "no such upstream";
	else
		text = change_begin(c);
	return change_sent(c, text,
	    text == NULL && msg_send_change(&c->listener->parent,
				client_handle(c), req.change, index));
}

/* What is accepted from a control client. */
static const struct imsg_rule control_rules[IMSG_TYPES_MAX] = {
	[MSG_CL_SHOW] = { on_show, 1, 1, 1, IMSG_FD_NONE },
	[MSG_CL_RELOAD] = { on_reload, 0, 0, 1, IMSG_FD_NONE },
	[MSG_CL_LOG_LEVEL] = { on_log_level, 1, 1, 1, IMSG_FD_NONE },
	[MSG_CL_CHANGE] = { on_change, 3, 3 + CONF_NAME_MAX, 1, IMSG_FD_NONE },
};

/* May be called in the middle of anything; so it only takes note. */
static void
on_down(void *arg, enum imsg_status status, const char *why)
{
	struct control_client *c = arg;

	c->dead = true;
	if (status == IMSG_VIOLATION)
		log_debug("control client: %s", why);
}

static struct control_client *
client_free_slot(struct control *ctl)
{
	size_t i;

	for (i = 0; i < CONTROL_CLIENTS; i++)
		if (!ctl->clients[i].open)
			return &ctl->clients[i];
	return NULL;
}

/* Takes on a client; fd is consumed. */
static void
client_new(struct listener *l, int fd)
{
	struct control *ctl = l->control;
	struct control_client *c = client_free_slot(ctl);
	const struct imsg_chan_opts opts = {
		.rules = control_rules,
		.in_cap = CONTROL_IN_CAP,
		.out_cap = MSG_CONTROL_BUF,
		.phase = 1,
		.arg = c,
		.on_down = on_down,
	};

	if (c == NULL) {
		close(fd);
		return;
	}
	if (imsg_open(&c->chan, fd, &opts) == -1)
		return;
	if (imsg_attach(&c->chan, l->base) == -1) {
		imsg_close(&c->chan);
		return;
	}
	c->listener = l;
	if (++c->generation == 0)
		c->generation = 1;
	c->open = true;
	c->dead = false;
	c->busy = false;
	ctl->nclients++;
	set_deadline(c, CONTROL_IDLE_MS);
}

static void
client_close(struct control_client *c)
{
	imsg_close(&c->chan);
	c->open = false;
	c->listener->control->nclients--;
}

static void
control_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	int client, i;

	(void)what;
	for (i = 0; i < CONTROL_CLIENTS; i++) {
		client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client != -1)
			client_new(l, client);
		else if (errno == EMFILE || errno == ENFILE ||
			 errno == ENOBUFS || errno == ENOMEM) {
			listener_pause_accept(l);
			return;
		} else if (errno == EAGAIN)
			return;
	}
}

/* The deadline of a client has passed, or of one that is not there now. */
static void
control_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	struct control_client *c;
	uint64_t now_ms = listener_now(l);
	size_t i;

	(void)fd;
	(void)what;
	l->control->timer.due_ms = 0;
	for (i = 0; i < CONTROL_CLIENTS; i++) {
		c = &l->control->clients[i];
		if (!c->open || c->dead)
			continue;
		if (c->deadline_ms > now_ms)
			lazy_timer_arm(
			    &l->control->timer, now_ms, c->deadline_ms);
		else if (!c->busy)
			c->dead = true;
		else {
			client_fail(c, c->waiting & 1u << ROLE_POOL
					   ? "pool process does not answer"
					   : "parent process does not answer");
			c->waiting = 0;
			client_end(c, c->text);
		}
	}
}

void
control_init(struct listener *l)
{
	l->control = calloc(1, sizeof(*l->control));
	if (l->control == NULL)
		fatalx("out of memory");
	l->control->fd = -1;
	lazy_timer_init(&l->control->timer, l->base, control_timeout, l);
}

static void
close_socket(struct control *ctl)
{
	if (ctl->ev != NULL)
		event_free(ctl->ev);
	ctl->ev = NULL;
	if (ctl->fd != -1)
		close(ctl->fd);
	ctl->fd = -1;
}

void
control_free(struct listener *l)
{
	size_t i;

	for (i = 0; i < CONTROL_CLIENTS; i++)
		if (l->control->clients[i].open)
			client_close(&l->control->clients[i]);
	close_socket(l->control);
	lazy_timer_free(&l->control->timer);
	free(l->control);
	l->control = NULL;
}

int
control_open(struct listener *l, int fd)
{
	struct control *ctl = l->control;

	close_socket(ctl);
	ctl->fd = fd;
	ctl->ev =
	    event_new(l->base, fd, EV_READ | EV_PERSIST, control_acceptable, l);
	if (ctl->ev == NULL || event_add(ctl->ev, NULL) == -1) {
		close_socket(ctl);
		return -1;
	}
	return 0;
}

void
control_accept_enable(struct listener *l, bool enable)
{
	if (l->control->ev == NULL)
		return;
	if (enable)
		loop_watch(l->control->ev, NULL);
	else
		(void)event_del(l->control->ev);
}

void
control_relay(struct listener *l, enum info_role from, struct imsg *m)
{
	struct control_client *c = client_find(l, m->id);

	if (c == NULL || (c->waiting & 1u << from) == 0)
		return;
	if (msg_relay(&c->chan, m, c->request_id))
		return;
	(void)imsg_flush(&c->chan);
	if (!msg_relay(&c->chan, m, c->request_id))
		c->dead = true; /* it does not read */
}

void
control_end(struct listener *l, enum info_role from, uint64_t handle, bool ok,
    const char *text)
{
	struct control_client *c;

	if (from == ROLE_PARENT && handle == l->control->change_handle)
		l->control->change_handle = 0;
	c = client_find(l, handle);
	if (c == NULL || (c->waiting & 1u << from) == 0)
		return;
	c->waiting &= ~(1u << from);
	if (!ok && c->waiting != 0) /* its text does not outlive this call */
		client_fail(c, from == ROLE_POOL ? "pool process failed"
						 : "parent process failed");
	else if (!ok)
		c->ok = false;
	client_end(c, c->text != NULL ? c->text : text);
}

void
control_pool_gone(struct listener *l)
{
	struct control_client *c;
	size_t i;

	for (i = 0; i < CONTROL_CLIENTS; i++) {
		c = &l->control->clients[i];
		if (!c->open || c->dead || !c->busy ||
		    (c->waiting & 1u << ROLE_POOL) == 0)
			continue;
		c->waiting &= ~(1u << ROLE_POOL);
		client_fail(c, "pool process is not ready");
		client_end(c, c->text);
	}
}

void
control_turn_end(struct listener *l)
{
	struct control_client *c;
	size_t i;

	if (l->control->nclients == 0)
		return;
	for (i = 0; i < CONTROL_CLIENTS; i++) {
		c = &l->control->clients[i];
		if (!c->open)
			continue;
		if (!c->dead)
			(void)imsg_flush(&c->chan);
		if (c->dead)
			client_close(c);
	}
}
