/* SPDX-License-Identifier: ISC */
/*
 * What dotproxy reads of a query: dns_query_parse() on right, odd, cut and
 * hostile ones.  Matching and replies have tests of their own.
 */
/* LINK: common/dns.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/dns_build.h"

#define LABEL63 \
	"abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij123"

static enum dns_verdict
parse(const struct pkt *p, struct dns_query *q)
{
	memset(q, 0xff, sizeof(*q));
	return dns_query_parse(p->buf, p->w.pos, q);
}

static void
assert_no_edns(const struct dns_query *q)
{
	assert_false(q->has_edns);
	assert_false(q->edns_do);
	assert_int_equal(q->udp_size, 512);
}

static void
parse_ordinary(void **state)
{
	struct pkt p;
	struct dns_query q;

	(void)state;
	pkt_ordinary(&p, false);
	assert_int_equal(parse(&p, &q), DNS_FORWARD);
	assert_int_equal(q.id, 0x1234);
	assert_int_equal(q.opcode, DNS_OPCODE_QUERY);
	assert_int_equal(q.question_len, 17 + 4);
	assert_int_equal(q.qtype, 1);
	assert_int_equal(q.qclass, 1);
	assert_no_edns(&q);
	pkt_ordinary(&p, true);
	assert_int_equal(parse(&p, &q), DNS_FORWARD);
	assert_int_equal(q.question_len, 17 + 4);
	assert_true(q.has_edns);
	assert_false(q.edns_do);
	assert_int_equal(q.udp_size, 1232);
}

/* Shorter than a header, or a response, is dropped; nothing else is. */
static void
parse_verdict(void **state)
{
	uint8_t hdr[DNS_HDR_LEN] = { 0 };
	struct dns_query q;
	size_t len;
	unsigned int flags;

	(void)state;
	for (len = 0; len < DNS_HDR_LEN; len++)
		assert_int_equal(dns_query_parse(hdr, len, &q), DNS_DROP);
	for (flags = 0; flags <= 0xffff; flags++) {
		wire_store_u16(hdr + 2, (uint16_t)flags);
		assert_int_equal(dns_query_parse(hdr, sizeof(hdr), &q),
		    flags & 0x8000 ? DNS_DROP : DNS_FORWARD);
		if ((flags & 0x8000) == 0)
			assert_int_equal(q.opcode, flags >> 11);
	}
}

/* Sizes below 512 count as 512; the DO bit and only that is taken. */
static void
parse_edns_values(void **state)
{
	const uint16_t sizes[] = { 0, 1, 511, 512, 513, 1232, 4096, 65535 };
	struct pkt p;
	struct dns_query q;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 1);
		pkt_question(&p, "a", 1);
		pkt_opt(&p, sizes[i], i % 2 ? 0xffff8000 : 0xffff7fff, 3);
		assert_int_equal(parse(&p, &q), DNS_FORWARD);
		assert_true(q.has_edns);
		assert_int_equal(q.edns_do, i % 2);
		assert_int_equal(q.udp_size, sizes[i] < 512 ? 512 : sizes[i]);
	}
}

/* Before, behind and between other records; the first of two counts. */
static void
parse_edns_place(void **state)
{
	struct pkt p;
	struct dns_query q;

	(void)state;
	pkt_start(&p, QUERY_FLAGS | 0x2800, 1, 1, 2, 3); /* an UPDATE */
	pkt_question(&p, "zone", 6);
	pkt_rr(&p, LABEL63 ".zone", 1, 1, 0, 0);
	pkt_rr(&p, "b.zone", 16, 254, 9, 300);
	wire_put_u16(&p.w, 0xc00c); /* an owner that is a pointer */
	wire_put_bytes(&p.w, "\0\1\0\1\0\0\0\0\0\4abcd", 14);
	pkt_rr(&p, "c.zone", 28, 1, 9, 16);
	pkt_opt(&p, 2000, 0, 20);
	pkt_opt(&p, 3000, 0, 0);
	assert_int_equal(parse(&p, &q), DNS_FORWARD);
	assert_int_equal(q.opcode, DNS_OPCODE_UPDATE);
	assert_int_equal(q.qtype, 6);
	assert_true(q.has_edns);
	assert_int_equal(q.udp_size, 2000);
}

/* An OPT in another section, or with an owner, is none: RFC 6891 6.1.1-2. */
static void
parse_edns_misplaced(void **state)
{
	struct pkt p;
	struct dns_query q;

	(void)state;
	pkt_start(&p, QUERY_FLAGS, 1, 1, 1, 1);
	pkt_question(&p, "a", 1);
	pkt_opt(&p, 4096, 0, 0);
	pkt_opt(&p, 4096, 0, 0);
	pkt_rr(&p, "a", DNS_TYPE_OPT, 4096, 0, 0);
	assert_int_equal(parse(&p, &q), DNS_FORWARD);
	assert_int_equal(q.question_len, 7);
	assert_no_edns(&q);
	/* Counted, but not there; there, but not counted. */
	pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 1);
	pkt_question(&p, "a", 1);
	assert_int_equal(parse(&p, &q), DNS_FORWARD);
	assert_no_edns(&q);
	pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&p, "a", 1);
	pkt_opt(&p, 4096, 0, 0);
	assert_int_equal(parse(&p, &q), DNS_FORWARD);
	assert_no_edns(&q);
}

/* Garbage where a record should be hides what follows it. */
static void
parse_edns_garbage(void **state)
{
	const char *garbage[] = { "\x40", "\x80", "\x3f", "\xc0", "\x01" };
	struct pkt p;
	struct dns_query q;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 2);
		pkt_question(&p, "a", 1);
		wire_put_bytes(&p.w, garbage[i], 1);
		pkt_opt(&p, 4096, 0, 0);
		assert_int_equal(parse(&p, &q), DNS_FORWARD);
		assert_int_equal(q.question_len, 7);
		assert_no_edns(&q);
	}
	pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 1);
	pkt_question(&p, "a", 1);
	pkt_opt(&p, 4096, 0, 5);
	p.w.pos--; /* its length says one more than there is */
	assert_int_equal(parse(&p, &q), DNS_FORWARD);
	assert_no_edns(&q);
}

/* RFC 7873 5.4: no question, and an OPT all the same. */
static void
parse_no_question(void **state)
{
	struct pkt p;
	struct dns_query q;

	(void)state;
	pkt_start(&p, QUERY_FLAGS, 0, 0, 0, 1);
	pkt_opt(&p, 1400, 0x8000, 12);
	assert_int_equal(parse(&p, &q), DNS_FORWARD);
	assert_int_equal(q.question_len, 0);
	assert_int_equal(q.qtype, 0);
	assert_true(q.has_edns);
	assert_int_equal(q.udp_size, 1400);
}

static void
parse_several_questions(void **state)
{
	struct pkt p;
	struct dns_query q;

	(void)state;
	pkt_start(&p, QUERY_FLAGS, 3, 0, 0, 1);
	pkt_question(&p, "a.example", 252);
	pkt_question(&p, "b.example", 1);
	wire_put_u16(&p.w, 0xc00e); /* example */
	wire_put_u32(&p.w, 0x00010001);
	pkt_opt(&p, 800, 0, 0);
	assert_int_equal(parse(&p, &q), DNS_FORWARD);
	assert_int_equal(q.question_len, 15 + 15 + 6);
	assert_int_equal(q.qtype, 252);
	assert_true(q.has_edns);
	/* More than there are bytes for: nothing is known any more. */
	wire_store_u16(p.buf + 4, 6);
	assert_int_equal(parse(&p, &q), DNS_FORWARD);
	assert_int_equal(q.question_len, 0);
	assert_int_equal(q.qtype, 0);
	assert_no_edns(&q);
}

/* Parses a question whose name is these bytes; true if it is one. */
static bool
name_parses(const void *name, size_t len)
{
	struct pkt p;
	struct dns_query q;

	pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 0);
	wire_put_bytes(&p.w, name, len);
	wire_put_u32(&p.w, 0x00010001);
	assert_int_equal(parse(&p, &q), DNS_FORWARD);
	return q.question_len == len + 4;
}

static void
parse_names(void **state)
{
	uint8_t name[256];
	size_t i;

	(void)state;
	assert_true(name_parses("", 1)); /* the root */
	assert_true(name_parses("\1*", 3));
	assert_true(name_parses("\4\0.\xff ", 6)); /* any byte */
	assert_false(name_parses("\x40"
				 "a",
	    3)); /* reserved: RFC 6891 5 */
	assert_false(name_parses("\x80"
				 "a",
	    3));
	assert_false(name_parses("\xc0\x0c", 2)); /* itself */
	assert_false(name_parses("\xc0\x00", 2)); /* the header */
	assert_false(name_parses("\xc0\x0b", 2));
	assert_false(name_parses("\1a\xc0\x0c", 4)); /* its own start */
	assert_false(name_parses("\1a\xc0\x0d", 4)); /* its own middle */
	assert_false(name_parses("\xc0\x0e", 2));    /* forwards */
	assert_false(name_parses("\xff\xff", 2));
	assert_true(name_parses("\77" LABEL63, 65));
	memset(name, 1, sizeof(name));
	for (i = 0; i < 127; i++) /* 127 labels of one byte: 255 in all */
		name[2 * i + 1] = 'a';
	name[254] = 0;
	assert_true(name_parses(name, 255));
	name[252] = 2; /* a longer last label: 256 */
	name[254] = 'a';
	name[255] = 0;
	assert_false(name_parses(name, 256));
}

/* A name over pointers is as long as it is written out: 255, not 256. */
static void
parse_names_compressed_length(void **state)
{
	struct pkt p;
	struct dns_query q;
	unsigned int extra;

	(void)state;
	for (extra = 0; extra < 2; extra++) {
		pkt_start(&p, QUERY_FLAGS, 2, 0, 0, 0);
		pkt_question(&p, LABEL63 "." LABEL63 "." LABEL63, 1); /* 193 */
		wire_put_u8(&p.w, (uint8_t)(61 + extra));
		wire_put_bytes(&p.w, LABEL63, 61 + extra);
		wire_put_u16(&p.w, 0xc00c);
		wire_put_u32(&p.w, 0x00010001);
		assert_int_equal(parse(&p, &q), DNS_FORWARD);
		if (extra == 0)
			assert_int_equal(q.question_len, p.w.pos - DNS_HDR_LEN);
		else
			assert_int_equal(q.question_len, 0);
	}
}

/* A question, and n whose names are each a pointer to that of the last. */
static void
pkt_chain(struct pkt *p, uint16_t n)
{
	uint16_t at = DNS_HDR_LEN;

	pkt_start(p, QUERY_FLAGS, (uint16_t)(n + 1), 0, 0, 0);
	pkt_question(p, "a", 1);
	for (; n > 0; n--) {
		wire_put_u16(&p->w, (uint16_t)(0xc000 | at));
		at = (uint16_t)(p->w.pos - 2);
		wire_put_u32(&p->w, 0x00010001);
	}
}

/* Pointers to pointers are followed as long as they go backwards. */
static void
parse_names_chain(void **state)
{
	struct pkt p;
	struct dns_query q;

	(void)state;
	pkt_chain(&p, 30);
	assert_int_equal(parse(&p, &q), DNS_FORWARD);
	assert_int_equal(q.question_len, 7 + 30 * 6);
}

/*
 * Following all pointers of this one would take 500,000 steps for 6,000 bytes;
 * of the largest message, millions.  It is not looked at any further.
 */
static void
parse_names_too_expensive(void **state)
{
	struct pkt p;
	struct dns_query q;

	(void)state;
	pkt_chain(&p, 1000);
	assert_int_equal(parse(&p, &q), DNS_FORWARD);
	assert_int_equal(q.question_len, 0);
	assert_no_edns(&q);
}

/*
 * A pointer has to go below the part of the name that it ends, not only below
 * where the name began: else it comes round in circles.
 */
static void
parse_names_in_circles(void **state)
{
	const uint8_t targets[] = { 11, 13, 14, 15, 16, 17 };
	struct pkt p;
	struct dns_query q;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(targets); i++) {
		pkt_start(&p, QUERY_FLAGS, 2, 0, 0, 0);
		wire_put_u8(&p.w, 3); /* a label that reads as a pointer */
		wire_put_u8(&p.w, 0xc0);
		wire_put_u8(&p.w, targets[i]);
		wire_put_bytes(&p.w, "x\0\0\1\0\1", 6);
		wire_put_u16(&p.w, 0xc00d);
		wire_put_u32(&p.w, 0x00010001);
		assert_int_equal(parse(&p, &q), DNS_FORWARD);
		assert_int_equal(q.question_len, 0);
	}
}

/* At every length: forwarded, no byte behind the end read. */
static void
parse_cut_anywhere(void **state)
{
	struct guard g;
	struct pkt p;
	struct dns_query q;
	size_t len, full;

	(void)state;
	guard_open(&g);
	pkt_ordinary(&p, true);
	full = p.w.pos;
	for (len = 0; len <= full; len++) {
		assert_int_equal(
		    dns_query_parse(guard_copy(&g, p.buf, len), len, &q),
		    len < DNS_HDR_LEN ? DNS_DROP : DNS_FORWARD);
		if (len < DNS_HDR_LEN)
			continue;
		assert_int_equal(
		    q.question_len, len < DNS_HDR_LEN + 21 ? 0 : 21);
		assert_int_equal(q.has_edns, len == full);
	}
	guard_close(&g);
}

/* Every byte value, at every length up to the longest message. */
static void
parse_any_bytes(void **state)
{
	struct guard g;
	struct pkt p;
	struct dns_query q;
	size_t len;
	unsigned int fill;

	(void)state;
	guard_open(&g);
	for (fill = 0; fill < 256; fill++) {
		memset(p.buf, (int)fill, sizeof(p.buf));
		p.buf[2] &= 0x7f;
		for (len = DNS_HDR_LEN; len <= DNS_MSG_MAX;
		     len += len < 600 || len >= DNS_MSG_MAX - 2 ? 1 : 3797) {
			const uint8_t *m = guard_copy(&g, p.buf, len);

			assert_int_equal(
			    dns_query_parse(m, len, &q), DNS_FORWARD);
			assert_true(q.question_len <= len - DNS_HDR_LEN);
			assert_true(q.udp_size >= 512);
		}
	}
	guard_close(&g);
}

/* The longest message there is, its OPT at the very end. */
static void
parse_longest(void **state)
{
	struct guard g;
	struct pkt p;
	struct dns_query q;
	uint16_t n;

	(void)state;
	guard_open(&g);
	pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 0);
	pkt_question(&p, "a", 1);
	for (n = 1; p.w.pos + 11 < DNS_MSG_MAX - 21; n++)
		pkt_rr(&p, "", 1, 1, 0, 0);
	pkt_opt(&p, 4096, 0, (uint16_t)(DNS_MSG_MAX - p.w.pos - 11));
	assert_int_equal(p.w.pos, DNS_MSG_MAX);
	wire_store_u16(p.buf + 10, n);
	assert_int_equal(dns_query_parse(guard_copy(&g, p.buf, DNS_MSG_MAX),
			     DNS_MSG_MAX, &q),
	    DNS_FORWARD);
	assert_int_equal(q.udp_size, 4096);
	guard_close(&g);
}

static void
transfers_and_repeats(void **state)
{
	const struct {
		uint16_t flags, type;
		bool transfer, repeat;
	} t[] = { { QUERY_FLAGS, 1, false, true },
		{ QUERY_FLAGS, DNS_TYPE_AXFR, true, false },
		{ QUERY_FLAGS, DNS_TYPE_IXFR, true, false },
		{ 0x2000, DNS_TYPE_AXFR, false, false }, /* NOTIFY */
		{ 0x2800, 6, false, false },             /* UPDATE */
		{ 0x7800, 1, false, false } };
	struct pkt p;
	struct dns_query q;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		pkt_start(&p, t[i].flags, 1, 0, 0, 0);
		pkt_question(&p, "zone", t[i].type);
		assert_int_equal(parse(&p, &q), DNS_FORWARD);
		assert_int_equal(dns_is_transfer(&q), t[i].transfer);
		assert_int_equal(dns_may_repeat(&q), t[i].repeat);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_ordinary),
		cmocka_unit_test(parse_verdict),
		cmocka_unit_test(parse_edns_values),
		cmocka_unit_test(parse_edns_place),
		cmocka_unit_test(parse_edns_misplaced),
		cmocka_unit_test(parse_edns_garbage),
		cmocka_unit_test(parse_no_question),
		cmocka_unit_test(parse_several_questions),
		cmocka_unit_test(parse_names),
		cmocka_unit_test(parse_names_compressed_length),
		cmocka_unit_test(parse_names_chain),
		cmocka_unit_test(parse_names_in_circles),
		cmocka_unit_test(parse_names_too_expensive),
		cmocka_unit_test(parse_cut_anywhere),
		cmocka_unit_test(parse_any_bytes),
		cmocka_unit_test(parse_longest),
		cmocka_unit_test(transfers_and_repeats),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
