/* SPDX-License-Identifier: ISC */
/*
 * Collects lines into datagrams and sends these to the statsd server, over a
 * socket that the parent has connected.  Runs in the listener.  A server that
 * is not there is counted and else ignored: it must cost nobody an answer, nor
 * the log a line.  Must never name another address.
 */
#include "dotproxy/listener/statsd_emit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void
statsd_push(struct statsd *st)
{
	struct listener *l = st->listener;
	ssize_t n;

	if (st->len == 0)
		return;
	n = send(st->fd, st->buf, st->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* That is about one sent before, and in place of this one. */
	if (n == -1 && errno == ECONNREFUSED) {
		l->counters[LSTAT_statsd_failed]++;
		n = send(st->fd, st->buf, st->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	l->counters[n == -1 ? LSTAT_statsd_failed : LSTAT_statsd_sent]++;
	st->len = 0;
}

static void
emit(struct statsd *st, struct statsd_line *line, const struct statsd_tags *own)
{
	const struct statsd_tag version = { "version", DOTPROXY_VERSION };
	const struct statsd_tag worker = { "worker", st->worker };
	char buf[STATSD_LINE_MAX];
	size_t i, len;

	if (st->silent || st->lines_left == 0)
		return;
	st->lines_left--;
	line->ntags = 0;
	for (i = 0; own != NULL && i < own->n; i++)
		line->tags[line->ntags++] = own->tags[i];
	line->tags[line->ntags++] = version;
	if (st->worker[0] != '\0')
		line->tags[line->ntags++] = worker;
	len = statsd_line_format(st->conf.conf.flavour, line, buf);
	if (len > st->conf.conf.payload - st->len)
		statsd_push(st);
	memcpy(st->buf + st->len, buf, len);
	st->len += len;
}

static void
emit_number(struct statsd *st, const char *name, enum statsd_type type,
    uint64_t n, const struct statsd_tags *tags)
{
	struct statsd_line line = { .name = name, .type = type };

	(void)snprintf(line.value, sizeof(line.value), "%" PRIu64, n);
	emit(st, &line, tags);
}

void
statsd_count(struct statsd *st, const char *name, uint64_t n,
    const struct statsd_tags *tags)
{
	if (n > 0)
		emit_number(st, name, STATSD_COUNT, n, tags);
}

void
statsd_gauge(struct statsd *st, const char *name, uint64_t n,
    const struct statsd_tags *tags)
{
	emit_number(st, name, STATSD_GAUGE, n, tags);
}

void
statsd_times(struct statsd *st, const char *name, bool size,
    const struct hist *now, const struct hist *before,
    const struct statsd_tags *tags)
{
	struct statsd_line line = { .name = name, .type = STATSD_TIME };
	struct statsd_cursor cursor = { 0 };
	uint64_t n = statsd_fresh(now, before), v;
	uint32_t i, m;

	m = statsd_sampled(n, st->conf.conf.sample_ppm, st->times_each);
	statsd_put_rate(line.rate, m, n);
	for (i = 0; i < m; i++) {
		v = statsd_sample(now, before, &cursor, i, m, n);
		if (size)
			(void)snprintf(
			    line.value, sizeof(line.value), "%" PRIu64, v);
		else
			statsd_put_ms(line.value, v);
		emit(st, &line, tags);
	}
}
