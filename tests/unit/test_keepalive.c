/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/listener/keepalive.c common/dns.c common/dns_edit.c */
/* edns-tcp-keepalive for clients: who is told, and what is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/dns_edit.h"
#include "dotproxy/listener/keepalive.h"
#include "tests/unit/dns_build.h"

#define TYPE_TSIG 250
#define TYPE_SIG 24

static struct pkt pkt;

static void
put_opt(uint8_t version, const char *options, size_t len)
{
	wire_put_u8(&pkt.w, 0);
	wire_put_u16(&pkt.w, DNS_TYPE_OPT);
	wire_put_u16(&pkt.w, 1232);
	wire_put_u8(&pkt.w, 0);
	wire_put_u8(&pkt.w, version);
	wire_put_u16(&pkt.w, 0);
	wire_put_u16(&pkt.w, (uint16_t)len);
	wire_put_bytes(&pkt.w, options, len);
}

static void
put_record(uint16_t type, const void *data, size_t len)
{
	wire_put_u8(&pkt.w, 0);
	wire_put_u16(&pkt.w, type);
	wire_put_u16(&pkt.w, 255);
	wire_put_u32(&pkt.w, 0);
	wire_put_u16(&pkt.w, (uint16_t)len);
	wire_put_bytes(&pkt.w, data, len);
}

static void
start(uint16_t flags, uint16_t additional)
{
	pkt_start(&pkt, flags, 1, 0, 0, additional);
	pkt_question(&pkt, "www.example", 1);
}

static void
expect_asked(bool asked)
{
	assert_int_equal(keepalive_is_asked(pkt.buf, pkt.w.pos), asked);
}

static void
test_who_asks(void **state)
{
	(void)state;
	start(QUERY_FLAGS, 0);
	expect_asked(false);
	start(QUERY_FLAGS, 1);
	put_opt(0, "", 0);
	expect_asked(false);
	start(QUERY_FLAGS, 1);
	put_opt(0, "\0\x0b\0\0", 4);
	expect_asked(true);
	start(QUERY_FLAGS,
	    1); /* behind a cookie; with a value it must not have */
	put_opt(0, "\0\x0a\0\x02hi\0\x0b\0\x02\0\0", 12);
	expect_asked(true);
	start(QUERY_FLAGS, 2); /* signed: nothing may be changed */
	put_opt(0, "\0\x0b\0\0", 4);
	put_record(TYPE_TSIG, "mac", 3);
	expect_asked(false);
	start(QUERY_FLAGS, 2);
	put_opt(0, "\0\x0b\0\0", 4);
	put_record(TYPE_SIG, "sig", 3);
	expect_asked(false);
	start(QUERY_FLAGS, 2); /* two OPT records */
	put_opt(0, "\0\x0b\0\0", 4);
	put_opt(0, "\0\x0b\0\0", 4);
	expect_asked(false);
	start(QUERY_FLAGS, 1);
	put_opt(0, "\0\x0b\0\x09", 4); /* longer than it is */
	expect_asked(false);
}

/* Puts 7 into a copy; expects these options, or no change if NULL. */
static void
expect_put(const char *options, size_t len)
{
	uint8_t buf[DNS_MSG_MAX];
	struct pkt before = pkt;
	size_t old = pkt.w.pos, n;

	memcpy(buf, pkt.buf, old);
	n = keepalive_put(buf, old, sizeof(buf), 7);
	if (options == NULL) {
		assert_int_equal(n, old);
		assert_memory_equal(buf, before.buf, old);
		return;
	}
	start(ANSWER_FLAGS, 1);
	put_opt(0, options, len);
	assert_int_equal(n, pkt.w.pos);
	assert_memory_equal(buf, pkt.buf, n);
}

static void
test_option_is_put_in_or_replaced(void **state)
{
	(void)state;
	start(ANSWER_FLAGS, 1);
	put_opt(0, "", 0);
	expect_put("\0\x0b\0\x02\0\x07", 6);
	start(ANSWER_FLAGS, 1);
	put_opt(0, "\0\x0b\0\x02\x12\x34", 6);
	expect_put("\0\x0b\0\x02\0\x07", 6);
	start(ANSWER_FLAGS, 1); /* the query's comes back: it has no value */
	put_opt(0, "\0\x0b\0\0", 4);
	expect_put("\0\x0b\0\x02\0\x07", 6);
	start(ANSWER_FLAGS, 1); /* several, among others */
	put_opt(0,
	    "\0\x0b\0\0\0\x0a\0\x02hi\0\x0b\0\x03"
	    "abc",
	    17);
	expect_put("\0\x0a\0\x02hi\0\x0b\0\x02\0\x07", 12);
}

static void
test_others_are_left_alone(void **state)
{
	static uint8_t big[DNS_MSG_MAX];
	static const uint8_t opt[DNS_OPT_LEN] = { 0, 0, 41, 4, 0xd0 };
	size_t i, len;

	(void)state;
	start(ANSWER_FLAGS, 0); /* no OPT: none is added */
	expect_put(NULL, 0);
	start(ANSWER_FLAGS, 2);
	put_opt(0, "", 0);
	put_record(TYPE_TSIG, "mac", 3);
	expect_put(NULL, 0);
	start(ANSWER_FLAGS, 2);
	put_opt(0, "", 0);
	put_record(TYPE_SIG, "sig", 3);
	expect_put(NULL, 0);
	start(ANSWER_FLAGS, 2);
	put_opt(0, "", 0);
	put_opt(0, "", 0);
	expect_put(NULL, 0);
	start(ANSWER_FLAGS, 2); /* behind it what may point to one another */
	put_opt(0, "", 0);
	put_record(2, "\xc0\x0c", 2);
	expect_put(NULL, 0);
	start(ANSWER_FLAGS, 1);
	put_opt(1, "", 0); /* a version of which nothing is known */
	expect_put(NULL, 0);
	start(ANSWER_FLAGS, 1);
	put_opt(0, "\0\x0b\0", 3);
	expect_put(NULL, 0);
	start(ANSWER_FLAGS, 1);
	put_opt(0, "", 0);
	len = pkt.w.pos;
	for (i = 0; i < len; i++) { /* cut anywhere */
		pkt.w.pos = i;
		expect_put(NULL, 0);
	}
	/* No room: nothing is lost, either. */
	start(ANSWER_FLAGS, 2);
	memcpy(big, pkt.buf, pkt.w.pos);
	len = sizeof(big) - 5;
	i = pkt.w.pos;
	pkt.w.pos = 0;
	put_record(16, "", 0);
	memcpy(big + i, pkt.buf, pkt.w.pos);
	i += pkt.w.pos;
	wire_store_u16(big + i - 2, (uint16_t)(len - i - sizeof(opt)));
	memcpy(big + len - sizeof(opt), opt, sizeof(opt));
	assert_int_equal(keepalive_put(big, len, sizeof(big), 7), len);
	wire_store_u16(big + i - 2, (uint16_t)(len - 1 - i - sizeof(opt)));
	memcpy(big + len - 1 - sizeof(opt), opt, sizeof(opt));
	assert_int_equal(keepalive_put(big, len - 1, sizeof(big), 7), len + 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_asks),
		cmocka_unit_test(test_option_is_put_in_or_replaced),
		cmocka_unit_test(test_others_are_left_alone),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
