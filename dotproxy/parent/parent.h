/* SPDX-License-Identifier: ISC */
/*
 * The parent's state, and what its files offer one another.  The parent is
 * the only process with privileges: it knows the configuration and sockets,
 * and neither DNS nor TLS.
 */
#ifndef PARENT_PARENT_H
#define PARENT_PARENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <event2/util.h>

#include "common/backoff.h"
#include "common/conf.h"
#include "common/imsg.h"
#include "common/msg.h"
#include "dotproxy/parent/conf_parse.h"
#include "dotproxy/parent/inherit.h"
#include "dotproxy/parent/notify.h"
#include "dotproxy/parent/syslog.h"

struct event;
struct event_base;
struct pair;
struct parent;

#define PARENT_SOCKETS_MAX (CONF_LISTENS_MAX * 2)
#define PARENT_MACROS_MAX 32

/* A socket that clients speak to.  Owned by the parent for all its life. */
struct parent_socket {
	uint32_t id; /* the listener's name for it; never used again */
	int fd;
	bool tcp;
	bool stored; /* the service manager keeps it for the next start */
	struct sockaddr_storage addr;
};

/* The sockets of one worker, under one configuration. */
struct parent_sockets {
	uint32_t worker; /* from 0 */
	struct parent_socket socks[PARENT_SOCKETS_MAX];
	uint32_t n;
	int control; /* listening unix socket; -1 if none */
	char control_path[CONF_CONTROL_MAX];
};

enum child_state {
	CHILD_DOWN,     /* not running; the respawn timer is */
	CHILD_STARTING, /* running, not confined yet */
	CHILD_READY,    /* confined; has been sent the configuration */
	CHILD_DYING     /* killed; waiting for it to be reaped */
};

struct child {
	struct parent *parent;
	struct pair *pair;
	enum info_role role;
	char name[16]; /* "pool", "pool 2": what the log calls it */
	enum child_state state;
	pid_t pid; /* 0 when down */
	struct imsg_chan chan;
	struct event *respawn;
	struct backoff backoff;
	uint64_t started_ms;
	uint64_t starts;
	bool accepted;   /* a configuration, ever */
	uint64_t asked;  /* generation a reload has sent it; 0: none */
	bool agreed;     /* it has accepted that */
	uint64_t forgot; /* generation it was told to forget */
	uint32_t nofile; /* descriptors it may have since its last start */
	uint32_t absent; /* layers it said are not on offer; logged */
	uint32_t pings;  /* it has not answered yet */
	uint32_t missed; /* intervals without a sign of life */
	bool pinged;     /* since the last it gave */
	char last_death[128];
	uint64_t log_window_ms; /* start of the second now counted */
	uint32_t log_lines;     /* in that second */
	uint32_t log_dropped;
};

/* What a pool has said of an upstream; see status.c. */
struct pool_word {
	bool said;
	struct msg_health health;
};

/* How many sockets an upstream may still be given: a token bucket. */
struct connect_quota {
	uint64_t refilled_ms;
	uint32_t tokens;
};

/* A worker: a listener and a pool, which share nothing with the others. */
struct pair {
	struct parent *parent;
	uint32_t index; /* people count from 1 */
	struct child listener;
	struct child pool;
	uint64_t link;         /* number of the last link made */
	uint64_t link_made_ms; /* 0: the next one is made at once */
	struct event *relink;
	uint64_t reload_window_ms; /* start of the time now counted */
	uint32_t reloads;          /* its listener has asked for in it */
	uint64_t change_window_ms; /* the same for other changes */
	uint32_t changes;
	struct connect_quota quotas[CONF_UPSTREAMS_MAX];
	struct pool_word words[CONF_UPSTREAMS_MAX];
};

/* A configuration in force, or about to be. */
struct parent_conf {
	struct conf *conf;              /* owned */
	struct parent_sockets *sockets; /* owned; one for each worker */
	uint32_t upstream_ids[CONF_UPSTREAMS_MAX];
	bool disabled[CONF_UPSTREAMS_MAX]; /* by the operator; see change.c */
	bool all_enabled; /* none is any more: none would be left */
};

enum reload_step {
	RELOAD_NONE,
	RELOAD_POOL,    /* waiting for all pools to accept it */
	RELOAD_LISTENER /* in force; the listeners are changing over */
};

enum restart_step {
	RESTART_NONE,
	RESTART_RELOADING, /* the configuration is tried first */
	RESTART_CHECKING,  /* then the program that is there now */
	RESTART_FINISHING  /* the listeners are ending */
};

struct parent_options {
	const char *conf_path;
	struct conf_macro macros[PARENT_MACROS_MAX];
	const char *macro_args[PARENT_MACROS_MAX]; /* as they were given */
	size_t nmacros;
	int log_level;   /* enum log_level */
	bool foreground; /* -d */
	bool check_only; /* -n */
	bool verbose;    /* -v: with -n, print the configuration */
};

struct parent {
	struct event_base *base;
	struct parent_options options;
	char exe[CONF_PATH_MAX];     /* what was started */
	char libexec[CONF_PATH_MAX]; /* directory of the children */
	uint32_t nofile_max;         /* no child gets more descriptors */
	bool root;
	uid_t uid; /* of the children, if root */
	gid_t gid;
	struct parent_conf active;
	struct parent_conf next; /* conf != NULL during a reload */
	enum reload_step reload;
	struct event *reload_timer; /* runs while reload is not NONE */
	struct child *reload_asker; /* a listener; NULL for a signal */
	uint64_t reload_handle;     /* control handle of the asker */
	uint64_t generation;        /* of the last configuration sent */
	enum restart_step restart;
	struct event *restart_timer; /* runs while RESTART_CHECKING */
	pid_t restart_pid;           /* of the program that is tried; or 0 */
	struct child *restart_asker; /* a listener; NULL if it has died */
	uint64_t restart_handle;     /* control handle of the asker */
	uint64_t filter;             /* which filter of system calls it is */
	uint32_t nfilters;           /* of this daemon's, one on another */
	uint32_t next_socket_id;
	uint32_t next_upstream_id;
	uint32_t npairs;
	struct pair *pairs[CONF_WORKERS_MAX]; /* owned */
	struct event *sig_hup;
	struct event *sig_term;
	struct event *sig_int;
	struct event *sig_chld;
	struct event *finish_timer; /* runs while finishing */
	struct event *watchdog;     /* NULL: the manager has none */
	struct event *pulse;        /* asks children for a sign of life */
	uint64_t pulse_ms;          /* when it did last */
	uint64_t started_ms;
	struct inherit inherited; /* empty but while starting */
	int notify_fd;            /* to the service manager; or -1 */
	struct event *status;     /* tells it how the upstreams are */
	const char *trouble;      /* what has failed last; NULL: nothing */
	char *notify_name;        /* where that is; NULL if there is none */
	uint32_t watchdog_ms;     /* how often it is told; 0: it is not */
	struct syslog syslog;     /* in use when in the background */
	int ready_fd;   /* tells who started us that we are up; or -1 */
	bool draining;  /* by the operator; see change.c */
	bool up;        /* all children have accepted the configuration */
	bool finishing; /* no new queries; stopping when the last is answered */
	bool stopping;
	bool failed; /* cannot start: end with status 1 */
};

/* --- conf_load.c --- */

/*
 * Reads the configuration file that the options name, in its language, and
 * logs what is to be said about it.  Returns it, to be freed with free(), or
 * NULL with at least one error in errs.
 */
struct conf *conf_load(const struct parent_options *, struct conf_errors *errs);

/* --- options.c --- */

/* Reads the command line and environment.  Exits on --help and mistakes. */
void options_parse(struct parent_options *, int argc, char *argv[]);

/* --- main.c --- */

/* All children serve the configuration: tells the log and who started us. */
void parent_up(struct parent *);

/*
 * Stops when the queries that are in flight are answered, or have had their
 * time; at once if it is doing so already.
 */
void parent_finish(struct parent *);

/* --- sockets.c: the only bind(2) and listen(2) --- */

/*
 * Opens the sockets of fresh->conf, a set for each worker.  Those which old
 * (its conf may be NULL) has already are taken over: same descriptor, same id.
 * On failure nothing is open that was not before, what says why, and -1 is
 * returned.
 */
int sockets_open(struct parent *, struct parent_conf *fresh,
    const struct parent_conf *old, char *what, size_t whatsize);

/*
 * Closes the sockets that keep (may be NULL) does not have.  The name of a
 * control socket that is closed goes, too.
 */
void sockets_close(struct parent_conf *, const struct parent_conf *keep);

/*
 * Has the service manager keep all sockets of the active configuration; those
 * for which it has no time now when status_due() comes.
 */
void sockets_store(struct parent *);

/* Has it forget those which keep does not have. */
void sockets_forget(struct parent *, const struct parent_conf *,
    const struct parent_conf *keep);

/* --- connect.c: the only connect(2) to another machine --- */

/* Serves TP_CONNECT and _PLAIN: a socket to an upstream of the active
 * configuration. */
int connect_on_request(void *arg, struct imsg *);

/* Returns a UDP socket that is connected to the metrics server; -1 with errno.
 */
int connect_statsd(const struct sockaddr_storage *);

/* --- proc.c: the children's lives --- */

/*
 * Starts pairs until there are as many as the configuration in force wants.
 * Needs the event loop; exits if there is no memory.
 */
void proc_start_pairs(struct parent *);

/*
 * Has the listeners take no more queries and end when those they have are
 * answered.  False if none of them can.
 */
bool proc_finish(struct parent *);

/* Starts a child that is down; on failure it will be tried again. */
void proc_spawn(struct child *);

/* Sends what is queued for the children. */
void proc_flush(struct parent *);

/* Kills a child that broke the protocol, with the reason for the log. */
void proc_kill(struct child *, const char *why);

/* Collects dead children; the SIGCHLD handler. */
void proc_reap(struct parent *);

/* Ends all children, waits for them a moment, and frees the pairs. */
void proc_stop(struct parent *);

/* Joins listener and pool by two fresh pipes, if both are ready. */
void proc_link(struct pair *);

/* --- pulse.c: children that hang --- */

/* Asks all children for signs of life from now on. */
void pulse_start(struct parent *);

/*
 * One interval is over: kills who has been silent for too many, and asks the
 * others again.  What is late itself, as after a sleep, accuses nobody.
 */
void pulse_turn(struct parent *, uint64_t now_ms);

/* Serves XP_PONG; one that nobody asked for is a violation. */
int pulse_on_pong(void *arg, struct imsg *);

/* A child is started, or ready: its time begins. */
void pulse_begin(struct child *);

/* --- restart.c: the same process, another program --- */

/* Serves CHANGE_RESTART; the asker is told how it begins, under its handle. */
void restart_start(struct parent *, struct child *asker, uint64_t handle);

/* How the reload ended that comes first.  Nothing if there is no restart. */
void restart_on_reload(struct parent *, bool ok, const char *text);

/* True if it was the process that tries the program. */
bool restart_reap(struct parent *, pid_t, int status);

/* It takes too long. */
void restart_overdue(evutil_socket_t, short what, void *arg);

/* The daemon is to stop instead. */
void restart_cancel(struct parent *);

/* In the next program: hears the signals that were held back. */
void restart_end(void);

/* A child has died: it is told nothing any more. */
void restart_on_death(const struct child *);

/*
 * With all children gone: executes the program if that was asked for.  Returns
 * false if it was not; true if it failed, and everything has to go on.
 */
bool restart_execute(struct parent *);

/* --- status.c: what the service manager shows of us --- */

#define STATUS_MAX 400

/* Makes the timer it needs. */
void status_start(struct parent *);

/*
 * Tells the manager that we serve.  trouble is what has failed, to be shown
 * until this is called again, or NULL.  Nothing if we are about to end.
 */
void status_ready(struct parent *, const char *trouble);

/* Serves TP_HEALTH. */
int status_on_health(void *arg, struct imsg *);

/* Something of it has changed: the manager is told within a second. */
void status_changed(struct parent *);

/* The timer of that. */
void status_due(evutil_socket_t fd, short what, void *arg);

/* Upstreams change places: what is known of those which stay goes with them. */
void status_inherit(struct parent *, const struct parent_conf *fresh);

/* A child has died: what it has said is true no more. */
void status_on_death(struct child *);

/* Writes one line about the upstreams, and the trouble. */
void status_line(const struct parent *, char line[STATUS_MAX]);

/* --- nofile.c: limits of descriptors --- */

/* Raises the limit as far as that goes, for this process and children. */
void nofile_raise(struct parent *);

/* How many descriptors a child that is started now may have. */
uint32_t nofile_of_child(const struct child *);

/*
 * How many clients a listener has descriptors for, of those wanted; the log is
 * told if not for all.
 */
uint32_t nofile_clients(const struct child *listener, uint32_t wanted);

/* --- broker.c: everything the children may ask --- */

extern const struct imsg_rule broker_listener_rules[IMSG_TYPES_MAX];
extern const struct imsg_rule broker_pool_rules[IMSG_TYPES_MAX];
extern const struct imsg_rule broker_last_words_rules[IMSG_TYPES_MAX];

enum broker_phase {
	BROKER_STARTING = 1, /* until XP_READY */
	BROKER_READY = 2
};

/* --- change.c: what the operator changes while it runs --- */

/*
 * Counts one more change that the listener of this pair asks for; true if that
 * is enough for now.
 */
bool change_is_flooded(struct pair *);

/* Serves LP_CHANGE. */
int change_on_request(void *arg, struct imsg *);

/*
 * Takes over for a new configuration which upstreams are disabled: those of
 * the same name.  They are all enabled if none would be left.
 */
void change_inherit(struct parent_conf *fresh, const struct parent_conf *old);

/*
 * Tells a child, in the middle of the configuration it is being sent, what has
 * been changed since the start.  Returns false if its channel is full.
 */
bool change_send(struct child *, const struct parent_conf *);

/* --- reload.c: sending and changing the configuration --- */

/* Gives upstreams their ids: those of old where identity is the same. */
void reload_assign_ids(
    struct parent *, struct parent_conf *fresh, const struct parent_conf *old);

/* A reload takes too long: the child that does not answer is killed. */
void reload_overdue(evutil_socket_t, short what, void *arg);

/* Sends the whole configuration to a child that has become ready. */
void reload_send(struct child *, const struct parent_conf *);

/*
 * Reads the file again.  asker is the listener that is told how it ended,
 * under a control handle, or NULL.
 */
void reload_start(struct parent *, struct child *asker, uint64_t handle);

/* A child's verdict on the configuration of a generation. */
void reload_on_done(
    struct child *, uint64_t generation, bool ok, const char *text);

/* A child has died: a reload that waits for it fails or ends. */
void reload_on_death(struct child *);

#endif
