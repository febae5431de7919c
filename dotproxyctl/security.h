/* SPDX-License-Identifier: ISC */
/*
 * What the build promises of each process, compared with what the kernel says
 * of it.  Pure: facts in, findings out.
 */
#ifndef DOTPROXYCTL_SECURITY_H
#define DOTPROXYCTL_SECURITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dotproxyctl/data.h"

#define SECURITY_PROCESSES_MAX (1 + 2 * CONF_WORKERS_MAX)
/* More than each process can give: none pushes another's out. */
#define SECURITY_FINDINGS_MAX (44 * SECURITY_PROCESSES_MAX)

enum security_kind {
	SECURITY_NOTE, /* as good as it can be here, or as it was started */
	SECURITY_WEAK, /* less than is promised */
	SECURITY_ERROR /* cannot be told: it is not there, or not ours */
};

struct security_finding {
	enum security_kind kind;
	enum info_role role;
	uint32_t worker;          /* from 0 */
	char name[DATA_NAME_MAX]; /* of the process: "pool 2" */
	const char *what;         /* the layer: "capabilities" */
	char text[640]; /* holds names of files: escape before printing */
};

struct security_report {
	bool numbered; /* there are several workers */
	size_t nprocesses;
	char processes[SECURITY_PROCESSES_MAX][DATA_NAME_MAX]; /* looked at */
	size_t n;
	struct security_finding findings[SECURITY_FINDINGS_MAX];
};

/* Compares; the facts of the processes and of the kernel must be in data. */
void security_check(const struct data *, struct security_report *);

/* True if a process (ROLE_COUNT: any) has a finding of that kind or worse. */
bool security_has(
    const struct security_report *, enum info_role, enum security_kind);

const char *security_kind_name(enum security_kind); /* "note" */

#endif
