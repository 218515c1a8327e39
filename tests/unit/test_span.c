/* span: decimal numbers, cut copies, and hashes that must never change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/span.h"

static void
numbers(void **state)
{
	static const struct { const char *text; bool ok; uint64_t v; } rows[] = {
		{ "0", true, 0 }, { "1", true, 1 }, { "007", true, 7 },
		{ "1234567890123456789", true, 1234567890123456789ull },
		{ "18446744073709551615", true, UINT64_MAX },
		{ "18446744073709551616", false, 0 }, { "18446744073709551620", false, 0 },
		{ "99999999999999999999999", false, 0 },
		{ "", false, 0 }, { "-1", false, 0 }, { "+1", false, 0 }, { " 1", false, 0 },
		{ "1 ", false, 0 }, { "1a", false, 0 }, { "0x1", false, 0 }, { "1.0", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t	 v = 42;

		assert_int_equal(span_u64(span_of(rows[i].text), &v), rows[i].ok);
		assert_true(v == (rows[i].ok ? rows[i].v : 42));
	}
	/* A NUL inside a number is not its end. */
	assert_false(span_u64(span_make("1\0002", 3), &(uint64_t){ 0 }));
}

static void
equality(void **state)
{
	(void)state;
	assert_true(span_is(SPAN("abc"), "abc"));
	assert_false(span_is(SPAN("abc"), "ab"));
	assert_false(span_is(SPAN("ab"), "abc"));
	assert_true(span_is(SPAN_NONE, ""));
	assert_true(span_eq(SPAN_NONE, span_of(NULL)));
	assert_int_equal(SPAN("a\0b").n, 3);
}

static void
copies_are_cut(void **state)
{
	char	 dst[4] = "xyz";

	(void)state;
	assert_int_equal(span_copy(SPAN("abcdef"), dst, sizeof(dst)), 3);
	assert_string_equal(dst, "abc");
	assert_int_equal(span_copy(SPAN_NONE, dst, sizeof(dst)), 0);
	assert_string_equal(dst, "");
	dst[0] = 'q';
	assert_int_equal(span_copy(SPAN("abc"), dst, 0), 0);
	assert_int_equal(dst[0], 'q');
}

/* The values are in journals.  Computed apart from this code, from FNV-1a and fmix64. */
static void
hashes_stay(void **state)
{
	uint64_t	 h;

	(void)state;
	assert_true(span_hash_add_u64(SPAN_HASH_SEED, 0) == 0xa8c7f832281a39c5ull);
	assert_true(span_hash_add(SPAN_HASH_SEED, SPAN("abc")) == 0xe5f49fafdcdf1048ull);
	assert_true(span_hash_end(span_hash_add(SPAN_HASH_SEED, SPAN("abc"))) ==
	    0xbb5e68d09d07f6aeull);
	assert_true(span_hash_end(0) != 0);
	h = span_hash_add(span_hash_add(SPAN_HASH_SEED, SPAN("ab")), SPAN("c"));
	assert_true(h != span_hash_add(span_hash_add(SPAN_HASH_SEED, SPAN("a")), SPAN("bc")));
}

/* "Did you mean": one slip is near, another word is not, an endless one does not run over. */
static void
nearest_name(void **state)
{
	static const char *const	 names[] = { "status", "show", "stop", "restart" };
	char				 endless[200];

	(void)state;
	assert_string_equal(span_nearest(SPAN("statsu"), names, 4), "status");
	assert_string_equal(span_nearest(SPAN("stpo"), names, 4), "stop");
	assert_string_equal(span_nearest(SPAN("restrat"), names, 4), "restart");
	assert_string_equal(span_nearest(SPAN("show"), names, 4), "show");
	assert_null(span_nearest(SPAN("explain"), names, 4));
	assert_null(span_nearest(SPAN("status"), names, 0));
	memset(endless, 's', sizeof(endless));
	assert_null(span_nearest(span_make(endless, sizeof(endless)), names, 4));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(equality),
		cmocka_unit_test(copies_are_cut),
		cmocka_unit_test(hashes_stay),
		cmocka_unit_test(nearest_name),
	};

	return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}
