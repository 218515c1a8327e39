/*
 * task: replies that grow.  The world is a fake: messages become words in `did`, time is set by the
 * test.
 */
#include "common/log.h"
#include "tests/unit/fake_world.h"

static struct reply	*reply;		/* NULL: it is over */
static uint64_t		 number;	/* of the last STREAM_OPEN */

static void
fake_sent(enum msg_type type, const void *src)
{
	const struct msg_NACK		*nack = src;
	const struct msg_STREAM_OPEN	*open = src;
	const struct msg_STREAM_TEXT	*text = src;
	const struct msg_STREAM_END	*end = src;

	switch ((int)type) {
	case MSG_ACK:
		say("ack");
		break;
	case MSG_NACK:
		say("nack/%d", (int)nack->reason);
		break;
	case MSG_STREAM_OPEN:
		number = open->stream;
		say("open:%d", (int)open->ordinal);
		break;
	case MSG_STREAM_TEXT:
		assert_int_equal(text->stream, number);
		say("%d:%.*s", (int)text->offset, (int)text->text.n, text->text.p);
		break;
	case MSG_STREAM_END:
		assert_int_equal(end->stream, number);
		say("end/%d%.*s", (int)end->kind, (int)end->note.n, end->note.p);
		break;
	default:
		say("?");
	}
}

static void
told(struct scope *s, const struct msg_STREAM_STATE *m, void *arg)
{
	struct msg_RESULT	 res = { .error = m->error, .why = m->why };

	(void)arg;
	assert_int_equal(board.delivery, scope_delivery(s));
	say("state/%d:%d", (int)m->state, (int)m->error);
	if (m->state >= 5)
		reply = NULL;
	if (m->state == 7)
		scope_finish(s, &res);
}

static void
start(struct scope *s, const struct msg_EVENT *ev)
{
	(void)ev;
	reply = scope_stream_open(s, 7, 5, 1, told, NULL);
}

static const struct handler	 handler = { "fake", true, start, NULL };

static void
no_log(int level, const char *class, const char *line, void *arg)
{
	(void)level;
	(void)class;
	(void)line;
	(void)arg;
}

static void
state(uint64_t st, enum error error)
{
	struct msg_STREAM_STATE	 m = { .stream = number, .state = st, .error = error };

	tasks_stream_state(tasks, &m);
}

static int
setup(void **unused)
{
	struct msg_EVENT	 ev = {
		.delivery = 1, .attempt = 1, .key = 7, .name = SPAN("X"), .body = SPAN("{}")
	};

	(void)unused;
	now = (struct mono){ 5000000 };
	wake = MONO_NEVER;
	memset(&board, 0, sizeof(board));
	tasks = tasks_new(&handler, &board, 1000, &ops, NULL);
	log_redirect(no_log, NULL);
	tasks_event(tasks, &ev);
	assert_non_null(reply);
	did_say("open:1");
	return 0;
}

static int
teardown(void **unused)
{
	(void)unused;
	assert_int_equal(tasks_open_n(tasks), 0);
	assert_int_equal(board.delivery, 0);
	assert_null(reply);
	tasks_free(&tasks);
	buf_fini(&did);
	log_redirect(NULL, NULL);
	return 0;
}

static void
append(const char *text)
{
	assert_true(scope_stream_append(reply, span_of(text)));
}

/* Nothing goes before somebody takes it; the scope is empty after the final state. */
static void
opened_grown_ended(void **unused)
{
	(void)unused;
	append("ab");
	did_say("");
	state(1, ERR_OK);
	did_say("0:ab state/1:0");
	pass(TASK_REPLY_MS);
	append("cd");
	did_say("2:cd");
	scope_stream_end(reply, 1, NULL);
	did_say("end/1");
	assert_false(scope_stream_append(reply, SPAN("ef")));
	scope_stream_end(reply, 2, "too late");
	did_say("");
	assert_int_equal(tasks_open_n(tasks), 1);
	state(5, ERR_OK);
	did_say("state/5:0 ack");
}

/* Five pieces a second; the end waits for nothing. */
static void
five_a_second(void **unused)
{
	(void)unused;
	state(1, ERR_OK);
	did_say("state/1:0");
	for (int i = 0; i < 100; i++) {
		append("x");
		pass(10);
	}
	did_say("0:x 1:xxxxxxxxxxxxxxxxxxx 20:xxxxxxxxxxxxxxxxxxxx 40:xxxxxxxxxxxxxxxxxxxx"
	    " 60:xxxxxxxxxxxxxxxxxxxx 80:xxxxxxxxxxxxxxxxxxxx");
	append("y");
	scope_stream_end(reply, 1, "a note");
	did_say("100:y end/1a note");
	state(5, ERR_OK);
	did_say("state/5:0 ack");
}

/* Another rest worker opens it: all of it again, the end too. */
static void
said_again(void **unused)
{
	(void)unused;
	state(1, ERR_OK);
	append("abc");
	did_say("state/1:0 0:abc");
	state(1, ERR_OK);
	did_say("0:abc state/1:0");
	scope_stream_end(reply, 1, NULL);
	did_say("end/1");
	state(1, ERR_OK);
	did_say("0:abc end/1 state/1:0");
	state(5, ERR_OK);
	did_say("state/5:0 ack");
}

/* The asker deleted it: the handler hears of it, and the delivery is done. */
static void
stopped(void **unused)
{
	(void)unused;
	state(1, ERR_OK);
	append("abc");
	state(6, ERR_EHTTP);
	did_say("state/1:0 0:abc state/6:17 ack");
}

/* Trouble that may pass is waited out, with the same ordinal; other trouble is the handler's. */
static void
opened_again(void **unused)
{
	uint64_t	 old = number;

	(void)unused;
	append("abc");
	state(7, ERR_ETRANSPORT);
	did_say("");
	pass(TASK_AGAIN_MS);
	did_say("open:1");
	assert_true(number != old);
	state(7, ERR_ESERVICE);
	pass(2 * TASK_AGAIN_MS - 1);
	did_say("");
	pass(1);
	did_say("open:1");
	state(1, ERR_OK);
	did_say("0:abc state/1:0");
	state(7, ERR_EAMBIGUOUS);
	did_say("state/7:6 ack");
}

/* The supervisor cancels it, since what it answers was deleted: it ends as stopped. */
static void
cancelled(void **unused)
{
	struct msg_CANCEL	 m = { .kind = 0, .id = 1 };

	(void)unused;
	state(1, ERR_OK);
	append("abc");
	did_say("state/1:0 0:abc");
	tasks_cancel(tasks, &m);
	did_say("end/3");
	state(5, ERR_OK);
	did_say("state/5:0 nack/4");
}

/* T1 is over: its text so far, and the mark; then the delivery is handed back. */
static void
drained(void **unused)
{
	(void)unused;
	state(1, ERR_OK);
	append("abc");
	append("def");
	tasks_drain(tasks, 100, 1000);
	did_say("state/1:0 0:abc");
	pass(100);
	did_say("3:def end/4");
	assert_false(scope_stream_append(reply, SPAN("more")));
	state(5, ERR_OK);
	did_say("state/5:0 nack/1 drained");
}

/* Nobody answers the last word: the bound ends it. */
static void
drained_without_an_answer(void **unused)
{
	(void)unused;
	tasks_drain(tasks, 100, 1000);
	pass(100);
	did_say("");		/* nobody has it open */
	pass(1000);
	did_say("state/7:9 nack/1 drained");
}

static void
drained_between_two_openings(void **unused)
{
	(void)unused;
	state(7, ERR_ETRANSPORT);
	tasks_drain(tasks, 100, 1000);
	pass(101);
	did_say("state/7:9 nack/1 drained");
}

static void
no_more_than_fits(void **unused)
{
	static char	 much[TASK_REPLY_MAX - 1];

	(void)unused;
	memset(much, 'x', sizeof(much));
	assert_true(scope_stream_append(reply, span_make(much, sizeof(much))));
	assert_false(scope_stream_append(reply, SPAN("ab")));
	assert_false(scope_stream_append(reply, SPAN("c")));
	state(6, ERR_EHTTP);
	did_say("state/6:17 ack");
}

static struct hold	*hold;

static void
let_go(struct scope *s, enum error error, void *arg)
{
	(void)s;
	assert_ptr_equal(arg, &hold);
	assert_int_equal(error, ERR_ECANCELLED);
	hold = NULL;
	say("let-go");
}

static void
start_holding(struct scope *s, const struct msg_EVENT *ev)
{
	(void)ev;
	assert_ptr_equal(scope_role(s), &number);
	hold = scope_hold(s, let_go, &hold);
	assert_non_null(hold);
}

static const struct handler	 holder = { "holder", false, start_holding, NULL };

/* Work elsewhere keeps a delivery open until it is released, and is told of the cancel. */
static void
held(void **unused)
{
	struct msg_EVENT	 ev = {
		.delivery = 1, .attempt = 1, .key = 7, .name = SPAN("X"), .body = SPAN("{}")
	};
	struct msg_CANCEL	 cancel = { .kind = 0, .id = 2 };

	(void)unused;
	now = (struct mono){ 5000000 };
	wake = MONO_NEVER;
	memset(&board, 0, sizeof(board));
	tasks = tasks_new(&holder, &board, 1000, &ops, NULL);
	tasks_role(tasks, &number);
	tasks_event(tasks, &ev);
	pass(100000);
	did_say("");
	scope_release(&hold);
	assert_null(hold);
	did_say("ack");
	ev.delivery = 2;
	tasks_event(tasks, &ev);
	tasks_cancel(tasks, &cancel);
	did_say("");
	pass(0);
	did_say("let-go nack/4");
	assert_int_equal(tasks_open_n(tasks), 0);
	tasks_free(&tasks);
	buf_fini(&did);
}

#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(opened_grown_ended),
		TEST(five_a_second),
		TEST(said_again),
		TEST(stopped),
		TEST(opened_again),
		TEST(cancelled),
		TEST(drained),
		TEST(drained_without_an_answer),
		TEST(drained_between_two_openings),
		TEST(no_more_than_fits),
		cmocka_unit_test(held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
