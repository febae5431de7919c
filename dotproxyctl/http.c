/* SPDX-License-Identifier: ISC */
/*
 * Parses requests; see http.h.  Runs in the exporter's half that has nothing
 * to lose.  No byte is looked at before its being there was checked, and
 * nothing that a client sends is kept but a path of printable characters.
 */
#include "dotproxyctl/http.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A piece of the request. */
struct text {
	const char *p;
	size_t len;
};

/* Cuts off what stands before sep, and sep.  False if it is not in there. */
static bool
take_until(struct text *rest, const char *sep, struct text *piece)
{
	const char *end = memmem(rest->p, rest->len, sep, strlen(sep));

	if (end == NULL)
		return false;
	piece->p = rest->p;
	piece->len = (size_t)(end - rest->p);
	rest->p = end + strlen(sep);
	rest->len -= piece->len + strlen(sep);
	return true;
}

static struct text
trim(struct text t)
{
	while (t.len > 0 && (t.p[0] == ' ' || t.p[0] == '\t')) {
		t.p++;
		t.len--;
	}
	while (t.len > 0 && (t.p[t.len - 1] == ' ' || t.p[t.len - 1] == '\t'))
		t.len--;
	return t;
}

static bool
is(struct text t, const char *word)
{
	return t.len == strlen(word) && strncasecmp(t.p, word, t.len) == 0;
}

/* Takes the next item of a list: up to sep, or all that is left. */
static bool
take_item(struct text *rest, const char *sep, struct text *item)
{
	if (rest->len == 0)
		return false;
	if (!take_until(rest, sep, item)) {
		*item = *rest;
		rest->len = 0;
	}
	*item = trim(*item);
	return true;
}

/* The q of RFC 9110 12.4.2 in thousandths; what is none counts as 0. */
static unsigned int
parse_weight(struct text t)
{
	unsigned int q, digit = 100;
	size_t i;

	if (t.len < 1 || t.len > 5 || (t.p[0] != '0' && t.p[0] != '1') ||
	    (t.len > 1 && t.p[1] != '.'))
		return 0;
	q = t.p[0] == '1' ? 1000 : 0;
	for (i = 2; i < t.len; i++, digit /= 10) {
		if (t.p[i] < '0' || t.p[i] > '9')
			return 0;
		q += (unsigned int)(t.p[i] - '0') * digit;
	}
	return q > 1000 ? 0 : q;
}

/* One element of Accept: raises the weight of what it names. */
static void
accept_one(struct text range, unsigned int *open, unsigned int *plain)
{
	struct text type, parameter, name;
	unsigned int q = 1000, *which = NULL;
	bool known = true;

	if (!take_item(&range, ";", &type))
		return;
	if (is(type, "application/openmetrics-text"))
		which = open;
	else if (is(type, "text/plain") || is(type, "text/*") ||
		 is(type, "*/*"))
		which = plain;
	while (take_item(&range, ";", &parameter)) {
		if (!take_until(&parameter, "=", &name))
			continue;
		if (is(name, "q"))
			q = parse_weight(parameter);
		else if (is(name, "version") && which == open)
			known = is(parameter, "1.0.0");
	}
	if (which != NULL && known && q > *which)
		*which = q;
}

static bool
prefers_openmetrics(struct text accept)
{
	unsigned int open = 0, plain = 0;
	struct text range;

	while (take_item(&accept, ",", &range))
		accept_one(range, &open, &plain);
	return open > 0 && open >= plain;
}

/* A name that a page from elsewhere cannot have been made to point here. */
static bool
is_local_host(struct text host)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	struct in_addr in;
	struct text name;

	if (host.len > 0 && host.p[0] == '[') {
		host.p++;
		host.len--;
		if (!take_until(&host, "]", &name))
			return false;
	} else if (!take_until(&host, ":", &name))
		name = host;
	if (is(name, "localhost"))
		return true;
	if (name.len >= sizeof(text))
		return false;
	memcpy(text, name.p, name.len);
	text[name.len] = '\0';
	if (inet_pton(AF_INET, text, &in) == 1)
		return ntohl(in.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, text, &in6) == 1 &&
	       IN6_IS_ADDR_LOOPBACK(&in6);
}

/* Only visible ASCII; of a query nothing is kept, as there is no use for it. */
static enum http_status
parse_path(struct text target, char path[HTTP_PATH_MAX])
{
	size_t i, len = target.len;

	if (target.len == 0 || target.p[0] != '/')
		return HTTP_BAD_REQUEST;
	if (target.len >= HTTP_PATH_MAX)
		return HTTP_URI_TOO_LONG;
	for (i = 0; i < target.len; i++) {
		if (target.p[i] <= 0x20 || target.p[i] >= 0x7f ||
		    target.p[i] == '#')
			return HTTP_BAD_REQUEST;
		if (target.p[i] == '?' && len == target.len)
			len = i;
	}
	memcpy(path, target.p, len);
	path[len] = '\0';
	return HTTP_OK;
}

static enum http_status
parse_line(struct text line, struct http_request *r, bool *need_host)
{
	struct text method, target;

	if (!take_until(&line, " ", &method) ||
	    !take_until(&line, " ", &target))
		return HTTP_BAD_REQUEST;
	if (line.len != 8 || strncmp(line.p, "HTTP/", 5) != 0)
		return HTTP_BAD_REQUEST;
	if (line.p[7] < '0' || line.p[7] > '9')
		return HTTP_BAD_REQUEST;
	if (strncmp(line.p + 5, "1.", 2) != 0)
		return HTTP_BAD_VERSION;
	*need_host = line.p[7] != '0';
	r->head = method.len == 4 && strncmp(method.p, "HEAD", 4) == 0;
	if (!r->head && (method.len != 3 || strncmp(method.p, "GET", 3) != 0))
		return HTTP_BAD_METHOD;
	return parse_path(target, r->path);
}

/* True if a field's name is one (RFC 9110 5.6.2), its value visible. */
static bool
is_field(struct text name, struct text value)
{
	static const char token[] =
	    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t i;

	if (name.len == 0)
		return false;
	for (i = 0; i < name.len; i++)
		if (memchr(token, name.p[i], sizeof(token) - 1) == NULL)
			return false;
	for (i = 0; i < value.len; i++)
		if (((unsigned char)value.p[i] < 0x20 && value.p[i] != '\t') ||
		    value.p[i] == 0x7f)
			return false;
	return true;
}

static enum http_status
parse_field(struct text line, struct http_request *r)
{
	struct text name, value;

	if (!take_until(&line, ":", &name))
		return HTTP_BAD_REQUEST;
	value = trim(line);
	if (!is_field(name, value))
		return HTTP_BAD_REQUEST;
	if (is(name, "Host")) {
		if (r->has_host)
			return HTTP_BAD_REQUEST;
		r->has_host = true;
		r->host_is_local = is_local_host(value);
	} else if (is(name, "Accept"))
		r->openmetrics = prefers_openmetrics(value);
	else if (is(name, "Transfer-Encoding") ||
		 (is(name, "Content-Length") && !is(value, "0")))
		return HTTP_TOO_LARGE; /* there is nothing to send here */
	return HTTP_OK;
}

enum http_status
http_parse(const char *buf, size_t len, struct http_request *r)
{
	struct text rest = { buf, len }, head, line;
	enum http_status status;
	bool need_host;

	memset(r, 0, sizeof(*r));
	if (!take_until(&rest, "\r\n\r\n", &head))
		return len < HTTP_HEAD_MAX ? HTTP_INCOMPLETE
					   : HTTP_HEAD_TOO_LARGE;
	head.len += 2; /* each line has its end */
	if (!take_until(&head, "\r\n", &line))
		return HTTP_BAD_REQUEST;
	status = parse_line(line, r, &need_host);
	while (status == HTTP_OK && take_until(&head, "\r\n", &line))
		status = parse_field(line, r);
	if (status == HTTP_OK && need_host && !r->has_host)
		return HTTP_BAD_REQUEST;
	return status;
}

const char *
http_reason(enum http_status status)
{
	switch (status) {
	case HTTP_OK:
		return "OK";
	case HTTP_BAD_REQUEST:
		return "Bad Request";
	case HTTP_NOT_FOUND:
		return "Not Found";
	case HTTP_BAD_METHOD:
		return "Method Not Allowed";
	case HTTP_TIMEOUT:
		return "Request Timeout";
	case HTTP_TOO_LARGE:
		return "Content Too Large";
	case HTTP_URI_TOO_LONG:
		return "URI Too Long";
	case HTTP_MISDIRECTED:
		return "Misdirected Request";
	case HTTP_HEAD_TOO_LARGE:
		return "Request Header Fields Too Large";
	case HTTP_UNAVAILABLE:
		return "Service Unavailable";
	case HTTP_BAD_VERSION:
		return "HTTP Version Not Supported";
	default:
		return "Unknown";
	}
}
