/*
 * reload - see reload.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cfgdiff.h"
#include "common/log.h"
#include "supervisor/control/notify.h"
#include "supervisor/control/streams.h"
#include "supervisor/moments.h"
#include "supervisor/reload.h"

#define WHY_BYTES	513	/* of END */

enum job_kind { JOB_ADD, JOB_REMOVE, JOB_SCALE, JOB_ROLL };

/* What one pool is asked for. */
struct job {
	struct reload	*reload;
	enum job_kind	 kind;
	char		 pool[33];
	uint64_t	 from, to;	/* SCALE: workers */
	bool		 done;
	char		 why[256];	/* "" it worked */
};

struct reload {
	struct sup		*sup;
	struct cfg_reading	*reading;
	bool			 again;		/* SIGHUP came meanwhile */
	char			 who[64];
	struct mono		 begun;
	void			(*fn)(void *, enum reload_result, const char *, struct span);
	void			*arg;
	/* the one under way */
	bool			 busy;
	struct cfgdiff		 diff;
	struct job		*jobs;
	size_t			 jobs_n, left;
	/* the last one, for status */
	enum reload_result	 last;
	uint64_t		 last_wall_ms, last_ms;
	char			 last_why[WHY_BYTES];
	bool			 intents;	/* Discord has to be asked for others */
	uint64_t		 file_hash;	/* of the last good reading; 0 none since the start */
	uint64_t		 differs_wall_ms;	/* since when the file is another; 0 it is not */
};

static const char *const result_names[] = {
	[RELOAD_NEVER] = "never", [RELOAD_SAME] = "unchanged", [RELOAD_DONE] = "done",
	[RELOAD_PART] = "partly", [RELOAD_BAD] = "refused",
};

static const char *const job_words[] = {
	[JOB_ADD] = "started", [JOB_REMOVE] = "removed", [JOB_SCALE] = "scaled",
	[JOB_ROLL] = "workers replaced",
};

/* ---- the answer ---- */

/* What becomes of a row. */
static const char *
row_fate(const struct cfgdiff_row *r)
{
	if (r->kind != CFGDIFF_CHANGED)
		return r->scope == CFG_SCOPE_POOL ? "" : "with new workers";
	switch (r->option->when) {
	case CFG_LIVE:	return "in force";
	case CFG_ROLL:	return "with new workers";
	case CFG_START:	break;
	}
	return "needs 'bulkheadctl upgrade'";
}

static void
put_row(const struct cfgdiff_row *r, struct json_out *o)
{
	static const char *const scopes[] = {
		[CFG_SCOPE_GLOBAL] = "global", [CFG_SCOPE_POOL] = "pool",
		[CFG_SCOPE_MODEL] = "model", [CFG_SCOPE_CHAT] = "chat",
	};

	json_obj(o);
	json_kv_cstr(o, "scope", scopes[r->scope]);
	json_kv_cstr(o, "title", r->title);
	json_kv_cstr(o, "change", r->kind == CFGDIFF_ADDED ? "added" :
	    r->kind == CFGDIFF_REMOVED ? "removed" : "changed");
	json_kv_cstr(o, "name", r->option == NULL ? NULL : r->option->name);
	json_kv_cstr(o, "from", r->from);
	json_kv_cstr(o, "to", r->to);
	json_kv_cstr(o, "fate", row_fate(r));
	json_obj_end(o);
}

static void
put_job(const struct job *j, struct json_out *o)
{
	json_obj(o);
	json_kv_cstr(o, "pool", j->pool);
	json_kv_cstr(o, "what", job_words[j->kind]);
	if (j->kind == JOB_SCALE) {
		json_kv_u64(o, "from", j->from);
		json_kv_u64(o, "to", j->to);
	}
	json_kv_bool(o, "ok", j->why[0] == '\0');
	json_kv_cstr(o, "why", j->why[0] == '\0' ? NULL : j->why);
	json_obj_end(o);
}

static void
put_doc(const struct reload *r, enum reload_result result, const char *why, struct buf *out)
{
	struct json_out	 o;

	json_out_init(&o, out);
	json_obj(&o);
	json_kv_cstr(&o, "result", result_names[result]);
	json_kv_cstr(&o, "why", why);
	json_key(&o, "changes");
	json_arr(&o);
	for (size_t i = 0; i < r->diff.n; i++)
		put_row(&r->diff.rows[i], &o);
	json_arr_end(&o);
	json_key(&o, "pools");
	json_arr(&o);
	for (size_t i = 0; i < r->jobs_n; i++)
		put_job(&r->jobs[i], &o);
	json_arr_end(&o);
	json_kv_u64(&o, "took_ms", r->last_ms);
	json_obj_end(&o);
}

static void
end(struct reload *r, enum reload_result result, const char *why)
{
	void		(*fn)(void *, enum reload_result, const char *, struct span) = r->fn;
	struct buf	 doc = { 0 };

	r->last = result;
	r->last_wall_ms = clock_wall_ms();
	r->last_ms = mono_ms_between(r->begun, clock_mono());
	strlcpy(r->last_why, why, sizeof(r->last_why));
	if (result == RELOAD_BAD || result == RELOAD_PART)
		log_err("reload: %s took_ms=%" PRIu64, why, r->last_ms);
	else
		log_notice("reload: %s took_ms=%" PRIu64, why, r->last_ms);
	moment_say(MOMENT_RELOAD, "", "%s", why);
	put_doc(r, result, why, &doc);
	cfgdiff_fini(&r->diff);
	free(r->jobs);
	r->jobs = NULL;
	r->jobs_n = r->left = 0;
	r->busy = false;
	r->fn = NULL;
	notify_reloaded(r->sup->notify);
	if (fn != NULL)
		fn(r->arg, result, why, buf_span(&doc));
	buf_fini(&doc);
	if (r->again) {
		r->again = false;
		reload_signal(r);
	}
}

/* ---- what pools are asked for ---- */

static void
jobs_ended(struct reload *r)
{
	char	 why[WHY_BYTES];
	size_t	 failed = 0, live = r->diff.n - r->diff.start_n;

	for (size_t i = 0; i < r->jobs_n; i++)
		failed += r->jobs[i].why[0] != '\0';
	if (failed > 0) {
		for (size_t i = 0; i < r->jobs_n; i++)
			if (r->jobs[i].why[0] != '\0')
				snprintf(why, sizeof(why), "pool %s did not follow: %s",
				    r->jobs[i].pool, r->jobs[i].why);
	} else if (r->diff.start_n > 0)
		snprintf(why, sizeof(why), "%zu of %zu %s in force; what needs 'bulkheadctl upgrade'"
		    " is as before", live, r->diff.n, r->diff.n == 1 ? "change is" : "changes are");
	else
		snprintf(why, sizeof(why), "%zu %s in force", r->diff.n,
		    r->diff.n == 1 ? "change is" : "changes are");
	if (r->intents)
		strlcat(why, "; the pools' events need other intents, which Discord gives to a new"
		    " session only: 'bulkheadctl upgrade' makes one", sizeof(why));
	end(r, failed > 0 ? RELOAD_PART : RELOAD_DONE, why);
}

static void
job_ended(void *arg, const char *why)
{
	struct job	*j = arg;
	struct reload	*r = j->reload;

	j->done = true;
	if (why != NULL) {
		strlcpy(j->why, why, sizeof(j->why));
		log_err("reload: pool %s: %s", j->pool, why);
	} else if (j->kind == JOB_SCALE)
		log_notice("reload: pool %s scaled from=%" PRIu64 " to=%" PRIu64, j->pool, j->from,
		    j->to);
	else
		log_notice("reload: pool %s %s", j->pool, job_words[j->kind]);
	if (j->kind == JOB_REMOVE && why == NULL)
		queue_pool_remove(r->sup->queue, j->pool);
	if (--r->left == 0)
		jobs_ended(r);
}

static void
job_add(struct reload *r, enum job_kind kind, const char *pool, uint64_t from, uint64_t to)
{
	struct job	*j;

	r->jobs = mem_grow(r->jobs, r->jobs_n + 1, sizeof(*r->jobs));
	j = &r->jobs[r->jobs_n++];
	*j = (struct job){ .reload = r, .kind = kind, .from = from, .to = to };
	strlcpy(j->pool, pool, sizeof(j->pool));
}

static void
job_start(struct job *j)
{
	struct sup		*sup = j->reload->sup;
	int			 rc = -1;

	switch (j->kind) {
	case JOB_ADD:
		queue_pool_add(sup->queue, cfg_pool_named(sup->cfg, j->pool));
		rc = pools_add(sup->pools, j->pool, job_ended, j);
		break;
	case JOB_REMOVE:
		rc = pools_remove(sup->pools, j->pool, job_ended, j);
		break;
	case JOB_SCALE:
		rc = pools_scale(sup->pools, j->pool, j->to, job_ended, j);
		break;
	case JOB_ROLL:
		rc = pools_restart(sup->pools, j->pool, RESTART_ROLLING, job_ended, j);
		break;
	}
	if (rc == -1)
		job_ended(j, "there is no such pool");
}

/* ---- the new configuration ---- */

static void
log_rows(const struct cfgdiff *d)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct cfgdiff_row	*r = &d->rows[i];

		if (r->kind != CFGDIFF_CHANGED)
			log_notice("reload: %s %s %s",
			    r->scope == CFG_SCOPE_POOL ? "pool" : "model", r->title,
			    r->kind == CFGDIFF_ADDED ? "is new" : "is gone");
		else
			log_notice("reload: %s%s%s: %s -> %s, %s",
			    r->title == NULL ? "" : r->title, r->title == NULL ? "" : ".",
			    r->option->name, r->from, r->to, row_fate(r));
	}
}

/* What is held in copies.  A level that an operator set stays until the file has another one. */
static void
spread(struct sup *sup, const struct cfgdiff *diff)
{
	for (size_t i = 0; i < diff->n; i++)
		if (diff->rows[i].option != NULL &&
		    strcmp(diff->rows[i].option->name, "log_level") == 0) {
			log_level(log_level_of(sup->cfg->log_level));
			pools_logging(sup->pools);
		}
	queue_reconfigure(sup->queue, sup->cfg);
	streams_reconfigure(sup->streams, sup->cfg->poison);
	if (sup->gw != NULL)
		gw_reconfigure(sup->gw);
}

static void
jobs_of_rows(struct reload *r, const struct cfg *next)
{
	for (size_t i = 0; i < r->diff.n; i++) {
		const struct cfgdiff_row	*row = &r->diff.rows[i];
		const struct cfg_pool		*p;

		if (row->scope != CFG_SCOPE_POOL)
			continue;
		if (row->kind == CFGDIFF_ADDED)
			job_add(r, JOB_ADD, row->title, 0, 0);
		else if (row->kind == CFGDIFF_REMOVED)
			job_add(r, JOB_REMOVE, row->title, 0, 0);
		else if (strcmp(row->option->name, "workers") == 0 &&
		    (p = cfg_pool_named(next, row->title)) != NULL)
			job_add(r, JOB_SCALE, row->title,
			    cfg_pool_named(r->sup->cfg, row->title)->workers, p->workers);
	}
}

static void
job_if_stale(void *arg, const char *pool)
{
	struct reload	*r = arg;

	for (size_t i = 0; i < r->jobs_n; i++)
		if (strcmp(r->jobs[i].pool, pool) == 0 &&
		    (r->jobs[i].kind == JOB_ADD || r->jobs[i].kind == JOB_REMOVE))
			return;
	job_add(r, JOB_ROLL, pool, 0, 0);
}

static void
take(struct reload *r, struct cfg *next)
{
	struct sup	*sup = r->sup;
	uint64_t	 intents = sup->cfg->intents_bits;

	r->file_hash = next->hash;
	cfgdiff_make(sup->cfg, next, &r->diff);
	r->differs_wall_ms = r->diff.start_n == 0 ? 0 : clock_wall_ms();
	log_rows(&r->diff);
	jobs_of_rows(r, next);
	cfgdiff_take(sup->cfg, next);
	spread(sup, &r->diff);
	/* By what they were told, not by rows: an option that no worker is told rolls nobody. */
	pools_each_stale(sup->pools, job_if_stale, r);
	r->intents = sup->gw != NULL && sup->cfg->intents_bits != intents;
	if (r->jobs_n == 0 && r->diff.n == 0) {
		end(r, RELOAD_SAME, "nothing changed");
		return;
	}
	if (r->jobs_n == 0) {
		jobs_ended(r);
		return;
	}
	r->left = r->jobs_n;
	for (size_t i = 0, n = r->jobs_n; i < n; i++)
		job_start(&r->jobs[i]);
}

static void
on_read(void *arg, struct cfg *next, const char *errors)
{
	struct reload	*r = arg;
	char		 why[WHY_BYTES];
	const char	*at, *eol;

	r->reading = NULL;
	if (next != NULL) {
		take(r, next);
		cfg_unload(&next);
		return;
	}
	if (r->differs_wall_ms == 0)
		r->differs_wall_ms = clock_wall_ms();
	for (at = errors; *at != '\0'; at = *eol == '\0' ? eol : eol + 1) {
		eol = at + strcspn(at, "\n");
		log_err("reload: %.*s", (int)(eol - at), at);
	}
	strlcpy(why, errors, sizeof(why));
	end(r, RELOAD_BAD, why);
}

/* ---- the public face ---- */

struct reload *
reload_new(struct sup *sup)
{
	struct reload	*r = mem_alloc(sizeof(*r));

	r->sup = sup;
	return r;
}

void
reload_free(struct reload **rp)
{
	struct reload	*r = *rp;

	if (r == NULL)
		return;
	*rp = NULL;
	cfg_read_stop(&r->reading);
	cfgdiff_fini(&r->diff);
	free(r->jobs);
	free(r);
}

int
reload_begin(struct reload *r, const char *who,
    void (*fn)(void *, enum reload_result, const char *, struct span), void *arg,
    const char **why_r)
{
	struct sup	*sup = r->sup;

	if (r->busy)
		*why_r = "a reload is under way already";
	else if (sup->phase == SUP_STOPPING || sup->phase == SUP_UPGRADING)
		*why_r = sup->phase == SUP_STOPPING ? "the supervisor is stopping" :
		    "an upgrade is under way";
	else if ((r->reading = cfg_read(sup->loop, sup->program, sup->conf, !sup->no_gateway,
	    &sup->cfg->vars, on_read, r)) == NULL)
		*why_r = strerror(errno);
	else {
		r->busy = true;
		r->begun = clock_mono();
		r->fn = fn;
		r->arg = arg;
		strlcpy(r->who, who, sizeof(r->who));
		log_notice("reload: asked by %s, reading %s", who, sup->conf);
		notify_reloading(sup->notify);
		return 0;
	}
	return -1;
}

bool
reload_under_way(const struct reload *r)
{
	return r != NULL && r->busy;
}

void
reload_signal(struct reload *r)
{
	const char	*why;

	if (r->busy)
		r->again = true;
	else if (reload_begin(r, "SIGHUP", NULL, NULL, &why) == -1)
		log_warnx("SIGHUP: not reloaded: %s", why);
}

void
reload_stop(struct reload *r)
{
	if (r == NULL)
		return;
	r->again = false;
	if (r->reading == NULL)
		return;
	cfg_read_stop(&r->reading);
	end(r, RELOAD_BAD, "the supervisor is stopping");
}

const char *
reload_refused(const struct reload *r)
{
	return r == NULL || r->last != RELOAD_BAD ? NULL : r->last_why;
}

void
reload_put(const struct reload *r, struct json_out *o)
{
	char	 iso[32];

	json_key(o, "config");
	json_obj(o);
	json_kv_hex(o, "hash", r->sup->cfg->hash);
	json_kv_hex(o, "file_hash", r->file_hash);
	json_kv_cstr(o, "differs_since", r->differs_wall_ms == 0 ? NULL :
	    clock_iso(r->differs_wall_ms, iso, sizeof(iso)));
	json_kv_bool(o, "reloading", r->busy);
	json_kv_cstr(o, "reload", result_names[r->last]);
	json_kv_cstr(o, "reload_why", r->last == RELOAD_NEVER ? NULL : r->last_why);
	json_kv_cstr(o, "reload_at", r->last == RELOAD_NEVER ? NULL :
	    clock_iso(r->last_wall_ms, iso, sizeof(iso)));
	json_kv_u64(o, "reload_ms", r->last_ms);
	json_obj_end(o);
}
