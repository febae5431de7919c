/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core */
/* What changes something, by the control socket: passed on, one at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/listener_ctl.h"

static void
ctl_change(uint8_t change, const char *upstream)
{
	struct msg_request r = { .change = change };

	(void)snprintf(r.upstream, sizeof(r.upstream), "%s", upstream);
	ctl.ended = false;
	assert_true(msg_send_request(&ctl.chan, 5, &r));
	ctl_turn();
	ctl_turn();
}

static void
test_reload(void **state)
{
	(void)state;
	assert_true(imsg_send_empty(&ctl.chan, MSG_CL_RELOAD, 5, -1));
	ctl_until(rig.nasked_parent == 1);
	assert_int_equal(rig.asked_parent, MSG_LP_RELOAD);
	rig_run_ms(50);
	assert_false(ctl.ended);
	says_end(&rig.parent, rig.asked_parent_id, false, "line 3: syntax");
	ctl_until(ctl.ended);
	assert_false(ctl.end.ok);
	assert_string_equal(ctl.end.text, "line 3: syntax");
	assert_int_equal(ctl.end_id, 5);
}

static void
test_log_level(void **state)
{
	(void)state;
	assert_true(
	    msg_send_u8(&ctl.chan, MSG_CL_LOG_LEVEL, 5, LOG_LEVEL_DEBUG));
	ctl_until(rig.nasked_parent == 1);
	assert_int_equal(rig.asked_parent, MSG_LP_LOG_LEVEL);
	assert_int_equal(rig.asked_parent_value, LOG_LEVEL_DEBUG);
	says_end(&rig.parent, rig.asked_parent_id, true, NULL);
	ctl_until(ctl.ended);
	assert_true(ctl.end.ok);
	/* That alone changes nothing; the parent says so to all. */
	assert_int_equal(log_get_level(), LOG_LEVEL_FATAL);
	assert_true(
	    msg_send_u8(&rig.parent, MSG_PX_LOG_LEVEL, 0, LOG_LEVEL_WARN));
	rig_settle();
	assert_int_equal(log_get_level(), LOG_LEVEL_WARN);
}

static void
test_one_change_at_a_time(void **state)
{
	struct imsg_chan first;
	uint64_t first_id;

	(void)state;
	assert_true(imsg_send_empty(&ctl.chan, MSG_CL_RELOAD, 1, -1));
	ctl_until(rig.nasked_parent == 1);
	first_id = rig.asked_parent_id;
	first = ctl.chan;
	ctl_open();
	assert_true(imsg_send_empty(&ctl.chan, MSG_CL_RELOAD, 2, -1));
	ctl_until(ctl.ended);
	assert_false(ctl.end.ok);
	assert_int_equal(rig.nasked_parent, 1);
	/* It does not end with the client that asked. */
	imsg_close(&first);
	rig_settle();
	ctl.ended = false;
	assert_true(msg_send_u8(&ctl.chan, MSG_CL_LOG_LEVEL, 3, 1));
	ctl_until(ctl.ended);
	assert_false(ctl.end.ok);
	/* It ends with the answer. */
	says_end(&rig.parent, first_id, true, NULL);
	rig_settle();
	ctl.ended = false;
	assert_true(imsg_send_empty(&ctl.chan, MSG_CL_RELOAD, 4, -1));
	ctl_until(rig.nasked_parent == 2);
}

/* The parent gets a number, never the text. */
static void
test_change_names_upstream_by_number(void **state)
{
	(void)state;
	rig_conf_begin();
	rig_send_allow("127.0.0.0", 8);
	rig_send_listen(RIG_UDP_ID, false, &rig.udp_addr, -1);
	rig_send_listen(RIG_TCP_ID, true, &rig.tcp_addr, -1);
	assert_true(msg_send_upstream_name(&rig.parent, 3, "quad9"));
	rig_conf_end();
	ctl_change(CHANGE_DISABLE, "quad9");
	ctl_until(rig.nasked_parent == 1);
	assert_int_equal(rig.asked_parent, MSG_LP_CHANGE);
	assert_int_equal(rig.asked_parent_value, CHANGE_DISABLE);
	assert_false(ctl.ended);
	says_end(&rig.parent, rig.asked_parent_id, false, "not now");
	ctl_until(ctl.ended);
	assert_false(ctl.end.ok);
	assert_string_equal(ctl.end.text, "not now");
	ctl_change(CHANGE_DISABLE, "quad");
	ctl_until(ctl.ended);
	assert_string_equal(ctl.end.text, "no such upstream");
	assert_int_equal(rig.nasked_parent, 1);
	/* That was no change under way. */
	ctl_change(CHANGE_FLUSH, "");
	ctl_until(rig.nasked_parent == 2);
	says_end(&rig.parent, rig.asked_parent_id, true, NULL);
	ctl_until(ctl.ended);
	assert_true(ctl.end.ok);
}

static void
test_draining_is_told(void **state)
{
	(void)state;
	ctl_show(SHOW_STATS, 1);
	ctl_until(ctl.nlistener == 1);
	assert_int_equal(ctl.draining, 0);
	says_end(&rig.pool, rig.asked_pool_id, true, NULL);
	ctl_until(ctl.ended);
	assert_true(msg_send_u8(&rig.parent, MSG_PX_CHANGE, 0, CHANGE_DRAIN));
	rig_settle();
	ctl_show(SHOW_STATS, 2);
	ctl_until(ctl.nlistener == 2);
	assert_int_equal(ctl.draining, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CTL_TEST(test_reload),
		CTL_TEST(test_log_level),
		CTL_TEST(test_one_change_at_a_time),
		CTL_TEST(test_change_names_upstream_by_number),
		CTL_TEST(test_draining_is_told),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
