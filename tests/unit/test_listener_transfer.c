/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core */
/* Zone transfers in the listener: limits, parts, credit, cancelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/listener_rig.h"

#define LARGE 60000

static struct pkt pkt;
static uint8_t buf[DNS_MSG_MAX];

static void
send_query(int fd, uint16_t id)
{
	pkt_start(&pkt, QUERY_FLAGS, 1, 0, 0, 1);
	wire_store_u16(pkt.buf, id);
	pkt_question(&pkt, "zone", DNS_TYPE_AXFR);
	pkt_opt(&pkt, 4096, 0, 0);
	rig_send_tcp(fd, &pkt);
}

/* Asks, and waits until the pool has it. */
static struct rig_query *
ask(int fd, uint16_t id)
{
	size_t before = rig.nqueries;

	send_query(fd, id);
	rig_until(rig.nqueries > before);
	return &rig.queries[before];
}

/* Answers as the pool, with n bytes behind the question. */
static void
send_part(uint64_t handle, size_t n)
{
	static uint8_t msg[DNS_MSG_MAX];
	struct rig_query *q = &rig.queries[0];

	memcpy(msg, q->wire, q->len);
	memset(msg + q->len, 0xaa, n);
	msg[2] |= 0x80;
	dns_set_id(msg, 0xdead);
	assert_true(msg_send_part(&rig.pool, handle, msg, q->len + n));
}

static void
refused(int fd, uint16_t id)
{
	char text[256];
	size_t len;

	send_query(fd, id);
	len = rig_recv_tcp(fd, buf);
	assert_int_equal(dns_id(buf), id);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_REFUSED);
	assert_int_equal(rig_ede(buf, len, text), DNS_EDE_OTHER);
	assert_string_equal(text, "too many zone transfers");
}

static void
test_all_messages_reach_the_client(void **state)
{
	int fd = rig_tcp_client(), i;
	struct rig_query q = *ask(fd, 7);

	(void)state;
	assert_true(q.transfer);
	assert_int_equal(rig_count(LSTAT_transfers_open), 1);
	for (i = 0; i < 3; i++) {
		send_part(q.handle, 1000);
		assert_int_equal(rig_recv_tcp(fd, buf), q.len + 1000);
		assert_int_equal(dns_id(buf), 7);
		assert_int_equal(rig_count(LSTAT_answered), 0);
	}
	rig_answer(&q, 10);
	assert_int_equal(rig_recv_tcp(fd, buf), q.len + 10);
	rig_settle();
	assert_int_equal(rig_count(LSTAT_answered), 1);
	assert_int_equal(rig_count(LSTAT_transfers), 1);
	assert_int_equal(rig_count(LSTAT_transfers_open), 0);
	assert_int_equal(rig.ncancelled, 0);
	close(fd);
}

static void
test_above_the_limit_is_refused(void **state)
{
	int fd = rig_tcp_client(), other = rig_tcp_client();
	struct rig_query q;

	(void)state;
	rig.l->conf.client.max_transfers = 2;
	q = *ask(fd, 1);
	(void)ask(other, 2);
	refused(fd, 3);
	rig_answer(&q, 0);
	(void)rig_recv_tcp(fd, buf);
	(void)ask(fd, 4);
	refused(other, 5);
	close(fd);
	close(other);
}

static void
test_one_connection_has_a_limit_of_its_own(void **state)
{
	int fd = rig_tcp_client(), other = rig_tcp_client();
	uint16_t i;

	(void)state;
	rig.l->conf.client.max_transfers = 100;
	for (i = 0; i < LISTENER_TRANSFERS_MAX; i++)
		(void)ask(fd, i);
	refused(fd, i);
	(void)ask(other, i);
	close(fd);
	close(other);
}

/* The pool is told what the client took, and nothing while it takes nothing. */
static void
test_credit_is_for_what_the_client_has_taken(void **state)
{
	int fd = rig_tcp_client();
	struct rig_query q = *ask(fd, 1);
	uint64_t sent = 0, paid;
	size_t n = 0;

	(void)state;
	while (rig.credit == sent || n < 2) { /* until the socket is full */
		send_part(q.handle, LARGE);
		sent += q.len + LARGE;
		rig_settle();
		if (++n > 200)
			fail_msg("the socket takes everything");
		if (rig.credit + 2 * MSG_TRANSFER_WINDOW < sent)
			break;
	}
	paid = rig.credit;
	rig_run_ms(20);
	assert_int_equal(rig.credit, paid);
	assert_true(paid < sent);
	while (n-- > 0)
		assert_int_equal(rig_recv_tcp(fd, buf), q.len + LARGE);
	rig_settle();
	assert_in_range(rig.credit, sent - MSG_TRANSFER_WINDOW / 4, sent);
	close(fd);
}

static void
test_client_that_goes_away_cancels(void **state)
{
	int fd = rig_tcp_client();
	struct rig_query q = *ask(fd, 1);
	struct linger rst = { 1, 0 };

	(void)state;
	send_part(q.handle, 1000);
	(void)rig_recv_tcp(fd, buf);
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(fd);
	rig_until(rig.ncancelled == 1);
	assert_int_equal(rig.cancelled, q.handle);
	assert_int_equal(rig_count(LSTAT_abandoned), 1);
	assert_int_equal(rig_count(LSTAT_transfers_open), 0);
	send_part(q.handle, 1000);
	rig_until(rig_count(LSTAT_stale_answers) == 1);
}

/* While the link has no room, one the pool was not told of keeps its place. */
static void
test_cancel_waits_for_room_in_the_link(void **state)
{
	int fd = rig_tcp_client();
	struct listener *l = rig.l;
	struct inflight_slot *s;
	struct tcp_conn *conn;
	struct rig_query q;

	(void)state;
	l->conf.client.max_transfers = 1;
	q = *ask(fd, 1);
	while (imsg_send_empty(&l->link, MSG_LT_CANCEL, 12345, -1))
		;
	s = inflight_find(&l->inflight, q.handle);
	conn = s->client.conn;
	query_abandon(l, s);
	assert_int_equal(l->ncancels, 1);
	assert_int_equal(rig_count(LSTAT_transfers_open), 0);
	assert_false(transfer_admits(l, conn));
	rig_until(rig.cancelled == q.handle);
	assert_int_equal(l->ncancels, 0);
	(void)ask(fd, 3);
	close(fd);
}

/* What has begun cannot become an error: the connection is closed. */
static void
test_failure_in_the_middle_closes_the_connection(void **state)
{
	struct msg_failed f = { CAUSE_NETWORK, MSG_NO_UPSTREAM };
	int fd = rig_tcp_client();
	struct rig_query q = *ask(fd, 1);

	(void)state;
	send_part(q.handle, 1000);
	assert_int_equal(rig_recv_tcp(fd, buf), q.len + 1000);
	assert_true(msg_send_failed(&rig.pool, q.handle, &f));
	assert_int_equal(rig_recv_tcp(fd, buf), 0);
	assert_int_equal(rig_count(LSTAT_dropped_send), 1);
	assert_int_equal(rig_count(LSTAT_transfers_open), 0);
	assert_int_equal(rig.ncancelled, 0);
	close(fd);
}

static void
test_failure_at_the_beginning_is_an_error(void **state)
{
	struct msg_failed f = { CAUSE_NETWORK, MSG_NO_UPSTREAM };
	int fd = rig_tcp_client();
	struct rig_query q = *ask(fd, 1);

	(void)state;
	assert_true(msg_send_failed(&rig.pool, q.handle, &f));
	assert_true(rig_recv_tcp(fd, buf) > 0);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_SERVFAIL);
	close(fd);
}

static void
test_lost_pool_closes_the_connection(void **state)
{
	int fd = rig_tcp_client();
	struct rig_query q = *ask(fd, 1);

	(void)state;
	send_part(q.handle, 1000);
	(void)rig_recv_tcp(fd, buf);
	rig_link();
	assert_int_equal(rig_recv_tcp(fd, buf), 0);
	assert_int_equal(rig_count(LSTAT_transfers_open), 0);
	assert_int_equal(rig.nqueries, 1);
	close(fd);
}

static void
test_silent_pool_closes_the_connection(void **state)
{
	int fd = rig_tcp_client();
	struct rig_query q = *ask(fd, 1);

	(void)state;
	rig.l->conf.query_timeout_ms = 10;
	rig.l->conf.transfer_idle_ms = 20;
	send_part(q.handle, 1000);
	(void)rig_recv_tcp(fd, buf);
	rig_until(inflight_first(&rig.l->inflight) == NULL);
	assert_int_equal(rig_recv_tcp(fd, buf), 0);
	rig_until(rig.cancelled == q.handle);
	close(fd);
}

/* Neither a plain query nor one over UDP is answered in parts. */
static void
test_part_of_what_is_no_transfer(void **state)
{
	int fd = rig_tcp_client(), udp = rig_udp_client(&rig.udp_addr);
	struct rig_query q;

	(void)state;
	rig_make_query(&pkt, 1, "zone", 0);
	rig_send_tcp(fd, &pkt);
	rig_until(rig.nqueries == 1);
	q = rig.queries[0];
	send_part(q.handle, 1000);
	rig_until(rig_count(LSTAT_bad_answers) == 1);
	rig_answer(&q, 0);
	assert_int_equal(rig_recv_tcp(fd, buf), q.len);
	q = *rig_ask(udp, 2, "zone", 0);
	send_part(q.handle, 100); /* it would fit */
	assert_int_equal(rig_recv(udp, buf, sizeof(buf)), q.len);
	assert_int_equal(buf[2] & 0x02, 0x02);
	assert_int_equal(rig_count(LSTAT_truncated), 1);
	close(fd);
	close(udp);
}

static void
test_part_with_another_question_is_not_passed_on(void **state)
{
	int fd = rig_tcp_client();
	struct rig_query q = *ask(fd, 1);

	(void)state;
	rig.queries[0].wire[DNS_HDR_LEN + 1] ^= 1;
	send_part(q.handle, 1000);
	rig_until(rig_count(LSTAT_bad_answers) == 1);
	rig.queries[0].wire[DNS_HDR_LEN + 1] ^= 1;
	send_part(q.handle, 1);
	assert_int_equal(rig_recv_tcp(fd, buf), q.len + 1);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_all_messages_reach_the_client),
		RIG_TEST(test_above_the_limit_is_refused),
		RIG_TEST(test_one_connection_has_a_limit_of_its_own),
		RIG_TEST(test_credit_is_for_what_the_client_has_taken),
		RIG_TEST(test_client_that_goes_away_cancels),
		RIG_TEST(test_cancel_waits_for_room_in_the_link),
		RIG_TEST(test_failure_in_the_middle_closes_the_connection),
		RIG_TEST(test_failure_at_the_beginning_is_an_error),
		RIG_TEST(test_lost_pool_closes_the_connection),
		RIG_TEST(test_silent_pool_closes_the_connection),
		RIG_TEST(test_part_of_what_is_no_transfer),
		RIG_TEST(test_part_with_another_question_is_not_passed_on),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
