/* SPDX-License-Identifier: ISC */
/*
 * What the daemon has answered, collected whole before anything is printed.
 * The numbers are what a process on the other side claims: arithmetic on them
 * must not rely on their making sense.
 */
#ifndef DOTPROXYCTL_DATA_H
#define DOTPROXYCTL_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/msg.h"

#include "dotproxyctl/proc.h"

#define DATA_CONNS_MAX 16384 /* connections of all upstreams */
#define DATA_PINS_MAX (CONF_UPSTREAMS_MAX * INFO_PINS_MAX)
#define DATA_ERRORS_MAX (INFO_ERRORS_MAX * CONF_WORKERS_MAX)
#define DATA_CLIENTS_MAX (INFO_CLIENTS_MAX * CONF_WORKERS_MAX)
#define DATA_TEXT_MAX (4 * 1024 * 1024) /* of a configuration */

/*
 * The answer of one worker; or, if it has parts, the sum of several, which
 * each of them stands in as well.  Owns parts, clients, errors, pins, conns and
 * text.
 */
struct data {
	uint32_t worker; /* from 0; whose answer it is */
	bool numbered;   /* it is not the only one */
	size_t nparts;   /* 0: this is one worker's */
	struct data *parts[CONF_WORKERS_MAX];
	bool have_listener;
	bool have_pool_counters;
	bool have_pool;
	bool have_probe;
	bool draining; /* some listener is */
	bool have_process[ROLE_COUNT];
	struct info_counters listener;
	struct info_counters pool_counters;
	struct info_pool pool;
	struct info_probe probe;
	struct info_process processes[ROLE_COUNT];
	size_t nupstreams;
	struct info_upstream upstreams[CONF_UPSTREAMS_MAX];
	/* By index and kind; and of the last minute, where there is that. */
	struct hist hists[CONF_UPSTREAMS_MAX][INFO_HIST_OF_UPSTREAM];
	struct hist recent_latency[CONF_UPSTREAMS_MAX];
	/* The listener's, by kind: of the others there are none. */
	bool have_client_hists;
	struct hist client_hists[INFO_HIST_COUNT];
	struct hist recent_client_hists[INFO_HIST_COUNT];
	size_t clients_max; /* so many are to be shown; 0: as many as usual */
	size_t nclients;
	struct info_client *clients; /* busiest first, once done */
	size_t nerrors;
	struct info_error *errors; /* newest first */
	size_t npins;
	struct info_pin *pins;
	size_t nconns;
	struct info_conn *conns;
	size_t text_len;
	char *text;
	bool done; /* result is there */
	struct msg_result result;
	/* What the kernel says beside it: see data_look(). */
	bool looked;
	bool have_facts[ROLE_COUNT];
	struct proc_facts facts[ROLE_COUNT];
	struct proc_kernel kernel;
};

/* Returns an empty one, or NULL out of memory. */
struct data *data_new(void);
void data_free(struct data *);

/*
 * Adds what an upstream failed with, to what is there of the same phase and
 * cause; -1: too many, or no memory.
 */
int data_add_error(struct data *, const struct info_error *);

/* Adds a certificate if it is not there yet; -1: too many, or no memory. */
int data_add_pin(struct data *, const struct info_pin *);

/* Adds who asks much; -1: too many, or no memory. */
int data_add_client(struct data *, const struct info_client *);

/* Puts together what is of the same prefix; the busiest come first then. */
void data_rank_clients(struct data *);

/* The answers of single workers in it: itself if it has no parts. */
size_t data_workers(const struct data *);
const struct data *data_worker(const struct data *, size_t i);

/* "pool", or "pool 2" if there are several. */
#define DATA_NAME_MAX 24
const char *data_process_name(
    char buf[DATA_NAME_MAX], const struct data *, enum info_role);

/*
 * Takes over what another worker says of the processes, as far as they are
 * this worker's and it has not said so itself.  Returns 0 or -1, as data_add().
 */
int data_add_hearsay(struct data *, const struct imsg *);

/*
 * Takes over the facts of one INFO message.  Returns 0, or -1 if it does not
 * decode, comes after the end, or does not go with what came before.
 */
int data_add(struct data *, const struct imsg *);

/* Reads what the kernel says of the processes that the daemon has named. */
void data_look(struct data *);

/* Of these only what they use: CPU time and memory. */
void data_look_usage(struct data *);

/* Is it well? */
enum data_health {
	HEALTH_OK,
	HEALTH_DEGRADED, /* some upstreams are down */
	HEALTH_DOWN,     /* no query can be answered */
	HEALTH_COUNT
};

#define DATA_REASON_MAX 160

/* Judges; reason is what to say beside the name of the verdict. */
enum data_health data_judge(const struct data *, char reason[DATA_REASON_MAX]);
const char *data_health_name(enum data_health); /* "degraded" */

/* True if the last attempt to reach this upstream has failed. */
bool data_upstream_down(const struct info_upstream *);

/* How many upstreams queries may be given to now. */
size_t data_usable(const struct data *);

/* The sums over the causes: what became of the queries. */
struct data_queries {
	uint64_t received;
	uint64_t answered;
	uint64_t failed;
	uint64_t refused;
	uint64_t dropped;
	uint64_t abandoned;
};

void data_queries(const struct data *, struct data_queries *);

/* All failures of an upstream's connections. */
uint64_t data_failures(const struct info_upstream *);

#endif
