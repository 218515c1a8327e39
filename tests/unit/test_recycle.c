/*
 * recycle: which limit is met, and when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include "supervisor/pool/recycle.h"

static char	 why[128];

static const char *
due(struct recycle_limits l, struct recycle_use u)
{
	return recycle_due(&l, &u, why, sizeof(why));
}

static void
without_limits_never(void **state)
{
	struct recycle_use	 old = { UINT64_MAX, UINT64_MAX, UINT64_MAX, 999 };

	(void)state;
	assert_null(due((struct recycle_limits){ 0, 0, 0 }, old));
}

static void
each_limit_by_itself(void **state)
{
	(void)state;
	assert_null(due((struct recycle_limits){ .age_ms = 5000 },
	    (struct recycle_use){ .age_ms = 4999 }));
	assert_non_null(strstr(due((struct recycle_limits){ .age_ms = 5000 },
	    (struct recycle_use){ .age_ms = 5000 }), "5s old"));
	assert_null(due((struct recycle_limits){ .deliveries = 3 },
	    (struct recycle_use){ .deliveries = 2 }));
	assert_string_equal(due((struct recycle_limits){ .deliveries = 3 },
	    (struct recycle_use){ .deliveries = 3 }),
	    "it has finished 3 deliveries, max_deliveries is 3");
	assert_null(due((struct recycle_limits){ .rss_bytes = 1 << 20 },
	    (struct recycle_use){ .rss_bytes = 1 << 20 }));
	assert_string_equal(due((struct recycle_limits){ .rss_bytes = 1 << 20 },
	    (struct recycle_use){ .rss_bytes = 2 << 20 }),
	    "it uses 2048 KiB of memory, max_rss or nine tenths of its limit is 1024");
}

/* Siblings of one age go at different moments, at most a fifth before the limit, never after it. */
static void
siblings_go_apart(void **state)
{
	struct recycle_limits	 l = { .age_ms = 1000000, .deliveries = 1000 };

	(void)state;
	for (uint64_t j = 0; j < RECYCLE_JITTER_MAX; j++) {
		struct recycle_use	 u = { .jitter = j };

		u.age_ms = 1000000 - 200 * j;
		assert_non_null(due(l, u));
		u.age_ms--;
		assert_null(due(l, u));
		u.deliveries = 801;
		assert_true((due(l, u) != NULL) == (200 * j / 1000 >= 199));
	}
}

/* The jitter of nothing is nothing; of the largest numbers it does not overflow into "at once". */
static void
the_ends_of_the_range(void **state)
{
	struct recycle_limits	 l = { .age_ms = 2678400000, .deliveries = 1000000000000 };

	(void)state;
	assert_null(due(l, (struct recycle_use){ .jitter = 999 }));
	assert_null(due((struct recycle_limits){ .deliveries = 1 },
	    (struct recycle_use){ .jitter = 999 }));
	assert_non_null(due((struct recycle_limits){ .deliveries = 1 },
	    (struct recycle_use){ .deliveries = 1, .jitter = 999 }));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_limits_never),
		cmocka_unit_test(each_limit_by_itself),
		cmocka_unit_test(siblings_go_apart),
		cmocka_unit_test(the_ends_of_the_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
