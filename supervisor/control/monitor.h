/*
 * monitor - `bulkheadctl monitor`: life-cycle events as lines, as long as the client listens.
 *
 * One SAY per event, a JSON object: at, event (moments.def), who, text.  Bounded: MONITORS_MAX at
 * once, so that other commands find room; a client that leaves MONITOR_UNREAD_MAX unread is dropped
 * and counted (control_slow).  END comes with the end of the supervisor.
 */
#ifndef SUPERVISOR_CONTROL_MONITOR_H
#define SUPERVISOR_CONTROL_MONITOR_H

#include "supervisor/control/client.h"

#define MONITORS_MAX		8
#define MONITOR_UNREAD_MAX	(16u << 10)

void	 cmd_monitor(struct client *, const struct ask *);
/* A client that followed is gone. */
void	 monitor_left(struct control *);
/* The supervisor ends: who follows is told. */
void	 monitor_end(struct control *);

#endif
