/* SPDX-License-Identifier: ISC */
/* LIBS: -ltls -lcmocka */
/*
 * The real pool under a fixed load, for instructions.py: batches of queries
 * from a listener, answered by upstreams, both played here; so many more are in
 * flight at any time.  What is counted is what runs below count_turn().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <valgrind/callgrind.h>

#define RIG_REAL_CLOCK
#include "tests/unit/pool_rig.h"

/* Long enough for valgrind on a machine with other work. */
#define COUNT_LIMIT_S 120
#define COUNT_WARM 8 /* batches that are not counted */
/* Nothing times out meanwhile. */
#define COUNT_TIMEOUT_MS 60000

/* What is asked for on the command line. */
struct load {
	unsigned int batch;
	unsigned int held; /* queries in flight between batches */
	unsigned int nups;
	enum conf_policy policy;
	unsigned int n; /* queries that are counted */
};

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

/* A handle as the listener makes them, of slot and generation. */
static uint64_t
handle_of(uint32_t n)
{
	return (uint64_t)(n / CONF_INFLIGHT_MAX + 1) << 32 |
	       n % CONF_INFLIGHT_MAX;
}

static void
send_query(uint32_t n)
{
	static struct pkt p;
	char name[64];

	(void)snprintf(name, sizeof(name), "h%07u.example.org", n);
	pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 1);
	pkt_question(&p, name, 1);
	pkt_opt(&p, 1232, 0, 0);
	assert_true(msg_send_query(
	    &rig.link, handle_of(n), COUNT_TIMEOUT_MS, p.buf, p.w.pos));
}

/* The number in the name of a message. */
static uint32_t
number_of(const struct rig_message *m)
{
	return (uint32_t)strtoul(
	    (const char *)m->wire + DNS_HDR_LEN + 2, NULL, 10);
}

/* How many queries the upstreams have. */
static size_t
pump_all(void)
{
	size_t i, n = 0;

	for (i = 0; i < rig.npeers; i++) {
		peer_pump(rig.peers[i]);
		n += rig.peers[i]->ngot;
	}
	return n;
}

/* Answers those with numbers from first to end - 1, in one record. */
static void
answer(struct peer *p, uint32_t first, uint32_t end)
{
	static uint8_t buf[DNS_MSG_MAX];
	struct rig_message *m = p->got;
	struct rig_message *all_end = p->got + p->ngot, *done;
	size_t at = 0;

	while (m < all_end && number_of(m) < first)
		m++;
	for (done = m; m < all_end && number_of(m) < end; m++) {
		m->wire[2] |= 0x80;
		wire_store_u16(buf + at, (uint16_t)m->len);
		memcpy(buf + at + 2, m->wire, m->len);
		at += 2 + m->len;
		free(m->wire);
	}
	if (at == 0)
		return;
	peer_write(p, buf, at);
	p->ngot -= (size_t)(m - done);
	memmove(done, m, (size_t)(all_end - m) * sizeof(*m));
}

static void
take_replies(void)
{
	size_t i;

	(void)imsg_read(&rig.link);
	for (i = 0; i < rig.nreplies; i++) {
		assert_false(rig.replies[i].failed);
		free(rig.replies[i].wire);
	}
	rig.nreplies = 0;
}

/* The upstreams get a batch beside what they hold. */
static void
ask_batch(const struct load *ld, uint32_t first, bool counted)
{
	const uint64_t *queries = &rig.pool->counters[TSTAT_queries];
	uint64_t end = *queries + ld->batch;
	size_t had = pump_all();
	unsigned int i;

	for (i = 0; i < ld->batch; i++)
		send_query(first + i);
	while (*queries < end)
		turn(counted);
	while (pump_all() < had + ld->batch)
		if (!counted)
			rig_turn(); /* connections are made */
}

/*
 * They answer the batch in the middle of those they hold, its first is given:
 * who searches them from either end has far to go.
 */
static void
answer_batch(const struct load *ld, uint32_t first, bool counted)
{
	const uint64_t *answered = &rig.pool->counters[TSTAT_answered];
	uint64_t end = *answered + ld->batch;
	size_t i;

	for (i = 0; i < rig.npeers; i++)
		answer(rig.peers[i], first, first + ld->batch);
	while (*answered < end)
		turn(counted);
	take_replies();
}

static bool
is_connecting(void)
{
	uint32_t i;

	for (i = 0; i < rig.pool->nupstreams; i++)
		if (rig_up(i)->nconnecting > 0)
			return true;
	return false;
}

/* Each upstream has the connections it is going to have. */
static void
start(const struct load *ld)
{
	uint32_t i;

	rig_setup(NULL);
	rig.conf.max_inflight = CONF_INFLIGHT_MAX;
	rig.conf.forward.policy = ld->policy;
	rig.conf.forward.query_timeout_ms = COUNT_TIMEOUT_MS;
	for (i = 1; i < ld->nups; i++)
		(void)rig_add(i + 1);
	for (i = 0; i < ld->nups; i++)
		rig.ups[i].conf.read_timeout_ms = COUNT_TIMEOUT_MS;
	rig_configure();
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
		if (i < warm)
			RIG_UNTIL(!is_connecting());
	}
	assert_int_equal(query_held(&rig.pool->queries), ld->held);
	rig_check_counters();
}

static enum conf_policy
policy_named(const char *name)
{
	return strcmp(name, "failover") == 0 ? POLICY_FAILOVER
					     : POLICY_ROUND_ROBIN;
}

int
main(int argc, char **argv)
{
	struct load ld;

	if (argc != 6) {
		(void)fprintf(stderr,
		    "usage: failover|round-robin batch held upstreams "
		    "queries\n");
		return 1;
	}
	(void)alarm(COUNT_LIMIT_S);
	ld.policy = policy_named(argv[1]);
	ld.batch = (unsigned int)atoi(argv[2]);
	ld.held = (unsigned int)atoi(argv[3]);
	ld.nups = (unsigned int)atoi(argv[4]);
	ld.n = (unsigned int)atoi(argv[5]);
	start(&ld);
	run(&ld);
	return 0;
}
