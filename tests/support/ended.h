/* SPDX-License-Identifier: ISC */
/*
 * What has become of the queries that are over, by the counters of a process:
 * with those in flight they are all that came, see common/stats.h.
 */
#ifndef TESTS_ENDED_H
#define TESTS_ENDED_H

#include "common/stats.h"

static inline uint64_t
ended_in_listener(const uint64_t *c)
{
	return c[LSTAT_answered] + c[LSTAT_failed_timeout] +
	       c[LSTAT_failed_network] + c[LSTAT_failed_tls] +
	       c[LSTAT_failed_busy] + c[LSTAT_failed_not_ready] +
	       c[LSTAT_failed_other] + c[LSTAT_refused_acl] +
	       c[LSTAT_refused_unsupported] + c[LSTAT_refused_limited] +
	       c[LSTAT_dropped_limited] + c[LSTAT_dropped_malformed] +
	       c[LSTAT_dropped_send] + c[LSTAT_dropped_repeated] +
	       c[LSTAT_abandoned];
}

static inline uint64_t
ended_in_pool(const uint64_t *c)
{
	return c[TSTAT_answered] + c[TSTAT_failed_timeout] +
	       c[TSTAT_failed_network] + c[TSTAT_failed_tls] +
	       c[TSTAT_failed_busy] + c[TSTAT_failed_other] +
	       c[TSTAT_cancelled];
}

#endif
