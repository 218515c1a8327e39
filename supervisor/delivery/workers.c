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

void
queue_set_aside(struct queue *q, struct delivery *d, enum dlv_aside why, const char *report)
{
	journal_aside(q->journal, d, why, report, q->ops->now_ms(q->arg));
	if (why == ASIDE_POISON)
		COUNT(deliveries_poison);
	q->ops->on_aside(q->arg, d);
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
	w->draining = true;
	all = mem_array(w->out_n[WORK] + w->out_n[CONTROL] + 1, sizeof(*all));
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
	assert(TAILQ_EMPTY(&w->turn[WORK]) && TAILQ_EMPTY(&w->turn[CONTROL]));
	free(w);
	*wp = NULL;
}

size_t
queue_worker_open(const struct qworker *w)
{
	return w->out_n[WORK] + w->out_n[CONTROL];
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
	return w->out_bytes[WORK] + w->out_bytes[CONTROL];
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
	journal_finished(q->journal, d, q->ops->now_ms(q->arg));
	COUNT(deliveries_acked);
	key_update(w->pool, k);
	return 0;
}

int
queue_nack(struct qworker *w, uint64_t delivery, unsigned reason, struct span why)
{
	struct qpool	*p = w->pool;
	struct queue	*q = p->queue;
	struct delivery	*d;
	struct qkey	*k;
	char		 text[300];
	bool		 failed = reason == 2 || reason == 4;

	if ((d = queue_held(w, delivery)) == NULL || reason < 1 || reason > 4)
		return -1;
	k = d->qkey;
	take_back(w, d);
	d->suspect = false;
	COUNT(deliveries_nacked);
	snprintf(text, sizeof(text), "%s %s: %.*s", w->tag,
	    reason == 3	      ? "refused it"
		: reason == 4 ? "missed its deadline"
			      : "failed",
	    (int)why.n, why.n > 0 ? why.p : "");
	if (reason == 3 || (failed && d->charges + 1u >= q->poison)) {
		d->qkey = NULL;
		if (failed)
			journal_returned(q->journal, d, true);
		queue_set_aside(q, d, reason == 3 ? ASIDE_REFUSED : ASIDE_POISON, text);
		key_update(p, k);
		return 0;
	}
	journal_returned(q->journal, d, failed);
	line_up(p, k, d);
	/*
	 * A worker that says so is draining, whoever told it: it must not get the same one again.
	 */
	if (reason == 1)
		queue_worker_drain(w);
	return 0;
}
