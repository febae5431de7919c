/* SPDX-License-Identifier: ISC */
/*
 * Messages between processes: framing, file descriptor passing, queues, and
 * THE dispatch loop, driven by a table of rules.
 *
 * A channel is a stream socket.  A message is a 16-byte header {u16 type, u16
 * flags, u32 payload length, u64 id} in network order, and a payload.  Messages
 * are written straight into the channel's output buffer and leave together,
 * with one system call, at imsg_flush(): at the end of a loop turn.  Bytes read
 * are cut into messages, and a message is handed to the handler its rule
 * names, if the rule admits it: type, phase, size and descriptor are checked
 * before any handler runs.  Anything else is a violation and closes the
 * channel's ears for good.
 */
#ifndef COMMON_IMSG_H
#define COMMON_IMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire.h"

struct event;
struct event_base;
struct imsg_chan;

#define IMSG_HDR_LEN 16
#define IMSG_FDS_MAX 200    /* descriptors waiting to be sent: all files */
#define IMSG_FLAG_FD 0x0001 /* this message owns a descriptor */
#define IMSG_TYPES_MAX 96   /* message types are below this */

/* A message as a handler sees it; data is valid until the handler returns. */
struct imsg {
	uint16_t type;
	uint64_t id;
	const uint8_t *data;
	size_t len;
	int fd; /* -1 if none; see imsg_take_fd() */
};

enum imsg_fd_policy {
	IMSG_FD_NONE, /* a descriptor is a violation */
	IMSG_FD_OPTIONAL,
	IMSG_FD_REQUIRED /* none is a violation */
};

/*
 * Handles one message.  Returns 0, or -1 if the payload does not decode or
 * names what does not exist: a violation like any other.
 */
typedef int (*imsg_handler)(void *arg, struct imsg *);

/* What a channel accepts of one type.  No handler: the type is refused. */
struct imsg_rule {
	imsg_handler handler;
	uint32_t min; /* payload length, both ends included */
	uint32_t max;
	uint32_t phases; /* bits; one of them is the channel's phase */
	enum imsg_fd_policy fd;
};

enum imsg_status {
	IMSG_OK,
	IMSG_BLOCKED,   /* flush: the peer does not read; call again later */
	IMSG_CLOSED,    /* the peer is gone */
	IMSG_FAILED,    /* the kernel could not do it; nobody's fault */
	IMSG_VIOLATION, /* the peer broke the protocol */
};

/* Called once when the channel is closed or violated; why is for the log. */
typedef void (*imsg_on_down)(void *arg, enum imsg_status, const char *why);

/* Called when output that was blocked has drained, by whatever flush. */
typedef void (*imsg_on_drained)(void *arg);

struct imsg_chan {
	int fd;     /* -1 when not open */
	int out_fd; /* the same, but for a channel of two pipes */
	bool fdpass;
	bool blocked; /* the last flush left a rest: on_drained is owed */
	bool down;    /* reported; nothing is read or sent any more */
	const struct imsg_rule *rules; /* IMSG_TYPES_MAX of them */
	void *arg;
	uint32_t phase;
	imsg_on_down on_down;
	imsg_on_drained on_drained;
	const char *why;      /* the first error, NULL if none */
	enum imsg_status end; /* what kind of error that was */
	struct event *ev_read;
	struct event *ev_write; /* NULL without event loop */
	uint8_t *in;
	size_t in_cap;
	size_t in_len;
	uint8_t *out;
	size_t out_cap;
	size_t out_pos; /* bytes of out already sent */
	size_t out_len;
	int in_fds[4]; /* received, not yet owned by a message, in order */
	size_t in_nfds;
	struct {
		size_t at; /* offset in out of the message that owns it */
		int fd;
	} out_fds[IMSG_FDS_MAX];
	size_t out_nfds;
	uint64_t msgs_in;
	uint64_t msgs_out;
};

struct imsg_chan_opts {
	const struct imsg_rule *rules; /* borrowed, IMSG_TYPES_MAX entries */
	size_t in_cap;                 /* largest message with header fits in */
	size_t out_cap;
	uint32_t phase;
	bool fdpass; /* descriptors may cross this channel */
	void *arg;   /* for the handlers and the two callbacks */
	imsg_on_down on_down;
	imsg_on_drained on_drained; /* may be NULL */
};

/*
 * Makes an unused struct a channel over fd, which it owns from here on and
 * which must be a non-blocking stream socket.  Returns 0, or -1 out of memory
 * (fd is closed then).
 */
int imsg_open(struct imsg_chan *, int fd, const struct imsg_chan_opts *);

/*
 * Makes a channel that has just been opened one of two pipes: its descriptor
 * is read, and out_fd, which it owns from here on, is written.  Cheaper than a
 * socket, if no descriptors cross it.
 */
void imsg_set_out(struct imsg_chan *, int out_fd);

/* Reads in this event loop from now on.  Returns 0 or -1. */
int imsg_attach(struct imsg_chan *, struct event_base *);

/* Closes the socket and frees the buffers; a closed channel is left alone. */
void imsg_close(struct imsg_chan *);

static inline bool
imsg_is_open(const struct imsg_chan *ch)
{
	return ch->fd != -1 && !ch->down;
}

/* Stops or resumes reading: back-pressure on the peer. */
void imsg_read_enable(struct imsg_chan *, bool enable);

/*
 * Starts a message: gives a writer over the payload, with room for at most
 * payload_max bytes.  Returns false if the output buffer has no room for that
 * (or the channel is down): the message is not sent, and the caller has to
 * have an answer to that.  End it with imsg_commit() before anything else is
 * done with the channel.
 */
bool imsg_begin(struct imsg_chan *, struct wire_writer *, size_t payload_max);

/*
 * Ends the message begun.  fd is -1, or a descriptor that is consumed: closed
 * here after it was sent, or when it cannot be.  Returns false, and nothing is
 * sent, if the writer overflowed or the channel does not take the descriptor.
 */
bool imsg_commit(struct imsg_chan *, struct wire_writer *, uint16_t type,
    uint64_t id, int fd);

/* A message without payload; returns false, and consumes fd, as above. */
bool imsg_send_empty(struct imsg_chan *, uint16_t type, uint64_t id, int fd);

/* True if more than half the output buffer is waiting: stop the source. */
static inline bool
imsg_congested(const struct imsg_chan *ch)
{
	return ch->out_len - ch->out_pos > ch->out_cap / 2;
}

/*
 * Sends what is queued, in one system call where no descriptor is among it.
 * When the peer does not take it all, the rest goes out by itself as soon as
 * it does (if attached), and IMSG_BLOCKED is returned.
 */
enum imsg_status imsg_flush(struct imsg_chan *);

/*
 * Reads once and dispatches all complete messages.  What the event loop does;
 * called directly by who has none (dotproxyctl, a child before its loop),
 * with a blocking or ready socket.
 */
enum imsg_status imsg_read(struct imsg_chan *);

/* The message's descriptor now is the caller's; -1 if it had none. */
int imsg_take_fd(struct imsg *);

/*
 * Makes a connected pair of non-blocking, close-on-exec stream sockets with
 * buffers large enough for a batch.  Returns 0 or -1 with errno.
 */
int imsg_socketpair(int fds[2]);

/* One side of a channel of two pipes. */
struct imsg_ends {
	int in, out;
};

/*
 * Makes both sides of one: non-blocking, close-on-exec, with room for a batch.
 * Returns 0 or -1 with errno.
 */
int imsg_pipes(struct imsg_ends sides[2]);

#endif
