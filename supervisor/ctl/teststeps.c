/*
 * teststeps - see teststeps.h.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/contract.h"
#include "supervisor/ctl/teststeps.h"

#define START_MS	30000	/* to READY: default of start_deadline */
#define SETTLE_MS	5000
#define CHANNEL		1100000000000000000ull
#define USER		1000000000000000001ull

/* ---- verdicts ---- */

void
test_failed(struct test *t, const char *fmt, ...)
{
	va_list	 ap;

	if (t->verdict == FAILED)
		return;
	t->verdict = FAILED;
	va_start(ap, fmt);
	(void)vsnprintf(t->why, sizeof(t->why), fmt, ap);
	va_end(ap);
}

void
test_note(struct test *t, const char *fmt, ...)
{
	va_list	 ap;

	if (t->verdict != OK)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(t->why, sizeof(t->why), fmt, ap);
	va_end(ap);
}

void
test_skipped(struct test *t, const char *why)
{
	if (t->verdict == FAILED)
		return;
	t->verdict = SKIPPED;
	(void)snprintf(t->why, sizeof(t->why), "%s", why);
}

bool
test_await(struct test *t, bool (*cond)(const struct tl *), uint64_t ms, const char *what)
{
	char	 death[128];

	if (tl_until(&t->tl, cond, ms))
		return true;
	if (t->tl.bad[0] != '\0')
		test_failed(t, "%s", t->tl.bad);
	else if (t->tl.dead)
		test_failed(t, "no %s: it %s", what, tl_death(&t->tl, death, sizeof(death)));
	else
		test_failed(t, "no %s within %" PRIu64 ".%" PRIu64 " s", what, ms / 1000,
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
is_ponged(const struct tl *t)
{
	return t->pongs != 0;
}

static bool
never(const struct tl *t)
{
	(void)t;
	return false;
}

/* The first delivery has done something: a call of it is open, or it is over. */
static bool
first_moved(const struct tl *t)
{
	return t->deliveries[0].begun != 0 || t->deliveries[0].ended;
}

/* ---- steps ---- */

bool
test_quiet(struct test *t)
{
	(void)tl_until(&t->tl, never, QUIET_MS);
	if (t->tl.bad[0] != '\0')
		test_failed(t, "%s", t->tl.bad);
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

void
test_settle(struct test *t)
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

bool
test_start(struct test *t)
{
	if (tl_start(&t->tl, &t->spec) == 0)
		return true;
	test_failed(t, "it could not be started: %s", strerror(errno));
	return false;
}

bool
test_wait_ready(struct test *t)
{
	uint64_t		 ms = t->timeout_ms > START_MS ? t->timeout_ms : START_MS;
	struct msg_SELF		 self = { .user = USER, .application = USER, .shards = 1 };

	if (!test_await(t, is_ready, ms, "READY"))
		return false;
	tl_send(&t->tl, MSG_SELF, &self);
	return true;
}

bool
test_up(struct test *t)
{
	if (!test_start(t))
		return false;
	tl_hello(&t->tl, &t->spec);
	return test_wait_ready(t);
}

/* Does READY narrow the events so that ours is not among them?  Then nothing can be delivered. */
bool
test_takes_event(struct test *t)
{
	struct msg_list_iter	 it = { buf_span(&t->tl.events), 0 };
	struct span		 name;

	if (!msg_list_more(&it))
		return true;
	while (msg_list_more(&it) && msg_list_next_str(&it, &name))
		if (span_is(name, t->event))
			return true;
	test_skipped(t, "its READY does not name the event; see --event");
	return false;
}

bool
test_up_for_event(struct test *t)
{
	return test_up(t) && test_takes_event(t);
}

uint64_t
test_new_id(struct test *t)
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

struct event
test_make_event(struct test *t, uint64_t channel)
{
	struct event	 e = { .delivery = test_new_id(t), .key = CHANNEL + channel };

	set_id(t->body, "id", e.delivery);
	set_id(t->body, "channel_id", e.key);
	if ((e.body = json_dumps(t->body, JSON_COMPACT)) == NULL)
		errx(CTL_EXIT_FAILED, "out of memory");
	return e;
}

struct msg_EVENT
test_event_msg(struct test *t, const struct event *e)
{
	struct msg_EVENT	 m = {
		.delivery = e->delivery, .attempt = 1, .flags = 1, .seq = t->ids, .key = e->key,
		.name = span_of(t->event), .body = span_of(e->body),
	};

	t->tl.deliveries[t->tl.deliveries_n++] =
	    (struct tl_delivery){ .id = e->delivery, .key = e->key };
	return m;
}

void
test_give(struct test *t, uint64_t channel)
{
	struct event		 e = test_make_event(t, channel);
	struct msg_EVENT	 m = test_event_msg(t, &e);

	tl_send(&t->tl, MSG_EVENT, &m);
	free(e.body);
}

bool
test_called(struct test *t)
{
	if (!test_await(t, first_moved, t->timeout_ms, "CALL, ACK or NACK"))
		return false;
	if (t->tl.deliveries[0].begun != 0)
		return true;
	test_skipped(t, "it makes no call for this event; see --event, --content, --body");
	return false;
}

bool
test_hold_one(struct test *t)
{
	if (!test_up_for_event(t))
		return false;
	t->tl.answers = TL_HOLD;
	test_give(t, 0);
	return test_called(t);
}

bool
test_ping(struct test *t, const char *what)
{
	static uint64_t	 cookie = 7;

	t->tl.pongs = 0;
	cookie++;
	tl_send(&t->tl, MSG_PING, &(struct msg_PING){ .cookie = cookie });
	if (!test_await(t, is_ponged, t->timeout_ms, what))
		return false;
	if (t->tl.pongs != cookie)
		test_failed(t, "PONG with the cookie %" PRIu64 ", PING had %" PRIu64, t->tl.pongs,
		    cookie);
	return t->tl.pongs == cookie;
}
