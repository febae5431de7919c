/* SPDX-License-Identifier: ISC */
/*
 * Who asks most; see busiest.h.  Runs in the listener.  Must do nothing that
 * takes longer the more clients there are: who floods chooses the addresses.
 * What it knows leaves the process by the control socket only, and, if the
 * configuration says so, cut to networks, with the metrics.
 */
#include "dotproxy/listener/busiest.h"

#include <stdlib.h>
#include <string.h>

struct busiest *
busiest_new(void)
{
	struct busiest *t = calloc(1, sizeof(*t));
	uint32_t i;

	if (t == NULL)
		return NULL;
	TAILQ_INIT(&t->order);
	TAILQ_INIT(&t->free);
	for (i = 0; i <= BUSIEST_MAX; i++) {
		TAILQ_INIT(&t->groups[i].clients);
		TAILQ_INSERT_TAIL(&t->free, &t->groups[i], order);
	}
	return t;
}

void
busiest_free(struct busiest *t)
{
	if (t != NULL)
		explicit_bzero(t, sizeof(*t));
	free(t);
}

static struct busiest_bucket *
bucket_of(struct busiest *t, uint32_t hash)
{
	return &t->buckets[hash & (BUSIEST_BUCKETS - 1)];
}

static struct busiest_client *
find(struct busiest *t, uint32_t hash, struct keyhash_addr net, uint16_t family)
{
	struct busiest_client *c;

	LIST_FOREACH (c, bucket_of(t, hash), bucket)
		if (c->net.a == net.a && c->net.b == net.b &&
		    c->family == family)
			return c;
	return NULL;
}

/* Puts a client that is in no group into that of n queries, after another. */
static void
put(struct busiest *t, struct busiest_client *c, struct busiest_group *after,
    uint64_t n)
{
	struct busiest_group *g =
	    after != NULL ? TAILQ_NEXT(after, order) : TAILQ_FIRST(&t->order);

	if (g == NULL || g->queries != n) {
		g = TAILQ_FIRST(&t->free);
		TAILQ_REMOVE(&t->free, g, order);
		g->queries = n;
		if (after != NULL)
			TAILQ_INSERT_AFTER(&t->order, after, g, order);
		else
			TAILQ_INSERT_HEAD(&t->order, g, order);
	}
	TAILQ_INSERT_TAIL(&g->clients, c, place);
	c->group = g;
}

/* One query more. */
static void
raise_client(struct busiest *t, struct busiest_client *c)
{
	struct busiest_group *g = c->group;

	TAILQ_REMOVE(&g->clients, c, place);
	put(t, c, g, g->queries + 1);
	if (!TAILQ_EMPTY(&g->clients))
		return;
	TAILQ_REMOVE(&t->order, g, order);
	TAILQ_INSERT_HEAD(&t->free, g, order);
}

/* A place that was never used, with its first query; or NULL. */
static struct busiest_client *
take_free(struct busiest *t)
{
	struct busiest_client *c;

	if (t->n == BUSIEST_MAX)
		return NULL;
	c = &t->clients[t->n++];
	put(t, c, NULL, 1);
	return c;
}

/* The place of who has asked least, with his queries and one more. */
static struct busiest_client *
take_least(struct busiest *t)
{
	struct busiest_group *g = TAILQ_FIRST(&t->order);
	struct busiest_client *c = TAILQ_FIRST(&g->clients);

	LIST_REMOVE(c, bucket);
	c->excess = g->queries;
	c->answers = 0;
	memset(c->asked, 0, sizeof(c->asked));
	memset(c->answered, 0, sizeof(c->answered));
	memset(c->recent, 0, sizeof(c->recent));
	raise_client(t, c);
	return c;
}

/* Forgets the periods that are over for a minute. */
static void
advance(struct busiest_client *c, uint64_t now_ms)
{
	uint64_t period = now_ms / BUSIEST_PERIOD_MS;

	if (period - c->period >= BUSIEST_PERIODS)
		memset(c->recent, 0, sizeof(c->recent));
	else
		while (c->period < period)
			c->recent[++c->period % BUSIEST_PERIODS] = 0;
	c->period = period;
}

void
busiest_query(struct busiest *t, const struct prefixes *p,
    const union client_addr *peer, bool tcp, uint64_t now_ms)
{
	struct keyhash_addr net = prefix_net(peer);
	uint16_t family = peer->sa.sa_family;
	uint32_t hash = keyhash(&p->hash, net, family);
	struct busiest_client *c = find(t, hash, net, family);

	if (c != NULL)
		raise_client(t, c);
	else {
		c = take_free(t);
		if (c == NULL)
			c = take_least(t);
		c->net = net;
		c->family = family;
		c->hash = hash;
		LIST_INSERT_HEAD(bucket_of(t, hash), c, bucket);
	}
	advance(c, now_ms);
	c->recent[c->period % BUSIEST_PERIODS]++;
	c->asked[tcp]++;
}

void
busiest_answer(struct busiest *t, const struct prefixes *p,
    const union client_addr *peer, bool tcp)
{
	struct keyhash_addr net = prefix_net(peer);
	uint16_t family = peer->sa.sa_family;
	struct busiest_client *c =
	    find(t, keyhash(&p->hash, net, family), net, family);

	if (c != NULL) {
		c->answers++;
		c->answered[tcp]++;
	}
}

static void
fill_net(const struct busiest_client *c, struct conf_prefix *net)
{
	uint32_t v4 = (uint32_t)c->net.a;

	memset(net, 0, sizeof(*net));
	net->family = (uint8_t)c->family;
	if (c->family == AF_INET) {
		memcpy(net->addr, &v4, sizeof(v4));
		net->len = PREFIX_LEN_V4;
	} else {
		memcpy(net->addr, &c->net, sizeof(net->addr));
		/* On a link it is the whole address, see prefix.h. */
		net->len = net->addr[0] == 0xfe && (net->addr[1] & 0xc0) == 0x80
			       ? 128
			       : PREFIX_LEN_V6;
	}
}

/* Cuts an IPv4 address to its network, and one of a link to the link. */
static void
blur(struct conf_prefix *net)
{
	uint8_t most = net->family == AF_INET ? 24 : PREFIX_LEN_V6;

	if (net->len > most)
		net->len = most;
	memset(net->addr + net->len / 8, 0, sizeof(net->addr) - net->len / 8);
}

bool
busiest_take(struct busiest *t, uint32_t *cursor, struct busiest_share *share)
{
	struct busiest_client *c;

	while (*cursor < t->n) {
		c = &t->clients[(*cursor)++];
		memcpy(share->asked, c->asked, sizeof(share->asked));
		memcpy(share->answered, c->answered, sizeof(share->answered));
		memset(c->asked, 0, sizeof(c->asked));
		memset(c->answered, 0, sizeof(c->answered));
		fill_net(c, &share->net);
		blur(&share->net);
		if (share->asked[0] + share->asked[1] + share->answered[0] +
			share->answered[1] >
		    0)
			return true;
	}
	return false;
}

static void
fill_info(struct busiest_client *c, const struct prefixes *p, uint64_t now_ms,
    struct info_client *info)
{
	uint32_t i;

	memset(info, 0, sizeof(*info));
	fill_net(c, &info->net);
	info->queries = c->group->queries;
	info->excess = c->excess;
	info->answers = c->answers;
	info->inflight = prefixes_in_flight(p, c->hash, c->net, c->family);
	advance(c, now_ms);
	for (i = 0; i < BUSIEST_PERIODS; i++)
		info->last_minute += c->recent[i];
}

bool
busiest_send(struct busiest *t, const struct prefixes *p, struct imsg_chan *ch,
    uint64_t id, uint64_t now_ms)
{
	struct info_client info;
	uint32_t i;

	for (i = 0; i < t->n; i++) {
		fill_info(&t->clients[i], p, now_ms, &info);
		if (!msg_send_info_client(ch, id, &info))
			return false;
	}
	return true;
}
