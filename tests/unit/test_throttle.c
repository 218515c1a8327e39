/*
 * throttle: how soon a dead worker comes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "supervisor/pool/throttle.h"

static struct mono
at(uint64_t ms)
{
	return (struct mono){ (1000000 + ms) * 1000 };
}

/* One life: started, READY at once, dead after life_ms. */
static uint64_t
life(struct throttle *t, uint64_t start_ms, uint64_t life_ms)
{
	throttle_started(t, at(start_ms));
	return throttle_died(t, at(start_ms + life_ms), true, life_ms, 0);
}

static void
first_restart_is_at_once(void **state)
{
	struct throttle	 t;

	(void)state;
	throttle_init(&t);
	assert_int_equal(life(&t, 0, 5), 0);
}

/* style.md 11: "restarts at once the first time, then at least 1 s apart". */
static void
later_starts_are_a_second_apart(void **state)
{
	struct throttle	 t;

	(void)state;
	throttle_init(&t);
	assert_int_equal(life(&t, 0, 5), 0);
	assert_int_equal(life(&t, 5, 300), 700);
	assert_int_equal(life(&t, 1005, 1000), 0);
	assert_int_equal(life(&t, 2005, 999), 1);
	assert_false(t.failed);
}

static void
a_healthy_spell_resets(void **state)
{
	struct throttle	 t;
	uint64_t	 now = 0;

	(void)state;
	throttle_init(&t);
	life(&t, 0, 5);
	assert_int_equal(life(&t, 5, 10), 990);
	for (int i = 0; i < 4; i++) {
		throttle_started(&t, at(now));
		throttle_died(&t, at(now + 10), false, 0, 0);
	}
	assert_int_equal(t.early, 4);
	assert_int_equal(life(&t, 100000, THROTTLE_HEALTHY_MS), 0);
	assert_int_equal(t.early, 0);
	throttle_started(&t, at(300000));
	assert_int_equal(throttle_died(&t, at(300010), false, 0, 0), THROTTLE_FIRST_MS);
}

/* 59.999 s is not healthy: what was held against the slot stays. */
static void
a_short_spell_does_not_reset(void **state)
{
	struct throttle	 t;

	(void)state;
	throttle_init(&t);
	throttle_started(&t, at(0));
	throttle_died(&t, at(10), false, 0, 0);
	throttle_died(&t, at(20), false, 0, 0);
	life(&t, 5000, THROTTLE_HEALTHY_MS - 1);
	throttle_started(&t, at(100000));
	assert_int_equal(throttle_died(&t, at(100010), false, 0, 0), 8000);
}

static void
failing_before_ready_doubles_to_the_cap(void **state)
{
	static const uint64_t	 want[] = { 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000 };
	struct throttle		 t;
	uint64_t		 now = 0;

	(void)state;
	throttle_init(&t);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		throttle_started(&t, at(now));
		assert_int_equal(throttle_died(&t, at(now + 10), false, 0, 0), want[i]);
		now += 10 + want[i];
	}
	for (int i = 0; i < 100; i++) {		/* no overflow of the shift */
		throttle_started(&t, at(now));
		assert_int_equal(throttle_died(&t, at(now + 10), false, 0, 0), THROTTLE_CAP_MS);
		now += 10 + THROTTLE_CAP_MS;
	}
	assert_false(t.failed);			/* slow failures are back-off, not a storm */
}

/* Jitter shortens by at most a quarter and never lengthens. */
static void
jitter_stays_in_its_quarter(void **state)
{
	struct throttle	 t;
	uint64_t	 low = UINT64_MAX, high = 0, wait;

	(void)state;
	for (uint64_t r = 0; r < 5000; r++) {
		throttle_init(&t);
		throttle_started(&t, at(0));
		wait = throttle_died(&t, at(10), false, 0, r * 0x9e3779b97f4a7c15ull);
		low = wait < low ? wait : low;
		high = wait > high ? wait : high;
	}
	assert_in_range(low, 1500, 1510);
	assert_in_range(high, 1990, 2000);
}

static void
ten_deaths_in_a_minute_are_failed(void **state)
{
	struct throttle	 t;
	uint64_t	 wait = 0;

	(void)state;
	throttle_init(&t);
	for (int i = 0; i < THROTTLE_DEATHS; i++) {
		assert_false(t.failed);
		wait = life(&t, (uint64_t)i * 1000, 500);
	}
	assert_true(t.failed);
	assert_int_equal(wait, THROTTLE_CAP_MS);
	/* It stays failed and at the cap until it proves itself. */
	assert_int_equal(life(&t, 200000, 500), THROTTLE_CAP_MS);
	assert_true(t.failed);
	assert_int_equal(life(&t, 300000, THROTTLE_HEALTHY_MS), 0);
	assert_false(t.failed);
}

static void
ten_deaths_in_more_than_a_minute_are_not(void **state)
{
	struct throttle	 t;

	(void)state;
	throttle_init(&t);
	for (int i = 0; i < 50; i++)
		life(&t, (uint64_t)i * 6700, 100);	/* ten of them take 60.3 s */
	assert_false(t.failed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_restart_is_at_once),
		cmocka_unit_test(later_starts_are_a_second_apart),
		cmocka_unit_test(a_healthy_spell_resets),
		cmocka_unit_test(a_short_spell_does_not_reset),
		cmocka_unit_test(failing_before_ready_doubles_to_the_cap),
		cmocka_unit_test(jitter_stays_in_its_quarter),
		cmocka_unit_test(ten_deaths_in_a_minute_are_failed),
		cmocka_unit_test(ten_deaths_in_more_than_a_minute_are_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
