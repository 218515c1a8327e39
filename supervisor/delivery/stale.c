/*
 * stale - see stale.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/count.h"
#include "supervisor/delivery/answer.h"
#include "supervisor/delivery/stale.h"

/*
 * The last time that somebody was busy with it.  Not when the event came: an answer that took ten
 * minutes to write is not old when the supervisor was away for one second.
 */
static uint64_t
busy_ms(const struct delivery *d)
{
	uint64_t	 ms = d->given_ms > d->received_ms ? d->given_ms : d->received_ms;

	if (d->finished_ms > ms)		/* a dead letter that was put back */
		ms = d->finished_ms;
	for (size_t i = 0; i < d->effects_n; i++)
		if (d->effects[i].asked_ms > ms)
			ms = d->effects[i].asked_ms;
	return ms;
}

static bool
is_unfinished(const struct delivery *d)
{
	for (size_t i = 0; i < d->effects_n; i++)
		if (answer_is_open(d, &d->effects[i], NULL))
			return true;
	return false;
}

size_t
stale_set_aside(struct journal *j, uint64_t stale_ms, uint64_t now_ms,
    void (*fn)(void *arg, const struct delivery *), void *arg)
{
	struct delivery	*d;
	uint64_t	*ids, ms;
	size_t		 n = 0, aside = 0;
	char		 report[96];

	/* By id: what is written of one may cost another its place in the journal. */
	ids = mem_array(
	    journal_count(j, DLV_GIVEN) + journal_count(j, DLV_WAITING) + 1, sizeof(*ids));
	for (int s = DLV_WAITING; s <= DLV_GIVEN; s++)
		for (d = journal_first(j, (enum dlv_state)s); d != NULL;
		     d = TAILQ_NEXT(d, in_state)) {
			ms = busy_ms(d);
			/* A clock that was set back makes nothing old. */
			if (now_ms >= ms && now_ms - ms >= stale_ms && is_unfinished(d))
				ids[n++] = d->id;
		}
	for (size_t i = 0; i < n; i++) {
		if ((d = journal_find(j, ids[i])) == NULL)
			continue;
		snprintf(report, sizeof(report), "nobody went on with its answer for %" PRIu64 " s",
		    (now_ms - busy_ms(d)) / 1000);
		journal_aside(j, d, ASIDE_STALE, report, now_ms);
		COUNT(deliveries_stale);
		aside++;
		fn(arg, d);
	}
	free(ids);
	return aside;
}
