/* SPDX-License-Identifier: ISC */
/* The cursors all bytes from outside go through: bounds and sticky errors. */
/* LINK: */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/wire.h"

static const uint8_t bytes[] = { 0x01, 0x82, 0x03, 0x84, 0x05, 0x86, 0x07, 0x88,
	0x09, 0x8a, 0x0b, 0x8c, 0x0d, 0x8e, 0x0f };

/* Only the first len bytes are there for the reader, and for sanitizers. */
static uint8_t *
reader_over(struct wire_reader *r, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	wire_reader_init(r, copy, len);
	return copy;
}

static void
load_store(void **state)
{
	const uint64_t v[] = { 0, 1, 0x80, 0xff, 0x8000, 0xffff, 0x80000000,
		0xffffffff, 0x8000000000000000, 0x0102030405060708,
		UINT64_MAX };
	uint8_t b[8];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		wire_store_u16(b, (uint16_t)v[i]);
		assert_int_equal(wire_load_u16(b), (uint16_t)v[i]);
		wire_store_u32(b, (uint32_t)v[i]);
		assert_int_equal(wire_load_u32(b), (uint32_t)v[i]);
		wire_store_u64(b, v[i]);
		assert_true(wire_load_u64(b) == v[i]);
	}
	assert_memory_equal(b, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	wire_store_u64(b, 0x0102030405060708);
	assert_memory_equal(b, "\1\2\3\4\5\6\7\10", 8);
}

static void
read_numbers(void **state)
{
	struct wire_reader r;

	(void)state;
	wire_reader_init(&r, bytes, sizeof(bytes));
	assert_int_equal(wire_remaining(&r), 15);
	assert_int_equal(wire_get_u8(&r), 0x01);
	assert_int_equal(wire_get_u16(&r), 0x8203);
	assert_int_equal(wire_get_u32(&r), 0x84058607);
	assert_true(wire_get_u64(&r) == 0x88098a0b8c0d8e0f);
	assert_int_equal(wire_remaining(&r), 0);
	assert_true(wire_done(&r));
	assert_int_equal(wire_get_u8(&r), 0);
	assert_false(wire_done(&r));
}

/* Every kind of read, with every number of bytes too few. */
static void
read_past_the_end(void **state)
{
	struct wire_reader r;
	uint8_t out[8], *copy;
	size_t kind, len, want[] = { 1, 2, 4, 8, 5 };

	(void)state;
	for (kind = 0; kind < 5; kind++) {
		for (len = 0; len < want[kind]; len++) {
			copy = reader_over(&r, len);
			memset(out, 0xee, sizeof(out));
			if (kind == 0)
				assert_int_equal(wire_get_u8(&r), 0);
			else if (kind == 1)
				assert_int_equal(wire_get_u16(&r), 0);
			else if (kind == 2)
				assert_int_equal(wire_get_u32(&r), 0);
			else if (kind == 3)
				assert_true(wire_get_u64(&r) == 0);
			else
				wire_get_copy(&r, out, 5);
			if (kind == 4)
				assert_memory_equal(out, "\0\0\0\0\0\xee", 6);
			assert_true(r.error);
			assert_int_equal(wire_remaining(&r), 0);
			assert_false(wire_done(&r));
			free(copy);
		}
	}
}

/* After an error nothing is read, though there is enough for it. */
static void
read_error_is_sticky(void **state)
{
	struct wire_reader r;
	uint8_t out[2] = { 7, 7 };
	char s[4];

	(void)state;
	wire_reader_init(&r, bytes, 4);
	assert_null(wire_get_bytes(&r, 5));
	assert_null(wire_get_bytes(&r, 0));
	assert_int_equal(wire_get_u8(&r), 0);
	assert_int_equal(wire_get_u16(&r), 0);
	wire_get_copy(&r, out, 2);
	assert_memory_equal(out, "\0\0", 2);
	wire_get_str(&r, s, sizeof(s));
	assert_string_equal(s, "");
	assert_int_equal(r.pos, 0);
	assert_false(wire_done(&r));
}

/* Lengths that would wrap around when added to a pointer. */
static void
read_huge_lengths(void **state)
{
	struct wire_reader r;
	const size_t huge[] = { 16, SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(huge) / sizeof(huge[0]); i++) {
		wire_reader_init(&r, bytes, sizeof(bytes));
		assert_non_null(wire_get_bytes(&r, 3));
		assert_null(wire_get_bytes(&r, huge[i]));
		assert_true(r.error);
	}
	wire_reader_init(&r, bytes, sizeof(bytes));
	assert_ptr_equal(wire_get_bytes(&r, sizeof(bytes)), bytes);
	assert_true(wire_done(&r));
	assert_non_null(wire_get_bytes(&r, 0));
	wire_reader_init(&r, NULL, 0);
	assert_true(wire_done(&r));
	assert_int_equal(wire_get_u8(&r), 0);
	assert_true(r.error);
}

static void
read_strings(void **state)
{
	struct wire_reader r;
	char s[4];

	(void)state;
	wire_reader_init(&r, (const uint8_t *)"\0\3abc", 5);
	wire_get_str(&r, s, sizeof(s)); /* just fits, with its NUL */
	assert_string_equal(s, "abc");
	assert_true(wire_done(&r));
	wire_reader_init(&r, (const uint8_t *)"\0\0", 2);
	wire_get_str(&r, s, sizeof(s));
	assert_string_equal(s, "");
	assert_true(wire_done(&r));
}

/* Too long for the buffer, longer than the message, with a NUL, cut. */
static void
read_bad_strings(void **state)
{
	const struct {
		const char *data;
		size_t len;
	} t[] = { { "\0\4abcd", 6 }, { "\0\3ab", 4 }, { "\0\3a\0c", 5 },
		{ "\0\1\0", 3 },
		{ "\xff\xff"
		  "abc",
		    5 },
		{ "\0", 1 }, { "", 0 } };
	struct wire_reader r;
	char s[4];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		memset(s, 'x', sizeof(s));
		wire_reader_init(&r, (const uint8_t *)t[i].data, t[i].len);
		wire_get_str(&r, s, sizeof(s));
		assert_true(r.error);
		assert_string_equal(s, "");
	}
}

/* One byte left over is not done: trailing bytes are an error. */
static void
done_means_all(void **state)
{
	struct wire_reader r;

	(void)state;
	wire_reader_init(&r, bytes, 5);
	(void)wire_get_u32(&r);
	assert_false(wire_done(&r));
	assert_false(r.error);
	(void)wire_get_u8(&r);
	assert_true(wire_done(&r));
}

static void
write_and_read_back(void **state)
{
	struct wire_writer w;
	struct wire_reader r;
	uint8_t buf[1 + 2 + 4 + 8 + 3 + 2 + 5];
	char s[6];

	(void)state;
	wire_writer_init(&w, buf, sizeof(buf));
	wire_put_u8(&w, 0xab);
	wire_put_u16(&w, 0xcdef);
	wire_put_u32(&w, 0xfedcba98);
	wire_put_u64(&w, 0xf0e1d2c3b4a59687);
	wire_put_bytes(&w, "xyz", 3);
	wire_put_str(&w, "hello");
	assert_false(w.error);
	assert_int_equal(w.pos, sizeof(buf));
	wire_reader_init(&r, buf, w.pos);
	assert_int_equal(wire_get_u8(&r), 0xab);
	assert_int_equal(wire_get_u16(&r), 0xcdef);
	assert_int_equal(wire_get_u32(&r), 0xfedcba98);
	assert_true(wire_get_u64(&r) == 0xf0e1d2c3b4a59687);
	assert_memory_equal(wire_get_bytes(&r, 3), "xyz", 3);
	wire_get_str(&r, s, sizeof(s));
	assert_string_equal(s, "hello");
	assert_true(wire_done(&r));
}

/* Every kind of write, with every room that is too small for it. */
static void
write_past_the_end(void **state)
{
	struct wire_writer w;
	uint8_t *buf;
	size_t kind, cap, want[] = { 1, 2, 4, 8, 5, 7 };

	(void)state;
	for (kind = 0; kind < 6; kind++) {
		for (cap = 0; cap < want[kind]; cap++) {
			buf = malloc(cap > 0 ? cap : 1);
			assert_non_null(buf);
			wire_writer_init(&w, buf, cap);
			if (kind == 0)
				wire_put_u8(&w, 1);
			else if (kind == 1)
				wire_put_u16(&w, 1);
			else if (kind == 2)
				wire_put_u32(&w, 1);
			else if (kind == 3)
				wire_put_u64(&w, 1);
			else if (kind == 4)
				wire_put_bytes(&w, "abcde", 5);
			else
				wire_put_str(&w, "abcde");
			assert_true(w.error);
			free(buf);
		}
	}
}

static void
write_error_is_sticky(void **state)
{
	struct wire_writer w;
	uint8_t buf[4] = { 9, 9, 9, 9 };

	(void)state;
	wire_writer_init(&w, buf, sizeof(buf));
	assert_null(wire_put_space(&w, SIZE_MAX));
	wire_put_u8(&w, 1);
	wire_put_bytes(&w, "", 0);
	assert_null(wire_put_space(&w, 0));
	assert_true(w.error);
	assert_int_equal(w.pos, 0);
	assert_memory_equal(buf, "\11\11\11\11", 4);
}

/* A string length has 16 bits. */
static void
write_long_strings(void **state)
{
	struct wire_writer w;
	char *s = malloc(65537);
	uint8_t *buf = malloc(70000);

	(void)state;
	assert_non_null(s);
	assert_non_null(buf);
	memset(s, 'x', 65536);
	s[65536] = '\0';
	wire_writer_init(&w, buf, 70000);
	wire_put_str(&w, s);
	assert_true(w.error);
	wire_writer_init(&w, buf, 70000);
	wire_put_str(&w, s + 1);
	assert_false(w.error);
	assert_int_equal(w.pos, 65537);
	free(s);
	free(buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(load_store),
		cmocka_unit_test(read_numbers),
		cmocka_unit_test(read_past_the_end),
		cmocka_unit_test(read_error_is_sticky),
		cmocka_unit_test(read_huge_lengths),
		cmocka_unit_test(read_strings),
		cmocka_unit_test(read_bad_strings),
		cmocka_unit_test(done_means_all),
		cmocka_unit_test(write_and_read_back),
		cmocka_unit_test(write_past_the_end),
		cmocka_unit_test(write_error_is_sticky),
		cmocka_unit_test(write_long_strings),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
