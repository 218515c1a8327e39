/* notify: what reaches a process manager's socket, and what does not hold us up. */
#include <sys/socket.h>
#include <sys/un.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/log.h"
#include "supervisor/control/notify.h"

static struct loop	*l;
static int		 manager;
static char		 name[64];	/* abstract: no file to remove */
static const char	*line;		/* what status says */
static bool		 ready;

static void
status(void *arg, char *dst, size_t bytes)
{
	(void)arg;
	strlcpy(dst, line, bytes);
}

static bool
is_ready(void *arg)
{
	(void)arg;
	return ready;
}

static const struct notify_ops	 ops = { is_ready, status };

static int
setup(void **state)
{
	struct sockaddr_un	 sun = { .sun_family = AF_UNIX };

	(void)state;
	l = loop_new();
	line = "starting";
	ready = false;
	snprintf(name, sizeof(name), "@bulkhead-test-%d", (int)getpid());
	memcpy(sun.sun_path + 1, name + 1, strlen(name) - 1);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return manager == -1 || bind(manager, (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) == -1 ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)close(manager);
	loop_free(&l);
	return 0;
}

/* Everything that has arrived, each datagram behind a bar. */
static const char *
heard(void)
{
	static char	 all[4096];
	char		 one[512];
	ssize_t		 n;

	all[0] = '\0';
	while ((n = recv(manager, one, sizeof(one) - 1, 0)) > 0) {
		one[n] = '\0';
		strlcat(all, "|", sizeof(all));
		strlcat(all, one, sizeof(all));
	}
	return all;
}

static struct notify *
begin(const char *usec, const char *pid, int ready_fd)
{
	struct notify_env	 env = { name, usec, pid, ready_fd };

	return notify_new(l, &env, &ops, NULL);
}

static void
nobody_listens(void **state)
{
	struct notify_env	 env = { .ready_fd = -1 };
	struct notify		*n = notify_new(l, &env, &ops, NULL);

	(void)state;
	assert_null(n);
	notify_look(n);
	notify_reloading(n);
	notify_reloaded(n);
	notify_stopping(n, 1000);
	notify_free(&n);
}

/* A start asks for time until it is ready; a status line is said once. */
static void
life(void **state)
{
	struct notify	*n = begin(NULL, NULL, -1);

	(void)state;
	loop_turn(l);
	assert_string_equal(heard(), "|STATUS=starting|EXTEND_TIMEOUT_USEC=32000000");
	notify_look(n);
	assert_string_equal(heard(), "");
	line = "2 of 2 workers ready";
	ready = true;
	notify_look(n);
	notify_look(n);
	assert_string_equal(heard(), "|READY=1|STATUS=2 of 2 workers ready");
	notify_reloading(n);
	assert_non_null(strstr(heard(), "RELOADING=1\nMONOTONIC_USEC="));
	notify_reloaded(n);
	assert_string_equal(heard(), "|READY=1");
	line = "stopping";
	notify_stopping(n, 37000);
	notify_stopping(n, 37000);
	assert_string_equal(heard(),
	    "|STOPPING=1|EXTEND_TIMEOUT_USEC=42000000|STATUS=stopping");
	notify_free(&n);
}

static void
fed(void *arg)
{
	int	*n = arg;

	if (strstr(heard(), "WATCHDOG=1") != NULL)
		++*n;
	if (*n >= 3)
		loop_stop(l);
}

/* Twice as often as asked for; not when it is asked of another process. */
static void
watchdog(void **state)
{
	struct notify	*n;
	struct timer	*bound = timer_new(l, (void (*)(void *))loop_stop, l);
	char		 pid[24];
	int		 meals = 0;

	(void)state;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	n = begin("20000", pid, -1);
	loop_tail(l, fed, &meals);
	timer_arm_ms(bound, 5000);
	loop_run(l);
	assert_int_equal(meals, 3);
	notify_free(&n);
	timer_free(&bound);

	n = begin("20000", "1", -1);
	loop_turn(l);
	assert_null(strstr(heard(), "WATCHDOG=1"));
	notify_free(&n);
}

static void
newline_for_s6(void **state)
{
	struct notify_env	 env = { .ready_fd = -1 };
	struct notify		*n;
	int			 p[2];
	char			 got[4];

	(void)state;
	assert_int_equal(pipe(p), 0);
	env.ready_fd = p[1];
	n = notify_new(l, &env, &ops, NULL);
	ready = true;
	notify_look(n);
	notify_look(n);
	assert_int_equal(read(p[0], got, sizeof(got)), 1);
	assert_int_equal(got[0], '\n');
	assert_int_equal(read(p[0], got, sizeof(got)), 0);	/* closed */
	(void)close(p[0]);
	notify_free(&n);
}

/* Ten thousand unread datagrams: a socket that waits would hang the test. */
static void
manager_that_does_not_read(void **state)
{
	struct notify	*n = begin(NULL, NULL, -1);

	(void)state;
	for (int i = 0; i < 10000; i++)
		notify_reloading(n);
	assert_non_null(strstr(heard(), "RELOADING=1"));
	notify_free(&n);
}

/* A name that is no address is said once and not used. */
static void
strange_names(void **state)
{
	static const char *const names[] = { "", "/", "relative", "vsock:2:1",
		"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct notify_env	 env = { names[i], "1000", NULL, -1 };
		struct notify		*n = notify_new(l, &env, &ops, NULL);

		assert_non_null(n);
		loop_turn(l);
		notify_look(n);
		assert_string_equal(heard(), "");
		notify_free(&n);
	}
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test_setup_teardown(nobody_listens, setup, teardown),
		cmocka_unit_test_setup_teardown(life, setup, teardown),
		cmocka_unit_test_setup_teardown(watchdog, setup, teardown),
		cmocka_unit_test_setup_teardown(newline_for_s6, setup, teardown),
		cmocka_unit_test_setup_teardown(manager_that_does_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(strange_names, setup, teardown),
	};

	log_init("test_notify", STDERR_FILENO, LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
