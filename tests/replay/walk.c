/* SPDX-License-Identifier: ISC */
/*
 * The random walker: scenarios that nobody wrote.  From a seed it makes a
 * configuration and a few hundred lines, plays them with everything looked at
 * after each step of time, then has all upstreams work again, and expects
 * queries to be answered and, when nobody asks any more, all to be closed.
 * A test's program, of TAP.  A walk that fails is printed as a scenario.
 *
 *     walk [-1] [-s FIRST] [-n SEEDS] [-l LINES]
 *
 * -1 prints the first one whether it fails or not.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/replay/script.h"

#ifdef SANITIZER
#define SEEDS_DEFAULT 30u
#else
#define SEEDS_DEFAULT 150u
#endif
#define LINES_DEFAULT 120u
#define TRACE_MAX 4096
#define UPS 4u

struct walker {
	struct world *w;
	uint64_t random;
	uint32_t nasked;
	uint32_t nconns;
	uint32_t nups;
	bool in_use[UPS];
	size_t ntrace;
	char trace[TRACE_MAX][SCRIPT_LINE_MAX];
};

/* --- randomness --- */

static uint32_t
below(struct walker *k, uint32_t n)
{
	k->random = k->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(k->random >> 33) % n;
}

static bool
chance(struct walker *k, uint32_t percent)
{
	return below(k, 100) < percent;
}

#define PICK(k, list) \
	((list)[below((k), (uint32_t)(sizeof(list) / sizeof((list)[0])))])

static void step(struct walker *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Plays a line, and keeps it. */
static void
step(struct walker *k, const char *fmt, ...)
{
	va_list ap;

	if (k->w->failed || k->ntrace == TRACE_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(k->trace[k->ntrace], sizeof(k->trace[0]), fmt, ap);
	va_end(ap);
	script_line(k->w, k->trace[k->ntrace++]);
}

static char
up_name(uint32_t i)
{
	return (char)('a' + i);
}

/* --- the configuration --- */

static const char *const policies[] = { "failover", "round-robin", "random",
	"historical-connections", "availability", "latency" };
static const char *const hedges[] = { "0%", "5%", "5%", "30%", "100%" };
static const char *const timeouts[] = { "100ms", "500ms", "1s", "4s", "4s" };
static const char *const retries[] = { "0", "1", "3", "16", "16", "64" };
static const char *const inflights[] = { "3", "16", "600", "8192", "8192" };
static const char *const sizes[] = { "1", "1", "2", "8" };
static const char *const spans[] = { "50ms", "300ms", "1s", "2s", "5s" };
static const char *const warms[] = { "0", "1s", "30s", "5m" };

static void
configure_globals(struct walker *k)
{
	step(k, "set policy %s", PICK(k, policies));
	step(k, "set hedge %s", PICK(k, hedges));
	step(k, "set query timeout %s", PICK(k, timeouts));
	step(k, "set retries %s", PICK(k, retries));
	step(k, "client max inflight %s", PICK(k, inflights));
	if (chance(k, 15))
		step(k, "client rate limit %u", (unsigned)below(k, 100));
}

static void
configure_upstream(struct walker *k, uint32_t i)
{
	step(k, "upstream %c pool size %s, read timeout %s, connect timeout %s",
	    up_name(i), PICK(k, sizes), PICK(k, spans), PICK(k, spans));
	step(k,
	    "upstream %c handshake timeout %s, write timeout %s, "
	    "stale timeout %s, keep warm %s",
	    up_name(i), PICK(k, spans), PICK(k, spans), PICK(k, spans),
	    PICK(k, warms));
	k->in_use[i] = true;
}

/* --- what happens --- */

static void
walk_ask(struct walker *k)
{
	static const uint32_t bursts[] = { 1, 1, 1, 2, 5, 20, 150 };
	uint32_t n = PICK(k, bursts), label = k->nasked++;
	char from[64] = "", over[32] = "", what[48] = "";

	if (chance(k, 50))
		(void)snprintf(from, sizeof(from), " from 10.0.%u.%u",
		    (unsigned)below(k, 2), (unsigned)below(k, 3) + 1);
	if (chance(k, 30)) {
		if (k->nconns == 0 || chance(k, 30))
			k->nconns++;
		(void)snprintf(over, sizeof(over), " tcp c%u",
		    (unsigned)(k->nconns - below(k, 2) % k->nconns));
	}
	if (chance(k, 4))
		(void)snprintf(what, sizeof(what), " opcode %s",
		    chance(k, 50) ? "update" : "notify");
	else if (chance(k, 10))
		(void)snprintf(
		    what, sizeof(what), " edns %u", chance(k, 50) ? 0u : 4096u);
	else if (chance(k, 10))
		(void)snprintf(what, sizeof(what), " bytes %u",
		    (unsigned)below(k, chance(k, 70) ? 1000 : 60000));
	if (n > 1)
		step(k, "ask q%u.*%u%s%s%s", (unsigned)label, (unsigned)n, from,
		    over, what);
	else if (label > 0 && chance(k, 10) &&
		 client_find(k->w, k->w->asks[k->w->nasks - 1]->label)->conn ==
		     NULL)
		step(k, "ask q%u again %s", (unsigned)label,
		    k->w->asks[k->w->nasks - 1]->label);
	else
		step(k, "ask q%u%s%s%s", (unsigned)label, from, over, what);
	if (over[0] == '\0' || !chance(k, 15))
		return;
	/* It leaves before it is answered, or just after. */
	step(k, "wait %uus", (unsigned)below(k, 20000));
	step(k, "hangup %s%s", over + strlen(" tcp "),
	    chance(k, 50) ? " reset" : "");
}

static void
walk_wait(struct walker *k)
{
	if (chance(k, 80))
		step(k, "wait %uus", (unsigned)below(k, 30000));
	else if (chance(k, 80))
		step(k, "wait %ums", (unsigned)below(k, 1000));
	else
		step(k, "wait %us", (unsigned)below(k, 20));
}

/* How an upstream behaves from now on; mostly well. */
static void
walk_upstream(struct walker *k)
{
	static const char *const answers[] = { "silent", "close", "reset",
		"alert", "wrong-id", "wrong-question", "no-answer", "short",
		"twice", "half" };
	static const char *const connects[] = { "refused", "lost",
		"unreachable", "busy" };
	static const char *const shakes[] = { "lost", "close", "reset",
		"untrusted", "expired", "name" };
	static const char *const idles[] = { "never", "never", "50ms", "300ms",
		"1s", "10s" };
	static const char *const told[] = { "none", "0s", "300ms", "1s",
		"10s" };
	char up = up_name(below(k, k->nups));

	switch (below(k, 10)) {
	case 9:
		step(k, "%c keepalive %s", up, PICK(k, told));
		break;
	case 0:
		step(k, "%c answer %ums %s", up, (unsigned)below(k, 100),
		    PICK(k, answers));
		break;
	case 1:
		step(k, "%c answer %ums more %ums bytes %u", up,
		    (unsigned)below(k, 50), (unsigned)below(k, 300) + 1,
		    (unsigned)(chance(k, 80) ? 0 : below(k, 3000)));
		break;
	case 2:
		step(k, "%c connect %ums %s", up, (unsigned)below(k, 100),
		    chance(k, 50) ? "ok" : PICK(k, connects));
		break;
	case 3:
		step(k, "%c handshake %ums %s", up, (unsigned)below(k, 100),
		    chance(k, 50) ? "ok" : PICK(k, shakes));
		break;
	case 4:
		step(k, "%c idle %s", up, PICK(k, idles));
		break;
	case 5:
		step(k, "%c %s", up, chance(k, 50) ? "close" : "reset");
		break;
	case 6:
		step(k, "%c %s", up, chance(k, 40) ? "mute" : "unmute");
		break;
	default:
		step(k, "%c unmute", up);
		step(k, "%c answer %ums", up, (unsigned)below(k, 30));
		step(k, "%c connect ok", up);
		step(k, "%c handshake ok", up);
	}
}

/*
 * More is asked than an upstream can answer, which does one after the other:
 * clients wait for their turns.  What else happens may do so in the middle.
 */
static void
walk_flood(struct walker *k)
{
	uint32_t i, n = below(k, 10) + 2;

	if (chance(k, 70))
		step(k, "%c answer 1ms each %uus", up_name(below(k, k->nups)),
		    (unsigned)(200u << below(k, 6)));
	for (i = 0; i < n; i++) {
		step(k, "ask q%u.*%u from 10.0.0.1", (unsigned)k->nasked++,
		    (unsigned)below(k, 80) + 2);
		walk_ask(k);
		step(k, "wait %ums", (unsigned)below(k, 60));
	}
}

static void
walk_reload(struct walker *k)
{
	uint32_t i = below(k, k->nups), others = 0, o;

	for (o = 0; o < k->nups; o++)
		others += o != i && k->in_use[o];
	if (chance(k, 50))
		configure_globals(k);
	if (others > 0 && k->in_use[i] && chance(k, 50)) {
		step(k, "remove %c", up_name(i));
		k->in_use[i] = false;
	} else
		configure_upstream(k, i);
	step(k, "reload");
}

static void
walk_processes(struct walker *k)
{
	const char *who = chance(k, 70) ? "pool" : "listener";

	step(k, "kill %s", who);
	if (chance(k, 50))
		walk_ask(k);
	if (chance(k, 50))
		step(k, "wait %ums", (unsigned)below(k, 200));
	step(k, "start %s", who);
}

static void
walk_operator(struct walker *k)
{
	char up = up_name(below(k, k->nups));

	switch (below(k, 6)) {
	case 0:
		step(k, "disable %c", up);
		break;
	case 1:
	case 2:
		step(k, "enable %c", up);
		break;
	case 3:
		step(k, chance(k, 50) ? "flush" : "drain");
		if (chance(k, 50))
			step(k, "undrain");
		break;
	case 4:
		step(k, "suspend %us", (unsigned)below(k, 10));
		break;
	default:
		if (k->nconns > 0)
			step(k, "hangup c%u%s",
			    (unsigned)below(k, k->nconns) + 1,
			    chance(k, 50) ? " reset" : "");
	}
}

static void
walk_some(struct walker *k)
{
	uint32_t n = below(k, 100);

	if (n < 36)
		walk_ask(k);
	else if (n < 40)
		walk_flood(k);
	else if (n < 72)
		walk_wait(k);
	else if (n < 91)
		walk_upstream(k);
	else if (n < 94)
		walk_reload(k);
	else if (n < 96)
		walk_processes(k);
	else
		walk_operator(k);
}

/* --- the end of it --- */

/* All is well again: queries are answered, and then there is peace. */
static void
walk_home(struct walker *k)
{
	uint32_t i;

	for (i = 0; i < k->nups; i++) {
		step(k, "%c unmute", up_name(i));
		step(k, "%c answer 5ms", up_name(i));
		step(k, "%c connect 1ms ok", up_name(i));
		step(k, "%c handshake 1ms ok", up_name(i));
		step(k, "%c idle never", up_name(i));
		step(k, "%c keepalive none", up_name(i));
		step(k, "enable %c", up_name(i));
		step(k,
		    "upstream %c keep warm 1s, stale timeout 1s, "
		    "read timeout 1s",
		    up_name(i));
		k->in_use[i] = true;
	}
	step(k, "set query timeout 4s");
	step(k, "client max inflight 8192");
	step(k, "client rate limit 0");
	step(k, "undrain");
	step(k, "set retries 16");
	step(k, "reload");
	step(k, "quiet");
	/* A dial that is lost may be all that a small pool has. */
	step(k, "wait 5s");
	step(k, "ask last*5");
	step(k, "wait 4s");
	step(k, "expect last*5 answered");
	step(k, "wait 1m");
	for (i = 0; i < k->nups; i++)
		step(k, "expect %c open 0", up_name(i));
	step(k, "expect listener tcp_open 0");
}

/* Plays a walk; true if nothing was wrong. */
static bool
walk(struct walker *k, uint64_t seed, uint32_t lines, bool print)
{
	char left[256];
	uint32_t i;
	bool ok;

	memset(k, 0, sizeof(*k));
	k->w = world_new();
	k->w->check_each = true;
	k->random = seed * 2654435769u + 1;
	k->nups = below(k, UPS) + 1;
	step(k, "seed %llu", (unsigned long long)seed);
	if (chance(k, 60))
		step(k, "unruly");
	configure_globals(k);
	for (i = 0; i < k->nups; i++)
		configure_upstream(k, i);
	step(k, "start");
	for (i = 0; i < lines; i++)
		walk_some(k);
	walk_home(k);
	if (!k->w->failed)
		world_quiesce(k->w);
	ok = !k->w->failed;
	(void)printf("%sok %llu - seed %llu\n", ok ? "" : "not ",
	    (unsigned long long)seed, (unsigned long long)seed);
	if (!ok || print)
		(void)printf(
		    "# scenario walk %llu\n", (unsigned long long)seed);
	for (i = 0; (!ok || print) && i < k->ntrace; i++)
		(void)printf("# %s\n", k->trace[i]);
	if (!ok)
		(void)printf("#   at %.3f ms: %s\n%s",
		    (double)world_now(k->w) / 1e3, k->w->error, k->w->log);
	if (!world_free(k->w, left)) {
		(void)printf("# %s\n", left);
		ok = false;
	}
	return ok;
}

/* What never comes back is a failure, too. */
#define PATIENCE_S 900u

int
main(int argc, char *argv[])
{
	static struct walker k;
	uint32_t lines = LINES_DEFAULT, seeds = SEEDS_DEFAULT, n, failed = 0;
	uint64_t first = 1;
	bool print = false;
	int c;

	(void)alarm(PATIENCE_S);
	while ((c = getopt(argc, argv, "1l:n:s:")) != -1) {
		if (c == '1')
			print = true;
		else if (c == 'l')
			lines = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'n')
			seeds = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 's')
			first = strtoull(optarg, NULL, 10);
		else
			return 1;
	}
	for (n = 0; n < seeds; n++)
		failed += !walk(&k, first + n, lines, print && n == 0);
	(void)printf("1..%u\n", seeds);
	return failed > 0;
}
