/*
 * stop - the stop order: intake off, handlers, rest, out; and the report of what was cut.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/count.h"
#include "common/json.h"
#include "common/log.h"
#include "supervisor/control/calls.h"
#include "supervisor/control/control.h"
#include "supervisor/control/notify.h"
#include "supervisor/control/streams.h"
#include "supervisor/delivery/fetchgap.h"
#include "supervisor/moments.h"
#include "supervisor/reload.h"
#include "supervisor/run.h"
#include "supervisor/upgrade.h"

#define SLACK_MS	2000	/* of the bound, beyond the times of its parts */
#define LEFT_SHOWN	20	/* deliveries that the report names */

/* ---- the report ---- */

static void
report_begin(struct stop_report *r, struct sup *sup)
{
	r->begun = clock_mono();
	r->held = journal_count(sup->journal, DLV_GIVEN);
	r->waiting = journal_count(sup->journal, DLV_WAITING);
	r->acked = count_get(COUNT_deliveries_acked);
	r->nacked = count_get(COUNT_deliveries_nacked);
	r->returned = count_get(COUNT_deliveries_returned);
}

void
stop_note_death(struct run *run, const char *tag, const struct obituary *ob)
{
	struct stop_report	*r = &run->report;

	if (run->sup.phase != SUP_STOPPING || (ob->cause == DEATH_ASKED && ob->code == 0))
		return;
	if (r->killed_n < STOP_KILLED_MAX)
		snprintf(r->killed[r->killed_n], sizeof(r->killed[0]), "%s %s", tag, ob->text);
	r->killed_n++;
}

void
stop_note_stream(struct run *run, uint64_t kind)
{
	if (run->sup.phase == SUP_STOPPING && kind >= STREAM_END_CUT)
		run->report.streams_n++;
}

/* Begun and not finished: the next start goes on with these. */
static bool
is_left(const struct delivery *d)
{
	return d->attempt > 0;
}

static size_t
put_left(struct sup *sup, struct json_out *o)
{
	const struct delivery	*d;
	uint64_t		 now_ms = clock_wall_ms();
	char			 id[17];
	size_t			 n = 0;

	json_key(o, "left");
	json_arr(o);
	for (int s = DLV_WAITING; s <= DLV_GIVEN; s++)
		for (d = journal_first(sup->journal, (enum dlv_state)s); d != NULL;
		    d = TAILQ_NEXT(d, in_state)) {
			if (!is_left(d) || n++ >= LEFT_SHOWN)
				continue;
			snprintf(id, sizeof(id), "%016" PRIx64, d->id);
			log_notice("stopped with dlv#%s unfinished: pool=%s event=%s object=%llu"
			    " key=%llu attempt=%u worker=%s", id, d->pool, d->name,
			    (unsigned long long)d->object, (unsigned long long)d->key,
			    d->attempt, d->worker);
			json_obj(o);
			json_kv_cstr(o, "delivery", id);
			json_kv_cstr(o, "pool", d->pool);
			json_kv_cstr(o, "event", d->name);
			json_kv_id(o, "object", d->object);
			json_kv_id(o, "key", d->key);
			json_kv_cstr(o, "worker", d->worker);
			json_kv_u64(o, "age_ms", clock_since_ms(d->received_ms, now_ms));
			json_obj_end(o);
		}
	json_arr_end(o);
	json_kv_u64(o, "left_n", n);
	return n;
}

static uint64_t
since(struct mono from, struct mono to)
{
	return mono_is_never(from) || mono_is_never(to) ? 0 : mono_ms_between(from, to);
}

static void
report_end(struct run *run)
{
	struct stop_report	*r = &run->report;
	struct sup		*sup = &run->sup;
	struct mono		 now = clock_mono();
	uint64_t		 acked = count_get(COUNT_deliveries_acked) - r->acked;
	uint64_t		 nacked = count_get(COUNT_deliveries_nacked) - r->nacked;
	uint64_t		 returned = count_get(COUNT_deliveries_returned) - r->returned;
	/* Its last edit did not get through: a limit, or Discord does not answer. */
	size_t			 unsent = streams_open_n(sup->streams, NULL);
	struct buf		 doc = { 0 };
	struct json_out		 o;
	size_t			 left;

	json_out_init(&o, &doc);
	json_obj(&o);
	json_kv_cstr(&o, "why", sup->why_stopping);
	json_kv_u64(&o, "held", r->held);
	json_kv_u64(&o, "finished", acked);
	json_kv_u64(&o, "handed_back", nacked);
	json_kv_u64(&o, "taken_back", returned);
	json_kv_u64(&o, "waiting", journal_count(sup->journal, DLV_WAITING));
	json_kv_u64(&o, "streams_cut", r->streams_n);
	json_kv_u64(&o, "streams_unsent", unsent);
	left = put_left(sup, &o);
	json_key(&o, "killed");
	json_arr(&o);
	for (size_t i = 0; i < r->killed_n && i < STOP_KILLED_MAX; i++) {
		log_warnx("stop: %s", r->killed[i]);
		json_cstr(&o, r->killed[i]);
	}
	json_arr_end(&o);
	json_kv_u64(&o, "killed_n", r->killed_n);
	json_kv_bool(&o, "hurried", r->hurried);
	json_kv_u64(&o, "handlers_ms", since(r->begun, r->handlers));
	json_kv_u64(&o, "rest_ms", since(r->handlers, r->rest));
	json_kv_u64(&o, "gateway_ms", since(r->begun, r->gateway));
	json_kv_u64(&o, "total_ms", since(r->begun, now));
	json_obj_end(&o);
	log_notice("stop: held=%" PRIu64 " finished=%" PRIu64 " handed_back=%" PRIu64
	    " taken_back=%" PRIu64 " left=%zu streams_cut=%zu streams_unsent=%zu killed=%zu handlers_ms=%" PRIu64
	    " rest_ms=%" PRIu64 " gateway_ms=%" PRIu64 " total_ms=%" PRIu64, r->held, acked, nacked,
	    returned, left, r->streams_n, unsent, r->killed_n, since(r->begun, r->handlers),
	    since(r->handlers, r->rest), since(r->begun, r->gateway), since(r->begun, now));
	control_stopped(sup->control, buf_span(&doc));
	buf_fini(&doc);
}

/* ---- the order ---- */

static void
forget_session(struct sup *sup)
{
	struct gw_identity	 id;

	if (!journal_identity_get(sup->journal, 0, &id))
		return;
	id.session_id[0] = id.resume_url[0] = '\0';
	id.seq = 0;
	journal_identity(sup->journal, &id);
}

static void
over(struct run *run)
{
	if (run->sup.phase == SUP_STOPPING) {
		if (run->final)
			forget_session(&run->sup);
		report_end(run);
	}
	loop_stop(run->sup.loop);
}

void
run_part_stopped(struct run *run)
{
	if (--run->waiting > 0)
		return;
	upgrade_stopped(run->sup.upgrade);
	over(run);
}

void
run_gateway_stopped(struct run *run)
{
	run->report.gateway = clock_mono();
	run_part_stopped(run);
}

void
run_stop_gateway(struct run *run, bool final)
{
	if (run->sup.gw == NULL || run->gw_stopping)
		return;
	run->gw_stopping = true;
	run->waiting++;
	gw_stop(run->sup.gw, final);
}

static void
on_rest_stopped(void *arg)
{
	struct run	*run = arg;

	run->report.rest = clock_mono();
	run_part_stopped(run);
}

static void
on_handlers_stopped(void *arg)
{
	struct run	*run = arg;

	run->report.handlers = clock_mono();
	calls_services_end(run->sup.calls);
	pools_stop(run->sup.pools, true, run->sup.cfg->rest_grace_ms, 0, on_rest_stopped, run);
}

static void
on_bound(void *arg)
{
	struct run	*run = arg;

	log_err("the stop took longer than its bound: children=%zu", pools_alive(run->sup.pools));
	over(run);
}

void
sup_stop(struct sup *sup, const char *why, bool final)
{
	struct run	*run = run_of(sup);
	uint64_t	 bound_ms;

	run->final = run->final || final;
	if (sup->phase == SUP_STOPPING) {
		log_notice("stopping in a hurry: %s", why);
		run->report.hurried = true;
		pools_hurry(sup->pools);
		return;
	}
	upgrade_cancel(sup->upgrade);
	reload_stop(sup->reload);
	sup->phase = SUP_STOPPING;
	strlcpy(sup->why_stopping, why, sizeof(sup->why_stopping));
	log_notice("stopping: %s%s", why, final ? ", for good" : "");
	moment_say(MOMENT_STOP, "", "%s", why);
	report_begin(&run->report, sup);
	timer_stop(run->patience);
	run->bound = timer_new(sup->loop, on_bound, run);
	bound_ms = sup->cfg->drain_ms + sup->cfg->last_word_ms + sup->cfg->rest_grace_ms + SLACK_MS;
	timer_arm_ms(run->bound, bound_ms);
	notify_stopping(sup->notify, bound_ms);
	control_stopping(sup->control, "the supervisor is stopping");
	queue_hold(sup->queue, true);
	if (sup->fetchgap != NULL)
		fetchgap_stop(sup->fetchgap);
	/* What we ask ourselves nobody waits for any more: the rest workers must not either. */
	calls_cancel(sup->calls, run);
	run_stop_gateway(run, final);
	run->waiting++;
	pools_stop(sup->pools, false, sup->cfg->drain_ms, sup->cfg->last_word_ms,
	    on_handlers_stopped, run);
}
