/* SPDX-License-Identifier: ISC */
/* What far.c (upstreams) and far_conn.c (their connections) share. */
#ifndef TESTS_REPLAY_FAR_H
#define TESTS_REPLAY_FAR_H

#include "tests/replay/vtls.h"
#include "tests/replay/world.h"

/* --- far.c --- */

/* A query has come over a connection. */
void far_take_query(
    struct world *, struct far_conn *, const uint8_t *wire, size_t len);
void far_query_free(struct world *, struct far_query *);

/* --- far_conn.c --- */

/* A connection that is being made; *fd is the pool's end. */
struct far_conn *far_conn_new(struct far *, int *fd);
/* Sends a record. */
void far_conn_record(
    struct far_conn *, enum vtls_record, const void *, size_t len);
/* Ends it, in order or not, and forgets its queries. */
void far_conn_end(struct world *, struct far_conn *, bool reset);
bool far_conn_turn(struct world *, struct far_conn *);
/* When something is due. */
uint64_t far_conn_next(const struct far_conn *);

#endif
