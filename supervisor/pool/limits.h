/*
 * limits - what one worker may use, and what becomes of that on this machine.  Pure.
 *
 * Memory is never limited by RLIMIT_AS: address space is not memory, and a worker that may not map
 * fails in places where nobody looks.  It has a control group where one was delegated (cgroup.h),
 * and is killed by the kernel; else by us, who look at its resident size every second.  In either
 * case a successor takes over at LIMITS_RECYCLE_PCT of the limit and the worker drains.
 */
#ifndef SUPERVISOR_LIMITS_H
#define SUPERVISOR_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#define LIMITS_RECYCLE_PCT	90

struct limits {
	uint64_t	 memory_bytes;		/* 0: none */
	uint64_t	 files;			/* RLIMIT_NOFILE; 0: as ours */
	uint64_t	 core_bytes;		/* RLIMIT_CORE; 0: no core file */
	uint64_t	 processes;		/* and threads: pids.max, or RLIMIT_NPROC; 0: none */
};

/* What max_rss of recycle.h is to be: the sooner of an own limit and of the one for memory; 0 none. */
uint64_t	 limits_recycle_bytes(const struct limits *, uint64_t max_rss_bytes);
bool		 limits_above(const struct limits *, uint64_t rss_kib);
/* A limit that setrlimit grants: not above the hard one, unless that is infinite (UINT64_MAX). */
uint64_t	 limits_grant(uint64_t want, uint64_t hard);

#endif
