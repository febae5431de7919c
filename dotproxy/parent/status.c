/* SPDX-License-Identifier: ISC */
/*
 * What "systemctl status" shows: how many upstreams can be used, and why the
 * others cannot.  Runs in the parent.  The pools say so, in numbers; names are
 * the configuration's.  A pool that was taken over can have it be wrong, and
 * nothing else: no text of its is shown, and however often it speaks, the
 * manager is told once a second at most.
 */
#include "dotproxy/parent/parent.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "common/log.h"

#define STATUS_PAUSE_S 1
/* What is left for how many more there are. */
#define STATUS_LIST_MAX (STATUS_MAX - 24)

/* Appends to a line of that size; false, and nothing, if it does not fit. */
static bool __attribute__((format(printf, 3, 4)))
append(char *line, size_t size, const char *fmt, ...)
{
	size_t len = strlen(line);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line + len, size - len, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < size - len)
		return true;
	line[len] = '\0';
	return false;
}

/*
 * What is known of an upstream, by all pools: it is up if one of them can use
 * it.  NULL if nothing is.
 */
static const struct msg_health *
health_of(const struct parent *parent, uint32_t index)
{
	const struct msg_health *found = NULL;
	const struct pool_word *word;
	uint32_t i;

	for (i = 0; i < parent->npairs; i++) {
		word = &parent->pairs[i]->words[index];
		if (word->said && (found == NULL || word->health.up))
			found = &word->health;
	}
	return found;
}

/* Why one is down: for the network in the system's words. */
static bool
append_down(char *line, const char *name, const struct msg_health *h)
{
	const char *why = msg_cause_name(h->cause);

	if (h->cause != CAUSE_NETWORK)
		return append(
		    line, STATUS_LIST_MAX, "; %s down: %s", name, why);
	if (h->err != 0)
		why = h->err == ETIMEDOUT ? "timed out" : strerror(h->err);
	return append(line, STATUS_LIST_MAX, "; %s down: %s: %s", name,
	    msg_phase_name(h->phase), why);
}

/* The upstreams that are down, as far as they fit. */
static void
append_all_down(const struct parent *parent, char *line)
{
	const struct parent_conf *pc = &parent->active;
	const struct msg_health *h;
	uint32_t i, more = 0;

	for (i = 0; i < pc->conf->nupstreams; i++) {
		h = health_of(parent, i);
		if (h != NULL && !h->up && !pc->disabled[i] &&
		    (more > 0 ||
			!append_down(line, pc->conf->upstreams[i].name, h)))
			more++;
	}
	if (more > 0)
		(void)append(line, STATUS_MAX, "; %u more down", more);
}

void
status_line(const struct parent *parent, char line[STATUS_MAX])
{
	const struct parent_conf *pc = &parent->active;
	uint32_t i, n = pc->conf->nupstreams, up = 0, disabled = 0, unknown = 0;
	const struct msg_health *h;

	for (i = 0; i < n; i++) {
		h = health_of(parent, i);
		if (pc->disabled[i])
			disabled++;
		else if (h == NULL)
			unknown++;
		else
			up += h->up;
	}
	line[0] = '\0';
	(void)append(line, STATUS_MAX, "%u of %u upstream%s up", up, n,
	    n == 1 ? "" : "s");
	if (disabled > 0)
		(void)append(line, STATUS_MAX, ", %u disabled", disabled);
	if (unknown > 0)
		(void)append(line, STATUS_MAX, ", %u not known yet", unknown);
	if (parent->trouble != NULL)
		(void)append(line, STATUS_MAX, "; %s", parent->trouble);
	append_all_down(parent, line);
}

/* True while there is nothing else that it is to show. */
static bool
is_serving(const struct parent *parent)
{
	return parent->up && parent->reload == RELOAD_NONE &&
	       !parent->finishing && !parent->stopping;
}

void
status_due(evutil_socket_t fd, short what, void *arg)
{
	struct parent *parent = arg;
	char line[STATUS_MAX];

	(void)fd;
	(void)what;
	if (is_serving(parent)) { /* else status_ready() will say it */
		status_line(parent, line);
		notify_send(parent->notify_fd, "STATUS=%s", line);
	}
	if (parent->up && !parent->finishing && !parent->stopping)
		sockets_store(parent);
}

void
status_start(struct parent *parent)
{
	parent->status = event_new(parent->base, -1, 0, status_due, parent);
	if (parent->status == NULL)
		fatalx("out of memory");
}

void
status_changed(struct parent *parent)
{
	static const struct timeval pause = { STATUS_PAUSE_S, 0 };

	if (parent->notify_fd == -1 ||
	    event_pending(parent->status, EV_TIMEOUT, NULL))
		return;
	if (event_add(parent->status, &pause) == -1)
		fatalx("cannot start a timer");
}

void
status_ready(struct parent *parent, const char *trouble)
{
	char line[STATUS_MAX];

	parent->trouble = trouble;
	if (!is_serving(parent))
		return;
	status_line(parent, line);
	notify_send(parent->notify_fd, "READY=1\nSTATUS=%s", line);
}

int
status_on_health(void *arg, struct imsg *m)
{
	struct child *pool = arg;
	struct parent *parent = pool->parent;
	struct pool_word word = { .said = true };
	uint32_t i;

	if (msg_read_health(m, &word.health) == -1 || m->id == 0 ||
	    m->id > parent->next_upstream_id)
		return -1;
	for (i = 0; i < parent->active.conf->nupstreams; i++)
		if (parent->active.upstream_ids[i] == m->id)
			break;
	if (i == parent->active.conf->nupstreams)
		return 0; /* gone with a reload just now */
	pool->pair->words[i] = word;
	status_changed(parent);
	return 0;
}

void
status_inherit(struct parent *parent, const struct parent_conf *fresh)
{
	const struct parent_conf *old = &parent->active;
	struct pool_word words[CONF_UPSTREAMS_MAX];
	uint32_t i, j, k;

	for (k = 0; k < parent->npairs; k++) {
		memset(words, 0, sizeof(words));
		for (i = 0; i < fresh->conf->nupstreams; i++)
			for (j = 0; j < old->conf->nupstreams; j++)
				if (fresh->upstream_ids[i] ==
				    old->upstream_ids[j])
					words[i] = parent->pairs[k]->words[j];
		memcpy(parent->pairs[k]->words, words, sizeof(words));
	}
}

void
status_on_death(struct child *c)
{
	if (c->role != ROLE_POOL)
		return;
	memset(c->pair->words, 0, sizeof(c->pair->words));
	status_changed(c->parent);
}
