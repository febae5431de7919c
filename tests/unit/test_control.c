/* SPDX-License-Identifier: ISC */
/* LINK: common/store.c */
/* LINK: common/child.c common/dns.c common/imsg.c common/log.c common/msg.c */
/* LINK: common/msg_info.c common/util.c */
/* LINK: dotproxy/listener/acl.c dotproxy/listener/config.c */
/* LINK: dotproxy/listener/control.c dotproxy/listener/inflight.c */
/* LINK: dotproxy/listener/link.c dotproxy/listener/listener.c */
/* LINK: dotproxy/listener/rate.c */
/* LINK: dotproxy/listener/query.c dotproxy/listener/tcp.c */
/* LINK: dotproxy/listener/tcp_io.c dotproxy/listener/udp.c */
/* LINK: dotproxy/listener/udp_send.c */
/* LINK: dotproxy/listener/prefix.c dotproxy/listener/transfer.c */
/* LINK: common/msg_hist.c dotproxy/listener/metrics.c */
/* LINK: common/msg_change.c */
/* LINK: dotproxy/listener/tcp_peer.c dotproxy/listener/keepalive.c */
/* LINK: common/dns_edit.c */
/* LINK: dotproxy/listener/statsd.c dotproxy/listener/statsd_emit.c */
/* LINK: dotproxy/listener/statsd_line.c dotproxy/listener/statsd_names.c */
/* LIBS: -levent_core */
/* The control socket: who is asked, what is passed on, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/listener_rig.h"

/* What a control client has been told. */
static struct {
	struct imsg_chan chan;
	size_t n; /* messages but the last */
	uint16_t types[64];
	uint64_t ids[64];
	struct info_counters counters;
	size_t nlistener; /* INFO_LISTENER, which n does not count */
	uint8_t draining;
	bool ended;
	uint64_t end_id;
	struct msg_result end;
} ctl;

static int control_listen_fd = -1; /* our copy, to connect to */
static struct sockaddr_storage control_addr;

static int
on_info(void *arg, struct imsg *m)
{
	(void)arg;
	assert_true(ctl.n < 64);
	ctl.types[ctl.n] = m->type;
	ctl.ids[ctl.n++] = m->id;
	if (m->type == MSG_INFO_COUNTERS)
		assert_int_equal(msg_read_info_counters(m, &ctl.counters), 0);
	return 0;
}

static int
on_listener(void *arg, struct imsg *m)
{
	(void)arg;
	ctl.nlistener++;
	return msg_read_u8(m, &ctl.draining, 2);
}

static int
on_end(void *arg, struct imsg *m)
{
	(void)arg;
	assert_false(ctl.ended);
	ctl.ended = true;
	ctl.end_id = m->id;
	assert_int_equal(msg_read_result(m, &ctl.end), 0);
	return 0;
}

#define INFO_RULE                                                    \
	{                                                            \
		.handler = on_info, .max = MSG_INFO_MAX, .phases = 1 \
	}

static const struct imsg_rule rules[IMSG_TYPES_MAX] = {
	[MSG_INFO_COUNTERS] = INFO_RULE,
	[MSG_INFO_POOL] = INFO_RULE,
	[MSG_INFO_HIST] = INFO_RULE,
	[MSG_INFO_PIN] = INFO_RULE,
	[MSG_INFO_ERROR] = INFO_RULE,
	[MSG_INFO_UPSTREAM] = INFO_RULE,
	[MSG_INFO_CONN] = INFO_RULE,
	[MSG_INFO_PROCESS] = INFO_RULE,
	[MSG_INFO_LISTENER] = { .handler = on_listener,
	    .min = 1,
	    .max = 1,
	    .phases = 1 },
	[MSG_INFO_TEXT] = INFO_RULE,
	[MSG_INFO_END] = { .handler = on_end,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
};

/* A control client, not yet accepted. */
static int
control_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&control_addr,
			     sockaddr_len(&control_addr)),
	    0);
	assert_int_not_equal(fcntl(fd, F_SETFL, O_NONBLOCK), -1);
	return fd;
}

static void
ctl_open(void)
{
	const struct imsg_chan_opts opts = {
		.rules = rules,
		.in_cap = MSG_CONTROL_BUF,
		.out_cap = 4096,
		.phase = 1,
	};

	memset(&ctl, 0, sizeof(ctl));
	assert_int_equal(imsg_open(&ctl.chan, control_connect(), &opts), 0);
}

static void
ctl_turn(void)
{
	(void)imsg_flush(&ctl.chan);
	rig_turn();
	(void)imsg_read(&ctl.chan);
}

#define ctl_until(cond)                                       \
	do {                                                  \
		uint64_t ctl_end = util_now_ms() + 20000;     \
                                                              \
		while (!(cond)) {                             \
			ctl_turn();                           \
			rig_sleep_ms(0);                      \
			assert_true(util_now_ms() < ctl_end); \
		}                                             \
	} while (0)

static void
ctl_show(uint8_t what, uint64_t id)
{
	ctl.ended = false;
	ctl.n = 0;
	assert_true(msg_send_u8(&ctl.chan, MSG_CL_SHOW, id, what));
	ctl_turn();
	ctl_turn();
}

static int
start(void **state)
{
	rig_start(state);
	/* Any stream socket will do for the listener. */
	control_listen_fd =
	    rig_socket(SOCK_STREAM, "127.0.0.1", 0, &control_addr);
	rig_conf_begin();
	rig_send_allow("127.0.0.0", 8);
	rig_send_listen(RIG_UDP_ID, false, &rig.udp_addr, -1);
	rig_send_listen(RIG_TCP_ID, true, &rig.tcp_addr, -1);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PL_CONTROL, 0, dup(control_listen_fd)));
	rig_conf_end();
	ctl_open();
	return 0;
}

static int
stop(void **state)
{
	imsg_close(&ctl.chan);
	close(control_listen_fd);
	return rig_stop(state);
}

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
says_end(struct imsg_chan *who, uint64_t id, bool ok, const char *text)
{
	assert_true(msg_send_result(who, MSG_INFO_END, id, ok, text));
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
		assert_true(ctl.end.ok);
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
ctl_change(uint8_t change, const char *upstream)
{
	struct msg_request r = { .change = change };

	(void)snprintf(r.upstream, sizeof(r.upstream), "%s", upstream);
	ctl.ended = false;
	assert_true(msg_send_request(&ctl.chan, 5, &r));
	ctl_turn();
	ctl_turn();
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

#define CTL_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

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
		CTL_TEST(test_reload),
		CTL_TEST(test_log_level),
		CTL_TEST(test_one_change_at_a_time),
		CTL_TEST(test_too_many_clients),
		CTL_TEST(test_silent_client_is_let_go),
		CTL_TEST(test_change_names_upstream_by_number),
		CTL_TEST(test_draining_is_told),
		CTL_TEST(test_socket_is_replaced),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
