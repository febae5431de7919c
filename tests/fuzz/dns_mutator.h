/* SPDX-License-Identifier: ISC */
/*
 * Changes to a DNS message that leave it one: what plain bytes do not get past
 * are counts, lengths and names.  Everything is appended or overwritten where
 * it can be found by walking.
 */
#ifndef TESTS_FUZZ_DNS_MUTATOR_H
#define TESTS_FUZZ_DNS_MUTATOR_H

#include "common/dns.h"
#include "tests/fuzz/fuzz.h"

/* Adds n to one of the four counts, 0 to 3. */
static inline void
dns_count_add(uint8_t *msg, unsigned int which, int n)
{
	uint8_t *p = msg + 4 + 2 * which;

	wire_store_u16(p, (uint16_t)(wire_load_u16(p) + n));
}

static inline void
dns_put_name(struct wire_writer *w, struct fuzz_random *rnd)
{
	static const char *const labels[] = { "www", "EXAMPLE", "example", "a",
		"\xff\x00 .", "com" };
	const char *label;
	uint32_t n = fuzz_below(rnd, 4);

	while (n-- > 0) {
		label = labels[fuzz_below(rnd, 6)];
		wire_put_u8(w, (uint8_t)strlen(label));
		wire_put_bytes(w, label, strlen(label));
	}
	if (fuzz_below(rnd, 3) == 0)
		wire_put_u16(w,
		    (uint16_t)(0xc000u | (DNS_HDR_LEN + fuzz_below(rnd, 64))));
	else
		wire_put_u8(w, 0);
}

/* An OPT record with up to four options. */
static inline void
dns_put_opt(struct wire_writer *w, struct fuzz_random *rnd)
{
	static const uint16_t codes[] = { 3, 8, 10, 11, 12, 15, 65001 };
	static const uint16_t sizes[] = { 0, 512, 1232, 4096, 65535 };
	uint32_t n = fuzz_below(rnd, 5), len;
	size_t at;
	uint8_t *p;

	wire_put_u8(w, 0);
	wire_put_u16(w, DNS_TYPE_OPT);
	wire_put_u16(w, sizes[fuzz_below(rnd, 5)]);
	wire_put_u8(w, (uint8_t)fuzz_below(rnd, 2));
	wire_put_u8(w, (uint8_t)(fuzz_below(rnd, 8) == 0));
	wire_put_u16(w, fuzz_below(rnd, 2) ? 0x8000 : 0);
	at = w->pos;
	wire_put_u16(w, 0);
	while (n-- > 0) {
		len = fuzz_below(rnd, 16) == 0 ? 200 : fuzz_below(rnd, 9);
		wire_put_u16(w, codes[fuzz_below(rnd, 7)]);
		wire_put_u16(w, (uint16_t)len);
		p = wire_put_space(w, len);
		if (p != NULL)
			memset(p, (int)fuzz_below(rnd, 3), len);
	}
	if (!w->error)
		wire_store_u16(w->data + at, (uint16_t)(w->pos - at - 2));
}

static inline void
dns_put_record(struct wire_writer *w, struct fuzz_random *rnd)
{
	static const uint16_t types[] = { 1, 28, 5, 6, 46, 24, 250, 16, 41 };
	uint16_t type = types[fuzz_below(rnd, 9)];
	uint32_t len = type == DNS_TYPE_SOA ? 22 + fuzz_below(rnd, 4)
					    : fuzz_below(rnd, 24);
	uint8_t *p;

	dns_put_name(w, rnd);
	wire_put_u16(w, type);
	wire_put_u16(w, DNS_CLASS_IN);
	wire_put_u32(w, fuzz_below(rnd, 65536));
	wire_put_u16(w, (uint16_t)len);
	p = wire_put_space(w, len);
	if (p != NULL)
		memset(p, (int)fuzz_below(rnd, 256), len);
}

/* Swaps the case of letters in the first question. */
static inline void
dns_swap_case(uint8_t *msg, size_t len, struct fuzz_random *rnd)
{
	size_t i;

	for (i = DNS_HDR_LEN; i < len && msg[i] != 0; i++)
		if (((msg[i] >= 'a' && msg[i] <= 'z') ||
			(msg[i] >= 'A' && msg[i] <= 'Z')) &&
		    fuzz_below(rnd, 2))
			msg[i] ^= 0x20;
}

/* Changes a message within max bytes; returns its new length. */
static inline size_t
dns_mutate(uint8_t *msg, size_t len, size_t max, struct fuzz_random *rnd)
{
	struct wire_writer w;

	if (max < DNS_HDR_LEN)
		return len;
	if (len < DNS_HDR_LEN) {
		memset(msg, 0, DNS_HDR_LEN);
		len = DNS_HDR_LEN;
	}
	wire_writer_init(&w, msg, max);
	w.pos = len;
	switch (fuzz_below(rnd, 6)) {
	case 0: /* a question only */
		w.pos = DNS_HDR_LEN;
		memset(msg + 4, 0, 8);
		dns_put_name(&w, rnd);
		wire_put_u16(&w, (uint16_t)(fuzz_below(rnd, 4) ? 1 : 251));
		wire_put_u16(&w, DNS_CLASS_IN);
		dns_count_add(msg, 0, 1);
		break;
	case 1:
		dns_put_opt(&w, rnd);
		dns_count_add(msg, 3, 1);
		break;
	case 2: /* it belongs to the last section that is not empty */
		dns_put_record(&w, rnd);
		dns_count_add(msg,
		    wire_load_u16(msg + 10) > 0 ? 3 : 1 + fuzz_below(rnd, 3),
		    1);
		break;
	case 3:
		dns_swap_case(msg, len, rnd);
		break;
	case 4:
		dns_count_add(
		    msg, fuzz_below(rnd, 4), (int)fuzz_below(rnd, 3) - 1);
		break;
	default:
		msg[2] ^= (uint8_t)(1u << fuzz_below(rnd, 8));
		break;
	}
	return w.error ? len : w.pos;
}

#endif
