/* SPDX-License-Identifier: ISC */
/*
 * Logging; see log.h.  Linked into every process.  The sink and the level are
 * the only mutable globals of the program.  It must never be given a query
 * name or a client address.
 */
#include "common/log.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

static void sink_stderr(enum log_level, const char *, void *);

static struct {
	log_sink sink;
	void *arg;
	enum log_level level;
	unsigned int lost; /* lines that standard error did not take */
} log_state = { sink_stderr, NULL, LOG_LEVEL_INFO, 0 };

static const char *const level_names[LOG_LEVEL_COUNT] = { "error", "warn",
	"info", "debug" };

static const int priorities[LOG_LEVEL_COUNT] = { LOG_CRIT, LOG_WARNING,
	LOG_INFO, LOG_DEBUG };

/*
 * One write a line, and none if that could block: who reads the log, or keeps
 * it, may hang, and must not make us hang.  If it fails there is nobody left to
 * tell.
 */
static bool
write_line(char *buf, size_t size, int n)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (n < 0 || poll(&pfd, 1, 0) != 1)
		return false;
	if ((size_t)n >= size) {
		n = (int)size - 1;
		buf[n - 1] = '\n';
	}
	return write(STDERR_FILENO, buf, (size_t)n) == n;
}

/* The form of a line on standard error. */
typedef int (*log_form)(char *, size_t, enum log_level, const char *line);

/* Says how many lines are missing before it goes on. */
static void
write_stderr(log_form form, enum log_level level, const char *line)
{
	char buf[LOG_LINE_MAX + 32], text[64];

	if (log_state.lost > 0) {
		(void)snprintf(
		    text, sizeof(text), LOG_LOST_FORMAT, log_state.lost);
		if (write_line(buf, sizeof(buf),
			form(buf, sizeof(buf), LOG_LEVEL_WARN, text)))
			log_state.lost = 0;
	}
	if (log_state.lost > 0 ||
	    !write_line(buf, sizeof(buf), form(buf, sizeof(buf), level, line)))
		log_state.lost++;
}

static int
form_plain(char *buf, size_t size, enum log_level level, const char *line)
{
	return snprintf(
	    buf, size, "dotproxy: %s: %s\n", level_names[level], line);
}

/* The journal reads the level from the line, and knows who writes. */
static int
form_journal(char *buf, size_t size, enum log_level level, const char *line)
{
	return snprintf(buf, size, "<%d>%s\n", priorities[level], line);
}

static void
sink_stderr(enum log_level level, const char *line, void *arg)
{
	(void)arg;
	write_stderr(form_plain, level, line);
}

static void
sink_journal(enum log_level level, const char *line, void *arg)
{
	(void)arg;
	write_stderr(form_journal, level, line);
}

/* True if standard error is what JOURNAL_STREAM says, see sd-daemon(3). */
static bool
is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char name[48];
	struct stat st;

	if (stream == NULL || fstat(STDERR_FILENO, &st) == -1)
		return false;
	(void)snprintf(name, sizeof(name), "%llu:%llu",
	    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	return strcmp(name, stream) == 0;
}

void
log_init_stderr(void)
{
	log_init_sink(is_journal() ? sink_journal : sink_stderr, NULL);
}

void
log_init_sink(log_sink sink, void *arg)
{
	log_state.sink = sink;
	log_state.arg = arg;
}

void
log_set_level(enum log_level level)
{
	log_state.level = level;
}

enum log_level
log_get_level(void)
{
	return log_state.level;
}

const char *
log_level_name(enum log_level level)
{
	return level < LOG_LEVEL_COUNT ? level_names[level] : "?";
}

int
log_priority(enum log_level level)
{
	return priorities[level];
}

int
log_level_parse(const char *name)
{
	int i;

	for (i = 0; i < LOG_LEVEL_COUNT; i++)
		if (strcasecmp(name, level_names[i]) == 0)
			return i;
	return -1;
}

void
log_line(enum log_level level, const char *line)
{
	if (level <= log_state.level)
		log_state.sink(level, line, log_state.arg);
}

/* Formats and writes a line; err is an errno to explain, or 0. */
static void
log_format(enum log_level level, int err, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX];
	size_t len;

	if (level > log_state.level)
		return;
	if (vsnprintf(line, sizeof(line), fmt, ap) < 0)
		return;
	len = strlen(line);
	if (err != 0)
		(void)snprintf(
		    line + len, sizeof(line) - len, ": %s", strerror(err));
	log_line(level, line);
}

void
log_warn(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	va_start(ap, fmt);
	log_format(LOG_LEVEL_WARN, err, fmt, ap);
	va_end(ap);
}

void
log_warnx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_format(LOG_LEVEL_WARN, 0, fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_format(LOG_LEVEL_INFO, 0, fmt, ap);
	va_end(ap);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_format(LOG_LEVEL_DEBUG, 0, fmt, ap);
	va_end(ap);
}

void
fatal(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	va_start(ap, fmt);
	log_format(LOG_LEVEL_FATAL, err, fmt, ap);
	va_end(ap);
	_exit(1);
}

void
fatalx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_format(LOG_LEVEL_FATAL, 0, fmt, ap);
	va_end(ap);
	_exit(1);
}

char *
log_escape(char *dst, size_t dstsize, const char *src, size_t len)
{
	size_t i, o = 0;
	unsigned char c;

	for (i = 0; i < len; i++) {
		c = (unsigned char)src[i];
		if (c >= 0x20 && c < 0x7f && c != '\\') {
			if (dstsize - o < 2)
				break;
			dst[o++] = (char)c;
			continue;
		}
		if (dstsize - o < 5)
			break;
		dst[o++] = '\\';
		dst[o++] = (char)('0' + (c >> 6));
		dst[o++] = (char)('0' + ((c >> 3) & 7));
		dst[o++] = (char)('0' + (c & 7));
	}
	dst[o] = '\0';
	return dst;
}
