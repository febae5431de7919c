/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/pool/policy.c */
/* Which upstream gets the next query, by each policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dotproxy/pool/policy.h"

#define ALL_UP UINT64_MAX
#define MID 0x80000000u /* a random number in the middle */

static struct policy p;

/* A policy over n upstreams of which those in set are usable. */
static void
start(enum conf_policy kind, uint32_t n, uint64_t set)
{
	uint32_t i;

	policy_init(&p, kind, n);
	for (i = 0; i < n; i++)
		if ((set >> i & 1) != 0)
			policy_set_up(&p, i, true);
}

static uint32_t
choose(uint32_t random)
{
	return policy_choose(&p, POLICY_NONE, random);
}

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

#define NO_PROBE UINT32_MAX /* random numbers: the preferred one */
#define PROBE 0u
#define TRIAL 0x20000000u

static uint64_t clock_ms;

/* One query with its answer, some time after the last; returns who got it. */
static uint32_t
ask(uint32_t random, const uint32_t *us)
{
	uint32_t i = choose(random);

	clock_ms += 50;
	policy_answered(&p, i, us[i], clock_ms);
	return i;
}

static uint32_t
any(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state;
}

/* A policy that knows what each of n takes. */
static void
start_latency(uint32_t n, const uint32_t *us)
{
	uint32_t i, k;

	clock_ms = 5000;
	start(POLICY_LATENCY, n, ALL_UP >> (64 - n));
	for (k = 0; k < 2 * POLICY_PROVEN; k++, clock_ms += 100)
		for (i = 0; i < n; i++)
			policy_answered(&p, i, us[i], clock_ms);
}

/* Asks until i is preferred; returns how many queries that took. */
static uint32_t
until_preferred(uint32_t i, const uint32_t *us, uint32_t *seed)
{
	uint32_t n = 0;

	for (; p.best != i; n++) {
		assert_true(n < 5000);
		(void)ask(any(seed), us);
	}
	return n;
}

static void
test_latency_prefers_the_fastest(void **state)
{
	const uint32_t us[] = { 40000, 10000, 80000 };
	uint32_t i;

	(void)state;
	start_latency(3, us);
	for (i = 0; i < 100; i++)
		assert_int_equal(ask(NO_PROBE, us), 1);
}

/* Before anything is known the others get a share at once. */
static void
test_latency_finds_out_by_itself(void **state)
{
	const uint32_t us[] = { 40000, 20000, 80000, 10000 };
	uint32_t seed = 1;

	(void)state;
	clock_ms = 5000;
	start(POLICY_LATENCY, 4, 0x0f);
	assert_true(until_preferred(3, us, &seed) < 300);
}

static void
test_latency_probes_few_and_not_in_vain(void **state)
{
	const uint32_t us[] = { 10000, 40000, 80000 };
	uint32_t i, others = 0, seed = 2;

	(void)state;
	start_latency(3, us);
	for (i = 0; i < 10000; i++)
		others += ask(any(&seed), us) != 0;
	assert_in_range(others, 40, 120); /* 78, if there is time for all */
	/* The one heard of least lately is next, if that is long ago. */
	start_latency(3, us);
	clock_ms += 2000;
	policy_answered(&p, 1, us[1], clock_ms);
	assert_int_equal(ask(PROBE, us), 2);
	assert_int_equal(ask(PROBE, us), 0);
}

static void
test_latency_follows_a_change_of_places(void **state)
{
	const uint32_t before[] = { 10000, 40000 }, after[] = { 80000, 40000 };
	const uint32_t better[] = { 80000, 5000 };
	uint32_t seed = 3;

	(void)state;
	start_latency(2, before);
	assert_int_equal(p.best, 0);
	assert_true(until_preferred(1, after, &seed) < 50);
	assert_true(until_preferred(0, before, &seed) < 1000);
	assert_true(until_preferred(1, better, &seed) < 1000);
}

/* Neither a relative nor an absolute difference that is small will do. */
static void
test_latency_keeps_to_one_of_two_like_ones(void **state)
{
	const uint32_t near[] = { 100000, 80001 }, far[] = { 100000, 79000 };
	const uint32_t quick[] = { 2500, 600 };
	uint32_t i;

	(void)state;
	start_latency(2, near);
	for (i = 0; i < 200; i++)
		(void)ask(TRIAL, near);
	assert_int_equal(p.best, 0);
	start_latency(2, quick);
	assert_int_equal(p.best, 0);
	start_latency(2, far);
	assert_int_equal(p.best, 0);
	for (i = 0; i < 200; i++)
		policy_answered(&p, 1, 70000, clock_ms += 50);
	assert_int_equal(p.best, 1);
}

/* Two that take the same, give or take a half. */
static void
test_latency_does_not_flap_with_noise(void **state)
{
	uint32_t us[2], i, last, changes = 0, seed = 4;

	(void)state;
	us[0] = us[1] = 20000;
	start_latency(2, us);
	last = p.best;
	for (i = 0; i < 20000; i++) {
		us[0] = 10000 + any(&seed) % 20000;
		us[1] = 10000 + any(&seed) % 20000;
		(void)ask(any(&seed), us);
		changes += p.best != last;
		last = p.best;
	}
	assert_true(changes <= 3);
}

/* However clear it is: not before a second is over. */
static void
test_latency_changes_once_a_second(void **state)
{
	const uint32_t us[] = { 10000, 40000 };
	uint64_t changed_ms;
	uint32_t i;

	(void)state;
	start_latency(2, us);
	for (i = 0; p.best == 0; i++)
		policy_answered(&p, 0, 400000, clock_ms += 10);
	changed_ms = clock_ms;
	assert_true(i < 20);
	while (p.best == 1) {
		policy_answered(&p, 0, 1000, clock_ms += 10);
		assert_true(clock_ms < changed_ms + 2000);
	}
	assert_true(clock_ms >= changed_ms + 1000);
}

/* What one stop of a connection delays comes together, and counts once. */
static void
test_latency_takes_a_burst_for_one(void **state)
{
	const uint32_t us[] = { 10000, 20000 };
	uint32_t i;

	(void)state;
	start_latency(2, us);
	for (i = 0; i < 100; i++)
		policy_answered(&p, 0, 400000, clock_ms + i / 20);
	assert_int_equal(p.best, 0);
	assert_in_range(p.latency[0].smooth_us, 10000, 12600);
}

static void
test_latency_leaves_who_is_silent(void **state)
{
	const uint32_t us[] = { 10000, 40000, 15000 };
	uint32_t i, seed = 5;

	(void)state;
	start_latency(3, us);
	policy_set_doubt(&p, 0, true);
	assert_int_equal(choose(NO_PROBE), 2);
	for (i = 0; i < 100; i++)
		assert_int_not_equal(ask(any(&seed), us), 0);
	/* It was not for nothing: it has to be good again for a while. */
	policy_set_doubt(&p, 0, false);
	assert_int_equal(choose(NO_PROBE), 2);
	assert_true(until_preferred(0, us, &seed) < 2000);
}

static void
test_latency_takes_back_who_has_recovered(void **state)
{
	const uint32_t us[] = { 10000, 40000 };
	uint32_t n, seed = 6;

	(void)state;
	start_latency(2, us);
	policy_set_up(&p, 0, false);
	assert_int_equal(choose(PROBE), 1);
	policy_set_up(&p, 0, true);
	/* A share first, and all of them when it has proven itself. */
	assert_int_equal(choose(NO_PROBE), 1);
	assert_int_equal(choose(TRIAL), 0);
	n = until_preferred(0, us, &seed);
	assert_in_range(n, POLICY_PROVEN, 100);
}

/* One that takes queries and answers none is not asked for ever. */
static void
test_latency_does_not_go_on_asking_the_mute(void **state)
{
	const uint32_t us[] = { 10000, 40000 };
	uint32_t i, n = 0;

	(void)state;
	start_latency(2, us);
	policy_set_up(&p, 1, false);
	policy_set_up(&p, 1, true);
	clock_ms += 5000;
	for (i = 0; i < 1000; i++) {
		if (choose(i % 2 == 0 ? TRIAL : PROBE) == 1)
			n++;
		else
			policy_answered(&p, 0, us[0], clock_ms += 50);
	}
	assert_int_equal(n, 8);
	policy_waited(&p, 1, 3000000, clock_ms);
	assert_int_equal(choose(TRIAL), 0); /* it has shown what it takes */
}

static void
test_latency_counts_what_was_waited_for_in_vain(void **state)
{
	const uint32_t us[] = { 10000, 40000 };
	uint32_t i;

	(void)state;
	start_latency(2, us);
	policy_waited(&p, 0, 5000, clock_ms += 50); /* says nothing */
	assert_int_equal(p.latency[0].smooth_us, 10000);
	for (i = 0; p.best == 0; i++)
		policy_waited(&p, 0, 4000000, clock_ms += 50);
	assert_in_range(i, 10, 20);
	/* Of an unknown one it must be long to say anything. */
	policy_set_up(&p, 0, false);
	policy_waited(&p, 0, 90000, clock_ms += 50);
	assert_int_equal(p.latency[0].seen, 0);
	policy_waited(&p, 0, 110000, clock_ms += 50);
	assert_int_equal(p.latency[0].seen, 1);
}

/* What was measured long ago does not hold down what is measured now. */
static void
test_latency_forgets(void **state)
{
	const uint32_t us[] = { 10000, 400000 };

	(void)state;
	start_latency(2, us);
	policy_answered(&p, 1, 5000, clock_ms += 30000);
	assert_in_range(p.latency[1].smooth_us, 300000, 400000);
	policy_answered(&p, 1, 5000, clock_ms += 60000);
	assert_int_equal(p.latency[1].smooth_us, 5000);
	assert_int_equal(p.best, 0); /* one answer proves nothing */
}

static void
test_latency_is_no_probe_when_sent_again(void **state)
{
	const uint32_t us[] = { 30000, 10000, 20000 };

	(void)state;
	start_latency(3, us);
	clock_ms += 5000;
	policy_answered(&p, 1, us[1], clock_ms);
	assert_int_equal(policy_choose(&p, 0, PROBE), 1);
	assert_int_equal(policy_choose(&p, 1, PROBE), 2);
	assert_int_equal(policy_choose_among(&p, 0x05, PROBE), 2);
	assert_int_equal(policy_choose_among(&p, 0x03, PROBE), 1);
}

static void
test_latency_is_inherited(void **state)
{
	const uint32_t us[] = { 40000, 10000, 80000 };
	struct policy old;

	(void)state;
	start_latency(3, us);
	old = p;
	policy_init(&p, POLICY_LATENCY, 2);
	policy_inherit(&p, 0, &old, 2);
	policy_inherit(&p, 1, &old, 1);
	policy_set_up(&p, 0, true);
	policy_set_up(&p, 1, true);
	clock_ms += 2000;
	policy_answered(&p, 1, us[1], clock_ms);
	assert_int_equal(choose(NO_PROBE), 1);
	assert_int_equal(p.given[1], old.given[1] + 1);
}

/* The others do not pay for it, nor does a number of nobody do harm. */
static void
test_only_latency_measures(void **state)
{
	struct policy before;

	(void)state;
	start(POLICY_FAILOVER, 2, 3);
	before = p;
	policy_answered(&p, 1, 1000, 5000);
	policy_waited(&p, 1, 1000000, 5000);
	assert_memory_equal(&p, &before, sizeof(p));
	start(POLICY_LATENCY, 2, 3);
	before = p;
	policy_answered(&p, UINT32_MAX, 1000, 5000);
	policy_waited(&p, 2, 1000000, 5000);
	assert_memory_equal(&p, &before, sizeof(p));
}

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
		cmocka_unit_test(test_latency_prefers_the_fastest),
		cmocka_unit_test(test_latency_finds_out_by_itself),
		cmocka_unit_test(test_latency_probes_few_and_not_in_vain),
		cmocka_unit_test(test_latency_follows_a_change_of_places),
		cmocka_unit_test(test_latency_keeps_to_one_of_two_like_ones),
		cmocka_unit_test(test_latency_does_not_flap_with_noise),
		cmocka_unit_test(test_latency_changes_once_a_second),
		cmocka_unit_test(test_latency_takes_a_burst_for_one),
		cmocka_unit_test(test_latency_leaves_who_is_silent),
		cmocka_unit_test(test_latency_takes_back_who_has_recovered),
		cmocka_unit_test(test_latency_does_not_go_on_asking_the_mute),
		cmocka_unit_test(
		    test_latency_counts_what_was_waited_for_in_vain),
		cmocka_unit_test(test_latency_forgets),
		cmocka_unit_test(test_latency_is_no_probe_when_sent_again),
		cmocka_unit_test(test_latency_is_inherited),
		cmocka_unit_test(test_only_latency_measures),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
