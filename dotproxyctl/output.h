/* SPDX-License-Identifier: ISC */
/* What dotproxyctl prints, as text for people and as JSON for programs. */
#ifndef DOTPROXYCTL_OUTPUT_H
#define DOTPROXYCTL_OUTPUT_H

#include <stdio.h>

#include "dotproxyctl/data.h"

/* --- text_summary.c --- */

/* One screen that says whether all is well, and then why. */
void text_summary(FILE *, const struct data *);

/* The three processes. */
void text_processes(FILE *, const struct data *);

/* --- text_pool.c --- */

/* The upstreams with all that is known of them, and their connections. */
void text_pool(FILE *, const struct data *);

/* --- text_stats.c --- */

/* All counters with what they mean. */
void text_stats(FILE *, const struct data *);

/* The configuration in force. */
void text_config(FILE *, const struct data *);

/* --- output.c --- */

/* Prints what was asked as text; whatever is missing is left out. */
void output_text(FILE *, enum msg_show, const struct data *);

/*
 * Prints one JSON document: "ok", "error" if it is not, and what was asked.
 * Returns 0, or -1 if it could not be written.
 */
int output_json(FILE *, enum msg_show, const struct data *);

/*
 * The JSON document of a request that shows nothing, or could not be made at
 * all: error is NULL or why.  Returns 0, or -1 if it could not be written.
 */
int output_json_result(FILE *, const char *error);

#endif
