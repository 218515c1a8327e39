/*
 * identify: the budget that must never be burnt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "supervisor/gateway/identify.h"

#define T0	1700000000000ull
#define DAY	86400000ull

static void
spacing(void **state)
{
	struct identify		 id;
	enum identify_why	 why;

	(void)state;
	identify_init(&id, NULL);
	assert_int_equal(identify_wait_ms(&id, T0, &why), 0);
	assert_int_equal(why, IDENTIFY_NOW);
	identify_count(&id, T0);
	assert_int_equal(identify_wait_ms(&id, T0, &why), IDENTIFY_SPACING_MS);
	assert_int_equal(why, IDENTIFY_SPACED);
	assert_int_equal(identify_wait_ms(&id, T0 + 5000, NULL), IDENTIFY_SPACING_MS - 5000);
	assert_int_equal(identify_wait_ms(&id, T0 + IDENTIFY_SPACING_MS, NULL), 0);
}

/* The count is in the journal: a process that crashes after each IDENTIFY stays within it. */
static void
outlives_the_process(void **state)
{
	struct gw_budget	 kept = { 0 };
	struct identify		 id;
	uint64_t		 now = T0, sent = 0, wait;

	(void)state;
	while (now < T0 + DAY) {
		identify_init(&id, &kept);
		wait = identify_wait_ms(&id, now, NULL);
		if (wait > 0) {
			now += wait;
			continue;
		}
		identify_count(&id, now);
		kept = id.budget;
		sent++;
		now += 10;
	}
	assert_int_equal(sent, IDENTIFY_TOTAL - IDENTIFY_RESERVE);
}

static void
discord_wins(void **state)
{
	struct gw_budget	 kept = { .last_ms = T0 - 60000, .day_ms = T0 - 60000,
	    .used = 999 };
	struct identify		 id;
	enum identify_why	 why;

	(void)state;
	identify_init(&id, &kept);
	assert_true(identify_left(&id, T0) == UINT64_MAX);
	assert_int_equal(identify_wait_ms(&id, T0, &why), DAY - 60000);
	assert_int_equal(why, IDENTIFY_SPENT);
	identify_told(&id, T0, 1000, 900, 3600000);
	assert_int_equal(identify_wait_ms(&id, T0, NULL), 0);
	assert_int_equal(identify_left(&id, T0), 900);

	/* And the other way: it knows of another process with our token. */
	kept.used = 1;
	identify_init(&id, &kept);
	identify_told(&id, T0, 1000, 5, 3600000);
	assert_int_equal(identify_wait_ms(&id, T0, &why), 3600000);
	assert_int_equal(why, IDENTIFY_SPENT);
	assert_int_equal(identify_wait_ms(&id, T0 + 3600000, NULL), 0);
	identify_told(&id, T0, 1000, 6, 3600000);
	assert_int_equal(identify_wait_ms(&id, T0, NULL), 0);
	identify_count(&id, T0);
	assert_int_equal(identify_left(&id, T0), 5);
	assert_int_equal(identify_wait_ms(&id, T0 + 10000, &why), 3590000);
	assert_int_equal(why, IDENTIFY_SPENT);
}

static void
day_turns(void **state)
{
	struct identify	 id;

	(void)state;
	identify_init(&id, NULL);
	identify_told(&id, T0, 1000, 7, 10000);
	identify_count(&id, T0 + 20000);
	assert_int_equal(identify_left(&id, T0 + 20000), 999);
	assert_int_equal(id.budget.used, 1);
	identify_count(&id, T0 + 20000 + DAY - 1);
	assert_int_equal(id.budget.used, 2);
	identify_count(&id, T0 + 20000 + DAY);
	assert_int_equal(id.budget.used, 1);
}

/* A clock that was set back or forward costs a spacing or a day, not for ever. */
static void
clock_was_set(void **state)
{
	struct gw_budget	 kept = { .last_ms = T0 + 30 * DAY, .day_ms = T0 + 30 * DAY,
	    .used = 3 };
	struct identify		 id;

	(void)state;
	identify_init(&id, &kept);
	assert_int_equal(identify_wait_ms(&id, T0, NULL), IDENTIFY_SPACING_MS);
	identify_count(&id, T0);
	assert_true(id.budget.day_ms == T0);
	identify_told(&id, T0, 1000, 0, UINT64_MAX);
	assert_int_equal(identify_wait_ms(&id, T0, NULL), DAY);
}

/* A small total keeps a small reserve. */
static void
small_totals(void **state)
{
	struct identify	 id;

	(void)state;
	identify_init(&id, NULL);
	identify_told(&id, T0, 3, 1, 5000);
	assert_int_equal(identify_wait_ms(&id, T0, NULL), 0);
	identify_told(&id, T0, 3, 0, 5000);
	assert_int_equal(identify_wait_ms(&id, T0, NULL), 5000);
	identify_told(&id, T0, 20, 2, 5000);
	assert_int_equal(identify_wait_ms(&id, T0, NULL), 5000);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(spacing),
		cmocka_unit_test(outlives_the_process),
		cmocka_unit_test(discord_wins),
		cmocka_unit_test(day_turns),
		cmocka_unit_test(clock_was_set),
		cmocka_unit_test(small_totals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
