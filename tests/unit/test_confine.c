/* confine: filters decide as their list says; rules shut and open.  In children, which never get it back. */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/confine.h"

#define HAVE_NONE	77	/* this kernel does not have it */

/* The exit status of fn in a child. */
static int
in_child(int (*fn)(void))
{
	int	 status;
	pid_t	 pid = fork();

	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
deny_some(void)
{
	const struct confine_call	 list[] = {
		{ .nr = SYS_getppid },
		{ .nr = SYS_socket, .arg = 0, .mask = ~0u, .value = AF_INET6 },
		{ .nr = SYS_socket, .arg = 1, .mask = 0xf, .value = SOCK_DGRAM },
		{ .nr = SYS_getpgid, .arg = 0, .mask = ~0u, .value = 0, .others = true },
	};
	struct sock_filter		 f[CONFINE_FILTER_MAX];

	if (confine_calls(f, confine_filter(f, CONFINE_FILTER_MAX, list, 4, SECCOMP_RET_ERRNO | EPERM,
	    SECCOMP_RET_ALLOW)) == -1)
		return errno == EINVAL ? HAVE_NONE : 1;
	if (syscall(SYS_getppid) != -1 || errno != EPERM)
		return 2;
	if (socket(AF_INET6, SOCK_STREAM, 0) != -1 || errno != EPERM)
		return 3;
	if (socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) != -1 || errno != EPERM)
		return 4;
	if (socket(AF_INET, SOCK_STREAM, 0) == -1)
		return 5;
	if (getpgid(0) == -1 || getpgid(getpid()) != -1 || errno != EPERM)
		return 7;
	if (syscall(1000000) != -1 || errno != ENOSYS)
		return 6;
	return 0;
}

static int
allow_some(void)
{
	const pid_t			 self = getpid();
	const struct confine_call	 list[] = {
		{ .nr = SYS_exit_group }, { .nr = SYS_write },
		{ .nr = SYS_kill, .arg = 0, .mask = ~0u, .value = (uint32_t)self },
	};
	struct sock_filter		 f[CONFINE_FILTER_MAX];

	if (confine_calls(f, confine_filter(f, CONFINE_FILTER_MAX, list, 3, SECCOMP_RET_ALLOW,
	    SECCOMP_RET_ERRNO | EACCES)) == -1)
		return errno == EINVAL ? HAVE_NONE : 1;
	if (kill(self, 0) == -1)
		return 2;
	if (kill(1, 0) != -1 || errno != EACCES)
		return 3;
	if (open("/dev/null", O_RDONLY) != -1 || errno != EACCES)
		return 4;
	return 0;
}

static void
filters(void **state)
{
	struct sock_filter	 f[8];
	struct confine_call	 many[8] = { { .nr = 1 } };
	int			 rc;

	(void)state;
	assert_int_equal(confine_filter(f, 8, many, 8, 0, 0), 0);
	rc = in_child(deny_some);
	if (rc == HAVE_NONE)
		skip();
	assert_int_equal(rc, 0);
#ifndef __SANITIZE_ADDRESS__
	assert_int_equal(in_child(allow_some), 0);
#endif
}

static char	 dir[] = "/tmp/confine-XXXXXX";
static char	 open_path[64], shut_path[64], opened_file[80];

static int
shut_some(void)
{
	int	 rules, fd;

	if ((rules = confine_rules(CONFINE_READ | CONFINE_CHANGE, CONFINE_CONNECT, CONFINE_SIGNAL)) == -1)
		return 1;
	if (confine_allow(rules, AT_FDCWD, open_path, CONFINE_READ | CONFINE_CHANGE) == -1)
		return 2;
	if (confine_allow(rules, AT_FDCWD, "/dev/null", CONFINE_READ | CONFINE_CHANGE) == -1)
		return 3;
	if (confine_allow(rules, AT_FDCWD, "/no/such/place", CONFINE_READ) != -1 || errno != ENOENT)
		return 4;
	if (confine_enter(rules) == -1)
		return 5;
	if ((fd = open(opened_file, O_RDWR | O_CREAT, 0600)) == -1 || open("/dev/null", O_RDWR) == -1)
		return 6;
	if (open(shut_path, O_RDONLY) != -1 || errno != EACCES)
		return 7;
	if (unlink(shut_path) != -1 || errno != EACCES)
		return 8;
	/* Who started us is outside. */
	if (confine_landlock() >= 6 && (kill(getppid(), 0) != -1 || errno != EPERM))
		return 9;
	return 0;
}

static void
rules(void **state)
{
	int	 fd;

	(void)state;
	if (confine_landlock() == 0)
		skip();
	assert_non_null(mkdtemp(dir));
	snprintf(open_path, sizeof(open_path), "%s/open", dir);
	snprintf(shut_path, sizeof(shut_path), "%s/shut", dir);
	snprintf(opened_file, sizeof(opened_file), "%s/made", open_path);
	assert_int_equal(mkdir(open_path, 0700), 0);
	assert_int_not_equal(fd = open(shut_path, O_WRONLY | O_CREAT, 0600), -1);
	close(fd);
	assert_int_equal(in_child(shut_some), 0);
	assert_int_equal(unlink(opened_file), 0);
	assert_int_equal(unlink(shut_path), 0);
	assert_int_equal(rmdir(open_path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(filters),
		cmocka_unit_test(rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
