/* SPDX-License-Identifier: ISC */
/*
 * Who we are to an upstream that asks: a client certificate, those between it
 * and its authority, and the key.
 */
#ifndef POOL_IDENTITY_H
#define POOL_IDENTITY_H

#include <stdbool.h>

#include <openssl/ssl.h>

#define IDENTITY_FILE_MAX ((size_t)64 * 1024)

struct identity {
	X509 *cert;             /* owned */
	STACK_OF(X509) * chain; /* owned; the rest of the file, in order */
	EVP_PKEY *key;          /* owned */
};

/*
 * Read the two PEM files from fd, which stays the caller's; the certificate
 * comes first.  Return NULL, or what is wrong.  Whatever they have read of a
 * key is out of memory again but for the key itself.
 */
const char *identity_load_cert(struct identity *, int fd);
const char *identity_load_key(struct identity *, int fd);

/* False if the certificate is not valid now: the upstream will not like it. */
bool identity_is_current(const struct identity *);

/* Shows it to the peer if that asks; false out of memory. */
bool identity_use(const struct identity *, SSL *);

/* Frees what it has, and leaves it empty. */
void identity_clear(struct identity *);

#endif
