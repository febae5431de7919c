/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* What LT_SHOW tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_rig.h"

static void
test_counters(void **state)
{
	(void)state;
	rig_ask(1);
	rig_ask(2);
	RIG_UNTIL(rig_peer(1, 0)->ngot == 2);
	peer_answer(rig_peer(1, 0), 0);
	RIG_UNTIL(rig_answered(1));
	rig_show(SHOW_STATS);
	assert_true(rig.end_ok);
	assert_int_equal(rig.counters.source, SOURCE_POOL);
	assert_int_equal(rig.counters.n, TSTAT_COUNT);
	assert_int_equal(rig.counters.values[TSTAT_queries], 2);
	assert_int_equal(rig.counters.values[TSTAT_in_flight], 1);
	assert_int_equal(rig.counters.values[TSTAT_answered], 1);
	assert_int_equal(rig.counters.values[TSTAT_connect_requests], 1);
	assert_true(rig.counters.uptime_ms < 10000);
	assert_int_equal(rig.ninfo_ups, 1);
	assert_int_equal(rig.ninfo_conns, 0);
}

static void
test_summary_is_like_stats(void **state)
{
	(void)state;
	rig_show(SHOW_SUMMARY);
	assert_true(rig.end_ok);
	assert_int_equal(rig.counters.n, TSTAT_COUNT);
	assert_int_equal(rig.ninfo_ups, 1);
	assert_int_equal(rig.info_pool.nupstreams, 1);
}

static void
test_pool_and_its_connections(void **state)
{
	const struct info_upstream *u = &rig.info_ups[0];
	const struct info_conn *c = &rig.info_conns[0];

	(void)state;
	rig_ask(1);
	rig_ask(2);
	RIG_UNTIL(rig_peer(1, 0)->ngot == 2);
	peer_answer(rig_peer(1, 0), 0);
	RIG_UNTIL(rig_answered(1));
	rig_show(SHOW_POOL);
	assert_true(rig.end_ok);
	assert_int_equal(rig.info_pool.policy, POLICY_FAILOVER);
	assert_int_equal(rig.info_pool.inflight, 1);
	assert_int_equal(rig.info_pool.max_inflight, 8192);
	assert_int_equal(rig.ninfo_ups, 1);
	assert_string_equal(u->name, "up1");
	assert_string_equal(u->server_name, "dot.test");
	assert_int_equal(u->state, STATE_UP);
	assert_int_equal(u->pool_size, 8);
	assert_int_equal(u->open, 1);
	assert_int_equal(u->idle, 0);
	assert_int_equal(u->inflight, 1);
	assert_int_equal(u->queries, 2);
	assert_int_equal(u->answers, 1);
	assert_int_equal(u->opened, 1);
	assert_true(u->latency_p50_us > 0);
	assert_true(u->handshake_p50_us > 0);
	assert_int_equal(rig.ninfo_conns, 1);
	assert_int_equal(c->state, CONN_STATE_READY);
	assert_int_equal(c->inflight, 1);
	assert_int_equal(c->served, 1);
	assert_false(c->resumed);
	assert_string_equal(c->version, "TLSv1.3");
	assert_string_equal(c->cipher, "TLS_AES_256_GCM_SHA384");
}

static void
test_latency_and_its_histograms(void **state)
{
	static const struct {
		enum info_hist_kind kind;
		bool recent;
	} want[RIG_HISTS] = { { INFO_HIST_LATENCY, false },
		{ INFO_HIST_LATENCY, true }, { INFO_HIST_CONNECT, false },
		{ INFO_HIST_HANDSHAKE, false }, { INFO_HIST_OPEN, false } };
	const struct info_hist *h = rig.info_hists;
	struct hist all;
	uint32_t i;

	(void)state;
	rig_ask(1);
	RIG_UNTIL(rig_peer(1, 0)->ngot == 1);
	peer_answer(rig_peer(1, 0), 0);
	RIG_UNTIL(rig_answered(1));
	rig_up(0)->n.hedges = 7;
	rig_up(0)->n.hedges_won = 6;
	rig_up(0)->n.hedges_lost = 5;
	rig_up(0)->n.hedges_denied = 4;
	rig_up(0)->n.rescues = 3;
	rig_show(SHOW_LATENCY);
	assert_true(rig.end_ok);
	assert_int_equal(rig.counters.n, TSTAT_COUNT);
	assert_int_equal(rig.ninfo_ups, 1);
	assert_int_equal(rig.info_ups[0].hedges, 7);
	assert_int_equal(rig.info_ups[0].hedges_won, 6);
	assert_int_equal(rig.info_ups[0].hedges_lost, 5);
	assert_int_equal(rig.info_ups[0].hedges_denied, 4);
	assert_int_equal(rig.info_ups[0].rescues, 3);
	assert_int_equal(rig.ninfo_hists, RIG_HISTS);
	for (i = 0; i < RIG_HISTS; i++) {
		assert_int_equal(h[i].which, want[i].kind);
		assert_int_equal(h[i].recent, want[i].recent);
		assert_int_equal(h[i].hist.count, 1);
	}
	hist_live_read(&rig_up(0)->latency, rig.pool->now_ms, false, &all);
	assert_memory_equal(&h[0].hist, &all, sizeof(all));
	assert_memory_equal(&h[1].hist, &all, sizeof(all));
	assert_memory_equal(&h[2].hist, &rig_up(0)->connect, sizeof(all));
	assert_memory_equal(&h[3].hist, &rig_up(0)->handshake, sizeof(all));
	assert_memory_equal(&h[4].hist, &rig_up(0)->open, sizeof(all));
	assert_true(h[4].hist.max_us >= h[3].hist.max_us);
}

static void
test_states(void **state)
{
	(void)state;
	rig.manual = true;
	rig_configure();
	rig_show(SHOW_POOL);
	assert_int_equal(rig.info_ups[0].state, STATE_CONNECTING);
	assert_int_equal(rig.info_ups[0].connecting, 1);
	assert_int_equal(rig.info_conns[0].state, CONN_STATE_CONNECT);
	assert_true(
	    msg_send_u32(&rig.parent, MSG_PT_CONNECT_FAILED, 1, ECONNREFUSED));
	RIG_UNTIL(rig_up(0)->failed);
	rig_ask(1);
	rig_show(SHOW_POOL);
	assert_int_equal(rig.info_ups[0].state, STATE_BACKOFF);
	assert_in_range(rig.info_ups[0].backoff_left_ms, 1, 100);
	assert_int_equal(rig.info_ups[0].last_cause, CAUSE_NETWORK);
	assert_int_equal(rig.info_ups[0].failures[PHASE_CONNECT], 1);
	assert_int_equal(rig.info_pool.parked, 1);
}

static void
test_listener_that_does_not_read(void **state)
{
	size_t i, n = 4000;

	(void)state;
	/* More than the channel holds: the rest is refused, none forgotten. */
	for (i = 0; i < n; i++) {
		assert_true(msg_send_u8(&rig.link, MSG_LT_SHOW, i, SHOW_POOL));
		(void)imsg_flush(&rig.link);
		(void)event_base_loop(rig.base, EVLOOP_NONBLOCK);
		pool_turn_end(rig.pool);
	}
	RIG_UNTIL(rig.nends == n);
	assert_true(rig.nrefused > 100);
	assert_true(rig.nends - rig.nrefused > 100);
	assert_int_equal(rig.links_down, 0);
	rig_show(SHOW_POOL);
	assert_true(rig.end_ok);
}

static void
test_all_at_once(void **state)
{
	(void)state;
	rig_show(SHOW_ALL);
	assert_true(rig.end_ok);
	assert_int_equal(rig.counters.source, SOURCE_POOL);
	assert_int_equal(rig.info_pool.nupstreams, 1);
	assert_int_equal(rig.ninfo_ups, 1);
	assert_int_equal(rig.ninfo_conns, 1);
	assert_int_equal(rig.ninfo_hists, RIG_HISTS);
}

/* A request that nothing fits for, not even its end, is answered later. */
static void
test_end_is_owed(void **state)
{
	struct imsg_chan *link = &rig.pool->link;
	size_t cap = link->out_cap;

	(void)state;
	link->out_cap = 0;
	assert_true(msg_send_u8(&rig.link, MSG_LT_SHOW, 7, SHOW_STATS));
	RIG_UNTIL(rig.pool->info_owed);
	rig_turn();
	assert_true(rig.pool->info_owed); /* still no room */
	assert_int_equal(rig.nends, 0);
	link->out_cap = cap;
	RIG_UNTIL(rig.nends == 1);
	assert_false(rig.end_ok);
	assert_false(rig.pool->info_owed);
	rig_pass(5);
	assert_int_equal(rig.nends, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST_ONE(test_counters),
		RIG_TEST_ONE(test_summary_is_like_stats),
		RIG_TEST_ONE(test_pool_and_its_connections),
		RIG_TEST_ONE(test_latency_and_its_histograms),
		RIG_TEST(test_states),
		RIG_TEST_ONE(test_listener_that_does_not_read),
		RIG_TEST_ONE(test_all_at_once),
		RIG_TEST_ONE(test_end_is_owed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
