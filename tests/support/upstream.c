/* SPDX-License-Identifier: ISC */
/*
 * A DNS-over-TLS upstream which answers every query with something that can be
 * computed from its name (answer.h), or misbehaves in the way it is told to: by
 * -o and by "set" for all connections, or by a label in a query's name for that
 * one query ("delay-200.x.test").  It is also the sink of the benchmarks, so
 * what one read brings is answered in as few TLS records and sends as possible.
 * While its stdin is a pipe it takes commands there, one a line: stats, stop
 * (accept no more), start, close (all connections), set NAME[=N]; it ends when
 * the pipe does.
 */
/* LINK: tests/support/upstream/conn.c tests/support/upstream/tls.c */
/* LINK: tests/support/upstream/udp.c */
#include "tests/support/upstream/upstream.h"

#include <sys/stat.h>

#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void
server_accept(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	struct timeval tv = ms_timeval(s->knob[K_ACCEPT_DELAY]);
	int cfd;

	(void)fd;
	if (s->knob[K_ACCEPT_DELAY] > 0 && (what & EV_READ)) {
		event_del(s->ev_accept);
		event_base_once(s->base, -1, EV_TIMEOUT, server_accept, s, &tv);
		return;
	}
	while (s->fd != -1 && (cfd = accept4(s->fd, NULL, NULL,
				   SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1)
		conn_new(s, cfd);
	if (s->fd != -1)
		event_add(s->ev_accept, NULL);
}

static void
server_listen(struct server *s)
{
	int on = 1;

	if (s->fd != -1)
		return;
	s->fd = socket(s->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (s->fd == -1 ||
	    setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ==
		-1 ||
	    bind(s->fd, (struct sockaddr *)&s->addr, s->addrlen) == -1 ||
	    listen(s->fd, 1024) == -1 ||
	    (s->knob[K_FAST_OPEN] > 0 &&
		setsockopt(s->fd, IPPROTO_TCP, TCP_FASTOPEN,
		    &s->knob[K_FAST_OPEN], sizeof(s->knob[K_FAST_OPEN])) == -1))
		err(1, "listen");
	if (getsockname(s->fd, (struct sockaddr *)&s->addr, &s->addrlen) == -1)
		err(1, "getsockname");
	s->ev_accept =
	    event_new(s->base, s->fd, EV_READ | EV_PERSIST, server_accept, s);
	event_add(s->ev_accept, NULL);
}

static void
server_stop(struct server *s)
{
	if (s->fd == -1)
		return;
	event_free(s->ev_accept);
	s->ev_accept = NULL;
	close(s->fd);
	s->fd = -1;
}

static void
control_line(struct server *s, const char *line)
{
	const struct stats *st = &s->stats;

	if (strcmp(line, "stats") == 0) {
		printf("{\"connections\":%lu,\"open\":%lu,\"handshakes\":%lu,"
		       "\"resumed\":%lu,\"fast_opened\":%lu,"
		       "\"handshake_failures\":%lu,"
		       "\"queries\":%lu,\"udp_queries\":%lu,\"answered\":%lu,"
		       "\"max_inflight\":%lu}\n",
		    st->connections, st->open, st->handshakes, st->resumed,
		    st->fast_opened, st->handshake_failures, st->queries,
		    st->udp_queries, st->answered, st->max_inflight);
		return;
	}
	if (strcmp(line, "stop") == 0)
		server_stop(s);
	else if (strcmp(line, "start") == 0)
		server_listen(s);
	else if (strcmp(line, "close") == 0)
		conn_close_all(s);
	else if (strncmp(line, "set ", 4) != 0 ||
		 knob_set(s->knob, line + 4) == -1) {
		printf("error\n");
		return;
	}
	printf("ok\n");
}

static void
control_readable(evutil_socket_t fd, short what, void *arg)
{
	char buf[256], *line, *rest;
	ssize_t n;

	(void)what;
	n = read(fd, buf, sizeof(buf) - 1);
	if (n <= 0) {
		event_base_loopbreak(((struct server *)arg)->base);
		return;
	}
	buf[n] = '\0';
	for (rest = buf; (line = strtok_r(rest, "\n", &rest)) != NULL;)
		control_line(arg, line);
}

static void
control_start(struct server *s)
{
	struct stat st;

	if (fstat(STDIN_FILENO, &st) == -1 || !S_ISFIFO(st.st_mode))
		return;
	s->ev_control = event_new(
	    s->base, STDIN_FILENO, EV_READ | EV_PERSIST, control_readable, s);
	event_add(s->ev_control, NULL);
}

static void
usage(void)
{
	errx(2, "usage: upstream [-l address] [-p port] -c cert.pem "
		"-k key.pem [-C client-ca.pem] [-K keylog] "
		"[-o knob[=number]]...");
}

int
main(int argc, char **argv)
{
	static struct server srv = { .fd = -1 };
	const char *host = "127.0.0.1", *port = "0", *cert = NULL, *key = NULL,
		   *keylog = NULL, *clients = NULL;
	const struct sockaddr_in *sin = (struct sockaddr_in *)&srv.addr;
	int ch;

	while ((ch = getopt(argc, argv, "c:C:k:K:l:o:p:")) != -1) {
		if (ch == 'c')
			cert = optarg;
		else if (ch == 'C')
			clients = optarg;
		else if (ch == 'k')
			key = optarg;
		else if (ch == 'K')
			keylog = optarg;
		else if (ch == 'l')
			host = optarg;
		else if (ch == 'p')
			port = optarg;
		else if (ch != 'o' || knob_set(srv.knob, optarg) == -1)
			usage();
	}
	if (cert == NULL || key == NULL || optind != argc)
		usage();
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	TAILQ_INIT(&srv.conns);
	if ((srv.base = event_base_new()) == NULL)
		errx(1, "event_base_new");
	tls_init(&srv, cert, key);
	if (clients != NULL)
		tls_demand(&srv, clients);
	if (keylog != NULL)
		tls_keylog(&srv, keylog);
	srv.addrlen = net_address(host, port, &srv.addr);
	server_listen(&srv);
	if (srv.knob[K_UDP])
		udp_start(&srv);
	control_start(&srv);
	printf("ready %d\n", ntohs(sin->sin_port));
	event_base_dispatch(srv.base);
	return 0;
}
