/*
 * envelope - a scanner that looks for a few keys and skips everything else as fast as it can.
 *
 * Structure, strings, numbers and literals are checked as RFC 8259 says; bytes above 0x7f pass
 * as they are (whoever builds a tree from `d` checks UTF-8).  Nothing recurses: nesting is one
 * bit per level, to the depth that jansson has too, so a hostile payload costs no stack.
 */
#include <endian.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "supervisor/gateway/envelope.h"

#define DEPTH_MAX	2048
#define KEY_MAX		16	/* no key of interest is longer */
#define TEXT_MAX	24	/* 20 digits of an id */

#define EACH(byte)	((uint64_t)(byte) * 0x0101010101010101ull)

struct number {
	bool		 whole;		/* neither fraction nor exponent */
	bool		 fits;		/* 0 <= value <= UINT64_MAX */
	uint64_t	 v;
};

static inline const char *
skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

/*
 * How many of the STRIDE bytes at p are plain text: neither a quote, nor a backslash, nor a control
 * byte.
 */
#ifdef __SSE2__
#define STRIDE	16

static inline unsigned
plain_n(const char *p)
{
	__m128i		 w = _mm_loadu_si128((const __m128i *)(const void *)p), ends;

	ends = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(w, _mm_set1_epi8('"')),
	    _mm_cmpeq_epi8(w, _mm_set1_epi8('\\'))),
	    _mm_cmpeq_epi8(_mm_min_epu8(w, _mm_set1_epi8(0x1f)), w));
	/* One bit behind the last: it is found when there is none before. */
	return (unsigned)__builtin_ctz((unsigned)_mm_movemask_epi8(ends) | 1u << STRIDE);
}
#else
#define STRIDE	8

static inline unsigned
plain_n(const char *p)
{
	uint64_t	 w, quote, slash, ends;

	memcpy(&w, p, sizeof(w));
	w = le64toh(w);
	quote = w ^ EACH('"');
	slash = w ^ EACH('\\');
	/* A borrow can only mark bytes above the first true one, and only the first is used. */
	ends = (((quote - EACH(1)) & ~quote) | ((slash - EACH(1)) & ~slash) |
	    ((w - EACH(0x20)) & ~w)) & EACH(0x80);
	return ends == 0 ? STRIDE : (unsigned)__builtin_ctzll(ends) >> 3;
}
#endif

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static const char *
skip_long_string(const char *p, const char *end, bool *escaped_r)
{
	unsigned	 n = STRIDE;

	for (;;) {
		while (end - p >= STRIDE && (n = plain_n(p)) == STRIDE)
			p += STRIDE;
		if (end - p >= STRIDE)
			p += n;
		while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
			p++;
		if (p == end || (unsigned char)*p < 0x20)
			return NULL;
		if (*p == '"')
			return p;
		*escaped_r = true;
		if (end - p < 2)
			return NULL;
		if (p[1] == 'u') {
			if (end - p < 6 || !is_hex(p[2]) || !is_hex(p[3]) || !is_hex(p[4]) ||
			    !is_hex(p[5]))
				return NULL;
			p += 6;
		} else {
			if (memchr("\"\\/bfnrt", p[1], 8) == NULL)
				return NULL;
			p += 2;
		}
	}
}

/* p stands behind the opening quote; the closing one is returned, or NULL. */
static inline const char *
skip_string(const char *p, const char *end, bool *escaped_r)
{
	unsigned	 n;

	/* Most are short and plain. */
	if (end - p >= STRIDE && (n = plain_n(p)) < STRIDE && p[n] == '"')
		return p + n;
	return skip_long_string(p, end, escaped_r);
}

static const char *
skip_digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

static const char *
scan_number(const char *p, const char *end, struct number *num_r)
{
	const char	*digits, *stop;
	bool		 negative;
	struct span	 text;

	negative = p < end && *p == '-';
	digits = p + negative;
	stop = skip_digits(digits, end);
	if (stop == digits || (*digits == '0' && stop - digits > 1))
		return NULL;
	text = span_make(digits, (size_t)(stop - digits));
	*num_r = (struct number){ .whole = true };
	num_r->fits = span_u64(text, &num_r->v) && (!negative || num_r->v == 0);
	if (stop < end && *stop == '.') {
		num_r->whole = false;
		p = stop + 1;
		stop = skip_digits(p, end);
		if (stop == p)
			return NULL;
	}
	if (stop < end && (*stop == 'e' || *stop == 'E')) {
		num_r->whole = false;
		p = stop + 1;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		stop = skip_digits(p, end);
		if (stop == p)
			return NULL;
	}
	return stop;
}

static const char *
skip_word(const char *p, const char *end, const char *word, size_t n)
{
	return (size_t)(end - p) >= n && memcmp(p, word, n) == 0 ? p + n : NULL;
}

/* A value that is neither object nor array. */
static const char *
skip_scalar(const char *p, const char *end)
{
	struct number	 num;
	bool		 escaped;

	switch (*p) {
	case '"':
		p = skip_string(p + 1, end, &escaped);
		return p == NULL ? NULL : p + 1;
	case 't':
		return skip_word(p, end, "true", 4);
	case 'f':
		return skip_word(p, end, "false", 5);
	case 'n':
		return skip_word(p, end, "null", 4);
	default:
		return scan_number(p, end, &num);
	}
}

/*
 * From the quote of a key to the first byte of its value; key_r is what stands between the
 * quotes.
 */
static const char *
scan_key(const char *p, const char *end, struct span *key_r, bool *escaped_r)
{
	const char	*stop;

	if (p == end || *p != '"')
		return NULL;
	*escaped_r = false;
	stop = skip_string(p + 1, end, escaped_r);
	if (stop == NULL)
		return NULL;
	*key_r = span_make(p + 1, (size_t)(stop - p - 1));
	p = skip_space(stop + 1, end);
	if (p == end || *p != ':')
		return NULL;
	p = skip_space(p + 1, end);
	return p == end ? NULL : p;
}

/* One whole value; the byte behind it, or NULL when it is none. */
static const char *
skip_value(const char *p, const char *end)
{
	uint64_t	 is_object[DEPTH_MAX / 64];	/* bit per level, set before it is read */
	unsigned	 depth = 0;
	struct span	 key;
	bool		 escaped, object;

	for (;;) {
		if (p == end)
			return NULL;
		if (*p == '{' || *p == '[') {
			object = *p == '{';
			p = skip_space(p + 1, end);
			if (p == end)
				return NULL;
			if (*p != (object ? '}' : ']')) {
				if (depth == DEPTH_MAX)
					return NULL;
				if (object)
					is_object[depth / 64] |= 1ull << depth % 64;
				else
					is_object[depth / 64] &= ~(1ull << depth % 64);
				depth++;
				if (object && (p = scan_key(p, end, &key, &escaped)) == NULL)
					return NULL;
				continue;
			}
			p++;
		} else if ((p = skip_scalar(p, end)) == NULL) {
			return NULL;
		}
		/* Behind a value: close what ends here, go on behind a comma. */
		for (;;) {
			if (depth == 0)
				return p;
			p = skip_space(p, end);
			if (p == end)
				return NULL;
			object = is_object[(depth - 1) / 64] >> (depth - 1) % 64 & 1;
			if (*p == ',')
				break;
			if (*p != (object ? '}' : ']'))
				return NULL;
			p++;
			depth--;
		}
		p = skip_space(p + 1, end);
		if (object && (p = scan_key(p, end, &key, &escaped)) == NULL)
			return NULL;
	}
}

static unsigned
hex_value(const char *p)
{
	unsigned	 v = 0;

	for (int i = 0; i < 4; i++) {
		v <<= 4;
		if (p[i] <= '9')
			v |= (unsigned)(p[i] - '0');
		else
			v |= (unsigned)((p[i] | 0x20) - 'a' + 10);
	}
	return v;
}

/*
 * Text with escapes as plain ASCII, for the rare producer that escapes what needs none.
 * Anything else than ASCII, or longer than the buffer, is no key and no id of ours: empty.
 */
static struct span
plain_text(struct span text, char *dst, size_t dst_bytes)
{
	size_t		 n = 0;
	unsigned	 c;

	for (size_t i = 0; i < text.n; ) {
		if (text.p[i] != '\\') {
			c = (unsigned char)text.p[i++];
		} else if (text.p[i + 1] == 'u') {
			c = hex_value(text.p + i + 2);
			i += 6;
		} else {
			return SPAN_NONE;	/* no key or id holds a quote,
			    a slash or a control byte */
		}
		if (c >= 0x80 || n == dst_bytes)
			return SPAN_NONE;
		dst[n++] = (char)c;
	}
	return span_make(dst, n);
}

/* The next member of an object: where its value begins, its key without escapes. */
static const char *
next_key(const char *p, const char *end, char *scratch, struct span *key_r)
{
	bool		 escaped;

	p = scan_key(p, end, key_r, &escaped);
	if (p != NULL && escaped)
		*key_r = plain_text(*key_r, scratch, KEY_MAX);
	return p;
}

/*
 * Behind a value in an object: the quote of the next key, or the closing brace.  NULL: neither
 * comma nor brace, or nothing behind the comma.
 */
static const char *
next_member(const char *p, const char *end)
{
	p = skip_space(p, end);
	if (p == end)
		return NULL;
	if (*p == '}')
		return p;
	if (*p != ',')
		return NULL;
	p = skip_space(p + 1, end);
	return p == end || *p != '"' ? NULL : p;
}

/* A string of digits or a whole number; anything else leaves *v_r alone. */
static const char *
scan_id(const char *p, const char *end, uint64_t *v_r)
{
	char		 scratch[TEXT_MAX];
	struct number	 num;
	const char	*stop;
	struct span	 text;
	bool		 escaped = false;

	if (*p == '"') {
		stop = skip_string(p + 1, end, &escaped);
		if (stop == NULL)
			return NULL;
		text = span_make(p + 1, (size_t)(stop - p - 1));
		if (escaped)
			text = plain_text(text, scratch, sizeof(scratch));
		(void)span_u64(text, v_r);
		return stop + 1;
	}
	if (*p == '-' || (*p >= '0' && *p <= '9')) {
		stop = scan_number(p, end, &num);
		if (stop != NULL && num.whole && num.fits)
			*v_r = num.v;
		return stop;
	}
	return skip_value(p, end);
}

/* `author` or `user`: its id, when it is an object. */
static const char *
scan_person(const char *p, const char *end, uint64_t *id_r)
{
	char		 scratch[KEY_MAX];
	struct span	 key;

	if (*p != '{')
		return skip_value(p, end);
	p = skip_space(p + 1, end);
	if (p < end && *p == '}')
		return p + 1;
	while ((p = next_key(p, end, scratch, &key)) != NULL) {
		p = span_is(key, "id") ? scan_id(p, end, id_r) : skip_value(p, end);
		if (p == NULL || (p = next_member(p, end)) == NULL)
			return NULL;
		if (*p == '}')
			return p + 1;
	}
	return NULL;
}

/* The value of `op`, `s` or `t`; type mismatches count as absent. */
static const char *
scan_head(struct envelope *e, const char *p, const char *end, char which)
{
	struct number	 num;
	const char	*stop;
	bool		 escaped;

	if (which == 't' && *p == '"') {
		stop = skip_string(p + 1, end, &escaped);
		if (stop == NULL)
			return NULL;
		e->t = span_make(p + 1, (size_t)(stop - p - 1));
		return stop + 1;
	}
	if (which == 't' || (*p != '-' && (*p < '0' || *p > '9')))
		return skip_value(p, end);
	stop = scan_number(p, end, &num);
	if (stop == NULL || !num.whole || !num.fits)
		return stop;
	if (which == 'o' && num.v <= INT_MAX)
		e->op = (int)num.v;
	if (which == 's') {
		e->has_s = true;
		e->s = num.v;
	}
	return stop;
}

int
envelope_scan(struct span payload, struct envelope *e)
{
	enum { SEEN_T = 1, SEEN_S = 2, SEEN_OP = 4, SEEN_ALL = 7 };
	char		 scratch[KEY_MAX];
	const char	*p = payload.p, *end = payload.p + payload.n, *value;
	struct span	 key;
	unsigned	 seen = 0;

	*e = (struct envelope){ .op = -1 };
	p = skip_space(p, end);
	while (p < end && (end[-1] == ' ' || end[-1] == '\n' || end[-1] == '\r' || end[-1] == '\t'))
		end--;
	if (end - p < 2 || *p != '{' || end[-1] != '}')
		return -1;
	p = skip_space(p + 1, end);
	if (*p == '}')
		return -1;
	for (;;) {
		value = next_key(p, end, scratch, &key);
		if (value == NULL)
			return -1;
		p = value;
		if (key.n == 1 && key.p[0] == 'd') {
			if (seen == SEEN_ALL && e->op >= 0) {
				/*
				 * The short way: what is left is d.  envelope_ids looks at it
				 * closely.
				 */
				end = end - 1;
				while (end > p && (end[-1] == ' ' || end[-1] == '\n' ||
				    end[-1] == '\r' ||
				    end[-1] == '\t'))
					end--;
				e->d = span_make(p, (size_t)(end - p));
				return e->d.n == 0 ? -1 : 0;
			}
			p = skip_value(p, end);
			if (p != NULL)
				e->d = span_make(value, (size_t)(p - value));
		} else if (key.n == 1 && key.p[0] == 't') {
			seen |= SEEN_T;
			p = scan_head(e, p, end, 't');
		} else if (key.n == 1 && key.p[0] == 's') {
			seen |= SEEN_S;
			p = scan_head(e, p, end, 's');
		} else if (key.n == 2 && key.p[0] == 'o' && key.p[1] == 'p') {
			seen |= SEEN_OP;
			p = scan_head(e, p, end, 'o');
		} else {
			p = skip_value(p, end);
		}
		if (p == NULL || (p = next_member(p, end)) == NULL)
			return -1;
		if (*p == '}')
			return p + 1 == end && e->op >= 0 ? 0 : -1;
	}
}

/*
 * After the short way members of the payload may still stand behind d: then d is cut back to
 * its value.  0, or -1 when what follows is not members.
 */
static int
trim_tail(struct envelope *e, const char *p, const char *end)
{
	const char	*value_end = p;
	struct span	 key;
	bool		 escaped;

	for (;;) {
		p = skip_space(p, end);
		if (p == end)
			break;
		if (*p != ',')
			return -1;
		p = scan_key(skip_space(p + 1, end), end, &key, &escaped);
		if (p == NULL || (p = skip_value(p, end)) == NULL)
			return -1;
	}
	e->d.n = (size_t)(value_end - e->d.p);
	return 0;
}

int
envelope_ids(struct envelope *e)
{
	char		 scratch[KEY_MAX];
	const char	*p, *end;
	uint64_t	 user = 0;
	struct span	 key;

	e->id = e->guild_id = e->channel_id = e->user_id = e->message_id = e->author_id = 0;
	e->type = 0;
	if (e->d.n == 0)
		return 0;
	p = e->d.p;
	end = p + e->d.n;
	if (*p != '{') {
		p = skip_value(p, end);
		return p == NULL ? -1 : trim_tail(e, p, end);
	}
	p = skip_space(p + 1, end);
	if (p < end && *p == '}')
		return trim_tail(e, p + 1, end);
	while ((p = next_key(p, end, scratch, &key)) != NULL) {
		if (span_is(key, "id"))
			p = scan_id(p, end, &e->id);
		else if (key.n == 4 && span_is(key, "type"))
			p = scan_id(p, end, &e->type);
		else if (key.n == 4 && span_is(key, "user"))
			p = scan_person(p, end, &user);
		else if (key.n == 6 && span_is(key, "author"))
			p = scan_person(p, end, &e->author_id);
		else if (key.n == 7 && span_is(key, "user_id"))
			p = scan_id(p, end, &e->user_id);
		else if (key.n == 8 && span_is(key, "guild_id"))
			p = scan_id(p, end, &e->guild_id);
		else if (key.n == 10 && span_is(key, "channel_id"))
			p = scan_id(p, end, &e->channel_id);
		else if (key.n == 10 && span_is(key, "message_id"))
			p = scan_id(p, end, &e->message_id);
		else
			p = skip_value(p, end);
		if (p == NULL || (p = next_member(p, end)) == NULL)
			return -1;
		if (*p == '}') {
			/* A user_id of d's own is the one that routes. */
			if (e->user_id == 0)
				e->user_id = user;
			return trim_tail(e, p + 1, end);
		}
	}
	return -1;
}
