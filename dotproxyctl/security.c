/* SPDX-License-Identifier: ISC */
/*
 * What the build promises, said a second time and independently of
 * dotproxy/sandbox.c, and compared with what is; see security.h.  Runs in
 * dotproxyctl.  What the daemon says of itself may excuse a layer that cannot
 * be had here; it never stands in for what the kernel says.
 */
#include "dotproxyctl/security.h"

#include <inttypes.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CAP(name) (UINT64_C(1) << CAP_##name)

/* What the parent needs to start its children again, and to reload. */
#define PARENT_CAPS                                                         \
	(CAP(NET_BIND_SERVICE) | CAP(SETUID) | CAP(SETGID) | CAP(SETPCAP) | \
	    CAP(SYS_CHROOT) | CAP(KILL) | CAP(SYS_ADMIN))

#define FD_BIT(kind) (1u << FD_##kind)
#define COMMON_FDS (FD_BIT(UNIX) | FD_BIT(EPOLL) | FD_BIT(PIPE) | FD_BIT(NULL))

static const uint32_t expected_fds[ROLE_COUNT] = {
	[ROLE_LISTENER] = COMMON_FDS | FD_BIT(UDP) | FD_BIT(TCP),
	[ROLE_POOL] = COMMON_FDS | FD_BIT(TCP),
};

static const char *const expected_exe[ROLE_COUNT] = {
	[ROLE_PARENT] = "dotproxy",
	[ROLE_LISTENER] = "dotproxy-listener",
	[ROLE_POOL] = "dotproxy-pool",
};

/* One process under examination. */
struct exam {
	struct security_report *report;
	const struct data *all;  /* of all workers */
	const struct data *data; /* of this one */
	enum info_role role;
	const struct info_process *info;
	const struct proc_facts *f;
	const struct proc_facts *parent;
	bool root; /* the daemon was started as root */
};

__attribute__((format(printf, 4, 5))) static void
add(const struct exam *e, enum security_kind kind, const char *what,
    const char *fmt, ...)
{
	struct security_finding *finding;
	va_list ap;

	if (e->report->n == SECURITY_FINDINGS_MAX)
		return; /* there are findings enough to fail */
	finding = &e->report->findings[e->report->n++];
	finding->kind = kind;
	finding->role = e->role;
	finding->worker = e->data->worker;
	(void)data_process_name(finding->name, e->data, e->role);
	finding->what = what;
	va_start(ap, fmt);
	(void)vsnprintf(finding->text, sizeof(finding->text), fmt, ap);
	va_end(ap);
}

/* What is less than could be: weak if it was promised, else to be noted. */
static enum security_kind
lack(bool promised)
{
	return promised ? SECURITY_WEAK : SECURITY_NOTE;
}

static bool
is_absent(const struct exam *e, enum info_layer layer)
{
	return (e->info->absent & 1u << layer) != 0;
}

static void
append(char *text, size_t size, const char *word)
{
	size_t len = strlen(text);

	(void)snprintf(
	    text + len, size - len, "%s%s", len > 0 ? ", " : "", word);
}

/* True if name is tail, seen from above the directory of sibling. */
static bool
is_beside(const char *name, const char *sibling, const char *tail)
{
	const char *slash = strrchr(sibling, '/'), *p;
	size_t len;

	if (slash == NULL)
		return false;
	for (p = slash; p > sibling && p[-1] != '/'; p--)
		;
	len = (size_t)(p - sibling);
	return strncmp(name, sibling, len) == 0 &&
	       strcmp(name + len, tail) == 0;
}

static bool
is_right_exe(const struct exam *e)
{
	const char *base = strrchr(e->f->exe, '/');
	char tail[64];

	if (e->role == ROLE_PARENT)
		return base != NULL &&
		       strcmp(base + 1, expected_exe[ROLE_PARENT]) == 0;
	if (!proc_has(e->parent, PROC_EXE))
		return false;
	(void)snprintf(
	    tail, sizeof(tail), "libexec/dotproxy/%s", expected_exe[e->role]);
	return is_beside(e->f->exe, e->parent->exe, tail);
}

/* A worker that was taken over may pass off another's process as its own. */
static bool
is_named_twice(const struct exam *e)
{
	const struct data *other;
	size_t i;

	for (i = 0; i < data_workers(e->all); i++) {
		other = data_worker(e->all, i);
		if (other != e->data && e->role != ROLE_PARENT &&
		    other->processes[e->role].pid == e->info->pid)
			return true;
	}
	return false;
}

/* Is it there, and is it ours?  Else there is nothing more to say of it. */
static bool
check_identity(const struct exam *e)
{
	const unsigned int pid = e->info->pid;

	if (!e->data->have_process[e->role]) {
		add(e, SECURITY_ERROR, "process",
		    "the daemon does not tell its pid");
		return false;
	}
	if (pid == 0) {
		add(e, SECURITY_ERROR, "process", "is not running");
		return false;
	}
	if (!e->data->have_facts[e->role] || !proc_has(e->f, PROC_STATUS)) {
		add(e, SECURITY_ERROR, "process",
		    "there is no process %u, or it cannot be read", pid);
		return false;
	}
	if (e->role != ROLE_PARENT &&
	    e->f->ppid != e->data->processes[ROLE_PARENT].pid) {
		add(e, SECURITY_ERROR, "process",
		    "process %u is no child of the parent", pid);
		return false;
	}
	if (is_named_twice(e)) {
		add(e, SECURITY_ERROR, "process",
		    "process %u is another worker's, too", pid);
		return false;
	}
	if (proc_has(e->f, PROC_EXE) && !is_right_exe(e)) {
		add(e, SECURITY_ERROR, "executable",
		    "process %u runs the wrong executable: %s", pid, e->f->exe);
		return false;
	}
	return true;
}

/* Without root there are things that one cannot see; with, there are not. */
static void
check_readable(const struct exam *e)
{
	static const char *const names[PROC_PART_COUNT] = {
		[PROC_EXE] = "executable",
		[PROC_ROOT] = "root directory",
		[PROC_NS] = "namespaces",
		[PROC_LIMITS] = "limits",
		[PROC_FDS] = "descriptors",
	};
	char text[128] = "";
	size_t i;

	for (i = 0; i < PROC_PART_COUNT; i++) {
		if (names[i] == NULL || proc_has(e->f, (enum proc_part)i))
			continue;
		/* Of the parent, only what the children are compared with. */
		if (e->role == ROLE_PARENT &&
		    (i == PROC_FDS || i == PROC_LIMITS))
			continue;
		append(text, sizeof(text), names[i]);
	}
	if (text[0] == '\0')
		return;
	if (e->data->kernel.root)
		add(e, SECURITY_ERROR, "process", "cannot be read: %s", text);
	else
		add(e, SECURITY_NOTE, "process",
		    "only root may see whether all is well: %s", text);
}

static void
check_exe_deleted(const struct exam *e)
{
	if (proc_has(e->f, PROC_EXE) && e->f->exe_deleted)
		add(e, SECURITY_NOTE, "executable",
		    "its file was replaced or removed since it was started");
}

static void
check_ids(const struct exam *e, const char *name, const uint32_t ids[4])
{
	bool zero = false, differ = false;
	size_t i;

	for (i = 0; i < 4; i++) {
		zero = zero || ids[i] == 0;
		differ = differ || ids[i] != ids[0];
	}
	if (zero || differ)
		add(e, SECURITY_WEAK, "user", "%s: %s %u %u %u %u",
		    zero ? "runs as root" : "does not run as one user only",
		    name, ids[0], ids[1], ids[2], ids[3]);
}

static void
check_user(const struct exam *e)
{
	const struct proc_facts *f = e->f;
	uint32_t i;

	if (!e->root) {
		add(e, SECURITY_NOTE, "user",
		    "not started as root: runs as the same user as the "
		    "parent, uid %u",
		    f->uid[1]);
		return;
	}
	check_ids(e, "uid", f->uid);
	check_ids(e, "gid", f->gid);
	for (i = 0; i < f->ngroups; i++) {
		if (i < PROC_GROUPS_MAX && f->groups[i] == f->gid[0])
			continue;
		add(e, SECURITY_WEAK, "user", "has %u supplementary groups",
		    f->ngroups);
		return;
	}
}

static void
check_caps(const struct exam *e)
{
	bool promised = e->root || !is_absent(e, LAYER_CAPABILITIES);
	size_t i;

	for (i = 0; i < CAPS_COUNT; i++)
		if (e->f->caps[i] != 0)
			add(e, lack(promised), "capabilities",
			    "capability %s set is not empty: %016" PRIx64,
			    proc_caps_name((enum proc_caps)i), e->f->caps[i]);
}

static void
check_parent_caps(const struct exam *e)
{
	uint64_t extra, needed;
	size_t i;

	for (i = 0; i < CAPS_COUNT; i++) {
		needed = i == CAPS_INHERITABLE || i == CAPS_AMBIENT
			     ? 0
			     : PARENT_CAPS;
		extra = e->f->caps[i] & ~needed;
		/* A user has no say in the bounding set. */
		if (extra == 0 || (!e->root && i == CAPS_BOUNDING))
			continue;
		add(e, lack(e->root), "capabilities",
		    "capability %s set has more than is needed: %016" PRIx64,
		    proc_caps_name((enum proc_caps)i), extra);
	}
}

static void
check_filter(const struct exam *e)
{
	/* A child inherits the parent's and adds its own. */
	const uint64_t least = e->role == ROLE_PARENT ? 1 : 2;

	if (e->f->no_new_privs != 1)
		add(e, SECURITY_WEAK, "no new privileges",
		    "may gain privileges by executing a program");
	if (e->f->seccomp != 2)
		add(e, SECURITY_WEAK, "system calls",
		    "system calls are not filtered");
	else if (e->f->filters < least)
		add(e, SECURITY_WEAK, "system calls",
		    "system call filter of its own is missing");
}

static void
check_dumpable(const struct exam *e)
{
	/* The files of what is dumpable belong to its user, else to root. */
	if (e->f->uid[1] != 0 && e->f->owner == e->f->uid[1])
		add(e, SECURITY_WEAK, "dumpable",
		    "its memory is open to its user: it is dumpable");
}

static void
check_root(const struct exam *e)
{
	const struct proc_facts *f = e->f;
	enum security_kind kind =
	    lack(e->root || !is_absent(e, LAYER_ROOT_DIR));

	if (!proc_has(f, PROC_ROOT))
		return;
	if (proc_has(e->parent, PROC_ROOT) &&
	    f->root_dev == e->parent->root_dev &&
	    f->root_ino == e->parent->root_ino)
		add(e, kind, "root directory",
		    "root directory is the same as the parent's");
	else if (!f->root_empty)
		add(e, kind, "root directory",
		    "root directory is not empty: %s", f->root);
	else if (e->root && (f->root_uid != 0 || (f->root_mode & 022) != 0))
		add(e, kind, "root directory",
		    "root directory is not only root's: %s", f->root);
}

static void
check_ns(const struct exam *e)
{
	bool may = (e->parent->caps[CAPS_EFFECTIVE] & CAP(SYS_ADMIN)) != 0;
	char text[64] = "";
	size_t i;

	if (!proc_has(e->f, PROC_NS) || !proc_has(e->parent, PROC_NS))
		return;
	for (i = 0; i < NS_COUNT; i++)
		if (e->f->ns[i] == e->parent->ns[i])
			append(
			    text, sizeof(text), proc_ns_name((enum proc_ns)i));
	if (text[0] != '\0')
		add(e, lack(may || !is_absent(e, LAYER_NAMESPACES)),
		    "namespaces", "namespaces are shared with the parent: %s",
		    text);
}

/* Layers that leave no trace in /proc: the child said so before all else. */
static void
check_told(const struct exam *e)
{
	const struct proc_kernel *k = &e->data->kernel;
	const struct {
		enum info_layer layer;
		bool offered;
	} told[] = { { LAYER_LANDLOCK, k->landlock_abi > 0 },
		{ LAYER_MDWE, k->mdwe } };
	const char *name;
	size_t i;

	for (i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		if (!is_absent(e, told[i].layer))
			continue;
		name = msg_layer_name(told[i].layer);
		if (told[i].offered)
			add(e, SECURITY_WEAK, name,
			    "%s is missing, though the kernel offers it", name);
		else
			add(e, SECURITY_NOTE, name, "%s is not on offer here",
			    name);
	}
}

static void
check_limits(const struct exam *e)
{
	uint64_t n;
	size_t i;

	if (!proc_has(e->f, PROC_LIMITS))
		return;
	for (i = 0; i < LIMIT_COUNT; i++) {
		n = e->f->limits[i];
		/* A user's other processes count, too: it is not set then. */
		if (n == 0 || (i == LIMIT_NPROC && !e->root))
			continue;
		if (n == PROC_UNLIMITED)
			add(e, SECURITY_WEAK, "limits", "no limit of %s",
			    proc_limit_name((enum proc_limit)i));
		else
			add(e, SECURITY_WEAK, "limits",
			    "limit of %s is not 0: %" PRIu64,
			    proc_limit_name((enum proc_limit)i), n);
	}
}

static void
check_fds(const struct exam *e)
{
	size_t i;

	if (!proc_has(e->f, PROC_FDS))
		return;
	for (i = 0; i < FD_COUNT; i++)
		if (e->f->fds[i].n > 0 &&
		    (expected_fds[e->role] & 1u << i) == 0)
			add(e, SECURITY_WEAK, "descriptors",
			    "open descriptors of kind %s: %u, such as %s",
			    proc_fd_name((enum proc_fd)i), e->f->fds[i].n,
			    e->f->fds[i].example);
}

static void
check_child(const struct exam *e)
{
	check_user(e);
	check_caps(e);
	check_dumpable(e);
	check_root(e);
	check_ns(e);
	check_told(e);
	check_limits(e);
	check_fds(e);
}

/* The processes of one worker; the parent is looked at with the first. */
static void
check_worker(const struct data *all, const struct data *d, enum info_role first,
    struct security_report *report)
{
	struct exam e = { .report = report, .all = all, .data = d };
	size_t i;

	report->numbered |= d->numbered;
	e.parent = &d->facts[ROLE_PARENT];
	/* Unknown is taken for root: more is promised then. */
	e.root = !proc_has(e.parent, PROC_STATUS) || e.parent->uid[1] == 0;
	for (i = first; i < ROLE_COUNT; i++) {
		e.role = (enum info_role)i;
		(void)data_process_name(
		    report->processes[report->nprocesses++], d, e.role);
		e.info = &d->processes[i];
		e.f = &d->facts[i];
		if (!check_identity(&e))
			continue;
		check_readable(&e);
		check_exe_deleted(&e);
		check_filter(&e);
		if (i == ROLE_PARENT)
			check_parent_caps(&e);
		else
			check_child(&e);
	}
}

void
security_check(const struct data *d, struct security_report *report)
{
	size_t i;

	report->n = report->nprocesses = 0;
	report->numbered = false;
	for (i = 0; i < data_workers(d); i++)
		check_worker(d, data_worker(d, i),
		    i == 0 ? ROLE_PARENT : ROLE_LISTENER, report);
}

bool
security_has(const struct security_report *r, enum info_role role,
    enum security_kind least)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (r->findings[i].kind >= least &&
		    (role == ROLE_COUNT || r->findings[i].role == role))
			return true;
	return false;
}

const char *
security_kind_name(enum security_kind kind)
{
	static const char *const names[] = { "note", "weak", "error" };

	return kind <= SECURITY_ERROR ? names[kind] : "?";
}
