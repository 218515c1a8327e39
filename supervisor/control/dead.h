/*
 * dead - dead letters: what `show dead` and `dead show|retry|drop` answer.
 *
 * A letter is named by its delivery (16 hexadecimal digits, as the log and explain print it) or by
 * the object that it is about (a message id); the latter may name one for each pool.
 */
#ifndef SUPERVISOR_CONTROL_DEAD_H
#define SUPERVISOR_CONTROL_DEAD_H

#include "supervisor/supervisor.h"

/* The list, newest first. */
void	 dead_list(struct sup *, struct buf *out);
/* Wall time at which the oldest was set aside; 0 there is none. */
uint64_t dead_oldest_ms(struct sup *);
/* Those of this name in full, with what the event said.  How many. */
size_t	 dead_show(struct sup *, struct span name, struct buf *out);

struct dead_result {
	size_t		 n;		/* found */
	size_t		 done;
	const char	*why;		/* of the last one that was not */
};
/*
 * Put back, or let go.
 *	name	of a letter, or "all"
 *	pool	with all: of this pool only; n == 0: of every pool
 */
struct dead_result	 dead_retry(struct sup *, struct span name, struct span pool);
struct dead_result	 dead_drop(struct sup *, struct span name, struct span pool);

#endif
