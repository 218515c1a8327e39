/*
 * mem - allocation that cannot fail, and a growing byte buffer.
 */
#include <assert.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"

#define BUF_MIN_BYTES	256

static void __attribute__((noreturn))
out_of_memory(void)
{
	static const char	 text[] = "out of memory\n";
	struct pollfd		 p = { .fd = STDERR_FILENO, .events = POLLOUT };

	/* Standard error may be a pipe that nobody reads: dying must not wait for it. */
	if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0 &&
	    write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		abort();
	abort();
}

void *
mem_alloc(size_t bytes)
{
	return mem_array(1, bytes);
}

void *
mem_array(size_t n, size_t each_bytes)
{
	void	*p = calloc(n == 0 ? 1 : n, each_bytes == 0 ? 1 : each_bytes);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
mem_grow(void *p, size_t n, size_t each_bytes)
{
	p = reallocarray(p, n == 0 ? 1 : n, each_bytes == 0 ? 1 : each_bytes);
	if (p == NULL)
		out_of_memory();
	return p;
}

char *
mem_strdup(const char *s)
{
	return s == NULL ? NULL : mem_spandup(span_of(s));
}

char *
mem_spandup(struct span s)
{
	char	*p;

	if (s.n == SIZE_MAX)
		out_of_memory();
	p = mem_grow(NULL, s.n + 1, 1);
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

char *
mem_printf(const char *fmt, ...)
{
	va_list	 ap;
	char	*p;

	va_start(ap, fmt);
	if (vasprintf(&p, fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	return p;
}

void
mem_wipe_free(char **p)
{
	if (*p == NULL)
		return;
	explicit_bzero(*p, strlen(*p));
	free(*p);
	*p = NULL;
}

void
buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}

void
buf_reset(struct buf *b)
{
	b->off = b->n = 0;
}

void
buf_shrink(struct buf *b, size_t keep_bytes)
{
	if (b->n == 0 && b->cap > keep_bytes)
		buf_fini(b);
}

char *
buf_room(struct buf *b, size_t bytes)
{
	size_t	 need, cap;

	if (b->cap - b->off - b->n >= bytes && b->p != NULL)
		return b->p + b->off + b->n;
	if (bytes > SIZE_MAX / 4 || b->n > SIZE_MAX / 4)
		out_of_memory();
	/*
	 * Moving to the front is free of charge only when at least as much was consumed
	 * as has to move: else a long queue with small reads would be moved each time.
	 */
	if (b->off > 0 && (b->off >= b->n || b->n == 0)) {
		memmove(b->p, b->p + b->off, b->n);
		b->off = 0;
		if (b->cap - b->n >= bytes && b->p != NULL)
			return b->p + b->n;
	}
	need = b->off + b->n + bytes;
	cap = b->cap + b->cap / 2;
	if (cap < need)
		cap = need;
	if (cap < BUF_MIN_BYTES)
		cap = BUF_MIN_BYTES;
	b->p = mem_grow(b->p, cap, 1);
	b->cap = cap;
	return b->p + b->off + b->n;
}

void
buf_added(struct buf *b, size_t bytes)
{
	assert(bytes <= b->cap - b->off - b->n);
	b->n += bytes;
}

void
buf_add(struct buf *b, const void *p, size_t bytes)
{
	if (bytes == 0)
		return;
	memcpy(buf_room(b, bytes), p, bytes);
	b->n += bytes;
}

void
buf_add_span(struct buf *b, struct span s)
{
	buf_add(b, s.p, s.n);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list	 ap;
	size_t	 room;
	char	*p;
	int	 n;

	p = buf_room(b, 128);
	room = b->cap - b->off - b->n;
	va_start(ap, fmt);
	n = vsnprintf(p, room, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	if ((size_t)n >= room) {
		p = buf_room(b, (size_t)n + 1);
		va_start(ap, fmt);
		n = vsnprintf(p, (size_t)n + 1, fmt, ap);
		va_end(ap);
		assert(n >= 0);
	}
	b->n += (size_t)n;
}

void
buf_drop(struct buf *b, size_t bytes)
{
	assert(bytes <= b->n);
	b->n -= bytes;
	b->off = b->n == 0 ? 0 : b->off + bytes;
}

struct span
buf_span(const struct buf *b)
{
	return span_make(b->n == 0 ? b->p : b->p + b->off, b->n);
}
