/*
 * leftover - children of a former supervisor.
 *
 * Private to pool/.  A process counts as the recorded one when pid and start time agree.
 */
#ifndef SUPERVISOR_LEFTOVER_H
#define SUPERVISOR_LEFTOVER_H

#include "common/loop.h"
#include "supervisor/journal/journal.h"

struct leftovers;

/* fn once, in a later turn, when none is left.  journal may be NULL. */
struct leftovers *leftovers_new(struct loop *, struct journal *, uint64_t rest_grace_ms,
		    void (*fn)(void *arg), void *arg);
void		 leftovers_free(struct leftovers **);	/* also inside fn */

#endif
