/* SPDX-License-Identifier: ISC */
/*
 * Which upstream gets the next query.  Pure: whether an upstream can be used,
 * what it takes, the time and the random number are arguments.
 *
 * POLICY_LATENCY prefers the upstream with the lowest smoothed latency.  One
 * query of 128 looks what another takes of which nothing was heard for a
 * second; one of four does while that other is on trial: it is new, or back,
 * or its last answer was faster than the preferred one's are.  When it has been
 * faster for POLICY_PROVEN answers, by a margin, it is preferred: a second
 * after the last such change at the earliest, so that noise does not make two
 * equal ones alternate.
 */
#ifndef POOL_POLICY_H
#define POOL_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"

#define POLICY_NONE UINT32_MAX

_Static_assert(CONF_UPSTREAMS_MAX <= 64, "sets of upstreams are uint64_t");

/* So many answers say what an upstream takes. */
#define POLICY_PROVEN 8u

/* What one upstream takes, for POLICY_LATENCY. */
struct policy_latency {
	uint32_t smooth_us;
	uint32_t last_us; /* the last sample */
	uint32_t seen;    /* samples it is made of, <= POLICY_PROVEN */
	uint64_t at_ms;   /* when the last came; 0: never */
	uint64_t given;   /* policy.given then */
};

struct policy {
	enum conf_policy kind;
	uint32_t n;     /* upstreams, in the order of the configuration */
	uint32_t next;  /* round-robin: whose turn it is */
	uint64_t up;    /* bit i: upstream i can be used */
	uint64_t doubt; /* bit i: but only if nothing else can */
	uint64_t given[CONF_UPSTREAMS_MAX]; /* queries given to each */
	/* POLICY_LATENCY: */
	uint32_t best;       /* preferred, if it can be used */
	uint32_t trial;      /* may be better; or POLICY_NONE */
	uint64_t now_ms;     /* of the last sample */
	uint64_t changed_ms; /* when best was changed last */
	struct policy_latency latency[CONF_UPSTREAMS_MAX];
};

/* Starts with no upstream usable.  n <= CONF_UPSTREAMS_MAX. */
void policy_init(struct policy *, enum conf_policy, uint32_t n);

/* Upstream i is number old_i of another policy: takes over what is known. */
void policy_inherit(
    struct policy *, uint32_t i, const struct policy *old, uint32_t old_i);

/*
 * Says whether upstream i can be used.  One that could not and now can starts
 * with as many queries given as the least used of the others: it must not get
 * everything until it has caught up.
 */
void policy_set_up(struct policy *, uint32_t i, bool up);

/* Says whether upstream i is chosen only if there is no other. */
void policy_set_doubt(struct policy *, uint32_t i, bool doubt);

/* policy_answered(), for POLICY_LATENCY. */
void policy_learn(struct policy *, uint32_t i, uint64_t us, uint64_t now_ms);

/* policy_waited(), for POLICY_LATENCY. */
void policy_learn_waited(
    struct policy *, uint32_t i, uint64_t us, uint64_t now_ms);

/* Upstream i, if it is one, has answered a query after us. */
static inline void
policy_answered(struct policy *p, uint32_t i, uint64_t us, uint64_t now_ms)
{
	if (p->kind == POLICY_LATENCY && i < p->n)
		policy_learn(p, i, us, now_ms);
}

/*
 * It has not answered for us, and nobody waits for it any more: that counts if
 * it is longer than it takes mostly.
 */
static inline void
policy_waited(struct policy *p, uint32_t i, uint64_t us, uint64_t now_ms)
{
	if (p->kind == POLICY_LATENCY && i < p->n)
		policy_learn_waited(p, i, us, now_ms);
}

/* True if policy_choose() looks at its random number. */
static inline bool
policy_is_random(const struct policy *p)
{
	return p->kind == POLICY_RANDOM || p->kind == POLICY_AVAILABILITY ||
	       p->kind == POLICY_LATENCY;
}

/*
 * Chooses one of the usable upstreams for a query and counts it; POLICY_NONE
 * if none is.  avoid is the one that has just failed this query, taken only
 * if there is no other, or POLICY_NONE.
 */
uint32_t policy_choose(struct policy *, uint32_t avoid, uint32_t random);

/*
 * The same out of the usable ones of a set; bit i is upstream i.  It is for
 * queries that are sent once more: none of them is a probe.
 */
uint32_t policy_choose_among(struct policy *, uint64_t set, uint32_t random);

#endif
