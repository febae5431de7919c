/* SPDX-License-Identifier: ISC */
/*
 * A socket in memory, for those who make up the kernel of a replay: vnet.c has
 * the sockets, vcall.c the system calls on them.  To all others it is what
 * vnet.h says of it.
 */
#ifndef TESTS_REPLAY_VSOCK_H
#define TESTS_REPLAY_VSOCK_H

#include <stdlib.h>
#include <sys/queue.h>

#include "tests/replay/vnet.h"

/* Descriptors from here on are ours. */
#define VSOCK_FD_FIRST 1000000
#define VSOCK_PASSED_MAX 64

enum vkind { VKIND_NULL, VKIND_STREAM, VKIND_UDP, VKIND_LISTENER };

/* A datagram, or a client that is to be accepted. */
struct vitem {
	TAILQ_ENTRY(vitem) entry;
	struct sockaddr_in from;
	struct vsock *client;
	size_t len;
	uint8_t msg[];
};

/* In memory as long as the daemon has a descriptor of it, or we have it. */
struct vsock {
	TAILQ_ENTRY(vsock) entry; /* in net.all */
	enum vkind kind;
	unsigned int refs;
	struct vsock *peer; /* of a stream; NULL: closed */
	uint8_t *buf;       /* what has come */
	size_t pos, len, cap;
	bool eof;        /* nothing more comes */
	bool connecting; /* not writable */
	int err;         /* to be found by the next call */
	/* Descriptors that came with byte at of buf. */
	struct {
		size_t at;
		struct vsock *sock;
	} passed[VSOCK_PASSED_MAX];
	size_t npassed;
	TAILQ_HEAD(vitems, vitem) items;
	vnet_datagram on_datagram;
	void *arg;
};

/* --- vnet.c --- */

/* What there has to be memory, or a socket, for. */
static inline void *
vsock_need(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* The socket of a descriptor; NULL if it is none of ours. */
struct vsock *vsock_of(int fd);

/* A new descriptor, which takes over a reference to the socket. */
int vsock_fd(struct vsock *);

/* Closes a descriptor, which is ours. */
void vsock_drop(int fd);

/* Both ends of a new stream, with a reference to each. */
void vsock_pair(struct vsock **, struct vsock **);

/* How much more a socket takes. */
size_t vsock_room(const struct vsock *);

/* Bytes arrive at a socket, however many. */
void vsock_deliver(struct vsock *, const void *p, size_t len);

/* Bytes that have arrived, at most len. */
size_t vsock_take(struct vsock *, void *p, size_t len);

/* The next number of the daemon's. */
uint64_t vsock_random(void);

#endif
