/* SPDX-License-Identifier: ISC */
/*
 * The JSON emitter: what it makes is read back by a strict little checker, and
 * compared where the bytes matter.
 */
/* LINK: dotproxyctl/json.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/json_check.h"

struct sink {
	FILE *out;
	char *text;
	size_t len;
	struct json j;
};

static void
sink_open(struct sink *s)
{
	s->text = NULL;
	s->out = open_memstream(&s->text, &s->len);
	assert_non_null(s->out);
	json_begin(&s->j, s->out);
}

/* Ends the document; it must be want, or wrong if want is NULL. */
static void
sink_close(struct sink *s, const char *want)
{
	assert_int_equal(json_end(&s->j), want == NULL ? -1 : 0);
	assert_int_equal(fclose(s->out), 0);
	if (want != NULL) {
		assert_string_equal(s->text, want);
		assert_true(is_json(s->text));
	}
	free(s->text);
}

static void
values(void **state)
{
	struct sink s;

	(void)state;
	sink_open(&s);
	json_object(&s.j, NULL);
	json_u64(&s.j, "zero", 0);
	json_u64(&s.j, "most", UINT64_MAX);
	json_bool(&s.j, "yes", true);
	json_bool(&s.j, "no", false);
	json_null(&s.j, "none");
	json_string(&s.j, "text", "");
	json_array(&s.j, "empty");
	json_array_end(&s.j);
	json_array(&s.j, "list");
	json_u64(&s.j, NULL, 1);
	json_object(&s.j, NULL);
	json_object_end(&s.j);
	json_object(&s.j, NULL);
	json_u64(&s.j, "a", 2);
	json_object_end(&s.j);
	json_array_end(&s.j);
	json_object_end(&s.j);
	sink_close(&s, "{\"zero\":0,\"most\":18446744073709551615,\"yes\":true,"
		       "\"no\":false,\"none\":null,\"text\":\"\",\"empty\":[],"
		       "\"list\":[1,{},{\"a\":2}]}\n");
}

static void
value_at_the_top(void **state)
{
	struct sink s;

	(void)state;
	sink_open(&s);
	json_string(&s.j, NULL, "x");
	sink_close(&s, "\"x\"\n");
}

/* Makes one string; it must come out as this. */
static void
string_is(const char *bytes, size_t len, const char *want)
{
	char quoted[128];
	struct sink s;

	(void)snprintf(quoted, sizeof(quoted), "\"%s\"\n", want);
	sink_open(&s);
	json_bytes(&s.j, NULL, bytes, len);
	sink_close(&s, quoted);
}

static void
strings(void **state)
{
	(void)state;
	string_is("a/b~ 'c'", 8, "a/b~ 'c'");
	string_is("\"\\", 2, "\\\"\\\\");
	string_is("\n\t\r\b\0\033\177", 7,
	    "\\n\\t\\u000d\\u0008\\u0000\\u001b\\u007f");
	string_is("\xc3\xa9", 2, "\\u00e9");
	string_is("\xe2\x82\xac", 3, "\\u20ac");
	string_is("\xf0\x9f\x98\x80", 4, "\\ud83d\\ude00");
	string_is("\xf4\x8f\xbf\xbf", 4, "\\udbff\\udfff");
	string_is("\xc2\x80\xef\xbf\xbf", 5, "\\u0080\\uffff");
	string_is("\xe0\xa0\x80", 3, "\\u0800"); /* the least of its length */
	string_is("\xf0\x90\x80\x80", 4, "\\ud800\\udc00");
}

/* What is not UTF-8 is replaced, byte by byte, and hides nothing. */
static void
strings_not_utf8(void **state)
{
	(void)state;
	string_is("\x80", 1, "\\ufffd");
	string_is("\xff\xfe", 2, "\\ufffd\\ufffd");
	string_is("\xc3", 1, "\\ufffd");
	string_is("\xc3\"", 2, "\\ufffd\\\"");
	string_is("\xc3\xa9\x80", 3, "\\u00e9\\ufffd");
	string_is("\xf9\x80\x80\x80", 4, "\\ufffd\\ufffd\\ufffd\\ufffd");
	string_is("\xe2\x82", 2, "\\ufffd\\ufffd");
	string_is("\xe2\x82x", 3, "\\ufffd\\ufffdx");
	string_is("\xc0\xaf", 2, "\\ufffd\\ufffd"); /* overlong */
	string_is("\xe0\x80\xaf", 3, "\\ufffd\\ufffd\\ufffd");
	string_is("\xed\xa0\x80", 3, "\\ufffd\\ufffd\\ufffd"); /* surrogate */
	string_is("\xf4\x90\x80\x80", 4, "\\ufffd\\ufffd\\ufffd\\ufffd");
	string_is(
	    "\xf8\x88\x80\x80\x80", 5, "\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd");
}

/* Every pair of bytes makes a valid document. */
static void
strings_of_any_bytes(void **state)
{
	struct sink s;
	unsigned int c;
	char two[2];

	(void)state;
	for (c = 0; c <= 0xffff; c++) {
		two[0] = (char)(c >> 8);
		two[1] = (char)c;
		sink_open(&s);
		json_bytes(&s.j, NULL, two, 2);
		assert_int_equal(json_end(&s.j), 0);
		assert_int_equal(fclose(s.out), 0);
		assert_true(is_json(s.text));
		free(s.text);
	}
}

static void
nesting_is_checked(void **state)
{
	struct sink s;
	int i;

	(void)state;
	sink_open(&s); /* nothing at all */
	sink_close(&s, NULL);
	sink_open(&s); /* not closed */
	json_object(&s.j, NULL);
	sink_close(&s, NULL);
	sink_open(&s); /* closed as what it is not */
	json_object(&s.j, NULL);
	json_array_end(&s.j);
	sink_close(&s, NULL);
	sink_open(&s); /* closed, but never opened */
	json_object_end(&s.j);
	sink_close(&s, NULL);
	sink_open(&s); /* two values */
	json_u64(&s.j, NULL, 1);
	json_u64(&s.j, NULL, 1);
	sink_close(&s, NULL);
	sink_open(&s); /* a key at the top */
	json_u64(&s.j, "k", 1);
	sink_close(&s, NULL);
	sink_open(&s); /* no key in an object; then it stays wrong */
	json_object(&s.j, NULL);
	json_u64(&s.j, NULL, 1);
	json_object_end(&s.j);
	sink_close(&s, NULL);
	sink_open(&s); /* a key in an array */
	json_array(&s.j, NULL);
	json_u64(&s.j, "k", 1);
	json_array_end(&s.j);
	sink_close(&s, NULL);
	sink_open(&s); /* too deep */
	for (i = 0; i <= JSON_DEPTH_MAX; i++)
		json_array(&s.j, NULL);
	for (i = 0; i < JSON_DEPTH_MAX; i++)
		json_array_end(&s.j);
	sink_close(&s, NULL);
}

/* After a mistake nothing more is written. */
static void
mistakes_are_final(void **state)
{
	struct sink s;

	(void)state;
	sink_open(&s);
	json_object(&s.j, NULL);
	json_u64(&s.j, NULL, 1);
	json_u64(&s.j, "k", 1);
	json_string(&s.j, "k", "x");
	json_array(&s.j, "k");
	json_object_end(&s.j);
	assert_int_equal(json_end(&s.j), -1);
	assert_int_equal(fclose(s.out), 0);
	assert_string_equal(s.text, "{");
	free(s.text);
}

static void
deepest_nesting(void **state)
{
	struct sink s;
	int i;

	(void)state;
	sink_open(&s);
	for (i = 0; i < JSON_DEPTH_MAX; i++)
		json_array(&s.j, NULL);
	for (i = 0; i < JSON_DEPTH_MAX; i++)
		json_array_end(&s.j);
	sink_close(&s, "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(value_at_the_top),
		cmocka_unit_test(strings),
		cmocka_unit_test(strings_not_utf8),
		cmocka_unit_test(strings_of_any_bytes),
		cmocka_unit_test(nesting_is_checked),
		cmocka_unit_test(mistakes_are_final),
		cmocka_unit_test(deepest_nesting),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
