/*
 * sse: any split of the bytes gives the same events, and they are UTF-8.
 *
 * The first byte says where the splits are; the rest is the stream.
 */
#include <stdint.h>
#include <stdlib.h>

#include "worker/chat/sse.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct trace {
	struct buf	 events, scratch;
	size_t		 events_n;
};

static void
require(bool ok)
{
	if (!ok)
		abort();
}

static void
on_event(const struct sse_event *e, void *arg)
{
	struct trace	*t = arg;

	require(sse_mend(e->name, &t->scratch).p == e->name.p || e->name.n == 0);
	require(sse_mend(e->data, &t->scratch).p == e->data.p || e->data.n == 0);
	buf_printf(&t->events, "%d %zu ", e->cut, e->name.n);
	buf_add_span(&t->events, e->name);
	buf_printf(&t->events, " %zu ", e->data.n);
	buf_add_span(&t->events, e->data);
	t->events_n++;
}

static enum sse_error
run(struct trace *t, struct span in, size_t step)
{
	struct sse	 s;
	enum sse_error	 e;

	sse_init(&s, on_event, t);
	while (in.n > 0) {
		size_t	 n = step < in.n ? step : in.n;

		(void)sse_feed(&s, span_make(in.p, n));
		in = span_make(in.p + n, in.n - n);
	}
	e = sse_end(&s);
	require(s.events_n == t->events_n);
	sse_fini(&s);
	return e;
}

static void
trace_fini(struct trace *t)
{
	buf_fini(&t->events);
	buf_fini(&t->scratch);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct trace	 whole = { 0 }, split = { 0 }, bytes = { 0 };
	struct span	 in;

	if (n == 0)
		return 0;
	in = span_make(data + 1, n - 1);
	require(run(&whole, in, SIZE_MAX) == run(&split, in, (size_t)data[0] + 1));
	require(run(&bytes, in, 1) == SSE_OK || in.n > SSE_LINE_MAX);
	require(span_eq(buf_span(&whole.events), buf_span(&split.events)));
	require(span_eq(buf_span(&whole.events), buf_span(&bytes.events)));
	trace_fini(&whole);
	trace_fini(&split);
	trace_fini(&bytes);
	return 0;
}
