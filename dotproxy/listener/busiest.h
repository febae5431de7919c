/* SPDX-License-Identifier: ISC */
/*
 * Who asks most: clients by prefix, for dotproxyctl, if the configuration says
 * so.  A table of fixed size, by the space-saving algorithm (Metwally, Agrawal,
 * El Abbadi 2005): who is not in it takes the place of who has asked least, and
 * begins with the number of that one's queries, which is then too high by so
 * many at most.  Whoever has sent more than 1 in BUSIEST_MAX of all queries is
 * in it.  No call allocates or searches.  Pure: no clock.
 */
#ifndef LISTENER_BUSIEST_H
#define LISTENER_BUSIEST_H

#include <stdint.h>
#include <sys/queue.h>

#include "common/msg.h"
#include "dotproxy/listener/prefix.h"

#define BUSIEST_MAX INFO_CLIENTS_MAX
#define BUSIEST_BUCKETS (2 * BUSIEST_MAX) /* a power of two */
#define BUSIEST_PERIOD_MS 10000
#define BUSIEST_PERIODS 6 /* the last minute */

struct busiest_group;

struct busiest_client {
	TAILQ_ENTRY(busiest_client) place; /* in its group */
	LIST_ENTRY(busiest_client) bucket;
	struct busiest_group *group;
	struct keyhash_addr net;
	uint32_t hash;
	uint16_t family;
	uint64_t excess; /* queries that may have been another's */
	uint64_t answers;
	uint64_t asked[2], answered[2]; /* by transport, to be taken */
	uint64_t period;                /* the last one it asked in */
	uint32_t recent[BUSIEST_PERIODS];
};

TAILQ_HEAD(busiest_clients, busiest_client);
LIST_HEAD(busiest_bucket, busiest_client);

/* The clients with so many queries; never empty. */
struct busiest_group {
	TAILQ_ENTRY(busiest_group) order;
	struct busiest_clients clients;
	uint64_t queries;
};

TAILQ_HEAD(busiest_groups, busiest_group);

struct busiest {
	struct busiest_groups order; /* fewest queries first */
	struct busiest_groups free;
	uint32_t n;
	struct busiest_client clients[BUSIEST_MAX];
	/* One more: that of a client that moves may be about to be empty. */
	struct busiest_group groups[BUSIEST_MAX + 1];
	struct busiest_bucket buckets[BUSIEST_BUCKETS];
};

/* NULL out of memory. */
struct busiest *busiest_new(void);

/* Forgets everything; NULL is nothing. */
void busiest_free(struct busiest *);

/* A client has asked, over TCP or UDP. */
void busiest_query(struct busiest *, const struct prefixes *,
    const union client_addr *, bool tcp, uint64_t now_ms);

/* It got an answer. */
void busiest_answer(struct busiest *, const struct prefixes *,
    const union client_addr *, bool tcp);

/* What a client has asked, and was answered, since that was taken last. */
struct busiest_share {
	struct conf_prefix net; /* cut to what does not tell a host */
	uint64_t asked[2], answered[2];
};

/*
 * Takes the share of the next client that has one, from *cursor on, which is
 * 0 at first; false when that was all.  Several may be of the same net.  Of
 * who has lost its place nothing is told.
 */
bool busiest_take(struct busiest *, uint32_t *cursor, struct busiest_share *);

/* Sends an INFO_CLIENT for each; false if there is no room. */
bool busiest_send(struct busiest *, const struct prefixes *, struct imsg_chan *,
    uint64_t id, uint64_t now_ms);

#endif
