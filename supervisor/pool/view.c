/*
 * view - pools, places and processes as status shows them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/log.h"
#include "supervisor/pool/place.h"
#include "supervisor/pool/privs.h"
#include "supervisor/pool/proc.h"

const struct obituary *
place_obituary(const struct place *pl, uint64_t generation)
{
	const struct grave	*g;

	TAILQ_FOREACH(g, &pl->pool->graves, link) {
		if (g->slot == pl->no && (generation == 0 || g->o.generation == generation))
			return &g->o;
	}
	return NULL;
}

const struct cfg_pool *
pool_cfg(const struct pool *p)
{
	return cfg_pool_named(p->pools->cfg, p->name);
}

static void
view(struct pools *ps, const struct holder *h, struct worker_view *v)
{
	struct mono		 now = loop_now(ps->loop);
	const struct place	*pl = h->place;
	enum slot_state		 st = h->slot.state;
	struct proc_stat	 stat;

	memset(v, 0, sizeof(*v));
	v->pool = pl->pool->name;
	v->role = pl->pool->role;
	snprintf(v->name, sizeof(v->name), "%s", pl->name);
	v->state = slot_state_name(st);
	v->state_ms = mono_ms_between(h->since, now);
	v->generation = h->generation;
	v->restarts = pl->generation > 0 ? pl->generation - 1 : 0;
	v->credit = pl->pool->credit;
	v->last = place_obituary(pl, 0);
	v->heir = h == pl->heir;
	if (st == SLOT_BACKOFF || st == SLOT_FAILED)
		v->retry_in_ms = mono_ms_until(now, h->retry_at);
	if (st == SLOT_DRAINING)
		v->ends_in_ms = mono_ms_until(now, h->end_at);
	if (h->child == NULL)
		return;
	v->pid = child_pid(h->child);
	v->uptime_ms = child_age_ms(h->child);
	v->scopes = child_scopes(h->child);
	if (proc_stat(v->pid, &stat))
		v->rss_kib = stat.rss_kib;
	if (!child_is_up(h->child))
		return;
	v->child = h->child;
	v->open = ps->ops.open_n(ps->arg, h->child);
}

bool
pools_answering(struct pools *ps, struct span pool, struct span verb, uint64_t turn,
    struct child **child_r, bool *up_r)
{
	bool		 found = false;
	uint64_t	 n = 0;

	*child_r = NULL;
	*up_r = false;
	/* The first time they are counted, the second time the one whose turn it is is taken. */
	for (int pass = 0; pass < 2 && (pass == 0 || n > 0); pass++) {
		uint64_t	 skip = n == 0 ? UINT64_MAX : turn % n;

		EACH_HOLDER(ps, h) {
			if (h->place->pool->rest || !span_is(pool, h->place->pool->name))
				continue;
			found = true;
			if (h->child == NULL || h->slot.state != SLOT_READY)
				continue;
			*up_r = true;
			if (!child_answers(h->child, verb))
				continue;
			if (pass == 0)
				n++;
			else if (skip-- == 0)
				*child_r = h->child;
		}
	}
	return found;
}

void
pools_each(struct pools *ps, const char *pool, void (*fn)(void *, const struct worker_view *),
    void *arg)
{
	struct worker_view	 v;

	EACH_PLACE(ps, pl) {
		if (!pl->wanted || (pool != NULL && strcmp(pl->pool->name, pool) != 0))
			continue;
		view(ps, pl->at, &v);
		fn(arg, &v);
	}
}

void
pools_each_beside(struct pools *ps, const char *pool,
    void (*fn)(void *, const struct worker_view *), void *arg)
{
	struct worker_view	 v;

	EACH_HOLDER(ps, h) {
		if ((h == h->place->at && h->place->wanted) || h->child == NULL ||
		    (pool != NULL && strcmp(h->place->pool->name, pool) != 0))
			continue;
		view(ps, h, &v);
		snprintf(v.name, sizeof(v.name), "%s", child_tag(h->child));
		fn(arg, &v);
	}
}

void
pools_say_lacks(const struct pools *ps)
{
	struct lacks_of	 of = {
		.landlock = (uint64_t)confine_landlock(),
		.own_user = ps->privs != NULL && ps->privs->handler.set,
	};
	const char	*words[LACKS_MAX];
	size_t		 n;

	of.root = geteuid() == 0 && !of.own_user;
	of.counted = ps->cgroups.pids || of.own_user;
	n = lacks(&of, words);
	EACH_POOL(ps, p) {
		for (size_t i = 0; i < n && p->command.n > 0; i++)
			log_notice("pool %s: %s", p->name, words[i]);
	}
}

static void
pool_view(struct pools *ps, const struct pool *p, struct pool_view *v)
{
	const struct cfg_pool	*cp = pool_cfg(p);
	struct holder		*h;

	memset(v, 0, sizeof(*v));
	v->name = p->name;
	v->role = p->role;
	v->configured = cp == NULL ? p->places_n : cp->workers;
	v->credit = p->credit;
	v->recycled = p->recycled;
	for (size_t i = 0; i < p->places_n; i++) {
		const struct place	*pl = p->places[i];

		v->running += pl->wanted;
		v->ready += pl->wanted && pl->at->slot.state == SLOT_READY;
		if (!p->rest && pl->at->child != NULL && pl->at->slot.state == SLOT_READY)
			v->verbs = child_verbs(pl->at->child);
		v->restarts += pl->generation > 0 ? pl->generation - 1 : 0;
		TAILQ_FOREACH(h, &pl->holders, next) {
			if (h->child == NULL)
				continue;
			v->beside += h != pl->at || !pl->wanted;
			v->open += child_is_up(h->child) ? ps->ops.open_n(ps->arg, h->child) : 0;
		}
		if (pl->lost != 0 && pl->lost_wall_ms >= v->lost_wall_ms) {
			v->lost = pl->name;
			v->lost_text = pl->lost_text;
			v->lost_wall_ms = pl->lost_wall_ms;
		}
	}
}

void
pools_each_pool(struct pools *ps, void (*fn)(void *, const struct pool_view *), void *arg)
{
	struct pool_view	 v;

	EACH_POOL(ps, p) {
		pool_view(ps, p, &v);
		fn(arg, &v);
	}
}

size_t
pools_obituaries(struct pools *ps, const char *worker, const struct obituary **out, size_t max)
{
	const struct grave	*g;
	size_t			 n = 0;

	EACH_PLACE(ps, pl) {
		if (strcmp(pl->name, worker) != 0)
			continue;
		TAILQ_FOREACH(g, &pl->pool->graves, link) {
			if (g->slot == pl->no && n < max)
				out[n++] = &g->o;
		}
	}
	return n;
}
