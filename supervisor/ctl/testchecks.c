/*
 * testchecks - see testchecks.h.
 *
 * Strict where proto/README.md says what a worker must do, tolerant where it leaves a choice: a
 * delivery may be acked or handed back, a frame that makes no sense may be ignored or answered with
 * an exit.  What cannot be seen of this program (it makes no calls, it has no verbs) is skipped,
 * and the line says why.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "common/tables.h"
#include "proto/contract.h"
#include "supervisor/ctl/testchecks.h"

#define GONE_MS		2000	/* "exit at once", on a machine with much else to do */

/* ---- conditions ---- */

static bool
is_dead(const struct tl *t)
{
	return t->dead;
}

static bool
is_told(const struct tl *t)
{
	return t->told;
}

static bool
all_ended(const struct tl *t)
{
	for (size_t i = 0; i < t->deliveries_n; i++)
		if (!t->deliveries[i].ended)
			return false;
	return true;
}

static bool
first_ended(const struct tl *t)
{
	return t->deliveries[0].ended;
}

static bool
second_ended(const struct tl *t)
{
	return t->deliveries[1].ended;
}

static bool
dead_or_ponged(const struct tl *t)
{
	return t->dead || t->pongs != 0;
}

/* ---- checks ---- */

static void
check_start(struct test *t)
{
	struct msg_list_iter	 it;
	struct span		 name;
	char			 text[256] = "";
	size_t			 n = 0;

	if (!test_start(t))
		return;
	test_settle(t);
	if (!test_quiet(t))
		return;
	if (t->tl.dead) {
		test_failed(t, "it did not wait for HELLO");
		return;
	}
	tl_hello(&t->tl, &t->spec);
	if (!test_wait_ready(t) || !test_quiet(t))
		return;
	for (it = (struct msg_list_iter){ buf_span(&t->tl.events), 0 }; msg_list_more(&it); n++) {
		if (!msg_list_next_str(&it, &name) || table_event(name) == NULL) {
			test_failed(t, "READY names an event that there is not: %.*s", (int)name.n,
			    name.p);
			return;
		}
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " %.*s", (int)name.n,
		    name.p);
	}
	test_note(t, "READY %" PRIu64 " ms after HELLO, for%s", t->tl.ready_ms,
	    n == 0 ? " all configured events" : text);
}

static void
check_delivery(struct test *t)
{
	const struct tl_delivery	*d = &t->tl.deliveries[0];

	if (!test_up_for_event(t))
		return;
	test_give(t, 0);
	if (!test_await(t, first_ended, t->timeout_ms, "ACK or NACK") || !test_quiet(t))
		return;
	test_note(t, "%s, %zu call%s", d->acked ? "ACK" : "NACK", t->tl.calls_n,
	    t->tl.calls_n == 1 ? "" : "s");
}

static void
check_pieces(struct test *t)
{
	struct event		 e[3];
	struct msg_EVENT	 m;
	struct msg_HELLO	 hello = {
		.version = PROTO_VERSION, .role = span_of(t->spec.role), .pool = SPAN(TL_POOL),
		.generation = 1, .credit = TL_CREDIT, .hang_ms = 10000,
		.options = t->spec.options,
	};

	if (!test_start(t))
		return;
	t->tl.hello = true;
	t->tl.greeted = clock_mono();
	tl_send_slowly(&t->tl, MSG_HELLO, &hello);
	if (!test_wait_ready(t) || !test_takes_event(t))
		return;
	for (int i = 0; i < 3; i++)
		e[i] = test_make_event(t, (uint64_t)i);
	m = test_event_msg(t, &e[0]);
	tl_send_slowly(&t->tl, MSG_EVENT, &m);
	for (int i = 1; i < 3; i++) {
		m = test_event_msg(t, &e[i]);
		tl_send(&t->tl, MSG_EVENT, &m);
	}
	for (int i = 0; i < 3; i++)
		free(e[i].body);
	(void)test_await(t, all_ended, t->timeout_ms, "ACK or NACK of frames that came in pieces");
}

static void
check_order(struct test *t)
{
	size_t	 last = 0, seen = 0;

	if (!test_up_for_event(t))
		return;
	for (int i = 0; i < 4; i++)
		test_give(t, 0);
	if (!test_await(t, all_ended, t->timeout_ms, "ACK or NACK of each of four"))
		return;
	for (size_t i = 0; i < t->tl.deliveries_n; i++) {
		if (t->tl.deliveries[i].begun == 0)
			continue;
		seen++;
		if (t->tl.deliveries[i].begun < last)
			test_failed(t, "of one key, number %zu began before the one ahead of it", i + 1);
		last = t->tl.deliveries[i].begun;
	}
	if (seen < 2)
		test_skipped(t, "it makes no calls for this event, so its order cannot be seen");
}

static void
check_parallel(struct test *t)
{
	if (!test_hold_one(t))
		return;
	t->tl.hold_for = t->tl.deliveries[0].id;
	test_give(t, 1);
	if (!test_await(t, second_ended, t->timeout_ms,
	    "ACK or NACK of another key while a call of the first is open") ||
	    !test_ping(t, "PONG while a call is open"))
		return;
	tl_release(&t->tl, ERR_OK);
	(void)test_await(t, all_ended, t->timeout_ms, "ACK or NACK after the RESULT");
}

static void
check_credit(struct test *t)
{
	if (!test_up_for_event(t))
		return;
	for (uint64_t i = 0; i < TL_CREDIT; i++)
		test_give(t, i);
	if (test_await(t, all_ended, t->timeout_ms, "ACK or NACK of each, with all of the credit used"))
		(void)test_quiet(t);
}

static void
check_ping(struct test *t)
{
	if (test_up(t) && test_ping(t, "PONG") && test_ping(t, "second PONG"))
		(void)test_quiet(t);
}

static void
check_errors(struct test *t)
{
	static const struct {
		uint64_t	 error;
		const char	*what;
	} errors[] = {
		{ ERR_EHTTP, "ACK or NACK after a RESULT with status 403" },
		{ ERR_ETRANSPORT, "ACK or NACK after a RESULT with ETRANSPORT" },
		{ ERR_EAMBIGUOUS, "ACK or NACK after a RESULT with EAMBIGUOUS" },
	};

	if (!test_up_for_event(t))
		return;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		t->tl.deliveries_n = 0;
		t->tl.answers = TL_HOLD;
		test_give(t, i);
		if (!test_called(t))
			return;
		tl_release(&t->tl, errors[i].error);
		t->tl.answers = TL_REFUSE;	/* should it try something else */
		if (!test_await(t, first_ended, t->timeout_ms, errors[i].what) || !test_quiet(t))
			return;
	}
}

/* The effects that the first attempt had, as EVENT lists them. */
static void
list_effects(struct buf *b, const struct tl_call *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (calls[i].ordinal == 0 || calls[i].stream)
			continue;
		msg_list_u64(b, calls[i].ordinal);
		msg_list_str(b, span_of(calls[i].route));
		msg_list_u64(b, 1);
		msg_list_u64(b, 200);
		msg_list_u64(b, calls[i].id);
	}
}

/* Killed after its effects were done and before its ACK: what the next process does about it. */
static void
check_repeat(struct test *t)
{
	struct event		 e = { .body = NULL };
	struct msg_EVENT	 m;
	struct tl		 first;
	struct buf		 effects = { 0 };
	size_t			 n = 0;

	if (!test_up_for_event(t))
		return;
	e = test_make_event(t, 0);
	m = test_event_msg(t, &e);
	tl_send(&t->tl, MSG_EVENT, &m);
	if (!test_await(t, first_ended, t->timeout_ms, "ACK or NACK"))
		goto out;
	for (size_t i = 0; i < t->tl.calls_n; i++)
		n += t->tl.calls[i].ordinal != 0;
	if (n == 0) {
		test_skipped(t, "it changes nothing for this event; see --event, --content, --body");
		goto out;
	}
	tl_kill(&t->tl);
	first = t->tl;
	if (test_up(t)) {
		t->tl.done = first.calls;
		t->tl.done_n = first.calls_n;
		list_effects(&effects, first.calls, first.calls_n);
		m = test_event_msg(t, &e);
		m.attempt = 2;
		m.effects = msg_list_of(&effects);
		tl_send(&t->tl, MSG_EVENT, &m);
		if (test_await(t, first_ended, t->timeout_ms, "ACK or NACK of the second attempt"))
			(void)test_quiet(t);
		test_note(t, "%zu effect%s of the first attempt, none new", n, n == 1 ? "" : "s");
		buf_fini(&effects);
	}
	tl_end(&first);
out:
	free(e.body);
}

static void
check_cancel(struct test *t)
{
	struct msg_CANCEL	 m = { .kind = 0 };

	if (!test_hold_one(t))
		return;
	m.id = test_new_id(t);
	tl_send(&t->tl, MSG_CANCEL, &m);	/* of nothing that it has: it may be late */
	m.id = t->tl.deliveries[0].id;
	tl_send(&t->tl, MSG_CANCEL, &m);
	t->tl.answers = TL_SUCCEED;		/* a last word is allowed */
	if (!test_await(t, first_ended, t->timeout_ms, "ACK or NACK after CANCEL"))
		return;
	tl_release(&t->tl, ERR_ECANCELLED);	/* the late RESULT */
	if (test_quiet(t))
		(void)test_ping(t, "PONG after a cancelled delivery");
}

static void
check_deadline(struct test *t)
{
	struct msg_CANCEL	 m = { .kind = 0 };

	if (!test_hold_one(t))
		return;
	tl_release(&t->tl, ERR_EDEADLINE);
	m.id = t->tl.deliveries[0].id;
	tl_send(&t->tl, MSG_CANCEL, &m);
	if (test_await(t, first_ended, t->timeout_ms, "ACK or NACK after its deadline"))
		(void)test_quiet(t);
}

static bool
ask_verb(struct test *t, struct span verb, const char *what)
{
	struct msg_CALL	 m = {
		.service = SPAN(TL_POOL), .deadline_ms = t->timeout_ms, .verb = verb,
		.call = t->tl.asked + 1,
	};

	t->tl.asked = m.call;
	t->tl.told = false;
	tl_send(&t->tl, MSG_CALL, &m);
	return test_await(t, is_told, t->timeout_ms, what) && test_quiet(t);
}

static void
check_verbs(struct test *t)
{
	struct msg_list_iter	 it;
	struct span		 verb, help;
	char			 what[96];
	size_t			 n = 0;

	if (!test_up(t))
		return;
	it = (struct msg_list_iter){ buf_span(&t->tl.verbs), 0 };
	for (; msg_list_more(&it); n++) {
		if (!msg_list_next_str(&it, &verb) || !msg_list_next_str(&it, &help)) {
			test_failed(t, "READY: a verb or its help is not text");
			return;
		}
		snprintf(what, sizeof(what), "RESULT of the verb %.*s", (int)verb.n, verb.p);
		if (!ask_verb(t, verb, what))
			return;
	}
	if (n == 0)
		test_skipped(t, "its READY names none");
	else if (ask_verb(t, SPAN("no-such-verb"), "RESULT of a verb that it has not") &&
	    t->tl.told_error == ERR_OK)
		test_failed(t, "a verb that it has not was answered with OK");
	else
		test_note(t, "%zu answered", n);
}

static void
must_exit_ok(struct test *t, const char *what)
{
	char	 death[128];

	if (!test_await(t, is_dead, TL_FINISH_MS + TL_LAST_WORD_MS, what))
		return;
	if (!WIFEXITED(t->tl.status) || WEXITSTATUS(t->tl.status) != CONTRACT_EXIT_OK)
		test_failed(t, "after DRAIN it %s, not with 0",
		    tl_death(&t->tl, death, sizeof(death)));
}

static void
check_drain(struct test *t)
{
	struct msg_DRAIN	 m = { TL_FINISH_MS, TL_LAST_WORD_MS };
	char			 death[128];

	if (!test_up(t))
		return;
	tl_send(&t->tl, MSG_DRAIN, &m);
	must_exit_ok(t, "exit after DRAIN with nothing open");
	if (t->verdict == FAILED)
		return;
	tl_end(&t->tl);
	if (!test_hold_one(t)) {
		if (t->verdict == SKIPPED) {	/* the first half was seen */
			t->verdict = OK;
			test_note(t, "with nothing open; it makes no calls to wait for");
		}
		return;
	}
	tl_send(&t->tl, MSG_DRAIN, &m);
	(void)test_quiet(t);
	if (t->tl.dead && !all_ended(&t->tl)) {
		test_failed(t, "after DRAIN it %s with a delivery open",
		    tl_death(&t->tl, death, sizeof(death)));
		return;
	}
	tl_release(&t->tl, ERR_OK);
	if (test_await(t, first_ended, TL_FINISH_MS + TL_LAST_WORD_MS,
	    "ACK or NACK of what was open at DRAIN"))
		must_exit_ok(t, "exit after DRAIN");
}

static void
check_eof(struct test *t)
{
	if (!test_up(t))
		return;
	tl_close(&t->tl);
	if (!test_await(t, is_dead, GONE_MS, "exit after the end of the link"))
		return;
	if (WIFSIGNALED(t->tl.status))
		test_failed(t, "it was killed by signal %d at the end of the link",
		    WTERMSIG(t->tl.status));
	tl_end(&t->tl);
	if (!test_hold_one(t)) {
		if (t->verdict == SKIPPED) {
			t->verdict = OK;
			test_note(t, "with nothing open; it makes no calls to wait for");
		}
		return;
	}
	tl_close(&t->tl);
	(void)test_await(t, is_dead, GONE_MS, "exit after the end of the link with a call open");
}

/* Ignored or answered with an exit, but neither a crash nor a program that hangs. */
static void
nonsense(struct test *t, const void *bytes, size_t n)
{
	if (!test_up(t))
		return;
	tl_raw(&t->tl, bytes, n);
	tl_send(&t->tl, MSG_PING, &(struct msg_PING){ .cookie = 1 });
	if (!test_await(t, dead_or_ponged, t->timeout_ms, "exit and no PONG after it"))
		return;
	if (!t->tl.dead)
		test_note(t, "it goes on");
	else if (WIFSIGNALED(t->tl.status))
		test_failed(t, "it was killed by signal %d (%s)", WTERMSIG(t->tl.status),
		    strsignal(WTERMSIG(t->tl.status)));
	else
		test_note(t, "it exits with status %d", WEXITSTATUS(t->tl.status));
}

static void
check_garbage(struct test *t)
{
	/* A length, then what is no msgpack; then an array that claims 4 G of members. */
	nonsense(t, "\x00\x00\x00\x04\xc1\xc1\xc1\xc1\x00\x00\x00\x05\xdd\xff\xff\xff\xff", 17);
}

static void
check_unknown(struct test *t)
{
	nonsense(t, "\x00\x00\x00\x03\x92\x7f\x01", 7);	/* [127, 1] */
}

/* A frame that will never be complete: there is nothing to go on with, but the end is heard. */
static void
check_oversize(struct test *t)
{
	if (!test_up(t))
		return;
	tl_raw(&t->tl, "\xff\xff\xff\xff\x94\x10", 6);
	if (tl_until(&t->tl, is_dead, QUIET_MS)) {
		if (WIFSIGNALED(t->tl.status))
			test_failed(t, "it was killed by signal %d (%s)", WTERMSIG(t->tl.status),
			    strsignal(WTERMSIG(t->tl.status)));
		else
			test_note(t, "it exits with status %d", WEXITSTATUS(t->tl.status));
		return;
	}
	tl_close(&t->tl);
	if (test_await(t, is_dead, GONE_MS, "exit after an endless frame and the end of the link"))
		test_note(t, "it waits for the rest, and hears the end of the link");
}

const struct check	 checks[] = {
	{ "start", check_start, "waits for HELLO, builds what it needs, says READY within 30 s" },
	{ "delivery", check_delivery, "one EVENT, exactly one ACK or NACK, nothing after it" },
	{ "pieces", check_pieces, "frames that come in pieces, and several at once" },
	{ "order", check_order, "events of one key begin in order" },
	{ "parallel", check_parallel, "another key does not wait; PING is answered meanwhile" },
	{ "credit", check_credit, "as many at once as its credit allows" },
	{ "ping", check_ping, "PONG with the cookie of PING" },
	{ "errors", check_errors, "a call that fails ends its delivery, not the program" },
	{ "repeat", check_repeat, "given again after a crash it does nothing a second time" },
	{ "cancel", check_cancel, "CANCEL ends a delivery; the RESULT that comes late is let be" },
	{ "deadline", check_deadline, "EDEADLINE and CANCEL together end it once" },
	{ "verbs", check_verbs, "each verb of READY has one RESULT" },
	{ "drain", check_drain, "DRAIN: finishes what is open, exits with 0" },
	{ "eof", check_eof, "the end of the link ends it at once" },
	{ "oversize", check_oversize, "a frame above the cap" },
	{ "garbage", check_garbage, "frames that are no message" },
	{ "unknown", check_unknown, "a message that it does not know" },
};

const size_t	 checks_n = sizeof(checks) / sizeof(checks[0]);
