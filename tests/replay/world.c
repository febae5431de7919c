/* SPDX-License-Identifier: ISC */
/*
 * Time and turns of a replay, see world.h.  A test's.  It gives everybody a
 * turn until nobody has anything left to do, and then sets the clock to when
 * the next one has: so no time passes while something could still happen.
 */
#include "tests/replay/world.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* More turns without time are turns without end. */
#define TURNS_MAX 20000
/* More callbacks in a second are a timer that is armed for nothing. */
#define CALLS_MAX_PER_S 200000u
#define QUIET_MS 70000u

static void
world_log(enum log_level level, const char *line, void *arg)
{
	struct world *w = arg;
	size_t n = strlen(w->log);

	if (level == LOG_LEVEL_FATAL)
		(void)fprintf(stderr, "fatal: %s\n", line);
	if (n > sizeof(w->log) - 1024) {
		memmove(w->log, w->log + n / 2, n - n / 2 + 1);
		n = strlen(w->log);
	}
	(void)snprintf(w->log + n, sizeof(w->log) - n, "#   %8.3f %s: %s\n",
	    (double)world_now(w) / 1e6, log_level_name(level), line);
}

struct world *
world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	if (w == NULL)
		abort();
	/* Tables are large, and hardly used: fresh pages are zero already. */
	(void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	vnet_init();
	vclock_set(1000000000);
	vevent_set_slack(0);
	w->begun_us = vclock_us();
	TAILQ_INIT(&w->pending);
	TAILQ_INIT(&w->conns);
	TAILQ_INIT(&w->replies);
	w->to_pool.fd = w->to_listener.fd = -1;
	w->udp = vnet_udp(&w->udp_fd, client_datagram, w);
	w->tcp = vnet_listener(&w->tcp_fd);
	log_init_sink(world_log, w);
	log_set_level(LOG_LEVEL_INFO);
	return w;
}

bool
world_free(struct world *w, char text[256])
{
	size_t left;

	parent_kill_pool(w);
	parent_kill_listener(w);
	far_free_all(w);
	client_free_all(w);
	left = vnet_clear();
	log_init_stderr();
	free(w);
	/* The two that the parent keeps. */
	(void)snprintf(text, 256, "%zu descriptors were never closed",
	    left > 2 ? left - 2 : 0);
	return left == 2;
}

void
world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->failed)
		return;
	w->failed = true;
	va_start(ap, fmt);
	(void)vsnprintf(w->error, sizeof(w->error), fmt, ap);
	va_end(ap);
}

uint64_t
world_now(const struct world *w)
{
	return vclock_us() - w->begun_us;
}

static bool (*const turns[])(struct world *) = { parent_turn,
	listener_side_turn, pool_side_turn, far_turn, client_turn };

#define TURNS (sizeof(turns) / sizeof(turns[0]))

/* One round in which not everybody has a turn: messages cross. */
static bool
unruly_round(struct world *w)
{
	bool more = false;
	size_t i;

	for (i = 0; i < 2 * TURNS; i++)
		if (vnet_random(3) == 0)
			more |= turns[vnet_random(TURNS)](w);
	return more;
}

void
world_settle(struct world *w)
{
	unsigned int n = 0;
	bool more;
	size_t i;

	do {
		while (w->unruly && !w->failed && unruly_round(w))
			n++;
		more = false;
		for (i = 0; i < TURNS; i++)
			more |= turns[i](w);
		if (++n > TURNS_MAX)
			world_fail(w, "it does not come to rest");
	} while (more && !w->failed);
}

static uint64_t
sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When the next thing happens. */
static uint64_t
next_us(const struct world *w)
{
	uint64_t next = sooner(far_next(w), client_next(w));

	if (w->pool != NULL)
		next = sooner(next, vevent_next(w->pool_base));
	if (w->listener != NULL)
		next = sooner(next, vevent_next(w->listener_base));
	return next;
}

static void
check(struct world *w)
{
	client_check(w);
	/* Thousands of queries are not counted at every microsecond. */
	if (!w->check_each || w->nsteps++ % (1 + pool_side_held(w) / 200) != 0)
		return;
	pool_side_check(w);
	listener_side_check(w);
}

/* Wakes that never end cost a processor, and show in no answer. */
static void
check_calls(struct world *w, uint64_t us)
{
	uint64_t n = 0;

	if (w->pool != NULL)
		n += vevent_calls(w->pool_base);
	if (w->listener != NULL)
		n += vevent_calls(w->listener_base);
	if (n > w->calls && n - w->calls > CALLS_MAX_PER_S * (1 + us / 1000000))
		world_fail(w, "%llu wake-ups in %llu ms",
		    (unsigned long long)(n - w->calls),
		    (unsigned long long)us / 1000);
	w->calls = n;
}

void
world_advance(struct world *w, uint64_t us)
{
	uint64_t end = vclock_us() + us, next;

	check_calls(w, 0);
	world_settle(w);
	check(w);
	while (!w->failed && (next = next_us(w)) <= end) {
		if (next > vclock_us())
			vclock_set(next);
		world_settle(w);
		check(w);
	}
	if (w->failed)
		return;
	vclock_set(end);
	world_settle(w);
	check(w);
	check_calls(w, us);
}

/* True while somebody waits, or is waited for that has gone. */
static bool
is_busy(struct world *w)
{
	uint64_t n = 0;

	if (w->listener != NULL)
		(void)listener_side_counter(w, "in_flight", &n);
	return n > 0 || !TAILQ_EMPTY(&w->pending);
}

void
world_quiesce(struct world *w)
{
	uint64_t end = vclock_us() + QUIET_MS * 1000u;

	while (!w->failed && is_busy(w) && vclock_us() < end)
		world_advance(w, 100000);
	/* What was given up in the pool before the listener did. */
	world_advance(w, 200000);
	if (w->failed)
		return;
	client_check(w);
	pool_side_check(w);
	listener_side_check(w);
	if (w->listener != NULL)
		listener_side_check_idle(w);
	if (w->pool != NULL && w->listener != NULL)
		pool_side_check_idle(w);
}
