/* SPDX-License-Identifier: ISC */
/*
 * Filters of system calls: a list of what is allowed becomes a program for the
 * kernel.  Pure, but for filter_install().
 */
#ifndef DOTPROXY_SANDBOX_FILTER_H
#define DOTPROXY_SANDBOX_FILTER_H

#include <linux/filter.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILTER_ARGS_MAX 2
#define FILTER_RULES_MAX 256
#define FILTER_CODE_MAX 1024

/*
 * A system call a process may make, if the conditions on arguments hold, which
 * are SCMP_CMP_EQ or SCMP_CMP_MASKED_EQ.  A negative number is that of a call
 * which this architecture does not have.
 */
struct allowance {
	int nr;
	unsigned int nargs;
	struct scmp_arg_cmp args[FILTER_ARGS_MAX];
};

struct filter {
	size_t nrules;
	const struct allowance *rules[FILTER_RULES_MAX];
	size_t ncode;
	struct sock_filter code[FILTER_CODE_MAX];
};

/* Adds n rules, which must last.  Those in frequent use are to come first. */
void filter_add(struct filter *, const struct allowance *, size_t n);

/*
 * Makes the program; deny is what becomes of all other calls, SECCOMP_RET_*.
 * Returns false if there is no room, and there is no program then.
 */
bool filter_make(struct filter *, uint32_t deny);

/* The program is in force from now on, for good.  Returns 0, or -1 and errno.
 */
int filter_install(const struct filter *);

#endif
