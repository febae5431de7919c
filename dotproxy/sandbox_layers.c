/* SPDX-License-Identifier: ISC */
/*
 * The layers of the children's confinement that newer kernels offer; see
 * sandbox_layers.h.  Debian 12's headers know less than its successors'
 * kernels: what they lack is defined here, and the kernel is asked.
 */
#include "dotproxy/sandbox_layers.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#define MDWE_REFUSE_EXEC_GAIN 1ul

#define LANDLOCK_VERSION 1u /* LANDLOCK_CREATE_RULESET_VERSION */

/* struct landlock_ruleset_attr as of ABI 6; older kernels take a prefix. */
struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

#define LANDLOCK_READ_FILE 0x4u /* LANDLOCK_ACCESS_FS_READ_FILE */
#define LANDLOCK_PATH_BENEATH 1 /* LANDLOCK_RULE_PATH_BENEATH */

/* struct landlock_path_beneath_attr */
struct path_beneath {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

/* What each ABI version can deny; we deny all of it. */
static const struct {
	long abi; /* first version to have it */
	size_t size;
	struct ruleset_attr attr;
} landlock_abis[] = {
	{ 6, 24, { 0xffff, 0x3, 0x3 } }, /* abstract sockets and signals */
	{ 5, 16, { 0xffff, 0x3, 0 } },   /* ioctl on devices */
	{ 4, 16, { 0x7fff, 0x3, 0 } },   /* TCP bind and connect */
	{ 3, 8, { 0x7fff, 0, 0 } },      /* truncate */
	{ 2, 8, { 0x3fff, 0, 0 } },      /* rename between directories */
	{ 1, 8, { 0x1fff, 0, 0 } },      /* the rest of the file system */
};

bool
layer_namespaces(bool user)
{
	if (unshare(user ? LAYER_USER_FLAGS : LAYER_NAMESPACE_FLAGS) == 0)
		return true;
	/*
	 * A container without SYS_ADMIN, a kernel without one of them, or one
	 * that denies users a namespace (ENOSPC: a limit of 0).
	 */
	if (errno == EPERM || errno == EINVAL || errno == ENOSYS ||
	    (user && (errno == ENOSPC || errno == EUSERS)))
		return false;
	fatal("namespaces");
}

void
layer_vanished_root(void)
{
	char path[] = "/tmp/dotproxy.XXXXXX";

	if (mkdtemp(path) == NULL || chdir(path) == -1 || rmdir(path) == -1 ||
	    chroot(".") == -1)
		fatal("empty root directory");
}

/* Files below this directory may be read all the same. */
static void
landlock_readable(int ruleset, int dir)
{
	const struct path_beneath rule = {
		.allowed_access = LANDLOCK_READ_FILE,
		.parent_fd = dir,
	};

	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_PATH_BENEATH,
		&rule, 0) == -1)
		fatal("landlock: rule");
}

bool
layer_landlock(int readable)
{
	size_t i;
	long abi;
	int fd;

	abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
	if (abi == -1) {
		if (errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM)
			return false;
		fatal("landlock");
	}
	for (i = 0; landlock_abis[i].abi > abi; i++)
		;
	fd = (int)syscall(SYS_landlock_create_ruleset, &landlock_abis[i].attr,
	    landlock_abis[i].size, 0);
	if (fd == -1)
		fatal("landlock: ruleset");
	if (readable != -1)
		landlock_readable(fd, readable);
	if (syscall(SYS_landlock_restrict_self, fd, 0) == -1)
		fatal("landlock: restrict");
	close(fd);
	return true;
}

/* The bits of all capabilities this process has, or could get by a program. */
static uint64_t
all_capabilities(bool bounding)
{
	struct __user_cap_header_struct hdr = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2];
	uint64_t bits = 0;
	unsigned int i;
	int has;

	if (syscall(SYS_capget, &hdr, data) == -1)
		fatal("cannot read capabilities");
	for (i = 0; i < 2; i++)
		bits |= (uint64_t)(data[i].effective | data[i].permitted |
				   data[i].inheritable)
			<< 32 * i;
	for (i = 0; bounding && i < 64; i++) {
		has = prctl(PR_CAPBSET_READ, i, 0, 0, 0);
		if (has == -1 && errno != EINVAL) /* there is none */
			fatal("cannot read capabilities");
		bits |= (uint64_t)(has == 1) << i;
	}
	return bits;
}

void
layer_check_capabilities(uint64_t may_have, bool bounding)
{
	if ((all_capabilities(bounding) & ~may_have) != 0)
		fatalx("capabilities were not given up");
}

bool
layer_mdwe(void)
{
	if (prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0)
		return true;
	if (errno == EINVAL) /* before Linux 6.3 */
		return false;
	fatal("memory-deny-write-execute");
}
