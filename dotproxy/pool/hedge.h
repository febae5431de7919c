/* SPDX-License-Identifier: ISC */
/*
 * When an answer is late, and how many queries may be sent once more for it.
 * Pure: latencies and events are arguments, there is no clock.
 *
 * A line in front of an upstream makes its answers late as a lost packet does,
 * and from here the two look the same.  It is the budget that keeps copies from
 * making an overload worse: by no more than its percentage.
 */
#ifndef POOL_HEDGE_H
#define POOL_HEDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/hist.h"

/* Late before anything is known of an upstream. */
#define HEDGE_START_US 100000u
/* Never sooner: timers of the loop are up to 4 ms off. */
#define HEDGE_FLOOR_US 10000u
#define HEDGE_CEILING_US 1000000u
/* Half of all samples are forgotten when there are so many. */
#define HEDGE_SAMPLES_MAX 256u
/* With fewer than this the estimate is doubled. */
#define HEDGE_SAMPLES_FEW 8u
/* Nobody waits less for one who has said nothing at all. */
#define HEDGE_SILENT_MIN_US 50000u
/* Eight buckets to the octave. */
#define HEDGE_BUCKETS (HIST_BUCKETS / 4)

/* Running estimate of how long one upstream takes.  Zero-initialise it. */
struct hedge_latency {
	uint32_t late_us; /* 0: nothing known */
	uint16_t n;
	uint16_t fresh;   /* samples since the last estimate */
	uint16_t stalled; /* such samples, of which few are taken */
	uint8_t lost;     /* copies in a row that came after the answer */
	uint16_t buckets[HEDGE_BUCKETS];
};

/*
 * Takes the latency of one answer.  stalled: its connection had come to a stop,
 * of which one lost packet is the reason, and many late answers the effect.
 * One in four of these counts: enough to learn of an upstream that has become
 * slow, and too little to take for usual what loss does.
 */
void hedge_latency_add(struct hedge_latency *, uint64_t us, bool stalled);

/*
 * The answer to a query that had been sent once more has come before the
 * copy's, after us: the upstream is only slow.  The second of these in a row
 * counts as two samples, the next as four, so that not all of the budget is
 * spent before that is learnt.
 */
void hedge_latency_lost(struct hedge_latency *, uint64_t us);

/* The copy's was the first one. */
static inline void
hedge_latency_won(struct hedge_latency *l)
{
	l->lost = 0;
}

/*
 * A connection took so long to be ready, which is two round trips at least: so
 * long, or HEDGE_START_US, an answer may take while none has come.
 */
void hedge_latency_guess(struct hedge_latency *, uint64_t us);

/* An answer that takes longer than this is late. */
static inline uint64_t
hedge_late_us(const struct hedge_latency *l)
{
	return l->late_us != 0 ? l->late_us : HEDGE_START_US;
}

/*
 * Who has not answered anything for so long is silent.  Of one who has never
 * answered what is late is a guess already, and not a short one.
 */
static inline uint64_t
hedge_silent_us(const struct hedge_latency *l)
{
	uint64_t us = hedge_late_us(l) * (l->n > 0 ? 2 : 1);

	return us > HEDGE_SILENT_MIN_US ? us : HEDGE_SILENT_MIN_US;
}

/*
 * A bucket of tokens, in hundredths: every query puts percent of them in, an
 * extra one takes 100 out.
 */
struct hedge_budget {
	uint32_t percent; /* 0: none is ever given */
	uint32_t burst;   /* hundredths that it holds at most */
	uint32_t tokens;  /* hundredths */
};

/* For percent extra queries, and at most burst at once; start at first. */
void hedge_budget_init(
    struct hedge_budget *, uint32_t percent, uint32_t burst, uint32_t start);

/* A query came. */
static inline void
hedge_budget_earn(struct hedge_budget *b)
{
	b->tokens += b->percent;
	if (b->tokens > b->burst)
		b->tokens = b->burst;
}

/* True if there is an extra query to take out. */
static inline bool
hedge_budget_has(const struct hedge_budget *b)
{
	return b->percent != 0 && b->tokens >= 100;
}

/* Takes one extra query out; false if there is none. */
bool hedge_budget_take(struct hedge_budget *);

#endif
