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
		cmocka_unit_test(huge_values_stay_inside),
		cmocka_unit_test(empty_is_zero),
		cmocka_unit_test(quantiles_of_a_ramp),
		cmocka_unit_test(quantiles_of_an_outlier),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
