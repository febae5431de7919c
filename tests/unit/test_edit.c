/* SPDX-License-Identifier: ISC */
/*
 * What an upstream sees of a query with the privacy options, and that the
 * client sees nothing of them.  The upstream is an echo: the query with QR set.
 */
/* LINK: common/dns.c common/dns_edit.c dotproxy/pool/edit.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/dns_edit.h"
#include "dotproxy/pool/edit.h"
#include "tests/unit/dns_build.h"

static const struct conf_edit all = { true, true, true };
static const struct conf_edit padding = { .padding = true };
static const struct conf_edit keepalive = { .keepalive = true };
static const struct conf_edit strip_ecs = { .strip_ecs = true };

/* A message after its edit. */
struct edited {
	uint8_t msg[DNS_MSG_MAX + EDIT_GROWTH_MAX];
	size_t len;
	uint8_t put;
};

static void
edit(struct edited *x, const struct conf_edit *conf, const struct pkt *p)
{
	memset(x->msg, 0x5a, sizeof(x->msg));
	memcpy(x->msg, p->buf, p->w.pos);
	x->put = 0xff;
	x->len = edit_query(conf, x->msg, p->w.pos, &x->put);
}

/* The options and their data, in hexadecimal; "-" without an OPT record. */
static const char *
options(const struct edited *x, char out[200])
{
	static uint8_t copy[DNS_MSG_MAX];
	struct dns_edit e;
	size_t at;

	memcpy(copy, x->msg, x->len);
	assert_true(dns_edit_begin(&e, copy, x->len, x->len));
	(void)snprintf(out, 200, "-");
	for (at = e.opt + DNS_OPT_LEN; at < e.opt_end; at++)
		(void)snprintf(
		    out + 2 * (at - e.opt - DNS_OPT_LEN), 3, "%02x", copy[at]);
	if (dns_edit_has_opt(&e) && e.opt_end == e.opt + DNS_OPT_LEN)
		out[0] = '\0';
	return out;
}

/* A query with these octets as the options of its OPT record. */
static void
query_with(struct pkt *p, const char *bytes, size_t len)
{
	pkt_start(p, QUERY_FLAGS, 1, 0, 0, 1);
	pkt_question(p, "www.example.com", 1);
	pkt_opt(p, 1400, 0x8000, (uint16_t)len);
	memcpy(p->buf + p->w.pos - len, bytes, len);
}

static void
assert_left_alone(const struct pkt *p)
{
	struct edited x;

	edit(&x, &all, p);
	assert_int_equal(x.put, 0);
	assert_int_equal(x.len, p->w.pos);
	assert_memory_equal(x.msg, p->buf, p->w.pos);
}

/* The client gets its own octets back, but for QR. */
static void
assert_echo_is(struct edited *x, const struct pkt *want)
{
	x->msg[2] |= 0x80;
	x->len = edit_answer(x->put, x->msg, x->len);
	assert_int_equal(x->len, want->w.pos);
	assert_int_equal(x->msg[2], want->buf[2] | 0x80);
	x->msg[2] = want->buf[2];
	assert_memory_equal(x->msg, want->buf, want->w.pos);
}

static void
queries_of_any_size_have_few(void **state)
{
	char name[256];
	struct edited x;
	struct pkt p;
	size_t n;
	int opt;

	(void)state;
	for (opt = 0; opt < 2; opt++)
		for (n = 1; n < 64; n++) {
			memset(name, 'a', n);
			name[n] = '\0';
			pkt_start(&p, QUERY_FLAGS, 1, 0, 0, (uint16_t)opt);
			pkt_question(&p, name, 1);
			if (opt)
				pkt_opt(&p, 1232, 0, 0);
			edit(&x, &padding, &p);
			assert_int_equal(x.len, EDIT_BLOCK);
			assert_int_equal(x.put, opt ? EDIT_PADDING : EDIT_OPT);
			assert_echo_is(&x, &p);
		}
}

/* At 128 without padding, and one octet to either side of its header. */
static void
padding_ends_on_the_block(void **state)
{
	static const struct {
		size_t before, after;
	} of[] = { { 123, 128 }, { 124, 128 }, { 125, 256 }, { 128, 256 },
		{ 252, 256 }, { 253, 384 } };
	char bytes[300] = "\xfd\xe9";
	struct edited x;
	struct pkt p;
	size_t i, len;

	(void)state;
	for (i = 0; i < 6; i++) {
		len = of[i].before - 33 - DNS_OPT_LEN;
		bytes[2] = (char)((len - 4) >> 8);
		bytes[3] = (char)(len - 4);
		query_with(&p, bytes, len);
		assert_int_equal(p.w.pos, of[i].before);
		edit(&x, &padding, &p);
		assert_int_equal(x.len, of[i].after);
		assert_true(x.len <= p.w.pos + EDIT_GROWTH_MAX);
		assert_echo_is(&x, &p);
	}
}

static void
padding_of_the_client_is_made_longer(void **state)
{
	struct edited x;
	struct pkt p;
	char text[200];

	(void)state;
	query_with(&p, "\0\x0c\0\2zz\xfd\xe9\0\1k", 11);
	edit(&x, &padding, &p);
	assert_int_equal(x.len, EDIT_BLOCK);
	assert_int_equal(x.put, 0);
	assert_memory_equal(options(&x, text), "fde900016b000c004b0000", 22);
	/* It is never made shorter. */
	query_with(&p, "", 0);
	wire_store_u16(p.buf + p.w.pos - 2, 104);
	wire_put_u16(&p.w, DNS_OPTION_PADDING);
	wire_put_u16(&p.w, 100);
	(void)wire_put_space(&p.w, 100);
	assert_int_equal(p.w.pos, 148);
	edit(&x, &padding, &p);
	assert_int_equal(x.len, 256);
	assert_int_equal(x.put, 0);
}

static void
longest_queries_are_padded_as_far_as_there_is_room(void **state)
{
	static const size_t lens[] = { 65407, 65500, 65530, 65531, 65532, 65534,
		65535 };
	struct edited x;
	struct pkt p;
	size_t i, len;

	(void)state;
	for (i = 0; i < 7; i++) {
		len = lens[i] - 33 - DNS_OPT_LEN;
		query_with(&p, "", 0);
		wire_store_u16(p.buf + p.w.pos - 2, (uint16_t)len);
		wire_put_u16(&p.w, 65001);
		wire_put_u16(&p.w, (uint16_t)(len - 4));
		(void)wire_put_space(&p.w, len - 4);
		edit(&x, &padding, &p);
		if (lens[i] <= 65404)
			assert_int_equal(x.len, 65408);
		else
			assert_int_equal(
			    x.len, lens[i] <= 65531 ? 65535 : lens[i]);
		assert_echo_is(&x, &p);
	}
}

static void
idle_time_is_asked_for(void **state)
{
	struct edited x;
	struct pkt p;
	char text[200];

	(void)state;
	pkt_ordinary(&p, false);
	edit(&x, &keepalive, &p);
	assert_string_equal(options(&x, text), "000b0000");
	assert_echo_is(&x, &p);
	pkt_ordinary(&p, true);
	edit(&x, &keepalive, &p);
	assert_string_equal(options(&x, text), "000b0000");
	assert_int_equal(x.put, EDIT_KEEPALIVE);
	assert_echo_is(&x, &p);
	/* The client asks itself, and is told. */
	query_with(&p, "\0\x0b\0\0", 4);
	edit(&x, &keepalive, &p);
	assert_int_equal(x.put, 0);
	assert_int_equal(x.len, p.w.pos);
	assert_echo_is(&x, &p);
}

static void
subnet_is_hidden(void **state)
{
	struct edited x;
	struct pkt p;
	char text[200];

	(void)state;
	/* 192.0.2.0/24, twice, around another option. */
	query_with(&p,
	    "\0\x08\0\7\0\1\x18\0\xc0\0\2\xfd\xe9\0\0\0\x08\0\7\0\1\x18\0\xc0"
	    "\0\2",
	    26);
	edit(&x, &strip_ecs, &p);
	assert_string_equal(options(&x, text), "fde90000"
					       "0008000400010000");
	assert_int_equal(x.put, EDIT_ECS);
	query_with(&p, "\xfd\xe9\0\0", 4);
	assert_echo_is(&x, &p);
	/* None, and no OPT either. */
	edit(&x, &strip_ecs, &p);
	assert_string_equal(options(&x, text), "fde90000"
					       "0008000400010000");
	assert_echo_is(&x, &p);
	pkt_ordinary(&p, false);
	edit(&x, &strip_ecs, &p);
	assert_string_equal(options(&x, text), "0008000400010000");
	assert_echo_is(&x, &p);
}

static void
subnet_of_another_class(void **state)
{
	struct edited x;
	struct pkt p;
	char text[200];

	(void)state;
	query_with(&p, "\xfd\xe9\0\0", 4);
	p.buf[32] = 3; /* CH */
	edit(&x, &strip_ecs, &p);
	assert_int_equal(x.put, 0);
	assert_echo_is(&x, &p);
	query_with(&p, "\0\x08\0\7\0\1\x18\0\xc0\0\2", 11);
	p.buf[32] = 3;
	edit(&x, &strip_ecs, &p);
	assert_string_equal(options(&x, text), "0008000400010000");
	assert_int_equal(x.put, EDIT_ECS);
}

/* It says that it is nobody itself, and sees the answer to that. */
static void
subnet_of_nobody_is_left(void **state)
{
	struct edited x;
	struct pkt p;

	(void)state;
	query_with(&p, "\0\x08\0\4\0\2\0\0", 8);
	edit(&x, &strip_ecs, &p);
	assert_int_equal(x.put, 0);
	assert_int_equal(x.len, p.w.pos);
	assert_echo_is(&x, &p);
	/* Not so if there is another one beside it. */
	query_with(&p, "\0\x08\0\4\0\2\0\0\0\x08\0\5\0\1\x08\0\x0a", 17);
	edit(&x, &strip_ecs, &p);
	assert_int_equal(x.put, EDIT_ECS);
	/* Nor if it is too short to say anything. */
	query_with(&p, "\0\x08\0\0", 4);
	edit(&x, &strip_ecs, &p);
	assert_int_equal(x.put, EDIT_ECS);
}

static void
everything_at_once(void **state)
{
	struct edited x;
	struct pkt p;
	char text[200];

	(void)state;
	query_with(&p,
	    "\0\x0a\0\x08"
	    "cookie!!",
	    12);
	edit(&x, &all, &p);
	assert_int_equal(x.len, EDIT_BLOCK);
	assert_int_equal(x.put, EDIT_ECS | EDIT_KEEPALIVE | EDIT_PADDING);
	assert_memory_equal(options(&x, text),
	    "000a0008636f6f6b69652121"
	    "0008000400010000"
	    "000b0000"
	    "000c",
	    52);
	/* DO and the size are the client's. */
	assert_memory_equal(x.msg + 33, "\0\0\x29\x05\x78\0\0\x80\0", 9);
	assert_echo_is(&x, &p);
}

static void
what_is_odd_goes_as_it_came(void **state)
{
	struct pkt p;
	uint8_t opcode, section;

	(void)state;
	for (opcode = 1; opcode < 16; opcode++) {
		pkt_ordinary(&p, true);
		p.buf[2] = (uint8_t)(opcode << 3);
		assert_left_alone(&p);
	}
	for (section = 1; section < 4; section++) {
		pkt_start(&p, QUERY_FLAGS, 1, section == 1, section == 2,
		    section == 3);
		pkt_question(&p, "www.example.com", 1);
		pkt_rr(&p, "www.example.com", 1, 1, 60, 4);
		assert_left_alone(&p);
		/* And with an OPT behind it. */
		pkt_opt(&p, 1232, 0, 0);
		wire_store_u16(p.buf + 10, section == 3 ? 2 : 1);
		assert_left_alone(&p);
	}
	pkt_start(&p, QUERY_FLAGS, 0, 0, 0, 0);
	assert_left_alone(&p);
	pkt_start(&p, QUERY_FLAGS, 0, 0, 0, 1);
	pkt_opt(&p, 1232, 0, 0);
	assert_left_alone(&p);
	pkt_start(&p, QUERY_FLAGS, 2, 0, 0, 0);
	pkt_question(&p, "www.example.com", 1);
	pkt_question(&p, "www.example.com", 1);
	assert_left_alone(&p);
	pkt_start(&p, QUERY_FLAGS, 1, 0, 0, 2);
	pkt_question(&p, "www.example.com", 1);
	pkt_opt(&p, 1232, 0, 0);
	pkt_rr(&p, "key", DNS_TYPE_TSIG, 255, 0, 40);
	assert_left_alone(&p);
	pkt_ordinary(&p, false);
	wire_put_u8(&p.w, 0);
	assert_left_alone(&p);
}

/* An answer with this OPT, after "padding" and so on. */
static void
answer_with(
    struct edited *x, uint8_t put, uint32_t ttl, const char *bytes, size_t len)
{
	struct pkt p;

	pkt_start(&p, ANSWER_FLAGS, 1, 1, 0, 1);
	pkt_question(&p, "www.example.com", 1);
	pkt_rr(&p, "www.example.com", 1, 1, 60, 4);
	pkt_opt(&p, 1232, ttl, (uint16_t)len);
	memcpy(p.buf + p.w.pos - len, bytes, len);
	memcpy(x->msg, p.buf, p.w.pos);
	x->len = edit_answer(put, x->msg, p.w.pos);
}

static void
only_what_was_put_in_is_taken_out(void **state)
{
	static const char three[] =
	    "\0\x0b\0\2\0\x64\0\x0c\0\3\0\0\0\0\x08\0\4\0\1\0\0";
	struct edited x;
	char text[200];

	(void)state;
	answer_with(&x, 0, 0, three, 21);
	assert_string_equal(options(&x, text), "000b00020064"
					       "000c0003000000"
					       "0008000400010000");
	answer_with(&x, EDIT_PADDING, 0, three, 21);
	assert_string_equal(options(&x, text), "000b00020064"
					       "0008000400010000");
	answer_with(&x, EDIT_KEEPALIVE, 0, three, 21);
	assert_string_equal(options(&x, text), "000c0003000000"
					       "0008000400010000");
	answer_with(&x, EDIT_ECS, 0, three, 21);
	assert_string_equal(options(&x, text), "000b00020064"
					       "000c0003000000");
	answer_with(&x, EDIT_ECS | EDIT_PADDING | EDIT_KEEPALIVE, 0, three, 21);
	assert_string_equal(options(&x, text), "");
	answer_with(&x, EDIT_OPT, 0, three, 21);
	assert_string_equal(options(&x, text), "-");
}

/* BADVERS is 16: without EDNS it would look like NOERROR. */
static void
error_that_only_edns_can_tell_is_servfail(void **state)
{
	struct edited x;

	(void)state;
	answer_with(&x, EDIT_OPT, 0x01000000, "", 0);
	assert_int_equal(x.msg[3] & 0x0f, DNS_RCODE_SERVFAIL);
	answer_with(&x, EDIT_PADDING, 0x01000000, "", 0);
	assert_int_equal(x.msg[3] & 0x0f, DNS_RCODE_NOERROR);
	answer_with(&x, EDIT_OPT, 0, "", 0);
	assert_int_equal(x.msg[3], ANSWER_FLAGS & 0xff);
}

static void
answer_that_is_odd_goes_as_it_came(void **state)
{
	struct edited x;
	uint8_t before[100];
	size_t len;

	(void)state;
	answer_with(&x, 0, 0, "\0\x0c\0\4\0\0\0", 7); /* a length that lies */
	len = x.len;
	memcpy(before, x.msg, len);
	assert_int_equal(edit_answer(EDIT_OPT | EDIT_PADDING, x.msg, len), len);
	assert_memory_equal(x.msg, before, len);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queries_of_any_size_have_few),
		cmocka_unit_test(padding_ends_on_the_block),
		cmocka_unit_test(padding_of_the_client_is_made_longer),
		cmocka_unit_test(
		    longest_queries_are_padded_as_far_as_there_is_room),
		cmocka_unit_test(idle_time_is_asked_for),
		cmocka_unit_test(subnet_is_hidden),
		cmocka_unit_test(subnet_of_another_class),
		cmocka_unit_test(subnet_of_nobody_is_left),
		cmocka_unit_test(everything_at_once),
		cmocka_unit_test(what_is_odd_goes_as_it_came),
		cmocka_unit_test(only_what_was_put_in_is_taken_out),
		cmocka_unit_test(error_that_only_edns_can_tell_is_servfail),
		cmocka_unit_test(answer_that_is_odd_goes_as_it_came),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
