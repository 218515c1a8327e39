/* histo: quantiles are right to a quarter, whatever comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/histo.h"

static void
empty(void **state)
{
	struct histo	 h = { 0 };

	(void)state;
	assert_int_equal(histo_quantile(&h, 500), 0);
	histo_add(&h, 0);
	assert_int_equal(histo_quantile(&h, 990), 0);
	assert_int_equal(h.max, 0);
}

static void
quantiles(void **state)
{
	struct histo	 h = { 0 };

	(void)state;
	for (uint64_t v = 1; v <= 10000; v++)
		histo_add(&h, v);
	assert_in_range(histo_quantile(&h, 500), 5000, 6250);
	assert_in_range(histo_quantile(&h, 990), 9900, 10000);
	assert_int_equal(histo_quantile(&h, 1000), 10000);
	assert_int_equal(histo_quantile(&h, 0), 1);
	assert_int_equal(h.n, 10000);
}

/* One value alone: it is named to a quarter, never below what it is. */
static void
each_step(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 64; bit++)
		for (int off = -1; off <= 1; off++) {
			uint64_t	 v = (UINT64_C(1) << bit) + (uint64_t)(int64_t)off;
			struct histo	 h = { 0 };

			histo_add(&h, v);
			histo_add(&h, UINT64_MAX);
			if (v < UINT64_C(1) << 40)
				assert_in_range(histo_quantile(&h, 500), v, v + v / 4);
			assert_int_equal(histo_quantile(&h, 1000), UINT64_MAX);
		}
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(quantiles),
		cmocka_unit_test(each_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
