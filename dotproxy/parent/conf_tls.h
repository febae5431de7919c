/* SPDX-License-Identifier: ISC */
/*
 * What the lines of an upstream mean that say whom to believe, and how TLS is
 * spoken: a part of conf_set.h.
 */
#ifndef PARENT_CONF_TLS_H
#define PARENT_CONF_TLS_H

#include "dotproxy/parent/conf_set.h"

void conf_tls_pin(struct conf_set *, const char *pin, struct conf_origin);
void conf_tls_pin_only(struct conf_set *, struct conf_origin);
void conf_tls_version(
    struct conf_set *, const char *version, struct conf_origin);
void conf_tls_ciphers(struct conf_set *, const char *names, struct conf_origin);
void conf_tls_client(
    struct conf_set *, const char *cert, const char *key, struct conf_origin);

/* The end of the block: reports what does not go together. */
void conf_tls_check(struct conf_set *);

/* Checks that the files of certificates and keys can be used. */
void conf_tls_check_files(struct conf_set *);

#endif
