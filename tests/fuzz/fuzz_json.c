/*
 * json against jansson: the scanner accepts and refuses the same documents.
 *
 * On purpose apart (see common/json.c): the scanner passes bytes that are no UTF-8, lone
 * surrogates and numbers of any size, and ends at JSON_DEPTH_MAX; jansson passes a NUL
 * between tokens, and none in a key.  Every string that jansson has must unescape to the same
 * bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <jansson.h>

#include "common/json.h"
#include "tests/fuzz/fuzz.h"

/* How jansson refuses what the scanner passes. */
static bool
is_deliberate(const json_error_t *e)
{
	switch (json_error_code(e)) {
	case json_error_invalid_utf8:
	case json_error_numeric_overflow:
	case json_error_null_byte_in_key:
		return true;
	default:
		return strncmp(e->text, "invalid Unicode", 15) == 0 ||
		    strncmp(e->text, "unable to decode byte", 21) == 0;
	}
}

static bool
scan_all(struct span in, bool *deep_r)
{
	struct json_scan	 s;
	struct buf		 plain = { 0 };
	enum json_token		 t;
	size_t			 last = 0;

	json_scan_init(&s, in);
	*deep_r = false;
	do {
		t = json_next(&s);
		CHECK(s.off >= last && s.off <= in.n && s.depth <= JSON_DEPTH_MAX);
		last = s.off;
		if (s.depth == JSON_DEPTH_MAX)
			*deep_r = true;
		if (t == JSON_TOK_KEY || t == JSON_TOK_STRING) {
			CHECK(s.text.p >= in.p && s.text.p + s.text.n < in.p + in.n);
			buf_reset(&plain);
			if (json_unescape(s.text, &plain, 1 << 20))
				CHECK(plain.n <= s.text.n);
		}
	} while (t != JSON_TOK_BAD && t != JSON_TOK_END);
	buf_fini(&plain);
	return t == JSON_TOK_END;
}

/* Members of the outermost object, as both see them. */
static void
compare_members(struct span in)
{
	struct buf	 plain = { 0 };
	enum json_token	 t;
	struct span	 v;
	const char	*key;
	json_t		*j, *value;

	/* A repeated member is the first one here and the last one there. */
	j = json_loadb(in.p, in.n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	json_object_foreach(j, key, value) {
		CHECK(json_member(in, key, &t, &v));
		CHECK((t == JSON_TOK_STRING) == json_is_string(value));
		if (!json_is_string(value))
			continue;
		buf_reset(&plain);
		CHECK(json_unescape(v, &plain, in.n));
		CHECK(span_eq(buf_span(&plain), span_make(json_string_value(value),
		    json_string_length(value))));
	}
	json_decref(j);
	buf_fini(&plain);
}

/* Any bytes as a string: jansson reads it, and nothing is lost that was UTF-8. */
static void
write_and_read(struct span in)
{
	struct buf	 b = { 0 };
	struct json_out	 o;
	json_t		*j, *whole;

	json_out_init(&o, &b);
	json_arr(&o);
	json_str(&o, in);
	json_arr_end(&o);
	j = json_loadb(buf_span(&b).p, buf_span(&b).n, JSON_ALLOW_NUL, NULL);
	CHECK(j != NULL);
	whole = json_stringn(in.p, in.n);	/* NULL when it is not UTF-8 */
	if (whole != NULL)
		CHECK(json_equal(whole, json_array_get(j, 0)));
	json_decref(whole);
	json_decref(j);
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span	 in = span_make(data, n), range;
	struct json_scan s;
	json_error_t	 e;
	json_t		*j;
	uint64_t	 v;
	bool		 ours, deep;

	ours = scan_all(in, &deep);
	json_scan_init(&s, in);
	if (ours)
		CHECK(json_skip(&s, &range) && json_next(&s) == JSON_TOK_END);
	(void)json_member_u64(in, "id", &v);
	j = json_loadb(in.p, in.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
	if (ours && j == NULL)
		CHECK(is_deliberate(&e));
	if (!ours && j != NULL)
		CHECK(deep || memchr(in.p, '\0', in.n) != NULL);
	if (ours && json_is_object(j))
		compare_members(in);
	json_decref(j);
	write_and_read(in);
	return 0;
}
