/*
 * sse - see sse.h.
 */
#include <assert.h>

#include "worker/chat/sse.h"

#define SSE_BOM_DONE	4

static const unsigned char	 bom[] = { 0xef, 0xbb, 0xbf };
static const char		 replacement[] = "\xef\xbf\xbd";

/* ---- UTF-8 ---- */

/* Length of the well-formed sequence at p, 0 when there is none.  Source: Unicode 15, table 3-7. */
static size_t
sequence(const unsigned char *p, size_t n)
{
	unsigned	 low = 0x80, high = 0xbf;
	size_t		 len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;			/* no surrogates */
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (n < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

struct span
sse_mend(struct span in, struct buf *out)
{
	const unsigned char	*p = (const unsigned char *)in.p;
	size_t			 i = 0, good = 0, len;
	bool			 mended = false;

	buf_reset(out);
	while (i < in.n) {
		if ((len = sequence(p + i, in.n - i)) > 0) {
			i += len;
			continue;
		}
		mended = true;
		buf_add(out, in.p + good, i - good);
		buf_add(out, replacement, sizeof(replacement) - 1);
		good = ++i;
	}
	if (!mended)
		return in;
	buf_add(out, in.p + good, i - good);
	return buf_span(out);
}

/* ---- lines ---- */

static void
dispatch(struct sse *s, bool cut)
{
	struct sse_event	 e = { .cut = cut };

	if (s->has_data) {
		e.name = sse_mend(buf_span(&s->name), &s->mended_name);
		e.data = sse_mend(buf_span(&s->data), &s->mended_data);
		s->events_n++;
		s->fn(&e, s->arg);
	}
	buf_reset(&s->name);
	buf_reset(&s->data);
	s->has_data = false;
}

static void
take_data(struct sse *s, struct span value)
{
	if (s->data.n + value.n + 1 > SSE_EVENT_MAX) {
		s->error = SSE_EEVENT;
		return;
	}
	if (s->has_data)
		buf_add(&s->data, "\n", 1);
	buf_add_span(&s->data, value);
	s->has_data = true;
}

static void
take_line(struct sse *s)
{
	struct span	 line = buf_span(&s->line), name, value = SPAN_NONE;
	const char	*colon = line.n == 0 ? NULL : memchr(line.p, ':', line.n);

	if (line.n == 0) {
		dispatch(s, false);
		return;
	}
	name = span_make(line.p, colon == NULL ? line.n : (size_t)(colon - line.p));
	if (colon != NULL) {
		value = span_make(colon + 1, line.n - name.n - 1);
		if (value.n > 0 && value.p[0] == ' ')
			value.p++, value.n--;
	}
	if (name.n == 0)
		s->comments_n++;
	else if (span_is(name, "data"))
		take_data(s, value);
	else if (span_is(name, "event")) {
		buf_reset(&s->name);
		buf_add_span(&s->name, value);
	}
	buf_reset(&s->line);
}

/* A run of bytes without a line end. */
static void
take_run(struct sse *s, const char *p, size_t n)
{
	if (s->line.n + n > SSE_LINE_MAX) {
		s->error = SSE_ELINE;
		return;
	}
	buf_add(&s->line, p, n);
}

static size_t
skip_bom(struct sse *s, struct span in)
{
	size_t	 i = 0;

	while (i < in.n && s->bom_n < sizeof(bom) && (unsigned char)in.p[i] == bom[s->bom_n])
		i++, s->bom_n++;
	if (s->bom_n < sizeof(bom) && i < in.n) {
		/* It was none: its bytes belong to the line. */
		take_run(s, (const char *)bom, s->bom_n);
		s->bom_n = SSE_BOM_DONE;
	}
	if (s->bom_n == sizeof(bom))
		s->bom_n = SSE_BOM_DONE;
	return i;
}

/* ---- the outside ---- */

void
sse_init(struct sse *s, void (*fn)(const struct sse_event *, void *), void *arg)
{
	memset(s, 0, sizeof(*s));
	s->fn = fn;
	s->arg = arg;
}

void
sse_fini(struct sse *s)
{
	buf_fini(&s->line);
	buf_fini(&s->name);
	buf_fini(&s->data);
	buf_fini(&s->mended_name);
	buf_fini(&s->mended_data);
}

static size_t
run_length(const char *p, size_t n)
{
	size_t	 i = 0;

	while (i < n && p[i] != '\n' && p[i] != '\r')
		i++;
	return i;
}

enum sse_error
sse_feed(struct sse *s, struct span in)
{
	size_t	 i, run;

	if (s->error != SSE_OK || in.n == 0)
		return s->error;
	if (in.n > SSE_TOTAL_MAX - s->total_bytes)
		return s->error = SSE_ETOTAL;
	s->total_bytes += in.n;
	i = s->bom_n == SSE_BOM_DONE ? 0 : skip_bom(s, in);
	while (i < in.n && s->error == SSE_OK) {
		if (s->after_cr && in.p[i] == '\n')
			i++;
		s->after_cr = false;
		run = run_length(in.p + i, in.n - i);
		if (run > 0)
			take_run(s, in.p + i, run);
		i += run;
		if (i == in.n || s->error != SSE_OK)
			break;
		s->after_cr = in.p[i++] == '\r';
		take_line(s);
	}
	return s->error;
}

enum sse_error
sse_end(struct sse *s)
{
	if (s->error != SSE_OK)
		return s->error;
	if (s->bom_n < sizeof(bom))
		take_run(s, (const char *)bom, s->bom_n);
	s->bom_n = SSE_BOM_DONE;
	if (s->line.n > 0)
		take_line(s);
	if (s->error == SSE_OK)
		dispatch(s, true);
	return s->error;
}

const char *
sse_error_text(enum sse_error e)
{
	switch (e) {
	case SSE_OK:
		return "done";
	case SSE_ELINE:
		return "a line of the stream is longer than 1 MiB";
	case SSE_EEVENT:
		return "an event of the stream is larger than 4 MiB";
	case SSE_ETOTAL:
		return "the stream is larger than 32 MiB";
	}
	assert(0);
	return NULL;
}
