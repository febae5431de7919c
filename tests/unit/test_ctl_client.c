/* SPDX-License-Identifier: ISC */
/*
 * dotproxyctl against daemons good and bad, on a real socket: another process
 * plays one of the scripts below.
 */
/* LINK: common/msg%.c common/imsg.c common/log.c common/util.c */
/* LINK: dotproxyctl/proc%.c dotproxyctl/client.c dotproxyctl/data%.c */
/* LINK: dotproxyctl/format.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/util.h"
#include "dotproxyctl/client.h"

#define TIMEOUT_MS 5000

struct place {
	char dir[64];
	char path[96];
	int fd; /* listening */
};

static void
place_open(struct place *p, int backlog)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/ctltest.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/sock", p->dir);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", p->path);
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_not_equal(p->fd, -1);
	assert_int_equal(bind(p->fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	if (backlog >= 0)
		assert_int_equal(listen(p->fd, backlog), 0);
}

static void
place_close(struct place *p)
{
	if (p->fd != -1)
		close(p->fd);
	(void)unlink(p->path);
	(void)rmdir(p->dir);
}

/* What the daemon does once it has the request, with its id. */
typedef void (*script)(struct imsg_chan *, uint64_t id);

struct daemon {
	struct imsg_chan chan;
	script play;
	uint16_t want_type; /* of the request, and the byte in it, or -1 */
	int want_value;
};

static int
on_request(void *arg, struct imsg *m)
{
	struct daemon *d = arg;

	if (m->type != d->want_type ||
	    (d->want_value == -1 ? m->len != 0
				 : m->len != 1 || m->data[0] != d->want_value))
		_exit(2);
	d->play(&d->chan, m->id);
	(void)imsg_flush(&d->chan);
	/* Until the client has gone: what was sent must arrive. */
	for (;;) {
		if (imsg_read(&d->chan) != IMSG_OK)
			_exit(0);
	}
}

static const struct imsg_rule daemon_rules[IMSG_TYPES_MAX] = {
	[MSG_CL_SHOW] = { on_request, 0, 8, 1, IMSG_FD_NONE },
	[MSG_CL_RELOAD] = { on_request, 0, 8, 1, IMSG_FD_NONE },
	[MSG_CL_LOG_LEVEL] = { on_request, 0, 8, 1, IMSG_FD_NONE },
};

static void
daemon_run(const struct place *p, script play, uint16_t type, int value)
{
	struct daemon d = {
		.play = play, .want_type = type, .want_value = value
	};
	const struct imsg_chan_opts opts = { .rules = daemon_rules,
		.in_cap = 1024,
		.out_cap = 65536,
		.phase = 1,
		.arg = &d };
	int fd = accept(p->fd, NULL, NULL);

	if (fd == -1 || imsg_open(&d.chan, fd, &opts) == -1)
		_exit(3);
	for (;;)
		if (imsg_read(&d.chan) != IMSG_OK)
			_exit(4);
}

/*
 * Asks a daemon that plays the script.  Returns what client_ask() does, with
 * the milliseconds it took in *took.
 */
static int
ask(script play, const struct command *cmd, int value, struct data *data,
    char error[CLIENT_ERROR_MAX], uint32_t timeout_ms)
{
	struct place p;
	pid_t pid;
	int ret, status;

	place_open(&p, 5);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0)
		daemon_run(&p, play, (uint16_t)cmd->request, value);
	error[0] = '\0';
	ret = client_ask(p.path, cmd, timeout_ms, data, error);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0); /* the request was right */
	place_close(&p);
	return ret;
}

/* Asks for the summary; the error must end like this, or be none. */
static void
summary_is(script play, const char *want_error)
{
	const struct command cmd = { .request = MSG_CL_SHOW,
		.show = SHOW_SUMMARY };
	char error[CLIENT_ERROR_MAX];
	struct data *data = data_new();
	int ret;

	assert_non_null(data);
	ret = ask(play, &cmd, SHOW_SUMMARY, data, error, TIMEOUT_MS);
	assert_int_equal(ret, want_error == NULL ? 0 : -1);
	if (want_error != NULL && strstr(error, want_error) == NULL)
		fail_msg("no \"%s\" in: %s", want_error, error);
	data_free(data);
}

static void
play_ok(struct imsg_chan *ch, uint64_t id)
{
	(void)msg_send_result(ch, MSG_INFO_END, id, true, NULL);
}

static void
requests_say_what_is_wanted(void **state)
{
	struct command cmd;
	char error[CLIENT_ERROR_MAX];
	struct data *data;
	int i;

	(void)state;
	for (i = 0; i < SHOW_COUNT; i++) {
		data = data_new();
		cmd = (struct command){ .request = MSG_CL_SHOW,
			.show = (enum msg_show)i };
		assert_int_equal(
		    ask(play_ok, &cmd, i, data, error, TIMEOUT_MS), 0);
		assert_true(data->done && data->result.ok);
		data_free(data);
	}
	for (i = 0; i < LOG_LEVEL_COUNT; i++) {
		data = data_new();
		cmd = (struct command){ .request = MSG_CL_LOG_LEVEL,
			.level = (enum log_level)i };
		assert_int_equal(
		    ask(play_ok, &cmd, i, data, error, TIMEOUT_MS), 0);
		data_free(data);
	}
	data = data_new();
	cmd = (struct command){ .request = MSG_CL_RELOAD };
	assert_int_equal(ask(play_ok, &cmd, -1, data, error, TIMEOUT_MS), 0);
	data_free(data);
}

static void
play_refusal(struct imsg_chan *ch, uint64_t id)
{
	(void)msg_send_result(
	    ch, MSG_INFO_END, id, false, "/etc/dotproxy.conf:3: no");
}

/* A refusal is an answer; what it says is there. */
static void
refusal_is_an_answer(void **state)
{
	const struct command cmd = { .request = MSG_CL_RELOAD };
	char error[CLIENT_ERROR_MAX];
	struct data *data = data_new();

	(void)state;
	assert_int_equal(
	    ask(play_refusal, &cmd, -1, data, error, TIMEOUT_MS), 0);
	assert_false(data->result.ok);
	assert_string_equal(data->result.text, "/etc/dotproxy.conf:3: no");
	data_free(data);
}

/* A large answer, one byte a packet. */
static void
play_drip(struct imsg_chan *ch, uint64_t id)
{
	struct info_process p = { .role = ROLE_POOL, .pid = 9 };
	struct pollfd pfd = { .fd = ch->fd, .events = POLLOUT };
	size_t i;

	(void)msg_send_info_process(ch, id, &p);
	(void)msg_send_info_text(ch, id, "some text", 9);
	(void)msg_send_result(ch, MSG_INFO_END, id, true, NULL);
	for (i = 0; i < ch->out_len; i++) {
		(void)poll(&pfd, 1, 1000);
		if (send(ch->fd, ch->out + i, 1, MSG_NOSIGNAL) != 1)
			_exit(5);
	}
	ch->out_len = 0;
}

static void
dripping_answer(void **state)
{
	const struct command cmd = { .request = MSG_CL_SHOW };
	char error[CLIENT_ERROR_MAX];
	struct data *data = data_new();

	(void)state;
	assert_int_equal(
	    ask(play_drip, &cmd, SHOW_SUMMARY, data, error, TIMEOUT_MS), 0);
	assert_int_equal(data->processes[ROLE_POOL].pid, 9);
	assert_int_equal(data->text_len, 9);
	assert_memory_equal(data->text, "some text", 9);
	data_free(data);
}

static void
play_close(struct imsg_chan *ch, uint64_t id)
{
	(void)id;
	(void)shutdown(ch->fd, SHUT_RDWR);
}

static void
play_wrong_id(struct imsg_chan *ch, uint64_t id)
{
	(void)msg_send_result(ch, MSG_INFO_END, id + 1, true, NULL);
}

static void
play_wrong_type(struct imsg_chan *ch, uint64_t id)
{
	(void)imsg_send_empty(ch, MSG_CL_RELOAD, id, -1);
}

static void
play_garbage(struct imsg_chan *ch, uint64_t id)
{
	(void)id;
	(void)send(ch->fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, 0);
}

static void
play_too_long(struct imsg_chan *ch, uint64_t id)
{
	struct wire_writer w;

	(void)imsg_begin(ch, &w, MSG_INFO_MAX + 1);
	(void)wire_put_space(&w, MSG_INFO_MAX + 1);
	(void)imsg_commit(ch, &w, MSG_INFO_TEXT, id, -1);
}

static void
play_bad_payload(struct imsg_chan *ch, uint64_t id)
{
	(void)msg_send_u8(ch, MSG_INFO_END, id, 7);
}

static void
bad_daemons(void **state)
{
	(void)state;
	summary_is(play_close, ": the daemon closed the connection before it");
	summary_is(play_wrong_id, "another version (bad payload)");
	summary_is(
	    play_wrong_type, "another version (message type not accepted)");
	summary_is(play_garbage, "another version (");
	summary_is(
	    play_too_long, "another version (message size not accepted)");
	summary_is(play_bad_payload, "another version (bad payload)");
}

static void
play_nothing(struct imsg_chan *ch, uint64_t id)
{
	(void)ch;
	(void)id;
}

/* A part of an answer does not buy more time. */
static void
play_half(struct imsg_chan *ch, uint64_t id)
{
	struct info_process p = { .role = ROLE_POOL };

	(void)msg_send_info_process(ch, id, &p);
}

static void
silence_ends(void **state)
{
	const script plays[] = { play_nothing, play_half };
	const struct command cmd = { .request = MSG_CL_SHOW };
	char error[CLIENT_ERROR_MAX];
	struct data *data;
	uint64_t start;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		data = data_new();
		start = util_now_ms();
		assert_int_equal(
		    ask(plays[i], &cmd, SHOW_SUMMARY, data, error, 1000), -1);
		assert_in_range(util_now_ms() - start, 1000, 3000);
		assert_non_null(
		    strstr(error, ": no answer from the daemon within 1 s"));
		data_free(data);
	}
}

/* Asks at a place where nobody answers; the error must be this. */
static void
nobody_at(const char *path, const char *want)
{
	const struct command cmd = { .request = MSG_CL_SHOW };
	char error[CLIENT_ERROR_MAX], line[CLIENT_ERROR_MAX];
	struct data *data = data_new();

	assert_int_equal(client_ask(path, &cmd, 200, data, error), -1);
	(void)snprintf(line, sizeof(line), "%s: %s", path, want);
	assert_string_equal(error, line);
	data_free(data);
}

static void
no_daemon(void **state)
{
	struct place p;

	(void)state;
	place_open(&p, -1);
	nobody_at(p.path, "no daemon is listening there (Connection refused)");
	close(p.fd);
	p.fd = -1;
	nobody_at(p.path, "no daemon is listening there (Connection refused)");
	(void)unlink(p.path);
	nobody_at(p.path,
	    "no such socket, the daemon is not running or uses another "
	    "(No such file or directory)");
	place_close(&p);
}

static void
no_permission(void **state)
{
	struct place p;

	(void)state;
	place_open(&p, 5);
	assert_int_equal(chmod(p.path, 0600), 0);
	assert_int_equal(chmod(p.dir, 0755), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	else
		assert_int_equal(chmod(p.path, 0), 0);
	nobody_at(p.path, "only root, or who started the daemon, may connect "
			  "(Permission denied)");
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	place_close(&p);
}

/* A daemon that hangs, with its backlog full, is waited for, not for ever. */
static void
full_backlog(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct place p;
	int i, fd[64];

	(void)state;
	place_open(&p, 0);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", p.path);
	for (i = 0; i < 64; i++) {
		fd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		assert_int_not_equal(fd[i], -1);
		if (connect(fd[i], (struct sockaddr *)&sun, sizeof(sun)) == -1)
			break;
	}
	assert_true(i < 64);
	nobody_at(p.path,
	    "the daemon does not take connections (Resource temporarily "
	    "unavailable)");
	for (; i >= 0; i--)
		close(fd[i]);
	place_close(&p);
}

static void
name_too_long(void **state)
{
	const struct command cmd = { .request = MSG_CL_SHOW };
	char path[109], error[CLIENT_ERROR_MAX];
	struct data *data = data_new();

	(void)state;
	memset(path, 'x', sizeof(path));
	path[108] = '\0';
	assert_int_equal(client_ask(path, &cmd, 200, data, error), -1);
	assert_string_equal(
	    error, "the name of a socket has at most 107 bytes");
	path[107] = '\0';
	assert_int_equal(client_ask(path, &cmd, 200, data, error), -1);
	assert_non_null(strstr(error, "no such socket"));
	data_free(data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_say_what_is_wanted),
		cmocka_unit_test(refusal_is_an_answer),
		cmocka_unit_test(dripping_answer),
		cmocka_unit_test(bad_daemons),
		cmocka_unit_test(silence_ends),
		cmocka_unit_test(no_daemon),
		cmocka_unit_test(no_permission),
		cmocka_unit_test(full_backlog),
		cmocka_unit_test(name_too_long),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
