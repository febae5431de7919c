/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* The configuration: swapped in whole or not at all, connections kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_rig.h"

static const char *parent_why;

static void
parent_is_wrong(void *arg, enum imsg_status status, const char *why)
{
	(void)arg;
	assert_int_equal(status, IMSG_VIOLATION);
	parent_why = why;
}

/* What was sent last must be refused. */
static void
expect_refused(void)
{
	rig.pool->parent.on_down = parent_is_wrong;
	parent_why = NULL;
	RIG_UNTIL(parent_why != NULL);
}

static void
begin(void)
{
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PX_CONF_BEGIN, ++rig.generation, -1));
}

static void
end(void)
{
	assert_true(
	    imsg_send_empty(&rig.parent, MSG_PX_CONF_END, rig.generation, -1));
}

static void
ca(uint64_t index)
{
	assert_true(msg_send_file(
	    &rig.parent, MSG_PT_CA, index, "/ca.pem", rig_ca_file()));
}

static void
test_every_upstream_is_dialled_at_the_start(void **state)
{
	(void)state;
	(void)rig_add(2);
	(void)rig_add(3);
	rig_configure();
	assert_int_equal(rig.pool->nupstreams, 3);
	RIG_UNTIL(rig_peer(1, 0) && rig_peer(2, 0) && rig_peer(3, 0));
	assert_int_equal(rig.ndials, 3);
	assert_string_equal(rig.log, "");
}

static void
test_reload_keeps_connections_and_queries(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	(void)rig_add(2);
	rig.ups[0].conf.pool_size = 3;
	rig.ups[0].conf.read_timeout_ms = 1234;
	rig_configure();
	assert_int_equal(rig_up(0)->conf.pool_size, 3);
	assert_int_equal(rig_up(0)->conf.read_timeout_ms, 1234);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
	assert_int_equal(rig_up(0)->n.answers, 1);
	RIG_UNTIL(rig_peer(2, 0) != NULL);
	assert_int_equal(rig_up(0)->n.opened, 1);
}

static void
test_order_may_change(void **state)
{
	struct peer *p = rig_peer(1, 0), *q;
	struct msg_upstream first = rig.ups[0];

	(void)state;
	(void)rig_add(2);
	rig.ups[0] = rig.ups[1];
	rig.ups[1] = first;
	rig_configure();
	assert_int_equal(rig_up(0)->id, 2);
	assert_int_equal(rig_up(1)->id, 1);
	assert_int_equal(rig_up(1)->index, 1);
	rig_ask(1);
	RIG_UNTIL((q = rig_peer(2, 0)) != NULL && q->ngot == 1);
	assert_int_equal(p->ngot, 0);
	assert_int_equal(rig_up(1)->n.opened, 1);
}

static void
test_upstream_that_is_gone_is_drained(void **state)
{
	struct peer *p = rig_peer(1, 0), *q;

	(void)state;
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	rig.nups = 0;
	(void)rig_add(2);
	rig_configure();
	rig_ask(2);
	RIG_UNTIL((q = rig_peer(2, 0)) != NULL && q->ngot == 1);
	assert_int_equal(p->ngot, 1);
	assert_false(p->eof);
	/* It may still answer what it has, and then it goes. */
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
	RIG_UNTIL(p->eof);
	assert_true(TAILQ_EMPTY(&rig.pool->gone));
	peer_answer(q, 0);
	RIG_UNTIL(rig_answered(2));
}

static void
test_drained_upstream_that_dies_loses_nothing(void **state)
{
	struct peer *p = rig_peer(1, 0), *q;

	(void)state;
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	rig.nups = 0;
	(void)rig_add(2);
	rig_configure();
	peer_reset(p);
	RIG_UNTIL((q = rig_peer(2, 0)) != NULL && q->ngot == 1);
	peer_answer(q, 0);
	RIG_UNTIL(rig_answered(1));
	assert_true(TAILQ_EMPTY(&rig.pool->gone));
}

static void
test_waiting_queries_move_from_one_that_is_gone(void **state)
{
	struct peer *q;

	(void)state;
	rig.manual = true;
	rig_configure();
	rig_ask(1);
	rig_ask_type(2, "zone.example", DNS_TYPE_AXFR);
	RIG_UNTIL(rig_up(0)->nwaiting == 1);
	rig.manual = false;
	rig.nups = 0;
	(void)rig_add(2);
	rig_configure();
	RIG_UNTIL((q = rig_peer(2, 0)) != NULL && q->ngot == 1);
	assert_true(TAILQ_EMPTY(&rig.pool->gone));
	RIG_UNTIL((q = rig_peer(2, 1)) != NULL && q->ngot == 1);
	/* The socket that was asked for comes too late, and is closed. */
	assert_true(
	    imsg_send_empty(&rig.parent, MSG_PT_CONNECTED, 1, rig_connect()));
	q = rig_accept(1);
	RIG_UNTIL(q->eof);
}

static void
test_new_timeouts_hold_for_old_connections(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig.ups[0].conf.stale_timeout_ms = 50;
	rig_configure();
	RIG_UNTIL(p->eof);
}

static void
test_bad_ca_changes_nothing(void **state)
{
	struct peer *p = rig_peer(1, 0);
	int good = rig.ca_fd;

	(void)state;
	rig.ca_fd = rig_file("no certificate", 14);
	rig.ups[0].conf.pool_size = 5;
	rig.conf.forward.retries = 3;
	rig_send_conf();
	assert_false(rig.done_ok);
	assert_string_equal(rig.done_text,
	    "t.conf:1: upstream \"up1\": ca file /ca.pem: "
	    "no usable certificate");
	assert_int_equal(rig_up(0)->conf.pool_size, 8);
	assert_int_equal(rig.pool->forward.retries, 16);
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	close(rig.ca_fd);
	rig.ca_fd = good;
	rig_configure();
	assert_int_equal(rig_up(0)->conf.pool_size, 5);
}

static void
test_each_upstream_has_its_own_ca(void **state)
{
	X509 *old = rig.ca;
	struct msg_upstream *two = rig_add(2);

	(void)state;
	X509_up_ref(old);
	begin();
	assert_true(msg_send_pool(&rig.parent, &rig.conf));
	ca(0);
	rig_new_ca();
	rig_leaf("dot.test", -RIG_DAY, RIG_DAY);
	ca(1);
	two->ca = 1;
	assert_true(msg_send_upstream(&rig.parent, &rig.ups[0]));
	assert_true(msg_send_upstream(&rig.parent, &rig.ups[1]));
	end();
	RIG_UNTIL(rig.done == rig.generation && rig.done_ok);
	assert_true(msg_send_u8(&rig.parent, MSG_PT_DECIDE, rig.generation, 1));
	RIG_UNTIL(rig.pool->run == NULL);
	/* Both have the new certificate; the first trusts the old CA. */
	RIG_UNTIL(rig_up(1)->nready == 1);
	RIG_UNTIL(rig_up(0)->n.failures[PHASE_VERIFY] == 1);
	X509_free(old);
}

/* Sends the same, with another CA, that has not signed what upstreams show. */
static void
trust_another_ca(void)
{
	close(rig.ca_fd);
	rig_new_ca();
	rig.ca_fd = rig_ca_file();
	rig_configure();
}

static void
test_session_of_a_sleeper_trusts_the_new_ca(void **state)
{
	(void)state;
	rig.ups[0].conf.keep_warm_ms = 0;
	rig.ups[0].conf.stale_timeout_ms = 50;
	rig_configure();
	RIG_UNTIL(rig_up(0)->spare.tls != NULL);
	trust_another_ca();
	assert_null(rig_up(0)->spare.tls);
	rig_ask(1);
	RIG_UNTIL(rig_up(0)->n.failures[PHASE_VERIFY] == 1);
	assert_int_equal(rig_up(0)->n.opened, 1);
}

static void
test_session_that_waits_for_its_socket_trusts_the_new_ca(void **state)
{
	(void)state;
	rig.manual = true;
	rig_configure();
	RIG_UNTIL(rig.ndials == 1);
	assert_true(TAILQ_FIRST(&rig_up(0)->conns)->pending_len > 0);
	trust_another_ca();
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, rig.last_request, rig_connect()));
	(void)rig_accept(1);
	RIG_UNTIL(rig_up(0)->n.failures[PHASE_VERIFY] == 1);
	assert_int_equal(rig_up(0)->n.opened, 0);
}

static void
test_sixty_four_upstreams(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 2; i <= CONF_UPSTREAMS_MAX; i++)
		(void)rig_add(i);
	rig_configure();
	RIG_UNTIL(rig_up(CONF_UPSTREAMS_MAX - 1)->nready == 1);
	rig.conf.forward.policy = POLICY_ROUND_ROBIN;
	rig_configure();
	for (i = 1; i <= CONF_UPSTREAMS_MAX; i++) {
		RIG_UNTIL(rig_peer(i, 0) != NULL);
		rig_ask(i);
	}
	for (i = 1; i <= CONF_UPSTREAMS_MAX; i++)
		RIG_UNTIL(rig_peer(i, 0)->ngot == 1);
}

static void
test_reload_does_not_flood_a_new_upstream(void **state)
{
	size_t i;

	(void)state;
	rig.conf.forward.policy = POLICY_HISTORICAL;
	rig_configure();
	for (i = 0; i < 50; i++)
		rig_ask(i);
	RIG_UNTIL(rig_peer(1, 0)->ngot == 50);
	(void)rig_add(2);
	rig_configure();
	RIG_UNTIL(rig_peer(2, 0) != NULL);
	for (; i < 100; i++)
		rig_ask(i);
	RIG_UNTIL(rig_peer(1, 0)->ngot + rig_peer(2, 0)->ngot == 100);
	assert_int_equal(rig_peer(1, 0)->ngot, 75);
}

static void
test_reloads_leave_nothing_behind(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < 50; i++) {
		rig.ups[0].id = 100 + i;
		rig_configure();
		RIG_UNTIL(rig_up(0)->nready == 1);
		assert_int_equal(rig.pool->nupstreams, 1);
	}
	RIG_UNTIL(TAILQ_EMPTY(&rig.pool->gone));
	assert_true(TAILQ_EMPTY(&rig.pool->asked));
	assert_null(rig.pool->run);
}

static void
test_upstream_twice_is_refused(void **state)
{
	(void)state;
	begin();
	assert_true(msg_send_pool(&rig.parent, &rig.conf));
	ca(0);
	assert_true(msg_send_upstream(&rig.parent, &rig.ups[0]));
	assert_true(msg_send_upstream(&rig.parent, &rig.ups[0]));
	expect_refused();
}

static void
test_upstream_without_ca_is_refused(void **state)
{
	(void)state;
	begin();
	assert_true(msg_send_pool(&rig.parent, &rig.conf));
	ca(0);
	rig.ups[0].ca = 1;
	assert_true(msg_send_upstream(&rig.parent, &rig.ups[0]));
	expect_refused();
}

static void
test_ca_out_of_order_is_refused(void **state)
{
	(void)state;
	begin();
	ca(1);
	expect_refused();
}

static void
test_no_upstream_is_refused(void **state)
{
	(void)state;
	begin();
	assert_true(msg_send_pool(&rig.parent, &rig.conf));
	ca(0);
	end();
	expect_refused();
}

static void
test_no_pool_is_refused(void **state)
{
	(void)state;
	begin();
	ca(0);
	assert_true(msg_send_upstream(&rig.parent, &rig.ups[0]));
	end();
	expect_refused();
}

static void
test_end_of_another_run_is_refused(void **state)
{
	(void)state;
	begin();
	assert_true(msg_send_pool(&rig.parent, &rig.conf));
	ca(0);
	assert_true(msg_send_upstream(&rig.parent, &rig.ups[0]));
	rig.generation++;
	end();
	expect_refused();
}

static void
test_two_runs_at_once_are_refused(void **state)
{
	(void)state;
	begin();
	begin();
	expect_refused();
}

static void
test_nothing_changes_before_it_is_decided(void **state)
{
	(void)state;
	rig.undecided = true;
	(void)rig_add(2);
	rig.ups[0].conf.pool_size = 3;
	rig_configure(); /* is accepted */
	assert_int_equal(rig.pool->nupstreams, 1);
	assert_int_not_equal(rig_up(0)->conf.pool_size, 3);
	assert_true(msg_send_u8(&rig.parent, MSG_PT_DECIDE, rig.generation, 1));
	RIG_UNTIL(rig.pool->nupstreams == 2);
	assert_int_equal(rig_up(0)->conf.pool_size, 3);
	assert_null(rig.pool->run);
}

static void
test_what_is_decided_against_is_forgotten(void **state)
{
	(void)state;
	rig.undecided = true;
	(void)rig_add(2);
	rig_configure();
	/* Of another one this says nothing. */
	assert_true(
	    msg_send_u8(&rig.parent, MSG_PT_DECIDE, rig.generation - 1, 1));
	assert_true(msg_send_u8(&rig.parent, MSG_PT_DECIDE, rig.generation, 0));
	RIG_UNTIL(rig.pool->run == NULL);
	assert_int_equal(rig.pool->nupstreams, 1);
	/* It is too late, and not wrong. */
	assert_true(msg_send_u8(&rig.parent, MSG_PT_DECIDE, rig.generation, 1));
	rig.undecided = false;
	rig.conf.max_inflight = 77;
	rig_configure();
	assert_int_equal(rig.pool->nupstreams, 2);
}

static void
test_undecided_run_makes_room_for_the_next(void **state)
{
	(void)state;
	rig.undecided = true;
	(void)rig_add(2);
	rig_configure();
	rig.undecided = false;
	(void)rig_add(3);
	rig_configure();
	assert_int_equal(rig.pool->nupstreams, 3);
}

static void
test_refused_run_cannot_be_decided_for(void **state)
{
	(void)state;
	begin();
	assert_true(msg_send_pool(&rig.parent, &rig.conf));
	assert_true(msg_send_file(
	    &rig.parent, MSG_PT_CA, 0, "/ca.pem", open("/dev/null", O_RDONLY)));
	rig.ups[0].conf.pool_size = 3;
	assert_true(msg_send_upstream(&rig.parent, &rig.ups[0]));
	end();
	assert_true(msg_send_u8(&rig.parent, MSG_PT_DECIDE, rig.generation, 1));
	RIG_UNTIL(rig.done == rig.generation);
	assert_false(rig.done_ok);
	assert_int_not_equal(rig_up(0)->conf.pool_size, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_every_upstream_is_dialled_at_the_start),
		RIG_TEST_ONE(test_reload_keeps_connections_and_queries),
		RIG_TEST_ONE(test_order_may_change),
		RIG_TEST_ONE(test_upstream_that_is_gone_is_drained),
		RIG_TEST_ONE(test_drained_upstream_that_dies_loses_nothing),
		RIG_TEST(test_waiting_queries_move_from_one_that_is_gone),
		RIG_TEST_ONE(test_new_timeouts_hold_for_old_connections),
		RIG_TEST_ONE(test_bad_ca_changes_nothing),
		RIG_TEST(test_each_upstream_has_its_own_ca),
		RIG_TEST(test_session_of_a_sleeper_trusts_the_new_ca),
		RIG_TEST(
		    test_session_that_waits_for_its_socket_trusts_the_new_ca),
		RIG_TEST(test_sixty_four_upstreams),
		RIG_TEST_ONE(test_nothing_changes_before_it_is_decided),
		RIG_TEST_ONE(test_what_is_decided_against_is_forgotten),
		RIG_TEST_ONE(test_undecided_run_makes_room_for_the_next),
		RIG_TEST_ONE(test_refused_run_cannot_be_decided_for),
		RIG_TEST_ONE(test_reload_does_not_flood_a_new_upstream),
		RIG_TEST_ONE(test_reloads_leave_nothing_behind),
		RIG_TEST(test_upstream_twice_is_refused),
		RIG_TEST(test_upstream_without_ca_is_refused),
		RIG_TEST(test_ca_out_of_order_is_refused),
		RIG_TEST(test_no_upstream_is_refused),
		RIG_TEST(test_no_pool_is_refused),
		RIG_TEST(test_end_of_another_run_is_refused),
		RIG_TEST(test_two_runs_at_once_are_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
