/*
 * workers - what is out to a worker, and how it comes back.  See queue.h.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/count.h"
#include "supervisor/delivery/poison.h"
#include "supervisor/delivery/state.h"
#include "supervisor/delivery/took.h"

/* NACK.reason, as messages.def says. */
enum nack { NACK_DRAINING = 1, NACK_FAILED, NACK_REFUSED, NACK_DEADLINE, NACK_BEHIND };

void
queue_set_aside(struct queue *q, struct delivery *d, enum dlv_aside why, const char *report)
{
	journal_aside(q->journal, d, why, report, q->ops->now_ms(q->arg));
	if (why == ASIDE_POISON)
		COUNT(deliveries_poison);
	if (why == ASIDE_DEADLINE)
		COUNT(deliveries_late);
	q->ops->on_aside(q->arg, d);
}

void
queue_end_cancelled(struct queue *q, struct delivery *d)
{
	d->qkey = NULL;
	d->suspect = false;
	d->ending = ENDS_CANCELLED;
	journal_finished(q->journal, d, q->ops->now_ms(q->arg));
	COUNT(deliveries_cancelled);
}

int
delivery_by_order(const void *va, const void *vb)
{
	const struct delivery *a = *(struct delivery *const *)va,
			      *b = *(struct delivery *const *)vb;

	return TREE_CMP(a->order, b->order);
}

struct qworker *
queue_worker_up(struct qpool *p, uint32_t slot, const char *tag, void *peer)
{
	struct qworker	*w = mem_alloc(sizeof(*w));

	w->pool = p;
	w->serial = ++p->queue->serial;
	w->slot = slot;
	strlcpy(w->tag, tag, sizeof(w->tag));
	w->peer = peer;
	TAILQ_INIT(&w->out);
	for (int i = 0; i < LINES_N; i++)
		TAILQ_INIT(&w->turn[i]);
	TAILQ_INSERT_TAIL(&p->workers, w, in_pool);
	keys_placed_anew(p);
	return w;
}

void
queue_worker_drain(struct qworker *w)
{
	if (w->draining)
		return;
	w->draining = true;
	keys_placed_anew(w->pool);
}

/* d is no longer out; the caller updates its key. */
static void
take_back(struct qworker *w, struct delivery *d)
{
	struct qpool	*p = w->pool;
	struct qline	*l = line_of(d);
	int		 kind = delivery_kind(d);

	TAILQ_REMOVE(&w->out, d, in_worker);
	due_over(p->queue, d);
	d->told = false;
	w->out_n[kind]--;
	w->out_bytes[kind] -= d->body_bytes;
	p->given_n--;
	assert(l->out > 0);
	l->out--;
	if (p->alone == d) {
		p->alone = NULL;
		l->alone = false;
	}
	d->qworker = NULL;
}

void
queue_worker_down(struct qworker **wp, uint64_t running, bool charge, const char *report)
{
	struct qworker		*w = *wp;
	struct qpool		*p = w->pool;
	struct queue		*q = p->queue;
	struct delivery		*d, **all;
	enum poison_verdict	 v;
	bool			 named, suspect;
	struct qkey		*k;
	size_t			 n = 0;

	named = running != 0 && queue_held(w, running) != NULL;
	TAILQ_FOREACH(d, &w->out, in_worker)
		named = named || d->overdue;
	w->draining = w->closed = true;
	all = mem_array(queue_worker_open(w) + 1, sizeof(*all));
	TAILQ_FOREACH(d, &w->out, in_worker)
		all[n++] = d;
	qsort(all, n, sizeof(*all), delivery_by_order);
	TAILQ_REMOVE(&p->workers, w, in_pool);
	/* From the newest: see journal_first. */
	for (size_t i = n; i-- > 0;) {
		d = all[i];
		k = d->qkey;
		suspect = p->alone == d;
		take_back(w, d);
		if (d->ending == ENDS_CANCELLED || d->overdue) {
			d->qkey = NULL;
			d->suspect = false;
			if (d->ending == ENDS_CANCELLED)
				queue_end_cancelled(q, d);
			else
				queue_set_aside(q, d, ASIDE_DEADLINE, report);
			d->overdue = false;
			key_update(p, k);
			continue;
		}
		v = poison_judge(charge, named, d->id == running, suspect, d->charges, q->poison);
		if (v == POISON_SUSPECT)
			d->suspect = true;
		else if (named && d->id == running)
			d->suspect = false;
		COUNT(deliveries_returned);
		journal_returned(q->journal, d, v == POISON_CHARGE || v == POISON_ASIDE);
		if (v == POISON_ASIDE) {
			d->qkey = NULL;
			d->suspect = false;
			queue_set_aside(q, d, ASIDE_POISON, report);
			key_update(p, k);
		} else
			line_up(p, k, d);
	}
	free(all);
	keys_placed_anew(p);
	for (int i = 0; i < LINES_N; i++)
		assert(TAILQ_EMPTY(&w->turn[i]));
	free(w);
	*wp = NULL;
}

size_t
queue_worker_open(const struct qworker *w)
{
	return w->out_n[WORK] + w->out_n[CONTROL] + w->out_n[INTERACTION];
}

void
queue_each_held(const struct qworker *w, bool (*fn)(void *, const struct delivery *), void *arg)
{
	const struct delivery	*d;

	TAILQ_FOREACH(d, &w->out, in_worker)
		if (!fn(arg, d))
			return;
}

uint64_t
queue_worker_bytes(const struct qworker *w)
{
	return w->out_bytes[WORK] + w->out_bytes[CONTROL] + w->out_bytes[INTERACTION];
}

struct delivery *
queue_held(struct qworker *w, uint64_t delivery)
{
	struct delivery	*d = journal_find(w->pool->queue->journal, delivery);

	return d != NULL && d->state == DLV_GIVEN && d->qworker == w ? d : NULL;
}

int
queue_ack(struct qworker *w, uint64_t delivery)
{
	struct queue	*q = w->pool->queue;
	struct delivery	*d;
	struct qkey	*k;

	if ((d = queue_held(w, delivery)) == NULL)
		return -1;
	k = d->qkey;
	take_back(w, d);
	d->suspect = false;
	d->qkey = NULL;
	d->overdue = false;
	if (d->ending == ENDS_CANCELLED)
		queue_end_cancelled(q, d);
	else {
		took_handled(d, q->ops->now_ms(q->arg));
		journal_finished(q->journal, d, q->ops->now_ms(q->arg));
	}
	COUNT(deliveries_acked);
	key_update(w->pool, k);
	return 0;
}

/* What becomes of it: NULL, it waits again; else set aside with this sentence. */
static const char *
judge_nack(struct queue *q, struct delivery *d, enum nack reason, enum dlv_aside *why_r)
{
	switch (reason) {
	case NACK_DRAINING:
	case NACK_BEHIND:
		return NULL;
	case NACK_FAILED:
		*why_r = ASIDE_POISON;
		return d->charges >= q->poison ? "failed" : NULL;
	case NACK_REFUSED:
		*why_r = ASIDE_REFUSED;
		return "refused it";
	case NACK_DEADLINE:
		*why_r = ASIDE_DEADLINE;
		return "missed its deadline";
	}
	return NULL;
}

int
queue_nack(struct qworker *w, uint64_t delivery, unsigned reason, struct span why)
{
	struct qpool	*p = w->pool;
	struct queue	*q = p->queue;
	struct delivery	*d;
	struct qkey	*k;
	enum dlv_aside	 aside;
	const char	*sentence;
	char		 text[300];

	if ((d = queue_held(w, delivery)) == NULL || reason < NACK_DRAINING || reason > NACK_BEHIND)
		return -1;
	k = d->qkey;
	take_back(w, d);
	d->suspect = d->overdue = false;
	COUNT(deliveries_nacked);
	/*
	 * It was told that nothing is before it, or may overtake: who says so without end is no worker
	 * of that key.
	 */
	if (reason == NACK_BEHIND && (d->leads || delivery_kind(d) != WORK))
		reason = NACK_FAILED;
	if (delivery_kind(d) == WORK) {
		k->behind = k->behind || reason == NACK_BEHIND;
		/* Where more is out, what comes back of that says the rest. */
		k->again = k->again || (reason == NACK_FAILED && k->line[WORK].out == 0);
	}
	if (d->ending == ENDS_CANCELLED) {
		queue_end_cancelled(q, d);
		key_update(p, k);
		return 0;
	}
	journal_returned(q->journal, d, reason == NACK_FAILED);
	if ((sentence = judge_nack(q, d, reason, &aside)) != NULL) {
		snprintf(text, sizeof(text), "%s %s: %.*s", w->tag, sentence, (int)why.n,
		    why.n > 0 ? why.p : "");
		d->qkey = NULL;
		queue_set_aside(q, d, aside, text);
		key_update(p, k);
		return 0;
	}
	/*
	 * A worker that says so is draining, whoever told it: it must not get the same one again,
	 * not even when it speaks about what is still open there.
	 */
	if (reason == NACK_DRAINING && !w->closed) {
		w->draining = true;
		w->closed = delivery_kind(d) != WORK;
		keys_placed_anew(p);
	}
	/* It is given next, ahead of what its worker still has of this key. */
	k->again = k->again || (reason == NACK_FAILED && delivery_kind(d) == WORK);
	line_up(p, k, d);
	return 0;
}
