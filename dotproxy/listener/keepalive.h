/* SPDX-License-Identifier: ISC */
/*
 * edns-tcp-keepalive towards clients (RFC 7828): how long their connection may
 * be idle, for who asks.  Pure.  The messages may be anything; what may be
 * edited at all is up to common/dns_edit.h.
 */
#ifndef LISTENER_KEEPALIVE_H
#define LISTENER_KEEPALIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * True if a query has the option and may have an answer that is edited: it is
 * well formed and not signed.  Only read, though not const, for dns_edit's
 * sake.
 */
bool keepalive_is_asked(uint8_t *query, size_t len);

/*
 * Puts the option with this value, in units of 100 ms, into the OPT record of
 * an answer, in place of any there is.  An answer without OPT, or one that
 * must not be edited, stays as it is, and so does one that would not fit in
 * cap.  Returns the length.
 */
size_t keepalive_put(uint8_t *answer, size_t len, size_t cap, uint16_t value);

#endif
