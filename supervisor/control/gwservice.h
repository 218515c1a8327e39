/*
 * gwservice - the service `gateway`: what handlers and people ask of the connection to Discord.
 *
 * Verbs of a CALL:
 *	PRESENCE	body: status, activities, afk, since as Discord spells them.  RESULT at once,
 *			status 200: told; 202: it waits for the limits or the connection, and counts
 *			unless another one comes first.  The last one is kept in the journal.
 * Nothing of it is an effect: ordinal is 0, a redelivery asks again.
 */
#ifndef SUPERVISOR_GWSERVICE_H
#define SUPERVISOR_GWSERVICE_H

#include "supervisor/control/client.h"

/* From a handler; answered by RESULT, at once.  0. */
int	 gwservice_call(struct sup *, struct child *, const struct msg_CALL *);

/* bulkheadctl presence, identify. */
void	 cmd_presence(struct client *, const struct ask *);
void	 cmd_identify(struct client *, const struct ask *);
/* The new session is live. */
void	 gwservice_identified(struct client *);

#endif
