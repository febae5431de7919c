/* SPDX-License-Identifier: ISC */
/*
 * TLS sessions, see session.h.  Runs in the pool.  No byte of a query may be
 * written to a session before session_handshake() has returned 0.  Whom the
 * peer's certificate does not identify a pin of it must: never nothing.
 */
#include "dotproxy/pool/session.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/rand.h>

#include "common/log.h"
#include "common/util.h"

/*
 * OpenSSL calls this from SSL_new(), which libtls calls from
 * tls_connect_cbs(): the only public way to its SSL object.
 */
static void
on_ssl_new(
    void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	struct session_env *env = argp;

	(void)ptr;
	(void)ad;
	(void)idx;
	(void)argl;
	env->made = parent;
}

void
session_init(struct session_env *env)
{
	unsigned char byte;
	SSL_CTX *ctx;

	memset(env, 0, sizeof(*env));
	if (tls_init() == -1)
		fatalx("tls_init failed");
	env->ex_index = SSL_get_ex_new_index(0, env, on_ssl_new, NULL, NULL);
	if (env->ex_index == -1)
		fatalx("SSL_get_ex_new_index failed");
	/* Certificate times read /etc/localtime; generators seed. */
	tzset();
	if (RAND_bytes(&byte, 1) != 1 || RAND_priv_bytes(&byte, 1) != 1)
		fatalx("no random numbers");
	/* Fetches the algorithms and loads the error strings. */
	ctx = SSL_CTX_new(TLS_client_method());
	if (ctx == NULL)
		fatalx("SSL_CTX_new failed");
	SSL_CTX_free(ctx);
	(void)ERR_reason_error_string(ERR_peek_error());
	ERR_clear_error();
}

void
session_cleanup(struct session_env *env)
{
	(void)CRYPTO_free_ex_index(CRYPTO_EX_INDEX_SSL, env->ex_index);
	env->ex_index = -1;
}

static void
copy_text(char dst[SESSION_TEXT_MAX], const char *src)
{
	(void)snprintf(
	    dst, SESSION_TEXT_MAX, "%s", src != NULL ? src : "unknown error");
}

/* OpenSSL calls this when the peer has asked for a client certificate. */
static int
on_asked(SSL *ssl, void *arg)
{
	struct session *s = arg;

	(void)ssl;
	s->asked = true;
	return 1;
}

int
session_start(struct session_env *env, struct session *s,
    const struct session_config *cfg, const char *name, tls_read_cb on_read,
    tls_write_cb on_write, void *arg, struct session_error *err)
{
	err->phase = PHASE_HANDSHAKE;
	err->cause = CAUSE_TLS;
	memset(s, 0, sizeof(*s));
	env->made = NULL;
	s->tls = tls_client();
	if (s->tls == NULL) {
		copy_text(err->text, "out of memory");
		return -1;
	}
	if (tls_configure(s->tls, cfg->tls) == -1 ||
	    tls_connect_cbs(s->tls, on_read, on_write, arg, name) == -1) {
		copy_text(err->text, tls_error(s->tls));
		session_close(s);
		return -1;
	}
	/* Without it the wrong certificates would decide. */
	if (env->made == NULL)
		fatalx("libtls made no SSL object");
	s->ssl = env->made;
	env->made = NULL;
	/* Of the context, as libtls verifies a stapled statement by that. */
	if (cfg->trust != NULL)
		SSL_CTX_set1_cert_store(
		    SSL_get_SSL_CTX(s->ssl), cfg->trust->store);
	if (cfg->suites[0] != '\0' &&
	    SSL_set_ciphersuites(s->ssl, cfg->suites) != 1)
		fatalx("SSL_set_ciphersuites failed");
	s->shown = cfg->identity.cert != NULL;
	if (s->shown && !identity_use(&cfg->identity, s->ssl))
		fatalx("the client certificate cannot be used");
	SSL_set_options(s->ssl, SSL_OP_NO_RENEGOTIATION);
	/* Its buffers would be allocated anew for each record. */
	SSL_clear_mode(s->ssl, SSL_MODE_RELEASE_BUFFERS);
	/* Whoever reads shall see records without data, and count them. */
	SSL_clear_mode(s->ssl, SSL_MODE_AUTO_RETRY);
	return 0;
}

void
session_resume(struct session *s, struct session_tickets *t, uint64_t now_ms)
{
	SSL_SESSION *ticket;
	uint64_t verified_ms;
	bool taken = false;

	SSL_clear_options(s->ssl, SSL_OP_NO_TICKET);
	while (t->n > 0 && !taken) {
		t->n--;
		ticket = t->stack[t->n].session;
		verified_ms = t->stack[t->n].verified_ms;
		taken = now_ms - verified_ms < SESSION_UNVERIFIED_MAX_MS &&
			SSL_set_session(s->ssl, ticket) == 1;
		if (taken)
			s->verified_ms = verified_ms;
		SSL_SESSION_free(ticket);
	}
}

void
session_save(const struct session *s, struct session_tickets *t)
{
	SSL_SESSION *ticket;

	if (t->n == SESSION_TICKETS_MAX)
		return;
	ticket = SSL_get1_session(s->ssl);
	if (ticket == NULL || SSL_SESSION_is_resumable(ticket) != 1 ||
	    SSL_SESSION_has_ticket(ticket) != 1) {
		SSL_SESSION_free(ticket);
		return;
	}
	t->stack[t->n].session = ticket;
	t->stack[t->n].verified_ms = s->verified_ms;
	t->n++;
}

void
session_tickets_clear(struct session_tickets *t)
{
	while (t->n > 0)
		SSL_SESSION_free(t->stack[--t->n].session);
}

/* The alert that the peer has ended the session with; 0: that was not it. */
static int
received_alert(void)
{
	unsigned long e = ERR_peek_error();
	int reason = ERR_GET_REASON(e);

	if (ERR_GET_LIB(e) != ERR_LIB_SSL || reason <= SSL_AD_REASON_OFFSET)
		return 0;
	return reason - SSL_AD_REASON_OFFSET;
}

/*
 * True if the alert is about our certificate, or that there is none.  Before
 * TLS 1.3 there is no alert of its own for the latter.
 */
static bool
explain_client(const struct session *s, int alert, struct session_error *err)
{
	switch (alert) {
	case SSL_AD_HANDSHAKE_FAILURE:
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_ACCESS_DENIED:
	case SSL_AD_DECRYPT_ERROR:
	case SSL_AD_CERTIFICATE_REQUIRED:
		break;
	default:
		return false;
	}
	if (!s->asked)
		return false;
	err->phase = PHASE_HANDSHAKE;
	err->cause = CAUSE_CLIENT_CERT;
	if (s->shown)
		(void)snprintf(err->text, sizeof(err->text),
		    "the upstream does not accept ours: %s",
		    SSL_alert_desc_string_long(alert));
	else
		copy_text(err->text, "the upstream wants one, none is given");
	return true;
}

/* True if the certificate did not pass the verification. */
static bool
explain_verify(const struct session *s, struct session_error *err)
{
	long result = SSL_get_verify_result(s->ssl);

	err->phase = PHASE_VERIFY;
	err->cause = trust_cause(result);
	if (err->cause == CAUSE_NONE)
		return false;
	if (err->cause != CAUSE_EXPIRED ||
	    !trust_explain_time(SSL_get_peer_cert_chain(s->ssl), time(NULL),
		err->text, sizeof(err->text)))
		copy_text(err->text, X509_verify_cert_error_string(result));
	return true;
}

/* Finds out what libtls's handshake failure is called. */
static void
explain_failure(const struct session *s, const struct conf_upstream *conf,
    struct session_error *err)
{
	int alert = received_alert();

	if (explain_client(s, alert, err) ||
	    (!conf->pin_only && explain_verify(s, err)))
		return;
	if (alert == SSL_AD_PROTOCOL_VERSION)
		copy_text(
		    err->text, "it has no version of TLS that is allowed here");
	else
		copy_text(err->text, tls_error(s->tls));
	/* The name is what libtls checks when libssl is done. */
	if (SSL_is_init_finished(s->ssl) && !conf->pin_only) {
		err->phase = PHASE_VERIFY;
		err->cause = CAUSE_NAME;
	} else {
		err->phase = PHASE_HANDSHAKE;
		err->cause = CAUSE_TLS;
	}
}

/* True if there are no pins, or one of them matches. */
static bool
pins_are_right(const struct session *s, const struct conf_upstream *conf,
    struct session_error *err)
{
	uint8_t hash[CONF_PIN_LEN];
	char text[PIN_TEXT_MAX];

	if ((conf->npins == 0 && !conf->pin_only) || pins_match(conf, s->chain))
		return true;
	err->phase = PHASE_VERIFY;
	err->cause = CAUSE_PIN;
	copy_text(err->text, "no certificate matches a pin");
	if (s->chain != NULL && pins_hash(sk_X509_value(s->chain, 0), hash))
		(void)snprintf(err->text, sizeof(err->text),
		    "no certificate matches a pin; that of the upstream is %s",
		    pin_text(hash, text));
	return false;
}

int
session_handshake(struct session *s, const struct conf_upstream *conf,
    uint64_t now_ms, struct session_error *err)
{
	int r;

	/* A session that has not begun may have been moved. */
	SSL_set_cert_cb(s->ssl, on_asked, s);
	r = tls_handshake(s->tls);

	if (r == TLS_WANT_POLLIN || r == TLS_WANT_POLLOUT)
		return r;
	if (r != 0) {
		explain_failure(s, conf, err);
		return -1;
	}
	/* Only a session that passed what follows is ever saved. */
	if (session_resumed(s))
		return 0;
	s->verified_ms = now_ms;
	s->chain = pins_chain(s->ssl, conf->pin_only);
	return pins_are_right(s, conf, err) ? 0 : -1;
}

void
session_read_error(const struct session *s, struct session_error *err)
{
	if (explain_client(s, received_alert(), err))
		return;
	err->phase = PHASE_READ;
	err->cause = CAUSE_TLS;
	copy_text(err->text, tls_error(s->tls));
}

bool
session_resumed(const struct session *s)
{
	return SSL_session_reused(s->ssl) == 1;
}

void
session_goodbye(struct session *s)
{
	/* The socket is closed next, whatever this returns. */
	if (s->tls != NULL)
		(void)tls_close(s->tls);
}

void
session_close(struct session *s)
{
	/*
	 * A session that ends without close_notify is forgotten by OpenSSL, as
	 * TLS 1.0 demanded; but most upstreams just close.  What ends by a
	 * fatal alert is forgotten anyhow.
	 */
	if (s->ssl != NULL)
		SSL_set_shutdown(
		    s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	tls_free(s->tls);
	pins_chain_free(s->chain);
	s->chain = NULL;
	s->tls = NULL;
	s->ssl = NULL;
	ERR_clear_error();
}
