/* SPDX-License-Identifier: ISC */
/* What is wrong with a configuration file: lines of text, bounded. */
#ifndef PARENT_CONF_ERRORS_H
#define PARENT_CONF_ERRORS_H

#include <stdbool.h>
#include <stddef.h>

#define CONF_ERRORS_MAX 20         /* errors reported in one run */
#define CONF_ERRORS_TEXT_MAX 49152 /* bytes of all lines with the NUL */
#define CONF_ERRORS_LINE_MAX 2304  /* bytes of one line; longer is cut */

/* Where something stands.  The name is borrowed; line 0 means no line. */
struct conf_origin {
	const char *file; /* NULL: the command line */
	unsigned int line;
};

/*
 * Complete lines "FILE:LINE: message\n", in the order in which they were
 * found, in printable ASCII.  No errors: count is 0 and text is empty.
 */
struct conf_errors {
	size_t count;
	size_t len; /* of text */
	char text[CONF_ERRORS_TEXT_MAX];
};

/* Forgets all errors; also makes a new struct usable. */
void conf_errors_clear(struct conf_errors *);

/*
 * Adds a line about the place at.  Beyond CONF_ERRORS_MAX one last line says
 * that there are too many, and the rest is dropped.
 */
void conf_errors_add(struct conf_errors *, struct conf_origin at,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* True once so many errors were added that further ones are dropped. */
bool conf_errors_full(const struct conf_errors *);

#endif
