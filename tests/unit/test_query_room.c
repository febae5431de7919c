/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core */
/*
 * Who has a place in the table of queries when there is none for all, and
 * memory for long ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/listener_rig.h"

static uint8_t buf[DNS_MSG_MAX];
static struct pkt pkt;

static void
test_full_table(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	struct rig_query q;

	(void)state;
	rig.client.client.max_inflight = 2;
	rig_reload("127.0.0.0", 8);
	q = *rig_ask(fd, 1, "a.example", 0);
	(void)rig_ask(fd, 2, "b.example", 0);
	rig_make_query(&pkt, 3, "c.example", 0);
	rig_send(fd, &pkt);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 3);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_SERVFAIL);
	assert_int_equal(rig_count(LSTAT_failed_busy), 1);
	rig_answer(&q, 0);
	(void)rig_recv(fd, buf, sizeof(buf));
	(void)rig_ask(fd, 4, "d.example", 0);
	/* Neither the one refused nor the one answered is the pool's. */
	assert_int_equal(rig.ncancelled, 0);
	close(fd);
}

/* Sends a query over UDP with so many bytes behind it. */
static void
send_long(int fd, uint16_t id, size_t len)
{
	memset(buf, 0, len);
	rig_make_query(&pkt, id, "long.example", 0);
	memcpy(buf, pkt.buf, pkt.w.pos);
	assert_int_equal(send(fd, buf, len, 0), len);
	rig_settle();
}

/* Who sends long queries leaves others room for theirs, and over TCP, too. */
static void
test_memory_for_long_queries_is_shared(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr), tcp = rig_tcp_client();
	int other = rig_udp_client_at("127.0.0.2");
	const struct store *longs = &rig.l->inflight.longs;
	size_t n;
	uint16_t id;

	(void)state;
	for (id = 0; rig_count(LSTAT_failed_busy) == 0 && id < 300; id++)
		send_long(fd, id, 60000);
	assert_in_range(longs->bytes, INFLIGHT_LONG_MAX / 2,
	    INFLIGHT_LONG_MAX - INFLIGHT_LONG_MAX / 5);
	n = rig.nqueries;
	send_long(fd, id, 400);
	assert_int_equal(rig_count(LSTAT_failed_busy), 2);
	send_long(other, 1, 60000);
	send_long(other, 2, 400);
	rig_make_query(&pkt, 3, "short.example", 0);
	rig_send(fd, &pkt);
	rig_make_query(&pkt, 4, "long.example", 0);
	pkt.w.pos = 400;
	rig_send_tcp(tcp, &pkt);
	rig_until(rig.nqueries == n + 4);
	assert_int_equal(rig_count(LSTAT_failed_busy), 2);
	while (n > 0) {
		rig_answer(&rig.queries[--n], 0);
		rig_turn();
	}
	rig_until(rig.l->inflight.count == 4);
	assert_int_equal(longs->bytes, 60000 + 400 + 400);
	assert_int_equal(rig.l->inflight.longs_tcp, 400);
	close(fd);
	close(other);
	close(tcp);
}

/* Who waits is in line, however long, until somebody later was answered. */
static void
test_overtaken_yield_in_a_full_table(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	struct rig_query q;

	(void)state;
	rig.client.client.max_inflight = 2;
	rig_reload("127.0.0.0", 8);
	(void)rig_ask(fd, 1, "a.example", 0);
	rig_run_ms(SHED_OVERTAKEN_MS + 20);
	q = *rig_ask(fd, 2, "b.example", 0);
	rig_make_query(&pkt, 3, "c.example", 0);
	rig_send(fd, &pkt);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 3);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_SERVFAIL);
	rig_answer(&q, 0);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 2);
	(void)rig_ask(fd, 4, "d.example", 0); /* there is room again */
	(void)rig_ask(fd, 5, "e.example", 0); /* and now there is none */
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 1);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_SERVFAIL);
	rig_until(rig.ncancelled == 1);
	assert_int_equal(rig.cancelled, rig.queries[0].handle);
	rig_make_query(&pkt, 6, "f.example", 0); /* the others are in line */
	rig_send(fd, &pkt);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 6);
	assert_int_equal(rig_count(LSTAT_failed_busy), 3);
	close(fd);
}

/* But not to one who has more than they, unless nobody waits for them. */
static void
test_overtaken_of_a_client_that_went_yields_to_anybody(void **state)
{
	const struct linger reset = { 1, 0 };
	int fd = rig_udp_client_at("127.0.0.2"), tcp = rig_tcp_client();
	struct rig_query q;
	uint16_t id;

	(void)state;
	rig.client.client.max_inflight = 8;
	rig_reload("127.0.0.0", 8);
	rig_make_query(&pkt, 1, "a.example", 0);
	rig_send_tcp(tcp, &pkt);
	rig_send_tcp(tcp, &pkt);
	rig_until(rig.nqueries == 2);
	rig_run_ms(SHED_OVERTAKEN_MS + 20);
	for (id = 2; rig_count(LSTAT_failed_busy) == 0; id++) {
		rig_make_query(&pkt, id, "b.example", 0);
		rig_send(fd, &pkt);
		rig_settle();
	}
	q = rig.queries[2];
	rig_answer(&q, 0);
	rig_until(rig_count(LSTAT_answered) == 1);
	(void)rig_ask(fd, id++, "b.example", 0); /* in its place */
	rig_make_query(&pkt, id++, "b.example", 0);
	rig_send(fd, &pkt);
	rig_until(rig_count(LSTAT_failed_busy) == 2);
	(void)setsockopt(tcp, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(tcp);
	rig_until(rig_count(LSTAT_abandoned) == 2);
	assert_int_equal(rig.l->inflight.count_gone, 2);
	rig_make_query(&pkt, id++, "b.example", 0);
	rig_send(fd, &pkt);
	rig_until(rig.ncancelled == 1);
	assert_int_equal(rig.cancelled, rig.queries[0].handle);
	assert_int_equal(rig.l->inflight.count_gone, 1);
	assert_int_equal(rig_count(LSTAT_failed_busy), 2);
	close(fd);
}

/* Queries over UDP, however many, leave places to those over TCP. */
static void
test_udp_leaves_room_for_tcp(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr), tcp = rig_tcp_client();
	int other = rig_udp_client_at("127.0.0.2");
	uint16_t i;

	(void)state;
	rig.client.client.max_inflight = 16;
	rig_reload("127.0.0.0", 8);
	for (i = 0; i < 13; i++)
		(void)rig_ask(fd, i, "a.example", 0);
	(void)rig_ask(other, 98, "a.example", 0);
	rig_make_query(&pkt, 99, "b.example", 0);
	rig_send(other, &pkt);
	(void)rig_recv(other, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 99);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_SERVFAIL);
	rig_make_query(&pkt, 1, "c.example", 0);
	rig_send_tcp(tcp, &pkt);
	rig_until(rig.nqueries == 15);
	assert_int_equal(rig_count(LSTAT_failed_busy), 1);
	close(other);
	close(fd);
	close(tcp);
}

/* Nor does one over TCP end for one over UDP that finds no place even so. */
static void
test_overtaken_do_not_yield_in_vain(void **state)
{
	int tcp = rig_tcp_client(), fds[8];
	struct rig_query q;
	char host[16];
	uint16_t i;

	(void)state;
	rig.client.client.max_inflight = 16;
	rig_reload("127.0.0.0", 8);
	rig_make_query(&pkt, 1, "a.example", 0);
	rig_send_tcp(tcp, &pkt);
	rig_until(rig.nqueries == 1);
	rig_run_ms(SHED_OVERTAKEN_MS + 20);
	for (i = 0; i < 8; i++) {
		(void)snprintf(host, sizeof(host), "127.0.0.%u", i + 2u);
		fds[i] = rig_udp_client_at(host);
	}
	for (i = 0; i < 14; i++)
		(void)rig_ask(fds[i % 7], i, "b.example", 0);
	q = rig.queries[1];
	rig_answer(&q, 0);
	rig_until(rig_count(LSTAT_answered) == 1);
	(void)rig_ask(fds[0], i, "b.example", 0);
	rig_make_query(&pkt, 99, "c.example", 0);
	rig_send(fds[7], &pkt);
	rig_until(rig_count(LSTAT_failed_busy) > 0);
	assert_int_equal(rig_count(LSTAT_failed_busy), 1);
	assert_int_equal(rig.l->inflight.count_tcp, 1);
	for (i = 0; i < 8; i++)
		close(fds[i]);
	close(tcp);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_full_table),
		RIG_TEST(test_memory_for_long_queries_is_shared),
		RIG_TEST(test_overtaken_yield_in_a_full_table),
		RIG_TEST(
		    test_overtaken_of_a_client_that_went_yields_to_anybody),
		RIG_TEST(test_udp_leaves_room_for_tcp),
		RIG_TEST(test_overtaken_do_not_yield_in_vain),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
