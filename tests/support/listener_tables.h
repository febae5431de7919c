/* SPDX-License-Identifier: ISC */
/*
 * Counts one by one what the listener only adds up: the queries in its table by
 * transport, client and connection, those whose client has gone, and the bytes
 * of long ones.  A test's; it looks and does not touch.
 */
#ifndef TESTS_LISTENER_TABLES_H
#define TESTS_LISTENER_TABLES_H

#include <stdlib.h>
#include <string.h>

#include "dotproxy/listener/tcp.h"
#include "dotproxy/listener/udp.h"

/* By transport, as in struct prefix. */
struct tables_sum {
	uint32_t count[2];
	uint32_t stored[2];
};

static inline void
tables_add(struct tables_sum *sum, const struct inflight_slot *s)
{
	sum->count[s->tcp]++;
	if (s->wire_len > INFLIGHT_WIRE_INLINE)
		sum->stored[s->tcp] += s->wire_len;
}

/* NULL, or what is wrong with a slot. */
static inline const char *
tables_slot(const struct inflight_slot *s)
{
	bool has_conn = s->client.conn != NULL;

	if (!s->used)
		return "a free slot is in order";
	if (has_conn != (s->tcp && !s->gone))
		return "a query has no connection, or one too many";
	if ((s->client.sock != NULL) == s->tcp)
		return "a query has no socket, or one too many";
	if (s->gone &&
	    (!s->sent || s->waiting || s->lined || s->transfer || s->indexed))
		return "a query of nobody is with somebody else than the pool";
	if ((s->wire_len > INFLIGHT_WIRE_INLINE) != (s->wire_long != NULL))
		return "a query is where it does not belong";
	return NULL;
}

/* NULL, or what is wrong with the connections of one queue. */
static inline const char *
tables_conns(const struct tcp_conns *queue, uint32_t *held)
{
	const struct inflight_slot *s;
	const struct tcp_conn *c;
	uint32_t n, transfers;

	TAILQ_FOREACH (c, queue, entry) {
		n = transfers = 0;
		LIST_FOREACH (s, &c->queries, conn) {
			if (!s->used || s->client.conn != c)
				return "a connection has another's query";
			transfers += s->transfer;
			n++;
		}
		if (n != c->waiting || transfers != c->transfers)
			return "a connection miscounts its queries";
		*held += n;
	}
	return NULL;
}

/* NULL, or what is wrong with what clients are counted to have. */
static inline const char *
tables_clients(const struct prefixes *t, const struct tables_sum *sums)
{
	uint32_t i, held = 0;
	const struct prefix *p;

	for (i = 0; i < t->touched; i++) {
		p = &t->records[i];
		if (memcmp(p->count, sums[i].count, sizeof(p->count)) != 0)
			return "a client's queries are miscounted";
		if (memcmp(p->stored, sums[i].stored, sizeof(p->stored)) != 0)
			return "a client's long queries are miscounted";
		held += prefix_queries(p) > 0;
	}
	return held == t->nheld ? NULL : "clients are miscounted";
}

static inline const char *
tables_sums(const struct listener *l, const struct tables_sum *all,
    uint32_t gone, uint32_t transfers)
{
	const struct inflight *t = &l->inflight;
	const struct udp_sock *u;
	uint32_t udp = 0;

	TAILQ_FOREACH (u, &l->udp->socks, entry)
		udp += u->waiting;
	if (udp != all->count[0] || all->count[0] + all->count[1] != t->count)
		return "queries are miscounted";
	if (all->count[1] != t->count_tcp)
		return "queries over TCP are miscounted";
	if (gone != t->count_gone)
		return "queries of clients that have gone are miscounted";
	if (all->stored[0] + all->stored[1] != t->longs.bytes ||
	    all->stored[1] != t->longs_tcp)
		return "bytes of long queries are miscounted";
	if (transfers != l->counters[LSTAT_transfers_open])
		return "transfers are miscounted";
	return NULL;
}

/* NULL, or what is wrong. */
static inline const char *
listener_tables_wrong(const struct listener *l)
{
	const struct tcp_queues *q = &l->tcp->all;
	const struct tcp_conns *queues[] = { &q->idle, &q->busy, &q->stuck,
		&q->leaving };
	struct tables_sum all = { 0 }, *sums;
	uint32_t gone = 0, transfers = 0, held = 0, nleaving = 0;
	const struct inflight_slot *s;
	const struct tcp_conn *c;
	const char *wrong = NULL;
	size_t i;

	sums = calloc(l->prefixes.touched + 1u, sizeof(*sums));
	if (sums == NULL)
		abort();
	for (s = inflight_first(&l->inflight); s != NULL && wrong == NULL;
	     s = inflight_next(s)) {
		wrong = tables_slot(s);
		tables_add(&all, s);
		tables_add(&sums[s->prefix - l->prefixes.records], s);
		gone += s->gone;
		transfers += s->transfer;
	}
	for (i = 0; i < 4 && wrong == NULL; i++)
		wrong = tables_conns(queues[i], &held);
	TAILQ_FOREACH (c, &q->leaving, entry)
		nleaving++;
	if (wrong == NULL && nleaving != l->tcp->nleaving)
		wrong = "connections that leave are miscounted";
	if (wrong == NULL && held != all.count[1] - gone)
		wrong = "a query is of no connection";
	if (wrong == NULL)
		wrong = tables_sums(l, &all, gone, transfers);
	if (wrong == NULL)
		wrong = tables_clients(&l->prefixes, sums);
	free(sums);
	return wrong;
}

#endif
