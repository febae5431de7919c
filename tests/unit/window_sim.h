/* SPDX-License-Identifier: ISC */
/*
 * Upstreams with a line and without, and clients who ask them, played with a
 * window between, in a time of their own, by a heap of answers still to come.
 */
#ifndef TESTS_WINDOW_SIM_H
#define TESTS_WINDOW_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dotproxy/listener/window.h"

#define SENT_MAX 65536u
#define SECOND 1000000u

struct query {
	uint64_t sent_us;
	uint64_t done_us;
};

static struct window w;

/* What the upstream is like, and who asks. */
static struct sim {
	uint64_t now_us;
	uint64_t gap_us;    /* it answers one in so much time, in order */
	uint64_t way_us;    /* then the answer is under way for so long */
	uint64_t jitter_us; /* and for up to so much more, out of order */
	uint32_t unequal;   /* gap_us varies by so many per cent, every 50 ms */
	uint32_t slow;      /* one in so many takes slow_us more; 0: none */
	uint64_t slow_us;
	uint32_t beside; /* one in so many does not wait in its line; 0: none */
	bool silent;
	uint32_t nclients; /* of whom there are queries */
	uint32_t each;     /* nobody has more than so many; 0: any number */
	uint64_t ask_us;   /* so much time from one query to the next */
	uint32_t most;     /* and no more while so many wait in all */
	uint64_t free_us;  /* when the upstream has done what it has */
	uint64_t asked_us; /* when the last was */
	uint64_t due_us;   /* the timer of those who wait; 0: none */
	uint32_t waiting;  /* here */
	uint32_t n;        /* with the pool */
	uint32_t random;
	struct query heap[SENT_MAX + 1]; /* by done_us; from 1 */
	uint64_t answers;                /* in the last pass() */
	uint64_t took_us;                /* of these, together */
	uint64_t area;                   /* n, times microseconds */
	uint64_t sent_us;                /* the last, or one began to wait */
	uint64_t pause_us;               /* the longest while somebody waits */
} sim;

static inline uint32_t
next_random(uint32_t n)
{
	sim.random = sim.random * 1103515245 + 12345;
	return (sim.random >> 8) % n;
}

static inline void
heap_push(struct query q)
{
	uint32_t i = ++sim.n;

	assert_true(i <= SENT_MAX);
	for (; i > 1 && sim.heap[i / 2].done_us > q.done_us; i /= 2)
		sim.heap[i] = sim.heap[i / 2];
	sim.heap[i] = q;
}

static inline struct query
heap_pop(void)
{
	struct query top = sim.heap[1], q = sim.heap[sim.n--];
	uint32_t i = 1, k;

	for (; (k = 2 * i) <= sim.n; i = k) {
		if (k < sim.n && sim.heap[k + 1].done_us < sim.heap[k].done_us)
			k++;
		if (sim.heap[k].done_us >= q.done_us)
			break;
		sim.heap[i] = sim.heap[k];
	}
	sim.heap[i] = q;
	return top;
}

static inline uint64_t
gap_now_us(void)
{
	uint32_t of_time = (uint32_t)(sim.now_us / 50000) * 2654435761u;

	if (sim.unequal == 0)
		return sim.gap_us;
	return sim.gap_us * (100 + (of_time >> 8) % sim.unequal) / 100;
}

static inline void
send_one(void)
{
	struct query q = { .sent_us = sim.now_us, .done_us = sim.now_us };

	if (sim.beside == 0 || next_random(sim.beside) > 0) {
		if (sim.free_us < sim.now_us)
			sim.free_us = sim.now_us;
		sim.free_us += gap_now_us();
		q.done_us = sim.free_us;
	}
	q.done_us += sim.way_us;
	if (sim.jitter_us > 0)
		q.done_us += next_random((uint32_t)sim.jitter_us);
	if (sim.slow > 0 && next_random(sim.slow) == 0)
		q.done_us += sim.slow_us;
	if (sim.silent)
		q.done_us = UINT64_MAX;
	heap_push(q);
}

/* As link.c does it. */
static inline void
send_some(void)
{
	uint32_t all;

	while (sim.waiting > 0 && sim.n < window_limit(&w)) {
		sim.waiting--;
		if (sim.now_us - sim.sent_us > sim.pause_us)
			sim.pause_us = sim.now_us - sim.sent_us;
		sim.sent_us = sim.now_us;
		send_one();
	}
	if (sim.waiting > 0)
		w.bound_ms = sim.now_us / 1000;
	all = sim.n + sim.waiting;
	window_loaded(&w, sim.n, sim.nclients,
	    sim.each > 0 && sim.each < all ? sim.each : all, sim.now_us / 1000);
}

static inline void
ask(void)
{
	uint64_t now_ms = sim.now_us / 1000;

	if (sim.waiting == 0 &&
	    (sim.n < window_limit(&w) || !window_begins_line(&w, now_ms))) {
		send_one();
		return;
	}
	if (sim.waiting == 0)
		sim.sent_us = sim.now_us;
	if (sim.waiting++ == 0 && sim.due_us == 0)
		sim.due_us = sim.now_us + 1000 * window_patience_ms(&w);
}

/* Asks what is due; when the next query is, or end_us. */
static inline uint64_t
ask_some(uint64_t end_us)
{
	while (sim.waiting + sim.n < sim.most) {
		if (sim.asked_us + sim.ask_us > sim.now_us)
			return sim.asked_us + sim.ask_us < end_us
				   ? sim.asked_us + sim.ask_us
				   : end_us;
		sim.asked_us += sim.ask_us;
		/* Who could not ask for long does not ask all at once. */
		if (sim.asked_us + SECOND < sim.now_us)
			sim.asked_us = sim.now_us;
		ask();
	}
	return end_us;
}

static inline void
turn_due(void)
{
	uint64_t patience_us = 1000 * window_patience_ms(&w);

	sim.due_us = 0;
	if (sim.waiting == 0)
		return;
	if (sim.now_us >= 1000 * w.answered_ms + patience_us)
		window_stalled(&w, sim.now_us / 1000);
	sim.due_us = 1000 * w.answered_ms + 1000 * window_patience_ms(&w);
	send_some();
}

static inline void
answer_one(void)
{
	struct query q = heap_pop();
	uint64_t now_ms = sim.now_us / 1000;

	sim.took_us += sim.now_us - q.sent_us;
	sim.answers++;
	if (window_answered(&w, now_ms - q.sent_us / 1000, now_ms))
		window_judge(&w, sim.waiting > 0, now_ms);
	send_some();
}

/* So much time passes. */
static inline void
pass(uint64_t us)
{
	uint64_t end_us = sim.now_us + us, next_us;

	sim.answers = sim.took_us = sim.area = sim.pause_us = 0;
	for (;;) {
		next_us = ask_some(end_us);
		if (sim.n > 0 && sim.heap[1].done_us < next_us)
			next_us = sim.heap[1].done_us;
		if (sim.due_us > 0 && sim.due_us < next_us)
			next_us = sim.due_us;
		sim.area += sim.n * (next_us - sim.now_us);
		sim.now_us = next_us;
		if (sim.due_us == next_us)
			turn_due();
		else if (sim.n > 0 && sim.heap[1].done_us == next_us)
			answer_one();
		else if (next_us == end_us)
			return;
	}
}

/* From now on so many wait at most, and one more is asked in so much time. */
static inline void
flood(uint64_t ask_us, uint32_t most)
{
	sim.asked_us = sim.now_us;
	sim.ask_us = ask_us;
	sim.most = most;
}

static inline int
setup(void **state)
{
	(void)state;
	memset(&sim, 0, sizeof(sim));
	window_init(&w);
	sim.now_us = 100 * SECOND;
	sim.random = 1;
	sim.nclients = 1;
	/* Little is asked at first: 100 in a second. */
	sim.way_us = 300;
	flood(10000, 10);
	return 0;
}

/* On average, so many were with the pool, and not more. */
static inline void
assert_load(uint64_t us, uint64_t most)
{
	assert_in_range(sim.area / us, 0, most);
}

/* Of 1,000 that might have come so many did; and the load was no more. */
static inline void
assert_well(uint64_t seconds, uint64_t might, uint64_t most)
{
	pass(seconds * SECOND);
	if (sim.answers < seconds * might * 9 / 10)
		fail_msg("%lu answers of %lu", sim.answers, seconds * might);
	assert_load(seconds * SECOND, most);
}

#endif
