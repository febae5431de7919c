/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core */
/* The link to the pool: none, a new one, a slow one, and a hostile one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/listener_rig.h"

static uint8_t buf[DNS_MSG_MAX];
static struct pkt pkt;

static void
test_queries_wait_for_a_pool(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);

	(void)state;
	imsg_close(&rig.pool);
	rig_until(rig.links_down == 1);
	assert_int_equal(rig.link_down_id, rig.link_id);
	rig_make_query(&pkt, 1, "www.example", 0);
	rig_send(fd, &pkt);
	assert_true(rig_nothing_comes(fd));
	assert_int_equal(rig_count(LSTAT_in_flight), 1);
	rig_run_ms(30);
	rig_link();
	rig_until(rig.nqueries == 1);
	assert_in_range(rig.queries[0].left_ms, 3000, 3970);
	assert_int_equal(rig_count(LSTAT_resent), 0);
	rig_answer(&rig.queries[0], 0);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(rig_count(LSTAT_answered), 1);
	close(fd);
}

static void
test_no_pool_until_the_deadline(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	char text[256];
	size_t len;

	(void)state;
	rig.client.query_timeout_ms = 50;
	rig_reload("127.0.0.0", 8);
	imsg_close(&rig.pool);
	rig_make_query(&pkt, 1, "www.example", 1232);
	rig_send(fd, &pkt);
	len = rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_rcode(buf), DNS_RCODE_SERVFAIL);
	assert_int_equal(rig_ede(buf, len, text), DNS_EDE_NOT_READY);
	assert_int_equal(rig_count(LSTAT_failed_not_ready), 1);
	close(fd);
}

static void
test_pool_dies_with_queries(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	char text[256];
	uint64_t old;
	size_t len;

	(void)state;
	old = rig_ask(fd, 1, "www.example", 0)->handle;
	rig_make_query(&pkt, 2, "update.example", 1232);
	pkt.buf[2] = DNS_OPCODE_UPDATE << 3;
	rig_send(fd, &pkt);
	rig_until(rig.nqueries == 2);
	rig_run_ms(20);
	rig_link();
	/* What may be sent twice is; */
	rig_until(rig.nqueries == 3);
	assert_int_equal(rig.queries[2].handle, old);
	assert_in_range(rig.queries[2].left_ms, 3000, 3980);
	assert_memory_equal(
	    rig.queries[2].wire, rig.queries[0].wire, rig.queries[0].len);
	assert_int_equal(rig_count(LSTAT_resent), 1);
	/* what may not has an answer at once. */
	len = rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 2);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_SERVFAIL);
	assert_int_equal(rig_ede(buf, len, text), DNS_EDE_NOT_READY);
	rig_answer(&rig.queries[2], 0);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 1);
	close(fd);
}

static void
test_pool_breaks_the_protocol(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	struct info_counters c = { .source = SOURCE_LISTENER, .n = 1 };
	const struct hist h = { 0 };
	unsigned int round;

	(void)state;
	(void)rig_ask(fd, 1, "www.example", 0);
	for (round = 0; round < 4; round++) {
		if (round == 0) /* what only the parent may say */
			assert_true(
			    msg_send_u8(&rig.pool, MSG_PX_LOG_LEVEL, 0, 1));
		else if (round == 1) /* no answer is so short */
			assert_true(
			    imsg_send_empty(&rig.pool, MSG_TL_ANSWER, 0, -1));
		else if (round == 2) /* not its counters */
			assert_true(msg_send_info_counters(&rig.pool, 0, &c));
		else /* nor its histogram */
			assert_true(msg_send_info_hist(&rig.pool, 0,
			    MSG_NO_UPSTREAM, INFO_HIST_RTT_UDP, false, &h));
		rig_until(rig.links_down == round + 1);
		assert_int_equal(rig.link_down_id, rig.link_id);
		assert_int_equal(rig_count(LSTAT_in_flight), 1);
		rig_link();
		rig_until(rig.nqueries == round + 2);
	}
	rig_answer(&rig.queries[4], 0);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(rig_count(LSTAT_resent), 4);
	close(fd);
}

/* Sends queries of about 1,200 bytes, as many as there are. */
static void
send_large(int fd, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		rig_make_query(&pkt, (uint16_t)(n + i), "www.example", 1232);
		memset(pkt.buf + pkt.w.pos, 0, 1160);
		pkt.w.pos += 1160;
		rig_send(fd, &pkt);
		if (i % 64 == 63)
			rig_turn();
	}
}

static void
test_pool_that_does_not_read(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr), size = 4 * 1024 * 1024;
	struct imsg_chan pool = rig.pool;
	uint64_t read_by_us;
	size_t i;

	(void)state;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	/* Nobody reads the other end: rig_turn() must not. */
	rig.pool.fd = -1;
	send_large(fd, 4000);
	rig_settle();
	assert_true(rig.l->paused);
	assert_true(rig.l->link.out_len - rig.l->link.out_pos <= MSG_LINK_BUF);
	read_by_us = rig_count(LSTAT_queries_udp);
	assert_true(read_by_us < 4000);
	rig_settle(); /* it does not go on reading */
	assert_int_equal(rig_count(LSTAT_queries_udp), read_by_us);
	assert_int_equal(rig_count(LSTAT_failed_busy), 0);
	/* Now it does read; all that has been read is answered. */
	rig.pool = pool;
	rig.echo = true;
	rig_until(!rig.l->paused && rig_count(LSTAT_in_flight) == 0);
	assert_int_equal(
	    rig_count(LSTAT_answered), rig_count(LSTAT_queries_udp));
	for (i = 0; i < read_by_us; i++)
		if (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) == -1)
			break;
	assert_true(i > 0);
	close(fd);
}

static void
test_pool_that_is_stuck(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr), late;
	struct imsg_chan pool = rig.pool;
	char text[256];
	size_t len;

	(void)state;
	rig.client.query_timeout_ms = 1000;
	rig_reload("127.0.0.0", 8);
	rig.pool.fd = -1; /* nobody reads the other end, ever */
	send_large(fd, 4000);
	rig_settle();
	assert_true(rig.l->paused);
	/* A client that comes now has an answer all the same. */
	late = rig_udp_client(&rig.udp_addr);
	rig_make_query(&pkt, 4711, "late.example", 1232);
	rig_send(late, &pkt);
	len = rig_recv(late, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 4711);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_SERVFAIL);
	assert_int_equal(
	    rig_ede(buf, len, text), DNS_EDE_NO_REACHABLE_AUTHORITY);
	rig_until(rig_count(LSTAT_in_flight) == 0);
	/* When it comes to itself, there is room for queries again. */
	rig.pool = pool;
	rig.echo = true;
	rig_until(!rig.l->pause_over);
	rig_send(late, &pkt);
	(void)rig_recv(late, buf, sizeof(buf));
	assert_int_equal(dns_rcode(buf), DNS_RCODE_NOERROR);
	close(late);
	close(fd);
}

static void
test_answer_before_the_question(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	struct imsg_chan pool = rig.pool;
	struct inflight_slot *s;
	uint64_t handle;

	(void)state;
	rig.pool.fd = -1; /* nobody reads the other end */
	send_large(fd, 4000);
	rig_until(rig.l->pause_over);
	send_large(fd, 1000);
	rig_settle();
	s = TAILQ_FIRST(&rig.l->inflight.wait);
	assert_non_null(s);
	/* A pool that guesses what it has not been asked. */
	handle = inflight_handle(&rig.l->inflight, s);
	rig.pool = pool;
	rig_answer_wire(handle, inflight_wire(s), s->wire_len, 0);
	(void)imsg_flush(&rig.pool);
	pool = rig.pool;
	rig.pool.fd = -1;
	rig_settle();
	assert_int_equal(rig_count(LSTAT_stale_answers), 1);
	assert_ptr_equal(inflight_find(&rig.l->inflight, handle), s);
	rig.pool = pool;
	close(fd);
}

/* Sends so many queries of a client, IDs from first on, and lets them come. */
static void
ask_many(int fd, uint16_t first, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n; i++) {
		rig_make_query(&pkt, (uint16_t)(first + i), "www.example", 0);
		rig_send(fd, &pkt);
	}
	rig_settle();
}

/* As it is when more would not be answered any sooner. */
static void
set_window(uint32_t size)
{
	struct window *w = &rig.l->turns.window;

	w->size = w->hold = size;
	w->calm = false;
	w->since_ms = w->bound_ms = w->judged_ms = util_now_ms();
	w->mean_us = 1000000; /* so long is waited for an answer */
}

static uint16_t
client_of(size_t n)
{
	struct inflight_slot *s =
	    inflight_find(&rig.l->inflight, rig.queries[n].handle);

	return s != NULL ? s->query.id : 0;
}

static void
test_clients_take_turns(void **state)
{
	static const uint16_t order[] = { 1, 2, 3, 101, 4, 102, 5, 6 };
	int fd = rig_udp_client(&rig.udp_addr);
	int other = rig_udp_client_at("127.0.0.2");
	size_t i;

	(void)state;
	set_window(2);
	ask_many(fd, 1, 6);
	ask_many(other, 101, 2);
	assert_int_equal(rig.nqueries, 2);
	/* One repeated finds the one that waits. */
	ask_many(fd, 6, 1);
	assert_int_equal(rig_count(LSTAT_dropped_repeated), 1);
	for (i = 0; i < 8; i++) {
		assert_int_equal(client_of(i), order[i]);
		rig_answer(&rig.queries[i], 0);
		(void)rig_recv(order[i] > 100 ? other : fd, buf, sizeof(buf));
		assert_int_equal(dns_id(buf), order[i]);
		rig_settle();
		assert_int_equal(rig.nqueries, i < 6 ? i + 3 : 8);
	}
	assert_int_equal(rig_count(LSTAT_answered), 8);
	assert_int_equal(rig_count(LSTAT_in_turn), 6);
	close(fd);
	close(other);
}

/* Who waits for a turn does so only as long as somebody else has one. */
static void
test_turns_without_answers(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);

	(void)state;
	set_window(2);
	rig.l->turns.window.mean_us = 0;
	ask_many(fd, 1, 5);
	rig_until(rig.nqueries == 5);
	rig_link(); /* and who has one has it again, from another pool */
	rig_until(rig.nqueries == 10);
	assert_int_equal(rig_count(LSTAT_resent), 5);
	close(fd);
}

static void
test_new_pool_while_some_wait(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	size_t i;

	(void)state;
	set_window(2);
	ask_many(fd, 1, 5);
	assert_int_equal(rig.nqueries, 2);
	imsg_close(&rig.pool);
	rig_until(rig.links_down == 1);
	rig_link();
	rig_until(rig.nqueries == 2 + 5);
	assert_int_equal(rig_count(LSTAT_resent), 2);
	for (i = 0; i < 5; i++)
		assert_int_equal(client_of(2 + i), i + 1);
	close(fd);
}

/* Neither is ever asked of the pool. */
static void
test_who_waits_gives_up(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr), tcp = rig_tcp_client();
	const struct linger reset = { 1, 0 };
	char text[256];
	size_t len;

	(void)state;
	rig.client.query_timeout_ms = 100;
	rig_reload("127.0.0.0", 8);
	set_window(1);
	rig_make_query(&pkt, 1, "www.example", 0);
	rig_send_tcp(tcp, &pkt);
	rig_until(rig.nqueries == 1);
	rig_send_tcp(tcp, &pkt);
	rig_send_tcp(tcp, &pkt);
	rig_until(rig.l->turns.n == 2);
	rig_make_query(&pkt, 2, "www.example", 1232);
	rig_send(fd, &pkt);
	rig_until(rig.l->turns.n == 3);
	(void)setsockopt(tcp, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(tcp);
	rig_until(rig_count(LSTAT_abandoned) == 3);
	assert_int_equal(rig.l->turns.n, 1);
	rig_answer(&rig.queries[0], 0);
	/* So one has its turn; another waits behind it, in vain. */
	rig_until(rig.nqueries == 2);
	ask_many(fd, 3, 1);
	assert_int_equal(rig.l->turns.n, 1);
	len = rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 2);
	assert_int_equal(
	    rig_ede(buf, len, text), DNS_EDE_NO_REACHABLE_AUTHORITY);
	(void)rig_recv(fd, buf, sizeof(buf));
	assert_int_equal(dns_id(buf), 3);
	assert_int_equal(dns_rcode(buf), DNS_RCODE_SERVFAIL);
	assert_int_equal(rig_count(LSTAT_failed_timeout), 2);
	assert_int_equal(rig.l->turns.n, 0);
	close(fd);
}

/* The upstream is not asked for what would come too late; others are next. */
static void
test_turn_that_comes_too_late(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	int other = rig_udp_client_at("127.0.0.2");
	struct inflight_slot *s;

	(void)state;
	set_window(1);
	ask_many(fd, 1, 3);
	assert_int_equal(rig.nqueries, 1);
	/* They have so long still; of more than that half counts. */
	rig.l->turns.window.mean_us = 10000000;
	for (s = inflight_first(&rig.l->inflight); s != NULL;
	     s = inflight_next(s))
		s->deadline_ms -= rig.client.query_timeout_ms * 4 / 5;
	ask_many(other, 101, 1);
	assert_int_equal(rig.l->turns.n, 3);
	rig_answer(&rig.queries[0], 0);
	rig_until(rig.nqueries == 2);
	assert_int_equal(client_of(1), 101);
	assert_int_equal(rig.l->turns.n, 0);
	assert_int_equal(rig_count(LSTAT_failed_timeout), 2);
	close(fd);
	close(other);
}

/* Behind another's line who has none in it finds a place. */
static void
test_place_beside_a_line(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	int other = rig_udp_client_at("127.0.0.2");

	(void)state;
	rig.client.client.max_inflight = 64;
	rig_reload("127.0.0.0", 8);
	set_window(1);
	ask_many(fd, 1, 10);
	assert_int_equal(rig.l->turns.n, 9);
	rig.l->shed.window = 10;
	ask_many(fd, 11, 1);
	assert_int_equal(rig_count(LSTAT_failed_busy), 1);
	ask_many(other, 1, 1);
	assert_int_equal(rig.l->turns.n, 10);
	/* But not for more than that. */
	ask_many(other, 2, 1);
	assert_int_equal(rig_count(LSTAT_failed_busy), 2);
	close(fd);
	close(other);
}

/* A small generator: the test must be the same every time. */
static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* One message of a hostile pool that its rule may admit, or may not. */
static void
hostile_message(uint32_t *seed)
{
	static const uint16_t types[] = { MSG_TL_ANSWER, MSG_TL_ANSWER,
		MSG_TL_FAILED, MSG_INFO_END, MSG_INFO_POOL, MSG_INFO_CONN,
		MSG_INFO_COUNTERS, MSG_INFO_UPSTREAM };
	struct wire_writer w;
	const struct rig_query *q = NULL;
	uint64_t handle = next_random(seed);
	size_t n = next_random(seed) % 80, i;
	uint8_t *p;

	if (rig.nqueries > 0 && next_random(seed) % 4 > 0) {
		q = &rig.queries[next_random(seed) % rig.nqueries];
		handle = q->handle;
		if (next_random(seed) % 2 > 0) /* another's question */
			q = &rig.queries[next_random(seed) % rig.nqueries];
		n = q->len;
	}
	if (!imsg_begin(&rig.pool, &w, 128))
		return;
	p = wire_put_space(&w, n);
	for (i = 0; i < n; i++)
		p[i] = q != NULL ? q->wire[i] : (uint8_t)next_random(seed);
	if (n > 2 && next_random(seed) % 8 > 0)
		p[2] |= 0x80;
	if (n > 0 && next_random(seed) % 2 > 0)
		p[next_random(seed) % n] ^= (uint8_t)next_random(seed);
	(void)imsg_commit(
	    &rig.pool, &w, types[next_random(seed) % 8], handle, -1);
}

static void
test_hostile_pool(void **state)
{
	int fds[4];
	uint32_t seed = 7, round, i;
	char name[32];
	ssize_t n;

	(void)state;
	rig.client.query_timeout_ms = 100;
	rig_reload("127.0.0.0", 8);
	for (i = 0; i < 4; i++)
		fds[i] = rig_udp_client(&rig.udp_addr);
	for (round = 0; round < 3000; round++) {
		/* The ID says what was asked, by whom. */
		i = round % 4;
		(void)snprintf(
		    name, sizeof(name), "c%u.n%05u.example", i, round);
		rig_make_query(&pkt, (uint16_t)round, name, 0);
		rig_send(fds[i], &pkt);
		rig_turn();
		for (i = 0; i < 5; i++)
			hostile_message(&seed);
		if (!imsg_is_open(&rig.pool) || rig.links_down == rig.link_id)
			rig_link();
		for (i = 0; i < 4; i++) {
			n = recv(fds[i], buf, sizeof(buf), MSG_DONTWAIT);
			if (n < 0 || wire_load_u16(buf + 4) == 0)
				continue;
			(void)snprintf(name, sizeof(name), "c%u.n%05u.example",
			    i, dns_id(buf));
			rig_make_query(&pkt, dns_id(buf), name, 0);
			assert_true(dns_answer_matches(
			    pkt.buf, pkt.w.pos, buf, (size_t)n));
			assert_true(dns_is_response(buf));
		}
	}
	assert_true(rig_count(LSTAT_bad_answers) > 0);
	assert_true(rig_count(LSTAT_stale_answers) > 0);
	assert_true(rig_count(LSTAT_answered) > 0);
	rig_until(rig_count(LSTAT_in_flight) == 0);
	for (i = 0; i < 4; i++)
		close(fds[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_queries_wait_for_a_pool),
		RIG_TEST(test_no_pool_until_the_deadline),
		RIG_TEST(test_pool_dies_with_queries),
		RIG_TEST(test_pool_breaks_the_protocol),
		RIG_TEST(test_pool_that_does_not_read),
		RIG_TEST(test_pool_that_is_stuck),
		RIG_TEST(test_answer_before_the_question),
		RIG_TEST(test_hostile_pool),
		RIG_TEST(test_clients_take_turns),
		RIG_TEST(test_turns_without_answers),
		RIG_TEST(test_new_pool_while_some_wait),
		RIG_TEST(test_who_waits_gives_up),
		RIG_TEST(test_turn_that_comes_too_late),
		RIG_TEST(test_place_beside_a_line),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
