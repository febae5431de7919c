/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* Connections kept for the next query, replaced in time, and let go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dotproxy/pool/standby.h"
#include "tests/unit/pool_rig.h"

static uint64_t
count(enum pool_counter which)
{
	return rig.pool->counters[which];
}

/* A query and its answer on whatever connection there is. */
static void
ask_and_answer(uint64_t handle)
{
	struct peer *p;

	rig_ask(handle);
	RIG_UNTIL((p = rig_peer_with_query()) != NULL);
	peer_answer(p, p->ngot - 1);
	RIG_UNTIL(rig_answered(handle));
}

static void
set_limit(struct upstream *up, uint32_t ms)
{
	struct conn *c;

	up->warm.learnt_ms = ms;
	TAILQ_FOREACH (c, &up->conns, all)
		conn_retime(c);
}

static void
test_connection_used_is_kept_past_its_stale_time(void **state)
{
	(void)state;
	rig.ups[0].conf.stale_timeout_ms = 50;
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
	ask_and_answer(1);
	rig_pass(200);
	assert_int_equal(rig_up(0)->nready, 1);
	assert_int_equal(rig.ndials, 1);
}

static void
test_unused_one_becomes_stale_and_nobody_dials(void **state)
{
	(void)state;
	rig.ups[0].conf.stale_timeout_ms = 50;
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
	RIG_UNTIL(rig_up(0)->nready == 0);
	rig_pass(50);
	assert_int_equal(rig.ndials, 1);
	assert_int_equal(count(TSTAT_sleeps), 0);
}

static void
test_upstream_sleeps_when_nobody_asks(void **state)
{
	(void)state;
	rig.ups[0].conf.stale_timeout_ms = 50;
	rig.ups[0].conf.keep_warm_ms = 150;
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
	ask_and_answer(1);
	assert_true(standby_left(rig_up(0)) > 0);
	RIG_UNTIL(rig_up(0)->nready == 0);
	assert_int_equal(standby_left(rig_up(0)), 0);
	assert_int_equal(count(TSTAT_sleeps), 1);
	rig_pass(100);
	assert_int_equal(rig.ndials, 1);
	/* The next one wakes it. */
	ask_and_answer(2);
	assert_int_equal(rig.ndials, 2);
	assert_int_equal(count(TSTAT_waited), 1);
}

static void
test_keep_warm_0_is_off(void **state)
{
	(void)state;
	rig.ups[0].conf.keep_warm_ms = 0;
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
	ask_and_answer(1);
	peer_close(rig_peer(1, 0), true);
	RIG_UNTIL(rig_up(0)->nready == 0);
	rig_pass(50);
	assert_int_equal(rig.ndials, 1);
}

static void
test_closed_connection_is_replaced(void **state)
{
	(void)state;
	ask_and_answer(1);
	peer_close(rig_peer(1, 0), true);
	RIG_UNTIL(rig.ndials == 2 && rig_up(0)->nready == 1);
	assert_int_equal(count(TSTAT_warm_dials), 1);
	ask_and_answer(2);
	assert_int_equal(count(TSTAT_waited), 0);
}

/* Or two servers that do not want us would talk for ever. */
static void
test_one_closed_unused_at_once_is_not_replaced(void **state)
{
	(void)state;
	ask_and_answer(1);
	peer_close(rig_peer(1, 0), true);
	RIG_UNTIL(rig.ndials == 2 && rig_up(0)->nready == 1 &&
		  rig_peer(1, 0) != NULL);
	peer_close(rig_peer(1, 0), true);
	RIG_UNTIL(rig_up(0)->nready == 0);
	rig_pass(50);
	assert_int_equal(rig.ndials, 2);
}

static void
test_successor_stands_before_the_limit(void **state)
{
	struct upstream *up = rig_up(0);
	struct peer *old = rig_peer(1, 0), *fresh;

	(void)state;
	set_limit(up, 400);
	ask_and_answer(1);
	RIG_UNTIL(up->nready == 2);
	assert_int_equal(count(TSTAT_warm_dials), 1);
	assert_true(TAILQ_FIRST(&up->busy) != NULL);
	fresh = rig_peer(1, 1);
	/* The next query is for the fresh one. */
	rig_ask(2);
	RIG_UNTIL(fresh->ngot == 1);
	assert_int_equal(old->ngot, 1);
	peer_answer(fresh, 0);
	RIG_UNTIL(rig_answered(2));
	/* The old one does not end as it should: so the limit is not so. */
	RIG_UNTIL(old->eof);
	assert_true(up->warm.learnt_ms >= 800);
}

/* Make before break takes two: for the change a pool of one has them. */
static void
test_pool_of_one_has_a_successor_in_time(void **state)
{
	struct upstream *up = rig_up(0);
	uint64_t end_ms;

	(void)state;
	rig.ups[0].conf.pool_size = 1;
	rig_configure();
	set_limit(up, 300);
	ask_and_answer(1);
	RIG_UNTIL(up->nready == 2);
	assert_int_equal(rig.ndials, 2);
	/* The upstream closes none: there are never three. */
	for (end_ms = util_now_ms() + 900; util_now_ms() < end_ms;) {
		rig_pass(5);
		assert_in_range(up->nconns, 1, 2);
	}
}

static void
test_one_about_to_be_closed_is_better_than_none(void **state)
{
	struct upstream *up = rig_up(0);
	struct conn *c = TAILQ_FIRST(&up->avail);
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig.manual = true;
	set_limit(up, 400);
	ask_and_answer(1);
	RIG_UNTIL(c->expiring && rig.ndials == 2);
	rig_ask(2);
	RIG_UNTIL(p->ngot == 2);
	assert_false(c->expiring);
	peer_answer(p, 1);
	RIG_UNTIL(rig_answered(2));
	assert_int_equal(count(TSTAT_waited), 0);
}

static void
test_idle_limit_is_learnt(void **state)
{
	struct info_upstream *u = &rig.info_ups[0];

	(void)state;
	ask_and_answer(1);
	rig_pass(WARM_LIMIT_MIN_MS + 50);
	peer_close(rig_peer(1, 0), true);
	RIG_UNTIL(rig_up(0)->warm.learnt_ms >= WARM_LIMIT_MIN_MS + 50);
	rig_show(SHOW_POOL);
	assert_int_equal(u->idle_limit_ms, rig_up(0)->warm.learnt_ms);
	assert_in_range(u->warm_left_ms, 1, 300000);
	assert_int_equal(u->warm_dials, 1);
}

/* Or it would not be, for clients that ask in time with the upstream. */
static void
test_idle_limit_is_learnt_when_a_query_came_too_late(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	ask_and_answer(1);
	rig_pass(WARM_LIMIT_MIN_MS + 50);
	rig_ask(2);
	RIG_UNTIL(p->ngot == 2);
	peer_close(p, true);
	RIG_UNTIL(rig_up(0)->warm.learnt_ms >= WARM_LIMIT_MIN_MS + 50);
}

/* It was not idle: another query had been answered since. */
static void
test_close_after_an_answer_is_no_idle_limit(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	ask_and_answer(1);
	rig_pass(WARM_LIMIT_MIN_MS + 50);
	rig_ask(2);
	rig_ask(3);
	RIG_UNTIL(p->ngot == 3);
	peer_answer(p, 1);
	RIG_UNTIL(rig_answered(2));
	peer_close(p, true);
	RIG_UNTIL(TAILQ_FIRST(&rig_up(0)->avail) == NULL || rig.npeers == 2);
	assert_int_equal(rig_up(0)->warm.learnt_ms, 0);
}

/* Answers with an edns-tcp-keepalive option. */
static void
answer_keepalive(struct peer *p, uint16_t units)
{
	struct pkt pkt;
	uint8_t *msg;
	size_t len = p->got[p->ngot - 1].len;

	pkt_start(&pkt, 0, 0, 0, 0, 0);
	wire_put_u8(&pkt.w, 0);
	wire_put_u16(&pkt.w, DNS_TYPE_OPT);
	wire_put_u16(&pkt.w, 1232);
	wire_put_u32(&pkt.w, 0);
	wire_put_u16(&pkt.w, 6);
	wire_put_u16(&pkt.w, 11);
	wire_put_u16(&pkt.w, 2);
	wire_put_u16(&pkt.w, units);
	msg = malloc(len + pkt.w.pos);
	memcpy(msg, p->got[p->ngot - 1].wire, len);
	memcpy(msg + len, pkt.buf + DNS_HDR_LEN, pkt.w.pos - DNS_HDR_LEN);
	msg[2] |= 0x80;
	msg[11] = 1;
	peer_send(p, msg, len + pkt.w.pos - DNS_HDR_LEN);
	free(msg);
}

static void
test_spoken_limit_is_believed(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	answer_keepalive(p, 4);
	RIG_UNTIL(rig_answered(1));
	assert_int_equal(rig_up(0)->warm.spoken_ms, 400);
	RIG_UNTIL(rig_up(0)->nready == 2);
}

static void
test_spoken_0_ends_the_connection(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	answer_keepalive(p, 0);
	RIG_UNTIL(rig_answered(1) && p->eof);
}

/* With failover it is the next in order that has to be ready, too. */
static void
test_next_choice_is_kept_warm(void **state)
{
	size_t i;

	(void)state;
	for (i = 2; i <= 3; i++)
		rig_add((uint32_t)i);
	for (i = 0; i < 3; i++)
		rig.ups[i].conf.stale_timeout_ms = 60;
	rig_configure();
	RIG_UNTIL(
	    rig_up(0)->nready + rig_up(1)->nready + rig_up(2)->nready == 3);
	ask_and_answer(1);
	RIG_UNTIL(rig_up(2)->nready == 0);
	rig_pass(100);
	assert_int_equal(rig_up(0)->nready, 1);
	assert_int_equal(rig_up(1)->nready, 1);
}

static void
test_all_choices_wake_with_the_first_query(void **state)
{
	(void)state;
	rig.conf.forward.policy = POLICY_ROUND_ROBIN;
	rig_add(2);
	rig.ups[0].conf.stale_timeout_ms = rig.ups[1].conf.stale_timeout_ms =
	    50;
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1 && rig_up(1)->nready == 1);
	RIG_UNTIL(rig_up(0)->nready == 0 && rig_up(1)->nready == 0);
	ask_and_answer(1);
	RIG_UNTIL(rig_up(0)->nready == 1 && rig_up(1)->nready == 1);
	ask_and_answer(2);
	assert_int_equal(count(TSTAT_waited), 1);
}

/* Each has its own limit, and there is one for all. */
static void
test_handshakes_at_a_time_are_limited(void **state)
{
	uint32_t i;

	(void)state;
	rig.conf.forward.policy = POLICY_ROUND_ROBIN;
	for (i = 2; i <= 8; i++)
		rig_add(i);
	for (i = 0; i < 8; i++)
		rig.ups[i].conf.stale_timeout_ms = 50;
	rig_configure();
	RIG_UNTIL(rig.ndials == 8 && rig.pool->ndials == 0);
	for (i = 0; i < 8; i++)
		RIG_UNTIL(rig_up(i)->nready == 0);
	rig.manual = true;
	for (i = 0; i < 8000; i++)
		rig_ask(i);
	RIG_UNTIL(count(TSTAT_queries) == 8000);
	rig_pass(20);
	assert_int_equal(rig.pool->ndials, POOL_DIALS_MAX);
	assert_int_equal(rig.ndials, 8 + POOL_DIALS_MAX);
}

/* The first query after a sleep is the one that would wait for it. */
static void
test_session_is_prepared_while_nobody_asks(void **state)
{
	struct upstream *up;
	struct tls *spare;

	(void)state;
	rig.ups[0].conf.keep_warm_ms = 0;
	rig.ups[0].conf.stale_timeout_ms = 50;
	rig_configure();
	up = rig_up(0);
	RIG_UNTIL(up->nready == 1);
	assert_null(up->spare.tls);
	RIG_UNTIL(up->nready == 0);
	spare = up->spare.tls;
	assert_non_null(spare);
	rig_pass(20);
	assert_int_equal(rig.ndials, 1);
	rig.manual = true;
	rig_ask(1);
	RIG_UNTIL(rig.ndials == 2);
	assert_null(up->spare.tls);
	/* What is sent first is ready before the socket is. */
	assert_ptr_equal(TAILQ_FIRST(&up->conns)->session.tls, spare);
	assert_true(TAILQ_FIRST(&up->conns)->pending_len > 0);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, rig.last_request, rig_connect()));
	(void)rig_accept(1);
	RIG_UNTIL(up->nready == 1);
	assert_ptr_equal(TAILQ_FIRST(&up->conns)->session.tls, spare);
}

static void
test_nothing_is_prepared_for_one_that_fails(void **state)
{
	(void)state;
	rig.refuse = ECONNREFUSED;
	rig_configure();
	RIG_UNTIL(rig_up(0)->failed);
	assert_null(rig_up(0)->spare.tls);
}

/* Many may fall asleep at once, while somebody asks another. */
static void
test_few_sessions_are_prepared_in_one_turn(void **state)
{
	uint32_t i, n = 0;

	(void)state;
	for (i = 2; i <= 16; i++)
		(void)rig_add(i);
	for (i = 0; i < 16; i++)
		rig.ups[i].conf.stale_timeout_ms = 60000;
	rig_configure();
	for (i = 0; i < 16; i++)
		RIG_UNTIL(rig_up(i)->nready == 1);
	pool_turn_begin(rig.pool);
	for (i = 0; i < 16; i++)
		conn_close(TAILQ_FIRST(&rig_up(i)->conns));
	for (i = 0; i < 16; i++)
		n += rig_up(i)->spare.tls != NULL;
	assert_int_equal(n, 4);
	rig_turn();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_connection_used_is_kept_past_its_stale_time),
		RIG_TEST(test_unused_one_becomes_stale_and_nobody_dials),
		RIG_TEST(test_upstream_sleeps_when_nobody_asks),
		RIG_TEST(test_keep_warm_0_is_off),
		RIG_TEST_ONE(test_closed_connection_is_replaced),
		RIG_TEST_ONE(test_one_closed_unused_at_once_is_not_replaced),
		RIG_TEST_ONE(test_successor_stands_before_the_limit),
		RIG_TEST_ONE(test_pool_of_one_has_a_successor_in_time),
		RIG_TEST_ONE(test_one_about_to_be_closed_is_better_than_none),
		RIG_TEST_ONE(test_idle_limit_is_learnt),
		RIG_TEST_ONE(
		    test_idle_limit_is_learnt_when_a_query_came_too_late),
		RIG_TEST_ONE(test_close_after_an_answer_is_no_idle_limit),
		RIG_TEST_ONE(test_spoken_limit_is_believed),
		RIG_TEST_ONE(test_spoken_0_ends_the_connection),
		RIG_TEST(test_next_choice_is_kept_warm),
		RIG_TEST(test_all_choices_wake_with_the_first_query),
		RIG_TEST(test_handshakes_at_a_time_are_limited),
		RIG_TEST(test_session_is_prepared_while_nobody_asks),
		RIG_TEST(test_nothing_is_prepared_for_one_that_fails),
		RIG_TEST(test_few_sessions_are_prepared_in_one_turn),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
