/* SPDX-License-Identifier: ISC */
/*
 * Messages out of an upstream's byte stream (frame.h): they are the same
 * however the bytes are cut.  The first octet seeds the cuts, the others are
 * the stream.
 */
#include "dotproxy/pool/frame.h"

#include "tests/fuzz/fuzz.h"

#define FRAMES_MAX 4096

/* Where in the stream each message should be. */
struct expected {
	size_t n;
	struct {
		const uint8_t *msg;
		size_t len;
	} of[FRAMES_MAX];
};

static void
cut_by_hand(struct expected *e, const uint8_t *data, size_t len)
{
	size_t n;

	e->n = 0;
	while (len >= 2 && e->n < FRAMES_MAX) {
		n = (size_t)data[0] << 8 | data[1];
		if (len - 2 < n)
			return;
		e->of[e->n].msg = data + 2;
		e->of[e->n++].len = n;
		data += 2 + n;
		len -= 2 + n;
	}
}

static size_t
read_all(struct frame_buf *f, const uint8_t *data, size_t len,
    const struct expected *e, size_t found)
{
	struct wire_reader r;
	const uint8_t *msg;
	size_t n;
	int got;

	wire_reader_init(&r, data, len);
	while ((got = frame_next(f, &r, &msg, &n)) == 1) {
		if (found < e->n) {
			FUZZ_ASSERT(n == e->of[found].len);
			FUZZ_ASSERT(memcmp(msg, e->of[found].msg, n) == 0);
		} else
			FUZZ_ASSERT(e->n == FRAMES_MAX);
		found++;
	}
	FUZZ_ASSERT(got == 0 && wire_remaining(&r) == 0);
	FUZZ_ASSERT(f->cap <= FRAME_HDR_LEN + 65535);
	return found;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct expected *e;
	struct frame_buf f = { 0 };
	struct fuzz_random rnd;
	size_t pos, n, found = 0;
	uint32_t most;
	uint8_t *piece;

	if (len == 0)
		return 0;
	fuzz_seed(&rnd, data[0]);
	most = 1u << (data[0] & 15);
	data++;
	len--;
	e = fuzz_alloc(sizeof(*e));
	cut_by_hand(e, data, len);
	for (pos = 0; pos < len; pos += n) {
		n = 1 + fuzz_below(&rnd, most);
		if (n > len - pos)
			n = len - pos;
		piece = fuzz_copy(data + pos, n);
		found = read_all(&f, piece, n, e, found);
		free(piece);
		/* What was announced costs nothing before it comes. */
		FUZZ_ASSERT(f.cap <= 2 * (pos + n + FRAME_FIRST_ALLOC));
	}
	FUZZ_ASSERT(found >= e->n);
	frame_reset(&f);
	free(e);
	return 0;
}
