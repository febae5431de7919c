/* SPDX-License-Identifier: ISC */
/* Reads dotproxy.conf(5). */
#ifndef PARENT_CONF_PARSE_H
#define PARENT_CONF_PARSE_H

#include <stddef.h>

#include "common/conf.h"
#include "dotproxy/parent/conf_errors.h"

/* A macro from the command line; it wins over the file's of that name. */
struct conf_macro {
	const char *name;
	const char *value;
};

/*
 * Reads a configuration file and those it includes, and checks that the files
 * of certificates it names can be used.  Returns the configuration, which the
 * caller frees with free(), or NULL with at least one error in errs.  errs is
 * cleared first.  Prints nothing and keeps nothing between calls.
 */
struct conf *conf_parse(const char *path, const struct conf_macro *macros,
    size_t nmacros, struct conf_errors *errs);

/*
 * The same without looking at the files of certificates, for a configuration
 * that is not this machine's.
 */
struct conf *conf_parse_unchecked(const char *path,
    const struct conf_macro *macros, size_t nmacros, struct conf_errors *errs);

/*
 * The same from a text of len bytes, which messages call name.  Opens no file
 * at all: include is an error, too.
 */
struct conf *conf_parse_text(const char *name, const char *text, size_t len,
    const struct conf_macro *macros, size_t nmacros, struct conf_errors *errs);

#endif
