/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
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
	while (TAILQ_EMPTY(&rig.l->tcp->all.stuck)) {
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

/* A client at another address. */
static int
client_from(const char *host)
{
	struct sockaddr_storage addr;
	int fd = rig_socket(SOCK_STREAM, host, 0, &addr);

	close(fd); /* that one listens */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
	    bind(fd, (struct sockaddr *)&addr, sockaddr_len(&addr)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&rig.tcp_addr,
			     sockaddr_len(&rig.tcp_addr)),
	    0);
	return fd;
}

static void
test_own_oldest_idle_yields(void **state)
{
	int other = client_from("127.0.0.2"), fds[4], i;

	(void)state;
	rig.client.client.max_tcp_per_client = 3;
	rig_reload("127.0.0.0", 8);
	exchange(other); /* idle for longest of all */
	for (i = 0; i < 3; i++) {
		fds[i] = rig_tcp_client();
		exchange(fds[i]);
		rig_run_ms(3);
	}
	exchange(fds[0]); /* so that the second is the oldest */
	fds[3] = rig_tcp_client();
	rig_until(rig_is_closed(fds[1]));
	exchange(fds[3]);
	assert_false(rig_is_closed(fds[0]));
	assert_false(rig_is_closed(fds[2]));
	exchange(other);
	assert_int_equal(rig_count(LSTAT_tcp_refused), 0);
	assert_int_equal(rig_count(LSTAT_tcp_timeout), 1);
	assert_int_equal(rig_count(LSTAT_tcp_open), 4);
	close(other);
	for (i = 0; i < 4; i++)
		close(fds[i]);
}

/* What it waits for is not lost by its having come once more. */
static void
test_own_busy_ones_stay(void **state)
{
	int a = rig_tcp_client(), b, other = client_from("127.0.0.2");
	struct rig_query q;

	(void)state;
	rig.client.client.max_tcp_per_client = 1;
	rig_reload("127.0.0.0", 8);
	q = *ask(a, 1);
	b = rig_tcp_client();
	rig_until(rig_is_closed(b));
	assert_int_equal(rig_count(LSTAT_tcp_refused), 1);
	exchange(other);
	rig_answer(&q, 0);
	assert_true(rig_recv_tcp(a, buf) > 0);
	close(b);
	rig_run_ms(5);
	b = rig_tcp_client(); /* a is idle now */
	rig_until(rig_is_closed(a));
	exchange(b);
	assert_int_equal(rig_count(LSTAT_tcp_refused), 1);
	close(a);
	close(b);
	close(other);
}

/* Who has left leaves his place. */
static void
test_places_come_back(void **state)
{
	int fd, i;

	(void)state;
	rig.client.client.max_tcp_per_client = 2;
	rig_reload("127.0.0.0", 8);
	for (i = 0; i < 20; i++) {
		fd = rig_tcp_client();
		exchange(fd);
		close(fd);
		rig_until(rig_count(LSTAT_tcp_open) == 0);
	}
	assert_int_equal(rig_count(LSTAT_tcp_refused), 0);
	assert_int_equal(rig_count(LSTAT_tcp_timeout), 0);
}

static void
test_idle_time_under_pressure(void **state)
{
	static const struct {
		uint32_t max, open, timeout_ms, idle_ms;
	} cases[] = {
		{ 1000, 0, 5000, 5000 },
		{ 1000, 500, 5000, 5000 },
		{ 1000, 501, 5000, 4990 },
		{ 1000, 750, 5000, 2500 },
		{ 1000, 900, 5000, 1000 },
		{ 1000, 975, 5000, 250 },
		{ 1000, 999, 5000, 250 },
		{ 1000, 1000, 5000, 250 },
		{ 1000, 1200, 5000, 250 }, /* a reload has lowered it */
		{ 1000, 1000, 100, 100 },
		{ 1000, 900, 100, 100 },
		{ 65536, 65535, 3600000, 250 },
		{ 65536, 49152, 3600000, 1800000 },
		{ 1, 0, 5000, 5000 },
		{ 1, 1, 5000, 250 },
	};
	static struct listener l;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		l.conf.client.max_tcp = cases[i].max;
		l.conf.client.tcp_read_timeout_ms = cases[i].timeout_ms;
		l.counters[LSTAT_tcp_open] = cases[i].open;
		assert_int_equal(tcp_idle_ms(&l), cases[i].idle_ms);
	}
}

/* The oldest go until the others have time. */
static void
test_pressure_closes_idle_clients(void **state)
{
	int fds[10], i;

	(void)state;
	rig.client.client.max_tcp = 10;
	set_timeouts(2000, 1000);
	for (i = 0; i < 10; i++) {
		fds[i] = rig_tcp_client();
		rig_until(rig_count(LSTAT_tcp_open) == (uint64_t)i + 1);
	}
	rig_until(rig_count(LSTAT_tcp_open) == 8); /* at 8 it is 800 ms */
	assert_true(rig_is_closed(fds[0]));
	assert_true(rig_is_closed(fds[1]));
	exchange(fds[9]);
	assert_int_equal(rig_count(LSTAT_tcp_timeout), 2);
	for (i = 0; i < 10; i++)
		close(fds[i]);
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

/* How often the loop wakes up in a time in which nothing happens. */
static unsigned int
turns_in_ms(int ms)
{
	struct timeval tv = { .tv_usec = ms * 1000 };
	uint64_t end_ms = util_now_ms() + (uint64_t)ms;
	unsigned int n = 0;

	while (util_now_ms() < end_ms) {
		(void)event_base_loopexit(rig.base, &tv);
		(void)event_base_loop(rig.base, EVLOOP_ONCE);
		listener_turn_end(rig.l);
		n++;
	}
	return n;
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
	assert_true(turns_in_ms(200) < 10);
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
		RIG_TEST(test_last_call),
		RIG_TEST(test_no_last_call),
		RIG_TEST(test_idle_client_is_closed),
		RIG_TEST(test_slow_pool_is_not_the_clients_fault),
		RIG_TEST(test_dripping_bytes_is_no_life_sign),
		RIG_TEST(test_client_that_does_not_read),
		RIG_TEST(test_longest_idle_makes_room),
		RIG_TEST(test_no_room_among_the_busy),
		RIG_TEST(test_long_busy_makes_room),
		RIG_TEST(test_long_stuck_makes_room),
		RIG_TEST(test_own_oldest_idle_yields),
		RIG_TEST(test_own_busy_ones_stay),
		RIG_TEST(test_places_come_back),
		cmocka_unit_test(test_idle_time_under_pressure),
		RIG_TEST(test_pressure_closes_idle_clients),
		RIG_TEST(test_client_not_allowed),
		RIG_TEST(test_client_not_allowed_closes),
		RIG_TEST(test_client_not_allowed_never_ends),
		RIG_TEST(test_idle_client_costs_little),
		RIG_TEST(test_memory_has_a_limit),
		RIG_TEST(test_no_descriptors_left),
		RIG_TEST(test_retired_socket_leaves_its_clients),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
