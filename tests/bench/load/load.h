/* SPDX-License-Identifier: ISC */
/* What the parts of the load generator share, see load.c. */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include <sys/queue.h>

#include <inttypes.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "tests/bench/measure.h"
#include "tests/support/answer.h"
#include "tests/support/net.h"

#define BATCH 64
#define QUERY_MAX 300
#define SEQ_DIGITS 8
#define SEQ_AT (DNS_HEADER + 1) /* of the number in the name */
#define CLIENTS_MAX 16384

/* One query at a time; its index in the client's slots gives the DNS ID. */
struct slot {
	TAILQ_ENTRY(slot) entry; /* in free or in busy */
	uint64_t due_ns;
	uint32_t seq;
	uint32_t lost_seq; /* the last it gave up */
	uint16_t index;
	bool busy;
};

TAILQ_HEAD(slots, slot);

struct client {
	TAILQ_ENTRY(client) asked; /* valid if dirty */
	bool dirty;                /* has something to send */
	bool writing;              /* waits until it can */
	int fd;
	uint16_t id_mask;
	struct slot *slot;
	struct slots free;
	struct slots busy; /* oldest first */
	size_t nout;       /* messages to send */
	struct iovec iov[BATCH];
	uint8_t msg[BATCH][QUERY_MAX];
	uint8_t *out; /* TCP: bytes to send */
	size_t outlen;
	uint8_t in[2 * (DNS_MESSAGE_MAX + 2)];
	size_t inlen;
};

struct counts {
	unsigned long sent;
	unsigned long answered; /* right, and no error */
	unsigned long errors;   /* right, but an RCODE */
	unsigned long wrong;
	unsigned long duplicate;
	unsigned long lost;    /* no answer in time */
	unsigned long late;    /* answers to those */
	unsigned long refused; /* ICMP, RST and other errors */
	unsigned long closed;  /* TCP connections */
};

struct load {
	struct sockaddr_storage addr;
	socklen_t addrlen;
	struct sockaddr_storage from; /* what clients bind to */
	socklen_t fromlen;            /* 0: nothing */
	bool tcp;
	bool same_ids; /* all clients have the same */
	unsigned long total;
	unsigned long outstanding;
	double rate; /* 0: closed loop */
	bool poisson;
	uint64_t timeout_ns;
	uint64_t due_ns;    /* of the next query, in an open loop */
	FILE *trace;        /* a line for each query; NULL: none */
	uint64_t expire_ns; /* when to look for those without an answer */
	uint64_t start_ns;
	uint64_t stop_ns; /* no query after it */
	size_t idle;      /* connections that ask nothing */
	size_t nclients;
	size_t next; /* whose turn it is to ask */
	size_t per_client;
	struct client *client;
	TAILQ_HEAD(, client) dirty;
	int epoll;
	size_t nbusy;          /* queries without an answer */
	uint16_t id[65536];    /* slot to ID: a permutation */
	uint16_t index[65536]; /* and back */
	uint8_t query[QUERY_MAX];
	size_t querylen;
	size_t size; /* all answers are of that length; 0: an address */
	struct counts n;
	struct histogram latency;
};

/* --- message.c --- */

/* All queries are this one: a number, a word for this run, a domain. */
void query_template(struct load *, const char *);
void query_write(
    const struct load *, const struct client *, const struct slot *, uint8_t *);
/* Returns false if the question is not one of this run's. */
bool answer_sequence(const struct load *, const uint8_t *, size_t, uint32_t *);
/* True if it is what the upstream of tests/support says. */
bool answer_right(const struct load *, const uint8_t *, size_t);

/* --- client.c --- */

void client_new(struct load *, struct client *);
/* Connects, and that is all. */
void client_idle(const struct load *);
/* Asks; client_flush() sends it. */
void client_ask(struct load *, struct client *, uint64_t);
void client_flush(struct load *, struct client *);
void client_read(struct load *, struct client *);
/* Gives up on queries older than the timeout. */
void client_expire(struct load *, struct client *, uint64_t);

#endif
