/* SPDX-License-Identifier: ISC */
/* TCP clients for the tests, good ones and others. */
#ifndef TESTS_LISTENER_TCP_H
#define TESTS_LISTENER_TCP_H

#include "dotproxy/listener/tcp.h"
#include "tests/unit/listener_rig.h"

static uint8_t buf[DNS_MSG_MAX];
static struct pkt pkt;

/* A short tcp read timeout, and write timeout. */
static inline void
set_timeouts(uint32_t read_ms, uint32_t write_ms)
{
	rig.client.client.tcp_read_timeout_ms = read_ms;
	rig.client.client.tcp_write_timeout_ms = write_ms;
	rig_reload("127.0.0.0", 8);
}

/* Writes queries with IDs 0 to n - 1 behind each other; returns the bytes. */
static inline size_t
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
static inline struct rig_query *
ask(int fd, uint16_t id)
{
	size_t n = rig.nqueries;

	rig_make_query(&pkt, id, "www.example", 0);
	rig_send_tcp(fd, &pkt);
	rig_until(rig.nqueries == n + 1);
	return &rig.queries[n];
}

static inline void
exchange(int fd)
{
	struct rig_query q = *ask(fd, 77);

	rig_answer(&q, 0);
	assert_int_equal(rig_recv_tcp(fd, buf), q.len);
	assert_int_equal(dns_id(buf), 77);
}

/* A client with a small window that asks for large answers and reads none. */
static inline int
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
static inline void
answer_large(size_t *done, size_t bytes)
{
	while (*done < rig.nqueries) {
		rig_answer(&rig.queries[(*done)++], bytes);
		rig_turn();
	}
}

/* Sends queries without end, and has them answered. */
static inline void
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

#endif
