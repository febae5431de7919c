/* SPDX-License-Identifier: ISC */
/*
 * The lines a statsd server reads, in three dialects, and which samples of a
 * histogram become lines.  Runs in the listener; pure.  No text of a tag may
 * end the line or its field, whoever it came from: all of it is escaped.
 */
#include "dotproxy/listener/statsd_line.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "dotproxy."

struct out {
	char *buf;
	size_t len;
	bool full;
};

static void
put_char(struct out *o, char c)
{
	if (o->len == STATSD_LINE_MAX)
		o->full = true;
	else
		o->buf[o->len++] = c;
}

/* What needs no escaping: our own constants and numbers. */
static void
put_plain(struct out *o, const char *text)
{
	while (*text != '\0')
		put_char(o, *text++);
}

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* As in the query of a URL, which is what dashboards for it expect. */
static void
put_influx(struct out *o, const char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	uint8_t c;

	for (; *text != '\0'; text++) {
		c = (uint8_t)*text;
		if (is_word(*text) || c == '.' || c == '~')
			put_char(o, *text);
		else if (c == ' ')
			put_char(o, '+');
		else {
			put_char(o, '%');
			put_char(o, digits[c >> 4]);
			put_char(o, digits[c & 0xf]);
		}
	}
}

/* There is no way to escape anything: what would end a tag is replaced. */
static void
put_dogstatsd(struct out *o, const char *text)
{
	for (; *text != '\0'; text++)
		put_char(o, is_word(*text) || strchr(".:/[]~", *text) != NULL
				? *text
				: '_');
}

/* A tag is a part of the name here, and dots are between these. */
static void
put_statsd(struct out *o, const char *text)
{
	for (; *text != '\0'; text++)
		put_char(o, is_word(*text) ? *text : '_');
}

static void
put_tags_dogstatsd(struct out *o, const struct statsd_line *l)
{
	size_t i;

	for (i = 0; i < l->ntags; i++) {
		put_plain(o, i == 0 ? "|#" : ",");
		put_dogstatsd(o, l->tags[i].key);
		put_char(o, ':');
		put_dogstatsd(
		    o, l->tags[i].value[0] != '\0' ? l->tags[i].value : "null");
	}
}

static void
put_tags_influx(struct out *o, const struct statsd_line *l)
{
	size_t i;

	for (i = 0; i < l->ntags; i++) {
		put_char(o, ',');
		put_influx(o, l->tags[i].key);
		put_char(o, '=');
		put_influx(
		    o, l->tags[i].value[0] != '\0' ? l->tags[i].value : "null");
	}
}

/* A version would make other metrics of the same after an update. */
static void
put_tags_statsd(struct out *o, const struct statsd_line *l)
{
	size_t i;

	for (i = 0; i < l->ntags; i++) {
		if (l->tags[i].value[0] == '\0' ||
		    strcmp(l->tags[i].key, "version") == 0)
			continue;
		put_char(o, '.');
		put_statsd(o, l->tags[i].value);
	}
}

size_t
statsd_line_format(enum conf_flavour flavour, const struct statsd_line *l,
    char buf[STATSD_LINE_MAX])
{
	static const char *const types[] = { "|c", "|g", "|ms" };
	struct out o = { .buf = buf };

	put_plain(&o, PREFIX);
	put_plain(&o, l->name);
	if (flavour == FLAVOUR_INFLUX)
		put_tags_influx(&o, l);
	else if (flavour == FLAVOUR_STATSD)
		put_tags_statsd(&o, l);
	put_char(&o, ':');
	put_plain(&o, l->value);
	put_plain(&o, types[l->type]);
	if (l->rate[0] != '\0') {
		put_plain(&o, "|@");
		put_plain(&o, l->rate);
	}
	if (flavour == FLAVOUR_DOGSTATSD)
		put_tags_dogstatsd(&o, l);
	put_char(&o, '\n');
	return o.full ? 0 : o.len;
}

/* Takes away what says nothing after a point. */
static void
trim_zeros(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] == '0')
		len--;
	if (len > 0 && text[len - 1] == '.')
		len--;
	text[len] = '\0';
}

void
statsd_put_ms(char value[STATSD_VALUE_MAX], uint64_t us)
{
	(void)snprintf(value, STATSD_VALUE_MAX, "%" PRIu64 ".%03u", us / 1000,
	    (unsigned int)(us % 1000));
	trim_zeros(value);
}

/* Servers take its inverse: so there are twelve places, of n up to 2^40. */
void
statsd_put_rate(char rate[STATSD_VALUE_MAX], uint64_t m, uint64_t n)
{
	if (m >= n)
		rate[0] = '\0';
	else {
		(void)snprintf(
		    rate, STATSD_VALUE_MAX, "%.12f", (double)m / (double)n);
		trim_zeros(rate);
	}
}

/* A process that was started again has counted from nothing. */
static uint64_t
fresh_in(const struct hist *now, const struct hist *before, uint32_t bucket)
{
	uint64_t a = now->buckets[bucket], b = before->buckets[bucket];

	return a >= b ? a - b : a;
}

uint64_t
statsd_fresh(const struct hist *now, const struct hist *before)
{
	uint64_t n = 0;
	uint32_t i;

	for (i = 0; i < HIST_BUCKETS; i++)
		n += fresh_in(now, before, i);
	return n;
}

uint32_t
statsd_sampled(uint64_t n, uint32_t sample_ppm, uint32_t most)
{
	uint64_t m;

	/* Beyond this all is more than most, and a product might not fit. */
	if (n > UINT64_C(1) << 40)
		n = UINT64_C(1) << 40;
	m = (n * sample_ppm + CONF_SAMPLE_PPM_MAX - 1) / CONF_SAMPLE_PPM_MAX;
	return m < most ? (uint32_t)m : most;
}

uint64_t
statsd_sample(const struct hist *now, const struct hist *before,
    struct statsd_cursor *c, uint32_t i, uint32_t m, uint64_t n)
{
	uint64_t rank, us;

	/* The middle of each of m equal parts. */
	rank = (uint64_t)(((double)i + 0.5) * (double)n / (double)m);
	while (c->bucket < HIST_BUCKETS - 1 &&
	       c->seen + fresh_in(now, before, c->bucket) <= rank)
		c->seen += fresh_in(now, before, c->bucket++);
	us = hist_middle_us(c->bucket);
	return us < now->max_us ? us : now->max_us;
}
