/* SPDX-License-Identifier: ISC */
/*
 * Who has which TCP connections; see tcp_peer.h.  Runs in the listener.  Must
 * never take time in the number of connections, nor let a client choose where
 * in the table it is: hence a hash that is secret.
 */
#include "dotproxy/listener/tcp_peer.h"

#include <stdlib.h>

#include "dotproxy/listener/prefix.h"

#define BUCKETS 16384u /* a power of two */

void
tcp_queues_init(struct tcp_queues *q)
{
	TAILQ_INIT(&q->idle);
	TAILQ_INIT(&q->busy);
	TAILQ_INIT(&q->stuck);
	TAILQ_INIT(&q->leaving);
}

int
tcp_peers_init(struct tcp_peers *t, struct rng *rng)
{
	/* Zero is an empty list: only buckets that are used become real. */
	t->buckets = calloc(BUCKETS, sizeof(t->buckets[0]));
	keyhash_draw(&t->hash, rng);
	return t->buckets != NULL ? 0 : -1;
}

void
tcp_peers_free(struct tcp_peers *t)
{
	free(t->buckets);
	t->buckets = NULL;
}

struct tcp_peer *
tcp_peer_take(struct tcp_peers *t, const union client_addr *a)
{
	struct keyhash_addr net = prefix_net(a);
	uint16_t family = a->sa.sa_family;
	struct tcp_peer_list *bucket;
	struct tcp_peer *p;

	bucket = &t->buckets[keyhash(&t->hash, net, family) & (BUCKETS - 1)];
	LIST_FOREACH (p, bucket, entry)
		if (p->net.a == net.a && p->net.b == net.b &&
		    p->family == family)
			break;
	if (p == NULL) {
		p = calloc(1, sizeof(*p));
		if (p == NULL)
			return NULL;
		p->net = net;
		p->family = family;
		tcp_queues_init(&p->queues);
		LIST_INSERT_HEAD(bucket, p, entry);
	}
	p->count++;
	return p;
}

void
tcp_peer_drop(struct tcp_peer *p)
{
	if (--p->count > 0)
		return;
	LIST_REMOVE(p, entry);
	free(p);
}
