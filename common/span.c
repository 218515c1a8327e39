/*
 * span - numbers, copies and hashes of borrowed bytes.
 */
#include "common/span.h"

#define FNV_PRIME	1099511628211ull
#define DIGITS_SAFE	19	/* 10^19 - 1 < 2^64 */

bool
span_u64(struct span s, uint64_t *v_r)
{
	uint64_t	 v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned	 digit = (unsigned char)s.p[i] - (unsigned)'0';

		/* No number of DIGITS_SAFE digits is too large. */
		if (digit > 9 || (i >= DIGITS_SAFE && v > (UINT64_MAX - digit) / 10))
			return false;
		v = v * 10 + digit;
	}
	*v_r = v;
	return true;
}

size_t
span_copy(struct span s, char *dst, size_t dst_bytes)
{
	size_t	 n = s.n;

	if (dst_bytes == 0)
		return 0;
	if (n > dst_bytes - 1)
		n = dst_bytes - 1;
	if (n > 0)
		memcpy(dst, s.p, n);
	dst[n] = '\0';
	return n;
}

uint64_t
span_hash_add_u64(uint64_t h, uint64_t v)
{
	/* Least significant byte first on every machine: the value is stored. */
	for (int shift = 0; shift < 64; shift += 8)
		h = (h ^ (v >> shift & 0xff)) * FNV_PRIME;
	return h;
}

uint64_t
span_hash_add(uint64_t h, struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * FNV_PRIME;
	/* With the length "ab","c" and "a","bc" differ. */
	return span_hash_add_u64(h, s.n);
}

/* The finalizer of MurmurHash3 (public domain): FNV alone leaves the high bits poor. */
uint64_t
span_hash_end(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdull;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ull;
	h ^= h >> 33;
	return h == 0 ? 1 : h;
}

#define NEAREST_MAX	63

/* Levenshtein's distance, one row of the table at a time. */
static size_t
edit_distance(struct span a, struct span b)
{
	size_t	 row[NEAREST_MAX + 1], diagonal, above, least;

	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			above = row[j];
			least = diagonal + (a.p[i - 1] != b.p[j - 1]);
			if (above + 1 < least)
				least = above + 1;
			if (row[j - 1] + 1 < least)
				least = row[j - 1] + 1;
			row[j] = least;
			diagonal = above;
		}
	}
	return row[b.n];
}

const char *
span_nearest(struct span word, const char *const *names, size_t names_n)
{
	size_t		 best = word.n / 3 < 2 ? 2 : word.n / 3, d;
	const char	*nearest = NULL;

	if (word.n > NEAREST_MAX)
		return NULL;
	for (size_t i = 0; i < names_n; i++) {
		struct span	 name = span_of(names[i]);

		if (name.n > NEAREST_MAX)
			continue;
		d = edit_distance(word, name);
		if (d < best || (d == best && nearest == NULL)) {
			best = d;
			nearest = names[i];
		}
	}
	return nearest;
}
