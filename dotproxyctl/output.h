/* SPDX-License-Identifier: ISC */
/* What dotproxyctl prints, as text for people and as JSON for programs. */
#ifndef DOTPROXYCTL_OUTPUT_H
#define DOTPROXYCTL_OUTPUT_H

#include <stdio.h>

#include "dotproxyctl/data.h"
#include "dotproxyctl/json.h"
#include "dotproxyctl/security.h"

/* --- text_summary.c --- */

/* One screen that says whether all is well, and then why. */
void text_summary(FILE *, const struct data *);

/* The upstreams, a line each. */
void text_upstreams(FILE *, const struct data *);

/*
 * What became of the queries, and why; or only of those that were not
 * answered.
 */
void text_queries(FILE *, const struct data *, bool bad_only);

/* The three processes, a line each. */
void text_processes(FILE *, const struct data *);

/* --- text_process.c --- */

/* The three processes, and then what the kernel says of each. */
void text_process_details(FILE *, const struct data *);

/* What is weaker than promised: a line each, or one that says ok. */
void text_security(FILE *, const struct security_report *);

/* --- text_pool.c --- */

/* The upstreams with all that is known of them, and their connections. */
void text_pool(FILE *, const struct data *);

/* --- text_probe.c --- */

/* How an upstream was tried: a line for each step, and what went wrong. */
void text_probe(FILE *, const struct info_probe *);

/* The same as JSON.  Returns 0, or -1 if it could not be written. */
int output_json_probe(FILE *, const struct info_probe *);

/* --- text_latency.c --- */

/* How long the upstreams take, and what is done about those that are late. */
void text_latency(FILE *, const struct data *);

/* --- output_pins.c --- */

/* Who the upstreams are, in the language of the configuration. */
void text_pins(FILE *, const struct data *);

/* "pins" of the upstream of this index. */
void output_json_pins(struct json *, const struct data *, uint32_t index);

/* --- output_errors.c --- */

/* What upstreams failed with, newest first, and what became of queries. */
void text_errors(FILE *, const struct data *);

/* "errors", an array. */
void output_json_errors(struct json *, const struct data *);

/* --- output_clients.c --- */

/* Who asks most: as many as data says. */
void text_clients(FILE *, const struct data *);

/* "clients", an array. */
void output_json_clients(struct json *, const struct data *);

/* --- output_latency.c --- */

/* "histograms" of the upstream of this index, and "last_minute". */
void output_json_hists(struct json *, const struct data *, uint32_t index);

/* "clients", with the same of the listener, if it has answered. */
void output_json_client_hists(struct json *, const struct data *);

/* --- text_stats.c --- */

/* All counters with what they mean. */
void text_stats(FILE *, const struct data *);

/* The configuration in force. */
void text_config(FILE *, const struct data *);

/* --- output_process.c --- */

/* "processes", with what the kernel says of them if it was asked. */
void output_json_processes(struct json *, const struct data *);

/*
 * The JSON document of "check security".  Returns 0, or -1 if it could not be
 * written.
 */
int output_json_security(FILE *, const struct security_report *);

/* --- output.c --- */

/* Prints what was asked as text; whatever is missing is left out. */
void output_text(FILE *, enum msg_show, const struct data *);

/*
 * Prints one JSON document: "ok", "error" if it is not, and what was asked.
 * Returns 0, or -1 if it could not be written.
 */
int output_json(FILE *, enum msg_show, const struct data *);

/* The JSON document of "health".  Returns 0 or -1, as above. */
int output_json_health(FILE *, const struct data *, bool healthy);

/*
 * The JSON document of a request that shows nothing, or could not be made at
 * all: error is NULL or why.  Returns 0, or -1 if it could not be written.
 */
int output_json_result(FILE *, const char *error);

#endif
