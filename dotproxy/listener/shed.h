/* SPDX-License-Identifier: ISC */
/*
 * Which queries are turned away under overload.  Runs in the listener.  Pure:
 * no table, no clock.
 *
 * Who comes last is turned away: who has waited is about to be answered, and
 * what the upstream spent on it would be lost.  Who was overtaken is not in
 * line any more: the upstream has answered what was asked much later, and this
 * one it may never answer.  It gives up its place.
 *
 * A line so long that its end is not answered in time serves nobody.  Each
 * answer to one in line says how long it has waited, and how many were ahead:
 * so how many may be, for the last of them to wait half of the query timeout.
 *
 * Neither transport may take the last places from the other, nor a client of
 * its transport from other clients.  What a client may have depends on what is
 * free: all but an eighth if it is alone, less as more want much.  Nobody has
 * to be ended for that: who has little finds a place as long as one is free.
 */
#ifndef LISTENER_SHED_H
#define LISTENER_SHED_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Overtaken is who waits when somebody who came so much later was answered.
 * Most answers need less; more than the connections of one upstream differ.
 */
#define SHED_OVERTAKEN_MS 250
/*
 * One place in so many is kept for the transport which has fewer; of the rest,
 * one in so many for clients that have few.
 */
#define SHED_KEPT 8
/* The line is never made shorter than this. */
#define SHED_WINDOW_MIN 512u
/* Less than this part of the query timeout may be the way, not the line. */
#define SHED_WAITED 8

struct shed {
	uint32_t limit;       /* of the table */
	uint32_t window;      /* queries that may wait at a time, <= limit */
	uint64_t answered_ms; /* latest deadline of those answered */
};

/* Begins anew: the limit and the timeout may be others now. */
static inline void
shed_set_limit(struct shed *sh, uint32_t limit)
{
	sh->limit = sh->window = limit;
	sh->answered_ms = 0;
}

/*
 * True if one more may wait: total do, same of them over its transport, and
 * mine of these are its client's.
 *
 * A client's limit falls with the square of what is free.  So n that all want
 * much leave a part of 1 / (8 * sqrt(n)) free, where with a limit that falls in
 * proportion (Choudhury and Hahne 1998) it would be 1 / (8 * n), and nothing
 * with some hundred of them.
 */
static inline bool
shed_admits(const struct shed *sh, uint32_t total, uint32_t same, uint32_t mine)
{
	uint32_t room = sh->window - sh->window / SHED_KEPT;
	uint64_t free;

	if (total >= sh->window || same >= room)
		return false;
	free = sh->window - total;
	if (free > room - same)
		free = room - same;
	return (uint64_t)mine * room <
	       (uint64_t)SHED_KEPT * (SHED_KEPT - 1) * free * free;
}

/* True if a query with this deadline is not in line any more. */
static inline bool
shed_overtaken(const struct shed *sh, uint64_t deadline_ms)
{
	return deadline_ms + SHED_OVERTAKEN_MS <= sh->answered_ms;
}

/* Draws the conclusion from one that waited age_ms, ahead of it so many. */
static inline void
shed_note(struct shed *sh, uint32_t ahead, uint64_t age_ms, uint64_t timeout_ms)
{
	uint64_t fit = ahead * (timeout_ms / 2) / (age_ms > 0 ? age_ms : 1);
	uint64_t min =
	    SHED_WINDOW_MIN < sh->limit ? SHED_WINDOW_MIN : sh->limit;

	if (fit <= sh->window && age_ms < timeout_ms / SHED_WAITED)
		fit = (uint64_t)sh->window + 1;
	if (fit < min)
		fit = min;
	sh->window = fit < sh->limit ? (uint32_t)fit : sh->limit;
}

/* A query has got no answer in time, although it was asked. */
static inline void
shed_timed_out(
    struct shed *sh, uint64_t deadline_ms, uint32_t ahead, uint64_t timeout_ms)
{
	if (!shed_overtaken(sh, deadline_ms))
		shed_note(sh, ahead, timeout_ms, timeout_ms);
}

/* A query that was due left_ms from now, out of timeout_ms, is answered. */
static inline void
shed_answered(struct shed *sh, uint64_t deadline_ms, uint32_t ahead,
    uint64_t left_ms, uint64_t timeout_ms)
{
	/* After a reload, some may be due later than any that comes now. */
	if (left_ms > timeout_ms || shed_overtaken(sh, deadline_ms))
		return;
	shed_note(sh, ahead, timeout_ms - left_ms, timeout_ms);
	if (deadline_ms > sh->answered_ms)
		sh->answered_ms = deadline_ms;
}

#endif
