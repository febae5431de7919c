/* SPDX-License-Identifier: ISC */
/*
 * What the lines of the configuration file mean: the grammar calls one of
 * these for each, with the text of its values.  Everything that is wrong goes
 * to the errors, and parsing goes on.
 */
#ifndef PARENT_CONF_SET_H
#define PARENT_CONF_SET_H

#include <stdbool.h>

#include "common/conf.h"
#include "dotproxy/parent/conf_errors.h"

/* Settings which stand once in their scope; their names are in conf_key.c. */
enum conf_key {
	KEY_USER,
	KEY_CONTROL_SOCKET,
	KEY_WORKERS,
	KEY_ALLOW,
	KEY_POLICY,
	KEY_RETRIES,
	KEY_HEDGE,
	KEY_QUERY_TIMEOUT,
	KEY_METRICS,
	KEY_SAMPLE_RATE,
	KEY_FLAVOUR,
	KEY_FLUSH_INTERVAL,
	KEY_PAYLOAD,
	KEY_CLIENT_TAGS,
	KEY_CLIENT,
	KEY_TCP_READ_TIMEOUT,
	KEY_TCP_WRITE_TIMEOUT,
	KEY_MAX_INFLIGHT,
	KEY_MAX_TCP,
	KEY_MAX_TCP_PER_CLIENT,
	KEY_CLIENT_KEEPALIVE,
	KEY_STATISTICS,
	KEY_MAX_TRANSFERS,
	KEY_RATE_LIMIT,
	KEY_RATE_BURST,
	KEY_ALL_KEEP_WARM, /* what upstreams have that do not say */
	KEY_ALL_FAST_OPEN,
	KEY_ALL_RESUMPTION,
	KEY_ADDRESS, /* the first one of an upstream */
	KEY_SERVER_NAME,
	KEY_POOL_SIZE,
	KEY_CONNECT_TIMEOUT,
	KEY_HANDSHAKE_TIMEOUT,
	KEY_READ_TIMEOUT,
	KEY_WRITE_TIMEOUT,
	KEY_STALE_TIMEOUT,
	KEY_KEEP_WARM,
	KEY_FAST_OPEN,
	KEY_RESUMPTION,
	KEY_PADDING,
	KEY_EDNS_KEEPALIVE,
	KEY_STRIP_ECS,
	KEY_CA_FILE,
	KEY_PIN_ONLY,
	KEY_CLIENT_CERT,
	KEY_TLS_VERSION,
	KEY_CIPHERS,
	KEY_COUNT
};

/* Which of the settings that also stand outside of blocks an upstream has. */
struct conf_said {
	bool keep_warm;
	bool fast_open;
	bool resumption;
};

/* A configuration being built.  Origins are valid as long as the lexer. */
struct conf_set {
	struct conf *conf; /* borrowed */
	struct conf_errors *errs;
	struct conf_upstream all; /* for those that do not say */
	struct conf_upstream up;  /* the one whose block is open */
	struct conf_origin up_at;
	size_t up_errors; /* how many there were when it was opened */
	struct conf_origin seen[KEY_COUNT]; /* line 0: not set */
	struct conf_origin listen_at[CONF_LISTENS_MAX];
	struct conf_origin upstream_at[CONF_UPSTREAMS_MAX];
	struct conf_said said[CONF_UPSTREAMS_MAX];
	struct conf_origin ca_at[CONF_UPSTREAMS_MAX]; /* or its upstream's */
	struct conf_origin cert_at[CONF_UPSTREAMS_MAX];
	struct conf_origin pin_at[CONF_PINS_MAX]; /* of the open one */
};

/* Gives conf, which is all zero, its defaults.  Both must outlive the set. */
void conf_set_init(struct conf_set *, struct conf *conf, struct conf_errors *);

/* Any setting with a single value: number, duration, text or policy. */
void conf_set_value(
    struct conf_set *, enum conf_key, const char *text, struct conf_origin);

/* The beginning of a block that stands once.  False if it is the second. */
bool conf_set_once(struct conf_set *, enum conf_key, struct conf_origin);

/* One listen line; port may be NULL, and transport: then it is both. */
void conf_set_listen(struct conf_set *, const char *address, const char *port,
    const char *transport, bool freebind, struct conf_origin);

/* One prefix of the allow list, and the end of that list. */
void conf_set_allow(struct conf_set *, const char *prefix, struct conf_origin);
void conf_set_allow_end(struct conf_set *, struct conf_origin);

/* The upstream block: between open and close its settings.  port: or NULL. */
void conf_set_upstream_open(
    struct conf_set *, const char *name, struct conf_origin);
void conf_set_address(struct conf_set *, const char *address, const char *port,
    struct conf_origin);
void conf_set_upstream_close(struct conf_set *);

/*
 * The metrics line; port may be NULL.  What else stands in it comes before,
 * each as a setting of its own.
 */
void conf_set_statsd(struct conf_set *, const char *address, const char *port,
    struct conf_origin);

/* The end of file: fills in or asks for what is missing. */
void conf_set_finish(struct conf_set *, const char *file);

/* --- for conf_tls.c, which is a part of it --- */

/* Reports that what was already given at first: in this file or another. */
void conf_set_again(struct conf_set *, const char *what,
    struct conf_origin first, struct conf_origin at);

/* Copies text, which fits or is reported.  Returns whether it did. */
bool conf_set_text(struct conf_set *, const char *name, const char *text,
    char *dst, size_t size, struct conf_origin at);

#endif
