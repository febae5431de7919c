/* SPDX-License-Identifier: ISC */
/* LINK: common/imsg.c common/log.c common/msg.c common/msg_info.c */
/* LINK: common/util.c dotproxy/parent/broker.c */
/* LIBS: -levent_core */
/*
 * What the parent accepts from its children: every type there could be, in
 * each phase, with each length around the limits, with and without a
 * descriptor.  The handlers are others; the tables are the parent's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dotproxy/parent/conf_print.h"
#include "dotproxy/parent/parent.h"

#define BOTH (BROKER_STARTING | BROKER_READY)
#define LENGTH_MAX 8192

/* What may be said, once more, by hand. */
static const struct expected {
	uint16_t type;
	uint32_t phases;
	uint32_t min;
	uint32_t max;
	bool listener;
	bool pool;
} expected[] = {
	{ MSG_XP_READY, BROKER_STARTING, 4, 4, true, true },
	{ MSG_XP_LOG, BOTH, 0, 3 + LOG_LINE_MAX, true, true },
	{ MSG_XP_CONF_DONE, BROKER_READY, 0, 3 + MSG_TEXT_MAX, true, true },
	{ MSG_XP_LINK_DOWN, BROKER_READY, 0, 0, true, true },
	{ MSG_XP_PONG, BROKER_READY, 0, 0, true, true },
	{ MSG_LP_RELOAD, BROKER_READY, 0, 0, true, false },
	{ MSG_LP_LOG_LEVEL, BROKER_READY, 1, 1, true, false },
	{ MSG_LP_PROCESSES, BROKER_READY, 0, 0, true, false },
	{ MSG_LP_CONFIG, BROKER_READY, 0, 0, true, false },
	{ MSG_LP_CHANGE, BROKER_READY, 5, 5, true, false },
	{ MSG_TP_CONNECT, BROKER_READY, 4, 4, false, true },
	{ MSG_TP_CONNECT_PLAIN, BROKER_READY, 4, 4, false, true },
	{ MSG_TP_HEALTH, BROKER_READY, 5, 5, false, true },
};

/* What broker.c calls; none of it is reached. */
int
connect_on_request(void *arg, struct imsg *m)
{
	(void)arg;
	(void)m;
	return 0;
}

int
change_on_request(void *arg, struct imsg *m)
{
	(void)arg;
	(void)m;
	return 0;
}

/* So many are let through. */
bool
change_is_flooded(struct pair *p)
{
	return p->changes++ >= 3;
}

int
status_on_health(void *arg, struct imsg *m)
{
	(void)arg;
	(void)m;
	return 0;
}

int
pulse_on_pong(void *arg, struct imsg *m)
{
	(void)arg;
	(void)m;
	return 0;
}

void
pulse_begin(struct child *c)
{
	(void)c;
}

void
reload_send(struct child *c, const struct parent_conf *pc)
{
	(void)c;
	(void)pc;
}

void
reload_start(struct parent *parent, struct child *asker, uint64_t handle)
{
	(void)parent;
	(void)handle;
	*(unsigned int *)asker->chan.arg += 1;
}

void
reload_on_done(struct child *c, uint64_t generation, bool ok, const char *text)
{
	(void)c;
	(void)generation;
	(void)ok;
	(void)text;
}

void
proc_link(struct pair *p)
{
	(void)p;
}

static unsigned int nprinted;

int
conf_print(const struct conf *conf, FILE *f)
{
	(void)conf;
	nprinted++;
	return fprintf(f, "%01000d", 0) == 1000 ? 0 : -1;
}

static int
on_accepted(void *arg, struct imsg *m)
{
	(void)m;
	*(bool *)arg = true;
	return 0;
}

static void
on_down(void *arg, enum imsg_status status, const char *why)
{
	(void)arg;
	(void)why;
	assert_int_equal(status, IMSG_VIOLATION);
}

/* Sends one message, with a descriptor or without, and sees what comes of it.
 */
static bool
is_accepted(const struct imsg_rule *rules, uint32_t phase, uint16_t type,
    uint32_t len, bool with_fd)
{
	static uint8_t buf[IMSG_HDR_LEN + LENGTH_MAX];
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { .hdr = { .cmsg_len = CMSG_LEN(sizeof(int)),
			  .cmsg_level = SOL_SOCKET,
			  .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { buf, IMSG_HDR_LEN + len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct imsg_chan_opts opts = { .rules = rules,
		.in_cap = MSG_PARENT_BUF,
		.out_cap = MSG_PARENT_BUF,
		.phase = phase,
		.fdpass = true,
		.on_down = on_down };
	struct imsg_chan ch;
	bool accepted = false;
	enum imsg_status status;
	int fds[2];

	opts.arg = &accepted;
	assert_int_equal(imsg_socketpair(fds), 0);
	assert_int_equal(imsg_open(&ch, fds[0], &opts), 0);
	wire_store_u16(buf, type);
	wire_store_u16(buf + 2, with_fd ? IMSG_FLAG_FD : 0);
	wire_store_u32(buf + 4, len);
	if (with_fd) {
		memcpy(CMSG_DATA(&control.hdr), &fds[1], sizeof(int));
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
	}
	assert_int_equal(sendmsg(fds[1], &msg, 0), iov.iov_len);
	status = imsg_read(&ch);
	assert_int_equal(status, accepted ? IMSG_OK : IMSG_VIOLATION);
	imsg_close(&ch);
	close(fds[1]);
	return accepted;
}

static bool
is_expected(bool pool, uint32_t phase, uint16_t type, uint32_t len)
{
	const struct expected *e;
	size_t i;

	for (i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		e = &expected[i];
		if (e->type == type && (pool ? e->pool : e->listener))
			return (e->phases & phase) != 0 && len >= e->min &&
			       len <= e->max;
	}
	return false;
}

static void
check_all(bool pool, uint32_t phase)
{
	static const uint32_t lengths[] = { 0, 1, 2, 3, 4, 5, 6, 8,
		3 + LOG_LINE_MAX, 4 + LOG_LINE_MAX, 3 + MSG_TEXT_MAX,
		4 + MSG_TEXT_MAX, LENGTH_MAX };
	struct imsg_rule rules[IMSG_TYPES_MAX];
	uint16_t type;
	size_t i;

	memcpy(rules, pool ? broker_pool_rules : broker_listener_rules,
	    sizeof(rules));
	for (type = 0; type < IMSG_TYPES_MAX; type++)
		if (rules[type].handler != NULL)
			rules[type].handler = on_accepted;
	for (type = 0; type < IMSG_TYPES_MAX + 2; type++) {
		for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			assert_int_equal(
			    is_accepted(rules, phase, type, lengths[i], false),
			    is_expected(pool, phase, type, lengths[i]));
			assert_false(
			    is_accepted(rules, phase, type, lengths[i], true));
		}
	}
}

static void
listener_may_say_this_and_no_more(void **state)
{
	(void)state;
	check_all(false, BROKER_STARTING);
	check_all(false, BROKER_READY);
}

static void
pool_may_say_this_and_no_more(void **state)
{
	(void)state;
	check_all(true, BROKER_STARTING);
	check_all(true, BROKER_READY);
}

/* The letters of a type say who sends it, and to whom. */
static void
only_what_is_for_the_parent_is_accepted(void **state)
{
	const struct imsg_rule *rules;
	uint16_t type;
	int pool;

	(void)state;
	for (pool = 0; pool < 2; pool++) {
		rules = pool ? broker_pool_rules : broker_listener_rules;
		for (type = 0; type < MSG_TYPE_COUNT; type++) {
			if (rules[type].handler == NULL)
				continue;
			assert_int_equal(msg_type_name(type)[1], 'P');
			assert_non_null(
			    strchr(pool ? "XT" : "XL", msg_type_name(type)[0]));
		}
	}
}

/* A dead child's rest may hold whatever it could say; only the log counts. */
static void
last_words_may_be_anything_that_was_allowed(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		const struct imsg_rule *r =
		    &broker_last_words_rules[expected[i].type];

		assert_non_null(r->handler);
		assert_int_equal(r->phases, BOTH);
		assert_true(r->min <= expected[i].min);
		assert_true(r->max >= expected[i].max);
	}
}

/* Asks for reloads until the parent has had enough; returns how many it did. */
static unsigned int
reload_often(struct pair *p, unsigned int times)
{
	struct imsg m = { .type = MSG_LP_RELOAD };
	unsigned int done = 0;

	p->listener.chan.arg = &done;
	while (times-- > 0)
		assert_int_equal(broker_listener_rules[MSG_LP_RELOAD].handler(
				     &p->listener, &m),
		    0);
	return done;
}

/* What one listener asks for is not on the others' account. */
static void
reloads_of_one_worker_leave_those_of_another(void **state)
{
	struct parent parent = { .npairs = 2 };
	struct pair pairs[2];
	size_t i;

	(void)state;
	memset(pairs, 0, sizeof(pairs));
	for (i = 0; i < 2; i++) {
		pairs[i].listener.parent = &parent;
		pairs[i].listener.pair = &pairs[i];
		pairs[i].listener.chan.fd = -1;
	}
	assert_int_equal(reload_often(&pairs[1], 1000), 20);
	assert_int_equal(reload_often(&pairs[0], 1), 1);
}

/* Asks again and again; returns how often something came of it. */
static unsigned int
show_often(uint16_t question, uint16_t answer)
{
	static uint8_t out[100 * 1000];
	struct imsg m = { .type = question };
	struct parent parent = { .npairs = 0 };
	unsigned int i, n = 0;
	struct child c;
	size_t at;

	memset(&c, 0, sizeof(c));
	c.parent = &parent;
	c.chan.out = out;
	c.chan.out_cap = sizeof(out);
	for (i = 0; i < 10000; i++)
		assert_int_equal(
		    broker_listener_rules[question].handler(&c, &m), 0);
	for (at = 0; at < c.chan.out_len;
	     at += IMSG_HDR_LEN + wire_load_u32(out + at + 4))
		n += wire_load_u16(out + at) == answer;
	return n;
}

/* One read of the channel brings thousands: the others must not wait. */
static void
what_is_shown_is_made_as_far_as_there_is_room(void **state)
{
	(void)state;
	assert_in_range(show_often(MSG_LP_CONFIG, MSG_INFO_TEXT), 40, 50);
	assert_in_range(nprinted, 40, 50);
	assert_in_range(
	    show_often(MSG_LP_PROCESSES, MSG_INFO_PROCESS), 200, 900);
}

struct noted {
	unsigned int lines;
	enum log_level level;
	char line[64];
};

static void
note_line(enum log_level level, const char *line, void *arg)
{
	struct noted *n = arg;

	n->lines++;
	n->level = level;
	(void)snprintf(n->line, sizeof(n->line), "%s", line);
}

/* Else who owns a listener could do what is logged unseen. */
static void
log_is_not_silenced_unseen(void **state)
{
	uint8_t level = LOG_LEVEL_FATAL;
	struct imsg m = { .type = MSG_LP_LOG_LEVEL, .data = &level, .len = 1 };
	struct parent parent = { .npairs = 0 };
	struct noted noted = { 0 };
	struct pair pair;
	imsg_handler set = broker_listener_rules[MSG_LP_LOG_LEVEL].handler;

	(void)state;
	memset(&pair, 0, sizeof(pair));
	pair.listener.parent = &parent;
	pair.listener.pair = &pair;
	pair.listener.chan.fd = -1;
	pair.listener.log_lines = UINT32_MAX; /* it has said too much before */
	pair.listener.log_window_ms = UINT64_MAX;
	log_init_sink(note_line, &noted);
	log_set_level(LOG_LEVEL_WARN);
	assert_int_equal(set(&pair.listener, &m), 0);
	assert_int_equal(log_get_level(), LOG_LEVEL_FATAL);
	assert_int_equal(noted.lines, 1);
	assert_int_equal(noted.level, LOG_LEVEL_WARN);
	assert_string_equal(noted.line, "log level is error");
	level = LOG_LEVEL_INFO;
	assert_int_equal(set(&pair.listener, &m), 0);
	assert_int_equal(noted.lines, 2);
	assert_string_equal(noted.line, "log level is info");
	level = LOG_LEVEL_WARN;
	assert_int_equal(set(&pair.listener, &m), 0);
	assert_int_equal(noted.lines, 3);
	/* Nor again and again. */
	level = LOG_LEVEL_FATAL;
	assert_int_equal(set(&pair.listener, &m), 0);
	assert_int_equal(noted.lines, 3);
	assert_int_equal(log_get_level(), LOG_LEVEL_WARN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listener_may_say_this_and_no_more),
		cmocka_unit_test(pool_may_say_this_and_no_more),
		cmocka_unit_test(only_what_is_for_the_parent_is_accepted),
		cmocka_unit_test(reloads_of_one_worker_leave_those_of_another),
		cmocka_unit_test(what_is_shown_is_made_as_far_as_there_is_room),
		cmocka_unit_test(log_is_not_silenced_unseen),
		cmocka_unit_test(last_words_may_be_anything_that_was_allowed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
