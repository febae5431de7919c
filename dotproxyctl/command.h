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
	enum msg_type request; /* MSG_CL_... */
	enum msg_show show;    /* of MSG_CL_SHOW */
	enum log_level level;  /* of MSG_CL_LOG_LEVEL */
	bool check;            /* the processes: judge them, too */
	bool upstreams;        /* of SHOW_SUMMARY: their table alone */
	bool watch;            /* again and again */
	bool top;
	bool health;               /* judge, and say so by the exit status */
	uint32_t at_least;         /* upstreams for that; 0: any number */
	uint32_t clients_max;      /* of SHOW_CLIENTS; 0: as usual */
	struct msg_request change; /* of MSG_CL_CHANGE */
	bool exporter;             /* no request at all */
};

/* A word that stands for any upstream's name, in what follows. */
#define COMMAND_ANY_NAME "NAME"
#define COMMAND_WORDS_MAX 32

/*
 * Fills in the words that may come after those given: for a shell that
 * completes what is typed.  Returns how many; 0 also if they make no sense.
 */
size_t command_next(
    int argc, char *const argv[], const char *words[COMMAND_WORDS_MAX]);

#define COMMAND_ERROR_MAX 384

/*
 * Returns 0, or -1 with a line in error that says what was wrong and what is
 * possible.
 */
int command_parse(struct command *, int argc, char *const argv[],
    char error[COMMAND_ERROR_MAX]);

#endif
