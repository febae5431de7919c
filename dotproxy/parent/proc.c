/* SPDX-License-Identifier: ISC */
/*
 * The lives of the children: start, death, respawn with back-off, and the link
 * between the two of a pair.  Runs in the parent.  A child must never be able
 * to end the parent: whatever it does, it is killed, logged and started again,
 * and the other pairs do not notice.
 */
#include "dotproxy/parent/parent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/log.h"
#include "common/util.h"
#include "dotproxy/sandbox.h"

#define RESPAWN_MIN_MS 50
#define RESPAWN_MAX_MS 10000
/* A child that lived this long is started again at once. */
#define RESPAWN_STABLE_MS 1000
/* Links broken by the children themselves are not renewed faster. */
#define RELINK_MIN_MS 200
#define STOP_WAIT_MS 2000
/* Somebody else may hold the other end, and never stop talking. */
#define LAST_WORDS_READS 16
/* A new process that did not come to be a child has nobody to tell. */
#define EXIT_DESCRIPTORS 126
#define EXIT_EXECUTE 127

static const char *
program_name(const struct child *c)
{
	return c->role == ROLE_LISTENER ? "dotproxy-listener" : "dotproxy-pool";
}

static void
respawn_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	proc_spawn(arg);
}

/* Where there is one of a kind it needs no number. */
static void
name_child(struct child *c)
{
	if (c->parent->active.conf->workers == 1)
		(void)snprintf(
		    c->name, sizeof(c->name), "%s", msg_role_name(c->role));
	else
		(void)snprintf(c->name, sizeof(c->name), "%s %u",
		    msg_role_name(c->role), c->pair->index + 1);
}

static void
child_init(struct pair *pair, struct child *c, enum info_role role)
{
	c->parent = pair->parent;
	c->pair = pair;
	c->role = role;
	c->chan.fd = -1;
	name_child(c);
	backoff_init(&c->backoff, RESPAWN_MIN_MS, RESPAWN_MAX_MS);
	c->respawn = event_new(c->parent->base, -1, 0, respawn_due, c);
	if (c->respawn == NULL)
		fatalx("out of memory");
}

/*
 * In the new process: descriptor 3 is the channel, 0 to 2 are /dev/null, and
 * nothing else is open.  The environment is empty: no library takes advice.
 */
static void
exec_child(const struct child *c, int sock)
{
	char path[CONF_PATH_MAX + 32];
	char number[16], *argv[] = { path, NULL, NULL };
	char *envp[] = { NULL };
	int null;

	(void)snprintf(
	    path, sizeof(path), "%s/%s", c->parent->libexec, program_name(c));
	/* For ps(1) alone: it is not read. */
	(void)snprintf(number, sizeof(number), "%u", c->pair->index + 1);
	if (c->parent->active.conf->workers > 1)
		argv[1] = number;
	null = open("/dev/null", O_RDWR);
	if (null == -1)
		_exit(EXIT_DESCRIPTORS);
	if (dup2(sock, MSG_PARENT_FD) == -1)
		_exit(EXIT_DESCRIPTORS);
#ifdef SANITIZER /* whose reports go to standard error */
	if (dup2(null, 0) == -1 || dup2(null, 1) == -1)
		_exit(EXIT_DESCRIPTORS);
#else
	if (dup2(null, 0) == -1 || dup2(null, 1) == -1 || dup2(null, 2) == -1)
		_exit(EXIT_DESCRIPTORS);
#endif
	if (close_range(MSG_PARENT_FD + 1, ~0U, 0) == -1)
		_exit(EXIT_DESCRIPTORS);
	if (sock == MSG_PARENT_FD && fcntl(sock, F_SETFD, 0) == -1)
		_exit(EXIT_DESCRIPTORS);
	execve(path, argv, envp);
	_exit(EXIT_EXECUTE);
}

static void
child_down(void *arg, enum imsg_status status, const char *why)
{
	struct child *c = arg;

	/* How it ends says why, and pulse.c sees to it that it does. */
	if (status == IMSG_CLOSED && c->state == CHILD_STARTING)
		return;
	if (status == IMSG_CLOSED) /* it is dead already, or as good as */
		why = NULL;
	proc_kill(c, why);
}

/* Gives the new child its channel and the set-up message. */
static int
open_channel(struct child *c, int sock)
{
	struct imsg_chan_opts opts = {
		.rules = c->role == ROLE_LISTENER ? broker_listener_rules
						  : broker_pool_rules,
		.in_cap = MSG_PARENT_BUF,
		.out_cap = MSG_PARENT_BUF,
		.phase = BROKER_STARTING,
		.fdpass = true,
		.arg = c,
		.on_down = child_down,
	};
	struct msg_setup setup = {
		.uid = (uint32_t)c->parent->uid,
		.gid = (uint32_t)c->parent->gid,
		.nofile = c->nofile = nofile_of_child(c),
		.confine = c->parent->root,
		.log_level = (uint8_t)log_get_level(),
	};

	if (imsg_open(&c->chan, sock, &opts) == -1)
		return -1;
	if (imsg_attach(&c->chan, c->parent->base) == -1 ||
	    !msg_send_setup(&c->chan, &setup)) {
		imsg_close(&c->chan);
		return -1;
	}
	return 0;
}

/* A child whose timer does not run would stay down for ever: fatal. */
static void
start_timer(struct event *ev, uint32_t delay_ms)
{
	const struct timeval tv = { .tv_sec = delay_ms / 1000,
		.tv_usec = (delay_ms % 1000) * 1000 };

	if (event_add(ev, &tv) == -1)
		fatalx("cannot start a timer");
}

static void
schedule_respawn(struct child *c)
{
	uint64_t now_ms = util_now_ms();
	uint32_t delay_ms = 0;

	c->state = CHILD_DOWN;
	if (c->parent->stopping || c->parent->finishing)
		return;
	if (c->starts > 0 && now_ms - c->started_ms >= RESPAWN_STABLE_MS)
		backoff_clear(&c->backoff);
	else
		delay_ms = backoff_fail(&c->backoff, now_ms);
	start_timer(c->respawn, delay_ms);
}

void
proc_spawn(struct child *c)
{
	int fds[2];
	pid_t pid;

	if (c->state != CHILD_DOWN || c->parent->stopping ||
	    c->parent->finishing)
		return;
	if (imsg_socketpair(fds) == -1) {
		log_warn("%s: socketpair", c->name);
		schedule_respawn(c);
		return;
	}
	c->started_ms = util_now_ms();
	pulse_begin(c);
	pid = fork();
	if (pid == 0)
		exec_child(c, fds[1]);
	close(fds[1]);
	if (pid == -1) {
		log_warn("%s: fork", c->name);
		close(fds[0]);
		schedule_respawn(c);
		return;
	}
	c->pid = pid;
	c->starts++;
	c->state = CHILD_STARTING;
	if (open_channel(c, fds[0]) == -1)
		proc_kill(c, "out of memory");
}

void
proc_kill(struct child *c, const char *why)
{
	if (c->state != CHILD_STARTING && c->state != CHILD_READY)
		return;
	if (why != NULL)
		log_warnx("%s: killed: %s", c->name, why);
	c->state = CHILD_DYING;
	if (kill(c->pid, SIGKILL) == -1 && errno != ESRCH)
		log_warn("%s: kill", c->name);
	/* The channel is closed when it is reaped, not inside its handler. */
}

/* What an exit status says of a process that could say nothing else. */
static const char *
status_text(int status)
{
	switch (status) {
	case EXIT_EXECUTE:
		return "cannot execute";
	case EXIT_DESCRIPTORS:
		return "cannot prepare the descriptors of";
	case MSG_EXIT_EARLY:
		return "no memory for";
	case MSG_EXIT_CHANNEL:
		return "channel failed, of";
	case MSG_EXIT_PROTOCOL:
		return "we were not understood by";
	default:
		return NULL;
	}
}

static void
describe_death(struct child *c, int status)
{
	const char *text;

	if (WIFSIGNALED(status))
		(void)snprintf(c->last_death, sizeof(c->last_death),
		    "signal %d (%s)%s", WTERMSIG(status),
		    strsignal(WTERMSIG(status)),
		    WTERMSIG(status) == SIGSYS ? ": forbidden system call"
					       : "");
	else if ((text = status_text(WEXITSTATUS(status))) != NULL)
		(void)snprintf(c->last_death, sizeof(c->last_death), "%s %s",
		    text, program_name(c));
	else
		(void)snprintf(c->last_death, sizeof(c->last_death),
		    "exit status %d", WEXITSTATUS(status));
}

/* Reads what the child said before it died, so that the reason is not lost. */
static void
hear_last_words(struct child *c)
{
	uint64_t before;
	int reads = 0;

	c->state = CHILD_DYING;
	/* That it took nothing more does not mean that it had said all. */
	if (c->chan.end == IMSG_CLOSED)
		c->chan.down = false;
	c->chan.rules = broker_last_words_rules;
	do {
		before = c->chan.msgs_in;
	} while (imsg_read(&c->chan) == IMSG_OK && c->chan.msgs_in > before &&
		 ++reads < LAST_WORDS_READS);
}

static void
child_died(struct child *c, int status)
{
	describe_death(c, status);
	hear_last_words(c);
	if (!c->parent->stopping && !c->parent->finishing)
		log_warnx("%s process (pid %ld) died: %s", c->name,
		    (long)c->pid, c->last_death);
	imsg_close(&c->chan);
	c->pid = 0;
	c->state = CHILD_DOWN;
	/* What cannot start at all will not by trying again. */
	if (!c->parent->up && c->starts == 1 && !c->accepted)
		c->parent->failed = true;
	reload_on_death(c);
	restart_on_death(c);
	status_on_death(c);
	schedule_respawn(c);
}

static bool
any_listens(const struct parent *parent)
{
	uint32_t i;

	for (i = 0; i < parent->npairs; i++)
		if (parent->pairs[i]->listener.pid != 0)
			return true;
	return false;
}

/* Takes note of a death if it is one of this pair. */
static void
pair_reap(struct pair *p, pid_t pid, int status)
{
	if (pid == p->listener.pid)
		child_died(&p->listener, status);
	else if (pid == p->pool.pid)
		child_died(&p->pool, status);
}

void
proc_reap(struct parent *parent)
{
	uint32_t i;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (i = 0;
		     !restart_reap(parent, pid, status) && i < parent->npairs;
		     i++)
			pair_reap(parent->pairs[i], pid, status);
	if (parent->finishing && !any_listens(parent))
		parent->stopping = true;
}

bool
proc_finish(struct parent *parent)
{
	struct child *c;
	uint32_t i;

	for (i = 0; i < parent->npairs; i++) {
		c = &parent->pairs[i]->listener;
		if (c->state == CHILD_READY &&
		    !imsg_send_empty(&c->chan, MSG_PL_FINISH, 0, -1))
			proc_kill(c, "does not read its channel");
	}
	return any_listens(parent);
}

static bool
any_lives(const struct parent *parent)
{
	uint32_t i;

	for (i = 0; i < parent->npairs; i++)
		if (parent->pairs[i]->listener.pid != 0 ||
		    parent->pairs[i]->pool.pid != 0)
			return true;
	return false;
}

static void
child_end(struct child *c)
{
	if (c->pid != 0)
		(void)kill(c->pid, SIGKILL);
	event_free(c->respawn);
}

void
proc_stop(struct parent *parent)
{
	uint64_t deadline = util_now_ms() + STOP_WAIT_MS;
	struct timespec pause = { 0, 2 * 1000 * 1000 };
	struct pair *p;
	uint32_t i;

	parent->stopping = true;
	for (i = 0; i < parent->npairs; i++) { /* they exit on that */
		imsg_close(&parent->pairs[i]->listener.chan);
		imsg_close(&parent->pairs[i]->pool.chan);
	}
	while (any_lives(parent) && util_now_ms() < deadline) {
		proc_reap(parent);
		(void)nanosleep(&pause, NULL);
	}
	for (i = 0; i < parent->npairs; i++) {
		p = parent->pairs[i];
		child_end(&p->listener);
		child_end(&p->pool);
		event_free(p->relink);
		free(p);
	}
	parent->npairs = 0;
}

void
proc_flush(struct parent *parent)
{
	uint32_t i;

	for (i = 0; i < parent->npairs; i++) {
		(void)imsg_flush(&parent->pairs[i]->listener.chan);
		(void)imsg_flush(&parent->pairs[i]->pool.chan);
	}
}

static void
relink_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	proc_link(arg);
}

static void
give_link(struct child *c, uint64_t link, const struct imsg_ends *side)
{
	bool told = imsg_send_empty(&c->chan, MSG_PX_LINK_OUT, link, side->out);

	if (!imsg_send_empty(&c->chan, MSG_PX_LINK, link, side->in) || !told)
		proc_kill(c, "does not read its channel");
}

void
proc_link(struct pair *p)
{
	uint64_t now_ms = util_now_ms();
	struct imsg_ends sides[2];

	if (p->listener.state != CHILD_READY || p->pool.state != CHILD_READY)
		return;
	if (p->link_made_ms != 0 && now_ms - p->link_made_ms < RELINK_MIN_MS) {
		start_timer(p->relink, RELINK_MIN_MS);
		return;
	}
	if (imsg_pipes(sides) == -1) {
		log_warn("pipe2");
		start_timer(p->relink, RELINK_MIN_MS);
		return;
	}
	event_del(p->relink); /* that would be one too many */
	p->link++;
	p->link_made_ms = now_ms;
	give_link(&p->pool, p->link, &sides[0]);
	give_link(&p->listener, p->link, &sides[1]);
}

static void
pair_start(struct parent *parent, uint32_t index)
{
	struct pair *p = calloc(1, sizeof(*p));

	if (p == NULL)
		fatalx("out of memory");
	p->parent = parent;
	p->index = index;
	p->relink = event_new(parent->base, -1, 0, relink_due, p);
	if (p->relink == NULL)
		fatalx("out of memory");
	child_init(p, &p->listener, ROLE_LISTENER);
	child_init(p, &p->pool, ROLE_POOL);
	parent->pairs[index] = p;
	proc_spawn(&p->listener);
	proc_spawn(&p->pool);
}

void
proc_start_pairs(struct parent *parent)
{
	uint32_t i;

	for (i = 0; i < parent->npairs; i++) { /* the first has none yet */
		name_child(&parent->pairs[i]->listener);
		name_child(&parent->pairs[i]->pool);
	}
	for (; parent->npairs < parent->active.conf->workers; parent->npairs++)
		pair_start(parent, parent->npairs);
}
