/* SPDX-License-Identifier: ISC */
/* A policy over some upstreams. */
#ifndef TESTS_POLICY_RIG_H
#define TESTS_POLICY_RIG_H

#include "dotproxy/pool/policy.h"

#define ALL_UP UINT64_MAX
#define MID 0x80000000u /* a random number in the middle */

static struct policy p;

/* A policy over n upstreams of which those in set are usable. */
static inline void
start(enum conf_policy kind, uint32_t n, uint64_t set)
{
	uint32_t i;

	policy_init(&p, kind, n);
	for (i = 0; i < n; i++)
		if ((set >> i & 1) != 0)
			policy_set_up(&p, i, true);
}

static inline uint32_t
choose(uint32_t random)
{
	return policy_choose(&p, POLICY_NONE, random);
}

#endif
