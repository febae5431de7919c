/* SPDX-License-Identifier: ISC */
/*
 * The window of queries with the pool; see window.h.  Runs in the listener.
 * Must not cost answers: when in doubt more are let go.
 */
#include "dotproxy/listener/window.h"

#include <string.h>

/*
 * Beyond a quarter of what answers take without a line, so much is no line:
 * less if there are several clients, and one may wait for what another has
 * asked.
 */
#define SLACK_US 5000u
#define SLACK_SHARED_US 1000u
/* At first nothing is known: what takes longer may be in line already. */
#define FIRST_US 20000u
/* Who has less of a line than that is not in the way of others. */
#define MUCH 16u
/* But many of these together are. */
#define VERY_MUCH 512u
/*
 * A period is so long, or what an answer takes: halved, a window shows no
 * sooner.  And it has so many answers, or, if they are slow, lasts longer.
 */
#define PERIOD_MS 200u
#define PERIOD_ANSWERS 256u
#define PERIOD_SLOW_MS 500u
/* From one trial in vain to the next, twice as long each time. */
#define PAUSE_MS 500u
#define PAUSE_DOUBLED 5u
/* No answer for so long, and what they take, is no accident. */
#define PATIENCE_MS 50u

void
window_init(struct window *w)
{
	*w = (struct window){
		.size = WINDOW_NONE,
		.hold = WINDOW_NONE,
		.base_us = UINT64_MAX,
		.calm = true,
	};
	memset(w->soon_ms, 0xff, sizeof(w->soon_ms));
}

void
window_soon(struct window *w, uint64_t took_ms)
{
	uint32_t i = WINDOW_SOON - 1;

	for (; i > 0 && w->soon_ms[i - 1] > took_ms; i--)
		w->soon_ms[i] = w->soon_ms[i - 1];
	w->soon_ms[i] = took_ms;
}

static void
begin(struct window *w, enum window_phase phase, uint64_t now_ms)
{
	w->phase = phase;
	w->over = 0;
	w->since_ms = now_ms;
	w->answers = 0;
	w->sum_ms = 0;
	w->sum_soon_ms = 0;
	w->peak = w->most = 0;
}

/*
 * This is the window.  A trial may succeed with a few too few, for what answers
 * take differs: a seventh is given in addition.
 */
static void
settle(struct window *w, uint32_t hold, uint64_t now_ms)
{
	w->hold = hold <= WINDOW_MAX ? hold : WINDOW_NONE;
	w->size = w->hold == WINDOW_NONE ? WINDOW_NONE : hold + hold / 7;
	begin(w, WINDOW_STEADY, now_ms);
}

/*
 * While there are too many still, one goes for two answers that come: nobody is
 * to wait until those have come which are slow.
 */
static void
try_less(struct window *w, uint32_t n, uint32_t cut, uint64_t now_ms)
{
	/* If that is in vain, twice as many are enough for some time. */
	w->first = w->hold == WINDOW_NONE;
	if (w->first)
		w->hold = 2 * n;
	w->bound_ms = now_ms;
	w->told_us = w->least_us;
	w->spared_us = cut * w->mean_us / n;
	w->size = n - cut;
	begin(w, WINDOW_DRAIN, now_ms);
	w->over = 2 * cut;
}

static void
try_more(struct window *w, uint32_t size, uint64_t now_ms)
{
	w->size = size;
	begin(w, WINDOW_FILL, now_ms);
}

/* The trial was in vain: for the next one of its kind it is too early. */
static void
give_up(struct window *w, uint64_t now_ms)
{
	bool more = w->phase == WINDOW_FILL || w->phase == WINDOW_MORE;
	struct window_trial *t = more ? &w->more : &w->less;

	t->next_ms = now_ms + (PAUSE_MS << t->in_vain);
	if (t->in_vain < PAUSE_DOUBLED)
		t->in_vain++;
	settle(w, w->hold, now_ms);
}

/* True if so many answers are more, and not only by chance. */
static bool
is_more(uint64_t rate, uint64_t than)
{
	return rate > than + than / 8;
}

/* True if answers that took so long now take longer. */
static bool
is_slow(const struct window *w, uint64_t us, uint64_t than_us)
{
	bool shared = w->judged_ms < w->shared_ms;

	return us >
	       than_us + than_us / 4 + (shared ? SLACK_SHARED_US : SLACK_US);
}

/*
 * True if nobody has many of n queries, nor are they very many: for so few no
 * window is begun.
 */
static bool
are_few(const struct window *w, uint32_t n)
{
	return w->most < MUCH && n < VERY_MUCH;
}

/*
 * Of n queries, how many are in line if what answers take beyond base_us is the
 * wait for that (Little's law): half of n at most while that is a guess, three
 * quarters once there is a window.  Or 0, if that is not worth a trial.
 */
static uint32_t
queued(const struct window *w, uint32_t n, uint64_t us, uint64_t least_us)
{
	uint64_t cut, most;

	if (!is_slow(w, least_us, w->base_us) || n < 2 * WINDOW_MIN ||
	    (w->hold == WINDOW_NONE && are_few(w, n)))
		return 0;
	cut = n * (least_us - w->base_us) / us;
	most = w->hold == WINDOW_NONE ? n / 2 : n - n / 4;
	if (most > n - WINDOW_MIN)
		most = n - WINDOW_MIN;
	if (cut > most)
		cut = most;
	if (w->less.in_vain > 0)
		cut /= 2;
	return cut >= n / 8 ? (uint32_t)cut : 0;
}

/*
 * Follows what answers take without a line: down at once; up if there are too
 * few for one, or, without a window, and if they are few, within some 16 s: the
 * way may have become longer.  Not if one client has many: it could make a line
 * that grows as slowly.  Then trials tell.
 */
static void
note_base(struct window *w, uint64_t us, uint64_t ms)
{
	if (us < w->base_us)
		w->base_us -= (w->base_us - us) / 4;
	else if (w->hold == WINDOW_NONE && w->peak < 2 * WINDOW_MIN)
		w->base_us += (us - w->base_us) / 8;
	else if (w->calm && are_few(w, w->peak))
		w->base_us +=
		    (us - w->base_us) * (ms < 1000 ? ms : 1000) / 16384;
}

/*
 * Answers are slow, without a window.  Until a trial has told why, there may
 * be no more than twice as many.
 */
static void
watch(struct window *w, uint64_t now_ms)
{
	if (now_ms < w->less.next_ms)
		return;
	w->size = 2 * w->peak;
	w->bound_ms = now_ms;
}

/* A period is over in which nothing was tried. */
static void
judge_steady(struct window *w, bool line, uint64_t rate, uint64_t now_ms)
{
	bool rises = is_more(rate, w->rate + w->rate / 8);
	bool falls = is_more(w->rate, rate + rate / 8);
	uint32_t n = w->peak < w->size ? w->peak : w->size;
	uint32_t cut;

	cut = queued(w, n, w->mean_us, w->least_us);
	if (w->hold == WINDOW_NONE && cut == 0)
		w->size = WINDOW_NONE;
	else if (w->hold == WINDOW_NONE && rises && w->rate > 0)
		watch(w, now_ms);
	w->rate = rate;
	begin(w, WINDOW_STEADY, now_ms);
	if (w->hold != WINDOW_NONE && now_ms - w->bound_ms >= WINDOW_KEPT_MS) {
		settle(w, WINDOW_NONE, now_ms);
		return;
	}
	/* It may be another upstream now, or the last trial was wrong. */
	if (rises || falls)
		w->more.next_ms = 0;
	if (is_slow(w, w->least_us, w->told_us))
		w->less.next_ms = 0;
	/* It is another line now than what was none. */
	if (w->least_us > 2 * w->told_us)
		w->less.in_vain = 0;
	if (cut > 0 && !rises && !falls && now_ms >= w->less.next_ms)
		try_less(w, n, cut, now_ms);
	else if (line && w->hold != WINDOW_NONE && now_ms >= w->more.next_ms)
		try_more(w, w->hold + w->hold / 2, now_ms);
}

/*
 * True if answers are missing with fewer: not some by chance, and more than a
 * batch, for by batches they are counted.
 */
static bool
is_fewer(const struct window *w, uint64_t rate, uint64_t now_ms)
{
	uint64_t ms = now_ms > w->since_ms ? now_ms - w->since_ms : 1;

	return rate + WINDOW_BATCH * UINT64_C(1000000) / ms <
	       w->rate - w->rate / 32;
}

/* True if answers take less with fewer, by half as much as behind a line. */
static bool
is_shorter(const struct window *w)
{
	return w->least_us + w->spared_us / 2 <= w->told_us;
}

/*
 * Fewer were in vain.  If answers took as long all the same, twice in a row,
 * there is no line: so long is the way.
 */
static void
judge_vain(struct window *w, uint64_t now_ms)
{
	bool again = w->refuted;

	w->refuted = w->first && !is_shorter(w) && !again;
	if (!w->first || is_shorter(w)) {
		give_up(w, now_ms);
		return;
	}
	if (again)
		w->base_us = w->least_us;
	else
		w->less.next_ms = now_ms + PAUSE_MS;
	settle(w, WINDOW_NONE, now_ms);
}

/* A period with fewer than before is over. */
static void
judge_less(struct window *w, bool line, uint64_t rate, uint64_t now_ms)
{
	uint32_t cut;

	if (!line) { /* there was nothing to be learnt */
		w->less.next_ms = now_ms + PAUSE_MS;
		settle(w, w->hold, now_ms);
	} else if (is_fewer(w, rate, now_ms) || !is_shorter(w)) {
		judge_vain(w, now_ms);
	} else {
		w->less.in_vain -= w->less.in_vain > 0;
		w->more.next_ms = now_ms + PAUSE_MS;
		if (rate > w->rate)
			w->rate = rate;
		cut = queued(w, w->size, w->mean_us, w->least_us);
		settle(w, w->size, now_ms);
		if (cut > 0)
			try_less(w, w->hold, cut, now_ms);
	}
}

/* A period with more is over. */
static void
judge_more(struct window *w, bool line, uint64_t rate, uint64_t now_ms)
{
	if (line && !is_more(rate, w->rate)) {
		give_up(w, now_ms);
		return;
	}
	w->more.in_vain -= w->more.in_vain > 0;
	w->rate = rate;
	settle(w, w->size, now_ms);
	if (line && w->hold != WINDOW_NONE)
		try_more(w, 2 * w->hold, now_ms);
}

/* True if a trial of less has failed already. */
static bool
is_hopeless(const struct window *w, uint64_t ms, uint64_t rate)
{
	return (w->phase == WINDOW_FEWER || w->phase == WINDOW_LESS) &&
	       w->answers >= 2 * WINDOW_BATCH && 1000 * ms >= w->mean_us &&
	       rate < w->rate / 2 + w->rate / 8;
}

/* True if the phase goes on for now. */
static bool
goes_on(struct window *w, uint64_t us, uint64_t least_us, uint64_t now_ms)
{
	uint64_t ms = now_ms - w->since_ms, mean_ms = us / 1000;

	switch (w->phase) {
	case WINDOW_DRAIN:
		if (w->peak <= w->size) {
			/* The line may have grown until the trial began. */
			if (w->told_us < least_us)
				w->told_us = least_us;
			begin(w, WINDOW_FEWER, now_ms);
		} else if (ms > 2 * mean_ms + PERIOD_MS) {
			give_up(w, now_ms); /* those will stay for long */
		}
		w->peak = 0;
		return true;
	case WINDOW_FEWER:
		/* What was sent before has waited behind more. */
		if (1000 * ms + w->spared_us > w->told_us)
			begin(w, WINDOW_LESS, now_ms);
		return true;
	case WINDOW_FILL:
		if (ms > mean_ms)
			begin(w, WINDOW_MORE, now_ms);
		return true;
	default:
		return ms < PERIOD_MS || ms < mean_ms ||
		       (w->answers < PERIOD_ANSWERS && ms < PERIOD_SLOW_MS);
	}
}

/* True if there is no window, and no reason for one so far. */
static bool
is_calm(struct window *w, uint64_t us, uint64_t least_us, uint64_t now_ms)
{
	bool was_calm = w->calm;

	if (w->base_us == UINT64_MAX)
		w->base_us = least_us < FIRST_US ? least_us : FIRST_US;
	w->calm = w->hold == WINDOW_NONE && w->phase == WINDOW_STEADY &&
		  queued(w, w->peak, us, least_us) == 0;
	note_base(w, least_us, now_ms - w->since_ms);
	if (!was_calm && !w->calm)
		return false;
	if (w->calm)
		w->size = WINDOW_NONE;
	else
		watch(w, now_ms);
	/* Before this moment it may have been idle. */
	begin(w, WINDOW_STEADY, now_ms);
	w->rate = 0;
	return true;
}

void
window_judge(struct window *w, bool line, uint64_t now_ms)
{
	uint64_t us, ms, rate, least_us;

	w->batch_soon_ms += w->soon_ms[WINDOW_SOON - 1];
	memset(w->soon_ms, 0xff, sizeof(w->soon_ms));
	if (now_ms < w->judged_ms + WINDOW_BATCH_MS)
		return;
	w->sum_ms += w->batch_ms;
	w->sum_soon_ms += w->batch_soon_ms;
	w->answers += w->batch;
	w->batch = 0;
	w->batch_ms = w->batch_soon_ms = 0;
	w->judged_ms = now_ms;
	us = w->sum_ms * 1000 / w->answers;
	least_us = w->sum_soon_ms * 1000 / (w->answers / WINDOW_BATCH);
	if (is_calm(w, us, least_us, now_ms))
		return;
	ms = now_ms > w->since_ms ? now_ms - w->since_ms : 1;
	rate = w->answers * 1000000 / ms;
	if (is_hopeless(w, ms, rate)) {
		w->least_us = least_us;
		judge_vain(w, now_ms);
		return;
	}
	if (goes_on(w, us, least_us, now_ms))
		return;
	w->mean_us = us;
	w->least_us = least_us;
	if (w->phase == WINDOW_LESS)
		judge_less(w, line, rate, now_ms);
	else if (w->phase == WINDOW_MORE)
		judge_more(w, line, rate, now_ms);
	else
		judge_steady(w, line, rate, now_ms);
}

bool
window_begins_line(struct window *w, uint64_t now_ms)
{
	uint64_t ms = now_ms - w->bound_ms;

	/* It may have been idle meanwhile. */
	if (w->phase == WINDOW_STEADY && ms >= WINDOW_KEPT_MS)
		settle(w, WINDOW_NONE, now_ms);
	else if (w->phase == WINDOW_STEADY && ms >= PERIOD_MS)
		begin(w, WINDOW_STEADY, now_ms);
	w->bound_ms = w->answered_ms = now_ms;
	return w->size != WINDOW_NONE;
}

uint64_t
window_patience_ms(const struct window *w)
{
	uint64_t ms = w->mean_us / 1000;

	if (ms > 1000)
		ms = 1000;
	return PATIENCE_MS + ms;
}

void
window_stalled(struct window *w, uint64_t now_ms)
{
	if (w->phase != WINDOW_STEADY)
		give_up(w, now_ms);
	else
		settle(
		    w, w->hold == WINDOW_NONE ? w->hold : 4 * w->hold, now_ms);
	w->answered_ms = now_ms;
}
