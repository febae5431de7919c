/* SPDX-License-Identifier: ISC */
/*
 * What settings with a single value are called, where the value goes and which
 * numbers it may be.  Runs in the parent.  Says; does not store.
 */
#include "dotproxy/parent/conf_key.h"

/* As the file has them. */
static const char *const key_names[KEY_COUNT] = {
	[KEY_USER] = "user",
	[KEY_CONTROL_SOCKET] = "control socket",
	[KEY_WORKERS] = "workers",
	[KEY_ALLOW] = "allow",
	[KEY_POLICY] = "policy",
	[KEY_RETRIES] = "retries",
	[KEY_HEDGE] = "hedge",
	[KEY_QUERY_TIMEOUT] = "query timeout",
	[KEY_METRICS] = "metrics",
	[KEY_SAMPLE_RATE] = "sample rate",
	[KEY_FLAVOUR] = "flavour",
	[KEY_FLUSH_INTERVAL] = "flush interval",
	[KEY_PAYLOAD] = "payload",
	[KEY_CLIENT_TAGS] = "client tags",
	[KEY_CLIENT] = "client",
	[KEY_TCP_READ_TIMEOUT] = "tcp read timeout",
	[KEY_TCP_WRITE_TIMEOUT] = "tcp write timeout",
	[KEY_MAX_INFLIGHT] = "max inflight",
	[KEY_MAX_TCP] = "max tcp connections",
	[KEY_MAX_TCP_PER_CLIENT] = "max tcp connections per client",
	[KEY_CLIENT_KEEPALIVE] = "edns keepalive",
	[KEY_STATISTICS] = "statistics",
	[KEY_MAX_TRANSFERS] = "max transfers",
	[KEY_RATE_LIMIT] = "rate limit",
	[KEY_RATE_BURST] = "burst",
	[KEY_ALL_KEEP_WARM] = "keep warm",
	[KEY_ALL_FAST_OPEN] = "tcp fast open",
	[KEY_ALL_RESUMPTION] = "resumption",
	[KEY_ADDRESS] = "address",
	[KEY_SERVER_NAME] = "server name",
	[KEY_POOL_SIZE] = "pool size",
	[KEY_CONNECT_TIMEOUT] = "connect timeout",
	[KEY_HANDSHAKE_TIMEOUT] = "handshake timeout",
	[KEY_READ_TIMEOUT] = "read timeout",
	[KEY_WRITE_TIMEOUT] = "write timeout",
	[KEY_STALE_TIMEOUT] = "stale timeout",
	[KEY_KEEP_WARM] = "keep warm",
	[KEY_FAST_OPEN] = "tcp fast open",
	[KEY_RESUMPTION] = "resumption",
	[KEY_PADDING] = "padding",
	[KEY_EDNS_KEEPALIVE] = "edns keepalive",
	[KEY_STRIP_ECS] = "strip ecs",
	[KEY_CA_FILE] = "ca file",
	[KEY_PIN_ONLY] = "pin only",
	[KEY_CLIENT_CERT] = "client certificate",
	[KEY_TLS_VERSION] = "tls version",
	[KEY_CIPHERS] = "ciphers",
};

const char *
conf_key_name(enum conf_key key)
{
	return key_names[key];
}

static struct conf_range
timeout_range(uint32_t *slot, uint32_t max)
{
	struct conf_range r = { slot, CONF_TIMEOUT_MIN_MS, max, true, false };

	return r;
}

static struct conf_range
number_range(uint32_t *slot, uint32_t min, uint32_t max)
{
	struct conf_range r = { slot, min, max, false, false };

	return r;
}

static struct conf_range
flush_range(uint32_t *slot)
{
	struct conf_range r = { slot, CONF_FLUSH_MIN_MS, CONF_TIMEOUT_MAX_MS,
		true, false };

	return r;
}

static struct conf_range
warm_range(uint32_t *slot)
{
	struct conf_range r = { slot, CONF_KEEP_WARM_MIN_MS,
		CONF_TIMEOUT_MAX_MS, true, true };

	return r;
}

struct conf_range
conf_key_range(struct conf_set *s, enum conf_key key)
{
	struct conf *c = s->conf;
	struct conf_upstream *up = &s->up;

	switch (key) {
	case KEY_WORKERS:
		return number_range(&c->workers, 1, CONF_WORKERS_MAX);
	case KEY_RETRIES:
		return number_range(&c->forward.retries, 0, CONF_RETRIES_MAX);
	case KEY_QUERY_TIMEOUT:
		return timeout_range(
		    &c->forward.query_timeout_ms, CONF_QUERY_TIMEOUT_MAX_MS);
	case KEY_FLUSH_INTERVAL:
		return flush_range(&c->statsd.flush_ms);
	case KEY_PAYLOAD:
		return number_range(
		    &c->statsd.payload, CONF_PAYLOAD_MIN, CONF_PAYLOAD_MAX);
	case KEY_TCP_READ_TIMEOUT:
		return timeout_range(
		    &c->client.tcp_read_timeout_ms, CONF_TIMEOUT_MAX_MS);
	case KEY_TCP_WRITE_TIMEOUT:
		return timeout_range(
		    &c->client.tcp_write_timeout_ms, CONF_TIMEOUT_MAX_MS);
	case KEY_MAX_INFLIGHT:
		return number_range(
		    &c->client.max_inflight, 1, CONF_INFLIGHT_MAX);
	case KEY_MAX_TCP:
		return number_range(&c->client.max_tcp, 1, CONF_TCP_MAX);
	case KEY_MAX_TCP_PER_CLIENT:
		return number_range(
		    &c->client.max_tcp_per_client, 1, CONF_TCP_MAX);
	case KEY_MAX_TRANSFERS:
		return number_range(
		    &c->client.max_transfers, 0, CONF_TRANSFERS_MAX);
	case KEY_RATE_LIMIT:
		return number_range(&c->client.rate_limit, 0, CONF_RATE_MAX);
	case KEY_RATE_BURST:
		return number_range(&c->client.rate_burst, 1, CONF_RATE_MAX);
	case KEY_POOL_SIZE:
		return number_range(&up->pool_size, 1, CONF_POOL_SIZE_MAX);
	case KEY_CONNECT_TIMEOUT:
		return timeout_range(
		    &up->connect_timeout_ms, CONF_TIMEOUT_MAX_MS);
	case KEY_HANDSHAKE_TIMEOUT:
		return timeout_range(
		    &up->handshake_timeout_ms, CONF_TIMEOUT_MAX_MS);
	case KEY_READ_TIMEOUT:
		return timeout_range(&up->read_timeout_ms, CONF_TIMEOUT_MAX_MS);
	case KEY_WRITE_TIMEOUT:
		return timeout_range(
		    &up->write_timeout_ms, CONF_TIMEOUT_MAX_MS);
	case KEY_STALE_TIMEOUT:
		return timeout_range(
		    &up->stale_timeout_ms, CONF_TIMEOUT_MAX_MS);
	case KEY_ALL_KEEP_WARM:
		return warm_range(&s->all.keep_warm_ms);
	case KEY_KEEP_WARM:
		return warm_range(&up->keep_warm_ms);
	default:
		return number_range(NULL, 0, 0);
	}
}

bool *
conf_key_bool(struct conf_set *s, enum conf_key key)
{
	switch (key) {
	case KEY_CLIENT_KEEPALIVE:
		return &s->conf->client.edns_keepalive;
	case KEY_CLIENT_TAGS:
		return &s->conf->statsd.client_tags;
	case KEY_STATISTICS:
		return &s->conf->client.statistics;
	case KEY_ALL_FAST_OPEN:
		return &s->all.fast_open;
	case KEY_ALL_RESUMPTION:
		return &s->all.resumption;
	case KEY_FAST_OPEN:
		return &s->up.fast_open;
	case KEY_RESUMPTION:
		return &s->up.resumption;
	case KEY_PADDING:
		return &s->up.edit.padding;
	case KEY_EDNS_KEEPALIVE:
		return &s->up.edit.keepalive;
	case KEY_STRIP_ECS:
		return &s->up.edit.strip_ecs;
	default:
		return NULL;
	}
}
