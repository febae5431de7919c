/* SPDX-License-Identifier: ISC */
/*
 * The clock and the event loop of a replay, see vnet.h: as much of libevent as
 * the daemon uses, over sockets in memory and a clock that is set.  A test's.
 * As libevent does, it calls those first whose sockets are ready, then timers
 * in the order in which they are due, and nobody who was taken out meanwhile.
 */
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "tests/replay/vnet.h"

#define CALLS_MAX 1024

/* Of evcb_flags. */
#define FLAG_ADDED 1
#define FLAG_TIMED 2

struct event_base {
	TAILQ_HEAD(callbacks, event_callback) added;
	struct event *active[CALLS_MAX]; /* NULL: taken out again */
	size_t nactive;
	uint64_t ncalls;
};

/* There is one clock. */
static struct {
	uint64_t now_us;
	uint64_t slept_us;
	uint32_t slack_us; /* of timers; 0: none */
} clock_state = { .now_us = 1000000000 };

int __wrap_clock_gettime(clockid_t, struct timespec *);
int __real_clock_gettime(clockid_t, struct timespec *);

uint64_t
vclock_us(void)
{
	return clock_state.now_us;
}

void
vclock_set(uint64_t us)
{
	clock_state.now_us = us;
}

void
vclock_sleep(uint64_t us)
{
	clock_state.slept_us += us;
}

uint64_t
vclock_slept_us(void)
{
	return clock_state.slept_us;
}

int
__wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	uint64_t us = clock_state.now_us;

	/* The daemon does not ask for it; who drives all this may. */
	if (clock == CLOCK_REALTIME)
		return __real_clock_gettime(clock, ts);
	if (clock == CLOCK_BOOTTIME)
		us += clock_state.slept_us;
	ts->tv_sec = (time_t)(us / 1000000);
	ts->tv_nsec = (long)(us % 1000000) * 1000;
	return 0;
}

void
vevent_set_slack(uint32_t us)
{
	clock_state.slack_us = us;
}

static struct event *
event_of(struct event_callback *cb)
{
	return (struct event *)cb; /* its first member */
}

static uint64_t
due_us(const struct event *ev)
{
	if ((ev->ev_evcallback.evcb_flags & FLAG_TIMED) == 0)
		return VNET_NEVER;
	return (uint64_t)ev->ev_timeout.tv_sec * 1000000 +
	       (uint64_t)ev->ev_timeout.tv_usec;
}

static short
ready_for(const struct event *ev)
{
	short what = 0;

	if ((ev->ev_events & EV_READ) != 0 && vnet_is_readable(ev->ev_fd))
		what |= EV_READ;
	if ((ev->ev_events & EV_WRITE) != 0 && vnet_is_writable(ev->ev_fd))
		what |= EV_WRITE;
	return what;
}

struct event_base *
event_base_new(void)
{
	struct event_base *base = calloc(1, sizeof(*base));

	if (base == NULL)
		abort();
	TAILQ_INIT(&base->added);
	return base;
}

void
event_base_free(struct event_base *base)
{
	free(base);
}

int
event_assign(struct event *ev, struct event_base *base, evutil_socket_t fd,
    short events, event_callback_fn cb, void *arg)
{
	struct event none = { .ev_fd = fd };

	*ev = none;
	ev->ev_base = base;
	ev->ev_events = events;
	ev->ev_evcallback.evcb_cb_union.evcb_callback = cb;
	ev->ev_evcallback.evcb_arg = arg;
	return 0;
}

struct event *
event_new(struct event_base *base, evutil_socket_t fd, short events,
    event_callback_fn cb, void *arg)
{
	struct event *ev = malloc(sizeof(*ev));

	if (ev != NULL)
		(void)event_assign(ev, base, fd, events, cb, arg);
	return ev;
}

void
event_free(struct event *ev)
{
	(void)event_del(ev);
	free(ev);
}

int
event_add(struct event *ev, const struct timeval *tv)
{
	struct event_callback *cb = &ev->ev_evcallback;
	uint64_t us;

	if ((cb->evcb_flags & FLAG_ADDED) == 0)
		TAILQ_INSERT_TAIL(&ev->ev_base->added, cb, evcb_active_next);
	cb->evcb_flags |= FLAG_ADDED;
	if (tv == NULL)
		return 0;
	us = clock_state.now_us + (uint64_t)tv->tv_sec * 1000000 +
	     (uint64_t)tv->tv_usec;
	if (clock_state.slack_us > 0)
		us += vnet_random(clock_state.slack_us);
	ev->ev_timeout.tv_sec = (time_t)(us / 1000000);
	ev->ev_timeout.tv_usec = (suseconds_t)(us % 1000000);
	cb->evcb_flags |= FLAG_TIMED;
	return 0;
}

int
event_del(struct event *ev)
{
	struct event_callback *cb = &ev->ev_evcallback;
	struct event_base *base = ev->ev_base;
	size_t i;

	if ((cb->evcb_flags & FLAG_ADDED) == 0)
		return 0;
	TAILQ_REMOVE(&base->added, cb, evcb_active_next);
	cb->evcb_flags = 0;
	for (i = 0; i < base->nactive; i++)
		if (base->active[i] == ev)
			base->active[i] = NULL;
	return 0;
}

int
event_pending(const struct event *ev, short events, struct timeval *tv)
{
	(void)tv;
	return (events & EV_TIMEOUT) != 0 && due_us(ev) != VNET_NEVER;
}

uint64_t
vevent_next(const struct event_base *base)
{
	uint64_t next = VNET_NEVER, us;
	struct event_callback *cb;

	TAILQ_FOREACH (cb, &base->added, evcb_active_next) {
		us = due_us(event_of(cb));
		if (us < next)
			next = us;
	}
	return next;
}

bool
vevent_ready(const struct event_base *base)
{
	struct event_callback *cb;

	TAILQ_FOREACH (cb, &base->added, evcb_active_next)
		if (ready_for(event_of(cb)) != 0 ||
		    due_us(event_of(cb)) <= clock_state.now_us)
			return true;
	return false;
}

uint64_t
vevent_calls(const struct event_base *base)
{
	return base->ncalls;
}

/* Notes who is to be called: sockets as they come, timers by time. */
static void
collect(struct event_base *base)
{
	struct event_callback *cb;
	struct event *ev;
	size_t first, i;

	base->nactive = 0;
	TAILQ_FOREACH (cb, &base->added, evcb_active_next) {
		ev = event_of(cb);
		ev->ev_res = ready_for(ev);
		if (ev->ev_res != 0 && base->nactive < CALLS_MAX)
			base->active[base->nactive++] = ev;
	}
	first = base->nactive;
	TAILQ_FOREACH (cb, &base->added, evcb_active_next) {
		ev = event_of(cb);
		if (ev->ev_res != 0 || due_us(ev) > clock_state.now_us ||
		    base->nactive == CALLS_MAX)
			continue;
		ev->ev_res = EV_TIMEOUT;
		for (i = base->nactive++;
		     i > first && due_us(base->active[i - 1]) > due_us(ev); i--)
			base->active[i] = base->active[i - 1];
		base->active[i] = ev;
	}
}

int
event_base_loop(struct event_base *base, int flags)
{
	struct event *ev;
	size_t i;

	(void)flags;
	collect(base);
	for (i = 0; i < base->nactive; i++) {
		ev = base->active[i];
		if (ev == NULL)
			continue;
		base->active[i] = NULL;
		if ((ev->ev_events & EV_PERSIST) == 0)
			(void)event_del(ev);
		base->ncalls++;
		ev->ev_evcallback.evcb_cb_union.evcb_callback(
		    ev->ev_fd, ev->ev_res, ev->ev_evcallback.evcb_arg);
	}
	base->nactive = 0;
	return 0;
}
