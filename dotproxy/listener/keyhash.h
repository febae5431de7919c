/* SPDX-License-Identifier: ISC */
/*
 * The hash of the listener's tables, of keys that anybody on the network can
 * choose.  Strongly universal (multiply-shift, Dietzfelbinger 1996): as long
 * as the numbers are not known, two keys meet in a bucket by chance only,
 * however they were chosen.  So they must never leave the process.
 */
#ifndef LISTENER_KEYHASH_H
#define LISTENER_KEYHASH_H

#include <stddef.h>
#include <stdint.h>

#include "common/util.h"

#define KEYHASH_WORDS 5

struct keyhash {
	uint64_t add;
	uint64_t factor[KEYHASH_WORDS];
};

static inline uint64_t
keyhash_draw_u64(struct rng *rng)
{
	uint64_t high = rng_u32(rng);

	return high << 32 | rng_u32(rng);
}

/* Draws the secret numbers, once. */
static inline void
keyhash_draw(struct keyhash *k, struct rng *rng)
{
	size_t i;

	k->add = keyhash_draw_u64(rng);
	for (i = 0; i < KEYHASH_WORDS; i++)
		k->factor[i] = keyhash_draw_u64(rng);
}

/* An address as two words, in any order as long as it is the same. */
struct keyhash_addr {
	uint64_t a;
	uint64_t b;
};

/* Returns the hash of an address and a number.  Any bits of it will do. */
static inline uint32_t
keyhash(const struct keyhash *k, struct keyhash_addr addr, uint32_t n)
{
	uint64_t h = k->add + k->factor[0] * n;

	h += k->factor[1] * (uint32_t)addr.a;
	h += k->factor[2] * (addr.a >> 32);
	h += k->factor[3] * (uint32_t)addr.b;
	h += k->factor[4] * (addr.b >> 32);
	return (uint32_t)(h >> 32);
}

/* The number of buckets for so many keys: a power of two, at least that. */
static inline uint32_t
keyhash_buckets(uint32_t keys)
{
	uint32_t n = 1;

	while (n < keys)
		n *= 2;
	return n;
}

#endif
