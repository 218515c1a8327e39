/*
 * status - see status.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/count.h"
#include "common/json.h"
#include "common/log.h"
#include "supervisor/control/calls.h"
#include "supervisor/control/dead.h"
#include "supervisor/control/streams.h"
#include "supervisor/control/status.h"
#include "supervisor/delivery/fetchgap.h"
#include "supervisor/pool/lastwords.h"
#include "supervisor/pool/privs.h"
#include "supervisor/reasons.h"
#include "supervisor/reload.h"
#include "supervisor/upgrade.h"

#define DEAF_MS		60000	/* without a live gateway for so long: down */
#define ROWS_MAX	1000
#define ROWS_BYTES	(512u << 10)	/* well below what the control socket carries */
#define WHYS_MAX	16

/* Unknown and never are null, not a number that someone may add up. */
static void
kv_u64_or_null(struct json_out *o, const char *key, uint64_t v)
{
	json_key(o, key);
	if (v == UINT64_MAX)
		json_nil(o);
	else
		json_u64(o, v);
}

/* How late the timers of a process fired: its loop was busy with something else. */
static void
put_late(struct json_out *o, uint64_t timers, uint64_t p50_us, uint64_t p99_us, uint64_t max_us)
{
	json_key(o, "timers");
	json_obj(o);
	json_kv_u64(o, "fired", timers);
	json_kv_u64(o, "late_p50_us", p50_us);
	json_kv_u64(o, "late_p99_us", p99_us);
	json_kv_u64(o, "late_max_us", max_us);
	json_obj_end(o);
}

static uint64_t
uptime_ms(const struct sup *sup)
{
	return mono_ms_between(sup->started, clock_mono());
}

static uint64_t
age_of(uint64_t wall_ms, uint64_t now_ms)
{
	return now_ms > wall_ms ? now_ms - wall_ms : 0;
}

static bool
is_active(const struct sup *sup, const struct worker_view *v)
{
	return v->child != NULL && sup->calls != NULL && calls_active(sup->calls) == v->child;
}

/* Delivery ids look alike everywhere: 16 hexadecimal digits, as in the log and in explain. */
static void
kv_delivery(struct json_out *o, const char *key, uint64_t id)
{
	char	 text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, id);
	json_kv_cstr(o, key, id == 0 ? NULL : text);
}

/* For figures where 0 means that nobody looked. */
static uint64_t
null_of_0(uint64_t v)
{
	return v == 0 ? UINT64_MAX : v;
}

/* ---- health ---- */

struct health {
	struct sup	*sup;
	bool		 down;
	size_t		 whys_n;
	char		 whys[WHYS_MAX][160];
};

static void __attribute__((format(printf, 2, 3)))
because(struct health *h, const char *fmt, ...)
{
	va_list	 ap;

	if (h->whys_n == WHYS_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(h->whys[h->whys_n++], sizeof(h->whys[0]), fmt, ap);
	va_end(ap);
}

static void
judge_worker(void *arg, const struct worker_view *v)
{
	struct health	*h = arg;
	char		 text[24];

	if (strcasecmp(v->state, "ready") == 0)
		return;
	if (strcmp(v->state, "drained") == 0) {
		because(h, because_WORKER_DRAINED, v->name,
		    clock_human_ms(v->state_ms, text, sizeof(text)), v->name);
		return;
	}
	because(h, because_WORKER, v->name, v->state,
	    clock_human_ms(v->state_ms, text, sizeof(text)),
	    v->last == NULL ? "" : ": ", v->last == NULL ? "" : v->last->text);
}

static void
judge_pool(void *arg, const struct pool_view *v)
{
	struct health	*h = arg;
	char		 text[24];

	if (v->running != v->configured)
		because(h, because_POOL_SCALED, v->name, (unsigned long long)v->configured,
		    (unsigned long long)v->running);
	if (v->lost != NULL)
		because(h, because_ROLLED_BACK, v->lost,
		    clock_human_ms(age_of(v->lost_wall_ms, clock_wall_ms()), text, sizeof(text)),
		    v->lost_text);
}

static bool
gateway_live(const struct gw_status *g)
{
	return strcasecmp(g->state, "ready") == 0;
}

static void
judge_gateway(struct health *h)
{
	struct gw_status	 g;
	uint64_t		 silent_ms;
	char			 text[24], gap[160];

	gw_status(h->sup->gw, &g);
	if (fetchgap_why(h->sup->fetchgap, gap, sizeof(gap)))
		because(h, "%s", gap);
	if (gateway_live(&g)) {
		if (gw_identity(h->sup->gw)->intents != h->sup->cfg->intents_bits)
			because(h, because_INTENTS);
		return;
	}
	/* The last sign of a live session: state_ms begins anew with each attempt. */
	silent_ms = g.ack_age_ms == UINT64_MAX ? uptime_ms(h->sup) : g.ack_age_ms;
	h->down = h->down || silent_ms >= DEAF_MS;
	because(h, because_GATEWAY, g.state,
	    clock_human_ms(silent_ms, text, sizeof(text)), g.last_close[0] == '\0' ? "" : ": ",
	    g.last_close);
}

static void
judge_queues(struct health *h)
{
	const struct cfg	*cfg = h->sup->cfg;
	struct queue_usage	 u;
	struct qpool		*p;

	for (size_t i = 0; i < cfg->pools_n; i++) {
		if ((p = queue_pool(h->sup->queue, cfg->pools[i].name)) == NULL)
			continue;
		queue_pool_usage(p, &u);
		if (u.full)
			because(h, because_POOL_FULL, cfg->pools[i].name,
			    (unsigned long long)u.waiting, (unsigned long long)u.waiting_bytes);
	}
}

static void
judge(struct sup *sup, struct health *h)
{
	struct journal_usage	 u;
	uint64_t		 aside;
	char			 text[24];

	memset(h, 0, sizeof(*h));
	h->sup = sup;
	if (sup->phase == SUP_STOPPING)
		because(h, because_STOPPING, sup->why_stopping);
	if (reload_refused(sup->reload) != NULL)
		because(h, because_CONFIG_REFUSED, reload_refused(sup->reload));
	if (sup->gw != NULL)
		judge_gateway(h);
	if (sup->cfg->token != NULL && sup->calls != NULL && calls_active(sup->calls) == NULL) {
		h->down = true;
		because(h, because_NO_REST);
	}
	journal_usage(sup->journal, &u);
	if (sup->opened.damaged)
		because(h, because_JOURNAL_DAMAGED, sup->opened.text);
	if (!u.tmpfs)
		because(h, because_NOT_TMPFS);
	/* Of the journal, and what the gateway held for it when its session ended. */
	if (count_get(COUNT_events_dropped) > 0)
		because(h, because_DROPPED,
		    (unsigned long long)count_get(COUNT_events_dropped));
	if ((aside = journal_count(sup->journal, DLV_ASIDE)) > 0)
		because(h, because_ASIDE, (unsigned long long)aside,
		    aside == 1 ? "delivery is" : "deliveries are",
		    clock_human_ms(age_of(dead_oldest_ms(sup), clock_wall_ms()), text, sizeof(text)));
	if (sup->queue != NULL)
		judge_queues(h);
	if (log_dropped() > 0)
		because(h, because_LOG_DROPPED, (unsigned long long)log_dropped());
	if (sup->pools != NULL) {
		pools_each(sup->pools, NULL, judge_worker, h);
		pools_each_pool(sup->pools, judge_pool, h);
	}
}

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
	json_kv_bool(o, "live", gateway_live(&g));
	json_kv_u64(o, "state_ms", g.state_ms);
	json_kv_u64(o, "latency_us", g.latency_us);
	json_kv_u64(o, "seq", g.seq);
	json_kv_u64(o, "connects", g.connects);
	json_kv_u64(o, "identifies", g.identifies);
	json_kv_u64(o, "resumes", g.resumes);
	json_kv_u64(o, "zombies", g.zombies);
	json_kv_u64(o, "probes", g.probes);
	json_kv_u64(o, "deafs", g.deafs);
	kv_u64_or_null(o, "identifies_left", g.identifies_left);
	kv_u64_or_null(o, "dispatch_age_ms", g.dispatch_age_ms);
	kv_u64_or_null(o, "ack_age_ms", g.ack_age_ms);
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

/* What people may ask its workers; nothing while none is ready. */
static void
put_verbs(struct json_out *o, const struct msg_list *verbs)
{
	struct msg_list_iter	 it = { verbs->raw, 0 };
	struct span		 verb, help;

	json_key(o, "verbs");
	json_arr(o);
	while (msg_list_more(&it) && msg_list_next_str(&it, &verb) && msg_list_next_str(&it, &help))
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
	json_kv_u64(o, "oldest_ms", u.oldest_ms == 0 ? 0 : age_of(u.oldest_ms, now_ms));
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
		json_kv_u64(o, "ago_ms", age_of(v->lost_wall_ms, now_ms));
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

/* As SESSION numbers them. */
static const char *const session_states[] = { "opening", "open", "draining", "closed" };

struct worker_out {
	struct sup	*sup;
	struct json_out	*o;
	const char	*only;		/* one worker, with its obituaries; NULL: all */
	bool		 found;
};

static void
put_held(struct json_out *o, const struct held *h)
{
	if (h->delivery == 0) {
		json_nil(o);
		return;
	}
	json_obj(o);
	kv_delivery(o, "delivery", h->delivery);
	json_kv_cstr(o, "event", h->event);
	json_kv_id(o, "object", h->object);
	json_kv_u64(o, "out_ms", h->out_ms);
	json_kv_u64(o, "attempt", h->attempt);
	json_obj_end(o);
}

static void
put_words(struct json_out *o, const struct last_words *w)
{
	const char	*line;

	json_key(o, "lines");
	json_arr(o);
	for (size_t i = 0; (line = last_words_line(w, i)) != NULL; i++)
		json_cstr(o, line);
	json_arr_end(o);
	json_kv_cstr(o, "crash", w->crash[0] == '\0' ? NULL : w->crash);
	json_key(o, "backtrace");
	json_arr(o);
	for (size_t i = 0; i < w->frames_n; i++)
		json_cstr(o, w->frames[i]);
	json_arr_end(o);
	json_kv_u64(o, "backtrace_cut", w->frames_cut);
}

static void
put_obituary(struct json_out *o, const struct obituary *ob, bool whole)
{
	char	 iso[32];

	json_obj(o);
	json_kv_cstr(o, "cause", death_name(ob->cause));
	json_kv_cstr(o, "text", ob->text);
	json_kv_cstr(o, "tag", ob->tag);
	json_kv_u64(o, "ago_ms", age_of(ob->wall_ms, clock_wall_ms()));
	if (whole) {
		json_kv_cstr(o, "at", clock_iso(ob->wall_ms, iso, sizeof(iso)));
		json_kv_u64(o, "code", (uint64_t)ob->code);
		json_kv_u64(o, "pid", (uint64_t)ob->pid);
		json_kv_u64(o, "generation", ob->generation);
		json_kv_u64(o, "age_ms", ob->age_ms);
		kv_delivery(o, "running", ob->running);
		json_kv_u64(o, "open", ob->open);
		kv_u64_or_null(o, "running_ms", ob->running == 0 ? UINT64_MAX : ob->running_ms);
		json_key(o, "what");
		put_held(o, &ob->what);
		json_key(o, "held");
		json_arr(o);
		for (size_t i = 0; i < ob->held_n; i++)
			put_held(o, &ob->held[i]);
		json_arr_end(o);
		json_kv_u64(o, "scopes", ob->scopes);
		kv_u64_or_null(o, "max_rss_kib", null_of_0(ob->max_rss_kib));
		json_kv_u64(o, "user_ms", ob->user_ms);
		json_kv_u64(o, "sys_ms", ob->sys_ms);
		json_kv_u64(o, "cpu_ms", ob->user_ms + ob->sys_ms);
		kv_u64_or_null(o, "fds", null_of_0(ob->fds));
		kv_u64_or_null(o, "memory_bytes", null_of_0(ob->memory_bytes));
		json_kv_bool(o, "was_ready", ob->was_ready);
		json_kv_bool(o, "was_asked", ob->was_asked);
		put_words(o, &ob->words);
	}
	json_obj_end(o);
}

/* What one worker does just now; for `show worker` alone, there may be hundreds. */
static void
put_live(struct sup *sup, struct json_out *o, const struct child *c)
{
	struct held		 held[OBITUARY_HELD], what = { .delivery = 0 };
	struct child_use	 u;
	size_t			 n = pools_held(sup->pools, c, held, OBITUARY_HELD);

	child_use(c, &u);
	json_kv_u64(o, "quiet_ms", u.quiet_ms);
	kv_delivery(o, "running", u.running);
	kv_u64_or_null(o, "running_ms", u.running == 0 ? UINT64_MAX : u.running_ms);
	if (u.running != 0)
		(void)pools_holds(sup->pools, c, u.running, &what);
	json_key(o, "what");
	put_held(o, &what);
	json_key(o, "held");
	json_arr(o);
	for (size_t i = 0; i < n; i++)
		put_held(o, &held[i]);
	json_arr_end(o);
	kv_u64_or_null(o, "max_rss_kib", null_of_0(u.hwm_kib));
	kv_u64_or_null(o, "fds", null_of_0(u.fds));
	json_key(o, "limits");
	json_obj(o);
	kv_u64_or_null(o, "memory_bytes", null_of_0(u.memory_bytes));
	json_kv_cstr(o, "memory_by", u.memory_by);
	json_kv_cstr(o, "memory_why", u.memory_why);
	kv_u64_or_null(o, "files", null_of_0(u.files));
	json_kv_u64(o, "core_bytes", u.core_bytes);
	json_obj_end(o);
	json_key(o, "confined");
	json_obj(o);
	if (u.confined.known) {
		json_kv_bool(o, "no_new_privs", u.confined.no_new_privs);
		json_kv_bool(o, "hidden", u.confined.hidden);
		json_kv_bool(o, "seccomp", u.confined.seccomp);
		json_kv_u64(o, "landlock", u.confined.landlock);
		json_kv_u64(o, "uid", u.confined.uid);
	}
	json_obj_end(o);
}

/* A process beside the one that holds its place. */
static void
put_beside(void *arg, const struct worker_view *v)
{
	struct worker_out	*w = arg;
	struct json_out		*o = w->o;
	size_t			 n = w->only == NULL ? 0 : strlen(w->only);

	if (w->only != NULL && (strncmp(v->name, w->only, n) != 0 || v->name[n] != '#'))
		return;
	json_obj(o);
	json_kv_cstr(o, "tag", v->name);
	json_kv_cstr(o, "pool", v->pool);
	json_kv_cstr(o, "what", v->heir ? "successor" : "old");
	json_kv_cstr(o, "state", v->state);
	json_kv_u64(o, "state_ms", v->state_ms);
	json_kv_u64(o, "generation", v->generation);
	json_kv_u64(o, "pid", (uint64_t)v->pid);
	json_kv_u64(o, "uptime_ms", v->uptime_ms);
	json_kv_u64(o, "open", v->open);
	json_kv_u64(o, "scopes", v->scopes);
	json_kv_u64(o, "streams", v->child == NULL ? 0 : streams_open_n(w->sup->streams, v->child));
	json_kv_u64(o, "rss_kib", v->rss_kib);
	json_kv_u64(o, "ends_in_ms", v->ends_in_ms);
	json_obj_end(o);
}

static void
put_all_beside(struct worker_out *w)
{
	json_key(w->o, "beside");
	json_arr(w->o);
	if (w->sup->pools != NULL)
		pools_each_beside(w->sup->pools, NULL, put_beside, w);
	json_arr_end(w->o);
}

static void
put_worker(void *arg, const struct worker_view *v)
{
	const struct obituary	*all[OBITUARIES_KEPT];
	struct worker_out	*w = arg;
	struct json_out		*o = w->o;
	struct child_late	 late;
	char			 tag[80];
	size_t			 n;

	if (w->only != NULL && strcmp(w->only, v->name) != 0)
		return;
	w->found = true;
	snprintf(tag, sizeof(tag), "%s#%" PRIu64, v->name, v->generation);
	json_obj(o);
	json_kv_cstr(o, "name", v->name);
	json_kv_cstr(o, "tag", tag);
	json_kv_cstr(o, "pool", v->pool);
	json_kv_cstr(o, "role", v->role);
	json_kv_cstr(o, "state", v->state);
	json_kv_u64(o, "state_ms", v->state_ms);
	json_kv_u64(o, "generation", v->generation);
	json_kv_u64(o, "pid", (uint64_t)v->pid);
	json_kv_u64(o, "uptime_ms", v->uptime_ms);
	json_kv_u64(o, "open", v->open);
	json_kv_u64(o, "scopes", v->scopes);
	json_kv_u64(o, "streams", v->child == NULL ? 0 : streams_open_n(w->sup->streams, v->child));
	json_kv_u64(o, "credit", v->credit);
	json_kv_u64(o, "restarts", v->restarts);
	json_kv_u64(o, "rss_kib", v->rss_kib);
	if (v->child != NULL) {
		child_late(v->child, &late);
		put_late(o, late.timers, late.p50_us, late.p99_us, late.max_us);
	}
	json_kv_u64(o, "retry_in_ms", v->retry_in_ms);
	json_kv_bool(o, "active", is_active(w->sup, v));
	json_key(o, "last");
	if (v->last == NULL)
		json_nil(o);
	else
		put_obituary(o, v->last, false);
	if (w->only != NULL) {
		if (v->child != NULL)
			put_live(w->sup, o, v->child);
		put_all_beside(w);
		n = pools_obituaries(w->sup->pools, v->name, all, OBITUARIES_KEPT);
		json_key(o, "obituaries");
		json_arr(o);
		for (size_t i = 0; i < n; i++)
			put_obituary(o, all[i], true);
		json_arr_end(o);
	}
	json_obj_end(o);
}

static void
put_session(void *arg, const struct worker_view *v)
{
	struct worker_out		*w = arg;
	struct json_out			*o = w->o;
	const struct session_view	*all;
	size_t				 n = v->child == NULL ? 0 : child_sessions(v->child, &all);

	for (size_t i = 0; i < n; i++) {
		json_obj(o);
		json_kv_cstr(o, "worker", child_tag(v->child));
		json_kv_cstr(o, "session", all[i].tag);
		json_kv_cstr(o, "state", session_states[all[i].state]);
		json_kv_cstr(o, "why", all[i].why);
		json_kv_u64(o, "since_ms", all[i].wall_ms);
		json_kv_bool(o, "active", is_active(w->sup, v));
		json_obj_end(o);
	}
}

/* The typed HTTP sessions, as their workers reported them last. */
static void
put_sessions(struct sup *sup, struct json_out *o)
{
	struct worker_out	 w = { .sup = sup, .o = o };

	json_key(o, "sessions");
	json_arr(o);
	if (sup->pools != NULL)
		pools_each(sup->pools, NULL, put_session, &w);
	if (sup->pools != NULL)
		pools_each_beside(sup->pools, NULL, put_session, &w);
	json_arr_end(o);
}

static void
put_workers(struct sup *sup, struct json_out *o, const char *pool)
{
	struct worker_out	 w = { .sup = sup, .o = o };

	json_key(o, "workers");
	json_arr(o);
	if (sup->pools != NULL)
		pools_each(sup->pools, pool, put_worker, &w);
	json_arr_end(o);
	put_all_beside(&w);
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
	    age_of(dead_oldest_ms(sup), clock_wall_ms()));
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

	judge(sup, &h);
	if (sup->pools != NULL)
		pools_each(sup->pools, NULL, tally_worker, &t);
	state = sup->phase != SUP_RUNNING ? phases[sup->phase] : h.down ? "down" :
	    h.whys_n > 0 ? "degraded" : "ok";
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

	judge(sup, &h);
	json_out_init(&o, out);
	json_obj(&o);
	json_kv_cstr(&o, "health", h.down ? "down" : h.whys_n > 0 ? "degraded" : "ok");
	json_key(&o, "why");
	json_arr(&o);
	for (size_t i = 0; i < h.whys_n; i++)
		json_cstr(&o, h.whys[i]);
	json_arr_end(&o);
	put_notes(sup, &o);
	json_kv_cstr(&o, "version", BULKHEAD_VERSION);
	json_kv_u64(&o, "pid", (uint64_t)getpid());
	json_kv_u64(&o, "uptime_ms", uptime_ms(sup));
	late = loop_late(sup->loop);
	put_late(&o, late->n, histo_quantile(late, 500), histo_quantile(late, 990), late->max);
	json_kv_cstr(&o, "phase", phases[sup->phase]);
	json_kv_cstr(&o, "conf", sup->conf);
	reload_put(sup->reload, &o);
	upgrade_put(sup->upgrade, &o);
	put_gateway(sup, &o);
	json_key(&o, "gap");
	fetchgap_json(sup->fetchgap, &o);
	put_journal(sup, &o);
	put_pools(sup, &o);
	put_workers(sup, &o, NULL);
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
	put_workers(sup, &o, NULL);
	json_obj_end(&o);
}

bool
status_worker(struct sup *sup, const char *name, struct buf *out)
{
	struct json_out		 o;
	struct worker_out	 w = { .sup = sup, .o = &o, .only = name };

	json_out_init(&o, out);
	if (sup->pools != NULL)
		pools_each(sup->pools, NULL, put_worker, &w);
	return w.found;
}

static void
put_delivery(struct json_out *o, const struct delivery *d, uint64_t now_ms)
{
	json_obj(o);
	kv_delivery(o, "delivery", d->id);
	json_kv_cstr(o, "pool", d->pool);
	json_kv_cstr(o, "event", d->name);
	json_kv_id(o, "object", d->object);
	json_kv_id(o, "key", d->key);
	json_kv_u64(o, "attempt", d->attempt);
	json_kv_u64(o, "charges", d->charges);
	json_kv_u64(o, "bytes", d->body_bytes);
	json_kv_u64(o, "age_ms", age_of(d->received_ms, now_ms));
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
	put_sessions(sup, &o);
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
