/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/pool/trust.c */
/* LIBS: -lssl -lcrypto */
/* CA files, good and bad, and what verification results are called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "dotproxy/pool/trust.h"

/* A self-signed certificate as PEM, the caller's. */
static char *
make_pem(const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *p, *pem;
	long len;

	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	    (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	PEM_write_bio_X509(bio, x);
	len = BIO_get_mem_data(bio, &p);
	pem = strndup(p, (size_t)len);
	BIO_free(bio);
	X509_free(x);
	EVP_PKEY_free(key);
	return pem;
}

static size_t
count_certificates(const struct trust *t)
{
	return (size_t)sk_X509_OBJECT_num(X509_STORE_get0_objects(t->store));
}

static struct trust *
parse(const char *text, size_t *bad, const char **why)
{
	return trust_parse((const uint8_t *)text, strlen(text), bad, why);
}

static void
test_bundle_with_text_between(void **state)
{
	char *a = make_pem("a"), *b = make_pem("b"), text[8192];
	struct trust *t;
	const char *why;
	size_t bad;

	(void)state;
	(void)snprintf(text, sizeof(text), "# comment\n%s\nb:\n%s\n", a, b);
	t = parse(text, &bad, &why);
	assert_non_null(t);
	assert_int_equal(bad, 0);
	assert_int_equal(count_certificates(t), 2);
	/* One of them, as libtls takes it. */
	assert_int_equal(t->anchor_len, strlen(a));
	assert_memory_equal(t->anchor, a, t->anchor_len);
	trust_unref(t);
	free(a);
	free(b);
}

static void
test_bad_certificates_are_skipped(void **state)
{
	char *a = make_pem("a"), *b = make_pem("b"), text[8192];
	struct trust *t;
	const char *why;
	size_t bad;

	(void)state;
	(void)snprintf(text, sizeof(text),
	    "-----BEGIN CERTIFICATE-----\nAAAA\n"
	    "-----END CERTIFICATE-----\n%s"
	    "-----BEGIN CERTIFICATE-----\n!!!!\n"
	    "-----END CERTIFICATE-----\n%s",
	    a, b);
	t = parse(text, &bad, &why);
	assert_non_null(t);
	assert_int_equal(bad, 2);
	assert_int_equal(count_certificates(t), 2);
	trust_unref(t);
	free(a);
	free(b);
}

static void
test_the_same_one_twice_is_one(void **state)
{
	char *a = make_pem("a"), text[8192];
	struct trust *t;
	const char *why;
	size_t bad;

	(void)state;
	(void)snprintf(text, sizeof(text), "%s%s", a, a);
	t = parse(text, &bad, &why);
	assert_non_null(t);
	assert_int_equal(bad, 0);
	assert_int_equal(count_certificates(t), 1);
	trust_unref(t);
	free(a);
}

static void
test_files_without_certificates(void **state)
{
	static const char *const texts[] = {
		"", "\n", "hello\n", "-----BEGIN CERTIFICATE-----\n",
		"-----BEGIN CERTIFICATE-----\nAAAA\n",
		"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
		"-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n"
	};
	const char *why;
	size_t i, bad;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		why = NULL;
		assert_null(parse(texts[i], &bad, &why));
		assert_string_equal(why, "no usable certificate");
	}
}

static void
test_cut_anywhere(void **state)
{
	char *a = make_pem("a");
	size_t n = strlen(a), i, bad;
	struct trust *t;
	const char *why;

	(void)state;
	for (i = 0; i < n - 1; i++) {
		t = trust_parse((const uint8_t *)a, i, &bad, &why);
		/* The last line may lack its end. */
		assert_true(t == NULL || i > n - 8);
		trust_unref(t);
	}
	free(a);
}

static void
test_load_from_a_descriptor(void **state)
{
	char *a = make_pem("a");
	int fd = memfd_create("ca", 0);
	struct trust *t;
	const char *why;
	size_t bad, i;

	(void)state;
	/* Long enough to need several reads. */
	for (i = 0; i < 40000; i++)
		assert_int_equal(write(fd, "# padding line\n", 15), 15);
	assert_int_equal(write(fd, a, strlen(a)), strlen(a));
	lseek(fd, 0, SEEK_SET);
	t = trust_load(fd, &bad, &why);
	assert_non_null(t);
	assert_int_equal(count_certificates(t), 1);
	trust_unref(t);
	close(fd);
	assert_null(trust_load(fd, &bad, &why));
	assert_string_equal(why, "Bad file descriptor");
	free(a);
}

static void
test_file_without_end(void **state)
{
	int fd = memfd_create("ca", 0);
	const char *why;
	size_t bad;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)TRUST_FILE_MAX + 1), 0);
	assert_null(trust_load(fd, &bad, &why));
	assert_string_equal(why, "too large");
	close(fd);
}

static void
test_causes(void **state)
{
	(void)state;
	assert_int_equal(trust_cause(X509_V_OK), CAUSE_NONE);
	assert_int_equal(
	    trust_cause(X509_V_ERR_CERT_HAS_EXPIRED), CAUSE_EXPIRED);
	assert_int_equal(
	    trust_cause(X509_V_ERR_CERT_NOT_YET_VALID), CAUSE_EXPIRED);
	assert_int_equal(trust_cause(X509_V_ERR_HOSTNAME_MISMATCH), CAUSE_NAME);
	assert_int_equal(trust_cause(X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT),
	    CAUSE_UNTRUSTED);
	assert_int_equal(
	    trust_cause(X509_V_ERR_INVALID_PURPOSE), CAUSE_UNTRUSTED);
	assert_int_equal(trust_cause(123456), CAUSE_UNTRUSTED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bundle_with_text_between),
		cmocka_unit_test(test_bad_certificates_are_skipped),
		cmocka_unit_test(test_the_same_one_twice_is_one),
		cmocka_unit_test(test_files_without_certificates),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_load_from_a_descriptor),
		cmocka_unit_test(test_file_without_end),
		cmocka_unit_test(test_causes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
