/* SPDX-License-Identifier: ISC */
/*
 * What the service manager is told, as sd_notify(3) describes: datagrams of
 * text to the socket named in the environment.  A few lines of our own, for
 * nothing more is to be linked into what runs as root.  Without such a socket
 * everything here does nothing.
 */
#ifndef PARENT_NOTIFY_H
#define PARENT_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Connects to the socket of NOTIFY_SOCKET, and takes the variables of the
 * protocol out of the environment.  Returns the descriptor, or -1; a socket
 * that is named but cannot be reached is logged.  watchdog_ms is how often the
 * manager wants to hear WATCHDOG=1 at least, 0 if it does not.
 */
int notify_open(uint32_t *watchdog_ms);

/* Sends lines such as "READY=1\nSTATUS=serving"; fd may be -1. */
void notify_send(int fd, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Has the manager keep a socket under a name for the next start; it comes back
 * as inherit.h describes.  Returns false if it has to be told later: only so
 * many messages may wait for it.
 */
bool notify_store(int fd, const char *name, int sock);

/* Has it forget what has that name. */
void notify_forget(int fd, const char *name);

/* Waits until the manager has done what it was told, but not for ever. */
void notify_wait(int fd);

#endif
