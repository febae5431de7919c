/* SPDX-License-Identifier: ISC */
/*
 * What the tests of the pool have in its surroundings' place, and of these the
 * upstreams: their certificates, and the far ends of their connections.
 */
#ifndef TESTS_POOL_PEER_H
#define TESTS_POOL_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/child.h"
#include "common/log.h"
#include "common/util.h"
#include "dotproxy/pool/pool.h"
#include "tests/unit/dns_build.h"

#define RIG_PATIENCE_MS 20000u
#define RIG_HISTS 5u /* of an upstream */
#define RIG_PEERS_MAX 512
#define RIG_REPLIES_MAX 40000
#define RIG_DAY (24 * 3600)

/* A message that the upstream got. */
struct rig_message {
	size_t len;
	uint8_t *wire;
};

/* The far end of one connection. */
struct peer {
	SSL *ssl;
	int fd; /* -1 when closed */
	uint32_t upstream;
	bool up;    /* the handshake is done */
	bool eof;   /* the pool has closed it */
	bool alert; /* with close_notify */
	bool deaf;  /* does not read */
	size_t ngot;
	struct rig_message *got;
	size_t in_len;
	uint8_t in[3 * 65537];
};

/* What the listener got. */
struct rig_reply {
	uint64_t handle;
	bool part; /* more follows */
	bool failed;
	struct msg_failed failure;
	size_t len;
	uint8_t *wire;
};

struct rig {
	struct event_base *base;
	struct pool *pool;
	struct imsg_chan parent; /* our ends */
	struct imsg_chan link;
	int fd; /* where upstreams listen */
	struct sockaddr_in addr;
	EVP_PKEY *ca_key;
	X509 *ca;
	SSL_CTX *tls;                 /* of upstreams to come */
	uint8_t pin[CONF_PIN_LEN];    /* of the leaf in tls */
	uint8_t ca_pin[CONF_PIN_LEN]; /* of the CA */
	int ca_fd;
	int cert_fd; /* of a client certificate; -1: none */
	int key_fd;
	struct msg_pool conf;
	struct msg_upstream ups[CONF_UPSTREAMS_MAX];
	uint32_t nups;
	uint64_t generation;
	bool undecided; /* leave it to the test whether it comes into force */
	uint64_t done;  /* generation of the last CONF_DONE */
	bool done_ok;
	char done_text[MSG_TEXT_MAX];
	uint64_t links_down;
	uint64_t pongs;
	uint64_t link_down_id;
	bool manual; /* dials are not connected */
	int refuse;  /* errno for all dials, or 0 */
	uint64_t last_request;
	uint32_t last_dialled; /* upstream id */
	size_t ndials;
	size_t nplain; /* of these, without TCP Fast Open */
	/* By id: what the parent was told of it last, and how often. */
	struct msg_health health[CONF_UPSTREAMS_MAX];
	size_t nhealths[CONF_UPSTREAMS_MAX];
	size_t npeers;
	struct peer *peers[RIG_PEERS_MAX];
	size_t nreplies;
	struct rig_reply *replies;
	/* INFO messages of the last request. */
	struct info_counters counters;
	struct info_pool info_pool;
	struct info_upstream info_ups[CONF_UPSTREAMS_MAX];
	struct info_conn info_conns[RIG_PEERS_MAX];
	struct info_hist info_hists[RIG_HISTS]; /* the last */
	size_t ninfo_hists;
	size_t ninfo_ups;
	size_t ninfo_conns;
	size_t nends;
	size_t nrefused; /* of these, not ok */
	size_t nprobes;
	struct info_probe probe;
	bool end_ok;
	char log[65536];
};

static struct rig rig;

/* --- time --- */

/*
 * Time is in the hands of the rig, for libevent, too: it goes on with each turn
 * of the loop, however long that takes.  Sockets are the kernel's, but nothing
 * waits for its timers.
 */
#define RIG_TURN_US 200u

static uint64_t rig_now_us = 1000000000; /* of all clocks but the calendar's */

#ifndef RIG_REAL_CLOCK /* for who counts instructions */
int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (clock == CLOCK_REALTIME)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	rig_now_us++; /* for who waits without turning */
	ts->tv_sec = (time_t)(rig_now_us / 1000000);
	ts->tv_nsec = (long)(rig_now_us % 1000000 * 1000);
	return 0;
}
#endif

/* --- certificates --- */

static inline X509 *
rig_certificate(EVP_PKEY *key, const char *name, bool ca, long from, long to)
{
	static long serial;
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	char alt[300];

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x), from);
	X509_gmtime_adj(X509_getm_notAfter(x), to);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
	    (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, ca ? subject : X509_get_subject_name(rig.ca));
	X509_set_pubkey(x, key);
	X509V3_set_ctx(&ctx, ca ? x : rig.ca, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_basic_constraints,
	    ca ? "critical,CA:TRUE" : "CA:FALSE");
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	if (!ca) {
		(void)snprintf(alt, sizeof(alt), "DNS:%s", name);
		ext =
		    X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, alt);
		X509_add_ext(x, ext, -1);
		X509_EXTENSION_free(ext);
	}
	assert_true(X509_sign(x, ca ? key : rig.ca_key, EVP_sha256()) > 0);
	return x;
}

static inline void
rig_pin(X509 *x, uint8_t pin[CONF_PIN_LEN])
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	unsigned int n;

	assert_true(EVP_Digest(der, (size_t)len, pin, &n, EVP_sha256(), NULL));
	OPENSSL_free(der);
}

/* Upstreams use this certificate from now on. */
static inline void
rig_leaf(const char *name, long from, long to)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = rig_certificate(key, name, false, from, to);

	SSL_CTX_free(rig.tls);
	rig.tls = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(rig.tls, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(rig.tls, key), 1);
	rig_pin(x, rig.pin);
	X509_free(x);
	EVP_PKEY_free(key);
}

/* Another authority, of another name; it signs from now on. */
static inline void
rig_new_ca(void)
{
	static unsigned int n;
	char name[32];

	EVP_PKEY_free(rig.ca_key);
	X509_free(rig.ca);
	(void)snprintf(name, sizeof(name), "rig CA %u", ++n);
	rig.ca_key = EVP_EC_gen("P-256");
	rig.ca = rig_certificate(rig.ca_key, name, true, -RIG_DAY, RIG_DAY);
	rig_pin(rig.ca, rig.ca_pin);
}

/* A new descriptor of a file with this text. */
static inline int
rig_file(const void *text, size_t len)
{
	int fd = memfd_create("rig", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* The CA certificate as a file. */
static inline int
rig_ca_file(void)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p;
	long len;
	int fd;

	PEM_write_bio_X509(bio, rig.ca);
	len = BIO_get_mem_data(bio, &p);
	fd = rig_file(p, (size_t)len);
	BIO_free(bio);
	return fd;
}

/* --- upstreams --- */

static inline struct peer *
rig_accept(uint32_t upstream)
{
	struct peer *p = calloc(1, sizeof(*p));
	int one = 1;

	p->fd = accept4(rig.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(p->fd != -1);
	(void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	p->upstream = upstream;
	p->ssl = SSL_new(rig.tls);
	SSL_set_fd(p->ssl, p->fd);
	SSL_set_accept_state(p->ssl);
	assert_true(rig.npeers < RIG_PEERS_MAX);
	rig.peers[rig.npeers++] = p;
	return p;
}

/* A socket whose connection stands, or at least is under way. */
static inline int
rig_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&rig.addr, sizeof(rig.addr)) == -1)
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

static inline void
peer_cut(struct peer *p)
{
	uint8_t *at = p->in;
	size_t n;

	while (p->in_len >= 2 && p->in_len - 2 >= (n = wire_load_u16(at))) {
		p->got = realloc(p->got, (p->ngot + 1) * sizeof(*p->got));
		p->got[p->ngot].len = n;
		p->got[p->ngot].wire = malloc(n + 1);
		memcpy(p->got[p->ngot].wire, at + 2, n);
		p->ngot++;
		at += 2 + n;
		p->in_len -= 2 + n;
	}
	memmove(p->in, at, p->in_len);
}

static inline void
peer_pump(struct peer *p)
{
	int r, e;

	if (p->fd == -1 || p->eof || p->deaf)
		return;
	ERR_clear_error();
	if (!p->up && SSL_accept(p->ssl) == 1)
		p->up = true;
	for (;;) {
		r = SSL_read(p->ssl, p->in + p->in_len,
		    (int)(sizeof(p->in) - p->in_len));
		if (r <= 0)
			break;
		p->in_len += (size_t)r;
		peer_cut(p);
	}
	e = SSL_get_error(p->ssl, r);
	if (e == SSL_ERROR_ZERO_RETURN)
		p->alert = true;
	if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
		p->eof = true;
}

static inline void
peer_write(struct peer *p, const void *data, size_t len)
{
	ERR_clear_error();
	assert_int_equal(SSL_write(p->ssl, data, (int)len), len);
}

/* Sends one message with its length. */
static inline void
peer_send(struct peer *p, const uint8_t *msg, size_t len)
{
	uint8_t *buf = malloc(len + 2);

	wire_store_u16(buf, (uint16_t)len);
	memcpy(buf + 2, msg, len);
	peer_write(p, buf, len + 2);
	free(buf);
}

/* The simplest answer there is: the query with QR set. */
static inline void
peer_answer(struct peer *p, size_t i)
{
	assert_true(i < p->ngot);
	p->got[i].wire[2] |= 0x80;
	peer_send(p, p->got[i].wire, p->got[i].len);
}

static inline void
peer_close(struct peer *p, bool notify)
{
	if (p->fd == -1)
		return;
	if (notify)
		(void)SSL_shutdown(p->ssl);
	close(p->fd);
	p->fd = -1;
}

static inline void
peer_reset(struct peer *p)
{
	struct linger rst = { 1, 0 };

	(void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	peer_close(p, false);
}

#endif
