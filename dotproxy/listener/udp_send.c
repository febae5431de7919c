/* SPDX-License-Identifier: ISC */
/*
 * Replies over UDP.  They are collected for each socket and leave with one
 * system call at the end of the loop turn, or when the batch is full.  A reply
 * that the kernel does not take is dropped and counted: clients ask again.
 * Must send nothing but replies, each to who asked, from the address asked.
 */
#include "dotproxy/listener/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The longest payload: 65,535 less the UDP header, and IPv4's own. */
#define UDP_PAYLOAD_MAX_V4 65507
#define UDP_PAYLOAD_MAX_V6 65527
/* Room for at least one of these; typically for a full batch. */
#define UDP_BATCH_BYTES ((size_t)128 * 1024)

struct udp_batch {
	size_t n;
	size_t used; /* bytes of buf */
	struct mmsghdr msgs[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	union client_addr peers[UDP_BATCH];
	union udp_control control[UDP_BATCH];
	uint8_t outcomes[UDP_BATCH]; /* enum listener_counter */
	uint8_t buf[UDP_BATCH_BYTES];
};

_Static_assert(LSTAT_COUNT <= UINT8_MAX, "outcome does not fit a byte");

struct udp_batch *
udp_batch_new(void)
{
	struct udp_batch *b;
	size_t i;

	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	for (i = 0; i < UDP_BATCH; i++) {
		b->msgs[i].msg_hdr.msg_iov = &b->iov[i];
		b->msgs[i].msg_hdr.msg_iovlen = 1;
		b->msgs[i].msg_hdr.msg_name = &b->peers[i];
	}
	return b;
}

static bool
peer_is_v4(const struct client *client)
{
	return client->peer.sa.sa_family == AF_INET ||
	       IN6_IS_ADDR_V4MAPPED(&client->peer.in6.sin6_addr);
}

size_t
udp_payload_max(const struct client *client)
{
	return peer_is_v4(client) ? UDP_PAYLOAD_MAX_V4 : UDP_PAYLOAD_MAX_V6;
}

/* Names the address to send from. */
static void
put_local(
    struct msghdr *hdr, union udp_control *c, const struct udp_local *local)
{
	struct in6_pktinfo info6 = { 0 };
	struct in_pktinfo info4 = { 0 };
	struct cmsghdr *cm;

	hdr->msg_control = NULL;
	hdr->msg_controllen = 0;
	if (local->family == AF_UNSPEC)
		return;
	hdr->msg_control = c;
	if (local->family == AF_INET) {
		hdr->msg_controllen = sizeof(c->v4);
		cm = CMSG_FIRSTHDR(hdr);
		cm->cmsg_level = IPPROTO_IP;
		cm->cmsg_type = IP_PKTINFO;
		cm->cmsg_len = CMSG_LEN(sizeof(info4));
		info4.ipi_spec_dst = local->addr.v4;
		memcpy(CMSG_DATA(cm), &info4, sizeof(info4));
		return;
	}
	hdr->msg_controllen = sizeof(c->v6);
	cm = CMSG_FIRSTHDR(hdr);
	cm->cmsg_level = IPPROTO_IPV6;
	cm->cmsg_type = IPV6_PKTINFO;
	cm->cmsg_len = CMSG_LEN(sizeof(info6));
	info6.ipi6_addr = local->addr.v6;
	info6.ipi6_ifindex = local->ifindex;
	memcpy(CMSG_DATA(cm), &info6, sizeof(info6));
}

void
udp_reply(struct listener *l, const struct client *client, uint16_t id,
    const uint8_t *wire, size_t len, enum listener_counter outcome)
{
	struct udp_sock *s = client->sock;
	struct udp_batch *b = s->out;
	uint8_t *p;
	size_t i;

	if (len < DNS_HDR_LEN || len > udp_payload_max(client)) {
		listener_count_out(l, LSTAT_dropped_send);
		return;
	}
	if (b->n == UDP_BATCH || len > UDP_BATCH_BYTES - b->used)
		udp_batch_send(s);
	i = b->n++;
	p = b->buf + b->used;
	b->used += len;
	memcpy(p, wire, len);
	dns_set_id(p, id);
	b->iov[i].iov_base = p;
	b->iov[i].iov_len = len;
	b->peers[i] = client->peer;
	b->msgs[i].msg_hdr.msg_namelen = client->peer.sa.sa_family == AF_INET
					     ? sizeof(client->peer.in)
					     : sizeof(client->peer.in6);
	put_local(&b->msgs[i].msg_hdr, &b->control[i], &client->local);
	b->outcomes[i] = (uint8_t)outcome;
}

size_t
udp_unsent(const struct listener *l)
{
	const struct udp_sock *s;
	size_t n = 0;

	TAILQ_FOREACH (s, &l->udp->socks, entry)
		n += s->out->n;
	return n;
}

void
udp_batch_send(struct udp_sock *s)
{
	struct udp_batch *b = s->out;
	size_t done = 0, end;
	int n;

	while (done < b->n) {
		n = sendmmsg(s->fd, b->msgs + done, (unsigned int)(b->n - done),
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		for (end = done + (n > 0 ? (size_t)n : 0); done < end; done++)
			listener_count_out(s->listener, b->outcomes[done]);
		if (n > 0)
			continue;
		/* No room: none for the rest. Else it is about this one. */
		end = errno == EAGAIN ? b->n : done + 1;
		for (; done < end; done++)
			listener_count_out(s->listener, LSTAT_dropped_send);
	}
	b->n = 0;
	b->used = 0;
}
