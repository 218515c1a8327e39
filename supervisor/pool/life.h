/*
 * life - does a worker make progress?
 *
 * Pure: the supervisor's looks come in, with the time between them, and a verdict comes out.
 *
 * Progress is a scoreboard tick, a BEAT or a PONG; nothing else is, so a worker with hundreds of
 * open scopes whose loop turns is busy, however slow they are.  Half way to `hang` it is asked by
 * PING, which a worker without a scoreboard answers.  A process in state T cannot make progress and
 * is no less dead for that: it has a limit of its own, and the time that it was stopped does not
 * count as hung.
 */
#ifndef SUPERVISOR_LIFE_H
#define SUPERVISOR_LIFE_H

#include <stdbool.h>
#include <stdint.h>

enum life {
	LIFE_FINE,
	LIFE_ASK,		/* send PING, once per silence */
	LIFE_HUNG,
	LIFE_HALTED,
};

/* All zero at first. */
struct pulse {
	uint64_t	 tick, beats;		/* as last seen */
	uint64_t	 quiet_ms;		/* without progress for so long */
	uint64_t	 awake_ms;		/* quiet_ms when last seen not stopped */
	uint64_t	 stopped_ms;		/* of quiet_ms, in state T */
	bool		 asked;
};

struct life_look {
	uint64_t	 tick, beats;		/* BEAT and PONG, counted */
	uint64_t	 elapsed_ms;		/* since the last look */
	bool		 ready;			/* until then start_deadline judges, not this */
	uint64_t	 hang_ms, stopped_ms;
};

/* Is the state of the process worth reading from /proc?  False: it cannot matter yet. */
bool		 life_wants_state(const struct pulse *, const struct life_look *);
/* state: of /proc/PID/stat; 0 not known or not read. */
enum life	 life_judge(struct pulse *, const struct life_look *, char state);

#endif
