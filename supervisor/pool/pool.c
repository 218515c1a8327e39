/*
 * pool - see pool.h and place.h.
 */
#include <sys/queue.h>

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "proto/contract.h"
#include "supervisor/pool/fence.h"
#include "supervisor/pool/leftover.h"
#include "supervisor/pool/place.h"
#include "supervisor/pool/privs.h"
#include "supervisor/pool/proc.h"
#include "supervisor/moments.h"
#include "supervisor/pool/recycle.h"

#define REST_WORKERS	2	/* one active, one warm */
#define LOOK_MS		250	/* between two looks at every scoreboard */
#define LOOK_LATE_MS	1000	/* a longer gap is ours: the workers are not charged with it */
#define ABORT_MS	1000	/* from SIGABRT (dump) to SIGKILL */
#define DRAIN_SLACK_MS	500	/* after T1 + T2: the worker's own clock first, then SIGKILL */
#define ANCESTORS_MAX	64

/* ---- what the slot asks of the world ---- */

static void
op_changed(struct slot *s, enum slot_state from, enum slot_event why)
{
	struct holder	*h = holder_of(s);
	struct pools	*ps = h->place->pool->pools;

	timer_stop(h->timer);
	h->since = loop_now(ps->loop);
	log_debug("%s %s -> %s ev=%s generation=%" PRIu64, h->place->name, slot_state_name(from),
	    slot_state_name(s->state), slot_event_name(why), h->generation);
	loop_job_queue(ps->loop, &ps->settle);
}

static void
tell_drain(struct holder *h, uint64_t finish_ms, uint64_t last_word_ms)
{
	struct pools	*ps = h->place->pool->pools;
	struct mono	 end = loop_now(ps->loop);

	end = mono_add_ms(end, finish_ms + last_word_ms + DRAIN_SLACK_MS);
	/* A drain that is under way is never made longer. */
	if (h->told && !mono_before(end, h->end_at))
		return;
	h->end_at = end;
	h->last_word_ms = last_word_ms;
	timer_arm_at(h->timer, end);
	child_drain(h->child, finish_ms, last_word_ms);
	moment_say(MOMENT_DRAIN, child_tag(h->child), "%" PRIu64 " s to finish", finish_ms / 1000);
	if (!h->told) {
		h->told = true;
		ps->ops.on_draining(ps->arg, h->child);
	}
}

/* Where a sibling or an heir serves meanwhile, there is time to finish. */
static void
op_drain(struct slot *s)
{
	struct holder		*h = holder_of(s);
	const struct pool	*p = h->place->pool;
	const struct cfg	*cfg = p->pools->cfg;
	uint64_t		 finish_ms = p->rest ? cfg->rest_grace_ms : cfg->drain_ms;

	if (p->stopping) {
		tell_drain(h, p->finish_ms, p->last_word_ms);
		return;
	}
	if (h->now)
		finish_ms = 0;
	else if (holder_leaves(h) || s->parked)
		finish_ms = cfg->drain_rolling_ms;
	tell_drain(h, finish_ms, p->rest ? 0 : cfg->last_word_ms);
}

static void
op_hurry(struct slot *s)
{
	tell_drain(holder_of(s), 0, holder_of(s)->last_word_ms);
}

static void
op_await_ready(struct slot *s)
{
	struct holder	*h = holder_of(s);

	timer_arm_ms(h->timer, h->place->pool->pools->cfg->start_deadline_ms);
}

static void
op_abort(struct slot *s)
{
	child_signal(holder_of(s)->child, SIGABRT);
	timer_arm_ms(holder_of(s)->timer, ABORT_MS);
}

static void
op_kill(struct slot *s)
{
	child_signal(holder_of(s)->child, SIGKILL);
}

static void
op_retry(struct slot *s, uint64_t ms)
{
	struct holder	*h = holder_of(s);

	h->retry_at = mono_add_ms(loop_now(h->place->pool->pools->loop), ms);
	timer_arm_ms(h->timer, ms);
	if (s->state == SLOT_FAILED) {
		log_err("%s failed: too many deaths too fast, retried in_ms=%" PRIu64,
		    h->place->name, ms);
		moment_say(MOMENT_FAILED, h->place->name, "too many deaths too fast, tried again in %"
		    PRIu64 " ms", ms);
	} else {
		log_notice("%s starts again in_ms=%" PRIu64, h->place->name, ms);
		moment_say(MOMENT_AGAIN, h->place->name, "starts again in %" PRIu64 " ms", ms);
	}
}

static void
op_up(struct slot *s)
{
	struct holder	*h = holder_of(s);
	struct pools	*ps = h->place->pool->pools;

	child_up(h->child);
	h->up_order = ++ps->ups;
	log_info("%s ready age_ms=%" PRIu64 " pid=%d", child_tag(h->child),
	    child_age_ms(h->child), (int)child_pid(h->child));
	moment_say(MOMENT_READY, child_tag(h->child), "after %" PRIu64 " ms", child_age_ms(h->child));
	if (ps->self.user != 0)
		(void)child_send(h->child, MSG_SELF, &ps->self);
	ps->ops.on_up(ps->arg, h->child);
	if (h == h->place->heir)
		place_inherit(h);
}

static struct obituary *
bury_in(struct pool *p, uint32_t slot, const struct obituary *o)
{
	struct grave	*g;

	if (p->graves_n < OBITUARIES_KEPT) {
		g = mem_alloc(sizeof(*g));
		p->graves_n++;
	} else {
		g = TAILQ_LAST(&p->graves, graves);
		TAILQ_REMOVE(&p->graves, g, link);
	}
	g->slot = slot;
	g->o = *o;
	TAILQ_INSERT_HEAD(&p->graves, g, link);
	return &g->o;
}

static void
record_child(struct pools *ps, const struct child *c)
{
	struct journal_child	 jc = { .pid = child_pid(c), .rest = child_is_rest(c) };
	struct proc_stat	 st;

	if (ps->journal == NULL || !proc_stat(jc.pid, &st))
		return;
	jc.starttime = st.starttime;
	snprintf(jc.tag, sizeof(jc.tag), "%s", child_tag(c));
	journal_child(ps->journal, &jc);
}

struct limits
pool_limits(const struct pool *p)
{
	const struct cfg_pool	*cp = pool_cfg(p);
	struct limits		 none = { 0 };

	if (cp == NULL)
		return none;
	return (struct limits){ cp->memory_bytes, cp->files, cp->core_bytes,
		p->command.n > 0 ? cp->processes : 0 };
}

static const struct child_ops	 child_ops;

static void
op_spawn(struct slot *s)
{
	struct holder		*h = holder_of(s);
	struct place		*pl = h->place;
	struct pool		*p = pl->pool;
	struct pools		*ps = p->pools;
	const struct cfg	*cfg = ps->cfg;
	const struct cfg_pool	*cp = pool_cfg(p);
	struct buf		 options = { 0 };
	struct child_spec	 spec = {
		.program = ps->program, .pool = p->name, .role = p->role, .slot = pl->no,
		.generation = ++pl->generation, .rest = p->rest, .web = p->web, .credit = p->credit,
		.hang_ms = cfg->hang_ms, .stopped_ms = cfg->stopped_ms,
		.start_deadline_ms = cfg->start_deadline_ms,
		.drain_ms = p->rest ? cfg->rest_grace_ms : cfg->drain_ms,
		.last_word_ms = p->rest ? 0 : cfg->last_word_ms,
	};
	const char		*why = "?";

	if (ps->privs != NULL)
		spec.as = p->rest ? &ps->privs->rest : &ps->privs->handler;
	if (p->command.n > 0) {
		spec.program = p->command.v[0];
		spec.argv = p->command.v;
		spec.fence = ps->fence;
		spec.env = cp == NULL ? NULL : cp->env.v;
		spec.env_n = cp == NULL ? 0 : cp->env.n;
	}
	spec.cgroups = &ps->cgroups;
	spec.limits = pool_limits(p);

	throttle_started(&s->throttle, loop_now(ps->loop));
	h->generation = pl->generation;
	h->told = h->now = false;
	h->finished = 0;
	h->jitter = clock_random(RECYCLE_JITTER_MAX);
	h->hello = hello_hash(p);
	hello_logging(&options);
	hello_options(p, &options);
	spec.options = msg_list_of(&options);
	h->child = child_spawn(ps->loop, &spec, &child_ops, h, &why);
	if (options.p != NULL)
		explicit_bzero(options.p, options.cap);
	buf_fini(&options);
	if (h->child == NULL) {
		struct slot_death	 d = { .now = loop_now(ps->loop) };
		struct obituary		 o = { .cause = DEATH_EXEC, .generation = h->generation };

		d.random = clock_random(UINT64_MAX);
		o.wall_ms = clock_wall_ms();
		snprintf(o.tag, sizeof(o.tag), "%s#%" PRIu64, pl->name, h->generation);
		snprintf(o.text, sizeof(o.text), "could not be started: %s", why);
		log_err("%s %s", o.tag, o.text);
		moment_say(MOMENT_DEATH, o.tag, "%s", o.text);
		bury_in(p, pl->no, &o);
		(void)slot_gone(s, &d);
		return;
	}
	record_child(ps, h->child);
	moment_say(MOMENT_START, child_tag(h->child), "pid %d", (int)child_pid(h->child));
	(void)slot_event(s, SLEV_SPAWNED);
}

static const struct slot_ops slot_ops = {
	.changed = op_changed, .spawn = op_spawn, .await_ready = op_await_ready, .up = op_up,
	.drain = op_drain, .hurry = op_hurry, .abort = op_abort, .kill = op_kill, .retry = op_retry,
};

static void
holder_timeout(void *arg)
{
	struct holder	*h = arg;

	if (h->slot.state == SLOT_STARTING)
		child_blame(h->child, DEATH_NO_READY, NULL);
	else if (h->slot.state == SLOT_DRAINING)
		child_blame(h->child, DEATH_ASKED, "it did not end within its time to drain");
	(void)slot_event(&h->slot, SLEV_TIMEOUT);
}

/* ---- what the child says ---- */

static void
child_ready(void *arg, struct child *c)
{
	struct holder	*h = arg;

	assert(h->child == c);
	/* No row: it is being killed for being late. */
	(void)slot_event(&h->slot, SLEV_READY);
}

static int
child_msg(void *arg, struct child *c, const struct msg_in *in, const char **why_r)
{
	struct holder	*h = arg;
	struct pools	*ps = h->place->pool->pools;

	if (in->type == MSG_ACK || in->type == MSG_NACK)
		h->finished++;
	return ps->ops.on_msg(ps->arg, c, in, why_r);
}

static void
child_broke(void *arg, struct child *c)
{
	struct holder	*h = arg;

	assert(h->child == c);
	(void)slot_event(&h->slot, SLEV_BROKE);
}

/* No row: it is on its way out already. */
static void
child_is_hung(void *arg, struct child *c)
{
	struct holder	*h = arg;

	assert(h->child == c);
	if (h->slot.state != SLOT_STOPPING)
		(void)slot_event(&h->slot, SLEV_HUNG);
}

static size_t
child_open_n(void *arg, const struct child *c)
{
	struct pools	*ps = ((struct holder *)arg)->place->pool->pools;

	return ps->ops.open_n(ps->arg, c);
}

static size_t
child_held(void *arg, const struct child *c, struct held *out, size_t max)
{
	struct pools	*ps = ((struct holder *)arg)->place->pool->pools;

	return pools_held(ps, c, out, max);
}

static bool
child_holds(void *arg, const struct child *c, uint64_t delivery, struct held *out)
{
	struct pools	*ps = ((struct holder *)arg)->place->pool->pools;

	return pools_holds(ps, c, delivery, out);
}

static void
count_death(const struct obituary *o)
{
	switch (o->cause) {
	case DEATH_EXIT:
	case DEATH_EXEC:
		COUNT(worker_exits);
		return;
	case DEATH_SIGNAL:
		COUNT(worker_crashes);
		return;
	case DEATH_ASKED:
		if (o->code == 0)
			COUNT(worker_exits);
		else
			COUNT(worker_kills);
		return;
	case DEATH_HUNG:
		COUNT(worker_hung);
		break;
	case DEATH_STOPPED:
		COUNT(worker_stopped);
		break;
	case DEATH_NO_READY:
		COUNT(worker_no_ready);
		break;
	case DEATH_PROTOCOL:
		COUNT(worker_protocol);
		break;
	case DEATH_MEMORY:
		COUNT(worker_memory);
		break;
	case DEATH__N:
		break;
	}
	COUNT(worker_kills);
}

static void
log_death(const struct obituary *o)
{
	void	(*say)(const char *, ...) = o->cause == DEATH_ASKED ? log_info : log_warnx;

	say("%s %s cause=%s age_ms=%" PRIu64 " running=%016" PRIx64 " open=%" PRIu64 " pid=%d"
	    " rss_kib=%" PRIu64 " user_ms=%" PRIu64 " sys_ms=%" PRIu64 " frames=%zu", o->tag,
	    o->text, death_name(o->cause), o->age_ms, o->running, o->open, (int)o->pid,
	    o->max_rss_kib, o->user_ms, o->sys_ms, o->words.frames_n);
}

static void
child_dead(void *arg, struct child *c, const struct obituary *dead)
{
	struct holder		*h = arg;
	struct place		*pl = h->place;
	struct pools		*ps = pl->pool->pools;
	const struct obituary	*o = bury_in(pl->pool, pl->no, dead);
	struct slot_death	 d = {
		.now = loop_now(ps->loop),
		.was_ready = o->was_ready,
		.ready_ms = child_ready_ms(c),
		.random = clock_random(UINT64_MAX),
		.hold = o->cause == DEATH_EXIT && o->code == CONTRACT_EXIT_HOLD,
	};

	assert(h->child == c);
	log_death(o);
	moment_say(MOMENT_DEATH, o->tag, "%s", o->text);
	count_death(o);
	if (ps->journal != NULL)
		journal_child_gone(ps->journal, child_pid(c));
	/* Before the slot decides: what a replacement's on_up finds must know of this death. */
	if (o->was_ready)
		ps->ops.on_down(ps->arg, c, o);
	child_free(&h->child);
	(void)slot_gone(&h->slot, &d);
	if (h->slot.state == SLOT_HELD) {
		log_err("%s is held until an operator restarts it", pl->name);
		moment_say(MOMENT_HELD, pl->name, "held until an operator restarts it");
	}
}

static const struct child_ops child_ops = {
	.on_ready = child_ready, .on_msg = child_msg, .on_broke = child_broke,
	.on_hung = child_is_hung, .open_n = child_open_n, .held = child_held, .holds = child_holds,
	.on_dead = child_dead,
};

/* ---- the look at every scoreboard ---- */

static void
look(void *arg)
{
	struct pools	*ps = arg;
	struct mono	 now = loop_now(ps->loop);
	uint64_t	 elapsed = mono_ms_between(ps->looked, now);

	ps->looked = now;
	timer_arm_ms(ps->look, LOOK_MS);
	if (elapsed > LOOK_LATE_MS)
		elapsed = LOOK_LATE_MS;
	EACH_HOLDER(ps, h) {
		if (h->child == NULL || h->slot.state == SLOT_STOPPING)
			continue;
		child_patience(h->child, ps->cfg->hang_ms, ps->cfg->stopped_ms);
		switch (child_look(h->child, elapsed)) {
		case LIFE_FINE:
		case LIFE_ASK:
			if (!child_too_large(h->child))
				break;
			/* It is to be killed, and has been blamed, as one that talks nonsense. */
			log_warnx("%s is out of memory limit=%" PRIu64, child_tag(h->child),
			    pool_limits(h->place->pool).memory_bytes);
			(void)slot_event(&h->slot, SLEV_BROKE);
			break;
		case LIFE_HUNG:
			log_warnx("%s is hung: no progress for ms=%" PRIu64 " scopes=%" PRIu64,
			    child_tag(h->child), ps->cfg->hang_ms, child_scopes(h->child));
			child_blame(h->child, DEATH_HUNG, NULL);
			(void)slot_event(&h->slot, SLEV_HUNG);
			break;
		case LIFE_HALTED:
			log_warnx("%s is stopped (state T) for ms=%" PRIu64, child_tag(h->child),
			    ps->cfg->stopped_ms);
			child_blame(h->child, DEATH_STOPPED, NULL);
			(void)slot_event(&h->slot, SLEV_HALTED);
			break;
		}
	}
	changes_recycle(ps);
}

/* ---- looked at in the tail after every change ---- */

static bool
is_stopped(const struct pools *ps, bool rest)
{
	EACH_HOLDER(ps, h) {
		if (h->place->pool->rest == rest && h->slot.state != SLOT_OFF)
			return false;
	}
	return true;
}

static void
settle(void *arg)
{
	struct pools	*ps = arg;

	changes_settle(ps);
	config_settle(ps);
	for (int rest = 0; rest < 2; rest++) {
		struct stop	 s = ps->stops[rest];

		if (!s.wanted || !is_stopped(ps, rest == 1))
			continue;
		ps->stops[rest].wanted = false;
		s.fn(s.arg);
	}
}

/* ---- places and those that hold them ---- */

struct holder *
holder_new(struct place *pl)
{
	struct holder	*h = mem_alloc(sizeof(*h));
	struct loop	*loop = pl->pool->pools->loop;

	slot_init(&h->slot, &slot_ops);
	h->place = pl;
	h->since = loop_now(loop);
	h->timer = timer_new(loop, holder_timeout, h);
	TAILQ_INSERT_TAIL(&pl->holders, h, next);
	return h;
}

void
holder_free(struct holder **hp)
{
	struct holder	*h = *hp;

	*hp = NULL;
	TAILQ_REMOVE(&h->place->holders, h, next);
	timer_free(&h->timer);
	free(h);
}

void
holder_stop(struct holder *h, const char *why)
{
	if (h->slot.state == SLOT_STARTING)
		child_blame(h->child, DEATH_ASKED, why);
	(void)slot_event(&h->slot, SLEV_STOP);
}

struct place *
place_new(struct pool *p, uint32_t no)
{
	struct place	*pl = mem_alloc(sizeof(*pl));

	assert(no == p->places_n);
	pl->pool = p;
	pl->no = no;
	pl->wanted = true;
	snprintf(pl->name, sizeof(pl->name), "%s.%u", p->name, (unsigned)no);
	TAILQ_INIT(&pl->holders);
	pl->at = holder_new(pl);
	p->places = mem_grow(p->places, p->places_n + 1, sizeof(*p->places));
	p->places[p->places_n++] = pl;
	return pl;
}

static void
place_free(struct place **plp)
{
	struct holder	*h;

	while ((h = TAILQ_FIRST(&(*plp)->holders)) != NULL)
		holder_free(&h);
	free(*plp);
	*plp = NULL;
}

/* ---- the public face ---- */

static struct pool *
pool_make(struct pools *ps, const char *name, uint64_t workers, uint64_t credit)
{
	struct pool	*p = mem_alloc(sizeof(*p));

	p->pools = ps;
	p->name = mem_strdup(name);
	p->credit = credit;
	TAILQ_INIT(&p->graves);
	for (uint32_t i = 0; i < workers; i++)
		(void)place_new(p, i);
	ps->list = mem_grow(ps->list, ps->n + 1, sizeof(*ps->list));
	ps->list[ps->n++] = p;
	return p;
}

struct pool *
pool_new(struct pools *ps, const struct cfg_pool *cp)
{
	struct pool	*p = pool_make(ps, cp->name, cp->workers, cfg_pool_credit(cp));
	const char	*why;

	(void)cfg_pool_role_name(cp, p->role);
	if (cfg_pool_command(cp) != NULL) {
		if (words_split(cfg_pool_command(cp), &p->command, &why) == -1)
			abort();	/* cfgrow has checked it */
	}
	return p;
}

/* One that nobody configures; its name is its role. */
static struct pool *
pool_own(struct pools *ps, const char *role, uint64_t workers)
{
	struct pool	*p = pool_make(ps, role, workers, table_role(role)->credit);

	(void)strlcpy(p->role, role, sizeof(p->role));
	return p;
}

void
pool_free(struct pool **pp)
{
	struct pool	*p = *pp;
	struct grave	*g;

	*pp = NULL;
	while ((g = TAILQ_FIRST(&p->graves)) != NULL) {
		TAILQ_REMOVE(&p->graves, g, link);
		free(g);
	}
	words_fini(&p->command);
	for (size_t k = 0; k < p->places_n; k++)
		place_free(&p->places[k]);
	free(p->places);
	free(p->name);
	free(p);
}

struct pools *
pools_new(struct loop *l, const struct cfg *cfg, const char *conf, struct journal *j,
    const char *program, const struct pools_ops *ops, void *arg)
{
	struct pools	*ps = mem_alloc(sizeof(*ps));

	ps->loop = l;
	ps->cfg = cfg;
	ps->journal = j;
	ps->program = mem_strdup(program);
	ps->ops = *ops;
	ps->arg = arg;
	cgroups_init(&ps->cgroups, cfg->cgroup);
	ps->fence = fence_new(cfg, conf, ps->cgroups.version == CGROUP_NONE ? NULL : ps->cgroups.path);
	ps->look = timer_new(l, look, ps);
	ps->settle = (struct loop_job){ .fn = settle, .arg = ps };
	TAILQ_INIT(&ps->changes);
	if (cfg->token != NULL)
		pool_own(ps, "rest", REST_WORKERS)->rest = true;
	for (size_t i = 0; i < cfg->pools_n; i++)
		(void)pool_new(ps, &cfg->pools[i]);
	if (cfg->web != NULL || cfg->statsd != NULL)
		pool_own(ps, "web", 1)->web = true;
	return ps;
}

void
pools_users(struct pools *ps, const struct privs *privs)
{
	ps->privs = privs;
}

void
pools_free(struct pools **psp)
{
	struct pools	*ps = *psp;

	if (ps == NULL)
		return;
	*psp = NULL;
	changes_free(ps);
	EACH_HOLDER(ps, h) {
		if (h->child == NULL)
			continue;
		log_warnx("%s is killed: nobody waits for it any more", child_tag(h->child));
		child_abandon(&h->child);
	}
	for (size_t i = 0; i < ps->n; i++)
		pool_free(&ps->list[i]);
	cgroups_fini(&ps->cgroups);
	leftovers_free(&ps->leftovers);
	loop_job_cancel(ps->loop, &ps->settle);
	timer_free(&ps->look);
	fence_free(&ps->fence);
	free(ps->list);
	free(ps->program);
	free(ps);
}

void
pools_start(struct pools *ps)
{
	ps->looked = loop_now(ps->loop);
	timer_arm_ms(ps->look, LOOK_MS);
	EACH_HOLDER(ps, h)
		(void)slot_event(&h->slot, SLEV_START);
}

static bool
holder_up(const struct holder *h)
{
	return h->child != NULL && child_is_up(h->child);
}

void
pools_self(struct pools *ps, uint64_t user, uint64_t application, uint64_t shards)
{
	ps->self = (struct msg_SELF){ .user = user, .application = application, .shards = shards };
	EACH_HOLDER(ps, h) {
		if (holder_up(h))
			(void)child_send(h->child, MSG_SELF, &ps->self);
	}
}

void
pools_fault(struct pools *ps, struct span name, struct span spec)
{
	struct msg_FAULT	 m = { .name = name, .spec = spec };

	EACH_HOLDER(ps, h) {
		if (holder_up(h))
			(void)child_send(h->child, MSG_FAULT, &m);
	}
}

/* One that is starting has read its HELLO by then. */
void
pools_logging(struct pools *ps)
{
	struct msg_LOGGING	 m = {
		.level = span_of(log_level_name(log_level_now())), .trace = span_of(log_traced()),
	};

	EACH_HOLDER(ps, h) {
		if (h->child != NULL && h->place->pool->command.n == 0)
			(void)child_send(h->child, MSG_LOGGING, &m);
	}
}

static void
leftovers_gone(void *arg)
{
	struct pools	*ps = arg;

	leftovers_free(&ps->leftovers);
	cgroups_sweep(&ps->cgroups, false);
	ps->left_fn(ps->left_arg);
}

void
pools_leftovers(struct pools *ps, void (*fn)(void *), void *arg)
{
	assert(ps->leftovers == NULL);
	ps->left_fn = fn;
	ps->left_arg = arg;
	ps->leftovers = leftovers_new(ps->loop, ps->journal, ps->cfg->rest_grace_ms,
	    leftovers_gone, ps);
}

void
pools_stop(struct pools *ps, bool rest, uint64_t finish_ms, uint64_t last_word_ms,
    void (*fn)(void *), void *arg)
{
	ps->stops[rest] = (struct stop){ true, fn, arg };
	EACH_HOLDER(ps, h) {
		struct pool	*p = h->place->pool;

		if (p->rest != rest)
			continue;
		p->stopping = true;
		p->finish_ms = finish_ms;
		p->last_word_ms = last_word_ms;
		holder_stop(h, "stopped before it was ready");
	}
	loop_job_queue(ps->loop, &ps->settle);
}

void
pools_hurry(struct pools *ps)
{
	EACH_HOLDER(ps, h)
		(void)slot_event(&h->slot, SLEV_HURRY);
}

size_t
pools_alive(const struct pools *ps)
{
	size_t	 n = 0;

	EACH_HOLDER(ps, h)
		n += h->child != NULL;
	return n;
}

bool
pools_owns_pid(const struct pools *ps, pid_t pid, bool unseen)
{
	struct proc_stat	 st;

	for (int i = 0; i < ANCESTORS_MAX && pid > 0; i++) {
		/* What lost its parent is ours: start.c makes us the one that inherits it. */
		if (pid == getpid())
			return true;
		EACH_HOLDER(ps, h) {
			if (h->child != NULL && child_pid(h->child) == pid)
				return true;
		}
		if (!proc_stat(pid, &st))
			return unseen;
		pid = st.ppid;
	}
	return pid > 0;		/* a line without end: so many ancestors only who hides has */
}

bool
pools_run_as(const struct pools *ps, uid_t uid)
{
	const struct privs	*p = ps->privs;

	return uid == (p != NULL && p->rest.set ? p->rest.uid : geteuid()) ||
	    uid == (p != NULL && p->handler.set ? p->handler.uid : geteuid());
}

size_t
pools_held(const struct pools *ps, const struct child *c, struct held *out, size_t max)
{
	return ps->ops.held(ps->arg, c, out, max);
}

bool
pools_holds(const struct pools *ps, const struct child *c, uint64_t delivery, struct held *out)
{
	return ps->ops.holds(ps->arg, c, delivery, out);
}
