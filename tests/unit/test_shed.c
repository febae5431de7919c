/* SPDX-License-Identifier: ISC */
/* Who is turned away under overload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/conf.h"
#include "dotproxy/listener/shed.h"

#define TIMEOUT_MS 4000u

static struct shed sh;

static int
setup(void **state)
{
	(void)state;
	shed_set_limit(&sh, 8192);
	return 0;
}

static void
test_neither_transport_takes_all(void **state)
{
	(void)state;
	assert_true(shed_admits(&sh, 7167, 7167, 0));
	assert_false(shed_admits(&sh, 7168, 7168, 0));
	assert_true(shed_admits(&sh, 8191, 1023, 0));
	assert_false(shed_admits(&sh, 8192, 1024, 0));
	shed_set_limit(&sh, 1);
	assert_true(shed_admits(&sh, 0, 0, 0));
	assert_false(shed_admits(&sh, 1, 1, 0));
}

/* So many clients that take all they can: what each has in the end. */
static uint32_t
share_of(uint32_t clients, uint32_t *total)
{
	uint32_t have, before;

	*total = 0;
	for (have = 0;; have++) {
		before = *total;
		while (*total < before + clients &&
		       shed_admits(&sh, *total, *total, have))
			++*total;
		if (*total < before + clients)
			return have;
	}
}

/* A client alone has most of the table; however many do, one more gets in. */
static void
test_clients_share(void **state)
{
	uint32_t n, total;

	(void)state;
	assert_int_equal(share_of(1, &total), 7168 - 7168 / 8);
	assert_true(shed_admits(&sh, total, total, total / 2));
	for (n = 2; n <= 1024; n *= 2) {
		assert_true(share_of(n, &total) >= 7168 * 7 / 8 / n);
		assert_true(7168 - total >= 4);
		assert_true(shed_admits(&sh, total, total, 0));
		assert_true(shed_admits(&sh, total, total, 2));
	}
	/* What others have over TCP counts only when there is no more. */
	assert_true(shed_admits(&sh, 8191, 7000, 0));
	assert_false(shed_admits(&sh, 8191, 7000, 1000));
	/* In a very small table there is nothing to keep. */
	shed_set_limit(&sh, 2);
	assert_true(shed_admits(&sh, 1, 1, 1));
	shed_set_limit(&sh, 1);
	assert_true(shed_admits(&sh, 0, 0, 0));
}

static void
answered(uint64_t deadline_ms, uint32_t ahead, uint64_t age_ms)
{
	shed_answered(&sh, deadline_ms, ahead, TIMEOUT_MS - age_ms, TIMEOUT_MS);
}

static void
test_overtaken(void **state)
{
	(void)state;
	assert_false(shed_overtaken(&sh, 1000));
	answered(1249, 1, 20);
	assert_false(shed_overtaken(&sh, 1000));
	answered(1250, 1, 20);
	assert_true(shed_overtaken(&sh, 1000));
	answered(1100, 1, 20); /* one asked before, answered after it */
	assert_true(shed_overtaken(&sh, 1000));
	/* One of a longer timeout says nothing. */
	shed_answered(&sh, 90000, 1, TIMEOUT_MS + 1, TIMEOUT_MS);
	assert_false(shed_overtaken(&sh, 2000));
}

static void
test_line_is_as_long_as_it_may_be(void **state)
{
	(void)state;
	/* 1000 took a second: 2000 take half of the timeout. */
	answered(5000, 1000, 1000);
	assert_int_equal(sh.window, 2000);
	answered(5001, 2000, 2000);
	assert_int_equal(sh.window, 2000);
	answered(5002, 2000, 4000);
	assert_int_equal(sh.window, 1000);
	shed_timed_out(&sh, 5003, 1800, TIMEOUT_MS);
	assert_int_equal(sh.window, 900);
	shed_timed_out(&sh, 5003, 1, TIMEOUT_MS);
	assert_int_equal(sh.window, SHED_WINDOW_MIN);
	/* A limit below that is kept. */
	shed_set_limit(&sh, 10);
	shed_timed_out(&sh, 5003, 1, TIMEOUT_MS);
	assert_int_equal(sh.window, 10);
}

static void
test_line_gets_longer(void **state)
{
	uint32_t i;

	(void)state;
	shed_timed_out(&sh, 1, 0, TIMEOUT_MS);
	answered(5000, 10, 499); /* so long may be the way */
	assert_int_equal(sh.window, SHED_WINDOW_MIN + 1);
	answered(5000, 10, 500);
	assert_int_equal(sh.window, SHED_WINDOW_MIN);
	answered(5000, 400, 100);
	assert_int_equal(sh.window, 8000);
	for (i = 0; i < 1000; i++)
		answered(5000, 0, 0);
	assert_int_equal(sh.window, 8192);
	shed_set_limit(&sh, CONF_INFLIGHT_MAX);
	answered(5000, CONF_INFLIGHT_MAX, 0);
	assert_int_equal(sh.window, CONF_INFLIGHT_MAX);
}

/* Names that nobody answers, or late, among those that are. */
static void
test_the_overtaken_do_not_count(void **state)
{
	(void)state;
	answered(5000, 5000, 100);
	shed_timed_out(&sh, 5000 - SHED_OVERTAKEN_MS, 10, TIMEOUT_MS);
	answered(5000 - SHED_OVERTAKEN_MS, 10, 3900);
	assert_int_equal(sh.window, 8192);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		T(test_neither_transport_takes_all),
		T(test_clients_share),
		T(test_overtaken),
		T(test_line_is_as_long_as_it_may_be),
		T(test_line_gets_longer),
		T(test_the_overtaken_do_not_count),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
