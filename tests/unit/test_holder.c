/* SPDX-License-Identifier: ISC */
/* Which sockets of /proc/net are in the way of an address. */
/* LINK: dotproxy/parent/holder.c common/util.c common/log.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <sys/prctl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dotproxy/parent/holder.h"

#define TAIL " 00000000:00000000 00:00000000 00000000   102        0 4711 2 0\n"

static struct sockaddr_storage
at(const char *host, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port) };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
		.sin6_port = htons(port) };
	struct sockaddr_storage ss;

	memset(&ss, 0, sizeof(ss));
	if (inet_pton(AF_INET, host, &sin.sin_addr) == 1)
		memcpy(&ss, &sin, sizeof(sin));
	else if (inet_pton(AF_INET6, host, &sin6.sin6_addr) == 1)
		memcpy(&ss, &sin6, sizeof(sin6));
	return ss;
}

/* A line about a socket at that address, port 53 being 0035. */
static bool
in_the_way(const char *host, bool tcp, const char *theirs, const char *state)
{
	struct sockaddr_storage ss = at(host, 53);
	char line[256];
	uint64_t inode = 0;
	bool match;

	(void)snprintf(line, sizeof(line), "  12: %s 00000000:0000 %s%s",
	    theirs, state, TAIL);
	match = holder_match(line, &ss, tcp, &inode);
	assert_int_equal(inode, match ? 4711 : 0);
	return match;
}

static void
same_port_and_address_match(void **state)
{
	static const char loop6[] = "00000000000000000000000001000000:0035";
	static const char any6[] = "00000000000000000000000000000000:0035";

	(void)state;
	if (htonl(1) == 1)
		skip(); /* the lines above are of little endian machines */
	assert_true(in_the_way("127.0.0.1", false, "0100007F:0035", "07"));
	assert_false(in_the_way("127.0.0.1", false, "0100007F:0036", "07"));
	assert_false(in_the_way("127.0.0.2", false, "0100007F:0035", "07"));
	assert_true(in_the_way("127.0.0.2", false, "00000000:0035", "07"));
	assert_true(in_the_way("0.0.0.0", false, "0100007F:0035", "07"));
	assert_true(in_the_way("::1", false, loop6, "07"));
	assert_false(in_the_way("::2", false, loop6, "07"));
	assert_false(in_the_way("127.0.0.1", false, loop6, "07"));
	assert_true(in_the_way("127.0.0.1", false, any6, "07"));
	/* TCP: who listens, not a connection to somewhere. */
	assert_true(in_the_way("127.0.0.1", true, "0100007F:0035", "0A"));
	assert_false(in_the_way("127.0.0.1", true, "0100007F:0035", "01"));
}

static void
other_lines_do_not(void **state)
{
	struct sockaddr_storage ss = at("0.0.0.0", 53);
	uint64_t inode;

	(void)state;
	assert_false(holder_match("", &ss, false, &inode));
	assert_false(holder_match("  sl  local_address rem_address   st "
				  "tx_queue rx_queue tr tm->when retrnsmt   "
				  "uid  timeout inode ref pointer drops\n",
	    &ss, false, &inode));
	assert_false(
	    holder_match(" 1: 0100007F:0035 0:0 07\n", &ss, false, &inode));
}

static void
this_process_is_found(void **state)
{
	struct sockaddr_storage ss = at("127.0.0.1", 0);
	socklen_t len = sizeof(ss);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char buf[HOLDER_TEXT_MAX], name[17] = "", want[64];

	(void)state;
	assert_int_equal(
	    bind(fd, (struct sockaddr *)&ss, sizeof(struct sockaddr_in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	assert_true(holder_find(&ss, false, buf));
	assert_int_equal(prctl(PR_GET_NAME, name), 0);
	(void)snprintf(want, sizeof(want), "%s (pid %d)", name, (int)getpid());
	assert_string_equal(buf, want);
	assert_int_equal(close(fd), 0);
	assert_false(holder_find(&ss, false, buf));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_port_and_address_match),
		cmocka_unit_test(other_lines_do_not),
		cmocka_unit_test(this_process_is_found),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
