/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core */
/* TCP clients come and go: timeouts, limits, and those who mean no good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/listener_tcp.h"

static void
reset(int fd)
{
	const struct linger rst = { 1, 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(fd);
}

/* The upstream has its queries to do: it must not have room for more. */
static void
test_client_goes_with_queries_in_flight(void **state)
{
	struct msg_failed failed = { CAUSE_TIMEOUT, MSG_NO_UPSTREAM };
	int fd = rig_tcp_client();
	const struct prefix *p;
	struct rig_query q[2];

	(void)state;
	q[0] = *ask(fd, 1);
	q[1] = *ask(fd, 2);
	reset(fd);
	rig_until(rig_count(LSTAT_tcp_open) == 0);
	assert_int_equal(rig_count(LSTAT_abandoned), 2);
	assert_int_equal(rig_count(LSTAT_in_flight), 0);
	assert_int_equal(rig.l->inflight.count, 2);
	assert_int_equal(rig.l->inflight.count_tcp, 2);
	p = inflight_first(&rig.l->inflight)->prefix;
	assert_int_equal(p->count[true], 2);
	rig_answer(&q[0], 0);
	assert_true(msg_send_failed(&rig.pool, q[1].handle, &failed));
	rig_until(rig.l->inflight.count == 0);
	assert_int_equal(p->count[true], 0);
	assert_int_equal(rig.l->inflight.count_tcp, 0);
	assert_int_equal(rig_count(LSTAT_stale_answers), 0);
	assert_int_equal(rig.ncancelled, 0);
}

/* Nobody waits for them: the next pool does not get them. */
static void
test_queries_of_a_client_that_went_are_not_sent_again(void **state)
{
	int fd = rig_tcp_client(), other = rig_tcp_client();

	(void)state;
	(void)ask(fd, 1);
	(void)ask(other, 2);
	reset(fd);
	rig_until(rig_count(LSTAT_abandoned) == 1);
	rig_link();
	rig_until(rig.nqueries == 3);
	assert_int_equal(rig_count(LSTAT_resent), 1);
	assert_int_equal(rig.l->inflight.count, 1);
	close(other);
}

/* But not for longer than anybody's. */
static void
test_deadline_of_a_client_that_went(void **state)
{
	int fd = rig_tcp_client();

	(void)state;
	rig.client.query_timeout_ms = 50;
	rig_reload("127.0.0.0", 8);
	(void)ask(fd, 1);
	reset(fd);
	rig_until(rig_count(LSTAT_abandoned) == 1);
	rig_until(rig.l->inflight.count == 0);
	assert_int_equal(rig_count(LSTAT_failed_timeout), 0);
	rig_until(rig.ncancelled == 1);
}

/* Told to drain: who is owed nothing goes, and nobody comes. */
static void
test_drained(void **state)
{
	int idle = rig_tcp_client(), busy = rig_tcp_client(), half, fresh;
	static uint8_t frame[512];
	size_t len;
	struct rig_query q;

	(void)state;
	exchange(idle);
	q = *ask(busy, 1);
	half = rig_tcp_client();
	rig_make_query(&pkt, 2, "www.example", 0);
	len = pkt.w.pos;
	wire_store_u16(frame, (uint16_t)len);
	memcpy(frame + 2, pkt.buf, len);
	assert_int_equal(send(half, frame, 10, 0), 10);
	rig_settle();
	assert_true(msg_send_u8(&rig.parent, MSG_PX_CHANGE, 0, CHANGE_DRAIN));
	rig_until(rig_is_closed(idle));
	assert_false(rig_is_closed(busy));
	/* A message that has begun is still taken, and answered. */
	assert_false(rig_is_closed(half));
	assert_int_equal(send(half, frame + 10, len - 8, 0), len - 8);
	rig_until(rig_count(LSTAT_queries_tcp) == 3);
	rig_answer(&q, 0);
	rig_settle();
	assert_int_equal(rig_count(LSTAT_tcp_open), 1);
	fresh = rig_tcp_client();
	rig_until(rig_is_closed(fresh));
	assert_int_equal(rig_count(LSTAT_tcp_refused), 1);
	assert_true(msg_send_u8(&rig.parent, MSG_PX_CHANGE, 0, CHANGE_UNDRAIN));
	rig_settle();
	close(fresh);
	fresh = rig_tcp_client();
	exchange(fresh);
	close(idle);
	close(busy);
	close(half);
	close(fresh);
}

/* Told to end: who had connected may ask, and nobody else comes. */
static void
test_last_call(void **state)
{
	int early = rig_tcp_client(), late;
	struct rig_query q;

	(void)state;
	rig_until(rig_count(LSTAT_tcp_open) == 1);
	assert_true(imsg_send_empty(&rig.parent, MSG_PL_FINISH, 0, -1));
	rig_until(rig.l->ending);
	assert_false(rig.l->finishing);
	late = rig_tcp_client(); /* waits in the socket */
	q = *ask(early, 1);
	rig_until(rig.l->finishing);
	rig_answer(&q, 0);
	rig_until(rig_count(LSTAT_answered) == 1);
	assert_int_equal(rig_count(LSTAT_tcp_open), 1);
	close(early);
	close(late);
}

/* What waits for an answer is waited for, not what nobody waits for. */
static void
test_the_end_is_not_kept_by_a_client_that_went(void **state)
{
	int fd = rig_tcp_client(), udp = rig_udp_client(&rig.udp_addr);
	struct rig_query q;

	(void)state;
	(void)ask(fd, 1);
	q = *rig_ask(udp, 2, "www.example", 0);
	reset(fd);
	rig_until(rig_count(LSTAT_abandoned) == 1);
	assert_true(imsg_send_empty(&rig.parent, MSG_PL_FINISH, 0, -1));
	rig_until(rig.l->finishing);
	assert_true(listener_turn_end(rig.l));
	rig_answer(&q, 0);
	rig_until(rig_count(LSTAT_answered) == 1);
	assert_int_equal(rig.l->inflight.count, 1);
	assert_false(listener_turn_end(rig.l));
	close(udp);
}

/* Without any there is nothing to wait for. */
static void
test_no_last_call(void **state)
{
	(void)state;
	assert_true(imsg_send_empty(&rig.parent, MSG_PL_FINISH, 0, -1));
	rig_until(rig.l->ending);
	assert_true(rig.l->finishing);
}

static void
test_idle_client_is_closed(void **state)
{
	int fd = rig_tcp_client(), fresh;
	uint64_t start_ms;

	(void)state;
	exchange(fd);
	set_timeouts(100, 1000);
	exchange(fd); /* time begins with the last answer */
	start_ms = util_now_ms();
	rig_run_ms(50);
	fresh = rig_tcp_client(); /* never says a word */
	rig_until(rig_is_closed(fd));
	assert_in_range(util_now_ms() - start_ms, 99, 400);
	rig_until(rig_is_closed(fresh));
	assert_int_equal(rig_count(LSTAT_tcp_timeout), 2);
	close(fd);
	close(fresh);
}

static void
test_slow_pool_is_not_the_clients_fault(void **state)
{
	int fd = rig_tcp_client();
	struct rig_query q;

	(void)state;
	set_timeouts(50, 1000);
	q = *ask(fd, 1);
	rig_run_ms(200);
	assert_false(rig_is_closed(fd));
	rig_answer(&q, 0);
	assert_true(rig_recv_tcp(fd, buf) > 0);
	rig_run_ms(20);
	assert_false(rig_is_closed(fd));
	rig_until(rig_is_closed(fd));
	close(fd);
}

static void
test_dripping_bytes_is_no_life_sign(void **state)
{
	int fd = rig_tcp_client();
	uint64_t start_ms;
	uint8_t frame[256];
	size_t i = 0;

	(void)state;
	(void)make_pipeline(frame, 2);
	set_timeouts(150, 1000);
	start_ms = util_now_ms();
	while (!rig_is_closed(fd)) {
		assert_true(i < pkt.w.pos);
		(void)send(fd, frame + i++, 1, MSG_NOSIGNAL);
		rig_run_ms(10);
	}
	assert_in_range(util_now_ms() - start_ms, 140, 400);
	assert_int_equal(rig_count(LSTAT_tcp_timeout), 1);
	assert_int_equal(rig.nqueries, 0);
	close(fd);
}

static void
test_client_that_does_not_read(void **state)
{
	int fd, other = rig_tcp_client();
	struct tcp_conn *c;
	uint64_t taken, since_ms;

	(void)state;
	set_timeouts(10000, 300);
	fd = client_that_does_not_read();
	ask_without_end(fd, 8000);
	/* It is not read any more, and does not cost more than that. */
	taken = rig_count(LSTAT_queries_tcp);
	assert_true(taken < 1000);
	c = TAILQ_FIRST(&rig.l->tcp->all.stuck);
	assert_non_null(c);
	assert_false(c->reading);
	assert_true(rig.l->tcp->bytes < 2 * TCP_OUT_MAX);
	exchange(other);
	/* It takes some: that is progress. */
	rig_run_ms(200);
	since_ms = c->since_ms;
	while (c->since_ms == since_ms) {
		(void)recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		rig_run_ms(1);
		assert_int_equal(rig_count(LSTAT_tcp_timeout), 0);
	}
	rig_run_ms(200);
	assert_int_equal(rig_count(LSTAT_tcp_timeout), 0);
	/* It takes nothing: that is the end. */
	rig_until(rig_count(LSTAT_tcp_timeout) == 1);
	assert_true(rig_count(LSTAT_dropped_send) > 0);
	assert_int_equal(rig_count(LSTAT_in_flight), 0);
	exchange(other);
	assert_int_equal(rig.l->tcp->bytes, 0);
	close(fd);
	close(other);
}

/* Nor is asking for more what is waited for. */
static void
test_asking_more_is_no_progress(void **state)
{
	int fd = client_that_does_not_read();
	struct rig_query q;
	struct tcp_conn *c;
	uint64_t since_ms;

	(void)state;
	while ((c = TAILQ_FIRST(&rig.l->tcp->all.stuck)) == NULL) {
		q = *ask(fd, 1);
		rig_answer(&q, 60000);
		rig_turn();
	}
	since_ms = c->since_ms;
	rig_run_ms(20);
	(void)ask(fd, 2);
	rig_settle();
	assert_ptr_equal(TAILQ_FIRST(&rig.l->tcp->all.stuck), c);
	assert_int_equal(c->since_ms, since_ms);
	close(fd);
}

/*
 * It gets its answer and then the end, not a reset, whatever it had sent; for
 * at once it closes, and no longer than it may.
 */
static void
test_client_not_allowed(void **state)
{
	static uint8_t stream[65536];
	int fd = rig_tcp_client();
	size_t len = make_pipeline(stream, 1000);
	uint64_t start_ms;

	(void)state;
	rig_reload("192.0.2.0", 24);
	assert_int_equal(send(fd, stream, len, 0), len);
	start_ms = util_now_ms();
	rig_until(rig_count(LSTAT_refused_acl) == 1);
	rig_settle();
	assert_int_equal(send(fd, stream, len, MSG_NOSIGNAL), len);
	rig_settle();
	assert_true(rig_recv_tcp(fd, buf) > 0);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_REFUSED);
	assert_int_equal(rig_recv_tcp(fd, buf), 0);
	assert_true(util_now_ms() - start_ms >= TCP_LEAVE_MS - 10);
	assert_int_equal(rig_count(LSTAT_refused_acl), 1);
	assert_int_equal(rig_count(LSTAT_tcp_open), 0);
	assert_int_equal(rig.l->tcp->bytes, 0);
	assert_int_equal(rig.nqueries, 0);
	close(fd);
}

static void
test_client_not_allowed_closes(void **state)
{
	int fd = rig_tcp_client();

	(void)state;
	rig_reload("192.0.2.0", 24);
	rig_make_query(&pkt, 1, "www.example", 0);
	rig_send_tcp(fd, &pkt);
	assert_true(rig_recv_tcp(fd, buf) > 0);
	assert_int_equal(rig_count(LSTAT_tcp_open), 1);
	close(fd);
	rig_until(rig_count(LSTAT_tcp_open) == 0);
	assert_int_equal(rig_count(LSTAT_tcp_error), 0);
	assert_int_equal(rig_count(LSTAT_tcp_timeout), 0);
}

/* Each has its own time; one that is over is not the others'. */
static void
test_clients_not_allowed_leave_one_by_one(void **state)
{
	int a = rig_tcp_client(), b = rig_tcp_client();

	(void)state;
	rig_reload("192.0.2.0", 24);
	rig_make_query(&pkt, 1, "www.example", 0);
	rig_send_tcp(a, &pkt);
	assert_true(rig_recv_tcp(a, buf) > 0);
	rig_send_tcp(b, &pkt);
	assert_true(rig_recv_tcp(b, buf) > 0);
	TAILQ_LAST(&rig.l->tcp->all.leaving, tcp_conns)->since_ms += 100000;
	rig_until(rig_is_closed(a));
	assert_false(rig_is_closed(b));
	close(a);
	close(b);
}

/* What is thrown away has a limit, and it is the first to make room. */
static void
test_client_not_allowed_never_ends(void **state)
{
	static uint8_t stream[65536];
	int fd = rig_tcp_client(), other = rig_tcp_client();
	size_t len = make_pipeline(stream, 1000), sent = 0;
	ssize_t n;

	(void)state;
	rig_reload("192.0.2.0", 24);
	while (rig_count(LSTAT_tcp_open) != 1) {
		n = send(fd, stream, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		sent += n > 0 ? (size_t)n : 0;
		assert_true(sent < 16 * TCP_DISCARD_MAX);
		rig_turn();
	}
	assert_true(sent > TCP_DISCARD_MAX);
	close(fd);
	fd = rig_tcp_client();
	rig_send_tcp(fd, &pkt);
	assert_true(rig_recv_tcp(fd, buf) > 0);
	rig.client.client.max_tcp = 2;
	rig_reload("127.0.0.0", 8);
	close(rig_tcp_client());
	rig_until(rig_is_closed(fd));
	exchange(other); /* though it was idle for longer */
	close(fd);
	close(other);
}

static void
test_idle_client_costs_little(void **state)
{
	int fd = rig_tcp_client();

	(void)state;
	exchange(fd);
	assert_int_equal(rig.l->tcp->bytes, 0);
	assert_true(sizeof(struct tcp_conn) <= 512);
	close(fd);
}

static void
test_retired_socket_leaves_its_clients(void **state)
{
	int fd = rig_tcp_client(), late, again;
	struct sockaddr_storage addr;

	(void)state;
	exchange(fd);
	late = rig_tcp_client(); /* in the backlog */
	rig_conf_begin();
	rig_send_allow("127.0.0.0", 8);
	rig_send_listen(RIG_UDP_ID, false, &rig.udp_addr, -1);
	rig_conf_end();
	exchange(fd);
	exchange(late);
	assert_false(tcp_has(rig.l, RIG_TCP_ID));
	again = rig_socket(SOCK_STREAM, "127.0.0.2", 0, &addr);
	close(again);
	close(fd);
	close(late);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_client_goes_with_queries_in_flight),
		RIG_TEST(test_queries_of_a_client_that_went_are_not_sent_again),
		RIG_TEST(test_deadline_of_a_client_that_went),
		RIG_TEST(test_drained),
		RIG_TEST(test_last_call),
		RIG_TEST(test_the_end_is_not_kept_by_a_client_that_went),
		RIG_TEST(test_no_last_call),
		RIG_TEST(test_idle_client_is_closed),
		RIG_TEST(test_slow_pool_is_not_the_clients_fault),
		RIG_TEST(test_dripping_bytes_is_no_life_sign),
		RIG_TEST(test_client_that_does_not_read),
		RIG_TEST(test_asking_more_is_no_progress),
		RIG_TEST(test_client_not_allowed),
		RIG_TEST(test_client_not_allowed_closes),
		RIG_TEST(test_clients_not_allowed_leave_one_by_one),
		RIG_TEST(test_client_not_allowed_never_ends),
		RIG_TEST(test_idle_client_costs_little),
		RIG_TEST(test_retired_socket_leaves_its_clients),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
