/* SPDX-License-Identifier: ISC */
/* LINK: common/imsg.c common/log.c common/msg.c common/msg_info.c */
/* LINK: common/util.c dotproxy/parent/restart.c */
/* LIBS: -levent_core */
/*
 * When the parent agrees to a restart, whom it tells what, and that nothing has
 * ended before it does.  The programs themselves are
 * tests/e2e/test_restart.py's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/util.h"
#include "dotproxy/parent/parent.h"

#define HANDLE 77
#define BUF 4096

static struct {
	struct parent parent;
	struct pair pair;
	uint8_t out[BUF];
	unsigned int reloads;
	unsigned int finishes;
} rig;

void
reload_start(struct parent *parent, struct child *asker, uint64_t handle)
{
	(void)parent;
	assert_null(asker); /* the restart answers, not the reload */
	assert_int_equal(handle, 0);
	rig.reloads++;
}

void
parent_finish(struct parent *parent)
{
	(void)parent;
	rig.finishes++;
}

void
notify_send(int fd, const char *fmt, ...)
{
	(void)fd;
	(void)fmt;
}

void
status_ready(struct parent *parent, const char *trouble)
{
	assert_ptr_equal(parent, &rig.parent);
	assert_non_null(trouble);
}

int
inherit_leave(uint64_t filter, uint32_t nfilters, const int *fds, uint32_t n)
{
	(void)filter;
	(void)nfilters;
	(void)fds;
	(void)n;
	return -1;
}

static int
start(void **state)
{
	struct child *c = &rig.pair.listener;

	(void)state;
	log_set_level(LOG_LEVEL_FATAL); /* nobody reads it here */
	memset(&rig, 0, sizeof(rig));
	rig.parent.up = true;
	rig.parent.base = event_base_new();
	rig.parent.restart_timer =
	    event_new(rig.parent.base, -1, 0, restart_overdue, &rig.parent);
	rig.parent.options.conf_path = "/dev/null";
	rig.parent.notify_fd = -1;
	c->parent = rig.pair.pool.parent = &rig.parent;
	c->state = CHILD_READY;
	c->chan.out = rig.out;
	c->chan.out_cap = BUF;
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	event_free(rig.parent.restart_timer);
	event_base_free(rig.parent.base);
	return 0;
}

static void
ask(void)
{
	restart_start(&rig.parent, &rig.pair.listener, HANDLE);
}

/* The listener has been told, once, whether it is done. */
static void
told(bool ok)
{
	size_t len = rig.pair.listener.chan.out_len;

	assert_true(len > IMSG_HDR_LEN);
	assert_int_equal(wire_load_u16(rig.out), MSG_INFO_END);
	assert_int_equal(wire_load_u64(rig.out + 8), HANDLE);
	assert_int_equal(len, IMSG_HDR_LEN + wire_load_u32(rig.out + 4));
	assert_int_equal(rig.out[IMSG_HDR_LEN], ok);
	rig.pair.listener.chan.out_len = 0;
}

static void
told_nothing(void)
{
	assert_int_equal(rig.pair.listener.chan.out_len, 0);
}

/* Has a program tried, up to its end. */
static void
try_program(const char *exe)
{
	int status;
	pid_t pid;

	(void)snprintf(rig.parent.exe, sizeof(rig.parent.exe), "%s", exe);
	ask();
	assert_int_equal(rig.reloads, 1);
	restart_on_reload(&rig.parent, true, NULL);
	told_nothing();
	pid = rig.parent.restart_pid;
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(restart_reap(&rig.parent, pid + 1, status));
	assert_true(restart_reap(&rig.parent, pid, status));
	assert_false(restart_reap(&rig.parent, 0, status));
}

static void
good_program_is_agreed_to(void **state)
{
	(void)state;
	try_program("/bin/true");
	told(true);
	assert_int_equal(rig.finishes, 1);
	assert_int_equal(rig.parent.restart, RESTART_FINISHING);
	ask();
	told(false); /* one is enough */
}

static void
refused(void)
{
	told(false);
	assert_int_equal(rig.finishes, 0);
	assert_int_equal(rig.parent.restart, RESTART_NONE);
	assert_false(restart_execute(&rig.parent));
}

static void
bad_program_is_refused(void **state)
{
	(void)state;
	try_program("/bin/false");
	refused();
}

/* A script; the name of its file. */
static const char *
write_program(const char *command)
{
	static char path[] = "/tmp/test_restart.XXXXXX";
	char text[64];
	int fd, n;

	memcpy(strchr(path, '.') + 1, "XXXXXX", 6);
	fd = mkstemp(path);
	assert_int_not_equal(fd, -1);
	n = snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", command);
	assert_int_equal(write(fd, text, (size_t)n), n);
	assert_int_equal(fchmod(fd, 0700), 0);
	close(fd);
	return path;
}

static void
program_that_crashes_is_refused(void **state)
{
	const char *path = write_program("kill -SEGV $$");

	(void)state;
	try_program(path);
	(void)unlink(path);
	refused();
}

static void
program_that_hangs_is_refused(void **state)
{
	const char *path = write_program("exec sleep 10");
	int status;
	pid_t pid;

	(void)state;
	(void)snprintf(rig.parent.exe, sizeof(rig.parent.exe), "%s", path);
	ask();
	restart_on_reload(&rig.parent, true, NULL);
	assert_true(event_pending(rig.parent.restart_timer, EV_TIMEOUT, NULL));
	pid = rig.parent.restart_pid;
	restart_overdue(-1, EV_TIMEOUT, &rig.parent);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(restart_reap(&rig.parent, pid, status));
	(void)unlink(path);
	refused();
}

static void
no_program_is_refused(void **state)
{
	(void)state;
	try_program("/nonexistent");
	refused();
}

static void
bad_configuration_is_refused(void **state)
{
	(void)state;
	ask();
	restart_on_reload(&rig.parent, false, "line 3");
	refused();
	assert_int_equal(rig.parent.restart_pid, 0);
}

static void
reload_alone_is_none(void **state)
{
	(void)state;
	restart_on_reload(&rig.parent, true, NULL);
	assert_int_equal(rig.parent.restart_pid, 0);
	told_nothing();
}

static void
not_at_any_time(void **state)
{
	(void)state;
	rig.parent.up = false;
	ask();
	refused();
	rig.parent.up = rig.parent.finishing = true;
	ask();
	refused();
	rig.parent.finishing = false;
	rig.parent.nfilters = 16;
	ask();
	refused();
	rig.parent.nfilters = 1;
	rig.parent.inherited.restarted = true;
	rig.parent.started_ms = util_now_ms() - 1000;
	ask();
	refused();
	assert_int_equal(rig.reloads, 0);
	rig.parent.started_ms -= 2000;
	ask();
	assert_int_equal(rig.reloads, 1);
}

/* The listener that has asked has died: the next has not asked for anything. */
static void
successor_is_told_nothing(void **state)
{
	(void)state;
	ask();
	restart_on_death(&rig.pair.pool);
	assert_ptr_equal(rig.parent.restart_asker, &rig.pair.listener);
	restart_on_death(&rig.pair.listener);
	restart_on_reload(&rig.parent, false, "no");
	told_nothing();
}

/* SIGTERM while the program is tried. */
static void
stop_goes_before(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	(void)snprintf(rig.parent.exe, sizeof(rig.parent.exe), "/bin/true");
	ask();
	restart_on_reload(&rig.parent, true, NULL);
	restart_cancel(&rig.parent);
	pid = rig.parent.restart_pid;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(restart_reap(&rig.parent, pid, status));
	assert_int_equal(rig.finishes, 0);
	assert_false(restart_execute(&rig.parent));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    good_program_is_agreed_to, start, stop),
		cmocka_unit_test_setup_teardown(
		    bad_program_is_refused, start, stop),
		cmocka_unit_test_setup_teardown(
		    program_that_crashes_is_refused, start, stop),
		cmocka_unit_test_setup_teardown(
		    program_that_hangs_is_refused, start, stop),
		cmocka_unit_test_setup_teardown(
		    no_program_is_refused, start, stop),
		cmocka_unit_test_setup_teardown(
		    bad_configuration_is_refused, start, stop),
		cmocka_unit_test_setup_teardown(
		    reload_alone_is_none, start, stop),
		cmocka_unit_test_setup_teardown(not_at_any_time, start, stop),
		cmocka_unit_test_setup_teardown(
		    successor_is_told_nothing, start, stop),
		cmocka_unit_test_setup_teardown(stop_goes_before, start, stop),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
