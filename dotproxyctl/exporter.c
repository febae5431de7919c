/* SPDX-License-Identifier: ISC */
/*
 * Starts the exporter: opens its sockets, becomes two processes, and has each
 * confine itself; see exporter.h.  No byte from outside is read before that.
 */
#include "dotproxyctl/exporter.h"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/log.h"

#include "dotproxy/sandbox.h"

#define SERVER_NOFILE 128
#define READER_NOFILE 256 /* a connection to each worker, and some files */

static size_t
open_all(const struct exporter_opts *o, int fds[EXPORTER_LISTEN_MAX])
{
	char name[EXPORTER_NAME_MAX], error[EXPORTER_ERROR_MAX];
	size_t i, n = o->nlisten > 0 ? o->nlisten : 1;

	for (i = 0; i < n; i++) {
		fds[i] = exporter_listen(
		    o->nlisten > 0 ? o->listen[i] : EXPORTER_LISTEN_DEFAULT,
		    name, error);
		if (fds[i] == -1)
			fatalx("exporter: %s", error);
		log_info("exporter: listening on %s", name);
	}
	return n;
}

/* Who the server becomes; nobody else if we are not root. */
static void
find_user(const char *user, struct sandbox_opts *sandbox)
{
	const struct passwd *pw;

	sandbox->confine = geteuid() == 0;
	if (!sandbox->confine)
		return;
	pw = getpwnam(user);
	if (pw == NULL)
		fatalx("exporter: no user %s; -u names another", user);
	if (pw->pw_uid == 0)
		fatalx("exporter: %s is root", user);
	sandbox->uid = pw->pw_uid;
	sandbox->gid = pw->pw_gid;
	sandbox_make_empty_dir();
}

/* The server's log goes to the reader: it must not write to files. */
static void
close_stdio(void)
{
	int i, fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd == -1)
		fatal("/dev/null");
	for (i = 0; i < 3; i++)
		if (dup2(fd, i) == -1)
			fatal("dup2");
	close(fd);
}

int
exporter_run(const struct exporter_opts *o)
{
	struct sandbox_opts sandbox = { .nofile = SERVER_NOFILE };
	int fds[EXPORTER_LISTEN_MAX], pair[2];
	size_t i, n;
	pid_t pid;

	log_init_stderr();
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		fatal("signal");
	n = open_all(o, fds);
	find_user(o->user, &sandbox);
	if (imsg_socketpair(pair) == -1)
		fatal("socketpair");
	pid = fork();
	if (pid == -1)
		fatal("fork");
	if (pid == 0) {
		close(pair[0]);
		close_stdio();
		exporter_server(pair[1], fds, n, &sandbox);
	}
	close(pair[1]);
	for (i = 0; i < n; i++)
		close(fds[i]);
	sandbox.nofile = READER_NOFILE;
	sandbox.readable = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (sandbox.readable == -1)
		fatal("/proc");
	(void)sandbox_enter(SANDBOX_READER, &sandbox);
	close(sandbox.readable);
	exporter_reader(pair[0], o->socket);
}
