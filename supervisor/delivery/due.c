/*
 * due - deadlines and cancels: what ends a delivery before its worker does.  See queue.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/count.h"
#include "common/json.h"
#include "common/log.h"
#include "supervisor/delivery/route.h"
#include "supervisor/delivery/state.h"

/* After a deadline a worker of ours has cancelled by itself: CANCEL is for those that do not. */
#define SLACK_MS	250
#define OVERDUE_MS	2000	/* beyond the last word */

static int
due_cmp(const struct delivery *a, const struct delivery *b)
{
	return a->alarm_ms != b->alarm_ms ? TREE_CMP(a->alarm_ms, b->alarm_ms) :
	    TREE_CMP(a->order, b->order);
}
TREE_GENERATE(due_tree, delivery, by_due, due_cmp)

static void
arm(struct queue *q, struct delivery *d, uint64_t at_ms)
{
	due_over(q, d);
	d->alarm_ms = at_ms;
	RB_INSERT(due_tree, &q->dues, d);
}

void
due_init(struct queue *q)
{
	RB_INIT(&q->dues);
}

void
due_set(struct qpool *p, struct delivery *d)
{
	struct queue	*q = p->queue;
	uint64_t	 since_ms = d->finished_ms != 0 ? d->finished_ms : d->received_ms, now_ms, gone;

	d->due_ms = 0;
	if (p->deadline_ms == 0)
		return;
	now_ms = q->ops->now_ms(q->arg);
	gone = clock_since_ms(since_ms, now_ms);
	d->due_ms = q->ops->mono_ms(q->arg) + (gone < p->deadline_ms ? p->deadline_ms - gone : 0);
}

void
due_waits(struct queue *q, struct delivery *d)
{
	if (d->due_ms != 0)
		arm(q, d, d->due_ms);
}

void
due_given(struct queue *q, struct delivery *d)
{
	if (d->due_ms != 0)
		arm(q, d, d->due_ms + SLACK_MS);
}

void
due_over(struct queue *q, struct delivery *d)
{
	if (d->alarm_ms == 0)
		return;
	RB_REMOVE(due_tree, &q->dues, d);
	d->alarm_ms = 0;
}

static void
tell(struct queue *q, struct delivery *d, uint64_t now_ms)
{
	d->told = true;
	arm(q, d, now_ms + q->grace_ms);
	q->ops->cancel(d->qworker->peer, d->id);
}

/* It was never given in time. */
static void
late(struct queue *q, struct delivery *d)
{
	struct qpool	*p = queue_pool(q, d->pool);
	struct qkey	*k = d->qkey;
	char		 text[96];

	line_leave(p, d);
	d->qkey = NULL;
	d->suspect = false;
	snprintf(text, sizeof(text), "its deadline of %" PRIu64 " ms passed while it waited",
	    p->deadline_ms);
	queue_set_aside(q, d, ASIDE_DEADLINE, text);
	key_update(p, k);
}

void
due_run(struct queue *q)
{
	struct delivery	*d = RB_MIN(due_tree, &q->dues);
	uint64_t	 now_ms;

	if (d == NULL)
		return;
	now_ms = q->ops->mono_ms(q->arg);
	for (; d != NULL && d->alarm_ms <= now_ms; d = RB_MIN(due_tree, &q->dues))
		if (d->state != DLV_GIVEN)
			late(q, d);
		else if (!d->told)
			tell(q, d, now_ms);
		else {
			due_over(q, d);
			d->overdue = true;
			q->ops->overdue(d->qworker->peer, d);
		}
}

void
queue_last_word(struct queue *q, uint64_t ms)
{
	q->grace_ms = ms + OVERDUE_MS;
}

uint64_t
queue_due_ms(const struct queue *q)
{
	const struct delivery	*d = RB_MIN(due_tree, &((struct queue *)(uintptr_t)q)->dues);

	return d == NULL ? UINT64_MAX : d->alarm_ms;
}

/* ---- what it is about was deleted ---- */

static void
deleted(struct queue *q, uint64_t object)
{
	struct envelope	 message = { .id = object };
	struct delivery	*d;
	struct qpool	*p;
	struct qkey	*k;

	TAILQ_FOREACH(p, &q->pools, in_queue) {
		d = journal_find(q->journal,
		    route_delivery_id(q->message, span_of(p->name), &message, SPAN_NONE));
		if (d == NULL || d->ending != ENDS_ACKED)
			continue;
		if (d->state == DLV_GIVEN) {
			log_trace("route", "dlv#%016" PRIx64 " cancelled: %" PRIu64 " was deleted",
			    d->id, object);
			journal_cancelled(q->journal, d);
			tell(q, d, q->ops->mono_ms(q->arg));
		} else if (d->state == DLV_WAITING && (k = d->qkey) != NULL) {
			line_leave(p, d);
			queue_end_cancelled(q, d);
			key_update(p, k);
		}
	}
}

void
due_deleted(struct queue *q, const struct envelope *e)
{
	struct json_scan	 scan;
	enum json_token		 t;
	struct span		 ids;
	uint64_t		 id;

	if (e->id != 0) {
		deleted(q, e->id);
		return;
	}
	if (!json_member(e->d, "ids", &t, &ids) || t != JSON_TOK_ARRAY)
		return;
	json_scan_init(&scan, ids);
	while ((t = json_next(&scan)) > JSON_TOK_END)
		if (t == JSON_TOK_STRING && span_u64(scan.text, &id))
			deleted(q, id);
}
