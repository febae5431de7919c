/* SPDX-License-Identifier: ISC */
/*
 * The clients that have TCP connections open, each with how many and which.
 * Who is one client is up to prefix.h.  Pure, but for memory: a peer is made
 * for its first connection and freed with its last.
 */
#ifndef LISTENER_TCP_PEER_H
#define LISTENER_TCP_PEER_H

#include <stdint.h>
#include <sys/queue.h>

#include "dotproxy/listener/inflight.h"
#include "dotproxy/listener/keyhash.h"

TAILQ_HEAD(tcp_conns, tcp_conn);

/*
 * Connections by where they stand, in the order in which they came there.
 * idle: it owes us a message, until the read timeout.  busy: we owe it an
 * answer.  stuck: it has to take what we sent, until the write timeout.
 * leaving: it has had its last answer, and is waited for to close; or it may
 * not ask, and has not yet.
 */
struct tcp_queues {
	struct tcp_conns idle;
	struct tcp_conns busy;
	struct tcp_conns stuck;
	struct tcp_conns leaving;
};

struct tcp_peer {
	LIST_ENTRY(tcp_peer) entry;
	struct keyhash_addr net;
	uint16_t family;
	uint32_t count;           /* of its connections; never 0 */
	struct tcp_queues queues; /* of them, linked by peer_entry */
};

LIST_HEAD(tcp_peer_list, tcp_peer);

/* A hash table.  Zeroed, it is not initialised. */
struct tcp_peers {
	struct tcp_peer_list *buckets;
	struct keyhash hash; /* secret */
};

void tcp_queues_init(struct tcp_queues *);

/* Makes an empty table.  Returns 0, or -1 out of memory. */
int tcp_peers_init(struct tcp_peers *, struct rng *);

/* Frees the table, which is empty. */
void tcp_peers_free(struct tcp_peers *);

/*
 * Counts one more connection of this address.  Returns its peer, which stays
 * until as many tcp_peer_drop() as there were takes; NULL out of memory.
 */
struct tcp_peer *tcp_peer_take(struct tcp_peers *, const union client_addr *);

/* Counts one less; the peer is gone after the last. */
void tcp_peer_drop(struct tcp_peer *);

#endif
