/*
 * took - see took.h.
 */
#include "common/measure.h"
#include "supervisor/delivery/took.h"

static void
note(enum measure m, const struct delivery *d, uint64_t from_ms, uint64_t to_ms)
{
	measure_add(m, d->pool, to_ms > from_ms ? (to_ms - from_ms) * 1000 : 0);
}

void
took_given(const struct delivery *d)
{
	if (d->attempt == 1)
		note(MEASURE_queue_wait, d, d->received_ms, d->given_ms);
}

void
took_handled(const struct delivery *d, uint64_t now_ms)
{
	note(MEASURE_handler_time, d, d->given_ms, now_ms);
}

void
took_answered(const struct delivery *d, uint64_t now_ms)
{
	for (size_t i = 0; i < d->effects_n; i++)
		if (d->effects[i].done)
			return;
	note(MEASURE_answer_time, d, d->received_ms, now_ms);
}
