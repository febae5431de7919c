/* SPDX-License-Identifier: ISC */
/* LINK: common/dns.c dotproxy/pool/transfer.c */
/* Where a zone transfer ends, however it is cut into messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dotproxy/pool/transfer.h"
#include "tests/unit/dns_build.h"

#define NONE (-1) /* a record that is no SOA */
#define RECORDS_MAX 16
#define SOA_LEN 22

static struct pkt pkt;

static void
put_soa(uint32_t serial)
{
	pkt_rr(&pkt, "zone", DNS_TYPE_SOA, 1, 300, SOA_LEN);
	wire_store_u32(pkt.buf + pkt.w.pos - 20, serial);
}

/* An IXFR query from a serial, or without one, or an AXFR query. */
static void
begin(struct transfer *t, bool ixfr, long serial)
{
	pkt_start(&pkt, 0, 1, 0, serial != NONE, 0);
	pkt_question(&pkt, "zone", ixfr ? DNS_TYPE_IXFR : DNS_TYPE_AXFR);
	if (serial != NONE)
		put_soa((uint32_t)serial);
	transfer_init(t, ixfr, pkt.buf, pkt.w.pos);
	assert_int_equal(t->has_serial, ixfr && serial != NONE);
}

/* A message with these records. */
static void
make_part(const long *records, uint16_t n, bool question)
{
	uint16_t i;

	pkt_start(&pkt, 0x8400, question, n, 0, 0);
	if (question)
		pkt_question(&pkt, "zone", DNS_TYPE_AXFR);
	for (i = 0; i < n; i++)
		if (records[i] == NONE)
			pkt_rr(&pkt, "www.zone", 1, 1, 300, 4);
		else
			put_soa((uint32_t)records[i]);
}

static bool
feed(struct transfer *t, const long *records, uint16_t n, bool question)
{
	make_part(records, n, question);
	return transfer_is_last(t, pkt.buf, pkt.w.pos);
}

static const struct sample {
	const char *name;
	bool ixfr;
	long has; /* the client's serial */
	uint16_t n;
	long records[RECORDS_MAX];
} samples[] = {
	{ "zone", false, NONE, 5, { 7, NONE, NONE, NONE, 7 } },
	{ "empty zone", false, NONE, 2, { 7, 7 } },
	{ "no transfer", false, NONE, 1, { NONE } },
	{ "whole zone for IXFR", true, 5, 4, { 7, NONE, NONE, 7 } },
	{ "empty zone for IXFR", true, 5, 2, { 7, 7 } },
	{ "nothing new", true, 7, 1, { 7 } },
	{ "client is ahead", true, 9, 1, { 7 } },
	{ "around zero", true, 0xfffffff0, 4, { 7, 0xfffffff0, 7, 7 } },
	{ "one difference", true, 5, 7, { 7, 5, NONE, NONE, 7, NONE, 7 } },
	{ "only deleted", true, 5, 5, { 7, 5, NONE, 7, 7 } },
	{ "two differences", true, 5, 11,
	    { 7, 5, NONE, 6, NONE, 6, NONE, NONE, 7, NONE, 7 } },
	{ "serial not said", true, NONE, 5, { 7, 5, NONE, 7, 7 } },
};

#define NSAMPLES (sizeof(samples) / sizeof(samples[0]))

/* Every way to cut it in two, and each record by itself. */
static void
ends_with_its_last_record(void **state)
{
	const struct sample *s;
	struct transfer t;
	uint16_t k;

	(void)state;
	for (s = samples; s < samples + NSAMPLES; s++) {
		begin(&t, s->ixfr, s->has);
		if (!feed(&t, s->records, s->n, true))
			fail_msg("%s: no end", s->name);
		for (k = 1; k < s->n; k++) {
			begin(&t, s->ixfr, s->has);
			if (feed(&t, s->records, k, true))
				fail_msg("%s: ends after %u", s->name, k);
			if (!feed(&t, s->records + k, s->n - k, false))
				fail_msg("%s: no end at %u", s->name, k);
		}
		begin(&t, s->ixfr, s->has);
		for (k = 0; k < s->n; k++)
			if (feed(&t, s->records + k, 1, k == 0) !=
			    (k == s->n - 1))
				fail_msg("%s: wrong at %u", s->name, k);
	}
}

static void
ends_with_an_error_or_with_nothing(void **state)
{
	static const long some[] = { 7, NONE };
	struct transfer t;

	(void)state;
	begin(&t, false, NONE);
	assert_true(feed(&t, NULL, 0, true));
	begin(&t, false, NONE);
	assert_false(feed(&t, some, 2, true));
	assert_false(feed(&t, NULL, 0, false)); /* empty in the middle */
	make_part(NULL, 0, false);
	pkt.buf[3] |= DNS_RCODE_SERVFAIL;
	assert_true(transfer_is_last(&t, pkt.buf, pkt.w.pos));
}

/* Read at the edge of a page; what is cut has no end. */
static void
garbage_has_no_end(void **state)
{
	const struct sample *s = &samples[10];
	static const long end[] = { 7 };
	struct transfer t;
	struct guard g;
	uint8_t *at;
	size_t len;

	(void)state;
	guard_open(&g);
	make_part(s->records, s->n, true);
	for (len = DNS_HDR_LEN; len < pkt.w.pos; len++) {
		begin(&t, true, 5);
		make_part(s->records, s->n, true);
		at = guard_copy(&g, pkt.buf, len);
		assert_false(transfer_is_last(&t, at, len));
		assert_int_equal(t.part, TRANSFER_LOST);
		assert_false(feed(&t, end, 1, false));
	}
	/* Too short for a SOA. */
	pkt_start(&pkt, 0x8400, 0, 1, 0, 0);
	pkt_rr(&pkt, "zone", DNS_TYPE_SOA, 1, 300, SOA_LEN - 1);
	begin(&t, false, NONE);
	pkt_start(&pkt, 0x8400, 0, 1, 0, 0);
	pkt_rr(&pkt, "", DNS_TYPE_SOA, 1, 300, SOA_LEN - 1);
	at = guard_copy(&g, pkt.buf, pkt.w.pos);
	assert_false(transfer_is_last(&t, at, pkt.w.pos));
	assert_int_equal(t.part, TRANSFER_LOST);
	guard_close(&g);
}

static void
credit_never_exceeds_what_was_sent(void **state)
{
	struct transfer t;

	(void)state;
	begin(&t, false, NONE);
	transfer_charge(&t, 1000);
	transfer_credit(&t, 400);
	assert_int_equal(t.unpaid, 600);
	transfer_credit(&t, UINT32_MAX);
	assert_int_equal(t.unpaid, 0);
	transfer_charge(&t, 10);
	assert_int_equal(t.unpaid, 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_with_its_last_record),
		cmocka_unit_test(ends_with_an_error_or_with_nothing),
		cmocka_unit_test(garbage_has_no_end),
		cmocka_unit_test(credit_never_exceeds_what_was_sent),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
