/* SPDX-License-Identifier: ISC */
/*
 * The upstreams of fuzz_pool.c, see pool_stage.h.  A test's.  They answer, or
 * say what no upstream should; what they are sent is held against what was
 * asked: the same bytes but for the ID, no ID twice, and once if it must not be
 * repeated.
 */
#include "tests/fuzz/pool_stage.h"

#include "common/dns.h"
#include "tests/replay/vtls.h"

struct peer *
peer_new(struct stage *st, const struct dial *d, int *fd)
{
	struct peer *p = fuzz_alloc(sizeof(*p));

	p->sock = vnet_stream(fd);
	p->request = d->request;
	p->up = d->up;
	st->peers[st->npeers++] = p;
	return p;
}

struct peer *
peer_nth(struct stage *st, size_t nth)
{
	struct peer *found = NULL;
	size_t i;

	for (i = st->npeers; i-- > 0;) {
		if (st->peers[i]->sock == NULL)
			continue;
		found = st->peers[i];
		if (nth-- == 0)
			break;
	}
	return found;
}

/* The last, and those closed; what they have held is forgotten. */
static void
peer_drop(struct peer *p)
{
	while (p->nheld > 0)
		free(p->held[--p->nheld].wire);
	bytes_free(&p->in);
	bytes_free(&p->plain);
	bytes_free(&p->rest);
}

void
peer_close(struct peer *p, int err)
{
	vnet_close(p->sock, err);
	p->sock = NULL;
	peer_drop(p);
}

void
peer_free_all(struct stage *st)
{
	size_t i;

	for (i = 0; i < st->npeers; i++) {
		peer_close(st->peers[i], 0);
		free(st->peers[i]);
	}
}

/* --- what they say --- */

void
peer_record(struct peer *p, uint8_t type, const uint8_t *body, size_t len)
{
	uint8_t hdr[VTLS_HDR_LEN];

	hdr[0] = type;
	wire_store_u16(hdr + 1, (uint16_t)len);
	vnet_write(p->sock, hdr, sizeof(hdr));
	if (len > 0)
		vnet_write(p->sock, body, len);
}

static void
say(struct peer *p, const uint8_t *bytes, size_t len)
{
	size_t n;

	for (; len > 0; bytes += n, len -= n) {
		n = len < VTLS_RECORD_MAX ? len : VTLS_RECORD_MAX;
		peer_record(p, VTLS_DATA, bytes, n);
	}
}

void
peer_raw(struct peer *p, const uint8_t *bytes, size_t len)
{
	p->odd = true;
	say(p, bytes, len);
}

void
peer_shake(struct peer *p, bool resumed)
{
	uint8_t body = resumed;

	if (!p->hello || p->shaken)
		return;
	p->shaken = true;
	peer_record(p, VTLS_DONE, &body, 1);
	peer_record(p, VTLS_TICKET, NULL, 0);
}

#define ZONE_RECORDS 1000 /* in a message without a SOA: 15 octets each */
#define ZONE_MAX 16384    /* what put_zone() puts in */

enum answer_kind {
	ANSWER_ECHO,
	ANSWER_LONGER,
	ANSWER_ERROR,
	ANSWER_WRONG_ID,
	ANSWER_WRONG_QUESTION,
	ANSWER_NONE, /* the query comes back */
	ANSWER_ZONE, /* SOA records and others, or what is asked for idleness */
	ANSWER_TWICE
};

/* Where the question of a message ends. */
static size_t
question_end(const struct held *h)
{
	size_t at = DNS_HDR_LEN;

	if (wire_load_u16(h->wire + 4) != 1)
		return at;
	while (at < h->len && h->wire[at] != 0)
		at += 1u + h->wire[at];
	return at + 5 <= h->len ? at + 5 : DNS_HDR_LEN;
}

static void
put_rr(struct wire_writer *w, uint16_t type, uint32_t serial)
{
	wire_put_u8(w, 0);
	wire_put_u16(w, type);
	wire_put_u16(w, DNS_CLASS_IN);
	wire_put_u32(w, 0);
	if (type != DNS_TYPE_SOA) {
		wire_put_u16(w, 4);
		wire_put_u32(w, serial);
		return;
	}
	wire_put_u16(w, 22);
	wire_put_u16(w, 0);
	wire_put_u32(w, serial);
	wire_put_u64(w, 0);
	wire_put_u64(w, 0);
}

/* Records in the place of all that follows the question. */
static size_t
put_zone(const struct held *h, uint8_t which, uint8_t *out, size_t cap)
{
	static const char *const zones[] = { "S", "SA", "A", "AS", "SS", "",
		"sSsA", "K" };
	size_t at = question_end(h), i, n = strlen(zones[which]);
	struct wire_writer w;
	const char *p;

	wire_store_u16(out + 4, at > DNS_HDR_LEN);
	if (strcmp(zones[which], "A") == 0)
		n = ZONE_RECORDS;
	wire_store_u16(out + 6, (uint16_t)n);
	wire_store_u32(out + 8, 0);
	wire_writer_init(&w, out + at, cap - at);
	for (i = 0; i < n; i++) {
		p = &zones[which][n == ZONE_RECORDS ? 0 : i];
		if (*p == 'A')
			put_rr(&w, DNS_TYPE_A, 0);
		else if (*p != 'K')
			put_rr(&w, DNS_TYPE_SOA, *p == 'S' ? 2 : 1);
	}
	if (*zones[which] == 'K') { /* edns-tcp-keepalive: 100 ms, RFC 7828 */
		wire_store_u16(out + 6, 0);
		wire_store_u16(out + 10, 1);
		wire_put_u8(&w, 0);
		wire_put_u16(&w, DNS_TYPE_OPT);
		wire_put_u16(&w, 1232);
		wire_put_u32(&w, 0);
		wire_put_u16(&w, 6);
		wire_put_u16(&w, 11);
		wire_put_u16(&w, 2);
		wire_put_u16(&w, 1);
	}
	return at + w.pos;
}

/* Makes the answer in out, after room for its length; returns its length. */
static size_t
make_answer(const struct held *h, uint8_t how, uint8_t *out, size_t cap)
{
	static const uint16_t more[] = { 1, 10, 300, 1000, 16384, 60000, 500,
		30000 };
	uint8_t *msg = out + 2, which = how >> 3 & 7;
	size_t len = h->len;

	memcpy(msg, h->wire, len);
	msg[2] |= 0x80;
	switch ((enum answer_kind)(how & 7)) {
	case ANSWER_LONGER:
		if (len + more[which] <= DNS_MSG_MAX) {
			memset(msg + len, 0xaa, more[which]);
			len += more[which];
		}
		break;
	case ANSWER_ERROR:
		msg[3] |= which;
		break;
	case ANSWER_WRONG_ID:
		dns_set_id(msg, (uint16_t)(dns_id(msg) + which + 1));
		break;
	case ANSWER_WRONG_QUESTION:
		msg[len > DNS_HDR_LEN + 2 ? DNS_HDR_LEN + 2 : 2] ^=
		    (uint8_t)(1u << which);
		break;
	case ANSWER_NONE:
		msg[2] &= 0x7f;
		break;
	case ANSWER_ZONE:
		len = put_zone(h, which, msg, cap - 2);
		break;
	case ANSWER_ECHO:
	case ANSWER_TWICE:
		break;
	}
	wire_store_u16(out, (uint16_t)len);
	return 2 + len;
}

static void
forget_held(struct peer *p, size_t i)
{
	free(p->held[i].wire);
	p->nheld--;
	memmove(
	    &p->held[i], &p->held[i + 1], (p->nheld - i) * sizeof(p->held[0]));
}

/* True if the pool has it for an answer, which leaves nothing behind. */
static bool
is_plain(const struct held *h, uint8_t how)
{
	static const bool plain[] = { true, true, true, false, false, false,
		true, false };

	return plain[how & 7] && h->asked != NULL && h->asked->may_repeat;
}

static void
answer(struct peer *p, size_t i, uint8_t how)
{
	const struct held *h = &p->held[i];
	size_t cap = 2 + DNS_MSG_MAX, n;
	uint8_t *out;
	bool parts = h->asked != NULL && !h->asked->may_repeat &&
		     (how & 7) == ANSWER_ZONE;

	if ((how & 7) != ANSWER_LONGER)
		cap = 2 + h->len + ZONE_MAX;
	out = fuzz_alloc(cap);
	say(p, p->rest.p, p->rest.len);
	bytes_free(&p->rest);
	n = make_answer(h, how, out, cap);
	p->odd |= !is_plain(h, how);
	if ((how & 0x80) != 0) {
		bytes_add(&p->rest, out + n / 2, n - n / 2);
		n /= 2;
	}
	say(p, out, n);
	if ((how & 7) == ANSWER_TWICE)
		say(p, out, n);
	if (!parts)
		forget_held(p, i);
	free(out);
}

void
peer_answer(struct stage *st, struct peer *p, size_t nth, uint8_t how)
{
	(void)st;
	if (p->nheld == 0)
		return;
	if (nth < STAGE_HELD_MAX) {
		answer(p, nth % p->nheld, how);
		return;
	}
	for (nth = p->nheld; nth > 0; nth--)
		answer(p, 0, how);
}

/* --- what they are told --- */

/* Whose query it is; NULL if it is the pool's own. */
static struct asked *
whose(struct stage *st, const uint8_t *wire, size_t len)
{
	static const uint8_t probe[] = { 0, 0, 2, 0, 1 };
	const size_t n = sizeof(STAGE_SECRET) - 1;
	char digits[8] = "";
	size_t i;

	if (st->raw)
		return NULL;
	if (len > DNS_HDR_LEN + n + 8 &&
	    memcmp(wire + DNS_HDR_LEN + 1, STAGE_SECRET, n) == 0) {
		memcpy(
		    digits, wire + DNS_HDR_LEN + 1 + n, wire[DNS_HDR_LEN] - n);
		i = strtoul(digits, NULL, 10);
		FUZZ_ASSERT(i < st->nasked);
		return &st->asked[i];
	}
	for (i = 0; i < st->nasked; i++)
		if (st->asked[i].len == len &&
		    memcmp(st->asked[i].wire + 2, wire + 2, len - 2) == 0)
			return &st->asked[i];
	FUZZ_ASSERT(len == DNS_HDR_LEN + sizeof(probe));
	return NULL;
}

static void
check_query(struct stage *st, const struct peer *p, struct asked *a,
    const uint8_t *wire, size_t len)
{
	size_t i;

	for (i = 0; i < p->nheld && !p->odd; i++)
		FUZZ_ASSERT(dns_id(p->held[i].wire) != dns_id(wire));
	if (a == NULL)
		return;
	if (!st->edits)
		FUZZ_ASSERT(len == a->len &&
			    memcmp(wire + 2, a->wire + 2, len - 2) == 0);
	FUZZ_ASSERT(++a->nseen == 1 || a->may_repeat);
}

static void
take_query(struct stage *st, struct peer *p, const uint8_t *wire, size_t len)
{
	struct held *h = &p->held[p->nheld];

	FUZZ_ASSERT(len >= DNS_HDR_LEN && !dns_is_response(wire));
	check_query(st, p, whose(st, wire, len), wire, len);
	if (p->nheld == STAGE_HELD_MAX) {
		p->odd = true;
		return;
	}
	h->asked = whose(st, wire, len);
	h->len = len;
	h->wire = fuzz_copy(wire, len);
	p->nheld++;
	if ((st->automatic[p->up] & AUTO_ANSWER) != 0)
		answer(p, p->nheld - 1, ANSWER_ECHO);
}

static void
take_plain(struct stage *st, struct peer *p, const uint8_t *bytes, size_t len)
{
	size_t at = 0, n;

	FUZZ_ASSERT(p->shaken);
	bytes_add(&p->plain, bytes, len);
	while (p->plain.len - at >= 2) {
		n = wire_load_u16(p->plain.p + at);
		if (p->plain.len - at - 2 < n)
			break;
		take_query(st, p, p->plain.p + at + 2, n);
		at += 2 + n;
	}
	bytes_drop(&p->plain, at);
}

static void
take_records(struct stage *st, struct peer *p)
{
	const uint8_t *r;
	size_t at = 0, n;

	while (p->in.len - at >= VTLS_HDR_LEN) {
		r = p->in.p + at;
		n = wire_load_u16(r + 1);
		if (p->in.len - at - VTLS_HDR_LEN < n)
			break;
		if (r[0] == VTLS_HELLO)
			p->hello = true;
		else if (r[0] == VTLS_DATA)
			take_plain(st, p, r + VTLS_HDR_LEN, n);
		at += VTLS_HDR_LEN + n;
	}
	bytes_drop(&p->in, at);
}

bool
peer_turn(struct stage *st)
{
	bool more = false;
	struct peer *p;
	size_t i;

	for (i = 0; i < st->npeers; i++) {
		p = st->peers[i];
		if (p->sock == NULL)
			continue;
		if (!p->deaf && bytes_read(&p->in, p->sock)) {
			take_records(st, p);
			more = true;
		}
		if ((st->automatic[p->up] & AUTO_SHAKE) != 0 && p->hello &&
		    !p->shaken) {
			peer_shake(p, false);
			more = true;
		}
		if (vnet_is_closed(p->sock)) {
			peer_close(p, 0);
			more = true;
		}
	}
	return more;
}

/* For pool_side.c: what a connection of the pool must have open. */
bool
far_outstanding(
    const struct world *w, uint32_t index, uint64_t request, uint32_t *n)
{
	const struct stage *st = (const struct stage *)w; /* its first member */
	const struct peer *p = NULL;
	size_t i;

	(void)index;
	for (i = 0; i < st->npeers; i++)
		if (st->peers[i]->request == request)
			p = st->peers[i];
	if (p == NULL || p->sock == NULL || !p->shaken || p->deaf || p->odd ||
	    p->rest.len > 0 || p->in.len > 0 || p->plain.len > 0 ||
	    vnet_underway(p->sock) > 0)
		return false;
	*n = (uint32_t)p->nheld;
	return true;
}
