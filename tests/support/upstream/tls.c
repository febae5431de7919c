/* SPDX-License-Identifier: ISC */
/* The test upstream's TLS settings: certificate, versions, secrets to a file.
 */
#include "tests/support/upstream/upstream.h"

#include <stdio.h>

#include <openssl/err.h>

void
tls_init(struct server *s, const char *cert, const char *key)
{
	s->tls = SSL_CTX_new(TLS_server_method());
	if (s->tls == NULL ||
	    SSL_CTX_use_certificate_chain_file(s->tls, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(s->tls, key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_set_session_id_context(
		s->tls, (const unsigned char *)"dot", 3) != 1)
		errx(1, "%s: %s", cert,
		    ERR_reason_error_string(ERR_peek_error()));
	SSL_CTX_set_min_proto_version(s->tls, TLS1_2_VERSION);
	if (s->knob[K_TICKETS] > 0)
		SSL_CTX_set_num_tickets(s->tls, (size_t)s->knob[K_TICKETS]);
	if (s->knob[K_NO_TICKETS]) {
		SSL_CTX_set_options(s->tls, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(s->tls, 0);
		SSL_CTX_set_session_cache_mode(s->tls, SSL_SESS_CACHE_OFF);
	}
}

/* Wants certificates of clients that this CA has signed. */
void
tls_demand(struct server *s, const char *ca)
{
	if (SSL_CTX_load_verify_locations(s->tls, ca, NULL) != 1)
		errx(
		    1, "%s: %s", ca, ERR_reason_error_string(ERR_peek_error()));
	SSL_CTX_set_verify(
	    s->tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

static void
keylog_line(const SSL *ssl, const char *line)
{
	FILE *f = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	fprintf(f, "%s\n", line);
	fflush(f);
}

/* Writes the secrets of all connections to a file, as SSLKEYLOGFILE does. */
void
tls_keylog(struct server *s, const char *path)
{
	FILE *f = fopen(path, "a");

	if (f == NULL)
		err(1, "%s", path);
	SSL_CTX_set_app_data(s->tls, f);
	SSL_CTX_set_keylog_callback(s->tls, keylog_line);
}
