/* clock: times for people and machines, arithmetic at its edges, fair randomness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/clock.h"

static void
for_people(void **state)
{
	static const struct { uint64_t ms; const char *text; } rows[] = {
		{ 0, "0ms" }, { 450, "450ms" }, { 999, "999ms" }, { 1000, "1s" }, { 59999, "59s" },
		{ 60000, "1m 0s" }, { 723000, "12m 3s" }, { 3600000, "1h 0m" },
		{ 86399999, "23h 59m" },
		{ 273600000, "3d 4h" }, { UINT64_MAX, "213503982334d 14h" },
	};
	char	 dst[24];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(clock_human_ms(rows[i].ms, dst, sizeof(dst)), rows[i].text);
}

static void
for_machines(void **state)
{
	char	 dst[32];

	(void)state;
	assert_string_equal(clock_iso(0, dst, sizeof(dst)), "1970-01-01T00:00:00.000Z");
	assert_string_equal(clock_iso(1795166419123, dst, sizeof(dst)), "2026-11-20T09:20:19.123Z");
	assert_string_equal(clock_iso(951782400007, dst, sizeof(dst)), "2000-02-29T00:00:00.007Z");
	assert_string_equal(clock_iso(UINT64_MAX, dst, sizeof(dst)), "9999-12-31T23:59:59.999Z");
}

static void
arithmetic(void **state)
{
	struct mono	 a = { 5000 }, b = mono_add_ms(a, 7);

	(void)state;
	assert_true(b.us == 12000);
	assert_true(mono_before(a, b) && !mono_before(b, a) && !mono_before(a, a));
	assert_true(mono_ms_between(a, b) == 7 && mono_ms_between(b, a) == 0);
	assert_true(mono_ms_between(a, mono_add_us(a, 999)) == 0);
	assert_true(mono_ms_until(a, mono_add_us(a, 1)) == 1 && mono_ms_until(b, a) == 0);
	assert_true(mono_is_never(MONO_NEVER) && !mono_is_never(a));
	assert_true(clock_since_ms(7, 9) == 2 && clock_since_ms(9, 7) == 0);
	/* Discord docs, reference, snowflakes: the example there. */
	assert_true(clock_snowflake_ms(175928847299117063) == 1462015105796);
}

static void
it_runs(void **state)
{
	struct mono	 a = clock_mono(), b = clock_mono();

	(void)state;
	assert_false(mono_is_never(a));
	assert_false(mono_before(b, a));
	assert_true(clock_wall_ms() > 1700000000000);
}

static void
randomness(void **state)
{
	unsigned	 seen[7] = { 0 };

	(void)state;
	for (int i = 0; i < 7000; i++) {
		uint64_t	 v = clock_random(7);

		assert_true(v < 7);
		seen[v]++;
	}
	/* 1000 each with a deviation of 29: 800 is seven deviations away. */
	for (int i = 0; i < 7; i++)
		assert_in_range(seen[i], 800, 1200);
	assert_true(clock_random(1) == 0);
	assert_true(clock_random(UINT64_MAX) != clock_random(UINT64_MAX));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(for_people),
		cmocka_unit_test(for_machines),
		cmocka_unit_test(arithmetic),
		cmocka_unit_test(it_runs),
		cmocka_unit_test(randomness),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
