/* SPDX-License-Identifier: ISC */
/*
 * What answers a control request: the INFO messages of the catalogue, which is
 * in msg.h and includes this.  They travel from where the facts are known, the
 * parent or the pool, through the listener to dotproxyctl.
 */
#ifndef COMMON_MSG_INFO_H
#define COMMON_MSG_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/hist.h"
#include "common/imsg.h"
#include "common/stats.h"

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

/* --- codecs; id is the control handle --- */

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
bool msg_send_info_probe(
    struct imsg_chan *, uint64_t id, const struct info_probe *);
int msg_read_info_probe(const struct imsg *, struct info_probe *);
/* At most MSG_TEXT_MAX bytes. */
bool msg_send_info_text(
    struct imsg_chan *, uint64_t id, const char *text, size_t len);

/*
 * Passes an INFO message on unchanged under another id: what the listener
 * does for the control client that asked.
 */
bool msg_relay(struct imsg_chan *, const struct imsg *, uint64_t id);

#endif
