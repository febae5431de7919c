/* SPDX-License-Identifier: ISC */
/*
 * "dotproxyctl restart": the parent executes its program anew and keeps its
 * sockets, so that what comes meanwhile waits in them.  Before anything ends,
 * the configuration is reloaded, and the program that is there now is asked
 * (-n) whether it runs and takes that.  Runs in the parent, which stays as
 * confined as it is: nobody gains by asking for this.  It must never leave
 * nobody at the port who could have stayed.
 */
#include "dotproxy/parent/parent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/log.h"
#include "common/util.h"

/* A listener that was taken over must not have it do nothing else. */
#define RESTART_MIN_MS 3000
/* To say whether it takes the configuration. */
#define CHECK_LIMIT_S 5
/* Filters add up, and the kernel has a limit; see sandbox.h. */
#define FILTERS_MAX 16
#define ARGS_MAX (2 * PARENT_MACROS_MAX + 8)

/* Ends it before it has begun, and tells who asked, and the log. */
static void
refuse(struct parent *parent, const char *why)
{
	struct child *asker = parent->restart_asker;

	/* Of several errors the log has had all: of the reload. */
	log_warnx("restart refused: %.*s", (int)strcspn(why, "\n"), why);
	if (asker != NULL && asker->state == CHILD_READY)
		(void)msg_send_result(&asker->chan, MSG_INFO_END,
		    parent->restart_handle, false, why);
	parent->restart_asker = NULL;
	parent->restart = RESTART_NONE;
}

void
restart_start(struct parent *parent, struct child *asker, uint64_t handle)
{
	const char *why = NULL;

	if (!parent->up || parent->finishing || parent->restart != RESTART_NONE)
		why = "not ready for a restart, try again";
	else if (parent->inherited.restarted &&
		 util_now_ms() - parent->started_ms < RESTART_MIN_MS)
		why = "the last restart was just now, try again";
	else if (parent->nfilters >= FILTERS_MAX)
		why = "too many other programs since the start: stop it and "
		      "start it, or have the service manager do that";
	if (why != NULL) {
		log_warnx("restart refused: %s", why);
		(void)msg_send_result(
		    &asker->chan, MSG_INFO_END, handle, false, why);
		return;
	}
	log_info("restart requested");
	parent->restart_asker = asker;
	parent->restart_handle = handle;
	parent->restart = RESTART_RELOADING;
	reload_start(parent, NULL, 0);
}

/* As it was started, but for the directory it is in now. */
static void
make_args(
    const struct parent *parent, const char *argv[ARGS_MAX + 1], bool check)
{
	const struct parent_options *o = &parent->options;
	size_t i, n = 0;

	argv[n++] = parent->exe;
	if (check)
		argv[n++] = "-n";
	if (o->foreground)
		argv[n++] = "-d";
	argv[n++] = "--verbosity";
	argv[n++] = log_level_name((enum log_level)o->log_level);
	argv[n++] = "-f";
	argv[n++] = o->conf_path;
	for (i = 0; i < o->nmacros; i++) {
		argv[n++] = "-D";
		argv[n++] = o->macro_args[i];
	}
	argv[n] = NULL;
}

/* Executes it; returns if that fails, with errno. */
static void
execute(const struct parent *parent, bool check)
{
	const char *argv[ARGS_MAX + 1];

	make_args(parent, argv, check);
	/* execve(2) does not write to them. */
	(void)execve(parent->exe, (char *const *)argv, environ);
}

static void
restart_check(struct parent *parent)
{
	static const struct timeval limit = { CHECK_LIMIT_S, 0 };
	pid_t pid;
	int null;

	pid = fork();
	if (pid == -1) {
		refuse(parent, "cannot make a process");
		return;
	}
	if (pid == 0) {
		null = open("/dev/null", O_RDWR);
		if (null != -1 && dup2(null, 0) != -1 && dup2(null, 1) != -1 &&
		    dup2(null, 2) != -1)
			execute(parent, true);
		_exit(127);
	}
	parent->restart_pid = pid;
	parent->restart = RESTART_CHECKING;
	if (event_add(parent->restart_timer, &limit) == -1)
		fatalx("cannot start a timer");
}

void
restart_cancel(struct parent *parent)
{
	if (parent->restart == RESTART_FINISHING)
		notify_send(parent->notify_fd, "STOPPING=1");
	parent->restart = RESTART_NONE;
}

void
restart_overdue(evutil_socket_t fd, short what, void *arg)
{
	const struct parent *parent = arg;

	(void)fd;
	(void)what;
	if (parent->restart_pid != 0)
		(void)kill(parent->restart_pid, SIGKILL); /* is reaped then */
}

void
restart_on_reload(struct parent *parent, bool ok, const char *text)
{
	if (parent->restart != RESTART_RELOADING)
		return;
	if (ok)
		restart_check(parent);
	else
		refuse(parent, text);
}

/* Nothing is in the way: lets the listeners end, and says so. */
static void
restart_go(struct parent *parent)
{
	struct child *asker = parent->restart_asker;

	parent->restart = RESTART_FINISHING;
	parent->restart_asker = NULL;
	notify_send(parent->notify_fd,
	    "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=restarting",
	    (unsigned long long)util_now_us());
	if (asker != NULL && asker->state == CHILD_READY)
		(void)msg_send_result(&asker->chan, MSG_INFO_END,
		    parent->restart_handle, true, NULL);
	log_info("restarting");
	parent_finish(parent);
}

bool
restart_reap(struct parent *parent, pid_t pid, int status)
{
	char why[CONF_PATH_MAX + 128];

	if (pid != parent->restart_pid || pid == 0)
		return false;
	parent->restart_pid = 0;
	event_del(parent->restart_timer);
	if (parent->restart != RESTART_CHECKING)
		return true; /* a signal has ended it meanwhile */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		restart_go(parent);
		return true;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		(void)snprintf(
		    why, sizeof(why), "%s cannot be executed", parent->exe);
	else
		(void)snprintf(why, sizeof(why),
		    "%s is not well: with -n it ends with %s %d", parent->exe,
		    WIFEXITED(status) ? "status" : "signal",
		    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	refuse(parent, why);
	return true;
}

void
restart_on_death(const struct child *c)
{
	/* Its successor must not be told what it did not ask for. */
	if (c->parent->restart_asker == c)
		c->parent->restart_asker = NULL;
}

/*
 * Leaves the descriptors open over an execve(2), or takes that back.  Returns
 * how many there are; with fds not NULL they are put there.
 */
static uint32_t
keep_sockets(const struct parent *parent, bool keep, int *fds)
{
	const struct parent_sockets *set;
	uint32_t i, k, n = 0;
	int fd;

	for (i = 0; i < parent->active.conf->workers; i++) {
		set = &parent->active.sockets[i];
		for (k = 0; k <= set->n; k++) {
			fd = k < set->n ? set->socks[k].fd : set->control;
			if (fd == -1)
				continue;
			if (fds != NULL)
				fds[n] = fd;
			else if (fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC) ==
				 -1)
				log_warn("fcntl");
			n++;
		}
	}
	return n;
}

/* What the next program has to know.  Returns 0, or -1 with errno. */
static int
set_environment(const struct parent *parent)
{
	uint32_t n = keep_sockets(parent, true, NULL);
	int *fds = calloc(n + 1, sizeof(*fds));
	char us[32];
	int ret;

	if (fds == NULL)
		return -1;
	n = keep_sockets(parent, true, fds);
	ret = inherit_leave(parent->filter, parent->nfilters, fds, n);
	free(fds);
	(void)snprintf(us, sizeof(us), "%llu",
	    (unsigned long long)parent->watchdog_ms * 1000);
	if (ret == 0 && parent->notify_name != NULL)
		ret = setenv("NOTIFY_SOCKET", parent->notify_name, 1);
	if (ret == 0 && parent->watchdog_ms != 0)
		ret = setenv("WATCHDOG_USEC", us, 1);
	return ret;
}

/*
 * A signal that says to stop must not get lost between two programs: until the
 * next one watches it, it is held back.
 */
static void
hold_signals(int how)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	if (sigprocmask(how, &set, NULL) == -1)
		fatal("sigprocmask");
}

void
restart_end(void)
{
	hold_signals(SIG_UNBLOCK);
}

bool
restart_execute(struct parent *parent)
{
	if (parent->restart != RESTART_FINISHING || parent->failed)
		return false;
	hold_signals(SIG_BLOCK);
	(void)event_base_loop(parent->base, EVLOOP_NONBLOCK);
	if (parent->restart != RESTART_FINISHING) {
		hold_signals(SIG_UNBLOCK);
		return false;
	}
	if (set_environment(parent) == 0)
		execute(parent, false);
	log_warn("restart failed, the old program goes on: %s", parent->exe);
	(void)keep_sockets(parent, false, NULL);
	hold_signals(SIG_UNBLOCK);
	event_del(parent->finish_timer);
	parent->restart = RESTART_NONE;
	parent->finishing = parent->stopping = false;
	status_ready(parent, "the last restart has failed");
	return true;
}
