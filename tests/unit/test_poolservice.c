/*
 * poolcalls between pools, against fakes of pool and queue: who is asked, who is told, what happens
 * when either dies.
 */
#include "common/loop.h"
#include "supervisor/control/poolcalls.h"
#include "tests/unit/fake_supervisor.h"

static struct child	*service;	/* what pools_answering finds */
static bool		 service_up, service_known;

bool
pools_answering(struct pools *ps, struct span pool, struct span verb, uint64_t turn,
    struct child **child_r, bool *up_r)
{
	(void)ps;
	(void)turn;
	*child_r = span_is(verb, "roll") ? service : NULL;
	*up_r = service_up;
	return service_known && span_is(pool, "dice");
}

/* "roll body;", "=number:error:body;", "cancel;" */
static void
fake_sent(struct child *c, enum msg_type type, const void *src)
{
	if (type == MSG_CALL) {
		const struct msg_CALL	*m = src;

		assert_int_equal(m->delivery, 0);
		assert_int_equal(m->ordinal, 0);
		c->wires[c->calls_n++] = m->call;
		did(c, "%.*s %.*s;", (int)m->verb.n, m->verb.p, (int)m->body.n, m->body.p);
	} else if (type == MSG_RESULT) {
		const struct msg_RESULT	*m = src;

		c->results_n++;
		did(c, "=%llu:%llu:%.*s;", (unsigned long long)m->call,
		    (unsigned long long)m->error, (int)m->body.n, m->body.p);
	} else {
		assert_int_equal(type, MSG_CANCEL);
		assert_int_equal(((const struct msg_CANCEL *)src)->kind, 1);
		did(c, "cancel;");
	}
}

static struct loop	*loop;
static struct timer	*tick;
static struct poolcalls	*pc;
static struct child	 a, b, dice;
static size_t		 told_n;
static uint64_t		 told_error;

static void
told(void *arg, const struct msg_RESULT *r)
{
	(void)arg;
	told_n++;
	told_error = r->error;
}

static void
on_tick(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

/* What timers have to say by then. */
static void
run_ms(uint64_t ms)
{
	timer_arm_ms(tick, ms);
	loop_run(loop);
}

static int
setup(void **state)
{
	(void)state;
	fake_reset();
	a = (struct child){ .tag = "a.0#1", .held = { 1 } };
	b = (struct child){ .tag = "a.1#1" };
	dice = (struct child){ .tag = "dice.0#1" };
	service = &dice;
	service_up = service_known = true;
	told_n = 0;
	loop = loop_new();
	tick = timer_new(loop, on_tick, NULL);
	pc = poolcalls_new(loop);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	poolcalls_free(&pc);
	timer_free(&tick);
	loop_free(&loop);
	fake_forget();
	return 0;
}

static int
ask(struct child *from, uint64_t number, struct msg_CALL m)
{
	const char	*why = NULL;
	int		 rv;

	m.call = number;
	m.deadline_ms = m.deadline_ms == 0 ? 20000 : m.deadline_ms;
	m.service = m.service.n == 0 ? SPAN("dice") : m.service;
	m.verb = m.verb.n == 0 ? SPAN("roll") : m.verb;
	rv = poolcalls_from_worker(pc, NULL, from, &m, &why);
	assert_true((rv == -1) == (why != NULL));
	return rv;
}

static int
result(struct child *c, uint64_t number, const char *body)
{
	struct msg_RESULT	 r = { .call = number, .body = span_of(body) };
	const char		*why;

	return poolcalls_result(pc, c, &r, &why);
}

static void
from_handler_to_pool_and_back(void **state)
{
	(void)state;
	assert_int_equal(ask(&a, 7, (struct msg_CALL){ .delivery = 1, .body = SPAN("2d6") }), 0);
	assert_int_equal(ask(&b, 7, (struct msg_CALL){ .body = SPAN("1d6") }), 0);
	assert_string_equal(dice.did, "roll 2d6;roll 1d6;");
	assert_int_equal(ask(&a, 7, (struct msg_CALL){ .delivery = 1 }), -1);
	assert_int_equal(poolcalls_ask(pc, &dice, SPAN("dice"), SPAN("roll"), SPAN("people"), told,
	    NULL), ERR_OK);
	assert_int_equal(result(&dice, dice.wires[1], "four"), 0);
	assert_int_equal(result(&dice, dice.wires[2], "six"), 0);
	assert_int_equal(result(&dice, dice.wires[0], "nine"), 0);
	assert_string_equal(a.did, "=7:0:nine;");
	assert_string_equal(b.did, "=7:0:four;");
	assert_true(told_n == 1 && told_error == ERR_OK);
	assert_int_equal(result(&dice, dice.wires[0], "again"), 0);	/* late, for all we know */
	assert_int_equal(result(&dice, 99, "?"), -1);
	assert_int_equal(result(&dice, 0, "?"), -1);
	assert_string_equal(a.did, "=7:0:nine;");
	/* A number may be used again when its call is over. */
	assert_int_equal(ask(&a, 7, (struct msg_CALL){ .delivery = 1 }), 0);
	assert_int_equal(result(&b, dice.wires[3], "not mine"), 0);
	assert_string_equal(a.did, "=7:0:nine;");
}

static void
refusals(void **state)
{
	(void)state;
	(void)ask(&a, 1, (struct msg_CALL){ .delivery = 1, .ordinal = 1 });
	(void)ask(&a, 2, (struct msg_CALL){ .delivery = 2 });
	(void)ask(&a, 3, (struct msg_CALL){ .service = SPAN("cards") });
	(void)ask(&a, 4, (struct msg_CALL){ .verb = SPAN("juggle") });
	service = NULL;
	service_up = false;
	(void)ask(&a, 5, (struct msg_CALL){ 0 });
	service = &dice;
	dice.dead = true;
	(void)ask(&a, 6, (struct msg_CALL){ 0 });
	assert_string_equal(dice.did, "");
	assert_string_equal(a.did, "=1:14:;=2:10:;=3:11:;=4:11:;=5:7:;=6:7:;");
}

static void
a_worker_dies_and_its_asker_is_told(void **state)
{
	(void)state;
	(void)ask(&a, 1, (struct msg_CALL){ 0 });
	(void)poolcalls_ask(pc, &dice, SPAN("dice"), SPAN("roll"), SPAN_NONE, told, NULL);
	dice.dead = true;
	poolcalls_worker_down(pc, &dice);
	assert_int_equal(a.results_n + told_n, 0);	/* in a later turn */
	run_ms(20);
	assert_string_equal(a.did, "=1:7:;");
	assert_true(told_n == 1 && told_error == ERR_ERETRY);
}

static void
an_asker_dies_and_its_call_is_cancelled(void **state)
{
	(void)state;
	(void)ask(&a, 1, (struct msg_CALL){ .body = SPAN("x") });
	(void)ask(&b, 1, (struct msg_CALL){ .body = SPAN("y") });
	a.dead = true;
	poolcalls_worker_down(pc, &a);
	assert_string_equal(dice.did, "roll x;roll y;cancel;");
	assert_int_equal(result(&dice, dice.wires[0], "late"), 0);
	assert_int_equal(result(&dice, dice.wires[1], "fine"), 0);
	assert_string_equal(b.did, "=1:0:fine;");
	/* One that asks its own pool and dies is both. */
	(void)ask(&dice, 1, (struct msg_CALL){ 0 });
	dice.dead = true;
	poolcalls_worker_down(pc, &dice);
	run_ms(20);
	assert_int_equal(dice.results_n, 0);
}

static void
deadlines(void **state)
{
	(void)state;
	(void)ask(&a, 1, (struct msg_CALL){ .body = SPAN("x"), .deadline_ms = 5 });
	run_ms(50);
	assert_string_equal(a.did, "=1:8:;");
	assert_string_equal(dice.did, "roll x;cancel;");
	assert_int_equal(result(&dice, dice.wires[0], "late"), 0);
	assert_int_equal(a.results_n, 1);
}

static void
both_kinds_are_bounded(void **state)
{
	struct child	 many = { .tag = "many.0#1" };

	(void)state;
	for (int i = 0; i < POOLCALLS_MAX; i++) {
		assert_int_equal(poolcalls_ask(pc, &dice, SPAN("dice"), SPAN("roll"), SPAN_NONE,
		    told, NULL), ERR_OK);
		dice.calls_n = 0;
	}
	assert_int_equal(poolcalls_ask(pc, &dice, SPAN("dice"), SPAN("roll"), SPAN_NONE, told,
	    NULL), ERR_ESERVICE);
	for (uint64_t i = 1; i <= POOLCALLS_WORKERS_MAX; i++) {
		assert_int_equal(ask(&many, i, (struct msg_CALL){ 0 }), 0);
		dice.calls_n = 0;
	}
	assert_int_equal(many.results_n, 0);
	(void)ask(&many, POOLCALLS_WORKERS_MAX + 1, (struct msg_CALL){ 0 });
	assert_string_equal(many.did, "=4097:11:;");
	poolcalls_worker_down(pc, &many);
	assert_int_equal(ask(&a, 1, (struct msg_CALL){ 0 }), 0);
	assert_int_equal(a.results_n, 0);
}

int
main(void)
{
#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest	 tests[] = {
		TEST(from_handler_to_pool_and_back),
		TEST(refusals),
		TEST(a_worker_dies_and_its_asker_is_told),
		TEST(an_asker_dies_and_its_call_is_cancelled),
		TEST(deadlines),
		TEST(both_kinds_are_bounded),
	};
#undef TEST

	return cmocka_run_group_tests_name("poolservice", tests, NULL, NULL);
}
