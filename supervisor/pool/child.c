/*
 * child - see child.h.  How a process is made is in spawn.c.
 */
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/count.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/measure.h"
#include "common/mem.h"
#include "common/secret.h"
#include "proto/contract.h"
#include "supervisor/pool/child.h"
#include "supervisor/pool/fence.h"
#include "supervisor/pool/lastwords.h"
#include "supervisor/pool/lines.h"
#include "supervisor/pool/privs.h"
#include "supervisor/pool/proc.h"
#include "supervisor/pool/spawn.h"

#define STDERR_TURN_BYTES	8192	/* read from stderr in one loop turn */
#define STDERR_LAST_BYTES	(128u * 1024)	/* read after death: more than a pipe holds */
#define LOG_BYTES		1024	/* a line of LOG: messages.def */
#define LINES_PER_SECOND	200	/* of one child, stderr and LOG together */
#define LINK_GRACE_MS		1000	/* from the end of the link to that of the process */
#define OUT_MAX_BYTES		(2u * PROTO_FRAME_MAX)
#define PONG_BACKLOG_BYTES	(1u << 20)	/* unread by it: no PONG on top */
#define LOOK_USE_MS		1000	/* between two looks at memory and descriptors */
#define SESSIONS_MAX		4
#define ABANDON_MS		200

struct child {
	struct loop		*loop;
	struct child_ops	 ops;
	void			*arg, *peer;
	char			 tag[64], pool[40];
	char			*program;
	uint32_t		 slot;
	uint64_t		 generation;
	bool			 rest, web, fenced;
	uid_t			 uid;
	uint64_t		 hang_ms, stopped_ms, start_deadline_ms;
	struct limits		 limits;
	struct cgroups		*cgroups;
	struct cgroup		 group;
	char			 group_why[256];	/* why there is none; empty */

	pid_t			 pid;
	int			 pidfd, err_fd;		/* -1: closed */
	struct watch		*pid_watch, *err_watch;
	struct chan		*chan;
	msgpack_zone		 zone;
	const struct board	*board;			/* mapped for reading */
	struct timer		*timer;			/* LINK_GRACE_MS */

	struct mono		 born, up_at, down_at;
	bool			 up, asked, link_gone, reaped, buried, deaf;
	enum death		 blame;
	bool			 blamed;
	char			 blame_text[192];

	/* what was seen of its progress, and of its use */
	struct pulse		 pulse;
	uint64_t		 beats;			/* BEAT and PONG */
	uint64_t		 beat_delivery;		/* what the last BEAT named */
	struct mono		 beat_since;		/* the first that named it */
	uint64_t		 since_use_ms;
	uint64_t		 fork_rss_kib;		/* ours, when it was forked */
	uint64_t		 rss_kib, hwm_kib, fds;	/* 0: not looked yet */
	struct child_confined	 confined;

	/* what it said */
	struct lines		 lines;
	struct last_words	 words;
	struct mono		 second;
	unsigned		 said;
	uint64_t		 unsaid;
	struct buf		 events, verbs;	/* of READY */
	struct session_view	 sessions[SESSIONS_MAX];
	size_t			 sessions_n;

	int			 status;
	struct rusage		 usage;
};

static void	 bury(struct child *);

/* ---- what it says ---- */

static void
report_unsaid(struct child *c)
{
	if (c->unsaid > 0)
		log_warnx("%s says too much: lines not logged n=%llu", c->tag,
		    (unsigned long long)c->unsaid);
	c->unsaid = 0;
}

static bool
may_say(struct child *c)
{
	struct mono	 now = loop_now(c->loop);

	if (mono_is_never(c->second) || mono_ms_between(c->second, now) >= 1000) {
		report_unsaid(c);
		c->second = now;
		c->said = 0;
	}
	if (c->said < LINES_PER_SECOND) {
		c->said++;
		return true;
	}
	c->unsaid++;
	return false;
}

static void
stderr_line(void *arg, struct span line)
{
	struct child	*c = arg;

	last_words_add(&c->words, line);
	if (may_say(c))
		log_line(LOG_NOTICE, c->tag, line);
}

static void
stderr_close(struct child *c)
{
	watch_free(&c->err_watch);
	if (c->err_fd != -1)
		close(c->err_fd);
	c->err_fd = -1;
}

/* At most max bytes.  False: there is no more, now or ever. */
static bool
stderr_read(struct child *c, size_t max)
{
	char	 bytes[STDERR_TURN_BYTES];

	while (c->err_fd != -1 && max > 0) {
		ssize_t	 n = read(c->err_fd, bytes, max < sizeof(bytes) ? max : sizeof(bytes));

		if (n > 0) {
			lines_add(&c->lines, bytes, (size_t)n, stderr_line, c);
			max -= (size_t)n;
			continue;
		}
		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0 || errno != EAGAIN)
			stderr_close(c);
		return false;
	}
	return c->err_fd != -1;
}

static void
stderr_readable(int fd, int what, void *arg)
{
	(void)fd;
	(void)what;
	(void)stderr_read(arg, STDERR_TURN_BYTES);
}

/* ---- the link ---- */

static void
broke(struct child *c, const char *why)
{
	if (c->deaf)
		return;
	c->deaf = true;		/* what follows a protocol error means nothing */
	child_blame(c, DEATH_PROTOCOL, why);
	if (!c->reaped) {
		log_warnx("%s broke the protocol: %s", c->tag, why);
		c->ops.on_broke(c->arg, c);
	}
}

static void
take_log(struct child *c, const struct msg_LOG *m)
{
	char	 line[LOG_BYTES + 1];

	if (!may_say(c))
		return;
	/* Whoever reads the obituary, which cuts it, wants to know what it said of its end. */
	if (m->level <= LOG_ERR && m->class.n == 0) {
		size_t	 n = span_copy(m->line, line, sizeof(line));

		(void)secret_mask(line, n);
		last_words_add(&c->words, span_make(line, n));
	}
	if (m->class.n > 0)
		log_trace_line(m->class, c->tag, m->line);
	else
		log_line((int)m->level, c->tag, m->line);
}

static int
take_count(const struct msg_COUNT *m, const char **why_r)
{
	struct msg_list_iter	 it = { m->deltas.raw, 0 };
	struct span		 name;
	uint64_t		 n;

	while (msg_list_more(&it)) {
		if (!msg_list_next_str(&it, &name) || !msg_list_next_u64(&it, &n)) {
			*why_r = "COUNT with a column of the wrong kind";
			return -1;
		}
		/* A counter that this build does not know is a newer worker's: no harm. */
		(void)count_add_named(name, n);
	}
	return 0;
}

static int
take_measure(const struct child *c, const struct msg_MEASURE *m, const char **why_r)
{
	struct msg_list_iter	 it = { m->steps.raw, 0 };
	uint64_t		 step, n;

	if (!c->rest) {
		*why_r = "MEASURE from a worker that is no rest worker";
		return -1;
	}
	while (msg_list_more(&it)) {
		if (!msg_list_next_u64(&it, &step) || !msg_list_next_u64(&it, &n)) {
			*why_r = "MEASURE with a column of the wrong kind";
			return -1;
		}
		(void)measure_gain(m->name, step, n);
	}
	(void)measure_gain_sum(m->name, m->sum_us);
	return 0;
}

static void
take_session(struct child *c, const struct msg_SESSION *m)
{
	struct session_view	*s = NULL;

	for (size_t i = 0; i < c->sessions_n && s == NULL; i++) {
		if (span_is(m->tag, c->sessions[i].tag))
			s = &c->sessions[i];
	}
	if (s == NULL && c->sessions_n < SESSIONS_MAX)
		s = &c->sessions[c->sessions_n++];
	if (s == NULL) {
		memmove(&c->sessions[0], &c->sessions[1],
		    sizeof(c->sessions[0]) * (SESSIONS_MAX - 1));
		s = &c->sessions[SESSIONS_MAX - 1];
	}
	span_copy(m->tag, s->tag, sizeof(s->tag));
	span_copy(m->why, s->why, sizeof(s->why));
	s->state = (unsigned)m->state;
	s->wall_ms = clock_wall_ms();
}

static int
take(struct child *c, const struct msg_in *in, const char **why_r)
{
	static char		 why[128];
	const struct msg_def	*def = msg_def(in->type);

	*why_r = why;
	if (def->sender != MSG_FROM_WORKER && def->sender != MSG_FROM_EITHER) {
		snprintf(why, sizeof(why), "%s is not for a worker to send", def->name);
		return -1;
	}
	switch (in->type) {
	case MSG_LOG:
		take_log(c, &in->LOG);
		return 0;
	case MSG_COUNT:
		return take_count(&in->COUNT, why_r);
	case MSG_MEASURE:
		return take_measure(c, &in->MEASURE, why_r);
	case MSG_SESSION:
		take_session(c, &in->SESSION);
		return 0;
	case MSG_PING: {
		struct msg_PONG	 pong = { .cookie = in->PING.cookie };

		if (child_unread_bytes(c) <= PONG_BACKLOG_BYTES)
			(void)child_send(c, MSG_PONG, &pong);
		return 0;
	}
	case MSG_READY:
		if (!mono_is_never(c->up_at)) {
			snprintf(why, sizeof(why), "READY twice");
			return -1;
		}
		if (in->READY.version != PROTO_VERSION) {
			snprintf(why, sizeof(why), "it speaks version %" PRIu64 ", we speak %u",
			    in->READY.version, PROTO_VERSION);
			return -1;
		}
		buf_reset(&c->events);
		buf_add_span(&c->events, in->READY.events.raw);
		buf_reset(&c->verbs);
		buf_add_span(&c->verbs, in->READY.verbs.raw);
		if (c->reaped)
			c->deaf = true;		/* too late to be anybody's worker */
		else
			c->ops.on_ready(c->arg, c);
		return 0;
	default:
		break;
	}
	if (mono_is_never(c->up_at)) {
		snprintf(why, sizeof(why), "%s before READY", def->name);
		return -1;
	}
	switch (in->type) {
	case MSG_BEAT:
		if (in->BEAT.delivery != c->beat_delivery)
			c->beat_since = loop_now(c->loop);
		c->beat_delivery = in->BEAT.delivery;
		c->beats++;
		return 0;
	case MSG_PONG:
		c->beats++;
		return 0;
	default:
		return c->ops.on_msg(c->arg, c, in, why_r);
	}
}

static void
on_frame(struct chan *ch, struct span frame, void *arg)
{
	struct child	*c = arg;
	struct msg_in	 in;
	const char	*why = "?";

	(void)ch;
	if (c->deaf)
		return;
	if (msg_unpack(frame, &c->zone, &in) == -1)
		broke(c, in.why);
	else if (take(c, &in, &why) == -1)
		broke(c, why);
	msgpack_zone_clear(&c->zone);
}

static void
on_gone(struct chan *ch, const char *why, void *arg)
{
	struct child	*c = arg;

	(void)ch;
	c->link_gone = true;
	if (c->reaped) {
		bury(c);
		return;
	}
	/* An end is a hint: the process is about to end too.  Anything else it did by itself. */
	if (strncmp(why, "end of file", 11) == 0 || strncmp(why, "read:", 5) == 0 ||
	    strncmp(why, "write:", 6) == 0)
		timer_arm_ms(c->timer, LINK_GRACE_MS);
	else
		broke(c, why);
}

static void
grace_over(void *arg)
{
	struct child	*c = arg;

	if (c->reaped)
		bury(c);	/* a descendant holds the link: no end of file will come */
	else
		broke(c, "it closed its link and went on");
}

int
child_send(struct child *c, enum msg_type type, const void *src)
{
	/* A write to the dead would fail and could cut off what it still has to say. */
	if (c->reaped || c->link_gone || c->chan == NULL || chan_gone(c->chan))
		return -1;
	return chan_send(c->chan, type, src);
}

void
child_hung(struct child *c, const char *why)
{
	log_warnx("%s is hung: %s", c->tag, why);
	child_blame(c, DEATH_HUNG, why);
	c->ops.on_hung(c->arg, c);
}

size_t
child_unread_bytes(const struct child *c)
{
	return c->chan == NULL ? 0 : chan_queued_bytes(c->chan);
}

/* ---- life ---- */

static int
say_hello(struct child *c, const struct child_spec *sp)
{
	struct msg_HELLO	 m = {
		.version = PROTO_VERSION,
		.role = span_of(sp->role),
		.pool = span_of(sp->pool),
		.slot = sp->slot,
		.generation = sp->generation,
		.credit = sp->credit,
		.hang_ms = sp->hang_ms,
		.drain_ms = sp->drain_ms,
		.last_word_ms = sp->last_word_ms,
		.options = sp->options,
		.state = SPAN_NONE,
	};

	return child_send(c, MSG_HELLO, &m);
}

static void	 pid_readable(int, int, void *);

/* Where it can have one and needs one. */
static void
enter_group(struct child *c)
{
	const char	*why = c->cgroups->why;

	c->group.procs_fd = -1;
	if (c->limits.memory_bytes == 0)
		return;
	if (c->cgroups->version != CGROUP_NONE &&
	    cgroup_make(c->cgroups, c->tag, c->limits.memory_bytes, &c->group, &why) == 0)
		return;
	snprintf(c->group_why, sizeof(c->group_why), "%s", why);
}

/* It started without, from the next one on: better a limit that is watched than no worker. */
static void
group_refused(struct child *c)
{
	snprintf(c->cgroups->why, sizeof(c->cgroups->why),
	    "%s could not enter the group that was made for it", c->tag);
	log_warnx("%s in %s: memory limits are kept by looking", c->cgroups->why,
	    c->cgroups->path);
	c->cgroups->version = CGROUP_NONE;
}

static const struct chan_ops link_ops = { .on_frame = on_frame, .on_gone = on_gone };

struct child *
child_spawn(struct loop *l, const struct child_spec *sp, const struct child_ops *ops, void *arg,
    const char **why_r)
{
	struct child	*c = mem_alloc(sizeof(*c));
	struct spawn_what what = {
		.program = sp->program, .argv = sp->argv, .env = sp->env, .env_n = sp->env_n,
		.fence = sp->fence, .as = sp->as,
		.rest = sp->rest, .files = sp->limits.files, .core_bytes = sp->limits.core_bytes,
	};
	struct proc_stat self;
	struct spawned	 sd;
	char		 name[48];

	c->loop = l;
	c->ops = *ops;
	c->arg = arg;
	c->slot = sp->slot;
	c->generation = sp->generation;
	c->rest = sp->rest;
	c->web = sp->web;
	c->fenced = sp->fence != NULL;
	c->uid = sp->as != NULL && sp->as->set ? sp->as->uid : geteuid();
	c->hang_ms = sp->hang_ms;
	c->stopped_ms = sp->stopped_ms;
	c->start_deadline_ms = sp->start_deadline_ms;
	c->limits = sp->limits;
	c->cgroups = sp->cgroups;
	snprintf(c->pool, sizeof(c->pool), "%s", sp->pool);
	snprintf(c->tag, sizeof(c->tag), "%s.%u#%" PRIu64, sp->pool, (unsigned)sp->slot,
	    sp->generation);
	c->born = clock_mono();
	c->fork_rss_kib = proc_stat(getpid(), &self) ? self.rss_kib : UINT64_MAX;
	snprintf(name, sizeof(name), "%s.%u", sp->pool, (unsigned)sp->slot);
	enter_group(c);
	what.cgroup_fd = c->group.procs_fd;
	what.refuse = fault_hits_for(FAULT_CHILD_EXEC, name, span_of(c->tag));
	if (spawn_worker(&what, &sd, why_r) == -1) {
		cgroup_remove(c->cgroups, &c->group);
		free(c);
		return NULL;
	}
	c->program = mem_strdup(sp->program);
	c->pid = sd.pid;
	c->pidfd = sd.pidfd;
	c->err_fd = sd.err_fd;
	c->board = sd.board;
	if (!msgpack_zone_init(&c->zone, 8192))
		abort();
	c->err_watch = watch_new(l, c->err_fd, stderr_readable, c);
	watch_set(c->err_watch, LOOP_READ);
	c->pid_watch = watch_new(l, c->pidfd, pid_readable, c);
	watch_set(c->pid_watch, LOOP_READ);
	c->timer = timer_new(l, grace_over, c);
	if (c->group.procs_fd != -1)
		close(c->group.procs_fd);
	c->group.procs_fd = -1;
	c->chan = chan_new(l, sd.link_fd, c->tag, PROTO_FRAME_MAX, &link_ops, c);
	chan_out_max(c->chan, OUT_MAX_BYTES);
	COUNT(worker_starts);
	log_debug("%s started pid=%d", c->tag, (int)c->pid);
	(void)say_hello(c, sp);
	return c;
}

static void
free_parked(void *arg)
{
	struct child	*c = arg;

	spawn_board_free(&c->board);
	msgpack_zone_destroy(&c->zone);
	free(c->program);
	free(c);
}

void
child_free(struct child **cp)
{
	struct child	*c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	assert(c->reaped);
	cgroup_remove(c->cgroups, &c->group);
	stderr_close(c);
	watch_free(&c->pid_watch);
	close(c->pidfd);
	timer_free(&c->timer);
	chan_free(&c->chan);
	buf_fini(&c->events);
	buf_fini(&c->verbs);
	loop_park(c->loop, c, free_parked);
}

void
child_abandon(struct child **cp)
{
	struct child	*c = *cp;
	struct pollfd	 p = { .fd = c->pidfd, .events = POLLIN };

	child_signal(c, SIGKILL);
	if (!c->reaped && poll(&p, 1, ABANDON_MS) == 1)
		(void)waitpid(c->pid, NULL, WNOHANG);
	c->reaped = true;
	child_free(cp);
}

void
child_blame(struct child *c, enum death cause, const char *text)
{
	if (c->blamed)
		return;
	c->blamed = true;
	c->blame = cause;
	snprintf(c->blame_text, sizeof(c->blame_text), "%s", text == NULL ? "" : text);
}

void
child_signal(struct child *c, int signo)
{
	/* ESRCH: it died by itself and its pidfd is about to say so. */
	if (!c->reaped && pidfd_send_signal(c->pidfd, signo, NULL, 0) == -1 && errno != ESRCH)
		log_warn("%s signal %d not sent", c->tag, signo);
}

void
child_drain(struct child *c, uint64_t finish_ms, uint64_t last_word_ms)
{
	struct msg_DRAIN	 m = { .finish_ms = finish_ms, .last_word_ms = last_word_ms };

	c->asked = true;
	(void)child_send(c, MSG_DRAIN, &m);
}

void
child_up(struct child *c)
{
	c->up = true;
	c->up_at = loop_now(c->loop);
	c->pulse = (struct pulse){ 0 };
	c->since_use_ms = LOOK_USE_MS;	/* the first look is at once */
}

bool
child_is_up(const struct child *c)
{
	return c->up;
}

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
child_age_ms(const struct child *c)
{
	return mono_ms_between(c->born, loop_now(c->loop));
}

uint64_t
child_ready_ms(const struct child *c)
{
	if (mono_is_never(c->up_at))
		return 0;
	return mono_ms_between(c->up_at, c->reaped ? c->down_at : loop_now(c->loop));
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
	if (atomic_load_explicit(&c->board->tick, memory_order_relaxed) == 0 && delivery == 0 && c->beat_delivery != 0) {
		delivery = c->beat_delivery;
		*ms_r = mono_ms_between(c->beat_since, now);
	}
	return delivery;
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

/* ---- death ---- */

static uint64_t
timeval_ms(struct timeval tv)
{
	return (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000;
}

/*
 * The kernel counts what the process was between fork and exec, a copy of us, as its own.  A figure
 * above that is its own; else what was seen of it while it lived has to do.
 */
static uint64_t
own_rss_kib(const struct child *c)
{
	uint64_t	 most = (uint64_t)c->usage.ru_maxrss;

	return most > c->fork_rss_kib ? most : c->hwm_kib;
}

static void
write_obituary(struct child *c, struct obituary *o)
{
	char			 why[256];
	struct death_facts	 f = {
		.status = c->status, .blamed = c->blamed, .blame = c->blame,
		.blame_text = c->blame_text, .asked = c->asked, .program = c->program,
		.hang_ms = c->hang_ms, .stopped_ms = c->stopped_ms,
		.start_deadline_ms = c->start_deadline_ms,
	};

	memset(o, 0, sizeof(*o));
	snprintf(o->tag, sizeof(o->tag), "%s", c->tag);
	o->pid = c->pid;
	o->generation = c->generation;
	o->age_ms = mono_ms_between(c->born, c->down_at);
	o->wall_ms = clock_wall_ms();
	o->was_ready = c->up;
	o->max_rss_kib = own_rss_kib(c);
	o->user_ms = timeval_ms(c->usage.ru_utime);
	o->sys_ms = timeval_ms(c->usage.ru_stime);
	o->fds = c->fds;
	o->words = c->words;
	o->memory_bytes = c->limits.memory_bytes;
	f.oom = cgroup_oom_kills(c->cgroups, &c->group) > 0;
	o->scopes = child_scopes(c);
	o->running = child_running(c, c->down_at, &o->running_ms);
	o->idle = o->running == 0 &&
	    atomic_load_explicit(&c->board->tick, memory_order_relaxed) > 0;
	if (c->up) {
		o->open = c->ops.open_n(c->arg, c);
		o->held_n = c->ops.held(c->arg, c, o->held, OBITUARY_HELD);
	}
	if (o->running != 0 && c->up)
		(void)c->ops.holds(c->arg, c, o->running, &o->what);
	if (WIFEXITED(c->status) && WEXITSTATUS(c->status) == SPAWN_EXIT_FAILED &&
	    spawn_failed(c->board, c->program, why, sizeof(why)))
		f.exec_failed = why;
	if (f.exec_failed != NULL && spawn_failed_in_group(c->board))
		group_refused(c);
	obituary_judge(o, &f);
}

/* Once both are over, the process and its link: what it sent before its end has been handled. */
static void
bury(struct child *c)
{
	struct obituary	 o;

	if (c->buried)
		return;
	c->buried = true;
	timer_stop(c->timer);
	(void)stderr_read(c, STDERR_LAST_BYTES);
	lines_end(&c->lines, stderr_line, c);
	report_unsaid(c);
	write_obituary(c, &o);
	c->ops.on_dead(c->arg, c, &o);
}

static void
pid_readable(int fd, int what, void *arg)
{
	struct child	*c = arg;
	pid_t		 pid;

	(void)fd;
	(void)what;
	/* While it is not reaped its number names its group too: what it started ends with it. */
	(void)kill(-c->pid, SIGKILL);
	pid = wait4(c->pid, &c->status, WNOHANG, &c->usage);
	if (pid == 0 || (pid == -1 && errno == EINTR))
		return;
	if (pid == -1) {
		log_warn("%s wait4", c->tag);
		c->status = 0;
	}
	watch_set(c->pid_watch, 0);
	c->reaped = true;
	c->down_at = clock_mono();
	if (c->link_gone)
		bury(c);
	else
		timer_arm_ms(c->timer, LINK_GRACE_MS);
}

/* ---- looks ---- */

const char *
child_tag(const struct child *c)
{
	return c->tag;
}

const char *
child_pool(const struct child *c)
{
	return c->pool;
}

bool
child_is_rest(const struct child *c)
{
	return c->rest;
}

bool
child_is_web(const struct child *c)
{
	return c->web;
}

uint32_t
child_slot(const struct child *c)
{
	return c->slot;
}

pid_t
child_pid(const struct child *c)
{
	return c->pid;
}

void *
child_peer(const struct child *c)
{
	return c->peer;
}

void
child_peer_set(struct child *c, void *peer)
{
	c->peer = peer;
}

struct msg_list
child_events(const struct child *c)
{
	return msg_list_of(&c->events);
}

bool
child_answers(const struct child *c, struct span verb)
{
	struct msg_list_iter	 it = { buf_span(&c->verbs), 0 };
	struct span		 name, help;

	while (msg_list_more(&it) && msg_list_next_str(&it, &name) &&
	    msg_list_next_str(&it, &help))
		if (span_eq(name, verb))
			return true;
	return false;
}

size_t
child_sessions(const struct child *c, const struct session_view **out_r)
{
	*out_r = c->sessions;
	return c->sessions_n;
}
