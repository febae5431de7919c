/* SPDX-License-Identifier: ISC */
/*
 * How TLS is spoken with an upstream: versions, ciphers, whom to believe and
 * who we are.  Runs in the pool, once a configuration.  Refuses what would
 * leave a connection without a peer that is known or without encryption.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "dotproxy/pool/session.h"

/*
 * For TLS 1.2, as RFC 9325 4.2 and all upstreams have them.  libtls over
 * OpenSSL would offer whatever is strong: RSA key transport, with which who has
 * recorded queries needs but the upstream's key to read them; and finite
 * fields, of which the upstream chooses the size: one of 10,000 bits takes most
 * of a second, in which the queries of other upstreams wait.
 */
#define CIPHERS_DEFAULT "ECDHE+AESGCM:ECDHE+CHACHA20"

/* The names of a list, apart: libtls takes none of TLS 1.3. */
struct names {
	char tls12[CONF_CIPHERS_MAX];
	char tls13[CONF_CIPHERS_MAX];
};

static void
append(char dst[CONF_CIPHERS_MAX], const char *name)
{
	size_t len = strlen(dst);

	(void)snprintf(dst + len, CONF_CIPHERS_MAX - len, "%s%s",
	    len > 0 ? ":" : "", name);
}

/* True if ssl offers this one, and it authenticates and encrypts. */
static bool
is_offered(SSL *ssl, const char *name)
{
	STACK_OF(SSL_CIPHER) *all = SSL_get1_supported_ciphers(ssl);
	const SSL_CIPHER *c;
	bool found = false;
	int i;

	for (i = 0; all != NULL && i < sk_SSL_CIPHER_num(all); i++) {
		c = sk_SSL_CIPHER_value(all, i);
		if (strcmp(SSL_CIPHER_get_name(c), name) == 0 &&
		    SSL_CIPHER_get_auth_nid(c) != NID_auth_null &&
		    SSL_CIPHER_get_cipher_nid(c) != NID_undef)
			found = true;
	}
	sk_SSL_CIPHER_free(all);
	return found;
}

/* True if the library has a cipher of just this name, and may use it. */
static bool
is_usable(SSL *ssl, const char *name)
{
	bool is13 = strncmp(name, "TLS_", 4) == 0, set;

	if (is13)
		set = SSL_set_ciphersuites(ssl, name) == 1;
	else
		set = SSL_set_ciphersuites(ssl, "") == 1 &&
		      SSL_set_cipher_list(ssl, name) == 1;
	return set && is_offered(ssl, name);
}

/* Tells the names apart and judges each; false with text in why. */
static bool
sort_names(const char *ciphers, struct names *n, char why[SESSION_TEXT_MAX])
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx != NULL ? SSL_new(ctx) : NULL;
	char list[CONF_CIPHERS_MAX], *rest = list, *name;
	bool ok = ssl != NULL;

	memset(n, 0, sizeof(*n));
	(void)snprintf(why, SESSION_TEXT_MAX, "out of memory");
	(void)snprintf(list, sizeof(list), "%s", ciphers);
	while (ok && (name = strsep(&rest, ":")) != NULL) {
		ok = is_usable(ssl, name);
		if (!ok)
			(void)snprintf(why, SESSION_TEXT_MAX,
			    "ciphers: \"%.100s\" cannot be used", name);
		append(
		    strncmp(name, "TLS_", 4) == 0 ? n->tls13 : n->tls12, name);
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

/* The versions allowed: one that no cipher is named for is none. */
static uint32_t
versions(const struct conf_upstream *conf, const struct names *n)
{
	uint32_t v = TLS_PROTOCOL_TLSv1_3;

	if (conf->tls_min == CONF_TLS_1_2)
		v |= TLS_PROTOCOL_TLSv1_2;
	if (conf->ciphers[0] == '\0')
		return v;
	if (n->tls12[0] == '\0')
		v &= ~(uint32_t)TLS_PROTOCOL_TLSv1_2;
	if (n->tls13[0] == '\0')
		v &= ~(uint32_t)TLS_PROTOCOL_TLSv1_3;
	return v;
}

/* What libtls can be told; false if it does not like it. */
static bool
configure(struct tls_config *tls, const struct conf_upstream *conf,
    const struct trust *trust, const struct names *n)
{
	/*
	 * ALPN: upstreams behind a shared port need it; RFC 7858 does not.
	 * libssl refuses a server that chooses what it was not offered.
	 */
	if (tls_config_set_protocols(tls, versions(conf, n)) == -1 ||
	    tls_config_set_alpn(tls, "dot") == -1)
		return false;
	if (tls_config_set_ciphers(
		tls, n->tls12[0] != '\0' ? n->tls12 : CIPHERS_DEFAULT) == -1)
		return false;
	if (trust != NULL)
		return tls_config_set_ca_mem(tls,
			   (const uint8_t *)trust->anchor,
			   trust->anchor_len) == 0;
	/* session_handshake() compares the pin of the leaf instead. */
	tls_config_insecure_noverifycert(tls);
	tls_config_insecure_noverifyname(tls);
	return true;
}

struct session_config *
session_config_new(const struct conf_upstream *conf, struct trust *trust,
    struct identity *identity, char why[SESSION_TEXT_MAX])
{
	struct session_config *cfg = calloc(1, sizeof(*cfg));
	struct names n = { "", "" };
	const char *error;

	(void)snprintf(why, SESSION_TEXT_MAX, "out of memory");
	if (cfg == NULL || (cfg->tls = tls_config_new()) == NULL)
		goto fail;
	if (conf->ciphers[0] != '\0' && !sort_names(conf->ciphers, &n, why))
		goto fail;
	if (versions(conf, &n) == 0) {
		(void)snprintf(why, SESSION_TEXT_MAX,
		    "ciphers: none of them is for TLS 1.3");
		goto fail;
	}
	if (!configure(cfg->tls, conf, trust, &n)) {
		/* Without memory libtls has no words for it, either. */
		error = tls_config_error(cfg->tls);
		if (error != NULL)
			(void)snprintf(why, SESSION_TEXT_MAX, "%s", error);
		goto fail;
	}
	memcpy(cfg->suites, n.tls13, sizeof(cfg->suites));
	if (trust != NULL)
		cfg->trust = trust_ref(trust);
	cfg->identity = *identity;
	memset(identity, 0, sizeof(*identity));
	return cfg;
fail:
	session_config_free(cfg);
	return NULL;
}

void
session_config_free(struct session_config *cfg)
{
	if (cfg == NULL)
		return;
	tls_config_free(cfg->tls);
	trust_unref(cfg->trust);
	identity_clear(&cfg->identity);
	free(cfg);
}
