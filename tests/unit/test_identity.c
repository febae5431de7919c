/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/pool/%.c */
/* LIBS: -levent_core -ltls -lssl -lcrypto */
/* Client certificates: what is read, what is shown, what is said of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_rig.h"

/* A client certificate by the CA of the rig, and its key, as PEM. */
struct client {
	char cert[4096];
	char key[4096];
};

static void
pem_of(BIO *bio, char text[4096])
{
	int n = BIO_read(bio, text, 4095);

	assert_true(n > 0);
	text[n] = '\0';
	BIO_free(bio);
}

static void
make_client(struct client *c, long from, long to)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = rig_certificate(key, "client.test", false, from, to);
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_X509(bio, x);
	pem_of(bio, c->cert);
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	pem_of(bio, c->key);
	X509_free(x);
	EVP_PKEY_free(key);
}

static const char *
load(struct identity *id, const char *cert, const char *key)
{
	int fd = rig_file(cert, strlen(cert));
	const char *why = identity_load_cert(id, fd);

	close(fd);
	if (why != NULL)
		return why;
	fd = rig_file(key, strlen(key));
	why = identity_load_key(id, fd);
	close(fd);
	return why;
}

static void
test_certificate_chain_and_key(void **state)
{
	struct identity id = { NULL, NULL, NULL };
	struct client c, other;
	char both[9000];

	(void)state;
	make_client(&c, -RIG_DAY, RIG_DAY);
	make_client(&other, -RIG_DAY, -3600);
	(void)snprintf(both, sizeof(both), "# me\n%s\n%s", c.cert, other.cert);
	assert_null(load(&id, both, c.key));
	assert_int_equal(sk_X509_num(id.chain), 1);
	assert_true(identity_is_current(&id));
	identity_clear(&id);
	assert_null(id.key);
	/* Some write the parameters of the curve first. */
	(void)snprintf(both, sizeof(both),
	    "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
	    "-----END EC PARAMETERS-----\n%s",
	    other.key);
	assert_null(load(&id, other.cert, both));
	assert_int_equal(sk_X509_num(id.chain), 0);
	assert_false(identity_is_current(&id));
	identity_clear(&id);
}

static void
test_files_that_are_no_good(void **state)
{
	static const char secret[] =
	    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"
	    "-----END ENCRYPTED PRIVATE KEY-----\n";
	static const char traditional[] =
	    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
	    "DEK-Info: AES-128-CBC,00000000000000000000000000000000\n\n"
	    "AAAA\n-----END RSA PRIVATE KEY-----\n";
	struct client c, other;
	char two[9000];
	const struct {
		const char *cert, *key, *why;
	} cases[] = {
		{ "", c.key, "no usable certificate" },
		{ c.key, c.key, "no usable certificate" },
		{ two, c.key, "a certificate in it is not readable" },
		{ c.cert, "", "no usable private key" },
		{ c.cert, c.cert, "no usable private key" },
		{ c.cert, secret, "the key is encrypted" },
		{ c.cert, traditional, "the key is encrypted" },
		{ c.cert, other.key,
		    "the key does not belong to the certificate" },
	};
	size_t i;

	(void)state;
	make_client(&c, -RIG_DAY, RIG_DAY);
	make_client(&other, -RIG_DAY, RIG_DAY);
	(void)snprintf(two, sizeof(two),
	    "%s-----BEGIN CERTIFICATE-----\nAAAA\n"
	    "-----END CERTIFICATE-----\n",
	    c.cert);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct identity id = { NULL, NULL, NULL };

		assert_string_equal(
		    load(&id, cases[i].cert, cases[i].key), cases[i].why);
		identity_clear(&id);
	}
}

static void
test_file_without_end(void **state)
{
	struct identity id = { NULL, NULL, NULL };
	int fd = memfd_create("key", 0);

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)IDENTITY_FILE_MAX), 0);
	assert_string_equal(identity_load_cert(&id, fd), "too large");
	close(fd);
	identity_clear(&id);
}

/* Upstreams ask for a certificate of this CA from now on. */
static void
demand(int version)
{
	X509_STORE *store = SSL_CTX_get_cert_store(rig.tls);

	X509_STORE_add_cert(store, rig.ca);
	SSL_CTX_set_verify(
	    rig.tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_max_proto_version(rig.tls, version);
	SSL_CTX_set_session_id_context(
	    rig.tls, (const unsigned char *)"rig", 3);
}

static void
show(const struct client *c)
{
	rig.cert_fd = rig_file(c->cert, strlen(c->cert));
	rig.key_fd = rig_file(c->key, strlen(c->key));
}

static void
expect_accepted(int version)
{
	struct client c;
	X509 *seen;

	make_client(&c, -RIG_DAY, RIG_DAY);
	show(&c);
	demand(version);
	rig_configure();
	rig_ask(1);
	RIG_UNTIL(rig_peer(1, 0) != NULL && rig_peer(1, 0)->ngot == 1);
	seen = SSL_get1_peer_certificate(rig_peer(1, 0)->ssl);
	assert_non_null(seen);
	X509_free(seen);
	peer_answer(rig_peer(1, 0), 0);
	RIG_UNTIL(rig_answered(1));
	assert_string_equal(rig.log, "");
}

static void
test_accepted_in_tls_1_3(void **state)
{
	(void)state;
	expect_accepted(TLS1_3_VERSION);
}

static void
test_accepted_in_tls_1_2(void **state)
{
	(void)state;
	expect_accepted(TLS1_2_VERSION);
}

static void
expect_refused(int version, const char *text)
{
	demand(version);
	rig.conf.forward.query_timeout_ms = 300;
	rig_configure();
	rig_ask(1);
	RIG_UNTIL(rig_failed(1, CAUSE_CLIENT_CERT));
	assert_true(rig_up(0)->n.failures[PHASE_HANDSHAKE] > 0);
	assert_int_equal(rig_up(0)->n.answers, 0);
	if (strstr(rig.log, text) == NULL)
		fail_msg("\"%s\" not in: %s", text, rig.log);
}

static void
test_wanted_and_not_given(void **state)
{
	(void)state;
	expect_refused(TLS1_3_VERSION,
	    "client certificate: the upstream wants one, none is given");
}

static void
test_wanted_and_not_given_in_tls_1_2(void **state)
{
	(void)state;
	expect_refused(TLS1_2_VERSION,
	    "client certificate: the upstream wants one, none is given");
}

/* One that another CA has signed. */
static void
expect_wrong(int version)
{
	X509 *ca = rig.ca;
	EVP_PKEY *key = rig.ca_key;
	struct client c;

	rig.ca = NULL;
	rig.ca_key = NULL;
	rig_new_ca();
	make_client(&c, -RIG_DAY, RIG_DAY);
	X509_free(rig.ca);
	EVP_PKEY_free(rig.ca_key);
	rig.ca = ca;
	rig.ca_key = key;
	show(&c);
	expect_refused(version,
	    "client certificate: the upstream does not accept ours: "
	    "unknown CA");
}

static void
test_wrong_one(void **state)
{
	(void)state;
	expect_wrong(TLS1_3_VERSION);
}

static void
test_wrong_one_in_tls_1_2(void **state)
{
	(void)state;
	expect_wrong(TLS1_2_VERSION);
}

static void
test_expired_one_is_warned_of(void **state)
{
	struct client c;

	(void)state;
	make_client(&c, -RIG_DAY, -3600);
	show(&c);
	rig_configure();
	assert_non_null(strstr(rig.log,
	    "warn: t.conf:1: upstream \"up1\": client certificate /me.pem: not "
	    "valid now, by its dates and our clock"));
}

static void
test_wrong_key_is_refused(void **state)
{
	struct client c, other;

	(void)state;
	make_client(&c, -RIG_DAY, RIG_DAY);
	make_client(&other, -RIG_DAY, RIG_DAY);
	memcpy(c.key, other.key, sizeof(c.key));
	show(&c);
	rig_send_conf();
	assert_false(rig.done_ok);
	assert_string_equal(rig.done_text,
	    "t.conf:1: upstream \"up1\": key /me.key: "
	    "the key does not belong to the certificate");
}

static void
test_bad_certificate_is_refused(void **state)
{
	struct client c;

	(void)state;
	make_client(&c, -RIG_DAY, RIG_DAY);
	(void)snprintf(c.cert, sizeof(c.cert), "nothing\n");
	show(&c);
	rig_send_conf();
	assert_false(rig.done_ok);
	assert_string_equal(rig.done_text,
	    "t.conf:1: upstream \"up1\": client certificate /me.pem: "
	    "no usable certificate");
}

static void
test_unusable_cipher_is_refused(void **state)
{
	static const char *const names[] = { "NO-SUCH", "ALL", "ADH-AES128-SHA",
		"NULL-SHA256", "AES128-SHA256:X", "aNULL" };
	char want[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(
		    rig.ups[0].conf.ciphers, CONF_CIPHERS_MAX, "%s", names[i]);
		rig_send_conf();
		assert_false(rig.done_ok);
		(void)snprintf(want, sizeof(want),
		    "t.conf:1: upstream \"up1\": ciphers: \"%s\" cannot be "
		    "used",
		    strcmp(names[i], "AES128-SHA256:X") == 0 ? "X" : names[i]);
		assert_string_equal(rig.done_text, want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_certificate_chain_and_key),
		RIG_TEST(test_files_that_are_no_good),
		RIG_TEST(test_file_without_end),
		RIG_TEST(test_accepted_in_tls_1_3),
		RIG_TEST(test_accepted_in_tls_1_2),
		RIG_TEST(test_wanted_and_not_given),
		RIG_TEST(test_wanted_and_not_given_in_tls_1_2),
		RIG_TEST(test_wrong_one),
		RIG_TEST(test_wrong_one_in_tls_1_2),
		RIG_TEST(test_expired_one_is_warned_of),
		RIG_TEST(test_wrong_key_is_refused),
		RIG_TEST(test_bad_certificate_is_refused),
		RIG_TEST(test_unusable_cipher_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
