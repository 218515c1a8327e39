/*
 * place - pools, their places and the processes that hold them.  Private to pool/.
 *
 * A place ("echo.0") is held by one process at a time.  Beside it there may be an heir, which takes
 * over when it is READY, and processes that were taken over from: they finish what they hold.
 * pool.c carries out what slot.c decides, change.c what an operator or an option asks for, config.c
 * follows a reload, view.c
 * tells status, hello.c writes what a process is told first.
 */
#ifndef SUPERVISOR_POOL_PLACE_H
#define SUPERVISOR_POOL_PLACE_H

#include <sys/queue.h>

#include "common/words.h"
#include "supervisor/pool/child.h"
#include "supervisor/pool/pool.h"
#include "supervisor/pool/slot.h"

#define LEAVING_MAX	2	/* processes of a place that were taken over from */

struct grave {
	TAILQ_ENTRY(grave) link;
	uint32_t	 slot;
	struct obituary	 o;
};

/* One process, or the wish for one. */
struct holder {
	struct slot	 slot;			/* first: the callbacks of slot.c get it back */
	struct place	*place;
	struct child	*child;			/* NULL: no process */
	struct timer	*timer;
	uint64_t	 generation;
	struct mono	 since, retry_at;
	struct mono	 end_at;		/* of the drain under way */
	uint64_t	 last_word_ms;
	uint64_t	 up_order;		/* rises with each READY of any pool */
	uint64_t	 finished;		/* deliveries that it acked or handed back */
	uint64_t	 jitter;		/* recycle.h */
	uint64_t	 hello;			/* hash of what it was told */
	bool		 told;			/* on_draining was called for this process */
	bool		 now;			/* its drain has no T1 */
	TAILQ_ENTRY(holder) next;
};
TAILQ_HEAD(holders, holder);

struct place {
	struct pool	*pool;
	uint32_t	 no;
	char		 name[48];		/* "echo.0" */
	bool		 wanted;		/* false: the pool was scaled down below it */
	bool		 recycling;		/* its heir is there because of a limit */
	uint64_t	 generation;		/* the last one that was used */
	struct holders	 holders;		/* all of them, oldest first */
	struct holder	*at;			/* never NULL */
	struct holder	*heir;			/* NULL: nobody is to take over */
	/* The heir that was lost last, until another one takes over. */
	uint64_t	 lost, lost_wall_ms;	/* its generation; 0 none */
	char		 lost_text[256];
	struct mono	 recycle_at;		/* not before */
};

struct pool {
	struct pools	*pools;
	char		*name;
	char		 role[CFG_ROLE_BYTES];
	struct words	 command;		/* of a handler "exec:"; empty: bulkhead-worker */
	bool		 rest, web, stopping;
	uint64_t	 credit;
	uint64_t	 finish_ms, last_word_ms;	/* of the stop */
	uint64_t	 recycled;
	struct place	**places;		/* never fewer: see place.wanted */
	size_t		 places_n;
	TAILQ_HEAD(graves, grave) graves;		/* newest first */
	size_t		 graves_n;
	/* set: it goes, and this is called when nothing of it is left */
	void		(*gone_fn)(void *, const char *);
	void		*gone_arg;
};

struct stop {
	bool		 wanted;
	void		(*fn)(void *);
	void		*arg;
};

struct change;

struct pools {
	struct loop		*loop;
	const struct cfg	*cfg;
	const struct privs	*privs;		/* NULL: every worker is who we are */
	struct fence		*fence;		/* of programs of pools' own */
	struct journal		*journal;
	char			*program;
	struct pools_ops	 ops;
	void			*arg;
	struct pool		**list;		/* rest first */
	size_t			 n;
	struct msg_SELF		 self;		/* user 0: not known yet */
	uint64_t		 ups;
	struct timer		*look;
	struct mono		 looked, recycle_looked;
	struct loop_job		 settle;
	TAILQ_HEAD(changes, change)  changes;
	struct stop		 stops[2];	/* handlers, rest */
	struct cgroups		 cgroups;
	struct leftovers	*leftovers;
	void			(*left_fn)(void *);
	void			*left_arg;
};

#define EACH_POOL(ps, p)							\
	for (struct pool **p##at = (ps)->list, *p;				\
	    p##at < (ps)->list + (ps)->n && (p = *p##at, true); p##at++)
/* Those too that are not wanted. */
#define EACH_PLACE(ps, pl)							\
	EACH_POOL(ps, pool_)							\
		for (struct place **at_ = pool_->places, *pl;			\
		    at_ < pool_->places + pool_->places_n && (pl = *at_, true); at_++)
/* Every process of every place; none may be removed meanwhile. */
#define EACH_HOLDER(ps, h)							\
	EACH_PLACE(ps, place_)							\
		for (struct holder *h = TAILQ_FIRST(&place_->holders); h != NULL; \
		    h = TAILQ_NEXT(h, next))

static inline struct holder *
holder_of(struct slot *s)
{
	return (struct holder *)s;
}

/* Was it taken over from, or is its place given up? */
static inline bool
holder_leaves(const struct holder *h)
{
	return h != h->place->heir && (h != h->place->at || !h->place->wanted);
}

/* ---- pool.c ---- */
/* At the end of the list. */
struct pool	*pool_new(struct pools *, const struct cfg_pool *cp);
void		 pool_free(struct pool **);
struct holder	*holder_new(struct place *);
void		 holder_free(struct holder **);		/* its process is gone */
struct limits	 pool_limits(const struct pool *);
struct place	*place_new(struct pool *, uint32_t no);
/* Not wanted any more, whatever it is at: its process is ended in its order. */
void		 holder_stop(struct holder *, const char *why);

/* ---- change.c ---- */
/* After any change of any slot: lost heirs, processes that have ended, changes under way. */
void		 changes_settle(struct pools *);
void		 changes_free(struct pools *);
/* The heir is READY: it holds the place from now on, and its forerunner drains. */
void		 place_inherit(struct holder *heir);
/* Replace what is above a limit of its pool. */
void		 changes_recycle(struct pools *);

/* Nobody is wanted there any more. */
void		 place_give_up(struct place *, const char *why);
/* Changes that name this pool end with why. */
void		 changes_drop(struct pools *, const struct pool *, const char *why);

/* ---- config.c ---- */
/* Of all that a worker of this pool would be told now. */
uint64_t	 hello_hash(const struct pool *);
/* After any change of any slot: pools that are going and have nobody left. */
void		 config_settle(struct pools *);

/* ---- hello.c ---- */
/* Of the options of HELLO what to log, as it is now: a process that runs is told of another by LOGGING. */
void		 hello_logging(struct buf *);
/* The others; with secrets, so the caller wipes it. */
void		 hello_options(const struct pool *, struct buf *);

/* ---- view.c ---- */
/* The obituary of this generation, or of the newest when it is 0.  NULL: none is kept. */
const struct obituary *place_obituary(const struct place *, uint64_t generation);
const struct cfg_pool *pool_cfg(const struct pool *);	/* NULL: one of our own */

#endif
