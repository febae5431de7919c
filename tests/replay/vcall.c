/* SPDX-License-Identifier: ISC */
/*
 * The system calls of a replay, see vnet.h, on sockets in memory.  A test's: it
 * is in one process with the pool and the listener, which must not notice.
 * Whatever they could only get from a real kernel by chance, it gives them the
 * same way each time.
 */
#include "tests/replay/vsock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

ssize_t __wrap_send(int, const void *, size_t, int);
ssize_t __wrap_recv(int, void *, size_t, int);
ssize_t __wrap_sendmsg(int, const struct msghdr *, int);
ssize_t __wrap_recvmsg(int, struct msghdr *, int);
int __wrap_sendmmsg(int, struct mmsghdr *, unsigned int, int);
int __wrap_recvmmsg(
    int, struct mmsghdr *, unsigned int, int, struct timespec *);
int __wrap_accept4(int, struct sockaddr *, socklen_t *, int);
int __wrap_setsockopt(int, int, int, const void *, socklen_t);
int __wrap_socketpair(int, int, int, int[2]);
int __wrap_pipe2(int[2], int);
ssize_t __wrap_read(int, void *, size_t);
ssize_t __real_read(int, void *, size_t);
ssize_t __wrap_write(int, const void *, size_t);
ssize_t __real_write(int, const void *, size_t);
int __wrap_close(int);
int __real_close(int);
ssize_t __wrap_getrandom(void *, size_t, unsigned int);

static ssize_t
failed(int err)
{
	errno = err;
	return -1;
}

/* The error there is, once. */
static ssize_t
failed_once(struct vsock *s)
{
	int err = s->err;

	s->err = 0;
	return failed(err);
}

ssize_t
__wrap_send(int fd, const void *p, size_t len, int flags)
{
	struct vsock *s = vsock_of(fd);

	(void)flags;
	if (s == NULL || s->kind != VKIND_STREAM)
		return failed(EBADF);
	if (s->err != 0)
		return failed_once(s);
	if (s->connecting)
		return failed(EAGAIN);
	if (s->peer == NULL)
		return failed(EPIPE);
	if (vsock_room(s->peer) == 0)
		return failed(EAGAIN);
	if (len > vsock_room(s->peer))
		len = vsock_room(s->peer);
	vsock_deliver(s->peer, p, len);
	return (ssize_t)len;
}

ssize_t
__wrap_recv(int fd, void *p, size_t len, int flags)
{
	struct vsock *s = vsock_of(fd);

	(void)flags;
	if (s == NULL || s->kind != VKIND_STREAM)
		return failed(EBADF);
	if (s->err != 0)
		return failed_once(s);
	if (s->pos == s->len)
		return s->eof ? 0 : failed(EAGAIN);
	return (ssize_t)vsock_take(s, p, len);
}

ssize_t
__wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct cmsghdr *cm = CMSG_FIRSTHDR(msg);
	struct vsock *s = vsock_of(fd), *peer = s != NULL ? s->peer : NULL;
	size_t before;
	ssize_t n;
	int passed;

	if (cm != NULL && peer != NULL && peer->npassed == VSOCK_PASSED_MAX)
		return failed(ETOOMANYREFS);
	before = peer != NULL ? peer->len - peer->pos : 0;
	n = __wrap_send(
	    fd, msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len, flags);
	if (n <= 0 || cm == NULL || peer == NULL)
		return n;
	memcpy(&passed, CMSG_DATA(cm), sizeof(passed));
	peer->passed[peer->npassed].at = peer->pos + before;
	peer->passed[peer->npassed].sock = vsock_need(vsock_of(passed));
	peer->passed[peer->npassed++].sock->refs++;
	return n;
}

/* As the kernel does: what has a descriptor is not read with what follows. */
ssize_t
__wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct cmsghdr *cm = CMSG_FIRSTHDR(msg);
	struct vsock *s = vsock_of(fd);
	size_t len = msg->msg_iov[0].iov_len, at;
	bool with = false;
	ssize_t n;
	int passed;

	if (s == NULL || cm == NULL)
		return failed(EBADF);
	msg->msg_flags = 0;
	if (s->npassed > 1) {
		at = s->passed[1].at;
		if (len > at - s->pos)
			len = at - s->pos;
	}
	n = __wrap_recv(fd, msg->msg_iov[0].iov_base, len, flags);
	with = n > 0 && s->npassed > 0 && s->passed[0].at < s->pos;
	msg->msg_controllen = with ? CMSG_SPACE(sizeof(int)) : 0;
	if (!with)
		return n;
	passed = vsock_fd(s->passed[0].sock);
	s->npassed--;
	memmove(
	    &s->passed[0], &s->passed[1], s->npassed * sizeof(s->passed[0]));
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &passed, sizeof(passed));
	return n;
}

int
__wrap_recvmmsg(int fd, struct mmsghdr *msgs, unsigned int max, int flags,
    struct timespec *timeout)
{
	struct vsock *s = vsock_of(fd);
	struct vitem *item;
	unsigned int n = 0;

	(void)flags;
	(void)timeout;
	if (s == NULL || s->kind != VKIND_UDP)
		return (int)failed(EBADF);
	while (n < max && (item = TAILQ_FIRST(&s->items)) != NULL) {
		TAILQ_REMOVE(&s->items, item, entry);
		memcpy(
		    msgs[n].msg_hdr.msg_name, &item->from, sizeof(item->from));
		msgs[n].msg_hdr.msg_namelen = sizeof(item->from);
		msgs[n].msg_hdr.msg_controllen = 0;
		msgs[n].msg_hdr.msg_flags = 0;
		memcpy(
		    msgs[n].msg_hdr.msg_iov[0].iov_base, item->msg, item->len);
		msgs[n].msg_len = (unsigned int)item->len;
		free(item);
		n++;
	}
	return n > 0 ? (int)n : (int)failed(EAGAIN);
}

int
__wrap_sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	struct vsock *s = vsock_of(fd);
	struct sockaddr_in to;
	const struct msghdr *hdr;
	unsigned int i;

	(void)flags;
	if (s == NULL || s->kind != VKIND_UDP)
		return (int)failed(EBADF);
	for (i = 0; i < n; i++) {
		hdr = &msgs[i].msg_hdr;
		memcpy(&to, hdr->msg_name, sizeof(to));
		s->on_datagram(s->arg, &to, hdr->msg_iov[0].iov_base,
		    hdr->msg_iov[0].iov_len);
	}
	return (int)n;
}

int
__wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	struct vsock *s = vsock_of(fd);
	struct vitem *item;
	int client;

	(void)flags;
	if (s == NULL || s->kind != VKIND_LISTENER)
		return (int)failed(EBADF);
	item = TAILQ_FIRST(&s->items);
	if (item == NULL)
		return (int)failed(EAGAIN);
	TAILQ_REMOVE(&s->items, item, entry);
	memcpy(sa, &item->from, sizeof(item->from));
	*len = sizeof(item->from);
	client = vsock_fd(item->client);
	free(item);
	return client;
}

int
__wrap_setsockopt(int fd, int level, int name, const void *p, socklen_t len)
{
	(void)level;
	(void)name;
	(void)p;
	(void)len;
	return vsock_of(fd) != NULL ? 0 : (int)failed(EBADF);
}

int
__wrap_socketpair(int domain, int type, int protocol, int fds[2])
{
	struct vsock *a, *b;

	(void)domain;
	(void)type;
	(void)protocol;
	vsock_pair(&a, &b);
	fds[0] = vsock_fd(a);
	fds[1] = vsock_fd(b);
	return 0;
}

/* A pipe is a stream that is used in one direction. */
int
__wrap_pipe2(int fds[2], int flags)
{
	(void)flags;
	return __wrap_socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}

ssize_t
__wrap_read(int fd, void *buf, size_t len)
{
	return fd >= VSOCK_FD_FIRST ? __wrap_recv(fd, buf, len, 0)
				    : __real_read(fd, buf, len);
}

ssize_t
__wrap_write(int fd, const void *buf, size_t len)
{
	return fd >= VSOCK_FD_FIRST ? __wrap_send(fd, buf, len, 0)
				    : __real_write(fd, buf, len);
}

int
__wrap_close(int fd)
{
	struct vsock *s = vsock_of(fd);

	if (s == NULL)
		return fd >= VSOCK_FD_FIRST ? (int)failed(EBADF)
					    : __real_close(fd);
	vsock_drop(fd);
	return 0;
}

ssize_t
__wrap_getrandom(void *buf, size_t len, unsigned int flags)
{
	uint8_t *p = buf;
	size_t i;

	(void)flags;
	for (i = 0; i < len; i++)
		p[i] = (uint8_t)(vsock_random() >> 24);
	return (ssize_t)len;
}
