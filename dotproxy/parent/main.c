/* SPDX-License-Identifier: ISC */
/*
 * The parent: reads the configuration, binds the sockets, starts the children
 * and serves what broker.c lists until it is told to stop.  It never
 * reads a byte from the network.
 */
#include "dotproxy/parent/parent.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/util.h"
#include "dotproxy/parent/conf_print.h"
#include "dotproxy/sandbox.h"

/* Reads the configuration, or prints what is wrong with it and exits. */
static struct conf *
load_config(const struct parent_options *o)
{
	struct conf_errors *errs = malloc(sizeof(*errs));
	struct conf *conf;

	if (errs == NULL)
		fatal("malloc");
	conf = conf_load(o, errs);
	if (conf == NULL) {
		if (access(o->conf_path, F_OK) == -1 && errno == ENOENT)
			(void)fprintf(stderr,
			    "%s: %s: write it, dotproxy.conf(5) has what goes "
			    "in it, or name one with -f\n",
			    o->conf_path, strerror(ENOENT));
		else
			(void)fputs(errs->text, stderr);
		exit(1);
	}
	free(errs);
	return conf;
}

static void
check_config(const struct parent_options *o, const struct conf *conf)
{
	if (o->verbose) {
		if (conf_print(conf, stdout) == -1 || fflush(stdout) == EOF)
			fatal("standard output");
	} else
		(void)fprintf(stderr, "configuration OK\n");
	exit(0);
}

static void
check_program(const char *libexec, const char *name)
{
	char path[CONF_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", libexec, name);
	if (access(path, X_OK) == -1)
		fatal("cannot execute %s, install dotproxy again", path);
}

/*
 * What a restart executes: the name we were started by if it is a whole path,
 * for a link may point to another program by then; or the file's.
 */
static void
find_exe(struct parent *parent, const char *file)
{
	const char *name = program_invocation_name;

	if (name[0] != '/' || strlen(name) >= sizeof(parent->exe))
		name = file;
	(void)snprintf(parent->exe, sizeof(parent->exe), "%s", name);
}

/* The children's executables are beside ours: ../libexec/dotproxy. */
static void
find_programs(struct parent *parent)
{
	char path[CONF_PATH_MAX - 32];
	char *slash;
	ssize_t n;
	int up;

	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n == -1)
		fatal("/proc/self/exe");
	path[n] = '\0';
	find_exe(parent, path);
	for (up = 0; up < 2; up++) { /* the file, and sbin */
		slash = strrchr(path, '/');
		if (slash == NULL)
			fatalx("%s: unexpected path of executable", path);
		*slash = '\0';
	}
	(void)snprintf(parent->libexec, sizeof(parent->libexec),
	    "%s/libexec/dotproxy", path);
	check_program(parent->libexec, "dotproxy-listener");
	check_program(parent->libexec, "dotproxy-pool");
}

static void
find_user(struct parent *parent)
{
	const char *name = parent->active.conf->user;
	struct passwd *pw;

	parent->root = geteuid() == 0;
	if (!parent->root) {
		log_warnx(
		    "not started as root: the processes run as this user");
		return;
	}
	errno = 0;
	pw = getpwnam(name);
	if (pw == NULL)
		fatalx(
		    "user \"%s\" does not exist: create it (systemd-sysusers, "
		    "or: useradd --system --shell /usr/sbin/nologin %s), or "
		    "name another with: user \"name\"",
		    name, name);
	if (pw->pw_uid == 0)
		fatalx("user \"%s\" is root", name);
	parent->uid = pw->pw_uid;
	parent->gid = pw->pw_gid;
}

static void
enter_sandbox(struct parent *parent)
{
	const struct conf *conf = parent->active.conf;
	struct sandbox_opts opts = { .confine = parent->root };
	uint32_t i;

	/* After a restart it may be there already: one is enough. */
	parent->filter = sandbox_filter_name(parent->root);
	parent->nfilters = parent->inherited.nfilters;
	opts.filtered =
	    parent->nfilters > 0 && parent->inherited.filter == parent->filter;
	if (!opts.filtered)
		parent->nfilters++;
	for (i = 0; i < conf->nlistens; i++)
		if (sockaddr_port(&conf->listens[i].addr) < IPPORT_RESERVED)
			opts.low_ports = true;
	(void)sandbox_enter(SANDBOX_PARENT, &opts); /* exits on failure */
}

/* NULL with errno if it cannot be said. */
static const char *
whole_path(const char *path)
{
	char *dir, *whole = NULL;

	if (path[0] == '/')
		return path;
	dir = getcwd(NULL, 0);
	if (dir != NULL && asprintf(&whole, "%s/%s", dir, path) == -1)
		whole = NULL;
	free(dir);
	return whole;
}

/*
 * Goes on in a new process.  The one that was started waits until this one is
 * up, or has failed, and ends with a status that says which.
 */
static void
go_to_background(struct parent *parent)
{
	int fds[2];
	char byte;
	pid_t pid;

	/*
	 * A reload finds it after the change of directory, too; links in it
	 * are not resolved, for they may point elsewhere by then.
	 */
	parent->options.conf_path = whole_path(parent->options.conf_path);
	if (parent->options.conf_path == NULL || pipe2(fds, O_CLOEXEC) == -1)
		fatal("cannot go to the background");
	pid = fork();
	if (pid == -1)
		fatal("fork");
	if (pid != 0) {
		close(fds[1]);
		_exit(read(fds[0], &byte, 1) == 1 ? 0 : 1);
	}
	close(fds[0]);
	if (setsid() == -1 || chdir("/") == -1)
		fatal("cannot go to the background");
	parent->ready_fd = fds[1];
}

static void
log_to_syslog(struct parent *parent)
{
	syslog_open(&parent->syslog, "/dev/log");
	log_init_sink(syslog_line, &parent->syslog);
}

void
parent_up(struct parent *parent)
{
	int null;

	parent->up = true;
	/* First what must not get lost: of sockets it may be told too many. */
	status_ready(parent, NULL);
	sockets_store(parent);
	if (parent->ready_fd == -1) {
		log_info("started, version %s", DOTPROXY_VERSION);
		return;
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null == -1 || dup2(null, 0) == -1 || dup2(null, 1) == -1 ||
	    dup2(null, 2) == -1)
		fatal("/dev/null");
	close(null);
	log_to_syslog(parent);
	log_info("started, version %s", DOTPROXY_VERSION);
	if (write(parent->ready_fd, "", 1) != 1)
		log_warn("nobody waits for the start");
	close(parent->ready_fd);
	parent->ready_fd = -1;
}

static void
finish_overdue(evutil_socket_t fd, short what, void *arg)
{
	struct parent *parent = arg;

	(void)fd;
	(void)what;
	parent->stopping = true;
}

void
parent_finish(struct parent *parent)
{
	uint32_t ms = parent->active.conf->forward.query_timeout_ms + 500;
	const struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = (ms % 1000) * 1000 };

	/* Whoever asks again does not want to wait for that. */
	if (parent->finishing || !proc_finish(parent) ||
	    event_add(parent->finish_timer, &tv) == -1) {
		parent->stopping = true;
		return;
	}
	parent->finishing = true;
	if (parent->restart == RESTART_NONE)
		notify_send(parent->notify_fd,
		    "STOPPING=1\nSTATUS=answering what is in flight");
}

static void
watchdog_due(evutil_socket_t fd, short what, void *arg)
{
	struct parent *parent = arg;

	(void)fd;
	(void)what;
	notify_send(parent->notify_fd, "WATCHDOG=1");
}

/* Twice as often as the service manager asks for. */
static void
start_watchdog(struct parent *parent)
{
	uint32_t ms = parent->watchdog_ms / 2;
	const struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = (ms % 1000) * 1000 };

	if (ms == 0)
		return;
	parent->watchdog =
	    event_new(parent->base, -1, EV_PERSIST, watchdog_due, parent);
	if (parent->watchdog == NULL || event_add(parent->watchdog, &tv) == -1)
		fatalx("cannot start a timer");
}

static void
on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct parent *parent = arg;

	(void)what;
	switch (sig) {
	case SIGHUP:
		log_info("reload requested by signal");
		reload_start(parent, NULL, 0);
		break;
	case SIGCHLD:
		proc_reap(parent);
		break;
	case SIGTERM:
		log_info("stopping");
		/* On the way to a restart it is finishing already. */
		if (parent->restart != RESTART_FINISHING)
			parent_finish(parent);
		restart_cancel(parent);
		break;
	default:
		log_info("stopping");
		restart_cancel(parent);
		parent->stopping = true;
	}
}

static struct event *
watch_signal(struct parent *parent, int sig)
{
	struct event *ev = evsignal_new(parent->base, sig, on_signal, parent);

	if (ev == NULL || event_add(ev, NULL) == -1)
		fatalx("cannot watch signals");
	return ev;
}

static void
start_events(struct parent *parent)
{
	parent->base = loop_new();
	if (parent->base == NULL)
		fatalx("cannot make an event loop");
	(void)signal(SIGPIPE, SIG_IGN);
	parent->sig_hup = watch_signal(parent, SIGHUP);
	parent->sig_term = watch_signal(parent, SIGTERM);
	parent->sig_int = watch_signal(parent, SIGINT);
	parent->sig_chld = watch_signal(parent, SIGCHLD);
	restart_end();
	parent->reload_timer =
	    event_new(parent->base, -1, 0, reload_overdue, parent);
	parent->finish_timer =
	    event_new(parent->base, -1, 0, finish_overdue, parent);
	parent->restart_timer =
	    event_new(parent->base, -1, 0, restart_overdue, parent);
	if (parent->reload_timer == NULL || parent->finish_timer == NULL ||
	    parent->restart_timer == NULL)
		fatalx("out of memory");
	status_start(parent);
	start_watchdog(parent);
	pulse_start(parent);
}

/* Until they are told to stop, and have done so. */
static void
run_children(struct parent *parent)
{
	proc_start_pairs(parent);
	while (!parent->stopping && !parent->failed) {
		proc_flush(parent);
		if (event_base_loop(parent->base, EVLOOP_ONCE) == -1)
			fatalx("event loop failed");
	}
	if (parent->restart == RESTART_NONE)
		notify_send(parent->notify_fd, "STOPPING=1");
	proc_stop(parent);
	if (parent->next.conf == NULL)
		return;
	event_del(parent->reload_timer);
	parent->reload = RELOAD_NONE;
	sockets_close(&parent->next, &parent->active);
	free(parent->next.conf);
	parent->next.conf = NULL;
}

static void
run(struct parent *parent)
{
	do
		run_children(parent);
	while (restart_execute(parent));
	sockets_close(&parent->active, NULL);
}

static void
release(struct parent *parent)
{
	event_free(parent->sig_hup);
	event_free(parent->sig_term);
	event_free(parent->sig_int);
	event_free(parent->sig_chld);
	event_free(parent->reload_timer);
	event_free(parent->finish_timer);
	event_free(parent->restart_timer);
	event_free(parent->pulse);
	event_free(parent->status);
	if (parent->watchdog != NULL)
		event_free(parent->watchdog);
	event_base_free(parent->base);
	free(parent->notify_name);
	free(parent->active.conf);
	free(parent);
}

int
main(int argc, char *argv[])
{
	struct parent *parent;
	const char *name;
	char what[256];
	bool failed;

	log_init_stderr();
	parent = calloc(1, sizeof(*parent));
	if (parent == NULL)
		fatal("calloc");
	/* Nothing else that was left open for us is for our children. */
	if (close_range(
		(unsigned int)inherit_init(&parent->inherited), ~0U, 0) == -1)
		fatal("close_range");
	options_parse(&parent->options, argc, argv);
	log_set_level((enum log_level)parent->options.log_level);
	parent->active.conf = load_config(&parent->options);
	if (parent->options.check_only)
		check_config(&parent->options, parent->active.conf);
	if (parent->inherited.restarted && !parent->options.foreground)
		log_to_syslog(parent);
	name = getenv("NOTIFY_SOCKET");
	if (name != NULL && (parent->notify_name = strdup(name)) == NULL)
		fatal("strdup");
	parent->notify_fd = notify_open(&parent->watchdog_ms);
	find_programs(parent);
	find_user(parent);
	if (parent->root)
		sandbox_make_empty_dir();
	nofile_raise(parent);
	parent->next_socket_id = 1;
	reload_assign_ids(parent, &parent->active, &parent->next);
	inherit_give_back(
	    &parent->inherited, parent->active.conf, parent->notify_fd);
	if (sockets_open(parent, &parent->active, NULL, what, sizeof(what)) ==
	    -1)
		fatalx("%s", what);
	inherit_end(&parent->inherited, parent->notify_fd);
	parent->ready_fd = -1;
	if (!parent->options.foreground && !parent->inherited.restarted)
		go_to_background(parent);
	parent->started_ms = util_now_ms();
	start_events(parent);
	enter_sandbox(parent);
	run(parent);
	failed = parent->failed;
	release(parent);
	return failed ? 1 : 0;
}
