#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/words.h"

/* The words of text, each between < and >. */
static char *
split(const char *text)
{
	static char	 out[512];
	struct words	 w;
	const char	*why;

	if (words_split(text, &w, &why) == -1) {
		snprintf(out, sizeof(out), "%s", why);
		assert_null(w.v);
		return out;
	}
	out[0] = '\0';
	for (size_t i = 0; i < w.n; i++) {
		(void)strlcat(out, "<", sizeof(out));
		(void)strlcat(out, w.v[i], sizeof(out));
		(void)strlcat(out, ">", sizeof(out));
	}
	assert_null(w.v[w.n]);
	words_fini(&w);
	assert_null(w.v);
	return out;
}

static void
words(void **state)
{
	static const struct {
		const char	*text, *out;
	} t[] = {
		{ "", "" },
		{ "  \t ", "" },
		{ "/bin/a", "</bin/a>" },
		{ " /bin/a  -v\tx ", "</bin/a><-v><x>" },
		{ "a 'b c' d", "<a><b c><d>" },
		{ "a \"b c\" d", "<a><b c><d>" },
		{ "a'b c'\"d e\"f", "<ab cd ef>" },
		{ "a '' \"\"", "<a><><>" },
		{ "a\\ b c\\\\d \\'e\\\"", "<a b><c\\d><'e\">" },
		{ "'a\\b' '\"' \"'\"", "<a\\b><\"><'>" },
		{ "\"a\\\"b\\\\c\\d\"", "<a\"b\\c\\d>" },
		{ "$HOME *.c ~ a;b |& `x` #y", "<$HOME><*.c><~><a;b><|&><`x`><#y>" },
		{ "\xc3\xa4 '\xe2\x82\xac \xe2\x82\xac'", "<\xc3\xa4><\xe2\x82\xac \xe2\x82\xac>" },
		{ "a 'b", "has a ' that is not closed" },
		{ "a \"b'", "has a \" that is not closed" },
		{ "a \"b\\\"", "has a \" that is not closed" },
		{ "a b\\", "ends with a backslash" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_string_equal(split(t[i].text), t[i].out);
}

static void
a_line_has_a_bound(void **state)
{
	char		 text[2 * WORDS_MAX + 3];
	struct words	 w;
	const char	*why;

	(void)state;
	for (size_t i = 0; i <= WORDS_MAX; i++)
		memcpy(text + 2 * i, "x ", 3);
	assert_int_equal(words_split(text, &w, &why), -1);
	assert_string_equal(why, "has too many words");
	text[2 * WORDS_MAX] = '\0';
	assert_int_equal(words_split(text, &w, &why), 0);
	assert_int_equal(w.n, WORDS_MAX);
	words_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(a_line_has_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
