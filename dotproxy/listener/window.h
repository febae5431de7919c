/* SPDX-License-Identifier: ISC */
/*
 * How many queries may be with the pool at a time, so that what has to wait
 * waits here, where clients take turns (turns.h).  Runs in the listener.  Pure:
 * no table, no clock.
 *
 * Any number, until answers take longer than they did, all but a few of them:
 * a line delays each, a slow name only itself.  By how much says how many are
 * in line, if it is one.  If one client has many, or there are very many, it is
 * tried without these, half of all first.  If answers are as many, and come
 * sooner, only waiting was saved: that is the window, and the rest of the line
 * is next.  If not, there may be as many as before, and it is long until the
 * next trial; twice in vain at first says that it was no line but the way,
 * which is longer now.  While there is a line, half as many more are tried now
 * and then, too, and kept if there are more answers; then twice as many.  So it
 * is the answers that decide, and how long they take is only a reason to ask.
 */
#ifndef LISTENER_WINDOW_H
#define LISTENER_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

/* No window. */
#define WINDOW_NONE UINT32_MAX
/* It is never smaller, nor larger. */
#define WINDOW_MIN 8u
#define WINDOW_MAX 65536u
/*
 * Answers are looked at when there are so many, all together; the next time
 * after so long, for what comes in one turn says no more than one of them.
 */
#define WINDOW_BATCH 32u
#define WINDOW_BATCH_MS 5u
/* Of so many, what the fourth took, in order, the others took at least. */
#define WINDOW_SOON 4u
/* So long after several clients had queries, there are several. */
#define WINDOW_SHARED_MS 1000u
/* Without a line for so long there is no window any more. */
#define WINDOW_KEPT_MS 5000u

enum window_phase {
	WINDOW_STEADY,
	WINDOW_DRAIN, /* fewer are to be tried; until there are no more */
	WINDOW_FEWER, /* there are no more; until the first are back */
	WINDOW_LESS,  /* it is tried */
	WINDOW_FILL,  /* more are to be; until the first are back */
	WINDOW_MORE,
};

/* A kind of trial. */
struct window_trial {
	uint64_t next_ms; /* not before that */
	uint32_t in_vain; /* so many were, less those that were not */
};

struct window {
	uint32_t size; /* see window_limit() */
	uint32_t hold; /* without what is tried; both may be WINDOW_NONE */
	uint32_t over; /* answers until there are no more, see try_less() */
	enum window_phase phase;
	uint32_t batch; /* answers not looked at yet */
	uint64_t batch_ms;
	uint64_t batch_soon_ms;        /* the fourth of each WINDOW_BATCH */
	uint64_t soon_ms[WINDOW_SOON]; /* the first of those not full yet */
	uint64_t judged_ms;            /* when answers were looked at last */
	uint64_t since_ms;    /* when the phase, or a part of it, began */
	uint64_t answers;     /* since then */
	uint64_t sum_ms;      /* what they took, together */
	uint64_t sum_soon_ms; /* the fourth of each WINDOW_BATCH of them */
	uint32_t peak;        /* the most that were with the pool since then */
	uint32_t most;        /* the most one client had in flight since then */
	uint64_t base_us;     /* what they take without a line, once known */
	uint64_t mean_us;     /* what they took in the last period */
	uint64_t least_us;    /* most of them at least */
	uint64_t told_us;     /* the same when less was tried last */
	uint64_t spared_us;   /* so much less it should be then */
	uint64_t rate;        /* how many came, in 1,000 s, with hold; 0: ? */
	struct window_trial less;
	struct window_trial more;
	bool first;           /* before what is tried there was no window */
	bool refuted;         /* and the last time it had shown no line */
	bool calm;            /* no window, and no reason for one */
	uint64_t shared_ms;   /* until then there are several clients */
	uint64_t answered_ms; /* the last answer, or when the line began */
	uint64_t bound_ms;    /* when a query had to wait last */
};

void window_init(struct window *);

/* For window_answered(): an answer came sooner than others. */
void window_soon(struct window *, uint64_t took_ms);

/* So many may be with the pool now. */
static inline uint32_t
window_limit(const struct window *w)
{
	return w->size + w->over / 2;
}

/* An answer took so long; true if window_judge() is to be called. */
static inline bool
window_answered(struct window *w, uint64_t took_ms, uint64_t now_ms)
{
	w->batch_ms += took_ms;
	if (took_ms < w->soon_ms[WINDOW_SOON - 1])
		window_soon(w, took_ms);
	w->answered_ms = now_ms;
	w->over -= w->over > 0;
	return ++w->batch % WINDOW_BATCH == 0;
}

/*
 * At the end of a turn so many are with the pool, and of so many clients; one
 * of these had so many in flight.
 */
static inline void
window_loaded(struct window *w, uint32_t n, uint32_t nclients, uint32_t most,
    uint64_t now_ms)
{
	if (n > w->peak)
		w->peak = n;
	if (most > w->most)
		w->most = most;
	if (nclients > 1)
		w->shared_ms = now_ms + WINDOW_SHARED_MS;
}

/* Draws the conclusion; others wait here or not. */
void window_judge(struct window *, bool line, uint64_t now_ms);

/*
 * A query is the first that would have to wait; false if the window was left
 * behind by others, long ago, and there is none now.
 */
bool window_begins_line(struct window *, uint64_t now_ms);

/* How long there may be no answer while somebody waits. */
uint64_t window_patience_ms(const struct window *);

/* There was none for so long: more are let go, as often as that is so. */
void window_stalled(struct window *, uint64_t now_ms);

#endif
