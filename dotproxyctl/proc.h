/* SPDX-License-Identifier: ISC */
/*
 * What the kernel says of a process: facts read from /proc, and nothing
 * concluded from them.  What may not be read, or is not understood, is
 * missing from the set of parts that are there.
 */
#ifndef DOTPROXYCTL_PROC_H
#define DOTPROXYCTL_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_DIR "/proc"
#define PROC_PATH_MAX 512
#define PROC_GROUPS_MAX 8
#define PROC_UNLIMITED UINT64_MAX
#define PROC_UNKNOWN UINT64_MAX

/* Facts that come from one file, and are there together or not at all. */
enum proc_part {
	PROC_STATUS,
	PROC_EXE,
	PROC_ROOT,
	PROC_NS,
	PROC_LIMITS,
	PROC_FDS,
	PROC_CPU,
	PROC_PSS,
	PROC_PART_COUNT
};

enum proc_caps {
	CAPS_INHERITABLE,
	CAPS_PERMITTED,
	CAPS_EFFECTIVE,
	CAPS_BOUNDING,
	CAPS_AMBIENT,
	CAPS_COUNT
};

enum proc_ns { NS_NET, NS_IPC, NS_UTS, NS_MNT, NS_COUNT };

enum proc_limit { LIMIT_NPROC, LIMIT_CORE, LIMIT_FSIZE, LIMIT_COUNT };

enum proc_fd {
	FD_UDP,
	FD_TCP,
	FD_UNIX,
	FD_SOCKET, /* of any other protocol */
	FD_EPOLL,
	FD_PIPE,
	FD_NULL, /* /dev/null as 0, 1 or 2 */
	FD_FILE,
	FD_DIR,
	FD_DEVICE, /* also /dev/null anywhere else */
	FD_OTHER,
	FD_COUNT
};

struct proc_facts {
	uint32_t have; /* bits of enum proc_part */
	/* PROC_STATUS */
	uint32_t ppid;
	uint32_t uid[4]; /* real, effective, saved, file system */
	uint32_t gid[4];
	uint32_t ngroups;
	uint32_t groups[PROC_GROUPS_MAX]; /* the first of them */
	uint64_t caps[CAPS_COUNT];
	uint64_t no_new_privs;
	uint64_t seccomp; /* 2: a filter */
	uint64_t filters; /* PROC_UNKNOWN before Linux 5.9 */
	uint64_t rss_kb;
	uint32_t owner; /* of its files in /proc: root if not dumpable */
	/* PROC_EXE */
	char exe[PROC_PATH_MAX];
	bool exe_deleted; /* the file is gone, or has been replaced */
	/* PROC_ROOT */
	char root[PROC_PATH_MAX]; /* its name, as far as we can tell */
	dev_t root_dev;
	ino_t root_ino;
	uint32_t root_uid;
	uint32_t root_mode; /* permission bits */
	bool root_empty;
	/* PROC_NS */
	uint64_t ns[NS_COUNT];
	/* PROC_LIMITS: hard limits */
	uint64_t limits[LIMIT_COUNT];
	/* PROC_FDS */
	struct {
		uint32_t n;
		char example[PROC_PATH_MAX]; /* one of them */
	} fds[FD_COUNT];
	/* PROC_CPU, PROC_PSS */
	uint64_t cpu_ms;
	uint64_t pss_kb;
};

/* What we ourselves are told and allowed. */
struct proc_kernel {
	bool root;             /* we may read everything */
	uint32_t landlock_abi; /* 0: not on offer */
	bool mdwe;             /* on offer */
};

static inline bool
proc_has(const struct proc_facts *f, enum proc_part part)
{
	return (f->have & 1u << part) != 0;
}

/*
 * Reads what there is of a process; dir is PROC_DIR, but for tests.  Returns
 * 0, or -1 if there is no such process: nothing is there then.
 */
int proc_read(const char *dir, uint32_t pid, struct proc_facts *);

#define PROC_USAGE (1u << PROC_STATUS | 1u << PROC_CPU)

/* The same, of some parts only: bits of enum proc_part. */
int proc_read_parts(
    const char *dir, uint32_t pid, uint32_t parts, struct proc_facts *);

/* Asks the running kernel, changing nothing. */
void proc_ask_kernel(struct proc_kernel *);

const char *proc_caps_name(enum proc_caps);   /* "bounding" */
const char *proc_ns_name(enum proc_ns);       /* "net" */
const char *proc_limit_name(enum proc_limit); /* "processes" */
const char *proc_fd_name(enum proc_fd);       /* "udp" */

#endif
