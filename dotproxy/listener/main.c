/* SPDX-License-Identifier: ISC */
/*
 * dotproxy-listener: plaintext DNS with the clients.  Started by the parent,
 * with nothing but the channel to it; everything else comes through that.
 * Confined before the first byte from outside is read.  It must never open
 * anything itself: it cannot.
 */
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/child.h"
#include "common/log.h"
#include "common/loop.h"
#include "dotproxy/listener/listener.h"
#include "dotproxy/sandbox.h"

int
main(void)
{
	struct event_base *base;
	struct listener *l;
	struct msg_setup setup;
	struct sandbox_opts opts;
	uint32_t absent;

	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return MSG_EXIT_EARLY;
	child_start(&l->parent, listener_parent_opts(), &setup);
	base = loop_new();
	if (base == NULL)
		fatalx("no event loop");
	opts.uid = setup.uid;
	opts.gid = setup.gid;
	opts.nofile = setup.nofile;
	opts.confine = setup.confine;
	absent = sandbox_enter(SANDBOX_LISTENER, &opts);

	listener_init(l, base);
	if (!msg_send_ready(&l->parent, absent))
		fatalx("channel to the parent is full");
	/* The parent's end of the channel ends us: see child_parent_down(). */
	while (listener_turn_end(l))
		if (event_base_loop(base, EVLOOP_ONCE) == -1)
			fatalx("event loop failed");
	_exit(0); /* no exit handlers: see fatal() */
}
