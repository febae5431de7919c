/* SPDX-License-Identifier: ISC */
/*
 * Changes to a stream of imsg frames that leave it one: a frame more, twice, or
 * of another type; a payload changed without its length, or with it.  Plain
 * bytes hardly ever make a second frame.
 */
#ifndef TESTS_FUZZ_FRAMES_H
#define TESTS_FUZZ_FRAMES_H

#include "common/imsg.h"
#include "tests/fuzz/fuzz.h"

/* A frame of a stream. */
struct fuzz_frame {
	size_t at;
	size_t len; /* of the payload, as far as it is there */
};

/* Chooses one of the whole frames; false if there is none. */
static inline bool
frames_choose(const uint8_t *data, size_t len, struct fuzz_random *rnd,
    struct fuzz_frame *f)
{
	size_t at = 0, n, seen = 0;

	while (len - at >= IMSG_HDR_LEN) {
		n = wire_load_u32(data + at + 4);
		if (n > len - at - IMSG_HDR_LEN)
			n = len - at - IMSG_HDR_LEN;
		if (fuzz_below(rnd, (uint32_t)++seen) == 0) {
			f->at = at;
			f->len = n;
		}
		at += IMSG_HDR_LEN + n;
	}
	return seen > 0;
}

/* A frame at the end, of one of the types; its payload are small numbers. */
static inline size_t
frames_append(uint8_t *data, size_t len, size_t max, struct fuzz_random *rnd,
    const uint16_t *types, size_t ntypes)
{
	size_t i, n = fuzz_below(rnd, 4) == 0 ? fuzz_below(rnd, 200)
					      : fuzz_below(rnd, 6);
	uint8_t *p = data + len;

	if (max - len < IMSG_HDR_LEN + n)
		return len;
	wire_store_u16(p, types[fuzz_below(rnd, (uint32_t)ntypes)]);
	wire_store_u16(p + 2, fuzz_below(rnd, 32) == 0);
	wire_store_u32(p + 4, (uint32_t)n);
	wire_store_u64(p + 8, fuzz_below(rnd, 4));
	for (i = 0; i < n; i++)
		p[IMSG_HDR_LEN + i] =
		    (uint8_t)(fuzz_below(rnd, 2) *
			      fuzz_below(rnd, fuzz_below(rnd, 8) ? 6 : 256));
	return len + IMSG_HDR_LEN + n;
}

/* Changes a payload as LLVMFuzzerMutate() does, and says how long it is. */
static inline size_t
frames_rewrite(
    uint8_t *data, size_t len, size_t max, const struct fuzz_frame *f)
{
	size_t start = f->at + IMSG_HDR_LEN, behind = len - start - f->len, n;
	uint8_t *tail = fuzz_copy(data + start + f->len, behind);

	n = LLVMFuzzerMutate(data + start, f->len, max - start - behind);
	memcpy(data + start + n, tail, behind);
	wire_store_u32(data + f->at + 4, (uint32_t)n);
	free(tail);
	return start + n + behind;
}

/* Changes a stream within max bytes; returns its new length. */
static inline size_t
frames_mutate(uint8_t *data, size_t len, size_t max, struct fuzz_random *rnd,
    const uint16_t *types, size_t ntypes)
{
	struct fuzz_frame f = { 0, 0 };
	size_t n;

	if (!frames_choose(data, len, rnd, &f))
		return frames_append(data, len, max, rnd, types, ntypes);
	n = IMSG_HDR_LEN + f.len;
	switch (fuzz_below(rnd, 6)) {
	case 0:
		return frames_append(data, len, max, rnd, types, ntypes);
	case 1: /* once more */
		if (n > max - len)
			return len;
		memcpy(data + len, data + f.at, n);
		return len + n;
	case 2: /* without it */
		memmove(data + f.at, data + f.at + n, len - f.at - n);
		return len - n;
	case 3:
		wire_store_u16(
		    data + f.at, types[fuzz_below(rnd, (uint32_t)ntypes)]);
		return len;
	case 4: /* the same length, other bytes */
		if (f.len > 0)
			data[f.at + IMSG_HDR_LEN +
			     fuzz_below(rnd, (uint32_t)f.len)] =
			    (uint8_t)fuzz_below(rnd, 256);
		return len;
	default:
		return frames_rewrite(data, len, max, &f);
	}
}

#endif
