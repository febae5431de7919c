/* SPDX-License-Identifier: ISC */
/* What the parts of the test upstream share, see upstream.c. */
#ifndef TESTS_SUPPORT_UPSTREAM_H
#define TESTS_SUPPORT_UPSTREAM_H

#include <sys/queue.h>

#include <event2/event.h>
#include <openssl/ssl.h>

#include "tests/support/knob.h"
#include "tests/support/net.h"

#define RECORD_MAX 16384
#define READ_MAX 65536

struct conn;

struct stats {
	unsigned long connections;
	unsigned long open;
	unsigned long handshakes;
	unsigned long resumed;
	unsigned long fast_opened; /* connections whose SYN had data */
	unsigned long handshake_failures;
	unsigned long queries;
	unsigned long udp_queries; /* of these */
	unsigned long answered;
	unsigned long max_inflight; /* on one connection */
};

struct server {
	struct event_base *base;
	SSL_CTX *tls;
	struct event *ev_accept;
	struct event *ev_control;
	struct event *ev_udp; /* NULL unless told to */
	TAILQ_HEAD(, conn) conns;
	struct sockaddr_storage addr;
	socklen_t addrlen;
	int fd; /* -1 while not accepting */
	int knob[K_MAX];
	struct stats stats;
	double free_s; /* K_RATE: when the next answer may begin */
	uint8_t in[READ_MAX];
	uint8_t out[RECORD_MAX]; /* answers of this turn */
	size_t outlen;
	uint8_t frame[2 * (DNS_MESSAGE_MAX + 2)];
};

static inline struct timeval
ms_timeval(int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	return tv;
}

/* udp.c */
void udp_start(struct server *);

/* conn.c */
void conn_new(struct server *, int);
void conn_close_all(struct server *);

/* tls.c */
void tls_init(struct server *, const char *, const char *);
void tls_demand(struct server *, const char *);
void tls_keylog(struct server *, const char *);

#endif
