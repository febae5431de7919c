/* SPDX-License-Identifier: ISC */
/*
 * The codecs of the configuration as the children are told it, but for what
 * the pool is told of an upstream; see msg.h and msg.c.  The reader trusts the
 * parent, and still takes nothing that the writer does not make: the limits
 * here are what the children's tables are sized for.
 */
#include "common/msg.h"

#include <string.h>
#include <sys/socket.h>

#include "common/msg_wire.h"

bool
msg_send_client(struct imsg_chan *ch, const struct msg_client *c)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 42))
		return false;
	wire_put_u32(&w, c->client.tcp_read_timeout_ms);
	wire_put_u32(&w, c->client.tcp_write_timeout_ms);
	wire_put_u32(&w, c->client.max_inflight);
	wire_put_u32(&w, c->client.max_tcp);
	wire_put_u32(&w, c->client.max_tcp_per_client);
	msg_put_bool(&w, c->client.edns_keepalive);
	msg_put_bool(&w, c->client.statistics);
	wire_put_u32(&w, c->client.max_transfers);
	wire_put_u32(&w, c->client.rate_limit);
	wire_put_u32(&w, c->client.rate_burst);
	wire_put_u32(&w, c->query_timeout_ms);
	wire_put_u32(&w, c->transfer_idle_ms);
	return imsg_commit(ch, &w, MSG_PL_CLIENT, 0, -1);
}

int
msg_read_client(const struct imsg *m, struct msg_client *c)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	c->client.tcp_read_timeout_ms = wire_get_u32(&r);
	c->client.tcp_write_timeout_ms = wire_get_u32(&r);
	c->client.max_inflight = wire_get_u32(&r);
	c->client.max_tcp = wire_get_u32(&r);
	c->client.max_tcp_per_client = wire_get_u32(&r);
	c->client.edns_keepalive = msg_get_bool(&r);
	c->client.statistics = msg_get_bool(&r);
	c->client.max_transfers = wire_get_u32(&r);
	c->client.rate_limit = wire_get_u32(&r);
	c->client.rate_burst = wire_get_u32(&r);
	c->query_timeout_ms = wire_get_u32(&r);
	c->transfer_idle_ms = wire_get_u32(&r);
	if (!wire_done(&r) || c->client.max_inflight == 0 ||
	    c->client.max_inflight > CONF_INFLIGHT_MAX ||
	    c->client.max_tcp > CONF_TCP_MAX ||
	    c->client.max_tcp_per_client > CONF_TCP_MAX ||
	    c->client.max_transfers > CONF_TRANSFERS_MAX ||
	    c->client.rate_limit > CONF_RATE_MAX ||
	    c->client.rate_burst > CONF_RATE_MAX ||
	    (c->client.rate_limit > 0) != (c->client.rate_burst > 0) ||
	    c->query_timeout_ms == 0 ||
	    c->query_timeout_ms > CONF_QUERY_TIMEOUT_MAX_MS ||
	    c->transfer_idle_ms > CONF_TIMEOUT_MAX_MS)
		return -1;
	return 0;
}

bool
msg_send_listen(struct imsg_chan *ch, const struct msg_listen *l, int fd)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 64)) {
		msg_close_fd(fd);
		return false;
	}
	wire_put_u32(&w, l->id);
	msg_put_bool(&w, l->tcp);
	msg_put_sockaddr(&w, &l->addr);
	return imsg_commit(ch, &w, MSG_PL_LISTEN, 0, fd);
}

int
msg_read_listen(const struct imsg *m, struct msg_listen *l)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	l->id = wire_get_u32(&r);
	l->tcp = msg_get_bool(&r);
	msg_get_sockaddr(&r, &l->addr);
	return wire_done(&r) ? 0 : -1;
}

bool
msg_send_allow(struct imsg_chan *ch, const struct msg_allow *a)
{
	struct wire_writer w;
	uint32_t i;

	if (a->n > MSG_ALLOW_MAX || !imsg_begin(ch, &w, 4 + a->n * 18))
		return false;
	wire_put_u32(&w, a->n);
	for (i = 0; i < a->n; i++) {
		wire_put_u8(&w, a->prefixes[i].family == AF_INET ? 4 : 6);
		wire_put_u8(&w, a->prefixes[i].len);
		wire_put_bytes(&w, a->prefixes[i].addr, 16);
	}
	return imsg_commit(ch, &w, MSG_PL_ALLOW, 0, -1);
}

int
msg_read_allow(const struct imsg *m, struct msg_allow *a)
{
	struct wire_reader r;
	struct conf_prefix *p;
	uint8_t version;
	uint32_t i;

	wire_reader_init(&r, m->data, m->len);
	a->n = wire_get_u32(&r);
	if (a->n > MSG_ALLOW_MAX)
		return -1;
	for (i = 0; i < a->n; i++) {
		p = &a->prefixes[i];
		version = wire_get_u8(&r);
		p->family = version == 4 ? AF_INET : AF_INET6;
		p->len = wire_get_u8(&r);
		wire_get_copy(&r, p->addr, 16);
		if ((version != 4 && version != 6) ||
		    p->len > (version == 4 ? 32 : 128))
			return -1;
	}
	return wire_done(&r) ? 0 : -1;
}

bool
msg_send_upstream_name(struct imsg_chan *ch, uint64_t index, const char *name)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 2 + CONF_NAME_MAX))
		return false;
	wire_put_str(&w, name);
	return imsg_commit(ch, &w, MSG_PL_UPSTREAM, index, -1);
}

int
msg_read_upstream_name(const struct imsg *m, char name[CONF_NAME_MAX])
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	wire_get_str(&r, name, CONF_NAME_MAX);
	return wire_done(&r) && m->id < CONF_UPSTREAMS_MAX ? 0 : -1;
}

bool
msg_send_statsd(struct imsg_chan *ch, const struct msg_statsd *s, int fd)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 15)) {
		msg_close_fd(fd);
		return false;
	}
	wire_put_u32(&w, s->conf.sample_ppm);
	wire_put_u8(&w, (uint8_t)s->conf.flavour);
	wire_put_u32(&w, s->conf.flush_ms);
	wire_put_u32(&w, s->conf.payload);
	msg_put_bool(&w, s->conf.client_tags);
	wire_put_u8(&w, s->worker);
	return imsg_commit(ch, &w, MSG_PL_STATSD, 0, fd);
}

int
msg_read_statsd(const struct imsg *m, struct msg_statsd *s)
{
	struct wire_reader r;

	memset(s, 0, sizeof(*s));
	wire_reader_init(&r, m->data, m->len);
	s->conf.enabled = true;
	s->conf.sample_ppm = wire_get_u32(&r);
	s->conf.flavour = (enum conf_flavour)wire_get_u8(&r);
	s->conf.flush_ms = wire_get_u32(&r);
	s->conf.payload = wire_get_u32(&r);
	s->conf.client_tags = msg_get_bool(&r);
	s->worker = wire_get_u8(&r);
	if (!wire_done(&r) || s->conf.sample_ppm == 0 ||
	    s->conf.sample_ppm > CONF_SAMPLE_PPM_MAX ||
	    s->conf.flavour >= FLAVOUR_COUNT ||
	    s->conf.flush_ms < CONF_FLUSH_MIN_MS ||
	    s->conf.flush_ms > CONF_TIMEOUT_MAX_MS ||
	    s->conf.payload < CONF_PAYLOAD_MIN ||
	    s->conf.payload > CONF_PAYLOAD_MAX || s->worker > CONF_WORKERS_MAX)
		return -1;
	return 0;
}

bool
msg_send_pool(struct imsg_chan *ch, const struct msg_pool *p)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 21))
		return false;
	wire_put_u8(&w, (uint8_t)p->forward.policy);
	wire_put_u32(&w, p->forward.retries);
	wire_put_u32(&w, p->forward.query_timeout_ms);
	wire_put_u32(&w, p->forward.hedge_percent);
	wire_put_u32(&w, p->max_inflight);
	wire_put_u32(&w, p->max_transfers);
	return imsg_commit(ch, &w, MSG_PT_POOL, 0, -1);
}

int
msg_read_pool(const struct imsg *m, struct msg_pool *p)
{
	struct wire_reader r;
	uint8_t policy;

	wire_reader_init(&r, m->data, m->len);
	policy = wire_get_u8(&r);
	p->forward.retries = wire_get_u32(&r);
	p->forward.query_timeout_ms = wire_get_u32(&r);
	p->forward.hedge_percent = wire_get_u32(&r);
	p->max_inflight = wire_get_u32(&r);
	p->max_transfers = wire_get_u32(&r);
	if (!wire_done(&r) || policy >= POLICY_COUNT ||
	    p->forward.retries > CONF_RETRIES_MAX ||
	    p->forward.query_timeout_ms == 0 ||
	    p->forward.query_timeout_ms > CONF_QUERY_TIMEOUT_MAX_MS ||
	    p->forward.hedge_percent > CONF_HEDGE_MAX || p->max_inflight == 0 ||
	    p->max_inflight > CONF_INFLIGHT_MAX ||
	    p->max_transfers > CONF_TRANSFERS_MAX)
		return -1;
	p->forward.policy = (enum conf_policy)policy;
	return 0;
}
