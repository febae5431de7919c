/* SPDX-License-Identifier: ISC */
/* LINK: common/imsg.c common/log.c common/msg.c */
/* LINK: common/util.c dotproxy/parent/status.c */
/* LIBS: -levent_core */
/*
 * What the service manager is shown: what pools say of upstreams, put together,
 * and what a pool that was taken over gets out of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "dotproxy/parent/parent.h"

static struct {
	struct parent parent;
	struct pair pairs[2];
	struct conf conf;
	struct conf next;
	unsigned int sent;
	char text[1024]; /* the last that was sent */
	char line[STATUS_MAX];
} rig;

void
notify_send(int fd, const char *fmt, ...)
{
	va_list ap;
	int n;

	assert_int_equal(fd, rig.parent.notify_fd);
	va_start(ap, fmt);
	n = vsnprintf(rig.text, sizeof(rig.text), fmt, ap);
	va_end(ap);
	assert_in_range(n, 1, sizeof(rig.text) - 1);
	rig.sent++;
}

void
sockets_store(struct parent *parent)
{
	assert_ptr_equal(parent, &rig.parent);
}

static void
name(struct conf *conf, uint32_t i, const char *text)
{
	(void)snprintf(conf->upstreams[i].name, sizeof(conf->upstreams[i].name),
	    "%s", text);
	if (conf->nupstreams <= i)
		conf->nupstreams = i + 1;
}

static int
start(void **state)
{
	uint32_t i;

	(void)state;
	memset(&rig, 0, sizeof(rig));
	rig.parent.base = event_base_new();
	assert_non_null(rig.parent.base);
	rig.parent.notify_fd = 7; /* nothing is written to it */
	rig.parent.up = true;
	rig.parent.active.conf = &rig.conf;
	rig.parent.npairs = 2;
	for (i = 0; i < 2; i++) {
		rig.parent.pairs[i] = &rig.pairs[i];
		rig.pairs[i].pool.parent = &rig.parent;
		rig.pairs[i].pool.pair = &rig.pairs[i];
		rig.pairs[i].pool.role = ROLE_POOL;
		rig.pairs[i].listener = rig.pairs[i].pool;
		rig.pairs[i].listener.role = ROLE_LISTENER;
	}
	name(&rig.conf, 0, "quad9");
	name(&rig.conf, 1, "cloudflare");
	name(&rig.conf, 2, "google");
	for (i = 0; i < 3; i++)
		rig.parent.active.upstream_ids[i] = 10 + i;
	rig.parent.next_upstream_id = 20;
	status_start(&rig.parent);
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	event_free(rig.parent.status);
	event_base_free(rig.parent.base);
	return 0;
}

/* A pool says what is in the payload, of an upstream. */
static int
say_raw(size_t pool, uint64_t id, const uint8_t payload[5])
{
	struct imsg m = { .type = MSG_TP_HEALTH,
		.id = id,
		.data = payload,
		.len = 5,
		.fd = -1 };

	return status_on_health(&rig.pairs[pool].pool, &m);
}

static void
up(size_t pool, uint64_t id)
{
	const uint8_t payload[5] = { 1 };

	assert_int_equal(say_raw(pool, id, payload), 0);
}

static void
down(size_t pool, uint64_t id, uint8_t phase, uint8_t cause, uint16_t err)
{
	const uint8_t payload[5] = { 0, phase, cause, (uint8_t)(err >> 8),
		(uint8_t)err };

	assert_int_equal(say_raw(pool, id, payload), 0);
}

static const char *
line(void)
{
	memset(rig.line, 'x', sizeof(rig.line));
	status_line(&rig.parent, rig.line);
	return rig.line;
}

static void
all_is_told(void **state)
{
	(void)state;
	assert_string_equal(line(), "0 of 3 upstreams up, 3 not known yet");
	up(0, 10);
	up(0, 11);
	assert_string_equal(line(), "2 of 3 upstreams up, 1 not known yet");
	up(0, 12);
	assert_string_equal(line(), "3 of 3 upstreams up");
	down(0, 10, PHASE_CONNECT, CAUSE_NETWORK, ETIMEDOUT);
	assert_string_equal(
	    line(), "2 of 3 upstreams up; quad9 down: connect: timed out");
	down(0, 12, PHASE_VERIFY, CAUSE_PIN, 0);
	assert_string_equal(line(),
	    "1 of 3 upstreams up; quad9 down: connect: timed out; "
	    "google down: no certificate matches a pin");
	down(0, 12, PHASE_CONNECT, CAUSE_NETWORK, ECONNREFUSED);
	up(0, 10);
	assert_string_equal(line(),
	    "2 of 3 upstreams up; google down: connect: Connection refused");
	down(0, 12, PHASE_HANDSHAKE, CAUSE_NETWORK, 0);
	assert_string_equal(line(),
	    "2 of 3 upstreams up; google down: handshake: network error");
	rig.parent.active.disabled[2] = true;
	assert_string_equal(line(), "2 of 3 upstreams up, 1 disabled");
	rig.conf.nupstreams = 1;
	assert_string_equal(line(), "1 of 1 upstream up");
}

/* Who asks another worker gets an answer, so it is not down. */
static void
up_for_one_worker_is_up(void **state)
{
	(void)state;
	rig.conf.nupstreams = 1;
	down(0, 10, PHASE_TIMEOUT, CAUSE_TIMEOUT, 0);
	assert_string_equal(
	    line(), "0 of 1 upstream up; quad9 down: no answer in time");
	up(1, 10);
	assert_string_equal(line(), "1 of 1 upstream up");
	up(0, 10);
	down(1, 10, PHASE_TIMEOUT, CAUSE_TIMEOUT, 0);
	assert_string_equal(line(), "1 of 1 upstream up");
	down(0, 10, PHASE_WRITE, CAUSE_NETWORK, EPIPE);
	assert_string_equal(
	    line(), "0 of 1 upstream up; quad9 down: write: Broken pipe");
	/* The listener's death is not the pool's. */
	status_on_death(&rig.pairs[0].listener);
	assert_non_null(strstr(line(), "Broken pipe"));
	status_on_death(&rig.pairs[0].pool);
	assert_string_equal(
	    line(), "0 of 1 upstream up; quad9 down: no answer in time");
	status_on_death(&rig.pairs[1].pool);
	assert_string_equal(line(), "0 of 1 upstream up, 1 not known yet");
}

/* All upstreams there can be, with the longest names, are down. */
static void
line_does_not_grow(void **state)
{
	uint32_t i, told = 0, more;
	const char *p;
	char text[CONF_NAME_MAX];

	(void)state;
	memset(text, 'n', sizeof(text));
	text[CONF_NAME_MAX - 1] = '\0';
	rig.parent.next_upstream_id = CONF_UPSTREAMS_MAX;
	rig.parent.trouble = "the last restart has failed";
	for (i = 0; i < CONF_UPSTREAMS_MAX; i++) {
		name(&rig.conf, i, text);
		rig.parent.active.upstream_ids[i] = i + 1;
		down(0, i + 1, PHASE_VERIFY, CAUSE_EXPIRED, 0);
	}
	assert_in_range(strlen(line()), 1, STATUS_MAX - 1);
	assert_non_null(strstr(rig.line, "; the last restart has failed; nnn"));
	for (p = rig.line; (p = strstr(p, " down: ")) != NULL; p++)
		told++;
	p = strrchr(rig.line, ';');
	assert_int_equal(sscanf(p, "; %u more down", &more), 1);
	assert_int_equal(told + more, CONF_UPSTREAMS_MAX);
	assert_in_range(told, 2, 4);
}

static void
nonsense_is_a_violation(void **state)
{
	static const uint8_t bad[][5] = { { 2 }, { 0, PHASE_COUNT },
		{ 0, 0, CAUSE_COUNT }, { 0, 0, CAUSE_NETWORK, 0x10, 0 },
		{ 0, 0, CAUSE_TLS, 0, 1 }, { 1, 0, CAUSE_TLS },
		{ 1, PHASE_READ }, { 255, 255, 255, 255, 255 } };
	const uint8_t good[5] = { 1 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(say_raw(0, 10, bad[i]), -1);
	assert_int_equal(say_raw(0, 0, good), -1);
	assert_int_equal(say_raw(0, 21, good), -1);
	assert_int_equal(say_raw(0, UINT64_MAX, good), -1);
	/* It may have gone with a reload: no violation, and no news. */
	assert_int_equal(say_raw(0, 9, good), 0);
	assert_int_equal(say_raw(0, 20, good), 0);
	assert_string_equal(line(), "0 of 3 upstreams up, 3 not known yet");
	assert_false(event_pending(rig.parent.status, EV_TIMEOUT, NULL));
}

/* However many pools say however much, it is one datagram a second. */
static void
flood_is_one_message(void **state)
{
	struct timeval at, later;
	unsigned int i;

	(void)state;
	up(0, 10);
	assert_true(event_pending(rig.parent.status, EV_TIMEOUT, &at));
	for (i = 0; i < 100000; i++) {
		down(i % 2, 10 + i % 3, PHASE_READ, CAUSE_PROTOCOL, 0);
		up(i % 2, 10 + i % 3);
	}
	assert_int_equal(rig.sent, 0);
	/* Nor is it put off by that. */
	assert_true(event_pending(rig.parent.status, EV_TIMEOUT, &later));
	assert_memory_equal(&at, &later, sizeof(at));
	status_due(-1, 0, &rig.parent);
	assert_int_equal(rig.sent, 1);
	assert_string_equal(rig.text, "STATUS=3 of 3 upstreams up");
}

static void
without_a_manager_there_is_no_timer(void **state)
{
	(void)state;
	rig.parent.notify_fd = -1;
	up(0, 10);
	assert_false(event_pending(rig.parent.status, EV_TIMEOUT, NULL));
}

/* "reloading" and the like stay until that is over. */
static void
nothing_is_said_meanwhile(void **state)
{
	bool *flags[] = { &rig.parent.finishing, &rig.parent.stopping };
	size_t i;

	(void)state;
	rig.parent.reload = RELOAD_POOL;
	status_due(-1, 0, &rig.parent);
	rig.parent.reload = RELOAD_NONE;
	rig.parent.up = false;
	status_due(-1, 0, &rig.parent);
	status_ready(&rig.parent, NULL);
	rig.parent.up = true;
	/* A reload that ends after the STOPPING is no READY. */
	for (i = 0; i < 2; i++) {
		*flags[i] = true;
		status_due(-1, 0, &rig.parent);
		status_ready(&rig.parent, NULL);
		*flags[i] = false;
	}
	assert_int_equal(rig.sent, 0);
	status_ready(&rig.parent, NULL);
	assert_int_equal(rig.sent, 1);
}

static void
trouble_stays_until_it_is_over(void **state)
{
	(void)state;
	rig.conf.nupstreams = 1;
	up(0, 10);
	status_ready(&rig.parent, "the last reload has failed");
	assert_string_equal(rig.text,
	    "READY=1\nSTATUS=1 of 1 upstream up; the last reload has failed");
	down(0, 10, PHASE_CONNECT, CAUSE_NETWORK, ENETUNREACH);
	status_due(-1, 0, &rig.parent);
	assert_string_equal(rig.text,
	    "STATUS=0 of 1 upstream up; the last reload has failed; "
	    "quad9 down: connect: Network is unreachable");
	up(0, 10);
	status_ready(&rig.parent, NULL);
	assert_string_equal(rig.text, "READY=1\nSTATUS=1 of 1 upstream up");
}

/* By their identity, not by their place. */
static void
reload_keeps_what_is_known(void **state)
{
	struct parent_conf next = { .conf = &rig.next };

	(void)state;
	up(0, 10);
	down(0, 12, PHASE_CONNECT, CAUSE_NETWORK, ETIMEDOUT);
	name(&rig.next, 0, "google");
	name(&rig.next, 1, "new");
	name(&rig.next, 2, "quad9");
	next.upstream_ids[0] = 12;
	next.upstream_ids[1] = 13;
	next.upstream_ids[2] = 10;
	status_inherit(&rig.parent, &next);
	rig.parent.active = next;
	assert_string_equal(line(), "1 of 3 upstreams up, 1 not known yet; "
				    "google down: connect: timed out");
	up(0, 13);
	up(0, 12);
	assert_string_equal(line(), "3 of 3 upstreams up");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_is_told),
		TEST(up_for_one_worker_is_up),
		TEST(line_does_not_grow),
		TEST(nonsense_is_a_violation),
		TEST(flood_is_one_message),
		TEST(without_a_manager_there_is_no_timer),
		TEST(nothing_is_said_meanwhile),
		TEST(trouble_stays_until_it_is_over),
		TEST(reload_keeps_what_is_known),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
