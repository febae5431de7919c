/* SPDX-License-Identifier: ISC */
/*
 * The pool's pool.c and query.c, and what replay has around them, as they are
 * but for the sizes of tables and buffers: small, so that they are full now and
 * then, and so that a pool takes no time to make.  Each channel still takes its
 * longest message.
 */
#include "common/conf.h"
#include "common/msg.h"
#include "dotproxy/pool/query.h"

#undef CONF_INFLIGHT_MAX
#define CONF_INFLIGHT_MAX 64u
#undef MSG_PARENT_BUF
#define MSG_PARENT_BUF (16 * 1024)
#undef MSG_LINK_BUF
#define MSG_LINK_BUF (96 * 1024)
#undef QUERY_LONG_BYTES
#define QUERY_LONG_BYTES (192 * 1024)

#include "dotproxy/pool/query.c"

#include "dotproxy/pool/pool.c"

#include "tests/replay/pool_side.c"
