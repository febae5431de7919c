/* SPDX-License-Identifier: ISC */
/*
 * The configuration as plain structs, its defaults and limits.  Filled in by
 * the parser in the parent (which alone knows file names), and piece by piece
 * from messages in the children.
 */
#ifndef COMMON_CONF_H
#define COMMON_CONF_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define CONF_FILE_DEFAULT "/etc/dotproxy.conf"
#define CONF_CONTROL_DEFAULT "/run/dotproxy/dotproxy.sock"
#define CONF_USER_DEFAULT "_dotproxy"
#define CONF_CA_FILE_DEFAULT "/etc/ssl/certs/ca-certificates.crt"

#define CONF_DNS_PORT 53
#define CONF_DOT_PORT 853 /* RFC 7858 3.1 */

#define CONF_NAME_MAX 64   /* upstream name with NUL */
#define CONF_HOST_MAX 254  /* server name with NUL */
#define CONF_PATH_MAX 1024 /* path of a file with NUL */
#define CONF_AT_MAX 128    /* "file:line" with NUL; a long name is cut */
#define CONF_CIPHERS_MAX                                                     \
	512                  /* names of ciphers, ":" between them, with NUL \
			      */
#define CONF_CONTROL_MAX 108 /* sun_path with NUL */
#define CONF_USER_MAX 33     /* user name with NUL */
#define CONF_UPSTREAMS_MAX 64
#define CONF_LISTENS_MAX 64
#define CONF_ALLOW_MAX 1024
#define CONF_PINS_MAX 8
#define CONF_PIN_LEN 32 /* SHA-256 */

/* Limits of the values, both ends included. */
#define CONF_TIMEOUT_MIN_MS 10u
#define CONF_TIMEOUT_MAX_MS 3600000u
#define CONF_QUERY_TIMEOUT_MAX_MS 60000u
#define CONF_KEEP_WARM_MIN_MS 1000u /* or 0 */
#define CONF_RETRIES_MAX 64u
#define CONF_HEDGE_MAX 100u /* percent */
#define CONF_POOL_SIZE_MAX 64u
#define CONF_INFLIGHT_MAX 65536u
#define CONF_TCP_MAX 65536u
#define CONF_TCP_BACKLOG 1024 /* of a socket: connections not accepted yet */
#define CONF_WORKERS_MAX 64u
#define CONF_TRANSFERS_MAX 256u
#define CONF_RATE_MAX 1000000u /* queries a second */
#define CONF_SAMPLE_PPM_MAX 1000000u
#define CONF_FLUSH_MIN_MS 1000u
#define CONF_PAYLOAD_MIN 512u
#define CONF_PAYLOAD_MAX 8932u /* of a jumbo frame over IPv6 */

enum conf_policy {
	POLICY_ROUND_ROBIN,
	POLICY_RANDOM,
	POLICY_HISTORICAL,
	POLICY_AVAILABILITY,
	POLICY_FAILOVER,
	POLICY_LATENCY,
	POLICY_COUNT
};

/* One listen line.  At least one of udp and tcp is true. */
struct conf_listen {
	struct sockaddr_storage addr; /* AF_INET or AF_INET6, with port */
	bool udp;
	bool tcp;
	bool freebind; /* the address may appear later; the parent's */
};

/* An address prefix; host bits are zero. */
struct conf_prefix {
	uint8_t family;   /* AF_INET or AF_INET6 */
	uint8_t len;      /* in bits, <= 32 or <= 128 */
	uint8_t addr[16]; /* network order, first 4 bytes for AF_INET */
};

/* The client { } block. */
struct conf_client {
	uint32_t tcp_read_timeout_ms;
	uint32_t tcp_write_timeout_ms;
	uint32_t max_inflight;
	uint32_t max_tcp;
	uint32_t max_tcp_per_client;
	bool edns_keepalive;    /* edit answers for who asks how long to stay */
	bool statistics;        /* who asks most is known */
	uint32_t max_transfers; /* of zones, at a time; 0: none */
	uint32_t rate_limit;    /* UDP queries a second of one; 0: any */
	uint32_t rate_burst;    /* at once; 0 only without a limit */
};

#define CONF_CLIENT_DEFAULT                                                \
	{                                                                  \
		.tcp_read_timeout_ms = 5000, .tcp_write_timeout_ms = 5000, \
		.max_inflight = 8192, .max_tcp = 1024,                     \
		.max_tcp_per_client = 512, .max_transfers = 8              \
	}

/* The least version of TLS: its minor number. */
enum conf_tls { CONF_TLS_1_2 = 2, CONF_TLS_1_3 = 3 };

/* How a query is edited for an upstream. */
struct conf_edit {
	bool padding;   /* to multiples of 128 octets: RFC 8467 */
	bool keepalive; /* ask how long it may be idle: RFC 7828 */
	bool strip_ecs; /* no client subnet: RFC 7871 */
};

/* One upstream { } block. */
struct conf_upstream {
	char at[CONF_AT_MAX]; /* where it stands */
	char name[CONF_NAME_MAX];
	struct sockaddr_storage addr; /* with port */
	char server_name[CONF_HOST_MAX];
	char ca_file[CONF_PATH_MAX]; /* the parent's; empty in the pool */
	/* Shown to the upstream, both or none; the same. */
	char client_cert[CONF_PATH_MAX];
	char client_key[CONF_PATH_MAX];
	uint8_t tls_min;                /* enum conf_tls */
	char ciphers[CONF_CIPHERS_MAX]; /* empty: the library's */
	uint32_t pool_size;
	uint32_t connect_timeout_ms;
	uint32_t handshake_timeout_ms;
	uint32_t read_timeout_ms;
	uint32_t write_timeout_ms;
	uint32_t stale_timeout_ms;
	uint32_t keep_warm_ms; /* 0: off */
	bool fast_open;        /* TCP Fast Open; the parent's */
	bool resumption;       /* of TLS sessions */
	struct conf_edit edit; /* all off by default */
	/* The pins alone decide, and are of the leaf: no CA, no name, no time.
	 */
	bool pin_only;
	uint32_t npins;                            /* not 0 if pin_only */
	uint8_t pins[CONF_PINS_MAX][CONF_PIN_LEN]; /* SHA-256 of SPKI */
};

#define CONF_UPSTREAM_DEFAULT                                                  \
	{                                                                      \
		.pool_size = 8, .connect_timeout_ms = 1000,                    \
		.handshake_timeout_ms = 2000, .read_timeout_ms = 5000,         \
		.write_timeout_ms = 5000, .stale_timeout_ms = 10000,           \
		.keep_warm_ms = 300000, .fast_open = true, .resumption = true, \
		.ca_file = CONF_CA_FILE_DEFAULT, .tls_min = CONF_TLS_1_2       \
	}

/* How a line of metrics has its tags. */
enum conf_flavour {
	FLAVOUR_INFLUX,    /* name,tag=value:1|c */
	FLAVOUR_DOGSTATSD, /* name:1|c|#tag:value */
	FLAVOUR_STATSD,    /* name.value:1|c */
	FLAVOUR_COUNT
};

struct conf_statsd {
	bool enabled;
	struct sockaddr_storage addr;
	uint32_t sample_ppm; /* sample rate in millionths, 1..1000000 */
	enum conf_flavour flavour;
	uint32_t flush_ms;
	uint32_t payload; /* no datagram is longer */
	bool client_tags; /* with prefixes of clients */
};

#define CONF_STATSD_DEFAULT                                                   \
	{                                                                     \
		.sample_ppm = CONF_SAMPLE_PPM_MAX, .flavour = FLAVOUR_INFLUX, \
		.flush_ms = 10000,                                            \
		.payload = 1432 /* of an Ethernet frame over IPv6 */          \
	}

/* What the pool needs beside its upstreams, and the listener too. */
struct conf_forward {
	enum conf_policy policy;
	uint32_t retries;
	uint32_t query_timeout_ms;
	uint32_t hedge_percent; /* extra queries for late answers; 0: none */
};

#define CONF_FORWARD_DEFAULT                                  \
	{                                                     \
		.policy = POLICY_AVAILABILITY, .retries = 16, \
		.query_timeout_ms = 4000, .hedge_percent = 5  \
	}

/* A whole configuration file.  Owns nothing but itself: free() it. */
struct conf {
	char user[CONF_USER_MAX];
	char control_socket[CONF_CONTROL_MAX]; /* of worker 1 */
	uint32_t workers;
	char workers_at[CONF_PATH_MAX + 16]; /* "file:line"; or empty */
	struct conf_forward forward;
	struct conf_client client;
	struct conf_statsd statsd;
	uint32_t nlistens;
	uint32_t nallow;
	uint32_t nupstreams;
	struct conf_listen listens[CONF_LISTENS_MAX];
	struct conf_prefix allow[CONF_ALLOW_MAX];
	struct conf_upstream upstreams[CONF_UPSTREAMS_MAX];
};

/* A worker's share of a limit that is for all of them: rounded up. */
static inline uint32_t
conf_share(const struct conf *c, uint32_t limit)
{
	return (limit + c->workers - 1) / c->workers;
}

#endif
