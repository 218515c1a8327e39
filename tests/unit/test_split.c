/*
 * split: where a text is cut, what is inserted, what is shown while it grows.
 * That the properties hold for any text is the fuzzer's (fuzz_split.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "worker/rest/codepoint.h"
#include "worker/rest/split.h"

#define X10(c)	c c c c c c c c c c
#define X50(c)	X10(c) X10(c) X10(c) X10(c) X10(c)

/* All pieces, with a bar between them. */
static char *
cut(struct span text, uint32_t limit, uint32_t max_lines)
{
	struct split	 s;
	struct buf	 out = { 0 };
	size_t		 n, i;

	split_init(&s, limit, max_lines);
	n = split_text(&s, text, true);
	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_add(&out, "|", 1);
		split_render(&s, i, text, &out);
	}
	buf_add(&out, "", 1);
	split_fini(&s);
	return out.p;
}

static void
assert_cut(struct span text, uint32_t max_lines, const char *want)
{
	char	*got = cut(text, SPLIT_LIMIT_MIN, max_lines);

	assert_string_equal(got, want);
	free(got);
}
#define CUT(lit, want)		assert_cut(SPAN(lit), 0, want)
#define CUT_LINES(lit, n, want)	assert_cut(SPAN(lit), n, want)

#define W30	X10("abc")
#define W50	X10("abcde")
#define W60	X10("abcdef")

static void
takes_the_best_break(void **state)
{
	(void)state;
	CUT(W30 "ab\n\nab\nab. ab " W50, W30 "ab|ab\nab. ab " W50);
	CUT(W30 " ab\nab. ab ab " W50, W30 " ab|ab. ab ab " W50);
	CUT(W30 " ab. ab ab " W50, W30 " ab.|ab ab " W50);
	CUT(W30 " (ab!) ab ab " W50, W30 " (ab!)|ab ab " W50);
	CUT(W30 " ab\xef\xbc\x8c" "ab ab " W50, W30 " ab\xef\xbc\x8c" "ab ab|" W50);
	CUT(W30 "ab\xef\xbc\x8c" "ab" W50, W30 "ab\xef\xbc\x8c|ab" W50);
	CUT(W30 "ab\xe3\x80\x82" "ab\xef\xbc\x8c" W50, W30 "ab\xe3\x80\x82|ab\xef\xbc\x8c" W50);
	CUT(W60 "ghijkl", W60 "ghij|kl");
}

/* Only then in the first half, and only then anywhere. */
static void
prefers_full_pieces(void **state)
{
	(void)state;
	CUT("a\n\n" W30 " b " W50, "a\n\n" W30 " b|" W50);
	CUT("a\n\nb " W60 "ghijkl", "a|b|" W60 "ghij|kl");
}

static void
drops_white_space_but_no_indent(void **state)
{
	(void)state;
	CUT(" \n\n  a  \n \n", "  a");
	CUT("", "");
	CUT(X50(" ") X50(" ") "ab", "ab");
	CUT(X50(" ") "```", "\xe2\x80\x8b```");	/* which the indent kept from being a fence */
	CUT(" \t\r\n\xe3\x80\x80\n", "");
	CUT(W60 "\n \n  - ab", W60 "|  - ab");
	CUT(W60 X50(" ") "\n" X50(" ") "ab", W60 "|ab");
}

static void
counts_lines(void **state)
{
	(void)state;
	CUT_LINES("1\n2\n3\n4\n", 4, "1\n2\n3\n4");
	CUT_LINES("1\n2\n3\n4\n5", 4, "1\n2\n3\n4|5");
	CUT_LINES("1\n2\n\n3\n4", 4, "1\n2|3\n4");
	CUT_LINES("```\n1\n2\n```", 4, "```\n1\n2\n```");
	CUT_LINES("```\n1\n2\n3\n```", 4, "```\n1\n2\n```|```\n3\n```");
	CUT_LINES("1\n2\n3\n```\n4\n```", 4, "1\n2\n3|```\n4\n```");
	CUT_LINES("```\n1\n2\n3\n4\n5\n```", 5, "```\n1\n2\n3\n```|```\n4\n5\n```");
	CUT_LINES("1\n2\n3\n```\n", 4, "1\n2\n3|```\n```");
}

static void
closes_and_opens_fences(void **state)
{
	(void)state;
	CUT("```c\n" W50 "\n" W50 "\n```\nab", "```c\n" W50 "\n```|```c\n" W50 "\n```\nab");
	CUT("  ~~~~ sh \n" W30 "\n~~~\n" W30 "\n~~~~",
	    "  ~~~~ sh \n" W30 "\n~~~\n~~~~|  ~~~~ sh\n" W30 "\n~~~~");
	/* Quoted: the marks of the next line are there; those of a line that is cut are not. */
	CUT("> ```c\n> " W30 "\n> " W30 "\n> ```", "> ```c\n> " W30 "\n> ```|> ```c\n> " W30 "\n> ```");
	CUT("> ```c\n> " W30 W30 "\n> ```",
	    "> ```c\n> " W30 "abcabcabcabcabcabca\n> ```|> ```c\n> bcabcabcabc\n> ```");
}

static void
knows_what_is_no_fence(void **state)
{
	(void)state;
	CUT("``\n" W30 "\n" W50, "``\n" W30 "|" W50);
	CUT("``` a`b\n" W30 "\n" W50, "``` a`b\n" W30 "|" W50);
	CUT("    ```\n" W30 "\n" W50, "    ```\n" W30 "|" W50);
	CUT("ab ```\n" W30 "\n" W50, "ab ```\n" W30 "|" W50);
	/* Longer than a sixth of the piece. */
	CUT("```abcdefgh\n" W30 "\n" W50, "```abcdefgh\n" W30 "|" W50);
	/* A quote that does not go on ends its fence. */
	CUT("> ```\n> ab\n" W50 "\n```\n" W30 "\n```",
	    "> ```\n> ab\n" W50 "|```\n" W30 "\n```");
	CUT("> ```\n> ab\n" W60 "\n```\n" W30 "\n```",
	    "> ```\n> ab\n> ```|" W60 "|```\n" W30 "\n```");
}

/* A piece never ends in what would be read as a fence line, nor starts with one. */
static void
makes_no_fence(void **state)
{
	(void)state;
	CUT(W50 "abc ```ab", W50 "abc ```ab");
	CUT(W50 "abcdefg ab ```ab", W50 "abcdefg|ab ```ab");
	CUT(W50 "\n``abc `ab", W50 "\n``abc `ab");
	CUT(W50 "\n``abc abcde `ab", W50 "|``abc abcde `ab");
	CUT("```ab" X50(" ") X50(" ") "abc", "``|\xe2\x80\x8b`ab|abc");
	/* Nothing but marks: one that cannot be avoided is guarded. */
	CUT("a" X10("```````") "```", "a" X10("``````") "```|\xe2\x80\x8b``````````");
}

static void
goes_on_with_a_quote(void **state)
{
	(void)state;
	CUT("> " W50 " abc abcdef abcdef", "> " W50 " abc abcdef|> abcdef");
	CUT(" >> " W50 " abc abcdef abcdef", " >> " W50 " abc| >> abcdef abcdef");
}

static void
keeps_tokens_whole(void **state)
{
	(void)state;
	CUT(W50 "<@123456789012345678>", W50 "|<@123456789012345678>");
	CUT(W50 "<a:name:123456789012345678>", W50 "|<a:name:123456789012345678>");
	CUT(W50 "ab <:name:123456789012345678>", W50 "ab|<:name:123456789012345678>");
	CUT(W50 "</name sub:12345678>", W50 "|</name sub:12345678>");
	CUT(W50 "[a b c](https://ab.cd/ef)", W50 "|[a b c](https://ab.cd/ef)");
	CUT(W50 "[a [b] c](https://a(b)c)", W50 "|[a [b] c](https://a(b)c)");
	CUT(W50 "https://example.com/ab_c?d=e", W50 "https://exampl|e.com/ab_c?d=e");
	CUT(W50 " https://example.com/ab_c?d=e", W50 "|https://example.com/ab_c?d=e");
	CUT(W50 " <https://example.com/a>", W50 "|<https://example.com/a>");
	CUT(W50 "\xe4\xbd\xa0https://ab.cd/ef", W50 "\xe4\xbd\xa0|https://ab.cd/ef");
	CUT(W50 "[https://ab.cd](https://ab.cd)ef", W50 "|[https://ab.cd](https://ab.cd)ef");
	/* Whether it is one is not known where the piece is full. */
	CUT(W50 "[ab ab ab ab ab ab](https://ab.cd)", W50 "|[ab ab ab ab ab ab](https://ab.cd)");
	/* Not so when they cannot be, nor what is none. */
	CUT("[ab ab](https://" W50 ")", "[ab|ab](https://" W50 ")");
	CUT(W50 "<b and 1234567890123", W50 "<b and|1234567890123");
	CUT(W50 "[1] and [2] 12345\n(a)", W50 "[1] and [2]|12345\n(a)");
	/* In code brackets are brackets. */
	CUT("```\n" W30 "\n[a](\nbcde)" W30 "\n```", "```\n" W30 "\n[a](\n```|```\nbcde)" W30 "\n```");
}

#define E_ACUTE		"e\xcc\x81"
#define FAMILY		"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7"	/* woman, joiner, girl */
#define THUMB		"\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd"			/* with a skin tone */
#define FLAG		"\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa"
#define HEART		"\xe2\x9d\xa4\xef\xb8\x8f"				/* with a selector */

static void
keeps_graphemes_whole(void **state)
{
	(void)state;
	CUT(W60 "abc" E_ACUTE "f", W60 "abc|" E_ACUTE "f");
	CUT(W60 "ab" FAMILY "f", W60 "ab|" FAMILY "f");
	CUT(W60 "ab" THUMB "f", W60 "ab|" THUMB "f");
	CUT(W60 "ab" FLAG "f", W60 "ab|" FLAG "f");
	CUT(W50 "abcdef" FLAG FLAG "f", W50 "abcdef" FLAG FLAG "|f");
	CUT(W60 "abc" HEART "f", W60 "abc|" HEART "f");
	CUT(W60 "abc\xf0\x9f\x98\x80" "f", W60 "abc|\xf0\x9f\x98\x80" "f");	/* two units */
	/* Seventy marks on one letter fit nowhere. */
	CUT("e" X50("\xcc\x81") X10("\xcc\x81") X10("\xcc\x81"),
	    "e" X50("\xcc\x81") X10("\xcc\x81") "\xcc\x81\xcc\x81\xcc\x81|"
	    "\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81");
}

#define BAD	"\xef\xbf\xbd"

/* WHATWG encoding standard: one U+FFFD for each maximal part. */
static void
replaces_what_is_no_utf8(void **state)
{
	(void)state;
	CUT("a\xff" "b\xc3", "a" BAD "b" BAD);
	CUT("\xf0\x9f\x98" "a\xe2\x82", BAD "a" BAD);
	CUT("\xed\xa0\x80|\xc0\x80|\xf4\x90\x80\x80", BAD BAD BAD "|" BAD BAD "|" BAD BAD BAD BAD);
	assert_int_equal(codepoint_utf16_len(SPAN("a\xff\xc3\xa9\xf0\x9f\x98\x80\xe2\x82")), 6);
	assert_int_equal(codepoint_utf16_len(SPAN_NONE), 0);
}

static void
assert_shows(struct split *s, const char *text, bool end, size_t n, const char *last)
{
	struct buf	 b = { 0 };

	assert_int_equal(split_text(s, span_of(text), end), n);
	if (n > 0) {
		split_render(s, n - 1, span_of(text), &b);
		buf_add(&b, "", 1);
		assert_string_equal(b.p, last);
	}
	buf_fini(&b);
}

/* What is undecided is not shown; a fence is closed at any moment. */
static void
shows_what_is_decided(void **state)
{
	struct split	 s;

	(void)state;
	split_init(&s, SPLIT_LIMIT_MIN, 0);
	assert_shows(&s, "", false, 0, NULL);
	assert_shows(&s, " \n", false, 0, NULL);
	assert_shows(&s, " \nab ", false, 1, "ab");
	assert_shows(&s, " \nab \n``", false, 1, "ab");
	assert_shows(&s, " \nab \n```c", false, 1, "ab");
	assert_shows(&s, " \nab \n```c\n", false, 1, "ab \n```c\n```");
	assert_shows(&s, " \nab \n```c\nx", false, 1, "ab \n```c\nx\n```");
	assert_shows(&s, " \nab \n```c\nx\n", false, 1, "ab \n```c\nx\n```");
	assert_shows(&s, " \nab \n```c\nx\n``", false, 1, "ab \n```c\nx\n```");
	assert_shows(&s, " \nab \n```c\nx\n```", false, 1, "ab \n```c\nx\n```");
	assert_shows(&s, " \nab \n```c\nx\n```\n\xc3", false, 1, "ab \n```c\nx\n```");
	assert_shows(&s, " \nab \n```c\nx\n```\n\xc3\xa9", false, 1, "ab \n```c\nx\n```\n\xc3\xa9");
	assert_shows(&s, " \nab \n```c\nx\n```\n\xc3\xa9\n~~~", true, 1,
	    "ab \n```c\nx\n```\n\xc3\xa9\n~~~\n~~~");
	split_fini(&s);
	split_init(&s, SPLIT_LIMIT_MIN, 0);
	assert_shows(&s, "```\nx\n``", true, 1, "```\nx\n``\n```");
	split_fini(&s);
}

#define ANSWER_PARTS	400

/* An answer as it comes: byte by byte it is cut as at once, and no final piece ever changes. */
static void
grows_as_it_is_cut_at_once(void **state)
{
	struct split	 whole, grown;
	struct buf	 text = { 0 }, a = { 0 }, b = { 0 };
	struct span	 t;
	size_t		 n, i, k, final_n = 0;

	(void)state;
	for (i = 0; i < ANSWER_PARTS; i++)
		buf_printf(&text, "%zu. Some words, then [a link](https://example.com/%zu) and <@%zu>.%s", i, i, i,
		    i % 7 == 0 ? "\n\n```c\nint\tx;\n\nx = 1;\n```\n" : i % 3 == 0 ? "\n" : " ");
	t = buf_span(&text);
	split_init(&whole, SPLIT_LIMIT_DISCORD, SPLIT_LINES_DISCORD);
	n = split_text(&whole, t, true);
	assert_true(n > 10);
	split_init(&grown, SPLIT_LIMIT_DISCORD, SPLIT_LINES_DISCORD);
	for (i = 0; i <= t.n; i++) {
		k = split_text(&grown, span_make(t.p, i), i == t.n);
		assert_true(k >= final_n);
		for (; final_n < (i == t.n ? k : k - (k > 0)); final_n++) {
			buf_reset(&a);
			buf_reset(&b);
			split_render(&grown, final_n, span_make(t.p, i), &a);
			split_render(&whole, final_n, t, &b);
			assert_true(span_eq(buf_span(&a), buf_span(&b)));
			assert_true(codepoint_utf16_len(buf_span(&a)) <= SPLIT_LIMIT_DISCORD);
		}
	}
	assert_int_equal(final_n, n);
	/* The same work, however it came. */
	assert_int_equal(grown.steps, whole.steps);
	split_fini(&whole);
	split_fini(&grown);
	buf_fini(&text);
	buf_fini(&a);
	buf_fini(&b);
}

/* Four walks over a piece and the search for tokens; texts made to be cut badly. */
static void
works_in_linear_time(void **state)
{
	static const char *const	 parts[] = {
		"word ", "[](", "[", "](", "https://", "<@1", "```\n", "> ", "\n", "~", " ", "e\xcc\x81",
		"[a](b", "a\n\nb\nc. d ", "\xff", "```c\n", "[[](", "\\",
	};
	struct split	 s;
	struct buf	 text = { 0 };
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		buf_reset(&text);
		buf_add(&text, "x", 1);
		while (text.n < 256 * 1024)
			buf_add_span(&text, span_of(parts[i]));
		split_init(&s, SPLIT_LIMIT_DISCORD, 0);
		assert_true(split_text(&s, buf_span(&text), true) > 0);
		assert_true(s.steps < 24 * text.n);
		split_fini(&s);
	}
	buf_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(takes_the_best_break),
		cmocka_unit_test(prefers_full_pieces),
		cmocka_unit_test(drops_white_space_but_no_indent),
		cmocka_unit_test(counts_lines),
		cmocka_unit_test(closes_and_opens_fences),
		cmocka_unit_test(knows_what_is_no_fence),
		cmocka_unit_test(makes_no_fence),
		cmocka_unit_test(goes_on_with_a_quote),
		cmocka_unit_test(keeps_tokens_whole),
		cmocka_unit_test(keeps_graphemes_whole),
		cmocka_unit_test(replaces_what_is_no_utf8),
		cmocka_unit_test(shows_what_is_decided),
		cmocka_unit_test(grows_as_it_is_cut_at_once),
		cmocka_unit_test(works_in_linear_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
