/*
 * child - one worker process, from its start to its burial: see child.h.  How it is made is in
 * spawn.c.
 */
#include <sys/pidfd.h>
#include <sys/wait.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/count.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/pool/childstate.h"
#include "supervisor/pool/privs.h"
#include "supervisor/pool/proc.h"
#include "supervisor/pool/spawn.h"

#define ABANDON_MS		200

/* ---- life ---- */

static void
grace_over(void *arg)
{
	struct child	*c = arg;

	if (c->reaped)
		child_bury(c);	/* a descendant holds the link: no end of file will come */
	else
		child_broke(c, "it closed its link and went on");
}

static void	 pid_readable(int, int, void *);

/* Where it can have one and needs one. */
static void
enter_group(struct child *c)
{
	const char	*why = c->cgroups->why;

	c->group.procs_fd = -1;
	if (c->limits.memory_bytes == 0 && (c->limits.processes == 0 || !c->cgroups->pids))
		return;
	if (c->cgroups->version != CGROUP_NONE && cgroup_make(c->cgroups, c->tag,
	    c->limits.memory_bytes, c->limits.processes, &c->group, &why) == 0)
		return;
	snprintf(c->group_why, sizeof(c->group_why), "%s", why);
}

/* It started without, from the next one on: better a limit that is watched than no worker. */
static void
group_refused(struct child *c)
{
	snprintf(c->cgroups->why, sizeof(c->cgroups->why),
	    "%s could not enter the group that was made for it", c->tag);
	log_warnx("%s in %s: limits of memory are kept by looking", c->cgroups->why,
	    c->cgroups->path);
	c->cgroups->version = CGROUP_NONE;
}

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
	c->own_user = sp->as != NULL && sp->as->set;
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
	what.processes = child_counted_in_group(c) ? 0 : c->limits.processes;
	what.refuse = fault_hits_for(FAULT_CHILD_EXEC, name, span_of(c->tag));
	if (spawn_worker(&what, &sd, why_r) == -1) {
		cgroup_remove(c->cgroups, &c->group);
		free(c);
		return NULL;
	}
	c->program = mem_strdup(sp->program);
	c->pid = sd.pid;
	c->pidfd = sd.pidfd;
	c->board = sd.board;
	if (!msgpack_zone_init(&c->zone, 8192))
		abort();
	voice_init(&c->voice, l, c->tag, sd.err_fd);
	c->pid_watch = watch_new(l, c->pidfd, pid_readable, c);
	watch_set(c->pid_watch, LOOP_READ);
	c->timer = timer_new(l, grace_over, c);
	if (c->group.procs_fd != -1)
		close(c->group.procs_fd);
	c->group.procs_fd = -1;
	COUNT(worker_starts);
	log_debug("%s started pid=%d", c->tag, (int)c->pid);
	child_link(c, sd.link_fd, sp);
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
	voice_fini(&c->voice);
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
	o->words = c->voice.words;
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
void
child_bury(struct child *c)
{
	struct obituary	 o;

	if (c->buried)
		return;
	c->buried = true;
	timer_stop(c->timer);
	voice_end(&c->voice);
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
		child_bury(c);
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
