/*
 * deaf - is the session silent because nobody speaks, or because it does not hear any more?
 *
 * A connection can ack every heartbeat and bring no events for hours.  So after twice the silence
 * that is usual here something is asked for whose answer is an event: if that does not come either,
 * the connection is dropped and resumed.  Pure: no sockets, no clock.
 *
 *  - usual is the longest silence of late, between silence_ms and every_ms.
 *  - A probe goes out at most every every_ms; after one that was not answered twice as long, up to
 *    sixteen times: the guild that was asked may be gone.
 * Source: Discord docs, events/gateway-events, request guild members: answered without any intent
 * when it is for one user; the waits are ours.
 */
#ifndef SUPERVISOR_DEAF_H
#define SUPERVISOR_DEAF_H

#include "common/clock.h"

struct deaf_conf {
	uint64_t	 silence_ms;	/* least that counts as usual */
	uint64_t	 every_ms;	/* between two probes */
	uint64_t	 answer_ms;	/* to the answer of one */
};

struct deaf {
	uint64_t	 usual_us;
	struct mono	 heard_at;	/* last event, or the beginning of the connection; never: none */
	struct mono	 asked_at;	/* the probe that is out; never: none is */
	struct mono	 last_at;	/* of the last probe */
	unsigned	 unanswered;	/* probes in a row */
};

enum deaf_verdict {
	DEAF_NO,
	DEAF_ASK,			/* send a probe; it counts as sent */
	DEAF_YES			/* drop the connection */
};

/* A connection is live. */
void	 deaf_live(struct deaf *, struct mono now);
/* An event has come.  Once per event: a few instructions. */
static inline void
deaf_heard(struct deaf *d, struct mono now)
{
	uint64_t	 us = now.us > d->heard_at.us ? now.us - d->heard_at.us : 0;

	if (us > d->usual_us && !mono_is_never(d->heard_at))
		d->usual_us = us;
	else
		d->usual_us -= d->usual_us >> 8;
	d->heard_at = now;
}
/* Asked now and then, while the session is live and read. */
enum deaf_verdict deaf_judge(struct deaf *, const struct deaf_conf *, struct mono now);

#endif
