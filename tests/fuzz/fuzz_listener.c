/* SPDX-License-Identifier: ISC */
/* LINK: common/%.c dotproxy/listener/%.c */
/* LIBS: -levent_core -lcmocka */
/*
 * The whole listener between hostile clients, over UDP, TCP and the control
 * socket, and a hostile pool.  It goes on, its counters add up after each turn
 * of the loop, and no client is sent anything but whole answers to questions it
 * has asked.
 *
 * Input: steps, each what is done (one octet, the upper half: by whom), a
 * length (two octets) and so many bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/listener_ctl.h"

#include "tests/fuzz/dns_mutator.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/fuzz.h"

#define CLIENTS 4 /* the first over UDP */
#define STEP_HDR_LEN 3
#define STEPS_MAX 64
#define BYTES_MAX (256 * 1024)

enum step {
	STEP_ASK, /* a datagram, or bytes of a stream */
	STEP_HANG_UP,
	STEP_POOL,   /* bytes of the pool's channel */
	STEP_ANSWER, /* the query back, and these bytes */
	STEP_PART,
	STEP_FORGE,   /* these bytes as the answer to some query */
	STEP_CONTROL, /* bytes of a control client */
	STEP_TURN,
	STEP_FAIL,    /* what the pool says of some query */
	STEP_RESPAWN, /* another pool, in the middle of it all */
	STEPS
};

/* What a client has sent and got: messages with their lengths. */
struct talk {
	int fd; /* -1: not connected */
	size_t nsent;
	size_t ngot;
	uint8_t sent[BYTES_MAX];
	uint8_t got[BYTES_MAX];
};

static size_t
add_message(uint8_t *buf, size_t len, const uint8_t *msg, size_t n)
{
	if (n + 2 > BYTES_MAX - len)
		return len;
	wire_store_u16(buf + len, (uint16_t)n);
	memcpy(buf + len + 2, msg, n);
	return len + 2 + n;
}

static void
ask_udp(struct talk *t, const uint8_t *data, size_t len)
{
	if (t->fd == -1)
		t->fd = rig_udp_client(&rig.udp_addr);
	if (send(t->fd, data, len, MSG_DONTWAIT) == (ssize_t)len)
		t->nsent = add_message(t->sent, t->nsent, data, len);
}

static void
ask_tcp(struct talk *t, const uint8_t *data, size_t len)
{
	const struct linger rst = { 1, 0 };
	ssize_t n;

	if (t->fd == -1) {
		t->nsent = t->ngot = 0;
		t->fd = rig_tcp_client();
		(void)setsockopt(
		    t->fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	}
	if (len > BYTES_MAX - t->nsent)
		return;
	n = send(t->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n <= 0)
		return;
	memcpy(t->sent + t->nsent, data, (size_t)n);
	t->nsent += (size_t)n;
}

/* True if it answers one of those that were sent. */
static bool
was_asked(const struct talk *t, const uint8_t *msg, size_t len)
{
	size_t at, n;

	for (at = 0; t->nsent - at >= 2; at += 2 + n) {
		n = wire_load_u16(t->sent + at);
		if (n > t->nsent - at - 2)
			break;
		if (n >= DNS_HDR_LEN &&
		    dns_id(t->sent + at + 2) == dns_id(msg) &&
		    dns_answer_matches(t->sent + at + 2, n, msg, len))
			return true;
	}
	return false;
}

/* Receives all there is, and looks at what is whole. */
static void
listen_to(struct talk *t, bool udp)
{
	static uint8_t msg[65536];
	size_t at, len;
	ssize_t n;

	if (t->fd == -1)
		return;
	while ((n = recv(t->fd, msg, sizeof(msg), MSG_DONTWAIT)) > 0) {
		if (udp)
			t->ngot = add_message(t->got, t->ngot, msg, (size_t)n);
		else if ((size_t)n <= BYTES_MAX - t->ngot) {
			memcpy(t->got + t->ngot, msg, (size_t)n);
			t->ngot += (size_t)n;
		}
	}
	for (at = 0; t->ngot - at >= 2; at += 2 + len) {
		len = wire_load_u16(t->got + at);
		if (len > t->ngot - at - 2)
			break;
		FUZZ_ASSERT(len >= DNS_HDR_LEN);
		FUZZ_ASSERT(was_asked(t, t->got + at + 2, len));
	}
	memmove(t->got, t->got + at, t->ngot - at);
	t->ngot -= at;
}

/* As the pool: an echo of some query, and what is behind it. */
static void
answer(uint16_t which, const uint8_t *data, size_t len, enum step how)
{
	static uint8_t msg[DNS_MSG_MAX];
	const struct rig_query *q;

	if (rig.nqueries == 0 || rig.pool.down)
		return;
	q = &rig.queries[which % rig.nqueries];
	if (len > sizeof(msg) - q->len)
		return;
	if (how == STEP_FORGE) {
		(void)msg_send_answer(&rig.pool, q->handle, data, len);
		return;
	}
	memcpy(msg, q->wire, q->len);
	memcpy(msg + q->len, data, len);
	msg[2] |= 0x80;
	if (how == STEP_PART)
		(void)msg_send_part(&rig.pool, q->handle, msg, q->len + len);
	else
		(void)msg_send_answer(&rig.pool, q->handle, msg, q->len + len);
}

static void
fail_some(uint16_t which, const uint8_t *data, size_t len)
{
	struct msg_failed f = { CAUSE_TIMEOUT, MSG_NO_UPSTREAM };

	if (rig.nqueries == 0 || rig.pool.down)
		return;
	if (len > 0)
		f.cause = data[0] % CAUSE_COUNT;
	(void)msg_send_failed(
	    &rig.pool, rig.queries[which % rig.nqueries].handle, &f);
}

/* A pool that broke the protocol gets a new channel, as from the parent. */
static void
turn(void)
{
	rig_turn();
	if (!rig.pool.down && rig.links_down == 0)
		return;
	rig.links_down = 0;
	rig_link();
}

static void
step(struct talk talks[CLIENTS], uint8_t what, const uint8_t *data, size_t len)
{
	struct talk *t = &talks[(what >> 4) % CLIENTS];

	switch ((enum step)((what & 15) % STEPS)) {
	case STEP_ASK:
		if (t == talks)
			ask_udp(t, data, len);
		else
			ask_tcp(t, data, len);
		break;
	case STEP_HANG_UP:
		listen_to(t, t == talks);
		if (t->fd != -1 && t != talks) {
			close(t->fd);
			t->fd = -1;
		}
		break;
	case STEP_POOL:
		(void)!send(
		    rig.pool.fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case STEP_ANSWER:
	case STEP_PART:
	case STEP_FORGE:
		answer(what >> 4, data, len, (enum step)((what & 15) % STEPS));
		break;
	case STEP_CONTROL:
		if (!ctl.chan.down)
			(void)!send(ctl.chan.fd, data, len,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case STEP_FAIL:
		fail_some(what >> 4, data, len);
		break;
	case STEP_RESPAWN:
		rig_link();
		break;
	case STEP_TURN:
	case STEPS:
		break;
	}
	turn();
}

static void
run(struct talk talks[CLIENTS], const uint8_t *data, size_t len)
{
	struct wire_reader r;
	unsigned int i;
	uint8_t what;
	size_t n;

	wire_reader_init(&r, data, len);
	for (i = 0; i < STEPS_MAX && wire_remaining(&r) >= STEP_HDR_LEN; i++) {
		what = wire_get_u8(&r);
		n = wire_get_u16(&r);
		if (n > wire_remaining(&r))
			n = wire_remaining(&r);
		step(talks, what, n > 0 ? wire_get_bytes(&r, n) : data, n);
	}
	for (i = 0; i < 8; i++)
		turn();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct talk *talks;
	size_t i;

	if (len < STEP_HDR_LEN)
		return 0;
	talks = fuzz_alloc(CLIENTS * sizeof(*talks));
	for (i = 0; i < CLIENTS; i++)
		talks[i].fd = -1;
	(void)start(NULL);
	run(talks, data, len);
	for (i = 0; i < CLIENTS; i++) {
		listen_to(&talks[i], i == 0);
		if (talks[i].fd != -1)
			close(talks[i].fd);
	}
	(void)stop(NULL);
	free(talks);
	return 0;
}

/* One more step that gets somewhere. */
static size_t
add_step(uint8_t *data, size_t len, size_t max, struct fuzz_random *rnd)
{
	static const uint16_t pool_types[] = { MSG_TL_ANSWER, MSG_TL_PART,
		MSG_TL_FAILED, MSG_INFO_COUNTERS, MSG_INFO_POOL,
		MSG_INFO_UPSTREAM, MSG_INFO_HIST, MSG_INFO_END };
	static const uint16_t ctl_types[] = { MSG_CL_SHOW, MSG_CL_RELOAD,
		MSG_CL_LOG_LEVEL, MSG_CL_CHANGE };
	uint8_t what = (uint8_t)fuzz_below(rnd, STEPS), *p;
	bool tcp = false;
	size_t n = 0;

	if (max - len < 1024)
		return len;
	p = data + len + STEP_HDR_LEN;
	what |= (uint8_t)(fuzz_below(rnd, CLIENTS) << 4);
	switch (what & 15) {
	case STEP_ASK:
		tcp = what >> 4 != 0;
		memset(p, 0, 2 + DNS_HDR_LEN);
		p += tcp ? 2 : 0;
		p[1] = (uint8_t)fuzz_below(rnd, 4);
		n = dns_mutate(p, 0, 500, rnd);
		n = dns_mutate(p, n, 500, rnd);
		if (fuzz_below(rnd, 4) == 0) { /* too long for its slot */
			memset(p + n, 0, 400);
			n += 400;
		}
		if (tcp)
			wire_store_u16(p - 2, (uint16_t)n);
		break;
	case STEP_FORGE:
		memset(p, 0, DNS_HDR_LEN);
		p[2] = 0x80;
		n = dns_mutate(p, DNS_HDR_LEN, 500, rnd);
		break;
	case STEP_POOL:
		n = frames_append(p, 0, 512, rnd, pool_types, 8);
		break;
	case STEP_CONTROL:
		n = frames_append(p, 0, 512, rnd, ctl_types, 4);
		break;
	case STEP_ANSWER:
	case STEP_PART:
		n = fuzz_below(rnd, 900);
		memset(p, 0xaa, n);
		break;
	case STEP_FAIL:
		n = 1;
		p[0] = (uint8_t)fuzz_below(rnd, CAUSE_COUNT);
		break;
	default:
		break;
	}
	n += tcp ? 2 : 0;
	data[len] = what;
	wire_store_u16(data + len + 1, (uint16_t)n);
	return len + STEP_HDR_LEN + n;
}

size_t
LLVMFuzzerCustomMutator(
    uint8_t *data, size_t len, size_t max, unsigned int seed)
{
	struct fuzz_random rnd;

	fuzz_seed(&rnd, seed);
	if (fuzz_below(&rnd, 2) == 0)
		return LLVMFuzzerMutate(data, len, max);
	return add_step(data, len, max, &rnd);
}
