/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/listener/acl.c */
/*
 * The access list against a slow and obvious model of it: bits compared one
 * by one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "dotproxy/listener/acl.h"
#include "tests/unit/alloc_fail.h"

static struct conf_prefix
prefix(const char *text, uint8_t len)
{
	struct conf_prefix p;

	memset(&p, 0, sizeof(p));
	p.family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	p.len = len;
	assert_int_equal(inet_pton(p.family, text, p.addr), 1);
	return p;
}

static bool
admits(const struct acl *acl, const char *text)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };

	if (strchr(text, ':') != NULL) {
		assert_int_equal(inet_pton(AF_INET6, text, &sin6.sin6_addr), 1);
		return acl_admits(acl, (struct sockaddr *)&sin6);
	}
	assert_int_equal(inet_pton(AF_INET, text, &sin.sin_addr), 1);
	return acl_admits(acl, (struct sockaddr *)&sin);
}

static void
test_empty_admits_nobody(void **state)
{
	struct acl acl;

	(void)state;
	assert_int_equal(acl_build(&acl, NULL, 0), 0);
	assert_false(admits(&acl, "127.0.0.1"));
	assert_false(admits(&acl, "::1"));
	acl_clear(&acl);
}

static void
test_edges_of_a_prefix(void **state)
{
	struct conf_prefix p[] = { prefix("10.1.2.0", 23),
		prefix("192.0.2.7", 32), prefix("2001:db8::", 33) };
	struct acl acl;

	(void)state;
	assert_int_equal(acl_build(&acl, p, 3), 0);
	assert_false(admits(&acl, "10.1.1.255"));
	assert_true(admits(&acl, "10.1.2.0"));
	assert_true(admits(&acl, "10.1.3.255"));
	assert_false(admits(&acl, "10.1.4.0"));
	assert_false(admits(&acl, "192.0.2.6"));
	assert_true(admits(&acl, "192.0.2.7"));
	assert_false(admits(&acl, "192.0.2.8"));
	assert_false(admits(&acl, "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"));
	assert_true(admits(&acl, "2001:db8::"));
	assert_true(admits(&acl, "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"));
	assert_false(admits(&acl, "2001:db8:8000::"));
	acl_clear(&acl);
}

static void
test_host_bits_do_not_count(void **state)
{
	struct conf_prefix p = prefix("10.1.2.3", 8);
	struct acl acl;

	(void)state;
	assert_int_equal(acl_build(&acl, &p, 1), 0);
	assert_true(admits(&acl, "10.0.0.0"));
	assert_true(admits(&acl, "10.255.255.255"));
	assert_false(admits(&acl, "11.0.0.0"));
	acl_clear(&acl);
}

static void
test_everybody(void **state)
{
	struct conf_prefix p4 = prefix("0.0.0.0", 0), p6 = prefix("::", 0);
	struct acl acl;

	(void)state;
	assert_int_equal(acl_build(&acl, &p4, 1), 0);
	assert_true(admits(&acl, "0.0.0.0"));
	assert_true(admits(&acl, "255.255.255.255"));
	assert_false(admits(&acl, "::"));
	acl_clear(&acl);
	assert_int_equal(acl_build(&acl, &p6, 1), 0);
	assert_true(admits(&acl, "::"));
	assert_true(admits(&acl, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
	assert_false(admits(&acl, "1.2.3.4"));
	acl_clear(&acl);
}

static void
test_mapped_is_ipv4(void **state)
{
	struct conf_prefix p4 = prefix("192.0.2.0", 24);
	struct conf_prefix mapped = prefix("::ffff:192.0.2.0", 120);
	struct conf_prefix all6 = prefix("::", 0);
	struct acl acl;

	(void)state;
	assert_int_equal(acl_build(&acl, &p4, 1), 0);
	assert_true(admits(&acl, "::ffff:192.0.2.200"));
	assert_false(admits(&acl, "::ffff:192.0.3.0"));
	assert_false(admits(&acl, "::192.0.2.200"));
	acl_clear(&acl);
	assert_int_equal(acl_build(&acl, &mapped, 1), 0);
	assert_true(admits(&acl, "192.0.2.200"));
	assert_true(admits(&acl, "::ffff:192.0.2.200"));
	assert_false(admits(&acl, "192.0.1.255"));
	acl_clear(&acl);
	/* No IPv6 prefix, however short, speaks of IPv4 clients. */
	assert_int_equal(acl_build(&acl, &all6, 1), 0);
	assert_false(admits(&acl, "::ffff:192.0.2.200"));
	acl_clear(&acl);
}

static void
test_ranges_are_merged(void **state)
{
	struct conf_prefix p[] = { prefix("10.0.1.0", 24),
		prefix("10.0.0.0", 24), prefix("10.0.0.0", 25),
		prefix("10.0.0.0", 24), prefix("10.0.3.0", 24),
		prefix("255.255.255.255", 32), prefix("0.0.0.0", 32) };
	struct acl acl;

	(void)state;
	assert_int_equal(acl_build(&acl, p, 7), 0);
	assert_int_equal(acl.v4.n, 4);
	assert_true(admits(&acl, "10.0.0.0"));
	assert_true(admits(&acl, "10.0.1.255"));
	assert_false(admits(&acl, "10.0.2.0"));
	assert_true(admits(&acl, "10.0.3.0"));
	assert_true(admits(&acl, "0.0.0.0"));
	assert_false(admits(&acl, "0.0.0.1"));
	assert_true(admits(&acl, "255.255.255.255"));
	acl_clear(&acl);
}

static void
test_other_families(void **state)
{
	struct conf_prefix p[] = { prefix("0.0.0.0", 0), prefix("::", 0) };
	struct sockaddr sa = { .sa_family = AF_UNIX };
	struct acl acl;

	(void)state;
	assert_int_equal(acl_build(&acl, p, 2), 0);
	assert_false(acl_admits(&acl, &sa));
	acl_clear(&acl);
}

static void
test_bad_prefix_is_refused(void **state)
{
	struct conf_prefix p = prefix("10.0.0.0", 8);
	struct acl acl;

	(void)state;
	p.len = 33;
	assert_int_equal(acl_build(&acl, &p, 1), -1);
	assert_false(admits(&acl, "10.0.0.1"));
	p.family = AF_INET6;
	p.len = 129;
	assert_int_equal(acl_build(&acl, &p, 1), -1);
	p.family = AF_UNIX;
	p.len = 8;
	assert_int_equal(acl_build(&acl, &p, 1), -1);
	acl_clear(&acl);
}

/* A small generator: the test must be the same every time. */
static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static bool
model_covers(const struct conf_prefix *p, uint8_t family, const uint8_t *addr)
{
	uint32_t bit;

	if (p->family != family)
		return false;
	for (bit = 0; bit < p->len; bit++)
		if (((p->addr[bit / 8] ^ addr[bit / 8]) >> (7 - bit % 8)) & 1)
			return false;
	return true;
}

static void
random_addr(uint32_t *seed, uint8_t family, uint8_t addr[16])
{
	size_t i, n = family == AF_INET ? 4 : 16;

	memset(addr, 0, 16);
	/* Few different bytes, so that prefixes touch and overlap. */
	for (i = 0; i < n; i++)
		addr[i] = (uint8_t)(next_random(seed) % 4 * 85);
	if (family == AF_INET6)
		addr[0] |= 1; /* not IPv4-mapped */
}

static void
test_against_model(void **state)
{
	struct conf_prefix p[40];
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };
	uint32_t seed = 1, round, i, n, probe;
	uint8_t addr[16], family;
	struct acl acl;
	bool want, got;

	(void)state;
	for (round = 0; round < 500; round++) {
		n = 1 + next_random(&seed) % 40;
		for (i = 0; i < n; i++) {
			p[i].family =
			    next_random(&seed) % 2 ? AF_INET : AF_INET6;
			p[i].len =
			    (uint8_t)(next_random(&seed) %
				      (p[i].family == AF_INET ? 33 : 129));
			random_addr(&seed, p[i].family, p[i].addr);
		}
		assert_int_equal(acl_build(&acl, p, n), 0);
		for (probe = 0; probe < 200; probe++) {
			family = probe % 2 ? AF_INET : AF_INET6;
			random_addr(&seed, family, addr);
			if (probe % 3 == 0) {
				/* near a prefix: that is where errors are */
				i = next_random(&seed) % n;
				family = p[i].family;
				memcpy(addr, p[i].addr, 16);
				addr[next_random(&seed) %
				     (family == AF_INET ? 4 : 16)] ^=
				    (uint8_t)(1 << next_random(&seed) % 8);
			}
			for (want = false, i = 0; i < n; i++)
				want |= model_covers(&p[i], family, addr);
			memcpy(&sin.sin_addr, addr, 4);
			memcpy(&sin6.sin6_addr, addr, 16);
			got = acl_admits(&acl, family == AF_INET
						   ? (struct sockaddr *)&sin
						   : (struct sockaddr *)&sin6);
			assert_int_equal(got, want);
		}
		acl_clear(&acl);
	}
}

static bool
build_two(void)
{
	const struct conf_prefix nets[] = {
		{ .family = AF_INET, .len = 8, .addr = { 10 } },
		{ .family = AF_INET6, .len = 16, .addr = { 0xfd } },
	};
	struct acl acl;
	int r = acl_build(&acl, nets, 2);

	/* Nobody is let in by one that was not made. */
	assert_int_equal(acl.v4.n + acl.v6.n, r == 0 ? 2 : 0);
	acl_clear(&acl);
	return r == 0;
}

static void
test_each_allocation_fails(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(build_two);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_fails),
		cmocka_unit_test(test_empty_admits_nobody),
		cmocka_unit_test(test_edges_of_a_prefix),
		cmocka_unit_test(test_host_bits_do_not_count),
		cmocka_unit_test(test_everybody),
		cmocka_unit_test(test_mapped_is_ipv4),
		cmocka_unit_test(test_ranges_are_merged),
		cmocka_unit_test(test_other_families),
		cmocka_unit_test(test_bad_prefix_is_refused),
		cmocka_unit_test(test_against_model),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
