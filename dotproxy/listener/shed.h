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
 * Time in which nobody was answered at all does not count: a pool that was
 * replaced, or an upstream that fell silent and was left, is no line.  But it
 * does if there was a line when it began, for some upstreams and paths answer
 * in bursts.
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
/*
 * Who had fewer ahead, and yet waited longer than that, tells nothing of a line
 * that could be made shorter.
 */
#define SHED_AHEAD_MIN (SHED_WINDOW_MIN / (SHED_WAITED / 2))
/* No answer for so long, although some are due, is a stall. */
#define SHED_STALL_MS 100

/* Zero-initialise it. */
struct shed {
	uint32_t limit;       /* of the table */
	uint32_t window;      /* queries that may wait at a time, <= limit */
	uint64_t answered_ms; /* of those answered, when the last was sent */
	uint64_t heard_ms;    /* last answer, or the first wait after it */
	uint32_t stalled_ms;  /* by all stalls up to then; it may wrap */
	bool calm;            /* there was no line then: silence is a stall */
};

/* How a query has waited up to now. */
struct shed_wait {
	uint64_t sent_ms; /* to the pool; if it was not: now_ms */
	uint64_t deadline_ms;
	uint64_t timeout_ms; /* it has been given */
	uint64_t now_ms;
	uint32_t ahead;      /* how many there were when it came */
	uint32_t stalled_ms; /* what shed_asked() said then */
	uint32_t total;      /* how many there are now */
};

/* Begins anew: the limit and the timeout may be others now. */
static inline void
shed_set_limit(struct shed *sh, uint32_t limit)
{
	sh->limit = sh->window = limit;
	sh->answered_ms = 0;
}

/*
 * True if more of so many places may be taken, 2^25 at most: total are, same of
 * them over the same transport, and mine of these by the same client.
 *
 * A client's limit falls with the square of what is free.  So n that all want
 * much leave a part of 1 / (8 * sqrt(n)) free, where with a limit that falls in
 * proportion (Choudhury and Hahne 1998) it would be 1 / (8 * n), and nothing
 * with some hundred of them.
 */
static inline bool
shed_shares(uint32_t places, uint32_t total, uint32_t same, uint32_t mine)
{
	uint32_t room = places - places / SHED_KEPT;
	uint64_t free;

	if (total >= places || same >= room)
		return false;
	free = places - total;
	if (free > room - same)
		free = room - same;
	return (uint64_t)mine * room <
	       (uint64_t)SHED_KEPT * (SHED_KEPT - 1) * free * free;
}

/* True if one more query may wait, by the same rule. */
static inline bool
shed_admits(const struct shed *sh, uint32_t total, uint32_t same, uint32_t mine)
{
	return shed_shares(sh->window, total, same, mine);
}

/* True if a query that was sent then is not in line any more. */
static inline bool
shed_overtaken(const struct shed *sh, uint64_t sent_ms)
{
	return sent_ms + SHED_OVERTAKEN_MS <= sh->answered_ms;
}

/* How much time was lost by stalls, the one that may be going on included. */
static inline uint32_t
shed_stalled(const struct shed *sh, uint64_t now_ms)
{
	uint64_t silent_ms = sh->calm ? now_ms - sh->heard_ms : 0;

	return sh->stalled_ms + (uint32_t)silent_ms;
}

/* One has come that total were ahead of.  To be kept for its shed_wait. */
static inline uint32_t
shed_asked(struct shed *sh, uint32_t total, uint64_t now_ms)
{
	if (total == 0) {
		sh->heard_ms = now_ms;
		sh->calm = true;
	}
	return shed_stalled(sh, now_ms);
}

/* What it has waited, in all. */
static inline uint64_t
shed_age(const struct shed_wait *w)
{
	uint64_t left_ms =
	    w->deadline_ms > w->now_ms ? w->deadline_ms - w->now_ms : 0;

	return left_ms < w->timeout_ms ? w->timeout_ms - left_ms : 0;
}

/* The same but for stalls. */
static inline uint64_t
shed_worked(const struct shed *sh, const struct shed_wait *w)
{
	uint32_t lost_ms = shed_stalled(sh, w->now_ms) - w->stalled_ms;
	uint64_t age_ms = shed_age(w);

	/* Short silence that was counted when it came, and then was none. */
	if (lost_ms > UINT32_MAX / 2)
		return age_ms;
	return age_ms > lost_ms ? age_ms - lost_ms : 0;
}

/* How many may wait if one waited age_ms, and ahead of it were so many. */
static inline uint64_t
shed_fit(uint32_t ahead, uint64_t age_ms, uint64_t timeout_ms)
{
	return ahead * (timeout_ms / 2) / (age_ms > 0 ? age_ms : 1);
}

static inline void
shed_resize(struct shed *sh, uint64_t fit)
{
	uint64_t min =
	    SHED_WINDOW_MIN < sh->limit ? SHED_WINDOW_MIN : sh->limit;

	if (fit < min)
		fit = min;
	sh->window = fit < sh->limit ? (uint32_t)fit : sh->limit;
}

/* A query has got no answer in time, although it was asked. */
static inline void
shed_timed_out(struct shed *sh, const struct shed_wait *w)
{
	uint64_t age_ms = shed_worked(sh, w), fit;

	if (shed_overtaken(sh, w->sent_ms) ||
	    age_ms < w->timeout_ms / SHED_WAITED)
		return;
	fit = shed_fit(w->ahead, age_ms, w->timeout_ms);
	if (fit < sh->window)
		shed_resize(sh, fit);
}

/* Something is answered: there was a stall, or there was none. */
static inline void
shed_heard(struct shed *sh, uint64_t now_ms)
{
	if (now_ms - sh->heard_ms >= SHED_STALL_MS)
		sh->stalled_ms = shed_stalled(sh, now_ms);
	sh->heard_ms = now_ms;
}

/* A query is answered. */
static inline void
shed_answered(struct shed *sh, const struct shed_wait *w)
{
	uint64_t age_ms, fit;

	shed_heard(sh, w->now_ms);
	/* After a reload, some may be due later than any that comes now. */
	if (w->deadline_ms > w->now_ms + w->timeout_ms ||
	    shed_overtaken(sh, w->sent_ms))
		return;
	sh->calm = w->total <= SHED_WINDOW_MIN ||
		   shed_age(w) < w->timeout_ms / SHED_WAITED;
	age_ms = shed_worked(sh, w);
	fit = shed_fit(w->ahead, age_ms, w->timeout_ms);
	if (fit <= sh->window && age_ms < w->timeout_ms / SHED_WAITED)
		fit = (uint64_t)sh->window + 1;
	if (fit > sh->window || w->ahead >= SHED_AHEAD_MIN)
		shed_resize(sh, fit);
	if (w->sent_ms > sh->answered_ms)
		sh->answered_ms = w->sent_ms;
}

#endif
