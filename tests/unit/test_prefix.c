/* SPDX-License-Identifier: ISC */
/* LINK: common/util.c common/log.c */
/* LINK: dotproxy/listener/prefix.c */
/* Clients by the prefix of their address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "dotproxy/listener/prefix.h"
#include "tests/unit/alloc_fail.h"

static struct prefixes table;

static int
setup(void **state)
{
	struct rng rng = { .left = 0 };

	(void)state;
	return prefixes_init(&table, 8192, &rng);
}

static int
teardown(void **state)
{
	(void)state;
	prefixes_clear(&table);
	return 0;
}

static struct prefix *
find(const char *host)
{
	union client_addr a;

	memset(&a, 0, sizeof(a));
	a.sa.sa_family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
	if (a.sa.sa_family == AF_INET)
		assert_int_equal(inet_pton(AF_INET, host, &a.in.sin_addr), 1);
	else
		assert_int_equal(
		    inet_pton(AF_INET6, host, &a.in6.sin6_addr), 1);
	return prefixes_find(&table, &a);
}

/* The same for a number, of which each is another client. */
static struct prefix *
find_number(uint32_t n)
{
	union client_addr a = { .in = { .sin_family = AF_INET } };

	a.in.sin_addr.s_addr = n;
	return prefixes_find(&table, &a);
}

static struct prefix *
hold(struct prefix *p)
{
	prefixes_hold(&table, p, false);
	return p;
}

static void
test_who_is_one_client(void **state)
{
	struct prefix *p = hold(find("192.0.2.1"));

	(void)state;
	assert_ptr_equal(find("192.0.2.1"), p);
	assert_ptr_not_equal(find("192.0.2.2"), p);
	p = hold(find("2001:db8:1:200::1"));
	assert_ptr_equal(find("2001:db8:1:200::2"), p);
	assert_ptr_equal(find("2001:db8:1:2ff:ffff::"), p);
	assert_ptr_not_equal(find("2001:db8:1:300::1"), p);
	/* On a link there is no prefix to tell them by. */
	p = hold(find("fe80::1"));
	assert_ptr_equal(find("fe80::1"), p);
	assert_ptr_not_equal(find("fe80::2"), p);
}

/* The same bytes are not the same client, in the same bucket neither. */
static void
test_families_are_apart(void **state)
{
	union client_addr v4 = { .in = { .sin_family = AF_INET } };
	union client_addr v6 = { .in6 = { .sin6_family = AF_INET6 } };
	struct prefix *p;
	uint32_t n;

	(void)state;
	prefixes_set_limit(&table, 1);
	for (n = 1; n <= 32; n++) {
		v4.in.sin_addr.s_addr = n;
		memcpy(&v6.in6.sin6_addr, &n, sizeof(n));
		p = hold(prefixes_find(&table, &v4));
		assert_ptr_not_equal(prefixes_find(&table, &v6), p);
		prefixes_release(&table, p, false);
	}
}

static void
test_counts_are_by_transport(void **state)
{
	struct prefix *p = find("192.0.2.1");

	(void)state;
	assert_int_equal(prefix_queries(p), 0);
	prefixes_hold(&table, p, false);
	prefixes_hold(&table, p, true);
	prefixes_hold(&table, p, true);
	assert_int_equal(p->count[false], 1);
	assert_int_equal(p->count[true], 2);
	prefixes_release(&table, p, false);
	prefixes_release(&table, p, true);
	assert_ptr_equal(find("192.0.2.1"), p);
	assert_int_equal(prefix_queries(p), 1);
	prefixes_release(&table, p, true);
	assert_int_equal(p->net.a, 0); /* nothing is kept of who asked */
}

/* However many addresses are made up, who is in flight keeps his count. */
static void
test_flood_of_addresses_takes_nobody_out(void **state)
{
	struct prefix *p = hold(find("192.0.2.1"));
	uint32_t i, max;

	(void)state;
	for (i = 0; i < 4 * PREFIX_RECORDS_MAX; i++)
		(void)find_number(i);
	assert_ptr_equal(find("192.0.2.1"), p);
	assert_int_equal(prefix_queries(p), 1);
	max = table.touched;
	assert_int_equal(max, 2 * 8192); /* and memory has a limit */
	prefixes_set_limit(&table, 1);
	for (i = 0; i < 100; i++)
		(void)find_number(i << 16);
	assert_int_equal(table.touched, max);
	assert_ptr_equal(find("192.0.2.1"), p);
}

/* As many as there are slots, each another client; and again after a reload. */
static void
test_as_many_clients_as_queries(void **state)
{
	uint32_t i, round;

	(void)state;
	for (round = 0; round < 2; round++) {
		prefixes_set_limit(&table, CONF_INFLIGHT_MAX);
		for (i = 0; i < CONF_INFLIGHT_MAX; i++)
			(void)hold(find_number(i));
		prefixes_set_limit(&table, 1); /* those there are stay */
		(void)find_number(CONF_INFLIGHT_MAX);
		prefixes_set_limit(&table, CONF_INFLIGHT_MAX);
		for (i = 0; i < CONF_INFLIGHT_MAX; i++) {
			assert_int_equal(find_number(i)->count[false], 1);
			prefixes_release(&table, find_number(i), false);
		}
	}
	assert_true(table.touched <= CONF_INFLIGHT_MAX + 2);
}

/* Nobody outside can know which addresses meet in a bucket. */
static void
test_hash_is_secret(void **state)
{
	struct rng rng = { .left = 0 };
	struct keyhash a, b;
	struct keyhash_addr addr = { 0, 0 };
	uint32_t i, same = 0;

	(void)state;
	keyhash_draw(&a, &rng);
	keyhash_draw(&b, &rng);
	for (addr.a = 0; addr.a < 4096; addr.a++)
		same += keyhash(&a, addr, 0) % 64 == keyhash(&b, addr, 0) % 64;
	assert_true(same < 4096 / 4);
	/* Every bit of the key counts. */
	for (i = 0; i < 64; i++) {
		addr = (struct keyhash_addr){ 1ull << i, 0 };
		assert_true(keyhash(&a, addr, 0) != (uint32_t)(a.add >> 32));
		addr = (struct keyhash_addr){ 0, 1ull << i };
		assert_true(keyhash(&a, addr, 0) != (uint32_t)(a.add >> 32));
	}
	assert_true(keyhash(&a, addr, 1) != keyhash(&a, addr, 2));
	assert_int_equal(keyhash_buckets(1), 1);
	assert_int_equal(keyhash_buckets(8192), 8192);
	assert_int_equal(keyhash_buckets(8193), 16384);
}

static bool
make_one(void)
{
	struct rng rng = { .left = 0 };
	struct prefixes t;
	int r = prefixes_init(&t, 16, &rng);

	prefixes_clear(&t);
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
		T(test_who_is_one_client),
		T(test_families_are_apart),
		T(test_counts_are_by_transport),
		T(test_flood_of_addresses_takes_nobody_out),
		T(test_as_many_clients_as_queries),
		T(test_hash_is_secret),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
