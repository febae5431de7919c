/* SPDX-License-Identifier: ISC */
/* What tcp.c (life and death) and tcp_io.c (bytes) share. */
#ifndef LISTENER_TCP_H
#define LISTENER_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "dotproxy/listener/listener.h"
#include "dotproxy/listener/tcp_peer.h"

/* Queries of one connection in flight; above, it is not read. */
#define TCP_QUERIES_MAX 256
/* Bytes waiting to be sent to one client; above, it is not read. */
#define TCP_UNSENT_MAX ((size_t)256 * 1024)
/* The same, when what was in flight came back at once; above, it goes. */
#define TCP_OUT_MAX ((size_t)4 * 1024 * 1024)
/* With less than this the client is about to need more of its transfer. */
#define TCP_UNSENT_LOW ((size_t)MSG_TRANSFER_WINDOW / 2)
/*
 * Messages that are taken in one turn of the loop, all connections together
 * and each of them: who is answered here, or told that there is no room, sends
 * more at once, and the others have to wait for the end of the turn.
 */
#define TCP_TURN_MAX 16384u
#define TCP_TAKE_MAX 256u
#define TCP_TAKE_MIN 16u
/* Bytes in the buffers of all connections; above, the worst are closed. */
#define TCP_BYTES_MAX ((size_t)64 * 1024 * 1024)
/*
 * Who may not ask is given so long to do so all the same.  Who was refused is
 * given so long to close, and so many bytes that it had sent before it knew are
 * thrown away: closed over unread bytes, a connection is reset, and the answer
 * may be lost with it (RFC 1122 4.2.2.13).
 */
#define TCP_LEAVE_MS 1000
#define TCP_DISCARD_MAX ((size_t)256 * 1024)
/* A message with its length (RFC 1035 4.2.2). */
#define TCP_FRAME_MAX (2 + DNS_MSG_MAX)

/* Bytes from pos to len are in it.  Without bytes it has no memory. */
struct tcp_buf {
	uint8_t *data;
	size_t pos;
	size_t len;
	size_t cap;
};

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
	TAILQ_ENTRY(tcp_conn) peer_entry;  /* in *peer_queue */
	struct tcp_conns *queue;           /* one of all; NULL: new */
	struct tcp_conns *peer_queue;      /* the same one of its peer's */
	struct tcp_peer *peer_of;          /* whose it is */
	uint64_t since_ms;                 /* at the end of these queues */
	TAILQ_ENTRY(tcp_conn) dirty_entry; /* valid if dirty */
	TAILQ_ENTRY(tcp_conn) held_entry;  /* valid if held */
	TAILQ_ENTRY(tcp_conn) more_entry;  /* valid if more */
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
	uint32_t discarded;      /* bytes that came while it was leaving */
	uint32_t turn;           /* the last one in which it was taken from */
	uint32_t taken;          /* messages, in that turn */
	union client_addr peer;
	int fd;
	bool reading;  /* ev_read is added */
	bool dirty;    /* something has happened in this turn: */
	bool active;   /* a whole message came, or the last answer left */
	bool progress; /* the client took some output */
	bool held;     /* not read because the link is congested */
	bool more;     /* goes on in the next turn, though nothing may come */
	bool eof;      /* the client has sent all it had */
	bool closing;  /* answers what it must, takes nothing more */
	bool leaving;  /* has done so: the client is to close */
	bool broken;   /* to be closed at the end of the turn */
};

struct tcp {
	struct tcp_socks socks;
	struct tcp_queues all; /* each connection is in one of these */
	uint32_t nleaving;     /* of these, in all.leaving */
	struct tcp_peers peers;
	struct tcp_conns dirty;
	struct tcp_conns held;
	struct tcp_conns more;
	struct event *next_turn; /* made active: there is one at once */
	uint32_t turn;
	struct lazy_timer read_timer;
	struct lazy_timer write_timer;
	struct lazy_timer leave_timer;
	size_t bytes;              /* in buffers of connections */
	uint8_t in[TCP_FRAME_MAX]; /* where all are received */
};

/* --- tcp.c --- */

/* Closes and frees a connection; counted as why unless that is LSTAT_COUNT. */
void tcp_close(struct tcp_conn *, enum listener_counter why);
/* Has tcp_io_turn() called at the end of the turn. */
void tcp_mark_dirty(struct tcp_conn *);
/*
 * How long a connection may be idle now (RFC 7766 6.2.3): the read timeout
 * while no more than half of the connections are open that may be, but for
 * those that leave; then less the fewer are left, down to LISTENER_YIELD_MS (or
 * the read timeout, if that is less).
 */
uint32_t tcp_idle_ms(const struct listener *);
/* Puts a connection in the queues it belongs to. */
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
