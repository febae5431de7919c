/* SPDX-License-Identifier: ISC */
/*
 * Pins, see pins.h.  Runs in the pool.  It must never look at a certificate
 * which nothing vouches for: neither a verified chain, nor the handshake.
 */
#include "dotproxy/pool/pins.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

STACK_OF(X509) * pins_chain(const SSL *ssl, bool leaf_only)
{
	STACK_OF(X509) * chain;
	X509 *leaf;

	if (!leaf_only) {
		chain = SSL_get0_verified_chain(ssl);
		return chain != NULL ? X509_chain_up_ref(chain) : NULL;
	}
	leaf = SSL_get_peer_certificate(ssl); /* counted */
	chain = leaf != NULL ? sk_X509_new_null() : NULL;
	if (chain == NULL || sk_X509_push(chain, leaf) == 0) {
		X509_free(leaf);
		sk_X509_free(chain);
		return NULL;
	}
	return chain;
}

void
pins_chain_free(STACK_OF(X509) * chain)
{
	sk_X509_pop_free(chain, X509_free);
}

bool
pins_hash(const X509 *cert, uint8_t hash[CONF_PIN_LEN])
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

	if (len <= 0)
		return false;
	SHA256(der, (size_t)len, hash);
	OPENSSL_free(der);
	return true;
}

void
pins_subject(const X509 *cert, char *text, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n = 0;

	if (bio != NULL && X509_NAME_print_ex(bio, X509_get_subject_name(cert),
			       0, XN_FLAG_RFC2253) >= 0)
		n = BIO_read(bio, text, (int)size - 1);
	text[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
}

bool
pins_have(const struct conf_upstream *conf, const uint8_t hash[CONF_PIN_LEN])
{
	uint32_t i;

	for (i = 0; i < conf->npins; i++)
		if (memcmp(hash, conf->pins[i], CONF_PIN_LEN) == 0)
			return true;
	return false;
}

bool
pins_match(const struct conf_upstream *conf, const STACK_OF(X509) * chain)
{
	uint8_t hash[CONF_PIN_LEN];
	int i;

	for (i = 0; chain != NULL && i < sk_X509_num(chain); i++)
		if (pins_hash(sk_X509_value(chain, i), hash) &&
		    pins_have(conf, hash))
			return true;
	return false;
}
