/* SPDX-License-Identifier: ISC */
/*
 * The counters of the two children, by name.  One list each, so that the
 * process that counts, the message that carries and the tool that prints
 * cannot disagree.  Names are what `dotproxyctl show stats` prints.
 */
#ifndef COMMON_STATS_H
#define COMMON_STATS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Every query received ends in exactly one of answered, failed (answered
 * SERVFAIL by us), refused, dropped or abandoned:
 *   queries_udp + queries_tcp == answered + failed + refused + dropped +
 *       abandoned + in_flight
 * where failed, refused and dropped are the sums of their causes, and in_flight
 * is counted one by one: queries in the table, replies that wait to be sent.
 * A query keeps its place over a respawn of the pool and a reload; with the
 * listener all of these begin anew.  A zone transfer is one query, and its
 * messages one answer.
 *
 * In the pool, where a query and its copies are one, and what a lost listener
 * had asked is cancelled:
 *   queries == answered + failed + cancelled + in_flight
 */
#define LISTENER_COUNTERS(X)                                            \
	X(queries_udp, "queries received over UDP")                     \
	X(queries_tcp, "queries received over TCP")                     \
	X(in_flight, "queries waiting for an answer (gauge)")           \
	X(answered, "answers of an upstream sent back")                 \
	X(truncated, "of these, truncated to the client's limit")       \
	X(failed_timeout, "SERVFAIL: no answer in time")                \
	X(failed_network, "SERVFAIL: network error")                    \
	X(failed_tls, "SERVFAIL: TLS or certificate error")             \
	X(failed_busy, "SERVFAIL: table full or pool congested")        \
	X(failed_not_ready, "SERVFAIL: pool process not there")         \
	X(failed_other, "SERVFAIL: any other cause")                    \
	X(refused_acl, "REFUSED: client not allowed")                   \
	X(refused_unsupported, "NOTIMP or REFUSED: not forwarded")      \
	X(refused_limited, "TC: client beyond its rate limit")          \
	X(dropped_malformed, "dropped: no query, or too short")         \
	X(dropped_send, "dropped: the answer could not be sent")        \
	X(dropped_repeated, "dropped: the same query is in flight")     \
	X(dropped_limited, "dropped: client beyond its rate limit")     \
	X(abandoned, "client connection gone before the answer")        \
	X(stale_answers, "answers for queries no longer waiting")       \
	X(bad_answers, "answers that do not match their query")         \
	X(in_turn, "queries that had to wait for their turn")           \
	X(resent, "queries sent again to a new pool process")           \
	X(tcp_accepted, "TCP connections accepted")                     \
	X(tcp_open, "TCP connections open (gauge)")                     \
	X(tcp_refused, "TCP connections closed at once: limit reached") \
	X(tcp_timeout, "TCP connections closed: idle or too slow")      \
	X(tcp_error, "TCP connections closed: error or bad framing")    \
	X(transfers, "zone transfers asked for")                        \
	X(transfers_open, "zone transfers under way (gauge)")           \
	X(rcode_noerror, "replies with NOERROR, whoever made them")     \
	X(rcode_nxdomain, "replies with NXDOMAIN")                      \
	X(rcode_servfail, "replies with SERVFAIL")                      \
	X(rcode_refused, "replies with REFUSED")                        \
	X(rcode_other, "replies with any other RCODE")                  \
	X(statsd_sent, "datagrams of metrics sent")                     \
	X(statsd_failed, "datagrams of metrics not sent, or not taken")

#define POOL_COUNTERS(X)                                                    \
	X(queries, "queries received from the listener")                    \
	X(in_flight, "queries held (gauge)")                                \
	X(answered, "answers passed back")                                  \
	X(failed_timeout, "given up: deadline")                             \
	X(failed_network, "given up: network error, retries used up")       \
	X(failed_tls, "given up: TLS or certificate error")                 \
	X(failed_busy, "given up: table full")                              \
	X(failed_other, "given up: may not be sent twice, or malformed")    \
	X(cancelled, "not wanted any more, or link to the listener lost")   \
	X(retries, "queries sent again elsewhere")                          \
	X(late_answers, "answers that came after their query was given up") \
	X(connect_requests, "connections asked of the parent")              \
	X(waited, "queries that found no open connection")                  \
	X(warm_dials, "connections dialled before a query needed them")     \
	X(handshakes_full, "handshakes with a whole certificate check")     \
	X(handshakes_resumed, "handshakes with a ticket")                   \
	X(sleeps, "upstreams let go for want of queries")                   \
	X(hedges, "queries sent once more: answer late")                    \
	X(hedges_won, "of these and rescues, answered first")               \
	X(hedges_lost, "of these and rescues, answered second")             \
	X(hedges_denied, "late answers without budget")                     \
	X(rescues, "queries sent once more: connection silent")             \
	X(bytes_sent, "DNS bytes sent to upstreams")                        \
	X(bytes_received, "DNS bytes received from upstreams")

#define STATS_ENUM_LISTENER(name, text) LSTAT_##name,
enum listener_counter { LISTENER_COUNTERS(STATS_ENUM_LISTENER) LSTAT_COUNT };
#undef STATS_ENUM_LISTENER

#define STATS_ENUM_POOL(name, text) TSTAT_##name,
enum pool_counter { POOL_COUNTERS(STATS_ENUM_POOL) TSTAT_COUNT };
#undef STATS_ENUM_POOL

/* Those that are no sums but what there is now. */
static inline bool
stats_listener_is_gauge(enum listener_counter c)
{
	return c == LSTAT_in_flight || c == LSTAT_tcp_open ||
	       c == LSTAT_transfers_open;
}

static inline bool
stats_pool_is_gauge(enum pool_counter c)
{
	return c == TSTAT_in_flight;
}

#endif
