/*
 * throttle - how soon a dead worker is replaced.
 *
 * Pure: time and random numbers come in.
 *
 *  - At once the first time; after that starts are at least THROTTLE_APART_MS apart.
 *  - Deaths before READY double the wait from THROTTLE_FIRST_MS to THROTTLE_CAP_MS, less up to a
 *    quarter as jitter, so that slots that fail together do not come back together.
 *  - THROTTLE_DEATHS deaths within THROTTLE_WINDOW_MS: failed; retried at the cap from then on.
 *  - A process that was READY for THROTTLE_HEALTHY_MS resets everything.  So does an operator:
 *    throttle_init.
 *
 * Source: style.md 11 (s6, dovecot); design.md 3.12.
 */
#ifndef SUPERVISOR_THROTTLE_H
#define SUPERVISOR_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>
#include "common/clock.h"

#define THROTTLE_APART_MS	1000
#define THROTTLE_FIRST_MS	2000
#define THROTTLE_CAP_MS		60000
#define THROTTLE_HEALTHY_MS	60000
#define THROTTLE_DEATHS		10
#define THROTTLE_WINDOW_MS	60000

struct throttle {
	struct mono	 started;			/* the last start */
	struct mono	 deaths[THROTTLE_DEATHS];	/* ring, newest before next */
	unsigned	 next;
	unsigned	 early;			/* deaths before READY since it was healthy */
	bool		 again;				/* the start at once is used up */
	bool		 failed;
};

void	 throttle_init(struct throttle *);
void	 throttle_started(struct throttle *, struct mono now);
/*
 * A process is dead.
 *	ready_ms	how long it was READY
 *	was_ready	false: it never was
 *	random		any 64 bits
 * Wait in ms before the next start; t->failed says whether this is a failure that alarms.
 */
uint64_t throttle_died(struct throttle *, struct mono now, bool was_ready, uint64_t ready_ms,
	    uint64_t random);

#endif
