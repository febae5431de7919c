/* SPDX-License-Identifier: ISC */
/* Small configurations for tests: a text in, a struct or the errors out. */
#ifndef TESTS_CONF_TEXT_H
#define TESTS_CONF_TEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dotproxy/parent/conf_parse.h"

/* What a configuration cannot do without; 5 lines. */
#define CONF_TEXT_BASE                    \
	"listen on 127.0.0.1\n"           \
	"upstream \"one\" {\n"            \
	"\taddress 192.0.2.1\n"           \
	"\tserver name \"one.example\"\n" \
	"}\n"

/* Parses text, whose file is called "t". */
static inline struct conf *
conf_text(const char *text, struct conf_errors *errs)
{
	return conf_parse_text("t", text, strlen(text), NULL, 0, errs);
}

/* Parses text, which must be right.  The caller frees the result. */
static inline struct conf *
conf_text_ok(const char *text)
{
	struct conf_errors errs;
	struct conf *conf = conf_text(text, &errs);

	assert_string_equal(errs.text, "");
	assert_int_equal(errs.count, 0);
	assert_non_null(conf);
	return conf;
}

/* Parses text, which must lead to exactly these errors. */
static inline void
conf_text_bad(const char *text, const char *want)
{
	struct conf_errors errs;
	struct conf *conf = conf_text(text, &errs);

	assert_null(conf);
	assert_string_equal(errs.text, want);
	assert_int_equal(errs.len, strlen(want));
	assert_true(errs.count > 0);
}

#endif
