/* SPDX-License-Identifier: ISC */
/*
 * The exporter's half that asks the daemon; see exporter.h.  It is of the
 * user the control socket belongs to, without capabilities.  Of the server it
 * takes the number of a document and nothing else, and it sends the daemon
 * nothing but one and the same request to be shown everything.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/util.h"

#include "dotproxyctl/client.h"
#include "dotproxyctl/exporter.h"
#include "dotproxyctl/metrics.h"
#include "dotproxyctl/output.h"
#include "dotproxyctl/sum.h"

#define ASK_TIMEOUT_MS 3000u
#define FRESH_MS 200            /* younger facts are not asked for again */
#define SERVER_TIMEOUT_MS 10000 /* for it to take a document */

struct reader {
	struct imsg_chan chan;
	const char *socket;
	bool wanted[DOC_COUNT];
	struct data *data; /* NULL: the daemon does not answer, see error */
	char error[CLIENT_ERROR_MAX];
	uint64_t asked_ms; /* 0: never */
};

static int
on_ask(void *arg, struct imsg *m)
{
	struct reader *r = arg;

	if (m->id >= DOC_COUNT)
		return -1;
	r->wanted[m->id] = true;
	return 0;
}

static int
on_ready(void *arg, struct imsg *m)
{
	(void)arg;
	(void)m;
	log_info("exporter: confined, and serving");
	return 0;
}

static int
on_log(void *arg, struct imsg *m)
{
	char escaped[4 * LOG_LINE_MAX];
	struct msg_log log;

	(void)arg;
	if (msg_read_log(m, &log) == -1)
		return -1;
	(void)log_escape(escaped, sizeof(escaped), log.line, strlen(log.line));
	log_line((enum log_level)log.level, escaped);
	return 0;
}

static const struct imsg_rule rules[IMSG_TYPES_MAX] = {
	[EXPORTER_READY] = { .handler = on_ready, .phases = 1 },
	[EXPORTER_ASK] = { .handler = on_ask, .phases = 1 },
	[MSG_XP_LOG] = { .handler = on_log,
	    .min = 1,
	    .max = LOG_LINE_MAX + 8,
	    .phases = 1 },
};

/* There is nothing to do without a server; who started us starts us again. */
static void
on_down(void *arg, enum imsg_status status, const char *why)
{
	struct reader *r = arg;
	int wstatus = 0;

	if (status == IMSG_VIOLATION)
		fatalx("exporter: the server broke the protocol: %s", why);
	if (status == IMSG_FAILED)
		fatalx("exporter: channel to the server: %s", why);
	/* It may be alive still: this ends it. */
	imsg_close(&r->chan);
	if (waitpid(-1, &wstatus, 0) != -1 && WIFSIGNALED(wstatus))
		fatalx("exporter: the server was killed by signal %d",
		    WTERMSIG(wstatus));
	fatalx("exporter: the server has ended");
}

/* Asks the daemon for everything.  Leaves NULL and a line in error, or data. */
static void
ask(struct reader *r)
{
	const struct command cmd = { .request = MSG_CL_SHOW, .show = SHOW_ALL };

	data_free(r->data);
	r->data = data_new();
	r->asked_ms = util_now_ms();
	if (r->data == NULL)
		(void)snprintf(r->error, sizeof(r->error), "out of memory");
	else if (client_ask_all(
		     r->socket, &cmd, ASK_TIMEOUT_MS, r->data, r->error) == 0) {
		data_look_usage(r->data);
		if (r->data->nparts == 0 || sum_parts(r->data) == 0)
			return;
		(void)snprintf(r->error, sizeof(r->error), "out of memory");
	}
	data_free(r->data);
	r->data = NULL;
}

/* Waits until the server has taken some of what is queued for it. */
static void
push(struct reader *r)
{
	struct pollfd pfd = { .fd = r->chan.fd, .events = POLLOUT };

	while (imsg_flush(&r->chan) == IMSG_BLOCKED)
		if (poll(&pfd, 1, SERVER_TIMEOUT_MS) == 0)
			fatalx("exporter: the server does not read");
}

static void
send_pieces(struct reader *r, enum exporter_doc doc, const char *p, size_t len)
{
	struct wire_writer w;
	size_t n;

	for (; len > 0; p += n, len -= n) {
		n = len < EXPORTER_PIECE_MAX ? len : EXPORTER_PIECE_MAX;
		if (!imsg_begin(&r->chan, &w, n)) {
			push(r);
			if (!imsg_begin(&r->chan, &w, n))
				fatalx("exporter: no room for a document");
		}
		wire_put_bytes(&w, p, n);
		if (!imsg_commit(&r->chan, &w, EXPORTER_PIECE, doc, -1))
			fatalx("exporter: cannot send");
	}
	push(r);
	if (!imsg_send_empty(&r->chan, EXPORTER_END, doc, -1))
		fatalx("exporter: cannot send");
	push(r);
}

static int
write_doc(const struct reader *r, enum exporter_doc doc, FILE *out)
{
	if (doc != DOC_STATE)
		return metrics_write(out, r->data, doc == DOC_OPEN_METRICS);
	if (r->data == NULL)
		return output_json_result(out, r->error);
	return output_json(out, SHOW_ALL, r->data);
}

static void
make(struct reader *r, enum exporter_doc doc)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int rc;

	if (out == NULL)
		fatal("exporter");
	rc = write_doc(r, doc, out);
	if (fclose(out) == EOF || rc == -1)
		fatalx("exporter: cannot write a document");
	send_pieces(
	    r, doc, text, len < EXPORTER_DOC_MAX ? len : EXPORTER_DOC_MAX);
	free(text);
}

static void
make_wanted(struct reader *r)
{
	unsigned int i;

	for (i = 0; i < DOC_COUNT; i++) {
		if (!r->wanted[i])
			continue;
		r->wanted[i] = false;
		if (r->asked_ms == 0 || util_now_ms() - r->asked_ms > FRESH_MS)
			ask(r);
		make(r, (enum exporter_doc)i);
	}
}

void
exporter_reader(int fd, const char *control_socket)
{
	struct reader r = { .socket = control_socket };
	const struct imsg_chan_opts opts = {
		.rules = rules,
		.in_cap = IMSG_HDR_LEN + LOG_LINE_MAX + 1024,
		.out_cap = EXPORTER_BUF,
		.phase = 1,
		.arg = &r,
		.on_down = on_down,
	};
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	if (imsg_open(&r.chan, fd, &opts) == -1)
		fatalx("out of memory");
	for (;;) {
		if (poll(&pfd, 1, -1) == -1 && errno != EINTR)
			fatal("poll");
		(void)imsg_read(&r.chan); /* on_down exits */
		make_wanted(&r);
	}
}
