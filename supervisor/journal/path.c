/*
 * path - one delivery as `bulkheadctl explain` shows it.  See journal.h.
 */
#include "common/clock.h"
#include "common/json.h"
#include "supervisor/journal/journal.h"

static void
stamp(struct json_out *o, const char *key, uint64_t wall_ms)
{
	char	 iso[32];

	json_key(o, key);
	if (wall_ms == 0)
		json_nil(o);
	else
		json_cstr(o, clock_iso(wall_ms, iso, sizeof(iso)));
}

static void
one_effect(struct json_out *o, const struct effect *e)
{
	json_obj(o);
	json_kv_u64(o, "ordinal", e->ordinal);
	json_kv_cstr(o, "route", e->route);
	stamp(o, "asked", e->asked_ms);
	json_kv_bool(o, "done", e->done);
	if (e->done) {
		json_kv_u64(o, "status", e->status);
		json_kv_id(o, "id", e->id);
	}
	json_obj_end(o);
}

static void
one_delivery(struct json_out *o, const struct delivery *d)
{
	json_obj(o);
	json_kv_cstr(o, "pool", d->pool);
	json_kv_hex(o, "delivery", d->id);
	json_kv_cstr(o, "event", d->name);
	json_kv_id(o, "object", d->object);
	json_kv_id(o, "key", d->key);
	json_kv_u64(o, "shard", d->shard);
	json_kv_u64(o, "seq", d->seq);
	json_kv_bool(o, "replayed", d->replayed);
	json_kv_cstr(o, "state", dlv_state_name(d));
	if (d->state == DLV_ASIDE) {
		json_kv_cstr(o, "reason", dlv_aside_name(d->aside));
		json_kv_cstr(o, "report", d->report);
	}
	stamp(o, "received", d->received_ms);
	stamp(o, "given", d->given_ms);
	stamp(o, d->state < DLV_ASIDE && d->finished_ms != 0 ? "retried" : "finished", d->finished_ms);
	if (d->ending == ENDS_CANCELLED && d->state < DLV_ASIDE)
		json_kv_bool(o, "cancelled", true);
	json_kv_u64(o, "attempts", d->attempt);
	json_kv_u64(o, "charges", d->charges);
	json_kv_cstr(o, "worker", d->worker[0] == '\0' ? NULL : d->worker);
	json_key(o, "effects");
	json_arr(o);
	for (size_t i = 0; i < d->effects_n; i++)
		one_effect(o, &d->effects[i]);
	json_arr_end(o);
	json_obj_end(o);
}

void
journal_path(const struct delivery *d, struct buf *out)
{
	struct json_out	 o;

	json_out_init(&o, out);
	one_delivery(&o, d);
}

size_t
journal_explain(struct journal *j, uint64_t object, struct buf *out)
{
	static const enum dlv_state states[] = { DLV_FINISHED, DLV_ASIDE, DLV_GIVEN, DLV_WAITING };
	const struct delivery		*d;
	struct json_out			 o;
	size_t				 n = 0;

	json_out_init(&o, out);
	json_arr(&o);
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		for (d = journal_first(j, states[i]); d != NULL; d = TAILQ_NEXT(d, in_state))
			if (object != 0 && d->object == object) {
				one_delivery(&o, d);
				n++;
			}
	json_arr_end(&o);
	return n;
}
