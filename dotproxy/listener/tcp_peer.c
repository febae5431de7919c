/* SPDX-License-Identifier: ISC */
/*
 * Who has which TCP connections; see tcp_peer.h.  Runs in the listener.  Must
 * never take time in the number of connections, nor let a client choose where
 * in the table it is: hence a hash that is secret.
 */
#include "dotproxy/listener/tcp_peer.h"

#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

#define BUCKETS_LOG2 14
#define BUCKETS ((size_t)1 << BUCKETS_LOG2)
/* What IPv4 addresses begin with: a prefix that nobody has (RFC 4291 2.5). */
#define KEY_V4 0x0000ffff00000000ull

/* The key of an address; IPv4-mapped ones are IPv4 addresses, as in acl.c. */
static uint64_t
peer_key(const union client_addr *a)
{
	const uint8_t *p = a->in6.sin6_addr.s6_addr;

	if (a->sa.sa_family == AF_INET)
		return KEY_V4 | ntohl(a->in.sin_addr.s_addr);
	if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		return KEY_V4 | wire_load_u32(p + 12);
	return wire_load_u64(p);
}

void
tcp_queues_init(struct tcp_queues *q)
{
	TAILQ_INIT(&q->idle);
	TAILQ_INIT(&q->busy);
	TAILQ_INIT(&q->stuck);
	TAILQ_INIT(&q->leaving);
}

int
tcp_peers_init(struct tcp_peers *t, uint64_t secret)
{
	/* Zero is an empty list: only buckets that are used become real. */
	t->buckets = calloc(BUCKETS, sizeof(t->buckets[0]));
	t->multiplier = secret | 1;
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
	uint64_t key = peer_key(a);
	struct tcp_peer_list *bucket;
	struct tcp_peer *p;

	/* Multiply and shift, a universal family of hashes (Dietzfelbinger). */
	bucket = &t->buckets[key * t->multiplier >> (64 - BUCKETS_LOG2)];
	LIST_FOREACH (p, bucket, entry)
		if (p->key == key)
			break;
	if (p == NULL) {
		p = calloc(1, sizeof(*p));
		if (p == NULL)
			return NULL;
		p->key = key;
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
