/*
 * life, lastwords, obituary, proc: what is made of a worker's signs of life, and of its death.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "proto/contract.h"
#include "supervisor/pool/lastwords.h"
#include "supervisor/pool/life.h"
#include "supervisor/pool/obituary.h"
#include "supervisor/pool/proc.h"

#define HANG	10000
#define STOPPED	2000
#define LOOK	250

static struct pulse	 pulse;

static struct life_look
look(uint64_t tick, uint64_t beats)
{
	return (struct life_look){
		.tick = tick, .beats = beats, .elapsed_ms = LOOK, .ready = true,
		.hang_ms = HANG, .stopped_ms = STOPPED,
	};
}

static int
setup(void **state)
{
	struct life_look	 l = look(5, 0);

	(void)state;
	pulse = (struct pulse){ 0 };
	assert_int_equal(life_judge(&pulse, &l, 0), LIFE_FINE);
	return 0;
}

/* Looks with nothing new until the verdict; how long that took. */
static uint64_t
until(enum life want, const struct life_look *l, char state)
{
	uint64_t	 ms = 0;

	for (int i = 0; i < 1000; i++) {
		ms += l->elapsed_ms;
		if (life_judge(&pulse, l, state) == want)
			return ms;
	}
	fail_msg("never");
	return 0;
}

static void
silence_is_asked_then_hung(void **state)
{
	struct life_look	 l = look(5, 0);

	(void)state;
	assert_int_equal(until(LIFE_ASK, &l, 'R'), HANG / 2);
	assert_int_equal(until(LIFE_HUNG, &l, 'S'), HANG / 2);
	/* It stays so until somebody acts. */
	assert_int_equal(life_judge(&pulse, &l, 'R'), LIFE_HUNG);
}

/* However slow: one turn of its loop, or one answer, in each `hang`. */
static void
any_progress_is_life(void **state)
{
	struct life_look	 l = look(5, 0);

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < HANG / LOOK - 1; i++)
			assert_int_not_equal(life_judge(&pulse, &l, 'R'), LIFE_HUNG);
		if (round % 2 == 0)
			l.tick++;
		else
			l.beats++;
		assert_int_equal(life_judge(&pulse, &l, 'R'), LIFE_FINE);
	}
	/* It is asked once in each silence. */
	assert_int_equal(until(LIFE_ASK, &l, 'R'), HANG / 2);
	assert_int_equal(life_judge(&pulse, &l, 'R'), LIFE_FINE);
	l.beats++;
	assert_int_equal(life_judge(&pulse, &l, 'R'), LIFE_FINE);
	assert_int_equal(until(LIFE_ASK, &l, 'R'), HANG / 2);
}

static void
a_stopped_one_has_its_own_limit(void **state)
{
	struct life_look	 l = look(5, 0);

	(void)state;
	assert_int_equal(until(LIFE_HALTED, &l, 'T'), STOPPED);
	setup(NULL);
	assert_int_equal(until(LIFE_HALTED, &l, 't'), STOPPED);	/* a debugger's */
}

/* Stopped and continued in turn: neither limit is reached, and the stops do not count as hung. */
static void
stops_do_not_count_as_hung(void **state)
{
	struct life_look	 l = look(5, 0);
	uint64_t		 awake_ms = 0;

	(void)state;
	for (;;) {
		for (int i = 0; i < STOPPED / LOOK - 1; i++)
			assert_int_equal(life_judge(&pulse, &l, 'T'), LIFE_FINE);
		awake_ms += LOOK;
		if (life_judge(&pulse, &l, 'R') == LIFE_HUNG)
			break;
	}
	assert_int_equal(awake_ms, HANG);
}

static void
before_ready_only_a_stop_counts(void **state)
{
	struct life_look	 l = look(5, 0);

	(void)state;
	l.ready = false;
	for (int i = 0; i < 10 * HANG / LOOK; i++)
		assert_int_equal(life_judge(&pulse, &l, 'R'), LIFE_FINE);
	assert_int_equal(until(LIFE_HALTED, &l, 'T'), STOPPED);
}

/* Reading /proc for each of hundreds of workers four times a second would cost; a tick is enough. */
static void
proc_is_read_only_after_silence(void **state)
{
	struct life_look	 l = look(6, 0);

	(void)state;
	assert_false(life_wants_state(&pulse, &l));
	l.tick = 5;
	assert_false(life_wants_state(&pulse, &l));
	(void)life_judge(&pulse, &l, 0);
	assert_true(life_wants_state(&pulse, &l));
	l.beats++;
	assert_false(life_wants_state(&pulse, &l));
}

/* ---- last words ---- */

static void
say(struct last_words *w, const char *line)
{
	last_words_add(w, span_of(line));
}

static void
the_backtrace_is_kept_apart(void **state)
{
	struct last_words	 w = { .lines_n = 0 };
	char			 line[64];

	(void)state;
	for (int i = 0; i < 20; i++) {
		snprintf(line, sizeof(line), "line %d", i);
		say(&w, line);
	}
	say(&w, CONTRACT_CRASH "SIGSEGV at 0x8");
	say(&w, "/usr/local/bin/bulkhead-worker(tasks_event+0x1f)[0x55d0]");
	say(&w, "/lib/x86_64-linux-gnu/libc.so.6(+0x3c050)[0x7f00]");
	say(&w, "[0xdead]");
	say(&w, "bulkhead-worker: bad.0#1(main+0x2b)[0x55d901846bfb]");
	for (int i = 0; i < 30; i++)
		say(&w, "prog(again+0x1)[0x1]");
	say(&w, CONTRACT_CRASH_END);
	say(&w, "after");
	assert_string_equal(w.crash, "SIGSEGV at 0x8");
	assert_string_equal(w.frames[0], "bulkhead-worker(tasks_event+0x1f)");
	assert_string_equal(w.frames[1], "libc.so.6(+0x3c050)");
	assert_string_equal(w.frames[2], "[0xdead]");
	assert_string_equal(w.frames[3], "bulkhead-worker(main+0x2b)");
	assert_int_equal(w.frames_n, OBITUARY_FRAMES);
	assert_int_equal(w.frames_cut, 34 - OBITUARY_FRAMES);
	assert_string_equal(last_words_line(&w, 0), "line 13");
	assert_string_equal(last_words_line(&w, OBITUARY_LINES - 1), "after");
	assert_null(last_words_line(&w, OBITUARY_LINES));
	/* A later one replaces it: the first may have been survived. */
	say(&w, CONTRACT_CRASH "SIGABRT");
	say(&w, CONTRACT_CRASH_END);
	assert_string_equal(w.crash, "SIGABRT");
	assert_int_equal(w.frames_n + w.frames_cut, 0);
}

static void
other_backtraces(void **state)
{
	struct last_words	 w = { .lines_n = 0 };

	(void)state;
	say(&w, "Fatal Python error: Segmentation fault");
	say(&w, "Current thread 0x00007f0000000000 (most recent call first):");
	say(&w, "  File \"bot.py\", line 7 in answer");
	say(&w, "  File \"bot.py\", line 20 in <module>");
	say(&w, "Extension modules: msgpack._cmsgpack (total: 1)");
	assert_string_equal(w.crash, "Segmentation fault");
	assert_int_equal(w.frames_n, 2);
	assert_string_equal(w.frames[0], "File \"bot.py\", line 7 in answer");
	assert_string_equal(last_words_line(&w, 0), "Extension modules: msgpack._cmsgpack (total: 1)");
	say(&w, "==12==ERROR: AddressSanitizer: SEGV on unknown address 0x08");
	say(&w, "==12==The signal is caused by a READ memory access.");
	say(&w, "    #0 0x4011 in answer bot.c:7");
	say(&w, "SUMMARY: AddressSanitizer");
	assert_string_equal(w.crash, "ERROR: AddressSanitizer: SEGV on unknown address 0x08");
	assert_int_equal(w.frames_n, 1);
	assert_string_equal(w.frames[0], "#0 0x4011 in answer bot.c:7");
}

/* ---- the cause of a death ---- */

#define EXITED(code)	((code) << 8)
#define KILLED(signo)	(signo)

static void
causes(void **state)
{
	static const struct {
		struct death_facts	 f;
		enum death		 cause;
		const char		*text;
	} rows[] = {
		{ { .status = KILLED(SIGSEGV) }, DEATH_SIGNAL,
		    "killed by signal 11 (Segmentation fault)" },
		{ { .status = KILLED(SIGKILL) }, DEATH_SIGNAL,
		    "killed by signal 9 (Killed), not by us: by somebody, or by the kernel short of memory" },
		{ { .status = KILLED(SIGKILL), .oom = true }, DEATH_MEMORY,
		    "killed by the kernel: out of memory at its limit of 256 MiB" },
		/* The kernel came first, before our signal for something else. */
		{ { .status = KILLED(SIGKILL), .oom = true, .blamed = true, .blame = DEATH_HUNG,
		    .hang_ms = 1000 }, DEATH_MEMORY,
		    "killed by the kernel: out of memory at its limit of 256 MiB" },
		/* One of its processes was killed so; it ended by itself. */
		{ { .status = EXITED(1), .oom = true, .blame_text = "" }, DEATH_EXIT,
		    "exited with status 1" },
		{ { .status = KILLED(SIGABRT), .blamed = true, .blame = DEATH_HUNG,
		    .hang_ms = 10000 }, DEATH_HUNG,
		    "killed: no progress for 10s, and it left no backtrace" },
		{ { .status = KILLED(SIGABRT) }, DEATH_SIGNAL, "killed by signal 6 (Aborted)" },
		/* It crashed before our signal came. */
		{ { .status = KILLED(SIGSEGV), .blamed = true, .blame = DEATH_HUNG },
		    DEATH_SIGNAL, "killed by signal 11 (Segmentation fault)" },
		{ { .status = KILLED(SIGKILL), .blamed = true, .blame = DEATH_STOPPED,
		    .stopped_ms = 2000 }, DEATH_STOPPED, "killed: stopped (state T) for 2s" },
		{ { .status = KILLED(SIGKILL), .blamed = true, .blame = DEATH_NO_READY,
		    .start_deadline_ms = 30000 }, DEATH_NO_READY, "killed: no READY within 30s" },
		{ { .status = KILLED(SIGKILL), .blamed = true, .blame = DEATH_MEMORY,
		    .blame_text = "too fat" }, DEATH_MEMORY, "killed: too fat" },
		{ { .status = KILLED(SIGKILL), .blamed = true, .blame = DEATH_PROTOCOL,
		    .blame_text = "READY twice" }, DEATH_PROTOCOL,
		    "killed: broke the protocol: READY twice" },
		{ { .status = EXITED(0), .asked = true }, DEATH_ASKED, "exited with status 0 as asked" },
		{ { .status = EXITED(0) }, DEATH_EXIT, "exited with status 0" },
		{ { .status = EXITED(70), .asked = true }, DEATH_EXIT,
		    "exited with status 70: it could not build what it needs" },
		{ { .status = EXITED(127), .exec_failed = "could not be started" }, DEATH_EXEC,
		    "could not be started" },
		{ { .status = EXITED(127), .program = "bot.py" }, DEATH_EXIT,
		    "exited with status 127: a program was not found by bot.py" },
	};
	struct obituary	 o;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&o, 0, sizeof(o));
		o.memory_bytes = 256u << 20;
		obituary_judge(&o, &rows[i].f);
		assert_string_equal(o.text, rows[i].text);
		assert_int_equal(o.cause, rows[i].cause);
	}
}

static void
what_was_running_is_said(void **state)
{
	struct death_facts	 f = { .status = KILLED(SIGSEGV) };
	struct obituary		 o = { .running = 0xab, .running_ms = UINT64_MAX };

	(void)state;
	obituary_judge(&o, &f);
	assert_string_equal(o.text, "killed by signal 11 (Segmentation fault)"
	    " while running delivery 00000000000000ab");
	o.running_ms = 1500;
	o.what = (struct held){ .delivery = 0xab, .object = 77, .event = "MESSAGE_CREATE" };
	obituary_judge(&o, &f);
	assert_string_equal(o.text, "killed by signal 11 (Segmentation fault)"
	    " while running MESSAGE_CREATE 77 for 1s");
	/* An end that was asked for is nobody's fault. */
	f = (struct death_facts){ .status = EXITED(0), .asked = true };
	obituary_judge(&o, &f);
	assert_string_equal(o.text, "exited with status 0 as asked");
}

/* kill -9 of a worker that waits makes no suspects of what it holds; a crash does. */
static void
whom_a_death_blames(void **state)
{
	static const struct {
		enum death	 cause;
		int		 code;
		bool		 idle, blames;
	} rows[] = {
		{ DEATH_SIGNAL, SIGKILL, true, false },
		{ DEATH_SIGNAL, SIGTERM, true, false },
		{ DEATH_STOPPED, SIGKILL, true, false },
		{ DEATH_SIGNAL, SIGKILL, false, true },	/* something ran, or there is no scoreboard */
		{ DEATH_SIGNAL, SIGSEGV, true, true },
		{ DEATH_EXIT, 1, true, true },
		{ DEATH_HUNG, SIGKILL, true, true },
		{ DEATH_MEMORY, SIGKILL, true, true },
		{ DEATH_ASKED, 0, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct obituary	 o = { .cause = rows[i].cause, .code = rows[i].code,
		    .idle = rows[i].idle };

		assert_int_equal(obituary_blames(&o), rows[i].blames);
	}
}

/* ---- /proc ---- */

static void
status_file(void **state)
{
	static const char	 good[] = "Name:\tVmRSS: 1 kB\nVmPeak:\t  9 kB\nVmHWM:\t    3412 kB\n"
	    "VmRSS:\t    2048 kB\nThreads:\t1\n";
	static const char *const bad[] = {
		"", "VmRSS:\t 1 kB\n", "VmHWM:\nVmRSS:\t2 kB\n", "VmHWM:\tmuch\nVmRSS:\t2 kB",
		"XVmHWM:\t1 kB\nXVmRSS:\t1 kB\n", "VmHWM:\t99999999999999999999999 kB\nVmRSS:\t1 kB\n",
	};
	struct proc_status	 st;

	(void)state;
	assert_true(proc_status_parse(span_of(good), &st));
	assert_int_equal(st.hwm_kib, 3412);
	assert_int_equal(st.rss_kib, 2048);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(proc_status_parse(span_of(bad[i]), &st));
	assert_true(proc_status(getpid(), &st));
	assert_true(st.rss_kib > 0 && st.hwm_kib >= st.rss_kib);
	assert_true(proc_fds(getpid()) >= 3);
	assert_int_equal(proc_fds(0), 0);
	assert_false(proc_status(0, &st));
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(silence_is_asked_then_hung),
		TEST(any_progress_is_life),
		TEST(a_stopped_one_has_its_own_limit),
		TEST(stops_do_not_count_as_hung),
		TEST(before_ready_only_a_stop_counts),
		TEST(proc_is_read_only_after_silence),
		TEST(the_backtrace_is_kept_apart),
		TEST(other_backtraces),
		TEST(causes),
		TEST(what_was_running_is_said),
		TEST(whom_a_death_blames),
		TEST(status_file),
	};

	return cmocka_run_group_tests_name("life", tests, NULL, NULL);
}
