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
#include "common/hist.h"
#include "common/imsg.h"
#include "common/log.h"
#include "common/stats.h"

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

enum info_source { SOURCE_LISTENER, SOURCE_POOL, SOURCE_COUNT };

#define INFO_COUNTERS_MAX 64

struct info_counters {
	uint8_t source; /* enum info_source */
	uint64_t uptime_ms;
	uint32_t n; /* LSTAT_COUNT or TSTAT_COUNT if of the same version */
	uint64_t values[INFO_COUNTERS_MAX];
};

struct info_pool {
	uint8_t policy; /* enum conf_policy */
	uint32_t nupstreams;
	uint32_t inflight;
	uint32_t parked; /* queries waiting for any upstream to come back */
	uint32_t max_inflight;
};

enum info_state {
	STATE_IDLE,       /* not needed yet: no connection, no failure */
	STATE_UP,         /* a connection stands, or the last try succeeded */
	STATE_CONNECTING, /* first connection under way */
	STATE_BACKOFF,    /* failed; not before backoff_left_ms */
	STATE_DISABLED,   /* by the operator */
	STATE_COUNT
};

/* What went wrong with a connection, by phase: counters of failures. */
enum info_phase {
	PHASE_CONNECT,   /* TCP, with time-outs */
	PHASE_HANDSHAKE, /* TLS, with time-outs */
	PHASE_VERIFY,    /* chain, expiry, name, pin */
	PHASE_WRITE,
	PHASE_READ,     /* connection lost with queries on it */
	PHASE_TIMEOUT,  /* no answer within read timeout */
	PHASE_PROTOCOL, /* bad frame, unknown ID, wrong question */
	PHASE_COUNT
};

struct info_upstream {
	uint32_t index;
	char name[CONF_NAME_MAX];
	char server_name[CONF_HOST_MAX];
	struct sockaddr_storage addr;
	uint8_t state;      /* enum info_state */
	uint8_t last_cause; /* enum msg_cause of the last failure */
	uint32_t backoff_left_ms;
	uint32_t pool_size;
	uint32_t open;       /* authenticated connections */
	uint32_t idle;       /* of these, with nothing in flight */
	uint32_t connecting; /* TCP or TLS under way */
	uint32_t inflight;   /* queries on connections */
	uint32_t waiting;    /* queries waiting for a connection */
	uint64_t queries;    /* given to a connection */
	uint64_t answers;
	uint64_t opened; /* connections authenticated */
	uint64_t resumed;
	uint64_t closed_by_peer; /* while idle */
	uint64_t warm_dials;     /* before a query needed them */
	uint32_t idle_limit_ms;  /* after which it closes; 0: not known */
	uint32_t warm_left_ms;   /* until it is left alone; 0: it is */
	uint64_t retries;        /* queries that went elsewhere from here */
	uint64_t hedges;         /* sent once more: late */
	uint64_t hedges_won;     /* of these and rescues, answered first */
	uint64_t hedges_lost;
	uint64_t hedges_denied; /* by the budget */
	uint64_t rescues;       /* sent once more: silent */
	uint64_t failures[PHASE_COUNT];
	uint64_t latency_mean_us; /* query written to answer read */
	uint64_t latency_p50_us;
	uint64_t latency_p99_us;
	uint64_t connect_p50_us;
	uint64_t handshake_p50_us;
};

/*
 * Of the pool, for each upstream: four.  Of the listener: the others, with
 * the times from reading a query to handing its answer to the socket, for all
 * that were not answered at once, and the sizes of all, in bytes.
 */
enum info_hist_kind {
	INFO_HIST_LATENCY, /* query written to answer read */
	INFO_HIST_CONNECT,
	INFO_HIST_HANDSHAKE,
	INFO_HIST_OPEN, /* both, and what lies between */
	INFO_HIST_RTT_UDP,
	INFO_HIST_RTT_TCP,
	INFO_HIST_QUERY_SIZE_UDP,
	INFO_HIST_QUERY_SIZE_TCP,
	INFO_HIST_ANSWER_SIZE_UDP,
	INFO_HIST_ANSWER_SIZE_TCP,
	INFO_HIST_COUNT
};

#define INFO_HIST_OF_UPSTREAM INFO_HIST_RTT_UDP /* those before it */
#define INFO_HIST_IS_SIZE(which) ((which) >= INFO_HIST_QUERY_SIZE_UDP)
/* Those that also come for the last minute alone. */
#define INFO_HIST_HAS_RECENT(which)                                      \
	((which) == INFO_HIST_LATENCY || (which) == INFO_HIST_RTT_UDP || \
	    (which) == INFO_HIST_RTT_TCP)

struct info_hist {
	uint32_t upstream; /* index; MSG_NO_UPSTREAM of the listener's */
	uint8_t which;     /* enum info_hist_kind */
	bool recent;       /* of the last minute; else since the start */
	struct hist hist;
};

enum info_conn_state {
	CONN_STATE_CONNECT,
	CONN_STATE_HANDSHAKE,
	CONN_STATE_READY,
	CONN_STATE_DRAINING, /* takes no more queries */
	CONN_STATE_COUNT
};

struct info_conn {
	uint32_t upstream; /* index */
	uint8_t state;     /* enum info_conn_state */
	bool resumed;
	uint64_t age_ms;
	uint64_t idle_ms; /* since the last query or answer */
	uint32_t inflight;
	uint64_t served;
	char version[16]; /* "TLSv1.3" */
	char cipher[64];
};

#define INFO_PINS_MAX 16 /* certificates of a chain */
#define INFO_SUBJECT_MAX 256

/* A certificate by which an upstream was believed, the last time in full. */
struct info_pin {
	uint32_t upstream; /* index */
	uint8_t depth;     /* 0: its own */
	bool configured;   /* matches a pin of the configuration */
	uint8_t pin[CONF_PIN_LEN];
	char subject[INFO_SUBJECT_MAX];
};

#define INFO_ERRORS_MAX 64 /* kept by a pool */
#define INFO_ERROR_TEXT_MAX 128

/* What connections to an upstream failed with: those of one phase and cause. */
struct info_error {
	uint32_t upstream; /* index */
	uint8_t phase;     /* enum info_phase */
	uint8_t cause;     /* enum msg_cause */
	uint64_t count;
	uint64_t first_ms;              /* ago */
	uint64_t last_ms;               /* ago */
	char text[INFO_ERROR_TEXT_MAX]; /* of the last one */
};

#define INFO_CLIENTS_MAX 512 /* kept by a listener */

/* Who asks much. */
struct info_client {
	struct conf_prefix net;
	uint64_t queries;     /* too high by excess at most */
	uint64_t excess;      /* less than queries */
	uint64_t answers;     /* of an upstream, since it is known */
	uint64_t last_minute; /* queries */
	uint32_t inflight;
};

enum info_role { ROLE_PARENT, ROLE_LISTENER, ROLE_POOL, ROLE_COUNT };

/*
 * Layers of confinement which a process may have to do without; a set of them
 * is a u32 with a bit for each.
 */
enum info_layer {
	LAYER_USER,
	LAYER_ROOT_DIR,
	LAYER_CAPABILITIES,
	LAYER_NAMESPACES,
	LAYER_LANDLOCK,
	LAYER_MDWE,
	LAYER_COUNT
};

struct info_process {
	uint8_t role;
	uint8_t worker; /* from 0; 0 for the parent, too */
	uint32_t pid;   /* 0 while it is not running */
	uint64_t uptime_ms;
	uint64_t restarts;
	uint32_t absent;      /* layers that it found not to be on offer */
	char last_death[128]; /* "killed by signal 9"; empty if none */
};

/* The steps of a probe, in order. */
enum info_step {
	STEP_SOCKET,    /* the parent makes one */
	STEP_CONNECT,   /* TCP */
	STEP_HANDSHAKE, /* TLS, and the certificate */
	STEP_QUERY,
	STEP_COUNT /* all were taken */
};

/* The end of 9999: later no certificate can expire (RFC 5280 4.1.2.5). */
#define INFO_EXPIRES_MAX 253402300799u

/* How an upstream was tried, on a connection made for that. */
struct info_probe {
	char name[CONF_NAME_MAX];
	char server_name[CONF_HOST_MAX]; /* what the certificate is for */
	struct sockaddr_storage addr;
	uint8_t failed; /* enum info_step; STEP_COUNT: it works */
	uint8_t phase;  /* enum info_phase, if it failed */
	char error[160];
	uint64_t step_us[STEP_COUNT]; /* how long each took */
	char version[16];             /* "TLSv1.3" */
	char cipher[64];
	uint64_t expires_s; /* of the certificate, since 1970; 0: not seen */
	bool pinned;        /* pins are configured */
	uint8_t rcode;
	uint32_t answer_len;
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
bool msg_send_failed(
    struct imsg_chan *, uint64_t handle, const struct msg_failed *);
int msg_read_failed(const struct imsg *, struct msg_failed *);

/* --- msg_change.c: changes the operator asks for --- */

bool msg_send_request(
    struct imsg_chan *, uint64_t id, const struct msg_request *);
int msg_read_request(const struct imsg *, struct msg_request *);
/* LP_CHANGE; upstream is an index, or MSG_NO_UPSTREAM if it is done to none. */
bool msg_send_change(
    struct imsg_chan *, uint64_t id, uint8_t change, uint32_t upstream);
int msg_read_change(const struct imsg *, uint8_t *change, uint32_t *upstream);
bool msg_send_info_probe(
    struct imsg_chan *, uint64_t id, const struct info_probe *);
int msg_read_info_probe(const struct imsg *, struct info_probe *);

/* --- answers to control requests; id is the control handle --- */

bool msg_send_info_counters(
    struct imsg_chan *, uint64_t id, const struct info_counters *);
int msg_read_info_counters(const struct imsg *, struct info_counters *);
bool msg_send_info_pool(
    struct imsg_chan *, uint64_t id, const struct info_pool *);
int msg_read_info_pool(const struct imsg *, struct info_pool *);
bool msg_send_info_upstream(
    struct imsg_chan *, uint64_t id, const struct info_upstream *);
int msg_read_info_upstream(const struct imsg *, struct info_upstream *);
bool msg_send_info_conn(
    struct imsg_chan *, uint64_t id, const struct info_conn *);
int msg_read_info_conn(const struct imsg *, struct info_conn *);
bool msg_send_info_hist(struct imsg_chan *, uint64_t id, uint32_t upstream,
    enum info_hist_kind, bool recent, const struct hist *);
int msg_read_info_hist(const struct imsg *, struct info_hist *);
bool msg_send_info_pin(
    struct imsg_chan *, uint64_t id, const struct info_pin *);
int msg_read_info_pin(const struct imsg *, struct info_pin *);
bool msg_send_info_client(
    struct imsg_chan *, uint64_t id, const struct info_client *);
int msg_read_info_client(const struct imsg *, struct info_client *);
bool msg_send_info_error(
    struct imsg_chan *, uint64_t id, const struct info_error *);
int msg_read_info_error(const struct imsg *, struct info_error *);
bool msg_send_info_process(
    struct imsg_chan *, uint64_t id, const struct info_process *);
int msg_read_info_process(const struct imsg *, struct info_process *);
/* At most MSG_TEXT_MAX bytes. */
bool msg_send_info_text(
    struct imsg_chan *, uint64_t id, const char *text, size_t len);

/*
 * Passes an INFO message on unchanged under another id: what the listener
 * does for the control client that asked.
 */
bool msg_relay(struct imsg_chan *, const struct imsg *, uint64_t id);

#endif
