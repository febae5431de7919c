/* SPDX-License-Identifier: ISC */
/*
 * When an answer is late and what that may cost, see hedge.h.  Runs in the
 * pool, once an answer.  It must never allocate nor look at a clock.
 */
#include "dotproxy/pool/hedge.h"

/* One of so many samples of a stopped connection counts. */
#define STALLED_SHARE 4u
/* Nothing counts more than so many doublings. */
#define LOST_MAX 3u
/* How often the estimate is made anew. */
#define FRESH_MAX 32u
/* The margin above the 95th percentile: a quarter, but at least this. */
#define MARGIN_MIN_US 3000u

/* Above all values of the bucket where so much of the samples is reached. */
static uint32_t
quantile(const struct hedge_latency *l, uint32_t percent)
{
	uint32_t want = ((uint32_t)l->n * percent + 99) / 100;
	uint32_t i, seen = 0;

	for (i = 0; i < HEDGE_BUCKETS - 1; i++) {
		seen += l->buckets[i];
		if (seen >= want)
			break;
	}
	return (uint32_t)hist_lower_us((i + 1) * 4);
}

static void
estimate(struct hedge_latency *l)
{
	uint32_t p95 = quantile(l, 95);
	uint32_t margin = p95 / 4 > MARGIN_MIN_US ? p95 / 4 : MARGIN_MIN_US;
	uint32_t late = p95 + margin;

	if (l->n < HEDGE_SAMPLES_FEW)
		late *= 2;
	if (late < HEDGE_FLOOR_US)
		late = HEDGE_FLOOR_US;
	if (late > HEDGE_CEILING_US)
		late = HEDGE_CEILING_US;
	l->late_us = late;
	l->fresh = 0;
}

static void
take_sample(struct hedge_latency *l, uint64_t us)
{
	uint32_t i, n = 0;

	l->buckets[hist_bucket(us) / 4]++;
	l->n++;
	l->fresh++;
	if (l->n < HEDGE_SAMPLES_MAX)
		return;
	for (i = 0; i < HEDGE_BUCKETS; i++)
		n += l->buckets[i] /= 2;
	l->n = (uint16_t)n;
}

void
hedge_latency_add(struct hedge_latency *l, uint64_t us, bool stalled)
{
	if (stalled && ++l->stalled % STALLED_SHARE != 0)
		return;
	take_sample(l, us);
	if (l->fresh >= FRESH_MAX || l->n <= HEDGE_SAMPLES_FEW)
		estimate(l);
}

void
hedge_latency_lost(struct hedge_latency *l, uint64_t us)
{
	uint32_t i;

	for (i = 0; i < 1u << l->lost; i++)
		take_sample(l, us);
	if (l->lost < LOST_MAX)
		l->lost++;
	estimate(l);
}

void
hedge_latency_guess(struct hedge_latency *l, uint64_t us)
{
	if (l->n > 0)
		return;
	if (us < HEDGE_START_US)
		us = HEDGE_START_US;
	l->late_us = us < HEDGE_CEILING_US ? (uint32_t)us : HEDGE_CEILING_US;
}

void
hedge_budget_init(
    struct hedge_budget *b, uint32_t percent, uint32_t burst, uint32_t start)
{
	b->percent = percent;
	b->burst = burst * 100;
	b->tokens = start * 100;
}

bool
hedge_budget_take(struct hedge_budget *b)
{
	if (!hedge_budget_has(b))
		return false;
	b->tokens -= 100;
	return true;
}
