/* SPDX-License-Identifier: ISC */
/*
 * The listener as a whole: the channel to the parent, the turn of the loop,
 * time and counters.  All output of a turn leaves at its end, together: UDP
 * answers, TCP answers, then the link and the parent, with one system call
 * each.  A violation by the parent is fatal; one by anybody else never is.
 */
#include <event2/event.h>

#include "common/child.h"
#include "common/log.h"
#include "common/loop.h"
#include "dotproxy/listener/listener.h"

static int
on_link_out(void *arg, struct imsg *m)
{
	struct listener *l = arg;

	if (l->link_out != -1)
		return -1;
	l->link_out = imsg_take_fd(m);
	return 0;
}

static int
on_link(void *arg, struct imsg *m)
{
	struct listener *l = arg;
	struct imsg_ends ends = { .out = l->link_out };

	if (l->link_out == -1)
		return -1;
	l->link_out = -1;
	ends.in = imsg_take_fd(m);
	link_open(l, m->id, &ends);
	return 0;
}

static int
on_log_level(void *arg, struct imsg *m)
{
	uint8_t level;

	(void)arg;
	if (msg_read_u8(m, &level, LOG_LEVEL_COUNT) == -1)
		return -1;
	log_set_level((enum log_level)level);
	return 0;
}

static int
on_ping(void *arg, struct imsg *m)
{
	struct listener *l = arg;

	(void)m;
	(void)imsg_send_empty(&l->parent, MSG_XP_PONG, 0, -1);
	return 0;
}

static void
last_call(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	l->last_call.due_ms = 0;
	l->finishing = true;
}

/*
 * What is not read yet stays in the sockets, for whoever has them next.  A TCP
 * connection does not: who has just connected may still ask.
 */
static int
on_finish(void *arg, struct imsg *m)
{
	struct listener *l = arg;

	(void)m;
	if (l->ending)
		return 0;
	l->ending = true;
	tcp_accept_enable(l, false);
	if (l->counters[LSTAT_tcp_open] == 0)
		l->finishing = true;
	else
		lazy_timer_arm(&l->last_call, listener_now(l),
		    listener_now(l) + LISTENER_LAST_CALL_MS);
	return 0;
}

static int
on_change(void *arg, struct imsg *m)
{
	struct listener *l = arg;
	uint8_t change;

	if (msg_read_u8(m, &change, CHANGE_COUNT) == -1 || m->id != 0 ||
	    (change != CHANGE_DRAIN && change != CHANGE_UNDRAIN))
		return -1;
	l->draining = change == CHANGE_DRAIN;
	if (l->draining)
		tcp_drain(l);
	return 0;
}

static int
on_info(void *arg, struct imsg *m)
{
	control_relay(arg, ROLE_PARENT, m);
	return 0;
}

static int
on_info_end(void *arg, struct imsg *m)
{
	struct msg_result res;

	if (msg_read_result(m, &res) == -1)
		return -1;
	control_end(arg, ROLE_PARENT, m->id, res.ok, res.text);
	return 0;
}

/* What is accepted from the parent. */
static const struct imsg_rule parent_rules[IMSG_TYPES_MAX] = {
	[MSG_PX_CONF_BEGIN] = { config_on_begin, 0, 0, PHASE_NORMAL,
	    IMSG_FD_NONE },
	[MSG_PL_CLIENT] = { config_on_client, 1, 64, PHASE_CONF, IMSG_FD_NONE },
	[MSG_PL_LISTEN] = { config_on_listen, 1, 64, PHASE_CONF,
	    IMSG_FD_OPTIONAL },
	[MSG_PL_ALLOW] = { config_on_allow, 1, 4096, PHASE_CONF, IMSG_FD_NONE },
	[MSG_PL_CONTROL] = { config_on_control, 0, 0, PHASE_CONF,
	    IMSG_FD_REQUIRED },
	[MSG_PL_UPSTREAM] = { config_on_upstream, 1, 128, PHASE_CONF,
	    IMSG_FD_NONE },
	[MSG_PL_STATSD] = { config_on_statsd, 15, 15, PHASE_CONF,
	    IMSG_FD_REQUIRED },
	[MSG_PX_CONF_END] = { config_on_end, 0, 0, PHASE_CONF, IMSG_FD_NONE },
	[MSG_PX_LINK_OUT] = { on_link_out, 0, 0, PHASE_ANY, IMSG_FD_REQUIRED },
	[MSG_PX_LINK] = { on_link, 0, 0, PHASE_ANY, IMSG_FD_REQUIRED },
	[MSG_PX_LOG_LEVEL] = { on_log_level, 1, 1, PHASE_ANY, IMSG_FD_NONE },
	[MSG_PX_CHANGE] = { on_change, 1, 1, PHASE_ANY, IMSG_FD_NONE },
	[MSG_PX_PING] = { on_ping, 0, 0, PHASE_ANY, IMSG_FD_NONE },
	[MSG_PL_FINISH] = { on_finish, 0, 0, PHASE_ANY, IMSG_FD_NONE },
	[MSG_INFO_PROCESS] = { on_info, 1, MSG_INFO_MAX, PHASE_ANY,
	    IMSG_FD_NONE },
	[MSG_INFO_TEXT] = { on_info, 1, MSG_TEXT_MAX, PHASE_ANY, IMSG_FD_NONE },
	[MSG_INFO_END] = { on_info_end, 1, MSG_INFO_MAX, PHASE_ANY,
	    IMSG_FD_NONE },
};

const struct imsg_chan_opts *
listener_parent_opts(void)
{
	static const struct imsg_chan_opts opts = {
		.rules = parent_rules,
		.in_cap = MSG_PARENT_BUF,
		.out_cap = MSG_PARENT_BUF,
		.phase = PHASE_NORMAL,
		.fdpass = true,
		.on_down = child_parent_down,
	};

	return &opts;
}

static void
accept_retry(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	l->accept_retry.due_ms = 0;
	tcp_accept_enable(l, !l->ending);
	control_accept_enable(l, true);
}

/* The end of the turn does the rest. */
static void
pause_end(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	l->pause_end.due_ms = 0;
	if (l->paused)
		lazy_timer_arm(
		    &l->pause_end, listener_now(l), l->pause_until_ms);
}

void
listener_init(struct listener *l, struct event_base *base)
{
	struct conf_client client = CONF_CLIENT_DEFAULT;
	struct rng rng = { .left = 0 };

	l->base = base;
	l->link.fd = l->link_out = -1;
	l->conf.client = client;
	l->conf.query_timeout_ms = 1000;
	l->started_ms = listener_now(l);
	keyhash_draw(&l->hash, &rng);
	if (rate_init(&l->rate, &rng) == -1 ||
	    inflight_init(&l->inflight, client.max_inflight) == -1 ||
	    prefixes_init(&l->prefixes, client.max_inflight, &rng) == -1)
		fatalx("out of memory");
	shed_set_limit(&l->shed, l->inflight.limit);
	turns_init(&l->turns);
	lazy_timer_init(&l->turn, base, link_turn_due, l);
	lazy_timer_init(&l->deadline, base, query_deadline, l);
	lazy_timer_init(&l->accept_retry, base, accept_retry, l);
	lazy_timer_init(&l->pause_end, base, pause_end, l);
	lazy_timer_init(&l->last_call, base, last_call, l);
	udp_init(l);
	tcp_init(l);
	control_init(l);
	l->parent.arg = l;
	if (imsg_attach(&l->parent, base) == -1)
		fatalx("out of memory");
}

void
listener_free(struct listener *l)
{
	config_run_free(l->run);
	l->run = NULL;
	control_free(l);
	statsd_free(l);
	tcp_free(l); /* takes its queries along */
	udp_free(l);
	inflight_clear(&l->inflight);
	busiest_free(l->busiest);
	prefixes_clear(&l->prefixes);
	rate_clear(&l->rate);
	acl_clear(&l->acl);
	lazy_timer_free(&l->deadline);
	lazy_timer_free(&l->turn);
	lazy_timer_free(&l->accept_retry);
	lazy_timer_free(&l->pause_end);
	lazy_timer_free(&l->last_call);
	imsg_close(&l->link);
	imsg_close(&l->parent);
}

/* Tells the parent what there has been no room for. */
static void
parent_pay(struct listener *l)
{
	if (l->owe_conf_done && msg_send_result(&l->parent, MSG_XP_CONF_DONE,
				    l->owed_generation, true, NULL))
		l->owe_conf_done = false;
	if (l->owe_link_down &&
	    imsg_send_empty(&l->parent, MSG_XP_LINK_DOWN, l->owed_link_id, -1))
		l->owe_link_down = false;
}

static bool
link_is_congested(const struct listener *l)
{
	return imsg_is_open(&l->link) && imsg_congested(&l->link);
}

/* Reads clients again when the link has room, or when it has had its time. */
static void
check_pause(struct listener *l)
{
	bool congested = link_is_congested(l);

	if (!congested)
		l->pause_over = false;
	if (!l->paused || l->finishing ||
	    (congested && listener_now(l) < l->pause_until_ms))
		return;
	l->paused = false;
	l->pause_over = congested;
	udp_resume(l);
	tcp_resume(l);
}

bool
listener_turn_end(struct listener *l)
{
	if (l->link_broken)
		link_drop(l);
	link_send_waiting(l);
	check_pause(l);
	udp_turn_end(l);
	tcp_turn_end(l); /* may find more queries in what it has kept */
	control_turn_end(l);
	(void)imsg_flush(&l->link); /* on_down has the failure */
	if (l->link_broken)
		link_drop(l);
	parent_pay(l);
	(void)imsg_flush(&l->parent);
	l->in_turn = false;
	return !l->finishing || l->counters[LSTAT_in_flight] > 0;
}

uint64_t
listener_now(struct listener *l)
{
	if (!l->in_turn) {
		l->now_us = util_now_us();
		l->now_ms = l->now_us / 1000;
		l->in_turn = true;
	}
	return l->now_ms;
}

bool
listener_check_pressure(struct listener *l)
{
	uint64_t now_ms = listener_now(l);

	if (l->finishing)
		return true;
	if (l->paused || l->pause_over || !link_is_congested(l))
		return l->paused;
	(void)imsg_flush(&l->link);
	if (!link_is_congested(l))
		return false;
	l->paused = true;
	l->pause_until_ms = now_ms + LISTENER_PAUSE_MS;
	lazy_timer_arm(&l->pause_end, now_ms, l->pause_until_ms);
	return true;
}

void
listener_pause_accept(struct listener *l)
{
	uint64_t now_ms = listener_now(l);

	tcp_accept_enable(l, false);
	control_accept_enable(l, false);
	lazy_timer_arm(
	    &l->accept_retry, now_ms, now_ms + LISTENER_ACCEPT_PAUSE_MS);
}

uint64_t
listener_in_flight(const struct listener *l)
{
	return l->inflight.count - l->inflight.count_gone + udp_unsent(l) +
	       tcp_unsent(l);
}

void
listener_count_in(struct listener *l, enum listener_counter transport)
{
	l->counters[transport]++;
	l->counters[LSTAT_in_flight]++;
}

void
listener_count_out(struct listener *l, enum listener_counter outcome)
{
	l->counters[outcome]++;
	if (outcome == LSTAT_truncated) /* is an answer, too */
		l->counters[LSTAT_answered]++;
	l->counters[LSTAT_in_flight]--;
}

void
lazy_timer_init(struct lazy_timer *t, struct event_base *base,
    void (*cb)(int fd, short what, void *arg), void *arg)
{
	t->due_ms = 0;
	t->ev = evtimer_new(base, cb, arg);
	if (t->ev == NULL)
		fatalx("out of memory");
}

void
lazy_timer_free(struct lazy_timer *t)
{
	if (t->ev != NULL)
		event_free(t->ev);
	t->ev = NULL;
	t->due_ms = 0;
}

void
lazy_timer_arm(struct lazy_timer *t, uint64_t now_ms, uint64_t due_ms)
{
	struct timeval tv;
	uint64_t ms;

	if (t->due_ms != 0 && t->due_ms <= due_ms)
		return;
	/* The loop's clock is coarse: rather a little late than in vain. */
	ms = due_ms > now_ms ? due_ms - now_ms : 1;
	tv.tv_sec = (time_t)(ms / 1000);
	tv.tv_usec = (suseconds_t)(ms % 1000 * 1000);
	loop_watch(t->ev, &tv);
	t->due_ms = due_ms;
}
