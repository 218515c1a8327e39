/*
 * voice: what stands in a worker's pipe is logged under its tag, up to the rate, and kept.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/log.h"
#include "common/mem.h"
#include "supervisor/pool/lastwords.h"
#include "supervisor/pool/voice.h"

static struct loop	*loop;
static struct voice	 v;
static int		 in;		/* the worker's end; -1: closed */
static struct buf	 logged;	/* each line in brackets */
static size_t		 logged_n, warned_n;

static void
note(int level, const char *class, const char *line, void *arg)
{
	(void)class;
	(void)arg;
	if (level == LOG_WARNING) {
		warned_n++;
		return;
	}
	logged_n++;
	buf_printf(&logged, "[%s]", line);
}

static int
setup(void **state)
{
	int	 fds[2];

	(void)state;
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) == -1)
		return -1;
	in = fds[1];
	loop = loop_new();
	voice_init(&v, loop, "w.0#1", fds[0]);
	logged_n = warned_n = 0;
	log_redirect(note, NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	log_redirect(NULL, NULL);
	if (in != -1)
		close(in);
	voice_fini(&v);
	loop_free(&loop);
	buf_fini(&logged);
	return 0;
}

static void
assert_logged(const char *want)
{
	buf_add(&logged, "", 1);
	assert_string_equal(logged.p + logged.off, want);
	buf_reset(&logged);
}

static void
as_it_comes(void **state)
{
	static const char	 text[] = "one\n\ntwo\nthree";

	(void)state;
	for (const char *p = text; *p != '\0'; p++) {
		assert_int_equal(write(in, p, 1), 1);
		loop_turn(loop);
	}
	assert_logged("[w.0#1 one][w.0#1 two]");
	voice_end(&v);		/* what has no end is a line too */
	assert_logged("[w.0#1 three]");
	assert_string_equal(last_words_line(&v.words, 0), "one");
	assert_string_equal(last_words_line(&v.words, 2), "three");
	/* The other end is closed, and so is ours; the end may come again. */
	close(in);
	in = -1;
	loop_turn(loop);
	assert_int_equal(v.fd, -1);
	voice_end(&v);
	assert_int_equal(logged_n, 3);
}

/* Above the rate lines are counted and that is said; the last words are the last all the same. */
static void
too_much(void **state)
{
	char	 text[16];
	int	 n;

	(void)state;
	for (int i = 0; i < 300; i++) {
		n = snprintf(text, sizeof(text), "line %d\n", i);
		assert_int_equal(write(in, text, (size_t)n), n);
	}
	voice_end(&v);
	assert_int_equal(logged_n, 200);
	assert_int_equal(warned_n, 1);
	assert_false(voice_may_say(&v));
	assert_string_equal(last_words_line(&v.words, OBITUARY_LINES - 1), "line 299");
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test_setup_teardown(as_it_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(too_much, setup, teardown),
	};

	return cmocka_run_group_tests_name("voice", tests, NULL, NULL);
}
