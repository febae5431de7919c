/* SPDX-License-Identifier: ISC */
/*
 * The event loop, and what it cannot do without.  libevent's functions fail
 * when memory is short or the kernel watches too much for our user already
 * (fs.epoll.max_user_watches); what is not watched is forgotten for ever.
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <event2/event.h>

#include "common/log.h"

/* libevent would write to standard error, which no filter allows. */
static inline void
loop_log(int severity, const char *msg)
{
	if (severity == EVENT_LOG_WARN || severity == EVENT_LOG_ERR)
		log_warnx("libevent: %s", msg);
}

static inline void
loop_fatal(int err)
{
	fatalx("libevent: error %d", err);
}

/*
 * A loop, or NULL.  Without epoll libevent would take what else there is: calls
 * that the filters do not have, at the first of which the process was killed.
 */
static inline struct event_base *
loop_new(void)
{
	struct event_config *cfg;
	struct event_base *base = NULL;

	event_set_log_callback(loop_log);
	event_set_fatal_callback(loop_fatal);
	cfg = event_config_new();
	if (cfg != NULL && event_config_avoid_method(cfg, "poll") == 0 &&
	    event_config_avoid_method(cfg, "select") == 0)
		base = event_base_new_with_config(cfg);
	if (cfg != NULL)
		event_config_free(cfg);
	return base;
}

/*
 * Watches what the process cannot do without; exits if that is impossible.
 * Who has been started anew has a chance, who has forgotten a timer has none.
 */
static inline void
loop_watch(struct event *ev, const struct timeval *tv)
{
	if (event_add(ev, tv) == -1)
		fatal("event loop: cannot watch");
}

#endif
