/*
 * frames: plain messages in any cut, the cap, plain and packed side by side, a new connection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <zlib.h>

#include "supervisor/gateway/frames.h"

#define MAX	100

static struct frames	 f;

static int
setup(void **state)
{
	(void)state;
	frames_init(&f, MAX);
	frames_begin(&f, INFLATE_ZLIB);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	frames_fini(&f);
	return 0;
}

static enum inflate_result
plain(const char *part, bool last, struct span *message)
{
	return frames_feed(&f, span_of(part), last, false, message);
}

/* What came in one piece is not copied; what came in parts is put together, an empty end too. */
static void
plain_ones(void **state)
{
	static const char	 whole[] = "{\"op\":11}";
	struct span		 message;

	(void)state;
	assert_int_equal(plain(whole, true, &message), INFLATE_MESSAGE);
	assert_ptr_equal(message.p, whole);
	assert_int_equal(plain("{\"op\"", false, &message), INFLATE_MORE);
	assert_int_equal(plain(":1", false, &message), INFLATE_MORE);
	assert_int_equal(plain("}", true, &message), INFLATE_MESSAGE);
	assert_true(span_is(message, "{\"op\":1}"));
	assert_int_equal(frames_message_bytes(&f), 8);
	assert_int_equal(plain("{}", false, &message), INFLATE_MORE);
	assert_int_equal(plain("", true, &message), INFLATE_MESSAGE);
	assert_true(span_is(message, "{}"));
	assert_int_equal(plain(whole, true, &message), INFLATE_MESSAGE);
	assert_true(span_is(message, whole));
}

/* The cap holds however it is cut; all of it is counted, nothing of it stays in the next. */
static void
above_the_cap(void **state)
{
	static const size_t	 cut[] = { 1, 7, 50, MAX, MAX + 1 };
	char			 text[MAX + 1];
	struct span		 message;
	enum inflate_result	 rv = INFLATE_MORE;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t n = MAX; n <= MAX + 1; n++)
		for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
			for (size_t at = 0, part; at < n; at += part) {
				part = n - at < cut[i] ? n - at : cut[i];
				assert_int_equal(rv, INFLATE_MORE);
				rv = frames_feed(&f, span_make(text + at, part), at + part == n,
				    false, &message);
			}
			assert_int_equal(rv, n > MAX ? INFLATE_OVERSIZED : INFLATE_MESSAGE);
			if (rv == INFLATE_MESSAGE)
				assert_int_equal(message.n, n);
			assert_int_equal(frames_message_bytes(&f), n);
			rv = INFLATE_MORE;
			assert_int_equal(plain("{}", true, &message), INFLATE_MESSAGE);
			assert_true(span_is(message, "{}"));
		}
}

static struct span
packed(const char *text, char *dst, size_t dst_bytes)
{
	z_stream	 z = { 0 };

	assert_int_equal(deflateInit(&z, 6), Z_OK);
	z.next_in = (unsigned char *)(uintptr_t)text;
	z.avail_in = (unsigned)strlen(text);
	z.next_out = (unsigned char *)dst;
	z.avail_out = (unsigned)dst_bytes;
	assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
	(void)deflateEnd(&z);
	return span_make(dst, dst_bytes - z.avail_out);
}

/* A text between two packed ones does not touch the stream; a new connection has a new one. */
static void
both_kinds(void **state)
{
	char		 bytes[64];
	struct span	 message, in = packed("{\"op\":10}", bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(frames_feed(&f, span_make(in.p, 5), false, true, &message), INFLATE_MORE);
	assert_int_equal(plain("{}", true, &message), INFLATE_MESSAGE);
	assert_int_equal(frames_message_bytes(&f), 2);
	assert_int_equal(frames_feed(&f, span_make(in.p + 5, in.n - 5), true, true, &message),
	    INFLATE_MESSAGE);
	assert_true(span_is(message, "{\"op\":10}"));
	assert_int_equal(frames_message_bytes(&f), 9);

	/* The header of a stream is none in the middle of it. */
	assert_int_equal(frames_feed(&f, in, true, true, &message), INFLATE_BROKEN);
	assert_string_equal(frames_why(&f), "data error");
	assert_int_equal(plain("{\"half", false, &message), INFLATE_MORE);
	frames_begin(&f, INFLATE_ZLIB);
	assert_int_equal(frames_feed(&f, in, true, true, &message), INFLATE_MESSAGE);
	assert_true(span_is(message, "{\"op\":10}"));
	assert_int_equal(plain("{}", true, &message), INFLATE_MESSAGE);
	assert_true(span_is(message, "{}"));

	/* Where nothing was agreed on, binary is plain. */
	frames_begin(&f, INFLATE_NONE);
	assert_int_equal(frames_feed(&f, SPAN("{}"), true, true, &message), INFLATE_MESSAGE);
	assert_true(span_is(message, "{}"));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test_setup_teardown(plain_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(above_the_cap, setup, teardown),
		cmocka_unit_test_setup_teardown(both_kinds, setup, teardown),
	};

	return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
