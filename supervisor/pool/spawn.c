/*
 * spawn - see spawn.h.
 */
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/mem.h"
#include "supervisor/pool/fence.h"
#include "supervisor/pool/limits.h"
#include "supervisor/pool/privs.h"
#include "supervisor/pool/spawn.h"

#define BOARD_BYTES	4096

/*
 * Between fork and exec the child cannot tell what went wrong but through what it inherited: it
 * leaves this in the scoreboard, behind struct board, and exits.
 */
struct last_step {
	uint32_t	 step;		/* of enum step; 0: it came as far as the program */
	uint32_t	 err;
};
#define LAST_STEP_OFFSET	2048

enum step { STEP_DONE, STEP_FD, STEP_SANDBOX, STEP_EXEC, STEP_GROUP };

_Static_assert(sizeof(struct board) <= LAST_STEP_OFFSET, "struct board grew into the last step");

/* ---- between fork and exec: system calls only ---- */

struct exec_plan {
	const char	*program;
	char *const	*argv, *const *envp;
	int		 link, board, err;
	pid_t		 parent;
	const struct fence *fence;
	const struct privs_user *as;
	bool		 rest, refuse;
	struct rlimit	 files, core, processes;
	int		 group;			/* -1: none */
};

static _Noreturn void
exec_failed(const struct exec_plan *x, enum step step, int err)
{
	struct last_step	 last = { step, (uint32_t)err };

	if (pwrite(x->board, &last, sizeof(last), LAST_STEP_OFFSET) == -1)
		_exit(126);
	_exit(SPAWN_EXIT_FAILED);
}

static _Noreturn void
exec_child(struct exec_plan *x)
{
	struct sigaction	 dfl = { .sa_handler = SIG_DFL };
	sigset_t		 empty;
	int			 null, link, board, err;

	/* A terminal's Ctrl-C is for the supervisor alone, which then drains. */
	(void)setpgid(0, 0);
	for (int s = 1; s < NSIG; s++)
		(void)sigaction(s, &dfl, NULL);

	/* Before it uses any memory of its own. */
	if (x->group != -1 && write(x->group, "0", 1) == -1)
		exec_failed(x, STEP_GROUP, errno);

	/* Out of the way of the numbers that they will have, whatever they are now. */
	if ((board = fcntl(x->board, F_DUPFD, 10)) == -1)
		exec_failed(x, STEP_FD, errno);
	x->board = board;
	if ((link = fcntl(x->link, F_DUPFD, 10)) == -1 ||
	    (err = fcntl(x->err, F_DUPFD, 10)) == -1 ||
	    (null = open("/dev/null", O_RDONLY)) == -1 || dup2(null, STDIN_FILENO) == -1 ||
	    dup2(err, STDOUT_FILENO) == -1 || dup2(err, STDERR_FILENO) == -1 ||
	    dup2(link, CONTRACT_FD) == -1 || dup2(board, CONTRACT_BOARD_FD) == -1)
		exec_failed(x, STEP_FD, errno);
	x->board = CONTRACT_BOARD_FD;
	closefrom(CONTRACT_BOARD_FD + 1);	/* kernels and containers without close_range too */

	(void)umask(077);
	if (setrlimit(RLIMIT_CORE, &x->core) == -1 ||
	    setrlimit(RLIMIT_NOFILE, &x->files) == -1 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    (x->fence != NULL && fence_enter(x->fence) == -1) || setrlimit(RLIMIT_NPROC, &x->processes) == -1 ||
	    (x->as != NULL && privs_become(x->as) == -1) ||
	    (!x->rest && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1))
		exec_failed(x, STEP_SANDBOX, errno);
	/* If the supervisor died before the line above, nobody would ever send that signal. */
	if (getppid() != x->parent)
		_exit(CONTRACT_EXIT_OK);
	sigemptyset(&empty);
	(void)sigprocmask(SIG_SETMASK, &empty, NULL);
	if (x->refuse)
		exec_failed(x, STEP_EXEC, ENOENT);
	execve(x->program, x->argv, x->envp);
	exec_failed(x, STEP_EXEC, errno);
}

/* ---- what it gets ---- */

/* All that a child gets of the supervisor's environment: the token could be in the rest of it. */
static const char *const passed[] = {
	"TZ",
#ifdef __SANITIZE_ADDRESS__
	"ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS",
#endif
};

/* Takes var.  A name that is there already stays as it is. */
static void
env_add(char **env, size_t *n, char *var)
{
	size_t	 name = strcspn(var, "=") + 1;

	for (size_t i = 0; i < *n; i++) {
		if (strncmp(env[i], var, name) == 0) {
			mem_wipe_free(&var);
			return;
		}
	}
	env[(*n)++] = var;
}

/* Owned by the caller, as are its strings; ends with NULL. */
static char **
environment(const struct spawn_what *what)
{
	char	**env = mem_array(what->env_n + 8, sizeof(*env));
	size_t	  n = 0;

	for (size_t i = 0; i < what->env_n; i++)
		env_add(env, &n, mem_strdup(what->env[i]));
	env_add(env, &n, mem_strdup("PATH=/usr/local/bin:/usr/bin:/bin"));
	env_add(env, &n, mem_strdup("LANG=C.UTF-8"));
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
		if (getenv(passed[i]) != NULL)
			env_add(env, &n, mem_printf("%s=%s", passed[i], getenv(passed[i])));
	}
	if (fault_armed_any())
		env_add(env, &n, mem_printf("BULKHEAD_FAULTS=%s", fault_specs()));
	return env;
}

static int
make_board(void)
{
	int	 fd = memfd_create("bulkhead-board", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1)
		return -1;
	/* Sealed: a worker that cut its scoreboard short would make our next look a SIGBUS. */
	if (ftruncate(fd, BOARD_BYTES) == -1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/* inherit: as ours is. */
static struct rlimit
granted(int resource, uint64_t want, bool inherit)
{
	struct rlimit	 own = { 0, 0 };

	(void)getrlimit(resource, &own);
	if (!inherit)
		own.rlim_cur = own.rlim_max = limits_grant(want, own.rlim_max);
	return own;
}

/* ---- the process ---- */

static pid_t
fork_child(struct exec_plan *x)
{
	sigset_t	 all, old;
	pid_t		 pid;
	int		 err;

	/* A handler of ours must not run in the child. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	x->parent = getpid();
	pid = fork();
	if (pid == 0)
		exec_child(x);
	err = errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	errno = err;
	return pid;
}

/* Both ends; -1 for those that were not made or have been given away. */
struct ends {
	int	 link[2], err[2], board;
};

static void
close_ends(struct ends *e)
{
	const int	 all[] = { e->link[0], e->link[1], e->err[0], e->err[1], e->board };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] != -1)
			close(all[i]);
}

/* -1 with errno, and *step_r tells where. */
static int
start(struct exec_plan *x, struct ends *e, struct spawned *s, const char **step_r)
{
	void	*map;

	*step_r = "socketpair";
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, e->link) == -1)
		return -1;
	*step_r = "pipe";
	if (pipe2(e->err, O_CLOEXEC) == -1 || fcntl(e->err[0], F_SETFL, O_NONBLOCK) == -1)
		return -1;
	*step_r = "scoreboard";
	if ((e->board = make_board()) == -1 ||
	    (map = mmap(NULL, BOARD_BYTES, PROT_READ, MAP_SHARED, e->board, 0)) == MAP_FAILED)
		return -1;
	s->board = map;
	*step_r = "fork";
	x->link = e->link[1];
	x->err = e->err[1];
	x->board = e->board;
	if ((s->pid = fork_child(x)) == -1)
		return -1;
	(void)setpgid(s->pid, s->pid);	/* whoever of the two comes first */
	*step_r = "pidfd_open";
	if ((s->pidfd = pidfd_open(s->pid, 0)) == -1) {
		int	 err = errno;

		/* The one wait in this program: for a child that has just begun and is killed. */
		kill(s->pid, SIGKILL);
		(void)waitpid(s->pid, NULL, 0);
		errno = err;
		return -1;
	}
	return 0;
}

int
spawn_worker(const struct spawn_what *what, struct spawned *s, const char **why_r)
{
	static char		 why[160];
	char			*copy = mem_strdup(what->program), *argv[2] = { copy, NULL };
	char			**env = environment(what);
	struct exec_plan	 x = {
		.program = what->program, .argv = what->argv != NULL ? what->argv : argv,
		.envp = env, .fence = what->fence, .as = what->as, .rest = what->rest, .refuse = what->refuse,
		.group = what->cgroup_fd,
	};
	struct ends		 e = { { -1, -1 }, { -1, -1 }, -1 };
	const char		*step;
	int			 rv, err;

	*s = (struct spawned){ .pid = -1, .pidfd = -1 };
	x.core = granted(RLIMIT_CORE, what->core_bytes, false);
	x.files = granted(RLIMIT_NOFILE, what->files, what->files == 0);
	/* What counts are all processes of its user: for users of their own alone. */
	x.processes = granted(RLIMIT_NPROC, what->processes,
	    what->processes == 0 || what->as == NULL || !what->as->set);
	if (what->fence != NULL)
		fence_prepare(what->fence);
	rv = start(&x, &e, s, &step);
	err = errno;
	for (size_t i = 0; env[i] != NULL; i++)
		mem_wipe_free(&env[i]);
	free(env);
	free(copy);
	if (rv == -1) {
		snprintf(why, sizeof(why), "%s: %s", step, strerror(err));
		*why_r = why;
		spawn_board_free(&s->board);
	} else {
		s->link_fd = e.link[0];
		s->err_fd = e.err[0];
		e.link[0] = e.err[0] = -1;
	}
	close_ends(&e);
	return rv;
}

void
spawn_board_free(const struct board **bp)
{
	if (*bp != NULL)
		munmap((void *)(uintptr_t)*bp, BOARD_BYTES);
	*bp = NULL;
}

bool
spawn_failed_in_group(const struct board *board)
{
	struct last_step	 last;

	memcpy(&last, (const char *)board + LAST_STEP_OFFSET, sizeof(last));
	return last.step == STEP_GROUP;
}

bool
spawn_failed(const struct board *board, const char *program, char *dst, size_t dst_bytes)
{
	struct last_step	 last;
	const char		*hint = "";

	memcpy(&last, (const char *)board + LAST_STEP_OFFSET, sizeof(last));
	if (last.step == STEP_DONE)
		return false;
	if (last.step == STEP_EXEC && last.err == ENOENT && access(program, F_OK) == 0)
		hint = " (what its first line names behind #! is not there)";
	else if (last.step == STEP_EXEC && last.err == ENOEXEC)
		hint = " (a script begins with a line #!/path/to/interpreter)";
	snprintf(dst, dst_bytes, "could not be started: %s%s: %s%s",
	    last.step == STEP_EXEC ? program : "its ",
	    last.step == STEP_EXEC ? "" : last.step == STEP_FD ? "descriptors" :
	    last.step == STEP_GROUP ? "control group" : "sandbox",
	    strerror((int)last.err), hint);
	return true;
}
