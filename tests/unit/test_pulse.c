/* SPDX-License-Identifier: ISC */
/* LINK: common/imsg.c common/log.c common/util.c dotproxy/parent/pulse.c */
/* LIBS: -levent_core */
/*
 * Which children the parent takes for dead, on a clock of the test's own: who
 * is silent for three intervals, and nobody else, whatever happens to the
 * clock, the parent, or the machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "dotproxy/parent/parent.h"

#define BUF 4096
#define TURN_MS 3000

static struct {
	struct parent parent;
	struct pair pairs[2];
	uint8_t out[4][BUF];
	uint64_t now_ms;
	struct child *killed; /* the last one */
	unsigned int kills;
	char why[64];
} rig;

void
proc_kill(struct child *c, const char *why)
{
	rig.killed = c;
	rig.kills++;
	(void)snprintf(rig.why, sizeof(rig.why), "%s", why);
	c->state = CHILD_DYING;
}

static void
child_begin(struct child *c, uint8_t *out)
{
	c->parent = &rig.parent;
	c->state = CHILD_READY;
	c->chan.out = out;
	c->chan.out_cap = BUF;
	pulse_begin(c);
}

static int
start(void **state)
{
	uint32_t i;

	(void)state;
	memset(&rig, 0, sizeof(rig));
	rig.now_ms = rig.parent.pulse_ms = 1000000;
	rig.parent.npairs = 2;
	for (i = 0; i < 2; i++) {
		rig.parent.pairs[i] = &rig.pairs[i];
		child_begin(&rig.pairs[i].listener, rig.out[2 * i]);
		child_begin(&rig.pairs[i].pool, rig.out[2 * i + 1]);
	}
	return 0;
}

/* Pings there are for a child; it reads them. */
static unsigned int
pings(struct child *c)
{
	size_t at;
	unsigned int n = 0;

	for (at = 0; at < c->chan.out_len; at += IMSG_HDR_LEN, n++) {
		assert_int_equal(wire_load_u16(c->chan.out + at), MSG_PX_PING);
		assert_int_equal(wire_load_u32(c->chan.out + at + 4), 0);
	}
	c->chan.out_len = 0;
	return n;
}

static int
pong(struct child *c)
{
	struct imsg m = { .type = MSG_XP_PONG, .fd = -1 };

	return pulse_on_pong(c, &m);
}

static void
answer(struct child *c)
{
	unsigned int n;

	for (n = pings(c); n > 0; n--)
		assert_int_equal(pong(c), 0);
}

/* An interval; all that live answer but one, which may be NULL. */
static void
turn_after(uint64_t ms, const struct child *silent)
{
	uint32_t i;

	rig.now_ms += ms;
	pulse_turn(&rig.parent, rig.now_ms);
	for (i = 0; i < 2; i++) {
		if (&rig.pairs[i].listener != silent)
			answer(&rig.pairs[i].listener);
		if (&rig.pairs[i].pool != silent)
			answer(&rig.pairs[i].pool);
	}
}

static void
turns(unsigned int n, const struct child *silent)
{
	while (n-- > 0)
		turn_after(TURN_MS, silent);
}

static void
test_who_answers_lives(void **state)
{
	(void)state;
	turns(1000, NULL);
	assert_int_equal(rig.kills, 0);
}

static void
test_who_is_silent_for_three_intervals_is_killed(void **state)
{
	struct child *c = &rig.pairs[1].pool;

	(void)state;
	turns(5, NULL);
	turns(3, c);
	assert_int_equal(rig.kills, 0);
	turns(1, c);
	assert_int_equal(rig.kills, 1);
	assert_ptr_equal(rig.killed, c);
	assert_string_equal(rig.why, "hangs: no sign of life in 9 seconds");
	turns(100, c);
	assert_int_equal(rig.kills, 1);
}

static void
test_late_answer_is_an_answer(void **state)
{
	struct child *c = &rig.pairs[0].listener;
	unsigned int i;

	(void)state;
	for (i = 0; i < 10; i++) {
		turns(3, c);
		answer(c);
	}
	assert_int_equal(rig.kills, 0);
	turns(4, c);
	assert_int_equal(rig.kills, 1);
}

/* The oldest of several answers is as good as all of them. */
static void
test_one_answer_of_several_is_enough(void **state)
{
	struct child *c = &rig.pairs[0].pool;

	(void)state;
	turns(3, c);
	assert_int_equal(pong(c), 0);
	turns(3, c);
	assert_int_equal(rig.kills, 0);
	turns(1, c);
	assert_int_equal(rig.kills, 1);
}

static void
test_answer_nobody_asked_for_is_a_violation(void **state)
{
	struct child *c = &rig.pairs[0].pool;

	(void)state;
	assert_int_equal(pong(c), -1);
	turns(1, c);
	turns(1, c);
	assert_int_equal(pong(c), 0);
	assert_int_equal(pong(c), 0);
	assert_int_equal(pong(c), -1);
}

/* Stopped, asleep, or starved: who was not there accuses nobody. */
static void
test_parent_that_was_late_kills_nobody(void **state)
{
	struct child *c = &rig.pairs[0].listener;
	unsigned int i;

	(void)state;
	turns(3, c);
	turn_after(TURN_MS + 1001, c);
	assert_int_equal(rig.kills, 0);
	for (i = 0; i < 100; i++)
		turn_after(100 * TURN_MS, c);
	assert_int_equal(rig.kills, 0);
	/* It begins to count when it runs on time again. */
	turns(2, c);
	assert_int_equal(rig.kills, 0);
	turns(1, c);
	assert_int_equal(rig.kills, 1);
}

static void
test_little_late_is_on_time(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++)
		turn_after(TURN_MS + 1000, &rig.pairs[0].listener);
	assert_int_equal(rig.kills, 1);
}

static void
test_clock_that_goes_back_kills_nobody(void **state)
{
	(void)state;
	turns(3, &rig.pairs[0].listener);
	turn_after((uint64_t)-500000, &rig.pairs[0].listener);
	assert_int_equal(rig.kills, 0);
}

static void
test_full_channel_is_no_sign_of_life(void **state)
{
	struct child *c = &rig.pairs[0].pool;

	(void)state;
	c->chan.out_len = BUF;
	turns(3, c);
	assert_int_equal(rig.kills, 0);
	turns(1, c);
	assert_int_equal(rig.kills, 1);
	assert_int_equal(c->pings, 0);
}

static void
test_start_may_take_a_minute(void **state)
{
	struct child *c = &rig.pairs[0].pool;

	(void)state;
	c->state = CHILD_STARTING;
	pulse_begin(c);
	turns(19, c);
	assert_int_equal(rig.kills, 0);
	assert_int_equal(pings(c), 0);
	turns(1, c);
	assert_int_equal(rig.kills, 1);
	assert_string_equal(rig.why, "does not get ready");
}

static void
test_who_is_ready_has_all_its_time(void **state)
{
	struct child *c = &rig.pairs[0].pool;

	(void)state;
	c->state = CHILD_STARTING;
	pulse_begin(c);
	turns(19, c);
	c->state = CHILD_READY;
	pulse_begin(c);
	turns(3, c);
	assert_int_equal(rig.kills, 0);
	turns(1, c);
	assert_int_equal(rig.kills, 1);
}

static void
test_who_is_down_is_not_asked(void **state)
{
	struct child *c = &rig.pairs[0].pool;

	(void)state;
	c->state = CHILD_DOWN;
	turns(50, c);
	assert_int_equal(rig.kills, 0);
	assert_int_equal(pings(c), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_who_answers_lives, start),
		cmocka_unit_test_setup(
		    test_who_is_silent_for_three_intervals_is_killed, start),
		cmocka_unit_test_setup(test_late_answer_is_an_answer, start),
		cmocka_unit_test_setup(
		    test_one_answer_of_several_is_enough, start),
		cmocka_unit_test_setup(
		    test_answer_nobody_asked_for_is_a_violation, start),
		cmocka_unit_test_setup(
		    test_parent_that_was_late_kills_nobody, start),
		cmocka_unit_test_setup(test_little_late_is_on_time, start),
		cmocka_unit_test_setup(
		    test_clock_that_goes_back_kills_nobody, start),
		cmocka_unit_test_setup(
		    test_full_channel_is_no_sign_of_life, start),
		cmocka_unit_test_setup(test_start_may_take_a_minute, start),
		cmocka_unit_test_setup(
		    test_who_is_ready_has_all_its_time, start),
		cmocka_unit_test_setup(test_who_is_down_is_not_asked, start),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
