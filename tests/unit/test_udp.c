/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core */
/* Datagrams: batches, addresses, and sockets that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/udp.h>

#include "tests/unit/listener_rig.h"

static uint8_t buf[DNS_MSG_MAX];
static struct pkt pkt;

/* Adds a socket to the configuration; where it is bound comes in *addr. */
static void
listen_too(uint32_t id, const char *host, struct sockaddr_storage *addr)
{
	int fd = rig_socket(SOCK_DGRAM, host, 0, addr);

	rig_conf_begin();
	rig_send_allow("127.0.0.0", 8);
	rig_send_allow("::1", 128);
	rig_send_listen(RIG_UDP_ID, false, &rig.udp_addr, -1);
	rig_send_listen(RIG_TCP_ID, true, &rig.tcp_addr, -1);
	rig_send_listen(id, false, addr, fd);
	rig_conf_end();
}

/* Takes all UDP sockets out of the configuration. */
static void
listen_no_more(void)
{
	rig_conf_begin();
	rig_send_allow("127.0.0.0", 8);
	rig_send_listen(RIG_TCP_ID, true, &rig.tcp_addr, -1);
	rig_conf_end();
}

/* A client that takes answers from this address only. */
static int
client_of(const struct sockaddr_storage *sock, const char *host)
{
	struct sockaddr_storage to = *sock;

	if (strchr(host, ':') != NULL)
		inet_pton(
		    AF_INET6, host, &((struct sockaddr_in6 *)&to)->sin6_addr);
	else {
		((struct sockaddr_in *)&to)->sin_family = AF_INET;
		((struct sockaddr_in *)&to)->sin_port =
		    htons(sockaddr_port(sock));
		inet_pton(
		    AF_INET, host, &((struct sockaddr_in *)&to)->sin_addr);
	}
	return rig_udp_client(&to);
}

static void
exchange(int fd)
{
	struct rig_query q = *rig_ask(fd, 77, "www.example", 0);

	rig_answer(&q, 0);
	assert_int_equal(rig_recv(fd, buf, sizeof(buf)), q.len);
	assert_int_equal(dns_id(buf), 77);
}

static void
test_answer_comes_from_the_address_asked(void **state)
{
	struct sockaddr_storage addr;
	int a, b;

	(void)state;
	listen_too(20, "0.0.0.0", &addr);
	a = client_of(&addr, "127.0.0.5");
	b = client_of(&addr, "127.0.0.1");
	exchange(a);
	exchange(b);
	exchange(a);
	close(a);
	close(b);
}

static void
test_answer_over_ipv6(void **state)
{
	struct sockaddr_storage addr;
	int a, b;

	(void)state;
	listen_too(20, "::", &addr);
	a = client_of(&addr, "::1");
	exchange(a);
	close(a);
	/* An IPv4 client of an IPv6 socket is allowed as an IPv4 client. */
	b = client_of(&addr, "127.0.0.9");
	exchange(b);
	close(b);
}

/* The buffers are the same, and the addresses longer. */
static void
test_ipv6_after_ipv4(void **state)
{
	struct sockaddr_storage addr;
	int four = rig_udp_client(&rig.udp_addr), six;

	(void)state;
	listen_too(20, "::", &addr);
	six = client_of(&addr, "::1");
	exchange(four);
	exchange(six);
	close(four);
	close(six);
}

static void
test_burst_in_one_turn(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr), size = 4 * 1024 * 1024;
	bool seen[250] = { false };
	size_t i;

	(void)state;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	for (i = 0; i < 250; i++) {
		rig_make_query(&pkt, (uint16_t)i, "www.example", 0);
		rig_send(fd, &pkt);
	}
	rig_turn(); /* 64 four times would do */
	assert_int_equal(rig_count(LSTAT_queries_udp), 250);
	rig_until(rig.nqueries == 250);
	for (i = 0; i < 250; i++)
		rig_answer(&rig.queries[i], 0);
	rig_turn();
	assert_int_equal(rig_count(LSTAT_answered), 250);
	for (i = 0; i < 250; i++) {
		(void)rig_recv(fd, buf, sizeof(buf));
		assert_true(dns_id(buf) < 250 && !seen[dns_id(buf)]);
		seen[dns_id(buf)] = true;
	}
	close(fd);
}

static void
test_large_answers_fill_a_batch(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr), size = 4 * 1024 * 1024;
	size_t i, n = 0;

	(void)state;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	for (i = 0; i < 8; i++)
		(void)rig_ask(fd, (uint16_t)i, "www.example", 65535);
	for (i = 0; i < 8; i++)
		rig_answer(&rig.queries[i], 40000);
	rig_until(rig_count(LSTAT_answered) == 8);
	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 40000)
		n++;
	assert_true(n > 1); /* as many as the client has room for */
	close(fd);
}

static void
test_answers_of_two_sockets(void **state)
{
	struct sockaddr_storage addr;
	int a, b;
	size_t i;

	(void)state;
	listen_too(20, "127.0.0.1", &addr);
	a = rig_udp_client(&rig.udp_addr);
	b = rig_udp_client(&addr);
	for (i = 0; i < 20; i++)
		(void)rig_ask(i % 2 ? a : b, (uint16_t)i, "www.example", 0);
	for (i = 0; i < 20; i++)
		rig_answer(&rig.queries[i], 0);
	rig_turn();
	for (i = 0; i < 20; i++) {
		(void)rig_recv(i % 2 ? a : b, buf, sizeof(buf));
		assert_int_equal(dns_id(buf), i);
	}
	close(a);
	close(b);
}

static void
test_client_that_has_gone(void **state)
{
	int a = rig_udp_client(&rig.udp_addr), b;
	struct rig_query q;

	(void)state;
	q = *rig_ask(a, 1, "www.example", 0);
	close(a);
	rig_answer(&q, 0);
	rig_settle();
	b = rig_udp_client(&rig.udp_addr);
	exchange(b);
	close(b);
}

/* A query from port 0, which nobody can answer. */
static void
test_answer_that_cannot_be_sent(void **state)
{
	struct sockaddr_in to;
	struct udphdr hdr;
	uint8_t packet[512];
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);

	(void)state;
	if (fd == -1)
		skip(); /* not root */
	rig_make_query(&pkt, 1, "www.example", 0);
	memcpy(&to, &rig.udp_addr, sizeof(to));
	memset(&hdr, 0, sizeof(hdr));
	hdr.dest = to.sin_port;
	hdr.len = htons((uint16_t)(sizeof(hdr) + pkt.w.pos));
	memcpy(packet, &hdr, sizeof(hdr));
	memcpy(packet + sizeof(hdr), pkt.buf, pkt.w.pos);
	to.sin_port = 0;
	assert_int_not_equal(sendto(fd, packet, sizeof(hdr) + pkt.w.pos, 0,
				 (struct sockaddr *)&to, sizeof(to)),
	    -1);
	close(fd);
	rig_until(rig.nqueries == 1);
	/* One like that between others does not hold them up. */
	fd = rig_udp_client(&rig.udp_addr);
	(void)rig_ask(fd, 2, "www.example", 0);
	(void)rig_ask(fd, 3, "www.example", 0);
	rig_answer(&rig.queries[1], 0);
	rig_answer(&rig.queries[0], 0);
	rig_answer(&rig.queries[2], 0);
	(void)rig_recv(fd, buf, sizeof(buf));
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 3);
	assert_int_equal(rig_count(LSTAT_dropped_send), 1);
	assert_int_equal(rig_count(LSTAT_answered), 2);
	close(fd);
}

static void
test_largest_query(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);

	(void)state;
	rig_make_query(&pkt, 1, "www.example", 0);
	memset(pkt.buf + pkt.w.pos, 0x5a, 65507 - pkt.w.pos);
	pkt.w.pos = 65507;
	rig_send(fd, &pkt);
	rig_until(rig.nqueries == 1);
	assert_int_equal(rig.queries[0].len, 65507);
	assert_memory_equal(rig.queries[0].wire + 2, pkt.buf + 2, 65505);
	rig_answer(&rig.queries[0], 0);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(rig.l->inflight.longs.bytes, 0);
	close(fd);
}

static void
test_retired_socket_answers(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr), again;
	struct sockaddr_storage addr;
	size_t fds = rig_count_fds();
	struct rig_query q;

	(void)state;
	q = *rig_ask(fd, 1, "www.example", 0);
	/* This one is in the kernel's queue when the reload comes. */
	rig_make_query(&pkt, 2, "queued.example", 0);
	rig_conf_begin();
	rig_send_allow("127.0.0.0", 8);
	rig_send_listen(RIG_TCP_ID, true, &rig.tcp_addr, -1);
	(void)imsg_send_empty(&rig.parent, MSG_PX_CONF_END, rig.generation, -1);
	rig_send(fd, &pkt);
	rig_until(rig.nqueries == 2);
	/* This one is too late. */
	rig_make_query(&pkt, 3, "late.example", 0);
	(void)send(fd, pkt.buf, pkt.w.pos, 0);
	rig_settle();
	assert_int_equal(rig.nqueries, 2);
	assert_int_equal(rig_count_fds(), fds);
	rig_answer(&q, 0);
	rig_answer(&rig.queries[1], 0);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 1);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 2);
	/* Now it is closed, and its port free. */
	assert_int_equal(rig_count_fds(), fds - 1);
	again = rig_socket(
	    SOCK_DGRAM, "127.0.0.1", sockaddr_port(&rig.udp_addr), &addr);
	close(again);
	close(fd);
}

static void
test_idle_socket_is_retired_at_once(void **state)
{
	size_t fds = rig_count_fds();

	(void)state;
	listen_no_more();
	rig_settle();
	assert_int_equal(rig_count_fds(), fds - 1);
	assert_false(udp_has(rig.l, RIG_UDP_ID));
}

static void
test_known_socket_goes_on(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	size_t fds = rig_count_fds();
	unsigned int round;

	(void)state;
	for (round = 0; round < 100; round++) {
		rig_conf_begin();
		rig_send_allow("127.0.0.0", 8);
		rig_send_listen(RIG_UDP_ID, false, &rig.udp_addr,
		    open("/dev/null", O_RDONLY | O_CLOEXEC));
		rig_send_listen(RIG_TCP_ID, true, &rig.tcp_addr,
		    open("/dev/null", O_RDONLY | O_CLOEXEC));
		rig_conf_end();
		exchange(fd);
	}
	assert_int_equal(rig_count_fds(), fds);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_answer_comes_from_the_address_asked),
		RIG_TEST(test_answer_over_ipv6),
		RIG_TEST(test_ipv6_after_ipv4),
		RIG_TEST(test_burst_in_one_turn),
		RIG_TEST(test_large_answers_fill_a_batch),
		RIG_TEST(test_answers_of_two_sockets),
		RIG_TEST(test_client_that_has_gone),
		RIG_TEST(test_answer_that_cannot_be_sent),
		RIG_TEST(test_largest_query),
		RIG_TEST(test_retired_socket_answers),
		RIG_TEST(test_idle_socket_is_retired_at_once),
		RIG_TEST(test_known_socket_goes_on),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
