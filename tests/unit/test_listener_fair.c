/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core */
/* The places of clients beside each other, and queries that are repeated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/listener_rig.h"

static uint8_t buf[DNS_MSG_MAX];
static struct pkt pkt;

/* Asks what is not forwarded, but answered SERVFAIL. */
static void
ask_in_vain(int fd, uint16_t id)
{
	rig_make_query(&pkt, id, "vain.example", 0);
	rig_send(fd, &pkt);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), id);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_SERVFAIL);
}

/* Who has much is turned away while there is room for who has little. */
static void
test_flood_of_one_leaves_room_for_others(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	int other = rig_udp_client_at("127.0.0.2");
	struct rig_query q;
	uint16_t i;

	(void)state;
	rig.client.client.max_inflight = 16;
	rig_reload("127.0.0.0", 8);
	for (i = 0; i < 13; i++)
		(void)rig_ask(fd, i, "a.example", 0);
	for (; i < 20; i++)
		ask_in_vain(fd, i);
	for (i = 0; i < 5; i++) {
		q = *rig_ask(other, i, "b.example", 0);
		rig_answer(&q, 0);
		(void)rig_recv(other, buf, sizeof(buf));
		assert_int_equal(dns_rcode(buf), DNS_RCODE_NOERROR);
	}
	assert_int_equal(rig_count(LSTAT_failed_busy), 7);
	assert_int_equal(rig.ncancelled, 0);
	close(fd);
	close(other);
}

/* Nor does who floods end the old queries of those who have little. */
static void
test_flood_does_not_end_the_overtaken_of_others(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	int other = rig_udp_client_at("127.0.0.2");
	struct rig_query q;
	uint16_t i;

	(void)state;
	rig.client.client.max_inflight = 16;
	rig_reload("127.0.0.0", 8);
	(void)rig_ask(other, 1, "a.example", 0);
	rig_run_ms(SHED_OVERTAKEN_MS + 20);
	for (i = 0; i < 12; i++)
		q = *rig_ask(fd, i, "b.example", 0);
	rig_answer(&q, 0); /* has overtaken the other's */
	(void)rig_recv(fd, buf, sizeof(buf));
	(void)rig_ask(fd, 12, "b.example", 0);
	ask_in_vain(fd, 13);
	assert_true(rig_nothing_comes(other));
	assert_int_equal(rig_count(LSTAT_failed_busy), 1);
	close(fd);
	close(other);
}

/* A client that asks again before it has its answer. */
static void
test_repeated_query_is_forwarded_once(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	int other = rig_udp_client_at("127.0.0.2");
	struct rig_query q = *rig_ask(fd, 1, "a.example", 0);

	(void)state;
	rig_make_query(&pkt, 1, "a.example", 0);
	rig_send(fd, &pkt);
	rig_until(rig_count(LSTAT_dropped_repeated) == 1);
	(void)rig_ask(fd, 1, "b.example", 0);    /* another question, */
	(void)rig_ask(fd, 2, "a.example", 0);    /* another ID, */
	(void)rig_ask(other, 1, "a.example", 0); /* another client */
	rig_answer(&q, 0);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 1);
	assert_true(rig_nothing_comes(fd));
	/* When the answer got lost it is asked for once more. */
	(void)rig_ask(fd, 1, "a.example", 0);
	assert_int_equal(rig_count(LSTAT_dropped_repeated), 1);
	assert_int_equal(rig.ncancelled, 0);
	close(fd);
	close(other);
}

/* Over TCP nothing gets lost: who asks twice wants two answers. */
static void
test_repeated_query_over_tcp_is_another(void **state)
{
	int fd = rig_tcp_client();

	(void)state;
	rig_make_query(&pkt, 1, "a.example", 0);
	rig_send_tcp(fd, &pkt);
	rig_send_tcp(fd, &pkt);
	rig_until(rig.nqueries == 2);
	assert_int_equal(rig_count(LSTAT_dropped_repeated), 0);
	close(fd);
}

/* Beyond the limit: every second one is told to come by TCP, which is free. */
static void
test_rate_limit_sends_to_tcp(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr), tcp;
	int other = rig_udp_client_at("127.0.0.2");
	uint16_t i;

	(void)state;
	rig.client.client.rate_limit = 1;
	rig.client.client.rate_burst = 3;
	rig_reload("127.0.0.0", 8);
	for (i = 0; i < 3; i++)
		(void)rig_ask(fd, i, "a.example", 0);
	/* A larger OPT than the reply's, and none. */
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 1);
	pkt_question(&pkt, "a.example", 1);
	pkt_opt(&pkt, 1232, 0, 8);
	wire_put_u32(&pkt.w, 12 << 16 | 4); /* padding */
	wire_put_u32(&pkt.w, 0);
	dns_set_id(pkt.buf, 77);
	rig_send(fd, &pkt);
	assert_true(rig_recv(fd, buf, sizeof(buf)) <= pkt.w.pos);
	assert_int_equal(dns_id(buf), 77);
	assert_int_equal(buf[2] & 0x82, 0x82); /* QR, TC */
	assert_int_equal(dns_rcode(buf), DNS_RCODE_NOERROR);
	rig_make_query(&pkt, 78, "a.example", 0);
	rig_send(fd, &pkt);
	rig_until(rig_count(LSTAT_dropped_limited) == 1);
	rig_send(fd, &pkt);
	assert_int_equal(rig_recv(fd, buf, sizeof(buf)), pkt.w.pos);
	rig_send(fd, &pkt);
	rig_until(rig_count(LSTAT_dropped_limited) == 2);
	/* No other kind of request hears NOERROR. */
	pkt.buf[2] |= DNS_OPCODE_UPDATE << 3;
	rig_send(fd, &pkt);
	rig_until(rig_count(LSTAT_dropped_limited) == 3);
	assert_true(rig_nothing_comes(fd));
	assert_int_equal(rig_count(LSTAT_refused_limited), 2);
	(void)rig_ask(other, 1, "a.example", 0);
	tcp = rig_tcp_client();
	rig_make_query(&pkt, 1, "a.example", 0);
	for (i = 0; i < 5; i++)
		rig_send_tcp(tcp, &pkt);
	rig_until(rig.nqueries == 3 + 1 + 5);
	/* A reload ends it. */
	rig.client.client.rate_limit = rig.client.client.rate_burst = 0;
	rig_reload("127.0.0.0", 8);
	for (i = 10; i < 20; i++)
		(void)rig_ask(fd, i, "a.example", 0);
	close(fd);
	close(tcp);
	close(other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_flood_of_one_leaves_room_for_others),
		RIG_TEST(test_flood_does_not_end_the_overtaken_of_others),
		RIG_TEST(test_repeated_query_is_forwarded_once),
		RIG_TEST(test_repeated_query_over_tcp_is_another),
		RIG_TEST(test_rate_limit_sends_to_tcp),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
