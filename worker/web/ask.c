/*
 * ask - see ask.h.
 */
#include "worker/web/ask.h"

static bool
is_whole(struct span b)
{
	return memmem(b.p, b.n, "\r\n\r\n", 4) != NULL || memmem(b.p, b.n, "\n\n", 2) != NULL;
}

/* Up to the next space; false: none, or nothing before it. */
static bool
word(struct span *line, struct span *out)
{
	const char	*end = memchr(line->p, ' ', line->n);

	if (end == NULL || end == line->p)
		return false;
	*out = span_make(line->p, (size_t)(end - line->p));
	line->p += out->n + 1;
	line->n -= out->n + 1;
	return true;
}

static bool
is_method(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] < 'A' || s.p[i] > 'Z') && s.p[i] != '-')
			return false;
	return s.n <= 32;
}

static bool
is_path(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= 0x20 || s.p[i] == 0x7f)
			return false;
	return s.n > 0 && s.p[0] == '/';
}

enum ask
ask_parse(struct span bytes, struct asked *out)
{
	struct span	 line, method, target;
	const char	*end;

	if (bytes.n > 0 && !is_whole(span_make(bytes.p, bytes.n > ASK_MAX ? ASK_MAX : bytes.n)))
		return bytes.n >= ASK_MAX ? ASK_LONG : ASK_MORE;
	if (bytes.n == 0)
		return ASK_MORE;
	end = memchr(bytes.p, '\n', bytes.n);
	line = span_make(bytes.p, (size_t)(end - bytes.p));
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (!word(&line, &method) || !word(&line, &target) || !is_method(method) ||
	    !is_path(target) || !(span_is(line, "HTTP/1.1") || span_is(line, "HTTP/1.0")))
		return ASK_BAD;
	end = memchr(target.p, '?', target.n);
	out->path = end == NULL ? target : span_make(target.p, (size_t)(end - target.p));
	out->head = span_is(method, "HEAD");
	out->get = out->head || span_is(method, "GET");
	return ASK_WHOLE;
}
