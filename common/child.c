/* SPDX-License-Identifier: ISC */
/*
 * How both children start; see child.h.  Nothing from outside has been read
 * yet when this runs: the only peer is the parent.
 */
#include "common/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* The state of the wait for MSG_PX_SETUP. */
struct setup_wait {
	struct msg_setup *setup;
	bool done;
};

static void
log_to_parent(enum log_level level, const char *line, void *arg)
{
	struct imsg_chan *parent = arg;

	/* A parent that does not read costs log lines, nothing else. */
	if (!msg_send_log(parent, (uint8_t)level, line))
		return;
	/* After a fatal there is no loop turn that would flush it. */
	if (level == LOG_LEVEL_FATAL)
		(void)imsg_flush(parent);
}

void
child_parent_down(void *arg, enum imsg_status status, const char *why)
{
	(void)arg;
	(void)why; /* nothing can be said over it any more */
	if (status == IMSG_VIOLATION)
		_exit(MSG_EXIT_PROTOCOL);
	if (status == IMSG_FAILED)
		_exit(MSG_EXIT_CHANNEL);
	_exit(0);
}

static int
on_setup(void *arg, struct imsg *m)
{
	struct setup_wait *wait = arg;

	if (wait->done || msg_read_setup(m, wait->setup) == -1)
		return -1;
	wait->done = true;
	return 0;
}

static const struct imsg_rule setup_rules[IMSG_TYPES_MAX] = {
	[MSG_PX_SETUP] = { .handler = on_setup, .max = 64, .phases = 1 },
};

static void
ignore_signal(int sig)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = SIG_IGN;
	if (sigaction(sig, &sa, NULL) == -1)
		fatal("sigaction");
}

void
child_start(struct imsg_chan *parent, const struct imsg_chan_opts *opts,
    struct msg_setup *setup)
{
	struct setup_wait wait = { setup, false };
	struct imsg_chan_opts o = *opts;
	struct pollfd pfd;

	if (fcntl(MSG_PARENT_FD, F_SETFD, FD_CLOEXEC) == -1) {
		log_warnx("not started by dotproxy");
		_exit(MSG_EXIT_CHANNEL);
	}
	o.rules = setup_rules;
	o.phase = 1;
	o.arg = &wait;
	o.on_down = child_parent_down;
	if (imsg_open(parent, MSG_PARENT_FD, &o) == -1)
		_exit(MSG_EXIT_EARLY);
	log_init_sink(log_to_parent, parent);
	ignore_signal(SIGPIPE);
	ignore_signal(SIGHUP);
	ignore_signal(SIGINT); /* ^C reaches the group; the parent decides */
	while (!wait.done) {
		pfd.fd = MSG_PARENT_FD;
		pfd.events = POLLIN;
		if (poll(&pfd, 1, -1) == -1 && errno != EINTR)
			fatal("poll");
		(void)imsg_read(parent); /* on_down exits */
	}
	log_set_level(setup->log_level);
	parent->rules = opts->rules;
	parent->phase = opts->phase;
	parent->arg = opts->arg;
	parent->on_down = opts->on_down;
}
