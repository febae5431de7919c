/* SPDX-License-Identifier: ISC */
/*
 * Fills in the configuration, line by line.  Runs in the parent.  Knows
 * defaults and what may stand twice; limits are in conf_key.c.  Knows no
 * syntax.
 */
#include "dotproxy/parent/conf_set.h"

#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "dotproxy/parent/conf_key.h"
#include "dotproxy/parent/conf_tls.h"
#include "dotproxy/parent/conf_value.h"

#define STATSD_PORT 8125

void
conf_set_init(struct conf_set *s, struct conf *conf, struct conf_errors *errs)
{
	memset(s, 0, sizeof(*s));
	s->conf = conf;
	s->errs = errs;
	s->all = (struct conf_upstream)CONF_UPSTREAM_DEFAULT;
	memcpy(conf->user, CONF_USER_DEFAULT, sizeof(CONF_USER_DEFAULT));
	memcpy(conf->control_socket, CONF_CONTROL_DEFAULT,
	    sizeof(CONF_CONTROL_DEFAULT));
	conf->workers = 1;
	conf->forward = (struct conf_forward)CONF_FORWARD_DEFAULT;
	conf->client = (struct conf_client)CONF_CLIENT_DEFAULT;
	conf->statsd = (struct conf_statsd)CONF_STATSD_DEFAULT;
}

void
conf_set_again(struct conf_set *s, const char *what, struct conf_origin first,
    struct conf_origin at)
{
	if (strcmp(first.file, at.file) == 0)
		conf_errors_add(s->errs, at, "%s was already given on line %u",
		    what, first.line);
	else
		conf_errors_add(s->errs, at, "%s was already given at %s:%u",
		    what, first.file, first.line);
}

bool
conf_set_once(struct conf_set *s, enum conf_key key, struct conf_origin at)
{
	if (s->seen[key].line != 0) {
		conf_set_again(s, conf_key_name(key), s->seen[key], at);
		return false;
	}
	s->seen[key] = at;
	return true;
}

/* Stores what text says, if it is within the range. */
static void
set_number(struct conf_set *s, const char *name, struct conf_range r,
    const char *text, struct conf_origin at)
{
	char min[VALUE_DURATION_TEXT_MAX], max[VALUE_DURATION_TEXT_MAX];
	uint32_t value = 0;
	const char *why;

	if (r.off && strcmp(text, "0") == 0) {
		*r.slot = 0;
		return;
	}
	why = r.duration ? value_duration(text, &value)
			 : value_number(text, &value);
	if (why != NULL)
		conf_errors_add(
		    s->errs, at, "%s \"%.200s\" %s", name, text, why);
	else if (value >= r.min && value <= r.max)
		*r.slot = value;
	else if (r.duration)
		conf_errors_add(s->errs, at,
		    "%s %.200s is out of range (%s-%s)", name, text,
		    value_duration_text(r.min, min),
		    value_duration_text(r.max, max));
	else
		conf_errors_add(s->errs, at,
		    "%s %.200s is out of range (%u-%u)", name, text, r.min,
		    r.max);
}

bool
conf_set_text(struct conf_set *s, const char *name, const char *text, char *dst,
    size_t size, struct conf_origin at)
{
	if (strlen(text) >= size) {
		conf_errors_add(s->errs, at,
		    "%s \"%.40s...\" is too long (%zu characters at most)",
		    name, text, size - 1);
		return false;
	}
	memcpy(dst, text, strlen(text) + 1);
	return true;
}

static void
set_policy(struct conf_set *s, const char *text, struct conf_origin at)
{
	int i;

	for (i = 0; i < POLICY_COUNT; i++)
		if (strcmp(text, conf_policy_name((enum conf_policy)i)) == 0) {
			s->conf->forward.policy = (enum conf_policy)i;
			return;
		}
	conf_errors_add(s->errs, at, "unknown policy \"%.200s\"", text);
}

static void
set_bool(struct conf_set *s, const char *name, const char *text, bool *slot,
    struct conf_origin at)
{
	if (strcmp(text, "yes") == 0)
		*slot = true;
	else if (strcmp(text, "no") == 0)
		*slot = false;
	else
		conf_errors_add(
		    s->errs, at, "%s \"%.200s\" is not yes or no", name, text);
}

static void
set_hedge(struct conf_set *s, const char *text, struct conf_origin at)
{
	uint32_t *slot = &s->conf->forward.hedge_percent, value = 0;
	const char *why = value_percent(text, &value);

	if (why != NULL)
		conf_errors_add(s->errs, at, "hedge \"%.200s\" %s", text, why);
	else if (value > CONF_HEDGE_MAX)
		conf_errors_add(s->errs, at,
		    "hedge %.200s is out of range (0%%-%u%%)", text,
		    CONF_HEDGE_MAX);
	else
		*slot = value;
}

static void
set_flavour(struct conf_set *s, const char *text, struct conf_origin at)
{
	int i;

	for (i = 0; i < FLAVOUR_COUNT; i++)
		if (strcmp(text, conf_flavour_name((enum conf_flavour)i)) ==
		    0) {
			s->conf->statsd.flavour = (enum conf_flavour)i;
			return;
		}
	conf_errors_add(s->errs, at, "unknown flavour \"%.200s\"", text);
}

static void
set_sample_rate(struct conf_set *s, const char *text, struct conf_origin at)
{
	uint32_t ppm = 0;
	const char *why = value_rate(text, &ppm);

	if (why != NULL)
		conf_errors_add(
		    s->errs, at, "sample rate \"%.200s\" %s", text, why);
	else if (ppm < 1 || ppm > CONF_SAMPLE_PPM_MAX)
		conf_errors_add(s->errs, at,
		    "sample rate %.200s is out of range (0.000001-1)", text);
	else
		s->conf->statsd.sample_ppm = ppm;
}

static const char *
check_path(const char *text)
{
	return text[0] != '/' ? "is not an absolute path" : NULL;
}

void
conf_set_value(struct conf_set *s, enum conf_key key, const char *text,
    struct conf_origin at)
{
	struct conf_range r = conf_key_range(s, key);
	const char *name = conf_key_name(key), *why = NULL;
	bool *yes = conf_key_bool(s, key);
	struct conf *c = s->conf;
	char *dst = NULL;
	size_t size = 0;

	if (!conf_set_once(s, key, at))
		return;
	if (key == KEY_WORKERS) /* a reload may have to name it */
		(void)snprintf(c->workers_at, sizeof(c->workers_at), "%s:%u",
		    at.file, at.line);
	if (r.slot != NULL) {
		set_number(s, name, r, text, at);
		return;
	}
	if (yes != NULL) {
		set_bool(s, name, text, yes, at);
		return;
	}
	switch (key) {
	case KEY_POLICY:
		set_policy(s, text, at);
		return;
	case KEY_HEDGE:
		set_hedge(s, text, at);
		return;
	case KEY_FLAVOUR:
		set_flavour(s, text, at);
		return;
	case KEY_SAMPLE_RATE:
		set_sample_rate(s, text, at);
		return;
	case KEY_USER:
		why = value_name(text);
		dst = c->user;
		size = sizeof(c->user);
		break;
	case KEY_CONTROL_SOCKET:
		why = check_path(text);
		dst = c->control_socket;
		size = sizeof(c->control_socket);
		break;
	case KEY_SERVER_NAME:
		why = value_host(text);
		dst = s->up.server_name;
		size = sizeof(s->up.server_name);
		break;
	case KEY_CA_FILE:
		why = check_path(text);
		dst = s->up.ca_file;
		size = sizeof(s->up.ca_file);
		break;
	default:
		return;
	}
	if (why != NULL)
		conf_errors_add(
		    s->errs, at, "%s \"%.200s\" %s", name, text, why);
	else
		(void)conf_set_text(
		    s, name, text, dst, size, at); /* reported */
}

/* Reads address and port; port may be NULL.  Returns false after an error. */
static bool
set_sockaddr(struct conf_set *s, const char *address, bool any,
    const char *port, uint16_t def, struct sockaddr_storage *ss,
    struct conf_origin at)
{
	uint32_t number = def;
	const struct conf_range ports = { &number, 1, UINT16_MAX, false,
		false };
	size_t before = s->errs->count;
	const char *why = value_address(address, any, ss);

	if (why != NULL)
		conf_errors_add(
		    s->errs, at, "address \"%.200s\" %s", address, why);
	if (port != NULL)
		set_number(s, "port", ports, port, at);
	if (s->errs->count != before)
		return false;
	value_set_port(ss, (uint16_t)number);
	return true;
}

void
conf_set_listen(struct conf_set *s, const char *address, const char *port,
    const char *transport, bool freebind, struct conf_origin at)
{
	struct conf *c = s->conf;
	struct conf_listen l, *o;
	char what[SOCKADDR_TEXT_MAX + 32];
	uint32_t i;

	memset(&l, 0, sizeof(l));
	l.udp = transport == NULL || strcmp(transport, "udp") == 0;
	l.tcp = transport == NULL || strcmp(transport, "tcp") == 0;
	l.freebind = freebind;
	if (!set_sockaddr(s, address, true, port, CONF_DNS_PORT, &l.addr, at))
		return;
	for (i = 0; i < c->nlistens; i++) {
		o = &c->listens[i];
		if (!sockaddr_equal(&o->addr, &l.addr) ||
		    (!(o->udp && l.udp) && !(o->tcp && l.tcp)))
			continue;
		(void)snprintf(what, sizeof(what), "listen on %s port %u",
		    address, (unsigned int)sockaddr_port(&l.addr));
		conf_set_again(s, what, s->listen_at[i], at);
		return;
	}
	if (c->nlistens == CONF_LISTENS_MAX) {
		conf_errors_add(s->errs, at,
		    "too many addresses to listen on (%d at most)",
		    CONF_LISTENS_MAX);
		return;
	}
	s->listen_at[c->nlistens] = at;
	c->listens[c->nlistens++] = l;
}

void
conf_set_allow(struct conf_set *s, const char *prefix, struct conf_origin at)
{
	struct conf *c = s->conf;
	struct conf_prefix p;
	const char *why = value_prefix(prefix, &p);

	if (why != NULL)
		conf_errors_add(
		    s->errs, at, "prefix \"%.200s\" %s", prefix, why);
	else if (c->nallow == CONF_ALLOW_MAX)
		conf_errors_add(s->errs, at,
		    "too many prefixes to allow (%d at most)", CONF_ALLOW_MAX);
	else
		c->allow[c->nallow++] = p;
}

void
conf_set_allow_end(struct conf_set *s, struct conf_origin at)
{
	/* It would lock everybody out: not what anybody runs this for. */
	if (conf_set_once(s, KEY_ALLOW, at) && s->conf->nallow == 0 &&
	    s->errs->count == 0)
		conf_errors_add(s->errs, at, "allow list is empty");
}

/* The end of a long name says more than its beginning. */
static void
set_at(struct conf_upstream *up, struct conf_origin at)
{
	size_t len = strlen(at.file), room = sizeof(up->at) - 16;

	(void)snprintf(up->at, sizeof(up->at), "%s:%u",
	    len > room ? at.file + len - room : at.file, at.line);
}

void
conf_set_upstream_open(
    struct conf_set *s, const char *name, struct conf_origin at)
{
	static const struct conf_upstream none = CONF_UPSTREAM_DEFAULT;
	struct conf *c = s->conf;
	const char *why = value_name(name);
	char what[CONF_NAME_MAX + 16];
	uint32_t i;

	s->up_errors = s->errs->count;
	memcpy(&s->up, &none, sizeof(s->up));
	memset(&s->seen[KEY_ADDRESS], 0,
	    (KEY_COUNT - KEY_ADDRESS) * sizeof(s->seen[0]));
	s->up_at = at;
	set_at(&s->up, at);
	if (why != NULL) {
		conf_errors_add(
		    s->errs, at, "upstream name \"%.200s\" %s", name, why);
		return;
	}
	if (!conf_set_text(
		s, "upstream name", name, s->up.name, sizeof(s->up.name), at))
		return;
	for (i = 0; i < c->nupstreams; i++)
		if (strcmp(c->upstreams[i].name, name) == 0) {
			(void)snprintf(
			    what, sizeof(what), "upstream \"%s\"", s->up.name);
			conf_set_again(s, what, s->upstream_at[i], at);
			return;
		}
	if (c->nupstreams == CONF_UPSTREAMS_MAX)
		conf_errors_add(s->errs, at, "too many upstreams (%d at most)",
		    CONF_UPSTREAMS_MAX);
}

void
conf_set_address(struct conf_set *s, const char *address, const char *port,
    struct conf_origin at)
{
	if (!conf_set_once(s, KEY_ADDRESS, at))
		return;
	/* A failure is counted, and then nobody uses what is there. */
	(void)set_sockaddr(
	    s, address, false, port, CONF_DOT_PORT, &s->up.addr, at);
}

void
conf_set_upstream_close(struct conf_set *s)
{
	struct conf *c = s->conf;
	uint32_t i = c->nupstreams;

	/* What is missing may only be misspelt: one error is enough. */
	if (s->errs->count == s->up_errors) {
		if (s->seen[KEY_ADDRESS].line == 0)
			conf_errors_add(s->errs, s->up_at,
			    "upstream \"%s\" has no address", s->up.name);
		if (s->seen[KEY_SERVER_NAME].line == 0 && !s->up.pin_only)
			conf_errors_add(s->errs, s->up_at,
			    "upstream \"%s\" has no server name", s->up.name);
		conf_tls_check(s);
	}
	/* Goes on the list even if it is bad, so that its name is taken. */
	if (i == CONF_UPSTREAMS_MAX)
		return;
	c->upstreams[i] = s->up;
	s->upstream_at[i] = s->up_at;
	s->ca_at[i] =
	    s->seen[KEY_CA_FILE].line != 0 ? s->seen[KEY_CA_FILE] : s->up_at;
	s->cert_at[i] = s->seen[KEY_CLIENT_CERT];
	s->said[i].keep_warm = s->seen[KEY_KEEP_WARM].line != 0;
	s->said[i].fast_open = s->seen[KEY_FAST_OPEN].line != 0;
	s->said[i].resumption = s->seen[KEY_RESUMPTION].line != 0;
	c->nupstreams++;
}

void
conf_set_statsd(struct conf_set *s, const char *address, const char *port,
    struct conf_origin at)
{
	struct conf_statsd *sd = &s->conf->statsd;

	if (conf_set_once(s, KEY_METRICS, at) &&
	    set_sockaddr(s, address, false, port, STATSD_PORT, &sd->addr, at))
		sd->enabled = true;
}

/* Gives upstreams what was said for all, before or after them. */
static void
spread_common(struct conf_set *s)
{
	struct conf_upstream *up;
	uint32_t i;

	for (i = 0; i < s->conf->nupstreams; i++) {
		up = &s->conf->upstreams[i];
		if (!s->said[i].keep_warm)
			up->keep_warm_ms = s->all.keep_warm_ms;
		if (!s->said[i].fast_open)
			up->fast_open = s->all.fast_open;
		if (!s->said[i].resumption)
			up->resumption = s->all.resumption;
	}
}

/* The other workers' sockets have a number after the name: ".64". */
static void
check_control_socket(struct conf_set *s)
{
	char path[CONF_CONTROL_MAX];

	if (s->conf->workers > 1 &&
	    !conf_control_path(
		path, s->conf->control_socket, CONF_WORKERS_MAX - 1))
		conf_errors_add(s->errs, s->seen[KEY_CONTROL_SOCKET],
		    "control socket is too long for several workers (%d "
		    "characters at most)",
		    CONF_CONTROL_MAX - 4);
}

void
conf_set_finish(struct conf_set *s, const char *file)
{
	static const char *const local[] = { "127.0.0.0/8", "10.0.0.0/8",
		"172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128",
		"fe80::/10", "fc00::/7" };
	struct conf_origin at = { .file = file };
	size_t i;

	if (s->seen[KEY_ALLOW].line == 0)
		for (i = 0; i < sizeof(local) / sizeof(local[0]); i++)
			conf_set_allow(s, local[i], at);
	spread_common(s);
	if (s->seen[KEY_MAX_TCP_PER_CLIENT].line == 0)
		s->conf->client.max_tcp_per_client =
		    (s->conf->client.max_tcp + 1) / 2;
	if (s->conf->client.rate_limit == 0)
		s->conf->client.rate_burst = 0;
	else if (s->conf->client.rate_burst == 0)
		s->conf->client.rate_burst = s->conf->client.rate_limit;
	/* After other errors these may be consequences. */
	if (s->errs->count > 0)
		return;
	if (s->conf->nlistens == 0)
		conf_errors_add(
		    s->errs, at, "no listen: add one, \"listen on 127.0.0.1\"");
	if (s->conf->nupstreams == 0)
		conf_errors_add(s->errs, at,
		    "no upstream: add one, dotproxy.conf(5) has examples");
	if (s->conf->statsd.client_tags && !s->conf->client.statistics)
		conf_errors_add(s->errs, s->seen[KEY_CLIENT_TAGS],
		    "client tags need \"client { statistics yes }\"");
	check_control_socket(s);
}
