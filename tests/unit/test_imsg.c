/* SPDX-License-Identifier: ISC */
/*
 * Channels: framing at every boundary, rules, full queues, blocked and gone
 * peers.  Descriptors have tests of their own.
 */
/* LINK: common/imsg.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <event2/event.h>
#include <cmocka.h>

#include "tests/unit/imsg_rig.h"

static void
messages_arrive(void **state)
{
	struct rig rig;
	uint32_t i;

	(void)state;
	rig_open(&rig, false);
	for (i = 0; i < 50; i++)
		assert_true(rig_queue(&rig, T_PLAIN, 1000 + i, i, -1));
	assert_true(imsg_send_empty(&rig.a, T_PLAIN, UINT64_MAX, -1));
	assert_int_equal(imsg_read(&rig.b), IMSG_OK); /* not before a flush */
	assert_int_equal(rig.n, 0);
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(imsg_read(&rig.b), IMSG_OK); /* all in one go */
	assert_int_equal(rig.n, 51);
	for (i = 0; i < 50; i++)
		rig_expect(&rig, i, T_PLAIN, 1000 + i, i);
	rig_expect(&rig, 50, T_PLAIN, UINT64_MAX, 0);
	assert_int_equal(rig.a.msgs_out, 51);
	assert_int_equal(rig.b.msgs_in, 51);
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK); /* nothing to do */
	rig_close(&rig);
}

/* What is on the wire is what imsg.h says. */
static void
header_on_the_wire(void **state)
{
	struct rig rig;
	uint8_t buf[64];

	(void)state;
	rig_open(&rig, false);
	assert_true(rig_queue(&rig, T_SIZED, 0x0102030405060708, 4, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(recv(rig.b.fd, buf, sizeof(buf), 0), 20);
	assert_memory_equal(
	    buf, "\0\2\0\0\0\0\0\4\1\2\3\4\5\6\7\10\10\11\12\13", 20);
	rig_close(&rig);
}

/* Three messages, cut in two at every byte. */
static void
split_at_every_boundary(void **state)
{
	uint8_t stream[3 * IMSG_HDR_LEN + 9];
	struct rig rig;
	size_t cut;

	(void)state;
	for (cut = 0; cut <= sizeof(stream); cut++) {
		rig_open(&rig, false);
		assert_true(rig_queue(&rig, T_PLAIN, 1, 4, -1));
		assert_true(rig_queue(&rig, T_PLAIN, 2, 0, -1));
		assert_true(rig_queue(&rig, T_SIZED, 3, 5, -1));
		assert_int_equal(rig.a.out_len, sizeof(stream));
		memcpy(stream, rig.a.out, sizeof(stream));
		if (cut > 0)
			rig_inject(&rig, stream, cut, NULL, 0);
		assert_int_equal(imsg_read(&rig.b), IMSG_OK);
		assert_int_equal(
		    rig.n, (cut >= 20) + (cut >= 36) + (cut >= 57));
		if (cut < sizeof(stream))
			rig_inject(
			    &rig, stream + cut, sizeof(stream) - cut, NULL, 0);
		assert_int_equal(imsg_read(&rig.b), IMSG_OK);
		assert_int_equal(rig.n, 3);
		rig_expect(&rig, 0, T_PLAIN, 1, 4);
		rig_expect(&rig, 1, T_PLAIN, 2, 0);
		rig_expect(&rig, 2, T_SIZED, 3, 5);
		rig_close(&rig);
	}
}

static void
byte_by_byte(void **state)
{
	uint8_t stream[2 * IMSG_HDR_LEN + 300];
	struct rig rig;
	size_t i;

	(void)state;
	rig_open(&rig, true);
	assert_true(rig_queue(&rig, T_PLAIN, 5, 300, -1));
	assert_true(rig_queue(&rig, T_PLAIN, 6, 0, -1));
	memcpy(stream, rig.a.out, sizeof(stream));
	for (i = 0; i < sizeof(stream); i++) {
		assert_int_equal(rig.n, i >= 316);
		rig_inject(&rig, stream + i, 1, NULL, 0);
		assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	}
	assert_int_equal(rig.n, 2);
	rig_expect(&rig, 0, T_PLAIN, 5, 300);
	rig_expect(&rig, 1, T_PLAIN, 6, 0);
	rig_close(&rig);
}

/* The largest message that fits the buffer, twice, and one byte more. */
static void
largest_message(void **state)
{
	uint8_t hdr[IMSG_HDR_LEN];
	struct rig rig;

	(void)state;
	rig_open(&rig, false);
	assert_true(rig_queue(&rig, T_PLAIN, 1, RIG_CAP - 16, -1));
	assert_false(rig_queue(&rig, T_PLAIN, 2, 0, -1)); /* full */
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	assert_true(rig_queue(&rig, T_PLAIN, 2, RIG_CAP - 16, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	assert_int_equal(rig.n, 2);
	rig_expect(&rig, 1, T_PLAIN, 2, RIG_CAP - 16);
	assert_false(rig_queue(&rig, T_PLAIN, 3, RIG_CAP - 15, -1));
	/* The rule would take it, but it could never be held. */
	rig_header(hdr, T_PLAIN, 0, RIG_CAP - 15);
	rig_inject(&rig, hdr, sizeof(hdr), NULL, 0);
	rig_violated(&rig, "message size not accepted");
	rig_close(&rig);
}

/* A header that no rule admits is refused before its payload is here. */
static void
headers_refused(void **state)
{
	const struct {
		uint16_t type, flags;
		uint32_t len;
		const char *why;
	} t[] = { { T_NONE, 0, 0, "message type not accepted" },
		{ IMSG_TYPES_MAX - 1, 0, 0, "message type not accepted" },
		{ IMSG_TYPES_MAX, 0, 0, "message type not accepted" },
		{ 0xffff, 0, 0, "message type not accepted" },
		{ T_PHASE2, 0, 0, "message not accepted in this phase" },
		{ T_SIZED, 0, 3, "message size not accepted" },
		{ T_SIZED, 0, 9, "message size not accepted" },
		{ T_SIZED, 0, 0, "message size not accepted" },
		{ T_SIZED, 0, UINT32_MAX, "message size not accepted" },
		{ T_PLAIN, 0, RIG_CAP + 1, "message size not accepted" },
		{ T_PLAIN, 2, 1, "unknown flags" },
		{ T_PLAIN, 0x8000, 1, "unknown flags" },
		{ T_OPTIONAL, 3, 1, "unknown flags" },
		{ T_PLAIN, 1, 1, "descriptor not accepted" },
		{ T_REQUIRED, 0, 1, "descriptor missing" } };
	uint8_t hdr[IMSG_HDR_LEN];
	struct rig rig;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		rig_open(&rig, true);
		rig_header(hdr, t[i].type, t[i].flags, t[i].len);
		rig_inject(&rig, hdr, sizeof(hdr), NULL, 0);
		rig_violated(&rig, t[i].why);
		assert_int_equal(rig.n, 0);
		rig_close(&rig);
	}
}

/* Both ends of the range of sizes are in it; the phase can change. */
static void
rules_admit(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, false);
	assert_true(rig_queue(&rig, T_SIZED, 1, 4, -1));
	assert_true(rig_queue(&rig, T_SIZED, 2, 8, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	assert_int_equal(rig.n, 2);
	rig.b.phase = 2;
	assert_true(rig_queue(&rig, T_PHASE2, 3, 0, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	assert_int_equal(rig.n, 3);
	rig_close(&rig);
}

/* What came before a violation was handled, what comes after it is not. */
static void
violation_in_the_middle(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, false);
	assert_true(rig_queue(&rig, T_PLAIN, 1, 0, -1));
	assert_true(rig_queue(&rig, T_REFUSED, 2, 0, -1));
	assert_true(rig_queue(&rig, T_PLAIN, 3, 0, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	rig_violated(&rig, "bad payload");
	assert_int_equal(rig.n, 2);
	rig_close(&rig);
}

/* A handler may close its channel; the messages behind are gone. */
static void
handler_closes(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, true);
	assert_true(rig_queue(&rig, T_CLOSER, 1, 10, any_fd()));
	assert_true(rig_queue(&rig, T_PLAIN, 2, 0, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(imsg_read(&rig.b), IMSG_CLOSED);
	assert_int_equal(rig.n, 1);
	assert_int_equal(rig.downs[1], 0); /* it knows */
	assert_int_equal(rig.b.fd, -1);
	imsg_close(&rig.b); /* again: left alone */
	rig_close(&rig);
}

static int
flush_to_the_dead(void *arg, struct imsg *m)
{
	struct rig *rig = arg;

	rig->n++;
	imsg_close(&rig->a);
	assert_true(imsg_send_empty(&rig->b, m->type, 0, -1));
	assert_int_equal(imsg_flush(&rig->b), IMSG_CLOSED);
	assert_int_equal(rig->downs[1], 1);
	return 0;
}

/* A channel that goes down within a handler has no more to say. */
static void
handler_finds_peer_gone(void **state)
{
	static const struct imsg_rule rules[IMSG_TYPES_MAX] = {
		[T_PLAIN] = { flush_to_the_dead, 0, 8, 1, IMSG_FD_NONE },
	};
	struct rig rig;

	(void)state;
	rig_open(&rig, false);
	rig.b.rules = rules;
	assert_true(rig_queue(&rig, T_PLAIN, 1, 0, -1));
	assert_true(rig_queue(&rig, T_PLAIN, 2, 0, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(imsg_read(&rig.b), IMSG_CLOSED);
	assert_int_equal(rig.n, 1);
	assert_int_equal(rig.downs[1], 1);
	assert_int_equal(rig.status, IMSG_CLOSED);
	rig_close(&rig);
}

static void
peer_gone_when_reading(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, true);
	assert_true(rig_queue(&rig, T_PLAIN, 1, 0, -1));
	assert_true(rig_queue(&rig, T_PLAIN, 2, 9, -1));
	rig.a.out_len--; /* it dies in the middle of a message */
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	imsg_close(&rig.a);
	assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	assert_int_equal(rig.n, 1);
	assert_int_equal(imsg_read(&rig.b), IMSG_CLOSED);
	assert_int_equal(rig.downs[1], 1);
	assert_int_equal(rig.status, IMSG_CLOSED);
	assert_int_equal(imsg_read(&rig.b), IMSG_CLOSED);
	assert_int_equal(rig.downs[1], 1);
	assert_false(imsg_send_empty(&rig.b, T_PLAIN, 1, -1));
	rig_close(&rig);
}

/* No SIGPIPE either. */
static void
peer_gone_when_writing(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, true);
	assert_true(rig_queue(&rig, T_OPTIONAL, 1, 0, any_fd()));
	imsg_close(&rig.b);
	assert_int_equal(imsg_flush(&rig.a), IMSG_CLOSED);
	assert_int_equal(rig.downs[0], 1);
	assert_false(rig_queue(&rig, T_PLAIN, 2, 0, -1));
	assert_false(rig_queue(&rig, T_OPTIONAL, 2, 0, any_fd()));
	assert_int_equal(imsg_flush(&rig.a), IMSG_CLOSED);
	assert_int_equal(rig.downs[0], 1);
	rig_close(&rig);
}

/* A payload larger than it was said to be is not sent; the next one is. */
static void
writer_overflow(void **state)
{
	struct wire_writer w;
	struct rig rig;
	int fd;

	(void)state;
	rig_open(&rig, true);
	for (fd = -1; fd != 0; fd = fd == -1 ? any_fd() : 0) {
		assert_true(imsg_begin(&rig.a, &w, 4));
		wire_put_u32(&w, 1);
		wire_put_u8(&w, 1);
		assert_false(imsg_commit(&rig.a, &w, T_OPTIONAL, 1, fd));
	}
	assert_int_equal(rig.a.out_len, 0);
	assert_true(rig_queue(&rig, T_PLAIN, 2, 5, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	assert_int_equal(rig.n, 1);
	rig_expect(&rig, 0, T_PLAIN, 2, 5);
	rig_close(&rig);
}

static void
output_full_and_congested(void **state)
{
	struct rig rig;
	int n;

	(void)state;
	rig_open(&rig, false);
	assert_false(imsg_congested(&rig.a));
	for (n = 0; rig_queue(&rig, T_PLAIN, 1, 16, -1); n++)
		assert_int_equal(
		    imsg_congested(&rig.a), (n + 1) * 32 > RIG_CAP / 2);
	assert_int_equal(n, RIG_CAP / 32);
	rig.a.out_len -= IMSG_HDR_LEN; /* room for a header, just so */
	wire_store_u32(rig.a.out + rig.a.out_len - 16 + 4, 0);
	assert_true(imsg_send_empty(&rig.a, T_PLAIN, 1, -1));
	assert_false(imsg_send_empty(&rig.a, T_PLAIN, 1, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_false(imsg_congested(&rig.a));
	assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	assert_int_equal(rig.n, n + 1); /* and nothing that did not fit */
	rig_close(&rig);
}

/* Queues and flushes until the peer's socket takes no more. */
static uint64_t
rig_block(struct rig *rig)
{
	uint64_t id = 0;

	for (;;) {
		while (rig_queue(rig, T_PLAIN, id, 1000, -1))
			id++;
		if (imsg_flush(&rig->a) == IMSG_BLOCKED)
			return id;
	}
}

/* Reads what there is; ids come in order from *next on. */
static void
rig_drain(struct rig *rig, uint64_t *next)
{
	size_t i;

	do {
		rig->n = 0;
		assert_int_equal(imsg_read(&rig->b), IMSG_OK);
		for (i = 0; i < rig->n; i++)
			rig_expect(rig, i, T_PLAIN, (*next)++, 1000);
	} while (rig->n > 0);
}

/* A peer that does not read: nothing is lost, and there is an end to it. */
static void
blocked_peer(void **state)
{
	struct rig rig;
	uint64_t sent, next = 0;

	(void)state;
	rig_open(&rig, false);
	sent = rig_block(&rig);
	assert_false(rig_queue(&rig, T_PLAIN, sent, RIG_CAP - 16, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_BLOCKED);
	do
		rig_drain(&rig, &next);
	while (imsg_flush(&rig.a) == IMSG_BLOCKED);
	rig_drain(&rig, &next);
	assert_true(next == sent);
	assert_int_equal(rig.drained, 1);
	rig_close(&rig);
}

/*
 * A rest of which a part has left moves up to make room: what is in the
 * buffer stays in order and whole.
 */
static void
rest_moves_up(void **state)
{
	struct rig rig;
	uint64_t sent = 0, next = 0;
	size_t moved = 0, before;

	(void)state;
	rig_open_narrow(&rig, 20000);
	while (sent < 2000) {
		before = rig.a.out_pos;
		while (rig_queue(&rig, T_PLAIN, sent, 1000, -1))
			sent++;
		moved += before > 0 && rig.a.out_pos == 0;
		(void)imsg_flush(&rig.a);
		rig_drain(&rig, &next);
	}
	assert_true(moved > 10); /* or this was no test of it */
	while (imsg_flush(&rig.a) == IMSG_BLOCKED)
		rig_drain(&rig, &next);
	rig_drain(&rig, &next);
	assert_true(next == sent);
	rig_close(&rig);
}

/* In a loop, the rest goes out by itself, and on_drained is called once. */
static void
blocked_peer_in_a_loop(void **state)
{
	struct event_base *base;
	struct rig rig;
	uint64_t sent, next = 0;

	(void)state;
	base = event_base_new();
	assert_non_null(base);
	rig_open(&rig, false);
	assert_int_equal(imsg_attach(&rig.a, base), 0);
	sent = rig_block(&rig);
	assert_int_equal(
	    event_base_loop(base, EVLOOP_NONBLOCK), 0); /* still blocked */
	assert_int_equal(rig.drained, 0);
	while (next < sent) {
		rig_drain(&rig, &next);
		assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
	}
	assert_int_equal(rig.drained, 1);
	assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(rig.drained, 1); /* it is not watched any more */
	rig_close(&rig);
	event_base_free(base);
}

/*
 * Output that was blocked and then leaves with the flush of another turn has
 * drained, too: who stopped its source waits to be told.
 */
static void
drained_by_a_flush(void **state)
{
	struct event_base *base;
	struct rig rig;
	uint64_t sent, next = 0;

	(void)state;
	base = event_base_new();
	assert_non_null(base);
	rig_open(&rig, false);
	assert_int_equal(imsg_attach(&rig.a, base), 0);
	sent = rig_block(&rig);
	rig_drain(&rig, &next);
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(rig.drained, 1);
	rig_drain(&rig, &next);
	assert_true(next == sent);
	assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(rig.drained, 1);
	assert_true(rig_queue(&rig, T_PLAIN, 1, 0, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(rig.drained, 1); /* it was not blocked */
	rig_close(&rig);
	event_base_free(base);
}

/* In a loop messages come by themselves, unless reading is off. */
static void
reading_in_a_loop(void **state)
{
	struct event_base *base;
	struct rig rig;

	(void)state;
	base = event_base_new();
	assert_non_null(base);
	rig_open(&rig, false);
	imsg_read_enable(&rig.b, false); /* not attached: no effect */
	assert_int_equal(imsg_attach(&rig.b, base), 0);
	imsg_read_enable(&rig.b, false);
	assert_true(rig_queue(&rig, T_PLAIN, 1, 3, -1));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 1);
	assert_int_equal(rig.n, 0);
	imsg_read_enable(&rig.b, true);
	assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(rig.n, 1);
	imsg_close(&rig.a);
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(rig.downs[1], 1);
	imsg_read_enable(&rig.b, true); /* down: it stays off */
	assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 1);
	assert_int_equal(rig.downs[1], 1);
	rig_close(&rig);
	event_base_free(base);
}

static void
socketpair_flags(void **state)
{
	int sv[2], i;

	(void)state;
	assert_int_equal(imsg_socketpair(sv), 0);
	for (i = 0; i < 2; i++) {
		assert_true(fcntl(sv[i], F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(sv[i], F_GETFL) & O_NONBLOCK);
		close(sv[i]);
	}
}

/* An allocation that is refused is what the test below is about. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

/* Out of memory leaves nothing open. */
static void
open_without_memory(void **state)
{
	struct imsg_chan ch;
	const struct imsg_chan_opts o = {
		.rules = rig_rules, .in_cap = 16, .out_cap = (size_t)PTRDIFF_MAX
	};
	int sv[2], before = count_fds();

	(void)state;
	assert_int_equal(imsg_socketpair(sv), 0);
	assert_int_equal(imsg_open(&ch, sv[0], &o), -1);
	assert_int_equal(ch.fd, -1);
	close(sv[1]);
	assert_int_equal(count_fds(), before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_arrive),
		cmocka_unit_test(header_on_the_wire),
		cmocka_unit_test(split_at_every_boundary),
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(largest_message),
		cmocka_unit_test(headers_refused),
		cmocka_unit_test(rules_admit),
		cmocka_unit_test(violation_in_the_middle),
		cmocka_unit_test(handler_closes),
		cmocka_unit_test(handler_finds_peer_gone),
		cmocka_unit_test(peer_gone_when_reading),
		cmocka_unit_test(peer_gone_when_writing),
		cmocka_unit_test(writer_overflow),
		cmocka_unit_test(output_full_and_congested),
		cmocka_unit_test(blocked_peer),
		cmocka_unit_test(rest_moves_up),
		cmocka_unit_test(blocked_peer_in_a_loop),
		cmocka_unit_test(drained_by_a_flush),
		cmocka_unit_test(reading_in_a_loop),
		cmocka_unit_test(socketpair_flags),
		cmocka_unit_test(open_without_memory),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
