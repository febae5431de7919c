/* SPDX-License-Identifier: ISC */
/* LINK: */
/* IDs on a connection: never two alike, found in one step, all to be had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dotproxy/pool/idmap.h"
#include "tests/unit/alloc_fail.h"

static void
test_empty_map_knows_no_id(void **state)
{
	struct idmap m = { 0 };

	(void)state;
	assert_int_equal(idmap_get(&m, 0), IDMAP_NONE);
	assert_int_equal(idmap_get(&m, 65535), IDMAP_NONE);
	idmap_remove(&m, 7);
	idmap_abandon(&m, 7);
	assert_int_equal(m.used, 0);
	idmap_free(&m);
}

static void
test_random_bits_are_the_id_if_the_slot_is_free(void **state)
{
	struct idmap m = { 0 };
	uint16_t id = 0;

	(void)state;
	assert_true(idmap_add(&m, 5, 0xabcd, &id));
	assert_int_equal(id, 0xabcd);
	assert_int_equal(idmap_get(&m, 0xabcd), 5);
	/* Same slot, another ID: not in use. */
	assert_int_equal(idmap_get(&m, 0xabcd ^ 0x8000), IDMAP_NONE);
	/* The same bits once more: another ID, near by. */
	assert_true(idmap_add(&m, 6, 0xabcd, &id));
	assert_int_not_equal(id, 0xabcd);
	assert_int_equal(id & 0xfff0, 0xabc0);
	assert_int_equal(idmap_get(&m, id), 6);
	assert_int_equal(idmap_get(&m, 0xabcd), 5);
	idmap_free(&m);
}

static void
test_probing_wraps_at_the_end(void **state)
{
	struct idmap m = { 0 };
	uint16_t a, b;

	(void)state;
	assert_true(idmap_add(&m, 1, 0xffff, &a));
	assert_true(idmap_add(&m, 2, 0xffff, &b));
	assert_int_equal(a, 0xffff);
	assert_int_equal(b, 0xfff0);
	idmap_free(&m);
}

static void
test_removed_id_is_free_again(void **state)
{
	struct idmap m = { 0 };
	uint16_t id;

	(void)state;
	assert_true(idmap_add(&m, 5, 0x1234, &id));
	idmap_remove(&m, id);
	assert_int_equal(m.used, 0);
	assert_int_equal(idmap_get(&m, 0x1234), IDMAP_NONE);
	assert_true(idmap_add(&m, 9, 0x1234, &id));
	assert_int_equal(id, 0x1234);
	assert_int_equal(idmap_get(&m, id), 9);
	idmap_free(&m);
}

static void
test_abandoned_id_stays_taken(void **state)
{
	struct idmap m = { 0 };
	uint16_t id, other;

	(void)state;
	assert_true(idmap_add(&m, 5, 0x1234, &id));
	idmap_abandon(&m, id);
	assert_int_equal(m.used, 1);
	assert_int_equal(idmap_get(&m, id), IDMAP_ABANDONED);
	assert_true(idmap_add(&m, 6, 0x1234, &other));
	assert_int_not_equal(other, id);
	idmap_remove(&m, id);
	assert_int_equal(idmap_get(&m, id), IDMAP_NONE);
	idmap_free(&m);
}

/* A deterministic generator: a failure can be repeated. */
static uint16_t
next_random(uint32_t *x)
{
	*x = *x * 1664525u + 1013904223u;
	return (uint16_t)(*x >> 16);
}

static void
test_holds_half_of_its_slots_and_no_more(void **state)
{
	static uint16_t ids[IDMAP_MAX];
	static bool taken[65536];
	struct idmap m = { 0 };
	uint32_t i, x = 1;

	(void)state;
	memset(taken, 0, sizeof(taken));
	for (i = 0; i < IDMAP_MAX / 2; i++) {
		assert_true(idmap_add(&m, i, next_random(&x), &ids[i]));
		assert_false(taken[ids[i]]);
		taken[ids[i]] = true;
	}
	assert_false(idmap_add(&m, i, next_random(&x), &ids[i]));
	assert_int_equal(m.used, IDMAP_MAX / 2);
	assert_int_equal(m.cap, IDMAP_MAX);
	/* Growing has moved nobody's ID. */
	for (i = 0; i < IDMAP_MAX / 2; i++)
		assert_int_equal(idmap_get(&m, ids[i]), i);
	for (i = 0; i < 65536; i++)
		if (!taken[i])
			assert_int_equal(
			    idmap_get(&m, (uint16_t)i), IDMAP_NONE);
	idmap_free(&m);
}

static void
test_all_ids_from_one_random_number(void **state)
{
	struct idmap m = { 0 };
	uint16_t id;
	uint32_t i;

	(void)state;
	/* The worst generator there is must still give different IDs. */
	for (i = 0; i < 1000; i++) {
		assert_true(idmap_add(&m, i, 42, &id));
		assert_int_equal(idmap_get(&m, id), i);
	}
	assert_int_equal(m.used, 1000);
	idmap_free(&m);
}

static void
test_churn(void **state)
{
	static uint32_t owner[65536];
	struct idmap m = { 0 };
	uint32_t i, x = 7, held = 0;
	uint16_t id = 0, r;

	(void)state;
	for (i = 0; i < 65536; i++)
		owner[i] = IDMAP_NONE;
	for (i = 0; i < 200000; i++) {
		r = next_random(&x);
		if (owner[r] != IDMAP_NONE) {
			assert_int_equal(idmap_get(&m, r), owner[r]);
			idmap_remove(&m, r);
			owner[r] = IDMAP_NONE;
			held--;
		}
		if (held < 3000) {
			assert_true(idmap_add(&m, i, r, &id));
			assert_int_equal(owner[id], IDMAP_NONE);
			owner[id] = i;
			held++;
		}
		assert_int_equal(m.used, held);
	}
	idmap_free(&m);
}

/* Those there are keep their IDs when there is no room for more. */
static bool
add_many(void)
{
	struct idmap m = { .cap = 0 };
	uint16_t ids[IDMAP_MIN * 4];
	bool ok = true;
	uint32_t i, n = 0;

	while (n < IDMAP_MIN * 4) {
		if (idmap_add(&m, n, (uint16_t)(n * 7919), &ids[n])) {
			n++;
			continue;
		}
		ok = false;
		assert_int_equal(m.used, n);
		for (i = 0; i < n; i++)
			assert_int_equal(idmap_get(&m, ids[i]), i);
	}
	for (i = 0; i < n; i++)
		assert_int_equal(idmap_get(&m, ids[i]), i);
	idmap_free(&m);
	return ok;
}

static void
test_each_allocation_fails(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(add_many);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_fails),
		cmocka_unit_test(test_empty_map_knows_no_id),
		cmocka_unit_test(
		    test_random_bits_are_the_id_if_the_slot_is_free),
		cmocka_unit_test(test_probing_wraps_at_the_end),
		cmocka_unit_test(test_removed_id_is_free_again),
		cmocka_unit_test(test_abandoned_id_stays_taken),
		cmocka_unit_test(test_holds_half_of_its_slots_and_no_more),
		cmocka_unit_test(test_all_ids_from_one_random_number),
		cmocka_unit_test(test_churn),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
