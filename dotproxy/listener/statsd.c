/* SPDX-License-Identifier: ISC */
/*
 * When metrics are sent, and what they are compared with; see statsd.h.  Runs
 * in the listener, which alone has the socket: the pool is asked as by a
 * control client, and what it says is looked at as closely.  It can make its
 * own numbers wrong, and send no more lines than a flush may have.
 */
#include "dotproxy/listener/statsd_emit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"

/* Lines of times in one flush, so that a server's socket can take them all. */
#define TIMES_MAX 512u
#define TIMES_LEAST 4u
/* Lines of one flush, whatever the pool says: all upstreams have fewer. */
#define LINES_MAX 8192u
/* A pool that is older than the socket by more was there before it. */
#define YOUNG_MS 2000u

/* How many lines each histogram may have: a few of each is better than none. */
static void
share_out(struct statsd *st)
{
	st->times_each = TIMES_MAX / (STATSD_CLIENT_HISTS + 2 * st->nupstreams);
	if (st->times_each < TIMES_LEAST)
		st->times_each = TIMES_LEAST;
}

static void
flush(struct statsd *st)
{
	struct listener *l = st->listener;

	st->flushes++;
	st->silent = false;
	st->lines_left = LINES_MAX;
	share_out(st);
	statsd_emit_listener(st);
	statsd_push(st); /* the pool may never answer */
	st->asked =
	    msg_send_u8(&l->link, MSG_LT_SHOW, STATSD_HANDLE, SHOW_LATENCY);
}

static void
arm(struct statsd *st)
{
	uint64_t now_ms = listener_now(st->listener);

	lazy_timer_arm(&st->timer, now_ms, now_ms + st->conf.conf.flush_ms);
}

static void
timer_fired(int fd, short what, void *arg)
{
	struct statsd *st = arg;

	(void)fd;
	(void)what;
	st->timer.due_ms = 0;
	flush(st);
	arm(st);
}

/* Metrics begin: what the listener has done before is not sent. */
static struct statsd *
statsd_new(struct listener *l)
{
	struct statsd *st = calloc(1, sizeof(*st));
	uint64_t now_ms = listener_now(l);

	if (st == NULL)
		fatalx("out of memory");
	st->listener = l;
	st->fd = -1;
	st->opened_ms = now_ms;
	st->lines_left = LINES_MAX;
	st->silent = true;
	statsd_emit_listener(st);
	lazy_timer_init(&st->timer, l->base, timer_fired, st);
	return st;
}

void
statsd_open(struct listener *l, const struct msg_statsd *conf, int fd)
{
	struct statsd *st;

	if (fd == -1) {
		statsd_free(l);
		return;
	}
	if (l->statsd == NULL)
		l->statsd = statsd_new(l);
	st = l->statsd;
	st->len = 0;
	if (st->fd != -1)
		close(st->fd);
	st->fd = fd;
	st->conf = *conf;
	if (conf->worker > 0)
		(void)snprintf(
		    st->worker, sizeof(st->worker), "%u", conf->worker);
	else
		st->worker[0] = '\0';
	arm(st); /* if it runs already it may fire sooner, once */
}

void
statsd_free(struct listener *l)
{
	struct statsd *st = l->statsd;

	if (st == NULL)
		return;
	close(st->fd);
	lazy_timer_free(&st->timer);
	free(st);
	l->statsd = NULL;
}

/*
 * The counters come first.  A pool younger than its last answer is another
 * one, which counts from nothing; so do its upstreams.  The first to answer is
 * not sent if it has been there for longer than the socket.
 */
static void
on_counters(struct statsd *st, const struct imsg *m)
{
	uint64_t now_ms = listener_now(st->listener);
	struct info_counters c;

	if (msg_read_info_counters(m, &c) == -1 || c.n != TSTAT_COUNT)
		return;
	if (st->pool_seen_ms == 0)
		st->silent = c.uptime_ms > now_ms - st->opened_ms + YOUNG_MS;
	else if (c.uptime_ms < now_ms - st->pool_seen_ms) {
		memset(st->pool_counters, 0, sizeof(st->pool_counters));
		memset(st->upstreams, 0, sizeof(st->upstreams));
	}
	st->pool_seen_ms = now_ms;
	statsd_emit_pool(st, &c);
	memcpy(st->pool_counters, c.values, sizeof(st->pool_counters));
}

/*
 * Where an upstream is kept: it is known by name and address, for its index
 * changes with a reload.  A new one takes the place of one that has gone.
 */
static struct statsd_upstream *
find(struct statsd *st, const struct info_upstream *u)
{
	struct statsd_upstream *slot, *unused = NULL;
	size_t i;

	for (i = 0; i < CONF_UPSTREAMS_MAX; i++) {
		slot = &st->upstreams[i];
		if (slot->used && strcmp(slot->info.name, u->name) == 0 &&
		    sockaddr_equal(&slot->info.addr, &u->addr))
			return slot;
		if (unused == NULL &&
		    (!slot->used || slot->flush + 1 < st->flushes))
			unused = slot;
	}
	if (unused != NULL) {
		memset(unused, 0, sizeof(*unused));
		unused->used = true;
	}
	return unused;
}

static void
on_upstream(struct statsd *st, const struct imsg *m)
{
	struct statsd_upstream *slot;
	struct info_upstream u;

	if (msg_read_info_upstream(m, &u) == -1)
		return;
	slot = find(st, &u);
	if (slot == NULL)
		return;
	statsd_emit_upstream(st, &u, &slot->info);
	slot->info = u;
	slot->flush = st->flushes;
	st->at[u.index] = (uint32_t)(slot - st->upstreams);
}

static void
on_hist(struct statsd *st, const struct imsg *m)
{
	struct statsd_upstream *slot;
	struct info_hist h;

	if (msg_read_info_hist(m, &h) == -1 || h.recent ||
	    h.which >= INFO_HIST_OF_UPSTREAM)
		return;
	slot = &st->upstreams[st->at[h.upstream]];
	if (!slot->used || slot->info.index != h.upstream)
		return;
	statsd_emit_hist(st, &slot->info, &h, &slot->hists[h.which]);
	slot->hists[h.which] = h.hist;
}

static void
on_pool(struct statsd *st, const struct imsg *m)
{
	struct info_pool p;

	if (msg_read_info_pool(m, &p) == -1 ||
	    p.nupstreams > CONF_UPSTREAMS_MAX)
		return;
	st->nupstreams = p.nupstreams;
	share_out(st);
}

void
statsd_on_info(struct listener *l, const struct imsg *m)
{
	struct statsd *st = l->statsd;

	if (st == NULL || !st->asked)
		return;
	switch (m->type) {
	case MSG_INFO_COUNTERS:
		on_counters(st, m);
		break;
	case MSG_INFO_POOL:
		on_pool(st, m);
		break;
	case MSG_INFO_UPSTREAM:
		on_upstream(st, m);
		break;
	case MSG_INFO_HIST:
		on_hist(st, m);
		break;
	case MSG_INFO_END:
		st->asked = false;
		statsd_push(st);
		break;
	default:
		break;
	}
}
