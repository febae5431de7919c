/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* What the operator does to upstreams: no query is lost by any of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_rig.h"

static void
change(enum msg_change what, uint64_t id)
{
	assert_true(msg_send_u8(&rig.parent, MSG_PX_CHANGE, id, (uint8_t)what));
	rig_pass(5);
}

static void
test_disabled_one_is_drained(void **state)
{
	struct peer *p = rig_peer(1, 0), *q;

	(void)state;
	(void)rig_add(2);
	rig_configure();
	RIG_UNTIL(rig_up(1)->nready == 1);
	q = rig_peer(2, 0);
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	change(CHANGE_DISABLE, 1);
	rig_ask(2);
	RIG_UNTIL(q->ngot == 1);
	assert_false(p->eof);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
	RIG_UNTIL(p->eof);
	peer_answer(q, 0);
	RIG_UNTIL(rig_answered(2));
	rig_show(SHOW_STATS);
	assert_int_equal(rig.info_ups[0].state, STATE_DISABLED);
	assert_int_equal(rig.info_ups[1].state, STATE_UP);
}

static void
test_enabled_one_is_dialled_and_asked(void **state)
{
	struct peer *p;

	(void)state;
	(void)rig_add(2);
	rig_configure();
	change(CHANGE_DISABLE, 1);
	change(CHANGE_DISABLE, 1);
	RIG_UNTIL(rig_up(0)->nconns == 0);
	change(CHANGE_ENABLE, 1);
	change(CHANGE_ENABLE, 1);
	RIG_UNTIL(rig_up(0)->nready == 1);
	rig_ask(1);
	RIG_UNTIL((p = rig_peer(1, 0)) != NULL && p->ngot == 1);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
}

/* Those that wait for its connection, in each way, go elsewhere. */
static void
test_waiting_queries_move(void **state)
{
	struct peer *q;

	(void)state;
	(void)rig_add(2);
	rig.manual = true;
	rig_configure();
	rig_ask(1);
	rig_ask_type(2, "zone.example", DNS_TYPE_AXFR);
	RIG_UNTIL(rig_up(0)->nwaiting == 1);
	rig.manual = false;
	change(CHANGE_DISABLE, 1);
	assert_int_equal(rig_up(0)->nconns, 0);
	assert_int_equal(rig_up(0)->nconnecting, 0);
	assert_int_equal(rig_up(1)->nwaiting, 1);
	/* The second one's request is still unanswered: another is made. */
	rig.refuse = 0;
	assert_true(
	    imsg_send_empty(&rig.parent, MSG_PT_CONNECTED, 2, rig_connect()));
	q = rig_accept(2);
	RIG_UNTIL(q->ngot == 1);
	peer_answer(q, 0);
	RIG_UNTIL(rig_answered(1) || rig_answered(2));
}

/* Not by a query, not by a reload, not by a look at what is idle. */
static void
test_disabled_one_is_never_dialled(void **state)
{
	size_t dials;

	(void)state;
	(void)rig_add(2);
	rig_configure();
	RIG_UNTIL(rig_up(1)->nready == 1);
	change(CHANGE_DISABLE, 1);
	dials = rig.ndials;
	rig_ask(1);
	RIG_UNTIL(rig_peer(2, 0)->ngot == 1);
	peer_reset(rig_peer(2, 0));
	RIG_UNTIL(rig_peer(2, 0) != NULL && rig_peer(2, 0)->ngot == 1);
	peer_answer(rig_peer(2, 0), 0);
	RIG_UNTIL(rig_answered(1));
	rig_pass(50);
	assert_int_equal(rig.ndials, dials + 1);
	assert_int_equal(rig_up(0)->nconns, 0);
}

/* What is in a configuration that is not in force yet comes with it. */
static void
test_reload_brings_it_along(void **state)
{
	(void)state;
	(void)rig_add(2);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PX_CONF_BEGIN, ++rig.generation, -1));
	assert_true(msg_send_pool(&rig.parent, &rig.conf));
	assert_true(
	    msg_send_file(&rig.parent, MSG_PT_CA, 0, "/ca.pem", rig_ca_file()));
	assert_true(msg_send_upstream(&rig.parent, &rig.ups[0]));
	assert_true(msg_send_upstream(&rig.parent, &rig.ups[1]));
	change(CHANGE_DISABLE, 2);
	assert_int_equal(rig_up(0)->id, 1); /* nothing has changed yet */
	assert_true(
	    imsg_send_empty(&rig.parent, MSG_PX_CONF_END, rig.generation, -1));
	RIG_UNTIL(rig.done == rig.generation && rig.done_ok);
	/* And what is said in between, too. */
	change(CHANGE_DISABLE, 1);
	assert_true(rig_up(0)->disabled);
	assert_true(msg_send_u8(&rig.parent, MSG_PT_DECIDE, rig.generation, 1));
	RIG_UNTIL(rig.pool->run == NULL);
	assert_true(rig_up(0)->disabled);
	assert_true(rig_up(1)->disabled);
	rig_pass(20);
	assert_null(rig_peer(2, 0));
}

static void
test_flush_replaces_connections(void **state)
{
	struct peer *p = rig_peer(1, 0), *q;

	(void)state;
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	change(CHANGE_FLUSH, 0);
	RIG_UNTIL((q = rig_peer(1, 1)) != NULL && rig_up(0)->nready == 1);
	rig_ask(2);
	RIG_UNTIL(q->ngot == 1);
	assert_int_equal(p->ngot, 1);
	assert_false(p->eof);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1) && p->eof);
	peer_answer(q, 0);
	RIG_UNTIL(rig_answered(2));
	assert_int_equal(rig_up(0)->n.opened, 2);
	assert_int_equal(rig_up(0)->n.resumed, 0);
}

/* What there is serves on as long as there is nothing to replace it. */
static void
test_flush_waits_for_a_new_connection(void **state)
{
	struct peer *p = rig_peer(1, 0);

	(void)state;
	rig.refuse = ECONNREFUSED;
	change(CHANGE_FLUSH, 0);
	rig_ask(1);
	RIG_UNTIL(p->ngot == 1);
	peer_answer(p, 0);
	RIG_UNTIL(rig_answered(1));
	assert_false(p->eof);
	assert_int_equal(rig_up(0)->nready, 1);
}

/* While nothing answers a dial, more of them would not help. */
static void
test_flush_again_and_again_dials_no_more(void **state)
{
	struct peer *p = rig_peer(1, 0);
	size_t i, before = rig.ndials;

	(void)state;
	rig.manual = true;
	for (i = 0; i < 20; i++)
		change(CHANGE_FLUSH, 0);
	assert_int_equal(rig.ndials, before + UPSTREAM_DIALS_MAX);
	assert_false(p->eof);
	/* The one for the first of them replaces what was there. */
	assert_true(imsg_send_empty(&rig.parent, MSG_PT_CONNECTED,
	    rig.last_request - UPSTREAM_DIALS_MAX + 1, rig_connect()));
	(void)rig_accept(1);
	rig_pass(5);
	assert_false(p->eof);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, rig.last_request, rig_connect()));
	(void)rig_accept(1);
	RIG_UNTIL(p->eof);
}

static void
test_flush_leaves_the_idle_alone(void **state)
{
	(void)state;
	(void)rig_add(2);
	rig_configure();
	RIG_UNTIL(rig_up(1)->nready == 1);
	change(CHANGE_DISABLE, 2);
	RIG_UNTIL(rig_up(1)->nconns == 0);
	change(CHANGE_FLUSH, 0);
	RIG_UNTIL(rig_up(0)->n.opened == 2 && rig_up(0)->nconns == 1);
	rig_pass(20);
	assert_null(rig_peer(2, 0));
}

static const char *why_down;

static void
on_wrong(void *arg, enum imsg_status status, const char *why)
{
	(void)arg;
	assert_int_equal(status, IMSG_VIOLATION);
	why_down = why;
}

static void
test_drain_is_not_the_pools(void **state)
{
	(void)state;
	rig.pool->parent.on_down = on_wrong;
	why_down = NULL;
	change(CHANGE_DRAIN, 0);
	RIG_UNTIL(why_down != NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST_ONE(test_disabled_one_is_drained),
		RIG_TEST_ONE(test_enabled_one_is_dialled_and_asked),
		RIG_TEST(test_waiting_queries_move),
		RIG_TEST_ONE(test_disabled_one_is_never_dialled),
		RIG_TEST_ONE(test_reload_brings_it_along),
		RIG_TEST_ONE(test_flush_replaces_connections),
		RIG_TEST_ONE(test_flush_waits_for_a_new_connection),
		RIG_TEST_ONE(test_flush_again_and_again_dials_no_more),
		RIG_TEST_ONE(test_flush_leaves_the_idle_alone),
		RIG_TEST_ONE(test_drain_is_not_the_pools),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
