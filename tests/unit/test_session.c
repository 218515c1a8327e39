/*
 * session: the whole table against the file under review, and the stories it exists for.
 *
 * The matrix is made by feeding every event to every state in a few situations; a fake records
 * what was asked.  Its time and its random numbers are made up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "supervisor/gateway/session.h"

#define MATRIX		"tests/unit/session_matrix.txt"
#define INTERVAL_MS	41250u

static const char *const timer_names[] = { "phase", "beat", "retry", "slot", "stop" };

/* The world: what was asked of it, and what it answers. */
static struct {
	char		 did[512];
	struct mono	 armed[SESS__TIMERS];
	uint64_t	 slot_ms;
	uint64_t	 random;		/* per mille of the range */
	unsigned	 unexpected;
} world;

static struct session	 s;
static struct mono	 now;

static void __attribute__((format(printf, 1, 2)))
did(const char *fmt, ...)
{
	size_t	 n = strlen(world.did);
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(world.did + n, sizeof(world.did) - n, fmt, ap);
	va_end(ap);
}

static void fake_moved(void *arg, enum sess_state from,
    enum sess_event why) { (void)arg; (void)from; (void)why; }
static void fake_unexpected(void *arg,
    enum sess_event ev) { (void)arg; (void)ev; world.unexpected++; }
static void fake_ask_bot(void *arg) { (void)arg; did("ask_bot "); }
static void fake_dial(void *arg, bool r) { (void)arg; did("dial(%s) ", r ? "resume_url" : "url"); }
static void fake_hangup(void *arg, unsigned code) { (void)arg; did("hangup(%u) ", code); }
static void fake_identify(void *arg) { (void)arg; did("identify "); }
static void fake_resume(void *arg) { (void)arg; did("resume "); }
static void fake_beat(void *arg, struct mono due) { (void)arg; did(mono_is_never(due) ?
    "beat(asked) " : "beat "); }
static uint64_t fake_slot(void *arg) { (void)arg; return world.slot_ms; }
static void fake_lost(void *arg) { (void)arg; did("lost "); }
static void fake_live(void *arg, bool resumed) { (void)arg; did(resumed ? "live(resumed) " :
    "live(new) "); }
static void fake_zombie(void *arg) { (void)arg; did("zombie "); }
static void fake_stopped(void *arg) { (void)arg; did("stopped "); }
static uint64_t fake_random(void *arg,
    uint64_t below) { (void)arg; return below * world.random / 1000; }

static void
fake_fatal(void *arg, enum sess_fatal why)
{
	static const char *const names[] = { "token", "intents", "other" };

	(void)arg;
	did("fatal(%s) ", names[why]);
}

static void
fake_arm(void *arg, enum sess_timer t, struct mono when)
{
	(void)arg;
	assert_false(mono_before(when, s.now));
	world.armed[t] = when;
	did("arm(%s,%llu) ", timer_names[t], (unsigned long long)mono_ms_between(s.now, when));
}

static void
fake_stop(void *arg, enum sess_timer t)
{
	(void)arg;
	if (!mono_is_never(world.armed[t]))
		did("stop(%s) ", timer_names[t]);
	world.armed[t] = MONO_NEVER;
}

static const struct sess_ops fake = {
	.moved = fake_moved, .unexpected = fake_unexpected, .ask_bot = fake_ask_bot,
	    .dial = fake_dial,
	.hangup = fake_hangup, .send_identify = fake_identify, .send_resume = fake_resume,
	    .send_beat = fake_beat,
	.arm = fake_arm, .stop = fake_stop, .slot_ms = fake_slot, .lost = fake_lost,
	    .live = fake_live,
	.zombie = fake_zombie, .fatal = fake_fatal, .stopped = fake_stopped, .random = fake_random,
};

static void
begin(void)
{
	static const struct sess_conf conf = { .dial_ms = 90000, .hello_ms = 20000,
	    .backoff_max_ms = 60000 };

	memset(&world, 0, sizeof(world));
	world.random = 500;
	now = (struct mono){ 1000000000 };
	sess_init(&s, &conf, &fake, NULL);
	sess_interval(&s, INTERVAL_MS);
}

static int
setup(void **state)
{
	(void)state;
	begin();
	return 0;
}

static void
later(uint64_t ms)
{
	now = mono_add_ms(now, ms);
}

/* Feed one event; it must have a row. */
static void
feed(enum sess_event ev)
{
	world.did[0] = '\0';
	if (!sess_event(&s, now, ev))
		fail_msg("%s in %s has no row", sess_event_name(ev), sess_state_name(s.state));
}

/* The timer fires when it is due, and not otherwise. */
static void
fire(enum sess_timer t)
{
	static const enum sess_event ev[] = { SEV_T_PHASE, SEV_T_BEAT, SEV_T_RETRY, SEV_T_SLOT,
	    SEV_T_STOP };

	if (mono_is_never(world.armed[t]))
		fail_msg("timer %s is not armed in %s", timer_names[t], sess_state_name(s.state));
	if (mono_before(now, world.armed[t]))
		now = world.armed[t];
	world.armed[t] = MONO_NEVER;
	feed(ev[t]);
}

static void
to_hello(void)
{
	feed(SEV_OPEN);
	feed(SEV_RX_HELLO);
}

/* From nothing to READY with a new session. */
static void
to_ready(void)
{
	feed(SEV_START);
	s.has_url = true;
	feed(SEV_BOT_OK);
	to_hello();
	s.has_resume_url = true;
	feed(SEV_RX_READY);
	assert_int_equal(s.state, SESS_READY);
}

/* From BACKOFF through a RESUME to READY. */
static void
to_resumed(void)
{
	fire(SESS_RETRY);
	to_hello();
	feed(SEV_RX_RESUMED);
	assert_int_equal(s.state, SESS_READY);
}

static uint64_t
retry_ms(void)
{
	assert_int_equal(s.state, SESS_BACKOFF);
	return mono_ms_between(now, s.retry_at);
}

/* ---- the matrix ---- */

static const char *const situations[] = { "new", "no slot", "session", "3 resumes", "no ACK",
    "no ACK, 3 resumes", "replay" };
#define SITUATIONS	(sizeof(situations) / sizeof(situations[0]))

static void
situation(size_t which, enum sess_state st)
{
	begin();
	s.state = st;
	s.has_url = st != SESS_IDLE || which >= 2;
	s.has_session = s.has_resume_url = which >= 2;
	if (which == 1)
		world.slot_ms = 5100;
	if (which == 3 || which == 5)
		s.resumes = 3;
	if (which == 4 || which == 5) {
		s.ack_due = true;
		s.frame_at = MONO_NEVER;
		s.beat_sent = mono_add_us(MONO_NEVER, now.us - INTERVAL_MS * 1000ull);
	}
	if (which == 6)
		s.dispatch_at = s.frame_at = now;
	if (st == SESS_READY)
		s.live_at = mono_add_us(MONO_NEVER, now.us - 5000000);
	s.beat_due = now;
	for (int t = 0; t < SESS__TIMERS; t++)
		world.armed[t] = MONO_NEVER;
}

static void
print_matrix(FILE *f)
{
	fprintf(f, "# state x event -> next state: what is asked of the world, in this order.\n"
	    "# Made by test_session.c.  Random numbers are half of their range, waits in ms.\n"
	    "# [situation] where it matters: new = no session; no slot = no IDENTIFY is due;\n"
	    "# session = one to resume; 3 resumes = RESUME failed so often; no ACK = the last\n"
	    "# beat has none and nothing else came; replay = a dispatch came just now.\n");
	for (int st = 0; st < SESS__STATES; st++) {
		char	 none[1024] = "";

		fprintf(f, "\n%s\n", sess_state_name((enum sess_state)st));
		for (int ev = 0; ev < SEV__EVENTS; ev++) {
			char	 line[SITUATIONS][640];
			bool	 matched = false, done[SITUATIONS] = { false };

			for (size_t i = 0; i < SITUATIONS; i++) {
				situation(i, (enum sess_state)st);
				if (!sess_event(&s, now, (enum sess_event)ev)) {
					snprintf(line[i], sizeof(line[i]), "(no row)");
					continue;
				}
				matched = true;
				snprintf(line[i], sizeof(line[i]), "-> %-12s %s",
				    sess_state_name(s.state), world.did);
				line[i][strcspn(line[i], "\n")] = '\0';
				for (size_t n = strlen(line[i]); n > 0 &&
				    line[i][n - 1] == ' '; n--)
					line[i][n - 1] = '\0';
			}
			if (!matched) {
				snprintf(none + strlen(none), sizeof(none) - strlen(none), " %s",
				    sess_event_name((enum sess_event)ev));
				continue;
			}
			for (size_t i = 0; i < SITUATIONS; i++) {
				char	 where[128] = "";
				size_t	 same = 0;

				if (done[i])
					continue;
				for (size_t k = i; k < SITUATIONS; k++)
					if (strcmp(line[i], line[k]) == 0) {
						done[k] = true;
						snprintf(where + strlen(where),
						    sizeof(where) - strlen(where), "%s%s",
						    same++ == 0 ? "" : " | ", situations[k]);
					}
				if (same == SITUATIONS)
					fprintf(f, "  %-16s%s\n",
					    sess_event_name((enum sess_event)ev), line[i]);
				else
					fprintf(f, "  %-16s[%s]\n  %-16s  %s\n",
					    sess_event_name((enum sess_event)ev), where, "",
					    line[i]);
			}
		}
		fprintf(f, "  no row:%s\n", none);
	}
}

static void
matrix(void **state)
{
	const char	*renew = getenv("RENEW");
	char		*text = NULL, want[512], *line, *save;
	size_t		 text_n = 0;
	unsigned	 n = 0, wrong = 0;
	FILE		*f;

	(void)state;
	f = open_memstream(&text, &text_n);
	assert_non_null(f);
	print_matrix(f);
	assert_int_equal(fclose(f), 0);
	if (renew != NULL) {
		f = fopen(MATRIX, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(text, 1, text_n, f), text_n);
		assert_int_equal(fclose(f), 0);
	}
	f = fopen(MATRIX, "r");
	if (f == NULL)
		fail_msg("%s: cannot be read; run from the root of the tree", MATRIX);
	line = text;
	while (line != NULL) {
		save = strchr(line, '\n');
		if (save != NULL)
			*save++ = '\0';
		n++;
		if (fgets(want, sizeof(want), f) == NULL)
			want[0] = '\0';
		want[strcspn(want, "\n")] = '\0';
		if (strcmp(line, want) != 0 && wrong++ < 40)
			print_message("%s:%u\n\t-%s\n\t+%s\n", MATRIX, n, want, line);
		line = save;
	}
	if (fgets(want, sizeof(want), f) != NULL)
		wrong++;
	fclose(f);
	free(text);
	if (wrong > 0)
		fail_msg("%u lines differ (- reviewed, + this build).  If the new ones are right: "
		    "RENEW=1 build/tests/unit/test_session", wrong);
}

/* ---- stories ---- */

static void
first_start(void **state)
{
	(void)state;
	feed(SEV_START);
	assert_int_equal(s.state, SESS_ASKING);
	s.has_url = true;
	world.slot_ms = 5100;
	feed(SEV_BOT_OK);
	assert_int_equal(s.state, SESS_SLOT);
	world.slot_ms = 0;
	fire(SESS_SLOTS);
	assert_int_equal(s.state, SESS_CONNECTING);
	assert_non_null(strstr(world.did, "dial(url)"));
	feed(SEV_OPEN);
	feed(SEV_RX_HELLO);
	assert_int_equal(s.state, SESS_IDENTIFYING);
	/* gateway.mdx, sending heartbeats: the first one after interval * jitter. */
	assert_int_equal(mono_ms_between(now, world.armed[SESS_BEAT]), INTERVAL_MS / 2);
	s.has_resume_url = true;
	feed(SEV_RX_READY);
	assert_string_equal(world.did, "stop(phase) live(new) ");
}

/* A journaled identity: RESUME needs neither GET /gateway/bot nor a slot. */
static void
start_with_session(void **state)
{
	(void)state;
	s.has_session = s.has_resume_url = true;
	world.slot_ms = 3600000;
	feed(SEV_START);
	assert_non_null(strstr(world.did, "dial(resume_url)"));
	to_hello();
	assert_int_equal(s.state, SESS_RESUMING);
	feed(SEV_RX_RESUMED);
	assert_int_equal(s.state, SESS_READY);
}

/* An operator: it ends at Discord too, and RESUME is not tried. */
static void
given_up(void **state)
{
	(void)state;
	to_ready();
	feed(SEV_FORGET);
	assert_int_equal(s.state, SESS_BACKOFF);
	assert_non_null(strstr(world.did, "lost hangup(1000)"));
	assert_false(s.has_session);
	fire(SESS_RETRY);
	assert_int_equal(s.state, SESS_ASKING);
}

/* discordeno#4017: what the old connection still says is not about the new one. */
static void
old_generation_is_refused(void **state)
{
	uint32_t	 old;

	(void)state;
	to_ready();
	old = s.generation;
	feed(SEV_RX_RECONNECT);
	fire(SESS_RETRY);
	assert_int_equal(s.state, SESS_CONNECTING);
	assert_false(sess_conn_event(&s, old, now, SEV_GONE_RESUME));
	assert_false(sess_conn_event(&s, old, now, SEV_GONE_TOKEN));
	assert_int_equal(s.state, SESS_CONNECTING);
	assert_true(sess_conn_event(&s, s.generation, now, SEV_OPEN));
}

static void
zombie(void **state)
{
	(void)state;
	to_ready();
	later(120000);
	s.beat_due = now;
	world.armed[SESS_BEAT] = now;
	fire(SESS_BEAT);
	assert_non_null(strstr(world.did, "beat "));
	feed(SEV_RX_ACK);
	fire(SESS_BEAT);
	assert_int_equal(s.state, SESS_READY);
	/* Frames go on, the ACK does not come: half dead is dead. */
	later(1000);
	sess_frame(&s, now);
	fire(SESS_BEAT);
	assert_int_equal(s.state, SESS_BACKOFF);
	assert_non_null(strstr(world.did, "zombie hangup(4900)"));
	assert_true(s.has_session);
	assert_int_equal(retry_ms(), 0);
}

/* disgord#415: ACKs queue behind the guilds; any frame is a sign of life then. */
static void
backfill_is_no_zombie(void **state)
{
	(void)state;
	world.random = 100;
	to_ready();
	fire(SESS_BEAT);
	later(1000);
	sess_frame(&s, now);
	fire(SESS_BEAT);		/* 45 s after READY */
	assert_int_equal(s.state, SESS_READY);
	later(1000);
	sess_frame(&s, now);
	fire(SESS_BEAT);		/* 86 s */
	assert_int_equal(s.state, SESS_BACKOFF);
}

static void
silence_in_backfill_is_a_zombie(void **state)
{
	(void)state;
	to_ready();
	fire(SESS_BEAT);
	fire(SESS_BEAT);
	assert_int_equal(s.state, SESS_BACKOFF);
}

/* We do not read while the journal is full: that is not the peer's silence. */
static void
pause_is_no_zombie(void **state)
{
	(void)state;
	to_ready();
	sess_pause(&s, true);
	for (int i = 0; i < 10; i++)
		fire(SESS_BEAT);
	sess_pause(&s, false);
	fire(SESS_BEAT);
	assert_int_equal(s.state, SESS_READY);
	fire(SESS_BEAT);
	assert_int_equal(s.state, SESS_BACKOFF);
}

/* discord.js#3993: an asked beat is answered at once and is no part of the rhythm. */
static void
asked_beat(void **state)
{
	struct mono	 due;

	(void)state;
	to_ready();
	due = world.armed[SESS_BEAT];
	feed(SEV_RX_BEAT);
	assert_string_equal(world.did, "beat(asked) ");
	assert_true(world.armed[SESS_BEAT].us == due.us);
	assert_false(s.ack_due);
	for (int st = SESS_HELLO; st <= SESS_READY; st++) {
		s.state = (enum sess_state)st;
		feed(SEV_RX_BEAT);
		assert_string_equal(world.did, "beat(asked) ");
	}
}

/* The rhythm does not drift by what each beat is late, and a stall does not queue beats. */
static void
beats_keep_time(void **state)
{
	struct mono	 first;

	(void)state;
	to_ready();
	first = world.armed[SESS_BEAT];
	for (unsigned i = 0; i < 100; i++) {
		now = mono_add_ms(world.armed[SESS_BEAT], 40);
		fire(SESS_BEAT);
		feed(SEV_RX_ACK);
	}
	assert_true(world.armed[SESS_BEAT].us == mono_add_ms(first, 100ull * INTERVAL_MS).us);
	now = mono_add_ms(now, 10ull * INTERVAL_MS);
	fire(SESS_BEAT);
	assert_int_equal(mono_ms_between(now, world.armed[SESS_BEAT]), INTERVAL_MS);
}

/* op 7 may come at any moment, even instead of HELLO. */
static void
reconnect_anywhere(void **state)
{
	(void)state;
	to_ready();
	feed(SEV_RX_RECONNECT);
	assert_non_null(strstr(world.did, "hangup(4900)"));
	fire(SESS_RETRY);
	feed(SEV_OPEN);
	feed(SEV_RX_RECONNECT);
	assert_int_equal(s.state, SESS_BACKOFF);
	assert_true(s.has_session);
}

/* op 9: 1 to 5 s; true keeps the session, false loses it. */
static void
invalid_session(void **state)
{
	(void)state;
	for (unsigned r = 0; r <= 999; r += 333) {
		begin();
		world.random = r;
		to_ready();
		feed(SEV_RX_INVALID_KEEP);
		assert_true(s.has_session);
		assert_in_range(retry_ms(), 1000, 5000);
		begin();
		world.random = r;
		to_ready();
		feed(SEV_RX_INVALID_LOST);
		assert_false(s.has_session);
		assert_non_null(strstr(world.did, "lost "));
		assert_in_range(retry_ms(), 1000, 5000);
		fire(SESS_RETRY);
		assert_int_equal(s.state, SESS_ASKING);
	}
}

/* discord-api-docs#1619: each RESUME is answered by a reset. */
static void
bricked_session(void **state)
{
	unsigned	 resumes = 0;

	(void)state;
	to_ready();
	later(300000);
	feed(SEV_GONE_RESUME);
	assert_int_equal(retry_ms(), 0);
	while (s.has_session) {
		fire(SESS_RETRY);
		to_hello();
		assert_int_equal(s.state, SESS_RESUMING);
		resumes++;
		feed(SEV_GONE_RESUME);
	}
	assert_int_equal(resumes, 3);
	fire(SESS_RETRY);
	assert_int_equal(s.state, SESS_ASKING);
}

/* A replay that is cut short again and again, but brings new events each time, ends some day. */
static void
progress_keeps_session(void **state)
{
	(void)state;
	to_ready();
	later(300000);
	feed(SEV_GONE_RESUME);
	for (int i = 0; i < 10; i++) {
		fire(SESS_RETRY);
		to_hello();
		assert_int_equal(s.state, SESS_RESUMING);
		sess_progress(&s);
		feed(SEV_BROKEN);
		assert_true(s.has_session);
	}
}

/* A network that is down does not cost the session: only RESUMEs that were sent count. */
static void
outage_keeps_session(void **state)
{
	uint64_t	 longest = 0;
	bool		 resume_url = false, url = false;

	(void)state;
	to_ready();
	later(300000);
	feed(SEV_GONE_RESUME);
	for (int i = 0; i < 50; i++) {
		fire(SESS_RETRY);
		resume_url |= strstr(world.did, "dial(resume_url)") != NULL;
		url |= strstr(world.did, "dial(url)") != NULL;
		feed(SEV_DIAL_FAILED);
		if (retry_ms() > longest)
			longest = retry_ms();
	}
	assert_true(s.has_session);
	assert_int_equal(longest,
	    30000);		/* half of backoff_max by this fake's dice */
	/* Both URLs had their turn. */
	assert_true(resume_url && url);
	to_resumed();
	later(10000);
	feed(SEV_GONE_RESUME);
	assert_int_equal(retry_ms(), 0);
}

/* The resume URL fails and no other is known: it is asked for, the session stays. */
static void
resume_url_fails_first(void **state)
{
	(void)state;
	s.has_session = s.has_resume_url = true;
	feed(SEV_START);
	feed(SEV_DIAL_FAILED);
	fire(SESS_RETRY);
	assert_int_equal(s.state, SESS_ASKING);
	feed(SEV_BOT_FAILED);
	fire(SESS_RETRY);
	assert_non_null(strstr(world.did, "dial(resume_url)"));
	feed(SEV_DIAL_FAILED);
	fire(SESS_RETRY);
	s.has_url = true;
	feed(SEV_BOT_OK);
	assert_non_null(strstr(world.did, "dial(url)"));
	to_hello();
	assert_int_equal(s.state, SESS_RESUMING);
}

/*
 * claude-plugins-official#3140, discord.js#5455: 1000 IDENTIFYs burnt and the token reset.  A day
 * of each failure that costs one, at the worst dice (always the shortest wait would be none, so
 * half of the range), with a slot every 5.1 s.
 */
static unsigned
identifies_in_a_day(enum sess_event failure, bool after_ready, uint64_t lives_ms)
{
	struct mono	 end;
	unsigned	 n = 0;

	begin();
	end = mono_add_ms(now, 86400000);
	feed(SEV_START);
	s.has_url = true;
	while (mono_before(now, end)) {
		if (s.state == SESS_BACKOFF)
			fire(SESS_RETRY);
		later(100);
		feed(SEV_BOT_OK);
		to_hello();
		assert_int_equal(s.state, SESS_IDENTIFYING);
		n++;
		if (after_ready)
			feed(SEV_RX_READY);
		later(lives_ms);
		feed(failure);
		if (s.has_session)
			s.has_session = false;
	}
	return n;
}

static void
budget_is_never_burnt(void **state)
{
	(void)state;
	assert_in_range(identifies_in_a_day(SEV_GONE_RESUME, false, 100), 100, 400);
	assert_in_range(identifies_in_a_day(SEV_RX_INVALID_LOST, false, 100), 100, 400);
	assert_in_range(identifies_in_a_day(SEV_T_PHASE, false, 20000), 100, 400);
	assert_in_range(identifies_in_a_day(SEV_GONE_FRESH, true, 100), 100, 400);
	assert_in_range(identifies_in_a_day(SEV_GONE_FRESH, true, 119000), 100, 400);
	assert_in_range(identifies_in_a_day(SEV_GONE_FRESH, true, 121000), 400, 900);
}

static void
close_codes(void **state)
{
	const char	*sentence;

	(void)state;
#define CLOSE(code, class, text) do {								\
	enum sess_event	 ev = sess_close_event(code, &sentence);				\
	assert_string_equal(sentence, text);							\
	if (strcmp(#class, "RESUME") == 0)							\
		assert_int_equal(ev, SEV_GONE_RESUME);						\
	else if (strcmp(#class, "FRESH") == 0)							\
		assert_int_equal(ev, SEV_GONE_FRESH);						\
	else											\
		assert_in_range(ev, SEV_GONE_TOKEN, SEV_GONE_FATAL);				\
	begin();										\
	to_ready();										\
	feed(ev);										\
	assert_int_equal(s.state, strcmp(#class, "FATAL") == 0 ? SESS_FATAL : SESS_BACKOFF);	\
	assert_true(s.has_session == (strcmp(#class, "FRESH") != 0));				\
} while (0);
#include "proto/closecodes.def"
#undef CLOSE
	assert_int_equal(sess_close_event(4004, NULL), SEV_GONE_TOKEN);
	assert_int_equal(sess_close_event(4013, NULL), SEV_GONE_INTENTS);
	assert_int_equal(sess_close_event(4014, NULL), SEV_GONE_INTENTS);
	assert_int_equal(sess_close_event(0, NULL), SEV_GONE_RESUME);
	assert_int_equal(sess_close_event(4999, &sentence), SEV_GONE_RESUME);
	assert_string_equal(sentence, "a close code that is not documented");
}

/* Nothing is armed in FATAL and after a stop, and every other state has a way out by itself. */
static void
never_stuck(void **state)
{
	(void)state;
	for (size_t i = 0; i < SITUATIONS; i++)
		for (int st = 0; st < SESS__STATES; st++)
			for (int ev = 0; ev < SEV__EVENTS; ev++) {
				bool	 armed = false;

				situation(i, (enum sess_state)st);
				if (st == SESS_READY)
					world.armed[SESS_BEAT] = now;
				if (!sess_event(&s, now, (enum sess_event)ev) ||
				    s.state == (enum sess_state)st)
					continue;
				for (int t = 0; t < SESS__TIMERS; t++)
					armed |= !mono_is_never(world.armed[t]);
				if (s.state == SESS_IDLE || s.state == SESS_FATAL)
					assert_false(armed);
				else if (s.state != SESS_READY)
					assert_true(armed);
			}
}

/* Only the final stop says 1000. */
static void
stops(void **state)
{
	(void)state;
	to_ready();
	feed(SEV_STOP);
	assert_non_null(strstr(world.did, "hangup(4000)"));
	assert_null(strstr(world.did, "lost"));
	feed(SEV_GONE_RESUME);
	assert_string_equal(world.did, "stop(stop) stopped ");
	assert_int_equal(s.state, SESS_IDLE);
	feed(SEV_START);
	assert_non_null(strstr(world.did, "dial(resume_url)"));
	to_hello();
	feed(SEV_STOP_FINAL);
	assert_non_null(strstr(world.did, "hangup(1000) lost"));
	assert_true(mono_ms_between(now, world.armed[SESS_STOPS]) < 2000);
	fire(SESS_STOPS);
	assert_int_equal(s.state, SESS_IDLE);
	/* Not connected: the answer comes in a later turn. */
	feed(SEV_START);
	feed(SEV_STOP);
	assert_null(strstr(world.did, "stopped"));
	fire(SESS_STOPS);
	assert_string_equal(world.did, "stopped ");
}

/* During an outage the replay may take long; while it moves it is not cut. */
static void
long_replay(void **state)
{
	(void)state;
	to_ready();
	feed(SEV_GONE_RESUME);
	fire(SESS_RETRY);
	to_hello();
	for (int i = 0; i < 10; i++) {
		now = world.armed[SESS_PHASE];
		sess_dispatch(&s, mono_add_us(MONO_NEVER, now.us - 1000));
		fire(SESS_PHASE);
		assert_int_equal(s.state, SESS_RESUMING);
	}
	fire(SESS_PHASE);
	assert_int_equal(s.state, SESS_BACKOFF);
	assert_true(s.has_session);
}

static void
no_row_changes_nothing(void **state)
{
	struct session	 before;

	(void)state;
	to_ready();
	before = s;
	world.did[0] = '\0';
	assert_false(sess_event(&s, now, SEV_BOT_OK));
	assert_int_equal(world.unexpected, 1);
	assert_string_equal(world.did, "");
	assert_memory_equal(&before, &s, sizeof(s));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test_setup(matrix, setup),
		cmocka_unit_test_setup(first_start, setup),
		cmocka_unit_test_setup(start_with_session, setup),
		cmocka_unit_test_setup(given_up, setup),
		cmocka_unit_test_setup(old_generation_is_refused, setup),
		cmocka_unit_test_setup(zombie, setup),
		cmocka_unit_test_setup(backfill_is_no_zombie, setup),
		cmocka_unit_test_setup(silence_in_backfill_is_a_zombie, setup),
		cmocka_unit_test_setup(pause_is_no_zombie, setup),
		cmocka_unit_test_setup(asked_beat, setup),
		cmocka_unit_test_setup(beats_keep_time, setup),
		cmocka_unit_test_setup(reconnect_anywhere, setup),
		cmocka_unit_test_setup(invalid_session, setup),
		cmocka_unit_test_setup(bricked_session, setup),
		cmocka_unit_test_setup(progress_keeps_session, setup),
		cmocka_unit_test_setup(outage_keeps_session, setup),
		cmocka_unit_test_setup(resume_url_fails_first, setup),
		cmocka_unit_test_setup(budget_is_never_burnt, setup),
		cmocka_unit_test_setup(close_codes, setup),
		cmocka_unit_test_setup(never_stuck, setup),
		cmocka_unit_test_setup(stops, setup),
		cmocka_unit_test_setup(long_replay, setup),
		cmocka_unit_test_setup(no_row_changes_nothing, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
