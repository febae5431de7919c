/* SPDX-License-Identifier: ISC */
/*
 * Adds up what several workers answer; see sum.h.  Runs in dotproxyctl.  The
 * numbers are what others claim: sums stop at the largest there is, and tables
 * at their limits.
 */
#include "dotproxyctl/sum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dotproxyctl/format.h"

static void
add64(uint64_t *sum, uint64_t n)
{
	*sum = format_sum(*sum, n);
}

static void
add32(uint32_t *sum, uint32_t n)
{
	*sum = n > UINT32_MAX - *sum ? UINT32_MAX : *sum + n;
}

static void
raise64(uint64_t *most, uint64_t n)
{
	if (n > *most)
		*most = n;
}

/* How long the first of them has been up stands for all. */
static void
sum_counters(struct info_counters *sum, const struct info_counters *part)
{
	uint32_t i;

	sum->source = part->source;
	sum->n = part->n;
	raise64(&sum->uptime_ms, part->uptime_ms);
	for (i = 0; i < part->n && i < INFO_COUNTERS_MAX; i++)
		add64(&sum->values[i], part->values[i]);
}

static void
sum_pool(struct info_pool *sum, const struct info_pool *part)
{
	sum->policy = part->policy;
	sum->nupstreams = part->nupstreams;
	add32(&sum->inflight, part->inflight);
	add32(&sum->parked, part->parked);
	add32(&sum->max_inflight, part->max_inflight);
}

/* The mean of all answers, before their numbers are added. */
static uint64_t
mean_of(const struct info_upstream *a, const struct info_upstream *b)
{
	double n = (double)a->answers + (double)b->answers;

	if (n < 1)
		return 0;
	return (uint64_t)(((double)a->latency_mean_us * (double)a->answers +
			      (double)b->latency_mean_us * (double)b->answers) /
			  n);
}

/* What one worker cannot reach is worth knowing, though others can. */
static void
sum_state(struct info_upstream *sum, const struct info_upstream *part)
{
	static const uint8_t weight[STATE_COUNT] = { [STATE_IDLE] = 0,
		[STATE_CONNECTING] = 1,
		[STATE_UP] = 2,
		[STATE_BACKOFF] = 3,
		[STATE_DISABLED] = 4 };

	if (weight[part->state] > weight[sum->state])
		sum->state = part->state;
	if (data_upstream_down(part) || sum->last_cause == CAUSE_NONE)
		sum->last_cause = part->last_cause;
	if (part->backoff_left_ms > sum->backoff_left_ms)
		sum->backoff_left_ms = part->backoff_left_ms;
}

/*
 * No percentile can be had of percentiles: the largest is what that part of
 * all answers stayed within, if not more of them.
 */
static void
sum_times(struct info_upstream *sum, const struct info_upstream *part)
{
	sum->latency_mean_us = mean_of(sum, part);
	raise64(&sum->latency_p50_us, part->latency_p50_us);
	raise64(&sum->latency_p99_us, part->latency_p99_us);
	raise64(&sum->connect_p50_us, part->connect_p50_us);
	raise64(&sum->handshake_p50_us, part->handshake_p50_us);
}

static void
sum_upstream(struct info_upstream *sum, const struct info_upstream *part)
{
	size_t i;

	sum_state(sum, part);
	sum_times(sum, part);
	add32(&sum->pool_size, part->pool_size);
	add32(&sum->open, part->open);
	add32(&sum->idle, part->idle);
	add32(&sum->connecting, part->connecting);
	add32(&sum->inflight, part->inflight);
	add32(&sum->waiting, part->waiting);
	add64(&sum->queries, part->queries);
	add64(&sum->answers, part->answers);
	add64(&sum->opened, part->opened);
	add64(&sum->resumed, part->resumed);
	add64(&sum->closed_by_peer, part->closed_by_peer);
	add64(&sum->retries, part->retries);
	add64(&sum->hedges, part->hedges);
	add64(&sum->hedges_won, part->hedges_won);
	add64(&sum->hedges_lost, part->hedges_lost);
	add64(&sum->hedges_denied, part->hedges_denied);
	add64(&sum->rescues, part->rescues);
	add64(&sum->warm_dials, part->warm_dials);
	if (part->warm_left_ms > sum->warm_left_ms)
		sum->warm_left_ms = part->warm_left_ms;
	if (sum->idle_limit_ms == 0 ||
	    (part->idle_limit_ms != 0 &&
		part->idle_limit_ms < sum->idle_limit_ms))
		sum->idle_limit_ms = part->idle_limit_ms;
	for (i = 0; i < PHASE_COUNT; i++)
		add64(&sum->failures[i], part->failures[i]);
}

static void
sum_hist(struct hist *sum, const struct hist *part)
{
	size_t i;

	for (i = 0; i < HIST_BUCKETS; i++)
		add64(&sum->buckets[i], part->buckets[i]);
	add64(&sum->count, part->count);
	add64(&sum->sum_us, part->sum_us);
	raise64(&sum->max_us, part->max_us);
}

static void
sum_hists(struct data *sum, const struct data *part)
{
	uint32_t index;
	size_t i, k;

	for (i = 0; i < part->nupstreams; i++) {
		index = part->upstreams[i].index;
		for (k = 0; k < INFO_HIST_OF_UPSTREAM; k++)
			sum_hist(&sum->hists[index][k], &part->hists[index][k]);
		sum_hist(
		    &sum->recent_latency[index], &part->recent_latency[index]);
	}
	if (!part->have_client_hists)
		return;
	sum->have_client_hists = true;
	for (k = INFO_HIST_OF_UPSTREAM; k < INFO_HIST_COUNT; k++) {
		sum_hist(&sum->client_hists[k], &part->client_hists[k]);
		sum_hist(&sum->recent_client_hists[k],
		    &part->recent_client_hists[k]);
	}
}

/* The place of an upstream in the sum; a new one if it is not there yet. */
static struct info_upstream *
find_upstream(struct data *sum, const struct info_upstream *part)
{
	size_t i;

	for (i = 0; i < sum->nupstreams; i++)
		if (sum->upstreams[i].index == part->index)
			return &sum->upstreams[i];
	if (sum->nupstreams == CONF_UPSTREAMS_MAX)
		return NULL;
	sum->upstreams[i] = *part;
	sum->nupstreams++;
	return NULL;
}

static int
sum_conns(struct data *sum, const struct data *part)
{
	struct info_conn *conns;

	if (part->nconns == 0)
		return 0;
	conns =
	    realloc(sum->conns, (sum->nconns + part->nconns) * sizeof(*conns));
	if (conns == NULL)
		return -1;
	memcpy(conns + sum->nconns, part->conns, part->nconns * sizeof(*conns));
	sum->conns = conns;
	sum->nconns += part->nconns;
	return 0;
}

/* The first refusal stands for all, with the number of who refuses. */
static void
sum_result(struct data *sum, const struct data *part)
{
	if (part->result.ok || !sum->result.ok)
		return;
	sum->result.ok = false;
	(void)snprintf(sum->result.text, sizeof(sum->result.text),
	    "worker %u: %.*s", part->worker + 1,
	    (int)sizeof(sum->result.text) - 32,
	    part->result.text[0] != '\0' ? part->result.text
					 : "the daemon gives no reason");
}

/* Text is not added up: the first is as good as any. */
static int
sum_text(struct data *sum, const struct data *part)
{
	if (sum->text != NULL || part->text == NULL)
		return 0;
	sum->text = malloc(part->text_len + 1);
	if (sum->text == NULL)
		return -1;
	memcpy(sum->text, part->text, part->text_len);
	sum->text_len = part->text_len;
	return 0;
}

static int
sum_part(struct data *sum, const struct data *part)
{
	struct info_upstream *u;
	size_t i;

	if (part->have_listener)
		sum_counters(&sum->listener, &part->listener);
	if (part->have_pool_counters)
		sum_counters(&sum->pool_counters, &part->pool_counters);
	if (part->have_pool)
		sum_pool(&sum->pool, &part->pool);
	sum->have_listener |= part->have_listener;
	sum->have_pool_counters |= part->have_pool_counters;
	sum->have_pool |= part->have_pool;
	sum->draining |= part->draining;
	for (i = 0; i < part->nupstreams; i++) {
		u = find_upstream(sum, &part->upstreams[i]);
		if (u != NULL)
			sum_upstream(u, &part->upstreams[i]);
	}
	for (i = 0; i < ROLE_COUNT; i++) {
		if (sum->have_process[i] || !part->have_process[i])
			continue;
		sum->have_process[i] = true;
		sum->processes[i] = part->processes[i];
	}
	for (i = 0; i < part->npins; i++)
		if (sum->npins < DATA_PINS_MAX &&
		    data_add_pin(sum, &part->pins[i]) == -1)
			return -1;
	for (i = 0; i < part->nclients; i++)
		if (data_add_client(sum, &part->clients[i]) == -1)
			return -1;
	for (i = 0; i < part->nerrors; i++)
		if (data_add_error(sum, &part->errors[i]) == -1)
			return -1;
	sum_hists(sum, part);
	sum_result(sum, part);
	return sum_conns(sum, part) == -1 ? -1 : sum_text(sum, part);
}

int
sum_parts(struct data *sum)
{
	size_t i;

	sum->done = sum->result.ok = true;
	for (i = 0; i < sum->nparts; i++)
		if (sum_part(sum, sum->parts[i]) == -1)
			return -1;
	data_rank_clients(sum);
	return 0;
}
