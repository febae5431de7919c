/* SPDX-License-Identifier: ISC */
/* Addresses and sockets for the test programs. */
#ifndef TESTS_SUPPORT_NET_H
#define TESTS_SUPPORT_NET_H

#include <sys/socket.h>

#include <err.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

/* Ends the program if the text is no address and port. */
static inline socklen_t
net_address(const char *host, const char *port, struct sockaddr_storage *ss)
{
	struct addrinfo hints, *ai;
	socklen_t len;
	int r;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
	if ((r = getaddrinfo(host, port, &hints, &ai)) != 0)
		errx(2, "%s port %s: %s", host, port, gai_strerror(r));
	len = ai->ai_addrlen;
	memcpy(ss, ai->ai_addr, len);
	freeaddrinfo(ai);
	return len;
}

/* Room for bursts, beyond the system's limit if we may. */
static inline void
net_receive_buffer(int fd)
{
	int size = 4 << 20;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ==
	    -1)
		(void)setsockopt(
		    fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

#endif
