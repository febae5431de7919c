/* SPDX-License-Identifier: ISC */
/*
 * The limit of queries a second for each client; see rate.h.  Runs in the
 * listener.  Must not allocate, nor search beyond a set, nor know an address
 * again: who floods chooses them.
 */
#include "dotproxy/listener/rate.h"

#include <stdlib.h>
#include <string.h>

#define NS 1000000000ull

_Static_assert(sizeof(struct rate_client) == 16, "a set has two cache lines");

int
rate_init(struct rate *r, struct rng *rng)
{
	memset(r, 0, sizeof(*r));
	keyhash_draw(&r->set, rng);
	keyhash_draw(&r->tag, rng);
	/* So large that it comes as untouched zero pages. */
	r->clients =
	    calloc((size_t)RATE_SETS * RATE_WAYS, sizeof(r->clients[0]));
	return r->clients != NULL ? 0 : -1;
}

void
rate_clear(struct rate *r)
{
	free(r->clients);
	memset(r, 0, sizeof(*r));
}

void
rate_set_limit(struct rate *r, uint32_t limit, uint32_t burst)
{
	uint64_t interval = limit > 0 ? NS / limit : 0;
	uint64_t depth = burst > 0 ? (burst - 1) * interval : 0;

	if (interval == r->interval && depth == r->depth)
		return;
	/* What was used of a bucket is not to be paid at another rate. */
	if (rate_is_on(r))
		memset(r->clients, 0,
		    (size_t)RATE_SETS * RATE_WAYS * sizeof(r->clients[0]));
	r->interval = interval;
	r->depth = depth;
}

/* The client's record, which may be new. */
static struct rate_client *
client_find(struct rate *r, struct keyhash_addr net, uint16_t family)
{
	uint32_t tag = keyhash(&r->tag, net, family), i;
	uint32_t set = keyhash(&r->set, net, family) & (RATE_SETS - 1);
	struct rate_client *c = &r->clients[(size_t)set * RATE_WAYS], *min = c;

	for (i = 0; i < RATE_WAYS; i++, c++) {
		if (c->tag == tag)
			return c;
		if (c->full < min->full)
			min = c;
	}
	min->tag = tag;
	min->told = false;
	min->full = 0;
	return min;
}

enum rate_verdict
rate_judge(
    struct rate *r, struct keyhash_addr net, uint16_t family, uint64_t now_us)
{
	struct rate_client *c = client_find(r, net, family);
	uint64_t now = now_us * 1000;

	if (c->full < now)
		c->full = now;
	if (c->full - now <= r->depth) {
		c->full += r->interval;
		return RATE_PASS;
	}
	c->told = !c->told;
	return c->told ? RATE_TRUNCATE : RATE_DROP;
}
