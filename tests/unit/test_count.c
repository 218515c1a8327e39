/* count: names from the table, deltas that are reported once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/count.h"

static void
counts(void **state)
{
	(void)state;
	assert_int_equal(count_get(COUNT_calls), 0);
	COUNT(calls);
	count_add(COUNT_calls, 4);
	assert_int_equal(count_get(COUNT_calls), 5);
	assert_true(count_add_named(SPAN("calls"), 2));
	assert_int_equal(count_get(COUNT_calls), 7);
	assert_false(count_add_named(SPAN("call"), 2));
	assert_false(count_add_named(SPAN_NONE, 2));
	assert_string_equal(count_name(COUNT_calls), "calls");
	assert_string_equal(count_unit(COUNT_calls), "calls");
	assert_string_equal(count_help(COUNT_calls), "CALLs accepted");
}

static void
deltas(void **state)
{
	(void)state;
	count_add(COUNT_rest_requests, 3);
	assert_int_equal(count_take_delta(COUNT_rest_requests), 3);
	assert_int_equal(count_take_delta(COUNT_rest_requests), 0);
	COUNT(rest_requests);
	assert_int_equal(count_take_delta(COUNT_rest_requests), 1);
	assert_int_equal(count_get(COUNT_rest_requests), 4);
}

/* Every row is found by its own name, so no two rows share one. */
static void
every_row(void **state)
{
	(void)state;
	for (unsigned c = 0; c < COUNT__N; c++) {
		uint64_t	 before = count_get((enum counter)c);

		assert_true(count_add_named(span_of(count_name((enum counter)c)), 1));
		assert_int_equal(count_get((enum counter)c), before + 1);
	}
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(counts),
		cmocka_unit_test(deltas),
		cmocka_unit_test(every_row),
	};

	return cmocka_run_group_tests_name("count", tests, NULL, NULL);
}
