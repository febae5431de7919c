/* SPDX-License-Identifier: ISC */
/* Durations, numbers, addresses and policies as Go has them. */
/* LINK: dotproxy/parent/conf_go.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dotproxy/parent/conf_go.h"

static void
durations_are_those_of_go(void **state)
{
	static const struct {
		const char *text;
		uint32_t ms;
	} good[] = { { "0", 0 }, { "+0", 0 }, { "-0", 0 }, { "0s", 0 },
		{ "1.5s", 1500 }, { "100ms", 100 }, { "1h2m", 3720000 },
		{ "2m1h", 3720000 }, { ".5s", 500 }, { "5.s", 5000 },
		{ "1500us", 2 }, { "1500\302\265s", 2 }, { "1500\316\274s", 2 },
		{ "1ns", 1 }, { "1000000ns", 1 }, { "1000001ns", 2 },
		{ "-5s", 0 }, { "+5s", 5000 }, { "0.1s", 100 }, { "0.3s", 300 },
		{ "1s1s", 2000 }, { "2000h", UINT32_MAX } };
	static const struct {
		const char *text;
		const char *why;
	} bad[] = { { "", "is not a duration" }, { "s", "is not a duration" },
		{ ".s", "is not a duration" }, { "-", "is not a duration" },
		{ "1s ", "is not a duration: its unit is unknown" },
		{ "5", "is not a duration: it has no unit (ms, s, m, h)" },
		{ "1s5", "is not a duration: it has no unit (ms, s, m, h)" },
		{ "3d", "is not a duration: its unit is unknown" },
		{ "3S", "is not a duration: its unit is unknown" },
		{ "--5s", "is not a duration" },
		{ "3000000h", "is not a duration: too long" },
		{ "99999999999999999999999h", "is not a duration: too long" } };
	uint32_t ms;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ms = 7;
		assert_null(go_duration(good[i].text, &ms));
		assert_int_equal(ms, good[i].ms);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ms = 7;
		assert_string_equal(go_duration(bad[i].text, &ms), bad[i].why);
		assert_int_equal(ms, 7);
	}
}

static void
numbers_saturate(void **state)
{
	static const char *const bad[] = { "", "-", "1.5", "0x10", "1 ", "x" };
	int32_t n;
	size_t i;

	(void)state;
	assert_null(go_int("16", &n));
	assert_int_equal(n, 16);
	assert_null(go_int("-1", &n));
	assert_int_equal(n, -1);
	assert_null(go_int("+2", &n));
	assert_int_equal(n, 2);
	assert_null(go_int("99999999999999999999", &n));
	assert_int_equal(n, INT32_MAX);
	assert_null(go_int("-99999999999999999999", &n));
	assert_int_equal(n, INT32_MIN);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_string_equal(go_int(bad[i], &n), "is not a number");
}

static void
fractions_are_from_0_to_1(void **state)
{
	static const char *const bad[] = { "", "x", "nan", "inf", "0x1", "1..",
		"e" };
	uint32_t ppm;
	size_t i;

	(void)state;
	assert_null(go_fraction("0", &ppm));
	assert_int_equal(ppm, 0);
	assert_null(go_fraction("1.0", &ppm));
	assert_int_equal(ppm, 1000000);
	assert_null(go_fraction("0.25", &ppm));
	assert_int_equal(ppm, 250000);
	assert_null(go_fraction("1e-9", &ppm));
	assert_int_equal(ppm, 1);
	assert_string_equal(go_fraction("1.01", &ppm), "is not from 0 to 1");
	assert_string_equal(go_fraction("-0.1", &ppm), "is not from 0 to 1");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_string_equal(
		    go_fraction(bad[i], &ppm), "is not a number");
}

static void
addresses_are_taken_apart(void **state)
{
	static const struct {
		const char *text;
		const char *host;
		const char *port;
		const char *why;
	} all[] = { { "127.0.0.1:53", "127.0.0.1", "53", NULL },
		{ ":53", "", "53", NULL }, { "[::1]:53", "::1", "53", NULL },
		{ "[]:53", "", "53", NULL }, { "a.b:x", "a.b", "x", NULL },
		{ "127.0.0.1", NULL, NULL, "has no port" },
		{ "127.0.0.1:", NULL, NULL, "has no port" },
		{ "[::1]", NULL, NULL, "has no port" },
		{ "[::1]53", NULL, NULL, "has no port" },
		{ "", NULL, NULL, "has no port" },
		{ "[::1:53", NULL, NULL, "has no \"]\"" },
		{ "::1:53", NULL, NULL,
		    "has too many colons: write [address]:port" },
		{ "1234567890123456:53", NULL, NULL, "is too long" },
		{ "123456789012345:53", "123456789012345", "53", NULL } };
	const char *port, *why;
	char host[16];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		why = go_host_port(all[i].text, host, sizeof(host), &port);
		if (all[i].why != NULL) {
			assert_non_null(why);
			assert_string_equal(why, all[i].why);
			continue;
		}
		assert_null(why);
		assert_string_equal(host, all[i].host);
		assert_string_equal(port, all[i].port);
	}
}

static void
policies_have_any_case(void **state)
{
	(void)state;
	assert_string_equal(go_policy("RoundRobin"), "round-robin");
	assert_string_equal(go_policy("RANDOM"), "random");
	assert_string_equal(
	    go_policy("historicalconnections"), "historical-connections");
	assert_string_equal(go_policy("Availability"), "availability");
	assert_string_equal(go_policy("failOver"), "failover");
	assert_null(go_policy("latency"));
	assert_null(go_policy(""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_those_of_go),
		cmocka_unit_test(numbers_saturate),
		cmocka_unit_test(fractions_are_from_0_to_1),
		cmocka_unit_test(addresses_are_taken_apart),
		cmocka_unit_test(policies_have_any_case),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
