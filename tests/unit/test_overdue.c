/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* Late answers: copies, and who wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/overdue_rig.h"

static int
setup_off(void **state)
{
	(void)rig_setup_one(state);
	return 0;
}

/* The copy is answered first; the other answer comes late, and harms nobody. */
static void
test_copy_wins(void **state)
{
	struct peer *p, *o;

	(void)state;
	rig_ask(1);
	p = late_peer();
	o = other_peer(p);
	RIG_UNTIL(has_query(o));
	assert_int_equal(count(TSTAT_hedges), 1);
	assert_int_equal(rig.pool->queries.used, 2);
	assert_int_equal(query_held(&rig.pool->queries), 1);
	peer_answer(o, o->ngot - 1);
	RIG_UNTIL(rig_answered(1));
	assert_int_equal(count(TSTAT_hedges_won), 1);
	assert_int_equal(rig_up(0)->n.hedges_won, 1);
	assert_int_equal(rig.pool->queries.used, 0);
	/* Its ID is not free before its answer has come. */
	peer_answer(p, p->ngot - 1);
	RIG_UNTIL(count(TSTAT_late_answers) == 1);
	assert_int_equal(rig_nreplies(1), 1);
	assert_false(rig_up(0)->suspect);
	assert_int_equal(rig_up(0)->nsuspect, 0);
	assert_true(rig_up(0)->nready >= 2);
	assert_int_equal(count(TSTAT_hedges_lost), 0);
}

static void
test_original_wins(void **state)
{
	struct peer *p, *o;

	(void)state;
	rig_ask(1);
	p = late_peer();
	o = other_peer(p);
	RIG_UNTIL(has_query(o));
	peer_answer(p, p->ngot - 1);
	RIG_UNTIL(rig_answered(1));
	peer_answer(o, o->ngot - 1);
	RIG_UNTIL(count(TSTAT_late_answers) == 1);
	assert_int_equal(rig_nreplies(1), 1);
	assert_int_equal(count(TSTAT_hedges_lost), 1);
	assert_int_equal(count(TSTAT_hedges_won), 0);
	assert_true(rig_up(0)->nready >= 2);
}

/* A copy's ID is its connection's own: another's answer is not taken for it. */
static void
test_answer_to_another_question(void **state)
{
	struct peer *p, *o;

	(void)state;
	rig_ask(1);
	p = late_peer();
	o = other_peer(p);
	RIG_UNTIL(has_query(o));
	o->got[o->ngot - 1].wire[DNS_HDR_LEN + 1] ^= 1;
	peer_answer(o, o->ngot - 1);
	RIG_UNTIL(o->eof);
	assert_int_equal(rig.nreplies, 0);
	peer_answer(p, p->ngot - 1);
	RIG_UNTIL(rig_answered(1));
	assert_int_equal(rig_nreplies(1), 1);
}

/* If the connection of one ends the other goes on alone, with no third. */
static void
test_connection_of_original_lost(void **state)
{
	struct peer *p, *o;

	(void)state;
	rig_ask(1);
	p = late_peer();
	o = other_peer(p);
	RIG_UNTIL(has_query(o));
	peer_reset(p);
	RIG_UNTIL(rig_up(0)->n.failures[PHASE_READ] == 1);
	assert_int_equal(rig.pool->queries.used, 1);
	assert_int_equal(count(TSTAT_retries), 0);
	peer_answer(o, o->ngot - 1);
	RIG_UNTIL(rig_answered(1));
	assert_int_equal(rig_nreplies(1), 1);
	/* Nothing was left to win against: neither here nor there. */
	assert_int_equal(count(TSTAT_hedges_won), 0);
	assert_int_equal(rig_up(0)->n.hedges_won, 0);
}

static void
test_no_answer_at_all(void **state)
{
	static struct pkt pkt;

	(void)state;
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, "www.example", 1);
	rig_ask_wire(1, 200, pkt.buf, pkt.w.pos);
	RIG_UNTIL(rig_failed(1, CAUSE_TIMEOUT));
	assert_in_range(count(TSTAT_hedges), 1, 3);
	rig_pass(20);
	assert_int_equal(rig_nreplies(1), 1);
	assert_int_equal(rig.pool->queries.used, 0);
	answer_all(1);
	RIG_UNTIL(count(TSTAT_late_answers) == 1 + count(TSTAT_hedges));
	assert_false(rig_up(0)->doubt);
}

static void
test_link_lost(void **state)
{
	(void)state;
	rig_ask(1);
	RIG_UNTIL(count(TSTAT_hedges) == 1);
	rig_link(2);
	RIG_UNTIL(count(TSTAT_cancelled) == 1);
	assert_int_equal(rig.pool->queries.used, 0);
	assert_int_equal(rig.pool->queries.npairs, 0);
}

static void
test_cancelled_with_its_twin(void **state)
{
	(void)state;
	rig_ask(1);
	rig_ask(2);
	RIG_UNTIL(count(TSTAT_hedges) == 2);
	assert_true(imsg_send_empty(&rig.link, MSG_LT_CANCEL, 1, -1));
	RIG_UNTIL(count(TSTAT_cancelled) == 1);
	assert_int_equal(rig.pool->queries.used, 2);
	assert_int_equal(rig.pool->queries.npairs, 1);
	answer_all(1);
	RIG_UNTIL(rig_answered(2));
	RIG_UNTIL(count(TSTAT_late_answers) == 3);
	assert_int_equal(rig_nreplies(1), 0);
	assert_int_equal(rig.pool->queries.used, 0);
}

/* UPDATE and NOTIFY change something; a transfer is no small thing. */
static void
test_never_twice(void **state)
{
	static const uint16_t flags[] = { 5 << 11, 4 << 11 };
	static struct pkt pkt;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		pkt_start(&pkt, flags[i], 1, 0, 0, 0);
		pkt_question(&pkt, "example", 6);
		rig_ask_wire(1 + i, 60000, pkt.buf, pkt.w.pos);
	}
	rig_ask_type(3, "example", 252);
	rig_pass(250);
	assert_int_equal(count(TSTAT_hedges) + count(TSTAT_rescues), 0);
	assert_int_equal(rig.pool->queries.used, 3);
}

static void
test_off(void **state)
{
	(void)state;
	rig_ask(1);
	rig_pass(250);
	assert_int_equal(count(TSTAT_hedges) + count(TSTAT_rescues), 0);
	assert_int_equal(rig.ndials, 1);
}

/* All are late, and that is the upstream's way now: the budget holds. */
static void
test_budget(void **state)
{
	uint64_t i, got = 0;
	size_t k;

	(void)state;
	for (k = 0; k < rig.npeers; k++)
		got += rig.peers[k]->ngot;
	for (i = 0; i < 100; i++)
		rig_ask(i);
	rig_pass(100);
	assert_true(count(TSTAT_hedges) >= OVERDUE_START);
	assert_true(count(TSTAT_hedges) <= OVERDUE_BURST);
	assert_true(count(TSTAT_hedges_denied) >= 100 - OVERDUE_BURST);
	assert_int_equal(count(TSTAT_rescues), 0);
	answer_all(1);
	RIG_UNTIL(rig.nreplies == 100);
	for (k = 0; k < rig.npeers; k++)
		got -= rig.peers[k]->ngot;
	assert_int_equal(-got, 100 + count(TSTAT_hedges));
}

/* What cannot be paid for is no upstream's turn. */
static void
test_denied_moves_no_counter(void **state)
{
	struct policy *p;
	uint64_t given;
	uint32_t next;

	(void)rig_setup(state);
	rig.conf.forward.hedge_percent = 5;
	(void)rig_add(2);
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1 && rig_up(1)->nready == 1);
	rig_up(0)->conf.pool_size = rig_up(1)->conf.pool_size = 1;
	p = &rig.pool->policy;
	p->kind = POLICY_ROUND_ROBIN;
	rig.pool->hedge.tokens = rig.pool->rescue.tokens = 0;
	rig_ask(1);
	RIG_UNTIL(rig_peer_with_query() != NULL);
	next = p->next;
	given = p->given[0] + p->given[1];
	RIG_UNTIL(count(TSTAT_hedges_denied) == 1);
	assert_int_equal(p->next, next);
	assert_int_equal(p->given[0] + p->given[1], given);
}

/* No room for copies: none is paid for, nor counted. */
static void
test_full_table_counts_no_copy(void **state)
{
	uint32_t tokens;
	uint64_t i;

	(void)state;
	rig.conf.max_inflight = 4;
	rig_configure();
	for (i = 1; i <= 3; i++)
		rig_ask(i);
	RIG_UNTIL(count(TSTAT_queries) >= 3 && rig_up(0)->nsuspect > 0);
	tokens = rig.pool->hedge.tokens;
	rig_pass(150);
	assert_int_equal(rig.pool->queries.used, 3);
	assert_int_equal(count(TSTAT_hedges) + count(TSTAT_rescues), 0);
	assert_int_equal(rig.pool->hedge.tokens, tokens);
	answer_all(1);
	for (i = 1; i <= 3; i++)
		RIG_UNTIL(rig_answered(i));
}

/* Who asks seldom has one connection; a late query gets another dialled. */
static void
test_seldom_asked(void **state)
{
	struct upstream *up;
	struct peer *p, *o;
	uint64_t i;

	(void)rig_setup(state);
	rig.conf.forward.hedge_percent = 5;
	rig_configure();
	RIG_UNTIL(rig_peer(1, 0) != NULL && rig_up(0)->nready == 1);
	up = rig_up(0);
	for (i = 10; i < 50; i++) {
		up->last_query_ms -= OVERDUE_GAP_MAX_MS;
		rig_ask(i);
		RIG_UNTIL((answer_all(1), rig_answered(i)));
	}
	assert_int_equal(overdue_wanted(up), 1);
	rig_pass(20);
	assert_int_equal(rig.ndials, 1);
	up->last_query_ms -= OVERDUE_GAP_MAX_MS;
	rig_ask(1);
	p = late_peer();
	RIG_UNTIL((o = other_peer(p)) != NULL && has_query(o));
	assert_int_equal(rig.ndials, 2);
	assert_int_equal(count(TSTAT_hedges), 1);
	peer_answer(o, o->ngot - 1);
	RIG_UNTIL(rig_answered(1));
	peer_answer(p, p->ngot - 1);
	RIG_UNTIL(up->nsuspect == 0);
	/* Some ten in a row, and there is a second one for the next. */
	for (i = 100; i < 120; i++) {
		rig_ask(i);
		RIG_UNTIL((answer_all(1), rig_answered(i)));
	}
	assert_int_equal(overdue_wanted(up), 2);
}

/* A query that ends the connections it is on must not have them in pairs. */
static void
test_connections_lost_by_both_count(void **state)
{
	struct peer *p, *o;

	(void)state;
	rig_ask(1);
	p = late_peer();
	o = other_peer(p);
	RIG_UNTIL(has_query(o));
	peer_close(p, true);
	RIG_UNTIL(query_first_due(&rig.pool->queries)->twin == NULL);
	peer_close(o, true);
	RIG_UNTIL(rig_up(0)->lone != NULL);
}

/* In a full table a copy yields, not the query. */
static void
test_copy_yields_in_a_full_table(void **state)
{
	(void)state;
	rig.conf.max_inflight = 4;
	rig_configure();
	rig_ask(1);
	RIG_UNTIL(rig.pool->queries.used == 2);
	rig_pass(300);
	rig_ask(2);
	rig_ask(3);
	rig_ask(4);
	while (!rig_answered(1)) {
		assert_int_equal(rig_nreplies(1), 0);
		rig_turn();
		if (rig.pool->queries.used - rig.pool->queries.npairs == 4)
			answer_all(1);
	}
	assert_int_equal(count(TSTAT_failed_busy), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ON(test_copy_wins),
		ON(test_original_wins),
		ON(test_answer_to_another_question),
		ON(test_connection_of_original_lost),
		ON(test_connections_lost_by_both_count),
		ON(test_copy_yields_in_a_full_table),
		ON(test_no_answer_at_all),
		ON(test_link_lost),
		ON(test_cancelled_with_its_twin),
		ON(test_never_twice),
		cmocka_unit_test_setup_teardown(
		    test_off, setup_off, rig_teardown),
		ON(test_budget),
		cmocka_unit_test_teardown(
		    test_denied_moves_no_counter, rig_teardown),
		ON(test_full_table_counts_no_copy),
		cmocka_unit_test_teardown(test_seldom_asked, rig_teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
