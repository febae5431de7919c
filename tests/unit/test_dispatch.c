/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* What becomes of a query: one end for each, in time, and counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_rig.h"

static struct pkt pkt;

/* A plain query with so much time. */
static void
ask_for(uint64_t handle, uint32_t left_ms)
{
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, "www.example", 1);
	rig_ask_wire(handle, left_ms, pkt.buf, pkt.w.pos);
}

static void
test_time_of_the_listener_counts(void **state)
{
	uint64_t begin_ms = util_now_ms();

	(void)state;
	ask_for(1, 120);
	ask_for(2, 60);
	ask_for(3, 0);
	RIG_UNTIL(rig.nreplies == 3);
	assert_in_range(util_now_ms() - begin_ms, 115, 300);
	assert_int_equal(rig.replies[0].handle, 3);
	assert_int_equal(rig.replies[1].handle, 2);
	assert_int_equal(rig.replies[2].handle, 1);
	assert_true(rig_failed(1, CAUSE_TIMEOUT));
	assert_int_equal(rig.pool->counters[TSTAT_failed_timeout], 3);
}

static void
test_query_timeout_is_the_most(void **state)
{
	uint64_t begin_ms = util_now_ms();

	(void)state;
	rig.conf.forward.query_timeout_ms = 60;
	rig_configure();
	ask_for(1, UINT32_MAX);
	RIG_UNTIL(rig_failed(1, CAUSE_TIMEOUT));
	assert_in_range(util_now_ms() - begin_ms, 55, 300);
}

static void
test_full_table_is_busy(void **state)
{
	struct peer *p = rig_peer(1, 0);
	size_t i;

	(void)state;
	rig.conf.max_inflight = 10;
	rig_configure();
	for (i = 0; i < 15; i++)
		rig_ask(i);
	RIG_UNTIL(rig.nreplies == 5);
	for (i = 10; i < 15; i++)
		assert_true(rig_failed(i, CAUSE_BUSY));
	assert_int_equal(rig.replies[0].failure.upstream, MSG_NO_UPSTREAM);
	assert_int_equal(rig.pool->counters[TSTAT_failed_busy], 5);
	RIG_UNTIL(p->ngot == 10);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(0));
	rig_ask(20);
	RIG_UNTIL(p->ngot == 11);
}

/* The oldest goes for a new one, if it has had some time. */
static void
test_oldest_yields_in_a_full_table(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig.conf.max_inflight = 2;
	rig_configure();
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	rig_pass(300);
	rig_ask(2);
	rig_ask(3);
	rig_ask(4);
	RIG_UNTIL(rig_nreplies(4) == 1);
	assert_true(rig_failed(1, CAUSE_BUSY));
	assert_true(rig_failed(4, CAUSE_BUSY));
	assert_int_equal(rig_nreplies(2) + rig_nreplies(3), 0);
	RIG_UNTIL(p->ngot == 3);
	peer_answer(p, 0); /* late: nobody waits */
	peer_answer(p, 1);
	peer_answer(p, 2);
	RIG_UNTIL(rig_answered(2) && rig_answered(3));
	assert_int_equal(rig.pool->counters[TSTAT_late_answers], 1);
}

static void
test_what_is_no_query_is_refused(void **state)
{
	(void)state;
	pkt_start(&pkt, ANSWER_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, "www.example", 1);
	rig_ask_wire(1, 4000, pkt.buf, pkt.w.pos);
	RIG_UNTIL(rig_failed(1, CAUSE_PROTOCOL));
	assert_int_equal(rig.pool->counters[TSTAT_failed_other], 1);
	assert_int_equal(rig_peer(1, 0)->ngot, 0);
}

static void
test_retries_are_limited(void **state)
{
	size_t i;

	(void)state;
	rig.conf.forward.retries = 1;
	rig_configure();
	rig_ask(1);
	for (i = 0; i < 2; i++) {
		RIG_UNTIL(rig.npeers == i + 1 && rig.peers[i]->ngot == 1);
		peer_close(rig.peers[i], true);
	}
	RIG_UNTIL(rig_failed(1, CAUSE_NETWORK));
	assert_int_equal(rig_reply(1)->failure.upstream, 0);
	assert_int_equal(rig.pool->counters[TSTAT_retries], 1);
	assert_int_equal(rig.pool->counters[TSTAT_failed_network], 1);
}

static void
test_no_retries_at_all(void **state)
{
	(void)state;
	rig.conf.forward.retries = 0;
	rig_configure();
	rig_ask(1);
	RIG_UNTIL(rig_peer(1, 0)->ngot == 1);
	peer_close(rig_peer(1, 0), true);
	RIG_UNTIL(rig_failed(1, CAUSE_NETWORK));
}

static void
test_failed_query_goes_to_another_upstream(void **state)
{
	struct peer *p = rig_peer(1, 0), *q;

	(void)state;
	(void)rig_add(2);
	rig_configure();
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	p->got[0].wire[0] ^= 1;
	peer_answer(p, 0);
	RIG_UNTIL((q = rig_peer(2, 0)) != NULL && q->ngot == 1);
	peer_answer(q, 0);
	RIG_UNTIL(rig_answered(1));
	assert_int_equal(rig_up(0)->n.retries, 1);
	assert_int_equal(rig_up(1)->n.answers, 1);
}

/* The client had no OPT record; what came back with ours is not for it. */
static void
test_what_was_added_for_the_upstream_does_not_come_back(void **state)
{
	struct peer *p;

	(void)state;
	rig.ups[0].conf.edit.padding = true;
	rig_configure();
	rig_ask(1);
	RIG_UNTIL((p = rig_peer_with_query()) != NULL);
	assert_int_equal(wire_load_u16(p->got[p->ngot - 1].wire + 10), 1);
	assert_int_equal(p->got[p->ngot - 1].len, 128);
	peer_answer(p, p->ngot - 1);
	RIG_UNTIL(rig_answered(1));
	assert_int_equal(wire_load_u16(rig_reply(1)->wire + 10), 0);
	assert_true(rig_reply(1)->len < 128);
}

static void
test_bad_answers_everywhere_end_it(void **state)
{
	struct peer *p;
	size_t i;

	(void)state;
	rig.conf.forward.retries = 2;
	rig.conf.forward.query_timeout_ms = 2000;
	rig_configure();
	rig_ask(1);
	for (i = 0; i < 3; i++) {
		RIG_UNTIL((p = rig_peer_with_query()) != NULL);
		p->got[0].wire[DNS_HDR_LEN + 1] = 'v';
		peer_answer(p, 0);
		RIG_UNTIL(p->eof);
	}
	RIG_UNTIL(rig_failed(1, CAUSE_PROTOCOL));
	assert_int_equal(rig.pool->counters[TSTAT_failed_other], 1);
	assert_int_equal(rig_up(0)->n.failures[PHASE_PROTOCOL], 3);
}

static void
test_queries_before_the_configuration_wait(void **state)
{
	(void)state;
	rig_ask(1);
	RIG_UNTIL(rig.pool->nparked == 1);
	rig_configure();
	RIG_UNTIL(rig_peer(1, 0) != NULL && rig_peer(1, 0)->ngot == 1);
	peer_answer(rig_peer(1, 0), 0);
	RIG_UNTIL(rig_answered(1));
	assert_int_equal(rig.pool->counters[TSTAT_retries], 0);
}

static void
test_lost_link_cancels(void **state)
{
	struct peer *p = rig_peer(1, 0);
	size_t i;

	(void)state;
	for (i = 0; i < 10; i++)
		rig_ask(i);
	RIG_UNTIL(p->ngot == 10);
	imsg_close(&rig.link);
	RIG_UNTIL(rig.links_down == 1);
	assert_int_equal(rig.link_down_id, 1);
	assert_int_equal(rig.pool->counters[TSTAT_cancelled], 10);
	assert_int_equal(rig.pool->queries.used, 0);
	rig_link(2);
	rig_ask(100);
	RIG_UNTIL(p->ngot == 11);
	/* Answers for the old link go nowhere. */
	for (i = 0; i < 11; i++)
		peer_answer(p, i);
	RIG_UNTIL(rig_answered(100));
	assert_int_equal(rig.nreplies, 1);
	assert_int_equal(rig.pool->counters[TSTAT_late_answers], 10);
	assert_false(p->eof);
}

static void
test_parked_queries_can_be_cancelled(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	rig.manual = true;
	peer_close(p, true);
	RIG_UNTIL(rig.pool->nparked == 1);
	rig_link(2);
	RIG_UNTIL(rig.pool->queries.used == 0);
	assert_int_equal(rig.pool->nparked, 0);
	assert_int_equal(rig.pool->counters[TSTAT_cancelled], 1);
}

static void
test_queries_apart_can_be_cancelled(void **state)
{
	(void)state;
	rig.manual = true;
	rig_ask_type(1, "zone.example", DNS_TYPE_AXFR);
	RIG_UNTIL(!TAILQ_EMPTY(&rig_up(0)->alone));
	rig_link(2);
	RIG_UNTIL(rig.pool->queries.used == 0);
	assert_true(TAILQ_EMPTY(&rig_up(0)->alone));
	assert_int_equal(rig.pool->counters[TSTAT_cancelled], 1);
}

static void
test_waiting_queries_can_be_cancelled(void **state)
{
	(void)state;
	rig.manual = true;
	rig_configure();
	rig_ask(1);
	RIG_UNTIL(rig_up(0)->nwaiting == 1);
	rig_link(2);
	RIG_UNTIL(rig.pool->counters[TSTAT_cancelled] == 1);
	assert_int_equal(rig_up(0)->nwaiting, 0);
	assert_int_equal(rig.links_down, 0); /* replaced, not lost */
}

static void
cancel(uint64_t handle)
{
	assert_true(imsg_send_empty(&rig.link, MSG_LT_CANCEL, handle, -1));
}

/* One that is written keeps its ID, one that is not is never written. */
static void
test_cancelled_one_by_one(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig_ask(1);
	rig_ask(2);
	RIG_UNTIL(p->ngot == 2);
	cancel(1);
	rig_ask(3);
	cancel(3); /* in the turn in which it comes */
	rig_ask(4);
	RIG_UNTIL(p->ngot == 3);
	assert_int_equal(rig.pool->counters[TSTAT_cancelled], 2);
	assert_int_equal(rig.pool->queries.used, 2);
	peer_answer(p, 0);
	peer_answer(p, 1);
	peer_answer(p, 2);
	RIG_UNTIL(rig_answered(2) && rig_answered(4));
	assert_int_equal(rig.nreplies, 2);
	assert_int_equal(rig.pool->counters[TSTAT_late_answers], 1);
	assert_false(p->eof);
}

static void
test_cancelled_while_waiting(void **state)
{
	(void)state;
	rig.manual = true;
	rig_configure();
	rig_ask(1);
	rig_ask_type(2, "zone.example", DNS_TYPE_AXFR);
	RIG_UNTIL(rig_up(0)->nwaiting == 1);
	cancel(1);
	cancel(2);
	RIG_UNTIL(rig.pool->queries.used == 0);
	assert_int_equal(rig_up(0)->nwaiting, 0);
	assert_true(TAILQ_EMPTY(&rig_up(0)->alone));
	assert_int_equal(rig.pool->counters[TSTAT_cancelled], 2);
	assert_int_equal(rig.nreplies, 0);
}

static void
test_cancelled_while_parked(void **state)
{
	(void)state;
	rig_ask(1);
	RIG_UNTIL(rig.pool->nparked == 1);
	cancel(1);
	RIG_UNTIL(rig.pool->queries.used == 0);
	assert_int_equal(rig.pool->nparked, 0);
}

/* Handles that were never given, or are done with, end nothing. */
static void
test_cancelling_what_is_not_there(void **state)
{
	static const uint64_t odd[] = { 0, 2, UINT64_MAX, UINT32_MAX,
		CONF_INFLIGHT_MAX, 1ull << 32, 1ull << 32 | 1, 1ull << 63 };
	struct peer *p = rig_peer(1, 0);
	size_t i;

	(void)state;
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		cancel(odd[i]);
	rig_ask(3);
	RIG_UNTIL(p->ngot == 2);
	assert_int_equal(rig.pool->queries.used, 2);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
	cancel(1);
	cancel(3);
	cancel(3);
	RIG_UNTIL(rig.pool->queries.used == 0);
	rig_pass(20);
	assert_int_equal(rig.pool->counters[TSTAT_cancelled], 1);
	assert_int_equal(rig.nreplies, 1);
	assert_int_equal(rig.links_down, 0);
}

/* A handle given twice, which no listener does: one is ended, one lives. */
static void
test_cancelling_one_handle_of_two(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig_ask(1);
	rig_ask(1);
	RIG_UNTIL(p->ngot == 2);
	cancel(1);
	cancel(1);
	RIG_UNTIL(rig.pool->counters[TSTAT_cancelled] == 1);
	peer_answer(p, 0);
	peer_answer(p, 1);
	RIG_UNTIL(rig.pool->counters[TSTAT_late_answers] == 1);
	RIG_UNTIL(rig_answered(1));
	assert_int_equal(rig.pool->queries.used, 0);
}

/*
 * A client that asks and leaves, again and again: the table does not fill up,
 * and the connection is not lost to those who share it.
 */
static void
test_who_asks_and_leaves_harms_nobody(void **state)
{
	struct peer *p = rig_peer(1, 0);
	size_t i, k, n = 2000;

	(void)state;
	rig.conf.max_inflight = 100;
	rig.ups[0].conf.pool_size = 1;
	rig_configure();
	rig_ask(0);
	for (i = 1; i <= n; i++) {
		rig_ask(i);
		if (i % 50 != 0)
			continue;
		RIG_UNTIL(p->ngot == i + 1);
		for (k = i - 49; k <= i; k++)
			cancel(k);
	}
	assert_int_equal(rig.pool->counters[TSTAT_failed_busy], 0);
	assert_false(p->eof);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(0));
}

static void
test_many_deadlines_at_once(void **state)
{
	size_t i, n = 8000;

	(void)state;
	for (i = 0; i < n; i++)
		ask_for(i, 300);
	RIG_UNTIL(rig.nreplies == n);
	assert_int_equal(rig.pool->counters[TSTAT_failed_timeout], n);
	assert_int_equal(rig.pool->queries.used, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST_ONE(test_time_of_the_listener_counts),
		RIG_TEST_ONE(test_query_timeout_is_the_most),
		RIG_TEST_ONE(test_full_table_is_busy),
		RIG_TEST_ONE(test_oldest_yields_in_a_full_table),
		RIG_TEST_ONE(test_what_is_no_query_is_refused),
		RIG_TEST_ONE(test_retries_are_limited),
		RIG_TEST_ONE(test_no_retries_at_all),
		RIG_TEST_ONE(test_failed_query_goes_to_another_upstream),
		RIG_TEST_ONE(
		    test_what_was_added_for_the_upstream_does_not_come_back),
		RIG_TEST_ONE(test_bad_answers_everywhere_end_it),
		RIG_TEST(test_queries_before_the_configuration_wait),
		RIG_TEST_ONE(test_lost_link_cancels),
		RIG_TEST_ONE(test_parked_queries_can_be_cancelled),
		RIG_TEST_ONE(test_queries_apart_can_be_cancelled),
		RIG_TEST(test_waiting_queries_can_be_cancelled),
		RIG_TEST_ONE(test_cancelled_one_by_one),
		RIG_TEST_ONE(test_cancelling_what_is_not_there),
		RIG_TEST_ONE(test_cancelling_one_handle_of_two),
		RIG_TEST_ONE(test_who_asks_and_leaves_harms_nobody),
		RIG_TEST(test_cancelled_while_waiting),
		RIG_TEST(test_cancelled_while_parked),
		RIG_TEST_ONE(test_many_deadlines_at_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
