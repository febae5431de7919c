/* SPDX-License-Identifier: ISC */
/*
 * Collects the errors of a configuration file.  Runs in the parent.  Names
 * and values from the file go into the text, so all of it is escaped: it ends
 * on a terminal or in the log.
 */
#include "dotproxy/parent/conf_errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"

void
conf_errors_clear(struct conf_errors *errs)
{
	errs->count = 0;
	errs->len = 0;
	errs->text[0] = '\0';
}

bool
conf_errors_full(const struct conf_errors *errs)
{
	return errs->count > CONF_ERRORS_MAX;
}

/* Appends one escaped line; what does not fit is cut, never half a line. */
static void
errors_append(struct conf_errors *errs, const char *line)
{
	size_t left = sizeof(errs->text) - errs->len;

	if (left < CONF_ERRORS_LINE_MAX + 1)
		return; /* cannot happen: CONF_ERRORS_MAX + 1 lines fit */
	log_escape(
	    errs->text + errs->len, CONF_ERRORS_LINE_MAX, line, strlen(line));
	errs->len += strlen(errs->text + errs->len);
	errs->text[errs->len++] = '\n';
	errs->text[errs->len] = '\0';
}

_Static_assert(
    (CONF_ERRORS_MAX + 1) * (CONF_ERRORS_LINE_MAX + 1) < CONF_ERRORS_TEXT_MAX,
    "every line must fit, the one that says there are too many included");

void
conf_errors_add(
    struct conf_errors *errs, struct conf_origin at, const char *fmt, ...)
{
	char line[CONF_ERRORS_LINE_MAX];
	const char *file = at.file != NULL ? at.file : "command line";
	va_list ap;
	int n;

	if (conf_errors_full(errs))
		return;
	if (at.line != 0)
		n = snprintf(line, sizeof(line), "%s:%u: ", file, at.line);
	else
		n = snprintf(line, sizeof(line), "%s: ", file);
	if (n < 0)
		return;
	if (++errs->count > CONF_ERRORS_MAX)
		fmt = "too many errors";
	if ((size_t)n < sizeof(line)) {
		va_start(ap, fmt);
		(void)vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
		va_end(ap);
	}
	errors_append(errs, line);
}
