/* SPDX-License-Identifier: ISC */
/*
 * The histograms of "show latency" as JSON.  Runs in dotproxyctl.  The keys
 * are described in dotproxyctl(8).
 */
#include "dotproxyctl/output.h"

static void
put_hist(struct json *j, const char *name, const struct hist *h)
{
	uint32_t i;

	json_object(j, name);
	json_u64(j, "count", h->count);
	json_u64(j, "mean_us", hist_mean_us(h));
	json_u64(j, "p50_us", hist_quantile_us(h, 500));
	json_u64(j, "p90_us", hist_quantile_us(h, 900));
	json_u64(j, "p99_us", hist_quantile_us(h, 990));
	json_u64(j, "max_us", h->max_us);
	json_array(j, "buckets");
	for (i = 0; i < HIST_BUCKETS; i++) {
		if (h->buckets[i] == 0)
			continue;
		json_object(j, NULL);
		json_u64(j, "from_us", hist_lower_us(i));
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
	for (i = 0; i < INFO_HIST_COUNT; i++)
		put_hist(j, msg_hist_name(i), &d->hists[index][i]);
	json_object_end(j);
}
