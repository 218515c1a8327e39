/*
 * handover: what goes in comes out; what another release wrote is passed over; what is none is none.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "supervisor/handover.h"

static const struct handover	 given = {
	.lock_fd = 7, .control_fd = 8, .from = "0.1.0", .runtime_dir = "/run/a dir=1", .closed_at = { 123456789012ull },
	.upgrades = 3, .failed = "exec: no",
};

static void
there_and_back(void **state)
{
	struct cfg_var	 v[] = { { (char *)(uintptr_t)"HANDOVER_A", (char *)(uintptr_t)"one=two" },
	    { (char *)(uintptr_t)"HANDOVER_B", (char *)(uintptr_t)"" } };
	struct cfg_vars	 vars = { v, 2 };
	struct handover	 h;
	struct buf	 b = { 0 };
	char		 fd_text[16];
	int		 fd;

	(void)state;
	handover_pack(&given, &vars, &b);
	fd = handover_fd(buf_span(&b));
	assert_true(fd > 2);
	assert_int_equal(fcntl(fd, F_GETFD), 0);	/* it survives exec */
	snprintf(fd_text, sizeof(fd_text), "%d", fd);
	assert_int_equal(setenv(HANDOVER_ENV, fd_text, 1), 0);
	assert_true(handover_take(&h));
	assert_false(h.check);
	assert_int_equal(h.lock_fd, 7);
	assert_int_equal(h.control_fd, 8);
	assert_string_equal(h.from, "0.1.0");
	assert_string_equal(h.runtime_dir, "/run/a dir=1");
	assert_true(h.closed_at.us == given.closed_at.us);
	assert_int_equal(h.upgrades, 3);
	assert_string_equal(h.failed, "exec: no");
	assert_string_equal(getenv("HANDOVER_A"), "one=two");
	assert_string_equal(getenv("HANDOVER_B"), "");
	assert_null(getenv(HANDOVER_ENV));
	assert_int_equal(fcntl(fd, F_GETFD), -1);	/* closed */
	assert_false(handover_take(&h));
	assert_int_equal(h.lock_fd, -1);
	buf_fini(&b);
}

static void
other_releases_and_rubbish(void **state)
{
	static const char	 other[] = "bulkhead-handover=1\0new=thing\0alone\0upgrades=x\0lock_fd=99999999999\0"
				    "from=2.0\0vars=";
	static const char	 rubbish[] = "bulkhead-handover=2\0vars=";
	struct handover		 h;
	struct buf		 b = { 0 };

	(void)state;
	assert_true(handover_unpack(span_make(other, sizeof(other)), false, &h));
	assert_string_equal(h.from, "2.0");
	assert_int_equal(h.lock_fd, -1);
	assert_int_equal(h.control_fd, -1);
	assert_int_equal(h.upgrades, 0);
	assert_false(handover_unpack(span_make(rubbish, sizeof(rubbish)), false, &h));
	assert_false(handover_unpack(SPAN_NONE, false, &h));
	/* Cut anywhere, it is none. */
	handover_pack(&given, NULL, &b);
	assert_true(handover_unpack(buf_span(&b), false, &h));
	for (size_t n = 0; n < buf_span(&b).n; n++)
		assert_false(handover_unpack(span_make(buf_span(&b).p, n), false, &h));
	buf_fini(&b);
	assert_int_equal(setenv(HANDOVER_ENV, "9999", 1), 0);
	assert_false(handover_take(&h));
	assert_int_equal(setenv(HANDOVER_ENV, "none", 1), 0);
	assert_false(handover_take(&h));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(other_releases_and_rubbish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
