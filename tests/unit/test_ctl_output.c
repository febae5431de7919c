/* SPDX-License-Identifier: ISC */
/*
 * The pages of dotproxyctl, compared as a whole for an ordinary answer; and
 * for the worst answer there can be: never wider than 80 columns, never a
 * byte that a terminal would act upon.
 */
/* LINK: common/msg%.c common/imsg.c common/log.c common/util.c */
/* LINK: dotproxyctl/data%.c dotproxyctl/output%.c dotproxyctl/text_%.c */
/* LINK: dotproxyctl/proc%.c dotproxyctl/security.c dotproxyctl/format.c */
/* LINK: dotproxyctl/json.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dotproxyctl/format.h"
#include "dotproxyctl/output.h"
#include "tests/unit/ctl_data.h"

/* clang-format off */
static const char summary_page[] =
"degraded: 1 of 3 upstreams down\n"
"  quad9: certificate has expired or is not yet valid\n"
"\n"
"up 1d3h, policy availability, 12 of 8192 queries in flight\n"
"\n"
"UPSTREAM            STATE           CONNS FLIGHT    P50    P99 ANSWERS FAILURES\n"
"cloudflare          up                3/8     12 11.7ms  240ms    1.2M        3\n"
"quad9               back-off 12s      0/2      0      -      -       0       25\n"
"spare               idle              0/2      0      -      -       0        0\n"
"\n"
"queries    1,200,446  1,200,345 UDP, 101 TCP, 102 in flight\n"
"answered   1,199,000  99.87%, 104 truncated\n"
"failed           538  105 no answer in time, 106 network error, 108 busy,\n"
"                      109 no pool process, 110 other\n"
"refused          336  111 client not allowed, 112 not supported, 113 rate limit\n"
"dropped          462  114 malformed, 115 answer not sent, 116 repeated,\n"
"                      117 rate limit\n"
"abandoned        118\n"
"\n"
"PROCESS         PID  UPTIME  RESTARTS  LAST CAUSE OF DEATH\n"
"parent         1000    1d3h         0  -\n"
"listener       1001    1d3h         0  -\n"
"pool           1002   1m01s         2  killed by signal 9 (Killed)\n";

static const char pool_page[] =
"policy availability, 12 of 8192 queries in flight, 0 parked\n"
"\n"
"cloudflare\n"
"  state        up; last failure: no answer in time\n"
"  address      1.1.1.1:853\n"
"  server name  cloudflare-dns.com\n"
"  connections  [##=+....]  2 busy, 1 idle, 1 connecting, pool of 8\n"
"  load         12 queries in flight, 0 waiting\n"
"  queries      1.2M sent, 1.2M answered, 5 sent again elsewhere\n"
"  latency      p50 11.7ms, p99 240ms, mean 12.1ms\n"
"  opened       45, 40 resumed (88.8%), 41 closed by the upstream while idle\n"
"  set-up       TCP p50 11.2ms, TLS p50 23.9ms\n"
"  kept warm    5m, idle limit 10s, 7 dialled ahead\n"
"  failures     1 connect, 2 timeout\n"
"\n"
"  STATE    AGE   IDLE FLIGHT SERVED  SESSION  TLS  CIPHER\n"
"  ready  5m12s   0.2s     12   812k  full     1.3  TLS_CHACHA20_POLY1305_SHA256\n"
"  ready  1h02m   9.9s      0   9123  resumed  1.2  ECDHE-ECDSA-AES128-GCM-SHA256\n"
"  drain  1h02m   9.9s      0   9123  resumed  1.2  ECDHE-ECDSA-AES128-GCM-SHA256\n"
"  tls     0.0s   0.0s      0      0\n"
"\n"
"quad9\n"
"  state        back-off, next try in 12s:\n"
"               certificate has expired or is not yet valid\n"
"  address      9.9.9.9:853\n"
"  server name  dns.quad9.net\n"
"  connections  [..]  0 busy, 0 idle, 0 connecting, pool of 2\n"
"  load         0 queries in flight, 0 waiting\n"
"  queries      0 sent, 0 answered, 0 sent again elsewhere\n"
"  latency      no answers yet\n"
"  opened       none yet\n"
"  failures     25 verify\n"
"\n"
"spare\n"
"  state        idle, not needed yet\n"
"  address      192.0.2.1:8853\n"
"  server name  -\n"
"  connections  [..]  0 busy, 0 idle, 0 connecting, pool of 2\n";
/* clang-format on */

/* The page of d is exactly this. */
static void
page_is(void (*print)(FILE *, const struct data *), const struct data *d,
    const char *want)
{
	char *got = printed(print, d);

	assert_string_equal(got, want);
	free(got);
}

/* The page of d has this in it. */
static void
page_has(void (*print)(FILE *, const struct data *), const struct data *d,
    const char *want)
{
	char *got = printed(print, d);

	if (strstr(got, want) == NULL)
		fail_msg("no %s in:\n%s", want, got);
	free(got);
}

static void
summary(void **state)
{
	struct data *d = ordinary_data();

	(void)state;
	page_is(text_summary, d, summary_page);
	data_free(d);
}

/* One screen, however bad it is, as long as there are few upstreams. */
static void
summary_fits_one_screen(void **state)
{
	struct data *d = ordinary_data();
	char *got, *p;
	size_t i, lines = 0;

	(void)state;
	for (i = 0; i < d->nupstreams; i++)
		d->upstreams[i].state = STATE_BACKOFF;
	got = printed(text_summary, d);
	for (p = got; *p != '\0'; p++)
		lines += *p == '\n';
	assert_in_range(lines, 1, 25);
	free(got);
	data_free(d);
}

static void
summary_without_pool(void **state)
{
	struct data *d = ordinary_data();

	(void)state;
	d->have_pool = d->have_pool_counters = false;
	d->nupstreams = d->nconns = 0;
	d->processes[ROLE_POOL].pid = 0;
	page_has(text_summary, d,
	    "down: the pool process is not running\n\nup 1d3h\n\nqueries ");
	page_has(text_summary, d,
	    "\npool              -       -         2  killed by signal 9 "
	    "(Killed)\n");
	data_free(d);
}

static void
summary_of_nothing(void **state)
{
	struct data *d = data_new();

	(void)state;
	assert_non_null(d);
	page_is(text_summary, d,
	    "down: the pool process does not answer\n\n"
	    "PROCESS         PID  UPTIME  RESTARTS  LAST CAUSE OF DEATH\n");
	page_is(text_pool, d, "");
	page_is(text_stats, d, "");
	page_is(text_config, d, "");
	data_free(d);
}

static void
pool(void **state)
{
	struct data *d = ordinary_data();

	(void)state;
	page_is(text_pool, d, pool_page);
	data_free(d);
}

/* What the bar shows of open, idle, connecting and pool size. */
static void
pool_gauges(void **state)
{
	const struct {
		uint32_t open, idle, connecting, size;
		const char *want;
	} t[] = { { 0, 0, 0, 4, " [....]  0 busy" },
		{ 4, 4, 0, 4, " [====]  0 busy" },
		{ 4, 0, 0, 4, " [####]  4 busy" },
		{ 2, 1, 1, 4, " [#=+.]  1 busy" },
		{ 0, 0, 9, 4, " [++++]  0 busy" },
		{ 9, 1, 9, 4, " [###=]  8 busy" },
		{ 1, 2, 0, 4, " [=...]  0 busy" },
		{ 0, 0, 0, 16, " [................]  0 busy" },
		{ 3, 1, 0, 17, "connections  2 busy" } };
	struct data *d = ordinary_data();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		d->upstreams[0].open = t[i].open;
		d->upstreams[0].idle = t[i].idle;
		d->upstreams[0].connecting = t[i].connecting;
		d->upstreams[0].pool_size = t[i].size;
		page_has(text_pool, d, t[i].want);
	}
	data_free(d);
}

static void
stats(void **state)
{
	struct data *d = ordinary_data();

	(void)state;
	page_has(text_stats, d,
	    "listener, up 1d3h\n"
	    "  queries_udp          1,200,345  queries received over UDP\n"
	    "  queries_tcp                101  queries received over TCP\n");
	page_has(text_stats, d,
	    "\n\npool, up 1m01s\n"
	    "  queries                0  queries received from the listener\n");
	page_has(text_stats, d,
	    "\n\nupstream cloudflare\n"
	    "  queries              1,234,567  queries given to a connection\n"
	    "  answers              1,234,550  answers received\n"
	    "  retries                      5  queries that went elsewhere "
	    "from here\n");
	page_has(text_stats, d,
	    "  timeout                      2  failures: no answer within the "
	    "read timeout\n");
	data_free(d);
}

/* Every counter there is stands on the page, with what it means. */
static void
stats_has_all(void **state)
{
	struct data *d = ordinary_data();

	(void)state;
#define COUNTER(name, text)                        \
	page_has(text_stats, d, "\n  " #name " "); \
	page_has(text_stats, d, "  " text "\n");
	LISTENER_COUNTERS(COUNTER)
	POOL_COUNTERS(COUNTER)
#undef COUNTER
	data_free(d);
}

/* clang-format off */
static const char processes_page[] =
"PROCESS         PID  UPTIME  RESTARTS  LAST CAUSE OF DEATH\n"
"listener          -       -         0  -\n"
"pool           1002   1m01s         2  killed by signal 9 (Killed)\n"
"\n"
"pool (pid 1002)\n"
"  executable   /usr/libexec/dotproxy/dotproxy-pool\n"
"  uid          real 970, effective 970, saved 0, file system 970\n"
"  gid          970\n"
"  groups       33, 970\n"
"  capabilities effective: none; bounding: net_bind_service\n"
"  system calls filtered (mode 2, filters: 2)\n"
"  privileges   no new ones\n"
"  root         /run/dotproxy/empty (empty)\n"
"  namespaces   own: ipc, uts, mnt; shared with the parent: net\n"
"  Landlock     no (offered: ABI 7)\n"
"  MDWE         yes (offered)\n"
"  not on offer root directory, Landlock\n"
"  limits       processes 0, core size unlimited, file size 0\n"
"  descriptors  4 tcp, 3 unix, 1 epoll, 2 pipe, 3 null, 1 file\n"
"  CPU time     1m23s\n"
"  memory       PSS 30.0 MB, RSS 2500 kB\n";

static const char unseen_page[] =
"PROCESS         PID  UPTIME  RESTARTS  LAST CAUSE OF DEATH\n"
"pool           1002   1m01s         2  killed by signal 9 (Killed)\n"
"\n"
"pool (pid 1002)\n"
"  executable   ?\n"
"  status       ?\n"
"  root         ?\n"
"  namespaces   ?\n"
"  Landlock     yes (offered: ABI 7)\n"
"  MDWE         yes (offered)\n"
"  limits       ?\n"
"  descriptors  ?\n"
"  CPU time     ?\n"
"  memory       PSS ?, RSS ?\n";
/* clang-format on */

static void
processes(void **state)
{
	struct data *d = ordinary_data();
	struct proc_facts *f = &d->facts[ROLE_POOL];

	(void)state;
	ordinary_look(d);
	d->have_process[ROLE_PARENT] = false;
	d->processes[ROLE_LISTENER].pid = 0;
	d->processes[ROLE_POOL].absent =
	    1u << LAYER_ROOT_DIR | 1u << LAYER_LANDLOCK;
	f->uid[2] = 0;
	f->ngroups = 2;
	f->groups[0] = 33;
	f->groups[1] = 970;
	f->caps[CAPS_BOUNDING] = 0x400;
	f->ns[NS_NET] = d->facts[ROLE_PARENT].ns[NS_NET];
	f->limits[LIMIT_CORE] = PROC_UNLIMITED;
	f->fds[FD_FILE].n = 1;
	page_is(text_process_details, d, processes_page);
	data_free(d);
}

/* What may not be read is not made up. */
static void
processes_unseen(void **state)
{
	struct data *d = ordinary_data();

	(void)state;
	ordinary_look(d);
	d->have_process[ROLE_PARENT] = d->have_process[ROLE_LISTENER] = false;
	memset(&d->facts[ROLE_POOL], 0, sizeof(d->facts[ROLE_POOL]));
	page_is(text_process_details, d, unseen_page);
	d->have_facts[ROLE_POOL] = false;
	page_has(text_process_details, d,
	    "\npool (pid 1002)\n"
	    "  ?            there is no such process to be seen\n");
	data_free(d);
}

static void
config(void **state)
{
	struct data *d = data_new();

	(void)state;
	assert_non_null(d);
	d->text = strdup("user \"a\"\n\tx \033[2J\n");
	d->text_len = strlen(d->text);
	page_is(text_config, d, "user \"a\"\n\tx \\033[2J\n");
	data_free(d);
}

/* At most 80 columns of printable ASCII. */
static void
assert_fits(const char *page)
{
	size_t column = 0;

	for (; *page != '\0'; page++) {
		if (*page == '\n') {
			column = 0;
			continue;
		}
		assert_in_range(*page, ' ', '~');
		assert_in_range(++column, 1, FORMAT_COLUMNS);
	}
	assert_int_equal(column, 0);
}

static void
latency_page(void **state)
{
	struct data *d = ordinary_data();

	(void)state;
	page_has(text_latency, d,
	    "  hedges       12 sent, 2 rescues, 8 won, 6 lost, 1 denied by the "
	    "budget\n"
	    "  handshakes   5 full, 40 resumed, 7 dialled ahead\n");
	page_has(text_latency, d,
	    "                    COUNT     P50     P90     P99     MAX\n"
	    "  latency             110  11.9ms  11.9ms  32.0ms  32.0ms\n"
	    "    last minute         3   2.0ms   2.0ms   2.0ms   2.0ms\n"
	    "  connect               3  10.8ms  10.8ms  10.8ms  11.0ms\n"
	    "  handshake             0       -       -       -       -\n"
	    "  open                  0       -       -       -       -\n");
	page_has(text_latency, d,
	    "\nclients\n\n"
	    "                    COUNT     P50     P90     P99     MAX\n"
	    "  UDP                   2   500us   696us   696us   700us\n"
	    "    last minute         1   500us   500us   500us   500us\n"
	    "  TCP                   0       -       -       -       -\n"
	    "    last minute         0       -       -       -       -\n"
	    "  UDP query, B          1      40      40      40      40\n");
	page_has(text_latency, d, "\n  16.3ms    90.0% #############");
	page_has(text_latency, d, "    100% ##############\n");
	page_has(text_latency, d, "\n  32.7ms     9.0% #");
	data_free(d);
}

static void
worst_fits_80_columns(void **state)
{
	void (*const pages[])(FILE *, const struct data *) = { text_summary,
		text_pool, text_stats, text_process_details, text_latency,
		text_pins, text_errors, text_clients };
	struct data *d = worst_data();
	char *page;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		page = printed(pages[i], d);
		assert_fits(page);
		free(page);
	}
	data_free(d);
}

/* The longest cipher and answer there are in practice stand uncut. */
static void
real_values_stand_uncut(void **state)
{
	struct data *d = ordinary_data();
	char *page;

	(void)state;
	page = printed(text_pool, d);
	assert_null(strstr(page, "..  "));
	assert_non_null(strstr(page, " ECDHE-ECDSA-AES128-GCM-SHA256\n"));
	assert_fits(page);
	free(page);
	data_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(summary),
		cmocka_unit_test(summary_fits_one_screen),
		cmocka_unit_test(summary_without_pool),
		cmocka_unit_test(summary_of_nothing),
		cmocka_unit_test(pool),
		cmocka_unit_test(pool_gauges),
		cmocka_unit_test(stats),
		cmocka_unit_test(stats_has_all),
		cmocka_unit_test(processes),
		cmocka_unit_test(processes_unseen),
		cmocka_unit_test(config),
		cmocka_unit_test(latency_page),
		cmocka_unit_test(worst_fits_80_columns),
		cmocka_unit_test(real_values_stand_uncut),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
