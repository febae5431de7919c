/* SPDX-License-Identifier: ISC */
/*
 * Public keys (SPKI, RFC 7858 appendix A) of the certificates that an upstream
 * was believed for: compared with its pins.
 */
#ifndef POOL_PINS_H
#define POOL_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "common/conf.h"

/*
 * The chain that was verified, the leaf first: what the peer merely sent along
 * is not in it.  Of a peer that nothing was verified of, the leaf alone: the
 * handshake has shown that it has that key, and nothing else.  The caller's to
 * free; NULL if there is none.
 */
STACK_OF(X509) * pins_chain(const SSL *, bool leaf_only);

/* NULL is ignored. */
void pins_chain_free(STACK_OF(X509) *);

/* The SHA-256 of the certificate's SPKI; false out of memory. */
bool pins_hash(const X509 *, uint8_t hash[CONF_PIN_LEN]);

/* Writes who the certificate is for, as text, cut to fit. */
void pins_subject(const X509 *, char *text, size_t size);

/* True if the hash is one of the pins. */
bool pins_have(const struct conf_upstream *, const uint8_t hash[CONF_PIN_LEN]);

/* True if a certificate of the chain, which may be NULL, matches a pin. */
bool pins_match(const struct conf_upstream *, const STACK_OF(X509) *);

#endif
