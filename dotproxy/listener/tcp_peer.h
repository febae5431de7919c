/* SPDX-License-Identifier: ISC */
/*
 * The machines that have TCP connections open, each with how many and which:
 * an IPv4 address is one, and an IPv6 prefix of 64 bits, in which a machine
 * has as many addresses as it likes.  Pure, but for memory: a peer is made for
 * its first connection and freed with its last.
 */
#ifndef LISTENER_TCP_PEER_H
#define LISTENER_TCP_PEER_H

#include <stdint.h>
#include <sys/queue.h>

#include "dotproxy/listener/inflight.h"

TAILQ_HEAD(tcp_conns, tcp_conn);

/*
 * Connections by where they stand, in the order in which they came there.
 * idle: it owes us a message, until the read timeout.  busy: we owe it an
 * answer.  stuck: it has to take what we sent, until the write timeout.
 * leaving: it has had its last answer, and is waited for to close.
 */
struct tcp_queues {
	struct tcp_conns idle;
	struct tcp_conns busy;
	struct tcp_conns stuck;
	struct tcp_conns leaving;
};

struct tcp_peer {
	LIST_ENTRY(tcp_peer) entry;
	uint64_t key;
	uint32_t count;           /* of its connections; never 0 */
	struct tcp_queues queues; /* of them, linked by peer_entry */
};

LIST_HEAD(tcp_peer_list, tcp_peer);

/* A hash table.  Zeroed, it is not initialised. */
struct tcp_peers {
	struct tcp_peer_list *buckets;
	uint64_t multiplier;
};

void tcp_queues_init(struct tcp_queues *);

/*
 * Makes an empty table.  secret is unpredictable, so that nobody can choose
 * addresses that fall into the same bucket.  Returns 0, or -1 out of memory.
 */
int tcp_peers_init(struct tcp_peers *, uint64_t secret);

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
