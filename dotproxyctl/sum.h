/* SPDX-License-Identifier: ISC */
/* What several workers answer, added up. */
#ifndef DOTPROXYCTL_SUM_H
#define DOTPROXYCTL_SUM_H

#include "dotproxyctl/data.h"

/*
 * Adds up the parts of an answer that has nothing but them yet.  Returns 0, or
 * -1 out of memory.
 */
int sum_parts(struct data *);

#endif
