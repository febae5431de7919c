/* SPDX-License-Identifier: ISC */
/*
 * Whose turn it is: when as many queries are with the pool as may be
 * (window.h), the others wait here, in a line for each client, and clients take
 * turns.  So who asks little is answered soon, however many queries another
 * has.  Runs in the listener.  Pure: no event loop, no clock.
 */
#ifndef LISTENER_TURNS_H
#define LISTENER_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "dotproxy/listener/inflight.h"
#include "dotproxy/listener/prefix.h"
#include "dotproxy/listener/window.h"

struct turns {
	struct prefix_queue ring; /* those with a line; the next one first */
	uint32_t nlines;          /* these */
	uint32_t n;               /* queries in all lines */
	struct window window;
};

void turns_init(struct turns *);

/* True if there is no window and nobody waits: nothing else is to be asked. */
static inline bool
turns_are_off(const struct turns *t)
{
	return t->window.size == WINDOW_NONE && t->n == 0;
}

/* Puts a query, whose prefix holds it, at the end of its client's line. */
void turns_wait(struct turns *, struct inflight_slot *);

/* The query whose turn it is; NULL if none waits. */
struct inflight_slot *turns_next(const struct turns *);

/* Takes that query out of its line: the next turn is another client's. */
void turns_take(struct turns *, struct inflight_slot *);

/* Takes any query out of its line. */
void turns_leave(struct turns *, struct inflight_slot *);

#endif
