/*
 * queue - see queue.h.
 */
#include <sys/queue.h>
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/count.h"
#include "common/log.h"
#include "common/tree.h"
#include "supervisor/delivery/poison.h"
#include "supervisor/delivery/queue.h"
#include "supervisor/delivery/route.h"

#define OUT_SERIAL	4	/* most deliveries of one key's line out to one worker */
#define OUT_OPEN	64
#define CREDIT_EXEC	16	/* of a program that names none */
#define IDLE_MAX	65536	/* idle keys of a pool that are remembered, for `fresh` */

#define EVENT_FRESH	1u
#define EVENT_REPLAYED	2u
#define EVENT_CONTROL	4u

enum { WORK, CONTROL, LINES_N };

RB_HEAD(key_tree, qkey);
TAILQ_HEAD(dlv_list, delivery);
TAILQ_HEAD(turn_list, qline);
TAILQ_HEAD(key_list, qkey);
TAILQ_HEAD(worker_list, qworker);

/*
 * The deliveries of one key of one kind.  In a turn list exactly when its first one may be given
 * for all that the key knows.
 */
struct qline {
	struct dlv_list		 waiting;	/* by order */
	unsigned		 out;
	bool			 alone;		/* its suspect is out: nothing follows it */
	struct qkey		*key;
	struct turn_list	*turn;		/* the list it is in, or NULL */
	TAILQ_ENTRY(qline)	 in_turn;
};

struct qkey {
	uint64_t		 key;
	struct qline		 line[LINES_N];
	struct qworker *at; /* fixed while anything is out; else where it is placed */
	uint64_t		 last;		/* serial of the worker that had it last */
	bool			 idle;		/* in the pool's list of idle keys */
	RB_ENTRY(qkey)		 by_key;
	TAILQ_ENTRY(qkey)	 in_idle;
};

struct qworker {
	struct qpool		*pool;
	uint64_t		 serial;	/* never used again: tells generations apart */
	uint32_t		 slot;
	char			 tag[64];
	void			*peer;
	bool			 draining;
	struct turn_list	 turn[LINES_N];
	struct dlv_list		 out;
	uint64_t		 out_n[LINES_N], out_bytes[LINES_N];
	TAILQ_ENTRY(qworker)	 in_pool;
};

struct qpool {
	struct queue		*queue;
	char			 name[33];
	bool			*wants;		/* by row of events.def */
	unsigned		 out_max;	/* of a line */
	uint64_t		 credit[LINES_N], credit_bytes[LINES_N];
	struct key_tree		 keys;
	uint64_t		 keys_n, idle_n, waiting_n, given_n, waiting_bytes;
	struct key_list		 idle;		/* longest idle first */
	struct worker_list	 workers;
	struct qworker		**live;		/* not draining; slots[] beside it */
	uint32_t		*slots;
	size_t			 live_n;
	struct turn_list	 homeless;	/* no live worker */
	struct turn_list	 suspects;	/* lines whose first delivery is a suspect */
	struct delivery		*alone;		/* the suspect that is out */
	TAILQ_ENTRY(qpool)	 in_queue;
};

struct queue {
	struct journal		*journal;
	const struct queue_ops	*ops;
	void			*arg;
	uint64_t		 poison, serial;
	bool			 held;
	struct buf		 effects;
	TAILQ_HEAD(, qpool)	 pools;
};

static int
key_cmp(const struct qkey *a, const struct qkey *b)
{
	return TREE_CMP(a->key, b->key);
}
TREE_GENERATE(key_tree, qkey, by_key, key_cmp)

static struct qline *
line_of(const struct delivery *d)
{
	return &d->qkey->line[d->control ? CONTROL : WORK];
}

/* ---- keys ---- */

static struct qkey *
key_find(struct qpool *p, uint64_t key, bool make)
{
	struct qkey	 want, *k;

	want.key = key;
	if ((k = RB_FIND(key_tree, &p->keys, &want)) != NULL || !make)
		return k;
	k = mem_alloc(sizeof(*k));
	k->key = key;
	for (int i = 0; i < LINES_N; i++) {
		TAILQ_INIT(&k->line[i].waiting);
		k->line[i].key = k;
	}
	RB_INSERT(key_tree, &p->keys, k);
	p->keys_n++;
	return k;
}

static unsigned
key_out(const struct qkey *k)
{
	return k->line[WORK].out + k->line[CONTROL].out;
}

static bool
key_waits(const struct qkey *k)
{
	return !TAILQ_EMPTY(&k->line[WORK].waiting) || !TAILQ_EMPTY(&k->line[CONTROL].waiting);
}

static void
key_free(struct qpool *p, struct qkey *k)
{
	RB_REMOVE(key_tree, &p->keys, k);
	p->keys_n--;
	free(k);
}

static void
line_to(struct qline *l, struct turn_list *turn)
{
	if (l->turn == turn)
		return;
	if (l->turn != NULL)
		TAILQ_REMOVE(l->turn, l, in_turn);
	if (turn != NULL)
		TAILQ_INSERT_TAIL(turn, l, in_turn);
	l->turn = turn;
}

static struct qworker *
place(struct qpool *p, uint64_t key)
{
	return p->live_n == 0 ? NULL : p->live[route_place(key, p->slots, p->live_n)];
}

/*
 * After any change of k: where it is, and in which turn lists its lines stand.  May free k when it
 * is idle.
 */
static void
key_update(struct qpool *p, struct qkey *k)
{
	bool	 waits = key_waits(k);

	if (key_out(k) == 0 && (!waits || (k->at != NULL && k->at->draining)))
		k->at = NULL;
	if (waits && k->at == NULL)
		k->at = place(p, k->key);
	for (int i = 0; i < LINES_N; i++) {
		struct qline		*l = &k->line[i];
		const struct delivery	*first = TAILQ_FIRST(&l->waiting);

		if (first == NULL || l->out >= p->out_max || l->alone)
			line_to(l, NULL);
		else if (k->at == NULL)
			line_to(l, &p->homeless);
		else if (k->at->draining)
			line_to(l, NULL);
		else if (first->suspect)
			line_to(l, &p->suspects);
		else
			line_to(l, &k->at->turn[i]);
	}
	if (!waits && key_out(k) == 0) {
		if (!k->idle) {
			k->idle = true;
			TAILQ_INSERT_TAIL(&p->idle, k, in_idle);
			p->idle_n++;
		}
		if (p->idle_n > IDLE_MAX) {
			k = TAILQ_FIRST(&p->idle);
			TAILQ_REMOVE(&p->idle, k, in_idle);
			p->idle_n--;
			key_free(p, k);
		}
	} else if (k->idle) {
		k->idle = false;
		TAILQ_REMOVE(&p->idle, k, in_idle);
		p->idle_n--;
	}
}

/*
 * d goes into its line where its order says: behind the older ones, of which there are few when it
 * comes back.
 */
static void
line_up(struct qpool *p, struct qkey *k, struct delivery *d)
{
	struct qline	*l;
	struct delivery	*at;

	d->qkey = k;
	d->qworker = NULL;
	l = line_of(d);
	at = TAILQ_LAST(&l->waiting, dlv_list);
	if (at == NULL || at->order < d->order)
		TAILQ_INSERT_TAIL(&l->waiting, d, in_key);
	else {
		for (at = TAILQ_FIRST(&l->waiting); at->order < d->order;
		     at = TAILQ_NEXT(at, in_key))
			;
		TAILQ_INSERT_BEFORE(at, d, in_key);
	}
	p->waiting_n++;
	p->waiting_bytes += d->body_bytes;
	key_update(p, k);
}

/* A waiting delivery leaves its line; the caller updates the key. */
static void
line_leave(struct qpool *p, struct delivery *d)
{
	TAILQ_REMOVE(&line_of(d)->waiting, d, in_key);
	p->waiting_n--;
	p->waiting_bytes -= d->body_bytes;
}

/* ---- pools ---- */

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
	struct qkey	*k;

	if (q == NULL)
		return;
	journal_on_drop(q->journal, NULL, NULL);
	while ((p = TAILQ_FIRST(&q->pools)) != NULL) {
		TAILQ_REMOVE(&q->pools, p, in_queue);
		while ((w = TAILQ_FIRST(&p->workers)) != NULL) {
			TAILQ_REMOVE(&p->workers, w, in_pool);
			free(w);
		}
		while ((k = RB_MIN(key_tree, &p->keys)) != NULL)
			key_free(p, k);
		free(p->wants);
		free(p->live);
		free(p->slots);
		free(p);
	}
	buf_fini(&q->effects);
	free(q);
	*qp = NULL;
}

struct qpool *
queue_pool_add(struct queue *q, const struct cfg_pool *cfg)
{
	const struct event_row	*rows;
	const struct role_row	*role = cfg_pool_role(cfg);
	struct qpool		*p = mem_alloc(sizeof(*p));
	uint64_t		 bytes = cfg->credit_bytes_bytes, credit, share;
	bool			 control = false;
	size_t			 n;

	p->queue = q;
	strlcpy(p->name, cfg->name, sizeof(p->name));
	p->out_max = role != NULL && role->open ? OUT_OPEN : OUT_SERIAL;
	credit = cfg->credit != 0 ? cfg->credit : role != NULL ? role->credit : CREDIT_EXEC;
	rows = table_events(&n);
	p->wants = mem_array(n, sizeof(*p->wants));
	for (size_t i = 0; i < n; i++) {
		p->wants[i] = cfg_pool_wants(cfg, rows[i].name);
		control = control || (p->wants[i] && rows[i].control);
	}
	/* An eighth is kept for control events if there are any; 1 cannot be shared. */
	share = !control ? 0 : credit < 8 ? 1 : credit / 8;
	p->credit[WORK] = credit > share ? credit - share : 1;
	p->credit[CONTROL] = share;
	p->credit_bytes[WORK] = control ? bytes - bytes / 8 : bytes;
	p->credit_bytes[CONTROL] = bytes / 8;
	RB_INIT(&p->keys);
	TAILQ_INIT(&p->idle);
	TAILQ_INIT(&p->workers);
	TAILQ_INIT(&p->homeless);
	TAILQ_INIT(&p->suspects);
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

/*
 * The set of live workers changed: keys that are free to go are placed anew.  Costs the number of
 * keys; workers come and go far more seldom than events.
 */
static void
placed_anew(struct qpool *p)
{
	struct qworker	*w;
	struct qkey	*k, *next;
	size_t		 n = 0;

	TAILQ_FOREACH(w, &p->workers, in_pool)
		n++;
	free(p->live);
	free(p->slots);
	p->live = mem_array(n + 1, sizeof(*p->live));
	p->slots = mem_array(n + 1, sizeof(*p->slots));
	p->live_n = 0;
	TAILQ_FOREACH(w, &p->workers, in_pool)
		if (!w->draining) {
			p->live[p->live_n] = w;
			p->slots[p->live_n++] = w->slot;
		}
	for (k = RB_MIN(key_tree, &p->keys); k != NULL; k = next) {
		next = RB_NEXT(key_tree, &p->keys, k);
		if (k->idle)
			continue;
		if (key_out(k) == 0)
			k->at = place(p, k->key);
		key_update(p, k);
	}
}

static void
set_aside(struct queue *q, struct delivery *d, enum dlv_aside why, const char *report)
{
	journal_aside(q->journal, d, why, report, q->ops->now_ms(q->arg));
	if (why == ASIDE_POISON)
		COUNT(deliveries_poison);
	q->ops->on_aside(q->arg, d);
}

static int
by_order(const void *va, const void *vb)
{
	const struct delivery *a = *(struct delivery *const *)va,
			      *b = *(struct delivery *const *)vb;

	return TREE_CMP(a->order, b->order);
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
	qsort(all, n, sizeof(*all), by_order);
	/* From the newest: each that is returned stands ahead of what waits. */
	for (size_t i = n; i-- > 0;)
		if (all[i]->state == DLV_GIVEN) {
			journal_returned(j, all[i], false);
			COUNT(deliveries_returned);
		}
	for (size_t i = 0; i < n; i++) {
		d = all[i];
		d->suspect = false;
		if ((p = queue_pool(q, d->pool)) == NULL)
			set_aside(q, d, ASIDE_REFUSED, "no pool of this name is configured");
		else
			line_up(p, key_find(p, d->key, true), d);
	}
	free(all);
}

int
queue_dispatch(struct queue *q, const struct envelope *env, const char *session_id, uint32_t shard,
    bool replayed, unsigned *wanted_r)
{
	const struct event_row	*row = table_event(env->t), *rows;
	struct envelope		 e = *env;
	struct journal_event	 ev;
	struct delivery		*d;
	struct qpool		*p;
	unsigned		 wanted = 0;
	size_t			 n;
	int			 rc;

	rows = table_events(&n);
	if (row != NULL)
		TAILQ_FOREACH(p, &q->pools, in_queue)
			wanted += p->wants[row - rows];
	if (wanted_r != NULL)
		*wanted_r = wanted;
	if (wanted == 0) {
		COUNT(events_unwanted);
		return 0;
	}
	if (envelope_ids(&e) != 0) {
		log_warnx("event not taken: its body is no JSON event=%s seq=%" PRIu64, row->name,
		    e.s);
		COUNT(gateway_bad_frames);
		return -1;
	}
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
	TAILQ_FOREACH(p, &q->pools, in_queue) {
		if (!p->wants[row - rows])
			continue;
		ev.pool = span_of(p->name);
		ev.delivery = route_delivery_id(row, ev.pool, &e, span_of(session_id));
		rc = journal_event(q->journal, &ev, q->ops->now_ms(q->arg), &d);
		if (rc == 0)
			COUNT(events_duplicate);
		else if (rc < 0 && !row->shed)
			return 1;
		else if (rc > 0 && d->state == DLV_ASIDE)
			q->ops->on_aside(q->arg, d);
		else if (rc > 0)
			line_up(p, key_find(p, d->key, true), d);
	}
	return 0;
}

/* ---- workers ---- */

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
	placed_anew(p);
	return w;
}

void
queue_worker_drain(struct qworker *w)
{
	if (w->draining)
		return;
	w->draining = true;
	placed_anew(w->pool);
}

/* d is no longer out; the caller updates its key. */
static void
take_back(struct qworker *w, struct delivery *d)
{
	struct qpool	*p = w->pool;
	struct qline	*l = line_of(d);
	int		 kind = d->control ? CONTROL : WORK;

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
	qsort(all, n, sizeof(*all), by_order);
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
			set_aside(q, d, ASIDE_POISON, report);
			key_update(p, k);
		} else
			line_up(p, k, d);
	}
	free(all);
	placed_anew(p);
	assert(TAILQ_EMPTY(&w->turn[WORK]) && TAILQ_EMPTY(&w->turn[CONTROL]));
	free(w);
	*wp = NULL;
}

size_t
queue_worker_open(const struct qworker *w)
{
	return w->out_n[WORK] + w->out_n[CONTROL];
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
		set_aside(q, d, reason == 3 ? ASIDE_REFUSED : ASIDE_POISON, text);
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

/* ---- giving ---- */

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
	int			 kind = d->control ? CONTROL : WORK;

	line_leave(p, d);
	l->out++;
	d->qworker = w;
	TAILQ_INSERT_TAIL(&w->out, d, in_worker);
	w->out_n[kind]++;
	w->out_bytes[kind] += d->body_bytes;
	p->given_n++;
	if (d->suspect) {
		p->alone = d;
		l->alone = true;
	}
	/* Behind the others of its list, so that keys take turns. */
	line_to(l, NULL);
	key_update(p, k);

	journal_given(q->journal, d, w->tag, q->ops->now_ms(q->arg));
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
	    (d->control ? EVENT_CONTROL : 0);
	m.shard = d->shard;
	m.seq = d->seq;
	m.key = d->key;
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
		if (has_credit(l->key->at, d->control ? CONTROL : WORK, d))
			give(l, d);
	}
	for (size_t i = 0; i < p->live_n; i++) {
		w = p->live[i];
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

	if (q->held)
		return;
	TAILQ_FOREACH(p, &q->pools, in_queue)
		pool_run(p);
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
	for (d = journal_first(p->queue->journal, DLV_WAITING); d != NULL;
	     d = TAILQ_NEXT(d, in_state))
		if (strcmp(d->pool, p->name) == 0) {
			u->oldest_ms = d->received_ms;
			break;
		}
}
