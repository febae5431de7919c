/* SPDX-License-Identifier: ISC */
/* LINK: common/imsg.c */
/* LIBS: -levent_core */
/*
 * A channel that is read (imsg.h), under any rules: no handler ever sees a
 * message that its rule forbids, the messages are those of the stream however
 * it is cut, and no descriptor is left behind.
 *
 * Input: options, number of rules, rules of RULE_LEN octets; then pieces, each
 * a length (two octets, the highest bit: with a descriptor) and so many bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/imsg.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/fuzz.h"

#define RULES_MAX 15
#define RULE_LEN 7
#define PIECES_AT(n) (2 + RULE_LEN * (size_t)(n))
#define PIECE_HDR_LEN 2
#define IN_CAP 8192

struct state {
	struct imsg_chan chan;
	struct imsg_rule rules[IMSG_TYPES_MAX];
	uint8_t verdict[IMSG_TYPES_MAX]; /* what the handler does, by type */
	uint8_t *stream;                 /* all that was sent so far */
	size_t len;
	size_t pos;   /* where the next message has to begin */
	size_t nsent; /* descriptors */
	size_t ngot;
	unsigned int downs;
	enum imsg_status status;
};

static int
on_message(void *arg, struct imsg *m)
{
	struct state *s = arg;
	const struct imsg_rule *r;
	const uint8_t *hdr = s->stream + s->pos;
	uint16_t flags;

	FUZZ_ASSERT(s->downs == 0 && m->type < IMSG_TYPES_MAX);
	r = &s->rules[m->type];
	FUZZ_ASSERT(r->handler != NULL && (r->phases & s->chan.phase) != 0);
	FUZZ_ASSERT(m->len >= r->min && m->len <= r->max);
	FUZZ_ASSERT(r->fd != IMSG_FD_NONE || m->fd == -1);
	FUZZ_ASSERT(r->fd != IMSG_FD_REQUIRED || m->fd != -1);
	/* It is what stands in the stream next. */
	FUZZ_ASSERT(s->len - s->pos >= IMSG_HDR_LEN + m->len);
	FUZZ_ASSERT(wire_load_u16(hdr) == m->type);
	flags = wire_load_u16(hdr + 2);
	FUZZ_ASSERT(flags == (m->fd != -1 ? IMSG_FLAG_FD : 0));
	FUZZ_ASSERT(wire_load_u32(hdr + 4) == m->len);
	FUZZ_ASSERT(wire_load_u64(hdr + 8) == m->id);
	FUZZ_ASSERT(memcmp(hdr + IMSG_HDR_LEN, m->data, m->len) == 0);
	s->pos += IMSG_HDR_LEN + m->len;
	if (m->fd != -1) {
		FUZZ_ASSERT(++s->ngot <= s->nsent);
		FUZZ_ASSERT(fcntl(m->fd, F_GETFD) == FD_CLOEXEC);
		if (s->verdict[m->type] & 4)
			close(imsg_take_fd(m));
	}
	switch (s->verdict[m->type] & 3) {
	case 1:
		return -1;
	case 2:
		imsg_close(&s->chan);
		return 0;
	default:
		return 0;
	}
}

static void
on_down(void *arg, enum imsg_status status, const char *why)
{
	struct state *s = arg;

	FUZZ_ASSERT(s->downs++ == 0 && why != NULL && status != IMSG_OK);
	s->status = status;
}

static void
read_rules(struct state *s, struct wire_reader *r, size_t n)
{
	struct imsg_rule *rule;
	uint8_t type, how;

	while (n-- > 0) {
		type = wire_get_u8(r) % IMSG_TYPES_MAX;
		rule = &s->rules[type];
		rule->handler = on_message;
		rule->min = wire_get_u8(r);
		rule->max = wire_get_u16(r);
		rule->phases = wire_get_u8(r);
		how = wire_get_u8(r);
		rule->fd = (enum imsg_fd_policy)(how % 3);
		s->verdict[type] = wire_get_u8(r);
	}
}

/* Sends a piece, with a descriptor or without. */
static bool
send_piece(struct state *s, int sock, const uint8_t *data, size_t len, int fd)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	memcpy(s->stream + s->len, data, len);
	iov.iov_base = s->stream + s->len;
	if (fd != -1) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
		s->nsent++;
	}
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) != (ssize_t)len)
		return false;
	s->len += len;
	return true;
}

static void
run(struct state *s, struct wire_reader *r, int sock, int fd)
{
	enum imsg_status status = IMSG_OK;
	const uint8_t *data;
	uint16_t hdr;
	size_t n;

	while (wire_remaining(r) > PIECE_HDR_LEN && status == IMSG_OK) {
		hdr = wire_get_u16(r);
		n = hdr & 0x7fffu;
		if (n > wire_remaining(r))
			n = wire_remaining(r);
		if (n == 0)
			continue;
		data = wire_get_bytes(r, n);
		if (!send_piece(s, sock, data, n, hdr & 0x8000 ? fd : -1))
			return;
		do /* it may not fit at once */
			status = imsg_read(&s->chan);
		while (status == IMSG_OK && s->pos < s->len && s->downs == 0 &&
		       recv(s->chan.fd, &hdr, 1, MSG_PEEK) == 1);
	}
	FUZZ_ASSERT(s->downs == 0 || !imsg_is_open(&s->chan));
}

/* Nobody has the far end any more: all copies were closed. */
static void
check_closed(int pipe_fd)
{
	uint8_t byte;

	FUZZ_ASSERT(read(pipe_fd, &byte, 1) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct imsg_chan_opts opts = { .out_cap = 64, .on_down = on_down };
	struct wire_reader r;
	struct state *s;
	uint8_t options;
	int sv[2], p[2];

	wire_reader_init(&r, data, len);
	options = wire_get_u8(&r);
	if (len < PIECES_AT(wire_get_u8(&r) % (RULES_MAX + 1)))
		return 0;
	s = fuzz_alloc(sizeof(*s));
	s->stream = fuzz_alloc(len);
	read_rules(s, &r, data[1] % (RULES_MAX + 1));
	FUZZ_ASSERT(pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0);
	FUZZ_ASSERT(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		sv) == 0);
	opts.rules = s->rules;
	opts.in_cap = options & 8 ? IN_CAP : IMSG_HDR_LEN + 64;
	opts.phase = 1u << (options & 3);
	opts.fdpass = options & 4;
	opts.arg = s;
	FUZZ_ASSERT(imsg_open(&s->chan, sv[1], &opts) == 0);
	run(s, &r, sv[0], p[1]);
	imsg_close(&s->chan);
	close(sv[0]);
	close(p[1]);
	check_closed(p[0]);
	close(p[0]);
	free(s->stream);
	free(s);
	return 0;
}

/* Adds a whole message that one of the rules may admit, as one piece. */
static size_t
add_message(uint8_t *data, size_t len, size_t max, struct fuzz_random *rnd)
{
	size_t nrules = data[1] % (RULES_MAX + 1), n;
	const uint8_t *rule;
	uint16_t type;
	bool fd;

	if (nrules == 0 || len < PIECES_AT(nrules) || max - len < 600)
		return len;
	rule = data + 2 + RULE_LEN * fuzz_below(rnd, (uint32_t)nrules);
	type = rule[0] % IMSG_TYPES_MAX;
	fd = rule[5] % 3 == IMSG_FD_REQUIRED;
	n = frames_append(data, len + PIECE_HDR_LEN, max, rnd, &type, 1) - len -
	    PIECE_HDR_LEN;
	/* As long as it must be at least. */
	while (n < IMSG_HDR_LEN + (size_t)rule[1])
		data[len + PIECE_HDR_LEN + n++] = 0;
	wire_store_u32(
	    data + len + PIECE_HDR_LEN + 4, (uint32_t)(n - IMSG_HDR_LEN));
	wire_store_u16(data + len + PIECE_HDR_LEN + 2, fd);
	wire_store_u16(data + len, (uint16_t)(n | (fd ? 0x8000u : 0)));
	return len + PIECE_HDR_LEN + n;
}

size_t
LLVMFuzzerCustomMutator(
    uint8_t *data, size_t len, size_t max, unsigned int seed)
{
	struct fuzz_random rnd;

	fuzz_seed(&rnd, seed);
	if (len < 2 || fuzz_below(&rnd, 2) == 0)
		return LLVMFuzzerMutate(data, len, max);
	return add_message(data, len, max, &rnd);
}
