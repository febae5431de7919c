/* SPDX-License-Identifier: ISC */
/*
 * What is known of how long an upstream leaves a connection open that is not
 * used.  Pure: times are arguments, and nothing is done here.
 */
#ifndef POOL_WARM_H
#define POOL_WARM_H

#include <stdbool.h>
#include <stdint.h>

/* Who closes sooner does so after answers, not for idleness. */
#define WARM_LIMIT_MIN_MS 250u

struct warm {
	uint32_t learnt_ms; /* idle time after which it closes; 0: unknown */
	uint32_t spoken_ms; /* what it said last (RFC 7828); 0: nothing */
	uint32_t setup_ms;  /* from the dial to the end of the handshake */
};

/*
 * The upstream has closed a connection that was idle for so long.  The
 * shortest time counts; a longer one moves it half of the way back.
 */
void warm_closed(struct warm *, uint64_t idle_ms);

/* A connection has been idle for so long and is open still. */
void warm_survived(struct warm *, uint64_t idle_ms);

/* The upstream said in an answer how long it lets connections idle. */
void warm_spoken(struct warm *, uint32_t ms);

/* A connection took so long to be ready. */
void warm_set_up(struct warm *, uint64_t ms);

/* The idle time after which the upstream closes; 0 if it is not known. */
uint32_t warm_limit(const struct warm *);

/*
 * The idle time after which a connection must be expected to be closed before
 * a query reaches the upstream, and another should be on its way; UINT64_MAX
 * if no limit is known.  At least 5/6 of the limit, so that there are no more
 * than 1.2 connections in the time the upstream lets one idle.
 */
uint64_t warm_expires(const struct warm *);

/* True while an upstream last wanted at used_ms (0: never) is kept warm. */
bool warm_is_awake(uint32_t keep_ms, uint64_t used_ms, uint64_t now_ms);

#endif
