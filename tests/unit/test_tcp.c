/* SPDX-License-Identifier: ISC */
/* LINK: common/child.c common/dns.c common/imsg.c common/log.c common/msg.c */
/* LINK: common/msg_info.c common/util.c */
/* LINK: dotproxy/listener/acl.c dotproxy/listener/config.c */
/* LINK: dotproxy/listener/control.c dotproxy/listener/inflight.c */
/* LINK: dotproxy/listener/link.c dotproxy/listener/listener.c */
/* LINK: dotproxy/listener/query.c dotproxy/listener/tcp.c */
/* LINK: dotproxy/listener/tcp_io.c dotproxy/listener/udp.c */
/* LINK: dotproxy/listener/udp_send.c */
/* LIBS: -levent_core */
/* TCP clients: RFC 7766, and those who mean no good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/resource.h>

#include "dotproxy/listener/tcp.h"
#include "tests/unit/listener_rig.h"

static uint8_t buf[DNS_MSG_MAX];
static struct pkt pkt;

/* Writes queries with IDs 0 to n - 1 behind each other; returns the bytes. */
static size_t
make_pipeline(uint8_t *out, size_t n)
{
	size_t i, len = 0;

	for (i = 0; i < n; i++) {
		rig_make_query(&pkt, (uint16_t)i, "www.example", 0);
		wire_store_u16(out + len, (uint16_t)pkt.w.pos);
		memcpy(out + len + 2, pkt.buf, pkt.w.pos);
		len += 2 + pkt.w.pos;
	}
	return len;
}

/* Sends a query over TCP and waits until the pool has it. */
static struct rig_query *
ask(int fd, uint16_t id)
{
	size_t n = rig.nqueries;

	rig_make_query(&pkt, id, "www.example", 0);
	rig_send_tcp(fd, &pkt);
	rig_until(rig.nqueries == n + 1);
	return &rig.queries[n];
}

static void
exchange(int fd)
{
	struct rig_query q = *ask(fd, 77);

	rig_answer(&q, 0);
	assert_int_equal(rig_recv_tcp(fd, buf), q.len);
	assert_int_equal(dns_id(buf), 77);
}

/* A short tcp read timeout, and write timeout. */
static void
set_timeouts(uint32_t read_ms, uint32_t write_ms)
{
	rig.client.client.tcp_read_timeout_ms = read_ms;
	rig.client.client.tcp_write_timeout_ms = write_ms;
	rig_reload("127.0.0.0", 8);
}

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
	rig_answer(&q, 0);
	rig_settle();
	assert_int_equal(rig_count(LSTAT_stale_answers), 1);
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

/* A client with a small window that asks for large answers and reads none. */
static int
client_that_does_not_read(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int size = 4096, one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	assert_int_equal(connect(fd, (struct sockaddr *)&rig.tcp_addr,
			     sockaddr_len(&rig.tcp_addr)),
	    0);
	return fd;
}

/* Answers with so many bytes whatever the pool has been asked. */
static void
answer_large(size_t *done, size_t bytes)
{
	while (*done < rig.nqueries) {
		rig_answer(&rig.queries[(*done)++], bytes);
		rig_turn();
	}
}

/* Sends queries without end, and has them answered. */
static void
ask_without_end(int fd, size_t bytes)
{
	static uint8_t stream[65536];
	size_t done = 0, sent = 0, len = make_pipeline(stream, 1000), i;
	ssize_t n;

	for (i = 0; i < 500 && rig_count(LSTAT_tcp_error) == 0; i++) {
		n = send(fd, stream + sent, len - sent, MSG_DONTWAIT);
		if (n > 0)
			sent += (size_t)n;
		rig_turn();
		answer_large(&done, bytes);
	}
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_there_and_back),
		RIG_TEST(test_one_byte_at_a_time),
		RIG_TEST(test_cut_anywhere),
		RIG_TEST(test_pipelined_and_out_of_order),
		RIG_TEST(test_answers_of_a_turn_leave_together),
		RIG_TEST(test_half_close),
		RIG_TEST(test_client_goes_with_queries_in_flight),
		RIG_TEST(test_largest_messages),
		RIG_TEST(test_bad_framing),
		RIG_TEST(test_response_is_dropped_silently),
		RIG_TEST(test_idle_client_is_closed),
		RIG_TEST(test_slow_pool_is_not_the_clients_fault),
		RIG_TEST(test_dripping_bytes_is_no_life_sign),
		RIG_TEST(test_client_that_does_not_read),
		RIG_TEST(test_answers_without_end),
		RIG_TEST(test_slow_reader_gets_everything),
		RIG_TEST(test_queries_of_one_client_have_a_limit),
		RIG_TEST(test_limit_and_half_close),
		RIG_TEST(test_longest_idle_makes_room),
		RIG_TEST(test_no_room_among_the_busy),
		RIG_TEST(test_client_not_allowed),
		RIG_TEST(test_idle_client_costs_little),
		RIG_TEST(test_memory_has_a_limit),
		RIG_TEST(test_no_descriptors_left),
		RIG_TEST(test_retired_socket_leaves_its_clients),
		RIG_TEST(test_held_back_with_the_link),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
