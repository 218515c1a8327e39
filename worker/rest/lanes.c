/*
 * lanes - see lanes.h.
 */
#include <assert.h>
#include <stdlib.h>

#include "common/mem.h"
#include "worker/rest/lanes.h"

enum queue_state {
	QUEUE_READY,		/* in lanes.ready */
	QUEUE_ASLEEP,		/* in lanes.asleep until wake */
	QUEUE_BUSY,		/* in lanes.busy */
	QUEUE_HELD		/* ordered, its first item is flying */
};

struct lane_queue {
	RB_ENTRY(lane_queue)	 by_key;
	RB_ENTRY(lane_queue)	 by_wake;
	TAILQ_ENTRY(lane_queue)	 entry;		/* READY, BUSY */
	TAILQ_HEAD(, lane_item)	 items;
	uint64_t		 key;
	enum lane		 lane;
	enum queue_state	 state;
	struct mono		 wake;
};

RB_HEAD(lane_keys, lane_queue);
RB_HEAD(lane_sleepers, lane_queue);
RB_HEAD(lane_asides, lane_item);
TAILQ_HEAD(lane_list, lane_queue);

struct lanes {
	const struct lanes_ops	*ops;
	void			*arg;
	struct lane_keys	 keys;
	struct lane_sleepers	 asleep;
	struct lane_asides	 aside;
	struct lane_list	 ready[LANE__N];
	struct lane_list	 busy;
	size_t			 waiting_n;
};

static int
key_cmp(struct lane_queue *a, struct lane_queue *b)
{
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return (int)a->lane - (int)b->lane;
}

/* Addresses break ties: equal times are common. */
static int
wake_cmp(struct mono a, struct mono b, const void *ap, const void *bp)
{
	if (a.us != b.us)
		return a.us < b.us ? -1 : 1;
	return TREE_CMP(ap, bp);
}

static int
sleeper_cmp(struct lane_queue *a, struct lane_queue *b)
{
	return wake_cmp(a->wake, b->wake, a, b);
}

static int
aside_cmp(struct lane_item *a, struct lane_item *b)
{
	return wake_cmp(a->wake, b->wake, a, b);
}

TREE_GENERATE(lane_keys, lane_queue, by_key, key_cmp)
TREE_GENERATE(lane_sleepers, lane_queue, by_wake, sleeper_cmp)
TREE_GENERATE(lane_asides, lane_item, by_wake, aside_cmp)

struct lanes *
lanes_new(const struct lanes_ops *ops, void *arg)
{
	struct lanes	*l = mem_alloc(sizeof(*l));

	l->ops = ops;
	l->arg = arg;
	RB_INIT(&l->keys);
	RB_INIT(&l->asleep);
	RB_INIT(&l->aside);
	TAILQ_INIT(&l->busy);
	for (int i = 0; i < LANE__N; i++)
		TAILQ_INIT(&l->ready[i]);
	return l;
}

void
lanes_free(struct lanes **lp)
{
	if (*lp == NULL)
		return;
	assert(RB_EMPTY(&(*lp)->keys) && RB_EMPTY(&(*lp)->aside));
	free(*lp);
	*lp = NULL;
}

size_t
lanes_waiting_n(const struct lanes *l)
{
	return l->waiting_n;
}

/* The one place that moves a queue from list to list. */
static void
queue_enter(struct lanes *l, struct lane_queue *q, enum queue_state to, struct mono wake)
{
	if (q->state == QUEUE_READY)
		TAILQ_REMOVE(&l->ready[q->lane], q, entry);
	else if (q->state == QUEUE_BUSY)
		TAILQ_REMOVE(&l->busy, q, entry);
	else if (q->state == QUEUE_ASLEEP)
		RB_REMOVE(lane_sleepers, &l->asleep, q);
	q->state = to;
	q->wake = wake;
	if (to == QUEUE_READY)
		TAILQ_INSERT_TAIL(&l->ready[q->lane], q, entry);
	else if (to == QUEUE_BUSY)
		TAILQ_INSERT_TAIL(&l->busy, q, entry);
	else if (to == QUEUE_ASLEEP)
		RB_INSERT(lane_sleepers, &l->asleep, q);
}

static struct lane_queue *
queue_of(struct lanes *l, const struct lane_item *it)
{
	struct lane_queue	 key = { .key = it->key, .lane = it->lane }, *q;

	q = RB_FIND(lane_keys, &l->keys, &key);
	if (q != NULL)
		return q;
	q = mem_alloc(sizeof(*q));
	q->key = it->key;
	q->lane = it->lane;
	TAILQ_INIT(&q->items);
	RB_INSERT(lane_keys, &l->keys, q);
	q->state = QUEUE_HELD;
	queue_enter(l, q, QUEUE_READY, MONO_NEVER);
	return q;
}

static void
queue_drop_if_empty(struct lanes *l, struct lane_queue *q)
{
	if (!TAILQ_EMPTY(&q->items) || q->state == QUEUE_HELD)
		return;
	queue_enter(l, q, QUEUE_HELD, MONO_NEVER);
	RB_REMOVE(lane_keys, &l->keys, q);
	free(q);
}

static void
wake_busy(struct lanes *l)
{
	while (!TAILQ_EMPTY(&l->busy))
		queue_enter(l, TAILQ_FIRST(&l->busy), QUEUE_READY, MONO_NEVER);
}

void
lanes_put(struct lanes *l, struct lane_item *it)
{
	assert(it->state == LANE_ITEM_OUT && it->lane < LANE__N);
	it->queue = queue_of(l, it);
	it->state = LANE_ITEM_QUEUED;
	TAILQ_INSERT_TAIL(&it->queue->items, it, entry);
	l->waiting_n++;
}

static void
put_first(struct lanes *l, struct lane_item *it)
{
	struct lane_queue	*q = queue_of(l, it);

	it->queue = q;
	it->state = LANE_ITEM_QUEUED;
	TAILQ_INSERT_HEAD(&q->items, it, entry);
	queue_enter(l, q, QUEUE_READY, MONO_NEVER);
}

/*
 * A flying item lands: its queue, if it held one, and those that waited for any answer may be asked
 * again.
 */
static void
land(struct lanes *l, struct lane_item *it)
{
	struct lane_queue	*q = it->queue;

	assert(it->state == LANE_ITEM_FLYING);
	it->state = LANE_ITEM_OUT;
	it->queue = NULL;
	if (q != NULL)
		queue_enter(l, q, QUEUE_READY, MONO_NEVER);
	wake_busy(l);
}

void
lanes_put_back(struct lanes *l, struct lane_item *it)
{
	land(l, it);
	put_first(l, it);
	l->waiting_n++;
}

void
lanes_done(struct lanes *l, struct lane_item *it)
{
	struct lane_queue	*q = it->queue;

	land(l, it);
	if (q != NULL)
		queue_drop_if_empty(l, q);
}

/* Out of its queue, which may be gone afterwards. */
static void
unqueue(struct lanes *l, struct lane_item *it)
{
	struct lane_queue	*q = it->queue;
	bool			 first = TAILQ_FIRST(&q->items) == it;

	TAILQ_REMOVE(&q->items, it, entry);
	it->queue = NULL;
	it->state = LANE_ITEM_OUT;
	/* The next one may have nothing to wait for. */
	if (first && q->state == QUEUE_ASLEEP)
		queue_enter(l, q, QUEUE_READY, MONO_NEVER);
	queue_drop_if_empty(l, q);
}

void
lanes_remove(struct lanes *l, struct lane_item *it)
{
	switch (it->state) {
	case LANE_ITEM_OUT:
		return;
	case LANE_ITEM_FLYING:
		lanes_done(l, it);
		return;
	case LANE_ITEM_ASIDE:
		RB_REMOVE(lane_asides, &l->aside, it);
		it->state = LANE_ITEM_OUT;
		break;
	case LANE_ITEM_QUEUED:
		unqueue(l, it);
		break;
	}
	l->waiting_n--;
}

static void
wake_due(struct lanes *l, struct mono now)
{
	struct lane_queue	*q;
	struct lane_item	*it;

	while ((q = RB_MIN(lane_sleepers, &l->asleep)) != NULL && !mono_before(now, q->wake))
		queue_enter(l, q, QUEUE_READY, MONO_NEVER);
	while ((it = RB_MIN(lane_asides, &l->aside)) != NULL && !mono_before(now, it->wake)) {
		RB_REMOVE(lane_asides, &l->aside, it);
		put_first(l, it);
	}
}

static void
send_first(struct lanes *l, struct lane_queue *q, struct lane_item *it)
{
	if (it->ordered) {
		TAILQ_REMOVE(&q->items, it, entry);
		queue_enter(l, q, QUEUE_HELD, MONO_NEVER);
	} else {
		queue_enter(l, q, QUEUE_READY, MONO_NEVER);	/* to the end: queues take turns */
		unqueue(l, it);
	}
	it->state = LANE_ITEM_FLYING;
	l->waiting_n--;
	l->ops->go(l->arg, it);
}

static void
set_aside(struct lanes *l, struct lane_queue *q, struct lane_item *it, struct mono until)
{
	if (it->ordered) {
		queue_enter(l, q, QUEUE_ASLEEP, until);
		return;
	}
	unqueue(l, it);
	it->state = LANE_ITEM_ASIDE;
	it->wake = until;
	RB_INSERT(lane_asides, &l->aside, it);
}

/* Ask for the first item of q.  False: stop asking. */
static bool
ask_first(struct lanes *l, struct lane_queue *q, struct mono now, struct mono *until_r)
{
	struct lane_item	*it = TAILQ_FIRST(&q->items);

	switch (l->ops->ask(l->arg, it, now, until_r)) {
	case LANE_GO:
		send_first(l, q, it);
		break;
	case LANE_WAIT:
		queue_enter(l, q, QUEUE_ASLEEP, *until_r);
		break;
	case LANE_ASIDE:
		set_aside(l, q, it, *until_r);
		break;
	case LANE_BUSY:
		queue_enter(l, q, QUEUE_BUSY, MONO_NEVER);
		break;
	case LANE_STOP:
		return false;
	case LANE_DROP:
		unqueue(l, it);
		l->waiting_n--;
		break;
	}
	return true;
}

static struct mono
sooner(struct mono a, struct mono b)
{
	return mono_is_never(a) || (!mono_is_never(b) && mono_before(b, a)) ? b : a;
}

struct mono
lanes_run(struct lanes *l, struct mono now)
{
	struct lane_queue	*q;
	struct lane_item	*it;
	struct mono		 until, next = MONO_NEVER;
	bool			 more = true;

	wake_due(l, now);
	for (int lane = 0; lane < LANE__N && more; lane++)
		while (more && (q = TAILQ_FIRST(&l->ready[lane])) != NULL) {
			until = MONO_NEVER;
			more = ask_first(l, q, now, &until);
			if (!more)
				next = until;
		}
	if ((q = RB_MIN(lane_sleepers, &l->asleep)) != NULL)
		next = sooner(next, q->wake);
	if ((it = RB_MIN(lane_asides, &l->aside)) != NULL)
		next = sooner(next, it->wake);
	return next;
}
