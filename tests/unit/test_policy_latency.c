/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/pool/policy.c */
/* Which upstream gets the next query by policy latency: who is fastest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/policy_rig.h"

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
