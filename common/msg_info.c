/* SPDX-License-Identifier: ISC */
/*
 * The codecs of the INFO messages, which answer a control request; see msg.h
 * and msg.c.  The reader at the far end is dotproxyctl, often run by root: it
 * must be safe against anything a listener that was taken over may send.
 */
#include "common/msg.h"

#include <string.h>

#include "common/msg_wire.h"

bool
msg_send_info_counters(
    struct imsg_chan *ch, uint64_t id, const struct info_counters *c)
{
	struct wire_writer w;
	uint32_t i;

	if (c->n > INFO_COUNTERS_MAX || !imsg_begin(ch, &w, 13 + c->n * 8))
		return false;
	wire_put_u8(&w, c->source);
	wire_put_u64(&w, c->uptime_ms);
	wire_put_u32(&w, c->n);
	for (i = 0; i < c->n; i++)
		wire_put_u64(&w, c->values[i]);
	return imsg_commit(ch, &w, MSG_INFO_COUNTERS, id, -1);
}

int
msg_read_info_counters(const struct imsg *m, struct info_counters *c)
{
	struct wire_reader r;
	uint32_t i;

	memset(c, 0, sizeof(*c));
	wire_reader_init(&r, m->data, m->len);
	c->source = wire_get_u8(&r);
	c->uptime_ms = wire_get_u64(&r);
	c->n = wire_get_u32(&r);
	if (c->n > INFO_COUNTERS_MAX || c->source >= SOURCE_COUNT)
		return -1;
	for (i = 0; i < c->n; i++)
		c->values[i] = wire_get_u64(&r);
	return wire_done(&r) ? 0 : -1;
}

bool
msg_send_info_pool(struct imsg_chan *ch, uint64_t id, const struct info_pool *p)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 17))
		return false;
	wire_put_u8(&w, p->policy);
	wire_put_u32(&w, p->nupstreams);
	wire_put_u32(&w, p->inflight);
	wire_put_u32(&w, p->parked);
	wire_put_u32(&w, p->max_inflight);
	return imsg_commit(ch, &w, MSG_INFO_POOL, id, -1);
}

int
msg_read_info_pool(const struct imsg *m, struct info_pool *p)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	p->policy = wire_get_u8(&r);
	p->nupstreams = wire_get_u32(&r);
	p->inflight = wire_get_u32(&r);
	p->parked = wire_get_u32(&r);
	p->max_inflight = wire_get_u32(&r);
	return wire_done(&r) && p->policy < POLICY_COUNT ? 0 : -1;
}

bool
msg_send_info_upstream(
    struct imsg_chan *ch, uint64_t id, const struct info_upstream *u)
{
	struct wire_writer w;
	size_t i;

	if (!imsg_begin(ch, &w, 1024))
		return false;
	wire_put_u32(&w, u->index);
	wire_put_str(&w, u->name);
	wire_put_str(&w, u->server_name);
	msg_put_sockaddr(&w, &u->addr);
	wire_put_u8(&w, u->state);
	wire_put_u8(&w, u->last_cause);
	wire_put_u32(&w, u->backoff_left_ms);
	wire_put_u32(&w, u->pool_size);
	wire_put_u32(&w, u->open);
	wire_put_u32(&w, u->idle);
	wire_put_u32(&w, u->connecting);
	wire_put_u32(&w, u->inflight);
	wire_put_u32(&w, u->waiting);
	wire_put_u64(&w, u->queries);
	wire_put_u64(&w, u->answers);
	wire_put_u64(&w, u->opened);
	wire_put_u64(&w, u->resumed);
	wire_put_u64(&w, u->closed_by_peer);
	wire_put_u64(&w, u->warm_dials);
	wire_put_u32(&w, u->idle_limit_ms);
	wire_put_u32(&w, u->warm_left_ms);
	wire_put_u64(&w, u->retries);
	wire_put_u64(&w, u->hedges);
	wire_put_u64(&w, u->hedges_won);
	wire_put_u64(&w, u->hedges_lost);
	wire_put_u64(&w, u->hedges_denied);
	wire_put_u64(&w, u->rescues);
	for (i = 0; i < PHASE_COUNT; i++)
		wire_put_u64(&w, u->failures[i]);
	wire_put_u64(&w, u->latency_mean_us);
	wire_put_u64(&w, u->latency_p50_us);
	wire_put_u64(&w, u->latency_p99_us);
	wire_put_u64(&w, u->connect_p50_us);
	wire_put_u64(&w, u->handshake_p50_us);
	return imsg_commit(ch, &w, MSG_INFO_UPSTREAM, id, -1);
}

int
msg_read_info_upstream(const struct imsg *m, struct info_upstream *u)
{
	struct wire_reader r;
	size_t i;

	memset(u, 0, sizeof(*u));
	wire_reader_init(&r, m->data, m->len);
	u->index = wire_get_u32(&r);
	wire_get_str(&r, u->name, sizeof(u->name));
	wire_get_str(&r, u->server_name, sizeof(u->server_name));
	msg_get_sockaddr(&r, &u->addr);
	u->state = wire_get_u8(&r);
	u->last_cause = wire_get_u8(&r);
	u->backoff_left_ms = wire_get_u32(&r);
	u->pool_size = wire_get_u32(&r);
	u->open = wire_get_u32(&r);
	u->idle = wire_get_u32(&r);
	u->connecting = wire_get_u32(&r);
	u->inflight = wire_get_u32(&r);
	u->waiting = wire_get_u32(&r);
	u->queries = wire_get_u64(&r);
	u->answers = wire_get_u64(&r);
	u->opened = wire_get_u64(&r);
	u->resumed = wire_get_u64(&r);
	u->closed_by_peer = wire_get_u64(&r);
	u->warm_dials = wire_get_u64(&r);
	u->idle_limit_ms = wire_get_u32(&r);
	u->warm_left_ms = wire_get_u32(&r);
	u->retries = wire_get_u64(&r);
	u->hedges = wire_get_u64(&r);
	u->hedges_won = wire_get_u64(&r);
	u->hedges_lost = wire_get_u64(&r);
	u->hedges_denied = wire_get_u64(&r);
	u->rescues = wire_get_u64(&r);
	for (i = 0; i < PHASE_COUNT; i++)
		u->failures[i] = wire_get_u64(&r);
	u->latency_mean_us = wire_get_u64(&r);
	u->latency_p50_us = wire_get_u64(&r);
	u->latency_p99_us = wire_get_u64(&r);
	u->connect_p50_us = wire_get_u64(&r);
	u->handshake_p50_us = wire_get_u64(&r);
	if (!wire_done(&r) || u->index >= CONF_UPSTREAMS_MAX ||
	    u->state >= STATE_COUNT || u->last_cause >= CAUSE_COUNT)
		return -1;
	return 0;
}

bool
msg_send_info_conn(struct imsg_chan *ch, uint64_t id, const struct info_conn *c)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 256))
		return false;
	wire_put_u32(&w, c->upstream);
	wire_put_u8(&w, c->state);
	msg_put_bool(&w, c->resumed);
	wire_put_u64(&w, c->age_ms);
	wire_put_u64(&w, c->idle_ms);
	wire_put_u32(&w, c->inflight);
	wire_put_u64(&w, c->served);
	wire_put_str(&w, c->version);
	wire_put_str(&w, c->cipher);
	return imsg_commit(ch, &w, MSG_INFO_CONN, id, -1);
}

int
msg_read_info_conn(const struct imsg *m, struct info_conn *c)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	c->upstream = wire_get_u32(&r);
	c->state = wire_get_u8(&r);
	c->resumed = msg_get_bool(&r);
	c->age_ms = wire_get_u64(&r);
	c->idle_ms = wire_get_u64(&r);
	c->inflight = wire_get_u32(&r);
	c->served = wire_get_u64(&r);
	wire_get_str(&r, c->version, sizeof(c->version));
	wire_get_str(&r, c->cipher, sizeof(c->cipher));
	if (!wire_done(&r) || c->upstream >= CONF_UPSTREAMS_MAX ||
	    c->state >= CONN_STATE_COUNT)
		return -1;
	return 0;
}

bool
msg_send_info_process(
    struct imsg_chan *ch, uint64_t id, const struct info_process *p)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 256))
		return false;
	wire_put_u8(&w, p->role);
	wire_put_u8(&w, p->worker);
	wire_put_u32(&w, p->pid);
	wire_put_u64(&w, p->uptime_ms);
	wire_put_u64(&w, p->restarts);
	wire_put_u32(&w, p->absent);
	wire_put_str(&w, p->last_death);
	return imsg_commit(ch, &w, MSG_INFO_PROCESS, id, -1);
}

int
msg_read_info_process(const struct imsg *m, struct info_process *p)
{
	struct wire_reader r;

	wire_reader_init(&r, m->data, m->len);
	p->role = wire_get_u8(&r);
	p->worker = wire_get_u8(&r);
	p->pid = wire_get_u32(&r);
	p->uptime_ms = wire_get_u64(&r);
	p->restarts = wire_get_u64(&r);
	p->absent = wire_get_u32(&r);
	wire_get_str(&r, p->last_death, sizeof(p->last_death));
	if (!wire_done(&r) || p->role >= ROLE_COUNT ||
	    p->worker >= CONF_WORKERS_MAX ||
	    (p->role == ROLE_PARENT && p->worker != 0) ||
	    p->absent >> LAYER_COUNT != 0)
		return -1;
	return 0;
}

bool
msg_send_info_text(
    struct imsg_chan *ch, uint64_t id, const char *text, size_t len)
{
	struct wire_writer w;

	if (len > MSG_TEXT_MAX || !imsg_begin(ch, &w, len))
		return false;
	wire_put_bytes(&w, text, len);
	return imsg_commit(ch, &w, MSG_INFO_TEXT, id, -1);
}

bool
msg_relay(struct imsg_chan *ch, const struct imsg *m, uint64_t id)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, m->len))
		return false;
	wire_put_bytes(&w, m->data, m->len);
	return imsg_commit(ch, &w, m->type, id, -1);
}
