/* SPDX-License-Identifier: ISC */
/* Clock, latency histogram and CPU time for the load generator. */
#ifndef TESTS_BENCH_MEASURE_H
#define TESTS_BENCH_MEASURE_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS 1000000000ULL
#define HISTOGRAM_BITS 6

/* Buckets are a 64th of a power of two wide. */
struct histogram {
	unsigned long total;
	unsigned long bucket[64 << HISTOGRAM_BITS];
};

static inline uint64_t
clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

static inline void
histogram_add(struct histogram *h, uint64_t ns)
{
	unsigned shift = 0;

	while (ns >> shift >= 2 << HISTOGRAM_BITS)
		shift++;
	h->bucket[((uint64_t)shift << HISTOGRAM_BITS) + (ns >> shift)]++;
	h->total++;
}

/* The latency in microseconds which a share of all stayed below. */
static inline double
histogram_us(const struct histogram *h, double share)
{
	unsigned long left = (unsigned long)(share * (double)h->total);
	size_t i, shift;

	if (h->total == 0)
		return 0;
	for (i = 0; h->bucket[i] <= left; i++)
		left -= h->bucket[i];
	shift = i >> HISTOGRAM_BITS ? (i >> HISTOGRAM_BITS) - 1 : 0;
	return (double)((i - (shift << HISTOGRAM_BITS)) << shift) / 1000;
}

/* CPU time of all threads of a process so far; 0 if there is none. */
static inline uint64_t
process_cpu_ns(long pid)
{
	unsigned long long ns, sum = 0;
	struct dirent *de;
	char path[300];
	FILE *f;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%ld/task", pid);
	if ((dir = opendir(path)) == NULL)
		return 0;
	while ((de = readdir(dir)) != NULL) {
		(void)snprintf(path, sizeof(path),
		    "/proc/%ld/task/%.16s/schedstat", pid, de->d_name);
		if (de->d_name[0] == '.' || (f = fopen(path, "r")) == NULL)
			continue;
		if (fscanf(f, "%llu", &ns) == 1)
			sum += ns;
		fclose(f);
	}
	closedir(dir);
	return sum;
}

/* The same for a list of processes, "1,2,3" or NULL. */
static inline uint64_t
processes_cpu_ns(const char *list)
{
	uint64_t sum = 0;
	char *end;

	while (list != NULL && *list != '\0') {
		sum += process_cpu_ns(strtol(list, &end, 10));
		list = *end == ',' ? end + 1 : NULL;
	}
	return sum;
}

#endif
