/* SPDX-License-Identifier: ISC */
/* LINK: common/store.c */
/* LINK: dotproxy/pool/query.c */
/* The table of held queries: limits, order of deadlines, reuse of entries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/dns.h"
#include "dotproxy/pool/query.h"
#include "tests/unit/alloc_fail.h"

static struct query_table t;
static uint8_t wire[DNS_MSG_MAX + 1];

static int
setup(void **state)
{
	(void)state;
	memset(wire, 0x5a, sizeof(wire));
	if (query_table_init(&t, 8) == -1)
		return -1;
	query_table_set_limit(&t, 8);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	query_table_free(&t);
	return 0;
}

static void
test_holds_a_copy(void **state)
{
	struct query *q;

	(void)state;
	q = query_add(&t, 77, 1000, wire, 40);
	assert_non_null(q);
	assert_int_equal(q->handle, 77);
	assert_int_equal(q->deadline_ms, 1000);
	assert_int_equal(q->len, 40);
	assert_int_equal(q->state, QUERY_HELD);
	assert_ptr_not_equal(q->wire, wire);
	assert_memory_equal(q->wire, wire, 40);
	assert_ptr_equal(query_at(&t, query_index(&t, q)), q);
	assert_int_equal(t.used, 1);
	query_remove(&t, q);
	assert_int_equal(t.used, 0);
	assert_null(query_first_due(&t));
}

static void
test_long_message_is_held_too(void **state)
{
	struct query *q, *r;

	(void)state;
	q = query_add(&t, 1, 1000, wire, QUERY_INLINE);
	assert_int_equal(t.longs.bytes, 0);
	r = query_add(&t, 2, 1000, wire, DNS_MSG_MAX);
	assert_int_equal(t.longs.bytes, DNS_MSG_MAX);
	assert_memory_equal(r->wire, wire, DNS_MSG_MAX);
	query_remove(&t, r);
	query_remove(&t, q);
	assert_int_equal(t.longs.bytes, 0);
	assert_null(query_add(&t, 3, 1000, wire, DNS_MSG_MAX + 1));
	/* An entry that held a long one holds a short one after it. */
	q = query_add(&t, 4, 1000, wire, 20);
	assert_ptr_equal(q->wire, q->inline_wire);
}

static void
test_full_table_refuses(void **state)
{
	struct query *q = NULL;
	uint32_t i;

	(void)state;
	for (i = 0; i < 8; i++)
		assert_non_null(q = query_add(&t, i, 1000, wire, 20));
	assert_null(query_add(&t, 8, 1000, wire, 20));
	assert_null(query_add(&t, 8, 1000, wire, 2000));
	assert_int_equal(t.longs.bytes, 0);
	query_remove(&t, q);
	assert_non_null(query_add(&t, 8, 1000, wire, 20));
}

/* The way to a deadline that a reload has made is gone step by step. */
static void
test_shorter_timeout_finds_its_place(void **state)
{
	struct query_table big;
	struct query *q = NULL;
	uint64_t i;

	(void)state;
	assert_int_equal(query_table_init(&big, 8192), 0);
	query_table_set_limit(&big, 8192);
	for (i = 0; i < 4096; i++)
		assert_non_null(query_add(&big, i, 60000 + i, wire, 20));
	for (; i < 4096 + 9; i++)
		q = query_add(&big, i, i, wire, 20);
	assert_ptr_equal(query_first_due(&big), q);
	/* Far ahead, too: that is the way back. */
	for (; i < 4096 + 20; i++)
		q = query_add(&big, i, 70000, wire, 20);
	assert_ptr_equal(TAILQ_LAST(&big.due, query_list), q);
	query_table_free(&big);
}

static void
test_limit_can_change(void **state)
{
	struct query *q[8];
	uint32_t i;

	(void)state;
	for (i = 0; i < 6; i++)
		q[i] = query_add(&t, i, 1000, wire, 20);
	query_table_set_limit(&t, 4);
	assert_null(query_add(&t, 6, 1000, wire, 20));
	query_remove(&t, q[0]);
	query_remove(&t, q[1]);
	assert_null(query_add(&t, 6, 1000, wire, 20));
	query_remove(&t, q[2]);
	assert_non_null(query_add(&t, 6, 1000, wire, 20));
	query_table_set_limit(&t, 100); /* not above what there is */
	assert_int_equal(t.limit, 8);
}

static void
test_long_messages_have_a_limit(void **state)
{
	struct query_table big;
	struct query *q;
	size_t n = 0;

	(void)state;
	assert_int_equal(query_table_init(&big, 1024), 0);
	query_table_set_limit(&big, 1024);
	while (query_add(&big, n, 1000, wire, DNS_MSG_MAX) != NULL)
		n++;
	assert_int_equal(n, QUERY_LONG_BYTES / DNS_MSG_MAX);
	/* Short ones still have room, and long ones when one has gone. */
	assert_non_null(q = query_add(&big, n, 1000, wire, 50));
	query_remove(&big, query_first_due(&big));
	assert_non_null(query_add(&big, n, 1000, wire, DNS_MSG_MAX));
	query_table_free(&big);
}

static void
test_deadlines_are_in_order(void **state)
{
	static const uint64_t in[] = { 50, 10, 40, 40, 60, 5, 55, 10 };
	struct query *q;
	uint64_t last = 0;
	uint32_t i, n = 0;

	(void)state;
	for (i = 0; i < 8; i++)
		(void)query_add(&t, i, in[i], wire, 20);
	while ((q = query_first_due(&t)) != NULL) {
		assert_true(q->deadline_ms >= last);
		last = q->deadline_ms;
		query_remove(&t, q);
		n++;
	}
	assert_int_equal(n, 8);
}

static void
test_equal_deadlines_keep_their_order(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < 8; i++)
		(void)query_add(&t, i, 100, wire, 20);
	for (i = 0; i < 8; i++) {
		assert_int_equal(query_first_due(&t)->handle, i);
		query_remove(&t, query_first_due(&t));
	}
}

static void
test_untouched_entries_stay_untouched(void **state)
{
	struct query *q;
	uint32_t i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		q = query_add(&t, i, i, wire, 20);
		assert_non_null(q);
		query_remove(&t, q);
	}
	assert_int_equal(t.touched, 1);
}

/* Deadlines that run backwards must not make insertion slow. */
static void
test_descending_deadlines_end_too(void **state)
{
	struct query_table big;
	uint32_t i, n = 0;

	(void)state;
	assert_int_equal(query_table_init(&big, 65536), 0);
	query_table_set_limit(&big, 65536);
	for (i = 0; i < 65536; i++)
		(void)query_add(&big, i, 100000 - i, wire, 20);
	while (query_first_due(&big) != NULL) {
		query_remove(&big, query_first_due(&big));
		n++;
	}
	assert_int_equal(n, 65536);
	query_table_free(&big);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Held twice, counted once; whichever goes first, the other stays whole. */
static void
test_twins(void **state)
{
	static const size_t lens[] = { 40, QUERY_INLINE, DNS_MSG_MAX };
	struct query *q, *c;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		q = query_add(&t, 7, 1000, wire, lens[i]);
		c = query_twin(&t, q);
		assert_non_null(c);
		assert_null(query_twin(&t, q));
		assert_true(c->copy && !q->copy && c->twin == q);
		assert_int_equal(c->handle, 7);
		assert_int_equal(c->deadline_ms, 1000);
		assert_int_equal(query_held(&t), 1);
		query_remove(&t, i == 1 ? c : q);
		q = i == 1 ? q : c;
		assert_null(q->twin);
		assert_false(q->copy); /* of nothing any more */
		assert_memory_equal(q->wire, wire, lens[i]);
		assert_int_equal(query_held(&t), 1);
		query_remove(&t, q);
		assert_int_equal(t.used + t.npairs, 0);
	}
	/* The last quarter of the table is for queries. */
	for (i = 0; i < 6; i++)
		q = query_add(&t, i, 1000, wire, 40);
	assert_null(query_twin(&t, q));
}

/* By handle, as long as it is held; whatever the handle is. */
static void
test_found_by_handle(void **state)
{
	const uint64_t next = (uint64_t)1 << 32;
	static const uint64_t odd[] = { UINT64_MAX, UINT32_MAX, 1ull << 32,
		65536, 1ull << 63, 0 };
	struct query *q, *other, *twin;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		assert_null(query_find(&t, odd[i]));
	q = query_add(&t, 5 * next + 3, 1000, wire, 40);
	other = query_add(&t, 5 * next + 4, 1000, wire, 40);
	assert_ptr_equal(query_find(&t, 5 * next + 3), q);
	assert_ptr_equal(query_find(&t, 5 * next + 4), other);
	assert_null(query_find(&t, 4 * next + 3));
	assert_null(query_find(&t, 6 * next + 3));
	query_remove(&t, q);
	assert_null(query_find(&t, 5 * next + 3));
	/* Its entry is another's now. */
	q = query_add(&t, 6 * next + 5, 1000, wire, 40);
	assert_null(query_find(&t, 5 * next + 3));
	/* A handle no listener of ours makes. */
	assert_non_null(query_add(&t, UINT64_MAX, 1000, wire, 40));
	assert_null(query_find(&t, UINT64_MAX));
	/* Twice the same: one of them. */
	twin = query_add(&t, 6 * next + 5, 1000, wire, 40);
	assert_ptr_equal(query_find(&t, 6 * next + 5), twin);
	query_remove(&t, twin);
	assert_null(query_find(&t, 6 * next + 5));
	assert_int_equal(q->state, QUERY_HELD);
	/* What is left of a pair is found. */
	twin = query_twin(&t, other);
	assert_ptr_equal(query_find(&t, 5 * next + 4), other);
	query_remove(&t, other);
	assert_ptr_equal(query_find(&t, 5 * next + 4), twin);
	query_remove(&t, twin);
	assert_null(query_find(&t, 5 * next + 4));
}

static void
test_company_gets_smaller_with_each_loss(void **state)
{
	static const uint32_t company[] = { 64, 8, 1, 1 };
	struct query *q = query_add(&t, 1, 1000, wire, 40);
	size_t i;

	(void)state;
	for (; q->lost < QUERY_LOST_MAX; q->lost++)
		assert_false(query_is_apart(q));
	for (i = 0; i < 4; i++, q->lost++) {
		assert_true(query_is_apart(q));
		assert_int_equal(query_company(q), company[i]);
	}
	q->lost = UINT8_MAX;
	assert_int_equal(query_company(q), 1);
	q->lost = QUERY_LOST_MAX;
	q->odd = true;
	assert_int_equal(query_company(q), 1);
	q->odd = false;
	q->transfer = true;
	assert_int_equal(query_company(q), 1);
	q->lost = 0;
	assert_true(query_is_apart(q));
}

/* What there is stays as it is when a long one gets no memory. */
static bool
hold_long_ones(void)
{
	static const uint8_t longer[STORE_CHUNK + 1];
	struct query_table held;
	struct query *small, *q, *twin;
	bool ok;

	if (query_table_init(&held, 16) == -1) {
		assert_null(held.entries);
		return false;
	}
	query_table_set_limit(&held, 16);
	small = query_add(&held, 1, 1000, longer, DNS_HDR_LEN);
	assert_non_null(small);
	q = query_add(&held, 2, 1000, longer, sizeof(longer));
	assert_int_equal(held.used, q != NULL ? 2 : 1);
	assert_int_equal(held.longs.bytes, q != NULL ? sizeof(longer) : 0);
	twin = q != NULL ? query_twin(&held, q) : NULL;
	assert_int_equal(held.npairs, twin != NULL);
	assert_true(q == NULL || q->twin == twin);
	ok = twin != NULL;
	assert_ptr_equal(query_find(&held, 1), small);
	if (q == NULL)
		q = query_add(&held, 2, 1000, longer, sizeof(longer));
	assert_ptr_equal(query_find(&held, 2), q);
	query_table_free(&held);
	return ok;
}

static void
test_each_allocation_fails(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(hold_long_ones);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_fails),
		T(test_holds_a_copy),
		T(test_long_message_is_held_too),
		T(test_full_table_refuses),
		T(test_limit_can_change),
		T(test_shorter_timeout_finds_its_place),
		T(test_long_messages_have_a_limit),
		T(test_deadlines_are_in_order),
		T(test_equal_deadlines_keep_their_order),
		T(test_untouched_entries_stay_untouched),
		T(test_descending_deadlines_end_too),
		T(test_twins),
		T(test_found_by_handle),
		T(test_company_gets_smaller_with_each_loss),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
