/* SPDX-License-Identifier: ISC */
/*
 * What the listener measures of queries and replies beside its counters:
 * sizes, RCODEs, and how long clients wait.  Two additions a query and three
 * a reply; no allocation.  Must know of no client but its transport.
 */
#ifndef LISTENER_METRICS_H
#define LISTENER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dns.h"
#include "common/hist.h"
#include "common/msg.h"
#include "common/stats.h"

/* Each is there for UDP, and then for TCP.  All zero is an empty one. */
struct metrics {
	struct hist_live rtt[2]; /* microseconds */
	struct hist query_size[2];
	struct hist answer_size[2]; /* bytes, as above */
};

/* A query has come. */
static inline void
metrics_query(struct metrics *m, bool tcp, size_t len)
{
	hist_add(&m->query_size[tcp], len);
}

/* A reply is handed to its socket; wire is at least a header. */
static inline void
metrics_answer(struct metrics *m, bool tcp, size_t len)
{
	hist_add(&m->answer_size[tcp], len);
}

/* So is the last message of an answer, to a query read so long ago. */
static inline void
metrics_rtt(struct metrics *m, bool tcp, uint64_t now_ms, uint64_t us)
{
	hist_live_add(&m->rtt[tcp], now_ms, us);
}

/* The counter of an RCODE, as in a header. */
static inline enum listener_counter
metrics_rcode(unsigned int rcode)
{
	static const uint8_t counters[] = {
		[DNS_RCODE_NOERROR] = LSTAT_rcode_noerror,
		[DNS_RCODE_FORMERR] = LSTAT_rcode_other,
		[DNS_RCODE_SERVFAIL] = LSTAT_rcode_servfail,
		[DNS_RCODE_NXDOMAIN] = LSTAT_rcode_nxdomain,
		[DNS_RCODE_NOTIMP] = LSTAT_rcode_other,
		[DNS_RCODE_REFUSED] = LSTAT_rcode_refused,
	};

	return rcode < sizeof(counters) ? (enum listener_counter)counters[rcode]
					: LSTAT_rcode_other;
}

/*
 * Writes the histogram of a kind into h, all of it or that of the last minute.
 * The kind is one of the listener's.
 */
void metrics_read(struct metrics *, enum info_hist_kind, bool recent,
    uint64_t now_ms, struct hist *h);

/* Sends them all to a control client.  Returns false if there is no room. */
bool metrics_send(
    struct metrics *, struct imsg_chan *, uint64_t id, uint64_t now_ms);

#endif
