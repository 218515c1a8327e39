/*
 * answer - see answer.h.
 */
#include <inttypes.h>
#include <stdio.h>

#include "supervisor/delivery/answer.h"

#define ORDINAL_MAX	64	/* of what a handler asks; messages of answers lie above */

struct span
answer_route(uint64_t channel, char dst[ANSWER_ROUTE_BYTES])
{
	return span_make(dst, (size_t)snprintf(dst, ANSWER_ROUTE_BYTES,
	    "STREAM /channels/%" PRIu64, channel));
}

struct span
answer_message_route(uint64_t channel, char dst[ANSWER_ROUTE_BYTES])
{
	return span_make(dst, (size_t)snprintf(dst, ANSWER_ROUTE_BYTES,
	    "POST /channels/%" PRIu64 "/messages", channel));
}

unsigned
answer_messages_n(const struct delivery *d, uint64_t ordinal)
{
	unsigned	 n = 0;

	while (delivery_effect(d, ANSWER_MESSAGE(ordinal, n)) != NULL)
		n++;
	return n;
}

bool
answer_is_open(const struct delivery *d, const struct effect *e, uint64_t *channel_r)
{
	uint64_t	 channel;

	if (e->done || e->ordinal < 1 || e->ordinal > ORDINAL_MAX ||
	    sscanf(e->route, "STREAM /channels/%" SCNu64, &channel) != 1 ||
	    answer_messages_n(d, e->ordinal) == 0)
		return false;
	if (channel_r != NULL)
		*channel_r = channel;
	return true;
}

bool
answer_is_marked(const struct delivery *d, uint64_t ordinal)
{
	unsigned	 n = answer_messages_n(d, ordinal);

	return n > 0 &&
	    delivery_effect(d, ANSWER_MESSAGE(ordinal, n - 1))->status == ANSWER_MARKED;
}
