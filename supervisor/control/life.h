/*
 * life - the verbs that change the supervisor itself: reload, upgrade, stop.
 */
#ifndef SUPERVISOR_CONTROL_LIFE_H
#define SUPERVISOR_CONTROL_LIFE_H

#include "supervisor/control/client.h"

void	 cmd_reload(struct client *, const struct ask *);
void	 cmd_upgrade(struct client *, const struct ask *);
void	 cmd_stop(struct client *, const struct ask *);

#endif
