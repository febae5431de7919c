/* SPDX-License-Identifier: ISC */
/*
 * How many queries a second a client may ask over UDP: a token bucket for each
 * prefix, kept as the time at which it is full again.  Runs in the listener.
 * Pure: no clock, no message.
 *
 * A record outlives the queries it has counted, so there cannot be one for
 * everybody.  The table has sets of a few records; a client's set follows from
 * a secret hash.  A new one takes, of its set, the record whose bucket is full
 * soonest: whom nothing is lost by forgetting, or the least.  So addresses that
 * are made up push out each other, and who has asked little, but not who has
 * asked much; and who is forgotten may ask, never the other way round.
 *
 * Of who asked only a number is kept that nobody outside can make.
 */
#ifndef LISTENER_RATE_H
#define LISTENER_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "dotproxy/listener/keyhash.h"

#define RATE_SETS 8192u /* a power of two */
#define RATE_WAYS 8u    /* two lines of the processor's cache */

/* What is to be done with a query. */
enum rate_verdict {
	RATE_PASS,
	RATE_TRUNCATE, /* too many: who has this address may come by TCP */
	RATE_DROP
};

struct rate_client {
	uint32_t tag;  /* who it is, in its set */
	bool told;     /* the last one beyond the limit was answered */
	uint64_t full; /* ns: when the bucket is full again */
};

struct rate {
	struct keyhash set, tag;     /* secret */
	struct rate_client *clients; /* RATE_SETS * RATE_WAYS of them */
	uint64_t interval;           /* ns from token to token; 0: no limit */
	uint64_t depth; /* ns from an empty bucket with one token to a full */
};

/*
 * Makes an unused struct a table without a limit.  Memory is only reserved.
 * Returns 0 or -1 out of memory.
 */
int rate_init(struct rate *, struct rng *);
void rate_clear(struct rate *);

/*
 * So many a second, and so many at once; both 0: no limit.  If that is
 * another limit than before, it begins with full buckets.
 */
void rate_set_limit(struct rate *, uint32_t limit, uint32_t burst);

static inline bool
rate_is_on(const struct rate *r)
{
	return r->interval != 0;
}

/* Judges one more query of a client, its prefix and address family. */
enum rate_verdict rate_judge(
    struct rate *, struct keyhash_addr net, uint16_t family, uint64_t now_us);

#endif
