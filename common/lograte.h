/*
 * lograte - how often one message may be said.  Pure.
 *
 * A message is what makes its lines alike: the format that they come from, or the worker.  More
 * than LOGRATE_LINES of them within LOGRATE_WINDOW_MS are left out and counted; when the window is
 * over the count is due.  Two messages that share a place in the table count as one: seldom, and
 * harmless.
 */
#ifndef COMMON_LOGRATE_H
#define COMMON_LOGRATE_H

#include <stdbool.h>
#include <stdint.h>

#define LOGRATE_LINES		300
#define LOGRATE_WINDOW_MS	5000
#define LOGRATE_PLACES		128

struct lograte_place {
	uint64_t	 key, since_ms;
	uint64_t	 said, left_out;
};

struct lograte {
	struct lograte_place	 places[LOGRATE_PLACES];
	unsigned		 hand;		/* looks at one place after another */
};

/* May a line of this message be said now? */
bool	 lograte_may(struct lograte *, uint64_t key, uint64_t now_ms);
/*
 * A message whose window is over and of which lines were left out: how many, and its key; 0 none.
 * Each call looks at one place, so call it with every line.
 */
uint64_t lograte_due(struct lograte *, uint64_t now_ms, uint64_t *key_r);

#endif
