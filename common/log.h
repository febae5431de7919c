/* SPDX-License-Identifier: ISC */
/*
 * Logging.  One sink a process: stderr, syslog, or (in a child) a message to
 * the parent.  The sink and the level are the only process-wide state of the
 * program.  No query name and no client address is ever logged.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdarg.h>
#include <stddef.h>

/* On the wire too, see MSG_XP_LOG: keep the numbers. */
enum log_level {
	LOG_LEVEL_FATAL,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_COUNT
};

#define LOG_LINE_MAX 1024 /* bytes of one line with its NUL; longer is cut */

typedef void (*log_sink)(enum log_level, const char *line, void *arg);

/*
 * Starts logging to stderr at LOG_LEVEL_INFO; as systemd-journald likes it if
 * that is where stderr goes.
 */
void log_init_stderr(void);

/* What a sink says of the lines, so many, that were not taken. */
#define LOG_LOST_FORMAT "%u lines of the log are lost: they were not taken"

/* Sends every line to sink instead; arg is handed to it. */
void log_init_sink(log_sink sink, void *arg);

void log_set_level(enum log_level);
enum log_level log_get_level(void);

/* "error", "warn", "info", "debug"; the error level is LOG_LEVEL_FATAL. */
const char *log_level_name(enum log_level);

/* The priority that level has in syslog. */
int log_priority(enum log_level);

/* Returns the level of that name (any case), or -1. */
int log_level_parse(const char *name);

/* For operators: something needs attention.  log_warn appends strerror. */
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Writes one line at a level, as it is: for lines that came from a child. */
void log_line(enum log_level, const char *line);

/*
 * Logs and exits with status 1, running no exit handlers (OpenSSL's would
 * make system calls the sandbox refuses).  fatal appends strerror.
 */
void fatal(const char *fmt, ...)
    __attribute__((noreturn, format(printf, 1, 2)));
void fatalx(const char *fmt, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

/*
 * Copies src (not a string: len bytes) to dst, with everything but printable
 * ASCII written as \ooo: the one way in which text from elsewhere reaches a
 * person.  Cuts to fit.  Returns dst.
 */
char *log_escape(char *dst, size_t dstsize, const char *src, size_t len);

#endif
