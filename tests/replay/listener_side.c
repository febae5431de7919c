/* SPDX-License-Identifier: ISC */
/*
 * The listener in a replay, see world.h: all of it, and what has to be true of
 * it between any two turns.  A test's; it looks and does not touch.
 */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "dotproxy/listener/listener.h"
#include "tests/replay/world.h"
#include "tests/support/ended.h"
#include "tests/support/listener_tables.h"

void
listener_side_start(struct world *w, int parent_fd)
{
	w->listener = calloc(1, sizeof(*w->listener));
	if (w->listener == NULL)
		abort();
	w->listener_base = event_base_new();
	if (imsg_open(
		&w->listener->parent, parent_fd, listener_parent_opts()) == -1)
		abort();
	listener_init(w->listener, w->listener_base);
	(void)listener_turn_end(w->listener);
}

void
listener_side_stop(struct world *w)
{
	listener_free(w->listener);
	free(w->listener);
	w->listener = NULL;
	event_base_free(w->listener_base);
	w->listener_base = NULL;
}

bool
listener_side_turn(struct world *w)
{
	if (w->listener == NULL || !vevent_ready(w->listener_base))
		return false;
	(void)event_base_loop(w->listener_base, EVLOOP_ONCE);
	(void)listener_turn_end(w->listener);
	return true;
}

static void
same(struct world *w, const char *what, uint64_t is, uint64_t should)
{
	if (is != should)
		world_fail(w, "listener: %s is %llu, counted %llu", what,
		    (unsigned long long)is, (unsigned long long)should);
}

/* Who waits for a turn is in one line, its client's, and nowhere else. */
static void
check_turns(struct world *w)
{
	const struct listener *l = w->listener;
	const struct turns *t = &l->turns;
	const struct inflight_slot *s;
	const struct prefix *p;
	uint64_t lined = 0, n = 0, nlines = 0, mine;

	for (s = inflight_first(&l->inflight); s != NULL; s = inflight_next(s))
		lined += s->lined;
	TAILQ_FOREACH (p, &t->ring, turn) {
		nlines++;
		mine = 0;
		TAILQ_FOREACH (s, &p->line, wait) {
			mine++;
			if (!s->used || !s->lined || s->waiting || s->sent ||
			    s->transfer || s->prefix != p)
				world_fail(w, "listener: a line is wrong");
		}
		same(w, "a line", p->nline, mine);
		n += mine;
	}
	same(w, "lines", t->nlines, nlines);
	same(w, "queries in line", t->n, n);
	same(w, "queries that say so", lined, n);
	if (n > 0 && l->turn.due_ms == 0)
		world_fail(w, "listener: nobody looks after the lines");
	if (t->window.size < WINDOW_MIN)
		world_fail(w, "listener: the window is too small");
}

void
listener_side_check(struct world *w)
{
	struct listener *l = w->listener;
	const struct inflight_slot *s;
	uint64_t n = 0, last_ms = 0;
	const char *wrong;
	const uint64_t *c;

	if (l == NULL || w->failed)
		return;
	c = l->counters;
	same(w, "what came", c[LSTAT_queries_udp] + c[LSTAT_queries_tcp],
	    ended_in_listener(c) + c[LSTAT_in_flight]);
	same(w, "in flight", c[LSTAT_in_flight], listener_in_flight(l));
	if (c[LSTAT_bad_answers] != 0)
		world_fail(w, "the pool has answered another question");
	for (s = inflight_first(&l->inflight); s != NULL;
	     s = inflight_next(s)) {
		n++;
		if (s->deadline_ms < last_ms)
			world_fail(w, "listener: deadlines are out of order");
		last_ms = s->deadline_ms;
	}
	same(w, "the table", l->inflight.count, n);
	wrong = listener_tables_wrong(l);
	if (wrong != NULL)
		world_fail(w, "listener: %s", wrong);
	check_turns(w);
}

void
listener_side_check_idle(struct world *w)
{
	same(w, "queries held", w->listener->inflight.count, 0);
	same(w, "in flight", w->listener->counters[LSTAT_in_flight], 0);
}

#define NAME(name, text) #name,
static const char *const counter_names[] = { LISTENER_COUNTERS(NAME) };
#undef NAME

bool
listener_side_counter(struct world *w, const char *name, uint64_t *value)
{
	unsigned int i;

	if (w->listener == NULL)
		return false;
	for (i = 0; i < LSTAT_COUNT; i++)
		if (strcmp(counter_names[i], name) == 0) {
			*value = w->listener->counters[i];
			return true;
		}
	return false;
}
