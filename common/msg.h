/* SPDX-License-Identifier: ISC */
/*
 * The message catalogue: every message that crosses a channel, with one
 * encoder and one decoder each.
 *
 * The letters say who sends and who receives: P the parent, L the listener,
 * T the TLS pool, X either child, C a control client (dotproxyctl).  INFO
 * messages answer a control request; they travel from where the facts are
 * known (P or T) through L to C, with the same payload all the way.
 *
 * msg_send_*() return false if the channel's output buffer has no room (or the
 * message cannot be encoded): nothing is sent.  msg_read_*() return 0, or -1
 * if the payload does not decode to the last byte or a value is out of range;
 * the struct is not to be used then.  Strings in decoded structs are
 * NUL-terminated, their bytes are anything: escape before printing.
 */
#ifndef COMMON_MSG_H
#define COMMON_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/dns.h"
#include "common/imsg.h"
#include "common/log.h"
#include "common/msg_info.h"

enum msg_type {
	MSG_NONE,

	/* Parent to either child. */
	MSG_PX_SETUP,      /* struct msg_setup; first, before the sandbox */
	MSG_PX_CONF_BEGIN, /* id = generation: a run of items begins */
	MSG_PX_CONF_END,   /* id = generation: that was all */
	MSG_PX_LINK_OUT,   /* id = link, + fd: the end to write to; first */
	MSG_PX_LINK,       /* id = link, + fd: the end to read from */
	MSG_PX_LOG_LEVEL,  /* u8 */
	MSG_PX_CHANGE,     /* id = upstream or 0; u8 enum msg_change */
	MSG_PX_PING,       /* is it alive? */
	/* Either child to parent. */
	MSG_XP_READY,     /* u32 layers not on offer; confined, in the loop */
	MSG_XP_LOG,       /* struct msg_log */
	MSG_XP_CONF_DONE, /* id = generation; struct msg_result */
	MSG_XP_LINK_DOWN, /* id = link (of PX_LINK): broken, make a new one */
	MSG_XP_PONG,      /* it is; one for each PX_PING */
	/* Parent to listener. */
	MSG_PL_CLIENT,   /* struct msg_client */
	MSG_PL_LISTEN,   /* struct msg_listen + fd unless it is known */
	MSG_PL_ALLOW,    /* struct msg_allow; repeated */
	MSG_PL_CONTROL,  /* + fd: the listening control socket */
	MSG_PL_UPSTREAM, /* id = index; string name, for error texts */
	MSG_PL_STATSD,   /* struct msg_statsd + fd, connected; or none of it */
	MSG_PL_FINISH, /* take no more queries, and end after the last answer */
	/* Listener to parent; id = control handle. */
	MSG_LP_RELOAD,
	MSG_LP_LOG_LEVEL, /* u8 */
	MSG_LP_PROCESSES,
	MSG_LP_CONFIG,
	MSG_LP_CHANGE, /* u8 enum msg_change, u32 index or MSG_NO_UPSTREAM */
	/* Parent to pool. */
	MSG_PT_POOL,      /* struct msg_pool */
	MSG_PT_CA,        /* id = ca index; its path, + fd of a PEM file */
	MSG_PT_UPSTREAM,  /* struct msg_upstream */
	MSG_PT_CERT,      /* path, + fd: client certificate of the last one */
	MSG_PT_KEY,       /* path, + fd: the key that belongs to it */
	MSG_PT_DECIDE,    /* id = generation; u8: 1 swap it in, 0 forget it */
	MSG_PT_CONNECTED, /* id = request, + fd of a TCP socket */
	MSG_PT_CONNECT_FAILED, /* id = request; u32 errno */
	/* Pool to parent. */
	MSG_TP_CONNECT,       /* id = request; u32 upstream id */
	MSG_TP_CONNECT_PLAIN, /* the same, without TCP Fast Open */
	MSG_TP_HEALTH,        /* id = upstream; struct msg_health, if new */
	/* Listener to pool. */
	MSG_LT_QUERY,    /* id = handle; u32 ms left, DNS message */
	MSG_LT_TRANSFER, /* the same; all messages of the answer are wanted */
	MSG_LT_CREDIT,   /* id = handle; u32 bytes the client has taken */
	MSG_LT_CANCEL,   /* id = handle: nobody wants the rest */
	MSG_LT_SHOW,     /* id = control handle; u8 enum msg_show */
	MSG_LT_PROBE,    /* id = control handle; u32 index */
	/* Pool to listener. */
	MSG_TL_ANSWER, /* id = handle; DNS message, the last one */
	MSG_TL_PART,   /* id = handle; DNS message, and more belong to it */
	MSG_TL_FAILED, /* id = handle; struct msg_failed */
	/* Control client to listener; id is echoed in all replies. */
	MSG_CL_SHOW, /* u8 enum msg_show */
	MSG_CL_RELOAD,
	MSG_CL_LOG_LEVEL, /* u8 */
	MSG_CL_CHANGE,    /* struct msg_request */
	/* The answers to a control request, on the way to C. */
	MSG_INFO_COUNTERS, /* struct info_counters */
	MSG_INFO_POOL,     /* struct info_pool */
	MSG_INFO_UPSTREAM, /* struct info_upstream */
	MSG_INFO_CONN,     /* struct info_conn; after its upstream */
	MSG_INFO_HIST,     /* struct info_hist; after its upstream, if any */
	MSG_INFO_PIN,      /* struct info_pin; after its upstream */
	MSG_INFO_ERROR,    /* struct info_error; after its upstream */
	MSG_INFO_CLIENT,   /* struct info_client */
	MSG_INFO_PROCESS,  /* struct info_process */
	MSG_INFO_PROBE,    /* struct info_probe */
	MSG_INFO_LISTENER, /* u8: 1 if it is being drained */
	MSG_INFO_TEXT,     /* bytes: a piece of text (the configuration) */
	MSG_INFO_END,      /* struct msg_result: nothing more follows */

	MSG_TYPE_COUNT
};

_Static_assert(MSG_TYPE_COUNT <= IMSG_TYPES_MAX, "imsg rule tables too small");

/* What to show; also how each of the three daemon processes is asked. */
enum msg_show {
	SHOW_SUMMARY,   /* counters of both, pool, upstreams, processes */
	SHOW_POOL,      /* pool, upstreams and their connections */
	SHOW_STATS,     /* counters of both, pool, upstreams */
	SHOW_PROCESSES, /* processes */
	SHOW_CONFIG,    /* text */
	SHOW_LATENCY,   /* as SHOW_STATS, and histograms */
	SHOW_ALL,       /* all above but the configuration */
	SHOW_PINS,      /* upstreams, and who they were */
	SHOW_ERRORS,    /* counters of the listener, upstreams, errors */
	SHOW_CLIENTS,   /* clients, by the listener alone */
	SHOW_COUNT
};

/* What an operator can have done; the parent keeps what lasts. */
enum msg_change {
	CHANGE_DISABLE, /* an upstream gets no more queries */
	CHANGE_ENABLE,
	CHANGE_FLUSH, /* connections to upstreams are made anew */
	CHANGE_DRAIN, /* no more TCP clients; those that are idle go */
	CHANGE_UNDRAIN,
	CHANGE_RESTART, /* the program is executed anew, with its sockets */
	CHANGE_PROBE,   /* changes nothing, and is not asked of the parent */
	CHANGE_COUNT
};

/* True if it is done to one upstream. */
static inline bool
msg_change_has_upstream(unsigned int change)
{
	return change == CHANGE_DISABLE || change == CHANGE_ENABLE ||
	       change == CHANGE_PROBE;
}

/* A change as a control client asks for it. */
struct msg_request {
	uint8_t change;
	char upstream[CONF_NAME_MAX]; /* empty if it is done to none */
};

/* Channel sizes: the largest payloads, and the buffers for a batch. */
#define MSG_TEXT_MAX 4096 /* bytes of one INFO_TEXT, log line, result */
#define MSG_ALLOW_MAX 64  /* prefixes of one PL_ALLOW */
#define MSG_QUERY_MIN (4 + DNS_HDR_LEN)
#define MSG_QUERY_MAX (4 + DNS_MSG_MAX)
/*
 * Bytes of a transfer's messages that the pool may send before it is given
 * credit for them; it stops reading the upstream then.  What it had read at
 * that time, and one more message, may come on top.
 */
#define MSG_TRANSFER_WINDOW (128 * 1024)
#define MSG_INFO_MAX 8192            /* no INFO payload is longer */
#define MSG_LINK_BUF (1024 * 1024)   /* listener <-> pool, each way */
#define MSG_PARENT_BUF (512 * 1024)  /* parent <-> child, each way */
#define MSG_CONTROL_BUF (256 * 1024) /* listener -> control client */

/*
 * A child's descriptor of its channel to the parent; the same for both, set
 * up before exec.
 */
#define MSG_PARENT_FD 3
/* Exit status of a child that cannot say why: before it has a channel, */
#define MSG_EXIT_EARLY 125
#define MSG_EXIT_CHANNEL 124  /* when that does not work, */
#define MSG_EXIT_PROTOCOL 123 /* and when it brings nonsense */

struct msg_setup {
	uint32_t uid; /* to become, with gid; only if confine */
	uint32_t gid;
	uint32_t nofile; /* RLIMIT_NOFILE */
	bool confine;    /* started as root: uid change, chroot and all */
	uint8_t log_level;
};

struct msg_log {
	uint8_t level;
	char line[LOG_LINE_MAX];
};

struct msg_result {
	bool ok;
	char text[MSG_TEXT_MAX]; /* why not; or empty */
};

struct msg_client {
	struct conf_client client;
	uint32_t query_timeout_ms;
	uint32_t transfer_idle_ms; /* longest read timeout of any upstream */
};

/*
 * A listening socket.  id is given by the parent when it binds and stays the
 * same over reloads: a child that has it already goes on with what it has.
 */
struct msg_listen {
	uint32_t id;
	bool tcp; /* else udp */
	struct sockaddr_storage addr;
};

struct msg_allow {
	uint32_t n;
	struct conf_prefix prefixes[MSG_ALLOW_MAX];
};

struct msg_statsd {
	struct conf_statsd conf; /* without its address */
	uint8_t worker;          /* from 1; 0: there is only one */
};

struct msg_pool {
	struct conf_forward forward;
	uint32_t max_inflight;
	uint32_t max_transfers;
};

/*
 * id is given by the parent and stays the same over reloads as long as
 * address, names, CA, pins and the like do: then its connections are kept.
 */
struct msg_upstream {
	uint32_t id;
	uint32_t ca; /* index of a PT_CA earlier in the run; none if pin_only */
	struct conf_upstream conf;
};

/* Why a query got no answer; numbers are on the wire. */
enum msg_cause {
	CAUSE_NONE,
	CAUSE_TIMEOUT,        /* no answer in time */
	CAUSE_NETWORK,        /* connect failed, or connection lost */
	CAUSE_TLS,            /* handshake failed */
	CAUSE_NAME,           /* certificate is for another name */
	CAUSE_EXPIRED,        /* certificate not valid now (or clock wrong) */
	CAUSE_UNTRUSTED,      /* certificate not signed by a CA we know */
	CAUSE_PIN,            /* no certificate of the chain matches a pin */
	CAUSE_PROTOCOL,       /* upstream sent what is no answer */
	CAUSE_BUSY,           /* no room */
	CAUSE_NOT_REPEATABLE, /* lost, and may not be sent twice */
	CAUSE_CLIENT_CERT,    /* it wants a client certificate, or another */
	CAUSE_COUNT
};

#define MSG_NO_UPSTREAM UINT32_MAX
#define MSG_NO_CA UINT32_MAX

struct msg_failed {
	uint8_t cause;     /* enum msg_cause */
	uint32_t upstream; /* index in the configuration, or none */
};

/* More than any errno of Linux. */
#define MSG_ERRNO_MAX 4095u

/* Whether an upstream can be used, as one pool sees it; if not, why. */
struct msg_health {
	bool up;       /* the rest is 0 then */
	uint8_t phase; /* enum info_phase */
	uint8_t cause; /* enum msg_cause */
	uint16_t err;  /* errno, if the cause is the network; or 0 */
};

/* --- names for people, and their number; "?" if out of range --- */

const char *msg_type_name(uint16_t type);       /* "TL_ANSWER" */
const char *msg_cause_name(unsigned int cause); /* "no answer in time" */
const char *msg_state_name(unsigned int state); /* "up" */
const char *msg_phase_name(unsigned int phase); /* "handshake" */
const char *msg_hist_name(unsigned int which);  /* "latency", "rtt_udp" */
const char *msg_conn_state_name(unsigned int state);
const char *msg_role_name(unsigned int role);
const char *msg_layer_name(unsigned int layer); /* "root directory" */

/* --- the fast path: no struct between the buffer and the wire --- */

/*
 * Queues a query for the pool, which has left_ms to answer it.  len is within
 * DNS_HDR_LEN..DNS_MSG_MAX.
 */
bool msg_send_query(struct imsg_chan *, uint64_t handle, uint32_t left_ms,
    const uint8_t *wire, size_t len);

/* The same for one whose answer may be many messages. */
bool msg_send_transfer(struct imsg_chan *, uint64_t handle, uint32_t left_ms,
    const uint8_t *wire, size_t len);

/* Splits a LT_QUERY or LT_TRANSFER whose size the rule has checked. */
void msg_read_query(
    const struct imsg *, uint32_t *left_ms, const uint8_t **wire, size_t *len);

/* Queues an answer for the listener; its ID bytes mean nothing. */
bool msg_send_answer(
    struct imsg_chan *, uint64_t handle, const uint8_t *wire, size_t len);

/* The same for a message that is not the last one of its answer. */
bool msg_send_part(
    struct imsg_chan *, uint64_t handle, const uint8_t *wire, size_t len);

/* A TL_ANSWER or TL_PART is m->data, m->len itself. */

/* --- single numbers --- */

bool msg_send_u8(struct imsg_chan *, uint16_t type, uint64_t id, uint8_t);
int msg_read_u8(const struct imsg *, uint8_t *, uint8_t limit); /* < limit */
bool msg_send_u32(struct imsg_chan *, uint16_t type, uint64_t id, uint32_t);
int msg_read_u32(const struct imsg *, uint32_t *);

/* --- records --- */

/* absent: bits of enum info_layer. */
bool msg_send_ready(struct imsg_chan *, uint32_t absent);
int msg_read_ready(const struct imsg *, uint32_t *absent);
bool msg_send_setup(struct imsg_chan *, const struct msg_setup *);
int msg_read_setup(const struct imsg *, struct msg_setup *);
bool msg_send_log(struct imsg_chan *, uint8_t level, const char *line);
int msg_read_log(const struct imsg *, struct msg_log *);
/* XP_CONF_DONE and INFO_END; text may be NULL and is cut to fit. */
bool msg_send_result(
    struct imsg_chan *, uint16_t type, uint64_t id, bool ok, const char *text);
int msg_read_result(const struct imsg *, struct msg_result *);
bool msg_send_failed(
    struct imsg_chan *, uint64_t handle, const struct msg_failed *);
int msg_read_failed(const struct imsg *, struct msg_failed *);
bool msg_send_health(
    struct imsg_chan *, uint64_t id, const struct msg_health *);
int msg_read_health(const struct imsg *, struct msg_health *);

/* --- msg_conf.c and msg_upstream.c: the configuration --- */

bool msg_send_client(struct imsg_chan *, const struct msg_client *);
int msg_read_client(const struct imsg *, struct msg_client *);
/* fd is consumed; -1 if the child knows the socket already. */
bool msg_send_listen(struct imsg_chan *, const struct msg_listen *, int fd);
int msg_read_listen(const struct imsg *, struct msg_listen *);
bool msg_send_allow(struct imsg_chan *, const struct msg_allow *);
int msg_read_allow(const struct imsg *, struct msg_allow *);
bool msg_send_upstream_name(struct imsg_chan *, uint64_t index, const char *);
int msg_read_upstream_name(const struct imsg *, char name[CONF_NAME_MAX]);
/* fd is consumed. */
bool msg_send_statsd(struct imsg_chan *, const struct msg_statsd *, int fd);
int msg_read_statsd(const struct imsg *, struct msg_statsd *);
bool msg_send_pool(struct imsg_chan *, const struct msg_pool *);
int msg_read_pool(const struct imsg *, struct msg_pool *);
/* PT_CA, PT_CERT and PT_KEY; fd is consumed. */
bool msg_send_file(
    struct imsg_chan *, uint16_t type, uint64_t id, const char *path, int fd);
int msg_read_file(const struct imsg *, char path[CONF_PATH_MAX]);
/* Does not carry what is the parent's: names of files and fast_open. */
bool msg_send_upstream(struct imsg_chan *, const struct msg_upstream *);
int msg_read_upstream(const struct imsg *, struct msg_upstream *);

/* --- msg_change.c: changes the operator asks for --- */

bool msg_send_request(
    struct imsg_chan *, uint64_t id, const struct msg_request *);
int msg_read_request(const struct imsg *, struct msg_request *);
/* LP_CHANGE; upstream is an index, or MSG_NO_UPSTREAM if it is done to none. */
bool msg_send_change(
    struct imsg_chan *, uint64_t id, uint8_t change, uint32_t upstream);
int msg_read_change(const struct imsg *, uint8_t *change, uint32_t *upstream);

#endif
