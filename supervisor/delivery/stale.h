/*
 * stale - unfinished answers that are too old to go on with.
 *
 * Who asked hours ago has left: to see an old message grow again helps nobody (design, Unfinished
 * answers).  Only what was begun is meant; an event that nobody began to answer is answered late.
 */
#ifndef SUPERVISOR_STALE_H
#define SUPERVISOR_STALE_H

#include "supervisor/journal/journal.h"

/*
 * Set aside, as ASIDE_STALE, those that nobody was busy with for stale_ms.  At a start, before the
 * queue takes up what the journal holds.
 *	fn	told of each, afterwards
 * How many.
 */
size_t	 stale_set_aside(struct journal *, uint64_t stale_ms, uint64_t now_ms,
	    void (*fn)(void *arg, const struct delivery *), void *arg);

#endif
