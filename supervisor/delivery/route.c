/*
 * route - see route.h.
 */
#include <assert.h>

#include "supervisor/delivery/route.h"

static uint64_t
first_of(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	return a != 0 ? a : b != 0 ? b : c != 0 ? c : d;
}

uint64_t
route_key(const struct event_row *ev, const struct envelope *e)
{
	switch (ev->key) {
	case EVENT_KEY_CHANNEL:
		return first_of(e->channel_id, e->guild_id, e->user_id, e->author_id);
	case EVENT_KEY_GUILD:
		return first_of(e->guild_id, e->user_id, e->author_id, 0);
	case EVENT_KEY_USER:
		return first_of(e->user_id, e->author_id, 0, 0);
	case EVENT_KEY_SELF:
		return first_of(e->id, e->channel_id, e->guild_id, 0);
	}
	return 0;
}

uint64_t
route_delivery_id(const struct event_row *ev, struct span pool, const struct envelope *e,
    struct span session_id)
{
	uint64_t	 h = SPAN_HASH_SEED;

	h = span_hash_add(h, pool);
	h = span_hash_add(h, span_of(ev->name));
	if (ev->object && e->id != 0)
		h = span_hash_add_u64(h, e->id);
	else {
		h = span_hash_add(h, session_id);
		h = span_hash_add_u64(h, e->s);
	}
	return span_hash_end(h);
}

size_t
route_place(uint64_t key, const uint32_t *slots, size_t n)
{
	uint64_t	 best = 0, weight;
	size_t		 at = 0;

	assert(n > 0);
	for (size_t i = 0; i < n; i++) {
		weight = span_hash_end(
		    span_hash_add_u64(span_hash_add_u64(SPAN_HASH_SEED, key), slots[i]));
		if (weight > best) {
			best = weight;
			at = i;
		}
	}
	return at;
}
