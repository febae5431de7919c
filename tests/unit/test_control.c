/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core */
/* The control socket: who is asked, what is passed on, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/listener_ctl.h"

/* What the pool and the parent answer in these tests. */
static void
pool_says_pool(uint64_t id)
{
	struct info_pool p = { .nupstreams = 1 };

	assert_true(msg_send_info_pool(&rig.pool, id, &p));
}

static void
parent_says_process(uint64_t id)
{
	struct info_process p = { .role = ROLE_PARENT, .pid = 1 };

	assert_true(msg_send_info_process(&rig.parent, id, &p));
}

static void
test_summary_asks_everybody(void **state)
{
	(void)state;
	ctl_show(SHOW_SUMMARY, 4711);
	ctl_until(rig.nasked_pool == 1 && rig.nasked_parent == 1);
	assert_int_equal(rig.asked_pool, SHOW_SUMMARY);
	assert_int_equal(rig.asked_parent, MSG_LP_PROCESSES);
	/* A name of our own, not the client's. */
	assert_int_not_equal(rig.asked_pool_id, 4711);
	assert_int_not_equal(rig.asked_parent_id, 4711);
	parent_says_process(rig.asked_parent_id);
	says_end(&rig.parent, rig.asked_parent_id, true, NULL);
	ctl_until(ctl.n == 2);
	assert_false(ctl.ended);
	pool_says_pool(rig.asked_pool_id);
	says_end(&rig.pool, rig.asked_pool_id, true, NULL);
	ctl_until(ctl.ended);
	assert_true(ctl.end.ok);
	assert_int_equal(ctl.end_id, 4711);
	assert_int_equal(ctl.n, 3);
	assert_int_equal(ctl.types[0], MSG_INFO_COUNTERS);
	assert_int_equal(ctl.types[1], MSG_INFO_PROCESS);
	assert_int_equal(ctl.types[2], MSG_INFO_POOL);
	assert_int_equal(ctl.ids[0], 4711);
	assert_int_equal(ctl.ids[2], 4711);
	assert_int_equal(ctl.counters.source, SOURCE_LISTENER);
	assert_int_equal(ctl.counters.n, LSTAT_COUNT);
}

static void
test_who_is_asked_what(void **state)
{
	static const struct {
		bool counters, pool;
		size_t hists; /* six, and the last minute of two */
		uint16_t parent;
	} want[SHOW_COUNT] = {
		[SHOW_SUMMARY] = { true, true, 0, MSG_LP_PROCESSES },
		[SHOW_POOL] = { false, true, 0, 0 },
		[SHOW_STATS] = { true, true, 0, 0 },
		[SHOW_PROCESSES] = { false, false, 0, MSG_LP_PROCESSES },
		[SHOW_PINS] = { false, true, 0, 0 },
		[SHOW_ERRORS] = { true, true, 0, 0 },
		[SHOW_CLIENTS] = { false, false, 0, 0 },
		[SHOW_LATENCY] = { true, true, 8, 0 },
		[SHOW_CONFIG] = { false, false, 0, MSG_LP_CONFIG },
		[SHOW_ALL] = { true, true, 8, MSG_LP_PROCESSES },
	};
	uint8_t what;
	size_t npool, nparent;

	(void)state;
	for (what = 0; what < SHOW_COUNT; what++) {
		npool = rig.nasked_pool;
		nparent = rig.nasked_parent;
		ctl_show(what, what);
		rig_settle();
		assert_int_equal(rig.nasked_pool - npool, want[what].pool);
		assert_int_equal(
		    rig.nasked_parent - nparent, want[what].parent != 0);
		if (want[what].pool) {
			assert_int_equal(rig.asked_pool, what);
			says_end(&rig.pool, rig.asked_pool_id, true, NULL);
		}
		if (want[what].parent != 0) {
			assert_int_equal(rig.asked_parent, want[what].parent);
			says_end(&rig.parent, rig.asked_parent_id, true, NULL);
		}
		ctl_until(ctl.ended);
		/* Nobody counts clients who was not told to. */
		assert_int_equal(ctl.end.ok, what != SHOW_CLIENTS);
		assert_int_equal(ctl.n, want[what].counters + want[what].hists);
	}
}

static void
test_counters_are_true(void **state)
{
	static struct pkt pkt;
	int fd = rig_udp_client(&rig.udp_addr);
	static uint8_t buf[512];
	struct rig_query q;

	(void)state;
	q = *rig_ask(fd, 1, "www.example", 0);
	rig_answer(&q, 0);
	(void)rig_recv(fd, buf, sizeof(buf));
	(void)rig_ask(fd, 2, "www.example", 0);
	rig_make_query(&pkt, 3, "www.example", 0);
	pkt.buf[2] |= 0x80;
	rig_send(fd, &pkt);
	rig_settle();
	ctl_show(SHOW_STATS, 1);
	ctl_until(ctl.n == 1);
	assert_int_equal(ctl.counters.values[LSTAT_queries_udp], 3);
	assert_int_equal(ctl.counters.values[LSTAT_answered], 1);
	assert_int_equal(ctl.counters.values[LSTAT_in_flight], 1);
	assert_int_equal(ctl.counters.values[LSTAT_dropped_malformed], 1);
	close(fd);
}

static void
test_config_text_is_passed_on(void **state)
{
	(void)state;
	ctl_show(SHOW_CONFIG, 9);
	ctl_until(rig.nasked_parent == 1);
	assert_true(msg_send_info_text(
	    &rig.parent, rig.asked_parent_id, "listen on ::1\n", 14));
	says_end(&rig.parent, rig.asked_parent_id, true, NULL);
	ctl_until(ctl.ended);
	assert_int_equal(ctl.n, 1);
	assert_int_equal(ctl.types[0], MSG_INFO_TEXT);
}

static void
test_pool_is_not_there(void **state)
{
	(void)state;
	imsg_close(&rig.pool);
	rig_until(rig.links_down == 1);
	ctl_show(SHOW_STATS, 1);
	ctl_until(ctl.ended);
	assert_false(ctl.end.ok);
	assert_string_equal(ctl.end.text, "pool process is not ready");
	assert_int_equal(ctl.n, 1); /* what there is has been shown */
}

static void
test_pool_goes_in_the_middle(void **state)
{
	(void)state;
	ctl_show(SHOW_SUMMARY, 1);
	ctl_until(rig.nasked_pool == 1);
	imsg_close(&rig.pool);
	rig_settle();
	assert_false(ctl.ended);
	parent_says_process(rig.asked_parent_id);
	says_end(&rig.parent, rig.asked_parent_id, true, NULL);
	ctl_until(ctl.ended);
	assert_false(ctl.end.ok);
	assert_string_equal(ctl.end.text, "pool process is not ready");
	assert_int_equal(ctl.n, 2);
}

static void
test_pool_says_nothing(void **state)
{
	uint64_t start_ms = util_now_ms(), id;

	(void)state;
	ctl_show(SHOW_POOL, 1);
	ctl_until(ctl.ended);
	assert_in_range(util_now_ms() - start_ms, 1950, 3000);
	assert_false(ctl.end.ok);
	assert_string_equal(ctl.end.text, "pool process does not answer");
	/* What comes later belongs to nothing. */
	id = rig.asked_pool_id;
	pool_says_pool(id);
	says_end(&rig.pool, id, true, NULL);
	rig_settle();
	ctl_turn();
	assert_int_equal(ctl.n, 0);
	ctl_show(SHOW_PROCESSES, 2);
	says_end(&rig.parent, rig.asked_parent_id, true, NULL);
	ctl_until(ctl.ended);
	assert_true(ctl.end.ok);
}

static void
test_answer_for_a_client_that_has_gone(void **state)
{
	uint64_t old;

	(void)state;
	ctl_show(SHOW_POOL, 1);
	ctl_until(rig.nasked_pool == 1);
	old = rig.asked_pool_id;
	imsg_close(&ctl.chan);
	rig_settle();
	ctl_open(); /* in the same place */
	ctl_show(SHOW_POOL, 2);
	ctl_until(rig.nasked_pool == 2);
	assert_int_equal((uint32_t)rig.asked_pool_id, (uint32_t)old);
	pool_says_pool(old);
	says_end(&rig.pool, old, true, NULL);
	rig_settle();
	ctl_turn();
	assert_int_equal(ctl.n, 0);
	assert_false(ctl.ended);
}

static void
test_pool_speaks_unasked(void **state)
{
	(void)state;
	ctl_show(SHOW_PROCESSES, 1);
	ctl_until(rig.nasked_parent == 1);
	/* The handle is right, but this is not the pool's to answer. */
	pool_says_pool(rig.asked_parent_id);
	says_end(&rig.pool, rig.asked_parent_id, false, "evil");
	rig_settle();
	ctl_turn();
	assert_int_equal(ctl.n, 0);
	assert_false(ctl.ended);
	says_end(&rig.parent, rig.asked_parent_id, true, NULL);
	ctl_until(ctl.ended);
	assert_true(ctl.end.ok);
	assert_int_equal(rig.links_down, 0);
}

static void
test_pool_claims_to_be_another(void **state)
{
	struct info_process p = { .role = ROLE_PARENT, .pid = 1 };

	(void)state;
	ctl_show(SHOW_POOL, 1);
	ctl_until(rig.nasked_pool == 1);
	assert_true(msg_send_info_process(&rig.pool, rig.asked_pool_id, &p));
	ctl_until(ctl.ended);
	assert_int_equal(rig.links_down, 1);
	assert_int_equal(ctl.n, 0);
}

static void
test_pool_floods_a_client(void **state)
{
	struct info_pool p = { .nupstreams = 1 };
	size_t i;

	(void)state;
	ctl_show(SHOW_POOL, 1);
	ctl_until(rig.nasked_pool == 1);
	for (i = 0; i < 200000; i++) {
		if (!msg_send_info_pool(&rig.pool, rig.asked_pool_id, &p))
			rig_turn();
	}
	rig_settle();
	/* The client cannot take that, and is let go; the link is not. */
	assert_int_equal(rig.links_down, 0);
	ctl.n = 0;
	while (recv(ctl.chan.fd, &p, sizeof(p), MSG_DONTWAIT) > 0)
		continue;
	assert_true(rig_is_closed(ctl.chan.fd));
}

static void
test_two_requests_at_once(void **state)
{
	(void)state;
	ctl_show(SHOW_POOL, 1);
	assert_true(msg_send_u8(&ctl.chan, MSG_CL_SHOW, 2, SHOW_POOL));
	ctl_until(ctl.chan.down);
}

static void
test_bad_requests(void **state)
{
	static const struct {
		uint16_t type;
		uint8_t value;
	} bad[] = { { MSG_CL_SHOW, SHOW_COUNT },
		{ MSG_CL_LOG_LEVEL, LOG_LEVEL_COUNT }, { MSG_LP_RELOAD, 0 },
		{ MSG_PX_CONF_BEGIN, 0 }, { MSG_TL_ANSWER, 0 },
		{ MSG_CL_RELOAD, 0 /* has no payload */ } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(
		    msg_send_u8(&ctl.chan, bad[i].type, 0, bad[i].value));
		ctl_until(ctl.chan.down);
		imsg_close(&ctl.chan);
		ctl_open();
	}
	assert_int_equal(rig.nasked_parent + rig.nasked_pool, 0);
}

static void
test_too_many_clients(void **state)
{
	int fds[20];
	size_t i, closed = 0;

	(void)state;
	rig_settle();
	for (i = 0; i < 20; i++)
		fds[i] = control_connect();
	rig_settle();
	for (i = 0; i < 20; i++)
		closed += rig_is_closed(fds[i]);
	assert_int_equal(closed, 5); /* 16 less ours */
	for (i = 0; i < 20; i++)
		close(fds[i]);
	rig_settle();
	imsg_close(&ctl.chan);
	ctl_open();
	ctl_show(SHOW_POOL, 1);
	assert_int_equal(rig.nasked_pool, 1);
}

static void
test_silent_client_is_let_go(void **state)
{
	uint64_t start_ms = util_now_ms();

	(void)state;
	while (!rig_is_closed(ctl.chan.fd)) {
		rig_run_ms(20);
		assert_true(util_now_ms() - start_ms < 8000);
	}
	assert_in_range(util_now_ms() - start_ms, 4900, 8000);
}

static void
test_socket_is_replaced(void **state)
{
	struct sockaddr_storage addr;
	size_t fds = rig_count_fds();
	int fd = rig_socket(SOCK_STREAM, "127.0.0.1", 0, &addr);

	(void)state;
	rig_settle(); /* ours is accepted */
	fds = rig_count_fds();
	rig_conf_begin();
	rig_send_allow("127.0.0.0", 8);
	rig_send_listen(RIG_UDP_ID, false, &rig.udp_addr, -1);
	rig_send_listen(RIG_TCP_ID, true, &rig.tcp_addr, -1);
	assert_true(imsg_send_empty(&rig.parent, MSG_PL_CONTROL, 0, fd));
	rig_conf_end();
	assert_int_equal(rig_count_fds(), fds - 1);
	ctl_show(SHOW_POOL, 1); /* the old client is served on */
	assert_int_equal(rig.nasked_pool, 1);
	imsg_close(&ctl.chan);
	control_addr = addr;
	ctl_open();
	ctl_show(SHOW_POOL, 1);
	assert_int_equal(rig.nasked_pool, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CTL_TEST(test_summary_asks_everybody),
		CTL_TEST(test_who_is_asked_what),
		CTL_TEST(test_counters_are_true),
		CTL_TEST(test_config_text_is_passed_on),
		CTL_TEST(test_pool_is_not_there),
		CTL_TEST(test_pool_goes_in_the_middle),
		CTL_TEST(test_pool_says_nothing),
		CTL_TEST(test_answer_for_a_client_that_has_gone),
		CTL_TEST(test_pool_speaks_unasked),
		CTL_TEST(test_pool_claims_to_be_another),
		CTL_TEST(test_pool_floods_a_client),
		CTL_TEST(test_two_requests_at_once),
		CTL_TEST(test_bad_requests),
		CTL_TEST(test_too_many_clients),
		CTL_TEST(test_silent_client_is_let_go),
		CTL_TEST(test_socket_is_replaced),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
