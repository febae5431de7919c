/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core */
/* Room for TCP clients: who has to make it, and what it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/resource.h>

#include "tests/unit/listener_tcp.h"

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

/* A limit that a reload has lowered costs idle ones, and one that waits. */
static void
test_lowered_limit(void **state)
{
	int busy[3], idle[3], next, i;

	(void)state;
	for (i = 0; i < 3; i++) {
		busy[i] = rig_tcp_client();
		(void)ask(busy[i], (uint16_t)(i + 1));
		idle[i] = rig_tcp_client();
		exchange(idle[i]);
	}
	rig_run_ms(LISTENER_YIELD_MS + 50);
	rig.client.client.max_tcp_per_client = 1;
	rig_reload("127.0.0.0", 8);
	next = rig_tcp_client();
	rig_until(rig_count(LSTAT_tcp_refused) == 1);
	assert_int_equal(rig_count(LSTAT_tcp_timeout), 4);
	assert_true(rig_is_closed(busy[0]));
	assert_false(rig_is_closed(busy[1]));
	assert_false(rig_is_closed(busy[2]));
	close(next);
	for (i = 0; i < 3; i++) {
		close(busy[i]);
		close(idle[i]);
	}
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

/* Strangers, who say nothing: they hold no place that somebody may want. */
static void
connect_strangers(int *fds, int n)
{
	uint64_t open = rig_count(LSTAT_tcp_open);
	int i;

	for (i = 0; i < n; i++) {
		rig_run_ms(3);
		fds[i] = client_from(i % 2 == 0 ? "127.0.0.2" : "127.0.0.3");
		rig_until(rig_count(LSTAT_tcp_open) == open + (uint64_t)i + 1);
	}
}

static void
test_not_allowed_makes_room_first(void **state)
{
	int idle = rig_tcp_client(), strangers[3], next, i;

	(void)state;
	rig.client.client.max_tcp = 4;
	rig_reload("127.0.0.1", 32);
	exchange(idle);
	connect_strangers(strangers, 3);
	next = rig_tcp_client();
	rig_until(rig_count(LSTAT_tcp_timeout) == 1);
	assert_true(rig_is_closed(strangers[0]));
	exchange(next);
	exchange(idle);
	close(next);
	close(idle);
	for (i = 0; i < 3; i++)
		close(strangers[i]);
}

/* Nor has anybody less time for them; and they have little. */
static void
test_not_allowed_is_no_pressure(void **state)
{
	int idle = rig_tcp_client(), strangers[3], i;

	(void)state;
	rig.client.client.max_tcp = 4;
	rig_reload("127.0.0.1", 32);
	exchange(idle);
	connect_strangers(strangers, 3);
	/* Half a message is none. */
	assert_int_equal(send(strangers[0], "\0\100some", 6, 0), 6);
	assert_int_equal(
	    tcp_idle_ms(rig.l), rig.client.client.tcp_read_timeout_ms);
	rig_until(rig_count(LSTAT_tcp_timeout) == 3);
	assert_int_equal(rig_count(LSTAT_tcp_open), 1);
	assert_int_equal(rig.l->tcp->bytes, 0);
	exchange(idle);
	close(idle);
	for (i = 0; i < 3; i++)
		close(strangers[i]);
}

/* A reload makes him one who may ask, or the other way round. */
static void
test_not_allowed_any_more(void **state)
{
	int a = rig_tcp_client(), b = client_from("127.0.0.2"), next;

	(void)state;
	rig.client.client.max_tcp = 2;
	exchange(a);
	exchange(b);
	rig_reload("127.0.0.1", 32);
	assert_int_equal(rig.l->tcp->nleaving, 1);
	rig_reload("127.0.0.2", 32);
	assert_int_equal(rig.l->tcp->nleaving, 1);
	rig_run_ms(3);
	next = client_from("127.0.0.2");
	rig_until(rig_is_closed(a));
	exchange(b);
	exchange(next);
	assert_int_equal(rig.l->tcp->nleaving, 0);
	close(a);
	close(b);
	close(next);
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
	static struct tcp tcp;
	static struct listener l = { .tcp = &tcp };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		l.conf.client.max_tcp = cases[i].max;
		l.conf.client.tcp_read_timeout_ms = cases[i].timeout_ms;
		l.counters[LSTAT_tcp_open] = cases[i].open;
		assert_int_equal(tcp_idle_ms(&l), cases[i].idle_ms);
		/* What clients are told, in tenths of a second. */
		assert_int_equal(
		    tcp_keepalive(&l), cases[i].idle_ms > LISTENER_YIELD_MS
					   ? cases[i].idle_ms / 100
					   : 0);
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

/* As if others held so much that there is a byte too many. */
static size_t
fill_memory(void)
{
	struct tcp *t = rig.l->tcp;
	size_t n = TCP_BYTES_MAX + 1 - t->bytes;

	t->bytes += n;
	rig_turn();
	return n;
}

/* Who moves on least goes first, and who holds nothing never. */
static void
test_memory_has_a_limit(void **state)
{
	int stuck = client_that_does_not_read(), half = rig_tcp_client();
	int busy = rig_tcp_client(), idle = rig_tcp_client();
	struct rig_query q;
	size_t n = 0;

	(void)state;
	exchange(idle);
	(void)ask(busy, 1);
	assert_int_equal(send(busy, "\0\100some", 6, 0), 6);
	assert_int_equal(send(half, "\0\100some", 6, 0), 6);
	while (TAILQ_EMPTY(&rig.l->tcp->all.stuck)) {
		q = *ask(stuck, 1);
		rig_answer(&q, 60000);
		rig_turn();
	}
	rig_settle();
	assert_int_equal(rig_count(LSTAT_tcp_open), 4);
	n += fill_memory();
	assert_int_equal(rig_count(LSTAT_tcp_open), 3);
	assert_true(TAILQ_EMPTY(&rig.l->tcp->all.stuck));
	n += fill_memory();
	assert_true(rig_is_closed(half) && !rig_is_closed(busy));
	n += fill_memory();
	assert_true(rig_is_closed(busy));
	n += fill_memory();
	assert_int_equal(rig_count(LSTAT_tcp_error), 3);
	assert_false(rig_is_closed(idle));
	rig.l->tcp->bytes -= n;
	assert_int_equal(rig.l->tcp->bytes, 0);
	close(stuck);
	close(half);
	close(busy);
	close(idle);
}

/* Others have their turn between so many and the next. */
static void
test_accepts_have_an_end(void **state)
{
	int fds[100], i;

	(void)state;
	for (i = 0; i < 100; i++)
		fds[i] = rig_tcp_client();
	rig_turn();
	assert_int_equal(rig_count(LSTAT_tcp_accepted), 64);
	rig_until(rig_count(LSTAT_tcp_accepted) == 100);
	for (i = 0; i < 100; i++)
		close(fds[i]);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_longest_idle_makes_room),
		RIG_TEST(test_no_room_among_the_busy),
		RIG_TEST(test_long_busy_makes_room),
		RIG_TEST(test_long_stuck_makes_room),
		RIG_TEST(test_own_oldest_idle_yields),
		RIG_TEST(test_lowered_limit),
		RIG_TEST(test_own_busy_ones_stay),
		RIG_TEST(test_not_allowed_makes_room_first),
		RIG_TEST(test_not_allowed_is_no_pressure),
		RIG_TEST(test_not_allowed_any_more),
		RIG_TEST(test_places_come_back),
		cmocka_unit_test(test_idle_time_under_pressure),
		RIG_TEST(test_pressure_closes_idle_clients),
		RIG_TEST(test_memory_has_a_limit),
		RIG_TEST(test_accepts_have_an_end),
		RIG_TEST(test_no_descriptors_left),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
