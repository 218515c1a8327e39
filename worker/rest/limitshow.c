/*
 * limitshow - see limit.h: what a limiter knows, for people.
 */
#include <inttypes.h>
#include <stdio.h>

#include "worker/rest/limittab.h"

/* Milliseconds until then; 0: it is over, or was never. */
static uint64_t
until_ms(struct mono at, struct mono now)
{
	return mono_is_never(at) ? 0 : mono_ms_until(now, at);
}

/* Of the last second, inside the global limit. */
static uint32_t
window_used(const struct limit *l, struct mono now)
{
	uint32_t	 n = 0;

	for (uint32_t i = 0; i < l->window_n; i++)
		n += !mono_is_never(l->window[i]) &&
		    mono_before(now, mono_add_ms(l->window[i], 1000));
	return n;
}

/* Where a route was counted until its answer named another: nothing is known of it any more. */
static bool
was_left(const struct bucket *b, struct mono now)
{
	return !b->known && !b->unlimited && b->in_flight == 0 && !mono_before(now, b->reset);
}

static void
put_bucket(struct json_out *o, const struct bucket *b, struct mono now)
{
	bool	 over = !mono_before(now, b->reset);
	char	 text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, b->id);
	json_obj(o);
	json_kv_cstr(o, "bucket", text);
	json_kv_cstr(o, "route", b->shown[0] == '\0' ? NULL : b->shown);
	json_kv_bool(o, "unlimited", b->unlimited);
	json_key(o, "limit");
	if (b->known)
		json_u64(o, b->limit);
	else
		json_nil(o);
	json_key(o, "remaining");
	if (b->known)
		json_u64(o, over ? b->limit : b->remaining);
	else
		json_nil(o);
	json_kv_u64(o, "reset_ms", until_ms(b->reset, now));
	json_kv_u64(o, "in_flight", b->in_flight);
	json_kv_u64(o, "idle_ms", mono_ms_between(b->used, now));
	json_obj_end(o);
}

void
limit_show(struct limit *l, struct json_out *o, struct mono now)
{
	const struct bucket	*b;
	uint32_t		 n = 0;

	json_kv_bool(o, "token_refused", l->locked);
	json_kv_u64(o, "per_second", l->window_n);
	json_kv_u64(o, "last_second", window_used(l, now));
	json_kv_u64(o, "global_ms", until_ms(l->global_until, now));
	json_kv_u64(o, "cloudflare_ms", until_ms(l->all_until, now));
	json_kv_u64(o, "invalid", limit_invalid_n(l, now));
	json_kv_u64(o, "invalid_slow_from", LIMIT_INVALID_LINE);
	json_key(o, "buckets");
	json_arr(o);
	TAILQ_FOREACH_REVERSE(b, &l->bucket_use, bucket_list, by_use)
		if (!was_left(b, now) && n++ < LIMIT_SHOWN_MAX)
			put_bucket(o, b, now);
	json_arr_end(o);
	json_kv_u64(o, "buckets_n", n);
}
