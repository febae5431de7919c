/* SPDX-License-Identifier: ISC */
/*
 * The configuration run: what the parent sends between CONF_BEGIN and
 * CONF_END is kept aside, and comes into force at once, at the end.  Runs in
 * the listener.  A run that makes no sense is a violation by the parent, which
 * is fatal: there is no half of a configuration.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "dotproxy/listener/listener.h"

#define SOCKS_MAX (2 * CONF_LISTENS_MAX) /* udp and tcp */

struct conf_run {
	uint64_t generation;
	bool has_client;
	struct msg_client client;
	size_t nsocks;
	struct msg_listen socks[SOCKS_MAX];
	int sock_fds[SOCKS_MAX]; /* owned; -1: it is open already */
	size_t nallow;
	struct conf_prefix allow[CONF_ALLOW_MAX];
	char upstreams[CONF_UPSTREAMS_MAX][CONF_NAME_MAX];
	int control_fd; /* owned; -1: keep the one there is */
	struct msg_statsd statsd;
	int statsd_fd; /* owned; -1: no metrics */
};

static void
close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

void
config_run_free(struct conf_run *run)
{
	size_t i;

	if (run == NULL)
		return;
	for (i = 0; i < run->nsocks; i++)
		close_fd(&run->sock_fds[i]);
	close_fd(&run->control_fd);
	close_fd(&run->statsd_fd);
	free(run);
}

int
config_on_begin(void *arg, struct imsg *m)
{
	struct listener *l = arg;

	l->run = calloc(1, sizeof(*l->run));
	if (l->run == NULL)
		fatalx("out of memory");
	l->run->generation = m->id;
	l->run->control_fd = -1;
	l->run->statsd_fd = -1;
	l->parent.phase = PHASE_CONF;
	return 0;
}

int
config_on_client(void *arg, struct imsg *m)
{
	struct conf_run *run = ((struct listener *)arg)->run;

	if (run->has_client || msg_read_client(m, &run->client) == -1)
		return -1;
	run->has_client = true;
	return 0;
}

static bool
run_has_sock(const struct conf_run *run, uint32_t id)
{
	size_t i;

	for (i = 0; i < run->nsocks; i++)
		if (run->socks[i].id == id)
			return true;
	return false;
}

int
config_on_listen(void *arg, struct imsg *m)
{
	struct listener *l = arg;
	struct conf_run *run = l->run;
	struct msg_listen ml;
	bool known;

	if (run->nsocks == SOCKS_MAX || msg_read_listen(m, &ml) == -1 ||
	    run_has_sock(run, ml.id))
		return -1;
	known = ml.tcp ? tcp_has(l, ml.id) : udp_has(l, ml.id);
	if (!known && m->fd == -1)
		return -1;
	run->socks[run->nsocks] = ml;
	/* One that is open goes on; another descriptor of it is closed. */
	run->sock_fds[run->nsocks] = known ? -1 : imsg_take_fd(m);
	run->nsocks++;
	return 0;
}

int
config_on_allow(void *arg, struct imsg *m)
{
	struct conf_run *run = ((struct listener *)arg)->run;
	struct msg_allow ma;

	if (msg_read_allow(m, &ma) == -1 || ma.n > CONF_ALLOW_MAX - run->nallow)
		return -1;
	memcpy(&run->allow[run->nallow], ma.prefixes,
	    ma.n * sizeof(ma.prefixes[0]));
	run->nallow += ma.n;
	return 0;
}

int
config_on_control(void *arg, struct imsg *m)
{
	struct conf_run *run = ((struct listener *)arg)->run;

	if (run->control_fd != -1)
		return -1;
	run->control_fd = imsg_take_fd(m);
	return 0;
}

int
config_on_statsd(void *arg, struct imsg *m)
{
	struct conf_run *run = ((struct listener *)arg)->run;

	if (run->statsd_fd != -1 || msg_read_statsd(m, &run->statsd) == -1)
		return -1;
	run->statsd_fd = imsg_take_fd(m);
	return 0;
}

int
config_on_upstream(void *arg, struct imsg *m)
{
	struct conf_run *run = ((struct listener *)arg)->run;

	if (m->id >= CONF_UPSTREAMS_MAX)
		return -1;
	return msg_read_upstream_name(m, run->upstreams[m->id]);
}

/* Opens what is new.  The descriptors change hands even on failure. */
static void
open_socks(struct listener *l, struct conf_run *run)
{
	const struct msg_listen *ml;
	size_t i;
	int fd, rv;

	for (i = 0; i < run->nsocks; i++) {
		ml = &run->socks[i];
		fd = run->sock_fds[i];
		run->sock_fds[i] = -1;
		if (fd == -1)
			continue;
		rv = ml->tcp ? tcp_open(l, ml, fd) : udp_open(l, ml, fd);
		if (rv == -1)
			fatalx("out of memory");
	}
	fd = run->control_fd;
	run->control_fd = -1;
	if (fd != -1 && control_open(l, fd) == -1)
		fatalx("out of memory");
}

/* Begins to count who asks, or forgets it. */
static void
switch_statistics(struct listener *l)
{
	if (!l->conf.client.statistics) {
		busiest_free(l->busiest);
		l->busiest = NULL;
	} else if (l->busiest == NULL) {
		l->busiest = busiest_new();
		if (l->busiest == NULL)
			fatalx("out of memory");
	}
}

int
config_on_end(void *arg, struct imsg *m)
{
	struct listener *l = arg;
	struct conf_run *run = l->run;
	struct acl acl;

	if (m->id != run->generation || !run->has_client)
		return -1;
	if (acl_build(&acl, run->allow, run->nallow) == -1) {
		if (errno == ENOMEM)
			fatalx("out of memory");
		return -1;
	}
	/* What has come through an old socket is of the old configuration. */
	udp_retire(l, run_has_sock, run);
	tcp_retire(l, run_has_sock, run);
	acl_clear(&l->acl);
	l->acl = acl;
	l->conf = run->client;
	memcpy(l->upstreams, run->upstreams, sizeof(l->upstreams));
	inflight_set_limit(&l->inflight, l->conf.client.max_inflight);
	prefixes_set_limit(&l->prefixes, l->inflight.limit);
	shed_set_limit(&l->shed, l->inflight.limit);
	rate_set_limit(
	    &l->rate, l->conf.client.rate_limit, l->conf.client.rate_burst);
	switch_statistics(l);
	open_socks(l, run);
	statsd_open(l, &run->statsd, run->statsd_fd);
	run->statsd_fd = -1;
	tcp_configure(l);
	l->owe_conf_done = true; /* told at the end of the turn */
	l->owed_generation = run->generation;
	config_run_free(run);
	l->run = NULL;
	l->parent.phase = PHASE_NORMAL;
	return 0;
}
