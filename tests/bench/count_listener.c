/* SPDX-License-Identifier: ISC */
/* LIBS: -lcmocka */
/*
 * The real listener under a fixed load, for instructions.py: batches of
 * queries from clients, answered by a pool that is played here; so many more
 * are in flight at any time.  What is counted is what runs below count_turn().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <valgrind/callgrind.h>

#include "tests/unit/listener_rig.h"

/* Long enough for valgrind on a machine with other work. */
#define COUNT_LIMIT_S 120
#define COUNT_WARM 8 /* batches that are not counted */
/* Nothing times out meanwhile. */
#define COUNT_TIMEOUT_MS 60000

/* What is asked for on the command line, and who asks. */
struct load {
	bool tcp;
	unsigned int batch;
	unsigned int held; /* queries in flight between batches */
	unsigned int nclients;
	unsigned int n; /* queries that are counted */
	int *fds;       /* of clients */
};

void count_turn(struct listener *);

/* One turn of the process, as its main() does it. */
__attribute__((noinline)) void
count_turn(struct listener *l)
{
	(void)event_base_loop(l->base, EVLOOP_ONCE);
	(void)listener_turn_end(l);
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
	(void)listener_turn_end(rig.l);
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

/* One query of each client in turn; if there is one, all in one segment. */
static void
send_tcp(const struct load *ld, uint32_t first)
{
	static uint8_t buf[DNS_MSG_MAX];
	size_t at = 0, len;
	unsigned int i;

	for (i = 0; i < ld->batch; i++) {
		len = make_query(buf + at + 2, first + i);
		wire_store_u16(buf + at, (uint16_t)len);
		at += 2 + len;
		if (ld->nclients == 1 && i + 1 < ld->batch)
			continue;
		assert_int_equal(send(ld->fds[(first + i) % ld->nclients], buf,
				     at, MSG_NOSIGNAL),
		    at);
		at = 0;
	}
}

/* The pool gets a batch beside what it holds. */
static void
ask_batch(const struct load *ld, uint32_t first, bool counted)
{
	size_t before = rig.nqueries;

	if (ld->tcp)
		send_tcp(ld, first);
	else
		send_udp(ld->fds[0], ld->batch, first);
	turn(counted);
	(void)imsg_read(&rig.pool);
	assert_int_equal(rig.nqueries, before + ld->batch);
}

/* Takes the answer to a query, the n-th of all. */
static void
take_answer(const struct load *ld, size_t len, uint32_t n)
{
	static uint8_t buf[DNS_MSG_MAX];
	int fd = ld->fds[n % ld->nclients];

	if (ld->tcp)
		len += 2;
	assert_int_equal(recv(fd, buf, len, ld->tcp ? MSG_WAITALL : 0), len);
}

/*
 * The pool answers the batch in the middle of those it holds, its first is
 * given: who searches them from either end has far to go.
 */
static void
answer_batch(const struct load *ld, uint32_t first, bool counted)
{
	struct rig_query *q = rig.queries + ld->held / 2;
	unsigned int i;

	for (i = 0; i < ld->batch; i++)
		rig_answer(&q[i], 0);
	turn(counted);
	for (i = 0; i < ld->batch; i++) {
		take_answer(ld, q[i].len, first + i);
		free(q[i].wire);
	}
	rig.nqueries -= ld->batch;
	memmove(q, q + ld->batch, (ld->held - ld->held / 2) * sizeof(*q));
}

static void
start(struct load *ld)
{
	unsigned int i;

	rig_start(NULL);
	rig.client.query_timeout_ms = COUNT_TIMEOUT_MS;
	rig.client.client.tcp_read_timeout_ms = COUNT_TIMEOUT_MS;
	rig.client.client.max_inflight = CONF_INFLIGHT_MAX;
	rig.client.client.max_tcp_per_client = rig.client.client.max_tcp;
	rig_reload("127.0.0.0", 8);
	ld->fds = calloc(ld->nclients, sizeof(ld->fds[0]));
	assert_non_null(ld->fds);
	for (i = 0; i < ld->nclients; i++) {
		ld->fds[i] =
		    ld->tcp ? rig_tcp_client() : rig_udp_client(&rig.udp_addr);
		rig_until(rig.l->counters[LSTAT_tcp_open] == ld->tcp * (i + 1));
	}
	rig_settle();
}

static void
run(const struct load *ld)
{
	uint32_t warm = COUNT_WARM * ld->batch, next = 0, i;

	for (; next < ld->held; next += ld->batch)
		ask_batch(ld, next, false);
	for (i = 0; i < warm + ld->n; i += ld->batch, next += ld->batch) {
		if (i == warm)
			CALLGRIND_START_INSTRUMENTATION;
		ask_batch(ld, next, i >= warm);
		answer_batch(ld, ld->held / 2 + i, i >= warm);
	}
	assert_int_equal(rig.l->counters[LSTAT_answered], i);
	assert_int_equal(rig.l->counters[LSTAT_in_flight], ld->held);
}

int
main(int argc, char **argv)
{
	struct load ld;
	unsigned int i;

	if (argc != 6) {
		(void)fprintf(
		    stderr, "usage: udp|tcp batch held clients queries\n");
		return 1;
	}
	(void)alarm(COUNT_LIMIT_S);
	ld.tcp = strcmp(argv[1], "tcp") == 0;
	ld.batch = (unsigned int)atoi(argv[2]);
	ld.held = (unsigned int)atoi(argv[3]);
	ld.nclients = (unsigned int)atoi(argv[4]);
	ld.n = (unsigned int)atoi(argv[5]);
	start(&ld);
	run(&ld);
	for (i = 0; i < ld.nclients; i++)
		close(ld.fds[i]);
	free(ld.fds);
	rig_stop(NULL);
	return 0;
}
