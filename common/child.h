/* SPDX-License-Identifier: ISC */
/* How both children start: the channel to the parent, log, set-up message. */
#ifndef COMMON_CHILD_H
#define COMMON_CHILD_H

#include "common/imsg.h"
#include "common/msg.h"

/*
 * First thing in a child's main(): opens the channel on MSG_PARENT_FD, sends
 * the log there, sets signal dispositions (SIGPIPE and SIGHUP ignored, the
 * parent alone is spoken to by signals), and blocks until the parent's
 * MSG_PX_SETUP has come, which it returns.  No other message is read.  Exits
 * if anything is wrong.  opts->phase and rules are for what follows; the
 * channel is not attached to an event loop yet.
 */
void child_start(struct imsg_chan *parent, const struct imsg_chan_opts *opts,
    struct msg_setup *setup);

/* An imsg_on_down for the channel to the parent: there is no life without. */
void child_parent_down(void *arg, enum imsg_status, const char *why);

#endif
