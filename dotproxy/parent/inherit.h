/* SPDX-License-Identifier: ISC */
/*
 * Sockets that were open before the parent was started, handed over by the
 * service manager as sd_listen_fds(3) describes: of a socket unit, or kept
 * from the last run; or left open by this process itself, which has executed
 * its program anew (restart.c).  A line of the configuration with the same
 * address takes one instead of binding its own, so that no packet is lost in
 * between.
 */
#ifndef PARENT_INHERIT_H
#define PARENT_INHERIT_H

#include <sys/socket.h>

#include <stdbool.h>
#include <stdint.h>

struct conf;

struct inherit {
	int *fds; /* owned; -1: taken */
	uint32_t n;
	char *names;     /* owned; of all, with ":" between; NULL if none */
	bool restarted;  /* they are this very process', of a program before */
	uint64_t filter; /* that it has left, see sandbox_filter_name() */
	uint32_t nfilters; /* how many of its kind; 0 if not restarted */
};

/*
 * Finds out what was handed over, and takes the variables of the protocol out
 * of the environment.  Returns the first descriptor that was not: what is open
 * from there on is nobody's.  Exits if there is no memory.
 */
int inherit_init(struct inherit *);

/*
 * Takes a socket that is bound to addr, and listens if tcp; the caller's to
 * close.  Of several, the one that was handed over under this name if there is
 * such a one.  Returns it, or -1 if there is none.
 */
int inherit_take(struct inherit *, const struct sockaddr_storage *addr,
    bool tcp, const char *name);

/* The same for the listening Unix socket of a path. */
int inherit_take_unix(struct inherit *, const char *path);

/*
 * Does what inherit_end() does with sockets whose address no line of the
 * configuration has, and waits until they are closed: an address may be bound
 * next that they stand in the way of, as 127.0.0.1 does of 0.0.0.0.
 */
void inherit_give_back(
    struct inherit *, const struct conf *conf, int notify_fd);

/*
 * Closes what was not taken, says so in the log, and has the service manager
 * at notify_fd (or -1) close it, too.
 */
void inherit_end(struct inherit *, int notify_fd);

/*
 * Puts into the environment what inherit_init() finds there when this process
 * executes its program anew: the descriptors, which are to stay open, and the
 * filters of system calls that will be in force.  Returns 0, or -1 with errno.
 */
int inherit_leave(
    uint64_t filter, uint32_t nfilters, const int *fds, uint32_t n);

#endif
