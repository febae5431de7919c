/* SPDX-License-Identifier: ISC */
/*
 * Answers of a daemon for the tests of dotproxyctl: an ordinary one with one
 * upstream down, and the worst one there can be, with every number at its
 * largest, every string at its longest, and every byte in them unprintable.
 */
#ifndef TESTS_CTL_DATA_H
#define TESTS_CTL_DATA_H

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "dotproxyctl/data.h"

/* Prints into a string; the caller frees it. */
static inline char *
printed(void (*print)(FILE *, const struct data *), const struct data *d)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	print(out, d);
	assert_int_equal(fclose(out), 0);
	return text;
}

static inline void
set_address(struct sockaddr_storage *ss, const char *text, uint16_t port)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	sin->sin_family = AF_INET;
	sin->sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, text, &sin->sin_addr), 1);
}

static inline void
ordinary_hists(struct hist *h)
{
	int i;

	hist_add(&h[INFO_HIST_LATENCY], 50);
	for (i = 0; i < 99; i++)
		hist_add(&h[INFO_HIST_LATENCY], 12000);
	for (i = 0; i < 10; i++)
		hist_add(&h[INFO_HIST_LATENCY], 31744 + 256 * (i == 9));
	for (i = 0; i < 3; i++)
		hist_add(&h[INFO_HIST_CONNECT], 11000);
}

static inline void
ordinary_upstreams(struct data *d)
{
	struct info_upstream *u = &d->upstreams[0];
	int i;

	d->nupstreams = 3;
	(void)strcpy(u->name, "cloudflare");
	(void)strcpy(u->server_name, "cloudflare-dns.com");
	set_address(&u->addr, "1.1.1.1", 853);
	u->state = STATE_UP;
	u->pool_size = 8;
	u->open = 3;
	u->idle = 1;
	u->connecting = 1;
	u->inflight = 12;
	u->queries = 1234567;
	u->answers = 1234550;
	u->opened = 45;
	u->resumed = 40;
	u->closed_by_peer = 41;
	u->hedges = 12;
	u->hedges_won = 8;
	u->hedges_lost = 6;
	u->hedges_denied = 1;
	u->rescues = 2;
	ordinary_hists(d->hists[0]);
	for (i = 0; i < 3; i++)
		hist_add(&d->recent_latency[0], 2030);
	d->have_client_hists = true;
	hist_add(&d->client_hists[INFO_HIST_RTT_UDP], 500);
	hist_add(&d->client_hists[INFO_HIST_RTT_UDP], 700);
	hist_add(&d->recent_client_hists[INFO_HIST_RTT_UDP], 500);
	hist_add(&d->client_hists[INFO_HIST_QUERY_SIZE_UDP], 40);
	u->warm_dials = 7;
	u->idle_limit_ms = 10000;
	u->warm_left_ms = 299000;
	u->retries = 5;
	u->failures[PHASE_CONNECT] = 1;
	u->failures[PHASE_TIMEOUT] = 2;
	u->last_cause = CAUSE_TIMEOUT;
	u->latency_mean_us = 12149;
	u->latency_p50_us = 11702;
	u->latency_p99_us = 240113;
	u->connect_p50_us = 11264;
	u->handshake_p50_us = 23955;
	u++;
	u->index = 1;
	(void)strcpy(u->name, "quad9");
	(void)strcpy(u->server_name, "dns.quad9.net");
	set_address(&u->addr, "9.9.9.9", 853);
	u->state = STATE_BACKOFF;
	u->backoff_left_ms = 11400;
	u->last_cause = CAUSE_EXPIRED;
	u->pool_size = 2;
	u->failures[PHASE_VERIFY] = 25;
	u++;
	u->index = 2;
	(void)strcpy(u->name, "spare");
	set_address(&u->addr, "192.0.2.1", 8853);
	u->state = STATE_IDLE;
	u->pool_size = 2;
}

static inline void
ordinary_conns(struct data *d)
{
	struct info_conn *c;

	d->nconns = 4;
	d->conns = c = calloc(d->nconns, sizeof(*c));
	assert_non_null(c);
	c->state = CONN_STATE_READY;
	c->age_ms = 312345;
	c->idle_ms = 210;
	c->inflight = 12;
	c->served = 812345;
	(void)strcpy(c->version, "TLSv1.3");
	(void)strcpy(c->cipher, "TLS_CHACHA20_POLY1305_SHA256");
	c[1] = c[0];
	c[1].age_ms = 3723000;
	c[1].idle_ms = 9900;
	c[1].inflight = 0;
	c[1].served = 9123;
	c[1].resumed = true;
	(void)strcpy(c[1].version, "TLSv1.2");
	(void)strcpy(c[1].cipher, "ECDHE-ECDSA-AES128-GCM-SHA256");
	c[2] = c[1];
	c[2].state = CONN_STATE_DRAINING;
	c[3].state = CONN_STATE_HANDSHAKE;
	c[3].age_ms = c[3].idle_ms = 34;
}

/* A child as it is to be, or the parent, started as root. */
static inline void
ordinary_facts(struct proc_facts *f, enum info_role role)
{
	static const char *const exe[ROLE_COUNT] = { "/usr/sbin/dotproxy",
		"/usr/libexec/dotproxy/dotproxy-listener",
		"/usr/libexec/dotproxy/dotproxy-pool" };
	bool child = role != ROLE_PARENT;
	size_t i;

	memset(f, 0, sizeof(*f));
	f->have = (1u << PROC_PART_COUNT) - 1;
	f->ppid = child ? 1000 : 1;
	(void)strcpy(f->exe, exe[role]);
	(void)strcpy(f->root, child ? "/run/dotproxy/empty" : "/");
	f->no_new_privs = 1;
	f->seccomp = 2;
	f->filters = child ? 2 : 1;
	f->rss_kb = 2500;
	f->pss_kb = 30720;
	f->cpu_ms = 83000;
	f->root_ino = child ? 77 : 2;
	f->root_mode = 0755;
	f->root_empty = child;
	f->fds[FD_UNIX].n = 3;
	f->fds[FD_EPOLL].n = 1;
	f->fds[FD_PIPE].n = 2;
	f->fds[FD_NULL].n = 3;
	f->fds[FD_TCP].n = 4;
	f->fds[FD_UDP].n = role == ROLE_LISTENER ? 5 : 0;
	for (i = 0; i < NS_COUNT; i++)
		f->ns[i] = 4026531833 + 10 * (size_t)role + i;
	for (i = 0; i < 4 && child; i++)
		f->uid[i] = f->gid[i] = 970;
	if (child)
		return;
	f->caps[CAPS_EFFECTIVE] = f->caps[CAPS_PERMITTED] =
	    f->caps[CAPS_BOUNDING] = 0x2405e0;
	for (i = 0; i < LIMIT_COUNT; i++)
		f->limits[i] = PROC_UNLIMITED;
}

static inline void
ordinary_look(struct data *d)
{
	size_t i;

	d->looked = true;
	d->kernel.root = d->kernel.mdwe = true;
	d->kernel.landlock_abi = 7;
	for (i = 0; i < ROLE_COUNT; i++) {
		d->have_facts[i] = true;
		ordinary_facts(&d->facts[i], (enum info_role)i);
	}
}

/* What "show summary", "show pool" and the rest may get, all in one. */
static inline struct data *
ordinary_data(void)
{
	struct data *d = data_new();
	uint32_t i;

	assert_non_null(d);
	d->done = d->result.ok = true;
	d->have_listener = d->have_pool = d->have_pool_counters = true;
	d->listener.n = LSTAT_COUNT;
	for (i = 0; i < LSTAT_COUNT; i++)
		d->listener.values[i] = 100 + i;
	d->listener.values[LSTAT_queries_udp] = 1200345;
	d->listener.values[LSTAT_answered] = 1199000;
	d->listener.values[LSTAT_failed_tls] = 0;
	d->listener.uptime_ms = 100000000;
	d->pool_counters.source = SOURCE_POOL;
	d->pool_counters.n = TSTAT_COUNT;
	for (i = 0; i < TSTAT_COUNT; i++)
		d->pool_counters.values[i] = 10 * i;
	d->pool_counters.uptime_ms = 61000;
	d->pool.policy = POLICY_AVAILABILITY;
	d->pool.nupstreams = 3;
	d->pool.inflight = 12;
	d->pool.max_inflight = 8192;
	ordinary_upstreams(d);
	ordinary_conns(d);
	for (i = 0; i < ROLE_COUNT; i++) {
		d->have_process[i] = true;
		d->processes[i].role = (uint8_t)i;
		d->processes[i].pid = 1000 + i;
		d->processes[i].uptime_ms = 100000000;
	}
	d->processes[ROLE_POOL].uptime_ms = 61000;
	d->processes[ROLE_POOL].restarts = 2;
	(void)strcpy(
	    d->processes[ROLE_POOL].last_death, "killed by signal 9 (Killed)");
	return d;
}

static inline void
worst_upstream(struct info_upstream *u, uint32_t index)
{
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&u->addr;

	memset(u, 0xff, sizeof(*u));
	u->index = index;
	memset(u->name, '\x1b', sizeof(u->name));
	u->name[sizeof(u->name) - 1] = '\0';
	memset(u->server_name, 'x', sizeof(u->server_name));
	u->server_name[sizeof(u->server_name) - 1] = '\0';
	sin6->sin6_family = AF_INET6;
	u->state = (uint8_t)(index % STATE_COUNT);
	u->last_cause = CAUSE_EXPIRED; /* the longest name */
	if (index % 2)
		u->pool_size = 16; /* the longest gauge */
}

static inline void
worst_look(struct data *d)
{
	struct proc_facts *f;
	size_t i, j;

	d->looked = true;
	d->kernel.root = d->kernel.mdwe = true;
	for (i = 0; i < ROLE_COUNT; i++) {
		f = &d->facts[i];
		d->have_facts[i] = true;
		f->exe_deleted = f->root_empty = true;
		f->exe[sizeof(f->exe) - 1] = '\0';
		f->root[sizeof(f->root) - 1] = '\0';
		for (j = 0; j < FD_COUNT; j++)
			f->fds[j].example[sizeof(f->fds[j].example) - 1] = '\0';
	}
}

/* As many as there can be, called what no terminal should see. */
static inline void
worst_pins(struct data *d)
{
	size_t i;

	d->npins = DATA_PINS_MAX;
	d->pins = malloc(DATA_PINS_MAX * sizeof(*d->pins));
	assert_non_null(d->pins);
	memset(d->pins, 0xff, DATA_PINS_MAX * sizeof(*d->pins));
	for (i = 0; i < d->npins; i++) {
		d->pins[i].upstream = (uint32_t)(i % CONF_UPSTREAMS_MAX);
		d->pins[i].configured = true;
		memset(d->pins[i].subject, '\n', INFO_SUBJECT_MAX - 1);
		d->pins[i].subject[INFO_SUBJECT_MAX - 1] = '\0';
	}
}

/* The same of what went wrong. */
static inline void
worst_errors(struct data *d)
{
	struct info_error *e;
	size_t i;

	d->nerrors = DATA_ERRORS_MAX;
	d->errors = malloc(DATA_ERRORS_MAX * sizeof(*e));
	assert_non_null(d->errors);
	memset(d->errors, 0xff, DATA_ERRORS_MAX * sizeof(*e));
	for (i = 0; i < d->nerrors; i++) {
		e = &d->errors[i];
		e->upstream = (uint32_t)(i % CONF_UPSTREAMS_MAX);
		e->phase = (uint8_t)(i % PHASE_COUNT);
		e->cause = CAUSE_EXPIRED;
		memset(e->text, '\n', sizeof(e->text));
		e->text[i % 2 ? sizeof(e->text) - 1 : 0] = '\0';
	}
}

static inline void
worst_clients(struct data *d)
{
	size_t i;

	d->clients_max = d->nclients = 1000;
	d->clients = malloc(d->nclients * sizeof(*d->clients));
	assert_non_null(d->clients);
	memset(d->clients, 0xff, d->nclients * sizeof(*d->clients));
	for (i = 0; i < d->nclients; i++)
		if (i % 3 != 0)
			d->clients[i].net.family =
			    i % 3 == 1 ? AF_INET : AF_INET6;
}

static inline struct data *
worst_data(void)
{
	struct data *d = data_new();
	struct info_conn *c;
	uint32_t i;

	assert_non_null(d);
	memset(d, 0xff, sizeof(*d));
	d->nparts = 0;
	d->worker = CONF_WORKERS_MAX - 1;
	d->done = d->numbered = d->draining = true;
	d->have_client_hists = d->have_probe = true;
	d->have_listener = d->have_pool = d->have_pool_counters = true;
	d->result.ok = false;
	memset(d->result.text, '\a', sizeof(d->result.text));
	d->result.text[sizeof(d->result.text) - 1] = '\0';
	d->listener.source = SOURCE_LISTENER;
	d->listener.n = LSTAT_COUNT;
	d->pool_counters.source = SOURCE_POOL;
	d->pool_counters.n = TSTAT_COUNT;
	d->pool.policy = POLICY_HISTORICAL; /* the longest name */
	d->nupstreams = CONF_UPSTREAMS_MAX;
	worst_pins(d);
	worst_errors(d);
	worst_clients(d);
	d->nconns = (size_t)CONF_UPSTREAMS_MAX * CONN_STATE_COUNT;
	d->conns = c = malloc(d->nconns * sizeof(*c));
	assert_non_null(c);
	memset(c, 0xff, d->nconns * sizeof(*c));
	for (i = 0; i < d->nconns; i++) {
		c[i].upstream = i / CONN_STATE_COUNT;
		c[i].state = i % CONN_STATE_COUNT;
		c[i].resumed = true;
		c[i].version[sizeof(c->version) - 1] = '\0';
		c[i].cipher[sizeof(c->cipher) - 1] = '\0';
	}
	for (i = 0; i < CONF_UPSTREAMS_MAX; i++)
		worst_upstream(&d->upstreams[i], i);
	for (i = 0; i < ROLE_COUNT; i++) {
		d->have_process[i] = true;
		d->processes[i].role = (uint8_t)i;
		d->processes[i]
		    .last_death[sizeof(d->processes[i].last_death) - 1] = '\0';
	}
	worst_look(d);
	d->text_len = 256 * 8;
	d->text = malloc(d->text_len);
	assert_non_null(d->text);
	for (i = 0; i < d->text_len; i++)
		d->text[i] = (char)i;
	return d;
}

#endif
