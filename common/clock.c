/*
 * clock - reading the clocks, times for people, randomness.
 */
#include <sys/random.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"

struct mono
clock_mono(void)
{
	struct timespec	 ts;
	int		 rc;

	rc = clock_gettime(CLOCK_MONOTONIC, &ts);
	assert(rc == 0);
	(void)rc;
	return (struct mono){ (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000 };
}

uint64_t
clock_wall_ms(void)
{
	struct timespec	 ts;
	int		 rc;

	rc = clock_gettime(CLOCK_REALTIME, &ts);
	assert(rc == 0);
	(void)rc;
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

const char *
clock_human_ms(uint64_t ms, char *dst, uint64_t dst_bytes)
{
	uint64_t	 s = ms / 1000, m = s / 60, h = m / 60, d = h / 24;

	if (d > 0)
		snprintf(dst, dst_bytes, "%" PRIu64 "d %" PRIu64 "h", d, h % 24);
	else if (h > 0)
		snprintf(dst, dst_bytes, "%" PRIu64 "h %" PRIu64 "m", h, m % 60);
	else if (m > 0)
		snprintf(dst, dst_bytes, "%" PRIu64 "m %" PRIu64 "s", m, s % 60);
	else if (s > 0)
		snprintf(dst, dst_bytes, "%" PRIu64 "s", s);
	else
		snprintf(dst, dst_bytes, "%" PRIu64 "ms", ms);
	return dst;
}

const char *
clock_iso(uint64_t wall_ms, char *dst, uint64_t dst_bytes)
{
	time_t		 t = (time_t)(wall_ms / 1000);
	struct tm	 tm;
	char		 text[24];

	/* The year 9999 is the last that ISO 8601 writes with four digits. */
	if (t > 253402300799 || gmtime_r(&t, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
		snprintf(dst, dst_bytes, "9999-12-31T23:59:59.999Z");
		return dst;
	}
	snprintf(dst, dst_bytes, "%s.%03uZ", text, (unsigned)(wall_ms % 1000));
	return dst;
}

uint64_t
clock_random(uint64_t below)
{
	uint64_t	 v, skip;
	ssize_t		 n;

	assert(below > 0);
	/* 2^64 mod below: values under it would make the low results more likely than the rest. */
	skip = (0 - below) % below;
	do {
		while ((n = getrandom(&v, sizeof(v), 0)) < 0 && errno == EINTR)
			;
		if (n != (ssize_t)sizeof(v))
			abort();
	} while (v < skip);
	return v % below;
}
