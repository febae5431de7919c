/* SPDX-License-Identifier: ISC */
/*
 * Sending the configuration to the children, and changing it.  A reload runs
 * in steps: parse and open the new sockets; all pools must accept it (they
 * alone can judge a CA file); then it is in force: they are told to swap it in,
 * and the listeners change over.  Until the last pool has accepted it nothing
 * has changed anywhere, and a failure leaves the old configuration as it was.
 * A child that is not there does not hinder: it will start with what is in
 * force then.  Runs in the parent.
 */
#include "dotproxy/parent/parent.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/log.h"
#include "common/util.h"
#include "dotproxy/parent/conf_file.h"

/* A child that takes longer to change over is started anew. */
#define RELOAD_LIMIT_S 10

/* True if connections made for one are as good for the other. */
static bool
same_identity(const struct conf_upstream *a, const struct conf_upstream *b)
{
	return sockaddr_equal(&a->addr, &b->addr) &&
	       strcmp(a->name, b->name) == 0 &&
	       strcmp(a->server_name, b->server_name) == 0 &&
	       strcmp(a->ca_file, b->ca_file) == 0 &&
	       strcmp(a->client_cert, b->client_cert) == 0 &&
	       strcmp(a->client_key, b->client_key) == 0 &&
	       a->tls_min == b->tls_min &&
	       strcmp(a->ciphers, b->ciphers) == 0 &&
	       a->pin_only == b->pin_only && a->npins == b->npins &&
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

/* No metrics are a pity; no DNS would be worse. */
static bool
send_statsd(struct child *l, const struct conf *conf)
{
	struct msg_statsd s = { .conf = conf->statsd };
	char text[SOCKADDR_TEXT_MAX];
	int fd;

	if (!conf->statsd.enabled)
		return true;
	if (conf->workers > 1)
		s.worker = (uint8_t)(l->pair->index + 1);
	fd = connect_statsd(&conf->statsd.addr);
	if (fd == -1) {
		log_warn("metrics statsd %s: none are sent until a reload",
		    sockaddr_text(&conf->statsd.addr, text));
		return true;
	}
	return msg_send_statsd(&l->chan, &s, fd);
}

/* How long an upstream may be silent in the middle of a transfer. */
static uint32_t
transfer_idle_ms(const struct conf *conf)
{
	uint32_t i, ms = 0;

	for (i = 0; i < conf->nupstreams; i++)
		if (conf->upstreams[i].read_timeout_ms > ms)
			ms = conf->upstreams[i].read_timeout_ms;
	return ms;
}

static bool
send_to_listener(struct child *l, const struct parent_conf *pc)
{
	const struct conf *conf = pc->conf;
	struct msg_client c = { conf->client, conf->forward.query_timeout_ms,
		transfer_idle_ms(conf) };
	struct imsg_chan *ch = &l->chan;
	uint32_t i;

	c.client.max_inflight = conf_share(conf, c.client.max_inflight);
	c.client.max_tcp =
	    nofile_clients(l, conf_share(conf, c.client.max_tcp));
	c.client.max_tcp_per_client =
	    conf_share(conf, c.client.max_tcp_per_client);
	c.client.max_transfers = conf_share(conf, c.client.max_transfers);
	/* Not the burst: chance does not share it out evenly. */
	c.client.rate_limit = conf_share(conf, c.client.rate_limit);
	if (!msg_send_client(ch, &c))
		return false;
	for (i = 0; i < conf->nupstreams; i++)
		if (!msg_send_upstream_name(ch, i, conf->upstreams[i].name))
			return false;
	return send_allow(ch, conf) && send_statsd(l, conf) &&
	       send_sockets(ch, &pc->sockets[l->pair->index]);
}

/* Opens a file for a pool; -1 if that cannot be done, and the log says why. */
static int
open_file(const char *what, const char *path,
    const char *(*opens)(const char *path, int *fd))
{
	int fd = -1;
	const char *why = opens(path, &fd);

	if (why != NULL)
		log_warnx("%s %s: %s", what, path, why);
	return fd;
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
		ca[i] = MSG_NO_CA;
		if (conf->upstreams[i].pin_only)
			continue;
		for (j = 0; j < i; j++)
			if (ca[j] != MSG_NO_CA &&
			    strcmp(conf->upstreams[i].ca_file,
				conf->upstreams[j].ca_file) == 0)
				break;
		if (j < i) {
			ca[i] = ca[j];
			continue;
		}
		fd = open_file(
		    "ca file", conf->upstreams[i].ca_file, conf_file_open);
		if (fd == -1)
			return false;
		if (!msg_send_file(
			ch, MSG_PT_CA, n, conf->upstreams[i].ca_file, fd))
			return false;
		ca[i] = n++;
	}
	return true;
}

/* Who an upstream shall know us by, if anybody. */
static bool
send_client_cert(struct imsg_chan *ch, const struct conf_upstream *up)
{
	int fd;

	if (up->client_cert[0] == '\0')
		return true;
	fd = open_file("client certificate", up->client_cert, conf_file_open);
	if (fd == -1 || !msg_send_file(ch, MSG_PT_CERT, 0, up->client_cert, fd))
		return false;
	fd = open_file("key", up->client_key, conf_file_open_key);
	return fd != -1 && msg_send_file(ch, MSG_PT_KEY, 0, up->client_key, fd);
}

static bool
send_to_pool(struct imsg_chan *ch, const struct parent_conf *pc)
{
	const struct conf *conf = pc->conf;
	struct msg_pool p = { conf->forward,
		conf_share(conf, conf->client.max_inflight),
		conf_share(conf, conf->client.max_transfers) };
	struct msg_upstream *u;
	uint32_t ca[CONF_UPSTREAMS_MAX] = { 0 }, i;
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
		u->conf.pool_size = conf_share(conf, u->conf.pool_size);
		ok = msg_send_upstream(ch, u) &&
		     send_client_cert(ch, &conf->upstreams[i]);
	}
	free(u);
	return ok;
}

/* Whether a pool may swap in what it has accepted, or has to forget it. */
static bool
send_decision(struct child *pool, uint64_t generation, bool yes)
{
	return msg_send_u8(&pool->chan, MSG_PT_DECIDE, generation, yes ? 1 : 0);
}

void
reload_send(struct child *c, const struct parent_conf *pc)
{
	struct parent *parent = c->parent;
	uint64_t generation = ++parent->generation;
	bool ok;

	ok = imsg_send_empty(&c->chan, MSG_PX_CONF_BEGIN, generation, -1);
	if (ok && c->role == ROLE_LISTENER)
		ok = send_to_listener(c, pc);
	else if (ok)
		ok = send_to_pool(&c->chan, pc);
	ok = ok && change_send(c, pc);
	ok = ok && imsg_send_empty(&c->chan, MSG_PX_CONF_END, generation, -1);
	/* What is in force needs nobody else's consent. */
	if (ok && c->role == ROLE_POOL && pc == &parent->active)
		ok = send_decision(c, generation, true);
	if (!ok)
		proc_kill(c, "cannot be sent its configuration");
}

/* Sends it to a child whose consent, or help, the reload waits for. */
static void
ask(struct child *c, const struct parent_conf *pc)
{
	if (c->state != CHILD_READY)
		return;
	reload_send(c, pc);
	c->asked = c->parent->generation;
	c->agreed = false;
}

/* The child of a role in a pair. */
static struct child *
child_of(struct parent *parent, uint32_t pair, enum info_role role)
{
	struct pair *p = parent->pairs[pair];

	return role == ROLE_POOL ? &p->pool : &p->listener;
}

/* True if a child of a role has been asked and has not agreed yet. */
static bool
is_awaited(struct parent *parent, enum info_role role)
{
	const struct child *c;
	uint32_t i;

	for (i = 0; i < parent->npairs; i++) {
		c = child_of(parent, i, role);
		if (c->asked != 0 && !c->agreed)
			return true;
	}
	return false;
}

/* Each of the errors in a line of the log of its own. */
static void
log_failure(const char *text)
{
	int len;

	do {
		len = (int)strcspn(text, "\n");
		log_warnx(
		    "reload failed, old configuration kept: %.*s", len, text);
		text += len;
		text += *text == '\n';
	} while (*text != '\0');
}

/* Tells who asked, and the log, how a reload ended: well if why is NULL. */
static void
report(struct parent *parent, const char *why)
{
	struct child *asker = parent->reload_asker;

	if (why == NULL)
		log_info("configuration reloaded");
	else
		log_failure(why);
	if (asker != NULL && asker->state == CHILD_READY)
		(void)msg_send_result(&asker->chan, MSG_INFO_END,
		    parent->reload_handle, why == NULL, why);
	parent->reload_asker = NULL;
	parent->reload = RELOAD_NONE;
	event_del(parent->reload_timer);
	status_ready(parent, why == NULL ? NULL : "the last reload has failed");
	restart_on_reload(parent, why == NULL, why);
}

void
reload_overdue(evutil_socket_t fd, short what, void *arg)
{
	struct parent *parent = arg;
	struct child *c;
	uint32_t i;

	(void)fd;
	(void)what;
	/* Their deaths end the reload: see reload_on_death(). */
	for (i = 0; i < parent->npairs; i++) {
		c = child_of(parent, i,
		    parent->reload == RELOAD_POOL ? ROLE_POOL : ROLE_LISTENER);
		if (c->asked != 0 && !c->agreed)
			proc_kill(c, "does not answer to a reload");
	}
}

/* Forgets the new configuration; the old one was never touched. */
static void
abandon(struct parent *parent, const char *why)
{
	struct child *pool;
	uint32_t i;

	for (i = 0; i < parent->npairs; i++) {
		pool = &parent->pairs[i]->pool;
		if (pool->asked != 0 && pool->state == CHILD_READY &&
		    !send_decision(pool, pool->asked, false))
			proc_kill(pool, "does not read its channel");
		if (pool->asked != 0)
			pool->forgot = pool->asked;
		pool->asked = 0;
	}
	if (parent->next.conf != NULL) {
		sockets_close(&parent->next, &parent->active);
		free(parent->next.conf);
		parent->next.conf = NULL;
	}
	report(parent, why);
}

/* Refuses a reload while there is nobody to agree to it.  NULL, or why. */
static const char *
refusal(const struct parent *parent)
{
	const struct pair *p;
	uint32_t i;

	for (i = 0; i < parent->npairs && parent->reload == RELOAD_NONE &&
		    !parent->finishing;
	     i++) {
		p = parent->pairs[i];
		if (p->listener.state == CHILD_READY &&
		    p->pool.state == CHILD_READY)
			return NULL;
	}
	return "not ready for a reload, try again";
}

/* Reads the file and opens what is new.  Returns 0, or -1 and it is over. */
static int
prepare_next(struct parent *parent)
{
	struct conf_errors *errs = malloc(sizeof(*errs));
	char what[280];

	if (errs == NULL) {
		abandon(parent, "out of memory");
		return -1;
	}
	parent->next.conf = conf_load(&parent->options, errs);
	if (parent->next.conf == NULL)
		abandon(parent, errs->text);
	free(errs);
	if (parent->next.conf == NULL)
		return -1;
	/*
	 * The kernel would go on giving the sockets of one that ends their
	 * share of the queries, as long as it answers over them.
	 */
	if (parent->next.conf->workers < parent->npairs) {
		(void)snprintf(what, sizeof(what),
		    "%.200s%sworkers: %u are running, fewer take a stop "
		    "and a start",
		    parent->next.conf->workers_at,
		    parent->next.conf->workers_at[0] != '\0' ? ": " : "",
		    parent->npairs);
		free(parent->next.conf);
		parent->next.conf = NULL;
		abandon(parent, what);
		return -1;
	}
	if (sockets_open(parent, &parent->next, &parent->active, what,
		sizeof(what)) == -1) {
		abandon(parent, what);
		return -1;
	}
	return 0;
}

void
reload_start(struct parent *parent, struct child *asker, uint64_t handle)
{
	static const struct timeval limit = { RELOAD_LIMIT_S, 0 };
	const char *why = refusal(parent);
	uint32_t i;

	if (why != NULL) {
		log_warnx("reload refused: %s", why);
		if (asker != NULL)
			(void)msg_send_result(
			    &asker->chan, MSG_INFO_END, handle, false, why);
		restart_on_reload(parent, false, why);
		return;
	}
	parent->reload_asker = asker;
	parent->reload_handle = handle;
	notify_send(parent->notify_fd,
	    "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading",
	    (unsigned long long)util_now_us());
	if (prepare_next(parent) == -1)
		return;
	if (strcmp(parent->next.conf->user, parent->active.conf->user) != 0)
		log_warnx("the new user takes effect at the next restart");
	reload_assign_ids(parent, &parent->next, &parent->active);
	change_inherit(&parent->next, &parent->active);
	parent->reload = RELOAD_POOL;
	if (event_add(parent->reload_timer, &limit) == -1)
		fatalx("timer");
	for (i = 0; i < parent->npairs; i++)
		ask(&parent->pairs[i]->pool, &parent->next);
}

/* Has a pool that has accepted it swap it in; another one is sent it now. */
static void
change_pool_over(struct child *pool)
{
	uint64_t asked = pool->asked;

	memset(pool->pair->quotas, 0, sizeof(pool->pair->quotas));
	pool->asked = 0;
	if (pool->state != CHILD_READY)
		return;
	if (asked == 0)
		reload_send(pool, &pool->parent->active);
	else if (!send_decision(pool, asked, true))
		proc_kill(pool, "does not read its channel");
}

/* Ends the reload when the last listener has changed over. */
static void
end_if_done(struct parent *parent)
{
	uint32_t i;

	if (is_awaited(parent, ROLE_LISTENER))
		return;
	for (i = 0; i < parent->npairs; i++)
		parent->pairs[i]->listener.asked = 0;
	report(parent, NULL);
}

/* The pools have it: from here on the new configuration is the one. */
static void
commit(struct parent *parent)
{
	uint32_t i;

	sockets_forget(parent, &parent->active, &parent->next);
	sockets_close(&parent->active, &parent->next);
	status_inherit(parent, &parent->next);
	free(parent->active.conf);
	parent->active = parent->next;
	if (parent->active.all_enabled)
		log_warnx("all upstreams are enabled: none would be left");
	sockets_store(parent);
	memset(&parent->next, 0, sizeof(parent->next));
	parent->reload = RELOAD_LISTENER;
	for (i = 0; i < parent->npairs; i++)
		change_pool_over(&parent->pairs[i]->pool);
	proc_start_pairs(parent);
	for (i = 0; i < parent->npairs; i++)
		ask(&parent->pairs[i]->listener, &parent->active);
	end_if_done(parent);
}

/* True if every child has accepted a configuration. */
static bool
all_accepted(const struct parent *parent)
{
	uint32_t i;

	for (i = 0; i < parent->npairs; i++)
		if (!parent->pairs[i]->listener.accepted ||
		    !parent->pairs[i]->pool.accepted)
			return false;
	return true;
}

/* A verdict that the reload has waited for. */
static void
go_on(struct child *c, bool ok, const char *why)
{
	struct parent *parent = c->parent;

	c->agreed = true;
	if (parent->reload == RELOAD_LISTENER)
		end_if_done(parent);
	else if (!ok)
		abandon(parent, why);
	else if (!is_awaited(parent, ROLE_POOL))
		commit(parent);
}

void
reload_on_done(struct child *c, uint64_t generation, bool ok, const char *text)
{
	struct parent *parent = c->parent;
	char why[MSG_TEXT_MAX];

	log_escape(why, sizeof(why), text, strlen(text));
	c->accepted |= ok;
	if (!parent->up && all_accepted(parent))
		parent_up(parent);
	if (c->asked != 0 && c->asked == generation && !c->agreed &&
	    (ok || c->role == ROLE_POOL)) {
		go_on(c, ok, why);
		return;
	}
	/* Another pool has refused that already. */
	if (ok || generation == c->forgot)
		return;
	/*
	 * It refuses what is in force.  At the start that is the operator's
	 * mistake; one that had accepted it has been taken over.
	 */
	if (!parent->up && c->starts == 1 && !c->accepted) {
		log_warnx("%s", why);
		parent->failed = true;
	} else
		proc_kill(c, why);
}

void
reload_on_death(struct child *c)
{
	struct parent *parent = c->parent;
	uint64_t asked = c->asked;

	c->asked = 0;
	/* Its successor must not be told what it did not ask for. */
	if (parent->reload_asker == c)
		parent->reload_asker = NULL;
	if (asked == 0)
		return;
	if (parent->reload == RELOAD_POOL)
		abandon(parent, "a process died meanwhile");
	else if (parent->reload == RELOAD_LISTENER)
		end_if_done(parent); /* it starts with the new one */
}
