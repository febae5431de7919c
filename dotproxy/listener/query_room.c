/* SPDX-License-Identifier: ISC */
/*
 * Whether there is room for one more query, in the table and in the memory for
 * long ones, and who yields for it.  Runs in the listener.  Must not search,
 * nor take from one client what another may have, see shed.h.
 */
#include "dotproxy/listener/listener.h"

/*
 * True if there are lines, and the turn of one more query of this client would
 * come soon all the same: no matter how long another's line is, it has a place
 * if its transport has one at all.
 */
static bool
query_is_next(const struct listener *l, const struct client *client,
    const struct prefix *p)
{
	const struct turns *t = &l->turns;
	uint64_t ahead = ((uint64_t)p->nline + 1) * (t->nlines + 1);
	uint32_t limit = l->shed.limit;

	return t->n > 0 && ahead <= l->shed.window / 4 &&
	       inflight_same(&l->inflight, client) < limit - limit / SHED_KEPT;
}

/*
 * True if the oldest query, overtaken, yields to one of that client: if it has
 * no fewer, or if nobody waits for it; but not in vain, for what its transport
 * leaves to the other one is not the other's.
 */
static bool
query_yields(const struct listener *l, const struct inflight_slot *s,
    const struct client *client, const struct prefix *p)
{
	uint32_t window = l->shed.window;
	uint32_t room = window - window / SHED_KEPT;

	if (!s->sent || !shed_overtaken(&l->shed, s->sent_ms))
		return false;
	if (s->tcp != (client->conn != NULL) &&
	    inflight_same(&l->inflight, client) >= room)
		return false;
	return s->prefix == p || s->gone ||
	       prefix_queries(p) - 1 <= prefix_queries(s->prefix);
}

/* True if it is short, or its client may have more of the store. */
static bool
query_fits(
    const struct listener *l, const struct prefix *p, bool tcp, size_t len)
{
	const struct inflight *t = &l->inflight;

	return len <= INFLIGHT_WIRE_INLINE ||
	       shed_shares((uint32_t)t->longs.max, (uint32_t)t->longs.bytes,
		   inflight_stored(t, tcp), p->stored[tcp]);
}

bool
query_make_room(struct listener *l, const struct client *client,
    const struct prefix *p, size_t len)
{
	struct inflight *t = &l->inflight;
	bool tcp = client->conn != NULL;
	struct inflight_slot *s;

	if (!query_fits(l, p, tcp, len))
		return false;
	while (!shed_admits(&l->shed, t->count, inflight_same(t, client),
		   p->count[tcp] - 1) &&
	       !query_is_next(l, client, p)) {
		s = inflight_first(t);
		if (s == NULL || !query_yields(l, s, client, p))
			return false;
		query_yield(l, s);
	}
	return true;
}
