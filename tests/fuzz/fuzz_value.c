/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/parent/conf_value.c dotproxy/parent/conf_addr.c */
/* LINK: dotproxy/parent/conf_go.c common/log.c common/util.c */
/*
 * Single values of both configuration languages, addresses of the metrics
 * server among them: what is refused leaves the result alone, and what is
 * accepted can be printed and read again.  The first octet chooses, the others
 * are the text.
 */
#include "dotproxy/parent/conf_value.h"

#include "common/util.h"
#include "dotproxy/parent/conf_go.h"
#include "tests/fuzz/fuzz.h"

#define UNTOUCHED 0x5a5a5a5au

static void
check_number(const char *why, uint32_t v)
{
	if (why != NULL)
		FUZZ_ASSERT(v == UNTOUCHED && why[0] != '\0');
}

static void
check_address(const char *text, bool any)
{
	struct sockaddr_storage ss, before, again;
	char buf[SOCKADDR_TEXT_MAX], *end;
	const char *why;
	size_t n;

	memset(&ss, 0x5a, sizeof(ss));
	before = ss;
	why = value_address(text, any, &ss);
	if (why != NULL) {
		FUZZ_ASSERT(memcmp(&ss, &before, sizeof(ss)) == 0);
		return;
	}
	FUZZ_ASSERT(ss.ss_family == AF_INET || ss.ss_family == AF_INET6);
	value_set_port(&ss, 8125);
	(void)sockaddr_text(&ss, buf);
	n = strlen(buf);
	FUZZ_ASSERT(n > 5 && strcmp(buf + n - 5, ":8125") == 0);
	end = buf + n - 5;
	*end = '\0';
	if (buf[0] == '[')
		end[-1] = '\0';
	FUZZ_ASSERT(value_address(buf + (buf[0] == '['), any, &again) == NULL);
	value_set_port(&again, 8125);
	FUZZ_ASSERT(memcmp(&ss, &again, sizeof(ss)) == 0);
}

static void
check_prefix(const char *text)
{
	struct conf_prefix p, again;
	char buf[VALUE_PREFIX_TEXT_MAX];

	if (value_prefix(text, &p) != NULL)
		return;
	FUZZ_ASSERT(p.len <= (p.family == AF_INET ? 32 : 128));
	FUZZ_ASSERT(value_prefix(value_prefix_text(&p, buf), &again) == NULL);
	FUZZ_ASSERT(p.family == again.family && p.len == again.len &&
		    memcmp(p.addr, again.addr, sizeof(p.addr)) == 0);
}

static void
check_duration(const char *text)
{
	char buf[VALUE_DURATION_TEXT_MAX];
	uint32_t ms = UNTOUCHED, again = 0;
	const char *why = value_duration(text, &ms);

	check_number(why, ms);
	if (why != NULL)
		return;
	FUZZ_ASSERT(
	    value_duration(value_duration_text(ms, buf), &again) == NULL);
	FUZZ_ASSERT(again == ms);
}

static void
check_rate(const char *text)
{
	char buf[VALUE_RATE_TEXT_MAX];
	uint32_t ppm = UNTOUCHED, again = 0;
	const char *why = value_rate(text, &ppm);

	check_number(why, ppm);
	if (why != NULL || ppm > CONF_SAMPLE_PPM_MAX)
		return;
	FUZZ_ASSERT(value_rate(value_rate_text(ppm, buf), &again) == NULL);
	FUZZ_ASSERT(again == ppm);
}

static void
check_go(const char *text)
{
	uint32_t u = UNTOUCHED;
	int32_t i = (int32_t)UNTOUCHED;
	char host[32];
	const char *port, *policy;

	check_number(go_duration(text, &u), u);
	u = UNTOUCHED;
	check_number(go_fraction(text, &u), u);
	FUZZ_ASSERT(u == UNTOUCHED || u <= 1000000);
	check_number(go_int(text, &i), (uint32_t)i);
	policy = go_policy(text);
	FUZZ_ASSERT(policy == NULL || policy[0] != '\0');
	if (go_host_port(text, host, sizeof(host), &port) != NULL)
		return;
	FUZZ_ASSERT(memchr(host, '\0', sizeof(host)) != NULL);
	FUZZ_ASSERT(
	    port[0] != '\0' && port > text && port <= text + strlen(text));
	check_address(host, true);
}

static void
check_checkers(const char *text)
{
	uint8_t pin[CONF_PIN_LEN];
	uint32_t u = UNTOUCHED;
	size_t i;

	check_number(value_number(text, &u), u);
	u = UNTOUCHED;
	check_number(value_percent(text, &u), u);
	(void)value_pin(text, pin);
	(void)value_ciphers(text);
	(void)value_host(text);
	if (value_name(text) != NULL)
		return;
	for (i = 0; text[i] != '\0'; i++)
		FUZZ_ASSERT(text[i] > ' ' && text[i] < 0x7f);
	FUZZ_ASSERT(i > 0 && text[0] != '-');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text;

	if (len == 0)
		return 0;
	text = fuzz_text(data + 1, len - 1);
	switch (data[0] % 6) {
	case 0:
		check_address(text, data[0] & 0x80);
		break;
	case 1:
		check_prefix(text);
		break;
	case 2:
		check_duration(text);
		break;
	case 3:
		check_rate(text);
		break;
	case 4:
		check_go(text);
		break;
	default:
		check_checkers(text);
		break;
	}
	free(text);
	return 0;
}
