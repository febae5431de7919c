/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core */
/* Metrics of the real listener, with a pool that may say anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dotproxy/listener/statsd_emit.h"
#include "tests/unit/listener_rig.h"

static const struct msg_statsd conf = {
	.conf = { .enabled = true,
	    .sample_ppm = CONF_SAMPLE_PPM_MAX,
	    .flavour = FLAVOUR_STATSD,
	    .flush_ms = CONF_FLUSH_MIN_MS,
	    .payload = 1432 },
};

static int server = -1; /* where metrics go */
static char got[1 << 20];
static size_t ngot, longest, ndatagrams;

/* Metrics go to a server of our own from here on. */
static void
begin(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX,
			     SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
	    0);
	server = fds[1];
	ngot = longest = ndatagrams = 0;
	statsd_open(rig.l, &conf, fds[0]);
}

static void
finish(void)
{
	statsd_open(rig.l, &conf, -1);
	close(server);
}

static void
take(void)
{
	ssize_t n;

	while ((n = recv(server, got + ngot, sizeof(got) - 1 - ngot, 0)) > 0) {
		ngot += (size_t)n;
		longest = (size_t)n > longest ? (size_t)n : longest;
		ndatagrams++;
	}
	got[ngot] = '\0';
}

static bool
says(const char *line)
{
	take();
	return strstr(got, line) != NULL;
}

/* The pool is asked, and answers with what it has. */
static void
answer(const struct info_counters *c, const struct info_upstream *u,
    const struct hist *h)
{
	size_t asked = rig.nasked_pool;
	const struct info_pool p = { .nupstreams = 1 };

	rig_until(rig.nasked_pool > asked);
	assert_true(rig.asked_pool_id == STATSD_HANDLE);
	assert_int_equal(rig.asked_pool, SHOW_LATENCY);
	assert_true(msg_send_info_counters(&rig.pool, STATSD_HANDLE, c));
	assert_true(msg_send_info_pool(&rig.pool, STATSD_HANDLE, &p));
	assert_true(msg_send_info_upstream(&rig.pool, STATSD_HANDLE, u));
	assert_true(msg_send_info_hist(
	    &rig.pool, STATSD_HANDLE, u->index, INFO_HIST_LATENCY, false, h));
	assert_true(msg_send_result(
	    &rig.pool, MSG_INFO_END, STATSD_HANDLE, true, NULL));
	rig_settle();
	take();
}

static struct info_counters counters = { .source = SOURCE_POOL,
	.n = TSTAT_COUNT };
static struct info_upstream up = { .name = "up" };
static struct hist hist;

static void
prepare(void)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)&up.addr;

	sin->sin_family = AF_INET;
	sin->sin_addr.s_addr = htonl(0xc0000201);
	memset(counters.values, 0, sizeof(counters.values));
	memset(&hist, 0, sizeof(hist));
	up.index = 0;
	up.answers = 0;
	counters.uptime_ms = 1;
}

static void
test_differences_are_sent(void **state)
{
	(void)state;
	prepare();
	begin();
	counters.values[TSTAT_answered] = up.answers = 5;
	hist_add(&hist, 1500);
	answer(&counters, &up, &hist);
	assert_true(says("dotproxy.event.pool.answered:5|c\n"));
	assert_true(
	    says("dotproxy.event.upstream.cx_read.192_0_2_1.tcp:5|c\n"));
	assert_true(
	    says("dotproxy.latency.proxy.tx_upstream.192_0_2_1:1.488|ms"));
	ngot = 0;
	counters.uptime_ms += 100000;
	counters.values[TSTAT_answered] = up.answers = 7;
	up.index = 3; /* after a reload; it is the same */
	answer(&counters, &up, &hist);
	assert_true(says("dotproxy.event.pool.answered:2|c\n"));
	assert_true(
	    says("dotproxy.event.upstream.cx_read.192_0_2_1.tcp:2|c\n"));
	assert_false(says("tx_upstream"));
	finish();
}

/* A query over each transport, with its answer. */
static void
ask_over_both(int udp, int tcp, uint16_t id)
{
	static uint8_t buf[DNS_MSG_MAX];
	static struct pkt p;
	size_t n;

	rig_answer(rig_ask(udp, id, "www.example", 0), 0);
	assert_true(rig_recv(udp, buf, sizeof(buf)) > 0);
	n = rig.nqueries;
	rig_make_query(&p, id, "www.example", 0);
	rig_send_tcp(tcp, &p);
	rig_until(rig.nqueries == n + 1);
	rig_answer(&rig.queries[n], 0);
	assert_true(rig_recv_tcp(tcp, buf) > 0);
}

/* A network's share is its own line, and not in the sum of the others. */
static void
test_networks_of_clients_if_wanted(void **state)
{
	static const char *const lines[] = { "cx_read.%sudp:1|c\n",
		"cx_write.%sudp:1|c\n", "cx_read.%stcp:1|c\n",
		"cx_write.%stcp:1|c\n" };
	struct msg_statsd tagged = conf;
	struct info_counters none = counters;
	int udp = rig_udp_client(&rig.udp_addr), tcp = rig_tcp_client();
	char line[64];
	size_t i;

	(void)state;
	prepare();
	rig.l->busiest = busiest_new();
	begin();
	tagged.conf.client_tags = true;
	statsd_open(rig.l, &tagged, dup(rig.l->statsd->fd));
	ask_over_both(udp, tcp, 1);
	answer(&none, &up, &hist);
	for (i = 0; i < 4; i++) {
		(void)snprintf(line, sizeof(line), lines[i], "127_0_0_0_24.");
		assert_true(says(line));
	}
	assert_false(says("cx_read.udp") || says("cx_write.udp"));
	assert_false(says("cx_read.tcp") || says("cx_write.tcp"));
	ngot = 0;
	tagged.conf.client_tags = false;
	statsd_open(rig.l, &tagged, dup(rig.l->statsd->fd));
	ask_over_both(udp, tcp, 2);
	answer(&none, &up, &hist);
	for (i = 0; i < 4; i++) {
		(void)snprintf(line, sizeof(line), lines[i], "");
		assert_true(says(line));
	}
	assert_false(says("127_0_0"));
	finish();
	close(udp);
	close(tcp);
}

/* A pool that was there before is not counted, one that comes after is. */
static void
test_old_and_new_pools(void **state)
{
	(void)state;
	prepare();
	begin();
	counters.uptime_ms = 1000000;
	counters.values[TSTAT_answered] = up.answers = 500;
	hist_add(&hist, 1500);
	answer(&counters, &up, &hist);
	assert_false(says("pool.answered"));
	assert_false(says("tx_upstream"));
	counters.uptime_ms += 1000;
	counters.values[TSTAT_answered] = up.answers = 501;
	answer(&counters, &up, &hist);
	assert_true(says("dotproxy.event.pool.answered:1|c\n"));
	/* Started again since: it has more than the other had. */
	ngot = 0;
	counters.uptime_ms = 10;
	counters.values[TSTAT_answered] = up.answers = 600;
	answer(&counters, &up, &hist);
	assert_true(says("dotproxy.event.pool.answered:600|c\n"));
	assert_true(says("tx_upstream"));
	finish();
}

/* Unasked it says nothing; asked, no more than a flush has room for. */
static void
test_pool_cannot_flood(void **state)
{
	size_t i, round, n, asked = rig.nasked_pool;
	char *p;

	(void)state;
	prepare();
	begin();
	assert_true(
	    msg_send_info_counters(&rig.pool, STATSD_HANDLE, &counters));
	up.answers = 1;
	assert_true(msg_send_info_upstream(&rig.pool, STATSD_HANDLE, &up));
	rig_settle();
	take();
	assert_int_equal(ngot, 0);
	rig_until(rig.nasked_pool > asked);
	for (round = 0; round < 100; round++) {
		for (i = 0; i < 100; i++) {
			up.answers++;
			up.queries++;
			assert_true(msg_send_info_upstream(
			    &rig.pool, STATSD_HANDLE, &up));
		}
		rig_settle();
		take();
	}
	for (n = 0, p = got; (p = strchr(p, '\n')) != NULL; p++)
		n++;
	assert_true(n <= 8192);
	assert_true(n > 6000);
	assert_true(longest <= 1432);
	assert_true(imsg_is_open(&rig.l->link));
	finish();
}

/* Neither does what is not there end anything. */
static void
test_nobody_there(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	uint8_t buf[512];
	struct rig_query q;

	(void)state;
	prepare();
	begin();
	close(server);
	server = open("/dev/null", O_RDONLY | O_CLOEXEC);
	rig_until(rig_count(LSTAT_statsd_failed) > 0);
	q = *rig_ask(fd, 1, "www.example", 0);
	rig_answer(&q, 0);
	assert_int_equal(rig_recv(fd, buf, sizeof(buf)), q.len);
	finish();
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_differences_are_sent),
		RIG_TEST(test_networks_of_clients_if_wanted),
		RIG_TEST(test_old_and_new_pools),
		RIG_TEST(test_pool_cannot_flood),
		RIG_TEST(test_nobody_there),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
