/* SPDX-License-Identifier: ISC */
/*
 * Channels between processes; see imsg.h.  Linked into every process.  This
 * is the only file that touches SCM_RIGHTS.  It must never hand a handler a
 * message that its rule does not admit, nor let a descriptor leak: every one
 * is either taken by a handler or closed here.
 */
#include "common/imsg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

static void
close_fds(struct imsg_chan *ch)
{
	size_t i;

	for (i = 0; i < ch->in_nfds; i++)
		close(ch->in_fds[i]);
	ch->in_nfds = 0;
	for (i = 0; i < ch->out_nfds; i++)
		close(ch->out_fds[i].fd);
	ch->out_nfds = 0;
}

int
imsg_open(struct imsg_chan *ch, int fd, const struct imsg_chan_opts *opts)
{
	memset(ch, 0, sizeof(*ch));
	ch->fd = ch->out_fd = fd;
	ch->fdpass = opts->fdpass;
	ch->rules = opts->rules;
	ch->arg = opts->arg;
	ch->phase = opts->phase;
	ch->on_down = opts->on_down;
	ch->on_drained = opts->on_drained;
	ch->in_cap = opts->in_cap;
	ch->out_cap = opts->out_cap;
	ch->in = malloc(ch->in_cap);
	ch->out = malloc(ch->out_cap);
	if (ch->in == NULL || ch->out == NULL) {
		imsg_close(ch);
		return -1;
	}
	return 0;
}

void
imsg_set_out(struct imsg_chan *ch, int out_fd)
{
	ch->out_fd = out_fd;
}

void
imsg_close(struct imsg_chan *ch)
{
	if (ch->fd == -1)
		return;
	if (ch->ev_read != NULL)
		event_free(ch->ev_read);
	if (ch->ev_write != NULL)
		event_free(ch->ev_write);
	ch->ev_read = ch->ev_write = NULL;
	close_fds(ch);
	if (ch->out_fd != ch->fd)
		close(ch->out_fd);
	close(ch->fd);
	ch->fd = ch->out_fd = -1;
	free(ch->in);
	free(ch->out);
	ch->in = ch->out = NULL;
	ch->in_len = ch->out_len = ch->out_pos = 0;
}

/* Reports the end of the channel, once, and stops its events. */
static enum imsg_status
channel_down(struct imsg_chan *ch, enum imsg_status status, const char *why)
{
	if (ch->down)
		return status;
	ch->down = true;
	ch->why = why;
	ch->end = status;
	if (ch->ev_read != NULL)
		event_del(ch->ev_read);
	if (ch->ev_write != NULL)
		event_del(ch->ev_write);
	if (ch->on_down != NULL)
		ch->on_down(ch->arg, status, why);
	return status;
}

/* The same for a system call that failed: for want of a peer, or of memory. */
static enum imsg_status
channel_broken(struct imsg_chan *ch, const char *what)
{
	if (errno == EPIPE || errno == ECONNRESET)
		return channel_down(ch, IMSG_CLOSED, "peer is gone");
	return channel_down(ch, IMSG_FAILED, what);
}

static void
channel_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)imsg_read(arg); /* on_down has the failure */
}

static void
channel_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)imsg_flush(arg); /* on_down has the failure */
}

int
imsg_attach(struct imsg_chan *ch, struct event_base *base)
{
	ch->ev_read =
	    event_new(base, ch->fd, EV_READ | EV_PERSIST, channel_readable, ch);
	ch->ev_write = event_new(
	    base, ch->out_fd, EV_WRITE | EV_PERSIST, channel_writable, ch);
	if (ch->ev_read == NULL || ch->ev_write == NULL)
		return -1;
	return event_add(ch->ev_read, NULL);
}

void
imsg_read_enable(struct imsg_chan *ch, bool enable)
{
	if (ch->ev_read == NULL || ch->down)
		return;
	if (!enable)
		event_del(ch->ev_read);
	else if (event_add(ch->ev_read, NULL) == -1)
		(void)channel_down(ch, IMSG_FAILED, "cannot be watched");
}

/* Moves what is unsent to the front of the output buffer. */
static void
compact_output(struct imsg_chan *ch)
{
	size_t i;

	if (ch->out_pos == 0)
		return;
	memmove(ch->out, ch->out + ch->out_pos, ch->out_len - ch->out_pos);
	for (i = 0; i < ch->out_nfds; i++)
		ch->out_fds[i].at -= ch->out_pos;
	ch->out_len -= ch->out_pos;
	ch->out_pos = 0;
}

bool
imsg_begin(struct imsg_chan *ch, struct wire_writer *w, size_t payload_max)
{
	if (!imsg_is_open(ch))
		return false;
	if (ch->out_cap - ch->out_len < IMSG_HDR_LEN + payload_max) {
		compact_output(ch);
		if (ch->out_cap - ch->out_len < IMSG_HDR_LEN + payload_max)
			return false;
	}
	wire_writer_init(w, ch->out + ch->out_len + IMSG_HDR_LEN, payload_max);
	return true;
}

bool
imsg_commit(struct imsg_chan *ch, struct wire_writer *w, uint16_t type,
    uint64_t id, int fd)
{
	uint8_t *hdr = ch->out + ch->out_len;

	if (w->error ||
	    (fd != -1 && (!ch->fdpass || ch->out_nfds == IMSG_FDS_MAX))) {
		if (fd != -1)
			close(fd);
		return false;
	}
	wire_store_u16(hdr, type);
	wire_store_u16(hdr + 2, fd != -1 ? IMSG_FLAG_FD : 0);
	wire_store_u32(hdr + 4, (uint32_t)w->pos);
	wire_store_u64(hdr + 8, id);
	if (fd != -1) {
		ch->out_fds[ch->out_nfds].at = ch->out_len;
		ch->out_fds[ch->out_nfds].fd = fd;
		ch->out_nfds++;
	}
	ch->out_len += IMSG_HDR_LEN + w->pos;
	ch->msgs_out++;
	return true;
}

bool
imsg_send_empty(struct imsg_chan *ch, uint16_t type, uint64_t id, int fd)
{
	struct wire_writer w;

	if (!imsg_begin(ch, &w, 0)) {
		if (fd != -1)
			close(fd);
		return false;
	}
	return imsg_commit(ch, &w, type, id, fd);
}

/*
 * Sends the next stretch: up to the first message that owns a descriptor, or
 * from that message, with the descriptor, up to the next such one.
 */
static ssize_t
send_stretch(struct imsg_chan *ch)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = { 0 };
	struct cmsghdr *cmsg;
	struct iovec iov;
	size_t end = ch->out_len;
	ssize_t n;

	if (ch->out_fd != ch->fd)
		return write(
		    ch->out_fd, ch->out + ch->out_pos, end - ch->out_pos);
	if (ch->out_nfds == 0)
		return send(ch->fd, ch->out + ch->out_pos, end - ch->out_pos,
		    MSG_NOSIGNAL);
	iov.iov_base = ch->out + ch->out_pos;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (ch->out_pos < ch->out_fds[0].at) {
		iov.iov_len = ch->out_fds[0].at - ch->out_pos;
		return sendmsg(ch->fd, &msg, MSG_NOSIGNAL);
	}
	if (ch->out_nfds > 1)
		end = ch->out_fds[1].at;
	iov.iov_len = end - ch->out_pos;
	memset(&control, 0, sizeof(control));
	msg.msg_control = control.buf;
	msg.msg_controllen = sizeof(control.buf);
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &ch->out_fds[0].fd, sizeof(int));
	n = sendmsg(ch->fd, &msg, MSG_NOSIGNAL);
	if (n > 0) { /* it went with the first byte */
		close(ch->out_fds[0].fd);
		ch->out_nfds--;
		memmove(&ch->out_fds[0], &ch->out_fds[1],
		    ch->out_nfds * sizeof(ch->out_fds[0]));
	}
	return n;
}

enum imsg_status
imsg_flush(struct imsg_chan *ch)
{
	ssize_t n;

	if (!imsg_is_open(ch))
		return IMSG_CLOSED;
	if (ch->out_len == 0)
		return IMSG_OK;
	while (ch->out_pos < ch->out_len) {
		n = send_stretch(ch);
		if (n >= 0) {
			ch->out_pos += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		/* ETOOMANYREFS: too many descriptors in flight; they land. */
		if (errno == EAGAIN || errno == ENOBUFS ||
		    errno == ETOOMANYREFS) {
			ch->blocked = true;
			if (ch->ev_write != NULL &&
			    event_add(ch->ev_write, NULL) == -1)
				return channel_down(
				    ch, IMSG_FAILED, "cannot be watched");
			return IMSG_BLOCKED;
		}
		return channel_broken(ch, "sending failed");
	}
	ch->out_pos = ch->out_len = 0;
	/* Whoever flushed: the one that waits for it has to know. */
	if (ch->blocked) {
		ch->blocked = false;
		if (ch->ev_write != NULL)
			event_del(ch->ev_write);
		if (ch->on_drained != NULL)
			ch->on_drained(ch->arg);
	}
	return IMSG_OK;
}

/* Collects the descriptors of one recvmsg.  Returns NULL or what is wrong. */
static const char *
collect_fds(struct imsg_chan *ch, struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	const char *why = NULL;
	size_t i, n;
	int fd;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int),
			    sizeof(int));
			if (ch->in_nfds ==
			    sizeof(ch->in_fds) / sizeof(ch->in_fds[0])) {
				close(fd);
				why = "too many descriptors";
			} else
				ch->in_fds[ch->in_nfds++] = fd;
		}
	}
	/* A full descriptor table shows as a silently missing one. */
	if (msg->msg_flags & MSG_CTRUNC)
		why = "descriptor lost";
	return why;
}

static ssize_t
receive(struct imsg_chan *ch, const char **why)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(int) * 4)];
	} control;
	struct msghdr msg = { 0 };
	struct iovec iov;
	ssize_t n;

	*why = NULL;
	if (ch->out_fd != ch->fd)
		return read(
		    ch->fd, ch->in + ch->in_len, ch->in_cap - ch->in_len);
	if (!ch->fdpass)
		return recv(
		    ch->fd, ch->in + ch->in_len, ch->in_cap - ch->in_len, 0);
	iov.iov_base = ch->in + ch->in_len;
	iov.iov_len = ch->in_cap - ch->in_len;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control.buf;
	msg.msg_controllen = sizeof(control.buf);
	n = recvmsg(ch->fd, &msg, MSG_CMSG_CLOEXEC);
	if (n >= 0)
		*why = collect_fds(ch, &msg);
	return n;
}

/*
 * Checks a message against its rule; all but the payload's bytes, which may
 * not have come yet.  Returns NULL or what is wrong.
 */
static const char *
check_rule(const struct imsg_chan *ch, uint16_t type, uint16_t flags,
    size_t len, const struct imsg_rule **rule)
{
	const struct imsg_rule *r;

	if (type >= IMSG_TYPES_MAX || ch->rules[type].handler == NULL)
		return "message type not accepted";
	r = &ch->rules[type];
	if ((r->phases & ch->phase) == 0)
		return "message not accepted in this phase";
	if (len < r->min || len > r->max || len > ch->in_cap - IMSG_HDR_LEN)
		return "message size not accepted";
	if ((flags & ~IMSG_FLAG_FD) != 0)
		return "unknown flags";
	if (r->fd == IMSG_FD_NONE && (flags & IMSG_FLAG_FD))
		return "descriptor not accepted";
	if (r->fd == IMSG_FD_REQUIRED && !(flags & IMSG_FLAG_FD))
		return "descriptor missing";
	*rule = r;
	return NULL;
}

/*
 * Hands the message at p, of which avail bytes are here, to its handler.
 * Returns its length, 0 if it is not complete, or -1 with *why set (NULL if
 * the handler closed the channel, or found its peer gone).
 */
static ssize_t
dispatch_one(
    struct imsg_chan *ch, const uint8_t *p, size_t avail, const char **why)
{
	const struct imsg_rule *rule;
	struct imsg m;
	uint16_t flags;
	int verdict;

	if (avail < IMSG_HDR_LEN)
		return 0;
	m.type = wire_load_u16(p);
	flags = wire_load_u16(p + 2);
	m.len = wire_load_u32(p + 4);
	m.id = wire_load_u64(p + 8);
	*why = check_rule(ch, m.type, flags, m.len, &rule);
	if (*why != NULL)
		return -1;
	if (avail - IMSG_HDR_LEN < m.len)
		return 0;
	m.data = p + IMSG_HDR_LEN;
	m.fd = -1;
	if (flags & IMSG_FLAG_FD) {
		if (ch->in_nfds == 0) {
			*why = "descriptor missing";
			return -1;
		}
		m.fd = ch->in_fds[0];
		ch->in_nfds--;
		memmove(&ch->in_fds[0], &ch->in_fds[1],
		    ch->in_nfds * sizeof(ch->in_fds[0]));
	}
	ch->msgs_in++;
	verdict = rule->handler(ch->arg, &m);
	if (m.fd != -1)
		close(m.fd);
	if (verdict == -1) {
		*why = "bad payload";
		return -1;
	}
	return imsg_is_open(ch) ? (ssize_t)(IMSG_HDR_LEN + m.len) : -1;
}

enum imsg_status
imsg_read(struct imsg_chan *ch)
{
	const char *why;
	size_t off = 0;
	ssize_t n;

	if (!imsg_is_open(ch))
		return IMSG_CLOSED;
	n = receive(ch, &why);
	if (n == -1) {
		if (errno == EAGAIN || errno == EINTR)
			return IMSG_OK;
		return channel_broken(ch, "receiving failed");
	}
	if (why != NULL)
		return channel_down(ch, IMSG_VIOLATION, why);
	if (n == 0)
		return channel_down(ch, IMSG_CLOSED, "peer is gone");
	ch->in_len += (size_t)n;
	while ((n = dispatch_one(ch, ch->in + off, ch->in_len - off, &why)) > 0)
		off += (size_t)n;
	if (!imsg_is_open(ch)) /* a handler closed it, or found it down */
		return IMSG_CLOSED;
	if (n == -1)
		return channel_down(ch, IMSG_VIOLATION, why);
	ch->in_len -= off;
	if (off > 0)
		memmove(ch->in, ch->in + off, ch->in_len);
	/* A descriptor comes with the first byte of the message it is of. */
	if (ch->in_nfds > 0 && ch->in_len == 0)
		return channel_down(
		    ch, IMSG_VIOLATION, "descriptor without message");
	return IMSG_OK;
}

int
imsg_take_fd(struct imsg *m)
{
	int fd = m->fd;

	m->fd = -1;
	return fd;
}

int
imsg_socketpair(int fds[2])
{
	int i, size = 1024 * 1024;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		fds) == -1)
		return -1;
	/* As large as net.core.wmem_max lets it be; less will do, too. */
	for (i = 0; i < 2; i++)
		(void)setsockopt(
		    fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

int
imsg_pipes(struct imsg_ends sides[2])
{
	int i, to[2][2]; /* to each side */

	for (i = 0; i < 2; i++) {
		if (pipe2(to[i], O_CLOEXEC | O_NONBLOCK) == -1) {
			if (i == 1) {
				close(to[0][0]);
				close(to[0][1]);
			}
			return -1;
		}
		/* As much as fs.pipe-max-size lets it; less will do, too. */
		(void)fcntl(to[i][1], F_SETPIPE_SZ, 1024 * 1024);
		sides[i].in = to[i][0];
		sides[1 - i].out = to[i][1];
	}
	return 0;
}
