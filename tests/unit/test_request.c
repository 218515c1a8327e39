/*
 * request: the rows of routes.def and the rule of methods; what is no request at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "common/request.h"

static void
doubt_is_settled_by_the_table(void **state)
{
	static const struct { const char *verb, *path; enum settle settle; } t[] = {
		{ "GET", "/anything", SETTLE_REPEAT },
		{ "POST", "/channels/1/messages", SETTLE_NONCE },
		{ "POST", "/channels/1/messages?x=/y", SETTLE_NONCE },
		{ "POST", "/channels//messages", SETTLE_DOUBT },
		{ "POST", "/channels/1/messages/2", SETTLE_DOUBT },
		{ "POST", "/channels/1/typing", SETTLE_REPEAT },
		{ "POST", "/interactions/1/abc/callback", SETTLE_CODE },
		{ "POST", "/interactions/1/callback", SETTLE_DOUBT },
		{ "POST", "/webhooks/1/abc", SETTLE_DOUBT },
		{ "PATCH", "/channels/1/messages/2", SETTLE_REPEAT },
		{ "PUT", "/guilds/1/bans/2", SETTLE_REPEAT },
		{ "DELETE", "/channels/1", SETTLE_REPEAT },
		{ "POST", "/guilds/1/channels", SETTLE_DOUBT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++)
		assert_int_equal(request_rule(span_of(t[i].verb), span_of(t[i].path)).settle,
		    t[i].settle);
}

static void
lanes_follow_the_table(void **state)
{
	static const struct { const char *verb, *path; enum lane lane; } t[] = {
		{ "GET", "/anything", LANE_BULK },
		{ "HEAD", "/anything", LANE_BULK },
		{ "GET", "/gateway/bot", LANE_CREATE },
		{ "POST", "/channels/1/messages", LANE_CREATE },
		{ "PUT", "/guilds/1/bans/2", LANE_CREATE },
		{ "PATCH", "/channels/1/messages/2", LANE_EDIT },
		{ "PATCH", "/webhooks/1/abc/messages/@original", LANE_INTERACTION },
		{ "POST", "/channels/1/typing?x", LANE_SOFT },
		{ "PUT", "/channels/1/messages/2/reactions/x:9/@me", LANE_SOFT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++)
		assert_int_equal(request_rule(span_of(t[i].verb), span_of(t[i].path)).lane,
		    t[i].lane);
}

/* A code belongs to its row alone: any other route with one would take a refusal for success. */
static void
one_route_has_a_code(void **state)
{
	(void)state;
	assert_int_equal(request_rule(SPAN("POST"), SPAN("/interactions/1/abc/callback")).code,
	    40060);
	assert_int_equal(request_rule(SPAN("PUT"), SPAN("/interactions/1/abc/callback")).code, 0);
	assert_int_equal(request_rule(SPAN("POST"), SPAN("/interactions/1/abc")).code, 0);
}

static void
only_get_and_head_change_nothing(void **state)
{
	(void)state;
	assert_false(request_changes(SPAN("GET")));
	assert_false(request_changes(SPAN("HEAD")));
	assert_true(request_changes(SPAN("POST")));
	assert_true(request_changes(SPAN("DELETE")));
}

static void
malformed_requests_are_refused(void **state)
{
	static const char *const	 bad[] = {
		"", "a", "/a b", "/a\r\nX: 1", "/a/../b", "/./a", "/a#b", "/\xc3\xa4", "/a\\b"
	};
	char				 longer[REQUEST_PATH_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(request_check(SPAN("GET"), span_of(bad[i])));
	memset(longer, 'a', sizeof(longer));
	longer[0] = '/';
	assert_non_null(request_check(SPAN("GET"), span_make(longer, REQUEST_PATH_MAX + 1)));
	assert_null(request_check(SPAN("GET"), span_make(longer, REQUEST_PATH_MAX)));
	assert_non_null(request_check(SPAN("CONNECT"), SPAN("/a")));
	assert_non_null(request_check(SPAN("get"), SPAN("/a")));
}

static void
segments_end_where_the_path_ends(void **state)
{
	struct span	 rest = request_bare(SPAN("/a//b/?c/d")), seg;

	(void)state;
	assert_true(request_segment(&rest, &seg) && span_is(seg, "a"));
	assert_true(request_segment(&rest, &seg) && seg.n == 0);
	assert_true(request_segment(&rest, &seg) && span_is(seg, "b"));
	assert_true(request_segment(&rest, &seg) && seg.n == 0);
	assert_false(request_segment(&rest, &seg));
	rest = request_bare(SPAN_NONE);
	assert_false(request_segment(&rest, &seg));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(doubt_is_settled_by_the_table),
		cmocka_unit_test(lanes_follow_the_table),
		cmocka_unit_test(one_route_has_a_code),
		cmocka_unit_test(only_get_and_head_change_nothing),
		cmocka_unit_test(malformed_requests_are_refused),
		cmocka_unit_test(segments_end_where_the_path_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
