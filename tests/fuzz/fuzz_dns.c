/* SPDX-License-Identifier: ISC */
/* LINK: common/dns.c */
/*
 * What the listener and the pool read of a query and of its answer (dns.h),
 * and the replies made of them.  Input: how much the client can take (two
 * octets), length of the query (two), the query; the answer is the rest.
 */
#include "common/dns.h"

#include "tests/fuzz/dns_mutator.h"
#include "tests/fuzz/fuzz.h"

#define PREFIX_LEN 4

/* What each section's records are, they end within the message. */
static void
check_walk(const uint8_t *msg, size_t len)
{
	struct dns_walk w;
	struct dns_rr rr;
	size_t last = DNS_HDR_LEN;
	uint32_t serial, ms;

	(void)dns_ixfr_serial(msg, len, &serial);
	if (dns_keepalive(msg, len, &ms))
		FUZZ_ASSERT(ms % 100 == 0 && ms <= 6553500);
	if (!dns_walk_answers(&w, msg, len))
		return;
	w.left += (uint32_t)wire_load_u16(msg + 8) + wire_load_u16(msg + 10);
	while (dns_walk_rr(&w, &rr)) {
		FUZZ_ASSERT(rr.start >= last && rr.end <= len);
		FUZZ_ASSERT(rr.end - rr.start >= (size_t)11 + rr.data_len);
		last = rr.end;
	}
}

/*
 * What was made of a message is one: all of it, and nothing behind it.  How
 * much its names may cost depends on its length, so it is given that of the
 * original.  The query is NULL if it need not be an answer to one.
 */
static void
check_made(const uint8_t *query, size_t query_len, const uint8_t *made,
    size_t n, size_t original)
{
	size_t len = n > original ? n : original;
	uint8_t *copy = fuzz_alloc(len);
	struct dns_walk w;
	struct dns_rr rr;

	memcpy(copy, made, n);
	FUZZ_ASSERT(dns_walk_answers(&w, copy, len));
	w.left += (uint32_t)wire_load_u16(copy + 8) + wire_load_u16(copy + 10);
	while (w.left > 0) {
		FUZZ_ASSERT(dns_walk_rr(&w, &rr));
		FUZZ_ASSERT(rr.type == DNS_TYPE_OPT && rr.at_root);
	}
	FUZZ_ASSERT(w.r.pos == n);
	FUZZ_ASSERT(
	    query == NULL || dns_answer_matches(query, query_len, copy, len));
	free(copy);
}

/* The error reply is an answer to the query, whatever the query was. */
static void
check_error_reply(
    const uint8_t *query, size_t len, const struct dns_query *q, uint16_t limit)
{
	static const char text[] =
	    "upstream \xc3\xa4\xc3\xb6 ... has a name "
	    "that is longer than what is sent of a text, which is one hundred "
	    "and twenty-eight octets, if it has to be";
	size_t cap = limit % 5 == 0 ? DNS_ERROR_REPLY_MAX : DNS_UDP_MIN, n;
	uint8_t *out = fuzz_alloc(cap);
	enum dns_ede ede = limit & 1 ? DNS_EDE_NONE : DNS_EDE_NETWORK_ERROR;

	n = dns_error_reply(query, q,
	    limit & 2 ? DNS_RCODE_SERVFAIL : DNS_RCODE_REFUSED, ede,
	    limit & 4 ? NULL : text, out, cap);
	FUZZ_ASSERT(n >= DNS_HDR_LEN && n <= cap);
	FUZZ_ASSERT(dns_id(out) == dns_id(query) && dns_is_response(out));
	FUZZ_ASSERT(dns_rcode(out) ==
		    (limit & 2 ? DNS_RCODE_SERVFAIL : DNS_RCODE_REFUSED));
	FUZZ_ASSERT(wire_load_u16(out + 10) == q->has_edns);
	check_made(query, len, out, n, len);
	free(out);
}

/* A query with QR set is its own answer; in any case, and with any ID. */
static void
check_echo(const uint8_t *query, size_t len, const struct dns_query *q)
{
	uint8_t *echo = fuzz_copy(query, len);
	struct fuzz_random rnd;

	echo[2] |= 0x80;
	dns_set_id(echo, 0xbeef);
	FUZZ_ASSERT(dns_answer_matches(query, len, echo, len));
	fuzz_seed(&rnd, (unsigned int)len);
	if (q->question_len > 0 && wire_load_u16(query + 4) == 1) {
		dns_swap_case(echo, DNS_HDR_LEN + q->question_len - 4, &rnd);
		/* Pointers and lengths above 63 are no letters that matter. */
		if (memchr(query + DNS_HDR_LEN, 0, q->question_len - 4) ==
		    query + DNS_HDR_LEN + q->question_len - 5) {
			uint8_t *type =
			    echo + DNS_HDR_LEN + q->question_len - 3;

			*type ^= 1;
			FUZZ_ASSERT(!dns_answer_matches(query, len, echo, len));
		}
	}
	free(echo);
}

static void
check_truncate(const uint8_t *query, size_t query_len, const uint8_t *answer,
    size_t len, const struct dns_query *q, uint16_t limit)
{
	size_t cap = limit < DNS_UDP_MIN ? DNS_UDP_MIN : limit, n;
	uint8_t *out = fuzz_alloc(cap);

	n = dns_truncate(answer, len, q, cap, out);
	FUZZ_ASSERT((n == 0) == (len < DNS_HDR_LEN));
	FUZZ_ASSERT(n <= cap);
	if (n > 0) {
		FUZZ_ASSERT(dns_id(out) == dns_id(answer));
		FUZZ_ASSERT((out[2] & 0xfd) == (answer[2] & 0xfd));
		FUZZ_ASSERT((out[2] & 0x02) != 0 && out[3] == answer[3]);
		FUZZ_ASSERT(wire_load_u32(out + 6) == 0);
		FUZZ_ASSERT(wire_load_u16(out + 10) <= (q->has_edns ? 1 : 0));
		FUZZ_ASSERT(
		    wire_load_u16(out + 4) == 0 ||
		    wire_load_u16(out + 4) == wire_load_u16(answer + 4));
		if (!dns_answer_matches(query, query_len, answer, len))
			query = NULL;
		check_made(query, query_len, out, n, len);
	}
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct wire_reader r;
	struct dns_query q;
	uint8_t *query, *answer;
	const uint8_t *p;
	uint16_t limit;
	size_t query_len, answer_len;

	wire_reader_init(&r, data, len);
	limit = wire_get_u16(&r);
	query_len = wire_get_u16(&r);
	if (r.error)
		return 0;
	if (query_len > wire_remaining(&r))
		query_len = wire_remaining(&r);
	query = fuzz_copy(wire_get_bytes(&r, query_len), query_len);
	p = fuzz_rest(&r, &answer_len);
	if (answer_len > DNS_MSG_MAX)
		answer_len = DNS_MSG_MAX;
	answer = fuzz_copy(p, answer_len);
	check_walk(query, query_len);
	check_walk(answer, answer_len);
	if (dns_query_parse(query, query_len, &q) == DNS_FORWARD) {
		FUZZ_ASSERT(DNS_HDR_LEN + q.question_len <= query_len);
		FUZZ_ASSERT(q.udp_size >= DNS_UDP_MIN);
		FUZZ_ASSERT(q.has_edns || !q.edns_do);
		FUZZ_ASSERT(!dns_is_transfer(&q) || !dns_may_repeat(&q));
		check_error_reply(query, query_len, &q, limit);
		check_echo(query, query_len, &q);
		check_truncate(query, query_len, answer, answer_len, &q, limit);
	} else
		FUZZ_ASSERT(query_len < DNS_HDR_LEN || dns_is_response(query));
	free(query);
	free(answer);
	return 0;
}

/* Makes an answer of the query: the same question, and what is then added. */
static size_t
answer_the_query(uint8_t *data, size_t query_len, size_t max)
{
	size_t at = PREFIX_LEN + query_len;

	if (query_len < DNS_HDR_LEN || query_len > max - at)
		return at;
	memcpy(data + at, data + PREFIX_LEN, query_len);
	data[at + 2] |= 0x80;
	return at + query_len;
}

size_t
LLVMFuzzerCustomMutator(
    uint8_t *data, size_t len, size_t max, unsigned int seed)
{
	struct fuzz_random rnd;
	uint8_t *answer;
	size_t query_len, answer_len, n;

	fuzz_seed(&rnd, seed);
	if (max < 256 || max > 2 * 65535 || fuzz_below(&rnd, 3) == 0)
		return LLVMFuzzerMutate(data, len, max);
	if (len < PREFIX_LEN) {
		memset(data, 0, PREFIX_LEN);
		len = PREFIX_LEN;
	}
	query_len = wire_load_u16(data + 2);
	if (query_len > len - PREFIX_LEN)
		query_len = len - PREFIX_LEN;
	if (fuzz_below(&rnd, 4) == 0) {
		wire_store_u16(data + 2, (uint16_t)query_len);
		return answer_the_query(data, query_len, max);
	}
	answer_len = len - PREFIX_LEN - query_len;
	answer = fuzz_copy(data + PREFIX_LEN + query_len, answer_len);
	if (fuzz_below(&rnd, 2) == 0) {
		n = dns_mutate(data + PREFIX_LEN, query_len,
		    max - PREFIX_LEN - answer_len > 65535
			? 65535
			: max - PREFIX_LEN - answer_len,
		    &rnd);
		memcpy(data + PREFIX_LEN + n, answer, answer_len);
		wire_store_u16(data + 2, (uint16_t)n);
		n += answer_len;
	} else {
		wire_store_u16(data + 2, (uint16_t)query_len);
		n = query_len + dns_mutate(data + PREFIX_LEN + query_len,
				    answer_len, max - PREFIX_LEN - query_len,
				    &rnd);
	}
	free(answer);
	return PREFIX_LEN + n;
}
