/* SPDX-License-Identifier: ISC */
/*
 * Tokens of the configuration language.  Knows files, includes, macros and
 * quoting; knows no keywords: those are the grammar's.
 */
#ifndef PARENT_CONF_LEX_H
#define PARENT_CONF_LEX_H

#include <stdbool.h>
#include <stddef.h>

#include "dotproxy/parent/conf_errors.h"

#define LEX_INCLUDE_DEPTH_MAX 16
#define LEX_INCLUDES_MAX 256    /* files read in one run */
#define LEX_EXPANSIONS_MAX 4096 /* uses of macros in one run */

enum lex_kind {
	LEX_END,     /* of everything */
	LEX_NEWLINE, /* every file ends with one, even if it does not */
	LEX_OPEN,    /* { */
	LEX_CLOSE,   /* } */
	LEX_COMMA,
	LEX_EQUALS,
	LEX_WORD,   /* bare */
	LEX_STRING, /* was quoted */
	LEX_NAME,   /* first word of a line, and "=" follows */
	LEX_BAD     /* already reported, and the rest of the line skipped */
};

/* text and at.file stay valid until lex_free(). */
struct lex_token {
	enum lex_kind kind;
	const char *text; /* "" where the kind says all */
	struct conf_origin at;
	bool first; /* in its line or block */
};

struct lex_text;
struct lex_macro;
struct lex_input;

/* Owns all that it points to but errs. */
struct conf_lex {
	struct conf_errors *errs;
	struct lex_text *texts; /* everything that tokens point to */
	struct lex_macro *macros;
	struct lex_input *input;    /* where characters come from */
	struct conf_origin open_at; /* the outermost brace that is open */
	unsigned int depth;         /* braces open */
	unsigned int line_depth;    /* the same, when this line began */
	unsigned int nfiles;        /* files read so far */
	unsigned int nexpanded;     /* macros expanded so far */
	bool files;                 /* may read files */
	bool first;                 /* the next token is the first of a line */
	bool line_start;            /* nothing yet since the last newline */
};

/*
 * Starts on a text; name is what messages call it.  Copies both.  include is
 * refused.  Returns 0, or -1 if there is no memory.
 */
int lex_init_text(struct conf_lex *, struct conf_errors *, const char *name,
    const char *text, size_t len);

/* Starts on a file.  Returns 0, or -1 with the reason in errs. */
int lex_init_file(struct conf_lex *, struct conf_errors *, const char *path);

/* Frees everything; the struct may be zero. */
void lex_free(struct conf_lex *);

/*
 * Defines a macro, or gives it a new value unless it was fixed when it was
 * first defined.  The name must be valid.  Returns 0, or -1 if there is no
 * memory.
 */
int lex_define(
    struct conf_lex *, const char *name, const char *value, bool fixed);

/* True for a letter or "_", followed by letters, digits and "_". */
bool lex_name_valid(const char *name);

/*
 * Goes on with another file before the rest of this one.  To be called at the
 * beginning of a line.  A relative path is relative to the file which
 * includes it, named by at.  Errors are added to errs.
 */
void lex_include(struct conf_lex *, const char *path, struct conf_origin at);

/* Joins two texts with a blank; returns NULL if there is no memory. */
const char *lex_join(struct conf_lex *, const char *, const char *);

/*
 * Reads the next token.  LEX_END may come early: when there is no memory, or
 * when there are too many errors.
 */
void lex_next(struct conf_lex *, struct lex_token *);

/*
 * After a syntax error: skips what is left of the line, and of a block that
 * was begun in it, so that the next token is a newline or the "}" which
 * closes the block around it.
 */
void lex_skip(struct conf_lex *);

#endif
