/*
 * poison - who is to blame for the death of a worker.  Pure.
 *
 * Only what was running is charged.  When nobody can be named, all that the worker held are
 * suspects, and one that was a suspect before is charged: it was redelivered alone, and its worker
 * died again.
 */
#ifndef SUPERVISOR_POISON_H
#define SUPERVISOR_POISON_H

#include <stdbool.h>
#include <stdint.h>

enum poison_verdict {
	POISON_RETURN,		/* innocent: goes back as it is */
	POISON_SUSPECT,		/* goes back, to be redelivered alone */
	POISON_CHARGE,		/* goes back, charged */
	POISON_ASIDE		/* charged for the last time */
};

/*
 *	charge	false when the death was asked for
 *	named	the worker held the delivery that its scoreboard named
 *	running	this is the one
 *	suspect	it is out alone, as a suspect
 *	charges	so far; limit: at so many it is set aside
 */
enum poison_verdict	 poison_judge(bool charge, bool named, bool running, bool suspect,
	    uint64_t charges, uint64_t limit);

#endif
