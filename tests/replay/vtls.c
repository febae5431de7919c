/* SPDX-License-Identifier: ISC */
/*
 * In place of the pool's session.c, session_config.c, trust.c, identity.c,
 * pins.c and of libtls: the same calls over records in the clear, see vtls.h.
 * A test's: clock and policy are tried with it, never TLS.  It keeps what the
 * pool has to cope with: a handshake that waits, tickets between the data, an
 * end with and without close_notify.
 */
#include "tests/replay/vtls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "dotproxy/pool/session.h"

#define HELD_MAX (VTLS_HDR_LEN + VTLS_RECORD_MAX)

struct tls {
	tls_read_cb on_read;
	tls_write_cb on_write;
	void *arg;
	bool begun;
	bool ticket; /* shown */
	bool resumed;
	size_t tickets; /* received, not kept yet */
	size_t have;    /* bytes of in */
	size_t pos;     /* of a data record: where the rest begins, or 0 */
	uint8_t in[HELD_MAX];
};

/* --- what session.c has --- */

void
session_init(struct session_env *env)
{
	memset(env, 0, sizeof(*env));
}

void
session_cleanup(struct session_env *env)
{
	(void)env;
}

int
session_start(struct session_env *env, struct session *s,
    const struct session_config *cfg, const char *name, tls_read_cb on_read,
    tls_write_cb on_write, void *arg, struct session_error *err)
{
	(void)env;
	(void)cfg;
	(void)name;
	memset(s, 0, sizeof(*s));
	s->tls = calloc(1, sizeof(*s->tls));
	if (s->tls == NULL) {
		err->phase = PHASE_HANDSHAKE;
		err->cause = CAUSE_TLS;
		(void)snprintf(err->text, sizeof(err->text), "no memory");
		return -1;
	}
	s->tls->on_read = on_read;
	s->tls->on_write = on_write;
	s->tls->arg = arg;
	return 0;
}

void
session_resume(struct session *s, struct session_tickets *t, uint64_t now_ms)
{
	while (t->n > 0 && !s->tls->ticket) {
		t->n--;
		s->verified_ms = t->stack[t->n].verified_ms;
		s->tls->ticket =
		    now_ms - s->verified_ms < SESSION_UNVERIFIED_MAX_MS;
	}
}

void
session_save(const struct session *s, struct session_tickets *t)
{
	if (t->n == SESSION_TICKETS_MAX || s->tls->tickets == 0)
		return;
	s->tls->tickets--;
	t->stack[t->n].session = NULL;
	t->stack[t->n].verified_ms = s->verified_ms;
	t->n++;
}

void
session_tickets_clear(struct session_tickets *t)
{
	t->n = 0;
}

static ssize_t
write_record(struct tls *t, enum vtls_record type, const void *p, size_t len)
{
	uint8_t out[HELD_MAX];
	ssize_t n;

	out[0] = (uint8_t)type;
	wire_store_u16(out + 1, (uint16_t)len);
	if (len > 0)
		memcpy(out + VTLS_HDR_LEN, p, len);
	n = t->on_write(t, out, VTLS_HDR_LEN + len, t->arg);
	return n == (ssize_t)(VTLS_HDR_LEN + len) ? (ssize_t)len : -1;
}

/* Reads on in a record: its type when it is whole, 0, or a TLS_WANT. */
static int
read_record(struct tls *t)
{
	size_t want = VTLS_HDR_LEN;
	ssize_t n;

	for (;;) {
		if (t->have >= VTLS_HDR_LEN)
			want = VTLS_HDR_LEN + wire_load_u16(t->in + 1);
		if (t->have == want)
			return t->in[0];
		if (want > sizeof(t->in))
			abort();
		n = t->on_read(t, t->in + t->have, want - t->have, t->arg);
		if (n <= 0)
			return (int)n;
		t->have += (size_t)n;
	}
}

int
session_handshake(struct session *s, const struct conf_upstream *conf,
    uint64_t now_ms, struct session_error *err)
{
	struct tls *t = s->tls;
	uint8_t shown = t->ticket;
	int r;

	(void)conf;
	err->phase = PHASE_HANDSHAKE;
	err->cause = CAUSE_TLS;
	(void)snprintf(err->text, sizeof(err->text), "handshake failed");
	if (!t->begun) {
		if (write_record(t, VTLS_HELLO, &shown, 1) != 1)
			return -1;
		t->begun = true;
	}
	r = read_record(t);
	if (r == TLS_WANT_POLLIN)
		return r;
	t->have = 0;
	if (r == VTLS_DONE) {
		t->resumed = t->in[VTLS_HDR_LEN] != 0;
		if (!t->resumed)
			s->verified_ms = now_ms;
		return 0;
	}
	if (r == VTLS_REFUSED) {
		err->phase = t->in[VTLS_HDR_LEN];
		err->cause = t->in[VTLS_HDR_LEN + 1];
	}
	return -1;
}

void
session_read_error(const struct session *s, struct session_error *err)
{
	(void)s;
	err->phase = PHASE_READ;
	err->cause = CAUSE_TLS;
	(void)snprintf(err->text, sizeof(err->text), "alert");
}

bool
session_resumed(const struct session *s)
{
	return s->tls->resumed;
}

void
session_goodbye(struct session *s)
{
	if (s->tls != NULL)
		(void)write_record(s->tls, VTLS_CLOSE, NULL, 0);
}

void
session_close(struct session *s)
{
	free(s->tls);
	s->tls = NULL;
}

/* --- what libtls has --- */

ssize_t
tls_read(struct tls *t, void *buf, size_t len)
{
	int r;

	r = read_record(t);
	if (r == TLS_WANT_POLLIN)
		return r;
	if (r == VTLS_DATA) {
		if (t->pos == 0)
			t->pos = VTLS_HDR_LEN;
		if (len > t->have - t->pos)
			len = t->have - t->pos;
		memcpy(buf, t->in + t->pos, len);
		t->pos += len;
		if (t->pos == t->have)
			t->pos = t->have = 0;
		return (ssize_t)len;
	}
	t->have = 0;
	if (r == VTLS_TICKET) {
		t->tickets++;
		return TLS_WANT_POLLIN; /* whatever follows it */
	}
	return r == VTLS_CLOSE ? 0 : -1;
}

ssize_t
tls_write(struct tls *t, const void *buf, size_t len)
{
	if (len > VTLS_RECORD_MAX)
		len = VTLS_RECORD_MAX;
	return write_record(t, VTLS_DATA, buf, len);
}

time_t
tls_peer_cert_notafter(struct tls *t)
{
	(void)t;
	return -1;
}

const char *
SSL_get_version(const SSL *ssl)
{
	(void)ssl;
	return "none";
}

const SSL_CIPHER *
SSL_get_current_cipher(const SSL *ssl)
{
	(void)ssl;
	return NULL;
}

const char *
SSL_CIPHER_get_name(const SSL_CIPHER *c)
{
	(void)c;
	return "none";
}

/* --- certificates: there are none --- */

struct session_config *
session_config_new(const struct conf_upstream *conf, struct trust *trust,
    struct identity *identity, char why[SESSION_TEXT_MAX])
{
	(void)conf;
	(void)trust;
	(void)identity;
	(void)why;
	return calloc(1, sizeof(struct session_config));
}

void
session_config_free(struct session_config *cfg)
{
	free(cfg);
}

struct trust *
trust_load(int fd, size_t *bad, const char **why)
{
	(void)fd;
	*bad = 0;
	*why = NULL;
	return calloc(1, sizeof(struct trust));
}

void
trust_unref(struct trust *t)
{
	free(t);
}

const char *
identity_load_cert(struct identity *id, int fd)
{
	(void)id;
	(void)fd;
	return "there are none";
}

const char *
identity_load_key(struct identity *id, int fd)
{
	return identity_load_cert(id, fd);
}

bool
identity_is_current(const struct identity *id)
{
	(void)id;
	return true;
}

void
identity_clear(struct identity *id)
{
	(void)id;
}

void
pins_chain_free(STACK_OF(X509) * chain)
{
	(void)chain;
}

bool
pins_hash(const X509 *cert, uint8_t hash[CONF_PIN_LEN])
{
	(void)cert;
	(void)hash;
	return false;
}

bool
pins_have(const struct conf_upstream *conf, const uint8_t hash[CONF_PIN_LEN])
{
	(void)conf;
	(void)hash;
	return false;
}

void
pins_subject(const X509 *cert, char *text, size_t size)
{
	(void)cert;
	(void)text;
	(void)size;
}

int
OPENSSL_sk_num(const OPENSSL_STACK *stack)
{
	(void)stack;
	return 0;
}

void *
OPENSSL_sk_value(const OPENSSL_STACK *stack, int i)
{
	(void)stack;
	(void)i;
	return NULL;
}
