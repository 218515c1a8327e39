/*
 * task - see task.h.
 */
#include <assert.h>
#include <stdlib.h>

#include "common/fault.h"
#include "common/log.h"
#include "worker/runtime/scope.h"
#include "worker/runtime/strike.h"

#define EVENT_FRESH	1u	/* EVENT.flags */
#define EVENT_CONTROL	4u
#define EVENT_AGAIN	8u

static int
delivery_cmp(struct scope *a, struct scope *b)
{
	return a->event.delivery < b->event.delivery ? -1 : a->event.delivery > b->event.delivery;
}

TREE_GENERATE(deliveries, scope, by_delivery, delivery_cmp)

static void	 limit_reached(void *);

void
tasks_tick(struct tasks *t)
{
	alarms_tick(&t->alarms);
}

/* ---- handler code runs between these two ---- */

static void
board_runs(struct board *b, struct ran r)
{
	atomic_store(&b->since_us, r.since_us);
	atomic_store(&b->delivery, r.delivery);
}

struct ran
scope_enter(struct scope *s)
{
	struct tasks	*t = s->tasks;
	struct ran	 before = {
		atomic_load(&t->board->delivery), atomic_load(&t->board->since_us)
	};

	s->running++;
	board_runs(t->board, (struct ran){ s->event.delivery, alarms_now(&t->alarms).us });
	return before;
}

void
scope_leave(struct scope *s, struct ran before)
{
	board_runs(s->tasks->board, before);
	s->running--;
	scope_settle(s);
}

/* ---- for children and replies ---- */

enum error
scope_ordinal(struct scope *s, bool reads, uint64_t *ordinal_r)
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

struct span
scope_keep(char **at, struct span from)
{
	struct span	 kept = { *at, from.n };

	if (from.n > 0)
		memcpy(*at, from.p, from.n);
	*at += from.n;
	return kept;
}

/* ---- the end of a scope ---- */

static const char	 behind[] = "an earlier one of its conversation was handed back";

static void
scope_free(struct scope *s)
{
	struct tasks	*t = s->tasks;

	children_free(s);
	replies_free(s);
	alarm_stop(&t->alarms, &s->limit);
	alarm_stop(&t->alarms, &s->late);
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

/* It comes again: nothing of its conversation may start before. */
static void
hand_back_followers(struct scope *s)
{
	struct tasks	*t = s->tasks;
	struct mail	*next;

	while ((next = mailbox_back(t->mailbox, &s->mail)) != NULL) {
		/* mail is the first member of struct scope */
		struct scope	*n = (struct scope *)(void *)next;

		n->nack = NACK_BEHIND;
		strlcpy(n->why, behind, sizeof(n->why));
		answer(n);
		TAILQ_REMOVE(&t->scopes, n, entry);
		scope_free(n);
	}
}

static void
scope_end(struct scope *s)
{
	struct tasks	*t = s->tasks;
	struct mail	*next;

	answer(s);
	TAILQ_REMOVE(&t->scopes, s, entry);
	if (s->nack == NACK_FAILED) {
		hand_back_followers(s);
		scope_free(s);
		return;
	}
	next = mailbox_done(t->mailbox, &s->mail);
	if (next != NULL) {
		/* mail is the first member of struct scope */
		struct scope	*n = (struct scope *)(void *)next;

		TAILQ_REMOVE(&t->scopes, n, entry);
		TAILQ_INSERT_TAIL(&t->ready, n, entry);
	}
	scope_free(s);
}

void
scope_settle(struct scope *s)
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
	alarm_stop(&t->alarms, &t->drain);
	t->ops->drained(t->arg);
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
		alarm_arm(&t->alarms, &s->limit, t->last_word_ms, limit_reached, s);
		children_cancel(s);
		replies_end(s, false);
		scope_settle(s);
		return;
	}
	alarm_stop(&t->alarms, &s->late);	/* its code never ran: no word to say */
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
		children_cancel(s);
		replies_end(s, true);
	} else
		cancel(s, NACK_DEADLINE, "the delivery's deadline passed");
	tasks_run(t);
}

void
scope_finish(struct scope *s, const struct msg_RESULT *r)
{
	if (r->error == ERR_OK)
		return;
	log_warnx("delivery %llx failed: %.*s status=%llu attempt=%llu",
	    (unsigned long long)s->event.delivery, (int)r->why.n, r->why.p,
	    (unsigned long long)r->status, (unsigned long long)s->event.attempt);
	if (s->nack == NACK_NONE && child_may_pass(r)) {
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
	ran = scope_enter(s);
	strike_delivery(s->event.body);
	s->tasks->handler->start(s, &s->event);
	scope_leave(s, ran);
}

static void
late_handler(void *arg)
{
	struct scope	*s = arg;
	struct tasks	*t = s->tasks;

	run_handler(s);
	tasks_run(t);
}

static void
scope_start(struct scope *s)
{
	if (fault_armed_any() && fault_hits(FAULT_WORKER_SLOW, s->event.body)) {
		s->state = SCOPE_LATE;
		alarm_arm(&s->tasks->alarms, &s->late, fault_arg(FAULT_WORKER_SLOW, 2000),
		    late_handler, s);
		return;
	}
	run_handler(s);
}

/*
 * Start what may start.  A scope that ends at once makes the next one ready: a loop, so that no
 * chain of them nests.
 */
void
tasks_run(struct tasks *t)
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
	s->event.name = scope_keep(&at, ev->name);
	s->event.body = scope_keep(&at, ev->body);
	s->event.effects.raw = scope_keep(&at, ev->effects.raw);
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
	if (mailbox_is_shut(t->mailbox, ev->key, (ev->flags & EVENT_CONTROL) != 0,
	    (ev->flags & (EVENT_FRESH | EVENT_AGAIN)) != 0)) {
		refuse(t, ev->delivery, NACK_BEHIND, behind);
		return;
	}
	s = scope_new(t, ev);
	RB_INSERT(deliveries, &t->deliveries, s);
	atomic_store(&t->board->scopes, ++t->open_n);
	if (ev->deadline_ms != 0)
		alarm_arm(&t->alarms, &s->limit, ev->deadline_ms, limit_reached, s);
	if (mailbox_put(t->mailbox, &s->mail, ev->key, (ev->flags & EVENT_CONTROL) != 0))
		TAILQ_INSERT_TAIL(&t->ready, s, entry);
	else
		TAILQ_INSERT_TAIL(&t->scopes, s, entry);
	tasks_run(t);
}

/* No scope: it is nobody's work, and starts none. */
void
tasks_news(struct tasks *t, const struct msg_NEWS *m)
{
	if (t->handler->news != NULL)
		t->handler->news(t->role, m);
}

void
tasks_cancel(struct tasks *t, const struct msg_CANCEL *m)
{
	struct scope	*s;

	if (m->kind == 0) {
		s = scope_find(t, m->id);
		if (s != NULL) {
			s->stopped = true;
			cancel(s, NACK_DEADLINE, "cancelled by the supervisor");
		}
	} else
		child_cancel(t, m->id);
	tasks_run(t);
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
	tasks_run(t);
}

void
tasks_drain(struct tasks *t, uint64_t finish_ms, uint64_t last_word_ms)
{
	t->draining = true;
	t->last_word_ms = last_word_ms;
	alarm_arm(&t->alarms, &t->drain, finish_ms, drain_over, t);
	tasks_run(t);
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
	alarms_init(&t->alarms, ops->now, ops->wake_at, arg);
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
	alarm_stop(&t->alarms, &t->drain);
	mailbox_free(&t->mailbox);
	free(t);
	*tp = NULL;
}
