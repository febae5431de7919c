/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/pool/warm.c */
/* The idle limit of an upstream: learnt, forgotten, and what follows of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dotproxy/pool/warm.h"

static void
test_nothing_is_known_at_first(void **state)
{
	struct warm w = { 0 };

	(void)state;
	assert_int_equal(warm_limit(&w), 0);
	assert_true(warm_expires(&w) == UINT64_MAX);
	warm_survived(&w, 5000);
	assert_int_equal(warm_limit(&w), 0);
}

static void
test_shortest_close_is_the_limit(void **state)
{
	struct warm w = { 0 };

	(void)state;
	warm_closed(&w, 10000);
	assert_int_equal(warm_limit(&w), 10000);
	warm_closed(&w, 8000);
	assert_int_equal(warm_limit(&w), 8000);
	warm_closed(&w, (uint64_t)UINT32_MAX + 5);
	assert_true(warm_limit(&w) > 8000);
}

static void
test_close_after_an_answer_is_no_limit(void **state)
{
	struct warm w = { 0 };

	(void)state;
	warm_closed(&w, 0);
	warm_closed(&w, WARM_LIMIT_MIN_MS - 1);
	assert_int_equal(warm_limit(&w), 0);
	warm_closed(&w, WARM_LIMIT_MIN_MS);
	assert_int_equal(warm_limit(&w), WARM_LIMIT_MIN_MS);
}

static void
test_early_close_is_forgotten(void **state)
{
	struct warm w = { 0 };
	int i;

	(void)state;
	warm_closed(&w, 10000);
	warm_closed(&w, 500); /* a restart */
	assert_int_equal(warm_limit(&w), 500);
	for (i = 0; i < 5; i++)
		warm_survived(&w, 2 * (uint64_t)warm_limit(&w));
	assert_int_equal(warm_limit(&w), 16000);
	warm_closed(&w, 10000);
	assert_int_equal(warm_limit(&w), 10000);
	/* So does being closed later than expected, not once but again. */
	warm_closed(&w, 500);
	warm_closed(&w, 10000);
	assert_int_equal(warm_limit(&w), 5250);
	for (i = 0; i < 5; i++)
		warm_closed(&w, 10000);
	assert_in_range(warm_limit(&w), 9800, 10000);
}

static void
test_shorter_of_spoken_and_learnt_counts(void **state)
{
	struct warm w = { 0 };

	(void)state;
	warm_spoken(&w, 30000);
	assert_int_equal(warm_limit(&w), 30000);
	warm_closed(&w, 40000);
	assert_int_equal(warm_limit(&w), 30000);
	warm_closed(&w, 2000);
	assert_int_equal(warm_limit(&w), 2000);
	warm_spoken(&w, 1000);
	assert_int_equal(warm_limit(&w), 1000);
	/* The request not to use one connection is no limit for all. */
	warm_spoken(&w, 0);
	assert_int_equal(warm_limit(&w), 2000);
	/* What it said is outlived as what was seen. */
	warm_spoken(&w, 1000);
	warm_survived(&w, 1500);
	assert_int_equal(warm_limit(&w), 1500);
}

static void
test_successor_comes_before_the_limit_but_not_much(void **state)
{
	static const uint32_t limits[] = { 250, 1000, 10000, 3600000,
		UINT32_MAX };
	static const uint64_t setups[] = { 0, 1, 40, 5000, UINT32_MAX };
	struct warm w;
	size_t i, j;

	(void)state;
	for (i = 0; i < 5; i++)
		for (j = 0; j < 5; j++) {
			w = (struct warm){ .learnt_ms = limits[i] };
			warm_set_up(&w, setups[j]);
			assert_true(warm_expires(&w) < limits[i]);
			/* 1.2 connections in the time one may idle. */
			assert_true(
			    warm_expires(&w) * 12 >= (uint64_t)limits[i] * 10);
		}
}

static void
test_slow_handshake_is_begun_earlier(void **state)
{
	struct warm w = { .learnt_ms = 1000 };

	(void)state;
	warm_set_up(&w, 10);
	assert_int_equal(warm_expires(&w), 875);
	w.setup_ms = 70;
	assert_int_equal(warm_expires(&w), 860);
	warm_set_up(&w, 10); /* one is not all */
	assert_int_equal(w.setup_ms, 55);
}

static void
test_upstream_is_awake_for_as_long_as_said(void **state)
{
	(void)state;
	assert_false(warm_is_awake(0, 5, 5));
	assert_false(warm_is_awake(1000, 0, 5));
	assert_true(warm_is_awake(1000, 5, 5));
	assert_true(warm_is_awake(1000, 5, 1004));
	assert_false(warm_is_awake(1000, 5, 1005));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_known_at_first),
		cmocka_unit_test(test_shortest_close_is_the_limit),
		cmocka_unit_test(test_close_after_an_answer_is_no_limit),
		cmocka_unit_test(test_early_close_is_forgotten),
		cmocka_unit_test(test_shorter_of_spoken_and_learnt_counts),
		cmocka_unit_test(
		    test_successor_comes_before_the_limit_but_not_much),
		cmocka_unit_test(test_slow_handshake_is_begun_earlier),
		cmocka_unit_test(test_upstream_is_awake_for_as_long_as_said),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
