/* SPDX-License-Identifier: ISC */
/*
 * Which answers belong to a query: dns_answer_matches().  An answer that is
 * taken for another's is the one mistake a forwarder must not make.
 */
/* LINK: common/dns.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/dns_build.h"

static bool
matches(const struct pkt *query, const struct pkt *answer)
{
	return dns_answer_matches(
	    query->buf, query->w.pos, answer->buf, answer->w.pos);
}

/* Does the answer to this question match the query for www.example.com A? */
static bool
question_matches(const char *name, uint16_t type, uint16_t class)
{
	struct pkt query, answer;

	pkt_ordinary(&query, false);
	pkt_start(&answer, ANSWER_FLAGS, 1, 0, 0, 0);
	pkt_name(&answer, name);
	wire_put_u16(&answer.w, type);
	wire_put_u16(&answer.w, class);
	return matches(&query, &answer);
}

static void
match_question(void **state)
{
	(void)state;
	assert_true(question_matches("www.example.com", 1, 1));
	assert_true(question_matches("wWw.eXaMPLE.Com", 1, 1));
	assert_false(question_matches("www.example.com", 28, 1));
	assert_false(question_matches("www.example.com", 1, 3));
	assert_false(question_matches("www.example.con", 1, 1));
	assert_false(question_matches("vww.example.com", 1, 1));
	assert_false(question_matches("ww.example.com", 1, 1));
	assert_false(question_matches("www.example", 1, 1));
	assert_false(question_matches("www.example.com.x", 1, 1));
	assert_false(question_matches("", 1, 1));
	/* Only letters have a case: '[' is '{' without its 0x20. */
	assert_false(question_matches("www.ex\001mple.com", 1, 1));
}

static void
match_case_of_letters_only(void **state)
{
	struct pkt a, b;
	unsigned int c, d;

	(void)state;
	for (c = 0; c < 256; c++) {
		for (d = 0; d < 256; d++) {
			char na[] = { 'x', (char)c, 'y', '\0' };
			char nb[] = { 'X', (char)d, 'y', '\0' };
			bool same = c == d ||
				    (c >= 'A' && c <= 'Z' && d == c + 32) ||
				    (d >= 'A' && d <= 'Z' && c == d + 32);

			if (c == '.' || d == '.' || c == 0 || d == 0)
				continue;
			pkt_start(&a, QUERY_FLAGS, 1, 0, 0, 0);
			pkt_question(&a, na, 1);
			pkt_start(&b, ANSWER_FLAGS, 1, 0, 0, 0);
			pkt_question(&b, nb, 1);
			assert_int_equal(matches(&a, &b), same);
		}
	}
}

/* QR has to be set and the opcode to be the same; the ID may differ. */
static void
match_header(void **state)
{
	struct pkt query, answer;
	unsigned int flags;

	(void)state;
	pkt_ordinary(&query, false);
	pkt_ordinary(&answer, true);
	for (flags = 0; flags <= 0xffff; flags++) {
		wire_store_u16(answer.buf, (uint16_t)flags);
		wire_store_u16(answer.buf + 2, (uint16_t)flags);
		assert_int_equal(
		    matches(&query, &answer), (flags & 0xf800) == 0x8000);
	}
}

/* RFC 7766 7: the question is compared if there is one. */
static void
match_question_count(void **state)
{
	struct pkt query, answer;
	unsigned int nq, na, i;

	(void)state;
	for (nq = 0; nq < 4; nq++) {
		for (na = 0; na < 4; na++) {
			pkt_start(&query, QUERY_FLAGS, (uint16_t)nq, 0, 0, 0);
			for (i = 0; i < nq; i++)
				pkt_question(&query, "a.b", 1);
			pkt_start(&answer, ANSWER_FLAGS, (uint16_t)na, 0, 0, 0);
			for (i = 0; i < na; i++)
				pkt_question(&answer, "A.b", 1);
			assert_int_equal(
			    matches(&query, &answer), na == 0 || na == nq);
		}
	}
}

/* One compresses, the other does not: the names are the same. */
static void
match_compressed(void **state)
{
	struct pkt query, answer;

	(void)state;
	pkt_start(&query, QUERY_FLAGS, 2, 0, 0, 0);
	pkt_question(&query, "a.example", 1);
	pkt_question(&query, "b.EXAMPLE", 28);
	pkt_start(&answer, ANSWER_FLAGS, 2, 0, 0, 0);
	pkt_question(&answer, "a.example", 1);
	wire_put_bytes(&answer.w, "\1b\xc0\x0e", 4);
	wire_put_bytes(&answer.w, "\0\34\0\1", 4);
	assert_true(matches(&query, &answer));
	wire_store_u16(query.buf + 2, ANSWER_FLAGS);
	wire_store_u16(answer.buf + 2, QUERY_FLAGS);
	assert_true(matches(&answer, &query));
	answer.buf[answer.w.pos - 3] = 29;
	assert_false(matches(&answer, &query));
	wire_store_u16(answer.buf + answer.w.pos - 6, 0xc00c);
	answer.buf[answer.w.pos - 3] = 28;
	assert_false(matches(&answer, &query));
}

/* What the query asks cannot be known: any response of its opcode is one. */
static void
match_unparsable_query(void **state)
{
	struct pkt query, answer;

	(void)state;
	pkt_start(&query, QUERY_FLAGS, 1, 0, 0, 0);
	wire_put_u8(&query.w, 0x40);
	pkt_ordinary(&answer, false);
	wire_store_u16(answer.buf + 2, ANSWER_FLAGS);
	assert_true(matches(&query, &answer));
	wire_store_u16(answer.buf + 2, ANSWER_FLAGS | 0x2000);
	assert_false(matches(&query, &answer));
}

/* An answer cut within its question is none; behind it, it may be. */
static void
match_cut_anywhere(void **state)
{
	struct guard g;
	struct pkt query, answer;
	size_t len;
	int upper;

	(void)state;
	guard_open(&g);
	pkt_ordinary(&query, true);
	for (upper = 0; upper < 2; upper++) {
		pkt_ordinary(&answer, true);
		wire_store_u16(answer.buf + 2, ANSWER_FLAGS);
		if (upper)
			answer.buf[14] = 'W';
		for (len = 0; len <= answer.w.pos; len++)
			assert_int_equal(
			    dns_answer_matches(query.buf, query.w.pos,
				guard_copy(&g, answer.buf, len), len),
			    len >= DNS_HDR_LEN + 21);
		for (len = 0; len <= query.w.pos; len++)
			assert_int_equal(
			    dns_answer_matches(guard_copy(&g, query.buf, len),
				len, answer.buf, answer.w.pos),
			    len >= DNS_HDR_LEN);
	}
	guard_close(&g);
}

/* Whatever is compared with whatever, nothing behind the end is read. */
static void
match_any_bytes(void **state)
{
	struct guard g;
	struct pkt query, answer;
	unsigned int fill;
	size_t len;

	(void)state;
	guard_open(&g);
	for (fill = 0; fill < 256; fill++) {
		memset(answer.buf, (int)fill, sizeof(answer.buf));
		answer.buf[2] = 0x80;
		memcpy(query.buf, answer.buf, sizeof(query.buf));
		query.buf[2] = 0;
		query.buf[13] ^= 0x20;
		for (len = 0; len <= DNS_MSG_MAX;
		     len += len < 600 || len >= DNS_MSG_MAX - 2 ? 1 : 3797)
			(void)dns_answer_matches(query.buf, DNS_MSG_MAX,
			    guard_copy(&g, answer.buf, len), len);
	}
	guard_close(&g);
}

/* Type and class 0 are not what a cut answer reads as. */
static void
match_cut_zeroes(void **state)
{
	struct pkt query, answer;

	(void)state;
	pkt_start(&query, QUERY_FLAGS, 1, 0, 0, 0);
	wire_put_bytes(&query.w, "\1a\0\0\0\0\0", 7);
	pkt_start(&answer, ANSWER_FLAGS, 1, 0, 0, 0);
	wire_put_bytes(&answer.w, "\1A\0\0\0\0\0", 7);
	assert_true(matches(&query, &answer));
	answer.w.pos--;
	assert_false(matches(&query, &answer));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(match_question),
		cmocka_unit_test(match_case_of_letters_only),
		cmocka_unit_test(match_header),
		cmocka_unit_test(match_question_count),
		cmocka_unit_test(match_compressed),
		cmocka_unit_test(match_unparsable_query),
		cmocka_unit_test(match_cut_anywhere),
		cmocka_unit_test(match_any_bytes),
		cmocka_unit_test(match_cut_zeroes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
