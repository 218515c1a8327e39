/*
 * strike - fault points that make a bad handler out of a good one.
 */
#ifndef WORKER_STRIKE_H
#define WORKER_STRIKE_H

#include "common/span.h"

/* A delivery's code begins; the scoreboard names it already.  body: subject of the points. */
void	 strike_delivery(struct span body);

#endif
