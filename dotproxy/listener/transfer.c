/* SPDX-License-Identifier: ISC */
/*
 * Zone transfers: answers of many messages over TCP (RFC 5936, RFC 1995).  Runs
 * in the listener.  The pool may be MSG_TRANSFER_WINDOW ahead of what the
 * client has taken, and is told so when it has: a client that does not read
 * stops its upstream, and must never cost more memory than that, nor keep
 * others waiting. Where a transfer ends is the pool's to say; that the client
 * closes its connection, or does not read for the write timeout, is the end as
 * well.
 */
#include "dotproxy/listener/listener.h"

/* Not worth a message of its own; the window allows for it. */
#define PAY_MIN (MSG_TRANSFER_WINDOW / 4)

bool
transfer_admits(struct listener *l, struct tcp_conn *conn)
{
	/* One that the pool was not told of keeps its place until then. */
	return l->counters[LSTAT_transfers_open] + l->ncancels <
		   l->conf.client.max_transfers &&
	       *tcp_transfers(conn) < LISTENER_TRANSFERS_MAX;
}

void
transfer_begin(struct listener *l, struct inflight_slot *s)
{
	s->transfer = true;
	++*tcp_transfers(s->client.conn);
	l->counters[LSTAT_transfers]++;
	l->counters[LSTAT_transfers_open]++;
}

/* Time begins anew for the pool. */
static void
postpone(struct listener *l, struct inflight_slot *s)
{
	uint64_t ms = l->conf.transfer_idle_ms;

	/* No query is due later, see inflight_postpone(). */
	if (ms < l->conf.query_timeout_ms)
		ms = l->conf.query_timeout_ms;
	inflight_postpone(
	    &l->inflight, s, listener_now(l) + ms + LISTENER_TRANSFER_GRACE_MS);
}

void
transfer_part(struct listener *l, struct inflight_slot *s, const uint8_t *wire,
    size_t len)
{
	s->begun = true;
	s->unpaid += (uint32_t)len;
	postpone(l, s);
	tcp_reply(l, s->client.conn, s->query.id, wire, len, LSTAT_COUNT);
}

void
transfer_pay(struct listener *l, const struct inflight_list *queries)
{
	struct inflight_slot *s;

	LIST_FOREACH (s, queries, conn) {
		if (!s->begun || s->waiting || s->unpaid < PAY_MIN)
			continue;
		postpone(l, s);
		link_send(l, s);
	}
}

bool
transfer_excused(struct listener *l, struct inflight_slot *s)
{
	if (!s->begun || s->waiting || s->unpaid < PAY_MIN)
		return false;
	postpone(l, s);
	return true;
}

void
transfer_end(struct listener *l, struct inflight_slot *s)
{
	--*tcp_transfers(s->client.conn);
	l->counters[LSTAT_transfers_open]--;
}

void
transfer_drop_all(struct listener *l)
{
	struct inflight_slot *s, *next;

	l->ncancels = 0;
	for (s = inflight_first(&l->inflight); s != NULL; s = next) {
		next = inflight_next(s);
		if (s->begun)
			query_lost(l, s);
	}
}
