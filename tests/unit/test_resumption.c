/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* Tickets: which sessions are resumed, and for how long one is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_rig.h"

/* One query there and back on whatever connection there is. */
static void
exchange(uint64_t handle)
{
	struct peer *p;
	size_t n;

	RIG_UNTIL((p = rig_peer(1, 0)) != NULL && rig_up(0)->nready == 1);
	n = p->ngot;
	rig_ask(handle);
	RIG_UNTIL(p->ngot == n + 1);
	peer_answer(p, n);
	RIG_UNTIL(rig_answered(handle));
}

static void
resume_three_times(void)
{
	int i;

	rig_configure();
	for (i = 0; i < 4; i++) {
		exchange((uint64_t)i);
		assert_int_equal(rig_up(0)->n.resumed, i);
		assert_int_equal(rig_up(0)->tickets.n, 1);
		assert_int_equal(
		    SSL_session_reused(rig_peer(1, 0)->ssl), i > 0);
		conn_close(TAILQ_FIRST(&rig_up(0)->conns));
		RIG_UNTIL(rig_peer(1, 0) == NULL);
		upstream_dial(rig_up(0), USE_MANY);
		rig_turn();
		/* A ticket is for one connection only. */
		RIG_UNTIL(rig_peer(1, 0) != NULL);
		assert_int_equal(rig_up(0)->tickets.n, 0);
	}
}

static struct conf_upstream *
pin_upstream(void)
{
	struct conf_upstream *conf = &rig.ups[0].conf;

	memcpy(conf->pins[conf->npins++], rig.pin, CONF_PIN_LEN);
	return conf;
}

static void
test_sessions_are_resumed(void **state)
{
	(void)state;
	(void)pin_upstream();
	resume_three_times();
}

static void
test_sessions_are_resumed_in_tls_1_2(void **state)
{
	(void)state;
	SSL_CTX_set_max_proto_version(rig.tls, TLS1_2_VERSION);
	resume_three_times();
}

static void
test_pin_only_in_tls_1_2(void **state)
{
	(void)state;
	SSL_CTX_set_max_proto_version(rig.tls, TLS1_2_VERSION);
	pin_upstream()->pin_only = true;
	rig.ups[0].ca = MSG_NO_CA;
	rig.nups = 1;
	resume_three_times();
}

static void
close_and_resume(bool notify, bool reset)
{
	rig_configure();
	exchange(1);
	if (reset)
		peer_reset(rig_peer(1, 0));
	else
		peer_close(rig_peer(1, 0), notify);
	RIG_UNTIL(rig_up(0)->n.closed_by_peer == 1);
	if (rig_up(0)->nconnecting == 0)
		upstream_dial(rig_up(0), USE_MANY);
	exchange(2);
	assert_int_equal(rig_up(0)->n.opened, 2);
	assert_int_equal(rig_up(0)->n.resumed, 1);
}

static void
test_resumed_after_the_peer_has_closed(void **state)
{
	(void)state;
	close_and_resume(true, false);
}

static void
test_resumed_after_a_close_without_notify(void **state)
{
	(void)state;
	close_and_resume(false, false);
}

static void
test_resumed_after_a_reset(void **state)
{
	(void)state;
	close_and_resume(false, true);
}

static void
test_old_verification_is_not_resumed(void **state)
{
	(void)state;
	rig_configure();
	exchange(1);
	assert_int_equal(rig_up(0)->tickets.n, 1);
	rig_up(0)->tickets.stack[0].verified_ms -= SESSION_UNVERIFIED_MAX_MS;
	conn_close(TAILQ_FIRST(&rig_up(0)->conns));
	upstream_dial(rig_up(0), USE_MANY);
	exchange(2);
	assert_int_equal(rig_up(0)->n.opened, 2);
	assert_int_equal(rig_up(0)->n.resumed, 0);
}

/* The clock of tickets stands still in a sleep, a certificate's does not. */
static void
test_sleep_is_no_time_for_a_verification_to_last(void **state)
{
	(void)state;
	rig_configure();
	exchange(1);
	assert_int_equal(rig_up(0)->tickets.n, 1);
	rig.pool->asleep_ms -= SESSION_UNVERIFIED_MAX_MS;
	rig_turn();
	RIG_UNTIL(rig_peer(1, 0) == NULL);
	rig_ask(2);
	RIG_UNTIL(rig_up(0)->nready == 1);
	assert_int_equal(rig_up(0)->n.opened, 2);
	assert_int_equal(rig_up(0)->n.resumed, 0);
}

/* Nor of what was under way when the machine fell asleep. */
static void
test_sleep_drops_the_ticket_of_a_dial(void **state)
{
	(void)state;
	rig_configure();
	exchange(1);
	rig.manual = true;
	upstream_dial(rig_up(0), USE_MANY);
	RIG_UNTIL(rig.ndials == 2);
	assert_int_equal(rig_up(0)->tickets.n, 0);
	rig.pool->asleep_ms -= SESSION_UNVERIFIED_MAX_MS;
	rig_turn();
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, rig.last_request, rig_connect()));
	(void)rig_accept(1);
	RIG_UNTIL(rig_up(0)->nready == 1);
	assert_int_equal(rig_up(0)->n.opened, 2);
	assert_int_equal(rig_up(0)->n.resumed, 0);
}

/* Resuming for ever would mean to verify once. */
static void
test_resumption_does_not_renew_verification(void **state)
{
	uint64_t verified_ms;

	(void)state;
	rig_configure();
	exchange(1);
	rig_up(0)->tickets.stack[0].verified_ms -= 1000;
	verified_ms = rig_up(0)->tickets.stack[0].verified_ms;
	conn_close(TAILQ_FIRST(&rig_up(0)->conns));
	upstream_dial(rig_up(0), USE_MANY);
	exchange(2);
	assert_int_equal(rig_up(0)->n.resumed, 1);
	assert_int_equal(rig_up(0)->tickets.stack[0].verified_ms, verified_ms);
}

static void
test_reload_forgets_tickets(void **state)
{
	(void)state;
	rig_configure();
	exchange(1);
	assert_int_equal(rig_up(0)->tickets.n, 1);
	rig_configure();
	assert_int_equal(rig_up(0)->tickets.n, 0);
}

/* Who was verified by the old CA file is no voucher after a reload. */
static void
test_reload_keeps_no_ticket_of_connections_from_before(void **state)
{
	(void)state;
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
	rig_configure();
	exchange(1);
	assert_int_equal(rig_up(0)->tickets.n, 0);
	conn_close(TAILQ_FIRST(&rig_up(0)->conns));
	assert_int_equal(rig_up(0)->tickets.n, 0);
	upstream_dial(rig_up(0), false);
	exchange(2);
	assert_int_equal(rig_up(0)->n.resumed, 0);
	assert_int_equal(rig_up(0)->tickets.n, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_sessions_are_resumed),
		RIG_TEST(test_sessions_are_resumed_in_tls_1_2),
		RIG_TEST(test_pin_only_in_tls_1_2),
		RIG_TEST(test_resumed_after_the_peer_has_closed),
		RIG_TEST(test_resumed_after_a_close_without_notify),
		RIG_TEST(test_resumed_after_a_reset),
		RIG_TEST(test_old_verification_is_not_resumed),
		RIG_TEST(test_sleep_is_no_time_for_a_verification_to_last),
		RIG_TEST(test_sleep_drops_the_ticket_of_a_dial),
		RIG_TEST(test_resumption_does_not_renew_verification),
		RIG_TEST(test_reload_forgets_tickets),
		RIG_TEST(
		    test_reload_keeps_no_ticket_of_connections_from_before),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
