/*
 * reply - replies that grow; see task.h and scope.h.
 */
#include <stdlib.h>

#include "common/log.h"
#include "worker/runtime/scope.h"

#define STREAM_OPEN_STATE	1	/* STREAM_STATE.state */
#define STREAM_FINAL_STATES	5
#define STREAM_FAILED_STATE	7
#define STREAM_STOPPED		3	/* STREAM_END.kind */
#define STREAM_RESTARTING	4
#define STREAM_INTERRUPTED	5

/* A reply that grows.  Its whole text is kept: another rest worker may ask for it again. */
struct reply {
	TAILQ_ENTRY(reply)	 entry;
	RB_ENTRY(reply)		 by_number;
	struct scope		*scope;
	struct msg_STREAM_OPEN	 asked;		/* stream 0: between two openings */
	struct buf		 text;
	size_t			 sent;		/* of it, to the one that has it open */
	bool			 open;		/* somebody takes text */
	bool			 ended;		/* that one was told of the end */
	uint64_t		 end;		/* kind; 0 it may grow */
	char			 note[513];
	struct mono		 first, next;	/* opened first; the next piece may go */
	unsigned		 failed;	/* times it met an error that may pass */
	struct alarm		 alarm;
	void			(*fn)(struct scope *, const struct msg_STREAM_STATE *, void *);
	void			*arg;
};

static int
reply_cmp(struct reply *a, struct reply *b)
{
	return TREE_CMP(a->asked.stream, b->asked.stream);
}

TREE_GENERATE(open_replies, reply, by_number, reply_cmp)

static void
reply_close(struct reply *r)
{
	struct tasks	*t = r->scope->tasks;

	if (r->asked.stream != 0)
		RB_REMOVE(open_replies, &t->replies, r);
	r->asked.stream = 0;
	r->open = false;
	alarm_stop(&t->alarms, &r->alarm);
}

static void
reply_free(struct reply *r)
{
	reply_close(r);
	TAILQ_REMOVE(&r->scope->replies, r, entry);
	buf_fini(&r->text);
	free(r);
}

static void
reply_open(void *arg)
{
	struct reply	*r = arg;
	struct tasks	*t = r->scope->tasks;

	r->asked.stream = ++t->stream_number;
	RB_INSERT(open_replies, &t->replies, r);
	t->ops->send(t->arg, MSG_STREAM_OPEN, &r->asked);
}

/*
 * What is new goes at once when the last piece is old enough, else together with what comes until
 * then; the last piece does not wait.
 */
static void
reply_push(void *arg)
{
	struct reply		*r = arg;
	struct tasks		*t = r->scope->tasks;
	struct mono		 now = alarms_now(&t->alarms);
	struct msg_STREAM_TEXT	 m = { .stream = r->asked.stream, .offset = r->sent };
	struct msg_STREAM_END	 end = {
		.stream = r->asked.stream, .kind = r->end, .note = span_of(r->note)
	};

	if (!r->open || r->ended)
		return;
	if (r->sent < r->text.n && r->end == 0 && mono_before(now, r->next)) {
		if (mono_is_never(r->alarm.at))
			alarm_arm(&t->alarms, &r->alarm, mono_ms_until(now, r->next),
			    reply_push, r);
		return;
	}
	alarm_stop(&t->alarms, &r->alarm);
	if (r->sent < r->text.n) {
		m.text = span_make(buf_span(&r->text).p + r->sent, r->text.n - r->sent);
		r->sent = r->text.n;
		r->next = mono_add_ms(now, TASK_REPLY_MS);
		t->ops->send(t->arg, MSG_STREAM_TEXT, &m);
	}
	if (r->end != 0) {
		r->ended = true;
		t->ops->send(t->arg, MSG_STREAM_END, &end);
	}
}

struct reply *
scope_stream_open(struct scope *s, uint64_t channel, uint64_t reply_to, uint64_t flags,
    void (*fn)(struct scope *, const struct msg_STREAM_STATE *, void *), void *arg)
{
	struct reply	*r;
	uint64_t	 ordinal;

	if (s->state != SCOPE_OPEN || scope_ordinal(s, false, &ordinal) != ERR_OK)
		return NULL;
	r = mem_alloc(sizeof(*r));
	r->scope = s;
	r->asked = (struct msg_STREAM_OPEN){
		.delivery = s->event.delivery, .ordinal = ordinal, .channel = channel,
		.reply_to = reply_to, .flags = flags,
	};
	r->first = alarms_now(&s->tasks->alarms);
	r->fn = fn;
	r->arg = arg;
	TAILQ_INSERT_TAIL(&s->replies, r, entry);
	reply_open(r);
	return r;
}

bool
scope_stream_append(struct reply *r, struct span text)
{
	bool	 fits = text.n <= TASK_REPLY_MAX - r->text.n;

	if (r->end != 0)
		return false;
	if (!fits)
		text.n = TASK_REPLY_MAX - r->text.n;
	buf_add_span(&r->text, text);
	reply_push(r);
	return fits;
}

void
scope_stream_end(struct reply *r, uint64_t kind, const char *note)
{
	if (r->end != 0)
		return;
	r->end = kind;
	span_copy(span_of(note), r->note, sizeof(r->note));
	reply_push(r);
}

/* Is it opened again, as a call would be asked again? */
static bool
opened_again(struct reply *r, const struct msg_STREAM_STATE *m)
{
	struct tasks		*t = r->scope->tasks;
	struct msg_RESULT	 res = { .error = m->error, .why = m->why };
	uint64_t		 ms;

	if (m->state != STREAM_FAILED_STATE || r->scope->state != SCOPE_OPEN ||
	    !child_may_pass(&res) || mono_ms_between(r->first, alarms_now(&t->alarms)) >= TASK_PATIENCE_MS)
		return false;
	ms = child_again_ms(r->failed++);
	log_notice("delivery %llx opens its stream again in_ms=%llu: %.*s",
	    (unsigned long long)r->scope->event.delivery, (unsigned long long)ms, (int)m->why.n,
	    m->why.p);
	reply_close(r);
	alarm_arm(&t->alarms, &r->alarm, ms, reply_open, r);
	return true;
}

static void
reply_told(struct reply *r, const struct msg_STREAM_STATE *m)
{
	struct scope	*s = r->scope;
	void		(*fn)(struct scope *, const struct msg_STREAM_STATE *, void *) = r->fn;
	void		*arg = r->arg;
	struct ran	 ran;

	if (opened_again(r, m))
		return;
	/* Whoever says so has no text of it, or that of another attempt. */
	if (m->state == STREAM_OPEN_STATE) {
		r->open = true;
		r->ended = false;
		r->sent = 0;
		r->next = MONO_NEVER;
		reply_push(r);
	} else if (m->state >= STREAM_FINAL_STATES)
		reply_free(r);
	ran = scope_enter(s);
	fn(s, m, arg);
	scope_leave(s, ran);
}

void
tasks_stream_state(struct tasks *t, const struct msg_STREAM_STATE *m)
{
	struct reply	 key = { .asked.stream = m->stream }, *r;

	r = RB_FIND(open_replies, &t->replies, &key);
	if (r == NULL)			/* it ended without waiting for this */
		return;
	reply_told(r, m);
	tasks_run(t);
}

/* Nobody waits for it any longer. */
static void
reply_cut(void *arg)
{
	struct reply		*r = arg;
	struct tasks		*t = r->scope->tasks;
	struct msg_STREAM_STATE	 m = {
		.stream = r->asked.stream, .state = STREAM_FAILED_STATE, .error = ERR_ECANCELLED,
		.why = span_of(error_text(ERR_ECANCELLED)),
	};

	reply_told(r, &m);
	tasks_run(t);
}

void
replies_end(struct scope *s, bool at_once)
{
	struct reply	*r;

	TAILQ_FOREACH(r, &s->replies, entry) {
		scope_stream_end(r, s->nack == NACK_DRAINING ? STREAM_RESTARTING :
		    s->stopped ? STREAM_STOPPED : STREAM_INTERRUPTED, NULL);
		if (at_once || r->asked.stream == 0)
			alarm_arm(&s->tasks->alarms, &r->alarm, 0, reply_cut, r);
	}
}

void
replies_free(struct scope *s)
{
	while (!TAILQ_EMPTY(&s->replies))
		reply_free(TAILQ_FIRST(&s->replies));
}
