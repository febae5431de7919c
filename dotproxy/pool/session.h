/* SPDX-License-Identifier: ISC */
/*
 * TLS sessions with upstreams: libtls, and what it does not offer done through
 * public libssl calls on the SSL object beneath it: the shared certificate
 * store, pins, and resumption.
 */
#ifndef POOL_SESSION_H
#define POOL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <openssl/ssl.h>
#include <tls.h>

#include "common/conf.h"
#include "common/msg.h"
#include "dotproxy/pool/identity.h"
#include "dotproxy/pool/pins.h"
#include "dotproxy/pool/trust.h"

#define SESSION_TICKETS_MAX 4
#define SESSION_UNVERIFIED_MAX_MS 3600000u /* then a full handshake is due */
#define SESSION_TEXT_MAX 160

/* How the SSL object that libtls makes is found; one for the process. */
struct session_env {
	int ex_index;
	SSL *made; /* the last one; not owned */
};

/* How TLS is spoken with one upstream. */
struct session_config {
	struct tls_config *tls;        /* owned */
	struct trust *trust;           /* counted; NULL: pins alone decide */
	struct identity identity;      /* empty if there is none */
	char suites[CONF_CIPHERS_MAX]; /* of TLS 1.3; empty: the library's */
};

/* Tickets of one upstream, each used at most once (RFC 8446 C.4). */
struct session_tickets {
	struct {
		SSL_SESSION *session; /* owned */
		uint64_t verified_ms;
	} stack[SESSION_TICKETS_MAX];
	size_t n;
};

struct session {
	struct tls *tls; /* owned; NULL when there is none */
	SSL *ssl;        /* of tls */
	/* When the certificate was last looked at, here or by an ancestor. */
	uint64_t verified_ms;
	/* Owned: what it was verified by, here; else, and resumed, NULL. */
	STACK_OF(X509) * chain;
	bool asked; /* it has asked for a client certificate */
	bool shown; /* there is one to show */
};

/* Why a session could not begin. */
struct session_error {
	enum info_phase phase;
	enum msg_cause cause;
	char text[SESSION_TEXT_MAX];
};

/*
 * Starts the libraries: everything they do lazily is done here, before the
 * sandbox.  env must stay where it is for the life of the process.
 */
void session_init(struct session_env *env);

/* For tests, which have several: takes env out of OpenSSL. */
void session_cleanup(struct session_env *env);

/* --- session_config.c --- */

/*
 * Makes the settings for one upstream; ALPN "dot" is offered, but not required.
 * trust is counted, and NULL if and only if the pins alone decide; identity is
 * taken over, and may be empty.  NULL with text in why.
 */
struct session_config *session_config_new(const struct conf_upstream *,
    struct trust *, struct identity *, char why[SESSION_TEXT_MAX]);

/* Sessions that have begun may go on; NULL is ignored. */
void session_config_free(struct session_config *);

/* --- session.c --- */

/*
 * Prepares a session; the first session_handshake() begins it.  name is
 * sent as SNI and verified.  Returns 0 or -1 with *err.
 */
int session_start(struct session_env *, struct session *,
    const struct session_config *, const char *name, tls_read_cb, tls_write_cb,
    void *arg, struct session_error *err);

/*
 * Offers a ticket, if there is one whose certificate was verified not long
 * ago.  Before the first session_handshake().
 */
void session_resume(
    struct session *, struct session_tickets *, uint64_t now_ms);

/* Keeps the ticket the upstream has sent, if any, for a later connection. */
void session_save(const struct session *, struct session_tickets *);

void session_tickets_clear(struct session_tickets *);

/*
 * Goes on with the handshake.  Returns 0 when it is done and the certificate,
 * the name and the pins are right; TLS_WANT_POLLIN or TLS_WANT_POLLOUT; or -1
 * with *err.
 */
int session_handshake(struct session *, const struct conf_upstream *,
    uint64_t now_ms, struct session_error *err);

/*
 * Why reading has failed; the session may end before it is read.  In TLS 1.3
 * this is where a peer says that it wants another client certificate.
 */
void session_read_error(const struct session *, struct session_error *err);

bool session_resumed(const struct session *);

/* Writes close_notify through the write callback, and waits for nothing. */
void session_goodbye(struct session *);

/* Ends it; it may never have begun. */
void session_close(struct session *);

#endif
