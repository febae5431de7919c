/* SPDX-License-Identifier: ISC */
/* What the exporter takes for a request, and what it refuses. */
/* LINK: dotproxyctl/http.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dotproxyctl/http.h"

/* Parses a copy of exactly that size, so that sanitizers see its end. */
static enum http_status
parse(const char *text, size_t len, struct http_request *r)
{
	enum http_status status;
	char *copy = malloc(len + 1);

	assert_non_null(copy);
	memcpy(copy, text, len);
	copy = realloc(copy, len > 0 ? len : 1);
	assert_non_null(copy);
	status = http_parse(copy, len, r);
	free(copy);
	return status;
}

static enum http_status
parse_fields(const char *fields, struct http_request *r)
{
	char text[2 * HTTP_HEAD_MAX];

	(void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n", fields);
	return parse(text, strlen(text), r);
}

static void
test_whole_request(void **state)
{
	static const char text[] = "GET /metrics HTTP/1.1\r\n"
				   "Host: localhost:9153\r\n"
				   "User-Agent: Prometheus/2.42\r\n\r\n";
	struct http_request r;
	size_t len;

	(void)state;
	for (len = 0; len < strlen(text); len++)
		assert_int_equal(parse(text, len, &r), HTTP_INCOMPLETE);
	assert_int_equal(parse(text, len, &r), HTTP_OK);
	assert_string_equal(r.path, "/metrics");
	assert_true(r.has_host && r.host_is_local);
	assert_false(r.head || r.openmetrics);
}

static void
test_lines(void **state)
{
	static const struct {
		const char *line;
		enum http_status status;
	} tries[] = {
		{ "GET / HTTP/1.0", HTTP_OK },
		{ "HEAD / HTTP/1.0", HTTP_OK },
		{ "get / HTTP/1.0", HTTP_BAD_METHOD },
		{ "HEADS / HTTP/1.0", HTTP_BAD_METHOD },
		{ "POST / HTTP/1.0", HTTP_BAD_METHOD },
		{ "GET / HTTP/1.1", HTTP_BAD_REQUEST }, /* without a host */
		{ "GET / HTTP/2.0", HTTP_BAD_VERSION },
		{ "GET / HTTP/1.10", HTTP_BAD_REQUEST },
		{ "GET / HTTP/1.\n", HTTP_BAD_REQUEST },
		{ "GET / HTTP/1.x", HTTP_BAD_REQUEST },
		{ "GET / http/1.0", HTTP_BAD_REQUEST },
		{ "GET  / HTTP/1.0", HTTP_BAD_REQUEST },
		{ "GET /", HTTP_BAD_REQUEST },
		{ "GET", HTTP_BAD_REQUEST },
		{ "", HTTP_BAD_REQUEST },
		{ "GET * HTTP/1.0", HTTP_BAD_REQUEST },
		{ "GET /?a HTTP/1.0", HTTP_OK },
		{ "GET /?a#b HTTP/1.0", HTTP_BAD_REQUEST },
		{ "GET /?\x01 HTTP/1.0", HTTP_BAD_REQUEST },
		{ "GET ?a HTTP/1.0", HTTP_BAD_REQUEST },
		{ "GET /#a HTTP/1.0", HTTP_BAD_REQUEST },
		{ "GET /\x01 HTTP/1.0", HTTP_BAD_REQUEST },
		{ "GET /\xc3\xa9 HTTP/1.0", HTTP_BAD_REQUEST },
	};
	struct http_request r;
	char text[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		(void)snprintf(text, sizeof(text), "%s\r\n\r\n", tries[i].line);
		assert_int_equal(
		    parse(text, strlen(text), &r), tries[i].status);
	}
}

static void
test_path_has_a_limit(void **state)
{
	char text[256], path[HTTP_PATH_MAX + 1] = "/";
	struct http_request r;

	(void)state;
	memset(path + 1, 'a', sizeof(path) - 2);
	path[HTTP_PATH_MAX] = '\0';
	(void)snprintf(text, sizeof(text), "GET %s HTTP/1.0\r\n\r\n", path);
	assert_int_equal(parse(text, strlen(text), &r), HTTP_URI_TOO_LONG);
	path[HTTP_PATH_MAX - 1] = '\0';
	(void)snprintf(text, sizeof(text), "GET %s HTTP/1.0\r\n\r\n", path);
	assert_int_equal(parse(text, strlen(text), &r), HTTP_OK);
	assert_string_equal(r.path, path);
}

static void
test_query_is_no_part_of_the_path(void **state)
{
	static const char text[] = "GET /metrics?a=/b?c HTTP/1.0\r\n\r\n";
	struct http_request r;

	(void)state;
	assert_int_equal(parse(text, strlen(text), &r), HTTP_OK);
	assert_string_equal(r.path, "/metrics");
}

static void
test_fields(void **state)
{
	static const struct {
		const char *fields;
		enum http_status status;
	} tries[] = {
		{ "Host: a\r\n", HTTP_OK },
		{ "Host:\r\n", HTTP_OK },
		{ "hOST:\ta \r\nX-y: \xc3\xa9\r\n", HTTP_OK },
		{ "Host: a\r\nHost: a\r\n", HTTP_BAD_REQUEST },
		{ "Host : a\r\n", HTTP_BAD_REQUEST },
		{ "Host: a\r\n folded\r\n", HTTP_BAD_REQUEST },
		{ "Host: a\r\nnothing\r\n", HTTP_BAD_REQUEST },
		{ "Host: a\r\n: x\r\n", HTTP_BAD_REQUEST },
		{ "Host: a\nX: b\r\n", HTTP_BAD_REQUEST },
		{ "Host: a\r\nX: \x01\r\n", HTTP_BAD_REQUEST },
		{ "Host: a\r\nContent-Length: 0\r\n", HTTP_OK },
		{ "Host: a\r\nContent-Length: 1\r\n", HTTP_TOO_LARGE },
		{ "Host: a\r\nTransfer-Encoding: chunked\r\n", HTTP_TOO_LARGE },
	};
	struct http_request r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
		assert_int_equal(
		    parse_fields(tries[i].fields, &r), tries[i].status);
}

static void
test_head_has_a_limit(void **state)
{
	char text[HTTP_HEAD_MAX];
	struct http_request r;

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(parse(text, sizeof(text) - 1, &r), HTTP_INCOMPLETE);
	assert_int_equal(parse(text, sizeof(text), &r), HTTP_HEAD_TOO_LARGE);
}

static void
test_hosts(void **state)
{
	static const char *const local[] = { "localhost", "LocalHost:80",
		"127.0.0.1", "127.255.0.9:9153", "[::1]", "[::1]:9153" };
	static const char *const other[] = { "", ":80", "localhost.",
		"localhost.example", "xlocalhost", "128.0.0.1",
		"127.0.0.1.example", "127.1", "[::2]", "[::1", "[]", "[",
		"example", "127.0.0.1@example", "1.2.3.4:127.0.0.1" };
	struct http_request r;
	char field[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
		(void)snprintf(field, sizeof(field), "Host: %s\r\n", local[i]);
		assert_int_equal(parse_fields(field, &r), HTTP_OK);
		assert_true(r.host_is_local);
	}
	for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		(void)snprintf(field, sizeof(field), "Host: %s\r\n", other[i]);
		assert_int_equal(parse_fields(field, &r), HTTP_OK);
		assert_true(r.has_host);
		assert_false(r.host_is_local);
	}
}

static void
test_accept(void **state)
{
	static const char *const open[] = {
		"application/openmetrics-text",
		"application/openmetrics-text;version=1.0.0;q=0.5,"
		"application/openmetrics-text;version=0.0.1;q=0.4,"
		"text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
		"text/plain;q=0.5 , Application/OpenMetrics-Text ; q=0.5",
	};
	static const char *const plain[] = {
		"",
		"*/*",
		"text/plain",
		"text/html,*/*;q=0.8",
		"application/openmetrics-text;q=0",
		"application/openmetrics-text;q=0.4,text/plain;q=0.6",
		"application/openmetrics-text;version=0.0.1",
		"application/openmetrics-text;q=2",
		"application/openmetrics-text;q=1.001",
		"application/openmetrics-text;q=0.1234",
		"application/openmetrics-text;q=",
		",,;;,=,",
		";q=1",
	};
	struct http_request r;
	char field[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		(void)snprintf(
		    field, sizeof(field), "Host: a\r\nAccept: %s\r\n", open[i]);
		assert_int_equal(parse_fields(field, &r), HTTP_OK);
		assert_true(r.openmetrics);
	}
	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		(void)snprintf(field, sizeof(field),
		    "Host: a\r\nAccept: %s\r\n", plain[i]);
		assert_int_equal(parse_fields(field, &r), HTTP_OK);
		assert_false(r.openmetrics);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_request),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_path_has_a_limit),
		cmocka_unit_test(test_query_is_no_part_of_the_path),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_head_has_a_limit),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_accept),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
