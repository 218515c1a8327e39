/* orphans: as a subreaper, which inherits the dead as pid 1 does. */
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/log.h"
#include "supervisor/pool/orphans.h"

static struct loop	*l;
static pid_t		 strangers[2];
static pid_t		 own;		/* a child that we wait for ourselves */
static int		 own_status;

static int
setup(void **state)
{
	(void)state;
	l = loop_new();
	return l == NULL ? -1 : prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static int
teardown(void **state)
{
	(void)state;
	loop_free(&l);
	return prctl(PR_SET_CHILD_SUBREAPER, 0);
}

/* A process whose parent is gone: the pid arrives through a pipe. */
static pid_t
stranger(void)
{
	pid_t	 pid = 0, parent;
	int	 p[2];

	assert_int_equal(pipe(p), 0);
	parent = fork();
	assert_int_not_equal(parent, -1);
	if (parent == 0) {
		pid = fork();
		if (pid == 0)
			_exit(0);
		_exit(write(p[1], &pid, sizeof(pid)) == sizeof(pid) ? 0 : 1);
	}
	assert_int_equal(read(p[0], &pid, sizeof(pid)), sizeof(pid));
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	(void)close(p[0]);
	(void)close(p[1]);
	return pid;
}

static bool
is_gone(pid_t pid)
{
	return kill(pid, 0) == -1 && errno == ESRCH;
}

static void
end_when_gone(void *arg)
{
	(void)arg;
	if (is_gone(strangers[0]) && is_gone(strangers[1]) && own == 0)
		loop_stop(l);
}

static void
on_own(int fd, int what, void *arg)
{
	struct watch	**w = arg;

	(void)what;
	assert_int_equal(waitpid(own, &own_status, WNOHANG), own);
	own = 0;
	watch_free(w);
	(void)close(fd);
}

static void
the_dead_of_others_are_reaped_ours_are_not(void **state)
{
	struct orphans	*o = orphans_new(l, true);
	struct timer	*bound = timer_new(l, (void (*)(void *))loop_stop, l);
	struct watch	*w;

	(void)state;
	assert_non_null(o);
	strangers[0] = stranger();
	strangers[1] = stranger();
	own = fork();
	assert_int_not_equal(own, -1);
	if (own == 0)
		_exit(7);
	w = watch_new(l, (int)syscall(SYS_pidfd_open, own, 0), on_own, &w);
	watch_set(w, LOOP_READ);
	loop_tail(l, end_when_gone, NULL);
	timer_arm_ms(bound, 20000);
	loop_run(l);
	assert_true(is_gone(strangers[0]));
	assert_true(is_gone(strangers[1]));
	assert_int_equal(own, 0);
	assert_int_equal(WEXITSTATUS(own_status), 7);
	timer_free(&bound);
	orphans_free(&o);
}

static void
only_pid_1_has_any(void **state)
{
	(void)state;
	assert_null(orphans_new(l, false));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test_setup_teardown(the_dead_of_others_are_reaped_ours_are_not, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(only_pid_1_has_any, setup, teardown),
	};

	log_init("test_orphans", STDERR_FILENO, LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
