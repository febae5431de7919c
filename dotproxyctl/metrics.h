/* SPDX-License-Identifier: ISC */
/* What the daemon says, for Prometheus; docs/METRICS.md lists all of it. */
#ifndef DOTPROXYCTL_METRICS_H
#define DOTPROXYCTL_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/hist.h"

#include "dotproxyctl/data.h"

/* --- metrics.c --- */

/*
 * Writes all metrics: as OpenMetrics 1.0.0 if open, else as Prometheus text
 * 0.0.4.  data is NULL if the daemon does not answer.  Returns 0, or -1 if
 * they could not be written.
 */
int metrics_write(FILE *, const struct data *, bool open);

struct metrics;

/* --- metrics_upstream.c --- */

void metrics_upstreams(struct metrics *, const struct data *);

/* --- metrics_text.c --- */

struct metrics {
	FILE *out;
	bool open;
	bool failed;
	const char *name;  /* of the family under way */
	bool counter;      /* it is one: samples end in _total */
	char labels[4096]; /* that all samples have: of worker and upstream */
};

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_HISTOGRAM };

/* Begins a family; unit is "seconds", "bytes" or NULL, and part of name. */
void metrics_family(struct metrics *, const char *name, enum metric_type,
    const char *unit, const char *help);

/* No labels from here on that all samples have; one more. */
void metrics_labels_clear(struct metrics *);
void metrics_labels_add(struct metrics *, const char *label, const char *value);

/* A sample, with one label more if label is not NULL. */
void metrics_u64(
    struct metrics *, const char *label, const char *value, uint64_t);
/* The same with a number of thousandths, or of millionths. */
void metrics_milli(
    struct metrics *, const char *label, const char *value, uint64_t);

/*
 * The samples of a histogram: in seconds of one of microseconds, or in bytes
 * of one of bytes.
 */
void metrics_hist(struct metrics *, const char *label, const char *value,
    const struct hist *, bool bytes);

#endif
