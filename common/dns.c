/* SPDX-License-Identifier: ISC */
/*
 * The DNS a forwarder needs, see dns.h.  Runs in the listener (queries,
 * truncation, error replies) and in the pool (does this answer belong to
 * that query).  Everything it reads is hostile: all reading goes through
 * struct wire_reader, all work is bounded by the bytes of the message, and
 * nothing here may allocate, log, or decide that an odd query is no query:
 * what cannot be parsed is the upstream's to judge (RFC 5625 4.1, 6.3).
 */
#include "common/dns.h"

#include <string.h>

#define NAME_MAX_LEN 255 /* with length bytes and root: RFC 1035 2.3.4 */
#define LABEL_MAX_LEN 63
#define LABEL_POINTER 0xc0 /* both top bits: RFC 1035 4.1.4 */
/*
 * What the names of the questions may cost for each byte of the message.  A
 * question of six bytes can lead over thousands of pointers.
 */
#define NAMES_COST_MAX 4
/* Serial, refresh, retry, expire, minimum; and two names before them. */
#define SOA_TAIL_LEN 20
#define SOA_MIN_LEN (SOA_TAIL_LEN + 2)

#define FLAG_QR 0x80 /* of byte 2 */
#define FLAG_OPCODE 0x78
#define FLAG_TC 0x02
#define FLAG_RD 0x01
#define FLAG_RA 0x80 /* of byte 3 */
#define FLAG_CD 0x10

#define EDNS_DO 0x8000u         /* of an OPT's TTL, low half */
#define EDNS_KEEPALIVE 11u      /* option code, RFC 7828 */
#define EDNS_OPTION_EDE 15      /* RFC 8914 2 */
#define EDNS_UDP_SIZE_OURS 1232 /* in replies we make: RFC 9715 */

/* Steps through the labels of one name, across compression pointers. */
struct name_iter {
	struct wire_reader r;
	size_t start; /* of the part being read; a pointer must go below it */
	size_t total; /* bytes of the name so far, uncompressed */
	size_t jumps; /* pointers followed */
	size_t end;   /* where what follows the name begins; 0 until known */
	const uint8_t *label; /* the last one found */
	uint8_t label_len;
};

static void
name_iter_init(struct name_iter *it, const struct wire_reader *r)
{
	it->r = *r;
	it->start = r->pos;
	it->total = 0;
	it->jumps = 0;
	it->end = 0;
	it->label = NULL;
	it->label_len = 0;
}

/*
 * Finds the next label.  Returns 1, 0 at the root, or -1 if this is no name.
 * A pointer has to go strictly backwards, before the part it ends, so the walk
 * comes to an end; and not into the header, which holds no names.
 * Inlined, the iterator stays in registers: that halves the cost of parsing
 * an ordinary query.
 */
__attribute__((always_inline)) static inline int
name_iter_next(struct name_iter *it)
{
	size_t target;
	uint8_t n;

	n = wire_get_u8(&it->r);
	while ((n & LABEL_POINTER) == LABEL_POINTER) {
		target = (size_t)(n & ~LABEL_POINTER) << 8;
		target |= wire_get_u8(&it->r);
		if (it->r.error || target >= it->start || target < DNS_HDR_LEN)
			return -1;
		if (it->end == 0)
			it->end = it->r.pos;
		it->start = target;
		it->jumps++;
		it->r.pos = target;
		n = wire_get_u8(&it->r);
	}
	it->total += (size_t)n + 1;
	it->label = wire_get_bytes(&it->r, n);
	it->label_len = n;
	if (it->r.error || n > LABEL_MAX_LEN || it->total > NAME_MAX_LEN)
		return -1;
	if (n == 0 && it->end == 0)
		it->end = it->r.pos;
	return n > 0;
}

/* What the questions of a message may cost altogether. */
static size_t
questions_budget(const struct wire_reader *r)
{
	return NAMES_COST_MAX * r->len;
}

/*
 * Steps over a name without pointers, as almost all are.  On anything else r
 * stays where it is, and the answer is false: that is for the iterator.
 */
static bool
name_skip_plain(struct wire_reader *r)
{
	struct wire_reader at = *r;
	uint8_t n;

	while ((n = wire_get_u8(&at)) > 0 && n <= LABEL_MAX_LEN)
		(void)wire_get_bytes(&at, n); /* the error is sticky */
	if (n != 0 || at.error || at.pos - r->pos > NAME_MAX_LEN)
		return false;
	*r = at;
	return true;
}

/*
 * Steps over one question; its type and class are the last four bytes.  Takes
 * what it has cost off the budget, and fails if that is not enough.
 */
static bool
question_skip(struct wire_reader *r, size_t *budget)
{
	size_t start = r->pos;
	struct name_iter it;
	int more;

	if (name_skip_plain(r)) {
		if (r->pos - start > *budget)
			return false;
		*budget -= r->pos - start;
		return wire_get_bytes(r, 4) != NULL;
	}
	name_iter_init(&it, r);
	do
		more = name_iter_next(&it);
	while (more > 0);
	if (more < 0 || it.total + it.jumps > *budget)
		return false;
	*budget -= it.total + it.jumps;
	r->pos = it.end;
	return wire_get_bytes(r, 4) != NULL;
}

/* Steps over n questions; false if they are not all there. */
static bool
questions_skip(struct wire_reader *r, uint16_t n)
{
	size_t budget = questions_budget(r);

	for (; n > 0; n--)
		if (!question_skip(r, &budget))
			return false;
	return true;
}

static uint8_t
ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static bool
label_equal(const uint8_t *a, const uint8_t *b, uint8_t len)
{
	uint8_t i;

	for (i = 0; i < len; i++)
		if (ascii_lower(a[i]) != ascii_lower(b[i]))
			return false;
	return true;
}

/* Compares one question of each and steps over both. */
static bool
question_equal(struct wire_reader *a, struct wire_reader *b)
{
	struct name_iter ia, ib;
	int more_a, more_b;

	name_iter_init(&ia, a);
	name_iter_init(&ib, b);
	do {
		more_a = name_iter_next(&ia);
		more_b = name_iter_next(&ib);
		if (more_a < 0 || more_b < 0 || ia.label_len != ib.label_len ||
		    !label_equal(ia.label, ib.label, ia.label_len))
			return false;
	} while (more_a > 0);
	a->pos = ia.end;
	b->pos = ib.end;
	return wire_get_u32(a) == wire_get_u32(b) && !a->error && !b->error;
}

/* Reads one record; false if it is not one, or not all there. */
static bool
rr_next(struct wire_reader *r, struct dns_rr *rr)
{
	uint8_t n;

	rr->start = r->pos;
	n = wire_get_u8(r);
	rr->at_root = n == 0;
	while (n > 0 && n <= LABEL_MAX_LEN) {
		(void)wire_get_bytes(r, n); /* the error is sticky */
		n = wire_get_u8(r);
	}
	if (n >= LABEL_POINTER)
		(void)wire_get_u8(r); /* need not be followed */
	else if (n != 0)
		return false;
	rr->type = wire_get_u16(r);
	rr->class = wire_get_u16(r);
	rr->ttl = wire_get_u32(r);
	rr->data_len = wire_get_u16(r);
	(void)wire_get_bytes(r, rr->data_len);
	rr->end = r->pos;
	return !r->error;
}

/*
 * Looks for the OPT record with r behind the questions.  Only in the
 * additional section (RFC 6891 6.1.1), with the root as its owner; the first
 * counts.  Returns false if there is none or the records are garbage.
 */
static bool
opt_find(struct wire_reader *r, struct dns_rr *opt)
{
	uint32_t before, n;

	before =
	    (uint32_t)wire_load_u16(r->data + 6) + wire_load_u16(r->data + 8);
	for (; before > 0; before--)
		if (!rr_next(r, opt))
			return false;
	for (n = wire_load_u16(r->data + 10); n > 0; n--) {
		if (!rr_next(r, opt))
			return false;
		if (opt->type == DNS_TYPE_OPT && opt->at_root)
			return true;
	}
	return false;
}

bool
dns_walk_answers(struct dns_walk *w, const uint8_t *msg, size_t len)
{
	w->left = 0;
	wire_reader_init(&w->r, msg, len);
	if (wire_get_bytes(&w->r, DNS_HDR_LEN) == NULL ||
	    !questions_skip(&w->r, wire_load_u16(msg + 4)))
		return false;
	w->left = wire_load_u16(msg + 6);
	return true;
}

bool
dns_walk_rr(struct dns_walk *w, struct dns_rr *rr)
{
	if (w->left == 0)
		return false;
	w->left--;
	return rr_next(&w->r, rr);
}

int
dns_walk_next(struct dns_walk *w, uint16_t *type, uint32_t *serial)
{
	struct dns_rr rr;

	if (w->left == 0)
		return 0;
	if (!dns_walk_rr(w, &rr))
		return -1;
	*type = rr.type;
	if (rr.type != DNS_TYPE_SOA)
		return 1;
	if (rr.data_len < SOA_MIN_LEN)
		return -1;
	*serial = wire_load_u32(w->r.data + rr.end - SOA_TAIL_LEN);
	return 1;
}

bool
dns_ixfr_serial(const uint8_t *query, size_t len, uint32_t *serial)
{
	struct dns_walk w;
	uint16_t type;

	if (!dns_walk_answers(&w, query, len))
		return false;
	w.left += wire_load_u16(query + 8);
	while (dns_walk_next(&w, &type, serial) == 1)
		if (type == DNS_TYPE_SOA)
			return true;
	return false;
}

enum dns_verdict
dns_query_parse(const uint8_t *msg, size_t len, struct dns_query *q)
{
	struct wire_reader r;
	struct dns_rr opt;
	const uint8_t *tail;
	size_t budget;
	uint16_t n;

	if (len < DNS_HDR_LEN || dns_is_response(msg))
		return DNS_DROP;
	memset(q, 0, sizeof(*q));
	q->id = dns_id(msg);
	q->opcode = dns_opcode(msg);
	q->udp_size = DNS_UDP_MIN;
	wire_reader_init(&r, msg, len);
	(void)wire_get_bytes(&r, DNS_HDR_LEN); /* it is that long */
	n = wire_load_u16(msg + 4);
	if (n > 0) {
		budget = questions_budget(&r);
		if (!question_skip(&r, &budget))
			return DNS_FORWARD;
		tail = msg + r.pos - 4;
		while (--n > 0)
			if (!question_skip(&r, &budget))
				return DNS_FORWARD;
		q->qtype = wire_load_u16(tail);
		q->qclass = wire_load_u16(tail + 2);
		q->question_len = r.pos - DNS_HDR_LEN;
	}
	if (r.pos == len || !opt_find(&r, &opt))
		return DNS_FORWARD;
	q->has_edns = true;
	q->edns_do = (opt.ttl & EDNS_DO) != 0;
	if (opt.class > DNS_UDP_MIN) /* less counts as 512: RFC 6891 6.2.3 */
		q->udp_size = opt.class;
	return DNS_FORWARD;
}

bool
dns_answer_matches(const uint8_t *query, size_t query_len,
    const uint8_t *answer, size_t answer_len)
{
	struct wire_reader rq, ra;
	uint16_t n;

	if (query_len < DNS_HDR_LEN || answer_len < DNS_HDR_LEN ||
	    !dns_is_response(answer) || dns_opcode(answer) != dns_opcode(query))
		return false;
	n = wire_load_u16(answer + 4);
	if (n == 0) /* RFC 7766 7: "if present" */
		return true;
	wire_reader_init(&rq, query, query_len);
	rq.pos = DNS_HDR_LEN;
	if (!questions_skip(&rq, wire_load_u16(query + 4)))
		return true;
	if (n != wire_load_u16(query + 4))
		return false;
	/* The same bytes at the same place: nearly always, and all done. */
	if (answer_len >= rq.pos &&
	    memcmp(query + DNS_HDR_LEN, answer + DNS_HDR_LEN,
		rq.pos - DNS_HDR_LEN) == 0)
		return true;
	rq.pos = DNS_HDR_LEN;
	wire_reader_init(&ra, answer, answer_len);
	ra.pos = DNS_HDR_LEN;
	if (!questions_skip(&ra, n)) /* not there, or too expensive */
		return false;
	ra.pos = DNS_HDR_LEN;
	for (; n > 0; n--)
		if (!question_equal(&rq, &ra))
			return false;
	return true;
}

/* Writes the 11 bytes of an OPT record with rdlen bytes of options to come. */
static void
opt_put(struct wire_writer *w, uint16_t class, uint32_t ttl, size_t rdlen)
{
	wire_put_u8(w, 0);
	wire_put_u16(w, DNS_TYPE_OPT);
	wire_put_u16(w, class);
	wire_put_u32(w, ttl);
	wire_put_u16(w, (uint16_t)rdlen);
}

/* Length of the text that is sent: cut, but not within a UTF-8 character. */
static size_t
ede_text_len(const char *text)
{
	size_t len;

	if (text == NULL)
		return 0;
	len = strnlen(text, DNS_EDE_TEXT_MAX + 1);
	if (len <= DNS_EDE_TEXT_MAX)
		return len;
	len = DNS_EDE_TEXT_MAX;
	while (len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80)
		len--;
	return len;
}

size_t
dns_error_reply(const uint8_t *query, const struct dns_query *q,
    enum dns_rcode rcode, enum dns_ede ede, const char *text, uint8_t *out,
    size_t cap)
{
	struct wire_writer w;
	size_t need, question_len = q->question_len, text_len = 0;
	uint8_t flags;

	need = DNS_HDR_LEN + question_len;
	if (q->has_edns) {
		need += DNS_OPT_LEN;
		if (ede != DNS_EDE_NONE) {
			need += 6; /* option code, length, info code */
			text_len = ede_text_len(text);
		}
	}
	if (need > cap || text_len > cap - need)
		text_len = 0;
	if (need > cap)
		question_len = 0;
	flags = (uint8_t)rcode & 0x0f;
	flags |= query[3] & FLAG_CD;
	if (rcode == DNS_RCODE_SERVFAIL)
		flags |= FLAG_RA;

	wire_writer_init(&w, out, cap);
	wire_put_u16(&w, q->id);
	wire_put_u8(&w, FLAG_QR | (query[2] & (FLAG_OPCODE | FLAG_RD)));
	wire_put_u8(&w, flags);
	wire_put_u16(&w, question_len > 0 ? wire_load_u16(query + 4) : 0);
	wire_put_u32(&w, 0);
	wire_put_u16(&w, q->has_edns);
	wire_put_bytes(&w, query + DNS_HDR_LEN, question_len);
	if (q->has_edns)
		opt_put(&w, EDNS_UDP_SIZE_OURS, q->edns_do ? EDNS_DO : 0,
		    ede == DNS_EDE_NONE ? 0 : 6 + text_len);
	if (q->has_edns && ede != DNS_EDE_NONE) {
		wire_put_u16(&w, EDNS_OPTION_EDE);
		wire_put_u16(&w, (uint16_t)(2 + text_len));
		wire_put_u16(&w, (uint16_t)ede);
		wire_put_bytes(&w, text, text_len);
	}
	return w.pos;
}

bool
dns_keepalive(const uint8_t *answer, size_t len, uint32_t *idle_ms)
{
	struct wire_reader r;
	struct dns_rr opt;
	uint16_t code, n;
	bool found = false;

	if (len < DNS_HDR_LEN || wire_load_u16(answer + 10) == 0)
		return false;
	wire_reader_init(&r, answer, len);
	r.pos = DNS_HDR_LEN;
	if (!questions_skip(&r, wire_load_u16(answer + 4)) ||
	    !opt_find(&r, &opt))
		return false;
	wire_reader_init(&r, answer + opt.start, opt.end - opt.start);
	r.pos = DNS_OPT_LEN;
	while (!found && r.pos < r.len && !r.error) {
		code = wire_get_u16(&r);
		n = wire_get_u16(&r);
		found = code == EDNS_KEEPALIVE && n == 2;
		if (!found)
			(void)wire_get_bytes(&r, n); /* the error is sticky */
	}
	if (found) /* in units of 100 ms */
		*idle_ms = wire_get_u16(&r) * 100u;
	return found && !r.error;
}

size_t
dns_truncate(const uint8_t *answer, size_t answer_len,
    const struct dns_query *q, size_t limit, uint8_t *out)
{
	struct wire_reader r;
	struct wire_writer w;
	struct dns_rr opt;
	size_t question_len, reserve;
	bool parsed, has_opt;

	if (answer_len < DNS_HDR_LEN)
		return 0;
	wire_reader_init(&r, answer, answer_len);
	r.pos = DNS_HDR_LEN;
	parsed = questions_skip(&r, wire_load_u16(answer + 4));
	question_len = parsed ? r.pos - DNS_HDR_LEN : 0;
	has_opt = q->has_edns && parsed && opt_find(&r, &opt);
	reserve = DNS_HDR_LEN + (has_opt ? DNS_OPT_LEN : 0);
	if (question_len > limit - reserve)
		question_len = 0;

	wire_writer_init(&w, out, limit);
	wire_put_bytes(&w, answer, DNS_HDR_LEN);
	out[2] |= FLAG_TC;
	if (question_len == 0)
		wire_store_u16(out + 4, 0);
	wire_store_u32(out + 6, 0);
	wire_store_u16(out + 10, has_opt);
	wire_put_bytes(&w, answer + DNS_HDR_LEN, question_len);
	if (!has_opt)
		return w.pos;
	if (opt.end - opt.start <= limit - w.pos)
		wire_put_bytes(&w, answer + opt.start, opt.end - opt.start);
	else
		opt_put(&w, opt.class, opt.ttl, 0);
	return w.pos;
}
