/*
 * json: the scanner says yes and no as jansson does, except where json.c says otherwise;
 * what the writer writes is read back by jansson.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <jansson.h>

#include "common/json.h"

static bool
accepts(struct span in)
{
	struct json_scan	 s;
	enum json_token		 t;

	json_scan_init(&s, in);
	do {
		t = json_next(&s);
	} while (t != JSON_TOK_BAD && t != JSON_TOK_END);
	assert_int_equal(json_next(&s), t);	/* both are final */
	return t == JSON_TOK_END;
}

static bool
jansson_accepts(struct span in)
{
	json_t	*j;

	j = json_loadb(in.p, in.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	json_decref(j);
	return j != NULL;
}

#define GOOD	true, true
#define WRONG	false, false
#define OURS	true, false	/* jansson refuses it: see json.c */

static const struct {
	struct span	 in;
	bool		 ours, theirs;
} documents[] = {
#define DOC(lit)	{ lit, sizeof(lit) - 1 }
	{ DOC("{}"), GOOD }, { DOC("[]"), GOOD }, { DOC("null"), GOOD }, { DOC("true"), GOOD },
	{ DOC("false"), GOOD }, { DOC("0"), GOOD }, { DOC("-0"), GOOD }, { DOC("\"\""), GOOD },
	{ DOC(" \t\r\n[ 1 , 2 ]\n"), GOOD },
	{ DOC("{\"a\":1,\"b\":[{},[],{\"c\":null}],\"d\":\"e\"}"), GOOD },
	{ DOC("[1.5,-1.5e10,1E+2,1e-2,0.1,123456789012345678]"), GOOD },
	{ DOC("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\ud83d\\ude00\""), GOOD },
	{ DOC("\"\\u0000\""), GOOD },
	{ DOC("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""), GOOD },
	{ DOC("\"a string longer than eight bytes, with \\\"quotes\\\" in it\""), GOOD },
	{ DOC("\"\x7f\""), GOOD },
	{ DOC(""), WRONG }, { DOC(" "), WRONG }, { DOC("{"), WRONG }, { DOC("["), WRONG },
	{ DOC("}"), WRONG }, { DOC("]"), WRONG }, { DOC("[}"), WRONG }, { DOC("{]"), WRONG },
	{ DOC("[1,]"), WRONG }, { DOC("[,1]"), WRONG }, { DOC("[,]"), WRONG }, { DOC("[1 2]"), WRONG },
	{ DOC("[1,,2]"), WRONG }, { DOC("{,}"), WRONG },
	{ DOC("{\"a\"}"), WRONG }, { DOC("{\"a\":}"), WRONG }, { DOC("{\"a\" 1}"), WRONG },
	{ DOC("{\"a\":1,}"), WRONG }, { DOC("{\"a\":1 \"b\":2}"), WRONG }, { DOC("{a:1}"), WRONG },
	{ DOC("{1:1}"), WRONG }, { DOC("{\"a\":1:2}"), WRONG }, { DOC("{\"a\",1}"), WRONG },
	{ DOC("[\"a\":1]"), WRONG }, { DOC("{}{}"), WRONG }, { DOC("1 2"), WRONG }, { DOC("{} x"), WRONG },
	{ DOC("\"a"), WRONG }, { DOC("\"a\\\""), WRONG }, { DOC("\"\\"), WRONG }, { DOC("'a'"), WRONG },
	{ DOC("\"\\x41\""), WRONG }, { DOC("\"\\u12\""), WRONG }, { DOC("\"\\u12g4\""), WRONG },
	{ DOC("\"\\U0041\""), WRONG }, { DOC("\"\t\""), WRONG }, { DOC("\"\n\""), WRONG },
	{ DOC("\"\x00\""), WRONG }, { DOC("\"eight by\x1ftes\""), WRONG }, { DOC("\"eight bytes\n\""), WRONG },
	{ DOC("01"), WRONG }, { DOC("-"), WRONG }, { DOC("+1"), WRONG }, { DOC(".5"), WRONG },
	{ DOC("1."), WRONG }, { DOC("1.e5"), WRONG }, { DOC("1e"), WRONG }, { DOC("1e+"), WRONG },
	{ DOC("-01"), WRONG }, { DOC("0x10"), WRONG }, { DOC("1_0"), WRONG }, { DOC("--1"), WRONG },
	{ DOC("NaN"), WRONG }, { DOC("Infinity"), WRONG }, { DOC("-Infinity"), WRONG },
	{ DOC("nul"), WRONG }, { DOC("nulll"), WRONG }, { DOC("True"), WRONG }, { DOC("tru"), WRONG },
	{ DOC("truefalse"), WRONG }, { DOC("[true false]"), WRONG }, { DOC("[1]1"), WRONG },
	{ DOC("\xef\xbb\xbf{}"), WRONG }, { DOC("{}\x00"), WRONG }, { DOC("\x0c[]"), WRONG },
	{ DOC("/**/{}"), WRONG }, { DOC("[1]//x"), WRONG },
	{ DOC("\"\xff\""), OURS },			/* bytes are passed through */
	{ DOC("\"\xc3\""), OURS },
	{ DOC("\"\xed\xa0\x80\""), OURS },
	{ DOC("\"\\ud800\""), OURS },			/* lone surrogates are text */
	{ DOC("\"\\udc00\\ud800\""), OURS },
	{ DOC("123456789012345678901234567890"), OURS },	/* numbers are text */
	{ DOC("1e999"), OURS },
};

static void
agrees_with_jansson(void **state)
{
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
		if (accepts(documents[i].in) != documents[i].ours)
			fail_msg("scanner: document %zu: %s", i, documents[i].in.p);
		if (jansson_accepts(documents[i].in) != documents[i].theirs)
			fail_msg("jansson: document %zu: %s", i, documents[i].in.p);
	}
}

static void
nesting_is_bounded(void **state)
{
	char	 in[2 * (JSON_DEPTH_MAX + 1)];

	(void)state;
	memset(in, '[', JSON_DEPTH_MAX);
	memset(in + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	assert_true(accepts(span_make(in, 2 * JSON_DEPTH_MAX)));
	memset(in, '[', JSON_DEPTH_MAX + 1);
	memset(in + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_false(accepts(span_make(in, sizeof(in))));
	assert_false(accepts(span_make(in, JSON_DEPTH_MAX)));
}

static void
cut_anywhere_is_refused(void **state)
{
	static const char	 doc[] =
	    "{\"op\":0,\"d\":{\"id\":\"123\",\"content\":\"h\\u00e9llo \\\"w\\\"\",\"n\":[1,-2.5e3,true,null]}}";
	char			*p;
	size_t			 i;

	(void)state;
	for (i = 0; i < sizeof(doc) - 1; i++) {
		p = malloc(i == 0 ? 1 : i);	/* of its exact size, for ASan */
		assert_non_null(p);
		memcpy(p, doc, i);
		assert_false(accepts(span_make(p, i)));
		free(p);
	}
	assert_true(accepts(SPAN(doc)));
}

static void
tokens_carry_their_text(void **state)
{
	static const struct { enum json_token t; const char *text; size_t start; } want[] = {
		{ JSON_TOK_OBJECT, NULL, 1 },
		{ JSON_TOK_KEY, "a\\n", 2 }, { JSON_TOK_STRING, "x\\\"y", 11 },
		{ JSON_TOK_KEY, "b", 18 }, { JSON_TOK_ARRAY, NULL, 22 },
		{ JSON_TOK_NUMBER, "-1.5e3", 23 }, { JSON_TOK_TRUE, NULL, 30 },
		{ JSON_TOK_FALSE, NULL, 35 }, { JSON_TOK_NULL, NULL, 41 },
		{ JSON_TOK_OBJECT, NULL, 46 }, { JSON_TOK_OBJECT_END, NULL, 47 },
		{ JSON_TOK_ARRAY_END, NULL, 48 }, { JSON_TOK_OBJECT_END, NULL, 49 },
	};
	struct json_scan	 s;
	size_t			 i;

	(void)state;
	json_scan_init(&s, SPAN(" {\"a\\n\"  : \"x\\\"y\",\"b\":[-1.5e3,true,false,null,{}]}"));
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(json_next(&s), want[i].t);
		if (want[i].text != NULL)
			assert_true(span_is(s.text, want[i].text));
		assert_int_equal(s.start, want[i].start);
	}
	assert_int_equal(json_next(&s), JSON_TOK_END);
	assert_int_equal(s.depth, 0);
}

static void
values_are_skipped_whole(void **state)
{
	struct json_scan	 s;
	struct span		 range;

	(void)state;
	json_scan_init(&s, SPAN("{\"a\": {\"b\":[1,{\"c\":\"}\"}]} ,\"d\": \"e\" }"));
	assert_int_equal(json_next(&s), JSON_TOK_OBJECT);
	assert_int_equal(json_next(&s), JSON_TOK_KEY);
	assert_true(json_skip(&s, &range));
	assert_true(span_is(range, "{\"b\":[1,{\"c\":\"}\"}]}"));
	assert_int_equal(json_next(&s), JSON_TOK_KEY);
	assert_true(json_skip(&s, &range));
	assert_true(span_is(range, "\"e\""));
	assert_int_equal(json_next(&s), JSON_TOK_OBJECT_END);
	assert_int_equal(json_next(&s), JSON_TOK_END);

	json_scan_init(&s, SPAN(" [1,2] "));
	assert_true(json_skip(&s, &range));
	assert_true(span_is(range, "[1,2]"));
	assert_int_equal(json_next(&s), JSON_TOK_END);

	json_scan_init(&s, SPAN("[1,{\"a\":]"));
	assert_false(json_skip(&s, &range));
	assert_int_equal(json_next(&s), JSON_TOK_BAD);
	json_scan_init(&s, SPAN("[]"));
	assert_int_equal(json_next(&s), JSON_TOK_ARRAY);
	assert_false(json_skip(&s, NULL));
}

static void
escapes_are_undone(void **state)
{
	static const struct { struct span in; struct span out; bool ok; } rows[] = {
		{ DOC("plain"), DOC("plain"), true },
		{ DOC(""), DOC(""), true },
		{ DOC("\\\"\\\\\\/\\b\\f\\n\\r\\t"), DOC("\"\\/\b\f\n\r\t"), true },
		{ DOC("\\u0041\\u00e9\\u20ac\\ud83d\\ude00"), DOC("A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), true },
		{ DOC("\\u0000x"), DOC("\0x"), true },
		{ DOC("\\ud800"), DOC("\xef\xbf\xbd"), true },
		{ DOC("\\udc00x"), DOC("\xef\xbf\xbdx"), true },
		{ DOC("\\ud800\\u0041"), DOC("\xef\xbf\xbd" "A"), true },
		{ DOC("\\ud800\\ud800\\udc00"), DOC("\xef\xbf\xbd\xf0\x90\x80\x80"), true },
		{ DOC("caf\xc3\xa9 and more text"), DOC("caf\xc3\xa9 and more text"), true },
		{ DOC("\\x"), DOC(""), false },
		{ DOC("\\"), DOC(""), false },
		{ DOC("\\u12"), DOC(""), false },
		{ DOC("\\u12zz"), DOC(""), false },
		{ DOC("\\\0"), DOC(""), false },
		{ DOC("a\"b"), DOC(""), false },
		{ DOC("a\nb"), DOC(""), false },
		{ DOC("\xff"), DOC(""), false },		/* not UTF-8 */
		{ DOC("\xc0\x80"), DOC(""), false },		/* overlong */
		{ DOC("\xe0\x80\x80"), DOC(""), false },
		{ DOC("\xf0\x80\x80\x80"), DOC(""), false },
		{ DOC("\xed\xa0\x80"), DOC(""), false },	/* a surrogate */
		{ DOC("\xf4\x90\x80\x80"), DOC(""), false },	/* above U+10FFFF */
		{ DOC("\xe2\x82"), DOC(""), false },		/* cut */
		{ DOC("\xe2\x82x"), DOC(""), false },
	};
	struct buf	 b = { 0 };
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_reset(&b);
		if (json_unescape(rows[i].in, &b, 1000) != rows[i].ok)
			fail_msg("row %zu", i);
		if (rows[i].ok && !span_eq(buf_span(&b), rows[i].out))
			fail_msg("text of row %zu", i);
	}
	buf_reset(&b);
	assert_true(json_unescape(SPAN("ab\\u20ac"), &b, 5));
	buf_reset(&b);
	assert_false(json_unescape(SPAN("ab\\u20ac"), &b, 4));
	buf_fini(&b);
}

static void
members_are_found(void **state)
{
	static const struct span	 in = DOC("{\"a\":{\"id\":\"9\"},\"id\":\"123\",\"n\":45,\"s\":\"x\\ny\",\"t\":true,"
	    "\"big\":\"18446744073709551616\",\"neg\":-1,\"k\\u0065y\":[1, 2],\"z\":null,\"id\":\"7\"}");
	enum json_token			 t;
	struct span			 v;
	uint64_t			 n = 77;

	(void)state;
	assert_true(json_member_u64(in, "id", &n));
	assert_int_equal(n, 123);			/* the first, and not the nested one */
	assert_true(json_member_u64(in, "n", &n));
	assert_int_equal(n, 45);
	assert_false(json_member_u64(in, "big", &n));
	assert_false(json_member_u64(in, "neg", &n));
	assert_false(json_member_u64(in, "t", &n));
	assert_false(json_member_u64(in, "none", &n));
	assert_int_equal(n, 45);
	assert_true(json_member(in, "a", &t, &v));
	assert_int_equal(t, JSON_TOK_OBJECT);
	assert_true(span_is(v, "{\"id\":\"9\"}"));
	assert_true(json_member(in, "s", &t, &v));
	assert_int_equal(t, JSON_TOK_STRING);
	assert_true(span_is(v, "x\\ny"));
	assert_true(json_member(in, "t", &t, &v));
	assert_int_equal(t, JSON_TOK_TRUE);
	assert_true(span_is(v, "true"));
	assert_true(json_member(in, "key", &t, &v));
	assert_true(span_is(v, "[1, 2]"));
	assert_true(json_member(in, "z", &t, &v));
	assert_int_equal(t, JSON_TOK_NULL);
	assert_false(json_member(SPAN("[1]"), "a", &t, &v));
	assert_false(json_member(SPAN("{\"a\":"), "a", &t, &v));
	assert_false(json_member(SPAN("{\"b\":x,\"a\":1}"), "a", &t, &v));
	assert_false(json_member(SPAN(""), "a", &t, &v));
}

static void
what_is_written_is_read_by_jansson(void **state)
{
	struct buf	 b = { 0 };
	struct json_out	 o;
	json_t		*j, *list;
	char		 bytes[256];
	int		 i;

	(void)state;
	for (i = 0; i < 256; i++)
		bytes[i] = (char)i;
	json_out_init(&o, &b);
	json_obj(&o);
	json_kv_cstr(&o, "name", "a \"quoted\" \\ caf\xc3\xa9\n");
	json_kv_u64(&o, "n", 42);
	json_kv_id(&o, "id", UINT64_MAX);
	json_kv_bool(&o, "yes", true);
	json_kv_bool(&o, "no", false);
	json_kv_hex(&o, "hex", 0xabc);
	json_kv_hex(&o, "no_hex", 0);
	json_kv_known(&o, "known", 0);
	json_kv_known(&o, "unknown", UINT64_MAX);
	json_kv_cstr(&o, "none", NULL);
	json_kv_str(&o, "bytes", span_make(bytes, sizeof(bytes)));
	json_key(&o, "list");
	json_arr(&o);
	json_arr(&o);
	json_arr_end(&o);
	json_obj(&o);
	json_obj_end(&o);
	json_u64(&o, 1);
	json_raw(&o, SPAN("{\"raw\":[1,2]}"));
	json_nil(&o);
	json_arr_end(&o);
	json_key(&o, "quote\"d");
	json_id(&o, 5);
	json_obj_end(&o);
	assert_int_equal(o.depth, 0);
	assert_true(accepts(buf_span(&b)));
	j = json_loadb(buf_span(&b).p, buf_span(&b).n, JSON_ALLOW_NUL, NULL);
	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "name")),
	    "a \"quoted\" \\ caf\xc3\xa9\n");
	assert_int_equal(json_integer_value(json_object_get(j, "n")), 42);
	assert_string_equal(json_string_value(json_object_get(j, "id")), "18446744073709551615");
	assert_true(json_is_true(json_object_get(j, "yes")));
	assert_true(json_is_false(json_object_get(j, "no")));
	assert_true(json_is_null(json_object_get(j, "none")));
	assert_string_equal(json_string_value(json_object_get(j, "hex")), "0000000000000abc");
	assert_true(json_is_null(json_object_get(j, "no_hex")));
	assert_true(json_is_integer(json_object_get(j, "known")));
	assert_true(json_is_null(json_object_get(j, "unknown")));
	/* 128 ASCII bytes, then 128 that are no UTF-8. */
	assert_int_equal(json_string_length(json_object_get(j, "bytes")), 128 + 3 * 128);
	assert_memory_equal(json_string_value(json_object_get(j, "bytes")), bytes, 128);
	list = json_object_get(j, "list");
	assert_int_equal(json_array_size(list), 5);
	assert_int_equal(json_array_size(json_object_get(json_array_get(list, 3), "raw")), 2);
	assert_string_equal(json_string_value(json_object_get(j, "quote\"d")), "5");
	json_decref(j);

	/* Closing a level forgets its commas. */
	buf_reset(&b);
	json_out_init(&o, &b);
	json_arr(&o);
	json_arr(&o);
	json_u64(&o, 1);
	json_arr_end(&o);
	json_arr(&o);
	json_u64(&o, 2);
	json_arr_end(&o);
	json_arr_end(&o);
	assert_true(span_is(buf_span(&b), "[[1],[2]]"));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(agrees_with_jansson),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(cut_anywhere_is_refused),
		cmocka_unit_test(tokens_carry_their_text),
		cmocka_unit_test(values_are_skipped_whole),
		cmocka_unit_test(escapes_are_undone),
		cmocka_unit_test(members_are_found),
		cmocka_unit_test(what_is_written_is_read_by_jansson),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
