/* SPDX-License-Identifier: ISC */
/*
 * The editing of OPT records: what may be edited, and that nothing else than
 * what was meant changes, in messages that end where a page ends.
 */
/* LINK: common/dns.c common/dns_edit.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/dns_edit.h"
#include "tests/unit/dns_build.h"

#define OTHER 65001 /* an option nobody knows */

/* An OPT record whose options follow. */
static void
put_opt(struct pkt *p, uint32_t ttl, uint16_t rdlen)
{
	wire_put_u8(&p->w, 0);
	wire_put_u16(&p->w, DNS_TYPE_OPT);
	wire_put_u16(&p->w, 1232);
	wire_put_u32(&p->w, ttl);
	wire_put_u16(&p->w, rdlen);
}

static void
put_option(struct pkt *p, uint16_t code, const char *data)
{
	wire_put_u16(&p->w, code);
	wire_put_u16(&p->w, (uint16_t)strlen(data));
	wire_put_bytes(&p->w, data, strlen(data));
}

/* A record whose owner is a pointer, with four bytes of data. */
static void
put_pointed(struct pkt *p, uint16_t type, size_t target)
{
	wire_put_u16(&p->w, (uint16_t)(0xc000 | target));
	wire_put_u16(&p->w, type);
	wire_put_u16(&p->w, 1);
	wire_put_u32(&p->w, 60);
	wire_put_u16(&p->w, 4);
	wire_put_u32(&p->w, 0x0a000001);
}

/* Whether it may be edited; no byte of it is changed by asking. */
static bool
may_edit(const struct pkt *p)
{
	struct dns_edit e;
	struct guard g;
	uint8_t *msg;
	bool may;

	guard_open(&g);
	msg = guard_copy(&g, p->buf, p->w.pos);
	may = dns_edit_begin(&e, msg, p->w.pos, p->w.pos);
	assert_memory_equal(msg, p->buf, p->w.pos);
	guard_close(&g);
	return may;
}

static void
begin(struct dns_edit *e, struct pkt *p)
{
	assert_true(dns_edit_begin(e, p->buf, p->w.pos, sizeof(p->buf)));
}

static void
assert_same(const struct dns_edit *e, const struct pkt *want)
{
	assert_int_equal(e->len, want->w.pos);
	assert_memory_equal(e->msg, want->buf, want->w.pos);
}

/* A query with an OPT of these options, by code; 0 ends them. */
static void
with_options(struct pkt *p, const uint16_t *codes)
{
	uint16_t rdlen = 0;
	size_t i;

	for (i = 0; codes[i] != 0; i++)
		rdlen += DNS_OPTION_HDR_LEN + 3;
	pkt_start(p, QUERY_FLAGS, 1, 0, 0, 1);
	pkt_question(p, "www.example.com", 1);
	put_opt(p, 0x8000, rdlen);
	for (i = 0; codes[i] != 0; i++)
		put_option(p, codes[i], "abc");
}

/* The last one is 0. */
#define CODES(...) ((const uint16_t[]){ __VA_ARGS__, 0 })

static void
opt_is_added_and_removed_again(void **state)
{
	struct dns_edit e;
	struct pkt p, want;

	(void)state;
	pkt_ordinary(&p, false);
	begin(&e, &p);
	assert_false(dns_edit_has_opt(&e));
	assert_int_equal(dns_edit_rcode_high(&e), 0);
	assert_true(dns_edit_add_opt(&e, 1232));
	assert_false(dns_edit_add_opt(&e, 1232));
	pkt_ordinary(&want, true);
	assert_same(&e, &want);
	assert_true(dns_edit_put(&e, DNS_OPTION_ECS, NULL, 4));
	dns_edit_remove_opt(&e);
	dns_edit_remove_opt(&e);
	pkt_ordinary(&want, false);
	assert_same(&e, &want);
	assert_false(dns_edit_put(&e, DNS_OPTION_ECS, NULL, 4));
	dns_edit_remove(&e, DNS_OPTION_ECS);
	assert_same(&e, &want);
}

static void
option_goes_behind_the_others(void **state)
{
	struct dns_edit e;
	struct pkt p, want;

	(void)state;
	with_options(&p, CODES(OTHER, DNS_OPTION_ECS));
	begin(&e, &p);
	assert_true(
	    dns_edit_put(&e, DNS_OPTION_KEEPALIVE, (const uint8_t *)"abc", 3));
	with_options(&want, CODES(OTHER, DNS_OPTION_ECS, DNS_OPTION_KEEPALIVE));
	assert_same(&e, &want);
}

static void
options_are_removed_wherever_they_are(void **state)
{
	struct dns_edit e;
	struct pkt p, want;

	(void)state;
	with_options(&p, CODES(12, OTHER, 12, 12, 11, 12));
	with_options(&want, CODES(OTHER, 11));
	begin(&e, &p);
	dns_edit_remove(&e, DNS_OPTION_PADDING);
	assert_same(&e, &want);
	dns_edit_remove(&e, DNS_OPTION_ECS);
	assert_same(&e, &want);
	with_options(&p, CODES(12, 12));
	with_options(&want, CODES(0));
	begin(&e, &p);
	dns_edit_remove(&e, DNS_OPTION_PADDING);
	assert_same(&e, &want);
}

static void
options_are_found_and_counted(void **state)
{
	const uint8_t *data = NULL;
	uint16_t len = 0;
	struct dns_edit e;
	struct pkt p;

	(void)state;
	with_options(&p, CODES(11, OTHER));
	put_option(&p, 8, "first");
	put_option(&p, 8, "");
	wire_store_u16(p.buf + 33 + 9, 2 * 7 + 9 + 4);
	begin(&e, &p);
	assert_int_equal(dns_edit_find(&e, DNS_OPTION_ECS, &data, &len), 2);
	assert_int_equal(len, 5);
	assert_memory_equal(data, "first", 5);
	assert_int_equal(dns_edit_find(&e, DNS_OPTION_PADDING, &data, &len), 0);
	pkt_ordinary(&p, false);
	begin(&e, &p);
	assert_int_equal(dns_edit_find(&e, DNS_OPTION_ECS, &data, &len), 0);
}

/* Records behind the OPT move along, if nothing can point to them. */
static void
records_behind_the_opt_are_moved(void **state)
{
	struct dns_edit e;
	struct pkt p, want;

	(void)state;
	pkt_start(&p, ANSWER_FLAGS, 1, 0, 0, 3);
	pkt_question(&p, "www.example.com", 1);
	put_opt(&p, 0x05008000, 8);
	put_option(&p, 12, "pads");
	put_pointed(&p, 1, 12);
	pkt_rr(&p, "own.name", DNS_TYPE_RRSIG, 1, 60, 20);
	begin(&e, &p);
	assert_int_equal(dns_edit_rcode_high(&e), 5);
	dns_edit_remove(&e, DNS_OPTION_PADDING);
	pkt_start(&want, ANSWER_FLAGS, 1, 0, 0, 3);
	pkt_question(&want, "www.example.com", 1);
	put_opt(&want, 0x05008000, 0);
	put_pointed(&want, 1, 12);
	pkt_rr(&want, "own.name", DNS_TYPE_RRSIG, 1, 60, 20);
	assert_same(&e, &want);
	assert_true(dns_edit_put(&e, 12, (const uint8_t *)"pads", 4));
	assert_same(&e, &p);
	dns_edit_remove_opt(&e);
	pkt_start(&want, ANSWER_FLAGS, 1, 0, 0, 2);
	pkt_question(&want, "www.example.com", 1);
	put_pointed(&want, 1, 12);
	pkt_rr(&want, "own.name", DNS_TYPE_RRSIG, 1, 60, 20);
	assert_same(&e, &want);
}

static void
pointers_behind_the_opt_forbid_it(void **state)
{
	struct pkt p;
	size_t opt, after;

	(void)state;
	for (after = 0; after < 3; after++) {
		pkt_start(&p, ANSWER_FLAGS, 1, 0, 0, 3);
		pkt_question(&p, "www.example.com", 1);
		opt = p.w.pos;
		put_opt(&p, 0, 0);
		pkt_rr(&p, "own.name", DNS_TYPE_AAAA, 1, 60, 16);
		if (after == 0) /* before it */
			put_pointed(&p, 1, opt - 1);
		else if (after == 1) /* behind it */
			put_pointed(&p, 1, opt + DNS_OPT_LEN);
		else /* data that may be compressed */
			put_pointed(&p, 2, 12);
		assert_int_equal(may_edit(&p), after == 0);
	}
}

static void
record_before_the_opt_may_be_any(void **state)
{
	struct pkt p;

	(void)state;
	pkt_start(&p, ANSWER_FLAGS, 1, 1, 1, 2);
	pkt_question(&p, "www.example.com", 1);
	put_pointed(&p, 5, 12);
	put_pointed(&p, 2, 33);
	put_pointed(&p, 33, 12);
	put_opt(&p, 0, 0);
	assert_true(may_edit(&p));
}

static void
signed_message_is_left_alone(void **state)
{
	static const uint16_t types[] = { DNS_TYPE_TSIG, DNS_TYPE_SIG };
	struct pkt p;
	size_t i;
	int opt;

	(void)state;
	for (i = 0; i < 2; i++)
		for (opt = 0; opt < 2; opt++) {
			pkt_start(
			    &p, QUERY_FLAGS, 1, 0, 0, (uint16_t)(1 + opt));
			pkt_question(&p, "www.example.com", 1);
			if (opt)
				pkt_opt(&p, 1232, 0, 0);
			pkt_rr(&p, "", types[i], 255, 0, 30);
			assert_false(may_edit(&p));
		}
}

static void
opt_where_none_belongs(void **state)
{
	struct pkt p;
	int where;

	(void)state;
	for (where = 0; where < 2; where++) {
		pkt_start(&p, QUERY_FLAGS, 1, where == 0, where == 1, 0);
		pkt_question(&p, "www.example.com", 1);
		pkt_opt(&p, 1232, 0, 0);
		assert_false(may_edit(&p));
	}
	/* Two, and one that is not the root's. */
	pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 2);
	pkt_question(&p, "www.example.com", 1);
	pkt_opt(&p, 1232, 0, 0);
	pkt_opt(&p, 1232, 0, 0);
	assert_false(may_edit(&p));
	pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 1);
	pkt_question(&p, "www.example.com", 1);
	pkt_rr(&p, "x", DNS_TYPE_OPT, 1232, 0, 0);
	assert_false(may_edit(&p));
	/* Of version 1. */
	pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 1);
	pkt_question(&p, "www.example.com", 1);
	pkt_opt(&p, 1232, 0x10000, 0);
	assert_false(may_edit(&p));
}

static void
option_lengths_that_lie(void **state)
{
	struct pkt p;
	uint16_t n;

	(void)state;
	for (n = 0; n < 20; n++) {
		with_options(&p, CODES(OTHER, 12));
		wire_store_u16(p.buf + 33 + DNS_OPT_LEN + 2, n);
		/* 3 as it is, and 10 takes the second one in. */
		assert_int_equal(may_edit(&p), n == 3 || n == 10);
	}
}

/* Cut anywhere, or with bytes left over, or with a count that is wrong. */
static void
what_does_not_add_up(void **state)
{
	struct pkt p;
	size_t len;
	uint16_t n;

	(void)state;
	with_options(&p, CODES(OTHER, 12));
	len = p.w.pos;
	assert_true(may_edit(&p));
	for (p.w.pos = 0; p.w.pos < len; p.w.pos++)
		assert_false(may_edit(&p));
	p.w.pos = len + 1;
	p.buf[len] = 0;
	assert_false(may_edit(&p));
	p.w.pos = len;
	for (n = 4; n <= 10; n = (uint16_t)(n + 2)) {
		with_options(&p, CODES(OTHER, 12));
		wire_store_u16(
		    p.buf + n, (uint16_t)(wire_load_u16(p.buf + n) + 1));
		assert_false(may_edit(&p));
	}
}

static void
message_without_question_is_edited(void **state)
{
	struct dns_edit e;
	struct pkt p;

	(void)state;
	pkt_start(&p, QUERY_FLAGS, 0, 0, 0, 0);
	begin(&e, &p);
	assert_true(dns_edit_add_opt(&e, 512));
	assert_int_equal(e.len, DNS_HDR_LEN + DNS_OPT_LEN);
}

/* A message of len bytes with an OPT that has one option. */
static void
of_length(struct pkt *p, size_t len)
{
	size_t rest;

	pkt_start(p, QUERY_FLAGS, 1, 0, 0, 1);
	pkt_question(p, "www.example.com", 1);
	rest = len - p->w.pos - DNS_OPT_LEN;
	put_opt(p, 0, (uint16_t)rest);
	wire_put_u16(&p->w, OTHER);
	wire_put_u16(&p->w, (uint16_t)(rest - DNS_OPTION_HDR_LEN));
	(void)wire_put_space(&p->w, rest - DNS_OPTION_HDR_LEN);
	assert_int_equal(p->w.pos, len);
}

static void
no_room_is_to_the_octet(void **state)
{
	struct dns_edit e;
	struct pkt p;

	(void)state;
	of_length(&p, DNS_MSG_MAX - 7);
	begin(&e, &p);
	assert_false(dns_edit_put(&e, DNS_OPTION_PADDING, NULL, 4));
	assert_int_equal(e.len, DNS_MSG_MAX - 7);
	assert_true(dns_edit_put(&e, DNS_OPTION_PADDING, NULL, 3));
	assert_int_equal(e.len, DNS_MSG_MAX);
	assert_false(dns_edit_put(&e, DNS_OPTION_PADDING, NULL, 0));
	/* What the caller has may be less. */
	pkt_ordinary(&p, false);
	assert_true(
	    dns_edit_begin(&e, p.buf, p.w.pos, p.w.pos + DNS_OPT_LEN - 1));
	assert_false(dns_edit_add_opt(&e, 1232));
	assert_true(dns_edit_begin(&e, p.buf, p.w.pos, p.w.pos + DNS_OPT_LEN));
	assert_true(dns_edit_add_opt(&e, 1232));
	assert_false(dns_edit_put(&e, DNS_OPTION_PADDING, NULL, 0));
	assert_true(dns_edit_begin(&e, p.buf, e.len, 0));
	assert_false(dns_edit_put(&e, DNS_OPTION_PADDING, NULL, 0));
	dns_edit_remove_opt(&e);
	assert_int_equal(e.len, p.w.pos);
	of_length(&p, DNS_MSG_MAX);
	p.buf[DNS_MSG_MAX] = 0;
	assert_false(dns_edit_begin(&e, p.buf, DNS_MSG_MAX + 1, sizeof(p.buf)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opt_is_added_and_removed_again),
		cmocka_unit_test(option_goes_behind_the_others),
		cmocka_unit_test(options_are_removed_wherever_they_are),
		cmocka_unit_test(options_are_found_and_counted),
		cmocka_unit_test(records_behind_the_opt_are_moved),
		cmocka_unit_test(pointers_behind_the_opt_forbid_it),
		cmocka_unit_test(record_before_the_opt_may_be_any),
		cmocka_unit_test(signed_message_is_left_alone),
		cmocka_unit_test(opt_where_none_belongs),
		cmocka_unit_test(option_lengths_that_lie),
		cmocka_unit_test(what_does_not_add_up),
		cmocka_unit_test(message_without_question_is_edited),
		cmocka_unit_test(no_room_is_to_the_octet),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
