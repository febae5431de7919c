/* SPDX-License-Identifier: ISC */
/*
 * What dotproxy writes: dns_error_reply() and dns_truncate(), byte for byte,
 * at every limit and one byte to either side.
 */
/* LINK: common/dns.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/dns_build.h"

#define QUESTION_LEN 21 /* www.example.com, type, class */
#define QUESTION_END 33 /* with the header */

static void
parse(const struct pkt *p, struct dns_query *q)
{
	assert_int_equal(dns_query_parse(p->buf, p->w.pos, q), DNS_FORWARD);
}

static void
error_plain(void **state)
{
	uint8_t out[DNS_UDP_MIN];
	struct pkt p;
	struct dns_query q;

	(void)state;
	pkt_ordinary(&p, false);
	parse(&p, &q);
	assert_int_equal(dns_error_reply(p.buf, &q, DNS_RCODE_SERVFAIL,
			     DNS_EDE_NETWORK_ERROR, "text", out, sizeof(out)),
	    QUESTION_END);
	assert_memory_equal(
	    out, "\x12\x34\x81\x82\0\1\0\0\0\0\0\0", DNS_HDR_LEN);
	assert_memory_equal(
	    out + DNS_HDR_LEN, p.buf + DNS_HDR_LEN, QUESTION_LEN);
}

/* Opcode, RD and CD are the query's; nothing else of its flags is. */
static void
error_flags(void **state)
{
	const uint8_t rcodes[] = { DNS_RCODE_FORMERR, DNS_RCODE_SERVFAIL,
		DNS_RCODE_NOTIMP, DNS_RCODE_REFUSED };
	uint8_t out[DNS_UDP_MIN];
	struct pkt p;
	struct dns_query q;
	unsigned int flags, want;
	size_t i;

	(void)state;
	pkt_ordinary(&p, false);
	for (flags = 0; flags <= 0x7fff; flags++) {
		for (i = 0; i < sizeof(rcodes); i++) {
			wire_store_u16(p.buf + 2, (uint16_t)flags);
			parse(&p, &q);
			(void)dns_error_reply(p.buf, &q, rcodes[i],
			    DNS_EDE_NONE, NULL, out, sizeof(out));
			want = 0x8000 | (flags & 0x7910) | rcodes[i];
			if (rcodes[i] == DNS_RCODE_SERVFAIL)
				want |= 0x80;
			assert_int_equal(wire_load_u16(out + 2), want);
		}
	}
}

/* An OPT comes back if one came, with the cause in it. */
static void
error_ede(void **state)
{
	uint8_t out[DNS_UDP_MIN];
	struct pkt p;
	struct dns_query q;

	(void)state;
	pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 2);
	pkt_question(&p, "www.example.com", 1);
	pkt_opt(&p, 4096, 0xff018000, 12); /* version 1, DO, an option */
	pkt_opt(&p, 700, 0, 0);
	parse(&p, &q);
	assert_int_equal(dns_error_reply(p.buf, &q, DNS_RCODE_REFUSED,
			     DNS_EDE_PROHIBITED, "no", out, sizeof(out)),
	    QUESTION_END + 11 + 6 + 2);
	assert_memory_equal(
	    out, "\x12\x34\x81\x05\0\1\0\0\0\0\0\1", DNS_HDR_LEN);
	assert_memory_equal(out + QUESTION_END,
	    "\0\0\x29\x04\xd0\0\0\x80\0\0\x08"
	    "\0\x0f\0\x04\0\x12no",
	    19);
	/* Without text. */
	assert_int_equal(dns_error_reply(p.buf, &q, DNS_RCODE_REFUSED,
			     DNS_EDE_OTHER, NULL, out, sizeof(out)),
	    QUESTION_END + 11 + 6);
	assert_memory_equal(
	    out + QUESTION_END + 9, "\0\x06\0\x0f\0\x02\0\0", 8);
	/* Without cause, and no DO asked: a bare OPT. */
	pkt_ordinary(&p, true);
	parse(&p, &q);
	assert_int_equal(dns_error_reply(p.buf, &q, DNS_RCODE_NOTIMP,
			     DNS_EDE_NONE, "not sent", out, sizeof(out)),
	    QUESTION_END + 11);
	assert_memory_equal(
	    out + QUESTION_END, "\0\0\x29\x04\xd0\0\0\0\0\0\0", 11);
}

/* Length of the text that is sent of this one; -1 if the lengths are off. */
static long
sent_text(const char *text, uint8_t out[DNS_ERROR_REPLY_MAX])
{
	struct pkt p;
	struct dns_query q;
	size_t len, option;

	pkt_ordinary(&p, true);
	parse(&p, &q);
	len = dns_error_reply(p.buf, &q, DNS_RCODE_SERVFAIL, DNS_EDE_OTHER,
	    text, out, DNS_ERROR_REPLY_MAX);
	option = wire_load_u16(out + QUESTION_END + 13);
	if (len != QUESTION_END + 15 + option ||
	    wire_load_u16(out + QUESTION_END + 9) != option + 4)
		return -1;
	return (long)option - 2;
}

/* Longer texts are cut, but never in the middle of a character. */
static void
error_text_length(void **state)
{
	uint8_t out[DNS_ERROR_REPLY_MAX];
	char text[300];
	size_t i;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (i = 0; i < sizeof(text); i++) {
		text[i] = '\0';
		assert_int_equal(sent_text(text, out), i < 128 ? i : 128);
		assert_memory_equal(
		    out + QUESTION_END + 17, text, i < 128 ? i : 128);
		text[i] = 'x';
	}
	text[sizeof(text) - 1] = '\0';
	memcpy(text + 126, "\xe2\x82\xac", 3); /* ends at 129 */
	assert_int_equal(sent_text(text, out), 126);
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text + 125, "\xe2\x82\xac", 3); /* ends at 128 */
	assert_int_equal(sent_text(text, out), 128);
	memset(text, 0x80, 200); /* no character at all */
	assert_int_equal(sent_text(text, out), 0);
}

/* No question, or none that can be parsed: none in the reply. */
static void
error_no_question(void **state)
{
	uint8_t out[DNS_UDP_MIN];
	struct pkt p;
	struct dns_query q;

	(void)state;
	pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 1);
	wire_put_bytes(&p.w, "\1", 1);
	parse(&p, &q);
	assert_int_equal(dns_error_reply(p.buf, &q, DNS_RCODE_SERVFAIL,
			     DNS_EDE_OTHER, "x", out, sizeof(out)),
	    DNS_HDR_LEN);
	assert_memory_equal(
	    out, "\x12\x34\x81\x82\0\0\0\0\0\0\0\0", DNS_HDR_LEN);
	pkt_start(&p, QUERY_FLAGS, 0, 0, 0, 1);
	pkt_opt(&p, 512, 0, 0);
	parse(&p, &q);
	assert_int_equal(dns_error_reply(p.buf, &q, DNS_RCODE_SERVFAIL,
			     DNS_EDE_OTHER, "x", out, sizeof(out)),
	    DNS_HDR_LEN + 11 + 7);
	assert_memory_equal(out + 4, "\0\0\0\0\0\0\0\1\0\0\x29", 11);
}

/*
 * A question section that grows towards the limit and beyond: first the text
 * goes, then the question; the cause stays, and the limit is kept.
 */
static void
error_caps(void **state)
{
	const size_t caps[] = { 512, 513, 1232, DNS_ERROR_REPLY_MAX };
	uint8_t *out;
	struct pkt p;
	struct dns_query q;
	struct guard g;
	size_t i, len, cap, fixed = DNS_HDR_LEN + 11 + 6;
	uint16_t n;

	(void)state;
	guard_open(&g);
	for (i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		cap = caps[i];
		out = g.end - cap;
		for (n = 1; n * 5u <= cap + 100; n++) {
			pkt_start(&p, QUERY_FLAGS, n, 0, 0, 1);
			while (p.w.pos < DNS_HDR_LEN + n * 5u)
				pkt_question(&p, "", 1);
			pkt_opt(&p, 512, 0, 0);
			parse(&p, &q);
			assert_int_equal(q.question_len, n * 5u);
			len = dns_error_reply(p.buf, &q, DNS_RCODE_SERVFAIL,
			    DNS_EDE_OTHER, "0123456789", out, cap);
			assert_true(len <= cap);
			if (fixed + n * 5u + 10 <= cap)
				assert_int_equal(len, fixed + n * 5u + 10);
			else if (fixed + n * 5u <= cap)
				assert_int_equal(len, fixed + n * 5u);
			else
				assert_int_equal(len, fixed);
			assert_int_equal(wire_load_u16(out + 4),
			    fixed + n * 5u <= cap ? n : 0);
		}
	}
	guard_close(&g);
}

/*
 * An answer with len bytes of records besides, and an OPT of opt_rdlen last
 * (none if it is -1).
 */
static void
answer_make(struct pkt *p, uint16_t flags, uint16_t len, long opt_rdlen)
{
	pkt_start(p, flags, 1, 1, 1, opt_rdlen >= 0 ? 2 : 1);
	pkt_question(p, "WWW.example.com", 1);
	pkt_rr(p, "www.example.com", 16, 1, 300, len);
	pkt_rr(p, "example.com", 2, 1, 300, 3);
	pkt_rr(p, "ns.example.com", 1, 1, 300, 4);
	if (opt_rdlen >= 0)
		pkt_opt(p, 1400, 0x01008000, (uint16_t)opt_rdlen);
}

/* The client's query: without EDNS, or with. */
static void
client(struct dns_query *q, bool edns)
{
	struct pkt p;

	pkt_ordinary(&p, edns);
	parse(&p, q);
}

/* Header flags and rcode stay, TC is added, counts tell what is left. */
static void
truncate_header(void **state)
{
	uint8_t out[DNS_UDP_MIN];
	struct pkt p;
	struct dns_query q;
	unsigned int flags;

	(void)state;
	client(&q, false);
	answer_make(&p, 0, 1000, 0);
	for (flags = 0x8000; flags <= 0xffff; flags++) {
		wire_store_u16(p.buf + 2, (uint16_t)flags);
		assert_int_equal(
		    dns_truncate(p.buf, p.w.pos, &q, 512, out), QUESTION_END);
		assert_int_equal(wire_load_u16(out), 0x1234);
		assert_int_equal(wire_load_u16(out + 2), flags | 0x0200);
		assert_memory_equal(out + 4, "\0\1\0\0\0\0\0\0", 8);
		assert_memory_equal(
		    out + DNS_HDR_LEN, p.buf + DNS_HDR_LEN, QUESTION_LEN);
	}
}

/* The answer's own OPT if the client sent one, and none otherwise. */
static void
truncate_opt(void **state)
{
	uint8_t out[DNS_UDP_MIN];
	struct pkt p;
	struct dns_query q;

	(void)state;
	answer_make(&p, ANSWER_FLAGS, 1000, 5);
	client(&q, true);
	assert_int_equal(
	    dns_truncate(p.buf, p.w.pos, &q, 512, out), QUESTION_END + 16);
	assert_memory_equal(out + 4, "\0\1\0\0\0\0\0\1", 8);
	assert_memory_equal(out + QUESTION_END, p.buf + p.w.pos - 16, 16);
	client(&q, false);
	assert_int_equal(
	    dns_truncate(p.buf, p.w.pos, &q, 512, out), QUESTION_END);
	answer_make(&p, ANSWER_FLAGS, 1000, -1);
	client(&q, true);
	assert_int_equal(
	    dns_truncate(p.buf, p.w.pos, &q, 512, out), QUESTION_END);
	assert_memory_equal(out + 4, "\0\1\0\0\0\0\0\0", 8);
}

/*
 * At every limit and one byte either side of what just fits: the OPT is
 * whole, or bare with its version, flags and upper rcode bits kept.
 */
static void
truncate_limits(void **state)
{
	const size_t limits[] = { 512, 513, 1231, 1232, 1233, 4095, 4096, 4097,
		60000 };
	struct guard g;
	uint8_t *out;
	struct pkt p;
	struct dns_query q;
	size_t i, len, limit;
	long room, rdlen;

	(void)state;
	guard_open(&g);
	client(&q, true);
	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		limit = limits[i];
		out = g.end - limit;
		room = (long)limit - QUESTION_END - 11;
		for (rdlen = room - 1; rdlen <= room + 1; rdlen++) {
			answer_make(&p, ANSWER_FLAGS, 900, rdlen);
			len = dns_truncate(p.buf, p.w.pos, &q, limit, out);
			if (rdlen <= room) {
				assert_int_equal(
				    len, QUESTION_END + 11 + rdlen);
				continue;
			}
			assert_int_equal(len, QUESTION_END + 11);
			assert_memory_equal(out + QUESTION_END,
			    "\0\0\x29\x05\x78\x01\0\x80\0\0\0", 11);
		}
	}
	guard_close(&g);
}

/* The longest answer, whose OPT is its last record, for the longest limit. */
static void
truncate_longest(void **state)
{
	const size_t limits[] = { 65534, 65535 };
	struct guard g;
	struct pkt p;
	struct dns_query q;
	size_t i, rest;

	(void)state;
	guard_open(&g);
	client(&q, true);
	for (i = 0; i < 2; i++) {
		answer_make(&p, ANSWER_FLAGS, 100, 0);
		rest = DNS_MSG_MAX - p.w.pos;
		answer_make(&p, ANSWER_FLAGS, 100, (long)rest);
		assert_int_equal(p.w.pos, DNS_MSG_MAX);
		assert_int_equal(dns_truncate(p.buf, p.w.pos, &q, limits[i],
				     g.end - limits[i]),
		    QUESTION_END + 11 + rest);
	}
	guard_close(&g);
}

/* Question sections around what just fits; too long ones are left out. */
static void
truncate_questions(void **state)
{
	struct guard g;
	struct pkt p;
	struct dns_query q;
	size_t len, limit, fits;
	uint16_t n;

	(void)state;
	guard_open(&g);
	client(&q, true);
	for (limit = 512; limit < 523; limit++) {
		for (n = 90; n < 110; n++) {
			pkt_start(&p, ANSWER_FLAGS, n, 0, 0, 1);
			while (p.w.pos < DNS_HDR_LEN + n * 5u)
				pkt_question(&p, "", 1);
			pkt_opt(&p, 4096, 0, 0);
			len = dns_truncate(
			    p.buf, p.w.pos, &q, limit, g.end - limit);
			fits = DNS_HDR_LEN + n * 5u + 11;
			assert_int_equal(
			    len, fits <= limit ? fits : DNS_HDR_LEN + 11);
			assert_int_equal(wire_load_u16(g.end - limit + 4),
			    fits <= limit ? n : 0);
		}
	}
	guard_close(&g);
}

/* An answer cut anywhere still gives a message, and no byte too much. */
static void
truncate_cut_anywhere(void **state)
{
	struct guard g;
	uint8_t out[DNS_UDP_MIN];
	struct pkt p;
	struct dns_query q;
	size_t len, got, full;

	(void)state;
	guard_open(&g);
	client(&q, true);
	answer_make(&p, ANSWER_FLAGS, 200, 9);
	full = p.w.pos;
	for (len = 0; len <= full; len++) {
		got =
		    dns_truncate(guard_copy(&g, p.buf, len), len, &q, 512, out);
		if (len < DNS_HDR_LEN)
			assert_int_equal(got, 0);
		else if (len < QUESTION_END)
			assert_int_equal(got, DNS_HDR_LEN);
		else if (len < full)
			assert_int_equal(got, QUESTION_END);
		else
			assert_int_equal(got, QUESTION_END + 20);
		if (got == 0)
			continue;
		assert_int_equal(wire_load_u16(out + 4), len >= QUESTION_END);
		assert_int_equal(wire_load_u16(out + 10), len == full);
	}
	guard_close(&g);
}

/* Every byte value, every length: within the limit, whatever it is. */
static void
truncate_any_bytes(void **state)
{
	struct guard g;
	uint8_t out[DNS_UDP_MIN];
	struct pkt p;
	struct dns_query q;
	unsigned int fill;
	size_t len, got;

	(void)state;
	guard_open(&g);
	client(&q, true);
	for (fill = 0; fill < 256; fill++) {
		memset(p.buf, (int)fill, sizeof(p.buf));
		for (len = DNS_HDR_LEN; len <= DNS_MSG_MAX;
		     len += len < 600 || len >= DNS_MSG_MAX - 2 ? 1 : 3797) {
			got = dns_truncate(
			    guard_copy(&g, p.buf, len), len, &q, 512, out);
			assert_in_range(got, DNS_HDR_LEN, 512);
			assert_int_equal(out[2] & 0x02, 0x02);
		}
	}
	guard_close(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_plain),
		cmocka_unit_test(error_flags),
		cmocka_unit_test(error_ede),
		cmocka_unit_test(error_text_length),
		cmocka_unit_test(error_no_question),
		cmocka_unit_test(error_caps),
		cmocka_unit_test(truncate_header),
		cmocka_unit_test(truncate_opt),
		cmocka_unit_test(truncate_limits),
		cmocka_unit_test(truncate_longest),
		cmocka_unit_test(truncate_questions),
		cmocka_unit_test(truncate_cut_anywhere),
		cmocka_unit_test(truncate_any_bytes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
