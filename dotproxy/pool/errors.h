/* SPDX-License-Identifier: ISC */
/*
 * What upstreams failed with of late, for dotproxyctl: one entry for each
 * upstream, phase and cause, in a table of fixed size.  It knows nothing of
 * queries.  Pure: no clock.
 */
#ifndef POOL_ERRORS_H
#define POOL_ERRORS_H

#include <stdint.h>
#include <sys/queue.h>

#include "common/msg.h"

struct error_entry {
	TAILQ_ENTRY(error_entry) place;
	uint32_t upstream; /* its id: it outlives reloads as that does */
	uint8_t phase;
	uint8_t cause;
	uint64_t count;
	uint64_t first_ms;
	uint64_t last_ms;
	char text[INFO_ERROR_TEXT_MAX]; /* of the last one */
};

TAILQ_HEAD(error_list, error_entry);

struct errors {
	struct error_list newest; /* first */
	uint32_t n;
	struct error_entry entries[INFO_ERRORS_MAX];
};

/* Makes a zeroed struct an empty table. */
void errors_init(struct errors *);

/*
 * Counts a failure; if the table is full, in the place of what was not seen
 * for longest.  One connection, one call: a short search does not matter.
 */
void errors_add(struct errors *, uint32_t upstream, enum info_phase,
    enum msg_cause, const char *text, uint64_t now_ms);

/* Fills in all but the index of the upstream. */
void errors_fill_info(
    const struct error_entry *, uint64_t now_ms, struct info_error *);

#endif
