/* SPDX-License-Identifier: ISC */
/*
 * Words to the service manager, see notify.h.  Runs in the parent.  It must
 * never wait: a manager that does not listen is not told.
 */
#include "dotproxy/parent/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"

#define NOTIFY_MAX 1024
#define WAIT_MS 5000

static uint32_t
watchdog_interval(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	unsigned long long us;
	char *end;

	if (usec == NULL ||
	    (pid != NULL && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	errno = 0;
	us = strtoull(usec, &end, 10);
	if (errno != 0 || *end != '\0' || us / 1000 > UINT32_MAX)
		return 0;
	return (uint32_t)(us / 1000);
}

static int
connect_to(const char *name)
{
	struct sockaddr_un sun;
	size_t len = strlen(name);
	socklen_t addrlen;
	int fd;

	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	if ((name[0] != '/' && name[0] != '@') || len < 2 ||
	    len >= sizeof(sun.sun_path)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(sun.sun_path, name, len);
	addrlen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (name[0] == '@') /* abstract: its length says where it ends */
		sun.sun_path[0] = '\0';
	else
		addrlen++;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd != -1 && connect(fd, (struct sockaddr *)&sun, addrlen) == -1) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int
notify_open(uint32_t *watchdog_ms)
{
	const char *name = getenv("NOTIFY_SOCKET");
	int fd = -1;

	*watchdog_ms = 0;
	if (name != NULL) {
		fd = connect_to(name);
		if (fd == -1)
			log_warn("NOTIFY_SOCKET %s", name);
		else
			*watchdog_ms = watchdog_interval();
	}
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	return fd;
}

/*
 * Sends text, with a descriptor unless sock is -1.  False if that has to be
 * tried again; any other failure is only logged.
 */
static bool
send_text(int fd, char *text, size_t len, int sock)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = text, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (sock != -1) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &sock, sizeof(sock));
	}
	if (sendmsg(fd, &msg, MSG_NOSIGNAL) != -1)
		return true;
	if (sock != -1 && errno == EAGAIN)
		return false;
	log_warn("service manager");
	return true;
}

static bool
send_format(int fd, int sock, const char *fmt, va_list ap)
{
	char text[NOTIFY_MAX];
	int n;

	if (fd == -1)
		return true;
	n = vsnprintf(text, sizeof(text), fmt, ap);
	return n <= 0 || (size_t)n >= sizeof(text) ||
	       send_text(fd, text, (size_t)n, sock);
}

void
notify_send(int fd, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)send_format(fd, -1, fmt, ap); /* never again */
	va_end(ap);
}

static bool __attribute__((format(printf, 3, 4)))
send_with(int fd, int sock, const char *fmt, ...)
{
	va_list ap;
	bool sent;

	va_start(ap, fmt);
	sent = send_format(fd, sock, fmt, ap);
	va_end(ap);
	return sent;
}

bool
notify_store(int fd, const char *name, int sock)
{
	/* Polled, one with an error to report would be thrown away. */
	return send_with(fd, sock, "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
}

void
notify_forget(int fd, const char *name)
{
	notify_send(fd, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

void
notify_wait(int fd)
{
	struct pollfd end = { .events = 0 };
	int ends[2];

	if (fd == -1 || pipe2(ends, O_CLOEXEC) == -1)
		return;
	(void)send_with(fd, ends[1], "BARRIER=1"); /* or nobody has it */
	close(ends[1]);
	end.fd = ends[0];
	(void)poll(&end, 1, WAIT_MS); /* in vain is as good as not at all */
	close(ends[0]);
}
