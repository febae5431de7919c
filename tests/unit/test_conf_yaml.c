/* SPDX-License-Identifier: ISC */
/* The YAML of the dotproxy written in Go: each key, and each message. */
/* LINK: dotproxy/parent/conf_parse.y dotproxy/parent/conf_%.c */
/* LINK: common/log.c common/util.c */
/* LIBS: -lyaml */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/util.h"
#include "tests/unit/alloc_fail.h"
#include "dotproxy/parent/conf_yaml.h"

#define TCP "listener: {tcp: {addr: \"127.0.0.1:53\"}}\n"
#define SERVERS                                                    \
	"upstream:\n  load_balancing_policy: Random\n  servers:\n" \
	"  - {addr: \"192.0.2.1:853\", server_name: one.example}\n"
#define BASE TCP SERVERS /* 5 lines */
#define SERVER(lines)                                                  \
	TCP "upstream:\n  load_balancing_policy: Random\n  servers:\n" \
	    "  - addr: 192.0.2.1:853\n    server_name: one.example\n" lines

struct fixture {
	struct conf_errors errs;
	struct conf_yaml_notes notes;
	struct conf *conf;
};

static int
setup(void **state)
{
	return (*state = calloc(1, sizeof(struct fixture))) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	free(f->conf);
	free(f);
	return 0;
}

static void
parse(struct fixture *f, const char *text, size_t len)
{
	free(f->conf);
	f->conf =
	    conf_yaml_text("t", text, len, true, false, &f->errs, &f->notes);
}

static const struct conf *
good(struct fixture *f, const char *text)
{
	parse(f, text, strlen(text));
	assert_string_equal(f->errs.text, "");
	assert_string_equal(f->notes.warnings.text, "");
	assert_non_null(f->conf);
	return f->conf;
}

/* Right, but with something to be said. */
static const struct conf *
warned(struct fixture *f, const char *text, const char *want)
{
	parse(f, text, strlen(text));
	assert_string_equal(f->errs.text, "");
	assert_string_equal(f->notes.warnings.text, want);
	assert_non_null(f->conf);
	return f->conf;
}

static void
bad(struct fixture *f, const char *text, const char *want)
{
	parse(f, text, strlen(text));
	assert_null(f->conf);
	assert_string_equal(f->errs.text, want);
}

static void
is_at(const struct sockaddr_storage *ss, const char *want)
{
	char text[SOCKADDR_TEXT_MAX];

	assert_string_equal(sockaddr_text(ss, text), want);
}

static void
every_key_has_its_place(void **state)
{
	const struct conf *c =
	    good(*state, "application:\n"
			 "  sentry_dsn: https://key@sentry.example/1\n"
			 "metrics:\n"
			 "  statsd:\n"
			 "    addr: udp://127.0.0.1:8126\n"
			 "    sample_rate: 0.5\n"
			 "listener:\n"
			 "  tcp:\n"
			 "    addr: 127.0.0.2:54\n"
			 "    read_timeout: 1.5s\n"
			 "    write_timeout: 2s\n"
			 "  udp:\n"
			 "    addr: \"[::1]:55\"\n"
			 "    read_timeout: 1s\n"
			 "    write_timeout: 1s\n"
			 "    max_concurrent_connections: 16\n"
			 "upstream:\n"
			 "  load_balancing_policy: failover\n"
			 "  max_connection_retries: 3\n"
			 "  servers:\n"
			 "    - addr: 192.0.2.1:853\n"
			 "      server_name: one.example\n"
			 "      connection_pool_size: 5\n"
			 "      connect_timeout: 100ms\n"
			 "      handshake_timeout: 200ms\n"
			 "      read_timeout: 300ms\n"
			 "      write_timeout: 400ms\n"
			 "      stale_timeout: 1m30s\n"
			 "    - addr: '[2001:db8::1]:8853'\n"
			 "      server_name: one.example\n");
	const struct conf_upstream *up = &c->upstreams[0];

	assert_true(c->statsd.enabled);
	is_at(&c->statsd.addr, "127.0.0.1:8126");
	assert_int_equal(c->statsd.sample_ppm, 500000);
	assert_int_equal(c->statsd.flavour, FLAVOUR_INFLUX);
	assert_int_equal(c->nlistens, 2);
	is_at(&c->listens[0].addr, "127.0.0.2:54");
	assert_true(c->listens[0].tcp && !c->listens[0].udp);
	is_at(&c->listens[1].addr, "[::1]:55");
	assert_true(!c->listens[1].tcp && c->listens[1].udp);
	assert_int_equal(c->client.tcp_read_timeout_ms, 1500);
	assert_int_equal(c->client.tcp_write_timeout_ms, 2000);
	assert_int_equal(c->client.max_inflight, 8192);
	assert_int_equal(c->forward.policy, POLICY_FAILOVER);
	assert_int_equal(c->forward.retries, 3);
	assert_int_equal(c->nupstreams, 2);
	is_at(&up->addr, "192.0.2.1:853");
	assert_string_equal(up->name, "one.example");
	assert_string_equal(up->server_name, "one.example");
	assert_string_equal(up->at, "t:21");
	assert_int_equal(up->pool_size, 5);
	assert_int_equal(up->connect_timeout_ms, 100);
	assert_int_equal(up->handshake_timeout_ms, 200);
	assert_int_equal(up->read_timeout_ms, 300);
	assert_int_equal(up->write_timeout_ms, 400);
	assert_int_equal(up->stale_timeout_ms, 90000);
	is_at(&up[1].addr, "[2001:db8::1]:8853");
	assert_string_equal(up[1].name, "one.example-2");
}

static void
what_is_not_there_has_defaults(void **state)
{
	struct fixture *f = *state;
	static const struct conf_upstream def = CONF_UPSTREAM_DEFAULT;
	const struct conf *c = good(f, BASE);
	const struct conf_upstream *up = &c->upstreams[0];

	assert_false(c->statsd.enabled);
	assert_int_equal(c->forward.retries, 16);
	assert_int_equal(c->client.tcp_read_timeout_ms, 5000);
	assert_int_equal(c->nallow, 8);
	assert_int_equal(up->pool_size, def.pool_size);
	assert_int_equal(up->connect_timeout_ms, def.connect_timeout_ms);
	assert_int_equal(up->handshake_timeout_ms, def.handshake_timeout_ms);
	assert_int_equal(up->read_timeout_ms, def.read_timeout_ms);
	assert_int_equal(up->write_timeout_ms, def.write_timeout_ms);
	assert_int_equal(up->stale_timeout_ms, CONF_TIMEOUT_MAX_MS);
	c = warned(f,
	    TCP "upstream: {servers: [{addr: \"192.0.2.1:853\", "
		"server_name: a.b}]}\n",
	    "t:2: no load_balancing_policy: RoundRobin; Availability would "
	    "leave alone what fails\n");
	assert_int_equal(c->forward.policy, POLICY_ROUND_ROBIN);
}

static void
zero_means_what_it_can(void **state)
{
	struct fixture *f = *state;
	const struct conf *c;

	c = good(f,
	    "metrics: {statsd: {addr: \"udp://127.0.0.1:1\", sample_rate: "
	    "0}}\n" SERVER("    connection_pool_size: 0\n    read_timeout: 0\n"
			   "    write_timeout: -1s\n    stale_timeout: 0s\n"
			   "  max_connection_retries: 0\n"));
	assert_int_equal(c->statsd.sample_ppm, 1000000);
	assert_int_equal(c->upstreams[0].pool_size, 8);
	assert_int_equal(c->upstreams[0].read_timeout_ms, 5000);
	assert_int_equal(c->upstreams[0].write_timeout_ms, 5000);
	assert_int_equal(c->upstreams[0].stale_timeout_ms, 3600000);
	assert_int_equal(c->forward.retries, 16);
}

static void
what_is_too_much_is_cut(void **state)
{
	struct fixture *f = *state;
	const struct conf *c;

	c = good(
	    f, SERVER("    connection_pool_size: 1000\n    read_timeout: 2h\n"
		      "    write_timeout: 1us\n"
		      "  max_connection_retries: 100\n"));
	assert_int_equal(c->upstreams[0].pool_size, 64);
	assert_int_equal(c->upstreams[0].read_timeout_ms, 3600000);
	assert_int_equal(c->upstreams[0].write_timeout_ms, 10);
	assert_int_equal(c->forward.retries, 64);
	c = good(f, "listener: {udp: {addr: \"127.0.0.1:53\", "
		    "max_concurrent_connections: 10000}}\n" SERVERS);
	assert_int_equal(c->client.max_inflight, 10000);
	c = good(f, "listener: {udp: {addr: \"127.0.0.1:53\", "
		    "max_concurrent_connections: 1000000}}\n" SERVERS);
	assert_int_equal(c->client.max_inflight, 65536);
}

static void
differences_are_told(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} all[] = {
		{ "application: {sentry_dsn: x}\n" BASE, "sentry_dsn" },
		{ BASE, "no timeout the default" },
		{ BASE, "stale_timeout is 1h" },
		{ BASE, "private addresses" },
		{ BASE, "8 if unlimited" },
		{ SERVER("    read_timeout: 2h\n"), "from 10ms to 1h" },
		{ SERVER("  max_connection_retries: 65\n"), "retries is 64" },
		{ "listener: {udp: {addr: \"127.0.0.1:53\"}}\n" SERVERS,
		    "UDP has no timeouts" },
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		(void)good(f, all[i].text);
		assert_non_null(strstr(f->notes.differences, all[i].want));
	}
	(void)good(f,
	    "listener: {tcp: {addr: \"127.0.0.1:53\", read_timeout: 1s, "
	    "write_timeout: 1s}}\n"
	    "upstream: {load_balancing_policy: random, servers: [{addr: "
	    "\"192.0.2.1:853\", server_name: a.b, connection_pool_size: 8, "
	    "connect_timeout: 1s, handshake_timeout: 1s, read_timeout: 1s, "
	    "write_timeout: 1s, stale_timeout: 1s}]}\n");
	assert_string_equal(f->notes.differences,
	    "only clients at local and private addresses may ask");
}

static void
addresses_may_lack_a_host(void **state)
{
	struct fixture *f = *state;
	const struct conf *c;

	c = good(f, "listener:\n  tcp:\n    addr: :53\n" SERVERS);
	assert_int_equal(c->nlistens, 2);
	is_at(&c->listens[0].addr, "0.0.0.0:53");
	is_at(&c->listens[1].addr, "[::]:53");
	c = good(f, "listener: {tcp: {addr: \"[::]:53\"}}\n" SERVERS);
	assert_int_equal(c->nlistens, 2);
	c = good(f, "listener: {tcp: {addr: \"0.0.0.0:53\"}}\n" SERVERS);
	assert_int_equal(c->nlistens, 1);
	is_at(&c->listens[0].addr, "0.0.0.0:53");
	c = good(f, "listener: {tcp: {addr: \"localhost:53\"}}\n" SERVERS);
	is_at(&c->listens[0].addr, "127.0.0.1:53");
	free(f->conf);
	f->conf =
	    conf_yaml_text("t", "listener:\n  tcp:\n    addr: :53\n" SERVERS,
		strlen("listener:\n  tcp:\n    addr: :53\n" SERVERS), false,
		false, &f->errs, &f->notes);
	assert_int_equal(f->conf->nlistens, 1);
}

static void
messages_are_the_originals(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} all[] = {
		{ "metrics: {statsd: {sample_rate: 1}}\n" BASE,
		    "t:1: missing metrics statsd address\n" },
		{ "metrics:\n  statsd:\n    addr: udp://127.0.0.1:1\n"
		  "    sample_rate: 1.5\n" BASE,
		    "t:4: metrics statsd sample rate must be in range "
		    "[0.0, 1.0]\n" },
		{ SERVERS, "t:1: missing top-level listener config key\n" },
		{ "listener: {}\n" SERVERS,
		    "t:1: at least one TCP or UDP listener must be "
		    "specified\n" },
		{ "listener: {tcp: {read_timeout: 1s}}\n" SERVERS,
		    "t:1: missing TCP server listening address\n" },
		{ "listener:\n  udp:\n    addr: ''\n" SERVERS,
		    "t:3: missing UDP server listening address\n" },
		{ TCP, "t:1: missing top-level upstream config key\n" },
		{ TCP "upstream:\n  load_balancing_policy: best\n"
		      "  servers: [{addr: \"192.0.2.1:1\", server_name: a}]\n",
		    "t:3: unknown load balancing policy: policy=best\n" },
		{ TCP "upstream:\n  load_balancing_policy: random\n",
		    "t:3: no upstream servers specified\n" },
		{ TCP "upstream:\n  load_balancing_policy: random\n"
		      "  servers: []\n",
		    "t:3: no upstream servers specified\n" },
		{ BASE "  - server_name: a.b\n",
		    "t:6: missing server address: idx=1\n" },
		{ BASE "  - addr: 192.0.2.2:853\n",
		    "t:6: missing server TLS hostname: idx=1\n" },
		{ "", "t:1: missing top-level listener config key\n"
		      "t:1: missing top-level upstream config key\n" },
	};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		bad(*state, all[i].text, all[i].want);
}

static void
wrong_values_are_named(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} all[] = {
		{ "- 1\n",
		    "t:1: the file is not a mapping of keys to values\n" },
		{ "listener: 5\n" SERVERS,
		    "t:1: listener is not a mapping of keys to values\n" },
		{ TCP "upstream: {load_balancing_policy: random, servers: 5}\n",
		    "t:2: upstream.servers is not a list\n" },
		{ BASE "  - 5\n", "t:6: upstream.servers[1] is not a mapping "
				  "of keys to values\n" },
		{ SERVER("    connection_pool_size: [1]\n"),
		    "t:7: upstream.servers[0].connection_pool_size is a list, "
		    "not a value\n" },
		{ SERVER("    read_timeout: {a: 1}\n"),
		    "t:7: upstream.servers[0].read_timeout is a mapping, not "
		    "a value\n" },
		{ SERVER("    connection_pool_size: many\n"),
		    "t:7: upstream.servers[0].connection_pool_size \"many\" is "
		    "not a number\n" },
		{ SERVER("    connection_pool_size: '5'\n"),
		    "t:7: upstream.servers[0].connection_pool_size \"5\" is "
		    "text, not a number: it has quotes\n" },
		{ SERVER("    read_timeout: 5\n"),
		    "t:7: upstream.servers[0].read_timeout \"5\" is not a "
		    "duration: it has no unit (ms, s, m, h)\n" },
		{ "listener:\n  udp:\n    addr: 127.0.0.1:53\n"
		  "    write_timeout: soon\n" SERVERS,
		    "t:4: listener.udp.write_timeout \"soon\" is not a "
		    "duration\n" },
		{ "listener: {tcp: {addr: \"a\\0b\"}}\n" SERVERS,
		    "t:1: listener.tcp.addr is text with a NUL in it\n"
		    "t:1: missing TCP server listening address\n" },
		{ "listener: {tcp: {addr: 127.0.0.1}}\n" SERVERS,
		    "t:1: listener.tcp.addr \"127.0.0.1\" has no port\n" },
		{ "listener: {tcp: {addr: \"127.0.0.1:0\"}}\n" SERVERS,
		    "t:1: port 0 is out of range (1-65535)\n" },
		{ BASE
		    "  - addr: dns.google:853\n    server_name: dns.google\n",
		    "t:6: upstream.servers[1].addr \"dns.google:853\" has a "
		    "name: names are never looked up, write the address\n" },
		{ "metrics: {statsd: {addr: \"udp://metrics.lan:1\"}}\n" BASE,
		    "t:1: metrics.statsd.addr \"udp://metrics.lan:1\" has a "
		    "name: names are never looked up, write the address\n" },
		{ "metrics: {statsd: {addr: \"tcp://127.0.0.1:1\"}}\n" BASE,
		    "t:1: metrics.statsd.addr \"tcp://127.0.0.1:1\" is not "
		    "udp://ADDRESS:PORT\n" },
		{ "metrics: {statsd: {addr: "
		  "\"udp://1.1.1.1:1,udp://a\"}}\n" BASE,
		    "t:1: metrics.statsd.addr \"udp://1.1.1.1:1,udp://a\" has "
		    "several addresses: one is possible\n" },
		{ "metrics: {statsd: {addr: \"127.0.0.1:1\", "
		  "sample_rate: all}}\n" BASE,
		    "t:1: metrics.statsd.sample_rate \"all\" is not a "
		    "number\n" },
		{ BASE "  - addr: 192.0.2.1:853\n    server_name: a b\n",
		    "t:7: server name \"a b\" is not a host name\n" },
	};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		bad(*state, all[i].text, all[i].want);
}

static void
broken_yaml_is_named(void **state)
{
	struct fixture *f = *state;

	bad(f, BASE "\tfoo: 1\n",
	    "t:6: a tab where YAML wants blanks for indentation\n");
	bad(f, "# \303\244\303\266\303\274\n" BASE "  \tfoo: 1\n",
	    "t:7: a tab where YAML wants blanks for indentation\n");
	bad(f, "listener: {tcp\n",
	    "t:2: did not find expected ',' or '}' while parsing a flow "
	    "mapping\n");
	bad(f, BASE "a: \377\n", "t:6: invalid leading UTF-8 octet\n");
	bad(f, BASE "x: *nobody\n", "t:6: found undefined alias\n");
}

static void
unknown_keys_are_named(void **state)
{
	(void)warned(*state, "foo: 1\n" TCP "bar: {a: b}\n" SERVERS,
	    "t:1: unknown key foo is ignored\n"
	    "t:3: unknown key bar is ignored\n");
	(void)warned(*state, SERVER("    tls: yes\n"),
	    "t:7: unknown key upstream.servers[0].tls is ignored\n");
	(void)warned(*state,
	    "listener: {tcp: {addr: \"127.0.0.1:53\", "
	    "max_concurrent_connections: 5}}\n" SERVERS,
	    "t:1: unknown key listener.tcp.max_concurrent_connections is "
	    "ignored\n");
	(void)warned(*state, BASE "---\n- more\n",
	    "t:6: what is behind the first document is not read\n");
	bad(*state, "[a]: 1\n" BASE, "t:1: a key is not a name\n");
}

static void
duplicates_are_errors(void **state)
{
	bad(*state, BASE "listener: {}\n",
	    "t:6: mapping key \"listener\" already defined at line 1\n");
	/* Also if the first is null. */
	bad(*state, SERVER("    read_timeout:\n    read_timeout: 1s\n"),
	    "t:8: mapping key \"read_timeout\" already defined at line 7\n");
	bad(*state, TCP "listener:\n  tcp:\n    addr: :53\n" SERVERS,
	    "t:2: mapping key \"listener\" already defined at line 1\n");
}

static void
aliases_and_merges_work(void **state)
{
	const struct conf *c = good(*state,
	    TCP "upstream:\n  load_balancing_policy: Random\n  servers:\n"
		"  - &a\n    addr: 192.0.2.1:853\n    server_name: a.b\n"
		"    read_timeout: 1s\n    write_timeout: 2s\n"
		"  - {<<: *a, addr: \"192.0.2.2:853\", read_timeout: 3s}\n"
		"  - {<<: [{write_timeout: 4s}, *a]}\n"
		"  - *a\n");

	assert_int_equal(c->nupstreams, 4);
	is_at(&c->upstreams[1].addr, "192.0.2.2:853");
	assert_int_equal(c->upstreams[1].read_timeout_ms, 3000);
	assert_int_equal(c->upstreams[1].write_timeout_ms, 2000);
	assert_int_equal(c->upstreams[2].read_timeout_ms, 1000);
	assert_int_equal(c->upstreams[2].write_timeout_ms, 4000);
	assert_string_equal(c->upstreams[3].name, "a.b-4");
}

/* A bomb of aliases, or of merges; loops; depth. */
static void
what_grows_is_bounded(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(CONF_YAML_SIZE_MAX + 2);
	size_t len = 0;
	int i, j;

	assert_non_null(text);
	/* Lists of lists: nobody looks into them. */
	len += (size_t)sprintf(text, "a0: &a0 x\n");
	for (i = 1; i < 20; i++) {
		len += (size_t)sprintf(text + len, "a%d: &a%d [", i, i);
		for (j = 0; j < 9; j++)
			len += (size_t)sprintf(text + len, "*a%d,", i - 1);
		len += (size_t)sprintf(text + len, "]\n");
	}
	(void)sprintf(text + len, "%s", BASE);
	parse(f, text, strlen(text));
	assert_non_null(f->conf);

	/* Blocks merged into blocks. */
	len = (size_t)sprintf(text, "a0: &a0 {read_timeout: 1s}\n");
	for (i = 1; i < 8; i++) {
		len += (size_t)sprintf(text + len, "a%d: &a%d {<<: [", i, i);
		for (j = 0; j < 9; j++)
			len += (size_t)sprintf(text + len, "*a%d,", i - 1);
		len += (size_t)sprintf(text + len, "]}\n");
	}
	(void)sprintf(text + len, "%s", BASE "  - {<<: *a7}\n");
	parse(f, text, strlen(text));
	assert_null(f->conf);
	assert_non_null(strstr(f->errs.text, "aliases expand to too much"));

	bad(f, BASE "  - &x {<<: *x}\n",
	    "t:6: \"<<\" is nested too deep\n"
	    "t:6: missing server address: idx=1\n"
	    "t:6: missing server TLS hostname: idx=1\n");

	memset(text, '[', 1000);
	text[1000] = '\0';
	bad(f, text, "t:1: nested too deep\n");
	for (i = 0; i < 33; i++)
		memcpy(text + 2 * i, "- ", 3);
	bad(f, text, "t:1: nested too deep\n");
	memset(text, '\n', CONF_YAML_SIZE_MAX + 1);
	memcpy(text, BASE, sizeof(BASE) - 1);
	parse(f, text, CONF_YAML_SIZE_MAX);
	assert_non_null(f->conf);
	parse(f, text, CONF_YAML_SIZE_MAX + 1);
	assert_null(f->conf);
	assert_string_equal(f->errs.text, "t: file too large\n");
	free(text);
}

static void
upstreams_are_as_many_as_can_be(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(16384);
	size_t len;
	int i;

	assert_non_null(text);
	len = (size_t)sprintf(text, "%s", BASE);
	for (i = 1; i < CONF_UPSTREAMS_MAX; i++)
		len += (size_t)sprintf(text + len,
		    "  - {addr: \"192.0.2.1:%d\", server_name: a.b}\n", i);
	assert_int_equal(good(f, text)->nupstreams, CONF_UPSTREAMS_MAX);
	(void)sprintf(
	    text + len, "  - {addr: \"192.0.2.1:1\", server_name: a.b}\n");
	bad(f, text, "t:69: too many upstreams (64 at most)\n");
	free(text);
}

static void
names_end_in_yaml_or_yml(void **state)
{
	(void)state;
	assert_true(conf_yaml_is("/etc/dotproxy/config.yaml"));
	assert_true(conf_yaml_is("c.yml"));
	assert_false(conf_yaml_is("/etc/dotproxy.conf"));
	assert_false(conf_yaml_is("/etc/x.yaml/dotproxy.conf"));
	assert_false(conf_yaml_is("yaml"));
	assert_false(conf_yaml_is(""));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static bool
parse_one(void)
{
	struct conf_yaml_notes notes;
	struct conf_errors errs;
	struct conf *conf = conf_yaml_text(
	    "t", BASE, sizeof(BASE) - 1, true, false, &errs, &notes);

	assert_true((conf == NULL) == (errs.count > 0));
	if (conf == NULL)
		assert_string_equal(errs.text, "t: out of memory\n");
	free(conf);
	return errs.count == 0;
}

static void
each_allocation_fails(void **state)
{
	(void)state;
	ALLOC_FAIL_EACH(parse_one);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_allocation_fails),
		TEST(every_key_has_its_place),
		TEST(what_is_not_there_has_defaults),
		TEST(zero_means_what_it_can),
		TEST(what_is_too_much_is_cut),
		TEST(differences_are_told),
		TEST(addresses_may_lack_a_host),
		TEST(messages_are_the_originals),
		TEST(wrong_values_are_named),
		TEST(broken_yaml_is_named),
		TEST(unknown_keys_are_named),
		TEST(duplicates_are_errors),
		TEST(aliases_and_merges_work),
		TEST(what_grows_is_bounded),
		TEST(upstreams_are_as_many_as_can_be),
		TEST(names_end_in_yaml_or_yml),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
