/* SPDX-License-Identifier: ISC */
/* The text files of /proc: read with a limit, parsed strictly. */
#ifndef DOTPROXYCTL_PROC_TEXT_H
#define DOTPROXYCTL_PROC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads the file of that name in the directory dir into a string.  False if
 * it cannot be read, is not shorter than size, or holds a NUL.
 */
bool proc_read_text(int dir, const char *name, char *buf, size_t size);

/*
 * Takes a number off the text, and the blanks before it.  False if there is
 * none, if it does not end where a word does, or is more than most.
 */
bool proc_take_number(
    const char **text, unsigned int base, uint64_t most, uint64_t *);
bool proc_take_u32(const char **text, uint32_t *);

/* What follows "key:" at the start of a line; NULL if there is none. */
const char *proc_value_of(const char *text, const char *key);

/* The number behind "key:", and the four of them that users have. */
bool proc_get_number(
    const char *text, const char *key, unsigned int base, uint64_t *);
bool proc_get_ids(const char *text, const char *key, uint32_t ids[4]);

#endif
