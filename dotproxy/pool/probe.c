/* SPDX-License-Identifier: ISC */
/*
 * An upstream tried for the operator: a connection of its own, a full TLS
 * handshake, one query, and how long each took.  Runs in the pool.  What comes
 * of it is told, and nothing else: the upstream's standing and the queries of
 * clients have nothing to do with it.  Who asks may be a listener that was
 * taken over: it gets one at a time, and one a second.
 */
#include <stdio.h>
#include <string.h>

#include "common/dns.h"
#include "common/wire.h"
#include "dotproxy/pool/pool.h"

#define PROBE_PAUSE_MS 1000u

/* ". NS", recursion desired; the ID is written over. */
static const uint8_t query[] = { 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0,
	1 };

static void
refuse(struct pool *pool, uint64_t handle, const char *why)
{
	if (!msg_send_result(&pool->link, MSG_INFO_END, handle, false, why)) {
		pool->info_owed = true;
		pool->info_handle = handle;
	}
}

static void
fill_info(struct info_probe *info, const struct upstream *up)
{
	memset(info, 0, sizeof(*info));
	memcpy(info->name, up->conf.name, sizeof(info->name));
	memcpy(info->server_name, up->peer_name, sizeof(info->server_name));
	info->addr = up->conf.addr;
	info->pinned = up->conf.npins > 0;
}

/* Without TCP Fast Open: then the handshake is not counted as connect. */
static void
begin(struct upstream *up, uint64_t handle)
{
	struct pool *pool = up->pool;
	struct probe *p = &pool->probe;
	struct conn *c = conn_new(up, pool->last_request + 1);

	if (c == NULL || !msg_send_u32(&pool->parent, MSG_TP_CONNECT_PLAIN,
			     c->request, up->id)) {
		if (c != NULL)
			conn_free(c);
		refuse(pool, handle, "the pool is too busy");
		return;
	}
	pool->last_request++;
	pool_count(pool, TSTAT_connect_requests);
	c->lone = c->apart = c->probe = c->saved = c->plain = true;
	c->phase_us = pool->now_us;
	TAILQ_INSERT_TAIL(&up->conns, c, all);
	TAILQ_INSERT_TAIL(&pool->asked, c, place);
	pool->ndials++;
	p->conn = c;
	p->handle = handle;
	p->begun_ms = pool->now_ms;
	p->step = STEP_SOCKET;
	fill_info(&p->info, up);
}

int
probe_on_request(void *arg, struct imsg *m)
{
	struct pool *pool = arg;
	struct probe *p = &pool->probe;
	uint32_t index;

	pool_turn_begin(pool);
	if (msg_read_u32(m, &index) == -1)
		return -1;
	if (index >= pool->nupstreams)
		refuse(pool, m->id, "no such upstream");
	else if (p->conn != NULL ||
		 (p->begun_ms != 0 &&
		     pool->now_ms - p->begun_ms < PROBE_PAUSE_MS))
		refuse(pool, m->id,
		    "an upstream has just been tried, try again in a second");
	else
		begin(pool->upstreams[index], m->id);
	return 0;
}

void
probe_on_step(struct conn *c)
{
	struct pool *pool = c->up->pool;
	struct probe *p = &pool->probe;

	if (p->conn != c || p->step >= STEP_COUNT)
		return;
	p->info.step_us[p->step++] = pool->now_us - c->phase_us;
}

void
probe_on_ready(struct conn *c)
{
	struct info_probe *info = &c->up->pool->probe.info;
	time_t expires = tls_peer_cert_notafter(c->session.tls);

	(void)snprintf(info->version, sizeof(info->version), "%s",
	    SSL_get_version(c->session.ssl));
	(void)snprintf(info->cipher, sizeof(info->cipher), "%s",
	    SSL_get_cipher_name(c->session.ssl));
	if (expires > 0)
		info->expires_s = (uint64_t)expires;
	/* The read timeout runs from here. */
	c->waiting_since = c->up->pool->now_ms;
	conn_retime(c);
}

size_t
probe_query(struct conn *c, uint8_t *out)
{
	struct pool *pool = c->up->pool;

	if (c->given > 0)
		return 0;
	c->given = 1;
	pool->probe.id = rng_u16(&pool->rng);
	wire_store_u16(out, sizeof(query));
	memcpy(out + FRAME_HDR_LEN, query, sizeof(query));
	dns_set_id(out + FRAME_HDR_LEN, pool->probe.id);
	return FRAME_HDR_LEN + sizeof(query);
}

void
probe_on_message(struct conn *c, const uint8_t *msg, size_t len)
{
	struct probe *p = &c->up->pool->probe;

	if (len < DNS_HDR_LEN || !dns_is_response(msg) ||
	    dns_id(msg) != p->id ||
	    !dns_answer_matches(query, sizeof(query), msg, len)) {
		conn_fail(c, PHASE_PROTOCOL, CAUSE_PROTOCOL,
		    "not the answer to what was asked");
		return;
	}
	p->info.rcode = (uint8_t)dns_rcode(msg);
	p->info.answer_len = (uint32_t)len;
	probe_on_step(c);
	conn_close(c);
}

void
probe_on_end(struct conn *c, const struct conn_end *end)
{
	struct pool *pool = c->up->pool;
	struct probe *p = &pool->probe;
	bool sent;

	if (p->conn != c)
		return;
	p->conn = NULL;
	p->info.failed = p->step;
	if (p->step < STEP_COUNT) {
		p->info.step_us[p->step] = pool->now_us - c->phase_us;
		p->info.phase = (uint8_t)end->phase;
		(void)snprintf(p->info.error, sizeof(p->info.error), "%s",
		    end->text != NULL ? end->text : "ended");
	}
	sent = msg_send_info_probe(&pool->link, p->handle, &p->info);
	if (!sent ||
	    !msg_send_result(&pool->link, MSG_INFO_END, p->handle, true, NULL))
		refuse(pool, p->handle, "the pool is too busy");
}

void
probe_drop(struct pool *pool)
{
	struct conn *c = pool->probe.conn;

	if (c == NULL)
		return;
	pool->probe.conn = NULL;
	conn_close(c);
}
