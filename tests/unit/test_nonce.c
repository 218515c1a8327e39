/*
 * Nonces: the body of a message with one in it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "worker/rest/nonce.h"

static void
the_same_for_the_same(void **state)
{
	char	 a[NONCE_BYTES], b[NONCE_BYTES];

	(void)state;
	nonce_of(0x1234, 5, a);
	nonce_of(0x1234, 5, b);
	assert_string_equal(a, b);
	assert_in_range(strlen(a), 1, NONCE_BYTES - 1);
	nonce_of(0x1234, 6, b);
	assert_string_not_equal(a, b);
	nonce_of(0x1235, 5, b);
	assert_string_not_equal(a, b);
}

static void
bodies(void **state)
{
	static const struct {
		const char	*body, *want;
		bool		 enforced;
	} rows[] = {
		{ "{}", "{\"nonce\":\"n\",\"enforce_nonce\":true}", true },
		{ " { \n}", " {\"nonce\":\"n\",\"enforce_nonce\":true}", true },
		{ "{\"a\":1}", "{\"nonce\":\"n\",\"enforce_nonce\":true,\"a\":1}", true },
		{ "{\"nonce\":\"x\"}", "{\"enforce_nonce\":true,\"nonce\":\"x\"}", true },
		{ "{\"enforce_nonce\":true}", "{\"nonce\":\"n\",\"enforce_nonce\":true}", true },
		{ "{\"enforce_nonce\":false}", "{\"nonce\":\"n\",\"enforce_nonce\":false}", false },
		{ "{ \"enforce_nonce\":true,\"nonce\":1}", "{\"enforce_nonce\":true,\"nonce\":1}",
		    true },
		/* What is inside is not meant. */
		{ "{\"a\":{\"nonce\":1}}",
		    "{\"nonce\":\"n\",\"enforce_nonce\":true,\"a\":{\"nonce\":1}}", true },
		{ "[]", NULL, true },
		{ "", NULL, true },
		{ "{\"a\":}", NULL, true },
		{ "{} x", NULL, true },
	};
	struct buf	 out = { 0 };
	bool		 enforced;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char	*why = nonce_add(span_of(rows[i].body), "n", &out, &enforced);

		assert_int_equal(why != NULL, rows[i].want == NULL);
		assert_int_equal(enforced, rows[i].enforced);
		if (rows[i].want != NULL)
			assert_true(span_is(buf_span(&out), rows[i].want));
		else
			assert_int_equal(out.n, 0);
		buf_reset(&out);
	}
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(the_same_for_the_same),
		cmocka_unit_test(bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
