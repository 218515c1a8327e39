/*
 * lines - see lines.h.
 */
#include <string.h>

#include "supervisor/pool/lines.h"

/* Pieces, as long as ahead bytes are left behind each. */
static void
cut(struct lines *l, size_t ahead, void (*fn)(void *, struct span), void *arg)
{
	size_t	 at = 0;

	(void)secret_mask(l->text, l->n);
	while (l->n > at) {
		size_t	 piece = l->n - at < LINES_PIECE ? l->n - at : LINES_PIECE;

		if (l->n - at < piece + ahead)
			break;
		fn(arg, span_make(l->text + at, piece));
		at += piece;
	}
	memmove(l->text, l->text + at, l->n - at);
	l->n -= at;
}

void
lines_end(struct lines *l, void (*fn)(void *, struct span), void *arg)
{
	if (l->n > 0 && l->text[l->n - 1] == '\r')
		l->n--;
	cut(l, 0, fn, arg);
}

void
lines_add(struct lines *l, const char *p, size_t n, void (*fn)(void *, struct span), void *arg)
{
	while (n > 0) {
		const char	*nl = memchr(p, '\n', n);
		size_t		 take = nl == NULL ? n : (size_t)(nl - p);

		if (take > sizeof(l->text) - l->n) {
			take = sizeof(l->text) - l->n;
			nl = NULL;
		}
		memcpy(l->text + l->n, p, take);
		l->n += take;
		p += take;
		n -= take;
		if (nl != NULL) {
			lines_end(l, fn, arg);
			p++;
			n--;
		} else if (l->n == sizeof(l->text)) {
			cut(l, LINES_AHEAD, fn, arg);
		}
	}
}
