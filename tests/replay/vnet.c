/* SPDX-License-Identifier: ISC */
/*
 * Sockets in memory, see vnet.h.  A test's: it is in one process with the pool
 * and the listener, which must not notice.  Whatever they could only get from a
 * real kernel by chance, it gives them the same way each time.
 */
#include "tests/replay/vnet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define FD_FIRST 1000000
#define FDS_MAX 4096
#define STREAM_CAP ((size_t)256 * 1024)
#define PASSED_MAX 64

enum vkind { VKIND_NULL, VKIND_STREAM, VKIND_UDP, VKIND_LISTENER };

/* A datagram, or a client that is to be accepted. */
struct vitem {
	TAILQ_ENTRY(vitem) entry;
	struct sockaddr_in from;
	struct vsock *client;
	size_t len;
	uint8_t msg[];
};

/* In memory as long as the daemon has a descriptor of it, or we have it. */
struct vsock {
	TAILQ_ENTRY(vsock) entry; /* in net.all */
	enum vkind kind;
	unsigned int refs;
	struct vsock *peer; /* of a stream; NULL: closed */
	uint8_t *buf;       /* what has come */
	size_t pos, len, cap;
	bool eof;        /* nothing more comes */
	bool connecting; /* not writable */
	int err;         /* to be found by the next call */
	/* Descriptors that came with byte at of buf. */
	struct {
		size_t at;
		struct vsock *sock;
	} passed[PASSED_MAX];
	size_t npassed;
	TAILQ_HEAD(vitems, vitem) items;
	vnet_datagram on_datagram;
	void *arg;
};

/* There is one kernel. */
static struct {
	TAILQ_HEAD(vsocks, vsock) all;
	struct vsock *fds[FDS_MAX];
	size_t stream_cap; /* what one holds on its way to the other end */
	uint64_t daemon_random;
	uint64_t random;
} net;

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

/* --- randomness: splitmix64 --- */

static uint64_t
next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint32_t
vnet_random(uint32_t below)
{
	return (uint32_t)((next_random(&net.random) >> 33) % below);
}

ssize_t
__wrap_getrandom(void *buf, size_t len, unsigned int flags)
{
	uint8_t *p = buf;
	size_t i;

	(void)flags;
	for (i = 0; i < len; i++)
		p[i] = (uint8_t)(next_random(&net.daemon_random) >> 24);
	return (ssize_t)len;
}

/* --- sockets and descriptors --- */

static void *
need(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static struct vsock *
sock_new(enum vkind kind)
{
	struct vsock *s = need(calloc(1, sizeof(*s)));

	s->kind = kind;
	s->refs = 1;
	TAILQ_INIT(&s->items);
	TAILQ_INSERT_TAIL(&net.all, s, entry);
	return s;
}

static int
fd_new(struct vsock *s)
{
	int i;

	for (i = 0; i < FDS_MAX; i++)
		if (net.fds[i] == NULL) {
			net.fds[i] = s;
			return FD_FIRST + i;
		}
	abort();
}

static struct vsock *
sock_of(int fd)
{
	if (fd < FD_FIRST || fd >= FD_FIRST + FDS_MAX)
		return NULL;
	return net.fds[fd - FD_FIRST];
}

/* The stream ends for the other side, with an error or without. */
static void
cut(struct vsock *s, int err)
{
	struct vsock *peer = s->peer;

	if (peer == NULL)
		return;
	peer->eof = true;
	peer->connecting = false;
	if (err != 0) {
		peer->err = err;
		peer->len = peer->pos = 0;
	}
	peer->peer = NULL;
	s->peer = NULL;
}

static void
sock_unref(struct vsock *s, int err)
{
	struct vitem *item;
	size_t i;

	if (--s->refs > 0)
		return;
	cut(s, err);
	while ((item = TAILQ_FIRST(&s->items)) != NULL) {
		TAILQ_REMOVE(&s->items, item, entry);
		if (item->client != NULL)
			sock_unref(item->client, ECONNRESET);
		free(item);
	}
	for (i = 0; i < s->npassed; i++)
		sock_unref(s->passed[i].sock, 0);
	TAILQ_REMOVE(&net.all, s, entry);
	free(s->buf);
	free(s);
}

void
vnet_init(void)
{
	memset(&net, 0, sizeof(net));
	TAILQ_INIT(&net.all);
	net.stream_cap = STREAM_CAP;
	vnet_seed(1);
}

void
vnet_set_stream_cap(size_t cap)
{
	net.stream_cap = cap;
}

void
vnet_seed(uint64_t seed)
{
	net.daemon_random = seed;
	net.random = ~seed;
}

size_t
vnet_clear(void)
{
	size_t i, n = 0;

	for (i = 0; i < FDS_MAX; i++)
		if (net.fds[i] != NULL) {
			n++;
			(void)__wrap_close(FD_FIRST + (int)i);
		}
	while (!TAILQ_EMPTY(&net.all))
		sock_unref(TAILQ_FIRST(&net.all), 0);
	return n;
}

static void
pair_up(struct vsock *a, struct vsock *b)
{
	a->peer = b;
	b->peer = a;
}

struct vsock *
vnet_stream(int *fd)
{
	struct vsock *mine = sock_new(VKIND_STREAM);
	struct vsock *its = sock_new(VKIND_STREAM);

	pair_up(mine, its);
	*fd = fd_new(its);
	return mine;
}

struct vsock *
vnet_udp(int *fd, vnet_datagram on_datagram, void *arg)
{
	struct vsock *s = sock_new(VKIND_UDP);

	s->on_datagram = on_datagram;
	s->arg = arg;
	*fd = fd_new(s);
	return s;
}

struct vsock *
vnet_listener(int *fd)
{
	struct vsock *s = sock_new(VKIND_LISTENER);

	*fd = fd_new(s);
	return s;
}

int
vnet_null(void)
{
	return fd_new(sock_new(VKIND_NULL));
}

int
vnet_dup(int fd)
{
	struct vsock *s = need(sock_of(fd));

	s->refs++;
	return fd_new(s);
}

void
vnet_arrive(struct vsock *s, const struct sockaddr_in *from, const uint8_t *msg,
    size_t len)
{
	struct vitem *item = need(calloc(1, sizeof(*item) + len));

	item->from = *from;
	item->len = len;
	memcpy(item->msg, msg, len);
	TAILQ_INSERT_TAIL(&s->items, item, entry);
}

struct vsock *
vnet_connect(struct vsock *s, const struct sockaddr_in *from)
{
	struct vitem *item = need(calloc(1, sizeof(*item)));
	struct vsock *mine = sock_new(VKIND_STREAM);

	item->from = *from;
	item->client = sock_new(VKIND_STREAM);
	pair_up(mine, item->client);
	TAILQ_INSERT_TAIL(&s->items, item, entry);
	return mine;
}

void
vnet_set_connecting(struct vsock *s, bool connecting)
{
	if (s->peer != NULL)
		s->peer->connecting = connecting;
}

/* How much more a socket takes. */
static size_t
room(const struct vsock *s)
{
	size_t held = s->len - s->pos;

	return held < net.stream_cap ? net.stream_cap - held : 0;
}

/* The kernel has memory when the daemon, which is calling, has none. */
static uint8_t *
grow(uint8_t *p, size_t cap)
{
	uint8_t *grown = realloc(p, cap);

	return grown != NULL ? grown : need(realloc(p, cap));
}

static void
deliver(struct vsock *s, const void *p, size_t len)
{
	size_t i;

	if (len == 0)
		return;
	if (s->pos > 0) {
		memmove(s->buf, s->buf + s->pos, s->len - s->pos);
		for (i = 0; i < s->npassed; i++)
			s->passed[i].at -= s->pos;
		s->len -= s->pos;
		s->pos = 0;
	}
	if (s->len + len > s->cap) {
		s->cap = 2 * (s->len + len);
		s->buf = grow(s->buf, s->cap);
	}
	memcpy(s->buf + s->len, p, len);
	s->len += len;
}

static size_t
take(struct vsock *s, void *p, size_t len)
{
	if (len > s->len - s->pos)
		len = s->len - s->pos;
	if (len > 0)
		memcpy(p, s->buf + s->pos, len);
	s->pos += len;
	return len;
}

void
vnet_write(struct vsock *s, const void *p, size_t len)
{
	if (s->peer != NULL)
		deliver(s->peer, p, len);
}

size_t
vnet_read(struct vsock *s, void *p, size_t len)
{
	return take(s, p, len);
}

size_t
vnet_underway(const struct vsock *s)
{
	return s->peer != NULL ? s->peer->len - s->peer->pos : 0;
}

bool
vnet_is_closed(const struct vsock *s)
{
	return s->eof && s->pos == s->len;
}

void
vnet_end(struct vsock *s)
{
	if (s->peer != NULL)
		s->peer->eof = true;
}

void
vnet_close(struct vsock *s, int err)
{
	if (s != NULL)
		sock_unref(s, err);
}

bool
vnet_is_readable(int fd)
{
	const struct vsock *s = sock_of(fd);

	if (s == NULL)
		return false;
	return s->pos < s->len || s->eof || s->err != 0 ||
	       !TAILQ_EMPTY(&s->items);
}

bool
vnet_is_writable(int fd)
{
	const struct vsock *s = sock_of(fd);

	if (s == NULL || s->connecting)
		return false;
	return s->err != 0 || s->peer == NULL || room(s->peer) > 0;
}

/* --- system calls --- */

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
	struct vsock *s = sock_of(fd);

	(void)flags;
	if (s == NULL || s->kind != VKIND_STREAM)
		return failed(EBADF);
	if (s->err != 0)
		return failed_once(s);
	if (s->connecting)
		return failed(EAGAIN);
	if (s->peer == NULL)
		return failed(EPIPE);
	if (room(s->peer) == 0)
		return failed(EAGAIN);
	if (len > room(s->peer))
		len = room(s->peer);
	deliver(s->peer, p, len);
	return (ssize_t)len;
}

ssize_t
__wrap_recv(int fd, void *p, size_t len, int flags)
{
	struct vsock *s = sock_of(fd);

	(void)flags;
	if (s == NULL || s->kind != VKIND_STREAM)
		return failed(EBADF);
	if (s->err != 0)
		return failed_once(s);
	if (s->pos == s->len)
		return s->eof ? 0 : failed(EAGAIN);
	return (ssize_t)take(s, p, len);
}

ssize_t
__wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct cmsghdr *cm = CMSG_FIRSTHDR(msg);
	struct vsock *s = sock_of(fd), *peer = s != NULL ? s->peer : NULL;
	size_t before;
	ssize_t n;
	int passed;

	if (cm != NULL && peer != NULL && peer->npassed == PASSED_MAX)
		return failed(ETOOMANYREFS);
	before = peer != NULL ? peer->len - peer->pos : 0;
	n = __wrap_send(
	    fd, msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len, flags);
	if (n <= 0 || cm == NULL || peer == NULL)
		return n;
	memcpy(&passed, CMSG_DATA(cm), sizeof(passed));
	peer->passed[peer->npassed].at = peer->pos + before;
	peer->passed[peer->npassed].sock = need(sock_of(passed));
	peer->passed[peer->npassed++].sock->refs++;
	return n;
}

/* As the kernel does: what has a descriptor is not read with what follows. */
ssize_t
__wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct cmsghdr *cm = CMSG_FIRSTHDR(msg);
	struct vsock *s = sock_of(fd);
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
	passed = fd_new(s->passed[0].sock);
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
	struct vsock *s = sock_of(fd);
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
	struct vsock *s = sock_of(fd);
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
	struct vsock *s = sock_of(fd);
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
	client = fd_new(item->client);
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
	return sock_of(fd) != NULL ? 0 : (int)failed(EBADF);
}

int
__wrap_socketpair(int domain, int type, int protocol, int fds[2])
{
	struct vsock *a = sock_new(VKIND_STREAM);
	struct vsock *b = sock_new(VKIND_STREAM);

	(void)domain;
	(void)type;
	(void)protocol;
	pair_up(a, b);
	fds[0] = fd_new(a);
	fds[1] = fd_new(b);
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
	return fd >= FD_FIRST ? __wrap_recv(fd, buf, len, 0)
			      : __real_read(fd, buf, len);
}

ssize_t
__wrap_write(int fd, const void *buf, size_t len)
{
	return fd >= FD_FIRST ? __wrap_send(fd, buf, len, 0)
			      : __real_write(fd, buf, len);
}

int
__wrap_close(int fd)
{
	struct vsock *s = sock_of(fd);

	if (s == NULL)
		return fd >= FD_FIRST ? (int)failed(EBADF) : __real_close(fd);
	net.fds[fd - FD_FIRST] = NULL;
	sock_unref(s, 0);
	return 0;
}
