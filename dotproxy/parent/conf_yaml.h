/* SPDX-License-Identifier: ISC */
/* Reads the configuration file of the dotproxy that is written in Go. */
#ifndef PARENT_CONF_YAML_H
#define PARENT_CONF_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "common/conf.h"
#include "dotproxy/parent/conf_errors.h"

#define CONF_YAML_SIZE_MAX (128u * 1024)
#define CONF_YAML_DIFFERENCES_MAX 640

/* What is to be said about a file that is right. */
struct conf_yaml_notes {
	struct conf_errors warnings; /* keys that mean nothing, say */
	/* What is different here on purpose: the end of a sentence. */
	char differences[CONF_YAML_DIFFERENCES_MAX];
};

/* True if the name of a file says that it is YAML. */
bool conf_yaml_is(const char *path);

/*
 * Reads a text of len bytes, which messages call name.  An address without
 * host is IPv6, too, if ipv6 is true; check has files of certificates looked
 * at.  Returns the configuration, which the caller frees with free(), or NULL
 * with at least one error in errs.  errs and notes are cleared first.
 */
struct conf *conf_yaml_text(const char *name, const char *text, size_t len,
    bool ipv6, bool check, struct conf_errors *errs,
    struct conf_yaml_notes *notes);

#endif
