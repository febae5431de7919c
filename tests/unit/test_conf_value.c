/* SPDX-License-Identifier: ISC */
/*
 * Single values of the configuration: what is read, what is refused, and that
 * what is printed is read as the same.
 */
/* LINK: dotproxy/parent/conf_value.c dotproxy/parent/conf_addr.c */
/* LINK: common/log.c common/util.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "dotproxy/parent/conf_value.h"

static void
numbers(void **state)
{
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x1",
		"1k", "one", "1.0" };
	uint32_t n = 42;
	size_t i;

	(void)state;
	assert_null(value_number("0", &n));
	assert_int_equal(n, 0);
	assert_null(value_number("0010", &n));
	assert_int_equal(n, 10);
	assert_null(value_number("4294967295", &n));
	assert_int_equal(n, UINT32_MAX);
	assert_null(value_number("4294967296", &n));
	assert_int_equal(n, UINT32_MAX);
	assert_null(value_number("99999999999999999999999999999", &n));
	assert_int_equal(n, UINT32_MAX);
	n = 42;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(value_number(bad[i], &n));
	assert_int_equal(n, 42);
}

static void
percentages(void **state)
{
	static const char *const bad[] = { "", "%", "5", "5%%", "5 %", "-1%",
		"1.5%", "5%x", "0x5%" };
	uint32_t n;
	size_t i;

	(void)state;
	assert_null(value_percent("0%", &n));
	assert_int_equal(n, 0);
	assert_null(value_percent("100%", &n));
	assert_int_equal(n, 100);
	assert_null(value_percent("99999999999999999999%", &n));
	assert_int_equal(n, UINT32_MAX);
	n = 42;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(value_percent(bad[i], &n));
	assert_int_equal(n, 42);
}

static void
durations(void **state)
{
	static const struct {
		const char *text;
		uint32_t ms;
	} good[] = { { "0ms", 0 }, { "0h0m0s0ms", 0 }, { "100ms", 100 },
		{ "4s", 4000 }, { "1m30s", 90000 }, { "2m", 120000 },
		{ "1h", 3600000 }, { "1h1ms", 3600001 }, { "007s", 7000 },
		{ "90s", 90000 }, { "1s5000ms", 6000 },
		{ "1193h2m47s294ms", 4294967294u },
		{ "1193h2m47s295ms", UINT32_MAX }, { "1194h", UINT32_MAX },
		{ "99999999999999999999h99999999999999999999m", UINT32_MAX } };
	static const char *const bad[] = { "", "s", "ms", "1d", "1S", "1 s",
		"1s ", " 1s", "-1s", "1.5s", "1s1s", "30s1m", "1ms1s", "1sm",
		"1min", "1m1", "1" };
	uint32_t ms = 42;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_null(value_duration(good[i].text, &ms));
		assert_int_equal(ms, good[i].ms);
	}
	ms = 42;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(value_duration(bad[i], &ms));
	assert_int_equal(ms, 42);
	assert_string_equal(
	    value_duration("5", &ms), "has no unit (ms, s, m or h)");
}

static void
durations_survive_printing(void **state)
{
	static const uint32_t some[] = { 0, 1, 10, 999, 1000, 1001, 59999,
		60000, 60001, 90000, 3599999, 3600000, 3661001, 86400000,
		UINT32_MAX };
	char buf[VALUE_DURATION_TEXT_MAX];
	uint32_t ms;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		assert_null(
		    value_duration(value_duration_text(some[i], buf), &ms));
		assert_int_equal(ms, some[i]);
	}
	assert_string_equal(value_duration_text(90000, buf), "1m30s");
	assert_string_equal(value_duration_text(0, buf), "0ms");
	assert_string_equal(
	    value_duration_text(UINT32_MAX, buf), "1193h2m47s295ms");
}

static void
rates(void **state)
{
	static const char *const bad[] = { "", ".5", "1.", "-1", "1e-3",
		"0.0000001", "1,0", "1.0 ", "1.0.0", "half" };
	char buf[VALUE_RATE_TEXT_MAX];
	uint32_t ppm, got;
	size_t i;

	(void)state;
	assert_null(value_rate("1", &ppm));
	assert_int_equal(ppm, 1000000);
	assert_null(value_rate("0.50000000000", &ppm));
	assert_int_equal(ppm, 500000);
	assert_null(value_rate("0.000001", &ppm));
	assert_int_equal(ppm, 1);
	assert_null(value_rate("99999999999999999999.999999", &ppm));
	assert_int_equal(ppm, UINT32_MAX);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(value_rate(bad[i], &ppm));
	for (ppm = 0; ppm <= 1000000; ppm = ppm * 3 + 1) {
		assert_null(value_rate(value_rate_text(ppm, buf), &got));
		assert_int_equal(got, ppm);
	}
	assert_string_equal(value_rate_text(1000000, buf), "1");
	assert_string_equal(value_rate_text(100000, buf), "0.1");
	assert_string_equal(value_rate_text(0, buf), "0");
}

static void
addresses(void **state)
{
	static const char *const good[] = { "127.0.0.1", "255.255.255.254",
		"1.0.0.1", "::1", "2001:db8::1", "fd00::ffff", "1::" };
	struct sockaddr_storage ss;
	char buf[SOCKADDR_TEXT_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		memset(&ss, 0xff, sizeof(ss));
		assert_null(value_address(good[i], false, &ss));
		assert_string_equal(sockaddr_host_text(&ss, buf), good[i]);
		assert_int_equal(sockaddr_port(&ss), 0);
		value_set_port(&ss, 853);
		assert_int_equal(sockaddr_port(&ss), 853);
		assert_string_equal(sockaddr_host_text(&ss, buf), good[i]);
	}
	assert_null(value_address("0.0.0.0", true, &ss));
	assert_null(value_address("::", true, &ss));
	assert_non_null(value_address("0.0.0.0", false, &ss));
	assert_non_null(value_address("::", false, &ss));
	assert_non_null(value_address("255.255.255.255", true, &ss));
	assert_non_null(value_address("239.1.2.3", true, &ss));
	assert_non_null(value_address("127.0.0.1%lo", true, &ss));
	assert_non_null(value_address("fe80::1%", true, &ss));
	assert_non_null(value_address("fe80::1%0", true, &ss));
	assert_non_null(value_address(
	    "0000:0000:0000:0000:0000:0000:0000:0000:0000:0001", true, &ss));
}

/* A scope may be the name of an interface or its number; it prints as one. */
static void
scopes(void **state)
{
	unsigned int lo = if_nametoindex("lo");
	struct sockaddr_storage ss, again;
	struct sockaddr_in6 sin6;
	char buf[SOCKADDR_TEXT_MAX];

	(void)state;
	assert_null(value_address("fe80::1%7", false, &ss));
	memcpy(&sin6, &ss, sizeof(sin6));
	assert_int_equal(sin6.sin6_scope_id, 7);
	assert_null(value_address(sockaddr_host_text(&ss, buf), false, &again));
	assert_true(sockaddr_equal(&ss, &again));
	if (lo == 0)
		return; /* no loopback interface here */
	assert_null(value_address("fe80::1%lo", false, &ss));
	memcpy(&sin6, &ss, sizeof(sin6));
	assert_int_equal(sin6.sin6_scope_id, lo);
}

static void
prefixes(void **state)
{
	static const char *const same[] = { "0.0.0.0/0", "10.0.0.0/8",
		"192.0.2.128/25", "192.0.2.1/32", "::/0", "8000::/1",
		"fe80::/10", "2001:db8::/32", "::1/128" };
	struct conf_prefix p = { .family = 0 };
	char buf[VALUE_PREFIX_TEXT_MAX];
	size_t i;

	(void)state;
	assert_non_null(value_prefix("10.0.0.1/31", &p));
	assert_non_null(value_prefix("0.0.0.1/0", &p));
	assert_non_null(value_prefix("8000::/0", &p));
	assert_non_null(value_prefix("::1/127", &p));
	assert_non_null(value_prefix("::1/4294967296", &p));
	assert_non_null(value_prefix("/8", &p));
	assert_int_equal(p.family, 0);
	for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_null(value_prefix(same[i], &p));
		assert_string_equal(value_prefix_text(&p, buf), same[i]);
	}
	assert_null(value_prefix("192.0.2.1", &p));
	assert_string_equal(value_prefix_text(&p, buf), "192.0.2.1/32");
	assert_null(value_prefix("::1", &p));
	assert_string_equal(value_prefix_text(&p, buf), "::1/128");
}

/* Every value of every byte, and every length of the pending bits. */
static void
pins_survive_printing(void **state)
{
	uint8_t pin[CONF_PIN_LEN], got[CONF_PIN_LEN];
	char buf[PIN_TEXT_MAX];
	unsigned int seed, i;

	(void)state;
	for (seed = 0; seed < 256; seed++) {
		for (i = 0; i < sizeof(pin); i++)
			pin[i] = (uint8_t)(seed + i * 37);
		memset(got, 0, sizeof(got));
		assert_null(value_pin(pin_text(pin, buf), got));
		assert_memory_equal(got, pin, sizeof(pin));
		assert_int_equal(strlen(buf), sizeof(buf) - 1);
	}
}

/* The example of RFC 7469 2.1.5 is base64 from elsewhere. */
static void
pins_are_base64_as_others_write_it(void **state)
{
	static const char text[] =
	    "sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=";
	static const uint8_t want[CONF_PIN_LEN] = { 0x77, 0xaa, 0xb3, 0x46,
		0xef, 0x73, 0x38, 0x40, 0x9b, 0xf7, 0x45, 0x1e, 0xcf, 0x6e,
		0xf1, 0x5a, 0x5b, 0x4d, 0xb2, 0x3d, 0x1e, 0xd4, 0xc7, 0x7b,
		0x1a, 0x46, 0x18, 0x91, 0x5a, 0x19, 0x5a, 0x63 };
	uint8_t pin[CONF_PIN_LEN];
	char changed[sizeof(text)];
	size_t i;

	(void)state;
	assert_null(value_pin(text, pin));
	assert_memory_equal(pin, want, sizeof(want));
	/* No character is without effect, and none can be left out. */
	for (i = 0; i < sizeof(text) - 1; i++) {
		memcpy(changed, text, sizeof(text));
		changed[i] = '*';
		assert_non_null(value_pin(changed, pin));
		changed[i] = '\0';
		assert_non_null(value_pin(changed, pin));
	}
	assert_memory_equal(pin, want, sizeof(want));
}

static void
hosts(void **state)
{
	static const char *const good[] = { "a", "dns.google", "a-b.c", "1.a",
		"9.9.9.9", "2620:fe::fe", "xn--bcher-kva.example", "DNS.Google",
		"a.b1" };
	static const char *const bad[] = { "", ".", "a.", ".a", "a..b", "-a",
		"a-", "a.-b", "a_b", "a b", "1.2.3", "a.1", "1", "[::1]",
		"::1%1", "*.a", "b\303\274cher.example" };
	char name[300];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_null(value_host(good[i]));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(value_host(bad[i]));
	memset(name, 'a', sizeof(name));
	name[63] = '\0';
	assert_null(value_host(name));
	name[63] = 'a';
	name[64] = '\0';
	assert_non_null(value_host(name));
	/* 253 characters are the longest name (RFC 1035 2.3.4). */
	memset(name, 'a', sizeof(name));
	for (i = 63; i < 253; i += 64)
		name[i] = '.';
	name[253] = '\0';
	assert_null(value_host(name));
	name[253] = 'a';
	name[254] = '\0';
	assert_non_null(value_host(name));
}

static void
names(void **state)
{
	(void)state;
	assert_null(value_name("a"));
	assert_null(value_name("_dotproxy"));
	assert_null(value_name("0.A-z_9"));
	assert_non_null(value_name(""));
	assert_non_null(value_name("-a"));
	assert_non_null(value_name("a b"));
	assert_non_null(value_name("a/b"));
	assert_non_null(value_name("\303\244"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(percentages),
		cmocka_unit_test(durations),
		cmocka_unit_test(durations_survive_printing),
		cmocka_unit_test(rates),
		cmocka_unit_test(addresses),
		cmocka_unit_test(scopes),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(pins_survive_printing),
		cmocka_unit_test(pins_are_base64_as_others_write_it),
		cmocka_unit_test(hosts),
		cmocka_unit_test(names),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
