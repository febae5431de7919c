/* SPDX-License-Identifier: ISC */
/*
 * The floor of the benchmarks: answers each UDP query like the upstream in
 * tests/support would, with nothing between it and the client but the kernel.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../support/answer.h"
#include "../support/net.h"

#define BATCH 64
#define SIZE 4096

struct batch {
	uint8_t in[BATCH][SIZE];
	uint8_t out[BATCH][SIZE];
	struct sockaddr_storage from[BATCH];
	struct iovec iov_in[BATCH];
	struct iovec iov_out[BATCH];
	struct mmsghdr query[BATCH];
	struct mmsghdr answer[BATCH];
};

static void
batch_init(struct batch *b)
{
	size_t i;

	for (i = 0; i < BATCH; i++) {
		b->iov_in[i].iov_base = b->in[i];
		b->iov_in[i].iov_len = SIZE;
		b->iov_out[i].iov_base = b->out[i];
		b->query[i].msg_hdr.msg_iov = &b->iov_in[i];
		b->query[i].msg_hdr.msg_iovlen = 1;
		b->query[i].msg_hdr.msg_name = &b->from[i];
	}
}

static void
batch_answer(struct batch *b, int fd, unsigned n)
{
	unsigned i, len, done = 0, nout = 0;
	struct question q;
	uint8_t *p;
	int r;

	for (i = 0; i < n; i++) {
		len = b->query[i].msg_len;
		if (!question_parse(b->in[i], len, &q))
			continue;
		p = answer_start(b->out[nout], b->in[i], &q);
		p = answer_put_record(b->out[nout], p, &q);
		b->iov_out[nout].iov_len = (size_t)(p - b->out[nout]);
		b->answer[nout].msg_hdr = b->query[i].msg_hdr;
		b->answer[nout].msg_hdr.msg_iov = &b->iov_out[nout];
		nout++;
	}
	while (done < nout) {
		r = sendmmsg(fd, b->answer + done, nout - done, 0);
		done += r > 0 ? (unsigned)r : 1;
	}
}

int
main(int argc, char **argv)
{
	static struct batch b;
	struct sockaddr_storage ss;
	socklen_t len;
	int fd, i, n;

	if (argc != 3)
		errx(2, "usage: echo address port");
	len = net_address(argv[1], argv[2], &ss);
	fd = socket(ss.ss_family, SOCK_DGRAM, 0);
	if (fd == -1 || bind(fd, (struct sockaddr *)&ss, len) == -1)
		err(1, "bind");
	net_receive_buffer(fd);
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == -1)
		err(1, "getsockname");
	printf("ready %d\n", ntohs(((struct sockaddr_in *)&ss)->sin_port));
	fflush(stdout);
	batch_init(&b);
	for (;;) {
		for (i = 0; i < BATCH; i++)
			b.query[i].msg_hdr.msg_namelen = sizeof(b.from[i]);
		n = recvmmsg(fd, b.query, BATCH, MSG_WAITFORONE, NULL);
		if (n == -1 && errno != EINTR)
			err(1, "recvmmsg");
		if (n > 0)
			batch_answer(&b, fd, (unsigned)n);
	}
}
