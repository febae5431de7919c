/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/pool/hedge.c */
/* When an answer is late, and what may be sent once more for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dotproxy/pool/hedge.h"

static struct hedge_latency l;
static struct hedge_budget b;

static int
setup(void **state)
{
	const struct hedge_latency none = { 0 };

	(void)state;
	l = none;
	return 0;
}

static void
add(uint32_t n, uint64_t us)
{
	while (n-- > 0)
		hedge_latency_add(&l, us, false);
}

static void
test_nothing_known(void **state)
{
	(void)state;
	assert_int_equal(hedge_late_us(&l), HEDGE_START_US);
	/* It has had long enough for the first time. */
	assert_int_equal(hedge_silent_us(&l), HEDGE_START_US);
	add(100, 60000);
	assert_int_equal(hedge_silent_us(&l), 2 * hedge_late_us(&l));
}

/* A far upstream's first answer is not late for the distance alone. */
static void
test_guess(void **state)
{
	(void)state;
	hedge_latency_guess(&l, 34000);
	assert_int_equal(hedge_late_us(&l), HEDGE_START_US);
	hedge_latency_guess(&l, 400000);
	assert_int_equal(hedge_late_us(&l), 400000);
	hedge_latency_guess(&l, UINT64_MAX);
	assert_int_equal(hedge_late_us(&l), HEDGE_CEILING_US);
	add(1, 11000);
	hedge_latency_guess(&l, 400000);
	assert_in_range(hedge_late_us(&l), 28000, 31000);
}

/* One sample says little: it is taken twice. */
static void
test_few_samples(void **state)
{
	(void)state;
	add(1, 11000);
	assert_in_range(hedge_late_us(&l), 28000, 31000);
	add(HEDGE_SAMPLES_FEW, 11000);
	assert_in_range(hedge_late_us(&l), 14000, 15500);
	assert_int_equal(hedge_silent_us(&l), HEDGE_SILENT_MIN_US);
}

static void
test_floor_and_ceiling(void **state)
{
	(void)state;
	add(100, 0);
	assert_int_equal(hedge_late_us(&l), HEDGE_FLOOR_US);
	add(1000, 10000000);
	assert_int_equal(hedge_late_us(&l), HEDGE_CEILING_US);
	add(1000, UINT64_MAX);
	assert_int_equal(hedge_late_us(&l), HEDGE_CEILING_US);
}

/* Four of a hundred that take long do not make long usual; ten do. */
static void
test_rare_delays_are_late(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < 1000; i++)
		add(1, i % 25 == 0 ? 220000 : 11300);
	assert_in_range(hedge_late_us(&l), 14000, 16000);
	for (i = 0; i < 1000; i++)
		add(1, i % 10 == 0 ? 220000 : 11300);
	assert_in_range(hedge_late_us(&l), 220000, 300000);
}

/* It follows an upstream that has become slower, and back. */
static void
test_follows(void **state)
{
	(void)state;
	add(10000, 11000);
	add(128, 50000);
	assert_in_range(hedge_late_us(&l), 62000, 70000);
	add(2000, 11000);
	assert_in_range(hedge_late_us(&l), 14000, 15500);
	assert_true(l.n < HEDGE_SAMPLES_MAX);
}

/* A tenth that comes of stalls is not usual; if all stall, it is. */
static void
test_stalls_count_little(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < 1000; i++)
		hedge_latency_add(&l, i % 10 == 0 ? 43000 : 11300, i % 10 == 0);
	assert_in_range(hedge_late_us(&l), 14000, 16000);
	for (i = 0; i < 1000; i++)
		hedge_latency_add(&l, 43000, true);
	assert_in_range(hedge_late_us(&l), 53000, 60000);
}

/* Copies to one that is slow for a minute, at 20 queries/s, are all in vain. */
static void
test_slow_upstream_leaves_most_of_the_budget(void **state)
{
	uint32_t i, extra = 0;

	(void)state;
	add(1000, 11300);
	hedge_budget_init(&b, 5, 10, 10);
	for (i = 0; i < 60 * 20; i++) {
		if (hedge_late_us(&l) < 100000 && hedge_budget_take(&b)) {
			extra++;
			hedge_latency_lost(&l, 100000);
		}
		hedge_latency_add(&l, 100000, true);
	}
	assert_in_range(extra, 1, 5);
	assert_in_range(hedge_late_us(&l), 100000, 140000);
}

/* Where packets are lost a copy is in vain now and then: late is still late. */
static void
test_copy_in_vain_now_and_then_means_little(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		add(1, 11300);
		if (i % 100 == 50)
			hedge_latency_lost(&l, 43000);
		if (i % 25 == 0)
			hedge_latency_won(&l);
	}
	assert_in_range(hedge_late_us(&l), 14000, 16000);
}

static void
test_budget_is_kept(void **state)
{
	uint32_t i, extra = 0;

	(void)state;
	hedge_budget_init(&b, 5, 10, 5);
	for (i = 0; i < 1000; i++) {
		hedge_budget_earn(&b);
		extra += hedge_budget_take(&b);
	}
	assert_int_equal(extra, 5 + 50);
}

/* What was not used is not saved up beyond a small burst. */
static void
test_burst_after_silence(void **state)
{
	uint32_t i, extra = 0;

	(void)state;
	hedge_budget_init(&b, 5, 10, 0);
	assert_false(hedge_budget_has(&b));
	assert_false(hedge_budget_take(&b));
	for (i = 0; i < 100000; i++)
		hedge_budget_earn(&b);
	while (hedge_budget_take(&b))
		extra++;
	assert_int_equal(extra, 10);
}

/* Of 4 % lost, as chance has it, nearly every one can be sent again. */
static void
test_budget_suffices(void **state)
{
	uint32_t i, x = 1, lost = 0, denied = 0;

	(void)state;
	hedge_budget_init(&b, 5, 10, 5);
	for (i = 0; i < 100000; i++) {
		hedge_budget_earn(&b);
		x = x * 1664525 + 1013904223;
		if (x >> 16 >= 65536 * 4 / 100)
			continue;
		lost++;
		denied += !hedge_budget_take(&b);
	}
	assert_in_range(lost, 3500, 4500);
	assert_true(denied < lost / 15);
}

static void
test_budget_off(void **state)
{
	(void)state;
	hedge_budget_init(&b, 0, 10, 5);
	hedge_budget_earn(&b);
	assert_false(hedge_budget_take(&b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_nothing_known, setup),
		cmocka_unit_test_setup(test_guess, setup),
		cmocka_unit_test_setup(test_few_samples, setup),
		cmocka_unit_test_setup(test_floor_and_ceiling, setup),
		cmocka_unit_test_setup(test_rare_delays_are_late, setup),
		cmocka_unit_test_setup(test_follows, setup),
		cmocka_unit_test_setup(test_stalls_count_little, setup),
		cmocka_unit_test_setup(
		    test_slow_upstream_leaves_most_of_the_budget, setup),
		cmocka_unit_test_setup(
		    test_copy_in_vain_now_and_then_means_little, setup),
		cmocka_unit_test(test_budget_is_kept),
		cmocka_unit_test(test_burst_after_silence),
		cmocka_unit_test(test_budget_suffices),
		cmocka_unit_test(test_budget_off),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
