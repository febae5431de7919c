/* SPDX-License-Identifier: ISC */
/*
 * The UDP sockets of the listener, and receiving.  The sockets come bound
 * from the parent; this file reads them in batches, notes for each datagram
 * whom it came from and which address it was sent to, and hands it to
 * query.c.  It must not allocate per datagram, nor read while the link to the
 * pool is congested: what waits in the kernel costs us nothing.
 */
#include "dotproxy/listener/udp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/log.h"
#include "common/loop.h"

#define UDP_BUF 65536
/*
 * Not a power of two: buffers whose starts all fall on the same lines of the
 * processor's cache would push each other out.
 */
#define UDP_STRIDE (UDP_BUF + 192)
/* Batches read of one socket before others have their turn. */
#define UDP_ROUNDS 4
/* The same for a socket that is read for the last time. */
#define UDP_LAST_ROUNDS 32

/* The kernel has written there how much it used. */
static void
slot_reset(struct udp *u, size_t i)
{
	u->msgs[i].msg_hdr.msg_namelen = sizeof(u->peers[i]);
	u->msgs[i].msg_hdr.msg_controllen = sizeof(u->control[i]);
}

void
udp_init(struct listener *l)
{
	struct udp *u;
	size_t i;

	u = l->udp = calloc(1, sizeof(*u));
	if (u == NULL)
		fatalx("out of memory");
	TAILQ_INIT(&u->socks);
	/* Large datagrams are rare: only pages that are touched are there. */
	u->buf = mmap(NULL, (size_t)UDP_BATCH * UDP_STRIDE,
	    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (u->buf == MAP_FAILED)
		fatal("mmap");
	for (i = 0; i < UDP_BATCH; i++) {
		u->iov[i].iov_base = u->buf + i * UDP_STRIDE;
		u->iov[i].iov_len = UDP_BUF;
		u->msgs[i].msg_hdr.msg_iov = &u->iov[i];
		u->msgs[i].msg_hdr.msg_iovlen = 1;
		u->msgs[i].msg_hdr.msg_name = &u->peers[i];
		u->msgs[i].msg_hdr.msg_control = &u->control[i];
		slot_reset(u, i);
	}
}

static void
sock_close(struct udp *u, struct udp_sock *s)
{
	TAILQ_REMOVE(&u->socks, s, entry);
	if (s->ev != NULL)
		event_free(s->ev);
	close(s->fd);
	free(s->out);
	free(s);
}

void
udp_free(struct listener *l)
{
	struct udp *u = l->udp;
	struct udp_sock *s;

	while ((s = TAILQ_FIRST(&u->socks)) != NULL)
		sock_close(u, s);
	(void)munmap(u->buf, (size_t)UDP_BATCH * UDP_STRIDE);
	free(u);
	l->udp = NULL;
}

/*
 * Notes the address a datagram was sent to.  The interface matters for
 * link-local addresses only, and must not bind the others, or a reply could
 * not take another way home.
 */
static void
read_local(struct msghdr *hdr, struct udp_local *local)
{
	struct in6_pktinfo info6;
	struct in_pktinfo info4;
	struct cmsghdr *cm;

	for (cm = CMSG_FIRSTHDR(hdr); cm != NULL; cm = CMSG_NXTHDR(hdr, cm)) {
		if (cm->cmsg_level == IPPROTO_IP &&
		    cm->cmsg_type == IP_PKTINFO &&
		    cm->cmsg_len >= CMSG_LEN(sizeof(info4))) {
			memcpy(&info4, CMSG_DATA(cm), sizeof(info4));
			local->family = AF_INET;
			local->addr.v4 = info4.ipi_spec_dst;
		} else if (cm->cmsg_level == IPPROTO_IPV6 &&
			   cm->cmsg_type == IPV6_PKTINFO &&
			   cm->cmsg_len >= CMSG_LEN(sizeof(info6))) {
			memcpy(&info6, CMSG_DATA(cm), sizeof(info6));
			if (IN6_IS_ADDR_MULTICAST(&info6.ipi6_addr))
				continue; /* no address to send from */
			local->family = AF_INET6;
			local->addr.v6 = info6.ipi6_addr;
			if (IN6_IS_ADDR_LINKLOCAL(&info6.ipi6_addr))
				local->ifindex = info6.ipi6_ifindex;
		}
	}
}

/* Receives one batch.  Returns the number of datagrams. */
static unsigned int
receive_batch(struct udp_sock *s)
{
	struct udp *u = s->listener->udp;
	struct client client;
	struct msghdr *hdr;
	int i, n;

	n = recvmmsg(s->fd, u->msgs, UDP_BATCH, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return 0; /* nothing there, or an ICMP error for a reply */
	memset(&client, 0, sizeof(client));
	client.sock = s;
	for (i = 0; i < n; i++) {
		hdr = &u->msgs[i].msg_hdr;
		if ((hdr->msg_flags & MSG_TRUNC) != 0)
			continue; /* cannot be: no datagram is that long */
		client.peer = u->peers[i];
		client.local.family = AF_UNSPEC;
		client.local.ifindex = 0;
		if (s->any)
			read_local(hdr, &client.local);
		query_receive(s->listener, &client, u->iov[i].iov_base,
		    u->msgs[i].msg_len);
	}
	for (i = 0; i < n; i++)
		slot_reset(u, (size_t)i);
	return (unsigned int)n;
}

static void
set_reading(struct udp_sock *s, bool enable)
{
	if (enable == s->reading)
		return;
	if (enable)
		loop_watch(s->ev, NULL);
	else
		(void)event_del(s->ev);
	s->reading = enable;
}

static void
udp_readable(evutil_socket_t fd, short what, void *arg)
{
	struct udp_sock *s = arg;
	unsigned int round;

	(void)fd;
	(void)what;
	for (round = 0; round < UDP_ROUNDS; round++) {
		if (listener_check_pressure(s->listener)) {
			set_reading(s, false);
			return;
		}
		if (receive_batch(s) < UDP_BATCH)
			return;
	}
}

static struct udp_sock *
sock_find(struct listener *l, uint32_t id)
{
	struct udp_sock *s;

	TAILQ_FOREACH (s, &l->udp->socks, entry)
		if (s->id == id && !s->retired)
			return s;
	return NULL;
}

bool
udp_has(struct listener *l, uint32_t id)
{
	return sock_find(l, id) != NULL;
}

static bool
addr_is_any(const struct sockaddr_storage *ss)
{
	union client_addr a;

	memcpy(&a, ss, sizeof(a));
	if (a.sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&a.in6.sin6_addr);
	return a.in.sin_addr.s_addr == htonl(INADDR_ANY);
}

int
udp_open(struct listener *l, const struct msg_listen *ml, int fd)
{
	struct udp_sock *s;

	s = calloc(1, sizeof(*s));
	if (s == NULL) {
		close(fd);
		return -1;
	}
	s->listener = l;
	s->fd = fd;
	s->id = ml->id;
	s->any = addr_is_any(&ml->addr);
	TAILQ_INSERT_TAIL(&l->udp->socks, s, entry);
	s->out = udp_batch_new();
	s->ev = event_new(l->base, fd, EV_READ | EV_PERSIST, udp_readable, s);
	if (s->out == NULL || s->ev == NULL) {
		sock_close(l->udp, s);
		return -1;
	}
	set_reading(s, true);
	return 0;
}

/* Takes no more but what has come already. */
static void
sock_retire(struct udp_sock *s)
{
	unsigned int round;

	s->retired = true;
	set_reading(s, false);
	for (round = 0; round < UDP_LAST_ROUNDS; round++)
		if (receive_batch(s) < UDP_BATCH)
			break;
}

void
udp_retire(struct listener *l,
    bool (*keep)(const struct conf_run *, uint32_t id),
    const struct conf_run *run)
{
	struct udp_sock *s;

	for (s = TAILQ_FIRST(&l->udp->socks); s != NULL;
	     s = TAILQ_NEXT(s, entry))
		if (!s->retired && !keep(run, s->id))
			sock_retire(s);
}

void
udp_resume(struct listener *l)
{
	struct udp_sock *s;

	TAILQ_FOREACH (s, &l->udp->socks, entry)
		if (!s->retired)
			set_reading(s, true);
}

void
udp_hold(struct udp_sock *s)
{
	s->waiting++;
}

void
udp_release(struct udp_sock *s)
{
	s->waiting--;
}

void
udp_turn_end(struct listener *l)
{
	struct udp_sock *s, *next;

	for (s = TAILQ_FIRST(&l->udp->socks); s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		udp_batch_send(s);
		if (s->retired && s->waiting == 0)
			sock_close(l->udp, s);
	}
}
