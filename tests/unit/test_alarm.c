/*
 * Alarms: their order, what a tick calls and what it leaves for the next.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "worker/runtime/alarm.h"

static struct alarms	 alarms;
static struct alarm	 a, b, c;
static struct mono	 time_now, woken;
static char		 did[64];

static struct mono
now(void *arg)
{
	assert_ptr_equal(arg, &alarms);
	return time_now;
}

static void
wake_at(void *arg, struct mono at)
{
	assert_ptr_equal(arg, &alarms);
	woken = at;
}

static void
say(void *arg)
{
	size_t	 n = strlen(did);

	snprintf(did + n, sizeof(did) - n, "%s", (const char *)arg);
}

static int
setup(void **state)
{
	(void)state;
	time_now = (struct mono){ 1000000 };
	woken = MONO_NEVER;
	memset(&a, 0, sizeof(a));
	b = c = a;
	did[0] = '\0';
	alarms_init(&alarms, now, wake_at, &alarms);
	return 0;
}

static void
tick(uint64_t ms, const char *want)
{
	time_now = mono_add_ms(time_now, ms);
	alarms_tick(&alarms);
	assert_string_equal(did, want);
	did[0] = '\0';
}

static void
by_time_then_by_arming(void **state)
{
	(void)state;
	alarm_arm(&alarms, &a, 20, say, "a");
	alarm_arm(&alarms, &b, 10, say, "b");
	assert_int_equal(woken.us, 1010000);
	alarm_arm(&alarms, &c, 20, say, "c");
	assert_int_equal(woken.us, 1010000);
	tick(9, "");
	tick(1, "b");
	assert_int_equal(woken.us, 1020000);
	tick(100, "ac");
	assert_true(mono_is_never(woken));
}

static void
armed_anew_and_stopped(void **state)
{
	(void)state;
	alarm_stop(&alarms, &a);
	alarm_arm(&alarms, &a, 10, say, "a");
	alarm_arm(&alarms, &b, 10, say, "b");
	alarm_arm(&alarms, &a, 30, say, "A");
	tick(10, "b");
	alarm_stop(&alarms, &a);
	tick(30, "");
	assert_true(mono_is_never(woken));
}

/* As a scope does that ends in the callback of one of its children. */
static void
say_and_stop_c(void *arg)
{
	say(arg);
	alarm_stop(&alarms, &c);
}

static void
say_and_arm_again(void *arg)
{
	say(arg);
	alarm_arm(&alarms, &a, 0, say_and_arm_again, arg);
}

/* What arms itself for now must not keep the loop. */
static void
what_a_tick_arms_waits_for_the_next(void **state)
{
	(void)state;
	alarm_arm(&alarms, &a, 5, say_and_arm_again, "a");
	alarm_arm(&alarms, &b, 6, say_and_stop_c, "b");
	alarm_arm(&alarms, &c, 6, say, "c");
	tick(6, "ab");
	assert_int_equal(woken.us, time_now.us);
	tick(0, "a");
	alarm_stop(&alarms, &a);
	tick(1, "");
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test_setup(by_time_then_by_arming, setup),
		cmocka_unit_test_setup(armed_anew_and_stopped, setup),
		cmocka_unit_test_setup(what_a_tick_arms_waits_for_the_next, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
