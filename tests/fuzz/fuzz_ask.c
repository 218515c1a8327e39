/*
 * ask_parse: what it accepts is a path of the bytes that came, and more bytes behind the head change
 * nothing.
 */
#include "common/mem.h"
#include "tests/fuzz/fuzz.h"
#include "worker/web/ask.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct asked	 a = { .get = false }, again = { .get = false };
	struct span	 s = span_make(data, n);
	enum ask	 verdict = ask_parse(s, &a);
	struct buf	 more = { 0 };

	CHECK(verdict != ASK_MORE || n < ASK_MAX);
	if (verdict != ASK_WHOLE)
		return 0;
	CHECK(a.path.p >= s.p && a.path.n > 0 && a.path.p + a.path.n <= s.p + s.n);
	CHECK(a.path.p[0] == '/' && memchr(a.path.p, '?', a.path.n) == NULL);
	CHECK(memchr(a.path.p, '\n', a.path.n) == NULL && (!a.head || a.get));
	buf_add_span(&more, s);
	buf_add(&more, "POST / HTTP/1.1\r\n\r\n", 19);
	CHECK(ask_parse(buf_span(&more), &again) == ASK_WHOLE);
	CHECK(span_eq(a.path, again.path) && a.get == again.get && a.head == again.head);
	buf_fini(&more);
	return 0;
}
