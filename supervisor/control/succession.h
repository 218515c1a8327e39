/*
 * succession - which worker of a service is active, and what its successor must know.
 *
 * The oldest one that is READY and not draining is active; the others are warm.  What it hands up
 * (STATE) is kept here as bytes, and its successor has it before anything else.  One that drains
 * while another is there is told so: it hands back what it has not sent and says its last word,
 * and only then the other becomes active.  So no two of them send at a time, but for what is on
 * the wire; what becomes of that is passed on.
 *
 * Owner: calls.
 */
#ifndef SUPERVISOR_SUCCESSION_H
#define SUPERVISOR_SUCCESSION_H

#include "common/loop.h"
#include "common/msg.h"
#include "supervisor/pool/pool.h"

#define SUCCESSION_WAIT_MS	1000	/* for the last word of one that drains */

struct succession;

/* on_change: another one is active, or none; never from inside succession_down. */
struct succession *succession_new(struct loop *, void (*on_change)(void *arg), void *arg);
void		 succession_free(struct succession **);
void		 succession_up(struct succession *, struct child *);
void		 succession_draining(struct succession *, struct child *);
/* False: it was none of them.  Call succession_choose after it. */
bool		 succession_down(struct succession *, struct child *);
void		 succession_choose(struct succession *);
/* All of them are about to drain: each finishes what it has. */
void		 succession_end(struct succession *);
/* From one of them.  -1: it broke the protocol. */
int		 succession_state(struct succession *, struct child *, const struct msg_STATE *,
		    const char **why_r);
struct child	*succession_active(const struct succession *);		/* NULL: none */
bool		 succession_drains(const struct succession *);		/* one of them does */

#endif
