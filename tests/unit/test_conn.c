/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* The life of a connection: its timeouts, how it ends, where queries go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_rig.h"

static struct pkt pkt;

static struct conn *
first_conn(void)
{
	return TAILQ_FIRST(&rig_up(0)->conns);
}

/* The upstream in use has n queries. */
static struct peer *
peer_with(size_t n)
{
	struct peer *p = rig_peer(1, 0);

	assert_non_null(p);
	RIG_UNTIL(p->ngot == n);
	return p;
}

/* The next connection after those there are has n queries. */
static struct peer *
next_peer_with(size_t had, size_t n)
{
	RIG_UNTIL(rig.npeers > had && rig.peers[had]->ngot == n);
	return rig.peers[had];
}

static void
test_first_queries_wait_for_the_handshake(void **state)
{
	size_t i;

	(void)state;
	rig_configure();
	for (i = 0; i < 10; i++)
		rig_ask(i);
	rig_turn();
	assert_int_equal(rig_up(0)->nwaiting, 10);
	RIG_UNTIL(rig_peer(1, 0) != NULL && rig_peer(1, 0)->ngot == 10);
	assert_int_equal(rig_up(0)->nwaiting, 0);
	assert_int_equal(rig.npeers, 1);
	assert_int_equal(rig_up(0)->connect.count, 1);
	assert_int_equal(rig_up(0)->handshake.count, 1);
}

static void
test_idle_connection_is_closed_with_notify(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig.ups[0].conf.stale_timeout_ms = 60;
	rig_configure();
	RIG_UNTIL(p->eof);
	assert_true(p->alert);
	assert_null(first_conn());
	rig_pass(50);
	assert_int_equal(rig.npeers, 1); /* nobody needs another */
	assert_string_equal(rig.log, "");
	assert_int_equal(rig_up(0)->n.closed_by_peer, 0);
}

static void
test_queries_keep_it_open(void **state)
{
	struct peer *p = rig_peer(1, 0);
	size_t i;

	(void)state;
	rig.ups[0].conf.stale_timeout_ms = 100;
	rig_configure();
	for (i = 0; i < 8; i++) {
		rig_ask(i);
		RIG_UNTIL(p->ngot == i + 1);
		peer_answer(p, i);
		rig_pass(40);
	}
	assert_false(p->eof);
	assert_int_equal(rig.npeers, 1);
}

static void
test_idle_connection_may_be_closed_by_the_peer(void **state)
{
	struct peer *p;

	(void)state;
	rig_ask(1);
	p = peer_with(1);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
	peer_close(p, true);
	RIG_UNTIL(rig_up(0)->n.closed_by_peer == 1);
	assert_false(rig_up(0)->failed);
	assert_false(rig_up(0)->suspect);
	assert_string_equal(rig.log, "");
}

static void
test_idle_reset_is_no_failure_either(void **state)
{
	(void)state;
	peer_reset(rig_peer(1, 0));
	RIG_UNTIL(rig_up(0)->n.closed_by_peer == 1);
	assert_false(rig_up(0)->suspect);
	assert_string_equal(rig.log, "");
}

static void
test_queries_move_when_the_peer_closes(void **state)
{
	struct peer *p;
	size_t i;

	(void)state;
	for (i = 0; i < 10; i++)
		rig_ask(i);
	p = peer_with(10);
	peer_answer(p, 3);
	peer_close(p, true);
	p = next_peer_with(1, 9);
	assert_int_equal(rig_up(0)->n.failures[PHASE_READ], 1);
	/* It had answered: no blame. */
	assert_int_equal(rig_up(0)->failed_ms, 0);
	assert_string_equal(rig.log, "");
	for (i = 0; i < 9; i++)
		peer_answer(p, i);
	RIG_UNTIL(rig.nreplies == 10);
	for (i = 0; i < 10; i++)
		assert_true(rig_answered(i));
	assert_int_equal(rig_up(0)->n.retries, 9);
}

static void
test_queries_move_on_reset(void **state)
{
	struct peer *p;

	(void)state;
	rig_ask(1);
	p = peer_with(1);
	peer_reset(p);
	p = next_peer_with(1, 1);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
	assert_int_equal(rig_up(0)->n.failures[PHASE_READ], 1);
	assert_non_null(strstr(rig.log, "up1"));
	assert_non_null(strstr(rig.log, "reset"));
	assert_non_null(strstr(rig.log, "0 answers"));
	assert_null(strstr(rig.log, "example"));
}

static void
test_update_is_not_sent_twice(void **state)
{
	struct peer *p;

	(void)state;
	pkt_start(&pkt, DNS_OPCODE_UPDATE << 11, 1, 0, 0, 0);
	pkt_question(&pkt, "zone.example", 6);
	rig_ask_wire(1, 4000, pkt.buf, pkt.w.pos);
	rig_ask(2);
	p = peer_with(2);
	peer_close(p, true);
	p = next_peer_with(1, 1);
	assert_int_equal(dns_opcode(p->got[0].wire), DNS_OPCODE_QUERY);
	RIG_UNTIL(rig_failed(1, CAUSE_NOT_REPEATABLE));
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(2));
	assert_int_equal(rig_up(0)->n.queries, 3);
}

static void
test_update_is_not_sent_to_another_upstream(void **state)
{
	struct peer *p;

	(void)state;
	(void)rig_add(2);
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1 && rig_up(1)->nready == 1);
	pkt_start(&pkt, DNS_OPCODE_UPDATE << 11, 1, 0, 0, 0);
	pkt_question(&pkt, "zone.example", 6);
	rig_ask_wire(1, 4000, pkt.buf, pkt.w.pos);
	RIG_UNTIL((p = rig_peer_with_query()) != NULL);
	peer_close(p, true);
	RIG_UNTIL(rig.nreplies == 1);
	assert_true(rig_failed(1, CAUSE_NOT_REPEATABLE));
}

static void
test_update_not_written_yet_goes_elsewhere(void **state)
{
	(void)state;
	rig.manual = true;
	rig_configure();
	pkt_start(&pkt, DNS_OPCODE_UPDATE << 11, 1, 0, 0, 0);
	pkt_question(&pkt, "zone.example", 6);
	rig_ask_wire(1, 4000, pkt.buf, pkt.w.pos);
	RIG_UNTIL(rig_up(0)->nwaiting == 1);
	rig.manual = false;
	assert_true(msg_send_u32(&rig.parent, MSG_PT_CONNECT_FAILED,
	    rig.last_request, ECONNREFUSED));
	RIG_UNTIL(rig_peer(1, 0) != NULL && rig_peer(1, 0)->ngot == 1);
	peer_answer(rig_peer(1, 0), 0);
	RIG_UNTIL(rig_answered(1));
}

/* Under load a dead connection is as dead as without. */
static void
test_silence_is_noticed_under_load(void **state)
{
	struct peer *p = rig_peer(1, 0);
	uint64_t begin_ms;
	size_t i = 0;

	(void)state;
	rig.ups[0].conf.read_timeout_ms = 150;
	rig_configure();
	begin_ms = util_now_ms();
	while (!p->eof && util_now_ms() < begin_ms + 1000) {
		rig_ask(i++);
		rig_pass(5);
	}
	assert_in_range(util_now_ms() - begin_ms, 140, 400);
	assert_int_equal(rig_up(0)->n.failures[PHASE_TIMEOUT], 1);
	/* The queries have all moved. */
	p = next_peer_with(1, i);
	for (i = 0; i < p->ngot; i++)
		peer_answer(p, i);
	RIG_UNTIL(rig.nreplies == p->ngot);
	for (i = 0; i < p->ngot; i++)
		assert_true(rig_answered(i));
}

static void
test_abandoned_queries_count_as_silence(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig.ups[0].conf.read_timeout_ms = 150;
	rig.ups[0].conf.stale_timeout_ms = 3600000;
	rig_configure();
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, "www.example", 1);
	rig_ask_wire(1, 30, pkt.buf, pkt.w.pos);
	RIG_UNTIL(rig_failed(1, CAUSE_TIMEOUT));
	assert_int_equal(rig_reply(1)->failure.upstream, 0);
	RIG_UNTIL(p->eof);
	assert_int_equal(rig_up(0)->n.failures[PHASE_TIMEOUT], 1);
}

static void
test_silence_after_some_answers_is_noticed(void **state)
{
	struct peer *p = rig_peer(1, 0);
	uint64_t begin_ms;

	(void)state;
	rig.ups[0].conf.read_timeout_ms = 150;
	rig_configure();
	rig_ask(1);
	rig_ask(2);
	RIG_UNTIL(p->ngot == 2);
	rig_pass(100);
	peer_answer(p, 1);
	RIG_UNTIL(rig_answered(2));
	begin_ms = util_now_ms();
	RIG_UNTIL(rig_up(0)->n.failures[PHASE_TIMEOUT] == 1);
	assert_in_range(util_now_ms() - begin_ms, 140, 270);
	RIG_UNTIL(rig_peer(1, 0) != NULL && rig_peer(1, 0)->ngot == 1);
}

static void
test_only_the_oldest_moves_from_a_live_connection(void **state)
{
	struct peer *p = rig_peer(1, 0), *q;
	uint64_t begin_ms;
	size_t i;

	(void)state;
	rig.ups[0].conf.read_timeout_ms = 150;
	rig.nups = 1;
	(void)rig_add(2);
	rig.ups[1].conf.read_timeout_ms = 5000;
	rig_configure();
	rig_ask(1000);
	begin_ms = util_now_ms();
	RIG_UNTIL(p->ngot == 1);
	for (i = 1; util_now_ms() < begin_ms + 400; i++) {
		rig_ask(i);
		RIG_UNTIL(p->ngot == i + 1);
		peer_answer(p, i);
		rig_pass(10);
	}
	/* It went to the other upstream, and everything else stayed. */
	RIG_UNTIL((q = rig_peer(2, 0)) != NULL && q->ngot == 1);
	assert_false(p->eof);
	assert_int_equal(rig_up(0)->n.failures[PHASE_TIMEOUT], 0);
	peer_answer(q, 0);
	RIG_UNTIL(rig_answered(1000));
	/* Its first answer comes after all. */
	peer_answer(p, 0);
	RIG_UNTIL(rig.pool->counters[TSTAT_late_answers] == 1);
	assert_int_equal(rig_nreplies(1000), 1);
	assert_false(p->eof);
}

/* A connection to a socket whose backlog is full. */
static void
test_connect_timeout(void **state)
{
	int fd, full, other, i;
	socklen_t len = sizeof(rig.addr);
	struct sockaddr_in addr = rig.addr;

	(void)state;
	rig.manual = true;
	rig.ups[0].conf.connect_timeout_ms = 80;
	rig_configure();
	full = socket(AF_INET, SOCK_STREAM, 0);
	addr.sin_port = 0;
	assert_int_equal(bind(full, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(full, 0), 0);
	assert_int_equal(getsockname(full, (struct sockaddr *)&addr, &len), 0);
	RIG_UNTIL(rig.ndials == 1);
	for (i = 0; i < 8; i++) {
		other = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(other, (struct sockaddr *)&addr, len);
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	(void)connect(fd, (struct sockaddr *)&addr, len);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, rig.last_request, fd));
	RIG_UNTIL(rig_up(0)->n.failures[PHASE_CONNECT] == 1);
	assert_non_null(strstr(rig.log, "connect: timed out"));
	assert_true(rig_up(0)->failed);
	/* In case it was because of data in the SYN. */
	assert_int_equal(rig.nplain, 0);
	rig.manual = false;
	rig_ask(1);
	RIG_UNTIL(rig.nplain == 1);
	RIG_UNTIL(rig_peer(1, 0) != NULL);
	assert_true(rig_up(0)->plain);
	close(full);
}

static void
test_refused_while_connecting(void **state)
{
	struct sockaddr_in addr = rig.addr;
	socklen_t len = sizeof(addr);
	int fd, port;

	(void)state;
	rig.manual = true;
	rig_configure();
	RIG_UNTIL(rig.ndials == 1);
	port = socket(AF_INET, SOCK_STREAM, 0);
	addr.sin_port = 0;
	assert_int_equal(bind(port, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(getsockname(port, (struct sockaddr *)&addr, &len), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	(void)connect(fd, (struct sockaddr *)&addr, len);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, rig.last_request, fd));
	RIG_UNTIL(rig_up(0)->n.failures[PHASE_CONNECT] == 1);
	assert_non_null(strstr(rig.log, "refused"));
	close(port);
}

static void
test_handshake_timeout(void **state)
{
	(void)state;
	rig.ups[0].conf.handshake_timeout_ms = 80;
	rig.manual = true;
	rig_configure();
	RIG_UNTIL(rig.ndials == 1);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, rig.last_request, rig_connect()));
	rig_accept(1)->deaf = true;
	RIG_UNTIL(rig_up(0)->n.failures[PHASE_HANDSHAKE] == 1);
	assert_non_null(strstr(rig.log, "handshake: timed out"));
	assert_int_equal(rig_up(0)->fault.cause, CAUSE_NETWORK);
}

static void
test_closed_in_the_handshake(void **state)
{
	(void)state;
	rig.manual = true;
	rig_configure();
	RIG_UNTIL(rig.ndials == 1);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, rig.last_request, rig_connect()));
	peer_close(rig_accept(1), false);
	RIG_UNTIL(rig_up(0)->n.failures[PHASE_HANDSHAKE] == 1);
	assert_true(rig_up(0)->failed);
}

static void
test_one_with_too_many_unanswered_is_replaced(void **state)
{
	struct peer *p = rig_peer(1, 0), *q;
	size_t i, n = CONN_ABANDONED_MAX + 1;

	(void)state;
	rig.ups[0].conf.pool_size = 1;
	rig_configure();
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, "www.example", 1);
	rig_ask(5000);
	for (i = 0; i < n; i++)
		rig_ask_wire(i, 300, pkt.buf, pkt.w.pos);
	RIG_UNTIL(rig.nreplies == n);
	assert_int_equal(first_conn()->state, CONN_DRAINING);
	/* It still answers what it has; what comes now goes elsewhere. */
	rig_ask(5001);
	q = next_peer_with(1, 1);
	peer_answer(q, 0);
	RIG_UNTIL(rig_answered(5001));
	assert_null(rig_reply(5000));
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(5000));
	RIG_UNTIL(p->eof);
	assert_true(p->alert);
}

static void
test_draining_ends_after_the_read_timeout(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig.ups[0].conf.read_timeout_ms = 150;
	rig_configure();
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	conn_drain(first_conn());
	assert_int_equal(first_conn()->state, CONN_DRAINING);
	assert_int_equal(rig_up(0)->nready, 0);
	RIG_UNTIL(p->eof);
	RIG_UNTIL(rig_peer(1, 0) != NULL && rig_peer(1, 0)->ngot == 1);
	peer_answer(rig_peer(1, 0), 0);
	RIG_UNTIL(rig_answered(1));
}

/* One that is due does not take those with it that are not. */
static void
test_draining_goes_on_without_the_oldest(void **state)
{
	struct peer *p;

	(void)state;
	rig.ups[0].conf.read_timeout_ms = 1000;
	rig_configure();
	p = rig_peer(1, 0);
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	rig_pass(300);
	rig_ask(2);
	RIG_UNTIL(p->ngot == 2);
	peer_answer(p, 1);
	RIG_UNTIL(rig_answered(2));
	rig_pass(400);
	pkt_start(&pkt, DNS_OPCODE_UPDATE << 11, 1, 0, 0, 0);
	pkt_question(&pkt, "zone.example", 6);
	rig_ask_wire(3, 4000, pkt.buf, pkt.w.pos);
	RIG_UNTIL(p->ngot == 3);
	conn_drain(first_conn());
	rig_pass(400);
	/* The first one has moved, and the connection is there still. */
	RIG_UNTIL(rig_peer(1, 1) != NULL && rig_peer(1, 1)->ngot == 1);
	assert_false(p->eof);
	peer_answer(p, 2);
	RIG_UNTIL(rig_answered(3));
	RIG_UNTIL(p->eof);
}

/* No steady stream of timer events: nothing happens while nothing is due. */
static void
test_timers_do_not_spin(void **state)
{
	struct peer *p = rig_peer(1, 0);
	size_t turns = 0;
	uint64_t end_ms;

	(void)state;
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
	end_ms = util_now_ms() + 300;
	while (util_now_ms() < end_ms) {
		rig_now_us += RIG_TURN_US;
		(void)event_base_loop(rig.base, EVLOOP_NONBLOCK);
		turns += rig.pool->in_turn; /* something was called */
		pool_turn_end(rig.pool);
	}
	assert_true(turns < 10);
}

/* It fired at once, for nothing, if nothing was in flight before. */
static void
test_query_does_not_arm_the_timer_for_now(void **state)
{
	struct conn *c = TAILQ_FIRST(&rig_up(0)->conns);

	(void)state;
	rig_ask(1);
	RIG_UNTIL(c->waiting_since != 0);
	assert_int_equal(c->armed_ms, c->waiting_since + CONN_QUIET_MS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_first_queries_wait_for_the_handshake),
		RIG_TEST_ONE(test_idle_connection_is_closed_with_notify),
		RIG_TEST_ONE(test_queries_keep_it_open),
		RIG_TEST_ONE(test_idle_connection_may_be_closed_by_the_peer),
		RIG_TEST_ONE(test_idle_reset_is_no_failure_either),
		RIG_TEST_ONE(test_queries_move_when_the_peer_closes),
		RIG_TEST_ONE(test_queries_move_on_reset),
		RIG_TEST_ONE(test_update_is_not_sent_twice),
		RIG_TEST_ONE(test_update_is_not_sent_to_another_upstream),
		RIG_TEST(test_update_not_written_yet_goes_elsewhere),
		RIG_TEST_ONE(test_silence_is_noticed_under_load),
		RIG_TEST_ONE(test_abandoned_queries_count_as_silence),
		RIG_TEST_ONE(test_silence_after_some_answers_is_noticed),
		RIG_TEST_ONE(test_only_the_oldest_moves_from_a_live_connection),
		RIG_TEST(test_connect_timeout),
		RIG_TEST(test_refused_while_connecting),
		RIG_TEST(test_handshake_timeout),
		RIG_TEST(test_closed_in_the_handshake),
		RIG_TEST_ONE(test_one_with_too_many_unanswered_is_replaced),
		RIG_TEST_ONE(test_draining_ends_after_the_read_timeout),
		RIG_TEST_ONE(test_draining_goes_on_without_the_oldest),
		RIG_TEST_ONE(test_timers_do_not_spin),
		RIG_TEST_ONE(test_query_does_not_arm_the_timer_for_now),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
