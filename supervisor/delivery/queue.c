/*
 * queue - see queue.h.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/count.h"
#include "common/log.h"
#include "supervisor/delivery/route.h"
#include "supervisor/delivery/state.h"

#define OUT_SERIAL	4	/* most deliveries of one key's line out to one worker */
#define OUT_OPEN	64
#define LAST_WORD_MS	10000

static void
dropped(struct delivery *d, void *arg)
{
	struct qpool	*p;
	struct qkey	*k = d->qkey;

	if (k == NULL || (p = queue_pool(arg, d->pool)) == NULL)
		return;
	line_leave(p, d);
	d->qkey = NULL;
	key_update(p, k);
}

struct queue *
queue_new(struct journal *j, const struct queue_ops *ops, void *arg, uint64_t poison)
{
	struct queue	*q = mem_alloc(sizeof(*q));

	q->journal = j;
	q->ops = ops;
	q->arg = arg;
	q->poison = poison;
	q->message = table_event(SPAN("MESSAGE_CREATE"));
	queue_last_word(q, LAST_WORD_MS);
	q->delete = table_event(SPAN("MESSAGE_DELETE"));
	q->delete_bulk = table_event(SPAN("MESSAGE_DELETE_BULK"));
	due_init(q);
	TAILQ_INIT(&q->pools);
	journal_on_drop(j, dropped, q);
	return q;
}

void
queue_free(struct queue **qp)
{
	struct queue	*q = *qp;
	struct qpool	*p;
	struct qworker	*w;

	if (q == NULL)
		return;
	journal_on_drop(q->journal, NULL, NULL);
	while ((p = TAILQ_FIRST(&q->pools)) != NULL) {
		TAILQ_REMOVE(&q->pools, p, in_queue);
		while ((w = TAILQ_FIRST(&p->workers)) != NULL) {
			TAILQ_REMOVE(&p->workers, w, in_pool);
			free(w);
		}
		qpool_free(p);
	}
	buf_fini(&q->effects);
	free(q->gates);
	free(q);
	*qp = NULL;
}

static int
kind_of(const struct event_row *row)
{
	return row->interaction ? INTERACTION : row->control ? CONTROL : WORK;
}

void
queue_pool_bounds(struct qpool *p, const struct cfg_pool *cfg)
{
	p->waiting_max = cfg->queue;
	p->waiting_bytes_max = cfg->queue_bytes_bytes;
	p->deadline_ms = cfg->deadline_ms;
	p->full = false;
}

void
qpool_configure(struct qpool *p, const struct cfg_pool *cfg)
{
	const struct event_row	*rows;
	uint64_t		 bytes = cfg->credit_bytes_bytes, credit = cfg_pool_credit(cfg), share;
	unsigned		 kinds = 0;
	bool			 changed = false;
	size_t			 n;

	rows = table_events(&n);
	for (size_t i = 0; i < n; i++) {
		bool	 wanted = cfg_pool_wants(cfg, rows[i].name);

		changed = changed || p->configured[i] != wanted;
		p->configured[i] = wanted;
		p->states[i] = cfg_pool_states(cfg, rows[i].name);
		if (wanted)
			kinds |= 1u << kind_of(&rows[i]);
	}
	/* Else what READY narrowed stays as narrow. */
	if (changed)
		memcpy(p->wants, p->configured, n * sizeof(*p->wants));
	/* An eighth is kept for each other kind if there is any; 1 cannot be shared. */
	share = credit < 8 ? 1 : credit / 8;
	p->credit[WORK] = credit;
	p->credit_bytes[WORK] = bytes;
	for (int kind = CONTROL; kind < LINES_N; kind++) {
		p->credit[kind] = 0;
		p->credit_bytes[kind] = bytes / 8;
		if ((kinds & 1u << kind) == 0)
			continue;
		p->credit[kind] = share;
		p->credit[WORK] = p->credit[WORK] > share ? p->credit[WORK] - share : 1;
		p->credit_bytes[WORK] -= bytes / 8;
	}
	queue_pool_bounds(p, cfg);
}

struct qpool *
queue_pool_add(struct queue *q, const struct cfg_pool *cfg)
{
	const struct role_row	*role = cfg_pool_role(cfg);
	struct qpool		*p = mem_alloc(sizeof(*p));
	size_t			 n;

	p->queue = q;
	strlcpy(p->name, cfg->name, sizeof(p->name));
	p->open = role != NULL && role->open;
	p->out_max = p->open ? OUT_OPEN : OUT_SERIAL;
	(void)table_events(&n);
	p->configured = mem_array(n, sizeof(*p->configured));
	p->wants = mem_array(n, sizeof(*p->wants));
	p->states = mem_array(n, sizeof(*p->states));
	qpool_configure(p, cfg);
	RB_INIT(&p->keys);
	TAILQ_INIT(&p->idle);
	TAILQ_INIT(&p->workers);
	TAILQ_INIT(&p->homeless);
	TAILQ_INIT(&p->suspects);
	TAILQ_INIT(&p->sheddable);
	TAILQ_INSERT_TAIL(&q->pools, p, in_queue);
	return p;
}

struct qpool *
queue_pool(struct queue *q, const char *name)
{
	struct qpool	*p;

	TAILQ_FOREACH(p, &q->pools, in_queue)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

void
queue_take_in(struct qpool *p, struct delivery *d)
{
	const struct event_row	*row = table_event(span_of(d->name));

	d->kind = (uint8_t)(row == NULL ? WORK : kind_of(row));
	due_set(p, d);
	line_up(p, key_find(p, d->key, true), d);
}

void
queue_recover(struct queue *q)
{
	struct journal	*j = q->journal;
	struct delivery	*d, **all;
	struct qpool	*p;
	size_t		 n = 0;

	all = mem_array(
	    journal_count(j, DLV_GIVEN) + journal_count(j, DLV_WAITING) + 1, sizeof(*all));
	for (int s = DLV_WAITING; s <= DLV_GIVEN; s++)
		for (d = journal_first(j, (enum dlv_state)s); d != NULL;
		     d = TAILQ_NEXT(d, in_state))
			all[n++] = d;
	qsort(all, n, sizeof(*all), delivery_by_order);
	/* From the newest: each that is returned stands ahead of what waits. */
	for (size_t i = n; i-- > 0;)
		if (all[i]->state == DLV_GIVEN) {
			journal_returned(j, all[i], false);
			COUNT(deliveries_returned);
		}
	for (size_t i = 0; i < n; i++) {
		d = all[i];
		d->suspect = false;
		if (d->ending == ENDS_CANCELLED)
			queue_end_cancelled(q, d);
		else if ((p = queue_pool(q, d->pool)) == NULL)
			queue_set_aside(q, d, ASIDE_REFUSED, "no pool of this name is configured");
		else
			queue_take_in(p, d);
	}
	free(all);
}

/* Each live worker of each pool that asked for it; a slow one misses it. */
static void
tell_all(struct queue *q, const struct event_row *row, const struct journal_event *ev)
{
	struct msg_NEWS	 m = {
		.flags = ev->replayed, .shard = ev->shard, .seq = ev->seq, .key = ev->key,
		.name = ev->name, .body = ev->body,
	};
	struct qpool	*p;
	struct qworker	*w;
	size_t		 n;

	TAILQ_FOREACH(p, &q->pools, in_queue) {
		if (!p->states[row - table_events(&n)])
			continue;
		TAILQ_FOREACH(w, &p->workers, in_pool)
			if (w->draining)
				continue;
			else if (q->ops->news(w->peer, &m) == 0)
				COUNT(states_sent);
			else
				COUNT(states_dropped);
	}
}

/*
 * order: 0 the newest.  wanted_r, new_r, order_r (may be NULL): pools that want it; of them those
 * that did not know it; where it stands now.
 */
static int
dispatch(struct queue *q, const struct envelope *env, const char *session_id, uint32_t shard,
    bool replayed, uint64_t order, unsigned *wanted_r, unsigned *new_r, uint64_t *order_r)
{
	const struct event_row	*row = table_event(env->t), *rows;
	struct envelope		 e = *env;
	struct journal_event	 ev;
	struct delivery		*d;
	struct qpool		*p;
	unsigned		 wanted = 0, told = 0;
	uint64_t		 now_ms;
	bool			 deletes;
	size_t			 n;
	int			 rc;

	rows = table_events(&n);
	if (row != NULL)
		TAILQ_FOREACH(p, &q->pools, in_queue) {
			wanted += p->wants[row - rows];
			told += p->states[row - rows];
		}
	if (wanted_r != NULL)
		*wanted_r = wanted;
	deletes = row != NULL && (row == q->delete || row == q->delete_bulk);
	if (wanted + told == 0)
		COUNT(events_unwanted);
	if (wanted + told == 0 && !deletes)
		return 0;
	if (envelope_ids(&e) != 0) {
		log_warnx("event not taken: its body is no JSON event=%s seq=%" PRIu64, row->name,
		    e.s);
		COUNT(gateway_bad_frames);
		return -1;
	}
	if (deletes)
		due_deleted(q, &e);
	now_ms = q->ops->now_ms(q->arg);
	memset(&ev, 0, sizeof(ev));
	ev.object = e.id != 0 ? e.id : e.message_id;
	ev.key = route_key(row, &e);
	ev.seq = e.s;
	ev.shard = shard;
	ev.name = span_of(row->name);
	ev.body = e.d.n < 2 ? SPAN("null") : e.d;
	ev.replayed = replayed;
	ev.control = row->control;
	ev.shed = row->shed;
	ev.order = order;
	ev.said = row == q->message && e.channel_id != 0;
	ev.guild = e.guild_id;
	TAILQ_FOREACH(p, &q->pools, in_queue) {
		if (!p->wants[row - rows])
			continue;
		ev.pool = span_of(p->name);
		ev.delivery = route_delivery_id(row, ev.pool, &e, span_of(session_id));
		rc = journal_event(q->journal, &ev, now_ms, &d);
		if (rc == 0)
			COUNT(events_duplicate);
		else if (rc < 0 && !row->shed)
			return 1;
		if (rc > 0 && new_r != NULL)
			++*new_r;
		if (rc >= 0 && order_r != NULL && d->order > *order_r)
			*order_r = d->order;
		if (rc > 0 && d->state == DLV_ASIDE)
			q->ops->on_aside(q->arg, d);
		else if (rc > 0) {
			d->kind = (uint8_t)kind_of(row);
			due_set(p, d);
			line_up(p, key_find(p, d->key, true), d);
			bound_keep(p, now_ms);
		}
	}
	if (told > 0)
		tell_all(q, row, &ev);
	return 0;
}

int
queue_dispatch(struct queue *q, const struct envelope *env, const char *session_id, uint32_t shard,
    bool replayed, unsigned *wanted_r)
{
	return dispatch(q, env, session_id, shard, replayed, 0, wanted_r, NULL, NULL);
}

int
queue_backfill(struct queue *q, const struct envelope *env, uint32_t shard, uint64_t order,
    unsigned *new_r, uint64_t *order_r)
{
	*new_r = 0;
	*order_r = 0;
	return dispatch(q, env, "", shard, true, order, NULL, new_r, order_r);
}

bool
queue_wants(struct queue *q, const char *event)
{
	const struct event_row	*row = table_event(span_of(event)), *rows;
	const struct qpool	*p;
	size_t			 n;

	rows = table_events(&n);
	if (row != NULL)
		TAILQ_FOREACH(p, &q->pools, in_queue)
			if (p->wants[row - rows])
				return true;
	return false;
}

void
queue_gate(struct queue *q, uint64_t key, uint64_t order)
{
	struct qpool	*p;
	struct qkey	*k;
	size_t		 i;

	for (i = 0; i < q->gates_n && q->gates[i].key != key; i++)
		;
	if (order == 0 && i == q->gates_n)
		return;
	if (order == 0)
		q->gates[i] = q->gates[--q->gates_n];
	else {
		if (i == q->gates_n)
			q->gates = mem_grow(q->gates, ++q->gates_n, sizeof(*q->gates));
		q->gates[i] = (struct gate){ key, order };
	}
	TAILQ_FOREACH(p, &q->pools, in_queue)
		if ((k = key_find(p, key, false)) != NULL) {
			k->gate = order;
			key_update(p, k);
		}
}

size_t
queue_gates_n(const struct queue *q)
{
	return q->gates_n;
}

void
queue_hold(struct queue *q, bool hold)
{
	q->held = hold;
}

void
queue_pool_usage(struct qpool *p, struct queue_usage *u)
{
	const struct delivery	*d;

	memset(u, 0, sizeof(*u));
	u->waiting = p->waiting_n;
	u->given = p->given_n;
	u->keys = p->keys_n - p->idle_n;
	u->waiting_bytes = p->waiting_bytes;
	u->waiting_max = p->waiting_max;
	u->waiting_bytes_max = p->waiting_bytes_max;
	u->shed = p->shed_n;
	u->full = p->full;
	for (d = journal_first(p->queue->journal, DLV_WAITING); d != NULL;
	     d = TAILQ_NEXT(d, in_state))
		if (strcmp(d->pool, p->name) == 0) {
			u->oldest_ms = d->received_ms;
			break;
		}
}
