/* SPDX-License-Identifier: ISC */
/* The histogram: buckets without gaps, the stated error, right quantiles. */
/* LINK: */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/hist.h"

#define HIST_TOP (1u << HIST_MAX_BITS)

/* Lower ends rise, and each is in its own bucket and its predecessor not. */
static void
buckets_have_no_gaps(void **state)
{
	uint32_t i;

	(void)state;
	assert_int_equal(hist_lower_us(0), 0);
	for (i = 1; i < HIST_BUCKETS; i++) {
		assert_true(hist_lower_us(i) > hist_lower_us(i - 1));
		assert_int_equal(hist_bucket(hist_lower_us(i)), i);
		assert_int_equal(hist_bucket(hist_lower_us(i) - 1), i - 1);
	}
	assert_int_equal(hist_bucket(HIST_TOP - 1), HIST_BUCKETS - 1);
}

static void
small_values_are_exact(void **state)
{
	uint64_t us;

	(void)state;
	for (us = 0; us < 64; us++)
		assert_int_equal(hist_lower_us(hist_bucket(us)), us);
}

/* Below 1/32, for every value that is stepped on. */
static void
error_is_below_a_32nd(void **state)
{
	uint64_t us, lower;

	(void)state;
	for (us = 1; us < HIST_TOP; us += 1 + us / 1000) {
		lower = hist_lower_us(hist_bucket(us));
		assert_true(lower <= us);
		assert_true((us - lower) * 32 < us || us == lower);
	}
}

/* What stands for a bucket is within 1/64 of all that is in it. */
static void
middle_is_within_a_64th(void **state)
{
	uint64_t us, middle, off;

	(void)state;
	for (us = 1; us < HIST_TOP; us += 1 + us / 1000) {
		middle = hist_middle_us(hist_bucket(us));
		off = middle > us ? middle - us : us - middle;
		assert_true(off * 64 <= us);
	}
}

/* Whatever was added, a percentile is near, and never above the maximum. */
static void
quantiles_are_near(void **state)
{
	static const uint64_t values[] = { 63, 64, 127, 1000, 11300, 99999,
		4000000, HIST_TOP - 1 };
	struct hist h;
	uint64_t q;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		memset(&h, 0, sizeof(h));
		hist_add(&h, values[i]);
		q = hist_quantile_us(&h, 500);
		assert_true(q <= values[i]);
		assert_true((values[i] - q) * 64 <= values[i]);
	}
}

static struct hist_live live;

static uint64_t
live_count(uint64_t now_ms, bool recent)
{
	struct hist h;

	hist_live_read(&live, now_ms, recent, &h);
	return h.count;
}

/* What is older than a minute is in all of it, and not in the last. */
static void
last_minute_forgets(void **state)
{
	struct hist h;

	(void)state;
	memset(&live, 0, sizeof(live));
	hist_live_add(&live, 1234567, 100);
	hist_live_add(&live, 1234567, 300);
	assert_int_equal(live_count(1234567, true), 2);
	assert_int_equal(live_count(1234567 + 49999, true), 2);
	hist_live_add(&live, 1234567 + 49999, 20);
	assert_int_equal(live_count(1234567 + 60000, true), 1);
	assert_int_equal(live_count(1234567 + 60000, false), 3);
	hist_live_read(&live, 1234567 + 60000, true, &h);
	assert_int_equal(h.max_us, 20);
	assert_int_equal(h.sum_us, 20);
	hist_live_read(&live, 1234567 + 60000, false, &h);
	assert_int_equal(h.max_us, 300);
	assert_int_equal(h.sum_us, 420);
	assert_int_equal(h.buckets[hist_bucket(100)], 1);
}

/* A pause of any length empties the ring once; nothing is counted twice. */
static void
last_minute_after_a_pause(void **state)
{
	uint64_t now_ms = 0;
	uint32_t i;

	(void)state;
	memset(&live, 0, sizeof(live));
	for (i = 0; i < 100; i++) {
		hist_live_add(&live, now_ms, i);
		now_ms += 1 + i * 977;
	}
	assert_int_equal(live_count(now_ms, false), 100);
	assert_int_equal(live_count(now_ms + 86400000, true), 0);
	assert_int_equal(live_count(now_ms + 86400000, false), 100);
	/* A clock that goes back adds to what is there. */
	hist_live_add(&live, 5, 7);
	assert_int_equal(live_count(now_ms + 86400000, true), 1);
}

static void
huge_values_stay_inside(void **state)
{
	const uint64_t us[] = { HIST_TOP - 1, HIST_TOP, HIST_TOP + 1ull,
		UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX };
	struct hist h;
	size_t i;

	(void)state;
	memset(&h, 0, sizeof(h));
	for (i = 0; i < sizeof(us) / sizeof(us[0]); i++) {
		assert_int_equal(hist_bucket(us[i]), HIST_BUCKETS - 1);
		hist_add(&h, us[i]);
	}
	assert_int_equal(h.buckets[HIST_BUCKETS - 1], 6);
	assert_true(h.max_us == UINT64_MAX);
}

static void
empty_is_zero(void **state)
{
	struct hist h;

	(void)state;
	memset(&h, 0, sizeof(h));
	assert_int_equal(hist_quantile_us(&h, 500), 0);
	assert_int_equal(hist_quantile_us(&h, 1000), 0);
	assert_int_equal(hist_mean_us(&h), 0);
}

/* 1..60 us once each: all exact, so the quantiles are the textbook's. */
static void
quantiles_of_a_ramp(void **state)
{
	struct hist h;
	uint64_t us;

	(void)state;
	memset(&h, 0, sizeof(h));
	for (us = 60; us >= 1; us--)
		hist_add(&h, us);
	assert_int_equal(h.count, 60);
	assert_int_equal(h.max_us, 60);
	assert_int_equal(hist_mean_us(&h), 30); /* 30.5 */
	assert_int_equal(hist_quantile_us(&h, 0), 1);
	assert_int_equal(hist_quantile_us(&h, 1), 1);
	assert_int_equal(hist_quantile_us(&h, 16), 1); /* 0.96 of one */
	assert_int_equal(hist_quantile_us(&h, 17), 2); /* 1.02 */
	assert_int_equal(hist_quantile_us(&h, 500), 30);
	assert_int_equal(hist_quantile_us(&h, 501), 31);
	assert_int_equal(hist_quantile_us(&h, 990), 60);
	assert_int_equal(hist_quantile_us(&h, 1000), 60);
}

/* One slow answer in a thousand shows at the far end and nowhere else. */
static void
quantiles_of_an_outlier(void **state)
{
	struct hist h;
	int i;

	(void)state;
	memset(&h, 0, sizeof(h));
	for (i = 0; i < 999; i++)
		hist_add(&h, 20);
	hist_add(&h, 1000000);
	assert_int_equal(hist_quantile_us(&h, 500), 20);
	assert_int_equal(hist_quantile_us(&h, 999), 20);
	assert_in_range(hist_quantile_us(&h, 1000), 968751, 1000000);
	assert_int_equal(hist_mean_us(&h), (999 * 20 + 1000000) / 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_have_no_gaps),
		cmocka_unit_test(small_values_are_exact),
		cmocka_unit_test(error_is_below_a_32nd),
		cmocka_unit_test(middle_is_within_a_64th),
		cmocka_unit_test(quantiles_are_near),
		cmocka_unit_test(last_minute_forgets),
		cmocka_unit_test(last_minute_after_a_pause),
		cmocka_unit_test(huge_values_stay_inside),
		cmocka_unit_test(empty_is_zero),
		cmocka_unit_test(quantiles_of_a_ramp),
		cmocka_unit_test(quantiles_of_an_outlier),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
