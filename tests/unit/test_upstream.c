/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* Which connection a query is put on, and which of them there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_rig.h"

static struct pkt pkt;

static size_t
total_got(void)
{
	size_t i, n = 0;

	for (i = 0; i < rig.npeers; i++)
		n += rig.peers[i]->ngot;
	return n;
}

/* Answers everything every connection has got so far. */
static void
answer_all(void)
{
	static size_t done[RIG_PEERS_MAX];
	size_t i;

	if (rig.nreplies == 0)
		memset(done, 0, sizeof(done));
	for (i = 0; i < rig.npeers; i++)
		while (rig.peers[i]->fd != -1 && done[i] < rig.peers[i]->ngot)
			peer_answer(rig.peers[i], done[i]++);
}

/* A query whose question cannot be read. */
static void
ask_odd(uint64_t handle)
{
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	wire_put_bytes(&pkt.w, "\077oops", 5);
	rig_ask_wire(handle, 60000, pkt.buf, pkt.w.pos);
}

static void
test_one_connection_serves_while_it_can(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < CONN_SOFT_MAX - 1; i++)
		rig_ask(i);
	RIG_UNTIL(total_got() == CONN_SOFT_MAX - 1);
	rig_pass(20);
	assert_int_equal(rig.npeers, 1);
}

static void
test_load_opens_another_connection(void **state)
{
	size_t i, n = 3 * CONN_SOFT_MAX;

	(void)state;
	for (i = 0; i < n; i++)
		rig_ask(i);
	RIG_UNTIL(total_got() == n);
	RIG_UNTIL(rig_up(0)->nready == 2);
	/* What comes next is for the new one. */
	for (; i < n + CONN_SOFT_MAX; i++)
		rig_ask(i);
	RIG_UNTIL(rig_peer(1, 1)->ngot == CONN_SOFT_MAX);
	RIG_UNTIL(rig_up(0)->nready == 3);
	RIG_UNTIL(total_got() == n + CONN_SOFT_MAX);
	answer_all();
	RIG_UNTIL(rig.nreplies == n + CONN_SOFT_MAX);
}

static void
test_pool_size_is_the_limit(void **state)
{
	size_t i, n = 10 * CONN_SOFT_MAX;

	(void)state;
	rig.ups[0].conf.pool_size = 3;
	rig_configure();
	for (i = 0; i < n; i++) {
		rig_ask(i);
		if (i % 64 == 0)
			rig_pass(2);
	}
	RIG_UNTIL(total_got() == n);
	rig_pass(30);
	assert_int_equal(rig.npeers, 3);
	/* The busy ones take turns. */
	for (i = 0; i < 3; i++)
		assert_in_range(rig.peers[i]->ngot, n / 3 - 200, n / 3 + 200);
}

/* What comes in one turn leaves as one record, however busy all are. */
static void
test_busy_connections_take_batches(void **state)
{
	size_t i, j, n = 4 * CONN_SOFT_MAX, got[2];

	(void)state;
	rig.ups[0].conf.pool_size = 2;
	rig_configure();
	for (i = 0; i < n; i++) {
		rig_ask(i);
		if (i % 64 == 0)
			rig_pass(2);
	}
	RIG_UNTIL(total_got() == n);
	for (j = 0; j < 4; j++) {
		got[0] = rig.peers[0]->ngot;
		got[1] = rig.peers[1]->ngot;
		for (i = 0; i < CONN_BATCH / 2; i++)
			rig_ask(n++);
		RIG_UNTIL(total_got() == n);
		assert_true(got[0] == rig.peers[0]->ngot ||
			    got[1] == rig.peers[1]->ngot);
	}
}

static void
test_crowd_of_waiting_queries_dials_four_at_most(void **state)
{
	size_t i;

	(void)state;
	rig.manual = true;
	rig_configure();
	for (i = 0; i < CONN_SOFT_MAX; i++)
		rig_ask(i);
	RIG_UNTIL(rig_up(0)->nwaiting == CONN_SOFT_MAX);
	assert_int_equal(rig_up(0)->nconnecting, 2);
	for (; i < 1000; i++)
		rig_ask(i);
	RIG_UNTIL(rig_up(0)->nwaiting == 1000);
	rig_pass(20);
	assert_int_equal(rig.ndials, UPSTREAM_DIALS_MAX);
	/* The first that stands takes them all. */
	rig.manual = false;
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, rig.last_request, rig_connect()));
	(void)rig_accept(1);
	RIG_UNTIL(total_got() == 1000);
}

static void
test_connection_used_last_is_used_next(void **state)
{
	size_t i, n = 2 * CONN_SOFT_MAX;

	(void)state;
	rig.ups[0].conf.stale_timeout_ms = 500;
	rig_configure();
	for (i = 0; i < n; i++)
		rig_ask(i);
	RIG_UNTIL(rig_up(0)->nready == 2);
	RIG_UNTIL(total_got() == n);
	answer_all();
	RIG_UNTIL(rig.nreplies == n);
	/* A trickle needs one: the other becomes stale. */
	while (rig_up(0)->nready == 2) {
		rig_ask(i++);
		RIG_UNTIL(total_got() == i);
		answer_all();
		rig_pass(20);
		assert_true(i < n + 500);
	}
	assert_int_equal(rig_up(0)->nready, 1);
	assert_int_equal(rig_up(0)->n.opened, 2);
}

static void
test_odd_query_has_a_connection_of_its_own(void **state)
{
	struct peer *p = rig_peer(1, 0), *q;

	(void)state;
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	ask_odd(2);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	assert_int_equal(rig_up(0)->nready, 1);
	/* It can end it without harm to anybody. */
	peer_reset(q);
	RIG_UNTIL(rig_up(0)->n.failures[PHASE_READ] == 1);
	assert_false(rig_up(0)->suspect);
	assert_string_equal(rig.log, "");
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
	/* And is tried again, not at once. */
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	peer_answer(q, 0);
	RIG_UNTIL(rig_answered(2));
	/* The connection is kept for the next one. */
	ask_odd(3);
	RIG_UNTIL(q->ngot == 2);
	assert_int_equal(rig.npeers, 3);
}

static void
test_bad_answer_to_an_odd_query_is_no_failure(void **state)
{
	struct peer *q;

	(void)state;
	ask_odd(1);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	peer_write(q, "\0\0", 2);
	RIG_UNTIL(rig_up(0)->n.failures[PHASE_PROTOCOL] == 1);
	assert_int_equal(rig_up(0)->failed_ms, 0);
	assert_string_equal(rig.log, "");
}

static void
test_odd_query_goes_elsewhere_if_its_dial_fails(void **state)
{
	struct peer *q;

	(void)state;
	(void)rig_add(2);
	rig_configure();
	RIG_UNTIL(rig_up(1)->nready == 1);
	rig.manual = true;
	ask_odd(1);
	RIG_UNTIL(rig.ndials == 3);
	assert_int_equal(rig.last_dialled, 1);
	rig.manual = false;
	assert_true(msg_send_u32(&rig.parent, MSG_PT_CONNECT_FAILED,
	    rig.last_request, ECONNREFUSED));
	RIG_UNTIL((q = rig_peer(2, 1)) != NULL && q->ngot == 1);
	assert_int_equal(rig_up(0)->nready, 1);
}

static void
test_odd_queries_go_one_by_one(void **state)
{
	struct peer *q;
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++)
		ask_odd(i);
	for (i = 0; i < 5; i++) {
		RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == i + 1);
		rig_pass(5);
		assert_int_equal(q->ngot, i + 1);
		peer_answer(q, i);
	}
	RIG_UNTIL(rig.nreplies == 5);
	assert_int_equal(rig.npeers, 2);
}

static void
test_odd_query_without_answer_frees_its_connection(void **state)
{
	struct peer *q;

	(void)state;
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	wire_put_bytes(&pkt.w, "\077oops", 5);
	rig_ask_wire(1, 50, pkt.buf, pkt.w.pos);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	ask_odd(2);
	RIG_UNTIL(rig_failed(1, CAUSE_TIMEOUT));
	RIG_UNTIL(q->eof);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	peer_answer(q, 0);
	RIG_UNTIL(rig_answered(2));
	assert_false(rig_up(0)->suspect);
}

/* The open connection whose last query is for a name that begins like this. */
static struct peer *
peer_asked_for(uint8_t letter)
{
	struct peer *p;
	size_t i;

	for (i = 0; i < rig.npeers; i++) {
		p = rig.peers[i];
		if (p->fd != -1 && p->ngot > 0 &&
		    p->got[p->ngot - 1].wire[DNS_HDR_LEN + 1] == letter)
			return p;
	}
	return NULL;
}

static bool
begins_with(const struct peer *p, size_t i, char letter)
{
	return p->got[i].wire[DNS_HDR_LEN + 1] == (uint8_t)letter;
}

/* Ends the connection with "poison" on it: returns how many it had, or 0. */
static size_t
kill_with_poison(void)
{
	struct peer *p;
	size_t i, k, n;
	bool poison;

	for (i = 0; i < rig.npeers; i++) {
		p = rig.peers[i];
		poison = false;
		for (k = n = 0; p->fd != -1 && k < p->ngot; k++) {
			n += !dns_is_response(p->got[k].wire);
			poison |= begins_with(p, k, 'p');
		}
		if (poison) {
			peer_close(p, true);
			return n;
		}
	}
	return 0;
}

/* Answers all queries for "www". */
static void
answer_innocents(void)
{
	struct peer *p;
	size_t i, k;

	for (i = 0; i < rig.npeers; i++) {
		p = rig.peers[i];
		for (k = 0; p->fd != -1 && k < p->ngot; k++)
			if (begins_with(p, k, 'w') &&
			    !dns_is_response(p->got[k].wire))
				peer_answer(p, k);
	}
}

/* It takes all with it twice; then some, then a few, then it is alone. */
static void
test_query_that_kills_connections_is_set_apart(void **state)
{
	static const size_t with_it[] = { 101, 101, 64, 8, 1, 1 };
	struct peer *p;
	size_t i, n;

	(void)state;
	rig_ask_type(1, "poison", 1);
	for (i = 2; i <= 101; i++)
		rig_ask(i);
	RIG_UNTIL(total_got() == 101);
	for (i = 0; i < 6; i++) {
		while ((n = kill_with_poison()) == 0) {
			if (i > 1)
				answer_innocents();
			rig_turn();
		}
		assert_in_range(n, 1, with_it[i]);
		assert_true(i > 2 || n == with_it[i]);
		/* All of them are there before the next blow falls. */
		if (i < 2)
			RIG_UNTIL(total_got() == (i == 0 ? 202 : 202 + 64));
	}
	/* Nobody else was lost over it. */
	while (rig.nreplies < 100) {
		answer_innocents();
		rig_turn();
	}
	for (i = 2; i <= 101; i++)
		assert_true(rig_answered(i));
	/* And others share a connection that it does not touch. */
	rig_ask_type(200, "third", 1);
	RIG_UNTIL((p = peer_asked_for('t')) != NULL);
	peer_answer(p, p->ngot - 1);
	RIG_UNTIL(rig_answered(200));
	assert_int_equal(rig_up(0)->nready, 1);
}

/* One that has lost more brings its own limit, for those that come later. */
static void
test_company_is_that_of_the_worst(void **state)
{
	struct peer *p;
	size_t i;

	(void)state;
	for (i = 0; i < 30; i++)
		rig_ask(i);
	RIG_UNTIL((p = rig_peer(1, 0)) != NULL && p->ngot == 30);
	peer_close(p, true);
	RIG_UNTIL((p = rig_peer(1, 0)) != NULL && p->ngot == 30);
	query_find(&rig.pool->queries, 0)->lost++;
	peer_close(p, true);
	RIG_UNTIL((p = rig_peer_with_query()) != NULL && p->ngot >= 8);
	rig_pass(20);
	assert_int_equal(p->ngot, 8);
	for (i = 0; i < 30; i++) {
		RIG_UNTIL(p->ngot > i);
		peer_answer(p, i);
		RIG_UNTIL(rig.nreplies == i + 1);
	}
	assert_true(rig_answered(0) && rig_answered(29));
}

/* What one client gives up is not the end of what is beside it. */
static void
test_suspects_go_on_when_one_is_given_up(void **state)
{
	struct peer *p;
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		rig_ask(i);
	for (i = 0; i < 2; i++) {
		RIG_UNTIL((p = rig_peer(1, 0)) != NULL && p->ngot == 4);
		peer_close(p, true);
	}
	RIG_UNTIL((p = rig_peer_with_query()) != NULL && p->ngot == 4);
	assert_int_equal(rig_up(0)->lone->nsent, 4);
	assert_true(imsg_send_empty(&rig.link, MSG_LT_CANCEL, 3, -1));
	RIG_UNTIL(rig.pool->counters[TSTAT_cancelled] == 1);
	/* One that must be alone waits until there is nothing else on it. */
	ask_odd(9);
	for (i = 0; i < 2; i++)
		peer_answer(p, i);
	RIG_UNTIL(rig.nreplies == 2);
	assert_int_equal(p->ngot, 4);
	peer_answer(p, 2);
	RIG_UNTIL(rig.nreplies == 3);
	/* The query given up is still on it: another one, then. */
	RIG_UNTIL(p->eof);
	RIG_UNTIL((p = rig_peer_with_query()) != NULL && p->ngot == 1);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(9));
}

static void
test_transfer_has_a_connection_of_its_own(void **state)
{
	struct peer *q;

	(void)state;
	rig_ask_type(1, "zone.example", DNS_TYPE_IXFR);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	assert_int_equal(rig_peer(1, 0)->ngot, 0);
	peer_answer(q, 0);
	peer_answer(q, 0); /* more of it, which nobody wants */
	RIG_UNTIL(rig_answered(1));
	RIG_UNTIL(q->eof);
	assert_int_equal(rig_up(0)->n.failures[PHASE_PROTOCOL], 0);
	assert_int_equal(rig_nreplies(1), 1);
}

static void
test_transfer_is_not_sent_twice(void **state)
{
	struct peer *q;

	(void)state;
	rig_ask_type(1, "zone.example", DNS_TYPE_AXFR);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && q->ngot == 1);
	peer_close(q, true);
	RIG_UNTIL(rig_failed(1, CAUSE_NOT_REPEATABLE));
}

static void
test_closed_idle_connection_is_replaced_while_queries_come(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
	rig_pass(550);
	peer_close(p, true);
	RIG_UNTIL(rig.npeers == 2 && rig_up(0)->nready == 1);
	/* One closed as soon as it stands is not. */
	peer_close(rig_peer(1, 0), true);
	RIG_UNTIL(rig_up(0)->n.closed_by_peer == 2);
	rig_pass(50);
	assert_int_equal(rig.npeers, 2);
	assert_string_equal(rig.log, "");
}

static void
test_no_replacement_without_queries(void **state)
{
	(void)state;
	rig_pass(550);
	peer_close(rig_peer(1, 0), true);
	RIG_UNTIL(rig_up(0)->n.closed_by_peer == 1);
	rig_pass(50);
	assert_int_equal(rig.npeers, 1);
}

static void
test_silent_siblings_are_not_trusted_any_more(void **state)
{
	size_t i, n = 2 * CONN_SOFT_MAX;
	struct peer *a, *b;

	(void)state;
	rig.ups[0].conf.read_timeout_ms = 200;
	rig_configure();
	for (i = 0; i < n; i++)
		rig_ask(i);
	RIG_UNTIL(rig_up(0)->nready == 2);
	RIG_UNTIL(total_got() == n);
	answer_all();
	RIG_UNTIL(rig.nreplies == n);
	a = rig.peers[0];
	b = rig.peers[1];
	rig_pass(20);
	rig_ask(1000);
	RIG_UNTIL(total_got() == n + 1);
	/* The path is gone: no answer, on either. */
	RIG_UNTIL(a->eof && b->eof);
	assert_int_equal(rig_up(0)->n.failures[PHASE_TIMEOUT], 1);
	RIG_UNTIL(rig.npeers == 3 && rig.peers[2]->ngot == 1);
	peer_answer(rig.peers[2], 0);
	RIG_UNTIL(rig_answered(1000));
}

static void
test_sleep_drops_everything_at_once(void **state)
{
	struct peer *p = rig_peer(1, 0), *q;
	size_t i;

	(void)state;
	for (i = 0; i < 10; i++)
		rig_ask(i);
	pkt_start(&pkt, DNS_OPCODE_UPDATE << 11, 1, 0, 0, 0);
	pkt_question(&pkt, "zone.example", 6);
	rig_ask_wire(10, 4000, pkt.buf, pkt.w.pos); /* may have been heard */
	RIG_UNTIL(p->ngot == 11);
	rig.pool->asleep_ms -= POOL_ASLEEP_MS + 1;
	rig_turn();
	RIG_UNTIL(p->eof);
	assert_non_null(strstr(rig.log, "slept"));
	RIG_UNTIL((q = rig_peer(1, 0)) != NULL && q->ngot == 10);
	for (i = 0; i < 10; i++)
		peer_answer(q, i);
	RIG_UNTIL(rig.nreplies == 11);
	assert_true(rig_failed(10, CAUSE_NOT_REPEATABLE));
	assert_int_equal(rig.pool->counters[TSTAT_retries], 0);
	assert_false(rig_up(0)->suspect);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST_ONE(test_one_connection_serves_while_it_can),
		RIG_TEST_ONE(test_load_opens_another_connection),
		RIG_TEST_ONE(test_pool_size_is_the_limit),
		RIG_TEST_ONE(test_busy_connections_take_batches),
		RIG_TEST(test_crowd_of_waiting_queries_dials_four_at_most),
		RIG_TEST_ONE(test_connection_used_last_is_used_next),
		RIG_TEST_ONE(test_odd_query_has_a_connection_of_its_own),
		RIG_TEST_ONE(test_bad_answer_to_an_odd_query_is_no_failure),
		RIG_TEST_ONE(test_odd_query_goes_elsewhere_if_its_dial_fails),
		RIG_TEST_ONE(test_odd_queries_go_one_by_one),
		RIG_TEST_ONE(
		    test_odd_query_without_answer_frees_its_connection),
		RIG_TEST_ONE(test_query_that_kills_connections_is_set_apart),
		RIG_TEST_ONE(test_company_is_that_of_the_worst),
		RIG_TEST_ONE(test_suspects_go_on_when_one_is_given_up),
		RIG_TEST_ONE(test_transfer_has_a_connection_of_its_own),
		RIG_TEST_ONE(test_transfer_is_not_sent_twice),
		RIG_TEST_ONE(
		    test_closed_idle_connection_is_replaced_while_queries_come),
		RIG_TEST_ONE(test_no_replacement_without_queries),
		RIG_TEST_ONE(test_silent_siblings_are_not_trusted_any_more),
		RIG_TEST_ONE(test_sleep_drops_everything_at_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
