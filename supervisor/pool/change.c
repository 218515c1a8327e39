/*
 * change - restart, drain, resume, scale, recycle: what is asked of places, and who takes over.
 *
 * A change is looked at in the tail of each turn in which a slot moved, until all that it wants
 * is so.  A restart takes one place after another, so that a sibling serves meanwhile; the others
 * begin everywhere at once.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/moments.h"
#include "supervisor/pool/place.h"
#include "supervisor/pool/proc.h"
#include "supervisor/pool/recycle.h"

#define RECYCLE_LOOK_MS		1000
#define RECYCLE_AGAIN_MS	300000	/* after an heir was lost: it would be lost again */

enum change_kind { CHANGE_RESTART, CHANGE_DRAIN, CHANGE_RESUME, CHANGE_SCALE };

struct task {
	struct place	*place;
	bool		 begun;
	uint64_t	 target;	/* the generation that must get READY */
};

struct change {
	TAILQ_ENTRY(change) link;
	enum change_kind kind;
	enum restart_how how;
	struct task	*tasks;
	size_t		 n, i;
	char		 refused[256];		/* it ends with this at once */
	void		(*fn)(void *, const char *);
	void		*arg;
};

static struct change *
change_new(enum change_kind kind, void (*fn)(void *, const char *), void *arg)
{
	struct change	*c = mem_alloc(sizeof(*c));

	c->kind = kind;
	c->fn = fn;
	c->arg = arg;
	return c;
}

static void
change_free(struct change *c)
{
	free(c->tasks);
	free(c);
}

static struct task *
task_add(struct change *c, struct place *pl)
{
	c->tasks = mem_grow(c->tasks, c->n + 1, sizeof(*c->tasks));
	c->tasks[c->n] = (struct task){ .place = pl };
	return &c->tasks[c->n++];
}

static void
change_begin(struct pools *ps, struct change *c)
{
	TAILQ_INSERT_TAIL(&ps->changes, c, link);
	loop_job_queue(ps->loop, &ps->settle);
}

static void
change_end(struct pools *ps, struct change *c, const char *why)
{
	TAILQ_REMOVE(&ps->changes, c, link);
	c->fn(c->arg, why);
	change_free(c);
}

void
changes_drop(struct pools *ps, const struct pool *p, const char *why)
{
	struct change	*c;

	do {
		TAILQ_FOREACH(c, &ps->changes, link) {
			if (c->n > 0 && c->tasks[0].place->pool == p)
				break;
		}
		if (c != NULL)
			change_end(ps, c, why);
	} while (c != NULL);
}

void
changes_free(struct pools *ps)
{
	struct change	*c;

	while ((c = TAILQ_FIRST(&ps->changes)) != NULL) {
		TAILQ_REMOVE(&ps->changes, c, link);
		change_free(c);
	}
}

/* ---- who takes over ---- */

static bool
is_young(const struct holder *h)
{
	return h->slot.state == SLOT_SPAWNING || h->slot.state == SLOT_STARTING;
}

static bool
has_left(const struct holder *h)
{
	return h != h->place->at && h != h->place->heir;
}

static size_t
leaving_n(const struct place *pl)
{
	const struct holder	*h;
	size_t			 n = 0;

	TAILQ_FOREACH(h, &pl->holders, next)
		n += has_left(h) && h->slot.state != SLOT_OFF;
	return n;
}

/* T2 for those that were taken over from: all, or the oldest as far as there are too many. */
static void
hurry_leaving(struct place *pl, size_t may_stay)
{
	struct holder	*h;
	size_t		 n = leaving_n(pl);

	TAILQ_FOREACH(h, &pl->holders, next) {
		if (n <= may_stay)
			return;
		if (!has_left(h) || h->slot.state == SLOT_OFF)
			continue;
		n--;
		(void)slot_event(&h->slot, SLEV_HURRY);
	}
}

static void
heir_start(struct place *pl)
{
	pl->heir = holder_new(pl);
	pl->heir->slot.once = true;
	(void)slot_event(&pl->heir->slot, SLEV_START);
}

static void
heir_drop(struct place *pl, const char *why)
{
	if (pl->heir != NULL)
		holder_stop(pl->heir, why);
}

void
place_inherit(struct holder *heir)
{
	struct place	*pl = heir->place;
	struct holder	*old = pl->at;

	pl->heir = NULL;
	pl->at = heir;
	heir->slot.once = false;
	pl->lost = 0;
	if (pl->recycling) {
		struct mono	 started = heir->slot.throttle.started;

		/* Nobody asked for it: a place that crashes too often stays known as such. */
		heir->slot.throttle = old->slot.throttle;
		heir->slot.throttle.started = started;
		COUNT(worker_recycled);
		pl->pool->recycled++;
		pl->recycling = false;
	}
	log_notice("%s took over from #%" PRIu64, child_tag(heir->child), old->generation);
	moment_say(MOMENT_TAKEOVER, child_tag(heir->child), "from #%" PRIu64, old->generation);
	holder_stop(old, "taken over from before it was ready");
}

static void
heir_lost(struct place *pl)
{
	const struct obituary	*o = place_obituary(pl, pl->heir->generation);

	pl->recycling = false;
	if (pl->pool->stopping || pl->heir->slot.stopping)
		return;
	COUNT(worker_rollbacks);
	pl->lost = pl->heir->generation;
	pl->lost_wall_ms = clock_wall_ms();
	pl->recycle_at = mono_add_ms(loop_now(pl->pool->pools->loop), RECYCLE_AGAIN_MS);
	snprintf(pl->lost_text, sizeof(pl->lost_text), "%s", o == NULL ? "it ended" : o->text);
	log_err("%s#%" PRIu64 " stays in place: its successor #%" PRIu64 " did not get ready: %s",
	    pl->name, pl->at->generation, pl->lost, pl->lost_text);
	moment_say(MOMENT_ROLLBACK, pl->name, "successor #%" PRIu64 " did not get ready: %s", pl->lost,
	    pl->lost_text);
}

static void
sweep(struct place *pl)
{
	struct holder	*h, *next;

	TAILQ_FOREACH_SAFE(h, &pl->holders, next, next) {
		if (h == pl->at || h->slot.state != SLOT_OFF)
			continue;
		if (h == pl->heir) {
			heir_lost(pl);
			pl->heir = NULL;
		}
		holder_free(&h);
	}
}

/* ---- the steps of a change ---- */

enum step { STEP_WAIT, STEP_DONE, STEP_FAILED };

/* False: not yet, an older process has to end first. */
static bool
restart_begin(struct change *c, struct task *t)
{
	struct place	*pl = t->place;
	struct holder	*at = pl->at;

	t->target = pl->generation + 1;
	if (c->how == RESTART_NOW)
		hurry_leaving(pl, 0);
	if (pl->heir != NULL) {			/* one is on its way: it will do */
		t->target = pl->heir->generation;
		return true;
	}
	if (is_young(at)) {
		t->target = at->generation;
		(void)slot_event(&at->slot, SLEV_RESTART);
		return true;
	}
	if (c->how == RESTART_ROLLING && at->slot.state == SLOT_READY) {
		hurry_leaving(pl, LEAVING_MAX - 1);
		if (leaving_n(pl) >= LEAVING_MAX)
			return false;
		heir_start(pl);
		return true;
	}
	at->now = c->how == RESTART_NOW;
	if (at->now)
		(void)slot_event(&at->slot, SLEV_HURRY);
	(void)slot_event(&at->slot, SLEV_RESTART);
	return true;
}

static enum step
failed(char *dst, size_t dst_bytes, const struct place *pl, const char *why)
{
	snprintf(dst, dst_bytes, "%s did not get ready: %s", pl->name, why);
	return STEP_FAILED;
}

/* Is the wanted process of this place READY? */
static enum step
look_ready(const struct task *t, char *why, size_t why_bytes)
{
	const struct place	*pl = t->place;
	const struct holder	*at = pl->at;
	const struct obituary	*o;

	if (at->slot.state == SLOT_READY && at->generation >= t->target)
		return STEP_DONE;
	if (pl->lost == t->target) {
		snprintf(why, why_bytes, "%s#%" PRIu64 " stays in place, its successor #%" PRIu64
		    " did not get ready: %s", pl->name, at->generation, pl->lost, pl->lost_text);
		return STEP_FAILED;
	}
	if (pl->heir != NULL)
		return STEP_WAIT;
	if (at->slot.stopping)
		return failed(why, why_bytes, pl, "it is being stopped");
	if (at->slot.parked || at->slot.state == SLOT_DRAINED)
		return failed(why, why_bytes, pl, "it is drained, 'resume' starts it");
	if (at->generation <= t->target && (is_young(at) || at->slot.state == SLOT_READY ||
	    at->slot.state == SLOT_DRAINING || at->slot.state == SLOT_STOPPING))
		return STEP_WAIT;
	o = place_obituary(pl, 0);
	return failed(why, why_bytes, pl, o != NULL ? o->text : slot_state_name(at->slot.state));
}

static enum step
look_drained(const struct task *t, char *why, size_t why_bytes)
{
	const struct slot	*s = &t->place->at->slot;

	/* Those that were taken over from write as well. */
	if (s->state == SLOT_DRAINED)
		return leaving_n(t->place) == 0 ? STEP_DONE : STEP_WAIT;
	if (s->parked && !s->stopping)
		return STEP_WAIT;
	snprintf(why, why_bytes, "%s: %s", t->place->name,
	    s->stopping ? "it is being stopped" : "it was resumed meanwhile");
	return STEP_FAILED;
}

/* False: a slot has to move first. */
static bool
change_step(struct pools *ps, struct change *c)
{
	struct task	*t;
	char		 why[512] = "";
	enum step	 step;

	if (c->refused[0] != '\0' || c->i == c->n) {
		change_end(ps, c, c->refused[0] != '\0' ? c->refused : NULL);
		return true;
	}
	t = &c->tasks[c->i];
	if (!t->begun && !(t->begun = restart_begin(c, t)))
		return false;
	step = c->kind == CHANGE_DRAIN ? look_drained(t, why, sizeof(why)) :
	    look_ready(t, why, sizeof(why));
	if (step == STEP_DONE)
		c->i++;
	else if (step == STEP_FAILED)
		change_end(ps, c, why);
	return step != STEP_WAIT;
}

/* The change that a callback ended is gone: begin again from the front whenever one moved. */
void
changes_settle(struct pools *ps)
{
	struct change	*c;
	bool		 moved;

	EACH_PLACE(ps, pl)
		sweep(pl);
	do {
		moved = false;
		TAILQ_FOREACH(c, &ps->changes, link) {
			if ((moved = change_step(ps, c)))
				break;
		}
	} while (moved);
}

/* ---- what is asked ---- */

/*
 * Of the rest pool what serves nobody comes first: those that are not READY, then the spare.  The
 * active one is the one that was READY first (calls.h).
 */
static int
spare_first(const void *ap, const void *bp)
{
	const struct holder	*a = ((const struct task *)ap)->place->at,
	    *b = ((const struct task *)bp)->place->at;
	uint64_t		 an = a->slot.state == SLOT_READY ? a->up_order : UINT64_MAX;
	uint64_t		 bn = b->slot.state == SLOT_READY ? b->up_order : UINT64_MAX;

	return an == bn ? 0 : an > bn ? -1 : 1;
}

/* The wanted places that the name means; is_pool_r: it is a pool's. */
static size_t
tasks_named(struct pools *ps, struct change *c, const char *name, bool *is_pool_r)
{
	*is_pool_r = false;
	EACH_PLACE(ps, pl) {
		bool	 whole = strcmp(name, pl->pool->name) == 0;

		if (!pl->wanted || (!whole && strcmp(name, pl->name) != 0))
			continue;
		*is_pool_r = whole;
		(void)task_add(c, pl);
	}
	return c->n;
}

static bool
is_parked(const struct place *pl)
{
	return pl->at->slot.parked || pl->at->slot.state == SLOT_DRAINED;
}

static void
drop_parked(struct change *c)
{
	size_t	 n = 0;

	for (size_t i = 0; i < c->n; i++) {
		if (!is_parked(c->tasks[i].place))
			c->tasks[n++] = c->tasks[i];
	}
	c->n = n;
}

int
pools_restart(struct pools *ps, const char *name, enum restart_how how,
    void (*fn)(void *, const char *), void *arg)
{
	struct change	*c = change_new(CHANGE_RESTART, fn, arg);
	bool		 is_pool;

	c->how = how;
	if (tasks_named(ps, c, name, &is_pool) == 0) {
		change_free(c);
		return -1;
	}
	drop_parked(c);
	/* Two cannot listen on one port. */
	if (c->n > 0 && c->tasks[0].place->pool->web && how == RESTART_ROLLING)
		c->how = RESTART_PLAIN;
	if (c->n == 0)
		snprintf(c->refused, sizeof(c->refused), "it is drained, 'resume %s' starts it",
		    name);
	else if (c->tasks[0].place->pool->rest)
		qsort(c->tasks, c->n, sizeof(*c->tasks), spare_first);
	change_begin(ps, c);
	return 0;
}

static bool
is_tasked(const struct change *c, const struct place *pl)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->tasks[i].place == pl)
			return true;
	}
	return false;
}

/* Would somebody still answer? */
static bool
leaves_rest(const struct pool *p, const struct change *c)
{
	for (size_t i = 0; i < p->places_n; i++) {
		if (p->places[i]->at->slot.state == SLOT_READY && !is_tasked(c, p->places[i]))
			return true;
	}
	return false;
}

int
pools_drain(struct pools *ps, const char *name, void (*fn)(void *, const char *), void *arg)
{
	struct change		*c = change_new(CHANGE_DRAIN, fn, arg);
	const struct pool	*p;
	bool			 is_pool;

	if (tasks_named(ps, c, name, &is_pool) == 0) {
		change_free(c);
		return -1;
	}
	p = c->tasks[0].place->pool;
	if (p->rest && !leaves_rest(p, c))
		snprintf(c->refused, sizeof(c->refused), "no other rest worker is ready: without"
		    " one nothing can be answered; %s", is_pool ?
		    "drain one at a time, or stop the bot" : "wait for the other one, or resume it");
	for (size_t i = 0; i < c->n && c->refused[0] == '\0'; i++) {
		struct place	*pl = c->tasks[i].place;

		c->tasks[i].begun = true;
		heir_drop(pl, "its place is drained");
		if (pl->at->slot.state == SLOT_STARTING)
			child_blame(pl->at->child, DEATH_ASKED, "drained before it was ready");
		(void)slot_event(&pl->at->slot, SLEV_DRAIN);
	}
	change_begin(ps, c);
	return 0;
}

int
pools_resume(struct pools *ps, const char *name, void (*fn)(void *, const char *), void *arg)
{
	struct change	*c = change_new(CHANGE_RESUME, fn, arg);
	bool		 is_pool;

	if (tasks_named(ps, c, name, &is_pool) == 0) {
		change_free(c);
		return -1;
	}
	for (size_t i = 0; i < c->n; i++) {
		struct task	*t = &c->tasks[i];
		struct holder	*at = t->place->at;

		t->begun = true;
		t->target = is_young(at) || at->slot.state == SLOT_READY ? at->generation :
		    t->place->generation + 1;
		(void)slot_event(&at->slot, SLEV_RESUME);
	}
	change_begin(ps, c);
	return 0;
}

/* ---- scale ---- */

static void
place_take(struct place *pl)
{
	struct holder	*old = pl->at;

	/* What it was before may still be finishing: it stays beside the new one. */
	pl->wanted = true;
	if (old->generation != 0 || old->slot.state != SLOT_OFF)
		pl->at = holder_new(pl);
	hurry_leaving(pl, LEAVING_MAX);
	(void)slot_event(&pl->at->slot, SLEV_START);
}

void
place_give_up(struct place *pl, const char *why)
{
	pl->wanted = false;
	heir_drop(pl, why);
	holder_stop(pl->at, why);
}

/* The bounds of options.def. */
static void
bounds(uint64_t *min_r, uint64_t *max_r)
{
	const struct cfg_option	*o;
	size_t			 n;

	o = cfg_options(&n);
	for (size_t i = 0; i < n; i++) {
		if (o[i].in == CFG_SCOPE_POOL && strcmp(o[i].name, "workers") == 0) {
			*min_r = o[i].min;
			*max_r = o[i].max;
		}
	}
}

static void
scale(struct pool *p, struct change *c, uint64_t workers)
{
	uint64_t	 was = 0;

	for (size_t i = 0; i < p->places_n; i++)
		was += p->places[i]->wanted;
	if (was != workers)
		log_notice("%s scaled workers=%" PRIu64 " was=%" PRIu64, p->name, workers, was);
	for (uint32_t i = 0; i < workers; i++) {
		struct place	*pl = i < p->places_n ? p->places[i] : place_new(p, i);
		struct task	*t;

		if (i < was)
			continue;
		place_take(pl);
		t = task_add(c, pl);
		t->begun = true;
		t->target = pl->generation;
	}
	for (size_t i = p->places_n; i-- > workers;) {
		if (p->places[i]->wanted)
			place_give_up(p->places[i], "its pool was scaled down");
	}
}

int
pools_scale(struct pools *ps, const char *name, uint64_t workers,
    void (*fn)(void *, const char *), void *arg)
{
	struct change	*c;
	uint64_t	 min = 1, max = 1;

	EACH_POOL(ps, p) {
		if (strcmp(p->name, name) != 0)
			continue;
		c = change_new(CHANGE_SCALE, fn, arg);
		bounds(&min, &max);
		if (p->rest)
			snprintf(c->refused, sizeof(c->refused),
			    "the rest pool has two workers, one active and one warm, at all times");
		else if (p->web)
			snprintf(c->refused, sizeof(c->refused), "the web pool has one worker");
		else if (workers < min || workers > max)
			snprintf(c->refused, sizeof(c->refused), "a pool has %" PRIu64 " to %"
			    PRIu64 " workers", min, max);
		else if (p->stopping)
			snprintf(c->refused, sizeof(c->refused), "it is being stopped");
		else
			scale(p, c, workers);
		change_begin(ps, c);
		return 0;
	}
	return -1;
}

/* ---- recycle ---- */

static bool
is_recycling(const struct pool *p)
{
	for (size_t i = 0; i < p->places_n; i++) {
		if (p->places[i]->heir != NULL)
			return true;
	}
	return false;
}

static bool
recycle(struct place *pl, const struct recycle_limits *l)
{
	struct holder		*h = pl->at;
	struct recycle_use	 use = {
		.age_ms = child_age_ms(h->child), .deliveries = h->finished, .jitter = h->jitter,
	};
	struct limits		 own = pool_limits(pl->pool);
	struct proc_stat	 st;
	char			 why[128];

	if (l->rss_bytes != 0 && proc_stat(child_pid(h->child), &st))
		use.rss_bytes = st.rss_kib * 1024;
	/* Too late for a successor: the next look at its memory kills it. */
	if (limits_above(&own, use.rss_bytes / 1024))
		return false;
	if (recycle_due(l, &use, why, sizeof(why)) == NULL)
		return false;
	log_notice("%s is recycled: %s", child_tag(h->child), why);
	pl->recycling = true;
	heir_start(pl);
	return true;
}

/* One of a pool at a time. */
void
changes_recycle(struct pools *ps)
{
	struct mono	 now = loop_now(ps->loop);

	if (mono_ms_between(ps->recycle_looked, now) < RECYCLE_LOOK_MS)
		return;
	ps->recycle_looked = now;
	EACH_POOL(ps, p) {
		const struct cfg_pool	*cp = pool_cfg(p);
		struct limits		 own = pool_limits(p);
		struct recycle_limits	 l;

		if (cp == NULL || p->stopping || is_recycling(p))
			continue;
		l = (struct recycle_limits){ cp->max_age_ms, cp->max_deliveries,
		    limits_recycle_bytes(&own, cp->max_rss_bytes) };
		if (l.age_ms == 0 && l.deliveries == 0 && l.rss_bytes == 0)
			continue;
		for (size_t i = 0; i < p->places_n; i++) {
			struct place	*pl = p->places[i];

			if (pl->wanted && pl->at->slot.state == SLOT_READY &&
			    leaving_n(pl) < LEAVING_MAX && !mono_before(now, pl->recycle_at) &&
			    recycle(pl, &l))
				break;
		}
	}
}
