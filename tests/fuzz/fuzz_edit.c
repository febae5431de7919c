/* SPDX-License-Identifier: ISC */
/* LINK: common/dns.c common/dns_edit.c dotproxy/pool/edit.c */
/*
 * Changes to the OPT record: of queries and answers as the pool makes them
 * (edit.h), and each one alone (dns_edit.h).  The first octet says what is
 * configured, the others are the message.
 */
#include "dotproxy/pool/edit.h"

#include "common/dns.h"
#include "common/dns_edit.h"
#include "tests/fuzz/dns_mutator.h"
#include "tests/fuzz/fuzz.h"

/* All is as it was but the OPT record and its count. */
static void
check_untouched(const uint8_t *before, const uint8_t *after, size_t len)
{
	struct dns_walk w;

	FUZZ_ASSERT(memcmp(before, after, 10) == 0);
	FUZZ_ASSERT(dns_walk_answers(&w, before, len));
	FUZZ_ASSERT(memcmp(before + DNS_HDR_LEN, after + DNS_HDR_LEN,
			w.r.pos - DNS_HDR_LEN) == 0);
}

/* How many options of a kind; 0 if it cannot be edited anyway. */
static size_t
count_options(uint8_t *msg, size_t len, enum dns_option which)
{
	struct dns_edit e;
	const uint8_t *data;
	uint16_t n;

	return dns_edit_begin(&e, msg, len, len)
		   ? dns_edit_find(&e, which, &data, &n)
		   : 0;
}

/* How long the padding is. */
static uint16_t
pad_len(uint8_t *msg, size_t len)
{
	struct dns_edit e;
	const uint8_t *data;
	uint16_t n = 0;

	if (dns_edit_begin(&e, msg, len, len))
		(void)dns_edit_find(&e, DNS_OPTION_PADDING, &data, &n);
	return n;
}

static void
check_query(const struct conf_edit *conf, const uint8_t *msg, size_t len)
{
	uint8_t *edited = fuzz_alloc(len + EDIT_GROWTH_MAX), *echo, put;
	size_t n, back;
	bool own;

	memcpy(edited, msg, len);
	n = edit_query(conf, edited, len, &put);
	FUZZ_ASSERT(n <= len + EDIT_GROWTH_MAX && n <= DNS_MSG_MAX);
	if (n == len && memcmp(edited, msg, len) == 0) {
		FUZZ_ASSERT((put & ~EDIT_ECS) == 0 || conf->padding);
		free(edited);
		return;
	}
	check_untouched(msg, edited, len);
	echo = fuzz_copy(msg, len);
	if (conf->padding) {
		FUZZ_ASSERT(pad_len(edited, n) < EDIT_BLOCK ||
			    count_options(echo, len, DNS_OPTION_PADDING) > 0);
		FUZZ_ASSERT(n % EDIT_BLOCK == 0 || n == DNS_MSG_MAX);
		FUZZ_ASSERT(count_options(edited, n, DNS_OPTION_PADDING) == 1);
	}
	if (conf->strip_ecs)
		FUZZ_ASSERT(count_options(edited, n, DNS_OPTION_ECS) <= 1);
	/* Put in and taken out again it is the same, but what was the client's.
	 */
	own = count_options(echo, len, DNS_OPTION_PADDING) > 0 ||
	      (conf->strip_ecs && count_options(echo, len, DNS_OPTION_ECS) > 0);
	edited[2] |= 0x80;
	back = edit_answer(put, edited, n);
	edited[2] = msg[2]; /* it may have been a response before */
	FUZZ_ASSERT(back <= n);
	if (!own) {
		FUZZ_ASSERT(back == len);
		FUZZ_ASSERT(memcmp(edited, msg, len) == 0);
	}
	free(echo);
	free(edited);
}

/* What no client has asked for is gone; nothing else is. */
static void
check_answer(uint8_t put, const uint8_t *msg, size_t len)
{
	uint8_t *edited = fuzz_copy(msg, len);
	struct dns_edit e;
	size_t n = edit_answer(put, edited, len);

	FUZZ_ASSERT(n <= len);
	if (!dns_edit_begin(&e, edited, n, n)) {
		FUZZ_ASSERT(n == len && memcmp(edited, msg, len) == 0);
		free(edited);
		return;
	}
	FUZZ_ASSERT(!(put & EDIT_OPT) || !dns_edit_has_opt(&e));
	FUZZ_ASSERT(!(put & EDIT_PADDING) ||
		    count_options(edited, n, DNS_OPTION_PADDING) == 0);
	FUZZ_ASSERT(!(put & EDIT_KEEPALIVE) ||
		    count_options(edited, n, DNS_OPTION_KEEPALIVE) == 0);
	FUZZ_ASSERT(
	    !(put & EDIT_ECS) || count_options(edited, n, DNS_OPTION_ECS) == 0);
	free(edited);
}

/* Each change is undone by its opposite, and leaves a message. */
static void
check_changes(const uint8_t *msg, size_t len, uint16_t option_len)
{
	size_t cap = len + DNS_OPT_LEN + DNS_OPTION_HDR_LEN + option_len;
	uint8_t *buf = fuzz_alloc(cap);
	struct dns_edit e, again;
	bool added = false;
	size_t had;

	memcpy(buf, msg, len);
	if (!dns_edit_begin(&e, buf, len, cap)) {
		free(buf);
		return;
	}
	had = count_options(buf, len, DNS_OPTION_PADDING);
	if (!dns_edit_has_opt(&e))
		FUZZ_ASSERT((added = dns_edit_add_opt(&e, 1232)) ||
			    len + DNS_OPT_LEN > DNS_MSG_MAX);
	if (dns_edit_put(&e, DNS_OPTION_PADDING, NULL, option_len)) {
		FUZZ_ASSERT(e.len <= cap && e.len <= DNS_MSG_MAX);
		FUZZ_ASSERT(dns_edit_begin(&again, buf, e.len, cap));
		FUZZ_ASSERT(again.opt == e.opt && again.opt_end == e.opt_end);
		FUZZ_ASSERT(
		    count_options(buf, e.len, DNS_OPTION_PADDING) == had + 1);
		dns_edit_remove(&e, DNS_OPTION_PADDING);
	}
	FUZZ_ASSERT(count_options(buf, e.len, DNS_OPTION_PADDING) == had ||
		    count_options(buf, e.len, DNS_OPTION_PADDING) == 0);
	if (added)
		dns_edit_remove_opt(&e);
	if (had == 0) {
		FUZZ_ASSERT(e.len == len);
		FUZZ_ASSERT(memcmp(buf, msg, len) == 0);
	}
	FUZZ_ASSERT(dns_edit_begin(&again, buf, e.len, cap));
	free(buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct conf_edit conf = { 0 };
	uint8_t *msg;

	if (len < 1 + DNS_HDR_LEN || len > 1 + DNS_MSG_MAX)
		return 0;
	conf.padding = data[0] & 1;
	conf.keepalive = data[0] & 2;
	conf.strip_ecs = data[0] & 4;
	msg = fuzz_copy(data + 1, len - 1);
	if (edit_wanted(&conf))
		check_query(&conf, msg, len - 1);
	check_answer(data[0] >> 3 & 0x0f, msg, len - 1);
	check_changes(msg, len - 1, data[0] & 0x80 ? data[0] : 0);
	free(msg);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(
    uint8_t *data, size_t len, size_t max, unsigned int seed)
{
	struct fuzz_random rnd;

	fuzz_seed(&rnd, seed);
	if (len < 1 || max < 64 || fuzz_below(&rnd, 3) == 0)
		return LLVMFuzzerMutate(data, len, max);
	if (fuzz_below(&rnd, 8) == 0)
		data[0] = (uint8_t)fuzz_below(&rnd, 256);
	return 1 + dns_mutate(data + 1, len - 1, max - 1, &rnd);
}
