/* SPDX-License-Identifier: ISC */
/* Lines for statsd: three dialects, escaping, rates, samples of histograms. */
/* LINK: dotproxy/listener/statsd_line.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dotproxy/listener/statsd_line.h"

static struct hist now, before;

static int
setup(void **state)
{
	(void)state;
	memset(&now, 0, sizeof(now));
	memset(&before, 0, sizeof(before));
	return 0;
}

static void
check(enum conf_flavour flavour, const struct statsd_line *l, const char *want)
{
	char buf[STATSD_LINE_MAX];
	size_t len = statsd_line_format(flavour, l, buf);

	assert_int_equal(len, strlen(want));
	assert_memory_equal(buf, want, len);
}

static const struct statsd_line line = {
	.name = "event.upstream.cx_open",
	.type = STATSD_COUNT,
	.value = "17",
	.ntags = 4,
	.tags = { { "addr", "2001:db8::1" }, { "client", "" },
	    { "transport", "tcp" }, { "version", "0.1.0" } },
};

static void
test_dialects(void **state)
{
	(void)state;
	check(FLAVOUR_INFLUX, &line,
	    "dotproxy.event.upstream.cx_open,addr=2001%3Adb8%3A%3A1,"
	    "client=null,transport=tcp,version=0.1.0:17|c\n");
	check(FLAVOUR_DOGSTATSD, &line,
	    "dotproxy.event.upstream.cx_open:17|c|#addr:2001:db8::1,"
	    "client:null,transport:tcp,version:0.1.0\n");
	check(FLAVOUR_STATSD, &line,
	    "dotproxy.event.upstream.cx_open.2001_db8__1.tcp:17|c\n");
}

static void
test_types_and_rates(void **state)
{
	struct statsd_line l = { .name = "x", .value = "1.5", .rate = "0.25" };

	(void)state;
	l.type = STATSD_TIME;
	check(FLAVOUR_INFLUX, &l, "dotproxy.x:1.5|ms|@0.25\n");
	l.ntags = 1;
	l.tags[0] = (struct statsd_tag){ "a", "b" };
	check(FLAVOUR_DOGSTATSD, &l, "dotproxy.x:1.5|ms|@0.25|#a:b\n");
	l.type = STATSD_GAUGE;
	l.rate[0] = '\0';
	check(FLAVOUR_STATSD, &l, "dotproxy.x.b:1.5|g\n");
}

/* Nothing in a tag may end it, or the line. */
static void
test_tags_are_escaped(void **state)
{
	static const char evil[] = "a b,c=d:1|c\ne.f#@%\xff";
	struct statsd_line l = { .name = "x", .value = "1", .ntags = 1 };

	(void)state;
	l.tags[0] = (struct statsd_tag){ "t", evil };
	check(FLAVOUR_INFLUX, &l,
	    "dotproxy.x,t=a+b%2Cc%3Dd%3A1%7Cc%0Ae.f%23%40%25%FF:1|c\n");
	check(FLAVOUR_DOGSTATSD, &l, "dotproxy.x:1|c|#t:a_b_c_d:1_c_e.f____\n");
	check(FLAVOUR_STATSD, &l, "dotproxy.x.a_b_c_d_1_c_e_f____:1|c\n");
}

static void
test_what_is_too_long_is_not_sent(void **state)
{
	struct statsd_line l = { .name = "x", .value = "1", .ntags = 1 };
	char buf[STATSD_LINE_MAX], text[STATSD_LINE_MAX + 1];
	size_t fixed = strlen("dotproxy.x,t=:1|c\n");

	(void)state;
	memset(text, 'y', sizeof(text));
	text[STATSD_LINE_MAX - fixed] = '\0';
	l.tags[0] = (struct statsd_tag){ "t", text };
	assert_int_equal(
	    statsd_line_format(FLAVOUR_INFLUX, &l, buf), STATSD_LINE_MAX);
	text[STATSD_LINE_MAX - fixed] = 'y';
	text[STATSD_LINE_MAX - fixed + 1] = '\0';
	assert_int_equal(statsd_line_format(FLAVOUR_INFLUX, &l, buf), 0);
}

static void
test_milliseconds(void **state)
{
	static const struct {
		uint64_t us;
		const char *text;
	} rows[] = { { 0, "0" }, { 1, "0.001" }, { 10, "0.01" }, { 1000, "1" },
		{ 12345, "12.345" }, { 134217727, "134217.727" },
		{ 10000000, "10000" }, { 100500, "100.5" } };
	char value[STATSD_VALUE_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		statsd_put_ms(value, rows[i].us);
		assert_string_equal(value, rows[i].text);
	}
}

/* What a server makes of it: so many lines stand for so many samples. */
static void
test_rate_is_what_was_sent(void **state)
{
	static const struct {
		uint64_t m, n;
	} rows[] = { { 1, 2 }, { 1, 3 }, { 85, 2000000 }, { 512, 513 },
		{ 4, 20000000 } };
	char rate[STATSD_VALUE_MAX];
	double found;
	size_t i;

	(void)state;
	statsd_put_rate(rate, 5, 5);
	assert_string_equal(rate, "");
	statsd_put_rate(rate, 1, 4);
	assert_string_equal(rate, "0.25");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		statsd_put_rate(rate, rows[i].m, rows[i].n);
		assert_null(strchr(rate, 'e'));
		found = (double)rows[i].m / strtod(rate, NULL);
		assert_true(found > (double)rows[i].n * 0.99999);
		assert_true(found < (double)rows[i].n * 1.00001);
	}
}

static void
test_how_many_are_sent(void **state)
{
	(void)state;
	assert_int_equal(statsd_sampled(0, 1000000, 64), 0);
	assert_int_equal(statsd_sampled(5, 1000000, 64), 5);
	assert_int_equal(statsd_sampled(64, 1000000, 64), 64);
	assert_int_equal(statsd_sampled(65, 1000000, 64), 64);
	assert_int_equal(statsd_sampled(100, 250000, 64), 25);
	assert_int_equal(statsd_sampled(101, 250000, 64), 26);
	assert_int_equal(statsd_sampled(3, 1, 64), 1);
	assert_int_equal(statsd_sampled(UINT64_MAX, 1000000, 64), 64);
	assert_int_equal(statsd_sampled(UINT64_MAX, 1, UINT32_MAX), 1099512);
}

static void
test_only_what_is_fresh_counts(void **state)
{
	(void)state;
	hist_add(&before, 10);
	hist_add(&before, 5000);
	now = before;
	assert_int_equal(statsd_fresh(&now, &before), 0);
	hist_add(&now, 10);
	hist_add(&now, 77);
	assert_int_equal(statsd_fresh(&now, &before), 2);
	/* Counted anew by another process. */
	memset(&now, 0, sizeof(now));
	hist_add(&now, 20);
	assert_int_equal(statsd_fresh(&now, &before), 1);
}

/* All of them: each sample once, in order. */
static void
test_every_sample(void **state)
{
	struct statsd_cursor c = { 0 };
	uint32_t i;

	(void)state;
	hist_add(&before, 3);
	now = before;
	for (i = 0; i < 50; i++)
		hist_add(&now, 49 - i);
	for (i = 0; i < 50; i++)
		assert_int_equal(
		    statsd_sample(&now, &before, &c, i, 50, 50), i);
}

/* A few of many: their percentiles are those of all. */
static void
test_samples_are_spread_evenly(void **state)
{
	struct statsd_cursor c = { 0 };
	uint64_t us, slow = 0, fast = 0;
	uint32_t i;

	(void)state;
	for (i = 0; i < 100000; i++)
		hist_add(&now, i % 10 == 0 ? 40000 : 20);
	for (i = 0; i < 100; i++) {
		us = statsd_sample(&now, &before, &c, i, 100, 100000);
		if (us == 20)
			fast++;
		else if (us >= 39300 && us <= 40000)
			slow++;
	}
	assert_int_equal(fast, 90);
	assert_int_equal(slow, 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialects),
		cmocka_unit_test(test_types_and_rates),
		cmocka_unit_test(test_tags_are_escaped),
		cmocka_unit_test(test_what_is_too_long_is_not_sent),
		cmocka_unit_test(test_milliseconds),
		cmocka_unit_test(test_rate_is_what_was_sent),
		cmocka_unit_test(test_how_many_are_sent),
		cmocka_unit_test_setup(test_only_what_is_fresh_counts, setup),
		cmocka_unit_test_setup(test_every_sample, setup),
		cmocka_unit_test_setup(test_samples_are_spread_evenly, setup),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
