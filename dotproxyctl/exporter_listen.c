/* SPDX-License-Identifier: ISC */
/*
 * The sockets that the exporter listens on.  Runs in dotproxyctl before it is
 * two processes and confined.  Takes addresses and ports as numbers only:
 * nothing is looked up.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/util.h"

#include "dotproxyctl/exporter.h"

#define BACKLOG 64

/* Splits at the last colon, without brackets.  False if it is no address. */
static bool
parse_address(const char *text, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN], *end;
	unsigned long port;
	size_t len;

	memset(ss, 0, sizeof(*ss));
	if (colon == NULL || colon[1] < '0' || colon[1] > '9')
		return false;
	port = strtoul(colon + 1, &end, 10);
	if (*end != '\0' || port > UINT16_MAX)
		return false;
	len = (size_t)(colon - text);
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		ss->ss_family = AF_INET6;
		text++;
		len -= 2;
	} else
		ss->ss_family = AF_INET;
	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (ss->ss_family == AF_INET6) {
		sin6->sin6_port = htons((uint16_t)port);
		return inet_pton(AF_INET6, host, &sin6->sin6_addr) == 1;
	}
	sin->sin_port = htons((uint16_t)port);
	return inet_pton(AF_INET, host, &sin->sin_addr) == 1;
}

/* Returns a socket bound to the address, which has its port then; or -1. */
static int
open_inet(struct sockaddr_storage *ss, char name[EXPORTER_NAME_MAX])
{
	const int one = 1;
	char text[SOCKADDR_TEXT_MAX];
	socklen_t len = sizeof(*ss);
	int fd;

	fd = socket(
	    ss->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == -1 ||
	    (ss->ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) ==
		    -1) ||
	    bind(fd, (struct sockaddr *)ss, sockaddr_len(ss)) == -1 ||
	    listen(fd, BACKLOG) == -1 ||
	    getsockname(fd, (struct sockaddr *)ss, &len) == -1) {
		close(fd);
		return -1;
	}
	(void)snprintf(
	    name, EXPORTER_NAME_MAX, "http://%s/", sockaddr_text(ss, text));
	return fd;
}

/* A socket that is there belongs to one that ran before, unless it answers. */
static bool
is_abandoned(int fd, const struct sockaddr_un *sun)
{
	struct stat st;

	if (lstat(sun->sun_path, &st) == -1 || !S_ISSOCK(st.st_mode))
		return false;
	return connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == -1 &&
	       errno == ECONNREFUSED;
}

/* Returns a socket at this path, for its owner and group; or -1. */
static int
open_unix(const char *path, char name[EXPORTER_NAME_MAX])
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd, rc;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (is_abandoned(fd, &sun))
		(void)unlink(path);
	mask = umask(0117);
	rc = bind(fd, (const struct sockaddr *)&sun, sizeof(sun));
	(void)umask(mask);
	if (rc == -1 || listen(fd, BACKLOG) == -1) {
		close(fd);
		return -1;
	}
	(void)snprintf(name, EXPORTER_NAME_MAX, "%s", path);
	return fd;
}

int
exporter_listen(const char *text, char name[EXPORTER_NAME_MAX],
    char error[EXPORTER_ERROR_MAX])
{
	struct sockaddr_storage ss;
	int fd;

	if (text[0] == '/')
		fd = open_unix(text, name);
	else if (parse_address(text, &ss))
		fd = open_inet(&ss, name);
	else {
		(void)snprintf(error, EXPORTER_ERROR_MAX,
		    "%.100s: not address:port, [address]:port or a path", text);
		return -1;
	}
	if (fd == -1)
		(void)snprintf(error, EXPORTER_ERROR_MAX, "%.100s: %s", text,
		    strerror(errno));
	return fd;
}
