/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core */
/* The configuration run: all of it at its end, or the end of the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/wait.h>

#include "tests/unit/listener_rig.h"

static uint8_t buf[DNS_MSG_MAX];

static int
begin(uint64_t id)
{
	return imsg_send_empty(&rig.parent, MSG_PX_CONF_BEGIN, id, -1);
}

static int
end(uint64_t id)
{
	return imsg_send_empty(&rig.parent, MSG_PX_CONF_END, id, -1);
}

static int
client(void)
{
	return msg_send_client(&rig.parent, &rig.client);
}

static int
allow(uint32_t n)
{
	struct msg_allow a = { .n = n };
	uint32_t i;

	for (i = 0; i < n; i++)
		a.prefixes[i].family = AF_INET;
	return msg_send_allow(&rig.parent, &a);
}

static int
listen_known(uint32_t id, bool tcp)
{
	struct msg_listen ml = { .id = id, .tcp = tcp, .addr = rig.udp_addr };

	return msg_send_listen(&rig.parent, &ml, -1);
}

static int
listen_new(uint32_t id)
{
	struct msg_listen ml = { .id = id, .addr = rig.udp_addr };

	return msg_send_listen(
	    &rig.parent, &ml, open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static int
control(void)
{
	return imsg_send_empty(&rig.parent, MSG_PL_CONTROL, 0,
	    open("/dev/null", O_RDONLY | O_CLOEXEC));
}

/* What no sane parent sends.  Each has to end the process. */
static void
insane(int which)
{
	unsigned int i;

	switch (which) {
	case 0: /* an item outside of a run */
		client();
		break;
	case 1: /* the end of nothing */
		end(9);
		break;
	case 2: /* two beginnings */
		begin(9);
		begin(10);
		break;
	case 3: /* the end of another run */
		begin(9);
		client();
		end(8);
		break;
	case 4: /* nothing about clients */
		begin(9);
		end(9);
		break;
	case 5:
		begin(9);
		client();
		client();
		break;
	case 6: /* a socket we do not have */
		begin(9);
		listen_known(99, false);
		break;
	case 7: /* one we have, of the other kind */
		begin(9);
		listen_known(RIG_UDP_ID, true);
		break;
	case 8:
		begin(9);
		listen_known(RIG_UDP_ID, false);
		listen_known(RIG_UDP_ID, false);
		break;
	case 9:
		begin(9);
		control();
		control();
		break;
	case 10:
		begin(9);
		for (i = 0; i < CONF_ALLOW_MAX / MSG_ALLOW_MAX; i++)
			allow(MSG_ALLOW_MAX);
		allow(1);
		break;
	case 11:
		begin(9);
		for (i = 0; i <= 2 * CONF_LISTENS_MAX; i++) {
			listen_new(100 + i);
			(void)imsg_flush(&rig.parent);
			rig_turn();
		}
		break;
	case 12: /* what only a child may say */
		msg_send_ready(&rig.parent, 0);
		break;
	case 13: /* a link without a descriptor */
		imsg_send_empty(&rig.parent, MSG_PX_LINK, 9, -1);
		break;
	case 14:
		msg_send_u8(&rig.parent, MSG_PX_LOG_LEVEL, 0, LOG_LEVEL_COUNT);
		break;
	case 15: /* a link that cannot be written to */
		imsg_send_empty(&rig.parent, MSG_PX_LINK, 9, dup(STDIN_FILENO));
		break;
	default:
		_exit(99);
	}
}

#define INSANE 16

static void
test_insane_parent_is_the_end(void **state)
{
	int which, status;
	pid_t pid;

	(void)state;
	for (which = 0; which < INSANE; which++) {
		pid = fork();
		assert_int_not_equal(pid, -1);
		if (pid == 0) {
			close(STDERR_FILENO);
			(void)event_reinit(rig.base);
			insane(which);
			rig_turn();
			rig_turn();
			_exit(42); /* still alive */
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) ||
		    WEXITSTATUS(status) != MSG_EXIT_PROTOCOL)
			fail_msg("case %d: status %#x", which, status);
	}
}

static void
test_nothing_before_the_end(void **state)
{
	int fd = rig_udp_client(&rig.udp_addr);
	struct msg_client c = rig.client;

	(void)state;
	c.client.max_inflight = 1;
	begin(9);
	msg_send_client(&rig.parent, &c);
	rig_settle();
	/* Without any prefix nobody is allowed, but that is not so yet. */
	(void)rig_ask(fd, 1, "www.example", 0);
	(void)rig_ask(fd, 2, "www.example", 0);
	end(9);
	rig_until(rig.done_generation == 9);
	assert_int_equal(rig.l->inflight.limit, 1);
	assert_false(udp_has(rig.l, RIG_UDP_ID));
	assert_false(tcp_has(rig.l, RIG_TCP_ID));
	rig_answer(&rig.queries[0], 0);
	rig_answer(&rig.queries[1], 0);
	(void)rig_recv(fd, buf, sizeof(buf));
	(void)rig_recv(fd, buf, sizeof(buf));
	close(fd);
}

static void
test_largest_configuration(void **state)
{
	struct sockaddr_storage addr;
	uint32_t i;
	size_t fds = rig_count_fds();
	int fd;

	(void)state;
	rig_conf_begin();
	for (i = 0; i < CONF_UPSTREAMS_MAX; i++)
		assert_true(msg_send_upstream_name(&rig.parent, i, "name"));
	for (i = 0; i < CONF_ALLOW_MAX / MSG_ALLOW_MAX; i++)
		assert_true(allow(MSG_ALLOW_MAX));
	for (i = 0; i < CONF_LISTENS_MAX; i++) {
		fd = rig_socket(SOCK_DGRAM, "127.0.0.1", 0, &addr);
		rig_send_listen(100 + 2 * i, false, &addr, fd);
		fd = rig_socket(SOCK_STREAM, "127.0.0.1", 0, &addr);
		rig_send_listen(101 + 2 * i, true, &addr, fd);
	}
	rig_conf_end();
	/* All are served, and the two from before are not any more. */
	assert_int_equal(rig_count_fds(), fds - 2 + 2 * CONF_LISTENS_MAX);
	fd = rig_udp_client(&addr); /* the port of the last one, TCP */
	close(fd);
	for (i = 0; i < 2 * CONF_LISTENS_MAX; i++)
		assert_true(udp_has(rig.l, 100 + i) || tcp_has(rig.l, 100 + i));
}

static void
test_names_change_with_a_reload(void **state)
{
	struct msg_failed f = { CAUSE_NETWORK, 0 };
	int fd = rig_udp_client(&rig.udp_addr);
	char text[256];
	size_t len;

	(void)state;
	begin(9);
	client();
	allow(1);
	assert_true(msg_send_upstream_name(&rig.parent, 0, "other"));
	listen_known(RIG_UDP_ID, false);
	end(9);
	rig_until(rig.done_generation == 9);
	(void)rig_ask(fd, 1, "www.example", 1232);
	assert_true(msg_send_failed(&rig.pool, rig.queries[0].handle, &f));
	len = rig_recv(fd, buf, sizeof(buf));
	(void)rig_ede(buf, len, text);
	assert_string_equal(text, "upstream \"other\": network error");
	close(fd);
}

static void
test_no_configuration_at_all(void **state)
{
	(void)state;
	rig_start_bare();
	rig_link();
	rig_link();
	rig_settle();
	assert_int_equal(rig.done_generation, 0);
	rig_stop(NULL);
}

static void
test_ping_is_answered(void **state)
{
	(void)state;
	rig_start_bare(); /* without a configuration, too */
	assert_true(imsg_send_empty(&rig.parent, MSG_PX_PING, 0, -1));
	assert_true(imsg_send_empty(&rig.parent, MSG_PX_PING, 0, -1));
	rig_settle();
	assert_int_equal(rig.asked_parent, MSG_XP_PONG);
	assert_int_equal(rig.nasked_parent, 2);
	rig_stop(NULL);
}

static void
test_stopped_in_a_run(void **state)
{
	size_t fds = rig_count_fds();

	(void)state;
	rig_start_bare();
	begin(1);
	client();
	listen_new(5);
	control();
	rig_settle();
	rig_stop(NULL);
	assert_int_equal(rig_count_fds(), fds);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_insane_parent_is_the_end),
		RIG_TEST(test_nothing_before_the_end),
		RIG_TEST(test_largest_configuration),
		RIG_TEST(test_names_change_with_a_reload),
		cmocka_unit_test(test_no_configuration_at_all),
		cmocka_unit_test(test_ping_is_answered),
		cmocka_unit_test(test_stopped_in_a_run),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
