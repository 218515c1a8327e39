/*
 * letters - dead letters that go back or are let go.  See queue.h.
 */
#include <assert.h>

#include "common/count.h"
#include "supervisor/delivery/state.h"

const char *
queue_retry(struct queue *q, struct delivery *d)
{
	struct qpool	*p = queue_pool(q, d->pool);

	assert(d->state == DLV_ASIDE);
	if (p == NULL)
		return "no pool of its name is configured";
	if (!journal_retried(q->journal, d, q->ops->now_ms(q->arg)))
		return "its body was not kept";
	COUNT(letters_retried);
	d->suspect = d->told = d->overdue = false;
	queue_take_in(p, d);
	return NULL;
}

void
queue_let_go(struct queue *q, struct delivery *d)
{
	journal_let_go(q->journal, d, q->ops->now_ms(q->arg));
	COUNT(letters_dropped);
}
