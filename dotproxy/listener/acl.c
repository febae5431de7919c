/* SPDX-License-Identifier: ISC */
/*
 * The access list of the listener; see acl.h.  Prefixes become ranges of
 * numbers, sorted and merged once when a configuration comes, so that a query
 * costs one binary search however long the list is.  Must never admit an
 * address that no prefix covers.
 */
#include "dotproxy/listener/acl.h"

#include <netinet/in.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

/* The upper 96 bits of ::ffff:0:0/96 (RFC 4291 2.5.5.2), below hi == 0. */
#define V4_MAPPED_LO 0x0000ffff00000000ull
#define V4_MAPPED_LEN 96u

static int
addr_cmp(const struct acl_addr *a, const struct acl_addr *b)
{
	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	return 0;
}

static struct acl_addr
addr_load_v6(const uint8_t *p)
{
	struct acl_addr a;

	a.hi = wire_load_u64(p);
	a.lo = wire_load_u64(p + 8);
	return a;
}

static bool
addr_is_mapped(const struct acl_addr *a)
{
	return a->hi == 0 && (a->lo >> 32) == (V4_MAPPED_LO >> 32);
}

/* The low n bits of 64, n <= 64. */
static uint64_t
mask_low(uint32_t n)
{
	if (n == 0)
		return 0;
	return UINT64_MAX >> (64 - n);
}

/* The range that begins at addr, whose low host_bits (<= 128) do not count. */
static struct acl_range
range_make(struct acl_addr addr, uint32_t host_bits)
{
	uint64_t lo = mask_low(host_bits < 64 ? host_bits : 64);
	uint64_t hi = mask_low(host_bits > 64 ? host_bits - 64 : 0);
	struct acl_range r;

	r.first.hi = addr.hi & ~hi;
	r.first.lo = addr.lo & ~lo;
	r.last.hi = addr.hi | hi;
	r.last.lo = addr.lo | lo;
	return r;
}

/* Adds a prefix to the set it belongs to.  Returns 0 or -1. */
static int
prefix_add(struct acl *acl, const struct conf_prefix *p)
{
	struct acl_addr addr;

	if (p->family == AF_INET && p->len <= 32) {
		addr.hi = 0;
		addr.lo = wire_load_u32(p->addr);
		acl->v4.ranges[acl->v4.n++] = range_make(addr, 32u - p->len);
		return 0;
	}
	if (p->family != AF_INET6 || p->len > 128)
		return -1;
	addr = addr_load_v6(p->addr);
	if (p->len >= V4_MAPPED_LEN && addr_is_mapped(&addr)) {
		addr.lo &= UINT32_MAX;
		acl->v4.ranges[acl->v4.n++] = range_make(addr, 128u - p->len);
	} else
		acl->v6.ranges[acl->v6.n++] = range_make(addr, 128u - p->len);
	return 0;
}

static int
range_cmp(const void *a, const void *b)
{
	const struct acl_range *ra = a, *rb = b;

	return addr_cmp(&ra->first, &rb->first);
}

/* True if nothing lies between the end of a and the start of b >= a. */
static bool
range_joins(const struct acl_range *a, const struct acl_range *b)
{
	struct acl_addr next = a->last;

	if (addr_cmp(&b->first, &a->last) <= 0)
		return true;
	/* There is an address above last, so this does not wrap to zero. */
	if (++next.lo == 0)
		next.hi++;
	return addr_cmp(&b->first, &next) == 0;
}

static void
set_normalise(struct acl_set *set)
{
	size_t i, n = 0;

	if (set->n < 2)
		return;
	qsort(set->ranges, set->n, sizeof(set->ranges[0]), range_cmp);
	for (i = 1; i < set->n; i++) {
		if (!range_joins(&set->ranges[n], &set->ranges[i]))
			set->ranges[++n] = set->ranges[i];
		else if (addr_cmp(&set->ranges[n].last, &set->ranges[i].last) <
			 0)
			set->ranges[n].last = set->ranges[i].last;
	}
	set->n = n + 1;
}

int
acl_build(struct acl *acl, const struct conf_prefix *prefixes, size_t n)
{
	size_t i;

	memset(acl, 0, sizeof(*acl));
	if (n == 0)
		return 0;
	acl->v4.ranges = calloc(n, sizeof(acl->v4.ranges[0]));
	acl->v6.ranges = calloc(n, sizeof(acl->v6.ranges[0]));
	if (acl->v4.ranges == NULL || acl->v6.ranges == NULL)
		goto fail;
	for (i = 0; i < n; i++)
		if (prefix_add(acl, &prefixes[i]) == -1) {
			errno = EINVAL;
			goto fail;
		}
	set_normalise(&acl->v4);
	set_normalise(&acl->v6);
	return 0;
fail:
	acl_clear(acl);
	return -1;
}

void
acl_clear(struct acl *acl)
{
	free(acl->v4.ranges);
	free(acl->v6.ranges);
	memset(acl, 0, sizeof(*acl));
}

static bool
set_has(const struct acl_set *set, const struct acl_addr *addr)
{
	size_t lo = 0, hi = set->n, mid;

	/* Finds the first range that ends at or above the address. */
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (addr_cmp(&set->ranges[mid].last, addr) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < set->n && addr_cmp(&set->ranges[lo].first, addr) <= 0;
}

bool
acl_admits(const struct acl *acl, const struct sockaddr *sa)
{
	const struct sockaddr_in *sin;
	const struct sockaddr_in6 *sin6;
	struct acl_addr addr;

	if (sa->sa_family == AF_INET) {
		sin = (const struct sockaddr_in *)(const void *)sa;
		addr.hi = 0;
		addr.lo = ntohl(sin->sin_addr.s_addr);
		return set_has(&acl->v4, &addr);
	}
	if (sa->sa_family != AF_INET6)
		return false;
	sin6 = (const struct sockaddr_in6 *)(const void *)sa;
	addr = addr_load_v6(sin6->sin6_addr.s6_addr);
	if (!addr_is_mapped(&addr))
		return set_has(&acl->v6, &addr);
	addr.lo &= UINT32_MAX;
	return set_has(&acl->v4, &addr);
}
