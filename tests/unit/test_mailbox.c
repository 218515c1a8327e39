/*
 * mailbox: one conversation in order, others beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "worker/runtime/mailbox.h"

static void
one_key_starts_one_after_the_other(void **state)
{
	struct mailbox	*m = mailbox_new(true);
	struct mail	 a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	assert_true(mailbox_put(m, &a, 7, false));
	assert_false(mailbox_put(m, &b, 7, false));
	assert_false(mailbox_put(m, &c, 7, false));
	assert_ptr_equal(mailbox_done(m, &a), &b);
	assert_ptr_equal(mailbox_done(m, &b), &c);
	assert_null(mailbox_done(m, &c));
	mailbox_free(&m);
	assert_null(m);
}

static void
other_keys_do_not_wait(void **state)
{
	struct mailbox	*m = mailbox_new(true);
	struct mail	 a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	assert_true(mailbox_put(m, &a, 7, false));
	assert_true(mailbox_put(m, &b, 8, false));
	assert_false(mailbox_put(m, &c, 8, false));
	assert_null(mailbox_done(m, &a));
	assert_ptr_equal(mailbox_done(m, &b), &c);
	assert_null(mailbox_done(m, &c));
	mailbox_free(&m);
}

/*
 * A key is free again when its last letter is done: nothing is left behind that would hold the next
 * one.
 */
static void
a_key_that_was_idle_starts_at_once(void **state)
{
	struct mailbox	*m = mailbox_new(true);
	struct mail	 a = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_true(mailbox_put(m, &a, 7, false));
		assert_null(mailbox_done(m, &a));
	}
	mailbox_free(&m);
}

/* Design 3.13: control events skip the mailbox. */
static void
control_overtakes_and_releases_nobody(void **state)
{
	struct mailbox	*m = mailbox_new(true);
	struct mail	 a = { 0 }, b = { 0 }, control = { 0 };

	(void)state;
	assert_true(mailbox_put(m, &a, 7, false));
	assert_false(mailbox_put(m, &b, 7, false));
	assert_true(mailbox_put(m, &control, 7, true));
	assert_null(mailbox_done(m, &control));
	assert_ptr_equal(mailbox_done(m, &a), &b);
	assert_null(mailbox_done(m, &b));
	mailbox_free(&m);
}

static void
an_open_mailbox_holds_nobody(void **state)
{
	struct mailbox	*m = mailbox_new(false);
	struct mail	 a = { 0 }, b = { 0 };

	(void)state;
	assert_true(mailbox_put(m, &a, 7, false));
	assert_true(mailbox_put(m, &b, 7, false));
	assert_null(mailbox_done(m, &a));
	assert_null(mailbox_done(m, &b));
	mailbox_free(&m);
}

/* A letter that is given up while it waits neither starts nor starts another. */
static void
a_waiting_letter_can_be_given_up(void **state)
{
	struct mailbox	*m = mailbox_new(true);
	struct mail	 a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	assert_true(mailbox_put(m, &a, 7, false));
	assert_false(mailbox_put(m, &b, 7, false));
	assert_false(mailbox_put(m, &c, 7, false));
	assert_null(mailbox_done(m, &b));
	assert_ptr_equal(mailbox_done(m, &a), &c);
	assert_null(mailbox_done(m, &c));
	mailbox_free(&m);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(one_key_starts_one_after_the_other),
		cmocka_unit_test(other_keys_do_not_wait),
		cmocka_unit_test(a_key_that_was_idle_starts_at_once),
		cmocka_unit_test(control_overtakes_and_releases_nobody),
		cmocka_unit_test(an_open_mailbox_holds_nobody),
		cmocka_unit_test(a_waiting_letter_can_be_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
