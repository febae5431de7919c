/* SPDX-License-Identifier: ISC */
/* LINK: common/util.c common/log.c */
/* LINK: dotproxy/listener/rate.c */
/* The limit of queries a second for each client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <sys/socket.h>

#include <cmocka.h>

#include "dotproxy/listener/rate.h"
#include "tests/unit/alloc_fail.h"

#define SECOND 1000000ull
#define START (100 * SECOND)

static struct rate rate;

static int
setup(void **state)
{
	struct rng rng = { .left = 0 };

	(void)state;
	return rate_init(&rate, &rng);
}

static int
teardown(void **state)
{
	(void)state;
	rate_clear(&rate);
	return 0;
}

static enum rate_verdict
judge(uint64_t client, uint64_t now_us)
{
	struct keyhash_addr net = { client, 0 };

	return rate_judge(&rate, net, AF_INET, now_us);
}

/* How many of n at a time pass. */
static unsigned int
passed(uint64_t client, unsigned int n, uint64_t now_us)
{
	unsigned int count = 0;

	while (n-- > 0)
		count += judge(client, now_us) == RATE_PASS;
	return count;
}

static void
test_burst_and_then_the_rate(void **state)
{
	uint64_t now = START;
	unsigned int i;

	(void)state;
	rate_set_limit(&rate, 10, 5);
	assert_int_equal(passed(1, 100, now), 5);
	assert_int_equal(passed(1, 1, now + SECOND / 10 - 1), 0);
	assert_int_equal(passed(1, 2, now + SECOND / 10), 1);
	/* In the long run it is the rate, however fast somebody asks. */
	for (i = 0; i < 10; i++)
		assert_int_equal(
		    passed(1, 3, now + SECOND / 5 + i * SECOND / 10), 1);
	/* And who waits has the burst again, but no more. */
	assert_int_equal(passed(1, 100, now + 1000 * SECOND), 5);
	/* Another client has his own. */
	assert_int_equal(passed(2, 100, now), 5);
}

static void
test_every_second_one_beyond_is_told(void **state)
{
	int i;

	(void)state;
	rate_set_limit(&rate, 10, 1);
	assert_int_equal(judge(1, START), RATE_PASS);
	for (i = 0; i < 3; i++) {
		assert_int_equal(judge(1, START), RATE_TRUNCATE);
		assert_int_equal(judge(2, START), i == 0   ? RATE_PASS
						  : i == 1 ? RATE_TRUNCATE
							   : RATE_DROP);
		assert_int_equal(judge(1, START), RATE_DROP);
	}
}

static void
test_limits_at_their_ends(void **state)
{
	(void)state;
	assert_false(rate_is_on(&rate));
	rate_set_limit(&rate, 1000000, 1000000);
	assert_true(rate_is_on(&rate));
	assert_int_equal(passed(1, 1000010, START), 1000000);
	assert_int_equal(passed(1, 10, START + 1), 1);
	rate_set_limit(&rate, 1, 1000000);
	assert_int_equal(passed(1, 1000010, START), 1000000);
	assert_int_equal(passed(1, 2, START + SECOND), 1);
	/* Another limit: nobody pays for what he used of the one before. */
	rate_set_limit(&rate, 10, 10);
	assert_int_equal(passed(1, 20, START + SECOND), 10);
	rate_set_limit(&rate, 10, 10); /* the same: it goes on */
	assert_int_equal(passed(1, 20, START + SECOND), 0);
	rate_set_limit(&rate, 0, 0);
	assert_false(rate_is_on(&rate));
}

/*
 * Who asks too much is not forgotten for addresses that are made up, which
 * have asked once; and they cost nobody else anything.
 */
static void
test_made_up_addresses_free_no_one(void **state)
{
	uint64_t i, made_up = 20ull * RATE_SETS * RATE_WAYS;

	(void)state;
	rate_set_limit(&rate, 10, 100);
	for (i = 0; i < 64; i++)
		assert_int_equal(passed(i, 200, START), 100);
	for (i = 64; i < made_up; i++)
		assert_int_equal(judge(i, START), RATE_PASS);
	for (i = 0; i < 64; i++)
		assert_int_equal(passed(i, 10, START), 0);
}

/* An address of each family, with the same bytes. */
static void
test_families_are_apart(void **state)
{
	struct keyhash_addr net = { 1, 0 };

	(void)state;
	rate_set_limit(&rate, 10, 1);
	assert_int_equal(rate_judge(&rate, net, AF_INET, START), RATE_PASS);
	assert_int_equal(rate_judge(&rate, net, AF_INET6, START), RATE_PASS);
	net.b = 1;
	assert_int_equal(rate_judge(&rate, net, AF_INET6, START), RATE_PASS);
	assert_int_equal(
	    rate_judge(&rate, net, AF_INET6, START), RATE_TRUNCATE);
}

static bool
make_one(void)
{
	struct rng rng = { .left = 0 };
	struct rate r;
	int made = rate_init(&r, &rng);

	assert_false(rate_is_on(&r));
	rate_clear(&r);
	return made == 0;
}

static void
test_each_allocation_fails(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(make_one);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_fails),
		T(test_burst_and_then_the_rate),
		T(test_every_second_one_beyond_is_told),
		T(test_limits_at_their_ends),
		T(test_made_up_addresses_free_no_one),
		T(test_families_are_apart),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
