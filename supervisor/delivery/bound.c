/*
 * bound - how many may wait for a pool, and what is shed.  See queue.h.
 */
#include <inttypes.h>

#include "common/count.h"
#include "common/log.h"
#include "supervisor/delivery/state.h"

#define TELL_AGAIN_MS	10000

/* Of a bound, by what cannot be shed: the rest would give way. */
static bool
reaches(const struct qpool *p, uint64_t max, uint64_t bytes_max)
{
	return (max != 0 && p->waiting_n - p->sheddable_n >= max) ||
	    (bytes_max != 0 && p->waiting_bytes - p->sheddable_bytes >= bytes_max);
}

static bool
above(const struct qpool *p)
{
	return (p->waiting_max != 0 && p->waiting_n > p->waiting_max) ||
	    (p->waiting_bytes_max != 0 && p->waiting_bytes > p->waiting_bytes_max);
}

void
bound_keep(struct qpool *p, uint64_t now_ms)
{
	struct delivery	*d;
	struct qkey	*k;

	while (above(p) && (d = TAILQ_FIRST(&p->sheddable)) != NULL) {
		k = d->qkey;
		line_leave(p, d);
		journal_shed(p->queue->journal, d);
		key_update(p, k);
		p->shed_n++;
		COUNT(events_shed);
	}
	if (p->shed_n > p->shed_told_n && (p->shed_told_ms == 0 || now_ms < p->shed_told_ms ||
	    now_ms - p->shed_told_ms >= TELL_AGAIN_MS)) {
		log_warnx("pool %s: its queue is at its bound, what may be shed is dropped n=%" PRIu64,
		    p->name, p->shed_n - p->shed_told_n);
		p->shed_told_n = p->shed_n;
		p->shed_told_ms = now_ms;
	}
	p->full = p->full || reaches(p, p->waiting_max, p->waiting_bytes_max);
}

const char *
queue_full(struct queue *q)
{
	struct qpool	*p;
	const char	*name = NULL;

	TAILQ_FOREACH(p, &q->pools, in_queue) {
		/* Well below, or reading would stop and go with every answer. */
		if (p->full && !reaches(p, p->waiting_max - p->waiting_max / 8,
		    p->waiting_bytes_max - p->waiting_bytes_max / 8))
			p->full = false;
		if (p->full && name == NULL)
			name = p->name;
	}
	return name;
}
