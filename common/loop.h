/*
 * loop - the one event loop of a process, on libevent.
 *
 * One struct loop per process, one thread.  Callbacks translate and return.
 * The tail runs after each turn: tail functions in the order of registration, then jobs
 * (deferred sends), then parked frees.
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <sys/queue.h>

#include <event2/event.h>
#include "common/clock.h"
#include "common/histo.h"

struct loop;
struct timer;
struct watch;

/* NULL with errno when the kernel refuses. */
struct loop	*loop_new(void);
/* Runs parked frees; nothing may be pending. */
void		 loop_free(struct loop **);
struct event_base *loop_base(struct loop *);
void		 loop_run(struct loop *);		/* until loop_stop or nothing is left */
void		 loop_stop(struct loop *);
void		 loop_turn(struct loop *);		/* one turn and its tail, without waiting */
struct mono	 loop_now(struct loop *);		/* when this turn began to run callbacks */
uint64_t	 loop_turns(struct loop *);
/* How late timers fired, in us: what a turn that takes too long costs. */
const struct histo *loop_late(const struct loop *);

/* Called after every turn, for ever. */
void		 loop_tail(struct loop *, void (*fn)(void *), void *arg);

/* The next turn does not wait for an event. */
void		 loop_again(struct loop *);

/*
 * A job runs once, in the tail of this turn; queued from inside the tail, in that of the next,
 * which then does not wait.  Embedded in its owner, who cancels it before going away.
 */
struct loop_job {
	TAILQ_ENTRY(loop_job) link;
	void		(*fn)(void *);
	void		*arg;
	bool		 queued;
};
void		 loop_job_queue(struct loop *, struct loop_job *);	/* twice is once */
void		 loop_job_cancel(struct loop *, struct loop_job *);

/* Free obj at the end of this turn: events that are already active may still name it. */
void		 loop_park(struct loop *, void *obj, void (*free_fn)(void *));

/* One-shot timer.  Arming again moves it; it may be armed and freed inside its own callback. */
struct timer	*timer_new(struct loop *, void (*fn)(void *), void *arg);
void		 timer_free(struct timer **);
void		 timer_arm_ms(struct timer *, uint64_t ms);
void		 timer_arm_at(struct timer *, struct mono);
void		 timer_stop(struct timer *);
bool		 timer_armed(const struct timer *);

/* Interest in a descriptor.  what: LOOP_READ | LOOP_WRITE.  The descriptor stays the caller's. */
#define LOOP_READ	1
#define LOOP_WRITE	2
struct watch	*watch_new(struct loop *, int fd, void (*fn)(int fd, int what, void *arg),
		    void *arg);
void		 watch_set(struct watch *, int what);	/* 0 pauses */
void		 watch_free(struct watch **);

/* A signal as a loop event. */
struct sigwatch;
struct sigwatch	*sigwatch_new(struct loop *, int signo, void (*fn)(int signo, void *arg),
		    void *arg);
void		 sigwatch_free(struct sigwatch **);

#endif
