/*
 * stream: the whole table against the file under review, and each rule of a growing reply.
 *
 * The world is a fake: what it is asked becomes words in `did`, bodies are made when a test lets a
 * request leave, time is made up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/json.h"
#include "worker/rest/stream.h"

#define MATRIX	"tests/unit/stream_matrix.txt"
#define START_S	1000

static struct {
	char		 did[2048];
	struct mono	 wake;
	unsigned	 unexpected;
	bool		 typed;			/* typing goes to did */
	uint64_t	 shown;			/* of the last STREAM_STATE */
	enum error	 error;
	char		 why[128];
} world;

static struct stream	 s;
static struct mono	 now;
static struct buf	 body;
static char		 content[16384];

static void __attribute__((format(printf, 1, 2)))
did(const char *fmt, ...)
{
	size_t	 n = strlen(world.did);
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(world.did + n, sizeof(world.did) - n, fmt, ap);
	va_end(ap);
}

static void
fake_ask(void *arg, enum stream_ask ask, unsigned index, uint64_t message, uint64_t asked_ms)
{
	static const char *const	 names[] = {
		"create", "edit", "close", "get", "look", "remove"
	};

	(void)arg;
	if (message != 0)
		did("%s(%llu) ", names[ask], (unsigned long long)message);
	else if (asked_ms != 0)
		did("%s(%u,%llu) ", names[ask], index, (unsigned long long)asked_ms);
	else
		did("%s(%u) ", names[ask], index);
}

static void
fake_typing(void *arg, bool on)
{
	(void)arg;
	if (world.typed)
		did(on ? "typing " : "hush ");
}

static void
fake_tell(void *arg, enum stream_word word, unsigned index, uint64_t message, uint64_t shown,
    enum error error, const char *why)
{
	static const char *const	 names[] = { "", "open", "asking", "made", "shown", "DONE",
		"STOPPED", "FAILED" };

	(void)arg;
	world.shown = shown;
	world.error = error;
	snprintf(world.why, sizeof(world.why), "%s", why == NULL ? "" : why);
	did("%s[%u:%llu] ", names[word], index, (unsigned long long)message);
}

static void
fake_wake(void *arg, struct mono at)
{
	(void)arg;
	world.wake = at;
}

static void
fake_unexpected(void *arg, enum stream_event ev)
{
	(void)arg;
	(void)ev;
	world.unexpected++;
}

static const struct stream_ops	 ops = {
	fake_ask, fake_typing, fake_tell, fake_wake, fake_unexpected
};

static void
begin(uint64_t flags)
{
	stream_fini(&s);
	memset(&world, 0, sizeof(world));
	now = (struct mono){ START_S * 1000000ull };
	stream_init(&s, 77, flags, &ops, NULL);
}

static int
setup(void **state)
{
	(void)state;
	memset(&s, 0, sizeof(s));
	begin(0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	stream_fini(&s);
	buf_fini(&body);
	return 0;
}

/* What the fake was asked since the last time. */
static const char *
asked(void)
{
	static char	 was[sizeof(world.did)];
	size_t		 n;

	memcpy(was, world.did, sizeof(was));
	world.did[0] = '\0';
	n = strlen(was);
	if (n > 0 && was[n - 1] == ' ')
		was[n - 1] = '\0';
	return was;
}

#define DID(words)	assert_string_equal(asked(), words)

static void
after_ms(uint64_t ms)
{
	now = mono_add_ms(now, ms);
}

/* As the owner's timer would: at the time that was asked for. */
static uint64_t
wake(void)
{
	uint64_t	 ms;

	assert_false(mono_is_never(world.wake));
	ms = mono_ms_until(now, world.wake);
	after_ms(ms);
	stream_time(&s, now);
	return ms;
}

static void
text(const char *words)
{
	stream_text(&s, now, s.text.n, span_of(words));
}

/* The request leaves: its content. */
static const char *
leave(void)
{
	enum json_token	 t;
	struct span	 v;
	struct buf	 b = { 0 };

	buf_reset(&body);
	stream_body(&s, &body);
	buf_add(&body, "", 1);
	body.n--;
	assert_true(json_member(buf_span(&body), "content", &t, &v));
	assert_true(json_unescape(v, &b, sizeof(content) - 1));
	span_copy(buf_span(&b), content, sizeof(content));
	buf_fini(&b);
	return content;
}

static void
answer(enum error error, unsigned status, uint64_t code, uint64_t id, const char *shows)
{
	struct stream_answer	 a = {
		.error = error, .status = status, .code = code, .id = id, .content = span_of(shows),
		.remaining = -1, .reset_after_s = -1,
	};

	stream_answer(&s, now, &a);
}

static void
ok(uint64_t id)
{
	answer(ERR_OK, 200, 0, id, NULL);
}

/* A stream whose first message, 901, shows `words`. */
static void
grown(const char *words)
{
	stream_start(&s, now, NULL, 0);
	text(words);
	if (s.state == STREAM_BUFFERING)
		wake();
	assert_int_equal(s.state, STREAM_ASKING);
	stream_go(&s, now);
	leave();
	ok(901);
	assert_int_equal(s.state, STREAM_LIVE);
	world.did[0] = '\0';
}

#define WORDS	"Thirty characters and a few more of them."

/* ---- the matrix ---- */

static const char *const situations[] = {
	"empty", "text", "shown", "more", "ended", "lost", "old"
};
#define SITUATIONS	(sizeof(situations) / sizeof(situations[0]))

/* Into the state by hand: a matrix that walked there could not reach what cannot happen. */
static void
situation(size_t which, enum stream_state st)
{
	begin(0);
	s.now = now;
	if (which >= 1) {
		buf_add_span(&s.text, SPAN(WORDS));
		s.split_n = split_text(&s.split, buf_span(&s.text), which == 4);
		s.first_text = now;
	}
	if (which >= 2 && which != 6) {
		s.messages_n = s.map_n = 1;
		s.messages[0].id = 901;
		s.messages[0].known = true;
		buf_add_span(&s.messages[0].shown, which == 2 ? SPAN(WORDS) : SPAN("Thirty"));
		buf_add_span(&s.sent, SPAN("Thirty"));
	}
	if (which == 4)
		s.end = END_FINAL;
	if (which == 5)
		s.lost = 9;
	if (which == 6) {
		s.messages_n = 1;
		s.messages[0].asked = (struct mono){ now.us - 61000000 };
	}
	if (s.messages_n == 0 && st >= STREAM_ASKING && st < STREAM_DONE && st != STREAM_LIVE &&
	    st != STREAM_BACKOFF) {
		s.messages_n = 1;		/* the one that is asked for */
		s.messages[0].asked = now;
	}
	if (st == STREAM_LOOKING && s.messages_n == 0)
		s.messages_n = 1;
	s.state = st;
}

static void
one(size_t which, enum stream_state st, enum stream_event ev, char *line, size_t bytes)
{
	struct stream_answer	 a = { .id = 901, .remaining = -1, .reset_after_s = -1 };

	situation(which, st);
	s.answer = ev == STREAM_EV_ACK ? &a : NULL;
	if (!stream_feed(&s, now, ev))
		snprintf(line, bytes, "(no row)");
	else
		snprintf(line, bytes, "-> %-10s %s", stream_state_name(s.state), asked());
	for (size_t n = strlen(line); n > 0 && line[n - 1] == ' '; n--)
		line[n - 1] = '\0';
	s.answer = NULL;
}

static void
print_row(FILE *f, enum stream_state st, enum stream_event ev, char *none, size_t none_bytes)
{
	char	 line[SITUATIONS][256];
	bool	 done[SITUATIONS] = { false }, matched = false;

	for (size_t i = 0; i < SITUATIONS; i++) {
		one(i, st, ev, line[i], sizeof(line[i]));
		matched = matched || strcmp(line[i], "(no row)") != 0;
	}
	if (!matched) {
		snprintf(none + strlen(none), none_bytes - strlen(none), " %s",
		    stream_event_name(ev));
		return;
	}
	for (size_t i = 0; i < SITUATIONS; i++) {
		char	 where[128] = "";
		size_t	 same = 0;

		for (size_t k = i; k < SITUATIONS && !done[i]; k++)
			if (strcmp(line[i], line[k]) == 0) {
				done[k] = k != i;
				same++;
				snprintf(where + strlen(where), sizeof(where) - strlen(where),
				    "%s%s", same > 1 ? ", " : "", situations[k]);
			}
		if (same == SITUATIONS)
			fprintf(f, "  %-9s %s\n", stream_event_name(ev), line[i]);
		else if (same > 0)
			fprintf(f, "  %-9s [%s]\n            %s\n", stream_event_name(ev), where,
			    line[i]);
	}
}

static void
print_matrix(FILE *f)
{
	fprintf(f, "# state x event -> next state: what is asked of the world, in this order.\n"
	    "# Made by test_stream.c.  [situation] where it matters: empty = no text;\n"
	    "# text = 41 characters and no message; shown = a message shows them; more = it\n"
	    "# shows less; ended = and the text is complete; lost = and no answer came, again\n"
	    "# and again; old = a message was asked for 61 s ago and nobody knows of it.\n");
	for (int st = 0; st < STREAM__STATES; st++) {
		char	 none[512] = "";

		fprintf(f, "\n%s\n", stream_state_name((enum stream_state)st));
		for (int ev = 0; ev < STREAM_EV_NEXT; ev++)
			print_row(f, (enum stream_state)st, (enum stream_event)ev, none,
			    sizeof(none));
		fprintf(f, "  no row:%s\n", none[0] == '\0' ? " none" : none);
	}
}

static void
matrix(void **state)
{
	const char	*renew = getenv("RENEW");
	char		*printed = NULL, want[512], *line, *save;
	size_t		 printed_n = 0;
	unsigned	 n = 0, wrong = 0;
	FILE		*f;

	(void)state;
	f = open_memstream(&printed, &printed_n);
	assert_non_null(f);
	print_matrix(f);
	assert_int_equal(fclose(f), 0);
	if (renew != NULL) {
		f = fopen(MATRIX, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(printed, 1, printed_n, f), printed_n);
		assert_int_equal(fclose(f), 0);
	}
	f = fopen(MATRIX, "r");
	if (f == NULL)
		fail_msg("%s: cannot be read; run from the root of the tree", MATRIX);
	for (line = printed; line != NULL; line = save) {
		save = strchr(line, '\n');
		if (save != NULL)
			*save++ = '\0';
		n++;
		if (fgets(want, sizeof(want), f) == NULL)
			want[0] = '\0';
		want[strcspn(want, "\n")] = '\0';
		if (strcmp(line, want) != 0 && wrong++ < 40)
			print_message("%s:%u\n\t-%s\n\t+%s\n", MATRIX, n, want, line);
	}
	if (fgets(want, sizeof(want), f) != NULL)
		wrong++;
	fclose(f);
	free(printed);
	if (wrong > 0)
		fail_msg("%u lines differ (- reviewed, + this build).  If the new ones are right: "
		    "RENEW=1 build/tests/unit/test_stream", wrong);
}

/* ---- the first message ---- */

/* Thirty characters are shown at once; the journal is asked before anything leaves. */
static void
first_text_asks_the_journal(void **state)
{
	(void)state;
	stream_start(&s, now, NULL, 0);
	DID("open[0:0]");
	text(WORDS);
	DID("asking[0:0]");
	stream_go(&s, now);
	DID("create(0)");
	assert_string_equal(leave(), WORDS);
	assert_non_null(strstr(body.p, "\"allowed_mentions\":{\"parse\":[]}"));
	assert_non_null(strstr(body.p, "\"message_reference\":{\"message_id\":\"77\","
	    "\"fail_if_not_exists\":false}"));
	assert_null(strstr(body.p, "flags"));
	ok(901);
	DID("made[0:901]");
	assert_int_equal(world.shown, strlen(WORDS));
}

static void
short_text_waits(void **state)
{
	(void)state;
	stream_start(&s, now, NULL, 0);
	asked();
	text("Hm");
	DID("");
	assert_int_equal(wake(), STREAM_FIRST_MS);
	DID("asking[0:0]");
	stream_go(&s, now);
	text("m.");
	assert_string_equal(leave(), "Hmm.");	/* the latest, when it leaves */
}

static void
quiet_message(void **state)
{
	(void)state;
	begin(2);
	grown(WORDS);
	assert_non_null(strstr(body.p, "\"flags\":4096"));
}

static void
journal_without_room(void **state)
{
	(void)state;
	stream_start(&s, now, NULL, 0);
	text(WORDS);
	asked();
	stream_denied(&s, now, ERR_ETOOBIG);
	DID("FAILED[0:0]");
	assert_int_equal(world.error, ERR_ETOOBIG);
	assert_true(stream_over(&s));
}

/* An empty answer needs no message. */
static void
nothing_to_show(void **state)
{
	(void)state;
	stream_start(&s, now, NULL, 0);
	asked();
	text(" \n");
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	DID("DONE[0:0]");
}

/* ---- edits ---- */

/* One under way, 1.2 s between an answer and the next, the latest text wins. */
static void
cadence(void **state)
{
	(void)state;
	grown(WORDS);
	text(" a");
	DID("");
	text(" b");
	assert_int_equal(wake(), STREAM_EDIT_MS);
	DID("edit(901)");
	text(" c");
	assert_string_equal(leave(), WORDS " a b c");
	for (int i = 0; i < 20; i++) {
		after_ms(250);
		text(" d");
	}
	DID("");
	ok(901);			/* after 5 s */
	DID("shown[0:901]");
	assert_int_equal(wake(), STREAM_EDIT_MS);
	DID("edit(901)");
	assert_int_equal(strlen(leave()), s.text.n);
}

/* The last request of a bucket is left to others. */
static void
bucket_nearly_empty(void **state)
{
	struct stream_answer	 a = { .id = 901, .remaining = 1, .reset_after_s = 4.5 };

	(void)state;
	grown(WORDS);
	text(" a");
	wake();
	stream_answer(&s, now, &a);
	text(" b");
	asked();
	assert_in_range(wake(), 4500, 4502);
	DID("edit(901)");
	a.remaining = 2;
	stream_answer(&s, now, &a);
	text(" c");
	assert_int_equal(wake(), STREAM_EDIT_MS);
}

/* A failed edit is dropped: the next one says more. */
static void
lost_edit_is_dropped(void **state)
{
	(void)state;
	grown(WORDS);
	text(" a");
	wake();
	DID("edit(901)");
	answer(ERR_ETRANSPORT, 0, 0, 0, NULL);
	DID("");
	text(" b");
	assert_int_equal(wake(), STREAM_EDIT_MS);
	DID("edit(901)");
	assert_string_equal(leave(), WORDS " a b");
}

/* Invisible halves of a character never leave. */
static void
half_a_character(void **state)
{
	(void)state;
	grown(WORDS);
	text(" a\xe2\x82");
	wake();
	assert_string_equal(leave(), WORDS " a");
	ok(901);
	text("\xac");
	wake();
	assert_string_equal(leave(), WORDS " a\u20ac");
}

/* ---- the end ---- */

static void
final_edit_goes_at_once(void **state)
{
	(void)state;
	grown(WORDS);
	text(" End.");
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	DID("close(901)");
	assert_string_equal(leave(), WORDS " End.");
	ok(901);
	DID("shown[0:901] DONE[0:901]");
	assert_true(mono_is_never(world.wake));
}

/* The end came while an edit was under way: the edit left without it, so another follows. */
static void
end_during_an_edit(void **state)
{
	(void)state;
	grown(WORDS);
	text(" a");
	wake();
	leave();
	text(" b");
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	asked();
	ok(901);
	DID("shown[0:901] close(901)");
	assert_string_equal(leave(), WORDS " a b");
	ok(901);
	DID("shown[0:901] DONE[0:901]");
}

/* What is shown already is not sent again. */
static void
nothing_left_to_say(void **state)
{
	(void)state;
	grown(WORDS);
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	DID("DONE[0:901]");
}

/* Twice again, then the text stands in a new message, which the journal hears of first. */
static void
final_edit_is_repeated_then_replaced(void **state)
{
	(void)state;
	grown(WORDS);
	text(" End.");
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	for (int i = 0; i < 2; i++) {
		DID("close(901)");
		answer(ERR_EHTTP, 500, 0, 0, NULL);
		DID("");
		assert_int_equal(wake(), 2000u << i);
	}
	DID("close(901)");
	answer(ERR_EHTTP, 500, 0, 0, NULL);
	DID("asking[1:0]");
	stream_go(&s, now);
	DID("create(1)");
	assert_string_equal(leave(), WORDS " End.");
	assert_null(strstr(body.p, "message_reference"));
	ok(902);
	DID("made[1:902] DONE[1:902]");
}

static void
refused_final_edit_is_replaced(void **state)
{
	(void)state;
	grown(WORDS);
	text(" End.");
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	asked();
	answer(ERR_EHTTP, 400, 30046, 0, NULL);
	DID("asking[1:0]");
}

static void
kinds_of_end(void **state)
{
	static const struct {
		enum stream_kind	 kind;
		const char		*note, *below;
	} kinds[] = {
		{ END_FINAL, "", "" },
		{ END_FINAL, "a note", "\na note" },
		{ END_ERROR, "the model is asleep", "\n\u26a0 the model is asleep" },
		{ END_ERROR, "", "\n\u26a0 the answer could not be finished" },
		{ END_STOPPED, "", "\n\u23f9 stopped" },
		{ END_RESTARTING, "", "\n\u23f3 restarting \u2026" },
		{ END_INTERRUPTED, "", "\n\u26a0 interrupted" },
	};
	char	 want[256];

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		begin(0);
		grown(WORDS);
		text(" More");
		stream_end(&s, now, kinds[i].kind, span_of(kinds[i].note));
		DID("close(901)");
		snprintf(want, sizeof(want), WORDS " More%s", kinds[i].below);
		assert_string_equal(leave(), want);
		ok(901);
		assert_int_equal(s.state, STREAM_DONE);
	}
}

/* An error before the first word is a message of its own. */
static void
note_alone(void **state)
{
	(void)state;
	stream_start(&s, now, NULL, 0);
	asked();
	stream_end(&s, now, END_ERROR, SPAN("no model answers"));
	DID("asking[0:0]");
	stream_go(&s, now);
	assert_string_equal(leave(), "\u26a0 no model answers");
}

/* ---- more than one message ---- */

static void
fill(char *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = i % 8 == 7 ? ' ' : (char)('a' + i / 8 % 26);
	dst[n] = '\0';
}

/* Message k has its last text, acked, before k + 1 is asked for. */
static void
roll_over_in_order(void **state)
{
	char	 long_text[4600], joined[8192] = "";

	(void)state;
	grown(WORDS);
	fill(long_text, 4500);
	text(long_text);
	DID("close(901)");
	strlcat(joined, leave(), sizeof(joined));
	text("!");
	DID("");
	ok(901);
	DID("shown[0:901] asking[1:0]");
	stream_go(&s, now);
	DID("create(1)");
	strlcat(joined, leave(), sizeof(joined));
	assert_null(strstr(body.p, "message_reference"));
	ok(902);
	DID("made[1:902] asking[2:0]");
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	stream_go(&s, now);
	DID("create(2)");
	strlcat(joined, leave(), sizeof(joined));
	ok(903);
	DID("made[2:903] DONE[2:903]");
	/* Nothing but blanks at the borders is gone. */
	for (const char *a = joined, *b = s.text.p; *a != '\0' || b < s.text.p + s.text.n;) {
		while (*a == ' ' || *a == '\n')
			a++;
		while (b < s.text.p + s.text.n && (*b == ' ' || *b == '\n'))
			b++;
		if (*a == '\0' && b >= s.text.p + s.text.n)
			break;
		assert_true(*a == *b);
		a++;
		b++;
	}
}

/* More than there may be messages: what fits is shown, and the last state says so. */
static void
too_long(void **state)
{
	static char	 page[2000];
	unsigned	 made = 0;

	(void)state;
	fill(page, sizeof(page) - 1);
	grown(WORDS);
	for (unsigned i = 0; i < STREAM_MESSAGES_MAX + 4; i++)
		text(page);
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	while (!stream_over(&s)) {
		assert_true(made++ < 100);
		if (s.state == STREAM_ASKING)
			stream_go(&s, now);
		else {
			leave();
			ok(s.state == STREAM_CREATING ? 901 + s.index : 901);
		}
	}
	assert_int_equal(s.state, STREAM_DONE);
	assert_int_equal(s.messages_n, STREAM_MESSAGES_MAX);
	assert_string_equal(world.why, "the text is longer than can be shown");
}

/* ---- what Discord refuses ---- */

static void
deleted_message_stops_it(void **state)
{
	(void)state;
	grown(WORDS);
	text(" a");
	wake();
	asked();
	answer(ERR_EHTTP, 404, 10008, 0, NULL);
	DID("STOPPED[0:901]");
	text(" b");
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	DID("");			/* not posted again */
	assert_true(mono_is_never(world.wake));
}

static void
forbidden_stops_it(void **state)
{
	static const struct {
		unsigned	 status, code;
	} answers[] = { { 403, 50001 }, { 403, 50013 }, { 404, 10003 } };

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		begin(1);
		world.typed = true;
		stream_start(&s, now, NULL, 0);
		text(WORDS);
		stream_go(&s, now);
		asked();
		answer(ERR_EHTTP, answers[i].status, answers[i].code, 0, NULL);
		DID("STOPPED[0:0] hush");
		assert_true(mono_is_never(world.wake));
	}
}

/* A lost create is repeated with its nonce, as long as Discord knows it; then it is looked for. */
static void
lost_create(void **state)
{
	(void)state;
	stream_start(&s, now, NULL, 0);
	text(WORDS);
	stream_go(&s, now);
	asked();
	answer(ERR_ETRANSPORT, 0, 0, 0, NULL);
	assert_int_equal(wake(), 2000);
	DID("create(0,2000)");
	after_ms(55000);
	answer(ERR_EDEADLINE, 0, 0, 0, NULL);
	wake();
	DID("look(0,61000)");
	answer(ERR_OK, 200, 0, 901, "What it was made with, and that is longer.");
	DID("made[0:901]");
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	DID("close(901)");
	assert_string_equal(leave(), WORDS);
}

static void
looked_for_and_not_found(void **state)
{
	struct stream_past	 past = { 0, 90000 };

	(void)state;
	stream_start(&s, now, &past, 1);
	DID("open[0:0] look(0,90000)");
	text(WORDS);
	answer(ERR_OK, 200, 0, 0, NULL);
	DID("asking[0:0]");
	stream_go(&s, now);
	DID("create(0)");
}

static void
nobody_knows(void **state)
{
	struct stream_past	 past = { 0, 90000 };

	(void)state;
	stream_start(&s, now, &past, 1);
	for (int i = 0; i < 6; i++) {
		answer(ERR_ETRANSPORT, 0, 0, 0, NULL);
		wake();
	}
	asked();
	answer(ERR_ETRANSPORT, 0, 0, 0, NULL);
	DID("FAILED[0:0]");
	assert_int_equal(world.error, ERR_EAMBIGUOUS);
}

/* The repeated nonce brought the first message, which shows an older text. */
static void
nonce_brings_an_older_text(void **state)
{
	(void)state;
	stream_start(&s, now, NULL, 0);
	text(WORDS);
	stream_go(&s, now);
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	leave();
	asked();
	answer(ERR_OK, 200, 0, 901, "Thirty");
	DID("made[0:901] close(901)");
	ok(901);
	DID("shown[0:901] DONE[0:901]");
}

/* ---- typing ---- */

static void
typing_until_the_first_text(void **state)
{
	(void)state;
	begin(1);
	world.typed = true;
	stream_start(&s, now, NULL, 0);
	DID("open[0:0] typing");
	assert_int_equal(wake(), STREAM_TYPING_MS);
	DID("typing");
	text(WORDS);
	stream_go(&s, now);
	asked();
	ok(901);
	DID("made[0:901] hush");
	for (int i = 0; i < 30; i++) {
		after_ms(1000);
		stream_time(&s, now);
	}
	DID("");
}

static void
no_typing_after_the_end(void **state)
{
	(void)state;
	begin(1);
	world.typed = true;
	stream_start(&s, now, NULL, 0);
	text(WORDS);
	asked();
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	DID("hush");
	stream_go(&s, now);
	DID("create(0)");
	after_ms(20000);
	stream_time(&s, now);
	DID("");
}

/* ---- adoption ---- */

#define LONGER	"The first attempt had come as far as this, and a little farther."

/* A new rest worker reads the last message once, and does not shorten it before the end. */
static void
adopted_by_a_new_process(void **state)
{
	struct stream_past	 past = { 901, 5000 };

	(void)state;
	stream_start(&s, now, &past, 1);
	DID("open[0:901] get(901)");
	text("Another answer begins");
	DID("");
	answer(ERR_OK, 200, 0, 901, LONGER);
	after_ms(60000);
	stream_time(&s, now);
	DID("");			/* shorter */
	text(" and grows until it is longer than the one that is shown.");
	DID("edit(901)");
	ok(901);
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	DID("shown[0:901] DONE[0:901]");
}

static void
adopted_and_shorter_at_the_end(void **state)
{
	struct stream_past	 past = { 901, 5000 };

	(void)state;
	stream_start(&s, now, &past, 1);
	answer(ERR_OK, 200, 0, 901, LONGER);
	text("Short.");
	asked();
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	DID("close(901)");
	assert_string_equal(leave(), "Short.");
}

/* The handler died, this process did not: no GET, the same message. */
static void
adopted_in_place(void **state)
{
	(void)state;
	grown(LONGER);
	text(" More.");
	wake();
	asked();
	stream_restart(&s, now);
	DID("open[0:901]");
	assert_string_equal(leave(), LONGER " More.");	/* what was about to leave */
	ok(901);
	asked();
	after_ms(5000);
	text("Again");
	DID("");
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	DID("close(901)");
	assert_string_equal(leave(), "Again");
}

/* Three messages, and the new answer needs one: the others go. */
static void
surplus_is_removed(void **state)
{
	struct stream_past	 past[] = { { 901, 9000 }, { 902, 8000 }, { 903, 7000 } };

	(void)state;
	stream_start(&s, now, past, 3);
	DID("open[2:903] get(903)");
	answer(ERR_OK, 200, 0, 903, LONGER);
	text("Short.");
	DID("");
	stream_end(&s, now, END_FINAL, SPAN_NONE);
	DID("close(901)");
	ok(901);
	DID("shown[0:901] remove(903)");
	ok(0);
	DID("remove(902)");
	ok(0);
	DID("DONE[0:901]");
}

/* A message that was asked for just now, by a process that died: its nonce settles it. */
static void
asked_by_the_dead(void **state)
{
	struct stream_past	 past = { 0, 3000 };

	(void)state;
	stream_start(&s, now, &past, 1);
	DID("open[0:0]");
	text(WORDS);
	DID("asking[0:0]");
	stream_go(&s, now);
	DID("create(0,3000)");
}

static void
deleted_meanwhile(void **state)
{
	struct stream_past	 past = { 901, 5000 };

	(void)state;
	stream_start(&s, now, &past, 1);
	asked();
	answer(ERR_EHTTP, 404, 10008, 0, NULL);
	DID("STOPPED[0:901]");
}

/* Cut short again before it came to where the first attempt was: only the mark is new. */
static void
interrupted_keeps_what_is_shown(void **state)
{
	struct stream_past	 past = { 901, 5000 };

	(void)state;
	for (int with_text = 0; with_text < 2; with_text++) {
		begin(0);
		stream_start(&s, now, &past, 1);
		answer(ERR_OK, 200, 0, 901, LONGER "\n\u23f3 restarting \u2026");
		if (with_text)
			text("Another");
		asked();
		stream_end(&s, now, END_INTERRUPTED, SPAN_NONE);
		DID("close(901)");
		assert_string_equal(leave(), LONGER "\n\u26a0 interrupted");
		ok(901);
		DID("shown[0:901] DONE[0:901]");
	}
}

static void
unreadable_message(void **state)
{
	struct stream_past	 past = { 901, 5000 };

	(void)state;
	stream_start(&s, now, &past, 1);
	for (int i = 0; i < 2; i++) {
		answer(ERR_ETRANSPORT, 0, 0, 0, NULL);
		wake();
	}
	answer(ERR_ETRANSPORT, 0, 0, 0, NULL);
	assert_int_equal(s.state, STREAM_LIVE);
	asked();
	text(WORDS);
	DID("edit(901)");
}

/* ---- the text ---- */

static void
pieces_may_repeat_never_leave_a_gap(void **state)
{
	(void)state;
	stream_start(&s, now, NULL, 0);
	stream_text(&s, now, 0, SPAN("abcdef"));
	stream_text(&s, now, 3, SPAN("defghi"));
	stream_text(&s, now, 0, SPAN("abc"));
	stream_text(&s, now, 50, SPAN("far away"));
	assert_int_equal(s.text.n, 9);
	assert_memory_equal(s.text.p, "abcdefghi", 9);
}

static void
text_is_bounded(void **state)
{
	static char	 much[STREAM_TEXT_MAX / 2 + 10];

	(void)state;
	memset(much, 'x', sizeof(much));
	stream_start(&s, now, NULL, 0);
	for (int i = 0; i < 3; i++)
		stream_text(&s, now, s.text.n, span_make(much, sizeof(much)));
	assert_int_equal(s.text.n, STREAM_TEXT_MAX);
}

#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(matrix),
		TEST(first_text_asks_the_journal),
		TEST(short_text_waits),
		TEST(quiet_message),
		TEST(journal_without_room),
		TEST(nothing_to_show),
		TEST(cadence),
		TEST(bucket_nearly_empty),
		TEST(lost_edit_is_dropped),
		TEST(half_a_character),
		TEST(final_edit_goes_at_once),
		TEST(end_during_an_edit),
		TEST(nothing_left_to_say),
		TEST(final_edit_is_repeated_then_replaced),
		TEST(refused_final_edit_is_replaced),
		TEST(kinds_of_end),
		TEST(note_alone),
		TEST(roll_over_in_order),
		TEST(too_long),
		TEST(deleted_message_stops_it),
		TEST(forbidden_stops_it),
		TEST(lost_create),
		TEST(looked_for_and_not_found),
		TEST(nobody_knows),
		TEST(nonce_brings_an_older_text),
		TEST(typing_until_the_first_text),
		TEST(no_typing_after_the_end),
		TEST(adopted_by_a_new_process),
		TEST(adopted_and_shorter_at_the_end),
		TEST(adopted_in_place),
		TEST(surplus_is_removed),
		TEST(asked_by_the_dead),
		TEST(deleted_meanwhile),
		TEST(interrupted_keeps_what_is_shown),
		TEST(unreadable_message),
		TEST(pieces_may_repeat_never_leave_a_gap),
		TEST(text_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
