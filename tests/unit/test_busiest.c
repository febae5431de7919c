/* SPDX-License-Identifier: ISC */
/* LINK: common/util.c common/log.c common/imsg.c common/msg.c */
/* LINK: common/msg_client.c dotproxy/listener/prefix.c */
/* LINK: dotproxy/listener/busiest.c */
/* LIBS: -levent_core */
/* Who asks most: found among many, counted truly, forgotten after a minute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "dotproxy/listener/busiest.h"
#include "tests/unit/alloc_fail.h"
#include "tests/unit/msg_codec.h"

static struct prefixes prefixes;
static struct busiest *table;
static struct codec_chan *out;

static int
setup(void **state)
{
	struct rng rng = { .left = 0 };

	(void)state;
	table = busiest_new();
	out = codec_chan_new();
	return prefixes_init(&prefixes, 8192, &rng);
}

static int
teardown(void **state)
{
	(void)state;
	busiest_free(table);
	prefixes_clear(&prefixes);
	free(out);
	return 0;
}

static union client_addr
addr(const char *host)
{
	union client_addr a;

	memset(&a, 0, sizeof(a));
	if (inet_pton(AF_INET, host, &a.in.sin_addr) == 1)
		a.sa.sa_family = AF_INET;
	else {
		assert_int_equal(
		    inet_pton(AF_INET6, host, &a.in6.sin6_addr), 1);
		a.sa.sa_family = AF_INET6;
	}
	return a;
}

static void
ask(const char *host, uint64_t now_ms)
{
	union client_addr a = addr(host);

	busiest_query(table, &prefixes, &a, false, now_ms);
}

static void
ask_number(uint32_t n)
{
	union client_addr a;

	memset(&a, 0, sizeof(a));
	a.in.sin_family = AF_INET;
	a.in.sin_addr.s_addr = htonl(n);
	busiest_query(table, &prefixes, &a, false, 0);
}

/* What is sent of a network; false: nothing. */
static bool
sent(const char *net, uint8_t len, uint64_t now_ms, struct info_client *info)
{
	union client_addr a = addr(net);
	const void *want = a.sa.sa_family == AF_INET
			       ? (const void *)&a.in.sin_addr
			       : (const void *)&a.in6.sin6_addr;
	size_t size = a.sa.sa_family == AF_INET ? 4 : 16;
	struct imsg m = { .type = MSG_INFO_CLIENT, .fd = -1 };
	size_t i;

	codec_chan_reset(out);
	assert_true(busiest_send(table, &prefixes, &out->ch, 1, now_ms));
	for (i = 0; i < out->ch.out_len; i += IMSG_HDR_LEN + m.len) {
		m.len = wire_load_u32(out->buf + i + 4);
		m.data = out->buf + i + IMSG_HDR_LEN;
		assert_int_equal(msg_read_info_client(&m, info), 0);
		if (info->net.family == a.sa.sa_family &&
		    info->net.len == len &&
		    memcmp(info->net.addr, want, size) == 0)
			return true;
	}
	return false;
}

static void
networks_are_counted(void **state)
{
	union client_addr a = addr("192.0.2.1");
	struct info_client info;

	(void)state;
	ask("192.0.2.1", 0);
	ask("192.0.2.1", 0);
	ask("192.0.2.2", 0);
	ask("2001:db8:1:200::1", 0);
	ask("2001:db8:1:2ff::9", 0);
	ask("fe80::1", 0);
	busiest_answer(table, &prefixes, &a, false);
	prefixes_hold(&prefixes, prefixes_find(&prefixes, &a), true);
	assert_true(sent("192.0.2.1", 32, 0, &info));
	assert_int_equal(info.queries, 2);
	assert_int_equal(info.excess, 0);
	assert_int_equal(info.answers, 1);
	assert_int_equal(info.inflight, 1);
	assert_true(sent("192.0.2.2", 32, 0, &info));
	assert_int_equal(info.queries, 1);
	assert_int_equal(info.inflight, 0);
	assert_true(sent("2001:db8:1:200::", 56, 0, &info));
	assert_int_equal(info.queries, 2);
	assert_true(sent("fe80::1", 128, 0, &info));
	assert_false(sent("192.0.2.3", 32, 0, &info));
	assert_int_equal(table->n, 4);
}

static void
last_minute(void **state)
{
	struct info_client info;

	(void)state;
	ask("192.0.2.1", 1000);
	ask("192.0.2.1", 9999);
	ask("192.0.2.1", 35000);
	assert_true(sent("192.0.2.1", 32, 59999, &info));
	assert_int_equal(info.last_minute, 3);
	assert_true(sent("192.0.2.1", 32, 60000, &info));
	assert_int_equal(info.last_minute, 1);
	assert_true(sent("192.0.2.1", 32, 10000000, &info));
	assert_int_equal(info.last_minute, 0);
	assert_int_equal(info.queries, 3);
	ask("192.0.2.1", 10000001);
	assert_true(sent("192.0.2.1", 32, 10000002, &info));
	assert_int_equal(info.last_minute, 1);
}

/* Groups are in order, none is empty, and each client is in one. */
static void
check_order(void)
{
	const struct busiest_group *g;
	const struct busiest_client *c;
	uint64_t least = 0;
	uint32_t n = 0;

	TAILQ_FOREACH (g, &table->order, order) {
		assert_true(g->queries > least);
		assert_false(TAILQ_EMPTY(&g->clients));
		least = g->queries;
		TAILQ_FOREACH (c, &g->clients, place) {
			assert_ptr_equal(c->group, g);
			n++;
		}
	}
	assert_int_equal(n, table->n);
}

/* Who asks much stays, however many others there are; and nothing grows. */
static void
busy_one_is_found_among_many(void **state)
{
	struct info_client info;
	uint32_t i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		ask_number(i);
		if (i % 100 == 0)
			ask("192.0.2.1", 0);
	}
	check_order();
	assert_int_equal(table->n, BUSIEST_MAX);
	assert_true(sent("192.0.2.1", 32, 0, &info));
	assert_in_range(info.queries, 1000, 1000 + info.excess);
	assert_true(info.excess <= 101000 / BUSIEST_MAX);
	assert_int_equal(info.answers, 0);
	/* Who comes now may have asked as often as who had his place. */
	ask("192.0.2.2", 0);
	assert_true(sent("192.0.2.2", 32, 0, &info));
	assert_in_range(info.excess, 1, 101000 / BUSIEST_MAX);
	assert_int_equal(info.queries, info.excess + 1);
	assert_int_equal(info.last_minute, 1);
}

/* All different numbers: as many groups as clients, and one moves. */
static void
as_many_groups_as_clients(void **state)
{
	uint32_t i, k;

	(void)state;
	for (i = 0; i < BUSIEST_MAX; i++)
		for (k = 0; k <= 2 * i; k++)
			ask_number(i);
	check_order();
	ask_number(7);
	ask_number(7);
	check_order();
	ask_number(BUSIEST_MAX - 1);
	ask_number(99999); /* in the place of the first */
	check_order();
}

/* The next share that is taken is of this net, and has these numbers. */
static void
expect_share(uint32_t *cursor, const char *net, uint8_t len, uint64_t udp,
    uint64_t tcp, uint64_t answers)
{
	struct busiest_share share;
	uint8_t want[16] = { 0 };

	assert_true(busiest_take(table, cursor, &share));
	assert_int_equal(inet_pton(share.net.family, net, want), 1);
	assert_memory_equal(share.net.addr, want, sizeof(want));
	assert_int_equal(share.net.len, len);
	assert_int_equal(share.asked[0], udp);
	assert_int_equal(share.asked[1], tcp);
	assert_int_equal(share.answered[0] + share.answered[1], answers);
}

static void
shares_are_taken_once_and_name_no_host(void **state)
{
	union client_addr v4 = addr("192.0.2.77"), v6 = addr("fe80::77");
	struct busiest_share share;
	uint32_t cursor = 0;

	(void)state;
	ask("192.0.2.77", 0);
	ask("192.0.2.77", 0);
	busiest_query(table, &prefixes, &v4, true, 0);
	busiest_answer(table, &prefixes, &v4, true);
	busiest_query(table, &prefixes, &v6, false, 0);
	expect_share(&cursor, "192.0.2.0", 24, 2, 1, 1);
	expect_share(&cursor, "fe80::", 56, 1, 0, 0);
	assert_false(busiest_take(table, &cursor, &share));
	ask("fe80::77", 0);
	cursor = 0;
	expect_share(&cursor, "fe80::", 56, 1, 0, 0);
	assert_false(busiest_take(table, &cursor, &share));
}

/* What one had asked is not another's because of the place. */
static void
share_does_not_pass_to_who_takes_the_place(void **state)
{
	struct busiest_share share;
	uint32_t cursor = 0, i;
	uint64_t sum = 0;

	(void)state;
	for (i = 0; i < BUSIEST_MAX; i++)
		ask_number(i);
	while (busiest_take(table, &cursor, &share))
		sum += share.asked[0];
	assert_int_equal(sum, BUSIEST_MAX);
	ask_number(1);
	ask_number(99999);
	cursor = 0;
	sum = 0;
	while (busiest_take(table, &cursor, &share))
		sum += share.asked[0];
	assert_int_equal(sum, 2);
}

static void
no_room_is_said(void **state)
{
	(void)state;
	ask("192.0.2.1", 0);
	codec_chan_reset(out);
	out->ch.out_cap = IMSG_HDR_LEN + 3;
	assert_false(busiest_send(table, &prefixes, &out->ch, 1, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static bool
make_one(void)
{
	struct busiest *t = busiest_new();
	bool made = t != NULL;

	busiest_free(t);
	return made;
}

static void
test_each_allocation_fails(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(make_one);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_fails),
		TEST(networks_are_counted),
		TEST(last_minute),
		TEST(busy_one_is_found_among_many),
		TEST(as_many_groups_as_clients),
		TEST(shares_are_taken_once_and_name_no_host),
		TEST(share_does_not_pass_to_who_takes_the_place),
		TEST(no_room_is_said),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
