/* SPDX-License-Identifier: ISC */
/*
 * Sockets handed over by the service manager or a restart, see inherit.h.  Runs
 * in the parent, at start only.  It must never hand on anything but what is
 * bound to an address of the configuration.
 */
#include "dotproxy/parent/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/log.h"
#include "common/util.h"
#include "dotproxy/parent/notify.h"

#define INHERIT_FIRST 3
#define INHERIT_MAX 16384 /* all that a configuration can have */
#define RESTART_VARIABLE "DOTPROXY_RESTART"
#define NUMBER_TEXT_MAX 12   /* of a descriptor, and a space */
#define INHERIT_NAME_MAX 256 /* no manager has longer ones */

/* How many descriptors the environment speaks of, to this process. */
static uint32_t
count_listed(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");
	unsigned long n;
	char *end;

	if (pid == NULL || fds == NULL ||
	    strtol(pid, NULL, 10) != (long)getpid())
		return 0;
	errno = 0;
	n = strtoul(fds, &end, 10);
	return errno != 0 || *end != '\0' || n > INHERIT_MAX ? 0 : (uint32_t)n;
}

/* The next number of a list; 0 if there is none, or it is too large. */
static uint64_t
next_number(const char **p, uint64_t max)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(*p, &end, 10);
	if (end == *p || errno != 0 || n > max)
		return 0;
	*p = end;
	return n;
}

/*
 * What inherit_leave() has put there, if it was this process: whose PID comes
 * first.  Returns false if it was not.
 */
static bool
init_restarted(struct inherit *in, int *after)
{
	const char *p = getenv(RESTART_VARIABLE);
	int fd;

	if (p == NULL || next_number(&p, INT32_MAX) != (uint64_t)getpid())
		return false;
	in->restarted = true;
	in->filter = next_number(&p, UINT64_MAX);
	in->nfilters = (uint32_t)next_number(&p, UINT32_MAX);
	in->fds = calloc(strlen(p) / 2 + 1, sizeof(in->fds[0]));
	if (in->fds == NULL)
		fatal("calloc");
	while ((fd = (int)next_number(&p, INT32_MAX)) >= INHERIT_FIRST) {
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
			continue;
		in->fds[in->n++] = fd;
		if (fd >= *after)
			*after = fd + 1;
	}
	return true;
}

int
inherit_leave(uint64_t filter, uint32_t nfilters, const int *fds, uint32_t n)
{
	size_t size = (n + 1) * (size_t)NUMBER_TEXT_MAX + 64, len;
	char *text = malloc(size);
	uint32_t i;
	int ret;

	if (text == NULL)
		return -1;
	(void)snprintf(text, size, "%ld %" PRIu64 " %" PRIu32, (long)getpid(),
	    filter, nfilters);
	for (i = 0; i < n; i++) {
		len = strlen(text);
		(void)snprintf(text + len, size - len, " %d", fds[i]);
	}
	ret = setenv(RESTART_VARIABLE, text, 1);
	free(text);
	return ret;
}

int
inherit_init(struct inherit *in)
{
	const char *names = getenv("LISTEN_FDNAMES");
	uint32_t i, n = count_listed();
	int after = INHERIT_FIRST;

	memset(in, 0, sizeof(*in));
	if (init_restarted(in, &after)) {
		(void)unsetenv(RESTART_VARIABLE);
		return after;
	}
	(void)unsetenv(RESTART_VARIABLE);
	if (n > 0 && (in->fds = calloc(n, sizeof(in->fds[0]))) == NULL)
		fatal("calloc");
	if (n > 0 && names != NULL && (in->names = strdup(names)) == NULL)
		fatal("strdup");
	for (i = 0; i < n; i++)
		if (fcntl(INHERIT_FIRST + (int)i, F_SETFD, FD_CLOEXEC) != -1)
			in->fds[in->n++] = INHERIT_FIRST + (int)i;
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return INHERIT_FIRST + (int)n;
}

static int
get_int(int fd, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == -1 ? -1
								    : value;
}

static bool
is_bound_to(int fd, const struct sockaddr_storage *addr, bool tcp)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	memset(&name, 0, sizeof(name));
	return get_int(fd, SO_TYPE) == (tcp ? SOCK_STREAM : SOCK_DGRAM) &&
	       (!tcp || get_int(fd, SO_ACCEPTCONN) == 1) &&
	       getsockname(fd, (struct sockaddr *)&name, &len) == 0 &&
	       sockaddr_equal(&name, addr);
}

/* What the service manager calls a descriptor; a copy, empty if nothing. */
static char *
name_of(const struct inherit *in, int fd, char name[INHERIT_NAME_MAX])
{
	const char *p = in->names != NULL ? in->names : "";
	int i;

	for (i = INHERIT_FIRST; i < fd && *p != '\0'; i++) {
		p += strcspn(p, ":");
		p += *p == ':';
	}
	(void)snprintf(name, INHERIT_NAME_MAX, "%.*s", (int)strcspn(p, ":"), p);
	return name;
}

int
inherit_take(struct inherit *in, const struct sockaddr_storage *addr, bool tcp,
    const char *name)
{
	char its[INHERIT_NAME_MAX];
	int *found = NULL, fd, flags;
	uint32_t i;

	for (i = 0; i < in->n; i++) {
		fd = in->fds[i];
		if (fd == -1 || !is_bound_to(fd, addr, tcp))
			continue;
		if (found == NULL || strcmp(name_of(in, fd, its), name) == 0)
			found = &in->fds[i];
	}
	if (found == NULL || (flags = fcntl(*found, F_GETFL)) == -1 ||
	    fcntl(*found, F_SETFL, flags | O_NONBLOCK) == -1)
		return -1;
	fd = *found;
	*found = -1;
	return fd;
}

static bool
is_bound_to_path(int fd, const char *path)
{
	struct sockaddr_un name;
	socklen_t len = sizeof(name);

	memset(&name, 0, sizeof(name));
	return get_int(fd, SO_TYPE) == SOCK_STREAM &&
	       get_int(fd, SO_ACCEPTCONN) == 1 &&
	       getsockname(fd, (struct sockaddr *)&name, &len) == 0 &&
	       name.sun_family == AF_UNIX &&
	       strncmp(name.sun_path, path, sizeof(name.sun_path)) == 0;
}

int
inherit_take_unix(struct inherit *in, const char *path)
{
	uint32_t i;
	int fd;

	for (i = 0; i < in->n; i++) {
		fd = in->fds[i];
		if (fd == -1 || !is_bound_to_path(fd, path))
			continue;
		in->fds[i] = -1;
		return fd;
	}
	return -1;
}

static void
say_unused(int fd)
{
	char text[SOCKADDR_TEXT_MAX];
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	memset(&name, 0, sizeof(name));
	if (getsockname(fd, (struct sockaddr *)&name, &len) == -1 ||
	    (name.ss_family != AF_INET && name.ss_family != AF_INET6))
		log_warnx("the service manager handed over descriptor %d, "
			  "which is no socket for DNS: closed",
		    fd);
	else
		log_warnx(
		    "the service manager handed over a socket for "
		    "%s/%s, of which the configuration has no use: closed",
		    sockaddr_text(&name, text),
		    get_int(fd, SO_TYPE) == SOCK_STREAM ? "tcp" : "udp");
}

/*
 * A socket that the manager keeps goes on receiving: the kernel would give it
 * its share of what comes to the others at the same address, for nobody.
 */
static void
give_back(struct inherit *in, uint32_t i, int notify_fd)
{
	char name[INHERIT_NAME_MAX];

	say_unused(in->fds[i]);
	if (name_of(in, in->fds[i], name)[0] != '\0')
		notify_forget(notify_fd, name);
	close(in->fds[i]);
	in->fds[i] = -1;
}

/* True if a line of the configuration has its address. */
static bool
has_line(int fd, const struct conf *conf)
{
	const struct conf_listen *l;
	uint32_t i;

	for (i = 0; i < conf->nlistens; i++) {
		l = &conf->listens[i];
		if ((l->udp && is_bound_to(fd, &l->addr, false)) ||
		    (l->tcp && is_bound_to(fd, &l->addr, true)))
			return true;
	}
	return false;
}

void
inherit_give_back(struct inherit *in, const struct conf *conf, int notify_fd)
{
	bool any = false;
	uint32_t i;
	int domain;

	for (i = 0; i < in->n; i++) {
		domain = get_int(in->fds[i], SO_DOMAIN);
		if ((domain != AF_INET && domain != AF_INET6) ||
		    has_line(in->fds[i], conf))
			continue;
		give_back(in, i, notify_fd);
		any = true;
	}
	if (any && in->names != NULL) /* else it was told nothing */
		notify_wait(notify_fd);
}

void
inherit_end(struct inherit *in, int notify_fd)
{
	uint32_t i;

	for (i = 0; i < in->n; i++)
		if (in->fds[i] != -1)
			give_back(in, i, notify_fd);
	free(in->fds);
	free(in->names);
	in->fds = NULL;
	in->names = NULL;
	in->n = 0;
}
