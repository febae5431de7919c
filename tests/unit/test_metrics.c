/* SPDX-License-Identifier: ISC */
/* What the listener measures: each in its place, all of them sent. */
/* LINK: dotproxy/listener/metrics.c common/msg.c common/msg_hist.c */
/* LINK: common/imsg.c common/log.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/dns.h"
#include "dotproxy/listener/metrics.h"

#define NOW_MS 77000u
#define HISTS_MAX 16

static struct metrics metrics;

static struct {
	size_t n;
	struct info_hist hists[HISTS_MAX];
} got;

static int
setup(void **state)
{
	(void)state;
	memset(&metrics, 0, sizeof(metrics));
	memset(&got, 0, sizeof(got));
	return 0;
}

static uint64_t
count_of(enum info_hist_kind kind, bool recent)
{
	struct hist h;

	metrics_read(&metrics, kind, recent, NOW_MS, &h);
	return h.count;
}

static void
test_each_in_its_place(void **state)
{
	struct hist h;

	(void)state;
	metrics_query(&metrics, false, 40);
	metrics_query(&metrics, true, 50);
	metrics_query(&metrics, true, 51);
	metrics_answer(&metrics, false, 60);
	metrics_answer(&metrics, false, 61);
	metrics_answer(&metrics, false, 62);
	metrics_answer(&metrics, true, 63);
	metrics_rtt(&metrics, false, NOW_MS, 33);
	metrics_rtt(&metrics, true, NOW_MS, 1);
	metrics_rtt(&metrics, true, NOW_MS, 9);
	assert_int_equal(count_of(INFO_HIST_QUERY_SIZE_UDP, false), 1);
	assert_int_equal(count_of(INFO_HIST_QUERY_SIZE_TCP, false), 2);
	assert_int_equal(count_of(INFO_HIST_ANSWER_SIZE_UDP, false), 3);
	assert_int_equal(count_of(INFO_HIST_ANSWER_SIZE_TCP, false), 1);
	assert_int_equal(count_of(INFO_HIST_RTT_UDP, false), 1);
	assert_int_equal(count_of(INFO_HIST_RTT_TCP, true), 2);
	metrics_read(&metrics, INFO_HIST_RTT_UDP, true, NOW_MS, &h);
	assert_int_equal(h.max_us, 33);
	metrics_read(&metrics, INFO_HIST_RTT_TCP, true, NOW_MS, &h);
	assert_int_equal(h.max_us, 9);
	metrics_read(&metrics, INFO_HIST_QUERY_SIZE_TCP, false, NOW_MS, &h);
	assert_int_equal(h.sum_us, 101);
}

static void
test_rcodes(void **state)
{
	unsigned int rcode;

	(void)state;
	assert_int_equal(metrics_rcode(0), LSTAT_rcode_noerror);
	assert_int_equal(metrics_rcode(2), LSTAT_rcode_servfail);
	assert_int_equal(metrics_rcode(3), LSTAT_rcode_nxdomain);
	assert_int_equal(metrics_rcode(5), LSTAT_rcode_refused);
	assert_int_equal(metrics_rcode(1), LSTAT_rcode_other);
	for (rcode = 6; rcode < 16; rcode++)
		assert_int_equal(metrics_rcode(rcode), LSTAT_rcode_other);
}

static int
on_hist(void *arg, struct imsg *m)
{
	(void)arg;
	assert_true(got.n < HISTS_MAX);
	assert_int_equal(m->id, 5);
	return msg_read_info_hist(m, &got.hists[got.n++]);
}

/* All kinds of the listener's, those of the last minute beside them. */
static void
test_all_are_sent(void **state)
{
	static const struct imsg_rule rules[IMSG_TYPES_MAX] = {
		[MSG_INFO_HIST] = { .handler = on_hist,
		    .max = MSG_INFO_MAX,
		    .phases = 1 },
	};
	const struct imsg_chan_opts opts = {
		.rules = rules,
		.in_cap = MSG_CONTROL_BUF,
		.out_cap = MSG_CONTROL_BUF,
		.phase = 1,
	};
	struct imsg_chan a, b;
	unsigned int kind, n = 0;
	size_t i;
	int fds[2];

	(void)state;
	metrics_rtt(&metrics, true, NOW_MS, 7);
	metrics_answer(&metrics, true, 500);
	assert_int_equal(imsg_socketpair(fds), 0);
	assert_int_equal(imsg_open(&a, fds[0], &opts), 0);
	assert_int_equal(imsg_open(&b, fds[1], &opts), 0);
	assert_true(metrics_send(&metrics, &a, 5, NOW_MS));
	assert_int_equal(imsg_flush(&a), IMSG_OK);
	assert_int_equal(imsg_read(&b), IMSG_OK);
	for (kind = INFO_HIST_OF_UPSTREAM; kind < INFO_HIST_COUNT; kind++)
		n += INFO_HIST_HAS_RECENT(kind) ? 2u : 1u;
	assert_int_equal(got.n, n);
	for (i = 0; i < got.n; i++) {
		assert_int_equal(got.hists[i].upstream, MSG_NO_UPSTREAM);
		if (got.hists[i].which == INFO_HIST_RTT_TCP)
			assert_int_equal(got.hists[i].hist.max_us, 7);
		else if (got.hists[i].which == INFO_HIST_ANSWER_SIZE_TCP)
			assert_int_equal(got.hists[i].hist.max_us, 500);
		else
			assert_int_equal(got.hists[i].hist.count, 0);
	}
	imsg_close(&a);
	imsg_close(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_each_in_its_place, setup),
		cmocka_unit_test_setup(test_rcodes, setup),
		cmocka_unit_test_setup(test_all_are_sent, setup),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
