/* SPDX-License-Identifier: ISC */
/*
 * Children that hang: stopped, in an endless loop, or waiting for what never
 * comes.  Runs in the parent, which asks each of them for a sign of life every
 * few seconds and ends one that owes it for too long; the usual way makes a new
 * one.  It must never end one for what is the parent's own or the machine's
 * fault: intervals in which the parent was late itself count for nothing.
 */
#include "dotproxy/parent/parent.h"

#include <stdio.h>

#include <event2/event.h>

#include "common/log.h"
#include "common/util.h"

#define PULSE_MS 3000
/* By more than that, it was the parent that did not run. */
#define PULSE_SLACK_MS 1000
/* So many intervals without a sign of life are too many: */
#define PULSE_MISSED_MAX 3
#define PULSE_START_MAX 20 /* before it is confined, and says so */

/* Returns true, once, if the child has been silent for so many intervals. */
static bool
is_overdue(struct child *c, bool on_time, uint32_t most)
{
	if (!on_time)
		c->missed = 0;
	else if (c->missed < most && ++c->missed == most)
		return true;
	return false;
}

static void
child_ask(struct child *c, bool on_time)
{
	char why[64];

	if (c->state == CHILD_STARTING) {
		if (is_overdue(c, on_time, PULSE_START_MAX))
			proc_kill(c, "does not get ready");
		return;
	}
	if (c->state != CHILD_READY)
		return;
	if (c->pinged && is_overdue(c, on_time, PULSE_MISSED_MAX)) {
		(void)snprintf(why, sizeof(why),
		    "hangs: no sign of life in %d seconds",
		    PULSE_MISSED_MAX * PULSE_MS / 1000);
		proc_kill(c, why);
		return;
	}
	c->pinged = true; /* no room for more: it has not read what is there */
	if (imsg_send_empty(&c->chan, MSG_PX_PING, 0, -1))
		c->pings++;
}

void
pulse_turn(struct parent *parent, uint64_t now_ms)
{
	bool on_time = now_ms - parent->pulse_ms <= PULSE_MS + PULSE_SLACK_MS;
	uint32_t i;

	parent->pulse_ms = now_ms;
	for (i = 0; i < parent->npairs; i++) {
		child_ask(&parent->pairs[i]->listener, on_time);
		child_ask(&parent->pairs[i]->pool, on_time);
	}
}

int
pulse_on_pong(void *arg, struct imsg *m)
{
	struct child *c = arg;

	(void)m;
	if (c->pings == 0)
		return -1; /* nobody asked, so it could go on for ever */
	c->pings--;
	c->missed = 0;
	c->pinged = false;
	return 0;
}

void
pulse_begin(struct child *c)
{
	c->pings = c->missed = 0;
	c->pinged = false;
}

static void
pulse_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pulse_turn(arg, util_now_ms());
}

void
pulse_start(struct parent *parent)
{
	const struct timeval tv = { .tv_sec = PULSE_MS / 1000,
		.tv_usec = PULSE_MS % 1000 * 1000 };

	parent->pulse_ms = util_now_ms();
	parent->pulse =
	    event_new(parent->base, -1, EV_PERSIST, pulse_due, parent);
	if (parent->pulse == NULL || event_add(parent->pulse, &tv) == -1)
		fatalx("cannot start a timer");
}
