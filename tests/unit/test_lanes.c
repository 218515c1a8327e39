/*
 * lanes: which request is next.  The fake limiter answers from a table; what is sent is written to
 * `went`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "worker/rest/lanes.h"

struct rq {
	struct lane_item	 item;		/* first */
	char			 name;
	enum lane_verdict	 say;
	uint64_t		 until_ms;	/* WAIT, ASIDE, STOP */
};

static struct lanes	*lanes;
static char		 went[64];
static size_t		 went_n;

static struct mono
at(uint64_t ms)
{
	return (struct mono){ (1000000 + ms) * 1000 };
}

static enum lane_verdict
fake_ask(void *arg, struct lane_item *it, struct mono now, struct mono *until_r)
{
	struct rq	*rq = (struct rq *)(void *)it;
	bool		 timed = rq->say == LANE_WAIT || rq->say == LANE_ASIDE ||
	    rq->say == LANE_STOP;

	(void)arg;
	if (timed && !mono_before(now, at(rq->until_ms)))
		return LANE_GO;
	if (timed)
		*until_r = at(rq->until_ms);
	return rq->say;
}

static void
fake_go(void *arg, struct lane_item *it)
{
	(void)arg;
	went[went_n++] = ((struct rq *)(void *)it)->name;
	went[went_n] = '\0';
}

static const struct lanes_ops	 ops = { fake_ask, fake_go };

static int
setup(void **state)
{
	(void)state;
	lanes = lanes_new(&ops, NULL);
	went_n = 0;
	went[0] = '\0';
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	lanes_free(&lanes);		/* asserts that every item was taken back */
	return lanes == NULL ? 0 : -1;
}

static void
put(struct rq *rq, char name, uint64_t key, enum lane lane, bool ordered)
{
	*rq = (struct rq){ .item = { .key = key, .lane = lane, .ordered = ordered }, .name = name };
	lanes_put(lanes, &rq->item);
}

#define WENT(want)	do { assert_string_equal(went, want); went_n = 0; went[0] = '\0'; } while (0)

static void
urgent_lanes_go_first(void **state)
{
	struct rq	 a, b, c;

	(void)state;
	put(&a, 'a', 1, LANE_BULK, false);
	put(&b, 'b', 2, LANE_CREATE, false);
	put(&c, 'c', 3, LANE_INTERACTION, false);
	assert_true(mono_is_never(lanes_run(lanes, at(0))));
	WENT("cba");
	lanes_done(lanes, &a.item);
	lanes_done(lanes, &b.item);
	lanes_done(lanes, &c.item);
}

/* What was asked first in a channel is answered first: POSTs of one queue go one at a time. */
static void
ordered_items_go_one_at_a_time(void **state)
{
	struct rq	 a, b, c;

	(void)state;
	put(&a, 'a', 1, LANE_CREATE, true);
	put(&b, 'b', 1, LANE_CREATE, true);
	put(&c, 'c', 2, LANE_CREATE, true);
	lanes_run(lanes, at(0));
	WENT("ac");
	lanes_done(lanes, &c.item);
	lanes_run(lanes, at(1));
	WENT("");
	lanes_put_back(lanes, &a.item);		/* a retry keeps its place */
	lanes_run(lanes, at(2));
	WENT("a");
	lanes_done(lanes, &a.item);
	lanes_run(lanes, at(3));
	WENT("b");
	lanes_done(lanes, &b.item);
}

static void
unordered_items_of_one_queue_go_together(void **state)
{
	struct rq	 a, b;

	(void)state;
	put(&a, 'a', 1, LANE_BULK, false);
	put(&b, 'b', 1, LANE_BULK, false);
	lanes_run(lanes, at(0));
	WENT("ab");
	lanes_done(lanes, &b.item);
	lanes_done(lanes, &a.item);
}

static void
a_blocked_bucket_blocks_no_other(void **state)
{
	struct rq	 a, b, c;

	(void)state;
	put(&a, 'a', 1, LANE_CREATE, false);
	a.say = LANE_WAIT;
	a.until_ms = 500;
	put(&b, 'b', 1, LANE_CREATE, false);
	put(&c, 'c', 2, LANE_CREATE, false);
	assert_int_equal(lanes_run(lanes, at(0)).us, at(500).us);
	WENT("c");
	assert_int_equal(lanes_waiting_n(lanes), 2);
	lanes_run(lanes, at(499));
	WENT("");
	lanes_run(lanes, at(500));
	WENT("ab");
	lanes_done(lanes, &a.item);
	lanes_done(lanes, &b.item);
	lanes_done(lanes, &c.item);
}

/* discord.py#9073: a sub-limit that holds the whole bucket freezes the channel. */
static void
an_item_aside_lets_its_queue_go_on(void **state)
{
	struct rq	 a, b;

	(void)state;
	put(&a, 'a', 1, LANE_EDIT, false);
	a.say = LANE_ASIDE;
	a.until_ms = 500;
	put(&b, 'b', 1, LANE_EDIT, false);
	assert_int_equal(lanes_run(lanes, at(0)).us, at(500).us);
	WENT("b");
	lanes_run(lanes, at(500));
	WENT("a");
	lanes_done(lanes, &a.item);
	lanes_done(lanes, &b.item);
}

static void
an_ordered_item_aside_holds_its_queue(void **state)
{
	struct rq	 a, b;

	(void)state;
	put(&a, 'a', 1, LANE_CREATE, true);
	a.say = LANE_ASIDE;
	a.until_ms = 500;
	put(&b, 'b', 1, LANE_CREATE, true);
	lanes_run(lanes, at(0));
	WENT("");
	lanes_run(lanes, at(500));
	WENT("a");
	lanes_done(lanes, &a.item);
	lanes_run(lanes, at(501));
	WENT("b");
	lanes_done(lanes, &b.item);
}

/* concord#83: a bucket that was never woken after a 429. */
static void
a_busy_queue_is_asked_again_after_any_answer(void **state)
{
	struct rq	 a, b;

	(void)state;
	put(&a, 'a', 1, LANE_BULK, false);
	put(&b, 'b', 2, LANE_BULK, false);
	b.say = LANE_BUSY;
	assert_true(mono_is_never(lanes_run(lanes, at(0))));
	WENT("a");
	b.say = LANE_GO;
	lanes_run(lanes, at(1));
	WENT("");
	lanes_done(lanes, &a.item);
	lanes_run(lanes, at(2));
	WENT("b");
	lanes_done(lanes, &b.item);
}

/* The global limit stops everything below it, and the turn stays where it was. */
static void
stop_stops_and_keeps_the_order(void **state)
{
	struct rq	 i, a, b;

	(void)state;
	put(&a, 'a', 1, LANE_CREATE, true);
	put(&b, 'b', 2, LANE_CREATE, true);
	a.say = LANE_STOP;
	a.until_ms = 20;
	put(&i, 'i', 3, LANE_INTERACTION, true);
	assert_int_equal(lanes_run(lanes, at(0)).us, at(20).us);
	WENT("i");
	lanes_run(lanes, at(20));
	WENT("ab");
	lanes_done(lanes, &i.item);
	lanes_done(lanes, &a.item);
	lanes_done(lanes, &b.item);
}

/* Cancel and deadline come at every stage. */
static void
items_leave_from_every_stage(void **state)
{
	struct rq	 queued, aside, flying, after, dropped;

	(void)state;
	put(&flying, 'f', 1, LANE_CREATE, true);
	put(&queued, 'q', 1, LANE_CREATE, true);
	put(&after, 'n', 1, LANE_CREATE, true);
	put(&aside, 's', 2, LANE_EDIT, false);
	aside.say = LANE_ASIDE;
	aside.until_ms = 9999;
	put(&dropped, 'd', 3, LANE_EDIT, false);
	dropped.say = LANE_DROP;
	lanes_run(lanes, at(0));
	WENT("f");
	assert_int_equal(dropped.item.state, LANE_ITEM_OUT);
	lanes_remove(lanes, &dropped.item);		/* harmless */
	lanes_remove(lanes, &queued.item);
	lanes_remove(lanes, &aside.item);
	lanes_remove(lanes, &flying.item);
	lanes_run(lanes, at(1));
	WENT("n");
	lanes_remove(lanes, &after.item);
	assert_int_equal(lanes_waiting_n(lanes), 0);
}

/* The head of a sleeping queue is cancelled: the next one may have nothing to wait for. */
static void
a_sleeping_queue_wakes_when_its_head_leaves(void **state)
{
	struct rq	 a, b;

	(void)state;
	put(&a, 'a', 1, LANE_CREATE, true);
	a.say = LANE_WAIT;
	a.until_ms = 9999;
	put(&b, 'b', 1, LANE_CREATE, true);
	lanes_run(lanes, at(0));
	lanes_remove(lanes, &a.item);
	lanes_run(lanes, at(1));
	WENT("b");
	lanes_done(lanes, &b.item);
}

static void
queues_of_a_lane_take_turns(void **state)
{
	struct rq	 a[3], b[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		put(&a[i], (char)('0' + i), 1, LANE_BULK, false);
	for (int i = 0; i < 3; i++)
		put(&b[i], (char)('a' + i), 2, LANE_BULK, false);
	lanes_run(lanes, at(0));
	WENT("0a1b2c");
	for (int i = 0; i < 3; i++) {
		lanes_done(lanes, &a[i].item);
		lanes_done(lanes, &b[i].item);
	}
}

#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(urgent_lanes_go_first),
		TEST(ordered_items_go_one_at_a_time),
		TEST(unordered_items_of_one_queue_go_together),
		TEST(a_blocked_bucket_blocks_no_other),
		TEST(an_item_aside_lets_its_queue_go_on),
		TEST(an_ordered_item_aside_holds_its_queue),
		TEST(a_busy_queue_is_asked_again_after_any_answer),
		TEST(stop_stops_and_keeps_the_order),
		TEST(items_leave_from_every_stage),
		TEST(a_sleeping_queue_wakes_when_its_head_leaves),
		TEST(queues_of_a_lane_take_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
