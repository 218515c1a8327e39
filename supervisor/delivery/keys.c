/*
 * keys - a key, its lines, and on which worker it is.  See queue.h.
 */
#include <stdlib.h>

#include "supervisor/delivery/route.h"
#include "supervisor/delivery/state.h"

#define IDLE_MAX	65536	/* idle keys of a pool that are remembered, for `fresh` */

static int
key_cmp(const struct qkey *a, const struct qkey *b)
{
	return TREE_CMP(a->key, b->key);
}
TREE_GENERATE(key_tree, qkey, by_key, key_cmp)

struct qline *
line_of(const struct delivery *d)
{
	return &d->qkey->line[delivery_kind(d)];
}

struct qkey *
key_find(struct qpool *p, uint64_t key, bool make)
{
	struct qkey	 want = { .key = key }, *k;

	if ((k = RB_FIND(key_tree, &p->keys, &want)) != NULL || !make)
		return k;
	k = mem_alloc(sizeof(*k));
	k->key = key;
	for (int i = 0; i < LINES_N; i++) {
		TAILQ_INIT(&k->line[i].waiting);
		k->line[i].key = k;
	}
	for (size_t i = 0; i < p->queue->gates_n; i++)
		if (p->queue->gates[i].key == key)
			k->gate = p->queue->gates[i].order;
	RB_INSERT(key_tree, &p->keys, k);
	p->keys_n++;
	return k;
}

unsigned
key_out(const struct qkey *k)
{
	unsigned	 n = 0;

	for (int i = 0; i < LINES_N; i++)
		n += k->line[i].out;
	return n;
}

static bool
key_waits(const struct qkey *k)
{
	for (int i = 0; i < LINES_N; i++)
		if (!TAILQ_EMPTY(&k->line[i].waiting))
			return true;
	return false;
}

static void
key_free(struct qpool *p, struct qkey *k)
{
	RB_REMOVE(key_tree, &p->keys, k);
	p->keys_n--;
	free(k);
}

void
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
 * Is something out that this kind may speak about?  A kind does not count for itself, or a draining
 * worker would never see the end of reactions.
 */
static bool
is_spoken_to(const struct qkey *k, int kind)
{
	return (kind > WORK && k->line[WORK].out > 0) ||
	    (kind == CONTROL && k->line[INTERACTION].out > 0);
}

void
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

		if (first == NULL || l->out >= p->out_max || l->alone ||
		    (i == WORK && k->gate != 0 && first->order >= k->gate) ||
		    (i == WORK && k->behind && l->out > 0))
			line_to(l, NULL);
		else if (k->at == NULL)
			line_to(l, &p->homeless);
		else if (k->at->draining)
			/*
			 * Work waits until what is out has ended, then moves.  What speaks about it
			 * must reach it where it is.
			 */
			line_to(l, first->suspect || k->at->closed || !is_spoken_to(k, i) ? NULL :
			    &k->at->turn[i]);
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

void
line_up(struct qpool *p, struct qkey *k, struct delivery *d)
{
	struct qline	*l;
	struct delivery	*at;

	d->qkey = k;
	d->qworker = NULL;
	l = line_of(d);
	/* Asking the last one itself would wait for memory. */
	if (l->newest < d->order || TAILQ_EMPTY(&l->waiting)) {
		TAILQ_INSERT_TAIL(&l->waiting, d, in_key);
		l->newest = d->order;
	} else {
		at = TAILQ_FIRST(&l->waiting);
		while (at != NULL && at->order < d->order)
			at = TAILQ_NEXT(at, in_key);
		if (at == NULL)
			TAILQ_INSERT_TAIL(&l->waiting, d, in_key);
		else
			TAILQ_INSERT_BEFORE(at, d, in_key);
	}
	p->waiting_n++;
	p->waiting_bytes += d->body_bytes;
	if (d->shed) {
		p->sheddable_n++;
		p->sheddable_bytes += d->body_bytes;
		at = TAILQ_FIRST(&p->sheddable);
		if (at == NULL || at->order < d->order)
			TAILQ_INSERT_TAIL(&p->sheddable, d, in_worker);
		else
			TAILQ_INSERT_HEAD(&p->sheddable, d, in_worker);
	}
	due_waits(p->queue, d);
	key_update(p, k);
}

void
line_leave(struct qpool *p, struct delivery *d)
{
	TAILQ_REMOVE(&line_of(d)->waiting, d, in_key);
	p->waiting_n--;
	p->waiting_bytes -= d->body_bytes;
	if (d->shed) {
		TAILQ_REMOVE(&p->sheddable, d, in_worker);
		p->sheddable_n--;
		p->sheddable_bytes -= d->body_bytes;
	}
	due_over(p->queue, d);
}

void
keys_placed_anew(struct qpool *p)
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

void
keys_free(struct qpool *p)
{
	struct qkey	*k;

	while ((k = RB_MIN(key_tree, &p->keys)) != NULL)
		key_free(p, k);
}
