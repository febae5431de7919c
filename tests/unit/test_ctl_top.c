/* SPDX-License-Identifier: ISC */
/* LINK: common/imsg.c common/log.c common/msg%.c common/util.c */
/* LINK: dotproxyctl/top_view.c dotproxyctl/data%.c dotproxyctl/format.c */
/* LINK: dotproxyctl/proc%.c dotproxyctl/sum.c */
/* LIBS: -levent_core */
/* The tables of "top": what is in a line, and in which order they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "dotproxyctl/top.h"

#include "tests/unit/ctl_data.h"

static struct top_row rows[64];

static void
rates(void **state)
{
	(void)state;
	assert_true(top_rate(300, 100, 2000) > 99.9);
	assert_true(top_rate(300, 100, 2000) < 100.1);
	assert_true(top_rate(100, 300, 1000) == 0); /* started anew */
	assert_true(top_rate(300, 100, 0) == 0);
	assert_true(top_rate(UINT64_MAX, 0, 1) > 0);
}

static void
upstreams_by_key(void **state)
{
	struct data *now = ordinary_data(), *old = ordinary_data();
	struct top_sample s = { now, old, 1000 };

	(void)state;
	assert_int_equal(top_rows(TOP_UPSTREAMS, &s, 0, rows, 64), 3);
	assert_int_equal(strncmp(rows[0].text, "cloudflare ", 11), 0);
	assert_false(rows[0].bad);
	assert_true(rows[1].bad);
	/* The last one gets most. */
	now->upstreams[2].queries += 5000;
	now->upstreams[0].queries += 10;
	assert_int_equal(top_rows(TOP_UPSTREAMS, &s, 1, rows, 64), 3);
	assert_non_null(strstr(rows[0].text, " 5000 "));
	assert_int_equal(strncmp(rows[0].text, "spare ", 6), 0);
	assert_int_equal(strncmp(rows[1].text, "cloudflare ", 11), 0);
	/* By the failures it is another. */
	(void)top_rows(TOP_UPSTREAMS, &s, 4, rows, 64);
	assert_int_equal(strncmp(rows[0].text, "quad9 ", 6), 0);
	/* Without an answer before there are no rates, and no crash. */
	s.old = NULL;
	assert_int_equal(top_rows(TOP_UPSTREAMS, &s, 1, rows, 64), 3);
	assert_true(rows[0].keys[0] == 0);
	assert_int_equal(top_rows(TOP_UPSTREAMS, &s, 0, rows, 2), 2);
	data_free(now);
	data_free(old);
}

/* Another upstream in the same place has not had those queries. */
static void
renamed_upstream_has_no_rate(void **state)
{
	struct data *now = ordinary_data(), *old = ordinary_data();
	struct top_sample s = { now, old, 1000 };

	(void)state;
	now->upstreams[0].queries += 1000;
	(void)snprintf(
	    now->upstreams[0].name, sizeof(now->upstreams[0].name), "another");
	(void)top_rows(TOP_UPSTREAMS, &s, 0, rows, 64);
	assert_true(rows[0].keys[0] == 0);
	data_free(now);
	data_free(old);
}

static void
connections(void **state)
{
	struct data *now = ordinary_data();
	struct top_sample s = { now, NULL, 0 };
	size_t n, i;

	(void)state;
	n = top_rows(TOP_CONNECTIONS, &s, 1, rows, 64);
	assert_int_equal(n, now->nconns);
	for (i = 1; i < n; i++)
		assert_true(rows[i - 1].keys[0] >= rows[i].keys[0]);
	for (i = 0; i < n; i++)
		assert_in_range(strlen(rows[i].text), 40, TOP_WIDTH);
	data_free(now);
}

static void
processes(void **state)
{
	struct data *now = ordinary_data(), *old = ordinary_data();
	struct top_sample s = { now, old, 1000 };

	(void)state;
	now->have_facts[ROLE_POOL] = old->have_facts[ROLE_POOL] = true;
	now->facts[ROLE_POOL].have = old->facts[ROLE_POOL].have = PROC_CPU;
	old->facts[ROLE_POOL].cpu_ms = 1000;
	now->facts[ROLE_POOL].cpu_ms = 1250;
	assert_int_equal(top_rows(TOP_PROCESSES, &s, 1, rows, 64), 3);
	assert_int_equal(strncmp(rows[0].text, "pool ", 5), 0);
	assert_non_null(strstr(rows[0].text, " 25.0 "));
	/* It is another process now. */
	old->processes[ROLE_POOL].pid++;
	(void)top_rows(TOP_PROCESSES, &s, 0, rows, 64);
	assert_true(rows[2].keys[0] < 0);
	data_free(now);
	data_free(old);
}

static void
errors(void **state)
{
	struct data *now = ordinary_data(), *old = ordinary_data();
	struct top_sample s = { now, old, 2000 };
	struct info_error e = { .upstream = 1,
		.phase = PHASE_VERIFY,
		.cause = CAUSE_EXPIRED,
		.count = 5,
		.first_ms = 9000,
		.last_ms = 1000 };

	(void)state;
	assert_int_equal(data_add_error(old, &e), 0);
	e.count = 9;
	assert_int_equal(data_add_error(now, &e), 0);
	e.upstream = 0;
	e.count = 8;
	e.last_ms = 100;
	assert_int_equal(data_add_error(now, &e), 0);
	assert_int_equal(top_rows(TOP_ERRORS, &s, 1, rows, 64), 2);
	assert_int_equal(strncmp(rows[0].text, "quad9 ", 6), 0);
	assert_non_null(strstr(rows[0].text, "verify "));
	assert_non_null(strstr(rows[0].text, "     2 certificate has"));
	assert_true(rows[0].keys[3] > 1.9 && rows[0].keys[3] < 2.1);
	(void)top_rows(TOP_ERRORS, &s, 3, rows, 64);
	assert_int_equal(strncmp(rows[0].text, "cloudflare ", 11), 0);
	assert_in_range(strlen(rows[1].text), 40, TOP_WIDTH);
	data_free(now);
	data_free(old);
}

static void
headings_fit(void **state)
{
	enum top_view view;

	(void)state;
	for (view = TOP_UPSTREAMS; view < TOP_VIEWS; view++) {
		assert_in_range(strlen(top_heading(view)), 60, TOP_WIDTH);
		assert_non_null(top_key_names(view)[TOP_KEYS - 1]);
		assert_null(top_key_names(view)[TOP_KEYS]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates),
		cmocka_unit_test(upstreams_by_key),
		cmocka_unit_test(renamed_upstream_has_no_rate),
		cmocka_unit_test(connections),
		cmocka_unit_test(processes),
		cmocka_unit_test(errors),
		cmocka_unit_test(headings_fit),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
