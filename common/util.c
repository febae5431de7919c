/* SPDX-License-Identifier: ISC */
/* Clock, addresses as text, random numbers; see util.h.  In every process. */
#include "common/util.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/log.h"
#include "common/wire.h"

static uint64_t
clock_us(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts) == -1)
		fatal("clock_gettime");
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t
util_now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

uint64_t
util_now_ms(void)
{
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t
util_asleep_ms(void)
{
	uint64_t mono = clock_us(CLOCK_MONOTONIC);
	uint64_t boot = clock_us(CLOCK_BOOTTIME);

	return boot > mono ? (boot - mono) / 1000 : 0;
}

socklen_t
sockaddr_len(const struct sockaddr_storage *ss)
{
	switch (ss->ss_family) {
	case AF_INET:
		return sizeof(struct sockaddr_in);
	case AF_INET6:
		return sizeof(struct sockaddr_in6);
	default:
		return 0;
	}
}

uint16_t
sockaddr_port(const struct sockaddr_storage *ss)
{
	switch (ss->ss_family) {
	case AF_INET:
		return ntohs(((const struct sockaddr_in *)ss)->sin_port);
	case AF_INET6:
		return ntohs(((const struct sockaddr_in6 *)ss)->sin6_port);
	default:
		return 0;
	}
}

const char *
sockaddr_host_text(
    const struct sockaddr_storage *ss, char buf[SOCKADDR_TEXT_MAX])
{
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)ss;
	const void *addr;
	size_t len;

	if (ss->ss_family == AF_INET)
		addr = &((const struct sockaddr_in *)ss)->sin_addr;
	else
		addr = &sin6->sin6_addr;
	if (sockaddr_len(ss) == 0 ||
	    inet_ntop(ss->ss_family, addr, buf, SOCKADDR_TEXT_MAX) == NULL) {
		memcpy(buf, "?", 2);
		return buf;
	}
	if (ss->ss_family == AF_INET6 && sin6->sin6_scope_id != 0) {
		len = strlen(buf);
		(void)snprintf(buf + len, SOCKADDR_TEXT_MAX - len, "%%%u",
		    sin6->sin6_scope_id);
	}
	return buf;
}

const char *
sockaddr_text(const struct sockaddr_storage *ss, char buf[SOCKADDR_TEXT_MAX])
{
	char host[SOCKADDR_TEXT_MAX];
	bool v6 = ss->ss_family == AF_INET6;

	sockaddr_host_text(ss, host);
	(void)snprintf(buf, SOCKADDR_TEXT_MAX, "%s%.64s%s:%u", v6 ? "[" : "",
	    host, v6 ? "]" : "", (unsigned)sockaddr_port(ss));
	return buf;
}

bool
sockaddr_equal(
    const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const struct sockaddr_in *)a;
	const struct sockaddr_in *b4 = (const struct sockaddr_in *)b;
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)a;
	const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_port == b4->sin_port &&
		       a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	if (a->ss_family == AF_INET6)
		return a6->sin6_port == b6->sin6_port &&
		       a6->sin6_scope_id == b6->sin6_scope_id &&
		       memcmp(&a6->sin6_addr, &b6->sin6_addr,
			   sizeof(a6->sin6_addr)) == 0;
	return false;
}

const char *
conf_flavour_name(enum conf_flavour flavour)
{
	static const char *const names[FLAVOUR_COUNT] = { "influx", "dogstatsd",
		"statsd" };

	return (unsigned int)flavour < FLAVOUR_COUNT ? names[flavour] : "?";
}

const char *
conf_policy_name(enum conf_policy policy)
{
	static const char *const names[POLICY_COUNT] = { "round-robin",
		"random", "historical-connections", "availability", "failover",
		"latency" };

	return policy < POLICY_COUNT ? names[policy] : "?";
}

const char *
pin_text(const uint8_t pin[CONF_PIN_LEN], char buf[PIN_TEXT_MAX])
{
	static const char prefix[] = "sha256/";
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	char *p = buf + sizeof(prefix) - 1;
	unsigned int bits = 0;
	uint32_t acc = 0;
	size_t i;

	memcpy(buf, prefix, sizeof(prefix) - 1);
	for (i = 0; i < CONF_PIN_LEN; i++) {
		acc = (acc << 8 | pin[i]) & 0xffff;
		for (bits += 8; bits >= 6; bits -= 6)
			*p++ = base64[acc >> (bits - 6) & 0x3f];
	}
	*p++ = base64[acc << (6 - bits) & 0x3f];
	*p++ = '=';
	*p = '\0';
	return buf;
}

bool
conf_control_path(
    char path[CONF_CONTROL_MAX], const char *first, uint32_t worker)
{
	int n;

	if (worker == 0)
		n = snprintf(path, CONF_CONTROL_MAX, "%s", first);
	else
		n = snprintf(path, CONF_CONTROL_MAX, "%s.%u", first,
		    (unsigned int)worker + 1);
	return n > 0 && n < CONF_CONTROL_MAX;
}

/* The next n bytes of the store, refilled when fewer are left. */
static const uint8_t *
rng_take(struct rng *rng, size_t n)
{
	size_t got = 0;
	ssize_t r;

	if (rng->left < n) {
		while (got < sizeof(rng->buf)) {
			r = getrandom(
			    rng->buf + got, sizeof(rng->buf) - got, 0);
			if (r == -1)
				fatal("getrandom");
			got += (size_t)r;
		}
		rng->left = sizeof(rng->buf);
	}
	rng->left -= n;
	return rng->buf + rng->left;
}

uint16_t
rng_u16(struct rng *rng)
{
	return wire_load_u16(rng_take(rng, 2));
}

uint32_t
rng_u32(struct rng *rng)
{
	return wire_load_u32(rng_take(rng, 4));
}
