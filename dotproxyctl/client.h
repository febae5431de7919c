/* SPDX-License-Identifier: ISC */
/* The conversation with the daemon: one request, all of its answer. */
#ifndef DOTPROXYCTL_CLIENT_H
#define DOTPROXYCTL_CLIENT_H

#include <stdint.h>

#include "dotproxyctl/command.h"
#include "dotproxyctl/data.h"

#define CLIENT_ERROR_MAX 512

/* A change waits for both children: longer than the daemon takes for it. */
#define CLIENT_CHANGE_TIMEOUT_MS 20000u
#define CLIENT_SHOW_TIMEOUT_MS 10000u
/* Who asks for health asks often, and has others to fall back on. */
#define CLIENT_HEALTH_TIMEOUT_MS 1000u
/*
 * For the others when one worker has answered: longer than a listener waits for
 * its pool, shorter than one that keeps dying may be away.
 */
#define CLIENT_OTHERS_MS 3000u

/*
 * Sends the request to the daemon listening on path and collects its answer,
 * all within timeout_ms.  Returns 0 when all of it is there (the result in it
 * may be a refusal), or -1 with one line in error.
 */
int client_ask(const char *path, const struct command *, uint32_t timeout_ms,
    struct data *, char error[CLIENT_ERROR_MAX]);

/*
 * Asks all workers at once.  If there are several the data has parts
 * afterwards, and is not added up yet.  A worker that does not answer while
 * others do is no failure here: its part has a refusal in it, unless the others
 * know all that was asked.  Returns 0 or -1, as client_ask().
 */
int client_ask_all(const char *path, const struct command *,
    uint32_t timeout_ms, struct data *, char error[CLIENT_ERROR_MAX]);

#endif
