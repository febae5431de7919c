/* SPDX-License-Identifier: ISC */
/*
 * Channels that pass descriptors: each one is with its message whatever way
 * the stream was cut, or closed; none is accepted that was not announced.
 */
/* LINK: common/imsg.c */
/* LIBS: -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <event2/event.h>
#include <cmocka.h>

#include "tests/unit/imsg_rig.h"

#define NFDS 20

/* A descriptor that can be told from others: its file has this length. */
static int
marked_fd(size_t mark)
{
	char name[] = "/tmp/imsgtest.XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC);

	assert_int_not_equal(fd, -1);
	(void)unlink(name);
	assert_int_equal(ftruncate(fd, (off_t)mark), 0);
	return fd;
}

static off_t
mark_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_size;
}

/* b's handlers note the mark, and close-on-exec, of what they are given. */
struct marks {
	size_t n;
	off_t mark[2 * NFDS]; /* -1 if there was no descriptor */
	bool cloexec;
};

static int
on_marked(void *arg, struct imsg *m)
{
	struct marks *marks = arg;

	assert_true(marks->n < 2 * NFDS);
	marks->mark[marks->n++] = m->fd == -1 ? -1 : mark_of(m->fd);
	if (m->fd != -1 && !(fcntl(m->fd, F_GETFD) & FD_CLOEXEC))
		marks->cloexec = false;
	return 0;
}

static const struct imsg_rule marked_rules[IMSG_TYPES_MAX] = {
	[T_PLAIN] = { on_marked, 0, RIG_CAP, 3, IMSG_FD_NONE },
	[T_OPTIONAL] = { on_marked, 0, RIG_CAP, 3, IMSG_FD_OPTIONAL },
};

static void
marks_open(struct rig *rig, struct marks *marks)
{
	rig_open(rig, true);
	memset(marks, 0, sizeof(*marks));
	marks->cloexec = true;
	rig->b.rules = marked_rules;
	rig->b.arg = marks;
	rig->b.on_down = NULL;
}

/* Reads until so many messages have come. */
static void
marks_read(struct rig *rig, const struct marks *marks, size_t want)
{
	int i;

	for (i = 0; i < 100 && marks->n < want; i++)
		assert_int_equal(imsg_read(&rig->b), IMSG_OK);
	assert_int_equal(marks->n, want);
}

/*
 * Messages with and without, in every combination of five: also with the
 * descriptor not on the first message of what one read brings.
 */
static void
with_the_right_message(void **state)
{
	struct marks marks;
	struct rig rig;
	unsigned int pattern, i;

	(void)state;
	for (pattern = 0; pattern < 32; pattern++) {
		marks_open(&rig, &marks);
		for (i = 0; i < 5; i++)
			assert_true(rig_queue(&rig, T_OPTIONAL, i, i * 10,
			    pattern & (1u << i) ? marked_fd(i + 1) : -1));
		assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
		marks_read(&rig, &marks, 5);
		for (i = 0; i < 5; i++)
			assert_int_equal(marks.mark[i],
			    pattern & (1u << i) ? (off_t)i + 1 : -1);
		assert_true(marks.cloexec);
		rig_close(&rig);
	}
}

static void
many_in_order(void **state)
{
	struct marks marks;
	struct rig rig;
	size_t i;

	(void)state;
	marks_open(&rig, &marks);
	for (i = 0; i < NFDS; i++) {
		assert_true(rig_queue(&rig, T_OPTIONAL, 1, i, marked_fd(i)));
		assert_true(rig_queue(&rig, T_PLAIN, 1, 3, -1));
	}
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	marks_read(&rig, &marks, 2 * NFDS);
	for (i = 0; i < NFDS; i++) {
		assert_int_equal(marks.mark[2 * i], i);
		assert_int_equal(marks.mark[2 * i + 1], -1);
	}
	rig_close(&rig);
}

/* The descriptor comes with the first byte, the message may take its time. */
static void
cut_anywhere(void **state)
{
	uint8_t stream[2 * IMSG_HDR_LEN + 6];
	struct marks marks;
	struct rig rig;
	size_t cut;
	int fd;

	(void)state;
	for (cut = 1; cut < sizeof(stream); cut++) {
		marks_open(&rig, &marks);
		rig_header(stream, T_OPTIONAL, IMSG_FLAG_FD, 6);
		memset(stream + IMSG_HDR_LEN, 0xab, 6);
		rig_header(stream + IMSG_HDR_LEN + 6, T_PLAIN, 0, 0);
		fd = marked_fd(77);
		rig_inject(&rig, stream, cut, &fd, 1);
		close(fd);
		assert_int_equal(imsg_read(&rig.b), IMSG_OK);
		assert_int_equal(marks.n, cut >= 22);
		rig_inject(&rig, stream + cut, sizeof(stream) - cut, NULL, 0);
		marks_read(&rig, &marks, 2);
		assert_int_equal(marks.mark[0], 77);
		assert_int_equal(marks.mark[1], -1);
		rig_close(&rig);
	}
}

/* A handler that takes it owns it; one that does not has it closed. */
static void
taken_or_closed(void **state)
{
	struct rig rig;
	struct imsg none = { .fd = -1 };

	(void)state;
	rig_open(&rig, true);
	assert_true(rig_queue(&rig, T_TAKER, 1, 0, marked_fd(5)));
	assert_true(rig_queue(&rig, T_REQUIRED, 2, 0, marked_fd(6)));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	assert_int_equal(rig.n, 2);
	assert_int_equal(mark_of(rig.taken), 5);
	assert_int_equal(fcntl(rig.msgs[1].fd, F_GETFD), -1);
	assert_int_equal(imsg_take_fd(&none), -1);
	rig_close(&rig);
}

/* One that was not announced: by no flag, or on a message that has none. */
static void
unexpected(void **state)
{
	uint8_t hdr[IMSG_HDR_LEN];
	struct rig rig;
	int fd;

	(void)state;
	rig_open(&rig, true);
	fd = any_fd();
	rig_header(hdr, T_OPTIONAL, 0, 0);
	rig_inject(&rig, hdr, sizeof(hdr), &fd, 1);
	close(fd);
	rig_violated(&rig, "descriptor without message");
	rig_close(&rig);
	rig_open(&rig, true);
	fd = any_fd();
	rig_header(hdr, T_PLAIN, IMSG_FLAG_FD, 0);
	rig_inject(&rig, hdr, sizeof(hdr), &fd, 1);
	close(fd);
	rig_violated(&rig, "descriptor not accepted");
	rig_close(&rig);
}

/* Announced, but not there. */
static void
missing(void **state)
{
	uint8_t hdr[IMSG_HDR_LEN];
	struct rig rig;

	(void)state;
	rig_open(&rig, true);
	rig_header(hdr, T_OPTIONAL, IMSG_FLAG_FD, 0);
	rig_inject(&rig, hdr, sizeof(hdr), NULL, 0);
	rig_violated(&rig, "descriptor missing");
	assert_int_equal(rig.n, 0);
	rig_close(&rig);
}

/* Two on one message: the second is nobody's. */
static void
two_on_one_message(void **state)
{
	uint8_t hdr[IMSG_HDR_LEN];
	struct rig rig;
	int fds[2];

	(void)state;
	rig_open(&rig, true);
	fds[0] = any_fd();
	fds[1] = any_fd();
	rig_header(hdr, T_REQUIRED, IMSG_FLAG_FD, 0);
	rig_inject(&rig, hdr, sizeof(hdr), fds, 2);
	close(fds[0]);
	close(fds[1]);
	rig_violated(&rig, "descriptor without message");
	rig_close(&rig);
}

/* However they came: the next message that says so has the next one. */
static void
queued_in_order(void **state)
{
	uint8_t stream[3 * IMSG_HDR_LEN];
	struct marks marks;
	struct rig rig;
	int fds[3], i;

	(void)state;
	marks_open(&rig, &marks);
	for (i = 0; i < 3; i++) {
		rig_header(
		    stream + i * IMSG_HDR_LEN, T_OPTIONAL, IMSG_FLAG_FD, 0);
		fds[i] = marked_fd((size_t)i + 5);
	}
	rig_inject(&rig, stream, sizeof(stream), fds, 3);
	for (i = 0; i < 3; i++)
		close(fds[i]);
	marks_read(&rig, &marks, 3);
	for (i = 0; i < 3; i++)
		assert_int_equal(marks.mark[i], i + 5);
	rig_close(&rig);
}

/* More than the control buffer has room for, in one or in several sends. */
static void
too_many(void **state)
{
	uint8_t hdr[IMSG_HDR_LEN];
	struct rig rig;
	int fds[5], i;

	(void)state;
	if (getenv("EMULATED") != NULL)
		return; /* qemu does not say MSG_CTRUNC */
	for (i = 0; i < 5; i++)
		fds[i] = any_fd();
	rig_open(&rig, true);
	rig_header(hdr, T_REQUIRED, IMSG_FLAG_FD, 8);
	rig_inject(&rig, hdr, sizeof(hdr), fds, 5);
	rig_violated(&rig, "descriptor lost");
	rig_close(&rig);
	rig_open(&rig, true);
	for (i = 0; i < 5; i++) {
		rig_inject(&rig, hdr + i, 1, &fds[i], 1);
		if (i < 4)
			assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	}
	rig_violated(&rig, "too many descriptors");
	rig_close(&rig);
	for (i = 0; i < 5; i++)
		close(fds[i]);
}

/* No room in the descriptor table shows as one that is silently missing. */
static void
table_full(void **state)
{
	struct rlimit old, none;
	struct rig rig;

	(void)state;
	rig_open(&rig, true);
	assert_true(rig_queue(&rig, T_REQUIRED, 1, 0, any_fd()));
	assert_int_equal(imsg_flush(&rig.a), IMSG_OK);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	rig_violated(&rig, "descriptor lost");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(rig.n, 0);
	rig_close(&rig);
}

/* A channel that is not for descriptors neither sends nor keeps any. */
static void
channel_without(void **state)
{
	uint8_t hdr[IMSG_HDR_LEN];
	struct rig rig;
	int fd;

	(void)state;
	rig_open(&rig, false);
	assert_false(rig_queue(&rig, T_OPTIONAL, 1, 0, any_fd()));
	assert_false(imsg_send_empty(&rig.a, T_OPTIONAL, 1, any_fd()));
	assert_int_equal(rig.a.out_len, 0);
	fd = any_fd();
	rig_header(hdr, T_OPTIONAL, 0, 0);
	rig_inject(&rig, hdr, sizeof(hdr), &fd, 1); /* the kernel closes it */
	assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	assert_int_equal(rig.n, 1);
	rig_header(hdr, T_OPTIONAL, IMSG_FLAG_FD, 0);
	rig_inject(&rig, hdr, sizeof(hdr), &fd, 1);
	close(fd);
	rig_violated(&rig, "descriptor missing");
	rig_close(&rig);
}

/* What was queued and never sent is closed, and so is what found no room. */
static void
never_sent(void **state)
{
	struct rig rig;
	int i;

	(void)state;
	rig_open(&rig, true);
	for (i = 0; i < IMSG_FDS_MAX; i++)
		assert_true(imsg_send_empty(&rig.a, T_REQUIRED, 1, any_fd()));
	assert_false(imsg_send_empty(&rig.a, T_REQUIRED, 1, any_fd()));
	assert_true(imsg_send_empty(&rig.a, T_PLAIN, 1, -1));
	while (rig_queue(&rig, T_PLAIN, 1, 0, -1))
		continue;
	assert_false(imsg_send_empty(&rig.a, T_REQUIRED, 1, any_fd()));
	rig_close(&rig);
}

/* What was received and belongs to a message that never came in full. */
static void
never_complete(void **state)
{
	uint8_t hdr[IMSG_HDR_LEN];
	struct rig rig;
	int fd;

	(void)state;
	rig_open(&rig, true);
	fd = any_fd();
	rig_header(hdr, T_REQUIRED, IMSG_FLAG_FD, 0);
	rig_inject(&rig, hdr, sizeof(hdr) - 1, &fd, 1);
	close(fd);
	assert_int_equal(imsg_read(&rig.b), IMSG_OK);
	assert_int_equal(rig.n, 0);
	rig_close(&rig);
}

/* Reads once; the marks come in order from *got on. */
static void
marks_in_order(struct rig *rig, struct marks *marks, size_t *got)
{
	size_t i;

	marks->n = 0;
	assert_int_equal(imsg_read(&rig->b), IMSG_OK);
	for (i = 0; i < marks->n; i++)
		if (marks->mark[i] != -1)
			assert_int_equal(marks->mark[i], (*got)++);
}

/*
 * Descriptors among messages for a peer that is slow to read: they stay with
 * theirs while the rest in the output buffer is moved up.
 */
static void
slow_peer(void **state)
{
	struct marks marks;
	struct rig rig;
	size_t sent = 0, got = 0, moved = 0, before;
	int turn;

	(void)state;
	rig_open_narrow(&rig, 30000);
	memset(&marks, 0, sizeof(marks));
	marks.cloexec = true;
	rig.b.rules = marked_rules;
	rig.b.arg = &marks;
	for (turn = 0; turn < 100000 && got < 200; turn++) {
		before = rig.a.out_pos;
		while (sent < 200 &&
		       rig_queue(&rig, T_OPTIONAL, 1, 50, marked_fd(sent))) {
			sent++;
			(void)rig_queue(&rig, T_PLAIN, 1, 3900, -1);
		}
		moved += before > 0 && rig.a.out_pos == 0 && rig.a.out_nfds > 1;
		(void)imsg_flush(&rig.a);
		marks_in_order(&rig, &marks, &got);
	}
	assert_int_equal(got, 200);
	assert_true(moved > 3); /* or this was no test of it */
	rig_close(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_the_right_message),
		cmocka_unit_test(many_in_order),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(taken_or_closed),
		cmocka_unit_test(unexpected),
		cmocka_unit_test(missing),
		cmocka_unit_test(two_on_one_message),
		cmocka_unit_test(queued_in_order),
		cmocka_unit_test(too_many),
		cmocka_unit_test(table_full),
		cmocka_unit_test(channel_without),
		cmocka_unit_test(never_sent),
		cmocka_unit_test(never_complete),
		cmocka_unit_test(slow_peer),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
