/*
 * scope - what the parts of task share; private to task.c, child.c and reply.c.
 *
 *	task	scopes: how they begin, are cancelled, drained and end
 *	child	what a handler starts in one: calls, timers, holds
 *	reply	its replies that grow
 *	alarm	what happens later
 */
#ifndef WORKER_SCOPE_H
#define WORKER_SCOPE_H

#include <sys/queue.h>

#include "common/mem.h"
#include "common/tree.h"
#include "worker/runtime/alarm.h"
#include "worker/runtime/mailbox.h"
#include "worker/runtime/task.h"

enum nack { NACK_NONE, NACK_DRAINING, NACK_FAILED, NACK_REFUSED, NACK_DEADLINE, NACK_BEHIND };

enum scope_state {
	SCOPE_WAITING,		/* in the mailbox */
	SCOPE_LATE,		/* held back by the fault point worker.slow */
	SCOPE_OPEN,
	SCOPE_CANCELLED,	/* may say one last thing */
	SCOPE_SILENT		/* has said it, or its time is over */
};

TAILQ_HEAD(child_list, child);
TAILQ_HEAD(reply_list, reply);

struct scope {
	struct mail		 mail;
	RB_ENTRY(scope)		 by_delivery;
	TAILQ_ENTRY(scope)	 entry;		/* in tasks.scopes, then in tasks.ready */
	struct tasks		*tasks;
	struct msg_EVENT	 event;		/* spans point into bytes */
	enum scope_state	 state;
	uint64_t		 ordinal;	/* of the last changing call */
	unsigned		 running;	/* its code is on the stack */
	struct child_list	 children;
	struct reply_list	 replies;
	/* the delivery's deadline, then the end of the last word */
	struct alarm		 limit;
	struct alarm		 late;
	bool			 stopped;	/* cancelled because nobody wants it */
	enum nack		 nack;
	char			 why[200];
	char			 bytes[];
};

RB_HEAD(deliveries, scope);
RB_HEAD(open_calls, child);
RB_HEAD(open_replies, reply);
TAILQ_HEAD(scope_list, scope);

struct tasks {
	const struct handler	*handler;
	const struct tasks_ops	*ops;
	void			*arg;
	struct board		*board;
	struct mailbox		*mailbox;
	struct deliveries	 deliveries;
	struct scope_list	 scopes;	/* open, in the order of arrival */
	struct scope_list	 ready;		/* to be started by tasks_run */
	struct open_calls	 calls;
	struct open_replies	 replies;
	struct alarms		 alarms;
	uint64_t		 call_number, stream_number;
	uint64_t		 last_word_ms;
	uint64_t		 self;
	void			*role;
	struct alarm		 drain;
	bool			 draining, drained, running_ready;
	size_t			 open_n;
};

/* ---- task ---- */

/* What ran before, for scope_leave: the code of one delivery may call that of another. */
struct ran {
	uint64_t	 delivery, since_us;
};

/* A handler's code runs between these two; the scope may be gone after the second. */
struct ran	 scope_enter(struct scope *);
void		 scope_leave(struct scope *, struct ran before);
/* Acked or handed back when its code is off the stack and no child is left. */
void		 scope_settle(struct scope *);
/* At the end of whatever may have ended a scope: what waited for that starts. */
void		 tasks_run(struct tasks *);
/*
 * Takes the last word of a cancelled scope, and an ordinal for what changes something; 0 for what
 * reads.  ERR_ETOOBIG: there is none left.
 */
enum error	 scope_ordinal(struct scope *, bool reads, uint64_t *ordinal_r);
/* Copied behind *at, which moves on. */
struct span	 scope_keep(char **at, struct span from);

/* ---- child ---- */

/*
 * Trouble of Discord or of the way there, not of this delivery.  A token that was refused is no
 * reason to give an answer up: the operator puts a new one in and starts again, and what is open
 * then is answered.
 */
bool		 child_may_pass(const struct msg_RESULT *);
/* Until the next attempt, after so many that met it. */
uint64_t	 child_again_ms(unsigned failed);
/* The call ends with ECANCELLED, in a later turn; nothing when it is none that is open. */
void		 child_cancel(struct tasks *, uint64_t call);
/* The same for every child. */
void		 children_cancel(struct scope *);
void		 children_free(struct scope *);		/* without a callback */

/* ---- reply ---- */

/* Each says its last word; the ones that nobody can hear are cut, in a later turn. */
void		 replies_end(struct scope *, bool at_once);
void		 replies_free(struct scope *);		/* without a callback */

#endif
