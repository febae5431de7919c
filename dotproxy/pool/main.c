/* SPDX-License-Identifier: ISC */
/*
 * dotproxy-pool: started by the parent, keeps the connections to upstreams.
 * Everything that needs the file system happens before sandbox_enter(); no
 * byte from an upstream or the listener is read before it.
 */
#include <stdlib.h>

#include <openssl/crypto.h>

#include "common/child.h"
#include "common/log.h"
#include "common/loop.h"
#include "dotproxy/pool/pool.h"
#include "dotproxy/sandbox.h"

/*
 * OpenSSL that once got no memory may take an algorithm for not there for as
 * long as it runs, and no handshake succeeds any more: better to start anew.
 */
static void *
or_exit(void *p, size_t n)
{
	if (p == NULL && n > 0)
		fatalx("out of memory for TLS");
	return p;
}

static void *
tls_malloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return or_exit(malloc(n), n);
}

static void *
tls_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return or_exit(realloc(p, n), n);
}

static void
tls_freed(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

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
		return MSG_EXIT_EARLY;
	child_start(&pool->parent, &opts, &setup);
	if (CRYPTO_set_mem_functions(tls_malloc, tls_realloc, tls_freed) != 1)
		fatalx("memory of the TLS library");
	base = loop_new();
	if (base == NULL)
		fatalx("no event loop");
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
