/*
 * route - from an event to keys, delivery ids and slots.  Pure.
 */
#ifndef SUPERVISOR_ROUTE_H
#define SUPERVISOR_ROUTE_H

#include "supervisor/gateway/envelope.h"

enum route_key { ROUTE_CHANNEL, ROUTE_GUILD, ROUTE_USER, ROUTE_SELF };

struct route_event {
	const char	*name;
	uint64_t	 intents;
	enum route_key	 key;
	bool		 object;	/* identity by object, else by session and seq */
	bool		 control;
	bool		 shed;
};

/* The row of events.def, or NULL: nobody can want it. */
const struct route_event *route_event(struct span t);
/* All rows. */
const struct route_event *route_events(size_t *n_r);
uint64_t	 route_key(const struct route_event *, const struct envelope *);
/* Object id of an OBJECT event: the member `id`; falls back to (session, seq) when it is missing. */
uint64_t	 route_delivery_id(const struct route_event *, struct span pool, const struct envelope *,
		    struct span session_id);
/* Highest random weight: index of the slot among slots[n] that this key goes to; n > 0. */
size_t		 route_place(uint64_t key, const uint32_t *slots, size_t n);

#endif
