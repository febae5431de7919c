/* SPDX-License-Identifier: ISC */
/*
 * Reading /proc: from a directory that is made like one of a process, whole,
 * spoilt and with parts missing; and of this process itself, for what cannot
 * be made: sockets.
 */
/* LINK: dotproxyctl/proc.c dotproxyctl/proc_text.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "dotproxyctl/proc.h"
#include "dotproxyctl/proc_text.h"

#define PID 4711
#define ALL ((1u << PROC_PART_COUNT) - 1)

static const char status_text[] = "Name:\tdotproxy-pool\n"
				  "PPid:\t4700\n"
				  "Uid:\t970\t971\t972\t973\n"
				  "Gid:\t980\t981\t982\t983\n"
				  "Groups:\t33 980 \n"
				  "VmRSS:\t    8180 kB\n"
				  "CapInh:\t0000000000000001\n"
				  "CapPrm:\t0000000000000002\n"
				  "CapEff:\t000000000000000a\n"
				  "CapBnd:\t000001fffeffffff\n"
				  "CapAmb:\t0000000000000010\n"
				  "NoNewPrivs:\t1\n"
				  "Seccomp:\t2\n"
				  "Seccomp_filters:\t2\n";

/* clang-format off */
static const char limits_text[] =
"Limit                     Soft Limit           Hard Limit           Units     \n"
"Max file size             1                    4096                 bytes     \n"
"Max core file size        0                    unlimited            bytes     \n"
"Max processes             unlimited            7                    processes \n"
"Max nice priority         0                    0                    \n";

static const char stat_text[] =
"4711 (a b) ) S 4700 4711 4711 0 -1 4194560 150 0 0 0 123 45 9 9 20 0 1 0 5\n";

static const char rollup_text[] =
"55d0c8a00000-7ffd3c5fe000 ---p 00000000 00:00 0                  [rollup]\n"
"Rss:                8184 kB\n"
"Pss:                3047 kB\n"
"Pss_Dirty:          1000 kB\n";
/* clang-format on */

struct place {
	char top[64];  /* like /proc */
	char dir[128]; /* like /proc/PID */
};

static void
put_file(const struct place *p, const char *name, const char *text, size_t len)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void
put_link(const struct place *p, const char *name, const char *target)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	(void)unlink(path);
	assert_int_equal(symlink(target, path), 0);
}

static void
put_dir(const struct place *p, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s%s", p->dir, name);
	assert_int_equal(mkdir(path, 0750), 0);
}

static void
take_away(const struct place *p, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	assert_int_equal(unlink(path), 0);
}

static void
put_fds(const struct place *p)
{
	put_dir(p, "/fd");
	put_link(p, "fd/0", "/dev/null");
	put_link(p, "fd/2", "/dev/null");
	put_link(p, "fd/3", "anon_inode:[eventpoll]");
	put_link(p, "fd/4", "pipe:[12]");
	put_link(p, "fd/5", "pipe:[12]");
	put_link(p, "fd/6", "/dev/null"); /* no longer a standard one */
	put_link(p, "fd/7", "/dev/zero");
	put_link(p, "fd/8", p->dir);
	put_link(p, "fd/9", "/no/such/file (deleted)");
	put_link(p, "fd/10", "anon_inode:[timerfd]");
	put_link(p, "fd/11", "socket:[99]"); /* of which nothing is known */
	put_link(p, "fd/12", "net:[4026531833]");
	put_link(p, "fd/20", "/dev/null");
}

/* Everything there is to read of a process. */
static void
place_make(struct place *p)
{
	char path[256];

	(void)strcpy(p->top, "/tmp/dotproxy-proc.XXXXXX");
	assert_non_null(mkdtemp(p->top));
	(void)snprintf(p->dir, sizeof(p->dir), "%s/%d", p->top, PID);
	put_dir(p, "");
	put_dir(p, "/ns");
	put_dir(p, "/empty");
	put_file(p, "status", status_text, strlen(status_text));
	put_file(p, "limits", limits_text, strlen(limits_text));
	put_file(p, "stat", stat_text, strlen(stat_text));
	put_file(p, "smaps_rollup", rollup_text, strlen(rollup_text));
	put_link(p, "exe", "/usr/libexec/dotproxy/dotproxy-pool");
	(void)snprintf(path, sizeof(path), "%s/empty", p->dir);
	put_link(p, "root", path);
	put_link(p, "ns/net", "net:[4026532252]");
	put_link(p, "ns/ipc", "ipc:[4026532251]");
	put_link(p, "ns/uts", "uts:[4026532250]");
	put_link(p, "ns/mnt", "mnt:[18446744073709551614]");
	put_fds(p);
}

static void
place_remove(struct place *p)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -r '%s'", p->top);
	assert_int_equal(system(command), 0);
}

static void
reads_all(void **state)
{
	struct proc_facts *f = malloc(sizeof(*f));
	const struct proc_facts *g = f;
	struct place p;
	struct stat st;
	char path[256];

	(void)state;
	assert_non_null(f);
	place_make(&p);
	assert_int_equal(proc_read(p.top, PID, f), 0);
	assert_int_equal(f->have, ALL);
	assert_int_equal(f->ppid, 4700);
	assert_int_equal(f->uid[0], 970);
	assert_int_equal(f->uid[3], 973);
	assert_int_equal(f->gid[1], 981);
	assert_int_equal(f->gid[2], 982);
	assert_int_equal(f->ngroups, 2);
	assert_int_equal(f->groups[0], 33);
	assert_int_equal(f->groups[1], 980);
	assert_int_equal(f->caps[CAPS_INHERITABLE], 1);
	assert_int_equal(f->caps[CAPS_PERMITTED], 2);
	assert_int_equal(f->caps[CAPS_EFFECTIVE], 10);
	assert_int_equal(f->caps[CAPS_BOUNDING], 0x1fffeffffff);
	assert_int_equal(f->caps[CAPS_AMBIENT], 16);
	assert_int_equal(f->no_new_privs, 1);
	assert_int_equal(f->seccomp, 2);
	assert_int_equal(f->filters, 2);
	assert_int_equal(f->rss_kb, 8180);
	assert_int_equal(f->owner, getuid());
	assert_string_equal(f->exe, "/usr/libexec/dotproxy/dotproxy-pool");
	assert_false(f->exe_deleted);
	(void)snprintf(path, sizeof(path), "%s/empty", p.dir);
	assert_string_equal(f->root, path);
	assert_int_equal(stat(path, &st), 0);
	assert_true(g->root_ino == st.st_ino && g->root_dev == st.st_dev);
	assert_int_equal(f->root_uid, getuid());
	assert_int_equal(f->root_mode, 0750);
	assert_true(f->root_empty);
	assert_int_equal(f->ns[NS_NET], 4026532252);
	assert_int_equal(f->ns[NS_IPC], 4026532251);
	assert_int_equal(f->ns[NS_UTS], 4026532250);
	assert_true(f->ns[NS_MNT] == UINT64_MAX - 1);
	assert_int_equal(f->limits[LIMIT_FSIZE], 4096);
	assert_true(f->limits[LIMIT_CORE] == PROC_UNLIMITED);
	assert_int_equal(f->limits[LIMIT_NPROC], 7);
	assert_int_equal(
	    f->cpu_ms, (123 + 45) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK));
	assert_int_equal(f->pss_kb, 3047);
	place_remove(&p);
	assert_int_equal(proc_read(p.top, PID, f), -1);
	assert_int_equal(f->have, 0);
	free(f);
}

static void
counts_descriptors(void **state)
{
	static const uint32_t want[FD_COUNT] = { [FD_NULL] = 2,
		[FD_EPOLL] = 1,
		[FD_PIPE] = 2,
		[FD_DEVICE] = 3,
		[FD_DIR] = 1,
		[FD_FILE] = 1,
		[FD_OTHER] = 2,
		[FD_SOCKET] = 1 };
	struct proc_facts *f = malloc(sizeof(*f));
	struct place p;
	size_t i;

	(void)state;
	assert_non_null(f);
	place_make(&p);
	assert_int_equal(proc_read(p.top, PID, f), 0);
	for (i = 0; i < FD_COUNT; i++)
		if (f->fds[i].n != want[i])
			fail_msg("%s: %u, not %u",
			    proc_fd_name((enum proc_fd)i), f->fds[i].n,
			    want[i]);
	assert_string_equal(f->fds[FD_DIR].example, p.dir);
	assert_string_equal(f->fds[FD_FILE].example, "/no/such/file (deleted)");
	place_remove(&p);
	free(f);
}

/* Each part can be missing by itself; the others are there still. */
static void
parts_are_missing(void **state)
{
	static const struct {
		const char *file;
		enum proc_part part;
	} parts[] = { { "status", PROC_STATUS }, { "exe", PROC_EXE },
		{ "root", PROC_ROOT }, { "ns/uts", PROC_NS },
		{ "limits", PROC_LIMITS }, { "stat", PROC_CPU },
		{ "smaps_rollup", PROC_PSS } };
	struct proc_facts *f = malloc(sizeof(*f));
	struct place p;
	size_t i;

	(void)state;
	assert_non_null(f);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		place_make(&p);
		take_away(&p, parts[i].file);
		assert_int_equal(proc_read(p.top, PID, f), 0);
		assert_int_equal(f->have, ALL & ~(1u << parts[i].part));
		place_remove(&p);
	}
	free(f);
}

/* Puts text in place of other text; the part must not be there then. */
static void
spoil(const char *file, const char *whole, const char *old, const char *fresh,
    uint32_t want)
{
	struct proc_facts *f = malloc(sizeof(*f));
	const char *at = strstr(whole, old);
	struct place p;
	char text[4096];

	assert_non_null(f);
	assert_non_null(at);
	(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - whole), whole,
	    fresh, at + strlen(old));
	place_make(&p);
	put_file(&p, file, text, strlen(text));
	assert_int_equal(proc_read(p.top, PID, f), 0);
	if (f->have != want)
		fail_msg("%s: \"%s\" for \"%s\": %#x, not %#x", file, fresh,
		    old, f->have, want);
	place_remove(&p);
	free(f);
}

static void
status_is_parsed_strictly(void **state)
{
	static const char *const wrong[][2] = { { "CapEff:", "CapEfg:" },
		{ "000a\n", "000A\n" }, { "000a\n", "000g\n" },
		{ "000a\n", "000a,\n" }, { "CapEff:\t", "CapEff:\t-" },
		{ "CapEff:\t000000000000000a", "CapEff:\t" },
		{ "CapEff:\t000000000000000a",
		    "CapEff:\tffffffffffffffff" }, /* unknown is that */
		{ "CapEff:\t0", "CapEff:\t10000000000000000" },
		{ "Uid:\t970\t971\t972\t973", "Uid:\t970\t971\t972" },
		{ "973\n", "4294967296\n" }, { "973\n", "97x\n" },
		{ "33 980", "33,980" }, { "33 980", "33 4294967296" },
		{ "Groups:", "Group:" }, { "PPid:\t4700", "PPid:\t-1" },
		{ "PPid:\t4700", "PPid:\t4294967296" },
		{ "NoNewPrivs:\t1", "NoNewPrivs:\tyes" },
		{ "Seccomp:\t2", "Seccomp:\t0x2" }, { "Seccomp:\t2\n", "" } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		spoil("status", status_text, wrong[i][0], wrong[i][1],
		    ALL & ~(1u << PROC_STATUS));
	/* These are not everywhere. */
	spoil("status", status_text, "Seccomp_filters:\t2\n", "", ALL);
	spoil("status", status_text, "VmRSS:\t    8180 kB\n", "", ALL);
	spoil("status", status_text, "Groups:\t33 980 \n", "Groups:\t\n", ALL);
}

static void
others_are_parsed_strictly(void **state)
{
	const uint32_t no_limits = ALL & ~(1u << PROC_LIMITS);
	const uint32_t no_cpu = ALL & ~(1u << PROC_CPU);
	const uint32_t no_pss = ALL & ~(1u << PROC_PSS);

	(void)state;
	spoil("limits", limits_text, "4096  ", "4096x ", no_limits);
	spoil("limits", limits_text, "4096  ", "many  ", no_limits);
	spoil("limits", limits_text, "0                    unlimited ",
	    "0                    unlimitedx", no_limits);
	spoil("limits", limits_text, "\nMax processes", "\n Max processes",
	    no_limits);
	spoil("limits", limits_text, "Max core file size ",
	    "Max core files size", no_limits);
	spoil("stat", stat_text, "123 45", "123 4x", no_cpu);
	spoil("stat", stat_text, "123 45", "99999999999999999999 1", no_cpu);
	spoil("stat", stat_text, " 123 45 9 9 20 0 1 0 5", "", no_cpu);
	spoil("stat", stat_text, "(a b) )", "a", no_cpu);
	spoil("smaps_rollup", rollup_text, "\nPss:", "\nPsx:", no_pss);
	spoil("smaps_rollup", rollup_text, "3047 kB", "3047kB", no_pss);
}

/* Too long to be true, or binary. */
static void
odd_files_are_refused(void **state)
{
	char *text = malloc(100000), buf[100];
	struct place p;
	int dir;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 100000);
	place_make(&p);
	dir = open(p.dir, O_RDONLY | O_DIRECTORY);
	assert_int_not_equal(dir, -1);
	put_file(&p, "f", text, 99);
	assert_true(proc_read_text(dir, "f", buf, sizeof(buf)));
	assert_int_equal(strlen(buf), 99);
	put_file(&p, "f", text, 100);
	assert_false(proc_read_text(dir, "f", buf, sizeof(buf)));
	put_file(&p, "f", text, 100000);
	assert_false(proc_read_text(dir, "f", buf, sizeof(buf)));
	put_file(&p, "f", "ab\0cd", 5);
	assert_false(proc_read_text(dir, "f", buf, sizeof(buf)));
	put_file(&p, "f", "", 0);
	assert_true(proc_read_text(dir, "f", buf, sizeof(buf)));
	assert_string_equal(buf, "");
	assert_false(proc_read_text(dir, "none", buf, sizeof(buf)));
	assert_false(proc_read_text(dir, "empty", buf, sizeof(buf)));
	close(dir);
	place_remove(&p);
	free(text);
}

static void
links_are_parsed_strictly(void **state)
{
	static const char *const wrong[] = { "net:[]", "net:4026532252",
		"ipc:[4026532252]", "net:[40265x]", "net:[1",
		"net:[18446744073709551616]" };
	struct proc_facts *f = malloc(sizeof(*f));
	char name[PROC_PATH_MAX + 1];
	struct place p;
	size_t i;

	(void)state;
	assert_non_null(f);
	place_make(&p);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		put_link(&p, "ns/net", wrong[i]);
		assert_int_equal(proc_read(p.top, PID, f), 0);
		assert_int_equal(f->have, ALL & ~(1u << PROC_NS));
	}
	put_link(&p, "ns/net", "net:[1]");
	put_link(&p, "exe", "/usr/sbin/dotproxy (deleted)");
	assert_int_equal(proc_read(p.top, PID, f), 0);
	assert_int_equal(f->have, ALL);
	assert_string_equal(f->exe, "/usr/sbin/dotproxy");
	assert_true(f->exe_deleted);
	memset(name, 'x', sizeof(name));
	name[PROC_PATH_MAX] = '\0';
	put_link(&p, "exe", name);
	assert_int_equal(proc_read(p.top, PID, f), 0);
	assert_int_equal(f->have, ALL & ~(1u << PROC_EXE));
	name[PROC_PATH_MAX - 1] = '\0';
	put_link(&p, "exe", name);
	put_link(&p, "root", p.dir);
	assert_int_equal(proc_read(p.top, PID, f), 0);
	assert_int_equal(f->have, ALL);
	assert_string_equal(f->exe, name);
	assert_false(f->root_empty);
	place_remove(&p);
	free(f);
}

/* The kernel's own, with one descriptor of each kind. */
static void
reads_this_process(void **state)
{
	const int kinds[][3] = { { AF_INET, SOCK_DGRAM, FD_UDP },
		{ AF_INET6, SOCK_DGRAM, FD_UDP },
		{ AF_INET, SOCK_STREAM, FD_TCP },
		{ AF_INET6, SOCK_STREAM, FD_TCP },
		{ AF_UNIX, SOCK_STREAM, FD_UNIX },
		{ AF_UNIX, SOCK_DGRAM, FD_UNIX },
		{ AF_NETLINK, SOCK_RAW, FD_SOCKET } };
	struct proc_facts *before = malloc(sizeof(*before));
	struct proc_facts *f = malloc(sizeof(*f));
	int fds[sizeof(kinds) / sizeof(kinds[0])], epoll;
	size_t i;

	(void)state;
	assert_non_null(before);
	assert_non_null(f);
	assert_int_equal(proc_read(PROC_DIR, (uint32_t)getpid(), before), 0);
	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		fds[i] = socket(kinds[i][0], kinds[i][1], 0);
		assert_int_not_equal(fds[i], -1);
	}
	epoll = epoll_create1(0);
	assert_int_equal(proc_read(PROC_DIR, (uint32_t)getpid(), f), 0);
	assert_int_equal(f->have, ALL);
	assert_int_equal(f->fds[FD_UDP].n - before->fds[FD_UDP].n, 2);
	assert_int_equal(f->fds[FD_TCP].n - before->fds[FD_TCP].n, 2);
	assert_int_equal(f->fds[FD_UNIX].n - before->fds[FD_UNIX].n, 2);
	assert_int_equal(f->fds[FD_SOCKET].n - before->fds[FD_SOCKET].n, 1);
	assert_int_equal(f->fds[FD_EPOLL].n - before->fds[FD_EPOLL].n, 1);
	assert_int_equal(f->fds[FD_FILE].n, before->fds[FD_FILE].n);
	assert_int_equal(f->ppid, getppid());
	assert_int_equal(f->uid[1], geteuid());
	assert_in_range(f->pss_kb, 1, f->rss_kb + 1024);
	if (getenv("EMULATED") == NULL) /* else it is the emulator's */
		assert_string_equal(strrchr(f->exe, '/'), "/test_ctl_proc");
	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
	close(epoll);
	free(before);
	free(f);
}

static void
names(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < CAPS_COUNT; i++)
		assert_string_not_equal(proc_caps_name((enum proc_caps)i), "?");
	for (i = 0; i < NS_COUNT; i++)
		assert_string_not_equal(proc_ns_name((enum proc_ns)i), "?");
	for (i = 0; i < LIMIT_COUNT; i++)
		assert_string_not_equal(
		    proc_limit_name((enum proc_limit)i), "?");
	for (i = 0; i < FD_COUNT; i++)
		assert_string_not_equal(proc_fd_name((enum proc_fd)i), "?");
	assert_string_equal(proc_fd_name(FD_COUNT), "?");
	assert_string_equal(proc_fd_name(FD_UDP), "udp");
	assert_string_equal(proc_fd_name(FD_DIR), "directory");
	assert_string_equal(proc_caps_name(CAPS_BOUNDING), "bounding");
	assert_string_equal(proc_ns_name(NS_MNT), "mnt");
	assert_string_equal(proc_limit_name(LIMIT_FSIZE), "file size");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_all),
		cmocka_unit_test(counts_descriptors),
		cmocka_unit_test(parts_are_missing),
		cmocka_unit_test(status_is_parsed_strictly),
		cmocka_unit_test(others_are_parsed_strictly),
		cmocka_unit_test(odd_files_are_refused),
		cmocka_unit_test(links_are_parsed_strictly),
		cmocka_unit_test(reads_this_process),
		cmocka_unit_test(names),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
