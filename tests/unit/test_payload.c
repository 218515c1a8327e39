/*
 * payload: byte for byte what Discord is sent, and that a token is never copied.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "supervisor/gateway/payload.h"

static struct buf	 out;

static int
teardown(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

#define IS(text) do {								\
	assert_true(span_is(buf_span(&out), text));				\
	buf_reset(&out);							\
} while (0)

static void
beats(void **state)
{
	(void)state;
	payload_beat(&out, 0);
	IS("{\"op\":1,\"d\":null}");
	payload_beat(&out, UINT64_MAX);
	IS("{\"op\":1,\"d\":18446744073709551615}");
}

static void
asks_for_a_member(void **state)
{
	uint64_t	 v[3];

	(void)state;
	payload_member(&out, 12, 34);
	IS("{\"op\":8,\"d\":{\"guild_id\":\"12\",\"user_ids\":[\"34\"]}}");
	assert_int_equal(payload_ids(SPAN("{\"g\":[{\"id\":\"5\",\"x\":[1]}, {\"id\":0},{},{\"id\":\"7\"},"
	    "{\"id\":\"8\"},{\"id\":\"9\"}]}"), "g", v, 3), 3);
	assert_true(v[0] == 5 && v[1] == 7 && v[2] == 8);
	assert_int_equal(payload_ids(SPAN("{\"g\":[]}"), "g", v, 3), 0);
	assert_int_equal(payload_ids(SPAN("{\"g\":[3]}"), "g", v, 3), 0);
	assert_int_equal(payload_ids(SPAN("{\"g\":{}}"), "g", v, 3), 0);
	assert_int_equal(payload_ids(SPAN("{}"), "g", v, 3), 0);
}

static void
identifies(void **state)
{
	(void)state;
	payload_identify(&out, "to\"ken", 513, 0, 1, SPAN_NONE);
	IS("{\"op\":2,\"d\":{\"token\":\"to\\\"ken\",\"intents\":513,\"properties\":{\"os\":\"linux\","
	    "\"browser\":\"bulkhead\",\"device\":\"bulkhead\"},\"large_threshold\":50}}");
	payload_identify(&out, "t", 0, 3, 4, SPAN_NONE);
	IS("{\"op\":2,\"d\":{\"token\":\"t\",\"intents\":0,\"properties\":{\"os\":\"linux\","
	    "\"browser\":\"bulkhead\",\"device\":\"bulkhead\"},\"large_threshold\":50,\"shard\":[3,4]}}");
}

static void
shows_the_presence(void **state)
{
	(void)state;
	payload_presence(&out, SPAN("{\"status\":\"idle\"}"));
	IS("{\"op\":3,\"d\":{\"status\":\"idle\"}}");
	payload_identify(&out, "t", 0, 0, 1, SPAN("{\"status\":\"dnd\"}"));
	IS("{\"op\":2,\"d\":{\"token\":\"t\",\"intents\":0,\"properties\":{\"os\":\"linux\","
	    "\"browser\":\"bulkhead\",\"device\":\"bulkhead\"},\"large_threshold\":50,"
	    "\"presence\":{\"status\":\"dnd\"}}}");
}

static void
resumes(void **state)
{
	(void)state;
	payload_resume(&out, "t", "abc", 7);
	IS("{\"op\":6,\"d\":{\"token\":\"t\",\"session_id\":\"abc\",\"seq\":7}}");
}

/* A buffer that grew under the token would leave a copy of it behind. */
static void
the_buffer_does_not_move(void **state)
{
	const char	*before;

	(void)state;
	buf_fini(&out);
	(void)buf_room(&out, PAYLOAD_MAX_BYTES);
	before = buf_room(&out, 1);
	payload_identify(&out, "t", UINT64_MAX, 1, 2, SPAN_NONE);
	assert_ptr_equal(buf_span(&out).p, before);
	buf_reset(&out);
}

static void
members(void **state)
{
	static const char	 d[] = "{\"a\":\"x\\u00e4\",\"e\":\"\",\"n\":\"a\\u0000b\",\"i\":5,"
				       "\"user\":{\"id\":\"42\"},\"long\":\"12345678\"}";
	char			 text[8];

	(void)state;
	assert_true(payload_text(SPAN(d), "a", text, sizeof(text)));
	assert_string_equal(text, "x\xc3\xa4");
	assert_false(payload_text(SPAN(d), "e", text, sizeof(text)));
	assert_false(payload_text(SPAN(d), "n", text, sizeof(text)));
	assert_false(payload_text(SPAN(d), "i", text, sizeof(text)));
	assert_false(payload_text(SPAN(d), "none", text, sizeof(text)));
	assert_false(payload_text(SPAN(d), "long", text, sizeof(text)));
	assert_int_equal(payload_id(SPAN(d), "user", "id"), 42);
	assert_int_equal(payload_id(SPAN(d), "user", "key"), 0);
	assert_int_equal(payload_id(SPAN(d), "a", "id"), 0);
}

/* What Discord names is dialled only when it can be. */
static void
urls(void **state)
{
	static const char	 d[] = "{\"good\":\"wss:\\/\\/gw.example\",\"http\":\"https://gw.example\","
	    "\"empty\":\"\",\"number\":7}";
	char			 url[64];

	(void)state;
	assert_true(payload_url(SPAN(d), "good", url, sizeof(url)));
	assert_string_equal(url, "wss://gw.example");
	assert_false(payload_url(SPAN(d), "http", url, sizeof(url)));
	assert_false(payload_url(SPAN(d), "empty", url, sizeof(url)));
	assert_false(payload_url(SPAN(d), "number", url, sizeof(url)));
	assert_false(payload_url(SPAN(d), "good", url, 8));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test_teardown(beats, teardown),
		cmocka_unit_test_teardown(asks_for_a_member, teardown),
		cmocka_unit_test_teardown(identifies, teardown),
		cmocka_unit_test_teardown(shows_the_presence, teardown),
		cmocka_unit_test_teardown(resumes, teardown),
		cmocka_unit_test_teardown(the_buffer_does_not_move, teardown),
		cmocka_unit_test_teardown(members, teardown),
		cmocka_unit_test_teardown(urls, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
