/* SPDX-License-Identifier: ISC */
/*
 * What the operator changes while the daemon runs, by dotproxyctl: upstreams
 * disabled, connections flushed, the listeners drained.  Runs in the parent,
 * which alone outlives its children and so keeps what lasts.  The request
 * comes by way of a listener, which may have been taken over: it must never be
 * able to stop the service of others by it, nor to wear us out.
 */
#include "dotproxy/parent/parent.h"

#include <string.h>

#include "common/log.h"
#include "common/util.h"

/* A listener that was taken over must not keep all pools dialling. */
#define CHANGES_PER_WINDOW 20
#define CHANGE_WINDOW_MS 10000

bool
change_is_flooded(struct pair *p)
{
	uint64_t now_ms = util_now_ms();

	if (now_ms - p->change_window_ms >= CHANGE_WINDOW_MS) {
		p->change_window_ms = now_ms;
		p->changes = 0;
	}
	return ++p->changes > CHANGES_PER_WINDOW;
}

/* How many upstreams there would be, without one. */
static uint32_t
enabled_without(const struct parent_conf *pc, uint32_t index)
{
	uint32_t i, n = 0;

	for (i = 0; i < pc->conf->nupstreams; i++)
		n += i != index && !pc->disabled[i];
	return n;
}

/* Tells every child of a role; one that does not hear it is started anew. */
static void
tell_all(struct parent *parent, enum info_role role, uint8_t change,
    uint64_t upstream_id)
{
	struct child *c;
	uint32_t i;

	for (i = 0; i < parent->npairs; i++) {
		c = role == ROLE_POOL ? &parent->pairs[i]->pool
				      : &parent->pairs[i]->listener;
		if (c->state == CHILD_READY &&
		    !msg_send_u8(&c->chan, MSG_PX_CHANGE, upstream_id, change))
			proc_kill(c, "does not read its channel");
	}
}

/* Returns NULL, or why it is not done. */
static const char *
change_upstream(struct parent *parent, uint8_t change, uint32_t index)
{
	struct parent_conf *pc = &parent->active;
	bool disable = change == CHANGE_DISABLE;

	if (index >= pc->conf->nupstreams)
		return "no such upstream";
	if (disable && enabled_without(pc, index) == 0)
		return "it is the last upstream that is not disabled";
	if (pc->disabled[index] != disable)
		log_info("upstream \"%s\": %s by the operator",
		    pc->conf->upstreams[index].name,
		    disable ? "disabled" : "enabled");
	pc->disabled[index] = disable;
	tell_all(parent, ROLE_POOL, change, pc->upstream_ids[index]);
	status_changed(parent);
	return NULL;
}

static const char *
change_do(struct parent *parent, uint8_t change, uint32_t index)
{
	/* The children are between two lists of upstreams. */
	if (parent->reload != RELOAD_NONE)
		return "a reload is under way, try again later";
	switch ((enum msg_change)change) {
	case CHANGE_DISABLE:
	case CHANGE_ENABLE:
		return change_upstream(parent, change, index);
	case CHANGE_FLUSH:
		log_info("connections to upstreams are flushed");
		tell_all(parent, ROLE_POOL, change, 0);
		return NULL;
	case CHANGE_DRAIN:
	case CHANGE_UNDRAIN:
		if (parent->draining != (change == CHANGE_DRAIN))
			log_info("%s by the operator",
			    change == CHANGE_DRAIN ? "drained" : "not drained");
		parent->draining = change == CHANGE_DRAIN;
		tell_all(parent, ROLE_LISTENER, change, 0);
		return NULL;
	case CHANGE_RESTART:
	case CHANGE_PROBE:
	case CHANGE_COUNT:
		break;
	}
	return "not known";
}

int
change_on_request(void *arg, struct imsg *m)
{
	struct child *c = arg;
	const char *why = "too many changes, try again later";
	uint32_t index;
	uint8_t change;

	if (msg_read_change(m, &change, &index) == -1)
		return -1;
	if (!change_is_flooded(c->pair)) {
		if (change == CHANGE_RESTART) {
			restart_start(c->parent, c, m->id);
			return 0; /* it answers when it knows */
		}
		why = change_do(c->parent, change, index);
	}
	(void)msg_send_result(&c->chan, MSG_INFO_END, m->id, why == NULL, why);
	return 0;
}

void
change_inherit(struct parent_conf *fresh, const struct parent_conf *old)
{
	uint32_t i, j;

	memset(fresh->disabled, 0, sizeof(fresh->disabled));
	for (i = 0; i < fresh->conf->nupstreams; i++)
		for (j = 0; j < old->conf->nupstreams; j++)
			if (strcmp(fresh->conf->upstreams[i].name,
				old->conf->upstreams[j].name) == 0)
				fresh->disabled[i] = old->disabled[j];
	fresh->all_enabled = enabled_without(fresh, CONF_UPSTREAMS_MAX) == 0;
	if (fresh->all_enabled)
		memset(fresh->disabled, 0, sizeof(fresh->disabled));
}

bool
change_send(struct child *c, const struct parent_conf *pc)
{
	uint32_t i;

	if (c->role == ROLE_LISTENER)
		return !c->parent->draining ||
		       msg_send_u8(&c->chan, MSG_PX_CHANGE, 0, CHANGE_DRAIN);
	for (i = 0; i < pc->conf->nupstreams; i++)
		if (pc->disabled[i] && !msg_send_u8(&c->chan, MSG_PX_CHANGE,
					   pc->upstream_ids[i], CHANGE_DISABLE))
			return false;
	return true;
}
