/* SPDX-License-Identifier: ISC */
/* Small things every process needs: the clock, addresses as text, random. */
#ifndef COMMON_UTIL_H
#define COMMON_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/conf.h"

/* Space for "[ipv6%scope]:port" with its NUL. */
#define SOCKADDR_TEXT_MAX 80

/* Microseconds and milliseconds of CLOCK_MONOTONIC. */
uint64_t util_now_us(void);
uint64_t util_now_ms(void);

/* How far CLOCK_BOOTTIME has run ahead of CLOCK_MONOTONIC: time asleep. */
uint64_t util_asleep_ms(void);

/* Length of an AF_INET or AF_INET6 socket address; 0 for any other. */
socklen_t sockaddr_len(const struct sockaddr_storage *);

/* The port in host order; 0 if it is neither AF_INET nor AF_INET6. */
uint16_t sockaddr_port(const struct sockaddr_storage *);

/* Writes "address" (no port) into buf and returns buf; "?" if unknown. */
const char *sockaddr_host_text(
    const struct sockaddr_storage *, char buf[SOCKADDR_TEXT_MAX]);

/* Writes "address:port" or "[address]:port" into buf and returns buf. */
const char *sockaddr_text(
    const struct sockaddr_storage *, char buf[SOCKADDR_TEXT_MAX]);

/* True if family, address, port and scope are the same. */
bool sockaddr_equal(
    const struct sockaddr_storage *, const struct sockaddr_storage *);

/* The names of these in the configuration file; "?" if out of range. */
const char *conf_policy_name(enum conf_policy);
const char *conf_flavour_name(enum conf_flavour);

/* Writes a pin as the configuration file has it, "sha256/BASE64". */
#define PIN_TEXT_MAX 52 /* with NUL */
const char *pin_text(const uint8_t pin[CONF_PIN_LEN], char buf[PIN_TEXT_MAX]);

/*
 * Writes the name of a worker's control socket, worker being from 0: the first
 * has the one that is configured, the others' have a number after it.  False
 * if it is too long.
 */
bool conf_control_path(
    char path[CONF_CONTROL_MAX], const char *first, uint32_t worker);

/*
 * Unpredictable 16- and 32-bit numbers from getrandom(2), fetched 1 KiB at a
 * time so that a query does not cost a system call.  Zero-initialise it.
 */
struct rng {
	uint8_t buf[1024];
	size_t left; /* bytes not used yet, at the start of buf */
};

/* Take the next bytes of the store, each of which is used once. */
uint16_t rng_u16(struct rng *);
uint32_t rng_u32(struct rng *);

#endif
