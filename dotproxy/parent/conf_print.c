/* SPDX-License-Identifier: ISC */
/*
 * Prints the configuration in its own language, for dotproxy -nv and
 * dotproxyctl show config.  Runs in the parent.  Makes no system calls but
 * those of the stream: it is used after the parent has locked itself up.
 */
#include "dotproxy/parent/conf_print.h"

#include "common/util.h"
#include "dotproxy/parent/conf_value.h"

/* A string in quotes, as the lexer reads it, with no newline after it. */
static void
print_word(const char *name, const char *value, FILE *f)
{
	(void)fprintf(f, "%s \"", name);
	for (; *value != '\0'; value++) {
		if (*value == '"' || *value == '\\')
			(void)fputc('\\', f);
		(void)fputc(*value, f);
	}
	(void)fputc('"', f);
}

static void
print_string(const char *name, const char *value, FILE *f)
{
	print_word(name, value, f);
	(void)fputc('\n', f);
}

static void
print_duration(const char *name, uint32_t ms, FILE *f)
{
	char buf[VALUE_DURATION_TEXT_MAX];

	(void)fprintf(f, "%s %s\n", name, value_duration_text(ms, buf));
}

/* The address and the port, with no newline after them. */
static void
print_sockaddr(const char *name, const struct sockaddr_storage *ss, FILE *f)
{
	char buf[SOCKADDR_TEXT_MAX];

	(void)fprintf(f, "%s %s port %u", name, sockaddr_host_text(ss, buf),
	    (unsigned int)sockaddr_port(ss));
}

static void
print_listens(const struct conf *c, FILE *f)
{
	const struct conf_listen *l;
	uint32_t i;

	for (i = 0; i < c->nlistens; i++) {
		l = &c->listens[i];
		print_sockaddr("listen on", &l->addr, f);
		if (!l->udp || !l->tcp)
			(void)fputs(l->udp ? " udp" : " tcp", f);
		if (l->freebind)
			(void)fputs(" freebind", f);
		(void)fputc('\n', f);
	}
}

static void
print_allow(const struct conf *c, FILE *f)
{
	char buf[VALUE_PREFIX_TEXT_MAX];
	uint32_t i;

	(void)fputs("allow {\n", f);
	for (i = 0; i < c->nallow; i++)
		(void)fprintf(
		    f, "\t%s\n", value_prefix_text(&c->allow[i], buf));
	(void)fputs("}\n", f);
}

/* Whom to believe, and how TLS is spoken; of a key no more than its path. */
static void
print_trust(const struct conf_upstream *up, FILE *f)
{
	char buf[PIN_TEXT_MAX];
	uint32_t i;

	(void)fprintf(f, "\ttls version 1.%u\n", up->tls_min);
	if (up->ciphers[0] != '\0')
		print_string("\tciphers", up->ciphers, f);
	if (!up->pin_only)
		print_string("\tca file", up->ca_file, f);
	for (i = 0; i < up->npins; i++)
		(void)fprintf(f, "\tpin \"%s\"\n", pin_text(up->pins[i], buf));
	if (up->pin_only)
		(void)fputs("\tpin only\n", f);
	if (up->client_cert[0] == '\0')
		return;
	print_word("\tclient certificate", up->client_cert, f);
	print_string(" key", up->client_key, f);
}

static void
print_bool(const char *key, bool value, FILE *f)
{
	(void)fprintf(f, "%s %s\n", key, value ? "yes" : "no");
}

static void
print_upstream(const struct conf_upstream *up, FILE *f)
{
	(void)fprintf(f, "\nupstream \"%s\" {\n", up->name);
	print_sockaddr("\taddress", &up->addr, f);
	(void)fputc('\n', f);
	if (up->server_name[0] != '\0')
		print_string("\tserver name", up->server_name, f);
	(void)fprintf(f, "\tpool size %u\n", up->pool_size);
	print_duration("\tconnect timeout", up->connect_timeout_ms, f);
	print_duration("\thandshake timeout", up->handshake_timeout_ms, f);
	print_duration("\tread timeout", up->read_timeout_ms, f);
	print_duration("\twrite timeout", up->write_timeout_ms, f);
	print_duration("\tstale timeout", up->stale_timeout_ms, f);
	if (up->keep_warm_ms == 0)
		(void)fputs("\tkeep warm 0\n", f);
	else
		print_duration("\tkeep warm", up->keep_warm_ms, f);
	print_bool("\ttcp fast open", up->fast_open, f);
	print_bool("\tresumption", up->resumption, f);
	print_bool("\tpadding", up->edit.padding, f);
	print_bool("\tedns keepalive", up->edit.keepalive, f);
	print_bool("\tstrip ecs", up->edit.strip_ecs, f);
	print_trust(up, f);
	(void)fputs("}\n", f);
}

/* Errors of the stream stick to it, so they are looked at once, at the end. */
int
conf_print(const struct conf *c, FILE *f)
{
	char buf[VALUE_RATE_TEXT_MAX];
	uint32_t i;

	print_string("user", c->user, f);
	print_string("control socket", c->control_socket, f);
	(void)fprintf(f, "workers %u\n\n", c->workers);
	print_listens(c, f);
	print_allow(c, f);
	(void)fprintf(f, "\npolicy %s\nhedge %u%%\nretries %u\n",
	    conf_policy_name(c->forward.policy), c->forward.hedge_percent,
	    c->forward.retries);
	print_duration("query timeout", c->forward.query_timeout_ms, f);
	(void)fputs("\nclient {\n", f);
	print_duration("\ttcp read timeout", c->client.tcp_read_timeout_ms, f);
	print_duration(
	    "\ttcp write timeout", c->client.tcp_write_timeout_ms, f);
	(void)fprintf(f,
	    "\tmax inflight %u\n\tmax tcp connections %u\n"
	    "\tmax tcp connections per client %u\n\tmax transfers %u\n"
	    "\tedns keepalive %s\n\trate limit %u",
	    c->client.max_inflight, c->client.max_tcp,
	    c->client.max_tcp_per_client, c->client.max_transfers,
	    c->client.edns_keepalive ? "yes" : "no", c->client.rate_limit);
	if (c->client.rate_limit > 0)
		(void)fprintf(f, " burst %u", c->client.rate_burst);
	(void)fprintf(
	    f, "\n\tstatistics %s\n}\n", c->client.statistics ? "yes" : "no");
	for (i = 0; i < c->nupstreams; i++)
		print_upstream(&c->upstreams[i], f);
	if (c->statsd.enabled) {
		print_sockaddr("\nmetrics statsd", &c->statsd.addr, f);
		(void)fprintf(f, " sample rate %s flavour %s payload %u",
		    value_rate_text(c->statsd.sample_ppm, buf),
		    conf_flavour_name(c->statsd.flavour), c->statsd.payload);
		if (c->statsd.client_tags)
			(void)fprintf(f, " client tags yes");
		print_duration(" flush interval", c->statsd.flush_ms, f);
	}
	return ferror(f) ? -1 : 0;
}
