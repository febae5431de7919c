/* SPDX-License-Identifier: ISC */
/*
 * Numbers and foreign text for people; see format.h.  Runs in dotproxyctl.
 * Text from the daemon must never reach a terminal unescaped: a process that
 * was taken over may have written it.
 */
#include "dotproxyctl/format.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

#define SECOND_MS 1000u
#define MINUTE_S 60u
#define HOUR_S 3600u
#define DAY_S 86400u

const char *
format_age(char buf[FORMAT_MAX], uint64_t ms)
{
	uint64_t s = ms / SECOND_MS;

	if (s < 10)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 ".%" PRIu64 "s", s,
		    ms % SECOND_MS / 100);
	else if (s < MINUTE_S)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 "s", s);
	else if (s < HOUR_S)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 "m%02" PRIu64 "s",
		    s / MINUTE_S, s % MINUTE_S);
	else if (s < DAY_S)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 "h%02" PRIu64 "m",
		    s / HOUR_S, s % HOUR_S / MINUTE_S);
	else if (s < 100 * (uint64_t)DAY_S)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 "d%" PRIu64 "h",
		    s / DAY_S, s % DAY_S / HOUR_S);
	else if (s < 10000 * (uint64_t)DAY_S)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 "d", s / DAY_S);
	else
		(void)snprintf(buf, FORMAT_MAX, ">9999d");
	return buf;
}

const char *
format_left(char buf[FORMAT_MAX], uint32_t ms)
{
	uint64_t s = ((uint64_t)ms + SECOND_MS - 1) / SECOND_MS;

	if (s < 100)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 "s", s);
	else if (s < 100 * MINUTE_S)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 "m",
		    (s + MINUTE_S - 1) / MINUTE_S);
	else if (s < 2 * (uint64_t)DAY_S)
		(void)snprintf(
		    buf, FORMAT_MAX, "%" PRIu64 "h", (s + HOUR_S - 1) / HOUR_S);
	else
		(void)snprintf(
		    buf, FORMAT_MAX, "%" PRIu64 "d", (s + DAY_S - 1) / DAY_S);
	return buf;
}

const char *
format_latency(char buf[FORMAT_MAX], uint64_t us)
{
	uint64_t ms = us / 1000;

	if (us == 0)
		(void)snprintf(buf, FORMAT_MAX, "-");
	else if (us < 1000)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 "us", us);
	else if (ms < 100)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 ".%" PRIu64 "ms", ms,
		    us % 1000 / 100);
	else if (ms < 1000)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 "ms", ms);
	else if (ms < 1000 * 1000)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 ".%" PRIu64 "s",
		    ms / 1000, ms % 1000 / 100);
	else
		(void)snprintf(buf, FORMAT_MAX, ">999s");
	return buf;
}

const char *
format_count(char buf[FORMAT_MAX], uint64_t n)
{
	static const char units[] = "kMGTPE";
	uint64_t thousandths = n;
	size_t i;

	if (n < 100000) {
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64, n);
		return buf;
	}
	for (i = 0; thousandths >= 1000000; i++)
		thousandths /= 1000;
	/* One decimal where it fits: 1.2M and 12.3M, but 123M. */
	if (thousandths >= 100000)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 "%c",
		    thousandths / 1000, units[i]);
	else
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 ".%" PRIu64 "%c",
		    thousandths / 1000, thousandths % 1000 / 100, units[i]);
	return buf;
}

const char *
format_few(char buf[FORMAT_MAX], uint64_t n)
{
	(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 "%s", n > 99 ? 99 : n,
	    n > 99 ? "+" : "");
	return buf;
}

const char *
format_exact(char buf[FORMAT_MAX], uint64_t n)
{
	char digits[FORMAT_MAX];
	size_t i, len, o = 0;

	(void)snprintf(digits, sizeof(digits), "%" PRIu64, n);
	len = strlen(digits);
	for (i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf[o++] = ',';
		buf[o++] = digits[i];
	}
	buf[o] = '\0';
	return buf;
}

const char *
format_percent(char buf[FORMAT_MAX], uint64_t part, uint64_t whole)
{
	uint64_t hundredths;

	if (whole == 0) {
		(void)snprintf(buf, FORMAT_MAX, "-");
		return buf;
	}
	if (part >= whole) {
		(void)snprintf(buf, FORMAT_MAX, "100%%");
		return buf;
	}
	/* As exact as a double is, and never above 99.99. */
	hundredths = (uint64_t)((double)part / (double)whole * 10000);
	if (hundredths > 9999)
		hundredths = 9999;
	if (hundredths >= 9900)
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 ".%02" PRIu64 "%%",
		    hundredths / 100, hundredths % 100);
	else
		(void)snprintf(buf, FORMAT_MAX, "%" PRIu64 ".%" PRIu64 "%%",
		    hundredths / 100, hundredths % 100 / 10);
	return buf;
}

uint64_t
format_sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

const char *
format_text(char *buf, size_t size, size_t width, const char *text)
{
	char whole[1024]; /* wider than any column */
	size_t len;

	if (width >= size)
		width = size - 1;
	log_escape(whole, sizeof(whole), text, strlen(text));
	len = strlen(whole);
	if (len <= width) {
		memcpy(buf, whole, len + 1);
		return buf;
	}
	memcpy(buf, whole, width - 2);
	memcpy(buf + width - 2, "..", 3);
	return buf;
}

/*
 * Where to break a line of more than room columns: behind the last item of an
 * enumeration if that leaves no large gap, else at the last space, else at
 * the end.
 */
static size_t
wrap_at(const char *line, size_t room)
{
	size_t n;

	for (n = room; n > room / 3; n--)
		if (line[n] == ' ' && strchr(",;:", line[n - 1]) != NULL)
			return n;
	for (n = room; n > 0; n--)
		if (line[n] == ' ')
			return n;
	return room;
}

void
format_wrap(FILE *out, size_t column, const char *text)
{
	char escaped[16384];
	const char *p = escaped;
	size_t room = FORMAT_COLUMNS - column, n;

	log_escape(escaped, sizeof(escaped), text, strlen(text));
	while (strlen(p) > room) {
		n = wrap_at(p, room);
		(void)fprintf(out, "%.*s\n%*s", (int)n, p, (int)column, "");
		p += n;
		while (*p == ' ')
			p++;
	}
	(void)fprintf(out, "%s\n", p);
}

void
format_field(FILE *out, const char *name, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)fprintf(out, "  %-*s", FORMAT_FIELD_COLUMN - 2, name);
	format_wrap(out, FORMAT_FIELD_COLUMN, text);
}

void
format_paint(FILE *out, enum format_paint paint)
{
	static const char *const codes[] = { [PAINT_GOOD] = "\033[32m",
		[PAINT_WARN] = "\033[33m",
		[PAINT_BAD] = "\033[31m",
		[PAINT_NONE] = "\033[m" };
	const char *off = getenv("NO_COLOR"), *term = getenv("TERM");
	int fd = fileno(out);

	if (fd == -1 || !isatty(fd) || (off != NULL && off[0] != '\0') ||
	    term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0)
		return;
	(void)fputs(codes[paint], out);
}

void
format_page(FILE *out, const char *text, size_t len)
{
	char escaped[5];
	size_t i;

	for (i = 0; i < len; i++) {
		/* A backslash is harmless, and may stand in a string. */
		if (text[i] == '\n' || text[i] == '\t' || text[i] == '\\')
			(void)putc(text[i], out);
		else
			(void)fputs(
			    log_escape(escaped, sizeof(escaped), text + i, 1),
			    out);
	}
}
