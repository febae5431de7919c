/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/parent/notify.c common/log.c common/util.c */
/* What reaches the socket of a service manager, and when there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/util.h"
#include "dotproxy/parent/notify.h"

static char text[256];

/* Binds a socket of that name, '@' for abstract. */
static int
manager(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_true(fd != -1 && len < sizeof(sun.sun_path));
	memcpy(sun.sun_path, name, len);
	if (name[0] == '@')
		sun.sun_path[0] = '\0';
	assert_int_equal(
	    bind(fd, (struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
	    0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

/* Receives one message into text; returns the descriptor with it, or -1. */
static int
heard(int fd)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct cmsghdr *cm;
	ssize_t n = recvmsg(fd, &msg, 0);
	int sock = -1;

	assert_true(n >= 0);
	text[n] = '\0';
	cm = CMSG_FIRSTHDR(&msg);
	if (cm != NULL)
		memcpy(&sock, CMSG_DATA(cm), sizeof(sock));
	return sock;
}

static void
without_a_manager_nothing_happens(void **state)
{
	uint32_t ms = 7;

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_open(&ms), -1);
	assert_int_equal(ms, 0);
	notify_send(-1, "READY=1");
	assert_true(notify_store(-1, "name", 0));
	notify_forget(-1, "name");
	notify_wait(-1);
}

static void
a_socket_that_is_not_there_is_no_failure(void **state)
{
	static const char *const names[] = { "/nonexistent/socket", "relative",
		"@", "" };
	uint32_t ms;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		assert_int_equal(notify_open(&ms), -1);
		assert_null(getenv("NOTIFY_SOCKET"));
	}
}

static void
check_conversation(const char *name)
{
	uint32_t ms;
	int there = manager(name), fd = notify_open(&ms), sock, pair[2];
	struct stat a, b;

	assert_true(fd != -1);
	assert_null(getenv("NOTIFY_SOCKET"));
	notify_send(fd, "READY=1\nSTATUS=%s", "serving");
	assert_int_equal(heard(there), -1);
	assert_string_equal(text, "READY=1\nSTATUS=serving");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_true(notify_store(fd, "udp-127.0.0.1_53-1", pair[0]));
	sock = heard(there);
	assert_string_equal(
	    text, "FDSTORE=1\nFDNAME=udp-127.0.0.1_53-1\nFDPOLL=0");
	assert_int_equal(fstat(sock, &a), 0);
	assert_int_equal(fstat(pair[0], &b), 0);
	assert_true(a.st_ino == b.st_ino);
	notify_forget(fd, "udp-127.0.0.1_53-1");
	assert_int_equal(heard(there), -1);
	assert_string_equal(text, "FDSTOREREMOVE=1\nFDNAME=udp-127.0.0.1_53-1");
	close(pair[0]);
	close(pair[1]);
	close(sock);
	close(fd);
	close(there);
}

/* It has done what it was told when it closes the descriptor. */
static void
the_manager_is_waited_for(void **state)
{
	char name[64];
	uint32_t ms;
	int there, fd, status;
	uint64_t start_ms;
	pid_t pid;

	(void)state;
	(void)snprintf(name, sizeof(name), "@notify-wait-%ld", (long)getpid());
	there = manager(name);
	fd = notify_open(&ms);
	assert_true(fd != -1);
	start_ms = util_now_ms();
	pid = fork();
	if (pid == 0) {
		while (recv(there, text, 0, MSG_PEEK) == -1)
			usleep(1000);
		(void)heard(there);
		usleep(100000);
		_exit(strcmp(text, "BARRIER=1") != 0);
	}
	close(there);
	notify_wait(fd);
	assert_in_range(util_now_ms() - start_ms, 99, 4000);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	notify_wait(fd); /* nobody is there: at once */
	assert_true(util_now_ms() - start_ms < 4000);
	close(fd);
}

static void
a_socket_too_many_is_stored_later(void **state)
{
	char dir[] = "/tmp/notifyXXXXXX", name[64];
	int there, fd, sock;
	uint32_t ms, n = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(name, sizeof(name), "%s/socket", dir);
	there = manager(name);
	fd = notify_open(&ms);
	assert_true(fd != -1);
	while (n < 100000 && notify_store(fd, "name", 0))
		n++;
	assert_in_range(n, 1, 99999);
	sock = heard(there);
	assert_int_not_equal(sock, -1);
	close(sock);
	assert_true(notify_store(fd, "name", 0));
	close(fd);
	close(there);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void
messages_and_sockets_arrive(void **state)
{
	char dir[] = "/tmp/notifyXXXXXX", name[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(name, sizeof(name), "%s/socket", dir);
	check_conversation(name);
	unlink(name);
	rmdir(dir);
	(void)snprintf(
	    name, sizeof(name), "@dotproxy-notify-%ld", (long)getpid());
	check_conversation(name);
}

static uint32_t
watchdog(const char *usec, const char *pid)
{
	char name[64];
	uint32_t ms;
	int there, fd;

	(void)snprintf(name, sizeof(name), "@dotproxy-dog-%ld", (long)getpid());
	there = manager(name);
	setenv("WATCHDOG_USEC", usec, 1);
	if (pid != NULL)
		setenv("WATCHDOG_PID", pid, 1);
	fd = notify_open(&ms);
	assert_null(getenv("WATCHDOG_USEC"));
	assert_null(getenv("WATCHDOG_PID"));
	close(fd);
	close(there);
	return ms;
}

static void
the_watchdog_is_for_this_process(void **state)
{
	char pid[32];

	(void)state;
	(void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	assert_int_equal(watchdog("30000000", pid), 30000);
	assert_int_equal(watchdog("30000000", NULL), 30000);
	assert_int_equal(watchdog("30000000", "1"), 0);
	assert_int_equal(watchdog("soon", pid), 0);
	assert_int_equal(watchdog("99999999999999999999999", pid), 0);
	assert_int_equal(watchdog("9999999999999999", pid), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_manager_nothing_happens),
		cmocka_unit_test(a_socket_that_is_not_there_is_no_failure),
		cmocka_unit_test(the_manager_is_waited_for),
		cmocka_unit_test(a_socket_too_many_is_stored_later),
		cmocka_unit_test(messages_and_sockets_arrive),
		cmocka_unit_test(the_watchdog_is_for_this_process),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
