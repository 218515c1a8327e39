/*
 * backfill: which channels are asked, in which order, how often, and what is counted.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "common/clock.h"
#include "supervisor/delivery/backfill.h"

#define T0	1700000000000ull
#define HOUR	(3600 * 1000ull)

static const struct backfill_limits	 usual = { 200, 900000, JOURNAL_GAP_ROWS };
static struct journal_gap		 g;
static struct journal_channel		 known[JOURNAL_CHANNELS_MAX];
static char				 path[BACKFILL_PATH_BYTES];

static uint64_t
id_at(uint64_t ms)
{
	return (ms - 1420070400000ull) << 22;
}

static void
channels(size_t n, uint64_t guild)
{
	for (size_t i = 0; i < n; i++)
		known[i] = (struct journal_channel){ i + 1, guild, id_at(T0 - 1000 * i - 1000),
			T0 - 1000 * i };
}

static int
next(uint64_t now_ms)
{
	return backfill_next(&g, &usual, now_ms, path);
}

/* Most recent first, a few at once, each from its last message on. */
static void
asks_in_order_of_recency(void **state)
{
	char	 want[BACKFILL_PATH_BYTES];

	(void)state;
	channels(6, 9);
	backfill_plan(&g, known, 6, NULL, &usual, T0, T0 + 500);
	assert_true(g.due && g.rows_n == 6 && g.counts.channels == 6);
	assert_int_equal(g.from_ms, T0);
	backfill_live(&g, &usual, T0 + 1000);
	assert_int_equal(g.counts.unasked_ms, 0);
	for (int i = 0; i < BACKFILL_AT_ONCE; i++) {
		assert_int_equal(next(T0), i);
		snprintf(want, sizeof(want), "/channels/%d/messages?after=%" PRIu64 "&limit=100",
		    i + 1, id_at(T0 - 1000 * (uint64_t)i - 1000));
		assert_string_equal(path, want);
	}
	assert_int_equal(next(T0), -1);
	assert_false(backfill_page_taken(&g, 1, 3, 77));
	assert_int_equal(next(T0), 4);
	/* A full page is followed by the next one, before other channels. */
	assert_true(backfill_page_taken(&g, 0, 100, id_at(T0)));
	assert_int_equal(next(T0), 0);
	snprintf(want, sizeof(want), "/channels/1/messages?after=%" PRIu64 "&limit=100", id_at(T0));
	assert_string_equal(path, want);
	backfill_not_answered(&g, 0, 403);
	backfill_not_answered(&g, 2, 404);
	backfill_not_answered(&g, 3, 500);
	backfill_not_answered(&g, 4, 0);
	assert_int_equal(next(T0), 5);
	assert_false(backfill_done(&g));
	assert_false(backfill_page_taken(&g, 5, 0, 0));
	assert_true(backfill_done(&g));
	assert_int_equal(g.counts.filled, 2);
	assert_int_equal(g.counts.refused, 2);
	assert_int_equal(g.counts.failed, 2);
	assert_int_equal(g.counts.requests, 7);
	assert_false(backfill_whole(&g));
}

/* Direct messages always, guilds for a day, nothing older than the age. */
static void
old_ones_are_left_out(void **state)
{
	char	 want[64];

	(void)state;
	known[0] = (struct journal_channel){ 1, 9, 5, T0 - 23 * HOUR };
	known[1] = (struct journal_channel){ 2, 9, 5, T0 - 25 * HOUR };
	known[2] = (struct journal_channel){ 3, 0, 5, T0 - 500 * HOUR };
	backfill_plan(&g, known, 3, NULL, &usual, T0 - HOUR, T0);
	assert_int_equal(g.counts.channels, 2);
	assert_true(g.rows[0].channel == 1 && g.rows[1].channel == 3);
	/* An hour away: of it three quarters are too long ago. */
	backfill_live(&g, &usual, T0);
	assert_int_equal(g.counts.unasked_ms, HOUR * 3 / 4);
	assert_int_equal(next(T0), 0);
	snprintf(want, sizeof(want), "after=%" PRIu64 "&", id_at(T0 - 900000));
	assert_non_null(strstr(path, want));
	assert_int_equal(next(T0), 1);
	backfill_page_taken(&g, 0, 0, 0);
	backfill_page_taken(&g, 1, 0, 0);
	assert_true(backfill_done(&g));
	assert_false(backfill_whole(&g));
}

static void
requests_are_bounded(void **state)
{
	struct backfill_limits	 few = { 5, 900000, JOURNAL_GAP_ROWS }, none = { 0, 900000, 200 };
	int			 row, asked = 0;

	(void)state;
	channels(JOURNAL_CHANNELS_MAX, 9);
	backfill_plan(&g, known, JOURNAL_CHANNELS_MAX, NULL, &usual, T0, T0);
	assert_int_equal(g.counts.channels, 4096);
	assert_int_equal(g.counts.skipped, 4096 - 200);
	/* The first one has much to tell: its pages are others' requests. */
	while ((row = next(T0)) != -1) {
		asked++;
		backfill_page_taken(&g, (size_t)row, row == 0 && asked < 150 ? 100 : 1,
		    id_at(T0) + (uint64_t)asked);
	}
	assert_int_equal(asked, 200);
	assert_true(backfill_done(&g));
	assert_int_equal(g.counts.filled, 51);
	assert_int_equal(g.counts.skipped, 4096 - 51);

	backfill_plan(&g, known, 100, NULL, &few, T0, T0);
	assert_int_equal(g.rows_n, 100);	/* who is not asked stays to be named */
	assert_int_equal(g.counts.skipped, 95);
	for (asked = 0; (row = next(T0)) != -1; asked++)
		backfill_page_taken(&g, (size_t)row, 1, id_at(T0));
	assert_int_equal(asked, 5);
	assert_true(backfill_done(&g) && g.counts.skipped == 95);
	backfill_leave_missing(&g);
	assert_int_equal(g.rows_n, 95);
	assert_int_equal(g.rows[0].channel, known[5].id);
	assert_int_equal(g.rows[94].state, BACKFILL_SKIPPED);
	backfill_plan(&g, known, 100, NULL, &none, T0, T0);
	assert_int_equal(g.counts.skipped, 100);
	assert_true(backfill_done(&g));
}

/* Lost again while it was filled: what was owed is asked from where it stood. */
static void
second_loss_keeps_what_was_owed(void **state)
{
	static struct journal_gap	 old;

	(void)state;
	channels(4, 9);
	backfill_plan(&g, known, 4, NULL, &usual, T0, T0);
	assert_int_equal(next(T0), 0);
	assert_int_equal(next(T0), 1);
	backfill_page_taken(&g, 0, 2, id_at(T0));
	g.counts.recovered = 2;
	old = g;
	/* Meanwhile all of them spoke live; the last one is forgotten. */
	for (size_t i = 0; i < 3; i++)
		known[i].last = id_at(T0 + 5000);
	backfill_plan(&g, known, 3, &old, &usual, T0 + 5000, T0 + 6000);
	assert_int_equal(g.from_ms, T0);
	assert_int_equal(g.rows_n, 4);
	assert_int_equal(g.rows[0].after, id_at(T0 + 5000));	/* was filled */
	assert_int_equal(g.rows[1].after, id_at(T0 - 2000));
	assert_int_equal(g.rows[2].after, id_at(T0 - 3000));
	assert_int_equal(g.rows[3].channel, 4);
	assert_int_equal(g.counts.recovered, 2);
	assert_int_equal(g.counts.requests, 2);
	assert_int_equal(next(T0), 0);
	backfill_again(&g);
	assert_int_equal(next(T0), 0);
	backfill_give_up(&g);
	assert_int_equal(g.counts.failed, 4);
	assert_true(backfill_done(&g));
}

static void
pages_are_read_oldest_first(void **state)
{
	static const char *const	 bad[] = {
		"", "{}", "[", "[1]", "[{}]", "[{\"id\":\"x\"}]", "[{\"id\":\"0\"}]", "null",
		"[{\"id\":\"1\"}", "[{\"id\":\"1\"},[]]", "[{\"id\":\"1\",}]",
	};
	struct backfill_message	 v[BACKFILL_PAGE];
	struct buf		 page = { 0 }, out = { 0 };

	(void)state;
	assert_int_equal(backfill_page(SPAN("[]"), v), 0);
	assert_int_equal(backfill_page(
	    SPAN(" [ {\"id\":\"30\",\"a\":[{\"id\":\"1\"}]} , {\"id\":\"4\"},{\"x\":{},\"id\":\"5\"}]"), v), 3);
	assert_true(v[0].id == 4 && v[1].id == 5 && v[2].id == 30);
	assert_true(span_is(v[2].text, "{\"id\":\"30\",\"a\":[{\"id\":\"1\"}]}"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(backfill_page(span_of(bad[i]), v), -1);
	buf_printf(&page, "[");
	for (int i = 100; i > 0; i--)
		buf_printf(&page, "%s{\"id\":\"%d\"}", i == 100 ? "" : ",", i);
	buf_printf(&page, "]");
	assert_int_equal(backfill_page(buf_span(&page), v), 100);
	assert_true(v[0].id == 1 && v[99].id == 100);
	page.n--;
	buf_printf(&page, ",{\"id\":\"101\"}]");
	assert_int_equal(backfill_page(buf_span(&page), v), -1);
	buf_fini(&page);

	backfill_body(SPAN("{\"id\":\"1\"}"), 77, &out);
	assert_true(span_is(buf_span(&out), "{\"guild_id\":\"77\",\"id\":\"1\"}"));
	backfill_body(SPAN("{\"id\":\"1\"}"), 0, &out);
	assert_true(span_is(buf_span(&out), "{\"id\":\"1\"}"));
	backfill_body(SPAN("{\"id\":\"1\",\"guild_id\":\"5\"}"), 77, &out);
	assert_true(span_is(buf_span(&out), "{\"id\":\"1\",\"guild_id\":\"5\"}"));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(asks_in_order_of_recency),
		cmocka_unit_test(old_ones_are_left_out),
		cmocka_unit_test(requests_are_bounded),
		cmocka_unit_test(second_loss_keeps_what_was_owed),
		cmocka_unit_test(pages_are_read_oldest_first),
	};

	return cmocka_run_group_tests_name("backfill", tests, NULL, NULL);
}
