/* measure: steps, rows of pools within their bound, what goes up once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/measure.h"

static uint64_t
sum(const struct measured *m)
{
	uint64_t	 n = 0;

	for (size_t i = 0; i < MEASURE_STEPS; i++)
		n += m->steps[i];
	return n;
}

/* They rise, and their text is their number. */
static void
steps(void **state)
{
	(void)state;
	for (size_t i = 0; i + 1 < MEASURE_STEPS; i++) {
		assert_true(measure_step_us(i) < measure_step_us(i + 1));
		assert_true(strtod(measure_step_text(i), NULL) * 1e6 + 0.5 >= (double)measure_step_us(i));
		assert_int_equal((uint64_t)(strtod(measure_step_text(i), NULL) * 1e6 + 0.5), measure_step_us(i));
	}
	assert_string_equal(measure_step_text(MEASURE_ABOVE), "+Inf");
}

/* A value belongs to the first step that it does not exceed. */
static void
edges(void **state)
{
	const struct measured	*row;

	(void)state;
	measure_add(MEASURE_gateway_latency, NULL, 0);
	measure_add(MEASURE_gateway_latency, NULL, 1000);
	measure_add(MEASURE_gateway_latency, NULL, 1001);
	measure_add(MEASURE_gateway_latency, NULL, 300000000);
	measure_add(MEASURE_gateway_latency, NULL, 300000001);
	assert_true(measure_row(MEASURE_gateway_latency, 0, &row));
	assert_false(measure_row(MEASURE_gateway_latency, 1, &row));
	assert_int_equal(row->steps[0], 2);
	assert_int_equal(row->steps[1], 1);
	assert_int_equal(row->steps[MEASURE_ABOVE - 1], 1);
	assert_int_equal(row->steps[MEASURE_ABOVE], 1);
	assert_int_equal(row->n, 5);
	assert_int_equal(row->sum_us, 600002002);
	assert_int_equal(sum(row), row->n);
}

static void
pools_within_their_bound(void **state)
{
	const struct measured	*row;
	char			 name[16];
	size_t			 i;

	(void)state;
	for (int round = 0; round < 2; round++)
		for (i = 0; i < MEASURE_POOLS + 10; i++) {
			snprintf(name, sizeof(name), "pool-%zu", i);
			measure_add(MEASURE_queue_wait, name, 5);
		}
	for (i = 0; measure_row(MEASURE_queue_wait, i, &row); i++)
		assert_int_equal(row->n, i < MEASURE_POOLS ? 2 : 20);
	assert_int_equal(i, MEASURE_POOLS + 1);
	assert_string_equal(row->pool, MEASURE_OTHERS);
}

/* A worker's gain arrives whole at its supervisor, which has no pool for it. */
static void
gains(void **state)
{
	const struct measured	*row;
	struct measured		 d;

	(void)state;
	assert_false(measure_take(MEASURE_rest_time, &d));
	measure_add(MEASURE_rest_time, NULL, 3000);
	measure_add(MEASURE_rest_time, NULL, 70000);
	assert_true(measure_take(MEASURE_rest_time, &d));
	assert_false(measure_take(MEASURE_rest_time, &d));
	measure_add(MEASURE_rest_time, NULL, 4000);
	assert_true(measure_take(MEASURE_rest_time, &d));
	assert_int_equal(d.n, 1);
	assert_int_equal(d.sum_us, 4000);
	assert_int_equal(sum(&d), 1);
	for (size_t i = 0; i < MEASURE_STEPS; i++)
		if (d.steps[i] > 0)
			assert_true(measure_gain(SPAN("rest_wait"), i, d.steps[i]));
	assert_true(measure_gain_sum(SPAN("rest_wait"), d.sum_us));
	assert_true(measure_row(MEASURE_rest_wait, 0, &row));
	assert_int_equal(row->n, 1);
	assert_int_equal(row->sum_us, 4000);
	assert_false(measure_gain(SPAN("rest_wait"), MEASURE_STEPS, 1));
	assert_false(measure_gain(SPAN("queue_wait"), 0, 1));
	assert_false(measure_gain(SPAN("nothing"), 0, 1));
	assert_false(measure_gain_sum(SPAN_NONE, 1));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(steps),
		cmocka_unit_test(edges),
		cmocka_unit_test(pools_within_their_bound),
		cmocka_unit_test(gains),
	};

	return cmocka_run_group_tests_name("measure", tests, NULL, NULL);
}
