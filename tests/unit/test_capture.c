/*
 * capture: a helper's output, its input, its variable, and every way that one does not end well.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "common/capture.h"
#include "common/mem.h"

struct seen {
	struct loop	*loop;
	int		 called, status;
	bool		 late;
	struct buf	 out, err;
};

static void
on_done(void *arg, const struct capture_result *res)
{
	struct seen	*s = arg;

	s->called++;
	s->status = res->status;
	s->late = res->late;
	buf_add_span(&s->out, res->out);
	buf_add_span(&s->err, res->err);
	loop_stop(s->loop);
}

static void
shell(struct seen *s, const char *script, struct span input, uint64_t deadline_ms)
{
	const char		*argv[] = { "sh", "-c", script, NULL };
	struct capture_spec	 spec = {
		.program = "/bin/sh", .argv = argv, .input = input, .env_name = "CAPTURE_TEST",
		.env_value = "its value", .deadline_ms = deadline_ms, .out_max = 100000,
		.err_max = 1000,
	};

	*s = (struct seen){ .loop = loop_new() };
	assert_non_null(capture_new(s->loop, &spec, on_done, s));
	loop_run(s->loop);
	assert_int_equal(s->called, 1);
}

static void
seen_fini(struct seen *s)
{
	buf_fini(&s->out);
	buf_fini(&s->err);
	loop_free(&s->loop);
}

static void
output_input_and_status(void **state)
{
	struct seen	 s;

	(void)state;
	shell(&s, "cat; echo \"$CAPTURE_TEST\"; echo wrong >&2; exit 3", SPAN("given "), 10000);
	assert_true(WIFEXITED(s.status));
	assert_int_equal(WEXITSTATUS(s.status), 3);
	assert_false(s.late);
	assert_true(span_is(buf_span(&s.out), "given its value\n"));
	assert_true(span_is(buf_span(&s.err), "wrong\n"));
	seen_fini(&s);
	/* Without input there is an end at once, not a terminal. */
	shell(&s, "cat; head -c 90000 /dev/zero", SPAN_NONE, 10000);
	assert_int_equal(buf_span(&s.out).n, 90000);
	seen_fini(&s);
}

static void
one_that_does_not_end_is_killed(void **state)
{
	struct seen	 s;

	(void)state;
	shell(&s, "echo begun; exec sleep 600", SPAN_NONE, 200);
	assert_true(s.late);
	assert_true(WIFSIGNALED(s.status));
	assert_true(span_is(buf_span(&s.out), "begun\n"));
	seen_fini(&s);
	/* Its child holds the pipes: not waited for. */
	shell(&s, "sleep 20 & echo over", SPAN_NONE, 10000);
	assert_false(s.late);
	assert_true(span_is(buf_span(&s.out), "over\n"));
	seen_fini(&s);
}

static void
one_that_writes_without_end_is_killed(void **state)
{
	struct seen	 s;

	(void)state;
	shell(&s, "exec cat /dev/zero", SPAN_NONE, 10000);
	assert_false(s.late);
	assert_true(WIFSIGNALED(s.status));
	assert_true(buf_span(&s.out).n <= 100000 + 65536);
	seen_fini(&s);
}

static void
freed_before_its_end(void **state)
{
	const char		*argv[] = { "sleep", "600", NULL };
	struct capture_spec	 spec = { .program = "/bin/sleep", .argv = argv, .deadline_ms = 600000 };
	struct seen		 s = { .loop = loop_new() };
	struct capture		*c;

	(void)state;
	c = capture_new(s.loop, &spec, on_done, &s);
	assert_non_null(c);
	capture_free(&c);
	assert_null(c);
	capture_free(&c);
	loop_turn(s.loop);
	assert_int_equal(s.called, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);	/* no zombie */
	assert_int_equal(errno, ECHILD);
	seen_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(output_input_and_status),
		cmocka_unit_test(one_that_does_not_end_is_killed),
		cmocka_unit_test(one_that_writes_without_end_is_killed),
		cmocka_unit_test(freed_before_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
