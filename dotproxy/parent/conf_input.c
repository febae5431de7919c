/* SPDX-License-Identifier: ISC */
/*
 * The input of the lexer: a stack of files and macros, and the memory that
 * all of it lives in.  Runs in the parent.
 */
#include "dotproxy/parent/conf_input.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dotproxy/parent/conf_file.h"

/* A piece of text that was handed out. */
struct lex_text {
	struct lex_text *next;
	char text[];
};

bool
lex_name_valid(const char *name)
{
	if (!lex_is_name_char(*name) || (*name >= '0' && *name <= '9'))
		return false;
	while (lex_is_name_char(*name))
		name++;
	return *name == '\0';
}

/* Says so; returns NULL. */
static void *
lex_no_memory(struct conf_lex *l)
{
	struct conf_origin nowhere = { .file = NULL };

	conf_errors_add(l->errs, l->input != NULL ? l->input->at : nowhere,
	    "out of memory");
	return NULL;
}

char *
lex_alloc(struct conf_lex *l, size_t size)
{
	struct lex_text *t;

	if (size > SIZE_MAX - sizeof(*t) ||
	    (t = malloc(sizeof(*t) + size)) == NULL)
		return lex_no_memory(l);
	t->next = l->texts;
	l->texts = t;
	return t->text;
}

char *
lex_save(struct conf_lex *l, const char *text, size_t len)
{
	char *copy = lex_alloc(l, len + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

const char *
lex_join(struct conf_lex *l, const char *a, const char *b)
{
	size_t alen = strlen(a), blen = strlen(b);
	char *joined = lex_alloc(l, alen + blen + 2);

	if (joined == NULL)
		return NULL;
	memcpy(joined, a, alen);
	joined[alen] = ' ';
	memcpy(joined + alen + 1, b, blen + 1);
	return joined;
}

/* Puts a text on top of the input; takes over owned, also when it fails. */
static struct lex_input *
lex_push(struct conf_lex *l, const char *text, size_t len, char *owned)
{
	struct lex_input *in = calloc(1, sizeof(*in));

	if (in == NULL) {
		free(owned);
		return lex_no_memory(l);
	}
	in->below = l->input;
	in->text = text;
	in->owned = owned;
	in->len = len;
	in->depth = l->depth;
	l->input = in;
	return in;
}

void
lex_pop(struct conf_lex *l)
{
	struct lex_input *in = l->input;

	l->input = in->below;
	free(in->owned);
	free(in);
}

int
lex_push_macro(struct conf_lex *l, const struct lex_macro *m)
{
	struct conf_origin at = l->input->at;
	struct lex_input *in;

	if ((in = lex_push(l, m->value, strlen(m->value), NULL)) == NULL)
		return -1;
	in->macro = m;
	in->at = at;
	return 0;
}

/* Puts a file on top of the input.  name is borrowed. */
static int
lex_push_file(struct conf_lex *l, const char *name, char *text, size_t len)
{
	struct lex_input *in = lex_push(l, text, len, text);

	if (in == NULL)
		return -1;
	in->at.file = name;
	in->at.line = 1;
	l->first = l->line_start = true;
	l->line_depth = l->depth;
	l->nfiles++;
	return 0;
}

int
lex_init_text(struct conf_lex *l, struct conf_errors *errs, const char *name,
    const char *text, size_t len)
{
	char *copy;

	memset(l, 0, sizeof(*l));
	l->errs = errs;
	if ((name = lex_save(l, name, strlen(name))) == NULL)
		return -1;
	if ((copy = malloc(len + 1)) == NULL) {
		(void)lex_no_memory(l);
		return -1;
	}
	memcpy(copy, text, len);
	return lex_push_file(l, name, copy, len);
}

int
lex_init_file(struct conf_lex *l, struct conf_errors *errs, const char *path)
{
	struct conf_origin at = { .file = path };
	const char *why;
	char *text;
	size_t len;

	memset(l, 0, sizeof(*l));
	l->errs = errs;
	l->files = true;
	if ((path = lex_save(l, path, strlen(path))) == NULL)
		return -1;
	if ((why = conf_file_read(path, &text, &len)) != NULL) {
		conf_errors_add(errs, at, "%s", why);
		return -1;
	}
	return lex_push_file(l, path, text, len);
}

void
lex_free(struct conf_lex *l)
{
	struct lex_text *t;
	struct lex_macro *m;

	while (l->input != NULL)
		lex_pop(l);
	while ((m = l->macros) != NULL) {
		l->macros = m->next;
		free(m);
	}
	while ((t = l->texts) != NULL) {
		l->texts = t->next;
		free(t);
	}
}

int
lex_define(struct conf_lex *l, const char *name, const char *value, bool fixed)
{
	struct lex_macro *m;

	for (m = l->macros; m != NULL; m = m->next)
		if (strcmp(m->name, name) == 0)
			break;
	if (m != NULL && m->fixed)
		return 0;
	if ((value = lex_save(l, value, strlen(value))) == NULL)
		return -1;
	if (m == NULL) {
		if ((name = lex_save(l, name, strlen(name))) == NULL)
			return -1;
		if ((m = calloc(1, sizeof(*m))) == NULL) {
			(void)lex_no_memory(l);
			return -1;
		}
		m->name = name;
		m->next = l->macros;
		l->macros = m;
	}
	m->value = value;
	m->fixed = fixed;
	return 0;
}

/* The path of an include, as seen from the file which has it, or NULL. */
static const char *
lex_include_path(struct conf_lex *l, const char *path, const char *from)
{
	const char *slash = strrchr(from, '/');
	size_t dirlen, len = strlen(path);
	char *full;

	if (path[0] == '/' || slash == NULL)
		return lex_save(l, path, len);
	dirlen = (size_t)(slash - from) + 1;
	if ((full = lex_alloc(l, dirlen + len + 1)) == NULL)
		return NULL;
	memcpy(full, from, dirlen);
	memcpy(full + dirlen, path, len + 1);
	return full;
}

void
lex_include(struct conf_lex *l, const char *path, struct conf_origin at)
{
	const struct lex_input *in;
	unsigned int depth = 0;
	const char *why;
	char *text;
	size_t len;

	for (in = l->input; in != NULL; in = in->below)
		depth += in->macro == NULL;
	if (!l->files) {
		conf_errors_add(l->errs, at, "include is not possible here");
		return;
	}
	if (depth > LEX_INCLUDE_DEPTH_MAX) {
		conf_errors_add(l->errs, at,
		    "include \"%s\" is nested too deep (%d at most)", path,
		    LEX_INCLUDE_DEPTH_MAX);
		return;
	}
	if (l->nfiles > LEX_INCLUDES_MAX) {
		conf_errors_add(l->errs, at, "too many includes (%d at most)",
		    LEX_INCLUDES_MAX);
		return;
	}
	if ((path = lex_include_path(l, path, at.file)) == NULL)
		return;
	if ((why = conf_file_read(path, &text, &len)) != NULL)
		conf_errors_add(l->errs, at, "include %s: %s", path, why);
	else
		(void)lex_push_file(l, path, text, len); /* has reported */
}
