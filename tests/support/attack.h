/* SPDX-License-Identifier: ISC */
/* What a child that was taken over may do to the parent; see hostile.c. */
#ifndef TESTS_SUPPORT_ATTACK_H
#define TESTS_SUPPORT_ATTACK_H

#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/imsg.h"
#include "common/log.h"
#include "common/msg.h"

#define FDS_MANY 60

struct hostile;

struct attack {
	const char *name;
	void (*start)(struct hostile *);  /* before it says READY */
	void (*ready)(struct hostile *);  /* once it has the configuration */
	void (*flood)(struct hostile *);  /* again and again from then on */
	void (*linked)(struct hostile *); /* the link is there */
	void (*query)(struct hostile *, const struct imsg *);
	bool confined;
	bool deaf; /* reads nothing once it is configured */
};

struct hostile {
	const struct attack *attack;
	struct event_base *base;
	struct imsg_chan parent;
	struct imsg_chan link;
	struct msg_setup setup;
	bool pool; /* or listener */
	bool configured;
	int link_out;
	uint64_t link_id;
	uint64_t requests;
	uint64_t held_handle; /* a query kept to be mixed up with the next */
	size_t held_len;      /* 0: none */
	uint8_t held[DNS_MSG_MAX];
	uint8_t answer[DNS_MSG_MAX];
};

/* --- bytes that no encoder makes --- */

/* Writes a header as it pleases, and n bytes of payload. */
static inline void
send_raw(int fd, uint16_t type, uint16_t flags, uint32_t len, size_t n)
{
	uint8_t buf[IMSG_HDR_LEN + 256] = { 0 };

	wire_store_u16(buf, type);
	wire_store_u16(buf + 2, flags);
	wire_store_u32(buf + 4, len);
	wire_store_u64(buf + 8, 1);
	if (write(fd, buf, IMSG_HDR_LEN + n) == -1)
		log_debug("write failed"); /* the other may have gone */
}

/* A message that comes with n descriptors, whatever its flags say. */
static inline void
send_with_fds(int fd, uint16_t type, uint16_t flags, size_t n)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(int) * FDS_MANY)];
	} control;
	uint8_t buf[IMSG_HDR_LEN] = { 0 };
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(sizeof(int) * n) };
	struct cmsghdr *cmsg = &control.hdr;
	size_t i;

	wire_store_u16(buf, type);
	wire_store_u16(buf + 2, flags);
	memset(&control, 0, sizeof(control));
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n);
	for (i = 0; i < n; i++)
		memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &(int){ 0 },
		    sizeof(int));
	(void)sendmsg(fd, &msg, MSG_NOSIGNAL);
}

/* --- breaches of the protocol with the parent --- */

static inline uint16_t
own_type(const struct hostile *h)
{
	return h->pool ? MSG_TP_CONNECT : MSG_LP_PROCESSES;
}

static inline void
say_too_early(struct hostile *h)
{
	send_raw(MSG_PARENT_FD, own_type(h), 0, h->pool ? 4 : 0, 4);
}

static inline void
be_ready_twice(struct hostile *h)
{
	(void)msg_send_ready(&h->parent, 0);
}

static inline void
say_what_the_parent_says(struct hostile *h)
{
	(void)h;
	send_raw(MSG_PARENT_FD, MSG_PX_CONF_BEGIN, 0, 0, 0);
}

static inline void
say_what_the_sibling_says(struct hostile *h)
{
	if (h->pool)
		send_raw(MSG_PARENT_FD, MSG_LP_RELOAD, 0, 0, 0);
	else
		send_raw(MSG_PARENT_FD, MSG_TP_CONNECT, 0, 4, 4);
}

static inline void
say_no_type(struct hostile *h)
{
	(void)h;
	send_raw(MSG_PARENT_FD, 0xffff, 0, 0, 0);
}

static inline void
say_too_much(struct hostile *h)
{
	(void)h;
	send_raw(MSG_PARENT_FD, MSG_XP_LOG, 0, UINT32_MAX, 100);
}

static inline void
say_too_little(struct hostile *h)
{
	send_raw(MSG_PARENT_FD, h->pool ? MSG_TP_CONNECT : MSG_LP_LOG_LEVEL, 0,
	    0, 0);
}

static inline void
log_at_no_level(struct hostile *h)
{
	(void)msg_send_log(&h->parent, 200, "level");
}

static inline void
speak_of_no_upstream(struct hostile *h)
{
	const struct msg_health health = { .up = true };

	(void)msg_send_health(&h->parent, 1000, &health);
}

static inline void
lie_about_length(struct hostile *h)
{
	(void)h;
	send_raw(MSG_PARENT_FD, MSG_XP_LOG, 0, 100, 100);
}

static inline void
set_unknown_flags(struct hostile *h)
{
	(void)h;
	send_raw(MSG_PARENT_FD, MSG_XP_LINK_DOWN, 0x8000, 0, 0);
}

static inline void
send_descriptor(struct hostile *h)
{
	(void)h;
	send_with_fds(MSG_PARENT_FD, MSG_XP_LINK_DOWN, IMSG_FLAG_FD, 1);
}

static inline void
send_stray_descriptor(struct hostile *h)
{
	(void)h;
	send_with_fds(MSG_PARENT_FD, MSG_XP_LINK_DOWN, 0, 1);
}

static inline void
send_many_descriptors(struct hostile *h)
{
	(void)h;
	send_with_fds(MSG_PARENT_FD, MSG_XP_LINK_DOWN, 0, FDS_MANY);
}

static inline void
promise_descriptor(struct hostile *h)
{
	(void)h;
	send_raw(MSG_PARENT_FD, MSG_XP_LINK_DOWN, IMSG_FLAG_FD, 0, 0);
}

static inline void
send_garbage(struct hostile *h)
{
	uint8_t buf[4096];
	size_t i;

	(void)h;
	for (i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 167 + 13);
	(void)send(MSG_PARENT_FD, buf, sizeof(buf), MSG_NOSIGNAL);
}

/* --- ways to go --- */

static inline void
leave(struct hostile *h)
{
	(void)h;
	_exit(0);
}

static inline void
hang_up(struct hostile *h)
{
	(void)h;
	(void)close(MSG_PARENT_FD);
	for (;;)
		pause();
}

static inline void
answer_unasked(struct hostile *h)
{
	(void)imsg_send_empty(&h->parent, MSG_XP_PONG, 0, -1);
}

static inline void
spin(struct hostile *h)
{
	volatile bool forever = true;

	(void)h;
	while (forever)
		;
}

/* Dies, but somebody else goes on speaking in its name. */
static inline void
leave_an_heir(struct hostile *h)
{
	pid_t pid = fork();

	while (pid == 0) {
		while (msg_send_log(&h->parent, LOG_LEVEL_DEBUG, "heir"))
			;
		if (imsg_flush(&h->parent) == IMSG_CLOSED)
			break;
	}
	_exit(0);
}

static inline void
die_speaking(struct hostile *h)
{
	(void)h;
	errno = ENOTTY;
	fatal("last words");
}

static inline void
die_of_abort(struct hostile *h)
{
	(void)h;
	abort();
}

static inline void
refuse_configuration(struct hostile *h)
{
	(void)msg_send_result(
	    &h->parent, MSG_XP_CONF_DONE, 1, false, "it does not please me");
}

/* --- floods --- */

static inline void
flood_connect(struct hostile *h)
{
	(void)msg_send_u32(&h->parent, MSG_TP_CONNECT, ++h->requests, 1);
}

static inline void
flood_log(struct hostile *h)
{
	(void)msg_send_log(
	    &h->parent, LOG_LEVEL_WARN, "flood\n\033[31mdotproxy: forged");
}

static inline void
flood_reload(struct hostile *h)
{
	(void)imsg_send_empty(&h->parent, MSG_LP_RELOAD, ++h->requests, -1);
}

static inline void
flood_log_level(struct hostile *h)
{
	h->requests++;
	(void)msg_send_u8(&h->parent, MSG_LP_LOG_LEVEL, h->requests,
	    (uint8_t)(LOG_LEVEL_INFO + h->requests % 2));
}

static inline void
flood_config(struct hostile *h)
{
	(void)imsg_send_empty(&h->parent, MSG_LP_CONFIG, ++h->requests, -1);
}

/* All it can do to the others: upstreams taken from them, and clients. */
static inline void
flood_change(struct hostile *h)
{
	uint8_t change = (uint8_t)(++h->requests % CHANGE_COUNT);

	(void)msg_send_change(&h->parent, h->requests, change,
	    msg_change_has_upstream(change) ? 0 : MSG_NO_UPSTREAM);
}

/* Not even a service manager is worn out. */
static inline void
flood_health(struct hostile *h)
{
	struct msg_health health = { .up = ++h->requests % 2 == 0 };

	if (!health.up)
		health.cause = (uint8_t)(1 + h->requests % (CAUSE_COUNT - 1));
	(void)msg_send_health(&h->parent, 1, &health);
}

static inline void
flood_link_down(struct hostile *h)
{
	(void)imsg_send_empty(&h->parent, MSG_XP_LINK_DOWN, h->link_id, -1);
}

static inline void
flood_conf_done(struct hostile *h)
{
	(void)msg_send_result(
	    &h->parent, MSG_XP_CONF_DONE, ++h->requests, true, "flood");
}

#endif
