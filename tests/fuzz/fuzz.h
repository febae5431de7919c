/* SPDX-License-Identifier: ISC */
/*
 * What all fuzz targets have in common.  A target is a program of one function,
 * which is given any bytes.  libFuzzer makes them up; replay.c reads them from
 * files, so that what was once found is an ordinary test.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

/* The target. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* libFuzzer's, or replay.c's: changes some bytes. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max);

/* A target may have one of its own; replay.c knows how to do without. */
size_t LLVMFuzzerCustomMutator(
    uint8_t *data, size_t len, size_t max, unsigned int seed);

/* What has to be true of any input.  Holds whatever NDEBUG says. */
#define FUZZ_ASSERT(cond)                                                   \
	do {                                                                \
		if (!(cond)) {                                              \
			(void)fprintf(stderr, "%s:%d: not: %s\n", __FILE__, \
			    __LINE__, #cond);                               \
			abort();                                            \
		}                                                           \
	} while (0)

/* Memory, or the end of it. */
static inline void *
fuzz_alloc(size_t size)
{
	void *p = calloc(1, size > 0 ? size : 1);

	FUZZ_ASSERT(p != NULL);
	return p;
}

/*
 * A copy of just that size, so that a sanitizer sees a byte read beyond it.  To
 * be freed.
 */
static inline uint8_t *
fuzz_copy(const uint8_t *data, size_t len)
{
	uint8_t *p = fuzz_alloc(len);

	if (len > 0)
		memcpy(p, data, len);
	return p;
}

/* The same as text: with a NUL behind it, and none in it. */
static inline char *
fuzz_text(const uint8_t *data, size_t len)
{
	char *p = fuzz_alloc(len + 1);
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = data[i] != '\0' ? (char)data[i] : ' ';
	return p;
}

/* All that is left of the input. */
static inline const uint8_t *
fuzz_rest(struct wire_reader *r, size_t *len)
{
	*len = wire_remaining(r);
	return *len > 0 ? wire_get_bytes(r, *len) : r->data;
}

/* Random numbers for mutators (xorshift, from the seed alone). */
struct fuzz_random {
	uint32_t state;
};

static inline void
fuzz_seed(struct fuzz_random *rnd, unsigned int seed)
{
	rnd->state = seed * 2654435761u | 1u;
}

/* Below n, which is not 0. */
static inline uint32_t
fuzz_below(struct fuzz_random *rnd, uint32_t n)
{
	rnd->state ^= rnd->state << 13;
	rnd->state ^= rnd->state >> 17;
	rnd->state ^= rnd->state << 5;
	return rnd->state % n;
}

#endif
