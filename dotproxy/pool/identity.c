/* SPDX-License-Identifier: ISC */
/*
 * Client certificates and their keys, see identity.h.  Runs in the pool,
 * already confined: files come as descriptors.  A key must be nowhere but in
 * the EVP_PKEY: its text is wiped before anything else happens, and it must
 * never be asked for a password.
 */
#include "dotproxy/pool/identity.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

/* Reads all of fd into buf of IDENTITY_FILE_MAX bytes. */
static const char *
read_all(int fd, uint8_t *buf, size_t *len)
{
	ssize_t n;

	*len = 0;
	while (*len < IDENTITY_FILE_MAX) {
		n = read(fd, buf + *len, IDENTITY_FILE_MAX - *len);
		if (n == 0)
			return NULL;
		if (n > 0)
			*len += (size_t)n;
		else if (errno != EINTR)
			return strerror(errno);
	}
	return "too large";
}

/* Has the file parsed, and wipes it. */
static const char *
with_file(
    struct identity *id, int fd, const char *(*parse)(struct identity *, BIO *))
{
	uint8_t *buf = malloc(IDENTITY_FILE_MAX);
	const char *why;
	size_t len;
	BIO *bio;

	if (buf == NULL)
		return "out of memory";
	why = read_all(fd, buf, &len);
	bio = why == NULL ? BIO_new_mem_buf(buf, (int)len) : NULL;
	if (bio != NULL)
		why = parse(id, bio);
	else if (why == NULL)
		why = "out of memory";
	BIO_free(bio); /* has not copied anything */
	explicit_bzero(buf, IDENTITY_FILE_MAX);
	free(buf);
	ERR_clear_error();
	return why;
}

static const char *
parse_cert(struct identity *id, BIO *bio)
{
	X509 *x;

	id->cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	id->chain = sk_X509_new_null();
	if (id->cert == NULL || id->chain == NULL)
		return "no usable certificate";
	while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		if (sk_X509_push(id->chain, x) == 0) {
			X509_free(x);
			return "out of memory";
		}
	return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE
		   ? NULL
		   : "a certificate in it is not readable";
}

/* Makes a key of one PEM block. */
static const char *
take_key(struct identity *id, const char *name, const char *header,
    const unsigned char *der, long len)
{
	if (strcmp(name, "ENCRYPTED PRIVATE KEY") == 0 ||
	    strstr(header, "ENCRYPTED") != NULL)
		return "the key is encrypted";
	id->key = d2i_AutoPrivateKey(NULL, &der, len);
	if (id->key == NULL)
		return "no usable private key";
	return X509_check_private_key(id->cert, id->key) == 1
		   ? NULL
		   : "the key does not belong to the certificate";
}

/* There may be other blocks before the key, parameters of a curve mostly. */
static const char *
parse_key(struct identity *id, BIO *bio)
{
	const char *why = "no usable private key";
	char *name, *header;
	unsigned char *der;
	bool found = false;
	long len;

	while (!found && PEM_read_bio_ex(bio, &name, &header, &der, &len,
			     PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE) == 1) {
		found = strstr(name, "PRIVATE KEY") != NULL;
		if (found)
			why = take_key(id, name, header, der, len);
		OPENSSL_secure_free(name);
		OPENSSL_secure_free(header);
		OPENSSL_secure_clear_free(der, (size_t)len);
	}
	return why;
}

const char *
identity_load_cert(struct identity *id, int fd)
{
	return with_file(id, fd, parse_cert);
}

const char *
identity_load_key(struct identity *id, int fd)
{
	return with_file(id, fd, parse_key);
}

bool
identity_is_current(const struct identity *id)
{
	return X509_cmp_current_time(X509_get0_notBefore(id->cert)) < 0 &&
	       X509_cmp_current_time(X509_get0_notAfter(id->cert)) > 0;
}

bool
identity_use(const struct identity *id, SSL *ssl)
{
	return SSL_use_certificate(ssl, id->cert) == 1 &&
	       SSL_use_PrivateKey(ssl, id->key) == 1 &&
	       SSL_set1_chain(ssl, id->chain) == 1;
}

void
identity_clear(struct identity *id)
{
	X509_free(id->cert);
	sk_X509_pop_free(id->chain, X509_free);
	EVP_PKEY_free(id->key);
	memset(id, 0, sizeof(*id));
}
