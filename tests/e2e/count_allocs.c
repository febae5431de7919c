/* SPDX-License-Identifier: ISC */
/*
 * Counts what a process asks of the allocator: linked in front of a program
 * by test_fastpath.py, it takes the place of malloc for its libraries, too.
 * A confined process can not tell anybody; so the number lies where one who
 * reads its memory finds it, behind a mark.
 * What OpenSSL asks for is counted apart.  Must do nothing else.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* glibc's own, by the names it keeps for this. */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

/* Not const, so that it is in memory that can be written to. */
static volatile struct {
	char mark[16];
	uint64_t calls;
	uint64_t tls_calls;
} count = { { "allocator calls:" }, 0, 0 };

void *
malloc(size_t n)
{
	count.calls++;
	return __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	count.calls++;
	return __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	count.calls++;
	return __libc_realloc(p, n);
}

void *
aligned_alloc(size_t alignment, size_t n)
{
	count.calls++;
	return __libc_memalign(alignment, n);
}

int
posix_memalign(void **p, size_t alignment, size_t n)
{
	*p = aligned_alloc(alignment, n);
	return *p == NULL;
}

/* OpenSSL's, where it is linked; the program's own wish is not heard. */
typedef int set_functions(void *(*)(size_t, const char *, int),
    void *(*)(void *, size_t, const char *, int),
    void (*)(void *, const char *, int));

set_functions CRYPTO_set_mem_functions;

int
CRYPTO_set_mem_functions(void *(*m)(size_t, const char *, int),
    void *(*r)(void *, size_t, const char *, int),
    void (*f)(void *, const char *, int))
{
	(void)m;
	(void)r;
	(void)f;
	return 1;
}

static void *
tls_malloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	count.tls_calls++;
	return __libc_malloc(n);
}

static void *
tls_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	count.tls_calls++;
	return __libc_realloc(p, n);
}

static void
tls_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

__attribute__((constructor)) static void
set_up(void)
{
	set_functions *set;

	*(void **)&set = dlsym(RTLD_NEXT, "CRYPTO_set_mem_functions");
	if (set != NULL)
		(void)set(tls_malloc, tls_realloc, tls_free);
}
