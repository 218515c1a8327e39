/*
 * change - the queue's pools follow a reload.  See queue.h.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/delivery/state.h"

void
qpool_free(struct qpool *p)
{
	keys_free(p);
	free(p->configured);
	free(p->wants);
	free(p->states);
	free(p->live);
	free(p->slots);
	free(p);
}

/* It is going: nothing new for it. */
static void
wants_nothing(struct qpool *p)
{
	size_t	 n;

	(void)table_events(&n);
	memset(p->configured, 0, n * sizeof(*p->configured));
	memset(p->wants, 0, n * sizeof(*p->wants));
	memset(p->states, 0, n * sizeof(*p->states));
}

void
queue_reconfigure(struct queue *q, const struct cfg *cfg)
{
	const struct cfg_pool	*cp;
	struct qpool		*p;

	q->poison = cfg->poison;
	queue_last_word(q, cfg->last_word_ms);
	TAILQ_FOREACH(p, &q->pools, in_queue) {
		if ((cp = cfg_pool_named(cfg, p->name)) != NULL)
			qpool_configure(p, cp);
		else
			wants_nothing(p);
	}
}

size_t
queue_pool_remove(struct queue *q, const char *name)
{
	struct qpool	*p = queue_pool(q, name);
	struct delivery	*d, *next;
	size_t		 n = 0;

	if (p == NULL)
		return 0;
	assert(TAILQ_EMPTY(&p->workers));
	TAILQ_REMOVE(&q->pools, p, in_queue);
	for (d = journal_first(q->journal, DLV_WAITING); d != NULL; d = next) {
		next = TAILQ_NEXT(d, in_state);
		if (strcmp(d->pool, name) != 0)
			continue;
		line_leave(p, d);
		d->qkey = NULL;
		queue_set_aside(q, d, ASIDE_REFUSED, "its pool was taken out of the configuration");
		n++;
	}
	qpool_free(p);
	return n;
}
