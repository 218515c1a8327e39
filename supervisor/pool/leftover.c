/*
 * leftover - see leftover.h.
 */
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "supervisor/pool/leftover.h"
#include "supervisor/pool/proc.h"

struct leftover {
	TAILQ_ENTRY(leftover) link;
	struct leftovers	*all;
	struct journal_child	 who;
	int			 pidfd;
	struct watch		*watch;
};

struct leftovers {
	struct loop		*loop;
	struct journal		*journal;
	TAILQ_HEAD(leftover_list, leftover)  list;
	size_t			 n;
	struct timer		*grace;
	struct loop_job		 done;
	void			(*fn)(void *);
	void			*arg;
};

static void
forget(struct leftover *o)
{
	struct leftovers	*all = o->all;

	TAILQ_REMOVE(&all->list, o, link);
	all->n--;
	watch_free(&o->watch);
	close(o->pidfd);
	free(o);
	if (all->n == 0)
		loop_job_queue(all->loop, &all->done);
}

static void
is_gone(int fd, int what, void *arg)
{
	struct leftover	*o = arg;
	siginfo_t	 info;

	(void)fd;
	(void)what;
	/* It is ours to reap only when this process was the supervisor before, too. */
	(void)waitid(P_PIDFD, (id_t)o->pidfd, &info, WEXITED | WNOHANG);
	log_info("%s of the former supervisor is gone pid=%d", o->who.tag, (int)o->who.pid);
	journal_child_gone(o->all->journal, o->who.pid);
	forget(o);
}

static void
end(struct leftover *o)
{
	if (pidfd_send_signal(o->pidfd, SIGKILL, NULL, 0) == 0 || errno == ESRCH)
		return;
	/* Not ours to kill, so not ours to wait for. */
	log_warn("%s of the former supervisor cannot be killed pid=%d", o->who.tag,
	    (int)o->who.pid);
	forget(o);
}

static void
grace_over(void *arg)
{
	struct leftovers	*all = arg;
	struct leftover		*o, *next;

	TAILQ_FOREACH_SAFE(o, &all->list, link, next) {
		if (o->who.rest)
			end(o);
	}
}

static void
all_gone(void *arg)
{
	struct leftovers	*all = arg;

	if (all->n > 0)
		return;
	timer_stop(all->grace);
	all->fn(all->arg);
}

static bool
is_same(const struct journal_child *who)
{
	struct proc_stat	 st;

	return proc_stat(who->pid, &st) && st.starttime == who->starttime && st.state != 'Z' &&
	    st.state != 'X';
}

/* False: it does not run any more. */
static bool
take_over(struct leftovers *all, const struct journal_child *who)
{
	struct leftover	*o;
	int		 fd;

	if (!is_same(who) || (fd = pidfd_open(who->pid, 0)) == -1)
		return false;
	/* Again: the number may have been given to another between the two. */
	if (!is_same(who)) {
		close(fd);
		return false;
	}
	o = mem_alloc(sizeof(*o));
	o->all = all;
	o->who = *who;
	o->pidfd = fd;
	o->watch = watch_new(all->loop, fd, is_gone, o);
	watch_set(o->watch, LOOP_READ);
	TAILQ_INSERT_TAIL(&all->list, o, link);
	all->n++;
	log_notice("%s of the former supervisor still runs pid=%d%s", who->tag, (int)who->pid,
	    who->rest ? "" : ": killed");
	if (!who->rest)
		end(o);
	return true;
}

struct leftovers *
leftovers_new(struct loop *l, struct journal *j, uint64_t rest_grace_ms, void (*fn)(void *),
    void *arg)
{
	struct leftovers	*all = mem_alloc(sizeof(*all));
	struct journal_child	 who, *list = NULL;
	size_t			 n = 0;

	all->loop = l;
	all->journal = j;
	all->fn = fn;
	all->arg = arg;
	all->done = (struct loop_job){ .fn = all_gone, .arg = all };
	all->grace = timer_new(l, grace_over, all);
	TAILQ_INIT(&all->list);

	/* First read, then write: a gone record changes what journal_child_at counts. */
	while (j != NULL && journal_child_at(j, n, &who)) {
		list = mem_grow(list, n + 1, sizeof(*list));
		list[n++] = who;
	}
	for (size_t i = 0; i < n; i++) {
		if (!take_over(all, &list[i]))
			journal_child_gone(j, list[i].pid);
	}
	free(list);
	if (all->n > 0)
		timer_arm_ms(all->grace, rest_grace_ms);
	else
		loop_job_queue(l, &all->done);
	return all;
}

static void
free_parked(void *arg)
{
	struct leftovers	*all = arg;

	free(all);
}

void
leftovers_free(struct leftovers **allp)
{
	struct leftovers	*all = *allp;
	struct leftover		*o;

	if (all == NULL)
		return;
	*allp = NULL;
	while ((o = TAILQ_FIRST(&all->list)) != NULL)
		forget(o);
	loop_job_cancel(all->loop, &all->done);
	timer_free(&all->grace);
	loop_park(all->loop, all, free_parked);
}
