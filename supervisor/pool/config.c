/*
 * config - pools follow the configuration: they come, go, and are told something else.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/pool/place.h"

static struct pool *
pool_named(struct pools *ps, const char *name)
{
	EACH_POOL(ps, p) {
		if (strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

/* ---- what a worker is told ---- */

uint64_t
hello_hash(const struct pool *p)
{
	const struct cfg_pool	*cp = pool_cfg(p);
	const struct cfg_list	*lists[] = { cp == NULL ? NULL : &cp->env,
	    cp == NULL ? NULL : &cp->events };
	struct buf		 options = { 0 };
	uint64_t		 h = SPAN_HASH_SEED;

	hello_options(p, &options);
	h = span_hash_add(h, buf_span(&options));
	if (options.p != NULL)
		explicit_bzero(options.p, options.cap);
	buf_fini(&options);
	h = span_hash_add_u64(h, p->credit);
	for (size_t i = 0; i < 2; i++) {
		for (size_t k = 0; lists[i] != NULL && k < lists[i]->n; k++)
			h = span_hash_add(h, span_of(lists[i]->v[k]));
		h = span_hash_add_u64(h, lists[i] != NULL && lists[i]->set);
	}
	return span_hash_end(h);
}

void
pools_each_stale(struct pools *ps, void (*fn)(void *, const char *), void *arg)
{
	EACH_POOL(ps, p) {
		const struct cfg_pool	*cp = pool_cfg(p);
		uint64_t		 now;
		bool			 stale = false;

		if (cp != NULL)
			p->credit = cfg_pool_credit(cp);
		now = hello_hash(p);
		for (size_t i = 0; i < p->places_n; i++) {
			const struct place	*pl = p->places[i];

			if (pl->wanted && pl->at->child != NULL && pl->at->hello != now)
				stale = true;
		}
		if (stale)
			fn(arg, p->name);
	}
}

/* ---- they come and go ---- */

int
pools_add(struct pools *ps, const char *name, void (*fn)(void *, const char *), void *arg)
{
	const struct cfg_pool	*cp = cfg_pool_named(ps->cfg, name);
	struct pool		*p;

	if (pool_named(ps, name) != NULL || cp == NULL)
		return -1;
	p = pool_new(ps, cp);
	for (size_t k = 0; k < p->places_n; k++)
		(void)slot_event(&p->places[k]->at->slot, SLEV_START);
	return pools_resume(ps, name, fn, arg);
}

int
pools_remove(struct pools *ps, const char *name, void (*fn)(void *, const char *), void *arg)
{
	struct pool	*p = pool_named(ps, name);

	if (p == NULL || p->rest || p->web || p->gone_fn != NULL)
		return -1;
	p->gone_fn = fn;
	p->gone_arg = arg;
	for (size_t i = 0; i < p->places_n; i++)
		place_give_up(p->places[i], "its pool was taken out of the configuration");
	loop_job_queue(ps->loop, &ps->settle);
	return 0;
}

static bool
is_empty(const struct pool *p)
{
	const struct holder	*h;

	for (size_t i = 0; i < p->places_n; i++)
		TAILQ_FOREACH(h, &p->places[i]->holders, next) {
			if (h->slot.state != SLOT_OFF)
				return false;
		}
	return true;
}

void
config_settle(struct pools *ps)
{
	for (size_t i = 0; i < ps->n;) {
		struct pool	*p = ps->list[i];
		void		(*fn)(void *, const char *) = p->gone_fn;
		void		*arg = p->gone_arg;

		if (fn == NULL || !is_empty(p)) {
			i++;
			continue;
		}
		changes_drop(ps, p, "its pool was taken out of the configuration");
		memmove(&ps->list[i], &ps->list[i + 1], (--ps->n - i) * sizeof(struct pool *));
		pool_free(&p);
		fn(arg, NULL);
	}
}

/* ---- an upgrade ---- */

/*
 * First the signal: a worker that read DRAIN would begin to say good-bye, and its successor is to go
 * on as if nothing had been.
 */
void
pools_end_handlers(struct pools *ps, void (*fn)(void *), void *arg)
{
	EACH_HOLDER(ps, h) {
		if (h->place->pool->rest || h->child == NULL)
			continue;
		child_blame(h->child, DEATH_ASKED, "ended for an upgrade");
		child_signal(h->child, SIGKILL);
	}
	pools_stop(ps, false, 0, 0, fn, arg);
}
