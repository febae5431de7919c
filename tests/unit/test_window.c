/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/listener/window.c */
/*
 * How many queries may be with the pool, behind upstreams of all kinds, see
 * window_sim.h.
 */
#include "tests/unit/window_sim.h"

static void
test_line_gets_short(void **state)
{
	static const uint64_t ask_us[] = { 200, 125, 33 };
	size_t i;

	for (i = 0; i < 3; i++) {
		setup(state);
		sim.gap_us = 250;
		pass(SECOND);
		assert_int_equal(w.size, WINDOW_NONE);
		flood(ask_us[i], 7000);
		pass(3 * SECOND);
		assert_well(20, 4000, 30);
	}
}

/* What a line of some milliseconds costs, another client pays. */
static void
test_short_line_matters_to_several_clients(void **state)
{
	uint32_t n;

	for (n = 1; n <= 2; n++) {
		setup(state);
		sim.nclients = n;
		sim.gap_us = 25;
		pass(SECOND);
		flood(10, 100);
		pass(3 * SECOND);
		assert_well(20, 40000, n == 1 ? 100 : 70);
		if (n == 1)
			assert_int_equal(w.size, WINDOW_NONE);
	}
}

/* There are 45 under way if nobody waits. */
static void
test_line_is_hardly_longer_than_needed(void **state)
{
	(void)state;
	sim.gap_us = 250;
	sim.way_us = 11000;
	pass(2 * SECOND);
	flood(125, 7000);
	pass(8 * SECOND);
	assert_well(20, 4000, 60);
}

/* Some batches have enough of these to look as if there were no line. */
static void
test_answers_beside_the_line_do_not_hide_it(void **state)
{
	static const uint32_t beside[] = { 30, 15, 11 };
	size_t i;

	for (i = 0; i < 3; i++) {
		setup(state);
		sim.gap_us = 250;
		sim.way_us = 10000;
		sim.beside = beside[i];
		pass(SECOND);
		flood(125, 7000);
		pass(14 * SECOND);
		assert_well(20, 4000, 75);
	}
}

/* An eighty-fifth more are asked in each second, up to some 1,500. */
static void
test_line_that_grows_slowly_is_seen(void **state)
{
	uint32_t most = 14000, i;

	(void)state;
	sim.nclients = 2;
	sim.gap_us = 1000;
	sim.way_us = 10000;
	pass(2 * SECOND);
	for (i = 0; i < 400; i++, most += most / 85) {
		flood(10, most / 1000);
		pass(SECOND);
	}
	assert_well(20, 1000, 50);
}

/*
 * The same without a time before it in which little was asked, and with an
 * upstream to which there is no connection yet.
 */
static void
test_line_from_the_beginning(void **state)
{
	size_t i;

	for (i = 0; i < 2; i++) {
		setup(state);
		sim.gap_us = 250;
		sim.free_us = sim.now_us + i * 400000;
		flood(33, 7000);
		pass(8 * SECOND);
		/* Of what comes late at first a part might be the way. */
		assert_well(20, 4000, i == 0 ? 30 : 120);
	}
}

/* Then half as much less is tried, which shows no sooner. */
static void
test_line_after_a_trial_in_vain(void **state)
{
	uint32_t in_vain;

	for (in_vain = 1; in_vain <= 3; in_vain++) {
		setup(state);
		sim.gap_us = 1000;
		pass(SECOND);
		w.less.in_vain = in_vain;
		w.less.next_ms = sim.now_us / 1000 + 3000;
		w.told_us = 700000;
		flood(100, 800);
		pass(12 * SECOND);
		assert_well(30, 1000, 30);
	}
}

static void
test_line_of_a_very_slow_upstream(void **state)
{
	(void)state;
	sim.gap_us = 5000;
	pass(SECOND);
	flood(1000, 7000);
	pass(10 * SECOND);
	assert_well(20, 200, 18);
}

/* A line at the end of a long way. */
static void
test_line_far_away(void **state)
{
	static const uint64_t jitter_us[] = { 0, 50000 };
	size_t i;

	for (i = 0; i < 2; i++) {
		setup(state);
		sim.gap_us = 50;
		sim.way_us = 50000;
		sim.jitter_us = jitter_us[i];
		pass(2 * SECOND);
		flood(30, 20000);
		pass(3 * SECOND);
		assert_well(20, 20000, 2 * (50000 + jitter_us[i] / 2) / 50);
	}
}

/* The processor is taken away, and given back, all the time. */
static void
test_line_before_an_unequal_upstream(void **state)
{
	(void)state;
	sim.gap_us = 100;
	sim.unequal = 60;
	sim.way_us = 10000;
	pass(SECOND);
	flood(50, 20000);
	pass(5 * SECOND);
	assert_well(30, 7700, 350);
}

/* Answers that each take their time, in any order: all are let go. */
static void
test_no_line_no_limit(void **state)
{
	static const struct {
		uint64_t way_us, jitter_us;
		uint32_t most;
		uint64_t might;
	} is[] = { { 300, 50000, 2000, 78000 }, { 50000, 0, 2000, 39000 },
		{ 100000, 0, 20000, 190000 }, { 20000, 200000, 10000, 80000 },
		{ 300, 3000, 400, 200000 }, { 300, 50000, 60, 2300 } };
	size_t i, j;

	for (j = 0; j < 2; j++)
		for (i = 0; i < sizeof(is) / sizeof(is[0]); i++) {
			setup(state);
			sim.gap_us = 4;
			/* The way may be known, or become so long now. */
			if (j == 0) {
				sim.way_us = is[i].way_us;
				sim.jitter_us = is[i].jitter_us;
			}
			pass(2 * SECOND);
			sim.way_us = is[i].way_us;
			sim.jitter_us = is[i].jitter_us;
			flood(4, is[i].most);
			pass(2 * SECOND);
			assert_well(20, is[i].might, is[i].most);
		}
}

/* One name in ten takes a fifth of a second: so many are always there. */
static void
test_slow_names(void **state)
{
	(void)state;
	sim.gap_us = 250;
	sim.slow = 10;
	sim.slow_us = 200000;
	pass(SECOND);
	flood(125, 7000);
	pass(4 * SECOND);
	assert_well(20, 4000, 2 * 80 + 40);
}

/*
 * Answers that are slow by chance, now more of them, now fewer: one trial after
 * the other that only seems to succeed would cost a quarter of all.
 */
static void
test_slow_names_cost_few_answers(void **state)
{
	uint64_t answers = 0;
	uint32_t i;

	for (i = 1; i <= 6; i++) {
		setup(state);
		sim.random = i;
		sim.nclients = 2;
		sim.gap_us = 50;
		sim.unequal = 150;
		sim.way_us = 1000;
		sim.slow = 10;
		sim.slow_us = SECOND;
		pass(2 * SECOND);
		flood(17, 1000);
		pass(5 * SECOND);
		pass(30 * SECOND);
		answers += sim.answers;
	}
	/* Without any window as many, for there are 1,000. */
	assert_in_range(answers, 6u * 30 * 9600, 6u * 30 * 9800);
}

/* So many names are slow that there are trials: nobody is kept for long. */
static void
test_slow_names_stop_nobody(void **state)
{
	(void)state;
	sim.gap_us = 4;
	pass(SECOND);
	sim.way_us = 500000;
	sim.jitter_us = 2000000;
	flood(500, 7000);
	pass(30 * SECOND);
	assert_true(sim.pause_us > 0);
	assert_in_range(sim.pause_us, 0, 50000);
}

/* Most answers come as soon as ever: no reason for a trial, which costs some.
 */
static void
test_slow_names_are_no_line(void **state)
{
	static const uint64_t ask_us[] = { 2000, 500, 50 };
	size_t i;

	for (i = 0; i < 3; i++) {
		setup(state);
		sim.nclients = 20;
		sim.gap_us = 4;
		sim.way_us = 10000;
		sim.slow = 4;
		sim.slow_us = 150000;
		pass(SECOND);
		flood(ask_us[i], 7000);
		pass(60 * SECOND);
		assert_int_equal(sim.pause_us, 0);
	}
}

/* Two trials say that it is no line; then there are no more. */
static void
test_longer_way_is_learnt(void **state)
{
	static const uint32_t most[] = { 50, 2000 };
	size_t i;

	for (i = 0; i < 2; i++) {
		setup(state);
		sim.gap_us = 4;
		pass(SECOND);
		sim.way_us = 50000;
		flood(4, most[i]);
		pass(5 * SECOND);
		assert_true(sim.pause_us > 0);
		pass(60 * SECOND);
		assert_int_equal(sim.pause_us, 0);
		assert_int_equal(w.size, WINDOW_NONE);
	}
}

/* Clients that have little each: nobody is in the way of others. */
static void
test_small_clients_make_no_trials(void **state)
{
	(void)state;
	sim.nclients = 40;
	sim.each = 3;
	sim.gap_us = 100;
	pass(SECOND);
	sim.way_us = 60000;
	flood(3000, 7000);
	pass(30 * SECOND);
	assert_int_equal(sim.pause_us, 0);
	/*
	 * But very many of them can make a line that is long for all; then it
	 * gets as short as any, though they are few in the end.
	 */
	sim.way_us = 300;
	sim.gap_us = 250;
	flood(125, 7000);
	pass(10 * SECOND);
	assert_well(20, 4000, 100);
}

/* Much less than could be answered: nobody waits for a window. */
static void
test_quiet_load(void **state)
{
	(void)state;
	sim.gap_us = 10;
	sim.way_us = 20000;
	sim.jitter_us = 20000;
	flood(1000, 7000);
	pass(SECOND);
	assert_well(60, 1000, 31);
	assert_int_equal(w.size, WINDOW_NONE);
	/* The way becomes three times as long. */
	sim.way_us = 80000;
	pass(60 * SECOND);
	assert_true(sim.took_us / sim.answers < 95000);
	pass(60 * SECOND);
	assert_true(sim.took_us / sim.answers < 91000);
}

/* A line that has gone is no limit for who comes later. */
static void
test_faster_and_slower(void **state)
{
	(void)state;
	sim.gap_us = 250;
	pass(SECOND);
	flood(10, 7000);
	pass(3 * SECOND);
	assert_well(5, 4000, 30);
	sim.gap_us = 25;
	pass(SECOND);
	assert_well(5, 40000, 400);
	sim.gap_us = 250;
	pass(3 * SECOND);
	assert_well(5, 4000, 40);
	/* Another upstream, far away, and then this one again. */
	sim.gap_us = 20;
	sim.way_us = 100000;
	pass(4 * SECOND);
	assert_well(20, 50000, 7000);
	sim.gap_us = 250;
	sim.way_us = 300;
	pass(8 * SECOND);
	assert_well(20, 4000, 200);
}

static void
test_window_is_forgotten(void **state)
{
	(void)state;
	sim.gap_us = 250;
	pass(SECOND);
	flood(125, 7000);
	pass(3 * SECOND);
	assert_true(w.size < 40);
	flood(10000, 10);
	pass((WINDOW_KEPT_MS + 5000) * 1000);
	assert_int_equal(w.size, WINDOW_NONE);
	/* And if nothing at all was asked meanwhile. */
	flood(125, 7000);
	pass(3 * SECOND);
	assert_true(w.size < 40);
	flood(1000000, 0);
	pass((WINDOW_KEPT_MS + 5000) * 1000);
	flood(10, 400);
	sim.gap_us = 4;
	pass(SECOND / 50);
	assert_int_equal(sim.waiting, 0);
}

static void
test_silent_upstream(void **state)
{
	(void)state;
	sim.gap_us = 250;
	pass(SECOND);
	flood(125, 7000);
	pass(3 * SECOND);
	assert_true(w.size < 40);
	sim.silent = true;
	pass(SECOND);
	assert_int_equal(sim.waiting, 0);
	/* And before anything was tried. */
	setup(state);
	sim.gap_us = 250;
	pass(SECOND);
	flood(50, 7000);
	pass(SECOND / 20);
	assert_true(w.size < WINDOW_NONE && w.hold == WINDOW_NONE);
	sim.silent = true;
	pass(SECOND);
	assert_int_equal(sim.waiting, 0);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_line_gets_short),
		T(test_short_line_matters_to_several_clients),
		T(test_line_is_hardly_longer_than_needed),
		T(test_answers_beside_the_line_do_not_hide_it),
		T(test_line_that_grows_slowly_is_seen),
		T(test_line_from_the_beginning),
		T(test_line_after_a_trial_in_vain),
		T(test_line_of_a_very_slow_upstream),
		T(test_line_far_away),
		T(test_line_before_an_unequal_upstream),
		T(test_no_line_no_limit),
		T(test_slow_names),
		T(test_slow_names_cost_few_answers),
		T(test_slow_names_stop_nobody),
		T(test_slow_names_are_no_line),
		T(test_longer_way_is_learnt),
		T(test_small_clients_make_no_trials),
		T(test_quiet_load),
		T(test_faster_and_slower),
		T(test_window_is_forgotten),
		T(test_silent_upstream),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
