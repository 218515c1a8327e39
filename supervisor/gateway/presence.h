/*
 * presence - what the bot shows of itself, and when Discord may be told.
 *
 * Pure.  The newest wish counts: one that Discord was not told yet is replaced by the next.  It goes
 * with each IDENTIFY; after a RESUME it is told again, since nobody can say whether it had arrived;
 * else it is an op 3, at most PRESENCE_N of them in PRESENCE_MS, and only while the connection has
 * said so little that beats, RESUME and IDENTIFY keep their room.
 *
 * Owner: the gateway.
 * Source: Discord docs, events/gateway (120 in 60 s and connection), gateway-events (Update
 * Presence); that it takes 5 in 20 s and wants all four keys: discord-api-docs#3854.
 */
#ifndef SUPERVISOR_PRESENCE_H
#define SUPERVISOR_PRESENCE_H

#include "common/clock.h"
#include "common/mem.h"
#include "common/span.h"

#define PRESENCE_BYTES_MAX	1024	/* of its JSON: IDENTIFY has 4096 for everything */
#define PRESENCE_TEXT_MAX	128	/* characters of a name, a state: Discord cuts there */
#define PRESENCE_ACTIVITIES	4
#define PRESENCE_N		5
#define PRESENCE_MS		20000
#define PRESENCE_SAID_N		100	/* of 120, by the connection, in */
#define PRESENCE_SAID_MS	60000

struct presence {
	char		 text[PRESENCE_BYTES_MAX];
	size_t		 n;			/* of text; 0: never wished for */
	bool		 due;			/* Discord is to be told */
	struct mono	 told[PRESENCE_N];	/* op 3; the next place is the oldest */
	unsigned	 told_at;
	struct mono	 said[PRESENCE_SAID_N];	/* anything, on this connection */
	unsigned	 said_at;
};

/*
 * A wish as Discord spells it: an object with status, activities, afk, since, none of which must be
 * there.  Appends the whole of what Discord wants, and nothing else.  NULL, or what is wrong with it.
 */
const char	*presence_make(struct span wish, struct buf *out);
/* From now on: what presence_make made.  True: an earlier one goes that Discord was never told. */
bool		 presence_wish(struct presence *, struct span made);
static inline struct span
presence_span(const struct presence *p)
{
	return span_make(p->text, p->n);
}

/* A new connection: it has said nothing. */
void		 presence_connected(struct presence *);
/* Something was said to Discord. */
void		 presence_said(struct presence *, struct mono now);
/* An IDENTIFY was sent with it. */
void		 presence_identified(struct presence *);
/* RESUMED: see above. */
void		 presence_resumed(struct presence *);
/* May it be told?  *wait_ms_r: 0 now; false: there is nothing to tell. */
bool		 presence_may(const struct presence *, struct mono now, uint64_t *wait_ms_r);
/* An op 3 was sent; after presence_said. */
void		 presence_told(struct presence *, struct mono now);

#endif
