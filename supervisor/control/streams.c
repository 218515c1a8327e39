/*
 * streams - see streams.h.
 *
 * A stream is WAITING until a rest worker has it, then SENT.  It is found by its number on the rest
 * worker's link, by (handler, the handler's number), and by (delivery, ordinal): that is how a
 * redelivery meets what the attempt before it left.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/count.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/tables.h"
#include "common/tree.h"
#include "proto/contract.h"
#include "supervisor/control/streams.h"
#include "supervisor/delivery/answer.h"
#include "supervisor/delivery/took.h"

#define STATE_OPEN	1	/* STREAM_STATE.state */
#define STATE_ASKING	2
#define STATE_MADE	3
#define STATE_DONE	5
#define STATE_STOPPED	6
#define STATE_FAILED	7
#define KIND_STOPPED	3	/* STREAM_END.kind: the last that means complete */
#define KIND_INTERRUPTED 5

struct kept {
	uint64_t		 wire;		/* its number on the rest worker's link */
	uint64_t		 was;		/* there, before it was adopted in place; 0 none */
	struct child		*rest;		/* NULL: waiting for one */
	struct child		*from;		/* NULL: an orphan */
	uint64_t		 number;	/* as from calls it */
	uint64_t		 delivery, ordinal, channel, reply_to, flags;
	uint64_t		 end;		/* kind of the last STREAM_END; 0 none */
	uint64_t		 said;		/* bytes of the text that this attempt sent so far */
	uint64_t		 heard;		/* of them in one piece at this rest worker */
	uint64_t		 deaths;	/* of rest workers that had it */
	struct mono		 due;		/* of an orphan; never: it is none */
	TAILQ_ENTRY(kept)	 in_line;
	RB_ENTRY(kept)		 by_wire, by_number, by_ordinal;
};
RB_HEAD(kept_wires, kept);
RB_HEAD(kept_numbers, kept);
RB_HEAD(kept_ordinals, kept);

struct streams {
	struct journal		*journal;
	uint64_t		 poison, orphan_ms;
	struct timer		*timer;
	struct mono		 armed;		/* never: it is not */
	struct child		*active;	/* NULL: none */
	uint64_t		 wire;		/* the last one used */
	size_t			 open;
	TAILQ_HEAD(, kept)	 line;
	struct kept_wires	 wires;
	struct kept_numbers	 numbers;
	struct kept_ordinals	 ordinals;
};

static int
wire_cmp(const struct kept *a, const struct kept *b)
{
	return TREE_CMP(a->wire, b->wire);
}

static int
number_cmp(const struct kept *a, const struct kept *b)
{
	uintptr_t	 x = (uintptr_t)a->from, y = (uintptr_t)b->from;

	return x != y ? TREE_CMP(x, y) : TREE_CMP(a->number, b->number);
}

static int
ordinal_cmp(const struct kept *a, const struct kept *b)
{
	if (a->delivery != b->delivery)
		return TREE_CMP(a->delivery, b->delivery);
	return TREE_CMP(a->ordinal, b->ordinal);
}

TREE_GENERATE(kept_wires, kept, by_wire, wire_cmp)
TREE_GENERATE(kept_numbers, kept, by_number, number_cmp)
TREE_GENERATE(kept_ordinals, kept, by_ordinal, ordinal_cmp)

/* ---- the life of a struct kept ---- */

static void
disown(struct streams *st, struct kept *k)
{
	if (k->from != NULL)
		RB_REMOVE(kept_numbers, &st->numbers, k);
	k->from = NULL;
}

static void
worker_owns(struct streams *st, struct kept *k, struct child *from, uint64_t number)
{
	k->from = from;
	k->number = number;
	k->said = 0;
	k->due = MONO_NEVER;
	RB_INSERT(kept_numbers, &st->numbers, k);
}

static void
leave_rest(struct streams *st, struct kept *k)
{
	if (k->rest != NULL)
		RB_REMOVE(kept_wires, &st->wires, k);
	k->rest = NULL;
}

static void
kept_drop(struct streams *st, struct kept *k)
{
	disown(st, k);
	leave_rest(st, k);
	TAILQ_REMOVE(&st->line, k, in_line);
	RB_REMOVE(kept_ordinals, &st->ordinals, k);
	st->open--;
	free(k);
}

static void
arm(struct streams *st, struct mono due)
{
	if (!mono_is_never(st->armed) && !mono_before(due, st->armed))
		return;
	st->armed = due;
	timer_arm_at(st->timer, due);
}

static void
orphan(struct streams *st, struct kept *k, uint64_t ms)
{
	disown(st, k);
	k->due = mono_add_ms(clock_mono(), ms);
	arm(st, k->due);
}

static bool
is_complete(const struct kept *k)
{
	return k->end >= 1 && k->end <= KIND_STOPPED;
}

static struct kept *
by_number(struct streams *st, struct child *from, uint64_t number)
{
	struct kept	 key = { .from = from, .number = number };

	return RB_FIND(kept_numbers, &st->numbers, &key);
}

/* ---- the journal ---- */

/* NULL: finished or forgotten; nothing will ask for it again. */
static struct delivery *
delivery_of(struct streams *st, const struct kept *k)
{
	struct delivery	*d = journal_find(st->journal, k->delivery);

	return d == NULL || d->state == DLV_FINISHED ? NULL : d;
}

/*
 * What was asked and made so far, for STREAM_OPEN to a rest worker.  Of a finished delivery too: its
 * reply may have been given up while it was, and has to say so.
 */
static void
messages_of(struct streams *st, const struct kept *k, struct buf *out)
{
	const struct delivery	*d = journal_find(st->journal, k->delivery);
	const struct effect	*e;
	uint64_t		 now_ms = clock_wall_ms();

	for (unsigned i = 0; d != NULL; i++) {
		if ((e = delivery_effect(d, ANSWER_MESSAGE(k->ordinal, i))) == NULL)
			break;
		msg_list_u64(out, e->done ? e->id : 0);
		/* A clock that was set back: too old to be sure is the safe side. */
		msg_list_u64(out, now_ms >= e->asked_ms ? now_ms - e->asked_ms : UINT32_MAX);
	}
}

static bool
has_messages(struct streams *st, const struct kept *k)
{
	const struct delivery	*d = journal_find(st->journal, k->delivery);

	return d != NULL && answer_messages_n(d, k->ordinal) > 0;
}

/* ---- to the rest worker ---- */

/* Give a stream to the active worker, as a new one on its link. */
static void
give(struct streams *st, struct kept *k)
{
	struct buf		 list = { 0 };
	struct msg_STREAM_OPEN	 m = {
		.delivery = k->delivery, .ordinal = k->ordinal, .channel = k->channel,
		.reply_to = k->reply_to, .flags = k->flags,
	};

	if (st->active == NULL)
		return;
	k->was = k->rest == st->active ? k->wire : 0;
	k->end = k->heard = 0;		/* whoever gets it knows neither text nor end */
	leave_rest(st, k);
	m.stream = k->wire = ++st->wire;
	k->rest = st->active;
	RB_INSERT(kept_wires, &st->wires, k);
	messages_of(st, k, &list);
	m.messages = msg_list_of(&list);
	/* A worker that cannot take it is dying: streams_service_down takes the stream back. */
	(void)child_send(k->rest, MSG_STREAM_OPEN, &m);
	buf_fini(&list);
}

static void
end(struct kept *k, uint64_t kind, struct span note)
{
	struct msg_STREAM_END	 m = { .stream = k->wire, .kind = kind, .note = note };

	k->end = kind;
	if (k->rest != NULL)
		(void)child_send(k->rest, MSG_STREAM_END, &m);
}

/* Nobody goes on with it, not even later: its message has to say so. */
static void
interrupt(struct streams *st, struct kept *k)
{
	k->due = MONO_NEVER;
	if (k->end == 0)
		end(k, KIND_INTERRUPTED, SPAN_NONE);
	/* Without a rest worker the next one is told, see streams_state. */
	if (k->rest == NULL && !has_messages(st, k))
		kept_drop(st, k);
}

static void
on_due(void *arg)
{
	struct streams	*st = arg;
	struct mono	 now = clock_mono(), next = MONO_NEVER;
	struct kept	*k, *after;

	st->armed = MONO_NEVER;
	TAILQ_FOREACH_SAFE(k, &st->line, in_line, after) {
		if (k->from != NULL || mono_is_never(k->due))
			continue;
		if (mono_before(now, k->due)) {
			if (mono_is_never(next) || mono_before(k->due, next))
				next = k->due;
			continue;
		}
		if (k->end == 0)
			log_notice("stream of dlv#%016" PRIx64 " channel=%" PRIu64 ": nobody goes on",
			    k->delivery, k->channel);
		interrupt(st, k);
	}
	if (!mono_is_never(next))
		arm(st, next);
}

/* ---- to the handler ---- */

static void
tell(struct child *from, const struct msg_STREAM_STATE *res, uint64_t number)
{
	struct msg_STREAM_STATE	 m = *res;

	m.stream = number;
	(void)child_send(from, MSG_STREAM_STATE, &m);
}

static void
tell_failed(struct child *from, uint64_t number, enum error error)
{
	struct msg_STREAM_STATE	 m = {
		.state = STATE_FAILED, .error = (uint64_t)error, .why = span_of(error_text(error)),
	};

	tell(from, &m, number);
}

/*
 * Too many rest workers died with it.  The next one may show that it was given up; should that one
 * die too, the message stays as it is.
 */
static void
give_up(struct streams *st, struct kept *k)
{
	bool	 told = k->from == NULL;

	if (!told)
		tell_failed(k->from, k->number, ERR_EPOISON);
	disown(st, k);
	k->due = MONO_NEVER;
	if (!has_messages(st, k) || (told && k->deaths > st->poison))
		kept_drop(st, k);
}

static int
refuse(struct child *child, uint64_t number, enum error error)
{
	tell_failed(child, number, error);
	return 0;
}

/* ---- from a handler ---- */

static struct kept *
kept_new(struct streams *st, uint64_t delivery, uint64_t ordinal, uint64_t channel)
{
	struct kept	*k = mem_alloc(sizeof(*k));

	k->delivery = delivery;
	k->ordinal = ordinal;
	k->channel = channel;
	k->due = MONO_NEVER;
	TAILQ_INSERT_TAIL(&st->line, k, in_line);
	RB_INSERT(kept_ordinals, &st->ordinals, k);
	st->open++;
	return k;
}

/*
 * A later attempt says the reply again.  One whose text is complete needs nobody: its final state
 * answers the new attempt too.
 */
static void
adopt(struct streams *st, struct kept *k, struct child *child, uint64_t number)
{
	struct child	*rest = k->rest;

	if (k->from != NULL)
		tell_failed(k->from, k->number, ERR_ECANCELLED);
	disown(st, k);
	worker_owns(st, k, child, number);
	if (is_complete(k) && rest != NULL)
		return;
	/* A worker that drains has let go of it or will: its death brings it to the next one. */
	if (rest == NULL || rest == st->active)
		give(st, k);
}

/* Somebody goes on with it after all: the mark will be taken away. */
static void
unmark(struct streams *st, struct delivery *d, uint64_t ordinal)
{
	uint64_t	 last = ANSWER_MESSAGE(ordinal, answer_messages_n(d, ordinal) - 1);

	journal_effect(st->journal, d, last, 200, delivery_effect(d, last)->id);
}

int
streams_open(struct streams *st, struct child *child, const struct msg_STREAM_OPEN *m,
    const char **why_r)
{
	struct kept		 key = { .delivery = m->delivery, .ordinal = m->ordinal }, *k;
	struct msg_STREAM_STATE	 done = { .state = STATE_DONE };
	struct delivery		*d;
	struct effect		*e;
	char			 text[ANSWER_ROUTE_BYTES];
	struct span		 route = answer_route(m->channel, text);

	if (child_is_rest(child) || child_peer(child) == NULL) {
		*why_r = "STREAM_OPEN from a worker that holds no deliveries";
		return -1;
	}
	if (by_number(st, child, m->stream) != NULL) {
		*why_r = "STREAM_OPEN with a number that is open already";
		return -1;
	}
	if ((d = queue_held(child_peer(child), m->delivery)) == NULL)
		return refuse(child, m->stream, ERR_EACKED);
	e = delivery_effect(d, m->ordinal);
	if (e != NULL && !journal_effect_is(e, route))
		return refuse(child, m->stream, ERR_EORDINAL);
	if (e != NULL && e->done) {
		done.message = e->id;
		tell(child, &done, m->stream);
		return 0;
	}
	if (e != NULL && answer_is_marked(d, m->ordinal))
		unmark(st, d, m->ordinal);
	k = RB_FIND(kept_ordinals, &st->ordinals, &key);
	if (k != NULL) {
		adopt(st, k, child, m->stream);
		return 0;
	}
	if (st->open >= STREAMS_MAX)
		return refuse(child, m->stream, ERR_ESERVICE);
	if (e == NULL &&
	    journal_asked(st->journal, d, m->ordinal, route, clock_wall_ms(), &e) == -1)
		return refuse(child, m->stream, ERR_ERETRY);
	COUNT(streams);
	k = kept_new(st, m->delivery, m->ordinal, m->channel);
	k->reply_to = m->reply_to;
	k->flags = m->flags;
	worker_owns(st, k, child, m->stream);
	give(st, k);
	return 0;
}

/* Text and end of a stream that is over cross its final state on the way: they are dropped. */
int
streams_text(struct streams *st, struct child *child, const struct msg_STREAM_TEXT *m,
    const char **why_r)
{
	struct kept		*k = by_number(st, child, m->stream);
	struct msg_STREAM_TEXT	 out = *m;
	uint64_t		 to = m->offset + m->text.n;

	(void)why_r;
	if (k == NULL || k->end != 0)
		return 0;
	if (k->said < to)
		k->said = to;
	if (k->rest == NULL)
		return 0;
	if (m->offset <= k->heard && k->heard < to)
		k->heard = to;
	out.stream = k->wire;
	(void)child_send(k->rest, MSG_STREAM_TEXT, &out);
	return 0;
}

/*
 * An end that was sent before the handler heard of the next rest worker arrives at that one without
 * its text, and would make it an empty reply.  It comes again, with the text.
 */
int
streams_end(struct streams *st, struct child *child, const struct msg_STREAM_END *m,
    const char **why_r)
{
	struct kept	*k = by_number(st, child, m->stream);

	(void)why_r;
	if (k != NULL && k->end == 0 && k->rest != NULL && k->heard == k->said)
		end(k, m->kind, m->note);
	return 0;
}

/* ---- from the rest worker ---- */

/* It wants to post message m->index: the journal first, then the word back. */
static void
asking(struct streams *st, struct kept *k, const struct msg_STREAM_STATE *m)
{
	struct delivery		*d = delivery_of(st, k);
	struct msg_STREAM_STATE	 back = *m;
	struct span		 route;
	struct effect		*e;
	char			 text[ANSWER_ROUTE_BYTES];
	int			 noted = -1;

	route = answer_message_route(k->channel, text);
	if (d != NULL)
		noted = journal_asked(st->journal, d, ANSWER_MESSAGE(k->ordinal, m->index), route,
		    clock_wall_ms(), &e);
	if (noted == 1 && fault_hits(FAULT_SUP_CRASH_ASKED, route))
		raise(SIGKILL);
	back.stream = k->wire;
	back.error = 0;
	back.why = SPAN_NONE;
	if (noted == -1) {
		back.state = STATE_FAILED;
		back.error = d == NULL ? ERR_EACKED :
		    d->effects_n >= PROTO_EFFECTS_MAX ? ERR_ETOOBIG : ERR_ESERVICE;
	}
	(void)child_send(k->rest, MSG_STREAM_STATE, &back);
}

static void
made(struct streams *st, struct kept *k, const struct msg_STREAM_STATE *m)
{
	struct delivery	*d = delivery_of(st, k);
	char		 text[ANSWER_ROUTE_BYTES];

	if (fault_hits(FAULT_SUP_CRASH_EFFECT, answer_message_route(k->channel, text)))
		raise(SIGKILL);
	if (d == NULL)
		return;
	took_answered(d, clock_wall_ms());
	journal_effect(st->journal, d, ANSWER_MESSAGE(k->ordinal, m->index), 200, m->message);
}

/* A reply that was cut short is not done: the next attempt goes on with it, if there is one. */
static void
final(struct streams *st, struct kept *k, const struct msg_STREAM_STATE *m)
{
	struct delivery	*d = delivery_of(st, k);
	bool		 marked = m->state == STATE_DONE && k->end == KIND_INTERRUPTED;

	if (marked)
		COUNT(streams_interrupted);
	if (d != NULL && marked)
		journal_effect(st->journal, d, ANSWER_MESSAGE(k->ordinal, m->index), ANSWER_MARKED,
		    m->message);
	else if (d != NULL &&
	    (m->state == STATE_STOPPED || (m->state == STATE_DONE && is_complete(k))))
		journal_effect(st->journal, d, k->ordinal, 200, m->message);
	if (k->from != NULL)
		tell(k->from, m, k->number);
	kept_drop(st, k);
	/* Set aside while its message was being told that somebody goes on. */
	if (d != NULL && d->state == DLV_ASIDE && m->state == STATE_DONE)
		streams_aside(st, d);
}

/*
 * Said before it heard that it was adopted under another number.  What the journal must know still
 * counts; what the attempt before should have heard does not.
 */
static void
late_state(struct streams *st, struct child *child, const struct msg_STREAM_STATE *m)
{
	struct kept	*k;

	TAILQ_FOREACH(k, &st->line, in_line)
		if (k->rest == child && k->was == m->stream)
			break;
	if (k != NULL && m->state == STATE_ASKING)
		asking(st, k, m);
	else if (k != NULL && m->state == STATE_MADE)
		made(st, k, m);
}

int
streams_state(struct streams *st, struct child *child, const struct msg_STREAM_STATE *m,
    const char **why_r)
{
	struct kept	 key = { .wire = m->stream }, *k;

	if (!child_is_rest(child) || m->stream > st->wire) {
		*why_r = "STREAM_STATE of a stream that it does not have";
		return -1;
	}
	k = RB_FIND(kept_wires, &st->wires, &key);
	if (k == NULL || k->rest != child) {
		late_state(st, child, m);
		return 0;
	}
	switch (m->state) {
	case STATE_ASKING:
		asking(st, k, m);
		return 0;
	case STATE_MADE:
		made(st, k, m);
		break;
	case STATE_FAILED:
		if (m->error == ERR_ERETRY) {		/* it drains and lets go */
			leave_rest(st, k);
			if (child != st->active)
				give(st, k);
			return 0;
		}
		/* fall through */
	case STATE_DONE:
	case STATE_STOPPED:
		final(st, k, m);
		return 0;
	case STATE_OPEN:
		/* The handler says it again; for an orphan that waited long enough nobody does. */
		if (k->from == NULL && mono_is_never(k->due))
			end(k, KIND_INTERRUPTED, SPAN_NONE);
		break;
	default:
		break;
	}
	if (k->from != NULL)
		tell(k->from, m, k->number);
	return 0;
}

/* ---- workers come and go ---- */

void
streams_active(struct streams *st, struct child *active)
{
	struct kept	*k, *after;

	st->active = active;
	if (active == NULL)
		return;
	/* Also when it is the same: another one, which drained, may have died with some. */
	TAILQ_FOREACH_SAFE(k, &st->line, in_line, after)
		if (k->rest == NULL)
			give(st, k);
}

void
streams_service_down(struct streams *st, struct child *child, bool asked)
{
	struct kept	*k, *after;
	size_t		 again = 0, ended = 0;

	if (st->active == child)
		st->active = NULL;
	TAILQ_FOREACH_SAFE(k, &st->line, in_line, after) {
		if (k->rest != child)
			continue;
		leave_rest(st, k);
		if (!asked && ++k->deaths >= st->poison) {
			ended++;
			give_up(st, k);
			continue;
		}
		again++;
	}
	if (again + ended > 0)
		log_notice("%s died with streams open again=%zu ended=%zu", child_tag(child),
		    again, ended);
}

void
streams_worker_down(struct streams *st, struct child *child)
{
	struct kept	*k, *after;

	TAILQ_FOREACH_SAFE(k, &st->line, in_line, after) {
		if (k->from != child)
			continue;
		orphan(st, k, st->orphan_ms);
		/* Nothing of it is visible, and the next attempt opens it anew. */
		if (k->rest == NULL && !has_messages(st, k))
			kept_drop(st, k);
	}
}

void
streams_delivery_over(struct streams *st, struct child *child, uint64_t delivery, bool acked)
{
	struct kept	 key = { .delivery = delivery }, *k, *next;

	for (k = RB_NFIND(kept_ordinals, &st->ordinals, &key); k != NULL && k->delivery == delivery;
	    k = next) {
		next = RB_NEXT(kept_ordinals, &st->ordinals, k);
		if (k->from != child)
			continue;
		orphan(st, k, acked ? 0 : st->orphan_ms);
		if (k->rest == NULL && (acked || !has_messages(st, k)))
			kept_drop(st, k);
	}
}

void
streams_aside(struct streams *st, const struct delivery *d)
{
	struct kept	 key = { .delivery = d->id }, *k;
	uint64_t	 channel;

	for (size_t i = 0; i < d->effects_n; i++) {
		key.ordinal = d->effects[i].ordinal;
		k = RB_FIND(kept_ordinals, &st->ordinals, &key);
		if (k != NULL && k->from == NULL)
			interrupt(st, k);
		if (k != NULL || !answer_is_open(d, &d->effects[i], &channel) ||
		    answer_is_marked(d, key.ordinal))
			continue;
		if (st->open >= STREAMS_MAX) {
			log_warnx("dlv#%016" PRIx64 " channel=%" PRIu64
			    ": too many streams are open to mark its message", d->id, channel);
			continue;
		}
		k = kept_new(st, d->id, key.ordinal, channel);
		/* Should its id not be known, the message is known by what it answers. */
		if (strcmp(d->name, "MESSAGE_CREATE") == 0)
			k->reply_to = d->object;
		give(st, k);
	}
}

void
streams_recover(struct streams *st)
{
	const struct delivery	*d;

	for (d = journal_first(st->journal, DLV_ASIDE); d != NULL; d = TAILQ_NEXT(d, in_state))
		streams_aside(st, d);
}

size_t
streams_open_n(const struct streams *st, const struct child *child)
{
	const struct kept	*k;
	size_t			 n = 0;

	if (child == NULL)
		return st->open;
	TAILQ_FOREACH(k, &st->line, in_line)
		n += k->from == child || k->rest == child;
	return n;
}

void
streams_reconfigure(struct streams *st, uint64_t poison)
{
	st->poison = poison;
}

struct streams *
streams_new(struct loop *loop, struct journal *journal, uint64_t poison, uint64_t orphan_ms)
{
	struct streams	*st = mem_alloc(sizeof(*st));

	st->journal = journal;
	st->poison = poison;
	st->orphan_ms = orphan_ms;
	st->timer = timer_new(loop, on_due, st);
	TAILQ_INIT(&st->line);
	RB_INIT(&st->wires);
	RB_INIT(&st->numbers);
	RB_INIT(&st->ordinals);
	return st;
}

void
streams_free(struct streams **stp)
{
	struct streams	*st = *stp;
	struct kept	*k;

	if (st == NULL)
		return;
	while ((k = TAILQ_FIRST(&st->line)) != NULL)
		kept_drop(st, k);
	timer_free(&st->timer);
	free(st);
	*stp = NULL;
}
