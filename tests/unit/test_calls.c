/*
 * calls against fakes of pool, queue and journal: what goes out, what is answered, what is
 * remembered.
 */
#include "common/loop.h"
#include "supervisor/control/calls.h"
#include "tests/unit/fake_supervisor.h"

/* "POST /x body;", "=number:error;", "state kind blob;" and "cancel;" */
static void
fake_sent(struct child *c, enum msg_type type, const void *src)
{
	if (type == MSG_CALL) {
		const struct msg_CALL	*m = src;

		assert_true(c->rest);
		c->wires[c->calls_n] = m->call;
		c->asked[c->calls_n++] = m->asked_ms;
		did(c, "%.*s %.*s %.*s;", (int)m->verb.n, m->verb.p, (int)m->path.n, m->path.p,
		    (int)(m->body.n > 16 ? 16 : m->body.n), m->body.p);
	} else if (type == MSG_RESULT) {
		const struct msg_RESULT	*m = src;

		c->number = m->call;
		c->error = m->error;
		c->status = m->status;
		c->id = m->id;
		c->results_n++;
		did(c, "=%llu:%llu;", (unsigned long long)m->call, (unsigned long long)m->error);
	} else if (type == MSG_STATE) {
		const struct msg_STATE	*m = src;

		did(c, "state %llu %.*s;", (unsigned long long)m->kind, (int)m->blob.n, m->blob.p);
	} else {
		assert_int_equal(type, MSG_CANCEL);
		did(c, "cancel;");
	}
}

/* ---- the stage: two rest workers, two handlers; deliveries 1 and 2 are out to a ---- */

static struct loop	*loop;
static struct timer	*tick;
static struct calls	*calls;
static struct cfg	 cfg;
static struct child	 r0, r1, a, b;
static struct mono	 patience;
static bool		(*until)(void);

static void
on_tick(void *arg)
{
	(void)arg;
	if (until() || mono_before(patience, clock_mono()))
		loop_stop(loop);
	else
		timer_arm_ms(tick, 1);
}

/* Run the loop until cond, at most 5 s. */
static void
run_until(bool (*cond)(void))
{
	until = cond;
	patience = mono_add_ms(clock_mono(), 5000);
	timer_arm_ms(tick, 1);
	loop_run(loop);
	assert_true(cond());
}

static bool
a_answered(void)
{
	return a.results_n > 0;
}

static int
setup(void **state)
{
	(void)state;
	memset(&cfg, 0, sizeof(cfg));
	cfg.call_timeout_ms = 30000;
	cfg.poison = 3;
	r0 = (struct child){ .tag = "rest.0#1", .rest = true };
	r1 = (struct child){ .tag = "rest.1#1", .rest = true };
	a = (struct child){ .tag = "echo.0#1", .held = { 1, 2 } };
	b = (struct child){ .tag = "echo.1#1" };
	fake_reset();
	loop = loop_new();
	tick = timer_new(loop, on_tick, NULL);
	calls = calls_new(loop, &cfg, NULL);
	calls_gate(calls, true);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	calls_free(&calls);
	timer_free(&tick);
	loop_free(&loop);
	fake_forget();
	return 0;
}

static struct msg_CALL
ask_of(uint64_t number, uint64_t delivery, uint64_t ordinal, const char *verb, const char *path)
{
	return (struct msg_CALL){
		.call = number, .delivery = delivery, .ordinal = ordinal,
		.service = SPAN("discord"), .lane = 1, .deadline_ms = 20000,
		 .verb = span_of(verb), .path = span_of(path),
		.body = ordinal == 0 ? SPAN_NONE : SPAN("{}"),
	};
}

static int
ask(struct child *c, uint64_t number, uint64_t delivery, uint64_t ordinal, const char *verb,
    const char *path)
{
	struct msg_CALL	 m = ask_of(number, delivery, ordinal, verb, path);
	const char	*why = NULL;

	return calls_from_worker(calls, c, &m, &why);
}

static int
result(struct child *r, uint64_t wire, uint64_t error, uint64_t status, uint64_t id,
    const char *body)
{
	struct msg_RESULT	 m = {
		.call = wire, .error = error, .status = status, .id = id, .body = span_of(body)
	};
	const char		*why = NULL;

	return calls_result(calls, r, &m, &why);
}

static int
state_of(struct child *r, enum state_kind kind, const char *blob)
{
	struct msg_STATE	 m = { .kind = kind, .blob = span_of(blob) };
	const char		*why = NULL;

	return calls_state(calls, r, &m, &why);
}

static void
die(struct child *r)
{
	r->dead = true;
	calls_service_down(calls, r, false);
}

#define MSGS	"/channels/7/messages"
#define OTHER	"/channels/8/messages"
#define ASKED	"asked 1 POST " MSGS ";"

/* The asked record is written before the CALL goes, the effect before the handler hears of it. */
static void
asked_then_effect(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	assert_ptr_equal(calls_active(calls), &r0);
	assert_int_equal(ask(&a, 1, 1, 1, "POST", MSGS), 0);
	assert_string_equal(journal_did, ASKED);
	assert_string_equal(r0.did, "POST " MSGS " {};");
	assert_int_equal(r0.asked[0], 0);
	assert_int_equal(result(&r0, r0.wires[0], 0, 200, 99, "{}"), 0);
	assert_string_equal(journal_did, ASKED "effect 1 200 99;");
	assert_string_equal(a.did, "=1:0;");
	assert_int_equal(calls_open(calls), 0);
	assert_int_equal(r1.calls_n, 0);
}

/* A read leaves no trace in the journal. */
static void
reads_are_not_journaled(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	assert_int_equal(ask(&a, 1, 1, 0, "GET", "/users/@me"), 0);
	assert_int_equal(ask(&a, 2, 0, 0, "GET", "/users/@me"), 0);
	assert_int_equal(result(&r0, r0.wires[0], 0, 200, 0, "{}"), 0);
	assert_int_equal(result(&r0, r0.wires[1], 0, 200, 0, "{}"), 0);
	assert_string_equal(journal_did, "");
	assert_string_equal(a.did, "=1:0;=2:0;");
}

/*
 * Guarantee 2 of the issue: kill -9 of the active rest worker; what was open goes to the spare in
 * its old order.
 */
static void
spare_takes_over_in_order(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	ask(&a, 1, 1, 1, "POST", MSGS);
	ask(&a, 2, 2, 1, "PATCH", "/channels/7/messages/1");
	ask(&a, 3, 2, 0, "GET", "/channels/7");
	die(&r0);
	assert_ptr_equal(calls_active(calls), &r1);
	assert_string_equal(r1.did,
	    "POST " MSGS " {};PATCH /channels/7/messages/1 {};GET /channels/7 ;");
	for (size_t i = 0; i < 3; i++)
		assert_true(r1.asked[i] > 0);
	assert_string_equal(journal_did, ASKED "asked 1 PATCH " MSGS "/1;");	/* once each */
	assert_int_equal(a.results_n, 0);
	assert_int_equal(result(&r1, r1.wires[0], 0, 200, 5, ""), 0);
	assert_int_equal(a.number, 1);
}

/* Nothing can tell whether a POST without a nonce took effect. */
static void
doubt_is_said(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	ask(&a, 1, 1, 1, "POST", "/webhooks/1/token");
	die(&r0);
	run_until(a_answered);
	assert_int_equal(a.error, ERR_EAMBIGUOUS);
	assert_int_equal(r1.calls_n, 0);
}

static void
nonce_is_good_for_a_minute(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	deliveries[1].effects[deliveries[1].effects_n++] = (struct effect){
		.ordinal = 1, .route = mem_strdup("POST " MSGS), .asked_ms = clock_wall_ms() - 61000
	};
	deliveries[2].effects[deliveries[2].effects_n++] = (struct effect){
		.ordinal = 1, .route = mem_strdup("POST " MSGS), .asked_ms = clock_wall_ms() - 30000
	};
	ask(&a, 1, 1, 1, "POST", MSGS);
	ask(&a, 2, 2, 1, "POST", MSGS);
	assert_int_equal(r0.calls_n, 1);
	assert_true(r0.asked[0] >= 30000 && r0.asked[0] < 40000);
	run_until(a_answered);
	assert_int_equal(a.number, 1);
	assert_int_equal(a.error, ERR_EAMBIGUOUS);
}

/*
 * interactions: 40060 to a repeated callback says that the first one arrived; to a first one it is
 * an error.
 */
static void
code_settles_doubt(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	ask(&a, 1, 1, 1, "POST", "/interactions/1/t/callback");
	ask(&a, 2, 2, 1, "POST", "/interactions/2/t/callback");
	assert_int_equal(result(&r0, r0.wires[1], ERR_EHTTP, 400, 0, "{\"code\": 40060}"), 0);
	assert_int_equal(a.error, ERR_EHTTP);
	die(&r0);
	assert_int_equal(r1.calls_n, 1);
	assert_int_equal(result(&r1, r1.wires[0], ERR_EHTTP, 400, 0, "{\"code\": 40060}"), 0);
	assert_int_equal(a.number, 1);
	assert_int_equal(a.error, 0);
	assert_true(effects[1][0].done);
}

/* Two deaths with the same three in flight: they go out one at a time, and the next death is of one. */
static void
only_the_suspect_is_charged(void **state)
{
	struct child	 r2 = { .tag = "rest.0#2", .rest = true };
	struct child	 r3 = { .tag = "rest.1#2", .rest = true };

	(void)state;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	for (uint64_t i = 1; i <= 3; i++)
		ask(&a, i, 1, 0, "GET", "/x");
	die(&r0);
	assert_int_equal(r1.calls_n, 3);	/* one death may be anybody's: no waiting for it */
	calls_service_up(calls, &r2);
	die(&r1);
	assert_int_equal(r2.calls_n, 1);
	/* A new one does not wait for them. */
	ask(&a, 4, 1, 0, "GET", "/y");
	assert_int_equal(r2.calls_n, 2);
	assert_int_equal(result(&r2, r2.wires[0], 0, 200, 0, "{}"), 0);
	assert_int_equal(a.number, 1);
	calls_run(calls);
	assert_int_equal(r2.calls_n, 3);
	calls_service_up(calls, &r3);
	a.results_n = 0;
	die(&r2);
	run_until(a_answered);
	assert_int_equal(a.number, 2);
	assert_int_equal(a.error, ERR_EPOISON);
	calls_run(calls);
	/* The third and the new one are innocent. */
	assert_int_equal(r3.calls_n, 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(result(&r3, r3.wires[i], 0, 200, 0, "{}"), 0);
	assert_int_equal(a.error, 0);
	assert_int_equal(a.results_n, 3);
	assert_int_equal(calls_open(calls), 0);
}

static void
poison_after_three(void **state)
{
	struct child	 r2 = { .tag = "rest.0#2", .rest = true };

	(void)state;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	ask(&a, 1, 1, 0, "GET", "/x");
	die(&r0);
	calls_service_up(calls, &r2);
	die(&r1);
	assert_int_equal(r2.calls_n, 1);
	assert_int_equal(a.results_n, 0);
	die(&r2);
	run_until(a_answered);
	assert_int_equal(a.error, ERR_EPOISON);
	assert_int_equal(calls_open(calls), 0);
}

/* A slow call that met three restarts by an operator was called poison. */
static void
restarts_charge_nobody(void **state)
{
	struct child	*next[] = { &r0, &r1 };

	(void)state;
	calls_service_up(calls, &r0);
	ask(&a, 1, 1, 0, "GET", "/x");
	for (int i = 0; i < 6; i++) {
		calls_service_up(calls, next[(i + 1) % 2]);
		calls_service_down(calls, next[i % 2], true);
	}
	assert_int_equal(calls_open(calls), 1);
	assert_int_equal(a.results_n, 0);
	assert_int_equal(result(&r0, r0.wires[r0.calls_n - 1], 0, 200, 0, "{}"), 0);
	assert_int_equal(a.error, 0);
}

/*
 * Above PROTO_CALL_KEEP_MAX a call is not kept: ERETRY at the death, and at once when there is no
 * worker.
 */
static void
large_calls_are_not_kept(void **state)
{
	struct msg_CALL	 m = ask_of(1, 1, 1, "PUT", "/x");
	const char	*why;

	(void)state;
	m.body = (struct span){ mem_alloc(PROTO_CALL_KEEP_MAX + 1), PROTO_CALL_KEEP_MAX + 1 };
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	assert_int_equal(calls_from_worker(calls, &a, &m, &why), 0);
	assert_int_equal(r0.calls_n, 1);
	die(&r0);
	run_until(a_answered);
	assert_int_equal(a.error, ERR_ERETRY);
	assert_int_equal(r1.calls_n, 0);
	die(&r1);
	a.results_n = 0;
	m.call = 2;
	m.delivery = 2;
	assert_int_equal(calls_from_worker(calls, &a, &m, &why), 0);
	run_until(a_answered);
	assert_int_equal(a.number, 2);
	assert_int_equal(a.error, ERR_ERETRY);
	free((void *)(uintptr_t)m.body.p);
}

/*
 * Answered with ERETRY each time, a delivery was set aside as poison while the journal was full: it
 * waits like a call without a rest worker.
 */
static void
no_room_in_the_journal_is_waited_out(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	journal_full = true;
	ask(&a, 1, 1, 1, "POST", MSGS);
	ask(&a, 2, 2, 1, "POST", MSGS);
	calls_run(calls);
	assert_int_equal(r0.calls_n, 0);
	assert_int_equal(a.results_n, 0);
	journal_full = false;
	calls_run(calls);
	assert_int_equal(r0.calls_n, 2);
	assert_int_equal(r0.asked[0], 0);
	assert_string_equal(journal_did, ASKED ASKED);
	calls_run(calls);
	assert_int_equal(r0.calls_n, 2);
	assert_int_equal(result(&r0, r0.wires[0], 0, 200, 5, ""), 0);
	assert_int_equal(a.number, 1);
}

/*
 * Limited, or never sent, for longer than a nonce is good: it was ambiguous though nothing was ever
 * done.  After a death of the rest worker that had it, it is in doubt whatever the next one says.
 */
static void
what_was_never_done_is_not_in_doubt(void **state)
{
	static const enum error	 undone[] = { ERR_ELIMITED, ERR_EUNREACHABLE };

	(void)state;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	for (size_t i = 0; i < 2; i++) {
		ask(&a, i + 1, 1, 1, "POST", MSGS);
		assert_int_equal(result(&r0, r0.wires[i], undone[i], 0, 0, ""), 0);
		assert_int_equal(a.error, undone[i]);
		assert_int_equal(deliveries[1].effects_n, 0);
	}
	ask(&a, 3, 1, 1, "POST", MSGS);
	assert_int_equal(r0.asked[2], 0);
	die(&r0);
	assert_int_equal(r1.calls_n, 1);
	assert_int_equal(result(&r1, r1.wires[0], ERR_ELIMITED, 0, 0, ""), 0);
	assert_int_equal(deliveries[1].effects_n, 1);
	assert_string_equal(journal_did, ASKED "unasked 1;" ASKED "unasked 1;" ASKED);
}

static void
done_is_answered_from_the_journal(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	ask(&a, 1, 1, 1, "POST", MSGS);
	result(&r0, r0.wires[0], 0, 200, 77, "{}");
	ask(&a, 2, 1, 2, "POST", MSGS);
	/* Refused for good: not asked again either. */
	result(&r0, r0.wires[1], ERR_EHTTP, 403, 0, "{}");
	b.held[0] = 1;
	ask(&b, 1, 1, 1, "POST", MSGS);
	assert_int_equal(b.error, 0);
	assert_int_equal(b.status, 200);
	assert_int_equal(b.id, 77);
	ask(&b, 2, 1, 2, "POST", MSGS);
	assert_int_equal(b.error, ERR_EHTTP);
	assert_int_equal(b.status, 403);
	ask(&b, 3, 1, 1, "POST", "/channels/8/messages");
	assert_int_equal(b.error, ERR_EORDINAL);
	assert_int_equal(r0.calls_n, 2);
}

/* Neither an answer of the network nor a 5xx is an effect: the next attempt asks again. */
static void
failures_are_no_effect(void **state)
{
	static const struct { uint64_t error, status; } f[] = {
		{ ERR_ETRANSPORT, 0 }, { ERR_EHTTP, 500 }, { ERR_EHTTP, 429 },
		{ ERR_EDEADLINE, 0 }, { ERR_ETOKEN, 401 },
	};

	(void)state;
	calls_service_up(calls, &r0);
	for (size_t i = 0; i < sizeof(f) / sizeof(*f); i++) {
		ask(&a, i + 1, 1, i + 1, "PUT", "/x");
		assert_int_equal(result(&r0, r0.wires[i], f[i].error, f[i].status, 0, ""), 0);
		assert_int_equal(a.error, f[i].error);
		assert_false(effects[1][i].done);
	}
}

/*
 * A handler died with its request on the wire; the sibling that got the delivery asks the same
 * ordinal.  A second request would be a second message: the one RESULT answers the newest CALL.
 */
static void
redelivery_meets_the_first_request(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	ask(&a, 1, 1, 1, "POST", MSGS);
	a.dead = true;
	calls_worker_down(calls, &a);
	a.held[0] = 0;
	b.held[0] = 1;
	assert_int_equal(ask(&b, 40, 1, 1, "POST", MSGS), 0);
	assert_int_equal(r0.calls_n, 1);
	ask(&b, 41, 1, 1, "POST", "/channels/9/messages");
	assert_int_equal(b.error, ERR_EORDINAL);
	result(&r0, r0.wires[0], 0, 200, 5, "");
	assert_int_equal(b.number, 40);
	assert_int_equal(b.error, 0);
	assert_string_equal(journal_did, ASKED "effect 1 200 5;");
	assert_int_equal(calls_open(calls), 0);
}

/*
 * The older CALL of the same ordinal ends too when its worker lives on: each CALL has one RESULT.
 */
static void
replaced_call_is_cancelled(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	ask(&a, 1, 1, 1, "POST", MSGS);
	b.held[0] = 1;
	ask(&b, 1, 1, 1, "POST", MSGS);
	assert_int_equal(a.error, ERR_ECANCELLED);
	result(&r0, r0.wires[0], 0, 200, 5, "");
	assert_string_equal(b.did, "=1:0;");
	assert_string_equal(a.did, "=1:9;");
}

/* The handler is dead: nobody hears the RESULT, the journal does. */
static void
effect_of_a_dead_worker_is_kept(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	ask(&a, 1, 1, 1, "POST", MSGS);
	calls_worker_down(calls, &a);
	result(&r0, r0.wires[0], 0, 200, 5, "");
	assert_string_equal(journal_did, ASKED "effect 1 200 5;");
	assert_int_equal(a.results_n, 0);
}

/* What never went out is not asked, whoever dies first. */
static void
unsent_calls_die_with_their_worker(void **state)
{
	(void)state;
	ask(&a, 1, 1, 1, "POST", MSGS);
	calls_worker_down(calls, &a);
	calls_service_up(calls, &r0);
	assert_int_equal(r0.calls_n, 0);
	assert_string_equal(journal_did, "");
	assert_int_equal(calls_open(calls), 0);
}

static void
wrong_calls_are_refused(void **state)
{
	static const struct {
		uint64_t	 delivery, ordinal;
		const char	*verb, *path;
		uint64_t	 error;
	} w[] = {
		{ 3, 1, "POST", MSGS, ERR_EACKED },		/* not held */
		{ 3, 0, "GET", "/x", ERR_EACKED },
		{ 0, 0, "POST", MSGS, ERR_EINVALID },		/* changes something for nobody */
		{ 0, 1, "POST", MSGS, ERR_EINVALID },
		{ 1, 0, "POST", MSGS, ERR_EINVALID },		/* ordinal against method */
		{ 1, 1, "GET", MSGS, ERR_EINVALID },
		{ 1, 1, "BREW", MSGS, ERR_EINVALID },
		{ 1, 1, "POST", "channels", ERR_EINVALID },
		{ 1, 1, "POST", "/a b", ERR_EINVALID },
		{ 1, 1, "POST", "/a\r\nX: y", ERR_EINVALID },
	};
	struct msg_CALL	 m = ask_of(500, 1, 0, "GET", "/x");
	const char	*why = NULL;

	(void)state;
	calls_service_up(calls, &r0);
	for (size_t i = 0; i < sizeof(w) / sizeof(*w); i++) {
		a.error = 255;
		assert_int_equal(0,
		    ask(&a, i + 1, w[i].delivery, w[i].ordinal, w[i].verb, w[i].path));
		assert_int_equal(a.error, w[i].error);
		assert_int_equal(a.number, i + 1);
	}
	m.service = SPAN("store");
	assert_int_equal(calls_from_worker(calls, &a, &m, &why), 0);
	assert_int_equal(a.error, ERR_ESERVICE);
	assert_int_equal(r0.calls_n, 0);
	/* The same number twice breaks the protocol, as do RESULTs for what was never asked. */
	assert_int_equal(ask(&a, 600, 0, 0, "GET", "/x"), 0);
	assert_int_equal(ask(&a, 600, 0, 0, "GET", "/y"), -1);
	assert_int_equal(result(&r0, 12345, 0, 200, 0, ""), -1);
	assert_int_equal(result(&r1, r0.wires[0], 0, 200, 0, ""), -1);
	m = ask_of(1, 0, 0, "GET", "/x");
	assert_int_equal(calls_from_worker(calls, &r0, &m, &why), -1);
	assert_non_null(why);
}

/* The rest worker of a former supervisor may still be writing: the gate. */
static void
gate_and_start(void **state)
{
	(void)state;
	calls_gate(calls, false);
	calls_service_up(calls, &r0);
	ask(&a, 1, 1, 1, "POST", MSGS);
	ask(&a, 2, 2, 1, "POST", MSGS);
	assert_int_equal(r0.calls_n, 0);
	assert_string_equal(journal_did, "");
	/* Acked while it waited. */
	a.held[1] = 0;
	calls_gate(calls, true);
	assert_int_equal(r0.calls_n, 1);
	run_until(a_answered);
	assert_int_equal(a.number, 2);
	assert_int_equal(a.error, ERR_EACKED);
}

static void
deadline_without_a_worker(void **state)
{
	struct msg_CALL	 m = ask_of(1, 1, 1, "POST", MSGS);
	const char	*why;

	(void)state;
	m.deadline_ms = 20;
	calls_from_worker(calls, &a, &m, &why);
	run_until(a_answered);
	assert_int_equal(a.error, ERR_EDEADLINE);
	assert_string_equal(journal_did, "");
	assert_int_equal(calls_open(calls), 0);
}

/* The rest worker says nothing: the caller is told, the late RESULT still counts. */
static void
deadline_on_the_wire(void **state)
{
	struct msg_CALL	 m = ask_of(1, 1, 1, "POST", MSGS);
	const char	*why;

	(void)state;
	calls_service_up(calls, &r0);
	m.deadline_ms = 20;
	calls_from_worker(calls, &a, &m, &why);
	run_until(a_answered);
	assert_int_equal(a.error, ERR_EDEADLINE);
	assert_string_equal(r0.did, "POST " MSGS " {};cancel;");
	assert_int_equal(calls_open(calls), 1);
	result(&r0, r0.wires[0], 0, 200, 5, "");
	assert_string_equal(journal_did, ASKED "effect 1 200 5;");
	assert_int_equal(a.results_n, 1);
	assert_int_equal(calls_open(calls), 0);
}

/*
 * A draining worker finishes what is on the wire, hands back what is not and says its last word;
 * only then the spare gets the state, what was handed back and what came meanwhile, in their order.
 */
static void
draining_hands_over(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	ask(&a, 1, 1, 1, "POST", MSGS);
	ask(&a, 2, 1, 2, "POST", OTHER);
	assert_int_equal(state_of(&r0, STATE_PART, "one"), 0);
	assert_int_equal(state_of(&r1, STATE_PART, "of a spare"), 0);
	calls_service_draining(calls, &r0);
	assert_null(calls_service(calls));
	ask(&a, 3, 2, 1, "POST", OTHER);
	assert_int_equal(r1.calls_n, 0);
	assert_int_equal(state_of(&r0, STATE_PART, "two"), 0);
	assert_int_equal(result(&r0, r0.wires[1], ERR_ERETRY, 0, 0, ""), 0);
	assert_int_equal(a.results_n, 0);
	assert_string_equal(r1.did, "");
	assert_int_equal(state_of(&r0, STATE_LAST, "all"), 0);
	assert_string_equal(r1.did, "state 1 all;POST " OTHER " {};POST " OTHER " {};");
	assert_int_equal(r1.asked[0], 0);	/* it was never sent */
	assert_string_equal(journal_did, ASKED "asked 2 POST " OTHER ";unasked 2;asked 2 POST " OTHER
	    ";asked 1 POST " OTHER ";");
	assert_ptr_equal(calls_service(calls), &r1);
	/* What becomes of the one on the wire is passed on. */
	assert_int_equal(result(&r0, r0.wires[0], 0, 200, 5, ""), 0);
	assert_int_equal(state_of(&r0, STATE_PART, "late"), 0);
	assert_int_equal(state_of(&r1, STATE_ALL, "mine"), 0);
	die(&r0);
	assert_int_equal(r1.calls_n, 2);
	assert_int_equal(calls_open(calls), 2);
	assert_true(strstr(r1.did, "state 0 late;") != NULL);
	calls_service_up(calls, &r0);
	die(&r1);
	assert_true(strstr(r0.did, "state") != NULL);
}

/* kill -9: what it said last and the parts after it; of the other's it takes none for its own. */
static void
state_is_inherited(void **state)
{
	static char	 big[PROTO_STATE_MAX + 1];

	(void)state;
	calls_service_up(calls, &r0);
	assert_string_equal(r0.did, "");
	assert_int_equal(state_of(&r0, STATE_PART, "gone"), 0);
	assert_int_equal(state_of(&r0, STATE_ALL, "whole"), 0);
	assert_int_equal(state_of(&r0, STATE_PART, "+part"), 0);
	assert_int_equal(state_of(&r0, STATE_LAST, ""), -1);	/* nobody asked */
	die(&r0);
	calls_service_up(calls, &r1);
	assert_string_equal(r1.did, "state 1 whole+part;");
	memset(big, 'x', PROTO_STATE_MAX - 9);
	assert_int_equal(state_of(&r1, STATE_PART, big), -1);
	big[PROTO_STATE_MAX - 10] = '\0';
	assert_int_equal(state_of(&r1, STATE_PART, big), 0);
	assert_int_equal(state_of(&r1, STATE_PART, "x"), -1);
	memset(big, 'x', PROTO_STATE_MAX);
	assert_int_equal(state_of(&r1, STATE_ALL, big), 0);
}

static bool
r1_is_active(void)
{
	return calls_service(calls) == &r1;
}

/* One that does not answer when it is to go, or dies before it does, holds nobody up for long. */
static void
a_last_word_is_not_waited_for_long(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	ask(&a, 1, 1, 1, "POST", MSGS);
	calls_service_draining(calls, &r0);
	assert_string_equal(r0.did, "POST " MSGS " {};state 2 ;");
	run_until(r1_is_active);
	assert_int_equal(r1.calls_n, 0);
	assert_int_equal(state_of(&r0, STATE_LAST, "late"), 0);
	assert_string_equal(r1.did, "state 0 late;");
	r0.dead = true;
	calls_service_down(calls, &r0, true);
	assert_int_equal(r1.calls_n, 1);
}

/* At the end of all nobody hands over: each finishes what it has. */
static void
the_last_ones_finish(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	ask(&a, 1, 1, 1, "POST", MSGS);
	calls_services_end(calls);
	calls_service_draining(calls, &r0);
	calls_service_draining(calls, &r1);
	assert_string_equal(r0.did, "POST " MSGS " {};");
	assert_string_equal(r1.did, "");
	assert_int_equal(result(&r0, r0.wires[0], 0, 200, 5, ""), 0);
	assert_int_equal(calls_open(calls), 0);
}

/* What it had in hand when it ended goes to the one that has taken over long ago. */
static void
draining_ends_with_calls(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	ask(&a, 1, 1, 1, "POST", MSGS);
	calls_service_draining(calls, &r0);
	assert_int_equal(state_of(&r0, STATE_LAST, ""), 0);
	assert_ptr_equal(calls_active(calls), &r1);
	assert_int_equal(r1.calls_n, 0);
	r0.dead = true;
	calls_service_down(calls, &r0, true);
	assert_int_equal(r1.calls_n, 1);
	assert_int_equal(result(&r1, r1.wires[0], 0, 200, 5, ""), 0);
	assert_int_equal(a.error, ERR_OK);
	assert_int_equal(calls_open(calls), 0);
}

/* A later POST of the same channel waits for the one that a draining worker has; others do not. */
static void
none_overtakes(void **state)
{
	(void)state;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	ask(&a, 1, 1, 1, "POST", MSGS);
	calls_service_draining(calls, &r0);
	assert_int_equal(state_of(&r0, STATE_LAST, ""), 0);
	ask(&a, 2, 1, 2, "POST", MSGS);
	ask(&a, 3, 1, 3, "POST", "/channels/8/messages");
	ask(&a, 4, 1, 4, "PATCH", MSGS "/1");
	assert_string_equal(r1.did, "POST /channels/8/messages {};PATCH " MSGS "/1 {};");
	assert_int_equal(result(&r0, r0.wires[0], 0, 200, 5, ""), 0);
	calls_run(calls);
	assert_int_equal(r1.calls_n, 3);
	/* Or it ends with one in hand: both are given again, in their order. */
	calls_service_draining(calls, &r1);
	ask(&a, 5, 1, 5, "POST", MSGS);
	calls_service_down(calls, &r0, true);
	r0 = (struct child){ .tag = "rest.0#2", .rest = true };
	calls_service_up(calls, &r0);
	assert_int_equal(r0.calls_n, 0);
	r1.dead = true;
	calls_service_down(calls, &r1, true);
	assert_string_equal(r0.did,
	    "POST " MSGS " {};POST /channels/8/messages {};PATCH " MSGS "/1 {};POST " MSGS " {};");
	assert_true(r0.wires[0] < r0.wires[3]);
}

static struct msg_RESULT	 inside;
static unsigned			 inside_n;
static char			 inside_body[64];

static void
on_inside(void *arg, const struct msg_RESULT *res)
{
	(void)arg;
	inside = *res;
	inside_n++;
	span_copy(res->body, inside_body, sizeof(inside_body));
}

static bool
inside_answered(void)
{
	return inside_n > 0;
}

static void
asked_from_inside(void **state)
{
	int	 one, two;

	(void)state;
	inside_n = 0;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	calls_ask(calls, "GET", "/gateway/bot", SPAN_NONE, 0, on_inside, &one);
	calls_ask(calls, "POST", MSGS, SPAN("{}"), 0, on_inside, &two);
	calls_forget(calls, &two);
	die(&r0);
	/* The forgotten one is not repeated. */
	assert_string_equal(r1.did, "GET /gateway/bot ;");
	result(&r1, r1.wires[0], 0, 200, 0, "{\"url\":1}");
	assert_int_equal(inside_n, 1);
	assert_string_equal(inside_body, "{\"url\":1}");
	/* No delivery, no nonce: a POST that was with a dead worker is in doubt. */
	inside_n = 0;
	calls_ask(calls, "POST", MSGS, SPAN("{}"), 0, on_inside, &two);
	die(&r1);
	run_until(inside_answered);
	assert_int_equal(inside.error, ERR_EAMBIGUOUS);
	/* Never inside calls_ask. */
	inside_n = 0;
	calls_ask(calls, "NO", "nowhere", SPAN_NONE, 0, on_inside, &one);
	assert_int_equal(inside_n, 0);
	run_until(inside_answered);
	assert_int_equal(inside.error, ERR_EINVALID);
}

/* A path as long as the table allows is told from one that differs at its end. */
static void
long_routes_compare(void **state)
{
	char	 x[2049], y[2049];

	(void)state;
	memset(x, 'x', sizeof(x));
	x[0] = '/';
	x[sizeof(x) - 1] = '\0';
	memcpy(y, x, sizeof(x));
	y[2047] = 'y';
	calls_service_up(calls, &r0);
	ask(&a, 1, 1, 1, "PUT", x);
	result(&r0, r0.wires[0], 0, 204, 0, "");
	ask(&a, 2, 1, 1, "PUT", x);
	assert_int_equal(a.error, 0);
	assert_int_equal(a.status, 204);
	ask(&a, 3, 1, 1, "PUT", y);
	assert_int_equal(a.error, ERR_EORDINAL);
}

static bool	 heard;

static void
on_limits(void *arg, const struct msg_RESULT *res)
{
	(void)arg;
	assert_int_equal(res->error, ERR_OK);
	assert_true(span_is(res->body, "{}"));
	heard = true;
}

/* A read: its worker's death gives it to the next; and no handler may ask. */
static void
limits_are_asked_of_the_active_one(void **state)
{
	(void)state;
	heard = false;
	calls_service_up(calls, &r0);
	calls_service_up(calls, &r1);
	calls_limits(calls, 5000, on_limits, &heard);
	assert_string_equal(r0.did, "LIMITS / ;");
	die(&r0);
	assert_string_equal(r1.did, "LIMITS / ;");
	result(&r1, r1.wires[0], 0, 0, 0, "{}");
	assert_true(heard);
	ask(&a, 1, 1, 0, "LIMITS", "/");
	assert_int_equal(a.error, ERR_EINVALID);
	assert_int_equal(calls_open(calls), 0);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		T(asked_then_effect),
		T(reads_are_not_journaled),
		T(spare_takes_over_in_order),
		T(doubt_is_said),
		T(nonce_is_good_for_a_minute),
		T(code_settles_doubt),
		T(only_the_suspect_is_charged),
		T(poison_after_three),
		T(restarts_charge_nobody),
		T(large_calls_are_not_kept),
		T(no_room_in_the_journal_is_waited_out),
		T(what_was_never_done_is_not_in_doubt),
		T(done_is_answered_from_the_journal),
		T(failures_are_no_effect),
		T(redelivery_meets_the_first_request),
		T(replaced_call_is_cancelled),
		T(effect_of_a_dead_worker_is_kept),
		T(unsent_calls_die_with_their_worker),
		T(wrong_calls_are_refused),
		T(gate_and_start),
		T(deadline_without_a_worker),
		T(deadline_on_the_wire),
		T(draining_hands_over),
		T(draining_ends_with_calls),
		T(none_overtakes),
		T(state_is_inherited),
		T(a_last_word_is_not_waited_for_long),
		T(the_last_ones_finish),
		T(asked_from_inside),
		T(long_routes_compare),
		T(limits_are_asked_of_the_active_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
