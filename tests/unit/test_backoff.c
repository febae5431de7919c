/* SPDX-License-Identifier: ISC */
/* Back-off: doubles, is capped, is cleared by a success, never wraps. */
/* LINK: */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/backoff.h"

static void
doubles_up_to_the_cap(void **state)
{
	const uint32_t want[] = { 100, 200, 400, 800, 1600, 3200, 6400, 12800,
		25600, 30000, 30000, 30000 };
	struct backoff b;
	uint64_t now = 1000000;
	size_t i;

	(void)state;
	backoff_init(&b, 100, 30000);
	assert_false(backoff_active(&b, 0));
	assert_false(backoff_active(&b, now));
	assert_int_equal(backoff_left(&b, 0), 0);
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(backoff_fail(&b, now), want[i]);
		assert_int_equal(backoff_left(&b, now), want[i]);
		now += want[i];
	}
}

/* The last millisecond is within, the next is not. */
static void
ends_when_it_says(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, 100, 1000);
	(void)backoff_fail(&b, 5000);
	assert_true(backoff_active(&b, 5000));
	assert_true(backoff_active(&b, 5099));
	assert_int_equal(backoff_left(&b, 5099), 1);
	assert_false(backoff_active(&b, 5100));
	assert_int_equal(backoff_left(&b, 5100), 0);
	assert_int_equal(backoff_left(&b, UINT64_MAX), 0);
}

static void
success_clears_it(void **state)
{
	struct backoff b;
	int i;

	(void)state;
	backoff_init(&b, 100, 30000);
	for (i = 0; i < 20; i++)
		(void)backoff_fail(&b, 1);
	backoff_clear(&b);
	assert_false(backoff_active(&b, 1));
	assert_int_equal(backoff_left(&b, 1), 0);
	assert_int_equal(backoff_fail(&b, 2), 100); /* from the beginning */
}

/* A failure within the delay (of a probe) starts a new, longer one. */
static void
fails_again_within(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, 100, 30000);
	(void)backoff_fail(&b, 1000);
	assert_int_equal(backoff_fail(&b, 1050), 200);
	assert_int_equal(backoff_left(&b, 1050), 200);
}

static void
caps_without_overflow(void **state)
{
	const struct {
		uint32_t min, max;
	} t[] = { { 1, 1 }, { 7, 13 }, { 3, UINT32_MAX },
		{ UINT32_MAX, UINT32_MAX }, { UINT32_MAX / 2 + 1, UINT32_MAX },
		{ 1, UINT32_MAX - 1 } };
	struct backoff b;
	uint32_t delay, last;
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		backoff_init(&b, t[i].min, t[i].max);
		last = backoff_fail(&b, 0);
		assert_int_equal(last, t[i].min);
		for (n = 0; n < 70; n++) {
			delay = backoff_fail(&b, 0);
			assert_true(delay >= last);
			assert_true(delay <= t[i].max);
			last = delay;
		}
		assert_int_equal(last, t[i].max);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_up_to_the_cap),
		cmocka_unit_test(ends_when_it_says),
		cmocka_unit_test(success_clears_it),
		cmocka_unit_test(fails_again_within),
		cmocka_unit_test(caps_without_overflow),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
