/*
 * orphans - see orphans.h.
 */
#include <sys/wait.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "supervisor/pool/orphans.h"

#define KILL_TURNS	100

struct orphans {
	struct sigwatch	*sigchld;
	struct timer	*timer;
	pid_t		 seen;		/* was a zombie when the timer was armed; 0 none */
	unsigned	 looks;		/* that found the same one again */
};

/* Some child that waits to be waited for; 0 none.  It stays one. */
static pid_t
zombie(void)
{
	siginfo_t	 si = { 0 };

	return waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == -1 ? 0 : si.si_pid;
}

static void
watch_for(struct orphans *o, pid_t pid)
{
	o->looks = pid != 0 && pid == o->seen ? o->looks + 1 : 0;
	o->seen = pid;
	if (pid != 0)
		timer_arm_ms(o->timer, ORPHAN_MS);
}

static void
look(void *arg)
{
	struct orphans	*o = arg;
	pid_t		 pid = zombie();

	/* Twice, in two turns: what is ours was waited for in between, however late this turn is. */
	if (pid != 0 && pid == o->seen && o->looks > 0) {
		log_debug("pid %d was nobody's: reaped", (int)pid);
		(void)waitpid(pid, NULL, WNOHANG);
		pid = zombie();
	}
	watch_for(o, pid);
}

static void
on_sigchld(int signo, void *arg)
{
	struct orphans	*o = arg;

	(void)signo;
	if (!timer_armed(o->timer))
		watch_for(o, zombie());
}

struct orphans *
orphans_new(struct loop *l, bool force)
{
	struct orphans	*o;

	if (getpid() != 1 && !force)
		return NULL;
	o = mem_alloc(sizeof(*o));
	o->timer = timer_new(l, look, o);
	o->sigchld = sigwatch_new(l, SIGCHLD, on_sigchld, o);
	return o;
}

/* Those there are now, as "12 17 "; false: none, or this kernel does not say. */
static bool
children(char *dst, size_t bytes)
{
	int	 fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	ssize_t	 n = fd == -1 ? -1 : read(fd, dst, bytes - 1);

	if (fd != -1)
		close(fd);
	dst[n > 0 ? n : 0] = '\0';
	return n > 0;
}

void
orphans_kill(void)
{
	const struct timespec	 nap = { .tv_nsec = 10 * 1000 * 1000 };
	char			 text[4096], *at, *end;
	long			 pid;

	/* Whose parent dies here comes to us next. */
	for (int i = 0; i < KILL_TURNS && children(text, sizeof(text)); i++) {
		for (at = text; (pid = strtol(at, &end, 10)) > 1 && end != at; at = end) {
			/* Cut off by the end of the buffer: the next turn has it whole. */
			if (*end != ' ')
				break;
			(void)kill((pid_t)pid, SIGKILL);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			continue;
		(void)nanosleep(&nap, NULL);
	}
}

void
orphans_free(struct orphans **op)
{
	struct orphans	*o = *op;

	if (o == NULL)
		return;
	*op = NULL;
	sigwatch_free(&o->sigchld);
	timer_free(&o->timer);
	free(o);
}
