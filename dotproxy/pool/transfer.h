/* SPDX-License-Identifier: ISC */
/*
 * One zone transfer: where its last message is, and how much of it may be under
 * way to the client.  No libevent, no clock, no allocation.
 *
 * The end is found as a client finds it, by the SOA records: the zone's own is
 * the first and the last record (RFC 5936 2.2), and each difference of an
 * incremental transfer begins with two (RFC 1995 4).  To wait instead until the
 * upstream closes, or says no more, would be less code, but it would keep the
 * connection, and one of few places, for seconds after each transfer of a
 * client that keeps its own connection for the next.  What is found is no more
 * than this: a message that is not understood is passed on like any other, and
 * if the end is not found then silence is the end, as for an upstream that
 * stops in the middle.
 */
#ifndef POOL_TRANSFER_H
#define POOL_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the records so far were. */
enum transfer_part {
	TRANSFER_START,   /* none yet: the new SOA is due */
	TRANSFER_SECOND,  /* the new SOA: what comes now tells which kind */
	TRANSFER_ZONE,    /* records of the zone; a SOA is the end */
	TRANSFER_DELETED, /* after the old SOA of a difference */
	TRANSFER_ADDED,   /* after its new SOA; another one begins the next
			   * difference, or is the end */
	TRANSFER_END,
	TRANSFER_LOST /* not understood: no end will be found */
};

struct transfer {
	enum transfer_part part;
	bool incremental; /* IXFR */
	bool has_serial;  /* the client has said what it has: */
	uint32_t old_serial;
	uint32_t new_serial; /* of the first SOA */
	uint32_t unpaid;     /* bytes sent that the client has not taken */
};

/* Begins one, for a query that dns_is_transfer(). */
void transfer_init(
    struct transfer *, bool incremental, const uint8_t *query, size_t len);

/* Looks at the next message of the answer.  True if it is the last one. */
bool transfer_is_last(struct transfer *, const uint8_t *msg, size_t len);

/* A message goes to the client. */
static inline void
transfer_charge(struct transfer *t, size_t len)
{
	t->unpaid += (uint32_t)len;
}

/* The client has taken so many bytes; the listener may say anything. */
static inline void
transfer_credit(struct transfer *t, uint32_t len)
{
	t->unpaid -= len < t->unpaid ? len : t->unpaid;
}

#endif
