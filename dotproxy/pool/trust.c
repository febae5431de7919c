/* SPDX-License-Identifier: ISC */
/*
 * CA files and verification results, see trust.h.  Runs in the pool,
 * already confined: the file comes as a descriptor.  It must never make a
 * connection trusted; it only says what there is to trust.
 */
#include "dotproxy/pool/trust.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#define READ_STEP ((size_t)256 * 1024)

/* Reads all of fd; returns malloc'd bytes or NULL with *why. */
static uint8_t *
read_file(int fd, size_t *len, const char **why)
{
	uint8_t *buf = NULL, *bigger;
	size_t cap = 0;
	ssize_t n;

	*len = 0;
	for (;;) {
		if (*len == cap) {
			cap = cap == 0 ? READ_STEP : cap * 2;
			bigger = realloc(buf, cap);
			if (bigger == NULL) {
				*why = "out of memory";
				goto fail;
			}
			buf = bigger;
		}
		n = read(fd, buf + *len, cap - *len);
		if (n == 0)
			return buf;
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			*why = strerror(errno);
			goto fail;
		}
		*len += (size_t)n;
		if (*len > TRUST_FILE_MAX) {
			*why = "too large";
			goto fail;
		}
	}
fail:
	free(buf);
	return NULL;
}

/* Keeps one certificate as PEM, for libtls. */
static bool
set_anchor(struct trust *t, X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p;
	long len;

	if (bio == NULL || PEM_write_bio_X509(bio, cert) != 1 ||
	    (len = BIO_get_mem_data(bio, &p)) <= 0 ||
	    (t->anchor = malloc((size_t)len)) == NULL) {
		BIO_free(bio);
		return false;
	}
	memcpy(t->anchor, p, (size_t)len);
	t->anchor_len = (size_t)len;
	BIO_free(bio);
	return true;
}

/* True if the last error means that no more PEM blocks follow. */
static bool
at_end(void)
{
	unsigned long e = ERR_peek_last_error();

	return ERR_GET_LIB(e) == ERR_LIB_PEM &&
	       ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

static const char *
add_certificates(struct trust *t, BIO *bio, size_t *bad)
{
	const char *why = NULL;
	X509 *cert;
	bool ended = false;

	*bad = 0;
	while (!ended && why == NULL) {
		ERR_clear_error();
		cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		if (cert == NULL) {
			ended = at_end() || BIO_eof(bio);
			*bad += !at_end();
			continue;
		}
		if (X509_STORE_add_cert(t->store, cert) != 1)
			(*bad)++;
		else if (t->anchor == NULL && !set_anchor(t, cert))
			why = "out of memory";
		X509_free(cert);
	}
	ERR_clear_error();
	if (why == NULL && t->anchor == NULL)
		why = "no usable certificate";
	return why;
}

struct trust *
trust_parse(const uint8_t *pem, size_t len, size_t *bad, const char **why)
{
	struct trust *t;
	BIO *bio;

	*bad = 0;
	if (len > TRUST_FILE_MAX) {
		*why = "too large";
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	bio = BIO_new_mem_buf(len > 0 ? (const char *)pem : "", (int)len);
	if (t != NULL) {
		t->refs = 1;
		t->store = X509_STORE_new();
	}
	if (t == NULL || bio == NULL || t->store == NULL)
		*why = "out of memory";
	else
		*why = add_certificates(t, bio, bad);
	BIO_free(bio);
	if (*why == NULL)
		return t;
	trust_unref(t);
	return NULL;
}

struct trust *
trust_load(int fd, size_t *bad, const char **why)
{
	struct trust *t;
	uint8_t *pem;
	size_t len;

	*bad = 0;
	pem = read_file(fd, &len, why);
	if (pem == NULL)
		return NULL;
	t = trust_parse(pem, len, bad, why);
	free(pem);
	return t;
}

struct trust *
trust_ref(struct trust *t)
{
	t->refs++;
	return t;
}

void
trust_unref(struct trust *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	X509_STORE_free(t->store);
	free(t->anchor);
	free(t);
}

enum msg_cause
trust_cause(long result)
{
	switch (result) {
	case X509_V_OK:
		return CAUSE_NONE;
	case X509_V_ERR_CERT_NOT_YET_VALID:
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
	case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
		return CAUSE_EXPIRED;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return CAUSE_NAME;
	default:
		return CAUSE_UNTRUSTED;
	}
}

static void
put_time(char text[32], const ASN1_TIME *t)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1 ||
	    strftime(text, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		(void)snprintf(text, 32, "an unknown time");
}

/* True if what it says of its time, late or not, rules it out now. */
static bool
is_outside(const X509 *x, time_t now, bool *late)
{
	*late = X509_cmp_time(X509_get0_notAfter(x), &now) < 0;
	return *late || X509_cmp_time(X509_get0_notBefore(x), &now) > 0;
}

bool
trust_explain_time(
    const STACK_OF(X509) * sent, time_t now, char *text, size_t size)
{
	char limit[32], clock[32] = "an unknown time";
	const X509 *x = NULL;
	bool late = false;
	struct tm tm;
	int i;

	for (i = 0; sent != NULL && i < sk_X509_num(sent); i++) {
		x = sk_X509_value(sent, i);
		if (is_outside(x, now, &late))
			break;
	}
	if (sent == NULL || i == sk_X509_num(sent))
		return false;
	put_time(limit, late ? X509_get0_notAfter(x) : X509_get0_notBefore(x));
	if (gmtime_r(&now, &tm) != NULL)
		(void)strftime(
		    clock, sizeof(clock), "%Y-%m-%d %H:%M:%S UTC", &tm);
	(void)snprintf(text, size, "%s %s, the clock says %s%s",
	    late ? "certificate has expired on"
		 : "certificate is not valid before",
	    limit, clock,
	    !late || now < TRUST_CLOCK_MIN ? ": is it right?" : "");
	return true;
}
