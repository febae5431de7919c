/* SPDX-License-Identifier: ISC */
/* Capped exponential delay after failures.  Pure: time is an argument. */
#ifndef COMMON_BACKOFF_H
#define COMMON_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

struct backoff {
	uint32_t min_ms;   /* first delay */
	uint32_t max_ms;   /* cap */
	uint32_t delay_ms; /* last delay given; 0 after a success */
	uint64_t until_ms; /* time at which the delay ends; 0 if none */
};

static inline void
backoff_init(struct backoff *b, uint32_t min_ms, uint32_t max_ms)
{
	b->min_ms = min_ms;
	b->max_ms = max_ms;
	b->delay_ms = 0;
	b->until_ms = 0;
}

/* Notes a failure at now_ms; returns the delay that starts with it. */
static inline uint32_t
backoff_fail(struct backoff *b, uint64_t now_ms)
{
	if (b->delay_ms == 0)
		b->delay_ms = b->min_ms;
	else if (b->delay_ms > b->max_ms / 2)
		b->delay_ms = b->max_ms;
	else
		b->delay_ms *= 2;
	b->until_ms = now_ms + b->delay_ms;
	return b->delay_ms;
}

/* Any success ends it. */
static inline void
backoff_clear(struct backoff *b)
{
	b->delay_ms = 0;
	b->until_ms = 0;
}

static inline bool
backoff_active(const struct backoff *b, uint64_t now_ms)
{
	return now_ms < b->until_ms;
}

/* Milliseconds left; 0 if it is over. */
static inline uint64_t
backoff_left(const struct backoff *b, uint64_t now_ms)
{
	return now_ms < b->until_ms ? b->until_ms - now_ms : 0;
}

#endif
