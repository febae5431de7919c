/* SPDX-License-Identifier: ISC */
/*
 * Connections to upstreams, made in the parent: the pool names one by its id
 * and gets a TCP socket that connects, or has connected, to the address which
 * the configuration gives.  Also the listener's UDP socket for metrics, to the
 * one server the configuration names.  There is no other way in which a packet
 * leaves for an address of somebody's choice.
 */
#include "dotproxy/parent/parent.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/util.h"

/*
 * A pool that was taken over could ask without end.  A burst fills the pool
 * of the upstream several times over; then so many a second go on.
 */
#define CONNECT_BURST(pool_size) (16 + 4 * (pool_size))
#define CONNECT_PER_SECOND 64u

static bool
take_token(struct connect_quota *q, uint32_t burst, uint64_t now_ms)
{
	uint64_t fresh = (now_ms - q->refilled_ms) * CONNECT_PER_SECOND / 1000;

	if (fresh > 0) {
		q->tokens = fresh >= burst - q->tokens || q->tokens > burst
				? burst
				: q->tokens + (uint32_t)fresh;
		q->refilled_ms = now_ms;
	}
	if (q->tokens == 0)
		return false;
	q->tokens--;
	return true;
}

/* Returns a socket that is connecting, or -1 with errno. */
static int
open_upstream(const struct sockaddr_storage *addr, bool fast_open)
{
	int fd, saved, one = 1;

	fd = socket(
	    addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	/*
	 * Both make it faster and neither is needed.  With fast open, and a
	 * cookie from before, the SYN leaves with the child's first bytes.
	 */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fast_open)
		(void)setsockopt(
		    fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one));
	if (connect(fd, (const struct sockaddr *)addr, sockaddr_len(addr)) ==
		-1 &&
	    errno != EINPROGRESS) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static bool
is_loopback(const struct sockaddr_storage *addr)
{
	const struct sockaddr_in *sin = (const struct sockaddr_in *)addr;
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)addr;

	if (addr->ss_family == AF_INET)
		return ntohl(sin->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr);
}

int
connect_statsd(const struct sockaddr_storage *addr)
{
	static const char loopback[] = "lo";
	int fd, saved, least = 1;

	fd = socket(
	    addr->ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	/* Nobody reads it. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));
	/*
	 * A listener that was taken over may name another address in
	 * sendmmsg(): with a server on this machine it gets no further.
	 */
	if ((!is_loopback(addr) || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE,
				       loopback, sizeof(loopback)) == 0) &&
	    connect(fd, (const struct sockaddr *)addr, sockaddr_len(addr)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int
connect_on_request(void *arg, struct imsg *m)
{
	struct child *pool = arg;
	struct parent *parent = pool->parent;
	const struct conf *conf = parent->active.conf;
	uint32_t id, i;
	int fd = -1;

	if (msg_read_u32(m, &id) == -1)
		return -1;
	for (i = 0; i < conf->nupstreams; i++)
		if (parent->active.upstream_ids[i] == id)
			break;
	if (i == conf->nupstreams) /* gone with a reload just now */
		errno = ENOENT;
	else if (!take_token(&pool->pair->quotas[i],
		     CONNECT_BURST(
			 conf_share(conf, conf->upstreams[i].pool_size)),
		     util_now_ms()))
		errno = EAGAIN;
	else
		fd = open_upstream(&conf->upstreams[i].addr,
		    conf->upstreams[i].fast_open && m->type == MSG_TP_CONNECT);
	if (fd == -1)
		(void)msg_send_u32(
		    &pool->chan, MSG_PT_CONNECT_FAILED, m->id, (uint32_t)errno);
	else
		(void)imsg_send_empty(&pool->chan, MSG_PT_CONNECTED, m->id, fd);
	return 0;
}
