/* SPDX-License-Identifier: ISC */
/*
 * Reads the YAML of the dotproxy that is written in Go, and says the same in
 * terms of conf_set.h.  Runs in the parent.  Opens nothing but, if it is told
 * to look at them, files of certificates; looks no name up.
 */
#include "dotproxy/parent/conf_yaml.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dotproxy/parent/conf_go.h"
#include "dotproxy/parent/conf_set.h"
#include "dotproxy/parent/conf_tls.h"
#include "dotproxy/parent/conf_value.h"
#include "dotproxy/parent/conf_yaml_tree.h"

/* What is different here, if the file has it. */
enum difference {
	DIFF_ALLOW,
	DIFF_TIMEOUT,
	DIFF_STALE,
	DIFF_RANGE,
	DIFF_POOL,
	DIFF_UDP,
	DIFF_RETRIES,
	DIFF_SENTRY,
	DIFF_COUNT
};

static const char *const differences[DIFF_COUNT] = {
	[DIFF_ALLOW] = "only clients at local and private addresses may ask",
	[DIFF_TIMEOUT] = "where there is no timeout the default of "
			 "dotproxy.conf(5) holds",
	[DIFF_STALE] = "no stale_timeout is 1h",
	[DIFF_RANGE] = "timeouts are from 10ms to 1h",
	[DIFF_POOL] = "connection_pool_size is 8 if unlimited, and 64 at most",
	[DIFF_UDP] = "UDP has no timeouts, and no fewer than 8192 queries at a "
		     "time",
	[DIFF_RETRIES] = "max_connection_retries is 64 at most",
	[DIFF_SENTRY] = "nothing is sent to sentry_dsn",
};

struct conf_yaml {
	struct yaml_tree tree;
	struct conf_set set;
	bool ipv6;
	bool differs[DIFF_COUNT];
};

static void
set_value(struct conf_yaml *y, enum conf_key key, uint32_t value,
    const char *unit, struct conf_origin at)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u%s", value, unit);
	conf_set_value(&y->set, key, text, at);
}

/* A timeout; a connection without one could hang for ever. */
static void
set_timeout(
    struct conf_yaml *y, const struct yaml_block *b, int i, enum conf_key key)
{
	uint32_t ms = tree_duration(&y->tree, b, i), value = ms;

	if (ms == 0 && key == KEY_STALE_TIMEOUT) {
		y->differs[DIFF_STALE] = true;
		set_value(y, key, CONF_TIMEOUT_MAX_MS, "ms", b->at);
		return;
	}
	if (ms == 0) {
		y->differs[DIFF_TIMEOUT] = true;
		return;
	}
	if (ms < CONF_TIMEOUT_MIN_MS)
		value = CONF_TIMEOUT_MIN_MS;
	if (ms > CONF_TIMEOUT_MAX_MS)
		value = CONF_TIMEOUT_MAX_MS;
	if (value != ms)
		y->differs[DIFF_RANGE] = true;
	set_value(y, key, value, "ms", tree_origin(&y->tree, b->values[i]));
}

/*
 * Takes an address apart; text may be a part of the value.  False after an
 * error.  An address by name is one: who could answer, if not we?
 */
static bool
read_address(struct conf_yaml *y, const struct yaml_block *b, int i,
    const char *text, char host[CONF_HOST_MAX], const char **port)
{
	const char *why = go_host_port(text, host, CONF_HOST_MAX, port);

	if (why != NULL) {
		tree_bad(&y->tree, b, i, why);
		return false;
	}
	if (strcmp(host, "localhost") == 0)
		(void)snprintf(host, CONF_HOST_MAX, "127.0.0.1");
	if (host[0] != '\0' && strchr(host, ':') == NULL &&
	    host[strspn(host, "0123456789.")] != '\0') {
		tree_bad(&y->tree, b, i,
		    "has a name: names are never looked up, write the "
		    "address");
		return false;
	}
	return true;
}

static void
read_application(struct conf_yaml *y, yaml_node_t *node)
{
	static const char *const keys[] = { "sentry_dsn", NULL };
	struct yaml_block b;
	const char *dsn;

	if (!tree_read(&y->tree, &b, node, "application", keys))
		return;
	dsn = tree_text(&y->tree, &b, 0);
	if (dsn != NULL && dsn[0] != '\0')
		y->differs[DIFF_SENTRY] = true;
}

static void
set_sample_rate(struct conf_yaml *y, const struct yaml_block *b, int i)
{
	const char *text = tree_text(&y->tree, b, i), *why;
	char rate[VALUE_RATE_TEXT_MAX];
	uint32_t ppm = 0;

	if (text == NULL)
		return;
	why = go_fraction(text, &ppm);
	if (why != NULL && strcmp(why, "is not a number") == 0)
		tree_bad(&y->tree, b, i, why);
	else if (why != NULL)
		conf_errors_add(y->tree.errs,
		    tree_origin(&y->tree, b->values[i]),
		    "metrics statsd sample rate must be in range [0.0, 1.0]");
	else if (ppm != 0) /* 0 is all of them */
		conf_set_value(&y->set, KEY_SAMPLE_RATE,
		    value_rate_text(ppm, rate),
		    tree_origin(&y->tree, b->values[i]));
}

static void
read_metrics(struct conf_yaml *y, yaml_node_t *node)
{
	static const char *const keys[] = { "statsd", NULL };
	static const char *const statsd_keys[] = { "addr", "sample_rate",
		NULL };
	char host[CONF_HOST_MAX];
	const char *addr, *port;
	struct yaml_block b;

	if (!tree_read(&y->tree, &b, node, "metrics", keys))
		return;
	if (b.values[0] == NULL)
		return;
	if (!tree_read(
		&y->tree, &b, b.values[0], "metrics.statsd", statsd_keys))
		return;
	set_sample_rate(y, &b, 1);
	addr = tree_text(&y->tree, &b, 0);
	if (addr == NULL || addr[0] == '\0') {
		conf_errors_add(
		    y->tree.errs, b.at, "missing metrics statsd address");
		return;
	}
	if (strncmp(addr, "udp://", 6) == 0)
		addr += 6;
	else if (strstr(addr, "://") != NULL) {
		tree_bad(&y->tree, &b, 0, "is not udp://ADDRESS:PORT");
		return;
	}
	if (strchr(addr, ',') != NULL)
		tree_bad(
		    &y->tree, &b, 0, "has several addresses: one is possible");
	else if (read_address(y, &b, 0, addr, host, &port))
		conf_set_statsd(
		    &y->set, host, port, tree_origin(&y->tree, b.values[0]));
}

/* No host, or the wildcard of IPv6, is all addresses, of IPv4, too. */
static void
set_listen(struct conf_yaml *y, const struct yaml_block *b, const char *addr,
    const char *transport)
{
	struct conf_origin at = tree_origin(&y->tree, b->values[0]);
	char host[CONF_HOST_MAX];
	const char *port;

	if (!read_address(y, b, 0, addr, host, &port))
		return;
	if (host[0] != '\0' && strcmp(host, "::") != 0) {
		conf_set_listen(&y->set, host, port, transport, false, at);
		return;
	}
	conf_set_listen(&y->set, "0.0.0.0", port, transport, false, at);
	if (y->ipv6)
		conf_set_listen(&y->set, "::", port, transport, false, at);
}

static void
read_transport(struct conf_yaml *y, yaml_node_t *node, bool udp)
{
	static const char *const keys[] = { "addr", "read_timeout",
		"write_timeout", "max_concurrent_connections", NULL };
	static const char *const tcp_keys[] = { "addr", "read_timeout",
		"write_timeout", NULL };
	struct yaml_block b;
	const char *addr;
	int32_t most;

	if (node == NULL)
		return;
	if (!tree_read(&y->tree, &b, node,
		udp ? "listener.udp" : "listener.tcp", udp ? keys : tcp_keys))
		return;
	addr = tree_text(&y->tree, &b, 0);
	if (addr == NULL || addr[0] == '\0')
		conf_errors_add(y->tree.errs, b.at,
		    "missing %s server listening address", udp ? "UDP" : "TCP");
	else
		set_listen(y, &b, addr, udp ? "udp" : "tcp");
	if (!udp) {
		set_timeout(y, &b, 1, KEY_TCP_READ_TIMEOUT);
		set_timeout(y, &b, 2, KEY_TCP_WRITE_TIMEOUT);
		return;
	}
	/* A datagram comes whole: nothing to wait for. */
	(void)tree_duration(&y->tree, &b, 1);
	(void)tree_duration(&y->tree, &b, 2);
	y->differs[DIFF_UDP] = true;
	most = tree_int(&y->tree, &b, 3);
	if (most > (int32_t)y->set.conf->client.max_inflight)
		set_value(y, KEY_MAX_INFLIGHT,
		    most > (int32_t)CONF_INFLIGHT_MAX ? CONF_INFLIGHT_MAX
						      : (uint32_t)most,
		    "", tree_origin(&y->tree, b.values[3]));
}

static void
read_listener(struct conf_yaml *y, yaml_node_t *node)
{
	static const char *const keys[] = { "tcp", "udp", NULL };
	struct yaml_block b;

	if (!tree_read(&y->tree, &b, node, "listener", keys))
		return;
	if (b.values[0] == NULL && b.values[1] == NULL)
		conf_errors_add(y->tree.errs, b.at,
		    "at least one TCP or UDP listener must be specified");
	read_transport(y, b.values[0], false);
	read_transport(y, b.values[1], true);
}

static bool
is_taken(const struct conf *c, const char *name)
{
	uint32_t i;

	for (i = 0; i < c->nupstreams; i++)
		if (strcmp(c->upstreams[i].name, name) == 0)
			return true;
	return false;
}

/* It has no name there: the server's, and a number if that is taken. */
static void
name_upstream(const struct conf_yaml *y, const char *server, int idx,
    char name[CONF_NAME_MAX])
{
	char base[CONF_NAME_MAX - 8];
	unsigned int n;
	size_t i;

	(void)snprintf(base, sizeof(base), "%s", server);
	for (i = 0; base[i] != '\0'; i++)
		if (strspn(base + i,
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			"0123456789.-") == 0)
			base[i] = '_';
	if (base[0] == '\0' || base[0] == '-')
		(void)snprintf(base, sizeof(base), "server%d", idx);
	(void)snprintf(name, CONF_NAME_MAX, "%s", base);
	for (n = 2; is_taken(y->set.conf, name); n++)
		(void)snprintf(name, CONF_NAME_MAX, "%s-%u", base, n);
}

static void
set_pool_size(struct conf_yaml *y, const struct yaml_block *b, int i)
{
	int32_t size = tree_int(&y->tree, b, i);

	if (size <= 0 || size > (int32_t)CONF_POOL_SIZE_MAX)
		y->differs[DIFF_POOL] = true;
	if (size > (int32_t)CONF_POOL_SIZE_MAX)
		size = (int32_t)CONF_POOL_SIZE_MAX;
	if (size > 0)
		set_value(y, KEY_POOL_SIZE, (uint32_t)size, "",
		    tree_origin(&y->tree, b->values[i]));
}

static void
read_server(struct conf_yaml *y, yaml_node_t *node, int idx)
{
	static const char *const keys[] = { "addr", "server_name",
		"connection_pool_size", "connect_timeout", "handshake_timeout",
		"read_timeout", "write_timeout", "stale_timeout", NULL };
	char path[32], name[CONF_NAME_MAX], host[CONF_HOST_MAX];
	const char *addr, *server, *port;
	struct yaml_block b;

	(void)snprintf(path, sizeof(path), "upstream.servers[%d]", idx);
	if (!tree_read(&y->tree, &b, node, path, keys))
		return;
	addr = tree_text(&y->tree, &b, 0);
	server = tree_text(&y->tree, &b, 1);
	name_upstream(y, server != NULL ? server : "", idx, name);
	conf_set_upstream_open(&y->set, name, b.at);
	if (addr == NULL || addr[0] == '\0')
		conf_errors_add(
		    y->tree.errs, b.at, "missing server address: idx=%d", idx);
	else if (read_address(y, &b, 0, addr, host, &port))
		conf_set_address(&y->set, host[0] != '\0' ? host : "127.0.0.1",
		    port, tree_origin(&y->tree, b.values[0]));
	if (server == NULL || server[0] == '\0')
		conf_errors_add(y->tree.errs, b.at,
		    "missing server TLS hostname: idx=%d", idx);
	else
		conf_set_value(&y->set, KEY_SERVER_NAME, server,
		    tree_origin(&y->tree, b.values[1]));
	set_pool_size(y, &b, 2);
	set_timeout(y, &b, 3, KEY_CONNECT_TIMEOUT);
	set_timeout(y, &b, 4, KEY_HANDSHAKE_TIMEOUT);
	set_timeout(y, &b, 5, KEY_READ_TIMEOUT);
	set_timeout(y, &b, 6, KEY_WRITE_TIMEOUT);
	set_timeout(y, &b, 7, KEY_STALE_TIMEOUT);
	conf_set_upstream_close(&y->set);
}

static void
read_servers(struct conf_yaml *y, yaml_node_t *node, struct conf_origin at)
{
	yaml_node_item_t *item;
	int idx = 0;

	if (node == NULL || (node->type == YAML_SEQUENCE_NODE &&
				node->data.sequence.items.start ==
				    node->data.sequence.items.top)) {
		conf_errors_add(
		    y->tree.errs, at, "no upstream servers specified");
		return;
	}
	if (node->type != YAML_SEQUENCE_NODE) {
		conf_errors_add(y->tree.errs, tree_origin(&y->tree, node),
		    "upstream.servers is not a list");
		return;
	}
	for (item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top &&
	     idx <= CONF_UPSTREAMS_MAX && !conf_errors_full(y->tree.errs);
	     item++)
		read_server(
		    y, yaml_document_get_node(&y->tree.doc, *item), idx++);
}

static void
read_upstream(struct conf_yaml *y, yaml_node_t *node)
{
	static const char *const keys[] = { "load_balancing_policy",
		"max_connection_retries", "servers", NULL };
	const char *text, *policy;
	struct yaml_block b;
	int32_t retries;

	if (!tree_read(&y->tree, &b, node, "upstream", keys))
		return;
	text = tree_text(&y->tree, &b, 0);
	if (text == NULL || text[0] == '\0') {
		conf_errors_add(y->tree.warnings, b.at,
		    "no load_balancing_policy: RoundRobin; Availability would "
		    "leave alone what fails");
		policy = "round-robin";
	} else
		policy = go_policy(text);
	if (policy != NULL)
		conf_set_value(&y->set, KEY_POLICY, policy, b.at);
	else
		conf_errors_add(y->tree.errs,
		    tree_origin(&y->tree, b.values[0]),
		    "unknown load balancing policy: policy=%.200s", text);
	retries = tree_int(&y->tree, &b, 1);
	if (retries > (int32_t)CONF_RETRIES_MAX) {
		retries = (int32_t)CONF_RETRIES_MAX;
		y->differs[DIFF_RETRIES] = true;
	}
	if (retries > 0)
		set_value(y, KEY_RETRIES, (uint32_t)retries, "",
		    tree_origin(&y->tree, b.values[1]));
	read_servers(y, b.values[2], b.at);
}

static void
read_top(struct conf_yaml *y)
{
	static const char *const keys[] = { "application", "metrics",
		"listener", "upstream", NULL };
	struct yaml_block b;

	if (!tree_read(&y->tree, &b, yaml_document_get_root_node(&y->tree.doc),
		"", keys))
		return;
	if (b.values[0] != NULL)
		read_application(y, b.values[0]);
	if (b.values[1] != NULL)
		read_metrics(y, b.values[1]);
	if (b.values[2] != NULL)
		read_listener(y, b.values[2]);
	else
		conf_errors_add(y->tree.errs, b.at,
		    "missing top-level listener config key");
	if (b.values[3] != NULL)
		read_upstream(y, b.values[3]);
	else
		conf_errors_add(y->tree.errs, b.at,
		    "missing top-level upstream config key");
}

/* One sentence of all that is different. */
static void
tell_differences(const struct conf_yaml *y, char buf[CONF_YAML_DIFFERENCES_MAX])
{
	size_t len = 0;
	int i;

	for (i = 0; i < DIFF_COUNT; i++) {
		if (!y->differs[i])
			continue;
		(void)snprintf(buf + len, CONF_YAML_DIFFERENCES_MAX - len,
		    "%s%s", len > 0 ? "; " : "", differences[i]);
		len += strlen(buf + len);
	}
}

bool
conf_yaml_is(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot != NULL &&
	       (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

struct conf *
conf_yaml_text(const char *name, const char *text, size_t len, bool ipv6,
    bool check, struct conf_errors *errs, struct conf_yaml_notes *notes)
{
	struct conf_origin at = { .file = name };
	struct conf *conf = calloc(1, sizeof(*conf));
	struct conf_yaml *y = calloc(1, sizeof(*y));

	conf_errors_clear(errs);
	conf_errors_clear(&notes->warnings);
	notes->differences[0] = '\0';
	if (conf == NULL || y == NULL)
		conf_errors_add(errs, at, "out of memory");
	else if (len > CONF_YAML_SIZE_MAX)
		conf_errors_add(errs, at, "file too large");
	else if (tree_load(&y->tree, name, text, len, errs, &notes->warnings) ==
		 0) {
		conf_set_init(&y->set, conf, errs);
		y->ipv6 = ipv6;
		y->differs[DIFF_ALLOW] = true;
		read_top(y);
		conf_set_finish(&y->set, name);
		if (check && errs->count == 0)
			conf_tls_check_files(&y->set);
		tell_differences(y, notes->differences);
		tree_free(&y->tree);
	}
	free(y);
	if (errs->count == 0)
		return conf;
	free(conf);
	return NULL;
}
