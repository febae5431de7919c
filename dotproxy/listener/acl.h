/* SPDX-License-Identifier: ISC */
/*
 * Who may ask: a set of address prefixes.  Pure.  IPv4-mapped IPv6 addresses
 * are IPv4 addresses here, in the prefixes and in what is looked up, so that
 * a client is the same client whichever kind of socket it came in through.
 */
#ifndef LISTENER_ACL_H
#define LISTENER_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/conf.h"

/* An address as a number; an IPv4 address is in lo. */
struct acl_addr {
	uint64_t hi;
	uint64_t lo;
};

/* Both ends included. */
struct acl_range {
	struct acl_addr first;
	struct acl_addr last;
};

/* The ranges of one address family: sorted, disjoint, none touches the next. */
struct acl_set {
	struct acl_range *ranges;
	size_t n;
};

/* Owns its ranges.  Zeroed, it admits nobody. */
struct acl {
	struct acl_set v4;
	struct acl_set v6;
};

/*
 * Makes an unused struct the set of these prefixes, in any order, overlapping
 * or not; host bits are ignored.  Returns 0, or -1 with errno if a family or a
 * length is out of range (EINVAL), or memory is short (ENOMEM), and then the
 * struct is empty.
 */
int acl_build(struct acl *, const struct conf_prefix *, size_t n);

/* Frees the ranges; the struct is empty then. */
void acl_clear(struct acl *);

/* True if a prefix covers the address; false for families but IP's. */
bool acl_admits(const struct acl *, const struct sockaddr *);

#endif
