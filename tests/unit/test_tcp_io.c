/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core */
/* The bytes of TCP clients: RFC 7766, in all the pieces they may come in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/alloc_fail.h"
#include "tests/unit/listener_tcp.h"

static void
test_there_and_back(void **state)
{
	int fd = rig_tcp_client();
	struct rig_query q;
	size_t len;

	(void)state;
	q = *ask(fd, 0x1234);
	assert_int_equal(q.len, pkt.w.pos);
	assert_memory_equal(q.wire + 2, pkt.buf + 2, q.len - 2);
	rig_answer(&q, 5000); /* no limit here */
	len = rig_recv_tcp(fd, buf);
	assert_int_equal(len, q.len + 5000);
	assert_int_equal(dns_id(buf), 0x1234);
	assert_int_equal(buf[2] & 0x02, 0);
	assert_int_equal(rig_count(LSTAT_queries_tcp), 1);
	assert_int_equal(rig_count(LSTAT_answered), 1);
	exchange(fd); /* the connection stays */
	assert_int_equal(rig_count(LSTAT_tcp_accepted), 1);
	close(fd);
}

static void
test_one_byte_at_a_time(void **state)
{
	int fd = rig_tcp_client();
	uint8_t frame[256];
	size_t i, len;

	(void)state;
	len = make_pipeline(frame, 2);
	for (i = 0; i < len; i++) {
		assert_int_equal(rig.nqueries, i / (len / 2));
		assert_int_equal(send(fd, frame + i, 1, 0), 1);
		rig_turn();
		rig_turn();
	}
	rig_until(rig.nqueries == 2);
	assert_memory_equal(
	    rig.queries[1].wire, frame + len / 2 + 2, len / 2 - 2);
	rig_answer(&rig.queries[0], 0);
	(void)rig_recv_tcp(fd, buf);
	assert_int_equal(rig.l->tcp->bytes, 0);
	close(fd);
}

/* What is answered here is answered at once, and who sends it sends more. */
static void
test_pipeline_has_its_share_of_a_turn(void **state)
{
	static uint8_t stream[14 * 2000];
	int fd = rig_tcp_client();
	uint64_t before, now = 0;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(stream); i += 14) {
		wire_store_u16(stream + i, 12);
		stream[i + 4] = DNS_OPCODE_DSO << 3;
	}
	assert_int_equal(send(fd, stream, sizeof(stream), 0), sizeof(stream));
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	for (i = 0; now < 2000 && i < 100; i++) {
		before = now;
		rig_turn();
		now = rig_count(LSTAT_refused_unsupported);
		assert_in_range(now - before, 0, TCP_TAKE_MAX);
	}
	assert_int_equal(now, 2000);
	for (i = 0; i < 2000; i++)
		assert_int_equal(rig_recv_tcp(fd, buf), 12);
	assert_true(rig_is_closed(fd));
	close(fd);
}

/* Every way of cutting a stream in two. */
static void
test_cut_anywhere(void **state)
{
	int fd = rig_tcp_client();
	uint8_t stream[512];
	size_t len = make_pipeline(stream, 3), cut;

	(void)state;
	rig.echo = true;
	for (cut = 1; cut < len; cut++) {
		assert_int_equal(send(fd, stream, cut, 0), cut);
		rig_turn();
		assert_int_equal(
		    send(fd, stream + cut, len - cut, 0), len - cut);
		rig_until(rig.nqueries == 3 * cut);
		(void)rig_recv_tcp(fd, buf);
		(void)rig_recv_tcp(fd, buf);
		assert_int_equal(rig_recv_tcp(fd, buf), pkt.w.pos);
		assert_int_equal(dns_id(buf), 2);
	}
	assert_int_equal(rig_count(LSTAT_answered), 3 * (len - 1));
	close(fd);
}

static void
test_pipelined_and_out_of_order(void **state)
{
	static uint8_t stream[8192];
	int fd = rig_tcp_client();
	size_t len = make_pipeline(stream, 100), i;

	(void)state;
	assert_int_equal(send(fd, stream, len, 0), len);
	rig_until(rig.nqueries == 100);
	for (i = 100; i-- > 0;)
		rig_answer(&rig.queries[i], 0);
	for (i = 100; i-- > 0;) {
		(void)rig_recv_tcp(fd, buf);
		assert_int_equal(dns_id(buf), i);
	}
	close(fd);
}

static void
test_answers_of_a_turn_leave_together(void **state)
{
	static uint8_t stream[8192];
	int fd = rig_tcp_client();
	size_t len = make_pipeline(stream, 10), i;

	(void)state;
	assert_int_equal(send(fd, stream, len, 0), len);
	rig_until(rig.nqueries == 10);
	for (i = 0; i < 10; i++)
		rig_answer(&rig.queries[i], 0);
	rig_turn();
	assert_int_equal(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), len);
	close(fd);
}

static void
test_half_close(void **state)
{
	static uint8_t stream[512];
	int fd = rig_tcp_client();
	size_t len = make_pipeline(stream, 3), i;

	(void)state;
	assert_int_equal(send(fd, stream, len, 0), len);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	rig_until(rig.nqueries == 3);
	rig_settle();
	assert_int_equal(rig_count(LSTAT_tcp_open), 1);
	for (i = 0; i < 3; i++) {
		rig_answer(&rig.queries[i], 0);
		assert_true(rig_recv_tcp(fd, buf) > 0);
	}
	assert_int_equal(rig_recv_tcp(fd, buf), 0);
	assert_int_equal(rig_count(LSTAT_tcp_open), 0);
	assert_int_equal(rig_count(LSTAT_tcp_error), 0);
	assert_int_equal(rig_count(LSTAT_abandoned), 0);
	close(fd);
}

static void
test_largest_messages(void **state)
{
	static uint8_t frame[2 + DNS_MSG_MAX];
	int fd = rig_tcp_client();
	size_t sent = 0, round;
	ssize_t n;

	(void)state;
	rig_make_query(&pkt, 1, "www.example", 0);
	wire_store_u16(frame, DNS_MSG_MAX);
	memcpy(frame + 2, pkt.buf, pkt.w.pos);
	for (round = 0; round < 2; round++) {
		for (sent = 0; sent < sizeof(frame); sent += (size_t)n) {
			n = send(fd, frame + sent, sizeof(frame) - sent,
			    MSG_DONTWAIT);
			if (n == -1)
				n = 0;
			rig_turn();
		}
		rig_until(rig.nqueries == round + 1);
		assert_int_equal(rig.queries[round].len, DNS_MSG_MAX);
		rig_answer(&rig.queries[round], 0);
		assert_int_equal(rig_recv_tcp(fd, buf), DNS_MSG_MAX);
	}
	assert_int_equal(rig.l->tcp->bytes, 0);
	close(fd);
}

static void
test_bad_framing(void **state)
{
	int fd = rig_tcp_client(), other = rig_tcp_client();
	static const uint8_t bad[] = { 0, DNS_HDR_LEN - 1 };

	(void)state;
	(void)ask(fd, 1);
	assert_int_equal(send(fd, bad, 2, 0), 2);
	rig_until(rig_is_closed(fd));
	assert_int_equal(rig_count(LSTAT_tcp_error), 1);
	assert_int_equal(rig_count(LSTAT_abandoned), 1);
	exchange(other);
	close(fd);
	close(other);
}

static void
test_response_is_dropped_silently(void **state)
{
	int fd = rig_tcp_client();

	(void)state;
	rig_make_query(&pkt, 1, "www.example", 0);
	pkt.buf[2] |= 0x80;
	rig_send_tcp(fd, &pkt);
	rig_until(rig_count(LSTAT_dropped_malformed) == 1);
	exchange(fd);
	close(fd);
}

static void
test_answers_without_end(void **state)
{
	int fd = client_that_does_not_read();

	(void)state;
	/* In flight before the first was stuck, and all of them large. */
	ask_without_end(fd, 60000);
	assert_int_equal(rig_count(LSTAT_tcp_error), 1);
	assert_int_equal(rig_count(LSTAT_tcp_open), 0);
	assert_int_equal(rig.l->tcp->bytes, 0);
	close(fd);
}

static void
test_slow_reader_gets_everything(void **state)
{
	int fd = client_that_does_not_read();
	size_t done = 0, i, len;

	(void)state;
	for (i = 0; i < 30; i++) {
		rig_make_query(&pkt, (uint16_t)i, "www.example", 0);
		rig_send_tcp(fd, &pkt);
	}
	rig_settle();
	answer_large(&done, 60000);
	for (i = 0; i < 30; i++) {
		len = rig_recv_tcp(fd, buf);
		assert_int_equal(len, pkt.w.pos + 60000);
		assert_int_equal(buf[len - 1], 0xaa);
		answer_large(&done, 60000);
	}
	rig_settle();
	assert_int_equal(rig_count(LSTAT_answered), 30);
	assert_int_equal(rig.l->tcp->bytes, 0);
	close(fd);
}

static void
test_queries_of_one_client_have_a_limit(void **state)
{
	static uint8_t stream[65536];
	int fd = rig_tcp_client();
	size_t len = make_pipeline(stream, 600), i;
	bool seen[600] = { false };

	(void)state;
	assert_int_equal(send(fd, stream, len, 0), len);
	rig_until(rig.nqueries == TCP_QUERIES_MAX);
	rig_settle();
	assert_int_equal(rig.nqueries, TCP_QUERIES_MAX);
	/* As answers leave, the rest is taken. */
	for (i = 0; i < 600; i++) {
		rig_until(rig.nqueries > i);
		rig_answer(&rig.queries[i], 0);
		(void)rig_recv_tcp(fd, buf);
		assert_true(dns_id(buf) < 600 && !seen[dns_id(buf)]);
		seen[dns_id(buf)] = true;
		assert_true(rig.l->inflight.count <= TCP_QUERIES_MAX);
	}
	exchange(fd);
	assert_int_equal(rig.l->tcp->bytes, 0);
	close(fd);
}

static void
test_limit_and_half_close(void **state)
{
	static uint8_t stream[65536];
	int fd = rig_tcp_client();
	size_t len = make_pipeline(stream, 400), i;

	(void)state;
	assert_int_equal(send(fd, stream, len, 0), len);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	for (i = 0; i < 400; i++) {
		rig_until(rig.nqueries > i);
		rig_answer(&rig.queries[i], 0);
		assert_true(rig_recv_tcp(fd, buf) > 0);
	}
	assert_int_equal(rig_recv_tcp(fd, buf), 0);
	assert_int_equal(rig_count(LSTAT_answered), 400);
	close(fd);
}

static void
test_held_back_with_the_link(void **state)
{
	static uint8_t stream[65536];
	int fds[40], i;
	struct imsg_chan pool = rig.pool;
	size_t len;
	uint64_t answers = 0;

	(void)state;
	/* Queries of 1,000 bytes, 60 of them from each client. */
	for (len = 0, i = 0; i < 60; i++) {
		rig_make_query(&pkt, (uint16_t)i, "www.example", 0);
		wire_store_u16(stream + len, 1000);
		memset(stream + len + 2, 0, 1000);
		memcpy(stream + len + 2, pkt.buf, pkt.w.pos);
		len += 1002;
	}
	rig.pool.fd = -1; /* nobody reads the link */
	for (i = 0; i < 40; i++) {
		fds[i] = rig_tcp_client();
		assert_int_equal(send(fds[i], stream, len, 0), len);
		rig_turn();
	}
	rig_settle();
	for (i = 0; i < 40; i++) { /* more than all buffers hold */
		(void)send(fds[i], stream, len, MSG_DONTWAIT);
		rig_turn();
	}
	rig_settle();
	assert_true(rig.l->paused);
	assert_non_null(TAILQ_FIRST(&rig.l->tcp->held));
	rig.pool = pool;
	rig.echo = true;
	while (answers < 40 * 60) {
		rig_turn();
		for (i = 0; i < 40; i++)
			while (recv(fds[i], buf, 1002, MSG_DONTWAIT) > 0)
				continue;
		answers = rig_count(LSTAT_answered);
	}
	rig_until(TAILQ_EMPTY(&rig.l->tcp->held));
	for (i = 0; i < 40; i++)
		close(fds[i]);
}

/* A small generator: the test must be the same every time. */
static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Sends something: queries, noise, a piece of either; or leaves. */
static void
hostile_act(int *fd, uint32_t *seed)
{
	struct linger rst = { 1, 0 };
	uint8_t bytes[600];
	size_t i, n = 1 + next_random(seed) % sizeof(bytes);

	switch (next_random(seed) % 16) {
	case 0:
		(void)setsockopt(*fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
		/* FALLTHROUGH */
	case 1:
		close(*fd);
		*fd = rig_tcp_client();
		return;
	case 2:
		(void)shutdown(*fd, SHUT_WR);
		return;
	case 3:
		(void)recv(*fd, buf, n, MSG_DONTWAIT);
		return;
	default:
		break;
	}
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)next_random(seed);
	if (next_random(seed) % 8 > 0)
		(void)make_pipeline(bytes, 1 + next_random(seed) % 15);
	if (next_random(seed) % 8 == 0)
		bytes[next_random(seed) % n] ^= (uint8_t)next_random(seed);
	(void)send(*fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
test_hostile_clients(void **state)
{
	int fds[12], good = rig_tcp_client();
	uint32_t seed = 3, round, i;
	size_t done = 0;

	(void)state;
	rig.client.client.max_inflight = 300;
	rig.client.client.max_tcp = 10;
	rig.client.query_timeout_ms = 50;
	rig_reload("127.0.0.0", 8);
	for (i = 0; i < 12; i++)
		fds[i] = rig_tcp_client();
	for (round = 0; round < 4000; round++) {
		hostile_act(&fds[next_random(&seed) % 12], &seed);
		rig_turn();
		/* Some are answered, long or short, some never. */
		while (done + 50 < rig.nqueries) {
			if (next_random(&seed) % 4 > 0)
				rig_answer(&rig.queries[done],
				    next_random(&seed) % 3000);
			done++;
		}
		if (round % 500 == 0)
			rig_run_ms(200);
	}
	for (i = 0; i < 12; i++)
		close(fds[i]);
	rig_until(rig_count(LSTAT_in_flight) == 0);
	assert_true(rig_count(LSTAT_answered) > 0);
	assert_true(rig_count(LSTAT_abandoned) > 0);
	assert_true(rig_count(LSTAT_tcp_error) > 0);
	close(good);
	good = rig_tcp_client();
	exchange(good);
	close(good);
}

/* A turn in which the listener's allocations count. */
static void
turn_counted(void)
{
	(void)imsg_flush(&rig.parent);
	(void)imsg_flush(&rig.pool);
	alloc_state.on = true;
	(void)event_base_loop(rig.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	(void)listener_turn_end(rig.l);
	alloc_state.on = false;
	rig_check();
	(void)imsg_read(&rig.parent);
	(void)imsg_read(&rig.pool);
}

/* Sends a stream in two pieces; false if it is closed. */
static bool
send_in_pieces(int fd, const uint8_t *stream, size_t len, size_t queries)
{
	uint64_t end_ms = util_now_ms() + RIG_PATIENCE_MS;

	if (send(fd, stream, 20, MSG_NOSIGNAL) != 20)
		return false;
	turn_counted();
	turn_counted();
	if (send(fd, stream + 20, len - 20, MSG_NOSIGNAL) != (ssize_t)len - 20)
		return false;
	while (rig.nqueries < queries) {
		if (rig_is_closed(fd))
			return false;
		assert_true(util_now_ms() < end_ms);
		turn_counted();
	}
	return true;
}

/* Reads so many bytes; false if it is closed before. */
static bool
receive_counted(int fd, size_t bytes)
{
	uint64_t end_ms = util_now_ms() + RIG_PATIENCE_MS;
	ssize_t n;

	while (bytes > 0) {
		turn_counted();
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n == 0 || (n == -1 && errno != EAGAIN))
			return false;
		assert_true(util_now_ms() < end_ms);
		bytes -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

/* A client's life: it comes, asks in pieces and reads when it is too late. */
static bool
live(void)
{
	enum { QUERIES = 40, BYTES = 60000 };
	static uint8_t stream[QUERIES * 64];
	size_t i, first = rig.nqueries, len = make_pipeline(stream, QUERIES);
	size_t bytes = QUERIES * (len / QUERIES + BYTES);
	int fd = client_that_does_not_read();
	bool ok = send_in_pieces(fd, stream, len, first + QUERIES);

	for (i = first; i < rig.nqueries; i++) {
		rig_answer(&rig.queries[i], BYTES);
		turn_counted();
	}
	ok = ok && receive_counted(fd, bytes);
	close(fd);
	while (rig_count(LSTAT_tcp_open) > 0)
		turn_counted();
	return ok;
}

/* Whom it hits is closed, or waits; nobody else notices. */
static void
test_each_allocation_fails(void **state)
{
	unsigned long k;
	bool ok, failed;
	int fd;

	(void)state;
	assert_true(live());
	for (k = 1;; k++) {
		alloc_fail_at(k);
		ok = live();
		failed = alloc_fail_off();
		fd = rig_tcp_client();
		exchange(fd);
		close(fd);
		rig_until(rig_count(LSTAT_tcp_open) == 0);
		if (!failed)
			break;
	}
	assert_true(ok);
	assert_true(k > 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_each_allocation_fails),
		RIG_TEST(test_there_and_back),
		RIG_TEST(test_one_byte_at_a_time),
		RIG_TEST(test_pipeline_has_its_share_of_a_turn),
		RIG_TEST(test_cut_anywhere),
		RIG_TEST(test_pipelined_and_out_of_order),
		RIG_TEST(test_answers_of_a_turn_leave_together),
		RIG_TEST(test_half_close),
		RIG_TEST(test_largest_messages),
		RIG_TEST(test_bad_framing),
		RIG_TEST(test_response_is_dropped_silently),
		RIG_TEST(test_answers_without_end),
		RIG_TEST(test_slow_reader_gets_everything),
		RIG_TEST(test_queries_of_one_client_have_a_limit),
		RIG_TEST(test_limit_and_half_close),
		RIG_TEST(test_held_back_with_the_link),
		RIG_TEST(test_hostile_clients),
	};

	/* libevent's are ours, too. */
	event_set_mem_functions(__wrap_malloc, __wrap_realloc, __wrap_free);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
