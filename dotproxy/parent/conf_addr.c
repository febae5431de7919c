/* SPDX-License-Identifier: ISC */
/*
 * Addresses and prefixes of the configuration file.  Runs in the parent.
 * Numeric only: nothing here asks the DNS.  The name of a scope is looked up
 * among the interfaces of the machine, and only if there is one.
 */
#include "dotproxy/parent/conf_value.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static const char *
check_ipv4(const struct in_addr *addr, bool any)
{
	uint32_t host = ntohl(addr->s_addr);

	if (host == INADDR_ANY && !any)
		return "is not the address of a host";
	if (IN_MULTICAST(host) || host == INADDR_BROADCAST)
		return "is a multicast or broadcast address";
	return NULL;
}

static const char *
check_ipv6(const struct in6_addr *addr, bool any, bool scoped)
{
	if (IN6_IS_ADDR_UNSPECIFIED(addr) && !any)
		return "is not the address of a host";
	if (IN6_IS_ADDR_MULTICAST(addr))
		return "is a multicast or broadcast address";
	if (IN6_IS_ADDR_V4MAPPED(addr))
		return "is an IPv4 address: write it as one";
	if (IN6_IS_ADDR_LINKLOCAL(addr) && !scoped)
		return "is link-local and needs a scope (%interface)";
	if (!IN6_IS_ADDR_LINKLOCAL(addr) && scoped)
		return "has a scope but is not link-local";
	return NULL;
}

/* The index of an interface, given by name or number; 0 if there is none. */
static uint32_t
scope_index(const char *scope)
{
	unsigned int index = 0;
	uint32_t number;

	if (strlen(scope) < IF_NAMESIZE)
		index = if_nametoindex(scope);
	if (index == 0 && value_number(scope, &number) == NULL)
		index = number;
	return index;
}

const char *
value_address(const char *text, bool any, struct sockaddr_storage *ss)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };
	const char *scope = strchr(text, '%'), *why;
	size_t len = scope != NULL ? (size_t)(scope - text) : strlen(text);
	char host[INET6_ADDRSTRLEN];

	if (len >= sizeof(host))
		return "is not a numeric address";
	memcpy(host, text, len);
	host[len] = '\0';
	if (scope == NULL && inet_pton(AF_INET, host, &sin.sin_addr) == 1) {
		if ((why = check_ipv4(&sin.sin_addr, any)) != NULL)
			return why;
		memset(ss, 0, sizeof(*ss));
		memcpy(ss, &sin, sizeof(sin));
		return NULL;
	}
	if (inet_pton(AF_INET6, host, &sin6.sin6_addr) != 1)
		return "is not a numeric address";
	why = check_ipv6(&sin6.sin6_addr, any, scope != NULL);
	if (why != NULL)
		return why;
	if (scope != NULL && (sin6.sin6_scope_id = scope_index(scope + 1)) == 0)
		return "has a scope that is no interface";
	memset(ss, 0, sizeof(*ss));
	memcpy(ss, &sin6, sizeof(sin6));
	return NULL;
}

void
value_set_port(struct sockaddr_storage *ss, uint16_t port)
{
	_Static_assert(offsetof(struct sockaddr_in, sin_port) ==
			   offsetof(struct sockaddr_in6, sin6_port),
	    "the port is at the same place in both families");

	port = htons(port);
	memcpy((char *)ss + offsetof(struct sockaddr_in, sin_port), &port,
	    sizeof(port));
}

/* True if an address has a bit set after the first len ones. */
static bool
has_host_bits(const uint8_t *addr, size_t size, size_t len)
{
	size_t bit;

	for (bit = len; bit < size * 8; bit++)
		if ((addr[bit / 8] & (0x80u >> bit % 8)) != 0)
			return true;
	return false;
}

const char *
value_prefix(const char *text, struct conf_prefix *prefix)
{
	struct conf_prefix p = { .family = AF_INET };
	const char *slash = strchr(text, '/');
	size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);
	size_t size = 4;
	char host[INET6_ADDRSTRLEN];
	uint32_t len;

	if (n >= sizeof(host))
		return "is not a numeric address or prefix";
	memcpy(host, text, n);
	host[n] = '\0';
	if (inet_pton(AF_INET, host, p.addr) != 1) {
		if (inet_pton(AF_INET6, host, p.addr) != 1)
			return "is not a numeric address or prefix";
		p.family = AF_INET6;
		size = 16;
	}
	len = (uint32_t)size * 8;
	if (slash != NULL &&
	    (value_number(slash + 1, &len) != NULL || len > size * 8))
		return "has a bad prefix length";
	if (has_host_bits(p.addr, size, len))
		return "has host bits set";
	p.len = (uint8_t)len;
	*prefix = p;
	return NULL;
}

char *
value_prefix_text(const struct conf_prefix *p, char buf[VALUE_PREFIX_TEXT_MAX])
{
	size_t len;

	(void)inet_ntop(p->family, p->addr, buf, VALUE_PREFIX_TEXT_MAX);
	len = strlen(buf);
	(void)snprintf(
	    buf + len, VALUE_PREFIX_TEXT_MAX - len, "/%u", (unsigned)p->len);
	return buf;
}
