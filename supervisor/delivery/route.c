#include <assert.h>
#include "supervisor/delivery/route.h"

enum {
#define INTENT(name, bit, privileged) INTENT_##name = 1 << bit,
#include "proto/intents.def"
#undef INTENT
};

/* The words of events.def. */
enum { OBJECT_OBJECT = 1, OBJECT_SEQ = 0 };
enum { ORDER_CONTROL = 1, ORDER_WORK = 0 };
enum { AT_BOUND_SHED = 1, AT_BOUND_KEEP = 0 };

static const struct route_event rows[] = {
#define EVENT(name, intents, key, identity, order, shed)                                           \
	{ #name, (uint64_t)(intents), ROUTE_##key, OBJECT_##identity, ORDER_##order,               \
		AT_BOUND_##shed },
#include "proto/events.def"
#undef EVENT
};
#define ROWS_N	(sizeof(rows) / sizeof(rows[0]))

const struct route_event *
route_events(size_t *n_r)
{
	*n_r = ROWS_N;
	return rows;
}

const struct route_event *
route_event(struct span t)
{
	for (size_t i = 0; i < ROWS_N; i++)
		if (span_is(t, rows[i].name))
			return &rows[i];
	return NULL;
}

static uint64_t
first_of(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	return a != 0 ? a : b != 0 ? b : c != 0 ? c : d;
}

uint64_t
route_key(const struct route_event *ev, const struct envelope *e)
{
	switch (ev->key) {
	case ROUTE_CHANNEL:
		return first_of(e->channel_id, e->guild_id, e->user_id, e->author_id);
	case ROUTE_GUILD:
		return first_of(e->guild_id, e->user_id, e->author_id, 0);
	case ROUTE_USER:
		return first_of(e->user_id, e->author_id, 0, 0);
	case ROUTE_SELF:
		return first_of(e->id, e->channel_id, e->guild_id, 0);
	}
	return 0;
}

uint64_t
route_delivery_id(const struct route_event *ev, struct span pool, const struct envelope *e,
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
