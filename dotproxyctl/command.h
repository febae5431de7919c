/* SPDX-License-Identifier: ISC */
/*
 * The words on the command line after the options.  Every word may be
 * abbreviated as long as it is clear which is meant.  Pure.
 */
#ifndef DOTPROXYCTL_COMMAND_H
#define DOTPROXYCTL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "common/msg.h"

struct command {
	enum msg_type request;     /* MSG_CL_... */
	enum msg_show show;        /* of MSG_CL_SHOW */
	enum log_level level;      /* of MSG_CL_LOG_LEVEL */
	bool check;                /* the processes: judge them, too */
	bool health;               /* judge, and say so by the exit status */
	uint32_t at_least;         /* upstreams for that; 0: any number */
	struct msg_request change; /* of MSG_CL_CHANGE */
	bool exporter;             /* no request at all */
};

#define COMMAND_ERROR_MAX 256

/*
 * Returns 0, or -1 with a line in error that says what was wrong and what is
 * possible.
 */
int command_parse(struct command *, int argc, char *const argv[],
    char error[COMMAND_ERROR_MAX]);

#endif
