/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/pool/errors.c */
/* What upstreams failed with: counted, and the oldest replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dotproxy/pool/errors.h"

static struct errors t;

static const struct error_entry *
newest(void)
{
	return TAILQ_FIRST(&t.newest);
}

static int
setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	errors_init(&t);
	return 0;
}

static void
the_same_is_counted(void **state)
{
	struct info_error info;

	(void)state;
	errors_add(&t, 7, PHASE_CONNECT, CAUSE_NETWORK, "refused", 1000);
	errors_add(&t, 7, PHASE_VERIFY, CAUSE_PIN, "no pin", 1500);
	errors_add(&t, 7, PHASE_CONNECT, CAUSE_NETWORK, "no route", 3000);
	assert_int_equal(t.n, 2);
	errors_fill_info(newest(), 3500, &info);
	assert_int_equal(info.phase, PHASE_CONNECT);
	assert_int_equal(info.cause, CAUSE_NETWORK);
	assert_int_equal(info.count, 2);
	assert_int_equal(info.first_ms, 2500);
	assert_int_equal(info.last_ms, 500);
	assert_string_equal(info.text, "no route");
}

static void
upstream_phase_and_cause_tell_apart(void **state)
{
	(void)state;
	errors_add(&t, 1, PHASE_CONNECT, CAUSE_NETWORK, "", 0);
	errors_add(&t, 2, PHASE_CONNECT, CAUSE_NETWORK, "", 0);
	errors_add(&t, 1, PHASE_READ, CAUSE_NETWORK, "", 0);
	errors_add(&t, 1, PHASE_CONNECT, CAUSE_TIMEOUT, "", 0);
	assert_int_equal(t.n, 4);
	assert_int_equal(newest()->count, 1);
}

static void
oldest_goes_when_it_is_full(void **state)
{
	const struct error_entry *e;
	uint32_t i, n = 0;

	(void)state;
	for (i = 0; i < INFO_ERRORS_MAX; i++)
		errors_add(&t, i, PHASE_READ, CAUSE_NETWORK, "old", i);
	errors_add(&t, 0, PHASE_READ, CAUSE_NETWORK, "again", 200);
	errors_add(&t, 500, PHASE_READ, CAUSE_NETWORK, "new", 300);
	assert_int_equal(t.n, INFO_ERRORS_MAX);
	assert_int_equal(newest()->upstream, 500);
	assert_int_equal(newest()->count, 1);
	assert_int_equal(newest()->first_ms, 300);
	assert_int_equal(TAILQ_NEXT(newest(), place)->upstream, 0);
	TAILQ_FOREACH (e, &t.newest, place) {
		assert_int_not_equal(e->upstream, 1);
		n++;
	}
	assert_int_equal(n, INFO_ERRORS_MAX);
}

static void
long_text_is_cut(void **state)
{
	char text[INFO_ERROR_TEXT_MAX + 10];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	errors_add(&t, 1, PHASE_VERIFY, CAUSE_NAME, text, 0);
	assert_int_equal(strlen(newest()->text), INFO_ERROR_TEXT_MAX - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_same_is_counted, setup),
		cmocka_unit_test_setup(
		    upstream_phase_and_cause_tell_apart, setup),
		cmocka_unit_test_setup(oldest_goes_when_it_is_full, setup),
		cmocka_unit_test_setup(long_text_is_cut, setup),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
