/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/pool/policy.c */
/* Which upstream gets the next query, by each policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/policy_rig.h"

static void
test_nothing_usable_is_none(void **state)
{
	int kind;

	(void)state;
	for (kind = 0; kind < POLICY_COUNT; kind++) {
		start((enum conf_policy)kind, 0, 0);
		assert_int_equal(choose(MID), POLICY_NONE);
		start((enum conf_policy)kind, 5, 0);
		assert_int_equal(choose(MID), POLICY_NONE);
		assert_int_equal(policy_choose(&p, 3, MID), POLICY_NONE);
	}
}

static void
test_only_usable_ones_are_chosen(void **state)
{
	uint32_t i, got;
	int kind;

	(void)state;
	for (kind = 0; kind < POLICY_COUNT; kind++) {
		start((enum conf_policy)kind, 64, (1ULL << 63) | 0x10);
		for (i = 0; i < 1000; i++) {
			got = choose(i * 4294967u);
			assert_true(got == 63 || got == 4);
		}
		policy_set_up(&p, 63, false);
		for (i = 0; i < 100; i++)
			assert_int_equal(choose(i * 42949672u), 4);
		policy_set_up(&p, 4, false);
		assert_int_equal(choose(MID), POLICY_NONE);
	}
}

static void
test_round_robin_takes_turns(void **state)
{
	(void)state;
	start(POLICY_ROUND_ROBIN, 3, ALL_UP);
	assert_int_equal(choose(0), 0);
	assert_int_equal(choose(0), 1);
	assert_int_equal(choose(0), 2);
	assert_int_equal(choose(0), 0);
	policy_set_up(&p, 1, false);
	assert_int_equal(choose(0), 2);
	assert_int_equal(choose(0), 0);
	assert_int_equal(choose(0), 2);
}

static void
test_random_is_uniform(void **state)
{
	uint32_t counts[4] = { 0 }, i;

	(void)state;
	start(POLICY_RANDOM, 4, ALL_UP);
	for (i = 0; i < 4096; i++)
		counts[choose(i << 20)]++;
	for (i = 0; i < 4; i++)
		assert_int_equal(counts[i], 1024);
}

static void
test_random_goes_on_to_the_next_in_list_order(void **state)
{
	(void)state;
	start(POLICY_RANDOM, 4, 0x0a); /* 1 and 3 */
	assert_int_equal(choose(0), 1);
	assert_int_equal(choose(0x40000000u), 1);
	assert_int_equal(choose(0x80000000u), 3);
	assert_int_equal(choose(0xc0000000u), 3);
	start(POLICY_RANDOM, 4, 0x02); /* 1 only: around the end */
	assert_int_equal(choose(0xffffffffu), 1);
}

static void
test_availability_is_uniform_among_the_usable(void **state)
{
	uint32_t counts[8] = { 0 }, i;

	(void)state;
	start(POLICY_AVAILABILITY, 8, 0xd0); /* 4, 6, 7 */
	for (i = 0; i < 3072; i++)
		counts[choose((uint32_t)((uint64_t)i * UINT32_MAX / 3072))]++;
	assert_in_range(counts[4], 1020, 1028);
	assert_in_range(counts[6], 1020, 1028);
	assert_in_range(counts[7], 1020, 1028);
	assert_int_equal(counts[0] + counts[1] + counts[2] + counts[3], 0);
	assert_int_equal(counts[5], 0);
}

static void
test_failover_takes_the_first(void **state)
{
	(void)state;
	start(POLICY_FAILOVER, 3, ALL_UP);
	assert_int_equal(choose(MID), 0);
	policy_set_up(&p, 0, false);
	assert_int_equal(choose(MID), 1);
	policy_set_up(&p, 1, false);
	assert_int_equal(choose(MID), 2);
	policy_set_up(&p, 0, true);
	assert_int_equal(choose(MID), 0);
}

static void
test_historical_takes_the_least_used(void **state)
{
	(void)state;
	start(POLICY_HISTORICAL, 3, ALL_UP);
	p.given[0] = 5;
	p.given[1] = 3;
	p.given[2] = 4;
	assert_int_equal(choose(0), 1); /* 5 4 4 */
	assert_int_equal(choose(0), 1); /* 5 5 4 */
	assert_int_equal(choose(0), 2); /* 5 5 5 */
	assert_int_equal(choose(0), 0); /* 6 5 5 */
	assert_int_equal(choose(0), 1);
	assert_int_equal(p.given[0], 6);
}

static void
test_historical_does_not_flood_who_comes_back(void **state)
{
	uint32_t i;

	(void)state;
	start(POLICY_HISTORICAL, 3, ALL_UP);
	policy_set_up(&p, 2, false);
	for (i = 0; i < 200; i++)
		(void)choose(0);
	assert_int_equal(p.given[0], 100);
	policy_set_up(&p, 2, true);
	assert_int_equal(p.given[2], 100);
	/* Who has had more than the others keeps that. */
	p.given[1] = 500;
	policy_set_up(&p, 1, false);
	policy_set_up(&p, 1, true);
	assert_int_equal(p.given[1], 500);
	/* To say it twice changes nothing. */
	p.given[0] = 7;
	policy_set_up(&p, 0, true);
	assert_int_equal(p.given[0], 7);
}

static void
test_avoided_one_is_the_last_resort(void **state)
{
	uint32_t i;
	int kind;

	(void)state;
	for (kind = 0; kind < POLICY_COUNT; kind++) {
		start((enum conf_policy)kind, 3, 0x06); /* 1 and 2 */
		for (i = 0; i < 100; i++)
			assert_int_equal(
			    policy_choose(&p, 1, i * 42949672u), 2);
		policy_set_up(&p, 2, false);
		assert_int_equal(policy_choose(&p, 1, MID), 1);
		/* One that is not usable can be avoided, too. */
		assert_int_equal(policy_choose(&p, 0, MID), 1);
	}
}

static void
test_every_choice_is_counted(void **state)
{
	uint64_t sum = 0;
	uint32_t i;
	int kind;

	(void)state;
	for (kind = 0; kind < POLICY_COUNT; kind++) {
		start((enum conf_policy)kind, 5, ALL_UP);
		for (i = 0; i < 50; i++)
			(void)choose(i * 85899345u);
		for (i = 0, sum = 0; i < 5; i++)
			sum += p.given[i];
		assert_int_equal(sum, 50);
	}
}

static void
test_who_needs_random_numbers(void **state)
{
	(void)state;
	start(POLICY_ROUND_ROBIN, 1, 1);
	assert_false(policy_is_random(&p));
	start(POLICY_FAILOVER, 1, 1);
	assert_false(policy_is_random(&p));
	start(POLICY_HISTORICAL, 1, 1);
	assert_false(policy_is_random(&p));
	start(POLICY_RANDOM, 1, 1);
	assert_true(policy_is_random(&p));
	start(POLICY_AVAILABILITY, 1, 1);
	assert_true(policy_is_random(&p));
	start(POLICY_LATENCY, 1, 1);
	assert_true(policy_is_random(&p));
}

/* --- latency, on a clock of its own --- */

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_usable_is_none),
		cmocka_unit_test(test_only_usable_ones_are_chosen),
		cmocka_unit_test(test_round_robin_takes_turns),
		cmocka_unit_test(test_random_is_uniform),
		cmocka_unit_test(test_random_goes_on_to_the_next_in_list_order),
		cmocka_unit_test(test_availability_is_uniform_among_the_usable),
		cmocka_unit_test(test_failover_takes_the_first),
		cmocka_unit_test(test_historical_takes_the_least_used),
		cmocka_unit_test(test_historical_does_not_flood_who_comes_back),
		cmocka_unit_test(test_avoided_one_is_the_last_resort),
		cmocka_unit_test(test_every_choice_is_counted),
		cmocka_unit_test(test_who_needs_random_numbers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
