/* SPDX-License-Identifier: ISC */
/* How metrics are written: escaping, formats, the borders of histograms. */
/* LINK: dotproxyctl/metrics_text.c dotproxyctl/format.c common/log.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dotproxyctl/metrics.h"

struct page {
	struct metrics m;
	char *text;
	size_t len;
};

static void
page_open(struct page *p, bool open)
{
	memset(p, 0, sizeof(*p));
	p->m.open = open;
	p->m.out = open_memstream(&p->text, &p->len);
	assert_non_null(p->m.out);
}

/* Ends the page, which has to be this. */
static void
page_is(struct page *p, const char *text)
{
	assert_int_equal(fclose(p->m.out), 0);
	assert_false(p->m.failed);
	assert_string_equal(p->text, text);
	free(p->text);
}

/* Ends the page, which has to have this in it. */
static void
page_has(struct page *p, const char *text)
{
	assert_int_equal(fflush(p->m.out), 0);
	assert_non_null(strstr(p->text, text));
}

static void
test_formats(void **state)
{
	struct page p;

	(void)state;
	page_open(&p, false);
	metrics_family(&p.m, "a_bytes", METRIC_COUNTER, "bytes", "All.");
	metrics_u64(&p.m, NULL, NULL, UINT64_MAX);
	page_is(&p, "# TYPE a_bytes_total counter\n"
		    "# HELP a_bytes_total All.\n"
		    "a_bytes_total 18446744073709551615\n");
	page_open(&p, true);
	metrics_family(&p.m, "a_bytes", METRIC_COUNTER, "bytes", "All.");
	metrics_u64(&p.m, "x", "y", 1);
	metrics_family(&p.m, "b", METRIC_GAUGE, NULL, "One.");
	metrics_milli(&p.m, NULL, NULL, 12034);
	page_is(&p, "# TYPE a_bytes counter\n"
		    "# UNIT a_bytes bytes\n"
		    "# HELP a_bytes All.\n"
		    "a_bytes_total{x=\"y\"} 1\n"
		    "# TYPE b gauge\n"
		    "# HELP b One.\n"
		    "b 12.034\n");
}

static void
test_labels_are_escaped(void **state)
{
	struct page p;

	(void)state;
	page_open(&p, false);
	p.m.name = "a";
	metrics_labels_add(&p.m, "upstream", "x\"} 1\n\\\xff");
	metrics_u64(&p.m, "y", "\"\\", 2);
	metrics_labels_clear(&p.m);
	metrics_u64(&p.m, NULL, NULL, 3);
	page_is(&p, "a{upstream=\"x\\\"} 1\\\\012\\\\134\\\\377\","
		    "y=\"\\\"\\\\134\"} 2\n"
		    "a 3\n");
}

static void
test_labels_that_do_not_fit_are_no_labels(void **state)
{
	char value[1000];
	struct page p;
	int i;

	(void)state;
	page_open(&p, false);
	memset(value, '\\', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (i = 0; i < 5; i++)
		metrics_labels_add(&p.m, "upstream", value);
	assert_true(p.m.failed);
	assert_int_equal(fclose(p.m.out), 0);
	free(p.text);
}

static void
test_histogram_of_times(void **state)
{
	struct hist h = { 0 };
	struct page p;

	(void)state;
	hist_add(&h, 0);
	hist_add(&h, 255);
	hist_add(&h, 256);
	hist_add(&h, 1000000);
	hist_add(&h, 1048575);
	hist_add(&h, 1048576);
	hist_add(&h, UINT32_MAX);
	page_open(&p, true);
	p.m.name = "t_seconds";
	metrics_hist(&p.m, "x", "y", &h, false);
	page_has(&p, "t_seconds_bucket{x=\"y\",le=\"0.000256\"} 2\n");
	page_has(&p, "t_seconds_bucket{x=\"y\",le=\"0.000512\"} 3\n");
	page_has(&p, "t_seconds_bucket{x=\"y\",le=\"0.524288\"} 3\n");
	page_has(&p, "t_seconds_bucket{x=\"y\",le=\"1.048576\"} 5\n");
	page_has(&p, "t_seconds_bucket{x=\"y\",le=\"8.388608\"} 6\n");
	page_has(&p, "t_seconds_bucket{x=\"y\",le=\"+Inf\"} 7\n");
	page_has(&p, "t_seconds_count{x=\"y\"} 7\n");
	page_has(&p, "t_seconds_sum{x=\"y\"} 4298.064957\n");
	assert_int_equal(fclose(p.m.out), 0);
	free(p.text);
}

static void
test_histogram_of_sizes(void **state)
{
	struct hist h = { 0 };
	struct page p;

	(void)state;
	hist_add(&h, 31);
	hist_add(&h, 32);
	hist_add(&h, 511);
	hist_add(&h, 512);
	hist_add(&h, 65535);
	page_open(&p, false);
	p.m.name = "s_bytes";
	metrics_hist(&p.m, NULL, NULL, &h, true);
	page_has(&p, "s_bytes_bucket{le=\"31.0\"} 1\n");
	page_has(&p, "s_bytes_bucket{le=\"47.0\"} 2\n");
	page_has(&p, "s_bytes_bucket{le=\"511.0\"} 3\n");
	page_has(&p, "s_bytes_bucket{le=\"767.0\"} 4\n");
	page_has(&p, "s_bytes_bucket{le=\"65535.0\"} 5\n");
	page_has(&p, "s_bytes_bucket{le=\"+Inf\"} 5\n");
	page_has(&p, "s_bytes_sum 66621\n");
	assert_int_equal(fclose(p.m.out), 0);
	free(p.text);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_labels_are_escaped),
		cmocka_unit_test(test_labels_that_do_not_fit_are_no_labels),
		cmocka_unit_test(test_histogram_of_times),
		cmocka_unit_test(test_histogram_of_sizes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
