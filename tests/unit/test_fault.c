/* fault: the grammar of specifications, and when a point strikes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/mem.h"

static struct buf	 lines;

static void
keep_line(int level, const char *class, const char *line, void *arg)
{
	(void)class;
	(void)arg;
	buf_printf(&lines, "%s %s\n", log_level_name(level), line);
}

static int
setup(void **state)
{
	(void)state;
	buf_reset(&lines);
	log_redirect(keep_line, NULL);
	return fault_init("chat.1", "", NULL);
}

static int
teardown(void **state)
{
	char	 all[1024], *rest = all, *spec;

	(void)state;
	snprintf(all, sizeof(all), "%s", fault_specs());
	while ((spec = strsep(&rest, ";")) != NULL)
		if (*spec != '\0')
			assert_int_equal(fault_set(span_make(spec, strcspn(spec, "=")), SPAN_NONE,
			    NULL), 0);
	assert_false(fault_armed_any());
	log_redirect(NULL, NULL);
	buf_fini(&lines);
	return 0;
}

/* Which of n hits strike, as a string of '.' and '!'. */
static const char *
hits(enum fault_point p, int n)
{
	static char	 text[1001];

	for (int i = 0; i < n; i++)
		text[i] = fault_hits(p, SPAN_NONE) ? '!' : '.';
	text[n] = '\0';
	return text;
}

static void
arm(const char *spec)
{
	const char	*why = "";

	if (fault_set(SPAN("child.exec"), span_of(spec), &why) != 0)
		fail_msg("%s: %s", spec, why);
}

static void
strikes(void **state)
{
	(void)state;
	assert_string_equal(hits(FAULT_CHILD_EXEC, 3), "...");
	arm("always");
	assert_string_equal(hits(FAULT_CHILD_EXEC, 4), "!!!!");
	assert_string_equal(hits(FAULT_WORKER_EXIT, 4), "....");
	arm("after=2");
	assert_string_equal(hits(FAULT_CHILD_EXEC, 5), "..!!!");
	arm("after=1,for=2");
	assert_string_equal(hits(FAULT_CHILD_EXEC, 5), ".!!..");
	assert_false(fault_armed_any());
	arm("for=1");
	assert_true(fault_armed_any());
	assert_string_equal(hits(FAULT_CHILD_EXEC, 3), "!..");
	arm("arg=5");
	assert_string_equal(hits(FAULT_CHILD_EXEC, 2), "!!");
	arm("always");
	arm("");
	assert_string_equal(hits(FAULT_CHILD_EXEC, 2), "..");
}

static void
chance_is_repeatable(void **state)
{
	char	 first[1001];
	int	 n = 0;

	(void)state;
	arm("pct=30,seed=7");
	strlcpy(first, hits(FAULT_CHILD_EXEC, 1000), sizeof(first));
	for (int i = 0; i < 1000; i++)
		n += first[i] == '!';
	assert_in_range(n, 200, 400);
	arm("pct=30,seed=7");
	assert_string_equal(hits(FAULT_CHILD_EXEC, 1000), first);
	arm("pct=30,seed=8");
	assert_string_not_equal(hits(FAULT_CHILD_EXEC, 1000), first);
	arm("pct=0");
	assert_null(strchr(hits(FAULT_CHILD_EXEC, 200), '!'));
	/* Without a seed one is chosen, and the log has it. */
	buf_reset(&lines);
	arm("pct=50");
	buf_add(&lines, "", 1);
	assert_non_null(strstr(lines.p, "warning fault child.exec armed: pct=50 seed="));
}

static void
subject_and_slot(void **state)
{
	(void)state;
	arm("match=!poison,for=1");
	assert_false(fault_hits(FAULT_CHILD_EXEC, SPAN_NONE));
	assert_false(fault_hits(FAULT_CHILD_EXEC, SPAN("!ping")));
	assert_true(fault_hits(FAULT_CHILD_EXEC, SPAN("say !poison now")));
	assert_false(fault_hits(FAULT_CHILD_EXEC, SPAN("say !poison now")));
	arm("slot=chat.0");
	assert_string_equal(hits(FAULT_CHILD_EXEC, 2), "..");
	arm("slot=chat.1");
	assert_string_equal(hits(FAULT_CHILD_EXEC, 2), "!!");
	assert_false(fault_hits_for(FAULT_CHILD_EXEC, "chat.0", SPAN_NONE));
	/* Struck on behalf of a worker: slot= is that worker's. */
	arm("slot=chat.0");
	assert_true(fault_hits_for(FAULT_CHILD_EXEC, "chat.0", SPAN("chat.0#4")));
	assert_false(fault_hits_for(FAULT_CHILD_EXEC, "chat.01", SPAN("chat.01#1")));
	/* Hits that are not its own do not use up what it has. */
	arm("match=x,after=1,for=1");
	assert_false(fault_hits(FAULT_CHILD_EXEC, SPAN("y")));
	assert_false(fault_hits(FAULT_CHILD_EXEC, SPAN("x")));
	assert_true(fault_hits(FAULT_CHILD_EXEC, SPAN("x")));
}

static void
argument(void **state)
{
	(void)state;
	assert_int_equal(fault_arg(FAULT_CHILD_EXEC, 9), 9);
	arm("arg=250,for=1");
	assert_int_equal(fault_arg(FAULT_CHILD_EXEC, 9), 250);
	/* The last strike disarms; whoever was struck asks for the number after that. */
	assert_true(fault_hits(FAULT_CHILD_EXEC, SPAN_NONE));
	assert_int_equal(fault_arg(FAULT_CHILD_EXEC, 9), 250);
	arm("always");
	assert_int_equal(fault_arg(FAULT_CHILD_EXEC, 9), 9);
}

static void
every_strike_is_logged(void **state)
{
	(void)state;
	arm("for=2");
	buf_reset(&lines);
	(void)fault_hits(FAULT_CHILD_EXEC, SPAN("who"));
	(void)fault_hits(FAULT_CHILD_EXEC, SPAN_NONE);
	(void)fault_hits(FAULT_CHILD_EXEC, SPAN_NONE);
	buf_add(&lines, "", 1);
	assert_string_equal(lines.p, "warning fault child.exec strikes subject=\"who\"\n"
	    "warning fault child.exec strikes subject=\"\"\n");
}

static void
bad_specifications(void **state)
{
	static const struct { const char *spec, *why; } rows[] = {
		{ "sometimes", "fault point child.exec: no such word \"sometimes\"; there are "
		    "always, after=, for=, pct=, seed=, match=, slot=, arg=" },
		{ "for=1,", "no such word \"\"" },
		{ ",for=1", "no such word \"\"" },
		{ "for", "for= needs a number, not \"\"" },
		{ "for=", "for= needs a number, not \"\"" },
		{ "after=-1", "after= needs a number, not \"-1\"" },
		{ "pct=5%", "pct= needs a number, not \"5%\"" },
		{ "arg=99999999999999999999", "arg= needs a number" },
		{ "pct=101", "pct=101 is above 100" },
		{ "for=0", "for=0 would never strike" },
		{ "match=", "match= needs a text" },
		{ "slot", "slot= needs a text" },
		{ "always=1", "no such word \"always=1\"" },
	};
	char		 big[300];
	const char	*why;

	(void)state;
	arm("after=1");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		why = NULL;
		assert_int_equal(fault_set(SPAN("child.exec"), span_of(rows[i].spec), &why), -1);
		assert_non_null(why);
		if (strstr(why, rows[i].why) == NULL)
			fail_msg("%s: %s", rows[i].spec, why);
	}
	memset(big, 'x', sizeof(big));
	memcpy(big, "match=", 6);
	assert_int_equal(fault_set(SPAN("child.exec"), span_make(big, sizeof(big)), &why), -1);
	assert_non_null(strstr(why, "longer than 255 bytes"));
	assert_int_equal(fault_set(SPAN("child.exe"), SPAN("always"), &why), -1);
	assert_string_equal(why, "no such fault point: \"child.exe\"");
	/* What was refused changed nothing. */
	assert_string_equal(hits(FAULT_CHILD_EXEC, 3), ".!!");
}

static void
environment(void **state)
{
	const char	*why = NULL;

	(void)state;
	assert_int_equal(fault_init("rest.0", NULL, &why), 0);
	assert_string_equal(fault_specs(), "");
	assert_int_equal(fault_init("rest.0",
	    "resolve.silent=always;rest.crash_after=after=3,for=1,match=POST /x=1;", &why), 0);
	assert_string_equal(fault_specs(),
	    "rest.crash_after=after=3,for=1,match=POST /x=1;resolve.silent=always");
	assert_true(fault_hits(FAULT_RESOLVE_SILENT, SPAN_NONE));
	assert_int_equal(fault_init("rest.0", "no.such=always", &why), -1);
	assert_string_equal(why, "no such fault point: \"no.such\"");
	assert_int_equal(fault_init("rest.0", "child.exec", &why), -1);
	assert_string_equal(why, "\"child.exec\" is not name=specification");
	assert_int_equal(fault_init("rest.0", "child.exec=for=1;worker.exit=always;child.exec=for=2",
	    &why), -1);
	assert_string_equal(why, "fault point child.exec is named twice");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(every_strike_is_logged),	/* before hundreds of the same */
		TEST(strikes),
		TEST(chance_is_repeatable),
		TEST(subject_and_slot),
		TEST(argument),
		TEST(bad_specifications),
		TEST(environment),
	};

	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
