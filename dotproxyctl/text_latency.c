/* SPDX-License-Identifier: ISC */
/*
 * "show latency" as text: for each upstream what it takes, as percentiles and
 * as a histogram, a line for each doubling.  Runs in dotproxyctl.  No line is
 * longer than 80 columns, whatever the daemon says.
 */
#include <string.h>

#include "common/util.h"

#include "dotproxyctl/format.h"
#include "dotproxyctl/output.h"

#define OCTAVES (HIST_BUCKETS / HIST_SUB) /* the first has two of them */
#define BARS INFO_HIST_OPEN               /* the kinds before it have one */
#define BAR_WIDTH 14
#define BAR_COLUMNS (9 + BAR_WIDTH) /* with its share */

/* How many samples are in an octave. */
static uint64_t
octave(const struct hist *h, uint32_t o)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = o * HIST_SUB; i < (o + 1) * HIST_SUB; i++)
		sum = format_sum(sum, h->buckets[i]);
	return sum;
}

static void
put_percentiles_head(FILE *out)
{
	(void)fprintf(out, "\n  %-15s  %6s  %6s  %6s  %6s  %6s\n", "", "COUNT",
	    "P50", "P90", "P99", "MAX");
}

/* Bytes are written as numbers are, times as times. */
static void
put_percentiles(
    FILE *out, const char *name, const struct hist *h, unsigned int which)
{
	const char *(*text)(char[FORMAT_MAX], uint64_t) =
	    INFO_HIST_IS_SIZE(which) ? format_count : format_latency;
	char n[FORMAT_MAX], p50[FORMAT_MAX], p90[FORMAT_MAX], p99[FORMAT_MAX];
	char max[FORMAT_MAX];

	(void)fprintf(out, "  %-15s  %6s  %6s  %6s  %6s  %6s\n", name,
	    format_count(n, h->count), text(p50, hist_quantile_us(h, 500)),
	    text(p90, hist_quantile_us(h, 900)),
	    text(p99, hist_quantile_us(h, 990)), text(max, h->max_us));
}

/* A share and its bar: whatever is there has at least one mark. */
static void
bar(char buf[BAR_COLUMNS + 1], uint64_t n, uint64_t all)
{
	char percent[FORMAT_MAX], marks[BAR_WIDTH + 1];
	size_t len = 0;

	if (n > 0 && all > 0) {
		len = (size_t)((double)n / (double)all * BAR_WIDTH + 0.5);
		len = len < 1 ? 1 : len > BAR_WIDTH ? BAR_WIDTH : len;
	}
	memset(marks, '#', len);
	marks[len] = '\0';
	(void)snprintf(buf, BAR_COLUMNS + 1, "  %6s %-*s",
	    n > 0 ? format_percent(percent, n, all) : "", BAR_WIDTH, marks);
}

static void
put_row(FILE *out, const struct hist *h, uint32_t o)
{
	char row[BARS * BAR_COLUMNS + 1], below[FORMAT_MAX];
	size_t k, len;

	for (k = 0; k < BARS; k++)
		bar(row + k * BAR_COLUMNS, octave(&h[k], o), h[k].count);
	for (len = strlen(row); len > 0 && row[len - 1] == ' '; len--)
		row[len - 1] = '\0';
	(void)fprintf(out, "  %-7s%s\n",
	    o == OCTAVES - 1
		? "more"
		: format_latency(below, hist_lower_us((o + 1) * HIST_SUB)),
	    row);
}

static void
put_rows(FILE *out, const struct hist *h)
{
	uint32_t o, first = OCTAVES, last = 0;
	size_t k;

	for (o = 0; o < OCTAVES; o++)
		for (k = 0; k < BARS; k++)
			if (octave(&h[k], o) > 0) {
				first = o < first ? o : first;
				last = o;
			}
	if (first == OCTAVES)
		return;
	(void)fprintf(out, "\n  %-7s  %-21s  %-21s  %s\n", "BELOW", "LATENCY",
	    "CONNECT", "HANDSHAKE");
	for (o = first; o <= last; o++)
		put_row(out, h, o);
}

/* How long clients wait, and how long queries and answers are. */
static void
put_clients(FILE *out, const struct data *d)
{
	static const char *const names[INFO_HIST_COUNT] = {
		[INFO_HIST_RTT_UDP] = "UDP",
		[INFO_HIST_RTT_TCP] = "TCP",
		[INFO_HIST_QUERY_SIZE_UDP] = "UDP query, B",
		[INFO_HIST_QUERY_SIZE_TCP] = "TCP query, B",
		[INFO_HIST_ANSWER_SIZE_UDP] = "UDP answer, B",
		[INFO_HIST_ANSWER_SIZE_TCP] = "TCP answer, B",
	};
	unsigned int i;

	(void)fputs("\nclients\n", out);
	put_percentiles_head(out);
	for (i = INFO_HIST_OF_UPSTREAM; i < INFO_HIST_COUNT; i++) {
		put_percentiles(out, names[i], &d->client_hists[i], i);
		if (INFO_HIST_HAS_RECENT(i))
			put_percentiles(out, "  last minute",
			    &d->recent_client_hists[i], i);
	}
}

static void
put_upstream(FILE *out, const struct info_upstream *u, const struct data *d)
{
	const struct hist *hists = d->hists[u->index];
	char a[FORMAT_MAX], b[FORMAT_MAX], c[FORMAT_MAX], e[FORMAT_MAX];
	char f[FORMAT_MAX];
	unsigned int i;

	(void)putc('\n', out);
	format_wrap(out, 0, u->name);
	format_field(out, "hedges",
	    "%s sent, %s rescues, %s won, %s lost, "
	    "%s denied by the budget",
	    format_count(a, u->hedges), format_count(b, u->rescues),
	    format_count(c, u->hedges_won), format_count(e, u->hedges_lost),
	    format_count(f, u->hedges_denied));
	format_field(out, "handshakes", "%s full, %s resumed, %s dialled ahead",
	    format_count(
		a, u->opened > u->resumed ? u->opened - u->resumed : 0),
	    format_count(b, u->resumed), format_count(c, u->warm_dials));
	put_percentiles_head(out);
	for (i = 0; i < INFO_HIST_OF_UPSTREAM; i++) {
		put_percentiles(out, msg_hist_name(i), &hists[i], i);
		if (INFO_HIST_HAS_RECENT(i))
			put_percentiles(out, "  last minute",
			    &d->recent_latency[u->index], i);
	}
	put_rows(out, hists);
}

void
text_latency(FILE *out, const struct data *d)
{
	const uint64_t *v = d->pool_counters.values;
	char a[FORMAT_MAX], b[FORMAT_MAX];
	size_t i;

	if (d->have_pool)
		(void)fprintf(out, "policy %s\n",
		    conf_policy_name((enum conf_policy)d->pool.policy));
	if (d->have_pool_counters)
		(void)fprintf(out,
		    "%s queries had to wait for a connection, "
		    "%s times an upstream was let go\n",
		    format_count(a, v[TSTAT_waited]),
		    format_count(b, v[TSTAT_sleeps]));
	if (d->have_client_hists)
		put_clients(out, d);
	for (i = 0; i < d->nupstreams; i++)
		put_upstream(out, &d->upstreams[i], d);
}
