/* SPDX-License-Identifier: ISC */
/* The layers of the children's confinement that are not a policy. */
#ifndef DOTPROXY_SANDBOX_LAYERS_H
#define DOTPROXY_SANDBOX_LAYERS_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#define LAYER_NAMESPACE_FLAGS \
	(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS)

#define LAYER_USER_FLAGS (LAYER_NAMESPACE_FLAGS | CLONE_NEWUSER)

/*
 * Each enters its layer and returns true, or returns false if the kernel or
 * the container does not offer it, or exits with the reason.
 */

/*
 * Network, IPC, UTS and mount namespaces of our own, with nothing in them; in
 * a user namespace of our own if we are not root.
 */
bool layer_namespaces(bool user);

/*
 * For one who is not root, in a user namespace: an empty root directory that
 * has been removed already, so that nothing can be made in it.
 */
void layer_vanished_root(void);

/*
 * No file system, no TCP bind or connect, no signals to others (Landlock).
 * Files below the directory readable may be read, if it is not -1.
 */
bool layer_landlock(int readable);

/*
 * Ends the process if it has more than these capabilities, in any set, or could
 * get them by a program, if the bounding set is to be looked at: libcap-ng does
 * not say so if the kernel refused to take one away.
 */
void layer_check_capabilities(uint64_t may_have, bool bounding);

/* Memory is never made executable (PR_SET_MDWE). */
bool layer_mdwe(void);

#endif
