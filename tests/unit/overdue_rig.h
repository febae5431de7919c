/* SPDX-License-Identifier: ISC */
/* A pool that has been answered for a while, and answers that are late. */
#ifndef TESTS_OVERDUE_RIG_H
#define TESTS_OVERDUE_RIG_H

#include "tests/unit/pool_rig.h"

static inline uint64_t
count(enum pool_counter which)
{
	return rig.pool->counters[which];
}

/* Answers whatever has come, on all connections of one upstream. */
static inline void
answer_all(uint32_t upstream)
{
	struct peer *p;
	size_t i, k;

	for (i = 0; i < rig.npeers; i++) {
		p = rig.peers[i];
		for (k = 0; p->upstream == upstream && k < p->ngot; k++)
			if (!dns_is_response(p->got[k].wire))
				peer_answer(p, k);
	}
}

/* A few answers that came soon, and a second connection. */
static inline void
warm(uint32_t upstream)
{
	uint64_t i;

	for (i = 0; i < 2 * HEDGE_SAMPLES_FEW; i++) {
		rig_ask(1000 + i);
		while (!rig_answered(1000 + i)) {
			rig_turn();
			answer_all(upstream);
		}
	}
	RIG_UNTIL(rig_up(0)->nready == 2);
	while (rig.nreplies > 0)
		free(rig.replies[--rig.nreplies].wire);
}

/* One upstream, or two, with hedging on. */
static inline int
setup(void **state, uint32_t n, uint32_t percent)
{
	uint32_t i;

	(void)rig_setup(state);
	rig.conf.forward.hedge_percent = percent;
	for (i = 2; i <= n; i++)
		(void)rig_add(i);
	rig_configure();
	RIG_UNTIL(rig_peer(1, 0) != NULL && rig_up(0)->nready == 1);
	warm(1);
	return 0;
}

static inline int
setup_one(void **state)
{
	return setup(state, 1, 5);
}

/* The connection that got a query last, and the other one. */
static inline struct peer *
late_peer(void)
{
	RIG_UNTIL(rig_peer_with_query() != NULL);
	return rig_peer_with_query();
}

static inline struct peer *
other_peer(const struct peer *p)
{
	return rig_peer(1, 0) == p ? rig_peer(1, 1) : rig_peer(1, 0);
}

static inline bool
has_query(const struct peer *p)
{
	return p->ngot > 0 && !dns_is_response(p->got[p->ngot - 1].wire);
}

#define ON(f) cmocka_unit_test_setup_teardown(f, setup_one, rig_teardown)

#endif
