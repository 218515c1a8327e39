/*
 * limitstate: what a limiter knows reaches the next one whole, damaged or not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "common/mem.h"
#include "worker/rest/limit.h"

static struct limit	*old, *heir;
static struct buf	 blob;
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
	old = limit_new(50);
	heir = limit_new(50);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	limit_free(&old);
	limit_free(&heir);
	buf_fini(&blob);
	return 0;
}

static struct limit_ticket
ticket(uint64_t route, uint64_t major)
{
	return (struct limit_ticket){ .route = route, .major = major, .authorized = true };
}

static enum limit_verdict
ask(struct limit *l, uint64_t route, uint64_t major, uint64_t ms)
{
	struct limit_ticket	 t = ticket(route, major);

	until = MONO_NEVER;
	return limit_ask(l, &t, at(ms), &until);
}

static struct limit_answer
headers(double max, double remaining, double reset_after_s)
{
	return (struct limit_answer){ .status = 200, .hash = SPAN("h"), .limit = max,
	    .remaining = remaining, .reset_after_s = reset_after_s, .retry_after_s = -1 };
}

static struct limit_ticket
sent(struct limit *l, uint64_t route, uint64_t major, uint64_t ms)
{
	struct limit_ticket	 t = ticket(route, major);

	limit_sent(l, &t, at(ms));
	return t;
}

static void
done(struct limit *l, uint64_t route, uint64_t major, struct limit_answer a, uint64_t ms)
{
	struct limit_ticket	 t = sent(l, route, major, ms);

	(void)limit_answer(l, &t, &a, at(ms));
}

static void
tell(void)
{
	assert_true(limit_has_news(old));
	limit_tell(old, &blob);
	assert_false(limit_has_news(old));
}

static void
hear(uint64_t ms)
{
	const char	*why = NULL;

	assert_int_equal(limit_hear(heir, buf_span(&blob), at(ms), &why), 0);
	assert_null(why);
}

static void
a_used_up_bucket_is_used_up(void **state)
{
	(void)state;
	assert_false(limit_has_news(old));
	done(old, 1, 7, headers(5, 0, 4), 0);
	tell();
	hear(1000);
	assert_int_equal(ask(heir, 1, 7, 1000), LIMIT_WAIT);
	assert_true(until.us == at(4000 + LIMIT_SLACK_MS).us);
	assert_int_equal(ask(heir, 1, 8, 1000), LIMIT_GO);
	assert_int_equal(ask(heir, 1, 7, 4000 + LIMIT_SLACK_MS), LIMIT_GO);
}

/* Parts are kept one behind the other: the last one about a bucket is right. */
static void
parts_follow_each_other(void **state)
{
	struct limit_ticket	 t;

	(void)state;
	done(old, 1, 7, headers(5, 4, 5), 0);
	tell();
	done(old, 1, 7, headers(5, 0, 4.9), 100);
	tell();
	hear(200);
	assert_int_equal(ask(heir, 1, 7, 200), LIMIT_WAIT);
	/* A later window, with room. */
	done(old, 1, 7, headers(5, 3, 5), 6000);
	tell();
	hear(6000);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask(heir, 1, 7, 6000), LIMIT_GO);
		t = sent(heir, 1, 7, 6000);
		assert_non_null(t.bucket);
	}
	assert_int_equal(ask(heir, 1, 7, 6000), LIMIT_BUSY);
	limit_free(&heir);
	heir = limit_new(50);
}

/* On the wire when it died: Discord may have counted them. */
static void
in_flight_counts(void **state)
{
	struct limit_ticket	 a, b;

	(void)state;
	done(old, 1, 7, headers(2, 1, 5), 0);
	a = sent(old, 1, 7, 10);
	tell();
	hear(20);
	assert_int_equal(ask(heir, 1, 7, 20), LIMIT_WAIT);
	assert_true(until.us == at(5000 + LIMIT_SLACK_MS).us);
	limit_lost(old, &a, at(30));
	/* The window is over, nobody knows the end of the next: it begins with what is out. */
	a = sent(old, 1, 7, 6000);
	b = sent(old, 1, 7, 6001);
	tell();
	hear(6010);
	assert_int_equal(ask(heir, 1, 7, 6010), LIMIT_WAIT);
	assert_true(mono_before(at(11000), until) && mono_before(until, at(11200)));
	limit_lost(old, &a, at(6020));
	limit_lost(old, &b, at(6020));
	/* The first request of all: one at a time, and not beside it. */
	a = sent(old, 9, 9, 6030);
	tell();
	hear(6040);
	assert_int_equal(ask(heir, 9, 9, 6040), LIMIT_WAIT);
	assert_true(mono_before(until, at(7200)));
	limit_lost(old, &a, at(6050));
}

/* Both know of a window: the stricter is right; what is older than a window here is not news. */
static void
what_is_known_here_stays(void **state)
{
	(void)state;
	done(old, 1, 7, headers(5, 4, 5), 0);
	tell();
	done(heir, 1, 7, headers(5, 0, 4.9), 100);
	hear(200);
	assert_int_equal(ask(heir, 1, 7, 200), LIMIT_WAIT);
	done(heir, 1, 7, headers(5, 0, 5), 5200);
	hear(5300);
	assert_int_equal(ask(heir, 1, 7, 5300), LIMIT_WAIT);
	assert_true(mono_before(at(10000), until));
}

static void
the_global_window_is_inherited(void **state)
{
	struct limit_ticket	 t;
	struct limit_answer	 bare = { .status = 200, .limit = -1, .remaining = -1,
	    .reset_after_s = -1, .retry_after_s = -1 };

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		t = sent(old, 100 + i, 0, i);
		(void)limit_answer(old, &t, &bare, at(i));
	}
	limit_tell_all(old, &blob, at(60));
	hear(60);
	assert_int_equal(ask(heir, 1, 7, 60), LIMIT_STOP);
	assert_true(until.us == at(1000).us);
	assert_int_equal(ask(heir, 1, 7, 1000), LIMIT_GO);
}

static void
blocks_and_the_lock_are_inherited(void **state)
{
	struct limit_answer	 a = headers(-1, -1, -1);

	(void)state;
	a.status = 429;
	a.hash = SPAN_NONE;
	a.retry_after_s = 30;
	done(old, 1, 7, a, 0);			/* Cloudflare */
	tell();
	hear(10);
	assert_int_equal(ask(heir, 5, 5, 10), LIMIT_STOP);
	assert_int_equal(limit_invalid_n(heir, at(10)), 1);
	a.body_is_discord = a.global = true;
	a.retry_after_s = 60;
	done(old, 1, 7, a, 40000);
	tell();
	hear(40010);
	assert_int_equal(ask(heir, 5, 5, 40010), LIMIT_STOP);
	a.status = 401;
	done(old, 1, 7, a, 110000);
	tell();
	hear(110010);
	assert_true(limit_locked(heir));
	assert_int_equal(ask(heir, 5, 5, 110010), LIMIT_LOCKED);
	assert_int_equal(limit_invalid_n(heir, at(110010)), 3);
	/* All of it again, as a whole. */
	buf_reset(&blob);
	limit_tell_all(old, &blob, at(110020));
	limit_free(&heir);
	heir = limit_new(7);
	hear(110030);
	assert_true(limit_locked(heir));
	assert_int_equal(limit_invalid_n(heir, at(110030)), 3);
}

/* However much there is: it fits, and the latest is in it. */
static void
too_much_is_cut(void **state)
{
	struct limit	*many = limit_new(10000);
	const char	*why;

	(void)state;
	for (unsigned i = 0; i < 5000; i++)
		done(many, i, i, headers(5, 0, 5), i / 10);
	limit_tell_all(many, &blob, at(500));
	assert_in_range(blob.n, LIMIT_STATE_ALL_MAX - 100, LIMIT_STATE_ALL_MAX);
	assert_int_equal(limit_hear(heir, buf_span(&blob), at(500), &why), 0);
	assert_int_equal(ask(heir, 4999, 4999, 500), LIMIT_WAIT);
	assert_in_range(limit_buckets_n(heir), 500, 1000);
	limit_free(&many);
}

/* Cut anywhere, any byte another one: an error and nothing taken, or numbers that are possible. */
static void
damage_is_refused_or_harmless(void **state)
{
	struct limit_ticket	 t;
	const char		*why;
	struct span		 whole;
	char			*copy;
	size_t			 refused = 0;

	(void)state;
	done(old, 1, 7, headers(5, 0, 4), 0);
	t = sent(old, 2, 7, 10);
	limit_tell_all(old, &blob, at(10));
	limit_lost(old, &t, at(10));
	whole = buf_span(&blob);
	assert_int_equal(limit_hear(heir, SPAN_NONE, at(20), &why), -1);
	assert_string_equal(why, "no header");
	for (size_t n = 0; n < whole.n; n++)
		refused += limit_hear(heir, span_make(whole.p, n), at(20), &why) == -1;
	assert_in_range(refused, whole.n - 10, whole.n);
	copy = mem_alloc(whole.n);
	for (size_t i = 0; i < whole.n; i++) {
		memcpy(copy, whole.p, whole.n);
		copy[i] = (char)(copy[i] ^ 0x80);
		limit_free(&heir);
		heir = limit_new(50);
		if (limit_hear(heir, span_make(copy, whole.n), at(20), &why) == -1)
			assert_int_equal(limit_buckets_n(heir), 0);
		else
			(void)ask(heir, 1, 7, 20);
	}
	memcpy(copy, whole.p, whole.n);
	copy[3] = 2;
	assert_int_equal(limit_hear(heir, span_make(copy, whole.n), at(20), &why), -1);
	assert_string_equal(why, "another version");
	free(copy);
}

#define T(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		T(a_used_up_bucket_is_used_up),
		T(parts_follow_each_other),
		T(in_flight_counts),
		T(what_is_known_here_stays),
		T(the_global_window_is_inherited),
		T(blocks_and_the_lock_are_inherited),
		T(too_much_is_cut),
		T(damage_is_refused_or_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
