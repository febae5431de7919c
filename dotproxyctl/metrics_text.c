/* SPDX-License-Identifier: ISC */
/*
 * Writes samples as Prometheus text 0.0.4 or OpenMetrics 1.0.0; see metrics.h.
 * Runs in the exporter's reader.  Text that is not ours is escaped twice: so
 * that it is ASCII, and so that it is a label.
 */
#include "dotproxyctl/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/log.h"

#include "dotproxyctl/format.h"

/*
 * Where the buckets of histograms end: in microseconds, and in bytes.  Each is
 * a border of struct hist's buckets, too, so that nothing is estimated.
 */
static const uint32_t bounds_us[] = { 256, 512, 1024, 2048, 3072, 4096, 6144,
	8192, 12288, 16384, 24576, 32768, 49152, 65536, 98304, 131072, 196608,
	262144, 393216, 524288, 1048576, 2097152, 4194304, 8388608 };
static const uint32_t bounds_bytes[] = { 32, 48, 64, 96, 128, 192, 256, 384,
	512, 768, 1024, 1248, 1536, 2048, 4096, 16384, 65536 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define VALUE_MAX 2048

static void __attribute__((format(printf, 2, 3)))
put(struct metrics *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vfprintf(m->out, fmt, ap) < 0)
		m->failed = true;
	va_end(ap);
}

void
metrics_family(struct metrics *m, const char *name, enum metric_type type,
    const char *unit, const char *help)
{
	static const char *const types[] = { "gauge", "counter", "histogram" };
	const char *total;

	m->name = name;
	m->counter = type == METRIC_COUNTER;
	/* Only in the older format the family has the name of its samples. */
	total = m->counter && !m->open ? "_total" : "";
	put(m, "# TYPE %s%s %s\n", name, total, types[type]);
	if (unit != NULL && m->open)
		put(m, "# UNIT %s %s\n", name, unit);
	put(m, "# HELP %s%s %s\n", name, total, help);
}

/* The value of a label between its quotes. */
static const char *
escape(char buf[VALUE_MAX], const char *value)
{
	char ascii[VALUE_MAX / 2];
	size_t i, n = 0;

	(void)log_escape(ascii, sizeof(ascii), value, strlen(value));
	for (i = 0; ascii[i] != '\0'; i++) {
		if (ascii[i] == '\\' || ascii[i] == '"')
			buf[n++] = '\\';
		buf[n++] = ascii[i];
	}
	buf[n] = '\0';
	return buf;
}

void
metrics_labels_clear(struct metrics *m)
{
	m->labels[0] = '\0';
}

void
metrics_labels_add(struct metrics *m, const char *label, const char *value)
{
	size_t len = strlen(m->labels);
	char buf[VALUE_MAX];
	int n;

	n = snprintf(m->labels + len, sizeof(m->labels) - len, "%s%s=\"%s\"",
	    len > 0 ? "," : "", label, escape(buf, value));
	if (n < 0 || (size_t)n >= sizeof(m->labels) - len)
		m->failed = true;
}

/* The name and labels of a sample. */
static void
begin(struct metrics *m, const char *suffix, const char *label,
    const char *value, const char *le)
{
	bool any = m->labels[0] != '\0' || label != NULL || le != NULL;
	const char *comma = "";
	char buf[VALUE_MAX];

	put(m, "%s%s%s", m->name, suffix, any ? "{" : "");
	if (m->labels[0] != '\0') {
		put(m, "%s", m->labels);
		comma = ",";
	}
	if (label != NULL) {
		put(m, "%s%s=\"%s\"", comma, label, escape(buf, value));
		comma = ",";
	}
	if (le != NULL)
		put(m, "%sle=\"%s\"", comma, le);
	put(m, "%s ", any ? "}" : "");
}

void
metrics_u64(struct metrics *m, const char *label, const char *value, uint64_t v)
{
	begin(m, m->counter ? "_total" : "", label, value, NULL);
	put(m, "%" PRIu64 "\n", v);
}

void
metrics_milli(
    struct metrics *m, const char *label, const char *value, uint64_t v)
{
	begin(m, m->counter ? "_total" : "", label, value, NULL);
	put(m, "%" PRIu64 ".%03u\n", v / 1000, (unsigned int)(v % 1000));
}

/* A border as OpenMetrics wants it: with a point, and no zeros behind. */
static const char *
bound_text(char buf[FORMAT_MAX], uint32_t bound, bool bytes)
{
	size_t len;

	if (bytes) {
		/* Up to and with it, where the next bucket begins at it. */
		(void)snprintf(buf, FORMAT_MAX, "%u.0", bound - 1);
		return buf;
	}
	(void)snprintf(
	    buf, FORMAT_MAX, "%u.%06u", bound / 1000000, bound % 1000000);
	for (len = strlen(buf); buf[len - 1] == '0' && buf[len - 2] != '.';
	     len--)
		buf[len - 1] = '\0';
	return buf;
}

void
metrics_hist(struct metrics *m, const char *label, const char *value,
    const struct hist *h, bool bytes)
{
	const uint32_t *bounds = bytes ? bounds_bytes : bounds_us;
	size_t i, n = bytes ? COUNT(bounds_bytes) : COUNT(bounds_us);
	char le[FORMAT_MAX];
	uint64_t seen = 0;
	uint32_t b = 0;

	for (i = 0; i < n; i++) {
		for (; b < HIST_BUCKETS && hist_lower_us(b) < bounds[i]; b++)
			seen = format_sum(seen, h->buckets[b]);
		begin(m, "_bucket", label, value,
		    bound_text(le, bounds[i], bytes));
		put(m, "%" PRIu64 "\n", seen);
	}
	for (; b < HIST_BUCKETS; b++)
		seen = format_sum(seen, h->buckets[b]);
	begin(m, "_bucket", label, value, "+Inf");
	put(m, "%" PRIu64 "\n", seen);
	begin(m, "_sum", label, value, NULL);
	if (bytes)
		put(m, "%" PRIu64 "\n", h->sum_us);
	else
		put(m, "%" PRIu64 ".%06u\n", h->sum_us / 1000000,
		    (unsigned int)(h->sum_us % 1000000));
	begin(m, "_count", label, value, NULL);
	put(m, "%" PRIu64 "\n", seen);
}
