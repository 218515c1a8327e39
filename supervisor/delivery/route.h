/*
 * route - from an event to keys, delivery ids and slots.  Pure.
 */
#ifndef SUPERVISOR_ROUTE_H
#define SUPERVISOR_ROUTE_H

#include "common/tables.h"
#include "supervisor/gateway/envelope.h"

/* Ordering key of the event; 0 when it names none of what its row asks for. */
uint64_t	 route_key(const struct event_row *, const struct envelope *);
/*
 * Object id of an OBJECT event: the member `id`; falls back to (session, seq) when it is missing.
 */
uint64_t	 route_delivery_id(const struct event_row *, struct span pool,
	    const struct envelope *, struct span session_id);
/* Highest random weight: index of the slot among slots[n] that this key goes to; n > 0. */
size_t		 route_place(uint64_t key, const uint32_t *slots, size_t n);

#endif
