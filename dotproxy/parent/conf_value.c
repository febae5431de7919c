/* SPDX-License-Identifier: ISC */
/*
 * Numbers, durations, rates, names and pins of the configuration file.  Runs
 * in the parent.  Pure: no files, no sockets.  Addresses are in conf_addr.c.
 */
#include "dotproxy/parent/conf_value.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define PIN_PREFIX "sha256/"
#define PIN_BASE64_LEN 44 /* of 32 bytes, the last one being "=" */

static const struct unit {
	const char *name;
	uint32_t ms;
} units[] = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };

#define NUNITS (sizeof(units) / sizeof(units[0]))

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Reads digits, returns their count; saturates above UINT32_MAX. */
static size_t
read_digits(const char *text, uint64_t *value)
{
	size_t n;

	*value = 0;
	for (n = 0; is_digit(text[n]); n++)
		if (*value <= UINT32_MAX)
			*value = *value * 10 + (uint64_t)(text[n] - '0');
	return n;
}

static uint32_t
saturate(uint64_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

const char *
value_number(const char *text, uint32_t *number)
{
	uint64_t value;
	size_t n = read_digits(text, &value);

	if (n == 0 || text[n] != '\0')
		return "is not a number";
	*number = saturate(value);
	return NULL;
}

const char *
value_percent(const char *text, uint32_t *percent)
{
	uint64_t value;
	size_t n = read_digits(text, &value);

	if (n == 0 || strcmp(text + n, "%") != 0)
		return "is not a percentage";
	*percent = saturate(value);
	return NULL;
}

const char *
value_duration(const char *text, uint32_t *ms)
{
	uint64_t value, total = 0;
	size_t n, len, next = 0;

	do {
		n = read_digits(text, &value);
		if (n == 0)
			return "is not a duration";
		text += n;
		if (*text == '\0')
			return "has no unit (ms, s, m or h)";
		for (len = 0; text[len] != '\0' && !is_digit(text[len]); len++)
			;
		/* Each unit once, the bigger first: no "30s1m". */
		while (next < NUNITS &&
		       (strlen(units[next].name) != len ||
			   strncmp(units[next].name, text, len) != 0))
			next++;
		if (next == NUNITS)
			return "is not a duration";
		total += value * units[next++].ms;
		if (total > UINT32_MAX)
			total = UINT32_MAX;
		text += len;
	} while (*text != '\0');
	*ms = saturate(total);
	return NULL;
}

char *
value_duration_text(uint32_t ms, char buf[VALUE_DURATION_TEXT_MAX])
{
	size_t i, len = 0;

	buf[0] = '\0';
	for (i = 0; i < NUNITS; i++) {
		if (ms < units[i].ms)
			continue;
		(void)snprintf(buf + len, VALUE_DURATION_TEXT_MAX - len, "%u%s",
		    ms / units[i].ms, units[i].name);
		len += strlen(buf + len);
		ms %= units[i].ms;
	}
	if (len == 0)
		(void)snprintf(buf, VALUE_DURATION_TEXT_MAX, "0ms");
	return buf;
}

const char *
value_rate(const char *text, uint32_t *ppm)
{
	uint64_t whole;
	uint32_t part = 0, digit = 100000;
	size_t n = read_digits(text, &whole);

	if (n == 0)
		return "is not a rate";
	text += n;
	if (*text == '.') {
		if (!is_digit(*++text))
			return "is not a rate";
		for (; is_digit(*text); text++, digit /= 10) {
			if (digit == 0 && *text != '0')
				return "has more than six decimals";
			part += digit * (uint32_t)(*text - '0');
		}
	}
	if (*text != '\0')
		return "is not a rate";
	*ppm = saturate(whole * 1000000 + part);
	return NULL;
}

char *
value_rate_text(uint32_t ppm, char buf[VALUE_RATE_TEXT_MAX])
{
	size_t len;

	(void)snprintf(
	    buf, VALUE_RATE_TEXT_MAX, "%u.%06u", ppm / 1000000, ppm % 1000000);
	len = strlen(buf);
	while (len > 0 && buf[len - 1] == '0')
		len--;
	if (len > 0 && buf[len - 1] == '.')
		len--;
	buf[len] = '\0';
	return buf;
}

static const char base64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const char *
value_pin(const char *text, uint8_t pin[CONF_PIN_LEN])
{
	const size_t plen = sizeof(PIN_PREFIX) - 1;
	uint8_t out[CONF_PIN_LEN];
	const char *p;
	uint32_t acc = 0;
	unsigned int bits = 0;
	size_t i, n = 0;

	if (strncmp(text, PIN_PREFIX, plen) != 0)
		return "does not begin with \"sha256/\"";
	text += plen;
	if (strlen(text) != PIN_BASE64_LEN || text[PIN_BASE64_LEN - 1] != '=')
		return "is not the base64 of 32 bytes";
	for (i = 0; i < PIN_BASE64_LEN - 1; i++) {
		if ((p = strchr(base64, text[i])) == NULL)
			return "is not base64";
		acc = (acc << 6 | (uint32_t)(p - base64)) & 0xffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[n++] = (uint8_t)(acc >> bits);
		}
	}
	/* Unused bits must be zero, or two texts would mean the same pin. */
	if ((acc & ((1u << bits) - 1)) != 0)
		return "is not canonical base64";
	memcpy(pin, out, sizeof(out));
	return NULL;
}

/* RFC 8446 B.4. */
static bool
is_tls_1_3_suite(const char *name, size_t len)
{
	static const char *const suites[] = { "TLS_AES_128_GCM_SHA256",
		"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
		"TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256" };
	size_t i;

	for (i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (strlen(suites[i]) == len &&
		    strncmp(suites[i], name, len) == 0)
			return true;
	return false;
}

const char *
value_ciphers(const char *text)
{
	size_t len;

	/* No rules, such as "ALL" and "!RC4": a name means what it says. */
	for (;; text += len + 1) {
		for (len = 0; is_alnum(text[len]) || text[len] == '-' ||
			      text[len] == '_';
		     len++)
			;
		if (len == 0 || (text[len] != ':' && text[len] != '\0'))
			return "is not a list of names with \":\" between "
			       "them";
		if (strncmp(text, "TLS_", 4) == 0 &&
		    !is_tls_1_3_suite(text, len))
			return "has an unknown name of TLS 1.3 in it";
		if (text[len] == '\0')
			return NULL;
	}
}

const char *
value_host(const char *text)
{
	struct in6_addr addr;
	const char *label = text, *p;

	if (inet_pton(AF_INET, text, &addr) == 1 ||
	    inet_pton(AF_INET6, text, &addr) == 1)
		return NULL;
	if (strlen(text) > CONF_HOST_MAX - 1)
		return "is not a host name: too long";
	for (p = text;; p++) {
		if (is_alnum(*p) || *p == '-')
			continue;
		if (*p != '.' && *p != '\0')
			return "is not a host name";
		if (p == label || p - label > 63 || *label == '-' ||
		    p[-1] == '-')
			return "is not a host name";
		if (*p == '\0')
			break;
		label = p + 1;
	}
	/* What ends in a number is taken for an address (RFC 3696 2). */
	return label[strspn(label, "0123456789")] == '\0' ? "is not a host name"
							  : NULL;
}

const char *
value_name(const char *text)
{
	size_t i;

	if (text[0] == '\0')
		return "is empty";
	for (i = 0; text[i] != '\0'; i++)
		if (!is_alnum(text[i]) && strchr("._-", text[i]) == NULL)
			return "has other characters than letters, digits, "
			       "\".\", \"_\" and \"-\"";
	return text[0] == '-' ? "begins with \"-\"" : NULL;
}
