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

/* What is handed back comes again: all behind it goes back too, and what arrives until that is known. */
static void
what_is_handed_back_is_not_overtaken(void **state)
{
	struct mailbox	*m = mailbox_new(true);
	struct mail	 a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }, other = { 0 }, control = { 0 };

	(void)state;
	assert_true(mailbox_put(m, &a, 7, false));
	assert_false(mailbox_put(m, &b, 7, false));
	assert_false(mailbox_put(m, &c, 7, false));
	assert_true(mailbox_put(m, &other, 8, false));
	assert_true(mailbox_put(m, &control, 7, true));
	assert_null(mailbox_back(m, &control));
	assert_false(mailbox_is_shut(m, 7, false, false));
	assert_ptr_equal(mailbox_back(m, &a), &b);
	assert_ptr_equal(mailbox_back(m, &a), &c);
	assert_null(mailbox_back(m, &a));
	assert_true(mailbox_is_shut(m, 7, false, false));
	assert_true(mailbox_is_shut(m, 7, false, false));
	assert_false(mailbox_is_shut(m, 7, true, false));
	assert_false(mailbox_is_shut(m, 8, false, false));
	assert_false(mailbox_is_shut(m, 7, false, true));
	assert_false(mailbox_is_shut(m, 7, false, false));
	assert_true(mailbox_put(m, &a, 7, false));
	assert_false(mailbox_put(m, &d, 7, false));
	assert_ptr_equal(mailbox_done(m, &a), &d);
	assert_null(mailbox_back(m, &d));		/* shut, and freed with the mailbox */
	assert_null(mailbox_done(m, &other));
	mailbox_free(&m);
	m = mailbox_new(false);
	assert_true(mailbox_put(m, &a, 7, false));
	assert_null(mailbox_back(m, &a));
	assert_false(mailbox_is_shut(m, 7, false, false));
	mailbox_free(&m);
}

/* Keys that never come back here do not pile up. */
static void
few_keys_are_shut(void **state)
{
	struct mailbox	*m = mailbox_new(true);
	struct mail	 a = { 0 };

	(void)state;
	for (uint64_t key = 1; key <= MAILBOX_SHUT_MAX + 2; key++) {
		assert_true(mailbox_put(m, &a, key, false));
		assert_null(mailbox_back(m, &a));
	}
	assert_false(mailbox_is_shut(m, 1, false, false));
	assert_false(mailbox_is_shut(m, 2, false, false));
	assert_true(mailbox_is_shut(m, 3, false, false));
	assert_true(mailbox_is_shut(m, MAILBOX_SHUT_MAX + 2, false, false));
	mailbox_free(&m);
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
		cmocka_unit_test(what_is_handed_back_is_not_overtaken),
		cmocka_unit_test(few_keys_are_shut),
		cmocka_unit_test(other_keys_do_not_wait),
		cmocka_unit_test(a_key_that_was_idle_starts_at_once),
		cmocka_unit_test(control_overtakes_and_releases_nobody),
		cmocka_unit_test(an_open_mailbox_holds_nobody),
		cmocka_unit_test(a_waiting_letter_can_be_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
