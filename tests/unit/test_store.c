/* SPDX-License-Identifier: ISC */
/* LINK: common/store.c */
/* Memory for long messages: distinct, used again, and never too much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/store.h"
#include "tests/unit/alloc_fail.h"

#define CHUNKS 4
#define MAX ((size_t)CHUNKS * STORE_CHUNK)

static struct store store;

static int
set_up(void **state)
{
	(void)state;
	return store_init(&store, MAX);
}

static int
tear_down(void **state)
{
	(void)state;
	store_clear(&store);
	return 0;
}

static bool
is_chunk(const uint8_t *p)
{
	return p >= store.chunks && p < store.chunks + MAX;
}

static void
test_what_is_given_back_is_used_next(void **state)
{
	uint8_t *a, *b;

	(void)state;
	a = store_take(&store, 513);
	b = store_take(&store, STORE_CHUNK);
	assert_non_null(a);
	assert_non_null(b);
	assert_true(is_chunk(a) && is_chunk(b));
	assert_int_equal(store.bytes, 513 + STORE_CHUNK);
	store_give(&store, a, 513);
	assert_ptr_equal(store_take(&store, 1000), a);
	store_give(&store, b, STORE_CHUNK);
	store_give(&store, a, 1000);
	assert_int_equal(store.bytes, 0);
	assert_int_equal(store.touched, 2);
}

static void
test_all_are_distinct_and_hold_what_is_written(void **state)
{
	uint8_t *p[3 * CHUNKS];
	size_t i, j;

	(void)state;
	for (i = 0; i < 3 * CHUNKS; i++) {
		p[i] = store_take(&store, 1000);
		assert_non_null(p[i]);
		assert_int_equal(is_chunk(p[i]), i < CHUNKS);
		memset(p[i], (int)i, 1000);
	}
	for (i = 0; i < 3 * CHUNKS; i++) {
		for (j = 0; j < 1000; j++)
			assert_int_equal(p[i][j], i);
		store_give(&store, p[i], 1000);
	}
	assert_int_equal(store.bytes, 0);
	assert_int_equal(store.nfree, CHUNKS);
}

static void
test_longer_than_a_chunk(void **state)
{
	uint8_t *p = store_take(&store, STORE_CHUNK + 1);

	(void)state;
	assert_non_null(p);
	assert_false(is_chunk(p));
	memset(p, 1, STORE_CHUNK + 1);
	store_give(&store, p, STORE_CHUNK + 1);
	assert_int_equal(store.bytes, 0);
}

static void
test_budget(void **state)
{
	uint8_t *p, *q;

	(void)state;
	assert_null(store_take(&store, MAX + 1));
	p = store_take(&store, MAX - 600);
	assert_non_null(p);
	assert_null(store_take(&store, 601));
	q = store_take(&store, 600);
	assert_non_null(q);
	assert_null(store_take(&store, 1));
	store_give(&store, p, MAX - 600);
	store_give(&store, q, 600);
	store_give(&store, NULL, 0);
	assert_int_equal(store.bytes, 0);
}

static bool
make_and_take(void)
{
	struct store s;
	uint8_t *p;
	bool ok;

	if (store_init(&s, (size_t)4 * STORE_CHUNK) == -1) {
		assert_null(s.chunks);
		return false;
	}
	p = store_take(&s, STORE_CHUNK + 1);
	ok = p != NULL;
	assert_int_equal(s.bytes, ok ? STORE_CHUNK + 1 : 0);
	store_give(&s, p, STORE_CHUNK + 1);
	p = store_take(&s, STORE_CHUNK);
	assert_non_null(p);
	store_give(&s, p, STORE_CHUNK);
	assert_int_equal(s.bytes, 0);
	store_clear(&s);
	return ok;
}

static void
test_each_allocation_fails(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(make_and_take);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_what_is_given_back_is_used_next, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_all_are_distinct_and_hold_what_is_written, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_longer_than_a_chunk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_budget, set_up, tear_down),
		cmocka_unit_test(test_each_allocation_fails),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
