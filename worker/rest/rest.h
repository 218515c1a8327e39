/*
 * rest - the service `discord`: a CALL becomes one request, its RESULT is sent with the answer in
 * hand.
 *
 * CALL -> route -> nonce -> lanes, limit -> session -> RESULT.  A request is repeated here only
 * when that cannot do something twice: it never left, a proxy refused it (502, 503, 520-523), the
 * method may be repeated, or Discord knows it again by its nonce.  Everything ends at the CALL's
 * deadline at the latest.
 *
 * Owner: main.  The token is copied once, and wiped by rest_free.
 */
#ifndef WORKER_REST_H
#define WORKER_REST_H

#include "worker/worker.h"

#define REST_RETRIES_MAX	5	/* after failures that may be repeated */
#define REST_LIMITED_MAX	20	/* 429s that one request may meet */
#define REST_NONCE_MS		60000	/* Discord keeps nonces "for the last few minutes"; design 3.8 */
#define REST_OPEN_MAX		65536

struct rest;

struct rest_config {
	const char	*token, *api_url, *user_agent_url, *resolv_conf;
	const char	*ca_file;		/* NULL: the system's */
	uint64_t	 connect_ms, call_ms;
	uint32_t	 per_second;
};

struct rest_ops {
	void	(*send)(void *arg, enum msg_type, const void *src);
	/* After rest_drain or rest_orphaned: nothing is left, or time is up. */
	void	(*done)(void *arg);
};

/* NULL with a sentence. */
struct rest	*rest_new(struct loop *, const struct rest_config *, const struct rest_ops *,
		    void *arg, const char **why_r);
void		 rest_free(struct rest **);		/* what is open ends without a RESULT */
void		 rest_call(struct rest *, const struct msg_CALL *);
void		 rest_cancel(struct rest *, uint64_t call);

/* ---- requests of the worker's own: those of streams ---- */

struct rest_answer {
	enum error	 error;
	unsigned	 status;
	uint64_t	 id;			/* as in RESULT */
	struct span	 body;
	double		 remaining, reset_after_s;	/* of its bucket; negative: not said */
};

struct rest_own {
	/* Appends the body when the request leaves, and again when it is repeated.  NULL: none. */
	void	(*body)(void *arg, struct buf *);
	/* Called once, never from inside rest_ask. */
	void	(*done)(void *arg, const struct rest_answer *);
	void	*arg;
};

/* As rest_call, with its number chosen here; m's body and number are not looked at. */
uint64_t	 rest_ask(struct rest *, const struct msg_CALL *m, const struct rest_own *);
/*
 * rest_own is not called any more.  What waits is not sent, what is on the wire goes on.  A number
 * that is over is ignored.
 */
void		 rest_forget(struct rest *, uint64_t number);
/* It was not sent, and never will be; false: it is on the wire.  One that is over was not, either. */
bool		 rest_take_back(struct rest *, uint64_t number);

/*
 * No new calls; what is open may take so long.  What is left then has no RESULT: the supervisor
 * gives it to another.
 */
void		 rest_drain(struct rest *, uint64_t finish_ms);
/*
 * Another one takes over: after rest_drain.  What was not sent is handed back (ERETRY), what the
 * limiter knows is told, only what is on the wire is finished.
 */
void		 rest_hand_over(struct rest *);
/* What another one knew of the limits: STATE. */
void		 rest_hear(struct rest *, struct span state);
/* What changed since then, if anything: the successor of a process that dies now knows it. */
void		 rest_tell(struct rest *);
/* The supervisor is gone: only what is on the wire is finished. */
void		 rest_orphaned(struct rest *, uint64_t grace_ms);

#endif
