/* SPDX-License-Identifier: ISC */
/*
 * What dotproxyctl takes over from the daemon and what it refuses, and its
 * verdict on it.
 */
/* LINK: common/msg%.c common/imsg.c common/log.c dotproxyctl/proc%.c */
/* LINK: dotproxyctl/data%.c dotproxyctl/format.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/ctl_data.h"
#include "tests/unit/alloc_fail.h"

/* Where messages are encoded to be decoded again: an output buffer. */
struct loop {
	struct imsg_chan chan;
	uint8_t buf[16384];
};

static void
loop_init(struct loop *l)
{
	memset(&l->chan, 0, sizeof(l->chan));
	l->chan.out = l->buf;
	l->chan.out_cap = sizeof(l->buf);
}

/* Hands the message that was just encoded to data_add(). */
static int
loop_add(struct loop *l, struct data *d)
{
	struct imsg m = { .type = wire_load_u16(l->buf),
		.id = wire_load_u64(l->buf + 8),
		.data = l->buf + IMSG_HDR_LEN,
		.len = wire_load_u32(l->buf + 4),
		.fd = -1 };

	l->chan.out_len = 0;
	return data_add(d, &m);
}

static int
add_counters(struct data *d, uint8_t source, uint32_t n)
{
	struct info_counters c = { .source = source, .n = n };
	struct loop l;

	loop_init(&l);
	c.values[0] = 42;
	assert_true(msg_send_info_counters(&l.chan, 1, &c));
	return loop_add(&l, d);
}

static int
add_upstream(struct data *d, uint32_t index)
{
	struct info_upstream u = { .index = index };
	struct loop l;

	loop_init(&l);
	set_address(&u.addr, "192.0.2.1", 853);
	assert_true(msg_send_info_upstream(&l.chan, 1, &u));
	return loop_add(&l, d);
}

static int
add_conn(struct data *d, uint32_t upstream, uint64_t served)
{
	struct info_conn c = { .upstream = upstream, .served = served };
	struct loop l;

	loop_init(&l);
	assert_true(msg_send_info_conn(&l.chan, 1, &c));
	return loop_add(&l, d);
}

static int
add_end(struct data *d, bool ok, const char *text)
{
	struct loop l;

	loop_init(&l);
	assert_true(msg_send_result(&l.chan, MSG_INFO_END, 1, ok, text));
	return loop_add(&l, d);
}

/* Counters are known by position: of another number, they are refused. */
static void
counters(void **state)
{
	struct data *d = data_new();

	(void)state;
	assert_int_equal(add_counters(d, SOURCE_LISTENER, LSTAT_COUNT - 1), -1);
	assert_int_equal(add_counters(d, SOURCE_LISTENER, LSTAT_COUNT + 1), -1);
	assert_int_equal(add_counters(d, SOURCE_POOL, TSTAT_COUNT - 1), -1);
	assert_false(d->have_listener || d->have_pool_counters);
	assert_int_equal(add_counters(d, SOURCE_LISTENER, LSTAT_COUNT), 0);
	assert_true(d->have_listener);
	assert_int_equal(d->listener.values[0], 42);
	assert_false(d->have_pool_counters);
	assert_int_equal(add_counters(d, SOURCE_POOL, TSTAT_COUNT), 0);
	assert_true(d->have_pool_counters);
	assert_int_equal(d->pool_counters.values[0], 42);
	data_free(d);
}

static void
upstreams(void **state)
{
	struct data *d = data_new();
	uint32_t i;

	(void)state;
	for (i = 0; i < CONF_UPSTREAMS_MAX; i++) {
		assert_int_equal(
		    add_upstream(d, CONF_UPSTREAMS_MAX - 1 - i), 0);
		assert_int_equal(
		    add_upstream(d, CONF_UPSTREAMS_MAX - 1 - i), -1);
	}
	assert_int_equal(d->nupstreams, CONF_UPSTREAMS_MAX);
	assert_int_equal(add_upstream(d, 0), -1);
	data_free(d);
}

/* A connection comes after its upstream, and there is an end to them. */
static void
conns(void **state)
{
	struct data *d = data_new();
	uint32_t i;

	(void)state;
	assert_int_equal(add_conn(d, 3, 0), -1);
	assert_int_equal(add_upstream(d, 3), 0);
	assert_int_equal(add_conn(d, 2, 0), -1);
	for (i = 0; i < DATA_CONNS_MAX; i++)
		assert_int_equal(add_conn(d, 3, i), 0);
	assert_int_equal(add_conn(d, 3, 0), -1);
	for (i = 0; i < DATA_CONNS_MAX; i++)
		assert_int_equal(d->conns[i].served, i);
	data_free(d);
}

static void
processes_and_pool(void **state)
{
	struct info_process p = { .role = ROLE_LISTENER, .pid = 77 };
	struct info_pool pool = { .policy = POLICY_RANDOM, .inflight = 5 };
	struct data *d = data_new();
	struct loop l;

	(void)state;
	loop_init(&l);
	assert_true(msg_send_info_process(&l.chan, 1, &p));
	assert_int_equal(loop_add(&l, d), 0);
	assert_true(d->have_process[ROLE_LISTENER]);
	assert_false(d->have_process[ROLE_POOL]);
	assert_int_equal(d->processes[ROLE_LISTENER].pid, 77);
	assert_true(msg_send_info_pool(&l.chan, 1, &pool));
	assert_int_equal(loop_add(&l, d), 0);
	assert_true(d->have_pool);
	assert_int_equal(d->pool.inflight, 5);
	data_free(d);
}

/* Pieces are put together, empty ones too, up to the limit and no further. */
static void
texts(void **state)
{
	char piece[MSG_TEXT_MAX];
	struct data *d = data_new();
	struct loop l;
	size_t i;

	(void)state;
	loop_init(&l);
	assert_true(msg_send_info_text(&l.chan, 1, "", 0));
	assert_int_equal(loop_add(&l, d), 0);
	for (i = 0; i < DATA_TEXT_MAX / MSG_TEXT_MAX; i++) {
		memset(piece, (int)('a' + i % 26), sizeof(piece));
		assert_true(
		    msg_send_info_text(&l.chan, 1, piece, sizeof(piece)));
		assert_int_equal(loop_add(&l, d), 0);
	}
	assert_int_equal(d->text_len, DATA_TEXT_MAX);
	assert_int_equal(d->text[MSG_TEXT_MAX - 1], 'a');
	assert_int_equal(d->text[MSG_TEXT_MAX], 'b');
	assert_true(msg_send_info_text(&l.chan, 1, "x", 1));
	assert_int_equal(loop_add(&l, d), -1);
	data_free(d);
}

/* Nothing comes after the end, and no other message at all. */
static void
end_and_strangers(void **state)
{
	const struct imsg query = { .type = MSG_LT_QUERY, .fd = -1 };
	struct data *d = data_new();

	(void)state;
	assert_int_equal(data_add(d, &query), -1);
	assert_false(d->done);
	assert_int_equal(add_end(d, false, "no"), 0);
	assert_true(d->done);
	assert_false(d->result.ok);
	assert_string_equal(d->result.text, "no");
	assert_int_equal(add_end(d, true, ""), -1);
	assert_int_equal(add_counters(d, SOURCE_POOL, TSTAT_COUNT), -1);
	data_free(d);
}

/* What cannot be decoded is refused, of every type. */
static void
truncated(void **state)
{
	const uint16_t types[] = { MSG_INFO_COUNTERS, MSG_INFO_POOL,
		MSG_INFO_UPSTREAM, MSG_INFO_CONN, MSG_INFO_PROCESS,
		MSG_INFO_END };
	const uint8_t zeroes[3] = { 0 };
	struct imsg m = { .data = zeroes, .fd = -1 };
	struct data *d;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (m.len = 0; m.len < sizeof(zeroes); m.len++) {
			d = data_new();
			m.type = types[i];
			assert_int_equal(data_add(d, &m), -1);
			data_free(d);
		}
	}
}

/* One byte short of what would have been taken. */
static void
cut_by_one(void **state)
{
	struct info_counters c = { .n = TSTAT_COUNT, .source = SOURCE_POOL };
	struct info_conn conn = { .upstream = 0 };
	struct data *d = data_new();
	struct loop l;

	(void)state;
	loop_init(&l);
	assert_int_equal(add_upstream(d, 0), 0);
	assert_true(msg_send_info_counters(&l.chan, 1, &c));
	wire_store_u32(l.buf + 4, wire_load_u32(l.buf + 4) - 1);
	assert_int_equal(loop_add(&l, d), -1);
	assert_true(msg_send_info_conn(&l.chan, 1, &conn));
	wire_store_u32(l.buf + 4, wire_load_u32(l.buf + 4) - 1);
	assert_int_equal(loop_add(&l, d), -1);
	assert_int_equal(d->nconns, 0);
	data_free(d);
}

/* The verdict on so many upstreams in these states. */
static void
judged(const char *states, enum data_health want, const char *want_reason)
{
	char reason[DATA_REASON_MAX];
	struct data *d = data_new();
	struct info_upstream *u;

	d->have_pool = true;
	for (; *states != '\0'; states++) {
		u = &d->upstreams[d->nupstreams++];
		u->state = *states == 'u'   ? STATE_UP
			   : *states == 'b' ? STATE_BACKOFF
			   : *states == 'i' ? STATE_IDLE
					    : STATE_CONNECTING;
		if (*states == 'b' || *states == 'C')
			u->last_cause = CAUSE_NETWORK;
	}
	assert_int_equal(data_judge(d, reason), want);
	assert_string_equal(reason, want_reason);
	data_free(d);
}

static void
verdicts(void **state)
{
	(void)state;
	assert_string_equal(data_health_name(HEALTH_DOWN), "down");
	assert_string_equal(data_health_name(HEALTH_COUNT), "?");
	judged("u", HEALTH_OK, "1 upstream up");
	judged("uuu", HEALTH_OK, "3 upstreams up");
	judged(
	    "iii", HEALTH_OK, "0 of 3 upstreams up, the others not needed yet");
	judged(
	    "uci", HEALTH_OK, "1 of 3 upstreams up, the others not needed yet");
	judged("ubu", HEALTH_DEGRADED, "1 of 3 upstreams down");
	judged("bbi", HEALTH_DEGRADED, "2 of 3 upstreams down");
	judged("bb", HEALTH_DOWN, "no upstream reachable");
	judged("bC", HEALTH_DOWN, "no upstream reachable");
	judged(
	    "c", HEALTH_OK, "0 of 1 upstreams up, the others not needed yet");
	judged("", HEALTH_DOWN, "no upstream reachable");
}

static void
verdict_without_pool(void **state)
{
	char reason[DATA_REASON_MAX];
	struct data *d = ordinary_data();

	(void)state;
	d->processes[ROLE_POOL].pid = 0;
	assert_int_equal(data_judge(d, reason), HEALTH_DOWN);
	assert_string_equal(reason, "the pool process is not running");
	d->processes[ROLE_POOL].pid = 4;
	d->have_pool = false;
	assert_int_equal(data_judge(d, reason), HEALTH_DOWN);
	assert_string_equal(reason, "the pool process does not answer");
	d->have_pool = true;
	assert_int_equal(data_judge(d, reason), HEALTH_DEGRADED);
	data_free(d);
}

/* Each counter is in exactly one sum. */
static void
sums(void **state)
{
	struct data *d = ordinary_data();
	struct data_queries q;
	uint64_t before, after;
	uint32_t i;

	(void)state;
	for (i = 0; i < LSTAT_COUNT; i++) {
		memset(&d->listener.values, 0, sizeof(d->listener.values));
		data_queries(d, &q);
		before = q.received + q.answered + q.failed + q.refused +
			 q.dropped + q.abandoned;
		assert_int_equal(before, 0);
		d->listener.values[i] = 1;
		data_queries(d, &q);
		after = q.received + q.answered + q.failed + q.refused +
			q.dropped + q.abandoned;
		assert_int_equal(after,
		    i <= LSTAT_queries_tcp || i == LSTAT_answered ||
			(i >= LSTAT_failed_timeout && i <= LSTAT_abandoned));
	}
	assert_int_equal(data_failures(&d->upstreams[0]), 3);
	data_free(d);
}

/* What was known before a message that has got no memory is known after it. */
static bool
add_all_kinds(void)
{
	struct data *d = data_new();
	struct info_conn conn = { .upstream = 0 };
	struct info_pin pin = { .upstream = 0 };
	struct info_error error = { .upstream = 0, .count = 1 };
	struct info_client client = { .queries = 2, .excess = 1 };
	struct loop l;
	bool ok = true;
	uint32_t i;

	if (d == NULL)
		return false;
	loop_init(&l);
	assert_int_equal(add_upstream(d, 0), 0);
	for (i = 0; i < 3; i++) {
		assert_true(msg_send_info_conn(&l.chan, 1, &conn));
		ok &= loop_add(&l, d) == 0;
		pin.pin[0] = (uint8_t)i;
		ok &= data_add_pin(d, &pin) == 0;
		error.cause = (uint8_t)i;
		ok &= data_add_error(d, &error) == 0;
		ok &= data_add_client(d, &client) == 0;
		assert_true(msg_send_info_text(&l.chan, 1, "text", 4));
		ok &= loop_add(&l, d) == 0;
	}
	assert_int_equal(
	    d->nconns + d->npins + d->nerrors + d->nclients + d->text_len / 4,
	    ok ? 15 : 14);
	data_free(d);
	return ok;
}

static void
each_allocation_fails(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(add_all_kinds);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters),
		cmocka_unit_test(upstreams),
		cmocka_unit_test(conns),
		cmocka_unit_test(processes_and_pool),
		cmocka_unit_test(texts),
		cmocka_unit_test(end_and_strangers),
		cmocka_unit_test(truncated),
		cmocka_unit_test(cut_by_one),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(verdict_without_pool),
		cmocka_unit_test(sums),
		cmocka_unit_test(each_allocation_fails),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
