/*
 * settle: what may be given again after a death, and what an answer decides, by every kind of route.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/tables.h"
#include "supervisor/control/settle.h"

#define FIRST	1000000000ull

static enum error
again(enum settle settle, uint64_t ordinal, uint64_t now_ms)
{
	struct request_rule	 rule = { .settle = settle };

	return settle_again(&rule, ordinal, FIRST, now_ms);
}

static void
given_again(void **state)
{
	(void)state;
	for (uint64_t days = 0; days < 3; days++) {
		assert_int_equal(again(SETTLE_REPEAT, 1, FIRST + days * 86400000), ERR_OK);
		assert_int_equal(again(SETTLE_CODE, 1, FIRST + days * 86400000), ERR_OK);
		assert_int_equal(again(SETTLE_DOUBT, 1, FIRST + days * 86400000), ERR_EAMBIGUOUS);
	}
}

/* As long as Discord surely remembers it; a clock that was set back knows nothing. */
static void
by_nonce(void **state)
{
	(void)state;
	assert_int_equal(again(SETTLE_NONCE, 1, FIRST), ERR_OK);
	assert_int_equal(again(SETTLE_NONCE, 1, FIRST + NONCE_MS - 1), ERR_OK);
	assert_int_equal(again(SETTLE_NONCE, 1, FIRST + NONCE_MS), ERR_EAMBIGUOUS);
	assert_int_equal(again(SETTLE_NONCE, 1, FIRST - 1000), ERR_OK);
	assert_int_equal(again(SETTLE_NONCE, 1, FIRST - 1001), ERR_EAMBIGUOUS);
	assert_int_equal(again(SETTLE_NONCE, 0, FIRST), ERR_EAMBIGUOUS);
}

static bool
by_code(enum settle settle, enum error error, struct span body)
{
	struct request_rule	 rule = { .settle = settle, .code = 40060 };
	struct msg_RESULT	 res = { .error = (uint64_t)error, .status = 400, .body = body };

	return settle_by_code(&rule, &res);
}

static void
the_code_says_it_was_done(void **state)
{
	(void)state;
	assert_true(by_code(SETTLE_CODE, ERR_EHTTP, SPAN("{\"message\": \"x\", \"code\": 40060}")));
	assert_false(by_code(SETTLE_CODE, ERR_EHTTP, SPAN("{\"code\": 40061}")));
	assert_false(by_code(SETTLE_CODE, ERR_EHTTP, SPAN("{\"a\": {\"code\": 40060}}")));
	assert_false(by_code(SETTLE_CODE, ERR_EHTTP, SPAN("<html>")));
	assert_false(by_code(SETTLE_CODE, ERR_EHTTP, SPAN_NONE));
	assert_false(by_code(SETTLE_CODE, ERR_ETRANSPORT, SPAN("{\"code\": 40060}")));
	assert_false(by_code(SETTLE_DOUBT, ERR_EHTTP, SPAN("{\"code\": 40060}")));
}

/* Final: it was done, or was refused in a way that stays.  Undone: it never got there. */
static void
what_an_answer_decides(void **state)
{
	static const struct {
		enum error	 error;
		unsigned	 status;
		bool		 final, undone;
	} rows[] = {
		{ ERR_OK, 200, true, false }, { ERR_OK, 204, true, false },
		{ ERR_EHTTP, 400, true, false }, { ERR_EHTTP, 403, true, false },
		{ ERR_EHTTP, 404, true, false }, { ERR_EHTTP, 401, false, false },
		{ ERR_EHTTP, 408, false, false }, { ERR_EHTTP, 429, false, false },
		{ ERR_EHTTP, 500, false, false }, { ERR_EHTTP, 0, false, false },
		{ ERR_ETRANSPORT, 0, false, false }, { ERR_EDEADLINE, 0, false, false },
		{ ERR_EUNREACHABLE, 0, false, true }, { ERR_ELIMITED, 0, false, true },
		{ ERR_ERETRY, 0, false, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct msg_RESULT	 res = {
			.error = (uint64_t)rows[i].error, .status = rows[i].status,
		};

		assert_int_equal(settle_is_final(&res), rows[i].final);
		assert_int_equal(settle_is_undone(&res), rows[i].undone);
	}
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(given_again),
		cmocka_unit_test(by_nonce),
		cmocka_unit_test(the_code_says_it_was_done),
		cmocka_unit_test(what_an_answer_decides),
	};

	return cmocka_run_group_tests_name("settle", tests, NULL, NULL);
}
