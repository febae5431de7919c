/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/*
 * What a session offers, and what it makes of a statement about the
 * certificate, stapled to it (RFC 6066 8).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ocsp.h>

#include "tests/unit/pool_rig.h"

/* The authority's word for it, for a day. */
static unsigned char *
make_statement(X509 *leaf, int status, int *len)
{
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(NULL, leaf, rig.ca);
	ASN1_TIME *now = X509_gmtime_adj(NULL, -60);
	ASN1_TIME *next = X509_gmtime_adj(NULL, RIG_DAY);
	OCSP_RESPONSE *response;
	unsigned char *der = NULL;

	assert_non_null(OCSP_basic_add1_status(basic, id, status, 0,
	    status == V_OCSP_CERTSTATUS_REVOKED ? now : NULL, now, next));
	assert_int_equal(
	    OCSP_basic_sign(basic, rig.ca, rig.ca_key, EVP_sha256(), NULL, 0),
	    1);
	response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	*len = i2d_OCSP_RESPONSE(response, &der);
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
	return der;
}

static int
staple(SSL *ssl, void *arg)
{
	const int *status = arg;
	unsigned char *der;
	int len;

	der = make_statement(SSL_get_certificate(ssl), *status, &len);
	assert_true(len > 0);
	SSL_set_tlsext_status_ocsp_resp(ssl, der, len); /* owns it */
	return SSL_TLSEXT_ERR_OK;
}

/* The certificate says where there are statements: libtls has none else. */
static void
use_leaf_with_url(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = rig_certificate(key, "dot.test", false, -RIG_DAY, RIG_DAY);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(
	    NULL, NULL, NID_info_access, "OCSP;URI:http://ocsp.test/");

	assert_int_equal(X509_add_ext(x, ext, -1), 1);
	assert_true(X509_sign(x, rig.ca_key, EVP_sha256()) > 0);
	SSL_CTX_free(rig.tls);
	rig.tls = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(rig.tls, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(rig.tls, key), 1);
	X509_EXTENSION_free(ext);
	X509_free(x);
	EVP_PKEY_free(key);
}

/* In a file with other authorities before it, as in all there are. */
static void
use_second_of_two_authorities(void)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p;
	long len;

	PEM_write_bio_X509(bio, rig.ca);
	rig_new_ca();
	PEM_write_bio_X509(bio, rig.ca);
	use_leaf_with_url();
	len = BIO_get_mem_data(bio, &p);
	close(rig.ca_fd);
	rig.ca_fd = rig_file(p, (size_t)len);
	BIO_free(bio);
}

static void
test_stapled_statement_of_any_authority_is_believed(void **state)
{
	int status = V_OCSP_CERTSTATUS_GOOD;

	(void)state;
	use_second_of_two_authorities();
	SSL_CTX_set_tlsext_status_cb(rig.tls, staple);
	SSL_CTX_set_tlsext_status_arg(rig.tls, &status);
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
}

static void
test_certificate_that_is_revoked_is_refused(void **state)
{
	int status = V_OCSP_CERTSTATUS_REVOKED;

	(void)state;
	use_second_of_two_authorities();
	SSL_CTX_set_tlsext_status_cb(rig.tls, staple);
	SSL_CTX_set_tlsext_status_arg(rig.tls, &status);
	rig.conf.forward.query_timeout_ms = 300;
	rig_configure();
	rig_ask(1);
	RIG_UNTIL(rig_reply(1) != NULL);
	assert_true(rig_reply(1)->failed);
	assert_int_equal(rig_up(0)->n.opened, 0);
}

/* An upstream of TLS 1.2 with an RSA key, that has these ciphers only. */
static void
use_rsa(const char *ciphers)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	X509 *x = rig_certificate(key, "dot.test", false, -RIG_DAY, RIG_DAY);

	SSL_CTX_free(rig.tls);
	rig.tls = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(rig.tls, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(rig.tls, key), 1);
	X509_free(x);
	EVP_PKEY_free(key);
	SSL_CTX_set_max_proto_version(rig.tls, TLS1_2_VERSION);
	SSL_CTX_set_dh_auto(rig.tls, 1);
	assert_int_equal(SSL_CTX_set_cipher_list(rig.tls, ciphers), 1);
}

static void
expect_none(const char *ciphers)
{
	use_rsa(ciphers);
	rig.conf.forward.query_timeout_ms = 300;
	rig_configure();
	rig_ask(1);
	RIG_UNTIL(rig_failed(1, CAUSE_TLS));
	assert_int_equal(rig_up(0)->n.opened, 0);
}

/* The upstream would choose the group, of up to 10,000 bits. */
static void
test_finite_fields_are_not_offered(void **state)
{
	(void)state;
	expect_none("DHE");
}

static void
test_rsa_key_transport_is_not_offered(void **state)
{
	(void)state;
	expect_none("kRSA");
}

static void
test_cbc_is_not_offered(void **state)
{
	(void)state;
	expect_none("ECDHE:!AESGCM:!CHACHA20:!AESCCM:!ARIA:!eNULL");
}

static void
test_elliptic_curves_and_aead_are_offered(void **state)
{
	(void)state;
	use_rsa("ECDHE+CHACHA20:ECDHE+AESGCM");
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
}

static void
test_any_cipher_is_offered_if_it_is_named(void **state)
{
	(void)state;
	use_rsa("DHE");
	(void)snprintf(rig.ups[0].conf.ciphers, CONF_CIPHERS_MAX, "%s",
	    "DHE-RSA-AES256-GCM-SHA384");
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
	assert_string_equal(SSL_get_cipher_name(rig_peer(1, 0)->ssl),
	    "DHE-RSA-AES256-GCM-SHA384");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_stapled_statement_of_any_authority_is_believed),
		RIG_TEST(test_certificate_that_is_revoked_is_refused),
		RIG_TEST(test_finite_fields_are_not_offered),
		RIG_TEST(test_rsa_key_transport_is_not_offered),
		RIG_TEST(test_cbc_is_not_offered),
		RIG_TEST(test_elliptic_curves_and_aead_are_offered),
		RIG_TEST(test_any_cipher_is_offered_if_it_is_named),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
