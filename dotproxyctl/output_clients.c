/* SPDX-License-Identifier: ISC */
/*
 * "show clients", as text and as JSON: who asks most, the busiest first.  Runs
 * in dotproxyctl.  No line is longer than 80 columns, whatever the daemon says.
 */
#include <arpa/inet.h>

#include "dotproxyctl/format.h"
#include "dotproxyctl/output.h"

#define SHOWN_DEFAULT 20
#define NET_MAX (INET6_ADDRSTRLEN + 4)
#define NET_WIDTH 29 /* that of a link, fe80::.../128 */

static size_t
shown(const struct data *d)
{
	size_t max = d->clients_max > 0 ? d->clients_max : SHOWN_DEFAULT;

	return d->nclients < max ? d->nclients : max;
}

static const char *
net_text(char buf[NET_MAX], const struct conf_prefix *net)
{
	char addr[INET6_ADDRSTRLEN];

	if (inet_ntop(net->family, net->addr, addr, sizeof(addr)) == NULL)
		(void)snprintf(addr, sizeof(addr), "?");
	(void)snprintf(buf, NET_MAX, "%s/%u", addr, (unsigned)net->len);
	return buf;
}

static void
put_client(FILE *out, const struct info_client *c)
{
	char net[NET_MAX], cut[NET_WIDTH + 1], queries[FORMAT_MAX],
	    excess[FORMAT_MAX];
	char answers[FORMAT_MAX], flight[FORMAT_MAX], rate[FORMAT_MAX];
	char minute[FORMAT_MAX];

	(void)fprintf(out, "%-*s  %7s  %6s  %7s  %6s  %6s  %5s\n", NET_WIDTH,
	    format_text(cut, sizeof(cut), NET_WIDTH, net_text(net, &c->net)),
	    format_count(queries, c->queries), format_count(excess, c->excess),
	    format_count(answers, c->answers),
	    format_count(flight, c->inflight),
	    format_count(minute, c->last_minute),
	    format_count(rate, c->last_minute / 60));
}

void
text_clients(FILE *out, const struct data *d)
{
	size_t i;

	if (d->nclients == 0) {
		if (d->result.ok)
			(void)fputs("nobody has asked yet\n", out);
		return;
	}
	(void)fprintf(out, "%-*s  %7s  %6s  %7s  %6s  %6s  %5s\n", NET_WIDTH,
	    "CLIENT", "QUERIES", "EXCESS", "ANSWERS", "FLIGHT", "MINUTE",
	    "Q/S");
	for (i = 0; i < shown(d); i++)
		put_client(out, &d->clients[i]);
}

void
output_json_clients(struct json *j, const struct data *d)
{
	const struct info_client *c;
	char net[NET_MAX];
	size_t i;

	json_array(j, "clients");
	for (i = 0; i < shown(d); i++) {
		c = &d->clients[i];
		json_object(j, NULL);
		json_string(j, "prefix", net_text(net, &c->net));
		json_u64(j, "queries", c->queries);
		json_u64(j, "excess", c->excess);
		json_u64(j, "answers", c->answers);
		json_u64(j, "in_flight", c->inflight);
		json_u64(j, "last_minute", c->last_minute);
		json_object_end(j);
	}
	json_array_end(j);
}
