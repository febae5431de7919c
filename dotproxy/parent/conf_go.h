/* SPDX-License-Identifier: ISC */
/*
 * Single values as the dotproxy written in Go has them in its file.  Pure.
 * The parsers return NULL, or what is wrong, and then leave the result alone.
 */
#ifndef PARENT_CONF_GO_H
#define PARENT_CONF_GO_H

#include <stddef.h>
#include <stdint.h>

/*
 * A duration as Go's time.ParseDuration takes it, in milliseconds, rounded up;
 * what is too long becomes UINT32_MAX, and what is not positive 0.
 */
const char *go_duration(const char *text, uint32_t *ms);

/* A whole number; what is too big becomes INT32_MAX or INT32_MIN. */
const char *go_int(const char *text, int32_t *);

/* A fraction from 0 to 1 in millionths; above 0 it is 1 at least. */
const char *go_fraction(const char *text, uint32_t *ppm);

/*
 * Takes "host:port" and "[host]:port" apart.  The host may be empty and fits
 * in size; the port, which is not empty, is in the text.
 */
const char *go_host_port(
    const char *text, char *host, size_t size, const char **port);

/* The name of a policy in dotproxy.conf(5), or NULL if there is none. */
const char *go_policy(const char *text);

#endif
