/* SPDX-License-Identifier: ISC */
/*
 * The test upstream's plain UDP, at the address and port of its TLS: what a
 * query would take if nobody minded who reads it.  Of the knobs those about the
 * bytes of an answer and "drop" are for it.
 */
#include "tests/support/upstream/upstream.h"

#include <err.h>

static void
udp_readable(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	struct sockaddr_storage from;
	socklen_t fromlen = sizeof(from);
	struct question q;
	bool readable;
	ssize_t n;
	size_t len;

	(void)what;
	n = recvfrom(
	    fd, s->in, sizeof(s->in), 0, (struct sockaddr *)&from, &fromlen);
	if (n < DNS_HEADER)
		return;
	s->stats.queries++;
	s->stats.udp_queries++;
	if (s->knob[K_DROP])
		return;
	readable = question_parse(s->in, (size_t)n, &q);
	len = answer_frame(
	    s->frame, s->in, (size_t)n, readable ? &q : NULL, s->knob);
	s->stats.answered++;
	(void)sendto(
	    fd, s->frame + 2, len - 2, 0, (struct sockaddr *)&from, fromlen);
}

void
udp_start(struct server *s)
{
	int fd = socket(s->addr.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (fd == -1 || bind(fd, (struct sockaddr *)&s->addr, s->addrlen) == -1)
		err(1, "udp");
	net_receive_buffer(fd);
	s->ev_udp =
	    event_new(s->base, fd, EV_READ | EV_PERSIST, udp_readable, s);
	event_add(s->ev_udp, NULL);
}
