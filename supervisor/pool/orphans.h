/*
 * orphans - what we inherit, as pid 1 of a container and as a subreaper: processes whose parent, a
 * worker as a rule, is gone, and that nobody else waits for.
 *
 * Our own children are waited for by whoever started them, at once.  One that is a zombie at
 * three looks in a row is nobody's, and is reaped.
 */
#ifndef SUPERVISOR_POOL_ORPHANS_H
#define SUPERVISOR_POOL_ORPHANS_H

#include "common/loop.h"

#define ORPHAN_MS	200	/* between two looks */

struct orphans;

/*
 * At the end of the program, when every worker is gone: what is a child of ours now belongs to a
 * handler that is not there any more.  SIGKILL, and at most a second until it is gone.
 */
void		 orphans_kill(void);
/* NULL when this process is not pid 1, unless force is set. */
struct orphans	*orphans_new(struct loop *, bool force);
void		 orphans_free(struct orphans **);

#endif
