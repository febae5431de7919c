/* SPDX-License-Identifier: ISC */
/*
 * TLS sessions, see session.h.  Runs in the pool.  No byte of a query may be
 * written to a session before session_handshake() has returned 0, and no
 * verification is ever switched off.
 */
#include "dotproxy/pool/session.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/rand.h>

#include "common/log.h"

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

struct tls_config *
session_config_new(const struct trust *trust, char why[SESSION_TEXT_MAX])
{
	struct tls_config *cfg = tls_config_new();

	if (cfg == NULL) {
		copy_text(why, "out of memory");
		return NULL;
	}
	/* ALPN: upstreams behind a shared port need it; RFC 7858 does not. */
	if (tls_config_set_protocols(
		cfg, TLS_PROTOCOL_TLSv1_2 | TLS_PROTOCOL_TLSv1_3) == -1 ||
	    tls_config_set_alpn(cfg, "dot") == -1 ||
	    tls_config_set_ca_mem(
		cfg, (const uint8_t *)trust->anchor, trust->anchor_len) == -1) {
		copy_text(why, tls_config_error(cfg));
		tls_config_free(cfg);
		return NULL;
	}
	return cfg;
}

int
session_start(struct session_env *env, struct session *s,
    struct tls_config *cfg, struct trust *trust, const char *name,
    tls_read_cb on_read, tls_write_cb on_write, void *arg,
    struct session_error *err)
{
	err->phase = PHASE_HANDSHAKE;
	err->cause = CAUSE_TLS;
	s->ssl = env->made = NULL;
	s->tls = tls_client();
	if (s->tls == NULL) {
		copy_text(err->text, "out of memory");
		return -1;
	}
	if (tls_configure(s->tls, cfg) == -1 ||
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
	if (SSL_set1_verify_cert_store(s->ssl, trust->store) != 1)
		fatalx("SSL_set1_verify_cert_store failed");
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

/* Finds out what libtls's handshake failure is called. */
static void
explain_failure(const struct session *s, struct session_error *err)
{
	long result = SSL_get_verify_result(s->ssl);

	err->phase = PHASE_VERIFY;
	err->cause = trust_cause(result);
	if (err->cause != CAUSE_NONE) {
		copy_text(err->text, X509_verify_cert_error_string(result));
		return;
	}
	/* The name is what libtls checks when libssl is done. */
	if (SSL_is_init_finished(s->ssl))
		err->cause = CAUSE_NAME;
	else {
		err->phase = PHASE_HANDSHAKE;
		err->cause = CAUSE_TLS;
	}
	copy_text(err->text, tls_error(s->tls));
}

int
session_handshake(struct session *s, const struct conf_upstream *conf,
    uint64_t now_ms, struct session_error *err)
{
	int r = tls_handshake(s->tls);

	if (r == TLS_WANT_POLLIN || r == TLS_WANT_POLLOUT)
		return r;
	if (r != 0) {
		explain_failure(s, err);
		return -1;
	}
	/* Only a session that passed what follows is ever saved. */
	if (session_resumed(s))
		return 0;
	s->verified_ms = now_ms;
	if (conf->npins > 0 &&
	    !trust_pin_matches(s->ssl, conf->pins, conf->npins)) {
		err->phase = PHASE_VERIFY;
		err->cause = CAUSE_PIN;
		copy_text(err->text, "no certificate matches a pin");
		return -1;
	}
	return 0;
}

void
session_error_text(const struct session *s, char text[SESSION_TEXT_MAX])
{
	copy_text(text, tls_error(s->tls));
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
	s->tls = NULL;
	s->ssl = NULL;
	ERR_clear_error();
}
