/* SPDX-License-Identifier: ISC */
/*
 * Which metrics there are: those of LINKIWI's dotproxy under their names, so
 * that its dashboards go on working, and all counters under their own.  They
 * are described in docs/METRICS.md.  Runs in the listener.  Must name no
 * client: where the original has its address there is "null", or its network,
 * if the configuration says so.
 */
#include "dotproxy/listener/statsd_emit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"

static const char *const transports[2] = { "udp", "tcp" };

/* The addr and transport of clients; an empty one does not say whose. */
static struct statsd_tags
tags_client(const char *addr, bool tcp)
{
	const struct statsd_tags t = { 2,
		{ { "addr", addr }, { "transport", transports[tcp] } } };

	return t;
}

static struct statsd_tags
tags_upstream(const char *addr)
{
	const struct statsd_tags t = { 2,
		{ { "addr", addr }, { "transport", "tcp" } } };

	return t;
}

/* Of a query as a whole: client, upstream, and transport if it is known. */
static struct statsd_tags
tags_proxy(const char *transport, const char *upstream)
{
	struct statsd_tags t = { 0 };

	t.tags[t.n++] = (struct statsd_tag){ "client", "" };
	if (transport != NULL)
		t.tags[t.n++] = (struct statsd_tag){ "transport", transport };
	t.tags[t.n++] = (struct statsd_tag){ "upstream", upstream };
	return t;
}

/* A counter under its own name. */
static void
emit_own(struct statsd *st, bool gauge, const char *own, uint64_t now,
    uint64_t before)
{
	char name[64];

	(void)snprintf(
	    name, sizeof(name), "%s.%s", gauge ? "gauge" : "event", own);
	if (gauge)
		statsd_gauge(st, name, now, NULL);
	else
		statsd_count(st, name, statsd_grown(now, before), NULL);
}

static void
emit_all_own(struct statsd *st, const uint64_t *now, const uint64_t *before)
{
	static const char *const names[] = {
#define NAME(name, text) "listener." #name,
		LISTENER_COUNTERS(NAME)
#undef NAME
	};
	enum listener_counter i;

	for (i = 0; i < LSTAT_COUNT; i++)
		emit_own(st, stats_listener_is_gauge(i), names[i], now[i],
		    before[i]);
}

static uint64_t
failures(const uint64_t *v)
{
	return v[LSTAT_failed_timeout] + v[LSTAT_failed_network] +
	       v[LSTAT_failed_tls] + v[LSTAT_failed_busy] +
	       v[LSTAT_failed_not_ready] + v[LSTAT_failed_other];
}

#define NET_TEXT_MAX (INET6_ADDRSTRLEN + 4)

static const char *
net_text(const struct conf_prefix *net, char buf[NET_TEXT_MAX])
{
	if (inet_ntop(net->family, net->addr, buf, INET6_ADDRSTRLEN) == NULL)
		return "";
	(void)snprintf(buf + strlen(buf), 5, "/%u", net->len);
	return buf;
}

/* The networks that ask most; others, and who lost its place, are the rest. */
static void
emit_networks(struct statsd *st)
{
	char buf[NET_TEXT_MAX];
	const char *addr;
	struct statsd_tags tags;
	struct busiest_share share;
	uint32_t cursor = 0;
	int tcp;

	while (busiest_take(st->listener->busiest, &cursor, &share)) {
		if (!st->conf.conf.client_tags)
			continue;
		addr = net_text(&share.net, buf);
		for (tcp = 0; tcp < 2; tcp++) {
			tags = tags_client(addr, tcp);
			statsd_count(st, "event.client.cx_read",
			    share.asked[tcp], &tags);
			statsd_count(st, "event.client.cx_write",
			    share.answered[tcp], &tags);
			st->told_asked[tcp] += share.asked[tcp];
			st->told_answered[tcp] += share.answered[tcp];
		}
	}
}

/* The names of the original for what clients do. */
static void
emit_clients(struct statsd *st, const uint64_t *v, const uint64_t *w)
{
	const struct statsd_tags udp = tags_client("", false),
				 tcp = tags_client("", true),
				 proxy = tags_proxy(NULL, "");

	statsd_count(st, "event.client.cx_open",
	    statsd_grown(v[LSTAT_tcp_accepted], w[LSTAT_tcp_accepted]), &tcp);
	statsd_count(st, "event.client.cx_close",
	    statsd_grown(v[LSTAT_tcp_accepted] - v[LSTAT_tcp_open],
		w[LSTAT_tcp_accepted] - w[LSTAT_tcp_open]),
	    &tcp);
	statsd_count(st, "event.client.cx_error",
	    statsd_grown(v[LSTAT_tcp_error], w[LSTAT_tcp_error]), NULL);
	statsd_count(st, "event.client.cx_read",
	    statsd_grown(v[LSTAT_queries_udp], w[LSTAT_queries_udp]) -
		st->told_asked[0],
	    &udp);
	statsd_count(st, "event.client.cx_read",
	    statsd_grown(v[LSTAT_queries_tcp], w[LSTAT_queries_tcp]) -
		st->told_asked[1],
	    &tcp);
	statsd_count(st, "event.proxy.error",
	    statsd_grown(failures(v), failures(w)), NULL);
	statsd_gauge(st, "gauge.proxy.sequence_id",
	    v[LSTAT_queries_udp] + v[LSTAT_queries_tcp], &proxy);
}

/* Times and sizes; their number is how many replies there were, too. */
static void
emit_client_hist(struct statsd *st, enum info_hist_kind kind,
    const struct hist *now, const struct hist *before)
{
	bool tcp = kind == INFO_HIST_RTT_TCP ||
		   kind == INFO_HIST_QUERY_SIZE_TCP ||
		   kind == INFO_HIST_ANSWER_SIZE_TCP;
	const struct statsd_tags client = tags_client("", tcp),
				 proxy = tags_proxy(transports[tcp], "");

	switch (kind) {
	case INFO_HIST_RTT_UDP:
	case INFO_HIST_RTT_TCP:
		statsd_times(
		    st, "latency.proxy.tx_rtt", false, now, before, &proxy);
		break;
	case INFO_HIST_QUERY_SIZE_UDP:
	case INFO_HIST_QUERY_SIZE_TCP:
		statsd_times(
		    st, "size.proxy.request", true, now, before, &client);
		break;
	default:
		statsd_count(st, "event.client.cx_write",
		    statsd_fresh(now, before) - st->told_answered[tcp],
		    &client);
		statsd_times(
		    st, "size.proxy.response", true, now, before, &client);
	}
}

void
statsd_emit_listener(struct statsd *st)
{
	struct listener *l = st->listener;
	uint64_t now[LSTAT_COUNT];
	unsigned int kind;
	struct hist h, *before;

	/* Sending counts, too: of what is seen here none must get lost. */
	memcpy(now, l->counters, sizeof(now));
	emit_all_own(st, now, st->counters);
	memset(st->told_asked, 0, sizeof(st->told_asked));
	memset(st->told_answered, 0, sizeof(st->told_answered));
	if (l->busiest != NULL)
		emit_networks(st);
	emit_clients(st, now, st->counters);
	memcpy(st->counters, now, sizeof(now));
	for (kind = INFO_HIST_OF_UPSTREAM; kind < INFO_HIST_COUNT; kind++) {
		before = &st->hists[kind - INFO_HIST_OF_UPSTREAM];
		metrics_read(&l->metrics, (enum info_hist_kind)kind, false,
		    listener_now(l), &h);
		emit_client_hist(st, (enum info_hist_kind)kind, &h, before);
		*before = h;
	}
}

void
statsd_emit_pool(struct statsd *st, const struct info_counters *c)
{
	static const char *const names[] = {
#define NAME(name, text) "pool." #name,
		POOL_COUNTERS(NAME)
#undef NAME
	};
	enum pool_counter i;

	for (i = 0; i < TSTAT_COUNT; i++)
		emit_own(st, stats_pool_is_gauge(i), names[i], c->values[i],
		    st->pool_counters[i]);
}

/* Failures of its connections, by phase; and all together. */
static void
emit_failures(struct statsd *st, const struct info_upstream *u,
    const struct info_upstream *w, const char *addr)
{
	struct statsd_tags tags = { 3,
		{ { "addr", addr }, { "phase", "" }, { "transport", "tcp" } } };
	const struct statsd_tags plain = tags_upstream(addr);
	uint64_t n[PHASE_COUNT], sum = 0;
	unsigned int i;

	for (i = 0; i < PHASE_COUNT; i++) {
		n[i] = statsd_grown(u->failures[i], w->failures[i]);
		sum += n[i];
		tags.tags[1].value = msg_phase_name(i);
		statsd_count(st, "event.upstream.cx_failure", n[i], &tags);
	}
	statsd_count(st, "event.upstream.cx_error", sum, NULL);
	statsd_count(
	    st, "event.upstream.cx_write_error", n[PHASE_WRITE], &plain);
	statsd_count(st, "event.upstream.cx_read_error",
	    n[PHASE_READ] + n[PHASE_TIMEOUT] + n[PHASE_PROTOCOL], &plain);
}

void
statsd_emit_upstream(struct statsd *st, const struct info_upstream *u,
    const struct info_upstream *w)
{
	char addr[SOCKADDR_TEXT_MAX];
	struct statsd_tags tags, proxy;

	tags = tags_upstream(sockaddr_host_text(&u->addr, addr));
	proxy = tags_proxy(NULL, addr);
	statsd_count(st, "event.upstream.cx_open",
	    statsd_grown(u->opened, w->opened), &tags);
	statsd_count(st, "event.upstream.cx_close",
	    statsd_grown(u->opened - u->open, w->opened - w->open), &tags);
	statsd_count(st, "event.upstream.cx_write",
	    statsd_grown(u->queries, w->queries), &tags);
	statsd_count(st, "event.upstream.cx_read",
	    statsd_grown(u->answers, w->answers), &tags);
	statsd_count(st, "event.upstream.cx_io_retry",
	    statsd_grown(u->retries, w->retries), &tags);
	statsd_count(st, "event.proxy.process",
	    statsd_grown(u->answers, w->answers), &proxy);
	emit_failures(st, u, w, addr);
	statsd_gauge(st, "gauge.upstream.open", u->open, &tags);
	statsd_gauge(st, "gauge.upstream.in_flight", u->inflight, &tags);
	statsd_gauge(st, "gauge.upstream.down",
	    u->state == STATE_BACKOFF ? 1 : 0, &tags);
}

void
statsd_emit_hist(struct statsd *st, const struct info_upstream *u,
    const struct info_hist *now, const struct hist *before)
{
	char addr[SOCKADDR_TEXT_MAX];
	struct statsd_tags tags, proxy;

	tags = tags_upstream(sockaddr_host_text(&u->addr, addr));
	proxy = tags_proxy(NULL, addr);
	switch (now->which) {
	case INFO_HIST_LATENCY:
		statsd_times(st, "latency.proxy.tx_upstream", false, &now->hist,
		    before, &proxy);
		break;
	case INFO_HIST_OPEN:
		statsd_times(st, "latency.upstream.cx_open", false, &now->hist,
		    before, &tags);
		break;
	default:
		break;
	}
}
