/* SPDX-License-Identifier: ISC */
/* Who has an address that cannot be bound. */
#ifndef PARENT_HOLDER_H
#define PARENT_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define HOLDER_TEXT_MAX 96 /* "systemd-resolve (pid 4194304)", escaped */

/*
 * Looks at a line of /proc/net/udp, udp6, tcp or tcp6.  True if its socket is
 * in the way of one at an address; then inode is its number.
 */
bool holder_match(const char *line, const struct sockaddr_storage *, bool tcp,
    uint64_t *inode);

/*
 * Finds the process that has the socket in the way; buf becomes its name and
 * number.  False if there is none, or if it is another user's.  For the start
 * only: it looks at all processes, which the locked parent cannot.
 */
bool holder_find(
    const struct sockaddr_storage *, bool tcp, char buf[HOLDER_TEXT_MAX]);

#endif
