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

#define SECURITY_FINDINGS_MAX 128 /* more than one process can give, thrice */

enum security_kind {
	SECURITY_NOTE, /* as good as it can be here, or as it was started */
	SECURITY_WEAK, /* less than is promised */
	SECURITY_ERROR /* cannot be told: it is not there, or not ours */
};

struct security_finding {
	enum security_kind kind;
	enum info_role role;
	const char *what; /* the layer: "capabilities" */
	char text[640];   /* holds names of files: escape before printing */
};

struct security_report {
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
