/* SPDX-License-Identifier: ISC */
/*
 * The histograms of "show latency" as JSON.  Runs in dotproxyctl.  The keys
 * are described in dotproxyctl(8).
 */
#include "dotproxyctl/output.h"

/* The keys of a histogram: those of times say so. */
struct keys {
	const char *mean, *p50, *p90, *p99, *max, *from;
};

static const struct keys keys_time = { "mean_us", "p50_us", "p90_us", "p99_us",
	"max_us", "from_us" };
static const struct keys keys_size = { "mean", "p50", "p90", "p99", "max",
	"from" };

static void
put_hist(struct json *j, const char *name, const struct hist *h,
    const struct keys *k)
{
	uint32_t i;

	json_object(j, name);
	json_u64(j, "count", h->count);
	json_u64(j, k->mean, hist_mean_us(h));
	json_u64(j, k->p50, hist_quantile_us(h, 500));
	json_u64(j, k->p90, hist_quantile_us(h, 900));
	json_u64(j, k->p99, hist_quantile_us(h, 990));
	json_u64(j, k->max, h->max_us);
	json_array(j, "buckets");
	for (i = 0; i < HIST_BUCKETS; i++) {
		if (h->buckets[i] == 0)
			continue;
		json_object(j, NULL);
		json_u64(j, k->from, hist_lower_us(i));
		json_u64(j, "count", h->buckets[i]);
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
}

void
output_json_hists(struct json *j, const struct data *d, uint32_t index)
{
	unsigned int i;

	json_object(j, "histograms");
	for (i = 0; i < INFO_HIST_OF_UPSTREAM; i++)
		put_hist(j, msg_hist_name(i), &d->hists[index][i], &keys_time);
	json_object_end(j);
	json_object(j, "last_minute");
	put_hist(j, msg_hist_name(INFO_HIST_LATENCY), &d->recent_latency[index],
	    &keys_time);
	json_object_end(j);
}

void
output_json_client_hists(struct json *j, const struct data *d)
{
	unsigned int i;

	if (!d->have_client_hists)
		return;
	json_object(j, "clients");
	json_object(j, "histograms");
	for (i = INFO_HIST_OF_UPSTREAM; i < INFO_HIST_COUNT; i++)
		put_hist(j, msg_hist_name(i), &d->client_hists[i],
		    INFO_HIST_IS_SIZE(i) ? &keys_size : &keys_time);
	json_object_end(j);
	json_object(j, "last_minute");
	for (i = INFO_HIST_OF_UPSTREAM; i < INFO_HIST_COUNT; i++)
		if (INFO_HIST_HAS_RECENT(i))
			put_hist(j, msg_hist_name(i),
			    &d->recent_client_hists[i], &keys_time);
	json_object_end(j);
	json_object_end(j);
}
