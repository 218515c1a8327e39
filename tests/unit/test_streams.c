/*
 * streams against fakes of pool, queue and journal: what goes to whom, what is remembered, who
 * goes on when somebody dies.
 */
#include "common/log.h"
#include "common/loop.h"
#include "common/tables.h"
#include "supervisor/control/streams.h"
#include "tests/unit/fake_supervisor.h"

/* "open(1.2 901);" "text(1);" "end(5);" "state(3,0);" */
static void
note_open(struct child *c, const struct msg_STREAM_OPEN *m)
{
	struct msg_list_iter	 it = { m->messages.raw, 0 };
	uint64_t		 id, ms;

	c->wire = m->stream;
	did(c, "open(%llu.%llu", (unsigned long long)m->delivery, (unsigned long long)m->ordinal);
	while (msg_list_more(&it) && msg_list_next_u64(&it, &id) && msg_list_next_u64(&it, &ms)) {
		assert_true(ms < 5000);
		did(c, " %llu", (unsigned long long)id);
	}
	did(c, ");");
}

static void
fake_sent(struct child *c, enum msg_type type, const void *src)
{
	const struct msg_STREAM_STATE	*state = src;
	const struct msg_STREAM_END	*end = src;
	const struct msg_STREAM_TEXT	*text = src;

	switch ((int)type) {
	case MSG_STREAM_OPEN:
		note_open(c, src);
		break;
	case MSG_STREAM_TEXT:
		c->wire = text->stream;
		did(c, "text(%llu);", (unsigned long long)text->offset);
		break;
	case MSG_STREAM_END:
		c->wire = end->stream;
		did(c, "end(%llu);", (unsigned long long)end->kind);
		break;
	case MSG_STREAM_STATE:
		c->wire = state->stream;
		c->error = state->error;
		did(c, "state(%llu,%llu);", (unsigned long long)state->state,
		    (unsigned long long)state->index);
		break;
	default:
		fail_msg("sent %s", msg_name(type));
	}
}

/* ---- the stage: two rest workers, two handlers; deliveries 1 and 2 are out to a ---- */

#define ORPHAN_MS	20

static struct loop	*loop;
static struct streams	*st;
static struct child	 r0, r1, a, b;

static int
setup(void **state)
{
	(void)state;
	log_init("test", 2, LOG_WARNING);
	r0 = (struct child){ .tag = "rest.0#1", .rest = true };
	r1 = (struct child){ .tag = "rest.1#1", .rest = true };
	a = (struct child){ .tag = "chat.0#1", .held = { 1, 2 } };
	b = (struct child){ .tag = "chat.1#1" };
	fake_reset();
	loop = loop_new();
	st = streams_new(loop, NULL, 3, ORPHAN_MS);
	streams_active(st, &r0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	streams_free(&st);
	loop_free(&loop);
	fake_forget();
	return 0;
}

/* What a child was sent since the last time. */
static const char *
got(struct child *c)
{
	static char	 was[sizeof(c->did)];

	memcpy(was, c->did, sizeof(was));
	c->did[0] = '\0';
	return was;
}

static const char *
noted(void)
{
	static char	 was[sizeof(journal_did)];

	memcpy(was, journal_did, sizeof(was));
	journal_did[0] = '\0';
	return was;
}

#define GOT(child, words)	assert_string_equal(got(&(child)), words)
#define NOTED(words)		assert_string_equal(noted(), words)

static int
open_as(struct child *c, uint64_t number, uint64_t delivery, uint64_t ordinal)
{
	struct msg_STREAM_OPEN	 m = {
		.stream = number, .delivery = delivery, .ordinal = ordinal, .channel = 7,
		.reply_to = 5,
	};
	const char		*why = NULL;

	return streams_open(st, c, &m, &why);
}

static void
text(struct child *c, uint64_t number, uint64_t offset)
{
	struct msg_STREAM_TEXT	 m = { .stream = number, .offset = offset, .text = SPAN("text") };
	const char		*why = NULL;

	assert_int_equal(streams_text(st, c, &m, &why), 0);
}

static void
end(struct child *c, uint64_t number, uint64_t kind)
{
	struct msg_STREAM_END	 m = { .stream = number, .kind = kind };
	const char		*why = NULL;

	assert_int_equal(streams_end(st, c, &m, &why), 0);
}

static int
says(struct child *r, uint64_t wire, uint64_t state, uint64_t index, uint64_t message,
    uint64_t error)
{
	struct msg_STREAM_STATE	 m = {
		.stream = wire, .state = state, .index = index, .message = message, .error = error,
	};
	const char		*why = NULL;

	return streams_state(st, r, &m, &why);
}

static void
dies(struct child *r, struct child *next)
{
	r->dead = true;
	streams_service_down(st, r, false);
	streams_active(st, next);
}

/* A stream that shows message 901; what was said so far is forgotten. */
static uint64_t
grown(void)
{
	uint64_t	 wire;

	assert_int_equal(open_as(&a, 1, 1, 1), 0);
	wire = r0.wire;
	says(&r0, wire, 1, 0, 0, 0);
	text(&a, 1, 0);
	says(&r0, wire, 2, 0, 0, 0);
	says(&r0, wire, 3, 0, 901, 0);
	got(&a);
	got(&r0);
	noted();
	return wire;
}

/* ---- the ordinary life ---- */

static void
from_handler_to_rest_and_back(void **state)
{
	uint64_t	 wire;

	(void)state;
	assert_int_equal(open_as(&a, 1, 1, 1), 0);
	NOTED("asked 1 STREAM /channels/7;");
	GOT(r0, "open(1.1);");
	wire = r0.wire;
	says(&r0, wire, 1, 0, 0, 0);
	GOT(a, "state(1,0);");
	text(&a, 1, 0);
	GOT(r0, "text(0);");
	assert_int_equal(r0.wire, wire);
	/* The journal, then the word to post; the handler has no business with it. */
	says(&r0, wire, 2, 0, 0, 0);
	NOTED("asked 65 POST /channels/7/messages;");
	GOT(r0, "state(2,0);");
	GOT(a, "");
	says(&r0, wire, 3, 0, 901, 0);
	NOTED("effect 65 200 901;");
	GOT(a, "state(3,0);");
	says(&r0, wire, 2, 1, 0, 0);
	NOTED("asked 129 POST /channels/7/messages;");
	says(&r0, wire, 3, 1, 902, 0);
	got(&a);
	got(&r0);
	end(&a, 1, 1);
	GOT(r0, "end(1);");
	noted();
	says(&r0, wire, 5, 1, 902, 0);
	NOTED("effect 1 200 902;");
	GOT(a, "state(5,1);");
	assert_int_equal(streams_open_n(st, NULL), 0);
}

static void
done_is_answered_from_the_journal(void **state)
{
	uint64_t	 wire = grown();

	(void)state;
	end(&a, 1, 1);
	says(&r0, wire, 5, 0, 901, 0);
	got(&a);
	got(&r0);
	noted();
	assert_int_equal(open_as(&a, 2, 1, 1), 0);
	GOT(a, "state(5,0);");
	GOT(r0, "");
	NOTED("");
}

/* What was only cut short is not done. */
static void
restarting_is_not_done(void **state)
{
	uint64_t	 wire = grown();

	(void)state;
	end(&a, 1, 4);
	says(&r0, wire, 5, 0, 901, 0);
	NOTED("");
	got(&r0);
	assert_int_equal(open_as(&a, 2, 1, 1), 0);
	GOT(r0, "open(1.1 901);");
}

static void
deleted_is_done(void **state)
{
	uint64_t	 wire = grown();

	(void)state;
	says(&r0, wire, 6, 0, 901, ERR_EHTTP);
	NOTED("effect 1 200 901;");
	GOT(a, "state(6,0);");
	text(&a, 1, 4);			/* it crossed the final state */
	end(&a, 1, 1);
	GOT(r0, "");
}

static void
failed_is_not_done(void **state)
{
	uint64_t	 wire = grown();

	(void)state;
	says(&r0, wire, 7, 0, 901, ERR_ETRANSPORT);
	NOTED("");
	GOT(a, "state(7,0);");
	assert_int_equal(a.error, ERR_ETRANSPORT);
}

/* ---- what is refused ---- */

static void
refused(void **state)
{
	(void)state;
	open_as(&b, 1, 1, 1);		/* a holds it */
	GOT(b, "state(7,0);");
	assert_int_equal(b.error, ERR_EACKED);
	effects[1][0] = (struct effect){
		.ordinal = 1, .route = mem_strdup("POST /x"), .asked_ms = 1
	};
	deliveries[1].effects_n = 1;
	open_as(&a, 1, 1, 1);
	assert_int_equal(a.error, ERR_EORDINAL);
	journal_full = true;
	open_as(&a, 2, 2, 1);
	assert_int_equal(a.error, ERR_ERETRY);
	GOT(r0, "");
	assert_int_equal(streams_open_n(st, NULL), 0);
}

static void
protocol_errors(void **state)
{
	(void)state;
	assert_int_equal(open_as(&r0, 1, 1, 1), -1);
	assert_int_equal(open_as(&a, 1, 1, 1), 0);
	assert_int_equal(open_as(&a, 1, 2, 1), -1);
	assert_int_equal(says(&r0, 99, 1, 0, 0, 0), -1);
	assert_int_equal(says(&a, 1, 1, 0, 0, 0), -1);
}

/* 64 effects of a delivery, whoever asks. */
static void
no_room_for_a_message(void **state)
{
	uint64_t	 wire;

	(void)state;
	wire = grown();
	journal_full = true;
	says(&r0, wire, 2, 1, 0, 0);
	GOT(r0, "state(7,1);");
	assert_int_equal(r0.error, ERR_ESERVICE);
	deliveries[1].effects_n = PROTO_EFFECTS_MAX;
	for (size_t i = 2; i < PROTO_EFFECTS_MAX; i++)
		effects[1][i].route = NULL;
	says(&r0, wire, 2, 1, 0, 0);
	assert_int_equal(r0.error, ERR_ETOOBIG);
}

/* ---- a rest worker dies ---- */

static void
opened_again_at_the_next(void **state)
{
	uint64_t	 wire;

	(void)state;
	grown();
	dies(&r0, &r1);
	GOT(r1, "open(1.1 901);");
	wire = r1.wire;
	says(&r1, wire, 1, 0, 901, 0);
	GOT(a, "state(1,0);");		/* now it sends the text again */
	text(&a, 1, 0);
	end(&a, 1, 1);
	GOT(r1, "text(0);end(1);");
	says(&r1, wire, 5, 0, 901, 0);
	NOTED("effect 1 200 901;");
}

/* Asked, and nobody saw the answer: the next one gets the message without its id. */
static void
asked_without_an_answer(void **state)
{
	(void)state;
	open_as(&a, 1, 1, 1);
	says(&r0, r0.wire, 2, 0, 0, 0);
	noted();
	dies(&r0, &r1);
	GOT(r1, "open(1.1 0);");
	says(&r1, r1.wire, 2, 0, 0, 0);
	NOTED("");			/* it knows already */
	GOT(r1, "state(2,0);");
}

static void
no_rest_worker_for_a_while(void **state)
{
	(void)state;
	grown();
	dies(&r0, NULL);
	text(&a, 1, 4);
	end(&a, 1, 1);			/* nobody hears it */
	open_as(&a, 2, 2, 1);
	streams_active(st, &r1);
	GOT(r1, "open(1.1 901);open(2.1);");
	assert_int_equal(streams_open_n(st, &r1), 2);
}

/* Text and end that were on their way when the rest worker died: the end alone is no reply. */
static void
end_that_lost_its_text(void **state)
{
	(void)state;
	grown();
	text(&a, 1, 4);
	dies(&r0, &r1);
	got(&r1);
	end(&a, 1, 1);
	GOT(r1, "");
	says(&r1, r1.wire, 1, 0, 901, 0);
	GOT(a, "state(1,0);");
	text(&a, 1, 8);			/* that, too, was said before a heard of r1 */
	end(&a, 1, 1);
	GOT(r1, "text(8);");
	text(&a, 1, 0);
	text(&a, 1, 4);
	text(&a, 1, 8);
	end(&a, 1, 1);
	GOT(r1, "text(0);text(4);text(8);end(1);");
}

static void
in_too_many_dead_workers(void **state)
{
	(void)state;
	grown();
	for (int i = 0; i < 2; i++) {
		dies(i % 2 == 0 ? &r0 : &r1, i % 2 == 0 ? &r1 : &r0);
		r0.dead = r1.dead = false;
	}
	GOT(a, "");
	got(&r1);
	dies(&r0, &r1);
	GOT(a, "state(7,0);");
	assert_int_equal(a.error, ERR_EPOISON);
	/* The next one shows that it was given up, also when the handler is through with it. */
	GOT(r1, "open(1.1 901);");
	streams_delivery_over(st, &a, 1, true);
	deliveries[1].state = DLV_FINISHED;
	says(&r1, r1.wire, 1, 0, 901, 0);
	GOT(r1, "end(5);");
	noted();
	says(&r1, r1.wire, 5, 0, 901, 0);
	NOTED("");
	assert_int_equal(streams_open_n(st, NULL), 0);
}

/* The mark kills one too: that was the last one. */
static void
in_one_more_dead_worker(void **state)
{
	(void)state;
	grown();
	for (int i = 0; i < 4; i++) {
		assert_int_equal(streams_open_n(st, NULL), 1);
		dies(i % 2 == 0 ? &r0 : &r1, i % 2 == 0 ? &r1 : &r0);
		r0.dead = r1.dead = false;
	}
	assert_int_equal(streams_open_n(st, NULL), 0);
}

/* Restarts that an operator asks for are nobody's fault. */
static void
in_many_restarted_workers(void **state)
{
	(void)state;
	grown();
	for (int i = 0; i < 5; i++) {
		streams_service_down(st, i % 2 == 0 ? &r0 : &r1, true);
		streams_active(st, i % 2 == 0 ? &r1 : &r0);
	}
	GOT(a, "");
	assert_int_equal(streams_open_n(st, &r1), 1);
}

/* A draining one lets go; the next one goes on. */
static void
drained(void **state)
{
	uint64_t	 wire = grown();

	(void)state;
	streams_active(st, &r1);
	GOT(r1, "");			/* two would write */
	says(&r0, wire, 7, 0, 901, ERR_ERETRY);
	GOT(r1, "open(1.1 901);");
	GOT(a, "");
}

/* ---- a handler dies ---- */

static void
handler_takes_over(struct child *next)
{
	a.dead = true;
	streams_worker_down(st, &a);
	memset(a.held, 0, sizeof(a.held));
	next->held[0] = 1;
}

static void
adopted_in_place(void **state)
{
	uint64_t	 old = grown();

	(void)state;
	handler_takes_over(&b);
	GOT(r0, "");
	assert_int_equal(open_as(&b, 9, 1, 1), 0);
	GOT(r0, "open(1.1 901);");
	assert_true(r0.wire != old);
	/* Said before it heard of that: the journal wants to know, the new handler does not. */
	says(&r0, old, 2, 1, 0, 0);
	NOTED("asked 129 POST /channels/7/messages;");
	GOT(r0, "state(2,1);");
	assert_true(r0.wire != old);
	says(&r0, old, 3, 1, 902, 0);
	NOTED("effect 129 200 902;");
	says(&r0, old, 5, 1, 902, 0);
	NOTED("");
	GOT(b, "");
	says(&r0, r0.wire, 1, 1, 902, 0);
	GOT(b, "state(1,1);");
	text(&b, 9, 0);
	GOT(r0, "text(0);");
}

/* Its text was complete: it is finished without its handler, and the new one hears of it. */
static void
complete_needs_nobody(void **state)
{
	uint64_t	 wire = grown();

	(void)state;
	end(&a, 1, 1);
	handler_takes_over(&b);
	got(&r0);
	open_as(&b, 9, 1, 1);
	GOT(r0, "");
	says(&r0, wire, 5, 0, 901, 0);
	NOTED("effect 1 200 901;");
	GOT(b, "state(5,0);");
}

/* Complete, but then the rest worker died as well: the new handler has to say it again. */
static void
complete_and_lost(void **state)
{
	(void)state;
	grown();
	end(&a, 1, 1);
	handler_takes_over(&b);
	dies(&r0, &r1);
	GOT(r1, "open(1.1 901);");
	open_as(&b, 9, 1, 1);
	GOT(r1, "open(1.1 901);");
	says(&r1, r1.wire, 1, 0, 901, 0);
	GOT(b, "state(1,0);");
}

/* Nothing of it was visible: it is forgotten, and opened anew. */
static void
nothing_visible(void **state)
{
	(void)state;
	streams_active(st, NULL);
	streams_free(&st);
	st = streams_new(loop, NULL, 3, ORPHAN_MS);
	open_as(&a, 1, 1, 1);
	handler_takes_over(&b);
	assert_int_equal(streams_open_n(st, NULL), 0);
}

/* Run the loop until the child was sent something, at most 5 s. */
static void
until_sent(struct child *c)
{
	struct mono	 patience = mono_add_ms(clock_mono(), 5000);

	while (c->did[0] == '\0' && mono_before(clock_mono(), patience))
		loop_turn(loop);
}

static void
acked_with_an_open_stream(void **state)
{
	(void)state;
	grown();
	streams_delivery_over(st, &a, 1, true);
	until_sent(&r0);
	GOT(r0, "end(5);");
}

/* Nobody goes on with it: its message says so. */
static void
orphan_is_interrupted(void **state)
{
	uint64_t	 wire = grown();

	(void)state;
	handler_takes_over(&b);
	until_sent(&r0);
	GOT(r0, "end(5);");
	says(&r0, wire, 5, 0, 901, 0);
	NOTED("effect 65 206 901;");
	assert_int_equal(streams_open_n(st, NULL), 0);
	/* A late redelivery may still go on; then the mark is gone. */
	open_as(&b, 9, 1, 1);
	NOTED("effect 65 200 901;");
	GOT(r0, "open(1.1 901);");
}

/* The rest worker died too: the next one marks the message. */
static void
orphan_of_both(void **state)
{
	struct mono	 late = mono_add_ms(clock_mono(), 2 * ORPHAN_MS);

	(void)state;
	grown();
	handler_takes_over(&b);
	dies(&r0, NULL);
	while (mono_before(clock_mono(), late))		/* its time passes unseen */
		loop_turn(loop);
	streams_active(st, &r1);
	GOT(r1, "open(1.1 901);");
	says(&r1, r1.wire, 1, 0, 901, 0);
	GOT(r1, "end(5);");
}

static void
handed_back_with_an_open_stream(void **state)
{
	(void)state;
	grown();
	open_as(&a, 2, 2, 1);
	got(&r0);
	streams_delivery_over(st, &a, 1, false);
	loop_turn(loop);
	GOT(r0, "");
	b.held[0] = 1;
	open_as(&b, 1, 1, 1);
	GOT(r0, "open(1.1 901);");
	assert_int_equal(streams_open_n(st, &a), 1);
	assert_int_equal(streams_open_n(st, &b), 1);
}

/* ---- set aside: nobody will go on ---- */

static void
set_aside(uint64_t id)
{
	a.held[0] = 0;
	deliveries[id].state = DLV_ASIDE;
	streams_aside(st, &deliveries[id]);
}

static void
aside_is_marked_at_once(void **state)
{
	uint64_t	 wire = grown();

	(void)state;
	a.dead = true;
	streams_worker_down(st, &a);
	GOT(r0, "");			/* it might be adopted */
	set_aside(1);
	GOT(r0, "end(5);");
	says(&r0, wire, 5, 0, 901, 0);
	NOTED("effect 65 206 901;");
	assert_int_equal(streams_open_n(st, NULL), 0);
	streams_aside(st, &deliveries[1]);
	GOT(r0, "");			/* once */
}

/* Its message says "restarting", or is being told to. */
static void
restarting_is_marked(void **state)
{
	uint64_t	 wire = grown();

	(void)state;
	end(&a, 1, 4);
	streams_delivery_over(st, &a, 1, false);
	set_aside(1);
	GOT(r0, "end(4);");
	says(&r0, wire, 5, 0, 901, 0);
	NOTED("");
	GOT(r0, "open(1.1 901);");
	says(&r0, r0.wire, 1, 0, 901, 0);
	GOT(r0, "end(5);");
	says(&r0, r0.wire, 5, 0, 901, 0);
	NOTED("effect 65 206 901;");
	assert_int_equal(streams_open_n(st, NULL), 0);
}

/* By a supervisor before this one; the first rest worker is not there yet. */
static void
marked_at_the_next_start(void **state)
{
	(void)state;
	grown();
	streams_free(&st);
	st = streams_new(loop, NULL, 3, ORPHAN_MS);
	deliveries[1].state = DLV_ASIDE;
	streams_recover(st);
	assert_int_equal(streams_open_n(st, NULL), 1);
	streams_active(st, &r1);
	GOT(r1, "open(1.1 901);");
	says(&r1, r1.wire, 1, 0, 901, 0);
	GOT(r1, "end(5);");
	/* Somebody retries the dead letter just now. */
	deliveries[1].state = DLV_GIVEN;
	b.held[0] = 1;
	open_as(&b, 9, 1, 1);
	GOT(r1, "open(1.1 901);");
	says(&r1, r1.wire, 1, 0, 901, 0);
	GOT(b, "state(1,0);");
	GOT(r1, "");
}

/* Whole, deleted, or nothing of it was ever asked for. */
static void
nothing_to_mark(void **state)
{
	uint64_t	 wire = grown();

	(void)state;
	end(&a, 1, 1);
	says(&r0, wire, 5, 0, 901, 0);
	got(&r0);
	set_aside(1);
	GOT(r0, "");
	a.held[1] = 2;
	streams_active(st, NULL);
	open_as(&a, 2, 2, 1);
	streams_worker_down(st, &a);
	set_aside(2);
	assert_int_equal(streams_open_n(st, NULL), 0);
}

/* Discord refuses the mark: the next start may try again, this one does not. */
static void
mark_that_fails(void **state)
{
	(void)state;
	grown();
	streams_worker_down(st, &a);
	set_aside(1);
	says(&r0, r0.wire, 7, 0, 901, ERR_EHTTP);
	NOTED("");
	assert_int_equal(streams_open_n(st, NULL), 0);
}

#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(from_handler_to_rest_and_back),
		TEST(done_is_answered_from_the_journal),
		TEST(restarting_is_not_done),
		TEST(deleted_is_done),
		TEST(failed_is_not_done),
		TEST(refused),
		TEST(protocol_errors),
		TEST(no_room_for_a_message),
		TEST(opened_again_at_the_next),
		TEST(asked_without_an_answer),
		TEST(no_rest_worker_for_a_while),
		TEST(end_that_lost_its_text),
		TEST(in_too_many_dead_workers),
		TEST(in_one_more_dead_worker),
		TEST(in_many_restarted_workers),
		TEST(drained),
		TEST(adopted_in_place),
		TEST(complete_needs_nobody),
		TEST(complete_and_lost),
		TEST(nothing_visible),
		TEST(acked_with_an_open_stream),
		TEST(orphan_is_interrupted),
		TEST(orphan_of_both),
		TEST(handed_back_with_an_open_stream),
		TEST(aside_is_marked_at_once),
		TEST(restarting_is_marked),
		TEST(marked_at_the_next_start),
		TEST(nothing_to_mark),
		TEST(mark_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
