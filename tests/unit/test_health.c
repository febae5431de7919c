/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* Upstreams that fail: who takes over, when they are tried again, the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_rig.h"

static struct pkt pkt;

/* How often a text is in the log. */
static size_t
logged(const char *text)
{
	const char *p = rig.log;
	size_t n = 0;

	for (; (p = strstr(p, text)) != NULL; p++)
		n++;
	return n;
}

/* Answers the last query a peer has got. */
static void
answer_last(struct peer *p)
{
	peer_answer(p, p->ngot - 1);
}

/* Asks, and has the answer come from this upstream. */
static void
served_by(uint64_t handle, uint32_t upstream)
{
	struct peer *p;
	size_t i;

	rig_ask(handle);
	for (i = 0; i < 3; i++)
		rig_turn();
	RIG_UNTIL((p = rig_peer(upstream, 0)) != NULL && p->ngot > 0 &&
		  p->got[p->ngot - 1].wire[2] == QUERY_FLAGS >> 8);
	answer_last(p);
	RIG_UNTIL(rig_answered(handle));
}

/* Two upstreams; the first refuses every connection. */
static void
two_first_refuses(void)
{
	(void)rig_add(2);
	rig.manual = true;
	rig_configure();
	RIG_UNTIL(rig.ndials == 2);
	assert_true(
	    msg_send_u32(&rig.parent, MSG_PT_CONNECT_FAILED, 1, ECONNREFUSED));
	assert_true(
	    imsg_send_empty(&rig.parent, MSG_PT_CONNECTED, 2, rig_connect()));
	(void)rig_accept(2);
	RIG_UNTIL(rig_up(0)->failed && rig_up(1)->nready == 1);
	rig.manual = false;
}

static void
test_second_upstream_takes_over(void **state)
{
	(void)state;
	two_first_refuses();
	assert_int_equal(logged("warn"), 1);
	assert_int_equal(logged("connect: Connection refused"), 1);
	assert_int_equal(rig_up(0)->backoff.delay_ms, UPSTREAM_BACKOFF_MIN_MS);
	served_by(1, 2);
	/* The first is tried in the background, and comes back. */
	RIG_UNTIL(rig_up(0)->nready == 1);
	assert_false(rig_up(0)->failed);
	assert_int_equal(rig_up(0)->backoff.delay_ms, 0);
	assert_int_equal(logged("up again"), 1);
	served_by(2, 1);
}

static void
told(uint64_t id, size_t times, enum info_phase phase, enum msg_cause cause,
    int err)
{
	const struct msg_health *h = &rig.health[id];

	RIG_UNTIL(rig.nhealths[id] >= times);
	assert_int_equal(rig.nhealths[id], times);
	assert_int_equal(h->up, cause == CAUSE_NONE);
	assert_int_equal(h->phase, phase);
	assert_int_equal(h->cause, cause);
	assert_int_equal(h->err, err);
}

static void
test_parent_is_told_what_is_new(void **state)
{
	size_t i, dials;

	(void)state;
	two_first_refuses();
	told(1, 1, PHASE_CONNECT, CAUSE_NETWORK, ECONNREFUSED);
	told(2, 1, 0, CAUSE_NONE, 0);
	/* The same again is no news, another reason is. */
	for (i = 0; i < 2; i++) {
		rig.refuse = i == 0 ? ECONNREFUSED : EHOSTUNREACH;
		dials = rig.ndials;
		served_by(i, 2);
		RIG_UNTIL(rig.ndials > dials);
		rig_pass(5);
		told(1, i + 1, PHASE_CONNECT, CAUSE_NETWORK, rig.refuse);
	}
	rig.refuse = 0;
	served_by(i++, 2);
	RIG_UNTIL(rig_up(0)->nready == 1);
	told(1, 3, 0, CAUSE_NONE, 0);
	/* That an idle connection goes says nothing against an upstream. */
	served_by(i, 1);
	peer_close(rig_peer(1, 0), true);
	RIG_UNTIL(rig_up(0)->n.closed_by_peer == 1);
	assert_int_equal(rig.nhealths[1], 3);
	assert_int_equal(rig.nhealths[2], 1);
}

/* A channel that has no room for it has some later. */
static void
test_parent_that_cannot_be_told_is_told_later(void **state)
{
	size_t cap = rig.pool->parent.out_cap;

	(void)state;
	rig_configure();
	RIG_UNTIL(rig.nhealths[1] == 1);
	rig.pool->parent.out_cap = 0;
	rig_up(0)->failed = true;
	rig_up(0)->fault.cause = CAUSE_TLS;
	upstream_refresh(rig_up(0));
	rig.pool->parent.out_cap = cap;
	rig_pass(5);
	assert_int_equal(rig.nhealths[1], 1);
	upstream_refresh(rig_up(0));
	told(1, 2, 0, CAUSE_TLS, 0);
}

static void
test_no_query_finds_out_whether_it_is_back(void **state)
{
	size_t i;

	(void)state;
	two_first_refuses();
	rig.refuse = ECONNREFUSED;
	for (i = 0; i < 20; i++) {
		served_by(i, 2);
		rig_pass(20);
	}
	assert_int_equal(rig.pool->counters[TSTAT_retries], 0);
	/* 100, 200, 400 ms: it is not dialled more often than that. */
	assert_in_range(rig.ndials, 3, 5);
	assert_int_equal(logged("warn"), 1);
}

static void
test_no_dial_while_nobody_asks(void **state)
{
	(void)state;
	two_first_refuses();
	rig_pass(400);
	assert_int_equal(rig.ndials, 2);
	/* The next query has it tried, but does not wait for it. */
	served_by(1, 2);
	RIG_UNTIL(rig_up(0)->nready == 1);
}

/* One that had been left alone, too: nobody else has asked since. */
static void
test_query_that_lost_its_upstream_has_all_tried(void **state)
{
	struct peer *p;

	(void)state;
	two_first_refuses();
	rig.refuse = ECONNREFUSED;
	rig_ask(1);
	RIG_UNTIL((p = rig_peer(2, 0)) != NULL && p->ngot == 1);
	RIG_UNTIL(rig.ndials >= 3 && rig.pool->probe_due == 1);
	rig_pass(500);
	rig.refuse = 0;
	peer_close(p, true);
	RIG_UNTIL((p = rig_peer(1, 0)) != NULL && p->ngot == 1);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
}

static void
test_all_down_parks_queries(void **state)
{
	struct peer *p;
	size_t i, dials;

	(void)state;
	rig.refuse = ECONNREFUSED;
	(void)rig_add(2);
	rig_configure();
	RIG_UNTIL(rig_up(0)->failed && rig_up(1)->failed);
	for (i = 0; i < 50; i++)
		rig_ask(i);
	RIG_UNTIL(rig.pool->nparked == 50);
	dials = rig.ndials;
	rig_pass(1000);
	/* Both are tried, but each not faster than its pauses. */
	assert_in_range(rig.ndials - dials, 4, 12);
	assert_int_equal(rig.pool->nparked, 50);
	assert_int_equal(rig.pool->counters[TSTAT_retries], 0);
	assert_true(logged("warn") <= 2);
	/* One comes back: it gets them all, and nobody has waited in vain. */
	rig.refuse = 0;
	RIG_UNTIL(rig.pool->nparked == 0);
	RIG_UNTIL((p = rig_peer(1, 0)) != NULL || (p = rig_peer(2, 0)) != NULL);
	RIG_UNTIL(p->ngot == 50);
	for (i = 0; i < 50; i++)
		peer_answer(p, i);
	RIG_UNTIL(rig.nreplies == 50);
	for (i = 0; i < 50; i++)
		assert_true(rig_answered(i));
}

static void
test_recovery_is_noticed_quickly(void **state)
{
	uint64_t begin_ms;

	(void)state;
	rig.refuse = ECONNREFUSED;
	rig_configure();
	RIG_UNTIL(rig_up(0)->failed);
	/* Down for so long that the back-off is at its longest. */
	rig_up(0)->backoff.delay_ms = UPSTREAM_BACKOFF_MAX_MS;
	rig_up(0)->backoff.until_ms = util_now_ms() + UPSTREAM_BACKOFF_MAX_MS;
	rig_up(0)->dialled_ms = util_now_ms() - 10000;
	rig.refuse = 0;
	begin_ms = util_now_ms();
	rig_ask(1);
	RIG_UNTIL(rig_up(0)->nready == 1);
	assert_true(util_now_ms() - begin_ms < 2000);
}

static void
test_parked_queries_end_with_the_cause(void **state)
{
	(void)state;
	rig.refuse = ECONNREFUSED;
	rig_configure();
	RIG_UNTIL(rig_up(0)->failed);
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, "www.example", 1);
	rig_ask_wire(1, 80, pkt.buf, pkt.w.pos);
	RIG_UNTIL(rig_failed(1, CAUSE_NETWORK));
	assert_int_equal(rig_reply(1)->failure.upstream, 0);
	assert_int_equal(rig.pool->counters[TSTAT_failed_network], 1);
	assert_int_equal(rig.pool->nparked, 0);
}

static void
test_limit_of_the_parent_is_no_failure(void **state)
{
	static const int errors[] = { EAGAIN, ENOENT, EMFILE, ENFILE, ENOBUFS,
		ENOMEM };
	size_t i;

	(void)state;
	rig.manual = true;
	rig_configure();
	rig_ask(1);
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		RIG_UNTIL(rig.ndials == i + 1);
		assert_true(msg_send_u32(&rig.parent, MSG_PT_CONNECT_FAILED,
		    rig.last_request, (uint32_t)errors[i]));
	}
	RIG_UNTIL(rig.ndials == i + 1);
	assert_int_equal(rig_up(0)->nwaiting, 1);
	assert_false(rig_up(0)->suspect);
	assert_string_equal(rig.log, "");
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, rig.last_request, rig_connect()));
	(void)rig_accept(1);
	RIG_UNTIL(rig_up(0)->nready == 1);
	served_by(2, 1);
	assert_int_equal(rig_up(0)->n.failures[PHASE_CONNECT], 0);
}

/* Neither is it for a connection that only one query wants. */
static void
test_limit_of_the_parent_costs_no_try(void **state)
{
	static const uint8_t odd[DNS_HDR_LEN] = { 0, 0, 1 };
	uint64_t first;
	size_t i;

	(void)state;
	rig.conf.forward.retries = 2;
	rig.manual = true;
	rig_configure();
	first = rig.last_request;
	rig_ask(1);
	rig_ask_wire(2, 60000, odd, sizeof(odd));
	for (i = 1; i < 5; i++) {
		RIG_UNTIL(rig.ndials == i + 1 || rig.nreplies > 0);
		assert_int_equal(rig.nreplies, 0);
		assert_true(msg_send_u32(&rig.parent, MSG_PT_CONNECT_FAILED,
		    rig.last_request, EAGAIN));
	}
	assert_int_equal(rig.pool->counters[TSTAT_retries], 0);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, first, rig_connect()));
	(void)rig_accept(1);
	served_by(3, 1);
	assert_int_equal(rig_up(0)->nwaiting, 0);
}

/* Accepts, takes a query, closes: over and over. */
static void
test_accepted_but_never_answered_is_a_failure(void **state)
{
	struct peer *p = NULL;
	uint64_t begin_ms;
	size_t i;

	(void)state;
	rig.conf.forward.query_timeout_ms = 2000;
	rig.conf.forward.retries = 64;
	rig_configure();
	rig_ask(1);
	begin_ms = util_now_ms();
	for (i = 0; rig_reply(1) == NULL; i++) {
		RIG_UNTIL(rig_reply(1) != NULL ||
			  (p = rig_peer_with_query()) != NULL);
		if (rig_reply(1) == NULL)
			peer_close(p, true);
	}
	assert_true(util_now_ms() - begin_ms >= 1900);
	assert_true(rig_failed(1, CAUSE_NETWORK));
	/* Two shared ones, then its own every 100 ms or more. */
	assert_in_range(i, 3, 22);
	assert_true(rig_up(0)->n.failures[PHASE_READ] >= 3);
	assert_true(logged("warn") <= 2);
}

static void
test_backoff_grows_until_an_answer(void **state)
{
	struct upstream *up;
	struct peer *p;
	uint32_t delay = 0;
	size_t i;

	(void)state;
	rig.conf.forward.retries = 0;
	rig_configure();
	up = rig_up(0);
	for (i = 0; i < 4; i++) {
		rig_ask(i);
		RIG_UNTIL((p = rig_peer(1, 0)) != NULL && p->ngot == 1);
		/* The handshake alone has not cleared it. */
		assert_int_equal(up->backoff.delay_ms, delay);
		peer_close(p, true);
		RIG_UNTIL(up->failed);
		assert_true(up->backoff.delay_ms > delay);
		delay = up->backoff.delay_ms;
		up->backoff.until_ms = up->dialled_ms = 0;
	}
	assert_int_equal(delay, 800);
	rig_ask(100);
	RIG_UNTIL((p = rig_peer(1, 0)) != NULL && p->ngot > 0);
	assert_true(up->suspect);
	for (i = 0; i < p->ngot; i++)
		peer_answer(p, i);
	RIG_UNTIL(rig_answered(100));
	assert_int_equal(up->backoff.delay_ms, 0);
	assert_false(up->suspect);
	assert_false(up->need_answer);
}

static void
test_refused_extra_connection_takes_nobody_out(void **state)
{
	size_t i;

	(void)state;
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
	rig.refuse = ECONNREFUSED;
	for (i = 0; i < 3 * CONN_SOFT_MAX; i++) {
		rig_ask(i);
		if (i % 16 == 0)
			rig_pass(3);
	}
	RIG_UNTIL(rig_peer(1, 0)->ngot == i);
	assert_false(rig_up(0)->failed);
	assert_true(upstream_usable(rig_up(0)));
	/* It is asked for no more often than a failing one. */
	assert_in_range(rig.ndials, 2, 4);
	/* And answers on the old connection do not change that. */
	for (i = 0; i < 2 * CONN_SOFT_MAX; i++)
		peer_answer(rig_peer(1, 0), i);
	RIG_UNTIL(rig.nreplies == i);
	assert_true(rig_up(0)->suspect);
	assert_int_equal(rig.pool->counters[TSTAT_retries], 0);
}

static void
test_connections_that_die_together_are_one_failure(void **state)
{
	size_t i, n = 2 * CONN_SOFT_MAX;

	(void)state;
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
	for (i = 0; i < n; i++)
		rig_ask(i);
	RIG_UNTIL(rig_up(0)->nready == 2);
	for (; i < n + 20; i++)
		rig_ask(i);
	RIG_UNTIL(rig_peer(1, 1)->ngot == 20);
	RIG_UNTIL(rig_peer(1, 0)->ngot == n);
	rig.manual = true;
	peer_reset(rig.peers[0]);
	peer_reset(rig.peers[1]);
	RIG_UNTIL(rig_up(0)->nready == 0);
	assert_int_equal(rig_up(0)->n.failures[PHASE_READ], 2);
	assert_int_equal(rig_up(0)->backoff.delay_ms, UPSTREAM_BACKOFF_MIN_MS);
	assert_int_equal(rig.pool->nparked, n + 20);
	assert_int_equal(logged("warn"), 1);
}

static void
test_answer_to_no_request_is_a_violation(void **state)
{
	(void)state;
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
	assert_int_equal(upstream_on_connected(rig.pool, 2, dup(0)), -1);
	assert_int_equal(
	    upstream_on_connect_failed(rig.pool, 2, ECONNREFUSED), -1);
	/* One that was answered before may have gone with a reload. */
	assert_int_equal(upstream_on_connected(rig.pool, 1, dup(0)), 0);
	assert_int_equal(
	    upstream_on_connect_failed(rig.pool, 1, ECONNREFUSED), 0);
	assert_int_equal(rig_up(0)->nready, 1);
}

/* A lost SYN would cost a second. */
static void
test_dial_that_gets_nowhere_gets_another_beside_it(void **state)
{
	(void)state;
	rig.manual = true;
	rig_configure();
	RIG_UNTIL(rig.ndials == 1);
	rig_pass(UPSTREAM_PAUSE_MAX_MS + 100);
	/* Nobody waits. */
	assert_int_equal(rig.ndials, 1);
	rig_ask(1);
	RIG_UNTIL(rig.ndials == 2);
	rig_ask(2);
	rig_pass(UPSTREAM_PAUSE_MAX_MS / 2);
	assert_int_equal(rig.ndials, 2);
	RIG_UNTIL(rig.ndials == UPSTREAM_DIALS_MAX);
	rig_pass(UPSTREAM_PAUSE_MAX_MS + 100);
	assert_int_equal(rig.ndials, UPSTREAM_DIALS_MAX);
}

static void
test_silent_connection_gets_another_beside_it(void **state)
{
	struct peer *old = rig_peer(1, 0), *fresh;

	(void)state;
	rig_ask(1);
	RIG_UNTIL(old->ngot == 1);
	RIG_UNTIL((fresh = rig_peer(1, 1)) != NULL && rig_up(0)->nready == 2);
	rig_ask(2);
	RIG_UNTIL(fresh->ngot == 1);
	peer_answer(fresh, 0);
	RIG_UNTIL(rig_answered(2));
	/* One is enough, and the first was only slow. */
	rig_pass(2 * CONN_QUIET_MS);
	assert_int_equal(rig.ndials, 2);
	peer_answer(old, 0);
	RIG_UNTIL(rig_answered(1));
	assert_false(rig_up(0)->suspect);
	assert_int_equal(rig_up(0)->n.retries, 0);
}

/* While the path is down, whatever the back-off is. */
static void
test_dials_go_on_beside_a_silent_connection(void **state)
{
	struct peer *old = rig_peer(1, 0);
	size_t ndials;

	(void)state;
	rig.refuse = EHOSTUNREACH;
	rig_ask(1);
	RIG_UNTIL(old->ngot == 1);
	RIG_UNTIL(rig_up(0)->backoff.delay_ms > UPSTREAM_PAUSE_MAX_MS);
	ndials = rig.ndials;
	RIG_UNTIL(rig.ndials > ndials);
	rig.refuse = 0;
	RIG_UNTIL(rig_peer(1, 1) != NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_second_upstream_takes_over),
		RIG_TEST(test_parent_is_told_what_is_new),
		RIG_TEST(test_parent_that_cannot_be_told_is_told_later),
		RIG_TEST(test_no_query_finds_out_whether_it_is_back),
		RIG_TEST(test_no_dial_while_nobody_asks),
		RIG_TEST(test_query_that_lost_its_upstream_has_all_tried),
		RIG_TEST(test_all_down_parks_queries),
		RIG_TEST(test_recovery_is_noticed_quickly),
		RIG_TEST(test_parked_queries_end_with_the_cause),
		RIG_TEST(test_limit_of_the_parent_is_no_failure),
		RIG_TEST(test_limit_of_the_parent_costs_no_try),
		RIG_TEST(test_accepted_but_never_answered_is_a_failure),
		RIG_TEST(test_backoff_grows_until_an_answer),
		RIG_TEST(test_refused_extra_connection_takes_nobody_out),
		RIG_TEST(test_connections_that_die_together_are_one_failure),
		RIG_TEST(test_answer_to_no_request_is_a_violation),
		RIG_TEST(test_dial_that_gets_nowhere_gets_another_beside_it),
		RIG_TEST_ONE(test_silent_connection_gets_another_beside_it),
		RIG_TEST_ONE(test_dials_go_on_beside_a_silent_connection),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
