/*
 * alarm - what happens later, in the order of its times; among equals, in the order of arming.
 *
 * Pure: the time, and who calls when one is due, are functions.
 *
 * Owner: a struct alarm lies in what it is for, zeroed before its first use, and is stopped before
 * that is freed.
 */
#ifndef WORKER_ALARM_H
#define WORKER_ALARM_H

#include "common/clock.h"
#include "common/tree.h"

struct alarm {
	RB_ENTRY(alarm)	 by_time;
	struct mono	 at;		/* never: not armed */
	/* order among equals; those armed during a tick wait for the next */
	uint64_t	 number;
	void		(*fn)(void *arg);
	void		*arg;
};

RB_HEAD(alarm_tree, alarm);

struct alarms {
	struct alarm_tree	 tree;
	struct mono		 woken_at;	/* what wake_at was told last */
	uint64_t		 number;	/* of the one that was armed last */
	struct mono		(*now)(void *arg);
	/* call alarms_tick then; MONO_NEVER: not needed */
	void			(*wake_at)(void *arg, struct mono);
	void			*arg;
};

void		 alarms_init(struct alarms *, struct mono (*now)(void *arg),
		    void (*wake_at)(void *arg, struct mono), void *arg);
struct mono	 alarms_now(const struct alarms *);
/* Calls what is due, and no more of what that arms.  Alarms may be armed and stopped meanwhile. */
void		 alarms_tick(struct alarms *);
/* fn is called once, in a tick; one that is armed already is armed anew. */
void		 alarm_arm(struct alarms *, struct alarm *, uint64_t ms, void (*fn)(void *),
		    void *arg);
void		 alarm_stop(struct alarms *, struct alarm *);	/* also one that is not armed */

#endif
