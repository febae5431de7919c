/* SPDX-License-Identifier: ISC */
/*
 * Two channels over a socket pair, for the tests of imsg.c: what the second
 * one receives is noted down.  Descriptors are counted before and after each
 * test: none may leak.
 */
#ifndef TESTS_IMSG_RIG_H
#define TESTS_IMSG_RIG_H

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/imsg.h"

#define RIG_CAP 4096
#define RIG_MSGS 512

/* Types, by what their rules say. */
enum {
	T_NONE, /* no rule */
	T_PLAIN,
	T_SIZED,    /* 4 to 8 bytes */
	T_PHASE2,   /* in phase 2 only */
	T_OPTIONAL, /* with or without descriptor */
	T_REQUIRED, /* with descriptor */
	T_REFUSED,  /* the handler returns -1 */
	T_CLOSER,   /* the handler closes the channel */
	T_TAKER     /* the handler takes the descriptor */
};

struct rig_msg {
	uint16_t type;
	uint64_t id;
	size_t len;
	uint32_t sum; /* of the payload */
	int fd;       /* as the handler saw it */
};

struct rig {
	struct imsg_chan a; /* sends */
	struct imsg_chan b; /* receives */
	int fds_before;
	size_t n;
	struct rig_msg msgs[RIG_MSGS];
	int taken;               /* the last descriptor taken, or -1 */
	int downs[2];            /* calls of on_down, of a and b */
	enum imsg_status status; /* of the last */
	const char *why;
	int drained;
};

static inline int
count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static inline uint32_t
rig_sum(const uint8_t *p, size_t len)
{
	uint32_t sum = 1;
	size_t i;

	for (i = 0; i < len; i++)
		sum = sum * 31 + p[i];
	return sum;
}

static inline int
rig_on_msg(void *arg, struct imsg *m)
{
	struct rig *rig = arg;
	struct rig_msg *note;

	assert_true(rig->n < RIG_MSGS);
	note = &rig->msgs[rig->n++];
	note->type = m->type;
	note->id = m->id;
	note->len = m->len;
	note->sum = rig_sum(m->data, m->len);
	note->fd = m->fd;
	if (m->type == T_TAKER)
		rig->taken = imsg_take_fd(m);
	if (m->type == T_CLOSER)
		imsg_close(&rig->b);
	return m->type == T_REFUSED ? -1 : 0;
}

static const struct imsg_rule rig_rules[IMSG_TYPES_MAX] = {
	[T_PLAIN] = { rig_on_msg, 0, RIG_CAP, 3, IMSG_FD_NONE },
	[T_SIZED] = { rig_on_msg, 4, 8, 3, IMSG_FD_NONE },
	[T_PHASE2] = { rig_on_msg, 0, 0, 2, IMSG_FD_NONE },
	[T_OPTIONAL] = { rig_on_msg, 0, RIG_CAP, 3, IMSG_FD_OPTIONAL },
	[T_REQUIRED] = { rig_on_msg, 0, RIG_CAP, 3, IMSG_FD_REQUIRED },
	[T_REFUSED] = { rig_on_msg, 0, RIG_CAP, 3, IMSG_FD_OPTIONAL },
	[T_CLOSER] = { rig_on_msg, 0, RIG_CAP, 3, IMSG_FD_OPTIONAL },
	[T_TAKER] = { rig_on_msg, 0, RIG_CAP, 3, IMSG_FD_REQUIRED },
};

static inline void
rig_on_down_a(void *arg, enum imsg_status status, const char *why)
{
	struct rig *rig = arg;

	rig->downs[0]++;
	rig->status = status;
	rig->why = why;
}

static inline void
rig_on_down_b(void *arg, enum imsg_status status, const char *why)
{
	struct rig *rig = arg;

	rig->downs[1]++;
	rig->status = status;
	rig->why = why;
}

static inline void
rig_on_drained(void *arg)
{
	((struct rig *)arg)->drained++;
}

static inline void
rig_open(struct rig *rig, bool fdpass)
{
	struct imsg_chan_opts o = { .rules = rig_rules,
		.in_cap = RIG_CAP,
		.out_cap = RIG_CAP,
		.phase = 1,
		.fdpass = fdpass,
		.arg = rig,
		.on_down = rig_on_down_a,
		.on_drained = rig_on_drained };
	int sv[2];

	memset(rig, 0, sizeof(*rig));
	rig->taken = -1;
	rig->fds_before = count_fds();
	assert_int_equal(imsg_socketpair(sv), 0);
	assert_int_equal(imsg_open(&rig->a, sv[0], &o), 0);
	o.on_down = rig_on_down_b;
	assert_int_equal(imsg_open(&rig->b, sv[1], &o), 0);
}

/* The same over two pipes, through which no descriptor goes. */
static inline void
rig_open_pipes(struct rig *rig)
{
	struct imsg_ends sides[2];

	rig_open(rig, false);
	close(rig->a.fd);
	close(rig->b.fd);
	assert_int_equal(imsg_pipes(sides), 0);
	rig->a.fd = sides[0].in;
	imsg_set_out(&rig->a, sides[0].out);
	rig->b.fd = sides[1].in;
	imsg_set_out(&rig->b, sides[1].out);
}

/* rig_open(), but a's buffer is far larger than what its socket takes. */
static inline void
rig_open_narrow(struct rig *rig, size_t out_cap)
{
	int size = 1; /* the least there is */

	rig_open(rig, true);
	free(rig->a.out);
	rig->a.out = malloc(out_cap);
	assert_non_null(rig->a.out);
	rig->a.out_cap = out_cap;
	assert_int_equal(
	    setsockopt(rig->a.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)),
	    0);
}

/* Closes all, and sees that nothing is left open. */
static inline void
rig_close(struct rig *rig)
{
	imsg_close(&rig->a);
	imsg_close(&rig->b);
	if (rig->taken != -1)
		close(rig->taken);
	assert_int_equal(count_fds(), rig->fds_before);
}

static inline int
any_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_not_equal(fd, -1);
	return fd;
}

/* Queues a message of len bytes that begin with seed, and go on from it. */
static inline bool
rig_queue(struct rig *rig, uint16_t type, uint64_t id, size_t len, int fd)
{
	struct wire_writer w;
	size_t i;

	if (!imsg_begin(&rig->a, &w, len)) {
		if (fd != -1)
			close(fd);
		return false;
	}
	for (i = 0; i < len; i++)
		wire_put_u8(&w, (uint8_t)(id + i));
	return imsg_commit(&rig->a, &w, type, id, fd);
}

/* The message that was received as nth is as rig_queue() made it. */
static inline void
rig_expect(
    const struct rig *rig, size_t nth, uint16_t type, uint64_t id, size_t len)
{
	const struct rig_msg *note = &rig->msgs[nth];
	uint8_t *payload = malloc(len + 1);
	size_t i;

	assert_non_null(payload);
	assert_true(nth < rig->n);
	for (i = 0; i < len; i++)
		payload[i] = (uint8_t)(id + i);
	assert_int_equal(note->type, type);
	assert_true(note->id == id);
	assert_int_equal(note->len, len);
	assert_int_equal(note->sum, rig_sum(payload, len));
	free(payload);
}

/* Sends bytes as they are, with nfds descriptors, to b. */
static inline void
rig_inject(
    struct rig *rig, const void *data, size_t len, const int *fds, size_t nfds)
{
	char control[CMSG_SPACE(sizeof(int) * 8)] = { 0 };
	struct iovec iov = { .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	memcpy(&iov.iov_base, &data, sizeof(data));
	if (nfds > 0) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * nfds);
	}
	assert_int_equal(sendmsg(rig->a.fd, &msg, 0), len);
}

/* Makes a header by hand. */
static inline void
rig_header(
    uint8_t hdr[IMSG_HDR_LEN], uint16_t type, uint16_t flags, uint32_t len)
{
	wire_store_u16(hdr, type);
	wire_store_u16(hdr + 2, flags);
	wire_store_u32(hdr + 4, len);
	wire_store_u64(hdr + 8, 7);
}

/* b has refused what was sent last, once and for all, for this reason. */
static inline void
rig_violated(struct rig *rig, const char *why)
{
	assert_int_equal(imsg_read(&rig->b), IMSG_VIOLATION);
	assert_int_equal(rig->downs[1], 1);
	assert_int_equal(rig->status, IMSG_VIOLATION);
	assert_string_equal(rig->why, why);
	assert_string_equal(rig->b.why, why);
	assert_false(imsg_is_open(&rig->b));
	assert_int_equal(imsg_read(&rig->b), IMSG_CLOSED);
	assert_int_equal(imsg_flush(&rig->b), IMSG_CLOSED);
	assert_int_equal(rig->downs[1], 1);
}

#endif
