/* SPDX-License-Identifier: ISC */
/*
 * What upstreams failed with of late; see errors.h.  Runs in the pool.  Must
 * not grow: who speaks TLS to us decides how often, and how, it fails.
 */
#include "dotproxy/pool/errors.h"

#include <stdio.h>
#include <string.h>

void
errors_init(struct errors *t)
{
	TAILQ_INIT(&t->newest);
}

static struct error_entry *
find(struct errors *t, uint32_t upstream, enum info_phase phase,
    enum msg_cause cause)
{
	struct error_entry *e;

	TAILQ_FOREACH (e, &t->newest, place)
		if (e->upstream == upstream && e->phase == phase &&
		    e->cause == cause)
			return e;
	return NULL;
}

void
errors_add(struct errors *t, uint32_t upstream, enum info_phase phase,
    enum msg_cause cause, const char *text, uint64_t now_ms)
{
	struct error_entry *e = find(t, upstream, phase, cause);

	if (e == NULL && t->n < INFO_ERRORS_MAX) {
		e = &t->entries[t->n++];
		TAILQ_INSERT_HEAD(&t->newest, e, place);
	} else if (e == NULL) {
		e = TAILQ_LAST(&t->newest, error_list);
		e->count = 0;
	}
	if (e->count == 0) {
		e->upstream = upstream;
		e->phase = (uint8_t)phase;
		e->cause = (uint8_t)cause;
		e->first_ms = now_ms;
	}
	e->count++;
	e->last_ms = now_ms;
	(void)snprintf(e->text, sizeof(e->text), "%s", text);
	TAILQ_REMOVE(&t->newest, e, place);
	TAILQ_INSERT_HEAD(&t->newest, e, place);
}

void
errors_fill_info(
    const struct error_entry *e, uint64_t now_ms, struct info_error *info)
{
	memset(info, 0, sizeof(*info));
	info->phase = e->phase;
	info->cause = e->cause;
	info->count = e->count;
	info->first_ms = now_ms - e->first_ms;
	info->last_ms = now_ms - e->last_ms;
	memcpy(info->text, e->text, sizeof(info->text));
}
