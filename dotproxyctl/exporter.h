/* SPDX-License-Identifier: ISC */
/*
 * "dotproxyctl exporter": what the daemon is doing, over HTTP.  Two processes.
 * The reader asks the daemon, as dotproxyctl does, and makes documents of what
 * it says.  The server speaks HTTP; all it can do with the reader is to ask
 * for one of them by its number.
 */
#ifndef DOTPROXYCTL_EXPORTER_H
#define DOTPROXYCTL_EXPORTER_H

#include <stddef.h>
#include <stdint.h>

#include "common/imsg.h"
#include "common/msg.h"

#define EXPORTER_LISTEN_MAX 8
#define EXPORTER_LISTEN_DEFAULT "127.0.0.1:9153"

/* What the reader makes. */
enum exporter_doc {
	DOC_METRICS,      /* Prometheus text, version 0.0.4 */
	DOC_OPEN_METRICS, /* OpenMetrics 1.0.0 */
	DOC_STATE,        /* JSON, as of "show all" */
	DOC_COUNT
};

/*
 * The messages between the two, with the document as their id; beside these
 * the server sends MSG_XP_LOG.  None of them ever reaches the daemon.
 */
enum exporter_msg {
	EXPORTER_READY = IMSG_TYPES_MAX - 4, /* server: confined; no id */
	EXPORTER_ASK,                        /* server: make it */
	EXPORTER_PIECE,                      /* reader: bytes of it */
	EXPORTER_END,                        /* reader: that was all */
};

_Static_assert((int)EXPORTER_READY >= (int)MSG_TYPE_COUNT, "types overlap");

#define EXPORTER_PIECE_MAX 32768
#define EXPORTER_BUF (256 * 1024)
#define EXPORTER_DOC_MAX (16 * 1024 * 1024)

struct exporter_opts {
	const char *socket; /* the daemon's */
	const char *user;   /* for the server, if we are root */
	size_t nlisten;     /* 0: the default */
	const char *listen[EXPORTER_LISTEN_MAX];
};

/* --- exporter.c --- */

/* Runs until it is killed, or cannot go on; returns the exit status. */
int exporter_run(const struct exporter_opts *);

/* --- exporter_listen.c --- */

#define EXPORTER_NAME_MAX 160
#define EXPORTER_ERROR_MAX 256

/*
 * Makes a listening socket for "address:port", "[address]:port" or a path.
 * Writes its name as it is, and returns it; or -1, with a line in error.
 */
int exporter_listen(const char *text, char name[EXPORTER_NAME_MAX],
    char error[EXPORTER_ERROR_MAX]);

/* --- exporter_reader.c --- */

/* Serves the server on this channel's descriptor; exits. */
void exporter_reader(int fd, const char *control_socket)
    __attribute__((noreturn));

/* --- exporter_server.c --- */

/*
 * Takes over the sockets and the channel to the reader, gives everything else
 * up as opts say and serves; exits.
 */
struct sandbox_opts;
void exporter_server(int reader_fd, const int *fds, size_t nfds,
    const struct sandbox_opts *) __attribute__((noreturn));

#endif
