/*
 * identify - when an IDENTIFY may be sent: one per 5 s, and never the last of the day.
 *
 * Pure.  Times are wall milliseconds, because the count outlives the process.  What Discord says
 * (`remaining` of GET /gateway/bot) wins over what we counted; until it has said so in this
 * process, our own count holds.
 *
 * Owner: the gateway.
 * Source: Discord docs, events/gateway, rate limiting and session start limit object: at the end
 * of the budget all sessions are killed and the token is reset.
 */
#ifndef SUPERVISOR_IDENTIFY_H
#define SUPERVISOR_IDENTIFY_H

#include "supervisor/gateway/gateway.h"

#define IDENTIFY_SPACING_MS	5100u		/* 5 s, and a little for clocks that differ */
#define IDENTIFY_RESERVE	5u		/* never spent: a person may need them */
#define IDENTIFY_DAY_MS		86400000u
#define IDENTIFY_TOTAL		1000u		/* a day, where Discord did not say otherwise */

struct identify {
	struct gw_budget	 budget;	/* goes into the journal */
	bool			 told;		/* Discord has said: */
	uint64_t		 total, remaining;
	uint64_t		 reset_ms;	/* wall, when remaining is total again */
};

enum identify_why { IDENTIFY_NOW, IDENTIFY_SPACED, IDENTIFY_SPENT };

/* budget may be NULL: nothing is remembered. */
void	 identify_init(struct identify *, const struct gw_budget *);
/* What session_start_limit said. */
void	 identify_told(struct identify *, uint64_t now_ms, uint64_t total, uint64_t remaining,
    uint64_t reset_after_ms);
/* How long to wait; 0: now.  why_r may be NULL. */
uint64_t identify_wait_ms(const struct identify *, uint64_t now_ms, enum identify_why *why_r);
/* One is about to be sent. */
void	 identify_count(struct identify *, uint64_t now_ms);
/* As Discord said, less what was sent since; UINT64_MAX: it has not said. */
uint64_t identify_left(const struct identify *, uint64_t now_ms);

#endif
