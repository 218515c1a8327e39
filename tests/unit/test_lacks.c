/* lacks: on which machine what is said, and that each sentence says what would help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "supervisor/pool/lacks.h"

static void
rows(void **state)
{
	static const struct {
		struct lacks_of	 of;
		const char	*words[LACKS_MAX + 1];
	} all[] = {
		{ { 7, true, false, true }, { NULL } },
		{ { 6, false, false, true }, { NULL } },
		{ { 5, false, false, true }, { "other workers" } },
		{ { 5, true, false, true }, { "other handlers" } },
		{ { 0, true, false, true }, { "other handlers" } },
		{ { 1, false, false, false }, { "no Landlock", "other workers", "any number" } },
		{ { 0, false, true, false }, { "it is root", "no Landlock", "other workers", "any number" } },
		{ { 7, false, false, false }, { "any number" } },
	};
	const char	*got[LACKS_MAX];
	size_t		 i, k, n;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		n = lacks(&all[i].of, got);
		for (k = 0; all[i].words[k] != NULL; k++) {
			assert_true(k < n);
			assert_non_null(strstr(got[k], all[i].words[k]));
			if (!all[i].of.own_user)
				assert_non_null(strstr(got[k], "handler_user"));
		}
		assert_int_equal(n, k);
	}
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
