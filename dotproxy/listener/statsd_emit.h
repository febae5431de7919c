/* SPDX-License-Identifier: ISC */
/* What the files of statsd share: its state, and how a metric is sent. */
#ifndef LISTENER_STATSD_EMIT_H
#define LISTENER_STATSD_EMIT_H

#include "dotproxy/listener/listener.h"
#include "dotproxy/listener/statsd.h"
#include "dotproxy/listener/statsd_line.h"

#define STATSD_CLIENT_HISTS (INFO_HIST_COUNT - INFO_HIST_OF_UPSTREAM)

/* An upstream as it was when metrics were sent last. */
struct statsd_upstream {
	bool used;
	uint64_t flush; /* in which it was there last */
	struct info_upstream info;
	struct hist hists[INFO_HIST_OF_UPSTREAM];
};

struct statsd {
	struct listener *listener;
	int fd; /* connected; owned */
	struct msg_statsd conf;
	struct lazy_timer timer;
	char worker[4];
	uint64_t opened_ms;
	uint64_t flushes;
	/* What one flush may still send: a hostile pool gets no further. */
	uint32_t lines_left;
	uint32_t times_each; /* lines of one histogram */
	/* The pool's answer. */
	bool asked;
	bool silent; /* it counts from here on, and is not sent */
	uint64_t pool_seen_ms;
	uint32_t nupstreams;
	uint32_t at[CONF_UPSTREAMS_MAX]; /* of an index: place below */
	/* What was there when metrics were sent last. */
	uint64_t counters[LSTAT_COUNT];
	struct hist hists[STATSD_CLIENT_HISTS];
	/* What this flush has told by networks, by transport. */
	uint64_t told_asked[2], told_answered[2];
	uint64_t pool_counters[TSTAT_COUNT];
	struct statsd_upstream upstreams[CONF_UPSTREAMS_MAX];
	size_t len;
	char buf[CONF_PAYLOAD_MAX];
};

/* The tags of a metric but for those that all have; by key, sorted. */
#define STATSD_OWN_TAGS_MAX 4

struct statsd_tags {
	size_t n;
	struct statsd_tag tags[STATSD_OWN_TAGS_MAX];
};

/* --- statsd_emit.c --- */

/* A counter has grown by n; nothing is sent of 0. */
void statsd_count(
    struct statsd *, const char *name, uint64_t n, const struct statsd_tags *);
void statsd_gauge(
    struct statsd *, const char *name, uint64_t n, const struct statsd_tags *);
/* What is new in a histogram of times, or of sizes (as the original does). */
void statsd_times(struct statsd *, const char *name, bool size,
    const struct hist *now, const struct hist *before,
    const struct statsd_tags *);
/* Sends what is in the buffer. */
void statsd_push(struct statsd *);

/* --- statsd_names.c --- */

/* Emits what the listener has counted since, and remembers it. */
void statsd_emit_listener(struct statsd *);
void statsd_emit_pool(struct statsd *, const struct info_counters *);
void statsd_emit_upstream(struct statsd *, const struct info_upstream *now,
    const struct info_upstream *before);
void statsd_emit_hist(struct statsd *, const struct info_upstream *,
    const struct info_hist *now, const struct hist *before);

/* How much a counter has grown. */
static inline uint64_t
statsd_grown(uint64_t now, uint64_t before)
{
	return now >= before ? now - before : now;
}

#endif
