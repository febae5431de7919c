/* SPDX-License-Identifier: ISC */
/* "top": what the daemon does, live, on a terminal. */
#ifndef DOTPROXYCTL_TOP_H
#define DOTPROXYCTL_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dotproxyctl/client.h"
#include "dotproxyctl/data.h"

/* --- top_view.c: tables, without a terminal; pure --- */

enum top_view {
	TOP_UPSTREAMS,
	TOP_CONNECTIONS,
	TOP_PROCESSES,
	TOP_ERRORS,
	TOP_VIEWS
};

#define TOP_WIDTH 80 /* no line is longer, and what is on it sane */
#define TOP_KEYS 4   /* what a view can be sorted by, but its own order */

struct top_row {
	char text[256]; /* escaped already */
	double keys[TOP_KEYS];
	bool bad; /* to be noticed */
};

/* Two answers to the same request, and the time between them. */
struct top_sample {
	const struct data *now;
	const struct data *old; /* NULL: there is none yet */
	uint64_t elapsed_ms;
};

/* The heading of a view's table; what its keys are called: NULL ends them. */
const char *top_heading(enum top_view);
const char *const *top_key_names(enum top_view);

/* What has to be asked for a view. */
enum msg_show top_show(enum top_view);

/*
 * Fills at most max rows, sorted: by 0 the order of the daemon, else by key
 * by - 1, the largest first.  Returns how many.
 */
size_t top_rows(enum top_view, const struct top_sample *, size_t by,
    struct top_row *rows, size_t max);

/* How much a counter has grown in a second; 0 if that cannot be told. */
double top_rate(uint64_t now, uint64_t old, uint64_t elapsed_ms);

/* --- top.c: the terminal --- */

struct top_opts {
	uint32_t interval_ms;
	/* Asks the daemon: 0, or -1 with a line in error. */
	int (*ask)(void *arg, enum msg_show, struct data *,
	    char error[CLIENT_ERROR_MAX]);
	void *arg;
};

/* Shows it until a key ends it; returns the exit status. */
int top_run(const struct top_opts *);

#endif
