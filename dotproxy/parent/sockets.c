/* SPDX-License-Identifier: ISC */
/*
 * The sockets that clients speak to, and the control socket: made here, in
 * the parent, kept over reloads and the deaths of children, and handed to the
 * listeners.  The parent never reads from one of them.
 *
 * Several workers have a socket each for every address, and the kernel shares
 * out what comes (SO_REUSEPORT).  That lets another process of the same user
 * join in, too: as root none that could not do worse.  But a second server
 * started by mistake would not fail then but take its share of the queries; so
 * a single worker does without, until a reload adds others.
 */
#include "dotproxy/parent/parent.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "dotproxy/parent/holder.h"

/* Room for a burst of queries while the listener is busy or respawned. */
#define UDP_BUFFER_BYTES (4 * 1024 * 1024)
#define CONTROL_BACKLOG 16
#define STORE_NAME_MAX (SOCKADDR_TEXT_MAX + 16)

static int
set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/* Options every listening socket needs.  Returns 0 or -1. */
static int
set_options(int fd, bool tcp, int family, bool shared)
{
	/* One that was handed over may have been one of several. */
	if (set_int(fd, SOL_SOCKET, SO_REUSEPORT, shared ? 1 : 0) == -1)
		return -1;
	if (tcp) {
		/* An accepted connection inherits TCP_NODELAY. */
		if (set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1) == -1)
			return -1;
		return set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	}
	/* So that the answer can leave from the address that was asked. */
	if (family == AF_INET) {
		if (set_int(fd, IPPROTO_IP, IP_PKTINFO, 1) == -1)
			return -1;
		/* Do not believe forged "fragmentation needed". */
		(void)set_int(
		    fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
	} else {
		if (set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) == -1)
			return -1;
		(void)set_int(
		    fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT);
	}
	/* Beyond the sysctl's limit as root, up to it otherwise. */
	if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, UDP_BUFFER_BYTES) == -1)
		(void)set_int(fd, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER_BYTES);
	if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, UDP_BUFFER_BYTES) == -1)
		(void)set_int(fd, SOL_SOCKET, SO_SNDBUF, UDP_BUFFER_BYTES);
	return 0;
}

static int
bind_one(int fd, const struct conf_listen *line)
{
	const struct sockaddr_storage *addr = &line->addr;
	bool v6 = addr->ss_family == AF_INET6;

	if (v6 && set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) == -1)
		return -1;
	if (line->freebind && set_int(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
				  v6 ? IPV6_FREEBIND : IP_FREEBIND, 1) == -1)
		return -1;
	return bind(fd, (const struct sockaddr *)addr, sockaddr_len(addr));
}

/* What cannot be changed about a socket that was handed over. */
static int
check_v6only(int fd)
{
	socklen_t len = sizeof(int);
	int on = 0;

	if (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, &len) == -1)
		return -1;
	if (on != 0)
		return 0;
	log_warnx("the service manager's socket is for IPv4, too: it needs "
		  "BindIPv6Only=ipv6-only");
	errno = EINVAL;
	return -1;
}

/* What the service manager knows a socket by: no colon may be in it. */
static const char *
store_name(const struct sockaddr_storage *ss, bool tcp, uint32_t worker,
    char name[STORE_NAME_MAX])
{
	char addr[SOCKADDR_TEXT_MAX];
	char *p;

	(void)snprintf(name, STORE_NAME_MAX, "%s-%s-%u", tcp ? "tcp" : "udp",
	    sockaddr_text(ss, addr), worker + 1);
	while ((p = strchr(name, ':')) != NULL)
		*p = '_';
	return name;
}

/*
 * Makes one listening socket, or one that was handed over ready for use.
 * Returns it, or -1 with errno.
 */
static int
open_one(struct inherit *inherited, const struct conf_listen *line, bool tcp,
    bool shared, uint32_t worker)
{
	int family = line->addr.ss_family, saved;
	char name[STORE_NAME_MAX];
	int fd = inherit_take(inherited, &line->addr, tcp,
	    store_name(&line->addr, tcp, worker, name));
	bool bound = fd != -1;

	if (!bound)
		fd = socket(family,
		    (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC |
			SOCK_NONBLOCK,
		    0);
	if (fd == -1)
		return -1;
	if (set_options(fd, tcp, family, shared) == -1 ||
	    (!bound && bind_one(fd, line) == -1) ||
	    (bound && family == AF_INET6 && check_v6only(fd) == -1) ||
	    (tcp && listen(fd, CONF_TCP_BACKLOG) == -1)) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static const struct parent_socket *
find_socket(const struct parent_sockets *set,
    const struct sockaddr_storage *addr, bool tcp)
{
	uint32_t i;

	for (i = 0; set != NULL && i < set->n; i++)
		if (set->socks[i].tcp == tcp &&
		    sockaddr_equal(&set->socks[i].addr, addr))
			return &set->socks[i];
	return NULL;
}

/*
 * Takes away a control socket whose daemon is gone.  Returns 0, or -1 with
 * errno if the name is a living daemon's (EADDRINUSE; one that is too busy to
 * accept lives, too) or is not a socket's at all (EEXIST).
 */
static int
control_remove_stale(int fd, const struct sockaddr_un *sun)
{
	struct stat st;

	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
	    errno == EAGAIN) {
		errno = EADDRINUSE;
		return -1;
	}
	if (lstat(sun->sun_path, &st) == -1)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	return unlink(sun->sun_path);
}

/*
 * Binds the control socket, mode 0600.  A name left behind by a daemon that
 * is gone is replaced; a living one's is not.
 */
static int
open_control(const char *path)
{
	struct sockaddr_un sun;
	mode_t old_umask;
	int fd, saved;

	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	memcpy(sun.sun_path, path, strnlen(path, sizeof(sun.sun_path) - 1));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (control_remove_stale(fd, &sun) == -1)
		goto fail;
	old_umask = umask(0177);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		umask(old_umask);
		goto fail;
	}
	umask(old_umask);
	if (listen(fd, CONTROL_BACKLOG) == -1)
		goto fail;
	return fd;
fail:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/*
 * Makes the directory of the default control socket: on most systems /run is
 * empty after a boot.  Any other directory is the administrator's to make.
 */
static void
make_run_dir(const char *control_path)
{
	if (strcmp(control_path, CONF_CONTROL_DEFAULT) == 0)
		(void)mkdir("/run/dotproxy", 0755); /* bind(2) will tell */
}

static int
add_socket(struct parent *parent, const struct parent_sockets *old,
    struct parent_sockets *out, const struct conf_listen *line, bool tcp,
    bool shared)
{
	struct parent_socket *s = &out->socks[out->n];
	const struct parent_socket *known;

	known = find_socket(old, &line->addr, tcp);
	if (known != NULL) {
		/* Linux takes it after bind(2), too, which not all do. */
		if (shared &&
		    set_int(known->fd, SOL_SOCKET, SO_REUSEPORT, 1) == -1)
			return -1;
		*s = *known;
		out->n++;
		return 0;
	}
	s->fd = open_one(&parent->inherited, line, tcp, shared, out->worker);
	if (s->fd == -1)
		return -1;
	s->id = parent->next_socket_id++;
	s->tcp = tcp;
	s->stored = false;
	s->addr = line->addr;
	out->n++;
	return 0;
}

/* True if clients are served on that port now, at whatever address. */
static bool
has_port(const struct parent_conf *pc, const struct conf_listen *l, bool tcp)
{
	const struct parent_socket *s;
	uint32_t i;

	for (i = 0; pc->sockets != NULL && i < pc->sockets[0].n; i++) {
		s = &pc->sockets[0].socks[i];
		if (s->tcp == tcp && s->addr.ss_family == l->addr.ss_family &&
		    sockaddr_port(&s->addr) == sockaddr_port(&l->addr))
			return true;
	}
	return false;
}

/* What to do about an address that cannot be had. */
static const char *
listen_hint(
    const struct parent *parent, const struct conf_listen *l, bool tcp, int err)
{
	switch (err) {
	case EADDRINUSE:
		if (!has_port(&parent->active, l, tcp))
			return "";
		return " (if by dotproxy: to go from one address to all, or "
		       "back, stop it and start it)";
	case EACCES:
		if (parent->base != NULL)
			return " (dotproxy was started without a port below "
			       "1024: stop it and start it)";
		return " (a port below 1024 takes root: start it as root, or "
		       "listen on another port)";
	case EADDRNOTAVAIL:
		return " (this machine does not have that address: take the "
		       "line out, or add freebind to it if it comes later)";
	case EAFNOSUPPORT:
		return " (this machine has no IPv6: take the line out)";
	default:
		return "";
	}
}

/* Says why an address cannot be had; err is the errno of that. */
static void
explain(const struct parent *parent, const struct conf_listen *l, bool tcp,
    int err, char *what, size_t whatsize)
{
	char addr[SOCKADDR_TEXT_MAX], holder[HOLDER_TEXT_MAX];

	(void)sockaddr_text(&l->addr, addr);
	/* With an event loop it is a reload, and locked up. */
	if (err == EADDRINUSE && parent->base == NULL &&
	    holder_find(&l->addr, tcp, holder)) {
		(void)snprintf(what, whatsize,
		    "cannot listen on %s/%s: %s has it: stop that, or listen "
		    "on another address or port",
		    addr, tcp ? "tcp" : "udp", holder);
		return;
	}
	(void)snprintf(what, whatsize, "cannot listen on %s/%s: %s%s", addr,
	    tcp ? "tcp" : "udp", strerror(err),
	    listen_hint(parent, l, tcp, err));
}

/* Opens the sockets for clients of one worker.  Returns 0, or -1 and what. */
static int
open_listens(struct parent *parent, const struct conf *conf,
    const struct parent_sockets *old, struct parent_sockets *out, char *what,
    size_t whatsize)
{
	const struct conf_listen *l;
	uint32_t i;
	bool tcp;

	for (i = 0; i < 2 * conf->nlistens; i++) {
		l = &conf->listens[i / 2];
		tcp = i % 2 == 1;
		if (!(tcp ? l->tcp : l->udp) ||
		    add_socket(parent, old, out, l, tcp, conf->workers > 1) ==
			0)
			continue;
		explain(parent, l, tcp, errno, what, whatsize);
		return -1;
	}
	return 0;
}

/* What to do about a control socket that cannot be had. */
static const char *
control_hint(int err)
{
	switch (err) {
	case EADDRINUSE:
		return " (by another dotproxy: stop or reload that, or name "
		       "another with: control socket \"path\")";
	case EEXIST:
		return " (and is no socket: remove it, or name another with: "
		       "control socket \"path\")";
	case ENOENT:
		return " (make the directory, or name another with: control "
		       "socket \"path\")";
	default:
		return " (name another with: control socket \"path\")";
	}
}

/* The control socket of one worker: the first has the name as it is. */
static int
add_control(struct inherit *inherited, const struct conf *conf, uint32_t worker,
    const struct parent_sockets *old, struct parent_sockets *out, char *what,
    size_t whatsize)
{
	/* The parser has seen to its not being too long. */
	(void)conf_control_path(
	    out->control_path, conf->control_socket, worker);
	if (old != NULL && old->control != -1 &&
	    strcmp(old->control_path, out->control_path) == 0) {
		out->control = old->control;
		return 0;
	}
	out->control = inherit_take_unix(inherited, out->control_path);
	if (out->control != -1)
		return 0;
	make_run_dir(out->control_path);
	out->control = open_control(out->control_path);
	if (out->control != -1)
		return 0;
	(void)snprintf(what, whatsize, "control socket %s: %s%s",
	    out->control_path, strerror(errno), control_hint(errno));
	return -1;
}

/* The sockets that a worker has under a configuration; NULL if none. */
static const struct parent_sockets *
worker_sockets(const struct parent_conf *pc, uint32_t worker)
{
	if (pc == NULL || pc->conf == NULL || worker >= pc->conf->workers)
		return NULL;
	return &pc->sockets[worker];
}

int
sockets_open(struct parent *parent, struct parent_conf *fresh,
    const struct parent_conf *old, char *what, size_t whatsize)
{
	const struct conf *conf = fresh->conf;
	const struct parent_sockets *have;
	uint32_t i;

	fresh->sockets = calloc(conf->workers, sizeof(fresh->sockets[0]));
	if (fresh->sockets == NULL) {
		(void)snprintf(what, whatsize, "out of memory");
		return -1;
	}
	for (i = 0; i < conf->workers; i++) {
		fresh->sockets[i].worker = i;
		fresh->sockets[i].control = -1;
	}
	for (i = 0; i < conf->workers; i++) {
		have = worker_sockets(old, i);
		if (open_listens(parent, conf, have, &fresh->sockets[i], what,
			whatsize) == -1 ||
		    add_control(&parent->inherited, conf, i, have,
			&fresh->sockets[i], what, whatsize) == -1) {
			sockets_close(fresh, old);
			return -1;
		}
	}
	return 0;
}

void
sockets_store(struct parent *parent)
{
	struct parent_conf *pc = &parent->active;
	char name[STORE_NAME_MAX];
	struct parent_socket *s;
	uint32_t i, k;

	for (i = 0; parent->notify_fd != -1 && i < pc->conf->workers; i++)
		for (k = 0; k < pc->sockets[i].n; k++) {
			s = &pc->sockets[i].socks[k];
			if (s->stored)
				continue;
			s->stored = notify_store(parent->notify_fd,
			    store_name(&s->addr, s->tcp, i, name), s->fd);
			if (!s->stored) { /* the rest in a second */
				status_changed(parent);
				return;
			}
		}
}

void
sockets_forget(struct parent *parent, const struct parent_conf *pc,
    const struct parent_conf *keep)
{
	char name[STORE_NAME_MAX];
	const struct parent_socket *s;
	uint32_t i, k;

	for (i = 0; parent->notify_fd != -1 && i < pc->conf->workers; i++)
		for (k = 0; k < pc->sockets[i].n; k++) {
			s = &pc->sockets[i].socks[k];
			if (!s->stored || find_socket(worker_sockets(keep, i),
					      &s->addr, s->tcp) != NULL)
				continue;
			notify_forget(parent->notify_fd,
			    store_name(&s->addr, s->tcp, i, name));
		}
}

/* Removes the control socket's name from the file system. */
static void
unlink_control(const char *path)
{
	if (unlink(path) == -1 && errno != ENOENT)
		log_warn("cannot remove %s", path);
}

static void
close_set(struct parent_sockets *set, const struct parent_sockets *keep)
{
	uint32_t i;

	for (i = 0; i < set->n; i++)
		if (find_socket(keep, &set->socks[i].addr, set->socks[i].tcp) ==
		    NULL)
			close(set->socks[i].fd);
	if (set->control != -1 &&
	    (keep == NULL || keep->control != set->control)) {
		close(set->control);
		unlink_control(set->control_path);
	}
}

void
sockets_close(struct parent_conf *pc, const struct parent_conf *keep)
{
	uint32_t i;

	for (i = 0; pc->sockets != NULL && i < pc->conf->workers; i++)
		close_set(&pc->sockets[i], worker_sockets(keep, i));
	free(pc->sockets);
	pc->sockets = NULL;
	if (keep == NULL || keep->conf->workers > 1)
		return;
	/* The one that stays shares with nobody any more. */
	for (i = 0; i < keep->sockets[0].n; i++)
		(void)set_int(
		    keep->sockets[0].socks[i].fd, SOL_SOCKET, SO_REUSEPORT, 0);
}
