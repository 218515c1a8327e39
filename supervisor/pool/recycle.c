/*
 * recycle - see recycle.h.
 */
#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "supervisor/pool/recycle.h"

/* A fifth less at most; a limit of a few is met exactly. */
static uint64_t
sooner(uint64_t limit, uint64_t jitter)
{
	return limit - (limit / 5) * (jitter % RECYCLE_JITTER_MAX) / RECYCLE_JITTER_MAX;
}

const char *
recycle_due(const struct recycle_limits *l, const struct recycle_use *u, char *dst,
    size_t dst_bytes)
{
	char	 age[24];

	if (l->rss_bytes != 0 && u->rss_bytes > l->rss_bytes)
		snprintf(dst, dst_bytes, "it uses %" PRIu64 " KiB of memory, max_rss or nine tenths"
		    " of its limit is %" PRIu64, u->rss_bytes / 1024, l->rss_bytes / 1024);
	else if (l->deliveries != 0 && u->deliveries >= sooner(l->deliveries, u->jitter))
		snprintf(dst, dst_bytes, "it has finished %" PRIu64 " deliveries, max_deliveries is %"
		    PRIu64, u->deliveries, l->deliveries);
	else if (l->age_ms != 0 && u->age_ms >= sooner(l->age_ms, u->jitter))
		snprintf(dst, dst_bytes, "it is %s old, near max_age",
		    clock_human_ms(u->age_ms, age, sizeof(age)));
	else
		return NULL;
	return dst;
}
