/* SPDX-License-Identifier: ISC */
/* LINK: common/msg%.c common/imsg.c common/log.c common/util.c */
/* LINK: dotproxyctl/sum.c dotproxyctl/data%.c dotproxyctl/format.c */
/* LINK: dotproxyctl/proc%.c */
/* LIBS: -levent_core */
/* Several workers' answers added up, and judged together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "dotproxyctl/sum.h"
#include "tests/unit/ctl_data.h"
#include "tests/unit/alloc_fail.h"

/* n workers that are all well. */
static struct data *
workers(size_t n)
{
	struct data *d = data_new();

	assert_non_null(d);
	for (; d->nparts < n; d->nparts++) {
		d->parts[d->nparts] = ordinary_data();
		d->parts[d->nparts]->worker = (uint32_t)d->nparts;
		d->parts[d->nparts]->numbered = true;
	}
	return d;
}

static void
counters_are_added(void **state)
{
	struct data *d = workers(3);
	uint32_t i;

	(void)state;
	d->parts[1]->listener.uptime_ms = 100000001;
	d->parts[2]->listener.values[LSTAT_resent] = UINT64_MAX - 5;
	assert_int_equal(sum_parts(d), 0);
	assert_true(d->have_listener && d->have_pool_counters && d->have_pool);
	assert_int_equal(d->listener.n, LSTAT_COUNT);
	for (i = 0; i < LSTAT_COUNT; i++)
		if (i != LSTAT_resent)
			assert_int_equal(d->listener.values[i],
			    3 * d->parts[0]->listener.values[i]);
	assert_true(d->listener.values[LSTAT_resent] == UINT64_MAX);
	for (i = 0; i < TSTAT_COUNT; i++)
		assert_int_equal(d->pool_counters.values[i],
		    3 * d->parts[0]->pool_counters.values[i]);
	assert_int_equal(d->listener.uptime_ms, 100000001);
	assert_int_equal(d->pool.inflight, 36);
	assert_int_equal(d->pool.max_inflight, 3 * 8192);
	assert_true(d->result.ok);
	data_free(d);
}

static void
upstreams_are_added_by_index(void **state)
{
	struct data *d = workers(2);
	struct info_upstream *a = d->parts[0]->upstreams;
	struct info_upstream *b = d->parts[1]->upstreams;
	size_t nconns = d->parts[0]->nconns;

	(void)state;
	a[0].answers = 100;
	a[0].latency_mean_us = 10;
	b[0].answers = 300;
	b[0].latency_mean_us = 50;
	a[0].latency_p50_us = 7;
	b[0].latency_p50_us = 5;
	a[0].open = UINT32_MAX - 1;
	b[0].open = 2;
	d->parts[1]->nupstreams = 1;
	assert_int_equal(sum_parts(d), 0);
	assert_int_equal(d->nupstreams, d->parts[0]->nupstreams);
	assert_int_equal(d->upstreams[0].answers, 400);
	assert_int_equal(d->upstreams[0].latency_mean_us, 40);
	assert_int_equal(d->upstreams[0].latency_p50_us, 7);
	assert_int_equal(d->upstreams[0].open, UINT32_MAX);
	assert_int_equal(d->upstreams[0].queries, a[0].queries + b[0].queries);
	assert_int_equal(d->upstreams[1].queries, a[1].queries);
	assert_int_equal(d->nconns, 2 * nconns);
	data_free(d);
}

static void
histograms_are_added(void **state)
{
	struct data *d = workers(2);
	struct hist *a = &d->parts[0]->hists[1][INFO_HIST_LATENCY];
	struct hist *b = &d->parts[1]->hists[1][INFO_HIST_LATENCY];
	const struct hist *sum = &d->hists[1][INFO_HIST_LATENCY];

	hist_add(&d->parts[0]->recent_latency[1], 10);
	hist_add(&d->parts[1]->recent_latency[1], 20);
	hist_add(&d->parts[1]->client_hists[INFO_HIST_RTT_TCP], 30);
	(void)state;
	hist_add(a, 10);
	hist_add(a, 5000);
	hist_add(b, 10);
	hist_add(b, 70000);
	b->buckets[20] = UINT64_MAX;
	a->buckets[20] = 1;
	d->parts[0]->upstreams[1].rescues = 3;
	d->parts[1]->upstreams[1].rescues = 4;
	assert_int_equal(sum_parts(d), 0);
	assert_int_equal(sum->count, 4);
	assert_int_equal(sum->buckets[10], 2);
	assert_true(sum->buckets[20] == UINT64_MAX);
	assert_int_equal(sum->max_us, 70000);
	assert_int_equal(sum->sum_us, 75020);
	assert_int_equal(d->hists[1][INFO_HIST_CONNECT].count, 0);
	assert_int_equal(d->hists[0][INFO_HIST_LATENCY].count, 220);
	assert_int_equal(d->upstreams[1].rescues, 7);
	assert_int_equal(d->recent_latency[1].sum_us, 30);
	assert_true(d->have_client_hists);
	assert_int_equal(d->client_hists[INFO_HIST_RTT_TCP].count, 1);
	assert_int_equal(d->client_hists[INFO_HIST_RTT_UDP].count, 4);
	data_free(d);
}

static void
upstream_state_is_the_worst_that_matters(void **state)
{
	static const struct {
		uint8_t a, b, sum;
	} cases[] = {
		{ STATE_IDLE, STATE_IDLE, STATE_IDLE },
		{ STATE_IDLE, STATE_UP, STATE_UP },
		{ STATE_UP, STATE_CONNECTING, STATE_UP },
		{ STATE_UP, STATE_BACKOFF, STATE_BACKOFF },
		{ STATE_BACKOFF, STATE_IDLE, STATE_BACKOFF },
	};
	struct data *d;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		d = workers(2);
		d->parts[0]->upstreams[0].state = cases[i].a;
		d->parts[1]->upstreams[0].state = cases[i].b;
		assert_int_equal(sum_parts(d), 0);
		assert_int_equal(d->upstreams[0].state, cases[i].sum);
		data_free(d);
	}
}

static void
set_all(struct data *d, uint8_t state)
{
	size_t i;

	for (i = 0; i < d->nupstreams; i++) {
		d->upstreams[i].state = state;
		d->upstreams[i].last_cause = CAUSE_NONE;
	}
}

static void
one_that_is_not_well_is_named(void **state)
{
	char reason[DATA_REASON_MAX];
	struct data *d = workers(3);
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		set_all(d->parts[i], STATE_UP);
	assert_int_equal(sum_parts(d), 0);
	assert_int_equal(data_judge(d, reason), HEALTH_OK);
	assert_string_equal(reason, "3 upstreams up");

	d->parts[1]->processes[ROLE_POOL].pid = 0;
	assert_int_equal(data_judge(d, reason), HEALTH_DEGRADED);
	assert_string_equal(
	    reason, "worker 2: the pool process is not running");

	d->parts[2]->have_listener = false;
	assert_int_equal(data_judge(d, reason), HEALTH_DEGRADED);
	assert_string_equal(reason,
	    "worker 2: the pool process is not running; 1 more of 3 are not "
	    "well");

	set_all(d->parts[0], STATE_BACKOFF);
	assert_int_equal(data_judge(d, reason), HEALTH_DOWN);
	data_free(d);
}

static void
refusals_name_the_worker(void **state)
{
	struct data *d = workers(3);
	size_t i;

	(void)state;
	for (i = 1; i < 3; i++)
		d->parts[i]->result.ok = false;
	(void)strcpy(d->parts[1]->result.text, "does not answer");
	memset(d->parts[2]->result.text, 'x', MSG_TEXT_MAX - 1);
	assert_int_equal(sum_parts(d), 0);
	assert_false(d->result.ok);
	assert_string_equal(d->result.text, "worker 2: does not answer");
	data_free(d);
}

static void
those_with_nothing_add_nothing(void **state)
{
	struct data *d = workers(2);

	(void)state;
	d->parts[1]->have_listener = d->parts[1]->have_pool = false;
	d->parts[1]->have_pool_counters = false;
	d->parts[1]->nupstreams = d->parts[1]->nconns = 0;
	assert_int_equal(sum_parts(d), 0);
	assert_int_equal(d->listener.values[LSTAT_answered],
	    d->parts[0]->listener.values[LSTAT_answered]);
	assert_int_equal(d->pool.inflight, 12);
	data_free(d);
}

static struct imsg
process_message(uint8_t *buf, uint8_t role, uint8_t worker, uint32_t pid)
{
	struct imsg m = { .type = MSG_INFO_PROCESS, .data = buf, .fd = -1 };
	struct wire_writer w;

	wire_writer_init(&w, buf, 64);
	wire_put_u8(&w, role);
	wire_put_u8(&w, worker);
	wire_put_u32(&w, pid);
	wire_put_u64(&w, 1);
	wire_put_u64(&w, 0);
	wire_put_u32(&w, 0);
	wire_put_str(&w, "");
	m.len = (uint32_t)w.pos;
	return m;
}

static void
own_word_counts_more_than_hearsay(void **state)
{
	struct data *d = data_new();
	uint8_t buf[64];
	struct imsg m;

	(void)state;
	d->worker = 1;
	d->numbered = true;
	m = process_message(buf, ROLE_POOL, 1, 11);
	assert_int_equal(data_add_hearsay(d, &m), 0);
	assert_int_equal(d->processes[ROLE_POOL].pid, 11);
	m = process_message(buf, ROLE_POOL, 0, 10); /* another's */
	assert_int_equal(data_add(d, &m), 0);
	assert_int_equal(d->processes[ROLE_POOL].pid, 11);
	m = process_message(buf, ROLE_POOL, 1, 12);
	assert_int_equal(data_add(d, &m), 0);
	m = process_message(buf, ROLE_POOL, 1, 13);
	assert_int_equal(data_add_hearsay(d, &m), 0);
	assert_int_equal(d->processes[ROLE_POOL].pid, 12);
	m = process_message(buf, ROLE_PARENT, 0, 1);
	assert_int_equal(data_add(d, &m), 0);
	assert_int_equal(d->processes[ROLE_PARENT].pid, 1);
	data_free(d);
}

static void
errors_are_put_together(void **state)
{
	struct data *d = workers(2);
	struct info_error e = { .phase = PHASE_CONNECT,
		.cause = CAUSE_NETWORK,
		.count = 3,
		.first_ms = 5000,
		.last_ms = 2000,
		.text = "older" };

	(void)state;
	assert_int_equal(data_add_error(d->parts[0], &e), 0);
	e.phase = PHASE_READ;
	e.last_ms = 1500;
	assert_int_equal(data_add_error(d->parts[0], &e), 0);
	e.phase = PHASE_CONNECT;
	e.count = 2;
	e.first_ms = 4000;
	e.last_ms = 1000;
	(void)strcpy(e.text, "newer");
	assert_int_equal(data_add_error(d->parts[1], &e), 0);
	assert_int_equal(sum_parts(d), 0);
	assert_int_equal(d->nerrors, 2);
	assert_int_equal(d->errors[0].phase, PHASE_CONNECT);
	assert_int_equal(d->errors[0].count, 5);
	assert_int_equal(d->errors[0].first_ms, 5000);
	assert_int_equal(d->errors[0].last_ms, 1000);
	assert_string_equal(d->errors[0].text, "newer");
	assert_int_equal(d->errors[1].phase, PHASE_READ);
	data_free(d);
}

static void
clients_are_put_together(void **state)
{
	struct data *d = workers(2);
	struct info_client c = { .net = { .family = AF_INET, .len = 32 },
		.queries = 10,
		.excess = 1,
		.answers = 8,
		.last_minute = 4,
		.inflight = 2 };

	(void)state;
	assert_int_equal(data_add_client(d->parts[0], &c), 0);
	assert_int_equal(data_add_client(d->parts[1], &c), 0);
	c.net.addr[0] = 9;
	c.queries = 15;
	assert_int_equal(data_add_client(d->parts[0], &c), 0);
	c.net.addr[0] = 7;
	c.queries = 30;
	assert_int_equal(data_add_client(d->parts[1], &c), 0);
	assert_int_equal(sum_parts(d), 0);
	assert_int_equal(d->nclients, 3);
	assert_int_equal(d->clients[0].queries, 30);
	assert_int_equal(d->clients[1].queries, 20);
	assert_int_equal(d->clients[1].net.addr[0], 0);
	assert_int_equal(d->clients[1].excess, 2);
	assert_int_equal(d->clients[1].answers, 16);
	assert_int_equal(d->clients[1].last_minute, 8);
	assert_int_equal(d->clients[1].inflight, 4);
	assert_int_equal(d->clients[2].queries, 15);
	data_free(d);
}

/* Adds up what there is; what it is made of stays as it was. */
static bool
add_up(const struct data *parts)
{
	struct data sum = *parts;
	int r = sum_parts(&sum);

	free(sum.conns);
	free(sum.pins);
	free(sum.errors);
	free(sum.clients);
	free(sum.text);
	return r == 0;
}

static void
each_allocation_fails(void **state)
{
	const struct info_pin pin = { .upstream = 0 };
	const struct info_error error = { .upstream = 0, .count = 1 };
	const struct info_client client = { .queries = 2, .excess = 1 };
	struct data *d = workers(2), *part = d->parts[1];

	(void)state;
	assert_int_equal(data_add_pin(part, &pin), 0);
	assert_int_equal(data_add_error(part, &error), 0);
	assert_int_equal(data_add_client(part, &client), 0);
	part->text = strdup("text");
	part->text_len = 4;
	ALLOC_FAIL_EACH(add_up, d);
	data_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_are_put_together),
		cmocka_unit_test(errors_are_put_together),
		cmocka_unit_test(counters_are_added),
		cmocka_unit_test(upstreams_are_added_by_index),
		cmocka_unit_test(histograms_are_added),
		cmocka_unit_test(upstream_state_is_the_worst_that_matters),
		cmocka_unit_test(one_that_is_not_well_is_named),
		cmocka_unit_test(refusals_name_the_worker),
		cmocka_unit_test(those_with_nothing_add_nothing),
		cmocka_unit_test(own_word_counts_more_than_hearsay),
		cmocka_unit_test(each_allocation_fails),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
