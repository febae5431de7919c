/* SPDX-License-Identifier: ISC */
/*
 * Sending the configuration to the children, and changing it.  A reload runs
 * in steps: parse and open the new sockets; the pool must accept it (it alone
 * can judge a CA file); then it is in force, and the listener changes over.
 * Until the pool has accepted it nothing has changed anywhere, and a failure
 * leaves the old configuration as it was.  Runs in the parent.
 */
#include "dotproxy/parent/parent.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/log.h"
#include "common/util.h"

/* A child that takes longer to change over is started anew. */
#define RELOAD_LIMIT_S 10

/* True if connections made for one are as good for the other. */
static bool
same_identity(const struct conf_upstream *a, const struct conf_upstream *b)
{
	return sockaddr_equal(&a->addr, &b->addr) &&
	       strcmp(a->name, b->name) == 0 &&
	       strcmp(a->server_name, b->server_name) == 0 &&
	       strcmp(a->ca_file, b->ca_file) == 0 && a->npins == b->npins &&
	       memcmp(a->pins, b->pins, a->npins * sizeof(a->pins[0])) == 0;
}

void
reload_assign_ids(struct parent *parent, struct parent_conf *fresh,
    const struct parent_conf *old)
{
	const struct conf *conf = fresh->conf;
	uint32_t i, j;

	for (i = 0; i < conf->nupstreams; i++) {
		fresh->upstream_ids[i] = 0;
		for (j = 0; old->conf != NULL && j < old->conf->nupstreams; j++)
			if (same_identity(
				&conf->upstreams[i], &old->conf->upstreams[j]))
				fresh->upstream_ids[i] = old->upstream_ids[j];
		if (fresh->upstream_ids[i] == 0)
			fresh->upstream_ids[i] = ++parent->next_upstream_id;
	}
}

void
reload_warn_unserved(const struct conf *conf)
{
	if (conf->statsd.enabled)
		log_warnx("metrics statsd: this version sends no metrics yet");
}

static bool
send_sockets(struct imsg_chan *ch, const struct parent_sockets *set)
{
	struct msg_listen l;
	uint32_t i;
	int fd;

	for (i = 0; i < set->n; i++) {
		l.id = set->socks[i].id;
		l.tcp = set->socks[i].tcp;
		l.addr = set->socks[i].addr;
		fd = fcntl(set->socks[i].fd, F_DUPFD_CLOEXEC, 0);
		if (fd == -1 || !msg_send_listen(ch, &l, fd))
			return false;
	}
	fd = fcntl(set->control, F_DUPFD_CLOEXEC, 0);
	return fd != -1 && imsg_send_empty(ch, MSG_PL_CONTROL, 0, fd);
}

static bool
send_allow(struct imsg_chan *ch, const struct conf *conf)
{
	struct msg_allow a;
	uint32_t i;

	a.n = 0;
	for (i = 0; i < conf->nallow; i++) {
		a.prefixes[a.n++] = conf->allow[i];
		if (a.n < MSG_ALLOW_MAX && i + 1 < conf->nallow)
			continue;
		if (!msg_send_allow(ch, &a))
			return false;
		a.n = 0;
	}
	return true;
}

static bool
send_to_listener(struct imsg_chan *ch, const struct parent_conf *pc)
{
	const struct conf *conf = pc->conf;
	struct msg_client c = { conf->client, conf->forward.query_timeout_ms };
	uint32_t i;

	if (!msg_send_client(ch, &c))
		return false;
	for (i = 0; i < conf->nupstreams; i++)
		if (!msg_send_upstream_name(ch, i, conf->upstreams[i].name))
			return false;
	return send_allow(ch, conf) && send_sockets(ch, &pc->sockets);
}

/*
 * Sends each CA file once, as an open descriptor, in the order in which
 * upstreams first name it; ca[i] becomes its number for upstream i.
 */
static bool
send_ca_files(struct imsg_chan *ch, const struct conf *conf, uint32_t *ca)
{
	uint32_t i, j, n = 0;
	int fd;

	for (i = 0; i < conf->nupstreams; i++) {
		for (j = 0; j < i; j++)
			if (strcmp(conf->upstreams[i].ca_file,
				conf->upstreams[j].ca_file) == 0)
				break;
		if (j < i) {
			ca[i] = ca[j];
			continue;
		}
		fd = open(conf->upstreams[i].ca_file, O_RDONLY | O_CLOEXEC);
		if (fd == -1) {
			log_warn("ca file %s", conf->upstreams[i].ca_file);
			return false;
		}
		if (!imsg_send_empty(ch, MSG_PT_CA, n, fd))
			return false;
		ca[i] = n++;
	}
	return true;
}

static bool
send_to_pool(struct imsg_chan *ch, const struct parent_conf *pc)
{
	const struct conf *conf = pc->conf;
	struct msg_pool p = { conf->forward, conf->client.max_inflight };
	struct msg_upstream *u;
	uint32_t ca[CONF_UPSTREAMS_MAX], i;
	bool ok = true;

	if (!msg_send_pool(ch, &p) || !send_ca_files(ch, conf, ca))
		return false;
	u = malloc(sizeof(*u));
	if (u == NULL)
		return false;
	for (i = 0; ok && i < conf->nupstreams; i++) {
		u->id = pc->upstream_ids[i];
		u->ca = ca[i];
		u->conf = conf->upstreams[i];
		ok = msg_send_upstream(ch, u);
	}
	free(u);
	return ok;
}

void
reload_send(struct child *c, const struct parent_conf *pc)
{
	struct parent *parent = c->parent;
	uint64_t generation = ++parent->generation;
	bool ok;

	ok = imsg_send_empty(&c->chan, MSG_PX_CONF_BEGIN, generation, -1);
	if (ok && c->role == ROLE_LISTENER)
		ok = send_to_listener(&c->chan, pc);
	else if (ok)
		ok = send_to_pool(&c->chan, pc);
	if (!ok || !imsg_send_empty(&c->chan, MSG_PX_CONF_END, generation, -1))
		proc_kill(c, "cannot be sent its configuration");
}

/* Tells who asked, and the log, how a reload ended. */
static void
report(struct parent *parent, bool ok, const char *text)
{
	if (ok)
		log_info("configuration reloaded");
	else
		log_warnx("reload failed, old configuration kept: %s", text);
	if (parent->reload_asker != 0 && parent->listener.state == CHILD_READY)
		(void)msg_send_result(&parent->listener.chan, MSG_INFO_END,
		    parent->reload_asker, ok, text);
	parent->reload_asker = 0;
	parent->reload = RELOAD_NONE;
	event_del(parent->reload_timer);
}

void
reload_overdue(evutil_socket_t fd, short what, void *arg)
{
	struct parent *parent = arg;

	(void)fd;
	(void)what;
	/* Its death ends the reload: see reload_on_death(). */
	if (parent->reload == RELOAD_POOL)
		proc_kill(&parent->pool, "does not answer to a reload");
	else if (parent->reload == RELOAD_LISTENER)
		proc_kill(&parent->listener, "does not answer to a reload");
}

/* Forgets the new configuration; the old one was never touched. */
static void
abandon(struct parent *parent, const char *why)
{
	sockets_close(&parent->next.sockets, &parent->active.sockets);
	free(parent->next.conf);
	parent->next.conf = NULL;
	report(parent, false, why);
}

void
reload_start(struct parent *parent, uint64_t asker)
{
	static const struct timeval limit = { RELOAD_LIMIT_S, 0 };
	struct conf_errors *errs;
	char what[256];

	if (parent->reload != RELOAD_NONE ||
	    parent->pool.state != CHILD_READY ||
	    parent->listener.state != CHILD_READY) {
		log_warnx("reload refused: not ready for one");
		if (asker != 0)
			(void)msg_send_result(&parent->listener.chan,
			    MSG_INFO_END, asker, false,
			    "not ready for a reload, try again");
		return;
	}
	parent->reload_asker = asker;
	errs = malloc(sizeof(*errs));
	if (errs == NULL) {
		report(parent, false, "out of memory");
		return;
	}
	conf_errors_clear(errs);
	parent->next.conf = conf_parse(parent->options.conf_path,
	    parent->options.macros, parent->options.nmacros, errs);
	if (parent->next.conf == NULL)
		report(parent, false, errs->text);
	free(errs);
	if (parent->next.conf == NULL)
		return;
	if (sockets_open(parent, parent->next.conf, &parent->active.sockets,
		&parent->next.sockets, what, sizeof(what)) == -1) {
		free(parent->next.conf);
		parent->next.conf = NULL;
		report(parent, false, what);
		return;
	}
	if (strcmp(parent->next.conf->user, parent->active.conf->user) != 0)
		log_warnx("the new user takes effect at the next restart");
	reload_assign_ids(parent, &parent->next, &parent->active);
	parent->reload = RELOAD_POOL;
	if (event_add(parent->reload_timer, &limit) == -1)
		fatalx("timer");
	reload_send(&parent->pool, &parent->next);
}

/* The pool has it: from here on the new configuration is the one. */
static void
commit(struct parent *parent)
{
	sockets_close(&parent->active.sockets, &parent->next.sockets);
	free(parent->active.conf);
	parent->active = parent->next;
	reload_warn_unserved(parent->active.conf);
	memset(&parent->next, 0, sizeof(parent->next));
	memset(parent->quotas, 0, sizeof(parent->quotas));
	parent->reload = RELOAD_LISTENER;
	reload_send(&parent->listener, &parent->active);
}

void
reload_on_done(struct child *c, uint64_t generation, bool ok, const char *text)
{
	struct parent *parent = c->parent;
	char why[MSG_TEXT_MAX];

	log_escape(why, sizeof(why), text, strlen(text));
	c->accepted |= ok;
	if (!parent->up && parent->listener.accepted && parent->pool.accepted)
		parent_up(parent);
	if (parent->reload == RELOAD_POOL && c->role == ROLE_POOL &&
	    generation == parent->generation) {
		if (ok)
			commit(parent);
		else
			abandon(parent, why);
		return;
	}
	if (parent->reload == RELOAD_LISTENER && c->role == ROLE_LISTENER &&
	    ok) {
		report(parent, true, NULL);
		return;
	}
	if (ok)
		return;
	/*
	 * It refuses what is in force.  At the start that is the operator's
	 * mistake; one that had accepted it has been taken over.
	 */
	if (c->starts == 1 && !c->accepted) {
		log_warnx("%s", why);
		parent->failed = true;
	} else
		proc_kill(c, why);
}

void
reload_on_death(struct child *c)
{
	struct parent *parent = c->parent;

	if (parent->reload == RELOAD_POOL)
		abandon(parent, "a process died meanwhile");
	else if (parent->reload == RELOAD_LISTENER && c->role == ROLE_LISTENER)
		report(parent, true, NULL); /* it starts with the new one */
}
