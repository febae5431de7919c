/* SPDX-License-Identifier: ISC */
/*
 * What the test programs agree on: the one right answer to every query, so
 * that whoever asks can tell whether it got its own.  The address in an answer
 * is the CRC-32 (the zlib one) of the lower-cased name in wire format.
 */
#ifndef TESTS_SUPPORT_ANSWER_H
#define TESTS_SUPPORT_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DNS_HEADER 12
#define DNS_OPT_SIZE 11 /* an OPT record without options */
#define DNS_KEEPALIVE_SIZE 6
#define DNS_RR_SIZE 12 /* a record's head, its name a pointer */
#define DNS_MESSAGE_MAX 65535

enum dns_type { TYPE_A = 1, TYPE_TXT = 16, TYPE_AAAA = 28, TYPE_OPT = 41 };

struct question {
	const uint8_t *name;
	size_t namelen; /* with the root label */
	uint16_t type;
	uint16_t class;
};

static inline uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint8_t *
put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static inline uint8_t *
put32(uint8_t *p, uint32_t v)
{
	return put16(put16(p, v >> 16), v & 0xffff);
}

/* Lower-cases without harm to length bytes: those are below 'A'. */
static inline uint32_t
name_crc(const uint8_t *name, size_t len)
{
	static const uint32_t nibble[16] = { 0x00000000, 0x1db71064, 0x3b6e20c8,
		0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0,
		0x86d3d2d4, 0xa00ae278, 0xbdbdf21c };
	uint32_t crc = 0xffffffff;
	size_t i;
	uint8_t ch;

	for (i = 0; i < len; i++) {
		ch = name[i];
		if (ch >= 'A' && ch <= 'Z')
			ch = (uint8_t)(ch + 0x20);
		crc ^= ch;
		crc = crc >> 4 ^ nibble[crc & 15];
		crc = crc >> 4 ^ nibble[crc & 15];
	}
	return ~crc;
}

/* Length of an uncompressed name with its root label, 0 if there is none. */
static inline size_t
name_length(const uint8_t *p, size_t len)
{
	size_t at;

	for (at = 0; at < len && at < 255; at += (size_t)p[at] + 1) {
		if (p[at] == 0)
			return at + 1;
		if (p[at] > 63)
			return 0;
	}
	return 0;
}

/* True if the message has one question and it can be read. */
static inline bool
question_parse(const uint8_t *msg, size_t len, struct question *q)
{
	if (len < DNS_HEADER || get16(msg + 4) != 1)
		return false;
	q->name = msg + DNS_HEADER;
	q->namelen = name_length(q->name, len - DNS_HEADER);
	if (q->namelen == 0 || len - DNS_HEADER - q->namelen < 4)
		return false;
	q->type = get16(q->name + q->namelen);
	q->class = get16(q->name + q->namelen + 2);
	return true;
}

static inline size_t
question_length(const struct question *q)
{
	return q->namelen + 4;
}

/* True if a record after the question is an OPT, as far as they can be read. */
static inline bool
message_has_opt(const uint8_t *msg, size_t len, const struct question *q)
{
	size_t at = DNS_HEADER + question_length(q), n;
	unsigned left;

	left = (unsigned)get16(msg + 6) + get16(msg + 8) + get16(msg + 10);
	while (left-- > 0) {
		while (at < len && msg[at] > 0 && msg[at] < 64)
			at += (size_t)msg[at] + 1;
		if (at >= len)
			return false;
		at += msg[at] == 0 ? 1 : 2;
		if (at + 10 > len)
			return false;
		if (get16(msg + at) == TYPE_OPT)
			return true;
		n = get16(msg + at + 8);
		at += 10 + n;
	}
	return false;
}

/* Writes a record for the name in the question; returns where its data go. */
static inline uint8_t *
record_put(uint8_t *p, uint16_t type, size_t rdlen)
{
	p = put16(p, 0xc000 | DNS_HEADER);
	p = put16(p, type);
	p = put16(p, 1);
	p = put32(p, 300);
	return put16(p, rdlen);
}

static inline uint8_t *
opt_put(uint8_t *p)
{
	*p++ = 0;
	p = put16(p, TYPE_OPT);
	p = put16(p, 1232);
	p = put32(p, 0);
	return put16(p, 0);
}

/* An edns-tcp-keepalive option, into the OPT record that ends here. */
static inline uint8_t *
keepalive_put(uint8_t *p, size_t timeout)
{
	put16(p - 2, DNS_KEEPALIVE_SIZE);
	return put16(put16(put16(p, 11), 2), timeout);
}

/* The name's labels with dots between, as the one string of a TXT record. */
static inline uint8_t *
record_put_name_text(uint8_t *p, const struct question *q)
{
	size_t at, n = q->namelen > 2 ? q->namelen - 2 : 0;
	uint8_t *text;

	p = record_put(p, TYPE_TXT, n + 1);
	*p++ = (uint8_t)n;
	text = p;
	if (n > 0)
		memcpy(text, q->name + 1, n);
	for (at = q->name[0]; n > 0 && at < n;
	     at += (size_t)q->name[at + 1] + 1)
		text[at] = '.';
	return text + n;
}

/*
 * Writes the header and the question of an answer: QR and RA set, opcode, RD
 * and CD as in the query, all counts but the question's zero.
 */
static inline uint8_t *
answer_start(uint8_t *out, const uint8_t *msg, const struct question *q)
{
	uint8_t *p = out;

	p = put16(p, get16(msg));
	p = put16(p, (get16(msg + 2) & 0x7910) | 0x8080);
	p = put16(p, 1);
	p = put16(p, 0);
	p = put32(p, 0);
	memcpy(p, q->name, question_length(q));
	return p + question_length(q);
}

/* Adds the record the question asks for, if it is one we know. */
static inline uint8_t *
answer_put_record(uint8_t *out, uint8_t *p, const struct question *q)
{
	uint32_t crc;
	int i;

	if (q->class != 1)
		return p;
	crc = name_crc(q->name, q->namelen);
	switch (q->type) {
	case TYPE_A:
		p = put32(record_put(p, TYPE_A, 4), crc);
		break;
	case TYPE_AAAA:
		p = record_put(p, TYPE_AAAA, 16);
		for (i = 0; i < 4; i++)
			p = put32(p, crc);
		break;
	case TYPE_TXT:
		p = record_put_name_text(p, q);
		break;
	default:
		return p;
	}
	put16(out + 6, 1);
	return p;
}

#endif
