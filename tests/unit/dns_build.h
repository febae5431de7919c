/* SPDX-License-Identifier: ISC */
/*
 * Builds DNS messages for the tests, right ones and wrong ones, and hands out
 * copies that end where a page ends: reading one byte too many is a crash,
 * with and without sanitizers.
 */
#ifndef TESTS_DNS_BUILD_H
#define TESTS_DNS_BUILD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/dns.h"

#define QUERY_FLAGS 0x0100  /* RD */
#define ANSWER_FLAGS 0x8180 /* QR, RD, RA */

struct pkt {
	struct wire_writer w;
	uint8_t buf[DNS_MSG_MAX + 4096];
};

static inline void
pkt_start(struct pkt *p, uint16_t flags, uint16_t qd, uint16_t an, uint16_t ns,
    uint16_t ar)
{
	wire_writer_init(&p->w, p->buf, sizeof(p->buf));
	wire_put_u16(&p->w, 0x1234);
	wire_put_u16(&p->w, flags);
	wire_put_u16(&p->w, qd);
	wire_put_u16(&p->w, an);
	wire_put_u16(&p->w, ns);
	wire_put_u16(&p->w, ar);
}

/* "www.example" with its root; labels longer than 63 are put as they are. */
static inline void
pkt_name(struct pkt *p, const char *name)
{
	size_t n;

	while (*name != '\0') {
		n = strcspn(name, ".");
		wire_put_u8(&p->w, (uint8_t)n);
		wire_put_bytes(&p->w, name, n);
		name += n + (name[n] == '.');
	}
	wire_put_u8(&p->w, 0);
}

static inline void
pkt_question(struct pkt *p, const char *name, uint16_t type)
{
	pkt_name(p, name);
	wire_put_u16(&p->w, type);
	wire_put_u16(&p->w, 1);
}

static inline void
pkt_rr(struct pkt *p, const char *name, uint16_t type, uint16_t class,
    uint32_t ttl, uint16_t rdlen)
{
	uint8_t *rdata;

	pkt_name(p, name);
	wire_put_u16(&p->w, type);
	wire_put_u16(&p->w, class);
	wire_put_u32(&p->w, ttl);
	wire_put_u16(&p->w, rdlen);
	rdata = wire_put_space(&p->w, rdlen);
	if (rdata != NULL)
		memset(rdata, 0xee, rdlen);
}

static inline void
pkt_opt(struct pkt *p, uint16_t udp_size, uint32_t ttl, uint16_t rdlen)
{
	pkt_rr(p, "", DNS_TYPE_OPT, udp_size, ttl, rdlen);
}

/* An ordinary query, with an OPT of 1232 bytes if edns. */
static inline void
pkt_ordinary(struct pkt *p, bool edns)
{
	pkt_start(p, QUERY_FLAGS, 1, 0, 0, edns);
	pkt_question(p, "www.example.com", 1);
	if (edns)
		pkt_opt(p, 1232, 0, 0);
}

#define GUARD_PAGE 4096
#define GUARD_PAGES 17 /* 65,536 bytes and one page to be hit */

struct guard {
	uint8_t *map;
	uint8_t *end; /* the first byte that must not be touched */
};

static inline void
guard_open(struct guard *g)
{
	void *map;

	map = mmap(NULL, GUARD_PAGES * GUARD_PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		abort();
	g->map = map;
	g->end = g->map + (size_t)(GUARD_PAGES - 1) * GUARD_PAGE;
	if (mprotect(g->end, GUARD_PAGE, PROT_NONE) == -1)
		abort();
}

static inline void
guard_close(struct guard *g)
{
	(void)munmap(g->map, (size_t)GUARD_PAGES * GUARD_PAGE);
}

/* The same bytes, at the edge. */
static inline uint8_t *
guard_copy(struct guard *g, const void *src, size_t len)
{
	if (len > 0)
		memcpy(g->end - len, src, len);
	return g->end - len;
}

#endif
