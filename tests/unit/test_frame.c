/* SPDX-License-Identifier: ISC */
/* LINK: */
/* Messages out of a stream, however it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dotproxy/pool/frame.h"
#include "tests/unit/alloc_fail.h"

/* Feeds n bytes in pieces; checks that message i is i + 1 bytes of value i. */
static size_t
feed(struct frame_buf *f, const uint8_t *p, size_t n, size_t piece, size_t seen)
{
	const uint8_t *msg;
	struct wire_reader r;
	size_t len, i, step;

	for (; n > 0; p += step, n -= step) {
		step = n < piece ? n : piece;
		wire_reader_init(&r, p, step);
		while (frame_next(f, &r, &msg, &len) == 1) {
			assert_int_equal(len, seen + 1);
			for (i = 0; i < len; i++)
				assert_int_equal(msg[i], seen);
			seen++;
		}
		assert_int_equal(wire_remaining(&r), 0);
		assert_false(r.error);
	}
	return seen;
}

static size_t
make_stream(uint8_t *out, size_t count)
{
	size_t i, n = 0;

	for (i = 0; i < count; i++) {
		wire_store_u16(out + n, (uint16_t)(i + 1));
		memset(out + n + 2, (int)i, i + 1);
		n += 2 + i + 1;
	}
	return n;
}

static void
test_any_cut_gives_the_same_messages(void **state)
{
	static uint8_t stream[4096];
	struct frame_buf f = { 0 };
	size_t n = make_stream(stream, 60), piece;

	(void)state;
	for (piece = 1; piece <= n; piece++) {
		assert_int_equal(feed(&f, stream, n, piece, 0), 60);
		assert_true(f.done || f.len == 0);
	}
	frame_reset(&f);
}

static void
test_each_cut_in_two(void **state)
{
	static uint8_t stream[512];
	struct frame_buf f = { 0 };
	size_t n = make_stream(stream, 12), at;

	(void)state;
	for (at = 0; at <= n; at++) {
		size_t seen = feed(&f, stream, at, n, 0);

		assert_int_equal(feed(&f, stream + at, n - at, n, seen), 12);
		frame_reset(&f);
	}
}

static void
test_whole_message_is_not_copied(void **state)
{
	uint8_t stream[] = { 0, 3, 'a', 'b', 'c', 0, 1, 'd' };
	struct frame_buf f = { 0 };
	struct wire_reader r;
	const uint8_t *msg;
	size_t len;

	(void)state;
	wire_reader_init(&r, stream, sizeof(stream));
	assert_int_equal(frame_next(&f, &r, &msg, &len), 1);
	assert_ptr_equal(msg, stream + 2);
	assert_int_equal(frame_next(&f, &r, &msg, &len), 1);
	assert_ptr_equal(msg, stream + 7);
	assert_int_equal(frame_next(&f, &r, &msg, &len), 0);
	assert_null(f.data);
}

static void
test_empty_message_is_one(void **state)
{
	uint8_t stream[] = { 0, 0, 0, 0 };
	struct frame_buf f = { 0 };
	struct wire_reader r;
	const uint8_t *msg;
	size_t len = 9;

	(void)state;
	wire_reader_init(&r, stream, 3);
	assert_int_equal(frame_next(&f, &r, &msg, &len), 1);
	assert_int_equal(len, 0);
	assert_int_equal(frame_next(&f, &r, &msg, &len), 0);
	wire_reader_init(&r, stream + 3, 1);
	assert_int_equal(frame_next(&f, &r, &msg, &len), 1);
	assert_int_equal(len, 0);
	assert_int_equal(frame_next(&f, &r, &msg, &len), 0);
	frame_reset(&f);
}

static void
test_longest_message_byte_by_byte(void **state)
{
	static uint8_t stream[2 + 65535];
	struct frame_buf f = { 0 };
	struct wire_reader r;
	const uint8_t *msg;
	size_t len, i;
	int got;

	(void)state;
	memset(stream, 'x', sizeof(stream));
	wire_store_u16(stream, 65535);
	for (i = 0; i < sizeof(stream); i++) {
		wire_reader_init(&r, stream + i, 1);
		got = frame_next(&f, &r, &msg, &len);
		assert_int_equal(got, i == sizeof(stream) - 1);
		/* What is announced is not yet allocated. */
		assert_true(f.cap <= 2 * (i + 1) || f.cap <= 512);
		assert_true(f.cap <= sizeof(stream));
	}
	assert_int_equal(len, 65535);
	assert_memory_equal(msg, stream + 2, len);
	frame_reset(&f);
}

static void
test_buffer_stays_for_the_next(void **state)
{
	static uint8_t stream[2 * (FRAME_HDR_LEN + 3000)];
	struct frame_buf f = { 0 };
	struct wire_reader r;
	const uint8_t *msg, *data;
	size_t len, at = 0, i;

	(void)state;
	wire_store_u16(stream, 3000);
	wire_store_u16(stream + sizeof(stream) / 2, 3000);
	for (data = NULL, i = 0; i < 2; i++) {
		wire_reader_init(&r, stream + at, 2000);
		assert_int_equal(frame_next(&f, &r, &msg, &len), 0);
		wire_reader_init(&r, stream + at + 2000, 1002);
		assert_int_equal(frame_next(&f, &r, &msg, &len), 1);
		assert_int_equal(len, 3000);
		assert_true(data == NULL || data == f.data);
		data = f.data;
		at += sizeof(stream) / 2;
	}
	frame_reset(&f);
	assert_null(f.data);
}

/* Octet by octet; what has got no memory has lost nothing that came before. */
static bool
take_long_one(void)
{
	static uint8_t in[2 + 3 * FRAME_FIRST_ALLOC];
	struct frame_buf f = { .cap = 0 };
	struct wire_reader r;
	const uint8_t *msg = NULL;
	size_t i, len = 0, had;
	bool ok = true;
	int got = 0;

	wire_store_u16(in, sizeof(in) - 2);
	for (i = 0; i < sizeof(in); i += got != -1) {
		had = f.len;
		wire_reader_init(&r, in + i, 1);
		got = frame_next(&f, &r, &msg, &len);
		if (got == -1) {
			ok = false;
			assert_int_equal(f.len, had);
		}
	}
	assert_int_equal(got, 1);
	assert_int_equal(len, sizeof(in) - 2);
	assert_memory_equal(msg, in + 2, len);
	frame_reset(&f);
	return ok;
}

static void
test_each_allocation_fails(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(take_long_one);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_fails),
		cmocka_unit_test(test_any_cut_gives_the_same_messages),
		cmocka_unit_test(test_each_cut_in_two),
		cmocka_unit_test(test_whole_message_is_not_copied),
		cmocka_unit_test(test_empty_message_is_one),
		cmocka_unit_test(test_buffer_stays_for_the_next),
		cmocka_unit_test(test_longest_message_byte_by_byte),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
