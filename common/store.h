/* SPDX-License-Identifier: ISC */
/*
 * Memory for messages too long for the slots of a table, with a budget.  One
 * that UDP clients are likely to send takes a chunk that was there before, so
 * that it costs no allocation; longer ones are rare, and do.  Pure.
 */
#ifndef COMMON_STORE_H
#define COMMON_STORE_H

#include <stddef.h>
#include <stdint.h>

#define STORE_CHUNK 4096

struct store {
	uint8_t *chunks; /* owned; nchunks of STORE_CHUNK bytes */
	uint16_t *free;  /* owned; chunks given back, the last on top */
	uint32_t nchunks;
	uint32_t nfree;
	uint32_t touched; /* chunks below this have been used */
	size_t bytes;     /* in all messages, <= max */
	size_t max;
};

/*
 * Makes an empty store for max bytes of messages.  Memory is only reserved:
 * pages become real as they are used, and stay.  Returns 0, or -1 out of
 * memory.
 */
int store_init(struct store *, size_t max);

/* Frees the store; what was taken must have been given back. */
void store_clear(struct store *);

/* Memory for len bytes.  NULL if the budget is spent, or memory is short. */
uint8_t *store_take(struct store *, size_t len);

/* Takes back what store_take() gave for len bytes; NULL is nothing. */
void store_give(struct store *, uint8_t *, size_t len);

#endif
