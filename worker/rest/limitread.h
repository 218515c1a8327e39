/*
 * limitread - what the head and the body of an answer say about limits.
 *
 * Pure.  Source: Discord docs, topics/rate-limits.
 */
#ifndef WORKER_LIMITREAD_H
#define WORKER_LIMITREAD_H

#include "worker/rest/limit.h"

/* l_r borrows from head. */
void		 limit_read(unsigned status, struct span head, struct span body,
		    struct limit_answer *l_r);

#endif
