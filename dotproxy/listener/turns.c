/* SPDX-License-Identifier: ISC */
/*
 * Whose turn it is; see turns.h.  Runs in the listener.  Must not search: who
 * floods makes the lines long, and their number large.
 */
#include "dotproxy/listener/turns.h"

void
turns_init(struct turns *t)
{
	TAILQ_INIT(&t->ring);
	t->n = t->nlines = 0;
	window_init(&t->window);
}

void
turns_wait(struct turns *t, struct inflight_slot *s)
{
	struct prefix *p = s->prefix;

	if (p->nline++ == 0) {
		TAILQ_INIT(&p->line);
		TAILQ_INSERT_TAIL(&t->ring, p, turn);
		t->nlines++;
	}
	TAILQ_INSERT_TAIL(&p->line, s, wait);
	s->lined = true;
	t->n++;
}

struct inflight_slot *
turns_next(const struct turns *t)
{
	const struct prefix *p = TAILQ_FIRST(&t->ring);

	return p != NULL ? TAILQ_FIRST(&p->line) : NULL;
}

void
turns_leave(struct turns *t, struct inflight_slot *s)
{
	struct prefix *p = s->prefix;

	TAILQ_REMOVE(&p->line, s, wait);
	s->lined = false;
	t->n--;
	if (--p->nline > 0)
		return;
	TAILQ_REMOVE(&t->ring, p, turn);
	t->nlines--;
}

void
turns_take(struct turns *t, struct inflight_slot *s)
{
	struct prefix *p = s->prefix;

	turns_leave(t, s);
	if (p->nline == 0)
		return;
	TAILQ_REMOVE(&t->ring, p, turn);
	TAILQ_INSERT_TAIL(&t->ring, p, turn);
}
