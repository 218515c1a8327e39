/* loop: turns, tails, jobs, parked frees, timers and signals. */
#include <sys/socket.h>

#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/loop.h"
#include "common/mem.h"

static struct loop	*l;
static char		 did[256];	/* what happened, in order */

static void
note(const char *what)
{
	strlcat(did, what, sizeof(did));
}

static int
setup(void **state)
{
	(void)state;
	did[0] = '\0';
	l = loop_new();
	return l == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	loop_free(&l);
	return 0;
}

static void
say(void *arg)
{
	note(arg);
}

static void
stop(void *arg)
{
	note("stop ");
	(void)arg;
	loop_stop(l);
}

static void
free_say(void *obj)
{
	note("freed ");
	free(obj);
}

static void
nothing_to_wait_for_ends(void **state)
{
	(void)state;
	loop_run(l);
	assert_true(loop_turns(l) >= 1);
}

/* Tail functions in order, jobs after them, parked frees last, also what the tail parks. */
static struct loop_job	 job;

static void
tail_parks(void *arg)
{
	if (loop_turns(l) == 1)
		loop_park(l, mem_alloc(1), free_say);
	note(arg);
}

static void
stop_and_queue(void *arg)
{
	loop_job_queue(l, &job);
	loop_job_queue(l, &job);
	loop_park(l, mem_alloc(1), free_say);
	stop(arg);
}

static void
tail_order(void **state)
{
	struct timer	*t = timer_new(l, stop_and_queue, NULL);

	(void)state;
	job = (struct loop_job){ .fn = say, .arg = "job " };
	loop_tail(l, tail_parks, "one ");
	loop_tail(l, say, "two ");
	timer_arm_ms(t, 0);
	loop_run(l);
	assert_string_equal(did, "stop one two job freed freed ");
	timer_free(&t);
	assert_null(t);
}

/* A job queued by a job runs in the next turn, and that turn does not wait. */
static void
job_again(void *arg)
{
	note("job ");
	if (loop_turns(l) < 3)
		loop_job_queue(l, &job);
	else
		loop_stop(l);
	(void)arg;
}

static void
jobs_in_turns(void **state)
{
	struct timer	*far = timer_new(l, say, "late ");
	struct loop_job	 never = { .fn = say, .arg = "never " };
	struct mono	 start = clock_mono();

	(void)state;
	timer_arm_ms(far, 60000);
	job = (struct loop_job){ .fn = job_again };
	loop_job_queue(l, &never);
	loop_job_queue(l, &job);
	loop_job_cancel(l, &never);
	loop_job_cancel(l, &never);
	loop_run(l);
	assert_string_equal(did, "job job job ");
	assert_int_equal(loop_turns(l), 3);
	assert_true(mono_ms_between(start, clock_mono()) < 30000);
	timer_free(&far);
}

/* One job takes the next off the list that is being run. */
static struct loop_job	 victim;

static void
cancel_victim(void *arg)
{
	loop_job_cancel(l, &victim);
	stop(arg);
}

static void
job_cancels_job(void **state)
{
	(void)state;
	job = (struct loop_job){ .fn = cancel_victim };
	victim = (struct loop_job){ .fn = say, .arg = "victim " };
	loop_job_queue(l, &job);
	loop_job_queue(l, &victim);
	loop_run(l);
	assert_string_equal(did, "stop ");
}

/* A timer is never early, may arm itself again, and may free itself. */
static struct timer	*self;
static struct mono	 due;
static int		 rounds;

static void
again_then_free(void *arg)
{
	(void)arg;
	assert_false(mono_before(clock_mono(), due));
	assert_false(timer_armed(self));
	if (++rounds < 5) {
		/* Time that passes in a turn does not make the next timer early. */
		due = mono_add_ms(clock_mono(), 3);
		while (mono_before(clock_mono(), due))
			;
		due = mono_add_us(clock_mono(), 2500);
		if (rounds % 2 == 0)
			timer_arm_at(self, due);
		else
			timer_arm_ms(self, 3);
		assert_true(timer_armed(self));
		return;
	}
	timer_free(&self);
	loop_stop(l);
}

static void
timers(void **state)
{
	struct timer	*stopped = timer_new(l, say, "stopped ");

	(void)state;
	rounds = 0;
	self = timer_new(l, again_then_free, NULL);
	assert_false(timer_armed(self));
	timer_arm_ms(self, 60000);
	due = clock_mono();
	timer_arm_at(self, MONO_NEVER);		/* long past: at once; moves the first arming */
	timer_arm_ms(stopped, 1);
	timer_stop(stopped);
	assert_false(timer_armed(stopped));
	loop_run(l);
	assert_null(self);
	assert_int_equal(rounds, 5);
	assert_string_equal(did, "");
	timer_free(&stopped);
}

/* Two timers due in one turn: the first frees the second, whose callback must not come. */
static struct timer	*second;

static void
free_second(void *arg)
{
	timer_free(&second);
	stop(arg);
}

static void
active_timer_is_freed(void **state)
{
	struct timer	*first = timer_new(l, free_second, NULL);

	(void)state;
	second = timer_new(l, say, "second ");
	timer_arm_at(first, mono_add_ms(clock_mono(), 1));
	timer_arm_at(second, mono_add_ms(clock_mono(), 1));
	for (struct mono until = mono_add_ms(clock_mono(), 5); mono_before(clock_mono(), until);)
		;
	loop_run(l);
	assert_string_equal(did, "stop ");
	timer_free(&first);
}

static struct watch	*w;

static void
on_fd(int fd, int what, void *arg)
{
	char	 c;

	if (what == LOOP_WRITE) {
		note("write ");
		watch_set(w, LOOP_READ);
		assert_int_equal(write(*(int *)arg, "x", 1), 1);
		return;
	}
	note("read ");
	assert_int_equal(read(fd, &c, 1), 1);
	watch_free(&w);
	loop_stop(l);
}

static void
watches(void **state)
{
	int	 fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	w = watch_new(l, fds[0], on_fd, &fds[1]);
	watch_set(w, LOOP_READ | LOOP_WRITE);
	loop_run(l);
	assert_string_equal(did, "write read ");
	assert_null(w);
	/* Paused: what is readable is not told; a timer ends the run. */
	w = watch_new(l, fds[0], on_fd, &fds[1]);
	watch_set(w, LOOP_READ);
	watch_set(w, 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	self = timer_new(l, stop, NULL);
	timer_arm_ms(self, 5);
	loop_run(l);
	assert_string_equal(did, "write read stop ");
	timer_free(&self);
	watch_free(&w);
	close(fds[0]);
	close(fds[1]);
}

static void
on_signal(int signo, void *arg)
{
	(void)arg;
	assert_int_equal(signo, SIGUSR1);
	note("signal ");
	loop_stop(l);
}

static void
send_signal(void *arg)
{
	(void)arg;
	kill(getpid(), SIGUSR1);
}

static void
signals(void **state)
{
	struct sigwatch	*s = sigwatch_new(l, SIGUSR1, on_signal, NULL);
	struct timer	*t = timer_new(l, send_signal, NULL);

	(void)state;
	timer_arm_ms(t, 1);
	loop_run(l);
	assert_string_equal(did, "signal ");
	timer_free(&t);
	sigwatch_free(&s);
	assert_null(s);
}

/* One time for all of a turn, however long a callback takes. */
static void
same_now(void *arg)
{
	struct mono	 a = loop_now(l);

	while (mono_ms_between(a, clock_mono()) < 3)
		;
	assert_true(loop_now(l).us == a.us);
	stop(arg);
}

static void
now(void **state)
{
	struct timer	*t = timer_new(l, same_now, NULL);

	(void)state;
	timer_arm_ms(t, 0);
	loop_run(l);
	assert_string_equal(did, "stop ");
	timer_free(&t);
}

/* A turn that takes long makes the timers behind it late, and that is counted. */
static void
lateness(void **state)
{
	struct timer	*first = timer_new(l, same_now, NULL), *other = timer_new(l, say, "");

	(void)state;
	timer_arm_ms(first, 0);
	timer_arm_ms(other, 0);
	loop_run(l);
	assert_int_equal(loop_late(l)->n, 2);
	assert_in_range(loop_late(l)->max, 2900, 5000000);
	assert_in_range(histo_quantile(loop_late(l), 1000), 2900, loop_late(l)->max);
	timer_free(&first);
	timer_free(&other);
}

/* A free that parks another: both run, also without a turn. */
static void
free_and_park(void *obj)
{
	loop_park(l, mem_alloc(1), free_say);
	free_say(obj);
}

static void
free_runs_what_is_parked(void **state)
{
	(void)state;
	loop_park(l, mem_alloc(1), free_and_park);
	loop_free(&l);
	assert_null(l);
	assert_string_equal(did, "freed freed ");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(nothing_to_wait_for_ends),
		TEST(tail_order),
		TEST(jobs_in_turns),
		TEST(job_cancels_job),
		TEST(timers),
		TEST(active_timer_is_freed),
		TEST(watches),
		TEST(signals),
		TEST(now),
		TEST(lateness),
		TEST(free_runs_what_is_parked),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
