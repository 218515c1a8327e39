/*
 * snapshot - see snapshot.h.
 */
#include <stdlib.h>

#include "common/count.h"
#include "common/json.h"
#include "common/log.h"
#include "common/measure.h"
#include "supervisor/control/snapshot.h"
#include "supervisor/control/status.h"

struct snapshot {
	struct sup	*sup;
	uint64_t	 every_ms;
	struct timer	*timer;
	struct child	*child;		/* the web worker while it is READY; else NULL */
	struct buf	 doc, piece;
	bool		 told;		/* the log knows that one was too large */
};

static void
put_steps(struct json_out *o, const struct measured *row)
{
	json_key(o, "steps");
	json_arr(o);
	for (size_t i = 0; i < MEASURE_STEPS; i++)
		json_u64(o, row->steps[i]);
	json_arr_end(o);
}

static void
put_measure(struct json_out *o, enum measure m)
{
	const struct measured	*row;

	json_obj(o);
	json_kv_cstr(o, "name", measure_name(m));
	json_kv_cstr(o, "help", measure_help(m));
	json_key(o, "rows");
	json_arr(o);
	for (size_t i = 0; i <= MEASURE_POOLS; i++) {
		if (!measure_row(m, i, &row))
			continue;
		json_obj(o);
		json_kv_cstr(o, "pool", row->pool);
		json_kv_u64(o, "sum_us", row->sum_us);
		put_steps(o, row);
		json_obj_end(o);
	}
	json_arr_end(o);
	json_obj_end(o);
}

static void
put_measures(struct json_out *o)
{
	json_key(o, "steps");
	json_arr(o);
	for (size_t i = 0; i < MEASURE_STEPS; i++)
		json_cstr(o, measure_step_text(i));
	json_arr_end(o);
	json_key(o, "measures");
	json_arr(o);
	for (int m = 0; m < MEASURE__N; m++)
		put_measure(o, (enum measure)m);
	json_arr_end(o);
}

static void
put_counters(struct json_out *o)
{
	json_key(o, "counters");
	json_arr(o);
	for (int c = 0; c < COUNT__N; c++) {
		json_obj(o);
		json_kv_cstr(o, "name", count_name((enum counter)c));
		json_kv_u64(o, "value", count_get((enum counter)c));
		json_kv_cstr(o, "help", count_help((enum counter)c));
		json_obj_end(o);
	}
	json_arr_end(o);
}

static void
make(struct snapshot *s)
{
	struct json_out	 o;

	buf_reset(&s->doc);
	json_out_init(&o, &s->doc);
	json_obj(&o);
	json_key(&o, "status");
	buf_reset(&s->piece);
	status_json(s->sup, &s->piece);
	json_raw(&o, buf_span(&s->piece));
	json_key(&o, "letters");
	buf_reset(&s->piece);
	status_letters(s->sup, SNAPSHOT_LETTERS, &s->piece);
	json_raw(&o, buf_span(&s->piece));
	put_counters(&o);
	put_measures(&o);
	json_obj_end(&o);
}

static void
on_second(void *arg)
{
	struct snapshot		*s = arg;
	struct msg_SNAPSHOT	 m;

	if (s->child == NULL)
		return;
	timer_arm_ms(s->timer, s->every_ms);
	if (child_unread_bytes(s->child) > 0) {
		COUNT(snapshots_skipped);
		return;
	}
	make(s);
	m.json = buf_span(&s->doc);
	if (child_send(s->child, MSG_SNAPSHOT, &m) == 0)
		return;
	COUNT(snapshots_skipped);
	if (!s->told)
		log_warnx("a snapshot for the web worker was not sent bytes=%zu", s->doc.n);
	s->told = true;
}

struct snapshot *
snapshot_new(struct sup *sup, uint64_t every_ms)
{
	struct snapshot	*s = mem_alloc(sizeof(*s));

	s->sup = sup;
	s->every_ms = every_ms;
	s->timer = timer_new(sup->loop, on_second, s);
	return s;
}

void
snapshot_free(struct snapshot **sp)
{
	struct snapshot	*s = *sp;

	if (s == NULL)
		return;
	timer_free(&s->timer);
	buf_fini(&s->doc);
	buf_fini(&s->piece);
	free(s);
	*sp = NULL;
}

void
snapshot_up(struct snapshot *s, struct child *child)
{
	s->child = child;
	/* Not from inside READY: the next turn knows that it is up. */
	timer_arm_ms(s->timer, 0);
}

void
snapshot_down(struct snapshot *s, const struct child *child)
{
	if (s->child != child)
		return;
	s->child = NULL;
	timer_stop(s->timer);
}
