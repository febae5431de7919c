/* SPDX-License-Identifier: ISC */
/*
 * The parent and the pool of a listener, as a test plays them: what it has said
 * to them; a part of listener_rig.h.
 */
#ifndef TESTS_LISTENER_PEER_H
#define TESTS_LISTENER_PEER_H

#include <stdlib.h>
#include <string.h>

#include "dotproxy/listener/listener.h"

/* A query as the pool got it. */
struct rig_query {
	uint64_t handle;
	uint32_t left_ms;
	size_t len;
	uint8_t *wire;
	bool transfer;
};

struct rig {
	struct event_base *base;
	struct listener *l;
	struct imsg_chan parent; /* our ends */
	struct imsg_chan pool;
	uint64_t link_id;
	uint64_t generation;
	uint64_t done_generation; /* of the last CONF_DONE */
	uint64_t ready;
	uint64_t links_down;
	uint64_t link_down_id;
	struct rig_query *queries;
	size_t nqueries;
	bool echo;          /* the pool answers at once */
	uint64_t cancelled; /* the last handle, and how many */
	size_t ncancelled;
	struct msg_client client;
	struct sockaddr_storage udp_addr;
	struct sockaddr_storage tcp_addr;
	/* Requests of the listener to the two, the last of each. */
	uint16_t asked_parent;
	uint64_t asked_parent_id;
	uint8_t asked_parent_value;
	size_t nasked_parent;
	uint8_t asked_pool;
	uint64_t asked_pool_id;
	size_t nasked_pool;
	/* What the pool was told of transfers. */
	uint64_t credit; /* of all, together */
};

static struct rig rig;

/* --- what the listener says to the parent --- */

static inline int
rig_on_result(void *arg, struct imsg *m)
{
	struct msg_result res;

	(void)arg;
	assert_int_equal(msg_read_result(m, &res), 0);
	assert_true(res.ok);
	rig.done_generation = m->id;
	return 0;
}

static inline int
rig_on_link_down(void *arg, struct imsg *m)
{
	(void)arg;
	rig.links_down++;
	rig.link_down_id = m->id;
	return 0;
}

static inline int
rig_on_request(void *arg, struct imsg *m)
{
	(void)arg;
	rig.asked_parent = m->type;
	rig.asked_parent_id = m->id;
	rig.asked_parent_value = m->len > 0 ? m->data[0] : 0;
	rig.nasked_parent++;
	return 0;
}

static const struct imsg_rule rig_parent_rules[IMSG_TYPES_MAX] = {
	[MSG_XP_CONF_DONE] = { .handler = rig_on_result,
	    .max = 8192,
	    .phases = 1 },
	[MSG_XP_LINK_DOWN] = { .handler = rig_on_link_down, .phases = 1 },
	[MSG_LP_RELOAD] = { .handler = rig_on_request, .phases = 1 },
	[MSG_LP_LOG_LEVEL] = { .handler = rig_on_request,
	    .max = 1,
	    .phases = 1 },
	[MSG_LP_PROCESSES] = { .handler = rig_on_request, .phases = 1 },
	[MSG_LP_CONFIG] = { .handler = rig_on_request, .phases = 1 },
	[MSG_LP_CHANGE] = { .handler = rig_on_request, .max = 5, .phases = 1 },
	[MSG_XP_PONG] = { .handler = rig_on_request, .phases = 1 },
};

/* --- what it says to the pool --- */

/* Answers a query with itself and n bytes, as the pool. */
static inline void
rig_answer_wire(uint64_t handle, const uint8_t *wire, size_t len, size_t n)
{
	static uint8_t answer[DNS_MSG_MAX];

	assert_true(len + n <= sizeof(answer));
	memcpy(answer, wire, len);
	memset(answer + len, 0xaa, n);
	answer[2] |= 0x80;
	dns_set_id(answer, 0xdead); /* the listener knows better */
	assert_true(msg_send_answer(&rig.pool, handle, answer, len + n));
}

static inline int
rig_on_query(void *arg, struct imsg *m)
{
	struct rig_query *q;
	const uint8_t *wire;

	(void)arg;
	rig.queries =
	    realloc(rig.queries, (rig.nqueries + 1) * sizeof(rig.queries[0]));
	assert_non_null(rig.queries);
	q = &rig.queries[rig.nqueries++];
	q->handle = m->id;
	q->transfer = m->type == MSG_LT_TRANSFER;
	msg_read_query(m, &q->left_ms, &wire, &q->len);
	q->wire = malloc(q->len);
	assert_non_null(q->wire);
	memcpy(q->wire, wire, q->len);
	if (rig.echo)
		rig_answer_wire(q->handle, wire, q->len, 0);
	return 0;
}

static inline int
rig_on_cancel(void *arg, struct imsg *m)
{
	(void)arg;
	rig.cancelled = m->id;
	rig.ncancelled++;
	return 0;
}

static inline int
rig_on_show(void *arg, struct imsg *m)
{
	(void)arg;
	rig.asked_pool = m->data[0];
	rig.asked_pool_id = m->id;
	rig.nasked_pool++;
	return 0;
}

static inline int
rig_on_credit(void *arg, struct imsg *m)
{
	uint32_t n;

	(void)arg;
	assert_int_equal(msg_read_u32(m, &n), 0);
	rig.credit += n;
	return 0;
}

static const struct imsg_rule rig_pool_rules[IMSG_TYPES_MAX] = {
	[MSG_LT_QUERY] = { .handler = rig_on_query,
	    .min = MSG_QUERY_MIN,
	    .max = MSG_QUERY_MAX,
	    .phases = 1 },
	[MSG_LT_TRANSFER] = { .handler = rig_on_query,
	    .min = MSG_QUERY_MIN,
	    .max = MSG_QUERY_MAX,
	    .phases = 1 },
	[MSG_LT_CREDIT] = { .handler = rig_on_credit,
	    .min = 4,
	    .max = 4,
	    .phases = 1 },
	[MSG_LT_CANCEL] = { .handler = rig_on_cancel, .phases = 1 },
	[MSG_LT_SHOW] = { .handler = rig_on_show,
	    .min = 1,
	    .max = 1,
	    .phases = 1 },
};

#endif
