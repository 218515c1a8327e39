/*
 * status - see status.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/count.h"
#include "common/json.h"
#include "supervisor/control/calls.h"
#include "supervisor/control/dead.h"
#include "supervisor/control/health.h"
#include "supervisor/control/putworker.h"
#include "supervisor/control/streams.h"
#include "supervisor/control/status.h"
#include "supervisor/delivery/fetchgap.h"
#include "supervisor/pool/privs.h"
#include "supervisor/reasons.h"
#include "supervisor/reload.h"
#include "supervisor/upgrade.h"

#define ROWS_MAX	1000
#define ROWS_BYTES	(512u << 10)	/* well below what the control socket carries */

/* ---- pieces ---- */

/* What a person should know, and what nothing is wrong with the bot for. */
static void
put_notes(const struct sup *sup, struct json_out *o)
{
	json_key(o, "notes");
	json_arr(o);
	if (privs_stays_root(sup->cfg))
		json_cstr(o, because_AS_ROOT);
	json_arr_end(o);
}

static void
put_gateway(struct sup *sup, struct json_out *o)
{
	struct gw_status	 g;

	json_key(o, "gateway");
	if (sup->gw == NULL) {
		json_nil(o);
		return;
	}
	gw_status(sup->gw, &g);
	json_obj(o);
	json_kv_cstr(o, "state", g.state);
	json_kv_bool(o, "live", g.live);
	json_kv_u64(o, "state_ms", g.state_ms);
	json_kv_u64(o, "latency_us", g.latency_us);
	json_kv_u64(o, "seq", g.seq);
	json_kv_u64(o, "connects", g.connects);
	json_kv_u64(o, "identifies", g.identifies);
	json_kv_u64(o, "resumes", g.resumes);
	json_kv_u64(o, "zombies", g.zombies);
	json_kv_u64(o, "probes", g.probes);
	json_kv_u64(o, "deafs", g.deafs);
	json_kv_known(o, "identifies_left", g.identifies_left);
	json_kv_known(o, "dispatch_age_ms", g.dispatch_age_ms);
	json_kv_known(o, "ack_age_ms", g.ack_age_ms);
	json_kv_u64(o, "beats", g.beats);
	json_kv_u64(o, "beat_jitter_max_us", g.beat_jitter_max_us);
	json_kv_u64(o, "beat_jitter_last_us", g.beat_jitter_last_us);
	json_kv_cstr(o, "session_id", g.session_id);
	json_kv_cstr(o, "last_close", g.last_close);
	json_kv_u64(o, "retry_in_ms", g.retry_in_ms);
	json_kv_bool(o, "ever_live", g.ever_live);
	json_obj_end(o);
}

static void
put_journal(struct sup *sup, struct json_out *o)
{
	struct journal_usage	 u;

	journal_usage(sup->journal, &u);
	json_key(o, "journal");
	json_obj(o);
	json_kv_u64(o, "bytes", u.bytes);
	json_kv_u64(o, "live_bytes", u.live_bytes);
	json_kv_u64(o, "records", u.records);
	json_kv_u64(o, "wraps", u.wraps);
	json_kv_u64(o, "dropped", u.dropped);
	json_kv_bool(o, "tmpfs", u.tmpfs);
	json_kv_bool(o, "damaged", sup->opened.damaged);
	json_kv_cstr(o, "damage", sup->opened.damaged ? sup->opened.text : NULL);
	json_obj_end(o);
}

struct out {
	struct sup	*sup;
	struct json_out	*o;
};

#define VERB_BYTES_MAX	64	/* messages.def: CALL.verb */

/* The text is a handler's: what can be no word of a command is not shown, however long it is. */
static bool
is_verb(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= 0x20 || s.p[i] == 0x7f)
			return false;
	return s.n > 0 && s.n <= VERB_BYTES_MAX;
}

/* What people may ask its workers; nothing while none is ready. */
static void
put_verbs(struct json_out *o, const struct msg_list *verbs)
{
	struct msg_list_iter	 it = { verbs->raw, 0 };
	struct span		 verb, help;

	json_key(o, "verbs");
	json_arr(o);
	while (msg_list_more(&it) && msg_list_next_str(&it, &verb) && msg_list_next_str(&it, &help))
		if (is_verb(verb))
			json_str(o, verb);
	json_arr_end(o);
}

static void
put_pool(void *arg, const struct pool_view *v)
{
	struct out		*out = arg;
	struct json_out		*o = out->o;
	struct queue_usage	 u = { .waiting = 0 };
	struct qpool		*qp;
	uint64_t		 now_ms = clock_wall_ms();

	if (out->sup->queue != NULL && (qp = queue_pool(out->sup->queue, v->name)) != NULL)
		queue_pool_usage(qp, &u);
	json_obj(o);
	json_kv_cstr(o, "name", v->name);
	json_kv_cstr(o, "role", v->role);
	json_kv_u64(o, "configured", v->configured);
	json_kv_u64(o, "workers", v->running);
	json_kv_u64(o, "ready", v->ready);
	json_kv_u64(o, "beside", v->beside);
	json_kv_u64(o, "credit", v->credit);
	json_kv_u64(o, "open", v->open);
	json_kv_u64(o, "waiting", u.waiting);
	json_kv_u64(o, "given", u.given);
	json_kv_u64(o, "keys", u.keys);
	json_kv_u64(o, "waiting_bytes", u.waiting_bytes);
	json_kv_u64(o, "queue", u.waiting_max);
	json_kv_u64(o, "queue_bytes", u.waiting_bytes_max);
	json_kv_bool(o, "full", u.full);
	json_kv_u64(o, "shed", u.shed);
	json_kv_u64(o, "oldest_ms", u.oldest_ms == 0 ? 0 : clock_since_ms(u.oldest_ms, now_ms));
	json_kv_u64(o, "restarts", v->restarts);
	json_kv_u64(o, "recycled", v->recycled);
	put_verbs(o, &v->verbs);
	json_key(o, "rolled_back");
	if (v->lost == NULL) {
		json_nil(o);
	} else {
		json_obj(o);
		json_kv_cstr(o, "worker", v->lost);
		json_kv_cstr(o, "text", v->lost_text);
		json_kv_u64(o, "ago_ms", clock_since_ms(v->lost_wall_ms, now_ms));
		json_obj_end(o);
	}
	json_obj_end(o);
}

static void
put_pools(struct sup *sup, struct json_out *o)
{
	struct out	 out = { sup, o };

	json_key(o, "pools");
	json_arr(o);
	if (sup->pools != NULL)
		pools_each_pool(sup->pools, put_pool, &out);
	json_arr_end(o);
}

static void
put_counts(struct sup *sup, struct json_out *o)
{
	json_key(o, "deliveries");
	json_obj(o);
	json_kv_u64(o, "waiting", journal_count(sup->journal, DLV_WAITING));
	json_kv_u64(o, "given", journal_count(sup->journal, DLV_GIVEN));
	json_kv_u64(o, "aside", journal_count(sup->journal, DLV_ASIDE));
	json_kv_u64(o, "aside_oldest_ms", dead_oldest_ms(sup) == 0 ? 0 :
	    clock_since_ms(dead_oldest_ms(sup), clock_wall_ms()));
	json_kv_u64(o, "finished", journal_count(sup->journal, DLV_FINISHED));
	json_obj_end(o);
}

/* ---- documents ---- */

static const char *const phases[] = {
	[SUP_STARTING] = "starting", [SUP_RUNNING] = "running", [SUP_STOPPING] = "stopping",
	[SUP_UPGRADING] = "upgrading",
};

struct tally {
	unsigned	 ready, all;
};

static void
tally_worker(void *arg, const struct worker_view *w)
{
	struct tally	*t = arg;

	t->all++;
	t->ready += w->child != NULL;
}

void
status_line(struct sup *sup, char *dst, size_t bytes)
{
	struct health	 h;
	struct tally	 t = { 0 };
	const char	*state, *why;

	health_judge(sup, &h);
	if (sup->pools != NULL)
		pools_each(sup->pools, NULL, tally_worker, &t);
	state = sup->phase != SUP_RUNNING ? phases[sup->phase] : health_name(&h);
	why = h.whys_n > 0 ? h.whys[0] : "";
	if (sup->phase == SUP_STOPPING)
		state = "";			/* the reason says it */
	snprintf(dst, bytes, "%s%s%s; %u of %u workers ready, %" PRIu64 " waiting, %" PRIu64
	    " open, %" PRIu64 " set aside",
	    state, *state != '\0' && *why != '\0' ? ": " : "", why, t.ready, t.all,
	    journal_count(sup->journal, DLV_WAITING), journal_count(sup->journal, DLV_GIVEN),
	    journal_count(sup->journal, DLV_ASIDE));
}

void
status_json(struct sup *sup, struct buf *out)
{
	const struct histo	*late;
	struct json_out	 o;
	struct health	 h;

	health_judge(sup, &h);
	json_out_init(&o, out);
	json_obj(&o);
	json_kv_cstr(&o, "health", health_name(&h));
	json_key(&o, "why");
	json_arr(&o);
	for (size_t i = 0; i < h.whys_n; i++)
		json_cstr(&o, h.whys[i]);
	json_arr_end(&o);
	put_notes(sup, &o);
	json_kv_cstr(&o, "version", BULKHEAD_VERSION);
	json_kv_u64(&o, "pid", (uint64_t)getpid());
	json_kv_u64(&o, "uptime_ms", mono_ms_between(sup->started, clock_mono()));
	late = loop_late(sup->loop);
	putworker_late(&o, late->n, histo_quantile(late, 500), histo_quantile(late, 990), late->max);
	json_kv_cstr(&o, "phase", phases[sup->phase]);
	json_kv_cstr(&o, "conf", sup->conf);
	reload_put(sup->reload, &o);
	upgrade_put(sup->upgrade, &o);
	put_gateway(sup, &o);
	json_key(&o, "gap");
	fetchgap_json(sup->fetchgap, &o);
	put_journal(sup, &o);
	put_pools(sup, &o);
	putworker_all(sup, &o, NULL);
	json_kv_u64(&o, "calls_open", sup->calls == NULL ? 0 : calls_open(sup->calls));
	json_kv_u64(&o, "streams_open", streams_open_n(sup->streams, NULL));
	put_counts(sup, &o);
	json_obj_end(&o);
}

void
status_pools(struct sup *sup, struct buf *out)
{
	struct json_out	 o;

	json_out_init(&o, out);
	json_obj(&o);
	put_pools(sup, &o);
	json_obj_end(&o);
}

void
status_workers(struct sup *sup, struct buf *out)
{
	struct json_out	 o;

	json_out_init(&o, out);
	json_obj(&o);
	putworker_all(sup, &o, NULL);
	json_obj_end(&o);
}

bool
status_worker(struct sup *sup, const char *name, struct buf *out)
{
	struct json_out	 o;

	json_out_init(&o, out);
	return putworker_one(sup, &o, name);
}

static void
put_delivery(struct json_out *o, const struct delivery *d, uint64_t now_ms)
{
	json_obj(o);
	json_kv_hex(o, "delivery", d->id);
	json_kv_cstr(o, "pool", d->pool);
	json_kv_cstr(o, "event", d->name);
	json_kv_id(o, "object", d->object);
	json_kv_id(o, "key", d->key);
	json_kv_u64(o, "attempt", d->attempt);
	json_kv_u64(o, "charges", d->charges);
	json_kv_u64(o, "bytes", d->body_bytes);
	json_kv_u64(o, "age_ms", clock_since_ms(d->received_ms, now_ms));
	json_kv_cstr(o, "worker", d->worker);
	json_kv_u64(o, "effects", d->effects_n);
	json_kv_bool(o, "replayed", d->replayed);
	json_kv_bool(o, "cancelled", d->ending == ENDS_CANCELLED);
	if (d->state == DLV_ASIDE) {
		json_kv_cstr(o, "aside", dlv_aside_name(d->aside));
		json_kv_cstr(o, "report", d->report);
	}
	json_obj_end(o);
}

void
status_deliveries(struct sup *sup, struct buf *out)
{
	static const struct {
		const char	*key;
		enum dlv_state	 state;
	} lists[] = { { "given", DLV_GIVEN }, { "waiting", DLV_WAITING }, { "aside", DLV_ASIDE } };
	struct json_out			 o;
	struct delivery			*d;
	uint64_t			 now_ms = clock_wall_ms();
	size_t				 rows = 0;
	bool				 cut = false;

	json_out_init(&o, out);
	json_obj(&o);
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		json_key(&o, lists[i].key);
		json_arr(&o);
		for (d = journal_first(sup->journal, lists[i].state); d != NULL && !cut;
		    d = TAILQ_NEXT(d, in_state)) {
			cut = rows++ == ROWS_MAX || out->n > ROWS_BYTES;
			if (!cut)
				put_delivery(&o, d, now_ms);
		}
		json_arr_end(&o);
	}
	json_kv_bool(&o, "cut", cut);
	put_counts(sup, &o);
	json_obj_end(&o);
}

void
status_letters(struct sup *sup, size_t max, struct buf *out)
{
	struct json_out	 o;
	uint64_t	 now_ms = clock_wall_ms(), left = journal_count(sup->journal, DLV_ASIDE);

	json_out_init(&o, out);
	json_arr(&o);
	for (struct delivery *d = journal_first(sup->journal, DLV_ASIDE); d != NULL;
	    d = TAILQ_NEXT(d, in_state))
		if (left-- <= max)
			put_delivery(&o, d, now_ms);
	json_arr_end(&o);
}

void
status_sessions(struct sup *sup, struct buf *out)
{
	const struct gw_identity	*id;
	struct json_out			 o;

	json_out_init(&o, out);
	json_obj(&o);
	put_gateway(sup, &o);
	json_key(&o, "identity");
	if (sup->gw == NULL || (id = gw_identity(sup->gw)) == NULL) {
		json_nil(&o);
	} else {
		json_obj(&o);
		json_kv_id(&o, "user", id->user_id);
		json_kv_id(&o, "application", id->application_id);
		json_kv_u64(&o, "shard", id->shard);
		json_kv_u64(&o, "shards", id->shards);
		json_kv_u64(&o, "intents", id->intents);
		json_kv_cstr(&o, "resume_url", id->resume_url);
		json_obj_end(&o);
	}
	putworker_sessions(sup, &o);
	json_obj_end(&o);
}

void
status_counters(struct sup *sup, struct buf *out)
{
	struct json_out	 o;

	(void)sup;
	json_out_init(&o, out);
	json_obj(&o);
	json_key(&o, "counters");
	json_arr(&o);
	for (int c = 0; c < COUNT__N; c++) {
		json_obj(&o);
		json_kv_cstr(&o, "name", count_name((enum counter)c));
		json_kv_u64(&o, "value", count_get((enum counter)c));
		json_kv_cstr(&o, "unit", count_unit((enum counter)c));
		json_kv_cstr(&o, "help", count_help((enum counter)c));
		json_obj_end(&o);
	}
	json_arr_end(&o);
	json_obj_end(&o);
}

void
status_gaps(struct sup *sup, struct buf *out)
{
	struct journal_usage	 u;
	struct json_out		 o;

	journal_usage(sup->journal, &u);
	json_out_init(&o, out);
	json_obj(&o);
	json_kv_u64(&o, "channels_known", u.channels);
	json_kv_u64(&o, "channels_forgotten", u.channels_forgotten);
	json_key(&o, "gaps");
	fetchgap_all_json(sup->fetchgap, &o);
	json_obj_end(&o);
}
