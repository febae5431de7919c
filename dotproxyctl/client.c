/* SPDX-License-Identifier: ISC */
/*
 * Asks the daemon over its control socket; see client.h.  Runs in
 * dotproxyctl.  It must not wait for ever, nor believe what does not decode.
 */
#include "dotproxyctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/imsg.h"
#include "common/util.h"

#define CONNECT_RETRY_MS 50 /* while the daemon's backlog is full */

struct client {
	struct imsg_chan chan;
	struct data *data;
	struct data *all; /* whose part that is; or NULL */
	uint64_t id;      /* of our request, repeated in every reply */
	bool deaf;        /* there, but it takes no connections */
	enum imsg_status status;
	const char *why;
};

static int
on_info(void *arg, struct imsg *m)
{
	struct client *c = arg;
	size_t i;

	if (m->id != c->id || data_add(c->data, m) == -1)
		return -1;
	if (m->type != MSG_INFO_PROCESS || c->all == NULL)
		return 0;
	/* What it knows of the processes is of use for all. */
	for (i = 0; i < c->all->nparts; i++)
		if (data_add_hearsay(c->all->parts[i], m) == -1)
			return -1;
	return 0;
}

#define INFO_RULE                                                     \
	{                                                             \
		.handler = on_info, .max = MSG_INFO_MAX, .phases = 1, \
		.fd = IMSG_FD_NONE                                    \
	}

static const struct imsg_rule client_rules[IMSG_TYPES_MAX] = {
	[MSG_INFO_COUNTERS] = INFO_RULE,
	[MSG_INFO_POOL] = INFO_RULE,
	[MSG_INFO_UPSTREAM] = INFO_RULE,
	[MSG_INFO_CONN] = INFO_RULE,
	[MSG_INFO_HIST] = INFO_RULE,
	[MSG_INFO_PIN] = INFO_RULE,
	[MSG_INFO_ERROR] = INFO_RULE,
	[MSG_INFO_CLIENT] = INFO_RULE,
	[MSG_INFO_PROCESS] = INFO_RULE,
	[MSG_INFO_PROBE] = INFO_RULE,
	[MSG_INFO_LISTENER] = INFO_RULE,
	[MSG_INFO_TEXT] = INFO_RULE,
	[MSG_INFO_END] = INFO_RULE,
};

static void
on_down(void *arg, enum imsg_status status, const char *why)
{
	struct client *c = arg;

	c->status = status;
	c->why = why;
}

/* What a failed connect() means for who runs dotproxyctl. */
static const char *
connect_hint(int err)
{
	switch (err) {
	case ECONNREFUSED:
		return "no daemon is listening there";
	case ENOENT:
		return "no such socket, the daemon is not running or uses "
		       "another";
	case EACCES:
	case EPERM:
		return "only root, or who started the daemon, may connect";
	case EAGAIN:
		return "the daemon does not take connections";
	default:
		return "cannot connect";
	}
}

/* Returns a connected non-blocking socket, or -1 with errno. */
static int
connect_until(const struct sockaddr_un *sun, uint64_t deadline_ms)
{
	int fd, err;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	while (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == -1) {
		err = errno;
		if (err == EAGAIN && util_now_ms() < deadline_ms) {
			(void)poll(NULL, 0, CONNECT_RETRY_MS);
			continue;
		}
		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

static bool
send_request(struct client *c, const struct command *cmd)
{
	switch (cmd->request) {
	case MSG_CL_SHOW:
		return msg_send_u8(
		    &c->chan, MSG_CL_SHOW, c->id, (uint8_t)cmd->show);
	case MSG_CL_LOG_LEVEL:
		return msg_send_u8(
		    &c->chan, MSG_CL_LOG_LEVEL, c->id, (uint8_t)cmd->level);
	case MSG_CL_CHANGE:
		return msg_send_request(&c->chan, c->id, &cmd->change);
	default:
		return imsg_send_empty(
		    &c->chan, (uint16_t)cmd->request, c->id, -1);
	}
}

/* Waits; false if that cannot be done: to try again and again is no waiting. */
static bool
wait_readable(struct pollfd *pfds, size_t n, int ms)
{
	return poll(pfds, n, ms) != -1 || errno == EINTR;
}

/* Reads until the answer is whole, the channel is down, or time is up. */
static void
read_answer(struct client *c, uint64_t deadline_ms)
{
	struct pollfd pfd = { .fd = c->chan.fd, .events = POLLIN };
	uint64_t now_ms;

	while (!c->data->done && c->status == IMSG_OK) {
		now_ms = util_now_ms();
		if (now_ms >= deadline_ms)
			return;
		if (!wait_readable(&pfd, 1, (int)(deadline_ms - now_ms)))
			on_down(c, IMSG_FAILED, strerror(errno));
		else
			(void)imsg_read(&c->chan); /* on_down has it */
	}
}

/* Returns 0 if the answer is whole, or -1 with the reason in error. */
static int
verdict(const struct client *c, const char *path, uint32_t timeout_ms,
    char error[CLIENT_ERROR_MAX])
{
	if (c->status == IMSG_VIOLATION)
		(void)snprintf(error, CLIENT_ERROR_MAX,
		    "%s: what the daemon says is not understood, it may be "
		    "of another version (%s)",
		    path, c->why);
	else if (c->data->done)
		return 0;
	else if (c->status == IMSG_CLOSED)
		(void)snprintf(error, CLIENT_ERROR_MAX,
		    "%s: the daemon closed the connection before it had "
		    "answered",
		    path);
	else if (c->status == IMSG_FAILED)
		(void)snprintf(error, CLIENT_ERROR_MAX, "%s: %s", path, c->why);
	else
		(void)snprintf(error, CLIENT_ERROR_MAX,
		    "%s: no answer from the daemon within %u s", path,
		    timeout_ms / 1000);
	return -1;
}

/*
 * Connects and sends the request; waits until deadline_ms if the daemon has
 * too much to do.  Returns 0, or -1 with the reason in error.
 */
static int
client_open(struct client *c, const char *path, const struct command *cmd,
    uint64_t deadline_ms, char error[CLIENT_ERROR_MAX])
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const struct imsg_chan_opts opts = {
		.rules = client_rules,
		.in_cap = IMSG_HDR_LEN + MSG_INFO_MAX,
		.out_cap = 16 * (size_t)IMSG_HDR_LEN,
		.phase = 1,
		.arg = c,
		.on_down = on_down,
	};
	int fd;

	c->id = (uint64_t)getpid();
	c->chan.fd = -1;
	if (strlen(path) >= sizeof(sun.sun_path)) {
		(void)snprintf(error, CLIENT_ERROR_MAX,
		    "the name of a socket has at most %zu bytes",
		    sizeof(sun.sun_path) - 1);
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path));
	fd = connect_until(&sun, deadline_ms);
	if (fd == -1) {
		c->deaf = errno == EAGAIN;
		(void)snprintf(error, CLIENT_ERROR_MAX, "%s: %s (%s)", path,
		    connect_hint(errno), strerror(errno));
		return -1;
	}
	if (imsg_open(&c->chan, fd, &opts) == -1) {
		(void)snprintf(error, CLIENT_ERROR_MAX, "out of memory");
		return -1;
	}
	if (send_request(c, cmd))
		(void)imsg_flush(&c->chan); /* on_down has the failure */
	return 0;
}

int
client_ask(const char *path, const struct command *cmd, uint32_t timeout_ms,
    struct data *data, char error[CLIENT_ERROR_MAX])
{
	struct client c = { .data = data };
	uint64_t deadline_ms = util_now_ms() + timeout_ms;
	int ret;

	if (client_open(&c, path, cmd, deadline_ms, error) == -1)
		return -1;
	read_answer(&c, deadline_ms);
	ret = verdict(&c, path, timeout_ms, error);
	imsg_close(&c.chan);
	return ret;
}

/* The connections to all workers. */
struct clients {
	size_t n;
	struct client of[CONF_WORKERS_MAX];
};

/*
 * Connects to the first, which has to be there, and to as many more as there
 * are sockets.  One that hangs must not hide those after it.  Returns 0, or -1
 * with the reason in error.
 */
static int
open_all(struct clients *cs, const char *path, const struct command *cmd,
    uint64_t deadline_ms, struct data *data, char error[CLIENT_ERROR_MAX])
{
	char other[CONF_CONTROL_MAX], why[CLIENT_ERROR_MAX];
	struct client *c = cs->of;

	c->data = data;
	if (client_open(c, path, cmd, deadline_ms, error) == -1)
		return -1;
	for (cs->n = 1; cs->n < CONF_WORKERS_MAX; cs->n++) {
		c = &cs->of[cs->n];
		if (!conf_control_path(other, path, (uint32_t)cs->n))
			break;
		if (client_open(c, other, cmd, 0, why) == 0)
			continue;
		if (!c->deaf)
			break;
		c->status = IMSG_CLOSED;
	}
	return 0;
}

/* Gives each worker a part of the data.  Returns 0, or -1 out of memory. */
static int
make_parts(struct clients *cs, struct data *data)
{
	struct data *part;
	size_t i;

	for (i = 0; i < cs->n; i++) {
		part = data_new();
		if (part == NULL)
			return -1;
		part->worker = (uint32_t)i;
		part->numbered = true;
		data->parts[data->nparts++] = part;
		cs->of[i].data = part;
		cs->of[i].all = data;
	}
	return 0;
}

static bool
is_waiting(const struct client *c)
{
	return !c->data->done && c->status == IMSG_OK;
}

static size_t
count_waiting(const struct clients *cs)
{
	size_t i, n = 0;

	for (i = 0; i < cs->n; i++)
		n += is_waiting(&cs->of[i]);
	return n;
}

/* One round of reading; returns how many have answered. */
static size_t
read_some(struct clients *cs, int timeout_ms)
{
	struct pollfd pfds[CONF_WORKERS_MAX];
	size_t i, done = 0;

	for (i = 0; i < cs->n; i++) {
		pfds[i].fd = is_waiting(&cs->of[i]) ? cs->of[i].chan.fd : -1;
		pfds[i].events = POLLIN;
		pfds[i].revents = 0;
	}
	if (!wait_readable(pfds, cs->n, timeout_ms))
		for (i = 0; i < cs->n; i++)
			on_down(&cs->of[i], IMSG_FAILED, strerror(errno));
	for (i = 0; i < cs->n; i++)
		if (pfds[i].revents != 0)
			(void)imsg_read(&cs->of[i].chan);
	for (i = 0; i < cs->n; i++)
		done += cs->of[i].data->done;
	return done;
}

static void
read_all(struct clients *cs, uint64_t deadline_ms)
{
	uint64_t now_ms;
	bool late = false;

	for (now_ms = util_now_ms();
	     count_waiting(cs) > 0 && now_ms < deadline_ms;
	     now_ms = util_now_ms())
		if (read_some(cs, (int)(deadline_ms - now_ms)) > 0 && !late) {
			late = true;
			if (deadline_ms > now_ms + CLIENT_OTHERS_MS)
				deadline_ms = now_ms + CLIENT_OTHERS_MS;
		}
}

/*
 * Returns 0 if somebody has answered, or -1 with the first one's reason.  The
 * parts of those who have not say so.
 */
static int
verdict_of_all(struct clients *cs, const char *path, const struct command *cmd,
    uint32_t timeout_ms, char error[CLIENT_ERROR_MAX])
{
	struct data *d;
	size_t i, done = 0;

	for (i = 0; i < cs->n; i++)
		done += cs->of[i].data->done;
	if (done == 0)
		return verdict(&cs->of[0], path, timeout_ms, error);
	for (i = 0; i < cs->n; i++) {
		d = cs->of[i].data;
		if (d->done)
			continue;
		d->done = true;
		/* These any worker has of the parent. */
		d->result.ok =
		    cmd->show == SHOW_PROCESSES || cmd->show == SHOW_CONFIG;
		(void)snprintf(d->result.text, sizeof(d->result.text),
		    cs->of[i].status == IMSG_VIOLATION
			? "what it says is not understood"
			: "does not answer");
	}
	return 0;
}

int
client_ask_all(const char *path, const struct command *cmd, uint32_t timeout_ms,
    struct data *data, char error[CLIENT_ERROR_MAX])
{
	struct clients *cs = calloc(1, sizeof(*cs));
	uint64_t deadline_ms = util_now_ms() + timeout_ms;
	size_t i;
	int ret = -1;

	if (cs == NULL) {
		(void)snprintf(error, CLIENT_ERROR_MAX, "out of memory");
		return -1;
	}
	if (open_all(cs, path, cmd, deadline_ms, data, error) == 0) {
		if (cs->n > 1 && make_parts(cs, data) == -1)
			(void)snprintf(
			    error, CLIENT_ERROR_MAX, "out of memory");
		else {
			read_all(cs, deadline_ms);
			ret = verdict_of_all(cs, path, cmd, timeout_ms, error);
		}
	}
	for (i = 0; i < cs->n; i++)
		imsg_close(&cs->of[i].chan);
	free(cs);
	return ret;
}
