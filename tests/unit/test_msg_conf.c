/* SPDX-License-Identifier: ISC */
/* The configuration as the children are told it: msg_conf.c, msg_upstream.c. */
/* LINK: common/msg%.c common/imsg.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/msg_codec.h"

/* --- PL_CLIENT --- */

static void
client_fill(void *x, enum variant v)
{
	struct msg_client *c = x;
	uint64_t next = 4;

	NUMBER(c->client.tcp_read_timeout_ms, 0, UINT32_MAX);
	NUMBER(c->client.tcp_write_timeout_ms, 0, UINT32_MAX);
	NUMBER(c->client.max_inflight, 1, CONF_INFLIGHT_MAX);
	NUMBER(c->client.max_tcp, 0, CONF_TCP_MAX);
	NUMBER(c->client.max_tcp_per_client, 0, CONF_TCP_MAX);
	c->client.edns_keepalive = v != SMALL;
	c->client.statistics = v == SMALL;
	NUMBER(c->client.max_transfers, 0, CONF_TRANSFERS_MAX);
	NUMBER(c->client.rate_limit, 1, CONF_RATE_MAX);
	NUMBER(c->client.rate_burst, 1, CONF_RATE_MAX);
	NUMBER(c->query_timeout_ms, 1, CONF_QUERY_TIMEOUT_MAX_MS);
	NUMBER(c->transfer_idle_ms, 0, CONF_TIMEOUT_MAX_MS);
}

static bool
client_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_client(ch, x);
}

static int
client_read(const struct imsg *m, void *x)
{
	return msg_read_client(m, x);
}

static bool
client_spoil(void *x, int n)
{
	struct msg_client *c = x;

	switch (n) {
	case 0:
		c->client.max_inflight = 0;
		return true;
	case 1:
		c->client.max_inflight = CONF_INFLIGHT_MAX + 1;
		return true;
	case 2:
		c->client.max_tcp = CONF_TCP_MAX + 1;
		return true;
	case 3:
		c->query_timeout_ms = 0;
		return true;
	case 4:
		c->query_timeout_ms = CONF_QUERY_TIMEOUT_MAX_MS + 1;
		return true;
	case 5:
		c->client.max_transfers = CONF_TRANSFERS_MAX + 1;
		return true;
	case 6:
		c->transfer_idle_ms = CONF_TIMEOUT_MAX_MS + 1;
		return true;
	case 7:
		c->client.max_tcp_per_client = CONF_TCP_MAX + 1;
		return true;
	case 8:
		c->client.rate_limit = CONF_RATE_MAX + 1;
		return true;
	case 9:
		c->client.rate_burst = CONF_RATE_MAX + 1;
		return true;
	case 10:
		c->client.rate_limit = 0;
		return true;
	case 11:
		c->client.rate_burst = 0;
		return true;
	default:
		return false;
	}
}

/* --- PL_LISTEN --- */

static void
listen_fill(void *x, enum variant v)
{
	struct msg_listen *l = x;
	uint64_t next = 5;

	NUMBER(l->id, 0, UINT32_MAX);
	NUMBER(l->tcp, 0, 1);
	address(v, &l->addr, &next);
}

static bool
listen_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_listen(ch, x, -1);
}

static int
listen_read(const struct imsg *m, void *x)
{
	return msg_read_listen(m, x);
}

static bool
listen_spoil(void *x, int n)
{
	((struct msg_listen *)x)->addr.ss_family = AF_UNIX;
	return n == 0;
}

/* --- PL_STATSD --- */

static void
statsd_fill(void *x, enum variant v)
{
	struct msg_statsd *s = x;
	uint64_t next = 9;

	memset(s, 0, sizeof(*s));
	s->conf.enabled = true;
	NUMBER(s->conf.sample_ppm, 1, CONF_SAMPLE_PPM_MAX);
	NUMBER(s->conf.flavour, 0, FLAVOUR_COUNT - 1);
	NUMBER(s->conf.flush_ms, CONF_FLUSH_MIN_MS, CONF_TIMEOUT_MAX_MS);
	NUMBER(s->conf.payload, CONF_PAYLOAD_MIN, CONF_PAYLOAD_MAX);
	NUMBER(s->conf.client_tags, 0, 1);
	NUMBER(s->worker, 0, CONF_WORKERS_MAX);
}

static bool
statsd_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_statsd(ch, x, -1);
}

static int
statsd_read(const struct imsg *m, void *x)
{
	return msg_read_statsd(m, x);
}

static bool
statsd_spoil(void *x, int n)
{
	struct conf_statsd *c = &((struct msg_statsd *)x)->conf;

	if (n == 0)
		c->sample_ppm = 0;
	else if (n == 1)
		c->sample_ppm = CONF_SAMPLE_PPM_MAX + 1;
	else if (n == 2)
		c->flavour = FLAVOUR_COUNT;
	else if (n == 3)
		c->flush_ms = CONF_FLUSH_MIN_MS - 1;
	else if (n == 4)
		c->flush_ms = CONF_TIMEOUT_MAX_MS + 1;
	else if (n == 5)
		c->payload = CONF_PAYLOAD_MIN - 1;
	else if (n == 6)
		c->payload = CONF_PAYLOAD_MAX + 1;
	else
		((struct msg_statsd *)x)->worker = CONF_WORKERS_MAX + 1;
	return n < 8;
}

/* --- PL_ALLOW --- */

static void
allow_fill(void *x, enum variant v)
{
	struct msg_allow *a = x;
	uint64_t next = 6;
	uint32_t i, j;

	NUMBER(a->n, 0, MSG_ALLOW_MAX);
	for (i = 0; i < a->n; i++) {
		a->prefixes[i].family = i % 2 ? AF_INET : AF_INET6;
		NUMBER(a->prefixes[i].len, 0, i % 2 ? 32 : 128);
		for (j = 0; j < 16; j++)
			NUMBER(a->prefixes[i].addr[j], 0, 255);
	}
}

static bool
allow_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_allow(ch, x);
}

static int
allow_read(const struct imsg *m, void *x)
{
	return msg_read_allow(m, x);
}

static bool
allow_spoil(void *x, int n)
{
	struct msg_allow *a = x;

	a->n = n == 0 ? MSG_ALLOW_MAX + 1 : 2;
	if (n == 1)
		a->prefixes[1] = (struct conf_prefix){ AF_INET, 33, { 0 } };
	if (n == 2)
		a->prefixes[0] = (struct conf_prefix){ AF_INET6, 129, { 0 } };
	return n < 3;
}

/* --- PL_UPSTREAM --- */

struct named {
	uint64_t index;
	char name[CONF_NAME_MAX];
};

static void
named_fill(void *x, enum variant v)
{
	struct named *u = x;
	uint64_t next = 7;

	NUMBER(u->index, 0, CONF_UPSTREAMS_MAX - 1);
	text(v, u->name, sizeof(u->name), &next);
}

static bool
named_send(struct imsg_chan *ch, const void *x)
{
	const struct named *u = x;

	return msg_send_upstream_name(ch, u->index, u->name);
}

static int
named_read(const struct imsg *m, void *x)
{
	struct named *u = x;

	u->index = m->id;
	return msg_read_upstream_name(m, u->name);
}

static bool
named_spoil(void *x, int n)
{
	((struct named *)x)->index =
	    n == 0 ? CONF_UPSTREAMS_MAX : UINT64_C(1) << 32;
	return n < 2;
}

/* --- PT_POOL --- */

static void
pool_fill(void *x, enum variant v)
{
	struct msg_pool *p = x;
	uint64_t next = 8;

	NUMBER(p->forward.policy, 0, POLICY_COUNT - 1);
	NUMBER(p->forward.retries, 0, CONF_RETRIES_MAX);
	NUMBER(p->forward.query_timeout_ms, 1, CONF_QUERY_TIMEOUT_MAX_MS);
	NUMBER(p->forward.hedge_percent, 0, CONF_HEDGE_MAX);
	NUMBER(p->max_inflight, 1, CONF_INFLIGHT_MAX);
	NUMBER(p->max_transfers, 0, CONF_TRANSFERS_MAX);
}

static bool
pool_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_pool(ch, x);
}

static int
pool_read(const struct imsg *m, void *x)
{
	return msg_read_pool(m, x);
}

static bool
pool_spoil(void *x, int n)
{
	struct msg_pool *p = x;

	switch (n) {
	case 0:
		p->forward.policy = POLICY_COUNT;
		return true;
	case 1:
		p->forward.retries = CONF_RETRIES_MAX + 1;
		return true;
	case 2:
		p->forward.query_timeout_ms = 0;
		return true;
	case 3:
		p->forward.query_timeout_ms = CONF_QUERY_TIMEOUT_MAX_MS + 1;
		return true;
	case 4:
		p->max_inflight = 0;
		return true;
	case 5:
		p->max_inflight = CONF_INFLIGHT_MAX + 1;
		return true;
	case 6:
		p->max_transfers = CONF_TRANSFERS_MAX + 1;
		return true;
	default:
		return false;
	}
}

/* --- PT_UPSTREAM --- */

static void
upstream_fill(void *x, enum variant v)
{
	struct msg_upstream *u = x;
	struct conf_upstream *c = &u->conf;
	uint64_t next = 9;
	uint32_t i, j;

	NUMBER(u->id, 0, UINT32_MAX);
	NUMBER(u->ca, 0, CONF_UPSTREAMS_MAX - 1);
	text(v, c->at, sizeof(c->at), &next);
	text(v, c->name, sizeof(c->name), &next);
	address(v, &c->addr, &next);
	text(v, c->server_name, sizeof(c->server_name), &next);
	NUMBER(c->pool_size, 1, CONF_POOL_SIZE_MAX);
	NUMBER(c->connect_timeout_ms, 0, UINT32_MAX);
	NUMBER(c->handshake_timeout_ms, 0, UINT32_MAX);
	NUMBER(c->read_timeout_ms, 0, UINT32_MAX);
	NUMBER(c->write_timeout_ms, 0, UINT32_MAX);
	NUMBER(c->stale_timeout_ms, 0, UINT32_MAX);
	NUMBER(c->keep_warm_ms, 0, UINT32_MAX);
	NUMBER(c->resumption, 0, 1);
	NUMBER(c->edit.padding, 0, 1);
	NUMBER(c->edit.keepalive, 0, 1);
	NUMBER(c->edit.strip_ecs, 0, 1);
	NUMBER(c->tls_min, CONF_TLS_1_2, CONF_TLS_1_3);
	text(v, c->ciphers, sizeof(c->ciphers), &next);
	NUMBER(c->pin_only, 0, 1);
	NUMBER(c->npins, 0, CONF_PINS_MAX);
	if (c->npins == 0)
		c->pin_only = false;
	if (c->pin_only)
		u->ca = MSG_NO_CA;
	for (i = 0; i < c->npins; i++)
		for (j = 0; j < CONF_PIN_LEN; j++)
			NUMBER(c->pins[i][j], 0, 255);
}

static bool
upstream_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_upstream(ch, x);
}

static int
upstream_read(const struct imsg *m, void *x)
{
	return msg_read_upstream(m, x);
}

static bool
upstream_spoil(void *x, int n)
{
	struct msg_upstream *u = x;

	switch (n) {
	case 0:
		u->ca = CONF_UPSTREAMS_MAX;
		return true;
	case 1:
		u->conf.pool_size = 0;
		return true;
	case 2:
		u->conf.pool_size = CONF_POOL_SIZE_MAX + 1;
		return true;
	case 3:
		u->conf.npins = CONF_PINS_MAX + 1;
		return true;
	case 4:
		u->conf.addr.ss_family = AF_UNSPEC;
		return true;
	case 5:
		u->conf.tls_min = CONF_TLS_1_2 - 1;
		return true;
	case 6:
		u->conf.tls_min = CONF_TLS_1_3 + 1;
		return true;
	case 7: /* nothing would say whom to believe */
		u->conf.pin_only = true;
		u->conf.npins = 0;
		u->ca = MSG_NO_CA;
		return true;
	case 8:
		u->conf.pin_only = false;
		u->ca = MSG_NO_CA;
		return true;
	case 9: /* both */
		u->conf.pin_only = true;
		u->conf.npins = 1;
		u->ca = 0;
		return true;
	default:
		return false;
	}
}

/* --- PT_CA, PT_CERT, PT_KEY --- */

struct file_record {
	char path[CONF_PATH_MAX];
};

static void
file_fill(void *x, enum variant v)
{
	struct file_record *f = x;
	uint64_t next = 17;

	text(v, f->path, sizeof(f->path), &next);
}

static bool
ca_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_file(ch, MSG_PT_CA, 0, x, -1);
}

static bool
cert_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_file(ch, MSG_PT_CERT, 0, x, -1);
}

static bool
key_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_file(ch, MSG_PT_KEY, 0, x, -1);
}

static int
file_read(const struct imsg *m, void *x)
{
	return msg_read_file(m, x);
}

#define FILE_OF(TYPE, name)                                                \
	{                                                                  \
		.type = TYPE, .size = sizeof(struct file_record),          \
		.fill = file_fill, .send = name##_send, .read = file_read, \
	}

static void
every_type(void **state)
{
	static const struct codec codecs[] = {
		CODEC_OF(
		    MSG_PL_CLIENT, client, struct msg_client, client_spoil),
		CODEC_OF(
		    MSG_PL_LISTEN, listen, struct msg_listen, listen_spoil),
		CODEC_OF(
		    MSG_PL_STATSD, statsd, struct msg_statsd, statsd_spoil),
		CODEC_OF(MSG_PL_ALLOW, allow, struct msg_allow, allow_spoil),
		CODEC_OF(MSG_PL_UPSTREAM, named, struct named, named_spoil),
		CODEC_OF(MSG_PT_POOL, pool, struct msg_pool, pool_spoil),
		CODEC_OF(MSG_PT_UPSTREAM, upstream, struct msg_upstream,
		    upstream_spoil),
		FILE_OF(MSG_PT_CA, ca),
		FILE_OF(MSG_PT_CERT, cert),
		FILE_OF(MSG_PT_KEY, key),
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++)
		codec_test(&codecs[i]);
}

/* A descriptor is consumed whether the message can be sent or not. */
static void
listen_consumes_descriptor(void **state)
{
	struct codec_chan *c = codec_chan_new();
	struct msg_listen l;
	int fd[3], i;

	(void)state;
	memset(&l, 0, sizeof(l));
	listen_fill(&l, MIXED);
	for (i = 0; i < 3; i++) {
		fd[i] = open("/dev/null", O_RDONLY);
		assert_int_not_equal(fd[i], -1);
	}
	assert_false(msg_send_listen(&c->ch, &l, fd[0])); /* not for fds */
	assert_int_equal(fcntl(fd[0], F_GETFD), -1);
	c->ch.fdpass = true;
	assert_true(msg_send_listen(&c->ch, &l, fd[1]));
	assert_int_equal(c->ch.out_nfds, 1);
	assert_int_equal(c->ch.out_fds[0].fd, fd[1]);
	close(fd[1]);
	c->ch.out_cap = c->ch.out_len; /* no room */
	assert_false(msg_send_listen(&c->ch, &l, fd[2]));
	assert_int_equal(fcntl(fd[2], F_GETFD), -1);
	free(c);
}

/* It fits or is refused: a name that is cut would be another's. */
static void
long_name_is_refused(void **state)
{
	struct codec_chan *c = codec_chan_new();
	char name[2 * CONF_NAME_MAX];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_false(msg_send_upstream_name(&c->ch, 0, name));
	free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type),
		cmocka_unit_test(listen_consumes_descriptor),
		cmocka_unit_test(long_name_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
