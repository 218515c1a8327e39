/*
 * recycle - is a worker to be replaced before it is too old or too large?
 *
 * Pure.  What leaks a little in each delivery is made harmless by a new process now and then; the
 * replacement is a rolling one, so nobody notices.  Siblings start together: each goes a little
 * before its limit, by its own jitter, so that they do not end together.
 */
#ifndef SUPERVISOR_RECYCLE_H
#define SUPERVISOR_RECYCLE_H

#include <stddef.h>
#include <stdint.h>

#define RECYCLE_JITTER_MAX	1000	/* jitter is below this */

struct recycle_limits {
	uint64_t	 age_ms, deliveries, rss_bytes;		/* 0: none */
};

struct recycle_use {
	uint64_t	 age_ms, deliveries, rss_bytes;
	uint64_t	 jitter;	/* of this process, below RECYCLE_JITTER_MAX: up to a fifth less */
};

/* Why it is due, into dst; NULL: it is not. */
const char	*recycle_due(const struct recycle_limits *, const struct recycle_use *, char *dst,
		    size_t dst_bytes);

#endif
