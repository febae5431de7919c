/* SPDX-License-Identifier: ISC */
/* Numbers and foreign text for people: every boundary, and no width exceeded.
 */
/* LINK: dotproxyctl/format.c common/log.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dotproxyctl/format.h"

#define S 1000ull
#define M (60 * S)
#define H (60 * M)
#define D (24 * H)

struct row {
	uint64_t n;
	const char *want;
};

/* Formats each, and powers of everything to see that the width holds. */
static void
check(const char *(*format)(char[FORMAT_MAX], uint64_t), const struct row *rows,
    size_t n, size_t width)
{
	char buf[FORMAT_MAX];
	uint64_t v;
	size_t i;

	for (i = 0; i < n; i++)
		assert_string_equal(format(buf, rows[i].n), rows[i].want);
	for (v = 1; v < UINT64_MAX / 10; v = v * 10 / 9 + 1) {
		assert_in_range(strlen(format(buf, v)), 1, width);
		assert_in_range(strlen(format(buf, v * 9)), 1, width);
	}
	for (i = 0; i < 64; i++) {
		v = 1ull << i;
		assert_in_range(strlen(format(buf, v)), 1, width);
		assert_in_range(strlen(format(buf, v - 1)), 1, width);
	}
}

static void
ages(void **state)
{
	const struct row rows[] = { { 0, "0.0s" }, { 99, "0.0s" },
		{ 3299, "3.2s" }, { 9999, "9.9s" }, { 10 * S, "10s" },
		{ M - 1, "59s" }, { M, "1m00s" }, { 5 * M + 12 * S, "5m12s" },
		{ H - 1, "59m59s" }, { H, "1h00m" }, { 3 * H + 5 * M, "3h05m" },
		{ D - 1, "23h59m" }, { D, "1d0h" }, { 2 * D + 3 * H, "2d3h" },
		{ 100 * D - 1, "99d23h" }, { 100 * D, "100d" },
		{ 10000 * D - 1, "9999d" }, { 10000 * D, ">9999d" },
		{ UINT64_MAX, ">9999d" } };

	(void)state;
	check(format_age, rows, sizeof(rows) / sizeof(rows[0]), 6);
}

/* What is left is rounded up: "0s" means now. */
static void
times_left(void **state)
{
	const struct {
		uint32_t ms;
		const char *want;
	} t[] = { { 0, "0s" }, { 1, "1s" }, { 11400, "12s" }, { 99000, "99s" },
		{ 99001, "2m" }, { 120000, "2m" }, { 121000, "3m" },
		{ 5999000, "100m" }, { 5999001, "2h" }, { 7200000, "2h" },
		{ 7201000, "3h" }, { 172799000, "48h" }, { 172799001, "2d" },
		{ 172801000, "3d" }, { UINT32_MAX, "50d" } };
	char buf[FORMAT_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_string_equal(format_left(buf, t[i].ms), t[i].want);
}

static void
latencies(void **state)
{
	const struct row rows[] = { { 0, "-" }, { 1, "1us" }, { 999, "999us" },
		{ 1000, "1.0ms" }, { 3249, "3.2ms" }, { 12400, "12.4ms" },
		{ 99999, "99.9ms" }, { 100000, "100ms" }, { 999999, "999ms" },
		{ 1000000, "1.0s" }, { 12345678, "12.3s" },
		{ 999999999, "999.9s" }, { 1000000000, ">999s" },
		{ UINT64_MAX, ">999s" } };

	(void)state;
	check(format_latency, rows, sizeof(rows) / sizeof(rows[0]), 6);
}

static void
counts(void **state)
{
	const struct row rows[] = { { 0, "0" }, { 99999, "99999" },
		{ 100000, "100k" }, { 999999, "999k" }, { 1000000, "1.0M" },
		{ 1234567, "1.2M" }, { 12345678, "12.3M" },
		{ 123456789, "123M" }, { 999999999, "999M" },
		{ 1000000000, "1.0G" }, { 4294967295, "4.2G" },
		{ 1000000000000, "1.0T" }, { 1000000000000000, "1.0P" },
		{ 1000000000000000000, "1.0E" }, { UINT64_MAX, "18.4E" } };

	(void)state;
	check(format_count, rows, sizeof(rows) / sizeof(rows[0]), 5);
}

static void
few_and_exact(void **state)
{
	const struct row few[] = { { 0, "0" }, { 99, "99" }, { 100, "99+" },
		{ UINT64_MAX, "99+" } };
	const struct row exact[] = { { 0, "0" }, { 999, "999" },
		{ 1000, "1,000" }, { 12345, "12,345" }, { 999999, "999,999" },
		{ 1000000, "1,000,000" },
		{ UINT64_MAX, "18,446,744,073,709,551,615" } };

	(void)state;
	check(format_few, few, sizeof(few) / sizeof(few[0]), 3);
	check(format_exact, exact, sizeof(exact) / sizeof(exact[0]), 26);
}

/* Only all of it is 100 %, and nothing is no number at all. */
static void
percents(void **state)
{
	const struct {
		uint64_t part, whole;
		const char *want;
	} t[] = { { 0, 0, "-" }, { 5, 0, "-" }, { 0, 1, "0.0%" },
		{ 1, 3, "33.3%" }, { 888, 1000, "88.8%" },
		{ 99, 100, "99.00%" }, { 9899, 10000, "98.9%" },
		{ 99999, 100000, "99.99%" },
		{ UINT64_MAX - 1, UINT64_MAX, "99.99%" },
		{ UINT64_MAX, UINT64_MAX, "100%" }, { 7, 3, "100%" } };
	char buf[FORMAT_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_string_equal(
		    format_percent(buf, t[i].part, t[i].whole), t[i].want);
}

static void
sums_do_not_wrap(void **state)
{
	(void)state;
	assert_true(format_sum(1, 2) == 3);
	assert_true(format_sum(UINT64_MAX - 1, 1) == UINT64_MAX);
	assert_true(format_sum(UINT64_MAX, 1) == UINT64_MAX);
	assert_true(format_sum(1, UINT64_MAX) == UINT64_MAX);
}

static void
texts_are_cut(void **state)
{
	char buf[11], big[21], longest[256];

	(void)state;
	assert_string_equal(format_text(buf, 11, 10, "quad9"), "quad9");
	assert_string_equal(
	    format_text(buf, 11, 10, "0123456789"), "0123456789");
	assert_string_equal(
	    format_text(buf, 11, 10, "0123456789a"), "01234567..");
	assert_string_equal(
	    format_text(buf, 11, 11, "0123456789a"), "01234567..");
	assert_string_equal(
	    format_text(buf, 11, 99, "0123456789a"), "01234567..");
	assert_string_equal(
	    format_text(big, 21, 20, "a\033[31mb"), "a\\033[31mb");
	assert_string_equal(
	    format_text(buf, 11, 10, "\377\377\377"), "\\377\\377..");
	assert_string_equal(format_text(buf, 11, 10, ""), "");
	memset(longest, '\n', sizeof(longest));
	longest[255] = '\0';
	assert_string_equal(format_text(buf, 11, 10, longest), "\\012\\012..");
}

/* Wraps text in column; the result must be want. */
static void
wraps_to(size_t column, const char *text, const char *want)
{
	char *got = NULL;
	size_t len;
	FILE *out = open_memstream(&got, &len);

	assert_non_null(out);
	format_wrap(out, column, text);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(got, want);
	free(got);
}

static void
texts_are_wrapped(void **state)
{
	char exact[82];

	(void)state;
	wraps_to(3, "short", "short\n");
	wraps_to(3, "", "\n");
	memset(exact, 'x', sizeof(exact));
	exact[80] = '\0';
	wraps_to(0, exact,
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n");
	exact[80] = 'x';
	exact[81] = '\0';
	wraps_to(0, exact,
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\nx\n");
	wraps_to(70, "one two three",
	    "one two\n"
	    "                                   "
	    "                                   three\n");
	/* Rather between items than within one. */
	wraps_to(60, "12 apples, 3 red pears",
	    "12 apples,\n"
	    "                              "
	    "                              3 red pears\n");
	wraps_to(76, "a\tb",
	    "a\\01\n"
	    "                                      "
	    "                                      1b\n");
}

/* A configuration keeps its lines; nothing reaches the terminal raw. */
static void
pages(void **state)
{
	char *got = NULL;
	size_t len;
	FILE *out = open_memstream(&got, &len);

	(void)state;
	assert_non_null(out);
	format_page(out, "a \"b\\c\"\n\t}\r\033[2J\0\177\xc3\xa9", 19);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(
	    got, "a \"b\\c\"\n\t}\\015\\033[2J\\000\\177\\303\\251");
	free(got);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ages),
		cmocka_unit_test(times_left),
		cmocka_unit_test(latencies),
		cmocka_unit_test(counts),
		cmocka_unit_test(few_and_exact),
		cmocka_unit_test(percents),
		cmocka_unit_test(sums_do_not_wrap),
		cmocka_unit_test(texts_are_cut),
		cmocka_unit_test(texts_are_wrapped),
		cmocka_unit_test(pages),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
