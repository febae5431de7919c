/* SPDX-License-Identifier: ISC */
/* Who is turned away under overload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/conf.h"
#include "dotproxy/listener/shed.h"

#define TIMEOUT_MS 4000u
#define LINE (2 * SHED_WINDOW_MIN) /* so many wait, where it matters */

static struct shed sh;

static int
setup(void **state)
{
	(void)state;
	memset(&sh, 0, sizeof(sh));
	shed_set_limit(&sh, 8192);
	return 0;
}

static void
test_neither_transport_takes_all(void **state)
{
	(void)state;
	assert_true(shed_admits(&sh, 7167, 7167, 0));
	assert_false(shed_admits(&sh, 7168, 7168, 0));
	/* There were more before the line was made shorter. */
	assert_false(shed_admits(&sh, 8000, 7500, 0));
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

/* The wait of one that was due then, has waited so long, and had no stall. */
static struct shed_wait
waited(uint64_t deadline_ms, uint32_t ahead, uint64_t age_ms)
{
	const struct shed_wait w = {
		.sent_ms = deadline_ms, /* all by the same time later */
		.deadline_ms = deadline_ms,
		.timeout_ms = TIMEOUT_MS,
		.now_ms = deadline_ms - TIMEOUT_MS + age_ms,
		.ahead = ahead,
		.stalled_ms = sh.stalled_ms,
		.total = LINE,
	};

	return w;
}

static void
answered(uint64_t deadline_ms, uint32_t ahead, uint64_t age_ms)
{
	const struct shed_wait w = waited(deadline_ms, ahead, age_ms);

	sh.heard_ms = w.now_ms;
	shed_answered(&sh, &w);
}

static void
timed_out(uint64_t deadline_ms, uint32_t ahead)
{
	const struct shed_wait w = waited(deadline_ms, ahead, TIMEOUT_MS);

	sh.heard_ms = w.now_ms;
	shed_timed_out(&sh, &w);
}

static void
test_overtaken(void **state)
{
	struct shed_wait w;

	(void)state;
	assert_false(shed_overtaken(&sh, 11000));
	answered(11249, 1, 20);
	assert_false(shed_overtaken(&sh, 11000));
	answered(11250, 1, 20);
	assert_true(shed_overtaken(&sh, 11000));
	answered(11100, 1, 20); /* one asked before, answered after it */
	assert_true(shed_overtaken(&sh, 11000));
	/* One of a longer timeout says nothing. */
	w = waited(90000, 1, 0);
	w.now_ms--;
	shed_answered(&sh, &w);
	assert_false(shed_overtaken(&sh, 12000));
}

static void
test_line_is_as_long_as_it_may_be(void **state)
{
	(void)state;
	/* 1000 took a second: 2000 take half of the timeout. */
	answered(15000, 1000, 1000);
	assert_int_equal(sh.window, 2000);
	answered(15001, 2000, 2000);
	assert_int_equal(sh.window, 2000);
	answered(15002, 2000, 4000);
	assert_int_equal(sh.window, 1000);
	timed_out(15003, 1800);
	assert_int_equal(sh.window, 900);
	timed_out(15003, 2000); /* it says how many are too many, not enough */
	assert_int_equal(sh.window, 900);
	timed_out(15003, 1);
	assert_int_equal(sh.window, SHED_WINDOW_MIN);
	/* A limit below that is kept. */
	shed_set_limit(&sh, 10);
	timed_out(15003, 1);
	assert_int_equal(sh.window, 10);
}

static void
test_line_gets_longer(void **state)
{
	uint32_t i;

	(void)state;
	timed_out(10001, 0);
	answered(15000, 10, 499); /* so long may be the way */
	assert_int_equal(sh.window, SHED_WINDOW_MIN + 1);
	answered(15000, 128, 1000); /* 256 would fit */
	assert_int_equal(sh.window, SHED_WINDOW_MIN);
	answered(15000, 400, 100);
	assert_int_equal(sh.window, 8000);
	for (i = 0; i < 1000; i++)
		answered(15000, 0, 0);
	assert_int_equal(sh.window, 8192);
	shed_set_limit(&sh, CONF_INFLIGHT_MAX);
	answered(15000, CONF_INFLIGHT_MAX, 0);
	assert_int_equal(sh.window, CONF_INFLIGHT_MAX);
}

/* It has waited for something else. */
static void
test_a_few_are_no_line(void **state)
{
	(void)state;
	answered(15000, SHED_AHEAD_MIN - 1, 2000);
	assert_int_equal(sh.window, 8192);
	answered(15000, SHED_AHEAD_MIN, 500);
	assert_int_equal(sh.window, SHED_WINDOW_MIN);
	/* But nobody was answered in time. */
	answered(15000, 400, 100);
	timed_out(15000, 0);
	assert_int_equal(sh.window, SHED_WINDOW_MIN);
}

/* Names that nobody answers, or late, among those that are. */
static void
test_the_overtaken_do_not_count(void **state)
{
	(void)state;
	answered(15000, 5000, 100);
	timed_out(15000 - SHED_OVERTAKEN_MS, 10);
	answered(15000 - SHED_OVERTAKEN_MS, 10, 3900);
	assert_int_equal(sh.window, 8192);
}

#define RUN_MAX 8192u

/*
 * So many ask, one every ms; all that have come by answers_ms are answered one
 * every gap_ms from then on, in order, until ends_ms.  Who is left by then is
 * not told anything.  Returns the smallest window there was.
 */
static uint32_t
run(uint32_t n, uint64_t answers_ms, uint64_t gap_ms, uint64_t ends_ms)
{
	static struct shed_wait w[RUN_MAX];
	const uint64_t from_ms = 10000;
	uint32_t asked = 0, ended = 0, smallest = sh.window;
	uint64_t ms;

	assert_true(n <= RUN_MAX);
	for (ms = 0; ms < ends_ms; ms++) {
		if (asked < n) {
			w[asked].stalled_ms =
			    shed_asked(&sh, asked - ended, from_ms + ms);
			w[asked].ahead = asked - ended;
			w[asked].timeout_ms = TIMEOUT_MS;
			w[asked].sent_ms = from_ms + ms;
			w[asked++].deadline_ms = from_ms + ms + TIMEOUT_MS;
		}
		while (ended < asked) {
			w[ended].now_ms = from_ms + ms;
			w[ended].total = asked - ended;
			if (w[ended].deadline_ms <= from_ms + ms)
				shed_timed_out(&sh, &w[ended]);
			else if (ms < answers_ms ||
				 (gap_ms > 0 && ms % gap_ms != 0))
				break;
			else
				shed_answered(&sh, &w[ended]);
			ended++;
			smallest = sh.window < smallest ? sh.window : smallest;
			if (gap_ms > 0)
				break;
		}
	}
	return smallest;
}

static void
test_a_stall_is_no_line(void **state)
{
	(void)state;
	assert_int_equal(run(5000, 0, 0, 5000), 8192);
	/* Nobody is answered for three seconds, and then everybody. */
	assert_int_equal(run(5000, 3000, 0, 5000), 8192);
	/* Who times out before that says nothing either. */
	assert_int_equal(run(8000, 7000, 0, 8000), 8192);
	/* However much was lost before. */
	sh.stalled_ms = UINT32_MAX - 1000;
	assert_int_equal(run(5000, 3000, 0, 5000), 8192);
}

static void
test_a_line_after_a_stall_is_one(void **state)
{
	(void)state;
	/* Half as many are answered as ask: the line has 2000 at the most. */
	assert_in_range(run(8000, 1000, 2, 8000), 900, 1100);
	assert_in_range(sh.window, 900, 1100);
}

/* Answers that come all at once, after nothing: slower than who asks. */
static void
test_silence_in_a_line_counts(void **state)
{
	const struct shed_wait first = waited(20000, 1000, 2000);
	struct shed_wait w = waited(20200, 1000, 2000);

	(void)state;
	sh.heard_ms = first.now_ms;
	shed_answered(&sh, &first);
	assert_int_equal(sh.window, 1000);
	w.stalled_ms = shed_stalled(&sh, first.now_ms);
	shed_answered(&sh, &w);
	assert_int_equal(sh.window, 1000);
	/* Where so few wait it is no line. */
	w.total = SHED_WINDOW_MIN;
	shed_answered(&sh, &w);
	w = waited(20400, 1000, 2000);
	shed_answered(&sh, &w);
	assert_int_equal(sh.window, 1000 * 2000 / 1800);
}

/* Between two answers there always is some. */
static void
test_short_silence_is_no_stall(void **state)
{
	struct shed_wait w;

	(void)state;
	assert_int_equal(shed_asked(&sh, 0, 10000), 0);
	w = waited(10050 + TIMEOUT_MS, 1000, 49);
	w.stalled_ms = shed_asked(&sh, 1, 10050);
	assert_int_equal(w.stalled_ms, 50);
	shed_answered(&sh, &w); /* another one, after 99 ms of silence */
	sh.heard_ms = w.now_ms = 11050;
	shed_answered(&sh, &w);
	assert_int_equal(sh.window, 2000);
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
		T(test_a_few_are_no_line),
		T(test_the_overtaken_do_not_count),
		T(test_a_stall_is_no_line),
		T(test_a_line_after_a_stall_is_one),
		T(test_silence_in_a_line_counts),
		T(test_short_silence_is_no_stall),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
