/* SPDX-License-Identifier: ISC */
/* LIBS: -lcmocka */
/*
 * The real listener under a fixed load, for instructions.py: batches of
 * queries from a client, answered by a pool that is played here.  What is
 * counted is what runs below count_turn().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/listener_rig.h"

/* Long enough for valgrind on a machine with other work. */
#define COUNT_LIMIT_S 120
#define COUNT_WARM 8 /* batches that are not counted */

void count_turn(struct listener *);

/* One turn of the process, as its main() does it. */
__attribute__((noinline)) void
count_turn(struct listener *l)
{
	(void)event_base_loop(l->base, EVLOOP_ONCE);
	listener_turn_end(l);
}

/* The turn for which it waits, counted or not. */
static void
turn(bool counted)
{
	(void)imsg_flush(&rig.pool);
	if (counted) {
		count_turn(rig.l);
		return;
	}
	(void)event_base_loop(rig.base, EVLOOP_ONCE);
	listener_turn_end(rig.l);
}

static size_t
make_query(uint8_t *out, uint32_t n)
{
	static struct pkt p;
	char name[64];

	(void)snprintf(name, sizeof(name), "h%07u.example.org", n);
	rig_make_query(&p, (uint16_t)n, name, 1232);
	memcpy(out, p.buf, p.w.pos);
	return p.w.pos;
}

static void
send_udp(int fd, unsigned int batch, uint32_t first)
{
	uint8_t buf[512];
	unsigned int i;
	size_t len;

	for (i = 0; i < batch; i++) {
		len = make_query(buf, first + i);
		assert_int_equal(send(fd, buf, len, 0), len);
	}
}

/* All in one segment. */
static void
send_tcp(int fd, unsigned int batch, uint32_t first)
{
	static uint8_t buf[DNS_MSG_MAX];
	size_t at = 0, len;
	unsigned int i;

	for (i = 0; i < batch; i++) {
		len = make_query(buf + at + 2, first + i);
		wire_store_u16(buf + at, (uint16_t)len);
		at += 2 + len;
	}
	assert_int_equal(send(fd, buf, at, MSG_NOSIGNAL), at);
}

/* Takes what has been answered; the queries are those of the batch. */
static void
take_answers(int fd, bool tcp)
{
	static uint8_t buf[DNS_MSG_MAX];
	size_t i, want = 0;

	for (i = 0; i < rig.nqueries; i++) {
		if (tcp)
			want += 2 + rig.queries[i].len;
		else
			assert_int_equal(
			    recv(fd, buf, sizeof(buf), MSG_DONTWAIT),
			    rig.queries[i].len);
		free(rig.queries[i].wire);
	}
	if (tcp)
		assert_int_equal(recv(fd, buf, want, MSG_WAITALL), want);
	rig.nqueries = 0;
}

static void
run_batch(int fd, bool tcp, unsigned int batch, uint32_t first)
{
	bool counted = first >= COUNT_WARM * batch;

	if (tcp)
		send_tcp(fd, batch, first);
	else
		send_udp(fd, batch, first);
	turn(counted);
	(void)imsg_read(&rig.pool); /* answers, too */
	assert_int_equal(rig.nqueries, batch);
	turn(counted);
	take_answers(fd, tcp);
}

int
main(int argc, char **argv)
{
	unsigned int batch, n, i;
	bool tcp;
	int fd;

	if (argc != 4) {
		(void)fprintf(stderr, "usage: udp|tcp batch queries\n");
		return 1;
	}
	(void)alarm(COUNT_LIMIT_S);
	tcp = strcmp(argv[1], "tcp") == 0;
	batch = (unsigned int)atoi(argv[2]);
	n = (unsigned int)atoi(argv[3]) + COUNT_WARM * batch;
	rig_start(NULL);
	rig.echo = true;
	fd = tcp ? rig_tcp_client() : rig_udp_client(&rig.udp_addr);
	if (tcp)
		rig_until(rig.l->counters[LSTAT_tcp_open] == 1);
	rig_settle();
	for (i = 0; i < n; i += batch)
		run_batch(fd, tcp, batch, i);
	assert_int_equal(rig.l->counters[LSTAT_answered], n);
	close(fd);
	rig_stop(NULL);
	return 0;
}
