/*
 * task: scopes and their children.  The world is a fake: messages become words in `did`, time is
 * set by the test.
 */
#include "common/fault.h"
#include "common/log.h"
#include "tests/unit/fake_world.h"

static struct msg_CALL	 last_call;
static unsigned		 warnings;
static uint64_t		 failing;	/* the delivery whose next result is an error that may pass */
static const struct msg_RESULT down = { .error = ERR_ESERVICE, .why = SPAN("down") };

static void
fake_sent(enum msg_type type, const void *src)
{
	const struct msg_NACK	*nack = src;
	const struct msg_ACK	*ack = src;

	switch (type) {
	case MSG_ACK:
		say("ack%d", (int)ack->delivery);
		break;
	case MSG_NACK:
		say("nack%d/%d", (int)nack->delivery, (int)nack->reason);
		break;
	case MSG_CALL:
		last_call = *(const struct msg_CALL *)src;
		say("call%d:%d", (int)last_call.delivery, (int)last_call.ordinal);
		break;
	default:
		say("?");
		break;
	}
}

/*
 * The handler under test reads its orders from the body, one letter each:
 *	c call (POST), g GET, t timer of 100 ms, x cancel itself, l like c with a last word when
 *	cancelled, f fail
 */
static void
answered(struct scope *s, const struct msg_RESULT *r, void *arg)
{
	assert_int_equal(board.delivery, scope_delivery(s));
	say("result%d:%d", (int)scope_delivery(s), (int)r->error);
	if (arg != NULL && r->error == ERR_ECANCELLED &&
	    !scope_call(s, "POST", "/last", SPAN_NONE, LANE_CREATE, answered, arg))
		say("silence");
	scope_finish(s, failing == scope_delivery(s) ? &down : r);
}

static void
timed(struct scope *s, enum error error, void *arg)
{
	(void)arg;
	assert_int_equal(board.delivery, scope_delivery(s));
	say("timer%d:%d", (int)scope_delivery(s), (int)error);
}

static void
start(struct scope *s, const struct msg_EVENT *ev)
{
	assert_int_equal(board.delivery, ev->delivery);
	say("start%d", (int)ev->delivery);
	for (size_t i = 0; i < ev->body.n; i++)
		switch (ev->body.p[i]) {
		case 'c':
			scope_call(s, "POST", "/a", SPAN_NONE, LANE_CREATE, answered, NULL);
			break;
		case 'l':
			scope_call(s, "POST", "/a", SPAN_NONE, LANE_CREATE, answered, &did);
			break;
		case 'g':
			scope_call(s, "GET", "/a", SPAN_NONE, LANE_BULK, answered, NULL);
			break;
		case 'f':
			scope_finish(s, &down);
			break;
		case 't':
			scope_timer(s, 100, timed, NULL);
			break;
		}
}

static const struct handler	 handler = { "fake", true, start, NULL };

static void
count_warning(int level, const char *class, const char *line, void *arg)
{
	(void)class;
	(void)line;
	(void)arg;
	if (level <= LOG_WARNING)
		warnings++;
}

static int
setup(void **state)
{
	(void)state;
	now = (struct mono){ 5000000 };
	wake = MONO_NEVER;
	memset(&board, 0, sizeof(board));
	tasks = tasks_new(&handler, &board, 1000, &ops, NULL);
	log_redirect(count_warning, NULL);
	warnings = 0;
	failing = 0;
	return 0;
}

/* Nothing may be left open, on the board, or to be waited for. */
static int
teardown(void **state)
{
	(void)state;
	assert_int_equal(tasks_open_n(tasks), 0);
	assert_int_equal(board.scopes, 0);
	assert_int_equal(board.delivery, 0);
	tasks_free(&tasks);
	buf_fini(&did);
	log_redirect(NULL, NULL);
	return 0;
}

static void
event(uint64_t delivery, const char *body, uint64_t key, uint64_t flags, uint64_t deadline_ms)
{
	struct msg_EVENT	 ev = { .delivery = delivery, .attempt = 1, .key = key,
	    .flags = flags, .deadline_ms = deadline_ms, .name = SPAN("X"), .body = span_of(body) };

	tasks_event(tasks, &ev);
}

static void
result(uint64_t call, enum error error)
{
	struct msg_RESULT	 r = { .call = call, .error = error, .status = 200,
	    .why = SPAN("why") };

	tasks_result(tasks, &r);
}

static void
a_handler_without_children_is_acked_at_once(void **state)
{
	(void)state;
	event(1, "", 7, 0, 0);
	did_say("start1 ack1");
}

static void
acked_when_the_last_child_has_ended(void **state)
{
	(void)state;
	event(1, "cgt", 7, 0, 0);
	did_say("start1 call1:1 call1:0");
	assert_int_equal(board.scopes, 1);
	assert_int_equal(board.delivery, 0);
	result(2, ERR_OK);
	result(1, ERR_OK);
	did_say("result1:0 result1:0");
	pass(99);
	did_say("");
	pass(1);
	did_say("timer1:0 ack1");
}

/* Design 3.8: ordinals count what changes something; reads have 0. */
static void
ordinals_count_changes(void **state)
{
	(void)state;
	event(1, "cgc", 7, 0, 0);
	did_say("start1 call1:1 call1:0 call1:2");
	event(2, "c", 8, 0, 0);
	did_say("start2 call2:1");
	for (uint64_t i = 1; i <= 4; i++)
		result(i, ERR_OK);
	did_say("result1:0 result1:0 result1:0 ack1 result2:0 ack2");
}

static void
one_conversation_in_order(void **state)
{
	(void)state;
	event(1, "c", 7, 0, 0);
	event(2, "", 7, 0, 0);
	event(3, "c", 7, 0, 0);
	event(4, "", 8, 0, 0);
	event(5, "", 7, 4, 0);		/* control overtakes */
	did_say("start1 call1:1 start4 ack4 start5 ack5");
	result(1, ERR_OK);
	did_say("result1:0 ack1 start2 ack2 start3 call3:1");
	result(2, ERR_OK);
	did_say("result3:0 ack3");
}

/* A chain of deliveries that end at once must not nest: 100,000 would overflow the stack. */
static void
a_long_queue_does_not_nest(void **state)
{
	(void)state;
	event(1, "c", 7, 0, 0);
	for (uint64_t i = 2; i < 100000; i++)
		event(i, "", 7, 0, 0);
	buf_reset(&did);
	result(1, ERR_OK);
	assert_int_equal(tasks_open_n(tasks), 0);
}

static void
a_second_event_of_an_open_delivery_is_ignored(void **state)
{
	(void)state;
	event(1, "c", 7, 0, 0);
	event(1, "c", 7, 0, 0);
	did_say("start1 call1:1");
	assert_int_equal(warnings, 1);
	result(1, ERR_OK);
	did_say("result1:0 ack1");
}

/*
 * CANCEL from the supervisor: children end, once, later; an answer that comes after that is
 * dropped.
 */
static void
cancel_ends_every_child(void **state)
{
	struct msg_CANCEL	 m = { .kind = 0, .id = 1 };

	(void)state;
	event(1, "ct", 7, 0, 0);
	did_say("start1 call1:1");
	tasks_cancel(tasks, &m);
	did_say("");
	pass(0);
	did_say("result1:9 timer1:9 nack1/4");
	result(1, ERR_OK);
	pass(1000);
	did_say("");
}

static void
a_cancelled_scope_may_say_one_last_thing(void **state)
{
	struct msg_CANCEL	 m = { .kind = 0, .id = 1 };

	(void)state;
	event(1, "ll", 7, 0, 0);
	did_say("start1 call1:1 call1:2");
	tasks_cancel(tasks, &m);
	pass(0);
	did_say("result1:9 call1:3 result1:9 silence");
	assert_true(last_call.deadline_ms <= 1000);
	result(3, ERR_OK);
	did_say("result1:0 nack1/4");
}

static void
one_call_can_be_cancelled(void **state)
{
	struct msg_CANCEL	 m = { .kind = 1, .id = 1 };

	(void)state;
	event(1, "cc", 7, 0, 0);
	tasks_cancel(tasks, &m);
	pass(0);
	did_say("start1 call1:1 call1:2 result1:9");
	result(2, ERR_OK);
	did_say("result1:0 ack1");
}

static void
the_deadline_of_a_delivery_cancels_it(void **state)
{
	(void)state;
	event(1, "c", 7, 0, 500);
	event(2, "", 7, 0, 400);		/* waits behind it until its time is over */
	assert_int_equal(last_call.deadline_ms, 500);
	pass(499);
	did_say("start1 call1:1 nack2/4");
	pass(1);
	did_say("result1:9 nack1/4");
}

/* Every wait ends: a service that never answers does not keep a scope open for ever. */
static void
a_call_without_an_answer_ends(void **state)
{
	const uint64_t	 one = TASK_CALL_DEADLINE_MS + TASK_ANSWER_GRACE_MS;

	(void)state;
	event(1, "c", 7, 0, 0);
	pass(one - 1);
	did_say("start1 call1:1");
	pass(1);
	did_say("");
	pass(TASK_AGAIN_MS);
	did_say("call1:1");
	pass(TASK_PATIENCE_MS - one);
	assert_int_equal(tasks_open_n(tasks), 1);
	buf_reset(&did);
	pass(TASK_AGAIN_MAX_MS + one);
	did_say("result1:8 nack1/2");
}

/*
 * An outage of Discord lost what was said meanwhile: after three failures in a row a delivery was
 * set aside as poison, after a 5xx it counted as done.  It is waited out in the open scope, with
 * the same ordinal, and what follows in the conversation does not overtake.
 */
static void
trouble_that_may_pass_is_waited_out(void **state)
{
	static const enum error	 trouble[] = {
		ERR_ESERVICE, ERR_EDEADLINE, ERR_ETRANSPORT, ERR_EUNREACHABLE, ERR_ERETRY,
		ERR_ELIMITED, ERR_EHTTP
	};
	struct msg_RESULT	 r = { .why = SPAN("why") };
	uint64_t		 ms = TASK_AGAIN_MS;

	(void)state;
	event(1, "c", 7, 0, 0);
	event(2, "c", 7, 0, 0);
	did_say("start1 call1:1");
	for (size_t i = 0; i < sizeof(trouble) / sizeof(*trouble); i++) {
		r.call = last_call.call;
		r.error = trouble[i];
		r.status = trouble[i] == ERR_EHTTP ? 502 : 0;
		tasks_result(tasks, &r);
		pass(ms - 1);
		did_say("");
		pass(1);
		did_say("call1:1");
		assert_true(last_call.call != r.call);
		assert_true(span_is(last_call.path, "/a"));
		ms = ms * 2 < TASK_AGAIN_MAX_MS ? ms * 2 : TASK_AGAIN_MAX_MS;
	}
	result(last_call.call, ERR_OK);
	did_say("result1:0 ack1 start2 call2:1");
	/* Cancelled while it waits: the wait ends. */
	result(last_call.call, ERR_ELIMITED);
	tasks_drain(tasks, 0, 1000);
	pass(0);
	did_say("result2:9 nack2/1 drained");
}

/*
 * A delivery that failed comes again, behind what this worker had begun with meanwhile: answers were
 * out of order.  All of its conversation goes back with it, and what was on its way.
 */
static void
what_failed_is_not_overtaken(void **state)
{
	(void)state;
	event(1, "c", 7, 1, 0);
	event(2, "c", 7, 0, 0);
	event(3, "c", 7, 0, 5000);
	event(4, "c", 8, 0, 0);
	event(5, "f", 7, 4, 0);			/* control is of no order */
	did_say("start1 call1:1 start4 call4:1 start5 nack5/2");
	failing = 1;
	result(1, ERR_OK);
	did_say("result1:0 nack1/2 nack2/5 nack3/5");
	event(6, "c", 7, 0, 0);
	did_say("nack6/5");
	failing = 0;
	event(1, "c", 7, 8, 0);
	event(2, "", 7, 0, 0);
	did_say("start1 call1:1");
	result(last_call.call, ERR_OK);
	did_say("result1:0 ack1 start2 ack2");
	event(6, "", 7, 0, 0);
	did_say("start6 ack6");
	result(2, ERR_OK);
	did_say("result4:0 ack4");
}

static void
errors_that_stay_are_the_handlers(void **state)
{
	static const enum error	 stay[] = {
		ERR_EHTTP, ERR_EAMBIGUOUS, ERR_EORDINAL, ERR_EPOISON
	};
	char			 want[64];

	(void)state;
	for (size_t i = 0; i < sizeof(stay) / sizeof(*stay); i++) {
		event(1, "c", 7, 0, 0);
		result(last_call.call, stay[i]);
		snprintf(want, sizeof(want), "start1 call1:1 result1:%d ack1", (int)stay[i]);
		did_say(want);
	}
}

static void
too_many_changes_are_refused(void **state)
{
	char	 body[PROTO_EFFECTS_MAX + 2];

	(void)state;
	memset(body, 'c', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	event(1, body, 7, 0, 0);
	assert_int_equal(last_call.ordinal, PROTO_EFFECTS_MAX);
	buf_reset(&did);
	pass(0);
	did_say("result1:13");
	for (uint64_t i = 1; i <= PROTO_EFFECTS_MAX; i++)
		result(i, ERR_OK);
	buf_reset(&did);
}

static void
drain_lets_open_work_finish(void **state)
{
	(void)state;
	event(1, "c", 7, 0, 0);
	event(2, "", 7, 0, 0);
	tasks_drain(tasks, 2000, 500);
	event(3, "", 8, 0, 0);
	did_say("start1 call1:1 nack3/1");
	pass(1999);
	result(1, ERR_OK);
	did_say("result1:0 ack1 start2 ack2 drained");
	pass(10000);
	did_say("");
}

/* What speaks about open work still comes in while it drains, until that is cut. */
static void
control_comes_in_while_draining(void **state)
{
	(void)state;
	event(1, "c", 7, 0, 0);
	tasks_drain(tasks, 2000, 500);
	event(2, "", 7, 4, 0);
	event(3, "", 7, 0, 0);
	did_say("start1 call1:1 start2 ack2 nack3/1");
	pass(2000);
	event(4, "", 7, 4, 0);
	did_say("result1:9 nack1/1 drained nack4/1");
}

static char			*heard;

static void
hear(void *role, const struct msg_NEWS *m)
{
	assert_ptr_equal(role, &heard);
	say("heard:%.*s", (int)m->name.n, m->name.p);
}

static const struct handler	 listener = { "listener", true, start, hear };

/* State events open no scope, draining or not; a role without a hook ignores them. */
static void
news_reach_the_role(void **state)
{
	struct msg_NEWS	 m = { .name = SPAN("GUILD_UPDATE"), .body = SPAN("{}") };

	(void)state;
	tasks_news(tasks, &m);
	did_say("");
	tasks_free(&tasks);
	tasks = tasks_new(&listener, &board, 1000, &ops, NULL);
	tasks_role(tasks, &heard);
	tasks_news(tasks, &m);
	did_say("heard:GUILD_UPDATE");
}

static void
drain_of_an_idle_worker_is_over_at_once(void **state)
{
	(void)state;
	tasks_drain(tasks, 2000, 500);
	did_say("drained");
}

/*
 * T1 over: what waits is handed back first, what runs is cancelled; T2 over: whatever still says
 * something.
 */
static void
drain_cuts_what_does_not_finish(void **state)
{
	(void)state;
	event(1, "l", 7, 0, 0);
	event(2, "c", 7, 0, 0);
	event(3, "c", 8, 0, 0);
	tasks_drain(tasks, 2000, 500);
	did_say("start1 call1:1 start3 call3:1");
	pass(2000);
	did_say("nack2/1 result1:9 call1:2 result3:9 nack3/1");
	assert_true(last_call.deadline_ms <= 500);
	pass(500);
	did_say("result1:9 silence nack1/1 drained");
}

/*
 * The fault point holds one handler back, not the others, and the board does not name it while it
 * waits.
 */
static void
slow_delays_the_start(void **state)
{
	const char	*why;

	(void)state;
	assert_int_equal(fault_set(SPAN("worker.slow"), SPAN("match=t,arg=300"), &why), 0);
	event(1, "t", 7, 0, 0);
	event(2, "", 8, 0, 0);
	did_say("start2 ack2");
	assert_int_equal(board.delivery, 0);
	pass(300);
	did_say("start1");
	pass(100);
	did_say("timer1:0 ack1");
	assert_int_equal(fault_set(SPAN("worker.slow"), SPAN(""), &why), 0);
}

#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(a_handler_without_children_is_acked_at_once),
		TEST(acked_when_the_last_child_has_ended),
		TEST(ordinals_count_changes),
		TEST(one_conversation_in_order),
		TEST(a_long_queue_does_not_nest),
		TEST(a_second_event_of_an_open_delivery_is_ignored),
		TEST(cancel_ends_every_child),
		TEST(a_cancelled_scope_may_say_one_last_thing),
		TEST(one_call_can_be_cancelled),
		TEST(the_deadline_of_a_delivery_cancels_it),
		TEST(a_call_without_an_answer_ends),
		TEST(trouble_that_may_pass_is_waited_out),
		TEST(what_failed_is_not_overtaken),
		TEST(errors_that_stay_are_the_handlers),
		TEST(too_many_changes_are_refused),
		TEST(drain_lets_open_work_finish),
		TEST(drain_of_an_idle_worker_is_over_at_once),
		TEST(control_comes_in_while_draining),
		TEST(news_reach_the_role),
		TEST(drain_cuts_what_does_not_finish),
		TEST(slow_delays_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
