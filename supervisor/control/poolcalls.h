/*
 * poolcalls - what people ask of a pool's workers: `bulkheadctl POOL VERB ...`.
 *
 * A pool answers the verbs that its workers named in READY.  One CALL to one of them, one RESULT
 * back; nothing is repeated: a worker that dies takes the answer with it, and the asker is told.
 * An asker that leaves, or whose time is up, takes the question with it: the worker gets a CANCEL.
 * Owner: struct sup.  Bounded: POOLCALLS_MAX open at once.
 */
#ifndef SUPERVISOR_POOLCALLS_H
#define SUPERVISOR_POOLCALLS_H

#include "common/msg.h"
#include "supervisor/pool/pool.h"

#define POOLCALLS_MAX	64
#define POOLCALLS_MS	600000	/* until an answer */

struct poolcalls;

struct poolcalls *poolcalls_new(struct loop *);
void		 poolcalls_free(struct poolcalls **);	/* what is open ends with ECANCELLED */
/*
 * fn is called once with a borrowed result, never from inside.  body is copied.
 * ERR_OK, or why nothing was asked.
 */
enum error	 poolcalls_ask(struct poolcalls *, struct child *, struct span pool,
		    struct span verb, struct span body,
		    void (*fn)(void *arg, const struct msg_RESULT *), void *arg);
/* Nobody waits for the answer that was to come with arg: it is cancelled, fn is not called. */
void		 poolcalls_forget(struct poolcalls *, void *arg);
/* From a worker that is no rest worker.  -1: no such call is open in it. */
int		 poolcalls_result(struct poolcalls *, struct child *, const struct msg_RESULT *,
		    const char **why_r);
void		 poolcalls_worker_down(struct poolcalls *, struct child *);

#endif
