/* SPDX-License-Identifier: ISC */
/*
 * The codecs of test_msg.c: for each record of the catalogue how it is filled
 * in, sent, read, and what would be wrong in it.
 */
#ifndef TESTS_MSG_RECORDS_H
#define TESTS_MSG_RECORDS_H

#include <stdio.h>

#include "tests/unit/msg_codec.h"

/* --- PX_SETUP --- */

static inline void
setup_fill(void *x, enum variant v)
{
	struct msg_setup *s = x;
	uint64_t next = 1;

	NUMBER(s->uid, 0, UINT32_MAX);
	NUMBER(s->gid, 0, UINT32_MAX);
	NUMBER(s->nofile, 0, UINT32_MAX);
	NUMBER(s->confine, 0, 1);
	NUMBER(s->log_level, 0, LOG_LEVEL_COUNT - 1);
}

static inline bool
setup_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_setup(ch, x);
}

static inline int
setup_read(const struct imsg *m, void *x)
{
	return msg_read_setup(m, x);
}

static inline bool
setup_spoil(void *x, int n)
{
	((struct msg_setup *)x)->log_level = LOG_LEVEL_COUNT;
	return n == 0;
}

/* --- XP_READY --- */

static inline void
ready_fill(void *x, enum variant v)
{
	uint32_t *absent = x;
	uint64_t next = 11;

	NUMBER(*absent, 0, (1u << LAYER_COUNT) - 1);
}

static inline bool
ready_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_ready(ch, *(const uint32_t *)x);
}

static inline int
ready_read(const struct imsg *m, void *x)
{
	return msg_read_ready(m, x);
}

static inline bool
ready_spoil(void *x, int n)
{
	*(uint32_t *)x = n == 0 ? 1u << LAYER_COUNT : 1u << 31;
	return n < 2;
}

/* --- XP_LOG --- */

static inline void
log_fill(void *x, enum variant v)
{
	struct msg_log *l = x;
	uint64_t next = 2;

	NUMBER(l->level, 0, LOG_LEVEL_COUNT - 1);
	text(v, l->line, sizeof(l->line), &next);
}

static inline bool
log_send(struct imsg_chan *ch, const void *x)
{
	const struct msg_log *l = x;

	return msg_send_log(ch, l->level, l->line);
}

static inline int
log_read(const struct imsg *m, void *x)
{
	return msg_read_log(m, x);
}

static inline bool
log_spoil(void *x, int n)
{
	((struct msg_log *)x)->level = LOG_LEVEL_COUNT;
	return n == 0;
}

/* --- XP_CONF_DONE --- */

static inline void
result_fill(void *x, enum variant v)
{
	struct msg_result *r = x;
	uint64_t next = 3;

	NUMBER(r->ok, 0, 1);
	text(v, r->text, sizeof(r->text), &next);
}

static inline bool
result_send(struct imsg_chan *ch, const void *x)
{
	const struct msg_result *r = x;

	return msg_send_result(ch, MSG_XP_CONF_DONE, 9, r->ok, r->text);
}

static inline int
result_read(const struct imsg *m, void *x)
{
	return msg_read_result(m, x);
}

/* --- PL_CLIENT --- */

static inline void
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

static inline bool
client_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_client(ch, x);
}

static inline int
client_read(const struct imsg *m, void *x)
{
	return msg_read_client(m, x);
}

static inline bool
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

static inline void
listen_fill(void *x, enum variant v)
{
	struct msg_listen *l = x;
	uint64_t next = 5;

	NUMBER(l->id, 0, UINT32_MAX);
	NUMBER(l->tcp, 0, 1);
	address(v, &l->addr, &next);
}

static inline bool
listen_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_listen(ch, x, -1);
}

static inline int
listen_read(const struct imsg *m, void *x)
{
	return msg_read_listen(m, x);
}

static inline bool
listen_spoil(void *x, int n)
{
	((struct msg_listen *)x)->addr.ss_family = AF_UNIX;
	return n == 0;
}

/* --- PL_STATSD --- */

static inline void
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

static inline bool
statsd_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_statsd(ch, x, -1);
}

static inline int
statsd_read(const struct imsg *m, void *x)
{
	return msg_read_statsd(m, x);
}

static inline bool
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

static inline void
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

static inline bool
allow_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_allow(ch, x);
}

static inline int
allow_read(const struct imsg *m, void *x)
{
	return msg_read_allow(m, x);
}

static inline bool
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

static inline void
named_fill(void *x, enum variant v)
{
	struct named *u = x;
	uint64_t next = 7;

	NUMBER(u->index, 0, CONF_UPSTREAMS_MAX - 1);
	text(v, u->name, sizeof(u->name), &next);
}

static inline bool
named_send(struct imsg_chan *ch, const void *x)
{
	const struct named *u = x;

	return msg_send_upstream_name(ch, u->index, u->name);
}

static inline int
named_read(const struct imsg *m, void *x)
{
	struct named *u = x;

	u->index = m->id;
	return msg_read_upstream_name(m, u->name);
}

static inline bool
named_spoil(void *x, int n)
{
	((struct named *)x)->index =
	    n == 0 ? CONF_UPSTREAMS_MAX : UINT64_C(1) << 32;
	return n < 2;
}

/* --- PT_POOL --- */

static inline void
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

static inline bool
pool_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_pool(ch, x);
}

static inline int
pool_read(const struct imsg *m, void *x)
{
	return msg_read_pool(m, x);
}

static inline bool
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

static inline void
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

static inline bool
upstream_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_upstream(ch, x);
}

static inline int
upstream_read(const struct imsg *m, void *x)
{
	return msg_read_upstream(m, x);
}

static inline bool
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

static inline void
file_fill(void *x, enum variant v)
{
	struct file_record *f = x;
	uint64_t next = 17;

	text(v, f->path, sizeof(f->path), &next);
}

static inline bool
ca_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_file(ch, MSG_PT_CA, 0, x, -1);
}

static inline bool
cert_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_file(ch, MSG_PT_CERT, 0, x, -1);
}

static inline bool
key_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_file(ch, MSG_PT_KEY, 0, x, -1);
}

static inline int
file_read(const struct imsg *m, void *x)
{
	return msg_read_file(m, x);
}

/* --- TL_FAILED --- */

static inline void
failed_fill(void *x, enum variant v)
{
	struct msg_failed *f = x;
	uint64_t next = 10;

	NUMBER(f->cause, 0, CAUSE_COUNT - 1);
	NUMBER(f->upstream, 0, CONF_UPSTREAMS_MAX - 1);
	if (v == LARGE)
		f->upstream = MSG_NO_UPSTREAM;
}

static inline bool
failed_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_failed(ch, 77, x);
}

static inline int
failed_read(const struct imsg *m, void *x)
{
	return msg_read_failed(m, x);
}

static inline bool
failed_spoil(void *x, int n)
{
	struct msg_failed *f = x;

	if (n == 0)
		f->cause = CAUSE_COUNT;
	else if (n == 1)
		f->upstream = CONF_UPSTREAMS_MAX;
	else
		f->upstream = MSG_NO_UPSTREAM - 1;
	return n < 3;
}

/* --- LP_CHANGE --- */

struct change {
	uint8_t change;
	uint32_t upstream;
};

static inline void
change_fill(void *x, enum variant v)
{
	struct change *c = x;

	c->change = v == SMALL   ? CHANGE_DISABLE
		    : v == LARGE ? CHANGE_RESTART
				 : CHANGE_ENABLE;
	c->upstream = v == SMALL   ? 0
		      : v == LARGE ? MSG_NO_UPSTREAM
				   : CONF_UPSTREAMS_MAX - 1;
}

static inline bool
change_send(struct imsg_chan *ch, const void *x)
{
	const struct change *c = x;

	return msg_send_change(ch, 7, c->change, c->upstream);
}

static inline int
change_read(const struct imsg *m, void *x)
{
	struct change *c = x;

	memset(c, 0, sizeof(*c)); /* the padding is compared, too */
	return msg_read_change(m, &c->change, &c->upstream);
}

static inline bool
change_spoil(void *x, int n)
{
	static const struct change wrong[] = {
		{ CHANGE_PROBE, 0 },
		{ CHANGE_COUNT, MSG_NO_UPSTREAM },
		{ CHANGE_COUNT, 0 },
		{ CHANGE_DISABLE, MSG_NO_UPSTREAM },
		{ CHANGE_ENABLE, CONF_UPSTREAMS_MAX },
		{ CHANGE_FLUSH, 0 },
		{ CHANGE_DRAIN, 1 },
		{ CHANGE_RESTART, 0 },
	};

	if (n >= (int)(sizeof(wrong) / sizeof(wrong[0])))
		return false;
	memcpy(x, &wrong[n], sizeof(wrong[n]));
	return true;
}

/* --- CL_CHANGE --- */

static inline void
request_fill(void *x, enum variant v)
{
	struct msg_request *r = x;
	uint64_t next = 9;

	r->change = v == SMALL ? CHANGE_FLUSH : CHANGE_DISABLE;
	text(v, r->upstream, sizeof(r->upstream), &next);
}

static inline bool
request_send(struct imsg_chan *ch, const void *x)
{
	return msg_send_request(ch, 8, x);
}

static inline int
request_read(const struct imsg *m, void *x)
{
	return msg_read_request(m, x);
}

static inline bool
request_spoil(void *x, int n)
{
	struct msg_request *r = x;

	r->change = n == 0   ? CHANGE_COUNT
		    : n == 1 ? CHANGE_DRAIN
			     : CHANGE_ENABLE;
	(void)snprintf(
	    r->upstream, sizeof(r->upstream), "%s", n == 2 ? "" : "name");
	return n < 3;
}

#endif
