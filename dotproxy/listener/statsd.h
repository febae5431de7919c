/* SPDX-License-Identifier: ISC */
/*
 * Metrics by statsd: what was counted since the last time goes out every few
 * seconds.  A query costs nothing for it: all of it comes from counters and
 * histograms that are there anyway.
 */
#ifndef LISTENER_STATSD_H
#define LISTENER_STATSD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/imsg.h"
#include "common/msg.h"

struct listener;
struct statsd;

/* The pool answers to it as to a control client; none has this handle. */
#define STATSD_HANDLE UINT64_MAX

/*
 * Changes over to a socket, which is owned from here on; -1: to none, and
 * metrics end.  What was counted before the first one is not sent, but of a
 * process that has just been started.  Exits out of memory.
 */
void statsd_open(struct listener *, const struct msg_statsd *, int fd);
void statsd_free(struct listener *);

/* What the pool has answered under STATSD_HANDLE; may be anything. */
void statsd_on_info(struct listener *, const struct imsg *);

#endif
