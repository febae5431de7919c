/* SPDX-License-Identifier: ISC */
/* A control client of the listener, for the tests of the control socket. */
#ifndef TESTS_LISTENER_CTL_H
#define TESTS_LISTENER_CTL_H

#include "tests/unit/listener_rig.h"

/* What a control client has been told. */
static struct {
	struct imsg_chan chan;
	size_t n; /* messages but the last */
	uint16_t types[64];
	uint64_t ids[64];
	struct info_counters counters;
	size_t nlistener; /* INFO_LISTENER, which n does not count */
	uint8_t draining;
	bool ended;
	uint64_t end_id;
	struct msg_result end;
} ctl;

static int control_listen_fd = -1; /* our copy, to connect to */
static struct sockaddr_storage control_addr;

static inline int
on_info(void *arg, struct imsg *m)
{
	(void)arg;
	assert_true(ctl.n < 64);
	ctl.types[ctl.n] = m->type;
	ctl.ids[ctl.n++] = m->id;
	if (m->type == MSG_INFO_COUNTERS)
		assert_int_equal(msg_read_info_counters(m, &ctl.counters), 0);
	return 0;
}

static inline int
on_listener(void *arg, struct imsg *m)
{
	(void)arg;
	ctl.nlistener++;
	return msg_read_u8(m, &ctl.draining, 2);
}

static inline int
on_end(void *arg, struct imsg *m)
{
	(void)arg;
	assert_false(ctl.ended);
	ctl.ended = true;
	ctl.end_id = m->id;
	assert_int_equal(msg_read_result(m, &ctl.end), 0);
	return 0;
}

#define INFO_RULE                                                    \
	{                                                            \
		.handler = on_info, .max = MSG_INFO_MAX, .phases = 1 \
	}

static const struct imsg_rule rules[IMSG_TYPES_MAX] = {
	[MSG_INFO_COUNTERS] = INFO_RULE,
	[MSG_INFO_POOL] = INFO_RULE,
	[MSG_INFO_HIST] = INFO_RULE,
	[MSG_INFO_PIN] = INFO_RULE,
	[MSG_INFO_ERROR] = INFO_RULE,
	[MSG_INFO_CLIENT] = INFO_RULE,
	[MSG_INFO_UPSTREAM] = INFO_RULE,
	[MSG_INFO_CONN] = INFO_RULE,
	[MSG_INFO_PROCESS] = INFO_RULE,
	[MSG_INFO_LISTENER] = { .handler = on_listener,
	    .min = 1,
	    .max = 1,
	    .phases = 1 },
	[MSG_INFO_TEXT] = INFO_RULE,
	[MSG_INFO_END] = { .handler = on_end,
	    .max = MSG_INFO_MAX,
	    .phases = 1 },
};

/* A control client, not yet accepted. */
static inline int
control_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&control_addr,
			     sockaddr_len(&control_addr)),
	    0);
	assert_int_not_equal(fcntl(fd, F_SETFL, O_NONBLOCK), -1);
	return fd;
}

static inline void
ctl_open(void)
{
	const struct imsg_chan_opts opts = {
		.rules = rules,
		.in_cap = MSG_CONTROL_BUF,
		.out_cap = 4096,
		.phase = 1,
	};

	memset(&ctl, 0, sizeof(ctl));
	assert_int_equal(imsg_open(&ctl.chan, control_connect(), &opts), 0);
}

static inline void
ctl_turn(void)
{
	(void)imsg_flush(&ctl.chan);
	rig_turn();
	(void)imsg_read(&ctl.chan);
}

#define ctl_until(cond)                                       \
	do {                                                  \
		uint64_t ctl_end = util_now_ms() + 20000;     \
                                                              \
		while (!(cond)) {                             \
			ctl_turn();                           \
			rig_sleep_ms(0);                      \
			assert_true(util_now_ms() < ctl_end); \
		}                                             \
	} while (0)

static inline void
ctl_show(uint8_t what, uint64_t id)
{
	ctl.ended = false;
	ctl.n = 0;
	assert_true(msg_send_u8(&ctl.chan, MSG_CL_SHOW, id, what));
	ctl_turn();
	ctl_turn();
}

static inline int
start(void **state)
{
	rig_start(state);
	/* Any stream socket will do for the listener. */
	control_listen_fd =
	    rig_socket(SOCK_STREAM, "127.0.0.1", 0, &control_addr);
	rig_conf_begin();
	rig_send_allow("127.0.0.0", 8);
	rig_send_listen(RIG_UDP_ID, false, &rig.udp_addr, -1);
	rig_send_listen(RIG_TCP_ID, true, &rig.tcp_addr, -1);
	assert_true(imsg_send_empty(
	    &rig.parent, MSG_PL_CONTROL, 0, dup(control_listen_fd)));
	rig_conf_end();
	ctl_open();
	return 0;
}

static inline int
stop(void **state)
{
	imsg_close(&ctl.chan);
	close(control_listen_fd);
	return rig_stop(state);
}

static inline void
says_end(struct imsg_chan *who, uint64_t id, bool ok, const char *text)
{
	assert_true(msg_send_result(who, MSG_INFO_END, id, ok, text));
}

#define CTL_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

#endif
