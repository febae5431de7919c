/* SPDX-License-Identifier: ISC */
/*
 * Single values of the configuration file, from text and back.  Pure.  Every
 * value_* parser returns NULL, or what is wrong as the end of a sentence which
 * begins with the text, and then leaves its result alone.
 */
#ifndef PARENT_CONF_VALUE_H
#define PARENT_CONF_VALUE_H

#include <stdint.h>
#include <sys/socket.h>

#include "common/conf.h"

#define VALUE_DURATION_TEXT_MAX 32 /* "1193h2m47s295ms" with NUL */
#define VALUE_PREFIX_TEXT_MAX 64
#define VALUE_RATE_TEXT_MAX 12

/* A decimal number; what is too big becomes UINT32_MAX. */
const char *value_number(const char *text, uint32_t *);

/* "5%"; what is too big becomes UINT32_MAX. */
const char *value_percent(const char *text, uint32_t *);

/* "1m30s", in milliseconds; what is too long becomes UINT32_MAX. */
const char *value_duration(const char *text, uint32_t *ms);
char *value_duration_text(uint32_t ms, char buf[VALUE_DURATION_TEXT_MAX]);

/* A rate in millionths from "0.25"; above 1 it is more than 1000000. */
const char *value_rate(const char *text, uint32_t *ppm);
char *value_rate_text(uint32_t ppm, char buf[VALUE_RATE_TEXT_MAX]);

/*
 * A numeric address with an optional %scope; the port becomes 0.  The value
 * may be the wildcard, if any is true, but not a multicast address.
 */
const char *value_address(
    const char *text, bool any, struct sockaddr_storage *);
void value_set_port(struct sockaddr_storage *, uint16_t port);

/* "address/length"; a bare address is a prefix of full length. */
const char *value_prefix(const char *text, struct conf_prefix *);
char *value_prefix_text(
    const struct conf_prefix *, char buf[VALUE_PREFIX_TEXT_MAX]);

/* "sha256/BASE64"; back: pin_text(). */
const char *value_pin(const char *text, uint8_t pin[CONF_PIN_LEN]);

/*
 * Checks only: names of ciphers with ":" between them.  Those for TLS 1.3,
 * which begin with "TLS_", are known; of the others the TLS library judges.
 */
const char *value_ciphers(const char *text);

/* Checks only: a host name (RFC 1123 2.1) or a numeric address. */
const char *value_host(const char *text);

/* Checks only: letters, digits, ".", "_" and "-", not beginning with "-". */
const char *value_name(const char *text);

#endif
