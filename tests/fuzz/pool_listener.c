/* SPDX-License-Identifier: ISC */
/*
 * The listener of fuzz_pool.c, see pool_stage.h.  A test's.  It asks what it
 * likes and breaks what rules it likes; what the pool says is held against what
 * was asked: each query ends once, in time, with an answer to its own question.
 */
#include "tests/fuzz/pool_stage.h"

#include "common/dns.h"
#include "common/imsg.h"

/*
 * If no more than this comes in a turn the pool's buffer, of which this is less
 * than half, was never full.
 */
#define TURN_BYTES_MAX (40 * 1024)
#define SLOTS 80u /* a few more than the pool's table has */
/* What timers may add. */
#define SLACK_MS 2u

struct asked *
listener_nth(struct stage *st, size_t nth)
{
	return st->nasked > 0 ? &st->asked[st->nasked - 1 - nth % st->nasked]
			      : NULL;
}

/* --- asking --- */

enum ask_kind {
	KIND_PLAIN, /* this and those below 4 */
	KIND_EDNS = 4,
	KIND_ECS,
	KIND_LONG, /* not for a slot */
	KIND_HUGE,
	KIND_UPDATE,
	KIND_NOTIFY,
	KIND_COOKIE, /* without a question */
	KIND_GARBAGE,
	KIND_AXFR_QUERY,
	KIND_AXFR,
	KIND_IXFR,
	KIND_NO_AXFR /* breaks the rules */
};

static void
put_question(struct wire_writer *w, size_t index, uint16_t type)
{
	char label[32];
	int n = snprintf(label, sizeof(label), STAGE_SECRET "%zu", index);

	wire_put_u8(w, (uint8_t)n);
	wire_put_bytes(w, label, (size_t)n);
	wire_put_u8(w, 1);
	wire_put_u8(w, 't');
	wire_put_u8(w, 0);
	wire_put_u16(w, type);
	wire_put_u16(w, DNS_CLASS_IN);
}

/* An OPT record with one option. */
static void
put_opt(struct wire_writer *w, uint16_t option, uint16_t len)
{
	uint8_t *p;

	wire_put_u8(w, 0);
	wire_put_u16(w, DNS_TYPE_OPT);
	wire_put_u16(w, 1232);
	wire_put_u32(w, 0);
	wire_put_u16(w, (uint16_t)(4 + len));
	wire_put_u16(w, option);
	wire_put_u16(w, len);
	p = wire_put_space(w, len);
	if (p != NULL)
		memset(p, 0, len);
}

static uint16_t
type_of(enum ask_kind kind)
{
	if (kind == KIND_AXFR_QUERY || kind == KIND_AXFR)
		return DNS_TYPE_AXFR;
	return kind == KIND_IXFR ? DNS_TYPE_IXFR : DNS_TYPE_A;
}

static void
put_rest(struct wire_writer *w, enum ask_kind kind)
{
	switch (kind) {
	case KIND_EDNS:
		put_opt(w, 10, 8);
		break;
	case KIND_ECS:
		put_opt(w, 8, 7);
		break;
	case KIND_LONG:
		put_opt(w, 65001, 500);
		break;
	case KIND_HUGE:
		put_opt(w, 65001, 60000);
		break;
	case KIND_IXFR: /* a SOA of what the client has */
		wire_put_u16(w, 0xc00c);
		wire_put_u16(w, DNS_TYPE_SOA);
		wire_put_u16(w, DNS_CLASS_IN);
		wire_put_u32(w, 0);
		wire_put_u16(w, 22);
		wire_put_u16(w, 0);
		wire_put_u32(w, 1);
		wire_put_u64(w, 0);
		wire_put_u64(w, 0);
		break;
	default:
		break;
	}
}

static void
make_query(struct asked *a, size_t index, enum ask_kind kind)
{
	size_t cap = kind == KIND_HUGE ? 60200 : 700;
	uint16_t opcode = kind == KIND_UPDATE   ? DNS_OPCODE_UPDATE
			  : kind == KIND_NOTIFY ? 4
						: DNS_OPCODE_QUERY;
	bool opt = kind >= KIND_EDNS && kind <= KIND_HUGE;
	struct wire_writer w;
	uint8_t *buf = fuzz_alloc(cap);

	wire_writer_init(&w, buf, cap);
	wire_put_u16(&w, (uint16_t)(index * 7919));
	wire_put_u16(&w, (uint16_t)(0x0100 | opcode << 11));
	wire_put_u16(&w, kind != KIND_COOKIE);
	wire_put_u16(&w, 0);
	wire_put_u16(&w, kind == KIND_IXFR);
	wire_put_u16(&w, opt);
	if (kind == KIND_GARBAGE)
		wire_put_u32(&w, 0xffff0000u | (uint32_t)index);
	else if (kind != KIND_COOKIE)
		put_question(&w, index, type_of(kind));
	put_rest(&w, kind);
	FUZZ_ASSERT(!w.error);
	a->len = w.pos;
	a->wire = fuzz_copy(buf, w.pos);
	free(buf);
	a->may_repeat =
	    opcode == DNS_OPCODE_QUERY && type_of(kind) == DNS_TYPE_A;
	a->streams = kind == KIND_AXFR || kind == KIND_IXFR;
}

/* Those of the same handle cannot be told apart by their failures. */
static void
mark_twice(struct stage *st, struct asked *a)
{
	struct asked *o;

	for (o = st->asked; o < a; o++) {
		/* Of two in a slot the pool knows the last one. */
		st->unknown |= o->open && o->streams &&
			       (uint32_t)o->handle == (uint32_t)a->handle;
		if (o->open && o->handle == a->handle) {
			o->twice = a->twice = true;
			o->due_ms = a->due_ms = 0;
		}
	}
}

static void
ask_one(struct stage *st, enum ask_kind kind, uint8_t slot, uint8_t how)
{
	static const uint32_t lefts[] = { 4000, 1000, 100, 1, 0, 60000, 20,
		UINT32_MAX };
	struct asked *a = &st->asked[st->nasked];
	uint32_t left = lefts[how & 7];
	uint64_t ms = left;
	uint8_t *payload;

	if (st->nasked == STAGE_ASKED_MAX || st->to_pool == NULL)
		return;
	make_query(a, st->nasked++, kind);
	a->handle = (how & 0x80 ? 1 : ++st->nhandles) << 32 | slot % SLOTS;
	a->open = true;
	/* Where the pool's table has no place it knows none by its handle. */
	st->unknown |= a->streams && slot % SLOTS >= st->w.pool->queries.cap;
	if (ms > st->max_timeout_ms)
		ms = st->max_timeout_ms;
	if (!st->lossy && !st->hostile && !a->streams)
		a->due_ms = vclock_us() / 1000 + ms + SLACK_MS;
	mark_twice(st, a);
	payload = fuzz_alloc(4 + a->len);
	wire_store_u32(payload, left);
	memcpy(payload + 4, a->wire, a->len);
	st->hostile |= kind == KIND_NO_AXFR;
	listener_send(st,
	    a->streams || kind == KIND_NO_AXFR ? MSG_LT_TRANSFER : MSG_LT_QUERY,
	    a->handle, payload, 4 + a->len);
	free(payload);
}

void
listener_ask(struct stage *st, uint8_t what, uint8_t slot, uint8_t how)
{
	static const uint8_t counts[] = { 1, 1, 1, 1, 2, 5, 20, 70 };
	uint8_t i, n = counts[what >> 5];

	for (i = 0; i < n; i++)
		ask_one(st, what & 15, (uint8_t)(slot + i), how);
}

void
listener_raw(struct stage *st, const uint8_t *bytes, size_t len)
{
	size_t i;

	/* What comes of it is not foreseen. */
	st->hostile = st->raw = true;
	for (i = 0; i < st->nasked; i++)
		st->asked[i].due_ms = 0;
	if (st->to_pool != NULL && len > 0)
		vnet_write(st->to_pool, bytes, len);
}

void
listener_send(struct stage *st, uint16_t type, uint64_t id,
    const uint8_t *payload, size_t len)
{
	uint8_t hdr[IMSG_HDR_LEN];

	if (st->to_pool == NULL)
		return;
	wire_store_u16(hdr, type);
	wire_store_u16(hdr + 2, 0);
	wire_store_u32(hdr + 4, (uint32_t)len);
	wire_store_u64(hdr + 8, id);
	vnet_write(st->to_pool, hdr, sizeof(hdr));
	if (len > 0)
		vnet_write(st->to_pool, payload, len);
}

void
listener_cancel(struct stage *st, struct asked *a)
{
	size_t i;

	for (i = 0; i < st->nasked; i++)
		if (st->asked[i].handle == a->handle)
			st->asked[i].due_ms = 0;
	listener_send(st, MSG_LT_CANCEL, a->handle, NULL, 0);
}

void
listener_credit(struct stage *st, struct asked *a, uint32_t bytes)
{
	uint8_t payload[4];

	wire_store_u32(payload, bytes);
	a->unpaid -= bytes < a->unpaid ? bytes : a->unpaid;
	listener_send(st, MSG_LT_CREDIT, a->handle, payload, sizeof(payload));
}

/* --- what comes back --- */

/* The query that this ends; it has to be there. */
static struct asked *
find_open(struct stage *st, const struct imsg *m)
{
	struct asked *a, *other = NULL;
	size_t i;

	for (i = 0; i < st->nasked; i++) {
		a = &st->asked[i];
		if (!a->open || a->handle != m->id)
			continue;
		if (m->type == MSG_TL_FAILED ||
		    dns_answer_matches(a->wire, a->len, m->data, m->len))
			return a;
		if (a->twice)
			other = a;
	}
	/* Failures may have been taken for those of the other. */
	FUZZ_ASSERT(other != NULL || st->hostile);
	return other;
}

static void
on_end(struct stage *st, const struct imsg *m)
{
	struct msg_failed failed;
	struct asked *a;

	if (m->type == MSG_TL_FAILED)
		FUZZ_ASSERT(msg_read_failed(m, &failed) == 0);
	else
		FUZZ_ASSERT(m->len >= DNS_HDR_LEN && m->len <= DNS_MSG_MAX &&
			    dns_is_response(m->data));
	a = find_open(st, m);
	if (a != NULL)
		a->open = false;
}

static void
on_part(struct stage *st, const struct imsg *m)
{
	struct asked *a = find_open(st, m);

	FUZZ_ASSERT(m->len >= DNS_HDR_LEN && m->len <= DNS_MSG_MAX);
	if (a == NULL)
		return;
	/* Who can take one message only has got it. */
	if (!a->streams)
		a->open = false;
	a->unpaid += m->len;
	if (a->twice || st->was_deaf || st->hostile)
		return;
	FUZZ_ASSERT(
	    a->unpaid <= MSG_TRANSFER_WINDOW + 2 * (size_t)POOL_RX_SIZE);
}

static void
on_info_end(struct stage *st, const struct imsg *m)
{
	struct msg_result res;

	FUZZ_ASSERT(msg_read_result(m, &res) == 0);
	FUZZ_ASSERT(st->nshown > 0 || st->hostile);
	st->nshown -= st->nshown > 0;
}

/* Nothing but what can be decoded is passed on to dotproxyctl. */
static bool
is_info(const struct imsg *m)
{
	union {
		struct info_counters counters;
		struct info_pool pool;
		struct info_upstream up;
		struct info_conn conn;
		struct info_hist hist;
		struct info_error error;
		struct info_probe probe;
	} u;

	switch (m->type) {
	case MSG_INFO_COUNTERS:
		return msg_read_info_counters(m, &u.counters) == 0;
	case MSG_INFO_POOL:
		return msg_read_info_pool(m, &u.pool) == 0;
	case MSG_INFO_UPSTREAM:
		return msg_read_info_upstream(m, &u.up) == 0;
	case MSG_INFO_CONN:
		return msg_read_info_conn(m, &u.conn) == 0;
	case MSG_INFO_HIST:
		return msg_read_info_hist(m, &u.hist) == 0;
	case MSG_INFO_ERROR:
		return msg_read_info_error(m, &u.error) == 0;
	case MSG_INFO_PROBE:
		return msg_read_info_probe(m, &u.probe) == 0;
	default:
		return false;
	}
}

static void
on_message(struct stage *st, const struct imsg *m)
{
	switch (m->type) {
	case MSG_TL_ANSWER:
	case MSG_TL_FAILED:
		on_end(st, m);
		break;
	case MSG_TL_PART:
		on_part(st, m);
		break;
	case MSG_INFO_END:
		on_info_end(st, m);
		break;
	default:
		FUZZ_ASSERT(m->len <= MSG_INFO_MAX && is_info(m));
	}
}

bool
listener_turn(struct stage *st)
{
	size_t at = 0, before = st->in.len;
	const uint8_t *p;
	struct imsg m;

	if (st->deaf || st->from_pool == NULL ||
	    !bytes_read(&st->in, st->from_pool))
		return false;
	st->turn_bytes += st->in.len - before;
	st->lossy |= st->turn_bytes > TURN_BYTES_MAX;
	while (st->in.len - at >= IMSG_HDR_LEN) {
		p = st->in.p + at;
		m.type = wire_load_u16(p);
		m.len = wire_load_u32(p + 4);
		m.id = wire_load_u64(p + 8);
		m.data = p + IMSG_HDR_LEN;
		m.fd = -1;
		FUZZ_ASSERT(wire_load_u16(p + 2) == 0);
		FUZZ_ASSERT(m.len <= DNS_MSG_MAX);
		if (st->in.len - at - IMSG_HDR_LEN < m.len)
			break;
		on_message(st, &m);
		at += IMSG_HDR_LEN + m.len;
	}
	bytes_drop(&st->in, at);
	return true;
}

void
listener_check(struct stage *st)
{
	uint64_t now_ms = vclock_us() / 1000;
	const struct asked *a;

	for (a = st->asked; a < st->asked + st->nasked; a++)
		FUZZ_ASSERT(!a->open || a->due_ms == 0 || st->lossy ||
			    now_ms <= a->due_ms);
}

void
listener_forget(struct stage *st)
{
	size_t i;

	vnet_close(st->to_pool, 0);
	vnet_close(st->from_pool, 0);
	st->to_pool = st->from_pool = NULL;
	bytes_free(&st->in);
	st->deaf = st->was_deaf = st->hostile = st->lossy = false;
	st->nshown = 0;
	for (i = 0; i < st->nasked; i++)
		st->asked[i].open = false;
}
