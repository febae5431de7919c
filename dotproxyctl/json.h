/* SPDX-License-Identifier: ISC */
/*
 * Writes JSON, as it goes, to a stdio stream.  What it writes is ASCII: text
 * from the daemon cannot do anything to a terminal.  A mistake in nesting is
 * remembered and reported by json_end(), and nothing more is written then.
 */
#ifndef DOTPROXYCTL_JSON_H
#define DOTPROXYCTL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH_MAX 16

struct json {
	FILE *out;
	bool error;
	bool done;    /* the one value at the top is complete */
	size_t depth; /* <= JSON_DEPTH_MAX */
	struct {
		bool array; /* else an object */
		bool used;  /* something is in it: a comma comes first */
	} level[JSON_DEPTH_MAX];
};

void json_begin(struct json *, FILE *out);

/*
 * A value.  Within an object it needs a key, within an array and at the top
 * it must have none (NULL).  Keys are the program's own and need no escaping.
 */
void json_object(struct json *, const char *key);
void json_array(struct json *, const char *key);
void json_u64(struct json *, const char *key, uint64_t);
void json_bool(struct json *, const char *key, bool);
void json_null(struct json *, const char *key);

/* A string of bytes, taken as UTF-8; what is not becomes U+FFFD. */
void json_bytes(struct json *, const char *key, const char *, size_t len);
void json_string(struct json *, const char *key, const char *);

/* Closes the innermost object or array, which must be one. */
void json_object_end(struct json *);
void json_array_end(struct json *);

/*
 * Ends the document with a newline.  Returns 0, or -1 if nesting was wrong,
 * a value is missing, or the stream failed.
 */
int json_end(struct json *);

#endif
