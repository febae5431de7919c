/* SPDX-License-Identifier: ISC */
/*
 * Channels of two pipes: what differs from those of a socket.  Nothing of the
 * framing does.
 */
/* LINK: common/imsg.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <event2/event.h>
#include <cmocka.h>

#include <signal.h>

#include "tests/unit/alloc_fail.h"
#include "tests/unit/imsg_rig.h"

/* Each side hears the other, and not itself. */
static void
messages_go_both_ways(void **state)
{
	struct rig rig;

	(void)state;
	rig_open_pipes(&rig);
	assert_true(rig_queue(&rig, T_PLAIN, 1, 100, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_true(imsg_send_empty(&rig.b, T_PLAIN, 2, -1));
	assert_int_equal(imsg_flush(&rig.b), IMSG_OK);
	assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	assert_int_equal(rig.n, 1);
	rig_expect(&rig, 0, T_PLAIN, 1, 100);
	assert_int_equal(imsg_read(&rig.a), IMSG_OK);
	assert_int_equal(rig.n, 2);
	rig_expect(&rig, 1, T_PLAIN, 2, 0);
	rig_close(&rig);
}

/* What does not fit waits; all of it comes, once and in order. */
static void
full_pipe_blocks(void **state)
{
	struct event_base *base = event_base_new();
	struct rig rig;
	uint64_t sent = 0, next = 0;

	(void)state;
	rig_open_pipes(&rig);
	assert_int_equal(imsg_attach(&rig.a, base), 0);
	while (imsg_flush(&rig.a) == IMSG_OK)
		while (rig_queue(&rig, T_PLAIN, sent, 1000, -1))
			sent++;
	assert_true(rig.a.blocked);
	assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(rig.drained, 0);
	while (next < sent) {
		assert_int_equal(imsg_read(&rig.b), IMSG_OK);
		for (size_t i = 0; i < rig.n; i++)
			rig_expect(&rig, i, T_PLAIN, next++, 1000);
		rig.n = 0;
		assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
	}
	assert_int_equal(rig.drained, 1);
	rig_close(&rig);
	event_base_free(base);
}

static void
reader_finds_peer_gone(void **state)
{
	struct rig rig;

	(void)state;
	rig_open_pipes(&rig);
	assert_true(rig_queue(&rig, T_PLAIN, 1, 9, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	imsg_close(&rig.a);
	assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	assert_int_equal(rig.n, 1); /* what it had said is heard */
	assert_int_equal(imsg_read(&rig.b), IMSG_CLOSED);
	assert_int_equal(rig.downs[1], 1);
	rig_close(&rig);
}

/* Every process of ours ignores SIGPIPE: a pipe has no flag against it. */
static void
writer_finds_peer_gone(void **state)
{
	struct rig rig;

	(void)state;
	assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	rig_open_pipes(&rig);
	imsg_close(&rig.b);
	assert_true(rig_queue(&rig, T_PLAIN, 1, 9, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_CLOSED);
	assert_int_equal(rig.downs[0], 1);
	rig_close(&rig);
}

static void
ends_are_private_and_do_not_block(void **state)
{
	struct imsg_ends sides[2];
	int i, j;

	(void)state;
	assert_int_equal(imsg_pipes(sides), 0);
	for (i = 0; i < 2; i++) {
		int fds[] = { sides[i].in, sides[i].out };

		for (j = 0; j < 2; j++) {
			assert_true(fcntl(fds[j], F_GETFD) & FD_CLOEXEC);
			assert_true(fcntl(fds[j], F_GETFL) & O_NONBLOCK);
			close(fds[j]);
		}
	}
}

/* With room for one pipe only, none is left. */
static void
too_few_descriptors_leave_nothing_open(void **state)
{
	struct imsg_ends sides[2];
	struct rlimit old, few;
	int before = count_fds(), next = any_fd();

	(void)state;
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = (rlim_t)next + 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(imsg_pipes(sides), -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(count_fds(), before);
}

static bool
open_and_attach(struct event_base *base)
{
	const struct imsg_chan_opts o = {
		.rules = rig_rules, .in_cap = 64, .out_cap = 64
	};
	int before = count_fds();
	struct imsg_ends sides[2];
	struct imsg_chan ch;
	bool ok = false;

	assert_int_equal(imsg_pipes(sides), 0);
	if (imsg_open(&ch, sides[0].in, &o) == 0) {
		imsg_set_out(&ch, sides[0].out);
		ok = imsg_attach(&ch, base) == 0;
		imsg_close(&ch);
	} else
		close(sides[0].out);
	assert_int_equal(ch.fd, -1);
	close(sides[1].in);
	close(sides[1].out);
	assert_int_equal(count_fds(), before);
	return ok;
}

static void
each_allocation_fails(void **state)
{
	struct event_base *base = event_base_new();

	(void)state;
	/* What libevent keeps of a descriptor it has then. */
	assert_true(open_and_attach(base));
	ALLOC_FAIL_EACH(open_and_attach, base);
	event_base_free(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_go_both_ways),
		cmocka_unit_test(full_pipe_blocks),
		cmocka_unit_test(reader_finds_peer_gone),
		cmocka_unit_test(writer_finds_peer_gone),
		cmocka_unit_test(ends_are_private_and_do_not_block),
		cmocka_unit_test(too_few_descriptors_leave_nothing_open),
		cmocka_unit_test(each_allocation_fails),
	};

	/* libevent's are ours, too. */
	event_set_mem_functions(__wrap_malloc, __wrap_realloc, __wrap_free);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
