/* SPDX-License-Identifier: ISC */
/* Confinement: what each process may still do once it has started. */
#ifndef DOTPROXY_SANDBOX_H
#define DOTPROXY_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

/* The empty, root-owned directory the children change their root to. */
#ifndef SANDBOX_EMPTY_DIR
#define SANDBOX_EMPTY_DIR "/run/dotproxy/empty"
#endif

enum sandbox_role {
	SANDBOX_PARENT,
	SANDBOX_LISTENER,
	SANDBOX_POOL,
	SANDBOX_READER, /* of "dotproxyctl exporter": asks the daemon */
	SANDBOX_SERVER, /* of the same: speaks HTTP */
};

struct sandbox_opts {
	uint32_t uid; /* to become, with gid */
	uint32_t gid;
	uint32_t nofile; /* RLIMIT_NOFILE */
	bool confine;    /* we are root: change user and root directory */
	bool filtered;   /* parent: its filter of system calls is in force */
	bool low_ports;  /* parent: there are ports below 1024 to bind */
	int readable;    /* reader: the directory below which it may read */
};

/*
 * Makes SANDBOX_EMPTY_DIR if it is missing; exits if it is not an empty
 * directory that only root can change.  For the parent, as root.
 */
void sandbox_make_empty_dir(void);

/*
 * A number for the parent's filter of system calls: another one, whatever is
 * changed in its list.  A filter stays over an execve(2), and others are added
 * to it; so a program that would add the same knows by this that it need not.
 */
uint64_t sandbox_filter_name(bool confine);

/*
 * Enters the confinement of a role, for good.  Everything that libraries do
 * lazily must have been done.  Exits with the reason if a layer that the
 * kernel offers cannot be entered.  Returns the layers that are not on offer:
 * bits of enum info_layer.
 */
uint32_t sandbox_enter(enum sandbox_role, const struct sandbox_opts *);

#endif
