/* SPDX-License-Identifier: ISC */
/* LINK: common/log.c dotproxy/parent/syslog.c */
/*
 * The log to a syslogd that the test plays: what it gets, and that nobody waits
 * for one that hangs, is not there, or goes and comes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "dotproxy/parent/syslog.h"

#define PATH "test_syslog.sock"

static char got[LOG_LINE_MAX + 128];

static int
serve(int type)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);

	(void)unlink(PATH);
	assert_int_not_equal(fd, -1);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), PATH);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 5), 0);
	alarm(20); /* ends what hangs */
	return fd;
}

/* The next line, or "". */
static const char *
next(int fd)
{
	ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

	got[n < 0 ? 0 : n] = '\0';
	return got;
}

/* All after the priority, the time, the name and the number. */
static const char *
text_of(const char *line)
{
	const char *text = strstr(line, "]: ");

	assert_non_null(text);
	return text + 3;
}

static void
test_lines_are_those_of_syslog(void **state)
{
	struct syslog s;
	int fd = serve(SOCK_DGRAM), day, h, m, sec, end = 0;
	unsigned int pri, pid;
	char month[4];

	(void)state;
	syslog_open(&s, PATH);
	syslog_line(LOG_LEVEL_WARN, "some text", &s);
	assert_int_equal(
	    sscanf(next(fd), "<%u>%3s %d %d:%d:%d dotproxy[%u]: %n", &pri,
		month, &day, &h, &m, &sec, &pid, &end),
	    7);
	assert_int_equal(pri, 3 * 8 + 4); /* daemon, warning */
	assert_int_equal(pid, getpid());
	assert_string_equal(got + end, "some text");
	assert_int_equal(strchr(got, '>')[4], ' ');
	assert_int_equal(strchr(got, '>')[16], ' ');
	syslog_close(&s);
	close(fd);
}

static void
test_longest_line(void **state)
{
	struct syslog s;
	char text[LOG_LINE_MAX];
	int fd = serve(SOCK_DGRAM);

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	syslog_open(&s, PATH);
	syslog_line(LOG_LEVEL_INFO, text, &s);
	assert_string_equal(text_of(next(fd)), text);
	syslog_close(&s);
	close(fd);
}

static void
test_syslogd_that_hangs_stops_nobody(void **state)
{
	struct syslog s;
	unsigned int i, n = 0, lost;
	int fd = serve(SOCK_DGRAM);

	(void)state;
	syslog_open(&s, PATH);
	for (i = 0; i < 5000; i++)
		syslog_line(LOG_LEVEL_INFO, "text", &s);
	while (*next(fd) != '\0')
		n++;
	assert_in_range(n, 1, 4999);
	syslog_line(LOG_LEVEL_INFO, "read again", &s);
	assert_int_equal(sscanf(text_of(next(fd)), "%u lines", &lost), 1);
	assert_int_equal(lost, 5000 - n);
	assert_string_equal(text_of(next(fd)), "read again");
	syslog_line(LOG_LEVEL_INFO, "one more", &s);
	assert_string_equal(text_of(next(fd)), "one more");
	assert_string_equal(next(fd), "");
	syslog_close(&s);
	close(fd);
}

static void
test_syslogd_comes_late_and_goes(void **state)
{
	struct syslog s;
	int fd;

	(void)state;
	(void)unlink(PATH);
	syslog_open(&s, PATH);
	syslog_line(LOG_LEVEL_INFO, "to nobody", &s);
	fd = serve(SOCK_DGRAM);
	syslog_line(LOG_LEVEL_INFO, "here", &s);
	assert_string_equal(text_of(next(fd)),
	    "1 lines of the log are lost: they were not taken");
	assert_string_equal(text_of(next(fd)), "here");
	close(fd);
	fd = serve(SOCK_DGRAM); /* started anew */
	syslog_line(LOG_LEVEL_INFO, "again", &s);
	assert_string_equal(text_of(next(fd)), "again");
	syslog_close(&s);
	close(fd);
}

static void
test_syslogd_that_wants_a_stream(void **state)
{
	struct syslog s;
	int fd = serve(SOCK_STREAM), conn, i;

	(void)state;
	syslog_open(&s, PATH);
	assert_true(s.stream);
	conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
	assert_int_not_equal(conn, -1);
	syslog_line(LOG_LEVEL_INFO, "first", &s);
	syslog_line(LOG_LEVEL_INFO, "second", &s);
	(void)next(conn);
	assert_string_equal(text_of(got), "first");
	assert_string_equal(text_of(got + strlen(got) + 1), "second");
	for (i = 0; i < 100000; i++)
		syslog_line(LOG_LEVEL_INFO, "text", &s);
	assert_in_range(s.lost, 1, 100000);
	syslog_close(&s);
	close(conn);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_are_those_of_syslog),
		cmocka_unit_test(test_longest_line),
		cmocka_unit_test(test_syslogd_that_hangs_stops_nobody),
		cmocka_unit_test(test_syslogd_comes_late_and_goes),
		cmocka_unit_test(test_syslogd_that_wants_a_stream),
	};
	char folder[] = "/tmp/test_syslog.XXXXXX";
	int failed;

	if (mkdtemp(folder) == NULL || chdir(folder) == -1)
		return 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(PATH);
	(void)rmdir(folder);
	return failed;
}
