/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* Silence: who gets no more queries, and where those go that wait for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/overdue_rig.h"

static int
setup_two(void **state)
{
	return setup(state, 2, 5);
}

static int
setup_three(void **state)
{
	return setup(state, 3, 5);
}

/* While a connection says nothing new queries go to another. */
static void
test_suspect_is_avoided(void **state)
{
	struct peer *p, *o;
	size_t before;

	(void)state;
	rig_ask(1);
	p = late_peer();
	o = other_peer(p);
	RIG_UNTIL(rig_up(0)->nsuspect == 1);
	before = p->ngot;
	rig_ask(2);
	RIG_UNTIL(o->ngot > 0 && count(TSTAT_queries) > 0 && has_query(o));
	assert_int_equal(p->ngot, before);
	peer_answer(p, p->ngot - 1);
	RIG_UNTIL(rig_answered(1) && rig_up(0)->nsuspect == 0);
}

/* What was denied leaves a dead connection when another shows life. */
static void
test_rescue_from_connection(void **state)
{
	struct peer *p;
	uint64_t i;

	(void)state;
	for (i = 0; i < 60; i++)
		rig_ask(i);
	p = late_peer();
	RIG_UNTIL(p->ngot >= 60);
	for (i = 100; rig.nreplies < 61; i++) {
		rig_ask(i);
		rig_pass(5);
		for (size_t k = 0; k < rig.npeers; k++)
			if (rig.peers[k] != p)
				for (size_t n = 0; n < rig.peers[k]->ngot; n++)
					if (!dns_is_response(
						rig.peers[k]->got[n].wire))
						peer_answer(rig.peers[k], n);
		assert_true(i < 1000);
	}
	assert_true(count(TSTAT_rescues) > 0);
	for (i = 0; i < 60; i++)
		assert_true(rig_nreplies(i) <= 1);
}

/* An upstream falls silent: its queries, and all others, go to the next. */
static void
test_rescue_from_upstream(void **state)
{
	uint64_t i;
	size_t got;

	(void)state;
	RIG_UNTIL(rig_up(1)->nready == 1);
	for (i = 0; i < 40; i++)
		rig_ask(i);
	while (rig.nreplies < 40) {
		rig_turn();
		answer_all(2);
	}
	for (i = 0; i < 40; i++)
		assert_true(rig_answered(i) && rig_nreplies(i) == 1);
	assert_true(rig_up(0)->doubt);
	got = rig_peer(1, 0)->ngot + rig_peer(1, 1)->ngot;
	rig_ask(100);
	RIG_UNTIL((answer_all(2), rig_answered(100)));
	assert_int_equal(rig_peer(1, 0)->ngot + rig_peer(1, 1)->ngot, got);
	/* It speaks again, late as it is, and is the first choice again. */
	RIG_UNTIL(rig_up(0)->nsilent == 2);
	peer_answer(rig_peer(1, 0), rig_peer(1, 0)->ngot - 1);
	RIG_UNTIL(!rig_up(0)->doubt);
	assert_int_equal(rig_up(0)->nsilent, 1);
	answer_all(1);
	rig_ask(101);
	RIG_UNTIL((answer_all(1), rig_answered(101)));
	assert_int_equal(rig_up(0)->failed, false);
}

/*
 * A lone query finds all connections of its upstream mute, one after the other:
 * it has a copy left when it is clear that the upstream is silent.
 */
static void
test_last_copy_leaves_upstream(void **state)
{
	(void)state;
	RIG_UNTIL(rig_up(1)->nready == 1);
	rig_ask(1);
	RIG_UNTIL((answer_all(2), rig_answered(1)));
	assert_int_equal(count(TSTAT_rescues), 1);
	assert_in_range(count(TSTAT_hedges), 1, 3);
	assert_int_equal(rig.pool->queries.used, 0);
	answer_all(1);
	RIG_UNTIL(count(TSTAT_late_answers) == 1 + count(TSTAT_hedges));
	assert_int_equal(rig_nreplies(1), 1);
}

/* The one it leaves for turns out silent as well: there is a third. */
static void
test_two_of_three_are_silent(void **state)
{
	uint64_t i, before_ms;

	(void)state;
	RIG_UNTIL(rig_up(1)->nready == 1 && rig_up(2)->nready == 1);
	for (i = 1; i <= 3; i++) {
		before_ms = util_now_ms();
		rig_ask(i);
		RIG_UNTIL((answer_all(3), rig_answered(i)));
		print_message("# %llu ms\n",
		    (unsigned long long)(util_now_ms() - before_ms));
	}
	assert_true(rig_up(0)->doubt && rig_up(1)->doubt);
	assert_in_range(count(TSTAT_rescues), 2, 4);
	assert_int_equal(rig.pool->queries.used, 0);
	answer_all(1);
	answer_all(2);
	RIG_UNTIL(!rig_up(0)->doubt && !rig_up(1)->doubt);
	for (i = 1; i <= 3; i++)
		assert_int_equal(rig_nreplies(i), 1);
}

/* If the other one has no connection it is dialled. */
static void
test_last_copy_waits_for_a_dial(void **state)
{
	struct conn *c;

	(void)state;
	RIG_UNTIL(rig_up(1)->nready == 1);
	c = TAILQ_FIRST(&rig_up(1)->conns);
	conn_close(c);
	rig_up(1)->conf.keep_warm_ms = 0;
	RIG_UNTIL(rig_up(1)->nready == 0);
	rig_ask(1);
	RIG_UNTIL((answer_all(2), rig_answered(1)));
	assert_int_equal(rig_up(1)->nready, 1);
	assert_int_equal(rig_nreplies(1), 1);
}

/* A handshake that does not end: who waits for it goes where there is one. */
static void
test_waiting_moves(void **state)
{
	(void)state;
	(void)rig_setup(state);
	rig.conf.forward.hedge_percent = 5;
	(void)rig_add(2);
	rig.manual = true;
	rig_configure();
	RIG_UNTIL(rig.ndials == 2);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, rig.last_request, rig_connect()));
	(void)rig_accept(2);
	RIG_UNTIL(rig_up(1)->nready == 1);
	rig_ask(1);
	RIG_UNTIL((answer_all(2), rig_answered(1)));
	assert_true(rig_up(0)->doubt);
	rig_ask(2);
	RIG_UNTIL((answer_all(2), rig_answered(2)));
	assert_int_equal(rig_up(0)->nwaiting, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ON(test_suspect_is_avoided),
		ON(test_rescue_from_connection),
		cmocka_unit_test_setup_teardown(
		    test_rescue_from_upstream, setup_two, rig_teardown),
		cmocka_unit_test_setup_teardown(
		    test_last_copy_leaves_upstream, setup_two, rig_teardown),
		cmocka_unit_test_setup_teardown(
		    test_two_of_three_are_silent, setup_three, rig_teardown),
		cmocka_unit_test_setup_teardown(
		    test_last_copy_waits_for_a_dial, setup_two, rig_teardown),
		cmocka_unit_test_teardown(test_waiting_moves, rig_teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
