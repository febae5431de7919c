/* SPDX-License-Identifier: ISC */
/*
 * Sockets in memory, see vnet.h: what there is of them, and what whoever plays
 * does with them.  A test's.  What the daemon does with them is in vcall.c.
 */
#include "tests/replay/vsock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FDS_MAX 4096
#define STREAM_CAP ((size_t)256 * 1024)

/* There is one kernel. */
static struct {
	TAILQ_HEAD(vsocks, vsock) all;
	struct vsock *fds[FDS_MAX];
	size_t stream_cap; /* what one holds on its way to the other end */
	uint64_t daemon_random;
	uint64_t random;
} net;

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

uint64_t
vsock_random(void)
{
	return next_random(&net.daemon_random);
}

/* --- sockets and descriptors --- */

static struct vsock *
sock_new(enum vkind kind)
{
	struct vsock *s = vsock_need(calloc(1, sizeof(*s)));

	s->kind = kind;
	s->refs = 1;
	TAILQ_INIT(&s->items);
	TAILQ_INSERT_TAIL(&net.all, s, entry);
	return s;
}

int
vsock_fd(struct vsock *s)
{
	int i;

	for (i = 0; i < FDS_MAX; i++)
		if (net.fds[i] == NULL) {
			net.fds[i] = s;
			return VSOCK_FD_FIRST + i;
		}
	abort();
}

struct vsock *
vsock_of(int fd)
{
	if (fd < VSOCK_FD_FIRST || fd >= VSOCK_FD_FIRST + FDS_MAX)
		return NULL;
	return net.fds[fd - VSOCK_FD_FIRST];
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
vsock_drop(int fd)
{
	struct vsock *s = net.fds[fd - VSOCK_FD_FIRST];

	net.fds[fd - VSOCK_FD_FIRST] = NULL;
	sock_unref(s, 0);
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
			vsock_drop(VSOCK_FD_FIRST + (int)i);
		}
	while (!TAILQ_EMPTY(&net.all))
		sock_unref(TAILQ_FIRST(&net.all), 0);
	return n;
}

void
vsock_pair(struct vsock **a, struct vsock **b)
{
	*a = sock_new(VKIND_STREAM);
	*b = sock_new(VKIND_STREAM);
	(*a)->peer = *b;
	(*b)->peer = *a;
}

struct vsock *
vnet_stream(int *fd)
{
	struct vsock *mine, *its;

	vsock_pair(&mine, &its);
	*fd = vsock_fd(its);
	return mine;
}

struct vsock *
vnet_udp(int *fd, vnet_datagram on_datagram, void *arg)
{
	struct vsock *s = sock_new(VKIND_UDP);

	s->on_datagram = on_datagram;
	s->arg = arg;
	*fd = vsock_fd(s);
	return s;
}

struct vsock *
vnet_listener(int *fd)
{
	struct vsock *s = sock_new(VKIND_LISTENER);

	*fd = vsock_fd(s);
	return s;
}

int
vnet_null(void)
{
	return vsock_fd(sock_new(VKIND_NULL));
}

int
vnet_dup(int fd)
{
	struct vsock *s = vsock_need(vsock_of(fd));

	s->refs++;
	return vsock_fd(s);
}

void
vnet_arrive(struct vsock *s, const struct sockaddr_in *from, const uint8_t *msg,
    size_t len)
{
	struct vitem *item = vsock_need(calloc(1, sizeof(*item) + len));

	item->from = *from;
	item->len = len;
	memcpy(item->msg, msg, len);
	TAILQ_INSERT_TAIL(&s->items, item, entry);
}

struct vsock *
vnet_connect(struct vsock *s, const struct sockaddr_in *from)
{
	struct vitem *item = vsock_need(calloc(1, sizeof(*item)));
	struct vsock *mine;

	item->from = *from;
	vsock_pair(&mine, &item->client);
	TAILQ_INSERT_TAIL(&s->items, item, entry);
	return mine;
}

void
vnet_set_connecting(struct vsock *s, bool connecting)
{
	if (s->peer != NULL)
		s->peer->connecting = connecting;
}

size_t
vsock_room(const struct vsock *s)
{
	size_t held = s->len - s->pos;

	return held < net.stream_cap ? net.stream_cap - held : 0;
}

/* The kernel has memory when the daemon, which is calling, has none. */
static uint8_t *
grow(uint8_t *p, size_t cap)
{
	uint8_t *grown = realloc(p, cap);

	return grown != NULL ? grown : vsock_need(realloc(p, cap));
}

void
vsock_deliver(struct vsock *s, const void *p, size_t len)
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

size_t
vsock_take(struct vsock *s, void *p, size_t len)
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
		vsock_deliver(s->peer, p, len);
}

size_t
vnet_read(struct vsock *s, void *p, size_t len)
{
	return vsock_take(s, p, len);
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
	const struct vsock *s = vsock_of(fd);

	if (s == NULL)
		return false;
	return s->pos < s->len || s->eof || s->err != 0 ||
	       !TAILQ_EMPTY(&s->items);
}

bool
vnet_is_writable(int fd)
{
	const struct vsock *s = vsock_of(fd);

	if (s == NULL || s->connecting)
		return false;
	return s->err != 0 || s->peer == NULL || vsock_room(s->peer) > 0;
}
