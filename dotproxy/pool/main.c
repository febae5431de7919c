/* SPDX-License-Identifier: ISC */
/*
 * dotproxy-pool: started by the parent, keeps the connections to upstreams.
 * Everything that needs the file system happens before sandbox_enter(); no
 * byte from an upstream or the listener is read before it.
 */
#include <stdlib.h>

#include "common/child.h"
#include "common/log.h"
#include "dotproxy/pool/pool.h"
#include "dotproxy/sandbox.h"

int
main(void)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	const struct imsg_chan_opts opts = {
		.rules = pool_parent_rules,
		.in_cap = MSG_PARENT_BUF,
		.out_cap = MSG_PARENT_BUF,
		.phase = POOL_PHASE_IDLE,
		.fdpass = true,
		.arg = pool,
		.on_down = child_parent_down,
	};
	struct sandbox_opts sandbox;
	struct msg_setup setup;
	struct event_base *base;
	uint32_t absent;

	if (pool == NULL)
		fatalx("out of memory");
	child_start(&pool->parent, &opts, &setup);
	base = event_base_new();
	if (base == NULL)
		fatalx("event_base_new failed");
	pool_init(pool, base);
	sandbox.uid = setup.uid;
	sandbox.gid = setup.gid;
	sandbox.nofile = setup.nofile;
	sandbox.confine = setup.confine;
	absent = sandbox_enter(SANDBOX_POOL, &sandbox);
	if (imsg_attach(&pool->parent, base) == -1 ||
	    !msg_send_ready(&pool->parent, absent))
		fatalx("channel to the parent");
	pool_turn_end(pool);
	for (;;) {
		if (event_base_loop(base, EVLOOP_ONCE) == -1)
			fatal("event loop");
		pool_turn_end(pool);
	}
}
