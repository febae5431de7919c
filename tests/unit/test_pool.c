/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* The channels: what a listener that was taken over can do, and the parent. */
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

/* The link breaks, the parent is told, and a new one works. */
static void
expect_broken_link(void)
{
	RIG_UNTIL(rig.links_down == 1);
	assert_int_equal(rig.link_down_id, 1);
	assert_int_equal(rig.pool->link.fd, -1);
	assert_non_null(strstr(rig.log, "listener broke the protocol"));
	rig_link(7);
	rig_ask(1);
	RIG_UNTIL(rig_peer(1, 0)->ngot == 1);
	peer_answer(rig_peer(1, 0), 0);
	RIG_UNTIL(rig_answered(1));
	imsg_close(&rig.link);
	RIG_UNTIL(rig.links_down == 2);
	assert_int_equal(rig.link_down_id, 7);
}

static void
test_every_other_message_of_the_listener_is_refused(void **state)
{
	uint16_t type;

	(void)state;
	for (type = 0; type < IMSG_TYPES_MAX; type++) {
		if (type == MSG_LT_QUERY || type == MSG_LT_CANCEL ||
		    type == MSG_LT_SHOW)
			continue;
		assert_true(imsg_send_empty(&rig.link, type, 1, -1));
		RIG_UNTIL(rig.links_down > 0);
		rig.links_down = 0;
		rig_link(1);
	}
	rig_ask(1);
	RIG_UNTIL(rig_peer(1, 0)->ngot == 1);
}

static void
test_short_query_breaks_the_link(void **state)
{
	struct wire_writer w;

	(void)state;
	assert_true(imsg_begin(&rig.link, &w, 64));
	wire_put_u32(&w, 4000);
	wire_put_bytes(&w, "12345678901", DNS_HDR_LEN - 1);
	assert_true(imsg_commit(&rig.link, &w, MSG_LT_QUERY, 1, -1));
	expect_broken_link();
}

static void
test_long_query_breaks_the_link(void **state)
{
	static uint8_t buf[DNS_MSG_MAX + 1];
	struct wire_writer w;

	(void)state;
	assert_true(imsg_begin(&rig.link, &w, sizeof(buf) + 4));
	wire_put_u32(&w, 4000);
	wire_put_bytes(&w, buf, sizeof(buf));
	assert_true(imsg_commit(&rig.link, &w, MSG_LT_QUERY, 1, -1));
	expect_broken_link();
}

static void
test_unknown_show_breaks_the_link(void **state)
{
	(void)state;
	assert_true(msg_send_u8(&rig.link, MSG_LT_SHOW, 1, SHOW_COUNT));
	expect_broken_link();
}

static void
test_show_of_the_parents_breaks_the_link(void **state)
{
	(void)state;
	assert_true(msg_send_u8(&rig.link, MSG_LT_SHOW, 1, SHOW_CONFIG));
	expect_broken_link();
}

static void
test_flood_of_the_listener_is_served_or_refused(void **state)
{
	struct peer *p = rig_peer(1, 0);
	size_t i, n = 20000;

	(void)state;
	rig.conf.max_inflight = 100;
	rig_configure();
	for (i = 0; i < n; i++)
		rig_ask(i);
	RIG_UNTIL(rig.nreplies == n - 100);
	assert_int_equal(rig.pool->counters[TSTAT_failed_busy], n - 100);
	RIG_UNTIL(p->ngot == 100);
	assert_int_equal(rig.pool->queries.touched, 100);
}

static void
test_flood_of_long_queries_has_a_limit(void **state)
{
	static uint8_t wire[DNS_MSG_MAX];
	static struct pkt pkt;
	size_t i, n = 2000, held;

	(void)state;
	rig_peer(1, 0)->deaf = true;
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, "www.example", 1);
	memcpy(wire, pkt.buf, pkt.w.pos);
	for (i = 0; i < n; i++)
		rig_ask_wire(i, 60000, wire, sizeof(wire));
	held = QUERY_LONG_BYTES / DNS_MSG_MAX;
	RIG_UNTIL(rig.nreplies == n - held);
	assert_int_equal(rig.pool->queries.used, held);
	assert_true(rig_failed(n - 1, CAUSE_BUSY));
}

static void
test_closed_link_is_no_violation(void **state)
{
	(void)state;
	imsg_close(&rig.link);
	RIG_UNTIL(rig.links_down == 1);
	assert_string_equal(rig.log, "");
}

static void
test_log_level_is_the_parents(void **state)
{
	(void)state;
	assert_true(
	    msg_send_u8(&rig.parent, MSG_PX_LOG_LEVEL, 0, LOG_LEVEL_DEBUG));
	RIG_UNTIL(log_get_level() == LOG_LEVEL_DEBUG);
}

static void
test_ping_is_answered(void **state)
{
	(void)state;
	assert_true(imsg_send_empty(&rig.parent, MSG_PX_PING, 0, -1));
	assert_true(imsg_send_empty(&rig.parent, MSG_PX_PING, 0, -1));
	RIG_UNTIL(rig.pongs == 2);
}

/* A message that the pool must not accept from the parent. */
static void
expect_parent_refused(void)
{
	rig.pool->parent.on_down = parent_is_wrong;
	parent_why = NULL;
	RIG_UNTIL(parent_why != NULL);
}

static void
test_parent_answers_what_was_not_asked(void **state)
{
	(void)state;
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, 12345, rig_connect()));
	expect_parent_refused();
}

static void
test_parent_sends_connection_without_socket(void **state)
{
	(void)state;
	assert_true(imsg_send_empty(&rig.parent, MSG_PT_CONNECTED, 1, -1));
	expect_parent_refused();
	assert_string_equal(parent_why, "descriptor missing");
}

static void
test_parent_sends_items_without_begin(void **state)
{
	(void)state;
	assert_true(msg_send_upstream(&rig.parent, &rig.ups[0]));
	expect_parent_refused();
	assert_string_equal(parent_why, "message not accepted in this phase");
}

static void
test_parent_sends_a_listeners_message(void **state)
{
	(void)state;
	assert_true(
	    imsg_send_empty(&rig.parent, MSG_PL_CONTROL, 0, dup(rig.fd)));
	expect_parent_refused();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST_ONE(
		    test_every_other_message_of_the_listener_is_refused),
		RIG_TEST_ONE(test_short_query_breaks_the_link),
		RIG_TEST_ONE(test_long_query_breaks_the_link),
		RIG_TEST_ONE(test_unknown_show_breaks_the_link),
		RIG_TEST_ONE(test_show_of_the_parents_breaks_the_link),
		RIG_TEST_ONE(test_flood_of_the_listener_is_served_or_refused),
		RIG_TEST_ONE(test_flood_of_long_queries_has_a_limit),
		RIG_TEST_ONE(test_closed_link_is_no_violation),
		RIG_TEST_ONE(test_log_level_is_the_parents),
		RIG_TEST_ONE(test_ping_is_answered),
		RIG_TEST_ONE(test_parent_answers_what_was_not_asked),
		RIG_TEST_ONE(test_parent_sends_connection_without_socket),
		RIG_TEST_ONE(test_parent_sends_items_without_begin),
		RIG_TEST_ONE(test_parent_sends_a_listeners_message),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
