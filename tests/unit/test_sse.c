/*
 * sse: the same events from any split of the bytes.  The bugs are a character torn at the end of a
 * callback, a CR and LF taken for two line ends, and a stream that grows until the memory is gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include "worker/chat/sse.h"

static struct sse	 sse;
static struct buf	 got;

static void
on_event(const struct sse_event *e, void *arg)
{
	assert_ptr_equal(arg, &got);
	buf_printf(&got, "%s[", e->cut ? "!" : "");
	buf_add_span(&got, e->name);
	buf_printf(&got, "|");
	buf_add_span(&got, e->data);
	buf_printf(&got, "]");
}

static void
start(void)
{
	sse_fini(&sse);
	buf_reset(&got);
	sse_init(&sse, on_event, &got);
}

static int
setup(void **state)
{
	(void)state;
	start();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	sse_fini(&sse);
	memset(&sse, 0, sizeof(sse));
	buf_fini(&got);
	return 0;
}

static void
expect(const char *want)
{
	buf_add(&got, "", 1);
	assert_string_equal(buf_span(&got).p, want);
}

/* Whole, in every two pieces, and byte by byte. */
static void
check(struct span in, const char *want)
{
	for (size_t cut = 0; cut <= in.n; cut++) {
		start();
		assert_int_equal(sse_feed(&sse, span_make(in.p, cut)), SSE_OK);
		assert_int_equal(sse_feed(&sse, span_make(in.p + cut, in.n - cut)), SSE_OK);
		assert_int_equal(sse_end(&sse), SSE_OK);
		expect(want);
	}
	start();
	for (size_t i = 0; i < in.n; i++)
		assert_int_equal(sse_feed(&sse, span_make(in.p + i, 1)), SSE_OK);
	assert_int_equal(sse_end(&sse), SSE_OK);
	expect(want);
}

#define CHECK(in, want)	check(SPAN(in), want)

static void
any_line_end(void **state)
{
	(void)state;
	CHECK("data: a\n\ndata: b\n\n", "[|a][|b]");
	CHECK("data: a\r\n\r\ndata: b\r\n\r\n", "[|a][|b]");
	CHECK("data: a\r\rdata: b\r\r", "[|a][|b]");
	CHECK("data: a\r\ndata: b\r\n\r\n", "[|a\nb]");
	CHECK("data: a\rdata: b\ndata: c\r\n\n", "[|a\nb\nc]");
	CHECK("data: a\r\n\ndata: b\n\r\n", "[|a][|b]");
	CHECK("data: a\n\n\n\n\r\n\rdata: b\n\n", "[|a][|b]");
}

/* After a lone CR an event must not wait for the LF that may never come. */
static void
a_cr_ends_the_line_at_once(void **state)
{
	(void)state;
	assert_int_equal(sse_feed(&sse, SPAN("data: a\r\r")), SSE_OK);
	expect("[|a]");
}

static void
fields(void **state)
{
	(void)state;
	CHECK("data:a\n\n", "[|a]");
	CHECK("data:  a\n\n", "[| a]");		/* one blank is the field's, the other the text's */
	CHECK("data\n\n", "[|]");
	CHECK("data: a:b\n\n", "[|a:b]");
	CHECK("data: a\ndata: b\ndata:\ndata: c\n\n", "[|a\nb\n\nc]");
	CHECK("event: error\ndata: x\n\ndata: y\n\n", "[error|x][|y]");
	CHECK("event: a\nevent: b\ndata: x\n\n", "[b|x]");
	CHECK("event: lost\n\ndata: y\n\n", "[|y]");		/* without data there is no event */
	CHECK("id: 1\nretry: 3\nfoo: bar\ndatax: 1\nDATA: 2\ndata: y\n\n", "[|y]");
	CHECK("", "");
	CHECK("\n\r\n\n", "");
}

static void
comments_are_counted_only(void **state)
{
	(void)state;
	CHECK(": OPENROUTER PROCESSING\n\n:\n:data: x\ndata: y\n:\n\n", "[|y]");
	assert_int_equal(sse.comments_n, 4);
	assert_int_equal(sse.events_n, 1);
}

static void
bom_only_at_the_start(void **state)
{
	(void)state;
	CHECK("\xef\xbb\xbf" "data: a\n\n", "[|a]");
	CHECK("\xef\xbb\xbf" "\n\ndata: a\n\n", "[|a]");
	CHECK("data: \xef\xbb\xbf" "a\n\n", "[|\xef\xbb\xbf" "a]");
	/* What only begins like one belongs to the first line, which then is no data. */
	CHECK("\xef\xbb" "data: a\n\ndata: b\n\n", "[|b]");
	CHECK("\xef\xbb\xbf\xef\xbb\xbf" "data: a\n\ndata: b\n\n", "[|b]");
	CHECK("\xef\xbb", "");
}

static void
the_last_event_may_lack_its_end(void **state)
{
	(void)state;
	CHECK("data: a\n\ndata: b\n", "[|a]![|b]");
	CHECK("data: a\n\ndata: b", "[|a]![|b]");
	CHECK("data: a\n\n: c", "[|a]");
}

static void
characters_stay_whole(void **state)
{
	(void)state;
	CHECK("data: \xf0\x9f\x98\x80\xc3\xa9\n\n", "[|\xf0\x9f\x98\x80\xc3\xa9]");
	/* A server may tear one itself. */
	CHECK("data: a\xf0\x9f\n\ndata: \x98\x80z\n\n",
	    "[|a\xef\xbf\xbd\xef\xbf\xbd][|\xef\xbf\xbd\xef\xbf\xbdz]");
	/* A surrogate. */
	CHECK("data: \xed\xa0\x80\n\n", "[|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd]");
	CHECK("data: \xc0\x80\xf5\n\n", "[|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd]");
	CHECK("data: a\xe2\x82", "![|a\xef\xbf\xbd\xef\xbf\xbd]");
}

static void
fill(size_t n, char c)
{
	char	*p = malloc(n);

	assert_non_null(p);
	memset(p, c, n);
	sse_feed(&sse, span_make(p, n));
	free(p);
}

static void
caps_are_errors(void **state)
{
	(void)state;
	sse_feed(&sse, SPAN("data: "));
	fill(SSE_LINE_MAX - 6, 'x');
	assert_int_equal(sse.error, SSE_OK);
	assert_int_equal(sse_feed(&sse, SPAN("x")), SSE_ELINE);
	assert_int_equal(sse_feed(&sse, SPAN("\n\n")), SSE_ELINE);	/* for good */
	assert_int_equal(sse_end(&sse), SSE_ELINE);
	assert_int_equal(got.n, 0);

	start();
	for (int i = 0; i < 4; i++) {
		sse_feed(&sse, SPAN("\ndata: "));
		fill(SSE_LINE_MAX - 6, 'x');
	}
	assert_int_equal(sse.error, SSE_OK);
	assert_int_equal(sse_feed(&sse, SPAN("\ndata: 0123456789012345678901234567890\n")),
	    SSE_EEVENT);

	start();
	for (int i = 0; i < 64; i++) {
		fill(SSE_LINE_MAX / 2 - 1, ':');
		sse_feed(&sse, SPAN("\n"));
	}
	assert_int_equal(sse.error, SSE_OK);
	assert_int_equal(sse.total_bytes, SSE_TOTAL_MAX);
	assert_int_equal(sse_feed(&sse, SPAN("\n")), SSE_ETOTAL);
	assert_non_null(strstr(sse_error_text(sse.error), "32 MiB"));
}

#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(any_line_end),
		TEST(a_cr_ends_the_line_at_once),
		TEST(fields),
		TEST(comments_are_counted_only),
		TEST(bom_only_at_the_start),
		TEST(the_last_event_may_lack_its_end),
		TEST(characters_stay_whole),
		TEST(caps_are_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
