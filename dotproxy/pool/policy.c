/* SPDX-License-Identifier: ISC */
/*
 * The five policies, see policy.h.  Runs in the pool, once a query.  It must
 * never choose an upstream that is not usable, nor allocate, nor look at a
 * clock.
 */
#include "dotproxy/pool/policy.h"

#include <string.h>

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

void
policy_init(struct policy *p, enum conf_policy kind, uint32_t n)
{
	memset(p, 0, sizeof(*p));
	p->kind = kind;
	p->n = n;
}

void
policy_set_up(struct policy *p, uint32_t i, bool up)
{
	uint64_t others = p->up & ~bit(i);
	uint64_t least;

	if (!up) {
		p->up = others;
		return;
	}
	if ((p->up & bit(i)) == 0 && others != 0) {
		least = p->given[least_given(p, others)];
		if (p->given[i] < least)
			p->given[i] = least;
	}
	p->up |= bit(i);
}

void
policy_set_doubt(struct policy *p, uint32_t i, bool doubt)
{
	p->doubt = doubt ? p->doubt | bit(i) : p->doubt & ~bit(i);
}

uint32_t
policy_choose(struct policy *p, uint32_t avoid, uint32_t random)
{
	uint64_t set = p->up;

	if (avoid != POLICY_NONE && (set & ~bit(avoid)) != 0)
		set &= ~bit(avoid);
	if ((set & ~p->doubt) != 0)
		set &= ~p->doubt;
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
	case POLICY_FAILOVER:
	default:
		i = lowest(set);
		break;
	}
	p->given[i]++;
	return i;
}
