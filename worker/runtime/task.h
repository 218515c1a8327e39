/*
 * task - structured work: every delivery opens a scope, everything that it starts is a child of
 * that scope.
 *
 * The delivery is acked when its handler has returned and the scope is empty.  Cancelling a scope
 * ends its children with ECANCELLED; it may then make one more call, its last word.  Nothing
 * detached can be written with this.
 *
 * Pure but for struct tasks_ops: no socket, no clock, no libevent.  Callbacks of children never
 * come from inside the call that started or cancelled them.
 *
 * Owner: main owns struct tasks; a handler borrows struct scope until its last callback has
 * returned.
 */
#ifndef WORKER_TASK_H
#define WORKER_TASK_H

#include "worker/worker.h"

#define TASK_CALL_DEADLINE_MS	30000	/* of a call, unless the scope ends earlier */
#define TASK_ANSWER_GRACE_MS	2000	/* beyond the deadline, for the RESULT to arrive */
/* Until a call that met trouble is asked again, doubled each time; and for how long that goes on. */
#define TASK_AGAIN_MS		1000ull
#define TASK_AGAIN_MAX_MS	30000ull
#define TASK_REPLY_MAX		262144	/* bytes of one growing reply */
#define TASK_REPLY_MS		200	/* between two pieces of it */
#define TASK_PATIENCE_MS	900000

struct scope;
struct reply;
struct hold;

/* What a role is made of. */
struct handler {
	const char	*role;
	bool		 serial;
	/* One delivery.  The message is valid as long as the scope. */
	void		(*start)(struct scope *, const struct msg_EVENT *);
	/* A state event, of those that the pool's option `states` names; NULL: ignored. */
	void		(*news)(void *role, const struct msg_NEWS *);
};

struct tasks_ops {
	void		(*send)(void *arg, enum msg_type, const void *src);
	struct mono	(*now)(void *arg);
	/* call tasks_tick then; MONO_NEVER: not needed */
	void		(*wake_at)(void *arg, struct mono);
	/* after tasks_drain: nothing is open any more */
	void		(*drained)(void *arg);
};

/* board is written by every change; last_word_ms: T2 of a cancel that is no drain. */
struct tasks	*tasks_new(const struct handler *, struct board *, uint64_t last_word_ms,
		    const struct tasks_ops *, void *arg);
void		 tasks_free(struct tasks **);		/* what is open is dropped without a word */
void		 tasks_event(struct tasks *, const struct msg_EVENT *);
void		 tasks_news(struct tasks *, const struct msg_NEWS *);
void		 tasks_result(struct tasks *, const struct msg_RESULT *);
void		 tasks_stream_state(struct tasks *, const struct msg_STREAM_STATE *);
void		 tasks_cancel(struct tasks *, const struct msg_CANCEL *);
void		 tasks_drain(struct tasks *, uint64_t finish_ms, uint64_t last_word_ms);
void		 tasks_tick(struct tasks *);
void		 tasks_self(struct tasks *, uint64_t user);
/* What the handlers of this role share; borrowed, for scope_role. */
void		 tasks_role(struct tasks *, void *role);
size_t		 tasks_open_n(const struct tasks *);

/* ---- for handlers ---- */

/*
 * Ask Discord.  Path is below /api/v10; body is copied; fn is called once, with a borrowed result.
 * Trouble that may pass (Discord unreachable, 5xx, limits) is waited out: the call is asked again
 * with its ordinal until it is settled, TASK_PATIENCE_MS are over or the scope is cancelled.
 * False: the scope is cancelled and its last word is said; nothing is asked and fn is not called.
 */
bool		 scope_call(struct scope *, const char *method, const char *path, struct span body,
		    enum lane, void (*fn)(struct scope *, const struct msg_RESULT *, void *arg),
		    void *arg);
/*
 * fn is called once, after ms; error is ERR_OK or ERR_ECANCELLED.  False: the scope is cancelled,
 * fn is not called.
 */
bool		 scope_timer(struct scope *, uint64_t ms,
		    void (*fn)(struct scope *, enum error, void *arg), void *arg);
/*
 * A reply that grows: a child of the scope until its final state (5 done, 6 stopped, 7 failed).
 * Cancelling the scope ends it as restarting, or interrupted when nobody goes on; what was appended
 * before is shown.  Its text begins anew with each attempt of the delivery, and is shown in the
 * messages of the attempt before.
 *	reply_to	message that the first one refers to; 0 none
 *	flags		of STREAM_OPEN: 1 typing until the first text is shown; 2 no notification
 *	fn		called with each STREAM_STATE; after a final one the reply is gone
 * NULL: the scope is cancelled or has no ordinal left; fn is not called.
 */
struct reply	*scope_stream_open(struct scope *, uint64_t channel, uint64_t reply_to,
		    uint64_t flags,
		    void (*fn)(struct scope *, const struct msg_STREAM_STATE *, void *arg),
		    void *arg);
/* Text is copied.  False: it was ended, or this is more than TASK_REPLY_MAX. */
bool		 scope_stream_append(struct reply *, struct span);
/* The text is complete: kind and note of STREAM_END; the first end stands. */
void		 scope_stream_end(struct reply *, uint64_t kind, const char *note);
/*
 * Keeps the scope open for work that is none of the above, until scope_release.  fn is called once
 * when the scope is cancelled before that; the hold is gone then.  NULL: the scope is cancelled, fn
 * is not called.
 */
struct hold	*scope_hold(struct scope *, void (*fn)(struct scope *, enum error, void *arg),
		    void *arg);
/* The scope may be gone afterwards. */
void		 scope_release(struct hold **);
void		*scope_role(const struct scope *);
/*
 * For the end of a handler's work: logs a result that is an error.  An error that another attempt
 * may not meet hands the delivery back when the scope is empty; every other one counts as done.
 */
void		 scope_finish(struct scope *, const struct msg_RESULT *);
/* The bot's own user id, 0 while unknown. */
uint64_t	 scope_self(const struct scope *);
uint64_t	 scope_delivery(const struct scope *);

#endif
