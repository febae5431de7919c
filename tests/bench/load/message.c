/* SPDX-License-Identifier: ISC */
/*
 * The messages of the load generator: queries that differ in one number, and
 * whether an answer is the one there is to it.
 */
#include <err.h>

#include "tests/bench/load/load.h"

void
query_template(struct load *l, const char *domain)
{
	uint8_t *p = l->query;
	size_t n;

	memset(p, 0, DNS_HEADER);
	p[2] = 0x01;
	p[5] = 1;
	p += DNS_HEADER;
	*p++ = SEQ_DIGITS;
	p += SEQ_DIGITS;
	*p++ = 4;
	p += snprintf((char *)p, 5, "%04lx", random() & 0xffff);
	for (; *domain != '\0'; domain += n + (domain[n] == '.')) {
		n = strcspn(domain, ".");
		if (n == 0 || n > 63 ||
		    (size_t)(p - l->query) + n > DNS_HEADER + 250)
			errx(2, "bad domain");
		*p++ = (uint8_t)n;
		memcpy(p, domain, n);
		p += n;
	}
	*p++ = 0;
	p = put16(p, TYPE_A);
	p = put16(p, 1);
	l->querylen = (size_t)(p - l->query);
}

void
query_write(const struct load *l, const struct client *c, const struct slot *s,
    uint8_t *p)
{
	uint32_t seq = s->seq;
	int i;

	memcpy(p, l->query, l->querylen);
	put16(p, l->id[s->index] ^ c->id_mask);
	for (i = SEQ_DIGITS - 1; i >= 0; i--, seq >>= 4)
		p[SEQ_AT + i] = (uint8_t) "0123456789abcdef"[seq & 15];
}

bool
answer_sequence(
    const struct load *l, const uint8_t *p, size_t len, uint32_t *seq)
{
	size_t after = SEQ_AT + SEQ_DIGITS;
	int i;

	if (len < l->querylen || (p[2] & 0x80) == 0 || get16(p + 4) != 1 ||
	    p[SEQ_AT - 1] != SEQ_DIGITS ||
	    memcmp(p + after, l->query + after, l->querylen - after) != 0)
		return false;
	*seq = 0;
	for (i = 0; i < SEQ_DIGITS; i++) {
		uint8_t ch = p[SEQ_AT + i];

		*seq = *seq << 4 |
		       (uint32_t)(ch <= '9' ? ch - '0' : ch - 'a' + 10);
	}
	return true;
}

/*
 * True if the one answer record is the right address.  Its owner may be a
 * pointer to the question or the name once more, as some forwarders write it,
 * and an OPT may follow: a stub resolver takes both.
 */
bool
answer_right(const struct load *l, const uint8_t *p, size_t len)
{
	const uint8_t *name = p + DNS_HEADER;
	size_t namelen = l->querylen - DNS_HEADER - 4, at = l->querylen;
	uint8_t want[14];

	if (l->size > 0)
		return len == l->size;
	if (get16(p + 6) != 1)
		return false;
	if (len >= at + 2 && get16(p + at) == (0xc000 | DNS_HEADER))
		at += 2;
	else if (len >= at + namelen && memcmp(p + at, name, namelen) == 0)
		at += namelen;
	else
		return false;
	if (len < at + sizeof(want))
		return false;
	put16(put16(want, TYPE_A), 1);
	memcpy(want + 4, p + at + 4, 4); /* any TTL */
	put32(put16(want + 8, 4), name_crc(name, namelen));
	return memcmp(p + at, want, sizeof(want)) == 0;
}
