/* SPDX-License-Identifier: ISC */
/*
 * Which upstream gets the next query.  Pure: whether an upstream can be used
 * and the random number are arguments.
 */
#ifndef POOL_POLICY_H
#define POOL_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"

#define POLICY_NONE UINT32_MAX

_Static_assert(CONF_UPSTREAMS_MAX <= 64, "sets of upstreams are uint64_t");

struct policy {
	enum conf_policy kind;
	uint32_t n;     /* upstreams, in the order of the configuration */
	uint32_t next;  /* round-robin: whose turn it is */
	uint64_t up;    /* bit i: upstream i can be used */
	uint64_t doubt; /* bit i: but only if nothing else can */
	uint64_t given[CONF_UPSTREAMS_MAX]; /* queries given to each */
};

/* Starts with no upstream usable.  n <= CONF_UPSTREAMS_MAX. */
void policy_init(struct policy *, enum conf_policy, uint32_t n);

/*
 * Says whether upstream i can be used.  One that could not and now can starts
 * with as many queries given as the least used of the others: it must not get
 * everything until it has caught up.
 */
void policy_set_up(struct policy *, uint32_t i, bool up);

/* Says whether upstream i is chosen only if there is no other. */
void policy_set_doubt(struct policy *, uint32_t i, bool doubt);

/* True if policy_choose() looks at its random number. */
static inline bool
policy_is_random(const struct policy *p)
{
	return p->kind == POLICY_RANDOM || p->kind == POLICY_AVAILABILITY;
}

/*
 * Chooses one of the usable upstreams for a query and counts it; POLICY_NONE
 * if none is.  avoid is the one that has just failed this query, taken only
 * if there is no other, or POLICY_NONE.
 */
uint32_t policy_choose(struct policy *, uint32_t avoid, uint32_t random);

/* The same out of the usable ones of a set; bit i is upstream i. */
uint32_t policy_choose_among(struct policy *, uint64_t set, uint32_t random);

#endif
