/* SPDX-License-Identifier: ISC */
/* Prints a configuration as dotproxy.conf(5). */
#ifndef PARENT_CONF_PRINT_H
#define PARENT_CONF_PRINT_H

#include <stdio.h>

#include "common/conf.h"

/*
 * Prints every setting, defaults too, such that it parses to the same again.
 * Macros and includes are gone.  Returns 0, or -1 if writing failed.
 */
int conf_print(const struct conf *, FILE *);

#endif
