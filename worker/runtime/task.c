/*
 * task - see task.h.
 */
#include <sys/queue.h>

#include <assert.h>
#include <stdlib.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/request.h"
#include "common/tree.h"
#include "worker/runtime/mailbox.h"
#include "worker/runtime/strike.h"
#include "worker/runtime/task.h"

#define EVENT_CONTROL	4u	/* EVENT.flags */

enum nack { NACK_NONE, NACK_DRAINING, NACK_FAILED, NACK_REFUSED, NACK_DEADLINE };

/* Everything that happens later: deadlines, timers, answers that the worker gives itself. */
struct alarm {
	RB_ENTRY(alarm)	 by_time;
	struct mono	 at;		/* never: not armed */
	/* order among equals; those armed during a tick wait for the next */
	uint64_t	 number;
	void		(*fn)(void *arg);
	void		*arg;
};

enum scope_state {
	SCOPE_WAITING,		/* in the mailbox */
	SCOPE_LATE,		/* held back by the fault point worker.slow */
	SCOPE_OPEN,
	SCOPE_CANCELLED,	/* may say one last thing */
	SCOPE_SILENT		/* has said it, or its time is over */
};

struct child {
	TAILQ_ENTRY(child)	 entry;
	RB_ENTRY(child)		 by_call;	/* calls only */
	struct scope		*scope;
	uint64_t		 call;		/* 0: a timer, or a call that will be asked again */
	struct msg_CALL		 asked;		/* calls only; its spans point into bytes */
	struct mono		 first;		/* when it was asked first */
	unsigned		 failed;	/* times it met an error that may pass */
	struct alarm		 alarm;
	enum error		 error;		/* what the alarm answers */
	void			(*on_result)(struct scope *, const struct msg_RESULT *, void *);
	void			(*on_time)(struct scope *, enum error, void *);
	void			*arg;
	char			 bytes[];
};

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

struct scope {
	struct mail		 mail;
	RB_ENTRY(scope)		 by_delivery;
	TAILQ_ENTRY(scope)	 entry;		/* in tasks.scopes, then in tasks.ready */
	struct tasks		*tasks;
	struct msg_EVENT	 event;		/* spans point into bytes */
	enum scope_state	 state;
	uint64_t		 ordinal;	/* of the last changing call */
	unsigned		 running;	/* its code is on the stack */
	TAILQ_HEAD(, child)	 children;
	TAILQ_HEAD(, reply)	 replies;
	/* the delivery's deadline, then the end of the last word */
	struct alarm		 limit;
	struct alarm		 late;
	bool			 stopped;	/* cancelled because nobody wants it */
	enum nack		 nack;
	char			 why[200];
	char			 bytes[];
};

RB_HEAD(alarms, alarm);
RB_HEAD(deliveries, scope);
RB_HEAD(open_calls, child);
RB_HEAD(open_replies, reply);
TAILQ_HEAD(scope_list, scope);

struct tasks {
	const struct handler	*handler;
	const struct tasks_ops	*ops;
	void			*arg;
	struct board		*board;
	struct mailbox		*mailbox;
	struct deliveries	 deliveries;
	struct scope_list	 scopes;	/* open, in the order of arrival */
	struct scope_list	 ready;		/* to be started by run_ready */
	struct open_calls	 calls;
	struct open_replies	 replies;
	struct alarms		 alarms;
	struct mono		 woken_at;	/* what wake_at was told last */
	uint64_t		 alarm_number, call_number, stream_number;
	uint64_t		 last_word_ms;
	uint64_t		 self;
	void			*role;
	struct alarm		 drain;
	bool			 draining, drained, running_ready;
	size_t			 open_n;
};

static int
alarm_cmp(struct alarm *a, struct alarm *b)
{
	if (a->at.us != b->at.us)
		return a->at.us < b->at.us ? -1 : 1;
	return TREE_CMP(a->number, b->number);
}

static int
delivery_cmp(struct scope *a, struct scope *b)
{
	return a->event.delivery < b->event.delivery ? -1 : a->event.delivery > b->event.delivery;
}

static int
call_cmp(struct child *a, struct child *b)
{
	return TREE_CMP(a->call, b->call);
}

static int
reply_cmp(struct reply *a, struct reply *b)
{
	return TREE_CMP(a->asked.stream, b->asked.stream);
}

TREE_GENERATE(alarms, alarm, by_time, alarm_cmp)
TREE_GENERATE(deliveries, scope, by_delivery, delivery_cmp)
TREE_GENERATE(open_calls, child, by_call, call_cmp)
TREE_GENERATE(open_replies, reply, by_number, reply_cmp)

static void	 run_ready(struct tasks *);
static void	 settle(struct scope *);
static void	 limit_reached(void *);

/* ---- time ---- */

static void
alarm_stop(struct tasks *t, struct alarm *a)
{
	if (mono_is_never(a->at))
		return;
	RB_REMOVE(alarms, &t->alarms, a);
	a->at = MONO_NEVER;
}

static void
alarm_arm(struct tasks *t, struct alarm *a, uint64_t ms, void (*fn)(void *), void *arg)
{
	alarm_stop(t, a);
	a->at = mono_add_ms(t->ops->now(t->arg), ms);
	a->number = ++t->alarm_number;
	a->fn = fn;
	a->arg = arg;
	RB_INSERT(alarms, &t->alarms, a);
	if (mono_is_never(t->woken_at) || mono_before(a->at, t->woken_at)) {
		t->woken_at = a->at;
		t->ops->wake_at(t->arg, a->at);
	}
}

void
tasks_tick(struct tasks *t)
{
	struct mono	 now = t->ops->now(t->arg);
	uint64_t	 last = t->alarm_number;
	struct alarm	*a, *next;

	t->woken_at = now;		/* nothing armed below needs to wake us: it is done here */
	for (;;) {
		RB_FOREACH(a, alarms, &t->alarms)
			if (mono_before(now, a->at) || a->number <= last)
				break;
		if (a == NULL || mono_before(now, a->at))
			break;
		alarm_stop(t, a);
		a->fn(a->arg);
	}
	next = RB_MIN(alarms, &t->alarms);
	t->woken_at = next == NULL ? MONO_NEVER : next->at;
	t->ops->wake_at(t->arg, t->woken_at);
}

/* ---- handler code runs between these two ---- */

/* What ran before, for code_leave: the code of one delivery may call that of another. */
struct ran {
	uint64_t	 delivery, since_us;
};

static void
board_runs(struct board *b, struct ran r)
{
	atomic_store(&b->since_us, r.since_us);
	atomic_store(&b->delivery, r.delivery);
}

static struct ran
code_enter(struct scope *s)
{
	struct tasks	*t = s->tasks;
	struct ran	 before = {
		atomic_load(&t->board->delivery), atomic_load(&t->board->since_us)
	};

	s->running++;
	board_runs(t->board, (struct ran){ s->event.delivery, t->ops->now(t->arg).us });
	return before;
}

/* s may be gone afterwards. */
static void
code_leave(struct scope *s, struct ran before)
{
	board_runs(s->tasks->board, before);
	s->running--;
	settle(s);
}

/* ---- children ---- */

static struct child *
child_new(struct scope *s, size_t bytes)
{
	struct child	*c = mem_alloc(sizeof(*c) + bytes);

	c->scope = s;
	TAILQ_INSERT_TAIL(&s->children, c, entry);
	return c;
}

static void
child_free(struct child *c)
{
	struct tasks	*t = c->scope->tasks;

	if (c->call != 0)
		RB_REMOVE(open_calls, &t->calls, c);
	alarm_stop(t, &c->alarm);
	TAILQ_REMOVE(&c->scope->children, c, entry);
	free(c);
}

/*
 * The one way in which a child ends: out of its scope first, then its callback, then perhaps the
 * scope.
 */
static void
child_end(struct child *c, const struct msg_RESULT *result, enum error error)
{
	struct child	 was = *c;
	struct scope	*s = c->scope;
	struct ran	 ran;

	child_free(c);
	ran = code_enter(s);
	if (was.on_result != NULL)
		was.on_result(s, result, was.arg);
	else
		was.on_time(s, error, was.arg);
	code_leave(s, ran);
}

static void	 child_alarm(void *);

static uint64_t
deadline_ms(const struct scope *s)
{
	uint64_t	 ms = TASK_CALL_DEADLINE_MS, left;

	if (mono_is_never(s->limit.at))
		return ms;
	left = mono_ms_until(s->tasks->ops->now(s->tasks->arg), s->limit.at);
	if (left < ms)
		ms = left;
	return ms == 0 ? 1 : ms;
}

static void
ask(void *arg)
{
	struct child	*c = arg;
	struct tasks	*t = c->scope->tasks;

	c->asked.call = c->call = ++t->call_number;
	RB_INSERT(open_calls, &t->calls, c);
	c->asked.deadline_ms = deadline_ms(c->scope);
	c->error = ERR_EDEADLINE;
	alarm_arm(t, &c->alarm, c->asked.deadline_ms + TASK_ANSWER_GRACE_MS, child_alarm, c);
	t->ops->send(t->arg, MSG_CALL, &c->asked);
}

/*
 * Trouble of Discord or of the way there, not of this delivery.  A token that was refused is no
 * reason to give an answer up: the operator puts a new one in and starts again, and what is open
 * then is answered.
 */
static bool
may_pass(const struct msg_RESULT *r)
{
	switch (r->error) {
	case ERR_ESERVICE:
	case ERR_EDEADLINE:
	case ERR_ETRANSPORT:
	case ERR_EUNREACHABLE:
	case ERR_ERETRY:
	case ERR_ELIMITED:
	case ERR_ETOKEN:
		return true;
	case ERR_EHTTP:
		return r->status >= 500;
	default:
		return false;
	}
}

/*
 * Is it asked again, with its ordinal?  In its scope, which stays open, so that what follows in the
 * conversation keeps its place; whether another request is safe is for the supervisor to say.
 */
static bool
asked_again(struct child *c, const struct msg_RESULT *r)
{
	struct tasks	*t = c->scope->tasks;
	uint64_t	 ms = TASK_AGAIN_MAX_MS;

	if (c->call == 0 || c->scope->state != SCOPE_OPEN || !may_pass(r) ||
	    mono_ms_between(c->first, t->ops->now(t->arg)) >= TASK_PATIENCE_MS)
		return false;
	if (c->failed < 8 && TASK_AGAIN_MS << c->failed < ms)
		ms = TASK_AGAIN_MS << c->failed;
	c->failed++;
	log_notice("delivery %llx asks again in_ms=%llu: %.*s status=%llu",
	    (unsigned long long)c->scope->event.delivery, (unsigned long long)ms, (int)r->why.n,
	    r->why.p, (unsigned long long)r->status);
	RB_REMOVE(open_calls, &t->calls, c);
	c->call = 0;
	alarm_arm(t, &c->alarm, ms, ask, c);
	return true;
}

static void
child_alarm(void *arg)
{
	struct child		*c = arg;
	struct tasks		*t = c->scope->tasks;
	struct msg_RESULT	 r = {
		.call = c->call, .error = c->error, .why = span_of(error_text(c->error))
	};

	if (asked_again(c, &r))
		return;
	child_end(c, &r, c->error);
	run_ready(t);
}

/* Takes the last word of a cancelled scope, and an ordinal for what changes something. */
static enum error
take_ordinal(struct scope *s, bool reads, uint64_t *ordinal_r)
{
	if (s->state == SCOPE_CANCELLED)
		s->state = SCOPE_SILENT;
	*ordinal_r = 0;
	if (reads)
		return ERR_OK;
	if (s->ordinal >= PROTO_EFFECTS_MAX)
		return ERR_ETOOBIG;
	*ordinal_r = ++s->ordinal;
	return ERR_OK;
}

static struct span
keep(char **at, struct span from)
{
	struct span	 kept = { *at, from.n };

	if (from.n > 0)
		memcpy(*at, from.p, from.n);
	*at += from.n;
	return kept;
}

bool
scope_call(struct scope *s, const char *method, const char *path, struct span body, enum lane lane,
    void (*fn)(struct scope *, const struct msg_RESULT *, void *), void *arg)
{
	struct span	 m = span_of(method), p = span_of(path);
	struct child	*c;
	char		*at;

	if (s->state == SCOPE_SILENT)
		return false;
	c = child_new(s, m.n + p.n + body.n);
	c->on_result = fn;
	c->arg = arg;
	c->first = s->tasks->ops->now(s->tasks->arg);
	at = c->bytes;
	c->asked = (struct msg_CALL){
		.delivery = s->event.delivery, .service = SPAN("discord"), .lane = lane,
		.verb = keep(&at, m), .path = keep(&at, p), .body = keep(&at, body),
	};
	c->error = take_ordinal(s, !request_changes(span_of(method)), &c->asked.ordinal);
	if (c->error != ERR_OK)
		alarm_arm(s->tasks, &c->alarm, 0, child_alarm, c);
	else
		ask(c);
	return true;
}

bool
scope_timer(struct scope *s, uint64_t ms, void (*fn)(struct scope *, enum error, void *), void *arg)
{
	struct child	*c;

	if (s->state != SCOPE_OPEN)
		return false;
	c = child_new(s, 0);
	c->on_time = fn;
	c->arg = arg;
	c->error = ERR_OK;
	alarm_arm(s->tasks, &c->alarm, ms, child_alarm, c);
	return true;
}

/* ---- work elsewhere ---- */

/* A timer that is never armed: it ends as all children do when the scope is cancelled. */
struct hold *
scope_hold(struct scope *s, void (*fn)(struct scope *, enum error, void *), void *arg)
{
	struct child	*c;

	if (s->state != SCOPE_OPEN)
		return NULL;
	c = child_new(s, 0);
	c->on_time = fn;
	c->arg = arg;
	return (struct hold *)(void *)c;
}

void
scope_release(struct hold **hp)
{
	struct child	*c = (struct child *)(void *)*hp;
	struct scope	*s = c->scope;
	struct tasks	*t = s->tasks;

	*hp = NULL;
	child_free(c);
	settle(s);
	run_ready(t);
}

/* ---- replies that grow ---- */

#define STREAM_OPEN_STATE	1	/* STREAM_STATE.state */
#define STREAM_FINAL_STATES	5
#define STREAM_FAILED_STATE	7
#define STREAM_STOPPED		3	/* STREAM_END.kind */
#define STREAM_RESTARTING	4
#define STREAM_INTERRUPTED	5

static void
reply_close(struct reply *r)
{
	struct tasks	*t = r->scope->tasks;

	if (r->asked.stream != 0)
		RB_REMOVE(open_replies, &t->replies, r);
	r->asked.stream = 0;
	r->open = false;
	alarm_stop(t, &r->alarm);
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
	struct mono		 now = t->ops->now(t->arg);
	struct msg_STREAM_TEXT	 m = { .stream = r->asked.stream, .offset = r->sent };
	struct msg_STREAM_END	 end = {
		.stream = r->asked.stream, .kind = r->end, .note = span_of(r->note)
	};

	if (!r->open || r->ended)
		return;
	if (r->sent < r->text.n && r->end == 0 && mono_before(now, r->next)) {
		if (mono_is_never(r->alarm.at))
			alarm_arm(t, &r->alarm, mono_ms_until(now, r->next), reply_push, r);
		return;
	}
	alarm_stop(t, &r->alarm);
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

	if (s->state != SCOPE_OPEN || take_ordinal(s, false, &ordinal) != ERR_OK)
		return NULL;
	r = mem_alloc(sizeof(*r));
	r->scope = s;
	r->asked = (struct msg_STREAM_OPEN){
		.delivery = s->event.delivery, .ordinal = ordinal, .channel = channel,
		.reply_to = reply_to, .flags = flags,
	};
	r->first = s->tasks->ops->now(s->tasks->arg);
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
	uint64_t		 ms = TASK_AGAIN_MAX_MS;

	if (m->state != STREAM_FAILED_STATE || r->scope->state != SCOPE_OPEN || !may_pass(&res) ||
	    mono_ms_between(r->first, t->ops->now(t->arg)) >= TASK_PATIENCE_MS)
		return false;
	if (r->failed < 8 && TASK_AGAIN_MS << r->failed < ms)
		ms = TASK_AGAIN_MS << r->failed;
	r->failed++;
	log_notice("delivery %llx opens its stream again in_ms=%llu: %.*s",
	    (unsigned long long)r->scope->event.delivery, (unsigned long long)ms, (int)m->why.n,
	    m->why.p);
	reply_close(r);
	alarm_arm(t, &r->alarm, ms, reply_open, r);
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
	ran = code_enter(s);
	fn(s, m, arg);
	code_leave(s, ran);
}

void
tasks_stream_state(struct tasks *t, const struct msg_STREAM_STATE *m)
{
	struct reply	 key = { .asked.stream = m->stream }, *r;

	r = RB_FIND(open_replies, &t->replies, &key);
	if (r == NULL)			/* it ended without waiting for this */
		return;
	reply_told(r, m);
	run_ready(t);
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
	run_ready(t);
}

/* Each says its last word; the ones that nobody can hear are cut, in a later turn. */
static void
end_replies(struct scope *s, bool at_once)
{
	struct reply	*r;

	TAILQ_FOREACH(r, &s->replies, entry) {
		scope_stream_end(r, s->nack == NACK_DRAINING ? STREAM_RESTARTING :
		    s->stopped ? STREAM_STOPPED : STREAM_INTERRUPTED, NULL);
		if (at_once || r->asked.stream == 0)
			alarm_arm(s->tasks, &r->alarm, 0, reply_cut, r);
	}
}

/* ---- the end of a scope ---- */

static void
scope_free(struct scope *s)
{
	struct tasks	*t = s->tasks;

	while (!TAILQ_EMPTY(&s->children))
		child_free(TAILQ_FIRST(&s->children));
	while (!TAILQ_EMPTY(&s->replies))
		reply_free(TAILQ_FIRST(&s->replies));
	alarm_stop(t, &s->limit);
	alarm_stop(t, &s->late);
	RB_REMOVE(deliveries, &t->deliveries, s);
	t->open_n--;
	atomic_store(&t->board->scopes, t->open_n);
	free(s);
}

static void
answer(struct scope *s)
{
	struct msg_ACK	 ack = { .delivery = s->event.delivery };
	struct msg_NACK	 nack = {
		.delivery = s->event.delivery, .reason = s->nack, .why = span_of(s->why)
	};

	if (s->nack == NACK_NONE)
		s->tasks->ops->send(s->tasks->arg, MSG_ACK, &ack);
	else
		s->tasks->ops->send(s->tasks->arg, MSG_NACK, &nack);
}

static void
scope_end(struct scope *s)
{
	struct tasks	*t = s->tasks;
	struct mail	*next;

	answer(s);
	TAILQ_REMOVE(&t->scopes, s, entry);
	next = mailbox_done(t->mailbox, &s->mail);
	if (next != NULL) {
		/* mail is the first member of struct scope */
		struct scope	*n = (struct scope *)(void *)next;

		TAILQ_REMOVE(&t->scopes, n, entry);
		TAILQ_INSERT_TAIL(&t->ready, n, entry);
	}
	scope_free(s);
}

/* Acked or handed back when its code is off the stack and no child is left. */
static void
settle(struct scope *s)
{
	if (s->running == 0 && TAILQ_EMPTY(&s->children) && TAILQ_EMPTY(&s->replies) &&
	    s->state >= SCOPE_OPEN)
		scope_end(s);
}

static void
drained_if_empty(struct tasks *t)
{
	if (!t->draining || t->drained || t->open_n > 0)
		return;
	t->drained = true;
	alarm_stop(t, &t->drain);
	t->ops->drained(t->arg);
}

/* Every child ends with ECANCELLED, in a later turn. */
static void
cancel_children(struct scope *s)
{
	struct child	*c;

	TAILQ_FOREACH(c, &s->children, entry) {
		c->error = ERR_ECANCELLED;
		alarm_arm(s->tasks, &c->alarm, 0, child_alarm, c);
	}
}

static void
cancel(struct scope *s, enum nack nack, const char *why)
{
	struct tasks	*t = s->tasks;

	if (s->state >= SCOPE_CANCELLED)
		return;
	s->nack = nack;
	strlcpy(s->why, why, sizeof(s->why));
	if (s->state == SCOPE_OPEN) {
		s->state = SCOPE_CANCELLED;
		alarm_arm(t, &s->limit, t->last_word_ms, limit_reached, s);
		cancel_children(s);
		end_replies(s, false);
		settle(s);
		return;
	}
	alarm_stop(t, &s->late);	/* its code never ran: no word to say */
	s->state = SCOPE_SILENT;
	scope_end(s);
}

static void
limit_reached(void *arg)
{
	struct scope	*s = arg;
	struct tasks	*t = s->tasks;

	if (s->state >= SCOPE_CANCELLED) {
		s->state = SCOPE_SILENT;
		cancel_children(s);
		end_replies(s, true);
	} else
		cancel(s, NACK_DEADLINE, "the delivery's deadline passed");
	run_ready(t);
}

void
scope_finish(struct scope *s, const struct msg_RESULT *r)
{
	if (r->error == ERR_OK)
		return;
	log_warnx("delivery %llx failed: %.*s status=%llu attempt=%llu",
	    (unsigned long long)s->event.delivery, (int)r->why.n, r->why.p,
	    (unsigned long long)r->status, (unsigned long long)s->event.attempt);
	if (s->nack == NACK_NONE && may_pass(r)) {
		s->nack = NACK_FAILED;
		span_copy(r->why, s->why, sizeof(s->why));
	}
}

uint64_t
scope_self(const struct scope *s)
{
	return s->tasks->self;
}

void *
scope_role(const struct scope *s)
{
	return s->tasks->role;
}

uint64_t
scope_delivery(const struct scope *s)
{
	return s->event.delivery;
}

/* ---- the beginning of a scope ---- */

static void
run_handler(struct scope *s)
{
	struct ran	 ran;

	s->state = SCOPE_OPEN;
	ran = code_enter(s);
	strike_delivery(s->event.body);
	s->tasks->handler->start(s, &s->event);
	code_leave(s, ran);
}

static void
late_handler(void *arg)
{
	struct scope	*s = arg;
	struct tasks	*t = s->tasks;

	run_handler(s);
	run_ready(t);
}

static void
scope_start(struct scope *s)
{
	if (fault_armed_any() && fault_hits(FAULT_WORKER_SLOW, s->event.body)) {
		s->state = SCOPE_LATE;
		alarm_arm(s->tasks, &s->late, fault_arg(FAULT_WORKER_SLOW, 2000), late_handler, s);
		return;
	}
	run_handler(s);
}

/*
 * Start what may start.  A scope that ends at once makes the next one ready: a loop, so that no
 * chain of them nests.
 */
static void
run_ready(struct tasks *t)
{
	struct scope	*s;

	if (t->running_ready)
		return;
	t->running_ready = true;
	while ((s = TAILQ_FIRST(&t->ready)) != NULL) {
		TAILQ_REMOVE(&t->ready, s, entry);
		TAILQ_INSERT_TAIL(&t->scopes, s, entry);
		scope_start(s);
	}
	t->running_ready = false;
	drained_if_empty(t);
}

static struct scope *
scope_new(struct tasks *t, const struct msg_EVENT *ev)
{
	struct scope	*s = mem_alloc(sizeof(*s) + ev->name.n + ev->body.n + ev->effects.raw.n);
	char		*at = s->bytes;

	s->tasks = t;
	s->event = *ev;
	s->event.name = keep(&at, ev->name);
	s->event.body = keep(&at, ev->body);
	s->event.effects.raw = keep(&at, ev->effects.raw);
	TAILQ_INIT(&s->children);
	TAILQ_INIT(&s->replies);
	return s;
}

static struct scope *
scope_find(struct tasks *t, uint64_t delivery)
{
	struct scope	 key;

	key.event.delivery = delivery;
	return RB_FIND(deliveries, &t->deliveries, &key);
}

static void
refuse(struct tasks *t, uint64_t delivery, enum nack reason, const char *why)
{
	struct msg_NACK	 nack = { .delivery = delivery, .reason = reason, .why = span_of(why) };

	t->ops->send(t->arg, MSG_NACK, &nack);
}

void
tasks_event(struct tasks *t, const struct msg_EVENT *ev)
{
	struct scope	*s;

	if (scope_find(t, ev->delivery) != NULL) {
		log_warnx("delivery %llx is open already: the second EVENT is ignored",
		    (unsigned long long)ev->delivery);
		return;
	}
	/* What speaks about open work may still come, until that is cut. */
	if (t->draining && ((ev->flags & EVENT_CONTROL) == 0 || mono_is_never(t->drain.at))) {
		refuse(t, ev->delivery, NACK_DRAINING, "this worker is draining");
		return;
	}
	s = scope_new(t, ev);
	RB_INSERT(deliveries, &t->deliveries, s);
	atomic_store(&t->board->scopes, ++t->open_n);
	if (ev->deadline_ms != 0)
		alarm_arm(t, &s->limit, ev->deadline_ms, limit_reached, s);
	if (mailbox_put(t->mailbox, &s->mail, ev->key, (ev->flags & EVENT_CONTROL) != 0))
		TAILQ_INSERT_TAIL(&t->ready, s, entry);
	else
		TAILQ_INSERT_TAIL(&t->scopes, s, entry);
	run_ready(t);
}

/* No scope: it is nobody's work, and starts none. */
void
tasks_news(struct tasks *t, const struct msg_NEWS *m)
{
	if (t->handler->news != NULL)
		t->handler->news(t->role, m);
}

void
tasks_result(struct tasks *t, const struct msg_RESULT *r)
{
	struct child	 key = { .call = r->call }, *c;

	c = RB_FIND(open_calls, &t->calls, &key);
	if (c == NULL)			/* cancelled or past its deadline */
		return;
	if (asked_again(c, r))
		return;
	child_end(c, r, (enum error)r->error);
	run_ready(t);
}

void
tasks_cancel(struct tasks *t, const struct msg_CANCEL *m)
{
	struct child	 key = { .call = m->id }, *c;
	struct scope	*s;

	if (m->kind == 0) {
		s = scope_find(t, m->id);
		if (s != NULL) {
			s->stopped = true;
			cancel(s, NACK_DEADLINE, "cancelled by the supervisor");
		}
	} else {
		c = RB_FIND(open_calls, &t->calls, &key);
		if (c != NULL) {
			c->error = ERR_ECANCELLED;
			alarm_arm(t, &c->alarm, 0, child_alarm, c);
		}
	}
	run_ready(t);
}

/* T1 is over. */
static void
drain_over(void *arg)
{
	struct tasks	*t = arg;
	struct scope	*s, *next;
	unsigned	 cut = 0;

	/* Waiting ones first: none of them may start because another one ends. */
	TAILQ_FOREACH_SAFE(s, &t->scopes, entry, next)
		if (s->state == SCOPE_WAITING) {
			cut++;
			cancel(s, NACK_DRAINING, "not started when the worker had to end");
		}
	TAILQ_FOREACH_SAFE(s, &t->scopes, entry, next)
		if (s->state < SCOPE_CANCELLED) {
			cut++;
			cancel(s, NACK_DRAINING, "not finished when the worker had to end");
		}
	if (cut > 0)
		log_notice("drain: %u deliveries were cut", cut);
	run_ready(t);
}

void
tasks_drain(struct tasks *t, uint64_t finish_ms, uint64_t last_word_ms)
{
	t->draining = true;
	t->last_word_ms = last_word_ms;
	alarm_arm(t, &t->drain, finish_ms, drain_over, t);
	run_ready(t);
}

void
tasks_self(struct tasks *t, uint64_t user)
{
	t->self = user;
}

void
tasks_role(struct tasks *t, void *role)
{
	t->role = role;
}

size_t
tasks_open_n(const struct tasks *t)
{
	return t->open_n;
}

struct tasks *
tasks_new(const struct handler *handler, struct board *board, uint64_t last_word_ms,
    const struct tasks_ops *ops, void *arg)
{
	struct tasks	*t = mem_alloc(sizeof(*t));

	t->handler = handler;
	t->ops = ops;
	t->arg = arg;
	t->board = board;
	t->last_word_ms = last_word_ms;
	t->mailbox = mailbox_new(handler->serial);
	RB_INIT(&t->deliveries);
	RB_INIT(&t->calls);
	RB_INIT(&t->replies);
	RB_INIT(&t->alarms);
	TAILQ_INIT(&t->scopes);
	TAILQ_INIT(&t->ready);
	return t;
}

void
tasks_free(struct tasks **tp)
{
	struct tasks	*t = *tp;
	struct scope	*s;
	struct mail	*next;

	if (t == NULL)
		return;
	/* In any order: a letter that is named as the next one is on this list too. */
	while ((s = TAILQ_FIRST(&t->scopes)) != NULL) {
		TAILQ_REMOVE(&t->scopes, s, entry);
		next = mailbox_done(t->mailbox, &s->mail);
		assert(next == NULL || !next->waiting);
		scope_free(s);
	}
	alarm_stop(t, &t->drain);
	mailbox_free(&t->mailbox);
	free(t);
	*tp = NULL;
}
