/* SPDX-License-Identifier: ISC */
/*
 * The log to syslogd, see syslog.h: lines as syslog(3) makes them (RFC 3164),
 * over a socket that does not block.  Runs in the parent.  It must never wait,
 * and never log.
 */
#include "dotproxy/parent/syslog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 64 /* priority, time, name and pid */

static int
connect_to(const char *path, int type)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int err, fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return -1;
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

static void
reconnect(struct syslog *s)
{
	syslog_close(s);
	s->fd = connect_to(s->path, SOCK_DGRAM);
	s->stream = s->fd == -1 && errno == EPROTOTYPE;
	if (s->stream)
		s->fd = connect_to(s->path, SOCK_STREAM);
}

void
syslog_open(struct syslog *s, const char *path)
{
	s->path = path;
	s->fd = -1;
	s->lost = 0;
	tzset();
	reconnect(s);
}

void
syslog_close(struct syslog *s)
{
	if (s->fd != -1)
		close(s->fd);
	s->fd = -1;
}

/* Returns false if the line is lost, for now or with the connection. */
static bool
try_send(struct syslog *s, const char *buf, size_t len)
{
	ssize_t n;

	if (s->fd == -1)
		return false;
	/* In a stream the NUL is the end of a line. */
	n = send(s->fd, buf, len + s->stream, MSG_NOSIGNAL);
	if (n == (ssize_t)(len + s->stream))
		return true;
	if (n != -1 || errno != EAGAIN)
		syslog_close(s);
	return false;
}

static bool
send_line(struct syslog *s, enum log_level level, const char *line)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char buf[HEAD_MAX + LOG_LINE_MAX];
	time_t now = time(NULL);
	struct tm tm;
	int n;

	if (localtime_r(&now, &tm) == NULL)
		return false;
	n = snprintf(buf, sizeof(buf),
	    "<%d>%.3s %2d %02d:%02d:%02d dotproxy[%ld]: %s",
	    LOG_DAEMON | log_priority(level), months + 3 * tm.tm_mon,
	    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (long)getpid(), line);
	if (n < 0 || (size_t)n >= sizeof(buf))
		return false;
	if (try_send(s, buf, (size_t)n))
		return true;
	if (s->fd != -1)
		return false;
	reconnect(s); /* it was started anew, or just now */
	return try_send(s, buf, (size_t)n);
}

void
syslog_line(enum log_level level, const char *line, void *arg)
{
	struct syslog *s = arg;
	char text[64];

	if (s->lost > 0) {
		(void)snprintf(text, sizeof(text), LOG_LOST_FORMAT, s->lost);
		if (send_line(s, LOG_LEVEL_WARN, text))
			s->lost = 0;
	}
	if (s->lost > 0 || !send_line(s, level, line))
		s->lost++;
}
