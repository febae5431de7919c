/* SPDX-License-Identifier: ISC */
/*
 * The metrics of the exporter; see metrics.h and docs/METRICS.md.  Runs in its
 * reader.  Of several workers each has its own samples, with a label: a sum
 * would fall when one is started again, which is taken for all having been.
 */
#include "dotproxyctl/metrics.h"

#include <string.h>

#include "common/conf.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A sample of a family: a counter, and the label that tells it from others. */
struct source {
	int counter; /* enum listener_counter or pool_counter */
	const char *value;
};

#define SOURCES_MAX 8

struct family {
	const char *name;
	const char *help;
	enum metric_type type;
	const char *unit;
	const char *label;
	size_t n;
	struct source sources[SOURCES_MAX];
};

#define COUNTER METRIC_COUNTER, NULL
#define GAUGE METRIC_GAUGE, NULL

/* What is not in here is exported under the counter's own name: others(). */
static const struct family listener_families[] = {
	{ "dotproxy_queries", "Queries received.", COUNTER, "transport", 2,
	    { { LSTAT_queries_udp, "udp" }, { LSTAT_queries_tcp, "tcp" } } },
	{ "dotproxy_queries_in_flight", "Queries that wait for an answer.",
	    GAUGE, NULL, 1, { { LSTAT_in_flight, NULL } } },
	{ "dotproxy_answers", "Answers of an upstream sent back.", COUNTER,
	    NULL, 1, { { LSTAT_answered, NULL } } },
	{ "dotproxy_queries_failed", "Queries answered SERVFAIL by dotproxy.",
	    COUNTER, "cause", 6,
	    { { LSTAT_failed_timeout, "timeout" },
		{ LSTAT_failed_network, "network" },
		{ LSTAT_failed_tls, "tls" }, { LSTAT_failed_busy, "busy" },
		{ LSTAT_failed_not_ready, "not_ready" },
		{ LSTAT_failed_other, "other" } } },
	{ "dotproxy_queries_refused",
	    "Queries answered REFUSED or NOTIMP by dotproxy.", COUNTER, "cause",
	    3,
	    { { LSTAT_refused_acl, "acl" },
		{ LSTAT_refused_unsupported, "unsupported" },
		{ LSTAT_refused_limited, "limited" } } },
	{ "dotproxy_queries_dropped", "Queries without any answer.", COUNTER,
	    "cause", 4,
	    { { LSTAT_dropped_malformed, "malformed" },
		{ LSTAT_dropped_send, "send" },
		{ LSTAT_dropped_repeated, "repeated" },
		{ LSTAT_dropped_limited, "limited" } } },
	{ "dotproxy_responses", "Responses sent to clients, whoever made them.",
	    COUNTER, "rcode", 5,
	    { { LSTAT_rcode_noerror, "NOERROR" },
		{ LSTAT_rcode_nxdomain, "NXDOMAIN" },
		{ LSTAT_rcode_servfail, "SERVFAIL" },
		{ LSTAT_rcode_refused, "REFUSED" },
		{ LSTAT_rcode_other, "other" } } },
};

static const struct family pool_families[] = {
	{ "dotproxy_pool_queries_failed", "Queries the pool gave up.", COUNTER,
	    "cause", 5,
	    { { TSTAT_failed_timeout, "timeout" },
		{ TSTAT_failed_network, "network" },
		{ TSTAT_failed_tls, "tls" }, { TSTAT_failed_busy, "busy" },
		{ TSTAT_failed_other, "other" } } },
	{ "dotproxy_pool_handshakes", "TLS handshakes completed.", COUNTER,
	    "session", 2,
	    { { TSTAT_handshakes_full, "full" },
		{ TSTAT_handshakes_resumed, "resumed" } } },
	{ "dotproxy_pool_sent_bytes", "DNS bytes sent to upstreams.",
	    METRIC_COUNTER, "bytes", NULL, 1, { { TSTAT_bytes_sent, NULL } } },
	{ "dotproxy_pool_received_bytes", "DNS bytes received from upstreams.",
	    METRIC_COUNTER, "bytes", NULL, 1,
	    { { TSTAT_bytes_received, NULL } } },
};

struct counter {
	const char *name;
	const char *text;
};

#define NAME(name, text) { #name, text },
static const struct counter listener_counters[] = { LISTENER_COUNTERS(NAME) };
static const struct counter pool_counters[] = { POOL_COUNTERS(NAME) };
#undef NAME

/* The two children and how to get at what they count. */
struct child {
	const char *prefix;
	const struct family *families;
	size_t nfamilies;
	const struct counter *counters;
	size_t ncounters;
	enum info_source source;
};

static const struct child children[] = {
	{ "dotproxy_listener", listener_families, COUNT(listener_families),
	    listener_counters, COUNT(listener_counters), SOURCE_LISTENER },
	{ "dotproxy_pool", pool_families, COUNT(pool_families), pool_counters,
	    COUNT(pool_counters), SOURCE_POOL },
};

/* The labels of a worker, if there are several. */
static void
begin_worker(struct metrics *m, const struct data *d)
{
	char number[16];

	metrics_labels_clear(m);
	if (!d->numbered)
		return;
	(void)snprintf(number, sizeof(number), "%u", d->worker + 1);
	metrics_labels_add(m, "worker", number);
}

/* What a worker's child has counted; NULL if it has not said so. */
static const uint64_t *
values_of(const struct data *d, enum info_source source)
{
	if (source == SOURCE_LISTENER)
		return d->have_listener ? d->listener.values : NULL;
	return d->have_pool_counters ? d->pool_counters.values : NULL;
}

static void
put_family(struct metrics *m, const struct data *d, const struct child *c,
    const struct family *f)
{
	const uint64_t *values;
	size_t i, k;

	metrics_family(m, f->name, f->type, f->unit, f->help);
	for (i = 0; i < data_workers(d); i++) {
		values = values_of(data_worker(d, i), c->source);
		begin_worker(m, data_worker(d, i));
		for (k = 0; values != NULL && k < f->n; k++)
			metrics_u64(m, f->label, f->sources[k].value,
			    values[f->sources[k].counter]);
	}
}

static bool
is_in_family(const struct child *c, size_t counter)
{
	size_t i, k;

	for (i = 0; i < c->nfamilies; i++)
		for (k = 0; k < c->families[i].n; k++)
			if ((size_t)c->families[i].sources[k].counter ==
			    counter)
				return true;
	return false;
}

/* A counter that nobody has thought of here is a metric all the same. */
static void
put_others(struct metrics *m, const struct data *d, const struct child *c)
{
	struct family f = { .n = 1 };
	char name[96];
	size_t i;

	for (i = 0; i < c->ncounters; i++) {
		if (is_in_family(c, i))
			continue;
		(void)snprintf(name, sizeof(name), "%s_%s", c->prefix,
		    c->counters[i].name);
		f.name = name;
		f.help = c->counters[i].text;
		f.type = strstr(f.help, "(gauge)") != NULL ? METRIC_GAUGE
							   : METRIC_COUNTER;
		f.sources[0].counter = (int)i;
		put_family(m, d, c, &f);
	}
}

static void
put_counters(struct metrics *m, const struct data *d)
{
	size_t i, k;

	for (i = 0; i < COUNT(children); i++) {
		for (k = 0; k < children[i].nfamilies; k++)
			put_family(
			    m, d, &children[i], &children[i].families[k]);
		put_others(m, d, &children[i]);
	}
}

static void
put_health(struct metrics *m, const struct data *d)
{
	char reason[DATA_REASON_MAX];
	enum data_health health = data_judge(d, reason), h;
	const struct data *worker;
	size_t i;

	metrics_family(m, "dotproxy_health", METRIC_GAUGE, NULL,
	    "1 for the verdict of dotproxyctl show summary, 0 for others.");
	for (h = HEALTH_OK; h < HEALTH_COUNT; h++)
		metrics_u64(m, "verdict", data_health_name(h), h == health);
	metrics_family(m, "dotproxy_workers", METRIC_GAUGE, NULL,
	    "Pairs of listener and pool.");
	metrics_u64(m, NULL, NULL, data_workers(d));
	metrics_family(m, "dotproxy_worker_up", METRIC_GAUGE, NULL,
	    "1 if listener and pool of a worker answer.");
	for (i = 0; i < data_workers(d); i++) {
		worker = data_worker(d, i);
		begin_worker(m, worker);
		metrics_u64(
		    m, NULL, NULL, worker->have_listener && worker->have_pool);
	}
	metrics_family(m, "dotproxy_pool_in_flight_max", METRIC_GAUGE, NULL,
	    "Queries that may wait for an answer.");
	for (i = 0; i < data_workers(d); i++) {
		worker = data_worker(d, i);
		begin_worker(m, worker);
		if (worker->have_pool)
			metrics_u64(m, NULL, NULL, worker->pool.max_inflight);
	}
}

enum process_metric {
	PROCESS_UP,
	PROCESS_UPTIME,
	PROCESS_RESTARTS,
	PROCESS_CPU,
	PROCESS_MEMORY,
};

static void
put_process(struct metrics *m, const struct data *d, enum info_role role,
    enum process_metric which)
{
	const struct info_process *p = &d->processes[role];
	const struct proc_facts *f = &d->facts[role];
	const char *name = msg_role_name(role);

	if (!d->have_process[role])
		return;
	switch (which) {
	case PROCESS_UP:
		metrics_u64(m, "process", name, p->pid != 0);
		break;
	case PROCESS_UPTIME:
		metrics_milli(m, "process", name, p->uptime_ms);
		break;
	case PROCESS_RESTARTS:
		metrics_u64(m, "process", name, p->restarts);
		break;
	case PROCESS_CPU:
		if (d->have_facts[role] && proc_has(f, PROC_CPU))
			metrics_milli(m, "process", name, f->cpu_ms);
		break;
	case PROCESS_MEMORY:
		if (d->have_facts[role] && proc_has(f, PROC_STATUS) &&
		    f->rss_kb != PROC_UNKNOWN)
			metrics_u64(m, "process", name, f->rss_kb * 1024);
		break;
	}
}

/* The parent is everybody's, and has no worker. */
static void
put_processes(struct metrics *m, const struct data *d)
{
	static const struct {
		const char *name;
		enum metric_type type;
		const char *unit;
		const char *help;
	} families[] = {
		[PROCESS_UP] = { "dotproxy_process_up", GAUGE,
		    "1 if the process is running." },
		[PROCESS_UPTIME] = { "dotproxy_process_uptime_seconds",
		    METRIC_GAUGE, "seconds",
		    "Since the process was started last." },
		[PROCESS_RESTARTS] = { "dotproxy_process_restarts", COUNTER,
		    "How often the process died and was started again." },
		[PROCESS_CPU] = { "dotproxy_process_cpu_seconds",
		    METRIC_COUNTER, "seconds",
		    "CPU time of the process, user and system." },
		[PROCESS_MEMORY] = { "dotproxy_process_resident_memory_bytes",
		    METRIC_GAUGE, "bytes", "Resident memory of the process." },
	};
	size_t i, k;

	for (i = 0; i < COUNT(families); i++) {
		metrics_family(m, families[i].name, families[i].type,
		    families[i].unit, families[i].help);
		metrics_labels_clear(m);
		put_process(
		    m, data_worker(d, 0), ROLE_PARENT, (enum process_metric)i);
		for (k = 0; k < data_workers(d); k++) {
			begin_worker(m, data_worker(d, k));
			put_process(m, data_worker(d, k), ROLE_LISTENER,
			    (enum process_metric)i);
			put_process(m, data_worker(d, k), ROLE_POOL,
			    (enum process_metric)i);
		}
	}
}

/* What clients see: round-trip times and sizes, by transport. */
static void
put_client_hists(struct metrics *m, const struct data *d)
{
	static const struct {
		const char *name;
		const char *unit;
		const char *help;
		enum info_hist_kind udp, tcp;
	} families[] = {
		{ "dotproxy_client_rtt_seconds", "seconds",
		    "From reading a client's query to sending its response.",
		    INFO_HIST_RTT_UDP, INFO_HIST_RTT_TCP },
		{ "dotproxy_query_size_bytes", "bytes",
		    "Sizes of clients' queries.", INFO_HIST_QUERY_SIZE_UDP,
		    INFO_HIST_QUERY_SIZE_TCP },
		{ "dotproxy_response_size_bytes", "bytes",
		    "Sizes of responses to clients.", INFO_HIST_ANSWER_SIZE_UDP,
		    INFO_HIST_ANSWER_SIZE_TCP },
	};
	const struct data *w;
	size_t i, k;

	for (i = 0; i < COUNT(families); i++) {
		metrics_family(m, families[i].name, METRIC_HISTOGRAM,
		    families[i].unit, families[i].help);
		for (k = 0; k < data_workers(d); k++) {
			w = data_worker(d, k);
			begin_worker(m, w);
			if (!w->have_client_hists)
				continue;
			metrics_hist(m, "transport", "udp",
			    &w->client_hists[families[i].udp],
			    INFO_HIST_IS_SIZE(families[i].udp));
			metrics_hist(m, "transport", "tcp",
			    &w->client_hists[families[i].tcp],
			    INFO_HIST_IS_SIZE(families[i].tcp));
		}
	}
}

int
metrics_write(FILE *out, const struct data *d, bool open)
{
	struct metrics m = { .out = out, .open = open };

	metrics_family(&m, "dotproxy_up", METRIC_GAUGE, NULL,
	    "1 if the daemon answers the exporter.");
	metrics_u64(&m, NULL, NULL, d != NULL);
	metrics_family(&m, "dotproxy_build_info", METRIC_GAUGE, NULL,
	    "Always 1; the version is in a label.");
	metrics_u64(&m, "version", DOTPROXY_VERSION, 1);
	if (d != NULL) {
		put_health(&m, d);
		put_processes(&m, d);
		put_counters(&m, d);
		put_client_hists(&m, d);
		metrics_upstreams(&m, d);
	}
	if (open && fputs("# EOF\n", out) == EOF)
		return -1;
	return m.failed || ferror(out) ? -1 : 0;
}
