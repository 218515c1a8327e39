/*
 * child - what a handler starts in a scope; see task.h and scope.h.
 */
#include <stdlib.h>

#include "common/log.h"
#include "common/request.h"
#include "worker/runtime/scope.h"

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

static int
call_cmp(struct child *a, struct child *b)
{
	return TREE_CMP(a->call, b->call);
}

TREE_GENERATE(open_calls, child, by_call, call_cmp)

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
	alarm_stop(&t->alarms, &c->alarm);
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
	ran = scope_enter(s);
	if (was.on_result != NULL)
		was.on_result(s, result, was.arg);
	else
		was.on_time(s, error, was.arg);
	scope_leave(s, ran);
}

static void	 child_alarm(void *);

static uint64_t
deadline_ms(const struct scope *s)
{
	uint64_t	 ms = TASK_CALL_DEADLINE_MS, left;

	if (mono_is_never(s->limit.at))
		return ms;
	left = mono_ms_until(alarms_now(&s->tasks->alarms), s->limit.at);
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
	alarm_arm(&t->alarms, &c->alarm, c->asked.deadline_ms + TASK_ANSWER_GRACE_MS, child_alarm,
	    c);
	t->ops->send(t->arg, MSG_CALL, &c->asked);
}

bool
child_may_pass(const struct msg_RESULT *r)
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

uint64_t
child_again_ms(unsigned failed)
{
	uint64_t	 ms = failed < 8 ? TASK_AGAIN_MS << failed : TASK_AGAIN_MAX_MS;

	return ms < TASK_AGAIN_MAX_MS ? ms : TASK_AGAIN_MAX_MS;
}

/*
 * Is it asked again, with its ordinal?  In its scope, which stays open, so that what follows in the
 * conversation keeps its place; whether another request is safe is for the supervisor to say.
 */
static bool
asked_again(struct child *c, const struct msg_RESULT *r)
{
	struct tasks	*t = c->scope->tasks;
	uint64_t	 ms;

	if (c->call == 0 || c->scope->state != SCOPE_OPEN || !child_may_pass(r) ||
	    mono_ms_between(c->first, alarms_now(&t->alarms)) >= TASK_PATIENCE_MS)
		return false;
	ms = child_again_ms(c->failed++);
	log_notice("delivery %llx asks again in_ms=%llu: %.*s status=%llu",
	    (unsigned long long)c->scope->event.delivery, (unsigned long long)ms, (int)r->why.n,
	    r->why.p, (unsigned long long)r->status);
	RB_REMOVE(open_calls, &t->calls, c);
	c->call = 0;
	alarm_arm(&t->alarms, &c->alarm, ms, ask, c);
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
	tasks_run(t);
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
	tasks_run(t);
}

void
child_cancel(struct tasks *t, uint64_t call)
{
	struct child	 key = { .call = call }, *c;

	c = RB_FIND(open_calls, &t->calls, &key);
	if (c == NULL)
		return;
	c->error = ERR_ECANCELLED;
	alarm_arm(&t->alarms, &c->alarm, 0, child_alarm, c);
}

void
children_cancel(struct scope *s)
{
	struct child	*c;

	TAILQ_FOREACH(c, &s->children, entry) {
		c->error = ERR_ECANCELLED;
		alarm_arm(&s->tasks->alarms, &c->alarm, 0, child_alarm, c);
	}
}

void
children_free(struct scope *s)
{
	while (!TAILQ_EMPTY(&s->children))
		child_free(TAILQ_FIRST(&s->children));
}

/* ---- for handlers ---- */

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
	c->first = alarms_now(&s->tasks->alarms);
	at = c->bytes;
	c->asked = (struct msg_CALL){
		.delivery = s->event.delivery, .service = SPAN("discord"), .lane = lane,
		.verb = scope_keep(&at, m), .path = scope_keep(&at, p),
		.body = scope_keep(&at, body),
	};
	c->error = scope_ordinal(s, !request_changes(span_of(method)), &c->asked.ordinal);
	if (c->error != ERR_OK)
		alarm_arm(&s->tasks->alarms, &c->alarm, 0, child_alarm, c);
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
	alarm_arm(&s->tasks->alarms, &c->alarm, ms, child_alarm, c);
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
	scope_settle(s);
	tasks_run(t);
}
