/* SPDX-License-Identifier: ISC */
/* Logging: levels, lines that are cut, fatal ends, and the escaping of text. */
/* LINK: common/log.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/log.h"

struct note {
	int n;
	enum log_level level;
	char line[LOG_LINE_MAX];
};

static void
note_sink(enum log_level level, const char *line, void *arg)
{
	struct note *note = arg;

	note->n++;
	note->level = level;
	assert_true(strlen(line) < LOG_LINE_MAX);
	(void)strcpy(note->line, line);
}

static void
note_init(struct note *note, enum log_level level)
{
	memset(note, 0, sizeof(*note));
	log_init_sink(note_sink, note);
	log_set_level(level);
}

/* Each level lets itself and what is graver through. */
static void
levels(void **state)
{
	struct note note;
	int level;

	(void)state;
	for (level = 0; level < LOG_LEVEL_COUNT; level++) {
		note_init(&note, (enum log_level)level);
		assert_int_equal(log_get_level(), level);
		log_warnx("w%d", 1);
		assert_int_equal(note.n, level >= LOG_LEVEL_WARN);
		errno = ENOENT;
		log_warn("w%d", 2);
		assert_int_equal(note.n, 2 * (level >= LOG_LEVEL_WARN));
		if (level >= LOG_LEVEL_WARN) {
			assert_int_equal(note.level, LOG_LEVEL_WARN);
			assert_string_equal(
			    note.line, "w2: No such file or directory");
		}
		note.n = 0;
		log_info("i%s", "x");
		assert_int_equal(note.n, level >= LOG_LEVEL_INFO);
		errno = ENOENT; /* of no concern */
		log_debug("d");
		if (level == LOG_LEVEL_DEBUG)
			assert_string_equal(note.line, "d");
		assert_int_equal(note.n,
		    (level >= LOG_LEVEL_INFO) + (level >= LOG_LEVEL_DEBUG));
		note.n = 0;
		log_line(LOG_LEVEL_FATAL, "as it is: %s");
		assert_int_equal(note.n, 1);
		assert_int_equal(note.level, LOG_LEVEL_FATAL);
		assert_string_equal(note.line, "as it is: %s");
		log_line(LOG_LEVEL_DEBUG, "x");
		assert_int_equal(note.n, 1 + (level >= LOG_LEVEL_DEBUG));
	}
}

static void
level_names(void **state)
{
	(void)state;
	assert_int_equal(log_level_parse("error"), LOG_LEVEL_FATAL);
	assert_int_equal(log_level_parse("WARN"), LOG_LEVEL_WARN);
	assert_int_equal(log_level_parse("Info"), LOG_LEVEL_INFO);
	assert_int_equal(log_level_parse("debug"), LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse(""), -1);
	assert_int_equal(log_level_parse("debugs"), -1);
	assert_int_equal(log_level_parse("warnin"), -1);
	assert_string_equal(log_level_name(LOG_LEVEL_FATAL), "error");
	assert_string_equal(log_level_name(LOG_LEVEL_DEBUG), "debug");
	assert_string_equal(log_level_name(LOG_LEVEL_COUNT), "?");
}

/* Lines around the limit, with and without an explanation behind them. */
static void
long_lines_are_cut(void **state)
{
	char text[LOG_LINE_MAX + 10];
	struct note note;
	size_t len;

	(void)state;
	note_init(&note, LOG_LEVEL_INFO);
	for (len = LOG_LINE_MAX - 30; len < LOG_LINE_MAX + 9; len++) {
		memset(text, 'x', len);
		text[len] = '\0';
		log_info("%s", text);
		assert_int_equal(strlen(note.line),
		    len < LOG_LINE_MAX ? len : LOG_LINE_MAX - 1);
		errno = ENOENT;
		log_warn("%s", text);
		assert_int_equal(strlen(note.line),
		    len + 27 < LOG_LINE_MAX ? len + 27 : LOG_LINE_MAX - 1);
	}
}

/* --- what ends the process, or goes to stderr: in a child --- */

static void
at_exit_handler(void)
{
	if (write(STDERR_FILENO, "exit handler", 12) != 12)
		abort();
}

/* Runs it in a child; returns its exit status, and what it wrote to stderr. */
static int
run_child(void (*run)(void), char out[2 * LOG_LINE_MAX])
{
	int fds[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		(void)dup2(fds[1], STDERR_FILENO);
		if (atexit(at_exit_handler) != 0)
			_exit(99);
		run();
		_exit(42);
	}
	close(fds[1]);
	while ((n = read(fds[0], out + len, 2 * LOG_LINE_MAX - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
run_fatal(void)
{
	log_init_stderr();
	errno = EACCES;
	fatal("%s", "file");
}

static void
run_fatalx(void)
{
	log_init_stderr();
	log_set_level(LOG_LEVEL_FATAL);
	fatalx("bad %d", 5);
}

static void
run_stderr(void)
{
	char text[LOG_LINE_MAX];

	log_init_stderr();
	log_set_level(LOG_LEVEL_INFO);
	log_info("first");
	log_debug("no");
	log_warnx("second");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_line(LOG_LEVEL_INFO, text);
}

static void
run_too_long(void)
{
	char text[3 * LOG_LINE_MAX];

	log_init_stderr();
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_line(LOG_LEVEL_INFO, text);
	log_info("next");
}

static void
run_journal(void)
{
	char stream[64];
	struct stat st;

	if (fstat(STDERR_FILENO, &st) == -1)
		_exit(98);
	(void)snprintf(stream, sizeof(stream), "%llu:%llu",
	    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	(void)setenv("JOURNAL_STREAM", stream, 1);
	log_init_stderr();
	log_warnx("attention");
	/* It was somebody else's standard error. */
	(void)setenv("JOURNAL_STREAM", "1:1", 1);
	log_init_stderr();
	log_info("plain");
}

/* Nobody reads the pipe: all there is room for is written, and no more. */
static void
run_unread(void)
{
	char buf[4096], *found;
	int i, fds[2];
	ssize_t n;

	if (pipe(fds) == -1 || dup2(fds[1], STDERR_FILENO) == -1)
		_exit(98);
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	log_init_stderr();
	alarm(10); /* ends what hangs */
	for (i = 0; i < 100000; i++)
		log_info("line %d", i);
	while (read(fds[0], buf, sizeof(buf)) > 0)
		;
	log_info("it is read again");
	log_info("and again");
	n = read(fds[0], buf, sizeof(buf) - 1);
	buf[n < 0 ? 0 : n] = '\0';
	found = strstr(buf, " lines of the log are lost: they were not taken\n"
			    "dotproxy: info: it is read again\n"
			    "dotproxy: info: and again\n");
	_exit(found != NULL && strncmp(buf, "dotproxy: warn: ", 16) == 0 &&
		      atoi(buf + 16) > 1000
		  ? 42
		  : 1);
}

/* A disk that is full. */
static void
run_full(void)
{
	int fd = open("/dev/full", O_WRONLY);

	if (fd == -1 || dup2(fd, STDERR_FILENO) == -1)
		_exit(98);
	log_init_stderr();
	log_info("to nobody");
	log_info("to nobody");
}

static void
log_that_is_not_taken_stops_nobody(void **state)
{
	char out[2 * LOG_LINE_MAX];

	(void)state;
	assert_int_equal(run_child(run_unread, out), 42);
	assert_int_equal(run_child(run_full, out), 42);
}

static void
fatal_ends(void **state)
{
	char out[2 * LOG_LINE_MAX];

	(void)state;
	assert_int_equal(run_child(run_fatal, out), 1);
	assert_string_equal(out, "dotproxy: error: file: Permission denied\n");
	assert_int_equal(run_child(run_fatalx, out), 1);
	assert_string_equal(out, "dotproxy: error: bad 5\n");
}

static void
journal_learns_the_level(void **state)
{
	char out[2 * LOG_LINE_MAX];

	(void)state;
	assert_int_equal(run_child(run_journal, out), 42);
	assert_string_equal(out, "<4>attention\ndotproxy: info: plain\n");
}

static void
to_stderr(void **state)
{
	char out[2 * LOG_LINE_MAX];
	const char *end;

	(void)state;
	assert_int_equal(run_child(run_stderr, out), 42);
	assert_memory_equal(out,
	    "dotproxy: info: first\ndotproxy: warn: second\n"
	    "dotproxy: info: xxxx",
	    65);
	end = strchr(strchr(strchr(out, '\n') + 1, '\n') + 1, '\n');
	assert_non_null(end);
	assert_int_equal(end[1], '\0');
	assert_int_equal(end + 1 - out, 45 + 16 + LOG_LINE_MAX);
	assert_int_equal(run_child(run_too_long, out), 42);
	assert_memory_equal(out, "dotproxy: info: xxxx", 20);
	end = strchr(out, '\n');
	assert_non_null(end);
	assert_string_equal(end, "\ndotproxy: info: next\n");
	assert_in_range(end - out, LOG_LINE_MAX, LOG_LINE_MAX + 32);
}

/* --- escaping --- */

/* Every byte: printable ASCII but the backslash is itself, no other is. */
static void
escape_every_byte(void **state)
{
	char dst[8], want[8], src;
	int c;

	(void)state;
	for (c = 0; c < 256; c++) {
		src = (char)c;
		if (c >= ' ' && c <= '~' && c != '\\')
			(void)snprintf(want, sizeof(want), "%c", c);
		else
			(void)snprintf(
			    want, sizeof(want), "\\%03o", (unsigned)c);
		assert_ptr_equal(log_escape(dst, sizeof(dst), &src, 1), dst);
		assert_string_equal(dst, want);
	}
}

/* Cuts between characters, never within an escape, never behind the end. */
static void
escape_cuts(void **state)
{
	const char src[] = "ab\ncd\xff";
	const char *want[] = { "", "a", "ab", "ab", "ab", "ab", "ab\\012",
		"ab\\012c", "ab\\012cd", "ab\\012cd", "ab\\012cd", "ab\\012cd",
		"ab\\012cd\\377", "ab\\012cd\\377" };
	char *dst;
	size_t size;

	(void)state;
	for (size = 1; size <= sizeof(want) / sizeof(want[0]); size++) {
		dst = malloc(size);
		assert_non_null(dst);
		log_escape(dst, size, src, sizeof(src) - 1);
		assert_string_equal(dst, want[size - 1]);
		free(dst);
	}
}

/* Not a string: bytes behind a NUL count, bytes behind len do not. */
static void
escape_is_not_for_strings(void **state)
{
	char dst[32];

	(void)state;
	assert_string_equal(log_escape(dst, sizeof(dst), "a\0b", 3), "a\\000b");
	assert_string_equal(log_escape(dst, sizeof(dst), "abc", 2), "ab");
	assert_string_equal(log_escape(dst, sizeof(dst), "abc", 0), "");
	assert_string_equal(log_escape(dst, sizeof(dst), NULL, 0), "");
	/* What is escaped twice shows that it was. */
	assert_string_equal(
	    log_escape(dst, sizeof(dst), "\\033", 4), "\\134033");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels),
		cmocka_unit_test(level_names),
		cmocka_unit_test(long_lines_are_cut),
		cmocka_unit_test(fatal_ends),
		cmocka_unit_test(journal_learns_the_level),
		cmocka_unit_test(log_that_is_not_taken_stops_nobody),
		cmocka_unit_test(to_stderr),
		cmocka_unit_test(escape_every_byte),
		cmocka_unit_test(escape_cuts),
		cmocka_unit_test(escape_is_not_for_strings),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
