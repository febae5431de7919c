/* SPDX-License-Identifier: ISC */
/*
 * The real pool between a parent, a listener and upstreams that the test plays:
 * all of its code, real channels, real TLS over loopback TCP.  The loop is
 * turned by hand; certificates are made on the spot.
 */
#ifndef TESTS_POOL_RIG_H
#define TESTS_POOL_RIG_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
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

#define RIG_PATIENCE_MS 5000u
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
	struct msg_pool conf;
	struct msg_upstream ups[CONF_UPSTREAMS_MAX];
	uint32_t nups;
	uint64_t generation;
	bool undecided; /* leave it to the test whether it comes into force */
	uint64_t done;  /* generation of the last CONF_DONE */
	bool done_ok;
	char done_text[MSG_TEXT_MAX];
	uint64_t links_down;
	uint64_t link_down_id;
	bool manual; /* dials are not connected */
	int refuse;  /* errno for all dials, or 0 */
	uint64_t last_request;
	uint32_t last_dialled; /* upstream id */
	size_t ndials;
	size_t nplain; /* of these, without TCP Fast Open */
	size_t npeers;
	struct peer *peers[RIG_PEERS_MAX];
	size_t nreplies;
	struct rig_reply *replies;
	/* INFO messages of the last request. */
	struct info_counters counters;
	struct info_pool info_pool;
	struct info_upstream info_ups[CONF_UPSTREAMS_MAX];
	struct info_conn info_conns[RIG_PEERS_MAX];
	struct info_hist info_hists[INFO_HIST_COUNT]; /* the last */
	size_t ninfo_hists;
	size_t ninfo_ups;
	size_t ninfo_conns;
	size_t nends;
	size_t nrefused; /* of these, not ok */
	bool end_ok;
	char log[65536];
};

static struct rig rig;

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

/* --- what the pool says to the parent --- */

static inline int
rig_on_connect(void *arg, struct imsg *m)
{
	uint32_t id;

	(void)arg;
	assert_int_equal(msg_read_u32(m, &id), 0);
	rig.ndials++;
	rig.nplain += m->type == MSG_TP_CONNECT_PLAIN;
	rig.last_request = m->id;
	rig.last_dialled = id;
	if (rig.manual)
		return 0;
	if (rig.refuse != 0) {
		assert_true(msg_send_u32(&rig.parent, MSG_PT_CONNECT_FAILED,
		    m->id, (uint32_t)rig.refuse));
		return 0;
	}
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PT_CONNECTED, m->id, rig_connect()));
	(void)rig_accept(id);
	return 0;
}

static inline int
rig_on_result(void *arg, struct imsg *m)
{
	struct msg_result res;

	(void)arg;
	assert_int_equal(msg_read_result(m, &res), 0);
	rig.done = m->id;
	rig.done_ok = res.ok;
	memcpy(rig.done_text, res.text, sizeof(res.text));
	return 0;
}

static inline int
rig_on_link_down(void *arg, struct imsg *m)
{
	(void)arg;
	rig.links_down++;
	rig.link_down_id = m->id;
	return 0;
}

static const struct imsg_rule rig_parent_rules[IMSG_TYPES_MAX] = {
	[MSG_TP_CONNECT] = { .handler = rig_on_connect,
	    .min = 4,
	    .max = 4,
	    .phases = 1 },
	[MSG_TP_CONNECT_PLAIN] = { .handler = rig_on_connect,
	    .min = 4,
	    .max = 4,
	    .phases = 1 },
	[MSG_XP_CONF_DONE] = { .handler = rig_on_result,
	    .max = MSG_TEXT_MAX + 3,
	    .phases = 1 },
	[MSG_XP_LINK_DOWN] = { .handler = rig_on_link_down, .phases = 1 },
};

/* --- what it says to the listener --- */

static inline struct rig_reply *
rig_new_reply(uint64_t handle)
{
	struct rig_reply *r = &rig.replies[rig.nreplies++];

	assert_true(rig.nreplies < RIG_REPLIES_MAX);
	memset(r, 0, sizeof(*r));
	r->handle = handle;
	return r;
}

static inline int
rig_on_answer(void *arg, struct imsg *m)
{
	struct rig_reply *r = rig_new_reply(m->id);

	(void)arg;
	r->part = m->type == MSG_TL_PART;
	r->len = m->len;
	r->wire = malloc(m->len);
	memcpy(r->wire, m->data, m->len);
	return 0;
}

static inline int
rig_on_failed(void *arg, struct imsg *m)
{
	struct rig_reply *r = rig_new_reply(m->id);

	(void)arg;
	r->failed = true;
	assert_int_equal(msg_read_failed(m, &r->failure), 0);
	return 0;
}

static inline int
rig_on_info(void *arg, struct imsg *m)
{
	struct msg_result res;

	(void)arg;
	switch (m->type) {
	case MSG_INFO_COUNTERS:
		return msg_read_info_counters(m, &rig.counters);
	case MSG_INFO_POOL:
		return msg_read_info_pool(m, &rig.info_pool);
	case MSG_INFO_UPSTREAM:
		return msg_read_info_upstream(
		    m, &rig.info_ups[rig.ninfo_ups++ % CONF_UPSTREAMS_MAX]);
	case MSG_INFO_HIST:
		return msg_read_info_hist(
		    m, &rig.info_hists[rig.ninfo_hists++ % INFO_HIST_COUNT]);
	case MSG_INFO_CONN:
		return msg_read_info_conn(
		    m, &rig.info_conns[rig.ninfo_conns++ % RIG_PEERS_MAX]);
	default:
		assert_int_equal(msg_read_result(m, &res), 0);
		rig.nends++;
		rig.nrefused += !res.ok;
		rig.end_ok = res.ok;
		return 0;
	}
}

static const struct imsg_rule rig_link_rules[IMSG_TYPES_MAX] = {
	[MSG_TL_ANSWER] = { .handler = rig_on_answer,
	    .min = DNS_HDR_LEN,
	    .max = DNS_MSG_MAX,
	    .phases = 1 },
	[MSG_TL_PART] = { .handler = rig_on_answer,
	    .min = DNS_HDR_LEN,
	    .max = DNS_MSG_MAX,
	    .phases = 1 },
	[MSG_TL_FAILED] = { .handler = rig_on_failed, .max = 64, .phases = 1 },
	[MSG_INFO_COUNTERS] = { .handler = rig_on_info,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
	[MSG_INFO_POOL] = { .handler = rig_on_info,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
	[MSG_INFO_UPSTREAM] = { .handler = rig_on_info,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
	[MSG_INFO_HIST] = { .handler = rig_on_info,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
	[MSG_INFO_CONN] = { .handler = rig_on_info,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
	[MSG_INFO_END] = { .handler = rig_on_info,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
};

/* --- turning --- */

static inline void
rig_turn(void)
{
	size_t i;

	(void)imsg_flush(&rig.parent);
	(void)imsg_flush(&rig.link);
	(void)event_base_loop(rig.base, EVLOOP_NONBLOCK);
	pool_turn_end(rig.pool);
	(void)imsg_read(&rig.parent);
	(void)imsg_read(&rig.link);
	for (i = 0; i < rig.npeers; i++)
		peer_pump(rig.peers[i]);
}

/* Turns until cond is true, and fails if it does not come true. */
#define RIG_UNTIL(cond)                                                    \
	do {                                                               \
		uint64_t rig_end_ms = util_now_ms() + RIG_PATIENCE_MS;     \
		while (!(cond)) {                                          \
			if (util_now_ms() > rig_end_ms)                    \
				fail_msg("never: %s\n%s", #cond, rig.log); \
			rig_turn();                                        \
			(void)usleep(200);                                 \
		}                                                          \
	} while (0)

/* Turns for some time. */
static inline void
rig_pass(uint64_t ms)
{
	uint64_t end_ms = util_now_ms() + ms;

	do {
		rig_turn();
		(void)usleep(200);
	} while (util_now_ms() < end_ms);
}

/* --- the listener's part --- */

static inline void
rig_link(uint64_t number)
{
	const struct imsg_chan_opts opts = {
		.rules = rig_link_rules,
		.in_cap = MSG_LINK_BUF,
		.out_cap = MSG_LINK_BUF,
		.phase = 1,
	};
	int fds[2];

	imsg_close(&rig.link);
	assert_int_equal(imsg_socketpair(fds), 0);
	assert_int_equal(imsg_open(&rig.link, fds[0], &opts), 0);
	assert_true(imsg_send_empty(&rig.parent, MSG_PX_LINK, number, fds[1]));
	rig_pass(1);
}

static inline void
rig_ask_wire(uint64_t handle, uint32_t left_ms, const uint8_t *wire, size_t len)
{
	while (!msg_send_query(&rig.link, handle, left_ms, wire, len))
		rig_turn();
}

static inline void
rig_ask_type(uint64_t handle, const char *name, uint16_t type)
{
	static struct pkt pkt;

	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&pkt, name, type);
	rig_ask_wire(handle, 60000, pkt.buf, pkt.w.pos);
}

static inline void
rig_ask(uint64_t handle)
{
	rig_ask_type(handle, "www.example", 1);
}

/* The reply to a query; NULL if there was none. */
static inline struct rig_reply *
rig_reply(uint64_t handle)
{
	size_t i;

	for (i = 0; i < rig.nreplies; i++)
		if (rig.replies[i].handle == handle)
			return &rig.replies[i];
	return NULL;
}

/* How many replies there were to one query. */
static inline size_t
rig_nreplies(uint64_t handle)
{
	size_t i, n = 0;

	for (i = 0; i < rig.nreplies; i++)
		n += rig.replies[i].handle == handle;
	return n;
}

static inline bool
rig_answered(uint64_t handle)
{
	struct rig_reply *r = rig_reply(handle);

	return r != NULL && !r->failed;
}

static inline bool
rig_failed(uint64_t handle, enum msg_cause cause)
{
	struct rig_reply *r = rig_reply(handle);

	return r != NULL && r->failed && r->failure.cause == cause;
}

static inline void
rig_show(enum msg_show what)
{
	size_t before = rig.nends;

	rig.ninfo_ups = rig.ninfo_conns = rig.ninfo_hists = 0;
	assert_true(msg_send_u8(&rig.link, MSG_LT_SHOW, 99, (uint8_t)what));
	RIG_UNTIL(rig.nends > before);
}

/* Every query has ended in one way, or is still held. */
static inline void
rig_check_counters(void)
{
	const uint64_t *n = rig.pool->counters;

	assert_int_equal(n[TSTAT_queries],
	    n[TSTAT_answered] + n[TSTAT_failed_timeout] +
		n[TSTAT_failed_network] + n[TSTAT_failed_tls] +
		n[TSTAT_failed_busy] + n[TSTAT_failed_other] +
		n[TSTAT_cancelled] + query_held(&rig.pool->queries));
}

/* --- the parent's part --- */

static inline void
rig_send_conf(void)
{
	uint32_t i;

	rig.generation++;
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PX_CONF_BEGIN, rig.generation, -1));
	assert_true(msg_send_pool(&rig.parent, &rig.conf));
	assert_true(imsg_send_empty(&rig.parent, MSG_PT_CA, 0, dup(rig.ca_fd)));
	assert_int_equal(lseek(rig.ca_fd, 0, SEEK_SET), 0);
	for (i = 0; i < rig.nups; i++)
		assert_true(msg_send_upstream(&rig.parent, &rig.ups[i]));
	assert_true(
	    imsg_send_empty(&rig.parent, MSG_PX_CONF_END, rig.generation, -1));
	if (!rig.undecided)
		assert_true(
		    msg_send_u8(&rig.parent, MSG_PT_DECIDE, rig.generation, 1));
	RIG_UNTIL(rig.done == rig.generation);
}

/* Sends the configuration, which has to be accepted. */
static inline void
rig_configure(void)
{
	rig_send_conf();
	assert_string_equal(rig.done_text, "");
	assert_true(rig.done_ok);
}

/* A connection of an upstream that is up, the nth of those not closed. */
static inline struct peer *
rig_peer(uint32_t upstream, size_t n)
{
	size_t i;

	for (i = 0; i < rig.npeers; i++)
		if (rig.peers[i]->upstream == upstream && rig.peers[i]->up &&
		    !rig.peers[i]->eof && rig.peers[i]->fd != -1 && n-- == 0)
			return rig.peers[i];
	return NULL;
}

/* An open connection whose last query was not answered; NULL if none. */
static inline struct peer *
rig_peer_with_query(void)
{
	struct peer *p;
	size_t i;

	for (i = 0; i < rig.npeers; i++) {
		p = rig.peers[i];
		if (p->fd != -1 && !p->eof && p->ngot > 0 &&
		    !dns_is_response(p->got[p->ngot - 1].wire))
			return p;
	}
	return NULL;
}

static inline struct upstream *
rig_up(uint32_t i)
{
	assert_true(i < rig.pool->nupstreams);
	return rig.pool->upstreams[i];
}

static inline void
rig_log(enum log_level level, const char *line, void *arg)
{
	size_t n = strlen(rig.log);

	(void)arg;
	if (level == LOG_LEVEL_FATAL)
		(void)fprintf(stderr, "%s\n", line);
	(void)snprintf(rig.log + n, sizeof(rig.log) - n, "%s: %s\n",
	    log_level_name(level), line);
}

static inline void
rig_parent_down(void *arg, enum imsg_status status, const char *why)
{
	(void)arg;
	fail_msg("channel to the parent: %d %s", (int)status, why);
}

static inline void
rig_channels(void)
{
	struct imsg_chan_opts opts = {
		.rules = rig_parent_rules,
		.in_cap = MSG_PARENT_BUF,
		.out_cap = MSG_PARENT_BUF,
		.phase = 1,
		.fdpass = true,
	};
	int fds[2];

	assert_int_equal(imsg_socketpair(fds), 0);
	assert_int_equal(imsg_open(&rig.parent, fds[0], &opts), 0);
	opts.rules = pool_parent_rules;
	opts.phase = POOL_PHASE_IDLE;
	opts.arg = rig.pool;
	opts.on_down = rig_parent_down;
	assert_int_equal(imsg_open(&rig.pool->parent, fds[1], &opts), 0);
	assert_int_equal(imsg_attach(&rig.pool->parent, rig.base), 0);
}

static inline void
rig_listen(void)
{
	socklen_t len = sizeof(rig.addr);

	rig.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	rig.addr.sin_family = AF_INET;
	rig.addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(
	    bind(rig.fd, (struct sockaddr *)&rig.addr, sizeof(rig.addr)), 0);
	assert_int_equal(listen(rig.fd, 512), 0);
	assert_int_equal(
	    getsockname(rig.fd, (struct sockaddr *)&rig.addr, &len), 0);
}

/* One more upstream in the configuration to be sent. */
static inline struct msg_upstream *
rig_add(uint32_t id)
{
	const struct conf_upstream conf = CONF_UPSTREAM_DEFAULT;
	struct msg_upstream *u = &rig.ups[rig.nups++];

	memset(u, 0, sizeof(*u));
	u->id = id;
	u->conf = conf;
	memset(u->conf.ca_file, 0, sizeof(u->conf.ca_file));
	(void)snprintf(
	    u->conf.name, sizeof(u->conf.name), "up%u", (unsigned)id);
	(void)snprintf(
	    u->conf.server_name, sizeof(u->conf.server_name), "dot.test");
	memcpy(&u->conf.addr, &rig.addr, sizeof(rig.addr));
	return u;
}

/* A pool with a link, and one upstream in the configuration, not sent yet. */
static inline int
rig_setup(void **state)
{
	const struct conf_forward forward = CONF_FORWARD_DEFAULT;

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	memset(&rig, 0, sizeof(rig));
	rig.link.fd = -1;
	rig.replies = calloc(RIG_REPLIES_MAX, sizeof(*rig.replies));
	log_init_sink(rig_log, NULL);
	log_set_level(LOG_LEVEL_INFO);
	rig_new_ca();
	rig_leaf("dot.test", -RIG_DAY, RIG_DAY);
	rig.ca_fd = rig_ca_file();
	rig_listen();
	rig.base = event_base_new();
	rig.pool = calloc(1, sizeof(*rig.pool));
	pool_init(rig.pool, rig.base);
	rig_channels();
	rig.conf.forward = forward;
	rig.conf.forward.policy = POLICY_FAILOVER;
	rig.conf.forward.hedge_percent = 0; /* connections are counted */
	rig.conf.max_inflight = 8192;
	rig.conf.max_transfers = 4;
	(void)rig_add(1);
	rig_link(1);
	return 0;
}

/* A pool in front of one upstream, with a connection. */
static inline int
rig_setup_one(void **state)
{
	(void)rig_setup(state);
	rig_configure();
	RIG_UNTIL(rig_peer(1, 0) != NULL && rig_up(0)->nready == 1);
	return 0;
}

static inline int
rig_teardown(void **state)
{
	size_t i, k;

	(void)state;
	rig_check_counters();
	pool_free(rig.pool);
	free(rig.pool);
	event_base_free(rig.base);
	imsg_close(&rig.parent);
	imsg_close(&rig.link);
	for (i = 0; i < rig.npeers; i++) {
		for (k = 0; k < rig.peers[i]->ngot; k++)
			free(rig.peers[i]->got[k].wire);
		free(rig.peers[i]->got);
		SSL_free(rig.peers[i]->ssl);
		if (rig.peers[i]->fd != -1)
			close(rig.peers[i]->fd);
		free(rig.peers[i]);
	}
	for (i = 0; i < rig.nreplies; i++)
		free(rig.replies[i].wire);
	free(rig.replies);
	close(rig.fd);
	close(rig.ca_fd);
	SSL_CTX_free(rig.tls);
	X509_free(rig.ca);
	EVP_PKEY_free(rig.ca_key);
	return 0;
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
#define RIG_TEST_ONE(f) \
	cmocka_unit_test_setup_teardown(f, rig_setup_one, rig_teardown)

#endif
