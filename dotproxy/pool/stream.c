/* SPDX-License-Identifier: ISC */
/*
 * Zone transfers: each message of the answer goes back as it comes, and no
 * faster than the client takes them.  Runs in the pool.  A transfer is never
 * tried a second time, and must never keep more in memory than
 * MSG_TRANSFER_WINDOW and what one read may add: the rest waits in the socket,
 * and then at the upstream.
 */
#include "common/log.h"
#include "dotproxy/pool/pool.h"

/* Later than any query is due; what ends a transfer is silence. */
#define STREAM_DUE_MS ((uint64_t)CONF_TIMEOUT_MAX_MS * 2)

/* The upstream's time to say something begins. */
static void
restart_clock(struct conn *c, struct query *q)
{
	struct pool *pool = c->up->pool;

	q->sent_us = pool->now_us;
	c->waiting_since = pool->now_ms;
}

void
stream_stop(struct conn *c)
{
	event_del(&c->ev_read);
	c->stopped = true;
	c->waiting_since = 0;
}

int
stream_on_credit(void *arg, struct imsg *m)
{
	struct pool *pool = arg;
	struct query *q;
	struct conn *c;
	uint32_t len;

	pool_turn_begin(pool);
	if (msg_read_u32(m, &len) == -1)
		return -1;
	q = query_find(&pool->queries, m->id);
	if (q == NULL || !q->streams || q->state != QUERY_SENT)
		return 0;
	c = q->conn;
	transfer_credit(&c->transfer, len);
	if (!c->stopped || c->transfer.unpaid >= MSG_TRANSFER_WINDOW)
		return 0;
	c->stopped = false;
	restart_clock(c, q);
	conn_retime(c);
	(void)conn_watch(c, &c->ev_read);
	return 0;
}

void
stream_on_part(struct conn *c, struct query *q, const uint8_t *msg, size_t len)
{
	struct pool *pool = c->up->pool;

	if (!dispatch_part(pool, q, msg, len)) {
		conn_close(c); /* the query fails with it */
		return;
	}
	/* The client can take one message: it will come again over TCP. */
	if (!q->streams) {
		dispatch_end(pool, q, TSTAT_answered);
		return;
	}
	transfer_charge(&c->transfer, len);
	query_postpone(&pool->queries, q, pool->now_ms + STREAM_DUE_MS);
	c->heard_ms = c->used_ms = pool->now_ms;
	restart_clock(c, q);
}
