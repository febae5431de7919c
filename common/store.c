/* SPDX-License-Identifier: ISC */
/*
 * Memory for long messages; see store.h.  Runs in the listener and the pool,
 * each for its own queries.  Must never keep its own data in a chunk: those
 * bytes are a client's.
 */
#include "common/store.h"

#include <stdlib.h>
#include <string.h>

int
store_init(struct store *s, size_t max)
{
	size_t n = max / STORE_CHUNK;

	memset(s, 0, sizeof(*s));
	s->max = max;
	s->nchunks = n < UINT16_MAX ? (uint32_t)n : UINT16_MAX;
	/* So large that they come as untouched zero pages. */
	s->chunks = calloc(s->nchunks, STORE_CHUNK);
	s->free = calloc(s->nchunks, sizeof(s->free[0]));
	if (s->chunks == NULL || s->free == NULL) {
		store_clear(s);
		return -1;
	}
	return 0;
}

void
store_clear(struct store *s)
{
	free(s->chunks);
	free(s->free);
	memset(s, 0, sizeof(*s));
}

uint8_t *
store_take(struct store *s, size_t len)
{
	uint8_t *p = NULL;

	if (len > s->max - s->bytes)
		return NULL;
	if (len <= STORE_CHUNK && s->nfree > 0)
		p = s->chunks + (size_t)s->free[--s->nfree] * STORE_CHUNK;
	else if (len <= STORE_CHUNK && s->touched < s->nchunks)
		p = s->chunks + (size_t)s->touched++ * STORE_CHUNK;
	else
		p = malloc(len);
	if (p != NULL)
		s->bytes += len;
	return p;
}

void
store_give(struct store *s, uint8_t *p, size_t len)
{
	uintptr_t at = (uintptr_t)p - (uintptr_t)s->chunks;

	if (p == NULL)
		return;
	s->bytes -= len;
	if (at < (size_t)s->nchunks * STORE_CHUNK)
		s->free[s->nfree++] = (uint16_t)(at / STORE_CHUNK);
	else
		free(p);
}
