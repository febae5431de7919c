/* SPDX-License-Identifier: ISC */
/*
 * Durations, numbers, addresses and policies as Go programs write them.  Runs
 * in the parent.  Pure: no files, no sockets, and no name is looked up.
 */
#include "dotproxy/parent/conf_go.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NS_PER_MS 1000000u

/* The micro sign and the letter mu, in UTF-8: Go takes both. */
static const struct unit {
	const char *name;
	uint64_t ns;
} units[] = { { "ns", 1 }, { "us", 1000 }, { "\302\265s", 1000 },
	{ "\316\274s", 1000 }, { "ms", 1000000 }, { "s", 1000000000 },
	{ "m", 60000000000 }, { "h", 3600000000000 } };

#define NUNITS (sizeof(units) / sizeof(units[0]))

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The unit that text begins with, up to the next number; NULL if unknown. */
static const struct unit *
find_unit(const char *text, size_t *len)
{
	size_t i;

	for (*len = 0;
	     text[*len] != '\0' && text[*len] != '.' && !is_digit(text[*len]);
	     ++*len)
		;
	for (i = 0; i < NUNITS; i++)
		if (strlen(units[i].name) == *len &&
		    strncmp(units[i].name, text, *len) == 0)
			return &units[i];
	return NULL;
}

/* One number with its unit; moves text behind it and adds to ns. */
static const char *
add_part(const char **text, double *ns)
{
	double value = 0, scale = 1;
	const struct unit *unit;
	const char *p = *text;
	size_t len;
	bool any = false;

	for (; is_digit(*p); p++, any = true)
		value = value * 10 + (*p - '0');
	if (*p == '.')
		for (p++; is_digit(*p); p++, any = true)
			value += (*p - '0') * (scale /= 10);
	if (!any)
		return "is not a duration";
	if (*p == '\0')
		return "is not a duration: it has no unit (ms, s, m, h)";
	if ((unit = find_unit(p, &len)) == NULL)
		return "is not a duration: its unit is unknown";
	*ns += value * (double)unit->ns;
	*text = p + len;
	return NULL;
}

const char *
go_duration(const char *text, uint32_t *ms)
{
	const char *why;
	double ns = 0;
	uint64_t whole;
	bool negative = *text == '-';

	if (*text == '-' || *text == '+')
		text++;
	if (strcmp(text, "0") == 0) {
		*ms = 0;
		return NULL;
	}
	do {
		if ((why = add_part(&text, &ns)) != NULL)
			return why;
	} while (*text != '\0');
	/* Go keeps it in 63 bits of nanoseconds. */
	if (ns > 9223372036854775807.0)
		return "is not a duration: too long";
	whole = ((uint64_t)(ns + 0.5) + NS_PER_MS - 1) / NS_PER_MS;
	*ms = negative ? 0 : whole >= UINT32_MAX ? UINT32_MAX : (uint32_t)whole;
	return NULL;
}

const char *
go_int(const char *text, int32_t *number)
{
	const char *digits = text + (*text == '-' || *text == '+');
	long long value;

	if (digits[0] == '\0' || digits[strspn(digits, "0123456789")] != '\0')
		return "is not a number";
	value = strtoll(text, NULL, 10); /* saturates */
	*number = value > INT32_MAX   ? INT32_MAX
		  : value < INT32_MIN ? INT32_MIN
				      : (int32_t)value;
	return NULL;
}

const char *
go_fraction(const char *text, uint32_t *ppm)
{
	char *end;
	double value;

	/* No "inf", "nan" or hexadecimal digits. */
	if (text[0] == '\0' || text[strspn(text, "0123456789.eE+-")] != '\0')
		return "is not a number";
	value = strtod(text, &end);
	if (end == text || *end != '\0')
		return "is not a number";
	if (value < 0 || value > 1)
		return "is not from 0 to 1";
	*ppm = (uint32_t)(value * 1000000 + 0.5);
	if (*ppm == 0 && value > 0)
		*ppm = 1;
	return NULL;
}

const char *
go_host_port(const char *text, char *host, size_t size, const char **port)
{
	const char *begin = text, *end, *colon = strrchr(text, ':');
	size_t len;

	if (*text == '[') {
		begin = text + 1;
		end = strchr(begin, ']');
		if (end == NULL)
			return "has no \"]\"";
		colon = end + 1;
	} else
		end = colon;
	if (colon == NULL || *colon != ':' || colon[1] == '\0')
		return "has no port";
	if (*text != '[' && memchr(text, ':', (size_t)(end - text)) != NULL)
		return "has too many colons: write [address]:port";
	len = (size_t)(end - begin);
	if (len >= size)
		return "is too long";
	memcpy(host, begin, len);
	host[len] = '\0';
	*port = colon + 1;
	return NULL;
}

const char *
go_policy(const char *text)
{
	static const struct {
		const char *go;
		const char *ours;
	} names[] = { { "RoundRobin", "round-robin" }, { "Random", "random" },
		{ "HistoricalConnections", "historical-connections" },
		{ "Availability", "availability" },
		{ "Failover", "failover" } };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(text, names[i].go) == 0)
			return names[i].ours;
	return NULL;
}
