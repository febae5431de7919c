/* SPDX-License-Identifier: ISC */
/* LINK: common/store.c */
/* LINK: dotproxy/listener/inflight.c */
/* The table of queries in flight. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dotproxy/listener/inflight.h"
#include "tests/unit/alloc_fail.h"

static struct inflight table;
static const struct client nobody;

static int
setup(void **state)
{
	(void)state;
	return inflight_init(&table, 8192);
}

static int
teardown(void **state)
{
	(void)state;
	inflight_clear(&table);
	return 0;
}

static struct inflight_slot *
add(uint16_t id, size_t len, uint64_t deadline_ms)
{
	static uint8_t wire[DNS_MSG_MAX + 1];
	struct dns_query q = { .id = id };

	memset(wire, id & 0xff, len);
	return inflight_add(&table, &nobody, NULL, &q, wire, len, deadline_ms);
}

static void
test_find_what_was_added(void **state)
{
	struct inflight_slot *a = add(1, 20, 100), *b = add(2, 30, 100);
	uint64_t ha = inflight_handle(&table, a);
	uint64_t hb = inflight_handle(&table, b);

	(void)state;
	assert_int_equal(table.count, 2);
	assert_true(ha != hb && ha != 0 && hb != 0);
	assert_ptr_equal(inflight_find(&table, ha), a);
	assert_ptr_equal(inflight_find(&table, hb), b);
	assert_int_equal(a->query.id, 1);
	assert_int_equal(b->wire_len, 30);
	assert_int_equal(inflight_wire(b)[29], 2);
	assert_false(b->sent);
}

static void
test_stale_handle(void **state)
{
	struct inflight_slot *a = add(1, 20, 100), *b;
	uint64_t old = inflight_handle(&table, a);

	(void)state;
	inflight_remove(&table, a);
	assert_null(inflight_find(&table, old));
	b = add(2, 20, 100);
	assert_ptr_equal(a, b);                         /* the same slot, */
	assert_true(inflight_handle(&table, b) != old); /* another name */
	assert_null(inflight_find(&table, old));
}

static void
test_made_up_handles(void **state)
{
	struct inflight_slot *a = add(1, 20, 100);
	uint64_t handle = inflight_handle(&table, a), i;

	(void)state;
	assert_null(inflight_find(&table, 0));
	assert_null(inflight_find(&table, UINT64_MAX));
	assert_null(inflight_find(&table, handle + 1));
	assert_null(inflight_find(&table, handle | CONF_INFLIGHT_MAX));
	assert_null(inflight_find(&table, handle | 0x80000000u));
	for (i = 0; i < 64; i++)
		assert_null(inflight_find(&table, handle ^ 1ull << i));
}

static void
test_generation_skips_zero(void **state)
{
	struct inflight_slot *a = add(1, 20, 100);

	(void)state;
	inflight_remove(&table, a);
	a->generation = UINT32_MAX;
	assert_ptr_equal(add(1, 20, 100), a);
	assert_int_equal(a->generation, 1);
	assert_ptr_equal(inflight_find(&table, 1ull << 32), a);
}

static void
test_limit(void **state)
{
	struct inflight_slot *a;

	(void)state;
	inflight_set_limit(&table, 2);
	a = add(1, 20, 100);
	assert_non_null(a);
	assert_non_null(add(2, 20, 100));
	assert_null(add(3, 20, 100));
	inflight_remove(&table, a);
	assert_non_null(add(4, 20, 100));
	/* A reload with a lower limit takes nothing away. */
	inflight_set_limit(&table, 1);
	assert_int_equal(table.count, 2);
	assert_null(add(5, 20, 100));
	inflight_set_limit(&table, UINT32_MAX);
	assert_int_equal(table.limit, CONF_INFLIGHT_MAX);
	assert_non_null(add(6, 20, 100));
}

static void
test_all_slots(void **state)
{
	uint32_t i;

	(void)state;
	inflight_set_limit(&table, CONF_INFLIGHT_MAX);
	for (i = 0; i < CONF_INFLIGHT_MAX; i++)
		assert_non_null(add((uint16_t)i, 12, 100));
	assert_null(add(0, 12, 100));
	while (inflight_first(&table) != NULL)
		inflight_remove(&table, inflight_first(&table));
	assert_int_equal(table.count, 0);
	for (i = 0; i < CONF_INFLIGHT_MAX; i++)
		assert_non_null(add((uint16_t)i, 12, 100));
	assert_null(add(0, 12, 100));
}

/* After a reload others may have more time: nobody is put before them. */
static void
test_postponed_one_is_the_last(void **state)
{
	struct inflight_slot *a = add(1, 20, 100), *b = add(2, 20, 500);

	(void)state;
	inflight_postpone(&table, a, 200);
	assert_ptr_equal(inflight_first(&table), b);
	assert_ptr_equal(inflight_next(b), a);
	assert_int_equal(a->deadline_ms, 500);
	inflight_postpone(&table, b, 700);
	assert_ptr_equal(inflight_first(&table), a);
	assert_int_equal(b->deadline_ms, 700);
}

static void
test_order_is_by_deadline(void **state)
{
	static const uint64_t deadlines[] = { 50, 10, 30, 30, 60, 1 };
	struct inflight_slot *s;
	uint64_t last = 0;
	size_t i, n = 0;

	(void)state;
	for (i = 0; i < 6; i++)
		add((uint16_t)i, 20, deadlines[i]);
	for (s = inflight_first(&table); s != NULL; s = inflight_next(s)) {
		assert_true(s->deadline_ms >= last);
		last = s->deadline_ms;
		n++;
	}
	assert_int_equal(n, 6);
	/* Of two with the same deadline the older one comes first. */
	s = inflight_next(inflight_next(inflight_first(&table)));
	assert_int_equal(s->query.id, 2);
	assert_int_equal(inflight_next(s)->query.id, 3);
}

/* Timeouts change, queries come and go: the order stays, as a search finds. */
static void
test_order_after_reloads(void **state)
{
	static const uint64_t timeouts[] = { 60000, 1000, 4000, 10 };
	struct inflight_slot *s, *slots[2000];
	uint64_t now_ms, last, i, n;

	(void)state;
	srandom(1);
	for (i = 0; i < 2000; i++) {
		now_ms = i / 7;
		slots[i] = add((uint16_t)i, 20, now_ms + timeouts[i / 500]);
		if (i % 3 == 0)
			inflight_remove(&table, inflight_first(&table));
		if (i % 250 == 249 && slots[i]->used)
			inflight_remove(&table, slots[i]);
	}
	last = n = 0;
	for (s = inflight_first(&table); s != NULL; s = inflight_next(s)) {
		assert_true(s->deadline_ms >= last);
		last = s->deadline_ms;
		n++;
	}
	assert_int_equal(n, table.count);
	while ((s = inflight_first(&table)) != NULL)
		inflight_remove(&table, s);
	assert_null(table.last);
	s = add(1, 20, 5);
	assert_ptr_equal(s, inflight_first(&table));
	assert_ptr_equal(s, table.last);
}

static void
test_long_queries(void **state)
{
	struct inflight_slot *a, *b;

	(void)state;
	a = add(7, INFLIGHT_WIRE_INLINE, 100);
	assert_null(a->wire_long);
	b = add(9, INFLIGHT_WIRE_INLINE + 1, 100);
	assert_non_null(b->wire_long);
	assert_int_equal(inflight_wire(a)[INFLIGHT_WIRE_INLINE - 1], 7);
	assert_int_equal(inflight_wire(b)[INFLIGHT_WIRE_INLINE], 9);
	assert_int_equal(table.longs.bytes, INFLIGHT_WIRE_INLINE + 1);
	inflight_remove(&table, b);
	assert_int_equal(table.longs.bytes, 0);
	b = add(3, 12, 100); /* the slot again, short this time */
	assert_null(b->wire_long);
	assert_int_equal(inflight_wire(b)[11], 3);
	assert_null(add(1, DNS_MSG_MAX + 1, 100));
	assert_non_null(add(1, DNS_MSG_MAX, 100));
}

static void
test_long_queries_have_a_budget(void **state)
{
	struct inflight_slot *s;
	size_t n = 0;

	(void)state;
	while (add((uint16_t)n, DNS_MSG_MAX, 100) != NULL)
		n++;
	assert_int_equal(n, INFLIGHT_LONG_MAX / DNS_MSG_MAX);
	assert_true(table.longs.bytes <= INFLIGHT_LONG_MAX);
	assert_non_null(add(1, 100, 100)); /* others have their place */
	s = inflight_first(&table);
	inflight_remove(&table, s);
	assert_non_null(add(1, DNS_MSG_MAX, 100));
}

static void
test_connection_list(void **state)
{
	struct inflight_list list = LIST_HEAD_INITIALIZER(list);
	struct client client = { .conn = (struct tcp_conn *)&list };
	struct dns_query q = { .id = 1 };
	uint8_t wire[DNS_HDR_LEN] = { 0 };
	struct inflight_slot *a, *b, *s;
	size_t n = 0;

	(void)state;
	add(9, 20, 100);
	a = inflight_add(&table, &client, &list, &q, wire, 12, 100);
	b = inflight_add(&table, &client, &list, &q, wire, 12, 100);
	LIST_FOREACH (s, &list, conn)
		n++;
	assert_int_equal(n, 2);
	assert_int_equal(inflight_same(&table, &client), 2);
	assert_int_equal(inflight_same(&table, &nobody), 1);
	inflight_remove(&table, a);
	assert_ptr_equal(LIST_FIRST(&list), b);
	inflight_remove(&table, b);
	assert_int_equal(inflight_same(&table, &client), 0);
	assert_null(LIST_FIRST(&list));
	assert_int_equal(table.count, 1);
}

/* --- repetitions --- */

static struct client
client_at(uint8_t host, uint16_t port)
{
	struct client c = { .peer.in.sin_family = AF_INET };

	c.peer.in.sin_port = port;
	c.peer.in.sin_addr.s_addr = host;
	return c;
}

static struct inflight_slot *
add_indexed(
    const struct client *c, const uint8_t *wire, size_t len, uint32_t hash)
{
	struct dns_query q = { .id = 1 };
	struct inflight_slot *s;

	s = inflight_add(&table, c, NULL, &q, wire, len, 100);
	assert_non_null(s);
	inflight_index(&table, s, hash);
	return s;
}

static void
test_a_query_repeats_itself_only(void **state)
{
	uint8_t wire[INFLIGHT_WIRE_INLINE + 1] = { 0 };
	struct client a = client_at(1, 5), b = client_at(1, 6);
	struct client c = client_at(2, 5), d = a;
	struct inflight_slot *s;

	(void)state;
	d.sock = (struct udp_sock *)&d;
	assert_false(inflight_repeats(&table, 7, &a, wire, 20));
	s = add_indexed(&a, wire, 20, 7);
	assert_true(inflight_repeats(&table, 7, &a, wire, 20));
	assert_false(inflight_repeats(&table, 7, &b, wire, 20));
	assert_false(inflight_repeats(&table, 7, &c, wire, 20));
	assert_false(inflight_repeats(&table, 7, &d, wire, 20));
	assert_false(inflight_repeats(&table, 7, &a, wire, 21));
	wire[19] = 1;
	assert_false(inflight_repeats(&table, 7, &a, wire, 20));
	wire[19] = 0;
	inflight_remove(&table, s); /* answered: it is asked anew */
	assert_false(inflight_repeats(&table, 7, &a, wire, 20));
	s = add(1, 20, 100);
	assert_false(s->indexed);
	(void)add_indexed(&a, wire, sizeof(wire), 7);
	assert_true(inflight_repeats(&table, 7, &a, wire, sizeof(wire)));
}

/* Through a wildcard socket: each address that is asked has to answer. */
static void
test_query_to_another_address_of_ours_is_no_repetition(void **state)
{
	struct client a = client_at(1, 5), b, c;
	uint8_t wire[12] = { 0 };

	(void)state;
	a.local.family = AF_INET;
	a.local.addr.v4.s_addr = htonl(0x7f000001);
	b = c = a;
	b.local.addr.v4.s_addr = htonl(0x7f000002);
	c.local.family = AF_UNSPEC;
	(void)add_indexed(&a, wire, 12, 7);
	assert_true(inflight_repeats(&table, 7, &a, wire, 12));
	assert_false(inflight_repeats(&table, 7, &b, wire, 12));
	assert_false(inflight_repeats(&table, 7, &c, wire, 12));
	a.local.family = AF_INET6;
	memset(&a.local.addr, 0, sizeof(a.local.addr));
	b = a;
	b.local.addr.v6.s6_addr[15] = 1;
	(void)add_indexed(&a, wire, 12, 7);
	assert_true(inflight_repeats(&table, 7, &a, wire, 12));
	assert_false(inflight_repeats(&table, 7, &b, wire, 12));
}

static void
test_repetition_over_ipv6(void **state)
{
	struct client a = { .peer.in6.sin6_family = AF_INET6 }, b;
	uint8_t wire[12] = { 0 };

	(void)state;
	a.peer.in6.sin6_addr.s6_addr[15] = 1;
	(void)add_indexed(&a, wire, 12, 7);
	assert_true(inflight_repeats(&table, 7, &a, wire, 12));
	b = a;
	b.peer.in6.sin6_addr.s6_addr[15] = 2;
	assert_false(inflight_repeats(&table, 7, &b, wire, 12));
	b = a;
	b.peer.in6.sin6_port = 1;
	assert_false(inflight_repeats(&table, 7, &b, wire, 12));
	b = a;
	b.peer.in6.sin6_scope_id = 1; /* another link */
	assert_false(inflight_repeats(&table, 7, &b, wire, 12));
}

/* The same ID and port again and again, each time something else. */
static void
test_search_for_a_repetition_is_short(void **state)
{
	struct client a = client_at(1, 5);
	uint8_t wire[12] = { 0 };
	uint8_t i;

	(void)state;
	for (i = 0; i < 9; i++) {
		wire[11] = i;
		(void)add_indexed(&a, wire, 12, 7);
	}
	assert_true(inflight_repeats(&table, 7, &a, wire, 12));
	wire[11] = 1;
	assert_true(inflight_repeats(&table, 7, &a, wire, 12));
	wire[11] = 0;
	assert_false(inflight_repeats(&table, 7, &a, wire, 12));
}

static void
test_repetitions_after_a_reload(void **state)
{
	struct client a = client_at(1, 5);
	uint8_t wire[12] = { 0 };
	uint32_t hash;

	(void)state;
	for (hash = 0; hash < 100; hash++)
		(void)add_indexed(&a, wire, 12, hash * 0x01010101u);
	inflight_set_limit(&table, 50);
	assert_int_equal(table.nsame, 64);
	for (hash = 0; hash < 100; hash++)
		assert_true(
		    inflight_repeats(&table, hash * 0x01010101u, &a, wire, 12));
	inflight_set_limit(&table, CONF_INFLIGHT_MAX);
	for (hash = 0; hash < 100; hash++)
		assert_true(
		    inflight_repeats(&table, hash * 0x01010101u, &a, wire, 12));
}

static void
test_wait_list(void **state)
{
	struct inflight_slot *a = add(1, 20, 100), *b = add(2, 20, 100);

	(void)state;
	assert_null(TAILQ_FIRST(&table.wait));
	inflight_wait(&table, a);
	inflight_wait(&table, b);
	inflight_wait(&table, a); /* is there already */
	assert_ptr_equal(TAILQ_FIRST(&table.wait), a);
	inflight_unwait(&table, a);
	inflight_unwait(&table, a);
	assert_ptr_equal(TAILQ_FIRST(&table.wait), b);
	inflight_remove(&table, b);
	assert_null(TAILQ_FIRST(&table.wait));
	/* A slot that waited when it was freed does not when it is new. */
	b = add(3, 20, 100);
	assert_false(b->waiting);
}

static void
test_memory_is_touched_as_needed(void **state)
{
	(void)state;
	add(1, 20, 100);
	inflight_remove(&table, inflight_first(&table));
	add(2, 20, 100);
	assert_int_equal(table.touched, 1);
}

static bool
make_one(void)
{
	struct inflight t;
	int r = inflight_init(&t, 16);

	assert_int_equal(t.slots != NULL, r == 0);
	inflight_clear(&t);
	return r == 0;
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
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_fails),
		T(test_find_what_was_added),
		T(test_stale_handle),
		T(test_made_up_handles),
		T(test_generation_skips_zero),
		T(test_limit),
		T(test_all_slots),
		T(test_postponed_one_is_the_last),
		T(test_order_is_by_deadline),
		T(test_order_after_reloads),
		T(test_long_queries),
		T(test_long_queries_have_a_budget),
		T(test_connection_list),
		T(test_a_query_repeats_itself_only),
		T(test_query_to_another_address_of_ours_is_no_repetition),
		T(test_repetition_over_ipv6),
		T(test_search_for_a_repetition_is_short),
		T(test_repetitions_after_a_reload),
		T(test_wait_list),
		T(test_memory_is_touched_as_needed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
