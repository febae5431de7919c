/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* Whom a session trusts, and what it says when it does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_rig.h"

/*
 * The upstream as configured and certified must not be used: not a byte of a
 * query reaches it, and the query fails with the cause.
 */
static void
expect_refusal(enum msg_cause cause, enum info_phase phase, const char *text)
{
	size_t i;

	rig.conf.forward.query_timeout_ms = 300;
	rig_configure();
	rig_ask(1);
	RIG_UNTIL(rig_failed(1, cause));
	assert_int_equal(rig_reply(1)->failure.upstream, 0);
	assert_true(rig_up(0)->n.failures[phase] > 0);
	assert_int_equal(rig_up(0)->n.opened, 0);
	assert_int_equal(rig_up(0)->n.queries, 0);
	assert_int_equal(rig_up(0)->fault.cause, cause);
	assert_int_equal(rig_up(0)->tickets.n, 0);
	if (strstr(rig.log, text) == NULL)
		fail_msg("\"%s\" not in: %s", text, rig.log);
	assert_non_null(strstr(rig.log, "upstream \"up1\" (127.0.0.1:"));
	for (i = 0; i < rig.npeers; i++)
		assert_int_equal(rig.peers[i]->ngot, 0);
}

static void
test_wrong_name(void **state)
{
	(void)state;
	rig_leaf("other.test", -RIG_DAY, RIG_DAY);
	expect_refusal(CAUSE_NAME, PHASE_VERIFY, "): name: ");
}

static void
test_expired(void **state)
{
	(void)state;
	rig_leaf("dot.test", -RIG_DAY, -3600);
	expect_refusal(CAUSE_EXPIRED, PHASE_VERIFY,
	    "): expiry: certificate has expired on 2");
}

static void
test_not_yet_valid(void **state)
{
	(void)state;
	rig_leaf("dot.test", 3600, RIG_DAY);
	expect_refusal(CAUSE_EXPIRED, PHASE_VERIFY,
	    "expiry: certificate is not valid before 2");
	assert_non_null(strstr(rig.log, " UTC, the clock says 2"));
	assert_non_null(strstr(rig.log, " UTC: is it right?"));
}

static void
test_unknown_authority(void **state)
{
	(void)state;
	rig_new_ca(); /* the pool has the old one */
	rig_leaf("dot.test", -RIG_DAY, RIG_DAY);
	expect_refusal(CAUSE_UNTRUSTED, PHASE_VERIFY, "): chain: unable");
}

/* What the pool gives libtls as its CA must not be what decides. */
static void
test_any_certificate_of_the_file_will_do(void **state)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p;
	long len;

	(void)state;
	PEM_write_bio_X509(bio, rig.ca);
	rig_new_ca();
	PEM_write_bio_X509(bio, rig.ca);
	rig_leaf("dot.test", -RIG_DAY, RIG_DAY);
	len = BIO_get_mem_data(bio, &p);
	close(rig.ca_fd);
	rig.ca_fd = rig_file(p, (size_t)len);
	BIO_free(bio);
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
}

static void
test_no_tls_1_1(void **state)
{
	(void)state;
	SSL_CTX_set_security_level(rig.tls, 0);
	SSL_CTX_set_min_proto_version(rig.tls, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(rig.tls, TLS1_1_VERSION);
	expect_refusal(CAUSE_TLS, PHASE_HANDSHAKE, "handshake: ");
}

static void
test_tls_1_2(void **state)
{
	(void)state;
	SSL_CTX_set_max_proto_version(rig.tls, TLS1_2_VERSION);
	rig_configure();
	rig_ask(1);
	RIG_UNTIL(rig_peer(1, 0) != NULL && rig_peer(1, 0)->ngot == 1);
	assert_string_equal(SSL_get_version(rig_peer(1, 0)->ssl), "TLSv1.2");
	peer_answer(rig_peer(1, 0), 0);
	RIG_UNTIL(rig_answered(1));
}

static void
test_no_tls_at_all(void **state)
{
	int fd;

	(void)state;
	rig.manual = true;
	rig_configure();
	RIG_UNTIL(rig.ndials == 1);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, rig.last_request, rig_connect()));
	fd = accept(rig.fd, NULL, NULL);
	assert_int_equal(write(fd, "220 mail.test ESMTP\r\n", 21), 21);
	RIG_UNTIL(rig_up(0)->n.failures[PHASE_HANDSHAKE] == 1);
	assert_int_equal(rig_up(0)->fault.cause, CAUSE_TLS);
	close(fd);
}

static void
pin_upstream(const uint8_t pin[CONF_PIN_LEN])
{
	struct conf_upstream *conf = &rig.ups[0].conf;

	memcpy(conf->pins[conf->npins++], pin, CONF_PIN_LEN);
}

static void
test_pin_of_the_leaf(void **state)
{
	static const uint8_t other[CONF_PIN_LEN] = { 1 };

	(void)state;
	pin_upstream(other);
	pin_upstream(rig.pin);
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
}

static void
test_pin_of_the_authority(void **state)
{
	(void)state;
	pin_upstream(rig.ca_pin);
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
}

static void
test_wrong_pin(void **state)
{
	static const uint8_t other[CONF_PIN_LEN] = { 1 };

	(void)state;
	pin_upstream(other);
	expect_refusal(CAUSE_PIN, PHASE_VERIFY,
	    "): pin: no certificate matches a pin; that of the "
	    "upstream is sha256/");
}

/* A certificate that is merely sent along proves nothing. */
static void
test_pin_of_what_is_sent_along(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = rig_certificate(key, "pinned.test", false, 0, RIG_DAY);
	uint8_t pin[CONF_PIN_LEN];

	(void)state;
	rig_pin(x, pin);
	pin_upstream(pin);
	assert_int_equal(SSL_CTX_add1_chain_cert(rig.tls, x), 1);
	X509_free(x);
	EVP_PKEY_free(key);
	expect_refusal(CAUSE_PIN, PHASE_VERIFY, "no certificate matches");
}

static void
test_pin_does_not_replace_the_authority(void **state)
{
	(void)state;
	rig_new_ca();
	rig_leaf("dot.test", -RIG_DAY, RIG_DAY);
	pin_upstream(rig.pin);
	expect_refusal(CAUSE_UNTRUSTED, PHASE_VERIFY, "chain: ");
}

static int
take_dot(SSL *ssl, const unsigned char **out, unsigned char *outlen,
    const unsigned char *in, unsigned int inlen, void *arg)
{
	(void)ssl;
	assert_int_equal(inlen, 4);
	assert_memory_equal(in, "\3dot", 4);
	*(bool *)arg = true;
	*out = in + 1;
	*outlen = 3;
	return SSL_TLSEXT_ERR_OK;
}

static void
test_alpn_and_name_are_sent(void **state)
{
	bool asked = false;

	(void)state;
	SSL_CTX_set_alpn_select_cb(rig.tls, take_dot, &asked);
	rig_configure();
	RIG_UNTIL(rig_peer(1, 0) != NULL);
	assert_true(asked);
	assert_string_equal(
	    SSL_get_servername(rig_peer(1, 0)->ssl, TLSEXT_NAMETYPE_host_name),
	    "dot.test");
}

/* Without a server name the certificate has to be for the address. */
static void
test_address_instead_of_a_name(void **state)
{
	(void)state;
	memset(rig.ups[0].conf.server_name, 0, CONF_HOST_MAX);
	expect_refusal(CAUSE_NAME, PHASE_VERIFY, "name: ");
}

static void
pin_only(const uint8_t pin[CONF_PIN_LEN])
{
	pin_upstream(pin);
	rig.ups[0].conf.pin_only = true;
	rig.ups[0].ca = MSG_NO_CA;
	rig.nups = 1;
}

/* Neither who has signed, nor the name, nor the time matters then. */
static void
test_pin_only(void **state)
{
	(void)state;
	rig_new_ca();
	rig_leaf("other.test", -RIG_DAY, -3600);
	pin_only(rig.pin);
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
	assert_string_equal(
	    SSL_get_servername(rig_peer(1, 0)->ssl, TLSEXT_NAMETYPE_host_name),
	    "dot.test");
}

/* All else is right, and does not help. */
static void
test_pin_only_and_another_pin(void **state)
{
	static const uint8_t other[CONF_PIN_LEN] = { 1 };

	(void)state;
	pin_only(other);
	expect_refusal(CAUSE_PIN, PHASE_VERIFY, "pin: no certificate matches");
}

/* Anybody can send along what is pinned, even if it has signed the leaf. */
static void
test_pin_only_of_the_authority(void **state)
{
	(void)state;
	pin_only(rig.ca_pin);
	assert_int_equal(SSL_CTX_add1_chain_cert(rig.tls, rig.ca), 1);
	expect_refusal(CAUSE_PIN, PHASE_VERIFY, "pin: no certificate matches");
}

static void
test_pin_only_of_what_is_sent_along(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = rig_certificate(key, "dot.test", false, 0, RIG_DAY);
	uint8_t pin[CONF_PIN_LEN];

	(void)state;
	rig_pin(x, pin);
	pin_only(pin);
	assert_int_equal(SSL_CTX_add1_chain_cert(rig.tls, x), 1);
	X509_free(x);
	EVP_PKEY_free(key);
	expect_refusal(CAUSE_PIN, PHASE_VERIFY, "pin: no certificate matches");
}

static void
test_tls_1_3_is_required(void **state)
{
	(void)state;
	rig.ups[0].conf.tls_min = CONF_TLS_1_3;
	SSL_CTX_set_max_proto_version(rig.tls, TLS1_2_VERSION);
	expect_refusal(CAUSE_TLS, PHASE_HANDSHAKE,
	    "handshake: it has no version of TLS that is allowed here");
}

static void
use_ciphers(const char *names)
{
	(void)snprintf(rig.ups[0].conf.ciphers, CONF_CIPHERS_MAX, "%s", names);
}

static void
expect_cipher(const char *names, const char *got)
{
	use_ciphers(names);
	rig_configure();
	RIG_UNTIL(rig_peer(1, 0) != NULL);
	assert_string_equal(SSL_get_cipher_name(rig_peer(1, 0)->ssl), got);
}

static void
test_cipher_of_tls_1_3(void **state)
{
	(void)state;
	expect_cipher("TLS_CHACHA20_POLY1305_SHA256:"
		      "ECDHE-ECDSA-AES128-GCM-SHA256",
	    "TLS_CHACHA20_POLY1305_SHA256");
}

/* No cipher of TLS 1.3 is named, so there is no TLS 1.3. */
static void
test_cipher_of_tls_1_2(void **state)
{
	(void)state;
	expect_cipher(
	    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256");
}

static void
test_no_version_without_a_cipher(void **state)
{
	(void)state;
	SSL_CTX_set_max_proto_version(rig.tls, TLS1_2_VERSION);
	use_ciphers("TLS_AES_128_GCM_SHA256");
	expect_refusal(CAUSE_TLS, PHASE_HANDSHAKE, "handshake: ");
}

static void
test_no_cipher_in_common(void **state)
{
	(void)state;
	assert_int_equal(
	    SSL_CTX_set_ciphersuites(rig.tls, "TLS_AES_256_GCM_SHA384"), 1);
	use_ciphers("TLS_AES_128_GCM_SHA256");
	expect_refusal(CAUSE_TLS, PHASE_HANDSHAKE, "handshake: ");
}

static int
take_another(SSL *ssl, const unsigned char **out, unsigned char *outlen,
    const unsigned char *in, unsigned int inlen, void *arg)
{
	(void)ssl;
	(void)in;
	(void)inlen;
	(void)arg;
	*out = (const unsigned char *)"h2";
	*outlen = 2;
	return SSL_TLSEXT_ERR_OK;
}

static int
take_nothing(SSL *ssl, const unsigned char **out, unsigned char *outlen,
    const unsigned char *in, unsigned int inlen, void *arg)
{
	(void)ssl;
	(void)out;
	(void)outlen;
	(void)in;
	(void)inlen;
	return *(const int *)arg;
}

static void
test_another_protocol_is_refused(void **state)
{
	(void)state;
	SSL_CTX_set_alpn_select_cb(rig.tls, take_another, NULL);
	expect_refusal(CAUSE_TLS, PHASE_HANDSHAKE, "handshake: ");
}

static void
test_no_protocol_will_do(void **state)
{
	static int answer = SSL_TLSEXT_ERR_NOACK;

	(void)state;
	SSL_CTX_set_alpn_select_cb(rig.tls, take_nothing, &answer);
	rig_configure();
	RIG_UNTIL(rig_up(0)->nready == 1);
}

static void
test_protocol_refused_by_the_upstream(void **state)
{
	static int answer = SSL_TLSEXT_ERR_ALERT_FATAL;

	(void)state;
	SSL_CTX_set_alpn_select_cb(rig.tls, take_nothing, &answer);
	expect_refusal(CAUSE_TLS, PHASE_HANDSHAKE, "no application protocol");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_wrong_name),
		RIG_TEST(test_expired),
		RIG_TEST(test_not_yet_valid),
		RIG_TEST(test_unknown_authority),
		RIG_TEST(test_any_certificate_of_the_file_will_do),
		RIG_TEST(test_no_tls_1_1),
		RIG_TEST(test_tls_1_2),
		RIG_TEST(test_no_tls_at_all),
		RIG_TEST(test_pin_of_the_leaf),
		RIG_TEST(test_pin_of_the_authority),
		RIG_TEST(test_wrong_pin),
		RIG_TEST(test_pin_of_what_is_sent_along),
		RIG_TEST(test_pin_does_not_replace_the_authority),
		RIG_TEST(test_alpn_and_name_are_sent),
		RIG_TEST(test_address_instead_of_a_name),
		RIG_TEST(test_pin_only),
		RIG_TEST(test_pin_only_and_another_pin),
		RIG_TEST(test_pin_only_of_the_authority),
		RIG_TEST(test_pin_only_of_what_is_sent_along),
		RIG_TEST(test_tls_1_3_is_required),
		RIG_TEST(test_cipher_of_tls_1_3),
		RIG_TEST(test_cipher_of_tls_1_2),
		RIG_TEST(test_no_version_without_a_cipher),
		RIG_TEST(test_no_cipher_in_common),
		RIG_TEST(test_another_protocol_is_refused),
		RIG_TEST(test_no_protocol_will_do),
		RIG_TEST(test_protocol_refused_by_the_upstream),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
