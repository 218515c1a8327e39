/*
 * limit: when may a request go.  Time is made up, answers are written as Discord sends them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "worker/rest/limit.h"
#include "worker/rest/route.h"

static struct limit	*limit;
static struct mono	 until;

static struct mono
at(uint64_t ms)
{
	return (struct mono){ (100000000 + ms) * 1000 };
}

static int
setup(void **state)
{
	(void)state;
	limit = limit_new(50);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	limit_free(&limit);
	return 0;
}

static struct limit_ticket
ticket(const char *method, const char *path)
{
	struct route		 r;
	struct limit_ticket	 t = { 0 };

	assert_null(request_check(span_of(method), span_of(path)));
	route_of(span_of(method), span_of(path), &r);
	t.route = r.route;
	t.major = r.major;
	t.outside = r.interaction;
	t.authorized = !r.interaction;
	return t;
}

static struct limit_answer
headers(unsigned status, const char *hash, double max, double remaining, double reset_after_s)
{
	return (struct limit_answer){ .status = status, .hash = span_of(hash), .limit = max,
	    .remaining = remaining, .reset_after_s = reset_after_s, .retry_after_s = -1 };
}

static struct limit_answer
bare(unsigned status)
{
	return headers(status, NULL, -1, -1, -1);
}

static struct limit_answer
limited(double retry_after_s, double remaining)
{
	struct limit_answer	 a = headers(429, "h", 5, remaining, 1);

	a.retry_after_s = retry_after_s;
	a.body_is_discord = true;
	return a;
}

static enum limit_verdict
ask(const struct limit_ticket *t, uint64_t ms)
{
	until = MONO_NEVER;
	return limit_ask(limit, t, at(ms), &until);
}

static void
go(struct limit_ticket *t, uint64_t ms)
{
	assert_int_equal(ask(t, ms), LIMIT_GO);
	limit_sent(limit, t, at(ms));
}

static enum limited
answer(struct limit_ticket *t, struct limit_answer a, uint64_t ms)
{
	return limit_answer(limit, t, &a, at(ms));
}

/* Teach the limiter a bucket. */
static void
learn(const char *method, const char *path, struct limit_answer a, uint64_t ms)
{
	struct limit_ticket	 t = ticket(method, path);

	go(&t, ms);
	answer(&t, a, ms);
}

static void
an_unknown_bucket_goes_one_at_a_time(void **state)
{
	struct limit_ticket	 a = ticket("GET", "/channels/1"), b = a;
	struct limit_ticket	 other = ticket("GET", "/channels/2");

	(void)state;
	go(&a, 0);
	assert_int_equal(ask(&b, 0), LIMIT_BUSY);
	go(&other, 0);
	answer(&a, headers(200, "h", 5, 4, 1), 10);
	go(&b, 10);
	answer(&b, bare(200), 11);
	answer(&other, bare(200), 11);
}

static void
never_more_in_flight_than_remaining(void **state)
{
	struct limit_ticket	 t[3];

	(void)state;
	learn("GET", "/channels/1", headers(200, "h", 5, 2, 1), 0);
	for (int i = 0; i < 3; i++)
		t[i] = ticket("GET", "/channels/1");
	go(&t[0], 1);
	go(&t[1], 1);
	assert_int_equal(ask(&t[2], 1), LIMIT_BUSY);
	/* One left, and that one is in flight. */
	answer(&t[0], headers(200, "h", 5, 1, 0.9), 100);
	assert_int_equal(ask(&t[2], 100), LIMIT_BUSY);
	answer(&t[1], headers(200, "h", 5, 0, 0.8), 200);
	assert_int_equal(ask(&t[2], 200), LIMIT_WAIT);
	assert_int_equal(until.us, at(200 + 800 + LIMIT_SLACK_MS).us);
	go(&t[2], 200 + 800 + LIMIT_SLACK_MS);
	limit_lost(limit, &t[2], at(2000));
}

/* eris#1344: parseInt on Reset-After dropped the fraction. */
static void
fractions_of_seconds_count(void **state)
{
	struct limit_ticket	 t = ticket("GET", "/channels/1");

	(void)state;
	learn("GET", "/channels/1", headers(200, "h", 1, 0, 0.731), 0);
	assert_int_equal(ask(&t, 731), LIMIT_WAIT);
	assert_int_equal(ask(&t, 731 + LIMIT_SLACK_MS), LIMIT_GO);
}

/* Answers may overtake each other; the older one must not give back what the newer one took. */
static void
an_answer_that_was_overtaken_gives_nothing_back(void **state)
{
	struct limit_ticket	 a, b, c;

	(void)state;
	learn("GET", "/channels/1", headers(200, "h", 5, 2, 1), 0);
	a = b = c = ticket("GET", "/channels/1");
	go(&a, 1);
	go(&b, 1);
	answer(&b, headers(200, "h", 5, 0, 0.99), 10);
	answer(&a, headers(200, "h", 5, 1, 0.99), 11);
	assert_int_equal(ask(&c, 12), LIMIT_WAIT);
}

/*
 * discord-api-docs#399: the hash does not contain the top-level resource; Discord.Net#1546: nor
 * forget the method.
 */
static void
a_hash_is_shared_by_routes_not_by_channels(void **state)
{
	struct limit_ticket	 same, other, method;

	(void)state;
	learn("POST", "/channels/1/messages", headers(200, "h", 5, 0, 10), 0);
	same = ticket("POST", "/channels/1/messages");
	other = ticket("POST", "/channels/2/messages");
	method = ticket("DELETE", "/channels/1/messages");
	assert_int_equal(ask(&same, 1), LIMIT_WAIT);
	assert_int_equal(ask(&other, 1), LIMIT_GO);
	assert_int_equal(ask(&method, 1), LIMIT_GO);
	/* once another route reports the same hash, it shares the bucket */
	learn("PATCH", "/channels/1/messages/55", headers(200, "h", 5, 0, 10), 2);
	method = ticket("PATCH", "/channels/1/messages/66");
	assert_int_equal(ask(&method, 3), LIMIT_WAIT);
}

/* discord-api-docs#1295: message delete has two hashes. */
static void
a_changed_hash_is_followed(void **state)
{
	struct limit_ticket	 t;

	(void)state;
	learn("DELETE", "/channels/1/messages/9", headers(204, "old", 5, 3, 1), 0);
	learn("DELETE", "/channels/1/messages/8", headers(204, "new", 3, 0, 1), 1);
	t = ticket("DELETE", "/channels/1/messages/7");
	assert_int_equal(ask(&t, 2), LIMIT_WAIT);
}

static void
a_route_without_headers_has_no_bucket(void **state)
{
	struct limit_ticket	 a, b;

	(void)state;
	learn("GET", "/users/@me", bare(200), 0);
	a = b = ticket("GET", "/users/@me");
	go(&a, 1);
	go(&b, 1);
	answer(&a, bare(200), 2);
	answer(&b, bare(502), 2);
	assert_int_equal(ask(&a, 3), LIMIT_GO);
}

/* discord-api-docs#5144: back-to-back fixed windows are 100 requests in one second. */
static void
the_global_window_slides(void **state)
{
	struct limit_ticket	 t[51];
	char			 path[32];

	(void)state;
	for (int i = 0; i < 51; i++) {
		snprintf(path, sizeof(path), "/channels/%d", i + 1);
		t[i] = ticket("GET", path);
	}
	for (int i = 0; i < 50; i++)
		go(&t[i], 900 + (uint64_t)i);
	/* Nobody knows when Discord will have counted the first: half a second is assumed. */
	assert_int_equal(ask(&t[50], 1899), LIMIT_STOP);
	assert_int_equal(until.us, at(900 + 500 + 1000).us);
	/* It answers: it had, at the latest then. */
	answer(&t[0], bare(200), 1000);
	assert_int_equal(ask(&t[50], 1999), LIMIT_STOP);
	assert_int_equal(until.us, at(2000).us);
	go(&t[50], 2000);
	/* A late answer says nothing about the one that has its place now. */
	answer(&t[1], bare(200), 1100);
	answer(&t[50], bare(200), 2050);
	for (int i = 2; i < 50; i++)
		answer(&t[i], bare(200), 3000);
	assert_int_equal(ask(&t[0], 2099), LIMIT_STOP);
	go(&t[0], 2100);
	answer(&t[0], bare(200), 2200);
}

/* kord#989: callbacks behind the global gate miss their 3 seconds. */
static void
interactions_are_outside_the_global_limit(void **state)
{
	struct limit_ticket	 t = ticket("GET", "/users/@me");
	struct limit_ticket	 cb = ticket("POST", "/interactions/1/token/callback");
	struct limit_answer	 g = limited(5, 3);

	(void)state;
	g.global = true;
	go(&t, 0);
	assert_int_equal(answer(&t, g, 1), LIMITED_GLOBAL);
	assert_int_equal(ask(&t, 2), LIMIT_STOP);
	assert_int_equal(until.us, at(1 + 5000 + LIMIT_SLACK_MS).us);
	assert_int_equal(ask(&cb, 2), LIMIT_GO);
	assert_false(cb.authorized);
}

/* discord-api-docs#5800: it hits one all the same: that one waits. */
static void
a_global_429_of_an_interaction_holds_it(void **state)
{
	struct limit_ticket	 cb = ticket("POST", "/interactions/1/token/callback"), other = cb;
	struct limit_answer	 g = limited(1, 3);

	(void)state;
	g.global = true;
	go(&cb, 0);
	answer(&cb, g, 0);
	assert_int_equal(ask(&cb, 1), LIMIT_WAIT);
	assert_int_equal(ask(&other, 1), LIMIT_GO);
}

static void
a_429_of_the_bucket_empties_it(void **state)
{
	struct limit_ticket	 a = ticket("POST", "/channels/1/messages"), b = a;

	(void)state;
	go(&a, 0);
	assert_int_equal(answer(&a, limited(2.5, 0), 0), LIMITED_BUCKET);
	assert_int_equal(ask(&b, 1), LIMIT_WAIT);
	assert_int_equal(until.us, at(2500 + LIMIT_SLACK_MS).us);
	assert_int_equal(ask(&b, 2500 + LIMIT_SLACK_MS), LIMIT_GO);
}

/*
 * discord-api-docs#1900: 4 of 5 remaining, yet 429 for 582 s.  eris#1344: of shared ones
 * Retry-After counts.
 */
static void
a_sub_limit_delays_only_its_request(void **state)
{
	struct limit_ticket	 a, b;
	struct limit_answer	 shared = limited(40, 0);

	(void)state;
	learn("PATCH", "/channels/1", headers(200, "h", 5, 5, 10), 0);
	a = b = ticket("PATCH", "/channels/1");
	go(&a, 1);
	assert_int_equal(answer(&a, limited(582, 4), 1), LIMITED_SUB);
	assert_int_equal(ask(&a, 2), LIMIT_WAIT);
	assert_int_equal(until.us, at(1 + 582000 + LIMIT_SLACK_MS).us);
	assert_int_equal(ask(&b, 2), LIMIT_GO);
	shared.shared = true;
	go(&b, 2);
	assert_int_equal(answer(&b, shared, 2), LIMITED_SUB);
	assert_int_equal(until.us, MONO_NEVER.us);
	assert_int_equal(ask(&b, 3), LIMIT_WAIT);
	assert_int_equal(until.us, at(2 + 40000 + LIMIT_SLACK_MS).us);
	assert_int_equal(limit_invalid_n(limit, at(3)), 1);	/* the shared one does not count */
}

/*
 * discordgo#659: Cloudflare's 429 is a page of HTML; discord.py#6547: the delay stands only in the
 * header.
 */
static void
cloudflare_stops_everything(void **state)
{
	struct limit_ticket	 t = ticket("GET", "/users/@me");
	struct limit_ticket	 cb = ticket("POST", "/interactions/1/token/callback");
	struct limit_answer	 page = bare(429);

	(void)state;
	go(&t, 0);
	assert_int_equal(answer(&t, page, 0), LIMITED_CLOUDFLARE);
	assert_int_equal(ask(&cb, 1), LIMIT_STOP);
	assert_int_equal(until.us, at(60000).us);
	go(&t, 60000);
	page.retry_after_s = 3600;
	answer(&t, page, 60000);
	assert_int_equal(ask(&t, 60001), LIMIT_STOP);
	assert_int_equal(until.us, at(60000 + 3600000 + LIMIT_SLACK_MS).us);
}

/* 10,000 of 401, 403, 429 in ten minutes get the address banned. */
static void
too_many_invalid_requests_slow_down(void **state)
{
	struct limit_ticket	 t;
	uint64_t		 ms = 0;

	(void)state;
	for (int i = 0; i < LIMIT_INVALID_LINE; i++, ms += 30) {
		t = ticket("GET", "/channels/1");
		go(&t, ms);
		answer(&t, headers(403, "h", 5, 5, 1), ms);
	}
	assert_int_equal(limit_invalid_n(limit, at(ms)), LIMIT_INVALID_LINE);
	assert_int_equal(ask(&t, ms), LIMIT_STOP);
	go(&t, ms + 1000);
	answer(&t, bare(200), ms + 1001);
	assert_int_equal(ask(&t, ms + 1500), LIMIT_STOP);
	assert_int_equal(ask(&t, ms + 2000), LIMIT_GO);
	assert_int_equal(limit_invalid_n(limit, at(ms + 600000)), 0);
	assert_int_equal(ask(&t, ms + 600000), LIMIT_GO);
}

static void
a_401_locks_the_token_for_good(void **state)
{
	struct limit_ticket	 t = ticket("GET", "/users/@me");
	struct limit_ticket	 hook = ticket("POST", "/webhooks/1/token");

	(void)state;
	go(&hook, 0);
	answer(&hook, bare(401), 0);		/* 50027: the webhook's token, not ours */
	assert_false(limit_locked(limit));
	go(&t, 1);
	answer(&t, bare(401), 1);
	assert_true(limit_locked(limit));
	assert_int_equal(ask(&t, 1000000000), LIMIT_LOCKED);
	assert_int_equal(ask(&hook, 1000), LIMIT_GO);
}

static void
a_request_without_answer_is_assumed_to_count(void **state)
{
	struct limit_ticket	 t;

	(void)state;
	learn("GET", "/channels/1", headers(200, "h", 5, 1, 1), 0);
	t = ticket("GET", "/channels/1");
	go(&t, 1);
	limit_lost(limit, &t, at(2));
	assert_int_equal(ask(&t, 3), LIMIT_WAIT);
	assert_int_equal(ask(&t, 1000 + LIMIT_SLACK_MS), LIMIT_GO);
}

static void
idle_buckets_are_forgotten_and_their_number_is_bounded(void **state)
{
	struct limit_ticket	 t, held = ticket("GET", "/channels/5");
	uint64_t		 ms = 0;

	(void)state;
	t.route = 0;
	/* In flight all the time: its ticket points at its bucket */
	go(&held, 0);
	for (uint64_t i = 1; i <= LIMIT_BUCKETS_MAX + 100; i++, ms += 31) {
		t = (struct limit_ticket){ .route = 1, .major = i };
		go(&t, ms);
		answer(&t, headers(200, "h", 5, 4, 1), ms);
		assert_true(limit_buckets_n(limit) <= LIMIT_BUCKETS_MAX + 2);
	}
	ms += LIMIT_IDLE_MS + 1000;
	t = (struct limit_ticket){ .route = 2, .major = 1 };
	go(&t, ms);
	answer(&t, bare(200), ms);
	assert_true(limit_buckets_n(limit) <= 3);
	answer(&held, bare(200), ms);
}

/* Numbers that Discord never sends must not become undefined conversions or waits for ever. */
static void
absurd_numbers_are_cut(void **state)
{
	struct limit_ticket	 t = ticket("GET", "/channels/1");

	(void)state;
	go(&t, 0);
	answer(&t, headers(200, "h", 1e300, 1e300, 1e300), 0);
	go(&t, 1);
	answer(&t, limited(1e300, 0), 1);
	assert_int_equal(ask(&t, 2), LIMIT_WAIT);
	assert_true(until.us <= at(86400000 + 1000).us);
}

static void
routes_are_told_apart(void **state)
{
	struct route	 a, b;
	char		 text[ROUTE_SHOWN_MAX];

	(void)state;
	route_of(SPAN("PUT"), SPAN("/channels/1/messages/2/reactions/%F0%9F%91%8D/@me"), &a);
	route_of(SPAN("PUT"), SPAN("/channels/1/messages/3/reactions/x:9/@me?y=1"), &b);
	assert_int_equal(a.route, b.route);
	assert_int_equal(a.major, b.major);
	assert_int_equal(a.rule.lane, LANE_SOFT);
	route_of(SPAN("PUT"), SPAN("/channels/1/messages/3/reactions/x:9/44"), &b);
	assert_int_not_equal(a.route, b.route);
	route_of(SPAN("POST"), SPAN("/channels/1/messages"), &a);
	assert_int_equal(a.rule.settle, SETTLE_NONCE);
	assert_true(a.ordered);
	route_of(SPAN("POST"), SPAN("/channels/1/messages/2/crosspost"), &a);
	assert_int_equal(a.rule.settle, SETTLE_DOUBT);
	route_of(SPAN("PATCH"), SPAN("/channels/1/messages/2"), &a);
	assert_int_equal(a.rule.settle, SETTLE_REPEAT);
	assert_int_equal(a.rule.lane, LANE_EDIT);
	route_of(SPAN("POST"), SPAN("/interactions/1/abc/callback"), &a);
	route_of(SPAN("POST"), SPAN("/interactions/1/def/callback"), &b);
	assert_true(a.interaction);
	assert_int_equal(a.rule.code, 40060);
	assert_int_equal(a.route, b.route);
	assert_int_not_equal(a.major, b.major);
	route_of(SPAN("GET"), SPAN("/webhooks/1"), &a);
	assert_false(a.interaction);
	route_shown(SPAN("PATCH"), SPAN("/webhooks/1/secret/messages/@original?x=secret"), text);
	assert_string_equal(text, "PATCH /webhooks/1/***/messages/@original");
}

/* What bulkheadctl show buckets gets. */
static void
shown_as_it_is(void **state)
{
	struct limit_ticket	 t = ticket("PATCH", "/channels/7/messages/8");
	struct buf		 b = { 0 };
	struct json_out		 o;
	char			 text[ROUTE_SHOWN_MAX];

	(void)state;
	route_named(SPAN("PATCH"), SPAN("/channels/7/messages/8"), text);
	assert_string_equal(text, "PATCH /channels/7/messages/{}");
	go(&t, 0);
	assert_false(limit_is_named(&t));
	limit_name(&t, text);
	assert_true(limit_is_named(&t));
	/* The hash that the answer names makes another bucket; the name goes along. */
	answer(&t, headers(200, "h", 5, 4, 2), 10);
	json_out_init(&o, &b);
	json_obj(&o);
	limit_show(limit, &o, at(110));
	json_obj_end(&o);
	buf_add(&b, "", 1);
	assert_non_null(strstr(b.p, "\"per_second\":50,\"last_second\":1,\"global_ms\":0"));
	assert_non_null(strstr(b.p, "\"route\":\"PATCH /channels/7/messages/{}\",\"unlimited\":false,"
	    "\"limit\":5,\"remaining\":4,\"reset_ms\":1950,\"in_flight\":0,\"idle_ms\":100}"));
	/* The bucket that it had before is nobody's any more. */
	assert_non_null(strstr(b.p, "}],\"buckets_n\":1}"));
	buf_reset(&b);
	json_out_init(&o, &b);
	json_obj(&o);
	limit_show(limit, &o, at(3000));
	json_obj_end(&o);
	buf_add(&b, "", 1);
	/* Its window is over: all of it is left. */
	assert_non_null(strstr(b.p, "\"limit\":5,\"remaining\":5,\"reset_ms\":0"));
	buf_fini(&b);
	route_named(SPAN("POST"), SPAN("/webhooks/1/secret"), text);
	assert_string_equal(text, "POST /webhooks/1/***");
	route_named(SPAN("PUT"), SPAN("/channels/1/messages/2/reactions/x/@me?y"), text);
	assert_string_equal(text, "PUT /channels/1/messages/{}/reactions/{}/@me");
}

#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(an_unknown_bucket_goes_one_at_a_time),
		TEST(never_more_in_flight_than_remaining),
		TEST(fractions_of_seconds_count),
		TEST(an_answer_that_was_overtaken_gives_nothing_back),
		TEST(a_hash_is_shared_by_routes_not_by_channels),
		TEST(a_changed_hash_is_followed),
		TEST(a_route_without_headers_has_no_bucket),
		TEST(the_global_window_slides),
		TEST(interactions_are_outside_the_global_limit),
		TEST(a_global_429_of_an_interaction_holds_it),
		TEST(a_429_of_the_bucket_empties_it),
		TEST(a_sub_limit_delays_only_its_request),
		TEST(cloudflare_stops_everything),
		TEST(too_many_invalid_requests_slow_down),
		TEST(a_401_locks_the_token_for_good),
		TEST(a_request_without_answer_is_assumed_to_count),
		TEST(idle_buckets_are_forgotten_and_their_number_is_bounded),
		TEST(absurd_numbers_are_cut),
		TEST(routes_are_told_apart),
		TEST(shown_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
