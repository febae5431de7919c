/* SPDX-License-Identifier: ISC */
/* What stands on the command line before the command. */
#ifndef DOTPROXYCTL_OPTIONS_H
#define DOTPROXYCTL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "dotproxyctl/exporter.h"

struct options {
	bool json;
	bool quiet; /* say it by the exit status alone */
	const char *socket;
	uint32_t worker;      /* from 1; 0: all of them */
	uint32_t interval_ms; /* of top and watch */
	struct exporter_opts exporter;
};

/* How it is used. */
void options_usage(FILE *);

/* Returns the index of the first argument; exits on -h, -V and mistakes. */
int options_parse(struct options *, int argc, char *argv[]);

/* A line for each name of each, for the shells' completion. */
void options_list(FILE *);

#endif
