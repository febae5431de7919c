/* SPDX-License-Identifier: ISC */
/*
 * What a scenario is played in: a pool and a listener, both whole and real but
 * for TLS and system calls; and clients, upstreams and a parent that do as they
 * are told.  All are in one process and take turns, in an order that depends on
 * nothing but the scenario.
 *
 * What is found wrong is noted by world_fail(), the first time; whoever plays
 * looks at failed after each line.
 */
#ifndef TESTS_REPLAY_WORLD_H
#define TESTS_REPLAY_WORLD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/conf.h"
#include "common/imsg.h"
#include "tests/replay/vnet.h"

#define WORLD_FARS_MAX 16
#define WORLD_NAME_MAX 32
#define WORLD_TEXT_MAX 4096
#define WORLD_LOG_MAX 16384

struct event_base;
struct listener;
struct pool;
struct world;

/* --- clients --- */

enum ask_state {
	ASK_PENDING,
	ASK_ANSWERED, /* by an upstream */
	ASK_SERVFAIL,
	ASK_REFUSED,
	ASK_TRUNCATED, /* no answer but TC */
	ASK_OTHER,     /* any other status */
	ASK_GONE       /* its client has closed */
};

/* A client's TCP connection. */
struct client_conn {
	TAILQ_ENTRY(client_conn) entry;
	char label[WORLD_NAME_MAX];
	struct vsock *sock; /* NULL: closed by the client */
	struct sockaddr_in from;
	bool closed; /* by the listener */
	size_t len;
	uint8_t buf[65537];
};

/* A query of a client, kept to the end of the scenario. */
struct ask {
	TAILQ_ENTRY(ask) pending; /* if PENDING */
	char label[WORLD_NAME_MAX];
	uint32_t index;
	struct sockaddr_in from;
	struct client_conn *conn; /* NULL: over UDP */
	uint16_t id;
	enum ask_state state;
	bool due; /* there has to be an answer */
	bool may_repeat;
	bool spoilt;    /* whatever upstream it comes to does this: */
	uint8_t how;    /* enum far_answer */
	uint32_t times; /* it was asked, in the same words */
	uint64_t asked_us;
	uint64_t limit_us; /* when it must have its answer */
	uint64_t replied_us;
	uint32_t by; /* of ANSWERED, which upstream */
	char text[160];
	uint32_t seen[WORLD_FARS_MAX];      /* by each upstream */
	uint32_t seen_conn[WORLD_FARS_MAX]; /* over which connection, last */
	size_t len;
	uint8_t *wire; /* owned */
};

TAILQ_HEAD(ask_list, ask);

/* --- upstreams --- */

/* What becomes of a query. */
enum far_answer {
	FAR_ANSWER,
	FAR_SILENT, /* or somebody says when */
	FAR_CLOSE,
	FAR_RESET,
	FAR_ALERT,
	FAR_WRONG_ID,
	FAR_WRONG_QUESTION,
	FAR_NO_ANSWER, /* a query comes back */
	FAR_SHORT,     /* less than a header */
	FAR_TWICE,
	FAR_HALF, /* of a message, and no more */
	FAR_ANSWERS
};

/* What becomes of a connection that is asked for. */
enum far_connect {
	FAR_CONNECTS,
	FAR_REFUSES,
	FAR_LOST,        /* no packet comes back */
	FAR_UNREACHABLE, /* the parent is told so at once */
	FAR_BUSY         /* the parent has none to spare */
};

/* What becomes of a handshake. */
enum far_handshake {
	FAR_SHAKES,
	FAR_SHAKE_LOST,
	FAR_SHAKE_CLOSE,
	FAR_SHAKE_RESET,
	FAR_UNTRUSTED,
	FAR_EXPIRED,
	FAR_OTHER_NAME
};

enum far_state { FAR_CONN_SYN, FAR_CONN_HELLO, FAR_CONN_READY, FAR_CONN_DEAD };

/* A query an upstream has, not answered yet. */
struct far_query {
	TAILQ_ENTRY(far_query) entry; /* in conn->queries */
	TAILQ_ENTRY(far_query) due;   /* in world->replies, if scheduled */
	struct far_conn *conn;
	struct ask *ask;
	bool scheduled;
	uint64_t due_us;
	enum far_answer how;
	size_t len;
	uint8_t wire[];
};

TAILQ_HEAD(far_queries, far_query);

struct far_conn {
	TAILQ_ENTRY(far_conn) entry;
	struct far *far;
	uint32_t number;  /* from 1 */
	uint64_t request; /* the pool's name for it */
	enum far_state state;
	struct vsock *sock;
	uint64_t next_us; /* when something is due; VNET_NEVER */
	uint64_t used_us;
	bool ticket;            /* it was shown one */
	uint8_t ids[65536 / 8]; /* of queries; a set */
	struct far_queries queries;
	uint32_t nqueries; /* in there */
	bool broken;       /* has sent what is no answer */
	bool stuck;        /* sends nothing any more */
	size_t have;       /* of a record */
	uint8_t *record;
	size_t plain_len; /* of frames */
	uint8_t *plain;
};

struct far {
	char name[CONF_NAME_MAX];
	uint32_t index; /* also in its address */
	bool configured;
	char settings[512];
	enum far_connect connect;
	uint64_t connect_us;
	enum far_handshake handshake;
	uint64_t handshake_us;
	enum far_answer answer;
	uint64_t answer_us;
	uint64_t answer_more_us; /* and up to that much, at random */
	uint64_t answer_each_us; /* of one after the other; 0: all at once */
	uint64_t free_us;        /* when it has done what it has, then */
	size_t answer_bytes;     /* padded to so many */
	uint64_t idle_us;        /* closes then; VNET_NEVER */
	uint32_t keepalive_ms;   /* what it says of that (RFC 7828) */
	bool says_keepalive;
	bool muted;
	uint32_t ndials;
	uint32_t nplain; /* of these, without TCP Fast Open */
	uint32_t nresumed;
	uint32_t nqueries;
	uint32_t nheld; /* of these, not answered yet */
	uint32_t most;  /* at a time */
	uint32_t nopen;
	TAILQ_HEAD(far_conns, far_conn) conns;
};

/* --- all of it --- */

struct world {
	bool failed;
	char error[1024];
	char log[WORLD_LOG_MAX]; /* of the daemon */
	uint64_t begun_us;
	bool check_each; /* all invariants, as time goes by */
	uint32_t nsteps;
	bool unruly; /* who has a turn, and when timers fire, is chance */

	/* The configuration, as lines of dotproxy.conf. */
	char globals[WORLD_TEXT_MAX];
	char client[WORLD_TEXT_MAX];
	uint32_t query_timeout_ms; /* in force */
	bool limited;              /* there is a rate limit */
	bool draining;             /* no TCP clients are taken */
	uint32_t retries;
	uint64_t generation;
	uint64_t link;

	struct event_base *pool_base;
	struct event_base *listener_base;
	struct pool *pool; /* NULL: not running */
	struct listener *listener;
	struct imsg_chan to_pool;
	struct imsg_chan to_listener;
	uint64_t pool_done; /* the configurations that were taken */
	uint64_t listener_done;
	uint32_t nlinks_down;
	uint64_t calls;

	struct vsock *udp;
	struct vsock *tcp;
	int udp_fd; /* the parent's own, as it would keep them */
	int tcp_fd;

	uint32_t nfars;
	struct far fars[WORLD_FARS_MAX];
	struct far_queries replies; /* by time */

	uint32_t nasks;
	struct ask **asks; /* owned; by index */
	struct ask_list pending;
	TAILQ_HEAD(client_conns, client_conn) conns;
};

/* --- world.c --- */

/* A world in which nothing has been started. */
struct world *world_new(void);

/* Ends it; what is left over is a failure, of which *text tells. */
bool world_free(struct world *, char text[256]);

void world_fail(struct world *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Lets everything happen that happens now. */
void world_settle(struct world *);

/* Lets time go by. */
void world_advance(struct world *, uint64_t us);

/* Waits for all queries to be answered, and for all to be still. */
void world_quiesce(struct world *);

/* Microseconds since the beginning. */
uint64_t world_now(const struct world *);

/* --- parent.c --- */

/* Starts both, or the one; sends the configuration, and makes a link. */
void parent_start_pool(struct world *);
void parent_start_listener(struct world *);
/* The process is gone from one moment to the next. */
void parent_kill_pool(struct world *);
void parent_kill_listener(struct world *);
void parent_link(struct world *);
/* Has the configuration as it is now taken over by those running. */
void parent_reload(struct world *);
/* enum msg_change, to the pool or the listener; id of an upstream or 0. */
void parent_change(struct world *, unsigned int change, uint32_t id);
/* Reads what they say; true if there was anything. */
bool parent_turn(struct world *);

/* --- pool_side.c --- */

void pool_side_start(struct world *, int parent_fd);
void pool_side_stop(struct world *);
bool pool_side_turn(struct world *);
/* Queries in its table. */
uint32_t pool_side_held(const struct world *);
/* Everything that has to be true between any two turns. */
void pool_side_check(struct world *);
/* Nothing is held any more. */
void pool_side_check_idle(struct world *);
/* A counter of the pool, or of an upstream; false if there is none. */
bool pool_side_counter(struct world *, const char *name, uint64_t *);
bool pool_side_upstream(
    struct world *, const char *up, const char *what, uint64_t *);

/* --- listener_side.c --- */

void listener_side_start(struct world *, int parent_fd);
void listener_side_stop(struct world *);
bool listener_side_turn(struct world *);
void listener_side_check(struct world *);
void listener_side_check_idle(struct world *);
bool listener_side_counter(struct world *, const char *name, uint64_t *);

/* --- far.c, far_conn.c: upstreams --- */

/* The upstream of this name, which is made if it is not there. */
struct far *far_get(struct world *, const char *name);
struct far *far_find(struct world *, const char *name);
/* The pool wants a connection. */
void far_dial(struct world *, uint32_t index, uint64_t request, bool plain);
/* Reads what came and does what is due; true if there was anything. */
bool far_turn(struct world *);
uint64_t far_next(const struct world *);
/*
 * How many queries an upstream has over a connection; false if it has not read
 * all that was sent, or is not to be believed.
 */
bool far_outstanding(
    const struct world *, uint32_t index, uint64_t request, uint32_t *n);
/* Ends connections: number, or all if that is 0. */
void far_end(struct world *, struct far *, uint32_t number, bool reset);
/* Answers the oldest copy of a query; number of connection, or 0. */
void far_reply(struct world *, struct far *, const struct ask *,
    uint32_t number, enum far_answer);
void far_mute(struct world *, struct far *, bool mute);
void far_free_all(struct world *);

/* --- client.c --- */

struct ask_how {
	const char *name; /* NULL: one of its own */
	uint16_t type;
	uint8_t opcode;
	struct sockaddr_in from; /* all zero: one of its own */
	const char *conn;        /* NULL: over UDP */
	int id;                  /* -1: one of its own */
	uint16_t udp_size;       /* 0: no OPT record */
	uint16_t bytes;          /* of an option in it; 0: no option */
	const struct ask *again; /* the same as that one; or NULL */
};

void client_ask(struct world *, const char *label, const struct ask_how *);
struct ask *client_find(struct world *, const char *label);
/* Whose query has this name. */
struct ask *client_of(struct world *, const uint8_t *wire, size_t len);
void client_close(struct world *, const char *conn, bool reset);
struct client_conn *client_conn_find(struct world *, const char *label);
/* For vnet_udp(). */
void client_datagram(
    void *arg, const struct sockaddr_in *to, const uint8_t *msg, size_t len);
bool client_turn(struct world *);
/* When the first query is overdue. */
uint64_t client_next(const struct world *);
void client_check(struct world *);
void client_free_all(struct world *);

#endif
