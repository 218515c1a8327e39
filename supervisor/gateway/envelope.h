/*
 * envelope - find op, s, t and the routing ids of a gateway payload without parsing it.
 *
 * Pure, allocates nothing, copies nothing; spans point into the payload.
 * Source: Discord docs, events/gateway-events, payload structure.  Key order is not promised:
 * the short way is taken when t, s and op come before d, the full scan otherwise.
 */
#ifndef SUPERVISOR_ENVELOPE_H
#define SUPERVISOR_ENVELOPE_H

#include "common/span.h"

struct envelope {
	int		 op;		/* -1 when absent: not a gateway payload */
	bool		 has_s;
	uint64_t	 s;
	struct span	 t;		/* without quotes; n == 0 when null */
	struct span	 d;		/* the whole value; "null" or n == 0 when absent */
	/*
	 * After envelope_ids; 0 when absent.  Only members at depth 1 of d, and of its `author`,
	 * `user`.
	 */
	uint64_t	 id, guild_id, channel_id, user_id, message_id, author_id;
	uint64_t	 type;
};

/* 0, or -1: not a JSON object with an op. */
int	 envelope_scan(struct span payload, struct envelope *);
/* Fill the ids from d.  0, or -1 when d is no valid JSON (the event is then not routed). */
int	 envelope_ids(struct envelope *);

#endif
