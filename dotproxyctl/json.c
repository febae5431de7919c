/* SPDX-License-Identifier: ISC */
/*
 * Writes JSON (RFC 8259) for dotproxyctl -j; see json.h.  It must never write
 * a byte outside printable ASCII, whatever it is given, nor a document that
 * does not parse.
 */
#include "dotproxyctl/json.h"

#include <inttypes.h>
#include <string.h>

#define REPLACEMENT 0xfffdu

void
json_begin(struct json *j, FILE *out)
{
	memset(j, 0, sizeof(*j));
	j->out = out;
}

/*
 * Writes the comma and the key that come before a value.  Returns false if
 * there must not be a value here.
 */
static bool
value_begin(struct json *j, const char *key)
{
	if (j->depth == 0) {
		if (j->done || key != NULL)
			j->error = true;
		j->done = true;
		return !j->error;
	}
	if ((key == NULL) != j->level[j->depth - 1].array)
		j->error = true;
	if (j->error)
		return false;
	if (j->level[j->depth - 1].used)
		(void)putc(',', j->out); /* json_end() looks at the stream */
	j->level[j->depth - 1].used = true;
	if (key != NULL)
		(void)fprintf(j->out, "\"%s\":", key);
	return true;
}

static void
level_begin(struct json *j, const char *key, bool array)
{
	if (!value_begin(j, key))
		return;
	if (j->depth == JSON_DEPTH_MAX) {
		j->error = true;
		return;
	}
	j->level[j->depth].array = array;
	j->level[j->depth].used = false;
	j->depth++;
	(void)putc(array ? '[' : '{', j->out);
}

static void
level_end(struct json *j, bool array)
{
	if (j->depth == 0 || j->level[j->depth - 1].array != array)
		j->error = true;
	if (j->error)
		return;
	j->depth--;
	(void)putc(array ? ']' : '}', j->out);
}

void
json_object(struct json *j, const char *key)
{
	level_begin(j, key, false);
}

void
json_array(struct json *j, const char *key)
{
	level_begin(j, key, true);
}

void
json_object_end(struct json *j)
{
	level_end(j, false);
}

void
json_array_end(struct json *j)
{
	level_end(j, true);
}

void
json_u64(struct json *j, const char *key, uint64_t v)
{
	if (value_begin(j, key))
		(void)fprintf(j->out, "%" PRIu64, v);
}

void
json_bool(struct json *j, const char *key, bool v)
{
	if (value_begin(j, key))
		(void)fputs(v ? "true" : "false", j->out);
}

void
json_null(struct json *j, const char *key)
{
	if (value_begin(j, key))
		(void)fputs("null", j->out);
}

/*
 * Decodes one character of UTF-8 (RFC 3629: no overlong forms, no surrogates,
 * nothing above U+10FFFF).  Returns the bytes it took; 1 and U+FFFD if it is
 * none.
 */
static size_t
utf8_next(const uint8_t *p, size_t len, uint32_t *c)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t i, n;

	*c = p[0];
	if (p[0] < 0x80)
		return 1;
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	*c = p[0] & (0xffu >> (n + 1));
	for (i = 1; i < n && i < len && (p[i] & 0xc0) == 0x80; i++)
		*c = *c << 6 | (p[i] & 0x3fu);
	if (i < n || p[0] < 0xc0 || p[0] > 0xf4 || *c < smallest[n] ||
	    *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff)) {
		*c = REPLACEMENT;
		return 1;
	}
	return n;
}

static void
character_put(FILE *out, uint32_t c)
{
	if (c == '"' || c == '\\')
		(void)fprintf(out, "\\%c", (int)c);
	else if (c == '\n')
		(void)fputs("\\n", out);
	else if (c == '\t')
		(void)fputs("\\t", out);
	else if (c >= 0x20 && c < 0x7f)
		(void)putc((int)c, out);
	else if (c < 0x10000)
		(void)fprintf(out, "\\u%04" PRIx32, c);
	else
		(void)fprintf(out, "\\u%04" PRIx32 "\\u%04" PRIx32,
		    0xd800 + ((c - 0x10000) >> 10),
		    0xdc00 + ((c - 0x10000) & 0x3ff));
}

void
json_bytes(struct json *j, const char *key, const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t i = 0;
	uint32_t c;

	if (!value_begin(j, key))
		return;
	(void)putc('"', j->out);
	while (i < len) {
		i += utf8_next(p + i, len - i, &c);
		character_put(j->out, c);
	}
	(void)putc('"', j->out);
}

void
json_string(struct json *j, const char *key, const char *s)
{
	json_bytes(j, key, s, strlen(s));
}

int
json_end(struct json *j)
{
	if (j->error || j->depth != 0 || !j->done)
		return -1;
	(void)putc('\n', j->out);
	return fflush(j->out) == 0 && !ferror(j->out) ? 0 : -1;
}
