/*
 * pool - see pool.h.  A place is what pool knows of one slot.
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
#include "common/words.h"
#include "proto/contract.h"
#include "supervisor/pool/child.h"
#include "supervisor/pool/leftover.h"
#include "supervisor/pool/pool.h"
#include "supervisor/pool/proc.h"
#include "supervisor/pool/slot.h"

#define REST_WORKERS	2	/* one active, one warm */
#define LOOK_MS		250	/* between two looks at every scoreboard */
#define LOOK_LATE_MS	1000	/* a longer gap is ours: the workers are not charged with it */
#define ABORT_MS	1000	/* from SIGABRT (dump) to SIGKILL */
#define DRAIN_SLACK_MS	500	/* after T1 + T2: the worker's own clock first, then SIGKILL */
#define ANCESTORS_MAX	16

struct pool;

struct grave {
	TAILQ_ENTRY(grave) link;
	uint32_t	 slot;
	struct obituary	 o;
};

struct place {
	struct slot	 slot;			/* first: the callbacks of slot.c get it back */
	struct pool	*pool;
	uint32_t	 no;
	char		 name[48];		/* "echo.0" */
	struct child	*child;			/* NULL: no process */
	struct timer	*timer;
	uint64_t	 generation;
	struct mono	 since, retry_at;
	struct mono	 end_at;		/* of the drain under way */
	uint64_t	 last_word_ms;
	uint64_t	 up_order;		/* rises with each READY of any pool */
	bool		 told;			/* on_draining was called for this process */
	bool		 now;			/* its drain has no T1 */
};

struct pool {
	struct pools	*pools;
	char		*name;
	char		 role[CFG_ROLE_BYTES];
	struct words	 command;		/* of a handler "exec:"; empty: bulkhead-worker */
	const struct cfg_list *env;		/* of it */
	bool		 rest, stopping;
	uint64_t	 credit;
	uint64_t	 finish_ms, last_word_ms;	/* of the stop */
	struct place	*places;
	size_t		 places_n;
	TAILQ_HEAD(graves, grave) graves;		/* newest first */
	size_t		 graves_n;
};

/* A restart under way: one place after another, so that a sibling serves meanwhile. */
struct restart {
	TAILQ_ENTRY(restart) link;
	struct place	**todo;
	size_t		 n, i;
	enum restart_how how;
	bool		 begun;			/* todo[i] was asked */
	uint64_t	 target;		/* the generation of todo[i] that must get READY */
	void		(*fn)(void *, const char *);
	void		*arg;
};

struct stop {
	bool		 wanted;
	void		(*fn)(void *);
	void		*arg;
};

struct pools {
	struct loop		*loop;
	const struct cfg	*cfg;
	struct journal		*journal;
	char			*program;
	struct pools_ops	 ops;
	void			*arg;
	struct pool		*list;		/* rest first */
	size_t			 n;
	struct msg_SELF		 self;		/* user 0: not known yet */
	uint64_t		 ups;
	struct timer		*look;
	struct mono		 looked;
	struct loop_job		 settle;
	TAILQ_HEAD(restarts, restart)  restarts;
	struct stop		 stops[2];	/* handlers, rest */
	struct leftovers	*leftovers;
	void			(*left_fn)(void *);
	void			*left_arg;
};

static struct place *
place_of(struct slot *s)
{
	return (struct place *)s;
}

#define EACH_PLACE(ps, pl)							\
	for (struct pool *pool_ = (ps)->list; pool_ < (ps)->list + (ps)->n; pool_++)	\
		for (struct place *pl = pool_->places; pl < pool_->places + pool_->places_n; pl++)

/* ---- what the slot asks of the world ---- */

static void
op_changed(struct slot *s, enum slot_state from, enum slot_event why)
{
	struct place	*pl = place_of(s);
	struct pools	*ps = pl->pool->pools;

	timer_stop(pl->timer);
	pl->since = loop_now(ps->loop);
	log_debug("%s %s -> %s ev=%s generation=%" PRIu64, pl->name, slot_state_name(from),
	    slot_state_name(s->state), slot_event_name(why), pl->generation);
	loop_job_queue(ps->loop, &ps->settle);
}

static void
tell_drain(struct place *pl, uint64_t finish_ms, uint64_t last_word_ms)
{
	struct pools	*ps = pl->pool->pools;
	struct mono	 end = loop_now(ps->loop);

	end = mono_add_ms(end, finish_ms + last_word_ms + DRAIN_SLACK_MS);
	/* A drain that is under way is never made longer. */
	if (pl->told && !mono_before(end, pl->end_at))
		return;
	pl->end_at = end;
	pl->last_word_ms = last_word_ms;
	timer_arm_at(pl->timer, end);
	child_drain(pl->child, finish_ms, last_word_ms);
	if (!pl->told) {
		pl->told = true;
		ps->ops.on_draining(ps->arg, pl->child);
	}
}

static void
op_drain(struct slot *s)
{
	struct place		*pl = place_of(s);
	const struct cfg	*cfg = pl->pool->pools->cfg;

	if (pl->pool->stopping)
		tell_drain(pl, pl->pool->finish_ms, pl->pool->last_word_ms);
	else if (pl->pool->rest)
		tell_drain(pl, pl->now ? 0 : cfg->rest_grace_ms, 0);
	else
		tell_drain(pl, pl->now ? 0 : cfg->drain_ms, cfg->last_word_ms);
}

static void
op_hurry(struct slot *s)
{
	tell_drain(place_of(s), 0, place_of(s)->last_word_ms);
}

static void
op_await_ready(struct slot *s)
{
	timer_arm_ms(place_of(s)->timer, place_of(s)->pool->pools->cfg->start_deadline_ms);
}

static void
op_abort(struct slot *s)
{
	child_signal(place_of(s)->child, SIGABRT);
	timer_arm_ms(place_of(s)->timer, ABORT_MS);
}

static void
op_kill(struct slot *s)
{
	child_signal(place_of(s)->child, SIGKILL);
}

static void
op_retry(struct slot *s, uint64_t ms)
{
	struct place	*pl = place_of(s);

	pl->retry_at = mono_add_ms(loop_now(pl->pool->pools->loop), ms);
	timer_arm_ms(pl->timer, ms);
	if (s->state == SLOT_FAILED)
		log_err("%s failed: too many deaths too fast, retried in_ms=%" PRIu64, pl->name,
		    ms);
	else
		log_notice("%s starts again in_ms=%" PRIu64, pl->name, ms);
}

static void
op_up(struct slot *s)
{
	struct place	*pl = place_of(s);
	struct pools	*ps = pl->pool->pools;

	child_up(pl->child);
	pl->up_order = ++ps->ups;
	log_info("%s ready age_ms=%" PRIu64 " pid=%d", child_tag(pl->child),
	    child_age_ms(pl->child), (int)child_pid(pl->child));
	if (ps->self.user != 0)
		(void)child_send(pl->child, MSG_SELF, &ps->self);
	ps->ops.on_up(ps->arg, pl->child);
}

static void
option_str(struct buf *b, const char *name, const char *value)
{
	if (value == NULL)
		return;
	msg_list_str(b, span_of(name));
	msg_list_str(b, span_of(value));
}

static void
option_u64(struct buf *b, const char *name, uint64_t value)
{
	char	 text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	option_str(b, name, text);
}

static void
option_list(struct buf *b, const char *name, const struct cfg_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		option_str(b, name, l->v[i]);
}

/* The key of the model goes to the pools that ask it, and to nobody else. */
static void
options_for_chat(const struct cfg *cfg, struct buf *b)
{
	const struct cfg_model	*m = cfg_chat_model(cfg);
	const struct cfg_chat	*c = &cfg->chat;

	option_str(b, "model.base_url", m->base_url);
	option_str(b, "model.api_key", m->api_key);
	option_str(b, "model.query", m->query);
	option_str(b, "model.name", m->name);
	option_str(b, "model.provider", m->provider);
	option_u64(b, "model.sees", m->sees);
	option_u64(b, "model.max_tokens", m->max_tokens);
	option_u64(b, "model.context_tokens", m->context_tokens);
	option_str(b, "model.temperature", m->temperature);
	option_u64(b, "model.first_byte", m->first_byte_ms);
	option_u64(b, "model.idle", m->idle_ms);
	option_u64(b, "model.total", m->total_ms);
	option_str(b, "chat.system_prompt", c->system_prompt);
	option_list(b, "chat.free_channels", &c->free_channels);
	option_str(b, "chat.bots", c->bots);
	option_u64(b, "chat.max_messages", c->max_messages);
	option_u64(b, "chat.max_images", c->max_images);
	option_u64(b, "chat.max_image", c->max_image_bytes);
	option_u64(b, "chat.merge_gap", c->merge_gap_ms);
	option_u64(b, "chat.continue_gap", c->continue_gap_ms);
	option_list(b, "chat.stop_words", &c->stop_words);
	option_str(b, "ca_file", cfg->ca_file);
	option_str(b, "resolv_conf", cfg->resolv_conf);
	option_u64(b, "connect_timeout", cfg->connect_timeout_ms);
}

/* The token goes to the rest pool and to nobody else. */
static void
options_for(const struct pool *p, struct buf *b)
{
	const struct cfg	*cfg = p->pools->cfg;

	option_str(b, "log_level", cfg->log_level);
	option_str(b, "trace", log_traced());
	if (p->command.n == 0 && strcmp(p->role, "chat") == 0 && cfg_chat_model(cfg) != NULL)
		options_for_chat(cfg, b);
	if (!p->rest)
		return;
	option_str(b, "token", cfg->token);
	option_str(b, "api_url", cfg->api_url);
	option_str(b, "user_agent_url", cfg->user_agent_url);
	option_str(b, "ca_file", cfg->ca_file);
	option_str(b, "resolv_conf", cfg->resolv_conf);
	option_u64(b, "connect_timeout", cfg->connect_timeout_ms);
	option_u64(b, "call_timeout", cfg->call_timeout_ms);
	option_u64(b, "rest_grace", cfg->rest_grace_ms);
	option_u64(b, "rest_per_second", cfg->rest_per_second);
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

static const struct child_ops	 child_ops;

static void
op_spawn(struct slot *s)
{
	struct place		*pl = place_of(s);
	struct pool		*p = pl->pool;
	struct pools		*ps = p->pools;
	const struct cfg	*cfg = ps->cfg;
	struct buf		 options = { 0 };
	struct child_spec	 spec = {
		.program = ps->program, .pool = p->name, .role = p->role, .slot = pl->no,
		.generation = ++pl->generation, .rest = p->rest, .credit = p->credit,
		.hang_ms = cfg->hang_ms, .stopped_ms = cfg->stopped_ms,
		.start_deadline_ms = cfg->start_deadline_ms,
		.drain_ms = p->rest ? cfg->rest_grace_ms : cfg->drain_ms,
		.last_word_ms = p->rest ? 0 : cfg->last_word_ms,
	};
	const char		*why = "?";

	if (p->command.n > 0) {
		spec.program = p->command.v[0];
		spec.argv = p->command.v;
		spec.env = p->env->v;
		spec.env_n = p->env->n;
	}

	throttle_started(&s->throttle, loop_now(ps->loop));
	pl->told = pl->now = false;
	options_for(p, &options);
	spec.options = msg_list_of(&options);
	pl->child = child_spawn(ps->loop, &spec, &child_ops, pl, &why);
	if (options.p != NULL)
		explicit_bzero(options.p, options.cap);
	buf_fini(&options);
	if (pl->child == NULL) {
		struct slot_death	 d = { .now = loop_now(ps->loop) };
		struct obituary		 o = { .cause = DEATH_EXEC, .generation = pl->generation };

		d.random = clock_random(UINT64_MAX);
		o.wall_ms = clock_wall_ms();
		snprintf(o.tag, sizeof(o.tag), "%s#%" PRIu64, pl->name, pl->generation);
		snprintf(o.text, sizeof(o.text), "could not be started: %s", why);
		log_err("%s %s", o.tag, o.text);
		bury_in(p, pl->no, &o);
		(void)slot_gone(s, &d);
		return;
	}
	record_child(ps, pl->child);
	(void)slot_event(s, SLEV_SPAWNED);
}

static const struct slot_ops slot_ops = {
	.changed = op_changed, .spawn = op_spawn, .await_ready = op_await_ready, .up = op_up,
	.drain = op_drain, .hurry = op_hurry, .abort = op_abort, .kill = op_kill, .retry = op_retry,
};

static void
place_timeout(void *arg)
{
	struct place	*pl = arg;

	if (pl->slot.state == SLOT_STARTING)
		child_blame(pl->child, DEATH_NO_READY, NULL);
	else if (pl->slot.state == SLOT_DRAINING)
		child_blame(pl->child, DEATH_ASKED, "it did not end within its time to drain");
	(void)slot_event(&pl->slot, SLEV_TIMEOUT);
}

/* ---- what the child says ---- */

static void
child_ready(void *arg, struct child *c)
{
	struct place	*pl = arg;

	assert(pl->child == c);
	/* No row: it is being killed for being late. */
	(void)slot_event(&pl->slot, SLEV_READY);
}

static int
child_msg(void *arg, struct child *c, const struct msg_in *in, const char **why_r)
{
	struct pools	*ps = ((struct place *)arg)->pool->pools;

	return ps->ops.on_msg(ps->arg, c, in, why_r);
}

static void
child_broke(void *arg, struct child *c)
{
	struct place	*pl = arg;

	assert(pl->child == c);
	(void)slot_event(&pl->slot, SLEV_BROKE);
}

static size_t
child_open_n(void *arg, const struct child *c)
{
	struct pools	*ps = ((struct place *)arg)->pool->pools;

	return ps->ops.open_n(ps->arg, c);
}

static size_t
child_held(void *arg, const struct child *c, struct held *out, size_t max)
{
	struct pools	*ps = ((struct place *)arg)->pool->pools;

	return pools_held(ps, c, out, max);
}

static bool
child_holds(void *arg, const struct child *c, uint64_t delivery, struct held *out)
{
	struct pools	*ps = ((struct place *)arg)->pool->pools;

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
	struct place		*pl = arg;
	struct pools		*ps = pl->pool->pools;
	const struct obituary	*o = bury_in(pl->pool, pl->no, dead);
	struct slot_death	 d = {
		.now = loop_now(ps->loop),
		.was_ready = o->was_ready,
		.ready_ms = child_ready_ms(c),
		.random = clock_random(UINT64_MAX),
		.hold = o->cause == DEATH_EXIT && o->code == CONTRACT_EXIT_HOLD,
	};

	assert(pl->child == c);
	log_death(o);
	count_death(o);
	if (ps->journal != NULL)
		journal_child_gone(ps->journal, child_pid(c));
	/* Before the slot decides: what a replacement's on_up finds must know of this death. */
	if (o->was_ready)
		ps->ops.on_down(ps->arg, c, o);
	child_free(&pl->child);
	if (d.hold && !pl->slot.stopping && !pl->slot.again)
		log_err("%s is held until an operator restarts it", pl->name);
	(void)slot_gone(&pl->slot, &d);
}

static const struct child_ops child_ops = {
	.on_ready = child_ready, .on_msg = child_msg, .on_broke = child_broke,
	.open_n = child_open_n, .held = child_held, .holds = child_holds, .on_dead = child_dead,
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
	EACH_PLACE(ps, pl) {
		if (pl->child == NULL || pl->slot.state == SLOT_STOPPING)
			continue;
		switch (child_look(pl->child, elapsed)) {
		case LIFE_FINE:
		case LIFE_ASK:
			break;
		case LIFE_HUNG:
			log_warnx("%s is hung: no progress for ms=%" PRIu64 " scopes=%" PRIu64,
			    child_tag(pl->child), ps->cfg->hang_ms, child_scopes(pl->child));
			child_blame(pl->child, DEATH_HUNG, NULL);
			(void)slot_event(&pl->slot, SLEV_HUNG);
			break;
		case LIFE_HALTED:
			log_warnx("%s is stopped (state T) for ms=%" PRIu64, child_tag(pl->child),
			    ps->cfg->stopped_ms);
			child_blame(pl->child, DEATH_STOPPED, NULL);
			(void)slot_event(&pl->slot, SLEV_HALTED);
			break;
		}
	}
}

/* ---- restarts and stops, looked at in the tail after every change ---- */

static void
restart_end(struct pools *ps, struct restart *r, const char *why)
{
	TAILQ_REMOVE(&ps->restarts, r, link);
	r->fn(r->arg, why);
	free(r->todo);
	free(r);
}

static const struct obituary *
newest_of(const struct place *pl)
{
	const struct grave	*g;

	TAILQ_FOREACH(g, &pl->pool->graves, link) {
		if (g->slot == pl->no)
			return &g->o;
	}
	return NULL;
}

static void
restart_failed(struct pools *ps, struct restart *r)
{
	const struct place	*pl = r->todo[r->i];
	const struct obituary	*o = newest_of(pl);
	char			 why[384];

	snprintf(why, sizeof(why), "%s did not get ready: %s", pl->name,
	    pl->slot.stopping ? "it is being stopped" :
	    o != NULL ? o->text : slot_state_name(pl->slot.state));
	restart_end(ps, r, why);
}

/* False: this place has to change first. */
static bool
restart_step(struct pools *ps, struct restart *r)
{
	struct place	*pl = r->todo[r->i];
	enum slot_state	 st = pl->slot.state;

	if (!r->begun) {
		r->begun = true;
		r->target = pl->generation + (st == SLOT_SPAWNING || st == SLOT_STARTING ? 0 : 1);
		pl->now = r->how == RESTART_NOW;
		if (pl->slot.stopping || !slot_event(&pl->slot, SLEV_RESTART)) {
			restart_failed(ps, r);
			return true;
		}
		st = pl->slot.state;
	}
	if (st == SLOT_READY && pl->generation >= r->target) {
		r->begun = false;
		if (++r->i == r->n)
			restart_end(ps, r, NULL);
		return true;
	}
	if (st == SLOT_BACKOFF || st == SLOT_FAILED || st == SLOT_HELD || st == SLOT_OFF ||
	    pl->generation > r->target) {
		restart_failed(ps, r);
		return true;
	}
	return false;
}

/* The restart that a callback ended is gone: begin again from the front whenever one moved. */
static void
settle_restarts(struct pools *ps)
{
	struct restart	*r;
	bool		 moved;

	do {
		moved = false;
		TAILQ_FOREACH(r, &ps->restarts, link) {
			if ((moved = restart_step(ps, r)))
				break;
		}
	} while (moved);
}

static bool
is_stopped(const struct pools *ps, bool rest)
{
	for (size_t i = 0; i < ps->n; i++) {
		for (size_t k = 0; ps->list[i].rest == rest && k < ps->list[i].places_n; k++) {
			if (ps->list[i].places[k].slot.state != SLOT_OFF)
				return false;
		}
	}
	return true;
}

static void
settle(void *arg)
{
	struct pools	*ps = arg;

	settle_restarts(ps);
	for (int rest = 0; rest < 2; rest++) {
		struct stop	 s = ps->stops[rest];

		if (!s.wanted || !is_stopped(ps, rest == 1))
			continue;
		ps->stops[rest].wanted = false;
		s.fn(s.arg);
	}
}

/* ---- the public face ---- */

/* cp NULL: the rest pool. */
static void
pool_init(struct pools *ps, struct pool *p, const struct cfg_pool *cp)
{
	const char	*name = cp == NULL ? "rest" : cp->name, *why;
	uint64_t	 workers = cp == NULL ? REST_WORKERS : cp->workers;

	p->pools = ps;
	p->name = mem_strdup(name);
	p->rest = cp == NULL;
	p->credit = p->rest ? table_role("rest")->credit : cfg_pool_credit(cp);
	if (p->rest)
		(void)strlcpy(p->role, "rest", sizeof(p->role));
	else
		(void)cfg_pool_role_name(cp, p->role);
	if (!p->rest && cfg_pool_command(cp) != NULL) {
		p->env = &cp->env;
		if (words_split(cfg_pool_command(cp), &p->command, &why) == -1)
			abort();	/* cfgrow has checked it */
	}
	TAILQ_INIT(&p->graves);
	p->places = mem_array(workers, sizeof(*p->places));
	p->places_n = workers;
	for (size_t i = 0; i < workers; i++) {
		struct place	*pl = &p->places[i];

		slot_init(&pl->slot, &slot_ops);
		pl->pool = p;
		pl->no = (uint32_t)i;
		pl->since = loop_now(ps->loop);
		snprintf(pl->name, sizeof(pl->name), "%s.%zu", name, i);
		pl->timer = timer_new(ps->loop, place_timeout, pl);
	}
}

struct pools *
pools_new(struct loop *l, const struct cfg *cfg, struct journal *j, const char *program,
    const struct pools_ops *ops, void *arg)
{
	struct pools	*ps = mem_alloc(sizeof(*ps));

	ps->loop = l;
	ps->cfg = cfg;
	ps->journal = j;
	ps->program = mem_strdup(program);
	ps->ops = *ops;
	ps->arg = arg;
	ps->look = timer_new(l, look, ps);
	ps->settle = (struct loop_job){ .fn = settle, .arg = ps };
	TAILQ_INIT(&ps->restarts);
	ps->list = mem_array(cfg->pools_n + 1, sizeof(*ps->list));
	if (cfg->token != NULL)
		pool_init(ps, &ps->list[ps->n++], NULL);
	for (size_t i = 0; i < cfg->pools_n; i++)
		pool_init(ps, &ps->list[ps->n++], &cfg->pools[i]);
	return ps;
}

void
pools_free(struct pools **psp)
{
	struct pools	*ps = *psp;
	struct restart	*r;
	struct grave	*g;

	if (ps == NULL)
		return;
	*psp = NULL;
	while ((r = TAILQ_FIRST(&ps->restarts)) != NULL) {
		TAILQ_REMOVE(&ps->restarts, r, link);
		free(r->todo);
		free(r);
	}
	EACH_PLACE(ps, pl) {
		timer_free(&pl->timer);
		if (pl->child == NULL)
			continue;
		log_warnx("%s is killed: nobody waits for it any more", child_tag(pl->child));
		child_abandon(&pl->child);
	}
	for (size_t i = 0; i < ps->n; i++) {
		struct pool	*p = &ps->list[i];

		while ((g = TAILQ_FIRST(&p->graves)) != NULL) {
			TAILQ_REMOVE(&p->graves, g, link);
			free(g);
		}
		words_fini(&p->command);
		free(p->places);
		free(p->name);
	}
	leftovers_free(&ps->leftovers);
	loop_job_cancel(ps->loop, &ps->settle);
	timer_free(&ps->look);
	free(ps->list);
	free(ps->program);
	free(ps);
}

void
pools_start(struct pools *ps)
{
	ps->looked = loop_now(ps->loop);
	timer_arm_ms(ps->look, LOOK_MS);
	EACH_PLACE(ps, pl)
		(void)slot_event(&pl->slot, SLEV_START);
}

static bool
place_up(const struct place *pl)
{
	return pl->child != NULL && child_is_up(pl->child);
}

void
pools_self(struct pools *ps, uint64_t user, uint64_t application, uint64_t shards)
{
	ps->self = (struct msg_SELF){ .user = user, .application = application, .shards = shards };
	EACH_PLACE(ps, pl) {
		if (place_up(pl))
			(void)child_send(pl->child, MSG_SELF, &ps->self);
	}
}

void
pools_fault(struct pools *ps, struct span name, struct span spec)
{
	struct msg_FAULT	 m = { .name = name, .spec = spec };

	EACH_PLACE(ps, pl) {
		if (place_up(pl))
			(void)child_send(pl->child, MSG_FAULT, &m);
	}
}

static void
leftovers_gone(void *arg)
{
	struct pools	*ps = arg;

	leftovers_free(&ps->leftovers);
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

/*
 * Of the rest pool what serves nobody comes first: those that are not READY, then the spare.  The
 * active one is the one that was READY first (calls.h).
 */
static int
spare_first(const void *ap, const void *bp)
{
	const struct place	*a = *(struct place *const *)ap, *b = *(struct place *const *)bp;
	uint64_t		 an = a->slot.state == SLOT_READY ? a->up_order : UINT64_MAX;
	uint64_t		 bn = b->slot.state == SLOT_READY ? b->up_order : UINT64_MAX;

	return an == bn ? 0 : an > bn ? -1 : 1;
}

int
pools_restart(struct pools *ps, const char *name, enum restart_how how,
    void (*fn)(void *, const char *), void *arg)
{
	struct restart	*r = mem_alloc(sizeof(*r));
	bool		 rest = false;

	EACH_PLACE(ps, pl) {
		if (strcmp(name, pl->name) != 0 && strcmp(name, pl->pool->name) != 0)
			continue;
		r->todo = mem_grow(r->todo, r->n + 1, sizeof(struct place *));
		r->todo[r->n++] = pl;
		rest = pl->pool->rest;
	}
	if (r->n == 0) {
		free(r);
		return -1;
	}
	if (rest)
		qsort(r->todo, r->n, sizeof(struct place *), spare_first);
	r->how = how;
	r->fn = fn;
	r->arg = arg;
	TAILQ_INSERT_TAIL(&ps->restarts, r, link);
	loop_job_queue(ps->loop, &ps->settle);
	return 0;
}

void
pools_stop(struct pools *ps, bool rest, uint64_t finish_ms, uint64_t last_word_ms,
    void (*fn)(void *), void *arg)
{
	ps->stops[rest] = (struct stop){ true, fn, arg };
	EACH_PLACE(ps, pl) {
		if (pl->pool->rest != rest)
			continue;
		pl->pool->stopping = true;
		pl->pool->finish_ms = finish_ms;
		pl->pool->last_word_ms = last_word_ms;
		if (pl->slot.state == SLOT_STARTING)
			child_blame(pl->child, DEATH_ASKED, "stopped before it was ready");
		(void)slot_event(&pl->slot, SLEV_STOP);
	}
	loop_job_queue(ps->loop, &ps->settle);
}

void
pools_hurry(struct pools *ps)
{
	EACH_PLACE(ps, pl)
		(void)slot_event(&pl->slot, SLEV_HURRY);
}

size_t
pools_alive(const struct pools *ps)
{
	size_t	 n = 0;

	EACH_PLACE(ps, pl)
		n += pl->child != NULL;
	return n;
}

bool
pools_owns_pid(const struct pools *ps, pid_t pid)
{
	struct proc_stat	 st;

	for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
		EACH_PLACE(ps, pl) {
			if (pl->child != NULL && child_pid(pl->child) == pid)
				return true;
		}
		if (!proc_stat(pid, &st))
			return false;
		pid = st.ppid;
	}
	return false;
}

static void
view(struct pools *ps, const struct place *pl, struct worker_view *v)
{
	struct mono		 now = loop_now(ps->loop);
	enum slot_state		 st = pl->slot.state;
	struct proc_stat	 stat;

	memset(v, 0, sizeof(*v));
	v->pool = pl->pool->name;
	v->role = pl->pool->role;
	snprintf(v->name, sizeof(v->name), "%s", pl->name);
	v->state = slot_state_name(st);
	v->state_ms = mono_ms_between(pl->since, now);
	v->generation = pl->generation;
	v->restarts = pl->generation > 0 ? pl->generation - 1 : 0;
	v->credit = pl->pool->credit;
	v->last = newest_of(pl);
	if (st == SLOT_BACKOFF || st == SLOT_FAILED)
		v->retry_in_ms = mono_ms_until(now, pl->retry_at);
	if (pl->child == NULL)
		return;
	v->pid = child_pid(pl->child);
	v->uptime_ms = child_age_ms(pl->child);
	v->scopes = child_scopes(pl->child);
	if (proc_stat(v->pid, &stat))
		v->rss_kib = stat.rss_kib;
	if (!child_is_up(pl->child))
		return;
	v->child = pl->child;
	v->open = ps->ops.open_n(ps->arg, pl->child);
}

void
pools_each(struct pools *ps, const char *pool, void (*fn)(void *, const struct worker_view *),
    void *arg)
{
	struct worker_view	 v;

	EACH_PLACE(ps, pl) {
		if (pool != NULL && strcmp(pl->pool->name, pool) != 0)
			continue;
		view(ps, pl, &v);
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
