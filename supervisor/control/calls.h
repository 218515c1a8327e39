/*
 * calls - every CALL is kept until its RESULT.
 *
 * From workers, from bulkheadctl and from the supervisor itself (GET /gateway/bot) to the service
 * `discord`: the active rest worker.  When it dies the next one that is READY becomes active and
 * gets what was open, in order, with asked_ms set.  Changing calls of a delivery are journaled:
 * asked before they go out, effect when they are back.
 *
 *  - ordinal done on the same route: answered from the journal, no request.  On another route:
 *    EORDINAL.
 *  - asked, not done: proto/routes.def decides (REPEAT, NONCE within 60 s, CODE, DOUBT ->
 *    EAMBIGUOUS).
 *  - delivery that this worker does not hold: EACKED.
 *  - above PROTO_CALL_KEEP_MAX: sent, not kept; ERETRY when the worker dies.
 *  - in flight in `poison` dead rest workers: EPOISON.  One death short of it a call goes out alone
 *    among such ones, and a death is then its own: the others that were in flight are not charged.
 *  - a POST does not overtake an earlier one of its route that a draining worker has, or that waits.
 *  - handed back by a rest worker that drains, not sent: the next one gets it in its old place.
 *  - no rest worker, or no room in the journal for what is asked: kept until its deadline.
 * Owner: struct sup.  Bounded: CALLS_MAX open at once; above it ESERVICE at once.
 */
#ifndef SUPERVISOR_CALLS_H
#define SUPERVISOR_CALLS_H

#include "common/msg.h"
#include "supervisor/delivery/queue.h"
#include "supervisor/pool/pool.h"

#define CALLS_MAX	65536

struct calls;

struct calls	*calls_new(struct loop *, const struct cfg *, struct journal *);
void		 calls_free(struct calls **);

/* From a worker.  -1: broke the protocol (a number used twice). */
int		 calls_from_worker(struct calls *, struct child *, const struct msg_CALL *,
		    const char **why_r);
/* From inside: fn is called once, with borrowed result. deadline_ms 0: call_timeout. */
void		 calls_ask(struct calls *, const char *method, const char *path, struct span body,
		    uint64_t deadline_ms, void (*fn)(void *arg, const struct msg_RESULT *),
		    void *arg);
/* The same; in the body what the active rest worker knows of the limits (PROTO_VERB_LIMITS). */
void		 calls_limits(struct calls *, uint64_t deadline_ms,
		    void (*fn)(void *arg, const struct msg_RESULT *), void *arg);
/* Forget a calls_ask whose asker is gone. */
void		 calls_forget(struct calls *, void *arg);
/* The same, and a rest worker that has it stops trying. */
void		 calls_cancel(struct calls *, void *arg);
/* RESULT of a rest worker. -1: no such call was open in it. */
int		 calls_result(struct calls *, struct child *, const struct msg_RESULT *,
		    const char **why_r);

/* A rest worker is READY / takes no more / is dead. */
void		 calls_service_up(struct calls *, struct child *);
void		 calls_service_draining(struct calls *, struct child *);
/* asked: an operator restarts it; that death charges no call. */
void		 calls_service_down(struct calls *, struct child *, bool asked);
/*
 * A handler worker is dead: its calls are dropped at their RESULT (the effect is still journaled).
 */
void		 calls_worker_down(struct calls *, struct child *);
/* All of them are about to drain: what they have is not given to another. */
void		 calls_services_end(struct calls *);
/* STATE of a rest worker.  -1: it broke the protocol. */
int		 calls_state(struct calls *, struct child *, const struct msg_STATE *,
		    const char **why_r);
/* fn is called whenever calls_service may be another one. */
void		 calls_follow(struct calls *, void (*fn)(void *arg), void *arg);
const struct child *calls_active(const struct calls *);
/* The one that CALLs go to now; NULL: none, or the gate is shut. */
struct child	*calls_service(const struct calls *);
size_t		 calls_open(const struct calls *);
/* Send what the journal had no room for.  Call at the loop tail. */
void		 calls_run(struct calls *);
/*
 * No CALL goes out before this is set: the rest worker of a former supervisor may still be writing.
 */
void		 calls_gate(struct calls *, bool open);

#endif
