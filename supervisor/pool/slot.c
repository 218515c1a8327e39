/*
 * slot - the table, its guards and its actions.  See slot.h.
 */
#include <assert.h>
#include <string.h>
#include "supervisor/pool/slot.h"

#define IN(s)	(1u << SLOT_##s)
#define STAY	SLOT__STATES_N
#define EMPTY	(IN(BACKOFF) | IN(FAILED) | IN(HELD))	/* wanted, without a process */
#define YOUNG	(IN(SPAWNING) | IN(STARTING))
#define LIVE	(IN(STARTING) | IN(READY) | IN(DRAINING))
#define FULL	(YOUNG | IN(READY) | IN(DRAINING) | IN(STOPPING))

static bool	is_stopping(const struct slot *s) { return s->stopping; }
static bool	is_wanted(const struct slot *s) { return !s->stopping; }
static bool	is_again(const struct slot *s) { return s->again; }
static bool	is_held(const struct slot *s) { return s->hold; }
static bool	is_failed(const struct slot *s) { return s->throttle.failed; }
static bool	is_parked(const struct slot *s) { return s->parked; }
static bool	is_once(const struct slot *s) { return s->once; }
static bool	is_at_once(const struct slot *s) { return s->wait_ms == 0; }

static void
do_spawn(struct slot *s)
{
	s->again = s->hold = s->parked = false;
	s->ops->spawn(s);
}

/* What an operator starts is not held back by what was before. */
static void
do_spawn_fresh(struct slot *s)
{
	throttle_init(&s->throttle);
	do_spawn(s);
}

static void
do_pardon(struct slot *s)
{
	throttle_init(&s->throttle);
}

static void
do_await(struct slot *s)
{
	s->ops->await_ready(s);
}

static void
do_up(struct slot *s)
{
	s->ops->up(s);
}

static void
do_replace(struct slot *s)
{
	s->again = true;
	s->ops->drain(s);
}

static void
do_again(struct slot *s)
{
	s->again = true;
}

static void
do_resume(struct slot *s)
{
	s->parked = false;
	s->again = true;
}

static void
do_park(struct slot *s)
{
	s->parked = true;
}

static void
do_park_drain(struct slot *s)
{
	s->parked = true;
	s->ops->drain(s);
}

static void
do_park_end(struct slot *s)
{
	s->parked = true;
	s->ops->kill(s);
}

static void
do_drain(struct slot *s)
{
	s->stopping = true;
	s->ops->drain(s);
}

static void
do_end(struct slot *s)
{
	s->stopping = true;
	s->ops->kill(s);
}

static void
do_stop(struct slot *s)
{
	s->stopping = true;
}

static void
do_hurry(struct slot *s)
{
	s->ops->hurry(s);
}

static void
do_abort(struct slot *s)
{
	s->ops->abort(s);
}

static void
do_kill(struct slot *s)
{
	s->ops->kill(s);
}

static void
do_retry(struct slot *s)
{
	s->ops->retry(s, s->wait_ms);
}

static const struct edge {		/* first row whose state, event and guard match wins */
	unsigned int	  from;
	enum slot_event	  ev;
	bool		(*guard)(const struct slot *);
	enum slot_state	  to;
	void		(*act)(struct slot *);
} edges[] = {
	{ IN(OFF),		SLEV_START,	is_wanted,	SLOT_SPAWNING,	do_spawn },
	{ IN(OFF) | EMPTY,	SLEV_RESTART,	is_wanted,	SLOT_SPAWNING,	do_spawn_fresh },
	{ IN(BACKOFF) | IN(FAILED), SLEV_TIMEOUT, NULL,		SLOT_SPAWNING,	do_spawn },
	{ IN(SPAWNING),		SLEV_SPAWNED,	NULL,		SLOT_STARTING,	do_await },
	{ IN(STARTING),		SLEV_READY,	NULL,		SLOT_READY,	do_up },

	/* A new process is on its way already: the operator gets that one. */
	{ YOUNG,		SLEV_RESTART,	NULL,		STAY,		do_pardon },
	{ IN(READY),		SLEV_RESTART,	NULL,		SLOT_DRAINING,	do_replace },
	{ IN(DRAINING) | IN(STOPPING), SLEV_RESTART, NULL,	STAY,		do_again },

	{ IN(OFF) | EMPTY,	SLEV_DRAIN,	is_wanted,	SLOT_DRAINED,	NULL },
	{ IN(DRAINED),		SLEV_DRAIN,	NULL,		STAY,		NULL },
	{ IN(STARTING),		SLEV_DRAIN,	NULL,		SLOT_STOPPING,	do_park_end },
	{ IN(READY),		SLEV_DRAIN,	NULL,		SLOT_DRAINING,	do_park_drain },
	{ IN(DRAINING) | IN(STOPPING), SLEV_DRAIN, NULL,	STAY,		do_park },
	{ IN(DRAINED) | EMPTY,	SLEV_RESUME,	is_wanted,	SLOT_SPAWNING,	do_spawn_fresh },
	{ YOUNG,		SLEV_RESUME,	NULL,		STAY,		do_pardon },
	{ IN(READY),		SLEV_RESUME,	NULL,		STAY,		NULL },
	{ IN(DRAINING) | IN(STOPPING), SLEV_RESUME, NULL,	STAY,		do_resume },

	/* Nothing was ever given to a process that is not READY: no drain for it. */
	{ IN(STARTING),		SLEV_STOP,	NULL,		SLOT_STOPPING,	do_end },
	{ IN(READY),		SLEV_STOP,	NULL,		SLOT_DRAINING,	do_drain },
	{ IN(DRAINING),		SLEV_STOP,	NULL,		STAY,		do_drain },
	{ IN(STOPPING),		SLEV_STOP,	NULL,		STAY,		do_stop },
	{ IN(OFF) | IN(DRAINED) | EMPTY, SLEV_STOP, NULL,	SLOT_OFF,	do_stop },
	{ IN(DRAINING),		SLEV_HURRY,	NULL,		STAY,		do_hurry },

	{ IN(STARTING) | IN(DRAINING), SLEV_TIMEOUT, NULL,	SLOT_STOPPING,	do_kill },
	{ LIVE,			SLEV_HUNG,	NULL,		SLOT_STOPPING,	do_abort },
	{ LIVE,			SLEV_HALTED,	NULL,		SLOT_STOPPING,	do_kill },
	{ LIVE,			SLEV_BROKE,	NULL,		SLOT_STOPPING,	do_kill },
	/* SIGABRT did not end it, or it stopped itself or talks nonsense while it dies. */
	{ IN(STOPPING),		SLEV_TIMEOUT,	NULL,		STAY,		do_kill },
	{ IN(STOPPING),		SLEV_HALTED,	NULL,		STAY,		do_kill },
	{ IN(STOPPING),		SLEV_BROKE,	NULL,		STAY,		do_kill },

	{ FULL,			SLEV_GONE,	is_stopping,	SLOT_OFF,	NULL },
	{ FULL,			SLEV_GONE,	is_parked,	SLOT_DRAINED,	NULL },
	{ FULL,			SLEV_GONE,	is_once,	SLOT_OFF,	NULL },
	{ FULL,			SLEV_GONE,	is_again,	SLOT_SPAWNING,	do_spawn_fresh },
	{ FULL,			SLEV_GONE,	is_held,	SLOT_HELD,	NULL },
	{ FULL,			SLEV_GONE,	is_failed,	SLOT_FAILED,	do_retry },
	{ FULL,			SLEV_GONE,	is_at_once,	SLOT_SPAWNING,	do_spawn },
	{ FULL,			SLEV_GONE,	NULL,		SLOT_BACKOFF,	do_retry },
};

void
slot_init(struct slot *s, const struct slot_ops *ops)
{
	memset(s, 0, sizeof(*s));
	s->ops = ops;
	throttle_init(&s->throttle);
}

/* The one place that writes the state. */
static void
enter(struct slot *s, enum slot_state to, enum slot_event why)
{
	enum slot_state	 from = s->state;

	s->state = to;
	s->ops->changed(s, from, why);
}

bool
slot_event(struct slot *s, enum slot_event ev)
{
	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		const struct edge	*e = &edges[i];

		if (e->ev != ev || (e->from & (1u << s->state)) == 0)
			continue;
		if (e->guard != NULL && !e->guard(s))
			continue;
		if (e->to != STAY && e->to != s->state)
			enter(s, e->to, ev);
		if (e->act != NULL)
			e->act(s);
		return true;
	}
	return false;
}

bool
slot_gone(struct slot *s, const struct slot_death *d)
{
	if ((FULL & (1u << s->state)) == 0)
		return false;
	s->hold = d->hold;
	s->wait_ms = throttle_died(&s->throttle, d->now, d->was_ready, d->ready_ms, d->random);
	return slot_event(s, SLEV_GONE);
}

const char *
slot_state_name(enum slot_state st)
{
	static const char *const names[] = {
#define X(id, text) [SLOT_##id] = text,
		SLOT_STATES(X)
#undef X
	};

	assert(st < SLOT__STATES_N);
	return names[st];
}

const char *
slot_event_name(enum slot_event ev)
{
	static const char *const names[] = {
#define X(id) [SLEV_##id] = #id,
		SLOT_EVENTS(X)
#undef X
	};

	assert(ev < SLEV__N);
	return names[ev];
}
