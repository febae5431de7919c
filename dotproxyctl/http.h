/* SPDX-License-Identifier: ISC */
/*
 * As much HTTP as it takes to be asked for a page (RFC 9112): the head of a
 * GET or HEAD request.  What is not exactly as expected is refused.  Pure.
 */
#ifndef DOTPROXYCTL_HTTP_H
#define DOTPROXYCTL_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEAD_MAX 8192 /* bytes of a request */
#define HTTP_PATH_MAX 64

enum http_status {
	HTTP_INCOMPLETE = 0, /* more of it has to come */
	HTTP_OK = 200,
	HTTP_BAD_REQUEST = 400,
	HTTP_NOT_FOUND = 404,
	HTTP_BAD_METHOD = 405,
	HTTP_TIMEOUT = 408,
	HTTP_TOO_LARGE = 413,
	HTTP_URI_TOO_LONG = 414,
	HTTP_MISDIRECTED = 421,
	HTTP_HEAD_TOO_LARGE = 431,
	HTTP_UNAVAILABLE = 503,
	HTTP_BAD_VERSION = 505,
};

struct http_request {
	bool head; /* HEAD, else GET */
	char path[HTTP_PATH_MAX];
	bool has_host;
	bool host_is_local; /* "localhost", 127.0.0.0/8 or [::1] */
	bool openmetrics;   /* preferred to plain text */
};

/*
 * Parses what has come so far.  Returns HTTP_INCOMPLETE, or HTTP_OK if it is a
 * request, or with what to refuse it; head may be set then, too.
 */
enum http_status http_parse(const char *buf, size_t len, struct http_request *);

/* "Not Found" */
const char *http_reason(enum http_status);

#endif
