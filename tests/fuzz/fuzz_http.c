/* SPDX-License-Identifier: ISC */
/* LINK: dotproxyctl/http.c */
/*
 * The exporter's HTTP requests: a verdict on the first bytes is not changed by
 * more of them, and an accepted path has nothing in it that needs escaping.
 */
#include "dotproxyctl/http.h"

#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct http_request whole, part;
	enum http_status status, early;
	size_t n, step;
	char *copy;

	if (len > HTTP_HEAD_MAX) /* no more is ever read */
		len = HTTP_HEAD_MAX;
	memset(&whole, 0xa5, sizeof(whole));
	step = len > 512 ? len / 256 : 1;
	status = http_parse((const char *)data, len, &whole);
	FUZZ_ASSERT(
	    http_reason(status)[0] != '\0' || status == HTTP_INCOMPLETE);
	for (n = 0; n < len; n += step) {
		copy = (char *)fuzz_copy(data, n);
		memset(&part, 0x5a, sizeof(part));
		early = http_parse(copy, n, &part);
		free(copy);
		FUZZ_ASSERT(early == HTTP_INCOMPLETE || early == status);
		if (early != HTTP_OK)
			continue;
		FUZZ_ASSERT(strcmp(part.path, whole.path) == 0);
		FUZZ_ASSERT(part.head == whole.head);
		FUZZ_ASSERT(part.has_host == whole.has_host);
		FUZZ_ASSERT(part.host_is_local == whole.host_is_local);
		FUZZ_ASSERT(part.openmetrics == whole.openmetrics);
	}
	if (status != HTTP_OK)
		return 0;
	n = strnlen(whole.path, sizeof(whole.path));
	FUZZ_ASSERT(n < sizeof(whole.path) && whole.path[0] == '/');
	while (n-- > 0)
		FUZZ_ASSERT(whole.path[n] > ' ' && whole.path[n] < 0x7f);
	return 0;
}
