/*
 * poolcalls: one CALL to a worker, one RESULT back to who asked; whoever dies, everybody is told
 * once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "common/loop.h"
#include "supervisor/control/poolcalls.h"
#include "supervisor/delivery/queue.h"

struct child {
	bool		 dead;
	uint64_t	 wire;			/* of the last CALL */
	size_t		 calls_n, cancels_n;
	uint64_t	 cancelled;		/* number of the last CANCEL */
	char		 sent[64];		/* "service verb body" */
};

struct asker {
	unsigned	 told_n;
	uint64_t	 error;
	char		 body[32];
	bool		 again;			/* it asks anew when it is told */
};

static struct loop	*loop;
static struct poolcalls	*pc;
static struct child	 a, b;
static struct asker	 askers[POOLCALLS_MAX + 1];

int
child_send(struct child *c, enum msg_type type, const void *src)
{
	const struct msg_CALL	*m = src;
	struct buf		 packed = { 0 };

	if (c->dead)
		return -1;
	assert_int_equal(msg_pack(&packed, type, src, NULL), 0);
	buf_fini(&packed);
	if (type == MSG_CANCEL) {
		const struct msg_CANCEL	*x = src;

		assert_int_equal(x->kind, 1);
		c->cancelled = x->id;
		c->cancels_n++;
		return 0;
	}
	assert_int_equal(type, MSG_CALL);
	assert_int_equal(m->deadline_ms, POOLCALLS_MS);
	assert_true(m->delivery == 0 && m->ordinal == 0);
	c->wire = m->call;
	c->calls_n++;
	snprintf(c->sent, sizeof(c->sent), "%.*s %.*s %.*s", (int)m->service.n, m->service.p,
	    (int)m->verb.n, m->verb.p, (int)m->body.n, m->body.p);
	return 0;
}

/* Handlers that ask are in test_poolservice. */
void		*child_peer(const struct child *c) { (void)c; return NULL; }

struct delivery *
queue_held(struct qworker *w, uint64_t id)
{
	(void)w;
	(void)id;
	return NULL;
}

bool
pools_answering(struct pools *ps, struct span pool, struct span verb, uint64_t turn,
    struct child **child_r, bool *up_r)
{
	(void)ps;
	(void)pool;
	(void)verb;
	(void)turn;
	*child_r = NULL;
	*up_r = false;
	return false;
}

static enum error ask(struct child *, struct asker *);

static void
told(void *arg, const struct msg_RESULT *r)
{
	struct asker	*k = arg;

	k->told_n++;
	k->error = r->error;
	span_copy(r->body, k->body, sizeof(k->body));
	if (k->again) {
		k->again = false;
		assert_int_equal(ask(&b, k), ERR_OK);
	}
	loop_stop(loop);
}

static enum error
ask(struct child *c, struct asker *k)
{
	return poolcalls_ask(pc, c, SPAN("chat"), SPAN("try"), SPAN("hello"), told, k);
}

static int
answer(struct child *c, uint64_t wire, const char *body)
{
	struct msg_RESULT	 r = { .call = wire, .status = 200, .body = span_of(body) };
	const char		*why = NULL;
	int			 rv = poolcalls_result(pc, c, &r, &why);

	assert_true((rv == -1) == (why != NULL));
	return rv;
}

static int
setup(void **state)
{
	(void)state;
	memset(askers, 0, sizeof(askers));
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	loop = loop_new();
	pc = poolcalls_new(loop);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	poolcalls_free(&pc);
	assert_null(pc);
	loop_free(&loop);
	return 0;
}

static void
asked_and_answered(void **state)
{
	uint64_t	 first;

	(void)state;
	assert_int_equal(ask(&a, &askers[0]), ERR_OK);
	first = a.wire;
	assert_string_equal(a.sent, "chat try hello");
	assert_int_equal(ask(&a, &askers[1]), ERR_OK);
	assert_int_equal(askers[0].told_n + askers[1].told_n, 0);
	assert_true(a.wire != first && first > 0);
	/* In any order, each to who asked. */
	assert_int_equal(answer(&a, a.wire, "second"), 0);
	assert_int_equal(answer(&a, first, "first"), 0);
	assert_string_equal(askers[0].body, "first");
	assert_string_equal(askers[1].body, "second");
	assert_true(askers[0].told_n == 1 && askers[1].told_n == 1);
	assert_int_equal(askers[0].error, ERR_OK);
}

static void
only_who_was_asked_answers(void **state)
{
	(void)state;
	assert_int_equal(ask(&a, &askers[0]), ERR_OK);
	/* A number of ours from another worker, or twice: late, and nobody's. */
	assert_int_equal(answer(&b, a.wire, "forged"), 0);
	assert_int_equal(askers[0].told_n, 0);
	assert_int_equal(answer(&a, a.wire, "good"), 0);
	assert_int_equal(answer(&a, a.wire, "again"), 0);
	assert_int_equal(askers[0].told_n, 1);
	assert_string_equal(askers[0].body, "good");
	/* Numbers that were never given are a broken protocol. */
	assert_int_equal(answer(&a, a.wire + 1, ""), -1);
	assert_int_equal(answer(&a, 0, ""), -1);
}

static void
a_death_is_told_in_a_later_turn(void **state)
{
	(void)state;
	assert_int_equal(ask(&a, &askers[0]), ERR_OK);
	assert_int_equal(ask(&b, &askers[1]), ERR_OK);
	poolcalls_worker_down(pc, &a);
	assert_int_equal(askers[0].told_n, 0);
	/* The memory of the dead one may be another worker's by now. */
	assert_int_equal(answer(&a, 1, "from the next one"), 0);
	assert_int_equal(askers[0].told_n, 0);
	loop_run(loop);
	assert_int_equal(askers[0].told_n, 1);
	assert_int_equal(askers[0].error, ERR_ERETRY);
	assert_int_equal(askers[1].told_n, 0);
	assert_int_equal(answer(&b, b.wire, "lives"), 0);
	assert_int_equal(askers[1].error, ERR_OK);
}

static void
asking_anew_from_the_answer(void **state)
{
	(void)state;
	askers[0].again = true;
	assert_int_equal(ask(&a, &askers[0]), ERR_OK);
	assert_int_equal(answer(&a, a.wire, "one"), 0);
	assert_int_equal(b.calls_n, 1);
	assert_int_equal(answer(&b, b.wire, "two"), 0);
	assert_int_equal(askers[0].told_n, 2);
	assert_string_equal(askers[0].body, "two");
}

/* Its worker stops: a model's tokens are paid for. */
static void
an_asker_that_leaves_takes_its_question_along(void **state)
{
	uint64_t	 first;

	(void)state;
	assert_int_equal(ask(&a, &askers[0]), ERR_OK);
	first = a.wire;
	assert_int_equal(ask(&a, &askers[1]), ERR_OK);
	poolcalls_forget(pc, &askers[0]);
	assert_true(a.cancels_n == 1 && a.cancelled == first);
	assert_int_equal(answer(&a, first, "late"), 0);
	assert_int_equal(askers[0].told_n, 0);
	poolcalls_forget(pc, &askers[0]);		/* it is forgotten */
	assert_int_equal(a.cancels_n, 1);
	/* Of a dead worker there is nobody to tell. */
	poolcalls_worker_down(pc, &a);
	poolcalls_forget(pc, &askers[1]);
	assert_true(a.cancels_n == 1 && askers[1].told_n == 0);
}

static void
bounded(void **state)
{
	(void)state;
	for (size_t i = 0; i < POOLCALLS_MAX; i++)
		assert_int_equal(ask(&a, &askers[i]), ERR_OK);
	assert_int_equal(ask(&a, &askers[POOLCALLS_MAX]), ERR_ESERVICE);
	assert_int_equal(a.calls_n, POOLCALLS_MAX);
	assert_int_equal(answer(&a, 1, ""), 0);
	assert_int_equal(ask(&a, &askers[POOLCALLS_MAX]), ERR_OK);
	b.dead = true;
	assert_int_equal(answer(&a, 2, ""), 0);
	assert_int_equal(ask(&b, &askers[0]), ERR_ESERVICE);
	/* What is open at the end is told so, once. */
	poolcalls_free(&pc);
	for (size_t i = 2; i <= POOLCALLS_MAX; i++) {
		assert_int_equal(askers[i].told_n, 1);
		assert_int_equal(askers[i].error, ERR_ECANCELLED);
	}
}

int
main(void)
{
#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest	 tests[] = {
		TEST(asked_and_answered),
		TEST(only_who_was_asked_answers),
		TEST(a_death_is_told_in_a_later_turn),
		TEST(asking_anew_from_the_answer),
		TEST(an_asker_that_leaves_takes_its_question_along),
		TEST(bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
