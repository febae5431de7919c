/* SPDX-License-Identifier: ISC */
/*
 * Histograms of microseconds, or of bytes where it says so: log-linear, of
 * fixed size.  A bucket is narrower than 1/32 of its values, and its middle
 * stands for all of them, so that a percentile is within 1/64 (1.6 %) of the
 * truth.  Values below 64 are exact; above 2^27 (134 s) they count as that.
 * Pure; no allocation; one addition a sample.
 *
 * struct hist_live also knows the last minute: a ring of slices of ten
 * seconds, of which one is added to, and what they held when their turn came
 * again.  So the last minute is the last 50 to 60 seconds.
 */
#ifndef COMMON_HIST_H
#define COMMON_HIST_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

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

/* The middle of a bucket: what stands for all of its values. */
static inline uint64_t
hist_middle_us(uint32_t bucket)
{
	uint64_t width;

	if (bucket < 2 * HIST_SUB)
		return bucket;
	width = (uint64_t)1 << (bucket / HIST_SUB - 1);
	return hist_lower_us(bucket) + width / 2;
}

/*
 * The value, in microseconds, below or at which permille/1000 of the samples
 * lie; 0 if there are none.
 */
static inline uint64_t
hist_quantile_us(const struct hist *h, uint32_t permille)
{
	uint64_t want, seen = 0, us;
	uint32_t i;

	if (h->count == 0)
		return 0;
	want = (h->count * permille + 999) / 1000;
	for (i = 0; i < HIST_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen < want || seen == 0)
			continue;
		us = hist_middle_us(i);
		return us < h->max_us ? us : h->max_us;
	}
	return h->max_us;
}

static inline uint64_t
hist_mean_us(const struct hist *h)
{
	return h->count == 0 ? 0 : h->sum_us / h->count;
}

#define HIST_SLICES 6u
#define HIST_SLICE_MS 10000u

struct hist_slice {
	uint64_t sum_us;
	uint64_t max_us;
	uint32_t buckets[HIST_BUCKETS];
};

/* All zero is an empty one. */
struct hist_live {
	uint64_t now;      /* number of the slice that is added to */
	uint64_t until_ms; /* when its time ends */
	struct hist_slice slices[HIST_SLICES];
	struct hist old; /* what is in none of them any more */
};

/* Adds what a slice holds. */
static inline void
hist_add_slice(struct hist *h, const struct hist_slice *s)
{
	uint32_t i;

	for (i = 0; i < HIST_BUCKETS; i++) {
		h->buckets[i] += s->buckets[i];
		h->count += s->buckets[i];
	}
	h->sum_us += s->sum_us;
	if (s->max_us > h->max_us)
		h->max_us = s->max_us;
}

/* Sees to it that the slice of this time is the one that is added to. */
static inline void
hist_live_turn(struct hist_live *h, uint64_t now_ms)
{
	uint64_t now;
	uint32_t n;

	if (now_ms < h->until_ms)
		return;
	now = now_ms / HIST_SLICE_MS;
	h->until_ms = (now + 1) * HIST_SLICE_MS;
	for (n = 0; n < HIST_SLICES && h->now < now; n++) {
		struct hist_slice *s = &h->slices[++h->now % HIST_SLICES];

		hist_add_slice(&h->old, s);
		*s = (struct hist_slice){ 0 };
	}
	h->now = now;
}

static inline void
hist_live_add(struct hist_live *h, uint64_t now_ms, uint64_t us)
{
	struct hist_slice *s;

	hist_live_turn(h, now_ms);
	s = &h->slices[h->now % HIST_SLICES];
	s->buckets[hist_bucket(us)]++;
	s->sum_us += us;
	if (us > s->max_us)
		s->max_us = us;
}

/* Writes all there was into sum, or what is of the last minute. */
static inline void
hist_live_read(
    struct hist_live *h, uint64_t now_ms, bool recent, struct hist *sum)
{
	uint32_t i;

	hist_live_turn(h, now_ms);
	if (recent)
		memset(sum, 0, sizeof(*sum));
	else
		*sum = h->old;
	for (i = 0; i < HIST_SLICES; i++)
		hist_add_slice(sum, &h->slices[i]);
}

#endif
