/*
 * session: the typed HTTP session.  G1: using one that is not open returns a typed error and cannot
 * crash; the bugs are "RuntimeError: Session is closed" and its kin.  Nothing here touches the
 * network.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "common/log.h"
#include "common/loop.h"
#include "worker/runtime/session.h"

static struct loop	*loop;
static struct resolve	*names;
static struct http	*http;
static char		 states[64];
static size_t		 states_n;

static void
on_state(void *arg, const char *tag, enum http_state state, const char *why)
{
	(void)arg;
	assert_true(strncmp(tag, "sess#", 5) == 0);
	assert_true(why[0] != '\0');
	states[states_n++] = (char)('0' + state);
	states[states_n] = '\0';
}

static void
quiet(int level, const char *class, const char *line, void *arg)
{
	(void)class;
	(void)line;
	(void)arg;
	assert_true(level > LOG_ERR);		/* the resolver warns of its empty resolv.conf */
}

static struct http *
make(const char *url, const char **why_r)
{
	struct http_config	 cf = { .base_url = url, .user_agent = "test", .connect_ms = 100,
	    .on_state = on_state };

	return http_new(loop, names, &cf, why_r);
}

static int
setup(void **state)
{
	const char	*why;

	(void)state;
	log_redirect(quiet, NULL);
	states_n = 0;
	states[0] = '\0';
	loop = loop_new();
	names = resolve_new(loop, "/dev/null");
	http = make("http://127.0.0.1:9", &why);
	return http == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	http_free(&http);
	resolve_free(&names);
	loop_free(&loop);
	log_redirect(NULL, NULL);
	return 0;
}

static void
never_called(const struct curl_answer *a, void *arg)
{
	(void)a;
	(void)arg;
	fail();
}

static enum error
try_start(struct http_ref ref, struct http_call **call_r)
{
	struct http_request	 rq = { .method = "GET", .path = "/", .total_ms = 100 };

	return http_start(http, ref, &rq, never_called, NULL, call_r);
}

static void
not_open_yet(void **state)
{
	struct http_call	*call = NULL;
	struct http_ref		 ref = { 0 };

	(void)state;
	assert_int_equal(http_state(http), HTTP_OPENING);
	assert_int_equal(http_admit(http, ref), ERR_ESESSION_STALE);
	ref = http_open(http);
	assert_int_equal(try_start(ref, &call), ERR_ESESSION_NOT_OPEN);	/* nothing was admitted */
	assert_null(call);
	assert_string_equal(states, "01");
}

static void
draining_serves_what_was_admitted(void **state)
{
	struct http_ref		 ref = http_open(http);
	struct http_call	*call = NULL;

	(void)state;
	assert_int_equal(http_admit(http, ref), ERR_OK);
	http_drain(http, "test");
	http_drain(http, "twice is once");
	assert_int_equal(http_admit(http, ref), ERR_ESESSION_DRAINING);
	assert_int_equal(try_start(ref, &call), ERR_OK);
	http_cancel(&call);
	assert_null(call);
	assert_int_equal(http_state(http), HTTP_DRAINING);
	http_dismiss(http, ref);
	assert_int_equal(http_state(http), HTTP_CLOSED);
	assert_string_equal(states, "0123");
}

static void
closed_is_for_good(void **state)
{
	struct http_ref		 ref = http_open(http);
	struct http_call	*call = NULL;

	(void)state;
	http_drain(http, "test");		/* idle: closed at once */
	assert_int_equal(http_admit(http, ref), ERR_ESESSION_CLOSED);
	assert_int_equal(try_start(ref, &call), ERR_ESESSION_CLOSED);
	http_close(http, "twice is once");
	http_drain(http, "and not back");
	assert_string_equal(states, "0123");
}

/* A view of one session is stale for the next one, whatever its state. */
static void
a_view_of_an_earlier_session_is_stale(void **state)
{
	struct http_ref		 old = http_open(http);
	struct http_call	*call = NULL;
	const char		*why;

	(void)state;
	http_free(&http);
	http = make("http://127.0.0.1:9", &why);
	assert_int_equal(http_admit(http, old), ERR_ESESSION_STALE);
	assert_int_equal(http_admit(http, http_open(http)), ERR_OK);
	assert_int_equal(http_admit(http, old), ERR_ESESSION_STALE);
	assert_int_equal(try_start(old, &call), ERR_ESESSION_STALE);
}

/* Closing ends what is on the way without a callback: its owner is the one that closes. */
static void
closing_drops_open_calls(void **state)
{
	struct http_ref		 ref = http_open(http);
	struct http_call	*call = NULL;

	(void)state;
	assert_int_equal(http_admit(http, ref), ERR_OK);
	assert_int_equal(try_start(ref, &call), ERR_OK);
	http_close(http, "test");
	assert_int_equal(http_state(http), HTTP_CLOSED);
}

static void
bad_urls_are_sentences(void **state)
{
	const char	*why = NULL;

	(void)state;
	assert_null(make("", &why));
	assert_non_null(why);
	assert_null(make("ftp://127.0.0.1", &why));
	assert_string_equal(why, "api_url is no usable URL of http or https");
}

static void
headers_are_found(void **state)
{
	struct span	 head = SPAN("HTTP/1.1 200 OK\r\nX-A: 1\r\nx-b:  two \r\nX-A: 3\r\nX-Empty:\r\nX-Ab: 4\r\n\r\n"), v;

	(void)state;
	assert_true(curl_header(head, "x-a", &v));
	assert_true(span_is(v, "3"));
	assert_true(curl_header(head, "X-B", &v));
	assert_true(span_is(v, "two"));
	assert_true(curl_header(head, "X-Empty", &v));
	assert_int_equal(v.n, 0);
	assert_false(curl_header(head, "X-C", &v));
	assert_false(curl_header(SPAN_NONE, "X-A", &v));
}

#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(not_open_yet),
		TEST(draining_serves_what_was_admitted),
		TEST(closed_is_for_good),
		TEST(a_view_of_an_earlier_session_is_stale),
		TEST(closing_drops_open_calls),
		TEST(bad_urls_are_sentences),
		TEST(headers_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
