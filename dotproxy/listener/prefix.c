/* SPDX-License-Identifier: ISC */
/*
 * The table of clients by prefix; see prefix.h.  Runs in the listener.  Must
 * not allocate, nor search: who floods chooses the addresses.
 */
#include "dotproxy/listener/prefix.h"

#include <stdlib.h>
#include <string.h>

int
prefixes_init(struct prefixes *t, uint32_t limit, struct rng *rng)
{
	memset(t, 0, sizeof(*t));
	keyhash_draw(&t->hash, rng);
	TAILQ_INIT(&t->idle);
	/* So large that they come as untouched zero pages. */
	t->records = calloc(PREFIX_RECORDS_MAX, sizeof(t->records[0]));
	t->buckets = calloc(PREFIX_RECORDS_MAX, sizeof(t->buckets[0]));
	if (t->records == NULL || t->buckets == NULL) {
		prefixes_clear(t);
		return -1;
	}
	prefixes_set_limit(t, limit);
	return 0;
}

void
prefixes_clear(struct prefixes *t)
{
	free(t->records);
	free(t->buckets);
	memset(t, 0, sizeof(*t));
}

static struct prefix_list *
bucket_of(struct prefixes *t, uint32_t hash)
{
	return &t->buckets[hash & (t->nbuckets - 1)];
}

void
prefixes_set_limit(struct prefixes *t, uint32_t limit)
{
	struct prefix *p;
	uint32_t i;

	if (limit > CONF_INFLIGHT_MAX)
		limit = CONF_INFLIGHT_MAX;
	t->limit = 2 * limit;
	memset(t->buckets, 0, t->nbuckets * sizeof(t->buckets[0]));
	t->nbuckets = keyhash_buckets(t->limit);
	for (i = 0; i < t->touched; i++) {
		p = &t->records[i];
		if (p->known)
			LIST_INSERT_HEAD(bucket_of(t, p->hash), p, bucket);
	}
}

/*
 * Takes a record that is used by nobody: one never used while there are few,
 * then the one that has had no query for longest.
 */
static struct prefix *
record_take(struct prefixes *t)
{
	struct prefix *p = TAILQ_FIRST(&t->idle);

	/* In use are fewer than there are: only slots hold them. */
	if (p == NULL || (p->known && t->touched < t->limit)) {
		p = &t->records[t->touched++];
		TAILQ_INSERT_TAIL(&t->idle, p, idle);
	}
	if (p->known)
		LIST_REMOVE(p, bucket);
	return p;
}

struct prefix *
prefixes_find(struct prefixes *t, const union client_addr *peer)
{
	struct keyhash_addr net = prefix_net(peer);
	uint16_t family = peer->sa.sa_family;
	uint32_t hash = keyhash(&t->hash, net, family);
	struct prefix *p;

	LIST_FOREACH (p, bucket_of(t, hash), bucket)
		if (p->net.a == net.a && p->net.b == net.b &&
		    p->family == family)
			return p;
	p = record_take(t);
	p->net = net;
	p->hash = hash;
	p->family = family;
	p->known = true;
	LIST_INSERT_HEAD(bucket_of(t, hash), p, bucket);
	return p;
}

uint32_t
prefixes_in_flight(const struct prefixes *t, uint32_t hash,
    struct keyhash_addr net, uint16_t family)
{
	const struct prefix *p;

	LIST_FOREACH (p, &t->buckets[hash & (t->nbuckets - 1)], bucket)
		if (p->net.a == net.a && p->net.b == net.b &&
		    p->family == family)
			return prefix_queries(p);
	return 0;
}

/* Forgotten, for it has as much right as a new one, and nobody shall see it. */
void
prefixes_release_last(struct prefixes *t, struct prefix *p)
{
	LIST_REMOVE(p, bucket);
	memset(&p->net, 0, sizeof(p->net));
	p->known = false;
	TAILQ_INSERT_HEAD(&t->idle, p, idle);
	t->nheld--;
}
