/*
 * presence: what a wish becomes, and when Discord may be told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "supervisor/gateway/presence.h"

static struct buf	 out;
static struct presence	 p;

static int
setup(void **state)
{
	(void)state;
	memset(&p, 0, sizeof(p));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

static struct mono
at(uint64_t ms)
{
	return (struct mono){ (1000000 + ms) * 1000 };
}

static void
makes(const char *wish, const char *want)
{
	const char	*why = presence_make(span_of(wish), &out);

	if (why != NULL || !span_is(buf_span(&out), want))
		fail_msg("%s: %s, %.*s", wish, why, (int)out.n, out.n == 0 ? "" : buf_span(&out).p);
	buf_reset(&out);
}

/* Four keys, always: a part of them closes the connection with 4001. */
static void
whole_whatever_was_said(void **state)
{
	(void)state;
	makes("{}", "{\"status\":\"online\",\"activities\":[],\"since\":null,\"afk\":false}");
	makes("{\"status\":\"idle\",\"since\":17,\"afk\":true,\"x\":[1]}",
	    "{\"status\":\"idle\",\"activities\":[],\"since\":17,\"afk\":true}");
	makes(" {\"activities\":[{\"name\":\"a\\u00e4\\\"\",\"type\":3,\"emoji\":{}},{\"name\":\"b\","
	    "\"state\":\"c\",\"type\":4},{\"name\":\"s\",\"type\":1,\"url\":\"https://twitch.tv/x\"}]} ",
	    "{\"status\":\"online\",\"activities\":[{\"name\":\"aä\\\"\",\"type\":3},{\"name\":\"b\","
	    "\"state\":\"c\",\"type\":4},{\"name\":\"s\",\"url\":\"https://twitch.tv/x\",\"type\":1}],"
	    "\"since\":null,\"afk\":false}");
	/* Without a type it is played. */
	makes("{\"activities\":[{\"name\":\"chess\",\"state\":null}]}",
	    "{\"status\":\"online\",\"activities\":[{\"name\":\"chess\",\"type\":0}],\"since\":null,"
	    "\"afk\":false}");
}

static void
refuses_what_discord_would_close_for(void **state)
{
	static const char *const	 bad[] = {
		"", "[]", "null", "{", "{} {}", "{\"status\":\"away\"}", "{\"status\":1}",
		"{\"activities\":{}}", "{\"activities\":[1]}", "{\"activities\":[{}]}",
		"{\"activities\":[{\"name\":\"\"}]}", "{\"activities\":[{\"name\":1}]}",
		"{\"activities\":[{\"name\":\"x\",\"type\":6}]}",
		"{\"activities\":[{\"name\":\"x\",\"type\":\"1\"}]}",
		"{\"activities\":[{\"name\":\"x\",\"url\":\"https://x\"}]}",
		"{\"activities\":[{\"name\":\"a\"},{\"name\":\"a\"},{\"name\":\"a\"},{\"name\":\"a\"},"
		    "{\"name\":\"a\"}]}",
		"{\"since\":\"now\"}", "{\"since\":-1}", "{\"afk\":1}",
	};
	char	 text[1200];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (presence_make(span_of(bad[i]), &out) == NULL)
			fail_msg("taken: %s", bad[i]);
	snprintf(text, sizeof(text), "{\"activities\":[{\"name\":\"%0128d\"}]}", 0);
	assert_null(presence_make(span_of(text), &out));
	buf_reset(&out);
	snprintf(text, sizeof(text), "{\"activities\":[{\"name\":\"%0129d\"}]}", 0);
	assert_non_null(presence_make(span_of(text), &out));
	/* Each text is short enough, all of it is not: what was escaped in 6 bytes stays so. */
	strlcpy(text, "{\"activities\":[{\"name\":\"", sizeof(text));
	for (int i = 0; i < 90; i++)
		strlcat(text, "\\u0001", sizeof(text));
	strlcat(text, "\",\"state\":\"", sizeof(text));
	for (int i = 0; i < 90; i++)
		strlcat(text, "\\u0001", sizeof(text));
	strlcat(text, "\"}]}", sizeof(text));
	assert_string_equal(presence_make(span_of(text), &out), "a presence has at most 1024 bytes");
	assert_int_equal(out.n, 0);
}

static bool
may(uint64_t ms, uint64_t *wait_ms)
{
	return presence_may(&p, at(ms), wait_ms);
}

static void
tell(uint64_t ms)
{
	presence_said(&p, at(ms));
	presence_told(&p, at(ms));
}

/* Five in 20 s, on whatever connection; the newest waits, the one before it is shed. */
static void
five_in_20_s(void **state)
{
	uint64_t	 wait;

	(void)state;
	assert_false(may(0, &wait));
	for (int i = 0; i < 5; i++) {
		assert_false(presence_wish(&p, SPAN("{}")));
		assert_true(may((uint64_t)i * 1000, &wait));
		assert_int_equal(wait, 0);
		tell((uint64_t)i * 1000);
		assert_false(may((uint64_t)i * 1000, &wait));
	}
	assert_false(presence_wish(&p, SPAN("{}")));
	assert_true(presence_wish(&p, SPAN("{\"a\":1}")));
	presence_connected(&p);
	assert_true(may(5000, &wait));
	assert_int_equal(wait, 15000);
	assert_true(may(20000, &wait));
	assert_int_equal(wait, 0);
	assert_true(span_is(presence_span(&p), "{\"a\":1}"));
}

/* What else is said takes the room first; a new connection has all of it. */
static void
others_come_first(void **state)
{
	uint64_t	 wait;

	(void)state;
	(void)presence_wish(&p, SPAN("{}"));
	for (int i = 0; i < PRESENCE_SAID_N; i++)
		presence_said(&p, at((uint64_t)i));
	assert_true(may(1000, &wait));
	assert_int_equal(wait, PRESENCE_SAID_MS - 1000);
	presence_connected(&p);
	assert_true(may(1000, &wait));
	assert_int_equal(wait, 0);
}

static void
sessions_know_it(void **state)
{
	uint64_t	 wait;

	(void)state;
	presence_resumed(&p);
	assert_false(may(0, &wait));		/* never wished for */
	(void)presence_wish(&p, SPAN("{}"));
	presence_identified(&p);
	assert_false(may(0, &wait));		/* it went with IDENTIFY */
	presence_resumed(&p);
	assert_true(may(0, &wait));		/* it may have been lost on the way */
}

#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(whole_whatever_was_said),
		TEST(refuses_what_discord_would_close_for),
		TEST(five_in_20_s),
		TEST(others_come_first),
		TEST(sessions_know_it),
	};

	return cmocka_run_group_tests_name("presence", tests, NULL, NULL);
}
