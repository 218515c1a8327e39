/*
 * pool - named sets of identical workers, their life and their death.
 *
 * pool.c keeps the set of processes equal to the configuration; slot.c is the pure life cycle of
 * one place, throttle.c the pure back-off, child.c one process (spawn, handshake, link, kill, reap,
 * obituary).  There is always a pool "rest" (role rest, two workers: one active, one warm) unless
 * there is no token, and a pool "web" (role web, one worker) when an option asks for it.
 *
 * Owner: struct sup.  struct child is valid from on_up to the end of its on_down; keep nothing
 * after that.
 */
#ifndef SUPERVISOR_POOL_H
#define SUPERVISOR_POOL_H

#include <sys/types.h>
#include "common/cfg.h"
#include "common/loop.h"
#include "common/msg.h"
#include "supervisor/journal/journal.h"
#include "supervisor/pool/lacks.h"
#include "supervisor/pool/obituary.h"

struct privs;
struct pools;
struct pool;
struct child;

struct pools_ops {
	/* READY was accepted. */
	void	(*on_up)(void *arg, struct child *);
	/*
	 * A message for someone else than the pool: ACK NACK CALL RESULT.  -1: it broke the
	 * protocol, why_r says how; the child is killed.
	 */
	int	(*on_msg)(void *arg, struct child *, const struct msg_in *, const char **why_r);
	/* It takes no new work from now on (drain, restart, stop). */
	void	(*on_draining)(void *arg, struct child *);
	/* It is dead and reaped; only for a child that was up. */
	void	(*on_down)(void *arg, struct child *, const struct obituary *);
	/* Deliveries it holds, for status and obituary. */
	size_t	(*open_n)(void *arg, const struct child *);
	/* About some of them, oldest first; their number. */
	size_t	(*held)(void *arg, const struct child *, struct held *out, size_t max);
	/* About one of them; false: it does not hold it. */
	bool	(*holds)(void *arg, const struct child *, uint64_t delivery, struct held *out);
};

/*
 * program: path of bulkhead-worker.  conf: that of the configuration file.  journal and conf may be
 * NULL in tests.
 */
struct pools	*pools_new(struct loop *, const struct cfg *, const char *conf, struct journal *,
		    const char *program, const struct pools_ops *, void *arg);
/* Before pools_start: who workers become; borrowed. */
void		 pools_users(struct pools *, const struct privs *);
/* After pools_stop; what is left is killed, no callback. */
void		 pools_free(struct pools **);
/* Rest first, then the others; all at once, READY in any order. */
void		 pools_start(struct pools *);

/* What every worker is told; also sent to those that are READY. */
void		 pools_self(struct pools *, uint64_t user, uint64_t application, uint64_t shards);
void		 pools_fault(struct pools *, struct span name, struct span spec);
/* Level and trace classes as they are now; to built-in roles, those too that are starting. */
void		 pools_logging(struct pools *);

/*
 * Children of a former supervisor that the journal names and that still run: handlers are killed at
 * once, a rest worker gets rest_grace to finish what is on the wire.  fn is called when none is
 * left; in a later turn, also when there were none.  Once, before pools_start or after it.
 */
void		 pools_leftovers(struct pools *, void (*fn)(void *arg), void *arg);

enum restart_how {
	RESTART_PLAIN,		/* drain, end, start, READY */
	RESTART_ROLLING,	/* the new one is READY before the old one drains */
	RESTART_NOW,		/* as PLAIN, with T1 = 0 */
};
/*
 * What an operator or a reload asks for.  fn is called once, in a later turn: NULL when it is done,
 * else a sentence.  -1: no such name; then fn is not called.
 *	name	a pool ("echo") or one place of it ("echo.0")
 *
 * Replace processes, one place after another.  Not throttled.  HELD and FAILED ones are started
 * too, drained ones of a pool stay as they are.  Done when all are READY: rolling, the processes
 * that were taken over from go on with what they hold, up to drain_rolling; at most two of a place.
 * The web worker is never replaced rolling: two cannot listen on one port.
 * An heir that does not get READY ends the restart, and whoever held the place holds it on.
 */
int		 pools_restart(struct pools *, const char *name, enum restart_how,
		    void (*fn)(void *arg, const char *why), void *arg);
/*
 * Finish what it holds (up to drain_rolling), end, stay down until pools_resume; not remembered by
 * another supervisor.  Done when it is down.  One of the rest workers must stay READY.
 */
int		 pools_drain(struct pools *, const char *name,
		    void (*fn)(void *arg, const char *why), void *arg);
/* Start what is drained, held, failed or backing off.  Done when READY. */
int		 pools_resume(struct pools *, const char *name,
		    void (*fn)(void *arg, const char *why), void *arg);
/*
 * So many places from now on.  More: done when the new ones are READY.  Fewer: done when the last
 * places take nothing new; their processes finish as in a rolling restart.  Not of the rest pool.
 */
int		 pools_scale(struct pools *, const char *pool, uint64_t workers,
		    void (*fn)(void *arg, const char *why), void *arg);

/*
 * After a reload, with the configuration that pools_new was given changed in place.
 * pools_each_stale names the pools whose workers were told something else than new ones would be.
 * pools_add: fn when its workers are READY, or why they are not.  pools_remove: its workers finish
 * as in a rolling restart; fn when the last one is gone.
 */
void		 pools_each_stale(struct pools *, void (*fn)(void *arg, const char *pool), void *arg);
int		 pools_add(struct pools *, const char *pool,
		    void (*fn)(void *arg, const char *why), void *arg);
int		 pools_remove(struct pools *, const char *pool,
		    void (*fn)(void *arg, const char *why), void *arg);

/* Handlers end at once and without a last word; as pools_stop, restarts are off from here on. */
void		 pools_end_handlers(struct pools *, void (*fn)(void *arg), void *arg);

/*
 * Stop one part: handlers (rest == false) or the rest pool.  DRAIN with T1 and T2, SIGKILL after
 * them.  fn is called when none of that part is left; restarts are off from here on.
 */
void		 pools_stop(struct pools *, bool rest, uint64_t finish_ms, uint64_t last_word_ms,
		    void (*fn)(void *arg), void *arg);
/* A second SIGTERM: what is left gets T2 now. */
void		 pools_hurry(struct pools *);
size_t		 pools_alive(const struct pools *);	/* processes not yet reaped */

/* ---- one child ---- */
/* -1: gone or above a cap; never blocks */
int		 child_send(struct child *, enum msg_type, const void *src);
/* What it has not read yet, as far as it waits here. */
size_t		 child_unread_bytes(const struct child *);
/* It does not do what it must: dumped and killed, as one without progress is. */
void		 child_hung(struct child *, const char *why);
const char	*child_tag(const struct child *);	/* "echo.0#3" */
const char	*child_pool(const struct child *);
bool		 child_is_rest(const struct child *);
bool		 child_is_web(const struct child *);
uint32_t	 child_slot(const struct child *);
pid_t		 child_pid(const struct child *);
/* What child_peer_set stored: the queue's worker. */
void		*child_peer(const struct child *);
void		 child_peer_set(struct child *, void *);
/* The events that its READY named; empty: all.  Borrowed. */
struct msg_list	 child_events(const struct child *);
/*
 * A READY worker of that pool whose READY named the verb, another for each turn.  False: there is
 * no such pool.
 *	child_r	NULL: none
 *	up_r	one of its workers is READY
 */
bool		 pools_answering(struct pools *, struct span pool, struct span verb, uint64_t turn,
		    struct child **child_r, bool *up_r);
/* The verbs that its READY named, each with a line of help.  Borrowed. */
struct msg_list	 child_verbs(const struct child *);
/* Is it a verb that its READY named? */
bool		 child_answers(const struct child *, struct span verb);
/* What is in force, by the kernel's own account; of Landlock that of who set it. */
struct child_confined {
	uint64_t	 uid;
	uint64_t	 landlock;		/* its version; 0: none */
	bool		 no_new_privs, seccomp;
	bool		 known;			/* false: not looked yet */
	bool		 hidden;		/* /proc does not show it (hidepid): what was set; seccomp is not known */
};
/* As it was last looked at. */
struct child_use {
	uint64_t	 quiet_ms;		/* without progress, to a look or two */
	uint64_t	 running, running_ms;	/* as in struct obituary */
	uint64_t	 rss_kib, hwm_kib, fds;	/* 0: not looked yet, or not to be known */
	uint64_t	 memory_bytes;		/* its limit, 0 none */
	const char	*memory_by;		/* who keeps it: "cgroup v2", "cgroup v1", "watched" */
	const char	*memory_why;		/* why it is only watched; NULL */
	uint64_t	 files, core_bytes;	/* its limits */
	uint64_t	 processes;		/* 0 none */
	const char	*processes_by;		/* "cgroup v2"; "user": of all that it runs; NULL: nobody counts */
	const char	*lacks[LACKS_MAX];	/* of an exec: program: what does not keep it here */
	size_t		 lacks_n;
	struct child_confined confined;
};
void		 child_use(const struct child *, struct child_use *);
/* The sessions that it reported, as they were last; at most 4. */
struct session_view {
	char		 tag[65], why[257];
	unsigned	 state;			/* 0 opening, 1 open, 2 draining, 3 closed */
	uint64_t	 wall_ms;		/* of the last change */
};
size_t		 child_sessions(const struct child *, const struct session_view **out_r);
/*
 * Is the process with this pid one of ours, or a descendant of ours?  Reads /proc.
 *	unseen	the answer when one of its ancestors cannot be seen there (hidepid)
 */
bool		 pools_owns_pid(const struct pools *, pid_t, bool unseen);

/* Does any worker run as this user? */
bool		 pools_run_as(const struct pools *, uid_t);

/* ---- for status: a view of each slot, in order ---- */
/* How late its timers fired, as it says itself on its scoreboard. */
struct child_late {
	uint64_t	 timers, p50_us, p99_us, max_us;
};
void	 child_late(const struct child *, struct child_late *late_r);

struct worker_view {
	const char	*pool, *role;
	char		 name[48];		/* "echo.0" */
	const char	*state;			/* of enum slot_state, in lower case */
	uint64_t	 state_ms;
	uint64_t	 generation, restarts;
	pid_t		 pid;			/* 0 none */
	uint64_t	 uptime_ms, open, scopes, credit;
	uint64_t	 rss_kib;
	uint64_t	 retry_in_ms;		/* BACKOFF, FAILED */
	uint64_t	 ends_in_ms;		/* DRAINING: it is killed then */
	bool		 heir;			/* it takes over when it is READY */
	bool		 active;		/* filled by the caller for rest */
	const struct obituary *last;		/* NULL: none died yet */
	struct child	*child;			/* NULL: no process that is up */
};
/* What does not keep the programs of exec: pools here, each as a line of the log. */
void		 pools_say_lacks(const struct pools *);
/* Calls fn for each slot of each pool (pool NULL: all). */
void		 pools_each(struct pools *, const char *pool,
		    void (*fn)(void *arg, const struct worker_view *), void *arg);
/* Deliveries that a child holds, as in struct pools_ops. */
size_t		 pools_held(const struct pools *, const struct child *, struct held *out,
		    size_t max);
/* One of them; false: it does not hold it. */
bool		 pools_holds(const struct pools *, const struct child *, uint64_t delivery,
		    struct held *out);
/*
 * The processes beside those: heirs, and those that were taken over from or whose place was given
 * up.  Their name is their tag ("echo.0#3").
 */
void		 pools_each_beside(struct pools *, const char *pool,
		    void (*fn)(void *arg, const struct worker_view *), void *arg);
struct pool_view {
	const char	*name, *role;
	uint64_t	 configured, running, ready;	/* places: in the file, now, READY */
	uint64_t	 beside;		/* processes that pools_each_beside shows */
	uint64_t	 credit;		/* of one worker */
	uint64_t	 open, restarts, recycled;
	struct msg_list	 verbs;			/* that people may ask: child_verbs of one that is READY */
	/* The heir that was lost last, if none took over since: its place, why, when; NULL none. */
	const char	*lost, *lost_text;
	uint64_t	 lost_wall_ms;
};
void		 pools_each_pool(struct pools *,
		    void (*fn)(void *arg, const struct pool_view *), void *arg);
/* The kept obituaries of a slot, newest first. */
size_t		 pools_obituaries(struct pools *, const char *worker, const struct obituary **out,
		    size_t max);

#endif
