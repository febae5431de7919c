/* SPDX-License-Identifier: ISC */
/*
 * What dotproxyctl prints as JSON, and which text goes with which request.
 * The keys are described in dotproxyctl(8) and are there to stay: new ones
 * may be added, none renamed.
 */
#include "dotproxyctl/output.h"

#include "common/util.h"

/* All pages, one after the other. */
static void
text_all(FILE *out, const struct data *d)
{
	text_summary(out, d);
	(void)fputs("\n", out);
	text_pool(out, d);
	(void)fputs("\n", out);
	text_latency(out, d);
	(void)fputs("\n", out);
	text_stats(out, d);
}

void
output_text(FILE *out, enum msg_show show, const struct data *d)
{
	static void (*const pages[SHOW_COUNT])(FILE *, const struct data *) = {
		[SHOW_SUMMARY] = text_summary,
		[SHOW_POOL] = text_pool,
		[SHOW_STATS] = text_stats,
		[SHOW_PROCESSES] = text_process_details,
		[SHOW_CONFIG] = text_config,
		[SHOW_LATENCY] = text_latency,
		[SHOW_ALL] = text_all,
		[SHOW_PINS] = text_pins,
		[SHOW_ERRORS] = text_errors,
		[SHOW_CLIENTS] = text_clients,
	};

	if (show < SHOW_COUNT)
		pages[show](out, d);
}

static void
put_conn(struct json *j, const struct info_conn *c)
{
	json_object(j, NULL);
	json_string(j, "state", msg_conn_state_name(c->state));
	json_u64(j, "age_ms", c->age_ms);
	json_u64(j, "idle_ms", c->idle_ms);
	json_u64(j, "in_flight", c->inflight);
	json_u64(j, "served", c->served);
	json_bool(j, "resumed", c->resumed);
	json_string(j, "tls_version", c->version);
	json_string(j, "cipher", c->cipher);
	json_object_end(j);
}

static void
put_upstream_counters(struct json *j, const struct info_upstream *u)
{
	unsigned int i;

	json_u64(j, "queries", u->queries);
	json_u64(j, "answers", u->answers);
	json_u64(j, "retries", u->retries);
	json_u64(j, "opened", u->opened);
	json_u64(j, "resumed", u->resumed);
	json_u64(j, "closed_by_peer", u->closed_by_peer);
	json_u64(j, "warm_dials", u->warm_dials);
	json_u64(j, "idle_limit_ms", u->idle_limit_ms);
	json_u64(j, "warm_left_ms", u->warm_left_ms);
	json_u64(j, "hedges", u->hedges);
	json_u64(j, "hedges_won", u->hedges_won);
	json_u64(j, "hedges_lost", u->hedges_lost);
	json_u64(j, "hedges_denied", u->hedges_denied);
	json_u64(j, "rescues", u->rescues);
	json_object(j, "failures");
	for (i = 0; i < PHASE_COUNT; i++)
		json_u64(j, msg_phase_name(i), u->failures[i]);
	json_object_end(j);
	json_u64(j, "latency_mean_us", u->latency_mean_us);
	json_u64(j, "latency_p50_us", u->latency_p50_us);
	json_u64(j, "latency_p99_us", u->latency_p99_us);
	json_u64(j, "connect_p50_us", u->connect_p50_us);
	json_u64(j, "handshake_p50_us", u->handshake_p50_us);
}

static void
put_upstream(struct json *j, const struct data *d,
    const struct info_upstream *u, enum msg_show show)
{
	char addr[SOCKADDR_TEXT_MAX];
	size_t i;

	json_object(j, NULL);
	json_u64(j, "index", u->index);
	json_string(j, "name", u->name);
	json_string(j, "address", sockaddr_host_text(&u->addr, addr));
	json_u64(j, "port", sockaddr_port(&u->addr));
	json_string(j, "server_name", u->server_name);
	json_string(j, "state", msg_state_name(u->state));
	json_bool(j, "down", data_upstream_down(u));
	json_u64(j, "backoff_left_ms", u->backoff_left_ms);
	if (u->last_cause == CAUSE_NONE)
		json_null(j, "last_failure");
	else
		json_string(j, "last_failure", msg_cause_name(u->last_cause));
	json_u64(j, "pool_size", u->pool_size);
	json_u64(j, "open", u->open);
	json_u64(j, "idle", u->idle);
	json_u64(j, "connecting", u->connecting);
	json_u64(j, "in_flight", u->inflight);
	json_u64(j, "waiting", u->waiting);
	put_upstream_counters(j, u);
	if (show == SHOW_PINS)
		output_json_pins(j, d, u->index);
	if (show == SHOW_LATENCY || show == SHOW_ALL)
		output_json_hists(j, d, u->index);
	if (show == SHOW_POOL || show == SHOW_ALL) {
		json_array(j, "connections");
		for (i = 0; i < d->nconns; i++)
			if (d->conns[i].upstream == u->index)
				put_conn(j, &d->conns[i]);
		json_array_end(j);
	}
	json_object_end(j);
}

static void
put_upstreams(struct json *j, const struct data *d, enum msg_show show)
{
	size_t i;

	json_array(j, "upstreams");
	for (i = 0; i < d->nupstreams; i++)
		put_upstream(j, d, &d->upstreams[i], show);
	json_array_end(j);
}

static void
put_pool(struct json *j, const struct data *d)
{
	if (!d->have_pool)
		return;
	json_string(
	    j, "policy", conf_policy_name((enum conf_policy)d->pool.policy));
	json_u64(j, "in_flight", d->pool.inflight);
	json_u64(j, "max_in_flight", d->pool.max_inflight);
	json_u64(j, "parked", d->pool.parked);
}

static void
put_summary(struct json *j, const struct data *d, enum msg_show show)
{
	char reason[DATA_REASON_MAX];
	struct data_queries q;
	enum data_health health = data_judge(d, reason);

	json_string(j, "verdict", data_health_name(health));
	json_string(j, "reason", reason);
	json_bool(j, "draining", d->draining);
	if (d->have_process[ROLE_PARENT])
		json_u64(j, "uptime_ms", d->processes[ROLE_PARENT].uptime_ms);
	put_pool(j, d);
	if (d->have_listener) {
		data_queries(d, &q);
		json_object(j, "queries");
		json_u64(j, "received", q.received);
		json_u64(j, "answered", q.answered);
		json_u64(j, "failed", q.failed);
		json_u64(j, "refused", q.refused);
		json_u64(j, "dropped", q.dropped);
		json_u64(j, "abandoned", q.abandoned);
		json_object_end(j);
	}
	put_upstreams(j, d, show);
	output_json_processes(j, d);
}

static void
put_pool_counters(struct json *j, const struct data *d)
{
	if (d->have_pool_counters) {
		json_object(j, "pool");
		json_u64(j, "uptime_ms", d->pool_counters.uptime_ms);
#define COUNTER(name, text) \
	json_u64(j, #name, d->pool_counters.values[TSTAT_##name]);
		POOL_COUNTERS(COUNTER)
#undef COUNTER
		json_object_end(j);
	}
}

static void
put_listener_counters(struct json *j, const struct data *d)
{
	if (d->have_listener) {
		json_object(j, "listener");
		json_u64(j, "uptime_ms", d->listener.uptime_ms);
#define COUNTER(name, text) \
	json_u64(j, #name, d->listener.values[LSTAT_##name]);
		LISTENER_COUNTERS(COUNTER)
#undef COUNTER
		json_object_end(j);
	}
}

static void
put_stats(struct json *j, const struct data *d)
{
	put_listener_counters(j, d);
	put_pool_counters(j, d);
	put_upstreams(j, d, SHOW_STATS);
}

/* How many workers there are, and those that have not answered. */
static void
put_workers(struct json *j, const struct data *d)
{
	size_t i;

	if (d->nparts == 0)
		return;
	json_u64(j, "workers", d->nparts);
	json_array(j, "missing");
	for (i = 0; i < d->nparts; i++)
		if (!d->parts[i]->have_listener && !d->parts[i]->have_pool)
			json_u64(j, NULL, (uint64_t)d->parts[i]->worker + 1);
	json_array_end(j);
}

/* "ok", and "error" if it is not. */
static void
put_result(struct json *j, const char *error)
{
	json_bool(j, "ok", error == NULL);
	if (error != NULL)
		json_string(j, "error", error);
}

int
output_json(FILE *out, enum msg_show show, const struct data *d)
{
	struct json j;

	json_begin(&j, out);
	json_object(&j, NULL);
	put_result(&j, d->result.ok ? NULL : d->result.text);
	if (show != SHOW_PROCESSES && show != SHOW_CONFIG)
		put_workers(&j, d);
	switch (show) {
	case SHOW_SUMMARY:
		put_summary(&j, d, show);
		break;
	case SHOW_ALL:
		put_summary(&j, d, show);
		put_listener_counters(&j, d);
		output_json_client_hists(&j, d);
		put_pool_counters(&j, d);
		break;
	case SHOW_POOL:
		put_pool(&j, d);
		put_upstreams(&j, d, SHOW_POOL);
		break;
	case SHOW_STATS:
		put_stats(&j, d);
		break;
	case SHOW_PINS:
		put_upstreams(&j, d, SHOW_PINS);
		break;
	case SHOW_CLIENTS:
		output_json_clients(&j, d);
		break;
	case SHOW_ERRORS:
		put_listener_counters(&j, d);
		output_json_errors(&j, d);
		break;
	case SHOW_LATENCY:
		put_pool(&j, d);
		put_listener_counters(&j, d);
		output_json_client_hists(&j, d);
		put_pool_counters(&j, d);
		put_upstreams(&j, d, SHOW_LATENCY);
		break;
	case SHOW_PROCESSES:
		output_json_processes(&j, d);
		break;
	case SHOW_CONFIG:
		json_bytes(&j, "config", d->text, d->text_len);
		break;
	default:
		break;
	}
	json_object_end(&j);
	return json_end(&j);
}

int
output_json_health(FILE *out, const struct data *d, bool healthy)
{
	char reason[DATA_REASON_MAX];
	enum data_health health = data_judge(d, reason);
	struct json j;

	json_begin(&j, out);
	json_object(&j, NULL);
	put_result(&j, NULL);
	json_bool(&j, "healthy", healthy);
	json_string(&j, "verdict", data_health_name(health));
	json_string(&j, "reason", reason);
	json_bool(&j, "draining", d->draining);
	json_u64(&j, "upstreams_usable", data_usable(d));
	json_object_end(&j);
	return json_end(&j);
}

int
output_json_result(FILE *out, const char *error)
{
	struct json j;

	json_begin(&j, out);
	json_object(&j, NULL);
	put_result(&j, error);
	json_object_end(&j);
	return json_end(&j);
}
