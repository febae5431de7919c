/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core */
/* What becomes of a query, whatever clients and the pool say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/listener_rig.h"

static uint8_t buf[DNS_MSG_MAX];
static struct pkt pkt;

static void
test_there_and_back(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	struct rig_query *q;
	size_t len;

	(void)state;
	q = rig_ask(fd, 0x1234, "wWw.example", 1232);
	rig_make_query(&pkt, 0x1234, "wWw.example", 1232);
	assert_int_equal(q->len, pkt.w.pos);
	assert_memory_equal(q->wire + 2, pkt.buf + 2, q->len - 2);
	assert_in_range(q->left_ms, 3900, 4000);
	rig_answer(q, 30);
	len = rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(len, q->len + 30);
	assert_int_equal(dns_id(buf), 0x1234);
	assert_int_equal(buf[2], pkt.buf[2] | 0x80);
	assert_memory_equal(buf + 3, pkt.buf + 3, pkt.w.pos - 3);
	assert_int_equal(buf[len - 1], 0xaa);
	assert_int_equal(rig_count(LSTAT_answered), 1);
	assert_int_equal(rig_count(LSTAT_queries_udp), 1);
	assert_int_equal(rig_count(LSTAT_in_flight), 0);
	assert_int_equal(rig.l->inflight.count, 0);
	close(fd);
}

static void
test_same_id_many_times(void **state)
{
	int a = rig_udp_client(&rig.udp_addr);
	int b = rig_udp_client(&rig.udp_addr);
	struct rig_query qa1, qa2, qb;

	(void)state;
	qa1 = *rig_ask(a, 7, "one.example", 0);
	qa2 = *rig_ask(a, 7, "two.example", 0);
	qb = *rig_ask(b, 7, "one.example", 0);
	rig_answer(&qb, 1);
	rig_answer(&qa2, 2);
	rig_answer(&qa1, 3);
	assert_int_equal(rig_recv(b, buf, sizeof(buf)), qb.len + 1);
	assert_int_equal(rig_recv(a, buf, sizeof(buf)), qa2.len + 2);
	assert_int_equal(rig_recv(a, buf, sizeof(buf)), qa1.len + 3);
	close(a);
	close(b);
}

static void
test_wrong_answer_reaches_nobody(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	struct rig_query q;

	(void)state;
	q = *rig_ask(fd, 1, "www.example", 0);
	/* Another question, a query instead of an answer, another opcode. */
	rig_make_query(&pkt, 1, "www.evil", 0);
	rig_answer_wire(q.handle, pkt.buf, pkt.w.pos, 0);
	rig_make_query(&pkt, 1, "www.example", 0);
	assert_true(msg_send_answer(&rig.pool, q.handle, pkt.buf, pkt.w.pos));
	pkt.buf[2] |= 0x20;
	rig_answer_wire(q.handle, pkt.buf, pkt.w.pos, 0);
	assert_true(rig_nothing_comes(fd));
	assert_int_equal(rig_count(LSTAT_bad_answers), 3);
	assert_int_equal(rig_count(LSTAT_in_flight), 1);
	/* The query is not lost: the right one still counts. */
	rig_answer(&q, 0);
	assert_int_equal(rig_recv(fd, buf, sizeof(buf)), q.len);
	assert_int_equal(rig_count(LSTAT_answered), 1);
	close(fd);
}

static void
test_second_answer_is_stale(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	struct msg_failed f = { CAUSE_NETWORK, 0 };
	struct rig_query q;

	(void)state;
	q = *rig_ask(fd, 1, "www.example", 0);
	rig_answer(&q, 0);
	rig_answer(&q, 0);
	assert_true(msg_send_failed(&rig.pool, q.handle, &f));
	rig_answer_wire(q.handle + 1, q.wire, q.len, 0);
	rig_answer_wire(0, q.wire, q.len, 0);
	rig_answer_wire(UINT64_MAX, q.wire, q.len, 0);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_true(rig_nothing_comes(fd));
	assert_int_equal(rig_count(LSTAT_stale_answers), 5);
	close(fd);
}

static void
test_no_query_is_dropped(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);

	(void)state;
	rig_make_query(&pkt, 1, "www.example", 0);
	pkt.buf[2] |= 0x80; /* a response */
	rig_send(fd, &pkt);
	assert_int_equal(send(fd, buf, DNS_HDR_LEN - 1, 0), 11);
	assert_int_equal(send(fd, buf, 0, 0), 0);
	rig_until(rig_count(LSTAT_dropped_malformed) == 3);
	assert_true(rig_nothing_comes(fd));
	assert_int_equal(rig.nqueries, 0);
	close(fd);
}

static void
test_odd_queries_are_the_upstreams_to_judge(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	static const uint8_t header_only[DNS_HDR_LEN] = { 0, 9, 0x7f, 0xff, 0,
		1 };

	(void)state;
	assert_int_equal(
	    send(fd, header_only, sizeof(header_only), 0), DNS_HDR_LEN);
	rig_until(rig.nqueries == 1);
	assert_int_equal(rig.queries[0].len, DNS_HDR_LEN);
	rig_answer(&rig.queries[0], 100);
	assert_int_equal(rig_recv(fd, buf, sizeof(buf)), 112);
	close(fd);
}

static void
test_client_not_allowed(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	char text[256];
	size_t len;

	(void)state;
	rig_reload("192.0.2.0", 24);
	rig_make_query(&pkt, 5, "www.example", 1232);
	rig_send(fd, &pkt);
	len = rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 5);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_REFUSED);
	assert_int_equal(rig_ede(buf, len, text), DNS_EDE_PROHIBITED);
	rig_make_query(&pkt, 6, "www.example", 0);
	rig_send(fd, &pkt);
	len = rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_rcode(buf), DNS_RCODE_REFUSED);
	assert_int_equal(rig_ede(buf, len, text), -1);
	assert_int_equal(rig_count(LSTAT_refused_acl), 2);
	assert_int_equal(rig.nqueries, 0);
	close(fd);
}

static void
test_dso_is_not_forwarded(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);

	(void)state;
	pkt_start(&pkt, DNS_OPCODE_DSO << 11, 0, 0, 0, 0);
	rig_send(fd, &pkt);
	assert_int_equal(rig_recv(fd, buf, sizeof(buf)), DNS_HDR_LEN);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_NOTIMP);
	assert_int_equal(dns_opcode(buf), DNS_OPCODE_DSO);
	assert_int_equal(rig_count(LSTAT_refused_unsupported), 1);
	close(fd);
}

static void
test_other_opcodes_are_forwarded(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	uint16_t opcode;
	size_t n = 0;

	(void)state;
	for (opcode = 0; opcode < 16; opcode++) {
		if (opcode == DNS_OPCODE_DSO)
			continue;
		rig_make_query(&pkt, opcode, "www.example", 0);
		pkt.buf[2] = (uint8_t)(opcode << 3);
		rig_send(fd, &pkt);
		rig_until(rig.nqueries == n + 1);
		rig_answer(&rig.queries[n++], 0);
		(void)rig_recv(fd, buf, sizeof(buf));
		assert_int_equal(dns_opcode(buf), opcode);
	}
	close(fd);
}

/* Asks for a transfer over TCP or UDP; returns the reply's length. */
static size_t
ask_transfer(int fd, bool tcp, uint16_t type)
{
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 1);
	pkt_question(&pkt, "example", type);
	pkt_opt(&pkt, 4096, 0, 0);
	if (tcp)
		rig_send_tcp(fd, &pkt);
	else
		rig_send(fd, &pkt);
	return tcp ? rig_recv_tcp(fd, buf) : rig_recv(fd, buf, sizeof(buf));
}

static void
test_transfers_over_udp(void **state)
{
	int udp = rig_udp_client(&rig.udp_addr);
	char text[256];
	size_t len;

	(void)state;
	len = ask_transfer(udp, false, DNS_TYPE_AXFR);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_NOTIMP);
	assert_int_equal(rig_ede(buf, len, text), DNS_EDE_NOT_SUPPORTED);
	assert_int_equal(rig_count(LSTAT_refused_unsupported), 1);
	assert_int_equal(rig.nqueries, 0);
	rig.echo = true;
	(void)ask_transfer(udp, false, DNS_TYPE_IXFR);
	assert_int_equal(rig.nqueries, 1);
	assert_false(rig.queries[0].transfer);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_NOERROR);
	assert_int_equal(rig_count(LSTAT_transfers), 0);
	close(udp);
}

static void
test_truncation(void **state)
{
	static const struct {
		uint16_t udp_size;
		size_t limit;
	} cases[] = { { 0, 512 }, { 100, 512 }, { 513, 513 }, { 1232, 1232 },
		{ 4096, 4096 } };
	int fd = rig_udp_client(&rig.udp_addr);
	struct rig_query q;
	size_t i, len;

	(void)state;
	for (i = 0; i < 5; i++) {
		q = *rig_ask(fd, 9, "www.example", cases[i].udp_size);
		rig_answer(&q, cases[i].limit - q.len);
		len = rig_recv(fd, buf, sizeof(buf));
		assert_int_equal(len, cases[i].limit);
		assert_int_equal(buf[2] & 0x02, 0);
		assert_int_equal(rig_count(LSTAT_truncated), i);

		q = *rig_ask(fd, 9, "www.example", cases[i].udp_size);
		rig_answer(&q, cases[i].limit - q.len + 1);
		len = rig_recv(fd, buf, sizeof(buf));
		assert_true(len <= cases[i].limit);
		assert_int_equal(buf[2] & 0x02, 0x02);
		assert_int_equal(dns_id(buf), 9);
		assert_int_equal(wire_load_u16(buf + 4), 1);
		assert_int_equal(
		    wire_load_u16(buf + 10), cases[i].udp_size != 0);
		assert_int_equal(rig_count(LSTAT_truncated), i + 1);
		assert_int_equal(rig_count(LSTAT_answered), 2 * i + 2);
	}
	close(fd);
}

static void
test_udp_has_a_limit_of_its_own(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	struct rig_query q;

	(void)state;
	q = *rig_ask(fd, 9, "www.example", 65535);
	rig_answer(&q, 65507 - q.len);
	assert_int_equal(rig_recv(fd, buf, sizeof(buf)), 65507);
	q = *rig_ask(fd, 9, "www.example", 65535);
	rig_answer(&q, 65508 - q.len);
	assert_true(rig_recv(fd, buf, sizeof(buf)) < 100);
	assert_int_equal(buf[2] & 0x02, 0x02);
	assert_int_equal(rig_count(LSTAT_dropped_send), 0);
	close(fd);
}

static void
test_failures_have_names(void **state)
{
	static const struct {
		uint8_t cause;
		enum listener_counter counter;
		int ede;
	} cases[] = {
		{ CAUSE_NONE, LSTAT_failed_other, 0 },
		{ CAUSE_TIMEOUT, LSTAT_failed_timeout, 22 },
		{ CAUSE_NETWORK, LSTAT_failed_network, 23 },
		{ CAUSE_TLS, LSTAT_failed_tls, 0 },
		{ CAUSE_NAME, LSTAT_failed_tls, 0 },
		{ CAUSE_EXPIRED, LSTAT_failed_tls, 0 },
		{ CAUSE_UNTRUSTED, LSTAT_failed_tls, 0 },
		{ CAUSE_PIN, LSTAT_failed_tls, 0 },
		{ CAUSE_CLIENT_CERT, LSTAT_failed_tls, 0 },
		{ CAUSE_PROTOCOL, LSTAT_failed_other, 0 },
		{ CAUSE_BUSY, LSTAT_failed_busy, 0 },
		{ CAUSE_NOT_REPEATABLE, LSTAT_failed_other, 0 },
	};
	int fd = rig_udp_client(&rig.udp_addr);
	char text[256], want[256];
	struct msg_failed f;
	struct rig_query q;
	uint64_t before;
	size_t i, len;

	(void)state;
	assert_int_equal(sizeof(cases) / sizeof(cases[0]), CAUSE_COUNT);
	for (i = 0; i < CAUSE_COUNT; i++) {
		q = *rig_ask(fd, (uint16_t)i, "www.example", 1232);
		f.cause = cases[i].cause;
		f.upstream = 0;
		before = rig_count(cases[i].counter);
		assert_true(msg_send_failed(&rig.pool, q.handle, &f));
		len = rig_recv(fd, buf, sizeof(buf));
		assert_int_equal(dns_id(buf), i);
		assert_int_equal(dns_rcode(buf), DNS_RCODE_SERVFAIL);
		assert_int_equal(rig_ede(buf, len, text), cases[i].ede);
		(void)snprintf(want, sizeof(want), "upstream \"quad9\": %s",
		    msg_cause_name(f.cause));
		assert_string_equal(text, want);
		assert_int_equal(rig_count(cases[i].counter), before + 1);
	}
	/* No upstream, or one we have no name of. */
	for (i = 0; i < 2; i++) {
		q = *rig_ask(fd, 1, "www.example", 1232);
		f.cause = CAUSE_BUSY;
		f.upstream = i == 0 ? MSG_NO_UPSTREAM : 1;
		assert_true(msg_send_failed(&rig.pool, q.handle, &f));
		len = rig_recv(fd, buf, sizeof(buf));
		(void)rig_ede(buf, len, text);
		assert_string_equal(text, msg_cause_name(CAUSE_BUSY));
	}
	close(fd);
}

static void
test_deadline_is_the_backstop(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	uint64_t start_ms;
	char text[256];
	size_t len;

	(void)state;
	rig.client.query_timeout_ms = 200;
	rig_reload("127.0.0.0", 8);
	start_ms = util_now_ms();
	(void)rig_ask(fd, 3, "www.example", 1232);
	len = rig_recv(fd, buf, sizeof(buf));
	/* Later than the pool's own, which knows the cause. */
	assert_in_range(util_now_ms() - start_ms, 295, 600);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_SERVFAIL);
	assert_int_equal(
	    rig_ede(buf, len, text), DNS_EDE_NO_REACHABLE_AUTHORITY);
	assert_int_equal(rig_count(LSTAT_failed_timeout), 1);
	rig_until(rig.ncancelled == 1);
	assert_int_equal(rig.cancelled, rig.queries[0].handle);
	/* The answer comes too late. */
	rig_answer(&rig.queries[0], 0);
	assert_true(rig_nothing_comes(fd));
	assert_int_equal(rig_count(LSTAT_stale_answers), 1);
	close(fd);
}

static void
test_shorter_timeout_after_reload(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);

	(void)state;
	(void)rig_ask(fd, 1, "slow.example", 0);
	rig.client.query_timeout_ms = 50;
	rig_reload("127.0.0.0", 8);
	(void)rig_ask(fd, 2, "fast.example", 0);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 2);
	assert_int_equal(rig_count(LSTAT_in_flight), 1);
	close(fd);
}

static void
test_identity_of_counters(void **state)
{
	struct msg_failed f = { CAUSE_PIN, MSG_NO_UPSTREAM };
	int fd = rig_udp_client(&rig.udp_addr), tcp = rig_tcp_client();
	struct rig_query q;

	(void)state;
	rig.l->conf.client.max_transfers = 0;
	/* rig_check() looks after every turn; here is some of everything. */
	q = *rig_ask(fd, 1, "a.example", 0);
	rig_answer(&q, 1000); /* truncated */
	q = *rig_ask(fd, 2, "b.example", 0);
	assert_true(msg_send_failed(&rig.pool, q.handle, &f));
	assert_int_equal(send(fd, buf, 3, 0), 3);
	(void)ask_transfer(tcp, true, DNS_TYPE_AXFR);
	rig_make_query(&pkt, 3, "c.example", 0);
	rig_send_tcp(tcp, &pkt);
	rig_until(rig.nqueries == 3);
	close(tcp); /* abandons it */
	rig_answer(&rig.queries[2], 0);
	(void)rig_ask(fd, 4, "d.example", 0);
	rig_settle();
	assert_int_equal(rig_count(LSTAT_truncated), 1);
	assert_int_equal(rig_count(LSTAT_in_flight), 1);
	assert_int_equal(ended_in_listener(rig.l->counters), 5);
	close(fd);
}

static uint64_t
measured(enum info_hist_kind kind)
{
	struct hist h;

	metrics_read(&rig.l->metrics, kind, true, rig.l->now_ms, &h);
	return h.count;
}

/* Sizes of all, waits of those that waited, an RCODE for every reply. */
static void
test_what_is_measured(void **state)
{
	struct msg_failed f = { CAUSE_PIN, MSG_NO_UPSTREAM };
	int fd = rig_udp_client(&rig.udp_addr), tcp = rig_tcp_client();
	struct rig_query q;
	struct hist h;

	(void)state;
	rig.l->conf.client.max_transfers = 0;
	q = *rig_ask(fd, 1, "a.example", 0);
	rig_answer(&q, 2);
	assert_int_equal(rig_recv(fd, buf, sizeof(buf)), q.len + 2);
	metrics_read(&rig.l->metrics, INFO_HIST_QUERY_SIZE_UDP, false, 0, &h);
	assert_int_equal(h.sum_us, q.len);
	metrics_read(&rig.l->metrics, INFO_HIST_ANSWER_SIZE_UDP, false, 0, &h);
	assert_int_equal(h.sum_us, q.len + 2);
	q = *rig_ask(fd, 2, "b.example", 0);
	q.wire[3] |= 3;
	rig_answer(&q, 0);
	assert_int_equal(rig_recv(fd, buf, sizeof(buf)), q.len);
	q = *rig_ask(fd, 3, "c.example", 0);
	assert_true(msg_send_failed(&rig.pool, q.handle, &f));
	(void)rig_recv(fd, buf, sizeof(buf));
	(void)ask_transfer(tcp, true, DNS_TYPE_AXFR); /* REFUSED at once */
	assert_int_equal(measured(INFO_HIST_RTT_UDP), 3);
	assert_int_equal(measured(INFO_HIST_RTT_TCP), 0);
	assert_int_equal(measured(INFO_HIST_QUERY_SIZE_UDP), 3);
	assert_int_equal(measured(INFO_HIST_QUERY_SIZE_TCP), 1);
	assert_int_equal(measured(INFO_HIST_ANSWER_SIZE_TCP), 1);
	assert_int_equal(rig_count(LSTAT_rcode_noerror), 1);
	assert_int_equal(rig_count(LSTAT_rcode_nxdomain), 1);
	assert_int_equal(rig_count(LSTAT_rcode_servfail), 1);
	assert_int_equal(rig_count(LSTAT_rcode_refused), 1);
	assert_int_equal(rig_count(LSTAT_rcode_other), 0);
	close(fd);
	close(tcp);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_what_is_measured),
		RIG_TEST(test_there_and_back),
		RIG_TEST(test_same_id_many_times),
		RIG_TEST(test_wrong_answer_reaches_nobody),
		RIG_TEST(test_second_answer_is_stale),
		RIG_TEST(test_no_query_is_dropped),
		RIG_TEST(test_odd_queries_are_the_upstreams_to_judge),
		RIG_TEST(test_client_not_allowed),
		RIG_TEST(test_dso_is_not_forwarded),
		RIG_TEST(test_other_opcodes_are_forwarded),
		RIG_TEST(test_transfers_over_udp),
		RIG_TEST(test_truncation),
		RIG_TEST(test_udp_has_a_limit_of_its_own),
		RIG_TEST(test_failures_have_names),
		RIG_TEST(test_deadline_is_the_backstop),
		RIG_TEST(test_shorter_timeout_after_reload),
		RIG_TEST(test_identity_of_counters),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
