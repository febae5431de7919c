/* SPDX-License-Identifier: ISC */
/*
 * Clocks that jump: linked in front of the pool by test_matrix_process.py, it
 * takes the place of the C library's for all libraries.  How far they are ahead
 * lies where one who writes to the process's memory finds it, behind a mark.
 */
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Seconds; not const, so that it is in memory that can be written to. */
static volatile struct {
	char mark[16];
	int64_t real;
	int64_t boot;
} ahead = { "clocks are ahead", 0, 0 };

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (syscall(SYS_clock_gettime, clock, ts) == -1)
		return -1;
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
		ts->tv_sec += ahead.real;
	else if (clock == CLOCK_BOOTTIME)
		ts->tv_sec += ahead.boot;
	return 0;
}

time_t
time(time_t *out)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}

int
gettimeofday(struct timeval *tv, void *zone)
{
	struct timespec now;

	(void)zone;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	tv->tv_sec = now.tv_sec;
	tv->tv_usec = now.tv_nsec / 1000;
	return 0;
}
