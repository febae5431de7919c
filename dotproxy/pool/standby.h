/* SPDX-License-Identifier: ISC */
/*
 * Connections that nothing is on: which is kept for the next query, when its
 * successor is dialled, and when all of them are closed because nobody asks.
 */
#ifndef POOL_STANDBY_H
#define POOL_STANDBY_H

#include <stdint.h>

#include "dotproxy/pool/conn.h"
#include "dotproxy/pool/upstream.h"

/* When something is due for a ready connection without queries, in ms. */
uint64_t standby_due(const struct conn *);

/* Does what is due: the connection may be closed by it. */
void standby_on_due(struct conn *);

/* A query was given to an upstream: the others get ready, too. */
void standby_wake(struct pool *);

/* How long it will be kept warm if no query comes; 0 if it is not. */
uint64_t standby_left(const struct upstream *);

/*
 * Makes the TLS session of the next connection, which takes most of a
 * millisecond, while an upstream has no connection and nobody asks.
 */
void standby_prepare(struct upstream *);

/* Forgets that session: it was made with settings of before. */
void standby_unprepare(struct upstream *);

/* The session for a connection; returns 0, or -1 with *err. */
int standby_take_session(
    struct upstream *, struct session *, struct session_error *err);

/* Dials, if there should be a connection for the next query and is none. */
void standby_keep(struct upstream *);

/*
 * A connection was closed by the upstream while queries were under way on it:
 * if they were the first after a pause, it was idle to the upstream.
 */
void standby_overtaken(const struct conn *);

/* An idle connection was closed by the upstream. */
void standby_closed(struct upstream *, const struct conn *);

#endif
