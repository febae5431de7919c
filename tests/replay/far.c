/* SPDX-License-Identifier: ISC */
/*
 * The upstreams of a replay, see world.h: who they are, what they do with a
 * dial, and how they answer.  A test's.  They hold against the pool what no
 * server may see: a query twice that must not be, or more often than retries
 * and copies allow.
 */
#include "tests/replay/far.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dns.h"
#include "common/msg.h"
#include "common/wire.h"
#include "tests/replay/vtls.h"

/* What a late answer costs at most, see overdue.c. */
#define COPIES_MAX 8u

struct far *
far_find(struct world *w, const char *name)
{
	uint32_t i;

	for (i = 0; i < w->nfars; i++)
		if (strcmp(w->fars[i].name, name) == 0)
			return &w->fars[i];
	return NULL;
}

struct far *
far_get(struct world *w, const char *name)
{
	struct far *f = far_find(w, name);

	if (f != NULL || w->nfars == WORLD_FARS_MAX)
		return f;
	f = &w->fars[w->nfars];
	f->index = w->nfars++;
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	f->connect_us = 1000;
	f->handshake_us = 1000;
	f->answer_us = 10000;
	f->idle_us = VNET_NEVER;
	TAILQ_INIT(&f->conns);
	return f;
}

void
far_dial(struct world *w, uint32_t index, uint64_t request, bool plain)
{
	struct far *f = &w->fars[index];
	struct far_conn *c;
	int fd;

	f->ndials++;
	f->nplain += plain;
	if (f->connect == FAR_UNREACHABLE || f->connect == FAR_BUSY) {
		if (!msg_send_u32(&w->to_pool, MSG_PT_CONNECT_FAILED, request,
			f->connect == FAR_BUSY ? EAGAIN : ENETUNREACH))
			world_fail(w, "no room to say that a dial has failed");
		return;
	}
	c = far_conn_new(f, &fd);
	c->request = request;
	if (!imsg_send_empty(&w->to_pool, MSG_PT_CONNECTED, request, fd))
		world_fail(w, "no room for a connection");
	if (f->muted || f->connect == FAR_LOST)
		c->next_us = VNET_NEVER;
}

/* --- queries and answers --- */

static void
schedule(struct world *w, struct far_query *q, uint64_t due_us)
{
	struct far_query *o;

	q->scheduled = true;
	q->due_us = due_us;
	TAILQ_FOREACH_REVERSE(o, &w->replies, far_queries, due)
	if (o->due_us <= due_us)
		break;
	if (o == NULL)
		TAILQ_INSERT_HEAD(&w->replies, q, due);
	else
		TAILQ_INSERT_AFTER(&w->replies, o, q, due);
}

void
far_query_free(struct world *w, struct far_query *q)
{
	if (q->scheduled)
		TAILQ_REMOVE(&w->replies, q, due);
	TAILQ_REMOVE(&q->conn->queries, q, entry);
	q->conn->nqueries--;
	q->conn->far->nheld--;
	q->conn->ids[dns_id(q->wire) / 8] &=
	    (uint8_t) ~(1u << dns_id(q->wire) % 8);
	free(q);
}

/* What no server may see. */
static void
check_seen(struct world *w, const struct ask *a)
{
	uint32_t i, n = 0;

	for (i = 0; i < w->nfars; i++)
		n += a->seen[i];
	if (n > a->times && !a->may_repeat)
		world_fail(w, "%s was sent twice, and must not be", a->label);
	/* A pool that is started anew counts from the start. */
	if (n > (w->retries + 1 + COPIES_MAX) * w->generation * a->times)
		world_fail(w, "%s was sent %u times", a->label, (unsigned)n);
}

void
far_take_query(
    struct world *w, struct far_conn *c, const uint8_t *wire, size_t len)
{
	struct far *f = c->far;
	struct ask *a = client_of(w, wire, len);
	struct far_query *q;
	uint64_t us = f->answer_us;

	if (a == NULL) {
		world_fail(w, "upstream %s gets a query of nobody", f->name);
		return;
	}
	f->nqueries++;
	a->seen[f->index]++;
	a->seen_conn[f->index] = c->number;
	check_seen(w, a);
	if ((c->ids[dns_id(wire) / 8] >> dns_id(wire) % 8 & 1) != 0)
		world_fail(w, "an ID is used twice on a connection");
	c->ids[dns_id(wire) / 8] |= (uint8_t)(1u << dns_id(wire) % 8);
	q = calloc(1, sizeof(*q) + len);
	if (q == NULL)
		abort();
	q->conn = c;
	q->ask = a;
	q->how = a->spoilt ? (enum far_answer)a->how : f->answer;
	q->len = len;
	memcpy(q->wire, wire, len);
	TAILQ_INSERT_TAIL(&c->queries, q, entry);
	c->nqueries++;
	if (++f->nheld > f->most)
		f->most = f->nheld;
	c->used_us = vclock_us();
	if (q->how == FAR_SILENT)
		return;
	if (f->answer_more_us > 0)
		us += vnet_random((uint32_t)f->answer_more_us);
	if (f->free_us < vclock_us() || f->answer_each_us == 0)
		f->free_us = vclock_us();
	f->free_us += f->answer_each_us;
	schedule(w, q, f->free_us + us);
}

/* An OPT record with edns-tcp-keepalive, RFC 7828 3.1. */
static void
put_keepalive(struct wire_writer *ww, uint8_t *msg, uint32_t ms)
{
	wire_store_u16(msg + 10, 1);
	wire_put_u8(ww, 0);
	wire_put_u16(ww, DNS_TYPE_OPT);
	wire_put_u16(ww, 1232);
	wire_put_u32(ww, 0);
	wire_put_u16(ww, 6);
	wire_put_u16(ww, 11);
	wire_put_u16(ww, 2);
	wire_put_u16(ww, (uint16_t)(ms / 100));
}

/* The answer: header and question, and one record that says whose it is. */
static size_t
make_answer(
    const struct far_query *q, enum far_answer how, uint8_t *out, size_t bytes)
{
	struct wire_writer ww;
	size_t question = DNS_HDR_LEN;

	while (question < q->len && q->wire[question] != 0)
		question += 1u + q->wire[question];
	question += 5;
	memcpy(out, q->wire, question);
	wire_store_u16(out + 2, 0x8180);
	wire_store_u16(out + 6, 1);
	wire_store_u32(out + 8, 0);
	wire_writer_init(&ww, out + question, DNS_MSG_MAX - question);
	wire_put_u16(&ww, 0xc00c);
	wire_put_u16(&ww, DNS_TYPE_A);
	wire_put_u16(&ww, DNS_CLASS_IN);
	wire_put_u32(&ww, 0);
	wire_put_u16(&ww, 4);
	wire_put_u32(&ww, q->conn->far->index << 24 | q->ask->index);
	if (q->conn->far->says_keepalive && wire_load_u16(q->wire + 10) > 0)
		put_keepalive(&ww, out, q->conn->far->keepalive_ms);
	while (question + ww.pos < bytes)
		wire_put_u8(&ww, 0);
	if (how == FAR_WRONG_ID)
		dns_set_id(out, (uint16_t)(dns_id(out) ^ 0x5555));
	else if (how == FAR_WRONG_QUESTION)
		out[DNS_HDR_LEN + 1] ^= 1;
	else if (how == FAR_NO_ANSWER)
		out[2] &= 0x7f;
	else if (how == FAR_SHORT)
		return DNS_HDR_LEN - 1;
	return question + ww.pos;
}

/* Does with a query what it is meant for; it is gone afterwards. */
static void
answer(struct world *w, struct far_query *q, enum far_answer how)
{
	static uint8_t frame[2 + DNS_MSG_MAX];
	struct far_conn *c = q->conn;
	size_t len = make_answer(q, how, frame + 2, c->far->answer_bytes);

	wire_store_u16(frame, (uint16_t)len);
	c->used_us = vclock_us();
	if (c->stuck) { /* in the middle of a message */
		far_query_free(w, q);
		return;
	}
	c->broken |= how != FAR_ANSWER;
	c->stuck = how == FAR_HALF;
	if (how == FAR_CLOSE || how == FAR_RESET) {
		far_conn_end(w, c, how == FAR_RESET);
		return;
	}
	if (how == FAR_ALERT)
		far_conn_record(c, VTLS_ALERT, frame, 0);
	else if (how == FAR_HALF)
		far_conn_record(c, VTLS_DATA, frame, len / 2);
	else
		far_conn_record(c, VTLS_DATA, frame, 2 + len);
	if (how == FAR_TWICE)
		far_conn_record(c, VTLS_DATA, frame, 2 + len);
	far_query_free(w, q);
}

void
far_reply(struct world *w, struct far *f, const struct ask *a, uint32_t number,
    enum far_answer how)
{
	struct far_conn *c;
	struct far_query *q;

	TAILQ_FOREACH (c, &f->conns, entry) {
		if (number != 0 && c->number != number)
			continue;
		TAILQ_FOREACH (q, &c->queries, entry)
			if (q->ask == a) {
				answer(w, q, how);
				return;
			}
	}
	world_fail(w, "upstream %s has no such query", f->name);
}

/* --- turns --- */

void
far_end(struct world *w, struct far *f, uint32_t number, bool reset)
{
	struct far_conn *c, *next;

	for (c = TAILQ_FIRST(&f->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (number == 0 || c->number == number)
			far_conn_end(w, c, reset);
	}
}

bool
far_outstanding(
    const struct world *w, uint32_t index, uint64_t request, uint32_t *n)
{
	const struct far *f = &w->fars[index];
	const struct far_conn *c;

	/* The newest: a pool that is started anew counts from the start. */
	TAILQ_FOREACH_REVERSE(c, &f->conns, far_conns, entry)
	if (c->request == request)
		break;
	if (c == NULL || f->muted || c->broken)
		return false;
	*n = c->nqueries;
	return true;
}

void
far_mute(struct world *w, struct far *f, bool mute)
{
	(void)w;
	f->muted = mute;
}

static bool
answer_due(struct world *w)
{
	struct far_query *q, *next;
	bool more = false;

	for (q = TAILQ_FIRST(&w->replies);
	     q != NULL && q->due_us <= vclock_us(); q = next) {
		next = TAILQ_NEXT(q, due);
		if (q->conn->far->muted)
			continue;
		answer(w, q, q->how);
		more = true;
		/* It may have taken others along. */
		next = TAILQ_FIRST(&w->replies);
	}
	return more;
}

bool
far_turn(struct world *w)
{
	struct far_conn *c, *next;
	bool more = false;
	uint32_t i;

	for (i = 0; i < w->nfars; i++) {
		if (w->fars[i].muted)
			continue;
		for (c = TAILQ_FIRST(&w->fars[i].conns); c != NULL; c = next) {
			next = TAILQ_NEXT(c, entry);
			more |= far_conn_turn(w, c);
		}
	}
	return answer_due(w) || more;
}

uint64_t
far_next(const struct world *w)
{
	const struct far_query *q;
	const struct far_conn *c;
	uint64_t next = VNET_NEVER, us;
	uint32_t i;

	TAILQ_FOREACH (q, &w->replies, due)
		if (!q->conn->far->muted) {
			next = q->due_us;
			break;
		}
	for (i = 0; i < w->nfars; i++)
		TAILQ_FOREACH (c, &w->fars[i].conns, entry) {
			us = w->fars[i].muted ? VNET_NEVER : far_conn_next(c);
			if (us < next)
				next = us;
		}
	return next;
}

void
far_free_all(struct world *w)
{
	uint32_t i;

	for (i = 0; i < w->nfars; i++)
		far_end(w, &w->fars[i], 0, false);
}
