/* SPDX-License-Identifier: ISC */
/* LINK: tests/fuzz/pool_small.c tests/fuzz/pool_stage.c */
/* LINK: tests/fuzz/pool_listener.c tests/fuzz/pool_peer.c */
/* LINK: tests/replay/vnet.c tests/replay/vcall.c tests/replay/vevent.c */
/* LINK: tests/replay/vtls.c */
/* LINK: dotproxy/pool/admin.c dotproxy/pool/config.c dotproxy/pool/conn.c */
/* LINK: dotproxy/pool/conn_io.c dotproxy/pool/dispatch.c */
/* LINK: dotproxy/pool/edit.c dotproxy/pool/errors.c dotproxy/pool/health.c */
/* LINK: dotproxy/pool/hedge.c dotproxy/pool/overdue.c */
/* LINK: dotproxy/pool/policy.c dotproxy/pool/probe.c */
/* LINK: dotproxy/pool/standby.c dotproxy/pool/stats.c */
/* LINK: dotproxy/pool/stream.c dotproxy/pool/transfer.c */
/* LINK: dotproxy/pool/upstream.c dotproxy/pool/warm.c */
/* LINK: common/dns.c common/dns_edit.c common/imsg.c common/log.c */
/* LINK: common/msg%.c common/store.c common/util.c */
/* LIBS: -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc */
/*
 * The whole pool but for TLS between a hostile listener and hostile upstreams,
 * reloads and time: whatever happens in whatever order, its tables add up,
 * each query ends once and in time with its own answer or none, is sent twice
 * only if it may be, and nothing is left when it ends.
 *
 * Input: three octets of configuration, one of how it ends, and operations:
 * which (an octet; the highest bit: nobody has a turn after it), three octets
 * a, b and c, and with some of them c octets of data.
 */
#include <errno.h>

#include "tests/fuzz/pool_stage.h"
#include "tests/replay/vtls.h"

#define OP_LEN 4
#define HEAD_LEN 4
#define OPS_MAX 300

enum op {
	OP_ASK, /* what, slot, how: pool_listener.c */
	OP_CANCEL,
	OP_CREDIT,
	OP_SHOW,
	OP_PROBE,
	OP_LINK_MESSAGE, /* type, whose handle, and data */
	OP_LINK_RAW,     /* data */
	OP_LINK_NEW,
	OP_LINK_CLOSE,
	OP_LINK_DEAF,
	OP_ANSWER, /* which end, which query, how: pool_peer.c */
	OP_PEER_RAW,
	OP_PEER_RECORD,
	OP_PEER_END,
	OP_PEER_DEAF,
	OP_PEER_SHAKE,
	OP_DIAL,
	OP_AUTO, /* which upstream, what it does by itself */
	OP_TIME,
	OP_JUMP,
	OP_SLEEP,
	OP_RELOAD, /* three octets of configuration */
	OP_CONFIGURE,
	OP_DECIDE,
	OP_CHANGE,
	OP_MEMORY, /* which of the allocations to come fails */
	OPS
};

/* Those with data behind them. */
static bool
has_data(uint8_t which)
{
	enum op op = (enum op)((which & 0x7f) % OPS);

	return op == OP_LINK_MESSAGE || op == OP_LINK_RAW || op == OP_PEER_RAW;
}

static void
op_link(struct stage *st, enum op op, const uint8_t *arg, const uint8_t *data)
{
	static const uint16_t types[] = { MSG_LT_QUERY, MSG_LT_TRANSFER,
		MSG_LT_CREDIT, MSG_LT_CANCEL, MSG_LT_SHOW, MSG_LT_PROBE,
		MSG_TL_ANSWER, 255 };
	struct asked *a = listener_nth(st, arg[1]);
	uint64_t handle = a != NULL ? a->handle : arg[1];

	switch (op) {
	case OP_LINK_MESSAGE:
		listener_raw(st, NULL, 0);
		listener_send(st, types[arg[0] % 8u], handle, data, arg[2]);
		break;
	case OP_LINK_RAW:
		listener_raw(st, data, arg[2]);
		break;
	case OP_LINK_NEW:
		stage_link(st);
		break;
	case OP_LINK_CLOSE:
		listener_forget(st);
		break;
	default: /* what waits may be too much */
		st->deaf = arg[0] % 2 != 0;
		st->was_deaf = st->lossy = true;
	}
}

static void
op_listener(struct stage *st, enum op op, const uint8_t *arg)
{
	static const uint8_t shows[] = { SHOW_SUMMARY, SHOW_POOL, SHOW_STATS,
		SHOW_LATENCY, SHOW_ALL, SHOW_PINS, SHOW_ERRORS };
	static const uint32_t credits[] = { 1, 1000, 65536, UINT32_MAX };
	const uint8_t index[4] = { 0, 0, 0, arg[0] % 5 };
	struct asked *a = listener_nth(st, arg[0]);

	switch (op) {
	case OP_ASK:
		listener_ask(st, arg[0], arg[1], arg[2]);
		break;
	case OP_CANCEL:
		if (a != NULL)
			listener_cancel(st, a);
		break;
	case OP_CREDIT:
		if (a != NULL)
			listener_credit(st, a, credits[arg[1] % 4]);
		break;
	case OP_SHOW:
		st->nshown++;
		listener_send(st, MSG_LT_SHOW, arg[1], &shows[arg[0] % 7], 1);
		break;
	default:
		st->nshown++;
		listener_send(st, MSG_LT_PROBE, arg[1], index, sizeof(index));
	}
}

static void
say_record(struct peer *p, const uint8_t *arg)
{
	static const uint8_t types[] = { VTLS_TICKET, VTLS_CLOSE, VTLS_ALERT,
		VTLS_REFUSED, VTLS_DONE };
	static const uint8_t causes[] = { CAUSE_NAME, CAUSE_EXPIRED,
		CAUSE_UNTRUSTED, CAUSE_PIN, CAUSE_CLIENT_CERT };
	const uint8_t body[2] = { PHASE_VERIFY, causes[arg[2] % 5] };
	uint8_t i, n = arg[1] > 200 ? arg[2] : 1;

	p->odd = true;
	p->shaken |= types[arg[1] % 5] == VTLS_DONE;
	for (i = 0; i < n; i++)
		peer_record(p, types[arg[1] % 5], body, sizeof(body));
}

static void
op_peer(struct stage *st, enum op op, const uint8_t *arg, const uint8_t *data)
{
	static const int errs[] = { 0, ECONNRESET, ETIMEDOUT, EPIPE };
	struct peer *p = peer_nth(st, arg[0] & 15);

	if (p == NULL)
		return;
	switch (op) {
	case OP_ANSWER:
		if (p->shaken)
			peer_answer(st, p, arg[1], arg[2]);
		break;
	case OP_PEER_RAW:
		peer_raw(p, data, arg[2]);
		break;
	case OP_PEER_RECORD:
		say_record(p, arg);
		break;
	case OP_PEER_END:
		peer_close(p, errs[arg[1] % 4]);
		break;
	case OP_PEER_DEAF:
		p->deaf = arg[1] % 2 != 0;
		break;
	default:
		vnet_set_connecting(p->sock, false);
		peer_shake(p, arg[1] % 2 != 0);
	}
}

static void
op_parent(struct stage *st, enum op op, const uint8_t *arg)
{
	static const uint8_t changes[] = { CHANGE_DISABLE, CHANGE_ENABLE,
		CHANGE_FLUSH };

	switch (op) {
	case OP_DIAL:
		stage_dialled(st, arg[0], arg[1]);
		break;
	case OP_AUTO:
		st->automatic[1 + arg[0] % STAGE_UPS] = arg[1] & 7;
		break;
	case OP_RELOAD:
		stage_configure(st, arg);
		stage_decide(st, true);
		break;
	case OP_CONFIGURE:
		stage_configure(st, arg);
		break;
	case OP_DECIDE:
		stage_decide(st, arg[0] % 2 != 0);
		break;
	case OP_MEMORY:
		stage_lack_memory(st, 1u + arg[0] % 32);
		break;
	default:
		stage_change(st, changes[arg[0] % 3], 1 + arg[1] % STAGE_UPS);
	}
}

static void
op_time(struct stage *st, enum op op, const uint8_t *arg)
{
	static const uint32_t ms[] = { 0, 1, 5, 20, 50, 100, 250, 500, 1000,
		2000, 4000, 10000, 31000, 61000, 310000, 3700000 };
	uint64_t us = 1000u * (uint64_t)ms[arg[0] & 15] + 4u * arg[1];

	if (op == OP_SLEEP)
		vclock_sleep(us);
	else
		stage_advance(st, us, op == OP_JUMP);
}

static void
operate(
    struct stage *st, uint8_t which, const uint8_t *arg, const uint8_t *data)
{
	enum op op = (enum op)((which & 0x7f) % OPS);

	if (op <= OP_PROBE)
		op_listener(st, op, arg);
	else if (op <= OP_LINK_DEAF)
		op_link(st, op, arg, data);
	else if (op <= OP_PEER_SHAKE)
		op_peer(st, op, arg, data);
	else if (op == OP_TIME || op == OP_JUMP || op == OP_SLEEP)
		op_time(st, op, arg);
	else
		op_parent(st, op, arg);
	if ((which & 0x80) == 0)
		stage_settle(st);
}

static void
play(struct stage *st, const uint8_t *data, size_t len)
{
	struct wire_reader r;
	const uint8_t *arg, *more;
	uint8_t which;
	unsigned int n;

	wire_reader_init(&r, data, len);
	for (n = 0; n < OPS_MAX && wire_remaining(&r) >= OP_LEN; n++) {
		which = wire_get_u8(&r);
		arg = wire_get_bytes(&r, OP_LEN - 1);
		more = data;
		if (has_data(which)) {
			if (wire_remaining(&r) < arg[2])
				return;
			more = wire_get_bytes(&r, arg[2]);
		}
		operate(st, which, arg, more);
	}
}

/* Whatever was asked has ended, and is not kept. */
static void
go_home(struct stage *st, uint8_t automatic)
{
	size_t i;

	memset(st->automatic, automatic, sizeof(st->automatic));
	for (i = 0; i < st->npeers; i++)
		st->peers[i]->deaf = false;
	st->deaf = false;
	stage_settle(st);
	while (st->ndials > 0)
		stage_dialled(st, 0, 128);
	for (i = 0; i < st->nasked; i++)
		if (st->asked[i].open && st->asked[i].streams)
			listener_cancel(st, &st->asked[i]);
	stage_advance(st, 1000 * (st->max_timeout_ms + 10), false);
	/* What was asked without our knowing it has the same time at most. */
	if (!st->raw && !st->unknown)
		pool_side_check_idle(&st->w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct stage *st;
	uint8_t end;

	if (len < HEAD_LEN)
		return 0;
	end = data[3];
	st = stage_new();
	if ((end & 8) != 0)
		vnet_set_stream_cap(4096);
	stage_configure(st, data);
	stage_decide(st, true);
	stage_settle(st);
	play(st, data + HEAD_LEN, len - HEAD_LEN);
	if ((end & 16) == 0)
		go_home(st, end & 7);
	stage_free(st);
	return 0;
}

/* --- changes that leave operations whole --- */

static size_t
op_len(const uint8_t *op, size_t left)
{
	size_t n = OP_LEN;

	if (left >= OP_LEN && has_data(op[0]))
		n += op[3];
	return n < left ? n : left;
}

/* Where some operation begins, or the end. */
static size_t
choose(const uint8_t *data, size_t len, struct fuzz_random *rnd)
{
	size_t at = HEAD_LEN, n = 0;

	while (at < len) {
		n++;
		at += op_len(data + at, len - at);
	}
	n = fuzz_below(rnd, (uint32_t)n + 1);
	for (at = HEAD_LEN; n > 0; n--)
		at += op_len(data + at, len - at);
	return at;
}

/* What happens often in reality comes often. */
static size_t
make_op(uint8_t *op, struct fuzz_random *rnd)
{
	static const uint8_t often[] = { OP_ASK, OP_ASK, OP_ANSWER, OP_ANSWER,
		OP_TIME, OP_TIME, OP_PEER_END, OP_DIAL, OP_PEER_SHAKE };
	size_t i, n = 0;

	op[0] = fuzz_below(rnd, 2) == 0 ? often[fuzz_below(rnd, sizeof(often))]
					: (uint8_t)fuzz_below(rnd, OPS);
	for (i = 1; i < OP_LEN; i++)
		op[i] =
		    (uint8_t)(fuzz_below(rnd, 2) == 0 ? fuzz_below(rnd, 8)
						      : fuzz_below(rnd, 256));
	if (has_data(op[0])) {
		n = op[3] = (uint8_t)fuzz_below(rnd, 40);
		for (i = 0; i < n; i++)
			op[OP_LEN + i] = (uint8_t)(fuzz_below(rnd, 2) == 0
						       ? 0
						       : fuzz_below(rnd, 256));
	}
	if (fuzz_below(rnd, 5) == 0)
		op[0] |= 0x80;
	return OP_LEN + n;
}

size_t
LLVMFuzzerCustomMutator(
    uint8_t *data, size_t len, size_t max, unsigned int seed)
{
	uint8_t op[OP_LEN + 256];
	struct fuzz_random rnd;
	size_t at, n;

	fuzz_seed(&rnd, seed);
	if (len < HEAD_LEN || fuzz_below(&rnd, 4) == 0)
		return LLVMFuzzerMutate(data, len, max);
	at = choose(data, len, &rnd);
	n = op_len(data + at, len - at);
	switch (fuzz_below(&rnd, 4)) {
	case 0: /* without it */
		memmove(data + at, data + at + n, len - at - n);
		return len - n;
	case 1: /* once more, elsewhere */
		memcpy(op, data + at, n);
		at = choose(data, len, &rnd);
		break;
	case 2: /* other numbers */
		if (n >= OP_LEN)
			data[at + 1 + fuzz_below(&rnd, OP_LEN - 2)] =
			    (uint8_t)fuzz_below(&rnd, 256);
		return len;
	default:
		n = make_op(op, &rnd);
	}
	if (n > max - len)
		return len;
	memmove(data + at + n, data + at, len - at);
	memcpy(data + at, op, n);
	return len + n;
}
