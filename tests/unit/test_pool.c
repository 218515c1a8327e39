/*
 * pool: places and those that hold them, over children that are made up here instead of forked.
 * This file takes the place of child.c, so what pool/ calls of it has to be here.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/pool/child.h"
#include "tests/unit/fakes.h"

#define CHILDREN_MAX	64

struct child {
	char			 tag[64], pool[40];
	const struct child_ops	*ops;
	void			*arg;
	uint32_t		 slot;
	uint64_t		 generation;
	bool			 rest, up, asked, dead;
	uint64_t		 finish_ms;
	size_t			 open;
	int			 signal;
	char			 blame[80];
};

static struct child	*born[CHILDREN_MAX];
static size_t		 born_n, alive_n, alive_max;
static char		 did[4096];		/* what happened, in order */
static bool		 no_fork;

static void __attribute__((format(printf, 1, 2)))
note(const char *fmt, ...)
{
	size_t	 n = strlen(did);
	va_list	 ap;

	va_start(ap, fmt);
	(void)vsnprintf(did + n, sizeof(did) - n, fmt, ap);
	va_end(ap);
}

/* ---- child.c ---- */

struct child *
child_spawn(struct loop *l, const struct child_spec *sp, const struct child_ops *ops, void *arg,
    const char **why_r)
{
	struct child	*c;

	(void)l;
	assert_true(born_n < CHILDREN_MAX);
	if (no_fork) {
		*why_r = "no fork today";
		return NULL;
	}
	c = mem_alloc(sizeof(*c));
	snprintf(c->tag, sizeof(c->tag), "%s.%u#%u", sp->pool, (unsigned)sp->slot,
	    (unsigned)sp->generation);
	snprintf(c->pool, sizeof(c->pool), "%s", sp->pool);
	c->ops = ops;
	c->arg = arg;
	c->slot = sp->slot;
	c->generation = sp->generation;
	c->rest = sp->rest;
	c->finish_ms = UINT64_MAX;
	born[born_n++] = c;
	if (++alive_n > alive_max)
		alive_max = alive_n;
	note("spawn %s; ", c->tag);
	return c;
}

void
child_free(struct child **cp)
{
	assert_true((*cp)->dead);
	*cp = NULL;
}

void
child_abandon(struct child **cp)
{
	(*cp)->dead = true;
	alive_n--;
	child_free(cp);
}

void
child_blame(struct child *c, enum death cause, const char *text)
{
	(void)cause;
	snprintf(c->blame, sizeof(c->blame), "%s", text == NULL ? "?" : text);
}

void
child_signal(struct child *c, int signo)
{
	c->signal = signo;
	note("%s %s; ", signo == SIGKILL ? "kill" : "abort", c->tag);
}

void
child_drain(struct child *c, uint64_t finish_ms, uint64_t last_word_ms)
{
	(void)last_word_ms;
	c->asked = true;
	c->finish_ms = finish_ms;
	note("drain %s %u; ", c->tag, (unsigned)finish_ms);
}

void		 child_up(struct child *c) { c->up = true; }
bool		 child_is_up(const struct child *c) { return c->up; }
uint64_t	 child_scopes(const struct child *c) { return c->open; }
uint64_t	 child_age_ms(const struct child *c) { (void)c; return 10; }
uint64_t	 child_ready_ms(const struct child *c) { (void)c; return 10; }
bool		 child_too_large(struct child *c) { (void)c; return false; }
const char	*child_tag(const struct child *c) { return c->tag; }
bool		 child_is_rest(const struct child *c) { return c->rest; }
/* Of no process: /proc says nothing about it. */
pid_t		 child_pid(const struct child *c) { (void)c; return 0x7ffffff0; }

struct msg_list
child_verbs(const struct child *c)
{
	(void)c;
	return (struct msg_list){ .raw = SPAN_NONE };
}

bool
child_answers(const struct child *c, struct span verb)
{
	(void)c;
	return span_is(verb, "roll");
}

int
child_send(struct child *c, enum msg_type type, const void *src)
{
	(void)c;
	(void)type;
	(void)src;
	return 0;
}

void
child_patience(struct child *c, uint64_t hang_ms, uint64_t stopped_ms)
{
	(void)c;
	(void)hang_ms;
	(void)stopped_ms;
}

enum life
child_look(struct child *c, uint64_t elapsed_ms)
{
	(void)c;
	(void)elapsed_ms;
	return LIFE_FINE;
}

/* ---- what the pools say ---- */

static void
on_up(void *arg, struct child *c)
{
	(void)arg;
	note("up %s; ", c->tag);
}

static void
on_draining(void *arg, struct child *c)
{
	(void)arg;
	note("draining %s; ", c->tag);
}

static void
on_down(void *arg, struct child *c, const struct obituary *o)
{
	(void)arg;
	note("down %s%s; ", c->tag, o->cause == DEATH_ASKED ? "" : "!");
}

static size_t
open_n(void *arg, const struct child *c)
{
	(void)arg;
	return c->open;
}

static const struct pools_ops ops = {
	.on_up = on_up, .on_draining = on_draining, .on_down = on_down, .open_n = open_n,
};

/* ---- the stage ---- */

static struct loop	*loop;
static struct pools	*ps;
static struct cfg	 cfg;
static struct cfg_pool	 echo;
static char		 said[600];		/* how the last change ended */
static unsigned		 ends;
static bool		 stopped;

static void
turn(void)
{
	for (int i = 0; i < 4; i++)
		loop_turn(loop);
}

static void
on_end(void *arg, const char *why)
{
	(void)arg;
	ends++;
	snprintf(said, sizeof(said), "%s", why == NULL ? "done" : why);
}

static struct child *
child_of(const char *tag)
{
	for (size_t i = 0; i < born_n; i++) {
		if (strcmp(born[i]->tag, tag) == 0)
			return born[i];
	}
	fail_msg("there is no %s", tag);
	return NULL;
}

static void
ready(const char *tag)
{
	struct child	*c = child_of(tag);

	assert_false(c->dead);
	c->ops->on_ready(c->arg, c);
	turn();
}

static void
die_of(const char *tag, enum death cause, int code)
{
	struct child	*c = child_of(tag);
	struct obituary	 o = {
		.cause = cause, .code = code, .generation = c->generation, .was_ready = c->up,
	};

	assert_false(c->dead);
	snprintf(o.tag, sizeof(o.tag), "%s", tag);
	snprintf(o.text, sizeof(o.text), "died of %d", (int)cause);
	c->dead = true;
	alive_n--;
	c->ops->on_dead(c->arg, c, &o);
	turn();
}

static void
end_of(const char *tag)
{
	assert_true(child_of(tag)->asked);
	die_of(tag, DEATH_ASKED, 0);
}

static bool
happened(const char *what)
{
	return strstr(did, what) != NULL;
}

static void
forget(void)
{
	did[0] = said[0] = '\0';
	ends = 0;
}

static int
setup_with(uint64_t workers, char *token)
{
	memset(&cfg, 0, sizeof(cfg));
	memset(&echo, 0, sizeof(echo));
	echo.name = (char *)(uintptr_t)"echo";
	echo.handler = (char *)(uintptr_t)"echo";
	echo.workers = workers;
	cfg.pools = &echo;
	cfg.pools_n = 1;
	cfg.token = token;
	cfg.cgroup = (char *)(uintptr_t)"none";
	cfg.hang_ms = cfg.stopped_ms = cfg.start_deadline_ms = 60000;
	cfg.drain_ms = 20000;
	cfg.drain_rolling_ms = 600000;
	cfg.last_word_ms = 10000;
	cfg.rest_grace_ms = 5000;
	log_redirect(quiet, NULL);
	no_fork = stopped = false;
	alive_max = 0;
	loop = loop_new();
	ps = pools_new(loop, &cfg, NULL, NULL, "worker", &ops, NULL);
	pools_start(ps);
	turn();
	for (size_t i = 0, n = born_n; i < n; i++)
		ready(born[i]->tag);
	forget();
	return 0;
}

static int
setup(void **state)
{
	(void)state;
	return setup_with(1, NULL);
}

static int
setup_two(void **state)
{
	(void)state;
	return setup_with(2, NULL);
}

static int
setup_rest(void **state)
{
	static char	 token[] = "t";

	(void)state;
	return setup_with(1, token);
}

static int
teardown(void **state)
{
	(void)state;
	pools_free(&ps);
	assert_int_equal(alive_n, 0);
	loop_free(&loop);
	for (size_t i = 0; i < born_n; i++)
		free(born[i]);
	born_n = 0;
	log_redirect(NULL, NULL);
	return 0;
}

static void
count_beside(void *arg, const struct worker_view *v)
{
	(void)v;
	++*(unsigned *)arg;
}

static unsigned
beside(void)
{
	unsigned	 n = 0;

	pools_each_beside(ps, NULL, count_beside, &n);
	return n;
}

struct seen {
	const char	*state;
	uint64_t	 generation;
	unsigned	 n;
};

static void
see(void *arg, const struct worker_view *v)
{
	struct seen	*s = arg;

	s->state = v->state;
	s->generation = v->generation;
	s->n++;
}

static struct seen
last_of(const char *pool)
{
	struct seen	 s = { "", 0, 0 };

	pools_each(ps, pool, see, &s);
	return s;
}

static void
rolling(const char *name)
{
	assert_int_equal(pools_restart(ps, name, RESTART_ROLLING, on_end, NULL), 0);
	turn();
}

/* ---- the stories ---- */

/* New is told before old, in one turn; the verb is done then, whatever the old one still holds. */
static void
the_new_one_first(void **state)
{
	(void)state;
	rolling("echo");
	assert_string_equal(did, "spawn echo.0#2; ");
	assert_int_equal(ends, 0);
	ready("echo.0#2");
	assert_string_equal(did,
	    "spawn echo.0#2; up echo.0#2; drain echo.0#1 600000; draining echo.0#1; ");
	assert_string_equal(said, "done");
	assert_int_equal(beside(), 1);
	end_of("echo.0#1");
	assert_int_equal(beside(), 0);
	assert_int_equal(last_of("echo").generation, 2);
	assert_false(happened("spawn echo.0#3"));
}

/* A third restart ends the time of the oldest, and begins when that one has ended: never three. */
static void
at_most_two_old_ones(void **state)
{
	(void)state;
	rolling("echo");
	ready("echo.0#2");
	rolling("echo");
	ready("echo.0#3");
	assert_int_equal(beside(), 2);
	forget();
	rolling("echo");
	assert_string_equal(did, "drain echo.0#1 0; ");
	end_of("echo.0#1");
	assert_true(happened("spawn echo.0#4"));
	ready("echo.0#4");
	assert_string_equal(said, "done");
	assert_int_equal(beside(), 2);
	assert_int_equal(alive_max, 3);
	/* restart --now has no patience with any of them. */
	forget();
	assert_int_equal(pools_restart(ps, "echo.0", RESTART_NOW, on_end, NULL), 0);
	turn();
	assert_string_equal(did, "drain echo.0#2 0; drain echo.0#3 0; drain echo.0#4 0;"
	    " draining echo.0#4; ");
}

/* Exit 125, a crash, a deadline, a fork that fails: one try, the old one is not touched. */
static void
a_lost_heir_changes_nothing(void **state)
{
	struct seen	 s;

	(void)state;
	for (int how = 0; how < 4; how++) {
		uint64_t	 before = count_get(COUNT_worker_rollbacks);
		char		 tag[32];

		forget();
		no_fork = how == 3;
		rolling("echo");
		no_fork = false;
		snprintf(tag, sizeof(tag), "echo.0#%d", how + 2);
		if (how < 3)
			die_of(tag, how == 0 ? DEATH_EXIT : how == 1 ? DEATH_SIGNAL : DEATH_NO_READY,
			    how == 0 ? 125 : 11);
		turn();
		assert_int_equal(ends, 1);
		assert_non_null(strstr(said, "echo.0#1 stays in place, its successor"));
		assert_non_null(strstr(said, how < 3 ? "died of" : "no fork today"));
		assert_int_equal(count_get(COUNT_worker_rollbacks), before + 1);
		assert_false(happened("drain") || happened("down"));
		s = last_of("echo");
		assert_string_equal(s.state, "ready");
		assert_int_equal(s.generation, 1);
		assert_int_equal(beside(), 0);
	}
	assert_int_equal(alive_n, 1);
}

/* The holder dies while its heir starts: replaced like any other, then the heir takes over. */
static void
the_holder_dies_meanwhile(void **state)
{
	(void)state;
	rolling("echo");
	die_of("echo.0#1", DEATH_SIGNAL, 11);
	assert_true(happened("down echo.0#1!; spawn echo.0#3; "));
	forget();
	ready("echo.0#2");
	assert_string_equal(did, "up echo.0#2; kill echo.0#3; ");
	assert_string_equal(said, "done");
	die_of("echo.0#3", DEATH_ASKED, 9);
	assert_int_equal(alive_n, 1);
	assert_int_equal(last_of("echo").generation, 2);
}

/* Both are lost: the verb ends, and the place goes on by the rules of a crash. */
static void
both_die(void **state)
{
	(void)state;
	rolling("echo");
	die_of("echo.0#1", DEATH_SIGNAL, 11);
	die_of("echo.0#2", DEATH_EXIT, 1);
	assert_int_equal(ends, 1);
	ready("echo.0#3");
	assert_string_equal(last_of("echo").state, "ready");
	assert_int_equal(ends, 1);
}

/* Two ask at once: one heir does for both. */
static void
two_ask(void **state)
{
	(void)state;
	rolling("echo");
	rolling("echo.0");
	assert_string_equal(did, "spawn echo.0#2; ");
	ready("echo.0#2");
	assert_int_equal(ends, 2);
	assert_int_equal(born_n, 2);
}

static void
a_drain_ends_a_rolling_restart(void **state)
{
	(void)state;
	rolling("echo");
	assert_int_equal(pools_drain(ps, "echo", on_end, NULL), 0);
	turn();
	assert_true(happened("kill echo.0#2; drain echo.0#1 600000; draining echo.0#1; "));
	die_of("echo.0#2", DEATH_ASKED, 9);
	assert_int_equal(ends, 1);
	assert_non_null(strstr(said, "it is drained"));
	end_of("echo.0#1");
	assert_int_equal(ends, 2);
	assert_string_equal(said, "done");
	assert_string_equal(last_of("echo").state, "drained");
	/* A restart leaves it down; a resume brings it back. */
	forget();
	rolling("echo");
	assert_non_null(strstr(said, "'resume echo' starts it"));
	assert_int_equal(pools_resume(ps, "echo", on_end, NULL), 0);
	turn();
	assert_string_equal(did, "spawn echo.0#3; ");
	ready("echo.0#3");
	assert_string_equal(said, "done");
}

/* One that was taken over from still finishes what it holds: until then nothing is drained. */
static void
a_drain_waits_for_old_ones(void **state)
{
	(void)state;
	rolling("echo");
	ready("echo.0#2");
	assert_int_equal(pools_drain(ps, "echo", on_end, NULL), 0);
	turn();
	forget();
	end_of("echo.0#2");
	assert_string_equal(last_of("echo").state, "drained");
	assert_int_equal(ends, 0);
	end_of("echo.0#1");
	assert_int_equal(ends, 1);
	assert_string_equal(said, "done");
}

static void
on_stopped(void *arg)
{
	(void)arg;
	stopped = true;
}

/* A stop in the middle reaches every process once, and waits for each. */
static void
a_stop_in_the_middle(void **state)
{
	(void)state;
	rolling("echo");
	ready("echo.0#2");
	rolling("echo");
	forget();
	pools_stop(ps, false, 100, 50, on_stopped, NULL);
	turn();
	assert_true(happened("drain echo.0#1 100; drain echo.0#2 100; draining echo.0#2; kill"
	    " echo.0#3; "));
	die_of("echo.0#3", DEATH_ASKED, 9);
	assert_non_null(strstr(said, "it is being stopped"));
	end_of("echo.0#2");
	assert_false(stopped);
	end_of("echo.0#1");
	assert_true(stopped);
	assert_int_equal(pools_alive(ps), 0);
}

static void
scale_to(uint64_t n)
{
	forget();
	assert_int_equal(pools_scale(ps, "echo", n, on_end, NULL), 0);
	turn();
}

/* Up, down, up while the one that was given up still finishes: no generation is used twice. */
static void
up_and_down(void **state)
{
	(void)state;
	scale_to(3);
	assert_string_equal(did, "spawn echo.1#1; spawn echo.2#1; ");
	assert_int_equal(ends, 0);
	ready("echo.2#1");
	ready("echo.1#1");
	assert_string_equal(said, "done");
	scale_to(2);
	assert_string_equal(did, "drain echo.2#1 600000; draining echo.2#1; ");
	assert_string_equal(said, "done");
	assert_int_equal(last_of("echo").n, 2);
	assert_int_equal(beside(), 1);
	scale_to(3);
	assert_string_equal(did, "spawn echo.2#2; ");
	ready("echo.2#2");
	assert_int_equal(beside(), 1);
	end_of("echo.2#1");
	assert_int_equal(beside(), 0);
	scale_to(1);
	end_of("echo.1#1");
	end_of("echo.2#2");
	assert_int_equal(alive_n, 1);
	scale_to(2);
	assert_string_equal(did, "spawn echo.1#2; ");
	/* Given up before it was ready. */
	scale_to(1);
	assert_string_equal(did, "kill echo.1#2; ");
	die_of("echo.1#2", DEATH_ASKED, 9);
	assert_int_equal(pools_restart(ps, "echo.1", RESTART_PLAIN, on_end, NULL), -1);
}

static void
bounds_and_names(void **state)
{
	(void)state;
	scale_to(0);
	assert_string_equal(said, "a pool has 1 to 256 workers");
	scale_to(257);
	assert_string_equal(said, "a pool has 1 to 256 workers");
	assert_string_equal(did, "");
	assert_int_equal(pools_scale(ps, "nobody", 1, on_end, NULL), -1);
	assert_int_equal(pools_scale(ps, "echo.0", 1, on_end, NULL), -1);
	assert_int_equal(pools_drain(ps, "echo.1", on_end, NULL), -1);
	assert_int_equal(pools_resume(ps, "", on_end, NULL), -1);
	assert_int_equal(pools_restart(ps, "echo.", RESTART_ROLLING, on_end, NULL), -1);
}

static char	 stale[200];

static void
on_stale(void *arg, const char *pool)
{
	(void)arg;
	strlcat(stale, pool, sizeof(stale));
	strlcat(stale, " ", sizeof(stale));
}

/* A reload: what a worker would be told decides, whoever dies meanwhile. */
static void
stale_is_who_was_told_something_else(void **state)
{
	(void)state;
	stale[0] = '\0';
	pools_each_stale(ps, on_stale, NULL);
	assert_string_equal(stale, "");
	cfg.drain_ms = 1;			/* told with DRAIN */
	pools_each_stale(ps, on_stale, NULL);
	assert_string_equal(stale, "");
	cfg.pools[0].credit = 3;
	pools_each_stale(ps, on_stale, NULL);
	assert_string_equal(stale, "echo ");
	assert_int_equal(pools_restart(ps, "echo", RESTART_ROLLING, on_end, NULL), 0);
	turn();
	ready("echo.0#2");
	assert_string_equal(said, "done");
	stale[0] = '\0';
	pools_each_stale(ps, on_stale, NULL);
	assert_string_equal(stale, "");
	end_of("echo.0#1");
}

/* Two pools, then one, then another; a change that names one that goes ends with a sentence. */
static void
pools_come_and_go(void **state)
{
	struct cfg_pool	 two[2] = { echo, echo };

	(void)state;
	two[1].name = (char *)(uintptr_t)"late";
	assert_int_equal(pools_add(ps, "late", on_end, NULL), -1);	/* not in the configuration */
	assert_int_equal(pools_add(ps, "echo", on_end, NULL), -1);	/* there already */
	cfg.pools = two;
	cfg.pools_n = 2;
	assert_int_equal(pools_add(ps, "late", on_end, NULL), 0);
	turn();
	assert_string_equal(did, "spawn late.0#1; ");
	assert_int_equal(ends, 0);
	ready("late.0#1");
	assert_string_equal(said, "done");
	forget();
	cfg.pools_n = 1;
	assert_int_equal(pools_remove(ps, "late", on_end, NULL), 0);
	assert_int_equal(pools_remove(ps, "late", on_end, NULL), -1);	/* it is going */
	turn();
	assert_string_equal(did, "drain late.0#1 600000; draining late.0#1; ");
	assert_int_equal(ends, 0);
	assert_int_equal(pools_restart(ps, "late", RESTART_PLAIN, on_end, NULL), -1);
	end_of("late.0#1");
	assert_string_equal(said, "done");
	assert_int_equal(ends, 1);
	assert_int_equal(alive_n, 1);
	/* Again, and gone before it was ready. */
	forget();
	cfg.pools_n = 2;
	assert_int_equal(pools_add(ps, "late", on_end, NULL), 0);
	turn();
	assert_int_equal(pools_remove(ps, "late", on_end, NULL), 0);
	turn();
	assert_true(happened("kill late.0#1; "));
	assert_string_equal(said, "late.0 did not get ready: it is being stopped");
	cfg.pools = &echo;
	cfg.pools_n = 1;
}

static void
on_all_ended(void *arg)
{
	(void)arg;
	note("ended; ");
}

/* Before it is told to drain it is dead: it has no chance to say good-bye. */
static void
an_upgrade_gives_no_last_word(void **state)
{
	(void)state;
	pools_end_handlers(ps, on_all_ended, NULL);
	assert_int_equal(strncmp(did, "kill echo.0#1; ", 15), 0);
	assert_string_equal(child_of("echo.0#1")->blame, "ended for an upgrade");
	die_of("echo.0#1", DEATH_ASKED, 9);
	assert_true(happened("ended; "));
	assert_int_equal(alive_n, 0);
	stopped = true;
}

/* The spare first; what is active hands over to one that is there. */
static void
rest_is_never_alone(void **state)
{
	(void)state;
	rolling("rest");
	assert_string_equal(did, "spawn rest.1#2; ");
	ready("rest.1#2");
	assert_true(happened("up rest.1#2; drain rest.1#1 600000; draining rest.1#1; spawn"
	    " rest.0#2; "));
	assert_false(happened("drain rest.0"));
	ready("rest.0#2");
	assert_string_equal(said, "done");
	end_of("rest.0#1");
	end_of("rest.1#1");

	forget();
	assert_int_equal(pools_drain(ps, "rest", on_end, NULL), 0);
	turn();
	assert_non_null(strstr(said, "drain one at a time"));
	assert_int_equal(pools_drain(ps, "rest.1", on_end, NULL), 0);
	turn();
	end_of("rest.1#2");
	assert_string_equal(said, "done");
	assert_int_equal(pools_drain(ps, "rest.0", on_end, NULL), 0);
	turn();
	assert_non_null(strstr(said, "no other rest worker is ready"));
	assert_false(happened("draining rest.0#2"));
	assert_int_equal(pools_scale(ps, "rest", 3, on_end, NULL), 0);
	turn();
	assert_non_null(strstr(said, "two workers"));
}

/* Each READY worker in its turn; one that drains, or starts, is not asked. */
static void
who_is_asked(void **state)
{
	struct child	*c;
	bool		 up;

	(void)state;
	assert_true(pools_answering(ps, SPAN("echo"), SPAN("roll"), 0, &c, &up));
	assert_true(up);
	assert_ptr_equal(c, child_of("echo.0#1"));
	assert_true(pools_answering(ps, SPAN("echo"), SPAN("roll"), 1, &c, &up));
	assert_ptr_equal(c, child_of("echo.1#1"));
	assert_true(pools_answering(ps, SPAN("echo"), SPAN("juggle"), 0, &c, &up));
	assert_true(up && c == NULL);
	assert_false(pools_answering(ps, SPAN("cards"), SPAN("roll"), 0, &c, &up));
	die_of("echo.0#1", DEATH_EXIT, 1);
	for (uint64_t i = 0; i < 2; i++) {
		assert_true(pools_answering(ps, SPAN("echo"), SPAN("roll"), i, &c, &up));
		assert_ptr_equal(c, child_of("echo.1#1"));
	}
	die_of("echo.1#1", DEATH_EXIT, 1);
	assert_true(pools_answering(ps, SPAN("echo"), SPAN("roll"), 0, &c, &up));
	assert_true(!up && c == NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(the_new_one_first), T(at_most_two_old_ones), T(a_lost_heir_changes_nothing),
		T(the_holder_dies_meanwhile), T(both_die), T(two_ask),
		T(a_drain_ends_a_rolling_restart), T(a_drain_waits_for_old_ones),
		T(a_stop_in_the_middle), T(up_and_down),
		T(stale_is_who_was_told_something_else), T(pools_come_and_go),
		T(an_upgrade_gives_no_last_word),
		T(bounds_and_names),
		cmocka_unit_test_setup_teardown(who_is_asked, setup_two, teardown),
		cmocka_unit_test_setup_teardown(rest_is_never_alone, setup_rest, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
