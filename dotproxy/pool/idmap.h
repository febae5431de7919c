/* SPDX-License-Identifier: ISC */
/*
 * The message IDs in use on one connection, and whose they are.  An array of
 * power-of-two size in which ID i has slot i modulo size; an ID is chosen so
 * that its slot is free, so nothing ever collides and every operation is one
 * access.  It is never more than half full.  Pure but for malloc, which it
 * calls only to grow.
 */
#ifndef POOL_IDMAP_H
#define POOL_IDMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define IDMAP_MIN 16u
#define IDMAP_MAX 32768u /* slots; half as many IDs */

/* Values that are no query's index. */
#define IDMAP_NONE UINT32_MAX
#define IDMAP_ABANDONED                                      \
	(UINT32_MAX - 1) /* an answer may come; nobody waits \
			  */

struct idmap_slot {
	uint32_t value; /* IDMAP_NONE: free */
	uint16_t id;
};

/* Zero-initialise it. */
struct idmap {
	struct idmap_slot *slots; /* owned; NULL if cap is 0 */
	uint32_t cap;
	uint32_t used;
};

static inline void
idmap_free(struct idmap *m)
{
	free(m->slots);
	m->slots = NULL;
	m->cap = m->used = 0;
}

/* Doubles it; IDs that had slots of their own still do. */
static inline bool
idmap_grow(struct idmap *m)
{
	uint32_t i, cap = m->cap == 0 ? IDMAP_MIN : m->cap * 2;
	struct idmap_slot *slots;

	if (cap > IDMAP_MAX)
		return false;
	slots = malloc(cap * sizeof(*slots));
	if (slots == NULL)
		return false;
	for (i = 0; i < cap; i++)
		slots[i].value = IDMAP_NONE;
	for (i = 0; i < m->cap; i++)
		if (m->slots[i].value != IDMAP_NONE)
			slots[m->slots[i].id & (cap - 1)] = m->slots[i];
	free(m->slots);
	m->slots = slots;
	m->cap = cap;
	return true;
}

/*
 * Gives value an ID that is not in use, made from 16 random bits: all of them
 * if that slot is free, else the nearest free slot.  Returns false if the map
 * is full or memory is short.
 */
static inline bool
idmap_add(struct idmap *m, uint32_t value, uint16_t random, uint16_t *id)
{
	uint32_t slot;

	if (m->used >= m->cap / 2 && !idmap_grow(m))
		return false;
	slot = random & (m->cap - 1);
	while (m->slots[slot].value != IDMAP_NONE)
		slot = (slot + 1) & (m->cap - 1);
	*id = (uint16_t)((random & ~(m->cap - 1)) | slot);
	m->slots[slot].id = *id;
	m->slots[slot].value = value;
	m->used++;
	return true;
}

/* The slot of an ID in use; NULL if it is not. */
static inline struct idmap_slot *
idmap_find(const struct idmap *m, uint16_t id)
{
	struct idmap_slot *s;

	if (m->cap == 0)
		return NULL;
	s = &m->slots[id & (m->cap - 1)];
	return s->value != IDMAP_NONE && s->id == id ? s : NULL;
}

/* Whose an ID is; IDMAP_NONE if it is not in use. */
static inline uint32_t
idmap_get(const struct idmap *m, uint16_t id)
{
	const struct idmap_slot *s = idmap_find(m, id);

	return s != NULL ? s->value : IDMAP_NONE;
}

/* Nobody waits for this ID any more, but it must not be used again yet. */
static inline void
idmap_abandon(struct idmap *m, uint16_t id)
{
	struct idmap_slot *s = idmap_find(m, id);

	if (s != NULL)
		s->value = IDMAP_ABANDONED;
}

/* The ID is free again. */
static inline void
idmap_remove(struct idmap *m, uint16_t id)
{
	struct idmap_slot *s = idmap_find(m, id);

	if (s == NULL)
		return;
	s->value = IDMAP_NONE;
	m->used--;
}

#endif
