/* SPDX-License-Identifier: ISC */
/*
 * How many descriptors there may be: of the parent, and of each child, which
 * lowers its own limit to what it is told and can not raise it again.  Runs in
 * the parent; it is raised before the capability for that is given up.  Must
 * never ask a child for more than there is: it would not start.
 */
#include "dotproxy/parent/parent.h"

#include <sys/resource.h>

#include "common/log.h"

/* Descriptors of a child beside clients and upstream connections. */
#define RESERVE (64 + 2 * PARENT_SOCKETS_MAX)
/* The most that a listener is ever given. */
#define WISH (RESERVE + 2 * CONF_TCP_MAX)

void
nofile_raise(struct parent *parent)
{
	struct rlimit r, wish = { WISH, WISH };

	if (getrlimit(RLIMIT_NOFILE, &r) == -1)
		fatal("getrlimit");
	/* Takes a capability, and more than fs.nr_open nobody gets. */
	if (r.rlim_max < WISH && setrlimit(RLIMIT_NOFILE, &wish) == 0)
		r.rlim_max = WISH;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) == -1)
		fatal("setrlimit");
	parent->nofile_max = r.rlim_max < WISH ? (uint32_t)r.rlim_max : WISH;
}

uint32_t
nofile_of_child(const struct child *c)
{
	const struct conf *conf = c->parent->active.conf;
	uint32_t n = RESERVE, i;

	/*
	 * Twice, so that a reload can raise a limit or two: a child can not.
	 * Connections to an upstream overlap in a reload, too.
	 */
	if (c->role == ROLE_LISTENER)
		n += 2 * conf->client.max_tcp;
	else /* each transfer has a connection of its own */
		n += 2 * conf->client.max_transfers;
	for (i = 0; c->role == ROLE_POOL && i < conf->nupstreams; i++)
		n += 4 * conf->upstreams[i].pool_size;
	return n < c->parent->nofile_max ? n : c->parent->nofile_max;
}

uint32_t
nofile_clients(const struct child *listener, uint32_t wanted)
{
	uint32_t room =
	    listener->nofile > RESERVE + 1 ? listener->nofile - RESERVE : 1;

	if (room >= wanted)
		return wanted;
	log_warnx("max tcp connections: %u, but %s has descriptors for %u, %s",
	    wanted, listener->name, room,
	    listener->nofile == listener->parent->nofile_max
		? "for want of a higher limit of open files (RLIMIT_NOFILE)"
		: "until it is started again");
	return room;
}
