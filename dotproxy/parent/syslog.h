/* SPDX-License-Identifier: ISC */
/*
 * The log to syslogd, and never a wait for it: syslog(3) hangs as long as
 * syslogd does, as one whose disk is full may, and would take the parent along.
 */
#ifndef PARENT_SYSLOG_H
#define PARENT_SYSLOG_H

#include <stdbool.h>

#include "common/log.h"

struct syslog {
	const char *path; /* of the socket */
	int fd;           /* -1: not there */
	bool stream;      /* it is one of that kind */
	unsigned int lost;
};

/*
 * Connects to the socket at path, which is borrowed, "/dev/log" in general.  If
 * nobody listens there that is tried again with each line.
 */
void syslog_open(struct syslog *, const char *path);

/*
 * A log_sink; arg is the struct.  Lines that syslogd does not take at once are
 * lost, and counted in the next that it takes.
 */
void syslog_line(enum log_level, const char *line, void *arg);

void syslog_close(struct syslog *);

#endif
