/* SPDX-License-Identifier: ISC */
/*
 * Takes the text files of /proc apart; see proc_text.h.  Runs in dotproxyctl.
 * What is not written exactly as expected is not understood, rather than
 * guessed: a number that is wrong may say that all is well.
 */
#include "dotproxyctl/proc_text.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool
proc_read_text(int dir, const char *name, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n = 0;
	int fd;

	fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return false;
	while (len < size && (n = read(fd, buf + len, size - len)) > 0)
		len += (size_t)n;
	close(fd);
	if (n == -1 || len == size)
		return false;
	buf[len] = '\0';
	return strlen(buf) == len;
}

static int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 16;
}

bool
proc_take_number(
    const char **text, unsigned int base, uint64_t most, uint64_t *v)
{
	const char *p = *text + strspn(*text, " \t");
	uint64_t d;

	if ((unsigned int)digit_of(*p) >= base)
		return false;
	for (*v = 0; (d = (uint64_t)digit_of(*p)) < base; p++) {
		if (*v > (most - d) / base)
			return false;
		*v = *v * base + d;
	}
	*text = p;
	return strchr(" \t\n", *p) != NULL; /* or the end */
}

bool
proc_take_u32(const char **text, uint32_t *v)
{
	uint64_t n;

	if (!proc_take_number(text, 10, UINT32_MAX, &n))
		return false;
	*v = (uint32_t)n;
	return true;
}

const char *
proc_value_of(const char *text, const char *key)
{
	size_t len = strlen(key);

	while (text != NULL) {
		if (strncmp(text, key, len) == 0 && text[len] == ':')
			return text + len + 1;
		text = strchr(text, '\n');
		if (text != NULL)
			text++;
	}
	return NULL;
}

bool
proc_get_number(
    const char *text, const char *key, unsigned int base, uint64_t *v)
{
	const char *p = proc_value_of(text, key);

	return p != NULL && proc_take_number(&p, base, UINT64_MAX - 1, v);
}

bool
proc_get_ids(const char *text, const char *key, uint32_t ids[4])
{
	const char *p = proc_value_of(text, key);
	size_t i;

	for (i = 0; i < 4; i++)
		if (p == NULL || !proc_take_u32(&p, &ids[i]))
			return false;
	return true;
}
