/* SPDX-License-Identifier: ISC */
/*
 * Whom to believe: the certificates of a CA file, parsed once and shared by all
 * connections, and what a failed verification is called.
 */
#ifndef POOL_TRUST_H
#define POOL_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <openssl/ssl.h>

#include "common/conf.h"
#include "common/msg.h"

/* 2026-01-01: a clock that says less is wrong, this program is newer. */
#define TRUST_CLOCK_MIN ((time_t)1767225600)
#define TRUST_FILE_MAX ((size_t)16 * 1024 * 1024)

/* The certificates of one CA file.  Counted: trust_ref(), trust_unref(). */
struct trust {
	uint32_t refs;
	X509_STORE *store;
	/*
	 * One of its certificates as PEM.  libtls parses the CA file it is
	 * given anew for every connection, 20 ms for a usual bundle; it gets
	 * this, and the connection the shared store in its place.
	 */
	char *anchor;
	size_t anchor_len;
};

/*
 * Reads a PEM file from fd, which stays the caller's.  Certificates that do
 * not parse are skipped and counted in *bad.  Returns it with one reference, or
 * NULL with *why.
 */
struct trust *trust_load(int fd, size_t *bad, const char **why);

/* The same from memory. */
struct trust *trust_parse(
    const uint8_t *pem, size_t len, size_t *bad, const char **why);

struct trust *trust_ref(struct trust *);
void trust_unref(struct trust *); /* NULL is ignored */

/* The cause for an X509_V_ERR_*; CAUSE_NONE for X509_V_OK. */
enum msg_cause trust_cause(long verify_result);

/*
 * Which of the certificates that were sent is not valid now, and what the clock
 * says; false if none is.
 */
bool trust_explain_time(
    const STACK_OF(X509) * sent, time_t now, char *text, size_t size);

#endif
