/* SPDX-License-Identifier: ISC */
/* What udp.c and udp_send.c share. */
#ifndef LISTENER_UDP_H
#define LISTENER_UDP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "dotproxy/listener/listener.h"

#define UDP_BATCH 64 /* datagrams a system call */

/* Room for the local address of a datagram, in or out. */
union udp_control {
	struct cmsghdr align;
	uint8_t v4[CMSG_SPACE(sizeof(struct in_pktinfo))];
	uint8_t v6[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct udp_batch;

/* A socket that clients send to.  Owned by struct udp. */
struct udp_sock {
	TAILQ_ENTRY(udp_sock) entry;
	struct listener *listener;
	struct udp_batch *out; /* owned: replies of this turn */
	struct event *ev;
	int fd;
	uint32_t id;
	uint32_t waiting; /* queries in flight that came through it */
	bool any;         /* bound to no address: replies have to name one */
	bool reading;
	bool retired; /* closed as soon as nothing waits */
};

TAILQ_HEAD(udp_socks, udp_sock);

/* Where datagrams are received: one set of buffers for all sockets. */
struct udp {
	struct udp_socks socks;
	uint8_t *buf; /* mapping of UDP_BATCH strides; owned */
	struct mmsghdr msgs[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	union client_addr peers[UDP_BATCH];
	union udp_control control[UDP_BATCH];
};

/* --- udp_send.c --- */

/* Returns NULL out of memory. */
struct udp_batch *udp_batch_new(void);
/* Sends what is queued, and counts it. */
void udp_batch_send(struct udp_sock *);

#endif
