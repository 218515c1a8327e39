/*
 * tables: each row is found by its name, and by nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "common/tables.h"

static void
events_by_name(void **state)
{
	const struct event_row	*rows, *r;
	size_t			 n;

	(void)state;
	rows = table_events(&n);
	assert_true(n > 20);
	for (size_t i = 0; i < n; i++)
		assert_ptr_equal(table_event(span_of(rows[i].name)), &rows[i]);
	assert_null(table_event(SPAN("READY")));
	assert_null(table_event(SPAN("")));
	assert_null(table_event(SPAN("MESSAGE_CREAT")));
	assert_null(table_event(SPAN("MESSAGE_CREATE ")));
	r = table_event(SPAN("MESSAGE_CREATE"));
	assert_true(r->object && !r->control && !r->shed);
	assert_int_equal(r->intents, 1 << 9 | 1 << 12);
	r = table_event(SPAN("TYPING_START"));
	assert_true(!r->object && r->control && r->shed);
}

static void
roles_by_name(void **state)
{
	const struct role_row	*rows;
	size_t			 n;

	(void)state;
	rows = table_roles(&n);
	assert_true(n > 1);
	for (size_t i = 0; i < n; i++)
		assert_ptr_equal(table_role(rows[i].name), &rows[i]);
	assert_null(table_role("res"));
	assert_null(table_role(""));
	assert_true(table_role("rest")->open);
	assert_string_equal(table_role("rest")->events, "");
	assert_false(table_role("echo")->open);
	assert_int_equal(table_role("echo")->credit, 64);
}

/* A number from another version has a name and a sentence too: they go into logs as %s. */
static void
errors_by_number(void **state)
{
	(void)state;
	assert_string_equal(error_name(ERR_OK), "OK");
	assert_string_equal(error_name(ERR_EDEADLINE), "EDEADLINE");
	assert_string_equal(error_text(ERR_EDEADLINE), "the deadline passed");
	assert_non_null(error_name(UINT64_MAX));
	assert_non_null(error_text(UINT64_MAX));
}

static void
an_intent_is_one_bit(void **state)
{
	const struct intent_row	*rows;
	size_t			 n;
	uint64_t		 seen = 0;

	(void)state;
	rows = table_intents(&n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(rows[i].bits & (rows[i].bits - 1), 0);
		assert_int_equal(seen & rows[i].bits, 0);
		seen |= rows[i].bits;
	}
	assert_int_equal(seen & 1 << 15, 1 << 15);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(events_by_name),
		cmocka_unit_test(roles_by_name),
		cmocka_unit_test(errors_by_number),
		cmocka_unit_test(an_intent_is_one_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
