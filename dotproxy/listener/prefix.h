/* SPDX-License-Identifier: ISC */
/*
 * Clients, by the prefix of their address: how many queries each has in
 * flight, so that one of them cannot take the places of the others.  Runs in
 * the listener.  Pure: no event loop, no clock.
 *
 * Who has queries in flight is always there.  There are as many records as
 * the other table has slots, and more, so that addresses which are made up can
 * push out only who has none.
 */
#ifndef LISTENER_PREFIX_H
#define LISTENER_PREFIX_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/queue.h>

#include "dotproxy/listener/inflight.h"
#include "dotproxy/listener/keyhash.h"

/* The clients of one network, as far as there is a difference. */
struct prefix {
	union {
		TAILQ_ENTRY(prefix) idle; /* valid if none is in flight */
		TAILQ_ENTRY(prefix) turn; /* valid if nline > 0 */
	};
	struct inflight_queue line; /* see turns.h; valid if nline > 0 */
	uint32_t nline;
	LIST_ENTRY(prefix) bucket; /* valid if known */
	struct keyhash_addr net;   /* no host bits */
	uint32_t hash;
	uint32_t count[2];  /* queries in flight over UDP, and over TCP */
	uint32_t stored[2]; /* of these, bytes in the store of long ones */
	uint16_t family;
	bool known; /* can be found */
};

TAILQ_HEAD(prefix_queue, prefix);
LIST_HEAD(prefix_list, prefix);

struct prefixes {
	struct keyhash hash;         /* secret */
	struct prefix *records;      /* PREFIX_RECORDS_MAX of them */
	struct prefix_list *buckets; /* PREFIX_RECORDS_MAX of them */
	uint32_t touched;            /* records below this have been used */
	uint32_t limit;    /* so many are used before one is used again */
	uint32_t nbuckets; /* of these, in use; a power of two */
	uint32_t nheld;    /* records of clients with queries in flight */
	uint32_t most;     /* queries a client had when it asked, at most */
	struct prefix_queue idle; /* the first is the next to be used */
};

/* Twice the queries there may be: half is for who has none just now. */
#define PREFIX_RECORDS_MAX (2 * CONF_INFLIGHT_MAX)
#define PREFIX_LEN_V4 32 /* all of it */
#define PREFIX_LEN_V6 56

/*
 * Makes an unused struct an empty table for so many queries in flight.
 * Memory is only reserved.  Returns 0 or -1 out of memory.
 */
int prefixes_init(struct prefixes *, uint32_t limit, struct rng *);
void prefixes_clear(struct prefixes *);

/* Changes the number of queries; the records of those there are stay. */
void prefixes_set_limit(struct prefixes *, uint32_t limit);

/* An address, all of it. */
static inline struct keyhash_addr
prefix_addr(const union client_addr *peer)
{
	struct keyhash_addr addr = { peer->in.sin_addr.s_addr, 0 };

	if (peer->sa.sa_family != AF_INET)
		memcpy(&addr, &peer->in6.sin6_addr, sizeof(addr));
	return addr;
}

/*
 * What of an address is the client.  One IPv4 address may be many clients
 * (NAT), and the /56 of a customer is one client with more IPv6 addresses than
 * there is memory for.  On a link all have the same prefix: there each is a
 * client.
 */
static inline struct keyhash_addr
prefix_net(const union client_addr *peer)
{
	struct keyhash_addr net = prefix_addr(peer);

	if (peer->sa.sa_family == AF_INET ||
	    IN6_IS_ADDR_LINKLOCAL(&peer->in6.sin6_addr))
		return net;
	net.a &= htobe64(UINT64_MAX << (64 - PREFIX_LEN_V6));
	net.b = 0;
	return net;
}

/* The queries in flight, over both transports. */
static inline uint32_t
prefix_queries(const struct prefix *p)
{
	return p->count[false] + p->count[true];
}

/*
 * Returns the record of a client, which may be new.  It is good until the
 * next prefixes_find(), or for as long as it is held.
 */
struct prefix *prefixes_find(struct prefixes *, const union client_addr *);

/* The queries in flight of a network, with its hash; never a new record. */
uint32_t prefixes_in_flight(const struct prefixes *, uint32_t hash,
    struct keyhash_addr net, uint16_t family);

/* For prefixes_release(): the last query has gone. */
void prefixes_release_last(struct prefixes *, struct prefix *);

/* A query of the client is in flight, or no longer. */
static inline void
prefixes_hold(struct prefixes *t, struct prefix *p, bool tcp)
{
	if (prefix_queries(p) == 0) {
		TAILQ_REMOVE(&t->idle, p, idle);
		t->nheld++;
	}
	p->count[tcp]++;
	if (prefix_queries(p) > t->most)
		t->most = prefix_queries(p);
}

/* The most queries in flight a client had, of those who asked since then. */
static inline uint32_t
prefixes_take_most(struct prefixes *t)
{
	uint32_t most = t->most;

	t->most = 0;
	return most;
}

static inline void
prefixes_release(struct prefixes *t, struct prefix *p, bool tcp)
{
	p->count[tcp]--;
	if (prefix_queries(p) == 0)
		prefixes_release_last(t, p);
}

#endif
