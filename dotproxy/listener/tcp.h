/* SPDX-License-Identifier: ISC */
/* What tcp.c (life and death) and tcp_io.c (bytes) share. */
#ifndef LISTENER_TCP_H
#define LISTENER_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "dotproxy/listener/listener.h"

/* Queries of one connection in flight; above, it is not read. */
#define TCP_QUERIES_MAX 256
/* Bytes waiting to be sent to one client; above, it is not read. */
#define TCP_UNSENT_MAX ((size_t)256 * 1024)
/* The same, when what was in flight came back at once; above, it goes. */
#define TCP_OUT_MAX ((size_t)4 * 1024 * 1024)
/* With less than this the client is about to need more of its transfer. */
#define TCP_UNSENT_LOW ((size_t)MSG_TRANSFER_WINDOW / 2)
/* Bytes in the buffers of all connections; above, the worst are closed. */
#define TCP_BYTES_MAX ((size_t)64 * 1024 * 1024)
/* A message with its length (RFC 1035 4.2.2). */
#define TCP_FRAME_MAX (2 + DNS_MSG_MAX)

/* Bytes from pos to len are in it.  Without bytes it has no memory. */
struct tcp_buf {
	uint8_t *data;
	size_t pos;
	size_t len;
	size_t cap;
};

TAILQ_HEAD(tcp_conns, tcp_conn);

/* A listening socket.  Owned by struct tcp. */
struct tcp_sock {
	TAILQ_ENTRY(tcp_sock) entry;
	struct listener *listener;
	struct event *ev;
	int fd;
	uint32_t id;
};

TAILQ_HEAD(tcp_socks, tcp_sock);

/*
 * A client's connection.  Owned by struct tcp.  It is freed by tcp_close()
 * only, which is called by timers, by accept, and at the end of a turn; so
 * everybody else finds it alive, and marks it broken at most.
 */
struct tcp_conn {
	TAILQ_ENTRY(tcp_conn) entry;       /* in *queue */
	struct tcp_conns *queue;           /* idle, busy or stuck */
	uint64_t since_ms;                 /* at the end of that queue */
	TAILQ_ENTRY(tcp_conn) dirty_entry; /* valid if dirty */
	TAILQ_ENTRY(tcp_conn) held_entry;  /* valid if held */
	struct listener *listener;
	struct event *ev_read;
	struct event *ev_write; /* NULL unless output is stuck */
	struct inflight_list queries;
	uint32_t waiting;        /* how many these are */
	uint32_t transfers;      /* of these, zone transfers */
	struct tcp_buf in;       /* received, not yet a message, or no room */
	struct tcp_buf out;      /* from the first frame not sent to its end */
	struct tcp_buf outcomes; /* one byte for each frame in out */
	size_t sent;             /* bytes of the first frame in out */
	union client_addr peer;
	int fd;
	bool reading;  /* ev_read is added */
	bool dirty;    /* something has happened in this turn: */
	bool active;   /* a whole message came, or the last answer left */
	bool progress; /* the client took some output */
	bool held;     /* not read because the link is congested */
	bool eof;      /* the client has sent all it had */
	bool closing;  /* answers what it must, takes nothing more */
	bool broken;   /* to be closed at the end of the turn */
};

struct tcp {
	struct tcp_socks socks;
	/*
	 * Each connection is in one of these, in the order in which it came
	 * there.  idle: it owes us a message, until the read timeout.  busy:
	 * we owe it an answer.  stuck: it has to take what we sent, until the
	 * write timeout.
	 */
	struct tcp_conns idle;
	struct tcp_conns busy;
	struct tcp_conns stuck;
	struct tcp_conns dirty;
	struct tcp_conns held;
	struct lazy_timer read_timer;
	struct lazy_timer write_timer;
	size_t bytes;              /* in buffers of connections */
	uint8_t in[TCP_FRAME_MAX]; /* where all are received */
};

/* --- tcp.c --- */

/* Closes and frees a connection; counted as why unless that is LSTAT_COUNT. */
void tcp_close(struct tcp_conn *, enum listener_counter why);
/* Has tcp_io_turn() called at the end of the turn. */
void tcp_mark_dirty(struct tcp_conn *);
/* Puts a connection in the queue it belongs to. */
void tcp_place(struct tcp_conn *);

/* --- tcp_io.c --- */

/* The event of a connection. */
void tcp_readable(int fd, short what, void *arg);
/* Sends, takes what had to wait, and decides how the connection goes on. */
void tcp_io_turn(struct tcp_conn *);
/*
 * Sends once more before the write timeout strikes: the kernel reports room
 * only when there is plenty.  Returns false if the client has taken nothing.
 */
bool tcp_last_try(struct tcp_conn *);
void tcp_buf_free(struct tcp *, struct tcp_buf *);

#endif
