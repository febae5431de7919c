/* SPDX-License-Identifier: ISC */
/*
 * Cuts the configuration into tokens.  Runs in the parent, once a start and
 * once a reload.  Input is a stack: a file, above it the files it includes,
 * above those the macros being expanded; whole texts in memory, so looking
 * ahead is free.  All text handed out lives in one list until lex_free().
 */
#include "dotproxy/parent/conf_lex.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dotproxy/parent/conf_input.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* "=" may stand in a word but not begin one: base64 ends with it. */
static bool
is_word_char(char c)
{
	return c > ' ' && c < 0x7f && strchr("{},#$\"'\\", c) == NULL;
}

static bool
is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

/* The length of a backslash and newline at pos, or 0. */
static size_t
lex_continued(const struct lex_input *in, size_t pos)
{
	if (in->len - pos < 2)
		return 0;
	return in->text[pos] == '\\' && in->text[pos + 1] == '\n' ? 2 : 0;
}

/* Skips blanks, continued lines and a comment; a comment continues too. */
static void
lex_skip_blanks(struct lex_input *in)
{
	bool comment = false;
	size_t n;

	while (in->pos < in->len) {
		if ((n = lex_continued(in, in->pos)) != 0) {
			in->pos += n;
			in->at.line += in->macro == NULL;
			continue;
		}
		if (in->text[in->pos] == '\n')
			return;
		if (in->text[in->pos] == '#')
			comment = true;
		if (!comment && !is_blank(in->text[in->pos]))
			return;
		in->pos++;
	}
}

/* Reports an error in the input, makes it a token and skips the line. */
static void __attribute__((format(printf, 3, 4)))
lex_bad(struct conf_lex *l, struct lex_token *t, const char *fmt, ...)
{
	char what[CONF_ERRORS_LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	conf_errors_add(l->errs, l->input->at, "%s", what);
	t->kind = LEX_BAD;
	lex_skip(l);
}

/* Reads "$name" and puts the value on top.  Returns false if t is an error. */
static bool
lex_expand(struct conf_lex *l, struct lex_token *t)
{
	struct lex_input *in = l->input;
	const struct lex_input *top;
	const struct lex_macro *m;
	const char *name;
	size_t len = 0;

	in->pos++;
	while (in->pos + len < in->len &&
	       lex_is_name_char(in->text[in->pos + len]))
		len++;
	if ((name = lex_save(l, in->text + in->pos, len)) == NULL) {
		t->kind = LEX_END;
		return false;
	}
	in->pos += len;
	if (len == 0) {
		lex_bad(l, t, "\"$\" without the name of a macro");
		return false;
	}
	for (m = l->macros; m != NULL; m = m->next)
		if (strcmp(m->name, name) == 0)
			break;
	if (m == NULL) {
		lex_bad(l, t, "macro \"%s\" is not defined", name);
		return false;
	}
	for (top = in; top != NULL; top = top->below)
		if (top->macro == m) {
			lex_bad(l, t, "macro \"%s\" contains itself", name);
			return false;
		}
	if (++l->nexpanded > LEX_EXPANSIONS_MAX) {
		lex_bad(l, t, "too many macros expanded (%d at most)",
		    LEX_EXPANSIONS_MAX);
		return false;
	}
	if (lex_push_macro(l, m) == -1) {
		t->kind = LEX_END;
		return false;
	}
	return true;
}

/* At least the number of characters before the quote that closes a string. */
static size_t
lex_string_room(const struct lex_input *in, char quote)
{
	size_t end = in->pos;

	while (end < in->len && in->text[end] != quote)
		end += in->text[end] == '\\' ? 2 : 1;
	return end - in->pos;
}

/* Reads the inside of quotes up to and with the closing one. */
static void
lex_string(struct conf_lex *l, struct lex_token *t)
{
	struct lex_input *in = l->input;
	const char quote = in->text[in->pos++];
	const char *why = NULL;
	char *out, *p, c;

	out = p = lex_alloc(l, lex_string_room(in, quote) + 1);
	if (out == NULL) {
		t->kind = LEX_END;
		return;
	}
	for (; in->pos < in->len; in->pos++) {
		c = in->text[in->pos];
		if (lex_continued(in, in->pos) != 0) {
			in->pos++;
			in->at.line += in->macro == NULL;
			continue;
		}
		if (c == '\n')
			break;
		if (c == quote)
			goto closed;
		if (is_control(c))
			why = "control character in a string";
		if (c == '\\') {
			c = in->len - in->pos > 1 ? in->text[++in->pos] : c;
			if (c != '\\' && c != '"' && c != '\'')
				why = "backslash in a string before something "
				      "else than a quote or a backslash";
		}
		*p++ = c;
	}
	lex_bad(l, t, "string is not closed");
	return;
closed:
	in->pos++;
	*p = '\0';
	t->text = out;
	t->kind = LEX_STRING;
	if (why != NULL)
		lex_bad(l, t, "%s", why);
}

/* Reads a word, or the name before "=" if it is the first of a line. */
static void
lex_word(struct conf_lex *l, struct lex_token *t)
{
	struct lex_input ahead, *in = l->input;
	size_t end = in->pos;

	t->kind = LEX_WORD;
	if (l->first && in->macro == NULL) {
		while (end < in->len && is_word_char(in->text[end]) &&
		       in->text[end] != '=')
			end++;
		ahead = *in;
		ahead.pos = end;
		lex_skip_blanks(&ahead);
		if (ahead.pos < ahead.len && ahead.text[ahead.pos] == '=')
			t->kind = LEX_NAME;
	}
	if (t->kind == LEX_WORD)
		while (end < in->len && is_word_char(in->text[end]))
			end++;
	t->text = lex_save(l, in->text + in->pos, end - in->pos);
	if (t->text == NULL)
		t->kind = LEX_END;
	in->pos = end;
}

static void
lex_not_closed(struct conf_lex *l)
{
	conf_errors_add(l->errs, l->open_at, "block opened here is not closed");
}

/* Ends the last line of a file, and closes the block that is still open. */
static bool
lex_end_of_file(struct conf_lex *l, struct lex_token *t)
{
	if (!l->line_start) {
		t->kind = LEX_NEWLINE;
		return true;
	}
	if (l->depth > 0) {
		lex_not_closed(l);
		l->depth = 0;
		t->kind = LEX_CLOSE;
		return true;
	}
	return false;
}

static void
lex_brace(struct conf_lex *l, struct lex_token *t)
{
	if (t->kind == LEX_OPEN && l->depth++ == 0)
		l->open_at = t->at;
	if (t->kind == LEX_CLOSE && l->depth > 0)
		l->depth--;
	if (l->line_depth > l->depth)
		l->line_depth = l->depth;
}

/* Reads one token; returns false if the input changed and there is none. */
static bool
lex_step(struct conf_lex *l, struct lex_token *t)
{
	static const char marks[] = "\n{},=";
	static const enum lex_kind kinds[] = { LEX_NEWLINE, LEX_OPEN, LEX_CLOSE,
		LEX_COMMA, LEX_EQUALS };
	struct lex_input *in = l->input;
	const char *mark;
	char c;

	lex_skip_blanks(in);
	t->at = in->at;
	if (in->pos == in->len) {
		if (in->macro == NULL && lex_end_of_file(l, t))
			return true;
		lex_pop(l);
		return false;
	}
	c = in->text[in->pos];
	if (l->first)
		l->line_depth = l->depth;
	if (c == '$')
		return !lex_expand(l, t);
	if (c == '"' || c == '\'') {
		lex_string(l, t);
	} else if (c != '\0' && (mark = strchr(marks, c)) != NULL) {
		t->kind = kinds[mark - marks];
		in->pos++;
		in->at.line += c == '\n';
		lex_brace(l, t);
	} else if (is_word_char(c)) {
		lex_word(l, t);
	} else {
		lex_bad(l, t,
		    c == '\\' ? "backslash before something else "
				"than the end of the line"
			      : "character 0x%02x is not allowed",
		    (unsigned char)c);
	}
	return true;
}

void
lex_next(struct conf_lex *l, struct lex_token *t)
{
	t->kind = LEX_END;
	t->text = "";
	t->first = l->first;
	while (l->input != NULL && !conf_errors_full(l->errs))
		if (lex_step(l, t))
			break;
	l->line_start = t->kind == LEX_NEWLINE;
	l->first = l->line_start || t->kind == LEX_OPEN;
}

void
lex_skip(struct conf_lex *l)
{
	struct lex_input *in;
	char c, quote = '\0';

	/* What is left of a macro is gone, with the braces it opened. */
	while (l->input != NULL && l->input->macro != NULL) {
		l->depth = l->input->depth;
		lex_pop(l);
	}
	if ((in = l->input) == NULL)
		return;
	for (; in->pos < in->len; in->pos++) {
		c = in->text[in->pos];
		if (lex_continued(in, in->pos) != 0) {
			in->pos++;
			in->at.line++;
		} else if (c == '\n') {
			if (l->depth <= l->line_depth)
				return;
			quote = '\0';
			in->at.line++;
		} else if (quote != '\0') {
			if (c == quote)
				quote = '\0';
			else if (c == '\\' && in->len - in->pos >= 2)
				in->pos++;
		} else if (c == '"' || c == '\'') {
			quote = c;
		} else if (c == '#') {
			lex_skip_blanks(in);
			in->pos--;
		} else if (c == '{') {
			if (l->depth++ == 0)
				l->open_at = in->at;
		} else if (c == '}' && l->depth > 0) {
			if (l->depth <= l->line_depth)
				return;
			l->depth--;
		}
	}
	/* The file is over.  An outer block is reported when that is read. */
	if (l->depth > l->line_depth && l->line_depth == 0)
		lex_not_closed(l);
	l->depth = l->line_depth;
}
