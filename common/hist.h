/* SPDX-License-Identifier: ISC */
/*
 * A histogram of microseconds: log-linear, fixed size, error below 1/32
 * (3.2 %).  Values below 64 us are exact; above 2^27 us (134 s) they count
 * as that.  Pure; no allocation; one addition a sample.
 */
#ifndef COMMON_HIST_H
#define COMMON_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 5
#define HIST_SUB (1u << HIST_SUB_BITS)
#define HIST_MAX_BITS 27
#define HIST_BUCKETS ((HIST_MAX_BITS - HIST_SUB_BITS + 1) * HIST_SUB)

struct hist {
	uint64_t count;
	uint64_t sum_us;
	uint64_t max_us;
	uint64_t buckets[HIST_BUCKETS];
};

static inline uint32_t
hist_bucket(uint64_t us)
{
	uint32_t v, shift;

	v = us >= (1u << HIST_MAX_BITS) ? (1u << HIST_MAX_BITS) - 1
					: (uint32_t)us;
	if (v < 2 * HIST_SUB)
		return v;
	shift = 31 - (uint32_t)__builtin_clz(v) - HIST_SUB_BITS;
	return shift * HIST_SUB + (v >> shift);
}

/* The smallest value of a bucket, in microseconds. */
static inline uint64_t
hist_lower_us(uint32_t bucket)
{
	uint32_t shift;

	if (bucket < 2 * HIST_SUB)
		return bucket;
	shift = bucket / HIST_SUB - 1;
	return (uint64_t)(bucket - shift * HIST_SUB) << shift;
}

static inline void
hist_add(struct hist *h, uint64_t us)
{
	h->buckets[hist_bucket(us)]++;
	h->count++;
	h->sum_us += us;
	if (us > h->max_us)
		h->max_us = us;
}

/*
 * The value, in microseconds, below or at which permille/1000 of the samples
 * lie; 0 if there are none.
 */
static inline uint64_t
hist_quantile_us(const struct hist *h, uint32_t permille)
{
	uint64_t want, seen = 0;
	uint32_t i;

	if (h->count == 0)
		return 0;
	want = (h->count * permille + 999) / 1000;
	for (i = 0; i < HIST_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= want && seen > 0)
			return hist_lower_us(i);
	}
	return h->max_us;
}

static inline uint64_t
hist_mean_us(const struct hist *h)
{
	return h->count == 0 ? 0 : h->sum_us / h->count;
}

#endif
