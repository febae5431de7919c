/* SPDX-License-Identifier: ISC */
/*
 * What each process may still do once it has started.  The policies stand side
 * by side below, each system call with its reason.  All of it is in place
 * before the first byte from outside is read, and a step that fails ends the
 * process: there is no running without.
 */
#include "dotproxy/sandbox.h"

#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"
#include "common/msg.h"
#include "dotproxy/sandbox_layers.h"

#define NR(name) SCMP_SYS(name)
/* Machines younger than x86 have the later variant only. */
#ifdef __NR_unlink
#define NR_OR(name, later) SCMP_SYS(name)
#else
#define NR_OR(name, later) SCMP_SYS(later)
#endif
#define ARGS_MAX 2
#define NEW_NAMESPACES                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | \
	    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* A system call a process may make, if the conditions on arguments hold. */
struct allowance {
	int nr;
	unsigned int nargs;
	struct scmp_arg_cmp args[ARGS_MAX];
};

/* Memory may be mapped, but never executable. */
#define NO_EXEC                                             \
	1,                                                  \
	{                                                   \
		{                                           \
			2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0 \
		}                                           \
	}

/* What both children need to live: memory, time, the loop, their channels. */
static const struct allowance policy_common[] = {
	{ .nr = NR(epoll_wait) },  /* the event loop */
	{ .nr = NR(epoll_pwait) }, /* the same, on other machines */
	{ .nr = NR(epoll_ctl) },   /* events come and go */
	{ .nr = NR(recvmsg) },     /* messages with descriptors */
	{ .nr = NR(recvfrom) },    /* recv(): the link, TCP */
	{ .nr = NR(sendto),        /* send(): never to an address */
	    1,
	    { { 4, SCMP_CMP_EQ, 0, 0 } } },
	{ .nr = NR(close) },           /* connections end */
	{ .nr = NR(brk) },             /* malloc */
	{ .nr = NR(mmap), NO_EXEC },   /* malloc of large blocks */
	{ .nr = NR(mremap) },          /* realloc of large blocks */
	{ .nr = NR(munmap) },          /* free of large blocks */
	{ .nr = NR(madvise) },         /* free gives memory back */
	{ .nr = NR(clock_gettime) },   /* where the vDSO has no clock */
	{ .nr = NR(gettimeofday) },    /* the same */
	{ .nr = NR(getrandom) },       /* IDs; OpenSSL reseeds hourly */
	{ .nr = NR(rt_sigreturn) },    /* return from a signal handler */
	{ .nr = NR(rt_sigprocmask) },  /* abort() */
	{ .nr = NR(restart_syscall) }, /* after SIGSTOP and SIGCONT */
	{ .nr = NR(getpid) },          /* abort(); OpenSSL's fork check */
	{ .nr = NR(gettid) },          /* abort(); see allow_abort() */
	{ .nr = NR(exit_group) },      /* the end */
#ifdef SANITIZER /* test builds only: what the run-time library does */
	{ .nr = NR(write) },
	{ .nr = NR(sigaltstack) },
	{ .nr = NR(futex) },
	{ .nr = NR(sched_yield) },
	{ .nr = NR_OR(readlink, readlinkat) },
	{ .nr = NR(openat) },
	{ .nr = NR(newfstatat) },
	{ .nr = NR(rt_sigaction) },
	{ .nr = NR(getrusage) },
	{ .nr = NR(mprotect) },
#endif
};

/*
 * Two that neither child may have.  shutdown() would make a listening socket
 * deaf that the parent holds, too, for good.  It, or a refusal, also makes a
 * TCP socket on its way to an upstream a new one, and a send with MSG_FASTOPEN
 * and an address, which sendmsg() has, is a connect().
 */
static const struct allowance policy_listener[] = {
	{ .nr = NR(recvmmsg) }, /* queries over UDP */
	/* Their answers. */
	{ NR(sendmmsg), 1, { { 3, SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0 } } },
	{ .nr = NR(accept4) }, /* TCP and control clients */
	{ .nr = NR(read) },    /* the link: as recvfrom() */
	{ .nr = NR(write) },   /* and sendto() without an address */
};

static const struct allowance policy_pool[] = {
	{ .nr = NR(read) },       /* the link; a CA file handed over */
	{ .nr = NR(write) },      /* the link */
	{ .nr = NR(newfstatat) }, /* its size */
	{ .nr = NR(fstat) },      /* the same, on other machines */
	{ .nr = NR(futex) },      /* OpenSSL's locks */
	/* Answers that are awaited are acknowledged at once. */
	{ NR(setsockopt), 2,
	    { { 1, SCMP_CMP_EQ, IPPROTO_TCP, 0 },
		{ 2, SCMP_CMP_EQ, TCP_QUICKACK, 0 } } },
};

/*
 * The parent, and a child until it has entered its own policy: filters are
 * inherited, and add up.  What is not here does not exist (ENOSYS): no mount,
 * no other namespace, no ptrace, bpf, or kernel module, whatever capability
 * there may be.
 */
static const struct allowance policy_parent[] = {
	/* Sockets for clients and to upstreams; the control socket; syslog. */
	{ NR(socket), 1, { { 0, SCMP_CMP_EQ, AF_INET, 0 } } },
	{ NR(socket), 1, { { 0, SCMP_CMP_EQ, AF_INET6, 0 } } },
	{ NR(socket), 1, { { 0, SCMP_CMP_EQ, AF_UNIX, 0 } } },
	{ .nr = NR(bind) },
	{ .nr = NR(listen) },
	{ .nr = NR(connect) },
	{ .nr = NR(setsockopt) },
	{ .nr = NR(getsockopt) },  /* after a restart: which they are */
	{ .nr = NR(getsockname) }, /* the same */
	{ .nr = NR(socketpair) },  /* channels */
	{ .nr = NR(sendto) },
	{ .nr = NR(sendmsg) }, /* messages with descriptors */
	{ .nr = NR(pipe2) },   /* links */
	{ .nr = NR(fcntl) },   /* their size; a descriptor to send twice */
	{ .nr = NR_OR(unlink, unlinkat) }, /* the control socket's name */
	{ .nr = NR(umask) },               /* the control socket's mode */
	{ .nr = NR_OR(mkdir, mkdirat) },   /* its directory */
	/* The interface of an address with %scope. */
	{ NR(ioctl), 1, { { 1, SCMP_CMP_EQ, SIOCGIFINDEX, 0 } } },
	/* Reading the configuration again, handing over CA files. */
	{ .nr = NR(openat) },
	{ .nr = NR(read) },
	{ .nr = NR(pread64) },
	{ .nr = NR(lseek) },
	{ .nr = NR(newfstatat) },
	{ .nr = NR(fstat) },
	/* A restart's own name. */
	{ .nr = NR_OR(readlink, readlinkat) },
	{ .nr = NR(getdents64) }, /* the children's root, empty still? */
	{ .nr = NR(write) },      /* the log */
	/* Children: made, ended, collected. */
	{ NR(clone), 1, { { 0, SCMP_CMP_MASKED_EQ, NEW_NAMESPACES, 0 } } },
	{ .nr = NR(execve) },
	{ .nr = NR(kill) },
	{ .nr = NR(tgkill) }, /* abort() */
	{ .nr = NR(wait4) },
	{ .nr = NR(clock_nanosleep) },
	/* A new program: the dynamic linker and the C library. */
	{ .nr = NR_OR(access, faccessat) },
	{ .nr = NR(arch_prctl) },
	{ .nr = NR(mmap) },
	{ .nr = NR(mprotect) },
	{ .nr = NR(set_tid_address) },
	{ .nr = NR(set_robust_list) },
	{ .nr = NR(rseq) },
	{ .nr = NR(uname) },
	{ .nr = NR(futex) },
	{ .nr = NR(sysinfo) },
	{ .nr = NR(rt_sigaction) },
	{ .nr = NR_OR(poll, ppoll) },
	{ .nr = NR(epoll_create1) },
	{ .nr = NR(dup2) },
	{ .nr = NR(dup3) },
	{ .nr = NR(close_range) },
	{ .nr = NR(exit) },
	/* A child's way into its own confinement. */
	{ .nr = NR(prlimit64) },
	{ NR(unshare), 1, { { 0, SCMP_CMP_EQ, LAYER_NAMESPACE_FLAGS, 0 } } },
	{ .nr = NR(chroot) },
	{ .nr = NR(chdir) },
	{ .nr = NR(capget) },
	{ .nr = NR(capset) },
	{ .nr = NR(prctl) },
	{ .nr = NR(setgroups) },
	{ .nr = NR(setresgid) },
	{ .nr = NR(setresuid) },
	{ .nr = NR(setuid) }, /* to see it fail */
	{ .nr = NR(getresuid) },
	{ .nr = NR(getuid) },
	{ .nr = NR(geteuid) },
	{ .nr = NR(getgid) },
	{ .nr = NR(getegid) },
	{ .nr = NR(statfs) }, /* libcap-ng looks for /proc */
	{ .nr = NR(fstatfs) },
	{ .nr = NR(landlock_create_ruleset) },
	{ .nr = NR(landlock_restrict_self) },
	{ .nr = NR(seccomp) },
};

/* The same for one who was not started as root: a user namespace instead. */
static const struct allowance policy_user[] = {
	{ NR(unshare), 1, { { 0, SCMP_CMP_EQ, LAYER_USER_FLAGS, 0 } } },
	/* The empty root, once it is entered. */
	{ .nr = NR_OR(rmdir, unlinkat) },
};

/*
 * The exporter's half that asks the daemon.  Its user may connect to the
 * control socket, which is why it is root's; there is nothing else it can do
 * with that.
 */
static const struct allowance policy_reader[] = {
	/* The control socket. */
	{ NR(socket), 1, { { 0, SCMP_CMP_EQ, AF_UNIX, 0 } } },
	{ .nr = NR(connect) },
	{ .nr = NR_OR(poll, ppoll) }, /* for its answer, and for the server */
	/* /proc/PID: what the daemon's processes use; Landlock says where. */
	{ NR(openat), 1,
	    { { 2, SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, 0 } } },
	{ .nr = NR(read) }, { .nr = NR(newfstatat) }, { .nr = NR(fstat) },
	{ .nr = NR(write) }, /* the log */
	{ .nr = NR(wait4) }, /* why the server ended */
};

/* The half that speaks HTTP. */
static const struct allowance policy_server[] = {
	{ .nr = NR(accept4) },
	{ .nr = NR(shutdown) }, /* the answer is whole, also if nobody asked */
};

/* Capabilities the parent keeps: what respawn and reload need. */
static const struct {
	unsigned int cap;
	bool low_ports; /* only if the configuration has such a port */
} parent_caps[] = {
	{ CAP_NET_BIND_SERVICE, true }, /* a line that is new in a reload */
	{ CAP_SETUID, false },          /* the children's change of user */
	{ CAP_SETGID, false },          /* and group */
	{ CAP_SETPCAP, false },         /* their emptying of the bounding set */
	{ CAP_SYS_CHROOT, false },      /* their change of root */
	{ CAP_KILL, false },            /* ending one that misbehaves */
	{ CAP_SYS_ADMIN, false }, /* their namespaces; see policy_parent */
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* True if a directory exists that is empty, root's, and only root's. */
static bool
is_safe_empty_dir(const char *path)
{
	struct dirent *entry;
	struct stat st;
	bool empty = true;
	DIR *dir;

	if (lstat(path, &st) == -1 || !S_ISDIR(st.st_mode) || st.st_uid != 0 ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return false;
	dir = opendir(path);
	if (dir == NULL)
		return false;
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			empty = false;
	closedir(dir);
	return empty;
}

void
sandbox_make_empty_dir(void)
{
	char path[] = SANDBOX_EMPTY_DIR;
	char *slash = strrchr(path, '/');

	*slash = '\0';
	if (mkdir(path, 0755) == -1 && errno != EEXIST)
		fatal("cannot make the directory %s%s", path,
		    errno == EROFS ? ", mount a tmpfs at /run" : "");
	*slash = '/';
	if (mkdir(path, 0755) == -1 && errno != EEXIST)
		fatal("cannot make the directory %s", path);
	if (!is_safe_empty_dir(path))
		fatalx("%s: must be an empty directory that only root can "
		       "write to: remove it, the next start makes it anew",
		    path);
}

static void
limit(int resource, rlim_t value)
{
	struct rlimit r = { value, value };

	if (setrlimit((__rlimit_resource_t)resource, &r) == -1)
		fatal("setrlimit");
}

/* No privileges: another user, another root, no capabilities at all. */
static void
drop_privileges(const struct sandbox_opts *o)
{
	uid_t ruid, euid, suid;

	if (chroot(SANDBOX_EMPTY_DIR) == -1 || chdir("/") == -1)
		fatal("chroot %s", SANDBOX_EMPTY_DIR);
	capng_clear(CAPNG_SELECT_ALL);
	/*
	 * All in one go: afterwards there is no capability left to empty the
	 * bounding set with.
	 */
	if (capng_change_id((int)o->uid, (int)o->gid,
		CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING |
		    CAPNG_CLEAR_AMBIENT) != 0)
		fatalx("cannot give up privileges");
	if (getresuid(&ruid, &euid, &suid) == -1 || ruid != o->uid ||
	    euid != o->uid || suid != o->uid || setuid(0) == 0)
		fatalx("privileges were not given up");
	layer_check_capabilities(0, true);
}

static void
add_rules(scmp_filter_ctx ctx, const struct allowance *rules, size_t n)
{
	size_t i;
	int rc;

	for (i = 0; i < n; i++) {
		rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rules[i].nr,
		    rules[i].nargs, rules[i].args);
		if (rc != 0)
			fatalx("seccomp: rule %zu: %s", i, strerror(-rc));
	}
}

/* A child may end itself by abort(), and send no other signal to anybody. */
static void
allow_abort(scmp_filter_ctx ctx)
{
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, NR(tgkill), 2,
	    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0),
	    SCMP_A2(SCMP_CMP_EQ, SIGABRT, 0));

	if (rc != 0)
		fatalx("seccomp: tgkill: %s", strerror(-rc));
}

/* FNV-1a over what makes a filter; there is no padding that varies. */
static uint64_t
hash_rules(uint64_t hash, const struct allowance *rules, size_t n)
{
	const unsigned char *p = (const unsigned char *)rules;
	size_t i;

	for (i = 0; i < n * sizeof(*rules); i++)
		hash = (hash ^ p[i]) * 0x100000001b3ULL;
	return hash;
}

uint64_t
sandbox_filter_name(bool confine)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	hash = hash_rules(hash, policy_common, COUNT(policy_common));
	hash = hash_rules(hash, policy_parent, COUNT(policy_parent));
	if (!confine)
		hash = hash_rules(hash, policy_user, COUNT(policy_user));
	hash = hash_rules(hash, policy_listener, COUNT(policy_listener));
	return hash_rules(hash, policy_pool, COUNT(policy_pool));
}

static void
filter_system_calls(enum sandbox_role role, bool user_namespace)
{
	static const struct {
		const struct allowance *rules;
		size_t n;
	} own[] = {
		[SANDBOX_LISTENER] = { policy_listener,
		    COUNT(policy_listener) },
		[SANDBOX_POOL] = { policy_pool, COUNT(policy_pool) },
		[SANDBOX_READER] = { policy_reader, COUNT(policy_reader) },
		[SANDBOX_SERVER] = { policy_server, COUNT(policy_server) },
	};
	scmp_filter_ctx ctx;
	int rc;

	ctx = seccomp_init(role == SANDBOX_PARENT ? SCMP_ACT_ERRNO(ENOSYS)
						  : SCMP_ACT_KILL_PROCESS);
	if (ctx == NULL)
		fatalx("seccomp: out of memory");
	add_rules(ctx, policy_common, COUNT(policy_common));
	if (role == SANDBOX_PARENT) {
		/* Whatever a child will be allowed has to be here, too. */
		add_rules(ctx, policy_parent, COUNT(policy_parent));
		if (user_namespace)
			add_rules(ctx, policy_user, COUNT(policy_user));
		add_rules(ctx, policy_listener, COUNT(policy_listener));
		add_rules(ctx, policy_pool, COUNT(policy_pool));
	} else {
		allow_abort(ctx);
		add_rules(ctx, own[role].rules, own[role].n);
	}
	rc = seccomp_load(ctx);
	if (rc != 0)
		fatalx("seccomp: %s", strerror(-rc));
	seccomp_release(ctx);
}

/* The layers that a child has but we can do without: what is missing. */
static uint32_t
enter_optional_layers(void)
{
	uint32_t absent = 0;

	if (!layer_landlock(-1))
		absent |= 1u << LAYER_LANDLOCK;
	if (!layer_mdwe())
		absent |= 1u << LAYER_MDWE;
	return absent;
}

/*
 * Not started as root: the user stays the same.  In a user namespace of our
 * own there are the privileges to change the root directory, and to give up
 * all others.  Returns the layers that are missing.
 */
static uint32_t
enter_as_user(bool in_namespace)
{
	if (!in_namespace)
		return 1u << LAYER_USER | 1u << LAYER_ROOT_DIR |
		       1u << LAYER_CAPABILITIES;
	layer_vanished_root();
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_ALL) != 0)
		fatalx("cannot give up capabilities");
	layer_check_capabilities(0, true);
	return 1u << LAYER_USER;
}

static uint32_t
enter_child(enum sandbox_role role, const struct sandbox_opts *o)
{
	uint32_t absent = 0;

	limit(RLIMIT_NOFILE, o->nofile);
	limit(RLIMIT_CORE, 0);
#ifndef SANITIZER /* whose reports may go to a file */
	limit(RLIMIT_FSIZE, 0);
#endif
	if (!layer_namespaces(!o->confine))
		absent |= 1u << LAYER_NAMESPACES;
	if (o->confine) {
		drop_privileges(o);
		limit(RLIMIT_NPROC, 0);
	} else
		absent |= enter_as_user(absent == 0);
	/* The change of user has cleared it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 ||
	    prctl(PR_SET_DUMPABLE, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("prctl");
	absent |= enter_optional_layers();
	filter_system_calls(role, false);
	return absent;
}

/* Keeps what is needed, as far as it is there: containers have less. */
static void
keep_capabilities(bool low_ports)
{
	bool have[COUNT(parent_caps)], bounding;
	uint64_t kept = 0;
	size_t i;

	if (capng_get_caps_process() != 0)
		fatalx("cannot read capabilities");
	for (i = 0; i < COUNT(parent_caps); i++)
		have[i] = capng_have_capability(
			      CAPNG_PERMITTED, parent_caps[i].cap) == 1 &&
			  (low_ports || !parent_caps[i].low_ports);
	/* Without it the set stays what the container has. */
	bounding = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) == 1;
	capng_clear(CAPNG_SELECT_ALL);
	for (i = 0; i < COUNT(parent_caps); i++) {
		if (!have[i])
			continue;
		if (capng_update(CAPNG_ADD,
			CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
			parent_caps[i].cap) != 0)
			fatalx("capability %u", parent_caps[i].cap);
		kept |= (uint64_t)1 << parent_caps[i].cap;
	}
	if (capng_apply(CAPNG_SELECT_ALL) != 0)
		fatalx("cannot give up capabilities");
	layer_check_capabilities(kept, bounding);
}

static void
enter_parent(const struct sandbox_opts *o)
{
	if (o->confine)
		keep_capabilities(o->low_ports);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("prctl");
#ifndef SANITIZER /* whose leak check traces its own process */
	if (!o->filtered || prctl(PR_GET_SECCOMP) != SECCOMP_MODE_FILTER)
		filter_system_calls(SANDBOX_PARENT, !o->confine);
#endif
}

/*
 * Stays root if it is, without any of root's capabilities: the control socket
 * is root's.  Of the file system it can read /proc, and what is in there of
 * others is not for one without capabilities.
 */
static void
enter_reader(const struct sandbox_opts *o)
{
	limit(RLIMIT_NOFILE, o->nofile);
	limit(RLIMIT_CORE, 0);
	if (o->confine) {
		capng_clear(CAPNG_SELECT_ALL);
		if (capng_apply(CAPNG_SELECT_ALL) != 0)
			fatalx("cannot give up capabilities");
		layer_check_capabilities(0, true);
	}
	if (prctl(PR_SET_DUMPABLE, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("prctl");
	(void)layer_landlock(o->readable);
	(void)layer_mdwe();
	filter_system_calls(SANDBOX_READER, false);
}

uint32_t
sandbox_enter(enum sandbox_role role, const struct sandbox_opts *o)
{
	switch (role) {
	case SANDBOX_PARENT:
		enter_parent(o);
		return 0;
	case SANDBOX_READER:
		enter_reader(o);
		return 0;
	default:
		return enter_child(role, o);
	}
}
