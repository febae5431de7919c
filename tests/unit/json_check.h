/* SPDX-License-Identifier: ISC */
/* A checker for RFC 8259, in printable ASCII and without white space. */
#ifndef TESTS_JSON_CHECK_H
#define TESTS_JSON_CHECK_H

#include <stdbool.h>
#include <string.h>

#include "dotproxyctl/json.h"

static inline const char *check_value(const char *p, int depth);

static inline const char *
check_string(const char *p)
{
	size_t i;

	if (*p++ != '"')
		return NULL;
	for (; *p != '"'; p++) {
		if (*p < 0x20 || *p >= 0x7f)
			return NULL;
		if (*p != '\\')
			continue;
		if (*++p == 'u') {
			for (i = 0; i < 4; i++)
				if (strchr("0123456789abcdef", *++p) == NULL ||
				    *p == '\0')
					return NULL;
		} else if (strchr("\"\\nt", *p) == NULL || *p == '\0')
			return NULL;
	}
	return p + 1;
}

static inline const char *
check_number(const char *p)
{
	size_t n = strspn(p, "0123456789");

	if (n == 0 || n > 20 || (n > 1 && *p == '0'))
		return NULL;
	return p + n;
}

/* Between the brackets of an object or an array. */
static inline const char *
check_members(const char *p, bool object, int depth)
{
	char end = object ? '}' : ']';

	if (*p == end)
		return p + 1;
	for (;;) {
		if (object) {
			p = check_string(p);
			if (p == NULL || *p++ != ':')
				return NULL;
		}
		p = check_value(p, depth + 1);
		if (p == NULL)
			return NULL;
		if (*p == end)
			return p + 1;
		if (*p++ != ',')
			return NULL;
	}
}

static inline const char *
check_value(const char *p, int depth)
{
	if (depth > JSON_DEPTH_MAX)
		return NULL;
	if (*p == '{' || *p == '[')
		return check_members(p + 1, *p == '{', depth);
	if (*p == '"')
		return check_string(p);
	if (strncmp(p, "true", 4) == 0 || strncmp(p, "null", 4) == 0)
		return p + 4;
	if (strncmp(p, "false", 5) == 0)
		return p + 5;
	return check_number(p);
}

static inline bool
is_json(const char *text)
{
	const char *end = check_value(text, 0);

	return end != NULL && strcmp(end, "\n") == 0;
}

#endif
