/* SPDX-License-Identifier: ISC */
/*
 * Allocations that fail, for a program that includes this in one of its files
 * and is linked with --wrap (the makefile sees to that): those of its own
 * objects, not of libraries.  What is allocated while it counts is known, so
 * that what is not freed shows, with and without sanitizers.
 */
#ifndef TESTS_ALLOC_FAIL_H
#define TESTS_ALLOC_FAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALLOC_LIVE_MAX 4096

static struct {
	bool on;
	unsigned long left; /* until one fails; 0: none does */
	unsigned long calls;
	bool failed;
	size_t nlive;
	const void *live[ALLOC_LIVE_MAX];
} alloc_state;

void *__wrap_malloc(size_t);
void *__real_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__real_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void *__real_realloc(void *, size_t);
char *__wrap_strdup(const char *);
void __wrap_free(void *);
void __real_free(void *);

/* True if this one is to fail. */
static inline bool
alloc_fails(void)
{
	if (!alloc_state.on)
		return false;
	alloc_state.calls++;
	if (alloc_state.left == 0 || --alloc_state.left > 0)
		return false;
	alloc_state.failed = true;
	return true;
}

static inline void *
alloc_note(void *p)
{
	if (!alloc_state.on || p == NULL)
		return p;
	if (alloc_state.nlive == ALLOC_LIVE_MAX)
		abort();
	alloc_state.live[alloc_state.nlive++] = p;
	return p;
}

static inline void
alloc_forget(const void *p)
{
	size_t i;

	for (i = 0; i < alloc_state.nlive; i++)
		if (alloc_state.live[i] == p) {
			alloc_state.live[i] =
			    alloc_state.live[--alloc_state.nlive];
			return;
		}
}

void *
__wrap_malloc(size_t n)
{
	return alloc_fails() ? NULL : alloc_note(__real_malloc(n));
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return alloc_fails() ? NULL : alloc_note(__real_calloc(n, size));
}

void *
__wrap_realloc(void *p, size_t n)
{
	if (alloc_fails())
		return NULL;
	alloc_forget(p);
	return alloc_note(__real_realloc(p, n));
}

char *
__wrap_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = __wrap_malloc(n);

	return p != NULL ? memcpy(p, s, n) : NULL;
}

void
__wrap_free(void *p)
{
	alloc_forget(p);
	__real_free(p);
}

/* From now on they are counted, and the kth fails, once; 0: none. */
static inline void
alloc_fail_at(unsigned long k)
{
	memset(&alloc_state, 0, sizeof(alloc_state));
	alloc_state.left = k;
	alloc_state.on = true;
}

/* No more; true if one has failed. */
static inline bool
alloc_fail_off(void)
{
	alloc_state.on = false;
	return alloc_state.failed;
}

/*
 * Has each allocation of what fn does, with the arguments that follow, fail in
 * turn.  fn returns true if it has
 * done all it should; it has to, when none fails.  What it made it has freed
 * when it returns.  Returns how many there were.
 */
#define ALLOC_FAIL_EACH(fn, ...)                                             \
	do {                                                                 \
		unsigned long alloc_k;                                       \
		bool alloc_ok, alloc_hit;                                    \
		for (alloc_k = 1;; alloc_k++) {                              \
			alloc_fail_at(alloc_k);                              \
			alloc_ok = (fn)(__VA_ARGS__);                        \
			alloc_hit = alloc_fail_off();                        \
			if (alloc_state.nlive != 0)                          \
				fail_msg("%s: %zu not freed after %lu", #fn, \
				    alloc_state.nlive, alloc_k);             \
			if (!alloc_hit)                                      \
				break;                                       \
		}                                                            \
		assert_true(alloc_ok);                                       \
		if (alloc_k == 1)                                            \
			fail_msg("%s allocates nothing", #fn);               \
	} while (0)

#endif
