/* SPDX-License-Identifier: ISC */
/* LINK: common/store.c */
/* LINK: common/child.c common/dns.c common/imsg.c common/log.c common/msg.c */
/* LINK: common/msg_info.c common/util.c */
/* LINK: dotproxy/listener/acl.c dotproxy/listener/config.c */
/* LINK: dotproxy/listener/control.c dotproxy/listener/inflight.c */
/* LINK: dotproxy/listener/link.c dotproxy/listener/listener.c */
/* LINK: dotproxy/listener/query.c dotproxy/listener/tcp.c */
/* LINK: dotproxy/listener/tcp_io.c dotproxy/listener/udp.c */
/* LINK: dotproxy/listener/udp_send.c */
/* LINK: dotproxy/listener/transfer.c */
/* LINK: common/msg_hist.c dotproxy/listener/metrics.c */
/* LINK: common/msg_change.c */
/* LIBS: -levent_core */
/* TCP clients come and go: timeouts, limits, and those who mean no good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/resource.h>

#include "tests/unit/listener_tcp.h"

/* A short tcp read timeout, and write timeout. */
static void
set_timeouts(uint32_t read_ms, uint32_t write_ms)
{
	rig.client.client.tcp_read_timeout_ms = read_ms;
	rig.client.client.tcp_write_timeout_ms = write_ms;
	rig_reload("127.0.0.0", 8);
}

static void
test_client_goes_with_queries_in_flight(void **state)
{
	struct linger rst = { 1, 0 };
	int fd = rig_tcp_client();
	struct rig_query q;

	(void)state;
	q = *ask(fd, 1);
	(void)ask(fd, 2);
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(fd);
	rig_until(rig_count(LSTAT_tcp_open) == 0);
	assert_int_equal(rig_count(LSTAT_abandoned), 2);
	assert_int_equal(rig_count(LSTAT_in_flight), 0);
	rig_until(rig.ncancelled == 2); /* the newest first */
	assert_int_equal(rig.cancelled, q.handle);
	rig_answer(&q, 0);
	rig_settle();
	assert_int_equal(rig_count(LSTAT_stale_answers), 1);
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
	c = TAILQ_FIRST(&rig.l->tcp->stuck);
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

static void
test_longest_idle_makes_room(void **state)
{
	int fds[4], i;

	(void)state;
	rig.client.client.max_tcp = 3;
	rig_reload("127.0.0.0", 8);
	for (i = 0; i < 3; i++) {
		fds[i] = rig_tcp_client();
		rig_until(rig_count(LSTAT_tcp_open) == (uint64_t)i + 1);
		rig_run_ms(3);
	}
	exchange(fds[0]); /* so that the second is the oldest */
	fds[3] = rig_tcp_client();
	rig_until(rig_is_closed(fds[1]));
	exchange(fds[3]);
	assert_false(rig_is_closed(fds[0]));
	assert_false(rig_is_closed(fds[2]));
	assert_int_equal(rig_count(LSTAT_tcp_refused), 0);
	assert_int_equal(rig_count(LSTAT_tcp_open), 3);
	for (i = 0; i < 4; i++)
		close(fds[i]);
}

static void
test_no_room_among_the_busy(void **state)
{
	int a = rig_tcp_client(), b;
	struct rig_query q;

	(void)state;
	rig.client.client.max_tcp = 1;
	rig_reload("127.0.0.0", 8);
	q = *ask(a, 1);
	b = rig_tcp_client();
	rig_until(rig_is_closed(b));
	assert_int_equal(rig_count(LSTAT_tcp_refused), 1);
	rig_answer(&q, 0);
	assert_true(rig_recv_tcp(a, buf) > 0);
	close(a);
	close(b);
}

/* Who waits for ever, for an answer or for nothing, must not keep others out.
 */
static void
test_long_busy_makes_room(void **state)
{
	int a = rig_tcp_client(), b;

	(void)state;
	rig.client.client.max_tcp = 1;
	rig_reload("127.0.0.0", 8);
	(void)ask(a, 1);
	rig_run_ms(LISTENER_YIELD_MS + 20);
	b = rig_tcp_client();
	rig_until(rig_is_closed(a));
	exchange(b);
	assert_int_equal(rig_count(LSTAT_tcp_refused), 0);
	assert_int_equal(rig_count(LSTAT_abandoned), 1);
	close(a);
	close(b);
}

static void
test_long_stuck_makes_room(void **state)
{
	int a = client_that_does_not_read(), b;
	struct rig_query q;

	(void)state;
	rig.client.client.max_tcp = 1;
	rig_reload("127.0.0.0", 8);
	while (TAILQ_EMPTY(&rig.l->tcp->stuck)) {
		q = *ask(a, 1);
		rig_answer(&q, 60000);
		rig_turn();
	}
	rig_run_ms(LISTENER_YIELD_MS + 20);
	b = rig_tcp_client();
	rig_until(rig_count(LSTAT_tcp_timeout) == 1);
	exchange(b);
	assert_int_equal(rig_count(LSTAT_tcp_refused), 0);
	close(a);
	close(b);
}

static void
test_client_not_allowed(void **state)
{
	static uint8_t stream[512];
	int fd = rig_tcp_client();
	size_t len = make_pipeline(stream, 3);

	(void)state;
	rig_reload("192.0.2.0", 24);
	assert_int_equal(send(fd, stream, len, 0), len);
	assert_true(rig_recv_tcp(fd, buf) > 0);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_REFUSED);
	assert_int_equal(rig_recv_tcp(fd, buf), 0);
	assert_int_equal(rig_count(LSTAT_refused_acl), 1);
	assert_int_equal(rig_count(LSTAT_tcp_open), 0);
	assert_int_equal(rig.nqueries, 0);
	close(fd);
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
test_memory_has_a_limit(void **state)
{
	static uint8_t part[60002];
	int fds[500], i;

	(void)state;
	rig.echo = true;
	wire_store_u16(part, 60001); /* one byte is never sent */
	for (i = 0; i < 500; i++) {
		fds[i] = rig_tcp_client();
		(void)send(fds[i], part, sizeof(part), MSG_DONTWAIT);
		rig_settle();
		assert_true(rig.l->tcp->bytes <= TCP_BYTES_MAX);
	}
	for (i = 0; i < 500; i++)
		close(fds[i]);
	rig_until(rig_count(LSTAT_tcp_open) == 0);
	assert_int_equal(rig.l->tcp->bytes, 0);
}

static void
test_no_descriptors_left(void **state)
{
	struct rlimit old, low;
	int fd = rig_tcp_client(), fds[2], next;
	uint64_t start_ms;

	(void)state;
	exchange(fd);
	fds[0] = rig_tcp_client();
	fds[1] = rig_tcp_client();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	next = dup(fd);
	close(next);
	low = old;
	low.rlim_cur = (rlim_t)next; /* not one more */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	rig_settle();
	start_ms = util_now_ms();
	exchange(fd); /* others are served */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	rig_until(rig_count(LSTAT_tcp_open) == 3);
	assert_in_range(util_now_ms() - start_ms, 800, 1500);
	exchange(fds[1]);
	close(fd);
	close(fds[0]);
	close(fds[1]);
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
		RIG_TEST(test_drained),
		RIG_TEST(test_idle_client_is_closed),
		RIG_TEST(test_slow_pool_is_not_the_clients_fault),
		RIG_TEST(test_dripping_bytes_is_no_life_sign),
		RIG_TEST(test_client_that_does_not_read),
		RIG_TEST(test_longest_idle_makes_room),
		RIG_TEST(test_no_room_among_the_busy),
		RIG_TEST(test_long_busy_makes_room),
		RIG_TEST(test_long_stuck_makes_room),
		RIG_TEST(test_client_not_allowed),
		RIG_TEST(test_idle_client_costs_little),
		RIG_TEST(test_memory_has_a_limit),
		RIG_TEST(test_no_descriptors_left),
		RIG_TEST(test_retired_socket_leaves_its_clients),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
