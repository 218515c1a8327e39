/*
 * child - one worker process: spawn, handshake, link, stderr, scoreboard, death.
 *
 * Private to pool/.  Says what happens through struct child_ops; what follows is slot.c's business.
 * Nothing here waits: signals go through a pidfd, and the pidfd in the loop is the proof of death.
 */
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include "supervisor/pool/cgroup.h"
#include "supervisor/pool/life.h"
#include "supervisor/pool/limits.h"
#include "supervisor/pool/pool.h"

struct child_spec {
	const char	*program;
	char *const	*argv, *const *env;	/* NULL; as in spawn.h, and so is env_n */
	size_t		 env_n;
	const char	*pool, *role;
	uint32_t	 slot;
	uint64_t	 generation;
	struct fence	*fence;			/* as in spawn.h, and so is as */
	const struct privs_user *as;
	bool		 rest;			/* outlives the supervisor a moment: no PDEATHSIG */
	bool		 web;
	uint64_t	 credit, hang_ms, stopped_ms, start_deadline_ms, drain_ms, last_word_ms;
	struct limits	 limits;
	struct cgroups	*cgroups;		/* outlives it; may lose its version */
	struct msg_list	 options;		/* for HELLO */
};

struct child_ops {
	void	(*on_ready)(void *arg, struct child *);
	int	(*on_msg)(void *arg, struct child *, const struct msg_in *, const char **why_r);
	/* It broke the protocol and is to be killed; it has been blamed already. */
	void	(*on_broke)(void *arg, struct child *);
	/* child_hung: it has been blamed already, and is to be dumped and killed. */
	void	(*on_hung)(void *arg, struct child *);
	size_t	(*open_n)(void *arg, const struct child *);
	/* As in struct pools_ops. */
	size_t	(*held)(void *arg, const struct child *, struct held *out, size_t max);
	bool	(*holds)(void *arg, const struct child *, uint64_t delivery, struct held *out);
	/* Reaped, link and stderr read to their end.  The callee frees the child. */
	void	(*on_dead)(void *arg, struct child *, const struct obituary *);
};

/* arg goes to the callbacks.  NULL with a sentence when there is no process. */
struct child	*child_spawn(struct loop *, const struct child_spec *, const struct child_ops *,
		    void *arg, const char **why_r);
void		 child_free(struct child **);
/* At the end of the program: SIGKILL, and at most ABANDON_MS for the kernel to do it. */
void		 child_abandon(struct child **);
/* Why it is about to be killed; the first blame stands. text may be NULL. */
void		 child_blame(struct child *, enum death, const char *text);
void		 child_signal(struct child *, int signo);
void		 child_drain(struct child *, uint64_t finish_ms, uint64_t last_word_ms);
void		 child_up(struct child *);		/* READY was accepted */
bool		 child_is_up(const struct child *);
uint64_t	 child_scopes(const struct child *);
uint64_t	 child_age_ms(const struct child *);
/* The delivery whose code runs, by its own account, and for how long: UINT64_MAX not known. */
uint64_t	 child_running(const struct child *, struct mono now, uint64_t *ms_r);
uint64_t	 child_ready_ms(const struct child *);	/* how long it is, or was, READY */

/* `hang` and `stopped` of the configuration; a reload may change them. */
void		 child_patience(struct child *, uint64_t hang_ms, uint64_t stopped_ms);
/*
 * Look at the scoreboard, and at /proc when it does not move.
 *	elapsed_ms	since the last look, as far as this process was itself awake
 * LIFE_ASK has been seen to.
 */
enum life	 child_look(struct child *, uint64_t elapsed_ms);
/* Is it at its limit of memory, as of the last look?  Then it has been blamed. */
bool		 child_too_large(struct child *);

#endif
