/*
 * limits - see limits.h.
 */
#include "supervisor/pool/limits.h"

uint64_t
limits_recycle_bytes(const struct limits *l, uint64_t max_rss_bytes)
{
	uint64_t	 bytes = l->memory_bytes / 100 * LIMITS_RECYCLE_PCT;

	if (l->memory_bytes == 0)
		return max_rss_bytes;
	return max_rss_bytes != 0 && max_rss_bytes < bytes ? max_rss_bytes : bytes;
}

bool
limits_above(const struct limits *l, uint64_t rss_kib)
{
	return l->memory_bytes != 0 && rss_kib >= l->memory_bytes / 1024;
}

uint64_t
limits_grant(uint64_t want, uint64_t hard)
{
	return want < hard ? want : hard;
}
