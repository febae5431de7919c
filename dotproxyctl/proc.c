/* SPDX-License-Identifier: ISC */
/*
 * Reads /proc/PID; see proc.h.  Runs in dotproxyctl, often as root.  The names
 * of files and of descriptors are what a process has made them: nothing is
 * opened by them, nothing read without a limit.  The directory is opened
 * once, so that all facts are of the same process.
 */
#include "dotproxyctl/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "dotproxyctl/proc_text.h"

#define TEXT_MAX 65536 /* no file of text that we read is longer */
#define FDS_MAX 262144
#define DELETED " (deleted)"

#ifndef PR_GET_MDWE
#define PR_GET_MDWE 66
#endif
#define LANDLOCK_VERSION 1u /* LANDLOCK_CREATE_RULESET_VERSION */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Reads a link into a string; false if it is too long. */
static bool
read_link(int dir, const char *name, char *buf, size_t size)
{
	ssize_t n = readlinkat(dir, name, buf, size);

	if (n == -1 || (size_t)n == size)
		return false;
	buf[n] = '\0';
	return true;
}

static bool
get_groups(const char *text, struct proc_facts *f)
{
	const char *p = proc_value_of(text, "Groups");
	uint32_t group;

	if (p == NULL)
		return false;
	for (f->ngroups = 0;; f->ngroups++) {
		p += strspn(p, " \t");
		if (*p == '\n' || *p == '\0')
			return true;
		if (!proc_take_u32(&p, &group))
			return false;
		if (f->ngroups < PROC_GROUPS_MAX)
			f->groups[f->ngroups] = group;
	}
}

static bool
read_status(int dir, struct proc_facts *f)
{
	static const char *const caps[CAPS_COUNT] = { "CapInh", "CapPrm",
		"CapEff", "CapBnd", "CapAmb" };
	char text[TEXT_MAX];
	struct stat st;
	uint64_t ppid;
	size_t i;

	if (!proc_read_text(dir, "status", text, sizeof(text)) ||
	    fstatat(dir, "status", &st, 0) == -1)
		return false;
	for (i = 0; i < CAPS_COUNT; i++)
		if (!proc_get_number(text, caps[i], 16, &f->caps[i]))
			return false;
	if (!proc_get_number(text, "PPid", 10, &ppid) || ppid > UINT32_MAX ||
	    !proc_get_ids(text, "Uid", f->uid) ||
	    !proc_get_ids(text, "Gid", f->gid) || !get_groups(text, f) ||
	    !proc_get_number(text, "NoNewPrivs", 10, &f->no_new_privs) ||
	    !proc_get_number(text, "Seccomp", 10, &f->seccomp))
		return false;
	if (!proc_get_number(text, "Seccomp_filters", 10, &f->filters))
		f->filters = PROC_UNKNOWN;
	if (!proc_get_number(text, "VmRSS", 10, &f->rss_kb))
		f->rss_kb = PROC_UNKNOWN;
	f->ppid = (uint32_t)ppid;
	f->owner = st.st_uid;
	return true;
}

/* Cuts off what the kernel adds to the name of a file that is gone. */
static bool
cut_deleted(char *name)
{
	size_t len = strlen(name), tail = strlen(DELETED);

	if (len < tail || strcmp(name + len - tail, DELETED) != 0)
		return false;
	name[len - tail] = '\0';
	return true;
}

static bool
read_exe(int dir, struct proc_facts *f)
{
	if (!read_link(dir, "exe", f->exe, sizeof(f->exe)))
		return false;
	f->exe_deleted = cut_deleted(f->exe);
	return true;
}

/* True if a directory has no entries; closes fd. */
static bool
is_empty(int fd)
{
	struct dirent *entry;
	bool empty = true;
	DIR *d;

	d = fdopendir(fd);
	if (d == NULL) {
		close(fd);
		return false;
	}
	/* One that was removed cannot even be read. */
	while (empty && (entry = readdir(d)) != NULL)
		empty = strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0;
	closedir(d);
	return empty;
}

static bool
read_root(int dir, struct proc_facts *f)
{
	struct stat st;
	int fd;

	if (!read_link(dir, "root", f->root, sizeof(f->root)))
		return false;
	fd = openat(dir, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return false;
	if (fstat(fd, &st) == -1) {
		close(fd);
		return false;
	}
	f->root_dev = st.st_dev;
	f->root_ino = st.st_ino;
	f->root_uid = st.st_uid;
	f->root_mode = st.st_mode & 07777;
	f->root_empty = is_empty(fd);
	return true;
}

/* Namespaces: links like "net:[4026531833]". */
static bool
read_ns(int dir, struct proc_facts *f)
{
	char name[16], text[64], *end;
	const char *p;
	size_t i, len;

	for (i = 0; i < NS_COUNT; i++) {
		(void)snprintf(
		    name, sizeof(name), "ns/%s", proc_ns_name((enum proc_ns)i));
		if (!read_link(dir, name, text, sizeof(text)))
			return false;
		len = strlen(name + 3);
		end = strchr(text, ']');
		if (strncmp(text, name + 3, len) != 0 ||
		    strncmp(text + len, ":[", 2) != 0 || end == NULL)
			return false;
		*end = '\0';
		p = text + len + 2;
		if (!proc_take_number(&p, 10, UINT64_MAX - 1, &f->ns[i]))
			return false;
	}
	return true;
}

/* Hard limits: lines of a name, the soft limit, the hard limit, the unit. */
static bool
get_limit(const char *text, const char *name, uint64_t *v)
{
	const char *p = strstr(text, name);

	if (p == NULL || p == text || p[-1] != '\n')
		return false;
	p += strlen(name);
	p += strspn(p, " ");
	p += strcspn(p, " \n");
	p += strspn(p, " ");
	*v = PROC_UNLIMITED;
	if (strncmp(p, "unlimited ", 10) == 0)
		return true;
	return proc_take_number(&p, 10, UINT64_MAX - 1, v);
}

static bool
read_limits(int dir, struct proc_facts *f)
{
	static const char *const names[LIMIT_COUNT] = {
		[LIMIT_NPROC] = "Max processes  ",
		[LIMIT_CORE] = "Max core file size  ",
		[LIMIT_FSIZE] = "Max file size  ",
	};
	char text[TEXT_MAX];
	size_t i;

	if (!proc_read_text(dir, "limits", text, sizeof(text)))
		return false;
	for (i = 0; i < LIMIT_COUNT; i++)
		if (!get_limit(text, names[i], &f->limits[i]))
			return false;
	return true;
}

/* The protocol of a socket is an extended attribute of it. */
static enum proc_fd
socket_kind(int dir, const char *name)
{
	char path[64], proto[16] = "";

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
	if (getxattr(path, "system.sockprotoname", proto, sizeof(proto) - 1) ==
	    -1)
		return FD_SOCKET;
	if (strcmp(proto, "UDP") == 0 || strcmp(proto, "UDPv6") == 0)
		return FD_UDP;
	if (strcmp(proto, "TCP") == 0 || strcmp(proto, "TCPv6") == 0)
		return FD_TCP;
	/* "UNIX", and "UNIX-STREAM" since Linux 5.15 */
	return strncmp(proto, "UNIX", 4) == 0 ? FD_UNIX : FD_SOCKET;
}

/* What is a file by its name: an unknown one is taken for a regular one. */
static enum proc_fd
file_kind(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, 0) == -1)
		return FD_FILE;
	if (S_ISDIR(st.st_mode))
		return FD_DIR;
	if (S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode))
		return S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) &&
			       strlen(name) == 1 && *name <= '2'
			   ? FD_NULL
			   : FD_DEVICE;
	return S_ISREG(st.st_mode) ? FD_FILE : FD_OTHER;
}

static enum proc_fd
fd_kind(int dir, const char *name, const char *target)
{
	if (strncmp(target, "socket:[", 8) == 0)
		return socket_kind(dir, name);
	if (strncmp(target, "pipe:[", 6) == 0)
		return FD_PIPE;
	if (strcmp(target, "anon_inode:[eventpoll]") == 0)
		return FD_EPOLL;
	return target[0] == '/' ? file_kind(dir, name) : FD_OTHER;
}

/* Counts one descriptor; false if there cannot be so many. */
static bool
count_fd(int dir, const char *name, struct proc_facts *f)
{
	char target[PROC_PATH_MAX];
	enum proc_fd kind;

	/* Closed since the directory was read: it is none of these now. */
	if (!read_link(dir, name, target, sizeof(target))) {
		if (errno == ENOENT)
			return true;
		(void)snprintf(target, sizeof(target), "?");
	}
	kind = fd_kind(dir, name, target);
	if (f->fds[kind].n == 0)
		(void)snprintf(f->fds[kind].example,
		    sizeof(f->fds[kind].example), "%s", target);
	return ++f->fds[kind].n < FDS_MAX;
}

static bool
read_fds(int dir, struct proc_facts *f)
{
	struct dirent *entry;
	bool ok = true;
	DIR *d;
	int fd;

	fd = openat(dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return false;
	d = fdopendir(fd);
	if (d == NULL) {
		close(fd);
		return false;
	}
	while (ok && (entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			ok = count_fd(fd, entry->d_name, f);
	closedir(d);
	return ok;
}

/* Fields 14 and 15 of stat, counted from behind the name, in ticks. */
static bool
read_cpu(int dir, struct proc_facts *f)
{
	char text[TEXT_MAX];
	long hz = sysconf(_SC_CLK_TCK);
	uint64_t user, kernel;
	const char *p;
	size_t i;

	if (hz <= 0 || !proc_read_text(dir, "stat", text, sizeof(text)))
		return false;
	p = strrchr(text, ')');
	if (p == NULL)
		return false;
	p++;
	for (i = 3; i < 14; i++) {
		p += strspn(p, " ");
		p += strcspn(p, " ");
	}
	if (!proc_take_number(&p, 10, UINT64_MAX / 4000, &user) ||
	    !proc_take_number(&p, 10, UINT64_MAX / 4000, &kernel))
		return false;
	f->cpu_ms = (user + kernel) * 1000 / (uint64_t)hz;
	return true;
}

static bool
read_pss(int dir, struct proc_facts *f)
{
	char text[TEXT_MAX];

	return proc_read_text(dir, "smaps_rollup", text, sizeof(text)) &&
	       proc_get_number(text, "Pss", 10, &f->pss_kb);
}

int
proc_read(const char *dir, uint32_t pid, struct proc_facts *f)
{
	return proc_read_parts(dir, pid, (1u << PROC_PART_COUNT) - 1, f);
}

int
proc_read_parts(
    const char *dir, uint32_t pid, uint32_t parts, struct proc_facts *f)
{
	static bool (*const readers[PROC_PART_COUNT])(
	    int, struct proc_facts *) = {
		[PROC_STATUS] = read_status,
		[PROC_EXE] = read_exe,
		[PROC_ROOT] = read_root,
		[PROC_NS] = read_ns,
		[PROC_LIMITS] = read_limits,
		[PROC_FDS] = read_fds,
		[PROC_CPU] = read_cpu,
		[PROC_PSS] = read_pss,
	};
	char path[PROC_PATH_MAX];
	size_t i;
	int fd;

	memset(f, 0, sizeof(*f));
	(void)snprintf(path, sizeof(path), "%s/%u", dir, (unsigned int)pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	for (i = 0; i < PROC_PART_COUNT; i++)
		if ((parts & 1u << i) != 0 && readers[i](fd, f))
			f->have |= 1u << i;
	close(fd);
	return 0;
}

void
proc_ask_kernel(struct proc_kernel *k)
{
	long abi;

	k->root = geteuid() == 0;
	abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
	k->landlock_abi = abi > 0 ? (uint32_t)abi : 0;
	k->mdwe = prctl(PR_GET_MDWE, 0, 0, 0, 0) != -1;
}

const char *
proc_caps_name(enum proc_caps i)
{
	static const char *const names[CAPS_COUNT] = { "inheritable",
		"permitted", "effective", "bounding", "ambient" };

	return i < CAPS_COUNT ? names[i] : "?";
}

const char *
proc_ns_name(enum proc_ns i)
{
	static const char *const names[NS_COUNT] = { "net", "ipc", "uts",
		"mnt" };

	return i < NS_COUNT ? names[i] : "?";
}

const char *
proc_limit_name(enum proc_limit i)
{
	static const char *const names[LIMIT_COUNT] = { "processes",
		"core size", "file size" };

	return i < LIMIT_COUNT ? names[i] : "?";
}

const char *
proc_fd_name(enum proc_fd i)
{
	static const char *const names[FD_COUNT] = { "udp", "tcp", "unix",
		"other socket", "epoll", "pipe", "null", "file", "directory",
		"device", "other" };

	return i < FD_COUNT ? names[i] : "?";
}
