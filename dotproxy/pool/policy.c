/* SPDX-License-Identifier: ISC */
/*
 * The six policies, see policy.h.  Runs in the pool, once a query.  It must
 * never choose an upstream that is not usable, nor allocate, nor look at a
 * clock.
 */
#include "dotproxy/pool/policy.h"

#include <string.h>

/* Of all queries, those that are to find out whether another is faster. */
#define PROBE_BELOW (UINT32_MAX / 128)
/* The same while there is reason to believe it of one. */
#define TRIAL_BELOW (UINT32_MAX / 4)
/* What is known of an upstream is new enough for so long. */
#define PROBE_MS 1000u
/* After so long it says nothing about now. */
#define STALE_MS 60000u
/* One that has left so many queries in a row open gets no probes. */
#define MUTE_MAX 8u
/* Answers that came so near to each other had one cause: one counts. */
#define APART_MS 10u
/* Between two changes for the sake of latency. */
#define DWELL_MS 1000u
/* By so much the other has to be faster, or a quarter if that is more. */
#define MARGIN_US 2000u
/* Who was waited for in vain, and has not answered yet, takes that long. */
#define WAITED_MIN_US 100000u
#define LATENCY_MIN_US 64u
#define LATENCY_MAX_US 60000000u

static uint64_t
bit(uint32_t i)
{
	return (uint64_t)1 << i;
}

static uint32_t
lowest(uint64_t set)
{
	return (uint32_t)__builtin_ctzll(set);
}

/* A number below n out of 32 random bits; the bias is below 2^-26. */
static uint32_t
scale(uint32_t random, uint32_t n)
{
	return (uint32_t)(((uint64_t)random * n) >> 32);
}

/* The first of set at or after i, in list order, from the end to the start. */
static uint32_t
next_from(uint64_t set, uint32_t i)
{
	uint64_t above = set & ~(bit(i) - 1);

	return lowest(above != 0 ? above : set);
}

/* Member number k of set. */
static uint32_t
member(uint64_t set, uint32_t k)
{
	for (; k > 0; k--)
		set &= set - 1;
	return lowest(set);
}

static uint32_t
least_given(const struct policy *p, uint64_t set)
{
	uint32_t i, best = lowest(set);

	for (set &= set - 1; set != 0; set &= set - 1) {
		i = lowest(set);
		if (p->given[i] < p->given[best])
			best = i;
	}
	return best;
}

static bool
has(uint64_t set, uint32_t i)
{
	return (set & bit(i)) != 0;
}

/* True if so much less is worth a change. */
static bool
beats(uint32_t us, uint32_t other_us)
{
	uint32_t margin = other_us / 4;

	if (margin < MARGIN_US)
		margin = MARGIN_US;
	return us + margin <= other_us;
}

/* The member of set with the lowest latency; of none known, the first. */
static uint32_t
fastest(const struct policy *p, uint64_t set)
{
	uint32_t i, us, best = lowest(set), best_us = UINT32_MAX;

	for (; set != 0; set &= set - 1) {
		i = lowest(set);
		us = p->latency[i].smooth_us;
		if (p->latency[i].seen == 0 || us >= best_us)
			continue;
		best = i;
		best_us = us;
	}
	return best;
}

static void
prefer(struct policy *p, uint32_t i)
{
	p->best = i;
	p->changed_ms = p->now_ms;
}

/* Those that can be used, without those in doubt if others are left. */
static uint64_t
sound(const struct policy *p)
{
	return (p->up & ~p->doubt) != 0 ? p->up & ~p->doubt : p->up;
}

/* Something has changed: who is preferred, and who on trial? */
static void
review(struct policy *p)
{
	uint64_t set = sound(p);
	const struct policy_latency *l, *best;
	uint32_t i, better = p->best;

	p->trial = POLICY_NONE;
	if (p->kind != POLICY_LATENCY || set == 0)
		return;
	if (!has(set, p->best))
		prefer(p, fastest(p, set));
	best = &p->latency[p->best];
	for (set &= ~bit(p->best); set != 0; set &= set - 1) {
		i = lowest(set);
		l = &p->latency[i];
		if (l->seen == POLICY_PROVEN &&
		    beats(l->smooth_us, best->smooth_us)) {
			if (better == p->best ||
			    l->smooth_us < p->latency[better].smooth_us)
				better = i;
		} else if (p->trial == POLICY_NONE &&
			   (l->seen == 0 || beats(l->last_us, best->smooth_us)))
			p->trial = i;
	}
	if (better != p->best && p->now_ms - p->changed_ms >= DWELL_MS)
		prefer(p, better);
}

/*
 * Takes a sample: the mean of the first few, then moving by an eighth of the
 * difference, as the round-trip time of TCP does (RFC 6298 2).  One counts as
 * twice what was known at most: an answer that the upstream itself had to wait
 * for says little about it, if there are not many.
 */
static void
learn(struct policy_latency *l, uint32_t us, uint64_t now_ms)
{
	uint32_t old = l->smooth_us;

	if (now_ms - l->at_ms >= STALE_MS)
		l->seen = 0;
	l->last_us = us;
	l->at_ms = now_ms;
	if (l->seen < POLICY_PROVEN)
		l->seen++;
	if (l->seen == 1) {
		l->smooth_us = us;
		return;
	}
	if (us / 2 > old)
		us = 2 * old;
	l->smooth_us =
	    us >= old ? old + (us - old) / l->seen : old - (old - us) / l->seen;
}

void
policy_learn(struct policy *p, uint32_t i, uint64_t us, uint64_t now_ms)
{
	struct policy_latency *l = &p->latency[i];

	l->given = p->given[i];
	if (l->seen > 0 && now_ms - l->at_ms < APART_MS)
		return;
	p->now_ms = now_ms;
	if (us < LATENCY_MIN_US)
		us = LATENCY_MIN_US;
	learn(l, us < LATENCY_MAX_US ? (uint32_t)us : LATENCY_MAX_US, now_ms);
	review(p);
}

void
policy_learn_waited(struct policy *p, uint32_t i, uint64_t us, uint64_t now_ms)
{
	const struct policy_latency *l = &p->latency[i];

	if (us > (l->seen > 0 ? l->smooth_us : WAITED_MIN_US))
		policy_learn(p, i, us, now_ms);
}

/* What has kept a query waiting in vain is worth half of what it was. */
static void
penalise(struct policy_latency *l)
{
	l->smooth_us = l->smooth_us < LATENCY_MAX_US / 2 ? 2 * l->smooth_us
							 : LATENCY_MAX_US;
	l->last_us = LATENCY_MAX_US;
}

/* True if nothing can be learnt from asking it more. */
static bool
is_mute(const struct policy *p, uint32_t i)
{
	return p->given[i] - p->latency[i].given >= MUTE_MAX;
}

/* The one of a set of which was heard least lately, if that is long ago. */
static uint32_t
stalest(const struct policy *p, uint64_t set)
{
	uint32_t i, found = POLICY_NONE;

	for (; set != 0; set &= set - 1) {
		i = lowest(set);
		if (!is_mute(p, i) &&
		    (found == POLICY_NONE ||
			p->latency[i].at_ms < p->latency[found].at_ms))
			found = i;
	}
	if (found != POLICY_NONE &&
	    p->now_ms - p->latency[found].at_ms < PROBE_MS)
		return POLICY_NONE;
	return found;
}

/* Who gets a query to be measured by, or POLICY_NONE. */
static uint32_t
choose_probe(const struct policy *p, uint64_t set, uint32_t random)
{
	if (random < PROBE_BELOW)
		return stalest(p, set & ~bit(p->best));
	if (random < TRIAL_BELOW && p->trial != POLICY_NONE &&
	    has(set, p->trial) && !is_mute(p, p->trial))
		return p->trial;
	return POLICY_NONE;
}

void
policy_init(struct policy *p, enum conf_policy kind, uint32_t n)
{
	memset(p, 0, sizeof(*p));
	p->kind = kind;
	p->n = n;
	p->trial = POLICY_NONE;
}

void
policy_inherit(
    struct policy *p, uint32_t i, const struct policy *old, uint32_t old_i)
{
	p->given[i] = old->given[old_i];
	p->latency[i] = old->latency[old_i];
	if (p->now_ms < p->latency[i].at_ms)
		p->now_ms = p->latency[i].at_ms;
}

void
policy_set_up(struct policy *p, uint32_t i, bool up)
{
	uint64_t others = p->up & ~bit(i);
	uint64_t least;

	if (has(p->up, i) == up)
		return;
	p->up = up ? others | bit(i) : others;
	if (up && others != 0) {
		least = p->given[least_given(p, others)];
		if (p->given[i] < least)
			p->given[i] = least;
	}
	p->latency[i].given = p->given[i];
	if (!up)
		p->latency[i].seen = 0; /* it has to prove itself anew */
	review(p);
}

void
policy_set_doubt(struct policy *p, uint32_t i, bool doubt)
{
	if (has(p->doubt, i) == doubt)
		return;
	p->doubt ^= bit(i);
	if (doubt)
		penalise(&p->latency[i]);
	review(p);
}

uint32_t
policy_choose(struct policy *p, uint32_t avoid, uint32_t random)
{
	uint64_t set = p->up;
	uint32_t i;

	if (avoid != POLICY_NONE && (set & ~bit(avoid)) != 0)
		set &= ~bit(avoid);
	if ((set & ~p->doubt) != 0)
		set &= ~p->doubt;
	/* One that is sent once more has waited long enough. */
	if (p->kind == POLICY_LATENCY && avoid == POLICY_NONE && set != 0 &&
	    (i = choose_probe(p, set, random)) != POLICY_NONE) {
		p->given[i]++;
		return i;
	}
	return policy_choose_among(p, set, random);
}

uint32_t
policy_choose_among(struct policy *p, uint64_t set, uint32_t random)
{
	uint32_t i;

	set &= p->up;
	if (set == 0)
		return POLICY_NONE;
	switch (p->kind) {
	case POLICY_ROUND_ROBIN:
		i = next_from(set, p->next);
		p->next = i + 1 < p->n ? i + 1 : 0;
		break;
	case POLICY_RANDOM:
		i = next_from(set, scale(random, p->n));
		break;
	case POLICY_HISTORICAL:
		i = least_given(p, set);
		break;
	case POLICY_AVAILABILITY:
		i = member(
		    set, scale(random, (uint32_t)__builtin_popcountll(set)));
		break;
	case POLICY_LATENCY:
		i = has(set, p->best) ? p->best : fastest(p, set);
		break;
	case POLICY_FAILOVER:
	default:
		i = lowest(set);
		break;
	}
	p->given[i]++;
	return i;
}
