/*
 * childlook - what is seen of a worker from outside: see childstate.h.
 */
#include <inttypes.h>
#include <stdio.h>

#include "common/confine.h"
#include "supervisor/pool/childstate.h"
#include "supervisor/pool/fence.h"
#include "supervisor/pool/lacks.h"
#include "supervisor/pool/proc.h"

uint64_t
child_scopes(const struct child *c)
{
	return atomic_load_explicit(&c->board->scopes, memory_order_relaxed);
}

void
child_late(const struct child *c, struct child_late *late_r)
{
	const struct board	*b = c->board;

	late_r->timers = atomic_load_explicit(&b->timers, memory_order_relaxed);
	late_r->p50_us = atomic_load_explicit(&b->late_p50_us, memory_order_relaxed);
	late_r->p99_us = atomic_load_explicit(&b->late_p99_us, memory_order_relaxed);
	late_r->max_us = atomic_load_explicit(&b->late_max_us, memory_order_relaxed);
}

uint64_t
child_running(const struct child *c, struct mono now, uint64_t *ms_r)
{
	uint64_t	 delivery = atomic_load_explicit(&c->board->delivery, memory_order_relaxed);
	struct mono	 since;

	since.us = atomic_load_explicit(&c->board->since_us, memory_order_relaxed);
	/* Written by the worker: it may be anything. */
	*ms_r = mono_is_never(since) || mono_before(now, since) ? UINT64_MAX :
	    mono_ms_between(since, now);
	/* Without a scoreboard: what its last BEAT named. */
	if (atomic_load_explicit(&c->board->tick, memory_order_relaxed) == 0 && delivery == 0 &&
	    c->beat_delivery != 0) {
		delivery = c->beat_delivery;
		*ms_r = mono_ms_between(c->beat_since, now);
	}
	return delivery;
}

bool
child_counted_in_group(const struct child *c)
{
	return c->limits.processes != 0 && c->cgroups->pids && c->group.path[0] != '\0';
}

void
child_use(const struct child *c, struct child_use *u)
{
	*u = (struct child_use){
		.quiet_ms = c->pulse.quiet_ms, .rss_kib = c->rss_kib, .hwm_kib = c->hwm_kib,
		.fds = c->fds, .memory_bytes = c->limits.memory_bytes,
		.files = c->limits.files, .core_bytes = c->limits.core_bytes,
		.confined = c->confined,
	};
	if (u->memory_bytes != 0) {
		bool	 watched = c->group.path[0] == '\0';

		u->memory_by = watched ? "watched" : cgroup_version_name(c->cgroups->version);
		u->memory_why = watched ? c->group_why : NULL;
	}
	if (c->limits.processes != 0) {
		u->processes = c->limits.processes;
		u->processes_by = child_counted_in_group(c) ? cgroup_version_name(c->cgroups->version) :
		    c->own_user ? "user" : NULL;
	}
	if (c->fenced) {
		struct lacks_of	 of = {
			.landlock = (uint64_t)confine_landlock(), .own_user = c->own_user,
			.root = c->uid == 0, .counted = u->processes_by != NULL,
		};

		u->lacks_n = lacks(&of, u->lacks);
	}
	u->running = child_running(c, loop_now(c->loop), &u->running_ms);
}

/* What it uses, now and then: /proc may cost more than the look is worth. */
static void
look_at_use(struct child *c)
{
	struct proc_status	 st;

	c->confined = (struct child_confined){
		.known = true, .hidden = true, .no_new_privs = true, .uid = c->uid,
		.landlock = c->fenced ? fence_landlock() :
		    atomic_load_explicit(&c->board->landlock, memory_order_relaxed),
	};
	if (!proc_status(c->pid, &st))
		return;
	c->rss_kib = st.rss_kib;
	c->hwm_kib = st.hwm_kib;
	c->fds = proc_fds(c->pid);
	c->confined.hidden = false;
	c->confined.uid = st.uid;
	c->confined.no_new_privs = st.no_new_privs != 0;
	c->confined.seccomp = st.seccomp != 0;
}

void
child_patience(struct child *c, uint64_t hang_ms, uint64_t stopped_ms)
{
	c->hang_ms = hang_ms;
	c->stopped_ms = stopped_ms;
}

enum life
child_look(struct child *c, uint64_t elapsed_ms)
{
	struct proc_stat	 st = { .state = 0 };
	struct msg_PING		 ping = { .cookie = 0 };
	struct life_look	 l = {
		.tick = atomic_load_explicit(&c->board->tick, memory_order_relaxed),
		.beats = c->beats,
		.elapsed_ms = elapsed_ms,
		.ready = c->up,
		.hang_ms = c->hang_ms,
		.stopped_ms = c->stopped_ms,
	};
	enum life		 life;

	if (c->reaped)
		return LIFE_FINE;
	c->since_use_ms += elapsed_ms;
	if (c->since_use_ms >= LOOK_USE_MS) {
		c->since_use_ms = 0;
		look_at_use(c);
	}
	if (life_wants_state(&c->pulse, &l))
		(void)proc_stat(c->pid, &st);
	life = life_judge(&c->pulse, &l, st.state);
	if (life == LIFE_ASK)
		(void)child_send(c, MSG_PING, &ping);
	return life == LIFE_ASK ? LIFE_FINE : life;
}

bool
child_too_large(struct child *c)
{
	char	 text[160];

	/* The kernel keeps a group's limit; resident is more: pages that others were charged for. */
	if (c->reaped || c->group.path[0] != '\0' || !limits_above(&c->limits, c->rss_kib))
		return false;
	snprintf(text, sizeof(text), "out of memory: it uses %" PRIu64 " MiB, its limit is %" PRIu64
	    " MiB", c->rss_kib / 1024, c->limits.memory_bytes / (1024 * 1024));
	child_blame(c, DEATH_MEMORY, text);
	return true;
}
