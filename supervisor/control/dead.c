/*
 * dead - see dead.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "supervisor/control/dead.h"

#define ROWS_BYTES	(512u << 10)	/* well below what the control socket carries */
#define BODY_BYTES	(64u << 10)	/* of an event that is shown */

static bool
is_named(const struct delivery *d, struct span name)
{
	char		 text[17];
	uint64_t	 object;

	snprintf(text, sizeof(text), "%016" PRIx64, d->id);
	return span_is(name, text) ||
	    (d->object != 0 && span_u64(name, &object) && object == d->object);
}

static uint64_t
ago(uint64_t wall_ms)
{
	return clock_since_ms(wall_ms, clock_wall_ms());
}

uint64_t
dead_oldest_ms(struct sup *sup)
{
	const struct delivery	*d = journal_first(sup->journal, DLV_ASIDE);

	return d == NULL ? 0 : d->finished_ms;
}

static void
put_letter(struct json_out *o, const struct delivery *d)
{
	json_obj(o);
	json_kv_hex(o, "delivery", d->id);
	json_kv_cstr(o, "pool", d->pool);
	json_kv_cstr(o, "event", d->name);
	json_kv_id(o, "object", d->object);
	json_kv_cstr(o, "reason", dlv_aside_name(d->aside));
	json_kv_cstr(o, "report", d->report);
	json_kv_u64(o, "aside_ms", ago(d->finished_ms));
	json_kv_u64(o, "age_ms", ago(d->received_ms));
	json_kv_u64(o, "attempts", d->attempt);
	json_kv_u64(o, "charges", d->charges);
	json_kv_u64(o, "effects", d->effects_n);
	json_kv_u64(o, "bytes", d->body_bytes);
	json_obj_end(o);
}

void
dead_list(struct sup *sup, struct buf *out)
{
	struct json_out		 o;
	const struct delivery	*d, **all;
	uint64_t		 bytes = 0;
	size_t			 n = 0, shown = 0;

	all = mem_array(journal_count(sup->journal, DLV_ASIDE) + 1, sizeof(*all));
	for (d = journal_first(sup->journal, DLV_ASIDE); d != NULL; d = TAILQ_NEXT(d, in_state)) {
		all[n++] = d;
		bytes += d->body_bytes;
	}
	json_out_init(&o, out);
	json_obj(&o);
	json_key(&o, "dead");
	json_arr(&o);
	for (size_t i = n; i-- > 0 && out->n < ROWS_BYTES; shown++)
		put_letter(&o, all[i]);
	json_arr_end(&o);
	json_kv_u64(&o, "letters", n);
	json_kv_u64(&o, "bytes", bytes);
	json_kv_u64(&o, "oldest_ms", n == 0 ? 0 : ago(all[0]->finished_ms));
	json_kv_bool(&o, "cut", shown < n);
	json_obj_end(&o);
	free(all);
}

size_t
dead_show(struct sup *sup, struct span name, struct buf *out)
{
	const struct delivery	*d;
	struct json_out		 o;
	struct buf		 path = { 0 };
	struct span		 body;
	size_t			 n = 0;

	json_out_init(&o, out);
	json_obj(&o);
	json_key(&o, "deliveries");
	json_arr(&o);
	for (d = journal_first(sup->journal, DLV_ASIDE); d != NULL && out->n < ROWS_BYTES;
	     d = TAILQ_NEXT(d, in_state)) {
		if (!is_named(d, name))
			continue;
		n++;
		buf_reset(&path);
		journal_path(d, &path);
		json_obj(&o);
		json_key(&o, "path");
		json_raw(&o, buf_span(&path));
		json_kv_u64(&o, "bytes", d->body_bytes);
		body = journal_body(sup->journal, d);
		json_key(&o, "body");
		/* It was checked when it came. */
		if (body.n == 0 || body.n > BODY_BYTES)
			json_nil(&o);
		else
			json_raw(&o, body);
		json_obj_end(&o);
	}
	json_arr_end(&o);
	json_obj_end(&o);
	buf_fini(&path);
	return n;
}

/* What is done to one may change the list: by id. */
static struct dead_result
each(struct sup *sup, struct span name, struct span pool,
    const char *(*fn)(struct queue *, struct delivery *))
{
	struct dead_result	 r = { 0 };
	struct delivery		*d;
	uint64_t		*ids;
	const char		*why;
	bool			 all = span_is(name, "all");

	ids = mem_array(journal_count(sup->journal, DLV_ASIDE) + 1, sizeof(*ids));
	for (d = journal_first(sup->journal, DLV_ASIDE); d != NULL; d = TAILQ_NEXT(d, in_state))
		if ((all || is_named(d, name)) && (pool.n == 0 || span_is(pool, d->pool)))
			ids[r.n++] = d->id;
	for (size_t i = 0; i < r.n; i++) {
		d = journal_find(sup->journal, ids[i]);
		if (d == NULL || d->state != DLV_ASIDE)
			r.why = "it gave way to others";
		else if ((why = fn(sup->queue, d)) == NULL)
			r.done++;
		else
			r.why = why;
	}
	free(ids);
	return r;
}

struct dead_result
dead_retry(struct sup *sup, struct span name, struct span pool)
{
	return each(sup, name, pool, queue_retry);
}

static const char *
let_go(struct queue *q, struct delivery *d)
{
	queue_let_go(q, d);
	return NULL;
}

struct dead_result
dead_drop(struct sup *sup, struct span name, struct span pool)
{
	return each(sup, name, pool, let_go);
}
