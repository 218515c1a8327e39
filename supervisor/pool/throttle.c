/*
 * throttle - see throttle.h.
 */
#include <string.h>
#include "supervisor/pool/throttle.h"

void
throttle_init(struct throttle *t)
{
	memset(t, 0, sizeof(*t));
}

void
throttle_started(struct throttle *t, struct mono now)
{
	t->started = now;
}

/* Up to a quarter less, never more: the cap in the documentation is a promise. */
static uint64_t
jitter(uint64_t ms, uint64_t random)
{
	return ms - random % (ms / 4 + 1);
}

/* Is the oldest of the last THROTTLE_DEATHS deaths inside the window? */
static bool
too_many(struct throttle *t, struct mono now)
{
	struct mono	 oldest = t->deaths[t->next];	/* the next to be overwritten */

	return !mono_is_never(oldest) && mono_ms_between(oldest, now) <= THROTTLE_WINDOW_MS;
}

uint64_t
throttle_died(struct throttle *t, struct mono now, bool was_ready, uint64_t ready_ms,
    uint64_t random)
{
	uint64_t	 wait, apart;

	if (was_ready && ready_ms >= THROTTLE_HEALTHY_MS) {
		struct mono	 started = t->started;

		throttle_init(t);
		t->started = started;
	}
	t->deaths[t->next] = now;
	t->next = (t->next + 1) % THROTTLE_DEATHS;
	if (too_many(t, now))
		t->failed = true;
	if (!was_ready && t->early < 32)
		t->early++;

	if (t->failed)
		return jitter(THROTTLE_CAP_MS, random);
	if (!was_ready) {
		wait = (uint64_t)THROTTLE_FIRST_MS << (t->early - 1);
		return jitter(wait < THROTTLE_CAP_MS ? wait : THROTTLE_CAP_MS, random);
	}
	if (!t->again) {
		t->again = true;
		return 0;
	}
	apart = mono_ms_between(t->started, now);
	return apart >= THROTTLE_APART_MS ? 0 : THROTTLE_APART_MS - apart;
}
