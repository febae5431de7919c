/* SPDX-License-Identifier: ISC */
/*
 * What of a query an upstream gets to see otherwise than the client sent it, as
 * its configuration says, and how the answer becomes what the client would have
 * got without.  Pure: no sockets, no clock, no allocation.
 */
#ifndef POOL_EDIT_H
#define POOL_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"

/* Queries are padded to multiples of it: RFC 8467 4.1. */
#define EDIT_BLOCK 128u
/* No query gets longer by more: OPT, three options, and a block. */
#define EDIT_GROWTH_MAX 256u

/* What was put into a query, and is not for the client to see. */
enum edit_put {
	EDIT_OPT = 1, /* the record, with all that is in it */
	EDIT_PADDING = 2,
	EDIT_KEEPALIVE = 4,
	EDIT_ECS = 8
};

/* True if there is anything to do. */
static inline bool
edit_wanted(const struct conf_edit *conf)
{
	return conf->padding | conf->keepalive | conf->strip_ecs;
}

/*
 * Edits a query in place; there is room for EDIT_GROWTH_MAX more bytes, unless
 * that were more than DNS_MSG_MAX.  *put is what edit_answer() will be told.
 * Returns the length, which is len if it was left alone.
 */
size_t edit_query(
    const struct conf_edit *, uint8_t *msg, size_t len, uint8_t *put);

/*
 * Takes out of an answer, in place, what answers only what edit_query() put
 * into the query.  Returns the length, which is at most len.
 */
size_t edit_answer(uint8_t put, uint8_t *msg, size_t len);

#endif
