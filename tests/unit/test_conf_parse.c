/* SPDX-License-Identifier: ISC */
/*
 * The configuration as a whole: defaults, every setting at and beyond its
 * limits, every table full, macros from outside, and that nothing is kept
 * between runs.  What single errors look like is in tests/conf/.
 */
/* LINK: dotproxy/parent/conf_parse.y dotproxy/parent/conf_%.c */
/* LINK: common/log.c common/util.c */
/* LIBS: -lyaml */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>

#include "common/util.h"
#include "tests/unit/conf_text.h"

enum scope { SCOPE_TOP, SCOPE_CLIENT, SCOPE_UPSTREAM };

/* A setting that is a number or a duration, and the texts around its limits. */
static const struct setting {
	const char *name;
	enum scope scope;
	size_t offset; /* in struct conf, or in its first upstream */
	const char *below, *min, *max, *above;
	uint32_t min_value, max_value;
	const char *range;
} settings[] = {
#define TOP(f) SCOPE_TOP, offsetof(struct conf, f)
#define CLIENT(f) SCOPE_CLIENT, offsetof(struct conf, client.f)
#define UPSTREAM(f) SCOPE_UPSTREAM, offsetof(struct conf_upstream, f)
#define TIMEOUT "9ms", "10ms", "1h", "1h1ms", 10, 3600000, "10ms-1h"
	{ "retries", TOP(forward.retries), NULL, "0", "64", "65", 0, 64,
	    "0-64" },
	{ "query timeout", TOP(forward.query_timeout_ms), "9ms", "10ms", "60s",
	    "60001ms", 10, 60000, "10ms-1m" },
	{ "hedge", TOP(forward.hedge_percent), NULL, "0%", "100%", "101%", 0,
	    100, "0%-100%" },
	{ "tcp read timeout", CLIENT(tcp_read_timeout_ms), TIMEOUT },
	{ "tcp write timeout", CLIENT(tcp_write_timeout_ms), TIMEOUT },
	{ "max inflight", CLIENT(max_inflight), "0", "1", "65536", "65537", 1,
	    65536, "1-65536" },
	{ "max tcp connections", CLIENT(max_tcp), "0", "1", "65536", "65537", 1,
	    65536, "1-65536" },
	{ "max tcp connections per client", CLIENT(max_tcp_per_client), "0",
	    "1", "65536", "65537", 1, 65536, "1-65536" },
	{ "max transfers", CLIENT(max_transfers), NULL, "0", "256", "257", 0,
	    256, "0-256" },
	{ "rate limit", CLIENT(rate_limit), NULL, "0", "1000000", "1000001", 0,
	    1000000, "0-1000000" },
	{ "pool size", UPSTREAM(pool_size), "0", "1", "64", "65", 1, 64,
	    "1-64" },
	{ "connect timeout", UPSTREAM(connect_timeout_ms), TIMEOUT },
	{ "handshake timeout", UPSTREAM(handshake_timeout_ms), TIMEOUT },
	{ "read timeout", UPSTREAM(read_timeout_ms), TIMEOUT },
	{ "write timeout", UPSTREAM(write_timeout_ms), TIMEOUT },
	{ "stale timeout", UPSTREAM(stale_timeout_ms), TIMEOUT },
	{ "keep warm", UPSTREAM(keep_warm_ms), "999ms", "1s", "1h", "1h1ms",
	    1000, 3600000, "1s-1h" },
};

#define NSETTINGS (sizeof(settings) / sizeof(settings[0]))

/* A configuration which has one setting, at line 3 of its text. */
static void
setting_text(char *buf, size_t size, const struct setting *s, const char *value)
{
	static const char *const open[] = { "\n\n", "\nclient {\n",
		"upstream \"one\" {\naddress 192.0.2.1\n" };
	static const char *const close[] = { "", "}\n",
		"server name \"one.example\"\n}\n" };
	const char *up = s->scope == SCOPE_UPSTREAM ? "" : CONF_TEXT_BASE;
	int n;

	n = snprintf(buf, size, "%s%s %s\n%s%s%s", open[s->scope], s->name,
	    value, close[s->scope], up,
	    s->scope == SCOPE_UPSTREAM ? "listen on ::1\n" : "");
	assert_true(n > 0 && (size_t)n < size);
}

static void
expect_held(const struct setting *s, const char *text, uint32_t want)
{
	char buf[512];
	struct conf *conf;
	const char *base;
	uint32_t got;

	setting_text(buf, sizeof(buf), s, text);
	conf = conf_text_ok(buf);
	base = s->scope == SCOPE_UPSTREAM ? (char *)&conf->upstreams[0]
					  : (char *)conf;
	memcpy(&got, base + s->offset, sizeof(got));
	assert_int_equal(got, want);
	free(conf);
}

static void
expect_out_of_range(const struct setting *s, const char *text)
{
	char buf[512], want[256];

	setting_text(buf, sizeof(buf), s, text);
	(void)snprintf(want, sizeof(want), "t:3: %s %s is out of range (%s)\n",
	    s->name, text, s->range);
	conf_text_bad(buf, want);
}

static void
settings_hold_what_is_within_their_limits(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NSETTINGS; i++) {
		expect_held(
		    &settings[i], settings[i].min, settings[i].min_value);
		expect_held(
		    &settings[i], settings[i].max, settings[i].max_value);
	}
}

static void
settings_refuse_what_is_beyond_their_limits(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NSETTINGS; i++) {
		if (settings[i].below != NULL)
			expect_out_of_range(&settings[i], settings[i].below);
		expect_out_of_range(&settings[i], settings[i].above);
	}
}

/* Numbers which would be in range if they wrapped. */
static void
settings_do_not_wrap(void **state)
{
	(void)state;
	expect_out_of_range(&settings[0], "4294967297");
	expect_out_of_range(&settings[0], "18446744073709551617");
	expect_out_of_range(&settings[1], "4294967396ms");
	expect_out_of_range(&settings[1], "99999999999999999999h");
	expect_out_of_range(&settings[1], "1193h2m47s396ms");
}

static void
settings_stand_once(void **state)
{
	char value[128], buf[512], want[256];
	size_t i;

	(void)state;
	for (i = 0; i < NSETTINGS; i++) {
		(void)snprintf(value, sizeof(value), "%s\n%s %s",
		    settings[i].min, settings[i].name, settings[i].min);
		setting_text(buf, sizeof(buf), &settings[i], value);
		(void)snprintf(want, sizeof(want),
		    "t:4: %s was already given on line 3\n", settings[i].name);
		conf_text_bad(buf, want);
	}
}

static void
expect_rate(const char *line, uint32_t limit, uint32_t burst)
{
	char buf[512];
	struct conf *c;

	(void)snprintf(
	    buf, sizeof(buf), "client {\n%s\n}\n%s", line, CONF_TEXT_BASE);
	c = conf_text_ok(buf);
	assert_int_equal(c->client.rate_limit, limit);
	assert_int_equal(c->client.rate_burst, burst);
	free(c);
}

static void
burst_goes_with_the_rate_limit(void **state)
{
	(void)state;
	expect_rate("rate limit 20", 20, 20);
	expect_rate("rate limit 20 burst 1", 20, 1);
	expect_rate("rate limit 20 burst 1000000", 20, 1000000);
	expect_rate("rate limit 0 burst 5", 0, 0);
	conf_text_bad("client {\nrate limit 20 burst 0\n}\n" CONF_TEXT_BASE,
	    "t:2: burst 0 is out of range (1-1000000)\n");
	conf_text_bad(
	    "client {\nrate limit 20 burst 1000001\n}\n" CONF_TEXT_BASE,
	    "t:2: burst 1000001 is out of range (1-1000000)\n");
}

static void
defaults_are_as_documented(void **state)
{
	struct conf *c = conf_text_ok(CONF_TEXT_BASE);
	const struct conf_upstream *up = &c->upstreams[0];

	(void)state;
	assert_string_equal(c->user, "_dotproxy");
	assert_string_equal(c->control_socket, "/run/dotproxy/dotproxy.sock");
	assert_int_equal(c->forward.policy, POLICY_AVAILABILITY);
	assert_int_equal(c->forward.retries, 16);
	assert_int_equal(c->forward.query_timeout_ms, 4000);
	assert_int_equal(c->client.tcp_read_timeout_ms, 5000);
	assert_int_equal(c->client.tcp_write_timeout_ms, 5000);
	assert_int_equal(c->client.max_inflight, 8192);
	assert_int_equal(c->client.max_tcp, 1024);
	assert_int_equal(c->client.max_tcp_per_client, 512);
	assert_int_equal(c->client.max_transfers, 8);
	assert_int_equal(c->client.rate_limit, 0);
	assert_int_equal(c->client.rate_burst, 0);
	assert_false(c->statsd.enabled);
	assert_int_equal(c->nlistens, 1);
	assert_true(c->listens[0].udp);
	assert_true(c->listens[0].tcp);
	assert_int_equal(sockaddr_port(&c->listens[0].addr), 53);
	assert_int_equal(c->nallow, 8);
	assert_int_equal(c->nupstreams, 1);
	assert_int_equal(sockaddr_port(&up->addr), 853);
	assert_int_equal(up->pool_size, 8);
	assert_int_equal(up->connect_timeout_ms, 1000);
	assert_int_equal(up->handshake_timeout_ms, 2000);
	assert_int_equal(up->read_timeout_ms, 5000);
	assert_int_equal(up->write_timeout_ms, 5000);
	assert_int_equal(up->stale_timeout_ms, 10000);
	assert_int_equal(up->keep_warm_ms, 300000);
	assert_true(up->fast_open);
	assert_true(up->resumption);
	assert_false(up->edit.padding);
	assert_false(up->edit.keepalive);
	assert_false(up->edit.strip_ecs);
	assert_string_equal(up->ca_file, "/etc/ssl/certs/ca-certificates.crt");
	assert_int_equal(up->npins, 0);
	free(c);
}

/* Outside of a block they are for all upstreams that do not say. */
static void
common_settings_go_to_all_upstreams(void **state)
{
	struct conf *c = conf_text_ok(
	    "listen on ::1\nkeep warm 0\n"
	    "upstream a {\naddress ::1\nserver name a\nkeep warm 7s\n}\n"
	    "upstream b {\naddress ::2\nserver name b\ntcp fast open yes\n"
	    "resumption yes\n}\ntcp fast open no\nresumption no\n");

	(void)state;
	assert_int_equal(c->upstreams[0].keep_warm_ms, 7000);
	assert_false(c->upstreams[0].fast_open);
	assert_false(c->upstreams[0].resumption);
	assert_int_equal(c->upstreams[1].keep_warm_ms, 0);
	assert_true(c->upstreams[1].fast_open);
	assert_true(c->upstreams[1].resumption);
	free(c);
	conf_text_bad("resumption maybe\n",
	    "t:1: resumption \"maybe\" is not yes or no\n");
	conf_text_bad(
	    "keep warm 0s\n", "t:1: keep warm 0s is out of range (1s-1h)\n");
}

static void
every_policy_has_a_name(void **state)
{
	static const char *const names[] = { "round-robin", "random",
		"historical-connections", "availability", "failover",
		"latency" };
	char buf[256];
	struct conf *conf;
	int i;

	(void)state;
	assert_int_equal(sizeof(names) / sizeof(names[0]), POLICY_COUNT);
	for (i = 0; i < POLICY_COUNT; i++) {
		(void)snprintf(buf, sizeof(buf), "policy %s\n%s", names[i],
		    CONF_TEXT_BASE);
		conf = conf_text_ok(buf);
		assert_int_equal(conf->forward.policy, i);
		free(conf);
	}
	conf_text_bad("policy robin\n", "t:1: unknown policy \"robin\"\n");
}

static void
statsd_has_defaults_and_limits(void **state)
{
	struct conf *c;

	(void)state;
	c = conf_text_ok("metrics statsd 192.0.2.9\n" CONF_TEXT_BASE);
	assert_true(c->statsd.enabled);
	assert_int_equal(sockaddr_port(&c->statsd.addr), 8125);
	assert_int_equal(c->statsd.sample_ppm, 1000000);
	free(c);
	c = conf_text_ok(
	    "metrics statsd ::1 port 1 sample rate 0.25\n" CONF_TEXT_BASE);
	assert_int_equal(sockaddr_port(&c->statsd.addr), 1);
	assert_int_equal(c->statsd.sample_ppm, 250000);
	assert_int_equal(c->statsd.flavour, FLAVOUR_INFLUX);
	assert_int_equal(c->statsd.flush_ms, 10000);
	assert_int_equal(c->statsd.payload, 1432);
	free(c);
	c = conf_text_ok("metrics statsd ::1 payload 512 flush interval 1s "
			 "flavour dogstatsd\n" CONF_TEXT_BASE);
	assert_int_equal(c->statsd.flavour, FLAVOUR_DOGSTATSD);
	assert_int_equal(c->statsd.flush_ms, 1000);
	assert_int_equal(c->statsd.payload, 512);
	free(c);
	c = conf_text_ok("metrics statsd ::1 client tags yes\n"
			 "client { statistics yes }\n" CONF_TEXT_BASE);
	assert_true(c->statsd.client_tags);
	free(c);
	conf_text_bad("metrics statsd ::1 client tags yes\n" CONF_TEXT_BASE,
	    "t:1: client tags need \"client { statistics yes }\"\n");
	conf_text_bad("metrics statsd ::1 flavour graphite\n",
	    "t:1: unknown flavour \"graphite\"\n");
	conf_text_bad("metrics statsd ::1 flush interval 999ms\n",
	    "t:1: flush interval 999ms is out of range (1s-1h)\n");
	conf_text_bad("metrics statsd ::1 payload 511\n",
	    "t:1: payload 511 is out of range (512-8932)\n");
	conf_text_bad("metrics statsd ::1 payload 600 payload 700\n",
	    "t:1: payload was already given on line 1\n");
	conf_text_bad("metrics statsd ::1 sample rate 0\n",
	    "t:1: sample rate 0 is out of range (0.000001-1)\n");
	conf_text_bad("metrics statsd ::1 sample rate 1.000001\n",
	    "t:1: sample rate 1.000001 is out of range (0.000001-1)\n");
	conf_text_bad("metrics statsd ::1 sample rate 1/2\n",
	    "t:1: sample rate \"1/2\" is not a rate\n");
}

/* A string of exactly the longest length is taken, one more is not. */
static void
expect_longest(const char *before, const char *after, size_t max)
{
	struct conf_errors errs;
	char buf[4096], fill[2048];
	struct conf *conf;
	size_t len;

	for (len = max; len <= max + 1; len++) {
		memset(fill, 'a', len);
		fill[len] = '\0';
		(void)snprintf(buf, sizeof(buf), "%s%s%s", before, fill, after);
		conf = conf_text(buf, &errs);
		assert_int_equal(conf != NULL, len == max);
		if (len > max)
			assert_non_null(strstr(errs.text, "too long ("));
		free(conf);
	}
}

static void
strings_have_a_longest_length(void **state)
{
	(void)state;
	expect_longest("user ", "\n" CONF_TEXT_BASE, CONF_USER_MAX - 1);
	expect_longest(
	    "control socket /", "\n" CONF_TEXT_BASE, CONF_CONTROL_MAX - 2);
	expect_longest(CONF_TEXT_BASE "upstream ",
	    " { address 192.0.2.1\nserver name x }\n", CONF_NAME_MAX - 1);
	expect_longest("listen on ::1\nupstream u { address 192.0.2.1\n"
		       "server name x\nca file /",
	    "\n}\n", CONF_PATH_MAX - 2);
}

/* Fills a table with lines, then adds one. */
static void
expect_limit(const char *head, const char *line, int max, const char *tail,
    const char *want)
{
	struct conf_errors errs;
	char *text = NULL;
	size_t len;
	struct conf *conf;
	FILE *f;
	int i, n;

	for (n = max; n <= max + 1; n++) {
		f = open_memstream(&text, &len);
		assert_non_null(f);
		(void)fputs(head, f);
		for (i = 0; i < n; i++) {
			(void)fprintf(f, line, i);
			(void)fputc('\n', f);
		}
		(void)fputs(tail, f);
		assert_int_equal(fclose(f), 0);
		conf = conf_text(text, &errs);
		assert_string_equal(errs.text, n == max ? "" : want);
		assert_int_equal(conf != NULL, n == max);
		free(conf);
		free(text);
	}
}

static void
tables_have_a_limit(void **state)
{
	(void)state;
	expect_limit(CONF_TEXT_BASE, "listen on ::1 port 1%02d",
	    CONF_LISTENS_MAX - 1, "",
	    "t:69: too many addresses to listen on (64 at most)\n");
	expect_limit(CONF_TEXT_BASE "allow {\n", "10.0.0.0/8 # %d",
	    CONF_ALLOW_MAX, "}\n",
	    "t:1031: too many prefixes to allow (1024 at most)\n");
	expect_limit(CONF_TEXT_BASE,
	    "upstream u%d { address ::1\nserver name x }",
	    CONF_UPSTREAMS_MAX - 1, "",
	    "t:132: too many upstreams (64 at most)\n");
	expect_limit("listen on ::1\nupstream u { address ::1\nserver name x\n",
	    "pin sha256/%dAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	    CONF_PINS_MAX, "}\n", "t:12: too many pins (8 at most)\n");
}

static void
prefixes_are_stored_in_network_order(void **state)
{
	const uint8_t v4[4] = { 172, 16, 0, 0 };
	struct in6_addr v6;
	struct conf *c;

	(void)state;
	c = conf_text_ok(CONF_TEXT_BASE "allow { 172.16.0.0/12 fd00::/8 }\n");
	assert_int_equal(c->nallow, 2);
	assert_int_equal(c->allow[0].family, AF_INET);
	assert_int_equal(c->allow[0].len, 12);
	assert_memory_equal(c->allow[0].addr, v4, sizeof(v4));
	assert_int_equal(c->allow[1].family, AF_INET6);
	assert_int_equal(c->allow[1].len, 8);
	assert_int_equal(inet_pton(AF_INET6, "fd00::", &v6), 1);
	assert_memory_equal(c->allow[1].addr, &v6, sizeof(v6));
	free(c);
}

/* -D wins, whatever the file says, and may be used before that. */
static void
macros_from_outside_win(void **state)
{
	static const struct conf_macro macros[] = { { "tries", "7" },
		{ "lan", "10.0.0.0/8, ::1" }, { "empty", "" } };
	static const char text[] = "tries = 5\nretries $tries\n"
				   "allow { $lan $empty }\n" CONF_TEXT_BASE;
	struct conf_errors errs;
	struct conf *c =
	    conf_parse_text("t", text, sizeof(text) - 1, macros, 3, &errs);

	(void)state;
	assert_string_equal(errs.text, "");
	assert_non_null(c);
	assert_int_equal(c->forward.retries, 7);
	assert_int_equal(c->nallow, 2);
	free(c);
}

static void
macros_from_outside_are_checked(void **state)
{
	static const struct conf_macro macros[] = { { "a-b", "1" },
		{ "port", "1" }, { "", "1" }, { "two", "1\nretries 2" },
		{ "bad", "\001" } };
	static const char text[] = "user $bad\n";
	struct conf_errors errs;

	(void)state;
	assert_null(
	    conf_parse_text("t", text, sizeof(text) - 1, macros, 5, &errs));
	assert_string_equal(errs.text,
	    "command line: \"a-b\" cannot name a macro\n"
	    "command line: \"port\" cannot name a macro\n"
	    "command line: \"\" cannot name a macro\n"
	    "command line: macro \"two\" has more than one line\n"
	    "t:1: character 0x01 is not allowed\n");
}

/* 2^30 words would take a while: the number of expansions is limited. */
static void
macros_cannot_explode(void **state)
{
	char text[4096];
	struct conf_errors errs;
	size_t len = 0;
	int i;

	(void)state;
	len += (size_t)snprintf(text, sizeof(text), "m0 = \"::1\"\n");
	for (i = 1; i <= 30; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "m%d = \"$m%d $m%d\"\n", i, i - 1, i - 1);
	(void)snprintf(text + len, sizeof(text) - len, "x = $m30\n");
	assert_null(conf_text(text, &errs));
	assert_non_null(strstr(
	    errs.text, "t:32: too many macros expanded (4096 at most)\n"));
}

/* The same parser again and again, after successes and errors alike. */
static void
parsing_leaves_nothing_behind(void **state)
{
	struct conf *a, *b;
	int i;

	(void)state;
	a = conf_text_ok("x = \"y\"\n" CONF_TEXT_BASE);
	for (i = 0; i < 100; i++) {
		conf_text_bad("user $x\n{\n",
		    "t:1: macro \"x\" is not defined\n"
		    "t:2: syntax error at \"{\"\n"
		    "t:2: block opened here is not closed\n");
		b = conf_text_ok("x = \"y\"\n" CONF_TEXT_BASE);
		assert_memory_equal(&a->listens, &b->listens,
		    sizeof(a->listens[0]) * a->nlistens);
		assert_int_equal(b->nupstreams, 1);
		free(b);
	}
	free(a);
}

/* Every prefix of a configuration is either right or an error, never both. */
static void
cut_texts_are_handled(void **state)
{
	static const char text[] =
	    "lan = \"{ 10.0.0.0/8 ::1 }\" # c\nallow $lan\nuser \\\n 'a\\\"'\n"
	    "client { max inflight 1\n tcp read timeout 1m1s }\n"
	    "upstream \"two\" { address ::1 port 1\n server name x\n"
	    "pin \"sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"\n"
	    "}\nmetrics statsd 127.0.0.1 port 1 sample rate 0.5\n";
	struct conf_errors errs;
	struct conf *conf;
	size_t len;
	char *copy;

	(void)state;
	for (len = 0; len < sizeof(text); len++) {
		/* Exactly as long as that, for the sanitizer. */
		copy = malloc(len + 1);
		assert_non_null(copy);
		memcpy(copy, text, len);
		conf = conf_parse_text("t", copy, len, NULL, 0, &errs);
		assert_true((conf == NULL) == (errs.count > 0));
		assert_int_equal(errs.len, strlen(errs.text));
		free(conf);
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_as_documented),
		cmocka_unit_test(settings_hold_what_is_within_their_limits),
		cmocka_unit_test(settings_refuse_what_is_beyond_their_limits),
		cmocka_unit_test(settings_do_not_wrap),
		cmocka_unit_test(settings_stand_once),
		cmocka_unit_test(burst_goes_with_the_rate_limit),
		cmocka_unit_test(common_settings_go_to_all_upstreams),
		cmocka_unit_test(every_policy_has_a_name),
		cmocka_unit_test(statsd_has_defaults_and_limits),
		cmocka_unit_test(strings_have_a_longest_length),
		cmocka_unit_test(tables_have_a_limit),
		cmocka_unit_test(prefixes_are_stored_in_network_order),
		cmocka_unit_test(macros_from_outside_win),
		cmocka_unit_test(macros_from_outside_are_checked),
		cmocka_unit_test(macros_cannot_explode),
		cmocka_unit_test(parsing_leaves_nothing_behind),
		cmocka_unit_test(cut_texts_are_handled),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
