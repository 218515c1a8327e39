/*
 * envelope: what is found, in which order the keys may come, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/clock.h"
#include "supervisor/gateway/envelope.h"

static const char message[] =
    "{\"t\":\"MESSAGE_CREATE\",\"s\":4711,\"op\":0,\"d\":{\"type\":0,\"tts\":false,"
    "\"timestamp\":\"2026-11-20T09:00:00.000000+00:00\",\"pinned\":false,\"nonce\":\"7\","
    "\"mentions\":[{\"id\":\"9\",\"user\":{\"id\":\"8\"}}],"
    "\"member\":{\"user_id\":\"99\",\"roles\":[]},"
    "\"id\":\"1300000000000000001\",\"flags\":0,\"content\":\"a \\\"quoted\\\" {brace} \\u00e9\","
    "\"channel_id\":\"1300000000000000002\","
    "\"author\":{\"username\":\"ann\",\"id\":\"1300000000000000003\","
    "\"bot\":false},\"attachments\":[],\"guild_id\":\"1300000000000000004\"}}";

static struct envelope
scanned(const char *text)
{
	struct envelope	 e;

	assert_int_equal(envelope_scan(span_of(text), &e), 0);
	return e;
}

static void
a_message(void **state)
{
	struct envelope	 e = scanned(message);

	(void)state;
	assert_int_equal(e.op, 0);
	assert_true(e.has_s);
	assert_true(e.s == 4711);
	assert_true(span_is(e.t, "MESSAGE_CREATE"));
	assert_int_equal(e.d.p[0], '{');
	assert_int_equal(e.d.p[e.d.n - 1], '}');
	assert_ptr_equal(e.d.p + e.d.n, message + sizeof(message) - 2);
	assert_int_equal(envelope_ids(&e), 0);
	assert_true(e.id == 1300000000000000001ull);
	assert_true(e.channel_id == 1300000000000000002ull);
	assert_true(e.author_id == 1300000000000000003ull);
	assert_true(e.guild_id == 1300000000000000004ull);
	assert_true(e.user_id == 0);	/* those of mentions and member lie deeper */
	assert_true(e.type == 0);
}

/* Discord docs: key order is not guaranteed.  The same four members in all 24 orders. */
static void
any_order(void **state)
{
	static const char	 member[4][16] = { "\"t\":\"X\"", "\"s\":5", "\"op\":0",
	    "\"d\":{\"id\":\"7\"}" };
	char		 text[256];
	struct envelope	 e;

	(void)state;
	for (int a = 0; a < 4; a++)
		for (int b = 0; b < 4; b++)
			for (int c = 0; c < 4; c++) {
				if (a == b || a == c || b == c)
					continue;
				snprintf(text, sizeof(text), "{%s,%s,%s,%s}", member[a], member[b],
				    member[c],
				    member[(6 - a - b - c) & 3]);
				e = scanned(text);
				assert_int_equal(e.op, 0);
				assert_true(e.has_s && e.s == 5);
				assert_true(span_is(e.t, "X"));
				assert_true(span_is(e.d, "{\"id\":\"7\"}"));
				assert_int_equal(envelope_ids(&e), 0);
				assert_true(e.id == 7);
			}
}

/* discord-api-docs#437, #683: d is not always an object. */
static void
kinds_of_d(void **state)
{
	static const char	 kinds[][24] = { "true", "false", "null", "41", "-1.5e3", "\"x\"",
	    "[1,{\"id\":\"3\"}]",
	    "{}", "[]" };
	char		 text[256];
	struct envelope	 e;

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		snprintf(text, sizeof(text), "{\"t\":null,\"s\":null,\"op\":9,\"d\":%s}", kinds[i]);
		e = scanned(text);
		assert_int_equal(e.op, 9);
		assert_false(e.has_s);
		assert_true(e.t.n == 0);
		assert_true(span_is(e.d, kinds[i]));
		assert_int_equal(envelope_ids(&e), 0);
		assert_true(e.id == 0);
		snprintf(text, sizeof(text), "{\"d\":%s,\"op\":9}", kinds[i]);
		e = scanned(text);
		assert_true(span_is(e.d, kinds[i]));
	}
	e = scanned("{\"op\":11}");
	assert_int_equal(e.op, 11);
	assert_true(e.d.n == 0);
	assert_int_equal(envelope_ids(&e), 0);
}

/*
 * Never through a double: ids above 2^53 keep their digits, as text and as number, up to 20 of
 * them.
 */
static void
id_forms(void **state)
{
	static const struct { const char *text; uint64_t v; } row[] = {
		{ "\"18446744073709551615\"", UINT64_MAX },
		{ "18446744073709551615", UINT64_MAX },
		{ "9007199254740993", 9007199254740993ull },
		{ "\"18446744073709551616\"", 0 },
		{ "18446744073709551616", 0 },
		{ "-1", 0 }, { "-0", 0 }, { "1.0", 0 }, { "1e3", 0 }, { "null", 0 }, { "\"\"", 0 },
		{ "\"12a\"", 0 }, { "\" 12\"", 0 }, { "[12]", 0 }, { "{\"id\":\"12\"}", 0 },
		{ "\"\\u0031\\u0032\"", 12 },
	};
	char		 text[256];
	struct envelope	 e;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		snprintf(text, sizeof(text),
		    "{\"t\":\"X\",\"s\":1,\"op\":0,\"d\":{\"guild_id\":%s,\"id\":\"5\"}}",
		    row[i].text);
		e = scanned(text);
		assert_int_equal(envelope_ids(&e), 0);
		assert_true(e.guild_id == row[i].v);
		assert_true(e.id == 5);
		snprintf(text, sizeof(text),
		    "{\"t\":\"X\",\"s\":1,\"op\":0,\"d\":{\"author\":{\"id\":%s}}}", row[i].text);
		e = scanned(text);
		assert_int_equal(envelope_ids(&e), 0);
		assert_true(e.author_id == row[i].v);
	}
}

static void
who(void **state)
{
	struct envelope	 e;

	(void)state;
	e = scanned("{\"op\":0,\"d\":{\"user\":{\"id\":\"3\"},"
	    "\"user_id\":\"4\",\"message_id\":6,\"type\":2}}");
	assert_int_equal(envelope_ids(&e), 0);
	assert_true(e.user_id == 4);
	assert_true(e.message_id == 6);
	assert_true(e.type == 2);
	e = scanned("{\"op\":0,\"d\":{\"user\":{\"x\":[{}],\"id\":\"3\"},\"author\":null}}");
	assert_int_equal(envelope_ids(&e), 0);
	assert_true(e.user_id == 3);
	assert_true(e.author_id == 0);
}

/* Members behind d are not part of it, on the short way either. */
static void
members_behind_d(void **state)
{
	struct envelope	 e;

	(void)state;
	e = scanned("{\"t\":\"X\",\"s\":1,\"op\":0,\"d\":{\"id\":\"5\"} , \"_trace\":[\"}\"] }");
	assert_int_equal(envelope_ids(&e), 0);
	assert_true(e.id == 5);
	assert_true(span_is(e.d, "{\"id\":\"5\"}"));
	e = scanned("{\"t\":\"X\",\"s\":1,\"op\":0,\"d\":{\"id\":\"5\"}}}");
	assert_int_equal(envelope_ids(&e), -1);
	e = scanned("{\"t\":\"X\",\"s\":1,\"op\":0,\"d\":{\"id\":\"5\"},}");
	assert_int_equal(envelope_ids(&e), -1);
}

static void
keys_with_escapes(void **state)
{
	struct envelope	 e;

	(void)state;
	e = scanned("{\"\\u006fp\":0,"
	    "\"\\u0064\":{\"gu\\u0069ld_id\":\"5\",\"i\\\"d\":\"6\"},\"\\u00e9\":1}");
	assert_int_equal(e.op, 0);
	assert_int_equal(envelope_ids(&e), 0);
	assert_true(e.guild_id == 5);
	assert_true(e.id == 0);
}

static void
refused(void **state)
{
	static const char *bad[] = {
		"", " ", "{", "}", "{}", "[]", "null", "x", "{\"op\":0", "{\"op\":\"0\"}",
		    "{\"op\":1.0}", "{\"op\":-1}",
		"{\"op\":00}", "{\"op\":4294967296}", "{\"op\":0}x", "{\"op\":0,}", "{\"op\" 0}",
		    "{op:0}", "{\"t\":\"X\"}",
		"{\"d\":{\"a\":[1,2},\"op\":0}", "{\"d\":tru,\"op\":0}", "{\"d\":\"\\x\",\"op\":0}",
		    "{\"d\":\"\\u12g4\",\"op\":0}",
		"{\"d\":\"a\nb\",\"op\":0}", "{\"d\":1.,\"op\":0}", "{\"d\":[1,],\"op\":0}",
		    "{\"d\":{\"a\"},\"op\":0}",
		"{\"d\":,\"op\":0}", "{\"t\":\"X\",\"s\":1,\"op\":0,\"d\":}",
		    "{\"op\":0,\"d\":\"\\",
	};
	static const char *bad_d[] = {
		"{", "{\"id\"", "{\"id\":", "{\"id\":\"5", "{\"id\":5", "{\"id\":5,", "{\"id\":5]",
		    "{\"id\":05}", "{\"author\":{",
		"{\"author\":{\"id\":5,}}", "{\"author\":{}", "{\"x\":[[[]]}", "nul", "\"",
		    "{\"a\":1 \"b\":2}", "{,}", "-",
		"{\"type\":1e}",
	};
	char		 text[256];
	struct envelope	 e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(envelope_scan(span_of(bad[i]), &e), -1);
	for (size_t i = 0; i < sizeof(bad_d) / sizeof(bad_d[0]); i++) {
		snprintf(text, sizeof(text), "{\"t\":\"X\",\"s\":1,\"op\":0,\"d\":%s}", bad_d[i]);
		assert_int_equal(envelope_scan(span_of(text), &e), 0);
		assert_int_equal(envelope_ids(&e), -1);
	}
}

/* Every prefix of a message is refused and nothing behind it is read (the sanitizer watches). */
static void
cut_anywhere(void **state)
{
	struct envelope	 e;
	char		*copy;

	(void)state;
	for (size_t n = 0; n < sizeof(message) - 1; n++) {
		copy = malloc(n + 1);
		memcpy(copy, message, n);
		if (envelope_scan(span_make(copy, n), &e) == 0)
			assert_int_equal(envelope_ids(&e), -1);
		free(copy);
	}
}

/* Nesting is bounded, and a bracket bomb costs no stack. */
static void
deep(void **state)
{
	static char	 text[200100];
	struct envelope	 e;
	size_t		 n;

	(void)state;
	for (size_t depth = 2000; depth <= 100000; depth += 98000) {
		n = (size_t)sprintf(text, "{\"t\":\"X\",\"s\":1,\"op\":0,\"d\":");
		memset(text + n, '[', depth);
		memset(text + n + depth, ']', depth);
		text[n + 2 * depth] = '}';
		assert_int_equal(envelope_scan(span_make(text, n + 2 * depth + 1), &e), 0);
		assert_int_equal(envelope_ids(&e), depth == 2000 ? 0 : -1);
	}
}

/* design.md 5: the prefix costs 38 ns.  The bound here only catches a scan of the whole payload. */
static void
prefix_is_short(void **state)
{
	enum { BODY = 1 << 20, ROUNDS = 2000 };
	struct envelope	 e;
	struct mono	 t0;
	static char	 big[BODY + 100];
	size_t		 n;
	uint64_t	 sum = 0, ns;

	(void)state;
	n = (size_t)sprintf(big,
	    "{\"t\":\"MESSAGE_CREATE\",\"s\":77,\"op\":0,\"d\":{\"content\":\"");
	memset(big + n, 'a', BODY);
	n += BODY;
	n += (size_t)sprintf(big + n, "\",\"id\":\"5\"}}");
	t0 = clock_mono();
	for (int i = 0; i < ROUNDS; i++) {
		assert_int_equal(envelope_scan(span_make(big, n), &e), 0);
		sum += e.s;
	}
	ns = (clock_mono().us - t0.us) * 1000 / ROUNDS;
	assert_true(sum == 77u * ROUNDS);
	print_message("prefix of a payload of 1 MiB: %llu ns\n", (unsigned long long)ns);
	assert_true(ns < 10000);
	assert_int_equal(envelope_ids(&e), 0);
	assert_true(e.id == 5);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(a_message),
		cmocka_unit_test(any_order),
		cmocka_unit_test(kinds_of_d),
		cmocka_unit_test(id_forms),
		cmocka_unit_test(who),
		cmocka_unit_test(members_behind_d),
		cmocka_unit_test(keys_with_escapes),
		cmocka_unit_test(refused),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(deep),
		cmocka_unit_test(prefix_is_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
