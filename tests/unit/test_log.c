/* log: the form of lines, what a slow reader costs, what may not reach a terminal. */
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/count.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/mem.h"
#include "common/secret.h"

static int		 fds[2];
static struct buf	 got;

static void
open_pipe(void)
{
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	buf_reset(&got);
}

static void
close_pipe(void)
{
	log_redirect(NULL, NULL);
	assert_int_equal(log_trace_classes(""), 0);
	log_init("done", STDERR_FILENO, LOG_ERR);
	close(fds[0]);
	close(fds[1]);
	buf_fini(&got);
}

/* All that is in the pipe, NUL-terminated. */
static char *
drain(void)
{
	ssize_t	 n;

	while ((n = read(fds[0], buf_room(&got, 4096), 4096)) > 0)
		buf_added(&got, (size_t)n);
	*buf_room(&got, 1) = '\0';
	return got.p + got.off;
}

/* The text of the one line that is there; checks all that stands before it. */
static const char *
one_line(const char *level)
{
	static char	 text[4096];
	char		 head[64];
	char		*p;
	int		 ms;
	unsigned	 fields[6];

	buf_reset(&got);
	p = drain();
	assert_true(strlen(p) > 26 && strlen(p) < sizeof(text));
	assert_int_equal(sscanf(p, "%4u-%2u-%2uT%2u:%2u:%2u.%3dZ ", &fields[0], &fields[1],
	    &fields[2], &fields[3], &fields[4], &fields[5], &ms), 7);
	assert_in_range(fields[0], 2020, 9999);
	snprintf(head, sizeof(head), "%s prog: ", level);
	assert_int_equal(strncmp(p + 25, head, strlen(head)), 0);
	strlcpy(text, p + 25 + strlen(head), sizeof(text));
	assert_non_null(strchr(text, '\n'));
	assert_string_equal(strchr(text, '\n'), "\n");
	*strchr(text, '\n') = '\0';
	return text;
}

static void
form(void **state)
{
	(void)state;
	open_pipe();
	log_init("prog", fds[1], LOG_INFO);
	log_info("sess#1 %d key=%s", 5, "value");
	assert_string_equal(one_line("info"), "sess#1 5 key=value");
	log_notice("n");
	assert_string_equal(one_line("notice"), "n");
	log_warnx("w");
	assert_string_equal(one_line("warning"), "w");
	log_err("e");
	assert_string_equal(one_line("err"), "e");
	errno = ENOENT;
	log_warn("open %s", "x");
	assert_int_equal(errno, ENOENT);
	assert_string_equal(one_line("warning"), "open x: No such file or directory");
	log_debug("hidden");
	buf_reset(&got);
	assert_string_equal(drain(), "");
	log_level(LOG_DEBUG);
	log_debug("shown");
	assert_string_equal(one_line("debug"), "shown");
	log_level(LOG_WARNING);
	log_info("hidden");
	log_line(LOG_INFO, "t", SPAN("hidden"));
	buf_reset(&got);
	assert_string_equal(drain(), "");
	close_pipe();
}

/* A secret that lies across the end of what fits: half of it was shown. */
static void
secret_at_the_end(void **state)
{
	static const char	 secret[] = "swordfish-0123456789";
	const char		*text;

	(void)state;
	open_pipe();
	log_init("prog", fds[1], LOG_DEBUG);
	secret_add(secret);
	for (int before = 1700; before < 2100; before++) {
		log_debug("%*s%s", before, "", secret);
		assert_null(strstr(one_line("debug"), "s"));
	}
	errno = ENOENT;
	log_warn("%*s%s", 2048 - 192 - 10, "", secret);
	text = one_line("warning");
	assert_null(strstr(text, "sword"));
	assert_non_null(strstr(text, strerror(ENOENT)));
	secret_forget();
	close_pipe();
}

static void
level_names(void **state)
{
	(void)state;
	assert_int_equal(log_level_of("warning"), LOG_WARNING);
	assert_int_equal(log_level_of("debug"), LOG_DEBUG);
	assert_int_equal(log_level_of("loud"), -1);
	assert_int_equal(log_level_of(""), -1);
	for (int level = LOG_ERR; level <= LOG_DEBUG; level++)
		assert_int_equal(log_level_of(log_level_name(level)), level);
	assert_string_equal(log_level_name(LOG_EMERG), "err");
}

/* Escape sequences of a worker or a peer must not reach the terminal of who reads the log. */
static void
control_bytes(void **state)
{
	(void)state;
	open_pipe();
	log_init("prog", fds[1], LOG_INFO);
	log_info("a%sb", "\033[31m\n\t\177");
	assert_string_equal(one_line("info"), "a?[31m???b");
	log_line(LOG_NOTICE, "echo.0#1", span_make("x\0y\r\xc2\x9bz \xc3\xa4", 10));
	assert_string_equal(one_line("notice"), "echo.0#1 x?y???z \xc3\xa4");
	log_line(LOG_NOTICE, NULL, SPAN("bare"));
	assert_string_equal(one_line("notice"), "bare");
	close_pipe();
}

static void
long_lines_are_cut(void **state)
{
	char		 big[8000];
	const char	*text;

	(void)state;
	open_pipe();
	log_init("prog", fds[1], LOG_INFO);
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	log_info("%s", big);
	text = one_line("info");
	assert_int_equal(buf_span(&got).n, 2048 + 1);
	assert_string_equal(text + strlen(text) - 4, "x...");
	log_line(LOG_INFO, "tag", span_of(big));
	text = one_line("info");
	assert_int_equal(buf_span(&got).n, 2048 + 1);
	assert_string_equal(text + strlen(text) - 4, "x...");
	/* The cause outlives the cut. */
	errno = EPERM;
	log_warn("%s", big);
	text = one_line("warning");
	assert_non_null(strstr(text, "x...: Operation not permitted"));
	/* Not inside a character: of each alignment. */
	for (int shift = 0; shift < 3; shift++) {
		for (size_t i = 0; i + 3 <= 6000; i += 3)
			memcpy(big + i, "\xe2\x82\xac", 3);
		big[6000] = '\0';
		log_info("%.*s%s", shift, "yy", big);
		text = one_line("info");
		assert_string_equal(text + strlen(text) - 6, "\xe2\x82\xac...");
	}
	close_pipe();
}

static void
trace_classes(void **state)
{
	(void)state;
	open_pipe();
	log_init("prog", fds[1], LOG_INFO);
	assert_false(log_traces("chan"));
	log_trace("chan", "hidden");
	assert_int_equal(log_trace_classes("gateway,chan"), 0);
	assert_true(log_traces("chan") && log_traces("gateway"));
	assert_false(log_traces("cha") || log_traces("rest") || log_traces("ateway"));
	log_trace("chan", "n=%d", 1);
	assert_string_equal(one_line("debug"), "chan: n=1");
	assert_int_equal(log_trace_classes("all"), 0);
	assert_true(log_traces("rest"));
	assert_int_equal(log_trace_classes(""), 0);
	assert_false(log_traces("rest") || log_traces("chan"));
	close_pipe();
}

/* A word that is no class would trace nothing, and nobody would know why. */
static void
unknown_trace_class(void **state)
{
	(void)state;
	assert_int_equal(log_trace_classes("chan,rest"), 0);
	assert_int_equal(log_trace_classes("chan,rst"), -1);
	assert_string_equal(log_traced(), "chan,rest");
	assert_true(log_traces("rest"));
	assert_int_equal(log_trace_classes(""), 0);
}

/* A worker's trace line: its class decides, not the level. */
static void
trace_line_of_a_worker(void **state)
{
	(void)state;
	open_pipe();
	log_init("prog", fds[1], LOG_INFO);
	log_trace_line(SPAN("rest"), "rest.0#1", SPAN("hidden"));
	assert_int_equal(log_trace_classes("rest"), 0);
	log_trace_line(SPAN("rest"), "rest.0#1", SPAN("shown"));
	assert_string_equal(one_line("debug"), "rest: rest.0#1 shown");
	close_pipe();
}

/* Closed at the start: the next file that is opened must not become stderr. */
static void
closed_descriptors_are_filled(void **state)
{
	int	 status, fd;
	pid_t	 pid;

	(void)state;
	if ((pid = fork()) == 0) {
		close(0);
		close(2);
		log_std_fds();
		fd = open("/dev/zero", O_RDONLY);
		_exit(fd > 2 && fcntl(0, F_GETFD) != -1 && fcntl(2, F_GETFD) != -1 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The flag belongs to the open file, which the shell that started us shares. */
static void
inherited_descriptor_stays_blocking(void **state)
{
	(void)state;
	open_pipe();
	log_init("prog", fds[1], LOG_INFO);
	log_info("x");
	assert_string_equal(one_line("info"), "x");
	assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
	close_pipe();
}

static struct loop	*l;
static int		 turns;

static void
flood(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++)
		log_debug("line %d %0400d", i, 0);	/* no message is said too often */
	loop_stop(l);
}

static void
read_until_report(void *arg)
{
	struct timer	*t = *(struct timer **)arg;

	drain();
	if (strstr(got.p + got.off, "lines dropped") != NULL || ++turns > 1000)
		loop_stop(l);
	else
		timer_arm_ms(t, 1);
}

/*
 * A reader that stops costs lines, never time; when it is back it gets what the ring held,
 * each line whole and in order, and one line with the number that is missing.
 */
static void
slow_reader(void **state)
{
	struct timer	*t;
	struct mono	 start = clock_mono();
	uint64_t	 dropped = log_dropped();
	int		 next = 0;
	unsigned long	 said = 0;
	char		*p, *end;

	(void)state;
	open_pipe();
	l = loop_new();
	log_init("prog", fds[1], LOG_DEBUG);
	log_attach(l);
	t = timer_new(l, flood, NULL);
	timer_arm_ms(t, 0);
	loop_run(l);
	timer_free(&t);
	assert_true(mono_ms_between(start, clock_mono()) < 5000);
	dropped = log_dropped() - dropped;
	assert_true(dropped > 500 && dropped < 1500);
	assert_int_equal(count_get(COUNT_log_dropped), log_dropped());
	turns = 0;
	t = timer_new(l, read_until_report, &t);
	timer_arm_ms(t, 0);
	loop_run(l);
	timer_free(&t);
	drain();
	for (p = got.p + got.off; *p != '\0'; p = end + 1) {
		int	 i;

		end = strchr(p, '\n');
		assert_non_null(end);
		if (sscanf(p + 25, "warning prog: %lu lines dropped", &said) == 1) {
			assert_int_equal(end[1], '\0');
		} else {
			assert_int_equal(sscanf(p + 25, "debug prog: line %d ", &i), 1);
			assert_int_equal(i, next++);
		}
	}
	assert_int_equal(said, dropped);
	assert_int_equal(next, 2000 - dropped);
	log_detach();
	loop_free(&l);
	close_pipe();
}

/* A line of the tail itself does not wait for the next event. */
static void
log_once_in_tail(void *arg)
{
	if (loop_turns(l) == 1)
		log_info("from the tail");
	else
		loop_stop(l);
	(void)arg;
}

static void
do_nothing(void *arg)
{
	(void)arg;
}

static void
tail_lines_are_written(void **state)
{
	struct timer	*now, *far;
	struct mono	 start = clock_mono();

	(void)state;
	open_pipe();
	l = loop_new();
	log_init("prog", fds[1], LOG_INFO);
	log_attach(l);
	loop_tail(l, log_once_in_tail, NULL);
	now = timer_new(l, do_nothing, NULL);
	far = timer_new(l, do_nothing, NULL);
	timer_arm_ms(now, 0);
	timer_arm_ms(far, 60000);
	loop_run(l);
	assert_true(mono_ms_between(start, clock_mono()) < 30000);
	assert_string_equal(one_line("info"), "from the tail");
	timer_free(&now);
	timer_free(&far);
	log_detach();
	loop_free(&l);
	close_pipe();
}

/* auto is journald's format exactly when standard error is the socket that systemd names. */
static void
journald_is_found(void **state)
{
	struct stat	 st;
	char		 here[64];

	(void)state;
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(here, sizeof(here), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	(void)unsetenv("JOURNAL_STREAM");
	assert_int_equal(log_format_of("auto"), log_format_of("text"));
	(void)setenv("JOURNAL_STREAM", here, 1);
	assert_int_equal(log_format_of("auto"), log_format_of("journal"));
	(void)setenv("JOURNAL_STREAM", "1:2", 1);
	assert_int_equal(log_format_of("auto"), log_format_of("text"));
	assert_int_not_equal(log_format_of("json"), log_format_of("text"));
	assert_int_equal(log_format_of("xml"), -1);
	(void)unsetenv("JOURNAL_STREAM");
}

/* A message that is said all the time: some lines, then how many were left out. */
static void
flood_of_one_message(void **state)
{
	const char	*text;

	(void)state;
	open_pipe();
	log_init("prog", fds[1], LOG_INFO);
	for (int i = 0; i < 1000; i++)
		log_info("again %d", i);
	log_warnx("something else");
	text = drain();
	/* Another message may share its place in the table. */
	assert_non_null(strstr(text, "info prog: again 150\n"));
	assert_null(strstr(text, "again 300\n"));
	assert_non_null(strstr(text, "something else"));
	close_pipe();
}

/* A socket (the journal of systemd) needs no flag, a closed reader no signal. */
static void
socket_and_closed_reader(void **state)
{
	uint64_t	 before = log_dropped();

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	log_init("prog", fds[1], LOG_DEBUG);
	log_info("over a socket");
	assert_string_equal(one_line("info"), "over a socket");
	assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
	for (int i = 0; i < 5000; i++)
		log_debug("%0400d", i);
	assert_true(log_dropped() > before);
	before = log_dropped();
	close(fds[0]);
	log_debug("to nobody");
	assert_true(log_dropped() > before);
	fds[0] = open("/dev/null", O_RDONLY);
	close_pipe();
	open_pipe();
	log_init("prog", fds[1], LOG_INFO);
	close(fds[0]);
	before = log_dropped();
	log_info("to nobody");
	assert_true(log_dropped() == before + 1);
	fds[0] = open("/dev/null", O_RDONLY);
	close_pipe();
}

static char	 seen[4096];

static void
take(int level, const char *class, const char *line, void *arg)
{
	snprintf(seen, sizeof(seen), "%d|%s|%s|%s", level, class, line, (const char *)arg);
	log_info("nested");	/* goes to the descriptor: no recursion */
}

static void
redirect(void **state)
{
	char	 big[3000];

	(void)state;
	open_pipe();
	log_init("prog", fds[1], LOG_INFO);
	log_redirect(take, "arg");
	log_info("a\nb");
	assert_string_equal(seen, "6||a?b|arg");
	assert_string_equal(one_line("info"), "nested");
	assert_int_equal(log_trace_classes("rest"), 0);
	log_trace("rest", "t");
	assert_string_equal(seen, "7|rest|t|arg");
	/* messages.def, LOG.line: 1 to 1024 bytes. */
	memset(big, 'x', sizeof(big));
	log_line(LOG_INFO, NULL, span_make(big, sizeof(big)));
	assert_int_equal(strlen(seen), 3 + 1024 + 4);
	seen[0] = '\0';
	log_line(LOG_INFO, "", SPAN_NONE);
	assert_string_equal(seen, "");
	log_redirect(NULL, NULL);
	buf_reset(&got);
	drain();
	log_info("back");
	assert_string_equal(one_line("info"), "back");
	close_pipe();
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(form),
		cmocka_unit_test(secret_at_the_end),
		cmocka_unit_test(level_names),
		cmocka_unit_test(control_bytes),
		cmocka_unit_test(long_lines_are_cut),
		cmocka_unit_test(trace_classes),
		cmocka_unit_test(unknown_trace_class),
		cmocka_unit_test(trace_line_of_a_worker),
		cmocka_unit_test(closed_descriptors_are_filled),
		cmocka_unit_test(inherited_descriptor_stays_blocking),
		cmocka_unit_test(slow_reader),
		cmocka_unit_test(tail_lines_are_written),
		cmocka_unit_test(journald_is_found),
		cmocka_unit_test(socket_and_closed_reader),
		cmocka_unit_test(redirect),
		cmocka_unit_test(flood_of_one_message),	/* the last: it fills a place of the table */
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
