/* SPDX-License-Identifier: ISC */
/*
 * Takes one layer of confinement away, to see that it is missed: linked in
 * front of a program by test_security.py, with one WEAKEN_* defined, and the
 * functions named there sent through here by the linker (--wrap).  The program
 * itself knows nothing of it.
 */
#include <cap-ng.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(WEAKEN_ROOT_DIR)

int __wrap_chroot(const char *);

int
__wrap_chroot(const char *path)
{
	(void)path;
	return 0;
}

#elif defined(WEAKEN_EMPTY_ROOT)

int __wrap_chroot(const char *);
int __real_chroot(const char *);

int
__wrap_chroot(const char *path)
{
	(void)path;
	return __real_chroot("/usr");
}

#elif defined(WEAKEN_DESCRIPTORS)

int __wrap_chroot(const char *);
int __real_chroot(const char *);

int
__wrap_chroot(const char *path)
{
	if (open("/etc/passwd", O_RDONLY) == -1)
		return -1;
	return __real_chroot(path);
}

#elif defined(WEAKEN_USER)

static uid_t asked;

int __wrap_capng_change_id(int, int, capng_flags_t);
int __real_capng_change_id(int, int, capng_flags_t);
int __wrap_getresuid(uid_t *, uid_t *, uid_t *);
int __wrap_setuid(uid_t);

int
__wrap_capng_change_id(int uid, int gid, capng_flags_t flags)
{
	(void)gid;
	asked = (uid_t)uid;
	return __real_capng_change_id(0, 0, flags);
}

int
__wrap_getresuid(uid_t *ruid, uid_t *euid, uid_t *suid)
{
	*ruid = *euid = *suid = asked;
	return 0;
}

int
__wrap_setuid(uid_t uid)
{
	(void)uid;
	return -1;
}

#elif defined(WEAKEN_GROUPS) || defined(WEAKEN_CAPABILITIES)

int __wrap_capng_change_id(int, int, capng_flags_t);
int __real_capng_change_id(int, int, capng_flags_t);
void __wrap_layer_check_capabilities(uint64_t, bool);

void
__wrap_layer_check_capabilities(uint64_t may_have, bool bounding)
{
	(void)may_have;
	(void)bounding;
}

int
__wrap_capng_change_id(int uid, int gid, capng_flags_t flags)
{
#ifdef WEAKEN_GROUPS
	const gid_t daemons = 1;

	if (setgroups(1, &daemons) == -1)
		return -1;
	return __real_capng_change_id(
	    uid, gid, flags & ~(unsigned int)CAPNG_DROP_SUPP_GRP);
#else
	return __real_capng_change_id(
	    uid, gid, flags & ~(unsigned int)CAPNG_CLEAR_BOUNDING);
#endif
}

#elif defined(WEAKEN_DUMPABLE)

int __wrap_prctl(
    int, unsigned long, unsigned long, unsigned long, unsigned long);
int __real_prctl(int, ...);

int
__wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c,
    unsigned long d)
{
	/* After a change of user it is the default not to be. */
	if (option == PR_SET_DUMPABLE)
		a = 1;
	return __real_prctl(option, a, b, c, d);
}

#elif defined(WEAKEN_LIMIT)

int __wrap_setrlimit(int, const struct rlimit *);
int __real_setrlimit(int, const struct rlimit *);

int
__wrap_setrlimit(int resource, const struct rlimit *r)
{
	return resource == WEAKEN_LIMIT ? 0 : __real_setrlimit(resource, r);
}

#elif defined(WEAKEN_NAMESPACES)

bool __wrap_layer_namespaces(bool);

bool
__wrap_layer_namespaces(bool user)
{
	(void)user;
	return true;
}

#elif defined(WEAKEN_LANDLOCK)

bool __wrap_layer_landlock(void);

bool
__wrap_layer_landlock(void)
{
	return false;
}

#elif defined(WEAKEN_MDWE)

bool __wrap_layer_mdwe(void);

bool
__wrap_layer_mdwe(void)
{
	return false;
}

#elif defined(WEAKEN_SYSTEM_CALLS)

int __wrap_seccomp_load(const scmp_filter_ctx);

int
__wrap_seccomp_load(const scmp_filter_ctx ctx)
{
	(void)ctx;
	return 0;
}

#elif defined(WEAKEN_PARENT_CAPABILITIES)

void __wrap_layer_check_capabilities(uint64_t, bool);
int __wrap_capng_apply(capng_select_t);

void
__wrap_layer_check_capabilities(uint64_t may_have, bool bounding)
{
	(void)may_have;
	(void)bounding;
}

int
__wrap_capng_apply(capng_select_t set)
{
	(void)set;
	return 0;
}

#else
#error "nothing to weaken"
#endif
