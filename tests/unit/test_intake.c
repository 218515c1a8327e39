/*
 * intake: each dispatch counts once and in order; held while there is no room; refused twice is
 * passed over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "supervisor/gateway/intake.h"

static struct gw_identity	 ident;
static struct intake		 in;
static int			 answer;	/* of who takes dispatches */
static char			 did[128];	/* what was offered, replayed as "r", and seqs counted */

static int
take(void *arg, const struct envelope *e, const char *session_id, bool replayed)
{
	size_t	 n = strlen(did);

	(void)arg;
	assert_string_equal(session_id, "abc");
	snprintf(did + n, sizeof(did) - n, "%s%llu:%.*s ", replayed ? "r" : "",
	    (unsigned long long)e->s, (int)e->d.n, e->d.p);
	return answer;
}

static void
count(void *arg, uint64_t seq)
{
	size_t	 n = strlen(did);

	(void)arg;
	snprintf(did + n, sizeof(did) - n, "=%llu ", (unsigned long long)seq);
}

static const struct gw_ops	 ops = { .on_dispatch = take, .on_seq = count };

static int
setup(void **state)
{
	(void)state;
	memset(&ident, 0, sizeof(ident));
	(void)span_copy(SPAN("abc"), ident.session_id, sizeof(ident.session_id));
	ident.seq = 10;
	answer = 0;
	did[0] = '\0';
	intake_init(&in, &ident, &ops, NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	intake_fini(&in);
	return 0;
}

static enum intake_verdict
offer(uint64_t seq, bool replayed)
{
	char		 text[80];
	struct envelope	 e;

	snprintf(text, sizeof(text), "{\"t\":\"A\",\"s\":%llu,\"op\":0,\"d\":%llu}",
	    (unsigned long long)seq, (unsigned long long)seq * 2);
	assert_int_equal(envelope_scan(span_of(text), &e), 0);
	return intake_offer(&in, &e, span_of(text), replayed);
}

static void
each_once(void **state)
{
	(void)state;
	assert_int_equal(offer(11, true), INTAKE_TAKEN);
	assert_int_equal(offer(11, false), INTAKE_KNOWN);
	assert_int_equal(offer(3, false), INTAKE_KNOWN);
	assert_int_equal(offer(14, false), INTAKE_TAKEN);	/* gaps are Discord's */
	assert_int_equal(ident.seq, 14);
	intake_count(&in, 15);
	assert_int_equal(offer(15, false), INTAKE_KNOWN);
	assert_string_equal(did, "r11:22 14:28 =15 ");
}

/* It is kept as it came, and counts only when it is taken. */
static void
no_room(void **state)
{
	(void)state;
	assert_false(intake_take_up(&in));
	assert_int_equal(intake_drop_held(&in), 0);
	answer = 1;
	assert_int_equal(offer(11, true), INTAKE_HELD);
	assert_true(intake_is_holding(&in));
	assert_int_equal(ident.seq, 10);
	assert_false(intake_take_up(&in));
	assert_int_equal(ident.seq, 10);
	answer = 0;
	assert_true(intake_take_up(&in));
	assert_false(intake_is_holding(&in));
	assert_int_equal(ident.seq, 11);
	assert_false(intake_take_up(&in));
	assert_string_equal(did, "r11:22 r11:22 r11:22 ");
}

/* Let go of, it comes again: its seq has not counted. */
static void
held_and_lost(void **state)
{
	(void)state;
	answer = 1;
	assert_int_equal(offer(11, false), INTAKE_HELD);
	assert_int_equal(intake_drop_held(&in), strlen("{\"t\":\"A\",\"s\":11,\"op\":0,\"d\":22}"));
	assert_false(intake_is_holding(&in));
	answer = 0;
	assert_int_equal(offer(11, true), INTAKE_TAKEN);
	assert_string_equal(did, "11:22 r11:22 ");
}

static void
refused(void **state)
{
	(void)state;
	answer = -1;
	assert_int_equal(offer(11, false), INTAKE_REFUSED);
	assert_int_equal(ident.seq, 10);
	assert_int_equal(offer(12, false), INTAKE_REFUSED);	/* another place */
	assert_int_equal(offer(12, true), INTAKE_PASSED);
	assert_int_equal(ident.seq, 12);
	assert_string_equal(did, "11:22 12:24 r12:24 =12 ");
	assert_int_equal(offer(13, false), INTAKE_REFUSED);
	intake_forget(&in);
	assert_int_equal(offer(13, false), INTAKE_REFUSED);	/* of another session */
	assert_int_equal(offer(13, false), INTAKE_PASSED);
}

static void
unreadable(void **state)
{
	(void)state;
	assert_false(intake_bad(&in));
	assert_true(intake_bad(&in));
	assert_int_equal(offer(11, false), INTAKE_TAKEN);
	assert_false(intake_bad(&in));
	intake_forget(&in);
	assert_false(intake_bad(&in));
	assert_string_equal(did, "11:22 ");
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test_setup_teardown(each_once, setup, teardown),
		cmocka_unit_test_setup_teardown(no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(held_and_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(unreadable, setup, teardown),
	};

	return cmocka_run_group_tests_name("intake", tests, NULL, NULL);
}
