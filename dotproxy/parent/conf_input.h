/* SPDX-License-Identifier: ISC */
/* Where the lexer's characters come from; for conf_lex.c only. */
#ifndef PARENT_CONF_INPUT_H
#define PARENT_CONF_INPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "dotproxy/parent/conf_lex.h"

struct lex_macro {
	struct lex_macro *next;
	const char *name;
	const char *value;
	bool fixed; /* the file cannot change it */
};

/* A file or, if macro is not NULL, a macro being expanded. */
struct lex_input {
	struct lex_input *below;
	const struct lex_macro *macro;
	const char *text; /* len bytes, NUL is not special */
	char *owned;      /* text, if it is to be freed */
	size_t len;
	size_t pos;            /* <= len */
	struct conf_origin at; /* line of pos; in a macro, line of its use */
	unsigned int depth;    /* of braces where it began */
};

static inline bool
lex_is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_';
}

/* Returns room for size bytes until lex_free(), or NULL with an error. */
char *lex_alloc(struct conf_lex *, size_t size);

/* Copies len bytes and adds a NUL.  Returns NULL as lex_alloc(). */
char *lex_save(struct conf_lex *, const char *text, size_t len);

/* Puts the value of a macro on top.  Returns 0, or -1 with an error. */
int lex_push_macro(struct conf_lex *, const struct lex_macro *);

/* Removes what is on top, which is there. */
void lex_pop(struct conf_lex *);

#endif
