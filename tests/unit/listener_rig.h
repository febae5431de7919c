/* SPDX-License-Identifier: ISC */
/*
 * The real listener between a parent and a pool that the test plays: all of
 * its code, real channels, real loopback sockets.  The loop is turned by hand.
 */
#ifndef TESTS_LISTENER_RIG_H
#define TESTS_LISTENER_RIG_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/child.h"
#include "common/log.h"
#include "common/util.h"
#include "dotproxy/listener/listener.h"
#include "tests/support/ended.h"
#include "tests/support/listener_tables.h"
#include "tests/unit/dns_build.h"
#include "tests/unit/listener_peer.h"

#define RIG_UDP_ID 10u
#define RIG_TCP_ID 11u
#define RIG_PATIENCE_MS 20000u

/* --- turning the loop --- */

/* More take too long to be counted in each turn. */
#define RIG_COUNTED_MAX 1024u

/* What has to be true between any two turns. */
static inline void
rig_check(void)
{
	const uint64_t *c = rig.l->counters;
	const char *wrong;

	assert_int_equal(c[LSTAT_queries_udp] + c[LSTAT_queries_tcp],
	    ended_in_listener(c) + c[LSTAT_in_flight]);
	assert_true(c[LSTAT_truncated] <= c[LSTAT_answered]);
	assert_int_equal(listener_in_flight(rig.l), c[LSTAT_in_flight]);
	if (rig.l->inflight.count > RIG_COUNTED_MAX ||
	    rig.l->prefixes.touched > RIG_COUNTED_MAX)
		return;
	wrong = listener_tables_wrong(rig.l);
	if (wrong != NULL)
		fail_msg("%s", wrong);
}

static inline void
rig_turn(void)
{
	(void)imsg_flush(&rig.parent);
	if (rig.pool.fd != -1)
		(void)imsg_flush(&rig.pool);
	assert_int_not_equal(
	    event_base_loop(rig.base, EVLOOP_ONCE | EVLOOP_NONBLOCK), -1);
	(void)listener_turn_end(rig.l);
	rig_check();
	(void)imsg_read(&rig.parent);
	assert_false(rig.parent.down);
	if (rig.pool.fd != -1)
		(void)imsg_read(&rig.pool);
}

static inline void
rig_sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* Turns until nothing more happens. */
static inline void
rig_settle(void)
{
	int i;

	for (i = 0; i < 20; i++)
		rig_turn();
}

/* Turns for a while. */
static inline void
rig_run_ms(uint64_t ms)
{
	uint64_t end = util_now_ms() + ms;

	while (util_now_ms() < end) {
		rig_turn();
		rig_sleep_ms(1);
	}
}

/* Turns until a condition holds. */
#define rig_until(cond)                                                   \
	do {                                                              \
		uint64_t rig_end = util_now_ms() + RIG_PATIENCE_MS;       \
                                                                          \
		while (!(cond)) {                                         \
			rig_turn();                                       \
			if (util_now_ms() > rig_end)                      \
				fail_msg("waited in vain for %s", #cond); \
			rig_sleep_ms(0);                                  \
		}                                                         \
	} while (0)

/* --- set-up --- */

static inline int
rig_socket(
    int type, const char *host, uint16_t port, struct sockaddr_storage *addr)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)addr;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)addr;
	socklen_t len = sizeof(*addr);
	int fd, one = 1;

	memset(addr, 0, sizeof(*addr));
	if (strchr(host, ':') != NULL) {
		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons(port);
		inet_pton(AF_INET6, host, &sin6->sin6_addr);
	} else {
		sin->sin_family = AF_INET;
		sin->sin_port = htons(port);
		inet_pton(AF_INET, host, &sin->sin_addr);
	}
	fd = socket(addr->ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_not_equal(fd, -1);
	(void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
	if (type == SOCK_STREAM)
		(void)setsockopt(
		    fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	assert_int_equal(
	    bind(fd, (struct sockaddr *)addr, sockaddr_len(addr)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 128), 0);
	return fd;
}

static inline void
rig_send_allow(const char *net, uint8_t len)
{
	struct msg_allow a = { .n = 1 };

	a.prefixes[0].family = strchr(net, ':') != NULL ? AF_INET6 : AF_INET;
	a.prefixes[0].len = len;
	inet_pton(a.prefixes[0].family, net, a.prefixes[0].addr);
	assert_true(msg_send_allow(&rig.parent, &a));
}

static inline void
rig_send_listen(
    uint32_t id, bool tcp, const struct sockaddr_storage *addr, int fd)
{
	struct msg_listen ml = { .id = id, .tcp = tcp, .addr = *addr };

	assert_true(msg_send_listen(&rig.parent, &ml, fd));
}

static inline void
rig_conf_begin(void)
{
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PX_CONF_BEGIN, ++rig.generation, -1));
	assert_true(msg_send_client(&rig.parent, &rig.client));
	assert_true(msg_send_upstream_name(&rig.parent, 0, "quad9"));
}

static inline void
rig_conf_end(void)
{
	assert_true(
	    imsg_send_empty(&rig.parent, MSG_PX_CONF_END, rig.generation, -1));
	rig_until(rig.done_generation == rig.generation);
}

/* The configuration as it is, with the sockets that are there already. */
static inline void
rig_reload(const char *net, uint8_t len)
{
	rig_conf_begin();
	rig_send_allow(net, len);
	rig_send_listen(RIG_UDP_ID, false, &rig.udp_addr, -1);
	rig_send_listen(RIG_TCP_ID, true, &rig.tcp_addr, -1);
	rig_conf_end();
}

/* Makes a new link, and plays the pool at its end. */
static inline void
rig_link(void)
{
	const struct imsg_chan_opts opts = {
		.rules = rig_pool_rules,
		.in_cap = MSG_LINK_BUF,
		.out_cap = MSG_LINK_BUF,
		.phase = 1,
	};
	struct imsg_ends sides[2];

	imsg_close(&rig.pool);
	assert_int_equal(imsg_pipes(sides), 0);
	assert_int_equal(imsg_open(&rig.pool, sides[0].in, &opts), 0);
	imsg_set_out(&rig.pool, sides[0].out);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PX_LINK_OUT, ++rig.link_id, sides[1].out));
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PX_LINK, rig.link_id, sides[1].in));
	rig_until(rig.l->link_id == rig.link_id);
}

/* A listener without any configuration. */
static inline void
rig_start_bare(void)
{
	struct imsg_chan_opts opts = {
		.rules = rig_parent_rules,
		.in_cap = MSG_PARENT_BUF,
		.out_cap = MSG_PARENT_BUF,
		.phase = 1,
		.fdpass = true,
	};
	int fds[2];

	memset(&rig, 0, sizeof(rig));
	rig.pool.fd = -1;
	rig.client.client = (struct conf_client)CONF_CLIENT_DEFAULT;
	rig.client.query_timeout_ms = 4000;
	rig.base = event_base_new();
	rig.l = calloc(1, sizeof(*rig.l));
	assert_non_null(rig.base);
	assert_non_null(rig.l);
	assert_int_equal(imsg_socketpair(fds), 0);
	assert_int_equal(imsg_open(&rig.parent, fds[0], &opts), 0);
	assert_int_equal(
	    imsg_open(&rig.l->parent, fds[1], listener_parent_opts()), 0);
	log_set_level(LOG_LEVEL_FATAL);
	listener_init(rig.l, rig.base);
}

/* A listener on loopback, both transports, with a link to the pool. */
static inline int
rig_start(void **state)
{
	int udp, tcp;

	(void)state;
	rig_start_bare();
	udp = rig_socket(SOCK_DGRAM, "127.0.0.1", 0, &rig.udp_addr);
	tcp = rig_socket(SOCK_STREAM, "127.0.0.1", 0, &rig.tcp_addr);
	rig_conf_begin();
	rig_send_allow("127.0.0.0", 8);
	rig_send_listen(RIG_UDP_ID, false, &rig.udp_addr, udp);
	rig_send_listen(RIG_TCP_ID, true, &rig.tcp_addr, tcp);
	rig_conf_end();
	rig_link();
	return 0;
}

static inline int
rig_stop(void **state)
{
	size_t i;

	(void)state;
	listener_free(rig.l);
	/* All that was in is out. */
	assert_int_equal(rig.l->counters[LSTAT_tcp_open], 0);
	event_base_free(rig.base);
	free(rig.l);
	imsg_close(&rig.parent);
	imsg_close(&rig.pool);
	for (i = 0; i < rig.nqueries; i++)
		free(rig.queries[i].wire);
	free(rig.queries);
	return 0;
}

static inline uint64_t
rig_count(enum listener_counter c)
{
	return rig.l->counters[c];
}

/* --- clients --- */

static inline int
rig_udp_client(const struct sockaddr_storage *to)
{
	int fd = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_not_equal(fd, -1);
	assert_int_equal(
	    connect(fd, (const struct sockaddr *)to, sockaddr_len(to)), 0);
	return fd;
}

/* The same at another address of this machine. */
static inline int
rig_udp_client_at(const char *host)
{
	struct sockaddr_storage addr;
	int fd = rig_socket(SOCK_DGRAM, host, 0, &addr);

	assert_int_equal(connect(fd, (struct sockaddr *)&rig.udp_addr,
			     sockaddr_len(&rig.udp_addr)),
	    0);
	return fd;
}

/* A fuzzer has an alarm; what connect() began goes on all the same. */
static inline void
rig_connected(int fd, int error)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(error);

	if (error == EINTR) {
		while (poll(&p, 1, -1) == -1 && errno == EINTR)
			continue;
		(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	}
	if (error != 0)
		fail_msg("connect: %s", strerror(error));
}

static inline int
rig_tcp_client(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	assert_int_not_equal(fd, -1);
	if (connect(fd, (struct sockaddr *)&rig.tcp_addr,
		sockaddr_len(&rig.tcp_addr)) == -1)
		rig_connected(fd, errno);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* A plain query for a name, with an OPT record if udp_size is not 0. */
static inline void
rig_make_query(struct pkt *p, uint16_t id, const char *name, uint16_t udp_size)
{
	pkt_start(p, QUERY_FLAGS, 1, 0, 0, udp_size != 0);
	pkt_question(p, name, 1);
	if (udp_size != 0)
		pkt_opt(p, udp_size, 0, 0);
	dns_set_id(p->buf, id);
}

static inline void
rig_send(int fd, const struct pkt *p)
{
	assert_int_equal(send(fd, p->buf, p->w.pos, 0), p->w.pos);
}

/* Sends a message with its length, as TCP wants it. */
static inline void
rig_send_tcp(int fd, const struct pkt *p)
{
	static uint8_t frame[2 + DNS_MSG_MAX];

	wire_store_u16(frame, (uint16_t)p->w.pos);
	memcpy(frame + 2, p->buf, p->w.pos);
	assert_int_equal(
	    send(fd, frame, 2 + p->w.pos, MSG_NOSIGNAL), 2 + p->w.pos);
}

/* Sends a query over UDP and waits until the pool has it. */
static inline struct rig_query *
rig_ask(int fd, uint16_t id, const char *name, uint16_t udp_size)
{
	static struct pkt p;
	size_t n = rig.nqueries;

	rig_make_query(&p, id, name, udp_size);
	rig_send(fd, &p);
	rig_until(rig.nqueries == n + 1);
	return &rig.queries[n];
}

static inline void
rig_answer(const struct rig_query *q, size_t n)
{
	rig_answer_wire(q->handle, q->wire, q->len, n);
}

/* Returns the length of the next datagram, which has to come. */
static inline size_t
rig_recv(int fd, uint8_t *buf, size_t cap)
{
	ssize_t n = -1;

	rig_until((n = recv(fd, buf, cap, MSG_DONTWAIT)) >= 0);
	return (size_t)n;
}

/* Returns the length of the next message over TCP; 0 at the end. */
static inline size_t
rig_recv_tcp(int fd, uint8_t *buf)
{
	size_t have = 0, want = 2;
	uint8_t hdr[2];
	ssize_t n = -1;

	while (have < want) {
		rig_until((n = recv(fd, have < 2 ? hdr + have : buf + have - 2,
			       want - have, MSG_DONTWAIT)) >= 0 ||
			  errno != EAGAIN);
		if (n <= 0)
			return 0;
		have += (size_t)n;
		if (have == 2)
			want = 2u + wire_load_u16(hdr);
	}
	return want - 2;
}

static inline bool
rig_nothing_comes(int fd)
{
	uint8_t byte;

	rig_settle();
	return recv(fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN;
}

static inline bool
rig_is_closed(int fd)
{
	uint8_t byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	return n == 0 || (n == -1 && errno != EAGAIN);
}

/* The EDE code of a reply, -1 if it has none; *text its text. */
static inline int
rig_ede(const uint8_t *msg, size_t len, char text[256])
{
	struct wire_reader r;
	size_t n;

	wire_reader_init(&r, msg, len);
	(void)wire_get_bytes(&r, DNS_HDR_LEN);
	while ((n = wire_get_u8(&r)) > 0)
		(void)wire_get_bytes(&r, n);
	(void)wire_get_u32(&r);
	if (wire_load_u16(msg + 10) == 0)
		return -1;
	assert_int_equal(wire_get_u8(&r), 0);
	assert_int_equal(wire_get_u16(&r), DNS_TYPE_OPT);
	(void)wire_get_bytes(&r, 6);
	if (wire_get_u16(&r) == 0)
		return -1;
	assert_int_equal(wire_get_u16(&r), 15);
	n = wire_get_u16(&r);
	assert_true(n >= 2 && n < 256);
	memset(text, 0, 256);
	len = wire_get_u16(&r);
	wire_get_copy(&r, text, n - 2);
	assert_true(wire_done(&r));
	return (int)len;
}

/* How many descriptors are open in this process. */
static inline size_t
rig_count_fds(void)
{
	size_t n = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

#define RIG_TEST(name) \
	cmocka_unit_test_setup_teardown(name, rig_start, rig_stop)

#endif
