/* SPDX-License-Identifier: ISC */
/*
 * Each way in which a daemon can be less confined than promised: the nth
 * changes one fact, and names the layer and the finding that it must give.
 * False when there are no more.
 */
#ifndef TESTS_CTL_WEAKEN_H
#define TESTS_CTL_WEAKEN_H

#include "tests/unit/ctl_data.h"

#define WEAK(layer, message)                        \
	do {                                        \
		*what = (layer), *text = (message); \
		return true;                        \
	} while (0)

static inline bool
weaken_privileges(struct data *d, int n, const char **what, const char **text)
{
	struct proc_facts *f = &d->facts[ROLE_POOL];
	size_t i;

	switch (n) {
	case 0:
		for (i = 0; i < 4; i++)
			f->uid[i] = 0;
		WEAK("user", "runs as root: uid 0 0 0 0");
	case 1:
		f->uid[2] = 0;
		WEAK("user", "runs as root: uid 970 970 0 970");
	case 2:
		f->uid[3] = 971;
		WEAK("user",
		    "does not run as one user only: uid 970 970 970 971");
	case 3:
		f->gid[0] = 0;
		WEAK("user", "runs as root: gid 0 970 970 970");
	case 4:
		f->ngroups = 2;
		f->groups[0] = 970;
		WEAK("user", "has 2 supplementary groups");
	case 5:
		f->caps[CAPS_BOUNDING] = 0x400;
		WEAK("capabilities",
		    "capability bounding set is not empty: 0000000000000400");
	case 6:
		f->caps[CAPS_EFFECTIVE] = 1;
		WEAK("capabilities",
		    "capability effective set is not empty: 0000000000000001");
	case 7:
		f->caps[CAPS_PERMITTED] = 0x200000;
		WEAK("capabilities",
		    "capability permitted set is not empty: 0000000000200000");
	case 8:
		f->caps[CAPS_INHERITABLE] = 2;
		WEAK("capabilities", "capability inheritable set is not empty: "
				     "0000000000000002");
	case 9:
		f->caps[CAPS_AMBIENT] = UINT64_MAX - 1;
		WEAK("capabilities",
		    "capability ambient set is not empty: fffffffffffffffe");
	case 10:
		f->no_new_privs = 0;
		WEAK("no new privileges",
		    "may gain privileges by executing a program");
	case 11:
		f->seccomp = f->filters = 0;
		WEAK("system calls", "system calls are not filtered");
	case 12:
		f->filters = 1;
		WEAK(
		    "system calls", "system call filter of its own is missing");
	case 13:
		f->owner = 970;
		WEAK("dumpable",
		    "its memory is open to its user: it is dumpable");
	default:
		return false;
	}
}

static inline bool
weaken_surroundings(struct data *d, int n, const char **what, const char **text)
{
	struct proc_facts *f = &d->facts[ROLE_POOL];
	const struct proc_facts *parent = &d->facts[ROLE_PARENT];
	size_t i;

	switch (n) {
	case 0:
		f->root_ino = parent->root_ino;
		f->root_empty = false;
		WEAK("root directory",
		    "root directory is the same as the parent's");
	case 1:
		f->root_empty = false;
		WEAK("root directory",
		    "root directory is not empty: /run/dotproxy/empty");
	case 2:
		f->root_uid = 970;
		WEAK("root directory",
		    "root directory is not only root's: /run/dotproxy/empty");
	case 3:
		f->root_mode = 0775;
		WEAK("root directory",
		    "root directory is not only root's: /run/dotproxy/empty");
	case 4:
		f->ns[NS_NET] = parent->ns[NS_NET];
		WEAK(
		    "namespaces", "namespaces are shared with the parent: net");
	case 5:
		for (i = 0; i < NS_COUNT; i++)
			f->ns[i] = parent->ns[i];
		d->processes[ROLE_POOL].absent = 1u << LAYER_NAMESPACES;
		WEAK("namespaces",
		    "namespaces are shared with the parent: net, ipc, uts, "
		    "mnt");
	case 6:
		d->processes[ROLE_POOL].absent = 1u << LAYER_LANDLOCK;
		WEAK("Landlock",
		    "Landlock is missing, though the kernel offers it");
	case 7:
		d->processes[ROLE_POOL].absent = 1u << LAYER_MDWE;
		WEAK("memory-deny-write-execute",
		    "memory-deny-write-execute is missing, though the kernel "
		    "offers it");
	default:
		return false;
	}
}

static inline bool
weaken_resources(struct data *d, int n, const char **what, const char **text)
{
	struct proc_facts *f = &d->facts[ROLE_POOL];

	switch (n) {
	case 0:
		f->limits[LIMIT_NPROC] = 5;
		WEAK("limits", "limit of processes is not 0: 5");
	case 1:
		f->limits[LIMIT_CORE] = PROC_UNLIMITED;
		WEAK("limits", "no limit of core size");
	case 2:
		f->limits[LIMIT_FSIZE] = 1;
		WEAK("limits", "limit of file size is not 0: 1");
	case 3:
		f->fds[FD_FILE].n = 2;
		(void)strcpy(f->fds[FD_FILE].example, "/etc/passwd");
		WEAK("descriptors",
		    "open descriptors of kind file: 2, such as /etc/passwd");
	case 4:
		f->fds[FD_DIR].n = 1;
		(void)strcpy(f->fds[FD_DIR].example, "/");
		WEAK("descriptors",
		    "open descriptors of kind directory: 1, such as /");
	case 5:
		f->fds[FD_DEVICE].n = 1;
		(void)strcpy(f->fds[FD_DEVICE].example, "/dev/mem");
		WEAK("descriptors",
		    "open descriptors of kind device: 1, such as /dev/mem");
	case 6: /* the pool speaks TLS, over TCP */
		f->fds[FD_UDP].n = 1;
		(void)strcpy(f->fds[FD_UDP].example, "socket:[1]");
		WEAK("descriptors",
		    "open descriptors of kind udp: 1, such as socket:[1]");
	case 7:
		f->fds[FD_SOCKET].n = 1;
		(void)strcpy(f->fds[FD_SOCKET].example, "socket:[1]");
		WEAK("descriptors",
		    "open descriptors of kind other socket: 1, such as "
		    "socket:[1]");
	case 8:
		f->fds[FD_OTHER].n = 1;
		(void)strcpy(f->fds[FD_OTHER].example, "anon_inode:bpf-prog");
		WEAK("descriptors",
		    "open descriptors of kind other: 1, such as "
		    "anon_inode:bpf-prog");
	case 9: /* what it says of itself does not excuse it */
		d->processes[ROLE_POOL].absent = 1u << LAYER_CAPABILITIES |
						 1u << LAYER_USER |
						 1u << LAYER_ROOT_DIR;
		f->root_empty = false;
		WEAK("root directory",
		    "root directory is not empty: /run/dotproxy/empty");
	default:
		return false;
	}
}

static inline bool
weaken_parent(struct data *d, int n, const char **what, const char **text)
{
	struct proc_facts *f = &d->facts[ROLE_PARENT];

	switch (n) {
	case 0:
		f->caps[CAPS_BOUNDING] |= 1;
		WEAK("capabilities",
		    "capability bounding set has more than is needed: "
		    "0000000000000001");
	case 1:
		f->caps[CAPS_EFFECTIVE] = UINT64_C(1) << 40 | 0x400;
		WEAK("capabilities",
		    "capability effective set has more than is needed: "
		    "0000010000000000");
	case 2:
		f->caps[CAPS_AMBIENT] = 0x400;
		WEAK("capabilities",
		    "capability ambient set has more than is needed: "
		    "0000000000000400");
	case 3:
		f->no_new_privs = 0;
		WEAK("no new privileges",
		    "may gain privileges by executing a program");
	case 4:
		f->seccomp = 0;
		WEAK("system calls", "system calls are not filtered");
	case 5:
		f->seccomp = 1;
		WEAK("system calls", "system calls are not filtered");
	default:
		return false;
	}
}

static inline bool
mistake(struct data *d, int n, const char **what, const char **text)
{
	struct proc_facts *f = &d->facts[ROLE_LISTENER];

	switch (n) {
	case 0:
		d->have_process[ROLE_LISTENER] = false;
		WEAK("process", "the daemon does not tell its pid");
	case 1:
		d->processes[ROLE_LISTENER].pid = 0;
		WEAK("process", "is not running");
	case 2:
		d->have_facts[ROLE_LISTENER] = false;
		WEAK("process",
		    "there is no process 1001, or it cannot be read");
	case 3:
		f->have &= ~(1u << PROC_STATUS);
		WEAK("process",
		    "there is no process 1001, or it cannot be read");
	case 4: /* nothing more is said of what is not ours */
		f->ppid = 999;
		f->seccomp = 0;
		WEAK("process", "process 1001 is no child of the parent");
	case 5:
		(void)strcpy(f->exe, "/usr/libexec/dotproxy/dotproxy-pool");
		f->seccomp = 0;
		WEAK("executable", "process 1001 runs the wrong executable: "
				   "/usr/libexec/dotproxy/dotproxy-pool");
	case 6:
		(void)strcpy(f->exe, "/opt/libexec/dotproxy/dotproxy-listener");
		WEAK("executable", "process 1001 runs the wrong executable: "
				   "/opt/libexec/dotproxy/dotproxy-listener");
	case 7:
		(void)strcpy(f->exe, "dotproxy-listener");
		WEAK("executable", "process 1001 runs the wrong executable: "
				   "dotproxy-listener");
	case 8: /* root may read everything: something is wrong */
		f->have &= ~(1u << PROC_FDS | 1u << PROC_NS);
		WEAK("process", "cannot be read: namespaces, descriptors");
	default:
		return false;
	}
}

#endif
