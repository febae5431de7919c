/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/parent/inherit.c dotproxy/parent/notify.c */
/* LINK: common/log.c common/util.c */
/* Which of the sockets that were handed over fit a line of the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/conf.h"
#include "dotproxy/parent/inherit.h"

#define FIRST 3
#define NHANDED 4

/* Descriptors 3 to 6, which the test program has for itself. */
enum handed { UDP, TCP, TCP_DEAF, PIPE };

static struct sockaddr_storage addrs[NHANDED];

static int
bound(int type, bool deaf, struct sockaddr_storage *addr)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, type, 0);

	assert_true(fd != -1);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	if (type == SOCK_STREAM && !deaf)
		assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
	return fd;
}

static void
listed(const char *n, const char *pid)
{
	char own[32];

	(void)snprintf(own, sizeof(own), "%ld", (long)getpid());
	setenv("LISTEN_FDS", n, 1);
	setenv("LISTEN_PID", pid != NULL ? pid : own, 1);
	setenv("LISTEN_FDNAMES", "a:b:c:d", 1);
}

static int
hand_over(void **state)
{
	int fds[NHANDED], pair[2], i;

	(void)state;
	memset(addrs, 0, sizeof(addrs));
	assert_int_equal(pipe(pair), 0);
	fds[UDP] = bound(SOCK_DGRAM, false, &addrs[UDP]);
	fds[TCP] = bound(SOCK_STREAM, false, &addrs[TCP]);
	fds[TCP_DEAF] = bound(SOCK_STREAM, true, &addrs[TCP_DEAF]);
	fds[PIPE] = pair[0];
	for (i = 0; i < NHANDED; i++) /* out of the way first */
		fds[i] = fcntl(fds[i], F_DUPFD, 100);
	for (i = 0; i < NHANDED; i++)
		assert_int_equal(dup2(fds[i], FIRST + i), FIRST + i);
	assert_int_equal(close_range(FIRST + NHANDED, ~0U, 0), 0);
	listed("4", NULL);
	return 0;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

static void
what_fits_is_taken_once(void **state)
{
	struct inherit in;

	(void)state;
	assert_int_equal(inherit_init(&in), FIRST + NHANDED);
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDNAMES"));
	assert_int_equal(fcntl(FIRST, F_GETFD), FD_CLOEXEC);
	assert_int_equal(
	    inherit_take(&in, &addrs[UDP], false, ""), FIRST + UDP);
	assert_int_not_equal(fcntl(FIRST + UDP, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(inherit_take(&in, &addrs[UDP], false, ""), -1);
	assert_int_equal(inherit_take(&in, &addrs[TCP], true, ""), FIRST + TCP);
	inherit_end(&in, -1);
	assert_true(is_open(FIRST + UDP) && is_open(FIRST + TCP));
	assert_false(is_open(FIRST + TCP_DEAF) || is_open(FIRST + PIPE));
}

/* Several workers' sockets have the same address. */
static void
what_has_the_name_is_taken_first(void **state)
{
	struct inherit in;

	(void)state;
	assert_int_equal(dup2(FIRST + UDP, FIRST + PIPE), FIRST + PIPE);
	assert_int_equal(inherit_init(&in), FIRST + NHANDED);
	assert_int_equal(
	    inherit_take(&in, &addrs[UDP], false, "d"), FIRST + PIPE);
	assert_int_equal(
	    inherit_take(&in, &addrs[UDP], false, "d"), FIRST + UDP);
	inherit_end(&in, -1);
}

/* Before others are bound, which they could be in the way of. */
static void
what_no_line_has_is_given_back(void **state)
{
	static struct conf conf = { .nlistens = 2 };
	struct inherit in;

	(void)state;
	conf.listens[0].addr = addrs[UDP];
	conf.listens[0].udp = true;
	conf.listens[1].addr = addrs[TCP]; /* only what does not fit */
	conf.listens[1].udp = true;
	assert_int_equal(inherit_init(&in), FIRST + NHANDED);
	inherit_give_back(&in, &conf, -1);
	assert_true(is_open(FIRST + UDP) && is_open(FIRST + PIPE));
	assert_false(is_open(FIRST + TCP) || is_open(FIRST + TCP_DEAF));
	assert_int_equal(inherit_take(&in, &addrs[TCP], true, ""), -1);
	assert_int_equal(
	    inherit_take(&in, &addrs[UDP], false, ""), FIRST + UDP);
	inherit_end(&in, -1);
}

/* Else it keeps them open, and the kernel goes on giving them queries. */
static void
the_manager_forgets_what_is_not_taken(void **state)
{
	static const char *const lines[] = { "FDSTOREREMOVE=1\nFDNAME=c",
		"FDSTOREREMOVE=1\nFDNAME=d" };
	struct inherit in;
	char text[64];
	int pair[2];
	size_t i;
	ssize_t n;

	(void)state;
	assert_int_equal(inherit_init(&in), FIRST + NHANDED);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	assert_int_equal(
	    inherit_take(&in, &addrs[UDP], false, ""), FIRST + UDP);
	assert_int_equal(inherit_take(&in, &addrs[TCP], true, ""), FIRST + TCP);
	inherit_end(&in, pair[0]);
	close(pair[0]);
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		n = read(pair[1], text, sizeof(text) - 1);
		assert_true(n > 0);
		text[n] = '\0';
		assert_string_equal(text, lines[i]);
	}
	assert_true(recv(pair[1], text, sizeof(text), MSG_DONTWAIT) <= 0);
	close(pair[1]);
}

static void
what_does_not_fit_is_not(void **state)
{
	struct inherit in;

	(void)state;
	assert_int_equal(inherit_init(&in), FIRST + NHANDED);
	assert_int_equal(inherit_take(&in, &addrs[UDP], true, ""), -1);
	assert_int_equal(inherit_take(&in, &addrs[TCP], false, ""), -1);
	assert_int_equal(inherit_take(&in, &addrs[TCP_DEAF], true, ""), -1);
	((struct sockaddr_in *)&addrs[UDP])->sin_port ^= 0xffff;
	assert_int_equal(inherit_take(&in, &addrs[UDP], false, ""), -1);
	inherit_end(&in, -1);
	assert_false(is_open(FIRST + UDP));
}

static void
none_are_taken(const char *n, const char *pid)
{
	struct inherit in;

	listed(n, pid);
	assert_int_equal(inherit_init(&in), FIRST);
	assert_int_equal(inherit_take(&in, &addrs[UDP], false, ""), -1);
	inherit_end(&in, -1);
	assert_true(is_open(FIRST + UDP)); /* main() closes from there on */
}

static void
a_list_for_somebody_else_is_none(void **state)
{
	struct inherit in;

	(void)state;
	none_are_taken("4", "1");
	none_are_taken("many", NULL);
	none_are_taken("99999999999999999999", NULL);
	none_are_taken("-1", NULL);
	none_are_taken("16385", NULL);
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	assert_int_equal(inherit_init(&in), FIRST);
}

static void
a_list_that_is_too_long_has_what_there_is(void **state)
{
	struct inherit in;

	(void)state;
	listed("9", NULL);
	assert_int_equal(inherit_init(&in), FIRST + 9);
	assert_int_equal(in.n, NHANDED);
	inherit_end(&in, -1);
}

static int
restarted(void **state)
{
	static const int fds[] = { FIRST + UDP, FIRST + TCP, FIRST + PIPE };

	(void)hand_over(state);
	unsetenv("LISTEN_FDS");
	return inherit_leave(UINT64_MAX, 3, fds, 3);
}

static void
what_a_restart_has_left_is_taken(void **state)
{
	struct inherit in;

	(void)state;
	assert_int_equal(inherit_init(&in), FIRST + PIPE + 1);
	assert_null(getenv("DOTPROXY_RESTART"));
	assert_true(in.restarted);
	assert_true(in.filter == UINT64_MAX);
	assert_int_equal(in.nfilters, 3);
	assert_int_equal(in.n, 3);
	assert_int_equal(fcntl(FIRST + UDP, F_GETFD), FD_CLOEXEC);
	assert_int_equal(
	    inherit_take(&in, &addrs[UDP], false, ""), FIRST + UDP);
	assert_int_equal(inherit_take(&in, &addrs[TCP], true, ""), FIRST + TCP);
	inherit_end(&in, -1);
	assert_false(is_open(FIRST + PIPE));
}

/* A child's environment, or somebody's who has copied it. */
static void
a_restart_of_somebody_else_is_none(void **state)
{
	static const char *const texts[] = { "1 5 1 3 4", "", "x", "0",
		"99999999999999999999 5 1 3", "-1 5 1 3" };
	struct inherit in;
	size_t i;

	(void)state;
	unsetenv("LISTEN_FDS");
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		setenv("DOTPROXY_RESTART", texts[i], 1);
		assert_int_equal(inherit_init(&in), FIRST);
		assert_false(in.restarted);
		assert_int_equal(in.n + in.nfilters, 0);
		assert_null(getenv("DOTPROXY_RESTART"));
		inherit_end(&in, -1);
	}
}

static void
unix_socket_is_known_by_its_path(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct inherit in;
	char other[sizeof(sun.sun_path) + 1];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "/tmp/test.%ld",
	    (long)getpid());
	(void)snprintf(other, sizeof(other), "%s0", sun.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(unlink(sun.sun_path), 0);
	assert_int_equal(inherit_leave(0, 1, &fd, 1), 0);
	assert_int_equal(inherit_init(&in), fd + 1);
	assert_int_equal(inherit_take_unix(&in, other), -1);
	assert_int_equal(inherit_take(&in, &addrs[TCP], true, ""), -1);
	assert_int_equal(inherit_take_unix(&in, sun.sun_path), fd);
	assert_int_equal(inherit_take_unix(&in, sun.sun_path), -1);
	inherit_end(&in, -1);
	assert_true(is_open(fd));
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_fits_is_taken_once, hand_over),
		cmocka_unit_test_setup(
		    what_has_the_name_is_taken_first, hand_over),
		cmocka_unit_test_setup(
		    the_manager_forgets_what_is_not_taken, hand_over),
		cmocka_unit_test_setup(
		    what_no_line_has_is_given_back, hand_over),
		cmocka_unit_test_setup(what_does_not_fit_is_not, hand_over),
		cmocka_unit_test_setup(
		    a_list_for_somebody_else_is_none, hand_over),
		cmocka_unit_test_setup(
		    a_list_that_is_too_long_has_what_there_is, hand_over),
		cmocka_unit_test_setup(
		    what_a_restart_has_left_is_taken, restarted),
		cmocka_unit_test_setup(
		    a_restart_of_somebody_else_is_none, hand_over),
		cmocka_unit_test_setup(
		    unix_socket_is_known_by_its_path, hand_over),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
