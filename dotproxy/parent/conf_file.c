/* SPDX-License-Identifier: ISC */
/*
 * Opens and checks the files of the configuration.  Runs in the parent, as
 * root: what is opened is checked through its descriptor, never by name, and
 * opening must not block on a FIFO or a device.
 */
#include "dotproxy/parent/conf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opens a regular file.  Returns NULL and the descriptor, or what is wrong. */
static const char *
file_open(const char *path, int *fd, struct stat *st)
{
	const char *why;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd == -1)
		return strerror(errno);
	if (fstat(*fd, st) == -1)
		why = strerror(errno);
	else if (!S_ISREG(st->st_mode))
		why = "not a regular file";
	else
		return NULL;
	(void)close(*fd); /* nothing was written */
	*fd = -1;
	return why;
}

/* Like read(2), but goes on until size bytes are there or the file ends. */
static ssize_t
file_read_full(int fd, char *buf, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while (have < size) {
		n = read(fd, buf + have, size - have);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static const char *
file_check_owner(const struct stat *st)
{
	if (st->st_uid != 0 && st->st_uid != getuid())
		return "owner not root or current user: chown it";
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return "group or world writable: chmod go-w it";
	return NULL;
}

const char *
conf_file_read(const char *path, char **buf, size_t *len)
{
	struct stat st;
	const char *why;
	ssize_t n;
	int fd;

	*buf = NULL;
	*len = 0;
	if ((why = file_open(path, &fd, &st)) != NULL)
		return why;
	if ((why = file_check_owner(&st)) != NULL)
		goto done;

	/* One byte more than is allowed tells whether it is too long. */
	if ((*buf = malloc(CONF_FILE_SIZE_MAX + 1)) == NULL) {
		why = strerror(ENOMEM);
		goto done;
	}
	n = file_read_full(fd, *buf, CONF_FILE_SIZE_MAX + 1);
	if (n == -1)
		why = strerror(errno);
	else if ((size_t)n > CONF_FILE_SIZE_MAX)
		why = "file too large";
	else
		*len = (size_t)n;
	if (why != NULL) {
		free(*buf);
		*buf = NULL;
	}
done:
	(void)close(fd); /* only read from */
	return why;
}

/*
 * Looks for a mark in a file; returns NULL, or why it was not found.  Leaves
 * nothing of what it has read in memory.
 */
static const char *
file_find(int fd, const char *mark, const char *missing)
{
	const size_t marklen = strlen(mark);
	const char *why = NULL;
	char buf[16384];
	size_t keep = 0; /* bytes of the last piece, as it may cut the mark */
	ssize_t n;

	for (;;) {
		n = file_read_full(fd, buf + keep, sizeof(buf) - keep);
		if (n == -1) {
			why = strerror(errno);
			break;
		}
		if (memmem(buf, keep + (size_t)n, mark, marklen) != NULL)
			break;
		if (n == 0) {
			why = missing;
			break;
		}
		n += (ssize_t)keep;
		keep = (size_t)n < marklen - 1 ? (size_t)n : marklen - 1;
		memmove(buf, buf + (size_t)n - keep, keep);
	}
	explicit_bzero(buf, sizeof(buf));
	return why;
}

const char *
conf_file_open(const char *path, int *fd)
{
	struct stat st;

	return file_open(path, fd, &st);
}

const char *
conf_file_check_ca(const char *path)
{
	const char *why;
	int fd;

	if ((why = conf_file_open(path, &fd)) != NULL)
		return why;
	why = file_find(
	    fd, "-----BEGIN CERTIFICATE-----", "no certificate in it");
	(void)close(fd); /* only read from */
	return why;
}

const char *
conf_file_open_key(const char *path, int *fd)
{
	struct stat st;
	const char *why;

	if ((why = file_open(path, fd, &st)) != NULL)
		return why;
	if ((why = file_check_owner(&st)) == NULL &&
	    (st.st_mode & (S_IRWXG | S_IRWXO)) == 0)
		return NULL;
	if (why == NULL)
		why = "group or others may read it: chmod go= it";
	(void)close(*fd); /* nothing was written */
	*fd = -1;
	return why;
}

const char *
conf_file_check_key(const char *path)
{
	const char *why;
	int fd;

	if ((why = conf_file_open_key(path, &fd)) != NULL)
		return why;
	why = file_find(fd, " PRIVATE KEY-----", "no private key in it");
	(void)close(fd); /* only read from */
	return why;
}
