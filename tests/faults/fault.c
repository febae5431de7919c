/* SPDX-License-Identifier: ISC */
/*
 * Makes the N-th call of a function fail: loaded in front of a program by
 * faults.py (LD_PRELOAD), and by itself in front of what that executes, for
 * the children's environment is empty.  The plan, and what came of it, is in
 * memory shared with faults.py, one file for each program, mapped before the
 * program's main(): a confined process can open nothing.  Must do nothing else,
 * and make no system call behind main().
 *
 * Functions are passed through by their registers: eight integers or pointers,
 * whatever they are declared as, which is right on every Linux this runs on.
 */
#include <dlfcn.h>
#include <link.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "functions.h"

#define ARGS long a, long b, long c, long d, long e, long f, long g, long h
#define PASS a, b, c, d, e, f, g, h

typedef long function(ARGS);

enum {
#define FUNCTION(name, value) F_##name,
#include "functions.h"
#undef FUNCTION
	F_malloc,
	F_calloc,
	F_realloc,
	F_execve,
	F_getpwnam,
	F_COUNT
};

/* As faults.py knows it. */
struct state {
	uint32_t armed;
	uint32_t function;
	uint32_t nth;     /* counted in each life of the program */
	uint32_t err;     /* errno */
	uint32_t forever; /* from that call on; else once in all lives */
	uint32_t life;    /* in which; 0: any */
	uint32_t fired;
	uint32_t lives;
	uint64_t offset; /* who called when it fired first, */
	char object[80]; /* in which object */
	struct {
		char name[56];
		uint32_t calls;
		uint32_t spare;
	} functions[F_COUNT];
};

static const char *const names[F_COUNT] = {
#define FUNCTION(name, value) [F_##name] = #name,
#include "functions.h"
#undef FUNCTION
	[F_malloc] = "malloc",
	[F_calloc] = "calloc",
	[F_realloc] = "realloc",
	[F_execve] = "execve",
	[F_getpwnam] = "getpwnam",
};

static struct state *state;
static function *real[F_COUNT];
static char preload[4096], folder[4096];
static struct {
	uintptr_t from;
	size_t len;
} spared; /* the code of a library */
static bool in_getpwnam;

/* glibc's own, by the names it keeps for this. */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static void
note(const void *site)
{
	const char *base;
	Dl_info info;

	if (state->fired++ > 0 || dladdr(site, &info) == 0)
		return;
	base = strrchr(info.dli_fname, '/');
	base = base != NULL ? base + 1 : info.dli_fname;
	strncpy(state->object, base, sizeof(state->object) - 1);
	state->offset =
	    (uint64_t)((const char *)site - (const char *)info.dli_fbase);
}

/* Counts a call; true if it is to fail. */
static bool
fails(unsigned int i, const void *site)
{
	uint32_t n;

	if (state == NULL)
		return false;
	n = ++state->functions[i].calls;
	if (!state->armed || state->function != i || n < state->nth ||
	    (state->life != 0 && state->life != state->lives))
		return false;
	if (!state->forever && (n > state->nth || state->fired > 0))
		return false;
	note(site);
	errno = (int)state->err;
	return true;
}

static function *
find(unsigned int i)
{
	if (real[i] == NULL)
		real[i] = (function *)dlsym(RTLD_NEXT, names[i]);
	return real[i];
}

/* What a function says when it fails: a number, or errno with a sign. */
#define ERRNO_NEGATIVE (-(long)state->err)

/*
 * libseccomp gets its memory: 2.5.4 may crash or hang without, and may leave
 * rules out without a word, see docs/SECURITY.md.  So does getpwnam(), in
 * which glibc 2.36 crashes without.
 */
static bool
memory_fails(unsigned int i, const void *site)
{
	if (in_getpwnam || (uintptr_t)site - spared.from < spared.len)
		return false;
	return fails(i, site);
}

static int
find_spared(struct dl_phdr_info *info, size_t size, void *arg)
{
	int i;

	(void)size;
	(void)arg;
	if (strstr(info->dlpi_name, "libseccomp") == NULL)
		return 0;
	for (i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD &&
		    info->dlpi_phdr[i].p_flags & PF_X) {
			spared.from =
			    info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
			spared.len = info->dlpi_phdr[i].p_memsz;
		}
	return 1;
}

#define FUNCTION(name, value)                                     \
	long fault_##name(ARGS) __asm__(#name);                   \
	long fault_##name(ARGS)                                   \
	{                                                         \
		if (fails(F_##name, __builtin_return_address(0))) \
			return value;                             \
		return find(F_##name)(PASS);                      \
	}
#include "functions.h"
#undef FUNCTION

void *
malloc(size_t n)
{
	return memory_fails(F_malloc, __builtin_return_address(0))
		   ? NULL
		   : __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	return memory_fails(F_calloc, __builtin_return_address(0))
		   ? NULL
		   : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	return memory_fails(F_realloc, __builtin_return_address(0))
		   ? NULL
		   : __libc_realloc(p, n);
}

struct passwd *
getpwnam(const char *name)
{
	long pw;

	if (fails(F_getpwnam, __builtin_return_address(0)))
		return NULL;
	in_getpwnam = true;
	pw = find(F_getpwnam)((long)name, 0, 0, 0, 0, 0, 0, 0);
	in_getpwnam = false;
	return (struct passwd *)pw;
}

int
execve(const char *path, char *const argv[], char *const envp[])
{
	char *with[] = { preload, folder, NULL };

	(void)envp; /* it is empty */
	if (fails(F_execve, __builtin_return_address(0)))
		return -1;
	return (int)find(F_execve)(
	    (long)path, (long)argv, (long)with, 0, 0, 0, 0, 0);
}

static void
map(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct state *s;
	unsigned int i;

	if (fd == -1)
		return;
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (s == MAP_FAILED)
		return;
	for (i = 0; i < F_COUNT; i++) {
		strncpy(s->functions[i].name, names[i],
		    sizeof(s->functions[i].name) - 1);
		s->functions[i].calls = 0;
	}
	s->lives++;
	state = s;
}

__attribute__((constructor)) static void
set_up(void)
{
	const char *so = getenv("LD_PRELOAD"), *dir = getenv("FAULT_DIR");
	const char *role = getenv("FAULT_ROLE");
	char path[4096];
	unsigned int i;

	if (so == NULL || dir == NULL)
		return;
	for (i = 0; i < F_COUNT; i++)
		(void)find(i);
	(void)dl_iterate_phdr(find_spared, NULL);
	(void)snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", so);
	(void)snprintf(folder, sizeof(folder), "FAULT_DIR=%s", dir);
	(void)snprintf(path, sizeof(path), "%s/%s.state", dir,
	    role != NULL ? role : program_invocation_short_name);
	/* What is under test shall not see it. */
	(void)unsetenv("LD_PRELOAD");
	(void)unsetenv("FAULT_DIR");
	(void)unsetenv("FAULT_ROLE");
	map(path);
}
