/*
 * poolcalls - what is asked of a pool's workers: a pool that names verbs in READY is a service.
 *
 * People ask by `bulkheadctl POOL VERB ...`, handlers by a CALL whose service is the pool's name.
 * One CALL to one of its workers, one RESULT back; nothing is journaled and nothing repeated: a
 * worker that dies takes the answer with it, and who asked is told ERETRY.
 *
 *  - no such pool, or a verb that none of its workers named: ESERVICE.  None READY: ERETRY.
 *  - delivery that the asker does not hold: EACKED.  An ordinal: EINVALID, for effects of a pool
 *    are not remembered.
 *  - deadline: EDEADLINE.  Then, and when who asked leaves or dies, the worker gets a CANCEL.
 * Owner: struct sup.  Bounded: POOLCALLS_MAX open for people, POOLCALLS_WORKERS_MAX for handlers;
 * above it ESERVICE.
 */
#ifndef SUPERVISOR_POOLCALLS_H
#define SUPERVISOR_POOLCALLS_H

#include "common/msg.h"
#include "common/tables.h"
#include "supervisor/pool/pool.h"

#define POOLCALLS_MAX		64
#define POOLCALLS_WORKERS_MAX	4096
#define POOLCALLS_MS		600000	/* until an answer to people */

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
/*
 * CALL of a handler whose service is not discord.  Answered by RESULT, at once when nothing was
 * asked.  -1: it broke the protocol (a number used twice).
 */
int		 poolcalls_from_worker(struct poolcalls *, struct pools *, struct child *from,
		    const struct msg_CALL *, const char **why_r);
/* From a worker that is no rest worker.  -1: no such call is open in it. */
int		 poolcalls_result(struct poolcalls *, struct child *, const struct msg_RESULT *,
		    const char **why_r);
/* It asked, or was asked, or both. */
void		 poolcalls_worker_down(struct poolcalls *, struct child *);

#endif
