/* SPDX-License-Identifier: ISC */
/* Field types shared by the codec files msg*.c. */
#ifndef COMMON_MSG_WIRE_H
#define COMMON_MSG_WIRE_H

#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/wire.h"

/* An AF_INET or AF_INET6 address with port; anything else is an error. */
void msg_put_sockaddr(struct wire_writer *, const struct sockaddr_storage *);
void msg_get_sockaddr(struct wire_reader *, struct sockaddr_storage *);

/* One byte, 0 or 1; anything else is an error. */
void msg_put_bool(struct wire_writer *, bool);
bool msg_get_bool(struct wire_reader *);

/* Consumes a descriptor that could not be queued; -1 is left alone. */
static inline void
msg_close_fd(int fd)
{
	if (fd != -1)
		close(fd);
}

#endif
