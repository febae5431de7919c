/* SPDX-License-Identifier: ISC */
/* Clocks, addresses as text, names of policies, and random numbers. */
/* LINK: common/util.c common/log.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <poll.h>
#include <time.h>
#include <cmocka.h>

#include "common/util.h"
#include "common/wire.h"

static uint64_t
boot_ms(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &ts), 0);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void
clocks(void **state)
{
	uint64_t us = util_now_us(), ms = util_now_ms(), asleep;

	(void)state;
	assert_in_range(ms, us / 1000, us / 1000 + 1000);
	asleep = util_asleep_ms();
	(void)poll(NULL, 0, 30);
	assert_in_range(util_now_ms() - ms, 29, 1000);
	assert_in_range(util_now_us() - us, 29000, 1000000);
	/* Whoever else runs in between may make half a second of difference. */
	assert_in_range(asleep + 500, boot_ms() - util_now_ms(),
	    boot_ms() - util_now_ms() + 1000);
	assert_in_range(util_asleep_ms() + 500, asleep, asleep + 1000);
}

static struct sockaddr_storage
v4(const char *addr, uint16_t port)
{
	struct sockaddr_storage ss;
	struct sockaddr_in *sin = (struct sockaddr_in *)&ss;

	memset(&ss, 0, sizeof(ss));
	sin->sin_family = AF_INET;
	sin->sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, addr, &sin->sin_addr), 1);
	return ss;
}

static struct sockaddr_storage
v6(const char *addr, uint16_t port, uint32_t scope)
{
	struct sockaddr_storage ss;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&ss;

	memset(&ss, 0, sizeof(ss));
	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = htons(port);
	sin6->sin6_scope_id = scope;
	assert_int_equal(inet_pton(AF_INET6, addr, &sin6->sin6_addr), 1);
	return ss;
}

static void
text_is(struct sockaddr_storage ss, const char *host, const char *whole,
    uint16_t port, socklen_t len)
{
	char buf[SOCKADDR_TEXT_MAX];

	assert_string_equal(sockaddr_host_text(&ss, buf), host);
	assert_ptr_equal(sockaddr_text(&ss, buf), buf);
	assert_string_equal(buf, whole);
	assert_int_equal(sockaddr_port(&ss), port);
	assert_int_equal(sockaddr_len(&ss), len);
}

static void
addresses_as_text(void **state)
{
	const socklen_t len4 = sizeof(struct sockaddr_in);
	const socklen_t len6 = sizeof(struct sockaddr_in6);
	struct sockaddr_storage none;

	(void)state;
	text_is(v4("0.0.0.0", 0), "0.0.0.0", "0.0.0.0:0", 0, len4);
	text_is(v4("255.255.255.255", 65535), "255.255.255.255",
	    "255.255.255.255:65535", 65535, len4);
	text_is(v6("::1", 53, 0), "::1", "[::1]:53", 53, len6);
	text_is(
	    v6("fe80::1", 853, 2), "fe80::1%2", "[fe80::1%2]:853", 853, len6);
	/* The longest there is. */
	text_is(
	    v6("1111:2222:3333:4444:5555:6666:7777:8888", 65535, UINT32_MAX),
	    "1111:2222:3333:4444:5555:6666:7777:8888%4294967295",
	    "[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535", 65535,
	    len6);
	text_is(
	    v6("1111:2222:3333:4444:5555:6666:255.255.255.255", 1, UINT32_MAX),
	    "1111:2222:3333:4444:5555:6666:ffff:ffff%4294967295",
	    "[1111:2222:3333:4444:5555:6666:ffff:ffff%4294967295]:1", 1, len6);
	memset(&none, 0xff, sizeof(none));
	none.ss_family = AF_UNIX;
	text_is(none, "?", "?:0", 0, 0);
}

static void
addresses_equal(void **state)
{
	const struct sockaddr_storage a[] = { v4("127.0.0.1", 53),
		v4("127.0.0.2", 53), v4("127.0.0.1", 54), v6("::1", 53, 0),
		v6("::2", 53, 0), v6("::1", 54, 0), v6("::1", 53, 1),
		v6("::ffff:127.0.0.1", 53, 0) };
	struct sockaddr_storage other, none;
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(a) / sizeof(a[0]); i++)
		for (j = 0; j < sizeof(a) / sizeof(a[0]); j++)
			assert_int_equal(sockaddr_equal(&a[i], &a[j]), i == j);
	/* What is no part of the address does not count. */
	other = a[0];
	memset(((struct sockaddr_in *)&other)->sin_zero, 7, 8);
	assert_true(sockaddr_equal(&a[0], &other));
	other = a[3];
	((struct sockaddr_in6 *)&other)->sin6_flowinfo = 7;
	assert_true(sockaddr_equal(&a[3], &other));
	memset(&none, 0, sizeof(none));
	assert_false(sockaddr_equal(&none, &none));
}

static void
policy_names(void **state)
{
	(void)state;
	assert_string_equal(
	    conf_policy_name(POLICY_ROUND_ROBIN), "round-robin");
	assert_string_equal(conf_policy_name(POLICY_RANDOM), "random");
	assert_string_equal(
	    conf_policy_name(POLICY_HISTORICAL), "historical-connections");
	assert_string_equal(
	    conf_policy_name(POLICY_AVAILABILITY), "availability");
	assert_string_equal(conf_policy_name(POLICY_FAILOVER), "failover");
	assert_string_equal(conf_policy_name(POLICY_LATENCY), "latency");
	assert_string_equal(conf_policy_name(POLICY_COUNT), "?");
}

/* A store of 1 KiB is used up to the last whole number, no byte twice. */
static void
random_uses_no_byte_twice(void **state)
{
	struct rng rng;
	uint8_t used[sizeof(rng.buf) / 2] = { 0 };
	uint16_t v;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rng.buf); i += 2) {
		rng.buf[i] = (uint8_t)(i / 2 >> 8);
		rng.buf[i + 1] = (uint8_t)(i / 2);
	}
	rng.left = sizeof(rng.buf);
	for (i = 0; i < sizeof(used); i++) {
		v = rng_u16(&rng);
		assert_true(v < sizeof(used));
		assert_int_equal(used[v]++, 0);
	}
	assert_int_equal(rng.left, 0);
}

/* Zeroed, it fills itself; too little for a number, it fills itself again. */
static void
random_refills(void **state)
{
	struct rng rng;
	size_t left;

	(void)state;
	memset(&rng, 0, sizeof(rng));
	(void)rng_u32(&rng);
	assert_int_equal(rng.left, sizeof(rng.buf) - 4);
	for (left = 0; left < 4; left++) {
		memset(rng.buf, 0, sizeof(rng.buf));
		rng.left = left;
		/* One in four thousand millions is 0. */
		assert_int_not_equal(rng_u32(&rng), 0);
		assert_int_equal(rng.left, sizeof(rng.buf) - 4);
	}
	rng.left = 1;
	(void)rng_u16(&rng);
	assert_int_equal(rng.left, sizeof(rng.buf) - 2);
}

/* Every bit of the store is set at times, and at times it is not. */
static void
random_fills_the_store(void **state)
{
	struct rng rng;
	uint8_t any[sizeof(rng.buf)] = { 0 }, all[sizeof(rng.buf)];
	size_t i;
	int n;

	(void)state;
	memset(&rng, 0, sizeof(rng));
	memset(all, 0xff, sizeof(all));
	for (n = 0; n < 64; n++) {
		rng.left = 0;
		(void)rng_u16(&rng);
		for (i = 0; i < sizeof(any); i++) {
			any[i] |= rng.buf[i];
			all[i] &= rng.buf[i];
		}
	}
	for (i = 0; i < sizeof(any); i++) {
		assert_int_equal(any[i], 0xff);
		assert_int_equal(all[i], 0);
	}
}

/* All of 2^16 values turn up, about as often as they should. */
static void
random_covers_16_bits(void **state)
{
	uint16_t *count = calloc(65536, sizeof(*count));
	struct rng rng;
	uint32_t i, most = 0, never = 0;

	(void)state;
	assert_non_null(count);
	memset(&rng, 0, sizeof(rng));
	for (i = 0; i < 16 * 65536; i++)
		count[rng_u16(&rng)]++;
	for (i = 0; i < 65536; i++) {
		never += count[i] == 0;
		most = count[i] > most ? count[i] : most;
	}
	assert_true(never < 10); /* 0.007 are to be expected */
	assert_in_range(most, 17, 60);
	free(count);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clocks),
		cmocka_unit_test(addresses_as_text),
		cmocka_unit_test(addresses_equal),
		cmocka_unit_test(policy_names),
		cmocka_unit_test(random_uses_no_byte_twice),
		cmocka_unit_test(random_refills),
		cmocka_unit_test(random_fills_the_store),
		cmocka_unit_test(random_covers_16_bits),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
