/*
 * loop - the one event loop of a process, on libevent.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "common/loop.h"
#include "common/mem.h"

struct tail {
	void		(*fn)(void *);
	void		*arg;
};

struct parked {
	void		*obj;
	void		(*free_fn)(void *);
};

TAILQ_HEAD(loop_jobs, loop_job);

struct loop {
	struct event_base	*base;
	struct tail		*tails;
	size_t			 tails_n;
	struct parked		*parked;
	size_t			 parked_n, parked_cap;
	struct loop_jobs	 jobs;
	struct loop_job		 mark;		/* in jobs while a tail runs those before it */
	struct mono		 now;		/* never: nobody has asked in this turn */
	uint64_t		 turns;
	struct histo		 late;
	bool			 in_turn;
	bool			 again;
	bool			 stop;
};

struct timer {
	struct loop	*loop;
	struct event	*ev;
	struct mono	 due;		/* when it was armed for */
	void		(*fn)(void *);
	void		*arg;
};

struct watch {
	struct loop	*loop;
	struct event	*rd, *wr;	/* two events: a change of one is one epoll_ctl */
	void		(*fn)(int, int, void *);
	void		*arg;
	int		 what;
};

struct sigwatch {
	struct loop	*loop;
	struct event	*ev;
	void		(*fn)(int, void *);
	void		*arg;
};

struct loop *
loop_new(void)
{
	struct event_config	*cfg;
	struct event_base	*base = NULL;
	struct loop		*l;

	if ((cfg = event_config_new()) != NULL) {
		/*
		 * The cached time would let a timer that is armed late in a long turn fire
		 * early: reading the clock costs some 30 ns.
		 */
		if (event_config_set_flag(cfg,
		    EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME) == 0)
			base = event_base_new_with_config(cfg);
		event_config_free(cfg);
	}
	if (base == NULL) {
		if (errno == 0)
			errno = ENOMEM;
		return NULL;
	}
	l = mem_alloc(sizeof(*l));
	l->base = base;
	TAILQ_INIT(&l->jobs);
	return l;
}

static void
free_parked(struct loop *l)
{
	/* By index: a free may park more, and the array may move. */
	for (size_t i = 0; i < l->parked_n; i++) {
		struct parked	 p = l->parked[i];

		p.free_fn(p.obj);
	}
	l->parked_n = 0;
}

void
loop_free(struct loop **lp)
{
	struct loop	*l = *lp;

	if (l == NULL)
		return;
	assert(!l->in_turn);
	free_parked(l);
	/* evdns ends cancelled requests by a callback in the next turn: without it they leak. */
	event_base_loop(l->base, EVLOOP_NONBLOCK);
	free_parked(l);
	assert(TAILQ_EMPTY(&l->jobs));
	event_base_free(l->base);
	free(l->tails);
	free(l->parked);
	free(l);
	*lp = NULL;
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

static void
run_tail(struct loop *l)
{
	struct loop_job	*job;

	for (size_t i = 0; i < l->tails_n; i++) {
		struct tail	 t = l->tails[i];

		t.fn(t.arg);
	}
	TAILQ_INSERT_TAIL(&l->jobs, &l->mark, link);
	while ((job = TAILQ_FIRST(&l->jobs)) != &l->mark) {
		TAILQ_REMOVE(&l->jobs, job, link);
		job->queued = false;
		job->fn(job->arg);
	}
	TAILQ_REMOVE(&l->jobs, &l->mark, link);
	free_parked(l);
}

/* False when there was nothing to wait for and the tail made nothing either. */
static bool
one_turn(struct loop *l, bool hurry)
{
	int	 rc;

	assert(!l->in_turn);
	hurry = hurry || l->again || l->parked_n > 0 || !TAILQ_EMPTY(&l->jobs);
	l->again = false;
	l->in_turn = true;
	l->turns++;
	rc = event_base_loop(l->base, EVLOOP_ONCE | (hurry ? EVLOOP_NONBLOCK : 0));
	run_tail(l);
	l->in_turn = false;
	l->now = MONO_NEVER;
	return rc == 0 || hurry || l->again || !TAILQ_EMPTY(&l->jobs);
}

void
loop_run(struct loop *l)
{
	while (!l->stop && one_turn(l, false))
		;
	l->stop = false;
}

void
loop_turn(struct loop *l)
{
	(void)one_turn(l, true);
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}

struct mono
loop_now(struct loop *l)
{
	if (!l->in_turn)
		return clock_mono();
	if (mono_is_never(l->now))
		l->now = clock_mono();
	return l->now;
}

uint64_t
loop_turns(struct loop *l)
{
	return l->turns;
}

const struct histo *
loop_late(const struct loop *l)
{
	return &l->late;
}

void
loop_tail(struct loop *l, void (*fn)(void *), void *arg)
{
	l->tails = mem_grow(l->tails, l->tails_n + 1, sizeof(*l->tails));
	l->tails[l->tails_n++] = (struct tail){ fn, arg };
}

void
loop_again(struct loop *l)
{
	l->again = true;
}

void
loop_job_queue(struct loop *l, struct loop_job *job)
{
	if (job->queued)
		return;
	job->queued = true;
	TAILQ_INSERT_TAIL(&l->jobs, job, link);
}

void
loop_job_cancel(struct loop *l, struct loop_job *job)
{
	if (!job->queued)
		return;
	job->queued = false;
	TAILQ_REMOVE(&l->jobs, job, link);
}

void
loop_park(struct loop *l, void *obj, void (*free_fn)(void *))
{
	if (l->parked_n == l->parked_cap) {
		l->parked_cap = l->parked_cap == 0 ? 16 : l->parked_cap * 2;
		l->parked = mem_grow(l->parked, l->parked_cap, sizeof(*l->parked));
	}
	l->parked[l->parked_n++] = (struct parked){ obj, free_fn };
}

static struct event *
event_make(struct loop *l, int fd, short what, event_callback_fn fn, void *arg)
{
	struct event	*ev = event_new(l->base, fd, what, fn, arg);

	/* Fails for lack of memory, or for a descriptor that is none: our bug. */
	if (ev == NULL)
		abort();
	return ev;
}

/*
 * Nothing is touched after a callback returns: it may have freed the object.  libevent
 * takes freed events off its active queue, and forgets a running one before it calls.
 */
static void
timer_fired(evutil_socket_t fd, short events, void *arg)
{
	struct timer	*t = arg;
	struct mono	 now = clock_mono();

	(void)fd;
	(void)events;
	(void)loop_now(t->loop);
	histo_add(&t->loop->late, now.us > t->due.us ? now.us - t->due.us : 0);
	t->fn(t->arg);
}

struct timer *
timer_new(struct loop *l, void (*fn)(void *), void *arg)
{
	struct timer	*t = mem_alloc(sizeof(*t));

	*t = (struct timer){ .loop = l, .fn = fn, .arg = arg };
	t->ev = event_make(l, -1, 0, timer_fired, t);
	return t;
}

void
timer_free(struct timer **tp)
{
	struct timer	*t = *tp;

	if (t == NULL)
		return;
	event_free(t->ev);
	free(t);
	*tp = NULL;
}

static void
timer_arm_us(struct timer *t, struct mono now, uint64_t us)
{
	struct timeval	 tv = {
		.tv_sec = (time_t)(us / 1000000),
		.tv_usec = (suseconds_t)(us % 1000000),
	};

	t->due.us = now.us + us;
	if (event_add(t->ev, &tv) != 0)
		abort();
}

void
timer_arm_ms(struct timer *t, uint64_t ms)
{
	/* libevent's epoll back end takes at most 35 minutes at a time; longer is its concern. */
	timer_arm_us(t, clock_mono(), ms > UINT64_MAX / 4000 ? UINT64_MAX / 4 : ms * 1000);
}

void
timer_arm_at(struct timer *t, struct mono when)
{
	struct mono	 now = clock_mono();

	timer_arm_us(t, now, when.us > now.us ? when.us - now.us : 0);
}

void
timer_stop(struct timer *t)
{
	event_del(t->ev);
}

bool
timer_armed(const struct timer *t)
{
	return event_pending(t->ev, EV_TIMEOUT, NULL) != 0;
}

static void
watch_fired(evutil_socket_t fd, short events, void *arg)
{
	struct watch	*w = arg;

	(void)loop_now(w->loop);
	w->fn(fd, (events & EV_READ) != 0 ? LOOP_READ : LOOP_WRITE, w->arg);
}

struct watch *
watch_new(struct loop *l, int fd, void (*fn)(int, int, void *), void *arg)
{
	struct watch	*w = mem_alloc(sizeof(*w));

	*w = (struct watch){ .loop = l, .fn = fn, .arg = arg };
	w->rd = event_make(l, fd, EV_READ | EV_PERSIST, watch_fired, w);
	w->wr = event_make(l, fd, EV_WRITE | EV_PERSIST, watch_fired, w);
	return w;
}

void
watch_set(struct watch *w, int what)
{
	int	 changed = w->what ^ what;

	if ((changed & LOOP_READ) != 0)
		(void)((what & LOOP_READ) != 0 ? event_add(w->rd, NULL) : event_del(w->rd));
	if ((changed & LOOP_WRITE) != 0)
		(void)((what & LOOP_WRITE) != 0 ? event_add(w->wr, NULL) : event_del(w->wr));
	w->what = what;
}

void
watch_free(struct watch **wp)
{
	struct watch	*w = *wp;

	if (w == NULL)
		return;
	event_free(w->rd);
	event_free(w->wr);
	free(w);
	*wp = NULL;
}

static void
signal_fired(evutil_socket_t signo, short events, void *arg)
{
	struct sigwatch	*s = arg;

	(void)events;
	(void)loop_now(s->loop);
	s->fn((int)signo, s->arg);
}

struct sigwatch *
sigwatch_new(struct loop *l, int signo, void (*fn)(int, void *), void *arg)
{
	struct sigwatch	*s = mem_alloc(sizeof(*s));

	*s = (struct sigwatch){ .loop = l, .fn = fn, .arg = arg };
	s->ev = event_make(l, signo, EV_SIGNAL | EV_PERSIST, signal_fired, s);
	if (event_add(s->ev, NULL) != 0)
		abort();
	return s;
}

void
sigwatch_free(struct sigwatch **sp)
{
	struct sigwatch	*s = *sp;

	if (s == NULL)
		return;
	event_free(s->ev);
	free(s);
	*sp = NULL;
}
