/*
 * slot - the life cycle of one place in a pool.
 *
 * Pure: a state x event table.  No processes, no clock, no timers; it is fed events and asks the
 * world through struct slot_ops, so tests drive it with a fake.
 *
 *	OFF		no process, none wanted: before the start and after a stop
 *	SPAWNING	a process is being made (inside one call)
 *	STARTING	it runs and has not said READY; bounded by start_deadline
 *	READY		it works
 *	DRAINING	it was told to finish; bounded by T1 + T2
 *	STOPPING	it was sent a signal and is not reaped yet
 *	BACKOFF		dead, started again when the throttle allows
 *	FAILED		the same after too many deaths: alarms, retried at the cap
 *	HELD		it said that it must not be started (exit 125): an operator decides
 *	DRAINED		an operator wants no process here until a resume
 *
 * Owner: every process of a place has one (place.h).  The one that holds the place lives through
 * all of this.  An heir, which is to take over from it, is started once: its death ends in OFF.
 * One that was taken over from is stopped, like at the end of the program.
 */
#ifndef SUPERVISOR_SLOT_H
#define SUPERVISOR_SLOT_H

#include "supervisor/pool/throttle.h"

#define SLOT_STATES(X)		\
	X(OFF,		"off")		\
	X(SPAWNING,	"spawning")	\
	X(STARTING,	"starting")	\
	X(READY,	"ready")	\
	X(DRAINING,	"draining")	\
	X(STOPPING,	"stopping")	\
	X(BACKOFF,	"backoff")	\
	X(FAILED,	"failed")	\
	X(HELD,		"held")		\
	X(DRAINED,	"drained")

#define SLOT_EVENTS(X)		\
	X(START)		/* the pool starts */ \
	X(SPAWNED)		/* there is a process */ \
	X(READY)		/* it said READY and was accepted */ \
	X(GONE)			/* it is reaped, or could not be made; only through slot_gone */ \
	X(TIMEOUT)		/* the one timer: start deadline, T1 + T2, after SIGABRT, retry */ \
	X(HUNG)			/* no progress */ \
	X(HALTED)		/* state T */ \
	X(BROKE)		/* broke the protocol */ \
	X(RESTART)		/* an operator wants a new process */ \
	X(DRAIN)		/* an operator wants none */ \
	X(RESUME)		/* an operator wants one after all */ \
	X(STOP)			/* the pool is stopped, or an heir took over; final */ \
	X(HURRY)		/* T1 is over */

enum slot_state {
#define X(id, text) SLOT_##id,
	SLOT_STATES(X)
#undef X
	SLOT__STATES_N
};

enum slot_event {
#define X(id) SLEV_##id,
	SLOT_EVENTS(X)
#undef X
	SLEV__N
};

struct slot;

struct slot_ops {				/* what it asks of the world */
	/* The state is another now; the timer of the old one is void. */
	void	(*changed)(struct slot *, enum slot_state from, enum slot_event);
	/* Make a process; feeds SPAWNED or slot_gone before it returns. */
	void	(*spawn)(struct slot *);
	void	(*await_ready)(struct slot *);		/* TIMEOUT after start_deadline */
	void	(*up)(struct slot *);
	/* DRAIN; TIMEOUT after T1 + T2.  A second one may only make it sooner. */
	void	(*drain)(struct slot *);
	void	(*hurry)(struct slot *);		/* the same with T1 = 0 */
	void	(*abort)(struct slot *);		/* SIGABRT; TIMEOUT after a second */
	void	(*kill)(struct slot *);			/* SIGKILL */
	void	(*retry)(struct slot *, uint64_t ms);	/* TIMEOUT after that */
};

struct slot {
	enum slot_state		 state;
	struct throttle		 throttle;
	const struct slot_ops	*ops;
	bool			 stopping;	/* no process is wanted any more */
	bool			 again;		/* its end was asked for: the next starts at once */
	bool			 hold;		/* the last one exited with CONTRACT_EXIT_HOLD */
	bool			 parked;	/* no process is wanted until a resume */
	bool			 once;		/* its process is not started again */
	uint64_t		 wait_ms;	/* what the throttle said after the last death */
};

void	 slot_init(struct slot *, const struct slot_ops *);
/* Feed one event.  False: no row for this pair; nothing changed. */
bool	 slot_event(struct slot *, enum slot_event);

/* What slot_gone must know; see throttle_died. */
struct slot_death {
	struct mono	 now;
	bool		 was_ready;
	uint64_t	 ready_ms;
	uint64_t	 random;
	bool		 hold;
};
bool	 slot_gone(struct slot *, const struct slot_death *);

const char *slot_state_name(enum slot_state);	/* in lower case */
const char *slot_event_name(enum slot_event);

#endif
