/*
 * answer - what the journal says of a reply that grows (a stream).
 *
 * The stream with ordinal n, route "STREAM /channels/C", is done when the reply is whole, or when
 * nobody may go on with it.  Its message k is the effect n + 64 * (k + 1), route
 * "POST /channels/C/messages"; status ANSWER_MARKED: it says below its text that it was interrupted.
 */
#ifndef SUPERVISOR_ANSWER_H
#define SUPERVISOR_ANSWER_H

#include "supervisor/journal/journal.h"

#define ANSWER_ROUTE_BYTES	64
#define ANSWER_MARKED		206	/* as HTTP's "partial content" */

/* Ordinal of message k of the answer with ordinal n. */
#define ANSWER_MESSAGE(n, k)	((n) + 64 * ((uint64_t)(k) + 1))

struct span	 answer_route(uint64_t channel, char dst[ANSWER_ROUTE_BYTES]);
struct span	 answer_message_route(uint64_t channel, char dst[ANSWER_ROUTE_BYTES]);
/* Messages that were asked for, made or not. */
unsigned	 answer_messages_n(const struct delivery *, uint64_t ordinal);
/*
 * Is this effect an unfinished answer of which something may be visible?  channel_r may be NULL.
 */
bool		 answer_is_open(const struct delivery *, const struct effect *,
		    uint64_t *channel_r);
/* Does its last message say that it was interrupted? */
bool		 answer_is_marked(const struct delivery *, uint64_t ordinal);

#endif
