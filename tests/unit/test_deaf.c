/*
 * deaf: when a silent session is asked for a sign, and when it is given up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "supervisor/gateway/deaf.h"

#define MIN	60000ull

static const struct deaf_conf	 conf = { .silence_ms = MIN, .every_ms = 5 * MIN, .answer_ms = 20000 };

static struct mono
at(uint64_t ms)
{
	return (struct mono){ 1000000000 + ms * 1000 };
}

static enum deaf_verdict
judge(struct deaf *d, uint64_t ms)
{
	return deaf_judge(d, &conf, at(ms));
}

/* The time of the first probe from ms on. */
static uint64_t
asks_at(struct deaf *d, uint64_t ms)
{
	for (uint64_t end = ms + 200 * MIN; ms < end; ms += 1000) {
		switch (judge(d, ms)) {
		case DEAF_ASK:
			return ms;
		case DEAF_YES:
			fail_msg("given up without a probe");
			break;
		case DEAF_NO:
			break;
		}
	}
	return 0;
}

static void
a_busy_session_is_asked_after_two_minutes(void **state)
{
	struct deaf	 d = { 0 };
	uint64_t	 t;

	(void)state;
	assert_int_equal(judge(&d, 0), DEAF_NO);	/* not live yet */
	deaf_live(&d, at(0));
	for (t = 0; t < 10 * MIN; t += 10) {
		deaf_heard(&d, at(t));
		assert_int_equal(judge(&d, t + 5), DEAF_NO);
	}
	t -= 10;
	assert_int_equal(asks_at(&d, t), t + 2 * MIN);
	/* Nothing is said twice while it is out. */
	assert_int_equal(judge(&d, t + 2 * MIN + 19999), DEAF_NO);
	assert_int_equal(judge(&d, t + 2 * MIN + 20000), DEAF_YES);
}

/* The answer is an event like others; the next probe is at least five minutes later. */
static void
an_answer_ends_it(void **state)
{
	struct deaf	 d = { 0 };
	uint64_t	 t;

	(void)state;
	deaf_live(&d, at(0));
	t = asks_at(&d, 0);
	assert_int_equal(t, 2 * MIN);
	deaf_heard(&d, at(t + 50));
	assert_int_equal(judge(&d, t + 25000), DEAF_NO);
	/* Silence is usual here now: twice as long, and never above ten minutes. */
	for (int i = 0; i < 10; i++) {
		uint64_t	 next = asks_at(&d, t);

		assert_true(next >= t + 5 * MIN && next <= t + 10 * MIN + 2000);
		t = next;
		deaf_heard(&d, at(t + 50));
		assert_int_equal(judge(&d, t + 25000), DEAF_NO);
	}
	/* Talk makes it short again. */
	for (uint64_t i = 0; i < 3000; i++)
		deaf_heard(&d, at(t + 30000 + i));
	assert_true(asks_at(&d, t) <= t + 5 * MIN + 1000);
}

/* A guild that is gone answers never: the connection is dropped more and more seldom. */
static void
unanswered_ones_become_seldom(void **state)
{
	struct deaf	 d = { 0 };
	uint64_t	 t = 0, last = 0, waits[7];

	(void)state;
	for (int i = 0; i < 7; i++) {
		deaf_live(&d, at(t));
		deaf_heard(&d, at(t + 10));	/* RESUMED */
		t = asks_at(&d, t);
		waits[i] = t - last;
		last = t;
		t += 20000;
		assert_int_equal(judge(&d, t), DEAF_YES);
		assert_int_equal(judge(&d, t), DEAF_NO);
	}
	assert_int_equal(waits[1], 10 * MIN);
	assert_int_equal(waits[2], 20 * MIN);
	assert_int_equal(waits[6], 80 * MIN);
	/* A new connection has not been asked anything. */
	deaf_live(&d, at(t));
	assert_int_equal(judge(&d, t + 30000), DEAF_NO);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(a_busy_session_is_asked_after_two_minutes),
		cmocka_unit_test(an_answer_ends_it),
		cmocka_unit_test(unanswered_ones_become_seldom),
	};

	return cmocka_run_group_tests_name("deaf", tests, NULL, NULL);
}
