/*
 * testworker - see testworker.h.
 *
 * Strict where proto/README.md says what a worker must do, tolerant where it leaves a choice: a
 * delivery may be acked or handed back, a frame that makes no sense may be ignored or answered with
 * an exit.  What cannot be seen of this program (it makes no calls, it has no verbs) is skipped,
 * and the line says why.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/tables.h"
#include "proto/contract.h"
#include "supervisor/ctl/testlink.h"
#include "supervisor/ctl/testworker.h"

#define START_MS	30000	/* to READY: default of start_deadline */
#define TIMEOUT_MS	10000	/* any other answer */
#define GONE_MS		2000	/* "exit at once", on a machine with much else to do */
#define SETTLE_MS	5000
#define QUIET_MS	150	/* long enough for an answer that must not come */
#define ENV_MAX		64
#define LINES_SHOWN	6
#define CHANNEL		1100000000000000000ull
#define USER		1000000000000000001ull

enum verdict { OK, FAILED, SKIPPED };

struct test {
	struct tl_spec	 spec;
	uint64_t	 timeout_ms;
	const char	*event;
	json_t		*body;		/* object; id and channel_id are put in */
	uint64_t	 ids;
	struct tl	 tl;
	enum verdict	 verdict;
	char		 why[384];
};

/* ---- verdicts ---- */

static void __attribute__((format(printf, 2, 3)))
failed(struct test *t, const char *fmt, ...)
{
	va_list	 ap;

	if (t->verdict == FAILED)
		return;
	t->verdict = FAILED;
	va_start(ap, fmt);
	(void)vsnprintf(t->why, sizeof(t->why), fmt, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 2, 3)))
note(struct test *t, const char *fmt, ...)
{
	va_list	 ap;

	if (t->verdict != OK)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(t->why, sizeof(t->why), fmt, ap);
	va_end(ap);
}

static void
skipped(struct test *t, const char *why)
{
	if (t->verdict == FAILED)
		return;
	t->verdict = SKIPPED;
	(void)snprintf(t->why, sizeof(t->why), "%s", why);
}

/* Wait for cond; without it the check has failed, and the sentence says what was seen instead. */
static bool
await(struct test *t, bool (*cond)(const struct tl *), uint64_t ms, const char *what)
{
	char	 death[128];

	if (tl_until(&t->tl, cond, ms))
		return true;
	if (t->tl.bad[0] != '\0')
		failed(t, "%s", t->tl.bad);
	else if (t->tl.dead)
		failed(t, "no %s: it %s", what, tl_death(&t->tl, death, sizeof(death)));
	else
		failed(t, "no %s within %" PRIu64 ".%" PRIu64 " s", what, ms / 1000,
		    ms % 1000 / 100);
	return false;
}

/* ---- conditions ---- */

static bool
is_ready(const struct tl *t)
{
	return t->ready;
}

static bool
is_dead(const struct tl *t)
{
	return t->dead;
}

static bool
is_ponged(const struct tl *t)
{
	return t->pongs != 0;
}

static bool
is_told(const struct tl *t)
{
	return t->told;
}

static bool
never(const struct tl *t)
{
	(void)t;
	return false;
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

/* The first delivery has done something: a call of it is open, or it is over. */
static bool
first_moved(const struct tl *t)
{
	return t->deliveries[0].begun != 0 || t->deliveries[0].ended;
}

static bool
dead_or_ponged(const struct tl *t)
{
	return t->dead || t->pongs != 0;
}

/* ---- steps ---- */

/* Nothing may come now; what comes late and should not is found here too. */
static bool
quiet(struct test *t)
{
	(void)tl_until(&t->tl, never, QUIET_MS);
	if (t->tl.bad[0] != '\0')
		failed(t, "%s", t->tl.bad);
	return t->verdict != FAILED;
}

/* CPU time so far, in ticks; -1: it runs, or waits for the disk, or is gone. */
static long
asleep(pid_t pid)
{
	char		 path[40], text[512], *p;
	unsigned long	 user, sys;
	size_t		 n = 0;
	FILE		*f;
	char		 state;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if ((f = fopen(path, "r")) != NULL) {
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	text[n] = '\0';
	if ((p = strrchr(text, ')')) == NULL || sscanf(p + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u"
	    " %*u %*u %lu %lu", &state, &user, &sys) != 3 || state != 'S')
		return -1;
	return (long)(user + sys);
}

/*
 * Until it sleeps, as a program does that waits for HELLO: a slow one must not get it before it had
 * the time to speak too early.
 */
static void
settle(struct test *t)
{
	struct mono	 end = mono_add_ms(clock_mono(), SETTLE_MS), since = clock_mono();
	long		 was = -1, now;

	while (!t->tl.dead && t->tl.bad[0] == '\0' && mono_before(clock_mono(), end) &&
	    mono_ms_between(since, clock_mono()) < QUIET_MS) {
		(void)tl_until(&t->tl, never, 10);
		if ((now = asleep(t->tl.pid)) == -1 || now != was)
			since = clock_mono();
		was = now;
	}
}

static bool
start(struct test *t)
{
	if (tl_start(&t->tl, &t->spec) == 0)
		return true;
	failed(t, "it could not be started: %s", strerror(errno));
	return false;
}

static bool
wait_ready(struct test *t)
{
	uint64_t		 ms = t->timeout_ms > START_MS ? t->timeout_ms : START_MS;
	struct msg_SELF		 self = { .user = USER, .application = USER, .shards = 1 };

	if (!await(t, is_ready, ms, "READY"))
		return false;
	tl_send(&t->tl, MSG_SELF, &self);
	return true;
}

static bool
up(struct test *t)
{
	if (!start(t))
		return false;
	tl_hello(&t->tl, &t->spec);
	return wait_ready(t);
}

/* Does READY narrow the events so that ours is not among them?  Then nothing can be delivered. */
static bool
takes_event(struct test *t)
{
	struct msg_list_iter	 it = { buf_span(&t->tl.events), 0 };
	struct span		 name;

	if (!msg_list_more(&it))
		return true;
	while (msg_list_more(&it) && msg_list_next_str(&it, &name))
		if (span_is(name, t->event))
			return true;
	skipped(t, "its READY does not name the event; see --event");
	return false;
}

static bool
up_for_event(struct test *t)
{
	return up(t) && takes_event(t);
}

static uint64_t
new_id(struct test *t)
{
	return ((clock_wall_ms() - 1420070400000ull) << 22) + ++t->ids;
}

static void
set_id(json_t *body, const char *name, uint64_t id)
{
	char	 text[24];

	snprintf(text, sizeof(text), "%" PRIu64, id);
	json_object_set_new(body, name, json_string(text));
}

/* What gives the same event again: its body has the ids. */
struct event {
	char		*body;
	uint64_t	 delivery, key;
};

static struct event
make_event(struct test *t, uint64_t channel)
{
	struct event	 e = { .delivery = new_id(t), .key = CHANNEL + channel };

	set_id(t->body, "id", e.delivery);
	set_id(t->body, "channel_id", e.key);
	if ((e.body = json_dumps(t->body, JSON_COMPACT)) == NULL)
		errx(CTL_EXIT_FAILED, "out of memory");
	return e;
}

static struct msg_EVENT
event_msg(struct test *t, const struct event *e)
{
	struct msg_EVENT	 m = {
		.delivery = e->delivery, .attempt = 1, .flags = 1, .seq = t->ids, .key = e->key,
		.name = span_of(t->event), .body = span_of(e->body),
	};

	t->tl.deliveries[t->tl.deliveries_n++] =
	    (struct tl_delivery){ .id = e->delivery, .key = e->key };
	return m;
}

static void
give(struct test *t, uint64_t channel)
{
	struct event		 e = make_event(t, channel);
	struct msg_EVENT	 m = event_msg(t, &e);

	tl_send(&t->tl, MSG_EVENT, &m);
	free(e.body);
}

static bool
has_called(struct test *t)
{
	if (t->tl.deliveries[0].begun != 0)
		return true;
	skipped(t, "it makes no call for this event; see --event, --content, --body");
	return false;
}

/* One delivery whose calls stay open. */
static bool
hold_one(struct test *t)
{
	if (!up_for_event(t))
		return false;
	t->tl.answers = TL_HOLD;
	give(t, 0);
	return await(t, first_moved, t->timeout_ms, "CALL, ACK or NACK") && has_called(t);
}

static bool
ping(struct test *t, const char *what)
{
	static uint64_t	 cookie = 7;

	t->tl.pongs = 0;
	cookie++;
	tl_send(&t->tl, MSG_PING, &(struct msg_PING){ .cookie = cookie });
	if (!await(t, is_ponged, t->timeout_ms, what))
		return false;
	if (t->tl.pongs != cookie)
		failed(t, "PONG with the cookie %" PRIu64 ", PING had %" PRIu64, t->tl.pongs,
		    cookie);
	return t->tl.pongs == cookie;
}

/* ---- checks ---- */

static void
check_start(struct test *t)
{
	struct msg_list_iter	 it;
	struct span		 name;
	char			 text[256] = "";
	size_t			 n = 0;

	if (!start(t))
		return;
	settle(t);
	if (!quiet(t))
		return;
	if (t->tl.dead) {
		failed(t, "it did not wait for HELLO");
		return;
	}
	tl_hello(&t->tl, &t->spec);
	if (!wait_ready(t) || !quiet(t))
		return;
	for (it = (struct msg_list_iter){ buf_span(&t->tl.events), 0 }; msg_list_more(&it); n++) {
		if (!msg_list_next_str(&it, &name) || table_event(name) == NULL) {
			failed(t, "READY names an event that there is not: %.*s", (int)name.n,
			    name.p);
			return;
		}
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " %.*s", (int)name.n,
		    name.p);
	}
	note(t, "READY %" PRIu64 " ms after HELLO, for%s", t->tl.ready_ms,
	    n == 0 ? " all configured events" : text);
}

static void
check_delivery(struct test *t)
{
	const struct tl_delivery	*d = &t->tl.deliveries[0];

	if (!up_for_event(t))
		return;
	give(t, 0);
	if (!await(t, first_ended, t->timeout_ms, "ACK or NACK") || !quiet(t))
		return;
	note(t, "%s, %zu call%s", d->acked ? "ACK" : "NACK", t->tl.calls_n,
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

	if (!start(t))
		return;
	t->tl.hello = true;
	t->tl.greeted = clock_mono();
	tl_send_slowly(&t->tl, MSG_HELLO, &hello);
	if (!wait_ready(t) || !takes_event(t))
		return;
	for (int i = 0; i < 3; i++)
		e[i] = make_event(t, (uint64_t)i);
	m = event_msg(t, &e[0]);
	tl_send_slowly(&t->tl, MSG_EVENT, &m);
	for (int i = 1; i < 3; i++) {
		m = event_msg(t, &e[i]);
		tl_send(&t->tl, MSG_EVENT, &m);
	}
	for (int i = 0; i < 3; i++)
		free(e[i].body);
	(void)await(t, all_ended, t->timeout_ms, "ACK or NACK of frames that came in pieces");
}

static void
check_order(struct test *t)
{
	size_t	 last = 0, seen = 0;

	if (!up_for_event(t))
		return;
	for (int i = 0; i < 4; i++)
		give(t, 0);
	if (!await(t, all_ended, t->timeout_ms, "ACK or NACK of each of four"))
		return;
	for (size_t i = 0; i < t->tl.deliveries_n; i++) {
		if (t->tl.deliveries[i].begun == 0)
			continue;
		seen++;
		if (t->tl.deliveries[i].begun < last)
			failed(t, "of one key, number %zu began before the one ahead of it", i + 1);
		last = t->tl.deliveries[i].begun;
	}
	if (seen < 2)
		skipped(t, "it makes no calls for this event, so its order cannot be seen");
}

static void
check_parallel(struct test *t)
{
	if (!hold_one(t))
		return;
	t->tl.hold_for = t->tl.deliveries[0].id;
	give(t, 1);
	if (!await(t, second_ended, t->timeout_ms,
	    "ACK or NACK of another key while a call of the first is open") ||
	    !ping(t, "PONG while a call is open"))
		return;
	tl_release(&t->tl, ERR_OK);
	(void)await(t, all_ended, t->timeout_ms, "ACK or NACK after the RESULT");
}

static void
check_credit(struct test *t)
{
	if (!up_for_event(t))
		return;
	for (uint64_t i = 0; i < TL_CREDIT; i++)
		give(t, i);
	if (await(t, all_ended, t->timeout_ms, "ACK or NACK of each, with all of the credit used"))
		(void)quiet(t);
}

static void
check_ping(struct test *t)
{
	if (up(t) && ping(t, "PONG") && ping(t, "second PONG"))
		(void)quiet(t);
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

	if (!up_for_event(t))
		return;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		t->tl.deliveries_n = 0;
		t->tl.answers = TL_HOLD;
		give(t, i);
		if (!await(t, first_moved, t->timeout_ms, "CALL, ACK or NACK") || !has_called(t))
			return;
		tl_release(&t->tl, errors[i].error);
		t->tl.answers = TL_REFUSE;	/* should it try something else */
		if (!await(t, first_ended, t->timeout_ms, errors[i].what) || !quiet(t))
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

	if (!up_for_event(t))
		return;
	e = make_event(t, 0);
	m = event_msg(t, &e);
	tl_send(&t->tl, MSG_EVENT, &m);
	if (!await(t, first_ended, t->timeout_ms, "ACK or NACK"))
		goto out;
	for (size_t i = 0; i < t->tl.calls_n; i++)
		n += t->tl.calls[i].ordinal != 0;
	if (n == 0) {
		skipped(t, "it changes nothing for this event; see --event, --content, --body");
		goto out;
	}
	tl_kill(&t->tl);
	first = t->tl;
	if (up(t)) {
		t->tl.done = first.calls;
		t->tl.done_n = first.calls_n;
		list_effects(&effects, first.calls, first.calls_n);
		m = event_msg(t, &e);
		m.attempt = 2;
		m.effects = msg_list_of(&effects);
		tl_send(&t->tl, MSG_EVENT, &m);
		if (await(t, first_ended, t->timeout_ms, "ACK or NACK of the second attempt"))
			(void)quiet(t);
		note(t, "%zu effect%s of the first attempt, none new", n, n == 1 ? "" : "s");
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

	if (!hold_one(t))
		return;
	m.id = new_id(t);
	tl_send(&t->tl, MSG_CANCEL, &m);	/* of nothing that it has: it may be late */
	m.id = t->tl.deliveries[0].id;
	tl_send(&t->tl, MSG_CANCEL, &m);
	t->tl.answers = TL_SUCCEED;		/* a last word is allowed */
	if (!await(t, first_ended, t->timeout_ms, "ACK or NACK after CANCEL"))
		return;
	tl_release(&t->tl, ERR_ECANCELLED);	/* the late RESULT */
	if (quiet(t))
		(void)ping(t, "PONG after a cancelled delivery");
}

static void
check_deadline(struct test *t)
{
	struct msg_CANCEL	 m = { .kind = 0 };

	if (!hold_one(t))
		return;
	tl_release(&t->tl, ERR_EDEADLINE);
	m.id = t->tl.deliveries[0].id;
	tl_send(&t->tl, MSG_CANCEL, &m);
	if (await(t, first_ended, t->timeout_ms, "ACK or NACK after its deadline"))
		(void)quiet(t);
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
	return await(t, is_told, t->timeout_ms, what) && quiet(t);
}

static void
check_verbs(struct test *t)
{
	struct msg_list_iter	 it;
	struct span		 verb, help;
	char			 what[96];
	size_t			 n = 0;

	if (!up(t))
		return;
	it = (struct msg_list_iter){ buf_span(&t->tl.verbs), 0 };
	for (; msg_list_more(&it); n++) {
		if (!msg_list_next_str(&it, &verb) || !msg_list_next_str(&it, &help)) {
			failed(t, "READY: a verb or its help is not text");
			return;
		}
		snprintf(what, sizeof(what), "RESULT of the verb %.*s", (int)verb.n, verb.p);
		if (!ask_verb(t, verb, what))
			return;
	}
	if (n == 0)
		skipped(t, "its READY names none");
	else if (ask_verb(t, SPAN("no-such-verb"), "RESULT of a verb that it has not") &&
	    t->tl.told_error == ERR_OK)
		failed(t, "a verb that it has not was answered with OK");
	else
		note(t, "%zu answered", n);
}

static void
must_exit_ok(struct test *t, const char *what)
{
	char	 death[128];

	if (!await(t, is_dead, TL_FINISH_MS + TL_LAST_WORD_MS, what))
		return;
	if (!WIFEXITED(t->tl.status) || WEXITSTATUS(t->tl.status) != CONTRACT_EXIT_OK)
		failed(t, "after DRAIN it %s, not with 0",
		    tl_death(&t->tl, death, sizeof(death)));
}

static void
check_drain(struct test *t)
{
	struct msg_DRAIN	 m = { TL_FINISH_MS, TL_LAST_WORD_MS };
	char			 death[128];

	if (!up(t))
		return;
	tl_send(&t->tl, MSG_DRAIN, &m);
	must_exit_ok(t, "exit after DRAIN with nothing open");
	if (t->verdict == FAILED)
		return;
	tl_end(&t->tl);
	if (!hold_one(t)) {
		if (t->verdict == SKIPPED) {	/* the first half was seen */
			t->verdict = OK;
			note(t, "with nothing open; it makes no calls to wait for");
		}
		return;
	}
	tl_send(&t->tl, MSG_DRAIN, &m);
	(void)quiet(t);
	if (t->tl.dead && !all_ended(&t->tl)) {
		failed(t, "after DRAIN it %s with a delivery open",
		    tl_death(&t->tl, death, sizeof(death)));
		return;
	}
	tl_release(&t->tl, ERR_OK);
	if (await(t, first_ended, TL_FINISH_MS + TL_LAST_WORD_MS,
	    "ACK or NACK of what was open at DRAIN"))
		must_exit_ok(t, "exit after DRAIN");
}

static void
check_eof(struct test *t)
{
	if (!up(t))
		return;
	tl_close(&t->tl);
	if (!await(t, is_dead, GONE_MS, "exit after the end of the link"))
		return;
	if (WIFSIGNALED(t->tl.status))
		failed(t, "it was killed by signal %d at the end of the link",
		    WTERMSIG(t->tl.status));
	tl_end(&t->tl);
	if (!hold_one(t)) {
		if (t->verdict == SKIPPED) {
			t->verdict = OK;
			note(t, "with nothing open; it makes no calls to wait for");
		}
		return;
	}
	tl_close(&t->tl);
	(void)await(t, is_dead, GONE_MS, "exit after the end of the link with a call open");
}

/* Ignored or answered with an exit, but neither a crash nor a program that hangs. */
static void
nonsense(struct test *t, const void *bytes, size_t n)
{
	if (!up(t))
		return;
	tl_raw(&t->tl, bytes, n);
	tl_send(&t->tl, MSG_PING, &(struct msg_PING){ .cookie = 1 });
	if (!await(t, dead_or_ponged, t->timeout_ms, "exit and no PONG after it"))
		return;
	if (!t->tl.dead)
		note(t, "it goes on");
	else if (WIFSIGNALED(t->tl.status))
		failed(t, "it was killed by signal %d (%s)", WTERMSIG(t->tl.status),
		    strsignal(WTERMSIG(t->tl.status)));
	else
		note(t, "it exits with status %d", WEXITSTATUS(t->tl.status));
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
	if (!up(t))
		return;
	tl_raw(&t->tl, "\xff\xff\xff\xff\x94\x10", 6);
	if (tl_until(&t->tl, is_dead, QUIET_MS)) {
		if (WIFSIGNALED(t->tl.status))
			failed(t, "it was killed by signal %d (%s)", WTERMSIG(t->tl.status),
			    strsignal(WTERMSIG(t->tl.status)));
		else
			note(t, "it exits with status %d", WEXITSTATUS(t->tl.status));
		return;
	}
	tl_close(&t->tl);
	if (await(t, is_dead, GONE_MS, "exit after an endless frame and the end of the link"))
		note(t, "it waits for the rest, and hears the end of the link");
}

static const struct check {
	const char	*name;
	void		(*run)(struct test *);
	const char	*help;
} checks[] = {
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
#define CHECKS_N	(sizeof(checks) / sizeof(checks[0]))

/* ---- what is printed ---- */

static const char *const	 verdicts[] = { "ok", "failed", "skipped" };

/* The last lines that it wrote itself; borrowed from dst. */
static const char *
last_lines(const struct tl *t, char *dst, size_t dst_bytes)
{
	off_t	 end = t->err_fd == -1 ? 0 : lseek(t->err_fd, 0, SEEK_END);
	off_t	 at = end > (off_t)dst_bytes - 1 ? end - (off_t)dst_bytes + 1 : 0;
	ssize_t	 n = end <= 0 ? 0 : pread(t->err_fd, dst, dst_bytes - 1, at);
	char	*p;
	int	 lines = 0;

	n = n < 0 ? 0 : n;
	while (n > 0 && dst[n - 1] == '\n')
		n--;
	dst[n] = '\0';
	for (p = dst + n; p > dst; p--)
		if (p[-1] == '\n' && ++lines == LINES_SHOWN)
			break;
	return p;
}

static void
print_check(const struct check *c, const struct test *t)
{
	char	 text[4096];
	char	*line, *rest;

	printf("%-8s %-10s%s%s\n", verdicts[t->verdict], c->name, t->why[0] == '\0' ? "" : " ",
	    t->why);
	if (t->verdict != FAILED)
		return;
	rest = (char *)(uintptr_t)last_lines(&t->tl, text, sizeof(text));
	while ((line = strsep(&rest, "\n")) != NULL)
		if (*line != '\0')
			printf("         | %s\n", line);
}

static void
list_check(json_t *list, const struct check *c, const struct test *t, uint64_t ms)
{
	char	 text[4096];
	json_t	*o;

	o = json_pack("{s:s, s:s, s:s, s:I}", "name", c->name, "result", verdicts[t->verdict],
	    "why", t->why, "ms", (json_int_t)ms);
	if (o == NULL)		/* bytes of the program that are not UTF-8 */
		o = json_pack("{s:s, s:s, s:s, s:I}", "name", c->name, "result",
		    verdicts[t->verdict], "why", "?", "ms", (json_int_t)ms);
	if (t->verdict == FAILED)
		json_object_set_new(o, "stderr",
		    json_string(last_lines(&t->tl, text, sizeof(text))));
	json_array_append_new(list, o);
}

void
testworker_help(FILE *f)
{
	fputs("usage: bulkheadctl [-j] test-worker [OPTIONS] [--] PROGRAM [ARGUMENTS]\n"
	    "Does a program keep the protocol of workers?  Plays the supervisor; none has to run.\n"
	    "The program is started anew for each check:\n\n", f);
	for (size_t i = 0; i < CHECKS_N; i++)
		fprintf(f, "  %-10s %s\n", checks[i].name, checks[i].help);
	fputs("\noptions:\n"
	    "      --only NAME,...     these checks alone\n"
	    "      --timeout SECS      longest wait for one answer (default 10)\n"
	    "      --event NAME        the event that is given (default MESSAGE_CREATE)\n"
	    "      --content TEXT      what the message says (default !ping)\n"
	    "      --body JSON         the body of the event; id and channel_id are put in\n"
	    "      --role NAME         role in HELLO (default: the program's name)\n"
	    "      --option NAME=VALUE option in HELLO; may be repeated\n"
	    "      --env NAME=VALUE    more of an environment; may be repeated\n\n"
	    "exit status: 0 nothing failed, 1 something did, 64 usage\n", f);
}

/* ---- the run ---- */

static json_t *
make_body(const char *text, const char *content)
{
	json_error_t	 error;
	json_t		*body;
	char		 stamp[40];

	if (text != NULL) {
		body = json_loads(text, 0, &error);
		if (body == NULL)
			errx(CTL_EXIT_USAGE, "--body is not a JSON object: %s", error.text);
		if (json_is_object(body))
			return body;
		json_decref(body);
		errx(CTL_EXIT_USAGE, "--body is not a JSON object: it is something else");
	}
	(void)clock_iso(clock_wall_ms(), stamp, sizeof(stamp));
	body = json_pack("{s:i, s:s, s:s, s:n, s:b, s:b, s:[], s:[], s:[], s:[], s:b, s:i,"
	    " s:{s:s, s:s, s:s, s:n, s:n}}", "type", 0, "content", content, "timestamp", stamp,
	    "edited_timestamp", "tts", 0, "mention_everyone", 0, "mentions", "mention_roles",
	    "attachments", "embeds", "pinned", 0, "flags", 0, "author", "id",
	    "1000000000000000002", "username", "tester", "discriminator", "0", "global_name",
	    "avatar");
	if (body == NULL)
		errx(CTL_EXIT_USAGE, "--content is not UTF-8");
	return body;
}

static bool
is_chosen(const char *only, const char *name)
{
	size_t	 n;

	for (; only != NULL && *only != '\0'; only += n + strspn(only + n, ",")) {
		n = strcspn(only, ",");
		if (strlen(name) == n && strncmp(only, name, n) == 0)
			return true;
	}
	return only == NULL;
}

static void
check_names(const char *only)
{
	char	*copy = mem_strdup(only), *rest = copy, *name;
	size_t	 i;

	while ((name = strsep(&rest, ",")) != NULL) {
		for (i = 0; i < CHECKS_N && strcmp(name, checks[i].name) != 0; i++)
			continue;
		if (i == CHECKS_N)
			errx(CTL_EXIT_USAGE, "no check is called '%s'; see"
			    " 'bulkheadctl help test-worker'", name);
	}
	free(copy);
}

static int
run(struct test *t, const char *only, bool json)
{
	size_t		 n[3] = { 0 };
	json_t		*list = json_array(), *doc;
	struct mono	 began;

	for (size_t i = 0; i < CHECKS_N; i++) {
		if (!is_chosen(only, checks[i].name))
			continue;
		began = clock_mono();
		t->verdict = OK;
		t->why[0] = '\0';
		checks[i].run(t);
		tl_kill(&t->tl);
		n[t->verdict]++;
		if (json)
			list_check(list, &checks[i], t, mono_ms_between(began, clock_mono()));
		else
			print_check(&checks[i], t);
		(void)fflush(stdout);
		tl_end(&t->tl);
	}
	doc = json_pack("{s:s, s:o, s:I, s:I, s:I}", "program", t->spec.argv[0], "checks", list,
	    "ok", (json_int_t)n[OK], "failed", (json_int_t)n[FAILED],
	    "skipped", (json_int_t)n[SKIPPED]);
	if (json && doc != NULL) {
		json_dumpf(doc, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (!json) {
		printf("%zu ok, %zu failed, %zu skipped\n", n[OK], n[FAILED], n[SKIPPED]);
	}
	json_decref(doc);
	return n[FAILED] == 0 ? CTL_EXIT_OK : CTL_EXIT_FAILED;
}

static void
add_option(struct buf *options, const char *text)
{
	size_t	 n = strcspn(text, "=");

	if (n == 0 || text[n] == '\0')
		errx(CTL_EXIT_USAGE, "--option %s is not NAME=VALUE", text);
	msg_list_str(options, span_make(text, n));
	msg_list_str(options, span_of(text + n + 1));
}

int
testworker_main(int argc, char **argv, bool json)
{
	enum { OPT_ONLY = 256, OPT_TIMEOUT, OPT_EVENT, OPT_CONTENT, OPT_BODY, OPT_ROLE, OPT_OPTION,
	    OPT_ENV };
	static const struct option longs[] = {
		{ "only", required_argument, NULL, OPT_ONLY },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "event", required_argument, NULL, OPT_EVENT },
		{ "content", required_argument, NULL, OPT_CONTENT },
		{ "body", required_argument, NULL, OPT_BODY },
		{ "role", required_argument, NULL, OPT_ROLE },
		{ "option", required_argument, NULL, OPT_OPTION },
		{ "env", required_argument, NULL, OPT_ENV },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	static struct test	 t;
	const char		*only = NULL, *body = NULL, *content = "!ping", *bad, *slash;
	char			*env[ENV_MAX], role[65];
	struct buf		 options = { 0 };
	int			 ch, status;

	t.timeout_ms = TIMEOUT_MS;
	t.event = "MESSAGE_CREATE";
	optind = 0;		/* main has used it for its own */
	while ((ch = getopt_long(argc, argv, "+jh", longs, NULL)) != -1) {
		switch (ch) {
		case OPT_ONLY:
			check_names(only = optarg);
			break;
		case OPT_TIMEOUT:
			t.timeout_ms = (uint64_t)strtonum(optarg, 1, 3600, &bad) * 1000;
			if (bad != NULL)
				errx(CTL_EXIT_USAGE, "--timeout %s: %s", optarg, bad);
			break;
		case OPT_EVENT:
			if (table_event(span_of(optarg)) == NULL)
				errx(CTL_EXIT_USAGE, "--event %s: see bulkheadd -x events", optarg);
			t.event = optarg;
			break;
		case OPT_CONTENT:
			content = optarg;
			break;
		case OPT_BODY:
			body = optarg;
			break;
		case OPT_ROLE:
			t.spec.role = optarg;
			break;
		case OPT_OPTION:
			add_option(&options, optarg);
			break;
		case OPT_ENV:
			if (strchr(optarg, '=') == NULL || t.spec.env_n == ENV_MAX)
				errx(CTL_EXIT_USAGE, "--env %s is not NAME=VALUE, or one too many",
				    optarg);
			env[t.spec.env_n++] = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			testworker_help(stdout);
			return CTL_EXIT_OK;
		default:
			fputs("see 'bulkheadctl help test-worker'\n", stderr);
			return CTL_EXIT_USAGE;
		}
	}
	if (optind == argc) {
		testworker_help(stderr);
		return CTL_EXIT_USAGE;
	}
	t.spec.argv = argv + optind;
	t.spec.env = env;
	slash = strrchr(argv[optind], '/');
	(void)strlcpy(role, t.spec.role != NULL ? t.spec.role :
	    slash != NULL ? slash + 1 : argv[optind], sizeof(role));
	t.spec.role = role;
	t.spec.options = msg_list_of(&options);
	t.body = make_body(body, content);
	(void)signal(SIGPIPE, SIG_IGN);
	status = run(&t, only, json);
	json_decref(t.body);
	buf_fini(&options);
	return status;
}
