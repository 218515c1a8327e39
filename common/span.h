/*
 * span - a borrowed range of bytes; not terminated.
 */
#ifndef COMMON_SPAN_H
#define COMMON_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char	*p;
	size_t		 n;
};

#define SPAN(lit)	((struct span){ (lit), sizeof(lit) - 1 })
#define SPAN_NONE	((struct span){ NULL, 0 })

static inline struct span
span_of(const char *s)
{
	return (struct span){ s, s == NULL ? 0 : strlen(s) };
}

static inline struct span
span_make(const void *p, size_t n)
{
	return (struct span){ p, n };
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
span_is(struct span a, const char *s)
{
	return span_eq(a, span_of(s));
}

/* Decimal digits only, no sign, no overflow: the form of snowflakes.  False leaves *v_r alone. */
bool	 span_u64(struct span, uint64_t *v_r);

/* NUL-terminated copy, cut to fit; returns its length. */
size_t	 span_copy(struct span, char *dst, size_t dst_bytes);

/*
 * For "did you mean": the name with the least edit distance to word, NULL when none is near (a
 * third of the word's length, at least 2).  Words above 63 bytes have no neighbours.
 */
const char *span_nearest(struct span word, const char *const *names, size_t names_n);

/*
 * 64-bit hash for ids and placement: FNV-1a with a final mix.  Stable for ever: it is in
 * journals.  Start with SPAN_HASH_SEED and feed the parts; end with span_hash_end.
 */
#define SPAN_HASH_SEED	14695981039346656037ull
uint64_t span_hash_add(uint64_t h, struct span);	/* also mixes in the length */
uint64_t span_hash_add_u64(uint64_t h, uint64_t v);
uint64_t span_hash_end(uint64_t h);			/* never 0 */

#endif
