/* SPDX-License-Identifier: ISC */
/*
 * The idle limit of an upstream, see warm.h.  Runs in the pool.  It must never
 * believe one early close for good: a server that was restarted has no idle
 * limit of a few milliseconds.
 */
#include "dotproxy/pool/warm.h"

static uint32_t
saturate(uint64_t ms)
{
	return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

void
warm_closed(struct warm *w, uint64_t idle_ms)
{
	uint32_t ms = saturate(idle_ms);

	if (ms < WARM_LIMIT_MIN_MS)
		return;
	if (w->learnt_ms == 0 || ms < w->learnt_ms)
		w->learnt_ms = ms;
	else
		w->learnt_ms += (ms - w->learnt_ms) / 2;
}

void
warm_survived(struct warm *w, uint64_t idle_ms)
{
	uint32_t ms = saturate(idle_ms);

	if (w->learnt_ms != 0 && ms > w->learnt_ms)
		w->learnt_ms = ms;
	if (w->spoken_ms != 0 && ms > w->spoken_ms)
		w->spoken_ms = ms;
}

void
warm_spoken(struct warm *w, uint32_t ms)
{
	w->spoken_ms = ms < WARM_LIMIT_MIN_MS ? 0 : ms;
}

void
warm_set_up(struct warm *w, uint64_t ms)
{
	uint64_t before = w->setup_ms == 0 ? ms : w->setup_ms;

	w->setup_ms = saturate((3 * before + ms + 3) / 4);
}

uint32_t
warm_limit(const struct warm *w)
{
	if (w->learnt_ms == 0 ||
	    (w->spoken_ms != 0 && w->spoken_ms < w->learnt_ms))
		return w->spoken_ms;
	return w->learnt_ms;
}

uint64_t
warm_expires(const struct warm *w)
{
	uint32_t limit = warm_limit(w);
	uint64_t margin = 2 * (uint64_t)w->setup_ms;

	if (limit == 0)
		return UINT64_MAX;
	if (margin < limit / 8)
		margin = limit / 8;
	if (margin > limit / 6)
		margin = limit / 6;
	return limit - margin;
}

bool
warm_is_awake(uint32_t keep_ms, uint64_t used_ms, uint64_t now_ms)
{
	return keep_ms > 0 && used_ms != 0 && now_ms - used_ms < keep_ms;
}
