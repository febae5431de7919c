/* SPDX-License-Identifier: ISC */
/* The lines a statsd server reads.  Pure; nothing is allocated. */
#ifndef LISTENER_STATSD_LINE_H
#define LISTENER_STATSD_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/hist.h"

#define STATSD_VALUE_MAX 32
#define STATSD_TAGS_MAX 8
/* Room for any line that is made here; and it fits in any datagram. */
#define STATSD_LINE_MAX CONF_PAYLOAD_MIN

enum statsd_type { STATSD_COUNT, STATSD_GAUGE, STATSD_TIME };

/* Both are any text; it is escaped.  An empty value stands for none. */
struct statsd_tag {
	const char *key;
	const char *value;
};

struct statsd_line {
	const char *name; /* without "dotproxy." */
	enum statsd_type type;
	char value[STATSD_VALUE_MAX];
	char rate[STATSD_VALUE_MAX]; /* empty: 1 */
	size_t ntags;
	struct statsd_tag tags[STATSD_TAGS_MAX]; /* by key, sorted */
};

/*
 * Writes the line with its newline, no NUL.  Returns its length; 0 if it does
 * not fit, which only a tag of absurd length can bring about.
 */
size_t statsd_line_format(
    enum conf_flavour, const struct statsd_line *, char buf[STATSD_LINE_MAX]);

/* Writes microseconds as milliseconds: "12.345", "7". */
void statsd_put_ms(char value[STATSD_VALUE_MAX], uint64_t us);

/* Writes m/n, of which 0 < m <= n, as a decimal; empty if it is 1. */
void statsd_put_rate(char rate[STATSD_VALUE_MAX], uint64_t m, uint64_t n);

/* How many samples have come to a histogram since it was as before. */
uint64_t statsd_fresh(const struct hist *now, const struct hist *before);

/*
 * How many of n samples are sent: the fraction that is configured, one at
 * least if there are any, most at most.
 */
uint32_t statsd_sampled(uint64_t n, uint32_t sample_ppm, uint32_t most);

/*
 * The value of sample i of m, which are spread evenly over the fresh ones in
 * order of size: so their percentiles are those of all.  To be called with i
 * rising from 0, with a cursor that is zero at first.
 */
struct statsd_cursor {
	uint32_t bucket;
	uint64_t seen; /* fresh samples in the buckets before it */
};

uint64_t statsd_sample(const struct hist *now, const struct hist *before,
    struct statsd_cursor *, uint32_t i, uint32_t m, uint64_t n);

#endif
