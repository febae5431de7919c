/* SPDX-License-Identifier: ISC */
/*
 * Finds out who listens where we cannot, so that the message can name it: on
 * many machines something has port 53 already.  Runs in the parent, before it
 * is confined, and only when the start fails.  Reads /proc, writes nothing.
 */
#include "dotproxy/parent/holder.h"

#include <netinet/in.h>

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"

#define STATE_LISTEN 0x0a /* of a TCP socket */
#define FIELD_INODE 9     /* in a line, from 0 */

/* An address as the kernel prints it: words in the machine's order. */
static void
print_address(const struct sockaddr_storage *ss, char buf[33])
{
	const struct sockaddr_in *sin = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)ss;
	uint32_t w[4];

	if (ss->ss_family == AF_INET) {
		(void)snprintf(buf, 33, "%08" PRIX32, sin->sin_addr.s_addr);
		return;
	}
	memcpy(w, &sin6->sin6_addr, sizeof(w));
	(void)snprintf(buf, 33,
	    "%08" PRIX32 "%08" PRIX32 "%08" PRIX32 "%08" PRIX32, w[0], w[1],
	    w[2], w[3]);
}

static bool
is_wildcard(const char *address, size_t len)
{
	return strspn(address, "0") >= len;
}

bool
holder_match(const char *line, const struct sockaddr_storage *ss, bool tcp,
    uint64_t *inode)
{
	const char *field[FIELD_INODE + 1];
	char ours[33];
	size_t i, len;

	for (i = 0; i <= FIELD_INODE; i++) {
		line += strspn(line, " ");
		field[i] = line;
		line += strcspn(line, " \n");
		if (line == field[i])
			return false;
	}
	len = strcspn(field[1], ": ");
	if (field[1][len] != ':' ||
	    strtoul(field[1] + len + 1, NULL, 16) != sockaddr_port(ss) ||
	    (tcp && strtoul(field[3], NULL, 16) != STATE_LISTEN))
		return false;
	print_address(ss, ours);
	if (!is_wildcard(field[1], len) && !is_wildcard(ours, strlen(ours)) &&
	    (strlen(ours) != len || strncmp(field[1], ours, len) != 0))
		return false;
	*inode = strtoull(field[FIELD_INODE], NULL, 10);
	return *inode != 0;
}

/* True if one of a process' descriptors is this socket. */
static bool
has_socket(const char *pid, uint64_t inode)
{
	char path[64], link[64], want[64];
	const struct dirent *e;
	bool found = false;
	ssize_t n;
	DIR *d;

	(void)snprintf(want, sizeof(want), "socket:[%" PRIu64 "]", inode);
	(void)snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	if ((d = opendir(path)) == NULL)
		return false;
	while (!found && (e = readdir(d)) != NULL) {
		n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		if (n == -1)
			continue;
		link[n] = '\0';
		found = strcmp(link, want) == 0;
	}
	(void)closedir(d); /* only read */
	return found;
}

static void
name_process(const char *pid, char buf[HOLDER_TEXT_MAX])
{
	char path[64], name[17] = "?", escaped[4 * sizeof(name)];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	if ((f = fopen(path, "re")) != NULL) {
		if (fgets(name, sizeof(name), f) != NULL)
			name[strcspn(name, "\n")] = '\0';
		(void)fclose(f); /* only read */
	}
	/* Anybody may call a process anything. */
	(void)snprintf(buf, HOLDER_TEXT_MAX, "%s (pid %.16s)",
	    log_escape(escaped, sizeof(escaped), name, strlen(name)), pid);
}

static bool
find_process(uint64_t inode, char buf[HOLDER_TEXT_MAX])
{
	const struct dirent *e;
	bool found = false;
	DIR *d = opendir("/proc");

	while (!found && d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9' ||
		    !has_socket(e->d_name, inode))
			continue;
		name_process(e->d_name, buf);
		found = true;
	}
	if (d != NULL)
		(void)closedir(d); /* only read */
	return found;
}

bool
holder_find(
    const struct sockaddr_storage *ss, bool tcp, char buf[HOLDER_TEXT_MAX])
{
	static const char *const files[2][2] = { { "/proc/net/udp",
						     "/proc/net/udp6" },
		{ "/proc/net/tcp", "/proc/net/tcp6" } };
	bool found = false;
	char line[256];
	uint64_t inode;
	FILE *f;
	int i;

	for (i = 0; i < 2 && !found; i++) {
		if ((f = fopen(files[tcp][i], "re")) == NULL)
			continue;
		while (!found && fgets(line, sizeof(line), f) != NULL)
			found = holder_match(line, ss, tcp, &inode) &&
				find_process(inode, buf);
		(void)fclose(f); /* only read */
	}
	return found;
}
