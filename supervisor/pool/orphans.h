/*
 * orphans - what pid 1 of a container inherits: dead processes that nobody else waits for.
 *
 * Our own children are waited for by whoever started them, at once.  One that is a zombie at
 * three looks in a row is nobody's, and is reaped.
 */
#ifndef SUPERVISOR_POOL_ORPHANS_H
#define SUPERVISOR_POOL_ORPHANS_H

#include "common/loop.h"

#define ORPHAN_MS	200	/* between two looks */

struct orphans;

/* NULL when this process is not pid 1, unless force is set. */
struct orphans	*orphans_new(struct loop *, bool force);
void		 orphans_free(struct orphans **);

#endif
