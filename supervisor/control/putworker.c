/*
 * putworker - see putworker.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/control/calls.h"
#include "supervisor/control/putworker.h"
#include "supervisor/control/streams.h"
#include "supervisor/pool/lastwords.h"

static bool
is_active(const struct sup *sup, const struct worker_view *v)
{
	return v->child != NULL && sup->calls != NULL && calls_active(sup->calls) == v->child;
}

/* For figures where 0 means that nobody looked. */
static uint64_t
null_of_0(uint64_t v)
{
	return v == 0 ? UINT64_MAX : v;
}

void
putworker_late(struct json_out *o, uint64_t timers, uint64_t p50_us, uint64_t p99_us,
    uint64_t max_us)
{
	json_key(o, "timers");
	json_obj(o);
	json_kv_u64(o, "fired", timers);
	json_kv_u64(o, "late_p50_us", p50_us);
	json_kv_u64(o, "late_p99_us", p99_us);
	json_kv_u64(o, "late_max_us", max_us);
	json_obj_end(o);
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
	json_kv_hex(o, "delivery", h->delivery);
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
	json_kv_u64(o, "ago_ms", clock_since_ms(ob->wall_ms, clock_wall_ms()));
	if (whole) {
		json_kv_cstr(o, "at", clock_iso(ob->wall_ms, iso, sizeof(iso)));
		json_kv_u64(o, "code", (uint64_t)ob->code);
		json_kv_u64(o, "pid", (uint64_t)ob->pid);
		json_kv_u64(o, "generation", ob->generation);
		json_kv_u64(o, "age_ms", ob->age_ms);
		json_kv_hex(o, "running", ob->running);
		json_kv_u64(o, "open", ob->open);
		json_kv_known(o, "running_ms", ob->running == 0 ? UINT64_MAX : ob->running_ms);
		json_key(o, "what");
		put_held(o, &ob->what);
		json_key(o, "held");
		json_arr(o);
		for (size_t i = 0; i < ob->held_n; i++)
			put_held(o, &ob->held[i]);
		json_arr_end(o);
		json_kv_u64(o, "scopes", ob->scopes);
		json_kv_known(o, "max_rss_kib", null_of_0(ob->max_rss_kib));
		json_kv_u64(o, "user_ms", ob->user_ms);
		json_kv_u64(o, "sys_ms", ob->sys_ms);
		json_kv_u64(o, "cpu_ms", ob->user_ms + ob->sys_ms);
		json_kv_known(o, "fds", null_of_0(ob->fds));
		json_kv_known(o, "memory_bytes", null_of_0(ob->memory_bytes));
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
	json_kv_hex(o, "running", u.running);
	json_kv_known(o, "running_ms", u.running == 0 ? UINT64_MAX : u.running_ms);
	if (u.running != 0)
		(void)pools_holds(sup->pools, c, u.running, &what);
	json_key(o, "what");
	put_held(o, &what);
	json_key(o, "held");
	json_arr(o);
	for (size_t i = 0; i < n; i++)
		put_held(o, &held[i]);
	json_arr_end(o);
	json_kv_known(o, "max_rss_kib", null_of_0(u.hwm_kib));
	json_kv_known(o, "fds", null_of_0(u.fds));
	json_key(o, "limits");
	json_obj(o);
	json_kv_known(o, "memory_bytes", null_of_0(u.memory_bytes));
	json_kv_cstr(o, "memory_by", u.memory_by);
	json_kv_cstr(o, "memory_why", u.memory_why);
	json_kv_known(o, "files", null_of_0(u.files));
	json_kv_known(o, "processes", null_of_0(u.processes));
	json_kv_cstr(o, "processes_by", u.processes_by);
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
		json_key(o, "lacks");
		json_arr(o);
		for (size_t i = 0; i < u.lacks_n; i++)
			json_cstr(o, u.lacks[i]);
		json_arr_end(o);
	}
	json_obj_end(o);
}

/* What one in its place and one beside it have alike. */
static void
put_life(const struct worker_out *w, const struct worker_view *v)
{
	struct json_out	*o = w->o;

	json_kv_cstr(o, "state", v->state);
	json_kv_u64(o, "state_ms", v->state_ms);
	json_kv_u64(o, "generation", v->generation);
	json_kv_u64(o, "pid", (uint64_t)v->pid);
	json_kv_u64(o, "uptime_ms", v->uptime_ms);
	json_kv_u64(o, "open", v->open);
	json_kv_u64(o, "scopes", v->scopes);
	json_kv_u64(o, "streams", v->child == NULL ? 0 : streams_open_n(w->sup->streams, v->child));
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
	put_life(w, v);
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
	put_life(w, v);
	json_kv_u64(o, "credit", v->credit);
	json_kv_u64(o, "restarts", v->restarts);
	json_kv_u64(o, "rss_kib", v->rss_kib);
	if (v->child != NULL) {
		child_late(v->child, &late);
		putworker_late(o, late.timers, late.p50_us, late.p99_us, late.max_us);
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

void
putworker_sessions(struct sup *sup, struct json_out *o)
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

void
putworker_all(struct sup *sup, struct json_out *o, const char *pool)
{
	struct worker_out	 w = { .sup = sup, .o = o };

	json_key(o, "workers");
	json_arr(o);
	if (sup->pools != NULL)
		pools_each(sup->pools, pool, put_worker, &w);
	json_arr_end(o);
	put_all_beside(&w);
}

bool
putworker_one(struct sup *sup, struct json_out *o, const char *name)
{
	struct worker_out	 w = { .sup = sup, .o = o, .only = name };

	if (sup->pools != NULL)
		pools_each(sup->pools, NULL, put_worker, &w);
	return w.found;
}
