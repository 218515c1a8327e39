/*
 * follow - what bulkheadctl shows for as long as one looks: `monitor`, `status --watch`.
 *
 * Both end with Ctrl-C or after --timeout, with status 0.
 */
#ifndef SUPERVISOR_CTL_FOLLOW_H
#define SUPERVISOR_CTL_FOLLOW_H

#include "supervisor/ctl/link.h"
#include "supervisor/ctl/output.h"

/* Ctrl-C ends the program with 0 from here on; without --timeout there is no deadline. */
void	 follow_begin(struct ctl *, bool bounded);
/* on_say of monitor: one line an event, JSON as it came. */
void	 follow_moment(struct ctl *, struct span json);
/*
 * The status, again every second.  On a terminal it is redrawn in place, cut to the window, and q
 * ends it; elsewhere one after another, with -j one document a line.  A supervisor that is gone is
 * said and waited for.
 *	look_fn	how wide it is and whether with colors, asked anew each time
 */
int	 follow_status(struct ctl *, void (*look_fn)(struct look *));

#endif
