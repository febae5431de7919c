/* SPDX-License-Identifier: ISC */
/*
 * DNS messages out of a byte stream (RFC 1035 4.2.2): two bytes of length, then
 * the message.  A message that lies whole in what was read is not copied.  One
 * that is incomplete is, to a buffer that grows with the bytes that came, not
 * with the length announced, and stays for the next: at most 64 KiB.
 */
#ifndef POOL_FRAME_H
#define POOL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/wire.h"

#define FRAME_HDR_LEN 2
#define FRAME_FIRST_ALLOC 512

/* Zero-initialise it. */
struct frame_buf {
	uint8_t *data; /* owned; len > 0: an incomplete frame with its header */
	size_t len;
	size_t cap;
	bool done; /* the frame in data was handed out */
};

static inline void
frame_reset(struct frame_buf *f)
{
	free(f->data);
	f->data = NULL;
	f->len = f->cap = 0;
	f->done = false;
}

static inline bool
frame_reserve(struct frame_buf *f, size_t need, size_t most)
{
	size_t cap = f->cap == 0 ? FRAME_FIRST_ALLOC : f->cap * 2;
	uint8_t *data;

	if (need <= f->cap)
		return true;
	if (cap > most)
		cap = most;
	if (cap < need)
		cap = need;
	data = realloc(f->data, cap);
	if (data == NULL)
		return false;
	f->data = data;
	f->cap = cap;
	return true;
}

/* Takes a frame that lies whole in r. */
static inline bool
frame_take_whole(struct wire_reader *r, const uint8_t **msg, size_t *len)
{
	size_t left = wire_remaining(r);

	if (left < FRAME_HDR_LEN)
		return false;
	*len = wire_load_u16(r->data + r->pos);
	if (left - FRAME_HDR_LEN < *len)
		return false;
	(void)wire_get_u16(r);
	*msg = wire_get_bytes(r, *len);
	return true;
}

/*
 * Reads on in r.  Returns 1 with the next message, valid until the next call
 * or until what r reads changes; 0 if no more is complete, and r is used up;
 * -1 out of memory.
 */
static inline int
frame_next(struct frame_buf *f, struct wire_reader *r, const uint8_t **msg,
    size_t *len)
{
	size_t want, most, n;

	if (f->done) {
		f->len = 0;
		f->done = false;
	}
	if (f->len == 0 && frame_take_whole(r, msg, len))
		return 1;
	while (wire_remaining(r) > 0) {
		want = FRAME_HDR_LEN;
		most = FRAME_FIRST_ALLOC;
		if (f->len >= FRAME_HDR_LEN)
			most = want += wire_load_u16(f->data);
		n = want - f->len;
		if (n > wire_remaining(r))
			n = wire_remaining(r);
		if (!frame_reserve(f, f->len + n, most))
			return -1;
		wire_get_copy(r, f->data + f->len, n);
		f->len += n;
		if (f->len < FRAME_HDR_LEN)
			continue;
		*len = wire_load_u16(f->data);
		if (f->len < FRAME_HDR_LEN + *len)
			continue;
		*msg = f->data + FRAME_HDR_LEN;
		f->done = true;
		return 1;
	}
	return 0;
}

#endif
