/* SPDX-License-Identifier: ISC */
/*
 * The configuration, as it comes from the parent piece by piece between
 * CONF_BEGIN and CONF_END.  Runs in the pool.  What has been found good waits
 * for the parent to decide, which asks the other pools, too: then it is swapped
 * in at once, and connections to upstreams that stay are kept, or forgotten.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "dotproxy/pool/pool.h"

/* A configuration being received, or not decided on yet.  Owns everything in
 * it. */
struct config_run {
	uint64_t generation;
	bool prepared; /* found good; waits for DECIDE */
	bool have_pool;
	struct msg_pool pool;
	uint32_t nca;
	struct trust *ca[CONF_UPSTREAMS_MAX]; /* NULL if it was no good */
	const char *ca_error[CONF_UPSTREAMS_MAX];
	char ca_path[CONF_UPSTREAMS_MAX][CONF_PATH_MAX];
	uint32_t nupstreams;
	struct msg_upstream upstreams[CONF_UPSTREAMS_MAX];
	struct identity identities[CONF_UPSTREAMS_MAX];
	struct session_config *tls[CONF_UPSTREAMS_MAX];
	bool disabled[CONF_UPSTREAMS_MAX];
	char error[MSG_TEXT_MAX]; /* the first; empty if there is none */
};

void
config_run_free(struct config_run *run)
{
	uint32_t i;

	if (run == NULL)
		return;
	for (i = 0; i < run->nca; i++)
		trust_unref(run->ca[i]);
	for (i = 0; i < run->nupstreams; i++) {
		session_config_free(run->tls[i]);
		identity_clear(&run->identities[i]);
	}
	free(run);
}

int
config_on_begin(void *arg, struct imsg *m)
{
	struct pool *pool = arg;

	pool_turn_begin(pool);
	config_run_free(pool->run); /* one that nobody has decided on */
	pool->run = calloc(1, sizeof(*pool->run));
	if (pool->run == NULL)
		fatalx("out of memory for the configuration");
	pool->run->generation = m->id;
	pool->parent.phase = POOL_PHASE_CONF;
	return 0;
}

int
config_on_pool(void *arg, struct imsg *m)
{
	struct pool *pool = arg;

	if (pool->run->have_pool || msg_read_pool(m, &pool->run->pool) == -1)
		return -1;
	pool->run->have_pool = true;
	return 0;
}

int
config_on_ca(void *arg, struct imsg *m)
{
	struct pool *pool = arg;
	struct config_run *run = pool->run;
	const char *why = NULL;
	size_t bad;

	if (run->nca == CONF_UPSTREAMS_MAX || m->id != run->nca ||
	    msg_read_file(m, run->ca_path[run->nca]) == -1)
		return -1;
	run->ca[run->nca] = trust_load(m->fd, &bad, &why);
	run->ca_error[run->nca] = why;
	if (bad > 0)
		log_warnx("ca file %s: %zu certificates not readable",
		    run->ca_path[run->nca], bad);
	run->nca++;
	return 0;
}

int
config_on_upstream(void *arg, struct imsg *m)
{
	struct pool *pool = arg;
	struct config_run *run = pool->run;
	struct msg_upstream *u;
	uint32_t i;

	if (run->nupstreams == CONF_UPSTREAMS_MAX)
		return -1;
	u = &run->upstreams[run->nupstreams];
	if (msg_read_upstream(m, u) == -1 ||
	    (u->ca != MSG_NO_CA && u->ca >= run->nca))
		return -1;
	for (i = 0; i < run->nupstreams; i++)
		if (run->upstreams[i].id == u->id)
			return -1;
	run->nupstreams++;
	return 0;
}

/* Notes the first reason why the configuration is refused, and where. */
static void
refuse(struct config_run *run, const struct conf_upstream *conf,
    const char *what, const char *path, const char *why)
{
	if (run->error[0] == '\0')
		(void)snprintf(run->error, sizeof(run->error),
		    "%s: upstream \"%s\": %s%s%s%s", conf->at, conf->name, what,
		    path, path[0] != '\0' ? ": " : "", why);
}

/* A file of the client certificate of the upstream that came last. */
static int
take_file(struct pool *pool, struct imsg *m, const char *what, bool is_key)
{
	struct config_run *run = pool->run;
	const struct conf_upstream *conf;
	struct identity *id;
	char path[CONF_PATH_MAX];
	const char *why;

	if (run->nupstreams == 0 || msg_read_file(m, path) == -1)
		return -1;
	conf = &run->upstreams[run->nupstreams - 1].conf;
	id = &run->identities[run->nupstreams - 1];
	/* A certificate that is no good has been noted. */
	if (is_key ? id->key != NULL : id->cert != NULL)
		return -1;
	if (is_key && id->cert == NULL)
		return run->error[0] != '\0' ? 0 : -1;
	why = is_key ? identity_load_key(id, m->fd)
		     : identity_load_cert(id, m->fd);
	if (why != NULL)
		refuse(run, conf, what, path, why);
	else if (!is_key && !identity_is_current(id))
		log_warnx("%s: upstream \"%s\": %s%s: not valid now, by its "
			  "dates and our clock",
		    conf->at, conf->name, what, path);
	return 0;
}

int
config_on_cert(void *arg, struct imsg *m)
{
	return take_file(arg, m, "client certificate ", false);
}

int
config_on_key(void *arg, struct imsg *m)
{
	return take_file(arg, m, "key ", true);
}

/* Makes what can fail; false with run->error. */
static bool
prepare(struct config_run *run)
{
	char why[SESSION_TEXT_MAX];
	const struct msg_upstream *u;
	uint32_t i;

	for (i = 0; i < run->nupstreams && run->error[0] == '\0'; i++) {
		u = &run->upstreams[i];
		if (u->ca != MSG_NO_CA && run->ca[u->ca] == NULL) {
			refuse(run, &u->conf, "ca file ", run->ca_path[u->ca],
			    run->ca_error[u->ca]);
			continue;
		}
		if (run->identities[i].cert != NULL &&
		    run->identities[i].key == NULL) {
			refuse(run, &u->conf, "", "", "no key");
			continue;
		}
		run->tls[i] = session_config_new(&u->conf,
		    u->ca != MSG_NO_CA ? run->ca[u->ca] : NULL,
		    &run->identities[i], why);
		if (run->tls[i] == NULL)
			refuse(run, &u->conf, "", "", why);
	}
	return run->error[0] == '\0';
}

static struct upstream *
find_by_id(const struct pool *pool, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < pool->nupstreams; i++)
		if (pool->upstreams[i] != NULL && pool->upstreams[i]->id == id)
			return pool->upstreams[i];
	return NULL;
}

/*
 * Fills set with the upstreams of the run: those known by their id, brought up
 * to date and taken out of the pool, and new ones, whose bits are returned.
 */
static uint64_t
collect_upstreams(
    struct pool *pool, struct config_run *run, struct upstream **set)
{
	const struct msg_upstream *m;
	struct upstream *up;
	uint64_t fresh = 0;
	uint32_t i;

	for (i = 0; i < run->nupstreams; i++) {
		m = &run->upstreams[i];
		up = find_by_id(pool, m->id);
		if (up != NULL) {
			pool->upstreams[up->index] = NULL;
			upstream_update(up, m, run->tls[i]);
		} else {
			up = upstream_new(pool, m, run->tls[i]);
			if (up == NULL)
				fatalx("out of memory for upstreams");
			fresh |= (uint64_t)1 << i;
		}
		run->tls[i] = NULL;
		up->disabled = run->disabled[i];
		set[i] = up;
	}
	return fresh;
}

/* Puts set in force; upstreams not in it are in pool->gone afterwards. */
static void
install_upstreams(struct pool *pool, const struct config_run *run,
    struct upstream **set, uint64_t fresh)
{
	struct policy old = pool->policy;
	struct upstream *up;
	uint32_t i;

	for (i = 0; i < pool->nupstreams; i++) {
		up = pool->upstreams[i];
		if (up == NULL)
			continue;
		up->index = UPSTREAM_NO_INDEX;
		TAILQ_INSERT_TAIL(&pool->gone, up, gone);
	}
	pool->nupstreams = run->nupstreams;
	pool->probe_due = 0;
	policy_init(&pool->policy, run->pool.forward.policy, run->nupstreams);
	for (i = 0; i < run->nupstreams; i++) {
		up = pool->upstreams[i] = set[i];
		if ((fresh >> i & 1) == 0)
			policy_inherit(&pool->policy, i, &old, up->index);
		up->index = i;
		if ((fresh >> i & 1) == 0)
			upstream_refresh(up);
	}
	/* The new ones come in at the lowest count of those known. */
	for (i = 0; i < run->nupstreams; i++)
		if ((fresh >> i & 1) != 0)
			upstream_refresh(set[i]);
}

static void
swap_in(struct pool *pool, struct config_run *run)
{
	struct upstream *set[CONF_UPSTREAMS_MAX], *up;
	uint64_t fresh = collect_upstreams(pool, run, set);
	uint32_t i;

	install_upstreams(pool, run, set, fresh);
	pool->forward = run->pool.forward;
	overdue_configure(pool);
	query_table_set_limit(&pool->queries, run->pool.max_inflight);
	pool->max_streams = run->pool.max_transfers;
	TAILQ_FOREACH (up, &pool->gone, gone)
		upstream_retire(up);
	/* Dialled in the background; who has failed before goes on as it was.
	 */
	for (i = 0; i < pool->nupstreams; i++)
		if (pool->upstreams[i]->disabled)
			continue;
		else if ((fresh >> i & 1) != 0)
			upstream_dial(pool->upstreams[i], USE_MANY);
		else
			upstream_poke(pool->upstreams[i]);
	dispatch_parked(pool);
}

void
config_disable(struct config_run *run, uint32_t id, bool disabled)
{
	uint32_t i;

	for (i = 0; run != NULL && i < run->nupstreams; i++)
		if (run->upstreams[i].id == id)
			run->disabled[i] = disabled;
}

int
config_on_end(void *arg, struct imsg *m)
{
	struct pool *pool = arg;
	struct config_run *run = pool->run;
	bool ok;

	pool_turn_begin(pool);
	if (m->id != run->generation || !run->have_pool || run->nupstreams == 0)
		return -1;
	ok = prepare(run);
	if (!msg_send_result(&pool->parent, MSG_XP_CONF_DONE, run->generation,
		ok, ok ? NULL : run->error))
		fatalx("channel to the parent is full");
	run->prepared = ok;
	pool->parent.phase = POOL_PHASE_IDLE;
	return 0;
}

int
config_on_decide(void *arg, struct imsg *m)
{
	struct pool *pool = arg;
	struct config_run *run = pool->run;
	uint8_t swap;

	pool_turn_begin(pool);
	if (msg_read_u8(m, &swap, 2) == -1)
		return -1;
	/* A newer one has taken its place, or it was refused. */
	if (run == NULL || !run->prepared || run->generation != m->id)
		return 0;
	if (swap == 1)
		swap_in(pool, run);
	config_run_free(run);
	pool->run = NULL;
	return 0;
}
