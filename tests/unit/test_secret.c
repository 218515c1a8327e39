/* secret: what is named is masked wherever it stands, and nothing else is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/secret.h"

static void
masks(void **state)
{
	static const struct { const char *in, *out; } rows[] = {
		{ "", "" },
		{ "nothing here", "nothing here" },
		{ "Bot abcdefgh.token", "Bot **************" },
		{ "abcdefgh.tokenabcdefgh.token", "****************************" },
		{ "abcdefgh.toke", "abcdefgh.toke" },
		{ "key=abcdefgh.key, abcdefgh.token", "key=************, **************" },
		{ "short", "short" },
	};
	char	 text[64];

	(void)state;
	secret_add(NULL);
	secret_add("short");
	secret_add("abcdefgh.token");
	secret_add("abcdefgh.token");
	secret_add("abcdefgh.key");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "%s", rows[i].in);
		assert_int_equal(secret_mask(text, strlen(text)), strcmp(rows[i].in, rows[i].out) != 0);
		assert_string_equal(text, rows[i].out);
	}
	/* Not terminated, and cut: what stands behind n is nobody's business. */
	memcpy(text, "abcdefgh.token", 14);
	assert_false(secret_mask(text, 13));
	secret_forget();
	assert_false(secret_mask(text, 14));
}

/* Only so many are kept; those named first. */
static void
bounded(void **state)
{
	char	 text[32], want[32];

	(void)state;
	for (int i = 0; i < SECRETS_MAX + 5; i++) {
		snprintf(text, sizeof(text), "secret-%04d", i);
		secret_add(text);
	}
	for (int i = 0; i < SECRETS_MAX + 5; i++) {
		snprintf(text, sizeof(text), "secret-%04d", i);
		snprintf(want, sizeof(want), "%s", i < SECRETS_MAX ? "***********" : text);
		(void)secret_mask(text, strlen(text));
		assert_string_equal(text, want);
	}
	secret_forget();
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(masks),
		cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
