/* SPDX-License-Identifier: ISC */
/* LINK: dotproxy/parent/inherit.c dotproxy/parent/notify.c */
/* LINK: common/log.c common/util.c */
/*
 * What the service manager says in the environment (sd_notify(3),
 * sd_listen_fds(3)).  Two lines: of sockets, "PID FDS"; and of notification,
 * "SOCKET USEC PID".  A PID of "=" is our own.
 */
#include <fcntl.h>
#include <unistd.h>

#include "common/log.h"
#include "dotproxy/parent/inherit.h"
#include "dotproxy/parent/notify.h"
#include "tests/fuzz/fuzz.h"

static void
no_log(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

/* Sets a variable to the next word; unset if there is none. */
static void
set_word(const char *name, char **line)
{
	char own[32], *word = strsep(line, " ");

	(void)snprintf(own, sizeof(own), "%ld", (long)getpid());
	if (word == NULL || word[0] == '\0')
		FUZZ_ASSERT(unsetenv(name) == 0);
	else
		FUZZ_ASSERT(
		    setenv(name, strcmp(word, "=") == 0 ? own : word, 1) == 0);
}

/*
 * A process that has as many descriptors as the variable says, and more, would
 * close what was not taken; these are libFuzzer's, so they are left alone.
 */
static void
check_inherit(char *line)
{
	const char *names[] = { "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES" };
	struct sockaddr_storage addr;
	struct inherit in;
	uint32_t i;
	int end;

	set_word("LISTEN_PID", &line);
	set_word("LISTEN_FDS", &line);
	set_word("LISTEN_FDNAMES", &line);
	end = inherit_init(&in);
	FUZZ_ASSERT(end >= 3 && in.n <= (uint32_t)end - 3);
	for (i = 0; i < in.n; i++) {
		FUZZ_ASSERT(in.fds[i] >= 3 && in.fds[i] < end);
		FUZZ_ASSERT(fcntl(in.fds[i], F_GETFD) == FD_CLOEXEC);
	}
	for (i = 0; i < 3; i++)
		FUZZ_ASSERT(getenv(names[i]) == NULL);
	memset(&addr, 0, sizeof(addr));
	addr.ss_family = AF_INET;
	FUZZ_ASSERT(inherit_take(&in, &addr, true, "") == -1);
	free(in.fds);
	free(in.names);
}

static void
check_notify(char *line)
{
	uint32_t watchdog_ms = 1;
	int fd;

	set_word("NOTIFY_SOCKET", &line);
	set_word("WATCHDOG_USEC", &line);
	set_word("WATCHDOG_PID", &line);
	fd = notify_open(&watchdog_ms);
	FUZZ_ASSERT(fd != -1 || watchdog_ms == 0);
	FUZZ_ASSERT(getenv("NOTIFY_SOCKET") == NULL);
	FUZZ_ASSERT(getenv("WATCHDOG_USEC") == NULL);
	FUZZ_ASSERT(getenv("WATCHDOG_PID") == NULL);
	if (fd != -1)
		close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = fuzz_text(data, len), *rest = text;
	char *sockets = strsep(&rest, "\n");

	log_init_sink(no_log, NULL);
	check_inherit(sockets);
	check_notify(rest);
	free(text);
	return 0;
}
