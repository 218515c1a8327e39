/*
 * json - see json.h.
 *
 * Source: RFC 8259.  Where it leaves a choice: nesting ends at JSON_DEPTH_MAX; the bytes of a
 * string are passed through by the scanner whatever they are (a routed event is not ours to
 * judge) and must be UTF-8 only when they are unescaped; a lone surrogate and \u0000 are text.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/json.h"

/* What may come next; json_scan.expect. */
enum {
	EXPECT_VALUE,
	EXPECT_VALUE_OR_END,	/* behind [ */
	EXPECT_KEY,		/* behind a comma in an object */
	EXPECT_KEY_OR_END,	/* behind { */
	EXPECT_COLON,
	EXPECT_COMMA_OR_END,
	EXPECT_NOTHING,		/* the document is complete */
	EXPECT_NEVER		/* it was not JSON */
};

/* Eight bytes at a time: which are below c, which are c.  The lowest marked one is exact. */
#define EACH(c)		(0x0101010101010101ull * (c))
#define HIGH		EACH(0x80)
#define BELOW(w, c)	(((w) - EACH(c)) & ~(w) & HIGH)
#define IS(w, c)	BELOW((w) ^ EACH(c), 1)

/* Bytes at p up to the first quote, backslash, control byte or (ascii_only) byte above 0x7f. */
static size_t
plain_run(const char *p, size_t n, bool ascii_only)
{
	uint64_t	 w;
	size_t		 i = 0;
	unsigned char	 c;

	for (; n - i >= sizeof(w); i += sizeof(w)) {
		memcpy(&w, p + i, sizeof(w));
		if ((BELOW(w, 0x20) | IS(w, '"') | IS(w, '\\')) != 0 ||
		    (ascii_only && (w & HIGH) != 0))
			break;
	}
	for (; i < n; i++) {
		c = (unsigned char)p[i];
		if (c < 0x20 || c == '"' || c == '\\' || (ascii_only && c > 0x7f))
			break;
	}
	return i;
}

static bool
hex4(const char *p, unsigned *v_r)
{
	unsigned	 v = 0, i;
	char		 c;

	for (i = 0; i < 4; i++) {
		c = p[i];
		v <<= 4;
		if (c >= '0' && c <= '9')
			v |= (unsigned)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v |= (unsigned)((c | 0x20) - 'a') + 10;
		else
			return false;
	}
	*v_r = v;
	return true;
}

void
json_scan_init(struct json_scan *s, struct span in)
{
	memset(s, 0, sizeof(*s));
	s->in = in;
	s->expect = EXPECT_VALUE;
}

static enum json_token
bad(struct json_scan *s)
{
	s->expect = EXPECT_NEVER;
	return JSON_TOK_BAD;
}

/* s->off is at the quote. */
static bool
scan_string(struct json_scan *s)
{
	const char	*p = s->in.p;
	size_t		 n = s->in.n, i = s->off + 1;
	unsigned	 unit;

	for (;;) {
		i += plain_run(p + i, n - i, false);
		if (i == n)
			return false;
		if (p[i] == '"')
			break;
		if (p[i] != '\\' || n - i < 2)
			return false;
		switch (p[i + 1]) {
		case '"': case '\\': case '/':
		case 'b': case 'f': case 'n': case 'r': case 't':
			i += 2;
			break;
		case 'u':
			if (n - i < 6 || !hex4(p + i + 2, &unit))
				return false;
			i += 6;
			break;
		default:
			return false;
		}
	}
	s->text = span_make(p + s->off + 1, i - s->off - 1);
	s->off = i + 1;
	return true;
}

static size_t
digits(struct span in, size_t off)
{
	size_t	 i = off;

	while (i < in.n && in.p[i] >= '0' && in.p[i] <= '9')
		i++;
	return i - off;
}

static bool
scan_number(struct json_scan *s)
{
	struct span	 in = s->in;
	size_t		 i = s->off, k;

	if (in.p[i] == '-')
		i++;
	k = digits(in, i);
	if (k == 0 || (k > 1 && in.p[i] == '0'))
		return false;
	i += k;
	if (i < in.n && in.p[i] == '.') {
		k = digits(in, i + 1);
		if (k == 0)
			return false;
		i += 1 + k;
	}
	if (i < in.n && (in.p[i] == 'e' || in.p[i] == 'E')) {
		i++;
		if (i < in.n && (in.p[i] == '+' || in.p[i] == '-'))
			i++;
		k = digits(in, i);
		if (k == 0)
			return false;
		i += k;
	}
	s->text = span_make(in.p + s->off, i - s->off);
	s->off = i;
	return true;
}

static bool
scan_word(struct json_scan *s, struct span word)
{
	if (s->in.n - s->off < word.n || memcmp(s->in.p + s->off, word.p, word.n) != 0)
		return false;
	s->off += word.n;
	return true;
}

static void
value_done(struct json_scan *s)
{
	s->expect = s->depth == 0 ? EXPECT_NOTHING : EXPECT_COMMA_OR_END;
}

static bool
in_object(const struct json_scan *s)
{
	return s->depth > 0 && (s->is_object >> (s->depth - 1) & 1) != 0;
}

static enum json_token
open_level(struct json_scan *s, bool object)
{
	if (s->depth == JSON_DEPTH_MAX)
		return bad(s);
	if (object)
		s->is_object |= 1ull << s->depth;
	else
		s->is_object &= ~(1ull << s->depth);
	s->depth++;
	s->off++;
	s->expect = object ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
	return object ? JSON_TOK_OBJECT : JSON_TOK_ARRAY;
}

static enum json_token
close_level(struct json_scan *s)
{
	bool	 object = in_object(s);

	s->depth--;
	s->off++;
	value_done(s);
	return object ? JSON_TOK_OBJECT_END : JSON_TOK_ARRAY_END;
}

static enum json_token
scan_value(struct json_scan *s)
{
	enum json_token	 t;

	switch (s->in.p[s->off]) {
	case '{':
		return open_level(s, true);
	case '[':
		return open_level(s, false);
	case '"':
		if (!scan_string(s))
			return bad(s);
		t = JSON_TOK_STRING;
		break;
	case 't':
		if (!scan_word(s, SPAN("true")))
			return bad(s);
		t = JSON_TOK_TRUE;
		break;
	case 'f':
		if (!scan_word(s, SPAN("false")))
			return bad(s);
		t = JSON_TOK_FALSE;
		break;
	case 'n':
		if (!scan_word(s, SPAN("null")))
			return bad(s);
		t = JSON_TOK_NULL;
		break;
	case '-':
	case '0': case '1': case '2': case '3': case '4':
	case '5': case '6': case '7': case '8': case '9':
		if (!scan_number(s))
			return bad(s);
		t = JSON_TOK_NUMBER;
		break;
	default:
		return bad(s);
	}
	value_done(s);
	return t;
}

static bool
skip_space(struct json_scan *s)
{
	char	 c;

	for (; s->off < s->in.n; s->off++) {
		c = s->in.p[s->off];
		if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
			return true;
	}
	return false;
}

enum json_token
json_next(struct json_scan *s)
{
	char	 c;

	if (s->expect == EXPECT_NEVER)
		return JSON_TOK_BAD;
	for (;;) {
		if (!skip_space(s))
			return s->expect == EXPECT_NOTHING ? JSON_TOK_END : bad(s);
		c = s->in.p[s->off];
		s->start = s->off;
		switch (s->expect) {
		case EXPECT_COLON:
			if (c != ':')
				return bad(s);
			s->off++;
			s->expect = EXPECT_VALUE;
			continue;
		case EXPECT_COMMA_OR_END:
			if (c == ',') {
				s->off++;
				s->expect = in_object(s) ? EXPECT_KEY : EXPECT_VALUE;
				continue;
			}
			if (c != (in_object(s) ? '}' : ']'))
				return bad(s);
			return close_level(s);
		case EXPECT_KEY_OR_END:
			if (c == '}')
				return close_level(s);
			/* FALLTHROUGH */
		case EXPECT_KEY:
			if (c != '"' || !scan_string(s))
				return bad(s);
			s->expect = EXPECT_COLON;
			return JSON_TOK_KEY;
		case EXPECT_VALUE_OR_END:
			if (c == ']')
				return close_level(s);
			/* FALLTHROUGH */
		case EXPECT_VALUE:
			return scan_value(s);
		default:
			return bad(s);
		}
	}
}

/* The rest of a value whose first token was t. */
static bool
finish_value(struct json_scan *s, enum json_token t)
{
	unsigned	 above;

	switch (t) {
	case JSON_TOK_STRING:
	case JSON_TOK_NUMBER:
	case JSON_TOK_TRUE:
	case JSON_TOK_FALSE:
	case JSON_TOK_NULL:
		return true;
	case JSON_TOK_OBJECT:
	case JSON_TOK_ARRAY:
		break;
	default:
		return false;
	}
	above = s->depth - 1;
	while (s->depth > above)
		if (json_next(s) == JSON_TOK_BAD)
			return false;
	return true;
}

bool
json_skip(struct json_scan *s, struct span *range_r)
{
	enum json_token	 t;
	size_t		 start;

	t = json_next(s);
	start = s->start;
	if (!finish_value(s, t))
		return false;
	if (range_r != NULL)
		*range_r = span_make(s->in.p + start, s->off - start);
	return true;
}

/* Length of the UTF-8 sequence at p; 0 for none (RFC 3629: no surrogates, no overlongs). */
static size_t
utf8_len(const char *text, size_t n)
{
	const unsigned char	*p = (const unsigned char *)text;
	unsigned char		 low = 0x80, high = 0xbf;
	size_t			 len, i;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		len = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		len = 3;
		if (p[0] == 0xe0)
			low = 0xa0;
		else if (p[0] == 0xed)
			high = 0x9f;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		len = 4;
		if (p[0] == 0xf0)
			low = 0x90;
		else if (p[0] == 0xf4)
			high = 0x8f;
	} else
		return 0;
	if (len > n || p[1] < low || p[1] > high)
		return 0;
	for (i = 2; i < len; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return len;
}

static size_t
utf8_put(char *dst, unsigned long cp)
{
	if (cp < 0x80) {
		dst[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		dst[0] = (char)(0xc0 | cp >> 6);
		dst[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		dst[0] = (char)(0xe0 | cp >> 12);
		dst[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		dst[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	dst[0] = (char)(0xf0 | cp >> 18);
	dst[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	dst[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	dst[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

/* One escape at p (the backslash) -> UTF-8 in dst; bytes read, 0 when malformed. */
static size_t
undo_escape(const char *p, size_t n, char *dst, size_t *len_r)
{
	static const char	 from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char		*at;
	unsigned		 unit, low;
	unsigned long		 cp;
	size_t			 used = 6;

	if (n < 2)
		return 0;
	if (p[1] != 'u') {
		at = p[1] == '\0' ? NULL : strchr(from, p[1]);
		if (at == NULL)
			return 0;
		dst[0] = to[at - from];
		*len_r = 1;
		return 2;
	}
	if (n < 6 || !hex4(p + 2, &unit))
		return 0;
	cp = unit;
	if (unit >= 0xd800 && unit <= 0xdfff) {
		cp = 0xfffd;
		if (unit < 0xdc00 && n >= 12 && p[6] == '\\' && p[7] == 'u' &&
		    hex4(p + 8, &low) && low >= 0xdc00 && low <= 0xdfff) {
			cp = 0x10000 + ((unsigned long)(unit - 0xd800) << 10) + (low - 0xdc00);
			used = 12;
		}
	}
	*len_r = utf8_put(dst, cp);
	return used;
}

bool
json_unescape(struct span text, struct buf *out, size_t max_bytes)
{
	char		 piece[4];
	const char	*src;
	size_t		 i = 0, used, len, total = 0;

	while (i < text.n) {
		src = text.p + i;
		used = len = plain_run(src, text.n - i, true);
		if (used == 0 && *src == '\\') {
			used = undo_escape(src, text.n - i, piece, &len);
			src = piece;
		} else if (used == 0 && (unsigned char)*src > 0x7f)
			used = len = utf8_len(src, text.n - i);
		if (used == 0 || len > max_bytes - total)
			return false;
		buf_add(out, src, len);
		total += len;
		i += used;
	}
	return true;
}

/* Keys are compared as they are meant; nearly none has an escape. */
static bool
key_is(struct span text, struct span key)
{
	struct buf	 plain = { 0 };
	bool		 same;

	if (memchr(text.p, '\\', text.n) == NULL)
		return span_eq(text, key);
	same = json_unescape(text, &plain, key.n) && span_eq(buf_span(&plain), key);
	buf_fini(&plain);
	return same;
}

/* The first member of that name counts; what stands behind it is not looked at. */
bool
json_member(struct span in, const char *key, enum json_token *type_r, struct span *value_r)
{
	struct json_scan	 s;
	struct span		 want = span_of(key), text;
	enum json_token		 t;
	size_t			 start;

	json_scan_init(&s, in);
	if (json_next(&s) != JSON_TOK_OBJECT)
		return false;
	while (json_next(&s) == JSON_TOK_KEY) {
		if (!key_is(s.text, want)) {
			if (!json_skip(&s, NULL))
				return false;
			continue;
		}
		t = json_next(&s);
		start = s.start;
		text = s.text;
		if (!finish_value(&s, t))
			return false;
		*type_r = t;
		*value_r = t == JSON_TOK_STRING ? text : span_make(in.p + start, s.off - start);
		return true;
	}
	return false;
}

bool
json_member_u64(struct span in, const char *key, uint64_t *v_r)
{
	enum json_token	 t;
	struct span	 v;

	if (!json_member(in, key, &t, &v) || (t != JSON_TOK_STRING && t != JSON_TOK_NUMBER))
		return false;
	return span_u64(v, v_r);
}

void
json_out_init(struct json_out *o, struct buf *out)
{
	memset(o, 0, sizeof(*o));
	o->out = out;
}

static uint64_t
level_bit(const struct json_out *o)
{
	return 1ull << (o->depth - 1);
}

static void
comma(struct json_out *o)
{
	if (o->depth == 0)
		return;
	if ((o->has_item & level_bit(o)) != 0)
		buf_add(o->out, ",", 1);
	o->has_item |= level_bit(o);
}

static void
before_value(struct json_out *o)
{
	if (o->after_key) {
		o->after_key = false;
		return;
	}
	assert(o->depth == 0 || (o->is_object & level_bit(o)) == 0);
	comma(o);
}

static void
out_open(struct json_out *o, bool object)
{
	before_value(o);
	assert(o->depth < JSON_DEPTH_MAX);
	o->depth++;
	o->has_item &= ~level_bit(o);
	if (object)
		o->is_object |= level_bit(o);
	else
		o->is_object &= ~level_bit(o);
	buf_add(o->out, object ? "{" : "[", 1);
}

static void
out_close(struct json_out *o, bool object)
{
	assert(o->depth > 0 && !o->after_key);
	assert(((o->is_object & level_bit(o)) != 0) == object);
	o->depth--;
	buf_add(o->out, object ? "}" : "]", 1);
}

void
json_obj(struct json_out *o)
{
	out_open(o, true);
}

void
json_obj_end(struct json_out *o)
{
	out_close(o, true);
}

void
json_arr(struct json_out *o)
{
	out_open(o, false);
}

void
json_arr_end(struct json_out *o)
{
	out_close(o, false);
}

static void
put_string(struct buf *out, struct span s)
{
	static const char	 from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char		*src, *at;
	size_t			 i = 0, k;

	buf_add(out, "\"", 1);
	while (i < s.n) {
		src = s.p + i;
		k = plain_run(src, s.n - i, true);
		if (k == 0 && (unsigned char)*src > 0x7f) {
			k = utf8_len(src, s.n - i);
			if (k == 0) {
				buf_add(out, "\xef\xbf\xbd", 3);
				i++;
				continue;
			}
		}
		if (k == 0) {
			at = *src == '\0' ? NULL : strchr(from, *src);
			if (at != NULL)
				buf_printf(out, "\\%c", to[at - from]);
			else
				buf_printf(out, "\\u%04x", (unsigned)(unsigned char)*src);
			i++;
			continue;
		}
		buf_add(out, src, k);
		i += k;
	}
	buf_add(out, "\"", 1);
}

void
json_key(struct json_out *o, const char *key)
{
	assert(o->depth > 0 && (o->is_object & level_bit(o)) != 0 && !o->after_key);
	comma(o);
	put_string(o->out, span_of(key));
	buf_add(o->out, ":", 1);
	o->after_key = true;
}

void
json_str(struct json_out *o, struct span s)
{
	before_value(o);
	put_string(o->out, s);
}

void
json_cstr(struct json_out *o, const char *s)
{
	if (s == NULL)
		json_nil(o);
	else
		json_str(o, span_of(s));
}

void
json_u64(struct json_out *o, uint64_t v)
{
	before_value(o);
	buf_printf(o->out, "%" PRIu64, v);
}

void
json_id(struct json_out *o, uint64_t v)
{
	before_value(o);
	buf_printf(o->out, "\"%" PRIu64 "\"", v);
}

void
json_bool(struct json_out *o, bool v)
{
	json_raw(o, v ? SPAN("true") : SPAN("false"));
}

void
json_nil(struct json_out *o)
{
	json_raw(o, SPAN("null"));
}

void
json_raw(struct json_out *o, struct span v)
{
	before_value(o);
	buf_add_span(o->out, v);
}

void
json_kv_str(struct json_out *o, const char *key, struct span v)
{
	json_key(o, key);
	json_str(o, v);
}

void
json_kv_cstr(struct json_out *o, const char *key, const char *v)
{
	json_key(o, key);
	json_cstr(o, v);
}

void
json_kv_u64(struct json_out *o, const char *key, uint64_t v)
{
	json_key(o, key);
	json_u64(o, v);
}

void
json_kv_id(struct json_out *o, const char *key, uint64_t v)
{
	json_key(o, key);
	json_id(o, v);
}

void
json_kv_bool(struct json_out *o, const char *key, bool v)
{
	json_key(o, key);
	json_bool(o, v);
}

void
json_kv_hex(struct json_out *o, const char *key, uint64_t v)
{
	char	 text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, v);
	json_kv_cstr(o, key, v == 0 ? NULL : text);
}

void
json_kv_known(struct json_out *o, const char *key, uint64_t v)
{
	json_key(o, key);
	if (v == UINT64_MAX)
		json_nil(o);
	else
		json_u64(o, v);
}
