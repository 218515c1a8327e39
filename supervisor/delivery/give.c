/*
 * give - credit, turns, suspects: who gets what next.  See queue.h.
 */
#include <string.h>

#include "common/count.h"
#include "supervisor/delivery/state.h"
#include "supervisor/delivery/took.h"

#define EVENT_FRESH	1u
#define EVENT_REPLAYED	2u
#define EVENT_CONTROL	4u
#define EVENT_AGAIN	8u

/* One delivery always fits, however large. */
static bool
has_credit(const struct qworker *w, int kind, const struct delivery *d)
{
	const struct qpool	*p = w->pool;
	uint64_t		 credit = p->credit[kind];

	/*
	 * A pool that had no control events when its credit was shared may still hold some from
	 * before.
	 */
	if (credit == 0)
		credit = 1;
	return w->out_n[kind] < credit && (w->out_n[kind] == 0 ||
	    w->out_bytes[kind] + d->body_bytes <= p->credit_bytes[kind]);
}

static void
give(struct qline *l, struct delivery *d)
{
	struct qkey		*k = l->key;
	struct qworker		*w = k->at;
	struct qpool		*p = w->pool;
	struct queue		*q = p->queue;
	struct msg_EVENT	 m;
	int			 kind = delivery_kind(d);
	bool			 again = kind == WORK && (k->again || k->behind);
	uint64_t		 now_ms;

	line_leave(p, d);
	if (again) {
		k->again = false;
		/* What is out to a serial one may still come back: nothing younger goes before it. */
		k->behind = !p->open && l->out > 0;
	}
	l->out++;
	d->qworker = w;
	TAILQ_INSERT_TAIL(&w->out, d, in_worker);
	w->out_n[kind]++;
	w->out_bytes[kind] += d->body_bytes;
	p->given_n++;
	due_given(q, d);
	if (d->suspect) {
		p->alone = d;
		l->alone = true;
	}
	/* Behind the others of its list, so that keys take turns. */
	line_to(l, NULL);
	key_update(p, k);

	journal_given(q->journal, d, w->tag, q->ops->now_ms(q->arg));
	took_given(d);
	COUNT(deliveries_given);
	buf_reset(&q->effects);
	for (size_t i = 0; i < d->effects_n; i++) {
		const struct effect	*e = &d->effects[i];

		msg_list_u64(&q->effects, e->ordinal);
		msg_list_str(&q->effects, span_of(e->route));
		msg_list_u64(&q->effects, e->done);
		msg_list_u64(&q->effects, e->status);
		msg_list_u64(&q->effects, e->id);
	}
	memset(&m, 0, sizeof(m));
	m.delivery = d->id;
	m.attempt = d->attempt;
	m.flags = (k->last != w->serial ? EVENT_FRESH : 0) | (d->replayed ? EVENT_REPLAYED : 0) |
	    (d->control ? EVENT_CONTROL : 0) | (again ? EVENT_AGAIN : 0);
	d->leads = (m.flags & (EVENT_FRESH | EVENT_AGAIN)) != 0;
	m.shard = d->shard;
	m.seq = d->seq;
	m.key = d->key;
	if (d->due_ms != 0) {
		now_ms = q->ops->mono_ms(q->arg);
		m.deadline_ms = d->due_ms > now_ms ? d->due_ms - now_ms : 1;
	}
	m.name = span_of(d->name);
	m.body = journal_body(q->journal, d);
	m.effects = msg_list_of(&q->effects);
	k->last = w->serial;
	q->ops->give(w->peer, &m);
}

static void
pool_run(struct qpool *p)
{
	struct qworker	*w;
	struct qline	*l;
	struct delivery	*d;

	/* Suspects first: they are the oldest, and only one of the pool is out at a time. */
	if (p->alone == NULL && (l = TAILQ_FIRST(&p->suspects)) != NULL) {
		d = TAILQ_FIRST(&l->waiting);
		if (has_credit(l->key->at, delivery_kind(d), d))
			give(l, d);
	}
	/* Draining ones too: they may get what speaks about their open work. */
	TAILQ_FOREACH(w, &p->workers, in_pool) {
		for (int kind = LINES_N; kind-- > 0;)
			while ((l = TAILQ_FIRST(&w->turn[kind])) != NULL) {
				d = TAILQ_FIRST(&l->waiting);
				if (!has_credit(w, kind, d))
					break;
				give(l, d);
			}
	}
}

void
queue_run(struct queue *q)
{
	struct qpool	*p;

	due_run(q);
	if (q->held)
		return;
	TAILQ_FOREACH(p, &q->pools, in_queue)
		pool_run(p);
}
