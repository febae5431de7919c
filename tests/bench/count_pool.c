/* SPDX-License-Identifier: ISC */
/* LIBS: -ltls -lcmocka */
/*
 * The real pool under a fixed load, for instructions.py: batches of queries
 * from a listener, answered by an upstream, both played here.  What is counted
 * is what runs below count_turn().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_rig.h"

/* Long enough for valgrind on a machine with other work. */
#define COUNT_LIMIT_S 120
#define COUNT_WARM 8 /* batches that are not counted */

void count_turn(struct pool *);

/* One turn of the process, as its main() does it. */
__attribute__((noinline)) void
count_turn(struct pool *pool)
{
	(void)event_base_loop(pool->base, EVLOOP_ONCE);
	pool_turn_end(pool);
}

/* The turn for which it waits, counted or not. */
static void
turn(bool counted)
{
	(void)imsg_flush(&rig.link);
	if (counted) {
		count_turn(rig.pool);
		return;
	}
	(void)event_base_loop(rig.base, EVLOOP_ONCE);
	pool_turn_end(rig.pool);
}

static void
send_queries(unsigned int batch, uint32_t first)
{
	static struct pkt p;
	char name[64];
	unsigned int i;

	for (i = 0; i < batch; i++) {
		(void)snprintf(
		    name, sizeof(name), "h%07u.example.org", first + i);
		pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 1);
		pkt_question(&p, name, 1);
		pkt_opt(&p, 1232, 0, 0);
		assert_true(msg_send_query(
		    &rig.link, first + i + 1, 4000, p.buf, p.w.pos));
	}
}

/* Answers all in one record. */
static void
answer(struct peer *p)
{
	static uint8_t buf[DNS_MSG_MAX];
	size_t at = 0, i;

	for (i = 0; i < p->ngot; i++) {
		p->got[i].wire[2] |= 0x80;
		wire_store_u16(buf + at, (uint16_t)p->got[i].len);
		memcpy(buf + at + 2, p->got[i].wire, p->got[i].len);
		at += 2 + p->got[i].len;
		free(p->got[i].wire);
	}
	peer_write(p, buf, at);
	p->ngot = 0;
}

static void
take_replies(unsigned int batch)
{
	size_t i;

	(void)imsg_read(&rig.link);
	assert_int_equal(rig.nreplies, batch);
	for (i = 0; i < rig.nreplies; i++) {
		assert_false(rig.replies[i].failed);
		free(rig.replies[i].wire);
	}
	rig.nreplies = 0;
}

static void
run_batch(unsigned int batch, uint32_t first)
{
	bool counted = first >= COUNT_WARM * batch;
	struct peer *p;

	send_queries(batch, first);
	turn(counted);
	do {
		p = rig_peer_with_query();
		for (size_t i = 0; p == NULL && i < rig.npeers; i++)
			peer_pump(rig.peers[i]);
	} while (p == NULL);
	assert_int_equal(p->ngot, batch);
	answer(p);
	turn(counted);
	take_replies(batch);
}

int
main(int argc, char **argv)
{
	unsigned int batch, n, i;

	if (argc != 3) {
		(void)fprintf(stderr, "usage: batch queries\n");
		return 1;
	}
	(void)alarm(COUNT_LIMIT_S);
	batch = (unsigned int)atoi(argv[1]);
	n = (unsigned int)atoi(argv[2]) + COUNT_WARM * batch;
	rig_setup(NULL);
	rig_configure();
	rig_ask(UINT32_MAX); /* has a connection made */
	RIG_UNTIL(rig_peer_with_query() != NULL);
	answer(rig_peer_with_query());
	RIG_UNTIL(rig.nreplies == 1);
	rig_pass(50);
	free(rig.replies[0].wire);
	rig.nreplies = 0;
	for (i = 0; i < n; i += batch)
		run_batch(batch, i);
	rig_check_counters();
	return 0;
}
